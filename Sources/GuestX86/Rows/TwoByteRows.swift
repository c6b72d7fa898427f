// Rows of the 0F, 0F38 and 0F3A maps that work on general registers and system state, and of their VEX forms.
//
// Spec: Intel SDM Volume 2, tables; AMD APM Volume 3, tables.

extension X86Rows {
    static let twoByte: StaticString = """
    @ i386 Two-byte opcodes
    lar 0F 02 ; Gv,Ew ; protected
    lsl 0F 03 ; Gv,Ew ; protected
    clts 0F 06 ; ; cpl0 end
    ud2 0F 0B ; ; end
    mov 0F 20 /0 /2 /3 /4 ; Rn,Cn ; f64 cpl0 anymod
    mov 0F 21 ; Rn,Dn ; f64 cpl0 anymod
    mov 0F 22 /0 /2 /3 /4 ; Cn,Rn ; f64 cpl0 anymod end
    mov 0F 23 ; Dn,Rn ; f64 cpl0 anymod end
    jcc 0F 80..8F ; Jz ; d64 end
    setcc 0F 90..9F /r ; Eb
    push 0F A0 ; FS ; d64
    pop 0F A1 ; FS ; d64 end
    push 0F A8 ; GS ; d64
    pop 0F A9 ; GS ; d64 end
    bt 0F A3 ; Ev,Gv
    shld 0F A4 ; Ev,Gv,Ib
    shld 0F A5 ; Ev,Gv,CL
    bts 0F AB ; Ev,Gv ; lock
    shrd 0F AC ; Ev,Gv,Ib
    shrd 0F AD ; Ev,Gv,CL
    imul 0F AF ; Gv,Ev
    lss 0F B2 ; Gv,Mp ; end
    btr 0F B3 ; Ev,Gv ; lock
    lfs 0F B4 ; Gv,Mp ; end
    lgs 0F B5 ; Gv,Mp ; end
    movzx 0F B6 ; Gv,Eb
    movzx 0F B7 ; Gv,Ew
    ud1 0F B9 ; Gv,Ev ; end
    btc 0F BB ; Ev,Gv ; lock
    movsx 0F BE ; Gv,Eb
    movsx 0F BF ; Gv,Ew
    ud0 0F FF ; Gv,Ev ; end
    @ bmi1 TZCNT; without it F3 is ignored and the opcode is BSF
    tzcnt F3 0F BC ; Gv,Ev
    @ lzcnt LZCNT; without it BSR
    lzcnt F3 0F BD ; Gv,Ev
    @ popcnt POPCNT
    popcnt F3 0F B8 ; Gv,Ev
    @ i386 Bit scans
    bsf 0F BC ; Gv,Ev
    bsr 0F BD ; Gv,Ev
    @ syscall System calls
    syscall 0F 05 ; ; end
    sysret 0F 07 ; ; cpl0 end
    @ sep Fast system calls
    sysenter 0F 34 ; ; end
    sysexit 0F 35 ; ; cpl0 end
    @ wbnoinvd WBNOINVD; without it WBINVD
    wbnoinvd F3 0F 09 ; ; cpl0
    @ i486 80486
    invd 0F 08 ; ; cpl0
    wbinvd 0F 09 ; ; cpl0
    cmpxchg 0F B0 ; Eb,Gb ; lock
    cmpxchg 0F B1 ; Ev,Gv ; lock
    xadd 0F C0 ; Eb,Gb ; lock
    xadd 0F C1 ; Ev,Gv ; lock
    bswap 0F C8..CF ; Zv
    @ msr Model-specific registers
    wrmsr 0F 30 ; ; cpl0 end
    rdmsr 0F 32 ; ; cpl0
    @ tsc Time-stamp counter
    rdtsc 0F 31
    @ rdpmc Performance counters
    rdpmc 0F 33
    @ cpuid Identification
    cpuid 0F A2
    @ cmov Conditional moves
    cmovcc 0F 40..4F ; Gv,Ev
    @ nopl Hints
    nop 0F 18..1F ; Ev
    @ sse2 Stores past the caches
    movnti np 0F C3 ; My,Gy
    @ movbe Moves with bytes reversed
    movbe nr 0F38 F0 ; Gv,Mv
    movbe nr 0F38 F1 ; Mv,Gv
    @ sse42 Checksums
    crc32 F2 0F38 F0 ; Gy,Eb
    crc32 F2 0F38 F1 ; Gy,Ev
    @ adx Additions with two carries
    adcx 66 0F38 F6 ; Gy,Ey
    adox F3 0F38 F6 ; Gy,Ey
    @ invpcid INVPCID
    invpcid 66 0F38 82 ; Gn,Mdq ; cpl0
    @ bmi1 Bit manipulation
    andn np VEX.0F38 F2 L0 ; Gy,By,Ey
    blsr np VEX.0F38 F3 /1 L0 ; By,Ey
    blsmsk np VEX.0F38 F3 /2 L0 ; By,Ey
    blsi np VEX.0F38 F3 /3 L0 ; By,Ey
    bextr np VEX.0F38 F7 L0 ; Gy,Ey,By
    @ bmi2 Bit manipulation
    bzhi np VEX.0F38 F5 L0 ; Gy,Ey,By
    pext F3 VEX.0F38 F5 L0 ; Gy,By,Ey
    pdep F2 VEX.0F38 F5 L0 ; Gy,By,Ey
    mulx F2 VEX.0F38 F6 L0 ; Gy,By,Ey
    shlx 66 VEX.0F38 F7 L0 ; Gy,Ey,By
    sarx F3 VEX.0F38 F7 L0 ; Gy,Ey,By
    shrx F2 VEX.0F38 F7 L0 ; Gy,Ey,By
    rorx F2 VEX.0F3A F0 L0 ; Gy,Ey,Ib
    """
}
