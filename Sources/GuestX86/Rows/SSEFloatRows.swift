// Rows of SSE to SSE3 on floating-point vectors.
//
// Spec: Intel SDM Volume 2, table A-3; AMD APM Volume 3, tables.

extension X86Rows {
    static let sseFloat: StaticString = """
    @ sse SSE floating point
    sqrtps np 0F 51 ; Vps,Wps
    sqrtss F3 0F 51 ; Vps,Wss
    addps np 0F 58 ; Vps,Wps
    addss F3 0F 58 ; Vps,Wss
    mulps np 0F 59 ; Vps,Wps
    mulss F3 0F 59 ; Vps,Wss
    subps np 0F 5C ; Vps,Wps
    subss F3 0F 5C ; Vps,Wss
    minps np 0F 5D ; Vps,Wps
    minss F3 0F 5D ; Vps,Wss
    divps np 0F 5E ; Vps,Wps
    divss F3 0F 5E ; Vps,Wss
    maxps np 0F 5F ; Vps,Wps
    maxss F3 0F 5F ; Vps,Wss
    rsqrtps np 0F 52 ; Vps,Wps
    rsqrtss F3 0F 52 ; Vps,Wss
    rcpps np 0F 53 ; Vps,Wps
    rcpss F3 0F 53 ; Vps,Wss
    andps np 0F 54 ; Vps,Wps
    andnps np 0F 55 ; Vps,Wps
    orps np 0F 56 ; Vps,Wps
    xorps np 0F 57 ; Vps,Wps
    unpcklps np 0F 14 ; Vps,Wps
    unpckhps np 0F 15 ; Vps,Wps
    cmpps np 0F C2 ; Vps,Wps,Ib
    cmpss F3 0F C2 ; Vps,Wss,Ib
    shufps np 0F C6 ; Vps,Wps,Ib
    movups np 0F 10 ; Vps,Wps ; unaligned
    movups np 0F 11 ; Wps,Vps ; unaligned
    movss F3 0F 10 ; Vps,Wss
    movss F3 0F 11 ; Wss,Vps
    movlps np 0F 12 mem ; Vps,Mq
    movhlps np 0F 12 reg ; Vps,Ups
    movlps np 0F 13 ; Mq,Vps
    movhps np 0F 16 mem ; Vps,Mq
    movlhps np 0F 16 reg ; Vps,Ups
    movhps np 0F 17 ; Mq,Vps
    movaps np 0F 28 ; Vps,Wps
    movaps np 0F 29 ; Wps,Vps
    movntps np 0F 2B ; Mps,Vps
    movmskps np 0F 50 ; Gd,Ups
    cvtpi2ps np 0F 2A ; Vps,Qq
    cvtsi2ss F3 0F 2A ; Vps,Ey
    cvttps2pi np 0F 2C ; Pq,Wq
    cvttss2si F3 0F 2C ; Gy,Wss
    cvtps2pi np 0F 2D ; Pq,Wq
    cvtss2si F3 0F 2D ; Gy,Wss
    ucomiss np 0F 2E ; Vps,Wss
    comiss np 0F 2F ; Vps,Wss
    @ sse2 SSE2 floating point
    sqrtpd 66 0F 51 ; Vpd,Wpd
    sqrtsd F2 0F 51 ; Vpd,Wsd
    addpd 66 0F 58 ; Vpd,Wpd
    addsd F2 0F 58 ; Vpd,Wsd
    mulpd 66 0F 59 ; Vpd,Wpd
    mulsd F2 0F 59 ; Vpd,Wsd
    subpd 66 0F 5C ; Vpd,Wpd
    subsd F2 0F 5C ; Vpd,Wsd
    minpd 66 0F 5D ; Vpd,Wpd
    minsd F2 0F 5D ; Vpd,Wsd
    divpd 66 0F 5E ; Vpd,Wpd
    divsd F2 0F 5E ; Vpd,Wsd
    maxpd 66 0F 5F ; Vpd,Wpd
    maxsd F2 0F 5F ; Vpd,Wsd
    andpd 66 0F 54 ; Vpd,Wpd
    andnpd 66 0F 55 ; Vpd,Wpd
    orpd 66 0F 56 ; Vpd,Wpd
    xorpd 66 0F 57 ; Vpd,Wpd
    unpcklpd 66 0F 14 ; Vpd,Wpd
    unpckhpd 66 0F 15 ; Vpd,Wpd
    cmppd 66 0F C2 ; Vpd,Wpd,Ib
    cmpsd F2 0F C2 ; Vpd,Wsd,Ib
    shufpd 66 0F C6 ; Vpd,Wpd,Ib
    movupd 66 0F 10 ; Vpd,Wpd ; unaligned
    movupd 66 0F 11 ; Wpd,Vpd ; unaligned
    movsd F2 0F 10 ; Vpd,Wsd
    movsd F2 0F 11 ; Wsd,Vpd
    movlpd 66 0F 12 mem ; Vpd,Mq
    movlpd 66 0F 13 ; Mq,Vpd
    movhpd 66 0F 16 mem ; Vpd,Mq
    movhpd 66 0F 17 ; Mq,Vpd
    movapd 66 0F 28 ; Vpd,Wpd
    movapd 66 0F 29 ; Wpd,Vpd
    movntpd 66 0F 2B ; Mpd,Vpd
    movmskpd 66 0F 50 ; Gd,Upd
    cvtpi2pd 66 0F 2A ; Vpd,Qq
    cvtsi2sd F2 0F 2A ; Vpd,Ey
    cvttpd2pi 66 0F 2C ; Pq,Wpd
    cvttsd2si F2 0F 2C ; Gy,Wsd
    cvtpd2pi 66 0F 2D ; Pq,Wpd
    cvtsd2si F2 0F 2D ; Gy,Wsd
    ucomisd 66 0F 2E ; Vpd,Wsd
    comisd 66 0F 2F ; Vpd,Wsd
    cvtps2pd np 0F 5A ; Vpd,Wq
    cvtpd2ps 66 0F 5A ; Vps,Wpd
    cvtss2sd F3 0F 5A ; Vpd,Wss
    cvtsd2ss F2 0F 5A ; Vps,Wsd
    cvtdq2ps np 0F 5B ; Vps,Wx
    cvtps2dq 66 0F 5B ; Vx,Wps
    cvttps2dq F3 0F 5B ; Vx,Wps
    cvttpd2dq 66 0F E6 ; Vx,Wpd
    cvtdq2pd F3 0F E6 ; Vpd,Wq
    cvtpd2dq F2 0F E6 ; Vx,Wpd
    @ sse3 SSE3
    movsldup F3 0F 12 ; Vps,Wps
    movddup F2 0F 12 ; Vpd,Wq
    movshdup F3 0F 16 ; Vps,Wps
    haddpd 66 0F 7C ; Vpd,Wpd
    haddps F2 0F 7C ; Vps,Wps
    hsubpd 66 0F 7D ; Vpd,Wpd
    hsubps F2 0F 7D ; Vps,Wps
    addsubpd 66 0F D0 ; Vpd,Wpd
    addsubps F2 0F D0 ; Vps,Wps
    lddqu F2 0F F0 ; Vx,Mx ; unaligned
    """
}
