// Condition codes: the host's status flags are the guest's.
//
// A flags value is born in the host's flags register. `hostFlags` is the value that lies there now, `pendingFlags` the one
// that a `set` has made the guest's flags without storing it yet. Before an operation spoils the host's flags they are
// stored, as LAHF and SETO give them, if anybody can still see them: an exit of the unit, a later operation, or a memory
// access that faults before the flags are overwritten (`DeadCode` leaves the last such access in `uses` of the `set`). A
// fault while they are still in the host's register finds them in the signal frame; a bit of the side table says so.

import IR

extension CodeGenerator {
    /// What an operation does to the host's flags.
    private enum FlagEffect {
        case keeps
        /// Leaves the unit, perhaps: the guest's flags must be in place.
        case leaves
        /// Uses the value in the host's flags and replaces it.
        case uses
        case spoils
    }

    private func flagEffect(_ index: Int, _ instruction: Instruction) -> FlagEffect {
        switch instruction.opcode {
        case .dead, .constant, .get, .set, .instruction, .truncate, .zeroExtend, .signExtend, .not, .byteSwap, .testFlags,
             .vectorFromInteger, .vectorToInteger: return .keeps
        case .deposit:
            let narrow = unit.instructions[Int(instruction.b)].type.bits
            return narrow <= 16 && instruction.imm == 0 || narrow == 8 && instruction.imm == 8 ? .keeps : .spoils
        case .vector: return vectorKeepsFlags(instruction) ? .keeps : .spoils
        case .add:
            return immediate32(instruction.b) != nil && instruction.type.bits >= 32 && fusedFlags(index) < 0 ? .keeps : .spoils
        case .load, .store:
            let isPlain = options.identityMemory && Int32(exactly: instruction.imm) != nil
                && (!MemoryFormat(rawValue: instruction.aux).requiresAlignment || instruction.type == .v128)
            return isPlain ? .keeps : .spoils
        case .select:
            let condition = unit.instructions[Int(root(instruction.a))]
            return condition.opcode == .testFlags && values[Int(root(instruction.a))].kind == ValuePlace.Kind.deferred
                && root(condition.a) == hostFlags ? .keeps : .spoils
        case .exitIf, .exitIfFlags, .raiseIf, .jump, .jumpIndirect, .raise, .call: return .leaves
        case .addWithCarry, .subtractWithBorrow, .rotateCarryLeft, .rotateCarryRight, .flagsOf:
            return instruction.c != .none && root(instruction.c) == hostFlags ? .uses : .spoils
        default:
            let fused = fusedFlags(index)
            if fused >= 0, unit.instructions[fused].c != .none, root(unit.instructions[fused].c) == hostFlags { return .uses }
            return .spoils
        }
    }

    /// Called before an operation is emitted, when the host's flags hold something.
    func prepareFlags(_ index: Int, _ instruction: Instruction) {
        switch flagEffect(index, instruction) {
        case .keeps: break
        case .leaves:
            // Jumps and flag exits carry the flags to where they lead (Blocks.swift).
            switch instruction.opcode {
            case .exitIfFlags: break
            case .jump where instruction.aux != JumpKind.call.rawValue: break
            default:
                if pendingFlags != .none && isObserved(from: index) { saveFlags() }
                pendingFlags = .none
                spoilFlags(index)
            }
        case .uses:
            if pendingFlags != .none {
                if isObserved(from: index) { saveFlags() } else { pendingFlags = .none }
            }
            var usesHere: UInt32 = 1
            let fused = instruction.opcode == .flagsOf ? -1 : fusedFlags(index)
            if fused >= 0 && instruction.c != .none { usesHere += 1 }
            if values[Int(hostFlags)].kind == ValuePlace.Kind.hostFlags && values[Int(hostFlags)].remaining > usesHere {
                spillFlags()
            }
        case .spoils: spoilFlags(index)
        }
    }

    /// Whether the pending flags can be seen by operation `index` or a later one.
    private func isObserved(from index: Int) -> Bool {
        pendingObserver == DeadCode.alwaysObserved || Int(pendingObserver) >= index
    }

    /// The host's flags are about to change: whatever is still needed of them goes to memory.
    func spoilFlags(_ index: Int) {
        if pendingFlags != .none && isObserved(from: index) { saveFlags() }
        pendingFlags = .none
        if hostFlags != .none && values[Int(hostFlags)].kind == ValuePlace.Kind.hostFlags
            && values[Int(hostFlags)].remaining > 0 { spillFlags() }
        hostFlags = .none
    }

