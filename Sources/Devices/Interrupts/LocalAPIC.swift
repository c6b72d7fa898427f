// The local APIC of one processor: xAPIC registers in memory, x2APIC registers as MSRs, timer, IPIs.
//
// Spec: Intel SDM volume 3, chapter 11 (APIC), §11.12 (x2APIC); AMD64 APM volume 2, chapter 16.
// Version 14h with six local vectors, without EOI-broadcast suppression. The timer counts nanoseconds (1 GHz before the
// divider). Absent: SMI and remote read messages, thermal and performance sources (their vectors can be programmed), the
// extended AMD space.

import Bus
import SavedState
import Synchronization

/// A local APIC.
public final class LocalAPIC: LocalInterruptController, Savable, @unchecked Sendable {
    // SAFETY (Sendable): registers are behind `state`; `target` is set once before the machine runs.

    /// What the processor lets software see of it.
    public enum Presence: Sendable {
        /// A processor without APIC: the 8259s reach it directly.
        case absent
        case xAPIC
        case x2APIC
    }

    /// Frequency of the timer before the divider, in hertz.
    public static let timerHz: UInt64 = 1_000_000_000
    static let version: UInt32 = 0x0005_0014
    /// Periodic timers fire no more often than this, so that a guest cannot keep the host's event loop busy.
    static let periodMinNanoseconds: UInt64 = 20_000

    /// The physical ID at power-on.
    public let initialID: UInt32
    let presence: Presence
    let network: APICBus
    let clock: GuestClock
    private let timer: DeadlineTimer
    private let external: @Sendable () -> UInt8
    private weak var target: (any InterruptTarget)?
    private let state: Mutex<LocalAPICState>

    /// - Parameters:
    ///   - external: runs the acknowledge cycle of the 8259s and returns its vector.
    ///   - timer: drives `timerFired`.
    public init(id: UInt32, presence: Presence, network: APICBus, clock: GuestClock, timer: DeadlineTimer,
                external: @escaping @Sendable () -> UInt8) {
        initialID = id
        self.presence = presence
        self.network = network
        self.clock = clock
        self.timer = timer
        self.external = external
        state = Mutex(LocalAPICState(id: id, isBootstrap: id == 0, presence: presence))
        network.join(self)
    }

    /// Gives the processor to be told. Once, before the machine runs.
    public func connect(_ target: any InterruptTarget) { self.target = target }

    /// What is to be done once the lock is released.
    struct Effects {
        var changed = false
        var nonMaskable = false
        var endOfInterrupt: UInt8?
        var command: (message: APICMessage, shorthand: UInt32)?
        var timerChanged = false
    }

    @discardableResult
    private func change<Result>(_ body: (inout LocalAPICState, inout Effects) -> Result) -> Result {
        var effects = Effects()
        let result = state.withLock { state in
            let result = body(&state, &effects)
            if effects.timerChanged { timer.set(deadlineTicks: state.deadlineTicks(clock)) }
            return result
        }
        if effects.changed { target?.interruptsChanged() }
        if effects.nonMaskable { target?.raiseNMI() }
        if let vector = effects.endOfInterrupt { network.broadcastEnd(vector) }
        if let command = effects.command { issue(command.message, command.shorthand) }
        return result
    }

    private func issue(_ message: APICMessage, _ shorthand: UInt32) {
        switch shorthand {
        case InterruptCommand.Shorthand.toSelf: receive(message)
        case InterruptCommand.Shorthand.all: network.broadcast(message, except: nil)
        case InterruptCommand.Shorthand.allButSelf: network.broadcast(message, except: self)
        default: network.send(message)
        }
    }

    // MARK: From other chips, any thread

    func matches(_ message: APICMessage) -> Bool { state.withLock { $0.matches(message) } }

    /// The priority for lowest-priority delivery, or nil when the APIC takes none.
    var arbitrationPriority: UInt8? { state.withLock { $0.accepts ? $0.processorPriority : nil } }

    /// Takes a message that is meant for this processor; false when the APIC is off.
    @discardableResult
    func receive(_ message: APICMessage) -> Bool {
        switch message.delivery {
        case .initialize: target?.raiseINIT()
        case .startUp: target?.startUp(vector: message.vector)
        case .nonMaskable: target?.raiseNMI()
        case .management: return false
        case .fixed, .lowestPriority:
            return change { $0.request(message.vector, isLevel: message.isLevel, &$1) }
        case .external:
            change { state, effects in
                state.externalMessage = true
                effects.changed = true
            }
        }
        return true
    }

