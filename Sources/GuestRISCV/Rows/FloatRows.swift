// Rows of the F and D extensions.
//
// Spec: Volume I, "F" and "D" extensions; instruction listings. `fs1`, `fd`, … are the manual's rs1, rd where they name
// floating point registers.

extension RISCVRows {
    static let floatingPoint: StaticString = """
    @ F Load and store instructions
    flw imm[11:0] rs1 010 fd 0000111 ; fd,imm(rs1) ; load float
    fsw imm[11:5] fs2 rs1 010 imm[4:0] 0100111 ; fs2,imm(rs1) ; store float
    @ F Computational instructions
    fmadd.s fs3 00 fs2 fs1 rm fd 1000011 ; fd,fs1,fs2,fs3,rm ; float
    fmsub.s fs3 00 fs2 fs1 rm fd 1000111 ; fd,fs1,fs2,fs3,rm ; float
    fnmsub.s fs3 00 fs2 fs1 rm fd 1001011 ; fd,fs1,fs2,fs3,rm ; float
    fnmadd.s fs3 00 fs2 fs1 rm fd 1001111 ; fd,fs1,fs2,fs3,rm ; float
    fadd.s 0000000 fs2 fs1 rm fd 1010011 ; fd,fs1,fs2,rm ; float
    fsub.s 0000100 fs2 fs1 rm fd 1010011 ; fd,fs1,fs2,rm ; float
    fmul.s 0001000 fs2 fs1 rm fd 1010011 ; fd,fs1,fs2,rm ; float
    fdiv.s 0001100 fs2 fs1 rm fd 1010011 ; fd,fs1,fs2,rm ; float
    fsqrt.s 0101100 00000 fs1 rm fd 1010011 ; fd,fs1,rm ; float
    fmin.s 0010100 fs2 fs1 000 fd 1010011 ; fd,fs1,fs2 ; float
    fmax.s 0010100 fs2 fs1 001 fd 1010011 ; fd,fs1,fs2 ; float
    @ F Conversion and move instructions
    fsgnj.s 0010000 fs2 fs1 000 fd 1010011 ; fd,fs1,fs2 ; float
    fsgnjn.s 0010000 fs2 fs1 001 fd 1010011 ; fd,fs1,fs2 ; float
    fsgnjx.s 0010000 fs2 fs1 010 fd 1010011 ; fd,fs1,fs2 ; float
    fcvt.w.s 1100000 00000 fs1 rm rd 1010011 ; rd,fs1,rm ; float
    fcvt.wu.s 1100000 00001 fs1 rm rd 1010011 ; rd,fs1,rm ; float
    fcvt.l.s 1100000 00010 fs1 rm rd 1010011 ; rd,fs1,rm ; float
    fcvt.lu.s 1100000 00011 fs1 rm rd 1010011 ; rd,fs1,rm ; float
    fcvt.s.w 1101000 00000 rs1 rm fd 1010011 ; fd,rs1,rm ; float
    fcvt.s.wu 1101000 00001 rs1 rm fd 1010011 ; fd,rs1,rm ; float
    fcvt.s.l 1101000 00010 rs1 rm fd 1010011 ; fd,rs1,rm ; float
    fcvt.s.lu 1101000 00011 rs1 rm fd 1010011 ; fd,rs1,rm ; float
    fmv.x.w 1110000 00000 fs1 000 rd 1010011 ; rd,fs1 ; float
    fmv.w.x 1111000 00000 rs1 000 fd 1010011 ; fd,rs1 ; float
    @ F Compare and classify instructions
    feq.s 1010000 fs2 fs1 010 rd 1010011 ; rd,fs1,fs2 ; float
    flt.s 1010000 fs2 fs1 001 rd 1010011 ; rd,fs1,fs2 ; float
    fle.s 1010000 fs2 fs1 000 rd 1010011 ; rd,fs1,fs2 ; float
    fclass.s 1110000 00000 fs1 001 rd 1010011 ; rd,fs1 ; float
    @ D Load and store instructions
    fld imm[11:0] rs1 011 fd 0000111 ; fd,imm(rs1) ; load float
    fsd imm[11:5] fs2 rs1 011 imm[4:0] 0100111 ; fs2,imm(rs1) ; store float
    @ D Computational instructions
    fmadd.d fs3 01 fs2 fs1 rm fd 1000011 ; fd,fs1,fs2,fs3,rm ; float
    fmsub.d fs3 01 fs2 fs1 rm fd 1000111 ; fd,fs1,fs2,fs3,rm ; float
    fnmsub.d fs3 01 fs2 fs1 rm fd 1001011 ; fd,fs1,fs2,fs3,rm ; float
    fnmadd.d fs3 01 fs2 fs1 rm fd 1001111 ; fd,fs1,fs2,fs3,rm ; float
    fadd.d 0000001 fs2 fs1 rm fd 1010011 ; fd,fs1,fs2,rm ; float
    fsub.d 0000101 fs2 fs1 rm fd 1010011 ; fd,fs1,fs2,rm ; float
    fmul.d 0001001 fs2 fs1 rm fd 1010011 ; fd,fs1,fs2,rm ; float
    fdiv.d 0001101 fs2 fs1 rm fd 1010011 ; fd,fs1,fs2,rm ; float
    fsqrt.d 0101101 00000 fs1 rm fd 1010011 ; fd,fs1,rm ; float
    fmin.d 0010101 fs2 fs1 000 fd 1010011 ; fd,fs1,fs2 ; float
    fmax.d 0010101 fs2 fs1 001 fd 1010011 ; fd,fs1,fs2 ; float
    @ D Conversion and move instructions
    fsgnj.d 0010001 fs2 fs1 000 fd 1010011 ; fd,fs1,fs2 ; float
    fsgnjn.d 0010001 fs2 fs1 001 fd 1010011 ; fd,fs1,fs2 ; float
    fsgnjx.d 0010001 fs2 fs1 010 fd 1010011 ; fd,fs1,fs2 ; float
    fcvt.w.d 1100001 00000 fs1 rm rd 1010011 ; rd,fs1,rm ; float
    fcvt.wu.d 1100001 00001 fs1 rm rd 1010011 ; rd,fs1,rm ; float
    fcvt.l.d 1100001 00010 fs1 rm rd 1010011 ; rd,fs1,rm ; float
    fcvt.lu.d 1100001 00011 fs1 rm rd 1010011 ; rd,fs1,rm ; float
    fcvt.d.w 1101001 00000 rs1 rm fd 1010011 ; fd,rs1,rm ; float
    fcvt.d.wu 1101001 00001 rs1 rm fd 1010011 ; fd,rs1,rm ; float
    fcvt.d.l 1101001 00010 rs1 rm fd 1010011 ; fd,rs1,rm ; float
    fcvt.d.lu 1101001 00011 rs1 rm fd 1010011 ; fd,rs1,rm ; float
    fcvt.s.d 0100000 00001 fs1 rm fd 1010011 ; fd,fs1,rm ; float
    fcvt.d.s 0100001 00000 fs1 rm fd 1010011 ; fd,fs1,rm ; float
    fmv.x.d 1110001 00000 fs1 000 rd 1010011 ; rd,fs1 ; float
    fmv.d.x 1111001 00000 rs1 000 fd 1010011 ; fd,rs1 ; float
    @ D Compare and classify instructions
    feq.d 1010001 fs2 fs1 010 rd 1010011 ; rd,fs1,fs2 ; float
    flt.d 1010001 fs2 fs1 001 rd 1010011 ; rd,fs1,fs2 ; float
    fle.d 1010001 fs2 fs1 000 rd 1010011 ; rd,fs1,fs2 ; float
    fclass.d 1110001 00000 fs1 001 rd 1010011 ; rd,fs1 ; float
    """
}
