// One IR operation: 24 bytes, no references, so that units are flat arrays built and walked without allocation.

/// Index of the operation that produced a value, in its unit.
public typealias ValueID = UInt32

extension ValueID {
    /// No operand.
    @inlinable public static var none: ValueID { .max }
}

/// One operation of a unit.
public struct Instruction: Equatable, Sendable {
    public var opcode: Opcode
    /// Type of the result; for `set`, `store` and `exitIf` the type of the operand.
    public var type: ValueType
    /// Condition, rounding, memory format, … as the opcode says.
    public var aux: UInt8
    public var a: ValueID
    public var b: ValueID
    public var c: ValueID
    public var imm: Int64

    @inlinable
    public init(_ opcode: Opcode, _ type: ValueType, aux: UInt8 = 0,
                a: ValueID = .none, b: ValueID = .none, c: ValueID = .none, imm: Int64 = 0) {
        self.opcode = opcode
        self.type = type
        self.aux = aux
        self.a = a
        self.b = b
        self.c = c
        self.imm = imm
    }

    /// As the opcode's, knowing which vector operations report exceptions in MXCSR.
    @inlinable public var hasEffect: Bool {
        guard opcode == .vector else { return opcode.hasEffect }
        return VectorOperation(rawValue: UInt16(truncatingIfNeeded: imm))?.signature.usesMXCSR ?? true
    }
}

extension Opcode {
    /// True for operations that can end or interrupt the unit with a guest fault, an exit or outside effects: everything
    /// that must stay, and before which every earlier `set` must have happened.
    @inlinable public var isBarrier: Bool {
        switch self {
        case .load, .store, .loadReserved, .storeConditional, .atomic, .compareExchange,
             .exitIf, .exitIfFlags, .raiseIf, .jump, .jumpIndirect, .raise, .call: true
        default: false
        }
    }

    /// True for barriers that either fault or go on.
    @inlinable public var onlyFaults: Bool {
        switch self {
        case .load, .store, .loadReserved, .storeConditional, .atomic, .compareExchange: true
        default: false
        }
    }

    /// True for operations kept even when their result is unused (floating point leaves exception flags behind).
    @inlinable public var hasEffect: Bool {
        switch self {
        case .set, .fence, .instruction, .block, .writeFloatFlags,
             .floatAdd, .floatSubtract, .floatMultiply, .floatDivide, .floatSquareRoot, .floatMultiplyAdd,
             .floatMinimum, .floatMaximum, .floatCompare, .floatToSigned, .floatToUnsigned,
             .signedToFloat, .unsignedToFloat, .floatToFloat, .vector: true
        default: isBarrier
        }
    }

    /// True for operations after which the unit is over.
    @inlinable public var isTerminator: Bool {
        switch self {
        case .jump, .jumpIndirect, .raise: true
        default: false
        }
    }
}
