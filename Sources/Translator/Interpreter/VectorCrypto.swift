// AES rounds, carry-less multiplication, SHA rounds and CRC32C of the interpreter.
//
// Spec: FIPS 197 (AES), FIPS 180-4 (SHA); operand placement as in the AMD64 Architecture Programmer's Manual vol. 4.

import IR

/// Cryptographic vector operations.
enum VectorCrypto {
    /// Nil for other operations.
    static func evaluate(_ operation: VectorOperation, _ x: Vector128, _ y: Vector128, _ z: Vector128,
                         _ immediate: UInt8) -> Vector128? {
        switch operation {
        case .aesenc: mixColumns(substitute(shiftRows(x), AES.forward), AES.mix) ^ y
        case .aesenclast: substitute(shiftRows(x), AES.forward) ^ y
        case .aesdec: mixColumns(substitute(unshiftRows(x), AES.inverse), AES.unmix) ^ y
        case .aesdeclast: substitute(unshiftRows(x), AES.inverse) ^ y
        case .aesimc: mixColumns(x, AES.unmix)
        case .aeskeygenassist: keyAssist(x, immediate)
        case .pclmulqdq: carrylessProduct(x.u64(Int(immediate & 1)), y.u64(Int(immediate >> 4 & 1)))
        case .sha1rnds4: sha1Rounds(x, y, immediate & 3)
        case .sha1nexte: y.with(3, y.u32(3) &+ rotated(x.u32(3), 30))
        case .sha1msg1:
            Vector128(lanes: UInt32.self) { $0 < 2 ? x.u32($0) ^ y.u32($0 + 2) : x.u32($0) ^ x.u32($0 - 2) }
        case .sha1msg2: sha1Message2(x, y)
        case .sha256rnds2: sha256Rounds(x, y, z)
        case .sha256msg1:
            Vector128(lanes: UInt32.self) { x.u32($0) &+ sigma0($0 < 3 ? x.u32($0 + 1) : y.u32(0)) }
        case .sha256msg2: sha256Message2(x, y)
        default: nil
        }
    }

    @inline(__always)
    private static func rotated(_ value: UInt32, _ left: UInt32) -> UInt32 { value &<< left | value &>> (32 &- left) }

    // MARK: AES

    /// Tables computed from the definition of the field GF(2^8) modulo x^8 + x^4 + x^3 + x + 1.
    private enum AES {
        static let forward: [UInt8] = (0..<256).map { value in
            let inverse = inverted(UInt8(value))
            var result: UInt8 = 0x63
            for turn in 0..<5 { result ^= inverse << turn | inverse >> (8 - turn) }
            return result
        }
        static let inverse: [UInt8] = {
            var table = [UInt8](repeating: 0, count: 256)
            for (index, value) in forward.enumerated() { table[Int(value)] = UInt8(index) }
            return table
        }()
        /// First row of the circulant matrices of MixColumns and its inverse.
        static let mix: [UInt8] = [2, 3, 1, 1]
        static let unmix: [UInt8] = [14, 11, 13, 9]

        static func product(_ a: UInt8, _ b: UInt8) -> UInt8 {
            var a = a, result: UInt8 = 0
            for bit in 0..<8 {
                if b >> bit & 1 != 0 { result ^= a }
                a = a << 1 ^ (a & 0x80 != 0 ? 0x1B : 0)
            }
            return result
        }

        private static func inverted(_ value: UInt8) -> UInt8 {
            var power = value // value^254
            for _ in 0..<6 { power = product(product(power, power), value) }
            return product(power, power)
        }
    }

    private static func shiftRows(_ x: Vector128) -> Vector128 {
        Vector128(lanes: UInt8.self) { x.u8(($0 + 4 * ($0 & 3)) & 15) }
    }

    private static func unshiftRows(_ x: Vector128) -> Vector128 {
        Vector128(lanes: UInt8.self) { x.u8(($0 - 4 * ($0 & 3)) & 15) }
    }

    private static func substitute(_ x: Vector128, _ table: [UInt8]) -> Vector128 {
        Vector128(lanes: UInt8.self) { table[Int(x.u8($0))] }
    }

    private static func mixColumns(_ x: Vector128, _ matrix: [UInt8]) -> Vector128 {
        Vector128(lanes: UInt8.self) { lane in
            let column = lane & ~3
            return (0..<4).reduce(0) { $0 ^ AES.product(x.u8(column + $1), matrix[($1 - lane) & 3]) }
        }
    }