    /// The LINT0 pin: INT of the 8259s.
    public var lint0: InterruptLine { InterruptLine { [unowned self] level in setPin(LocalVector.lint0, level) } }
    /// The LINT1 pin: the board's NMI.
    public var lint1: InterruptLine { InterruptLine { [unowned self] level in setPin(LocalVector.lint1, level) } }

    private func setPin(_ entry: Int, _ level: Bool) { change { $0.setPin(entry, level, &$1) } }

    /// The timer's deadline may have come.
    public func timerFired() {
        change { state, effects in
            state.fireTimer(clock, &effects)
            effects.timerChanged = true
        }
    }

    // MARK: From the processor

    public var base: UInt64 { state.withLock { $0.base } }

    public var taskPriority: UInt8 {
        get { state.withLock { $0.taskPriority >> 4 } }
        set { change { $0.setTaskPriority(newValue << 4, &$1) } }
    }

    public var hasInterrupt: Bool { state.withLock { $0.takesExternal || $0.deliverable != nil } }

    public func acknowledge() -> UInt8? {
        enum Source { case none, vector(UInt8), external }
        let source = state.withLock { state -> Source in
            if state.takesExternal {
                state.externalMessage = false
                return .external
            }
            guard let vector = state.deliverable else { return .none }
            state.request[vector] = false
            state.inService[vector] = true
            return .vector(vector)
        }
        switch source {
        case .none: return nil
        case .vector(let vector): return vector
        case .external: return external()
        }
    }

    public func read(offset: Int, size: Int) -> UInt64 {
        // Registers are 4 bytes at multiples of 16; what lies between reads as zero.
        var value: UInt64 = 0
        for byte in 0..<max(0, min(size, 8)) {
            let place = offset &+ byte
            guard place & 0xc == 0, place >= 0, place < APICRegister.count << 4 else { continue }
            // A wider access reads each register once: here at its first byte.
            if byte == 0 || place & 3 == 0 {
                let register = change { $0.read(place >> 4, clock, &$1) }
                value |= UInt64(register >> UInt32(8 * (place & 3))) << UInt64(8 * byte)
            }
        }
        return size >= 8 ? value : value & ((1 << UInt64(8 * max(0, size))) &- 1)
    }

    public func write(offset: Int, size: Int, value: UInt64) {
        guard size >= 4, offset >= 0, offset & 0xf == 0, offset < APICRegister.count << 4 else { return }
        change { $0.write(offset >> 4, UInt32(truncatingIfNeeded: value), clock, &$1) }
    }

    public func readMSR(_ number: UInt32) -> UInt64? {
        guard presence != .absent else { return nil }
        switch number {
        case APICBase.msr: return base
        case APICMSR.deadline:
            return state.withLock { $0.timerMode == .deadline ? $0.deadline ?? 0 : 0 }
        case APICMSR.first...APICMSR.last:
            return change { $0.readMSR(Int(number - APICMSR.first), clock, &$1) }
        default: return nil
        }
    }

    public func writeMSR(_ number: UInt32, _ value: UInt64) -> Bool {
        guard presence != .absent else { return false }
        switch number {
        case APICBase.msr: return change { $0.setBase(value, &$1) }
        case APICMSR.deadline:
            change { $0.setDeadline(value, clock, &$1) }
            return true
        case APICMSR.first...APICMSR.last:
            return change { $0.writeMSR(Int(number - APICMSR.first), value, clock, &$1) }
        default: return false
        }
    }

    public func initialize() {
        change { state, effects in
            state.resetRegisters(keepsID: true)
            effects.timerChanged = true
        }
    }

    // MARK: Board

    /// Power-on state. Pins keep their level.
    public func reset() {
        change { state, effects in
            let pins = state.pins
            state = LocalAPICState(id: initialID, isBootstrap: initialID == 0, presence: presence)
            state.pins = pins
            effects.timerChanged = true
        }
    }

    /// As firmware leaves the bootstrap processor: enabled, the 8259s through LINT0, NMI through LINT1.
    public func enterVirtualWireMode() { change { state, _ in state.enterVirtualWireMode() } }

    public func save(to writer: inout StateWriter) {
        writer.section("local-apic", version: 1) { writer in state.withLock { $0 }.save(to: &writer) }
    }

    public func restore(from reader: inout StateReader) throws {
        try reader.section("local-apic", newest: 1) { reader, _ in
            let restored = try LocalAPICState(from: &reader, id: initialID, presence: presence)
            change { state, effects in
                state = restored
                effects.timerChanged = true
                effects.changed = true
            }
        }
    }
}
