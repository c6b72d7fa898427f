// Linux on i386 as a 64-bit kernel runs it: addresses below 4 GiB, 32-bit structures. Calls are converted (Compat/) to
// what the shared implementation and the host take, whose "inner" layouts are x86-64's.
// Sources: the kernel's arch/x86/entry/syscalls/syscall_32.tbl, arch/x86/ia32, arch/x86/kernel/{signal_32,tls}.c.
// There is no vDSO: AT_SYSINFO is absent, and C libraries then use INT 80.

import Glibc
import GuestX86
import TranslatedCPU
import Translator

struct LinuxI386: LinuxABI {
    func makeArchitecture() -> ProgramArchitecture { .x86(is64: false, model: X86Processor.model) }
    let machine = "i686"
    let platform: String? = "i686"
    let elfMachine: UInt16 = 3
    let pointerSize = 4
    /// IA32_PAGE_OFFSET of a 64-bit kernel.
    let addressLimit: UInt64 = 0xffff_e000
    let pieBase: UInt64 = 0x5655_5000
    let heapWindow: UInt64 = 1 << 30
    let minimumSignalStack: UInt64 = 2048
    let calls = i386SystemCalls
    let crossRoot = "/usr/i686-linux-gnu"
    let epollEventLayout = (size: 12, dataOffset: 4)
    let semaphoreTimesArePadded = true

    var hardwareCapabilities: (UInt64, UInt64) { (UInt64(X86Processor.leaf1EDX), X86Processor.hasFSGSBase ? 2 : 0) }

    /// Offset of the code in the trampoline page that returns from handlers with siginfo.
    private static let rtTrampoline: UInt64 = 16

    /// pop %eax; mov $119, %eax; int $0x80, and at 16: mov $173, %eax; int $0x80: what unwinders recognise.
    var trampolineCode: [UInt8] {
        [0x58, 0xb8, 0x77, 0, 0, 0, 0xcd, 0x80, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90]
            + [0xb8, 0xad, 0, 0, 0, 0xcd, 0x80]
    }

    func processorDescription(count: Int) -> String { X86Processor.description(count: count) }

    private func word(_ r: UnsafeMutableRawPointer, _ n: Int) -> UInt64 { X86State(r).register(n) & 0xffff_ffff }

    func callNumber(_ r: UnsafeMutableRawPointer) -> UInt64 { word(r, X86Register.ax) }
    func callArguments(_ r: UnsafeMutableRawPointer) -> CallArguments {
        CallArguments(
            a0: word(r, X86Register.bx), a1: word(r, X86Register.cx), a2: word(r, X86Register.dx),
            a3: word(r, X86Register.si), a4: word(r, X86Register.di), a5: word(r, X86Register.bp))
    }
    func finishCall(_ r: UnsafeMutableRawPointer, result: Int) {
        let state = X86State(r)
        state.setRegister(X86Register.ax, UInt64(UInt32(truncatingIfNeeded: result)))
        state.pc = (state.pc &+ X86Program.callLength(state.pc)) & 0xffff_ffff
    }
    func programCounter(_ r: UnsafeMutableRawPointer) -> UInt64 { X86State(r).pc }
    func stackPointer(_ r: UnsafeMutableRawPointer) -> UInt64 { word(r, X86Register.sp) }
    func setStackPointer(_ r: UnsafeMutableRawPointer, _ value: UInt64) {
        X86State(r).setRegister(X86Register.sp, value & 0xffff_ffff)
    }
    func saveRegisters(_ r: UnsafeMutableRawPointer) -> [UInt64] { X86Program.save(r) }
    func restoreRegisters(_ r: UnsafeMutableRawPointer, _ image: [UInt64]) { X86Program.restore(r, image) }
    func start(_ r: UnsafeMutableRawPointer, entry: UInt64, stack: UInt64) {
        X86Program.start(r, is64: false, entry: entry, stack: stack)
    }

    /// clone's TLS argument is the address of a struct user_desc, whose entry must be named.
    func setThreadPointer(_ r: UnsafeMutableRawPointer, _ value: UInt64) {
        guard let wanted = UserDescriptor(at: value) else { return }
        _ = setThreadArea(r, wanted)
    }

    func adopt(_ r: UnsafeMutableRawPointer, _ process: GuestProcess) { X86Program.useLDT(r, process.localDescriptors) }

    func cloneArguments(_ a: CallArguments) -> (flags: UInt64, stack: UInt64, parent: UInt64, tls: UInt64, child: UInt64) {
        (a.a0, a.a1, a.a2, a.a3, a.a4)
    }

    func encode(_ status: FileStatus) -> [UInt8] { withUnsafeBytes(of: status) { Array($0) } }

    // struct sigaction of the rt calls: handler, flags, restorer, mask of 8 bytes.
    func decodeAction(_ address: UInt64) -> GuestSignalAction? {
        guard let w = Guest.load(address, as: (UInt32, UInt32, UInt32).self),
            let mask = Guest.load(address &+ 12, as: UInt64.self)
        else { return nil }
        return GuestSignalAction(handler: UInt64(w.0), flags: UInt64(w.1), mask: mask, restorer: UInt64(w.2))
    }
    func encodeAction(_ action: GuestSignalAction, at address: UInt64) -> Bool {
        let words = [action.handler, action.flags, action.restorer].map { UInt32(truncatingIfNeeded: $0) }
        return Guest.store((words[0], words[1], words[2]), at: address) && Guest.store(action.mask, at: address &+ 12)
    }

