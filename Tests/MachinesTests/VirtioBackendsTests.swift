import Bus
import Devices
import Foundation
import GuestMemory
import Testing
@testable import Machines

@Suite struct VirtioBackendsTests {
    private func devices(_ configuration: MachineConfiguration) throws -> [VirtioDeviceID] {
        let ram = try GuestRAM(start: VirtMap.ram, sizeBytes: 1 << 20)
        let all = try VirtioBackends.make(configuration).slots.map { try $0(ram, .unconnected) }
        return all.compactMap { ($0 as? VirtioMMIO)?.core.device.deviceID }
    }

    @Test func `disks come first, then shares, then what every machine has`() throws {
        let directory = NSTemporaryDirectory() + "/guise-test-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try Data(count: 4096).write(to: URL(fileURLWithPath: directory + "/disk"))
        var configuration = MachineConfiguration()
        #expect(try devices(configuration) == [.entropy, .balloon])
        configuration.disks = [DiskChoice(path: directory + "/disk")]
        configuration.shares = [ShareChoice(directory: directory, tag: "t")]
        #expect(try devices(configuration) == [.block, .nineP, .entropy, .balloon])
        configuration.disks = [DiskChoice(path: directory + "/disk"), DiskChoice(path: directory + "/disk")]
        #expect(throws: MachineError.self) { try devices(configuration) }
        configuration.disks = [DiskChoice(path: directory + "/absent")]
        #expect(throws: (any Error).self) { try devices(configuration) }
        configuration.disks = [DiskChoice(path: directory + "/disk", bus: .pci)]
        #expect(try devices(configuration) == [.nineP, .entropy, .balloon])
        #expect(try VirtioBackends.make(configuration).functions.count == 1)
        configuration.disks = []
        configuration.shares = Array(repeating: ShareChoice(directory: directory, tag: "t"), count: 7)
        #expect(throws: MachineError.self) { try devices(configuration) }
        configuration.shares = [ShareChoice(directory: directory + "/disk", tag: "t")]
        #expect(throws: (any Error).self) { try devices(configuration) }
    }
}
