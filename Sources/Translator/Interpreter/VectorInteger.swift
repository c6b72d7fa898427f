// Integer vector operations of the interpreter, lane by lane.
//
// Spec: AMD64 Architecture Programmer's Manual vol. 4, the pages of the instructions.

import IR

/// Integer operations on vectors.
enum VectorInteger {
    @inline(__always)
    private static func b(_ lane: (Int) -> UInt8) -> Vector128 { Vector128(lanes: UInt8.self, lane) }
    @inline(__always)
    private static func w(_ lane: (Int) -> UInt16) -> Vector128 { Vector128(lanes: UInt16.self, lane) }
    @inline(__always)
    private static func d(_ lane: (Int) -> UInt32) -> Vector128 { Vector128(lanes: UInt32.self, lane) }
    @inline(__always)
    private static func q(_ lane: (Int) -> UInt64) -> Vector128 { Vector128(lanes: UInt64.self, lane) }
    @inline(__always)
    private static func w(_ value: Int) -> UInt16 { UInt16(truncatingIfNeeded: value) }
    @inline(__always)
    private static func d(_ value: Int) -> UInt32 { UInt32(truncatingIfNeeded: value) }

    /// Wrapping and saturating arithmetic, comparisons, minima and maxima; nil for other operations.
    static func arithmetic(_ operation: VectorOperation, _ x: Vector128, _ y: Vector128) -> Vector128? {
        switch operation {
        case .pand, .andps: x & y
        case .pandn, .andnps: ~x & y
        case .por, .orps: x | y
        case .pxor, .xorps: x ^ y
        case .paddb: b { x.u8($0) &+ y.u8($0) }
        case .paddw: w { x.u16($0) &+ y.u16($0) }
        case .paddd: d { x.u32($0) &+ y.u32($0) }
        case .paddq: q { x.u64($0) &+ y.u64($0) }
        case .psubb: b { x.u8($0) &- y.u8($0) }
        case .psubw: w { x.u16($0) &- y.u16($0) }
        case .psubd: d { x.u32($0) &- y.u32($0) }
        case .psubq: q { x.u64($0) &- y.u64($0) }
        case .paddsb: b { Saturate.s8(x.i8($0) + y.i8($0)) }
        case .paddsw: w { Saturate.s16(x.i16($0) + y.i16($0)) }
        case .paddusb: b { Saturate.u8(Int(x.u8($0)) + Int(y.u8($0))) }
        case .paddusw: w { Saturate.u16(Int(x.u16($0)) + Int(y.u16($0))) }
        case .psubsb: b { Saturate.s8(x.i8($0) - y.i8($0)) }
        case .psubsw: w { Saturate.s16(x.i16($0) - y.i16($0)) }
        case .psubusb: b { Saturate.u8(Int(x.u8($0)) - Int(y.u8($0))) }
        case .psubusw: w { Saturate.u16(Int(x.u16($0)) - Int(y.u16($0))) }
        case .pavgb: b { UInt8(truncatingIfNeeded: (Int(x.u8($0)) + Int(y.u8($0)) + 1) >> 1) }
        case .pavgw: w { w((Int(x.u16($0)) + Int(y.u16($0)) + 1) >> 1) }
        case .pminub: b { min(x.u8($0), y.u8($0)) }
        case .pmaxub: b { max(x.u8($0), y.u8($0)) }
        case .pminsw: w { w(min(x.i16($0), y.i16($0))) }
        case .pmaxsw: w { w(max(x.i16($0), y.i16($0))) }
        case .pminsb: b { UInt8(truncatingIfNeeded: min(x.i8($0), y.i8($0))) }
        case .pmaxsb: b { UInt8(truncatingIfNeeded: max(x.i8($0), y.i8($0))) }
        case .pminuw: w { min(x.u16($0), y.u16($0)) }
        case .pmaxuw: w { max(x.u16($0), y.u16($0)) }
        case .pminsd: d { d(min(x.i32($0), y.i32($0))) }
        case .pmaxsd: d { d(max(x.i32($0), y.i32($0))) }
        case .pminud: d { min(x.u32($0), y.u32($0)) }
        case .pmaxud: d { max(x.u32($0), y.u32($0)) }
        case .pcmpeqb: b { x.u8($0) == y.u8($0) ? .max : 0 }
        case .pcmpeqw: w { x.u16($0) == y.u16($0) ? .max : 0 }
        case .pcmpeqd: d { x.u32($0) == y.u32($0) ? .max : 0 }
        case .pcmpeqq: q { x.u64($0) == y.u64($0) ? .max : 0 }
        case .pcmpgtb: b { x.i8($0) > y.i8($0) ? .max : 0 }
        case .pcmpgtw: w { x.i16($0) > y.i16($0) ? .max : 0 }
        case .pcmpgtd: d { x.i32($0) > y.i32($0) ? .max : 0 }
        case .pcmpgtq: q { x.i64($0) > y.i64($0) ? .max : 0 }
        default: multiply(operation, x, y)
        }
    }

