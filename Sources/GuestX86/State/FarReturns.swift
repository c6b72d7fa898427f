// RETF and IRET.
//
// Spec: Intel SDM vol. 2 RET, IRET; vol. 3 5.8.6, 6.12.1, 20.3.1; AMD APM vol. 2 8.7.3, 8.8.

import Translator

extension X86State {
    /// RETF, with `release` bytes of parameters to drop.
    func farReturn(size: Int, release: UInt64) throws(X86Fault) {
        var stack = Stack(current: self)
        let offset = try stack.pop(size)
        let selector = try stack.popSelector(size)
        guard usesDescriptors else {
            try checkRealLimit(offset)
            stack.skip(release)
            loadRealSegment(Segment.cs.rawValue, selector)
            setRegister(Self.rsp, stack.final)
            updateCodeSegment()
            rip = offset
            updateMode()
            return
        }
        let code = try returnCode(selector)
        stack.skip(release)
        if selector.rpl == cpl {
            try checkCodeOffset(code, offset)
            try markAccessed(code)
            setRegister(Self.rsp, stack.final)
            setCode(code, offset, cpl: cpl)
            return
        }
        let pointer = try stack.pop(size)
        let ss = try returnStack(try stack.popSelector(size), code)
        try checkCodeOffset(code, offset)
        try markAccessed(code)
        returnOuter(code, offset, ss, pointer, release)
    }

    /// Checks CS of a far return.
    private func returnCode(_ selector: UInt16) throws(X86Fault) -> Descriptor {
        guard !selector.isNullSelector else { throw .generalProtection }
        let code = try descriptor(selector, fault: ExceptionVector.generalProtection)
        guard selector.rpl >= cpl, code.isCode, !(isLongMode && code.isLong && code.isBig),
              code.isConformingCode ? code.dpl <= selector.rpl : code.dpl == selector.rpl else {
            throw .generalProtection(selector)
        }
        try checkPresent(code)
        return code
    }

    /// Checks SS of a return to another level, or of one that always pops it.
    private func returnStack(_ selector: UInt16, _ code: Descriptor) throws(X86Fault) -> SegmentCache {
        let level = code.selector.rpl
        if selector.isNullSelector {
            guard isLongMode, code.isLong, level < 3, selector.rpl == level else { throw .generalProtection }
            return nullStack(selector)
        }
        return try stackSegment(selector, cpl: level, fault: ExceptionVector.generalProtection)
    }

    /// The part of a return to a less privileged level that cannot fault.
    private func returnOuter(_ code: Descriptor, _ offset: UInt64, _ ss: SegmentCache, _ pointer: UInt64,
                             _ release: UInt64) {
        let level = code.selector.rpl, isOuter = level != cpl
        setSegment(.ss, ss)
        if isLongMode && code.isLong {
            setRegister(Self.rsp, pointer &+ release)
        } else if ss.has(SegmentAttributes.big) {
            setRegister(Self.rsp, (pointer &+ release) & 0xFFFF_FFFF)
        } else {
            setRegister(Self.rsp, register(Self.rsp) & ~0xFFFF | (pointer &+ release) & 0xFFFF)
        }
        setCode(code, offset, cpl: level)
        if isOuter {
            dropPrivilegedSegments()
            updateMode()
        }
    }

    /// Nulls the data segments that the new, lower privilege may not use. Their bases stay: those of FS and GS count in
    /// 64-bit code.
    private func dropPrivilegedSegments() {
        for number in [Segment.es, .ds, .fs, .gs].map(\.rawValue) {
            let cache = segment(number)
            if cache.has(SegmentAttributes.null) { continue }
            let isConforming = cache.isCode && cache.has(SegmentAttributes.conforming)
            if isConforming || cache.dpl >= cpl { continue }
            var null = Self.nullSegment(0)
            null.base = cache.base
            setSegment(number, null)
        }
    }

    private func checkRealLimit(_ offset: UInt64) throws(X86Fault) {
        let limit = isVirtual8086 ? 0xFFFF : self[word: SystemLayout.limit(Segment.cs.rawValue)]
        guard offset <= UInt64(limit) else { throw .generalProtection }
    }

    // MARK: IRET

    /// IRET, IRETD, IRETQ.
    /// - Parameter next: linear address of the next instruction.
    func interruptReturn(size: Int, next: UInt64) throws(X86Fault) {
        self[word: SystemLayout.nmiBlocked] = 0
        if !isProtected { return try realInterruptReturn(size, EFlags.iopl) }
        if isVirtual8086 {
            guard iopl == 3 else { return try virtualInterruptReturn(size) }
            return try realInterruptReturn(size, 0)
        }
        if systemFlags & EFlags.nt != 0 {
            guard !isLongMode else { throw .generalProtection }
            return try returnToTask(next)
        }
        var stack = Stack(current: self)
        let offset = try stack.pop(size)
        let selector = try stack.popSelector(size)
        let flags = UInt32(truncatingIfNeeded: try stack.pop(size))
        if size == 4, flags & EFlags.vm != 0, cpl == 0, !isLongMode {
            return try returnToVirtual8086(offset, selector, flags, &stack)
        }
        let code = try returnCode(selector)
        // 64-bit code always pops SS:RSP.
        guard selector.rpl != cpl || is64BitCode else {
            try checkCodeOffset(code, offset)
            try markAccessed(code)
            setRegister(Self.rsp, stack.final)
            returnFlags(flags, size)
            setCode(code, offset, cpl: cpl)
            return
        }
        let pointer = try stack.pop(size)
        let ss = try returnStack(try stack.popSelector(size), code)
        try checkCodeOffset(code, offset)
        try markAccessed(code)
        returnFlags(flags, size)
        returnOuter(code, offset, ss, pointer, 0)
    }

