// Floating point with the host's scalar SSE/AVX instructions.
//
// Guest exception flags accumulate in MXCSR, which holds the guest's rounding mode while guest code runs. NaN results and
// whatever else the host does differently are noticed by a quiet self-comparison and repaired out of line. Operations with
// a rounding mode that is not in MXCSR go to the soft float library.

import IR

extension CodeGenerator {
    /// Whether a rounding can be done by the host as MXCSR stands.
    private func isHostRounding(_ aux: UInt8) -> Bool {
        guard let rounding = Rounding(rawValue: aux) else { return false }
        if rounding == .dynamic { return unit.rounding != .nearestMaxMagnitude }
        return rounding == unit.rounding && rounding != .nearestMaxMagnitude
    }

    func emitFloatArithmetic(_ index: Int, _ instruction: Instruction) {
        guard isHostRounding(instruction.aux) else { return emitSoftFloat(index, instruction) }
        let double = instruction.type == .f64
        let direct = directTarget(index)
        let left = floatRegister(instruction.a)
        let target: UInt8
        if instruction.opcode == .floatSquareRoot {
            target = floatDestination(direct, instruction.a)
            asm.scalar(SSE.squareRoot, double: double, target, left, .reg(left))
        } else {
            let right = floatRegister(instruction.b)
            target = floatDestination(direct, instruction.a)
            let opcode: UInt8 = switch instruction.opcode {
            case .floatAdd: SSE.add
            case .floatSubtract: SSE.subtract
            case .floatMultiply: SSE.multiply
            default: SSE.divide
            }
            asm.scalar(opcode, double: double, target, left, .reg(right))
        }
        canonicalizeNaN(target, double: double)
        finish(index, target, direct, instruction.a, instruction.b)
    }

    private func floatDestination(_ direct: Int, _ a: ValueID) -> UInt8 {
        if direct >= 0 { return pin[direct] }
        if dies(a) { return values[Int(root(a))].location }
        return allocateFloat()
    }

    /// Replaces a NaN result by the guest's canonical one, out of line.
    private func canonicalizeNaN(_ register: UInt8, double: Bool) {
        asm.ucomis(register, .reg(register), double: double)
        cold.append(ColdCode(kind: .canonicalNaN, entry: asm.jcc(CC.p), back: asm.at, register: register,
                             aux: double ? 1 : 0))
    }

    func emitMultiplyAdd(_ index: Int, _ instruction: Instruction) {
        guard isHostRounding(instruction.aux), thunks.hasFMA else { return emitSoftFloat(index, instruction) }
        let double = instruction.type == .f64
        let direct = directTarget(index)
        let a = floatRegister(instruction.a), b = floatRegister(instruction.b), c = floatRegister(instruction.c)
        let result = allocateFloat()
        asm.vmovaps(result, a)
        let opcode: UInt8 = switch instruction.imm & 3 {
        case 0: 0xA9
        case 1: 0xAD
        case 2: 0xAB
        default: 0xAF
        }
        asm.fma(opcode, result, b, .reg(c), double: double)
        asm.ucomis(result, .reg(result), double: double)
        var out = ColdCode(kind: .softFloat, entry: asm.jcc(CC.p), back: asm.at, register: a, register2: b, register3: c)
        out.aux = UInt32(result) | 0x100
        out.value = UInt64(FloatOperation.pack(instruction, source: instruction.type, unit: unit))
        cold.append(out)
        consume(instruction.a)
        consume(instruction.b)
        consume(instruction.c)
        if direct >= 0 { asm.vmovaps(pin[direct], result) }
        define(index, direct >= 0 ? pin[direct] : result, direct: direct)
    }

    func emitMinMax(_ index: Int, _ instruction: Instruction) {
        let double = instruction.type == .f64
        let direct = directTarget(index)
        let left = floatRegister(instruction.a), right = floatRegister(instruction.b)
        let result = allocateFloat()
        asm.ucomis(left, .reg(right), double: double)
        // ZF is set both for equal (signed zeros need care) and for unordered.
        var out = ColdCode(kind: .softFloat, entry: asm.jcc(CC.e), register: left, register2: right)
        out.aux = UInt32(result) | 0x100
        out.value = UInt64(FloatOperation.pack(instruction, source: instruction.type, unit: unit))
        asm.scalar(instruction.opcode == .floatMinimum ? SSE.minimum : SSE.maximum, double: double, result, left,
                   .reg(right))
        out.back = asm.at
        cold.append(out)
        consume(instruction.a)
        consume(instruction.b)
        if direct >= 0 { asm.vmovaps(pin[direct], result) }
        define(index, direct >= 0 ? pin[direct] : result, direct: direct)
    }

