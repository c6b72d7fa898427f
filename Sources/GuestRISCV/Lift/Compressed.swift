// The C extension: each instruction by the shape of the base instruction it abbreviates.
//
// Spec: Volume I, "C" Extension for Compressed Instructions.

import IR
import Translator

enum Compressed {
    static func join(_ row: LiftTable) {
        row("c.addi4spn", c_addi4spn)
        row("c.fld", c_fld)
        row("c.lw", c_lw)
        row("c.ld", c_ld)
        row("c.fsd", c_fsd)
        row("c.sw", c_sw)
        row("c.sd", c_sd)
        row("c.nop", c_nop)
        row("c.addi", c_addi)
        row("c.addiw", c_addiw)
        row("c.li", c_li)
        row("c.addi16sp", c_addi16sp)
        row("c.lui", c_lui)
        row("c.srli", c_srli)
        row("c.srai", c_srai)
        row("c.andi", c_andi)
        row("c.sub", c_sub)
        row("c.xor", c_xor)
        row("c.or", c_or)
        row("c.and", c_and)
        row("c.subw", c_subw)
        row("c.addw", c_addw)
        row("c.j", c_j)
        row("c.beqz", c_beqz)
        row("c.bnez", c_bnez)
        row("c.slli", c_slli)
        row("c.fldsp", c_fldsp)
        row("c.lwsp", c_lwsp)
        row("c.ldsp", c_ldsp)
        row("c.jr", c_jr)
        row("c.mv", c_mv)
        row("c.ebreak", c_ebreak)
        row("c.jalr", c_jalr)
        row("c.add", c_add)
        row("c.fsdsp", c_fsdsp)
        row("c.swsp", c_swsp)
        row("c.sdsp", c_sdsp)
    }

    private static let sp = 2, ra = 1

    // MARK: quadrant 0
    static func c_addi4spn(_ l: inout Lifter, _ i: Word) { l.immediate(.add, i.low, sp, i.immCIW) }
    static func c_fld(_ l: inout Lifter, _ i: Word) { l.loadD(i.low, i.high, i.immCLD) }
    static func c_lw(_ l: inout Lifter, _ i: Word) { l.load(i.low, i.high, i.immCLW, Memory.s32) }
    static func c_ld(_ l: inout Lifter, _ i: Word) { l.load(i.low, i.high, i.immCLD, Memory.u64) }
    static func c_fsd(_ l: inout Lifter, _ i: Word) { l.storeD(i.low, i.high, i.immCLD) }
    static func c_sw(_ l: inout Lifter, _ i: Word) { l.store(i.low, i.high, i.immCLW, Memory.u32) }
    static func c_sd(_ l: inout Lifter, _ i: Word) { l.store(i.low, i.high, i.immCLD, Memory.u64) }

    // MARK: quadrant 1
    static func c_nop(_: inout Lifter, _: Word) {}
    static func c_addi(_ l: inout Lifter, _ i: Word) { l.immediate(.add, i.rd, i.rd, i.immCI) }
    static func c_addiw(_ l: inout Lifter, _ i: Word) { l.immediateW(.add, i.rd, i.rd, i.immCI) }
    static func c_li(_ l: inout Lifter, _ i: Word) { l.setX(i.rd, l.k(i.immCI)) }
    static func c_addi16sp(_ l: inout Lifter, _ i: Word) { l.immediate(.add, sp, sp, i.immCADDI16SP) }
    static func c_lui(_ l: inout Lifter, _ i: Word) { l.setX(i.rd, l.k(i.immCI << 12)) }
    static func c_srli(_ l: inout Lifter, _ i: Word) { l.immediate(.shiftRightUnsigned, i.high, i.high, i.cShift) }
    static func c_srai(_ l: inout Lifter, _ i: Word) { l.immediate(.shiftRightSigned, i.high, i.high, i.cShift) }
    static func c_andi(_ l: inout Lifter, _ i: Word) { l.immediate(.and, i.high, i.high, i.immCI) }
    static func c_sub(_ l: inout Lifter, _ i: Word) { l.registers(.sub, i.high, i.high, i.low) }
    static func c_xor(_ l: inout Lifter, _ i: Word) { l.registers(.xor, i.high, i.high, i.low) }
    static func c_or(_ l: inout Lifter, _ i: Word) { l.registers(.or, i.high, i.high, i.low) }
    static func c_and(_ l: inout Lifter, _ i: Word) { l.registers(.and, i.high, i.high, i.low) }
    static func c_subw(_ l: inout Lifter, _ i: Word) { l.registersW(.sub, i.high, i.high, i.low) }
    static func c_addw(_ l: inout Lifter, _ i: Word) { l.registersW(.add, i.high, i.high, i.low) }
    static func c_j(_ l: inout Lifter, _ i: Word) { l.jump(l.pc &+ UInt64(bitPattern: i.immCJ)) }
    static func c_beqz(_ l: inout Lifter, _ i: Word) { l.branch(.equal, i.high, 0, i.immCB) }
    static func c_bnez(_ l: inout Lifter, _ i: Word) { l.branch(.notEqual, i.high, 0, i.immCB) }

    // MARK: quadrant 2
    static func c_slli(_ l: inout Lifter, _ i: Word) { l.immediate(.shiftLeft, i.rd, i.rd, i.cShift) }
    static func c_fldsp(_ l: inout Lifter, _ i: Word) { l.loadD(i.rd, sp, i.immCLDSP) }
    static func c_lwsp(_ l: inout Lifter, _ i: Word) { l.load(i.rd, sp, i.immCLWSP, Memory.s32) }
    static func c_ldsp(_ l: inout Lifter, _ i: Word) { l.load(i.rd, sp, i.immCLDSP, Memory.u64) }
    static func c_jr(_ l: inout Lifter, _ i: Word) { l.jumpRegister(0, i.rd, 0) }
    static func c_mv(_ l: inout Lifter, _ i: Word) { l.setX(i.rd, l.x(i.crs2)) }
    static func c_ebreak(_ l: inout Lifter, _: Word) { l.raise(.breakpoint, l.pc) }
    static func c_jalr(_ l: inout Lifter, _ i: Word) { l.jumpRegister(ra, i.rd, 0) }
    static func c_add(_ l: inout Lifter, _ i: Word) { l.registers(.add, i.rd, i.rd, i.crs2) }
    static func c_fsdsp(_ l: inout Lifter, _ i: Word) { l.storeD(i.crs2, sp, i.immCSDSP) }
    static func c_swsp(_ l: inout Lifter, _ i: Word) { l.store(i.crs2, sp, i.immCSWSP, Memory.u32) }
    static func c_sdsp(_ l: inout Lifter, _ i: Word) { l.store(i.crs2, sp, i.immCSDSP, Memory.u64) }
}
