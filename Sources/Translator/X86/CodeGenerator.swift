// Turns one IR unit into x86-64 code, in a single forward pass.
//
// Host registers: rbp points into the state block; rax, rcx, rdx, rsi and xmm0–3 hold temporaries inside a unit; rbx, rdi,
// r8–r15 and xmm4–15 hold the front's most used guest registers across units; rsp is the host stack, on which calls of
// the guest leave host return addresses (return prediction).
//
// Every guest register write reaches its home (host register or state block) at the `set`, so state is precise at every
// instruction and the only table a fault needs maps host addresses to guest addresses.

import IR

/// What the generator must know besides the unit.
struct CodeGeneratorOptions {
    /// Guest addresses are host addresses (programs); otherwise every access goes through the soft TLB.
    var identityMemory: Bool
    /// Keep every guest register in the state block: the oracle mode.
    var registersInMemory = false
    /// Compute condition codes that processors do not agree on as IR defines them, instead of taking the host's: slower.
    var exactFlags = false
}

/// Where a value is while its unit is being generated.
struct ValuePlace {
    enum Kind {
        static let none: UInt8 = 0
        /// In temporary host register `where`.
        static let register: UInt8 = 1
        /// It is the current content of global `where`.
        static let home: UInt8 = 2
        /// In spill slot `where`.
        static let spill: UInt8 = 3
        static let constant: UInt8 = 4
        /// A compare that its only user will emit.
        static let deferred: UInt8 = 5
        /// Condition codes in the host's flags register.
        static let hostFlags: UInt8 = 6
    }
    var kind: UInt8 = Kind.none
    var location: UInt8 = 0
    /// Another place that still holds the value while it is in a register: `Kind.none`, `.home`, `.spill`, `.constant`.
    var backup: UInt8 = Kind.none
    var backupLocation: UInt8 = 0
    /// Uses not yet emitted, including those through aliases.
    var remaining: UInt32 = 0
    /// The value this one is a free re-reading of (itself when it has code of its own).
    var root: ValueID = 0
}

/// An out-of-line piece of code, emitted after the unit's hot path.
struct ColdCode: BitwiseCopyable {
    enum Kind: UInt8 {
        case loadSlow, storeSlow, pointerSlow, misaligned, exitToPC, exitToStart, canonicalNaN, softFloat, divideByZero, divideMinusOne,
             resetStack, unboxNaN, raise, linkWithFlags, enterBlock, hot
    }
    var kind: Kind
    /// Where the jump here has its rel32, and where to go back to.
    var entry: UnsafeMutablePointer<UInt8>
    var entry2: UnsafeMutablePointer<UInt8>?
    var back: UnsafeMutablePointer<UInt8>?
    var register: UInt8 = 0
    var register2: UInt8 = 0
    var register3: UInt8 = 0
    var aux: UInt32 = 0
    /// Of a memory access: what is added to `register`, and what is stored when `register3` is none.
    var offset: Int32 = 0
    var immediate: Int32 = 0
    var value: UInt64 = 0
}

/// A direct exit of the unit.
struct PendingLink: BitwiseCopyable {
    var target: UInt64
    /// The rel32 to patch; it leads to a stub until linked.
    var patch: UnsafeMutablePointer<UInt8>
}

/// Generates code for units of one front. One per translating thread.
final class CodeGenerator {
    var asm: Assembler
    let thunks: Thunks
    let options: CodeGeneratorOptions
    let rules: FloatRules

    // Globals, by index.
    let globalCount: Int
    let globalOffset: UnsafeMutablePointer<Int32>
    /// The global's values live in vector registers; it is v128.
    let globalIsFloat: UnsafeMutablePointer<Bool>
    let globalIsVector: UnsafeMutablePointer<Bool>
    /// Host register pinned to the global, or `noRegister`.
    let pin: UnsafeMutablePointer<UInt8>
    let globalIsPinned: UnsafeMutablePointer<Bool>
    /// The value the global's home is known to hold.
    let globalValue: UnsafeMutablePointer<ValueID>

