// What x86_64 and i386 Linux have in common: registers of a program, its descriptor tables, and the signals of exceptions.
// Sources: arch/x86/include/asm/segment.h (selectors), kernel/tls.c, kernel/ldt.c (descriptors of a program),
// kernel/traps.c, mm/fault.c (signals), Intel SDM vol. 3 3.4.5 (descriptors), 6.15 (exceptions).

import Glibc
import GuestX86
import TranslatedCPU
import Translator

/// Registers by number, as instructions encode them.
enum X86Register {
    static let ax = 0, cx = 1, dx = 2, bx = 3, sp = 4, bp = 5, si = 6, di = 7
}

/// The selectors of a 64-bit kernel.
enum X86Selector {
    static let code32: UInt16 = 0x23, data: UInt16 = 0x2b, code64: UInt16 = 0x33
    /// First and last GDT entry for thread-local storage.
    static let tlsFirst = 12, tlsLast = 14
}

/// A program's part of the state block.
enum X86Program {
    private static let mxcsrInitial: UInt32 = 0x1f80
    private static let controlInitial: UInt16 = 0x37f

    /// A program's entries of the GDT: 32-bit code, data, 64-bit code.
    private static let fixedEntries: [Int: UInt64] = [
        4: 0x00cf_fb00_0000_ffff, 5: 0x00cf_f300_0000_ffff, 6: 0x00af_fb00_0000_ffff,
    ]

    /// Registers as execve leaves them.
    static func start(_ r: UnsafeMutableRawPointer, is64: Bool, entry: UInt64, stack: UInt64) {
        let state = X86State(r)
        state.install(X86Processor.model)
        for n in 0..<16 { state.setRegister(n, 0) }
        state.eflags = EFlags.interrupt | EFlags.fixed
        state.cr0 = CR0.pe | CR0.mp | CR0.et | CR0.ne | CR0.wp | CR0.am | CR0.pg
        let features = X86Processor.model.features
        state.cr4 = CR4.pae | (features.contains(.fxsr) ? CR4.osfxsr | CR4.osxmmexcpt : 0)
            | (features.contains(.xsave) ? CR4.osxsave : 0) | (features.contains(.fsgsbase) ? CR4.fsgsbase : 0)
        state.efer = EFER.sce | EFER.lme | EFER.lma | EFER.nxe
        state.xcr0 = X86Processor.extendedState
        state.cpl = 3
        resetFloat(r)
        for i in X86Selector.tlsFirst...X86Selector.tlsLast { setDescriptor(r, i, 0) }
        _ = loadSegment(r, .cs, is64 ? X86Selector.code64 : X86Selector.code32)
        _ = loadSegment(r, .ss, X86Selector.data)
        for segment in [Segment.ds, .es] { _ = loadSegment(r, segment, is64 ? 0 : X86Selector.data) }
        for segment in [Segment.fs, .gs] { _ = loadSegment(r, segment, 0) }
        state.setRegister(X86Register.sp, stack)
        state.pc = entry
        state.updateMode()
    }

    /// FNINIT, LDMXCSR of the default, and zero in all vector registers: what handlers and new programs start with.
    static func resetFloat(_ r: UnsafeMutableRawPointer) {
        memset(r + X86Layout.x87Registers, 0, 128 + 32)
        r.storeBytes(of: controlInitial, toByteOffset: X86Layout.x87Control, as: UInt16.self)
        memset(r + X86Layout.xmm(0), 0, 512)
        r.storeBytes(of: mxcsrInitial, toByteOffset: StateLayout.guestMXCSR, as: UInt32.self)
        X86State(r).updateMode()
    }

    // MARK: registers as a whole

    private static let pieces: [(offset: Int, words: Int)] = [
        (StateLayout.integerGlobals, (StateLayout.pc + 8 - StateLayout.integerGlobals) / 8),
        (StateLayout.front, StateLayout.frontSize / 8),
    ]

    static func save(_ r: UnsafeMutableRawPointer) -> [UInt64] {
        var image = pieces.flatMap { piece in
            (0..<piece.words).map { r.load(fromByteOffset: piece.offset + 8 * $0, as: UInt64.self) }
        }
        let mode = r.load(fromByteOffset: StateLayout.mode, as: UInt32.self)
        let mxcsr = r.load(fromByteOffset: StateLayout.guestMXCSR, as: UInt32.self)
        image.append(UInt64(mode) << 32 | UInt64(mxcsr))
        return image
    }

