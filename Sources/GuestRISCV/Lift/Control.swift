// Jumps, branches and the two environment instructions.
//
// Spec: Volume I, RV32I Control transfer instructions (with the return-address stack hints), Environment call and
// breakpoints. With the C extension every even address is a valid target, so no jump can be misaligned.

import IR
import Translator

enum Control {
    static func join(_ row: LiftTable) {
        row("jal", jal)
        row("jalr", jalr)
        row("beq", beq)
        row("bne", bne)
        row("blt", blt)
        row("bge", bge)
        row("bltu", bltu)
        row("bgeu", bgeu)
        row("ecall", ecall)
        row("ebreak", ebreak)
    }

    static func jal(_ l: inout Lifter, _ i: Word) {
        l.setX(i.rd, l.k(Int64(bitPattern: l.next)))
        l.jump(l.pc &+ UInt64(bitPattern: i.immJ), kind: Lifter.isLink(i.rd) ? .call : .jump, returnAddress: l.next)
    }

    static func jalr(_ l: inout Lifter, _ i: Word) { l.jumpRegister(i.rd, i.rs1, i.immI) }

    static func beq(_ l: inout Lifter, _ i: Word) { l.branch(.equal, i.rs1, i.rs2, i.immB) }
    static func bne(_ l: inout Lifter, _ i: Word) { l.branch(.notEqual, i.rs1, i.rs2, i.immB) }
    static func blt(_ l: inout Lifter, _ i: Word) { l.branch(.lessSigned, i.rs1, i.rs2, i.immB) }
    static func bge(_ l: inout Lifter, _ i: Word) { l.branch(.greaterOrEqualSigned, i.rs1, i.rs2, i.immB) }
    static func bltu(_ l: inout Lifter, _ i: Word) { l.branch(.lessUnsigned, i.rs1, i.rs2, i.immB) }
    static func bgeu(_ l: inout Lifter, _ i: Word) { l.branch(.greaterOrEqualUnsigned, i.rs1, i.rs2, i.immB) }

    static func ecall(_ l: inout Lifter, _: Word) { l.raise(.systemCall, l.pc) }
    static func ebreak(_ l: inout Lifter, _: Word) { l.raise(.breakpoint, l.pc) }
}

extension Lifter {
    /// True for the registers the hint table takes for link registers: ra and t0.
    @inline(__always)
    static func isLink(_ register: Int) -> Bool { register == 1 || register == 5 }

    /// jalr. A pop followed by a push (both link registers, different) counts as a call.
    mutating func jumpRegister(_ rd: Int, _ rs1: Int, _ displacement: Int64) {
        var target = b.binary(.add, x(rs1), constant: displacement)
        target = b.binary(.and, target, constant: -2)
        setX(rd, k(Int64(bitPattern: next)))
        let kind: JumpKind = Self.isLink(rd) ? .call : Self.isLink(rs1) ? .return : .jump
        if let known = b.constantValue(target) {
            jump(UInt64(bitPattern: known), kind: kind, returnAddress: next)
        } else {
            jumpIndirect(target, kind: kind)
        }
    }

    /// Leaves for pc + displacement when the condition holds, else continues at the next instruction.
    mutating func branch(_ condition: Condition, _ rs1: Int, _ rs2: Int, _ displacement: Int64) {
        let target = pc &+ UInt64(bitPattern: displacement)
        let left = x(rs1), right = x(rs2)
        var decided: Bool?
        if rs1 == rs2 {
            decided = condition == .equal || condition == .greaterOrEqualSigned || condition == .greaterOrEqualUnsigned
        } else if let a = b.constantValue(left), let c = b.constantValue(right) {
            decided = Fold.holds(condition, .i64, a, c)
        }
        if let decided { return jump(decided ? target : next) }
        b.exitIf(condition, left, right, target: target)
        sideExits += 1
        if sideExits > Self.sideExitLimit || target <= pc { jump(next) }
    }
}
