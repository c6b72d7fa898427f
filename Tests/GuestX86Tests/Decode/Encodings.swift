// Encodings of a row with everything else left to chance.

@testable import GuestX86

/// Makes byte sequences that a row should match.
struct Encodings {
    var generator: ByteGenerator

    private mutating func bits(_ count: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: generator.next()) & UInt8((1 << count) - 1)
    }

    private mutating func chance(_ one: Int) -> Bool { generator.next() % UInt64(one) == 0 }

    /// A value whose bit is set in `allowed`.
    private mutating func choose(_ allowed: UInt8, of count: Int) -> UInt8 {
        while true {
            let value = UInt8(truncatingIfNeeded: generator.next() >> 8) % UInt8(count)
            if allowed >> value & 1 != 0 { return value }
        }
    }

    /// Sixteen random bytes.
    mutating func random() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 16)
        for half in 0..<2 {
            let value = generator.next()
            for index in 0..<8 { bytes[half * 8 + index] = UInt8(truncatingIfNeeded: value >> UInt64(index * 8)) }
        }
        return bytes
    }

    /// Sixteen bytes of which the first are an encoding of the row, or nil when the mode has none.
    mutating func of(_ row: X86Row, _ codeSize: Mode.CodeSize) -> [UInt8]? {
        let is64 = codeSize == .bits64
        let constraint = row.constraint
        guard constraint.modes >> (is64 ? 1 : 0) & 1 != 0 else { return nil }
        var bytes: [UInt8] = []
        let isVectorIndexed = row.flags.contains(.vectorIndexed)
        var has67 = chance(8)
        if isVectorIndexed { has67 = codeSize == .bits16 }
        if has67 { bytes.append(0x67) }
        if chance(8) { bytes.append(is64 ? 0x64 + bits(1) : [0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65][Int(bits(8) % 6)]) }
        let canHaveW = is64 || row.flags.contains(.vex)
        if !canHaveW, constraint.ws == 2 { return nil }
        let w = canHaveW ? choose(constraint.ws, of: 2) : 0
        if row.flags.contains(.vex) {
            let extend = is64 ? bits(3) : 0
            let prefix = choose(constraint.prefixes, of: 4), l = choose(constraint.ls, of: 2)
            let vvvv = row.flags.contains(.vvvv) ? is64 ? bits(4) : bits(3) | 8 : 0xF
            if row.map == .vex0F, w == 0, extend & 3 == 0, chance(2) {
                bytes += [0xC5, (~extend & 4) << 5 | vvvv << 3 | l << 2 | prefix]
            } else {
                let map = row.map.rawValue - X86Row.OpcodeMap.vex0F.rawValue + 1
                bytes += [0xC4, (~extend & 7) << 5 | map, w << 7 | vvvv << 3 | l << 2 | prefix]
            }
        } else {
            switch constraint.prefixes {
            case 2: bytes.append(0x66)
            case 4: bytes.append(0xF3)
            case 8: bytes.append(0xF2)
            case 1: break
            default: if chance(4) { bytes.append(0x66) }
            }
            if is64, w == 1 || chance(2) {
                let isFixed = !row.flags.contains(.modRM) && constraint.rms == 1
                bytes.append(0x40 | w << 3 | bits(3) & (isFixed ? 6 : 7))
            }
            switch row.map {
            case .map0F: bytes.append(0x0F)
            case .map0F38: bytes += [0x0F, 0x38]
            case .map0F3A: bytes += [0x0F, 0x3A]
            case .threeDNow: bytes += [0x0F, 0x0F]
            default: break
            }
        }
        if row.map != .threeDNow {
            bytes.append(UInt8.random(in: row.opcode...row.lastOpcode, using: &generator))
        }
        if row.flags.contains(.modRM) {
            let mod = constraint.mods == 2 ? 3 : constraint.mods == 1 ? bits(8) % 3 : bits(2)
            let rm = isVectorIndexed ? 4 : choose(constraint.rms, of: 8)
            bytes.append(mod << 6 | choose(constraint.regs, of: 8) << 3 | rm)
            if row.map == .threeDNow {
                // The suffix comes behind SIB and displacement, so these must be known: take the short forms.
                bytes[bytes.count - 1] |= 0xC0
                bytes.append(row.opcode)
            }
        }
        return Array((bytes + random()).prefix(16))
    }
}

/// SplitMix64: sequences that repeat.
struct ByteGenerator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
}
