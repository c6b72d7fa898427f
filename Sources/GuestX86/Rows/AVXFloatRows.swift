// Rows of AVX and AVX2 on floating-point vectors, F16C, FMA.
//
// Spec: Intel SDM Volume 2, tables and chapters 3 to 5; AMD APM Volume 3, tables.

extension X86Rows {
    static let avxFloat: StaticString = """
    @ avx Floating point
    vsqrtps np VEX.0F 51 ; Vps,Wps
    vsqrtpd 66 VEX.0F 51 ; Vpd,Wpd
    vsqrtss F3 VEX.0F 51 ; Vdq,Hdq,Wss
    vsqrtsd F2 VEX.0F 51 ; Vdq,Hdq,Wsd
    vaddps np VEX.0F 58 ; Vps,Hps,Wps
    vaddpd 66 VEX.0F 58 ; Vpd,Hpd,Wpd
    vaddss F3 VEX.0F 58 ; Vdq,Hdq,Wss
    vaddsd F2 VEX.0F 58 ; Vdq,Hdq,Wsd
    vmulps np VEX.0F 59 ; Vps,Hps,Wps
    vmulpd 66 VEX.0F 59 ; Vpd,Hpd,Wpd
    vmulss F3 VEX.0F 59 ; Vdq,Hdq,Wss
    vmulsd F2 VEX.0F 59 ; Vdq,Hdq,Wsd
    vsubps np VEX.0F 5C ; Vps,Hps,Wps
    vsubpd 66 VEX.0F 5C ; Vpd,Hpd,Wpd
    vsubss F3 VEX.0F 5C ; Vdq,Hdq,Wss
    vsubsd F2 VEX.0F 5C ; Vdq,Hdq,Wsd
    vminps np VEX.0F 5D ; Vps,Hps,Wps
    vminpd 66 VEX.0F 5D ; Vpd,Hpd,Wpd
    vminss F3 VEX.0F 5D ; Vdq,Hdq,Wss
    vminsd F2 VEX.0F 5D ; Vdq,Hdq,Wsd
    vdivps np VEX.0F 5E ; Vps,Hps,Wps
    vdivpd 66 VEX.0F 5E ; Vpd,Hpd,Wpd
    vdivss F3 VEX.0F 5E ; Vdq,Hdq,Wss
    vdivsd F2 VEX.0F 5E ; Vdq,Hdq,Wsd
    vmaxps np VEX.0F 5F ; Vps,Hps,Wps
    vmaxpd 66 VEX.0F 5F ; Vpd,Hpd,Wpd
    vmaxss F3 VEX.0F 5F ; Vdq,Hdq,Wss
    vmaxsd F2 VEX.0F 5F ; Vdq,Hdq,Wsd
    vrsqrtps np VEX.0F 52 ; Vps,Wps
    vrsqrtss F3 VEX.0F 52 ; Vdq,Hdq,Wss
    vrcpps np VEX.0F 53 ; Vps,Wps
    vrcpss F3 VEX.0F 53 ; Vdq,Hdq,Wss
    vandps np VEX.0F 54 ; Vps,Hps,Wps
    vandpd 66 VEX.0F 54 ; Vpd,Hpd,Wpd
    vandnps np VEX.0F 55 ; Vps,Hps,Wps
    vandnpd 66 VEX.0F 55 ; Vpd,Hpd,Wpd
    vorps np VEX.0F 56 ; Vps,Hps,Wps
    vorpd 66 VEX.0F 56 ; Vpd,Hpd,Wpd
    vxorps np VEX.0F 57 ; Vps,Hps,Wps
    vxorpd 66 VEX.0F 57 ; Vpd,Hpd,Wpd
    vunpcklps np VEX.0F 14 ; Vps,Hps,Wps
    vunpcklpd 66 VEX.0F 14 ; Vpd,Hpd,Wpd
    vunpckhps np VEX.0F 15 ; Vps,Hps,Wps
    vunpckhpd 66 VEX.0F 15 ; Vpd,Hpd,Wpd
    vcmpps np VEX.0F C2 ; Vps,Hps,Wps,Ib
    vcmppd 66 VEX.0F C2 ; Vpd,Hpd,Wpd,Ib
    vcmpss F3 VEX.0F C2 ; Vdq,Hdq,Wss,Ib
    vcmpsd F2 VEX.0F C2 ; Vdq,Hdq,Wsd,Ib
    vshufps np VEX.0F C6 ; Vps,Hps,Wps,Ib
    vshufpd 66 VEX.0F C6 ; Vpd,Hpd,Wpd,Ib
    vhaddpd 66 VEX.0F 7C ; Vpd,Hpd,Wpd
    vhaddps F2 VEX.0F 7C ; Vps,Hps,Wps
    vhsubpd 66 VEX.0F 7D ; Vpd,Hpd,Wpd
    vhsubps F2 VEX.0F 7D ; Vps,Hps,Wps
    vaddsubpd 66 VEX.0F D0 ; Vpd,Hpd,Wpd
    vaddsubps F2 VEX.0F D0 ; Vps,Hps,Wps
    vmovups np VEX.0F 10 ; Vps,Wps
    vmovups np VEX.0F 11 ; Wps,Vps
    vmovupd 66 VEX.0F 10 ; Vpd,Wpd
    vmovupd 66 VEX.0F 11 ; Wpd,Vpd
    vmovss F3 VEX.0F 10 mem ; Vdq,Mss
    vmovss F3 VEX.0F 10 reg ; Vdq,Hdq,Udq
    vmovss F3 VEX.0F 11 mem ; Mss,Vdq
    vmovss F3 VEX.0F 11 reg ; Udq,Hdq,Vdq
    vmovsd F2 VEX.0F 10 mem ; Vdq,Msd
    vmovsd F2 VEX.0F 10 reg ; Vdq,Hdq,Udq
    vmovsd F2 VEX.0F 11 mem ; Msd,Vdq
    vmovsd F2 VEX.0F 11 reg ; Udq,Hdq,Vdq
    vmovlps np VEX.0F 12 mem L0 ; Vdq,Hdq,Mq
    vmovhlps np VEX.0F 12 reg L0 ; Vdq,Hdq,Udq
    vmovlpd 66 VEX.0F 12 mem L0 ; Vdq,Hdq,Mq
    vmovsldup F3 VEX.0F 12 ; Vps,Wps
    vmovddup F2 VEX.0F 12 L0 ; Vdq,Wq
    vmovddup F2 VEX.0F 12 L1 ; Vqq,Wqq
    vmovlps np VEX.0F 13 mem L0 ; Mq,Vdq
    vmovlpd 66 VEX.0F 13 mem L0 ; Mq,Vdq
    vmovhps np VEX.0F 16 mem L0 ; Vdq,Hdq,Mq
    vmovlhps np VEX.0F 16 reg L0 ; Vdq,Hdq,Udq
    vmovhpd 66 VEX.0F 16 mem L0 ; Vdq,Hdq,Mq
    vmovshdup F3 VEX.0F 16 ; Vps,Wps
    vmovhps np VEX.0F 17 mem L0 ; Mq,Vdq
    vmovhpd 66 VEX.0F 17 mem L0 ; Mq,Vdq
    vmovaps np VEX.0F 28 ; Vps,Wps ; aligned
    vmovaps np VEX.0F 29 ; Wps,Vps ; aligned
    vmovapd 66 VEX.0F 28 ; Vpd,Wpd ; aligned
    vmovapd 66 VEX.0F 29 ; Wpd,Vpd ; aligned
    vmovntps np VEX.0F 2B ; Mps,Vps ; aligned
    vmovntpd 66 VEX.0F 2B ; Mpd,Vpd ; aligned
    vmovmskps np VEX.0F 50 ; Gd,Ups
    vmovmskpd 66 VEX.0F 50 ; Gd,Upd
    vcvtsi2ss F3 VEX.0F 2A ; Vdq,Hdq,Ey
    vcvtsi2sd F2 VEX.0F 2A ; Vdq,Hdq,Ey
    vcvttss2si F3 VEX.0F 2C ; Gy,Wss
    vcvttsd2si F2 VEX.0F 2C ; Gy,Wsd
    vcvtss2si F3 VEX.0F 2D ; Gy,Wss
    vcvtsd2si F2 VEX.0F 2D ; Gy,Wsd
    vucomiss np VEX.0F 2E ; Vdq,Wss
    vucomisd 66 VEX.0F 2E ; Vdq,Wsd
    vcomiss np VEX.0F 2F ; Vdq,Wss
    vcomisd 66 VEX.0F 2F ; Vdq,Wsd
    vcvtps2pd np VEX.0F 5A ; Vpd,Wh
    vcvtpd2ps 66 VEX.0F 5A ; Vdq,Wpd
    vcvtss2sd F3 VEX.0F 5A ; Vdq,Hdq,Wss
    vcvtsd2ss F2 VEX.0F 5A ; Vdq,Hdq,Wsd
    vcvtdq2ps np VEX.0F 5B ; Vps,Wx
    vcvtps2dq 66 VEX.0F 5B ; Vx,Wps
    vcvttps2dq F3 VEX.0F 5B ; Vx,Wps
    vcvttpd2dq 66 VEX.0F E6 ; Vdq,Wpd
    vcvtdq2pd F3 VEX.0F E6 ; Vpd,Wh
    vcvtpd2dq F2 VEX.0F E6 ; Vdq,Wpd
    vzeroupper np VEX.0F 77 L0 ; ; avx
    vzeroall np VEX.0F 77 L1 ; ; avx
    vldmxcsr np VEX.0F AE /2 mem L0 ; Md ; avx
    vstmxcsr np VEX.0F AE /3 mem L0 ; Md ; avx
    vpermilps 66 VEX.0F38 0C W0 ; Vps,Hps,Wps
    vpermilpd 66 VEX.0F38 0D W0 ; Vpd,Hpd,Wpd
    vtestps 66 VEX.0F38 0E W0 ; Vps,Wps
    vtestpd 66 VEX.0F38 0F W0 ; Vpd,Wpd
    vbroadcastss 66 VEX.0F38 18 mem W0 ; Vps,Mss
    vbroadcastsd 66 VEX.0F38 19 mem W0 L1 ; Vqq,Msd
    vbroadcastf128 66 VEX.0F38 1A mem W0 L1 ; Vqq,Mdq
    vmaskmovps 66 VEX.0F38 2C W0 ; Vps,Hps,Mps
    vmaskmovpd 66 VEX.0F38 2D W0 ; Vpd,Hpd,Mpd
    vmaskmovps 66 VEX.0F38 2E W0 ; Mps,Hps,Vps
    vmaskmovpd 66 VEX.0F38 2F W0 ; Mpd,Hpd,Vpd
    vpermilps 66 VEX.0F3A 04 W0 ; Vps,Wps,Ib
    vpermilpd 66 VEX.0F3A 05 W0 ; Vpd,Wpd,Ib
    vperm2f128 66 VEX.0F3A 06 W0 L1 ; Vqq,Hqq,Wqq,Ib
    vroundps 66 VEX.0F3A 08 ; Vps,Wps,Ib
    vroundpd 66 VEX.0F3A 09 ; Vpd,Wpd,Ib
    vroundss 66 VEX.0F3A 0A ; Vdq,Hdq,Wss,Ib
    vroundsd 66 VEX.0F3A 0B ; Vdq,Hdq,Wsd,Ib
    vblendps 66 VEX.0F3A 0C ; Vps,Hps,Wps,Ib
    vblendpd 66 VEX.0F3A 0D ; Vpd,Hpd,Wpd,Ib
    vextractps 66 VEX.0F3A 17 L0 ; Ed,Vdq,Ib
    vinsertf128 66 VEX.0F3A 18 W0 L1 ; Vqq,Hqq,Wdq,Ib
    vextractf128 66 VEX.0F3A 19 W0 L1 ; Wdq,Vqq,Ib
    vinsertps 66 VEX.0F3A 21 L0 ; Vdq,Hdq,Wss,Ib
    vdpps 66 VEX.0F3A 40 ; Vps,Hps,Wps,Ib
    vdppd 66 VEX.0F3A 41 L0 ; Vdq,Hdq,Wdq,Ib
    vblendvps 66 VEX.0F3A 4A W0 ; Vps,Hps,Wps,Lx
    vblendvpd 66 VEX.0F3A 4B W0 ; Vpd,Hpd,Wpd,Lx
    @ f16c Half precision
    vcvtph2ps 66 VEX.0F38 13 W0 ; Vps,Wh
    vcvtps2ph 66 VEX.0F3A 1D W0 ; Wh,Vps,Ib
    @ avx2 Floating point
    vbroadcastss 66 VEX.0F38 18 reg W0 ; Vps,Udq
    vbroadcastsd 66 VEX.0F38 19 reg W0 L1 ; Vqq,Udq
    vpermps 66 VEX.0F38 16 W0 L1 ; Vqq,Hqq,Wqq
    # W = 0 is undefined in the manuals; AMD processors ignore W here.
    vpermpd 66 VEX.0F3A 01 L1 ; Vqq,Wqq,Ib
    vgatherdps 66 VEX.0F38 92 W0 ; Vx,Kx,Hx
    vgatherdpd 66 VEX.0F38 92 W1 ; Vx,Kh,Hx
    vgatherqps 66 VEX.0F38 93 W0 ; Vdq,Kx,Hdq
    vgatherqpd 66 VEX.0F38 93 W1 ; Vx,Kx,Hx
    @ fma Fused multiplication and addition
    vfmaddsub132ps 66 VEX.0F38 96 W0 ; Vps,Hps,Wps
    vfmaddsub132pd 66 VEX.0F38 96 W1 ; Vpd,Hpd,Wpd
    vfmsubadd132ps 66 VEX.0F38 97 W0 ; Vps,Hps,Wps
    vfmsubadd132pd 66 VEX.0F38 97 W1 ; Vpd,Hpd,Wpd
    vfmadd132ps 66 VEX.0F38 98 W0 ; Vps,Hps,Wps
    vfmadd132pd 66 VEX.0F38 98 W1 ; Vpd,Hpd,Wpd
    vfmadd132ss 66 VEX.0F38 99 W0 ; Vdq,Hdq,Wss
    vfmadd132sd 66 VEX.0F38 99 W1 ; Vdq,Hdq,Wsd
    vfmsub132ps 66 VEX.0F38 9A W0 ; Vps,Hps,Wps
    vfmsub132pd 66 VEX.0F38 9A W1 ; Vpd,Hpd,Wpd
    vfmsub132ss 66 VEX.0F38 9B W0 ; Vdq,Hdq,Wss
    vfmsub132sd 66 VEX.0F38 9B W1 ; Vdq,Hdq,Wsd
    vfnmadd132ps 66 VEX.0F38 9C W0 ; Vps,Hps,Wps
    vfnmadd132pd 66 VEX.0F38 9C W1 ; Vpd,Hpd,Wpd
    vfnmadd132ss 66 VEX.0F38 9D W0 ; Vdq,Hdq,Wss
    vfnmadd132sd 66 VEX.0F38 9D W1 ; Vdq,Hdq,Wsd
    vfnmsub132ps 66 VEX.0F38 9E W0 ; Vps,Hps,Wps
    vfnmsub132pd 66 VEX.0F38 9E W1 ; Vpd,Hpd,Wpd
    vfnmsub132ss 66 VEX.0F38 9F W0 ; Vdq,Hdq,Wss
    vfnmsub132sd 66 VEX.0F38 9F W1 ; Vdq,Hdq,Wsd
    vfmaddsub213ps 66 VEX.0F38 A6 W0 ; Vps,Hps,Wps
    vfmaddsub213pd 66 VEX.0F38 A6 W1 ; Vpd,Hpd,Wpd
    vfmsubadd213ps 66 VEX.0F38 A7 W0 ; Vps,Hps,Wps
    vfmsubadd213pd 66 VEX.0F38 A7 W1 ; Vpd,Hpd,Wpd
    vfmadd213ps 66 VEX.0F38 A8 W0 ; Vps,Hps,Wps
    vfmadd213pd 66 VEX.0F38 A8 W1 ; Vpd,Hpd,Wpd
    vfmadd213ss 66 VEX.0F38 A9 W0 ; Vdq,Hdq,Wss
    vfmadd213sd 66 VEX.0F38 A9 W1 ; Vdq,Hdq,Wsd
    vfmsub213ps 66 VEX.0F38 AA W0 ; Vps,Hps,Wps
    vfmsub213pd 66 VEX.0F38 AA W1 ; Vpd,Hpd,Wpd
    vfmsub213ss 66 VEX.0F38 AB W0 ; Vdq,Hdq,Wss
    vfmsub213sd 66 VEX.0F38 AB W1 ; Vdq,Hdq,Wsd
    vfnmadd213ps 66 VEX.0F38 AC W0 ; Vps,Hps,Wps
    vfnmadd213pd 66 VEX.0F38 AC W1 ; Vpd,Hpd,Wpd
    vfnmadd213ss 66 VEX.0F38 AD W0 ; Vdq,Hdq,Wss
    vfnmadd213sd 66 VEX.0F38 AD W1 ; Vdq,Hdq,Wsd
    vfnmsub213ps 66 VEX.0F38 AE W0 ; Vps,Hps,Wps
    vfnmsub213pd 66 VEX.0F38 AE W1 ; Vpd,Hpd,Wpd
    vfnmsub213ss 66 VEX.0F38 AF W0 ; Vdq,Hdq,Wss
    vfnmsub213sd 66 VEX.0F38 AF W1 ; Vdq,Hdq,Wsd
    vfmaddsub231ps 66 VEX.0F38 B6 W0 ; Vps,Hps,Wps
    vfmaddsub231pd 66 VEX.0F38 B6 W1 ; Vpd,Hpd,Wpd
    vfmsubadd231ps 66 VEX.0F38 B7 W0 ; Vps,Hps,Wps
    vfmsubadd231pd 66 VEX.0F38 B7 W1 ; Vpd,Hpd,Wpd
    vfmadd231ps 66 VEX.0F38 B8 W0 ; Vps,Hps,Wps
    vfmadd231pd 66 VEX.0F38 B8 W1 ; Vpd,Hpd,Wpd
    vfmadd231ss 66 VEX.0F38 B9 W0 ; Vdq,Hdq,Wss
    vfmadd231sd 66 VEX.0F38 B9 W1 ; Vdq,Hdq,Wsd
    vfmsub231ps 66 VEX.0F38 BA W0 ; Vps,Hps,Wps
    vfmsub231pd 66 VEX.0F38 BA W1 ; Vpd,Hpd,Wpd
    vfmsub231ss 66 VEX.0F38 BB W0 ; Vdq,Hdq,Wss
    vfmsub231sd 66 VEX.0F38 BB W1 ; Vdq,Hdq,Wsd
    vfnmadd231ps 66 VEX.0F38 BC W0 ; Vps,Hps,Wps
    vfnmadd231pd 66 VEX.0F38 BC W1 ; Vpd,Hpd,Wpd
    vfnmadd231ss 66 VEX.0F38 BD W0 ; Vdq,Hdq,Wss
    vfnmadd231sd 66 VEX.0F38 BD W1 ; Vdq,Hdq,Wsd
    vfnmsub231ps 66 VEX.0F38 BE W0 ; Vps,Hps,Wps
    vfnmsub231pd 66 VEX.0F38 BE W1 ; Vpd,Hpd,Wpd
    vfnmsub231ss 66 VEX.0F38 BF W0 ; Vdq,Hdq,Wss
    vfnmsub231sd 66 VEX.0F38 BF W1 ; Vdq,Hdq,Wsd
    """
}
