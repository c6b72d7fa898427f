// Bit tests, scans and counts, BMI1 and BMI2.
//
// Source: AMD APM volume 3, chapter 3; docs/x86.md for undefined flags.

import IR
import Translator

enum BitOperations {
    static func join(_ row: LiftTable) {
        row("bt") { $0.bitTest(nil) }
        row("bts") { $0.bitTest(.or) }
        row("btr") { $0.bitTest(.andNot) }
        row("btc") { $0.bitTest(.xor) }
        row("bsf") { $0.scan(.countTrailingZeros) }
        row("bsr") { $0.scan(.countLeadingZeros) }
        row("tzcnt") { $0.count(.countTrailingZeros) }
        row("lzcnt") { $0.count(.countLeadingZeros) }
        row("popcnt", popcnt)
        row("andn", andn)
        row("blsi", blsi)
        row("blsmsk", blsmsk)
        row("blsr", blsr)
        row("bextr", bextr)
        row("bzhi", bzhi)
        row("pdep") { $0.depositBits(0) }
        row("pext") { $0.depositBits(1) }
        row("crc32", crc32)
    }

    /// ZF alone is set by the result, the other flags are cleared.
    static func popcnt(_ l: inout Lifter) {
        let source = l.read(1)
        l.write(0, l.b.unary(.populationCount, source))
        let zero = l.b.compare(.equal, source, l.k(0, l.size(0)))
        l.setFlags(l.b.bitsToFlags(l.bit(zero, 6)))
    }

    static func andn(_ l: inout Lifter) {
        let inverted = l.read(1)
        let value = l.b.binary(.andNot, l.read(2), inverted)
        l.finishBitField(value, carry: .none)
    }

    static func blsi(_ l: inout Lifter) {
        let source = l.read(1)
        l.finishBitField(l.b.and(source, l.b.unary(.negate, source)), carry: l.nonzero(source))
    }

    static func blsmsk(_ l: inout Lifter) {
        let source = l.read(1)
        l.finishBitField(l.b.xor(source, l.minusOne(source)), carry: l.isZero(source))
    }

    static func blsr(_ l: inout Lifter) {
        let source = l.read(1)
        l.finishBitField(l.b.and(source, l.minusOne(source)), carry: l.isZero(source))
    }

    /// Start in bits 7:0 of the control, length in bits 15:8; ZF PF by the result, AF set, CF OF SF cleared.
    static func bextr(_ l: inout Lifter) {
        let size = l.size(0), width = Int64(size * 8)
        let source = l.read(1), control = l.read(2)
        let start = l.b.and(control, l.k(255, size))
        let length = l.b.and(l.b.binary(.shiftRightUnsigned, control, l.k(8, size)), l.k(255, size))
        let zero = l.k(0, size)
        let shifted = l.b.select(l.b.compare(.lessUnsigned, start, l.k(width, size)),
                                 l.b.binary(.shiftRightUnsigned, source, start), zero)
        let value = l.b.select(l.b.compare(.lessUnsigned, length, l.k(width, size)),
                               l.b.binary(.andNot, shifted, l.b.binary(.shiftLeft, l.k(-1, size), length)), shifted)
        l.write(0, value)
        l.setFlagBits(l.b.flags(.logic, value), clear: EFlags.af | EFlags.sf, l.k(Int64(EFlags.af)))
    }

    static func bzhi(_ l: inout Lifter) {
        let size = l.size(0), width = Int64(size * 8)
        let source = l.read(1)
        let index = l.b.and(l.read(2), l.k(255, size))
        let inside = l.b.compare(.lessUnsigned, index, l.k(width, size))
        let cut = l.b.binary(.andNot, source, l.b.binary(.shiftLeft, l.k(-1, size), index))
        let value = l.b.select(inside, cut, source)
        l.finishBitField(value, carry: l.b.compare(.equal, inside, l.b.constant(0, .i1)))
    }

    static func crc32(_ l: inout Lifter) {
        let size = l.size(1)
        let value = l.b.zeroExtend(l.read(1), .i64)
        let sum = l.call(.crc32, l.truncated(l.register(Int(l.i.reg)), 4), value, l.k(Int64(size)))
        // The upper half is cleared with a 64-bit destination too.
        l.b.set(Int(l.i.reg), sum)
    }
}

extension Lifter {
    /// Whether an integer is zero, or not, as i1.
    func isZero(_ value: ValueID) -> ValueID { b.compare(.equal, value, b.constant(0, b.type(of: value))) }
    func nonzero(_ value: ValueID) -> ValueID { b.compare(.notEqual, value, b.constant(0, b.type(of: value))) }

    fileprivate func minusOne(_ value: ValueID) -> ValueID { b.sub(value, b.constant(1, b.type(of: value))) }

