// Rows of the C extension for RV64 with D (Zca + Zcd).
//
// Spec: Volume I, "C" Extension for Compressed Instructions, instruction listings. Reserved code points have rows named
// `-`; hints are ordinary rows, since a write to x0 or of an unchanged value does nothing.
// Absent: Zcb, Zcmp, Zcmt, Zcmop.

extension RISCVRows {
    static let compressed: StaticString = """
    @ C Compressed instructions, quadrant 0
    - 000 00000000 rd' 00
    c.addi4spn 000 uimm[5:4,9:6,2,3] rd' 00 ; rd',sp,uimm
    c.fld 001 uimm[5:3] rs1' uimm[7:6] fd' 00 ; fd',uimm(rs1') ; load
    c.lw 010 uimm[5:3] rs1' uimm[2,6] rd' 00 ; rd',uimm(rs1') ; load
    c.ld 011 uimm[5:3] rs1' uimm[7:6] rd' 00 ; rd',uimm(rs1') ; load
    c.fsd 101 uimm[5:3] rs1' uimm[7:6] fs2' 00 ; fs2',uimm(rs1') ; store
    c.sw 110 uimm[5:3] rs1' uimm[2,6] rs2' 00 ; rs2',uimm(rs1') ; store
    c.sd 111 uimm[5:3] rs1' uimm[7:6] rs2' 00 ; rs2',uimm(rs1') ; store
    @ C Compressed instructions, quadrant 1
    c.nop 000 0 00000 00000 01
    c.addi 000 imm[5] rd imm[4:0] 01 ; rd,imm
    - 001 imm[5] 00000 imm[4:0] 01
    c.addiw 001 imm[5] rd imm[4:0] 01 ; rd,imm
    c.li 010 imm[5] rd imm[4:0] 01 ; rd,imm
    - 011 0 rd 00000 01
    c.addi16sp 011 imm[9] 00010 imm[4,6,8:7,5] 01 ; sp,imm
    c.lui 011 upper6[17] rd upper6[16:12] 01 ; rd,upper6
    c.srli 100 shamt[5] 00 rd' shamt[4:0] 01 ; rd',shamt
    c.srai 100 shamt[5] 01 rd' shamt[4:0] 01 ; rd',shamt
    c.andi 100 imm[5] 10 rd' imm[4:0] 01 ; rd',imm
    c.sub 100 0 11 rd' 00 rs2' 01 ; rd',rs2'
    c.xor 100 0 11 rd' 01 rs2' 01 ; rd',rs2'
    c.or 100 0 11 rd' 10 rs2' 01 ; rd',rs2'
    c.and 100 0 11 rd' 11 rs2' 01 ; rd',rs2'
    c.subw 100 1 11 rd' 00 rs2' 01 ; rd',rs2'
    c.addw 100 1 11 rd' 01 rs2' 01 ; rd',rs2'
    c.j 101 target[11,4,9:8,10,6,7,3:1,5] 01 ; target ; jump
    c.beqz 110 target[8,4:3] rs1' target[7:6,2:1,5] 01 ; rs1',target ; branch
    c.bnez 111 target[8,4:3] rs1' target[7:6,2:1,5] 01 ; rs1',target ; branch
    @ C Compressed instructions, quadrant 2
    c.slli 000 shamt[5] rd shamt[4:0] 10 ; rd,shamt
    c.fldsp 001 uimm[5] fd uimm[4:3,8:6] 10 ; fd,uimm(sp) ; load
    - 010 uimm[5] 00000 uimm[4:2,7:6] 10
    c.lwsp 010 uimm[5] rd uimm[4:2,7:6] 10 ; rd,uimm(sp) ; load
    - 011 uimm[5] 00000 uimm[4:3,8:6] 10
    c.ldsp 011 uimm[5] rd uimm[4:3,8:6] 10 ; rd,uimm(sp) ; load
    - 1000 00000 00000 10
    c.jr 1000 rs1 00000 10 ; rs1 ; jump
    c.mv 1000 rd rs2 10 ; rd,rs2
    c.ebreak 1001 00000 00000 10 ; ; system
    c.jalr 1001 rs1 00000 10 ; rs1 ; jump
    c.add 1001 rd rs2 10 ; rd,rs2
    c.fsdsp 101 uimm[5:3,8:6] fs2 10 ; fs2,uimm(sp) ; store
    c.swsp 110 uimm[5:2,7:6] rs2 10 ; rs2,uimm(sp) ; store
    c.sdsp 111 uimm[5:3,8:6] rs2 10 ; rs2,uimm(sp) ; store
    """
}
