// MOV to control registers, LMSW, CLTS, INVLPG, INVPCID, XSETBV, and what they change beyond the register.
//
// Every function gives #GP(0) for what the manual forbids and changes nothing then. The caller leaves the unit behind
// them, since the mode word may be another one.
//
// Spec: Intel SDM vol. 3 2.5, 4.1.2, 4.4.1, 4.10.4, 9.8.5; vol. 2 MOV (control registers), INVPCID, XSETBV; AMD APM
// vol. 2 3.1.

import Translator

extension X86State {
    /// The value of CR0 2 3 4 8.
    func readControl(_ number: Int) throws(X86Fault) -> UInt64 {
        switch number {
        case 0: return cr0
        case 2: return cr2
        case 3: return cr3
        case 4 where has(.cpuid): return cr4
        case 8 where is64BitCode || has(.cr8legacy): return readTaskPriority?(base) ?? self[SystemLayout.cr8]
        default: throw .invalidOpcode
        }
    }

    /// MOV to CR0 2 3 4 8.
    func writeControl(_ number: Int, _ value: UInt64) throws(X86Fault) {
        let value = is64BitCode ? value : value & 0xFFFF_FFFF
        switch number {
        case 0: try writeCR0(value)
        case 2: cr2 = value
        case 3: try writeCR3(value)
        case 4 where has(.cpuid): try writeCR4(value)
        case 8 where is64BitCode || has(.cr8legacy):
            guard value & ~15 == 0 else { throw .generalProtection }
            self[SystemLayout.cr8] = value
            writeTaskPriority?(base, value)
        default: throw .invalidOpcode
        }
        updateMode()
    }

    // MARK: CR0

    private func writeCR0(_ value: UInt64) throws(X86Fault) {
        guard value >> 32 == 0 else { throw .generalProtection }
        let old = cr0
        var new = value & CR0.writable | CR0.et
        if !has(.i486) { new &= ~(CR0.wp | CR0.am | CR0.ne | CR0.nw | CR0.cd) }
        guard new & CR0.pg == 0 || new & CR0.pe != 0, new & CR0.nw == 0 || new & CR0.cd != 0 else {
            throw .generalProtection
        }
        let turnsOn = new & ~old & CR0.pg != 0, turnsOff = old & ~new & CR0.pg != 0
        if turnsOn, efer & EFER.lme != 0 {
            let cs = self[word: SystemLayout.attributes(Segment.cs.rawValue)]
            guard cr4 & CR4.pae != 0, cs & SegmentAttributes.long == 0 else { throw .generalProtection }
            efer |= EFER.lma
        } else if turnsOn, cr4 & CR4.pae != 0 {
            try loadDirectoryPointers(cr3)
        }
        if turnsOff {
            guard !is64BitCode, cr4 & CR4.pcide == 0 else { throw .generalProtection }
            efer &= ~EFER.lma
        }
        cr0 = new
        if (old ^ new) & (CR0.pg | CR0.wp | CR0.pe) != 0 {
            flush(.all)
            updateCodeSegment()
        }
    }

    /// LMSW: the low four bits; PE cannot be cleared.
    func loadMachineStatus(_ value: UInt64) throws(X86Fault) {
        let mask = CR0.mp | CR0.em | CR0.ts
        try writeCR0(cr0 & ~mask | value & (mask | CR0.pe))
        updateMode()
    }

    /// CLTS.
    func clearTaskSwitched() {
        cr0 &= ~CR0.ts
        updateMode()
    }

    // MARK: CR3

    private func writeCR3(_ value: UInt64) throws(X86Fault) {
        var new = value, keeps = false
        if isLongMode {
            keeps = cr4 & CR4.pcide != 0 && new >> 63 != 0
            if cr4 & CR4.pcide != 0 { new &= ~(1 << 63) }
            guard new >> UInt64(physicalBits) == 0 else { throw .generalProtection }
        } else if isPaging, cr4 & CR4.pae != 0 {
            try loadDirectoryPointers(new)
        }
        let old = cr3
        cr3 = new
        // Translations are not tagged with the PCID: a switch of address spaces drops them whatever bit 63 says.
        if !keeps || old != new { flush(.nonGlobal) }
    }

    /// Loads the four page-directory-pointer entries of PAE paging.
    func loadDirectoryPointers(_ root: UInt64) throws(X86Fault) {
        let table = root & 0xFFFF_FFE0
        var entries: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        let reserved: UInt64 = ~((1 << UInt64(physicalBits)) - 1) | 0x1E6
        func entry(_ number: UInt64) throws(X86Fault) -> UInt64 {
            let value = readPhysical((table + number * 8) & a20Mask, 8)
            guard value & 1 == 0 || value & reserved == 0 else { throw .generalProtection }
            return value
        }
        entries = (try entry(0), try entry(1), try entry(2), try entry(3))
        self[SystemLayout.pdpte(0)] = entries.0
        self[SystemLayout.pdpte(1)] = entries.1
        self[SystemLayout.pdpte(2)] = entries.2
        self[SystemLayout.pdpte(3)] = entries.3
    }

    // MARK: CR4

