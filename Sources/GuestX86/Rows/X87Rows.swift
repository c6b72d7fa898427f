// Rows of the x87 escapes D8…DF.
//
// Spec: Intel SDM Volume 2, tables; AMD APM Volume 3, table A-15. The aliases at unused opcodes are in
// neither; every processor has them.

extension X86Rows {
    static let x87: StaticString = """
    @ x87 Arithmetic with memory
    fadd D8 /0 ; Md
    fmul D8 /1 ; Md
    fcom D8 /2 ; Md
    fcomp D8 /3 ; Md
    fsub D8 /4 ; Md
    fsubr D8 /5 ; Md
    fdiv D8 /6 ; Md
    fdivr D8 /7 ; Md
    fadd DC /0 ; Mq
    fmul DC /1 ; Mq
    fcom DC /2 ; Mq
    fcomp DC /3 ; Mq
    fsub DC /4 ; Mq
    fsubr DC /5 ; Mq
    fdiv DC /6 ; Mq
    fdivr DC /7 ; Mq
    fiadd DA /0 ; Md
    fimul DA /1 ; Md
    ficom DA /2 ; Md
    ficomp DA /3 ; Md
    fisub DA /4 ; Md
    fisubr DA /5 ; Md
    fidiv DA /6 ; Md
    fidivr DA /7 ; Md
    fiadd DE /0 ; Mw
    fimul DE /1 ; Mw
    ficom DE /2 ; Mw
    ficomp DE /3 ; Mw
    fisub DE /4 ; Mw
    fisubr DE /5 ; Mw
    fidiv DE /6 ; Mw
    fidivr DE /7 ; Mw
    @ x87 Arithmetic with registers; DC /2 /3 and DE /2 are old aliases
    fadd D8 /0 reg ; ST0,STi
    fmul D8 /1 reg ; ST0,STi
    fcom D8 /2 reg ; ST0,STi
    fcomp D8 /3 reg ; ST0,STi
    fsub D8 /4 reg ; ST0,STi
    fsubr D8 /5 reg ; ST0,STi
    fdiv D8 /6 reg ; ST0,STi
    fdivr D8 /7 reg ; ST0,STi
    fadd DC /0 reg ; STi,ST0
    fmul DC /1 reg ; STi,ST0
    fcom DC /2 reg ; ST0,STi
    fcomp DC /3 reg ; ST0,STi
    fsubr DC /4 reg ; STi,ST0
    fsub DC /5 reg ; STi,ST0
    fdivr DC /6 reg ; STi,ST0
    fdiv DC /7 reg ; STi,ST0
    faddp DE /0 reg ; STi,ST0
    fmulp DE /1 reg ; STi,ST0
    fcomp DE /2 reg ; ST0,STi
    fcompp DE =D9
    fsubrp DE /4 reg ; STi,ST0
    fsubp DE /5 reg ; STi,ST0
    fdivrp DE /6 reg ; STi,ST0
    fdivp DE /7 reg ; STi,ST0
    @ x87 Loads and stores
    fld D9 /0 mem ; Md
    fst D9 /2 mem ; Md
    fstp D9 /3 mem ; Md
    fldenv D9 /4 mem ; M
    fldcw D9 /5 mem ; Mw
    fnstenv D9 /6 mem ; M
    fnstcw D9 /7 mem ; Mw
    fild DB /0 mem ; Md
    fist DB /2 mem ; Md
    fistp DB /3 mem ; Md
    fld DB /5 mem ; Mt
    fstp DB /7 mem ; Mt
    fld DD /0 mem ; Mq
    fst DD /2 mem ; Mq
    fstp DD /3 mem ; Mq
    frstor DD /4 mem ; M
    fnsave DD /6 mem ; M
    fnstsw DD /7 mem ; Mw
    fild DF /0 mem ; Mw
    fist DF /2 mem ; Mw
    fistp DF /3 mem ; Mw
    fbld DF /4 mem ; Mt
    fild DF /5 mem ; Mq
    fbstp DF /6 mem ; Mt
    fistp DF /7 mem ; Mq
    @ sse3 Stores with truncation
    fisttp DB /1 mem ; Md
    fisttp DD /1 mem ; Mq
    fisttp DF /1 mem ; Mw
    @ x87 Registers; D9 /3, DD /1, DF /1 /2 /3 are old aliases
    fld D9 /0 reg ; STi
    fxch D9 /1 reg ; STi
    fstp D9 /3 reg ; STi
    ffree DD /0 reg ; STi
    fxch DD /1 reg ; STi
    fst DD /2 reg ; STi
    fstp DD /3 reg ; STi
    fucom DD /4 reg ; STi
    fucomp DD /5 reg ; STi
    fucompp DA =E9
    ffreep DF /0 reg ; STi
    fxch DF /1 reg ; STi
    fstp DF /2 /3 reg ; STi
    fnstsw DF =E0 ; AX
    @ x87 Without operands
    fnop D9 =D0
    fchs D9 =E0
    fabs D9 =E1
    ftst D9 =E4
    fxam D9 =E5
    fld1 D9 =E8
    fldl2t D9 =E9
    fldl2e D9 =EA
    fldpi D9 =EB
    fldlg2 D9 =EC
    fldln2 D9 =ED
    fldz D9 =EE
    f2xm1 D9 =F0
    fyl2x D9 =F1
    fptan D9 =F2
    fpatan D9 =F3
    fxtract D9 =F4
    fprem1 D9 =F5
    fdecstp D9 =F6
    fincstp D9 =F7
    fprem D9 =F8
    fyl2xp1 D9 =F9
    fsqrt D9 =FA
    fsincos D9 =FB
    frndint D9 =FC
    fscale D9 =FD
    fsin D9 =FE
    fcos D9 =FF
    @ x87 Control; DB E0 E1 E4 are of the 8087 and 80287 and do nothing
    fneni DB =E0
    fndisi DB =E1
    fnclex DB =E2
    fninit DB =E3
    fnsetpm DB =E4
    @ cmov Conditional moves and comparisons to EFLAGS
    fcmovb DA /0 reg ; ST0,STi
    fcmovnb DB /0 reg ; ST0,STi
    fcmove DA /1 reg ; ST0,STi
    fcmovne DB /1 reg ; ST0,STi
    fcmovbe DA /2 reg ; ST0,STi
    fcmovnbe DB /2 reg ; ST0,STi
    fcmovu DA /3 reg ; ST0,STi
    fcmovnu DB /3 reg ; ST0,STi
    fucomi DB /5 reg ; ST0,STi
    fcomi DB /6 reg ; ST0,STi
    fucomip DF /5 reg ; ST0,STi
    fcomip DF /6 reg ; ST0,STi
    """
}
