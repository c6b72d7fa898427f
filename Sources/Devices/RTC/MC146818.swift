// The real-time clock and CMOS RAM of a PC: ports 70h and 71h.
//
// Spec: Motorola MC146818A data sheet (1988): time and alarm bytes in BCD or binary, registers A to D, periodic, alarm and
// update-ended interrupts; IBM PC/AT technical reference for the CMOS bytes; century at 32h as ACPI's FADT names it.
// The time of day follows the host's wall clock, so it jumps over a suspension. Absent: daylight saving, divider chains
// other than 32.768 kHz (they hold the clock), the square-wave pin.

import Bus
import SavedState

/// The device, ports 70h (index) and 71h (data).
public final class MC146818: MMIODevice {
    /// Bytes of the window at port 70h.
    public static let sizeBytes: UInt64 = 2
    /// CMOS bytes.
    public static let memorySizeBytes = 128

    /// Places of the registers.
    public enum Register {
        static let seconds = 0x00, secondsAlarm = 0x01, minutes = 0x02, minutesAlarm = 0x03, hours = 0x04
        static let hoursAlarm = 0x05, weekday = 0x06, day = 0x07, month = 0x08, year = 0x09
        static let a = 0x0a, b = 0x0b, c = 0x0c, d = 0x0d
        /// The byte that ACPI's FADT names.
        public static let century = 0x32
    }
    private enum A {
        static let updateInProgress: UInt8 = 0x80
        static let dividerMask: UInt8 = 0x70
        static let divider32kHz: UInt8 = 0x20
        static let rateMask: UInt8 = 0x0f
        static let reset: UInt8 = 0x26
    }
    private enum B {
        static let set: UInt8 = 0x80
        static let periodic: UInt8 = 0x40
        static let alarm: UInt8 = 0x20
        static let updateEnded: UInt8 = 0x10
        static let binary: UInt8 = 0x04
        static let hours24: UInt8 = 0x02
        static let interrupts: UInt8 = periodic | alarm | updateEnded
    }
    private enum C {
        static let request: UInt8 = 0x80
    }
    /// The battery is good.
    private static let dValid: UInt8 = 0x80
    private static let afternoon: UInt8 = 0x80
    /// The update cycle: UIP is up this long before the second changes (data sheet: 244 µs).
    private static let updateNanoseconds: UInt64 = 244_000
    private static let second: UInt64 = 1_000_000_000
    private static let base32kHz: UInt64 = 32_768
    /// An alarm byte from C0h on matches everything.
    private static let anyAlarm: UInt8 = 0xc0

    private var memory = [UInt8](repeating: 0, count: memorySizeBytes)
    private var index = 0
    private var flags: UInt8 = 0
    /// What setting the clock adds to the host's wall clock, in nanoseconds, modulo 2^64.
    private var adjustment: UInt64 = 0
    /// SET or a stopped divider holds the clock: the time is what the bytes in `memory` say.
    private var isHeld = false
    /// Up to here flags have been raised: guest nanoseconds for the periodic rate, calendar seconds for the others.
    private var periodicSeen: UInt64 = 0
    private var secondsSeen: UInt64 = 0
    private let initial: [Int: UInt8]
    private let interrupt: InterruptLine
    private let wallNanoseconds: @Sendable () -> UInt64
    private let clock: GuestClock
    private let timer: DeadlineTimer

    /// - Parameters:
    ///   - memory: CMOS bytes at power-on, by place; places of the clock are ignored.
    ///   - wallNanoseconds: nanoseconds since 1970.
    ///   - timer: drives `timerFired`.
    public init(interrupt: InterruptLine, memory initial: [Int: UInt8] = [:],
                wallNanoseconds: @escaping @Sendable () -> UInt64, clock: GuestClock, timer: DeadlineTimer) {
        self.interrupt = interrupt
        self.initial = initial.filter { (0x0e..<Self.memorySizeBytes).contains($0.key) && $0.key != Register.century }
        self.wallNanoseconds = wallNanoseconds
        self.clock = clock
        self.timer = timer
        powerOn()
    }

