// The operations on binary32, as callers see them: raw bit patterns in and out.
//
// Concrete, not generic, because a generic function is not specialised across modules. F64.swift has the same
// shape.
// Spec: IEEE 754-2019, sections at the implementations in Arithmetic. Absent: see SoftFloat.swift.

/// Operations on binary32 bit patterns. Every one obeys `env` and adds the exceptions it meets to
/// `env.flags`.
public enum F32 {
    private typealias Core = Arithmetic<Binary32>

    // MARK: Arithmetic

    /// `a + b`.
    public static func add(_ a: UInt32, _ b: UInt32, _ env: inout FloatEnvironment) -> UInt32 {
        UInt32(truncatingIfNeeded: Core.add(UInt64(a), UInt64(b), negatesB: false, &env))
    }

    /// `a - b`.
    public static func subtract(_ a: UInt32, _ b: UInt32, _ env: inout FloatEnvironment) -> UInt32 {
        UInt32(truncatingIfNeeded: Core.add(UInt64(a), UInt64(b), negatesB: true, &env))
    }

    /// `a × b`.
    public static func multiply(_ a: UInt32, _ b: UInt32, _ env: inout FloatEnvironment) -> UInt32 {
        UInt32(truncatingIfNeeded: Core.multiply(UInt64(a), UInt64(b), &env))
    }

    /// `a ÷ b`.
    public static func divide(_ a: UInt32, _ b: UInt32, _ env: inout FloatEnvironment) -> UInt32 {
        UInt32(truncatingIfNeeded: Core.divide(UInt64(a), UInt64(b), &env))
    }

    /// The square root of `a`.
    public static func squareRoot(_ a: UInt32, _ env: inout FloatEnvironment) -> UInt32 {
        UInt32(truncatingIfNeeded: Core.squareRoot(UInt64(a), &env))
    }

    // MARK: Fused multiply-add

    /// `a × b + c` with one rounding (RISC-V FMADD).
    public static func multiplyAdd(
        _ a: UInt32, _ b: UInt32, _ c: UInt32, _ env: inout FloatEnvironment
    ) -> UInt32 {
        let bits = Core.multiplyAdd(
            UInt64(a), UInt64(b), UInt64(c), negatesProduct: false, negatesC: false, &env)
        return UInt32(truncatingIfNeeded: bits)
    }

    /// `a × b − c` with one rounding (RISC-V FMSUB).
    public static func multiplySubtract(
        _ a: UInt32, _ b: UInt32, _ c: UInt32, _ env: inout FloatEnvironment
    ) -> UInt32 {
        let bits = Core.multiplyAdd(
            UInt64(a), UInt64(b), UInt64(c), negatesProduct: false, negatesC: true, &env)
        return UInt32(truncatingIfNeeded: bits)
    }

    /// `−(a × b) − c` with one rounding (RISC-V FNMADD).
    public static func negatedMultiplyAdd(
        _ a: UInt32, _ b: UInt32, _ c: UInt32, _ env: inout FloatEnvironment
    ) -> UInt32 {
        let bits = Core.multiplyAdd(
            UInt64(a), UInt64(b), UInt64(c), negatesProduct: true, negatesC: true, &env)
        return UInt32(truncatingIfNeeded: bits)
    }

    /// `−(a × b) + c` with one rounding (RISC-V FNMSUB).
    public static func negatedMultiplySubtract(
        _ a: UInt32, _ b: UInt32, _ c: UInt32, _ env: inout FloatEnvironment
    ) -> UInt32 {
        let bits = Core.multiplyAdd(
            UInt64(a), UInt64(b), UInt64(c), negatesProduct: true, negatesC: false, &env)
        return UInt32(truncatingIfNeeded: bits)
    }

    // MARK: Minimum and maximum

    /// The smaller of `a` and `b` by `rule`.
    public static func min(
        _ a: UInt32, _ b: UInt32, _ rule: MinMaxRule, _ env: inout FloatEnvironment
    ) -> UInt32 {
        UInt32(truncatingIfNeeded: Core.minMax(UInt64(a), UInt64(b), wantsMax: false, rule, &env))
    }

    /// The larger of `a` and `b` by `rule`.
    public static func max(
        _ a: UInt32, _ b: UInt32, _ rule: MinMaxRule, _ env: inout FloatEnvironment
    ) -> UInt32 {
        UInt32(truncatingIfNeeded: Core.minMax(UInt64(a), UInt64(b), wantsMax: true, rule, &env))
    }

    // MARK: Comparison

    /// How `a` compares with `b`; invalid for a signalling NaN or, if `signalling`, for any NaN.
    public static func compare(
        _ a: UInt32, _ b: UInt32, signalling: Bool, _ env: inout FloatEnvironment
    ) -> FloatRelation {
        Core.relation(UInt64(a), UInt64(b), signalling: signalling, &env)
    }

