// PCMPESTRI and its kin in the interpreter.
//
// Spec: Intel SDM vol. 2, 4.1 "Imm8 control byte operation for PCMPESTRI …".

import IR

/// What a string comparison leaves behind.
struct StringComparison {
    /// The result bits by element, after polarity.
    private(set) var mask: UInt32 = 0
    private let elements: Int
    private let immediate: UInt8
    private let lengthA: Int
    private let lengthB: Int

    /// - Parameters:
    ///   - lengths: bits 15…8 that of b, bits 7…0 that of a; nil when zeros end the strings.
    init(_ a: Vector128, _ b: Vector128, _ immediate: UInt8, lengths: Int64?) {
        self.immediate = immediate
        let isWord = immediate & 1 != 0
        elements = isWord ? 8 : 16
        let count = elements
        func element(_ vector: Vector128, _ index: Int) -> Int {
            switch immediate & 3 {
            case 0: Int(vector.u8(index))
            case 1: Int(vector.u16(index))
            case 2: vector.i8(index)
            default: vector.i16(index)
            }
        }
        func implicit(_ vector: Vector128) -> Int { (0..<count).first { element(vector, $0) == 0 } ?? count }
        lengthA = lengths.map { min(count, Int($0 & 0xFF)) } ?? implicit(a)
        lengthB = lengths.map { min(count, Int($0 >> 8 & 0xFF)) } ?? implicit(b)
        var first: UInt32 = 0
        switch immediate >> 2 & 3 {
        case 0: // equal any
            for j in 0..<lengthB where (0..<lengthA).contains(where: { element(a, $0) == element(b, j) }) { first |= 1 << j }
        case 1: // ranges
            for j in 0..<lengthB {
                for i in stride(from: 0, to: lengthA - 1, by: 2)
                where element(a, i) <= element(b, j) && element(b, j) <= element(a, i + 1) { first |= 1 << j }
            }
        case 2: // equal each
            for j in 0..<count {
                let isEqual = j < lengthA && j < lengthB ? element(a, j) == element(b, j) : j >= lengthA && j >= lengthB
                if isEqual { first |= 1 << j }
            }
        default: // equal ordered
            for j in 0..<count {
                let isFound = (0..<count - j).allSatisfy { i in
                    i >= lengthA || i + j < lengthB && element(a, i) == element(b, i + j)
                }
                if isFound { first |= 1 << j }
            }
        }
        let all = UInt32(1) << count - 1
        switch immediate >> 4 & 3 {
        case 1: first ^= all
        case 3: first ^= UInt32(1) << lengthB - 1
        default: break
        }
        mask = first
    }

    /// What goes to ECX.
    var index: Int64 {
        if mask == 0 { return Int64(elements) }
        return Int64(immediate & 0x40 == 0 ? mask.trailingZeroBitCount : 31 - mask.leadingZeroBitCount)
    }

    /// What goes to XMM0.
    var vector: Vector128 {
        if immediate & 0x40 == 0 { return Vector128(low: UInt64(mask), high: 0) }
        let bits = mask
        return elements == 8 ? Vector128(lanes: UInt16.self) { bits >> $0 & 1 != 0 ? .max : 0 }
            : Vector128(lanes: UInt8.self) { bits >> $0 & 1 != 0 ? .max : 0 }
    }

    /// Packed flags: CF a bit is set, ZF b ended, SF a ended, OF the lowest bit.
    var flags: Int64 {
        VectorEvaluation.packedFlags(carry: mask != 0, zero: lengthB < elements, sign: lengthA < elements, parity: false,
                                     overflow: mask & 1 != 0)
    }
}
