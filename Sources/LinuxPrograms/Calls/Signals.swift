// Signal calls. The guest's mask and dispositions are the host's too, so that the kernel blocks, queues, ignores, stops
// and restarts by itself; only SIGSEGV, SIGBUS and SIGFPE stay with the emulator, which keeps the guest's wishes in `actions`.

import CHost
import Glibc

extension GuestThread {
    func signalAction(_ a: CallArguments) -> Int {
        let signal = Int(truncatingIfNeeded: a.a0)
        guard a.a3 == 8 else { return failure(EINVAL) }
        guard signal >= 1, signal <= GuestThread.signalCount else { return failure(EINVAL) }
        var new: GuestSignalAction?
        if a.a1 != 0 {
            guard let wanted = abi.decodeAction(a.a1) else { return failure(EFAULT) }
            new = wanted
        }
        let old = actions[signal]
        if let new {
            let r = setAction(signal, new)
            guard r == 0 else { return r }
        }
        if a.a2 != 0, !abi.encodeAction(old, at: a.a2) { return failure(EFAULT) }
        return 0
    }

    /// Sets a disposition here and on the host: 0, an errno, or `restartCall`. `signal` is 1 to 64.
    func setAction(_ signal: Int, _ wanted: GuestSignalAction) -> Int {
        if signal == Int(SIGKILL) || signal == Int(SIGSTOP) { return failure(EINVAL) }
        var new = wanted
        new.mask &= ~SignalSet.unblockable
        let old = actions[signal]
        // A signal between the table's change and the host's would find them different.
        let mask = blockHostSignals()
        guard state.pointee.pending == 0 else { return restartCall }
        actions[signal] = new
        if !SignalSet.isReserved(signal) {
            let disposition = new.handler <= 1 ? Int32(new.handler) : Int32(guise_catch.rawValue)
            let r = guise_set_disposition(Int32(signal), disposition, UInt(new.flags & SignalActionFlag.forHost))
            if r < 0 { actions[signal] = old }
        }
        setHostMask(mask)
        return 0
    }

    func signalMask(_ a: CallArguments) -> Int {
        guard a.a3 == 8 else { return failure(EINVAL) }
        let old = state.pointee.blocked
        if a.a1 != 0 {
            guard let set = Guest.load(a.a1, as: UInt64.self) else { return failure(EFAULT) }
            let mask: UInt64
            switch Int32(truncatingIfNeeded: a.a0) {
            case SIG_BLOCK: mask = old | set
            case SIG_UNBLOCK: mask = old & ~set
            case SIG_SETMASK: mask = set
            default: return failure(EINVAL)
            }
            let wanted = mask & ~SignalSet.unblockable
            let r = withUnsafePointer(to: wanted & ~SignalSet.reserved) {
                safe(.rt_sigprocmask, Int(SIG_SETMASK), Int(bitPattern: $0), 0, 8)
            }
            guard r == 0 else { return r }
            state.pointee.blocked = wanted
            if state.pointee.held != 0 { releaseHeld() }
        }
        if a.a2 != 0, !Guest.store(old, at: a.a2) { return failure(EFAULT) }
        return 0
    }

    func signalPending(_ a: CallArguments) -> Int {
        guard a.a1 <= 8 else { return failure(EINVAL) }
        var set: UInt64 = 0
        let r = withUnsafeMutablePointer(to: &set) { hostCall(.rt_sigpending, Int(bitPattern: $0), 8) }
        guard r == 0 else { return r }
        set |= state.pointee.held
        let bytes = withUnsafeBytes(of: set) { Array($0.prefix(Int(bitPattern: a.a1))) }
        return Guest.write(bytes, at: a.a0) ? 0 : failure(EFAULT)
    }

    /// Runs a call that puts another signal mask in force while it waits. `address` 0: no mask.
    func withMask(_ address: UInt64, _ size: UInt64, _ body: (_ mask: Int) -> Int) -> Int {
        guard address != 0 else { return body(0) }
        guard size == 8 else { return failure(EINVAL) }
        guard let wanted = Guest.load(address, as: UInt64.self) else { return failure(EFAULT) }
        let mask = wanted & ~SignalSet.unblockable
        if state.pointee.held & ~mask != 0 {
            // A sent signal that this mask lets through.
            temporaryMask = mask
            let ready = state.pointee.held & ~mask
            state.pointee.held &= ~ready
            _ = blockHostSignals()
            state.pointee.pending |= ready
            return failure(EINTR)
        }
        let r = withUnsafePointer(to: mask & ~SignalSet.reserved) { body(Int(bitPattern: $0)) }
        if r == failure(EINTR), state.pointee.pending != 0 { temporaryMask = mask }
        return r
    }

