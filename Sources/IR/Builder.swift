// Appends operations to a unit while simplifying what can be seen locally: constants are folded, identities vanish, and
// a register read returns the value last written or read (so guest registers are loaded at most once per unit).
//
// Fronts use nothing else to emit IR. Values are plain indices; nothing here allocates after the first unit.

/// Builds one unit.
public final class Builder {
    /// The unit being built.
    public let unit: Unit
    /// The guest registers, indexed by global number.
    public let globals: [Global]
    /// The value each global is known to hold, or `.none`.
    @usableFromInline let known: UnsafeMutablePointer<ValueID>
    @usableFromInline let globalTypes: UnsafeMutablePointer<ValueType>
    private let globalCount: Int

    public init(unit: Unit, globals: [Global]) {
        self.unit = unit
        self.globals = globals
        globalCount = globals.count
        known = .allocate(capacity: max(1, globals.count))
        known.initialize(repeating: .none, count: max(1, globals.count))
        globalTypes = .allocate(capacity: max(1, globals.count))
        for (index, global) in globals.enumerated() { (globalTypes + index).initialize(to: global.type) }
    }

    deinit {
        known.deallocate()
        globalTypes.deallocate()
    }

    /// Starts a new unit.
    public func begin(start: UInt64, mode: UInt32, rounding: Rounding) {
        unit.reset(start: start, mode: mode, rounding: rounding)
        forgetGlobals()
    }

    /// Forgets what registers hold, after something outside the unit may have changed them.
    public func forgetGlobals() { known.update(repeating: .none, count: globalCount) }

    // MARK: reading back

    /// The constant a value is, if it is one.
    @inlinable @inline(__always)
    public func constantValue(_ value: ValueID) -> Int64? {
        let instruction = unit.instructions + Int(value)
        return instruction.pointee.opcode == .constant ? instruction.pointee.imm : nil
    }

    /// The type of a value.
    @inlinable @inline(__always)
    public func type(of value: ValueID) -> ValueType { (unit.instructions + Int(value)).pointee.type }

    // MARK: values and registers

    /// A constant; bits above the type's width are dropped (kept sign-extended for comparison's sake).
    @inlinable @inline(__always)
    public func constant(_ value: Int64, _ type: ValueType = .i64) -> ValueID {
        unit.append(Instruction(.constant, type, imm: Self.canonical(value, type)))
    }

    /// The current value of a guest register.
    @inlinable @inline(__always)
    public func get(_ global: Int) -> ValueID {
        let value = known[global]
        if value != .none { return value }
        return read(global)
    }

    @inline(never) @usableFromInline
    func read(_ global: Int) -> ValueID {
        let read = unit.append(Instruction(.get, globalTypes[global], imm: Int64(global)))
        known[global] = read
        return read
    }

    /// Writes a guest register.
    @inlinable @inline(__always)
    public func set(_ global: Int, _ value: ValueID) {
        if known[global] == value { return }
        unit.append(Instruction(.set, globalTypes[global], a: value, imm: Int64(global)))
        known[global] = value
    }

    // MARK: integer

    /// Integer operations on two values of one type; sums and differences wrap around.
    @inlinable @inline(__always) public func add(_ a: ValueID, _ b: ValueID) -> ValueID { binary(.add, a, b) }
    @inlinable @inline(__always) public func sub(_ a: ValueID, _ b: ValueID) -> ValueID { binary(.sub, a, b) }
    @inlinable @inline(__always) public func and(_ a: ValueID, _ b: ValueID) -> ValueID { binary(.and, a, b) }
    @inlinable @inline(__always) public func or(_ a: ValueID, _ b: ValueID) -> ValueID { binary(.or, a, b) }
    @inlinable @inline(__always) public func xor(_ a: ValueID, _ b: ValueID) -> ValueID { binary(.xor, a, b) }

    /// Any operation of the integer groups with two operands of one type.
    public func binary(_ opcode: Opcode, _ a: ValueID, _ b: ValueID) -> ValueID {
        let left = unit.instructions + Int(a), right = unit.instructions + Int(b)
        let type = left.pointee.type
        if right.pointee.opcode == .constant {
            return simplified(opcode, a, right.pointee.imm) ?? unit.append(Instruction(opcode, type, a: a, b: b))
        }
        if left.pointee.opcode == .constant {
            let isZero = left.pointee.imm == 0
            switch opcode {
            case .add, .or, .xor: return isZero ? b : unit.append(Instruction(opcode, type, a: b, b: a))
            case .and: return isZero ? a : unit.append(Instruction(opcode, type, a: b, b: a))
            case .multiply: return unit.append(Instruction(opcode, type, a: b, b: a))
            case .shiftLeft, .shiftRightUnsigned, .shiftRightSigned: if isZero { return a }
            default: break
            }
        } else {
            switch opcode {
            case .or, .xor, .and, .add:
                if left.pointee.opcode == .signExtend, type == .i64, opcode != .add,
                   let narrow = narrowed(opcode, left.pointee, right.pointee) { return narrow }
                if right.pointee.opcode == .shiftRightUnsigned || right.pointee.opcode == .shiftLeft, opcode != .and,
                   let rotation = rotation(left.pointee, right.pointee) { return rotation }
            default: break
            }
        }
        return unit.append(Instruction(opcode, type, a: a, b: b))
    }

