// Multiplication and division. Products of 8, 16 and 32 bits are made at twice the width; a division whose upper half is
// known to be only the extension of the lower one is made inline, likewise all that fit 64 bits.
//
// Source: AMD APM volume 3, DIV, IDIV, IMUL, MUL, MULX.

import IR
import Translator

enum MultiplyDivide {
    static func join(_ row: LiftTable) {
        row("mul") { $0.multiply(signed: false) }
        row("imul", imul)
        row("mulx", mulx)
        row("div") { $0.divide(signed: false) }
        row("idiv") { $0.divide(signed: true) }
    }

    static func imul(_ l: inout Lifter) {
        if l.operand(1).kind == .none { return l.multiply(signed: true) }
        let size = l.size(0)
        let hasThree = l.operand(2).kind != .none
        let a = l.read(hasThree ? 1 : 0), c = l.read(hasThree ? 2 : 1, size)
        let before = l.flags
        let product = l.b.binary(.multiply, a, c)
        let flags = l.b.flags(.multiplySigned, a, c, before: before)
        l.write(0, product)
        l.setFlags(flags)
    }

    /// High half to operand 0, low half to operand 1, no flags; one register gets the high half.
    static func mulx(_ l: inout Lifter) {
        let size = l.size(0)
        let a = l.register(GPR.rdx, size), c = l.read(2)
        let (high, low) = l.product(a, c, size, signed: false)
        l.write(1, low)
        l.write(0, high)
    }
}

/// Argument of the helper `divide`.
struct DivideOperation {
    /// Bits 3:0 size in bytes, bit 4 signed.
    let rawValue: UInt64
    init(rawValue: UInt64) { self.rawValue = rawValue }
    init(size: Int, signed: Bool) { rawValue = UInt64(size) | (signed ? 16 : 0) }
    var isSigned: Bool { rawValue & 16 != 0 }
}

extension Lifter {
    /// Both halves of a product.
    fileprivate func product(_ a: ValueID, _ c: ValueID, _ size: Int, signed: Bool) -> (high: ValueID, low: ValueID) {
        if size == 8 {
            return (b.binary(signed ? .multiplyHighSigned : .multiplyHighUnsigned, a, c), b.binary(.multiply, a, c))
        }
        let wide = signed ? b.binary(.multiply, b.signExtend(a, .i64), b.signExtend(c, .i64))
            : b.binary(.multiply, b.zeroExtend(a, .i64), b.zeroExtend(c, .i64))
        let high = b.binary(.shiftRightUnsigned, wide, k(Int64(size * 8)))
        return (b.truncate(high, Self.type(size)), b.truncate(wide, Self.type(size)))
    }

    /// The accumulator times operand 0 to the double-width accumulator.
    mutating func multiply(signed: Bool) {
        let size = size(0), before = flags
        let a = register(GPR.rax, size), c = read(0)
        let (high, low) = product(a, c, size, signed: signed)
        let flags = b.flags(signed ? .multiplySigned : .multiplyUnsigned, a, c, before: before)
        writePair(high: high, low: low, size)
        setFlags(flags)
    }

    /// Writes AX, or rDX:rAX.
    private func writePair(high: ValueID, low: ValueID, _ size: Int) {
        if size == 1 {
            let both = b.or(b.binary(.shiftLeft, b.zeroExtend(high, .i16), k(8, 2)), b.zeroExtend(low, .i16))
            return setRegister(GPR.rax, 2, both)
        }
        setRegister(GPR.rax, size, low)
        setRegister(GPR.rdx, size, high)
    }

    mutating func divide(signed: Bool) {
        let size = size(0)
        let divisor = read(0)
        if signed {
            if size >= 4, hasSignExtendedAccumulator(size) { return divideExtended(divisor, size) }
        } else if size >= 4, b.constantValue(register(GPR.rdx, size)) == 0 {
            raiseIf(.equal, divisor, k(0, size), ExceptionVector.divide)
            let a = register(GPR.rax, size)
            return writePair(high: b.binary(.remainderUnsigned, a, divisor), low: b.binary(.divideUnsigned, a, divisor), size)
        }
        if size == 8 {
            call(.divide, divisor, k(Int64(DivideOperation(size: size, signed: signed).rawValue)))
            return
        }
        if signed { divideSigned(divisor, size) } else { divideUnsigned(divisor, size) }
    }

    /// rDX:rAX (AX) as an i64.
    private func dividend(_ size: Int, signed: Bool) -> ValueID {
        let low = register(GPR.rax)
        if size == 1 {
            let both = b.truncate(low, .i16)
            return signed ? b.signExtend(both, .i64) : b.zeroExtend(both, .i64)
        }
        if size == 4 { return pair(high: register(GPR.rdx), low: low) }
        let both = b.or(b.binary(.shiftLeft, b.zeroExtend(register(GPR.rdx, 2), .i32), k(16, 4)),
                        b.zeroExtend(b.truncate(low, .i16), .i32))
        return signed ? b.signExtend(both, .i64) : b.zeroExtend(both, .i64)
    }

