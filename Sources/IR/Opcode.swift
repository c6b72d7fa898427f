// The operations of the IR.
//
// Every operation is total: no operand makes an executor trap. Where machines disagree the IR picks one meaning and a
// front composes the others from it. Meanings are given with `w` for the operand width in bits.

/// An IR operation. The comment of each case gives its operands (a, b, c), its `imm` and its `aux`.
public enum Opcode: UInt8, CaseIterable, Sendable {
    // MARK: values
    /// Removed by a pass; executors skip it.
    case dead
    /// imm = the bits of the value.
    case constant
    /// imm = global index. The value of a guest register.
    case get
    /// imm = global index, a = value of the global's type.
    case set

    // MARK: integer, both operands of the result's type
    case add, sub, and, or, xor
    /// a & ~b
    case andNot
    /// Shift amount b is taken modulo w.
    case shiftLeft, shiftRightUnsigned, shiftRightSigned, rotateLeft, rotateRight
    case multiply
    /// Upper half of the 2w-bit product.
    case multiplyHighSigned, multiplyHighUnsigned, multiplyHighSignedUnsigned
    /// x/0 = all ones; minimum / -1 = minimum.
    case divideSigned, divideUnsigned
    /// x%0 = x; minimum % -1 = 0.
    case remainderSigned, remainderUnsigned
    // MARK: integer, one operand
    case not, negate
    /// Of zero: w.
    case countLeadingZeros, countTrailingZeros
    case populationCount
    case byteSwap
    /// To a wider / narrower integer type; a may be i1 for zeroExtend.
    case signExtend, zeroExtend, truncate
    /// aux = Condition; a, b integers of one type; result i1.
    case compare
    /// a: i1, then b else c.
    case select
    /// The low bits of a with the bits from imm on replaced by b, which is narrower: a partial register write.
    case deposit

    // MARK: condition codes (x86 status flags; type `flags`). a, b operands of one integer type, c the flags before.
    /// aux = FlagOperation: the flags that operation leaves behind. The value of the same operation is an operation of its
    /// own; a generator fuses the two when they follow each other.
    case flagsOf
    /// a: flags, aux = FlagCondition; result i1.
    case testFlags
    /// a: flags; the status bits of EFLAGS as i64 (CF 0, PF 2, AF 4, ZF 6, SF 7, OF 11), other bits 0.
    case flagsToBits
    /// a: i64, b: none; the reverse.
    case bitsToFlags
    /// a: i1, b: flags; the flags with CF replaced.
    case setCarry
    /// a + b + CF of c; a - b - CF of c.
    case addWithCarry, subtractWithBorrow
    /// a rotated through CF of c by b, which is below the width plus one.
    case rotateCarryLeft, rotateCarryRight
    /// aux = FlagCondition, a: flags; when it holds, leave the unit for guest address imm.
    case exitIfFlags
    /// aux = Condition, a, b integers of one type: when it holds, leave the unit with exit code imm, as `raise` does, at
    /// the current instruction.
    case raiseIf

    // MARK: vectors
    /// imm = VectorOperation raw value, aux = its immediate byte; a, b, c operands as the operation says.
    case vector
    /// i32 or i64 to the low lane of a vector, zeros above; and the low lane of a vector as i32 or i64.
    case vectorFromInteger, vectorToInteger

    // MARK: memory. Address of load and store = a + imm (mod 2^64), of the others a. aux = MemoryFormat.
    case load
    /// b = value.
    case store
    /// Load that also takes a reservation on the address.
    case loadReserved
    /// b = value; result i64: 0 when stored, 1 when the reservation was lost.
    case storeConditional
    /// b = operand, imm = AtomicOperation raw value (no displacement); result = old memory value, extended per aux.
    case atomic
    /// b = expected, c = desired; result = old memory value, extended per aux. Counts as a write even when nothing is
    /// stored.
    case compareExchange
    /// aux = FenceKind bits.
    case fence

    // MARK: floating point. aux = rounding (Rounding raw value) where a result is rounded.
    case floatAdd, floatSubtract, floatMultiply, floatDivide, floatSquareRoot
    /// ±(a*b) ± c with one rounding. imm bit 0: negate the product, bit 1: negate c.
    case floatMultiplyAdd
    /// minimumNumber / maximumNumber of the guest's NaN rule.
    case floatMinimum, floatMaximum
    /// aux = FloatCondition; result i1.
    case floatCompare
    /// RISC-V fclass mask, i64.
    case floatClassify
    /// Sign bit operations, raising no flags: negate(a); |a|; a with b's sign; a with b's sign inverted; a with signs xored.
    case floatNegate, floatAbsolute, copySign, copySignNegated, xorSign
    /// a float, result i32 or i64; out of range per the guest's conversion rule.
    case floatToSigned, floatToUnsigned
    /// a i32 or i64, result float.
    case signedToFloat, unsignedToFloat
    /// f32 <-> f64.
    case floatToFloat
    /// Same bits, other class: i32 <-> f32, i64 <-> f64.
    case bitcast
    /// f32 -> f64 register image with the upper half all ones (RISC-V NaN boxing).
    case nanBox
    /// f64 register image -> f32; the canonical NaN unless properly boxed.
    case nanUnbox
    /// The sticky exception flags as i64: inexact, underflow, overflow, divide by zero, invalid from bit 0 up.
    case readFloatFlags
    /// Replaces the sticky exception flags by the low five bits of a (i64).
    case writeFloatFlags

