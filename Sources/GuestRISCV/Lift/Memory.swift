// Loads, stores and fences. Misaligned accesses work, as on most implementations.
//
// Spec: Volume I, RV32I and RV64I Load and store instructions, Memory ordering instructions.

import IR
import Translator

enum Memory {
    static let s8 = MemoryFormat(sizeLog2: 0, signed: true), u8 = MemoryFormat(sizeLog2: 0)
    static let s16 = MemoryFormat(sizeLog2: 1, signed: true), u16 = MemoryFormat(sizeLog2: 1)
    static let s32 = MemoryFormat(sizeLog2: 2, signed: true), u32 = MemoryFormat(sizeLog2: 2)
    static let u64 = MemoryFormat(sizeLog2: 3)

    static func join(_ row: LiftTable) {
        row("lb", lb)
        row("lh", lh)
        row("lw", lw)
        row("ld", ld)
        row("lbu", lbu)
        row("lhu", lhu)
        row("lwu", lwu)
        row("sb", sb)
        row("sh", sh)
        row("sw", sw)
        row("sd", sd)
        row("fence", fence)
        row("fence.tso", fence_tso)
        row("pause", pause)
        row("fence.i", fence_i)
    }

    static func lb(_ l: inout Lifter, _ i: Word) { l.load(i.rd, i.rs1, i.immI, s8) }
    static func lh(_ l: inout Lifter, _ i: Word) { l.load(i.rd, i.rs1, i.immI, s16) }
    static func lw(_ l: inout Lifter, _ i: Word) { l.load(i.rd, i.rs1, i.immI, s32) }
    static func ld(_ l: inout Lifter, _ i: Word) { l.load(i.rd, i.rs1, i.immI, u64) }
    static func lbu(_ l: inout Lifter, _ i: Word) { l.load(i.rd, i.rs1, i.immI, u8) }
    static func lhu(_ l: inout Lifter, _ i: Word) { l.load(i.rd, i.rs1, i.immI, u16) }
    static func lwu(_ l: inout Lifter, _ i: Word) { l.load(i.rd, i.rs1, i.immI, u32) }
    static func sb(_ l: inout Lifter, _ i: Word) { l.store(i.rs2, i.rs1, i.immS, u8) }
    static func sh(_ l: inout Lifter, _ i: Word) { l.store(i.rs2, i.rs1, i.immS, u16) }
    static func sw(_ l: inout Lifter, _ i: Word) { l.store(i.rs2, i.rs1, i.immS, u32) }
    static func sd(_ l: inout Lifter, _ i: Word) { l.store(i.rs2, i.rs1, i.immS, u64) }

    /// Bits of a fence set: device output and memory write order alike, so do device input and memory read.
    private static let writes = 0b0101, reads = 0b1010

    static func fence(_ l: inout Lifter, _ i: Word) {
        let storeLoad = i.fencePredecessors & writes != 0 && i.fenceSuccessors & reads != 0
        l.b.fence(storeLoad ? .storeLoad : .compiler)
    }
    /// Orders everything but stores before loads.
    static func fence_tso(_ l: inout Lifter, _: Word) { l.b.fence(.compiler) }
    /// A hint.
    static func pause(_: inout Lifter, _: Word) {}
    static func fence_i(_ l: inout Lifter, _: Word) { l.raise(.instructionFence, l.next) }
}

extension Lifter {
    /// A load whose result may be dropped but whose access may not.
    @inline(__always)
    func load(_ rd: Int, _ base: Int, _ displacement: Int64, _ format: MemoryFormat) {
        setX(rd, b.load(x(base), displacement, format, .i64))
    }

    @inline(__always)
    func store(_ source: Int, _ base: Int, _ displacement: Int64, _ format: MemoryFormat) {
        b.store(x(base), displacement, x(source), format)
    }
}
