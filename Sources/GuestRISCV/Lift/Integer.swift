// RV64I computational instructions.
//
// Spec: Volume I, RV32I and RV64I, Integer computational instructions.

import IR

enum Integer {
    static func join(_ row: LiftTable) {
        row("lui", lui)
        row("auipc", auipc)
        row("addi", addi)
        row("slti", slti)
        row("sltiu", sltiu)
        row("xori", xori)
        row("ori", ori)
        row("andi", andi)
        row("add", add)
        row("sub", sub)
        row("sll", sll)
        row("slt", slt)
        row("sltu", sltu)
        row("xor", xor)
        row("srl", srl)
        row("sra", sra)
        row("or", or)
        row("and", and)
        row("slli", slli)
        row("srli", srli)
        row("srai", srai)
        row("addiw", addiw)
        row("slliw", slliw)
        row("srliw", srliw)
        row("sraiw", sraiw)
        row("addw", addw)
        row("subw", subw)
        row("sllw", sllw)
        row("srlw", srlw)
        row("sraw", sraw)
    }

    static func lui(_ l: inout Lifter, _ i: Word) { l.setX(i.rd, l.k(i.immU)) }
    static func auipc(_ l: inout Lifter, _ i: Word) { l.setX(i.rd, l.k(Int64(bitPattern: l.pc) &+ i.immU)) }

    static func addi(_ l: inout Lifter, _ i: Word) { l.immediate(.add, i.rd, i.rs1, i.immI) }
    static func slti(_ l: inout Lifter, _ i: Word) { l.setIf(.lessSigned, i.rd, l.x(i.rs1), l.k(i.immI)) }
    static func sltiu(_ l: inout Lifter, _ i: Word) { l.setIf(.lessUnsigned, i.rd, l.x(i.rs1), l.k(i.immI)) }
    static func xori(_ l: inout Lifter, _ i: Word) {
        if i.immI == -1 { return l.setX(i.rd, l.b.unary(.not, l.x(i.rs1))) }
        l.immediate(.xor, i.rd, i.rs1, i.immI)
    }
    static func ori(_ l: inout Lifter, _ i: Word) { l.immediate(.or, i.rd, i.rs1, i.immI) }
    static func andi(_ l: inout Lifter, _ i: Word) { l.immediate(.and, i.rd, i.rs1, i.immI) }

    static func add(_ l: inout Lifter, _ i: Word) { l.registers(.add, i.rd, i.rs1, i.rs2) }
    static func sub(_ l: inout Lifter, _ i: Word) {
        if i.rs1 == 0 { return l.setX(i.rd, l.b.unary(.negate, l.x(i.rs2))) }
        l.registers(.sub, i.rd, i.rs1, i.rs2)
    }
    static func sll(_ l: inout Lifter, _ i: Word) { l.registers(.shiftLeft, i.rd, i.rs1, i.rs2) }
    static func slt(_ l: inout Lifter, _ i: Word) { l.setIf(.lessSigned, i.rd, l.x(i.rs1), l.x(i.rs2)) }
    static func sltu(_ l: inout Lifter, _ i: Word) { l.setIf(.lessUnsigned, i.rd, l.x(i.rs1), l.x(i.rs2)) }
    static func xor(_ l: inout Lifter, _ i: Word) { l.registers(.xor, i.rd, i.rs1, i.rs2) }
    static func srl(_ l: inout Lifter, _ i: Word) { l.registers(.shiftRightUnsigned, i.rd, i.rs1, i.rs2) }
    static func sra(_ l: inout Lifter, _ i: Word) { l.registers(.shiftRightSigned, i.rd, i.rs1, i.rs2) }
    static func or(_ l: inout Lifter, _ i: Word) { l.registers(.or, i.rd, i.rs1, i.rs2) }
    static func and(_ l: inout Lifter, _ i: Word) { l.registers(.and, i.rd, i.rs1, i.rs2) }

    static func slli(_ l: inout Lifter, _ i: Word) { l.immediate(.shiftLeft, i.rd, i.rs1, i.shamt6) }
    static func srli(_ l: inout Lifter, _ i: Word) { l.immediate(.shiftRightUnsigned, i.rd, i.rs1, i.shamt6) }
    static func srai(_ l: inout Lifter, _ i: Word) { l.immediate(.shiftRightSigned, i.rd, i.rs1, i.shamt6) }

    static func addiw(_ l: inout Lifter, _ i: Word) { l.immediateW(.add, i.rd, i.rs1, i.immI) }
    static func slliw(_ l: inout Lifter, _ i: Word) { l.immediateW(.shiftLeft, i.rd, i.rs1, i.shamt5) }
    static func srliw(_ l: inout Lifter, _ i: Word) { l.immediateW(.shiftRightUnsigned, i.rd, i.rs1, i.shamt5) }
    static func sraiw(_ l: inout Lifter, _ i: Word) { l.immediateW(.shiftRightSigned, i.rd, i.rs1, i.shamt5) }

    static func addw(_ l: inout Lifter, _ i: Word) { l.registersW(.add, i.rd, i.rs1, i.rs2) }
    static func subw(_ l: inout Lifter, _ i: Word) {
        if i.rs1 == 0 { return l.setW(i.rd, l.b.unary(.negate, l.w(i.rs2))) }
        l.registersW(.sub, i.rd, i.rs1, i.rs2)
    }
    static func sllw(_ l: inout Lifter, _ i: Word) { l.registersW(.shiftLeft, i.rd, i.rs1, i.rs2) }
    static func srlw(_ l: inout Lifter, _ i: Word) { l.registersW(.shiftRightUnsigned, i.rd, i.rs1, i.rs2) }
    static func sraw(_ l: inout Lifter, _ i: Word) { l.registersW(.shiftRightSigned, i.rd, i.rs1, i.rs2) }
}

/// The common shapes of computational instructions. A destination of x0 makes each a hint, which does nothing.
extension Lifter {
    /// rd = rs1 op immediate
    @inline(__always)
    func immediate(_ opcode: Opcode, _ rd: Int, _ rs1: Int, _ value: Int64) {
        if rd != 0 { setX(rd, b.binary(opcode, x(rs1), constant: value)) }
    }

    /// rd = rs1 op rs2
    @inline(__always)
    func registers(_ opcode: Opcode, _ rd: Int, _ rs1: Int, _ rs2: Int) {
        if rd != 0 { setX(rd, b.binary(opcode, x(rs1), x(rs2))) }
    }

    /// As `immediate` on the low 32 bits.
    @inline(__always)
    func immediateW(_ opcode: Opcode, _ rd: Int, _ rs1: Int, _ value: Int64) {
        if rd != 0 { setW(rd, b.binary(opcode, w(rs1), constant: value)) }
    }

    /// As `registers` on the low 32 bits.
    @inline(__always)
    func registersW(_ opcode: Opcode, _ rd: Int, _ rs1: Int, _ rs2: Int) {
        if rd != 0 { setW(rd, b.binary(opcode, w(rs1), w(rs2))) }
    }

    /// rd = condition ? 1 : 0
    @inline(__always)
    func setIf(_ condition: Condition, _ rd: Int, _ left: ValueID, _ right: ValueID) {
        if rd != 0 { setX(rd, b.zeroExtend(b.compare(condition, left, right), .i64)) }
    }
}
