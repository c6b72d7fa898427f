// Linux on x86_64: the system-call numbers are the names' raw values, structures are the host's.
// Sources: the kernel's arch/x86/entry/syscalls/syscall_64.tbl, arch/x86/include/uapi/asm/{sigcontext,ucontext,prctl}.h,
// kernel/signal_64.c, entry/vsyscall/vsyscall_64.c; System V ABI AMD64, 3.2.2 (red zone).
// There is no vDSO: AT_SYSINFO_EHDR is absent and clock_gettime is a system call.

import Glibc
import GuestX86
import TranslatedCPU
import Translator

struct LinuxX86_64: LinuxABI {
    let needsLongMode = true
    func makeArchitecture() -> ProgramArchitecture { .x86(is64: true, model: X86Processor.model) }
    let machine = "x86_64"
    let platform: String? = "x86_64"
    let elfMachine: UInt16 = 62
    /// More than a frame needs: MINSIGSTKSZ, which older programs were compiled with.
    let minimumSignalStack: UInt64 = 2048
    let calls = LinuxX86_64.table
    let crossRoot = "/usr/x86_64-linux-gnu"
    let epollEventLayout = (size: 12, dataOffset: 4)
    let semaphoreTimesArePadded = true
    let redZone: UInt64 = 128

    /// Below the usual 128 TiB: the emulator itself lives above, and so do no hints that programs give.
    let addressLimit = HostAddresses.limitForGuests

    /// The calls by SYSCALL, and from `i386Offset` on those by INT 80, which 64-bit programs can make too.
    private static let table: [SystemCall] = (0..<i386Offset).map { SystemCall(rawValue: UInt16($0)) ?? .unassigned }
        + i386SystemCalls
    private static let i386Offset: UInt64 = 512

    /// Whether the program left by INT 80.
    private func isI386(_ r: UnsafeMutableRawPointer) -> Bool {
        r.load(fromByteOffset: StateLayout.exitAddress, as: UInt64.self) == SystemCallGate.interrupt80.rawValue
    }

    /// CPUID leaf 1 EDX; HWCAP2: ring 3 MONITOR no, FSGSBASE yes.
    var hardwareCapabilities: (UInt64, UInt64) { (UInt64(X86Processor.leaf1EDX), X86Processor.hasFSGSBase ? 2 : 0) }

    /// mov $15, %eax; syscall: what restorers of programs hold, and unwinders recognise.
    var trampolineCode: [UInt8] { [0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05] }

    func processorDescription(count: Int) -> String { X86Processor.description(count: count) }

    func callNumber(_ r: UnsafeMutableRawPointer) -> UInt64 {
        let number = X86State(r).register(X86Register.ax) & 0xffff_ffff
        if isI386(r) { return number + LinuxX86_64.i386Offset }
        return number < LinuxX86_64.i386Offset ? number : .max
    }
    func callArguments(_ r: UnsafeMutableRawPointer) -> CallArguments {
        if isI386(r) { return LinuxI386().callArguments(r) }
        let state = X86State(r)
        return CallArguments(
            a0: state.register(X86Register.di), a1: state.register(X86Register.si), a2: state.register(X86Register.dx),
            a3: state.register(10), a4: state.register(8), a5: state.register(9))
    }
    func perform(_ call: SystemCall, _ a: CallArguments, _ thread: GuestThread) -> CallResult {
        isI386(thread.registers) ? thread.performCompat(call, a) : thread.perform(call, a)
    }
    func finishCall(_ r: UnsafeMutableRawPointer, result: Int) {
        let state = X86State(r)
        let next = state.pc &+ X86Program.callLength(state.pc)
        state.setRegister(X86Register.ax, UInt64(bitPattern: Int64(result)))
        if !isI386(r) {
            // SYSCALL leaves the return address and the flags in RCX and R11.
            state.setRegister(X86Register.cx, next)
            state.setRegister(11, UInt64(state.eflags))
        }
        state.pc = next
    }
    func programCounter(_ r: UnsafeMutableRawPointer) -> UInt64 { X86State(r).pc }
    func stackPointer(_ r: UnsafeMutableRawPointer) -> UInt64 { X86State(r).register(X86Register.sp) }
    func setStackPointer(_ r: UnsafeMutableRawPointer, _ value: UInt64) { X86State(r).setRegister(X86Register.sp, value) }
    func setThreadPointer(_ r: UnsafeMutableRawPointer, _ value: UInt64) { setBase(r, .fs, value) }
    func saveRegisters(_ r: UnsafeMutableRawPointer) -> [UInt64] { X86Program.save(r) }
    func restoreRegisters(_ r: UnsafeMutableRawPointer, _ image: [UInt64]) { X86Program.restore(r, image) }
    func start(_ r: UnsafeMutableRawPointer, entry: UInt64, stack: UInt64) {
        X86Program.start(r, is64: true, entry: entry, stack: stack)
    }

    func adopt(_ r: UnsafeMutableRawPointer, _ process: GuestProcess) { X86Program.useLDT(r, process.localDescriptors) }

    func cloneArguments(_ a: CallArguments) -> (flags: UInt64, stack: UInt64, parent: UInt64, tls: UInt64, child: UInt64) {
        (a.a0, a.a1, a.a2, a.a4, a.a3)
    }

    func encode(_ status: FileStatus) -> [UInt8] { withUnsafeBytes(of: status) { Array($0) } }

