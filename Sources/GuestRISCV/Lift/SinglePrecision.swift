// The "F" Extension for Single-Precision Floating-Point.
//
// Spec: Volume I, "F" Extension for Single-Precision Floating-Point.

import IR

enum SinglePrecision {
    static func join(_ row: LiftTable) {
        row("flw", flw)
        row("fsw", fsw)
        row("fmadd.s", fmadd_s)
        row("fmsub.s", fmsub_s)
        row("fnmsub.s", fnmsub_s)
        row("fnmadd.s", fnmadd_s)
        row("fadd.s", fadd_s)
        row("fsub.s", fsub_s)
        row("fmul.s", fmul_s)
        row("fdiv.s", fdiv_s)
        row("fsqrt.s", fsqrt_s)
        row("fmin.s", fmin_s)
        row("fmax.s", fmax_s)
        row("fsgnj.s", fsgnj_s)
        row("fsgnjn.s", fsgnjn_s)
        row("fsgnjx.s", fsgnjx_s)
        row("fcvt.w.s", fcvt_w_s)
        row("fcvt.wu.s", fcvt_wu_s)
        row("fcvt.l.s", fcvt_l_s)
        row("fcvt.lu.s", fcvt_lu_s)
        row("fcvt.s.w", fcvt_s_w)
        row("fcvt.s.wu", fcvt_s_wu)
        row("fcvt.s.l", fcvt_s_l)
        row("fcvt.s.lu", fcvt_s_lu)
        row("feq.s", feq_s)
        row("flt.s", flt_s)
        row("fle.s", fle_s)
        row("fclass.s", fclass_s)
        row("fmv.x.w", fmv_x_w)
        row("fmv.w.x", fmv_w_x)
    }

    static func flw(_ l: inout Lifter, _ i: Word) { l.loadS(i.rd, i.rs1, i.immI) }
    static func fsw(_ l: inout Lifter, _ i: Word) { l.storeS(i.rs2, i.rs1, i.immS) }
    static func fmadd_s(_ l: inout Lifter, _ i: Word) { l.fused(i, .single, negateProduct: false, negateAddend: false) }
    static func fmsub_s(_ l: inout Lifter, _ i: Word) { l.fused(i, .single, negateProduct: false, negateAddend: true) }
    static func fnmsub_s(_ l: inout Lifter, _ i: Word) { l.fused(i, .single, negateProduct: true, negateAddend: false) }
    static func fnmadd_s(_ l: inout Lifter, _ i: Word) { l.fused(i, .single, negateProduct: true, negateAddend: true) }
    static func fadd_s(_ l: inout Lifter, _ i: Word) { l.arithmetic(.floatAdd, i, .single) }
    static func fsub_s(_ l: inout Lifter, _ i: Word) { l.arithmetic(.floatSubtract, i, .single) }
    static func fmul_s(_ l: inout Lifter, _ i: Word) { l.arithmetic(.floatMultiply, i, .single) }
    static func fdiv_s(_ l: inout Lifter, _ i: Word) { l.arithmetic(.floatDivide, i, .single) }
    static func fsqrt_s(_ l: inout Lifter, _ i: Word) { l.squareRoot(i, .single) }
    static func fmin_s(_ l: inout Lifter, _ i: Word) { l.extremum(.floatMinimum, i, .single) }
    static func fmax_s(_ l: inout Lifter, _ i: Word) { l.extremum(.floatMaximum, i, .single) }
    static func fsgnj_s(_ l: inout Lifter, _ i: Word) { l.signInjection(.copySign, same: nil, i, .single) }
    static func fsgnjn_s(_ l: inout Lifter, _ i: Word) { l.signInjection(.copySignNegated, same: .floatNegate, i, .single) }
    static func fsgnjx_s(_ l: inout Lifter, _ i: Word) { l.signInjection(.xorSign, same: .floatAbsolute, i, .single) }
    static func fcvt_w_s(_ l: inout Lifter, _ i: Word) { l.toInteger(.floatToSigned, .i32, i, .single) }
    static func fcvt_wu_s(_ l: inout Lifter, _ i: Word) { l.toInteger(.floatToUnsigned, .i32, i, .single) }
    static func fcvt_l_s(_ l: inout Lifter, _ i: Word) { l.toInteger(.floatToSigned, .i64, i, .single) }
    static func fcvt_lu_s(_ l: inout Lifter, _ i: Word) { l.toInteger(.floatToUnsigned, .i64, i, .single) }
    static func fcvt_s_w(_ l: inout Lifter, _ i: Word) { l.fromInteger(.signedToFloat, .i32, i, .single) }
    static func fcvt_s_wu(_ l: inout Lifter, _ i: Word) { l.fromInteger(.unsignedToFloat, .i32, i, .single) }
    static func fcvt_s_l(_ l: inout Lifter, _ i: Word) { l.fromInteger(.signedToFloat, .i64, i, .single) }
    static func fcvt_s_lu(_ l: inout Lifter, _ i: Word) { l.fromInteger(.unsignedToFloat, .i64, i, .single) }
    static func feq_s(_ l: inout Lifter, _ i: Word) { l.floatCompare(.equal, i, .single) }
    static func flt_s(_ l: inout Lifter, _ i: Word) { l.floatCompare(.less, i, .single) }
    static func fle_s(_ l: inout Lifter, _ i: Word) { l.floatCompare(.lessOrEqual, i, .single) }
    static func fclass_s(_ l: inout Lifter, _ i: Word) { l.classify(i, .single) }

    /// The low 32 bits as they are, boxed or not.
    static func fmv_x_w(_ l: inout Lifter, _ i: Word) {
        guard l.floatReady() else { return }
        l.setW(i.rd, l.b.truncate(l.b.convert(.bitcast, l.d(i.rs1), to: .i64), .i32))
    }
    static func fmv_w_x(_ l: inout Lifter, _ i: Word) {
        guard l.floatReady() else { return }
        l.setS(i.rd, l.b.convert(.bitcast, l.w(i.rs1), to: .f32))
    }
}
