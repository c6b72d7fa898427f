// Linux on riscv64 (LP64D): asm-generic numbers and layouts.
// Sources: the kernel's Documentation/arch/riscv/{hwprobe,uabi}.rst, arch/riscv/include/uapi/asm/{hwprobe,ucontext,
// sigcontext,ptrace}.h, asm-generic/{unistd,stat,signal}.h. The vector extension is absent, so frames carry no
// extension record but the end marker.

import Glibc
import GuestRISCV
import TranslatedCPU

/// Register file offsets of the riscv64 front: x[n] at 8n, f[n] at 256 + 8n, pc at 512; fcsr through RISCVState.
private enum Offset {
    static let floats = 256
    static let pc = 512
    static func x(_ n: Int) -> Int { 8 * n }
}

struct LinuxRISCV64: LinuxABI {
    func makeArchitecture() -> ProgramArchitecture { .riscv64() }
    let machine = "riscv64"
    let platform: String? = nil
    let elfMachine: UInt16 = 243
    let minimumSignalStack: UInt64 = 2048
    let addressLimit: UInt64 = 1 << 38
    let calls = genericSystemCalls
    let crossRoot = "/usr/riscv64-linux-gnu"
    let epollEventLayout = (size: 16, dataOffset: 8)

    /// One bit per single-letter extension, 'a' = bit 0.
    var hardwareCapabilities: (UInt64, UInt64) {
        ("imafdc".unicodeScalars.reduce(0) { $0 | 1 << UInt64($1.value - 97) }, 0)
    }

    /// li a7, __NR_rt_sigreturn; ecall: the pair unwinders recognise.
    var trampolineCode: [UInt8] { [0x93, 0x08, 0xb0, 0x08, 0x73, 0x00, 0x00, 0x00] }

    func processorDescription(count: Int) -> String {
        (0..<count).map {
            """
            processor\t: \($0)
            hart\t\t: \($0)
            isa\t\t: rv64imafdc_zicond_zicsr_zifencei_zba_zbb_zbs
            mmu\t\t: sv39
            mvendorid\t: 0x0
            marchid\t\t: 0x0
            mimpid\t\t: 0x0


            """
        }.joined()
    }

    @inline(__always)
    private func x(_ r: UnsafeMutableRawPointer, _ n: Int) -> UInt64 { r.load(fromByteOffset: Offset.x(n), as: UInt64.self) }
    @inline(__always)
    private func setX(_ r: UnsafeMutableRawPointer, _ n: Int, _ value: UInt64) {
        r.storeBytes(of: value, toByteOffset: Offset.x(n), as: UInt64.self)
    }

    func callNumber(_ r: UnsafeMutableRawPointer) -> UInt64 { x(r, 17) }
    func callArguments(_ r: UnsafeMutableRawPointer) -> CallArguments {
        CallArguments(a0: x(r, 10), a1: x(r, 11), a2: x(r, 12), a3: x(r, 13), a4: x(r, 14), a5: x(r, 15))
    }
    func finishCall(_ r: UnsafeMutableRawPointer, result: Int) {
        setX(r, 10, UInt64(bitPattern: Int64(result)))
        let pc = r.load(fromByteOffset: Offset.pc, as: UInt64.self)
        r.storeBytes(of: pc &+ 4, toByteOffset: Offset.pc, as: UInt64.self)
    }
    func programCounter(_ r: UnsafeMutableRawPointer) -> UInt64 { r.load(fromByteOffset: Offset.pc, as: UInt64.self) }
    func stackPointer(_ r: UnsafeMutableRawPointer) -> UInt64 { x(r, 2) }
    func setStackPointer(_ r: UnsafeMutableRawPointer, _ value: UInt64) { setX(r, 2, value) }
    func setThreadPointer(_ r: UnsafeMutableRawPointer, _ value: UInt64) { setX(r, 4, value) }

    func start(_ r: UnsafeMutableRawPointer, entry: UInt64, stack: UInt64) {
        memset(r + Offset.x(1), 0, Offset.pc - Offset.x(1))
        RISCVState(r).fcsr = 0
        setX(r, 2, stack)
        r.storeBytes(of: entry, toByteOffset: Offset.pc, as: UInt64.self)
    }

    // x1…x31, f0…f31, pc, fcsr.
    func saveRegisters(_ r: UnsafeMutableRawPointer) -> [UInt64] {
        let state = RISCVState(r)
        return (1..<32).map { state.x($0) } + (0..<32).map { state.f($0) } + [state.pc, UInt64(state.fcsr)]
    }
    func restoreRegisters(_ r: UnsafeMutableRawPointer, _ image: [UInt64]) {
        let state = RISCVState(r)
        guard image.count == 65 else { return }
        for n in 1..<32 { state.setX(n, image[n - 1]) }
        for n in 0..<32 { state.setF(n, image[31 + n]) }
        state.pc = image[63]
        state.fcsr = UInt32(truncatingIfNeeded: image[64])
    }