    /// Bits of CR4 that the model has.
    var writableCR4: UInt64 {
        var bits: UInt64 = 0
        for (feature, more) in Self.cr4Features where has(feature) { bits |= more }
        return bits
    }

    private static let cr4Features: [(CPUFeature, UInt64)] = [
        (.vme, CR4.vme | CR4.pvi), (.tsc, CR4.tsd), (.de, CR4.de), (.pse, CR4.pse), (.pae, CR4.pae), (.mce, CR4.mce),
        (.pge, CR4.pge), (.rdpmc, CR4.pce), (.fxsr, CR4.osfxsr), (.sse, CR4.osxmmexcpt), (.umip, CR4.umip),
        (.la57, CR4.la57), (.fsgsbase, CR4.fsgsbase), (.pcid, CR4.pcide), (.xsave, CR4.osxsave), (.smep, CR4.smep),
        (.smap, CR4.smap),
    ]

    private func writeCR4(_ value: UInt64) throws(X86Fault) {
        guard value & ~writableCR4 == 0 else { throw .generalProtection }
        let old = cr4, changed = old ^ value
        if isLongMode { guard value & CR4.pae != 0, changed & CR4.la57 == 0 else { throw .generalProtection } }
        if changed & value & CR4.pcide != 0 {
            guard isLongMode, cr3 & 0xFFF == 0 else { throw .generalProtection }
        }
        let paging = CR4.pae | CR4.pse | CR4.pge | CR4.smep
        if isPaging, !isLongMode, value & CR4.pae != 0, changed & paging != 0 {
            try loadDirectoryPointers(cr3)
        }
        cr4 = value
        if changed & (paging | CR4.smap | CR4.la57 | CR4.pcide) != 0 { flush(.all) }
    }

    // MARK: INVLPG, INVPCID

    /// INVLPG of a linear address; one that is not canonical does nothing.
    func invalidatePage(_ address: UInt64) {
        if isLongMode && !isCanonical(address) { return }
        flush(.page, isLongMode ? address : address & 0xFFFF_FFFF)
    }

    /// INVPCID: the descriptor's two words have been read.
    func invalidateContext(type: UInt64, pcid: UInt64, address: UInt64) throws(X86Fault) {
        guard type <= 3 else { throw .generalProtection }
        if type < 2 {
            guard pcid >> 12 == 0, cr4 & CR4.pcide != 0 || pcid == 0 else { throw .generalProtection }
        }
        switch type {
        case 0:
            guard isCanonical(address) else { throw .generalProtection }
            flush(.page, address)
        case 2: flush(.all)
        default: flush(.nonGlobal)
        }
    }

    // MARK: XCR0

    /// What XCR0 may hold.
    var writableXCR0: UInt64 { XCR0.x87 | XCR0.sse | (has(.avx) ? XCR0.avx : 0) }

    /// XSETBV of register `number`.
    func writeExtendedControl(_ number: UInt32, _ value: UInt64) throws(X86Fault) {
        guard number == 0, value & XCR0.x87 != 0, value & ~writableXCR0 == 0,
              value & XCR0.avx == 0 || value & XCR0.sse != 0 else { throw .generalProtection }
        xcr0 = value
        updateMode()
    }

    /// XGETBV of register `number`.
    func readExtendedControl(_ number: UInt32) throws(X86Fault) -> UInt64 {
        switch number {
        case 0: return xcr0
        // Which components are not in their initial state: all that are enabled may be.
        case 1 where has(.xgetbv1): return xcr0
        default: throw .generalProtection
        }
    }

    // MARK: debug registers

    /// MOV from DR0…7.
    func readDebug(_ number: Int) throws(X86Fault) -> UInt64 {
        let number = try checkDebug(number)
        switch number {
        case 0...3: return self[SystemLayout.dr(number)]
        case 6: return self[SystemLayout.dr6]
        default: return self[SystemLayout.dr7]
        }
    }

    /// MOV to DR0…7.
    func writeDebug(_ number: Int, _ value: UInt64) throws(X86Fault) {
        let number = try checkDebug(number)
        let value = is64BitCode ? value : value & 0xFFFF_FFFF
        switch number {
        case 0...3: self[SystemLayout.dr(number)] = value
        case 6:
            guard value >> 32 == 0 else { throw .generalProtection }
            self[SystemLayout.dr6] = value & DebugBits.dr6Writable | DebugBits.dr6Fixed
        default:
            guard value >> 32 == 0 else { throw .generalProtection }
            self[SystemLayout.dr7] = value & DebugBits.dr7Writable | DebugBits.dr7Fixed
        }
        // Pages with breakpoints stay out of the data TLB.
        flush(.all)
        updateMode()
    }

    /// Resolves DR4 and DR5, and raises #DB where general detection is on.
    private func checkDebug(_ number: Int) throws(X86Fault) -> Int {
        var number = number & 7
        if number == 4 || number == 5 {
            guard cr4 & CR4.de == 0 else { throw .invalidOpcode }
            number += 2
        }
        if self[SystemLayout.dr7] & DebugBits.generalDetect != 0 {
            noteDebug(DebugBits.bd)
            throw X86Fault(vector: ExceptionVector.debug)
        }
        return number
    }
}
