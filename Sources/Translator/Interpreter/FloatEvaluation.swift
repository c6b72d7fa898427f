// Floating point operations of the IR on bit patterns, by the soft float library: the interpreter's arithmetic and the
// rare path of generated code. Flags go to the sticky bits of a host-format MXCSR image, the one place both executors keep
// them.

import IR
import SoftFloat

/// Evaluates float operations exactly.
enum FloatEvaluation {
    /// Sticky exception bits of MXCSR in the order invalid, denormal, divide, overflow, underflow, inexact.
    static func mxcsrBits(_ flags: FloatFlags) -> UInt32 {
        var bits: UInt32 = 0
        if flags.contains(.invalid) { bits |= 1 }
        if flags.contains(.divideByZero) { bits |= 4 }
        if flags.contains(.overflow) { bits |= 8 }
        if flags.contains(.underflow) { bits |= 16 }
        if flags.contains(.inexact) { bits |= 32 }
        return bits
    }

    /// MXCSR's six sticky bits in the order of `readFloatFlags`.
    static func flags(mxcsr: UInt32) -> UInt32 {
        (mxcsr & 1) << 4 | (mxcsr & 4) << 1 | (mxcsr & 8) >> 1 | (mxcsr & 16) >> 3 | (mxcsr & 32) >> 5
    }

    /// The guest's sticky flags.
    static func readFlags(_ state: UnsafeMutableRawPointer) -> UInt32 {
        state.load(fromByteOffset: StateLayout.floatStatus, as: UInt32.self) & 31
            | flags(mxcsr: state.load(fromByteOffset: StateLayout.guestMXCSR, as: UInt32.self))
    }

    /// Replaces the guest's sticky flags.
    static func writeFlags(_ state: UnsafeMutableRawPointer, _ flags: UInt32) {
        let status = state.load(fromByteOffset: StateLayout.floatStatus, as: UInt32.self)
        state.storeBytes(of: status & ~31 | flags & 31, toByteOffset: StateLayout.floatStatus, as: UInt32.self)
        let mxcsr = state.load(fromByteOffset: StateLayout.guestMXCSR, as: UInt32.self)
        state.storeBytes(of: mxcsr & ~0x3F, toByteOffset: StateLayout.guestMXCSR, as: UInt32.self)
    }

    static func environment(_ rules: FloatRules, _ rounding: IR.Rounding) -> FloatEnvironment {
        var environment = switch rules {
        case .riscv: FloatEnvironment.riscv
        case .x86: FloatEnvironment.x86SSE
        }
        environment.rounding = SoftFloat.Rounding(rawValue: rounding.rawValue) ?? .nearestEven
        return environment
    }

    /// - Parameters:
    ///   - rounding: a resolved rounding, never `.dynamic`.
    ///   - imm: the operation's `imm` (signs of a fused multiply-add).
    ///   - aux: the operation's `aux` (comparison condition).
    ///   - a, b, c: operand bits; 32-bit operands in the low half.
    /// - Returns: result bits; 32-bit results zero-extended.
    static func evaluate(_ opcode: Opcode, result: ValueType, source: ValueType, imm: Int64, aux: UInt8,
                         _ a: UInt64, _ b: UInt64, _ c: UInt64, _ env: inout FloatEnvironment) -> UInt64 {
        source == .f32 || (result == .f32 && !source.isFloat)
            ? single(opcode, result, source, imm, aux, a, b, c, &env)
            : double(opcode, result, source, imm, aux, a, b, c, &env)
    }

    private static func single(_ opcode: Opcode, _ result: ValueType, _ source: ValueType, _ imm: Int64, _ aux: UInt8,
                               _ a: UInt64, _ b: UInt64, _ c: UInt64, _ env: inout FloatEnvironment) -> UInt64 {
        let x = UInt32(truncatingIfNeeded: a), y = UInt32(truncatingIfNeeded: b), z = UInt32(truncatingIfNeeded: c)
        switch opcode {
        case .floatAdd: return UInt64(F32.add(x, y, &env))
        case .floatSubtract: return UInt64(F32.subtract(x, y, &env))
        case .floatMultiply: return UInt64(F32.multiply(x, y, &env))
        case .floatDivide: return UInt64(F32.divide(x, y, &env))
        case .floatSquareRoot: return UInt64(F32.squareRoot(x, &env))
        case .floatMultiplyAdd:
            return switch imm & 3 {
            case 0: UInt64(F32.multiplyAdd(x, y, z, &env))
            case 1: UInt64(F32.negatedMultiplySubtract(x, y, z, &env))
            case 2: UInt64(F32.multiplySubtract(x, y, z, &env))
            default: UInt64(F32.negatedMultiplyAdd(x, y, z, &env))
            }
        case .floatMinimum: return UInt64(F32.min(x, y, .number, &env))
        case .floatMaximum: return UInt64(F32.max(x, y, .number, &env))
        case .floatCompare:
            return switch FloatCondition(rawValue: aux) ?? .equal {
            case .equal: F32.equal(x, y, &env) ? 1 : 0
            case .less: F32.less(x, y, &env) ? 1 : 0
            case .lessOrEqual: F32.lessOrEqual(x, y, &env) ? 1 : 0
            }
        case .floatClassify: return UInt64(F32.classify(x).rawValue)
        case .floatNegate: return UInt64(x ^ 0x8000_0000)
        case .floatAbsolute: return UInt64(x & 0x7FFF_FFFF)
        case .copySign: return UInt64(x & 0x7FFF_FFFF | y & 0x8000_0000)
        case .copySignNegated: return UInt64(x & 0x7FFF_FFFF | ~y & 0x8000_0000)
        case .xorSign: return UInt64(x ^ y & 0x8000_0000)
        case .floatToSigned:
            return result == .i32 ? UInt64(UInt32(bitPattern: F32.toInt32(x, &env)))
                : UInt64(bitPattern: F32.toInt64(x, &env))
        case .floatToUnsigned: return result == .i32 ? UInt64(F32.toUInt32(x, &env)) : F32.toUInt64(x, &env)
        case .signedToFloat:
            return UInt64(source == .i32 ? F32.fromInt32(Int32(bitPattern: x), &env)
                : F32.fromInt64(Int64(bitPattern: a), &env))
        case .unsignedToFloat:
            return UInt64(source == .i32 ? F32.fromUInt32(x, &env) : F32.fromUInt64(a, &env))
        case .floatToFloat: return F64.fromF32(x, &env)
        default: return 0
        }
    }

