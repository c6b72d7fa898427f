// Loads, stores and atomics. Programs address host memory directly; machines look up the soft TLB inline.

import IR

extension CodeGenerator {
    /// Byte offset in the state block of a field of the current mode's TLB: entry fields are read tag 0, write tag 8,
    /// host page 16.
    private func tlbField(_ field: Int) -> Int32 {
        Int32(StateLayout.tlb + tlbMode * StateLayout.tlbCount * StateLayout.tlbEntrySize + field - StateLayout.bias)
    }

    /// A host operand for guest address a + displacement, valid until the next instruction.
    ///
    /// For machines this emits the TLB lookup: tag XOR address is the page offset exactly when the page matches, so one
    /// unsigned comparison with 4096 − size catches a miss, a page crossing and every special page.
    /// - Returns: the operand, and the index of the cold code whose `back` must be set (-1 for programs).
    private func address(_ a: ValueID, _ displacement: Int64, _ format: MemoryFormat, write: Bool,
                         slow: ColdCode.Kind, aligned: Bool) -> (RM, Int) {
        let held = locked
        var base: UInt8
        var offset = Int32(0)
        if let small = Int32(exactly: displacement) {
            base = integerRegister(a)
            offset = small
        } else {
            base = allocate()
            moveInto(base, a)
            let scratch = allocate()
            asm.movImmediate(scratch, displacement)
            asm.alu(ALU.add, base, .reg(scratch))
            locked &= ~(1 &<< UInt32(scratch))
        }
        if aligned || !options.identityMemory {
            if offset != 0 {
                let copy = allocate()
                asm.lea(copy, .mem(base, offset))
                if held & (1 &<< UInt32(base)) == 0 { unlock(base) }
                base = copy
                offset = 0
            }
        }
        if aligned && format.sizeLog2 > 0 {
            asm.testImmediate(base, Int32(format.sizeBytes - 1))
            cold.append(ColdCode(kind: .misaligned, entry: asm.jcc(CC.ne), register: base,
                                 aux: (write ? 1 : 0) | (format.sizeLog2 == 4 ? 4 : 0),
                                 value: currentPC))
        }
        if options.identityMemory { return (.mem(base, offset), -1) }
        let slot = allocate(), page = allocate()
        asm.rorx(slot, .reg(base), by: 7, wide: true)
        asm.alu(ALU.and, .reg(slot), immediate: Int32((StateLayout.tlbCount - 1) * StateLayout.tlbEntrySize), wide: false)
        asm.load(page, .indexed(GPR.rbp, slot, scale: 0, tlbField(write ? 8 : 0)))
        asm.alu(ALU.xor, page, .reg(base))
        asm.alu(ALU.cmp, .reg(page), immediate: Int32(4096 - format.sizeBytes))
        cold.append(ColdCode(kind: slow, entry: asm.jcc(CC.a), register: base, register2: page,
                             aux: UInt32(format.sizeLog2), value: currentPC))
        asm.alu(ALU.add, page, .indexed(GPR.rbp, slot, scale: 0, tlbField(16)))
        unlock(slot)
        return (.mem(page), cold.count - 1)
    }

    /// Lets a temporary be evicted again before the operation is over.
    private func unlock(_ register: UInt8) { locked &= ~(1 &<< UInt32(register)) }

    func emitLoad(_ index: Int, _ instruction: Instruction) {
        let format = MemoryFormat(rawValue: instruction.aux)
        let direct = directTarget(index)
        // Before the TLB lookup: an eviction behind it would be skipped by the slow path.
        let floatTarget = !instruction.type.inVectorRegister ? Self.noRegister
            : direct >= 0 ? pin[direct] : allocateFloat()
        let hostChecks = instruction.type == .v128 && options.identityMemory
        let (source, coldIndex) = address(instruction.a, instruction.imm, format, write: false, slow: .loadSlow,
                                          aligned: format.requiresAlignment && !hostChecks)
        if instruction.type.inVectorRegister {
            let target = floatTarget
            asm.vectorLoad(target, source, size: format.sizeBytes, aligned: format.requiresAlignment)
            if coldIndex >= 0 {
                cold[coldIndex].register3 = target
                cold[coldIndex].aux |= 0x100
                cold[coldIndex].back = asm.at
            }
            return finish(index, target, direct, instruction.a)
        }
        let target: UInt8
        if direct >= 0 {
            target = pin[direct]
        } else if coldIndex >= 0 {
            target = source.base // the page register is free once the load has happened
        } else {
            target = dies(instruction.a) ? values[Int(root(instruction.a))].location : allocate()
        }
        loadMemory(target, source, format, instruction.type)
        if coldIndex >= 0 {
            cold[coldIndex].register3 = target
            cold[coldIndex].aux |= (format.isSigned ? 0x200 : 0) | (instruction.type == .i64 ? 0x400 : 0)
            cold[coldIndex].back = asm.at
        }
        finish(index, target, direct, instruction.a)
    }

