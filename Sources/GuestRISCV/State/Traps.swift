// Interrupt selection and trap entry.
//
// Interrupt lines are set by devices and timers on other threads; software-set pending bits by CSR writes and by firmware
// on other harts. Both words are atomic.
//
// Spec: Volume II, Machine Trap Delegation, Machine Interrupt Registers, Supervisor Interrupt Registers, "Sstc".

import Synchronization
import Translator

/// Where a trap went.
public enum TrapDestination: Sendable {
    case supervisor
    case machine
}

extension RISCVState {
    @inline(__always)
    private func atomic(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        // SAFETY: Atomic<UInt64> has the size and alignment of UInt64; the word is only reached atomically while the
        // hart runs.
        (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    // MARK: pending interrupts

    /// Raises or lowers an interrupt line (one or more of `InterruptBit`). Callable from any thread; the caller then asks
    /// the vCPU to leave guest code.
    public func setInterruptLine(_ bits: UInt64, _ level: Bool) {
        let lines = atomic(FrontLayout.interruptLines)
        if level {
            lines.pointee.bitwiseOr(bits & InterruptBit.all, ordering: .sequentiallyConsistent)
        } else {
            lines.pointee.bitwiseAnd(~bits, ordering: .sequentiallyConsistent)
        }
    }

    /// Sets or clears software-writable pending bits, as firmware does for SSIP. Callable from any thread.
    public func setPending(_ bits: UInt64, _ value: Bool) {
        let pending = atomic(FrontLayout.mip)
        if value {
            pending.pointee.bitwiseOr(bits & InterruptBit.all, ordering: .sequentiallyConsistent)
        } else {
            pending.pointee.bitwiseAnd(~bits, ordering: .sequentiallyConsistent)
        }
    }

    /// True when stimecmp drives STIP.
    var hasSupervisorTimer: Bool { self[FrontLayout.menvcfg] & EnvironmentConfiguration.stce != 0 }

    /// The software-writable part of mip.
    var softwarePending: UInt64 {
        let bits = atomic(FrontLayout.mip).pointee.load(ordering: .acquiring)
        return hasSupervisorTimer ? bits & ~InterruptBit.supervisorTimer : bits
    }

    /// mip as read: lines and software-set bits.
    public var mip: UInt64 {
        atomic(FrontLayout.interruptLines).pointee.load(ordering: .acquiring) | softwarePending
    }

    /// Cause number of the interrupt to take now, or nil. Also true of a hart that waits: `isInterruptPending` decides
    /// whether it wakes.
    public var selectedInterrupt: UInt64? {
        let pending = mip & self[FrontLayout.mie]
        if pending == 0 { return nil }
        let delegated = self[FrontLayout.mideleg], current = privilege
        let machine = pending & ~delegated
        if machine != 0, current != .machine || mstatus & Status.mie != 0 { return Self.highestPriority(machine) }
        let supervisor = pending & delegated
        let takesSupervisor = current == .user || current == .supervisor && mstatus & Status.sie != 0
        return supervisor != 0 && takesSupervisor ? Self.highestPriority(supervisor) : nil
    }

    /// True when WFI must not wait: an enabled interrupt is pending, whatever mstatus says.
    public var isInterruptPending: Bool { mip & self[FrontLayout.mie] != 0 }

    /// MEI, MSI, MTI, SEI, SSI, STI.
    private static func highestPriority(_ pending: UInt64) -> UInt64? {
        for bit in [InterruptBit.machineExternal, InterruptBit.machineSoftware, InterruptBit.machineTimer,
                    InterruptBit.supervisorExternal, InterruptBit.supervisorSoftware, InterruptBit.supervisorTimer]
        where pending & bit != 0 { return UInt64(bit.trailingZeroBitCount) }
        return nil
    }

    /// Asks the engine to look at interrupts before the next unit, when one can be taken.
    func noticeInterrupts() {
        if selectedInterrupt != nil { requestExit() }
    }

    /// Sets the word that makes generated code return to the engine.
    public func requestExit() {
        // SAFETY: as `atomic`; the word is 32 bits.
        (base + StateLayout.exitRequest).assumingMemoryBound(to: Atomic<UInt32>.self).pointee
            .store(1, ordering: .sequentiallyConsistent)
    }

    // MARK: trap entry

    /// Takes the interrupt `selectedInterrupt` names, if any; `pc` is the instruction to resume at.
    @discardableResult
    public func takeInterrupt() -> Bool {
        guard let cause = selectedInterrupt else { return false }
        enter(cause | ExceptionCause.interruptFlag, value: 0,
              delegated: self[FrontLayout.mideleg] >> cause & 1 != 0)
        return true
    }

    /// Where an exception would go. A machine without firmware of its own implements what goes to machine mode itself
    /// (an SBI call, `supervisorCall`) instead of taking the trap.
    public func destination(of cause: ExceptionCause) -> TrapDestination {
        privilege != .machine && self[FrontLayout.medeleg] >> cause.rawValue & 1 != 0 ? .supervisor : .machine
    }

    /// Takes an exception of the instruction at `pc`.
    /// - Parameter value: what goes to mtval or stval: the faulting address, or 0.
    @discardableResult
    public func takeTrap(_ cause: ExceptionCause, value: UInt64 = 0) -> TrapDestination {
        let destination = destination(of: cause)
        enter(cause.rawValue, value: value, delegated: destination == .supervisor)
        return destination
    }

    /// The cause of an environment call made now.
    public var callCause: ExceptionCause {
        switch privilege {
        case .user: .userCall
        case .supervisor: .supervisorCall
        case .machine: .machineCall
        }
    }

    private func enter(_ cause: UInt64, value: UInt64, delegated: Bool) {
        var status = mstatus
        let current = privilege
        let vector: UInt64
        if delegated, current != .machine {
            self[FrontLayout.scause] = cause
            self[FrontLayout.sepc] = pc & ~1
            self[FrontLayout.stval] = value
            status = status & ~Status.spie | (status & Status.sie != 0 ? Status.spie : 0)
            status = status & ~Status.spp | (current == .supervisor ? Status.spp : 0)
            status &= ~Status.sie
            vector = self[FrontLayout.stvec]
            privilege = .supervisor
        } else {
            self[FrontLayout.mcause] = cause
            self[FrontLayout.mepc] = pc & ~1
            self[FrontLayout.mtval] = value
            status = status & ~Status.mpie | (status & Status.mie != 0 ? Status.mpie : 0)
            status = status & ~Status.mpp | UInt64(current.rawValue) << Status.mppShift
            status &= ~Status.mie
            vector = self[FrontLayout.mtvec]
            privilege = .machine
        }
        mstatus = status
        let isVectored = vector & 1 != 0 && cause & ExceptionCause.interruptFlag != 0
        pc = (vector & ~3) &+ (isVectored ? (cause & ~ExceptionCause.interruptFlag) &* 4 : 0)
        // A trap is among the events that may clear a reservation; clearing it keeps handlers from inheriting one.
        self[StateLayout.reservationAddress] = .max
        updateMode()
    }
}
