// Shifts and rotates. Counts are masked to 5 bits, or 6 with 64-bit operands; 8- and 16-bit operands can be shifted by more
// than their width. The flags operations know all that; a count of 0 leaves the flags alone but writes the destination.
//
// Source: AMD APM volume 3, chapter 3; docs/x86.md for undefined flags.

import IR
import Translator

enum Shift {
    static func join(_ row: LiftTable) {
        row("shl") { $0.shift(.shiftLeft, .shiftLeft) }
        row("shr") { $0.shift(.shiftRightUnsigned, .shiftRightUnsigned) }
        row("sar") { $0.shift(.shiftRightSigned, .shiftRightSigned) }
        row("rol") { $0.shift(.rotateLeft, .rotateLeft) }
        row("ror") { $0.shift(.rotateRight, .rotateRight) }
        row("rcl") { $0.shift(.rotateCarryLeft, .rotateCarryLeft) }
        row("rcr") { $0.shift(.rotateCarryRight, .rotateCarryRight) }
        row("shld") { $0.doubleShift(left: true) }
        row("shrd") { $0.doubleShift(left: false) }
        row("shlx") { $0.flaglessShift(.shiftLeft) }
        row("shrx") { $0.flaglessShift(.shiftRightUnsigned) }
        row("sarx") { $0.flaglessShift(.shiftRightSigned) }
        row("rorx", rorx)
    }

    static func rorx(_ l: inout Lifter) {
        let size = l.size(0)
        let count = l.i.immediate & Int64(size * 8 - 1)
        l.write(0, l.b.binary(.rotateRight, l.read(1), l.k(count, size)))
    }
}

extension Lifter {
    /// The masked count in operand `number`, as the integer of `size` bytes.
    private mutating func count(_ number: Int, _ size: Int) -> ValueID {
        let mask: Int64 = size == 8 ? 63 : 31
        switch operand(number).kind {
        case .one: return k(1, size)
        case .immediate: return k(i.immediate & mask, size)
        default: return b.and(register(GPR.rcx, size), k(mask, size))
        }
    }

    mutating func shift(_ opcode: Opcode, _ operation: FlagOperation) {
        let size = size(0)
        let amount = count(1, size), old = read(0, write: true)
        let known = b.constantValue(amount)
        if known == 0 { return write(0, old) }
        let before: ValueID
        switch operation {
        case .shiftLeft, .shiftRightUnsigned, .shiftRightSigned: before = known == nil ? flags : .none
        default: before = flags
        }
        let value = shifted(opcode, old, amount, size, before)
        finish(value) { $0.flags(operation, old, amount, before: before) }
    }

    /// The value of a shift or rotate.
    private func shifted(_ opcode: Opcode, _ old: ValueID, _ amount: ValueID, _ size: Int, _ before: ValueID) -> ValueID {
        switch opcode {
        case .rotateCarryLeft, .rotateCarryRight: return b.withCarry(opcode, old, amount, before)
        case .rotateLeft, .rotateRight: return b.binary(opcode, old, amount)
        default: break
        }
        if size >= 4 { return b.binary(opcode, old, amount) }
        if let known = b.constantValue(amount), known < Int64(size * 8) { return b.binary(opcode, old, amount) }
        let wide = opcode == .shiftRightSigned ? b.signExtend(old, .i32) : b.zeroExtend(old, .i32)
        return b.truncate(b.binary(opcode, wide, b.zeroExtend(amount, .i32)), Self.type(size))
    }

    mutating func flaglessShift(_ opcode: Opcode) {
        let size = size(0), source = read(1)
        let amount = b.and(read(2), k(Int64(size * 8 - 1), size))
        write(0, b.binary(opcode, source, amount))
    }

    /// SHLD and SHRD: the bits shifted in come from operand 1.
    mutating func doubleShift(left: Bool) {
        let size = size(0), width = Int64(size * 8)
        let amount = count(2, size), old = read(0, write: true), filler = read(1)
        if b.constantValue(amount) == 0 { return write(0, old) }
        let value: ValueID
        if size == 2 {
            value = doubleShift16(left: left, old, filler, b.zeroExtend(amount, .i64))
        } else {
            let opcode: Opcode = left ? .shiftLeft : .shiftRightUnsigned
            let other: Opcode = left ? .shiftRightUnsigned : .shiftLeft
            // The filler moves by width − amount, in two steps so that an amount of 0 moves it out.
            let rest = b.xor(amount, k(width - 1, size))
            let moved = b.binary(other, b.binary(other, filler, k(1, size)), rest)
            value = b.or(b.binary(opcode, old, amount), moved)
        }
        let before = flags
        write(0, value)
        setFlags(doubleShiftFlags(value, old, amount, size, before, left: left))
    }

    /// The 16-bit forms: with counts above 16 the filler comes in a second time.
    private func doubleShift16(left: Bool, _ old: ValueID, _ filler: ValueID, _ amount: ValueID) -> ValueID {
        let a = b.zeroExtend(old, .i64), c = b.zeroExtend(filler, .i64)
        let twice = b.or(b.binary(.shiftLeft, c, k(16)), c)
        if left {
            let shifted = b.binary(.shiftLeft, b.or(b.binary(.shiftLeft, a, k(32)), twice), amount)
            return b.truncate(b.binary(.shiftRightUnsigned, shifted, k(32)), .i16)
        }
        let joined = b.or(b.binary(.shiftLeft, twice, k(16)), a)
        return b.truncate(b.binary(.shiftRightUnsigned, joined, amount), .i16)
    }

    /// SF ZF PF of the result, AF set. SHLD has CF and OF of SHL; SHRD has CF of SHR, and OF when the result's upper bits
    /// differ.
    private func doubleShiftFlags(_ value: ValueID, _ old: ValueID, _ amount: ValueID, _ size: Int, _ before: ValueID,
                                  left: Bool) -> ValueID {
        let width = Int64(size * 8)
        let single = b.flagsToBits(b.flags(left ? .shiftLeft : .shiftRightUnsigned, old, amount, before: before))
        var bits = b.and(b.flagsToBits(b.flags(.logic, value)), k(Int64(EFlags.sf | EFlags.zf | EFlags.pf)))
        bits = b.or(bits, k(Int64(EFlags.af)))
        if left {
            bits = b.or(bits, b.and(single, k(Int64(EFlags.cf | EFlags.of))))
        } else {
            bits = b.or(bits, b.and(single, k(Int64(EFlags.cf))))
            let differ = b.xor(b.binary(.shiftRightUnsigned, value, k(width - 1, size)),
                               b.binary(.shiftRightUnsigned, value, k(width - 2, size)))
            bits = b.or(bits, b.binary(.shiftLeft, b.and(b.zeroExtend(differ, .i64), k(1)), k(11)))
        }
        if b.constantValue(amount) == nil {
            bits = b.select(b.compare(.equal, amount, k(0, size)), b.flagsToBits(before), bits)
        }
        return b.bitsToFlags(bits)
    }
}
