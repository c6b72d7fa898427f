// Integer operations.

import IR

extension CodeGenerator {
    /// Picks the destination of a two-operand operation whose first operand is `a` (and may be `b` when commutative):
    /// the pinned register it is going to, a dying operand's register, or a fresh temporary. Operands must be locked.
    @inline(__always)
    func destination(_ direct: Int, _ a: ValueID, usesOfA: UInt32 = 1) -> UInt8 {
        if direct >= 0 { return pin[direct] }
        if dies(a, uses: usesOfA) { return (values + Int(root(a))).pointee.location }
        return allocate()
    }

    /// The common operations on i32 and i64, without their flags.
    func emitPlainBinary(_ index: Int, _ operation: UnsafeMutablePointer<Instruction>) {
        let a = operation.pointee.a, b = operation.pointee.b, opcode = operation.pointee.opcode
        let wide = operation.pointee.type == .i64
        switch opcode {
        case .add: emitAdd(index, a, b, wide)
        case .sub, .and, .or, .xor: emitALU(index, opcode, a, b, wide)
        default: emitShift(index, opcode, a, b, wide)
        }
    }

    func emitBinary(_ index: Int, _ instruction: Instruction) {
        let a = instruction.a, b = instruction.b
        let wide = instruction.type == .i64
        if instruction.type == .i8 || instruction.type == .i16, needsExactNarrowOperands(instruction.opcode) {
            return emitNarrowBinary(index, instruction)
        }
        switch instruction.opcode {
        case .add: emitAdd(index, a, b, wide)
        case .sub, .and, .or, .xor: emitALU(index, instruction.opcode, a, b, wide)
        case .andNot:
            let direct = directTarget(index)
            let right = integerRegister(b)
            let left = integerOperand(a)
            let target = direct >= 0 ? pin[direct] : dies(b) ? right : allocate()
            asm.andn(target, right, left, wide: wide)
            finish(index, target, direct, a, b)
        case .shiftLeft, .shiftRightUnsigned, .shiftRightSigned, .rotateLeft, .rotateRight:
            emitShift(index, instruction.opcode, a, b, wide)
        case .multiply: emitMultiply(index, a, b, wide)
        case .multiplyHighSigned, .multiplyHighUnsigned, .multiplyHighSignedUnsigned:
            emitMultiplyHigh(index, instruction.opcode, a, b, wide)
        default: emitDivide(index, instruction.opcode, a, b, wide)
        }
    }

    /// Values of 8 and 16 bits have anything in the register bits above; sums and products do not mind.
    private func needsExactNarrowOperands(_ opcode: Opcode) -> Bool {
        switch opcode {
        case .add, .sub, .and, .or, .xor, .andNot, .multiply: false
        default: true
        }
    }

