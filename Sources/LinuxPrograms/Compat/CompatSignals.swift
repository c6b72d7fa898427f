// Signals in 32 bits: siginfo, the alternate stack, the calls with masks of one word. Source: the kernel's
// kernel/signal.c (copy_siginfo_to_external32), include/linux/compat.h, kernel/compat.c.

import CHost
import Glibc

/// siginfo of 32-bit programs. Its union starts at 12, the host's at 16.
enum CompatSignalInfo {
    static let size = 128

    /// What a siginfo's union holds, by signal and code.
    private enum Layout { case kill, child, fault, poll, timer, queue, call }

    private static func layout(_ signal: Int32, _ code: Int32) -> Layout {
        let user: Int32 = 0, kernel: Int32 = 0x80, timer: Int32 = -2, queue: Int32 = -1, message: Int32 = -3
        let asynchronous: Int32 = -4, input: Int32 = -5, thread: Int32 = -6
        switch code {
        case user, thread, kernel: return .kill
        case timer: return .timer
        case queue, message, asynchronous: return .queue
        case input: return .poll
        case _ where code < 0: return .queue
        default: break
        }
        switch signal {
        case SIGCHLD: return .child
        case SIGILL, SIGFPE, SIGSEGV, SIGBUS, SIGTRAP: return .fault
        case SIGPOLL: return .poll
        case SIGSYS: return .call
        default: return .kill
        }
    }