    // Per unit.
    let unit: Unit
    var values: UnsafeMutablePointer<ValuePlace>
    var valueCapacity: Int
    /// Owner of each temporary, by host register number; integer then vector.
    let owner: UnsafeMutablePointer<ValueID>
    let floatOwner: UnsafeMutablePointer<ValueID>
    /// The operation at which each temporary was last used, for eviction.
    let touched: UnsafeMutablePointer<Int>
    let floatTouched: UnsafeMutablePointer<Int>
    /// The operation being emitted.
    var currentIndex = 0
    /// Registers the operation being emitted holds; not to be evicted.
    var locked: UInt32 = 0
    var floatLocked: UInt32 = 0
    var freeSpills: UInt32 = 0xFFFF
    var freeVectorSpills: UInt32 = 0xFF
    /// The unit did not fit the fixed tables and must be lifted shorter.
    var failed = false
    var cold = RawList<ColdCode>(capacity: 64)
    var pendingLinks = RawList<PendingLink>(capacity: 64)
    var sideTable = RawList<UInt32>(capacity: 256)
    var entry: UnsafeMutablePointer<UInt8>
    var currentPC: UInt64 = 0
    /// Whether the side table's last entry is for the guest instruction at `currentPC`.
    var isNoted = false
    var tlbMode = 0
    /// Which accesses of the unit share a look into the TLB; machines only.
    let groups = AccessGroups()

    // Blocks of a region (Blocks.swift).
    var blocks = RawList<BlockPlace>(capacity: 32)
    var pendingJumps = RawList<PendingJump>(capacity: 64)
    /// Whether loops of this unit are counted, so that they become regions.
    var countsLoops = false

    // Condition codes (ConditionCodes.swift).
    /// The global of type `flags`, or -1.
    let flagsGlobal: Int
    /// The flags value in the host's flags register.
    var hostFlags = ValueID.none
    /// The flags value that is the guest's, but lies in the host's flags register only; then it is `hostFlags`.
    var pendingFlags = ValueID.none
    /// Who can see it: `uses` of its `set`.
    var pendingObserver: UInt16 = 0
    /// Whether the side table's last entry says that the guest's flags are in the host's register.
    var notedFlagsInHost = false
    /// The flags operation that is being emitted, or was emitted, with the operation in front of it.
    var emittedFlags = -1

    static let noRegister: UInt8 = 0xFF
    static let pinnableIntegers: [UInt8] = [GPR.rbx, GPR.r8, GPR.r9, GPR.r10, GPR.r11, GPR.r12, GPR.r13, GPR.r14,
                                            GPR.r15, GPR.rdi]
    static let pinnableFloats: [UInt8] = [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]

    init(front: GuestFront, unit: Unit, thunks: Thunks, options: CodeGeneratorOptions) {
        self.thunks = thunks
        self.options = options
        self.unit = unit
        rules = front.floatRules
        globalCount = front.globals.count
        flagsGlobal = front.globals.firstIndex { $0.type == .flags } ?? -1
        globalOffset = .allocate(capacity: globalCount)
        globalIsFloat = .allocate(capacity: globalCount)
        globalIsVector = .allocate(capacity: globalCount)
        pin = .allocate(capacity: globalCount)
        globalValue = .allocate(capacity: globalCount)
        globalIsPinned = .allocate(capacity: globalCount)
        for (index, global) in front.globals.enumerated() {
            (globalOffset + index).initialize(to: Int32(global.offset))
            (globalIsFloat + index).initialize(to: global.type.inVectorRegister)
            (globalIsVector + index).initialize(to: global.type == .v128)
            (pin + index).initialize(to: thunks.pinOf(global: index))
            (globalValue + index).initialize(to: .none)
            (globalIsPinned + index).initialize(to: thunks.pinOf(global: index) != Self.noRegister)
        }
        valueCapacity = unit.capacity
        values = .allocate(capacity: valueCapacity)
        owner = .allocate(capacity: 16)
        owner.initialize(repeating: .none, count: 16)
        floatOwner = .allocate(capacity: 16)
        floatOwner.initialize(repeating: .none, count: 16)
        touched = .allocate(capacity: 16)
        touched.initialize(repeating: 0, count: 16)
        floatTouched = .allocate(capacity: 16)
        floatTouched.initialize(repeating: 0, count: 16)
        asm = Assembler(at: thunks.start)
        entry = thunks.start
    }

