// Rows of RV64I, M and A.
//
// Spec: Volume I, RV32I and RV64I Base Integer Instruction Sets, "M" and "A" extensions; instruction listings.

extension RISCVRows {
    static let base: StaticString = """
    @ I RV32I Integer computational instructions
    lui upper[31:12] rd 0110111 ; rd,upper
    auipc upper[31:12] rd 0010111 ; rd,upper
    addi imm[11:0] rs1 000 rd 0010011 ; rd,rs1,imm
    slti imm[11:0] rs1 010 rd 0010011 ; rd,rs1,imm
    sltiu imm[11:0] rs1 011 rd 0010011 ; rd,rs1,imm
    xori imm[11:0] rs1 100 rd 0010011 ; rd,rs1,imm
    ori imm[11:0] rs1 110 rd 0010011 ; rd,rs1,imm
    andi imm[11:0] rs1 111 rd 0010011 ; rd,rs1,imm
    add 0000000 rs2 rs1 000 rd 0110011 ; rd,rs1,rs2
    sub 0100000 rs2 rs1 000 rd 0110011 ; rd,rs1,rs2
    sll 0000000 rs2 rs1 001 rd 0110011 ; rd,rs1,rs2
    slt 0000000 rs2 rs1 010 rd 0110011 ; rd,rs1,rs2
    sltu 0000000 rs2 rs1 011 rd 0110011 ; rd,rs1,rs2
    xor 0000000 rs2 rs1 100 rd 0110011 ; rd,rs1,rs2
    srl 0000000 rs2 rs1 101 rd 0110011 ; rd,rs1,rs2
    sra 0100000 rs2 rs1 101 rd 0110011 ; rd,rs1,rs2
    or 0000000 rs2 rs1 110 rd 0110011 ; rd,rs1,rs2
    and 0000000 rs2 rs1 111 rd 0110011 ; rd,rs1,rs2
    @ I RV32I Control transfer instructions
    jal target[20,10:1,11,19:12] rd 1101111 ; rd,target ; jump
    jalr imm[11:0] rs1 000 rd 1100111 ; rd,imm(rs1) ; jump
    beq target[12,10:5] rs2 rs1 000 target[4:1,11] 1100011 ; rs1,rs2,target ; branch
    bne target[12,10:5] rs2 rs1 001 target[4:1,11] 1100011 ; rs1,rs2,target ; branch
    blt target[12,10:5] rs2 rs1 100 target[4:1,11] 1100011 ; rs1,rs2,target ; branch
    bge target[12,10:5] rs2 rs1 101 target[4:1,11] 1100011 ; rs1,rs2,target ; branch
    bltu target[12,10:5] rs2 rs1 110 target[4:1,11] 1100011 ; rs1,rs2,target ; branch
    bgeu target[12,10:5] rs2 rs1 111 target[4:1,11] 1100011 ; rs1,rs2,target ; branch
    @ I RV32I Load and store instructions
    lb imm[11:0] rs1 000 rd 0000011 ; rd,imm(rs1) ; load
    lh imm[11:0] rs1 001 rd 0000011 ; rd,imm(rs1) ; load
    lw imm[11:0] rs1 010 rd 0000011 ; rd,imm(rs1) ; load
    lbu imm[11:0] rs1 100 rd 0000011 ; rd,imm(rs1) ; load
    lhu imm[11:0] rs1 101 rd 0000011 ; rd,imm(rs1) ; load
    sb imm[11:5] rs2 rs1 000 imm[4:0] 0100011 ; rs2,imm(rs1) ; store
    sh imm[11:5] rs2 rs1 001 imm[4:0] 0100011 ; rs2,imm(rs1) ; store
    sw imm[11:5] rs2 rs1 010 imm[4:0] 0100011 ; rs2,imm(rs1) ; store
    @ I RV32I Memory ordering, environment call and breakpoints
    pause 0000 0001 0000 00000 000 00000 0001111
    fence.tso 1000 0011 0011 any 000 any[9:5] 0001111
    fence any[13:10] pred succ any 000 any[9:5] 0001111 ; pred,succ
    ecall 000000000000 00000 000 00000 1110011 ; ; system
    ebreak 000000000001 00000 000 00000 1110011 ; ; system
    @ I RV64I Integer computational instructions
    slli 000000 shamt[5:0] rs1 001 rd 0010011 ; rd,rs1,shamt
    srli 000000 shamt[5:0] rs1 101 rd 0010011 ; rd,rs1,shamt
    srai 010000 shamt[5:0] rs1 101 rd 0010011 ; rd,rs1,shamt
    addiw imm[11:0] rs1 000 rd 0011011 ; rd,rs1,imm
    slliw 0000000 shamt[4:0] rs1 001 rd 0011011 ; rd,rs1,shamt
    srliw 0000000 shamt[4:0] rs1 101 rd 0011011 ; rd,rs1,shamt
    sraiw 0100000 shamt[4:0] rs1 101 rd 0011011 ; rd,rs1,shamt
    addw 0000000 rs2 rs1 000 rd 0111011 ; rd,rs1,rs2
    subw 0100000 rs2 rs1 000 rd 0111011 ; rd,rs1,rs2
    sllw 0000000 rs2 rs1 001 rd 0111011 ; rd,rs1,rs2
    srlw 0000000 rs2 rs1 101 rd 0111011 ; rd,rs1,rs2
    sraw 0100000 rs2 rs1 101 rd 0111011 ; rd,rs1,rs2
    @ I RV64I Load and store instructions
    lwu imm[11:0] rs1 110 rd 0000011 ; rd,imm(rs1) ; load
    ld imm[11:0] rs1 011 rd 0000011 ; rd,imm(rs1) ; load
    sd imm[11:5] rs2 rs1 011 imm[4:0] 0100011 ; rs2,imm(rs1) ; store
    @ Zifencei Instruction-fetch fence
    fence.i any[21:10] any[9:5] 001 any[4:0] 0001111 ; ; system
    @ Zicsr Control and status register instructions
    csrrw csr rs1 001 rd 1110011 ; rd,csr,rs1 ; csr
    csrrs csr rs1 010 rd 1110011 ; rd,csr,rs1 ; csr
    csrrc csr rs1 011 rd 1110011 ; rd,csr,rs1 ; csr
    csrrwi csr uimm[4:0] 101 rd 1110011 ; rd,csr,uimm ; csr
    csrrsi csr uimm[4:0] 110 rd 1110011 ; rd,csr,uimm ; csr
    csrrci csr uimm[4:0] 111 rd 1110011 ; rd,csr,uimm ; csr
    """

