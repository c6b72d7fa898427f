// Carrying host signals into the guest: which handler, on which stack, with which mask; and the deadly ones.
// The host's handler (CHost/guest_thread.c) only notes a signal and blocks all others; everything happens here, at an
// instruction boundary of the guest. Semantics: kernel/signal.c; signal(7); facts in docs/adding-a-system-call.md.

import CHost
import Glibc

/// SA_ bits, the same on all guests here (asm-generic/signal.h).
enum SignalActionFlag {
    static let noChildStop: UInt64 = 1, noChildWait: UInt64 = 2, siginfo: UInt64 = 4
    static let restorer: UInt64 = 0x0400_0000, onStack: UInt64 = 0x0800_0000, restart: UInt64 = 0x1000_0000
    static let noDefer: UInt64 = 0x4000_0000, resetHand: UInt64 = 0x8000_0000
    /// Bits the host's kernel acts on for us.
    static let forHost = noChildStop | noChildWait | restart
}

/// Signals by mask bit.
enum SignalSet {
    static func bit(_ signal: Int) -> UInt64 { 1 << UInt64(signal - 1) }
    /// SIGKILL and SIGSTOP, which nobody blocks.
    static let unblockable = bit(Int(SIGKILL)) | bit(Int(SIGSTOP))
    /// Those the emulator needs at any time; the host never blocks them.
    static let reservedSignals = [SIGSEGV, SIGBUS, SIGFPE]
    static let reserved = reservedSignals.reduce(UInt64(0)) { $0 | bit(Int($1)) }
    /// Synchronous ones, delivered first.
    static let synchronous =
        reserved | bit(Int(SIGILL)) | bit(Int(SIGTRAP)) | bit(Int(SIGSYS))
}

extension GuestThread {
    /// Number of signals; the table has one unused row for number 0.
    static let signalCount = 64

    /// Sets the host's mask to the guest's, except for the signals the emulator needs.
    func applyMask(_ mask: UInt64) {
        state.pointee.blocked = mask & ~SignalSet.unblockable
        setHostMask(mask & ~SignalSet.reserved)
        releaseHeld()
    }

    /// Sets the host's mask as it is.
    func setHostMask(_ mask: UInt64) {
        withUnsafePointer(to: mask) {
            _ = hostCall(.rt_sigprocmask, Int(SIG_SETMASK), Int(bitPattern: $0), 0, 8)
        }
    }

    /// Blocks everything the host may block; returns the mask before.
    func blockHostSignals() -> UInt64 {
        var old: UInt64 = 0
        withUnsafePointer(to: ~SignalSet.reserved) { new in
            withUnsafeMutablePointer(to: &old) {
                _ = hostCall(.rt_sigprocmask, Int(SIG_SETMASK), Int(bitPattern: new), Int(bitPattern: $0), 8)
            }
        }
        return old
    }

    /// Moves sent signals of the reserved ones that are no longer blocked to the pending ones.
    func releaseHeld() {
        let ready = state.pointee.held & ~state.pointee.blocked
        guard ready != 0 else { return }
        for signal in SignalSet.reservedSignals.map(Int.init) where ready & SignalSet.bit(signal) != 0 {
            if guise_take_bit(&state.pointee.held, Int32(signal)) != 0 { state.pointee.pending |= SignalSet.bit(signal) }
        }
    }

    /// Builds guest frames for all caught signals; afterwards the guest's mask is in force on the host.
    func deliverSignals() {
        // Each frame may unmask others that wait in the kernel: they are caught at once and get frames on top.
        while state.pointee.pending != 0 {
            _ = blockHostSignals()
            let waiting = state.pointee.pending
            guard waiting != 0 else { break }
            let urgent = waiting & SignalSet.synchronous
            let signal = (urgent != 0 ? urgent : waiting).trailingZeroBitCount + 1
            _ = guise_take_bit(&state.pointee.pending, Int32(signal))
            deliver(signal, info: information(of: signal))
        }
        temporaryMask = nil
    }

    /// The siginfo the host's handler kept.
    private func information(of signal: Int) -> UnsafeMutableRawPointer {
        UnsafeMutableRawPointer(state.pointee.info) + 128 * signal
    }

    private func deliver(_ signal: Int, info: UnsafeMutableRawPointer) {
        let action = actions[signal]
        process.log?.signal(signal, info: info)
        if action.handler == 1 || (action.handler == 0 && GuestThread.ignoredByDefault & SignalSet.bit(signal) != 0) {
            applyMask(state.pointee.blocked)
            return
        }
        guard action.handler > 1 else {
            if action.handler == 0 && !SignalSet.isReserved(signal) {
                // The action changed between catching and delivering: let the kernel do the default.
                guise_set_disposition(Int32(signal), Int32(guise_default.rawValue), 0)
                sendToSelf(signal, info: info)
                applyMask(state.pointee.blocked)
                return
            }
            return die(signal, info: info)
        }
        if !enterHandler(signal, action, info: info) { forceFatal(SIGSEGV) }
    }

