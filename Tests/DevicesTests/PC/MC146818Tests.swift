import Bus
import Synchronization
import Testing
@testable import Devices

@Suite struct MC146818Tests {
    final class Rig {
        let clock = GuestClock(frequencyHz: 1_000_000_000, source: .manual)
        let line = RecordingLine(), timer = RecordingTimer()
        let wallStart: UInt64
        lazy var rtc: MC146818 = {
            let clock = clock, start = wallStart
            return MC146818(interrupt: line.line, memory: [0x5f: 3], wallNanoseconds: { start &+ clock.nanoseconds },
                            clock: clock, timer: timer.timer)
        }()
        /// - Parameter seconds: since 1970.
        init(at seconds: UInt64 = 1_709_210_096) { wallStart = seconds * 1_000_000_000 }
        func read(_ register: UInt64) -> UInt64 {
            rtc.write(offset: 0, size: 1, value: register)
            return rtc.read(offset: 1, size: 1)
        }
        func write(_ register: UInt64, _ value: UInt64) {
            rtc.write(offset: 0, size: 1, value: register)
            rtc.write(offset: 1, size: 1, value: value)
        }
        func pass(milliseconds: UInt64) {
            clock.advance(nanoseconds: milliseconds * 1_000_000)
            rtc.timerFired()
        }
        var time: [UInt64] { [0x32, 9, 8, 7, 6, 4, 2, 0].map(read) }
    }

    @Test func `the time is the host's, in BCD and 24 hours at first`() {
        // 2024-02-29 12:34:56, a Thursday.
        let rig = Rig()
        #expect(rig.time == [0x20, 0x24, 0x02, 0x29, 0x05, 0x12, 0x34, 0x56])
        rig.pass(milliseconds: 12 * 3600 * 1000)
        #expect(rig.time == [0x20, 0x24, 0x03, 0x01, 0x06, 0x00, 0x34, 0x56])
        rig.write(0x0b, 0x04)
        #expect(rig.read(4) == 12, "12-hour binary: midnight is 12")
        rig.pass(milliseconds: 13 * 3600 * 1000)
        #expect(rig.read(4) == 0x81, "one in the afternoon")
        #expect(rig.read(0x0d) == 0x80 && rig.read(0x5f) == 3)
    }

    @Test func `the clock is set while SET holds it, field by field`() {
        let rig = Rig()
        rig.write(0x0b, 0x82)
        for (register, value) in [(0, 0x59), (2, 0x59), (4, 0x23), (7, 0x31), (8, 0x12), (9, 0x99), (0x32, 0x19)] as [(UInt64, UInt64)] {
            rig.write(register, value)
        }
        rig.pass(milliseconds: 5000)
        #expect(rig.read(0) == 0x59, "held")
        rig.write(0x0b, 0x02)
        #expect(rig.time == [0x19, 0x99, 0x12, 0x31, 0x06, 0x23, 0x59, 0x59])
        rig.pass(milliseconds: 1000)
        #expect(rig.time == [0x20, 0x00, 0x01, 0x01, 0x07, 0x00, 0x00, 0x00])
    }

    @Test func `update in progress shows just before the second changes`() {
        let rig = Rig()
        #expect(rig.read(0x0a) == 0x26)
        rig.clock.advance(nanoseconds: 999_800_000)
        #expect(rig.read(0x0a) == 0xa6)
        rig.clock.advance(nanoseconds: 200_000)
        #expect(rig.read(0x0a) == 0x26)
    }

    @Test func `the periodic interrupt comes at its rate and waits for register C to be read`() {
        let rig = Rig()
        rig.write(0x0b, 0x42)
        #expect(rig.timer.deadline == 976_563)
        rig.pass(milliseconds: 1)
        #expect(rig.line.level && rig.timer.deadline == nil)
        #expect(rig.read(0x0c) & 0xc0 == 0xc0 && !rig.line.level)
        #expect(rig.timer.deadline != nil && rig.read(0x0c) == 0)
    }

    @Test func `update-ended and alarm interrupts follow the second`() {
        let rig = Rig()
        rig.write(0x0b, 0x12)
        rig.pass(milliseconds: 999)
        #expect(!rig.line.level)
        rig.pass(milliseconds: 2)
        #expect(rig.line.level && rig.read(0x0c) & 0x90 == 0x90)
        for (register, value) in [(1, 0x05), (3, 0x35), (5, 0xff)] as [(UInt64, UInt64)] { rig.write(register, value) }
        rig.write(0x0b, 0x22)
        // 12:34:57.001 now; the alarm is at 12:35:05.
        #expect(rig.timer.deadline! / 1_000_000 == 9000)
        rig.pass(milliseconds: 7990)
        #expect(!rig.line.level)
        rig.pass(milliseconds: 20)
        #expect(rig.line.level && rig.read(0x0c) & 0xa0 == 0xa0)
    }

    @Test func `calendar dates and day counts are inverse`() {
        for days in stride(from: 0, to: 200_000, by: 13) { #expect(CivilDate(days: days).days == days) }
        #expect(CivilDate(days: 11016) == CivilDate(days: 11016) && CivilDate(days: 11016).day == 29)
        #expect(CivilDate(days: 0).weekday == 5)
    }

    @Test func `state survives a round trip`() throws {
        let rig = Rig(), other = Rig()
        rig.write(0x0b, 0xc2)
        rig.write(9, 0x50)
        rig.write(0x40, 0xaa)
        try expectRoundTrip(rig.rtc, other.rtc)
    }

    @Test func `random accesses do no harm`() {
        let rig = Rig()
        fuzz(rig.rtc, windowSizeBytes: 2, seed: 70) { random in
            if random.next() % 4 == 0 { rig.clock.advance(nanoseconds: random.next() % 5_000_000_000) }
            if random.next() % 4 == 0 { rig.rtc.timerFired() }
            if random.next() % 4 == 0 { rig.rtc.write(offset: 0, size: 1, value: random.next() % 16) }
        }
    }
}
