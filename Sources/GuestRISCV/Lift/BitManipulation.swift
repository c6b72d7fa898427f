// Zba, Zbb, Zbs and Zicond.
//
// Spec: Volume I, "B" Extension for Bit Manipulation; "Zicond" Extension for Integer Conditional Operations.

import IR

enum BitManipulation {
    static func join(_ row: LiftTable) {
        row("add.uw", add_uw)
        row("sh1add", sh1add)
        row("sh2add", sh2add)
        row("sh3add", sh3add)
        row("sh1add.uw", sh1add_uw)
        row("sh2add.uw", sh2add_uw)
        row("sh3add.uw", sh3add_uw)
        row("slli.uw", slli_uw)
        row("andn", andn)
        row("orn", orn)
        row("xnor", xnor)
        row("clz", clz)
        row("ctz", ctz)
        row("cpop", cpop)
        row("clzw", clzw)
        row("ctzw", ctzw)
        row("cpopw", cpopw)
        row("max", max)
        row("maxu", maxu)
        row("min", min)
        row("minu", minu)
        row("sext.b", sext_b)
        row("sext.h", sext_h)
        row("zext.h", zext_h)
        row("rol", rol)
        row("ror", ror)
        row("rori", rori)
        row("rolw", rolw)
        row("rorw", rorw)
        row("roriw", roriw)
        row("orc.b", orc_b)
        row("rev8", rev8)
        row("bclr", bclr)
        row("bclri", bclri)
        row("bext", bext)
        row("bexti", bexti)
        row("binv", binv)
        row("binvi", binvi)
        row("bset", bset)
        row("bseti", bseti)
        row("czero.eqz", czero_eqz)
        row("czero.nez", czero_nez)
    }

    // MARK: Zba
    static func add_uw(_ l: inout Lifter, _ i: Word) { l.shiftAdd(i, 0, l.unsignedWord(i.rs1)) }
    static func sh1add(_ l: inout Lifter, _ i: Word) { l.shiftAdd(i, 1, l.x(i.rs1)) }
    static func sh2add(_ l: inout Lifter, _ i: Word) { l.shiftAdd(i, 2, l.x(i.rs1)) }
    static func sh3add(_ l: inout Lifter, _ i: Word) { l.shiftAdd(i, 3, l.x(i.rs1)) }
    static func sh1add_uw(_ l: inout Lifter, _ i: Word) { l.shiftAdd(i, 1, l.unsignedWord(i.rs1)) }
    static func sh2add_uw(_ l: inout Lifter, _ i: Word) { l.shiftAdd(i, 2, l.unsignedWord(i.rs1)) }
    static func sh3add_uw(_ l: inout Lifter, _ i: Word) { l.shiftAdd(i, 3, l.unsignedWord(i.rs1)) }
    static func slli_uw(_ l: inout Lifter, _ i: Word) {
        l.setX(i.rd, l.b.binary(.shiftLeft, l.unsignedWord(i.rs1), l.k(i.shamt6)))
    }

    // MARK: Zbb
    static func andn(_ l: inout Lifter, _ i: Word) { l.registers(.andNot, i.rd, i.rs1, i.rs2) }
    static func orn(_ l: inout Lifter, _ i: Word) {
        l.setX(i.rd, l.b.or(l.x(i.rs1), l.b.unary(.not, l.x(i.rs2))))
    }
    static func xnor(_ l: inout Lifter, _ i: Word) {
        l.setX(i.rd, l.b.unary(.not, l.b.xor(l.x(i.rs1), l.x(i.rs2))))
    }
    static func clz(_ l: inout Lifter, _ i: Word) { l.setX(i.rd, l.b.unary(.countLeadingZeros, l.x(i.rs1))) }
    static func ctz(_ l: inout Lifter, _ i: Word) { l.setX(i.rd, l.b.unary(.countTrailingZeros, l.x(i.rs1))) }
    static func cpop(_ l: inout Lifter, _ i: Word) { l.setX(i.rd, l.b.unary(.populationCount, l.x(i.rs1))) }
    static func clzw(_ l: inout Lifter, _ i: Word) { l.setW(i.rd, l.b.unary(.countLeadingZeros, l.w(i.rs1))) }
    static func ctzw(_ l: inout Lifter, _ i: Word) { l.setW(i.rd, l.b.unary(.countTrailingZeros, l.w(i.rs1))) }
    static func cpopw(_ l: inout Lifter, _ i: Word) { l.setW(i.rd, l.b.unary(.populationCount, l.w(i.rs1))) }
    static func max(_ l: inout Lifter, _ i: Word) { l.choose(i, .lessSigned, takeFirst: false) }
    static func maxu(_ l: inout Lifter, _ i: Word) { l.choose(i, .lessUnsigned, takeFirst: false) }
    static func min(_ l: inout Lifter, _ i: Word) { l.choose(i, .lessSigned, takeFirst: true) }
    static func minu(_ l: inout Lifter, _ i: Word) { l.choose(i, .lessUnsigned, takeFirst: true) }
    static func sext_b(_ l: inout Lifter, _ i: Word) {
        l.setX(i.rd, l.b.signExtend(l.b.truncate(l.x(i.rs1), .i8), .i64))
    }
    static func sext_h(_ l: inout Lifter, _ i: Word) {
        l.setX(i.rd, l.b.signExtend(l.b.truncate(l.x(i.rs1), .i16), .i64))
    }
    static func zext_h(_ l: inout Lifter, _ i: Word) {
        l.setX(i.rd, l.b.zeroExtend(l.b.truncate(l.x(i.rs1), .i16), .i64))
    }
    static func rol(_ l: inout Lifter, _ i: Word) { l.registers(.rotateLeft, i.rd, i.rs1, i.rs2) }
    static func ror(_ l: inout Lifter, _ i: Word) { l.registers(.rotateRight, i.rd, i.rs1, i.rs2) }
    static func rori(_ l: inout Lifter, _ i: Word) { l.immediate(.rotateRight, i.rd, i.rs1, i.shamt6) }
    static func rolw(_ l: inout Lifter, _ i: Word) { l.registersW(.rotateLeft, i.rd, i.rs1, i.rs2) }
    static func rorw(_ l: inout Lifter, _ i: Word) { l.registersW(.rotateRight, i.rd, i.rs1, i.rs2) }
    static func roriw(_ l: inout Lifter, _ i: Word) { l.immediateW(.rotateRight, i.rd, i.rs1, i.shamt5) }

