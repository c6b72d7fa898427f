// Registers of a local APIC and what writing them does. Used under the lock of its LocalAPIC.
//
// Spec: Intel SDM volume 3, chapter 11.

import Bus
import SavedState

/// The registers.
struct LocalAPICState: Sendable {
    typealias Effects = LocalAPIC.Effects
    enum TimerMode: UInt32, Sendable { case oneShot = 0, periodic = 1, deadline = 2, reserved = 3 }

    var base: UInt64
    var id: UInt32
    var taskPriority: UInt8 = 0
    var logicalDestination: UInt32 = 0
    var destinationFormat: UInt32 = .max
    var spurious = SpuriousVector.reset
    var inService = VectorSet()
    var triggerMode = VectorSet()
    var request = VectorSet()
    /// ESR as the last write latched it, and what came since.
    var errors: UInt32 = 0
    var newErrors: UInt32 = 0
    var command: UInt32 = 0
    var commandDestination: UInt32 = 0
    var localVectors = [UInt32](repeating: LocalVector.masked, count: LocalVector.count)
    var initialCount: UInt32 = 0
    var divide: UInt32 = 0
    /// When the count began, in nanoseconds; nil while the timer stands.
    var timerStart: UInt64?
    /// TSC-deadline mode: in ticks of the clock.
    var deadline: UInt64?
    /// An ExtINT message waits.
    var externalMessage = false
    /// Levels of LINT0 and LINT1, bits by entry.
    var pins: UInt8 = 0
    private let initialID: UInt32
    private let presence: LocalAPIC.Presence

    init(id: UInt32, isBootstrap: Bool, presence: LocalAPIC.Presence) {
        self.id = id
        initialID = id
        self.presence = presence
        base = APICBase.resetAddress | (isBootstrap ? APICBase.bootstrap : 0)
            | (presence == .absent ? 0 : APICBase.enabled)
    }

    mutating func resetRegisters(keepsID: Bool) {
        var fresh = LocalAPICState(id: initialID, isBootstrap: false, presence: presence)
        fresh.base = base
        fresh.pins = pins
        if keepsID { fresh.id = id }
        self = fresh
        if isX2 { enterX2() }
    }

    mutating func enterVirtualWireMode() {
        guard isEnabled else { return }
        spurious |= SpuriousVector.softwareEnabled
        localVectors[LocalVector.lint0] = UInt32(APICMessage.Delivery.external.rawValue) << LocalVector.deliveryShift
        localVectors[LocalVector.lint1] = UInt32(APICMessage.Delivery.nonMaskable.rawValue) << LocalVector.deliveryShift
    }

    // MARK: What state it is in

    var isEnabled: Bool { base & APICBase.enabled != 0 }
    var isX2: Bool { base & APICBase.x2APIC != 0 }
    /// Takes fixed interrupts.
    var accepts: Bool { isEnabled && spurious & SpuriousVector.softwareEnabled != 0 }

    var processorPriority: UInt8 {
        let service = inService.highest ?? 0
        return taskPriority >> 4 >= service >> 4 ? taskPriority : service & 0xf0
    }

    /// The vector that the processor would get from IRR.
    var deliverable: UInt8? {
        guard accepts, let vector = request.highest, vector >> 4 > processorPriority >> 4 else { return nil }
        return vector
    }

    /// Whether an interrupt of the 8259s gets through.
    var takesExternal: Bool {
        let pin = pins >> UInt8(LocalVector.lint0) & 1 != 0
        guard isEnabled else { return pin }
        if externalMessage { return true }
        let entry = localVectors[LocalVector.lint0]
        return pin && entry & LocalVector.masked == 0 && delivery(entry) == .external
    }

    private func delivery(_ entry: UInt32) -> APICMessage.Delivery? {
        APICMessage.Delivery(rawValue: UInt8(entry >> LocalVector.deliveryShift & 7))
    }

    func matches(_ message: APICMessage) -> Bool {
        guard isEnabled else { return false }
        let destination = message.destination
        if destination == (message.isWide ? UInt32.max : 0xff), !message.isLogical || !isX2 || message.isWide { return true }
        guard message.isLogical else { return destination == id }
        if isX2 { return destination >> 16 == logicalDestination >> 16 && destination & logicalDestination & 0xffff != 0 }
        let logical = logicalDestination >> 24
        if destinationFormat >> 28 == 0xf { return destination & logical & 0xff != 0 }
        let cluster = destination >> 4 & 0xf
        return (cluster == 0xf || cluster == logical >> 4) && destination & logical & 0xf != 0
    }