    /// As `binary` with a constant on the right, which is appended only where the operation needs it.
    public func binary(_ opcode: Opcode, _ a: ValueID, constant k: Int64) -> ValueID {
        let type = type(of: a)
        let k = Self.canonical(k, type)
        if let value = simplified(opcode, a, k) { return value }
        let b = unit.append(Instruction(.constant, type, imm: k))
        return unit.append(Instruction(opcode, type, a: a, b: b))
    }

    /// The result of an operation with a constant on the right, where it is a constant, the left operand or something
    /// simpler.
    @inline(__always)
    private func simplified(_ opcode: Opcode, _ a: ValueID, _ k: Int64) -> ValueID? {
        let left = unit.instructions + Int(a)
        if left.pointee.opcode == .constant {
            let type = left.pointee.type
            if let folded = Fold.binary(opcode, type, left.pointee.imm, k) { return constant(folded, type) }
        }
        if k == 0 || k == -1 {
            switch opcode {
            case .add, .sub, .or, .xor, .shiftLeft, .shiftRightUnsigned, .shiftRightSigned, .andNot,
                 .rotateLeft, .rotateRight:
                if k == 0 { return a }
            case .and: return k == 0 ? constant(0, left.pointee.type) : a
            default: break
            }
        }
        if left.pointee.opcode == .shiftLeft, left.pointee.type == .i64 { return simplifyShift(opcode, left.pointee, k) }
        return nil
    }

    /// A bitwise operation on two sign-extended words is the sign extension of the operation on the words.
    private func narrowed(_ opcode: Opcode, _ left: Instruction, _ right: Instruction) -> ValueID? {
        guard left.opcode == .signExtend, right.opcode == .signExtend,
              type(of: left.a) == .i32, type(of: right.a) == .i32 else { return nil }
        return signExtend(binary(opcode, left.a, right.a), .i64)
    }

    /// A value seen through truncation.
    private func source(_ value: ValueID) -> ValueID {
        let instruction = unit.instructions[Int(value)]
        return instruction.opcode == .truncate ? instruction.a : value
    }

    /// x << k combined with x >> (w − k) is a rotation.
    private func rotation(_ left: Instruction, _ right: Instruction) -> ValueID? {
        let (high, low) = left.opcode == .shiftLeft ? (left, right) : (right, left)
        guard high.opcode == .shiftLeft, low.opcode == .shiftRightUnsigned, source(high.a) == source(low.a), high.type == low.type,
              let up = constantValue(high.b), let down = constantValue(low.b),
              up > 0, down > 0, up + down == Int64(high.type.bits) else { return nil }
        return unit.append(Instruction(.rotateLeft, high.type, a: high.a, b: high.b))
    }

    /// (x << 32) >> k, k >= 32: the zero and sign extension idioms of guests without an extension instruction.
    private func simplifyShift(_ opcode: Opcode, _ left: Instruction, _ k: Int64) -> ValueID? {
        guard left.opcode == .shiftLeft, k >= 32, k < 64, constantValue(left.b) == 32 else { return nil }
        switch opcode {
        case .shiftRightUnsigned where k == 32:
            return zeroExtend(truncate(left.a, .i32), .i64)
        case .shiftRightUnsigned:
            let low = truncate(left.a, .i32)
            return zeroExtend(binary(.shiftRightUnsigned, low, constant(k - 32, .i32)), .i64)
        case .shiftRightSigned where k == 32:
            return signExtend(truncate(left.a, .i32), .i64)
        default: return nil
        }
    }

    /// An operation of the integer group with one operand of the result's type.
    public func unary(_ opcode: Opcode, _ a: ValueID) -> ValueID {
        let source = unit.instructions[Int(a)]
        if source.opcode == .constant, let folded = Fold.unary(opcode, source.type, source.imm) {
            return constant(folded, source.type)
        }
        return unit.append(Instruction(opcode, source.type, a: a))
    }