    static func restore(_ r: UnsafeMutableRawPointer, _ image: [UInt64]) {
        guard image.count == pieces.reduce(1, { $0 + $1.words }) else { return }
        var next = 0
        for piece in pieces {
            for i in 0..<piece.words {
                r.storeBytes(of: image[next], toByteOffset: piece.offset + 8 * i, as: UInt64.self)
                next += 1
            }
        }
        r.storeBytes(of: UInt32(truncatingIfNeeded: image[next] >> 32), toByteOffset: StateLayout.mode, as: UInt32.self)
        r.storeBytes(of: UInt32(truncatingIfNeeded: image[next]), toByteOffset: StateLayout.guestMXCSR, as: UInt32.self)
    }

    // MARK: descriptors

    /// An entry for thread-local storage, 12 to 14.
    static func descriptor(_ r: UnsafeMutableRawPointer, _ index: Int) -> UInt64 {
        r.load(fromByteOffset: SystemLayout.threadDescriptor(index - X86Selector.tlsFirst), as: UInt64.self)
    }

    /// Sets an entry for thread-local storage, 12 to 14.
    static func setDescriptor(_ r: UnsafeMutableRawPointer, _ index: Int, _ value: UInt64) {
        r.storeBytes(of: value, toByteOffset: SystemLayout.threadDescriptor(index - X86Selector.tlsFirst), as: UInt64.self)
    }

    /// Makes the process's LDT the thread's; registers that hold its selectors are not renewed.
    static func useLDT(_ r: UnsafeMutableRawPointer, _ ldt: LocalDescriptors) {
        let present: UInt32 = 0x82, selector: UInt16 = 0x48
        X86State(r).setSegment(SystemSegment.ldtr, SegmentCache(
            selector: selector, attributes: present, limit: UInt32(LocalDescriptors.countMax * 8 - 1),
            base: UInt64(UInt(bitPattern: ldt.table))))
    }

    /// What a selector names; nil when it lies outside its table.
    private static func lookUp(_ r: UnsafeMutableRawPointer, _ selector: UInt16) -> UInt64? {
        let index = Int(selector >> 3), inLDT = selector & 4 != 0
        if !inLDT {
            let isTLS = (X86Selector.tlsFirst...X86Selector.tlsLast).contains(index)
            return isTLS ? descriptor(r, index) : fixedEntries[index]
        }
        let limit = r.load(fromByteOffset: SystemLayout.limit(SystemSegment.ldtr), as: UInt32.self)
        let base = r.load(fromByteOffset: SystemLayout.ldtrBase, as: UInt64.self)
        guard base != 0, UInt32(index * 8 + 7) <= limit else { return nil }
        // SAFETY: LocalDescriptors owns a table of that size for the life of the process.
        return UnsafeRawPointer(bitPattern: UInt(base))!.load(fromByteOffset: index * 8, as: UInt64.self)
    }

    /// Loads a segment register as a return to user space does; false where that would fault. The mode word is not renewed.
    static func loadSegment(_ r: UnsafeMutableRawPointer, _ segment: Segment, _ selector: UInt16) -> Bool {
        let state = X86State(r)
        let isStackOrCode = segment == .cs || segment == .ss
        if selector & ~3 == 0 {
            guard !isStackOrCode else { return false }
            let null = SegmentAttributes.null | SegmentAttributes.nonSystem | SegmentAttributes.dpl
            state.setSegment(segment, SegmentCache(selector: selector, attributes: null, limit: 0, base: 0))
            return true
        }
        guard let d = lookUp(r, selector) else { return false }
        let high = UInt32(truncatingIfNeeded: d >> 32)
        let attributes = high >> 8 & 0xf0ff
        guard attributes & SegmentAttributes.present != 0, attributes & SegmentAttributes.nonSystem != 0 else { return false }
        let isCode = attributes & SegmentAttributes.code != 0
        switch segment {
        case .cs: guard isCode else { return false }
        case .ss: guard !isCode, attributes & SegmentAttributes.writable != 0 else { return false }
        default: guard !isCode || attributes & SegmentAttributes.readable != 0 else { return false }
        }
        guard attributes & SegmentAttributes.dpl == SegmentAttributes.dpl else { return false }
        var limit = UInt32(truncatingIfNeeded: d & 0xffff) | high & 0xf0000
        if attributes & SegmentAttributes.granularity != 0 { limit = limit << 12 | 0xfff }
        let base = d >> 16 & 0xff_ffff | UInt64(high & 0xff00_0000)
        state.setSegment(segment, SegmentCache(selector: selector | 3, attributes: attributes, limit: limit, base: base))
        return true
    }

