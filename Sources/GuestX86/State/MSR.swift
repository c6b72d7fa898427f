// Model-specific registers, RDTSC and RDPMC. A register the model has not is #GP(0), as guests that probe expect.
//
// Spec: Intel SDM vol. 4; vol. 3 11.11 (MTRR), 11.12 (PAT), 15.3 (machine check); AMD APM vol. 2 appendix A;
// Linux Documentation/virt/kvm/x86/msr.rst. Absent: branch records,
// DEBUGCTL. Performance counters are there and stand at zero.

import Translator

/// Numbers of model-specific registers.
enum MSR {
    static let tsc: UInt32 = 0x10, platformID: UInt32 = 0x17, apicBase: UInt32 = 0x1B, powerOn: UInt32 = 0x2A
    static let featureControl: UInt32 = 0x3A, tscAdjust: UInt32 = 0x3B, microcode: UInt32 = 0x8B, mtrrCap: UInt32 = 0xFE
    static let sysenterCS: UInt32 = 0x174, sysenterESP: UInt32 = 0x175, sysenterEIP: UInt32 = 0x176
    static let mcgCap: UInt32 = 0x179, mcgStatus: UInt32 = 0x17A, mcgControl: UInt32 = 0x17B, miscEnable: UInt32 = 0x1A0
    static let mtrrVariable: ClosedRange<UInt32> = 0x200...0x20F
    static let mtrrFixed64K: UInt32 = 0x250, mtrrFixed16K: UInt32 = 0x258, mtrrFixed4K: UInt32 = 0x268
    static let pat: UInt32 = 0x277, mtrrDefaultType: UInt32 = 0x2FF, machineCheck: UInt32 = 0x400
    static let tscDeadline: UInt32 = 0x6E0
    static let x2apic: ClosedRange<UInt32> = 0x800...0x8FF
    static let kvmWallClock: UInt32 = 0x4B56_4D00, kvmSystemTime: UInt32 = 0x4B56_4D01
    static let efer: UInt32 = 0xC000_0080, star: UInt32 = 0xC000_0081, lstar: UInt32 = 0xC000_0082
    static let cstar: UInt32 = 0xC000_0083, sfmask: UInt32 = 0xC000_0084
    static let fsBase: UInt32 = 0xC000_0100, gsBase: UInt32 = 0xC000_0101, kernelGSBase: UInt32 = 0xC000_0102
    static let tscAux: UInt32 = 0xC000_0103
    static let syscfg: UInt32 = 0xC001_0010, hwcr: UInt32 = 0xC001_0015, interruptPending: UInt32 = 0xC001_0055
    /// PERF_CTL0 to 3, PERF_CTR0 to 3.
    static let performance: ClosedRange<UInt32> = 0xC001_0000...0xC001_0007
    static let vmControl: UInt32 = 0xC001_0114, decodeConfiguration: UInt32 = 0xC001_1029
}

/// Bits of IA32_APIC_BASE.
public enum APICBase {
    public static let bootstrap: UInt64 = 1 << 8, extended: UInt64 = 1 << 10, enable: UInt64 = 1 << 11
    /// Where the registers are after reset.
    public static let address: UInt64 = 0xFEE0_0000
}

extension X86State {
    var isAMD: Bool { model.vendor == "AuthenticAMD" }

    /// Where a register that is only stored lies, and what it may hold; nil for the others.
    private func plain(_ number: UInt32) -> (offset: Int, mask: UInt64)? {
        switch number {
        case MSR.sysenterCS where has(.sep): return (SystemLayout.sysenterCS, 0xFFFF_FFFF)
        case MSR.mcgStatus where has(.mca): return (SystemLayout.mcgStatus, 7)
        case MSR.mcgControl where has(.mca): return (SystemLayout.mcgControl, .max)
        case MSR.miscEnable where !isAMD && has(.mtrr): return (SystemLayout.miscEnable, .max)
        case MSR.star where has(.syscall): return (SystemLayout.star, .max)
        case MSR.sfmask where has(.syscall) && has(.lm): return (SystemLayout.sfmask, 0xFFFF_FFFF)
        case MSR.tscAux where has(.rdtscp): return (SystemLayout.tscAux, 0xFFFF_FFFF)
        case MSR.syscfg where has(.lm): return (SystemLayout.syscfg, 0x7F_0000)
        case MSR.hwcr where has(.lm): return (SystemLayout.hwcr, 0xFFFF_FFFF)
        default: break
        }
        if has(.mtrr) {
            switch number {
            case MSR.mtrrVariable: return (SystemLayout.mtrrVariable(Int(number - 0x200)), .max)
            case MSR.mtrrFixed64K: return (SystemLayout.mtrrFixed(0), .max)
            case MSR.mtrrFixed16K, MSR.mtrrFixed16K + 1:
                return (SystemLayout.mtrrFixed(1 + Int(number - MSR.mtrrFixed16K)), .max)
            case MSR.mtrrFixed4K...(MSR.mtrrFixed4K + 7):
                return (SystemLayout.mtrrFixed(3 + Int(number - MSR.mtrrFixed4K)), .max)
            case MSR.mtrrDefaultType: return (SystemLayout.mtrrDefaultType, 0xCFF)
            default: break
            }
        }
        if has(.mca), number >= MSR.machineCheck,
            number < MSR.machineCheck + UInt32(4 * SystemLayout.machineCheckBanks) {
            return (SystemLayout.machineCheck(Int(number - MSR.machineCheck)), .max)
        }
        return nil
    }