    /// A wider value with the same signed meaning.
    public func signExtend(_ a: ValueID, _ type: ValueType) -> ValueID {
        let source = unit.instructions + Int(a)
        if source.pointee.type == type { return a }
        switch source.pointee.opcode {
        case .constant: return constant(source.pointee.imm, type)
        case .truncate:
            // truncate(load.s32) and friends: the value was already in that form.
            let inner = unit.instructions + Int(source.pointee.a)
            if inner.pointee.type == type, isSignExtended(inner.pointee, from: source.pointee.type) {
                return source.pointee.a
            }
        default: break
        }
        return unit.append(Instruction(.signExtend, type, a: a))
    }

    /// A wider value with the same unsigned meaning.
    public func zeroExtend(_ a: ValueID, _ type: ValueType) -> ValueID {
        let source = unit.instructions + Int(a)
        if source.pointee.type == type { return a }
        if source.pointee.opcode == .constant {
            return constant(source.pointee.imm & Self.mask(source.pointee.type), type)
        }
        return unit.append(Instruction(.zeroExtend, type, a: a))
    }

    /// The low bits of a value.
    public func truncate(_ a: ValueID, _ type: ValueType) -> ValueID {
        let source = unit.instructions + Int(a)
        if source.pointee.type == type { return a }
        switch source.pointee.opcode {
        case .constant: return constant(source.pointee.imm, type)
        case .signExtend, .zeroExtend:
            if (unit.instructions + Int(source.pointee.a)).pointee.type == type { return source.pointee.a }
        default: break
        }
        return unit.append(Instruction(.truncate, type, a: a))
    }

    /// True when the value is the sign extension of its own low `from` bits.
    private func isSignExtended(_ instruction: Instruction, from narrow: ValueType) -> Bool {
        switch instruction.opcode {
        case .signExtend: unit.instructions[Int(instruction.a)].type.bits <= narrow.bits
        case .load, .atomic, .loadReserved:
            MemoryFormat(rawValue: instruction.aux).isSigned
                && 8 << MemoryFormat(rawValue: instruction.aux).sizeLog2 <= narrow.bits
        default: false
        }
    }

    /// 1 where the integer condition holds, otherwise 0.
    public func compare(_ condition: Condition, _ a: ValueID, _ b: ValueID) -> ValueID {
        if let left = constantValue(a), let right = constantValue(b) {
            return constant(Fold.holds(condition, type(of: a), left, right) ? 1 : 0, .i1)
        }
        return unit.append(Instruction(.compare, .i1, aux: condition.rawValue, a: a, b: b))
    }

    /// One of two values, chosen without a branch.
    public func select(_ condition: ValueID, _ then: ValueID, _ otherwise: ValueID) -> ValueID {
        if let known = constantValue(condition) { return known != 0 ? then : otherwise }
        if then == otherwise { return then }
        return unit.append(Instruction(.select, type(of: then), a: condition, b: then, c: otherwise))
    }

    // MARK: partial registers and condition codes

    /// `a` with the bits from `bit` on replaced by `b`.
    public func deposit(_ a: ValueID, _ b: ValueID, bit: Int = 0) -> ValueID {
        unit.append(Instruction(.deposit, type(of: a), a: a, b: b, imm: Int64(bit)))
    }

    /// The flags of an operation on a and b, given the flags before where it needs them.
    public func flags(_ operation: FlagOperation, _ a: ValueID, _ b: ValueID = .none, before: ValueID = .none) -> ValueID {
        unit.append(Instruction(.flagsOf, .flags, aux: operation.rawValue, a: a, b: b, c: before))
    }

    /// 1 where the condition holds, otherwise 0.
    public func testFlags(_ condition: FlagCondition, _ flags: ValueID) -> ValueID {
        let source = unit.instructions[Int(flags)]
        if source.opcode == .setCarry, condition == .carry { return source.a }
        if source.opcode == .setCarry, condition == .notCarry { return binary(.xor, source.a, constant(1, .i1)) }
        return unit.append(Instruction(.testFlags, .i1, aux: condition.rawValue, a: flags))
    }

    /// The status bits of EFLAGS.
    public func flagsToBits(_ flags: ValueID) -> ValueID { unit.append(Instruction(.flagsToBits, .i64, a: flags)) }

    /// Flags from the status bits of EFLAGS; other bits do not matter.
    public func bitsToFlags(_ bits: ValueID) -> ValueID { unit.append(Instruction(.bitsToFlags, .flags, a: bits)) }