    private func emitNarrowBinary(_ index: Int, _ instruction: Instruction) {
        let size = instruction.type.bits / 8
        claim(GPR.rax)
        claim(GPR.rdx)
        moveInto(GPR.rax, instruction.a)
        let opcode = instruction.opcode
        switch opcode {
        case .shiftLeft, .shiftRightUnsigned, .shiftRightSigned, .rotateLeft, .rotateRight:
            if let constant = immediate32(instruction.b) {
                asm.movImmediate(GPR.rdx, Int64(constant))
            } else {
                moveInto(GPR.rdx, instruction.b)
            }
            let mask = Int32(instruction.type.bits - 1)
            asm.alu(ALU.and, .reg(GPR.rdx), immediate: mask, wide: false)
            if opcode == .rotateLeft || opcode == .rotateRight {
                claim(GPR.rcx)
                asm.mov(GPR.rcx, GPR.rdx, wide: false)
                asm.shiftCL(opcode == .rotateLeft ? 0 : 1, GPR.rax, size: size)
            } else {
                if opcode != .shiftLeft { asm.extend(GPR.rax, size: size, signed: opcode == .shiftRightSigned, wide: false) }
                let prefix = opcode == .shiftLeft ? VexPrefix.p66 : opcode == .shiftRightUnsigned ? VexPrefix.pF2
                    : VexPrefix.pF3
                asm.shiftX(prefix, GPR.rax, .reg(GPR.rax), GPR.rdx, wide: false)
            }
        case .multiplyHighSigned, .multiplyHighUnsigned, .multiplyHighSignedUnsigned:
            moveInto(GPR.rdx, instruction.b)
            asm.extend(GPR.rax, size: size, signed: opcode != .multiplyHighUnsigned)
            asm.extend(GPR.rdx, size: size, signed: opcode == .multiplyHighSigned)
            asm.imul(GPR.rax, .reg(GPR.rdx))
            asm.shift(7, GPR.rax, by: UInt8(instruction.type.bits))
        default:
            claim(GPR.rcx)
            let signed = opcode == .divideSigned || opcode == .remainderSigned
            let quotient = opcode == .divideSigned || opcode == .divideUnsigned
            moveInto(GPR.rcx, instruction.b)
            asm.extend(GPR.rax, size: size, signed: signed)
            asm.extend(GPR.rcx, size: size, signed: signed)
            asm.test(GPR.rcx, GPR.rcx, wide: false)
            cold.append(ColdCode(kind: .divideByZero, entry: asm.jcc(CC.e), aux: quotient ? 1 : 0))
            asm.byte(0x99) // cdq: zero-extended dividends are positive
            asm.group3(7, .reg(GPR.rcx), wide: false)
            cold[cold.count - 1].back = asm.at
            if !quotient { asm.mov(GPR.rax, GPR.rdx, wide: false) }
        }
        settle(index, GPR.rax, directTarget(index), instruction.a, instruction.b)
    }

    private func emitNarrowUnary(_ index: Int, _ instruction: Instruction, _ direct: Int) {
        let size = instruction.type.bits / 8
        let target = allocate()
        asm.extend(size == 1 ? 0xB6 : 0xB7, target, integerOperand(instruction.a), wide: false)
        switch instruction.opcode {
        case .byteSwap: if size == 2 { asm.shift(0, target, by: 8, size: 2) }
        case .countLeadingZeros:
            asm.opPrefixed0F(0xF3, 0xBD, wide: false, target, .reg(target))
            asm.alu(ALU.sub, .reg(target), immediate: Int32(32 - instruction.type.bits), wide: false)
        case .countTrailingZeros:
            asm.alu(ALU.or, .reg(target), immediate: 1 << Int32(instruction.type.bits), wide: false)
            asm.opPrefixed0F(0xF3, 0xBC, wide: false, target, .reg(target))
        default: asm.opPrefixed0F(0xF3, 0xB8, wide: false, target, .reg(target))
        }
        guard direct >= 0 else { return finish(index, target, direct, instruction.a) }
        asm.mov(pin[direct], target)
        finish(index, pin[direct], direct, instruction.a)
    }

    /// Consumes the operands and records the result.
    @inline(__always)
    func finish(_ index: Int, _ register: UInt8, _ direct: Int, _ a: ValueID, _ b: ValueID = .none) {
        consume(a)
        if b != .none { consume(b) }
        define(index, register, direct: direct)
    }

    private func emitAdd(_ index: Int, _ a: ValueID, _ b: ValueID, _ wide: Bool) {
        let direct = directTarget(index)
        if let immediate = immediate32(b) {
            if direct >= 0 && isIn(a, pin[direct]) && hostFlags == .none {
                asm.alu(ALU.add, .reg(pin[direct]), immediate: immediate, wide: wide)
                return finish(index, pin[direct], direct, a, b)
            }
            let left = integerRegister(a)
            let target = destination(direct, a)
            if target == left && hostFlags == .none {
                asm.alu(ALU.add, .reg(target), immediate: immediate, wide: wide)
            } else {
                asm.lea(target, .mem(left, immediate), wide: wide)
            }
            return finish(index, target, direct, a, b)
        }
        if direct >= 0 {
            let target = pin[direct]
            if isIn(a, target) {
                asm.alu(ALU.add, target, integerOperand(b), wide: wide)
            } else if isIn(b, target) {
                asm.alu(ALU.add, target, integerOperand(a), wide: wide)
            } else {
                let left = integerRegister(a), right = integerRegister(b)
                asm.lea(target, .indexed(left, right, scale: 0, 0), wide: wide)
            }
            return finish(index, target, direct, a, b)
        }
        let left = integerRegister(a)
        let right = integerOperand(b)
        if dies(a) && root(a) != root(b) {
            asm.alu(ALU.add, left, right, wide: wide)
            return finish(index, left, direct, a, b)
        }
        if right.isRegister {
            let target = dies(b) && root(a) != root(b) ? right.base : allocate()
            asm.lea(target, .indexed(left, right.base, scale: 0, 0), wide: wide)
            return finish(index, target, direct, a, b)
        }
        let target = allocate()
        asm.mov(target, left, wide: wide)
        asm.alu(ALU.add, target, right, wide: wide)
        finish(index, target, direct, a, b)
    }

