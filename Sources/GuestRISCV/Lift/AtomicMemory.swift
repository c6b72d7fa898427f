// The A extension. Ordering bits need nothing: host locked operations are sequentially consistent. Misaligned
// addresses fault, as without Zama16b.
//
// Spec: Volume I, "A" Extension for Atomic Instructions.

import IR

enum AtomicMemory {
    static let word = MemoryFormat(sizeLog2: 2, signed: true, aligned: true)
    static let double = MemoryFormat(sizeLog2: 3, aligned: true)

    static func join(_ row: LiftTable) {
        row("lr.w", lr_w)
        row("lr.d", lr_d)
        row("sc.w", sc_w)
        row("sc.d", sc_d)
        row("amoswap.w", amoswap_w)
        row("amoadd.w", amoadd_w)
        row("amoxor.w", amoxor_w)
        row("amoand.w", amoand_w)
        row("amoor.w", amoor_w)
        row("amomin.w", amomin_w)
        row("amomax.w", amomax_w)
        row("amominu.w", amominu_w)
        row("amomaxu.w", amomaxu_w)
        row("amoswap.d", amoswap_d)
        row("amoadd.d", amoadd_d)
        row("amoxor.d", amoxor_d)
        row("amoand.d", amoand_d)
        row("amoor.d", amoor_d)
        row("amomin.d", amomin_d)
        row("amomax.d", amomax_d)
        row("amominu.d", amominu_d)
        row("amomaxu.d", amomaxu_d)
    }

    static func lr_w(_ l: inout Lifter, _ i: Word) { l.setX(i.rd, l.b.loadReserved(l.x(i.rs1), word)) }
    static func lr_d(_ l: inout Lifter, _ i: Word) { l.setX(i.rd, l.b.loadReserved(l.x(i.rs1), double)) }
    static func sc_w(_ l: inout Lifter, _ i: Word) {
        l.setX(i.rd, l.b.storeConditional(l.x(i.rs1), l.x(i.rs2), word))
    }
    static func sc_d(_ l: inout Lifter, _ i: Word) {
        l.setX(i.rd, l.b.storeConditional(l.x(i.rs1), l.x(i.rs2), double))
    }

    static func amoswap_w(_ l: inout Lifter, _ i: Word) { l.atomic(.swap, i, word) }
    static func amoadd_w(_ l: inout Lifter, _ i: Word) { l.atomic(.add, i, word) }
    static func amoxor_w(_ l: inout Lifter, _ i: Word) { l.atomic(.xor, i, word) }
    static func amoand_w(_ l: inout Lifter, _ i: Word) { l.atomic(.and, i, word) }
    static func amoor_w(_ l: inout Lifter, _ i: Word) { l.atomic(.or, i, word) }
    static func amomin_w(_ l: inout Lifter, _ i: Word) { l.atomic(.minimumSigned, i, word) }
    static func amomax_w(_ l: inout Lifter, _ i: Word) { l.atomic(.maximumSigned, i, word) }
    static func amominu_w(_ l: inout Lifter, _ i: Word) { l.atomic(.minimumUnsigned, i, word) }
    static func amomaxu_w(_ l: inout Lifter, _ i: Word) { l.atomic(.maximumUnsigned, i, word) }
    static func amoswap_d(_ l: inout Lifter, _ i: Word) { l.atomic(.swap, i, double) }
    static func amoadd_d(_ l: inout Lifter, _ i: Word) { l.atomic(.add, i, double) }
    static func amoxor_d(_ l: inout Lifter, _ i: Word) { l.atomic(.xor, i, double) }
    static func amoand_d(_ l: inout Lifter, _ i: Word) { l.atomic(.and, i, double) }
    static func amoor_d(_ l: inout Lifter, _ i: Word) { l.atomic(.or, i, double) }
    static func amomin_d(_ l: inout Lifter, _ i: Word) { l.atomic(.minimumSigned, i, double) }
    static func amomax_d(_ l: inout Lifter, _ i: Word) { l.atomic(.maximumSigned, i, double) }
    static func amominu_d(_ l: inout Lifter, _ i: Word) { l.atomic(.minimumUnsigned, i, double) }
    static func amomaxu_d(_ l: inout Lifter, _ i: Word) { l.atomic(.maximumUnsigned, i, double) }
}

extension Lifter {
    @inline(__always)
    func atomic(_ operation: AtomicOperation, _ i: Word, _ format: MemoryFormat) {
        setX(i.rd, b.atomic(operation, x(i.rs1), x(i.rs2), format))
    }
}