    // MARK: control
    /// imm = guest pc. Marks the first operation of a guest instruction.
    case instruction
    /// imm = guest address. A place where exits of the same unit to that address lead; no value is used across it. Every
    /// block but the last ends with a terminator.
    case block
    /// aux = Condition, a, b integers of one type: when it holds, leave the unit for guest address imm.
    case exitIf
    /// Ends the unit: continue at guest address imm. aux = JumpKind.
    case jump
    /// Ends the unit: continue at guest address a. aux = JumpKind.
    case jumpIndirect
    /// Ends the unit: hand exit code aux to the engine, imm = guest pc to resume or report.
    case raise
    /// imm = helper index in the front's table; a, b, c optional i64 arguments; result i64.
    /// A helper sees all globals in memory and may change them or request an exit.
    case call
}

/// Integer comparison.
public enum Condition: UInt8, CaseIterable, Sendable {
    case equal, notEqual, lessSigned, greaterOrEqualSigned, lessUnsigned, greaterOrEqualUnsigned
    /// The condition that holds exactly when this one does not.
    @inlinable public var inverted: Condition { Condition(rawValue: rawValue ^ 1)! }
}

/// What `flagsOf` computes the flags of. Undefined flags are as on AMD processors (docs/x86.md).
public enum FlagOperation: UInt8, CaseIterable, Sendable {
    case add, sub
    /// c supplies the carry or borrow.
    case addCarry, subtractBorrow
    /// a = the result of and, or, xor, test; no b.
    case logic
    /// No b; CF is that of c.
    case increment, decrement
    /// b = amount, below the width (shiftDouble: see the front); with an amount of 0 the flags are those of c, which may
    /// be left out when b is a constant other than 0.
    case shiftLeft, shiftRightUnsigned, shiftRightSigned
    /// CF and OF change, the others are those of c.
    case rotateLeft, rotateRight, rotateCarryLeft, rotateCarryRight
    /// CF = OF = the product does not fit the operands' type; the others are those of c.
    case multiplySigned, multiplyUnsigned

    /// Processors do not agree on all of its flags, nor do the manuals define them: those of IR are AMD's.
    @inlinable public var differsBetweenProcessors: Bool {
        switch self {
        case .shiftLeft, .shiftRightUnsigned, .shiftRightSigned, .rotateLeft, .rotateRight, .rotateCarryLeft, .rotateCarryRight,
             .multiplySigned, .multiplyUnsigned: true
        default: false
        }
    }
}

/// A condition on flags, with x86's encoding.
public enum FlagCondition: UInt8, CaseIterable, Sendable {
    case overflow, notOverflow, carry, notCarry, zero, notZero, carryOrZero, notCarryOrZero
    case sign, notSign, parity, notParity, less, notLess, lessOrEqual, notLessOrEqual
    /// The condition that holds exactly when this one does not.
    @inlinable public var inverted: FlagCondition { FlagCondition(rawValue: rawValue ^ 1)! }
}

/// Floating point comparison. Ordered: false when an operand is a NaN.
public enum FloatCondition: UInt8, CaseIterable, Sendable {
    /// Quiet: invalid only for a signaling NaN.
    case equal
    /// Signaling: invalid for any NaN.
    case less, lessOrEqual
}

/// Rounding of one operation.
public enum Rounding: UInt8, CaseIterable, Sendable {
    case nearestEven, towardZero, down, up, nearestMaxMagnitude
    /// Whatever the guest's rounding register says; units are keyed by it, see `Unit.rounding`.
    case dynamic = 7
}

/// Read-modify-write operations of `atomic`.
public enum AtomicOperation: UInt8, CaseIterable, Sendable {
    case swap, add, and, or, xor, minimumSigned, maximumSigned, minimumUnsigned, maximumUnsigned
}

/// What kind of jump ends a unit; feeds return prediction.
public enum JumpKind: UInt8, CaseIterable, Sendable {
    /// A plain jump.
    case jump
    /// A call; the operation's c field is a constant value: the guest return address.
    case call
    /// A return.
    case `return`
}

/// Bits of `fence`.
public struct FenceKind: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Earlier stores become visible before later loads.
    public static let storeLoad = FenceKind(rawValue: 1)
    /// Any weaker order; free on an x86 host, but no memory operation may be moved across it.
    public static let compiler = FenceKind(rawValue: 2)
}

/// Shape of a memory access, packed into an instruction's `aux`.
public struct MemoryFormat: Equatable, Sendable {
    public let rawValue: UInt8
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// - Parameters:
    ///   - sizeLog2: 0…4 for 1 to 16 bytes.
    ///   - signed: a narrower value loaded into an integer is sign- instead of zero-extended.
    ///   - aligned: a misaligned address faults.
    @inlinable public init(sizeLog2: Int, signed: Bool = false, bigEndian: Bool = false, aligned: Bool = false) {
        rawValue = UInt8(sizeLog2) | (signed ? 8 : 0) | (bigEndian ? 16 : 0) | (aligned ? 32 : 0)
    }
    /// Size of the access: 0…4 for 1 to 16 bytes.
    @inlinable public var sizeLog2: Int { Int(rawValue & 7) }
    /// Size of the access in bytes.
    @inlinable public var sizeBytes: Int { 1 &<< sizeLog2 }
    /// Whether a narrower value is sign-extended by a load.
    @inlinable public var isSigned: Bool { rawValue & 8 != 0 }
    /// Whether the most significant byte comes first.
    @inlinable public var isBigEndian: Bool { rawValue & 16 != 0 }
    /// Whether a misaligned address faults.
    @inlinable public var requiresAlignment: Bool { rawValue & 32 != 0 }
}