    func emitFloatCompare(_ index: Int, _ instruction: Instruction) {
        let double = unit.instructions[Int(instruction.a)].type == .f64
        let direct = directTarget(index)
        let left = floatRegister(instruction.a), right = floatRegister(instruction.b)
        let mask = allocateFloat()
        asm.cmps(mask, left, right, predicate: instruction.aux, double: double)
        let target = direct >= 0 ? pin[direct] : allocate()
        asm.vmovToGPR(target, mask, wide: false)
        asm.alu(ALU.and, .reg(target), immediate: 1, wide: false)
        finish(index, target, direct, instruction.a, instruction.b)
    }

    // MARK: sign bits

    func emitSign(_ index: Int, _ instruction: Instruction) {
        let double = instruction.type == .f64
        let direct = directTarget(index)
        let left = floatRegister(instruction.a)
        switch instruction.opcode {
        case .floatNegate, .floatAbsolute:
            let target = floatDestination(direct, instruction.a)
            if instruction.opcode == .floatNegate {
                bitwiseConstant(SSE.xor, target, left, double ? .sign64 : .sign32)
            } else {
                bitwiseConstant(SSE.and, target, left, double ? .magnitude64 : .magnitude32)
            }
            finish(index, target, direct, instruction.a)
        case .xorSign:
            let right = floatRegister(instruction.b)
            let scratch = allocateFloat()
            bitwiseConstant(SSE.and, scratch, right, double ? .sign64 : .sign32)
            let target = floatDestination(direct, instruction.a)
            asm.bitwise(SSE.xor, target, left, .reg(scratch))
            finish(index, target, direct, instruction.a, instruction.b)
        default:
            let right = floatRegister(instruction.b)
            let scratch = allocateFloat(), magnitudePart = allocateFloat()
            bitwiseConstant(SSE.and, scratch, right, double ? .sign64 : .sign32)
            if instruction.opcode == .copySignNegated {
                bitwiseConstant(SSE.xor, scratch, scratch, double ? .sign64 : .sign32)
            }
            bitwiseConstant(SSE.and, magnitudePart, left, double ? .magnitude64 : .magnitude32)
            let target = direct >= 0 ? pin[direct] : magnitudePart
            asm.bitwise(SSE.or, target, magnitudePart, .reg(scratch))
            finish(index, target, direct, instruction.a, instruction.b)
        }
    }

    /// A packed operation with a constant of the pool, addressed relative to the instruction.
    func bitwiseConstant(_ opcode: UInt8, _ target: UInt8, _ a: UInt8, _ constant: FloatConstant) {
        asm.vex(VexPrefix.none, VexMap.m0F, opcode, target, a, .mem(GPR.rbp, 0x1000_0000))
        ripOperand(target, constant)
    }

    /// Rewrites the [rbp + disp32] just emitted into [rip + disp32] reaching a pool constant.
    func ripOperand(_ register: UInt8, _ constant: FloatConstant) { ripOperand(register, thunks.constant(constant)) }

    /// As above, for any address in the cache.
    func ripOperand(_ register: UInt8, _ address: UnsafeMutablePointer<UInt8>) {
        let displacement = asm.at - 4
        (displacement - 1).pointee = (register & 7) << 3 | 5
        let distance = address - asm.at
        UnsafeMutableRawPointer(displacement).storeBytes(of: Int32(truncatingIfNeeded: distance), as: Int32.self)
    }

    // MARK: conversions

    func emitFloatToInteger(_ index: Int, _ instruction: Instruction) {
        let truncating = instruction.aux == Rounding.towardZero.rawValue
        guard truncating || isHostRounding(instruction.aux) else { return emitSoftFloat(index, instruction) }
        let sourceType = unit.instructions[Int(instruction.a)].type
        let double = sourceType == .f64
        let wide = instruction.type == .i64
        let signed = instruction.opcode == .floatToSigned
        // Unsigned conversions with other roundings are rare and awkward at the edges.
        if !signed && !truncating { return emitSoftFloat(index, instruction) }
        let direct = directTarget(index)
        let source = floatRegister(instruction.a)
        let target = direct >= 0 ? pin[direct] : allocate()
        var out = ColdCode(kind: .softFloat, entry: asm.at, register: source)
        out.aux = UInt32(target)
        out.value = UInt64(FloatOperation.pack(instruction, source: sourceType, unit: unit))
        if signed {
            asm.cvtToInteger(target, source, truncating: truncating, double: double, wide: wide)
            // The host answers INT_MIN for everything out of range.
            asm.alu(ALU.cmp, .reg(target), immediate: 1, wide: wide)
            out.entry = asm.jcc(CC.o)
        } else {
            // In range means −1 < x < 2^31 · 2 (32 bit) or 2^63 (64 bit, the rest is rare).
            let bound = allocateFloat()
            loadConstant(bound, double ? (wide ? .two63Double : .two32Double) : (wide ? .two63Single : .two32Single),
                         double: double)
            asm.ucomis(source, .reg(bound), double: double)
            out.entry = asm.jcc(CC.ae)
            loadConstant(bound, double ? .minusOneDouble : .minusOneSingle, double: double)
            asm.ucomis(source, .reg(bound), double: double)
            out.entry2 = asm.jcc(CC.be)
            asm.cvtToInteger(target, source, truncating: true, double: double, wide: true)
        }
        out.back = asm.at
        cold.append(out)
        finish(index, target, direct, instruction.a)
    }

