// Regions: several blocks with jumps between them in one unit.
//
// Pinned registers stay where they are from block to block, everything else is in the state block at a block's entry. The
// guest's condition codes are where the block wants them: nowhere when it replaces them at once, in the host's flags when
// all that can see them leaves the host's flags alone, otherwise in the state block. The jump to a block sees to it.

import IR

/// A block of the region being generated.
struct BlockPlace: BitwiseCopyable {
    /// Where the guest's condition codes are at the entry.
    enum Flags: UInt8 { case nowhere, inHost, inMemory }
    var flags: Flags
    /// A jump behind it leads here.
    var isLoopHead: Bool
    /// Nil until the block is emitted.
    var entry: UnsafeMutablePointer<UInt8>?
}

/// A jump to a block that is not emitted yet.
struct PendingJump: BitwiseCopyable {
    var patch: UnsafeMutablePointer<UInt8>
    var block: Int
}

extension CodeGenerator {
    /// Looks at the blocks before any is emitted.
    func beginBlocks() {
        blocks.removeAll()
        pendingJumps.removeAll()
        for block in unit.blocks {
            blocks.append(BlockPlace(flags: entryFlags(block.index), isLoopHead: false, entry: nil))
        }
        var current = 0
        for index in 0..<unit.count {
            let instruction = unit.instructions[index]
            switch instruction.opcode {
            case .block: current = unit.block(at: UInt64(bitPattern: instruction.imm))
            case .exitIf, .exitIfFlags, .jump:
                let target = unit.block(at: UInt64(bitPattern: instruction.imm))
                if target >= 0 && target <= current { blocks[target].isLoopHead = true }
                fallthrough
            case .jumpIndirect:
                // A call comes back to a block.
                guard instruction.opcode == .jump || instruction.opcode == .jumpIndirect, instruction.c != .none else { break }
                let landing = unit.block(at: UInt64(bitPattern: unit.instructions[Int(instruction.c)].imm))
                if landing >= 0 && landing <= current { blocks[landing].isLoopHead = true }
            default: break
            }
        }
    }

    /// Where the block behind `start` wants the flags.
    private func entryFlags(_ start: Int) -> BlockPlace.Flags {
        let observer = unit.uses[start]
        if flagsGlobal < 0 || observer == 0 { return .nowhere }
        // A machine's memory accesses spoil the host's flags.
        guard options.identityMemory, !options.registersInMemory else { return .inMemory }
        var index = start + 1
        while index < unit.count, index <= Int(observer) {
            let instruction = unit.instructions[index]
            switch instruction.opcode {
            case .exitIfFlags: return .inHost
            case .jump: return instruction.aux == JumpKind.call.rawValue ? .inMemory : .inHost
            case .set where instruction.type == .flags: return .inHost
            case .flagsOf, .testFlags, .addWithCarry, .subtractWithBorrow: return .inHost
            default: if mayspoil(index, instruction) { return .inMemory }
            }
            index += 1
        }
        return .inHost
    }

    /// Whether an operation that does not make flags changes the host's.
    private func mayspoil(_ index: Int, _ instruction: Instruction) -> Bool {
        switch instruction.opcode {
        case .dead, .constant, .get, .set, .instruction, .truncate, .zeroExtend, .signExtend, .not, .byteSwap,
             .vectorFromInteger, .vectorToInteger: false
        case .load, .store:
            Int32(exactly: instruction.imm) == nil
                || MemoryFormat(rawValue: instruction.aux).requiresAlignment && instruction.type != .v128
        case .vector: !vectorKeepsFlags(instruction)
        case .add: immediate32(instruction.b) == nil && fusedFlags(index) < 0
        default: fusedFlags(index) < 0
        }
    }

    // MARK: entries

