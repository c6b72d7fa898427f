// The builder's operations beyond integer arithmetic: partial registers, condition codes, vectors, memory, floating point,
// control. Appended as they are, but for what `nanUnbox`, `testFlags` and `exitIf` see at once.

extension Builder {
    // MARK: partial registers and condition codes

    /// `a` with the bits from `bit` on replaced by `b`.
    public func deposit(_ a: ValueID, _ b: ValueID, bit: Int = 0) -> ValueID {
        append(Instruction(.deposit, type(of: a), a: a, b: b, imm: Int64(bit)))
    }

    /// The flags of an operation on a and b, given the flags before where it needs them.
    public func flags(_ operation: FlagOperation, _ a: ValueID, _ b: ValueID = .none, before: ValueID = .none) -> ValueID {
        append(Instruction(.flagsOf, .flags, aux: operation.rawValue, a: a, b: b, c: before))
    }

    /// 1 where the condition holds, otherwise 0.
    public func testFlags(_ condition: FlagCondition, _ flags: ValueID) -> ValueID {
        let source = unit.instructions[Int(flags)]
        if source.opcode == .setCarry, condition == .carry { return source.a }
        if source.opcode == .setCarry, condition == .notCarry { return binary(.xor, source.a, constant(1, .i1)) }
        return append(Instruction(.testFlags, .i1, aux: condition.rawValue, a: flags))
    }

    /// The status bits of EFLAGS.
    public func flagsToBits(_ flags: ValueID) -> ValueID { append(Instruction(.flagsToBits, .i64, a: flags)) }

    /// Flags from the status bits of EFLAGS; other bits do not matter.
    public func bitsToFlags(_ bits: ValueID) -> ValueID { append(Instruction(.bitsToFlags, .flags, a: bits)) }

    /// The flags with CF replaced by an i1.
    public func setCarry(_ carry: ValueID, before: ValueID) -> ValueID {
        append(Instruction(.setCarry, .flags, a: carry, b: before))
    }

    /// addWithCarry, subtractWithBorrow, rotateCarryLeft or rotateCarryRight.
    public func withCarry(_ opcode: Opcode, _ a: ValueID, _ b: ValueID, _ flags: ValueID) -> ValueID {
        append(Instruction(opcode, type(of: a), a: a, b: b, c: flags))
    }

    /// Leaves for guest address `target` when the condition holds.
    public func exitIf(_ condition: FlagCondition, _ flags: ValueID, target: UInt64) {
        let source = unit.instructions[Int(flags)]
        if source.opcode == .setCarry, condition == .carry || condition == .notCarry {
            return exitIf(condition == .carry ? .notEqual : .equal, source.a, constant(0, .i1), target: target)
        }
        appendSideExit(Instruction(.exitIfFlags, .flags, aux: condition.rawValue, a: flags, imm: Int64(bitPattern: target)),
                   target: target)
    }

    /// Ends the unit with exit code `code` at the current instruction when the condition holds.
    public func raiseIf(_ condition: Condition, _ a: ValueID, _ b: ValueID, code: UInt8) {
        appendExit(Instruction(.raiseIf, type(of: a), aux: condition.rawValue, a: a, b: b, imm: Int64(code)))
    }

    // MARK: vectors

    /// A vector operation; operands as the operation says.
    public func vector(_ operation: VectorOperation, _ a: ValueID = .none, _ b: ValueID = .none, _ c: ValueID = .none,
                       immediate: UInt8 = 0) -> ValueID {
        let instruction = Instruction(.vector, operation.signature.result, aux: immediate, a: a, b: b, c: c,
                                      imm: Int64(operation.rawValue))
        return unit.trapsFloats && instruction.hasEffect ? appendAccess(instruction) : append(instruction)
    }

    /// An i32 or i64 as the low lane of a vector, zeros above.
    public func vectorFromInteger(_ a: ValueID) -> ValueID { append(Instruction(.vectorFromInteger, .v128, a: a)) }

    /// The low lane of a vector as i32 or i64.
    public func vectorToInteger(_ a: ValueID, _ type: ValueType) -> ValueID {
        append(Instruction(.vectorToInteger, type, a: a))
    }

    // MARK: memory

    /// Loads from base + displacement, extended to `type` as the format says.
    @inlinable @inline(__always)
    public func load(_ base: ValueID, _ displacement: Int64 = 0, _ format: MemoryFormat, _ type: ValueType) -> ValueID {
        appendAccess(Instruction(.load, type, aux: format.rawValue, a: base, imm: displacement))
    }

    /// Stores the low bytes of `value` to base + displacement.
    @inlinable @inline(__always)
    public func store(_ base: ValueID, _ displacement: Int64 = 0, _ value: ValueID, _ format: MemoryFormat) {
        appendAccess(Instruction(.store, type(of: value), aux: format.rawValue, a: base, b: value, imm: displacement), used: 1)
    }

    /// Loads and remembers address and value for a store-conditional.
    public func loadReserved(_ address: ValueID, _ format: MemoryFormat) -> ValueID {
        appendAccess(Instruction(.loadReserved, .i64, aux: format.rawValue, a: address))
    }

    /// Stores if the reservation still holds: 0 where it did, 1 where not.
    public func storeConditional(_ address: ValueID, _ value: ValueID, _ format: MemoryFormat) -> ValueID {
        appendAccess(Instruction(.storeConditional, .i64, aux: format.rawValue, a: address, b: value))
    }

