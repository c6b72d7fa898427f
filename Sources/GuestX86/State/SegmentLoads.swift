// Loads of segment registers, LDTR and TR; LAR, LSL, VERR, VERW.
//
// Spec: Intel SDM vol. 2 MOV, LAR, LSL, VERR, LLDT, LTR; vol. 3 5.6, 5.7; AMD APM vol. 2 4.5, 4.11.

import Translator

extension X86State {
    /// Loads ES SS DS FS or GS as MOV and POP do, in any mode, and recomputes the mode word.
    /// - Throws: #GP #NP #SS with the selector, #PF; nothing has changed then.
    public func loadSegment(_ segment: Int, _ selector: UInt16) throws(X86Fault) {
        guard usesDescriptors else {
            loadRealSegment(segment, selector)
            updateMode()
            return
        }
        if segment == Segment.ss.rawValue {
            setSegment(segment, try stackSegment(selector, cpl: cpl, fault: ExceptionVector.generalProtection))
        } else {
            setSegment(segment, try dataSegment(selector, cpl: cpl, fault: ExceptionVector.generalProtection))
        }
        updateMode()
    }

    /// Loads a segment register in real or virtual-8086 mode. Real mode keeps limit and attributes as they are.
    func loadRealSegment(_ segment: Int, _ selector: UInt16) {
        if isVirtual8086 {
            setSegment(segment, Self.virtual8086Segment(selector))
        } else {
            self[half: SystemLayout.selector(segment)] = selector
            self[X86Layout.segmentBase(segment)] = UInt64(selector) << 4
        }
    }

    static func virtual8086Segment(_ selector: UInt16) -> SegmentCache {
        SegmentCache(selector: selector, attributes: SegmentAttributes.virtual8086, limit: 0xFFFF,
                     base: UInt64(selector) << 4)
    }

    static func nullSegment(_ selector: UInt16) -> SegmentCache {
        SegmentCache(selector: selector, attributes: SegmentAttributes.null)
    }

    /// What DS ES FS GS become with a selector.
    /// - Parameter fault: #GP, or #TS in a task switch.
    func dataSegment(_ selector: UInt16, cpl: UInt32, fault: UInt8) throws(X86Fault) -> SegmentCache {
        if selector.isNullSelector { return Self.nullSegment(selector) }
        let found = try descriptor(selector, fault: fault)
        guard found.isReadable, found.isConformingCode || found.dpl >= max(cpl, selector.rpl) else {
            throw X86Fault(vector: fault, selector: selector)
        }
        guard found.isPresent else { throw X86Fault(vector: ExceptionVector.segmentNotPresent, selector: selector) }
        try markAccessed(found)
        return found.cache
    }

    /// What SS becomes with a selector, at a privilege level.
    /// - Parameter fault: #GP, or #TS for stacks out of a task state.
    func stackSegment(_ selector: UInt16, cpl: UInt32, fault: UInt8,
                      external: Bool = false) throws(X86Fault) -> SegmentCache {
        if selector.isNullSelector {
            // 64-bit code below CPL 3 does without.
            guard is64BitCode, cpl < 3, selector.rpl == cpl else {
                throw X86Fault(vector: fault, errorCode: external ? X86Fault.external : 0)
            }
            return nullStack(selector)
        }
        let found = try descriptor(selector, fault: fault, external: external)
        guard selector.rpl == cpl, found.isWritable, found.dpl == cpl else {
            throw X86Fault(vector: fault, selector: selector, external: external)
        }
        guard found.isPresent else {
            throw X86Fault(vector: ExceptionVector.stack, selector: selector, external: external)
        }
        try markAccessed(found)
        return found.cache
    }

    /// The null SS of 64-bit code.
    func nullStack(_ selector: UInt16) -> SegmentCache {
        SegmentCache(selector: selector,
                     attributes: SegmentAttributes.null | selector.rpl << SegmentAttributes.dplShift)
    }

    // MARK: LDTR and TR