    private static func keyAssist(_ x: Vector128, _ constant: UInt8) -> Vector128 {
        func word(_ value: UInt32) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(AES.forward[Int(value >> UInt32($1 * 8) & 0xFF)]) << UInt32($1 * 8) }
        }
        return Vector128(lanes: UInt32.self) { lane in
            let substituted = word(x.u32(lane | 1))
            return lane & 1 == 0 ? substituted : rotated(substituted, 24) ^ UInt32(constant)
        }
    }

    private static func carrylessProduct(_ a: UInt64, _ b: UInt64) -> Vector128 {
        var result = Vector128()
        for bit in UInt64(0)..<64 where b &>> bit & 1 != 0 {
            result.low ^= a &<< bit
            if bit > 0 { result.high ^= a &>> (64 &- bit) }
        }
        return result
    }

    // MARK: SHA

    private static func sha1Rounds(_ x: Vector128, _ y: Vector128, _ stage: UInt8) -> Vector128 {
        let constants: [UInt32] = [0x5A82_7999, 0x6ED9_EBA1, 0x8F1B_BCDC, 0xCA62_C1D6]
        var a = x.u32(3), b = x.u32(2), c = x.u32(1), d = x.u32(0), e: UInt32 = 0
        for round in 0..<4 {
            let f = switch stage {
            case 0: b & c ^ ~b & d
            case 2: b & c ^ b & d ^ c & d
            default: b ^ c ^ d
            }
            let next = f &+ rotated(a, 5) &+ y.u32(3 - round) &+ e &+ constants[Int(stage)]
            e = d
            d = c
            c = rotated(b, 30)
            b = a
            a = next
        }
        return Vector128(lanes: UInt32.self) { [d, c, b, a][$0] }
    }

    private static func sha1Message2(_ x: Vector128, _ y: Vector128) -> Vector128 {
        let w16 = rotated(x.u32(3) ^ y.u32(2), 1), w17 = rotated(x.u32(2) ^ y.u32(1), 1)
        let w18 = rotated(x.u32(1) ^ y.u32(0), 1), w19 = rotated(x.u32(0) ^ w16, 1)
        return Vector128(lanes: UInt32.self) { [w19, w18, w17, w16][$0] }
    }

    private static func sigma0(_ w: UInt32) -> UInt32 { rotated(w, 25) ^ rotated(w, 14) ^ w &>> 3 }
    private static func sigma1(_ w: UInt32) -> UInt32 { rotated(w, 15) ^ rotated(w, 13) ^ w &>> 10 }

    private static func sha256Message2(_ x: Vector128, _ y: Vector128) -> Vector128 {
        let w16 = x.u32(0) &+ sigma1(y.u32(2)), w17 = x.u32(1) &+ sigma1(y.u32(3))
        let w18 = x.u32(2) &+ sigma1(w16), w19 = x.u32(3) &+ sigma1(w17)
        return Vector128(lanes: UInt32.self) { [w16, w17, w18, w19][$0] }
    }

    /// x holds c d g h from the top, y a b e f, z two words with their constants added.
    private static func sha256Rounds(_ x: Vector128, _ y: Vector128, _ z: Vector128) -> Vector128 {
        var a = y.u32(3), b = y.u32(2), c = x.u32(3), d = x.u32(2)
        var e = y.u32(1), f = y.u32(0), g = x.u32(1), h = x.u32(0)
        for round in 0..<2 {
            let choice = e & f ^ ~e & g, majority = a & b ^ a & c ^ b & c
            let sum1 = rotated(e, 26) ^ rotated(e, 21) ^ rotated(e, 7)
            let sum0 = rotated(a, 30) ^ rotated(a, 19) ^ rotated(a, 10)
            let first = h &+ sum1 &+ choice &+ z.u32(round), second = sum0 &+ majority
            h = g
            g = f
            f = e
            e = d &+ first
            d = c
            c = b
            b = a
            a = first &+ second
        }
        return Vector128(lanes: UInt32.self) { [f, e, b, a][$0] }
    }

    // MARK: CRC32C

    /// The CRC of `bits` bits of `data`, polynomial 11EDC6F41 reflected; nil for other operations.
    static func crc(_ operation: VectorOperation, _ start: Int64, _ data: Int64) -> Int64? {
        let bits: Int
        switch operation {
        case .crc32b: bits = 8
        case .crc32w: bits = 16
        case .crc32d: bits = 32
        case .crc32q: bits = 64
        default: return nil
        }
        var crc = UInt32(truncatingIfNeeded: start), data = UInt64(bitPattern: data)
        for _ in 0..<bits {
            let feedback = (crc ^ UInt32(truncatingIfNeeded: data)) & 1
            crc = crc &>> 1 ^ (feedback != 0 ? 0x82F6_3B78 : 0)
            data &>>= 1
        }
        return Int64(crc)
    }
}