    /// The flags with CF replaced by an i1.
    public func setCarry(_ carry: ValueID, before: ValueID) -> ValueID {
        unit.append(Instruction(.setCarry, .flags, a: carry, b: before))
    }

    /// addWithCarry, subtractWithBorrow, rotateCarryLeft or rotateCarryRight.
    public func withCarry(_ opcode: Opcode, _ a: ValueID, _ b: ValueID, _ flags: ValueID) -> ValueID {
        unit.append(Instruction(opcode, type(of: a), a: a, b: b, c: flags))
    }

    /// Leaves for guest address `target` when the condition holds.
    public func exitIf(_ condition: FlagCondition, _ flags: ValueID, target: UInt64) {
        let source = unit.instructions[Int(flags)]
        if source.opcode == .setCarry, condition == .carry || condition == .notCarry {
            return exitIf(condition == .carry ? .notEqual : .equal, source.a, constant(0, .i1), target: target)
        }
        unit.append(Instruction(.exitIfFlags, .flags, aux: condition.rawValue, a: flags, imm: Int64(bitPattern: target)))
    }

    /// Ends the unit with exit code `code` at the current instruction when the condition holds.
    public func raiseIf(_ condition: Condition, _ a: ValueID, _ b: ValueID, code: UInt8) {
        unit.append(Instruction(.raiseIf, type(of: a), aux: condition.rawValue, a: a, b: b, imm: Int64(code)))
    }

    // MARK: vectors

    /// A vector operation; operands as the operation says.
    public func vector(_ operation: VectorOperation, _ a: ValueID = .none, _ b: ValueID = .none, _ c: ValueID = .none,
                       immediate: UInt8 = 0) -> ValueID {
        unit.append(Instruction(.vector, operation.signature.result, aux: immediate, a: a, b: b, c: c,
                                imm: Int64(operation.rawValue)))
    }

    /// An i32 or i64 as the low lane of a vector, zeros above.
    public func vectorFromInteger(_ a: ValueID) -> ValueID { unit.append(Instruction(.vectorFromInteger, .v128, a: a)) }

    /// The low lane of a vector as i32 or i64.
    public func vectorToInteger(_ a: ValueID, _ type: ValueType) -> ValueID {
        unit.append(Instruction(.vectorToInteger, type, a: a))
    }

    // MARK: memory

    /// Loads from base + displacement, extended to `type` as the format says.
    @inlinable @inline(__always)
    public func load(_ base: ValueID, _ displacement: Int64 = 0, _ format: MemoryFormat, _ type: ValueType) -> ValueID {
        unit.append(Instruction(.load, type, aux: format.rawValue, a: base, imm: displacement))
    }

    /// Stores the low bytes of `value` to base + displacement.
    @inlinable @inline(__always)
    public func store(_ base: ValueID, _ displacement: Int64 = 0, _ value: ValueID, _ format: MemoryFormat) {
        unit.append(Instruction(.store, type(of: value), aux: format.rawValue, a: base, b: value, imm: displacement))
    }

    /// Loads and remembers address and value for a store-conditional.
    public func loadReserved(_ address: ValueID, _ format: MemoryFormat) -> ValueID {
        unit.append(Instruction(.loadReserved, .i64, aux: format.rawValue, a: address))
    }

    /// Stores if the reservation still holds: 0 where it did, 1 where not.
    public func storeConditional(_ address: ValueID, _ value: ValueID, _ format: MemoryFormat) -> ValueID {
        unit.append(Instruction(.storeConditional, .i64, aux: format.rawValue, a: address, b: value))
    }

    /// Reads, modifies and writes memory in one indivisible step; the value is what was there before.
    public func atomic(_ operation: AtomicOperation, _ address: ValueID, _ operand: ValueID,
                       _ format: MemoryFormat) -> ValueID {
        unit.append(Instruction(.atomic, .i64, aux: format.rawValue, a: address, b: operand,
                                imm: Int64(operation.rawValue)))
    }

    /// Replaces memory by `desired` if it holds `expected`, in one indivisible step; the value is what was there before.
    public func compareExchange(_ address: ValueID, expected: ValueID, desired: ValueID, _ format: MemoryFormat,
                                _ type: ValueType) -> ValueID {
        unit.append(Instruction(.compareExchange, type, aux: format.rawValue, a: address, b: expected, c: desired))
    }

    /// Orders memory accesses around it, as strongly as `kind` says.
    public func fence(_ kind: FenceKind) { unit.append(Instruction(.fence, .void, aux: kind.rawValue)) }

    // MARK: floating point

