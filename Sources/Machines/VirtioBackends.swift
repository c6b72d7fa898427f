// The virtio devices of a configuration: which slot gets what.
//
// Every machine has an entropy source and a balloon, in the slots after the user's devices. A disk has a thread of its own,
// since a flush may take long; the others answer at once, on the vCPU that asks.

import Bus
import Devices
import GuestMemory
import Host

/// Makes virtio devices.
public enum VirtioBackends {
    private static let alwaysThere = 2

    /// One factory per slot: disks in order, then shares, then entropy and balloon.
    /// - Throws: `MachineError` when there are more devices than slots.
    public static func make(_ configuration: MachineConfiguration) throws -> [VirtioSlotFactory] {
        let wanted = configuration.disks.count + configuration.shares.count
        let room = VirtMap.virtioSlots - alwaysThere
        guard wanted <= room else {
            throw MachineError("\(wanted) disks and shares", "the board takes at most \(room) in all")
        }
        var factories: [VirtioSlotFactory] = configuration.disks.enumerated().map { index, disk in
            { ram, interrupt in
                let backend = try open("--disk \(disk.path)") {
                    try FileDisk(path: disk.path, readOnly: disk.readOnly)
                }
                let device = VirtioBlock(backend: backend, serial: "guise-disk-\(index)")
                let transport = VirtioMMIO(device: device, ram: ram, interrupt: interrupt)
                _ = try DeviceWorker(core: transport.core)
                return transport
            }
        }
        factories += configuration.shares.map { share in
            { ram, interrupt in
                guard (1...VirtioNineP.tagBytesMax).contains(share.tag.utf8.count) else {
                    throw MachineError("--share \(share.directory)=\(share.tag)", "the tag is empty or too long")
                }
                let directory = try open("--share \(share.directory)") { try HostDirectory(path: share.directory) }
                return VirtioMMIO(device: VirtioNineP(directory: directory, tag: share.tag), ram: ram, interrupt: interrupt)
            }
        }
        factories.append { VirtioMMIO(device: VirtioEntropy(), ram: $0, interrupt: $1) }
        factories.append { VirtioMMIO(device: VirtioBalloon(), ram: $0, interrupt: $1) }
        return factories
    }

    /// Says what to do about a file in use; other failures speak for themselves.
    private static func open<Opened>(_ option: String, _ body: () throws -> Opened) throws -> Opened {
        do { return try body() } catch let error as HostError where error.call == "flock" {
            throw MachineError(option, "in use by another process", advice: "stop that one first, or add ',ro' to both")
        }
    }
}