    func cloneArguments(_ a: CallArguments) -> (flags: UInt64, stack: UInt64, parent: UInt64, tls: UInt64, child: UInt64) {
        (a.a0, a.a1, a.a2, a.a3, a.a4)
    }

    // struct stat of asm-generic/stat.h, 128 bytes.
    func encode(_ s: FileStatus) -> [UInt8] {
        var b = ByteBuilder(capacity: 128)
        b.add(s.device)
        b.add(s.inode)
        b.add(s.mode)
        b.add(UInt32(truncatingIfNeeded: s.links))
        b.add(s.owner)
        b.add(s.group)
        b.add(s.special)
        b.add(UInt64(0))
        b.add(s.size)
        b.add(Int32(truncatingIfNeeded: s.blockSize))
        b.add(UInt32(0))
        b.add(s.blocks)
        for time in [
            s.accessSeconds, s.accessNanoseconds, s.modifySeconds, s.modifyNanoseconds, s.changeSeconds,
            s.changeNanoseconds,
        ] { b.add(time) }
        b.add(UInt64(0))
        return b.bytes
    }

    // struct sigaction: handler, flags, mask; riscv has no restorer.
    func decodeAction(_ address: UInt64) -> GuestSignalAction? {
        guard let words = Guest.load(address, as: (UInt64, UInt64, UInt64).self) else { return nil }
        return GuestSignalAction(handler: words.0, flags: words.1, mask: words.2)
    }
    func encodeAction(_ action: GuestSignalAction, at address: UInt64) -> Bool {
        Guest.store((action.handler, action.flags, action.mask), at: address)
    }

    // struct rt_sigframe: siginfo (128), ucontext (960).
    private enum Frame {
        static let context = 128
        static let stack = context + 16
        static let mask = context + 40
        static let registers = context + 176
        static let floats = registers + 256
        static let fcsr = floats + 256
        static let size = registers + 256 + 528
    }

    func enterHandler(_ r: UnsafeMutableRawPointer, _ frame: SignalFrame) -> Bool {
        let at = (frame.top &- UInt64(Frame.size)) & ~15
        let ok = withUnsafeTemporaryAllocation(byteCount: Frame.size, alignment: 16) { image in
            let p = image.baseAddress!
            memset(p, 0, Frame.size)
            memcpy(p, frame.info, 128)
            p.storeBytes(of: frame.stack, toByteOffset: Frame.stack, as: AlternateStack.self)
            p.storeBytes(of: frame.mask, toByteOffset: Frame.mask, as: UInt64.self)
            p.storeBytes(of: programCounter(r), toByteOffset: Frame.registers, as: UInt64.self)
            memcpy(p + Frame.registers + 8, r + 8, 31 * 8)
            memcpy(p + Frame.floats, r + Offset.floats, 256)
            p.storeBytes(of: RISCVState(r).fcsr, toByteOffset: Frame.fcsr, as: UInt32.self)
            return Guest.write(UnsafeRawBufferPointer(image), at: at)
        }
        guard ok else { return false }
        setX(r, 1, frame.trampoline)
        setX(r, 2, at)
        setX(r, 10, UInt64(frame.signal))
        setX(r, 11, at)
        setX(r, 12, at + UInt64(Frame.context))
        r.storeBytes(of: frame.action.handler, toByteOffset: Offset.pc, as: UInt64.self)
        return true
    }

    func leaveHandler(_ r: UnsafeMutableRawPointer) -> (mask: UInt64, stack: AlternateStack)? {
        let at = x(r, 2)
        guard at & 15 == 0, let bytes = Guest.bytes(at, Frame.size) else { return nil }
        return bytes.withUnsafeBytes { image in
            let p = image.baseAddress!
            // A record of an extension this CPU does not have makes the frame invalid; {0, 0} ends the list.
            let end = p.loadUnaligned(fromByteOffset: Frame.size - 8, as: UInt64.self)
            guard end == 0 else { return nil }
            r.storeBytes(of: p.loadUnaligned(fromByteOffset: Frame.registers, as: UInt64.self), toByteOffset: Offset.pc, as: UInt64.self)
            memcpy(r + 8, p + Frame.registers + 8, 31 * 8)
            memcpy(r + Offset.floats, p + Frame.floats, 256)
            RISCVState(r).fcsr = p.loadUnaligned(fromByteOffset: Frame.fcsr, as: UInt32.self) & FCSR.mask
            return (
                p.loadUnaligned(fromByteOffset: Frame.mask, as: UInt64.self),
                p.loadUnaligned(fromByteOffset: Frame.stack, as: AlternateStack.self)
            )
        }
    }