    /// From the host's 128 bytes.
    static func encode(_ p: UnsafeRawPointer) -> [UInt8] {
        func int(_ offset: Int) -> UInt32 { p.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
        func long(_ offset: Int) -> UInt32 { UInt32(truncatingIfNeeded: p.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
        var b = ByteBuilder(capacity: size)
        for offset in [0, 4, 8] { b.add(int(offset)) }
        switch layout(Int32(bitPattern: int(0)), Int32(bitPattern: int(8))) {
        case .kill: for value in [int(16), int(20)] { b.add(value) }
        case .child: for value in [int(16), int(20), int(24), long(32), long(40)] { b.add(value) }
        case .fault: for value in [long(16), int(24), long(32), long(40)] { b.add(value) }
        case .poll: for value in [long(16), int(24)] { b.add(value) }
        case .timer, .queue: for value in [int(16), int(20), long(24)] { b.add(value) }
        case .call: for value in [long(16), int(24), int(28)] { b.add(value) }
        }
        b.align(size)
        return b.bytes
    }

    /// To the host's 128 bytes.
    static func decode(_ bytes: [UInt8]) -> [UInt8] {
        bytes.withUnsafeBytes { p in
            func int(_ offset: Int) -> UInt32 { p.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
            var b = ByteBuilder(capacity: size)
            for offset in [0, 4, 8] { b.add(int(offset)) }
            b.add(UInt32(0))
            switch layout(Int32(bitPattern: int(0)), Int32(bitPattern: int(8))) {
            case .kill: for offset in [12, 16] { b.add(int(offset)) }
            case .child:
                for offset in [12, 16, 20] { b.add(int(offset)) }
                b.add(UInt32(0))
                for offset in [24, 28] { b.add(UInt64(int(offset))) }
            case .fault: b.add(UInt64(int(12)))
            case .poll:
                b.add(UInt64(int(12)))
                b.add(int(16))
            case .timer, .queue:
                for offset in [12, 16] { b.add(int(offset)) }
                b.add(UInt64(int(20)))
            case .call:
                b.add(UInt64(int(12)))
                for offset in [16, 20] { b.add(int(offset)) }
            }
            b.align(size)
            return b.bytes
        }
    }
}

/// The alternate stack as 32-bit programs describe it: base, flags, size.
enum CompatStack {
    static func encode(_ s: AlternateStack) -> [UInt8] {
        var b = ByteBuilder(capacity: 12)
        b.add(UInt32(truncatingIfNeeded: s.base))
        b.add(s.flags)
        b.add(UInt32(truncatingIfNeeded: s.size))
        return b.bytes
    }

    static func decode(_ words: (UInt32, UInt32, UInt32)) -> AlternateStack {
        AlternateStack(base: UInt64(words.0), flags: Int32(bitPattern: words.1), size: UInt64(words.2))
    }
}

extension GuestThread {
    /// Calls on signals; nil: not one of them, or one that needs nothing.
    func compatSignal(_ call: SystemCall, _ a: CallArguments) -> Int? {
        switch call {
        case .sigaltstack: return signalStack32(a)
        case .sigaction: return oldSignalAction(a)
        case .signal:
            let resetting = SignalActionFlag.resetHand | SignalActionFlag.noDefer
            return exchangeAction(Int(truncatingIfNeeded: a.a0), GuestSignalAction(handler: a.a1, flags: resetting)) { Int($0.handler) }
        case .sigprocmask: return oldSignalMask(a)
        case .sgetmask: return Int(state.pointee.blocked & 0xffff_ffff)
        case .ssetmask:
            let old = Int(state.pointee.blocked & 0xffff_ffff)
            var set = a.a0 & 0xffff_ffff
            let r = withUnsafeMutablePointer(to: &set) {
                inner(.rt_sigprocmask, CallArguments(a0: UInt64(SIG_SETMASK), a1: argument($0), a2: 0, a3: 8))
            }
            return r == 0 ? old : r
        case .sigpending:
            var set: UInt64 = 0
            let r = withUnsafeMutablePointer(to: &set) { inner(.rt_sigpending, CallArguments(a0: argument($0), a1: 8)) }
            guard r == 0 else { return r }
            return Guest.store(UInt32(truncatingIfNeeded: set), at: a.a0) ? 0 : failure(EFAULT)
        case .sigsuspend:
            // Two arguments of old come before the mask itself.
            var set = a.a2 & 0xffff_ffff
            return withUnsafeMutablePointer(to: &set) { inner(.rt_sigsuspend, CallArguments(a0: argument($0), a1: 8)) }
        case .rt_sigtimedwait, .rt_sigtimedwait_time64: return signalTimedWait32(a, wide: call == .rt_sigtimedwait_time64)
        case .rt_sigqueueinfo: return withInfo(a.a2) { self.inner(call, CallArguments(a0: a.a0, a1: a.a1, a2: $0)) }
        case .rt_tgsigqueueinfo:
            return withInfo(a.a3) { self.inner(call, CallArguments(a0: a.a0, a1: a.a1, a2: a.a2, a3: $0)) }
        case .pidfd_send_signal:
            guard a.a2 != 0 else { return nil }
            return withInfo(a.a2) { self.inner(call, CallArguments(a0: a.a0, a1: a.a1, a2: $0, a3: a.a3)) }
        case .timer_create: return createTimer(a)
        case .mq_notify:
            guard a.a1 != 0 else { return nil }
            return withEvent(a.a1) { self.inner(call, CallArguments(a0: a.a0, a1: $0)) }
        default: return nil
        }
    }

    private func withInfo(_ address: UInt64, _ body: (UInt64) -> Int) -> Int {
        guard let bytes = Guest.bytes(address, CompatSignalInfo.size) else { return failure(EFAULT) }
        var host = CompatSignalInfo.decode(bytes)
        return host.withUnsafeMutableBytes { body(argument($0.baseAddress)) }
    }

    /// struct sigevent: a value of 4 bytes, signal, kind, thread.
    private func withEvent(_ address: UInt64, _ body: (UInt64) -> Int) -> Int {
        guard let w = Guest.load(address, as: (UInt32, UInt32, UInt32, UInt32).self) else { return failure(EFAULT) }
        var b = ByteBuilder(capacity: 64)
        b.add(UInt64(w.0))
        for value in [w.1, w.2, w.3] { b.add(value) }
        b.align(64)
        var host = b.bytes
        return host.withUnsafeMutableBytes { body(argument($0.baseAddress)) }
    }

    private func createTimer(_ a: CallArguments) -> Int {
        if a.a1 == 0 { return inner(.timer_create, a) }
        return withEvent(a.a1) { self.inner(.timer_create, CallArguments(a0: a.a0, a1: $0, a2: a.a2)) }
    }

    // MARK: stacks and masks

    private func signalStack32(_ a: CallArguments) -> Int {
        var new = AlternateStack(), old = AlternateStack()
        if a.a0 != 0 {
            guard let w = Guest.load(a.a0, as: (UInt32, UInt32, UInt32).self) else { return failure(EFAULT) }
            new = CompatStack.decode(w)
        }
        let r = withUnsafeMutablePointer(to: &new) { new in
            withUnsafeMutablePointer(to: &old) { old in
                inner(.sigaltstack, CallArguments(a0: a.a0 == 0 ? 0 : argument(new), a1: a.a1 == 0 ? 0 : argument(old)))
            }
        }
        guard r == 0, a.a1 != 0 else { return r }
        return Guest.write(CompatStack.encode(old), at: a.a1) ? 0 : failure(EFAULT)
    }

    private func oldSignalMask(_ a: CallArguments) -> Int {
        let old = UInt32(truncatingIfNeeded: state.pointee.blocked)
        if a.a1 != 0 {
            guard let low = Guest.load(a.a1, as: UInt32.self) else { return failure(EFAULT) }
            // SIG_SETMASK replaces the low word only.
            var set = UInt64(low)
            if Int32(truncatingIfNeeded: a.a0) == SIG_SETMASK { set |= state.pointee.blocked & ~0xffff_ffff }
            let r = withUnsafeMutablePointer(to: &set) {
                inner(.rt_sigprocmask, CallArguments(a0: a.a0, a1: argument($0), a2: 0, a3: 8))
            }
            guard r == 0 else { return r }
        }
        if a.a2 != 0, !Guest.store(old, at: a.a2) { return failure(EFAULT) }
        return 0
    }

    /// Replaces a disposition; `result` makes the call's value from the one before.
    private func exchangeAction(_ signal: Int, _ new: GuestSignalAction, _ result: (GuestSignalAction) -> Int) -> Int {
        guard signal >= 1, signal <= GuestThread.signalCount else { return failure(EINVAL) }
        let old = actions[signal]
        let r = setAction(signal, new)
        return r == 0 ? result(old) : r
    }

    /// sigaction with struct old_sigaction: handler, mask of one word, flags, restorer.
    private func oldSignalAction(_ a: CallArguments) -> Int {
        let signal = Int(Int32(truncatingIfNeeded: a.a0))
        guard signal >= 1, signal <= GuestThread.signalCount else { return failure(EINVAL) }
        let old = actions[signal]
        if a.a1 != 0 {
            guard let w = Guest.load(a.a1, as: (UInt32, UInt32, UInt32, UInt32).self) else { return failure(EFAULT) }
            let new = GuestSignalAction(handler: UInt64(w.0), flags: UInt64(w.2), mask: UInt64(w.1), restorer: UInt64(w.3))
            let r = setAction(signal, new)
            guard r == 0 else { return r }
        }
        guard a.a2 != 0 else { return 0 }
        let words = [old.handler, old.mask, old.flags, old.restorer].map { UInt32(truncatingIfNeeded: $0) }
        return words.withUnsafeBytes { Guest.write($0, at: a.a2) } ? 0 : failure(EFAULT)
    }

    private func signalTimedWait32(_ a: CallArguments, wide: Bool) -> Int {
        guard a.a3 == 8 else { return failure(EINVAL) }
        var info = [UInt8](repeating: 0, count: CompatSignalInfo.size)
        var time: (Int64, Int64) = (0, 0)
        if a.a2 != 0 {
            if wide {
                guard let t = Guest.load(a.a2, as: (Int64, UInt64).self) else { return failure(EFAULT) }
                time = (t.0, Int64(t.1 & 0xffff_ffff))
            } else {
                guard let t = Guest.load(a.a2, as: (Int32, Int32).self) else { return failure(EFAULT) }
                time = (Int64(t.0), Int64(t.1))
            }
        }
        let r = info.withUnsafeMutableBytes { info in
            withUnsafeMutablePointer(to: &time) { time in
                inner(.rt_sigtimedwait, CallArguments(
                    a0: a.a0, a1: argument(info.baseAddress), a2: a.a2 == 0 ? 0 : argument(time), a3: 8))
            }
        }
        guard r > 0, a.a1 != 0 else { return r }
        let bytes = info.withUnsafeBytes { CompatSignalInfo.encode($0.baseAddress!) }
        return Guest.write(bytes, at: a.a1) ? r : failure(EFAULT)
    }

    /// sigreturn: the frame of a handler without siginfo holds no description of the alternate stack.
    func oldSignalReturn() -> CallResult {
        guard let abi = abi as? LinuxI386, let mask = abi.leaveOldHandler(registers) else {
            forceFatal(SIGSEGV)
            return .registersReplaced
        }
        restoreMask(mask)
        return .registersReplaced
    }
}