    // MARK: Events

    /// A fixed interrupt; false when the APIC is off.
    mutating func request(_ vector: UInt8, isLevel: Bool, _ effects: inout Effects) -> Bool {
        guard accepts else { return false }
        guard vector >= 16 else {
            raise(APICError.receiveIllegalVector, &effects)
            return true
        }
        request[vector] = true
        triggerMode[vector] = isLevel
        effects.changed = true
        return true
    }

    mutating func setPin(_ number: Int, _ level: Bool, _ effects: inout Effects) {
        let bit: UInt8 = 1 << UInt8(number), rose = level && pins & bit == 0
        if level { pins |= bit } else { pins &= ~bit }
        guard rose else { return }
        effects.changed = true
        guard isEnabled else {
            // A disabled APIC passes its pins on as INTR and NMI.
            if number == LocalVector.lint1 { effects.nonMaskable = true }
            return
        }
        fire(number, &effects)
    }

    /// Delivers what a local vector entry says, if it is not masked.
    private mutating func fire(_ number: Int, _ effects: inout Effects) {
        let entry = localVectors[number]
        guard entry & LocalVector.masked == 0 else { return }
        switch number == LocalVector.timer || number == LocalVector.error ? .fixed : delivery(entry) {
        case .fixed:
            let isPin = number == LocalVector.lint0 || number == LocalVector.lint1
            let isLevel = isPin && entry & LocalVector.levelTriggered != 0
            guard !isLevel || entry & LocalVector.remoteIRR == 0 else { return }
            if request(UInt8(truncatingIfNeeded: entry), isLevel: isLevel, &effects), isLevel {
                localVectors[number] |= LocalVector.remoteIRR
            }
        case .nonMaskable: effects.nonMaskable = true
        default: return
        }
    }

    private mutating func raise(_ error: UInt32, _ effects: inout Effects) {
        newErrors |= error
        // An illegal vector in the error entry itself must not call for ever.
        guard localVectors[LocalVector.error] & 0xf0 != 0 else { return }
        fire(LocalVector.error, &effects)
    }

    mutating func setTaskPriority(_ value: UInt8, _ effects: inout Effects) {
        taskPriority = value
        effects.changed = true
    }

    private mutating func endInterrupt(_ effects: inout Effects) {
        guard let vector = inService.highest else { return }
        inService[vector] = false
        effects.changed = true
        guard triggerMode[vector] else { return }
        for pin in [LocalVector.lint0, LocalVector.lint1] {
            let entry = localVectors[pin]
            guard entry & LocalVector.remoteIRR != 0, UInt8(truncatingIfNeeded: entry) == vector else { continue }
            localVectors[pin] &= ~LocalVector.remoteIRR
            if pins >> UInt8(pin) & 1 != 0 { fire(pin, &effects) }
            return
        }
        effects.endOfInterrupt = vector
    }

    // MARK: Registers

    mutating func read(_ register: Int, _ clock: GuestClock, _ effects: inout Effects) -> UInt32 {
        switch register {
        case APICRegister.id: return isX2 ? id : id << 24
        case APICRegister.version: return LocalAPIC.version
        case APICRegister.taskPriority: return UInt32(taskPriority)
        case APICRegister.arbitrationPriority, APICRegister.processorPriority: return UInt32(processorPriority)
        case APICRegister.logicalDestination: return logicalDestination
        case APICRegister.destinationFormat: return destinationFormat
        case APICRegister.spurious: return spurious
        case APICRegister.inService..<(APICRegister.inService + 8): return inService.words[register & 7]
        case APICRegister.triggerMode..<(APICRegister.triggerMode + 8): return triggerMode.words[register & 7]
        case APICRegister.request..<(APICRegister.request + 8): return request.words[register & 7]
        case APICRegister.errorStatus: return errors
        case APICRegister.commandLow: return command
        case APICRegister.commandHigh: return commandDestination << 24
        case APICRegister.firstLocalVector...APICRegister.lastLocalVector:
            return localVectors[register - APICRegister.firstLocalVector]
        case APICRegister.initialCount: return timerMode == .deadline ? 0 : initialCount
        case APICRegister.currentCount: return currentCount(clock)
        case APICRegister.divide: return divide
        case APICRegister.endOfInterrupt, APICRegister.remoteRead: return 0
        default:
            raise(APICError.illegalRegister, &effects)
            return 0
        }
    }

