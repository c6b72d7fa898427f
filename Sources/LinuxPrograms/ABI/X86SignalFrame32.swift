// The signal frames of 32-bit programs: struct sigframe_ia32 for handlers without siginfo, rt_sigframe_ia32 for those
// with it; the FSAVE and XSAVE images above. Source: the kernel's arch/x86/kernel/signal_32.c,
// include/asm/sigframe.h, include/uapi/asm/sigcontext.h.

import Glibc
import GuestX86
import Translator

/// Offsets in struct sigcontext_32.
private enum Context {
    /// gs fs es ds, each in 4 bytes.
    static let segments = 0
    /// edi esi ebp esp ebx edx ecx eax.
    static let registers = 16
    static let trap = 48, error = 52, eip = 56, cs = 60, eflags = 64, esp = 68, ss = 72, float = 76, oldMask = 80
    static let address = 84, size = 88
}

/// struct sigframe_ia32.
private enum OldFrame {
    static let signal = 4, context = 8
    /// Behind the context lie 624 bytes for the floating point state that are not used any more.
    static let extraMask = context + Context.size + 624
    static let code = extraMask + 4
    static let size = code + 8
}

/// struct rt_sigframe_ia32.
private enum Frame {
    static let signal = 4, infoPointer = 8, contextPointer = 12, info = 16
    /// struct ucontext_ia32: flags, link, stack (12), sigcontext, mask (8).
    static let user = info + 128
    static let flags = user, stack = user + 8, context = user + 20, mask = context + Context.size
    static let code = mask + 8
    static let size = code + 8
}

extension LinuxI386 {
    private static let order = [7, 6, 5, 4, 3, 2, 1, 0]
    private static let segments = [Segment.gs, .fs, .es, .ds]
    private static let contextFlags: UInt32 = 1 // UC_FP_XSTATE
    /// Code of the frames themselves, which debuggers look for and nobody executes.
    private static let oldCode: [UInt8] = [0x58, 0xb8, 0x77, 0, 0, 0, 0xcd, 0x80]
    private static let code: [UInt8] = [0xb8, 0xad, 0, 0, 0, 0xcd, 0x80, 0]

    func enterHandler(_ r: UnsafeMutableRawPointer, _ frame: SignalFrame) -> Bool {
        let state = X86State(r)
        let hasInfo = frame.action.flags & SignalActionFlag.siginfo != 0
        let low: UInt64 = 0xffff_ffff
        let extended = (frame.top &- UInt64(X86FloatFrame.size)) & low & ~63
        let float = extended &- UInt64(X86FloatFrame.environmentSize)
        let size = hasInfo ? Frame.size : OldFrame.size
        // On entry, as after a call, ESP + 4 is a multiple of 16.
        let at = ((float &- UInt64(size) &+ 4) & low & ~15) &- 4
        let floatSize = X86FloatFrame.environmentSize + X86FloatFrame.size
        let ok = withUnsafeTemporaryAllocation(byteCount: floatSize, alignment: 64) { image in
            X86FloatFrame.writeEnvironment(r, to: image.baseAddress!)
            X86FloatFrame.write(
                r, to: image.baseAddress! + X86FloatFrame.environmentSize, prefix: X86FloatFrame.environmentSize)
            return Guest.write(UnsafeRawBufferPointer(image), at: float)
        } && withUnsafeTemporaryAllocation(byteCount: Frame.size + OldFrame.size, alignment: 16) { image in
            let p = image.baseAddress!
            memset(p, 0, size)
            func put(_ value: UInt64, _ offset: Int) {
                p.storeBytes(of: UInt32(truncatingIfNeeded: value), toByteOffset: offset, as: UInt32.self)
            }
            put(LinuxI386.returnAddress(frame), 0)
            put(UInt64(frame.signal), Frame.signal)
            if hasInfo {
                put(at + UInt64(Frame.info), Frame.infoPointer)
                put(at + UInt64(Frame.user), Frame.contextPointer)
                CompatSignalInfo.encode(frame.info).withUnsafeBytes { _ = memcpy(p + Frame.info, $0.baseAddress!, 128) }
                put(UInt64(LinuxI386.contextFlags), Frame.flags)
                CompatStack.encode(frame.stack).withUnsafeBytes { _ = memcpy(p + Frame.stack, $0.baseAddress!, 12) }
                write(state, frame, float: float, to: p + Frame.context)
                p.storeBytes(of: frame.mask, toByteOffset: Frame.mask, as: UInt64.self)
                LinuxI386.code.withUnsafeBytes { _ = memcpy(p + Frame.code, $0.baseAddress!, 8) }
            } else {
                write(state, frame, float: float, to: p + OldFrame.context)
                put(frame.mask >> 32, OldFrame.extraMask)
                LinuxI386.oldCode.withUnsafeBytes { _ = memcpy(p + OldFrame.code, $0.baseAddress!, 8) }
            }
            return Guest.write(UnsafeRawBufferPointer(start: p, count: size), at: at)
        }
        guard ok else { return false }
        state.setRegister(X86Register.ax, UInt64(frame.signal))
        state.setRegister(X86Register.dx, hasInfo ? at + UInt64(Frame.info) : 0)
        state.setRegister(X86Register.cx, hasInfo ? at + UInt64(Frame.user) : 0)
        state.setRegister(X86Register.sp, at)
        state.eflags &= ~(EFlags.df | EFlags.rf | EFlags.tf)
        _ = X86Program.loadSegment(r, .cs, X86Selector.code32)
        for segment in [Segment.ss, .ds, .es] { _ = X86Program.loadSegment(r, segment, X86Selector.data) }
        X86Program.resetFloat(r)
        state.pc = frame.action.handler
        state.updateMode()
        return true
    }

