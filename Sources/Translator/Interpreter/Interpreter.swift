// Executes IR units directly on a state block: portable, exact, one operation at a time in program order. The oracle
// that generated code is compared with, and the engine of hosts without a code generator.
//
// A run leaves the same state behind as generated code would: guest registers, `pc`, `exitKind`, the fault fields,
// the reservation and the sticky float flags of `guestMXCSR` (except the host's denormal-operand bit, which only real
// hardware sets). Units may, but need not, have been through `DeadCode`.
//
// Absent: i128 and v256 values (the verifier's `execution` check reports them). Exit requests are looked at where a region
// jumps backward; otherwise the engine looks between units.

import IR

/// Executes units of one front. One per vCPU thread: values of the running unit live in it.
public final class Interpreter {
    let memory: MemoryAccess
    private let rules: FloatRules
    private let helpers: UnsafeMutablePointer<HelperFunction>
    private let helperCount: Int
    private let globalOffset: UnsafeMutablePointer<Int>
    private let globalType: UnsafeMutablePointer<ValueType>
    private let globalCount: Int
    /// Results by operation index: integers sign-extended from their width, i1 as 0 or 1, floats zero-extended; of vectors
    /// the lower halves.
    private let frame: ValueFrame

    /// An interpreter for units lifted by `front`.
    public convenience init(front: GuestFront, memory: InterpreterMemory) {
        self.init(globals: front.globals, helpers: front.helpers, floatRules: front.floatRules, memory: memory)
    }

    /// An interpreter for units over the given registers and helpers.
    public init(globals: [Global], helpers: [HelperFunction], floatRules: FloatRules, memory: InterpreterMemory) {
        self.memory = MemoryAccess(memory)
        rules = floatRules
        helperCount = helpers.count
        self.helpers = .allocate(capacity: max(1, helpers.count))
        for (index, helper) in helpers.enumerated() { (self.helpers + index).initialize(to: helper) }
        globalCount = globals.count
        globalOffset = .allocate(capacity: max(1, globals.count))
        globalType = .allocate(capacity: max(1, globals.count))
        for (index, global) in globals.enumerated() {
            (globalOffset + index).initialize(to: global.offset)
            (globalType + index).initialize(to: global.type)
        }
        frame = ValueFrame(capacity: 1024)
    }

    deinit {
        helpers.deallocate()
        globalOffset.deallocate()
        globalType.deallocate()
    }