    private func emitALU(_ index: Int, _ opcode: Opcode, _ first: ValueID, _ second: ValueID, _ wide: Bool) {
        var a = first, b = second
        let operation: UInt8 = switch opcode {
        case .sub: ALU.sub
        case .and: ALU.and
        case .or: ALU.or
        default: ALU.xor
        }
        let direct = directTarget(index)
        if let immediate = immediate32(b) {
            if direct < 0 { _ = integerRegister(a) }
            let target = destination(direct, a)
            if opcode == .and && immediate == 0xFF {
                extendInto(target, a, 0xB6, wide: false)
            } else {
                if !isIn(a, target) { moveInto(target, a, wide: wide) }
                asm.alu(operation, .reg(target), immediate: immediate, wide: wide)
            }
            return finish(index, target, direct, a, b)
        }
        if direct >= 0 && isIn(b, pin[direct]) && !isIn(a, pin[direct]) {
            let target = pin[direct]
            if opcode == .sub {
                asm.group3(3, .reg(target), wide: wide)
                asm.alu(ALU.add, target, integerOperand(a), wide: wide)
                return finish(index, target, direct, a, b)
            }
            swap(&a, &b)
        } else if direct < 0 && opcode != .sub && !dies(a) && dies(b) {
            swap(&a, &b)
        }
        if direct < 0 { _ = integerRegister(a) }
        let right = integerOperand(b)
        let same = root(a) == root(b)
        let target = direct >= 0 ? pin[direct] : dies(a) && !same ? values[Int(root(a))].location : allocate()
        if !isIn(a, target) { moveInto(target, a, wide: wide) }
        asm.alu(operation, target, right, wide: wide)
        finish(index, target, direct, a, b)
    }

    /// movzx/movsx of a value of any place into a register.
    func extendInto(_ target: UInt8, _ value: ValueID, _ opcode: UInt8, wide: Bool) {
        asm.extend(opcode, target, integerOperand(value), wide: wide)
    }

    private func emitShift(_ index: Int, _ opcode: Opcode, _ a: ValueID, _ b: ValueID, _ wide: Bool) {
        let direct = directTarget(index)
        let width: Int64 = wide ? 64 : 32
        if let constant = immediate32(b) {
            let amount = UInt8(truncatingIfNeeded: Int64(constant) & (width - 1))
            if opcode == .rotateLeft || opcode == .rotateRight {
                let source = integerOperand(a)
                let target = destination(direct, a)
                let right = opcode == .rotateRight ? amount : UInt8(truncatingIfNeeded: (width - Int64(amount)) & (width - 1))
                asm.rorx(target, source, by: right, wide: wide)
                return finish(index, target, direct, a, b)
            }
            if direct < 0 { _ = integerRegister(a) }
            let target = destination(direct, a)
            if opcode == .shiftLeft && amount <= 3 && amount > 0 && !isIn(a, target) {
                let source = integerRegister(a)
                if amount == 1 {
                    asm.lea(target, .indexed(source, source, scale: 0, 0), wide: wide)
                } else {
                    asm.mov(target, source, wide: wide)
                    asm.shift(4, target, by: amount, wide: wide)
                }
                return finish(index, target, direct, a, b)
            }
            if !isIn(a, target) { moveInto(target, a, wide: wide) }
            asm.shift(opcode == .shiftLeft ? 4 : opcode == .shiftRightUnsigned ? 5 : 7, target, by: amount, wide: wide)
            return finish(index, target, direct, a, b)
        }
        if opcode == .rotateLeft || opcode == .rotateRight {
            claim(GPR.rcx)
            moveInto(GPR.rcx, b)
            let target = direct >= 0 && !isIn(b, pin[direct]) ? pin[direct] : allocate()
            if !isIn(a, target) { moveInto(target, a, wide: wide) }
            asm.shiftCL(opcode == .rotateLeft ? 0 : 1, target, wide: wide)
            if direct >= 0 && target != pin[direct] {
                asm.mov(pin[direct], target)
                return finish(index, pin[direct], direct, a, b)
            }
            return finish(index, target, direct, a, b)
        }
        let amount = integerRegister(b)
        let source = integerOperand(a)
        let target = destination(direct, a)
        let prefix = opcode == .shiftLeft ? VexPrefix.p66 : opcode == .shiftRightUnsigned ? VexPrefix.pF2 : VexPrefix.pF3
        asm.shiftX(prefix, target, source, amount, wide: wide)
        finish(index, target, direct, a, b)
    }