    private func powerOn() {
        memory = Array(repeating: 0, count: Self.memorySizeBytes)
        for (place, byte) in initial { memory[place] = byte }
        memory[Register.a] = A.reset
        memory[Register.b] = B.hours24
        index = 0
        flags = 0
        isHeld = false
        catchUp()
    }

    // MARK: Time

    /// Nanoseconds since 1970 as the chip counts them while it runs.
    private var now: UInt64 { wallNanoseconds() &+ adjustment }
    private var isRunning: Bool {
        memory[Register.b] & B.set == 0 && memory[Register.a] & A.dividerMask == A.divider32kHz
    }

    private func catchUp() {
        periodicSeen = clock.nanoseconds
        secondsSeen = now / Self.second
    }

    private func encode(_ value: Int) -> UInt8 {
        memory[Register.b] & B.binary != 0 ? UInt8(value & 0xff) : UInt8((value / 10 % 10) << 4 | value % 10)
    }

    private func decode(_ byte: UInt8) -> Int {
        memory[Register.b] & B.binary != 0 ? Int(byte) : Int(byte >> 4) * 10 + Int(byte & 15)
    }

    private func encodeHours(_ hours: Int) -> UInt8 {
        if memory[Register.b] & B.hours24 != 0 { return encode(hours) }
        return encode(hours % 12 == 0 ? 12 : hours % 12) | (hours >= 12 ? Self.afternoon : 0)
    }

    private func decodeHours(_ byte: UInt8) -> Int {
        if memory[Register.b] & B.hours24 != 0 { return decode(byte) }
        return decode(byte & ~Self.afternoon) % 12 + (byte & Self.afternoon != 0 ? 12 : 0)
    }

    private func timeByte(_ register: Int) -> UInt8 {
        let seconds = now / Self.second
        switch register {
        case Register.seconds: return encode(Int(seconds % 60))
        case Register.minutes: return encode(Int(seconds / 60 % 60))
        case Register.hours: return encodeHours(Int(seconds / 3600 % 24))
        default: break
        }
        let date = CivilDate(days: Int(seconds / 86_400))
        switch register {
        case Register.weekday: return encode(date.weekday)
        case Register.day: return encode(date.day)
        case Register.month: return encode(date.month)
        case Register.year: return encode(date.year % 100)
        default: return encode(date.year / 100 % 100)
        }
    }

    private static let timeRegisters: Set<Int> = [Register.seconds, Register.minutes, Register.hours, Register.weekday,
                                                  Register.day, Register.month, Register.year, Register.century]

    private func storeTime() {
        for register in Self.timeRegisters { memory[register] = timeByte(register) }
    }

    /// Sets the clock by the bytes in `memory`; what does not make a date is taken modulo its field.
    private func loadTime(subsecond: UInt64) {
        let second = decode(memory[Register.seconds]) % 60, minute = decode(memory[Register.minutes]) % 60
        let hour = decodeHours(memory[Register.hours]) % 24
        var date = CivilDate(days: 0)
        date.year = decode(memory[Register.century]) % 100 * 100 + decode(memory[Register.year]) % 100
        date.month = (max(1, decode(memory[Register.month])) - 1) % 12 + 1
        date.day = max(1, decode(memory[Register.day]) % 32)
        let days = max(0, date.days)
        // Years from 2554 on pass 64 bits of nanoseconds: they wrap, and never trap.
        let moment = UInt64((days * 24 + hour) * 60 + minute) &* 60 &+ UInt64(second)
        adjustment = moment &* Self.second &+ subsecond &- wallNanoseconds()
        secondsSeen = now / Self.second
    }

    // MARK: Registers