    func fault(_ exit: UserExit, _ thread: GuestThread) -> ProgramFault? {
        let r = thread.registers
        let breakpoint: Int32 = 1, illegalOpcode: Int32 = 1, alignment: Int32 = 1
        switch exit {
        case .breakpoint: return ProgramFault(signal: SIGTRAP, code: breakpoint, address: programCounter(r))
        case .illegalInstruction: return ProgramFault(signal: SIGILL, code: illegalOpcode, address: programCounter(r))
        case .misaligned(let address): return ProgramFault(signal: SIGBUS, code: alignment, address: address)
        default: return nil
        }
    }

    func architectureCall(_ call: SystemCall, _ a: CallArguments, _ thread: GuestThread) -> Int? {
        switch call {
        case .riscv_hwprobe: hardwareProbe(a, thread)
        case .riscv_flush_icache: flushInstructions(a, thread)
        default: nil
        }
    }

    /// riscv_flush_icache(start, end, flags): the whole process either way, since flag 1 (this thread) asks for less.
    private func flushInstructions(_ a: CallArguments, _ thread: GuestThread) -> Int {
        let local: UInt64 = 1
        guard a.a2 & ~local == 0 else { return failure(EINVAL) }
        let start = min(a.a0, addressLimit), end = min(a.a1, addressLimit)
        if start < end { thread.process.engine.codeChanged(start: start, length: end - start) }
        return 0
    }

    private enum Probe {
        static let vendor: Int64 = 0, architecture: Int64 = 1, implementation: Int64 = 2
        static let baseBehaviour: Int64 = 3, extensions: Int64 = 4, misaligned: Int64 = 5
        static let zicbozBlock: Int64 = 6, highestAddress: Int64 = 7, timeFrequency: Int64 = 8, misalignedScalar: Int64 = 9
        static let ima: UInt64 = 1
        static let fd: UInt64 = 1 << 0, c: UInt64 = 1 << 1, zba: UInt64 = 1 << 3, zbb: UInt64 = 1 << 4
        static let zbs: UInt64 = 1 << 5, zicond: UInt64 = 1 << 35
        static let misalignedFast: UInt64 = 3
        /// Bound on pairs per call: far above the number of keys, so that a huge count cannot hold the thread.
        static let pairsMax: UInt64 = 1 << 16
    }

    private func hardwareProbe(_ a: CallArguments, _ thread: GuestThread) -> Int {
        // (pairs, count, cpusetsize, cpus, flags)
        let whichCPUs: UInt64 = 1
        guard a.a4 & ~whichCPUs == 0, a.a1 <= Probe.pairsMax else { return failure(EINVAL) }
        if a.a4 & whichCPUs != 0 && (a.a2 == 0 || a.a3 == 0) { return failure(EINVAL) }
        var allMatch = true
        for i in 0..<a.a1 {
            let at = a.a0 &+ i &* 16
            guard let pair = Guest.load(at, as: (key: Int64, value: UInt64).self) else { return failure(EFAULT) }
            var (key, value): (Int64, UInt64) = (pair.key, 0)
            switch key {
            case Probe.vendor, Probe.architecture, Probe.implementation, Probe.zicbozBlock: value = 0
            case Probe.baseBehaviour: value = Probe.ima
            case Probe.extensions: value = Probe.fd | Probe.c | Probe.zba | Probe.zbb | Probe.zbs | Probe.zicond
            case Probe.misaligned, Probe.misalignedScalar: value = Probe.misalignedFast
            case Probe.highestAddress: value = addressLimit - 1
            case Probe.timeFrequency: value = 10_000_000
            default: key = -1
            }
            if a.a4 & whichCPUs != 0 {
                let bitmask = pair.key == Probe.extensions || pair.key == Probe.baseBehaviour
                if key == -1 || (bitmask ? value & pair.value != pair.value : value != pair.value) { allMatch = false }
                if key == -1, !Guest.store((key, UInt64(0)), at: at) { return failure(EFAULT) }
            } else if !Guest.store((key, value), at: at) {
                return failure(EFAULT)
            }
        }
        if a.a4 & whichCPUs != 0, !allMatch {
            guard Guest.write([UInt8](repeating: 0, count: Int(min(a.a2, 128))), at: a.a3) else { return failure(EFAULT) }
        }
        return 0
    }
}

/// Builds little-endian structures field by field.
struct ByteBuilder {
    private(set) var bytes: [UInt8] = []

    init(capacity: Int = 64) { bytes.reserveCapacity(capacity) }

    /// Appends an integer in little-endian order.
    mutating func add<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// Appends zero bytes up to a multiple of `alignment`.
    mutating func align(_ alignment: Int) {
        while bytes.count % alignment != 0 { bytes.append(0) }
    }
}
