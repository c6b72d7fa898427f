// The M extension. The IR's division is RISC-V's: no traps, all ones for x/0.
//
// Spec: Volume I, "M" Extension for Integer Multiplication and Division.

import IR

enum MultiplyDivide {
    static func join(_ row: LiftTable) {
        row("mul", mul)
        row("mulh", mulh)
        row("mulhsu", mulhsu)
        row("mulhu", mulhu)
        row("mulw", mulw)
        row("div", div)
        row("divu", divu)
        row("rem", rem)
        row("remu", remu)
        row("divw", divw)
        row("divuw", divuw)
        row("remw", remw)
        row("remuw", remuw)
    }

    static func mul(_ l: inout Lifter, _ i: Word) { l.registers(.multiply, i.rd, i.rs1, i.rs2) }
    static func mulh(_ l: inout Lifter, _ i: Word) { l.registers(.multiplyHighSigned, i.rd, i.rs1, i.rs2) }
    static func mulhsu(_ l: inout Lifter, _ i: Word) { l.registers(.multiplyHighSignedUnsigned, i.rd, i.rs1, i.rs2) }
    static func mulhu(_ l: inout Lifter, _ i: Word) { l.registers(.multiplyHighUnsigned, i.rd, i.rs1, i.rs2) }
    static func mulw(_ l: inout Lifter, _ i: Word) { l.registersW(.multiply, i.rd, i.rs1, i.rs2) }
    static func div(_ l: inout Lifter, _ i: Word) { l.registers(.divideSigned, i.rd, i.rs1, i.rs2) }
    static func divu(_ l: inout Lifter, _ i: Word) { l.registers(.divideUnsigned, i.rd, i.rs1, i.rs2) }
    static func rem(_ l: inout Lifter, _ i: Word) { l.registers(.remainderSigned, i.rd, i.rs1, i.rs2) }
    static func remu(_ l: inout Lifter, _ i: Word) { l.registers(.remainderUnsigned, i.rd, i.rs1, i.rs2) }
    static func divw(_ l: inout Lifter, _ i: Word) { l.registersW(.divideSigned, i.rd, i.rs1, i.rs2) }
    static func divuw(_ l: inout Lifter, _ i: Word) { l.registersW(.divideUnsigned, i.rd, i.rs1, i.rs2) }
    static func remw(_ l: inout Lifter, _ i: Word) { l.registersW(.remainderSigned, i.rd, i.rs1, i.rs2) }
    static func remuw(_ l: inout Lifter, _ i: Word) { l.registersW(.remainderUnsigned, i.rd, i.rs1, i.rs2) }
}
