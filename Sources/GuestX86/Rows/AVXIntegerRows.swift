// Rows of AVX on integer vectors.
//
// Spec: Intel SDM Volume 2, tables and chapters 3 to 5; AMD APM Volume 3, tables.

extension X86Rows {
    static let avxInteger: StaticString = """
    @ avx Integer vectors, 128 bits
    vpunpcklbw 66 VEX.0F 60 L0 ; Vx,Hx,Wx
    vpunpcklwd 66 VEX.0F 61 L0 ; Vx,Hx,Wx
    vpunpckldq 66 VEX.0F 62 L0 ; Vx,Hx,Wx
    vpacksswb 66 VEX.0F 63 L0 ; Vx,Hx,Wx
    vpcmpgtb 66 VEX.0F 64 L0 ; Vx,Hx,Wx
    vpcmpgtw 66 VEX.0F 65 L0 ; Vx,Hx,Wx
    vpcmpgtd 66 VEX.0F 66 L0 ; Vx,Hx,Wx
    vpackuswb 66 VEX.0F 67 L0 ; Vx,Hx,Wx
    vpunpckhbw 66 VEX.0F 68 L0 ; Vx,Hx,Wx
    vpunpckhwd 66 VEX.0F 69 L0 ; Vx,Hx,Wx
    vpunpckhdq 66 VEX.0F 6A L0 ; Vx,Hx,Wx
    vpackssdw 66 VEX.0F 6B L0 ; Vx,Hx,Wx
    vpcmpeqb 66 VEX.0F 74 L0 ; Vx,Hx,Wx
    vpcmpeqw 66 VEX.0F 75 L0 ; Vx,Hx,Wx
    vpcmpeqd 66 VEX.0F 76 L0 ; Vx,Hx,Wx
    vpsrlw 66 VEX.0F D1 L0 ; Vx,Hx,Wdq
    vpsrld 66 VEX.0F D2 L0 ; Vx,Hx,Wdq
    vpsrlq 66 VEX.0F D3 L0 ; Vx,Hx,Wdq
    vpmullw 66 VEX.0F D5 L0 ; Vx,Hx,Wx
    vpsubusb 66 VEX.0F D8 L0 ; Vx,Hx,Wx
    vpsubusw 66 VEX.0F D9 L0 ; Vx,Hx,Wx
    vpand 66 VEX.0F DB L0 ; Vx,Hx,Wx
    vpaddusb 66 VEX.0F DC L0 ; Vx,Hx,Wx
    vpaddusw 66 VEX.0F DD L0 ; Vx,Hx,Wx
    vpandn 66 VEX.0F DF L0 ; Vx,Hx,Wx
    vpsraw 66 VEX.0F E1 L0 ; Vx,Hx,Wdq
    vpsrad 66 VEX.0F E2 L0 ; Vx,Hx,Wdq
    vpmulhw 66 VEX.0F E5 L0 ; Vx,Hx,Wx
    vpsubsb 66 VEX.0F E8 L0 ; Vx,Hx,Wx
    vpsubsw 66 VEX.0F E9 L0 ; Vx,Hx,Wx
    vpor 66 VEX.0F EB L0 ; Vx,Hx,Wx
    vpaddsb 66 VEX.0F EC L0 ; Vx,Hx,Wx
    vpaddsw 66 VEX.0F ED L0 ; Vx,Hx,Wx
    vpxor 66 VEX.0F EF L0 ; Vx,Hx,Wx
    vpsllw 66 VEX.0F F1 L0 ; Vx,Hx,Wdq
    vpslld 66 VEX.0F F2 L0 ; Vx,Hx,Wdq
    vpsllq 66 VEX.0F F3 L0 ; Vx,Hx,Wdq
    vpmaddwd 66 VEX.0F F5 L0 ; Vx,Hx,Wx
    vpsubb 66 VEX.0F F8 L0 ; Vx,Hx,Wx
    vpsubw 66 VEX.0F F9 L0 ; Vx,Hx,Wx
    vpsubd 66 VEX.0F FA L0 ; Vx,Hx,Wx
    vpaddb 66 VEX.0F FC L0 ; Vx,Hx,Wx
    vpaddw 66 VEX.0F FD L0 ; Vx,Hx,Wx
    vpaddd 66 VEX.0F FE L0 ; Vx,Hx,Wx
    vpminub 66 VEX.0F DA L0 ; Vx,Hx,Wx
    vpmaxub 66 VEX.0F DE L0 ; Vx,Hx,Wx
    vpavgb 66 VEX.0F E0 L0 ; Vx,Hx,Wx
    vpavgw 66 VEX.0F E3 L0 ; Vx,Hx,Wx
    vpmulhuw 66 VEX.0F E4 L0 ; Vx,Hx,Wx
    vpminsw 66 VEX.0F EA L0 ; Vx,Hx,Wx
    vpmaxsw 66 VEX.0F EE L0 ; Vx,Hx,Wx
    vpsadbw 66 VEX.0F F6 L0 ; Vx,Hx,Wx
    vpaddq 66 VEX.0F D4 L0 ; Vx,Hx,Wx
    vpmuludq 66 VEX.0F F4 L0 ; Vx,Hx,Wx
    vpsubq 66 VEX.0F FB L0 ; Vx,Hx,Wx
    vpunpcklqdq 66 VEX.0F 6C L0 ; Vx,Hx,Wx
    vpunpckhqdq 66 VEX.0F 6D L0 ; Vx,Hx,Wx
    vpsrlw 66 VEX.0F 71 /2 L0 ; Hx,Ux,Ib
    vpsraw 66 VEX.0F 71 /4 L0 ; Hx,Ux,Ib
    vpsllw 66 VEX.0F 71 /6 L0 ; Hx,Ux,Ib
    vpsrld 66 VEX.0F 72 /2 L0 ; Hx,Ux,Ib
    vpsrad 66 VEX.0F 72 /4 L0 ; Hx,Ux,Ib
    vpslld 66 VEX.0F 72 /6 L0 ; Hx,Ux,Ib
    vpsrlq 66 VEX.0F 73 /2 L0 ; Hx,Ux,Ib
    vpsllq 66 VEX.0F 73 /6 L0 ; Hx,Ux,Ib
    vpsrldq 66 VEX.0F 73 /3 L0 ; Hx,Ux,Ib
    vpslldq 66 VEX.0F 73 /7 L0 ; Hx,Ux,Ib
    vpshufd 66 VEX.0F 70 L0 ; Vx,Wx,Ib
    vpshufhw F3 VEX.0F 70 L0 ; Vx,Wx,Ib
    vpshuflw F2 VEX.0F 70 L0 ; Vx,Wx,Ib
    vpmovmskb 66 VEX.0F D7 L0 ; Gd,Ux
    vpshufb 66 VEX.0F38 00 L0 ; Vx,Hx,Wx
    vphaddw 66 VEX.0F38 01 L0 ; Vx,Hx,Wx
    vphaddd 66 VEX.0F38 02 L0 ; Vx,Hx,Wx
    vphaddsw 66 VEX.0F38 03 L0 ; Vx,Hx,Wx
    vpmaddubsw 66 VEX.0F38 04 L0 ; Vx,Hx,Wx
    vphsubw 66 VEX.0F38 05 L0 ; Vx,Hx,Wx
    vphsubd 66 VEX.0F38 06 L0 ; Vx,Hx,Wx
    vphsubsw 66 VEX.0F38 07 L0 ; Vx,Hx,Wx
    vpsignb 66 VEX.0F38 08 L0 ; Vx,Hx,Wx
    vpsignw 66 VEX.0F38 09 L0 ; Vx,Hx,Wx
    vpsignd 66 VEX.0F38 0A L0 ; Vx,Hx,Wx
    vpmulhrsw 66 VEX.0F38 0B L0 ; Vx,Hx,Wx
    vpabsb 66 VEX.0F38 1C L0 ; Vx,Wx
    vpabsw 66 VEX.0F38 1D L0 ; Vx,Wx
    vpabsd 66 VEX.0F38 1E L0 ; Vx,Wx
    vpalignr 66 VEX.0F3A 0F L0 ; Vx,Hx,Wx,Ib
    vpmovsxbw 66 VEX.0F38 20 L0 ; Vx,Wh
    vpmovsxbd 66 VEX.0F38 21 L0 ; Vx,Wf
    vpmovsxbq 66 VEX.0F38 22 L0 ; Vx,We
    vpmovsxwd 66 VEX.0F38 23 L0 ; Vx,Wh
    vpmovsxwq 66 VEX.0F38 24 L0 ; Vx,Wf
    vpmovsxdq 66 VEX.0F38 25 L0 ; Vx,Wh
    vpmovzxbw 66 VEX.0F38 30 L0 ; Vx,Wh
    vpmovzxbd 66 VEX.0F38 31 L0 ; Vx,Wf
    vpmovzxbq 66 VEX.0F38 32 L0 ; Vx,We
    vpmovzxwd 66 VEX.0F38 33 L0 ; Vx,Wh
    vpmovzxwq 66 VEX.0F38 34 L0 ; Vx,Wf
    vpmovzxdq 66 VEX.0F38 35 L0 ; Vx,Wh
    vpmuldq 66 VEX.0F38 28 L0 ; Vx,Hx,Wx
    vpcmpeqq 66 VEX.0F38 29 L0 ; Vx,Hx,Wx
    vpackusdw 66 VEX.0F38 2B L0 ; Vx,Hx,Wx
    vpminsb 66 VEX.0F38 38 L0 ; Vx,Hx,Wx
    vpminsd 66 VEX.0F38 39 L0 ; Vx,Hx,Wx
    vpminuw 66 VEX.0F38 3A L0 ; Vx,Hx,Wx
    vpminud 66 VEX.0F38 3B L0 ; Vx,Hx,Wx
    vpmaxsb 66 VEX.0F38 3C L0 ; Vx,Hx,Wx
    vpmaxsd 66 VEX.0F38 3D L0 ; Vx,Hx,Wx
    vpmaxuw 66 VEX.0F38 3E L0 ; Vx,Hx,Wx
    vpmaxud 66 VEX.0F38 3F L0 ; Vx,Hx,Wx
    vpmulld 66 VEX.0F38 40 L0 ; Vx,Hx,Wx
    vpcmpgtq 66 VEX.0F38 37 L0 ; Vx,Hx,Wx
    vmovntdqa 66 VEX.0F38 2A L0 ; Vx,Mx ; aligned
    vpblendw 66 VEX.0F3A 0E L0 ; Vx,Hx,Wx,Ib
    vmpsadbw 66 VEX.0F3A 42 L0 ; Vx,Hx,Wx,Ib
    vpblendvb 66 VEX.0F3A 4C W0 L0 ; Vx,Hx,Wx,Lx
    vmovd 66 VEX.0F 6E L0 ; Vdq,Ey
    vmovd 66 VEX.0F 7E L0 ; Ey,Vdq
    vmovq F3 VEX.0F 7E L0 ; Vdq,Wq
    vmovq 66 VEX.0F D6 L0 ; Wq,Vdq
    vpinsrw 66 VEX.0F C4 L0 ; Vdq,Hdq,Edw,Ib
    vpextrw 66 VEX.0F C5 L0 ; Gd,Udq,Ib
    vmaskmovdqu 66 VEX.0F F7 L0 ; Vdq,Udq
    vphminposuw 66 VEX.0F38 41 L0 ; Vdq,Wdq
    vpextrb 66 VEX.0F3A 14 L0 ; Edb,Vdq,Ib
    vpextrw 66 VEX.0F3A 15 L0 ; Edw,Vdq,Ib
    vpextrd 66 VEX.0F3A 16 W0 L0 ; Ey,Vdq,Ib
    vpextrd 66 VEX.0F3A 16 o64 W1 L0 ; Ey,Vdq,Ib
    vpinsrb 66 VEX.0F3A 20 L0 ; Vdq,Hdq,Edb,Ib
    vpinsrd 66 VEX.0F3A 22 W0 L0 ; Vdq,Hdq,Ey,Ib
    vpinsrd 66 VEX.0F3A 22 o64 W1 L0 ; Vdq,Hdq,Ey,Ib
    vpcmpestrm 66 VEX.0F3A 60 L0 ; Vdq,Wdq,Ib
    vpcmpestri 66 VEX.0F3A 61 L0 ; Vdq,Wdq,Ib
    vpcmpistrm 66 VEX.0F3A 62 L0 ; Vdq,Wdq,Ib
    vpcmpistri 66 VEX.0F3A 63 L0 ; Vdq,Wdq,Ib
    @ avx Integer vectors of both widths
    vmovdqa 66 VEX.0F 6F ; Vx,Wx ; aligned
    vmovdqa 66 VEX.0F 7F ; Wx,Vx ; aligned
    vmovdqu F3 VEX.0F 6F ; Vx,Wx
    vmovdqu F3 VEX.0F 7F ; Wx,Vx
    vmovntdq 66 VEX.0F E7 ; Mx,Vx ; aligned
    vlddqu F2 VEX.0F F0 ; Vx,Mx
    vptest 66 VEX.0F38 17 ; Vx,Wx
    @ aes AES
    vaesimc 66 VEX.0F38 DB L0 ; Vdq,Wdq
    vaesenc 66 VEX.0F38 DC L0 ; Vdq,Hdq,Wdq
    vaesenclast 66 VEX.0F38 DD L0 ; Vdq,Hdq,Wdq
    vaesdec 66 VEX.0F38 DE L0 ; Vdq,Hdq,Wdq
    vaesdeclast 66 VEX.0F38 DF L0 ; Vdq,Hdq,Wdq
    vaeskeygenassist 66 VEX.0F3A DF L0 ; Vdq,Wdq,Ib
    @ pclmulqdq Carry-less multiplication
    vpclmulqdq 66 VEX.0F3A 44 L0 ; Vdq,Hdq,Wdq,Ib
    """
}
