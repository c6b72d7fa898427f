// Addition, subtraction, multiplication and fused multiply-add.
//
// Spec: IEEE 754-2019 §5.4.1, §6.1 (infinities), §6.3 (signs of zeros), §7.2 (invalid).
// The product of two significands is exact in 128 bits for precisions up to 63.

extension Arithmetic {
    /// `a + b`, or `a - b` if `negatesB`.
    @inline(__always)
    static func add(_ a: UInt64, _ b: UInt64, negatesB: Bool, _ env: inout FloatEnvironment) -> UInt64 {
        let x = unpack(a, env)
        var y = unpack(b, env)
        if x.kind == .nan || y.kind == .nan { return propagate(x, y, &env) }
        y.sign = y.sign != negatesB
        if x.kind == .infinity && y.kind == .infinity && x.sign != y.sign { return invalid(&env) }
        noteSubnormal(x.isSubnormal || y.isSubnormal, &env)
        if x.kind == .infinity { return infinity(x.sign) }
        if y.kind == .infinity { return infinity(y.sign) }
        if x.kind == .zero && y.kind == .zero {
            return zero(x.sign == y.sign ? x.sign : env.rounding == .down)
        }
        if x.kind == .zero { return round(y.sign, y.exponent, UInt128(y.significand) &<< 64, &env) }
        if y.kind == .zero { return round(x.sign, x.exponent, UInt128(x.significand) &<< 64, &env) }
        return sum(x.sign, x.exponent, UInt128(x.significand) &<< 63,
                   y.sign, y.exponent, UInt128(y.significand) &<< 63, &env)
    }

    /// `a × b`.
    @inline(__always)
    static func multiply(_ a: UInt64, _ b: UInt64, _ env: inout FloatEnvironment) -> UInt64 {
        let x = unpack(a, env), y = unpack(b, env)
        let sign = x.sign != y.sign
        if x.kind == .finite && y.kind == .finite {
            noteSubnormal(x.isSubnormal || y.isSubnormal, &env)
            let product = x.significand.multipliedFullWidth(by: y.significand)
            let wide = UInt128(product.high) &<< 64 | UInt128(product.low)
            let carries = product.high &>> 63
            return round(sign, x.exponent &+ y.exponent &+ Int32(truncatingIfNeeded: carries),
                         wide &<< UInt128(truncatingIfNeeded: 1 &- carries), &env)
        }
        if x.kind == .nan || y.kind == .nan { return propagate(x, y, &env) }
        if isInvalidProduct(x, y) { return invalid(&env) }
        noteSubnormal(x.isSubnormal || y.isSubnormal, &env)
        return x.kind == .infinity || y.kind == .infinity ? infinity(sign) : zero(sign)
    }

    /// `a × b + c` with one rounding; `negatesProduct` and `negatesC` give the other three forms without
    /// touching the signs of NaNs.
    static func multiplyAdd(
        _ a: UInt64, _ b: UInt64, _ c: UInt64, negatesProduct: Bool, negatesC: Bool,
        _ env: inout FloatEnvironment
    ) -> UInt64 {
        let x = unpack(a, env), y = unpack(b, env)
        var z = unpack(c, env)
        let isInvalidProduct = isInvalidProduct(x, y)
        if x.kind == .nan || y.kind == .nan || z.kind == .nan {
            return propagate(x, y, z, isInvalidProduct: isInvalidProduct, &env)
        }
        z.sign = z.sign != negatesC
        let sign = (x.sign != y.sign) != negatesProduct
        let isInfiniteProduct = x.kind == .infinity || y.kind == .infinity
        if isInvalidProduct || isInfiniteProduct && z.kind == .infinity && sign != z.sign {
            return invalid(&env)
        }
        noteSubnormal(x.isSubnormal || y.isSubnormal || z.isSubnormal, &env)
        if isInfiniteProduct { return infinity(sign) }
        if z.kind == .infinity { return infinity(z.sign) }
        if x.kind == .zero || y.kind == .zero {
            if z.kind == .zero { return zero(sign == z.sign ? sign : env.rounding == .down) }
            return round(z.sign, z.exponent, UInt128(z.significand) &<< 64, &env)
        }
        let product = x.significand.multipliedFullWidth(by: y.significand)
        let wide = UInt128(product.high) &<< 64 | UInt128(product.low)
        let carries = product.high &>> 63
        let exponent = x.exponent &+ y.exponent &+ Int32(truncatingIfNeeded: carries)
        if z.kind == .zero {
            return round(sign, exponent, wide &<< UInt128(truncatingIfNeeded: 1 &- carries), &env)
        }
        // The low bits are zero (precision is at most 63), so the leading one moves to bit 126 without loss.
        return sum(sign, exponent, wide &>> UInt128(truncatingIfNeeded: carries),
                   z.sign, z.exponent, UInt128(z.significand) &<< 63, &env)
    }