    // MARK: exceptions

    private static let pageFaultPresent: UInt64 = 1, pageFaultWrite: UInt64 = 2, pageFaultUser: UInt64 = 4
    private static let pageFaultFetch: UInt64 = 16
    private static let pageFault: UInt64 = 14

    static func trap(access: MemoryAccess, address: UInt64, isMapped: Bool) -> TrapRecord {
        var error = pageFaultUser
        if isMapped { error |= pageFaultPresent }
        if access == .write { error |= pageFaultWrite }
        if access == .execute { error |= pageFaultFetch }
        return TrapRecord(number: pageFault, error: error, address: address)
    }

    /// The signal for an exception; `previous` gives CR2, which only page faults change.
    static func fault(vector: Int, error: UInt64, previous: TrapRecord, _ r: UnsafeMutableRawPointer) -> ProgramFault {
        let state = X86State(r)
        let trap = TrapRecord(number: UInt64(vector), error: error, address: previous.address)
        func signal(_ number: Int32, _ code: Int32 = ProgramFault.kernelCode, _ address: UInt64 = 0) -> ProgramFault {
            ProgramFault(signal: number, code: code, address: address, trap: trap)
        }
        let here = state.rip
        switch UInt8(truncatingIfNeeded: vector) {
        case ExceptionVector.divide: return signal(SIGFPE, 1, here) // FPE_INTDIV
        case ExceptionVector.debug:
            // Programs have no breakpoint registers: a step (TRAP_TRACE), or INT1.
            return signal(SIGTRAP, state.eflags & EFlags.tf != 0 ? 2 : 1, here)
        case ExceptionVector.breakpoint: return signal(SIGTRAP)
        case ExceptionVector.invalidOpcode: return signal(SIGILL, 2, here) // ILL_ILLOPN
        case ExceptionVector.segmentNotPresent, ExceptionVector.stack: return signal(SIGBUS)
        case ExceptionVector.alignment: return signal(SIGBUS, 1) // BUS_ADRALN
        case ExceptionVector.x87:
            let control = r.load(fromByteOffset: X86Layout.x87Control, as: UInt16.self)
            let status = r.load(fromByteOffset: X86Layout.x87Status, as: UInt16.self)
            return signal(SIGFPE, floatCode(UInt32(status & ~control)), here)
        case ExceptionVector.simd:
            let mxcsr = r.load(fromByteOffset: StateLayout.guestMXCSR, as: UInt32.self)
            return signal(SIGFPE, floatCode(mxcsr & ~(mxcsr >> 7)), here)
        default: return signal(SIGSEGV)
        }
    }

    /// si_code for unmasked exceptions, the gravest first.
    private static func floatCode(_ flags: UInt32) -> Int32 {
        let invalid: UInt32 = 1, divide: UInt32 = 4, overflow: UInt32 = 8, tiny: UInt32 = 0x12, inexact: UInt32 = 0x20
        if flags & invalid != 0 { return 7 }
        if flags & divide != 0 { return 3 }
        if flags & overflow != 0 { return 4 }
        if flags & tiny != 0 { return 5 }
        return flags & inexact != 0 ? 6 : 0
    }

    /// Whether the access that was misaligned is one of 16 bytes (`ExitKind.misaligned`).
    private static func isVectorAccess(_ r: UnsafeMutableRawPointer) -> Bool {
        r.load(fromByteOffset: StateLayout.exitAccess, as: UInt32.self) & 4 != 0
    }

    /// The signal for what the engine reports.
    static func fault(_ exit: UserExit, previous: TrapRecord, _ r: UnsafeMutableRawPointer) -> ProgramFault? {
        switch exit {
        case .illegalInstruction: fault(vector: Int(ExceptionVector.invalidOpcode), error: 0, previous: previous, r)
        case .breakpoint: fault(vector: Int(ExceptionVector.breakpoint), error: 0, previous: previous, r)
        case .misaligned:
            // Of a vector that must be aligned, or of whatever EFLAGS.AC forbids.
            fault(vector: Int(isVectorAccess(r) ? ExceptionVector.generalProtection : ExceptionVector.alignment), error: 0,
                  previous: previous, r)
        case .exception(let vector, let error): fault(vector: vector, error: error, previous: previous, r)
        default: nil
        }
    }

