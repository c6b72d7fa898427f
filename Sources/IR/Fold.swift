// Arithmetic on constants: the reference meaning of the integer operations, used by the builder and by the interpreter's
// tests. Operands and results are sign-extended from the type's width to 64 bits.

/// Constant evaluation of integer operations on i8 to i64.
public enum Fold {
    /// The result of a two-operand operation, or nil when it is not folded here (wider types, non-integer operations).
    public static func binary(_ opcode: Opcode, _ type: ValueType, _ a: Int64, _ b: Int64) -> Int64? {
        guard type != .i1, type.bits <= 64, !type.isFloat, type.bits > 0 else { return nil }
        let width = Int64(type.bits)
        let ua = UInt64(bitPattern: a & Builder.mask(type)), ub = UInt64(bitPattern: b & Builder.mask(type))
        let amount = Int64(bitPattern: ub) & (width - 1)
        let result: Int64
        switch opcode {
        case .add: result = a &+ b
        case .sub: result = a &- b
        case .and: result = a & b
        case .or: result = a | b
        case .xor: result = a ^ b
        case .andNot: result = a & ~b
        case .shiftLeft: result = a &<< amount
        case .shiftRightUnsigned: result = Int64(bitPattern: ua &>> UInt64(amount))
        case .shiftRightSigned: result = a &>> amount
        case .rotateLeft, .rotateRight:
            let left = UInt64(opcode == .rotateLeft ? amount : (width - amount) & (width - 1))
            result = left == 0 ? a : Int64(bitPattern: ua &<< left | ua &>> (UInt64(width) - left))
        case .multiply: result = a &* b
        case .multiplyHighSigned where type == .i64: result = a.multipliedFullWidth(by: b).high
        case .multiplyHighUnsigned where type == .i64:
            result = Int64(bitPattern: ua.multipliedFullWidth(by: ub).high)
        case .multiplyHighSignedUnsigned where type == .i64:
            let high = Int64(bitPattern: ua.multipliedFullWidth(by: ub).high)
            result = a < 0 ? high &- b : high
        case .divideSigned:
            result = b == 0 ? -1 : a.dividedReportingOverflow(by: b).partialValue
        case .divideUnsigned: result = ub == 0 ? -1 : Int64(bitPattern: ua / ub)
        case .remainderSigned:
            result = b == 0 ? a : b == -1 ? 0 : a % b
        case .remainderUnsigned: result = ub == 0 ? a : Int64(bitPattern: ua % ub)
        default: return nil
        }
        return Builder.canonical(result, type)
    }

    /// The result of a one-operand operation.
    public static func unary(_ opcode: Opcode, _ type: ValueType, _ a: Int64) -> Int64? {
        guard type != .i1, type.bits <= 64, !type.isFloat, type.bits > 0 else { return nil }
        let ua = UInt64(bitPattern: a & Builder.mask(type))
        let result: Int64
        switch opcode {
        case .not: result = ~a
        case .negate: result = 0 &- a
        case .countLeadingZeros: result = Int64(ua.leadingZeroBitCount - (64 - type.bits))
        case .countTrailingZeros: result = ua == 0 ? Int64(type.bits) : Int64(ua.trailingZeroBitCount)
        case .populationCount: result = Int64(ua.nonzeroBitCount)
        case .byteSwap: result = Int64(bitPattern: ua.byteSwapped &>> UInt64(64 - type.bits))
        default: return nil
        }
        return Builder.canonical(result, type)
    }

    /// Whether a comparison holds.
    public static func holds(_ condition: Condition, _ type: ValueType, _ a: Int64, _ b: Int64) -> Bool {
        let ua = UInt64(bitPattern: a & Builder.mask(type)), ub = UInt64(bitPattern: b & Builder.mask(type))
        return switch condition {
        case .equal: ua == ub
        case .notEqual: ua != ub
        case .lessSigned: a < b
        case .greaterOrEqualSigned: a >= b
        case .lessUnsigned: ua < ub
        case .greaterOrEqualUnsigned: ua >= ub
        }
    }
}
