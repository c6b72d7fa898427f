// 3DNow! arithmetic: pairs of single precision numbers without NaNs, infinities, subnormals or exceptions. Results round to
// nearest, overflow to the largest finite number and underflow to zero, as the K6-2 does. Reciprocal estimates are the
// rounded reciprocal cut to 14 bits (15 for the square root), which is within their documented error; the iteration
// steps then give the full precision.
//
// Source: AMD 3DNow! Technology Manual (21928), AMD Extensions to the 3DNow! and MMX Instruction Sets (22466).

import Translator

let threeDNowHelper: HelperFunction = { _, destination, source, suffix in
    ThreeDNow.evaluate(UInt8(truncatingIfNeeded: suffix), destination, source)
}

enum ThreeDNow {
    /// The largest finite number.
    private static let largest: UInt32 = 0x7F7F_FFFF

    /// An operand: subnormals are zeros; infinities and NaNs, which are undefined, count as the largest number.
    private static func number(_ bits: UInt32) -> Float {
        if bits & 0x7F80_0000 == 0 { return bits & 0x8000_0000 != 0 ? -0.0 : 0 }
        if bits & 0x7F80_0000 == 0x7F80_0000 { return Float(bitPattern: bits & 0x8000_0000 | largest) }
        return Float(bitPattern: bits)
    }

    private static func bits(_ value: Float) -> UInt32 {
        let raw = value.bitPattern, sign = raw & 0x8000_0000
        if raw & 0x7F80_0000 == 0x7F80_0000 { return sign | largest }
        if raw & 0x7F80_0000 == 0 { return sign }
        return raw
    }

    private static func lanes(_ a: UInt64, _ b: UInt64, _ operation: (Float, Float) -> Float) -> UInt64 {
        let low = bits(operation(number(UInt32(truncatingIfNeeded: a)), number(UInt32(truncatingIfNeeded: b))))
        let high = bits(operation(number(UInt32(a >> 32)), number(UInt32(b >> 32))))
        return UInt64(low) | UInt64(high) << 32
    }

    private static func masks(_ a: UInt64, _ b: UInt64, _ holds: (Float, Float) -> Bool) -> UInt64 {
        let low = holds(number(UInt32(truncatingIfNeeded: a)), number(UInt32(truncatingIfNeeded: b)))
        let high = holds(number(UInt32(a >> 32)), number(UInt32(b >> 32)))
        return (low ? 0xFFFF_FFFF : 0) | (high ? 0xFFFF_FFFF_0000_0000 : 0)
    }

    private static func pair(_ low: Float, _ high: Float) -> UInt64 { UInt64(bits(low)) | UInt64(bits(high)) << 32 }
    private static func low(_ value: UInt64) -> Float { number(UInt32(truncatingIfNeeded: value)) }
    private static func high(_ value: UInt64) -> Float { number(UInt32(value >> 32)) }

    /// The operation with the suffix byte on destination a and source b.
    static func evaluate(_ suffix: UInt8, _ a: UInt64, _ b: UInt64) -> UInt64 {
        switch suffix {
        case 0x0C: words(b) { UInt64(Float(Int16(truncatingIfNeeded: $0)).bitPattern) }
        case 0x0D: words(b) { UInt64(towardZero(Int32(truncatingIfNeeded: $0)).bitPattern) }
        case 0x1C: words(b) { UInt64(UInt32(bitPattern: Int32(clamped($0, -32768, 32767)))) }
        case 0x1D: words(b) { UInt64(UInt32(bitPattern: Int32(clamped($0, -2_147_483_648, 2_147_483_647)))) }
        case 0x8A: pair(low(a) - high(a), low(b) - high(b))
        case 0x8E: pair(low(a) - high(a), low(b) + high(b))
        case 0x90: masks(a, b) { $0 >= $1 }
        case 0x94: lanes(a, b) { $0 < $1 ? $0 : $1 == 0 ? 0 : $1 }
        case 0x96: both(estimate(1 / low(b), 14))
        case 0x97: both(estimate(signedRoot(low(b)), 15))
        case 0x9A: lanes(a, b) { $0 - $1 }
        case 0x9E: lanes(a, b) { $0 + $1 }
        case 0xA0: masks(a, b) { $0 > $1 }
        case 0xA4: lanes(a, b) { $0 > $1 ? $0 : $1 == 0 ? 0 : $1 }
        case 0xA6: lanes(a, b) { 2 - $0 * $1 }
        case 0xA7: lanes(a, b) { (3 - $0 * $1) / 2 }
        case 0xAA: lanes(a, b) { $1 - $0 }
        case 0xAE: pair(low(a) + high(a), low(b) + high(b))
        case 0xB0: masks(a, b) { $0 == $1 }
        case 0xB4, 0xB6: lanes(a, b) { $0 * $1 }
        case 0xB7: multiplyHighRounded(a, b)
        default: a
        }
    }

    private static func words(_ value: UInt64, _ lane: (UInt32) -> UInt64) -> UInt64 {
        lane(UInt32(truncatingIfNeeded: value)) | lane(UInt32(value >> 32)) << 32
    }

    /// PI2FD truncates.
    private static func towardZero(_ value: Int32) -> Float {
        let rounded = Float(value)
        guard Double(rounded).magnitude > Double(value).magnitude else { return rounded }
        return rounded < 0 ? rounded.nextUp : rounded.nextDown
    }

    private static func clamped(_ bits: UInt32, _ lowest: Double, _ highest: Double) -> Int64 {
        Int64(max(lowest, min(highest, Double(number(bits)).rounded(.towardZero))))
    }

    private static func both(_ bits: UInt32) -> UInt64 { UInt64(bits) << 32 | UInt64(bits) }

    /// A number cut to `precision` bits.
    private static func estimate(_ value: Float, _ precision: UInt32) -> UInt32 { bits(value) & ~(1 << (24 - precision) - 1) }

    private static func signedRoot(_ value: Float) -> Float {
        let root = 1 / value.magnitude.squareRoot()
        return value.sign == .minus ? -root : root
    }

    /// PMULHRW.
    private static func multiplyHighRounded(_ a: UInt64, _ b: UInt64) -> UInt64 {
        (0..<4).reduce(0) { result, lane in
            let shift = UInt64(lane * 16)
            let x = Int32(Int16(truncatingIfNeeded: a >> shift)), y = Int32(Int16(truncatingIfNeeded: b >> shift))
            return result | UInt64(UInt16(truncatingIfNeeded: (x * y + 0x8000) >> 16)) << shift
        }
    }
}