    /// Starts a block: what was known of values and registers is void.
    func emitBlock(_ index: Int) {
        let address = UInt64(bitPattern: unit.instructions[index].imm)
        let number = unit.block(at: address)
        if index == 0, blocks[number].flags == .inHost { loadHostFlags() }
        forgetPlaces()
        let isInHost = blocks[number].flags == .inHost
        var trampoline: UnsafeMutablePointer<UInt8>?
        if blocks[number].isLoopHead, isInHost {
            asm.byte(0xEB) // over the jump
            asm.byte(5)
            trampoline = asm.at
            cold.append(ColdCode(kind: .exitToPC, entry: asm.jmp(), aux: 1, value: address))
        }
        let entry = asm.at
        blocks[number].entry = entry
        for position in 0..<pendingJumps.count where pendingJumps[position].block == number {
            Assembler.patch(pendingJumps[position].patch, to: entry)
        }
        if let trampoline {
            // The request is 0 or 1; this leaves the flags alone.
            asm.load(GPR.rcx, .state(StateLayout.exitRequest), wide: false)
            asm.lea(GPR.rcx, .mem(GPR.rcx, -1))
            asm.byte(0xE3) // jrcxz
            asm.byte(UInt8(truncatingIfNeeded: trampoline - (asm.at + 1)))
        } else if blocks[number].isLoopHead {
            emitRequestCheck()
            cold.append(ColdCode(kind: .exitToPC, entry: asm.jcc(CC.ne), value: address))
        }
        (values + index).initialize(to: ValuePlace(root: ValueID(truncatingIfNeeded: index)))
        guard isInHost else { return }
        values[index].kind = ValuePlace.Kind.hostFlags
        hostFlags = ValueID(truncatingIfNeeded: index)
        pendingFlags = hostFlags
        pendingObserver = unit.uses[index]
    }

    private func forgetPlaces() {
        owner.update(repeating: .none, count: 16)
        floatOwner.update(repeating: .none, count: 16)
        globalValue.update(repeating: .none, count: globalCount)
        freeSpills = (1 << UInt32(StateLayout.spillCount)) - 1
        freeVectorSpills = (1 << UInt32(StateLayout.vectorSpillCount)) - 1
        hostFlags = .none
        pendingFlags = .none
    }

    /// A read of the flags in a block that was entered with them in the host: the same value under its own name.
    func adoptEntryFlags(_ index: Int) {
        guard hostFlags != .none, unit.instructions[Int(hostFlags)].opcode == .block else { return }
        values[index].kind = ValuePlace.Kind.hostFlags
        globalValue[flagsGlobal] = .none
        if pendingFlags == hostFlags { pendingFlags = ValueID(truncatingIfNeeded: index) }
        hostFlags = ValueID(truncatingIfNeeded: index)
    }

    // MARK: jumps

    /// Leaves for a guest address on a condition of the host's flags, which may be the guest's too.
    func emitExitWithFlags(_ condition: UInt8, _ target: UInt64) {
        let block = unit.block(at: target)
        if block < 0 {
            if pendingFlags != .none {
                cold.append(ColdCode(kind: .linkWithFlags, entry: asm.jcc(condition), value: target))
            } else {
                alignPatch(opcodeBytes: 2)
                link(asm.jcc(condition), target)
            }
            return
        }
        switch blocks[block].flags {
        case .nowhere: break
        case .inMemory: if pendingFlags != .none { saveFlags() }
        case .inHost:
            if pendingFlags == .none {
                cold.append(ColdCode(kind: .enterBlock, entry: asm.jcc(condition), aux: UInt32(truncatingIfNeeded: block)))
                return
            }
        }
        if let entry = blocks[block].entry {
            asm.jcc(condition, to: entry)
        } else {
            pendingJumps.append(PendingJump(patch: asm.jcc(condition), block: block))
        }
    }

    /// Ends a block or unit with a jump. False when it is an ordinary exit with nothing to see to.
    func emitJumpWithFlags(_ index: Int, _ target: UInt64) -> Bool {
        let block = unit.block(at: target)
        if block < 0 {
            if pendingFlags != .none { saveFlags() }
            return false
        }
        switch blocks[block].flags {
        case .nowhere: break
        case .inMemory: if pendingFlags != .none { saveFlags() }
        case .inHost: if pendingFlags == .none { loadHostFlags() }
        }
        var next = index + 1
        while next < unit.count, unit.instructions[next].opcode == .dead { next += 1 }
        if unit.blocks[block].index != next { jump(to: block) }
        return true
    }

    /// Goes on in the block at a guest address, with the flags in memory. False when there is none.
    func emitJumpToBlock(_ target: UInt64) -> Bool {
        let block = unit.block(at: target)
        guard block >= 0 else { return false }
        if blocks[block].flags == .inHost { loadHostFlags() }
        jump(to: block)
        return true
    }

    private func jump(to block: Int) {
        if let entry = blocks[block].entry {
            asm.jmp(to: entry)
        } else {
            pendingJumps.append(PendingJump(patch: asm.jmp(), block: block))
        }
    }

    // MARK: finding loops

    /// Counts how often the unit is entered; when it has been often, the engine hears of it.
    func emitLoopCount() {
        asm.alu(ALU.sub, .state(StateLayout.loopCount(unit.start)), immediate: 1, wide: false)
        cold.append(ColdCode(kind: .hot, entry: asm.jcc(CC.b), value: unit.loopTarget))
    }
}
