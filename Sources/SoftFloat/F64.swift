// The operations on binary64, as callers see them: raw bit patterns in and out.
//
// Concrete, not generic, because a generic function is not specialised across modules. F32.swift has the same
// shape.
// Spec: IEEE 754-2019, sections at the implementations in Arithmetic. Absent: see SoftFloat.swift.

/// Operations on binary64 bit patterns. Every one obeys `env` and adds the exceptions it meets to
/// `env.flags`.
public enum F64 {
    private typealias Core = Arithmetic<Binary64>

    // MARK: Arithmetic

    /// `a + b`.
    public static func add(_ a: UInt64, _ b: UInt64, _ env: inout FloatEnvironment) -> UInt64 {
        Core.add(a, b, negatesB: false, &env)
    }

    /// `a - b`.
    public static func subtract(_ a: UInt64, _ b: UInt64, _ env: inout FloatEnvironment) -> UInt64 {
        Core.add(a, b, negatesB: true, &env)
    }

    /// `a × b`.
    public static func multiply(_ a: UInt64, _ b: UInt64, _ env: inout FloatEnvironment) -> UInt64 {
        Core.multiply(a, b, &env)
    }

    /// `a ÷ b`.
    public static func divide(_ a: UInt64, _ b: UInt64, _ env: inout FloatEnvironment) -> UInt64 {
        Core.divide(a, b, &env)
    }

    /// The square root of `a`.
    public static func squareRoot(_ a: UInt64, _ env: inout FloatEnvironment) -> UInt64 {
        Core.squareRoot(a, &env)
    }

    // MARK: Fused multiply-add

    /// `a × b + c` with one rounding (RISC-V FMADD).
    public static func multiplyAdd(
        _ a: UInt64, _ b: UInt64, _ c: UInt64, _ env: inout FloatEnvironment
    ) -> UInt64 {
        Core.multiplyAdd(a, b, c, negatesProduct: false, negatesC: false, &env)
    }

    /// `a × b − c` with one rounding (RISC-V FMSUB).
    public static func multiplySubtract(
        _ a: UInt64, _ b: UInt64, _ c: UInt64, _ env: inout FloatEnvironment
    ) -> UInt64 {
        Core.multiplyAdd(a, b, c, negatesProduct: false, negatesC: true, &env)
    }

    /// `−(a × b) − c` with one rounding (RISC-V FNMADD).
    public static func negatedMultiplyAdd(
        _ a: UInt64, _ b: UInt64, _ c: UInt64, _ env: inout FloatEnvironment
    ) -> UInt64 {
        Core.multiplyAdd(a, b, c, negatesProduct: true, negatesC: true, &env)
    }

    /// `−(a × b) + c` with one rounding (RISC-V FNMSUB).
    public static func negatedMultiplySubtract(
        _ a: UInt64, _ b: UInt64, _ c: UInt64, _ env: inout FloatEnvironment
    ) -> UInt64 {
        Core.multiplyAdd(a, b, c, negatesProduct: true, negatesC: false, &env)
    }

    // MARK: Minimum and maximum

    /// The smaller of `a` and `b` by `rule`.
    public static func min(
        _ a: UInt64, _ b: UInt64, _ rule: MinMaxRule, _ env: inout FloatEnvironment
    ) -> UInt64 {
        Core.minMax(a, b, wantsMax: false, rule, &env)
    }

    /// The larger of `a` and `b` by `rule`.
    public static func max(
        _ a: UInt64, _ b: UInt64, _ rule: MinMaxRule, _ env: inout FloatEnvironment
    ) -> UInt64 {
        Core.minMax(a, b, wantsMax: true, rule, &env)
    }

    // MARK: Comparison

    /// How `a` compares with `b`; invalid for a signalling NaN or, if `signalling`, for any NaN.
    public static func compare(
        _ a: UInt64, _ b: UInt64, signalling: Bool, _ env: inout FloatEnvironment
    ) -> FloatRelation {
        Core.relation(a, b, signalling: signalling, &env)
    }

    /// `a == b`, quiet: invalid only for a signalling NaN (RISC-V FEQ).
    public static func equal(_ a: UInt64, _ b: UInt64, _ env: inout FloatEnvironment) -> Bool {
        Core.relation(a, b, signalling: false, &env) == .equal
    }