    /// LLDT. The caller has checked CPL and mode.
    func loadLDT(_ selector: UInt16, fault: UInt8 = ExceptionVector.generalProtection) throws(X86Fault) {
        if selector.isNullSelector {
            setSegment(SystemSegment.ldtr, SegmentCache(selector: selector, attributes: SegmentAttributes.null))
            return
        }
        setSegment(SystemSegment.ldtr, try ldtSegment(selector, fault: fault))
    }

    /// What LDTR becomes with a selector that is not null.
    func ldtSegment(_ selector: UInt16, fault: UInt8) throws(X86Fault) -> SegmentCache {
        guard !selector.usesLDT else { throw X86Fault(vector: fault, selector: selector) }
        let found = try descriptor(selector, fault: fault)
        guard !found.isSegment, found.type == SystemType.ldt else { throw X86Fault(vector: fault, selector: selector) }
        guard found.isPresent else {
            let isLoad = fault == ExceptionVector.generalProtection
            throw X86Fault(vector: isLoad ? ExceptionVector.segmentNotPresent : fault, selector: selector)
        }
        var cache = found.cache
        if isLongMode {
            cache.base |= try upperHalf(found, fault: fault) << 32
            guard isCanonical(cache.base) else { throw .generalProtection }
        }
        return cache
    }

    /// LTR. The caller has checked CPL and mode.
    func loadTaskRegister(_ selector: UInt16) throws(X86Fault) {
        let fault = ExceptionVector.generalProtection
        guard !selector.isNullSelector else { throw .generalProtection }
        guard !selector.usesLDT else { throw .generalProtection(selector) }
        let found = try descriptor(selector, fault: fault)
        guard !found.isSegment, found.type == SystemType.tss32Available
                || found.type == SystemType.tss16Available && !isLongMode else { throw .generalProtection(selector) }
        guard found.isPresent else { throw X86Fault(vector: ExceptionVector.segmentNotPresent, selector: selector) }
        var cache = found.cache
        if isLongMode {
            cache.base |= try upperHalf(found, fault: fault) << 32
            guard isCanonical(cache.base) else { throw .generalProtection }
        }
        try setBits(found.address &+ 5, UInt8(SystemType.busy))
        cache.attributes |= SystemType.busy
        setSegment(SystemSegment.tr, cache)
    }

    // MARK: questions about selectors

    /// The second doubleword of the descriptor as LAR gives it; nil when the selector does not qualify (ZF is cleared).
    func accessRights(_ selector: UInt16) throws(X86Fault) -> UInt32? {
        let system: UInt32 = isLongMode ? 1 << 2 | 1 << 9 | 1 << 11 | 1 << 12
            : 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 9 | 1 << 11 | 1 << 12
        guard let found = try visible(selector, systemTypes: system) else { return nil }
        return UInt32(truncatingIfNeeded: found.raw >> 32) & 0x00FF_FF00
    }

    /// The limit in bytes as LSL gives it; nil when the selector does not qualify.
    func segmentLimit(_ selector: UInt16) throws(X86Fault) -> UInt32? {
        let system: UInt32 = isLongMode ? 1 << 2 | 1 << 9 | 1 << 11 : 1 << 1 | 1 << 2 | 1 << 3 | 1 << 9 | 1 << 11
        return try visible(selector, systemTypes: system)?.limit
    }

    /// VERR and VERW: whether the segment could be accessed so.
    func verifies(_ selector: UInt16, _ use: DataUse) throws(X86Fault) -> Bool {
        guard let found = try visible(selector, systemTypes: 0) else { return false }
        return use == .read ? found.isReadable : found.isWritable
    }

    private func visible(_ selector: UInt16, systemTypes: UInt32) throws(X86Fault) -> Descriptor? {
        guard !selector.isNullSelector, let found = try descriptor(selector) else { return nil }
        if !found.isSegment { guard systemTypes >> found.type & 1 != 0 else { return nil } }
        guard found.isConformingCode || found.dpl >= max(cpl, selector.rpl) else { return nil }
        return found
    }
}