    /// Loads EFLAGS as IRET may at the current CPL.
    private func returnFlags(_ flags: UInt32, _ size: Int) {
        var mask = EFlags.status | EFlags.df | EFlags.tf | EFlags.nt | returnedRF | EFlags.ac | EFlags.id
        if cpl <= iopl { mask |= EFlags.interrupt }
        if cpl == 0 { mask |= EFlags.iopl | EFlags.vif | EFlags.vip }
        if size == 2 { mask &= 0xFFFF }
        setFlags(flags, mask)
    }

    /// RF where it matters: while a breakpoint is armed. Elsewhere nothing ever looks at it.
    var returnedRF: UInt32 { self[SystemLayout.dr7] & DebugBits.enables != 0 ? EFlags.rf : 0 }

    /// Replaces the bits of EFLAGS in a mask. Bits the model has not stay zero. The mode word is left to the caller.
    func setFlags(_ flags: UInt32, _ mask: UInt32) {
        var mask = mask & EFlags.all
        if !has(.i486) { mask &= ~EFlags.ac }
        if !has(.cpuid) { mask &= ~EFlags.id }
        if !has(.vme) { mask &= ~(EFlags.vif | EFlags.vip) }
        eflags = eflags & ~mask | flags & mask
    }

    private func realInterruptReturn(_ size: Int, _ more: UInt32) throws(X86Fault) {
        var stack = Stack(current: self)
        let offset = try stack.pop(size)
        let selector = try stack.popSelector(size)
        let flags = UInt32(truncatingIfNeeded: try stack.pop(size))
        try checkRealLimit(offset)
        var mask = EFlags.status | EFlags.df | EFlags.tf | EFlags.interrupt | EFlags.nt | more | returnedRF | EFlags.ac
            | EFlags.id
        if size == 2 { mask &= 0xFFFF }
        setFlags(flags, mask)
        setRegister(Self.rsp, stack.final)
        loadRealSegment(Segment.cs.rawValue, selector)
        updateCodeSegment()
        rip = offset
        updateMode()
    }

    /// IRET in virtual-8086 mode with IOPL below 3: only with VME, 16 bit, and the virtual interrupt flag.
    private func virtualInterruptReturn(_ size: Int) throws(X86Fault) {
        guard cr4 & CR4.vme != 0, size == 2 else { throw .generalProtection }
        var stack = Stack(current: self)
        let offset = try stack.pop(2)
        let selector = try stack.popSelector(2)
        let flags = UInt32(truncatingIfNeeded: try stack.pop(2))
        guard flags & EFlags.tf == 0, !(flags & EFlags.interrupt != 0 && systemFlags & EFlags.vip != 0) else {
            throw .generalProtection
        }
        setFlags(flags, EFlags.status | EFlags.df | EFlags.tf | EFlags.nt)
        setFlags(flags & EFlags.interrupt != 0 ? EFlags.vif : 0, EFlags.vif)
        setRegister(Self.rsp, stack.final)
        loadRealSegment(Segment.cs.rawValue, selector)
        updateCodeSegment()
        rip = offset
        updateMode()
    }

    private func returnToVirtual8086(_ offset: UInt64, _ selector: UInt16, _ flags: UInt32,
                                     _ stack: inout Stack) throws(X86Fault) {
        let pointer = try stack.pop(4)
        let ss = try stack.popSelector(4), es = try stack.popSelector(4), ds = try stack.popSelector(4)
        let fs = try stack.popSelector(4), gs = try stack.popSelector(4)
        setFlags(flags, EFlags.status | EFlags.df | EFlags.tf | EFlags.interrupt | EFlags.iopl | EFlags.nt | returnedRF
                 | EFlags.vm | EFlags.ac | EFlags.vif | EFlags.vip | EFlags.id)
        enterVirtual8086(selectors: (es, selector, ss, ds, fs, gs))
        setRegister(Self.rsp, pointer)
        rip = offset & 0xFFFF
        updateMode()
    }

    /// Loads all segments as virtual-8086 mode does; EFLAGS.VM is set already.
    func enterVirtual8086(selectors: (UInt16, UInt16, UInt16, UInt16, UInt16, UInt16)) {
        setSegment(.es, Self.virtual8086Segment(selectors.0))
        setSegment(.cs, Self.virtual8086Segment(selectors.1))
        setSegment(.ss, Self.virtual8086Segment(selectors.2))
        setSegment(.ds, Self.virtual8086Segment(selectors.3))
        setSegment(.fs, Self.virtual8086Segment(selectors.4))
        setSegment(.gs, Self.virtual8086Segment(selectors.5))
        cpl = 3
        updateCodeSegment()
    }
}
