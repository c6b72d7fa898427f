// Rows of opcodes that ModRM.reg extends, one-byte and 0F map.
//
// Spec: Intel SDM Volume 2, table A-6; AMD APM Volume 3, tables.

extension X86Rows {
    static let group: StaticString = """
    @ i386 Immediate group 1
    add 80 /0 ; Eb,Ib ; lock
    or 80 /1 ; Eb,Ib ; lock
    adc 80 /2 ; Eb,Ib ; lock
    sbb 80 /3 ; Eb,Ib ; lock
    and 80 /4 ; Eb,Ib ; lock
    sub 80 /5 ; Eb,Ib ; lock
    xor 80 /6 ; Eb,Ib ; lock
    cmp 80 /7 ; Eb,Ib
    add 81 /0 ; Ev,Iz ; lock
    or 81 /1 ; Ev,Iz ; lock
    adc 81 /2 ; Ev,Iz ; lock
    sbb 81 /3 ; Ev,Iz ; lock
    and 81 /4 ; Ev,Iz ; lock
    sub 81 /5 ; Ev,Iz ; lock
    xor 81 /6 ; Ev,Iz ; lock
    cmp 81 /7 ; Ev,Iz
    add 82 /0 i64 ; Eb,Ib ; lock
    or 82 /1 i64 ; Eb,Ib ; lock
    adc 82 /2 i64 ; Eb,Ib ; lock
    sbb 82 /3 i64 ; Eb,Ib ; lock
    and 82 /4 i64 ; Eb,Ib ; lock
    sub 82 /5 i64 ; Eb,Ib ; lock
    xor 82 /6 i64 ; Eb,Ib ; lock
    cmp 82 /7 i64 ; Eb,Ib
    add 83 /0 ; Ev,Ibs ; lock
    or 83 /1 ; Ev,Ibs ; lock
    adc 83 /2 ; Ev,Ibs ; lock
    sbb 83 /3 ; Ev,Ibs ; lock
    and 83 /4 ; Ev,Ibs ; lock
    sub 83 /5 ; Ev,Ibs ; lock
    xor 83 /6 ; Ev,Ibs ; lock
    cmp 83 /7 ; Ev,Ibs
    @ i386 Shift group 2
    rol C0 /0 ; Eb,Ib
    ror C0 /1 ; Eb,Ib
    rcl C0 /2 ; Eb,Ib
    rcr C0 /3 ; Eb,Ib
    shl C0 /4 ; Eb,Ib
    shr C0 /5 ; Eb,Ib
    shl C0 /6 ; Eb,Ib
    sar C0 /7 ; Eb,Ib
    rol C1 /0 ; Ev,Ib
    ror C1 /1 ; Ev,Ib
    rcl C1 /2 ; Ev,Ib
    rcr C1 /3 ; Ev,Ib
    shl C1 /4 ; Ev,Ib
    shr C1 /5 ; Ev,Ib
    shl C1 /6 ; Ev,Ib
    sar C1 /7 ; Ev,Ib
    rol D0 /0 ; Eb,1
    ror D0 /1 ; Eb,1
    rcl D0 /2 ; Eb,1
    rcr D0 /3 ; Eb,1
    shl D0 /4 ; Eb,1
    shr D0 /5 ; Eb,1
    shl D0 /6 ; Eb,1
    sar D0 /7 ; Eb,1
    rol D1 /0 ; Ev,1
    ror D1 /1 ; Ev,1
    rcl D1 /2 ; Ev,1
    rcr D1 /3 ; Ev,1
    shl D1 /4 ; Ev,1
    shr D1 /5 ; Ev,1
    shl D1 /6 ; Ev,1
    sar D1 /7 ; Ev,1
    rol D2 /0 ; Eb,CL
    ror D2 /1 ; Eb,CL
    rcl D2 /2 ; Eb,CL
    rcr D2 /3 ; Eb,CL
    shl D2 /4 ; Eb,CL
    shr D2 /5 ; Eb,CL
    shl D2 /6 ; Eb,CL
    sar D2 /7 ; Eb,CL
    rol D3 /0 ; Ev,CL
    ror D3 /1 ; Ev,CL
    rcl D3 /2 ; Ev,CL
    rcr D3 /3 ; Ev,CL
    shl D3 /4 ; Ev,CL
    shr D3 /5 ; Ev,CL
    shl D3 /6 ; Ev,CL
    sar D3 /7 ; Ev,CL
    @ i386 Unary group 3; /1 is not in Intel's manual
    test F6 /0 /1 ; Eb,Ib
    not F6 /2 ; Eb ; lock
    neg F6 /3 ; Eb ; lock
    mul F6 /4 ; Eb
    imul F6 /5 ; Eb
    div F6 /6 ; Eb
    idiv F6 /7 ; Eb
    test F7 /0 /1 ; Ev,Iz
    not F7 /2 ; Ev ; lock
    neg F7 /3 ; Ev ; lock
    mul F7 /4 ; Ev
    imul F7 /5 ; Ev
    div F7 /6 ; Ev
    idiv F7 /7 ; Ev
    @ i386 Groups 4, 5 and 11
    inc FE /0 ; Eb ; lock
    dec FE /1 ; Eb ; lock
    inc FF /0 ; Ev ; lock
    dec FF /1 ; Ev ; lock
    call FF /2 ; Ev ; d64 end
    callf FF /3 ; Mp ; end
    jmp FF /4 ; Ev ; d64 end
    jmpf FF /5 ; Mp ; end
    push FF /6 ; Ev ; d64
    mov C6 /0 ; Eb,Ib
    mov C7 /0 ; Ev,Iz
    @ i386 Groups 6 and 7
    sldt 0F 00 /0 ; Evw ; protected
    str 0F 00 /1 ; Evw ; protected
    lldt 0F 00 /2 ; Ew ; cpl0 protected
    ltr 0F 00 /3 ; Ew ; cpl0 protected
    verr 0F 00 /4 ; Ew ; protected
    verw 0F 00 /5 ; Ew ; protected
    sgdt 0F 01 /0 ; Ms ; f64
    sidt 0F 01 /1 ; Ms ; f64
    lgdt 0F 01 /2 ; Ms ; f64 cpl0
    lidt 0F 01 /3 ; Ms ; f64 cpl0
    smsw 0F 01 /4 ; Evw
    lmsw 0F 01 /6 ; Ew ; cpl0 end
    @ i486 Group 7
    invlpg 0F 01 /7 mem ; Mb ; cpl0
    @ monitor Group 7
    monitor 0F 01 =C8 ; ; ring0
    mwait 0F 01 =C9 ; ; ring0 end
    @ smap Group 7
    clac np 0F 01 =CA ; ; ring0 end
    stac np 0F 01 =CB ; ; ring0 end
    @ xsave Group 7
    xgetbv np 0F 01 =D0
    xsetbv np 0F 01 =D1 ; ; cpl0 end
    @ longMode Group 7
    swapgs 0F 01 =F8 o64 ; ; cpl0
    @ rdtscp Group 7
    rdtscp 0F 01 =F9
    @ monitorx Group 7
    monitorx np 0F 01 =FA
    mwaitx np 0F 01 =FB ; ; end
    @ clzero Group 7
    clzero 0F 01 =FC
    @ i386 Group 8
    bt 0F BA /4 ; Ev,Ib
    bts 0F BA /5 ; Ev,Ib ; lock
    btr 0F BA /6 ; Ev,Ib ; lock
    btc 0F BA /7 ; Ev,Ib ; lock
    @ cx8 Group 9
    cmpxchg8b 0F C7 /1 mem W0 ; Mq ; lock
    @ cx16 Group 9
    cmpxchg16b 0F C7 /1 mem W1 ; Mdq ; lock aligned
    @ rdrand Group 9
    rdrand nr 0F C7 /6 ; Rv
    @ rdseed Group 9
    rdseed nr 0F C7 /7 ; Rv
    @ rdpid Group 9
    rdpid F3 0F C7 /7 ; Rn
    @ xsaves Group 9
    xrstors np 0F C7 /3 ; M ; cpl0
    xsaves np 0F C7 /5 ; M ; cpl0
    @ xsavec Group 9
    xsavec np 0F C7 /4 ; M
    @ fxsr Group 15
    fxsave np 0F AE /0 ; M
    fxrstor np 0F AE /1 ; M
    @ sse Group 15
    ldmxcsr np 0F AE /2 ; Md ; sse
    stmxcsr np 0F AE /3 ; Md ; sse
    @ xsave Group 15
    xsave np 0F AE /4 ; M
    xrstor np 0F AE /5 mem ; M
    @ xsaveopt Group 15
    xsaveopt np 0F AE /6 mem ; M
    @ clflush Group 15
    clflush np 0F AE /7 mem ; Mb
    @ clflushopt Group 15
    clflushopt 66 0F AE /7 mem ; Mb
    @ clwb Group 15
    clwb 66 0F AE /6 mem ; Mb
    @ sse2 Group 15
    lfence np 0F AE /5 reg
    mfence np 0F AE /6 reg
    @ mmxExtensions Group 15
    sfence np 0F AE /7 reg
    @ fsgsbase Group 15
    rdfsbase F3 0F AE /0 o64 ; Ry
    rdgsbase F3 0F AE /1 o64 ; Ry
    wrfsbase F3 0F AE /2 o64 ; Ry
    wrgsbase F3 0F AE /3 o64 ; Ry
    @ mmxExtensions Group 16
    prefetchnta 0F 18 /0 mem ; Mb
    prefetcht0 0F 18 /1 mem ; Mb
    prefetcht1 0F 18 /2 mem ; Mb
    prefetcht2 0F 18 /3 mem ; Mb
    @ prefetchw Group P
    prefetchw 0F 0D /1 mem ; Mb
    prefetch 0F 0D mem ; Mb
    """
}
