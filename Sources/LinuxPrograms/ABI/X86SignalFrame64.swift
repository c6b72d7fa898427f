// The signal frame of 64-bit programs: struct rt_sigframe {return address, ucontext, siginfo}, the XSAVE image above it.
// Source: the kernel's arch/x86/kernel/signal_64.c, include/uapi/asm/{ucontext,sigcontext}.h.

import Glibc
import GuestX86
import Translator

/// Offsets in the frame.
private enum Frame {
    static let flags = 8, stack = 24
    /// r8…r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags.
    static let registers = 48
    static let rip = registers + 16 * 8, eflags = registers + 17 * 8
    /// cs, gs, fs, ss.
    static let selectors = registers + 18 * 8
    static let error = selectors + 8, trap = error + 8, oldMask = trap + 8, address = oldMask + 8, float = address + 8
    static let mask = float + 8 + 64
    static let info = mask + 8
    static let size = info + 128
}

/// Bits of uc_flags.
private enum ContextFlag {
    static let xstate: UInt64 = 1, stackSegment: UInt64 = 2, strictStackSegment: UInt64 = 4
}

/// EFLAGS that sigreturn restores (FIX_EFLAGS).
let x86RestoredFlags = EFlags.ac | EFlags.of | EFlags.df | EFlags.tf | EFlags.sf | EFlags.zf | EFlags.af | EFlags.pf
    | EFlags.cf | EFlags.rf

extension LinuxX86_64 {
    private static let order = [8, 9, 10, 11, 12, 13, 14, 15, 7, 6, 5, 3, 2, 0, 1, 4]

    func enterHandler(_ r: UnsafeMutableRawPointer, _ frame: SignalFrame) -> Bool {
        // Without a restorer the kernel has no address to return to.
        guard frame.action.flags & SignalActionFlag.restorer != 0 else { return false }
        let state = X86State(r)
        let float = (frame.top &- UInt64(X86FloatFrame.size)) & ~63
        let at = ((float &- UInt64(Frame.size)) & ~15) &- 8
        let ok = withUnsafeTemporaryAllocation(byteCount: X86FloatFrame.size, alignment: 64) { image in
            X86FloatFrame.write(r, to: image.baseAddress!)
            return Guest.write(UnsafeRawBufferPointer(image), at: float)
        } && withUnsafeTemporaryAllocation(byteCount: Frame.size, alignment: 16) { image in
            let p = image.baseAddress!
            memset(p, 0, Frame.size)
            func put(_ value: UInt64, _ offset: Int) { p.storeBytes(of: value, toByteOffset: offset, as: UInt64.self) }
            put(frame.action.restorer, 0)
            put(ContextFlag.xstate | ContextFlag.stackSegment | ContextFlag.strictStackSegment, Frame.flags)
            p.storeBytes(of: frame.stack, toByteOffset: Frame.stack, as: AlternateStack.self)
            for (i, n) in LinuxX86_64.order.enumerated() { put(state.register(n), Frame.registers + 8 * i) }
            put(state.rip, Frame.rip)
            put(UInt64(state.eflags), Frame.eflags)
            for (i, s) in [Segment.cs, .gs, .fs, .ss].enumerated() {
                p.storeBytes(of: state.segment(s).selector, toByteOffset: Frame.selectors + 2 * i, as: UInt16.self)
            }
            put(frame.trap.error, Frame.error)
            put(frame.trap.number, Frame.trap)
            put(frame.mask, Frame.oldMask)
            put(frame.trap.address, Frame.address)
            put(float, Frame.float)
            put(frame.mask, Frame.mask)
            memcpy(p + Frame.info, frame.info, 128)
            return Guest.write(UnsafeRawBufferPointer(image), at: at)
        }
        guard ok else { return false }
        state.setRegister(X86Register.di, UInt64(frame.signal))
        state.setRegister(X86Register.ax, 0)
        state.setRegister(X86Register.si, at &+ UInt64(Frame.info))
        state.setRegister(X86Register.dx, at &+ UInt64(Frame.flags))
        state.setRegister(X86Register.sp, at)
        state.eflags &= ~(EFlags.df | EFlags.rf | EFlags.tf)
        _ = X86Program.loadSegment(r, .cs, X86Selector.code64)
        _ = X86Program.loadSegment(r, .ss, X86Selector.data)
        X86Program.resetFloat(r)
        state.pc = frame.action.handler
        state.updateMode()
        return true
    }

    func leaveHandler(_ r: UnsafeMutableRawPointer) -> (mask: UInt64, stack: AlternateStack)? {
        let state = X86State(r)
        // The handler's return took the frame's first word.
        let at = state.register(X86Register.sp) &- 8
        guard let bytes = Guest.bytes(at, Frame.info) else { return nil }
        return bytes.withUnsafeBytes { p in
            func get(_ offset: Int) -> UInt64 { p.loadUnaligned(fromByteOffset: offset, as: UInt64.self) }
            func half(_ i: Int) -> UInt16 { p.loadUnaligned(fromByteOffset: Frame.selectors + 2 * i, as: UInt16.self) }
            for (i, n) in LinuxX86_64.order.enumerated() { state.setRegister(n, get(Frame.registers + 8 * i)) }
            state.eflags = state.eflags & ~x86RestoredFlags
                | UInt32(truncatingIfNeeded: get(Frame.eflags)) & x86RestoredFlags
            let strict = get(Frame.flags) & ContextFlag.strictStackSegment != 0
            guard X86Program.loadSegment(r, .cs, half(0) | 3) else { return nil }
            if !X86Program.loadSegment(r, .ss, half(3) | 3) {
                guard !strict, X86Program.loadSegment(r, .ss, X86Selector.data) else { return nil }
            }
            state.rip = get(Frame.rip)
            state.updateMode()
            let float = get(Frame.float)
            if float == 0 {
                X86Program.resetFloat(r)
            } else if !X86FloatFrame.read(r, at: float) {
                return nil
            }
            return (get(Frame.mask), p.loadUnaligned(fromByteOffset: Frame.stack, as: AlternateStack.self))
        }
    }
}