    private static func multiply(_ operation: VectorOperation, _ x: Vector128, _ y: Vector128) -> Vector128? {
        switch operation {
        case .pmulhw: w { w((x.i16($0) * y.i16($0)) >> 16) }
        case .pmulhuw: w { w((Int(x.u16($0)) * Int(y.u16($0))) >> 16) }
        case .pmullw: w { x.u16($0) &* y.u16($0) }
        case .pmulld: d { x.u32($0) &* y.u32($0) }
        case .pmuludq: q { UInt64(x.u32($0 * 2)) * UInt64(y.u32($0 * 2)) }
        case .pmuldq: q { UInt64(bitPattern: Int64(x.i32($0 * 2) * y.i32($0 * 2))) }
        case .pmaddwd: d { d(x.i16($0 * 2) * y.i16($0 * 2) + x.i16($0 * 2 + 1) * y.i16($0 * 2 + 1)) }
        case .pmaddubsw:
            w { Saturate.s16(Int(x.u8($0 * 2)) * y.i8($0 * 2) + Int(x.u8($0 * 2 + 1)) * y.i8($0 * 2 + 1)) }
        case .pmulhrsw: w { w((((x.i16($0) * y.i16($0)) >> 14) + 1) >> 1) }
        case .psadbw:
            q { half in
                (0..<8).reduce(0) { sum, index in
                    let lane = half * 8 + index
                    return sum + UInt64(abs(Int(x.u8(lane)) - Int(y.u8(lane))))
                }
            }
        case .psignb: b { sign(y.i8($0), x.u8($0)) }
        case .psignw: w { sign(y.i16($0), x.u16($0)) }
        case .psignd: d { sign(y.i32($0), x.u32($0)) }
        case .phaddw: w { pair($0, 8, x, y) { v, i in v.u16(i) &+ v.u16(i + 1) } }
        case .phaddd: d { pair($0, 4, x, y) { v, i in v.u32(i) &+ v.u32(i + 1) } }
        case .phaddsw: w { pair($0, 8, x, y) { v, i in Saturate.s16(v.i16(i) + v.i16(i + 1)) } }
        case .phsubw: w { pair($0, 8, x, y) { v, i in v.u16(i) &- v.u16(i + 1) } }
        case .phsubd: d { pair($0, 4, x, y) { v, i in v.u32(i) &- v.u32(i + 1) } }
        case .phsubsw: w { pair($0, 8, x, y) { v, i in Saturate.s16(v.i16(i) - v.i16(i + 1)) } }
        default: nil
        }
    }

    @inline(__always)
    private static func sign<T: FixedWidthInteger>(_ sign: Int, _ value: T) -> T {
        sign < 0 ? 0 &- value : sign == 0 ? 0 : value
    }

    /// Lane `index` of a horizontal operation: from neighbours of x in the lower half, of y in the upper one.
    @inline(__always)
    private static func pair<T>(_ index: Int, _ count: Int, _ x: Vector128, _ y: Vector128,
                                _ operation: (Vector128, Int) -> T) -> T {
        let half = count / 2
        return index < half ? operation(x, index * 2) : operation(y, (index - half) * 2)
    }

    // MARK: shifts