    /// `a == b`, signalling: invalid for any NaN.
    public static func equalSignalling(_ a: UInt64, _ b: UInt64, _ env: inout FloatEnvironment) -> Bool {
        Core.relation(a, b, signalling: true, &env) == .equal
    }

    /// `a < b`, signalling: invalid for any NaN (RISC-V FLT).
    public static func less(_ a: UInt64, _ b: UInt64, _ env: inout FloatEnvironment) -> Bool {
        Core.relation(a, b, signalling: true, &env) == .less
    }

    /// `a < b`, quiet: invalid only for a signalling NaN (RISC-V FLTQ).
    public static func lessQuiet(_ a: UInt64, _ b: UInt64, _ env: inout FloatEnvironment) -> Bool {
        Core.relation(a, b, signalling: false, &env) == .less
    }

    /// `a <= b`, signalling: invalid for any NaN (RISC-V FLE).
    public static func lessOrEqual(_ a: UInt64, _ b: UInt64, _ env: inout FloatEnvironment) -> Bool {
        let relation = Core.relation(a, b, signalling: true, &env)
        return relation == .less || relation == .equal
    }

    /// `a <= b`, quiet: invalid only for a signalling NaN (RISC-V FLEQ).
    public static func lessOrEqualQuiet(_ a: UInt64, _ b: UInt64, _ env: inout FloatEnvironment) -> Bool {
        let relation = Core.relation(a, b, signalling: false, &env)
        return relation == .less || relation == .equal
    }

    /// The class of `a` (RISC-V FCLASS); raises nothing.
    public static func classify(_ a: UInt64) -> FloatClass {
        Core.classify(a)
    }

    // MARK: Integers

    /// `a` rounded to an Int32; out of range it is invalid and `env.integerRule` decides.
    public static func toInt32(_ a: UInt64, _ env: inout FloatEnvironment) -> Int32 {
        Int32(truncatingIfNeeded: Core.toInteger(a, width: 32, isSigned: true, &env))
    }

    /// `a` rounded to a UInt32; out of range it is invalid and `env.integerRule` decides.
    public static func toUInt32(_ a: UInt64, _ env: inout FloatEnvironment) -> UInt32 {
        UInt32(truncatingIfNeeded: Core.toInteger(a, width: 32, isSigned: false, &env))
    }

    /// `a` rounded to an Int64; out of range it is invalid and `env.integerRule` decides.
    public static func toInt64(_ a: UInt64, _ env: inout FloatEnvironment) -> Int64 {
        Int64(truncatingIfNeeded: Core.toInteger(a, width: 64, isSigned: true, &env))
    }

    /// `a` rounded to a UInt64; out of range it is invalid and `env.integerRule` decides.
    public static func toUInt64(_ a: UInt64, _ env: inout FloatEnvironment) -> UInt64 {
        Core.toInteger(a, width: 64, isSigned: false, &env)
    }

    /// `value` in the format.
    public static func fromInt32(_ value: Int32, _ env: inout FloatEnvironment) -> UInt64 {
        Core.fromInteger(value < 0, UInt64(value.magnitude), &env)
    }

    /// `value` in the format.
    public static func fromUInt32(_ value: UInt32, _ env: inout FloatEnvironment) -> UInt64 {
        Core.fromInteger(false, UInt64(value), &env)
    }

    /// `value` in the format.
    public static func fromInt64(_ value: Int64, _ env: inout FloatEnvironment) -> UInt64 {
        Core.fromInteger(value < 0, value.magnitude, &env)
    }

    /// `value` in the format.
    public static func fromUInt64(_ value: UInt64, _ env: inout FloatEnvironment) -> UInt64 {
        Core.fromInteger(false, value, &env)
    }

    // MARK: Integral values and other formats

    /// `a` rounded to an integral value; raises inexact if that changed it and `isExact` (RISC-V FROUNDNX;
    /// FROUND if not).
    public static func roundToIntegral(_ a: UInt64, isExact: Bool, _ env: inout FloatEnvironment) -> UInt64 {
        Core.roundToIntegral(a, isExact: isExact, &env)
    }

    /// The F32 bit pattern `a` in this format, exactly; a NaN follows `env.nanRule`.
    public static func fromF32(_ a: UInt32, _ env: inout FloatEnvironment) -> UInt64 {
        Core.convert(UInt64(a), from: Binary32.self, &env)
    }
}