    mutating func write(_ register: Int, _ value: UInt32, _ clock: GuestClock, _ effects: inout Effects) {
        switch register {
        case APICRegister.id: id = value >> 24
        case APICRegister.taskPriority: setTaskPriority(UInt8(truncatingIfNeeded: value), &effects)
        case APICRegister.endOfInterrupt: endInterrupt(&effects)
        case APICRegister.logicalDestination: logicalDestination = value & 0xff00_0000
        case APICRegister.destinationFormat: destinationFormat = value | 0x0fff_ffff
        case APICRegister.spurious: setSpurious(value, &effects)
        case APICRegister.errorStatus:
            errors = newErrors
            newErrors = 0
        case APICRegister.commandLow:
            command = value & InterruptCommand.writable
            issueCommand(&effects)
        case APICRegister.commandHigh: commandDestination = value >> 24
        case APICRegister.firstLocalVector...APICRegister.lastLocalVector:
            setLocalVector(register - APICRegister.firstLocalVector, value, &effects)
        case APICRegister.initialCount: setInitialCount(value, clock, &effects)
        case APICRegister.divide: setDivide(value & 0xb, clock, &effects)
        case APICRegister.version, APICRegister.arbitrationPriority, APICRegister.processorPriority,
             APICRegister.remoteRead, APICRegister.inService..<APICRegister.errorStatus, APICRegister.currentCount:
            return
        default: raise(APICError.illegalRegister, &effects)
        }
    }

    private mutating func setSpurious(_ value: UInt32, _ effects: inout Effects) {
        spurious = value & SpuriousVector.writable
        if spurious & SpuriousVector.softwareEnabled == 0 {
            for entry in localVectors.indices { localVectors[entry] |= LocalVector.masked }
        }
        effects.changed = true
    }

    private mutating func setLocalVector(_ entry: Int, _ value: UInt32, _ effects: inout Effects) {
        let modeBefore = timerMode
        var value = value & LocalVector.writable[entry] | localVectors[entry] & LocalVector.remoteIRR
        if !accepts { value |= LocalVector.masked }
        if value & LocalVector.levelTriggered == 0 { value &= ~LocalVector.remoteIRR }
        localVectors[entry] = value
        if entry == LocalVector.lint0 || entry == LocalVector.lint1 {
            // A level that waits is noticed as soon as the entry lets it through.
            if value & LocalVector.levelTriggered != 0, pins >> UInt8(entry) & 1 != 0 { fire(entry, &effects) }
            effects.changed = true
        }
        guard entry == LocalVector.timer, timerMode != modeBefore else { return }
        if timerMode == .deadline || modeBefore == .deadline {
            timerStart = nil
            deadline = nil
        }
        effects.timerChanged = true
    }

    private mutating func issueCommand(_ effects: inout Effects) {
        let mode = UInt8(command >> LocalVector.deliveryShift & 7)
        guard let delivery = APICMessage.Delivery(rawValue: mode), delivery != .external else { return }
        let vector = UInt8(truncatingIfNeeded: command)
        let isLevel = command & InterruptCommand.levelTriggered != 0
        // The level de-assert INIT only synchronised arbitration IDs, long ago.
        if delivery == .initialize, isLevel, command & InterruptCommand.assert == 0 { return }
        if (delivery == .fixed || delivery == .lowestPriority) && vector < 16 {
            return raise(APICError.sendIllegalVector, &effects)
        }
        let message = APICMessage(destination: commandDestination, isLogical: command & InterruptCommand.logical != 0,
                                  delivery: delivery, vector: vector, isWide: isX2)
        effects.command = (message, command >> InterruptCommand.shorthandShift & 3)
    }

    // MARK: MSRs

