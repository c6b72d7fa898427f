// How units end: side exits, direct and indirect jumps, calls and returns, exits to the engine, helper calls; and the
// out-of-line code behind the hot path.

import IR

extension CodeGenerator {
    func link(_ patch: UnsafeMutablePointer<UInt8>, _ target: UInt64) {
        pendingLinks.append(PendingLink(target: target, patch: patch))
    }

    /// A jump displacement that may be patched while other threads execute must not cross a cache line.
    func alignPatch(opcodeBytes: Int) {
        while (Int(bitPattern: asm.at) + opcodeBytes) & 63 > 60 { asm.byte(0x90) }
    }

    func emitExitIf(_ index: Int, _ operation: UnsafeMutablePointer<Instruction>) {
        let a = operation.pointee.a, b = operation.pointee.b
        emitCompareFlags(a, b, (unit.instructions + Int(a)).pointee.type)
        emitExit(Self.conditionCode(operation.pointee.aux), UInt64(bitPattern: operation.pointee.imm))
        consume(a)
        consume(b)
    }

    /// Leaves for a guest address on a host condition.
    func emitExit(_ condition: UInt8, _ target: UInt64) {
        if pendingFlags != .none || !unit.blocks.isEmpty { return emitExitWithFlags(condition, target) }
        alignPatch(opcodeBytes: 2)
        link(asm.jcc(condition), target)
    }

    func emitRaiseIf(_ index: Int, _ instruction: Instruction) {
        emitCompareFlags(instruction.a, instruction.b, unit.instructions[Int(instruction.a)].type)
        cold.append(ColdCode(kind: .raise, entry: asm.jcc(Self.conditionCode(instruction.aux)),
                             aux: UInt32(truncatingIfNeeded: instruction.imm), value: currentPC))
        consume(instruction.a)
        consume(instruction.b)
    }

    func emitJump(_ index: Int, _ instruction: Instruction) {
        let target = UInt64(bitPattern: instruction.imm)
        if instruction.aux == JumpKind.call.rawValue {
            emitStackCheck()
            alignPatch(opcodeBytes: 1)
            link(asm.call(), target)
            emitLanding(instruction.c)
            return
        }
        if pendingFlags != .none || !unit.blocks.isEmpty, emitJumpWithFlags(index, target) { return }
        alignPatch(opcodeBytes: 1)
        link(asm.jmp(), target)
    }

    /// Bounds the host stack used for return prediction.
    private func emitStackCheck() {
        asm.alu(ALU.cmp, GPR.rsp, .state(StateLayout.stackLimit))
        cold.append(ColdCode(kind: .resetStack, entry: asm.jcc(CC.b), back: asm.at))
    }

    /// Where a predicted return arrives, with the guest's real target in rax.
    private func emitLanding(_ returnAddress: ValueID) {
        let address = unit.instructions[Int(returnAddress)].imm
        if let small = Int32(exactly: address) {
            asm.alu(ALU.cmp, .reg(GPR.rax), immediate: small)
        } else {
            asm.movImmediate(GPR.rcx, address)
            asm.alu(ALU.cmp, GPR.rax, .reg(GPR.rcx))
        }
        asm.jcc(CC.ne, to: thunks.jumpCacheLookup)
        if emitJumpToBlock(UInt64(bitPattern: address)) { return }
        alignPatch(opcodeBytes: 1)
        link(asm.jmp(), UInt64(bitPattern: address))
    }