    private func emitMultiply(_ index: Int, _ a: ValueID, _ b: ValueID, _ wide: Bool) {
        let direct = directTarget(index)
        if let immediate = immediate32(b) {
            let source = integerOperand(a)
            let target = destination(direct, a)
            asm.imul(target, source, immediate: immediate, wide: wide)
            return finish(index, target, direct, a, b)
        }
        if direct >= 0 {
            let target = pin[direct]
            if isIn(b, target) {
                asm.imul(target, integerOperand(a), wide: wide)
            } else {
                let right = integerOperand(b)
                if !isIn(a, target) { moveInto(target, a, wide: wide) }
                asm.imul(target, right, wide: wide)
            }
            return finish(index, target, direct, a, b)
        }
        _ = integerRegister(a)
        let right = integerOperand(b)
        let target = root(a) != root(b) ? destination(-1, a) : allocate()
        if !isIn(a, target) { moveInto(target, a, wide: wide) }
        asm.imul(target, right, wide: wide)
        finish(index, target, direct, a, b)
    }

    private func emitMultiplyHigh(_ index: Int, _ opcode: Opcode, _ a: ValueID, _ b: ValueID, _ wide: Bool) {
        let direct = directTarget(index)
        claim(GPR.rax)
        claim(GPR.rdx)
        let right = integerOperand(b)
        moveInto(GPR.rax, a)
        asm.group3(opcode == .multiplyHighSigned ? 5 : 4, right, wide: wide)
        if opcode == .multiplyHighSignedUnsigned {
            // high(signed a × unsigned b) = high(unsigned) − (a < 0 ? b : 0)
            moveInto(GPR.rax, a)
            asm.shift(7, GPR.rax, by: wide ? 63 : 31, wide: wide)
            asm.alu(ALU.and, GPR.rax, right, wide: wide)
            asm.alu(ALU.sub, GPR.rdx, .reg(GPR.rax), wide: wide)
        }
        settle(index, GPR.rdx, direct, a, b)
    }

    /// Result in a fixed register: keep it there, or copy it to the pinned target.
    private func settle(_ index: Int, _ register: UInt8, _ direct: Int, _ a: ValueID, _ b: ValueID) {
        consume(a)
        consume(b)
        if direct >= 0 {
            asm.mov(pin[direct], register)
            define(index, pin[direct], direct: direct)
        } else {
            define(index, register)
        }
    }

    private func emitDivide(_ index: Int, _ opcode: Opcode, _ a: ValueID, _ b: ValueID, _ wide: Bool) {
        let direct = directTarget(index)
        claim(GPR.rax)
        claim(GPR.rdx)
        let divisor = integerRegister(b)
        moveInto(GPR.rax, a)
        let signed = opcode == .divideSigned || opcode == .remainderSigned
        let quotient = opcode == .divideSigned || opcode == .divideUnsigned
        asm.test(divisor, divisor, wide: wide)
        let flags: UInt32 = (quotient ? 1 : 0) | (wide ? 2 : 0)
        cold.append(ColdCode(kind: .divideByZero, entry: asm.jcc(CC.e), aux: flags))
        let first = cold.count - 1
        var second = -1
        if signed {
            asm.alu(ALU.cmp, .reg(divisor), immediate: -1, wide: wide)
            cold.append(ColdCode(kind: .divideMinusOne, entry: asm.jcc(CC.e), aux: flags))
            second = cold.count - 1
            if wide { asm.byte(0x48) }
            asm.byte(0x99) // cqo / cdq
            asm.group3(7, .reg(divisor), wide: wide)
        } else {
            asm.alu(ALU.xor, GPR.rdx, .reg(GPR.rdx), wide: false)
            asm.group3(6, .reg(divisor), wide: wide)
        }
        cold[first].back = asm.at
        if second >= 0 { cold[second].back = asm.at }
        settle(index, quotient ? GPR.rax : GPR.rdx, direct, a, b)
    }