    private static let lowSevenBits: Int64 = 0x7F7F_7F7F_7F7F_7F7F
    private static let lowBits: Int64 = 0x0101_0101_0101_0101

    /// Each byte becomes all ones unless it is zero: adding 127 to its low seven bits carries into its top bit exactly
    /// when one of them is set.
    static func orc_b(_ l: inout Lifter, _ i: Word) {
        if i.rd == 0 { return }
        let source = l.x(i.rs1), mask = l.k(lowSevenBits)
        let carried = l.b.or(l.b.add(l.b.and(source, mask), mask), source)
        let ones = l.b.and(l.b.binary(.shiftRightUnsigned, carried, l.k(7)), l.k(lowBits))
        l.setX(i.rd, l.b.sub(l.b.binary(.shiftLeft, ones, l.k(8)), ones))
    }
    static func rev8(_ l: inout Lifter, _ i: Word) { l.setX(i.rd, l.b.unary(.byteSwap, l.x(i.rs1))) }

    // MARK: Zbs
    static func bclr(_ l: inout Lifter, _ i: Word) { l.setX(i.rd, l.b.binary(.andNot, l.x(i.rs1), l.bit(i.rs2))) }
    static func bclri(_ l: inout Lifter, _ i: Word) { l.immediate(.and, i.rd, i.rs1, ~(1 << i.shamt6)) }
    static func bext(_ l: inout Lifter, _ i: Word) {
        l.setX(i.rd, l.b.and(l.b.binary(.shiftRightUnsigned, l.x(i.rs1), l.x(i.rs2)), l.k(1)))
    }
    static func bexti(_ l: inout Lifter, _ i: Word) {
        l.setX(i.rd, l.b.and(l.b.binary(.shiftRightUnsigned, l.x(i.rs1), l.k(i.shamt6)), l.k(1)))
    }
    static func binv(_ l: inout Lifter, _ i: Word) { l.setX(i.rd, l.b.xor(l.x(i.rs1), l.bit(i.rs2))) }
    static func binvi(_ l: inout Lifter, _ i: Word) { l.immediate(.xor, i.rd, i.rs1, 1 << i.shamt6) }
    static func bset(_ l: inout Lifter, _ i: Word) { l.setX(i.rd, l.b.or(l.x(i.rs1), l.bit(i.rs2))) }
    static func bseti(_ l: inout Lifter, _ i: Word) { l.immediate(.or, i.rd, i.rs1, 1 << i.shamt6) }

    // MARK: Zicond
    static func czero_eqz(_ l: inout Lifter, _ i: Word) { l.zeroIf(.equal, i) }
    static func czero_nez(_ l: inout Lifter, _ i: Word) { l.zeroIf(.notEqual, i) }
}

extension Lifter {
    /// Low half of a register, zero-extended.
    @inline(__always)
    func unsignedWord(_ register: Int) -> ValueID { b.zeroExtend(w(register), .i64) }

    @inline(__always)
    func shiftAdd(_ i: Word, _ amount: Int64, _ index: ValueID) {
        setX(i.rd, b.add(b.binary(.shiftLeft, index, k(amount)), x(i.rs2)))
    }

    /// 1 << register
    @inline(__always)
    func bit(_ register: Int) -> ValueID { b.binary(.shiftLeft, k(1), x(register)) }

    @inline(__always)
    func choose(_ i: Word, _ condition: Condition, takeFirst: Bool) {
        if i.rd == 0 { return }
        let first = x(i.rs1), second = x(i.rs2)
        let less = b.compare(condition, first, second)
        setX(i.rd, takeFirst ? b.select(less, first, second) : b.select(less, second, first))
    }

    @inline(__always)
    func zeroIf(_ condition: Condition, _ i: Word) {
        if i.rd == 0 { return }
        setX(i.rd, b.select(b.compare(condition, x(i.rs2), k(0)), k(0), x(i.rs1)))
    }
}