    func emitJumpIndirect(_ index: Int, _ instruction: Instruction) {
        moveInto(GPR.rax, instruction.a)
        if instruction.aux == JumpKind.return.rawValue {
            asm.alu(ALU.cmp, GPR.rsp, .state(StateLayout.entryStack))
            asm.jcc(CC.ae, to: thunks.jumpCacheLookup)
            asm.ret()
            return
        }
        let isCall = instruction.aux == JumpKind.call.rawValue
        if isCall { emitStackCheck() }
        asm.mov(GPR.rcx, GPR.rax, wide: false)
        asm.alu(ALU.and, .reg(GPR.rcx), immediate: Int32((StateLayout.jumpCacheCount - 1) * 2), wide: false)
        let tag = Int32(StateLayout.jumpCache - StateLayout.bias)
        var compared = GPR.rax
        if !options.identityMemory {
            asm.load(GPR.rdx, .state(StateLayout.jumpSalt))
            asm.alu(ALU.xor, GPR.rdx, .reg(GPR.rax))
            compared = GPR.rdx
        }
        asm.alu(ALU.cmp, compared, .indexed(GPR.rbp, GPR.rcx, scale: 3, tag))
        asm.jcc(CC.ne, to: thunks.lookupExit)
        if isCall {
            asm.callIndirect(.indexed(GPR.rbp, GPR.rcx, scale: 3, tag + 8))
            emitLanding(instruction.c)
        } else {
            asm.jmpIndirect(.indexed(GPR.rbp, GPR.rcx, scale: 3, tag + 8))
        }
    }

    func emitRaise(_ index: Int, _ instruction: Instruction) {
        asm.movImmediate(GPR.rax, instruction.imm)
        asm.movImmediate(GPR.rcx, Int64(instruction.aux))
        asm.jmp(to: thunks.raiseExit)
    }

    func emitCall(_ index: Int, _ instruction: Instruction) {
        // Arguments first, on the stack of spill-safe registers: everything else leaves the temporaries.
        let isLight = thunks.isLight(helper: Int(instruction.imm))
        if isLight { evictForLightCall() } else { evictEverything() }
        let targets = (GPR.rsi, GPR.rdx, GPR.rcx)
        if instruction.a != .none { moveInto(targets.0, instruction.a) }
        if instruction.b != .none { moveInto(targets.1, instruction.b) }
        if instruction.c != .none { moveInto(targets.2, instruction.c) }
        asm.movImmediate(GPR.rax, instruction.imm)
        asm.call(to: isLight ? thunks.lightCall : thunks.helperCall)
        if instruction.a != .none { consume(instruction.a) }
        if instruction.b != .none { consume(instruction.b) }
        if instruction.c != .none { consume(instruction.c) }
        locked |= 1 &<< UInt32(GPR.rax)
        define(index, GPR.rax)
    }

    // MARK: cold code

    func emitColdCode() {
        var next = 0
        while next < cold.count {
            let piece = cold[next]
            next += 1
            Assembler.patch(piece.entry, to: asm.at)
            if let second = piece.entry2 { Assembler.patch(second, to: asm.at) }
            switch piece.kind {
            case .exitToPC:
                if piece.aux != 0 { storeHostFlags() }
                asm.movImmediate(GPR.rax, Int64(bitPattern: piece.value))
                asm.jmp(to: thunks.lookupExit)
            case .linkWithFlags:
                storeHostFlags()
                alignPatch(opcodeBytes: 1)
                link(asm.jmp(), piece.value)
            case .enterBlock:
                loadHostFlags()
                if let entry = blocks[Int(piece.aux)].entry { asm.jmp(to: entry) }
            case .exitToStart: asm.call(to: thunks.startExit)
            case .hot:
                asm.call(to: thunks.hotExit)
                asm.int32(Int32(truncatingIfNeeded: piece.value &- unit.start))
            case .raise:
                asm.movImmediate(GPR.rax, Int64(bitPattern: piece.value))
                asm.movImmediate(GPR.rcx, Int64(piece.aux))
                asm.jmp(to: thunks.raiseExit)
            case .canonicalNaN:
                emitLoadCanonical(piece.register, double: piece.aux != 0)
                if let back = piece.back { asm.jmp(to: back) }
            case .unboxNaN:
                emitLoadCanonical(piece.register, double: false)
                if let back = piece.back { asm.jmp(to: back) }
            case .resetStack:
                asm.load(GPR.rsp, .state(StateLayout.entryStack))
                if let back = piece.back { asm.jmp(to: back) }
            case .divideByZero:
                let wide = piece.aux & 2 != 0
                if piece.aux & 1 != 0 {
                    asm.movImmediate(GPR.rax, -1)
                } else {
                    asm.mov(GPR.rdx, GPR.rax, wide: wide)
                }
                if let back = piece.back { asm.jmp(to: back) }
            case .divideMinusOne:
                if piece.aux & 1 != 0 {
                    asm.group3(3, .reg(GPR.rax), wide: piece.aux & 2 != 0)
                } else {
                    asm.alu(ALU.xor, GPR.rdx, .reg(GPR.rdx), wide: false)
                }
                if let back = piece.back { asm.jmp(to: back) }
            case .misaligned:
                asm.store(.state(StateLayout.exitAddress), piece.register)
                asm.storeImmediate(.state(StateLayout.exitAccess), Int32(piece.aux), wide: false)
                asm.movImmediate(GPR.rax, Int64(bitPattern: piece.value))
                asm.movImmediate(GPR.rcx, Int64(ExitKind.misaligned.rawValue))
                asm.jmp(to: thunks.raiseExit)
            case .softFloat: emitColdSoftFloat(piece)
            case .loadSlow, .storeSlow, .pointerSlow:
                currentPC = piece.value
                noteGuestPC()
                emitSlowAccess(piece)
            }
        }
    }