    func emitUnary(_ index: Int, _ instruction: Instruction) {
        let a = instruction.a
        let wide = instruction.type == .i64
        let direct = directTarget(index)
        if instruction.type.bits < 32 && instruction.opcode != .not && instruction.opcode != .negate {
            return emitNarrowUnary(index, instruction, direct)
        }
        switch instruction.opcode {
        case .not, .negate:
            if direct < 0 { _ = integerRegister(a) }
            let target = destination(direct, a)
            if !isIn(a, target) { moveInto(target, a, wide: wide) }
            asm.group3(instruction.opcode == .not ? 2 : 3, .reg(target), wide: wide)
            finish(index, target, direct, a)
        case .byteSwap:
            if direct < 0 { _ = integerRegister(a) }
            let target = destination(direct, a)
            if !isIn(a, target) { moveInto(target, a, wide: wide) }
            asm.rex(wide: wide, 0, .reg(target))
            asm.byte(0x0F)
            asm.byte(0xC8 | target & 7)
            finish(index, target, direct, a)
        default:
            let opcode: UInt8 = instruction.opcode == .countLeadingZeros ? 0xBD
                : instruction.opcode == .countTrailingZeros ? 0xBC : 0xB8
            let source = integerOperand(a)
            let target = destination(direct, a)
            asm.opPrefixed0F(0xF3, opcode, wide: wide, target, source)
            finish(index, target, direct, a)
        }
    }

    func emitExtend(_ index: Int, _ instruction: Instruction) {
        let a = instruction.a
        let from = unit.instructions[Int(a)].type
        if from == .i1 { return alias(index, of: a) }
        let direct = directTarget(index)
        let source = integerOperand(a)
        let target = destination(direct, a)
        let wide = instruction.type == .i64
        let signed = instruction.opcode == .signExtend
        switch from {
        case .i8: asm.extend(signed ? 0xBE : 0xB6, target, source, wide: wide && signed)
        case .i16: asm.extend(signed ? 0xBF : 0xB7, target, source, wide: wide && signed)
        default:
            if signed { asm.movsxd(target, source) } else { asm.load(target, source, wide: false) }
        }
        finish(index, target, direct, a)
    }

    // MARK: comparison

    static func conditionCode(_ condition: UInt8) -> UInt8 {
        switch Condition(rawValue: condition) ?? .equal {
        case .equal: CC.e
        case .notEqual: CC.ne
        case .lessSigned: CC.l
        case .greaterOrEqualSigned: CC.ge
        case .lessUnsigned: CC.b
        case .greaterOrEqualUnsigned: CC.ae
        }
    }

    /// Emits the comparison of two values; flags hold the answer.
    func emitCompareFlags(_ a: ValueID, _ b: ValueID, _ type: ValueType) {
        if type == .i8 || type == .i16 { return emitSizedCompare(a, b, type.bits / 8) }
        let wide = type == .i64
        if let immediate = immediate32(b) {
            if immediate == 0 {
                let left = integerOperand(a)
                if left.isRegister {
                    asm.test(left.base, left.base, wide: wide)
                } else {
                    asm.alu(ALU.cmp, left, immediate: 0, wide: wide)
                }
            } else {
                asm.alu(ALU.cmp, integerOperand(a), immediate: immediate, wide: wide)
            }
            return
        }
        let left = integerRegister(a)
        asm.alu(ALU.cmp, left, integerOperand(b), wide: wide)
    }

