// Comparison, minimum and maximum, classification.
//
// Spec: IEEE 754-2019 §5.6.1, §5.7.2, §5.11, §9.6; IEEE 754-2008 §5.3.1 (minNum); Intel SDM MINSD;
// RISC-V unprivileged ISA, FCLASS.

/// How two operands compare (§5.11): exactly one relation holds.
public enum FloatRelation: UInt8, Sendable {
    case less, equal, greater
    /// At least one operand is a NaN.
    case unordered
}

/// Which minimum and maximum: architectures differ on NaNs and on zeros of different sign.
public enum MinMaxRule: UInt8, Sendable {
    /// 754-2019 minimumNumber, maximumNumber: a number wins over any NaN, −0 < +0 (RISC-V FMIN, FMAX).
    case number
    /// 754-2019 minimum, maximum: a NaN wins over any number, −0 < +0 (Arm FMIN, RISC-V Zfa FMINM,
    /// WebAssembly).
    case propagating
    /// 754-2008 minNum, maxNum: a number wins over a quiet NaN, not over a signalling one; −0 < +0 (Arm
    /// FMINNM).
    case number2008
    /// The second operand if either is a NaN (which is invalid, and is not made quiet) or both are zeros
    /// (x86).
    case secondOperand
}

/// The class of a value (§5.7.2). Raw values are the result bits of RISC-V FCLASS.
public struct FloatClass: OptionSet, Sendable, Hashable {
    /// The class as a bit.
    public var rawValue: UInt16
    /// A set of classes from bits.
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    /// −∞.
    public static let negativeInfinity = FloatClass(rawValue: 1 << 0)
    /// A negative normal number.
    public static let negativeNormal = FloatClass(rawValue: 1 << 1)
    /// A negative subnormal number.
    public static let negativeSubnormal = FloatClass(rawValue: 1 << 2)
    /// −0.
    public static let negativeZero = FloatClass(rawValue: 1 << 3)
    /// +0.
    public static let positiveZero = FloatClass(rawValue: 1 << 4)
    /// A positive subnormal number.
    public static let positiveSubnormal = FloatClass(rawValue: 1 << 5)
    /// A positive normal number.
    public static let positiveNormal = FloatClass(rawValue: 1 << 6)
    /// +∞.
    public static let positiveInfinity = FloatClass(rawValue: 1 << 7)
    /// A signalling NaN of either sign.
    public static let signallingNaN = FloatClass(rawValue: 1 << 8)
    /// A quiet NaN of either sign.
    public static let quietNaN = FloatClass(rawValue: 1 << 9)
}

extension Arithmetic {
    /// `bits` without its sign; of a NaN, more than infinity.
    @inline(__always)
    static func magnitude(_ bits: UInt64) -> UInt64 { bits & (Format.signMask &- 1) }

    /// True for a NaN.
    @inline(__always)
    static func isNaN(_ bits: UInt64) -> Bool { magnitude(bits) > Format.infinity }

    /// True for a signalling NaN.
    @inline(__always)
    static func isSignallingNaN(_ bits: UInt64) -> Bool { isNaN(bits) && bits & Format.quietBit == 0 }

    /// True for a subnormal number.
    @inline(__always)
    static func isSubnormal(_ bits: UInt64) -> Bool {
        bits & Format.infinity == 0 && bits & Format.fractionMask != 0
    }

    /// `bits`, or a zero of its sign if it is subnormal and such operands are taken as zero.
    @inline(__always)
    static func operand(_ bits: UInt64, _ env: FloatEnvironment) -> UInt64 {
        env.denormalsAreZero && isSubnormal(bits) ? bits & Format.signMask : bits
    }

    /// A signed integer in the order of the numbers; both zeros give 0. Not for NaNs.
    @inline(__always)
    private static func order(_ bits: UInt64) -> Int64 {
        let value = Int64(truncatingIfNeeded: magnitude(bits))
        return bits & Format.signMask != 0 ? 0 &- value : value
    }

    /// How `a` compares with `b`. Invalid if either is a signalling NaN or, if `signalling`, any NaN.
    @inline(__always)
    static func relation(
        _ a: UInt64, _ b: UInt64, signalling: Bool, _ env: inout FloatEnvironment
    ) -> FloatRelation {
        if isNaN(a) || isNaN(b) {
            if signalling || isSignallingNaN(a) || isSignallingNaN(b) { env.raise(.invalid) }
            return .unordered
        }
        let a = operand(a, env), b = operand(b, env)
        noteSubnormal(isSubnormal(a) || isSubnormal(b), &env)
        let x = order(a), y = order(b)
        return x < y ? .less : x == y ? .equal : .greater
    }

    /// The smaller of `a` and `b`, or the larger if `wantsMax`.
    static func minMax(
        _ a: UInt64, _ b: UInt64, wantsMax: Bool, _ rule: MinMaxRule, _ env: inout FloatEnvironment
    ) -> UInt64 {
        if isNaN(a) || isNaN(b) { return minMaxOfNaN(a, b, rule, &env) }
        let a = operand(a, env), b = operand(b, env)
        noteSubnormal(isSubnormal(a) || isSubnormal(b), &env)
        let x = order(a), y = order(b)
        if x == y {
            if rule == .secondOperand { return b }
            // Equal numbers of different sign are zeros.
            return wantsMax ? a & b : a | b
        }
        return (x < y) != wantsMax ? a : b
    }

    /// The minimum or maximum when at least one operand is a NaN.
    private static func minMaxOfNaN(
        _ a: UInt64, _ b: UInt64, _ rule: MinMaxRule, _ env: inout FloatEnvironment
    ) -> UInt64 {
        let isAnySignalling = isSignallingNaN(a) || isSignallingNaN(b)
        let isOneNumber = !isNaN(a) || !isNaN(b)
        switch rule {
        case .secondOperand:
            env.raise(.invalid)
            return operand(b, env)
        case .number where isOneNumber, .number2008 where isOneNumber && !isAnySignalling:
            if isAnySignalling { env.raise(.invalid) }
            return operand(isNaN(a) ? b : a, env)
        case .number, .number2008, .propagating:
            return propagate(unpack(a, env), unpack(b, env), &env)
        }
    }

    /// The class of `bits`: exactly one of the ten.
    static func classify(_ bits: UInt64) -> FloatClass {
        let sign = bits & Format.signMask != 0
        let value = magnitude(bits)
        if value > Format.infinity { return value & Format.quietBit != 0 ? .quietNaN : .signallingNaN }
        if value == Format.infinity { return sign ? .negativeInfinity : .positiveInfinity }
        if value > Format.fractionMask { return sign ? .negativeNormal : .positiveNormal }
        if value != 0 { return sign ? .negativeSubnormal : .positiveSubnormal }
        return sign ? .negativeZero : .positiveZero
    }
}
