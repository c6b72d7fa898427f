// One counter of the 8254, as a function of the input clock.
//
// Spec: Intel 8254 data sheet (231164-005), "Mode definitions", "Read operations". A count written takes effect one clock
// later. Times are absolute input clocks.

import SavedState

/// A counter.
struct I8254Counter: Sendable {
    enum Mode: UInt8, Sendable {
        case interruptOnTerminalCount, oneShot, rateGenerator, squareWave, softwareStrobe, hardwareStrobe
    }

    private enum Access {
        static let low: UInt8 = 1
        static let high: UInt8 = 2
        static let both: UInt8 = 3
    }
    private enum Status {
        static let output: UInt8 = 0x80
        static let nullCount: UInt8 = 0x40
    }
    static let countMax: UInt64 = 0x10000
    static let decimalCountMax: UInt64 = 10000

    private var mode = Mode.interruptOnTerminalCount
    private var access = Access.both
    private var isDecimal = false
    /// Bits 5…0 of the control word, as the status shows them.
    private var control: UInt8 = 0
    /// The count in use, 1…65536 (10000 in BCD).
    private var count = countMax
    /// When counting of `count` began; nil before the first count or trigger.
    private var start: UInt64?
    /// Clocks counted when the gate stopped the counter.
    private var frozen: UInt64?
    /// A count of modes 2 and 3 that takes over at a time.
    private var next: (count: UInt64, at: UInt64)?
    /// A count of modes 1 and 5 that waits for its trigger.
    private var armed: UInt64?
    private var gate: Bool
    private var lowWritten: UInt8?
    private var readsHigh = false
    private var latched: UInt16?
    private var latchedStatus: UInt8?

    init(gate: Bool) { self.gate = gate }

    private var period: UInt64 { isDecimal ? Self.decimalCountMax : Self.countMax }
    private var isPeriodic: Bool { mode == .rateGenerator || mode == .squareWave }

    // MARK: Programming

    mutating func setControl(_ byte: UInt8, _ now: UInt64) {
        let number = byte >> 1 & 7
        // Modes 2 and 3 ignore the upper bit.
        mode = Mode(rawValue: number > 5 ? number & 3 : number) ?? .interruptOnTerminalCount
        access = byte >> 4 & 3
        isDecimal = byte & 1 != 0
        control = access << 4 | mode.rawValue << 1 | byte & 1
        start = nil
        frozen = nil
        next = nil
        armed = nil
        lowWritten = nil
        readsHigh = false
        latched = nil
        latchedStatus = nil
    }

    /// Returns whether a count is complete.
    mutating func write(_ byte: UInt8, _ now: UInt64) -> Bool {
        switch access {
        case Access.low: load(UInt16(byte), now)
        case Access.high: load(UInt16(byte) << 8, now)
        default:
            guard let low = lowWritten else {
                lowWritten = byte
                // The first byte stops mode 0 until the second.
                if mode == .interruptOnTerminalCount { start = nil }
                return mode == .interruptOnTerminalCount
            }
            lowWritten = nil
            load(UInt16(byte) << 8 | UInt16(low), now)
        }
        return true
    }

    private mutating func load(_ raw: UInt16, _ now: UInt64) {
        var value = isDecimal ? Self.fromDecimal(raw) : UInt64(raw)
        if value == 0 { value = period }
        settle(now)
        switch mode {
        case .oneShot, .hardwareStrobe: armed = value
        case .rateGenerator, .squareWave:
            // A count of 1 is not allowed; the chip's output then never moves.
            if let start, gate { next = (value, boundary(now, start)) } else {
                begin(value, now)
            }
        case .interruptOnTerminalCount, .softwareStrobe: begin(value, now)
        }
    }

    private mutating func begin(_ value: UInt64, _ now: UInt64) {
        count = value
        next = nil
        start = now &+ 1
        frozen = gate ? nil : 0
    }