    private func write(_ state: X86State, _ frame: SignalFrame, float: UInt64, to p: UnsafeMutableRawPointer) {
        func put(_ value: UInt64, _ offset: Int) {
            p.storeBytes(of: UInt32(truncatingIfNeeded: value), toByteOffset: offset, as: UInt32.self)
        }
        for (i, s) in LinuxI386.segments.enumerated() { put(UInt64(state.segment(s).selector), Context.segments + 4 * i) }
        for (i, n) in LinuxI386.order.enumerated() { put(state.register(n), Context.registers + 4 * i) }
        put(frame.trap.number, Context.trap)
        put(frame.trap.error, Context.error)
        put(state.rip, Context.eip)
        put(UInt64(state.segment(.cs).selector), Context.cs)
        put(UInt64(state.eflags), Context.eflags)
        put(state.register(X86Register.sp), Context.esp)
        put(UInt64(state.segment(.ss).selector), Context.ss)
        put(float, Context.float)
        put(frame.mask, Context.oldMask)
        put(frame.trap.address, Context.address)
    }

    func leaveHandler(_ r: UnsafeMutableRawPointer) -> (mask: UInt64, stack: AlternateStack)? {
        // rt_sigreturn finds its frame 4 bytes below the stack pointer.
        let at = stackPointer(r) &- 4
        guard let context = Guest.bytes(at &+ UInt64(Frame.context), Context.size),
            let mask = Guest.load(at &+ UInt64(Frame.mask), as: UInt64.self),
            let stack = Guest.load(at &+ UInt64(Frame.stack), as: (UInt32, UInt32, UInt32).self),
            read(r, context)
        else { return nil }
        return (mask, CompatStack.decode(stack))
    }

    /// sigreturn of frames without siginfo: the mask, or nil when the frame is not valid. Its caller's `pop %eax` took the
    /// signal's number.
    func leaveOldHandler(_ r: UnsafeMutableRawPointer) -> UInt64? {
        let at = stackPointer(r) &- 8
        guard let context = Guest.bytes(at &+ UInt64(OldFrame.context), Context.size),
            let upper = Guest.load(at &+ UInt64(OldFrame.extraMask), as: UInt32.self),
            read(r, context)
        else { return nil }
        let lower = context.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: Context.oldMask, as: UInt32.self) }
        return UInt64(upper) << 32 | UInt64(lower)
    }

    private func read(_ r: UnsafeMutableRawPointer, _ context: [UInt8]) -> Bool {
        let state = X86State(r)
        return context.withUnsafeBytes { p in
            func get(_ offset: Int) -> UInt32 { p.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
            func selector(_ offset: Int) -> UInt16 { UInt16(truncatingIfNeeded: get(offset)) }
            for (i, n) in LinuxI386.order.enumerated() { state.setRegister(n, UInt64(get(Context.registers + 4 * i))) }
            state.eflags = state.eflags & ~x86RestoredFlags | get(Context.eflags) & x86RestoredFlags
            guard X86Program.loadSegment(r, .cs, selector(Context.cs) | 3),
                X86Program.loadSegment(r, .ss, selector(Context.ss) | 3)
            else { return false }
            for (i, s) in LinuxI386.segments.enumerated() {
                let wanted = selector(Context.segments + 4 * i)
                // The kernel loads the null selector where another faults.
                if !X86Program.loadSegment(r, s, wanted & ~3 == 0 ? wanted : wanted | 3) {
                    _ = X86Program.loadSegment(r, s, 0)
                }
            }
            state.rip = UInt64(get(Context.eip))
            state.updateMode()
            let float = UInt64(get(Context.float))
            if float == 0 {
                X86Program.resetFloat(r)
                return true
            }
            guard let environment = Guest.bytes(float, X86FloatFrame.environmentSize) else { return false }
            return X86FloatFrame.read(r, at: float &+ UInt64(X86FloatFrame.environmentSize), environment: environment)
        }
    }
}
