// Operands for the tests: a table of values at the edges of a format and a seeded generator biased towards
// them.

/// A format as its tests see it.
struct TestFormat: Sendable, CustomStringConvertible {
    let width: UInt64
    let precision: UInt64

    static let f32 = TestFormat(width: 32, precision: 24)
    static let f64 = TestFormat(width: 64, precision: 53)

    var description: String { "f\(width)" }
    var fractionBits: UInt64 { precision - 1 }
    var sign: UInt64 { 1 << (width - 1) }
    var mask: UInt64 { sign | (sign - 1) }
    var infinity: UInt64 { (sign - 1) & ~(hidden - 1) }
    var hidden: UInt64 { 1 << fractionBits }
    var quiet: UInt64 { hidden >> 1 }
    var bias: UInt64 { infinity >> (fractionBits + 1) }

    /// The bits of 2^exponent × (1 + fraction / 2^fractionBits).
    func bits(_ exponent: Int64, _ fraction: UInt64 = 0) -> UInt64 {
        UInt64(Int64(bias) + exponent) << fractionBits | fraction
    }

    /// 34 magnitudes at the edges of the format, with both signs.
    var specials: [UInt64] {
        let lastNormal = infinity - 1
        let ones = hidden - 1
        let magnitudes: [UInt64] = [
            0, 1, 2, 3, quiet, quiet + 1, ones - 1, ones,                                   // subnormals
            hidden, hidden + 1, hidden << 1, hidden << 1 | ones, lastNormal, lastNormal - 1, infinity,
            infinity | 1, infinity | ones >> 1, infinity | quiet, infinity | quiet | 5,     // NaNs
            bits(0), bits(0, 1), bits(-1), bits(-1, ones), bits(-1, 1), bits(0, quiet), bits(1),
            bits(1, quiet), bits(Int64(precision) - 1, 1), bits(Int64(precision)), bits(-Int64(precision)),
            bits(31), bits(31) - 1, bits(63), bits(64) - 1,
        ]
        return magnitudes + magnitudes.map { $0 | sign }
    }
}

/// SplitMix64: small, seeded, the same everywhere.
struct Generator: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
}

/// Makes operands of one format.
struct OperandGenerator {
    let format: TestFormat
    let specials: [UInt64]
    var random: Generator

    init(_ format: TestFormat, seed: UInt64) {
        self.format = format
        specials = format.specials
        random = Generator(seed: seed)
    }

    /// A fraction with a run of equal bits, so that carries, ties and sticky bits happen often.
    private mutating func fraction() -> UInt64 {
        let r = random.next()
        let run = (r | 1) << ((r >> 58) % format.fractionBits)
        switch r >> 56 & 3 {
        case 0: return r & (format.hidden - 1)
        case 1: return run & (format.hidden - 1)
        case 2: return ~run & (format.hidden - 1)
        default: return (1 << ((r >> 58) % format.fractionBits)) ^ (r & 1)
        }
    }

    /// A number anywhere, at the edges, or of moderate size.
    mutating func next() -> UInt64 {
        let r = random.next()
        let sign = r & format.sign
        switch r >> 8 & 15 {
        case 0: return specials[Int(truncatingIfNeeded: r >> 16 & 0xFFFF) % specials.count]
        case 1:
            let special = specials[Int(truncatingIfNeeded: r >> 16 & 0xFFFF) % specials.count]
            return (special &+ (r & 7) &- 3) & format.mask
        case 2: return sign | fraction()
        case 3: return sign | (r >> 20 & 31) << format.fractionBits | fraction()
        case 4: return sign | (format.infinity - ((r >> 20 & 31) << format.fractionBits)) | fraction()
        case 5, 6, 7, 8, 9:
            return sign | (format.bias - 40 + (r >> 20 & 127) % 110) << format.fractionBits | fraction()
        default: return random.next() & format.mask
        }
    }

    /// A number of a magnitude near that of `other`, so that sums cancel and quotients are near one; or any.
    mutating func next(near other: UInt64) -> UInt64 {
        let r = random.next()
        let sign = r << 1 & format.sign
        switch r >> 8 & 7 {
        case 0: return other ^ sign
        case 1: return ((other &+ (r & 7) &- 3) & format.mask) ^ sign
        case 2, 3:
            let field = other & format.infinity
            let shift = (r >> 20) % (2 * format.precision + 4) << format.fractionBits
            let back = (format.precision + 2) << format.fractionBits
            return sign | ((field &+ shift &- back) & format.infinity) | fraction()
        default: return next()
        }
    }
}
