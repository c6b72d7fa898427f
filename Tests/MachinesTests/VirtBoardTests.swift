import Bus
import Devices
import GuestMemory
import Testing
@testable import Machines

final class NullOutput: SerialOutput {
    func send(_ byte: UInt8) -> Bool { true }
}

@Suite struct VirtBoardTests {
    private func board(harts: Int, memory: UInt64 = 128 << 20, virtio: Int = 0) throws -> VirtBoard {
        let factory: VirtioSlotFactory = { _, _ in SiFiveTest { _ in } }
        return try VirtBoard(ram: GuestRAM(start: VirtMap.ram, sizeBytes: memory), services: BoardServices(
            clock: GuestClock(source: .manual), makeTimer: { _, _ in .never },
            harts: (0..<harts).map { _ in HartInputs { _, _ in } }, serial: NullOutput(), serialInputWanted: {},
            power: { _ in }, wallNanoseconds: { 0 }), virtio: VirtioFactories(slots: Array(repeating: factory, count: virtio)))
    }

    @Test(arguments: [(1, 128 << 20, 0), (4, 20 << 30, 8), (16, 8 << 20, 2)] as [(Int, UInt64, Int)])
    func `dtc reads the board's device tree without a warning`(harts: Int, memory: UInt64, virtio: Int) throws {
        let board = try board(harts: harts, memory: memory, virtio: virtio)
        let chosen = ChosenNode(bootArguments: "console=ttyS0", initrd: 0x8800_0000..<0x8900_0000, randomSeed: [1, 2, 3, 4])
        let blob = FlattenedDeviceTree.encode(board.deviceTree(chosen: chosen, timebaseHz: 10_000_000))
        #expect(blob.count < 64 << 10)
        guard let (source, messages) = try decompile(blob) else { return }
        #expect(messages == "")
        #expect(source.contains("bootargs = \"console=ttyS0\""))
        #expect(source.contains("riscv,isa = \"rv64imafdc_zicntr"))
    }

    @Test func `every device of the tree is on the bus at its address`() throws {
        let board = try board(harts: 2, virtio: 3)
        let tree = board.deviceTree(chosen: ChosenNode(), timebaseHz: 10_000_000)
        for node in tree.root.child("soc")!.children {
            let reg = node.property("reg")!
            let start = reg[0..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let size = reg[8..<16].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let window = board.bus.window(at: GuestPhysical(start))
            #expect(window?.start.value == start && window?.sizeBytes == size, "\(node.name)")
            #expect(node.name.hasSuffix("@" + String(start, radix: 16)))
        }
    }

    @Test func `the 64-bit PCI window lies behind RAM`() {
        #expect(VirtMap.pciHigh(ramSizeBytes: 1 << 30).value == 16 << 30)
        #expect(VirtMap.pciHigh(ramSizeBytes: 14 << 30).value == 16 << 30)
        #expect(VirtMap.pciHigh(ramSizeBytes: 15 << 30).value == 32 << 30)
    }
}
