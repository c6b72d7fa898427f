// Vector operations: each is the host's own instruction in its VEX form, so results, MXCSR flags and NaN choices are the
// host's. Only the upper halves of YMM registers are never used: host code may find them in any state.
//
// None of this changes the host's status flags, except operations whose form or result says so.

import CHost
import IR

extension CodeGenerator {
    func emitVector(_ index: Int, _ instruction: Instruction) {
        guard let operation = VectorOperation(rawValue: UInt16(truncatingIfNeeded: instruction.imm)) else {
            failed = true
            return
        }
        let signature = operation.signature
        if isOutOfLine(signature) { return emitVectorCall(index, instruction, signature) }
        switch signature.form {
        case .zero:
            let direct = directTarget(index)
            let target = direct >= 0 ? pin[direct] : allocateFloat()
            asm.vex(VexPrefix.none, VexMap.m0F, 0x57, target, target, .reg(target))
            define(index, target, direct: direct)
        case .rm:
            let direct = directTarget(index)
            let source = vectorOperand(instruction.a)
            let target = direct >= 0 ? pin[direct] : vectorTarget(instruction.a)
            emitVex(signature, target, 0, source)
            if signature.hasImmediate { asm.byte(instruction.aux) }
            finish(index, target, direct, instruction.a)
        case .rvm:
            let direct = directTarget(index)
            let left = floatRegister(instruction.a)
            let right = signature.onlyRegisters ? .reg(floatRegister(instruction.b)) : vectorOperand(instruction.b)
            let target = direct >= 0 ? pin[direct] : vectorTarget(instruction.a)
            emitVex(signature, target, left, right)
            if signature.hasImmediate { asm.byte(instruction.aux) }
            finish(index, target, direct, instruction.a, instruction.b)
        case .rvmr:
            let direct = directTarget(index)
            let left = floatRegister(instruction.a), mask = floatRegister(instruction.c)
            let right = vectorOperand(instruction.b)
            let target = direct >= 0 ? pin[direct] : vectorTarget(instruction.a)
            emitVex(signature, target, left, right)
            asm.byte(mask << 4)
            consume(instruction.c)
            finish(index, target, direct, instruction.a, instruction.b)
        case .rmf:
            emitVex(signature, floatRegister(instruction.a), 0, vectorOperand(instruction.b))
            consume(instruction.a)
            consume(instruction.b)
            flagsAreInHost(index)
        case .rvg:
            let direct = directTarget(index)
            let left = floatRegister(instruction.a), right = integerOperand(instruction.b)
            let target = direct >= 0 ? pin[direct] : vectorTarget(instruction.a)
            emitVex(signature, target, left, right)
            if signature.hasImmediate { asm.byte(instruction.aux) }
            finish(index, target, direct, instruction.a, instruction.b)
        case .gm:
            let direct = directTarget(index)
            let source = floatRegister(instruction.a)
            let target = direct >= 0 ? pin[direct] : allocate()
            emitVex(signature, target, 0, .reg(source))
            if signature.hasImmediate { asm.byte(instruction.aux) }
            finish(index, target, direct, instruction.a)
        case .mg:
            let direct = directTarget(index)
            let source = floatRegister(instruction.a)
            let target = direct >= 0 ? pin[direct] : allocate()
            emitVex(signature, source, 0, .reg(target))
            asm.byte(instruction.aux)
            finish(index, target, direct, instruction.a)
        case .mr:
            let direct = directTarget(index)
            let source = floatRegister(instruction.a)
            let target = direct >= 0 ? pin[direct] : vectorTarget(instruction.a)
            emitVex(signature, source, 0, .reg(target))
            asm.byte(instruction.aux)
            finish(index, target, direct, instruction.a)
        case .vm2, .vm3, .vm4, .vm6, .vm7:
            let direct = directTarget(index)
            let source = floatRegister(instruction.a)
            let target = direct >= 0 ? pin[direct] : vectorTarget(instruction.a)
            emitVex(signature, signature.form.opcodeExtension, target, .reg(source))
            asm.byte(instruction.aux)
            finish(index, target, direct, instruction.a)
        case .fma: emitFMA(index, instruction, signature)
        case .sha: emitSHA(index, instruction, signature)
        case .crc: emitCRC(index, instruction, operation)
        case .string: emitStringCompare(index, instruction, signature)
        }
    }

    /// Whether the host's status flags survive a vector operation.
    func vectorKeepsFlags(_ instruction: Instruction) -> Bool {
        guard instruction.type != .flags,
              let operation = VectorOperation(rawValue: UInt16(truncatingIfNeeded: instruction.imm)) else { return false }
        return operation.signature.form != .string && !isOutOfLine(operation.signature)
    }

    /// Where the host lacks the instruction, and where its exceptions could be host signals.
    private func isOutOfLine(_ signature: VectorSignature) -> Bool {
        !thunks.hostHas(signature.needs) || unit.trapsFloats && signature.usesMXCSR
    }