    deinit {
        globalOffset.deallocate()
        globalIsFloat.deallocate()
        globalIsVector.deallocate()
        pin.deallocate()
        globalValue.deallocate()
        globalIsPinned.deallocate()
        values.deallocate()
        owner.deallocate()
        floatOwner.deallocate()
        touched.deallocate()
        floatTouched.deallocate()
        cold.deallocate()
        pendingLinks.deallocate()
        blocks.deallocate()
        pendingJumps.deallocate()
        sideTable.deallocate()
    }

    /// Emits the unit's hot and cold code at `destination`. Links are emitted by the runtime from `pendingLinks`.
    /// - Returns: false when the unit must be lifted again with fewer instructions.
    func generate(at destination: UnsafeMutablePointer<UInt8>, tlbMode: Int,
                  entryCheck: SecondPage?) -> Bool {
        asm.at = destination
        entry = destination
        self.tlbMode = tlbMode
        beginUnit()
        if !options.identityMemory { groups.find(unit) }
        if let entryCheck { emitEntryCheck(entryCheck) }
        emitInterruptCheck()
        let count = unit.count, instructions = unit.instructions
        var index = 0
        while index < count && !failed {
            let operation = instructions + index
            // Operands come before their users, so that nobody looks at a place before it is initialised here. The
            // operations that emit nothing are most of all; those that are most of the others get what they need of the
            // operation instead of a copy of it.
            switch operation.pointee.opcode {
            case .dead: break
            case .instruction:
                currentPC = UInt64(bitPattern: operation.pointee.imm)
                isNoted = false
            case .constant: place(index, ValuePlace.Kind.constant)
            case .get:
                let global = Int(truncatingIfNeeded: operation.pointee.imm)
                place(index, ValuePlace.Kind.home, UInt8(truncatingIfNeeded: global))
                globalValue[global] = ValueID(truncatingIfNeeded: index)
                if global == flagsGlobal { adoptEntryFlags(index) }
            case .set:
                begin(index)
                emitSet(index, operation)
            case .truncate:
                place(index, ValuePlace.Kind.none)
                alias(index, of: operation.pointee.a)
            case .load:
                begin(index)
                if hostFlags != .none { prepareFlags(index, operation.pointee) }
                noteAccess()
                if !loadToRegister(index, operation) { emitLoad(index, operation.pointee) }
                index &+= skipWrite(index, operation, count)
            case .store:
                begin(index)
                if hostFlags != .none { prepareFlags(index, operation.pointee) }
                noteAccess()
                if !storeRegister(index, operation) { emitStore(index, operation.pointee) }
            case .add, .sub, .and, .or, .xor, .shiftLeft, .shiftRightUnsigned, .shiftRightSigned:
                begin(index)
                if hostFlags != .none { prepareFlags(index, operation.pointee) }
                if operation.pointee.type == .i64 || operation.pointee.type == .i32, fusedFlags(index) < 0 {
                    emitPlainBinary(index, operation)
                } else {
                    emit(index, operation.pointee)
                }
                index &+= skipWrite(index, operation, count)
            case .exitIf:
                begin(index)
                if hostFlags != .none { prepareFlags(index, operation.pointee) }
                emitExitIf(index, operation)
            case .flagsOf where index == emittedFlags: break
            case .block: emitBlock(index)
            default:
                begin(index)
                if hostFlags != .none { prepareFlags(index, operation.pointee) }
                emit(index, operation.pointee)
                index &+= skipWrite(index, operation, count)
            }
            index &+= 1
        }
        if failed { return false }
        emitColdCode()
        return true
    }

