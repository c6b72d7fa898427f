import Testing
@testable import Devices

@Suite struct PLICTests {
    final class Rig {
        let outputs = (0..<4).map { _ in RecordingLine() }
        lazy var plic = PLIC(sourceCount: 96, outputs: outputs.map(\.line))
        func write(_ offset: UInt64, _ value: UInt64) { plic.write(offset: offset, size: 4, value: value) }
        func read(_ offset: UInt64) -> UInt64 { plic.read(offset: offset, size: 4) }
        func enable(_ source: Int, context: Int) {
            let offset = 0x2000 + UInt64(context) * 0x80 + UInt64(source / 32 * 4)
            write(offset, read(offset) | 1 << UInt64(source % 32))
        }
        func claim(_ context: Int) -> UInt64 { read(0x20_0004 + UInt64(context) * 0x1000) }
        func complete(_ context: Int, _ source: UInt64) { write(0x20_0004 + UInt64(context) * 0x1000, source) }
    }

    @Test func `a source interrupts only contexts that enable it with enough priority`() {
        let rig = Rig()
        rig.enable(10, context: 1)
        rig.plic.line(10).set(true)
        #expect(!rig.outputs[1].level, "priority 0 never interrupts")
        rig.write(40, 1)
        #expect(rig.outputs[1].level && !rig.outputs[0].level)
        rig.write(0x20_1000, 1)
        #expect(!rig.outputs[1].level, "the threshold masks equal priority")
        #expect(rig.claim(1) == 10, "a claim ignores the threshold")
    }

    @Test func `claim takes the highest priority, then the lowest number`() {
        let rig = Rig()
        for (source, priority) in [(3, 2), (5, 7), (40, 7), (95, 1)] as [(Int, UInt64)] {
            rig.enable(source, context: 0)
            rig.write(UInt64(source) * 4, priority)
            rig.plic.line(source).set(true)
        }
        #expect([rig.claim(0), rig.claim(0), rig.claim(0), rig.claim(0), rig.claim(0)] == [5, 40, 3, 95, 0])
        #expect(!rig.outputs[0].level)
    }

    @Test func `a level that stays high interrupts again after completion`() {
        let rig = Rig()
        rig.enable(1, context: 0)
        rig.write(4, 1)
        rig.plic.line(1).set(true)
        #expect(rig.claim(0) == 1 && !rig.outputs[0].level)
        rig.complete(0, 1)
        #expect(rig.outputs[0].level)
        #expect(rig.claim(0) == 1)
        rig.plic.line(1).set(false)
        rig.complete(0, 1)
        #expect(!rig.outputs[0].level)
    }

    @Test func `completion by a context that does not enable the source is ignored`() {
        let rig = Rig()
        rig.enable(1, context: 0)
        rig.write(4, 1)
        rig.plic.line(1).set(true)
        #expect(rig.claim(0) == 1)
        rig.complete(1, 1)
        #expect(!rig.outputs[0].level)
        rig.complete(0, 1000)
        rig.complete(0, 0)
        #expect(!rig.outputs[0].level)
    }

    @Test func `registers of absent sources and contexts read zero`() {
        let rig = Rig()
        rig.write(0, 7)
        rig.write(96 * 4, 7)
        rig.write(0x2000, 0xffff_ffff)
        rig.write(0x200c, 0xffff_ffff)
        #expect(rig.read(0) == 0 && rig.read(96 * 4) == 0 && rig.read(0x2000) == 0xffff_fffe && rig.read(0x200c) == 0)
        rig.write(0x20_4000, 7)
        #expect(rig.read(0x20_4000) == 0 && rig.read(0x20_4004) == 0)
        rig.write(4, 0xff)
        #expect(rig.read(4) == 7)
    }

    @Test func `state survives a round trip and drives the lines`() throws {
        let rig = Rig(), other = Rig()
        rig.enable(33, context: 3)
        rig.write(33 * 4, 4)
        rig.plic.line(33).set(true)
        try StateProbe.copy(rig.plic, other.plic)
        #expect(other.outputs[3].level && other.claim(3) == 33)
        try expectRoundTrip(rig.plic, other.plic)
    }

    @Test func `random accesses do no harm`() {
        let rig = Rig()
        fuzz(rig.plic, windowSizeBytes: 0x60_0000, seed: 3,
             interesting: Array(stride(from: 0, to: 0x190, by: 4)) + [0x1000, 0x100c, 0x2000, 0x2008, 0x200c, 0x2080]
                + [0x20_0000, 0x20_0004, 0x20_1004, 0x20_3004, 0x20_4000]) { random in
            rig.plic.line(Int(random.next() % 95) + 1).set(random.next() % 2 == 0)
        }
    }
}