    public func read(offset: UInt64, size: Int) -> UInt64 {
        // The index cannot be read back.
        guard offset == 1 else { return 0xff }
        switch index {
        case let register where Self.timeRegisters.contains(register):
            return UInt64(isHeld ? memory[register] : timeByte(register))
        case Register.a:
            let untilNext = Self.second - now % Self.second
            let updating = isRunning && untilNext <= Self.updateNanoseconds
            return UInt64(memory[Register.a] | (updating ? A.updateInProgress : 0))
        case Register.c:
            raiseFlags()
            let value = flags | (flags & memory[Register.b] & B.interrupts != 0 ? C.request : 0)
            flags = 0
            update()
            return UInt64(value)
        case Register.d: return UInt64(Self.dValid)
        default: return UInt64(memory[index])
        }
    }

    public func write(offset: UInt64, size: Int, value: UInt64) {
        let byte = UInt8(truncatingIfNeeded: value)
        guard offset == 1 else {
            // Bit 7 masks NMI on a PC.
            if offset == 0 { index = Int(byte & 0x7f) }
            return
        }
        raiseFlags()
        switch index {
        case let register where Self.timeRegisters.contains(register):
            if !isHeld { storeTime() }
            memory[register] = byte
            if !isHeld { loadTime(subsecond: now % Self.second) }
        case Register.a:
            if !isHeld { storeTime() }
            memory[Register.a] = byte & ~A.updateInProgress
            holdOrRelease()
            periodicSeen = clock.nanoseconds
        case Register.b:
            if !isHeld { storeTime() }
            memory[Register.b] = byte & B.set != 0 ? byte & ~B.updateEnded : byte
            holdOrRelease()
        case Register.c, Register.d: return
        default: memory[index] = byte
        }
        update()
    }

    private func holdOrRelease() {
        if isRunning == !isHeld { return }
        // Released, the chip begins a whole second.
        if isHeld { loadTime(subsecond: 0) }
        isHeld.toggle()
    }

    // MARK: Interrupts

    /// A deadline given to the timer may have come. Called with the device lock held.
    public func timerFired() {
        raiseFlags()
        update()
    }

    /// Nanoseconds between periodic interrupts, or nil when there are none.
    private var periodNanoseconds: UInt64? {
        var rate = UInt64(memory[Register.a] & A.rateMask)
        guard rate > 0, memory[Register.a] & A.dividerMask == A.divider32kHz else { return nil }
        // With the 32 kHz base, rates 1 and 2 are those of 8 and 9.
        if rate <= 2 { rate += 7 }
        return Self.second << (rate - 1) / Self.base32kHz
    }

    private func raiseFlags() {
        if let period = periodNanoseconds {
            let now = clock.nanoseconds
            if now > periodicSeen, now - periodicSeen >= period {
                flags |= B.periodic
                periodicSeen = now - (now - periodicSeen) % period
            }
        }
        guard isRunning else { return }
        let seconds = now / Self.second
        guard seconds != secondsSeen else { return }
        flags |= B.updateEnded
        if let alarm = nextAlarm(after: secondsSeen), alarm <= seconds { flags |= B.alarm }
        secondsSeen = seconds
    }

    /// The first second after `start` that the alarm bytes match, within a day.
    private func nextAlarm(after start: UInt64) -> UInt64? {
        func wanted(_ register: Int, _ limit: Int, _ decode: (UInt8) -> Int) -> Int? {
            let byte = memory[register]
            if byte >= Self.anyAlarm, memory[Register.b] & B.hours24 != 0 || register != Register.hoursAlarm { return -1 }
            if byte >= Self.anyAlarm | 0x30 { return -1 }
            let value = decode(byte)
            return value < limit ? value : nil
        }
        guard let second = wanted(Register.secondsAlarm, 60, decode), let minute = wanted(Register.minutesAlarm, 60, decode),
              let hour = wanted(Register.hoursAlarm, 24, decodeHours) else { return nil }
        let day = start &- start % 86_400
        for later in [day, day &+ 86_400] {
            for candidateHour in hour < 0 ? Array(0..<24) : [hour] {
                for candidateMinute in minute < 0 ? Array(0..<60) : [minute] {
                    let first = later &+ UInt64((candidateHour * 60 + candidateMinute) * 60)
                    if second >= 0 {
                        if first &+ UInt64(second) > start { return first &+ UInt64(second) }
                    } else if first &+ 59 > start {
                        return max(first, start &+ 1)
                    }
                }
            }
        }
        return nil
    }