    /// Stores the pending flags; the host's flags stay as they are.
    func saveFlags() {
        let value = pendingFlags
        pendingFlags = .none
        let held = locked
        claim(GPR.rax)
        locked = held
        storeHostFlags()
        if values[Int(value)].kind == ValuePlace.Kind.hostFlags {
            values[Int(value)].kind = ValuePlace.Kind.home
            values[Int(value)].location = UInt8(truncatingIfNeeded: flagsGlobal)
            globalValue[flagsGlobal] = value
        }
    }

    /// Copies the host's flags to a spill slot as a packed value; the host's flags stay as they are.
    private func spillFlags() {
        packFlags()
        let slot = allocateSpill()
        asm.extend(0xB7, GPR.rax, .reg(GPR.rax), wide: false)
        asm.store(.state(StateLayout.spill + 8 * slot), GPR.rax)
        values[Int(hostFlags)].kind = ValuePlace.Kind.spill
        values[Int(hostFlags)].location = UInt8(truncatingIfNeeded: slot)
        values[Int(hostFlags)].backup = ValuePlace.Kind.none
    }

    /// ax = the host's flags, packed.
    private func packFlags() {
        let held = locked
        claim(GPR.rax)
        locked = held
        asm.byte(0x9F) // lahf
        asm.set(CC.o, GPR.rax)
    }

    /// The guest's flags = the host's, which stay as they are. rax is lost.
    func storeHostFlags() {
        asm.byte(0x9F) // lahf
        asm.set(CC.o, GPR.rax)
        asm.byte(0x66)
        asm.store(.state(Int(globalOffset[flagsGlobal])), GPR.rax, wide: false)
    }

    /// The host's flags = the guest's. rax is lost.
    func loadHostFlags() {
        asm.extend(0xB7, GPR.rax, .state(Int(globalOffset[flagsGlobal])), wide: false)
        unpackFlags()
    }

    /// The host's flags = ax, packed.
    private func unpackFlags() {
        asm.byte(0x04) // add al, 7F: OF = bit 0
        asm.byte(0x7F)
        asm.byte(0x9E) // sahf
    }

    // MARK: getting flags into the host

    /// The host's flags become a flags value. rax must be claimed.
    private func loadFlags(_ value: ValueID) {
        let root = root(value)
        if hostFlags == root { return }
        let place = values[Int(root)]
        switch place.kind {
        case ValuePlace.Kind.register: if place.location != GPR.rax { asm.mov(GPR.rax, place.location, wide: false) }
        case ValuePlace.Kind.home: asm.extend(0xB7, GPR.rax, .state(Int(globalOffset[Int(place.location)])), wide: false)
        case ValuePlace.Kind.spill: asm.extend(0xB7, GPR.rax, .state(StateLayout.spill + 8 * Int(place.location)), wide: false)
        default: failed = true
        }
        unpackFlags()
        hostFlags = root
    }

    /// The host's CF becomes that of a flags value.
    private func loadCarry(_ value: ValueID) {
        let root = root(value)
        if hostFlags == root { return }
        let place = values[Int(root)]
        let source: RM
        switch place.kind {
        case ValuePlace.Kind.register: source = .reg(place.location)
        case ValuePlace.Kind.home: source = .state(Int(globalOffset[Int(place.location)]))
        case ValuePlace.Kind.spill: source = .state(StateLayout.spill + 8 * Int(place.location))
        default:
            failed = true
            return
        }
        asm.op0F(0xBA, wide: false, 4, source) // bt
        asm.byte(8)
    }

    /// Makes the host answer a condition on a flags value.
    /// - Returns: the host's condition code that holds when it does.
    /// - Precondition: rax is claimed unless the host's flags hold the value.
    func answer(_ condition: UInt8, _ flags: ValueID) -> UInt8 {
        let root = root(flags)
        if hostFlags == root { return condition }
        let place = values[Int(root)]
        let field: Int
        switch place.kind {
        case ValuePlace.Kind.home: field = Int(globalOffset[Int(place.location)])
        case ValuePlace.Kind.spill: field = StateLayout.spill + 8 * Int(place.location)
        default:
            loadFlags(flags)
            return condition
        }
        let mask: UInt8
        switch FlagCondition(rawValue: condition & ~1) ?? .overflow {
        case .overflow: mask = 1
        case .carry: mask = 0x01
        case .zero: mask = 0x40
        case .carryOrZero: mask = 0x41
        case .sign: mask = 0x80
        case .parity: mask = 0x04
        default:
            loadFlags(flags)
            return condition
        }
        asm.op(0xF6, wide: false, 0, .state(condition & ~1 == 0 ? field : field + 1))
        asm.byte(mask)
        return condition & 1 == 0 ? CC.ne : CC.e
    }