    mutating func readMSR(_ register: Int, _ clock: GuestClock, _ effects: inout Effects) -> UInt64? {
        guard isX2 else { return nil }
        switch register {
        case APICRegister.commandLow: return UInt64(commandDestination) << 32 | UInt64(command)
        case APICRegister.id, APICRegister.version, APICRegister.taskPriority, APICRegister.processorPriority,
             APICRegister.logicalDestination, APICRegister.spurious, APICRegister.inService...APICRegister.errorStatus,
             APICRegister.firstLocalVector...APICRegister.currentCount, APICRegister.divide:
            return UInt64(read(register, clock, &effects))
        default: return nil
        }
    }

    mutating func writeMSR(_ register: Int, _ value: UInt64, _ clock: GuestClock, _ effects: inout Effects) -> Bool {
        guard isX2 else { return false }
        if register == APICRegister.commandLow {
            guard value & 0xffff_ffff & ~UInt64(InterruptCommand.writable) == 0 else { return false }
            command = UInt32(truncatingIfNeeded: value)
            commandDestination = UInt32(truncatingIfNeeded: value >> 32)
            issueCommand(&effects)
            return true
        }
        guard let allowed = Self.writableBits(register), value & ~UInt64(allowed) == 0 else { return false }
        if register == APICRegister.selfIPI {
            guard value >= 16 else {
                raise(APICError.sendIllegalVector, &effects)
                return true
            }
            _ = request(UInt8(value), isLevel: false, &effects)
            return true
        }
        write(register, UInt32(value), clock, &effects)
        return true
    }

    /// The bits that a WRMSR may set; nil where writing faults.
    private static func writableBits(_ register: Int) -> UInt32? {
        switch register {
        case APICRegister.taskPriority, APICRegister.selfIPI: 0xff
        case APICRegister.endOfInterrupt, APICRegister.errorStatus: 0
        case APICRegister.spurious: SpuriousVector.writable
        case APICRegister.firstLocalVector...APICRegister.lastLocalVector:
            LocalVector.writable[register - APICRegister.firstLocalVector] | 0x5000
        case APICRegister.initialCount: .max
        case APICRegister.divide: 0xb
        default: nil
        }
    }

    mutating func setBase(_ value: UInt64, _ effects: inout Effects) -> Bool {
        var known = APICBase.addressMask | APICBase.enabled | APICBase.bootstrap
        if presence == .x2APIC { known |= APICBase.x2APIC }
        guard value & ~known == 0 else { return false }
        let enabled = value & APICBase.enabled != 0, x2 = value & APICBase.x2APIC != 0
        guard enabled || !x2 else { return false }
        // Allowed: off to xAPIC, xAPIC to x2APIC, anything to off (table 11-5).
        if isX2, enabled, !x2 { return false }
        if !isEnabled, x2 { return false }
        let turnedOff = isEnabled && !enabled, entersX2 = x2 && !isX2
        base = value
        if turnedOff {
            resetRegisters(keepsID: false)
            effects.timerChanged = true
        }
        if entersX2 { enterX2() }
        effects.changed = true
        return true
    }

    private mutating func enterX2() {
        id = initialID
        logicalDestination = (id >> 4) << 16 | 1 << (id & 15)
        destinationFormat = .max
        commandDestination = 0
    }

    // MARK: Timer

    var timerMode: TimerMode { TimerMode(rawValue: localVectors[LocalVector.timer] >> LocalVector.timerModeShift & 3) ?? .oneShot }

    /// Nanoseconds to a count.
    private var divisor: UInt64 {
        // 0…6: 2 to 128; 7: 1.
        let code = divide & 3 | divide >> 1 & 4
        return code == 7 ? 1 : 2 << UInt64(code)
    }

    private var periodNanoseconds: UInt64 { UInt64(initialCount) * divisor }

    private func currentCount(_ clock: GuestClock) -> UInt32 {
        guard timerMode != .deadline, let start = timerStart, initialCount > 0 else { return 0 }
        let now = clock.nanoseconds
        let elapsed = (now > start ? now - start : 0) / divisor
        if timerMode == .periodic { return initialCount - UInt32(elapsed % UInt64(initialCount)) }
        return elapsed >= UInt64(initialCount) ? 0 : initialCount - UInt32(elapsed)
    }

    private mutating func setInitialCount(_ value: UInt32, _ clock: GuestClock, _ effects: inout Effects) {
        guard timerMode != .deadline else { return }
        initialCount = value
        timerStart = value == 0 ? nil : clock.nanoseconds
        effects.timerChanged = true
    }