    /// A rounded operation with one or two operands of the result's type.
    public func float(_ opcode: Opcode, _ a: ValueID, _ b: ValueID = .none, rounding: Rounding = .dynamic) -> ValueID {
        unit.append(Instruction(opcode, type(of: a), aux: rounding.rawValue, a: a, b: b))
    }

    /// ±(a × b) ± c, rounded once.
    public func multiplyAdd(_ a: ValueID, _ b: ValueID, _ c: ValueID, negateProduct: Bool, negateAddend: Bool,
                            rounding: Rounding) -> ValueID {
        unit.append(Instruction(.floatMultiplyAdd, type(of: a), aux: rounding.rawValue, a: a, b: b, c: c,
                                imm: (negateProduct ? 1 : 0) | (negateAddend ? 2 : 0)))
    }

    /// 1 where the floating-point condition holds, otherwise 0; raises the flags that the condition says.
    public func floatCompare(_ condition: FloatCondition, _ a: ValueID, _ b: ValueID) -> ValueID {
        unit.append(Instruction(.floatCompare, .i1, aux: condition.rawValue, a: a, b: b))
    }

    /// A conversion between classes or formats.
    public func convert(_ opcode: Opcode, _ a: ValueID, to type: ValueType, rounding: Rounding = .dynamic) -> ValueID {
        unit.append(Instruction(opcode, type, aux: rounding.rawValue, a: a))
    }

    /// The single-precision value in a boxed register, or the canonical NaN where the box is broken.
    public func nanUnbox(_ a: ValueID) -> ValueID {
        let source = unit.instructions[Int(a)]
        if source.opcode == .nanBox { return source.a }
        return unit.append(Instruction(.nanUnbox, .f32, a: a))
    }

    /// The guest's sticky exception flags.
    public func readFloatFlags() -> ValueID { unit.append(Instruction(.readFloatFlags, .i64)) }

    /// Replaces the guest's sticky exception flags.
    public func writeFloatFlags(_ flags: ValueID) { unit.append(Instruction(.writeFloatFlags, .void, a: flags)) }

    // MARK: control

    /// Marks the start of the guest instruction at `pc`.
    @inlinable @inline(__always)
    public func instruction(_ pc: UInt64) {
        unit.append(Instruction(.instruction, .void, imm: Int64(bitPattern: pc)))
        unit.guestInstructionCount &+= 1
    }

    /// Leaves for guest address `target` when the condition holds.
    @inlinable
    public func exitIf(_ condition: Condition, _ a: ValueID, _ b: ValueID, target: UInt64) {
        unit.append(Instruction(.exitIf, type(of: a), aux: condition.rawValue, a: a, b: b,
                                imm: Int64(bitPattern: target)))
    }

    /// Ends the unit with a jump. For `.call`, `returnAddress` is where the callee will return to.
    public func jump(_ target: UInt64, kind: JumpKind = .jump, returnAddress: UInt64 = 0) {
        let link = kind == .call ? constant(Int64(bitPattern: returnAddress)) : .none
        unit.append(Instruction(.jump, .void, aux: kind.rawValue, c: link, imm: Int64(bitPattern: target)))
    }

    /// Ends the unit with a jump to a computed address.
    public func jumpIndirect(_ target: ValueID, kind: JumpKind, returnAddress: UInt64 = 0) {
        let link = kind == .call ? constant(Int64(bitPattern: returnAddress)) : .none
        unit.append(Instruction(.jumpIndirect, .void, aux: kind.rawValue, a: target, c: link))
    }

    /// Ends the unit with exit code `code`, reporting guest address `pc`.
    public func raise(_ code: UInt8, pc: UInt64) {
        unit.append(Instruction(.raise, .void, aux: code, imm: Int64(bitPattern: pc)))
    }

    /// Calls a helper of the front's table. Register contents are unknown afterwards.
    public func call(_ helper: Int, _ a: ValueID = .none, _ b: ValueID = .none, _ c: ValueID = .none) -> ValueID {
        let result = unit.append(Instruction(.call, .i64, a: a, b: b, c: c, imm: Int64(helper)))
        forgetGlobals()
        return result
    }

    static func mask(_ type: ValueType) -> Int64 { type.bits >= 64 ? -1 : (1 << Int64(type.bits)) - 1 }

    /// Constants are stored sign-extended from their width, except i1.
    @inlinable @inline(__always)
    static func canonical(_ value: Int64, _ type: ValueType) -> Int64 {
        switch type {
        case .i1: value & 1
        case .i8: Int64(Int8(truncatingIfNeeded: value))
        case .i16: Int64(Int16(truncatingIfNeeded: value))
        case .i32, .f32: Int64(Int32(truncatingIfNeeded: value))
        default: value
        }
    }
}
