import Bus
import Testing
@testable import Devices

@Suite struct I8259Tests {
    final class Rig {
        let line = RecordingLine()
        lazy var pair = I8259Pair(output: line.line)
        lazy var ports = [pair.master, pair.slave, pair.edgeLevel]
        func out(_ port: Int, _ offset: UInt64, _ value: UInt64) { ports[port].write(offset: offset, size: 1, value: value) }
        func read(_ port: Int, _ offset: UInt64) -> UInt64 { ports[port].read(offset: offset, size: 1) }
        /// As a BIOS does: vectors 08 and 70, edge-triggered, cascaded.
        init() {
            for (port, vector, cascade) in [(0, 0x08, 4), (1, 0x70, 2)] as [(Int, UInt64, UInt64)] {
                out(port, 0, 0x11)
                out(port, 1, vector)
                out(port, 1, cascade)
                out(port, 1, 1)
            }
        }
        func pulse(_ irq: Int) {
            pair.line(irq).set(true)
            pair.line(irq).set(false)
        }
    }

    @Test func `the lowest number has priority and blocks the others until its end`() {
        let rig = Rig()
        rig.pair.line(4).set(true)
        rig.pair.line(1).set(true)
        #expect(rig.line.level)
        #expect(rig.pair.acknowledge() == 0x09)
        #expect(!rig.line.level, "IRQ 4 waits for the end of IRQ 1")
        rig.out(0, 0, 0x20)
        #expect(rig.line.level && rig.pair.acknowledge() == 0x0c)
        rig.pair.line(0).set(true)
        #expect(rig.line.level, "a higher one interrupts the handler")
    }

    @Test func `the slave arrives through input 2 with its own vector`() {
        let rig = Rig()
        rig.pair.line(12).set(true)
        #expect(rig.line.level && rig.pair.acknowledge() == 0x74)
        rig.out(0, 0, 0x0b)
        rig.out(1, 0, 0x0b)
        #expect(rig.read(0, 0) == 4 && rig.read(1, 0) == 0x10)
        rig.out(1, 0, 0x20)
        rig.out(0, 0, 0x20)
        #expect(rig.read(0, 0) == 0 && rig.read(1, 0) == 0)
    }

    @Test func `a request that vanishes gives the spurious vector without service`() {
        let rig = Rig()
        rig.pulse(5)
        #expect(!rig.line.level && rig.pair.acknowledge() == 0x0f)
        rig.out(0, 0, 0x0b)
        #expect(rig.read(0, 0) == 0)
    }

    @Test func `masked inputs wait, edge inputs come once, level inputs again`() {
        let rig = Rig()
        rig.out(0, 1, 0xff)
        rig.pair.line(3).set(true)
        #expect(!rig.line.level)
        rig.out(0, 1, 0)
        #expect(rig.line.level && rig.pair.acknowledge() == 0x0b)
        rig.out(0, 0, 0x20)
        #expect(!rig.line.level, "the same edge does not count twice")
        rig.out(2, 0, 0xff)
        #expect(rig.read(2, 0) == 0xf8, "IRQ 0, 1 and 2 stay edge-triggered")
        #expect(rig.line.level && rig.pair.acknowledge() == 0x0b)
        rig.out(0, 0, 0x63)
        #expect(rig.line.level)
        rig.pair.line(3).set(false)
        #expect(!rig.line.level)
    }

    @Test func `automatic end, rotation, special mask, poll`() {
        let rig = Rig()
        rig.out(0, 0, 0x11)
        rig.out(0, 1, 0x20)
        rig.out(0, 1, 4)
        rig.out(0, 1, 3)
        rig.pair.line(3).set(true)
        #expect(rig.pair.acknowledge() == 0x23)
        rig.out(0, 0, 0x0b)
        #expect(rig.read(0, 0) == 0, "automatic end of interrupt")

        let rotated = Rig()
        rotated.pair.line(3).set(true)
        _ = rotated.pair.acknowledge()
        rotated.out(0, 0, 0xa0)
        rotated.pulse(3)
        rotated.pair.line(4).set(true)
        rotated.pair.line(3).set(true)
        #expect(rotated.pair.acknowledge() == 0x0c, "IRQ 3 is the lowest now")

        let special = Rig()
        special.pair.line(1).set(true)
        _ = special.pair.acknowledge()
        special.out(0, 1, 2)
        special.out(0, 0, 0x68)
        special.pair.line(6).set(true)
        #expect(special.line.level && special.pair.acknowledge() == 0x0e)

        let polled = Rig()
        polled.pair.line(6).set(true)
        polled.out(0, 0, 0x0c)
        #expect(polled.read(0, 0) == 0x86)
        #expect(!polled.line.level)
    }

    @Test func `the mask is zero after initialization and reads back`() {
        let rig = Rig()
        rig.out(0, 1, 0xfb)
        #expect(rig.read(0, 1) == 0xfb)
        rig.out(0, 0, 0x11)
        rig.out(0, 1, 0x30)
        rig.out(0, 1, 4)
        rig.out(0, 1, 1)
        #expect(rig.read(0, 1) == 0)
    }

    @Test func `state survives a round trip`() throws {
        let rig = Rig(), other = Rig()
        rig.pair.line(12).set(true)
        rig.out(1, 1, 0x80)
        try StateProbe.copy(rig.ports[0], other.ports[0])
        #expect(other.pair.acknowledge() == 0x74)
        try expectRoundTrip(rig.ports[0], other.ports[0])
    }

    @Test func `random accesses do no harm`() {
        let rig = Rig()
        for (port, seed) in [(0, 1), (1, 2), (2, 3)] as [(Int, UInt64)] {
            fuzz(rig.ports[port], windowSizeBytes: 2, seed: seed) { random in
                rig.pair.line(Int(random.next() % 16)).set(random.next() % 2 == 0)
                if random.next() % 4 == 0 { _ = rig.pair.acknowledge() }
            }
        }
    }
}
