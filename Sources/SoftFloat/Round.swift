// The one way from an exact result to bits: rounding, overflow, underflow.
//
// Spec: IEEE 754-2019 §4.3 (rounding directions), §7.4 (overflow), §7.5 (underflow), §7.6 (inexact).

/// `value` shifted right; the lowest bit of the result is also one if any bit was shifted out ("jammed").
@inline(__always)
func shiftRightJam(_ value: UInt128, _ count: Int32) -> UInt128 {
    if count <= 0 { return value }
    if count >= 128 { return value == 0 ? 0 : 1 }
    let lost = value &<< UInt128(truncatingIfNeeded: 128 &- count)
    return value &>> UInt128(truncatingIfNeeded: count) | (lost == 0 ? 0 : 1)
}

extension Rounding {
    /// Whether the kept part goes up by one unit in magnitude.
    /// `remainder` is what is cut off, `half` half a unit of the last kept place.
    @inline(__always)
    func increments<Part: FixedWidthInteger>(sign: Bool, isOdd: Bool, remainder: Part, half: Part) -> Bool {
        switch self {
        case .nearestEven: remainder > half || (remainder == half && isOdd)
        case .towardZero: false
        case .down: sign && remainder != 0
        case .up: !sign && remainder != 0
        case .nearestMaxMagnitude: remainder >= half
        }
    }

    /// Whether a result too large for the format becomes an infinity rather than the largest finite number
    /// (§7.4).
    func overflowsToInfinity(sign: Bool) -> Bool {
        switch self {
        case .nearestEven, .nearestMaxMagnitude: true
        case .towardZero: false
        case .down: sign
        case .up: !sign
        }
    }
}

extension Arithmetic {
    /// Rounds ±significand × 2^(exponent − 127), whose leading one is at bit 127, to the format.
    /// The lowest bit may be jammed.
    @inline(__always)
    static func round(
        _ sign: Bool, _ exponent: Int32, _ significand: UInt128, _ env: inout FloatEnvironment
    ) -> UInt64 {
        let field = exponent &+ Format.bias
        if field < 1 { return roundTiny(sign, field, significand, &env) }
        let (kept, isInexact) = cut(sign, significand, env.rounding)
        if field >= Format.exponentFieldMax { return overflow(sign, isInexact: isInexact, &env) }
        let magnitude = magnitude(field, kept)
        if isInexact {
            if magnitude >= Format.infinity { return overflow(sign, isInexact: true, &env) }
            env.raise(.inexact)
        }
        return signed(sign, magnitude)
    }

    /// Exponent field and significand put together; the leading one, and a carry out of it, count up the
    /// exponent.
    @inline(__always)
    private static func magnitude(_ field: Int32, _ kept: UInt64) -> UInt64 {
        UInt64(truncatingIfNeeded: field &- 1) &<< UInt64(truncatingIfNeeded: Format.fractionBits) &+ kept
    }

    /// The top `precision` bits, rounded (so possibly 2^precision), and whether anything was lost.
    @inline(__always)
    private static func cut(
        _ sign: Bool, _ significand: UInt128, _ rounding: Rounding
    ) -> (kept: UInt64, isInexact: Bool) {
        let drop = UInt128(truncatingIfNeeded: 128 &- Format.precision)
        let unit = (1 as UInt128) &<< drop
        let remainder = significand & (unit &- 1)
        let kept = UInt64(truncatingIfNeeded: significand &>> drop)
        let up = rounding.increments(sign: sign, isOdd: kept & 1 != 0, remainder: remainder, half: unit &>> 1)
        return (kept &+ (up ? 1 : 0), remainder != 0)
    }

    /// A result below the smallest normal before rounding; `field` is its biased exponent, zero or less.
    @inline(never)
    private static func roundTiny(
        _ sign: Bool, _ field: Int32, _ significand: UInt128, _ env: inout FloatEnvironment
    ) -> UInt64 {
        var isTiny = true
        if env.tininess == .afterRounding && field == 0 {
            // With an unbounded exponent the value may round up to the smallest normal, which is not tiny.
            isTiny = cut(sign, significand, env.rounding).kept < Format.hiddenBit &<< 1
        }
        if isTiny && env.flushesToZero {
            env.raise([.underflow, .inexact])
            return zero(sign)
        }
        if isTiny && env.trapsUnderflow {
            env.raise(cut(sign, significand, env.rounding).isInexact ? [.underflow, .inexact] : .underflow)
            return zero(sign)
        }
        let (kept, isInexact) = cut(sign, shiftRightJam(significand, 1 &- field), env.rounding)
        if isInexact { env.raise(isTiny ? [.underflow, .inexact] : .inexact) }
        return signed(sign, kept)
    }

    /// A result beyond the largest finite number.
    @inline(never)
    private static func overflow(_ sign: Bool, isInexact: Bool, _ env: inout FloatEnvironment) -> UInt64 {
        env.raise(isInexact || !env.trapsOverflow ? [.overflow, .inexact] : .overflow)
        let isInfinite = env.rounding.overflowsToInfinity(sign: sign)
        return signed(sign, isInfinite ? Format.infinity : Format.infinity &- 1)
    }
}