    /// Infinity times zero.
    @inline(__always)
    private static func isInvalidProduct(_ x: Unpacked, _ y: Unpacked) -> Bool {
        x.kind == .infinity && y.kind == .zero || x.kind == .zero && y.kind == .infinity
    }

    /// The NaN result of `x × y + z`.
    @inline(never)
    private static func propagate(
        _ x: Unpacked, _ y: Unpacked, _ z: Unpacked, isInvalidProduct: Bool, _ env: inout FloatEnvironment
    ) -> UInt64 {
        if x.isSignallingNaN || y.isSignallingNaN || z.isSignallingNaN { env.raise(.invalid) }
        switch env.nanRule {
        case .canonical:
            // Infinity times zero is invalid even if the addend is a quiet NaN (RISC-V; a choice in §7.2 c).
            if isInvalidProduct { env.raise(.invalid) }
            return defaultNaN(env)
        case .firstOperand:
            // In the order of the formula, whose first factor is the destination in the 132 forms and the
            // second operand in the 213 and 231 forms. The addend's NaN is taken without raising invalid.
            return quieted(x.kind == .nan ? x : y.kind == .nan ? y : z)
        case .armPropagate:
            // Arm ARM, FPMulAdd: a quiet addend with infinity times zero gives the default NaN and raises
            // invalid.
            if isInvalidProduct && !z.isSignallingNaN { return invalid(&env) }
            if z.isSignallingNaN { return quieted(z) }
            if x.isSignallingNaN { return quieted(x) }
            if y.isSignallingNaN { return quieted(y) }
            return quieted(z.kind == .nan ? z : x.kind == .nan ? x : y)
        }
    }

    /// The rounded sum of two finite nonzero values ±s × 2^(e − 126), leading ones at bit 126.
    ///
    /// Jamming the smaller one is exact enough: if its low bits are lost, at most one leading bit can cancel,
    /// and a guard bit, a rounding bit and the sticky bit remain below the precision.
    @inline(__always)
    private static func sum(
        _ signX: Bool, _ exponentX: Int32, _ significandX: UInt128,
        _ signY: Bool, _ exponentY: Int32, _ significandY: UInt128, _ env: inout FloatEnvironment
    ) -> UInt64 {
        var sign = signX
        let distance = exponentX &- exponentY
        let exponent = distance >= 0 ? exponentX : exponentY
        let alignedX = shiftRightJam(significandX, 0 &- distance)
        let alignedY = shiftRightJam(significandY, distance)
        var total: UInt128
        if signX == signY {
            total = alignedX &+ alignedY
        } else {
            total = alignedX &- alignedY
            if total == 0 { return zero(env.rounding == .down) }
            if alignedX < alignedY {
                total = 0 &- total
                sign = signY
            }
        }
        let shift = Int32(truncatingIfNeeded: total.leadingZeroBitCount)
        return round(sign, exponent &+ 1 &- shift, total &<< UInt128(truncatingIfNeeded: shift), &env)
    }
}