    /// Reads, modifies and writes memory in one indivisible step; the value is what was there before.
    public func atomic(_ operation: AtomicOperation, _ address: ValueID, _ operand: ValueID,
                       _ format: MemoryFormat) -> ValueID {
        appendAccess(Instruction(.atomic, .i64, aux: format.rawValue, a: address, b: operand,
                                imm: Int64(operation.rawValue)))
    }

    /// Replaces memory by `desired` if it holds `expected`, in one indivisible step; the value is what was there before.
    public func compareExchange(_ address: ValueID, expected: ValueID, desired: ValueID, _ format: MemoryFormat,
                                _ type: ValueType) -> ValueID {
        appendAccess(Instruction(.compareExchange, type, aux: format.rawValue, a: address, b: expected, c: desired))
    }

    /// Orders memory accesses around it, as strongly as `kind` says.
    public func fence(_ kind: FenceKind) { append(Instruction(.fence, .void, aux: kind.rawValue)) }

    // MARK: floating point

    /// A rounded operation with one or two operands of the result's type.
    public func float(_ opcode: Opcode, _ a: ValueID, _ b: ValueID = .none, rounding: Rounding = .dynamic) -> ValueID {
        append(Instruction(opcode, type(of: a), aux: rounding.rawValue, a: a, b: b))
    }

    /// ±(a × b) ± c, rounded once.
    public func multiplyAdd(_ a: ValueID, _ b: ValueID, _ c: ValueID, negateProduct: Bool, negateAddend: Bool,
                            rounding: Rounding) -> ValueID {
        append(Instruction(.floatMultiplyAdd, type(of: a), aux: rounding.rawValue, a: a, b: b, c: c,
                                imm: (negateProduct ? 1 : 0) | (negateAddend ? 2 : 0)))
    }

    /// 1 where the floating-point condition holds, otherwise 0; raises the flags that the condition says.
    public func floatCompare(_ condition: FloatCondition, _ a: ValueID, _ b: ValueID) -> ValueID {
        append(Instruction(.floatCompare, .i1, aux: condition.rawValue, a: a, b: b))
    }

    /// A conversion between classes or formats.
    public func convert(_ opcode: Opcode, _ a: ValueID, to type: ValueType, rounding: Rounding = .dynamic) -> ValueID {
        append(Instruction(opcode, type, aux: rounding.rawValue, a: a))
    }

    /// The single-precision value in a boxed register, or the canonical NaN where the box is broken.
    public func nanUnbox(_ a: ValueID) -> ValueID {
        let source = unit.instructions[Int(a)]
        if source.opcode == .nanBox { return source.a }
        return append(Instruction(.nanUnbox, .f32, a: a))
    }

    /// The guest's sticky exception flags.
    public func readFloatFlags() -> ValueID { append(Instruction(.readFloatFlags, .i64)) }

    /// Replaces the guest's sticky exception flags.
    public func writeFloatFlags(_ flags: ValueID) { append(Instruction(.writeFloatFlags, .void, a: flags)) }

    // MARK: control

    /// Starts a block of a region: exits of the unit to `address` lead here. Nothing is known about registers.
    public func block(_ address: UInt64) {
        unit.appendBlock(address)
        forgetGlobals()
    }

    /// Marks the start of the guest instruction at `pc`.
    @inlinable @inline(__always)
    public func instruction(_ pc: UInt64) {
        currentPC = pc
        unit.reserve()
        append(Instruction(.instruction, .void, imm: Int64(bitPattern: pc)), used: 1)
        unit.guestInstructionCount &+= 1
    }

    /// Leaves for guest address `target` when the condition holds.
    @inlinable
    public func exitIf(_ condition: Condition, _ a: ValueID, _ b: ValueID, target: UInt64) {
        appendSideExit(Instruction(.exitIf, type(of: a), aux: condition.rawValue, a: a, b: b, imm: Int64(bitPattern: target)),
                   target: target)
    }

    /// Ends the unit with a jump. For `.call`, `returnAddress` is where the callee will return to.
    public func jump(_ target: UInt64, kind: JumpKind = .jump, returnAddress: UInt64 = 0) {
        let link = kind == .call ? constant(Int64(bitPattern: returnAddress)) : .none
        appendExit(Instruction(.jump, .void, aux: kind.rawValue, c: link, imm: Int64(bitPattern: target)))
        if target <= currentPC { kind == .call ? setLooping() : setLooping(target) }
    }

    /// Ends the unit with a jump to a computed address.
    public func jumpIndirect(_ target: ValueID, kind: JumpKind, returnAddress: UInt64 = 0) {
        let link = kind == .call ? constant(Int64(bitPattern: returnAddress)) : .none
        setLooping()
        appendExit(Instruction(.jumpIndirect, .void, aux: kind.rawValue, a: target, c: link))
    }

    /// Ends the unit with exit code `code`, reporting guest address `pc`.
    public func raise(_ code: UInt8, pc: UInt64) {
        appendExit(Instruction(.raise, .void, aux: code, imm: Int64(bitPattern: pc)))
    }

    /// Calls a helper of the front's table. Register contents are unknown afterwards.
    public func call(_ helper: Int, _ a: ValueID = .none, _ b: ValueID = .none, _ c: ValueID = .none) -> ValueID {
        let result = appendExit(Instruction(.call, .i64, a: a, b: b, c: c, imm: Int64(helper)))
        forgetKnown()
        return result
    }
}