    func fault(_ exit: UserExit, _ thread: GuestThread) -> ProgramFault? {
        X86Program.fault(exit, previous: thread.trap, thread.registers)
    }
    func trap(access: MemoryAccess, address: UInt64, isMapped: Bool) -> TrapRecord? {
        X86Program.trap(access: access, address: address, isMapped: isMapped)
    }

    func perform(_ call: SystemCall, _ a: CallArguments, _ thread: GuestThread) -> CallResult {
        thread.performCompat(call, a)
    }

    func architectureCall(_ call: SystemCall, _ a: CallArguments, _ thread: GuestThread) -> Int? {
        switch call {
        case .modify_ldt: thread.modifyLDT(a)
        case .set_thread_area: setThreadArea(a, thread.registers)
        case .get_thread_area: getThreadArea(a, thread.registers)
        case .arch_prctl: a.a0 == 0x1011 ? 1 : a.a0 == 0x1012 ? failure(ENODEV) : failure(EINVAL)
        default: nil
        }
    }

    // MARK: thread-local storage

    func setThreadArea(_ a: CallArguments, _ r: UnsafeMutableRawPointer) -> Int {
        guard var wanted = UserDescriptor(at: a.a0) else { return failure(EFAULT) }
        if wanted.entry == .max {
            let entries = X86Selector.tlsFirst...X86Selector.tlsLast
            guard let free = entries.first(where: { X86Program.descriptor(r, $0) == 0 }) else { return failure(ESRCH) }
            guard wanted.isUsableForTLS else { return failure(EINVAL) }
            wanted.entry = UInt32(free)
            guard Guest.store(wanted.entry, at: a.a0) else { return failure(EFAULT) }
        }
        return setThreadArea(r, wanted)
    }

    private func setThreadArea(_ r: UnsafeMutableRawPointer, _ wanted: UserDescriptor) -> Int {
        let entry = Int(wanted.entry)
        guard wanted.isUsableForTLS, entry >= X86Selector.tlsFirst, entry <= X86Selector.tlsLast else { return failure(EINVAL) }
        X86Program.setDescriptor(r, entry, wanted.isEmpty || wanted.isZero ? 0 : wanted.descriptor)
        // The hidden parts of registers that hold its selector are renewed, as a switch of tasks would.
        let state = X86State(r)
        let selector = UInt16(entry << 3 | 3)
        for segment in [Segment.ds, .es, .fs, .gs] where state.segment(segment).selector | 3 == selector {
            if !X86Program.loadSegment(r, segment, selector) { _ = X86Program.loadSegment(r, segment, 0) }
        }
        state.updateMode()
        return 0
    }

    private func getThreadArea(_ a: CallArguments, _ r: UnsafeMutableRawPointer) -> Int {
        guard let entry = Guest.load(a.a0, as: UInt32.self) else { return failure(EFAULT) }
        guard entry >= UInt32(X86Selector.tlsFirst), entry <= UInt32(X86Selector.tlsLast) else { return failure(EINVAL) }
        let d = UserDescriptor(entry: entry, descriptor: X86Program.descriptor(r, Int(entry)))
        return d.store(at: a.a0) ? 0 : failure(EFAULT)
    }

    /// Where a handler returns to: the program's own code, or ours for its kind of frame.
    static func returnAddress(_ frame: SignalFrame) -> UInt64 {
        if frame.action.flags & SignalActionFlag.restorer != 0 { return frame.action.restorer }
        return frame.trampoline &+ (frame.action.flags & SignalActionFlag.siginfo != 0 ? rtTrampoline : 0)
    }
}

extension UserDescriptor {
    /// Reads one; nil on a fault.
    init?(at address: UInt64) {
        guard let w = Guest.load(address, as: (UInt32, UInt32, UInt32, UInt32).self) else { return nil }
        (entry, base, limit, flags) = w
    }

    /// Writes one; false on a fault.
    func store(at address: UInt64) -> Bool { Guest.store((entry, base, limit, flags), at: address) }
}

extension GuestThread {
    /// modify_ldt(function, pointer, size). Spec: modify_ldt(2), arch/x86/kernel/ldt.c.
    func modifyLDT(_ a: CallArguments) -> Int {
        let read: UInt64 = 0, writeOld: UInt64 = 1, readDefault: UInt64 = 2, write: UInt64 = 0x11
        let size = min(a.a2, UInt64(LocalDescriptors.countMax * 8))
        switch a.a0 & 0xffff_ffff {
        case read:
            let ldt = process.localDescriptors
            let bytes = Int(min(size, UInt64(ldt.used * 8)))
            let table = UnsafeRawBufferPointer(start: ldt.table, count: bytes)
            return Guest.write(table, at: a.a1) ? bytes : failure(EFAULT)
        case readDefault:
            let bytes = Int(min(size, 128))
            return Guest.write([UInt8](repeating: 0, count: bytes), at: a.a1) ? bytes : failure(EFAULT)
        case writeOld, write:
            let old = a.a0 & 0xffff_ffff == writeOld
            guard a.a2 == UInt64(UserDescriptor.size) else { return failure(EINVAL) }
            guard let wanted = UserDescriptor(at: a.a1) else { return failure(EFAULT) }
            guard wanted.entry < UInt32(LocalDescriptors.countMax), wanted.isUsableForLDT(old: old) else {
                return failure(EINVAL)
            }
            let clears = wanted.isEmpty || old && wanted.base == 0 && wanted.limit == 0
            var descriptor = clears ? 0 : wanted.descriptor
            if old { descriptor &= ~(1 << 52) }
            process.lock.withLock { process.localDescriptors.set(Int(wanted.entry), descriptor) }
            return 0
        default: return failure(ENOSYS)
        }
    }
}
