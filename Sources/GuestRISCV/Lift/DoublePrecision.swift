// The "D" Extension for Double-Precision Floating-Point.
//
// Spec: Volume I, "D" Extension for Double-Precision Floating-Point.

import IR

enum DoublePrecision {
    static func join(_ row: LiftTable) {
        row("fld", fld)
        row("fsd", fsd)
        row("fmadd.d", fmadd_d)
        row("fmsub.d", fmsub_d)
        row("fnmsub.d", fnmsub_d)
        row("fnmadd.d", fnmadd_d)
        row("fadd.d", fadd_d)
        row("fsub.d", fsub_d)
        row("fmul.d", fmul_d)
        row("fdiv.d", fdiv_d)
        row("fsqrt.d", fsqrt_d)
        row("fmin.d", fmin_d)
        row("fmax.d", fmax_d)
        row("fsgnj.d", fsgnj_d)
        row("fsgnjn.d", fsgnjn_d)
        row("fsgnjx.d", fsgnjx_d)
        row("fcvt.w.d", fcvt_w_d)
        row("fcvt.wu.d", fcvt_wu_d)
        row("fcvt.l.d", fcvt_l_d)
        row("fcvt.lu.d", fcvt_lu_d)
        row("fcvt.d.w", fcvt_d_w)
        row("fcvt.d.wu", fcvt_d_wu)
        row("fcvt.d.l", fcvt_d_l)
        row("fcvt.d.lu", fcvt_d_lu)
        row("feq.d", feq_d)
        row("flt.d", flt_d)
        row("fle.d", fle_d)
        row("fclass.d", fclass_d)
        row("fcvt.s.d", fcvt_s_d)
        row("fcvt.d.s", fcvt_d_s)
        row("fmv.x.d", fmv_x_d)
        row("fmv.d.x", fmv_d_x)
    }

    static func fld(_ l: inout Lifter, _ i: Word) { l.loadD(i.rd, i.rs1, i.immI) }
    static func fsd(_ l: inout Lifter, _ i: Word) { l.storeD(i.rs2, i.rs1, i.immS) }
    static func fmadd_d(_ l: inout Lifter, _ i: Word) { l.fused(i, .double, negateProduct: false, negateAddend: false) }
    static func fmsub_d(_ l: inout Lifter, _ i: Word) { l.fused(i, .double, negateProduct: false, negateAddend: true) }
    static func fnmsub_d(_ l: inout Lifter, _ i: Word) { l.fused(i, .double, negateProduct: true, negateAddend: false) }
    static func fnmadd_d(_ l: inout Lifter, _ i: Word) { l.fused(i, .double, negateProduct: true, negateAddend: true) }
    static func fadd_d(_ l: inout Lifter, _ i: Word) { l.arithmetic(.floatAdd, i, .double) }
    static func fsub_d(_ l: inout Lifter, _ i: Word) { l.arithmetic(.floatSubtract, i, .double) }
    static func fmul_d(_ l: inout Lifter, _ i: Word) { l.arithmetic(.floatMultiply, i, .double) }
    static func fdiv_d(_ l: inout Lifter, _ i: Word) { l.arithmetic(.floatDivide, i, .double) }
    static func fsqrt_d(_ l: inout Lifter, _ i: Word) { l.squareRoot(i, .double) }
    static func fmin_d(_ l: inout Lifter, _ i: Word) { l.extremum(.floatMinimum, i, .double) }
    static func fmax_d(_ l: inout Lifter, _ i: Word) { l.extremum(.floatMaximum, i, .double) }
    static func fsgnj_d(_ l: inout Lifter, _ i: Word) { l.signInjection(.copySign, same: nil, i, .double) }
    static func fsgnjn_d(_ l: inout Lifter, _ i: Word) { l.signInjection(.copySignNegated, same: .floatNegate, i, .double) }
    static func fsgnjx_d(_ l: inout Lifter, _ i: Word) { l.signInjection(.xorSign, same: .floatAbsolute, i, .double) }
    static func fcvt_w_d(_ l: inout Lifter, _ i: Word) { l.toInteger(.floatToSigned, .i32, i, .double) }
    static func fcvt_wu_d(_ l: inout Lifter, _ i: Word) { l.toInteger(.floatToUnsigned, .i32, i, .double) }
    static func fcvt_l_d(_ l: inout Lifter, _ i: Word) { l.toInteger(.floatToSigned, .i64, i, .double) }
    static func fcvt_lu_d(_ l: inout Lifter, _ i: Word) { l.toInteger(.floatToUnsigned, .i64, i, .double) }
    static func fcvt_d_w(_ l: inout Lifter, _ i: Word) { l.fromInteger(.signedToFloat, .i32, i, .double) }
    static func fcvt_d_wu(_ l: inout Lifter, _ i: Word) { l.fromInteger(.unsignedToFloat, .i32, i, .double) }
    static func fcvt_d_l(_ l: inout Lifter, _ i: Word) { l.fromInteger(.signedToFloat, .i64, i, .double) }
    static func fcvt_d_lu(_ l: inout Lifter, _ i: Word) { l.fromInteger(.unsignedToFloat, .i64, i, .double) }
    static func feq_d(_ l: inout Lifter, _ i: Word) { l.floatCompare(.equal, i, .double) }
    static func flt_d(_ l: inout Lifter, _ i: Word) { l.floatCompare(.less, i, .double) }
    static func fle_d(_ l: inout Lifter, _ i: Word) { l.floatCompare(.lessOrEqual, i, .double) }
    static func fclass_d(_ l: inout Lifter, _ i: Word) { l.classify(i, .double) }

    static func fcvt_s_d(_ l: inout Lifter, _ i: Word) {
        guard let rounding = l.floatReady(rm: i.rm) else { return }
        l.setS(i.rd, l.b.convert(.floatToFloat, l.d(i.rs1), to: .f32, rounding: rounding))
    }
    /// Exact; only the encoding of rm is checked.
    static func fcvt_d_s(_ l: inout Lifter, _ i: Word) {
        guard l.floatReady(rm: i.rm) != nil else { return }
        l.setD(i.rd, l.b.convert(.floatToFloat, l.s(i.rs1), to: .f64))
    }
    static func fmv_x_d(_ l: inout Lifter, _ i: Word) {
        guard l.floatReady() else { return }
        l.setX(i.rd, l.b.convert(.bitcast, l.d(i.rs1), to: .i64))
    }
    static func fmv_d_x(_ l: inout Lifter, _ i: Word) {
        guard l.floatReady() else { return }
        l.setD(i.rd, l.b.convert(.bitcast, l.x(i.rs1), to: .f64))
    }
}
