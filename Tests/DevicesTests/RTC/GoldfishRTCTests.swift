import Bus
import Synchronization
import Testing
@testable import Devices

@Suite struct GoldfishRTCTests {
    final class Wall: Sendable {
        let now = Atomic<UInt64>(0x1_2345_6789_abcd)
    }
    final class Rig {
        let wall = Wall(), line = RecordingLine(), timer = RecordingTimer(), clock = GuestClock(source: .manual)
        lazy var rtc = GoldfishRTC(interrupt: line.line, wallNanoseconds: { [wall] in wall.now.load(ordering: .relaxed) },
                                   clock: clock, timer: timer.timer)
        func read(_ offset: UInt64) -> UInt64 { rtc.read(offset: offset, size: 4) }
        func write(_ offset: UInt64, _ value: UInt64) { rtc.write(offset: offset, size: 4, value: value) }
    }

    @Test func `reading the low word latches the high word`() {
        let rig = Rig()
        #expect(rig.read(0) == 0x6789_abcd)
        rig.wall.now.store(0x9_0000_0000, ordering: .relaxed)
        #expect(rig.read(4) == 0x12345)
    }

    @Test func `the guest can set the time`() {
        let rig = Rig()
        rig.write(4, 1)
        rig.write(0, 5)
        rig.wall.now.wrappingAdd(10, ordering: .relaxed)
        #expect(rig.read(0) == 15 && rig.read(4) == 1)
    }

    @Test func `an alarm interrupts when its time comes`() {
        let rig = Rig()
        rig.write(0x10, 1)
        let due: UInt64 = 0x1_2345_6789_abcd + 1000
        rig.write(0x0c, due >> 32)
        rig.write(0x08, due & 0xffff_ffff)
        #expect(rig.read(0x18) == 1 && rig.timer.deadline == 11 && !rig.line.level)
        rig.rtc.timerFired()
        #expect(!rig.line.level, "too early")
        rig.wall.now.store(due, ordering: .relaxed)
        rig.rtc.timerFired()
        #expect(rig.line.level && rig.read(0x18) == 0)
        rig.write(0x1c, 0)
        #expect(!rig.line.level)
    }

    @Test func `a cleared alarm stays silent`() {
        let rig = Rig()
        rig.write(0x10, 1)
        rig.write(0x0c, 0xffff_ffff)
        rig.write(0x08, 0)
        rig.write(0x14, 0)
        rig.rtc.timerFired()
        #expect(!rig.line.level && rig.timer.deadline == nil)
    }

    @Test func `state survives a round trip and random accesses do no harm`() throws {
        let rig = Rig(), other = Rig()
        rig.write(0x10, 1)
        rig.write(0x0c, 0xffff_ffff)
        rig.write(0x08, 3)
        try expectRoundTrip(rig.rtc, other.rtc)
        fuzz(rig.rtc, windowSizeBytes: GoldfishRTC.sizeBytes, seed: 4, interesting: Array(stride(from: 0, to: 0x24, by: 4))) {
            if $0.next() % 8 == 0 { rig.rtc.timerFired() }
        }
    }
}