    // MARK: operations

    func emitTestFlags(_ index: Int, _ instruction: Instruction) {
        if isDeferredToSelect(index) {
            values[index].kind = ValuePlace.Kind.deferred
            return
        }
        let flags = instruction.a
        if root(flags) != hostFlags {
            spoilFlags(index)
            claim(GPR.rax)
        }
        let direct = directTarget(index)
        let code = answer(instruction.aux, flags)
        let target = direct >= 0 ? pin[direct] : allocate()
        asm.set(code, target)
        asm.extend(0xB6, target, .reg(target), wide: false)
        finish(index, target, direct, flags)
    }

    func emitExitIfFlags(_ index: Int, _ instruction: Instruction) {
        if root(instruction.a) != hostFlags {
            spoilFlags(index)
            claim(GPR.rax)
        }
        emitExit(answer(instruction.aux, instruction.a), UInt64(bitPattern: instruction.imm))
        consume(instruction.a)
    }

    func emitFlagsToBits(_ index: Int, _ instruction: Instruction) {
        let direct = directTarget(index)
        let source = integerOperand(instruction.a)
        let target = direct >= 0 ? pin[direct] : allocate()
        let scratch = allocate()
        asm.extend(0xB7, scratch, source, wide: false)
        asm.mov(target, scratch, wide: false)
        asm.shift(5, target, by: 8, wide: false)
        asm.alu(ALU.and, .reg(target), immediate: 0xD5, wide: false)
        asm.alu(ALU.and, .reg(scratch), immediate: 1, wide: false)
        asm.shift(4, scratch, by: 11, wide: false)
        asm.alu(ALU.or, target, .reg(scratch), wide: false)
        finish(index, target, direct, instruction.a)
    }

    func emitBitsToFlags(_ index: Int, _ instruction: Instruction) {
        let source = integerRegister(instruction.a)
        let target = allocate(), scratch = allocate()
        asm.mov(target, source, wide: false)
        asm.alu(ALU.and, .reg(target), immediate: 0xD5, wide: false)
        asm.alu(ALU.or, .reg(target), immediate: 2, wide: false)
        asm.shift(4, target, by: 8, wide: false)
        asm.mov(scratch, source, wide: false)
        asm.shift(5, scratch, by: 11, wide: false)
        asm.alu(ALU.and, .reg(scratch), immediate: 1, wide: false)
        asm.alu(ALU.or, target, .reg(scratch), wide: false)
        finish(index, target, -1, instruction.a)
    }

    func emitSetCarry(_ index: Int, _ instruction: Instruction) {
        let target = allocate()
        asm.extend(0xB7, target, integerOperand(instruction.b), wide: false)
        if let constant = immediate32(instruction.a) {
            if constant != 0 {
                asm.alu(ALU.or, .reg(target), immediate: 0x100, wide: false)
            } else {
                asm.alu(ALU.and, .reg(target), immediate: ~0x100, wide: false)
            }
        } else {
            let carry = integerRegister(instruction.a)
            let scratch = allocate()
            asm.alu(ALU.and, .reg(target), immediate: ~0x100, wide: false)
            asm.mov(scratch, carry, wide: false)
            asm.shift(4, scratch, by: 8, wide: false)
            asm.alu(ALU.or, target, .reg(scratch), wide: false)
        }
        finish(index, target, -1, instruction.a, instruction.b)
    }