    /// A temporary for the result: that of a dying operand, or a free one.
    private func vectorTarget(_ a: ValueID) -> UInt8 {
        dies(a) ? values[Int(root(a))].location : allocateFloat()
    }

    /// A vector as a register or memory operand.
    func vectorOperand(_ value: ValueID) -> RM {
        let root = Int(self.root(value))
        let place = values[root]
        guard unit.instructions[root].type == .v128 else { return .reg(floatRegister(value)) }
        switch place.kind {
        case ValuePlace.Kind.home where pin[Int(place.location)] == Self.noRegister && place.remaining == 1:
            return .state(Int(globalOffset[Int(place.location)]))
        case ValuePlace.Kind.spill where place.remaining == 1:
            return .state(StateLayout.vectorSpill + 16 * Int(place.location))
        default: return .reg(floatRegister(value))
        }
    }

    private func emitVex(_ signature: VectorSignature, _ reg: UInt8, _ source1: UInt8, _ rm: RM) {
        asm.vex(signature.prefix, signature.map, signature.opcode, wide: signature.w, reg, source1, rm)
    }

    // MARK: three operands

    /// The immediate byte is the guest's form (0: 132, 1: 213, 2: 231) and a, b, c are its operands in order: which NaN
    /// wins and where the upper lanes come from is then the same.
    private func emitFMA(_ index: Int, _ instruction: Instruction, _ signature: VectorSignature) {
        let direct = directTarget(index)
        let first = floatRegister(instruction.a), second = floatRegister(instruction.b)
        let third = vectorOperand(instruction.c)
        var target = direct >= 0 ? pin[direct] : vectorTarget(instruction.a)
        if target != first && (target == second || third.isRegister && target == third.base) { target = allocateFloat() }
        asm.vmovaps(target, first)
        asm.vex(signature.prefix, signature.map, signature.opcode &+ instruction.aux << 4, wide: signature.w, target,
                second, third)
        consume(instruction.c)
        if direct >= 0 { asm.vmovaps(pin[direct], target) }
        finish(index, direct >= 0 ? pin[direct] : target, direct, instruction.a, instruction.b)
    }

    private func emitSHA(_ index: Int, _ instruction: Instruction, _ signature: VectorSignature) {
        let direct = directTarget(index)
        if instruction.c != .none {
            claimFloat(0)
            moveVector(0, instruction.c)
        }
        let first = floatRegister(instruction.a), second = floatRegister(instruction.b)
        let target = allocateFloat()
        asm.vmovaps(target, first)
        asm.rex(wide: false, target, .reg(second))
        asm.byte(0x0F)
        asm.byte(signature.map == VexMap.m0F38 ? 0x38 : 0x3A)
        asm.byte(signature.opcode)
        asm.modRM(target, .reg(second))
        if signature.hasImmediate { asm.byte(instruction.aux) }
        if instruction.c != .none { consume(instruction.c) }
        if direct >= 0 { asm.vmovaps(pin[direct], target) }
        finish(index, direct >= 0 ? pin[direct] : target, direct, instruction.a, instruction.b)
    }

    /// Makes a particular vector temporary free and locks it.
    private func claimFloat(_ register: UInt8) {
        floatLocked |= 1 << UInt32(register)
        evictFloat(register)
    }

    /// Copies a vector into a host register without changing where it lives.
    private func moveVector(_ register: UInt8, _ value: ValueID) {
        let root = Int(self.root(value))
        let place = values[root]
        switch place.kind {
        case ValuePlace.Kind.register: asm.vmovaps(register, place.location)
        case ValuePlace.Kind.home:
            let host = pin[Int(place.location)]
            if host == Self.noRegister {
                asm.vectorLoad(register, .state(Int(globalOffset[Int(place.location)])), size: 16)
            } else {
                asm.vmovaps(register, host)
            }
        case ValuePlace.Kind.spill:
            asm.vectorLoad(register, .state(StateLayout.vectorSpill + 16 * Int(place.location)), size: 16)
        default: failed = true
        }
    }

    // MARK: integer registers

    private func emitCRC(_ index: Int, _ instruction: Instruction, _ operation: VectorOperation) {
        let direct = directTarget(index)
        let source = integerRegister(instruction.b)
        let result = allocate()
        moveInto(result, instruction.a)
        if operation == .crc32w { asm.byte(0x66) }
        asm.byte(0xF2)
        asm.rex(wide: operation == .crc32q, result, .reg(source), byteRegister: operation == .crc32b)
        asm.byte(0x0F)
        asm.byte(0x38)
        asm.byte(operation == .crc32b ? 0xF0 : 0xF1)
        asm.modRM(result, .reg(source))
        if direct >= 0 { asm.mov(pin[direct], result) }
        finish(index, direct >= 0 ? pin[direct] : result, direct, instruction.a, instruction.b)
    }