    /// Registers that hold a canonical address.
    private func address(_ number: UInt32) -> Int? {
        switch number {
        case MSR.sysenterESP where has(.sep): SystemLayout.sysenterESP
        case MSR.sysenterEIP where has(.sep): SystemLayout.sysenterEIP
        case MSR.lstar where has(.lm): SystemLayout.lstar
        case MSR.cstar where has(.lm): SystemLayout.cstar
        case MSR.fsBase where has(.lm): X86Layout.segmentBase(Segment.fs.rawValue)
        case MSR.gsBase where has(.lm): X86Layout.segmentBase(Segment.gs.rawValue)
        case MSR.kernelGSBase where has(.lm): SystemLayout.kernelGSBase
        default: nil
        }
    }

    /// RDMSR.
    func readMSR(_ number: UInt32) throws(X86Fault) -> UInt64 {
        if let (offset, _) = plain(number) { return self[offset] }
        if let offset = address(number) { return self[offset] }
        switch number {
        case MSR.tsc where has(.tsc): return timeStampCounter
        case MSR.tscAdjust where has(.tsc_adjust): return self[SystemLayout.tscAdjust]
        case MSR.apicBase where has(.apic): return self[SystemLayout.apicBase]
        case MSR.efer where has(.syscall) || has(.nx): return efer
        case MSR.pat where has(.pat): return self[SystemLayout.pat]
        case MSR.mtrrCap where has(.mtrr): return 0x508
        case MSR.mcgCap where has(.mca): return 1 << 8 | UInt64(SystemLayout.machineCheckBanks)
        case MSR.microcode where has(.pae): return self[SystemLayout.microcode]
        case MSR.platformID where !isAMD && has(.pae), MSR.powerOn where !isAMD && has(.pae): return 0
        case MSR.interruptPending where has(.lm), MSR.performance where has(.lm) && isAMD: return 0
        // SVM is locked off.
        case MSR.vmControl where has(.lm): return 1 << 3 | 1 << 4
        // LFENCE serialises.
        case MSR.decodeConfiguration where has(.lm): return 1 << 1
        case MSR.kvmSystemTime where has(.hypervisor): return self[SystemLayout.kvmSystemTime]
        case MSR.kvmWallClock where has(.hypervisor): return self[SystemLayout.kvmWallClock]
        case MSR.x2apic where has(.x2apic), MSR.tscDeadline where has(.tsc_deadline):
            var value: UInt64 = 0
            guard let readMSRHook, readMSRHook(base, UInt64(number), &value) else { throw .generalProtection }
            return value
        default: throw .generalProtection
        }
    }

    /// WRMSR. The caller leaves the unit behind it: mode and mappings may have changed.
    func writeMSR(_ number: UInt32, _ value: UInt64) throws(X86Fault) {
        if let (offset, mask) = plain(number) {
            guard isAllowed(number, value), value & ~mask == 0 || number == MSR.hwcr || number == MSR.syscfg else {
                throw .generalProtection
            }
            self[offset] = value & mask
            return
        }
        if let offset = address(number) {
            guard !has(.lm) || isCanonical(value) else { throw .generalProtection }
            self[offset] = value
            return
        }
        switch number {
        case MSR.tsc where has(.tsc):
            let offset = value &- rawTimeStampCounter
            self[SystemLayout.tscAdjust] &+= offset &- self[SystemLayout.tscOffset]
            self[SystemLayout.tscOffset] = offset
            updateSystemTime()
        case MSR.tscAdjust where has(.tsc_adjust):
            self[SystemLayout.tscOffset] &+= value &- self[SystemLayout.tscAdjust]
            self[SystemLayout.tscAdjust] = value
            updateSystemTime()
        case MSR.apicBase where has(.apic): try writeAPICBase(value)
        case MSR.efer where has(.syscall) || has(.nx): try writeEFER(value)
        case MSR.pat where has(.pat):
            guard Self.areTypes(value, 0b1111_0011) else { throw .generalProtection }
            self[SystemLayout.pat] = value
        // An update of nothing; the revision is read back behind a write of zero.
        case MSR.microcode where has(.pae) && !isAMD: break
        case MSR.powerOn where !isAMD && has(.pae): break
        case MSR.interruptPending where has(.lm), MSR.decodeConfiguration where has(.lm),
             MSR.performance where has(.lm) && isAMD: break
        case MSR.kvmSystemTime where has(.hypervisor):
            self[SystemLayout.kvmSystemTime] = value
            updateSystemTime()
        case MSR.kvmWallClock where has(.hypervisor):
            self[SystemLayout.kvmWallClock] = value
            writeWallClock()
        case MSR.x2apic where has(.x2apic), MSR.tscDeadline where has(.tsc_deadline):
            guard let writeMSRHook, writeMSRHook(base, UInt64(number), value) else { throw .generalProtection }
        default: throw .generalProtection
        }
        updateMode()
    }

