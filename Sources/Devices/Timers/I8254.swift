// The 8254 programmable interval timer and port 61h of a PC: three counters at 1.193182 MHz.
//
// Spec: Intel 8254 data sheet (231164-005): control word, modes 0 to 5, counter latch and read-back commands;
// Intel 82371AB (PIIX4) §7.2 for the NMI status and control port.
// Counters are computed from the clock when somebody looks; only counter 0's rising edges wake anybody. Its output stays
// high between them, so that an edge-triggered controller does not lose a request. Edges that pass while the host is late
// become one. Absent: sound.

import Bus
import SavedState

/// The timer. Its windows are the device itself (ports 40h to 43h) and `control` (port 61h).
public final class I8254: MMIODevice {
    /// Bytes of the window at port 40h.
    public static let sizeBytes: UInt64 = 4
    /// Input clock.
    public static let clockHz: UInt64 = 1_193_182
    private static let controlOffset: UInt64 = 3
    private static let readBack: UInt8 = 3

    /// Bits of port 61h.
    private enum Port61 {
        static let gate2: UInt8 = 0x01
        static let speaker: UInt8 = 0x02
        static let writable: UInt8 = 0x0f
        static let refresh: UInt8 = 0x10
        static let output2: UInt8 = 0x20
        /// Half a period of the refresh request, in nanoseconds.
        static let refreshNanoseconds: UInt64 = 15_085
    }

    private var counters = [I8254Counter(gate: true), I8254Counter(gate: true), I8254Counter(gate: false)]
    private var port61: UInt8 = 0
    /// Rising edges of counter 0 up to here have been delivered, in input clocks.
    private var delivered: UInt64 = 0
    private let interrupt: InterruptLine
    private let clock: GuestClock
    private let timer: DeadlineTimer

    /// - Parameters:
    ///   - interrupt: output of counter 0.
    ///   - timer: drives `timerFired`.
    public init(interrupt: InterruptLine, clock: GuestClock, timer: DeadlineTimer) {
        self.interrupt = interrupt
        self.clock = clock
        self.timer = timer
    }

    /// Port 61h; give its window the lock of this device's.
    public var control: any MMIODevice { Port61Window(self) }

    /// Input clocks since power-on.
    private var now: UInt64 { Self.clocks(nanoseconds: clock.nanoseconds) }

    static func clocks(nanoseconds: UInt64) -> UInt64 {
        let wide = nanoseconds.multipliedFullWidth(by: clockHz)
        guard wide.high < 1_000_000_000 else { return .max }
        return UInt64(1_000_000_000).dividingFullWidth(wide).quotient
    }

    /// The first tick of `clock` at which `clocks` input clocks have passed.
    private func ticks(clocks: UInt64) -> UInt64 {
        let wide = clocks.multipliedFullWidth(by: clock.frequencyHz)
        guard wide.high < Self.clockHz else { return .max }
        let (quotient, remainder) = Self.clockHz.dividingFullWidth(wide)
        // One more, since `clocks(nanoseconds:)` rounds down.
        return remainder == 0 ? quotient : quotient &+ 1
    }

    /// The next edge of counter 0 may have come. Called with the device lock held.
    public func timerFired() { deliver(now) }

    private func deliver(_ now: UInt64) {
        if let edge = counters[0].nextRisingEdge(after: delivered), edge <= now {
            interrupt.set(false)
            interrupt.set(true)
            delivered = now
        }
        arm()
    }

    private func arm() {
        timer.set(deadlineTicks: counters[0].nextRisingEdge(after: delivered).map(ticks(clocks:)))
    }

    /// Counter 0 was programmed or gated: what its output does from now on counts.
    private func counter0Changed(_ now: UInt64) {
        delivered = now
        if !counters[0].output(now) { interrupt.set(false) }
        arm()
    }

    public func read(offset: UInt64, size: Int) -> UInt64 {
        guard offset < Self.controlOffset else { return 0xff }
        return UInt64(counters[Int(offset)].read(now))
    }

    public func write(offset: UInt64, size: Int, value: UInt64) {
        let byte = UInt8(truncatingIfNeeded: value), now = now
        if offset < Self.controlOffset {
            if counters[Int(offset)].write(byte, now), offset == 0 { counter0Changed(now) }
            return
        }
        let select = byte >> 6
        if select == Self.readBack {
            for index in 0..<3 where byte >> UInt8(index + 1) & 1 != 0 {
                // The bits are active low: latch count, latch status.
                if byte & 0x10 == 0 { counters[index].latchStatus(now) }
                if byte & 0x20 == 0 { counters[index].latchCount(now) }
            }
        } else if byte >> 4 & 3 == 0 {
            counters[Int(select)].latchCount(now)
        } else {
            counters[Int(select)].setControl(byte, now)
            if select == 0 { counter0Changed(now) }
        }
    }

    fileprivate func readPort61() -> UInt8 {
        let nanoseconds = clock.nanoseconds
        var value = port61
        if nanoseconds / Port61.refreshNanoseconds & 1 != 0 { value |= Port61.refresh }
        if counters[2].output(Self.clocks(nanoseconds: nanoseconds)) { value |= Port61.output2 }
        return value
    }

    fileprivate func writePort61(_ value: UInt8) {
        port61 = value & Port61.writable
        counters[2].setGate(value & Port61.gate2 != 0, now)
    }

    public func reset() {
        counters = [I8254Counter(gate: true), I8254Counter(gate: true), I8254Counter(gate: false)]
        port61 = 0
        delivered = now
        interrupt.set(false)
        timer.set(deadlineTicks: nil)
    }

    public func save(to writer: inout StateWriter) {
        writer.section("8254", version: 1) { writer in
            for counter in counters { counter.save(to: &writer) }
            writer.put(port61)
            writer.put(delivered)
        }
    }

    /// The line of counter 0 is an edge that its controller has saved.
    public func restore(from reader: inout StateReader) throws {
        try reader.section("8254", newest: 1) { reader, _ in
            for index in counters.indices { try counters[index].restore(from: &reader) }
            port61 = try reader.get(UInt8.self) & Port61.writable
            delivered = try reader.get()
            arm()
        }
    }
}

/// Port 61h. Its state is saved with the timer.
private final class Port61Window: MMIODevice {
    let timer: I8254
    init(_ timer: I8254) { self.timer = timer }
    func read(offset: UInt64, size: Int) -> UInt64 { UInt64(timer.readPort61()) }
    func write(offset: UInt64, size: Int, value: UInt64) { timer.writePort61(UInt8(truncatingIfNeeded: value)) }
    func reset() {}
    func save(to writer: inout StateWriter) {}
    func restore(from reader: inout StateReader) throws {}
}
