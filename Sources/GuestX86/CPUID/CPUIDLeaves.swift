// The answers of CPUID.
//
// Spec: AMD APM vol. 3 appendix E; Intel SDM vol. 2 CPUID; Linux Documentation/virt/kvm/x86/cpuid.rst for 40000000
// and up.

import Translator

/// EAX, EBX, ECX, EDX.
public struct CPUIDResult: Equatable, Sendable {
    public var eax: UInt32 = 0
    public var ebx: UInt32 = 0
    public var ecx: UInt32 = 0
    public var edx: UInt32 = 0
}

/// What CPUID tells beyond the model: which processor asks, and what its system registers say.
public struct CPUIDContext: Sendable {
    /// Initial APIC ID.
    public var processor: UInt32 = 0
    /// Processors of the machine; each is a core of one package.
    public var processorCount: UInt32 = 1
    public var isAPICEnabled = true
    /// CR4.OSXSAVE.
    public var isXSAVEEnabled = false
    public var xcr0: UInt64 = XCR0.x87
    /// Ticks per second of the time stamp counter.
    public var tscFrequency: UInt64 = 1_000_000_000

    public init() {}
}

extension CPUModel {
    /// What CPUID answers.
    public func cpuid(leaf: UInt32, subleaf: UInt32, _ context: CPUIDContext) -> CPUIDResult {
        switch leaf {
        case 0x4000_0000...0x4000_FFFF where features.contains(.hypervisor): return hypervisorLeaf(leaf, context)
        case 0x8000_0000...0x8000_FFFF: return extendedLeaf(leaf, context)
        // What lies beyond the last leaf answers as an AMD processor does: zeros.
        default: return leaf <= maximumLeaf ? basicLeaf(leaf, subleaf, context) : CPUIDResult()
        }
    }

    private func bits(_ table: [(CPUFeature, UInt32)]) -> UInt32 {
        var result: UInt32 = 0
        for (feature, bit) in table where features.contains(feature) { result |= 1 << bit }
        return result
    }

    var maximumLeaf: UInt32 {
        if features.contains(.xsave) { return 0xD }
        if features.contains(.x2apic) { return 0xB }
        if !features.isDisjoint(Self.leaf7) { return 7 }
        if features.contains(.arat) { return 6 }
        return features.contains(.monitor) ? 5 : vendor == "GenuineIntel" && family >= 6 ? 2 : 1
    }

    private static let leaf7 = CPUFeatures(leaf7EBX.map(\.0) + leaf7ECX.map(\.0) + leaf7EDX.map(\.0))

    private static let leaf1EDX: [(CPUFeature, UInt32)] = [
        (.fpu, 0), (.vme, 1), (.de, 2), (.pse, 3), (.tsc, 4), (.msr, 5), (.pae, 6), (.mce, 7), (.cx8, 8), (.apic, 9),
        (.sep, 11), (.mtrr, 12), (.pge, 13), (.mca, 14), (.cmov, 15), (.pat, 16), (.pse36, 17), (.clflush, 19),
        (.mmx, 23),
        (.fxsr, 24), (.sse, 25), (.sse2, 26),
    ]
    private static let leaf1ECX: [(CPUFeature, UInt32)] = [
        (.sse3, 0), (.pclmulqdq, 1), (.monitor, 3), (.ssse3, 9), (.fma, 12), (.cx16, 13), (.pcid, 17), (.sse4_1, 19),
        (.sse4_2, 20), (.x2apic, 21), (.movbe, 22), (.popcnt, 23), (.tsc_deadline, 24), (.aes, 25), (.xsave, 26),
        (.avx, 28), (.f16c, 29), (.rdrand, 30), (.hypervisor, 31),
    ]
    private static let leaf7EBX: [(CPUFeature, UInt32)] = [
        (.fsgsbase, 0), (.tsc_adjust, 1), (.bmi1, 3), (.avx2, 5), (.smep, 7), (.bmi2, 8), (.erms, 9), (.invpcid, 10),
        (.rdseed, 18), (.adx, 19), (.smap, 20), (.clflushopt, 23), (.clwb, 24), (.sha, 29),
    ]
    private static let leaf7ECX: [(CPUFeature, UInt32)] = [
        (.umip, 2), (.la57, 16), (.rdpid, 22),
    ]
    private static let leaf7EDX: [(CPUFeature, UInt32)] = [(.fsrm, 4)]
    private static let extendedEDX: [(CPUFeature, UInt32)] = [
        (.syscall, 11), (.nx, 20), (.mmxext, 22), (.fxsr_opt, 25), (.pdpe1gb, 26), (.rdtscp, 27), (.lm, 29),
        (.threednowext, 30), (.threednow, 31),
    ]
    private static let extendedECX: [(CPUFeature, UInt32)] = [
        (.lahf_lm, 0), (.cmp_legacy, 1), (.cr8legacy, 4), (.abm, 5), (.threednowprefetch, 8),
    ]

