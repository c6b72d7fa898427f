// What the functions that lift one instruction work with: the builder, the registers, the place in the code.

import IR
import Translator

/// Meaning of one instruction: emits its IR.
typealias LiftFunction = (inout Lifter, Word) -> Void

/// The state of one lift.
struct Lifter {
    let b: Builder
    let mode: Mode
    /// Address of the current instruction.
    var pc: UInt64
    /// Address of the one after it.
    var next: UInt64
    /// Set when the unit has its terminator.
    var ended = false
    /// Conditional branches lifted so far; a unit goes on behind the first few that lead forward.
    var sideExits = 0
    static let sideExitLimit = 3

    // MARK: registers

    /// Number of the first floating point global; integer globals are x1 … x31 from 0 on.
    static let floatBase = 31

    @inline(__always)
    func x(_ register: Int) -> ValueID { register == 0 ? b.constant(0) : b.get(register &- 1, .i64) }

    @inline(__always)
    func setX(_ register: Int, _ value: ValueID) {
        if register != 0 { b.set(register &- 1, value, .i64) }
    }

    /// Low half of an integer register.
    @inline(__always)
    func w(_ register: Int) -> ValueID { b.truncate(x(register), .i32) }

    /// Writes a 32-bit result, sign-extended as all of RV64's are.
    @inline(__always)
    func setW(_ register: Int, _ value: ValueID) { setX(register, b.signExtend(value, .i64)) }

    /// A floating point register as double precision.
    @inline(__always)
    func d(_ register: Int) -> ValueID { b.get(Self.floatBase &+ register, .f64) }

    @inline(__always)
    func setD(_ register: Int, _ value: ValueID) { b.set(Self.floatBase &+ register, value, .f64) }

    /// A floating point register as single precision: the canonical NaN unless it is NaN-boxed.
    @inline(__always)
    func s(_ register: Int) -> ValueID { b.nanUnbox(d(register)) }

    @inline(__always)
    func setS(_ register: Int, _ value: ValueID) { setD(register, b.convert(.nanBox, value, to: .f64)) }

    @inline(__always)
    func k(_ value: Int64) -> ValueID { b.constant(value) }

    // MARK: control

    /// Ends the unit in a jump.
    mutating func jump(_ target: UInt64, kind: JumpKind = .jump, returnAddress: UInt64 = 0) {
        b.jump(target, kind: kind, returnAddress: returnAddress)
        ended = true
    }

    mutating func jumpIndirect(_ target: ValueID, kind: JumpKind) {
        b.jumpIndirect(target, kind: kind, returnAddress: next)
        ended = true
    }

    /// Ends the unit with an exit that reports `address`.
    mutating func raise(_ kind: ExitKind, _ address: UInt64) {
        b.raise(UInt8(truncatingIfNeeded: kind.rawValue), pc: address)
        ended = true
    }

    /// Raises an illegal-instruction exception for the current instruction.
    mutating func illegal() { raise(.illegalInstruction, pc) }

    /// Calls a helper that may leave the unit; register values are unknown afterwards.
    func call(_ helper: HelperIndex, _ a: ValueID = .none, _ second: ValueID = .none, _ c: ValueID = .none) {
        _ = b.call(helper.rawValue, a, second, c)
    }
}