    /// Shifts; the amount is the low quadword of y or an immediate in it. Nil for other operations.
    static func shift(_ operation: VectorOperation, _ x: Vector128, _ y: Vector128) -> Vector128? {
        let amount = y.low
        switch operation {
        case .psllw, .psllwImmediate: return w { amount > 15 ? 0 : x.u16($0) &<< UInt16(amount) }
        case .pslld, .pslldImmediate: return d { amount > 31 ? 0 : x.u32($0) &<< UInt32(amount) }
        case .psllq, .psllqImmediate: return q { amount > 63 ? 0 : x.u64($0) &<< amount }
        case .psrlw, .psrlwImmediate: return w { amount > 15 ? 0 : x.u16($0) &>> UInt16(amount) }
        case .psrld, .psrldImmediate: return d { amount > 31 ? 0 : x.u32($0) &>> UInt32(amount) }
        case .psrlq, .psrlqImmediate: return q { amount > 63 ? 0 : x.u64($0) &>> amount }
        case .psraw, .psrawImmediate: return w { w(x.i16($0) >> Int(min(amount, 15))) }
        case .psrad, .psradImmediate: return d { d(x.i32($0) >> Int(min(amount, 31))) }
        case .pslldq: return x.shiftedUp(bytes: Int(min(amount, 16)))
        case .psrldq: return x.shiftedDown(bytes: Int(min(amount, 16)))
        case .vpsllvd: return d { y.u32($0) > 31 ? 0 : x.u32($0) &<< y.u32($0) }
        case .vpsllvq: return q { y.u64($0) > 63 ? 0 : x.u64($0) &<< y.u64($0) }
        case .vpsrlvd: return d { y.u32($0) > 31 ? 0 : x.u32($0) &>> y.u32($0) }
        case .vpsrlvq: return q { y.u64($0) > 63 ? 0 : x.u64($0) &>> y.u64($0) }
        case .vpsravd: return d { d(x.i32($0) >> Int(min(y.u32($0), 31))) }
        default: return nil
        }
    }

    // MARK: moves between lanes

    /// Shuffles, packs, unpacks, blends, widenings; nil for other operations.
    static func shuffle(_ operation: VectorOperation, _ x: Vector128, _ y: Vector128, _ z: Vector128,
                        _ immediate: UInt8) -> Vector128? {
        let k = Int(immediate)
        switch operation {
        case .zero: return Vector128()
        case .movss: return x.with(0, y.u32(0))
        case .movsd: return x.with(0, y.u64(0))
        case .movhlps: return Vector128(low: y.high, high: x.high)
        case .packsswb: return b { Saturate.s8($0 < 8 ? x.i16($0) : y.i16($0 - 8)) }
        case .packuswb: return b { Saturate.u8($0 < 8 ? x.i16($0) : y.i16($0 - 8)) }
        case .packssdw: return w { Saturate.s16($0 < 4 ? x.i32($0) : y.i32($0 - 4)) }
        case .packusdw: return w { Saturate.u16($0 < 4 ? x.i32($0) : y.i32($0 - 4)) }
        case .punpcklbw: return b { $0 & 1 == 0 ? x.u8($0 / 2) : y.u8($0 / 2) }
        case .punpcklwd: return w { $0 & 1 == 0 ? x.u16($0 / 2) : y.u16($0 / 2) }
        case .punpckldq, .unpcklps: return d { $0 & 1 == 0 ? x.u32($0 / 2) : y.u32($0 / 2) }
        case .punpcklqdq, .unpcklpd: return Vector128(low: x.low, high: y.low)
        case .punpckhbw: return b { $0 & 1 == 0 ? x.u8(8 + $0 / 2) : y.u8(8 + $0 / 2) }
        case .punpckhwd: return w { $0 & 1 == 0 ? x.u16(4 + $0 / 2) : y.u16(4 + $0 / 2) }
        case .punpckhdq, .unpckhps: return d { $0 & 1 == 0 ? x.u32(2 + $0 / 2) : y.u32(2 + $0 / 2) }
        case .punpckhqdq, .unpckhpd: return Vector128(low: x.high, high: y.high)
        case .pshufd, .shufps:
            let second = operation == .pshufd ? x : y
            return d { ($0 < 2 ? x : second).u32(k >> ($0 * 2) & 3) }
        case .shufpd: return Vector128(low: x.u64(k & 1), high: y.u64(k >> 1 & 1))
        case .pshuflw: return w { $0 < 4 ? x.u16(k >> ($0 * 2) & 3) : x.u16($0) }
        case .pshufhw: return w { $0 < 4 ? x.u16($0) : x.u16(4 + k >> (($0 - 4) * 2) & 3) }
        case .pshufb: return b { y.u8($0) & 0x80 != 0 ? 0 : x.u8(Int(y.u8($0) & 15)) }
        case .palignr:
            let amount = Int(immediate)
            return amount < 16 ? y.shiftedDown(bytes: amount) | x.shiftedUp(bytes: 16 - amount)
                : x.shiftedDown(bytes: amount - 16)
        case .vpermilps: return d { x.u32(Int(y.u32($0) & 3)) }
        case .vpermilpd: return q { x.u64(Int(y.u64($0) >> 1 & 1)) }
        case .movsldup: return d { x.u32($0 & 2) }
        case .movshdup: return d { x.u32($0 | 1) }
        case .movddup, .vpbroadcastq: return Vector128(low: x.low, high: x.low)
        case .vpbroadcastb: return b { _ in x.u8(0) }
        case .vpbroadcastw: return w { _ in x.u16(0) }
        case .vpbroadcastd: return d { _ in x.u32(0) }
        case .blendps: return d { k >> $0 & 1 != 0 ? y.u32($0) : x.u32($0) }
        case .blendpd: return q { k >> $0 & 1 != 0 ? y.u64($0) : x.u64($0) }
        case .pblendw: return w { k >> $0 & 1 != 0 ? y.u16($0) : x.u16($0) }
        case .blendvps: return d { z.i32($0) < 0 ? y.u32($0) : x.u32($0) }
        case .blendvpd: return q { z.i64($0) < 0 ? y.u64($0) : x.u64($0) }
        case .pblendvb: return b { z.i8($0) < 0 ? y.u8($0) : x.u8($0) }
        case .insertps:
            var result = x.with(k >> 4 & 3, y.u32(k >> 6))
            for lane in 0..<4 where k >> lane & 1 != 0 { result[lane] = UInt32(0) }
            return result
        default: return widen(operation, x) ?? other(operation, x, y, k)
        }
    }

