// Rows that work on MMX registers, and 3DNow!.
//
// Spec: Intel SDM Volume 2, tables; AMD APM Volume 3, tables; AMD 3DNow! Technology Manual.

extension X86Rows {
    static let mmx: StaticString = """
    @ mmx MMX
    punpcklbw np 0F 60 ; Pq,Qd
    punpcklwd np 0F 61 ; Pq,Qd
    punpckldq np 0F 62 ; Pq,Qd
    packsswb np 0F 63 ; Pq,Qq
    pcmpgtb np 0F 64 ; Pq,Qq
    pcmpgtw np 0F 65 ; Pq,Qq
    pcmpgtd np 0F 66 ; Pq,Qq
    packuswb np 0F 67 ; Pq,Qq
    punpckhbw np 0F 68 ; Pq,Qq
    punpckhwd np 0F 69 ; Pq,Qq
    punpckhdq np 0F 6A ; Pq,Qq
    packssdw np 0F 6B ; Pq,Qq
    pcmpeqb np 0F 74 ; Pq,Qq
    pcmpeqw np 0F 75 ; Pq,Qq
    pcmpeqd np 0F 76 ; Pq,Qq
    psrlw np 0F D1 ; Pq,Qq
    psrld np 0F D2 ; Pq,Qq
    psrlq np 0F D3 ; Pq,Qq
    pmullw np 0F D5 ; Pq,Qq
    psubusb np 0F D8 ; Pq,Qq
    psubusw np 0F D9 ; Pq,Qq
    pand np 0F DB ; Pq,Qq
    paddusb np 0F DC ; Pq,Qq
    paddusw np 0F DD ; Pq,Qq
    pandn np 0F DF ; Pq,Qq
    psraw np 0F E1 ; Pq,Qq
    psrad np 0F E2 ; Pq,Qq
    pmulhw np 0F E5 ; Pq,Qq
    psubsb np 0F E8 ; Pq,Qq
    psubsw np 0F E9 ; Pq,Qq
    por np 0F EB ; Pq,Qq
    paddsb np 0F EC ; Pq,Qq
    paddsw np 0F ED ; Pq,Qq
    pxor np 0F EF ; Pq,Qq
    psllw np 0F F1 ; Pq,Qq
    pslld np 0F F2 ; Pq,Qq
    psllq np 0F F3 ; Pq,Qq
    pmaddwd np 0F F5 ; Pq,Qq
    psubb np 0F F8 ; Pq,Qq
    psubw np 0F F9 ; Pq,Qq
    psubd np 0F FA ; Pq,Qq
    paddb np 0F FC ; Pq,Qq
    paddw np 0F FD ; Pq,Qq
    paddd np 0F FE ; Pq,Qq
    movd np 0F 6E ; Pq,Ey
    movq np 0F 6F ; Pq,Qq
    movd np 0F 7E ; Ey,Pq
    movq np 0F 7F ; Qq,Pq
    emms np 0F 77 ; ; mmx
    psrlw np 0F 71 /2 ; Nq,Ib
    psraw np 0F 71 /4 ; Nq,Ib
    psllw np 0F 71 /6 ; Nq,Ib
    psrld np 0F 72 /2 ; Nq,Ib
    psrad np 0F 72 /4 ; Nq,Ib
    pslld np 0F 72 /6 ; Nq,Ib
    psrlq np 0F 73 /2 ; Nq,Ib
    psllq np 0F 73 /6 ; Nq,Ib
    @ mmxExtensions MMX part of SSE
    pminub np 0F DA ; Pq,Qq
    pmaxub np 0F DE ; Pq,Qq
    pavgb np 0F E0 ; Pq,Qq
    pavgw np 0F E3 ; Pq,Qq
    pmulhuw np 0F E4 ; Pq,Qq
    pminsw np 0F EA ; Pq,Qq
    pmaxsw np 0F EE ; Pq,Qq
    psadbw np 0F F6 ; Pq,Qq
    pshufw np 0F 70 ; Pq,Qq,Ib
    pinsrw np 0F C4 ; Pq,Edw,Ib
    pextrw np 0F C5 ; Gd,Nq,Ib
    pmovmskb np 0F D7 ; Gd,Nq
    movntq np 0F E7 ; Mq,Pq
    maskmovq np 0F F7 ; Pq,Nq
    @ sse2 MMX part of SSE2
    paddq np 0F D4 ; Pq,Qq
    pmuludq np 0F F4 ; Pq,Qq
    psubq np 0F FB ; Pq,Qq
    @ ssse3 MMX part of SSSE3
    pshufb np 0F38 00 ; Pq,Qq
    phaddw np 0F38 01 ; Pq,Qq
    phaddd np 0F38 02 ; Pq,Qq
    phaddsw np 0F38 03 ; Pq,Qq
    pmaddubsw np 0F38 04 ; Pq,Qq
    phsubw np 0F38 05 ; Pq,Qq
    phsubd np 0F38 06 ; Pq,Qq
    phsubsw np 0F38 07 ; Pq,Qq
    psignb np 0F38 08 ; Pq,Qq
    psignw np 0F38 09 ; Pq,Qq
    psignd np 0F38 0A ; Pq,Qq
    pmulhrsw np 0F38 0B ; Pq,Qq
    pabsb np 0F38 1C ; Pq,Qq
    pabsw np 0F38 1D ; Pq,Qq
    pabsd np 0F38 1E ; Pq,Qq
    palignr np 0F3A 0F ; Pq,Qq,Ib
    @ threeDNow 3DNow!
    femms 0F 0E ; ; mmx
    pi2fd 0F0F 0D ; Pq,Qq
    pf2id 0F0F 1D ; Pq,Qq
    pfcmpge 0F0F 90 ; Pq,Qq
    pfmin 0F0F 94 ; Pq,Qq
    pfrcp 0F0F 96 ; Pq,Qq
    pfrsqrt 0F0F 97 ; Pq,Qq
    pfsub 0F0F 9A ; Pq,Qq
    pfadd 0F0F 9E ; Pq,Qq
    pfcmpgt 0F0F A0 ; Pq,Qq
    pfmax 0F0F A4 ; Pq,Qq
    pfrcpit1 0F0F A6 ; Pq,Qq
    pfrsqit1 0F0F A7 ; Pq,Qq
    pfsubr 0F0F AA ; Pq,Qq
    pfacc 0F0F AE ; Pq,Qq
    pfcmpeq 0F0F B0 ; Pq,Qq
    pfmul 0F0F B4 ; Pq,Qq
    pfrcpit2 0F0F B6 ; Pq,Qq
    pmulhrw 0F0F B7 ; Pq,Qq
    pavgusb 0F0F BF ; Pq,Qq
    @ threeDNowExtensions 3DNow! extensions
    pi2fw 0F0F 0C ; Pq,Qq
    pf2iw 0F0F 1C ; Pq,Qq
    pfnacc 0F0F 8A ; Pq,Qq
    pfpnacc 0F0F 8E ; Pq,Qq
    pswapd 0F0F BB ; Pq,Qq
    """
}
