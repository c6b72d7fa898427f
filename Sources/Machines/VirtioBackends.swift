// The virtio devices of a configuration: which slot gets what.
//
// Every machine has an entropy source and a balloon, in the slots after the user's devices; the machine itself adds the
// virtio console behind them. A disk has a thread of its own, since a flush may take long; the others answer at once, on the
// vCPU that asks.

import Bus
import Devices
import GuestMemory
import Host

/// Makes virtio devices.
public enum VirtioBackends {
    private static let alwaysThere = 2

    /// Slots: disks in order, then shares, then entropy and balloon. PCI functions: the disks that ask for it, in order.
    /// - Throws: `MachineError` when there are more devices than slots.
    public static func make(_ configuration: MachineConfiguration) throws -> VirtioFactories {
        let board = configuration.board
        if board == .microvm { return try onPCI(configuration) }
        let inSlots = configuration.disks.filter { $0.bus != .pci }.count + configuration.shares.count
        let room = VirtMap.virtioSlots - alwaysThere - (configuration.virtioConsole == nil ? 0 : 1)
        guard inSlots <= room else {
            throw MachineError("\(inSlots) disks and shares", "the board has slots for \(room) of them",
                               advice: "put disks on PCI with --disk FILE,bus=pci")
        }
        var factories = VirtioFactories()
        for (index, disk) in configuration.disks.enumerated() {
            switch disk.bus ?? board.usualBus {
            case .mmio: factories.slots.append(slot(of: disk, index))
            case .pci: factories.functions.append(function(of: disk, index))
            }
        }
        factories.slots += configuration.shares.map { share in
            { ram, interrupt in VirtioMMIO(device: try nineP(share), ram: ram, interrupt: interrupt) }
        }
        factories.slots.append { VirtioMMIO(device: VirtioEntropy(), ram: $0, interrupt: $1) }
        factories.slots.append { VirtioMMIO(device: VirtioBalloon(), ram: $0, interrupt: $1) }
        return factories
    }

    /// Everything on PCI but the disks that ask for a slot.
    private static func onPCI(_ configuration: MachineConfiguration) throws -> VirtioFactories {
        var factories = VirtioFactories()
        for (index, disk) in configuration.disks.enumerated() {
            switch disk.bus ?? .pci {
            case .mmio: factories.slots.append(slot(of: disk, index))
            case .pci: factories.functions.append(function(of: disk, index))
            }
        }
        guard factories.slots.count <= MicrovmMap.virtioIRQs.count else {
            throw MachineError("\(factories.slots.count) disks with bus=mmio",
                               "the board has slots for \(MicrovmMap.virtioIRQs.count) of them",
                               advice: "leave the others on PCI")
        }
        factories.functions += configuration.shares.map { share in { VirtioPCI(device: try nineP(share), ram: $0) } }
        factories.functions.append { VirtioPCI(device: VirtioEntropy(), ram: $0) }
        factories.functions.append { VirtioPCI(device: VirtioBalloon(), ram: $0) }
        return factories
    }

    private static func slot(of disk: DiskChoice, _ index: Int) -> VirtioSlotFactory {
        { ram, interrupt in
            let transport = VirtioMMIO(device: try block(disk, index), ram: ram, interrupt: interrupt)
            _ = try DeviceWorker(core: transport.core)
            return transport
        }
    }

    private static func function(of disk: DiskChoice, _ index: Int) -> PCIFunctionFactory {
        { ram in
            let transport = VirtioPCI(device: try block(disk, index), ram: ram)
            _ = try DeviceWorker(core: transport.core)
            return transport
        }
    }

    private static func nineP(_ share: ShareChoice) throws -> VirtioNineP {
        guard (1...VirtioNineP.tagBytesMax).contains(share.tag.utf8.count) else {
            throw MachineError("--share \(share.directory)=\(share.tag)", "the tag is empty or too long")
        }
        let directory = try open("--share \(share.directory)") { try HostDirectory(path: share.directory) }
        return VirtioNineP(directory: directory, tag: share.tag)
    }

    private static func block(_ disk: DiskChoice, _ index: Int) throws -> VirtioBlock {
        let backend = try open("--disk \(disk.path)") { try FileDisk(path: disk.path, readOnly: disk.readOnly) }
        return VirtioBlock(backend: backend, serial: "guise-disk-\(index)")
    }

    /// Says what to do about a file in use; other failures speak for themselves.
    private static func open<Opened>(_ option: String, _ body: () throws -> Opened) throws -> Opened {
        do { return try body() } catch let error as HostError where error.call == "flock" {
            throw MachineError(option, "in use by another process", advice: "stop that one first, or add ',ro' to both")
        }
    }
}
