// What IEEE 754 calls attributes and status flags: the state an operation reads and the flags it raises.
//
// Raw values of Rounding and FloatFlags are those of the RISC-V fcsr, so that front needs no translation.
// Spec: IEEE 754-2019 §4 (attributes), §7 (exceptions); RISC-V unprivileged ISA, "F" §"Floating-point control
// and status register". Absent: traps, x87 precision control, Arm FPCR.FZ (see SoftFloat.swift).

/// How a result that does not fit the format is rounded. Raw values are the RISC-V `frm` encodings.
public enum Rounding: UInt8, Sendable, CaseIterable {
    /// To nearest, ties to even (RNE).
    case nearestEven = 0
    /// Toward zero (RTZ).
    case towardZero = 1
    /// Toward negative infinity (RDN).
    case down = 2
    /// Toward positive infinity (RUP).
    case up = 3
    /// To nearest, ties away from zero (RMM).
    case nearestMaxMagnitude = 4
}

/// Sticky exception flags. The low five raw bits are those of the RISC-V `fflags`.
public struct FloatFlags: OptionSet, Sendable, Hashable {
    /// The flags as bits.
    public var rawValue: UInt8
    /// Flags from bits; unknown bits are kept.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// The result is not exact (NX).
    public static let inexact = FloatFlags(rawValue: 1 << 0)
    /// The result is tiny and not exact (UF).
    public static let underflow = FloatFlags(rawValue: 1 << 1)
    /// The result rounded is larger than every finite number (OF).
    public static let overflow = FloatFlags(rawValue: 1 << 2)
    /// An exact infinity came of finite operands (DZ).
    public static let divideByZero = FloatFlags(rawValue: 1 << 3)
    /// No useful result exists, or an operand is a signalling NaN (NV).
    public static let invalid = FloatFlags(rawValue: 1 << 4)
    /// An operand is subnormal (x86 DE); raised only with `FloatEnvironment.reportsDenormalOperands`.
    public static let denormalOperand = FloatFlags(rawValue: 1 << 5)
}

/// Which NaN an operation returns.
public enum NaNRule: UInt8, Sendable {
    /// Always the positive default NaN: RISC-V, and Arm with FPCR.DN set.
    case canonical
    /// The first NaN operand, made quiet; the default NaN is negative: x86 SSE and AVX.
    case firstOperand
    /// The first signalling NaN, else the first quiet one, made quiet; the addend of a fused operation counts
    /// as first: Arm with FPCR.DN clear.
    case armPropagate

    /// Arm with FPCR.DN set; the same results as RISC-V.
    public static var armDefault: NaNRule { .canonical }
}

/// What a conversion to an integer returns for NaN and for values out of range (invalid is raised in each
/// case).
public enum IntegerRule: UInt8, Sendable {
    /// The nearest integer of the type; NaN gives the largest (RISC-V).
    case saturateNaNToMax
    /// The nearest integer of the type; NaN gives zero (Arm, WebAssembly's saturating forms).
    case saturateNaNToZero
    /// The integer indefinite: the top bit alone for signed types, all ones for unsigned ones (x86).
    case indefinite
}

/// When a result counts as tiny for the underflow exception.
public enum Tininess: UInt8, Sendable {
    /// If its magnitude, rounded as though the exponent were unbounded, is below the smallest normal (RISC-V,
    /// x86).
    case afterRounding
    /// If its magnitude before rounding is below the smallest normal (Arm).
    case beforeRounding
}

/// The attributes an operation obeys and the flags it accumulates.
public struct FloatEnvironment: Equatable, Sendable {
    /// The rounding direction.
    public var rounding: Rounding
    /// Flags raised so far; operations only ever add to them.
    public var flags: FloatFlags
    /// Which NaN is returned.
    public var nanRule: NaNRule
    /// What conversions to integers return when out of range.
    public var integerRule: IntegerRule
    /// When a result is tiny.
    public var tininess: Tininess
    /// Whether subnormal operands raise `denormalOperand` (x86).
    public var reportsDenormalOperands: Bool
    /// Whether subnormal operands are taken as zeros of their sign, without a flag (x86 MXCSR.DAZ).
    public var denormalsAreZero: Bool
    /// Whether tiny results become zeros of their sign, raising underflow and inexact (x86 MXCSR.FTZ).
    public var flushesToZero: Bool
    /// Whether overflow, and underflow, are going to trap: then inexact is raised by the rounding to an unbounded exponent,
    /// and underflow by exact tiny results too (§7.4, §7.5 and their 754-1985 forms; x86 with the exception unmasked).
    public var trapsOverflow = false
    /// See `trapsOverflow`.
    public var trapsUnderflow = false

    /// An environment with the given rules, no flags raised and gradual underflow.
    public init(
        rounding: Rounding = .nearestEven, nanRule: NaNRule, integerRule: IntegerRule, tininess: Tininess,
        reportsDenormalOperands: Bool = false
    ) {
        self.rounding = rounding
        self.flags = []
        self.nanRule = nanRule
        self.integerRule = integerRule
        self.tininess = tininess
        self.reportsDenormalOperands = reportsDenormalOperands
        self.denormalsAreZero = false
        self.flushesToZero = false
    }

    /// The rules of the RISC-V F, D and Zfa extensions.
    public static var riscv: FloatEnvironment {
        FloatEnvironment(nanRule: .canonical, integerRule: .saturateNaNToMax, tininess: .afterRounding)
    }

    /// The rules of x86 SSE, AVX and FMA with all exceptions masked.
    public static var x86SSE: FloatEnvironment {
        FloatEnvironment(nanRule: .firstOperand, integerRule: .indefinite, tininess: .afterRounding,
                         reportsDenormalOperands: true)
    }

    /// The rules of Arm A64 with FPCR clear.
    public static var arm: FloatEnvironment {
        FloatEnvironment(nanRule: .armPropagate, integerRule: .saturateNaNToZero, tininess: .beforeRounding)
    }

    /// Adds `flag` to the flags.
    @inline(__always)
    mutating func raise(_ flag: FloatFlags) { flags.rawValue |= flag.rawValue }
}
