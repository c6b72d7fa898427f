// A random number generator whose sequences repeat.

/// SplitMix64.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }

    /// True once in `n` times.
    mutating func once(in n: UInt64) -> Bool { next() % n == 0 }
    mutating func pick<T>(_ values: [T]) -> T { values[Int(next() % UInt64(values.count))] }
    mutating func byte() -> UInt8 { UInt8(truncatingIfNeeded: next()) }

    /// An integer that is often at an edge of some width.
    mutating func operand() -> UInt64 {
        switch next() % 8 {
        case 0: return pick([0, 1, 2, .max, .max - 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64])
        case 1:
            let edge = UInt64(1) << pick([7, 8, 15, 16, 31, 32, 63])
            return edge &+ pick([0, 1, .max])
        case 2: return UInt64(bitPattern: Int64(Int8(bitPattern: byte())))
        case 3: return next() & 0xFFFF_FFFF
        case 4: return UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: next())))
        default: return next()
        }
    }
}