    /// Initialises where the value of an operation is.
    @inline(__always)
    private func place(_ index: Int, _ kind: UInt8, _ location: UInt8 = 0) {
        (values + index).initialize(to: ValuePlace(kind: kind, location: location, remaining: UInt32(unit.uses[index]),
                                                   root: ValueID(truncatingIfNeeded: index)))
    }

    /// Before an operation that emits code.
    @inline(__always)
    private func begin(_ index: Int) {
        place(index, ValuePlace.Kind.none)
        locked = 0
        floatLocked = 0
        currentIndex = index
    }

    /// 1 if the next operation is the write of a register in which operation `index` has just computed its result: it has been
    /// made already.
    @inline(__always)
    private func skipWrite(_ index: Int, _ operation: UnsafeMutablePointer<Instruction>, _ count: Int) -> Int {
        let place = values + index, write = operation + 1
        guard index &+ 1 < count, write.pointee.opcode == .set, write.pointee.a == ValueID(truncatingIfNeeded: index),
              place.pointee.kind == ValuePlace.Kind.home, Int64(place.pointee.location) == write.pointee.imm else { return 0 }
        consumeRoot(ValueID(truncatingIfNeeded: index))
        return 1
    }

    private func beginUnit() {
        if valueCapacity < unit.count {
            values.deallocate()
            valueCapacity = unit.capacity
            values = .allocate(capacity: valueCapacity)
        }
        owner.update(repeating: .none, count: 16)
        floatOwner.update(repeating: .none, count: 16)
        globalValue.update(repeating: .none, count: globalCount)
        freeSpills = (1 << UInt32(StateLayout.spillCount)) - 1
        freeVectorSpills = (1 << UInt32(StateLayout.vectorSpillCount)) - 1
        failed = false
        hostFlags = .none
        pendingFlags = .none
        notedFlagsInHost = false
        emittedFlags = -1
        cold.removeAll()
        if !unit.blocks.isEmpty { beginBlocks() }
        pendingLinks.removeAll()
        sideTable.removeAll()
        currentPC = unit.start
        isNoted = false
    }

    /// A unit that depends on a second guest page checks at entry that it is still mapped where it was.
    private func emitEntryCheck(_ check: SecondPage) {
        asm.alu(ALU.cmp, .state(check.itlbOffset), immediate: Int32(bitPattern: check.identity), wide: false)
        cold.append(ColdCode(kind: .exitToStart, entry: asm.jcc(CC.ne)))
    }

    /// Units that can be part of a loop notice exit requests at their entry.
    private func emitInterruptCheck() {
        guard unit.isLooping, unit.blocks.isEmpty else { return }
        if countsLoops, unit.loopTarget >> 12 == unit.start >> 12 { emitLoopCount() }
        emitRequestCheck()
        cold.append(ColdCode(kind: .exitToStart, entry: asm.jcc(CC.ne)))
    }

    /// Compares the exit request with 0.
    @inline(__always)
    func emitRequestCheck() {
        // cmp dword [rbp - bias], 0
        let displacement = UInt64(UInt8(bitPattern: Int8(StateLayout.exitRequest - StateLayout.bias)))
        asm.bytes(0x7D83 | displacement << 16, 4)
    }

    // MARK: dispatch