    private func emitLoadCanonical(_ register: UInt8, double: Bool) {
        asm.vex(VexPrefix.pF2, VexMap.m0F, 0x10, register, 0, .mem(GPR.rbp, 0x1000_0000))
        ripOperand(register, double ? .canonical64 : .canonical32)
    }

    /// Operands to the scratch area, call, result back: register numbers as recorded; bit 8 of aux marks a float result,
    /// bit 9 an integer operand.
    private func emitColdSoftFloat(_ piece: ColdCode) {
        let operation = Opcode(rawValue: UInt8(truncatingIfNeeded: piece.value & 0xFF)) ?? .floatAdd
        if piece.aux & 0x200 != 0 {
            asm.store(.state(StateLayout.scratch), piece.register)
        } else {
            asm.floatStore(.state(StateLayout.scratch), piece.register, double: true)
        }
        switch operation {
        case .floatMinimum, .floatMaximum:
            asm.floatStore(.state(StateLayout.scratch + 8), piece.register2, double: true)
        case .floatMultiplyAdd:
            asm.floatStore(.state(StateLayout.scratch + 8), piece.register2, double: true)
            asm.floatStore(.state(StateLayout.scratch + 16), piece.register3, double: true)
        default: break
        }
        asm.storeImmediate(.state(StateLayout.scratch + 24), Int32(bitPattern: UInt32(truncatingIfNeeded: piece.value)),
                           wide: false)
        asm.call(to: thunks.softFloat)
        let target = UInt8(truncatingIfNeeded: piece.aux & 0xFF)
        if piece.aux & 0x100 != 0 {
            asm.floatLoad(target, .state(StateLayout.scratch), double: true)
        } else {
            asm.load(target, .state(StateLayout.scratch))
        }
        if let back = piece.back { asm.jmp(to: back) }
    }

