// Condition codes of the interpreter, in the packed form of the flags global: bits 15…8 as LAHF gives them
// (SF ZF 0 AF 0 PF 1 CF), bit 0 OF.
//
// Spec: AMD64 APM Vol. 3, "Affected flags" of each instruction; flags it calls undefined are as AMD processors leave them
// (docs/x86.md).

import IR

/// Packed flags and their computation.
enum FlagEvaluation {
    static let overflow: Int64 = 1
    static let carry: Int64 = 0x100, fixed: Int64 = 0x200, parity: Int64 = 0x400, adjust: Int64 = 0x1000
    static let zero: Int64 = 0x4000, sign: Int64 = 0x8000
    private static let szp = sign | zero | parity

    /// The flags an operation leaves behind.
    /// - Parameters:
    ///   - width: of the operands in bits: 8, 16, 32 or 64.
    ///   - before: packed flags before the operation.
    static func flags(_ operation: FlagOperation, width: Int, _ a: Int64, _ b: Int64, before: Int64) -> Int64 {
        let mask = width == 64 ? UInt64.max : (1 << UInt64(width)) - 1
        let top = UInt64(1) << UInt64(width - 1)
        let ua = UInt64(bitPattern: a) & mask, ub = UInt64(bitPattern: b) & mask
        switch operation {
        case .add, .addCarry:
            let carryIn: UInt64 = operation == .addCarry && before & carry != 0 ? 1 : 0
            let result = (ua &+ ub &+ carryIn) & mask
            let carryOut = (ua & ub | (ua | ub) & ~result) & top != 0
            let overflows = (ua ^ result) & (ub ^ result) & top != 0
            return common(result, top) | bit(carryOut, carry) | bit(overflows, overflow) | bit((ua ^ ub ^ result) & 16 != 0, adjust)
        case .sub, .subtractBorrow:
            let borrow: UInt64 = operation == .subtractBorrow && before & carry != 0 ? 1 : 0
            let result = (ua &- ub &- borrow) & mask
            let carryOut = (~ua & ub | (~ua | ub) & result) & top != 0
            let overflows = (ua ^ ub) & (ua ^ result) & top != 0
            return common(result, top) | bit(carryOut, carry) | bit(overflows, overflow) | bit((ua ^ ub ^ result) & 16 != 0, adjust)
        case .logic: return common(ua, top)
        case .increment:
            let result = (ua &+ 1) & mask
            return common(result, top) | before & carry | bit(result == top, overflow) | bit(result & 15 == 0, adjust)
        case .decrement:
            let result = (ua &- 1) & mask
            return common(result, top) | before & carry | bit(ua == top, overflow) | bit(ua & 15 == 0, adjust)
        case .shiftLeft, .shiftRightUnsigned, .shiftRightSigned:
            return shift(operation, width, mask, top, ua, Int(ub & (width == 64 ? 63 : 31)), before)
        case .rotateLeft, .rotateRight:
            return rotate(operation, width, mask, top, ua, Int(ub & (width == 64 ? 63 : 31)), before)
        case .rotateCarryLeft, .rotateCarryRight:
            let count = Int(ub & (width == 64 ? 63 : 31))
            return rotateCarry(operation == .rotateCarryLeft, width, ua, count, before).flags
        case .multiplySigned, .multiplyUnsigned:
            let fits: Bool
            if operation == .multiplySigned {
                let sa = Interpreter.signExtended(ua, width), sb = Interpreter.signExtended(ub, width)
                let product = sa.multipliedFullWidth(by: sb)
                let low = Int64(bitPattern: product.low)
                fits = width == 64 ? product.high == low >> 63 : low == Interpreter.signExtended(product.low & mask, width)
            } else {
                let product = ua.multipliedFullWidth(by: ub)
                fits = product.high == 0 && product.low & ~mask == 0
            }
            return before & ~(carry | overflow) | (fits ? 0 : carry | overflow)
        }
    }

    @inline(__always) private static func bit(_ condition: Bool, _ flag: Int64) -> Int64 { condition ? flag : 0 }

    /// SF, ZF and PF of a result, and the bit that is always set.
    @inline(__always)
    private static func common(_ result: UInt64, _ top: UInt64) -> Int64 {
        bit(result & top != 0, sign) | bit(result == 0, zero) | bit((result & 0xFF).nonzeroBitCount & 1 == 0, parity) | fixed
    }

    private static func shift(_ operation: FlagOperation, _ width: Int, _ mask: UInt64, _ top: UInt64, _ a: UInt64,
                              _ count: Int, _ before: Int64) -> Int64 {
        if count == 0 { return before }
        let result: UInt64, out: Bool, overflows: Bool
        switch operation {
        case .shiftLeft:
            result = count >= width ? 0 : a &<< UInt64(count) & mask
            out = count <= width && a >> UInt64(width - count) & 1 != 0
            overflows = (result & top != 0) != out
        case .shiftRightUnsigned:
            result = count >= width ? 0 : a >> UInt64(count)
            out = count <= width && a >> UInt64(count - 1) & 1 != 0
            // The bit next to the top before the last step, which is the top after it.
            overflows = count == 1 ? a & top != 0 : (result ^ result << 1) & top != 0
        default:
            let extended = Interpreter.signExtended(a, width)
            result = UInt64(bitPattern: extended >> Int64(min(count, 63))) & mask
            out = extended >> Int64(min(count - 1, 63)) & 1 != 0
            overflows = false
        }
        return common(result, top) | bit(out, carry) | bit(overflows, overflow) | adjust
    }