    /// Drives the line, and arms the timer for the next flag that is enabled and not yet up.
    private func update() {
        let enabled = memory[Register.b] & B.interrupts
        interrupt.set(flags & enabled != 0)
        let tick = 1_000_000_000 / clock.frequencyHz
        var deadline: UInt64?
        func consider(nanoseconds: UInt64) {
            let ticks = clock.ticks &+ nanoseconds / tick &+ 1
            deadline = min(deadline ?? .max, ticks)
        }
        let waiting = enabled & ~flags
        if waiting & B.periodic != 0, let period = periodNanoseconds {
            let elapsed = clock.nanoseconds &- periodicSeen
            consider(nanoseconds: elapsed >= period ? 0 : period - elapsed)
        }
        if isRunning {
            let untilSecond = Self.second - now % Self.second
            if waiting & B.updateEnded != 0 { consider(nanoseconds: untilSecond) }
            if waiting & B.alarm != 0, let alarm = nextAlarm(after: secondsSeen) {
                let seconds = alarm &- now / Self.second
                consider(nanoseconds: seconds == 0 ? 0 : (min(seconds, 2 * 86_400) - 1) * Self.second + untilSecond)
            }
        }
        timer.set(deadlineTicks: deadline)
    }

    /// A reset of the machine: interrupts off; the time of day goes on.
    public func reset() {
        powerOn()
        update()
    }

    // MARK: Saved state

    public func save(to writer: inout StateWriter) {
        writer.section("mc146818", version: 1) { writer in
            writer.put(bytes: memory)
            writer.put(UInt8(index))
            writer.put(flags)
            writer.put(adjustment)
            writer.put(isHeld)
            writer.put(periodicSeen)
            writer.put(secondsSeen)
        }
    }

    public func restore(from reader: inout StateReader) throws {
        try reader.section("mc146818", newest: 1) { reader, _ in
            memory = try reader.getBytes()
            guard memory.count == Self.memorySizeBytes else {
                let count = memory.count
                powerOn()
                throw StateError.invalid(section: "mc146818", reason: "\(count) bytes of CMOS")
            }
            index = Int(try reader.get(UInt8.self) & 0x7f)
            flags = try reader.get(UInt8.self) & B.interrupts
            adjustment = try reader.get()
            isHeld = try reader.getBool()
            periodicSeen = try reader.get()
            secondsSeen = try reader.get()
            update()
        }
    }
}

/// A day of the proleptic Gregorian calendar.
struct CivilDate: Equatable {
    var year: Int
    /// 1…12.
    var month: Int
    /// 1…31; more runs into the next month.
    var day: Int

    /// - Parameter days: days since 1970-01-01, not negative.
    init(days: Int) {
        // Years of 400 repeat every 146,097 days; counted from March, leap days come last.
        let shifted = days + 719_468
        let era = shifted / 146_097, dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
        month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    /// Days since 1970-01-01.
    var days: Int {
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
        let yearOfEra = shiftedYear - era * 400
        let marchMonth = month > 2 ? month - 3 : month + 9
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + (153 * marchMonth + 2) / 5 + day - 1
        return era * 146_097 + dayOfEra - 719_468
    }

    /// 1 = Sunday, as the chip counts.
    var weekday: Int { ((days + 4) % 7 + 7) % 7 + 1 }
}