    static let multiplyAndAtomic: StaticString = """
    @ M Multiplication operations
    mul 0000001 rs2 rs1 000 rd 0110011 ; rd,rs1,rs2
    mulh 0000001 rs2 rs1 001 rd 0110011 ; rd,rs1,rs2
    mulhsu 0000001 rs2 rs1 010 rd 0110011 ; rd,rs1,rs2
    mulhu 0000001 rs2 rs1 011 rd 0110011 ; rd,rs1,rs2
    mulw 0000001 rs2 rs1 000 rd 0111011 ; rd,rs1,rs2
    @ M Division operations
    div 0000001 rs2 rs1 100 rd 0110011 ; rd,rs1,rs2
    divu 0000001 rs2 rs1 101 rd 0110011 ; rd,rs1,rs2
    rem 0000001 rs2 rs1 110 rd 0110011 ; rd,rs1,rs2
    remu 0000001 rs2 rs1 111 rd 0110011 ; rd,rs1,rs2
    divw 0000001 rs2 rs1 100 rd 0111011 ; rd,rs1,rs2
    divuw 0000001 rs2 rs1 101 rd 0111011 ; rd,rs1,rs2
    remw 0000001 rs2 rs1 110 rd 0111011 ; rd,rs1,rs2
    remuw 0000001 rs2 rs1 111 rd 0111011 ; rd,rs1,rs2
    @ A Zalrsc load-reserved and store-conditional instructions
    lr.w 00010 order 00000 rs1 010 rd 0101111 ; rd,(rs1) ; atomic
    sc.w 00011 order rs2 rs1 010 rd 0101111 ; rd,rs2,(rs1) ; atomic
    lr.d 00010 order 00000 rs1 011 rd 0101111 ; rd,(rs1) ; atomic
    sc.d 00011 order rs2 rs1 011 rd 0101111 ; rd,rs2,(rs1) ; atomic
    @ A Zaamo atomic memory operations
    amoswap.w 00001 order rs2 rs1 010 rd 0101111 ; rd,rs2,(rs1) ; atomic
    amoadd.w 00000 order rs2 rs1 010 rd 0101111 ; rd,rs2,(rs1) ; atomic
    amoxor.w 00100 order rs2 rs1 010 rd 0101111 ; rd,rs2,(rs1) ; atomic
    amoand.w 01100 order rs2 rs1 010 rd 0101111 ; rd,rs2,(rs1) ; atomic
    amoor.w 01000 order rs2 rs1 010 rd 0101111 ; rd,rs2,(rs1) ; atomic
    amomin.w 10000 order rs2 rs1 010 rd 0101111 ; rd,rs2,(rs1) ; atomic
    amomax.w 10100 order rs2 rs1 010 rd 0101111 ; rd,rs2,(rs1) ; atomic
    amominu.w 11000 order rs2 rs1 010 rd 0101111 ; rd,rs2,(rs1) ; atomic
    amomaxu.w 11100 order rs2 rs1 010 rd 0101111 ; rd,rs2,(rs1) ; atomic
    amoswap.d 00001 order rs2 rs1 011 rd 0101111 ; rd,rs2,(rs1) ; atomic
    amoadd.d 00000 order rs2 rs1 011 rd 0101111 ; rd,rs2,(rs1) ; atomic
    amoxor.d 00100 order rs2 rs1 011 rd 0101111 ; rd,rs2,(rs1) ; atomic
    amoand.d 01100 order rs2 rs1 011 rd 0101111 ; rd,rs2,(rs1) ; atomic
    amoor.d 01000 order rs2 rs1 011 rd 0101111 ; rd,rs2,(rs1) ; atomic
    amomin.d 10000 order rs2 rs1 011 rd 0101111 ; rd,rs2,(rs1) ; atomic
    amomax.d 10100 order rs2 rs1 011 rd 0101111 ; rd,rs2,(rs1) ; atomic
    amominu.d 11000 order rs2 rs1 011 rd 0101111 ; rd,rs2,(rs1) ; atomic
    amomaxu.d 11100 order rs2 rs1 011 rd 0101111 ; rd,rs2,(rs1) ; atomic
    """
}