    private func emit(_ index: Int, _ instruction: Instruction) {
        if unit.onlyFaults(instruction) || instruction.opcode == .call { noteAccess() }
        switch instruction.opcode {
        case .dead, .constant, .get, .instruction, .block, .set, .truncate, .exitIf, .load, .store: break // see `generate`
        case .fence:
            if instruction.aux & FenceKind.storeLoad.rawValue != 0 {
                // lock or [rsp-64], 0: a full barrier, cheaper than mfence.
                asm.byte(0xF0)
                asm.alu(ALU.or, .mem(GPR.rsp, -64), immediate: 0, wide: false)
            }
        case .add, .sub, .and, .or, .xor, .andNot, .shiftLeft, .shiftRightUnsigned, .shiftRightSigned, .rotateLeft,
             .rotateRight, .multiply, .multiplyHighSigned, .multiplyHighUnsigned, .multiplyHighSignedUnsigned,
             .divideSigned, .divideUnsigned, .remainderSigned, .remainderUnsigned:
            let fused = fusedFlags(index)
            if fused >= 0 { emitFused(index, instruction, flagsIndex: fused) } else { emitBinary(index, instruction) }
        case .not, .negate, .countLeadingZeros, .countTrailingZeros, .populationCount, .byteSwap:
            let fused = fusedFlags(index)
            if fused >= 0 { emitFused(index, instruction, flagsIndex: fused) } else { emitUnary(index, instruction) }
        case .signExtend, .zeroExtend: emitExtend(index, instruction)
        case .compare: emitCompare(index, instruction)
        case .select: emitSelect(index, instruction)
        case .loadReserved: emitLoadReserved(index, instruction)
        case .storeConditional: emitStoreConditional(index, instruction)
        case .atomic: emitAtomic(index, instruction)
        case .compareExchange: emitCompareExchange(index, instruction)
        case .deposit: emitDeposit(index, instruction)
        case .flagsOf: emitFlagsOf(index, instruction)
        case .testFlags: emitTestFlags(index, instruction)
        case .flagsToBits: emitFlagsToBits(index, instruction)
        case .bitsToFlags: emitBitsToFlags(index, instruction)
        case .setCarry: emitSetCarry(index, instruction)
        case .addWithCarry, .subtractWithBorrow, .rotateCarryLeft, .rotateCarryRight: emitWithCarry(index, instruction)
        case .exitIfFlags: emitExitIfFlags(index, instruction)
        case .raiseIf: emitRaiseIf(index, instruction)
        case .vector: emitVector(index, instruction)
        case .vectorFromInteger: emitVectorFromInteger(index, instruction)
        case .vectorToInteger: emitVectorToInteger(index, instruction)
        case .floatAdd, .floatSubtract, .floatMultiply, .floatDivide, .floatSquareRoot:
            emitFloatArithmetic(index, instruction)
        case .floatMultiplyAdd: emitMultiplyAdd(index, instruction)
        case .floatMinimum, .floatMaximum: emitMinMax(index, instruction)
        case .floatCompare: emitFloatCompare(index, instruction)
        case .floatClassify: emitSoftFloat(index, instruction)
        case .floatNegate, .floatAbsolute, .copySign, .copySignNegated, .xorSign: emitSign(index, instruction)
        case .floatToSigned, .floatToUnsigned: emitFloatToInteger(index, instruction)
        case .signedToFloat, .unsignedToFloat: emitIntegerToFloat(index, instruction)
        case .floatToFloat: emitFloatToFloat(index, instruction)
        case .bitcast: emitBitcast(index, instruction)
        case .nanBox: emitNaNBox(index, instruction)
        case .nanUnbox: emitNaNUnbox(index, instruction)
        case .readFloatFlags: emitReadFloatFlags(index)
        case .writeFloatFlags: emitWriteFloatFlags(instruction)
        case .jump: emitJump(index, instruction)
        case .jumpIndirect: emitJumpIndirect(index, instruction)
        case .raise: emitRaise(index, instruction)
        case .call: emitCall(index, instruction)
        }
    }

    /// Before what can fault or leave through a helper: sees to it that its code is known to belong to the current guest
    /// instruction.
    @inline(__always)
    private func noteAccess() {
        let inHost = pendingFlags != .none
        if !isNoted || inHost != notedFlagsInHost { noteGuestPC(flagsInHost: inHost) }
    }

