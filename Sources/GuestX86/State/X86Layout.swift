// Where an x86 vCPU's registers lie in the state block (Translator's StateLayout gives the frame).

import Translator

/// Byte offsets in the state block.
public enum X86Layout {
    // MARK: integer globals, in the order of their numbers
    /// RAX RCX RDX RBX RSP RBP RSI RDI R8…R15, 8 bytes each. In 16- and 32-bit code the upper halves are kept as they are.
    public static func register(_ number: Int) -> Int { StateLayout.integerGlobals + number * 8 }
    /// Status flags (type `flags`), 8 bytes: bits 15…8 as LAHF gives them (SF ZF 0 AF 0 PF 1 CF), bit 0 OF, others 0.
    public static let flags = StateLayout.statusFlags
    /// Segment bases, UInt64.
    public static func segmentBase(_ segment: Int) -> Int { register(17 + segment) } // ES CS SS DS FS GS
    /// Int64: +1, or -1 when EFLAGS.DF is set.
    public static let direction = register(23)
    /// UInt64: RIP of the instruction that runs, relative to CS; written only where helpers need it.
    public static let scratch = register(24)

    // MARK: x87 and MMX
    /// Eight physical registers R0…R7, 16 bytes each: significand UInt64, then sign and exponent UInt16. MMX register n is
    /// the significand of Rn.
    public static let x87Registers = StateLayout.floatGlobals
    /// UInt16 control word; UInt16 status word with TOP in place; UInt8 tags, bit n set when Rn is not empty.
    public static let x87Control = StateLayout.floatGlobals + 128
    public static let x87Status = x87Control + 2
    public static let x87Tags = x87Control + 4
    /// UInt16 last opcode, UInt64 last instruction and data pointer, UInt16 their selectors.
    public static let x87Opcode = x87Control + 6
    public static let x87InstructionPointer = x87Control + 8
    public static let x87DataPointer = x87Control + 16
    public static let x87Selectors = x87Control + 24
    /// UInt64 what control word to opcode will be once a store has succeeded; UInt64 bytes 8 and 9 of the store.
    public static let x87Next = x87Control + 32
    public static let x87Wide = x87Control + 40

    // MARK: vectors
    /// Lower halves of YMM0…15, 16 bytes each, type v128; then the upper halves. MXCSR is `StateLayout.guestMXCSR`.
    public static func xmm(_ number: Int) -> Int { StateLayout.front + number * 16 }
    public static func ymmHigh(_ number: Int) -> Int { StateLayout.front + 256 + number * 16 }

    // MARK: system registers
    /// What the system part of the front lays out itself (SystemLayout).
    public static let system = StateLayout.front + 512
    public static let systemSize = StateLayout.frontSize - 512
}

/// Segment registers by their encoding.
public enum Segment: Int, CaseIterable, Sendable { case es, cs, ss, ds, fs, gs }

/// Numbers of the globals.
public enum X86Global {
    public static let flags = 16
    public static func segmentBase(_ segment: Segment) -> Int { 17 + segment.rawValue }
    public static let direction = 23
    public static let scratch = 24
    /// Global of XMMn, and of the upper half of YMMn.
    public static func xmm(_ number: Int) -> Int { 25 + number }
    public static func ymmHigh(_ number: Int) -> Int { 41 + number }
    /// Global of MMXn's physical register n, i64.
    public static func mmx(_ number: Int) -> Int { 57 + number }
    /// EFLAGS without the status flags and DF, i32 (`SystemLayout.eflags`).
    public static let eflags = 65
    /// x87 control word (bits 15:0), status word (31:16), tags (39:32) and opcode (63:48), i64.
    public static let x87 = 66
    /// Sign and exponent of physical register n, i64.
    public static func mmxExponent(_ number: Int) -> Int { 67 + number }
    /// Addresses of the last x87 instruction and its memory operand, i64.
    public static let x87Instruction = 75, x87Data = 76
    /// See `X86Layout.x87Next`, i64.
    public static let x87Next = 77, x87Wide = 78
    public static let count = 79
}