    private func emitStringCompare(_ index: Int, _ instruction: Instruction, _ signature: VectorSignature) {
        let direct = signature.result == .flags ? -1 : directTarget(index)
        claim(GPR.rcx)
        if instruction.c != .none {
            claim(GPR.rax)
            claim(GPR.rdx)
            moveInto(GPR.rax, instruction.c, wide: false)
            for byte: UInt8 in [0x0F, 0xB6, 0xD4] { asm.byte(byte) } // movzx edx, ah
            asm.extend(0xB6, GPR.rax, .reg(GPR.rax), wide: false)
            consume(instruction.c)
        }
        if signature.result == .v128 { claimFloat(0) }
        let left = floatRegister(instruction.a), right = floatRegister(instruction.b)
        emitVex(signature, left, 0, .reg(right))
        asm.byte(instruction.aux)
        switch signature.result {
        case .flags:
            consume(instruction.a)
            consume(instruction.b)
            flagsAreInHost(index)
        case .i32:
            if direct >= 0 { asm.mov(pin[direct], GPR.rcx) }
            finish(index, direct >= 0 ? pin[direct] : GPR.rcx, direct, instruction.a, instruction.b)
        default:
            if direct >= 0 { asm.vmovaps(pin[direct], 0) }
            finish(index, direct >= 0 ? pin[direct] : 0, direct, instruction.a, instruction.b)
        }
    }

    func emitVectorFromInteger(_ index: Int, _ instruction: Instruction) {
        let direct = directTarget(index)
        let wide = unit.instructions[Int(instruction.a)].type == .i64
        let source = integerOperand(instruction.a)
        let target = direct >= 0 ? pin[direct] : allocateFloat()
        asm.vex(VexPrefix.p66, VexMap.m0F, 0x6E, wide: wide, target, 0, source)
        finish(index, target, direct, instruction.a)
    }

    func emitVectorToInteger(_ index: Int, _ instruction: Instruction) {
        let direct = directTarget(index)
        let source = floatRegister(instruction.a)
        let target = direct >= 0 ? pin[direct] : allocate()
        asm.vmovToGPR(target, source, wide: instruction.type == .i64)
        finish(index, target, direct, instruction.a)
    }

    // MARK: out of line

    /// Operands and operation word to the scratch area, the interpreter's evaluation; it leaves the unit with the guest's
    /// exception when one is unmasked.
    private func emitVectorCall(_ index: Int, _ instruction: Instruction, _ signature: VectorSignature) {
        let direct = signature.result == .flags ? -1 : directTarget(index)
        var slot = StateLayout.vectorScratch
        for operand in [instruction.a, instruction.b, instruction.c] where operand != .none {
            if unit.instructions[Int(operand)].type == .v128 {
                asm.vectorStore(.state(slot), floatRegister(operand), size: 16)
            } else {
                asm.store(.state(slot), integerRegister(operand))
            }
            slot += 16
        }
        asm.storeImmediate(.state(StateLayout.vectorScratch + 48),
                           Int32(truncatingIfNeeded: instruction.imm | Int64(instruction.aux) << 16), wide: false)
        asm.call(to: thunks.vectorCall)
        for operand in [instruction.a, instruction.b, instruction.c] where operand != .none { consume(operand) }
        if signature.result == .v128 {
            let target = direct >= 0 ? pin[direct] : allocateFloat()
            asm.vectorLoad(target, .state(StateLayout.vectorScratch), size: 16)
            define(index, target, direct: direct)
        } else {
            let target = direct >= 0 ? pin[direct] : allocate()
            asm.load(target, .state(StateLayout.vectorScratch), wide: signature.result == .i64)
            define(index, target, direct: direct)
        }
    }
}

extension Assembler {
    /// 4 or 8 bytes with zeros above, or 16; `aligned` faults on a misaligned address.
    @inline(__always)
    mutating func vectorLoad(_ destination: UInt8, _ source: RM, size: Int, aligned: Bool = false) {
        switch size {
        case 4: vex(VexPrefix.pF3, VexMap.m0F, 0x10, destination, 0, source)
        case 8: vex(VexPrefix.pF2, VexMap.m0F, 0x10, destination, 0, source)
        default: vex(VexPrefix.none, VexMap.m0F, aligned ? 0x28 : 0x10, destination, 0, source)
        }
    }

    /// The low 4 or 8, or all 16 bytes.
    @inline(__always)
    mutating func vectorStore(_ destination: RM, _ source: UInt8, size: Int, aligned: Bool = false) {
        switch size {
        case 4: vex(VexPrefix.pF3, VexMap.m0F, 0x11, source, 0, destination)
        case 8: vex(VexPrefix.pF2, VexMap.m0F, 0x11, source, 0, destination)
        default: vex(VexPrefix.none, VexMap.m0F, aligned ? 0x29 : 0x11, source, 0, destination)
        }
    }
}