    /// Length of the system-call instruction at pc: SYSCALL, SYSENTER and INT 80 have 2 bytes and may have prefixes.
    static func callLength(_ pc: UInt64) -> UInt64 {
        let longest: UInt64 = 15
        var length: UInt64 = 0
        while length < longest - 1, let bytes = Guest.load(pc &+ length, as: (UInt8, UInt8).self) {
            if bytes == (0x0f, 0x05) || bytes == (0xcd, 0x80) || bytes == (0x0f, 0x34) { return length + 2 }
            length += 1
        }
        return 2
    }
}

/// A process's LDT, reached from all of its threads' state blocks.
final class LocalDescriptors {
    static let countMax = 8192
    /// All entries, in host memory that costs nothing until it is used.
    let table: UnsafeMutableRawPointer
    /// One more than the highest entry ever written.
    private(set) var used = 0

    init() {
        guard let memory = calloc(LocalDescriptors.countMax, 8) else { preconditionFailure("no memory for an LDT") }
        table = memory
    }

    deinit { free(table) }

    /// Changes an entry; segment registers that hold it stay as they are.
    func set(_ index: Int, _ descriptor: UInt64) {
        table.storeBytes(of: descriptor, toByteOffset: index * 8, as: UInt64.self)
        used = max(used, index + 1)
    }
}

/// struct user_desc, with which programs describe segments.
struct UserDescriptor: Equatable {
    var entry: UInt32 = 0
    var base: UInt32 = 0
    var limit: UInt32 = 0
    var flags: UInt32 = 0

    static let size = 16
    private enum Flag {
        static let seg32: UInt32 = 1, contents: UInt32 = 6, readOnly: UInt32 = 8, pages: UInt32 = 16
        static let notPresent: UInt32 = 32, useable: UInt32 = 64, long: UInt32 = 128
    }

    /// The form that clears an entry.
    var isEmpty: Bool { base == 0 && limit == 0 && flags & 0xff == Flag.readOnly | Flag.notPresent }
    /// All zero, which clears an entry for thread-local storage too.
    var isZero: Bool { base == 0 && limit == 0 && flags & 0xff == 0 }

    /// Whether the kernel takes it for thread-local storage: 32-bit data that is present.
    var isUsableForTLS: Bool {
        isEmpty || isZero
            || flags & Flag.seg32 != 0 && flags & Flag.contents <= 2 && flags & (Flag.notPresent | Flag.long) == 0
    }

    /// Whether modify_ldt takes it; conforming code must not be present. `old`: its first form.
    func isUsableForLDT(old: Bool) -> Bool {
        flags & Flag.contents != Flag.contents || !old && flags & Flag.notPresent != 0
    }

    /// The processor's form.
    var descriptor: UInt64 {
        var type = (flags & Flag.readOnly == 0 ? 2 as UInt64 : 0) | UInt64(flags & Flag.contents) << 1
        type |= 0x71 // accessed, code or data, DPL 3
        if flags & Flag.notPresent == 0 { type |= 0x80 }
        var upper = UInt64(limit >> 16 & 15)
        if flags & Flag.useable != 0 { upper |= 0x10 }
        if flags & Flag.seg32 != 0 { upper |= 0x40 }
        if flags & Flag.pages != 0 { upper |= 0x80 }
        return UInt64(limit & 0xffff) | UInt64(base & 0xff_ffff) << 16 | type << 40 | upper << 48
            | UInt64(base >> 24) << 56
    }

    /// From the processor's form, as get_thread_area shows it.
    init(entry: UInt32, descriptor d: UInt64) {
        self.entry = entry
        base = UInt32(truncatingIfNeeded: d >> 16 & 0xff_ffff | d >> 32 & 0xff00_0000)
        limit = UInt32(truncatingIfNeeded: d & 0xffff | d >> 32 & 0xf0000)
        let type = d >> 40, upper = d >> 52
        flags = 0
        if upper & 4 != 0 { flags |= Flag.seg32 }
        flags |= UInt32(truncatingIfNeeded: type >> 2 & 3) << 1
        if type & 2 == 0 { flags |= Flag.readOnly }
        if upper & 8 != 0 { flags |= Flag.pages }
        if type & 0x80 == 0 { flags |= Flag.notPresent }
        if upper & 1 != 0 { flags |= Flag.useable }
    }

    init() {}
}