    /// Executes a unit to its end, to the first exit taken or to the first fault.
    ///
    /// - Parameters:
    ///   - unit: a unit that the verifier accepts for execution.
    ///   - state: a state block of the front (`StateLayout`).
    /// - Returns: why it ended, also stored at `StateLayout.exitKind`; `StateLayout.pc` is set.
    public func run(_ unit: Unit, state: UnsafeMutableRawPointer) -> ExitKind {
        let count = unit.count
        let instructions = UnsafePointer(unit.instructions)
        // SAFETY: operand ids are below `count` (verifier), so is everything stored; the frame outlives the run.
        let values = frame.values(capacity: count)
        let highs = frame.highs
        var pc = unit.start
        var index = 0
        while index < count {
            let op = instructions[index]
            switch op.opcode {
            // MARK: values
            case .dead, .block: break
            case .constant: values[index] = Self.canonical(op.imm, op.type)
            case .get where op.type == .v128:
                let field = state + globalOffset[Int(op.imm)]
                values[index] = field.load(as: Int64.self)
                highs[index] = field.load(fromByteOffset: 8, as: UInt64.self)
            case .set where op.type == .v128:
                let field = state + globalOffset[Int(op.imm)]
                field.storeBytes(of: values[Int(op.a)], as: Int64.self)
                field.storeBytes(of: highs[Int(op.a)], toByteOffset: 8, as: UInt64.self)
            case .get: values[index] = read(Int(op.imm), state)
            case .set: write(Int(op.imm), values[Int(op.a)], state)
            case .instruction: pc = UInt64(bitPattern: op.imm)

            // MARK: integer
            case .add: values[index] = Self.narrow(values[Int(op.a)] &+ values[Int(op.b)], op.type)
            case .sub: values[index] = Self.narrow(values[Int(op.a)] &- values[Int(op.b)], op.type)
            case .and: values[index] = values[Int(op.a)] & values[Int(op.b)]
            case .or: values[index] = values[Int(op.a)] | values[Int(op.b)]
            case .xor: values[index] = values[Int(op.a)] ^ values[Int(op.b)]
            case .andNot: values[index] = values[Int(op.a)] & ~values[Int(op.b)]
            case .shiftLeft:
                let amount = values[Int(op.b)] & Int64(op.type.bits &- 1)
                values[index] = Self.narrow(values[Int(op.a)] &<< amount, op.type)
            case .shiftRightUnsigned:
                let amount = UInt64(bitPattern: values[Int(op.b)]) & UInt64(op.type.bits &- 1)
                let shifted = Self.zeroExtended(values[Int(op.a)], op.type) &>> amount
                values[index] = Self.narrow(Int64(bitPattern: shifted), op.type)
            case .shiftRightSigned:
                values[index] = values[Int(op.a)] &>> (values[Int(op.b)] & Int64(op.type.bits &- 1))
            case .multiply: values[index] = Self.narrow(values[Int(op.a)] &* values[Int(op.b)], op.type)
            case .rotateLeft, .rotateRight, .multiplyHighSigned, .multiplyHighUnsigned, .multiplyHighSignedUnsigned,
                 .divideSigned, .divideUnsigned, .remainderSigned, .remainderUnsigned:
                values[index] = Self.binary(op.opcode, op.type, values[Int(op.a)], values[Int(op.b)])
            case .not, .negate, .countLeadingZeros, .countTrailingZeros, .populationCount, .byteSwap:
                values[index] = Self.unary(op.opcode, op.type, values[Int(op.a)])
            case .signExtend: values[index] = values[Int(op.a)]
            case .zeroExtend:
                values[index] = Int64(bitPattern: Self.zeroExtended(values[Int(op.a)], instructions[Int(op.a)].type))
            case .truncate: values[index] = Self.canonical(values[Int(op.a)], op.type)
            case .compare: values[index] = Self.holds(op.aux, values[Int(op.a)], values[Int(op.b)]) ? 1 : 0
            case .select: values[index] = values[Int(op.a)] != 0 ? values[Int(op.b)] : values[Int(op.c)]

            case .deposit, .flagsOf, .testFlags, .flagsToBits, .bitsToFlags, .setCarry, .addWithCarry, .subtractWithBorrow,
                 .rotateCarryLeft, .rotateCarryRight:
                let b = op.b == .none ? 0 : values[Int(op.b)], c = op.c == .none ? 0 : values[Int(op.c)]
                let operand = instructions[Int(op.opcode == .deposit ? op.b : op.a)].type
                values[index] = Self.conditionCode(op, operand, values[Int(op.a)], b, c)

            // MARK: vectors
            case .vector:
                if vector(op, index, values, highs, state) { return leave(.exception(VectorEvaluation.simdException), state, pc) }
            case .vectorFromInteger:
                values[index] = Int64(bitPattern: Self.zeroExtended(values[Int(op.a)], instructions[Int(op.a)].type))
                highs[index] = 0
            case .vectorToInteger: values[index] = Self.canonical(values[Int(op.a)], op.type)

            // MARK: memory
            case .load where op.type == .v128:
                let address = UInt64(bitPattern: values[Int(op.a)] &+ op.imm)
                let access = memory.loadVector(address, MemoryFormat(rawValue: op.aux), state)
                if access.exit != 0 { return leave(access.exit, state, pc) }
                values[index] = Int64(bitPattern: access.value.low)
                highs[index] = access.value.high
            case .store where op.type == .v128:
                let address = UInt64(bitPattern: values[Int(op.a)] &+ op.imm)
                let value = Vector128(low: UInt64(bitPattern: values[Int(op.b)]), high: highs[Int(op.b)])
                let exit = memory.storeVector(address, MemoryFormat(rawValue: op.aux), value, state)
                if exit != 0 { return leave(exit, state, pc) }
            case .load:
                let address = UInt64(bitPattern: values[Int(op.a)] &+ op.imm)
                let access = memory.load(address, MemoryFormat(rawValue: op.aux), state)
                if access.exit != 0 { return leave(access.exit, state, pc) }
                values[index] = Self.canonical(access.value, op.type)
            case .store:
                let address = UInt64(bitPattern: values[Int(op.a)] &+ op.imm)
                let exit = memory.store(address, MemoryFormat(rawValue: op.aux), values[Int(op.b)], state)
                if exit != 0 { return leave(exit, state, pc) }
            case .loadReserved, .storeConditional, .atomic, .compareExchange:
                let address = UInt64(bitPattern: values[Int(op.a)])
                let b = op.b == .none ? 0 : values[Int(op.b)], c = op.c == .none ? 0 : values[Int(op.c)]
                let access = memory.atomic(op, address, b, c, state)
                if access.exit != 0 { return leave(access.exit, state, pc) }
                values[index] = Self.canonical(access.value, op.type)
            case .fence: memory.fence(FenceKind(rawValue: op.aux))

            // MARK: floating point
            case .floatAdd, .floatSubtract, .floatMultiply, .floatDivide, .floatSquareRoot, .floatMultiplyAdd,
                 .floatMinimum, .floatMaximum, .floatCompare, .floatClassify, .floatNegate, .floatAbsolute, .copySign,
                 .copySignNegated, .xorSign, .floatToSigned, .floatToUnsigned, .signedToFloat, .unsignedToFloat,
                 .floatToFloat:
                let b = op.b == .none ? 0 : values[Int(op.b)], c = op.c == .none ? 0 : values[Int(op.c)]
                let result = float(op, instructions[Int(op.a)].type, unit.rounding, values[Int(op.a)], b, c, state)
                values[index] = Self.canonical(result, op.type)
            case .bitcast: values[index] = Self.canonical(values[Int(op.a)], op.type)
            case .nanBox: values[index] = values[Int(op.a)] | Self.boxUpper
            case .nanUnbox:
                let boxed = values[Int(op.a)]
                values[index] = boxed & Self.boxUpper == Self.boxUpper ? boxed & ~Self.boxUpper : Self.canonicalNaN32

            case .readFloatFlags: values[index] = Int64(FloatEvaluation.readFlags(state))
            case .writeFloatFlags:
                FloatEvaluation.writeFlags(state, UInt32(truncatingIfNeeded: values[Int(op.a)]))

            // MARK: control
            case .exitIf:
                if Self.holds(op.aux, values[Int(op.a)], values[Int(op.b)]) {
                    let next = goOn(unit, index, UInt64(bitPattern: op.imm), state)
                    if next < 0 { return leave(.lookup, state, UInt64(bitPattern: op.imm)) }
                    index = next
                }
            case .exitIfFlags:
                guard let condition = FlagCondition(rawValue: op.aux) else { preconditionFailure("exitIfFlags \(op.aux)") }
                if FlagEvaluation.holds(condition, values[Int(op.a)]) {
                    let next = goOn(unit, index, UInt64(bitPattern: op.imm), state)
                    if next < 0 { return leave(.lookup, state, UInt64(bitPattern: op.imm)) }
                    index = next
                }
            case .raiseIf:
                if Self.holds(op.aux, values[Int(op.a)], values[Int(op.b)]) {
                    return leave(UInt32(truncatingIfNeeded: op.imm), state, pc)
                }
            case .jump:
                let isCall = op.aux == JumpKind.call.rawValue
                let next = isCall ? -1 : goOn(unit, index, UInt64(bitPattern: op.imm), state)
                if next < 0 { return leave(.lookup, state, UInt64(bitPattern: op.imm)) }
                index = next
            case .jumpIndirect: return leave(.lookup, state, UInt64(bitPattern: values[Int(op.a)]))
            case .raise:
                guard let kind = ExitKind(rawValue: UInt32(op.aux)) else {
                    preconditionFailure("raise with unknown exit kind \(op.aux) in the unit at \(unit.start)")
                }
                return leave(kind, state, UInt64(bitPattern: op.imm))
            case .call:
                precondition(op.imm >= 0 && op.imm < helperCount,
                             "call of helper \(op.imm), the front has \(helperCount)")
                let a = op.a == .none ? 0 : UInt64(bitPattern: values[Int(op.a)])
                let b = op.b == .none ? 0 : UInt64(bitPattern: values[Int(op.b)])
                let c = op.c == .none ? 0 : UInt64(bitPattern: values[Int(op.c)])
                state.storeBytes(of: 0, toByteOffset: StateLayout.helperExit, as: UInt32.self)
                values[index] = Int64(bitPattern: helpers[Int(op.imm)](state, a, b, c))
                let exit = state.load(fromByteOffset: StateLayout.helperExit, as: UInt32.self)
                if exit != 0 { return leave(exit, state, pc) }
            }
            index &+= 1
        }
        preconditionFailure("the unit at \(unit.start) does not end in a terminator")
    }

