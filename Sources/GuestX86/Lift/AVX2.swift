// AVX2 beyond the generic operations: permutations across lanes of 128 bits, gathers.
//
// Source: AMD APM volume 4, chapter 2.

import IR
import Translator

enum AVX2 {
    static func join(_ row: LiftTable) {
        for name in ["vpermq", "vpermpd"] as [StaticString] { row(name) { $0.permuteQuadwords() } }
        for name in ["vpermd", "vpermps"] as [StaticString] { row(name) { $0.permuteDoublewords() } }
        row("vpgatherdd") { $0.gather(index: 4, data: 4) }
        row("vgatherdps") { $0.gather(index: 4, data: 4) }
        row("vpgatherdq") { $0.gather(index: 4, data: 8) }
        row("vgatherdpd") { $0.gather(index: 4, data: 8) }
        row("vpgatherqd") { $0.gather(index: 8, data: 4) }
        row("vgatherqps") { $0.gather(index: 8, data: 4) }
        row("vpgatherqq") { $0.gather(index: 8, data: 8) }
        row("vgatherqpd") { $0.gather(index: 8, data: 8) }
    }
}

extension Lifter {
    /// Each quadword of the result is one of four, by two bits of the immediate.
    mutating func permuteQuadwords() {
        let halves = [readVector(1), readVector(1, half: 1)]
        let immediate = Int(i.immediate)
        func pair(_ shift: Int) -> ValueID {
            let first = immediate >> shift & 3, second = immediate >> (shift + 2) & 3
            return b.vector(.shufpd, halves[first >> 1], halves[second >> 1], immediate: UInt8(first & 1 | (second & 1) << 1))
        }
        writeVector(0, pair(0), pair(4))
    }

    /// Each doubleword of the result is one of eight, by the low three bits of a lane of the first source.
    mutating func permuteDoublewords() {
        let low = readVector(2), high = readVector(2, half: 1)
        eachHalf { l, half in
            let index = l.readVector(1, half: half)
            let fromLow = l.b.vector(.vpermilps, low, index), fromHigh = l.b.vector(.vpermilps, high, index)
            let choice = l.b.vector(.pslldImmediate, index, immediate: 29)
            return l.b.vector(.blendvps, fromLow, fromHigh, choice)
        }
    }

    /// VGATHERDPS and its kin, in a helper: lanes done so far are kept when one faults.
    mutating func gather(index: Int, data: Int) {
        // Destination, mask and index must be different registers.
        if i.reg == i.vvvv || i.reg == UInt8(truncatingIfNeeded: Int(i.index)) || Int(i.vvvv) == Int(i.index) {
            return undefined()
        }
        let request = Gather(destination: Int(i.reg), mask: Int(i.vvvv), index: Int(i.index), indexBytes: index,
                             dataBytes: data, isWide: i.l, scale: Int(i.scale), addressSize: Int(i.addressSize),
                             segment: i.defaultSegment)
        let base = i.base >= 0 ? register(Int(i.base)) : k(0)
        call(.gather, b.add(base, k(i.displacement)), k(Int64(request.rawValue)))
    }
}

/// Argument of the helper `gather`.
struct Gather: RawRepresentable {
    /// Bits 3:0 destination, 7:4 mask, 11:8 index, 12 index of 8 bytes, 13 data of 8 bytes, 14 256 bits, 16:15 scale,
    /// 18:17 log2 of the address size, 21:19 segment.
    let rawValue: UInt64
    init(rawValue: UInt64) { self.rawValue = rawValue }
    init(destination: Int, mask: Int, index: Int, indexBytes: Int, dataBytes: Int, isWide: Bool, scale: Int,
         addressSize: Int, segment: Int) {
        var bits = UInt64(destination) | UInt64(mask) << 4 | UInt64(index) << 8
        if indexBytes == 8 { bits |= 1 << 12 }
        if dataBytes == 8 { bits |= 1 << 13 }
        if isWide { bits |= 1 << 14 }
        rawValue = bits | UInt64(scale) << 15 | UInt64(addressSize.trailingZeroBitCount) << 17 | UInt64(segment) << 19
    }

    var destination: Int { Int(rawValue & 15) }
    var mask: Int { Int(rawValue >> 4 & 15) }
    var index: Int { Int(rawValue >> 8 & 15) }
    var indexBytes: Int { rawValue & 1 << 12 != 0 ? 8 : 4 }
    var dataBytes: Int { rawValue & 1 << 13 != 0 ? 8 : 4 }
    var isWide: Bool { rawValue & 1 << 14 != 0 }
    var scale: UInt64 { rawValue >> 15 & 3 }
    var addressBytes: Int { 1 << Int(rawValue >> 17 & 3) }
    var segment: Segment { Segment(rawValue: Int(rawValue >> 19 & 7)) ?? .ds }
}
