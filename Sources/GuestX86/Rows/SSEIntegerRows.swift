// Rows of integer vectors, SSE2 to SSE4.2, AES, carry-less multiplication, SHA.
//
// Spec: Intel SDM Volume 2, tables; AMD APM Volume 3, tables.

extension X86Rows {
    static let sseInteger: StaticString = """
    @ sse2 Integer vectors
    punpcklbw 66 0F 60 ; Vx,Wx
    punpcklwd 66 0F 61 ; Vx,Wx
    punpckldq 66 0F 62 ; Vx,Wx
    packsswb 66 0F 63 ; Vx,Wx
    pcmpgtb 66 0F 64 ; Vx,Wx
    pcmpgtw 66 0F 65 ; Vx,Wx
    pcmpgtd 66 0F 66 ; Vx,Wx
    packuswb 66 0F 67 ; Vx,Wx
    punpckhbw 66 0F 68 ; Vx,Wx
    punpckhwd 66 0F 69 ; Vx,Wx
    punpckhdq 66 0F 6A ; Vx,Wx
    packssdw 66 0F 6B ; Vx,Wx
    pcmpeqb 66 0F 74 ; Vx,Wx
    pcmpeqw 66 0F 75 ; Vx,Wx
    pcmpeqd 66 0F 76 ; Vx,Wx
    psrlw 66 0F D1 ; Vx,Wx
    psrld 66 0F D2 ; Vx,Wx
    psrlq 66 0F D3 ; Vx,Wx
    pmullw 66 0F D5 ; Vx,Wx
    psubusb 66 0F D8 ; Vx,Wx
    psubusw 66 0F D9 ; Vx,Wx
    pand 66 0F DB ; Vx,Wx
    paddusb 66 0F DC ; Vx,Wx
    paddusw 66 0F DD ; Vx,Wx
    pandn 66 0F DF ; Vx,Wx
    psraw 66 0F E1 ; Vx,Wx
    psrad 66 0F E2 ; Vx,Wx
    pmulhw 66 0F E5 ; Vx,Wx
    psubsb 66 0F E8 ; Vx,Wx
    psubsw 66 0F E9 ; Vx,Wx
    por 66 0F EB ; Vx,Wx
    paddsb 66 0F EC ; Vx,Wx
    paddsw 66 0F ED ; Vx,Wx
    pxor 66 0F EF ; Vx,Wx
    psllw 66 0F F1 ; Vx,Wx
    pslld 66 0F F2 ; Vx,Wx
    psllq 66 0F F3 ; Vx,Wx
    pmaddwd 66 0F F5 ; Vx,Wx
    psubb 66 0F F8 ; Vx,Wx
    psubw 66 0F F9 ; Vx,Wx
    psubd 66 0F FA ; Vx,Wx
    paddb 66 0F FC ; Vx,Wx
    paddw 66 0F FD ; Vx,Wx
    paddd 66 0F FE ; Vx,Wx
    pminub 66 0F DA ; Vx,Wx
    pmaxub 66 0F DE ; Vx,Wx
    pavgb 66 0F E0 ; Vx,Wx
    pavgw 66 0F E3 ; Vx,Wx
    pmulhuw 66 0F E4 ; Vx,Wx
    pminsw 66 0F EA ; Vx,Wx
    pmaxsw 66 0F EE ; Vx,Wx
    psadbw 66 0F F6 ; Vx,Wx
    paddq 66 0F D4 ; Vx,Wx
    pmuludq 66 0F F4 ; Vx,Wx
    psubq 66 0F FB ; Vx,Wx
    punpcklqdq 66 0F 6C ; Vx,Wx
    punpckhqdq 66 0F 6D ; Vx,Wx
    psrlw 66 0F 71 /2 ; Ux,Ib
    psraw 66 0F 71 /4 ; Ux,Ib
    psllw 66 0F 71 /6 ; Ux,Ib
    psrld 66 0F 72 /2 ; Ux,Ib
    psrad 66 0F 72 /4 ; Ux,Ib
    pslld 66 0F 72 /6 ; Ux,Ib
    psrlq 66 0F 73 /2 ; Ux,Ib
    psllq 66 0F 73 /6 ; Ux,Ib
    psrldq 66 0F 73 /3 ; Ux,Ib
    pslldq 66 0F 73 /7 ; Ux,Ib
    pshufd 66 0F 70 ; Vx,Wx,Ib
    pshufhw F3 0F 70 ; Vx,Wx,Ib
    pshuflw F2 0F 70 ; Vx,Wx,Ib
    pinsrw 66 0F C4 ; Vx,Edw,Ib
    pextrw 66 0F C5 ; Gd,Ux,Ib
    pmovmskb 66 0F D7 ; Gd,Ux
    movd 66 0F 6E ; Vx,Ey
    movd 66 0F 7E ; Ey,Vx
    movq F3 0F 7E ; Vx,Wq
    movq 66 0F D6 ; Wq,Vx
    movq2dq F3 0F D6 ; Vx,Nq
    movdq2q F2 0F D6 ; Pq,Ux
    movdqa 66 0F 6F ; Vx,Wx
    movdqa 66 0F 7F ; Wx,Vx
    movdqu F3 0F 6F ; Vx,Wx ; unaligned
    movdqu F3 0F 7F ; Wx,Vx ; unaligned
    movntdq 66 0F E7 ; Mx,Vx
    maskmovdqu 66 0F F7 ; Vx,Ux
    @ ssse3 SSSE3
    pshufb 66 0F38 00 ; Vx,Wx
    phaddw 66 0F38 01 ; Vx,Wx
    phaddd 66 0F38 02 ; Vx,Wx
    phaddsw 66 0F38 03 ; Vx,Wx
    pmaddubsw 66 0F38 04 ; Vx,Wx
    phsubw 66 0F38 05 ; Vx,Wx
    phsubd 66 0F38 06 ; Vx,Wx
    phsubsw 66 0F38 07 ; Vx,Wx
    psignb 66 0F38 08 ; Vx,Wx
    psignw 66 0F38 09 ; Vx,Wx
    psignd 66 0F38 0A ; Vx,Wx
    pmulhrsw 66 0F38 0B ; Vx,Wx
    pabsb 66 0F38 1C ; Vx,Wx
    pabsw 66 0F38 1D ; Vx,Wx
    pabsd 66 0F38 1E ; Vx,Wx
    palignr 66 0F3A 0F ; Vx,Wx,Ib
    @ sse41 SSE4.1
    pblendvb 66 0F38 10 ; Vx,Wx,XMM0
    blendvps 66 0F38 14 ; Vx,Wx,XMM0
    blendvpd 66 0F38 15 ; Vx,Wx,XMM0
    ptest 66 0F38 17 ; Vx,Wx
    pmovsxbw 66 0F38 20 ; Vx,Wq
    pmovsxbd 66 0F38 21 ; Vx,Wd
    pmovsxbq 66 0F38 22 ; Vx,Ww
    pmovsxwd 66 0F38 23 ; Vx,Wq
    pmovsxwq 66 0F38 24 ; Vx,Wd
    pmovsxdq 66 0F38 25 ; Vx,Wq
    pmovzxbw 66 0F38 30 ; Vx,Wq
    pmovzxbd 66 0F38 31 ; Vx,Wd
    pmovzxbq 66 0F38 32 ; Vx,Ww
    pmovzxwd 66 0F38 33 ; Vx,Wq
    pmovzxwq 66 0F38 34 ; Vx,Wd
    pmovzxdq 66 0F38 35 ; Vx,Wq
    pmuldq 66 0F38 28 ; Vx,Wx
    pcmpeqq 66 0F38 29 ; Vx,Wx
    packusdw 66 0F38 2B ; Vx,Wx
    pminsb 66 0F38 38 ; Vx,Wx
    pminsd 66 0F38 39 ; Vx,Wx
    pminuw 66 0F38 3A ; Vx,Wx
    pminud 66 0F38 3B ; Vx,Wx
    pmaxsb 66 0F38 3C ; Vx,Wx
    pmaxsd 66 0F38 3D ; Vx,Wx
    pmaxuw 66 0F38 3E ; Vx,Wx
    pmaxud 66 0F38 3F ; Vx,Wx
    pmulld 66 0F38 40 ; Vx,Wx
    phminposuw 66 0F38 41 ; Vx,Wx
    movntdqa 66 0F38 2A ; Vx,Mx
    roundps 66 0F3A 08 ; Vx,Wx,Ib
    roundpd 66 0F3A 09 ; Vx,Wx,Ib
    roundss 66 0F3A 0A ; Vx,Wd,Ib
    roundsd 66 0F3A 0B ; Vx,Wq,Ib
    blendps 66 0F3A 0C ; Vx,Wx,Ib
    blendpd 66 0F3A 0D ; Vx,Wx,Ib
    pblendw 66 0F3A 0E ; Vx,Wx,Ib
    pextrb 66 0F3A 14 ; Edb,Vx,Ib
    pextrw 66 0F3A 15 ; Edw,Vx,Ib
    pextrd 66 0F3A 16 ; Ey,Vx,Ib
    extractps 66 0F3A 17 ; Ed,Vx,Ib
    pinsrb 66 0F3A 20 ; Vx,Edb,Ib
    insertps 66 0F3A 21 ; Vx,Wd,Ib
    pinsrd 66 0F3A 22 ; Vx,Ey,Ib
    dpps 66 0F3A 40 ; Vx,Wx,Ib
    dppd 66 0F3A 41 ; Vx,Wx,Ib
    mpsadbw 66 0F3A 42 ; Vx,Wx,Ib
    @ sse42 SSE4.2
    pcmpgtq 66 0F38 37 ; Vx,Wx
    pcmpestrm 66 0F3A 60 ; Vx,Wx,Ib ; unaligned
    pcmpestri 66 0F3A 61 ; Vx,Wx,Ib ; unaligned
    pcmpistrm 66 0F3A 62 ; Vx,Wx,Ib ; unaligned
    pcmpistri 66 0F3A 63 ; Vx,Wx,Ib ; unaligned
    @ aes AES
    aesimc 66 0F38 DB ; Vx,Wx
    aesenc 66 0F38 DC ; Vx,Wx
    aesenclast 66 0F38 DD ; Vx,Wx
    aesdec 66 0F38 DE ; Vx,Wx
    aesdeclast 66 0F38 DF ; Vx,Wx
    aeskeygenassist 66 0F3A DF ; Vx,Wx,Ib
    @ pclmulqdq Carry-less multiplication
    pclmulqdq 66 0F3A 44 ; Vx,Wx,Ib
    @ sha SHA
    sha1nexte np 0F38 C8 ; Vx,Wx ; unaligned
    sha1msg1 np 0F38 C9 ; Vx,Wx ; unaligned
    sha1msg2 np 0F38 CA ; Vx,Wx ; unaligned
    sha256rnds2 np 0F38 CB ; Vx,Wx,XMM0 ; unaligned
    sha256msg1 np 0F38 CC ; Vx,Wx ; unaligned
    sha256msg2 np 0F38 CD ; Vx,Wx ; unaligned
    sha1rnds4 np 0F3A CC ; Vx,Wx,Ib ; unaligned
    """
}
