// An operand taken apart, and the special values put together.
//
// Spec: IEEE 754-2019 §3.4 (encodings), §6.2 (NaNs).

/// What an operand is.
enum FloatKind: UInt8 {
    case zero, finite, infinity, nan
}

/// An operand taken apart. A finite value is ±significand × 2^(exponent − 63), its leading one at bit 63.
struct Unpacked {
    /// Left-aligned: bit 63 is the leading one; of a NaN, bit 62 is the quiet bit and the payload follows.
    var significand: UInt64
    /// The power of two of the leading one; meaningful if finite.
    var exponent: Int32
    var kind: FloatKind
    /// True if negative.
    var sign: Bool
    /// True if the encoding was subnormal (and not taken as zero).
    var isSubnormal: Bool

    /// The quiet bit of a left-aligned NaN.
    static var quietBit: UInt64 { 1 &<< 62 }

    /// True for a NaN whose quiet bit is clear.
    @inline(__always) var isSignallingNaN: Bool { kind == .nan && significand & Unpacked.quietBit == 0 }
}

/// The operations on one format. Raw bits are in the low bits of a UInt64; bits above the format are ignored
/// on input and zero on output.
enum Arithmetic<Format: FloatFormat> {
    /// Takes `bits` apart, subnormals becoming zeros if the environment says so.
    @inline(__always)
    static func unpack(_ bits: UInt64, _ env: FloatEnvironment) -> Unpacked {
        let sign = bits & Format.signMask != 0
        let stored = (bits & Format.infinity) &>> UInt64(truncatingIfNeeded: Format.fractionBits)
        let field = Int32(truncatingIfNeeded: stored)
        let fraction = (bits & Format.fractionMask) &<< Format.alignment
        if field == 0 {
            if fraction == 0 || env.denormalsAreZero {
                return Unpacked(significand: 0, exponent: 0, kind: .zero, sign: sign, isSubnormal: false)
            }
            let shift = Int32(truncatingIfNeeded: fraction.leadingZeroBitCount)
            return Unpacked(significand: fraction &<< UInt64(truncatingIfNeeded: shift),
                            exponent: 1 &- Format.bias &- shift, kind: .finite, sign: sign, isSubnormal: true)
        }
        let kind: FloatKind = field != Format.exponentFieldMax ? .finite : fraction == 0 ? .infinity : .nan
        return Unpacked(significand: fraction | 1 &<< 63, exponent: field &- Format.bias, kind: kind,
                        sign: sign, isSubnormal: false)
    }

    /// `magnitude` with a sign.
    @inline(__always)
    static func signed(_ sign: Bool, _ magnitude: UInt64) -> UInt64 {
        sign ? magnitude | Format.signMask : magnitude
    }

    /// A zero of the given sign.
    @inline(__always)
    static func zero(_ sign: Bool) -> UInt64 { signed(sign, 0) }

    /// An infinity of the given sign.
    @inline(__always)
    static func infinity(_ sign: Bool) -> UInt64 { signed(sign, Format.infinity) }

    /// The NaN an invalid operation makes of operands that are not NaNs.
    static func defaultNaN(_ env: FloatEnvironment) -> UInt64 {
        signed(env.nanRule == .firstOperand, Format.infinity | Format.quietBit)
    }

    /// Raises invalid and returns the default NaN.
    @inline(never)
    static func invalid(_ env: inout FloatEnvironment) -> UInt64 {
        env.raise(.invalid)
        return defaultNaN(env)
    }

    /// The NaN `x`, of any format, made quiet in this one; a longer payload loses its low bits.
    static func quieted(_ x: Unpacked) -> UInt64 {
        let fraction = (x.significand | Unpacked.quietBit) &>> Format.alignment & Format.fractionMask
        return signed(x.sign, Format.infinity | fraction)
    }

    /// The result when the only operand is the NaN `x`.
    @inline(never)
    static func propagate(_ x: Unpacked, _ env: inout FloatEnvironment) -> UInt64 {
        if x.isSignallingNaN { env.raise(.invalid) }
        return env.nanRule == .canonical ? defaultNaN(env) : quieted(x)
    }

    /// The result when `x`, `y` or both are NaNs.
    @inline(never)
    static func propagate(_ x: Unpacked, _ y: Unpacked, _ env: inout FloatEnvironment) -> UInt64 {
        if x.isSignallingNaN || y.isSignallingNaN { env.raise(.invalid) }
        switch env.nanRule {
        case .canonical: return defaultNaN(env)
        case .firstOperand: return quieted(x.kind == .nan ? x : y)
        case .armPropagate:
            if x.isSignallingNaN { return quieted(x) }
            if y.isSignallingNaN { return quieted(y) }
            return quieted(x.kind == .nan ? x : y)
        }
    }

    /// Notes subnormal operands. Called after invalid operations and NaNs are dealt with: x86 ranks those
    /// higher.
    @inline(__always)
    static func noteSubnormal(_ isSubnormal: Bool, _ env: inout FloatEnvironment) {
        if isSubnormal && env.reportsDenormalOperands { env.raise(.denormalOperand) }
    }
}