    /// Notes that code from here on belongs to the current guest instruction.
    /// - Parameter flagsInHost: a fault there finds the guest's condition codes in the host's flags register.
    func noteGuestPC(flagsInHost: Bool = false) {
        isNoted = true
        notedFlagsInHost = flagsInHost
        let hostOffset = UInt32(truncatingIfNeeded: asm.at - entry)
        let guestOffset = UInt32(truncatingIfNeeded: currentPC &- unit.start)
        sideTable.append(SideTable.entry(hostOffset, guestOffset, flagsInHost: flagsInHost))
    }

    /// Marks a value as a free re-reading of another.
    @inline(__always)
    func alias(_ index: Int, of value: ValueID) {
        guard values[index].remaining > 0 else { return }
        let root = values[Int(value)].root
        values[Int(root)].remaining += values[index].remaining - 1
        values[index].root = root
    }

    private func emitSet(_ index: Int, _ operation: UnsafeMutablePointer<Instruction>) {
        let global = Int(truncatingIfNeeded: operation.pointee.imm)
        let value = (values + Int(operation.pointee.a)).pointee.root
        if global == flagsGlobal { return emitSetFlags(index, value) }
        let place = values + Int(value)
        if globalValue[global] == value && place.pointee.kind == ValuePlace.Kind.home
            && Int(place.pointee.location) == global {
            return consumeRoot(value)
        }
        if globalIsFloat[global] { setFloat(global, value) } else { setInteger(global, value) }
        consumeRoot(value)
    }

    func setInteger(_ global: Int, _ value: ValueID) {
        retire(global, except: value)
        let place = values + Int(value)
        let host = pin[global]
        if host != Self.noRegister {
            // The home is as good a place as any; it frees the temporary.
            if place.pointee.kind == ValuePlace.Kind.register {
                asm.mov(host, place.pointee.location)
                releaseRegister(value)
                place.pointee.kind = ValuePlace.Kind.home
                place.pointee.location = UInt8(truncatingIfNeeded: global)
                globalValue[global] = value
            } else if place.pointee.kind == ValuePlace.Kind.constant {
                asm.movImmediate(host, unit.instructions[Int(value)].imm)
            } else {
                moveInto(host, value)
            }
            return
        }
        let field = RM.state(Int(globalOffset[global]))
        if place.pointee.kind == ValuePlace.Kind.constant, let immediate = immediate32(value) {
            return asm.storeImmediate(field, immediate, wide: true)
        }
        let source = integerRegister(value)
        asm.store(field, source)
        if place.pointee.kind == ValuePlace.Kind.register && place.pointee.backup == ValuePlace.Kind.none {
            place.pointee.backup = ValuePlace.Kind.home
            place.pointee.backupLocation = UInt8(truncatingIfNeeded: global)
            globalValue[global] = value
        }
    }

    private func setFloat(_ global: Int, _ value: ValueID) {
        retire(global, except: value)
        let host = pin[global]
        let source = floatRegister(value)
        if host != Self.noRegister {
            asm.vmovaps(host, source)
            if values[Int(value)].kind == ValuePlace.Kind.register {
                releaseRegister(value)
                values[Int(value)].kind = ValuePlace.Kind.home
                values[Int(value)].location = UInt8(truncatingIfNeeded: global)
                globalValue[global] = value
            } else {
                globalValue[global] = .none
            }
            return
        }
        asm.vectorStore(.state(Int(globalOffset[global])), source, size: globalIsVector[global] ? 16 : 8)
        globalValue[global] = .none
        if values[Int(value)].kind == ValuePlace.Kind.register && values[Int(value)].backup == ValuePlace.Kind.none {
            values[Int(value)].backup = ValuePlace.Kind.home
            values[Int(value)].backupLocation = UInt8(truncatingIfNeeded: global)
            globalValue[global] = value
        }
    }
}
