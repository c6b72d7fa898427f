// The binary interchange formats as constants.
//
// Spec: IEEE 754-2019 §3.4. Raw bits travel in the low `width` bits of a UInt64. Formats whose leading bit is
// explicit (x87) or that exceed 64 bits are absent.

/// A format: the constants that tell one binary interchange format from another.
protocol FloatFormat {
    /// Bits of the significand, the hidden leading one included.
    static var precision: Int32 { get }
    /// The exponent field of 1.0, and the largest exponent.
    static var bias: Int32 { get }
    /// The exponent field of infinities and NaNs: all ones.
    static var exponentFieldMax: Int32 { get }
    /// Bits of the whole format.
    static var width: Int32 { get }
}

/// binary16, "half".
enum Binary16: FloatFormat {
    static var precision: Int32 { 11 }
    static var bias: Int32 { 15 }
    static var exponentFieldMax: Int32 { 31 }
    static var width: Int32 { 16 }
}

/// binary32, "single".
enum Binary32: FloatFormat {
    static var precision: Int32 { 24 }
    static var bias: Int32 { 127 }
    static var exponentFieldMax: Int32 { 255 }
    static var width: Int32 { 32 }
}

/// binary64, "double".
enum Binary64: FloatFormat {
    static var precision: Int32 { 53 }
    static var bias: Int32 { 1023 }
    static var exponentFieldMax: Int32 { 2047 }
    static var width: Int32 { 64 }
}

extension FloatFormat {
    /// Bits of the stored fraction.
    @inline(__always) static var fractionBits: Int32 { precision &- 1 }
    /// The leading one of a normal number, where it would stand above the fraction.
    @inline(__always) static var hiddenBit: UInt64 { 1 &<< UInt64(truncatingIfNeeded: fractionBits) }
    /// The fraction field.
    @inline(__always) static var fractionMask: UInt64 { hiddenBit &- 1 }
    /// The sign bit.
    @inline(__always) static var signMask: UInt64 { 1 &<< UInt64(truncatingIfNeeded: width &- 1) }
    /// Positive infinity; also the exponent field's mask.
    @inline(__always) static var infinity: UInt64 {
        UInt64(truncatingIfNeeded: exponentFieldMax) &<< UInt64(truncatingIfNeeded: fractionBits)
    }
    /// The quiet bit of a NaN: the top bit of the fraction (§6.2.1).
    @inline(__always) static var quietBit: UInt64 { 1 &<< UInt64(truncatingIfNeeded: fractionBits &- 1) }
    /// The distance from a stored fraction to one left-aligned below bit 63.
    @inline(__always) static var alignment: UInt64 { UInt64(truncatingIfNeeded: 64 &- precision) }
}
