import Bus
import Testing
@testable import Devices

@Suite struct ACLINTTests {
    final class Rig {
        let clock = GuestClock(source: .manual)
        let software = [RecordingLine(), RecordingLine()], timers = [RecordingLine(), RecordingLine()]
        let deadlines = [RecordingTimer(), RecordingTimer()]
        lazy var aclint = ACLINT(harts: (0..<2).map {
            ACLINTHart(software: software[$0].line, timer: timers[$0].line, deadline: deadlines[$0].timer)
        }, clock: clock)
    }

    @Test func `msip drives the software interrupt of its hart`() {
        let rig = Rig()
        rig.aclint.write(offset: 4, size: 4, value: 0xffff_ffff)
        #expect(!rig.software[0].level && rig.software[1].level)
        #expect(rig.aclint.read(offset: 4, size: 4) == 1)
        rig.aclint.write(offset: 4, size: 4, value: 0)
        #expect(!rig.software[1].level)
        rig.aclint.write(offset: 8, size: 4, value: 1)
        #expect(rig.aclint.read(offset: 8, size: 4) == 0, "there is no hart 2")
    }

    @Test func `mtimecmp arms a deadline and raises the line when it comes`() {
        let rig = Rig()
        rig.aclint.write(offset: 0x4008, size: 8, value: 100)
        #expect(rig.deadlines[1].deadline == 100 && !rig.timers[1].level)
        rig.clock.advance(ticks: 99)
        rig.aclint.timerFired(hart: 1)
        #expect(!rig.timers[1].level)
        rig.clock.advance(ticks: 1)
        rig.aclint.timerFired(hart: 1)
        #expect(rig.timers[1].level && !rig.timers[0].level)
        rig.aclint.write(offset: 0x400c, size: 4, value: 1)
        #expect(!rig.timers[1].level && rig.deadlines[1].deadline == 0x1_0000_0064)
        #expect(rig.aclint.read(offset: 0x4008, size: 8) == 0x1_0000_0064)
    }

    @Test func `mtime is readable in halves and writable`() {
        let rig = Rig()
        rig.aclint.write(offset: 0x4000, size: 8, value: 0x2_0000_0000)
        rig.clock.advance(ticks: 5)
        #expect(rig.aclint.read(offset: 0xbff8, size: 8) == 5)
        rig.aclint.write(offset: 0xbffc, size: 4, value: 2)
        #expect(rig.aclint.read(offset: 0xbffc, size: 4) == 2 && rig.timers[0].level)
    }

    @Test func `state survives a round trip`() throws {
        let rig = Rig(), other = Rig()
        rig.aclint.write(offset: 0, size: 4, value: 1)
        rig.aclint.write(offset: 0x4008, size: 8, value: 12345)
        try expectRoundTrip(rig.aclint, other.aclint)
    }

    @Test func `random accesses do no harm`() {
        let rig = Rig()
        fuzz(rig.aclint, windowSizeBytes: ACLINT.sizeBytes, seed: 2,
             interesting: [0, 4, 8, 0x3ff8, 0x3ffc, 0x4000, 0x4004, 0x4008, 0x4010, 0xbff0, 0xbff8, 0xbffc]) { random in
            if random.next() % 8 == 0 { rig.aclint.timerFired(hart: Int(random.next() % 4)) }
        }
    }
}
