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
    /// The last write of each global in this unit; valid where `known` has a value.
    @usableFromInline let lastSet: UnsafeMutablePointer<Int>
    /// The last operation that shows registers to others, the last that certainly leaves or may leave the unit other than by
    /// a fault or a side exit, the last that may do that; -1 for none.
    @usableFromInline var lastBarrier = -1
    @usableFromInline var lastExit = -1
    @usableFromInline var lastAccess = -1
    /// Guest address of the current instruction.
    @usableFromInline var currentPC: UInt64 = 0

    public init(unit: Unit, globals: [Global]) {
        self.unit = unit
        self.globals = globals
        globalCount = globals.count
        known = .allocate(capacity: max(1, globals.count))
        known.initialize(repeating: .none, count: max(1, globals.count))
        lastSet = .allocate(capacity: max(1, globals.count))
        lastSet.initialize(repeating: -1, count: max(1, globals.count))
        globalTypes = .allocate(capacity: max(1, globals.count))
        for (index, global) in globals.enumerated() { (globalTypes + index).initialize(to: global.type) }
    }

    deinit {
        known.deallocate()
        globalTypes.deallocate()
        lastSet.deallocate()
    }

    /// Starts a new unit.
    public func begin(start: UInt64, mode: UInt32, rounding: Rounding) {
        unit.reset(start: start, mode: mode, rounding: rounding)
        unit.isCounted = true
        unit.isLooping = false
        unit.loopTarget = .max
        lastBarrier = -1
        lastExit = -1
        lastAccess = -1
        currentPC = start
        forgetKnown()
        unit.reserve()
    }

    /// Forgets what registers hold, after something outside the unit may have changed them. The builder does not know then
    /// who sees earlier writes: `DeadCode` must look for itself.
    public func forgetGlobals() {
        unit.isCounted = false
        forgetKnown()
    }

    func forgetKnown() { known.update(repeating: .none, count: globalCount) }

    // MARK: appending

    /// Appends an operation and counts the uses of its operands, for `DeadCode`.
    /// - Parameter used: the uses it starts with: 1 for what has no value and must stay.
    @inlinable @inline(__always) @discardableResult
    func append(_ operation: Instruction, used: UInt16 = 0) -> ValueID {
        let uses = unit.storedUses
        if operation.a != .none { uses[Int(operation.a)] &+= 1 }
        if operation.b != .none { uses[Int(operation.b)] &+= 1 }
        if operation.c != .none { uses[Int(operation.c)] &+= 1 }
        return unit.appendCounted(operation, uses: used)
    }

    /// Appends an operation that faults or goes on.
    @inlinable @inline(__always) @discardableResult
    func appendAccess(_ operation: Instruction, used: UInt16 = 0) -> ValueID {
        lastBarrier = unit.storedCount
        lastAccess = lastBarrier
        return append(operation, used: used)
    }

    /// Appends an operation that leaves the unit, perhaps for `target`.
    @inlinable @inline(__always) @discardableResult
    func appendExit(_ operation: Instruction, target: UInt64 = .max) -> ValueID {
        lastBarrier = unit.storedCount
        lastExit = lastBarrier
        if target <= currentPC { setLooping() }
        return append(operation, used: operation.opcode == .call ? 0 : 1)
    }

    /// Appends an operation that leaves the unit for `target` or goes on.
    @inlinable @inline(__always) @discardableResult
    func appendSideExit(_ operation: Instruction, target: UInt64) -> ValueID {
        lastBarrier = unit.storedCount
        lastAccess = lastBarrier
        if target <= currentPC { setLooping(target) }
        return append(operation, used: 1)
    }

    @inline(never) @usableFromInline
    func setLooping() { unit.isLooping = true }

    @inline(never) @usableFromInline
    func setLooping(_ target: UInt64) {
        unit.isLooping = true
        unit.loopTarget = target
    }

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
        append(Instruction(.constant, type, imm: Self.canonical(value, type)))
    }

    /// The current value of a guest register.
    @inlinable @inline(__always)
    public func get(_ global: Int) -> ValueID {
        let value = known[global]
        if value != .none { return value }
        return read(global)
    }

    @inline(never) @usableFromInline
    func read(_ global: Int) -> ValueID { get(global, globalTypes[global]) }

    /// As above, for a front that knows the register's type.
    @inlinable @inline(__always)
    public func get(_ global: Int, _ type: ValueType) -> ValueID {
        let value = known[global]
        if value != .none { return value }
        let read = append(Instruction(.get, type, imm: Int64(global)))
        known[global] = read
        lastSet[global] = -1
        return read
    }

    /// Writes a guest register.
    @inlinable @inline(__always)
    public func set(_ global: Int, _ value: ValueID) { set(global, value, globalTypes[global]) }

    /// As above, for a front that knows the register's type.
    @inlinable @inline(__always)
    public func set(_ global: Int, _ value: ValueID, _ type: ValueType) {
        let old = known[global]
        if old == value { return }
        known[global] = value
        let index = Int(append(Instruction(.set, type, a: value, imm: Int64(global))))
        let previous = old == .none ? -1 : lastSet[global]
        lastSet[global] = index
        if type == .flags { return setFlags(index, previous) }
        unit.storedUses[index] = 1
        if previous > lastBarrier { unit.storedUses[previous] = 0 }
    }

    /// Notes who can see the flags that the last write of them replaced.
    @usableFromInline
    func setFlags(_ index: Int, _ previous: Int) {
        unit.uses[index] = DeadCode.alwaysObserved
        guard previous > lastExit else { return }
        unit.uses[previous] = lastAccess > previous ? DeadCode.observer(lastAccess) : 0
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
            return simplified(opcode, a, right.pointee.imm, b) ?? append(Instruction(opcode, type, a: a, b: b))
        }
        if left.pointee.opcode == .constant {
            let isZero = left.pointee.imm == 0
            switch opcode {
            case .add, .or, .xor: return isZero ? b : append(Instruction(opcode, type, a: b, b: a))
            case .and: return isZero ? a : append(Instruction(opcode, type, a: b, b: a))
            case .multiply: return append(Instruction(opcode, type, a: b, b: a))
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
        return append(Instruction(opcode, type, a: a, b: b))
    }

    /// As `binary` with a constant on the right, which is appended only where the operation needs it.
    public func binary(_ opcode: Opcode, _ a: ValueID, constant k: Int64) -> ValueID {
        let type = type(of: a)
        let k = Self.canonical(k, type)
        if let value = simplified(opcode, a, k, .none) { return value }
        let b = append(Instruction(.constant, type, imm: k))
        return append(Instruction(opcode, type, a: a, b: b))
    }

    /// The result of an operation with constant k on the right, where it is a constant, the left operand or something
    /// simpler; b is the constant's value, if it has been appended.
    @inline(__always)
    private func simplified(_ opcode: Opcode, _ a: ValueID, _ k: Int64, _ b: ValueID) -> ValueID? {
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
            case .and: return k != 0 ? a : b != .none ? b : constant(0, left.pointee.type)
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
        return append(Instruction(.rotateLeft, high.type, a: high.a, b: high.b))
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
        return append(Instruction(opcode, source.type, a: a))
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
        return append(Instruction(.signExtend, type, a: a))
    }

    /// A wider value with the same unsigned meaning.
    public func zeroExtend(_ a: ValueID, _ type: ValueType) -> ValueID {
        let source = unit.instructions + Int(a)
        if source.pointee.type == type { return a }
        if source.pointee.opcode == .constant {
            return constant(source.pointee.imm & Self.mask(source.pointee.type), type)
        }
        return append(Instruction(.zeroExtend, type, a: a))
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
        return append(Instruction(.truncate, type, a: a))
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
        return append(Instruction(.compare, .i1, aux: condition.rawValue, a: a, b: b))
    }

    /// One of two values, chosen without a branch.
    public func select(_ condition: ValueID, _ then: ValueID, _ otherwise: ValueID) -> ValueID {
        if let known = constantValue(condition) { return known != 0 ? then : otherwise }
        if then == otherwise { return then }
        return append(Instruction(.select, type(of: then), a: condition, b: then, c: otherwise))
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
