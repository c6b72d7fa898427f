// Conversions: to and from integers, to an integral value, between formats.
//
// Spec: IEEE 754-2019 §5.4.1 (integers), §5.4.2 (formats), §5.8, §5.9 (integral values), §7.2 j.

extension Arithmetic {
    /// A finite value rounded to an integer of magnitude up to 2^64 − 1, and whether that lost anything.
    /// Nil if the magnitude is larger.
    @inline(__always)
    private static func integer(
        _ x: Unpacked, _ rounding: Rounding
    ) -> (magnitude: UInt64, isInexact: Bool)? {
        if x.exponent > 63 { return nil }
        // Fixed point with 64 fraction bits; the leading one is worth 2^exponent.
        let wide = UInt128(x.significand)
        let fixed = x.exponent >= 0
            ? wide &<< UInt128(truncatingIfNeeded: x.exponent &+ 1) : shiftRightJam(wide, -1 &- x.exponent)
        let whole = UInt64(truncatingIfNeeded: fixed &>> 64)
        let remainder = UInt64(truncatingIfNeeded: fixed)
        let up = rounding.increments(
            sign: x.sign, isOdd: whole & 1 != 0, remainder: remainder, half: 1 &<< 63)
        let (magnitude, overflow) = whole.addingReportingOverflow(up ? 1 : 0)
        return overflow ? nil : (magnitude, remainder != 0)
    }

    /// `a` rounded to an integer of `width` bits (at most 64), sign-extended if signed.
    @inline(__always)
    static func toInteger(
        _ a: UInt64, width: UInt64, isSigned: Bool, _ env: inout FloatEnvironment
    ) -> UInt64 {
        let x = unpack(a, env)
        let largest = UInt64.max &>> (64 &- width &+ (isSigned ? 1 : 0))
        switch x.kind {
        case .zero: return 0
        case .nan, .infinity: break
        case .finite:
            guard let (magnitude, isInexact) = integer(x, env.rounding) else { break }
            let limit = !x.sign ? largest : isSigned ? largest &+ 1 : 0
            if magnitude > limit { break }
            if isInexact { env.raise(.inexact) }
            return x.sign ? 0 &- magnitude : magnitude
        }
        env.raise(.invalid)
        let smallest = isSigned ? ~largest : 0
        switch env.integerRule {
        case .indefinite: return isSigned ? smallest : largest
        case .saturateNaNToZero where x.kind == .nan: return 0
        case .saturateNaNToMax where x.kind == .nan: return largest
        case .saturateNaNToMax, .saturateNaNToZero: return x.sign ? smallest : largest
        }
    }

    /// ±`magnitude` rounded to the format.
    @inline(__always)
    static func fromInteger(_ sign: Bool, _ magnitude: UInt64, _ env: inout FloatEnvironment) -> UInt64 {
        if magnitude == 0 { return 0 }
        let shift = Int32(truncatingIfNeeded: magnitude.leadingZeroBitCount)
        let significand = magnitude &<< UInt64(truncatingIfNeeded: shift)
        return round(sign, 63 &- shift, UInt128(significand) &<< 64, &env)
    }

    /// `a` rounded to an integral value of the format, keeping the sign of a zero result.
    /// Raises inexact if the value changed and `isExact` (roundToIntegralExact).
    static func roundToIntegral(_ a: UInt64, isExact: Bool, _ env: inout FloatEnvironment) -> UInt64 {
        let x = unpack(a, env)
        switch x.kind {
        case .nan: return propagate(x, &env)
        case .infinity: return infinity(x.sign)
        case .zero: return zero(x.sign)
        case .finite: break
        }
        // From here on there is no fraction, and below the integer always fits.
        if x.exponent >= Format.fractionBits { return a & (Format.signMask | (Format.signMask &- 1)) }
        guard let (magnitude, isInexact) = integer(x, env.rounding) else { return invalid(&env) }
        if isInexact && isExact { env.raise(.inexact) }
        return magnitude == 0 ? zero(x.sign) : fromInteger(x.sign, magnitude, &env)
    }

    /// `a`, of another format, in this one.
    @inline(__always)
    static func convert<From: FloatFormat>(
        _ a: UInt64, from: From.Type, _ env: inout FloatEnvironment
    ) -> UInt64 {
        let x = Arithmetic<From>.unpack(a, env)
        switch x.kind {
        case .nan: return propagate(x, &env)
        case .infinity: return infinity(x.sign)
        case .zero: return zero(x.sign)
        case .finite:
            noteSubnormal(x.isSubnormal, &env)
            return round(x.sign, x.exponent, UInt128(x.significand) &<< 64, &env)
        }
    }
}