    // MARK: leaving

    /// Position of the block of a region that an exit leads to; -1 to leave the unit, for backward exits also when somebody
    /// has asked for it.
    @inline(__always)
    private func goOn(_ unit: Unit, _ index: Int, _ target: UInt64, _ state: UnsafeMutableRawPointer) -> Int {
        let block = unit.block(at: target)
        if block < 0 { return -1 }
        let position = unit.blocks[block].index
        let isAsked = state.load(fromByteOffset: StateLayout.exitRequest, as: UInt32.self) != 0
        return position <= index && isAsked ? -1 : position
    }

    @inline(__always)
    private func leave(_ kind: ExitKind, _ state: UnsafeMutableRawPointer, _ pc: UInt64) -> ExitKind {
        state.storeBytes(of: pc, toByteOffset: StateLayout.pc, as: UInt64.self)
        state.storeBytes(of: kind.rawValue, toByteOffset: StateLayout.exitKind, as: UInt32.self)
        return kind
    }

    /// An exit asked for by a helper or a memory access: at the current instruction, except that whoever asks for a
    /// lookup has set `StateLayout.pc`.
    @inline(never)
    private func leave(_ raw: UInt32, _ state: UnsafeMutableRawPointer, _ pc: UInt64) -> ExitKind {
        guard let kind = ExitKind(rawValue: raw) else { preconditionFailure("unknown exit kind \(raw) from a helper") }
        guard kind == .lookup else { return leave(kind, state, pc) }
        state.storeBytes(of: raw, toByteOffset: StateLayout.exitKind, as: UInt32.self)
        return kind
    }