    /// Condition codes on their own, where no operation in front made them.
    func emitFlagsOf(_ index: Int, _ instruction: Instruction) {
        guard let operation = FlagOperation(rawValue: instruction.aux) else {
            failed = true
            return
        }
        if options.exactFlags && operation.differsBetweenProcessors { return emitExactFlags(index, instruction) }
        let a = instruction.a, b = instruction.b
        let size = unit.instructions[Int(a)].type.bits / 8
        let needs = neededFlags(operation, instruction)
        if needs == .all && hostFlags != root(instruction.c) { claim(GPR.rax) }
        switch operation {
        case .sub:
            emitSizedCompare(a, b, size)
        case .logic:
            let operand = integerOperand(a)
            if operand.isRegister {
                asm.test(operand.base, operand.base, size: size)
            } else {
                asm.alu(ALU.cmp, operand, immediate: 0, size: size)
            }
        case .multiplySigned, .multiplyUnsigned: emitMultiplyFlags(operation, instruction, size)
        default:
            let count = prepareCount(operation, b)
            let copy = allocate()
            moveInto(copy, a)
            let right = count == nil && b != .none && immediate32(b) == nil ? integerOperand(b) : .reg(copy)
            if needs == .carry { loadCarry(instruction.c) }
            if needs == .all { loadFlags(instruction.c) }
            emitInPlace(operation, copy, right, immediate: b == .none ? nil : immediate32(b), count: count, size: size)
        }
        consume(a)
        if b != .none { consume(b) }
        if instruction.c != .none { consume(instruction.c) }
        flagsAreInHost(index)
    }

    /// Condition codes computed out of line, as the interpreter does it.
    private func emitExactFlags(_ index: Int, _ instruction: Instruction) {
        spoilFlags(index)
        let a = instruction.a, b = instruction.b, before = instruction.c
        let width = UInt32(unit.instructions[Int(a)].type.bits)
        asm.store(.state(StateLayout.scratch), integerRegister(a))
        locked = 0
        if b == .none {
            asm.storeImmediate(.state(StateLayout.scratch + 8), 0, wide: true)
        } else {
            asm.store(.state(StateLayout.scratch + 8), integerRegister(b))
        }
        locked = 0
        if before == .none {
            asm.storeImmediate(.state(StateLayout.scratch + 16), 0, wide: true)
        } else {
            let packed = allocate()
            asm.extend(0xB7, packed, integerOperand(before), wide: false)
            asm.store(.state(StateLayout.scratch + 16), packed)
        }
        locked = 0
        asm.storeImmediate(.state(StateLayout.scratch + 24), Int32(bitPattern: UInt32(instruction.aux) | width << 8), wide: false)
        asm.call(to: thunks.exactFlags)
        let target = allocate()
        asm.load(target, .state(StateLayout.scratch))
        consume(a)
        if b != .none { consume(b) }
        if before != .none { consume(before) }
        define(index, target)
    }

    /// Records that the host's flags now are the value of operation `index`.
    func flagsAreInHost(_ index: Int) {
        pendingFlags = .none
        hostFlags = ValueID(truncatingIfNeeded: index)
        values[index].kind = ValuePlace.Kind.hostFlags
    }

    private enum Need { case nothing, carry, all }

    private func neededFlags(_ operation: FlagOperation, _ instruction: Instruction) -> Need {
        guard instruction.c != .none else { return .nothing }
        switch operation {
        case .add, .sub, .logic: return .nothing
        case .addCarry, .subtractBorrow, .increment, .decrement: return .carry
        default: return .all
        }
    }

    /// The count of a shift or rotation: a constant, or in rcx (nil is returned for other operations).
    private func prepareCount(_ operation: FlagOperation, _ b: ValueID) -> Count? {
        switch operation {
        case .shiftLeft, .shiftRightUnsigned, .shiftRightSigned, .rotateLeft, .rotateRight, .rotateCarryLeft,
             .rotateCarryRight:
            if let constant = immediate32(b) { return .constant(UInt8(truncatingIfNeeded: constant & 63)) }
            claim(GPR.rcx)
            moveInto(GPR.rcx, b)
            return .register
        default: return nil
        }
    }

    private enum Count { case constant(UInt8), register }

    /// target = target op right, with the guest instruction's own host instruction.
    private func emitInPlace(_ operation: FlagOperation, _ target: UInt8, _ right: RM, immediate: Int32?, count: Count?,
                             size: Int) {
        if let count {
            let kind: UInt8 = switch operation {
            case .shiftLeft: 4
            case .shiftRightUnsigned: 5
            case .shiftRightSigned: 7
            case .rotateLeft: 0
            case .rotateRight: 1
            case .rotateCarryLeft: 2
            default: 3
            }
            switch count {
            case .constant(let amount): asm.shift(kind, target, by: amount, size: size)
            case .register: asm.shiftCL(kind, target, size: size)
            }
            return
        }
        let kind: UInt8
        switch operation {
        case .increment: return asm.group(0xFE, 0, .reg(target), size: size)
        case .decrement: return asm.group(0xFE, 1, .reg(target), size: size)
        case .add: kind = ALU.add
        case .addCarry: kind = ALU.adc
        case .subtractBorrow: kind = ALU.sbb
        default: kind = ALU.sub
        }
        if let immediate {
            asm.alu(kind, .reg(target), immediate: immediate, size: size)
        } else {
            asm.alu(kind, target, right, size: size)
        }
    }

