// SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS and the instructions for FS and GS bases.
//
// Spec: AMD APM vol. 3 SYSCALL, SYSRET, SYSENTER, SYSEXIT; vol. 2 6.1. As AMD does it: SYSCALL also in compatibility
// and legacy mode, SYSENTER not in long mode, SYSRET leaves the hidden part of SS alone.

import Translator

extension X86State {
    /// Flat code or data of a privilege level, as the fast system calls make it.
    private static func flat(_ selector: UInt16, code: Bool, level: UInt32, size: UInt32) -> SegmentCache {
        let type = SegmentAttributes.accessed | SegmentAttributes.writable | (code ? SegmentAttributes.code : 0)
        let attributes = type | SegmentAttributes.nonSystem | SegmentAttributes.present | SegmentAttributes.granularity
            | level << SegmentAttributes.dplShift | size
        return SegmentCache(selector: selector, attributes: attributes, limit: .max, base: 0)
    }

    /// SYSCALL.
    /// - Parameter next: linear address of the next instruction.
    func systemCall(next: UInt64) throws(X86Fault) {
        guard efer & EFER.sce != 0, isProtected, !isVirtual8086 else { throw .invalidOpcode }
        let star = self[SystemLayout.star], selector = UInt16(truncatingIfNeeded: star >> 32) & ~3
        if isLongMode {
            let wasLong = is64BitCode
            setRegister(Self.rcx, wasLong ? next : offset(ofLinear: next))
            setRegister(Self.r11, UInt64(eflags & ~EFlags.rf))
            let target = self[wasLong ? SystemLayout.lstar : SystemLayout.cstar]
            setFlags(0, EFlags.rf | UInt32(truncatingIfNeeded: self[SystemLayout.sfmask]))
            setSegment(.ss, Self.flat(selector &+ 8, code: false, level: 0, size: SegmentAttributes.big))
            setCode(Self.flat(selector, code: true, level: 0, size: SegmentAttributes.long), target, cpl: 0)
        } else {
            setRegister(Self.rcx, offset(ofLinear: next))
            setFlags(0, EFlags.rf | EFlags.interrupt)
            setSegment(.ss, Self.flat(selector &+ 8, code: false, level: 0, size: SegmentAttributes.big))
            setCode(Self.flat(selector, code: true, level: 0, size: SegmentAttributes.big), star & 0xFFFF_FFFF, cpl: 0)
        }
        stepsLate()
    }

    /// SYSRET.
    /// - Parameter size: operand size in bytes: 8 returns to 64-bit code, 4 to compatibility mode.
    func systemReturn(size: Int) throws(X86Fault) {
        guard efer & EFER.sce != 0, isProtected, !isVirtual8086 else { throw .invalidOpcode }
        guard cpl == 0 else { throw .generalProtection }
        let isStepped = mode.has(Mode.single)
        let star = self[SystemLayout.star], selector = UInt16(truncatingIfNeeded: star >> 48)
        let target = register(Self.rcx)
        var ss = segment(.ss)
        ss.selector = selector &+ 8 | 3
        // A null SS becomes usable, its other hidden fields stay.
        ss.attributes = ss.attributes & ~(SegmentAttributes.dpl | SegmentAttributes.null) | SegmentAttributes.dpl
            | SegmentAttributes.present | SegmentAttributes.nonSystem | SegmentAttributes.writable
            | SegmentAttributes.accessed
        if isLongMode {
            setFlags(UInt32(truncatingIfNeeded: register(Self.r11)), EFlags.all & ~EFlags.vm & ~EFlags.rf)
        } else {
            setFlags(EFlags.interrupt, EFlags.interrupt)
        }
        setSegment(.ss, ss)
        if isLongMode && size == 8 {
            setCode(Self.flat(selector &+ 16 | 3, code: true, level: 3, size: SegmentAttributes.long), target, cpl: 3)
        } else {
            setCode(Self.flat(selector | 3, code: true, level: 3, size: SegmentAttributes.big), target & 0xFFFF_FFFF,
                    cpl: 3)
        }
        noticeInterrupts()
        if isStepped { return stepsLate() }
        // TF was clear before, so that nobody steps, and counts as it is now.
        if systemFlags & EFlags.tf != 0 { deliver(.debug(DebugBits.bs)) }
    }

    /// SYSENTER.
    func systemEnter() throws(X86Fault) {
        guard !isLongMode else { throw .invalidOpcode }
        let selector = UInt16(truncatingIfNeeded: self[SystemLayout.sysenterCS]) & ~3
        guard isProtected, selector != 0 else { throw .generalProtection }
        setFlags(0, EFlags.interrupt | EFlags.vm | EFlags.rf)
        setSegment(.ss, Self.flat(selector &+ 8, code: false, level: 0, size: SegmentAttributes.big))
        setRegister(Self.rsp, self[SystemLayout.sysenterESP] & 0xFFFF_FFFF)
        setCode(Self.flat(selector, code: true, level: 0, size: SegmentAttributes.big),
                self[SystemLayout.sysenterEIP] & 0xFFFF_FFFF, cpl: 0)
    }

    /// SYSEXIT.
    func systemExit() throws(X86Fault) {
        guard !isLongMode else { throw .invalidOpcode }
        let selector = UInt16(truncatingIfNeeded: self[SystemLayout.sysenterCS]) & ~3
        guard usesDescriptors, selector != 0, cpl == 0 else { throw .generalProtection }
        let pointer = register(Self.rcx) & 0xFFFF_FFFF, target = register(Self.rdx) & 0xFFFF_FFFF
        setSegment(.ss, Self.flat(selector &+ 24 | 3, code: false, level: 3, size: SegmentAttributes.big))
        setRegister(Self.rsp, pointer)
        setCode(Self.flat(selector &+ 16 | 3, code: true, level: 3, size: SegmentAttributes.big), target, cpl: 3)
    }

    /// SWAPGS.
    func swapGS() throws(X86Fault) {
        guard is64BitCode else { throw .invalidOpcode }
        guard cpl == 0 else { throw .generalProtection }
        let gs = X86Layout.segmentBase(Segment.gs.rawValue)
        (self[gs], self[SystemLayout.kernelGSBase]) = (self[SystemLayout.kernelGSBase], self[gs])
    }

    /// RDFSBASE and RDGSBASE.
    func readBase(_ segment: Segment) throws(X86Fault) -> UInt64 {
        guard is64BitCode, !isSystem || cr4 & CR4.fsgsbase != 0 else { throw .invalidOpcode }
        return self[X86Layout.segmentBase(segment.rawValue)]
    }

    /// WRFSBASE and WRGSBASE.
    func writeBase(_ segment: Segment, _ value: UInt64) throws(X86Fault) {
        guard is64BitCode, !isSystem || cr4 & CR4.fsgsbase != 0 else { throw .invalidOpcode }
        guard isCanonical(value) else { throw .generalProtection }
        self[X86Layout.segmentBase(segment.rawValue)] = value
    }
}