    /// The count under way goes on from where it is, at the new speed.
    private mutating func setDivide(_ value: UInt32, _ clock: GuestClock, _ effects: inout Effects) {
        let count = currentCount(clock), isRunning = timerStart != nil
        divide = value
        guard isRunning else { return }
        timerStart = clock.nanoseconds &- UInt64(initialCount &- count) * divisor
        effects.timerChanged = true
    }

    mutating func setDeadline(_ value: UInt64, _ clock: GuestClock, _ effects: inout Effects) {
        guard timerMode == .deadline else { return }
        deadline = value == 0 ? nil : value
        fireTimer(clock, &effects)
        effects.timerChanged = true
    }

    /// When the timer must be looked at again.
    func deadlineTicks(_ clock: GuestClock) -> UInt64? {
        if timerMode == .deadline { return deadline }
        guard let start = timerStart, initialCount > 0 else { return nil }
        var end = start &+ periodNanoseconds
        if timerMode == .periodic { end = max(end, start &+ LocalAPIC.periodMinNanoseconds) }
        let tick = 1_000_000_000 / clock.frequencyHz
        return end / tick &+ (end % tick == 0 ? 0 : 1)
    }

    /// Raises the timer's interrupt if its time has come. Periods that passed while the host was late count once.
    mutating func fireTimer(_ clock: GuestClock, _ effects: inout Effects) {
        if timerMode == .deadline {
            guard let due = deadline, clock.ticks >= due else { return }
            deadline = nil
            return fire(LocalVector.timer, &effects)
        }
        guard let start = timerStart, initialCount > 0 else { return }
        let now = clock.nanoseconds
        guard now >= start, now - start >= periodNanoseconds else { return }
        if timerMode == .periodic {
            timerStart = now - (now - start) % periodNanoseconds
        } else {
            timerStart = nil
        }
        fire(LocalVector.timer, &effects)
    }

    // MARK: Saved state

    func save(to writer: inout StateWriter) {
        writer.put(base)
        writer.put(taskPriority)
        writer.put(pins)
        writer.put(externalMessage)
        for word in [id, logicalDestination, destinationFormat, spurious, errors, newErrors, command, commandDestination,
                     initialCount, divide] + localVectors { writer.put(word) }
        for set in [inService, triggerMode, request] { for index in 0..<8 { writer.put(set.words[index]) } }
        for time in [timerStart, deadline] {
            writer.put(time != nil)
            writer.put(time ?? 0)
        }
    }

    init(from reader: inout StateReader, id: UInt32, presence: LocalAPIC.Presence) throws {
        self.init(id: id, isBootstrap: false, presence: presence)
        base = try reader.get(UInt64.self) & (APICBase.addressMask | APICBase.enabled | APICBase.bootstrap | APICBase.x2APIC)
        guard isEnabled || !isX2, !isX2 || presence == .x2APIC, !isEnabled || presence != .absent else {
            throw StateError.invalid(section: "local-apic", reason: "a mode that the processor does not have")
        }
        taskPriority = try reader.get()
        pins = try reader.get()
        externalMessage = try reader.getBool()
        self.id = try reader.get()
        logicalDestination = try reader.get()
        destinationFormat = try reader.get()
        spurious = try reader.get(UInt32.self) & SpuriousVector.writable
        errors = try reader.get()
        newErrors = try reader.get()
        command = try reader.get(UInt32.self) & InterruptCommand.writable
        commandDestination = try reader.get()
        initialCount = try reader.get()
        divide = try reader.get(UInt32.self) & 0xb
        for entry in localVectors.indices {
            localVectors[entry] = try reader.get(UInt32.self) & (LocalVector.writable[entry] | LocalVector.remoteIRR)
        }
        func set(_ reader: inout StateReader) throws -> VectorSet {
            var set = VectorSet()
            for index in 0..<8 { set.words[index] = try reader.get() }
            return set
        }
        inService = try set(&reader)
        triggerMode = try set(&reader)
        request = try set(&reader)
        func time(_ reader: inout StateReader) throws -> UInt64? {
            let present = try reader.getBool(), value: UInt64 = try reader.get()
            return present ? value : nil
        }
        timerStart = try time(&reader)
        deadline = try time(&reader)
    }
}