    // MARK: guest registers

    /// A register occupies its type's bytes; bytes beyond are not touched.
    @inline(__always)
    private func read(_ global: Int, _ state: UnsafeMutableRawPointer) -> Int64 {
        let field = state + globalOffset[global], type = globalType[global]
        if type == .i64 || type == .f64 || type == .flags { return field.load(as: Int64.self) }
        return switch type.bits {
        case 32: Self.canonical(Int64(field.load(as: Int32.self)), type)
        case 16: Int64(field.load(as: Int16.self))
        default: Self.canonical(Int64(field.load(as: Int8.self)), type)
        }
    }

    @inline(__always)
    private func write(_ global: Int, _ value: Int64, _ state: UnsafeMutableRawPointer) {
        let field = state + globalOffset[global], type = globalType[global]
        if type == .i64 || type == .f64 || type == .flags { return field.storeBytes(of: value, as: Int64.self) }
        switch type.bits {
        case 32: field.storeBytes(of: Int32(truncatingIfNeeded: value), as: Int32.self)
        case 16: field.storeBytes(of: Int16(truncatingIfNeeded: value), as: Int16.self)
        default: field.storeBytes(of: Int8(truncatingIfNeeded: value), as: Int8.self)
        }
    }

    // MARK: vectors

    /// Evaluates a vector operation; true when it faults.
    @inline(never)
    private func vector(_ op: Instruction, _ index: Int, _ values: UnsafeMutablePointer<Int64>,
                        _ highs: UnsafeMutablePointer<UInt64>, _ state: UnsafeMutableRawPointer) -> Bool {
        guard let operation = VectorOperation(rawValue: UInt16(truncatingIfNeeded: op.imm)) else {
            preconditionFailure("unknown vector operation \(op.imm)")
        }
        func operand(_ id: ValueID) -> Vector128 {
            id == .none ? Vector128() : Vector128(low: UInt64(bitPattern: values[Int(id)]), high: highs[Int(id)])
        }
        let before = state.load(fromByteOffset: StateLayout.guestMXCSR, as: UInt32.self)
        var mxcsr = before, faults = false
        let result = VectorEvaluation.evaluate(operation, op.aux, operand(op.a), operand(op.b), operand(op.c),
                                               mxcsr: &mxcsr, faults: &faults)
        if mxcsr != before { state.storeBytes(of: mxcsr, toByteOffset: StateLayout.guestMXCSR, as: UInt32.self) }
        values[index] = Self.canonical(Int64(bitPattern: result.low), op.type)
        highs[index] = result.high
        return faults
    }

