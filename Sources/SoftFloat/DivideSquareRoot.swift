// Division and square root.
//
// Spec: IEEE 754-2019 §5.4.1, §6.3, §7.2 (invalid), §7.3 (divide by zero).
// Division makes 64 quotient bits, square root precision + 1; both add a sticky bit. Enough for precisions up
// to 57.

extension Arithmetic {
    /// `a ÷ b`.
    static func divide(_ a: UInt64, _ b: UInt64, _ env: inout FloatEnvironment) -> UInt64 {
        let x = unpack(a, env), y = unpack(b, env)
        let sign = x.sign != y.sign
        if x.kind == .nan || y.kind == .nan { return propagate(x, y, &env) }
        if x.kind == y.kind && (x.kind == .infinity || x.kind == .zero) { return invalid(&env) }
        if y.kind == .zero {
            // x86 ranks this above a subnormal dividend, which is not reported. An infinity divided is exact.
            if x.kind == .finite { env.raise(.divideByZero) }
            return infinity(sign)
        }
        noteSubnormal(x.isSubnormal || y.isSubnormal, &env)
        if x.kind == .infinity { return infinity(sign) }
        if x.kind == .zero || y.kind == .infinity { return zero(sign) }
        // The dividend is halved if needed, so that it is below the divisor and the quotient fills 64 bits.
        let halves = x.significand >= y.significand
        let high = halves ? x.significand &>> 1 : x.significand
        let low = halves ? x.significand &<< 63 : 0
        let (quotient, remainder) = y.significand.dividingFullWidth((high, low))
        return round(sign, x.exponent &- y.exponent &- (halves ? 0 : 1),
                     UInt128(quotient) &<< 64 | (remainder == 0 ? 0 : 1), &env)
    }

    /// The square root of `a`.
    static func squareRoot(_ a: UInt64, _ env: inout FloatEnvironment) -> UInt64 {
        let x = unpack(a, env)
        if x.kind == .nan { return propagate(x, &env) }
        if x.kind == .zero { return zero(x.sign) }
        if x.sign { return invalid(&env) }
        noteSubnormal(x.isSubnormal, &env)
        if x.kind == .infinity { return infinity(false) }
        // An even exponent leaves a radicand in [1, 4). Fixed point with 60 fraction bits: after each step
        // remainder = 2^step × (radicand − root²) < 2 × root + 1 ≤ 5, so twice that fits the four integer
        // bits.
        let isOdd = x.exponent & 1 != 0
        let radicand = x.significand &>> (isOdd ? 2 : 3)
        var root: UInt64 = 1 &<< 60
        var remainder = radicand &- root
        var bit = root &>> 1
        let lastBit = root &>> UInt64(truncatingIfNeeded: Format.precision)
        while bit >= lastBit && remainder != 0 {
            // Adding `bit` to the root adds 2 × root × bit + bit² to its square.
            remainder = remainder &<< 1
            let step = root &<< 1 | bit
            if remainder >= step {
                remainder = remainder &- step
                root |= bit
            }
            bit = bit &>> 1
        }
        return round(false, x.exponent &>> 1, UInt128(root) &<< 67 | (remainder == 0 ? 0 : 1), &env)
    }
}
