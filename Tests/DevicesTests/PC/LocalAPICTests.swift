import Bus
import SavedState
import Testing
@testable import Devices

@Suite struct LocalAPICTests {
    @Test func `power-on registers are those of the manual`() {
        let rig = APICRig(2, enabled: false)
        let apic = rig.apics[1]
        #expect(apic.base == 0xfee0_0800 && rig.apics[0].base == 0xfee0_0900)
        #expect(apic.get(0x20) == 1 << 24 && apic.get(0x30) == 0x5_0014)
        #expect(apic.get(0xe0) == 0xffff_ffff && apic.get(0xd0) == 0 && apic.get(0xf0) == 0xff)
        for entry in stride(from: 0x320, through: 0x370, by: 16) { #expect(apic.get(entry) == 0x1_0000) }
        for place in stride(from: 0x100, to: 0x280, by: 16) { #expect(apic.get(place) == 0) }
    }

    @Test func `a fixed interrupt goes from IRR to ISR and ends with EOI`() {
        let rig = APICRig(1)
        let apic = rig.apics[0]
        apic.put(0x300, 0x4_0041)
        #expect(apic.get(0x220) == 1 << 1 && apic.hasInterrupt && rig.processors[0].events.changes > 0)
        #expect(apic.acknowledge() == 0x41)
        #expect(apic.get(0x220) == 0 && apic.get(0x120) == 1 << 1 && apic.get(0xa0) == 0x40)
        apic.put(0x300, 0x4_0042)
        #expect(!apic.hasInterrupt, "the same priority class waits")
        apic.put(0x300, 0x4_0051)
        #expect(apic.acknowledge() == 0x51)
        apic.put(0xb0, 0)
        #expect(!apic.hasInterrupt)
        apic.put(0xb0, 0)
        #expect(apic.acknowledge() == 0x42)
        apic.put(0xb0, 0)
        #expect(apic.acknowledge() == nil)
    }

    @Test func `task priority holds interrupts of its class and below, CR8 is its upper half`() {
        let rig = APICRig(1)
        let apic = rig.apics[0]
        apic.put(0x80, 0x50)
        #expect(apic.taskPriority == 5)
        apic.put(0x300, 0x4_0055)
        #expect(!apic.hasInterrupt)
        apic.taskPriority = 4
        #expect(apic.hasInterrupt && apic.get(0x80) == 0x40)
    }

    @Test func `IPIs reach one, all, all but one, or a logical set`() {
        let rig = APICRig(4)
        for (index, apic) in rig.apics.enumerated() { apic.put(0xd0, 1 << UInt64(24 + index)) }
        let sender = rig.apics[0]
        func waiting() -> [Int] { rig.apics.indices.filter { rig.apics[$0].acknowledge() != nil } }
        func finish(_ who: [Int]) { for index in who { rig.apics[index].put(0xb0, 0) } }
        for (high, low, expected) in [(2 << 24, 0x4040, [2]), (0xff << 24, 0x4040, [0, 1, 2, 3]), (0, 0x4_4040, [0]),
                                      (0, 0x8_4040, [0, 1, 2, 3]), (0, 0xc_4040, [1, 2, 3]),
                                      (0xa << 24, 0x4840, [1, 3]), (9 << 24, 0x4040, [])] as [(UInt64, UInt64, [Int])] {
            sender.put(0x310, high)
            sender.put(0x300, low)
            #expect(waiting() == expected, "ICR \(String(low, radix: 16))")
            finish(expected)
        }
    }

    @Test func `cluster mode matches cluster and member`() {
        let rig = APICRig(3)
        for (index, logical) in [0x11, 0x12, 0x21].enumerated() {
            rig.apics[index].put(0xe0, 0)
            rig.apics[index].put(0xd0, UInt64(logical) << 24)
        }
        func reached(_ destination: UInt32) -> [Int] {
            rig.network.send(APICMessage(destination: destination, isLogical: true, delivery: .fixed, vector: 0x40))
            return rig.apics.indices.filter { index in
                defer { rig.apics[index].put(0xb0, 0) }
                return rig.apics[index].acknowledge() != nil
            }
        }
        #expect(reached(0x13) == [0, 1])
        #expect(reached(0x21) == [2])
        #expect(reached(0xf1) == [0, 2])
        #expect(reached(0xff) == [0, 1, 2])
    }

    @Test func `lowest priority goes to one of the least busy`() {
        let rig = APICRig(3)
        for apic in rig.apics { apic.put(0xd0, 0xff << 24) }
        rig.apics[0].put(0x80, 0x20)
        var taken = [0, 0, 0]
        for round in 0..<6 {
            let vector = UInt8(0x40 + round)
            #expect(rig.network.send(APICMessage(destination: 0xff, isLogical: true, delivery: .lowestPriority, vector: vector)))
            for index in 0..<3 where rig.apics[index].acknowledge() != nil {
                taken[index] += 1
                rig.apics[index].put(0xb0, 0)
            }
        }
        #expect(taken == [0, 3, 3])
    }

    @Test func `NMI, INIT and start-up IPIs go to the processor, the de-assert does not`() {
        let rig = APICRig(2)
        rig.apics[0].put(0x310, 1 << 24)
        for low in [0x4400, 0xc500, 0x8500, 0x4699] as [UInt64] { rig.apics[0].put(0x300, low) }
        let seen = rig.processors[1].events
        #expect(seen.nmis == 1 && seen.inits == 1 && seen.startUps == [0x99])
        #expect(rig.processors[0].events.inits == 0)
    }

    @Test func `illegal vectors and registers show in ESR after a write, and interrupt`() {
        let rig = APICRig(1)
        let apic = rig.apics[0]
        apic.put(0x370, 0xfe)
        apic.put(0x300, 0x4_0005)
        #expect(apic.get(0x280) == 0)
        apic.put(0x280, 0)
        #expect(apic.get(0x280) == 1 << 5)
        #expect(apic.acknowledge() == 0xfe)
        _ = apic.get(0x3c0)
        apic.put(0x280, 0)
        #expect(apic.get(0x280) == 1 << 7)
        apic.put(0x280, 0)
        #expect(apic.get(0x280) == 0)
    }

    @Test func `switching the APIC off by software masks its vectors and refuses interrupts`() {
        let rig = APICRig(1)
        let apic = rig.apics[0]
        apic.put(0x320, 0x30)
        apic.put(0xf0, 0xff)
        #expect(apic.get(0x320) == 0x1_0030)
        apic.put(0x320, 0x30)
        #expect(apic.get(0x320) == 0x1_0030)
        #expect(!rig.network.send(APICMessage(destination: 0, isLogical: false, delivery: .fixed, vector: 0x40)))
    }

    @Test func `a one-shot timer counts down and fires once`() {
        let rig = APICRig(1)
        let apic = rig.apics[0]
        apic.put(0x3e0, 3)
        apic.put(0x320, 0x31)
        apic.put(0x380, 1000)
        #expect(rig.timers[0].deadline == 16_000)
        rig.clock.advance(nanoseconds: 8000)
        #expect(apic.get(0x390) == 500)
        apic.timerFired()
        #expect(!apic.hasInterrupt)
        rig.clock.advance(nanoseconds: 8000)
        apic.timerFired()
        #expect(apic.acknowledge() == 0x31 && apic.get(0x390) == 0 && rig.timers[0].deadline == nil)
    }

    @Test func `a periodic timer goes on, late periods count once`() {
        let rig = APICRig(1)
        let apic = rig.apics[0]
        apic.put(0x3e0, 0xb)
        apic.put(0x320, 0x2_0031)
        apic.put(0x380, 100_000)
        rig.clock.advance(nanoseconds: 350_000)
        apic.timerFired()
        #expect(apic.acknowledge() == 0x31 && rig.timers[0].deadline == 400_000 && apic.get(0x390) == 50_000)
        apic.put(0xb0, 0)
        apic.timerFired()
        #expect(!apic.hasInterrupt)
        apic.put(0x380, 0)
        #expect(rig.timers[0].deadline == nil && apic.get(0x390) == 0)
    }

    @Test func `a deadline fires at its tick, at once when past, and zero disarms`() {
        let rig = APICRig(1)
        let apic = rig.apics[0]
        #expect(apic.writeMSR(0x6e0, 50) && apic.readMSR(0x6e0) == 0, "not in deadline mode")
        apic.put(0x320, 0x4_0033)
        rig.clock.advance(nanoseconds: 1000)
        #expect(apic.writeMSR(0x6e0, 2000) && rig.timers[0].deadline == 2000 && apic.readMSR(0x6e0) == 2000)
        apic.put(0x380, 77)
        #expect(apic.get(0x380) == 0)
        rig.clock.advance(nanoseconds: 1000)
        apic.timerFired()
        #expect(apic.acknowledge() == 0x33 && apic.readMSR(0x6e0) == 0)
        apic.put(0xb0, 0)
        #expect(apic.writeMSR(0x6e0, 1) && apic.acknowledge() == 0x33)
        apic.put(0xb0, 0)
        #expect(apic.writeMSR(0x6e0, 9000) && apic.writeMSR(0x6e0, 0) && rig.timers[0].deadline == nil)
    }

    @Test func `LINT0 passes the 8259s on in ExtINT mode and when the APIC is off`() {
        let rig = APICRig(1)
        let apic = rig.apics[0]
        apic.lint0.set(true)
        #expect(!apic.hasInterrupt, "masked")
        apic.put(0x350, 0x700)
        #expect(apic.hasInterrupt && apic.acknowledge() == 0x77)
        apic.lint0.set(false)
        #expect(!apic.hasInterrupt)
        #expect(apic.writeMSR(0x1b, 0xfee0_0100))
        apic.lint0.set(true)
        #expect(apic.hasInterrupt && apic.acknowledge() == 0x77)
        let absent = APICRig(1, presence: .absent, enabled: false).apics[0]
        absent.lint0.set(true)
        #expect(absent.acknowledge() == 0x77 && absent.readMSR(0x1b) == nil && !absent.writeMSR(0x1b, 0xfee0_0900))
    }

    @Test func `LINT0 delivers fixed interrupts and NMIs by its entry`() {
        let rig = APICRig(1)
        let apic = rig.apics[0]
        apic.put(0x350, 0x8044)
        apic.lint0.set(true)
        #expect(apic.acknowledge() == 0x44 && apic.get(0x350) == 0xc044)
        apic.put(0xb0, 0)
        #expect(apic.acknowledge() == 0x44, "still high")
        apic.lint0.set(false)
        apic.put(0xb0, 0)
        #expect(!apic.hasInterrupt && apic.get(0x350) == 0x8044)
        apic.put(0x360, 0x400)
        apic.lint1.set(true)
        #expect(rig.processors[0].events.nmis == 1)
    }

    @Test func `x2APIC has its own transitions, identities and faults`() {
        let rig = APICRig(4)
        let apic = rig.apics[2]
        #expect(apic.readMSR(0x802) == nil && !apic.writeMSR(0x80b, 0))
        #expect(!apic.writeMSR(0x1b, 0xfee0_0400), "x2APIC without enable")
        #expect(apic.enterX2() && !apic.writeMSR(0x1b, 0xfee0_0800), "not back without going off")
        #expect(apic.readMSR(0x802) == 2 && apic.readMSR(0x80d) == 4)
        #expect(apic.readMSR(0x80e) == nil && apic.readMSR(0x831) == nil && apic.readMSR(0x83f) == nil)
        #expect(!apic.writeMSR(0x80b, 1) && !apic.writeMSR(0x808, 0x100) && !apic.writeMSR(0x802, 0))
        #expect(apic.writeMSR(0x83f, 0x61) && apic.acknowledge() == 0x61 && apic.writeMSR(0x80b, 0))
        #expect(apic.writeMSR(0x830, 3 << 32 | 0x4040) && rig.apics[3].acknowledge() == 0x40)
        #expect(apic.readMSR(0x830) == 3 << 32 | 0x4040)
        #expect(apic.writeMSR(0x830, 0xffff_ffff << 32 | 0x4400) && rig.processors[0].events.nmis == 1)
        #expect(apic.writeMSR(0x1b, 0xfee0_0000) && !apic.enterX2(), "off, then xAPIC first")
        #expect(!rig.apics[0].writeMSR(0x1b, 0xfee0_0900 | 1 << 60))
        #expect(!APICRig(1, presence: .xAPIC).apics[0].enterX2())
    }

    @Test func `INIT resets all but ID and base`() {
        let rig = APICRig(1)
        let apic = rig.apics[0]
        apic.put(0x20, 5 << 24)
        apic.put(0x320, 0x31)
        apic.put(0x380, 1000)
        apic.initialize()
        #expect(apic.get(0x20) == 5 << 24 && apic.get(0x320) == 0x1_0000 && apic.get(0xf0) == 0xff)
        #expect(rig.timers[0].deadline == nil && apic.base == 0xfee0_0900)
    }

    @Test func `a message address is a local APIC's or nothing`() {
        let message = APICMessage(messageAddress: 0xfee0_3004, data: 0xc141)
        #expect(message == APICMessage(destination: 3, isLogical: true, delivery: .lowestPriority, vector: 0x41, isLevel: true))
        #expect(APICMessage(messageAddress: 0xfed0_0000, data: 0) == nil)
        #expect(APICMessage(messageAddress: 0x1_fee0_0000, data: 0) == nil)
        #expect(APICMessage(messageAddress: 0xfee0_0000, data: 0x300) == nil)
    }

    @Test func `state survives a round trip, damaged state does no harm`() throws {
        let rig = APICRig(2), other = APICRig(2)
        let apic = rig.apics[1]
        apic.put(0x320, 0x4_0031)
        _ = apic.writeMSR(0x6e0, 5000)
        apic.put(0x300, 0x4_0051)
        _ = apic.acknowledge()
        _ = apic.enterX2()
        var writer = StateWriter()
        apic.save(to: &writer)
        var reader = StateReader(writer.bytes)
        try other.apics[1].restore(from: &reader)
        var second = StateWriter()
        other.apics[1].save(to: &second)
        #expect(second.bytes == writer.bytes && other.timers[1].deadline == 5000)
        var random = SplitMix(seed: 3)
        for _ in 0..<500 {
            var damaged = writer.bytes
            damaged[Int(random.next() % UInt64(damaged.count))] = UInt8(truncatingIfNeeded: random.next())
            var hostile = StateReader(damaged.prefix(damaged.count - Int(random.next() % 3)).map { $0 })
            try? other.apics[1].restore(from: &hostile)
            other.apics[1].timerFired()
            _ = other.apics[1].acknowledge()
            _ = other.apics[1].get(0x390)
        }
    }

    @Test func `random accesses of all kinds do no harm`() {
        let rig = APICRig(3)
        var random = SplitMix(seed: 11)
        for _ in 0..<60_000 {
            let apic = rig.apics[Int(random.next() % 3)]
            let offset = Int(random.next() % 0x400), value = random.next() % 2 == 0 ? random.next() : random.next() % 0x20_0000
            switch random.next() % 8 {
            case 0: _ = apic.read(offset: offset, size: [1, 2, 4, 8][Int(random.next() % 4)])
            case 1: apic.write(offset: offset & ~0xf, size: 4, value: value)
            case 2: _ = apic.readMSR(0x800 + UInt32(random.next() % 0x100))
            case 3: _ = apic.writeMSR(0x800 + UInt32(random.next() % 0x40), value % 0x1_0000)
            case 4: _ = apic.writeMSR(random.next() % 2 == 0 ? 0x1b : 0x6e0, random.next() % 2 == 0 ? value : 0xfee0_0000 | value & 0xd00)
            case 5: rig.clock.advance(nanoseconds: value % 100_000_000)
            case 6: apic.timerFired()
            default:
                apic.lint0.set(random.next() % 2 == 0)
                if apic.hasInterrupt { _ = apic.acknowledge() }
            }
        }
    }
}