    private func emitMultiplyFlags(_ operation: FlagOperation, _ instruction: Instruction, _ size: Int) {
        let a = instruction.a, b = instruction.b
        if operation == .multiplySigned && size > 1 {
            let copy = allocate()
            let right = integerOperand(b)
            moveInto(copy, a)
            if instruction.c != .none { loadFlags(instruction.c) }
            if size == 2 { asm.byte(0x66) }
            return asm.op0F(0xAF, wide: size == 8, copy, right)
        }
        claim(GPR.rax)
        claim(GPR.rdx)
        let right = integerRegister(b)
        let left = integerRegister(a)
        if instruction.c != .none { loadFlags(instruction.c) }
        asm.mov(GPR.rax, left)
        asm.group(0xF6, operation == .multiplySigned ? 5 : 4, .reg(right), size: size)
    }

    /// addWithCarry and its kin without their flags.
    func emitWithCarry(_ index: Int, _ instruction: Instruction) {
        let fused = fusedFlags(index)
        if fused >= 0 { return emitFused(index, instruction, flagsIndex: fused) }
        let operation: FlagOperation = switch instruction.opcode {
        case .addWithCarry: .addCarry
        case .subtractWithBorrow: .subtractBorrow
        case .rotateCarryLeft: .rotateCarryLeft
        default: .rotateCarryRight
        }
        let size = instruction.type.bits / 8
        let direct = directTarget(index)
        let count = prepareCount(operation, instruction.b)
        let immediate = immediate32(instruction.b)
        let right = count == nil && immediate == nil ? integerOperand(instruction.b) : .reg(0)
        let target = allocate()
        moveInto(target, instruction.a)
        loadCarry(instruction.c)
        emitInPlace(operation, target, right, immediate: immediate, count: count, size: size)
        hostFlags = .none
        consume(instruction.a)
        consume(instruction.b)
        consume(instruction.c)
        guard direct >= 0 else { return define(index, target) }
        asm.mov(pin[direct], target)
        define(index, pin[direct], direct: direct)
    }

    /// `set` of the flags global: nothing to do while they lie in the host's register.
    func emitSetFlags(_ index: Int, _ value: ValueID) {
        if globalValue[flagsGlobal] == value && pendingFlags == .none { return consume(value) }
        retire(flagsGlobal, except: value)
        globalValue[flagsGlobal] = .none
        if hostFlags == value {
            pendingFlags = value
            pendingObserver = unit.uses[index]
            if options.registersInMemory { saveFlags() }
        } else {
            pendingFlags = .none
            setInteger(flagsGlobal, value)
        }
        consume(value)
    }

    // MARK: an operation and its flags at once

    /// The operation right behind `index` that asks for its flags and can have them for nothing, or -1.
    @inline(__always)
    func fusedFlags(_ index: Int) -> Int { flagsGlobal >= 0 ? flagsBehind(index) : -1 }

    private func flagsBehind(_ index: Int) -> Int {
        let instructions = unit.instructions, count = unit.count
        var next = index &+ 1
        while next < count, instructions[next].opcode == .dead || instructions[next].opcode == .constant { next &+= 1 }
        guard next < count, instructions[next].opcode == .flagsOf, unit.uses[next] > 0 else { return -1 }
        return isFused(index, next) ? next : -1
    }

