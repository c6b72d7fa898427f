// The types of IR values. A value is an SSA result inside one unit; guest registers are globals (Global.swift).

/// The type of an IR value.
public enum ValueType: UInt8, CaseIterable, Sendable {
    case void
    /// A truth value: 0 or 1.
    case i1
    case i8, i16, i32, i64, i128
    case f32, f64
    /// Untyped 128 and 256 bit vectors; the lane shape belongs to the operation.
    case v128, v256
    /// Condition codes produced by an arithmetic operation, consumed by `testFlags`; never stored to memory.
    case flags

    /// Width in bits; 1 for `i1`, 0 for `void` and `flags`.
    @inlinable public var bits: Int {
        switch self {
        case .void, .flags: 0
        case .i1: 1
        case .i8: 8
        case .i16: 16
        case .i32, .f32: 32
        case .i64, .f64: 64
        case .i128, .v128: 128
        case .v256: 256
        }
    }

    /// True for f32 and f64.
    @inlinable @inline(__always)
    public var isFloat: Bool {
        switch self {
        case .f32, .f64: true
        default: false
        }
    }

    /// True for what lives in vector registers of the host: f32, f64 and v128.
    @inlinable @inline(__always)
    public var inVectorRegister: Bool {
        switch self {
        case .f32, .f64, .v128: true
        default: false
        }
    }
}