    /// Whether a plain register takes a value.
    private func isAllowed(_ number: UInt32, _ value: UInt64) -> Bool {
        switch number {
        case MSR.mtrrVariable:
            let beyond = value >> UInt64(physicalBits) != 0
            return number & 1 == 0 ? !beyond && value & 0xF00 == 0 && Self.isMemoryType(value & 0xFF)
                : !beyond && value & 0x7FF == 0
        case MSR.mtrrFixed64K, MSR.mtrrFixed16K...(MSR.mtrrFixed16K + 1), MSR.mtrrFixed4K...(MSR.mtrrFixed4K + 7):
            return Self.areTypes(value, 0b0111_0011)
        case MSR.mtrrDefaultType: return Self.isMemoryType(value & 0xFF)
        case MSR.machineCheck..<(MSR.machineCheck + UInt32(4 * SystemLayout.machineCheckBanks)):
            // CTL takes anything; STATUS, ADDR and MISC are only cleared (CTL's bits beyond mean nothing).
            return number & 3 == 0 || value == 0
        default: return true
        }
    }

    private static func isMemoryType(_ type: UInt64) -> Bool { type < 8 && 0b0111_0011 >> type & 1 != 0 }

    /// Whether each byte is one of the types whose bits are set in `allowed`.
    private static func areTypes(_ value: UInt64, _ allowed: UInt64) -> Bool {
        (0..<8).allSatisfy { byte in
            let type = value >> UInt64(byte * 8) & 0xFF
            return type < 8 && allowed >> type & 1 != 0
        }
    }

    // MARK: EFER and APIC base

    private static let autoIBRS: UInt64 = 1 << 21

    /// Bits of EFER that the model has; LMA may be written with any value and keeps its own.
    var writableEFER: UInt64 {
        (has(.syscall) ? EFER.sce : 0) | (has(.lm) ? EFER.lme : 0) | (has(.nx) ? EFER.nxe : 0)
            | (has(.fxsr_opt) ? EFER.ffxsr : 0) | (has(.autoibrs) ? Self.autoIBRS : 0)
    }

    private func writeEFER(_ value: UInt64) throws(X86Fault) {
        let old = efer
        guard value & ~(writableEFER | EFER.lma) == 0,
              (old ^ value) & EFER.lme == 0 || !isPaging else { throw .generalProtection }
        efer = value & ~EFER.lma | old & EFER.lma
        if (old ^ value) & EFER.nxe != 0 { flush(.all) }
    }

    private func writeAPICBase(_ value: UInt64) throws(X86Fault) {
        let old = self[SystemLayout.apicBase]
        let allowed = APICBase.enable | (has(.x2apic) ? APICBase.extended : 0) | APICBase.bootstrap
            | ((1 << UInt64(physicalBits)) - 1) & ~0xFFF
        guard value & ~allowed == 0, value & APICBase.extended == 0 || value & APICBase.enable != 0 else {
            throw .generalProtection
        }
        // From x2APIC mode the way back leads through the disabled state, into it through the enabled one.
        if old & APICBase.extended != 0, value & (APICBase.enable | APICBase.extended) == APICBase.enable {
            throw .generalProtection
        }
        if old & APICBase.enable == 0, value & APICBase.extended != 0 { throw .generalProtection }
        if let writeMSRHook, !writeMSRHook(base, UInt64(MSR.apicBase), value) { throw .generalProtection }
        self[SystemLayout.apicBase] = value
    }

    // MARK: counters

    /// RDTSC and RDTSCP: the counter, unless CR4.TSD forbids it.
    func readTimeStampCounter() throws(X86Fault) -> UInt64 {
        if isSystem, cr4 & CR4.tsd != 0, cpl != 0, isProtected { throw .generalProtection }
        return timeStampCounter
    }

    /// RDPMC: the counters exist and stand still.
    func readPerformanceCounter(_ number: UInt32) throws(X86Fault) -> UInt64 {
        guard isSystem, cpl == 0 || cr4 & CR4.pce != 0, number & 0x3FFF_FFFF < 4 else { throw .generalProtection }
        return 0
    }
}
