import Bus
import Testing
@testable import Devices

@Suite struct IOAPICTests {
    @Test func `it has 24 masked inputs at power-on and identifies itself`() {
        let rig = APICRig(1)
        rig.io.write(offset: 0, size: 4, value: 1)
        #expect(rig.io.read(offset: 0x10, size: 4) == 0x17_0020)
        for pin in 0..<24 { #expect(rig.redirection(UInt64(pin)) == 0x1_0000) }
        rig.io.write(offset: 0, size: 4, value: 0)
        rig.io.write(offset: 0x10, size: 4, value: 0xff00_0000)
        #expect(rig.io.read(offset: 0x10, size: 4) == 0x0f00_0000)
    }

    @Test func `an edge is delivered once, and lost while masked`() {
        let rig = APICRig(1)
        let line = rig.io.line(4)
        line.set(true)
        rig.redirect(4, 0x31)
        #expect(!rig.apics[0].hasInterrupt)
        line.set(false)
        line.set(true)
        #expect(rig.apics[0].acknowledge() == 0x31)
        rig.apics[0].put(0xb0, 0)
        #expect(!rig.apics[0].hasInterrupt)
    }

    @Test func `a level is delivered again as long as it stays, after each end`() {
        let rig = APICRig(1)
        let line = rig.io.line(10), apic = rig.apics[0]
        rig.redirect(10, 0x8051)
        line.set(true)
        #expect(rig.redirection(10) & 1 << 14 != 0, "remote IRR")
        #expect(apic.acknowledge() == 0x51 && apic.get(0x1a0) == 1 << 17, "TMR")
        line.set(false)
        line.set(true)
        #expect(!apic.hasInterrupt)
        apic.put(0xb0, 0)
        #expect(apic.acknowledge() == 0x51)
        line.set(false)
        apic.put(0xb0, 0)
        #expect(!apic.hasInterrupt && rig.redirection(10) & 1 << 14 == 0)
    }

    @Test func `masking and rewriting an entry in service keeps its remote IRR, edge mode clears it`() {
        let rig = APICRig(1)
        let line = rig.io.line(10), apic = rig.apics[0]
        rig.redirect(10, 0x8051)
        line.set(true)
        _ = apic.acknowledge()
        rig.redirect(10, 0x1_8051)
        #expect(rig.redirection(10) == 0x1_c051)
        apic.put(0xb0, 0)
        #expect(rig.redirection(10) == 0x1_8051 && !apic.hasInterrupt)
        rig.redirect(10, 0x8051)
        #expect(apic.acknowledge() == 0x51)
        rig.redirect(10, 0x1_0051)
        #expect(rig.redirection(10) == 0x1_0051)
        rig.redirect(10, 0x8051)
    }

    @Test func `destinations are physical or logical, delivery may be NMI or ExtINT`() {
        let rig = APICRig(3)
        rig.redirect(1, 2 << 56 | 0x40)
        rig.io.line(1).set(true)
        #expect(rig.apics[2].acknowledge() == 0x40 && !rig.apics[0].hasInterrupt)
        rig.apics[1].put(0xd0, 2 << 24)
        rig.redirect(2, 2 << 56 | 0x841)
        rig.io.line(2).set(true)
        #expect(rig.apics[1].acknowledge() == 0x41)
        rig.redirect(3, 1 << 56 | 0x400)
        rig.io.line(3).set(true)
        #expect(rig.processors[1].events.nmis == 1)
        rig.redirect(0, 0x700)
        rig.io.line(0).set(true)
        #expect(rig.apics[0].acknowledge() == 0x77)
    }

    @Test func `a level that nobody takes waits for the next write of its entry`() {
        let rig = APICRig(1, enabled: false)
        rig.redirect(9, 0x8060)
        rig.io.line(9).set(true)
        #expect(rig.redirection(9) & 1 << 14 == 0)
        rig.apics[0].put(0xf0, 0x1ff)
        rig.redirect(9, 0x8060)
        #expect(rig.apics[0].acknowledge() == 0x60)
    }

    @Test func `state survives a round trip`() throws {
        let rig = APICRig(1), other = APICRig(1)
        rig.redirect(10, 0x8051)
        rig.io.line(10).set(true)
        try expectRoundTrip(rig.io, other.io)
    }

    @Test func `random accesses do no harm`() {
        let rig = APICRig(2)
        fuzz(rig.io, windowSizeBytes: 0x1000, seed: 12, interesting: [0, 0x10]) { random in
            rig.io.line(Int(random.next() % 24)).set(random.next() % 2 == 0)
            let apic = rig.apics[Int(random.next() % 2)]
            if random.next() % 2 == 0 { _ = apic.acknowledge() } else { apic.put(0xb0, 0) }
        }
    }
}
