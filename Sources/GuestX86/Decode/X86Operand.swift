// Operands of a row, in the terms of the manual's opcode maps: where an operand comes from and how wide it is.
//
// Spec: Intel SDM Volume 2, A.2; AMD APM Volume 3, A.1. Letters that neither manual has: K a memory operand with a
// vector of indices, Z a register in the opcode byte; sizes h f e: a half, a quarter, an eighth of a vector.

/// One operand of a row. Three bytes to switch over.
public struct X86Operand: Equatable, Sendable {
    public var kind: Kind
    public var size: Size
    /// Number of the register of `fixedRegister`, `fixedSegment`, `fixedVector` and `stackTop`; 0 otherwise.
    public var number: UInt8

    @inline(__always)
    public init(_ kind: Kind, _ size: Size = .none, number: UInt8 = 0) {
        self.kind = kind
        self.size = size
        self.number = number
    }

    /// The absent operand.
    public static let none = X86Operand(.none)

    /// Where an operand comes from; the letter of the operand code.
    public enum Kind: UInt8, Sendable {
        case none
        /// E: general register or memory by ModRM.rm.
        case registerOrMemory
        /// M: memory by ModRM; the row does not match mod = 3.
        case memory
        /// G: general register by ModRM.reg.
        case register
        /// R: general register by ModRM.rm; the row matches mod = 3 only, or (MOV CR, DR) ignores mod.
        case rmRegister
        /// Z: general register by the low three bits of the opcode and REX.B, in `X86Instruction.rm`.
        case opcodeRegister
        /// B: general register by VEX.vvvv.
        case vexRegister
        /// AL CL DX rAX eAX: the register `number`.
        case fixedRegister
        /// I: `X86Instruction.immediate`.
        case immediate
        /// The second immediate of ENTER, EXTRQ: `immediate2`.
        case immediate2
        /// The constant 1 of shifts D0 and D1.
        case one
        /// J: `immediate` is the distance from the next instruction.
        case relative
        /// A: far pointer, offset in `immediate`, selector in `immediate2`.
        case farPointer
        /// O: memory at `X86Instruction.displacement`, without ModRM.
        case offset
        /// S: segment register by ModRM.reg.
        case segment
        /// ES CS SS DS FS GS: the segment register `number`.
        case fixedSegment
        /// C, D: control and debug register by ModRM.reg.
        case control
        case debug
        /// X: DS:rSI, or the segment of a prefix. Y: ES:rDI.
        case stringSource
        case stringDestination
        /// V: vector register by ModRM.reg.
        case vector
        /// W: vector register or memory by ModRM.rm.
        case vectorOrMemory
        /// U: vector register by ModRM.rm, mod = 3.
        case rmVector
        /// H: vector register by VEX.vvvv.
        case vexVector
        /// L: vector register by bits 7:4 of an immediate, in `immediate2`.
        case immediateVector
        /// XMM0 of the variable blends and SHA256RNDS2.
        case fixedVector
        /// K: memory with a vector of indices; `index` is the vector register, `size` its width.
        case vectorIndexed
        /// P: MMX register by ModRM.reg. Q: by ModRM.rm, or memory. N: by ModRM.rm, mod = 3.
        case mmx
        case mmxOrMemory
        case rmMMX
        /// ST(0).
        case stackTop
        /// ST(i), i = ModRM.rm.
        case stack
    }

    /// How wide an operand is; the lower-case letters of the operand code.
    public enum Size: UInt8, Sendable {
        /// No single width: LEA, INVLPG, FXSAVE.
        case none
        /// b w d q: 1, 2, 4, 8 bytes. t: 10.
        case byte, word, dword, qword, tbyte
        /// dq: 16 bytes. qq: 32.
        case octaword, wide
        /// v: the operand size, 2, 4 or 8.
        case v
        /// z: 2 with an operand size of 2, otherwise 4.
        case z
        /// y: 8 with an operand size of 8, otherwise 4.
        case y
        /// n: 8 in 64-bit code, otherwise 4, whatever the operand size (MOV CR, INVPCID).
        case native
        /// x: 16, or 32 with VEX.L. ps and pd are written for it in rows of floating-point instructions.
        case x
        /// h f e: a half, a quarter, an eighth of x in memory; a register operand is an XMM register.
        case half, quarter, eighth
        /// p: far pointer, 2 bytes of selector behind an offset of 2 or 4 bytes. AMD processors have no offsets of 8.
        case far
        /// a: the pair of bounds of BOUND.
        case bounds
        /// s: pseudo-descriptor of LGDT, 2 bytes of limit and a base of 4, or 8 in 64-bit code.
        case pseudoDescriptor
        /// db: register of 4 bytes, memory of 1. dw: register of 4, memory of 2. vw: register of v, memory of 2.
        case dwordOrByte, dwordOrWord, vOrWord
    }

    /// True for operands that can be memory by ModRM.
    @inline(__always) public var canBeMemory: Bool {
        switch kind {
        case .registerOrMemory, .memory, .vectorOrMemory, .mmxOrMemory, .vectorIndexed: true
        default: false
        }
    }

    /// Width of the operand in bytes, as memory where register and memory differ; 0 where `size` is `none`.
    @inline(__always)
    public func bytes(_ instruction: borrowing X86Instruction, is64: Bool) -> Int {
        let v = Int(instruction.operandSize), x = instruction.l ? 32 : 16
        return switch size {
        case .none: 0
        case .byte, .dwordOrByte: 1
        case .word, .dwordOrWord, .vOrWord: 2
        case .dword: 4
        case .qword: 8
        case .tbyte: 10
        case .octaword: 16
        case .wide: 32
        case .v: v
        case .z: min(v, 4)
        case .y: max(v, 4)
        case .native: is64 ? 8 : 4
        case .x: x
        case .half: x / 2
        case .quarter: x / 4
        case .eighth: x / 8
        case .far: min(v, 4) + 2
        case .bounds: v * 2
        case .pseudoDescriptor: is64 ? 10 : 6
        }
    }
}