    // MARK: floating point

    private static let boxUpper = Int64(bitPattern: 0xFFFF_FFFF_0000_0000)
    private static let canonicalNaN32: Int64 = 0x7FC0_0000

    @inline(never)
    private func float(_ op: Instruction, _ source: ValueType, _ dynamic: Rounding, _ a: Int64, _ b: Int64, _ c: Int64,
                       _ state: UnsafeMutableRawPointer) -> Int64 {
        let named = Rounding(rawValue: op.aux) ?? .dynamic
        var env = FloatEvaluation.environment(rules, named == .dynamic ? dynamic : named)
        let result = FloatEvaluation.evaluate(op.opcode, result: op.type, source: source, imm: op.imm, aux: op.aux,
                                              UInt64(bitPattern: a), UInt64(bitPattern: b), UInt64(bitPattern: c), &env)
        if !env.flags.isEmpty {
            let mxcsr = state.load(fromByteOffset: StateLayout.guestMXCSR, as: UInt32.self)
            state.storeBytes(of: mxcsr | FloatEvaluation.mxcsrBits(env.flags), toByteOffset: StateLayout.guestMXCSR,
                             as: UInt32.self)
        }
        return Int64(bitPattern: result)
    }
}

/// The values of the running unit: raw memory that grows with the largest unit seen.
private final class ValueFrame {
    private var pointer: UnsafeMutablePointer<Int64>
    /// The upper halves of vectors.
    private(set) var highs: UnsafeMutablePointer<UInt64>
    private var capacity: Int

    init(capacity: Int) {
        self.capacity = capacity
        pointer = .allocate(capacity: capacity)
        pointer.initialize(repeating: 0, count: capacity)
        highs = .allocate(capacity: capacity)
        highs.initialize(repeating: 0, count: capacity)
    }

    deinit {
        pointer.deallocate()
        highs.deallocate()
    }

    @inline(__always)
    func values(capacity needed: Int) -> UnsafeMutablePointer<Int64> {
        if needed > capacity { grow(needed) }
        return pointer
    }

    @inline(never)
    private func grow(_ needed: Int) {
        pointer.deallocate()
        highs.deallocate()
        capacity = max(needed, capacity * 2)
        pointer = .allocate(capacity: capacity)
        pointer.initialize(repeating: 0, count: capacity)
        highs = .allocate(capacity: capacity)
        highs.initialize(repeating: 0, count: capacity)
    }
}