    private func isFused(_ index: Int, _ next: Int) -> Bool {
        guard let operation = FlagOperation(rawValue: unit.instructions[next].aux) else { return false }
        if options.exactFlags && operation.differsBetweenProcessors { return false }
        let value = unit.instructions[index], flags = unit.instructions[next]
        let sameOperands = value.a == flags.a && value.b == flags.b
        let one = { (constant: Int64) in
            value.a == flags.a && self.unit.instructions[Int(value.b)].opcode == .constant
                && self.unit.instructions[Int(value.b)].imm == constant
        }
        let matches: Bool = switch (operation, value.opcode) {
        case (.add, .add), (.sub, .sub), (.multiplySigned, .multiply): sameOperands
        case (.addCarry, .addWithCarry), (.subtractBorrow, .subtractWithBorrow), (.rotateCarryLeft, .rotateCarryLeft),
             (.rotateCarryRight, .rotateCarryRight): sameOperands && value.c == flags.c
        case (.shiftLeft, .shiftLeft), (.shiftRightUnsigned, .shiftRightUnsigned), (.shiftRightSigned, .shiftRightSigned):
            sameOperands && value.type.bits >= 32
        case (.rotateLeft, .rotateLeft), (.rotateRight, .rotateRight): sameOperands
        case (.logic, .and), (.logic, .or), (.logic, .xor): Int(flags.a) == index
        case (.increment, .add), (.decrement, .sub): one(1)
        case (.decrement, .add): one(-1)
        case (.sub, .negate):
            value.a == flags.b && unit.instructions[Int(flags.a)].opcode == .constant
                && unit.instructions[Int(flags.a)].imm == 0
        default: false
        }
        return matches && (operation != .multiplySigned || value.type != .i8)
    }

    /// Emits operation `index` with a host instruction that also leaves the flags that operation `flagsIndex` wants.
    func emitFused(_ index: Int, _ instruction: Instruction, flagsIndex: Int) {
        let flags = unit.instructions[flagsIndex]
        let operation = FlagOperation(rawValue: flags.aux) ?? .logic
        let size = instruction.type.bits / 8
        if operation == .logic && unit.uses[index] == 1 && instruction.opcode == .and {
            return emitTest(index, instruction, flagsIndex, size)
        }
        let needs = neededFlags(operation, flags)
        if needs == .all && hostFlags != root(flags.c) { claim(GPR.rax) }
        var a = instruction.a, b = instruction.b
        // The uses of the flags operation are over with this instruction too.
        if operation == .logic {
            values[index].remaining -= 1
        } else {
            dropUse(flags.a)
            if flags.b != .none { dropUse(flags.b) }
        }
        let isNegation = instruction.opcode == .negate
        emittedFlags = flagsIndex
        let direct = directTarget(index)
        let immediate: Int32? = isNegation || b == .none ? nil : immediate32(b)
        let isCommutative = switch instruction.opcode {
        case .add, .and, .or, .xor, .addWithCarry, .multiply: true
        default: false
        }
        if immediate == nil && !isNegation && isCommutative {
            if direct >= 0 ? isIn(b, pin[direct]) && !isIn(a, pin[direct]) : !dies(a) && dies(b) { swap(&a, &b) }
        }
        let count = isNegation ? nil : prepareCount(operation, b)
        var right = RM.reg(0)
        if immediate == nil && !isNegation && count == nil { right = integerOperand(b) }
        var target = direct >= 0 ? pin[direct] : Self.noRegister
        if target != Self.noRegister, !isIn(a, target), !isNegation,
           isIn(b, target) || right.isRegister && count == nil && immediate == nil && right.base == target {
            target = Self.noRegister
        }
        if target == Self.noRegister {
            if direct < 0 { _ = integerRegister(a) }
            let same = !isNegation && b != .none && root(a) == root(b)
            target = direct < 0 && dies(a) && !same ? values[Int(root(a))].location : allocate()
        }
        if !isIn(a, target) { moveInto(target, a) }
        if needs == .carry { loadCarry(flags.c) }
        if needs == .all { loadFlags(flags.c) }
        switch instruction.opcode {
        case .and, .or, .xor:
            let kind = instruction.opcode == .and ? ALU.and : instruction.opcode == .or ? ALU.or : ALU.xor
            if let immediate {
                asm.alu(kind, .reg(target), immediate: immediate, size: size)
            } else {
                asm.alu(kind, target, right, size: size)
            }
        case .multiply:
            if let immediate {
                asm.imul(target, .reg(target), immediate: immediate, size: size)
            } else {
                if size == 2 { asm.byte(0x66) }
                asm.op0F(0xAF, wide: size == 8, target, right)
            }
        case .negate: asm.group(0xF6, 3, .reg(target), size: size)
        default: emitInPlace(operation, target, right, immediate: immediate, count: count, size: size)
        }
        if direct >= 0 && target != pin[direct] {
            asm.mov(pin[direct], target)
            target = pin[direct]
        }
        consume(instruction.a)
        if instruction.b != .none { consume(instruction.b) }
        if instruction.c != .none { consume(instruction.c) }
        if flags.c != .none { consume(flags.c) }
        define(index, target, direct: direct)
        placeFusedFlags(flagsIndex)
    }