    func signalSuspend(_ a: CallArguments) -> Int {
        withMask(a.a0, a.a1) { self.safe(.rt_sigsuspend, $0, 8) }
    }

    func signalTimedWait(_ a: CallArguments) -> Int {
        guard a.a3 == 8 else { return failure(EINVAL) }
        guard let set = Guest.load(a.a0, as: UInt64.self) else { return failure(EFAULT) }
        let ready = state.pointee.held & set
        if ready != 0 {
            let signal = ready.trailingZeroBitCount + 1
            _ = guise_take_bit(&state.pointee.held, Int32(signal))
            let info = UnsafeRawBufferPointer(start: state.pointee.info + 128 * signal, count: 128)
            if a.a1 != 0, !Guest.write(info, at: a.a1) { return failure(EFAULT) }
            return signal
        }
        return withUnsafePointer(to: set & ~SignalSet.reserved) {
            safe(.rt_sigtimedwait, Int(bitPattern: $0), Int(bitPattern: a.a1), Int(bitPattern: a.a2), 8)
        }
    }

    /// pause(2) is sigsuspend with the mask in force: a sent SIGSEGV or SIGBUS that waits would end it too.
    func signalPause() -> Int {
        state.pointee.held & ~state.pointee.blocked != 0 ? failure(EINTR) : safe(.pause)
    }

    func signalStack(_ a: CallArguments) -> Int {
        let pointer = abi.stackPointer(registers)
        let onStack = isOnAlternateStack(pointer)
        var old = alternateStack
        if old.size == 0 { old = AlternateStack() }
        if onStack { old.flags |= AlternateStack.onStack }
        if a.a0 != 0 {
            guard let new = Guest.load(a.a0, as: AlternateStack.self) else { return failure(EFAULT) }
            if onStack { return failure(EPERM) }
            let mode = new.flags & ~AlternateStack.autoDisarm
            guard mode == 0 || mode == AlternateStack.disabled || mode == AlternateStack.onStack else { return failure(EINVAL) }
            if mode == AlternateStack.disabled {
                alternateStack = AlternateStack()
                alternateStack.flags = new.flags
            } else {
                guard new.size >= abi.minimumSignalStack else { return failure(ENOMEM) }
                alternateStack = new
                alternateStack.flags = new.flags & AlternateStack.autoDisarm
            }
        }
        old.padding = 0
        if a.a1 != 0, !Guest.store(old, at: a.a1) { return failure(EFAULT) }
        return 0
    }

    /// Restores what a handler's frame saved.
    func signalReturn() -> CallResult {
        guard let frame = abi.leaveHandler(registers) else {
            forceFatal(SIGSEGV)
            return .registersReplaced
        }
        // The frame's stack description is restored as sigaltstack would, errors ignored.
        var stack = frame.stack
        if stack.flags & AlternateStack.disabled != 0 || stack.size >= abi.minimumSignalStack,
            !isOnAlternateStack(abi.stackPointer(registers)) {
            stack.flags &= ~AlternateStack.onStack
            alternateStack = stack.flags & AlternateStack.disabled != 0 ? AlternateStack() : stack
        }
        restoreMask(frame.mask)
        return .registersReplaced
    }

    /// Puts the mask of a frame in force.
    func restoreMask(_ wanted: UInt64) {
        let mask = wanted & ~SignalSet.unblockable
        state.pointee.blocked = mask
        // With a caught signal waiting everything stays blocked until it has its frame.
        let r = withUnsafePointer(to: mask & ~SignalSet.reserved) {
            safe(.rt_sigprocmask, Int(SIG_SETMASK), Int(bitPattern: $0), 0, 8)
        }
        if r == 0, state.pointee.held & ~mask != 0 { releaseHeld() }
    }
}
