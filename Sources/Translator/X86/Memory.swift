// Loads, stores and atomics. Programs address host memory directly; machines look up the soft TLB inline.

import IR

extension CodeGenerator {
    /// Byte offset in the state block of a field of the current mode's TLB: entry fields are read tag 0, write tag 8,
    /// host page 16.
    private func tlbField(_ field: Int) -> Int32 {
        Int32(StateLayout.tlb + tlbMode * StateLayout.tlbCount * StateLayout.tlbEntrySize + field - StateLayout.bias)
    }

    /// Where an access finds its bytes.
    private struct Place {
        var operand: RM
        /// Index of the cold code whose `back` must be set; -1 for programs.
        var cold: Int
        /// A temporary for the result of a load, `noRegister` if none was asked for.
        var target: UInt8
    }

    /// What stands for a translation that a group of accesses could not share: no distance of pages is odd.
    private static let notShared: Int32 = -1

    /// A host operand for the address of operation `index`, a + imm, valid until the next instruction.
    ///
    /// For machines this emits the TLB lookup: tag XOR address is the page offset exactly when the page matches, so one
    /// unsigned comparison with 4096 − size catches a miss, a page crossing and every special page. The first of a group
    /// (`AccessGroups`) asks for the whole range and keeps the distance from guest to host addresses; the others only look
    /// whether there is one, and otherwise are checked by themselves out of line.
    /// - Parameter wantsTarget: a temporary is wanted for what is loaded.
    private func address(_ index: Int, _ instruction: Instruction, _ format: MemoryFormat, write: Bool,
                         slow: ColdCode.Kind, aligned: Bool, wantsTarget: Bool) -> Place {
        let a = instruction.a
        var base: UInt8
        var offset = Int32(0)
        if let small = Int32(exactly: instruction.imm), small < Int32.max - 4096, small > Int32.min + 4096 {
            base = integerRegister(a)
            offset = small
        } else {
            base = allocate()
            moveInto(base, a)
            let scratch = allocate()
            asm.movImmediate(scratch, instruction.imm)
            asm.alu(ALU.add, base, .reg(scratch))
            unlock(scratch)
        }
        var page = Self.noRegister
        if aligned && format.sizeLog2 > 0 {
            if offset != 0 {
                page = allocate()
                asm.lea(page, .mem(base, offset))
            }
            let tested = page == Self.noRegister ? base : page
            asm.testImmediate(tested, Int32(format.sizeBytes - 1))
            cold.append(ColdCode(kind: .misaligned, entry: asm.jcc(CC.ne), register: tested,
                                 aux: (write ? 1 : 0) | (format.sizeLog2 == 4 ? 4 : 0), value: currentPC))
        }
        if options.identityMemory {
            let target = !wantsTarget ? Self.noRegister : dies(a) ? values[Int(root(a))].location : allocate()
            return Place(operand: .mem(base, offset), cold: -1, target: target)
        }
        var piece = ColdCode(kind: slow, entry: asm.at, register: base, register2: Self.noRegister,
                             aux: UInt32(format.sizeLog2), offset: offset, value: currentPC)
        let group = slow == .pointerSlow ? nil : groups.group(of: index)
        if let group, group.leader != index {
            let distance = integerRegister(ValueID(group.holder))
            // Before the branch: an eviction behind it would be skipped by the slow path.
            if page == Self.noRegister && wantsTarget { page = allocate() }
            asm.alu(ALU.cmp, .reg(distance), immediate: Self.notShared)
            piece.entry = asm.jcc(CC.e)
            cold.append(piece)
            consume(ValueID(group.holder))
            return Place(operand: .indexed(base, distance, scale: 0, offset), cold: cold.count - 1, target: page)
        }
        let slot = allocate()
        if page == Self.noRegister { page = allocate() }
        let first = offset + Int32(group?.low ?? 0)
        if first == 0 { asm.mov(page, base) } else { asm.lea(page, .mem(base, first)) }
        asm.rorx(slot, .reg(page), by: 7, wide: true)
        asm.alu(ALU.and, .reg(slot), immediate: Int32((StateLayout.tlbCount - 1) * StateLayout.tlbEntrySize), wide: false)
        asm.alu(ALU.xor, page, .indexed(GPR.rbp, slot, scale: 0, tlbField(group?.isWrite ?? write ? 8 : 0)))
        asm.alu(ALU.cmp, .reg(page), immediate: Int32(4096 - (group?.span ?? format.sizeBytes)))
        piece.entry = asm.jcc(CC.a)
        asm.load(slot, .indexed(GPR.rbp, slot, scale: 0, tlbField(16)))
        if let group {
            piece.register2 = slot
            (values + group.holder).initialize(to: ValuePlace(kind: ValuePlace.Kind.register, location: slot,
                                                              remaining: UInt32(group.count - 1),
                                                              root: ValueID(group.holder)))
            owner[Int(slot)] = ValueID(group.holder)
        }
        if slow == .pointerSlow {
            asm.alu(ALU.add, slot, .reg(base))
            piece.register2 = slot
            unlock(page)
            unlock(base)
        }
        cold.append(piece)
        let operand = slow == .pointerSlow ? RM.mem(slot) : .indexed(base, slot, scale: 0, offset)
        return Place(operand: operand, cold: cold.count - 1, target: page)
    }