    mutating func setGate(_ level: Bool, _ now: UInt64) {
        guard level != gate else { return }
        settle(now)
        let elapsed = elapsed(now)
        gate = level
        switch mode {
        case .interruptOnTerminalCount, .softwareStrobe:
            guard start != nil else { return }
            if level { start = now &- (frozen ?? 0); frozen = nil } else { frozen = elapsed }
        case .rateGenerator, .squareWave:
            guard start != nil else { return }
            if level {
                if let next { count = next.count }
                next = nil
                start = now &+ 1
                frozen = nil
            } else {
                frozen = elapsed
            }
        case .oneShot, .hardwareStrobe:
            guard level, let value = armed ?? (start != nil ? count : nil) else { return }
            count = value
            armed = nil
            start = now &+ 1
        }
    }

    /// The end of the cycle (mode 2) or half cycle (mode 3) that `now` is in.
    private func boundary(_ now: UInt64, _ start: UInt64) -> UInt64 {
        let elapsed = elapsed(now), phase = elapsed % count
        let cycle = max(start, now) &- phase
        return mode == .squareWave && phase < highClocks ? cycle &+ highClocks : cycle &+ count
    }

    /// Lets a waiting count take over once its time has come.
    private mutating func settle(_ now: UInt64) {
        guard let waiting = next, now >= waiting.at, let start else { return }
        let endsHigh = mode == .squareWave && (waiting.at &- start) % count == highClocks
        count = waiting.count
        // After the high half comes the low half of the new count.
        self.start = endsHigh ? waiting.at &- highClocks : waiting.at
        next = nil
    }

    // MARK: Output

    /// Clocks of mode 3's high half.
    private var highClocks: UInt64 { (count + 1) / 2 }

    private func elapsed(_ now: UInt64) -> UInt64 {
        if let frozen { return frozen }
        guard let start, now > start else { return 0 }
        return now &- start
    }

    private func settled(_ now: UInt64) -> I8254Counter {
        var copy = self
        copy.settle(now)
        return copy
    }

    /// OUT.
    func output(_ now: UInt64) -> Bool {
        if next != nil { let settled = settled(now); if settled.next == nil { return settled.output(now) } }
        guard let start else { return mode != .interruptOnTerminalCount }
        if isPeriodic, !gate { return true }
        guard now >= start || frozen != nil else { return mode != .interruptOnTerminalCount && mode != .oneShot }
        let elapsed = elapsed(now)
        switch mode {
        case .interruptOnTerminalCount, .oneShot: return elapsed >= count
        case .rateGenerator: return elapsed % count != count - 1
        case .squareWave: return elapsed % count < highClocks
        case .softwareStrobe, .hardwareStrobe: return elapsed != count
        }
    }

    /// The time of the first rise of OUT after `time`, or nil when none will come by itself.
    func nextRisingEdge(after time: UInt64) -> UInt64? {
        guard let start, frozen == nil else { return nil }
        if let waiting = next, time >= waiting.at { return settled(time).nextRisingEdge(after: time) }
        switch mode {
        case .interruptOnTerminalCount, .oneShot:
            let edge = start &+ count
            return edge > time ? edge : nil
        case .softwareStrobe, .hardwareStrobe:
            let edge = start &+ count &+ 1
            return edge > time ? edge : nil
        case .rateGenerator, .squareWave:
            guard count > 1 else { return nil }
            let cycles = time < start ? 0 : (time &- start) / count
            let edge = start &+ (cycles &+ 1) &* count
            guard let waiting = next, waiting.at < edge else { return edge }
            var later = self
            later.settle(waiting.at)
            return later.nextRisingEdge(after: max(time, waiting.at))
        }
    }

    // MARK: Reading

    private func current(_ now: UInt64) -> UInt16 {
        let counter = next == nil ? self : settled(now)
        return counter.present(now)
    }