    private static func widen(_ operation: VectorOperation, _ x: Vector128) -> Vector128? {
        switch operation {
        case .pabsb: b { UInt8(truncatingIfNeeded: abs(x.i8($0))) }
        case .pabsw: w { w(abs(x.i16($0))) }
        case .pabsd: d { d(abs(x.i32($0))) }
        case .pmovsxbw: w { w(x.i8($0)) }
        case .pmovsxbd: d { d(x.i8($0)) }
        case .pmovsxbq: q { UInt64(bitPattern: Int64(x.i8($0))) }
        case .pmovsxwd: d { d(x.i16($0)) }
        case .pmovsxwq: q { UInt64(bitPattern: Int64(x.i16($0))) }
        case .pmovsxdq: q { UInt64(bitPattern: Int64(x.i32($0))) }
        case .pmovzxbw: w { UInt16(x.u8($0)) }
        case .pmovzxbd: d { UInt32(x.u8($0)) }
        case .pmovzxbq: q { UInt64(x.u8($0)) }
        case .pmovzxwd: d { UInt32(x.u16($0)) }
        case .pmovzxwq: q { UInt64(x.u16($0)) }
        case .pmovzxdq: q { UInt64(x.u32($0)) }
        default: nil
        }
    }

    private static func other(_ operation: VectorOperation, _ x: Vector128, _ y: Vector128, _ k: Int) -> Vector128? {
        switch operation {
        case .phminposuw:
            var best = 0
            for lane in 1..<8 where x.u16(lane) < x.u16(best) { best = lane }
            return Vector128(low: UInt64(x.u16(best)) | UInt64(best) << 16, high: 0)
        case .mpsadbw:
            let first = (k >> 2 & 1) * 4, second = (k & 3) * 4
            return w { lane in
                (0..<4).reduce(0) { $0 + w(abs(Int(x.u8(first + lane + $1)) - Int(y.u8(second + $1)))) }
            }
        default: return nil
        }
    }

    /// Operations whose result is an integer; nil for others.
    static func toInteger(_ operation: VectorOperation, _ x: Vector128, _ immediate: UInt8) -> Int64? {
        let k = Int(immediate)
        switch operation {
        case .pmovmskb: return Int64((0..<16).reduce(0) { $0 | (x.i8($1) < 0 ? 1 << $1 : 0) })
        case .movmskps: return Int64((0..<4).reduce(0) { $0 | (x.i32($1) < 0 ? 1 << $1 : 0) })
        case .movmskpd: return Int64((0..<2).reduce(0) { $0 | (x.i64($1) < 0 ? 1 << $1 : 0) })
        case .pextrb: return Int64(x.u8(k & 15))
        case .pextrw: return Int64(x.u16(k & 7))
        case .pextrd: return Int64(x.i32(k & 3))
        case .pextrq: return x.i64(k & 1)
        default: return nil
        }
    }

    /// Insertion of an integer into a lane; nil for other operations.
    static func insert(_ operation: VectorOperation, _ x: Vector128, _ value: Int64, _ immediate: UInt8) -> Vector128? {
        let k = Int(immediate)
        switch operation {
        case .pinsrb: return x.with(k & 15, UInt8(truncatingIfNeeded: value))
        case .pinsrw: return x.with(k & 7, UInt16(truncatingIfNeeded: value))
        case .pinsrd: return x.with(k & 3, UInt32(truncatingIfNeeded: value))
        case .pinsrq: return x.with(k & 1, UInt64(bitPattern: value))
        default: return nil
        }
    }
}