    /// The host load for a format. Byte order other than the host's is swapped behind it.
    private func loadMemory(_ target: UInt8, _ source: RM, _ format: MemoryFormat, _ type: ValueType) {
        let wide = type == .i64
        switch (format.sizeLog2, format.isSigned) {
        case (0, false): asm.extend(0xB6, target, source, wide: false)
        case (0, true): asm.extend(0xBE, target, source, wide: wide)
        case (1, false): asm.extend(0xB7, target, source, wide: false)
        case (1, true): asm.extend(0xBF, target, source, wide: wide)
        case (2, true) where wide: asm.movsxd(target, source)
        case (2, _): asm.load(target, source, wide: false)
        default: asm.load(target, source)
        }
        if format.isBigEndian { failed = true }
    }

    func emitStore(_ index: Int, _ instruction: Instruction) {
        let format = MemoryFormat(rawValue: instruction.aux)
        let value = instruction.b
        if format.isBigEndian { failed = true }
        if instruction.type.inVectorRegister {
            let source = floatRegister(value)
            // A host instruction that demands alignment faults as the guest's does.
            let hostChecks = instruction.type == .v128 && options.identityMemory
            let (target, coldIndex) = address(instruction.a, instruction.imm, format, write: true, slow: .storeSlow,
                                              aligned: format.requiresAlignment && !hostChecks)
            asm.vectorStore(target, source, size: format.sizeBytes, aligned: format.requiresAlignment)
            if coldIndex >= 0 {
                cold[coldIndex].register3 = source
                cold[coldIndex].aux |= 0x100
                cold[coldIndex].back = asm.at
            }
            consume(instruction.a)
            consume(value)
            return
        }
        if options.identityMemory, let immediate = immediate32(value) {
            let (target, _) = address(instruction.a, instruction.imm, format, write: true, slow: .storeSlow,
                                      aligned: format.requiresAlignment)
            switch format.sizeLog2 {
            case 0:
                asm.op(0xC6, wide: false, 0, target)
                asm.byte(UInt8(truncatingIfNeeded: immediate))
            case 1:
                asm.byte(0x66)
                asm.op(0xC7, wide: false, 0, target)
                asm.byte(UInt8(truncatingIfNeeded: immediate))
                asm.byte(UInt8(truncatingIfNeeded: immediate >> 8))
            default: asm.storeImmediate(target, immediate, wide: format.sizeLog2 == 3)
            }
            consume(instruction.a)
            consume(value)
            return
        }
        let source = integerRegister(value)
        let (target, coldIndex) = address(instruction.a, instruction.imm, format, write: true, slow: .storeSlow,
                                          aligned: format.requiresAlignment)
        switch format.sizeLog2 {
        case 0:
            asm.rex(wide: false, source, target, byteRegister: true)
            asm.byte(0x88)
            asm.modRM(source, target)
        case 1:
            asm.byte(0x66)
            asm.store(target, source, wide: false)
        default: asm.store(target, source, wide: format.sizeLog2 == 3)
        }
        if coldIndex >= 0 {
            cold[coldIndex].register3 = source
            cold[coldIndex].back = asm.at
        }
        consume(instruction.a)
        consume(value)
    }

    // MARK: reservations

    func emitLoadReserved(_ index: Int, _ instruction: Instruction) {
        let format = MemoryFormat(rawValue: instruction.aux)
        let direct = directTarget(index)
        let guest = integerRegister(instruction.a)
        let (source, coldIndex) = address(instruction.a, 0, format, write: false, slow: .loadSlow, aligned: true)
        let target = coldIndex >= 0 ? source.base : allocate()
        loadMemory(target, source, format, .i64)
        if coldIndex >= 0 {
            cold[coldIndex].register3 = target
            cold[coldIndex].aux |= 0x400 | (format.isSigned ? 0x200 : 0)
            cold[coldIndex].back = asm.at
        }
        asm.store(.state(StateLayout.reservationAddress), guest)
        asm.store(.state(StateLayout.reservationValue), target)
        consume(instruction.a)
        if direct >= 0 { asm.mov(pin[direct], target) }
        define(index, direct >= 0 ? pin[direct] : target, direct: direct)
    }