    private func loadConstant(_ register: UInt8, _ constant: FloatConstant, double: Bool) {
        asm.vex(double ? VexPrefix.pF2 : VexPrefix.pF3, VexMap.m0F, 0x10, register, 0, .mem(GPR.rbp, 0x1000_0000))
        ripOperand(register, constant)
    }

    func emitIntegerToFloat(_ index: Int, _ instruction: Instruction) {
        let double = instruction.type == .f64
        let sourceType = unit.instructions[Int(instruction.a)].type
        let signed = instruction.opcode == .signedToFloat
        let exact = double && sourceType == .i32
        guard exact || isHostRounding(instruction.aux) else { return emitSoftFloat(index, instruction) }
        let direct = directTarget(index)
        let source = integerRegister(instruction.a)
        let target = direct >= 0 ? pin[direct] : allocateFloat()
        var out: ColdCode?
        var from = source
        if !signed {
            if sourceType == .i32 {
                from = allocate()
                asm.mov(from, source, wide: false)
            } else {
                asm.test(source, source)
                var slow = ColdCode(kind: .softFloat, entry: asm.jcc(CC.s), register: source)
                slow.aux = UInt32(target) | 0x100 | 0x200
                slow.value = UInt64(FloatOperation.pack(instruction, source: sourceType, unit: unit))
                out = slow
            }
        }
        asm.bitwise(SSE.xor, target, target, .reg(target))
        asm.cvtFromInteger(target, from, double: double, wide: !signed || sourceType == .i64)
        if var out {
            out.back = asm.at
            cold.append(out)
        }
        finish(index, target, direct, instruction.a)
    }

    func emitFloatToFloat(_ index: Int, _ instruction: Instruction) {
        let toDouble = instruction.type == .f64
        guard toDouble || isHostRounding(instruction.aux) else { return emitSoftFloat(index, instruction) }
        let direct = directTarget(index)
        let source = floatRegister(instruction.a)
        let target = direct >= 0 ? pin[direct] : allocateFloat()
        asm.vex(toDouble ? VexPrefix.pF3 : VexPrefix.pF2, VexMap.m0F, 0x5A, target, source, .reg(source))
        canonicalizeNaN(target, double: toDouble)
        finish(index, target, direct, instruction.a)
    }

    func emitBitcast(_ index: Int, _ instruction: Instruction) {
        let direct = directTarget(index)
        let wide = instruction.type.bits == 64
        if instruction.type.isFloat {
            let source = integerRegister(instruction.a)
            let target = direct >= 0 ? pin[direct] : allocateFloat()
            asm.vmovFromGPR(target, source, wide: wide)
            finish(index, target, direct, instruction.a)
        } else {
            let source = floatRegister(instruction.a)
            let target = direct >= 0 ? pin[direct] : allocate()
            asm.vmovToGPR(target, source, wide: wide)
            finish(index, target, direct, instruction.a)
        }
    }

    func emitNaNBox(_ index: Int, _ instruction: Instruction) {
        let direct = directTarget(index)
        let source = floatRegister(instruction.a)
        let target = floatDestination(direct, instruction.a)
        bitwiseConstant(SSE.or, target, source, .upperOnes)
        finish(index, target, direct, instruction.a)
    }

    func emitNaNUnbox(_ index: Int, _ instruction: Instruction) {
        let direct = directTarget(index)
        let source = floatRegister(instruction.a)
        let scratch = allocate()
        let target = direct >= 0 ? pin[direct] : allocateFloat()
        asm.vmovToGPR(scratch, source, wide: true)
        asm.vmovaps(target, source)
        asm.shift(7, scratch, by: 32)
        asm.alu(ALU.cmp, .reg(scratch), immediate: -1, wide: false)
        cold.append(ColdCode(kind: .unboxNaN, entry: asm.jcc(CC.ne), back: asm.at, register: target))
        finish(index, target, direct, instruction.a)
    }