    /// Family, model and stepping as EAX of leaf 1 and EDX after reset have them.
    var signature: UInt32 {
        let extended = family > 15 ? family - 15 : 0
        return extended << 20 | (model >> 4) << 16 | min(family, 15) << 8 | (model & 15) << 4 | stepping
    }

    private func word(_ text: String, _ index: Int) -> UInt32 {
        let bytes = Array(text.utf8)
        var result: UInt32 = 0
        for place in 0..<4 where index * 4 + place < bytes.count {
            result |= UInt32(bytes[index * 4 + place]) << UInt32(place * 8)
        }
        return result
    }

    // MARK: 0…D

    private func basicLeaf(_ leaf: UInt32, _ subleaf: UInt32, _ context: CPUIDContext) -> CPUIDResult {
        switch leaf {
        case 0:
            return CPUIDResult(eax: maximumLeaf, ebx: word(vendor, 0), ecx: word(vendor, 2), edx: word(vendor, 1))
        case 1: return leaf1(context)
        case 2:
            // Cache descriptors of a Pentium Pro: TLBs, 8 KiB L1 each, 256 KiB L2.
            guard vendor == "GenuineIntel", family >= 6 else { return CPUIDResult() }
            return CPUIDResult(eax: 0x0302_0101, edx: 0x0604_0A42)
        case 5:
            guard features.contains(.monitor) else { return CPUIDResult() }
            return CPUIDResult(eax: 64, ebx: 64, ecx: 3)
        case 6: return CPUIDResult(eax: bits([(.arat, 2)]))
        case 7:
            guard subleaf == 0 else { return CPUIDResult() }
            return CPUIDResult(ebx: bits(Self.leaf7EBX), ecx: bits(Self.leaf7ECX), edx: bits(Self.leaf7EDX))
        case 0xB where features.contains(.x2apic): return topology(subleaf, context)
        case 0xD where features.contains(.xsave): return extendedState(subleaf, context)
        default: return CPUIDResult()
        }
    }

    private func leaf1(_ context: CPUIDContext) -> CPUIDResult {
        var edx = bits(Self.leaf1EDX)
        if !context.isAPICEnabled { edx &= ~(1 << 9) }
        let count = min(context.processorCount, 255)
        if features.contains(.ht), count > 1 { edx |= 1 << 28 }
        var ebx = context.processor << 24
        if features.contains(.clflush) { ebx |= 8 << 8 }
        if features.contains(.ht) { ebx |= count << 16 }
        let ecx = bits(Self.leaf1ECX) | (features.contains(.xsave) && context.isXSAVEEnabled ? 1 << 27 : 0)
        return CPUIDResult(eax: signature, ebx: ebx, ecx: ecx, edx: edx)
    }

