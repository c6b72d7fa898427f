// What happens between instructions: interrupts, NMI, INIT and start-up IPIs; single step, breakpoints and shadows.
//
// In a mode with `Mode.single` the engine executes one instruction at a time and calls `beforeInstruction` and
// `afterInstruction` around it. In other modes none of TF, shadows and breakpoints is in force, and neither is needed.
//
// Spec: Intel SDM vol. 3 6.8, 6.9, 17.2, 17.3; AMD APM vol. 2 8.5, 13.1.

import Synchronization
import Translator

/// What may be delivered now.
public enum DeliverableEvent: Equatable, Sendable {
    /// The vCPU is to be reset by `initialize`.
    case initialize
    /// The vCPU is to be started by `startUp`, with the vector of the IPI.
    case startUp(UInt8)
    case nmi
    /// An interrupt: the engine asks the interrupt controller for its vector and delivers it.
    case interrupt
}

extension X86State {
    @inline(__always)
    private func atomic(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt32>> {
        // SAFETY: Atomic<UInt32> has the size and alignment of UInt32; the word is only reached atomically while the
        // vCPU runs.
        (base + offset).assumingMemoryBound(to: Atomic<UInt32>.self)
    }

    // MARK: events from other threads

    /// Raises or lowers the interrupt request of the local APIC or PIC. Callable from any thread; the caller then
    /// asks the vCPU to leave guest code.
    public func setInterruptRequest(_ level: Bool) {
        let events = atomic(SystemLayout.events)
        if level {
            events.pointee.bitwiseOr(EventLine.interrupt, ordering: .sequentiallyConsistent)
        } else {
            events.pointee.bitwiseAnd(~EventLine.interrupt, ordering: .sequentiallyConsistent)
        }
    }

    /// Sends NMI, INIT or (with a vector) a start-up IPI: one of `EventLine`. Callable from any thread, as above.
    public func send(_ line: UInt32, vector: UInt8 = 0) {
        if line == EventLine.startup {
            atomic(SystemLayout.startupVector).pointee.store(UInt32(vector), ordering: .relaxed)
        }
        let before = atomic(SystemLayout.events).pointee.bitwiseOr(line, ordering: .sequentiallyConsistent).oldValue
        // One that is being taken and one that waits for it: the second is not lost if it comes before the first is seen.
        if line == EventLine.nmi, before & EventLine.nmi != 0, self[word: SystemLayout.nmiBlocked] == 0 {
            atomic(SystemLayout.events).pointee.bitwiseOr(EventLine.secondNMI, ordering: .sequentiallyConsistent)
        }
    }

    /// What is to be done before the next instruction, or nil. NMI, INIT and start-up IPIs are taken off the list.
    public func takeEvent() -> DeliverableEvent? {
        let events = atomic(SystemLayout.events)
        let pending = events.pointee.load(ordering: .acquiring)
        if pending == 0 { return nil }
        if pending & EventLine.initialize != 0 {
            events.pointee.bitwiseAnd(~EventLine.initialize, ordering: .sequentiallyConsistent)
            return .initialize
        }
        if pending & EventLine.startup != 0 {
            events.pointee.bitwiseAnd(~EventLine.startup, ordering: .sequentiallyConsistent)
            let vector = atomic(SystemLayout.startupVector).pointee.load(ordering: .relaxed)
            if activity == .waitForStartup { return .startUp(UInt8(truncatingIfNeeded: vector)) }
        }
        guard activity == .running || activity == .halted else { return nil }
        let shadow = self[word: SystemLayout.interruptShadow]
        guard shadow == 0 else { return nil }
        let isNMI = pending & EventLine.nmi != 0 && self[word: SystemLayout.nmiBlocked] == 0
        guard isNMI || pending & EventLine.interrupt != 0 && systemFlags & EFlags.interrupt != 0 else { return nil }
        if self[SystemLayout.shadowPlace] == pc, activity == .running {
            // It came between STI and the next instruction; `afterInstruction` asks again.
            self[SystemLayout.shadowPlace] = .max
            startShadow(InterruptShadow.sti)
            return nil
        }
        guard isNMI else { return .interrupt }
        let taken = pending & EventLine.secondNMI != 0 ? EventLine.secondNMI : EventLine.nmi
        events.pointee.bitwiseAnd(~taken, ordering: .sequentiallyConsistent)
        return .nmi
    }

    /// Whether an interrupt or NMI waits, enabled or not.
    var hasPendingInterrupt: Bool { atomic(SystemLayout.events).pointee.load(ordering: .acquiring) != 0 }

    /// Whether a halted vCPU has something to wake for.
    public var mayWake: Bool {
        let pending = atomic(SystemLayout.events).pointee.load(ordering: .acquiring)
        switch activity {
        case .running: return true
        case .halted:
            return pending & (EventLine.initialize) != 0
                || pending & EventLine.nmi != 0 && self[word: SystemLayout.nmiBlocked] == 0
                || pending & EventLine.interrupt != 0 && systemFlags & EFlags.interrupt != 0
        case .waitForStartup: return pending & (EventLine.initialize | EventLine.startup) != 0
        case .shutdown: return pending & EventLine.initialize != 0
        }
    }

    /// Sets the word that makes generated code return to the engine.
    public func requestExit() { atomic(StateLayout.exitRequest).pointee.store(1, ordering: .sequentiallyConsistent) }

    /// Asks the engine to look at events before the next unit, when an interrupt can be taken: after IF was set.
    func noticeInterrupts() {
        if atomic(SystemLayout.events).pointee.load(ordering: .acquiring) != 0 { requestExit() }
    }

    // MARK: one instruction at a time

    /// Bits of `SystemLayout.step`: what was in force when the instruction began.
    private enum Step {
        static let trap: UInt32 = 1, shadow: UInt32 = 2, resume: UInt32 = 4
        /// SYSCALL and SYSRET: TF counts as it is after the instruction.
        static let late: UInt32 = 8
        /// An interrupt was entered by the instruction itself: no single-step trap.
        static let entered: UInt32 = 16
    }

    /// Before an instruction in a mode with `Mode.single`: looks for code breakpoints.
    /// - Returns: false when #DB was delivered instead of the instruction.
    public func beforeInstruction() -> Bool {
        let flags = systemFlags
        if flags & EFlags.rf == 0 {
            let hits = breakpoints(pc, 1, .execute)
            // On Intel processors MOV SS holds them back.
            if hits != 0, isAMD || self[word: SystemLayout.interruptShadow] & InterruptShadow.movSS == 0 {
                deliver(.debug(hits))
                return false
            }
        }
        self[word: SystemLayout.step] = (flags & EFlags.tf != 0 ? Step.trap : 0)
            | (self[word: SystemLayout.interruptShadow] != 0 ? Step.shadow : 0)
            | (flags & EFlags.rf != 0 ? Step.resume : 0)
        return true
    }

    /// After an instruction in such a mode that raised no fault: ends shadows and RF, delivers debug traps.
    public func afterInstruction() {
        let step = self[word: SystemLayout.step]
        self[word: SystemLayout.step] = 0
        if step & Step.shadow != 0 {
            self[word: SystemLayout.interruptShadow] = 0
            noticeInterrupts()
        }
        if step & Step.resume != 0 { systemFlags &= ~EFlags.rf }
        var pending = self[word: SystemLayout.pendingDebug]
        let traps = step & Step.late != 0 ? systemFlags & EFlags.tf != 0 : step & Step.trap != 0
        if traps && step & Step.entered == 0 { pending |= DebugBits.bs }
        if pending != 0 {
            if self[word: SystemLayout.interruptShadow] & InterruptShadow.movSS != 0 {
                // MOV SS holds data breakpoints back, and loses the single-step trap.
                self[word: SystemLayout.pendingDebug] = pending & ~DebugBits.bs
            } else {
                deliver(.debug(pending))
            }
        }
        updateMode()
    }

    /// TF is looked at behind the instruction instead of in front of it.
    func stepsLate() { self[word: SystemLayout.step] |= Step.late }
    /// The instruction has entered an interrupt handler.
    func stepEntered() { self[word: SystemLayout.step] |= Step.entered }

    // MARK: breakpoints

    /// Which enabled breakpoints an access meets, as bits of DR6.
    private func breakpoints(_ address: UInt64, _ size: UInt64, _ access: X86Access) -> UInt32 {
        let control = self[SystemLayout.dr7]
        guard control & DebugBits.enables != 0 else { return 0 }
        var hits: UInt32 = 0
        for number in 0..<4 where control >> UInt64(number * 2) & 3 != 0 {
            let kind = control >> UInt64(16 + number * 4) & 3, code = control >> UInt64(18 + number * 4) & 3
            let matches: Bool = switch kind {
            case 0: access == .execute
            case 1: access == .write
            case 2: false
            default: access != .execute
            }
            guard matches else { continue }
            let length: UInt64 = access == .execute ? 1 : code == 2 ? 8 : code + 1
            let start = self[SystemLayout.dr(number)] & ~(length - 1)
            // Both may wrap; distances do not.
            if address &- start < length || start &- address < size { hits |= 1 << UInt32(number) }
        }
        return hits
    }

    /// Whether any breakpoint is enabled.
    @inline(__always) public var hasEnabledBreakpoints: Bool { self[SystemLayout.dr7] & DebugBits.enables != 0 }

    /// Whether any data breakpoint lies in the 4 KiB page of an address: such pages must not enter the data TLB.
    public func hasDataBreakpoint(inPageOf address: UInt64) -> Bool {
        guard self[SystemLayout.dr7] & DebugBits.enables != 0 else { return false }
        return breakpoints(address & ~0xFFF, 4096, .read) | breakpoints(address & ~0xFFF, 4096, .write) != 0
    }

    /// Takes note of a data access that was made, for the debug trap behind the instruction.
    /// - Parameters:
    ///   - address: linear.
    ///   - size: bytes.
    public func noteDataAccess(_ address: UInt64, _ size: UInt64, _ access: X86Access) {
        let hits = breakpoints(address, size, access)
        if hits != 0 { self[word: SystemLayout.pendingDebug] |= hits }
    }

    /// #DB for an I/O port access that meets a breakpoint (CR4.DE).
    func notePortAccess(_ port: UInt16, _ size: UInt64) {
        let control = self[SystemLayout.dr7]
        guard control & DebugBits.enables != 0, cr4 & CR4.de != 0 else { return }
        for number in 0..<4 where control >> UInt64(number * 2) & 3 != 0
            && control >> UInt64(16 + number * 4) & 3 == 2 {
            let length = (control >> UInt64(18 + number * 4) & 3) + 1
            let start = self[SystemLayout.dr(number)] & ~(length - 1)
            if UInt64(port) &- start < length || start &- UInt64(port) < size {
                self[word: SystemLayout.pendingDebug] |= 1 << UInt32(number)
            }
        }
    }
}
