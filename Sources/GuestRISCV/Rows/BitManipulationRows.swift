// Rows of Zba, Zbb, Zbs and Zicond.
//
// Spec: Volume I, "B" Extension for Bit Manipulation; "Zicond" Extension for Integer Conditional Operations.
// Absent: Zbc, the Zbk* cryptography extensions.

extension RISCVRows {
    static let bitManipulation: StaticString = """
    @ Zba Address generation instructions
    add.uw 0000100 rs2 rs1 000 rd 0111011 ; rd,rs1,rs2
    sh1add 0010000 rs2 rs1 010 rd 0110011 ; rd,rs1,rs2
    sh2add 0010000 rs2 rs1 100 rd 0110011 ; rd,rs1,rs2
    sh3add 0010000 rs2 rs1 110 rd 0110011 ; rd,rs1,rs2
    sh1add.uw 0010000 rs2 rs1 010 rd 0111011 ; rd,rs1,rs2
    sh2add.uw 0010000 rs2 rs1 100 rd 0111011 ; rd,rs1,rs2
    sh3add.uw 0010000 rs2 rs1 110 rd 0111011 ; rd,rs1,rs2
    slli.uw 000010 shamt[5:0] rs1 001 rd 0011011 ; rd,rs1,shamt
    @ Zbb Basic bit-manipulation
    andn 0100000 rs2 rs1 111 rd 0110011 ; rd,rs1,rs2
    orn 0100000 rs2 rs1 110 rd 0110011 ; rd,rs1,rs2
    xnor 0100000 rs2 rs1 100 rd 0110011 ; rd,rs1,rs2
    clz 0110000 00000 rs1 001 rd 0010011 ; rd,rs1
    ctz 0110000 00001 rs1 001 rd 0010011 ; rd,rs1
    cpop 0110000 00010 rs1 001 rd 0010011 ; rd,rs1
    clzw 0110000 00000 rs1 001 rd 0011011 ; rd,rs1
    ctzw 0110000 00001 rs1 001 rd 0011011 ; rd,rs1
    cpopw 0110000 00010 rs1 001 rd 0011011 ; rd,rs1
    max 0000101 rs2 rs1 110 rd 0110011 ; rd,rs1,rs2
    maxu 0000101 rs2 rs1 111 rd 0110011 ; rd,rs1,rs2
    min 0000101 rs2 rs1 100 rd 0110011 ; rd,rs1,rs2
    minu 0000101 rs2 rs1 101 rd 0110011 ; rd,rs1,rs2
    sext.b 0110000 00100 rs1 001 rd 0010011 ; rd,rs1
    sext.h 0110000 00101 rs1 001 rd 0010011 ; rd,rs1
    zext.h 0000100 00000 rs1 100 rd 0111011 ; rd,rs1
    rol 0110000 rs2 rs1 001 rd 0110011 ; rd,rs1,rs2
    ror 0110000 rs2 rs1 101 rd 0110011 ; rd,rs1,rs2
    rori 011000 shamt[5:0] rs1 101 rd 0010011 ; rd,rs1,shamt
    rolw 0110000 rs2 rs1 001 rd 0111011 ; rd,rs1,rs2
    rorw 0110000 rs2 rs1 101 rd 0111011 ; rd,rs1,rs2
    roriw 0110000 shamt[4:0] rs1 101 rd 0011011 ; rd,rs1,shamt
    orc.b 001010000111 rs1 101 rd 0010011 ; rd,rs1
    rev8 011010111000 rs1 101 rd 0010011 ; rd,rs1
    @ Zbs Single-bit instructions
    bclr 0100100 rs2 rs1 001 rd 0110011 ; rd,rs1,rs2
    bclri 010010 shamt[5:0] rs1 001 rd 0010011 ; rd,rs1,shamt
    bext 0100100 rs2 rs1 101 rd 0110011 ; rd,rs1,rs2
    bexti 010010 shamt[5:0] rs1 101 rd 0010011 ; rd,rs1,shamt
    binv 0110100 rs2 rs1 001 rd 0110011 ; rd,rs1,rs2
    binvi 011010 shamt[5:0] rs1 001 rd 0010011 ; rd,rs1,shamt
    bset 0010100 rs2 rs1 001 rd 0110011 ; rd,rs1,rs2
    bseti 001010 shamt[5:0] rs1 001 rd 0010011 ; rd,rs1,shamt
    @ Zicond Integer conditional operations
    czero.eqz 0000111 rs2 rs1 101 rd 0110011 ; rd,rs1,rs2
    czero.nez 0000111 rs2 rs1 111 rd 0110011 ; rd,rs1,rs2
    """
}