    /// Calls the slow path with operands on the stack, so that no register is disturbed.
    private func emitSlowAccess(_ piece: ColdCode) {
        let size = Int(piece.aux & 7)
        switch piece.kind {
        case .loadSlow:
            pushAddress(piece)
            asm.call(to: thunks.slowLoad(sizeLog2: size, set: tlbMode))
            if size == 4 {
                asm.vectorLoad(piece.register3, .state(StateLayout.vectorScratch), size: 16)
                asm.lea(GPR.rsp, .mem(GPR.rsp, 8))
            } else if piece.aux & 0x100 != 0 {
                asm.floatLoad(piece.register3, .mem(GPR.rsp), double: true)
                asm.lea(GPR.rsp, .mem(GPR.rsp, 8))
            } else {
                asm.pop(piece.register3)
                let target = piece.register3
                let wide = piece.aux & 0x400 != 0
                if piece.aux & 0x200 != 0 {
                    switch size {
                    case 0: asm.extend(0xBE, target, .reg(target), wide: wide)
                    case 1: asm.extend(0xBF, target, .reg(target), wide: wide)
                    case 2: if wide { asm.movsxd(target, .reg(target)) }
                    default: break
                    }
                }
            }
        case .storeSlow:
            if size == 4 {
                asm.vectorStore(.state(StateLayout.vectorScratch), piece.register3, size: 16)
                asm.lea(GPR.rsp, .mem(GPR.rsp, -8))
            } else if piece.aux & 0x100 != 0 {
                asm.lea(GPR.rsp, .mem(GPR.rsp, -8))
                asm.floatStore(.mem(GPR.rsp), piece.register3, double: true)
            } else if piece.register3 == Self.noRegister {
                asm.push(immediate: piece.immediate)
            } else {
                asm.push(piece.register3)
            }
            pushAddress(piece)
            asm.call(to: thunks.slowStore(sizeLog2: size, set: tlbMode))
            asm.lea(GPR.rsp, .mem(GPR.rsp, 16))
        default:
            asm.push(piece.register)
            asm.call(to: thunks.slowPointer(sizeLog2: size))
            asm.pop(piece.register2)
        }
        if let back = piece.back { asm.jmp(to: back) }
    }

    /// Pushes the guest address of an access. The rest of a group whose first access came here is checked one by one.
    private func pushAddress(_ piece: ColdCode) {
        asm.push(piece.register)
        if piece.offset != 0 { asm.alu(ALU.add, .mem(GPR.rsp), immediate: piece.offset) }
        if piece.register2 != Self.noRegister { asm.alu(ALU.or, .reg(piece.register2), immediate: -1) }
    }

    /// Emits the stubs that unlinked exits lead to and their link records, from `firstLink` on. A machine's links to
    /// another page verify that page through the instruction TLB.
    func emitLinkStubs(firstLink: Int, cache: CodeCache) {
        for position in 0..<pendingLinks.count {
            let pending = pendingLinks[position]
            let linkIndex = firstLink + position
            var patch = pending.patch
            let checksPage = !options.identityMemory && pending.target >> 12 != unit.start >> 12
            if checksPage {
                let slot = StateLayout.itlb + Int((pending.target >> 12) & UInt64(StateLayout.itlbCount - 1)) * 4
                // Neither the immediate nor the displacement may cross a cache line (see `alignPatch`).
                while (Int(bitPattern: asm.at) + 6) & 63 > 60 || (Int(bitPattern: asm.at) + 13) & 63 > 60 { asm.byte(0x90) }
                Assembler.patch(pending.patch, to: asm.at)
                asm.op(0x81, wide: false, ALU.cmp, .state(slot))
                let check = asm.at
                asm.int32(-1)
                asm.byte(0x70 | CC.ne) // to the stub behind the jump
                asm.byte(5)
                patch = asm.jmp()
                assert(patch - check == Int(LinkRecord.pageCheckDistance))
            }
            let stub = asm.at
            Assembler.patch(patch, to: stub)
            asm.byte(0xB8) // mov eax, imm32
            asm.int32(Int32(truncatingIfNeeded: linkIndex))
            asm.jmp(to: thunks.linkExit)
            (cache.links + linkIndex).initialize(to: LinkRecord(
                target: pending.target, patchOffset: offset(patch, cache), stubOffset: offset(stub, cache),
                hasPageCheck: checksPage))
        }
    }

    /// Copies the table of host and guest offsets behind the code.
    func copySideTable(to destination: UnsafeMutablePointer<UInt8>) {
        UnsafeMutableRawPointer(destination).copyMemory(from: sideTable.elements, byteCount: sideTable.count * 4)
    }

    private func offset(_ pointer: UnsafeMutablePointer<UInt8>, _ cache: CodeCache) -> UInt32 {
        UInt32(truncatingIfNeeded: pointer - cache.writable)
    }
}