    /// Whether a select right behind an i1 value, its only user, asks for it itself.
    func isDeferredToSelect(_ index: Int) -> Bool {
        var next = index + 1
        while next < unit.count {
            let following = unit.instructions[next]
            if following.opcode == .dead || following.opcode == .constant {
                next += 1
                continue
            }
            return following.opcode == .select && following.a == ValueID(index) && unit.uses[index] == 1
        }
        return false
    }

    func emitCompare(_ index: Int, _ instruction: Instruction) {
        if isDeferredToSelect(index) {
            values[index].kind = ValuePlace.Kind.deferred
            return
        }
        let type = unit.instructions[Int(instruction.a)].type
        let direct = directTarget(index)
        let code = Self.conditionCode(instruction.aux)
        if direct >= 0 {
            let target = pin[direct]
            if !isIn(instruction.a, target) && !isIn(instruction.b, target) {
                // Operands may need temporaries loaded before flags exist; xor clears flags, so it goes first.
                asm.alu(ALU.xor, target, .reg(target), wide: false)
                emitCompareFlags(instruction.a, instruction.b, type)
                asm.set(code, target)
            } else {
                emitCompareFlags(instruction.a, instruction.b, type)
                asm.set(code, target)
                asm.extend(0xB6, target, .reg(target), wide: false)
            }
            return finish(index, target, direct, instruction.a, instruction.b)
        }
        emitCompareFlags(instruction.a, instruction.b, type)
        let target = dies(instruction.a) && root(instruction.a) != root(instruction.b)
            ? values[Int(root(instruction.a))].location : allocate()
        asm.set(code, target)
        asm.extend(0xB6, target, .reg(target), wide: false)
        finish(index, target, direct, instruction.a, instruction.b)
    }

    func emitSelect(_ index: Int, _ instruction: Instruction) {
        let condition = instruction.a, then = instruction.b, otherwise = instruction.c
        let conditionRoot = Int(root(condition))
        let deferred = values[conditionRoot].kind == ValuePlace.Kind.deferred
        let comparison = unit.instructions[conditionRoot]
        let wide = instruction.type == .i64
        if instruction.type.isFloat {
            failed = true
            return
        }
        let testsFlags = deferred && comparison.opcode == .testFlags
        if testsFlags && root(comparison.a) != hostFlags { claim(GPR.rax) }
        // Everything into place first: nothing between the comparison and the cmov may touch flags. The target comes
        // before the operands, for finding it may move an operand out of the target's home.
        let direct = directTarget(index)
        let thenRegister = integerRegister(then)
        var target = Self.noRegister
        if direct >= 0 {
            let candidate = pin[direct]
            let clash = isIn(then, candidate)
                || (testsFlags ? false : deferred ? isIn(comparison.a, candidate) || isIn(comparison.b, candidate)
                    : isIn(condition, candidate))
            if !clash || isIn(otherwise, candidate) && !isIn(then, candidate) { target = candidate }
        }
        if target == Self.noRegister { target = allocate() }
        if testsFlags {
        } else if deferred {
            if immediate32(comparison.b) == nil { _ = integerRegister(comparison.a) }
            _ = immediate32(comparison.b) == nil ? integerOperand(comparison.b) : .reg(0)
        } else {
            _ = integerRegister(condition)
        }
        if !isIn(otherwise, target) { moveInto(target, otherwise) }
        var code = CC.ne
        if testsFlags {
            code = answer(comparison.aux, comparison.a)
        } else if deferred {
            emitCompareFlags(comparison.a, comparison.b, unit.instructions[Int(comparison.a)].type)
            code = Self.conditionCode(comparison.aux)
        } else {
            let register = integerRegister(condition)
            asm.test(register, register, wide: false)
        }
        asm.cmov(code, target, .reg(thenRegister), wide: wide)
        if deferred {
            consume(comparison.a)
            if !testsFlags { consume(comparison.b) }
        }
        consume(condition)
        consume(then)
        consume(otherwise)
        if direct >= 0 && target != pin[direct] {
            asm.mov(pin[direct], target)
            define(index, pin[direct], direct: direct)
        } else {
            define(index, target, direct: direct)
        }
    }
}