    /// `a == b`, quiet: invalid only for a signalling NaN (RISC-V FEQ).
    public static func equal(_ a: UInt32, _ b: UInt32, _ env: inout FloatEnvironment) -> Bool {
        Core.relation(UInt64(a), UInt64(b), signalling: false, &env) == .equal
    }

    /// `a == b`, signalling: invalid for any NaN.
    public static func equalSignalling(_ a: UInt32, _ b: UInt32, _ env: inout FloatEnvironment) -> Bool {
        Core.relation(UInt64(a), UInt64(b), signalling: true, &env) == .equal
    }

    /// `a < b`, signalling: invalid for any NaN (RISC-V FLT).
    public static func less(_ a: UInt32, _ b: UInt32, _ env: inout FloatEnvironment) -> Bool {
        Core.relation(UInt64(a), UInt64(b), signalling: true, &env) == .less
    }

    /// `a < b`, quiet: invalid only for a signalling NaN (RISC-V FLTQ).
    public static func lessQuiet(_ a: UInt32, _ b: UInt32, _ env: inout FloatEnvironment) -> Bool {
        Core.relation(UInt64(a), UInt64(b), signalling: false, &env) == .less
    }

    /// `a <= b`, signalling: invalid for any NaN (RISC-V FLE).
    public static func lessOrEqual(_ a: UInt32, _ b: UInt32, _ env: inout FloatEnvironment) -> Bool {
        let relation = Core.relation(UInt64(a), UInt64(b), signalling: true, &env)
        return relation == .less || relation == .equal
    }

    /// `a <= b`, quiet: invalid only for a signalling NaN (RISC-V FLEQ).
    public static func lessOrEqualQuiet(_ a: UInt32, _ b: UInt32, _ env: inout FloatEnvironment) -> Bool {
        let relation = Core.relation(UInt64(a), UInt64(b), signalling: false, &env)
        return relation == .less || relation == .equal
    }

    /// The class of `a` (RISC-V FCLASS); raises nothing.
    public static func classify(_ a: UInt32) -> FloatClass {
        Core.classify(UInt64(a))
    }

    // MARK: Integers

    /// `a` rounded to an Int32; out of range it is invalid and `env.integerRule` decides.
    public static func toInt32(_ a: UInt32, _ env: inout FloatEnvironment) -> Int32 {
        Int32(truncatingIfNeeded: Core.toInteger(UInt64(a), width: 32, isSigned: true, &env))
    }

    /// `a` rounded to a UInt32; out of range it is invalid and `env.integerRule` decides.
    public static func toUInt32(_ a: UInt32, _ env: inout FloatEnvironment) -> UInt32 {
        UInt32(truncatingIfNeeded: Core.toInteger(UInt64(a), width: 32, isSigned: false, &env))
    }

    /// `a` rounded to an Int64; out of range it is invalid and `env.integerRule` decides.
    public static func toInt64(_ a: UInt32, _ env: inout FloatEnvironment) -> Int64 {
        Int64(truncatingIfNeeded: Core.toInteger(UInt64(a), width: 64, isSigned: true, &env))
    }

    /// `a` rounded to a UInt64; out of range it is invalid and `env.integerRule` decides.
    public static func toUInt64(_ a: UInt32, _ env: inout FloatEnvironment) -> UInt64 {
        Core.toInteger(UInt64(a), width: 64, isSigned: false, &env)
    }

    /// `value` in the format.
    public static func fromInt32(_ value: Int32, _ env: inout FloatEnvironment) -> UInt32 {
        UInt32(truncatingIfNeeded: Core.fromInteger(value < 0, UInt64(value.magnitude), &env))
    }

    /// `value` in the format.
    public static func fromUInt32(_ value: UInt32, _ env: inout FloatEnvironment) -> UInt32 {
        UInt32(truncatingIfNeeded: Core.fromInteger(false, UInt64(value), &env))
    }

    /// `value` in the format.
    public static func fromInt64(_ value: Int64, _ env: inout FloatEnvironment) -> UInt32 {
        UInt32(truncatingIfNeeded: Core.fromInteger(value < 0, value.magnitude, &env))
    }

    /// `value` in the format.
    public static func fromUInt64(_ value: UInt64, _ env: inout FloatEnvironment) -> UInt32 {
        UInt32(truncatingIfNeeded: Core.fromInteger(false, value, &env))
    }

    // MARK: Integral values and other formats

    /// `a` rounded to an integral value; raises inexact if that changed it and `isExact` (RISC-V FROUNDNX;
    /// FROUND if not).
    public static func roundToIntegral(_ a: UInt32, isExact: Bool, _ env: inout FloatEnvironment) -> UInt32 {
        UInt32(truncatingIfNeeded: Core.roundToIntegral(UInt64(a), isExact: isExact, &env))
    }

    /// The F64 bit pattern `a` in this format, rounded; a NaN follows `env.nanRule`.
    public static func fromF64(_ a: UInt64, _ env: inout FloatEnvironment) -> UInt32 {
        UInt32(truncatingIfNeeded: Core.convert(a, from: Binary64.self, &env))
    }
}
