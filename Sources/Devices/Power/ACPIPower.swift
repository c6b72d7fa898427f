// The fixed hardware of ACPI: power management timer, PM1 event and control registers, power button.
//
// Spec: ACPI 6.5 §4.8.3 (fixed hardware registers), §4.8.3.1.1 (PM1 status), §4.8.3.2.1 (PM1 control), §4.8.3.3 (timer).
// There is no legacy mode: SCI_EN reads as one from the start. Absent: sleep states besides soft off, GPE blocks, bus
// master status, global lock.

import Bus
import SavedState

/// The register block: event (4 bytes), control (2 bytes), a gap, timer (4 bytes).
public final class ACPIPower: MMIODevice {
    /// Bytes of the window.
    public static let sizeBytes: UInt64 = 12
    /// Places in the window.
    public static let eventOffset: UInt64 = 0
    public static let controlOffset: UInt64 = 4
    public static let timerOffset: UInt64 = 8
    /// Frequency of the timer, in hertz.
    public static let timerHz: UInt64 = 3_579_545
    /// SLP_TYP of soft off (S5), for the DSDT.
    public static let softOffType: UInt16 = 5

    /// Bits of the status and enable registers.
    private enum Event {
        static let timer: UInt16 = 1 << 0
        static let globalLock: UInt16 = 1 << 5
        static let powerButton: UInt16 = 1 << 8
        static let sleepButton: UInt16 = 1 << 9
        static let rtc: UInt16 = 1 << 10
        static let wake: UInt16 = 1 << 15
        static let enables = timer | globalLock | powerButton | sleepButton | rtc
        static let statuses = enables | wake
    }
    private enum Control {
        static let sciEnable: UInt16 = 1 << 0
        static let sleepTypeShift: UInt16 = 10
        static let sleepEnable: UInt16 = 1 << 13
        static let kept: UInt16 = 7 << 10 | 1 << 1
    }
    /// The timer's status bit follows bit 23 of the count.
    private static let carryBit: UInt64 = 23

    private var status: UInt16 = 0
    private var enable: UInt16 = 0
    private var control: UInt16 = 0
    /// Changes of the timer's bit 23 that have been noticed.
    private var carries: UInt64 = 0
    private let interrupt: InterruptLine
    private let clock: GuestClock
    private let timer: DeadlineTimer
    private let power: @Sendable (PowerEvent) -> Void

    /// - Parameters:
    ///   - interrupt: SCI, level-triggered.
    ///   - timer: drives `timerFired`.
    ///   - power: called with the device lock held; must not wait for vCPUs.
    public init(interrupt: InterruptLine, clock: GuestClock, timer: DeadlineTimer,
                power: @escaping @Sendable (PowerEvent) -> Void) {
        self.interrupt = interrupt
        self.clock = clock
        self.timer = timer
        self.power = power
    }

    /// Somebody presses the power button. Called with the device lock held.
    public func pressPowerButton() {
        status |= Event.powerButton
        update()
    }

    /// The timer's carry may have come. Called with the device lock held.
    public func timerFired() {
        noticeCarry()
        update()
    }

    private var count: UInt64 {
        let wide = clock.nanoseconds.multipliedFullWidth(by: Self.timerHz)
        guard wide.high < 1_000_000_000 else { return .max }
        return UInt64(1_000_000_000).dividingFullWidth(wide).quotient
    }

    private func noticeCarry() {
        let now = count >> Self.carryBit
        guard now != carries else { return }
        carries = now
        status |= Event.timer
    }

    private func update() {
        interrupt.set(status & enable != 0)
        guard enable & Event.timer != 0, status & Event.timer == 0 else { return timer.set(deadlineTicks: nil) }
        let left = (carries &+ 1) << Self.carryBit &- count
        timer.set(deadlineTicks: clock.ticks &+ (left &* clock.frequencyHz) / Self.timerHz &+ 1)
    }

    public func read(offset: UInt64, size: Int) -> UInt64 {
        noticeCarry()
        let mask = size >= 8 ? UInt64.max : (1 << UInt64(8 * size)) - 1
        if offset >= Self.timerOffset {
            return (count & 0xffff_ffff) >> (8 * (offset - Self.timerOffset)) & mask
        }
        let registers = UInt64(status) | UInt64(enable) << 16 | UInt64(control | Control.sciEnable) << 32
        return registers >> (8 * offset) & mask
    }

    public func write(offset: UInt64, size: Int, value: UInt64) {
        guard offset < Self.timerOffset else { return }
        noticeCarry()
        for byte in 0..<UInt64(max(0, min(size, 4))) {
            writeByte(offset + byte, UInt16(value >> (8 * byte) & 0xff))
        }
        update()
    }

    private func writeByte(_ place: UInt64, _ byte: UInt16) {
        let shift = UInt16(8 * (place & 1)), bits = byte << shift, mask = UInt16(0xff) << shift
        switch place {
        // Writing a one clears a status bit.
        case 0, 1: status &= ~bits
        case 2, 3: enable = (enable & ~mask | bits) & Event.enables
        case 4, 5:
            control = (control & ~mask | bits) & Control.kept
            // Only the upper byte has SLP_EN; the type beside it is written with it.
            guard bits & Control.sleepEnable != 0 else { return }
            if control >> Control.sleepTypeShift & 7 == Self.softOffType { power(.powerOff) }
        default: return
        }
    }

    public func reset() {
        status = 0
        enable = 0
        control = 0
        carries = count >> Self.carryBit
        update()
    }

    public func save(to writer: inout StateWriter) {
        writer.section("acpi-power", version: 1) { writer in
            for register in [status, enable, control] { writer.put(register) }
            writer.put(carries)
        }
    }

    public func restore(from reader: inout StateReader) throws {
        try reader.section("acpi-power", newest: 1) { reader, _ in
            status = try reader.get(UInt16.self) & Event.statuses
            enable = try reader.get(UInt16.self) & Event.enables
            control = try reader.get(UInt16.self) & Control.kept
            carries = try reader.get()
            update()
        }
    }
}
