// One decoded instruction: what the decoder finds in the bytes, with nothing left to look up in them.

/// A decoded x86 instruction. Plain data, filled in place by the decoder.
public struct X86Instruction {
    /// Row of the instruction set; the lifter and the disassembler are joined to it.
    public var row: UInt16 = 0
    /// Length in bytes, 1…15.
    public var length: UInt8 = 0
    /// Effective operand size in bytes: 2, 4 or 8 (byte forms are a matter of the operand codes).
    public var operandSize: UInt8 = 4
    /// Effective address size in bytes: 2, 4 or 8.
    public var addressSize: UInt8 = 8

    // MARK: prefixes
    /// F0.
    public var hasLock = false
    /// F3 and F2 as written, whether mandatory or repeat prefix; the last one wins.
    public var hasRep = false
    public var hasRepne = false
    /// 66 as written.
    public var hasOperandSizePrefix = false
    /// Segment override, or -1. In 64-bit code only FS and GS.
    public var segment: Int8 = -1
    /// A REX prefix was there: byte registers 4…7 are SPL BPL SIL DIL.
    public var hasREX = false
    /// REX.W or VEX.W.
    public var w = false
    public var isVEX = false
    /// VEX.L: 256 bits.
    public var l = false
    /// VEX.vvvv, already inverted: the register number; 0 when unused.
    public var vvvv: UInt8 = 0

    // MARK: ModRM, SIB, displacement, immediates
    /// The opcode byte behind prefixes and escapes.
    public var opcode: UInt8 = 0
    /// Whether a ModRM byte was there.
    public var hasModRM = false
    /// 3 means that rm is a register.
    public var mod: UInt8 = 0
    /// With REX.R / REX.B (or VEX) added: 0…15; segment, MMX and x87 registers 0…7. An opcode register (`Zv`) is in
    /// `rm`.
    public var reg: UInt8 = 0
    public var rm: UInt8 = 0
    /// Memory operand: base and index register or -1; scale 0…3. A RIP-relative operand has `isRIPRelative`.
    /// 16-bit addressing forms are given by base and index too (BX+SI is base 3, index 6).
    public var base: Int8 = -1
    /// See `base`.
    public var index: Int8 = -1
    /// The index is shifted left by this.
    public var scale: UInt8 = 0
    /// The displacement counts from the next instruction.
    public var isRIPRelative = false
    /// Sign-extended. For Ob and Ov, which have no ModRM, the whole offset, zero-extended.
    public var displacement: Int64 = 0
    /// The immediate as its operand code says: Ibs, Iz, Jb, Jz sign-extended to 64 bits; Ib, Iw zero-extended; Iv as
    /// wide as the operand, sign-extended; for Ap the offset.
    public var immediate: Int64 = 0
    /// A second immediate: the selector of Ap, the level of ENTER, is4 of VEX.
    public var immediate2: Int64 = 0

    public init() {}

    /// True when the r/m operand is memory.
    @inline(__always) public var isMemory: Bool { hasModRM && mod != 3 }
    /// Default segment of the memory operand: SS with a base of (R/E)SP or (R/E)BP, DS otherwise.
    @inline(__always) public var defaultSegment: Int {
        if segment >= 0 { return Int(segment) }
        return base == 4 || base == 5 ? 2 : 3
    }
}