    /// Lets a temporary be evicted again before the operation is over.
    private func unlock(_ register: UInt8) { locked &= ~(1 &<< UInt32(register)) }

    func emitLoad(_ index: Int, _ instruction: Instruction) {
        let format = MemoryFormat(rawValue: instruction.aux)
        let direct = directTarget(index)
        // Before the TLB lookup: an eviction behind it would be skipped by the slow path.
        let isVector = instruction.type.inVectorRegister
        let floatTarget = !isVector ? Self.noRegister : direct >= 0 ? pin[direct] : allocateFloat()
        let hostChecks = instruction.type == .v128 && options.identityMemory
        let place = address(index, instruction, format, write: false, slow: .loadSlow,
                            aligned: format.requiresAlignment && !hostChecks, wantsTarget: !isVector && direct < 0)
        let target = isVector ? floatTarget : direct >= 0 ? pin[direct] : place.target
        if isVector {
            asm.vectorLoad(target, place.operand, size: format.sizeBytes, aligned: format.requiresAlignment)
        } else {
            loadMemory(target, place.operand, format, instruction.type)
        }
        if place.cold >= 0 {
            cold[place.cold].register3 = target
            cold[place.cold].aux |= isVector ? 0x100
                : (format.isSigned ? 0x200 : 0) | (instruction.type == .i64 ? 0x400 : 0)
            cold[place.cold].back = asm.at
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
        let isVector = instruction.type.inVectorRegister
        let immediate = isVector ? nil : immediate32(value)
        let source = isVector ? floatRegister(value) : immediate == nil ? integerRegister(value) : Self.noRegister
        // A host instruction that demands alignment faults as the guest's does.
        let hostChecks = instruction.type == .v128 && options.identityMemory
        let place = address(index, instruction, format, write: true, slow: .storeSlow,
                            aligned: format.requiresAlignment && !hostChecks, wantsTarget: false)
        let target = place.operand
        if isVector {
            asm.vectorStore(target, source, size: format.sizeBytes, aligned: format.requiresAlignment)
        } else if let immediate {
            storeImmediate(target, immediate, format)
        } else {
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
        }
        if place.cold >= 0 {
            cold[place.cold].register3 = source
            if isVector { cold[place.cold].aux |= 0x100 }
            if let immediate { cold[place.cold].immediate = immediate }
            cold[place.cold].back = asm.at
        }
        consume(instruction.a)
        consume(value)
    }

    private func storeImmediate(_ target: RM, _ immediate: Int32, _ format: MemoryFormat) {
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
    }

    // MARK: reservations

    func emitLoadReserved(_ index: Int, _ instruction: Instruction) {
        let format = MemoryFormat(rawValue: instruction.aux)
        let direct = directTarget(index)
        let guest = integerRegister(instruction.a)
        let place = address(index, instruction, format, write: false, slow: .loadSlow, aligned: true, wantsTarget: true)
        // In a program the address may lie in the register that is free next, and is needed again.
        let target = place.cold >= 0 || place.target != guest ? place.target : allocate()
        loadMemory(target, place.operand, format, .i64)
        if place.cold >= 0 {
            cold[place.cold].register3 = target
            cold[place.cold].aux |= 0x400 | (format.isSigned ? 0x200 : 0)
            cold[place.cold].back = asm.at
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
        let memory = pointer(index, instruction, format, aligned: true)
        locked |= 1 &<< UInt32(guest)
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

    /// A host operand for an atomic access, whose slow path gives it another one.
    private func pointer(_ index: Int, _ instruction: Instruction, _ format: MemoryFormat, aligned: Bool) -> RM {
        var plain = instruction
        plain.imm = 0 // the operation
        let place = address(index, plain, format, write: true, slow: .pointerSlow, aligned: aligned, wantsTarget: false)
        if place.cold >= 0 { cold[place.cold].back = asm.at }
        return place.operand
    }

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
        let memory = pointer(index, instruction, format, aligned: format.requiresAlignment)
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
        let memory = pointer(index, instruction, format, aligned: format.requiresAlignment)
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