    private static func rotate(_ operation: FlagOperation, _ width: Int, _ mask: UInt64, _ top: UInt64, _ a: UInt64,
                               _ count: Int, _ before: Int64) -> Int64 {
        if count == 0 { return before }
        let by = count & (width - 1)
        let kept = before & ~(carry | overflow)
        if operation == .rotateLeft {
            let result = by == 0 ? a : (a << UInt64(by) | a >> UInt64(width - by)) & mask
            let out = result & 1 != 0
            return kept | bit(out, carry) | bit((result & top != 0) != out, overflow)
        }
        let result = by == 0 ? a : (a >> UInt64(by) | a << UInt64(width - by)) & mask
        return kept | bit(result & top != 0, carry) | bit((result ^ result << 1) & top != 0, overflow)
    }

    /// A rotation through carry by a count of 0…31 (63), taken modulo the width plus one.
    static func rotateCarry(_ left: Bool, _ width: Int, _ a: UInt64, _ count: Int,
                            _ before: Int64) -> (value: UInt64, flags: Int64) {
        if count == 0 { return (a, before) }
        var value = a, out = before & carry != 0
        let top = UInt64(1) << UInt64(width - 1)
        for _ in 0..<count % (width + 1) {
            if left {
                let next = value & top != 0
                value = (value << 1 | (out ? 1 : 0)) & (top << 1 &- 1)
                out = next
            } else {
                let next = value & 1 != 0
                value = value >> 1 | (out ? top : 0)
                out = next
            }
        }
        let overflows = left ? (value & top != 0) != out : (value ^ value << 1) & top != 0
        return (value, before & ~(carry | overflow) | bit(out, carry) | bit(overflows, overflow))
    }

    /// Whether a condition holds.
    static func holds(_ condition: FlagCondition, _ flags: Int64) -> Bool {
        let less = (flags & sign != 0) != (flags & overflow != 0)
        let positive: Bool = switch condition {
        case .overflow, .notOverflow: flags & overflow != 0
        case .carry, .notCarry: flags & carry != 0
        case .zero, .notZero: flags & zero != 0
        case .carryOrZero, .notCarryOrZero: flags & (carry | zero) != 0
        case .sign, .notSign: flags & sign != 0
        case .parity, .notParity: flags & parity != 0
        case .less, .notLess: less
        case .lessOrEqual, .notLessOrEqual: less || flags & zero != 0
        }
        return positive == (condition.rawValue & 1 == 0)
    }

    /// Packed flags as bits of EFLAGS, and back.
    static func bits(_ flags: Int64) -> Int64 { flags >> 8 & 0xD5 | (flags & 1) << 11 }
    static func flags(bits: Int64) -> Int64 { (bits & 0xD5 | 2) << 8 | bits >> 11 & 1 }
}

extension Interpreter {
    /// A value of `width` bits with zeros above, sign-extended.
    @inline(__always)
    static func signExtended(_ value: UInt64, _ width: Int) -> Int64 {
        let unused = UInt64(64 - width)
        return Int64(bitPattern: value << unused) >> Int64(unused)
    }

    /// Operations on condition codes and partial registers that yield a value.
    @inline(never)
    static func conditionCode(_ op: Instruction, _ operand: ValueType, _ a: Int64, _ b: Int64, _ c: Int64) -> Int64 {
        switch op.opcode {
        case .deposit:
            let narrow = operand.bits
            let mask = ((Int64(1) << Int64(narrow)) &- 1) << op.imm
            return Self.narrow(a & ~mask | b << op.imm & mask, op.type)
        case .flagsOf:
            guard let operation = FlagOperation(rawValue: op.aux) else { preconditionFailure("flagsOf \(op.aux)") }
            return FlagEvaluation.flags(operation, width: operand.bits, a, b, before: c)
        case .testFlags:
            guard let condition = FlagCondition(rawValue: op.aux) else { preconditionFailure("testFlags \(op.aux)") }
            return FlagEvaluation.holds(condition, a) ? 1 : 0
        case .flagsToBits: return FlagEvaluation.bits(a)
        case .bitsToFlags: return FlagEvaluation.flags(bits: a)
        case .setCarry: return b & ~FlagEvaluation.carry | (a & 1) << 8
        case .addWithCarry: return Self.narrow(a &+ b &+ c >> 8 & 1, op.type)
        case .subtractWithBorrow: return Self.narrow(a &- b &- (c >> 8 & 1), op.type)
        default:
            let width = op.type.bits
            let count = Int(b & (width == 64 ? 63 : 31))
            let rotated = FlagEvaluation.rotateCarry(op.opcode == .rotateCarryLeft, width,
                                                     zeroExtended(a, op.type), count, c)
            return Self.narrow(Int64(bitPattern: rotated.value), op.type)
        }
    }
}

/// The out-of-line call of generated code for condition codes that processors do not agree on: operands, flags before and
/// operation word (operation, width in bits from bit 8) in the scratch area, result in place of the first operand.
let exactFlagsTarget: HelperFunction = { state, _, _, _ in
    let scratch = state + StateLayout.scratch
    let word = scratch.load(fromByteOffset: 24, as: UInt32.self)
    guard let operation = FlagOperation(rawValue: UInt8(truncatingIfNeeded: word)) else { return 0 }
    let flags = FlagEvaluation.flags(operation, width: Int(word >> 8), scratch.load(as: Int64.self),
                                     scratch.load(fromByteOffset: 8, as: Int64.self),
                                     before: scratch.load(fromByteOffset: 16, as: Int64.self))
    scratch.storeBytes(of: flags, as: Int64.self)
    return 0
}
