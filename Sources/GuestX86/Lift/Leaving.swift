// Leaving the unit: exceptions, helpers, jumps. Code addresses are linear; what the guest sees is their distance from the
// base of CS, modulo 2^32.

import IR
import Translator

extension Lifter {
    // MARK: exceptions

    /// Raises an exception of the current instruction, with error code 0 where it has one, and ends the unit.
    mutating func raise(_ vector: UInt8) { raise(.exception(Int(vector)), pc) }

    /// Ends the unit with an exit that reports `address`.
    mutating func raise(_ kind: ExitKind, _ address: UInt64) {
        b.raise(UInt8(truncatingIfNeeded: kind.rawValue), pc: address)
        ended = true
    }

    /// Raises an exception of the current instruction when the condition holds.
    func raiseIf(_ condition: Condition, _ left: ValueID, _ right: ValueID, _ vector: UInt8) {
        let kind = ExitKind.exception(Int(vector))
        if let a = b.constantValue(left), let c = b.constantValue(right), !Fold.holds(condition, b.type(of: left), a, c) {
            return
        }
        b.raiseIf(condition, left, right, code: UInt8(truncatingIfNeeded: kind.rawValue))
    }

    /// Raises #UD.
    mutating func undefined() { raise(ExceptionVector.invalidOpcode) }

    /// Raises #GP(0) unless the CPL is 0; true when it did.
    mutating func isForbidden() -> Bool {
        if mode.has(Mode.system), mode.privilege == 0 { return false }
        raise(ExceptionVector.generalProtection)
        return true
    }

    // MARK: helpers

    /// Calls a helper that may leave the unit; register values are unknown afterwards.
    @discardableResult
    func call(_ helper: HelperIndex, _ a: ValueID = .none, _ second: ValueID = .none, _ c: ValueID = .none) -> ValueID {
        b.call(helper.rawValue, a, second, c)
    }

    /// Ends the unit behind an instruction that may have changed what the mode word says, or where code goes on.
    mutating func lookup() { raise(.lookup, next) }

    // MARK: code addresses

    /// Base of CS.
    var codeBase: ValueID {
        if is64 { return k(0) }
        return code.map { k(address: $0.base) } ?? b.get(X86Global.segmentBase(.cs))
    }

    /// The instruction pointer that stands for a linear address, as i64.
    func instructionPointer(_ linear: UInt64) -> ValueID {
        is64 ? k(address: linear) : truncated(b.sub(k(address: linear), codeBase), 4)
    }

    /// The instruction pointer of the next instruction.
    var nextPointer: ValueID { instructionPointer(next) }

    /// The linear address of an instruction pointer (i64, truncated to the operand size), checked against the limit of CS.
    /// - Parameter isReturn: RET; of programs only the check is left out there, which made calls a tenth dearer: they fault
    ///   at the target, where nothing is mapped.
    func codeAddress(_ pointer: ValueID, isReturn: Bool = false) -> ValueID {
        if is64 {
            if i.operandSize == 8, !isReturn || mode.has(Mode.system) { checkCanonical(pointer) }
            return pointer
        }
        if let code {
            if code.limit != .max { raiseIf(.lessUnsigned, k(Int64(code.limit)), pointer, ExceptionVector.generalProtection) }
        } else {
            call(.checkCode, pointer)
        }
        return truncated(b.add(pointer, codeBase), 4)
    }

    /// Raises #GP(0) at the branch, as AMD and Intel processors do, unless the upper bits repeat the sign: rotated to the
    /// bottom and one added, none but the lowest is left.
    private func checkCanonical(_ pointer: ValueID) {
        let above: Int64 = mode.has(Mode.wideAddresses) ? 8 : 17
        let upper = b.add(b.binary(.rotateLeft, pointer, k(above)), k(1))
        raiseIf(.notEqual, b.and(upper, k((1 << above) - 2)), k(0), ExceptionVector.generalProtection)
    }

    // MARK: jumps

    /// Ends the unit in a jump to an instruction pointer (i64, truncated to the operand size).
    mutating func jump(to pointer: ValueID, kind: JumpKind = .jump) {
        let target = codeAddress(pointer)
        if let known = b.constantValue(target) {
            b.jump(UInt64(bitPattern: known), kind: kind, returnAddress: next)
        } else {
            b.jumpIndirect(target, kind: kind, returnAddress: next)
        }
        ended = true
    }

    /// Ends the unit in a jump to a linear address.
    mutating func jump(_ target: UInt64) {
        b.jump(target)
        ended = true
    }

    /// The destination of a relative branch: on AMD processors a 16-bit operand size truncates it in 64-bit code too.
    func relativeTarget() -> ValueID {
        truncated(b.add(nextPointer, k(i.immediate)), Int(i.operandSize))
    }

    /// A conditional branch on flags.
    mutating func branch(if condition: FlagCondition) {
        let pointer = relativeTarget()
        guard let target = constantTarget(pointer) else {
            return branch(b.testFlags(condition, flags), to: pointer)
        }
        b.exitIf(condition, flags, target: target)
        goOn(after: target)
    }

    /// A conditional branch on a comparison.
    mutating func branch(if condition: Condition, _ left: ValueID, _ right: ValueID) {
        let pointer = relativeTarget()
        guard let target = constantTarget(pointer) else {
            return branch(b.compare(condition, left, right), to: pointer)
        }
        b.exitIf(condition, left, right, target: target)
        goOn(after: target)
    }

    /// The linear address of a destination that is known and within the segment.
    private func constantTarget(_ pointer: ValueID) -> UInt64? {
        guard is64 || code != nil, let known = b.constantValue(pointer) else { return nil }
        if is64 {
            let unused: Int64 = mode.has(Mode.wideAddresses) ? 7 : 16
            return (known << unused) >> unused == known ? UInt64(bitPattern: known) : nil
        }
        guard let code, UInt64(bitPattern: known) <= UInt64(code.limit) else { return nil }
        return (code.base &+ UInt64(bitPattern: known)) & 0xFFFF_FFFF
    }

    /// The branch's destination is known to fault: nothing of the instruction may be done when it is taken.
    var isBeyondLimit: Bool { (is64 || code != nil) && constantTarget(relativeTarget()) == nil }

    /// A branch whose destination may be outside the segment, or is not known: the check is made only when it is taken.
    private mutating func branch(_ taken: ValueID, to pointer: ValueID) {
        b.exitIf(.equal, taken, b.constant(0, .i1), target: next)
        jump(to: pointer)
    }

    /// A unit goes on behind the first few branches that lead forward.
    private mutating func goOn(after target: UInt64) {
        sideExits += 1
        if sideExits > Self.sideExitLimit || target <= pc { jump(next) }
    }
}
