// Integer operations of the interpreter. Values are kept sign-extended from their width to 64 bits, i1 as 0 or 1:
// then bitwise operations, comparisons (signed and unsigned) and right shifts of negative numbers need no masking.
//
// Written apart from IR's `Fold`, so that each can be tested against the other.

import IR

extension Interpreter {
    /// A value in its kept form: integers sign-extended from their width, i1 masked, f32 zero-extended.
    @inline(__always)
    static func canonical(_ value: Int64, _ type: ValueType) -> Int64 {
        switch type {
        case .i64, .f64: value
        case .i32: Int64(Int32(truncatingIfNeeded: value))
        case .f32: value & 0xFFFF_FFFF
        case .i16: Int64(Int16(truncatingIfNeeded: value))
        case .i8: Int64(Int8(truncatingIfNeeded: value))
        case .i1: value & 1
        case .void, .i128, .v128, .v256, .flags: value
        }
    }

    /// `canonical` for integer results, i64 first.
    @inline(__always)
    static func narrow(_ value: Int64, _ type: ValueType) -> Int64 { type == .i64 ? value : canonical(value, type) }

    /// The value's own bits, zeros above.
    @inline(__always)
    static func zeroExtended(_ value: Int64, _ type: ValueType) -> UInt64 {
        switch type {
        case .i32: UInt64(UInt32(truncatingIfNeeded: value))
        case .i16: UInt64(UInt16(truncatingIfNeeded: value))
        case .i8: UInt64(UInt8(truncatingIfNeeded: value))
        default: UInt64(bitPattern: value)
        }
    }

    /// Whether the condition of a compare or an exit holds. Sign extension keeps unsigned order.
    @inline(__always)
    static func holds(_ condition: UInt8, _ a: Int64, _ b: Int64) -> Bool {
        switch Condition(rawValue: condition) {
        case .equal: a == b
        case .notEqual: a != b
        case .lessSigned: a < b
        case .greaterOrEqualSigned: a >= b
        case .lessUnsigned: UInt64(bitPattern: a) < UInt64(bitPattern: b)
        case .greaterOrEqualUnsigned: UInt64(bitPattern: a) >= UInt64(bitPattern: b)
        case nil: preconditionFailure("unknown condition \(condition)")
        }
    }

    /// The rarer operations with two operands.
    @inline(never)
    static func binary(_ opcode: Opcode, _ type: ValueType, _ a: Int64, _ b: Int64) -> Int64 {
        let width = UInt64(type.bits)
        let ua = zeroExtended(a, type), ub = zeroExtended(b, type)
        switch opcode {
        case .rotateLeft: return narrow(Int64(bitPattern: rotatedLeft(ua, by: ub & (width &- 1), width)), type)
        case .rotateRight:
            return narrow(Int64(bitPattern: rotatedLeft(ua, by: (0 &- ub) & (width &- 1), width)), type)
        case .multiplyHighSigned:
            let product = a.multipliedFullWidth(by: b)
            return upperHalf(product.high, product.low, type)
        case .multiplyHighUnsigned:
            let product = ua.multipliedFullWidth(by: ub)
            return upperHalf(Int64(bitPattern: product.high), product.low, type)
        case .multiplyHighSignedUnsigned:
            // a·ub: of the unsigned product, 2^64·ub too much when a is negative.
            let product = UInt64(bitPattern: a).multipliedFullWidth(by: ub)
            let high = Int64(bitPattern: product.high) &- (a < 0 ? Int64(bitPattern: ub) : 0)
            return upperHalf(high, product.low, type)
        case .divideSigned:
            if b == 0 { return -1 }
            return narrow(a.dividedReportingOverflow(by: b).partialValue, type)
        case .divideUnsigned: return ub == 0 ? -1 : narrow(Int64(bitPattern: ua / ub), type)
        case .remainderSigned:
            if b == 0 { return a }
            return b == -1 ? 0 : a % b
        case .remainderUnsigned: return ub == 0 ? a : narrow(Int64(bitPattern: ua % ub), type)
        default: preconditionFailure("\(opcode) is not a two-operand integer operation")
        }
    }

    private static func rotatedLeft(_ value: UInt64, by amount: UInt64, _ width: UInt64) -> UInt64 {
        amount == 0 ? value : value &<< amount | value &>> (width &- amount)
    }

    /// The upper half of a 2w-bit product held in 128 bits.
    private static func upperHalf(_ high: Int64, _ low: UInt64, _ type: ValueType) -> Int64 {
        type == .i64 ? high : canonical(Int64(bitPattern: low &>> UInt64(type.bits)), type)
    }

    /// Operations with one operand.
    @inline(never)
    static func unary(_ opcode: Opcode, _ type: ValueType, _ a: Int64) -> Int64 {
        let ua = zeroExtended(a, type)
        switch opcode {
        case .not: return ~a
        case .negate: return narrow(0 &- a, type)
        case .countLeadingZeros: return narrow(Int64(ua.leadingZeroBitCount &- (64 &- type.bits)), type)
        case .countTrailingZeros:
            return narrow(Int64(min(ua.trailingZeroBitCount, type.bits)), type)
        case .populationCount: return narrow(Int64(ua.nonzeroBitCount), type)
        case .byteSwap: return narrow(Int64(bitPattern: ua.byteSwapped &>> UInt64(64 &- type.bits)), type)
        default: preconditionFailure("\(opcode) is not a one-operand integer operation")
        }
    }
}