    private static let ignoredByDefault =
        SignalSet.bit(Int(SIGCHLD)) | SignalSet.bit(Int(SIGCONT)) | SignalSet.bit(Int(SIGURG)) | SignalSet.bit(Int(SIGWINCH))

    /// Writes the frame and switches to the handler; false when the guest's stack does not take it.
    private func enterHandler(_ signal: Int, _ action: GuestSignalAction, info: UnsafeRawPointer) -> Bool {
        let stackPointer = abi.stackPointer(registers)
        var top = stackPointer &- abi.redZone
        var saved = alternateStack
        let onAlternate = isOnAlternateStack(stackPointer)
        saved.flags = onAlternate && saved.size != 0 ? saved.flags | AlternateStack.onStack : saved.flags
        if action.flags & SignalActionFlag.onStack != 0, alternateStack.size != 0, !onAlternate {
            top = alternateStack.base &+ alternateStack.size
        } else if onAlternate, alternateStack.size != 0,
            stackPointer &- alternateStack.base < abi.minimumSignalStack / 2 {
            return false // no room left: the kernel forces SIGSEGV
        }
        let blockedNow = temporaryMask ?? state.pointee.blocked
        let frame = SignalFrame(
            signal: signal, info: info, action: action, mask: state.pointee.blocked, stack: saved, top: top,
            trampoline: process.trampoline, trap: trap)
        guard abi.enterHandler(registers, frame) else { return false }
        cpu.clearReservation()
        if alternateStack.flags & AlternateStack.autoDisarm != 0 { alternateStack = AlternateStack() }
        if action.flags & SignalActionFlag.resetHand != 0 {
            actions[signal].handler = 0
            if !SignalSet.isReserved(signal) {
                guise_set_disposition(Int32(signal), Int32(guise_default.rawValue), 0)
            }
        }
        var mask = blockedNow | action.mask
        if action.flags & SignalActionFlag.noDefer == 0 { mask |= SignalSet.bit(signal) }
        temporaryMask = nil
        applyMask(mask)
        return true
    }

    /// Whether a stack pointer is inside the alternate stack (and that is not self-disarming).
    func isOnAlternateStack(_ pointer: UInt64) -> Bool {
        alternateStack.flags & AlternateStack.autoDisarm == 0 && alternateStack.size != 0
            && pointer > alternateStack.base && pointer &- alternateStack.base <= alternateStack.size
    }

    /// A fault the guest's own instruction caused: delivered at once, deadly when blocked or ignored.
    func fault(_ fault: ProgramFault) {
        let signal = fault.signal
        if let new = fault.trap { trap = new }
        withUnsafeTemporaryAllocation(byteCount: 128, alignment: 8) { info in
            let p = info.baseAddress!
            memset(p, 0, 128)
            p.storeBytes(of: signal, toByteOffset: 0, as: Int32.self)
            p.storeBytes(of: fault.code, toByteOffset: 8, as: Int32.self)
            p.storeBytes(of: fault.address, toByteOffset: 16, as: UInt64.self)
            let number = Int(signal)
            let action = actions[number]
            process.log?.signal(number, info: p)
            let mask = blockHostSignals()
            if action.handler <= 1 || state.pointee.blocked & SignalSet.bit(number) != 0 {
                return die(number, info: p)
            }
            // Signals caught meanwhile stay pending and get their frames on top of this one.
            _ = mask
            if !enterHandler(number, action, info: p) { forceFatal(SIGSEGV) }
        }
    }

    /// Ends the process by a signal the kernel forces.
    func forceFatal(_ signal: Int32) {
        withUnsafeTemporaryAllocation(byteCount: 128, alignment: 8) { info in
            let p = info.baseAddress!
            memset(p, 0, 128)
            p.storeBytes(of: signal, toByteOffset: 0, as: Int32.self)
            p.storeBytes(of: Int32(0x80), toByteOffset: 8, as: Int32.self) // SI_KERNEL
            die(Int(signal), info: p)
        }
    }

    /// Ends the process as the signal's default action does.
    func die(_ signal: Int, info: UnsafeMutableRawPointer) {
        process.log?.flush()
        guise_set_disposition(Int32(signal), Int32(guise_default.rawValue), 0)
        sendToSelf(signal, info: info)
        setHostMask(~SignalSet.bit(signal))
        // Not reached for deadly signals: one whose default is to stop or be ignored comes back here.
        applyMask(state.pointee.blocked)
    }

    private func sendToSelf(_ signal: Int, info: UnsafeMutableRawPointer) {
        let pid = hostCall(.getpid), tid = hostCall(.gettid)
        if hostCall(.rt_tgsigqueueinfo, pid, tid, signal, Int(bitPattern: info)) < 0 {
            _ = hostCall(.tgkill, pid, tid, signal)
        }
    }
}

extension SignalSet {
    /// Whether the emulator keeps its own host handler for a signal.
    static func isReserved(_ signal: Int) -> Bool { reserved & bit(signal) != 0 }
}
