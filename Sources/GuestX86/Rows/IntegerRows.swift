// Rows of the one-byte opcode map, without groups and x87.
//
// Spec: Intel SDM Volume 2, table A-2; AMD APM Volume 3, tables.

/// The x86 instruction set as text; RowParser has the grammar.
enum X86Rows {
    static let integer: StaticString = """
    @ i386 One-byte opcodes
    add 00 ; Eb,Gb ; lock
    add 01 ; Ev,Gv ; lock
    add 02 ; Gb,Eb
    add 03 ; Gv,Ev
    add 04 ; AL,Ib
    add 05 ; rAX,Iz
    or 08 ; Eb,Gb ; lock
    or 09 ; Ev,Gv ; lock
    or 0A ; Gb,Eb
    or 0B ; Gv,Ev
    or 0C ; AL,Ib
    or 0D ; rAX,Iz
    adc 10 ; Eb,Gb ; lock
    adc 11 ; Ev,Gv ; lock
    adc 12 ; Gb,Eb
    adc 13 ; Gv,Ev
    adc 14 ; AL,Ib
    adc 15 ; rAX,Iz
    sbb 18 ; Eb,Gb ; lock
    sbb 19 ; Ev,Gv ; lock
    sbb 1A ; Gb,Eb
    sbb 1B ; Gv,Ev
    sbb 1C ; AL,Ib
    sbb 1D ; rAX,Iz
    and 20 ; Eb,Gb ; lock
    and 21 ; Ev,Gv ; lock
    and 22 ; Gb,Eb
    and 23 ; Gv,Ev
    and 24 ; AL,Ib
    and 25 ; rAX,Iz
    sub 28 ; Eb,Gb ; lock
    sub 29 ; Ev,Gv ; lock
    sub 2A ; Gb,Eb
    sub 2B ; Gv,Ev
    sub 2C ; AL,Ib
    sub 2D ; rAX,Iz
    xor 30 ; Eb,Gb ; lock
    xor 31 ; Ev,Gv ; lock
    xor 32 ; Gb,Eb
    xor 33 ; Gv,Ev
    xor 34 ; AL,Ib
    xor 35 ; rAX,Iz
    cmp 38 ; Eb,Gb
    cmp 39 ; Ev,Gv
    cmp 3A ; Gb,Eb
    cmp 3B ; Gv,Ev
    cmp 3C ; AL,Ib
    cmp 3D ; rAX,Iz
    push 06 i64 ; ES
    pop 07 i64 ; ES ; end
    push 0E i64 ; CS
    push 16 i64 ; SS
    pop 17 i64 ; SS ; end
    push 1E i64 ; DS
    pop 1F i64 ; DS ; end
    daa 27 i64
    das 2F i64
    aaa 37 i64
    aas 3F i64
    inc 40..47 i64 ; Zv
    dec 48..4F i64 ; Zv
    push 50..57 ; Zv ; d64
    pop 58..5F ; Zv ; d64
    pusha 60 i64
    popa 61 i64
    bound 62 i64 ; Gv,Ma
    movsxd 63 o64 ; Gv,Ez
    arpl 63 i64 ; Ew,Gw ; protected
    push 68 ; Iz ; d64
    imul 69 ; Gv,Ev,Iz
    push 6A ; Ibs ; d64
    imul 6B ; Gv,Ev,Ibs
    ins 6C ; Yb,DX ; string
    ins 6D ; Yz,DX ; string
    outs 6E ; DX,Xb ; string
    outs 6F ; DX,Xz ; string
    jcc 70..7F ; Jb ; d64 end
    test 84 ; Eb,Gb
    test 85 ; Ev,Gv
    xchg 86 ; Eb,Gb ; lock
    xchg 87 ; Ev,Gv ; lock
    mov 88 ; Eb,Gb
    mov 89 ; Ev,Gv
    mov 8A ; Gb,Eb
    mov 8B ; Gv,Ev
    mov 8C /0 /1 /2 /3 /4 /5 ; Evw,Sw
    lea 8D ; Gv,M
    mov 8E /0 /2 /3 /4 /5 ; Sw,Ew ; end
    pop 8F /0 ; Ev ; d64
    pause F3 90 B0
    nop 90 B0
    xchg 90..97 ; Zv,rAX
    cbw 98
    cwd 99
    callf 9A i64 ; Ap ; end
    pushf 9C ; ; d64
    popf 9D ; ; d64 end
    sahf 9E i64
    lahf 9F i64
    mov A0 ; AL,Ob
    mov A1 ; rAX,Ov
    mov A2 ; Ob,AL
    mov A3 ; Ov,rAX
    movs A4 ; Yb,Xb ; string
    movs A5 ; Yv,Xv ; string
    cmps A6 ; Xb,Yb ; string
    cmps A7 ; Xv,Yv ; string
    test A8 ; AL,Ib
    test A9 ; rAX,Iz
    stos AA ; Yb,AL ; string
    stos AB ; Yv,rAX ; string
    lods AC ; AL,Xb ; string
    lods AD ; rAX,Xv ; string
    scas AE ; AL,Yb ; string
    scas AF ; rAX,Yv ; string
    mov B0..B7 ; Zb,Ib
    mov B8..BF ; Zv,Iv
    ret C2 ; Iw ; d64 end
    ret C3 ; ; d64 end
    les C4 i64 ; Gv,Mp ; end
    lds C5 i64 ; Gv,Mp ; end
    enter C8 ; Iw,Ib2 ; d64
    leave C9 ; ; d64
    retf CA ; Iw ; end
    retf CB ; ; end
    int3 CC ; ; end
    int CD ; Ib ; end
    into CE i64 ; ; end
    iret CF ; ; end
    aam D4 i64 ; Ib
    aad D5 i64 ; Ib
    salc D6 i64
    xlat D7
    loopne E0 ; Jb ; d64 end
    loope E1 ; Jb ; d64 end
    loop E2 ; Jb ; d64 end
    jcxz E3 ; Jb ; d64 end
    in E4 ; AL,Ib
    in E5 ; eAX,Ib
    out E6 ; Ib,AL
    out E7 ; Ib,eAX
    call E8 ; Jz ; d64 end
    jmp E9 ; Jz ; d64 end
    jmpf EA i64 ; Ap ; end
    jmp EB ; Jb ; d64 end
    in EC ; AL,DX
    in ED ; eAX,DX
    out EE ; DX,AL
    out EF ; DX,eAX
    int1 F1 ; ; end
    hlt F4 ; ; cpl0 end
    cmc F5
    clc F8
    stc F9
    cli FA ; ; end
    sti FB ; ; end
    cld FC
    std FD
    @ lahf64 LAHF and SAHF
    sahf 9E o64
    lahf 9F o64
    @ x87 Wait
    fwait 9B ; ; x87
    """
}