    func emitStoreConditional(_ index: Int, _ instruction: Instruction) {
        let format = MemoryFormat(rawValue: instruction.aux)
        let direct = directTarget(index)
        let wide = format.sizeLog2 == 3
        claim(GPR.rax)
        let guest = integerRegister(instruction.a)
        let (memory, coldIndex) = address(instruction.a, 0, format, write: true, slow: .pointerSlow, aligned: true)
        if coldIndex >= 0 { cold[coldIndex].back = asm.at }
        let desired = integerRegister(instruction.b)
        asm.alu(ALU.cmp, guest, .state(StateLayout.reservationAddress))
        let lost = asm.jcc(CC.ne)
        asm.load(GPR.rax, .state(StateLayout.reservationValue))
        asm.byte(0xF0)
        asm.op0F(0xB1, wide: wide, desired, memory)
        Assembler.patch(lost, to: asm.at)
        asm.set(CC.ne, GPR.rax)
        asm.extend(0xB6, GPR.rax, .reg(GPR.rax), wide: false)
        asm.storeImmediate(.state(StateLayout.reservationAddress), -1, wide: true)
        consume(instruction.a)
        consume(instruction.b)
        if direct >= 0 { asm.mov(pin[direct], GPR.rax) }
        define(index, direct >= 0 ? pin[direct] : GPR.rax, direct: direct)
    }

    // MARK: read-modify-write

    func emitAtomic(_ index: Int, _ instruction: Instruction) {
        let format = MemoryFormat(rawValue: instruction.aux)
        let operation = AtomicOperation(rawValue: UInt8(truncatingIfNeeded: instruction.imm)) ?? .swap
        let wide = format.sizeLog2 == 3
        guard !format.isBigEndian else {
            failed = true
            return
        }
        let direct = directTarget(index)
        let usesLoop = operation != .swap && operation != .add
        if usesLoop { claim(GPR.rax) }
        let (memory, coldIndex) = address(instruction.a, 0, format, write: true, slow: .pointerSlow,
                                          aligned: format.requiresAlignment)
        if coldIndex >= 0 {
            cold[coldIndex].back = asm.at
            unlock(cold[coldIndex].register)
        }
        var result: UInt8
        switch operation {
        case .swap, .add:
            result = allocate()
            moveInto(result, instruction.b)
            if operation == .swap {
                asm.exchange(result, memory, size: format.sizeBytes)
            } else {
                asm.lockedExchangeAdd(memory, result, size: format.sizeBytes)
            }
        default:
            result = GPR.rax
            let operand = integerOperand(instruction.b)
            let desired = allocate()
            switch format.sizeLog2 {
            case 0: asm.extend(0xB6, GPR.rax, memory, wide: false)
            case 1: asm.extend(0xB7, GPR.rax, memory, wide: false)
            default: asm.load(GPR.rax, memory, wide: wide)
            }
            let again = asm.at
            asm.mov(desired, GPR.rax, wide: true)
            switch operation {
            case .and: asm.alu(ALU.and, desired, operand, wide: wide)
            case .or: asm.alu(ALU.or, desired, operand, wide: wide)
            case .xor: asm.alu(ALU.xor, desired, operand, wide: wide)
            default:
                asm.alu(ALU.cmp, desired, operand, size: format.sizeBytes)
                let code: UInt8 = switch operation {
                case .minimumSigned: 15 // g
                case .maximumSigned: CC.l
                case .minimumUnsigned: CC.a
                default: CC.b
                }
                asm.cmov(code, desired, operand, wide: wide)
            }
            asm.lockedCompareExchange(memory, desired, size: format.sizeBytes)
            asm.jcc(CC.ne, to: again)
        }
        if !wide { asm.extend(result, size: format.sizeBytes, signed: format.isSigned) }
        consume(instruction.a)
        consume(instruction.b)
        if direct >= 0 {
            asm.mov(pin[direct], result)
            result = pin[direct]
        }
        define(index, result, direct: direct)
    }

    func emitCompareExchange(_ index: Int, _ instruction: Instruction) {
        let format = MemoryFormat(rawValue: instruction.aux)
        guard !format.isBigEndian, format.sizeLog2 <= 3 else {
            failed = true
            return
        }
        let direct = directTarget(index)
        claim(GPR.rax)
        let (memory, coldIndex) = address(instruction.a, 0, format, write: true, slow: .pointerSlow,
                                          aligned: format.requiresAlignment)
        if coldIndex >= 0 {
            cold[coldIndex].back = asm.at
            unlock(cold[coldIndex].register)
        }
        let desired = integerRegister(instruction.c)
        moveInto(GPR.rax, instruction.b)
        asm.lockedCompareExchange(memory, desired, size: format.sizeBytes)
        if format.sizeLog2 < 3 { asm.extend(GPR.rax, size: format.sizeBytes, signed: format.isSigned) }
        consume(instruction.a)
        consume(instruction.b)
        consume(instruction.c)
        if direct >= 0 { asm.mov(pin[direct], GPR.rax) }
        define(index, direct >= 0 ? pin[direct] : GPR.rax, direct: direct)
    }
}