    /// The flags operation was emitted with the one in front of it.
    private func placeFusedFlags(_ index: Int) {
        (values + index).initialize(to: ValuePlace(remaining: UInt32(unit.uses[index]),
                                                   root: ValueID(truncatingIfNeeded: index)))
        flagsAreInHost(index)
        emittedFlags = index
    }

    private func emitTest(_ index: Int, _ instruction: Instruction, _ flagsIndex: Int, _ size: Int) {
        if let immediate = immediate32(instruction.b) {
            asm.testImmediate(integerOperand(instruction.a), immediate, size: size)
        } else {
            let left = integerRegister(instruction.a)
            asm.test(integerOperand(instruction.b), left, size: size)
        }
        consume(instruction.a)
        consume(instruction.b)
        values[index].remaining = 0
        placeFusedFlags(flagsIndex)
    }

    /// One use less of a value that has at least one more.
    private func dropUse(_ value: ValueID) { values[Int(root(value))].remaining -= 1 }

    /// cmp of two values at their own width.
    func emitSizedCompare(_ a: ValueID, _ b: ValueID, _ size: Int) {
        if let immediate = immediate32(b) {
            return asm.alu(ALU.cmp, integerOperand(a), immediate: immediate, size: size)
        }
        let left = integerRegister(a)
        asm.alu(ALU.cmp, left, integerOperand(b), size: size)
    }

    // MARK: partial registers

    func emitDeposit(_ index: Int, _ instruction: Instruction) {
        let a = instruction.a, b = instruction.b
        let size = unit.instructions[Int(b)].type.bits / 8
        let direct = directTarget(index)
        guard size <= 2, instruction.imm == 0 || instruction.imm == 8 && size == 1 else {
            return emitWideDeposit(index, instruction, direct, size)
        }
        let source = immediate32(b) != nil && instruction.imm == 0 ? RM.reg(0) : integerOperand(b)
        var target = direct >= 0 ? pin[direct] : Self.noRegister
        if target != Self.noRegister && source.isRegister && source.base == target && !isIn(a, target) {
            target = Self.noRegister
        }
        if target == Self.noRegister {
            if direct < 0 { _ = integerRegister(a) }
            target = direct < 0 && dies(a) && root(a) != root(b) ? values[Int(root(a))].location : allocate()
        }
        if !isIn(a, target) { moveInto(target, a) }
        if instruction.imm == 8 {
            // The source may be the low part of the register it goes into.
            var source = source
            if source.isRegister && source.base == target {
                let copy = allocate()
                asm.mov(copy, target)
                source = .reg(copy)
            }
            asm.rorx(target, .reg(target), by: 8, wide: true)
            asm.movePart(target, source, size: 1)
            asm.rorx(target, .reg(target), by: 56, wide: true)
        } else if let immediate = immediate32(b) {
            asm.moveImmediatePart(target, immediate, size: size)
        } else {
            asm.movePart(target, source, size: size)
        }
        if direct >= 0 && target != pin[direct] {
            asm.mov(pin[direct], target)
            target = pin[direct]
        }
        finish(index, target, direct, a, b)
    }

    /// Any other field: with masks.
    private func emitWideDeposit(_ index: Int, _ instruction: Instruction, _ direct: Int, _ size: Int) {
        let a = instruction.a, b = instruction.b
        let bit = UInt8(truncatingIfNeeded: instruction.imm)
        let mask = (UInt64(1) << UInt64(size * 8) &- 1)
        let target = allocate(), scratch = allocate()
        moveInto(target, b)
        asm.movImmediate(scratch, Int64(bitPattern: mask))
        asm.alu(ALU.and, target, .reg(scratch))
        if bit != 0 { asm.shift(4, target, by: bit) }
        asm.movImmediate(scratch, Int64(bitPattern: ~(mask << UInt64(bit))))
        asm.alu(ALU.and, scratch, integerOperand(a))
        asm.alu(ALU.or, target, .reg(scratch))
        guard direct >= 0 else { return finish(index, target, direct, a, b) }
        asm.mov(pin[direct], target)
        finish(index, pin[direct], direct, a, b)
    }
}