    /// One thread to the core, all cores in one package.
    private func topology(_ subleaf: UInt32, _ context: CPUIDContext) -> CPUIDResult {
        switch subleaf {
        case 0: CPUIDResult(eax: 0, ebx: 1, ecx: 1 << 8, edx: context.processor)
        case 1: CPUIDResult(eax: coreBits(context), ebx: context.processorCount, ecx: 2 << 8 | 1,
                            edx: context.processor)
        default: CPUIDResult(ecx: subleaf & 0xFF, edx: context.processor)
        }
    }

    /// Bits of the APIC ID that number the cores.
    private func coreBits(_ context: CPUIDContext) -> UInt32 {
        UInt32(32 - (Swift.max(context.processorCount, 1) - 1).leadingZeroBitCount)
    }

    private func extendedState(_ subleaf: UInt32, _ context: CPUIDContext) -> CPUIDResult {
        let hasAVX = features.contains(.avx)
        let all = XCR0.x87 | XCR0.sse | (hasAVX ? XCR0.avx : 0)
        let size: (UInt64) -> UInt32 = { $0 & XCR0.avx != 0 ? Self.xsaveSizeAVX : Self.xsaveSizeLegacy }
        switch subleaf {
        case 0: return CPUIDResult(eax: UInt32(all), ebx: size(context.xcr0), ecx: size(all))
        case 1:
            let abilities = bits([(.xsaveopt, 0), (.xsavec, 1), (.xgetbv1, 2)])
            return CPUIDResult(eax: abilities, ebx: features.contains(.xsavec) ? size(context.xcr0) : 0)
        case 2 where hasAVX: return CPUIDResult(eax: 256, ebx: 576)
        default: return CPUIDResult()
        }
    }

    /// Legacy area and header; with the upper halves of YMM.
    private static let xsaveSizeLegacy: UInt32 = 576, xsaveSizeAVX: UInt32 = 832

    // MARK: 40000000…

    private func hypervisorLeaf(_ leaf: UInt32, _ context: CPUIDContext) -> CPUIDResult {
        switch leaf {
        case 0x4000_0000:
            let name = "KVMKVMKVM"
            return CPUIDResult(eax: 0x4000_0010, ebx: word(name, 0), ecx: word(name, 1), edx: word(name, 2))
        case 0x4000_0001:
            // No delay of I/O (1), clock source (3), which is stable (24).
            return CPUIDResult(eax: 1 << 1 | 1 << 3 | 1 << 24)
        case 0x4000_0010:
            // kHz of the time stamp counter and of the APIC bus, which runs at 1 GHz.
            return CPUIDResult(eax: UInt32(clamping: context.tscFrequency / 1000), ebx: 1_000_000)
        default: return CPUIDResult()
        }
    }

    // MARK: 80000000…

    var maximumExtendedLeaf: UInt32 {
        if features.contains(.autoibrs) { return 0x8000_0021 }
        if features.contains(.lm) { return 0x8000_001F }
        return vendor == "AuthenticAMD" ? 0x8000_0006 : 0
    }

