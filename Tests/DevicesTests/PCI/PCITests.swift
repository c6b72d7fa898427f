import Bus
import SavedState
import Synchronization
import Testing
@testable import Devices

/// A function with one BAR of each kind whose registers are its last write.
final class ProbeFunction: PCIFunction {
    let config = PCIConfigSpace(
        PCIIdentity(vendorID: 0x1af4, deviceID: 0x1042, classCode: 0x018000),
        bars: [PCIBAR(0, .io, sizeBytes: 0x20), PCIBAR(1, .memory32, sizeBytes: 0x1000),
               PCIBAR(4, .memory64, sizeBytes: 0x4000, prefetchable: true)],
        interruptPin: 1)
    var slot: PCISlot?
    var msix: MSIX?
    var last: (bar: Int, offset: UInt64, size: Int, value: UInt64)?

    func attach(to slot: PCISlot) {
        self.slot = slot
        config.connect(intx: slot.intx)
        if let message = slot.message {
            msix = MSIX(config: config, vectorCount: 3, bar: 4, tableOffset: 0, pendingOffset: 0x800, send: message)
            config.written = { [weak self] _ in self?.msix?.configWritten() }
        }
    }
    func readBAR(_ bar: Int, offset: UInt64, size: Int) -> UInt64 {
        if let msix, msix.contains(bar: bar, offset: offset) { return msix.read(offset: offset, size: size) }
        return UInt64(bar) << 8 | offset
    }
    func writeBAR(_ bar: Int, offset: UInt64, size: Int, value: UInt64) {
        if let msix, msix.contains(bar: bar, offset: offset) { return msix.write(offset: offset, size: size, value: value) }
        last = (bar, offset, size, value)
    }
    func reset() { config.reset(); msix?.reset() }
    func save(to writer: inout StateWriter) { config.save(to: &writer); msix?.save(to: &writer) }
    func restore(from reader: inout StateReader) throws {
        try config.restore(from: &reader)
        try msix?.restore(from: &reader)
    }
}

@Suite struct PCITests {
    final class Messages: Sendable { let list = Mutex<[PCIMessage]>([]) }
    final class Rig {
        let lines = (0..<4).map { _ in RecordingLine() }
        let messages: Messages
        let function = ProbeFunction()
        let bridge: PCIHostBridge
        let ecam: any MMIODevice
        init(messages withMessages: Bool = true) {
            let windows = PCIWindows(ecamSizeBytes: 0x1000_0000, ioSizeBytes: 0x10000, memory32Start: 0x4000_0000,
                                     memory32SizeBytes: 0x4000_0000, memory64Start: 0x4_0000_0000,
                                     memory64SizeBytes: 0x4_0000_0000)
            let received = Messages()
            let send: @Sendable (PCIMessage) -> Void = { message in received.list.withLock { $0.append(message) } }
            messages = received
            bridge = PCIHostBridge(windows: windows, intx: lines.map(\.line), message: withMessages ? send : nil)
            bridge.insert(function, device: 2)
            ecam = bridge.ecam
        }
        func read(_ device: UInt64, _ register: UInt64, _ size: Int = 4) -> UInt64 {
            ecam.read(offset: device << 15 | register, size: size)
        }
        func write(_ register: UInt64, _ value: UInt64, _ size: Int = 4) {
            ecam.write(offset: 2 << 15 | register, size: size, value: value)
        }
    }

    @Test func `functions are found by enumeration and absent ones read all ones`() {
        let rig = Rig()
        #expect(rig.read(0, 0) == 0x0008_1b36)
        #expect(rig.read(2, 0) == 0x1042_1af4)
        #expect(rig.read(1, 0) == 0xffff_ffff)
        #expect(rig.read(2, 8) == 0x0180_0000)
        #expect(rig.ecam.read(offset: 1 << 20, size: 2) == 0xffff, "there is no bus 1")
        #expect(rig.ecam.read(offset: 2 << 15 | 1 << 12, size: 2) == 0xffff, "there is no function 1")
        #expect(rig.read(2, 0x100) == 0, "no extended capability")
    }

    @Test func `writing all ones sizes a BAR`() {
        let rig = Rig()
        for register in [0x10, 0x14, 0x18, 0x20, 0x24] as [UInt64] { rig.write(register, 0xffff_ffff) }
        #expect(rig.read(2, 0x10) == 0xffff_ffe1)
        #expect(rig.read(2, 0x14) == 0xffff_f000)
        #expect(rig.read(2, 0x18) == 0)
        #expect(rig.read(2, 0x20) == 0xffff_c00c)
        #expect(rig.read(2, 0x24) == 0xffff_ffff)
    }