    private static func double(_ opcode: Opcode, _ result: ValueType, _ source: ValueType, _ imm: Int64, _ aux: UInt8,
                               _ a: UInt64, _ b: UInt64, _ c: UInt64, _ env: inout FloatEnvironment) -> UInt64 {
        let sign: UInt64 = 0x8000_0000_0000_0000
        switch opcode {
        case .floatAdd: return F64.add(a, b, &env)
        case .floatSubtract: return F64.subtract(a, b, &env)
        case .floatMultiply: return F64.multiply(a, b, &env)
        case .floatDivide: return F64.divide(a, b, &env)
        case .floatSquareRoot: return F64.squareRoot(a, &env)
        case .floatMultiplyAdd:
            return switch imm & 3 {
            case 0: F64.multiplyAdd(a, b, c, &env)
            case 1: F64.negatedMultiplySubtract(a, b, c, &env)
            case 2: F64.multiplySubtract(a, b, c, &env)
            default: F64.negatedMultiplyAdd(a, b, c, &env)
            }
        case .floatMinimum: return F64.min(a, b, .number, &env)
        case .floatMaximum: return F64.max(a, b, .number, &env)
        case .floatCompare:
            return switch FloatCondition(rawValue: aux) ?? .equal {
            case .equal: F64.equal(a, b, &env) ? 1 : 0
            case .less: F64.less(a, b, &env) ? 1 : 0
            case .lessOrEqual: F64.lessOrEqual(a, b, &env) ? 1 : 0
            }
        case .floatClassify: return UInt64(F64.classify(a).rawValue)
        case .floatNegate: return a ^ sign
        case .floatAbsolute: return a & ~sign
        case .copySign: return a & ~sign | b & sign
        case .copySignNegated: return a & ~sign | ~b & sign
        case .xorSign: return a ^ b & sign
        case .floatToSigned:
            return result == .i32 ? UInt64(UInt32(bitPattern: F64.toInt32(a, &env)))
                : UInt64(bitPattern: F64.toInt64(a, &env))
        case .floatToUnsigned: return result == .i32 ? UInt64(F64.toUInt32(a, &env)) : F64.toUInt64(a, &env)
        case .signedToFloat:
            return source == .i32 ? F64.fromInt32(Int32(truncatingIfNeeded: a), &env)
                : F64.fromInt64(Int64(bitPattern: a), &env)
        case .unsignedToFloat:
            return source == .i32 ? F64.fromUInt32(UInt32(truncatingIfNeeded: a), &env) : F64.fromUInt64(a, &env)
        case .floatToFloat: return UInt64(F32.fromF64(a, &env))
        default: return 0
        }
    }
}

/// The soft float thunk's target: operands and operation word in the scratch area, result back to it.
func softFloatThunk(_ state: UnsafeMutableRawPointer, _: UInt64, _: UInt64, _: UInt64) -> UInt64 {
    let scratch = state + StateLayout.scratch
    let word = scratch.load(fromByteOffset: 24, as: UInt32.self)
    let opcode = Opcode(rawValue: UInt8(truncatingIfNeeded: word)) ?? .floatAdd
    let result = ValueType(rawValue: UInt8(truncatingIfNeeded: word >> 8 & 31)) ?? .f64
    let source = ValueType(rawValue: UInt8(truncatingIfNeeded: word >> 13 & 31)) ?? .f64
    let rounding = IR.Rounding(rawValue: UInt8(truncatingIfNeeded: word >> 18 & 7)) ?? .nearestEven
    var env = FloatEvaluation.environment(.riscv, rounding)
    let value = FloatEvaluation.evaluate(opcode, result: result, source: source, imm: Int64(word >> 21 & 3), aux: 0,
                                         scratch.load(as: UInt64.self), scratch.load(fromByteOffset: 8, as: UInt64.self),
                                         scratch.load(fromByteOffset: 16, as: UInt64.self), &env)
    scratch.storeBytes(of: value, as: UInt64.self)
    let mxcsr = state.load(fromByteOffset: StateLayout.guestMXCSR, as: UInt32.self)
    state.storeBytes(of: mxcsr | FloatEvaluation.mxcsrBits(env.flags), toByteOffset: StateLayout.guestMXCSR,
                     as: UInt32.self)
    return value
}
