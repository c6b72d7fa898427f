// Rows of AVX2 on integer vectors.
//
// Spec: Intel SDM Volume 2, tables and chapters 3 to 5; AMD APM Volume 3, tables.

extension X86Rows {
    static let avx2Integer: StaticString = """
    @ avx2 Integer vectors, 256 bits
    vpunpcklbw 66 VEX.0F 60 L1 ; Vx,Hx,Wx
    vpunpcklwd 66 VEX.0F 61 L1 ; Vx,Hx,Wx
    vpunpckldq 66 VEX.0F 62 L1 ; Vx,Hx,Wx
    vpacksswb 66 VEX.0F 63 L1 ; Vx,Hx,Wx
    vpcmpgtb 66 VEX.0F 64 L1 ; Vx,Hx,Wx
    vpcmpgtw 66 VEX.0F 65 L1 ; Vx,Hx,Wx
    vpcmpgtd 66 VEX.0F 66 L1 ; Vx,Hx,Wx
    vpackuswb 66 VEX.0F 67 L1 ; Vx,Hx,Wx
    vpunpckhbw 66 VEX.0F 68 L1 ; Vx,Hx,Wx
    vpunpckhwd 66 VEX.0F 69 L1 ; Vx,Hx,Wx
    vpunpckhdq 66 VEX.0F 6A L1 ; Vx,Hx,Wx
    vpackssdw 66 VEX.0F 6B L1 ; Vx,Hx,Wx
    vpcmpeqb 66 VEX.0F 74 L1 ; Vx,Hx,Wx
    vpcmpeqw 66 VEX.0F 75 L1 ; Vx,Hx,Wx
    vpcmpeqd 66 VEX.0F 76 L1 ; Vx,Hx,Wx
    vpsrlw 66 VEX.0F D1 L1 ; Vx,Hx,Wdq
    vpsrld 66 VEX.0F D2 L1 ; Vx,Hx,Wdq
    vpsrlq 66 VEX.0F D3 L1 ; Vx,Hx,Wdq
    vpmullw 66 VEX.0F D5 L1 ; Vx,Hx,Wx
    vpsubusb 66 VEX.0F D8 L1 ; Vx,Hx,Wx
    vpsubusw 66 VEX.0F D9 L1 ; Vx,Hx,Wx
    vpand 66 VEX.0F DB L1 ; Vx,Hx,Wx
    vpaddusb 66 VEX.0F DC L1 ; Vx,Hx,Wx
    vpaddusw 66 VEX.0F DD L1 ; Vx,Hx,Wx
    vpandn 66 VEX.0F DF L1 ; Vx,Hx,Wx
    vpsraw 66 VEX.0F E1 L1 ; Vx,Hx,Wdq
    vpsrad 66 VEX.0F E2 L1 ; Vx,Hx,Wdq
    vpmulhw 66 VEX.0F E5 L1 ; Vx,Hx,Wx
    vpsubsb 66 VEX.0F E8 L1 ; Vx,Hx,Wx
    vpsubsw 66 VEX.0F E9 L1 ; Vx,Hx,Wx
    vpor 66 VEX.0F EB L1 ; Vx,Hx,Wx
    vpaddsb 66 VEX.0F EC L1 ; Vx,Hx,Wx
    vpaddsw 66 VEX.0F ED L1 ; Vx,Hx,Wx
    vpxor 66 VEX.0F EF L1 ; Vx,Hx,Wx
    vpsllw 66 VEX.0F F1 L1 ; Vx,Hx,Wdq
    vpslld 66 VEX.0F F2 L1 ; Vx,Hx,Wdq
    vpsllq 66 VEX.0F F3 L1 ; Vx,Hx,Wdq
    vpmaddwd 66 VEX.0F F5 L1 ; Vx,Hx,Wx
    vpsubb 66 VEX.0F F8 L1 ; Vx,Hx,Wx
    vpsubw 66 VEX.0F F9 L1 ; Vx,Hx,Wx
    vpsubd 66 VEX.0F FA L1 ; Vx,Hx,Wx
    vpaddb 66 VEX.0F FC L1 ; Vx,Hx,Wx
    vpaddw 66 VEX.0F FD L1 ; Vx,Hx,Wx
    vpaddd 66 VEX.0F FE L1 ; Vx,Hx,Wx
    vpminub 66 VEX.0F DA L1 ; Vx,Hx,Wx
    vpmaxub 66 VEX.0F DE L1 ; Vx,Hx,Wx
    vpavgb 66 VEX.0F E0 L1 ; Vx,Hx,Wx
    vpavgw 66 VEX.0F E3 L1 ; Vx,Hx,Wx
    vpmulhuw 66 VEX.0F E4 L1 ; Vx,Hx,Wx
    vpminsw 66 VEX.0F EA L1 ; Vx,Hx,Wx
    vpmaxsw 66 VEX.0F EE L1 ; Vx,Hx,Wx
    vpsadbw 66 VEX.0F F6 L1 ; Vx,Hx,Wx
    vpaddq 66 VEX.0F D4 L1 ; Vx,Hx,Wx
    vpmuludq 66 VEX.0F F4 L1 ; Vx,Hx,Wx
    vpsubq 66 VEX.0F FB L1 ; Vx,Hx,Wx
    vpunpcklqdq 66 VEX.0F 6C L1 ; Vx,Hx,Wx
    vpunpckhqdq 66 VEX.0F 6D L1 ; Vx,Hx,Wx
    vpsrlw 66 VEX.0F 71 /2 L1 ; Hx,Ux,Ib
    vpsraw 66 VEX.0F 71 /4 L1 ; Hx,Ux,Ib
    vpsllw 66 VEX.0F 71 /6 L1 ; Hx,Ux,Ib
    vpsrld 66 VEX.0F 72 /2 L1 ; Hx,Ux,Ib
    vpsrad 66 VEX.0F 72 /4 L1 ; Hx,Ux,Ib
    vpslld 66 VEX.0F 72 /6 L1 ; Hx,Ux,Ib
    vpsrlq 66 VEX.0F 73 /2 L1 ; Hx,Ux,Ib
    vpsllq 66 VEX.0F 73 /6 L1 ; Hx,Ux,Ib
    vpsrldq 66 VEX.0F 73 /3 L1 ; Hx,Ux,Ib
    vpslldq 66 VEX.0F 73 /7 L1 ; Hx,Ux,Ib
    vpshufd 66 VEX.0F 70 L1 ; Vx,Wx,Ib
    vpshufhw F3 VEX.0F 70 L1 ; Vx,Wx,Ib
    vpshuflw F2 VEX.0F 70 L1 ; Vx,Wx,Ib
    vpmovmskb 66 VEX.0F D7 L1 ; Gd,Ux
    vpshufb 66 VEX.0F38 00 L1 ; Vx,Hx,Wx
    vphaddw 66 VEX.0F38 01 L1 ; Vx,Hx,Wx
    vphaddd 66 VEX.0F38 02 L1 ; Vx,Hx,Wx
    vphaddsw 66 VEX.0F38 03 L1 ; Vx,Hx,Wx
    vpmaddubsw 66 VEX.0F38 04 L1 ; Vx,Hx,Wx
    vphsubw 66 VEX.0F38 05 L1 ; Vx,Hx,Wx
    vphsubd 66 VEX.0F38 06 L1 ; Vx,Hx,Wx
    vphsubsw 66 VEX.0F38 07 L1 ; Vx,Hx,Wx
    vpsignb 66 VEX.0F38 08 L1 ; Vx,Hx,Wx
    vpsignw 66 VEX.0F38 09 L1 ; Vx,Hx,Wx
    vpsignd 66 VEX.0F38 0A L1 ; Vx,Hx,Wx
    vpmulhrsw 66 VEX.0F38 0B L1 ; Vx,Hx,Wx
    vpabsb 66 VEX.0F38 1C L1 ; Vx,Wx
    vpabsw 66 VEX.0F38 1D L1 ; Vx,Wx
    vpabsd 66 VEX.0F38 1E L1 ; Vx,Wx
    vpalignr 66 VEX.0F3A 0F L1 ; Vx,Hx,Wx,Ib
    vpmovsxbw 66 VEX.0F38 20 L1 ; Vx,Wh
    vpmovsxbd 66 VEX.0F38 21 L1 ; Vx,Wf
    vpmovsxbq 66 VEX.0F38 22 L1 ; Vx,We
    vpmovsxwd 66 VEX.0F38 23 L1 ; Vx,Wh
    vpmovsxwq 66 VEX.0F38 24 L1 ; Vx,Wf
    vpmovsxdq 66 VEX.0F38 25 L1 ; Vx,Wh
    vpmovzxbw 66 VEX.0F38 30 L1 ; Vx,Wh
    vpmovzxbd 66 VEX.0F38 31 L1 ; Vx,Wf
    vpmovzxbq 66 VEX.0F38 32 L1 ; Vx,We
    vpmovzxwd 66 VEX.0F38 33 L1 ; Vx,Wh
    vpmovzxwq 66 VEX.0F38 34 L1 ; Vx,Wf
    vpmovzxdq 66 VEX.0F38 35 L1 ; Vx,Wh
    vpmuldq 66 VEX.0F38 28 L1 ; Vx,Hx,Wx
    vpcmpeqq 66 VEX.0F38 29 L1 ; Vx,Hx,Wx
    vpackusdw 66 VEX.0F38 2B L1 ; Vx,Hx,Wx
    vpminsb 66 VEX.0F38 38 L1 ; Vx,Hx,Wx
    vpminsd 66 VEX.0F38 39 L1 ; Vx,Hx,Wx
    vpminuw 66 VEX.0F38 3A L1 ; Vx,Hx,Wx
    vpminud 66 VEX.0F38 3B L1 ; Vx,Hx,Wx
    vpmaxsb 66 VEX.0F38 3C L1 ; Vx,Hx,Wx
    vpmaxsd 66 VEX.0F38 3D L1 ; Vx,Hx,Wx
    vpmaxuw 66 VEX.0F38 3E L1 ; Vx,Hx,Wx
    vpmaxud 66 VEX.0F38 3F L1 ; Vx,Hx,Wx
    vpmulld 66 VEX.0F38 40 L1 ; Vx,Hx,Wx
    vpcmpgtq 66 VEX.0F38 37 L1 ; Vx,Hx,Wx
    vmovntdqa 66 VEX.0F38 2A L1 ; Vx,Mx ; aligned
    vpblendw 66 VEX.0F3A 0E L1 ; Vx,Hx,Wx,Ib
    vmpsadbw 66 VEX.0F3A 42 L1 ; Vx,Hx,Wx,Ib
    vpblendvb 66 VEX.0F3A 4C W0 L1 ; Vx,Hx,Wx,Lx
    @ avx2 Instructions that AVX does not have
    vpermd 66 VEX.0F38 36 W0 L1 ; Vqq,Hqq,Wqq
    vpsrlvd 66 VEX.0F38 45 W0 ; Vx,Hx,Wx
    vpsrlvq 66 VEX.0F38 45 W1 ; Vx,Hx,Wx
    vpsravd 66 VEX.0F38 46 W0 ; Vx,Hx,Wx
    vpsllvd 66 VEX.0F38 47 W0 ; Vx,Hx,Wx
    vpsllvq 66 VEX.0F38 47 W1 ; Vx,Hx,Wx
    vpbroadcastd 66 VEX.0F38 58 W0 ; Vx,Wd
    vpbroadcastq 66 VEX.0F38 59 W0 ; Vx,Wq
    vbroadcasti128 66 VEX.0F38 5A mem W0 L1 ; Vqq,Mdq
    vpbroadcastb 66 VEX.0F38 78 W0 ; Vx,Wb
    vpbroadcastw 66 VEX.0F38 79 W0 ; Vx,Ww
    vpmaskmovd 66 VEX.0F38 8C W0 ; Vx,Hx,Mx
    vpmaskmovq 66 VEX.0F38 8C W1 ; Vx,Hx,Mx
    vpmaskmovd 66 VEX.0F38 8E W0 ; Mx,Hx,Vx
    vpmaskmovq 66 VEX.0F38 8E W1 ; Mx,Hx,Vx
    vpgatherdd 66 VEX.0F38 90 W0 ; Vx,Kx,Hx
    vpgatherdq 66 VEX.0F38 90 W1 ; Vx,Kh,Hx
    vpgatherqd 66 VEX.0F38 91 W0 ; Vdq,Kx,Hdq
    vpgatherqq 66 VEX.0F38 91 W1 ; Vx,Kx,Hx
    # W = 0 is undefined in the manuals; AMD processors ignore W here.
    vpermq 66 VEX.0F3A 00 L1 ; Vqq,Wqq,Ib
    vpblendd 66 VEX.0F3A 02 W0 ; Vx,Hx,Wx,Ib
    vinserti128 66 VEX.0F3A 38 W0 L1 ; Vqq,Hqq,Wdq,Ib
    vextracti128 66 VEX.0F3A 39 W0 L1 ; Wdq,Vqq,Ib
    vperm2i128 66 VEX.0F3A 46 W0 L1 ; Vqq,Hqq,Wqq,Ib
    """
}