    /// The quotient fits exactly when the upper half is below the divisor, which a divisor of zero never is above.
    private func divideUnsigned(_ divisor: ValueID, _ size: Int) {
        let high = size == 1 ? b.truncate(b.binary(.shiftRightUnsigned, register(GPR.rax), k(8)), .i8)
            : register(GPR.rdx, size)
        raiseIf(.greaterOrEqualUnsigned, high, divisor, ExceptionVector.divide)
        let a = dividend(size, signed: false), c = b.zeroExtend(divisor, .i64)
        let type = Self.type(size)
        writePair(high: b.truncate(b.binary(.remainderUnsigned, a, c), type),
                  low: b.truncate(b.binary(.divideUnsigned, a, c), type), size)
    }

    private func divideSigned(_ divisor: ValueID, _ size: Int) {
        raiseIf(.equal, divisor, k(0, size), ExceptionVector.divide)
        let a = dividend(size, signed: true), c = b.signExtend(divisor, .i64)
        let quotient = b.binary(.divideSigned, a, c), type = Self.type(size)
        let low = b.truncate(quotient, type)
        // The smallest 64-bit number by -1 gives itself, which no 32-bit quotient is.
        raiseIf(.notEqual, b.signExtend(low, .i64), quotient, ExceptionVector.divide)
        writePair(high: b.truncate(b.binary(.remainderSigned, a, c), type), low: low, size)
    }

    /// True when rDX is known to be the sign of rAX: behind CDQ or CQO.
    private func hasSignExtendedAccumulator(_ size: Int) -> Bool {
        let sign = register(GPR.rdx, size), a = register(GPR.rax, size)
        let instruction = b.unit.instructions[Int(sign)]
        guard instruction.opcode == .shiftRightSigned, b.constantValue(instruction.b) == Int64(size * 8 - 1) else {
            return false
        }
        if instruction.a == a { return true }
        // Two truncations of one register are one value.
        let left = b.unit.instructions[Int(instruction.a)], right = b.unit.instructions[Int(a)]
        return left.opcode == .truncate && right.opcode == .truncate && left.a == right.a && left.type == right.type
    }

    /// rAX by the divisor, the dividend being no wider.
    private func divideExtended(_ divisor: ValueID, _ size: Int) {
        let a = register(GPR.rax, size)
        raiseIf(.equal, divisor, k(0, size), ExceptionVector.divide)
        let least = k(size == 8 ? .min : Int64(Int32.min), size)
        let risky = b.select(b.compare(.equal, divisor, k(-1, size)), a, k(0, size))
        raiseIf(.equal, risky, least, ExceptionVector.divide)
        writePair(high: b.binary(.remainderSigned, a, divisor), low: b.binary(.divideSigned, a, divisor), size)
    }
}

extension X86State {
    /// RDX:RAX by a 64-bit divisor; false for #DE.
    fileprivate func divide64(_ divisor: UInt64, signed: Bool) -> Bool {
        let high = register(Self.rdx), low = register(Self.rax)
        if signed {
            let divisor = Int64(bitPattern: divisor), top = Int64(bitPattern: high)
            guard divisor != 0 else { return false }
            // |quotient| < 2^63 must hold before dividing: compare magnitudes.
            let negative = top < 0
            var magnitude = (high: high, low: low)
            if negative {
                magnitude.low = 0 &- low
                magnitude.high = 0 &- high &- (low == 0 ? 0 : 1)
            }
            guard magnitude.high < divisor.magnitude else { return false }
            let (quotient, remainder) = divisor.magnitude.dividingFullWidth((magnitude.high, magnitude.low))
            let limit = negative != (divisor < 0) ? UInt64(1) << 63 : UInt64(1) << 63 - 1
            guard quotient <= limit else { return false }
            setRegister(Self.rax, negative != (divisor < 0) ? 0 &- quotient : quotient)
            setRegister(Self.rdx, negative ? 0 &- remainder : remainder)
            return true
        }
        guard high < divisor else { return false }
        let (quotient, remainder) = divisor.dividingFullWidth((high, low))
        setRegister(Self.rax, quotient)
        setRegister(Self.rdx, remainder)
        return true
    }
}

let divideHelper: HelperFunction = { base, divisor, operation, _ in
    let state = X86State(base)
    if !state.divide64(divisor, signed: DivideOperation(rawValue: operation).isSigned) { state.leave(vector: ExceptionVector.divide) }
    return 0
}