    // struct kernel_sigaction: handler, flags, restorer, mask.
    func decodeAction(_ address: UInt64) -> GuestSignalAction? {
        guard let w = Guest.load(address, as: (UInt64, UInt64, UInt64, UInt64).self) else { return nil }
        return GuestSignalAction(handler: w.0, flags: w.1, mask: w.3, restorer: w.2)
    }
    func encodeAction(_ action: GuestSignalAction, at address: UInt64) -> Bool {
        Guest.store((action.handler, action.flags, action.restorer, action.mask), at: address)
    }

    func fault(_ exit: UserExit, _ thread: GuestThread) -> ProgramFault? {
        X86Program.fault(exit, previous: thread.trap, thread.registers)
    }
    func trap(access: MemoryAccess, address: UInt64, isMapped: Bool) -> TrapRecord? {
        X86Program.trap(access: access, address: address, isMapped: isMapped)
    }

    // MARK: arch_prctl, modify_ldt

    private enum ArchPrctl {
        static let setGS: UInt64 = 0x1001, setFS: UInt64 = 0x1002, getFS: UInt64 = 0x1003, getGS: UInt64 = 0x1004
        static let getCPUID: UInt64 = 0x1011, setCPUID: UInt64 = 0x1012
    }

    private func setBase(_ r: UnsafeMutableRawPointer, _ segment: Segment, _ base: UInt64) {
        let state = X86State(r)
        var cache = state.segment(segment)
        cache.selector = 0
        cache.base = base
        state.setSegment(segment, cache)
    }

    private func base(_ r: UnsafeMutableRawPointer, _ segment: Segment) -> UInt64 { X86State(r).segment(segment).base }

    func architectureCall(_ call: SystemCall, _ a: CallArguments, _ thread: GuestThread) -> Int? {
        switch call {
        case .arch_prctl: archPrctl(a, thread.registers)
        // Its result is an int that the kernel does not extend.
        case .modify_ldt: Int(UInt32(truncatingIfNeeded: thread.modifyLDT(a)))
        default: nil
        }
    }

    private func archPrctl(_ a: CallArguments, _ r: UnsafeMutableRawPointer) -> Int {
        // The kernel's TASK_SIZE_MAX: bases are not confined to what can be mapped.
        let end: UInt64 = 0x7fff_ffff_f000
        switch a.a0 {
        case ArchPrctl.setFS, ArchPrctl.setGS:
            guard a.a1 < end else { return failure(EPERM) }
            setBase(r, a.a0 == ArchPrctl.setFS ? .fs : .gs, a.a1)
            return 0
        case ArchPrctl.getFS, ArchPrctl.getGS:
            return Guest.store(base(r, a.a0 == ArchPrctl.getFS ? .fs : .gs), at: a.a1) ? 0 : failure(EFAULT)
        case ArchPrctl.getCPUID: return 1
        case ArchPrctl.setCPUID: return failure(ENODEV)
        default: return failure(EINVAL)
        }
    }

    // MARK: vsyscall

    /// The page of three calls that old programs jump to; it can be executed, not read.
    private enum Vsyscall {
        static let base: UInt64 = 0xffff_ffff_ff60_0000
        static let entrySize: UInt64 = 1024
        static let calls: [SystemCall] = [.gettimeofday, .time, .getcpu]
    }

    func enterFixedCode(_ thread: GuestThread) -> Bool {
        let state = X86State(thread.registers)
        let offset = state.pc &- Vsyscall.base
        guard offset % Vsyscall.entrySize == 0, offset / Vsyscall.entrySize < UInt64(Vsyscall.calls.count) else { return false }
        let stack = state.register(X86Register.sp)
        guard let back = Guest.load(stack, as: UInt64.self) else { return false }
        let call = Vsyscall.calls[Int(offset / Vsyscall.entrySize)]
        var a = callArguments(thread.registers)
        if call == .getcpu { a.a2 = 0 }
        guard case .value(let result) = thread.perform(call, a), result != restartCall else { return true }
        // Where the page's code would write to a bad address it would fault.
        if result == failure(EFAULT) {
            thread.fault(ProgramFault(
                signal: SIGSEGV, code: 1, address: a.a0, trap: trap(access: .write, address: a.a0, isMapped: false)))
            return true
        }
        state.setRegister(X86Register.ax, UInt64(bitPattern: Int64(result)))
        state.setRegister(X86Register.sp, stack &+ 8)
        state.pc = back
        return true
    }
}

/// What the host leaves to guests of its own width.
enum HostAddresses {
    /// First address of the region in which the kernel puts position-independent programs, theirs and ours, rounded down.
    private static let usual: UInt64 = 0x5555_0000_0000
    private static let slack: UInt64 = 1 << 30

    /// First address that is not a 64-bit guest's: the host's own mappings lie above. Lower where the host maps from the
    /// bottom up (unlimited stack, legacy layout).
    static let limitForGuests: UInt64 = {
        let low32: UInt64 = 1 << 32
        var lowest = UInt64.max
        for line in String(decoding: readFile("/proc/self/maps") ?? [], as: UTF8.self).split(separator: "\n") {
            guard let start = UInt64(line.prefix { $0 != "-" }, radix: 16), start >= low32 else { continue }
            lowest = start
            break
        }
        return lowest > usual + slack ? usual : lowest > 2 * slack ? (lowest - slack) & ~(slack - 1) : usual
    }()
}