    /// Writes a BMI1 result: SF ZF PF by it, CF as given, AF and OF cleared.
    fileprivate mutating func finishBitField(_ value: ValueID, carry: ValueID) {
        write(0, value)
        let flags = b.flags(.logic, value)
        setFlags(carry == .none ? flags : b.setCarry(carry, before: flags))
    }

    // MARK: single bits

    /// BT and its relatives; `change` is what happens to the bit. Only CF changes.
    mutating func bitTest(_ change: Opcode?) {
        let size = size(0), width = Int64(size * 8)
        let index: ValueID
        if operand(1).kind == .immediate {
            index = k(i.immediate & (width - 1), size)
        } else {
            let whole = read(1)
            index = b.and(whole, k(width - 1, size))
            if isMemory(0) { useBitAddress(whole, size, write: change != nil) }
        }
        let mask = b.binary(.shiftLeft, k(1, size), index)
        let old: ValueID
        if let change, isLocked {
            switch change {
            case .or: old = atomic(.or, mask, size)
            case .xor: old = atomic(.xor, mask, size)
            default: old = atomic(.and, b.unary(.not, mask), size)
            }
        } else {
            old = read(0, write: change != nil)
            if let change { write(0, b.binary(change, old, mask)) }
        }
        let found = b.and(b.binary(.shiftRightUnsigned, old, index), k(1, size))
        setFlags(b.setCarry(nonzero(found), before: flags))
    }

    /// The memory operand of a bit index in a register: the index is signed and reaches beyond the operand.
    private mutating func useBitAddress(_ index: ValueID, _ size: Int, write: Bool) {
        let shift = Int64((size * 8).trailingZeroBitCount)
        let distance = b.binary(.shiftLeft, b.signExtend(b.binary(.shiftRightSigned, index, k(shift, size)), .i64),
                                k(Int64(size.trailingZeroBitCount)))
        if i.addressSize == 8 {
            let start = address(size: size, write: write)
            memoryOperand = X86Address(base: b.add(start.base, distance), displacement: start.displacement)
        } else {
            let offset = truncated(b.add(effectiveAddress(), distance), Int(i.addressSize))
            memoryOperand = linear(Segment(rawValue: i.defaultSegment) ?? .ds, offset, size: size, write: write)
        }
    }

    // MARK: scans and counts

    /// BSF and BSR: the destination keeps its value, upper half included, when the source is zero.
    mutating func scan(_ opcode: Opcode) {
        let size = size(0), source = read(1)
        let count = b.unary(opcode, source)
        let position = opcode == .countLeadingZeros ? b.sub(k(Int64(size * 8 - 1), size), count) : count
        let zero = isZero(source), number = Int(i.reg)
        let whole = register(number)
        let found: ValueID = switch size {
        case 8: position
        case 4: b.zeroExtend(position, .i64)
        default: b.deposit(whole, position)
        }
        b.set(number, b.select(zero, whole, found))
        // For a zero source ZF and PF; otherwise PF of the position, which is what `logic` finds, without its ZF.
        let parity = b.and(b.flagsToBits(b.flags(.logic, position)), k(Int64(EFlags.pf)))
        setFlags(b.bitsToFlags(b.select(zero, k(Int64(EFlags.zf | EFlags.pf)), parity)))
    }

    /// TZCNT and LZCNT: CF for a zero source, ZF for a zero result; OF stays, the others are cleared.
    mutating func count(_ opcode: Opcode) {
        let source = read(1), before = flags
        let value = b.unary(opcode, source)
        write(0, value)
        setFlagBits(before, clear: EFlags.status & ~EFlags.of, b.or(bit(isZero(source), 0), bit(isZero(value), 6)))
    }

    mutating func depositBits(_ kind: Int64) {
        let size = size(0)
        let source = b.zeroExtend(read(1), .i64), mask = b.zeroExtend(read(2), .i64)
        let value = call(.depositBits, source, mask, k(kind))
        write(0, b.truncate(value, Self.type(size)))
    }
}

/// CRC-32C, polynomial 11EDC6F41 reflected, one bit at a time.
let crc32Helper: HelperFunction = { _, sum, value, size in
    let polynomial: UInt32 = 0x82F6_3B78
    var sum = UInt32(truncatingIfNeeded: sum)
    for byte in 0..<min(size, 8) {
        sum ^= UInt32(value >> (8 * byte) & 0xFF)
        for _ in 0..<8 { sum = sum >> 1 ^ (sum & 1 != 0 ? polynomial : 0) }
    }
    return UInt64(sum)
}

/// PDEP spreads the low bits of a value over the bits of the mask, PEXT gathers them.
let depositBitsHelper: HelperFunction = { _, value, mask, kind in
    var rest = mask, result: UInt64 = 0, position: UInt64 = 0
    while rest != 0 {
        let lowest = rest & (0 &- rest)
        if kind == 0 {
            if value >> position & 1 != 0 { result |= lowest }
        } else if value & lowest != 0 {
            result |= 1 << position
        }
        rest &= rest &- 1
        position += 1
    }
    return result
}
