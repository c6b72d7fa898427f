// Features that decide which rows of the instruction set a processor has.
//
// Spec: Intel SDM Volume 2, CPUID; AMD APM Volume 3, appendices D and E.

/// What a row needs. A processor without it raises #UD, or does what the opcode meant before.
public enum X86Feature: UInt8, CaseIterable, Sendable {
    /// Every processor from the 80386 on.
    case i386
    /// BSWAP CMPXCHG XADD INVD WBINVD INVLPG.
    case i486
    case cpuid, tsc, msr, cx8, rdpmc, cmov
    /// SYSENTER and SYSEXIT.
    case sep
    /// 0F 18…1F with ModRM do nothing (Pentium Pro and later).
    case nopl
    case longMode, syscall
    /// LAHF and SAHF in 64-bit code.
    case lahf64
    /// x87; FCMOVcc, FCOMI and FUCOMI need `cmov` too, which their rows name.
    case x87
    case mmx, threeDNow, threeDNowExtensions
    /// The MMX part of SSE, which AMD had earlier; every processor with `sse` has it too.
    case mmxExtensions
    case fxsr, sse, sse2, sse3, ssse3, sse41, sse42
    case aes, pclmulqdq, sha
    case avx, avx2, fma, f16c
    case bmi1, bmi2, adx, movbe, popcnt
    case lzcnt
    case rdrand, rdseed, fsgsbase
    case xsave, xsaveopt, xsavec, xsaves
    case cx16, rdtscp, rdpid, invpcid
    case clflush, clflushopt, clwb, wbnoinvd, clzero
    case monitor, monitorx
    /// CLAC and STAC.
    case smap
    /// PREFETCH and PREFETCHW (0F 0D); processors with `threeDNow` have it too.
    case prefetchw

    /// The name as the case is written; rows and messages use it.
    public var name: StaticString {
        switch self {
        case .i386: "i386"
        case .i486: "i486"
        case .cpuid: "cpuid"
        case .tsc: "tsc"
        case .msr: "msr"
        case .cx8: "cx8"
        case .rdpmc: "rdpmc"
        case .cmov: "cmov"
        case .sep: "sep"
        case .nopl: "nopl"
        case .longMode: "longMode"
        case .syscall: "syscall"
        case .lahf64: "lahf64"
        case .x87: "x87"
        case .mmx: "mmx"
        case .threeDNow: "threeDNow"
        case .threeDNowExtensions: "threeDNowExtensions"
        case .mmxExtensions: "mmxExtensions"
        case .fxsr: "fxsr"
        case .sse: "sse"
        case .sse2: "sse2"
        case .sse3: "sse3"
        case .ssse3: "ssse3"
        case .sse41: "sse41"
        case .sse42: "sse42"
        case .aes: "aes"
        case .pclmulqdq: "pclmulqdq"
        case .sha: "sha"
        case .avx: "avx"
        case .avx2: "avx2"
        case .fma: "fma"
        case .f16c: "f16c"
        case .bmi1: "bmi1"
        case .bmi2: "bmi2"
        case .adx: "adx"
        case .movbe: "movbe"
        case .popcnt: "popcnt"
        case .lzcnt: "lzcnt"
        case .rdrand: "rdrand"
        case .rdseed: "rdseed"
        case .fsgsbase: "fsgsbase"
        case .xsave: "xsave"
        case .xsaveopt: "xsaveopt"
        case .xsavec: "xsavec"
        case .xsaves: "xsaves"
        case .cx16: "cx16"
        case .rdtscp: "rdtscp"
        case .rdpid: "rdpid"
        case .invpcid: "invpcid"
        case .clflush: "clflush"
        case .clflushopt: "clflushopt"
        case .clwb: "clwb"
        case .wbnoinvd: "wbnoinvd"
        case .clzero: "clzero"
        case .monitor: "monitor"
        case .monitorx: "monitorx"
        case .smap: "smap"
        case .prefetchw: "prefetchw"
        }
    }

    /// The feature whose name the bytes are.
    init?(_ bytes: UnsafePointer<UInt8>, _ length: Int) {
        var raw: UInt8 = 0
        while let feature = X86Feature(rawValue: raw) {
            raw += 1
            let name = feature.name
            if name.utf8CodeUnitCount == length, equalBytes(name.utf8Start, bytes, length) {
                self = feature
                return
            }
        }
        return nil
    }
}

@inline(__always)
func equalBytes(_ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>, _ length: Int) -> Bool {
    for index in 0..<length where a[index] != b[index] { return false }
    return true
}

/// A set of features.
public struct X86FeatureSet: OptionSet, Sendable {
    /// Bit n is the feature of raw value n.
    public var rawValue: UInt64
    @inline(__always) public init(rawValue: UInt64) { self.rawValue = rawValue }

    public init(_ features: X86Feature...) {
        self.init(rawValue: features.reduce(0) { $0 | 1 << UInt64($1.rawValue) })
    }

    /// Every feature there is a row for.
    public static let all = X86FeatureSet(rawValue: 1 << UInt64(X86Feature.allCases.count) - 1)

    /// Whether one feature is in the set.
    @inline(__always)
    public func contains(_ feature: X86Feature) -> Bool { rawValue >> UInt64(feature.rawValue) & 1 != 0 }

    /// Adds a feature.
    public mutating func insert(_ feature: X86Feature) { rawValue |= 1 << UInt64(feature.rawValue) }
    /// Takes a feature away.
    public mutating func remove(_ feature: X86Feature) { rawValue &= ~(1 << UInt64(feature.rawValue)) }
}
