// What a model of processor announces or has: the words of `--cpu`. Rows of the instruction set name an `X86Feature`;
// `CPUModel` tells which of those a set of these comes to. The 386 instruction set is the base and has no name.

/// A feature of the processor. The order is of no meaning outside one build: saved states use names.
public enum CPUFeature: UInt8, CaseIterable, Sendable {
    // MARK: generations without CPUID bits
    /// BSWAP, CMPXCHG, XADD, INVD, WBINVD, INVLPG; CR0.WP, CR0.AM, EFLAGS.AC.
    case i486
    /// CPUID and EFLAGS.ID.
    case cpuid
    /// RDPMC.
    case rdpmc
    /// Multi-byte NOP (0F 1F) and the reserved NOPs.
    case nopl

    // MARK: leaf 1 EDX
    case fpu, vme, de, pse, tsc, msr, pae, mce, cx8, apic, sep, mtrr, pge, mca, cmov, pat, pse36, clflush, mmx, fxsr
    case sse, sse2, ht

    // MARK: leaf 1 ECX
    case sse3, pclmulqdq, monitor, ssse3, fma, cx16, pcid, sse4_1, sse4_2, x2apic, movbe, popcnt
    case tsc_deadline, aes, xsave, avx, f16c, rdrand, hypervisor

    // MARK: leaf 6
    case arat

    // MARK: leaf 7
    case fsgsbase, tsc_adjust, bmi1, avx2, smep, bmi2, erms, invpcid, rdseed, adx, smap, clflushopt, clwb, sha
    case umip, la57, rdpid, fsrm

    // MARK: leaf D
    case xsaveopt, xsavec, xgetbv1

    // MARK: leaves 80000001, 80000007, 80000008
    case syscall, nx, mmxext, fxsr_opt, pdpe1gb, rdtscp, lm, threednowext, threednow
    case lahf_lm, cmp_legacy, cr8legacy, abm, threednowprefetch
    case invtsc, clzero, wbnoinvd

    // MARK: leaf 80000021
    /// Kernels that see it leave indirect branches alone instead of going through retpolines.
    case autoibrs

    /// The name used on the command line and by Linux, as in `sse4_1` or `3dnow`.
    public var name: String { Self.names[Int(rawValue)] }

    /// The feature of that name, in any case; `sse4.1` and `sse4-1` are `sse4_1`, `lzcnt` is `abm`.
    public init?(name: some StringProtocol) {
        let plain = String(name.lowercased().map { $0 == "." || $0 == "-" ? "_" : $0 })
        let asked = Self.aliases[plain] ?? plain
        guard let index = Self.names.firstIndex(of: asked) else { return nil }
        self.init(rawValue: UInt8(index))
    }

    private static let names: [String] = allCases.map { feature in
        let name = "\(feature)"
        return name.hasPrefix("three") ? "3" + name.dropFirst("three".count) : name
    }

    private static let aliases = [
        "lzcnt": "abm", "pclmul": "pclmulqdq", "pni": "sse3", "3dnowa": "3dnowext", "cmpxchg16b": "cx16",
        "cmpxchg8b": "cx8", "rdtsc": "tsc", "lahf": "lahf_lm", "lahf_sahf": "lahf_lm", "sha_ni": "sha",
        "5level": "la57", "constant_tsc": "invtsc", "xd": "nx",
    ]
}

/// A set of features: 128 bits.
public struct CPUFeatures: Equatable, Sendable, ExpressibleByArrayLiteral {
    /// Bit n of `low` is the feature with raw value n, of `high` the one with raw value n + 64.
    public var low: UInt64 = 0
    /// See `low`.
    public var high: UInt64 = 0

    public init() {}
    public init(low: UInt64, high: UInt64) { (self.low, self.high) = (low, high) }
    public init(arrayLiteral elements: CPUFeature...) { for element in elements { insert(element) } }
    public init(_ elements: some Sequence<CPUFeature>) { for element in elements { insert(element) } }

    /// Whether the feature is there.
    @inlinable public func contains(_ feature: CPUFeature) -> Bool {
        let bit = feature.rawValue
        return (bit < 64 ? low >> UInt64(bit) : high >> UInt64(bit & 63)) & 1 != 0
    }

    /// Adds one feature.
    public mutating func insert(_ feature: CPUFeature) {
        if feature.rawValue < 64 { low |= 1 << UInt64(feature.rawValue) } else {
            high |= 1 << UInt64(feature.rawValue & 63)
        }
    }

    /// Takes one feature away.
    public mutating func remove(_ feature: CPUFeature) {
        if feature.rawValue < 64 { low &= ~(1 << UInt64(feature.rawValue)) } else {
            high &= ~(1 << UInt64(feature.rawValue & 63))
        }
    }

    /// Features of either set.
    public func union(_ other: CPUFeatures) -> CPUFeatures {
        CPUFeatures(low: low | other.low, high: high | other.high)
    }
    /// Features of this set that are not in the other.
    public func subtracting(_ other: CPUFeatures) -> CPUFeatures {
        CPUFeatures(low: low & ~other.low, high: high & ~other.high)
    }
    /// Whether all features of the other set are in this one.
    public func isSuperset(of other: CPUFeatures) -> Bool { other.subtracting(self) == CPUFeatures() }

    /// Whether the sets have nothing in common.
    public func isDisjoint(_ other: CPUFeatures) -> Bool { low & other.low == 0 && high & other.high == 0 }

    /// The features, in the order of the enumeration.
    public var elements: [CPUFeature] { CPUFeature.allCases.filter(contains) }
}
