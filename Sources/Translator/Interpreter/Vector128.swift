// A 128-bit vector of the interpreter and its lanes: lane 0 is the least significant.

/// 128 bits seen as lanes of any integer width.
struct Vector128: Equatable {
    var low: UInt64 = 0
    var high: UInt64 = 0

    init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }

    init() {}

    /// Lanes filled in order; `count` × width = 128.
    @inline(__always)
    init<T: FixedWidthInteger & UnsignedInteger>(lanes: T.Type, _ lane: (Int) -> T) {
        for index in 0..<(128 / T.bitWidth) { self[index] = lane(index) }
    }

    @inline(__always)
    subscript<T: FixedWidthInteger & UnsignedInteger>(_ index: Int) -> T {
        get {
            let bit = index &* T.bitWidth
            return T(truncatingIfNeeded: (bit < 64 ? low : high) &>> UInt64(truncatingIfNeeded: bit & 63))
        }
        set {
            let bit = index &* T.bitWidth
            let shift = UInt64(truncatingIfNeeded: bit & 63)
            let mask = UInt64(truncatingIfNeeded: T.max) &<< shift
            let value = UInt64(truncatingIfNeeded: newValue) &<< shift
            if bit < 64 { low = low & ~mask | value } else { high = high & ~mask | value }
        }
    }

    @inline(__always) func u8(_ index: Int) -> UInt8 { self[index] }
    @inline(__always) func u16(_ index: Int) -> UInt16 { self[index] }
    @inline(__always) func u32(_ index: Int) -> UInt32 { self[index] }
    @inline(__always) func u64(_ index: Int) -> UInt64 { index == 0 ? low : high }
    @inline(__always) func i8(_ index: Int) -> Int { Int(Int8(bitPattern: u8(index))) }
    @inline(__always) func i16(_ index: Int) -> Int { Int(Int16(bitPattern: u16(index))) }
    @inline(__always) func i32(_ index: Int) -> Int { Int(Int32(bitPattern: u32(index))) }
    @inline(__always) func i64(_ index: Int) -> Int64 { Int64(bitPattern: u64(index)) }

    /// The same with one lane replaced.
    @inline(__always)
    func with<T: FixedWidthInteger & UnsignedInteger>(_ index: Int, _ value: T) -> Vector128 {
        var copy = self
        copy[index] = value
        return copy
    }

    /// Bytes shifted towards lane 0, zeros coming in.
    func shiftedDown(bytes: Int) -> Vector128 {
        if bytes >= 16 { return Vector128() }
        let bits = UInt64(bytes * 8)
        if bits == 0 { return self }
        if bits >= 64 { return Vector128(low: high &>> (bits - 64), high: 0) }
        return Vector128(low: low &>> bits | high &<< (64 - bits), high: high &>> bits)
    }

    /// Bytes shifted away from lane 0, zeros coming in.
    func shiftedUp(bytes: Int) -> Vector128 {
        if bytes >= 16 { return Vector128() }
        let bits = UInt64(bytes * 8)
        if bits == 0 { return self }
        if bits >= 64 { return Vector128(low: 0, high: low &<< (bits - 64)) }
        return Vector128(low: low &<< bits, high: high &<< bits | low &>> (64 - bits))
    }

    static func | (a: Vector128, b: Vector128) -> Vector128 { Vector128(low: a.low | b.low, high: a.high | b.high) }
    static func & (a: Vector128, b: Vector128) -> Vector128 { Vector128(low: a.low & b.low, high: a.high & b.high) }
    static func ^ (a: Vector128, b: Vector128) -> Vector128 { Vector128(low: a.low ^ b.low, high: a.high ^ b.high) }
    static prefix func ~ (a: Vector128) -> Vector128 { Vector128(low: ~a.low, high: ~a.high) }
}

/// Clamps to a narrower integer.
enum Saturate {
    @inline(__always) static func s8(_ value: Int) -> UInt8 { UInt8(truncatingIfNeeded: max(-128, min(127, value))) }
    @inline(__always) static func u8(_ value: Int) -> UInt8 { UInt8(truncatingIfNeeded: max(0, min(255, value))) }
    @inline(__always) static func s16(_ value: Int) -> UInt16 { UInt16(truncatingIfNeeded: max(-32768, min(32767, value))) }
    @inline(__always) static func u16(_ value: Int) -> UInt16 { UInt16(truncatingIfNeeded: max(0, min(65535, value))) }
}
