// One row of the instruction set, as the lifter, the decoder and the disassembler need it.

/// An encoding with its operands. Plain data; the text of the row stays where it is.
public struct X86Row: @unchecked Sendable {
    /// In the order of the manual; `none` where there are fewer.
    public let operands: (X86Operand, X86Operand, X86Operand, X86Operand)
    public let feature: X86Feature
    public let immediate: ImmediateForm
    public let flags: Flags
    public let map: OpcodeMap
    /// First and last opcode, or suffix of 3DNow!.
    public let opcode: UInt8, lastOpcode: UInt8
    /// The next row with the same name, or -1.
    public internal(set) var nextOfSameName: Int16 = -1
    let constraint: Constraint
    let nameLength: UInt8
    // SAFETY: points into a StaticString, which lives as long as the process.
    let text: UnsafePointer<UInt8>

    /// What lift functions are joined to. Conditional instructions are one row: `jcc`, `setcc`, `cmovcc` have the
    /// condition in the low four bits of the opcode; string instructions have no suffix: `movs`.
    public var name: String {
        String(decoding: UnsafeBufferPointer(start: text, count: Int(nameLength)), as: UTF8.self)
    }

    /// The opcode maps.
    public enum OpcodeMap: UInt8, Sendable {
        case oneByte, map0F, map0F38, map0F3A, threeDNow, vex0F, vex0F38, vex0F3A
        static let count = 8
        /// True for the three VEX maps.
        @inline(__always) public var isVEX: Bool { rawValue >= OpcodeMap.vex0F.rawValue }
    }

    /// What follows ModRM and displacement.
    public enum ImmediateForm: UInt8, Sendable {
        case none
        /// Ib, unsigned. Ibs and Jb, signed.
        case byte, signedByte
        /// Iw, unsigned.
        case word
        /// Iz and Jz, signed: 2 bytes, or 4.
        case z
        /// Iv: 2, 4 or 8 bytes.
        case v
        /// Ap: offset of 2 or 4 bytes, selector.
        case far
        /// Iw,Ib.
        case wordByte
        /// Ob Ov: an offset of the address size.
        case offset
        /// Lx: a byte whose bits 7:4 name a register; its low half is `immediate`.
        case register
    }

    /// Traits of a row.
    public struct Flags: OptionSet, Sendable {
        public let rawValue: UInt32
        @inline(__always) public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// LOCK is allowed with a memory destination; the decoder has seen to it.
        public static let lock = Flags(rawValue: 1 << 0)
        /// Ends the unit: control transfer, or a change of the mode word.
        public static let end = Flags(rawValue: 1 << 1)
        /// The memory operand must be aligned at its size: #GP(0).
        public static let aligned = Flags(rawValue: 1 << 2)
        /// d64: the operand size is 8 in 64-bit code, 2 with 66. Near branches too, as on AMD processors.
        public static let default64 = Flags(rawValue: 1 << 3)
        /// f64: the operand size is 8 in 64-bit code and 4 elsewhere, whatever the prefixes.
        public static let forced64 = Flags(rawValue: 1 << 4)
        /// #GP(0) with CPL > 0.
        public static let privileged = Flags(rawValue: 1 << 5)
        /// #UD in real and virtual-8086 mode. All rows of VEX maps have it.
        public static let protected = Flags(rawValue: 1 << 6)
        /// F3 or F2 repeat it.
        public static let string = Flags(rawValue: 1 << 7)
        /// Uses x87 or MMX registers: #NM by CR0.TS; #NM (x87) or #UD (MMX) by CR0.EM.
        public static let x87 = Flags(rawValue: 1 << 8)
        public static let mmx = Flags(rawValue: 1 << 9)
        /// Uses XMM registers or MXCSR: #UD by CR0.EM and CR4.OSFXSR (`Mode.sse`), #NM by CR0.TS.
        public static let sse = Flags(rawValue: 1 << 10)
        /// Uses YMM state: #UD without `Mode.avx`, #NM by CR0.TS.
        public static let avx = Flags(rawValue: 1 << 11)
        public static let vex = Flags(rawValue: 1 << 12)
        /// VEX.vvvv names an operand; in other VEX rows it must be 1111.
        public static let vvvv = Flags(rawValue: 1 << 13)
        /// The memory operand has a vector of indices.
        public static let vectorIndexed = Flags(rawValue: 1 << 14)
        /// Has a ModRM byte.
        public static let modRM = Flags(rawValue: 1 << 15)
        /// 66 selects the row and is no operand size prefix.
        public static let mandatory66 = Flags(rawValue: 1 << 16)
        /// The low three bits of the opcode name a register.
        public static let opcodeRegister = Flags(rawValue: 1 << 17)
        /// ModRM names registers whatever mod is (MOV CR, DR).
        public static let ignoresMod = Flags(rawValue: 1 << 18)
        /// An F3 or F2 that was written belongs to the encoding and does not repeat.
        public static let mandatoryRepeat = Flags(rawValue: 1 << 19)
        /// #UD with CPL > 0 (CLAC, STAC, MONITOR, MWAIT).
        public static let undefinedOutsideRing0 = Flags(rawValue: 1 << 22)
        /// Of eight registers only: REX.R, REX.B do not extend ModRM.reg, ModRM.rm.
        static let narrowReg = Flags(rawValue: 1 << 20)
        static let narrowRM = Flags(rawValue: 1 << 21)
    }

    /// Which encodings of an opcode a row matches: for each property a bit for each value it may have.
    struct Constraint {
        /// Bit 0: outside 64-bit code; bit 1: in 64-bit code.
        var modes: UInt8 = 3
        /// Effective mandatory prefix none, 66, F3, F2; the order of VEX.pp.
        var prefixes: UInt8 = 15
        /// Bit 0: memory; bit 1: register.
        var mods: UInt8 = 3
        /// Low three bits of ModRM.reg and ModRM.rm; without ModRM, bit 0 of `rms` is REX.B = 0 and bit 1 is REX.B = 1.
        var regs: UInt8 = 0xFF, rms: UInt8 = 0xFF
        /// REX.W or VEX.W; VEX.L.
        var ws: UInt8 = 3, ls: UInt8 = 3
    }
}