    // MARK: flags

    func emitReadFloatFlags(_ index: Int) {
        let direct = directTarget(index)
        let target = direct >= 0 ? pin[direct] : allocate()
        let scratch = allocate()
        asm.op0F(0xAE, wide: false, 3, .state(StateLayout.guestMXCSR)) // stmxcsr
        asm.load(target, .state(StateLayout.guestMXCSR), wide: false)
        asm.alu(ALU.and, .reg(target), immediate: 0x3F, wide: false)
        // The table of the 64 combinations lies in the constant pool.
        asm.lea(scratch, .mem(GPR.rbp, 0x1000_0000))
        ripOperand(scratch, thunks.flagTable)
        asm.extend(0xB6, target, .indexed(scratch, target, scale: 0, 0), wide: false)
        asm.load(scratch, .state(StateLayout.floatStatus), wide: false)
        asm.alu(ALU.and, .reg(scratch), immediate: 31, wide: false)
        asm.alu(ALU.or, target, .reg(scratch), wide: false)
        define(index, target, direct: direct)
    }

    func emitWriteFloatFlags(_ instruction: Instruction) {
        let flags = allocate(), status = allocate()
        moveInto(flags, instruction.a, wide: false)
        asm.alu(ALU.and, .reg(flags), immediate: 31, wide: false)
        asm.load(status, .state(StateLayout.floatStatus), wide: false)
        asm.alu(ALU.and, .reg(status), immediate: ~31, wide: false)
        asm.alu(ALU.or, status, .reg(flags), wide: false)
        asm.store(.state(StateLayout.floatStatus), status, wide: false)
        asm.op0F(0xAE, wide: false, 3, .state(StateLayout.guestMXCSR)) // stmxcsr
        asm.load(status, .state(StateLayout.guestMXCSR), wide: false)
        asm.testImmediate(status, 0x3F)
        let clean = asm.jcc(CC.e)
        asm.alu(ALU.and, .reg(status), immediate: ~0x3F, wide: false)
        asm.store(.state(StateLayout.guestMXCSR), status, wide: false)
        asm.op0F(0xAE, wide: false, 2, .state(StateLayout.guestMXCSR)) // ldmxcsr
        Assembler.patch(clean, to: asm.at)
        consume(instruction.a)
    }

    // MARK: soft float

    /// The whole operation out of line, inline in program order.
    func emitSoftFloat(_ index: Int, _ instruction: Instruction) {
        let direct = directTarget(index)
        let sourceType = unit.instructions[Int(instruction.a)].type
        var slot = 0
        for operand in [instruction.a, instruction.b, instruction.c] where operand != .none {
            let field = RM.state(StateLayout.scratch + 8 * slot)
            if unit.instructions[Int(operand)].type.isFloat {
                asm.floatStore(field, floatRegister(operand), double: true)
            } else {
                asm.store(field, integerRegister(operand))
            }
            slot += 1
        }
        let word = FloatOperation.pack(instruction, source: sourceType, unit: unit)
        asm.storeImmediate(.state(StateLayout.scratch + 24), Int32(bitPattern: word), wide: false)
        asm.call(to: thunks.softFloat)
        consume(instruction.a)
        if instruction.b != .none { consume(instruction.b) }
        if instruction.c != .none { consume(instruction.c) }
        if instruction.type.isFloat {
            let target = direct >= 0 ? pin[direct] : allocateFloat()
            asm.floatLoad(target, .state(StateLayout.scratch), double: true)
            define(index, target, direct: direct)
        } else {
            let target = direct >= 0 ? pin[direct] : allocate()
            asm.load(target, .state(StateLayout.scratch))
            define(index, target, direct: direct)
        }
    }
}

/// The operation word handed to the soft float thunk.
enum FloatOperation {
    /// opcode | result type << 8 | source type << 13 | rounding << 18 | imm << 21 | aux << 24.
    static func pack(_ instruction: Instruction, source: ValueType, unit: Unit) -> UInt32 {
        let named = Rounding(rawValue: instruction.aux)
        let rounding = named == .dynamic || named == nil ? unit.rounding : named ?? .nearestEven
        return UInt32(instruction.opcode.rawValue) | UInt32(instruction.type.rawValue) << 8 | UInt32(source.rawValue) << 13
            | UInt32(rounding.rawValue) << 18 | UInt32(truncatingIfNeeded: instruction.imm & 3) << 21
    }
}