    private func present(_ now: UInt64) -> UInt16 {
        let elapsed = elapsed(now)
        var value: UInt64
        switch mode {
        case .rateGenerator: value = count - elapsed % count
        case .squareWave:
            // Counts by two, from the even number below, in each half.
            let phase = elapsed % count
            value = (count & ~1) &- 2 &* (phase < highClocks ? phase : phase &- highClocks)
        default: value = (count &+ period &- elapsed % period) % period
        }
        value %= period
        return isDecimal ? Self.toDecimal(value) : UInt16(truncatingIfNeeded: value)
    }

    mutating func latchCount(_ now: UInt64) {
        if latched == nil { latched = current(now) }
    }

    mutating func latchStatus(_ now: UInt64) {
        guard latchedStatus == nil else { return }
        settle(now)
        let isNull = start == nil || next != nil || armed != nil || start.map { now < $0 } == true
        latchedStatus = control | (output(now) ? Status.output : 0) | (isNull ? Status.nullCount : 0)
    }

    mutating func read(_ now: UInt64) -> UInt8 {
        if let status = latchedStatus {
            latchedStatus = nil
            return status
        }
        let value = latched ?? current(now)
        switch access {
        case Access.low:
            latched = nil
            return UInt8(truncatingIfNeeded: value)
        case Access.high:
            latched = nil
            return UInt8(truncatingIfNeeded: value >> 8)
        default:
            defer { readsHigh.toggle() }
            guard readsHigh else { return UInt8(truncatingIfNeeded: value) }
            latched = nil
            return UInt8(truncatingIfNeeded: value >> 8)
        }
    }

    /// Digits above 9 count as they are.
    private static func fromDecimal(_ raw: UInt16) -> UInt64 {
        [12, 8, 4, 0].reduce(UInt64(0)) { $0 * 10 + UInt64(raw >> UInt16($1) & 15) }
    }

    private static func toDecimal(_ value: UInt64) -> UInt16 {
        var rest = value % decimalCountMax, result: UInt16 = 0
        for digit in 0..<4 {
            result |= UInt16(rest % 10) << UInt16(4 * digit)
            rest /= 10
        }
        return result
    }

    // MARK: Saved state

    func save(to writer: inout StateWriter) {
        for byte in [mode.rawValue, access, control] { writer.put(byte) }
        for flag in [isDecimal, gate, readsHigh] { writer.put(flag) }
        writer.put(count)
        for value in [start, frozen, next?.count, next?.at, armed, lowWritten.map(UInt64.init), latched.map(UInt64.init),
                      latchedStatus.map(UInt64.init)] {
            writer.put(value != nil)
            writer.put(value ?? 0)
        }
    }

    mutating func restore(from reader: inout StateReader) throws {
        guard let mode = Mode(rawValue: try reader.get()) else {
            throw StateError.invalid(section: "8254", reason: "an unknown mode")
        }
        self.mode = mode
        access = try reader.get(UInt8.self) & 3
        control = try reader.get(UInt8.self) & 0x3f
        isDecimal = try reader.getBool()
        gate = try reader.getBool()
        readsHigh = try reader.getBool()
        func count(_ value: UInt64) throws -> UInt64 {
            // Digits above 9 may pass the decimal period.
            guard (1...Self.countMax).contains(value) else {
                throw StateError.invalid(section: "8254", reason: "a count of \(value)")
            }
            return value
        }
        self.count = try count(try reader.get())
        func optional(_ reader: inout StateReader) throws -> UInt64? {
            let present = try reader.getBool(), value: UInt64 = try reader.get()
            return present ? value : nil
        }
        start = try optional(&reader)
        frozen = try optional(&reader)
        let nextCount = try optional(&reader), nextAt = try optional(&reader)
        next = nil
        if let nextCount, let nextAt { next = (try count(nextCount), nextAt) }
        armed = try optional(&reader).map(count)
        lowWritten = try optional(&reader).map { UInt8(truncatingIfNeeded: $0) }
        latched = try optional(&reader).map { UInt16(truncatingIfNeeded: $0) }
        latchedStatus = try optional(&reader).map { UInt8(truncatingIfNeeded: $0) }
    }
}