    private func extendedLeaf(_ leaf: UInt32, _ context: CPUIDContext) -> CPUIDResult {
        guard leaf <= maximumExtendedLeaf else { return CPUIDResult() }
        let isAMD = vendor == "AuthenticAMD"
        switch leaf {
        case 0x8000_0000:
            guard isAMD else { return CPUIDResult(eax: maximumExtendedLeaf) }
            return CPUIDResult(eax: maximumExtendedLeaf, ebx: word(vendor, 0), ecx: word(vendor, 2),
                               edx: word(vendor, 1))
        case 0x8000_0001:
            // AMD repeats what leaf 1 says, but for SEP, SSE and what came after.
            let repeated = isAMD ? leaf1(context).edx & 0x0183_F3FF : 0
            return CPUIDResult(eax: isAMD ? signature : 0, ecx: bits(Self.extendedECX),
                               edx: bits(Self.extendedEDX) | repeated)
        case 0x8000_0002...0x8000_0004:
            let first = Int(leaf - 0x8000_0002) * 4
            return CPUIDResult(eax: word(brand, first), ebx: word(brand, first + 1), ecx: word(brand, first + 2),
                               edx: word(brand, first + 3))
        case 0x8000_0005:
            // TLBs; L1 data and instructions: 32 KiB, 8-way, 64-byte lines.
            return CPUIDResult(eax: 0xFF40_FF40, ebx: 0xFF40_FF40, ecx: 0x2008_0140, edx: 0x2008_0140)
        case 0x8000_0006:
            // TLBs; L2: 512 KiB, 8-way; L3: 8 MiB, 16-way.
            return CPUIDResult(eax: 0x6400_6400, ebx: 0x6400_6400, ecx: 0x0200_6140, edx: 0x0040_8140)
        case 0x8000_0007: return CPUIDResult(edx: bits([(.invtsc, 8)]))
        case 0x8000_0008:
            let count = Swift.max(context.processorCount, 1)
            let cores = features.contains(.cmp_legacy) ? min(count - 1, 255) | coreBits(context) << 12 : 0
            return CPUIDResult(eax: physicalBits | linearBits << 8, ebx: bits([(.clzero, 0), (.wbnoinvd, 9)]),
                               ecx: cores)
        case 0x8000_0021:
            // LFENCE serialises (2), a null selector clears the base (6), automatic IBRS (8).
            return CPUIDResult(eax: 1 << 2 | 1 << 6 | bits([(.autoibrs, 8)]))
        default: return CPUIDResult()
        }
    }
}

extension X86State {
    /// The model; the engine keeps it alive (`install`).
    public var model: CPUModel {
        let reference = self[SystemLayout.model]
        guard let raw = UnsafeRawPointer(bitPattern: UInt(reference)) else { return .max }
        return Unmanaged<CPUModel>.fromOpaque(raw).takeUnretainedValue()
    }

    /// Gives the vCPU its model and its place. The caller keeps the model alive as long as the state block.
    /// - Parameters:
    ///   - processor: initial APIC ID, 0…254; 0 is the bootstrap processor.
    ///   - count: processors of the machine.
    ///   - tscFrequency: ticks of the time stamp counter per second.
    public func install(_ model: CPUModel, processor: Int = 0, count: Int = 1, tscFrequency: UInt64 = 1_000_000_000) {
        self[SystemLayout.model] = UInt64(UInt(bitPattern: Unmanaged.passUnretained(model).toOpaque()))
        self[SystemLayout.features] = model.features.low
        self[SystemLayout.features + 8] = model.features.high
        self[word: SystemLayout.physicalBits] = model.physicalBits
        self[word: SystemLayout.processorID] = UInt32(clamping: processor)
        self[word: SystemLayout.isBootstrap] = processor == 0 ? 1 : 0
        self[word: SystemLayout.processorCount] = UInt32(clamping: count)
        self[SystemLayout.tscFrequency] = tscFrequency
    }

    /// Width of physical addresses, 32…52 bits.
    var physicalBits: UInt32 { min(max(self[word: SystemLayout.physicalBits], 32), 52) }

    /// CPUID: reads EAX and ECX, writes EAX EBX ECX EDX.
    func cpuid() {
        var context = CPUIDContext()
        context.processor = self[word: SystemLayout.processorID]
        context.processorCount = max(self[word: SystemLayout.processorCount], 1)
        context.isAPICEnabled = !isSystem || self[SystemLayout.apicBase] & APICBase.enable != 0
        context.isXSAVEEnabled = !isSystem || cr4 & CR4.osxsave != 0
        context.xcr0 = isSystem ? xcr0 : writableXCR0
        context.tscFrequency = self[SystemLayout.tscFrequency]
        let result = model.cpuid(leaf: UInt32(truncatingIfNeeded: register(Self.rax)),
                                 subleaf: UInt32(truncatingIfNeeded: register(Self.rcx)), context)
        setRegister(Self.rax, UInt64(result.eax))
        setRegister(Self.rbx, UInt64(result.ebx))
        setRegister(Self.rcx, UInt64(result.ecx))
        setRegister(Self.rdx, UInt64(result.edx))
    }
}
