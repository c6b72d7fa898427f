// The Goldfish real-time clock: nanoseconds since 1970, with an alarm.
//
// Spec: the Android emulator's GOLDFISH-VIRTUAL-HARDWARE.TXT, "Goldfish RTC"; 32-bit registers.
// Reading TIME_LOW latches TIME_HIGH. The clock follows the host's wall clock, so it jumps over a suspension.

import Bus
import SavedState

/// The device. 4-byte accesses.
public final class GoldfishRTC: MMIODevice {
    /// Size of the register window.
    public static let sizeBytes: UInt64 = 0x1000
    enum Register {
        static let timeLow: UInt64 = 0x00
        static let timeHigh: UInt64 = 0x04
        static let alarmLow: UInt64 = 0x08
        static let alarmHigh: UInt64 = 0x0c
        static let interruptEnabled: UInt64 = 0x10
        static let clearAlarm: UInt64 = 0x14
        static let alarmStatus: UInt64 = 0x18
        static let clearInterrupt: UInt64 = 0x1c
    }

    private let interrupt: InterruptLine
    private let wallNanoseconds: @Sendable () -> UInt64
    private let clock: GuestClock
    private let timer: DeadlineTimer
    /// What the guest's setting adds to the wall clock.
    private var adjustment: UInt64 = 0
    private var latchedHigh: UInt32 = 0
    private var timeHigh: UInt32 = 0
    private var alarm: UInt64 = 0
    private var alarmHigh: UInt32 = 0
    private var alarmArmed = false
    private var interruptEnabled = false
    private var interruptPending = false

    /// - Parameters:
    ///   - wallNanoseconds: nanoseconds since 1970.
    ///   - clock: the timebase in which `timer` counts.
    ///   - timer: drives `timerFired`.
    public init(interrupt: InterruptLine, wallNanoseconds: @escaping @Sendable () -> UInt64, clock: GuestClock,
                timer: DeadlineTimer) {
        self.interrupt = interrupt
        self.wallNanoseconds = wallNanoseconds
        self.clock = clock
        self.timer = timer
    }

    /// The alarm may be due. Called with the device lock held.
    public func timerFired() { checkAlarm() }

    public func read(offset: UInt64, size: Int) -> UInt64 {
        guard size == 4 else { return 0 }
        switch offset {
        case Register.timeLow:
            let now = time
            latchedHigh = UInt32(truncatingIfNeeded: now >> 32)
            return now & 0xffff_ffff
        case Register.timeHigh: return UInt64(latchedHigh)
        case Register.alarmLow: return alarm & 0xffff_ffff
        case Register.alarmHigh: return alarm >> 32
        case Register.interruptEnabled: return interruptEnabled ? 1 : 0
        case Register.alarmStatus: return alarmArmed ? 1 : 0
        default: return 0
        }
    }

    public func write(offset: UInt64, size: Int, value: UInt64) {
        guard size == 4 else { return }
        let word = UInt32(truncatingIfNeeded: value)
        switch offset {
        case Register.timeHigh: timeHigh = word
        case Register.timeLow:
            adjustment = (UInt64(timeHigh) << 32 | UInt64(word)) &- wallNanoseconds()
            if alarmArmed { checkAlarm() }
        case Register.alarmHigh: alarmHigh = word
        case Register.alarmLow:
            alarm = UInt64(alarmHigh) << 32 | UInt64(word)
            alarmArmed = true
            checkAlarm()
        case Register.interruptEnabled: interruptEnabled = word & 1 != 0
        case Register.clearAlarm:
            alarmArmed = false
            timer.set(deadlineTicks: nil)
        case Register.clearInterrupt: interruptPending = false
        default: return
        }
        updateInterrupt()
    }

    public func reset() {
        latchedHigh = 0
        timeHigh = 0
        alarm = 0
        alarmHigh = 0
        alarmArmed = false
        interruptEnabled = false
        interruptPending = false
        timer.set(deadlineTicks: nil)
        updateInterrupt()
    }

    public func save(to writer: inout StateWriter) {
        writer.section("goldfish-rtc", version: 1) { writer in
            writer.put(adjustment)
            writer.put(latchedHigh)
            writer.put(timeHigh)
            writer.put(alarm)
            writer.put(alarmHigh)
            writer.put(alarmArmed)
            writer.put(interruptEnabled)
            writer.put(interruptPending)
        }
    }

    public func restore(from reader: inout StateReader) throws {
        try reader.section("goldfish-rtc", newest: 1) { reader, _ in
            adjustment = try reader.get()
            latchedHigh = try reader.get()
            timeHigh = try reader.get()
            alarm = try reader.get()
            alarmHigh = try reader.get()
            alarmArmed = try reader.getBool()
            interruptEnabled = try reader.getBool()
            interruptPending = try reader.getBool()
            if alarmArmed { checkAlarm() } else { timer.set(deadlineTicks: nil) }
            updateInterrupt()
        }
    }

    private var time: UInt64 { wallNanoseconds() &+ adjustment }

    private func checkAlarm() {
        guard alarmArmed else { return }
        let now = time
        if now >= alarm {
            alarmArmed = false
            interruptPending = true
            timer.set(deadlineTicks: nil)
            updateInterrupt()
        } else {
            let ticks = (alarm - now) / (1_000_000_000 / clock.frequencyHz)
            timer.set(deadlineTicks: clock.ticks &+ ticks &+ 1)
        }
    }

    private func updateInterrupt() { interrupt.set(interruptPending && interruptEnabled) }
}