    @Test func `BARs answer where the guest put them once decoding is enabled`() {
        let rig = Rig()
        rig.write(0x10, 0x1000)
        rig.write(0x14, 0x4000_1000)
        rig.write(0x20, 0x8000)
        rig.write(0x24, 0x4)
        let memory32 = rig.bridge.memory32, memory64 = rig.bridge.memory64, io = rig.bridge.io
        #expect(memory32.read(offset: 0x1010, size: 4) == 0xffff_ffff, "decoding is off")
        rig.write(0x04, 0x3, 2)
        #expect(memory32.read(offset: 0x1010, size: 4) == 0x110)
        #expect(memory32.read(offset: 0x2000, size: 1) == 0xff)
        #expect(io.read(offset: 0x1008, size: 1) == 8)
        memory64.write(offset: 0x9000, size: 8, value: 77)
        #expect(rig.function.last! == (4, 0x1000, 8, 77))
    }

    @Test func `INTx is swizzled by device, shared, and silenced by Interrupt Disable`() {
        let rig = Rig()
        let second = ProbeFunction()
        rig.bridge.insert(second, device: 6)
        rig.function.config.setInterrupt(true)
        second.config.setInterrupt(true)
        #expect(rig.lines.map(\.level) == [false, false, true, false])
        #expect(rig.read(2, 6, 2) & 0x8 == 0x8)
        rig.function.config.setInterrupt(false)
        #expect(rig.lines[2].level, "the other function still pulls")
        rig.ecam.write(offset: 6 << 15 | 4, size: 2, value: 0x400)
        #expect(!rig.lines[2].level)
        rig.ecam.write(offset: 6 << 15 | 4, size: 2, value: 0)
        #expect(rig.lines[2].level)
    }

    @Test func `MSI-X sends messages, keeps masked ones pending and is absent without a controller`() {
        let rig = Rig()
        let capability = rig.read(2, 0x34, 1)
        #expect(rig.read(2, capability) & 0xff == 0x11 && rig.read(2, capability + 2, 2) == 2)
        let msix = rig.function.msix!
        msix.notify(0)
        #expect(rig.messages.list.withLock { $0.isEmpty })
        rig.write(capability + 2, 0x8000, 2)
        msix.write(offset: 16, size: 8, value: 0x1_2000_0000)
        msix.write(offset: 24, size: 4, value: 42)
        msix.notify(1)
        #expect(msix.read(offset: 0x800, size: 8) == 2 && rig.messages.list.withLock { $0.isEmpty })
        msix.write(offset: 28, size: 4, value: 0)
        #expect(rig.messages.list.withLock { $0 } == [PCIMessage(address: 0x1_2000_0000, data: 42)])
        rig.write(capability + 2, 0xc000, 2)
        msix.notify(1)
        #expect(rig.messages.list.withLock { $0.count } == 1)
        rig.write(capability + 2, 0x8000, 2)
        #expect(rig.messages.list.withLock { $0.count } == 2)
        msix.notify(99)
        #expect(Rig(messages: false).read(2, 0x34, 1) == 0)
    }

    @Test func `state survives a round trip, BAR decoding included`() throws {
        let rig = Rig(), other = Rig()
        rig.write(0x14, 0x4000_1000)
        rig.write(0x04, 0x2, 2)
        rig.function.config.setInterrupt(true)
        try StateProbe.copy(rig.ecam, other.ecam)
        #expect(other.bridge.memory32.read(offset: 0x1010, size: 4) == 0x110 && other.lines[2].level)
        try expectRoundTrip(rig.ecam, other.ecam)
    }

    @Test func `random accesses do no harm`() {
        let rig = Rig()
        let memory = rig.bridge.memory32, high = rig.bridge.memory64
        let registers = (0..<64).map { UInt64(2 << 15 | $0 * 4) }
        fuzz(rig.ecam, windowSizeBytes: 0x1000_0000, seed: 6, interesting: registers) { random in
            let offset = random.next() % 0x4000_0000 & ~7
            switch random.next() % 6 {
            case 0: _ = memory.read(offset: offset, size: 4)
            case 1: memory.write(offset: offset, size: 8, value: random.next())
            case 2: _ = high.read(offset: offset, size: 8)
            case 3: rig.function.msix!.notify(Int(random.next() % 5))
            case 4: rig.function.writeBAR(4, offset: random.next() % 0x1000 & ~7, size: 8, value: random.next())
            default: rig.function.config.setInterrupt(random.next() % 2 == 0)
            }
        }
    }
}
