// The same operation by SoftFloat and by one instruction of the host, results and flags in one form.

import CHost
import SoftFloat

/// Operations both sides have. Raw values are those of `guise_hostfloat_op`.
enum HostOperation: UInt32, CaseIterable, Sendable {
    case add, subtract, multiply, divide, min, max, squareRoot
    case multiplyAdd, multiplySubtract, negatedMultiplyAdd, negatedMultiplySubtract
    case compareQuiet, compareSignalling
    case convert
    case toInt32, toInt64, toUInt32, toUInt64
    case fromInt32, fromInt64, fromUInt32, fromUInt64
    case roundToIntegralExact, roundToIntegral

    var code: guise_hostfloat_op { guise_hostfloat_op(rawValue: rawValue) }
    var isOnHost: Bool { guise_hostfloat_has(code) != 0 }

    var operands: Int {
        switch self {
        case .add, .subtract, .multiply, .divide, .min, .max, .compareQuiet, .compareSignalling: 2
        case .multiplyAdd, .multiplySubtract, .negatedMultiplyAdd, .negatedMultiplySubtract: 3
        default: 1
        }
    }

    var takesInteger: Bool {
        switch self {
        case .fromInt32, .fromInt64, .fromUInt32, .fromUInt64: true
        default: false
        }
    }

    /// Bits of the result that count.
    func resultMask(_ format: TestFormat) -> UInt64 {
        switch self {
        case .convert: format.width == 32 ? .max : 0xFFFF_FFFF
        case .toInt32, .toUInt32: 0xFFFF_FFFF
        case .toInt64, .toUInt64: .max
        case .compareQuiet, .compareSignalling: 0x45  // ZF, PF, CF
        default: format.mask
        }
    }
}

/// What an operation gave.
struct Outcome: Equatable, CustomStringConvertible {
    var bits: UInt64
    var flags: FloatFlags
    var description: String {
        let names = ["NX", "UF", "OF", "DZ", "NV", "DE"]
        let raised = (0..<6).filter { flags.rawValue >> $0 & 1 != 0 }.map { names[$0] }
        return "\(String(bits, radix: 16)) [\(raised.joined(separator: " "))]"
    }
}

/// The control bits of MXCSR for an environment, all exceptions masked.
func mxcsr(_ env: FloatEnvironment) -> UInt32 {
    let rounding: UInt32 = switch env.rounding {
    case .nearestEven, .nearestMaxMagnitude: 0
    case .down: 1
    case .up: 2
    case .towardZero: 3
    }
    return 0x1F80 | rounding << 13 | (env.denormalsAreZero ? 1 << 6 : 0) | (env.flushesToZero ? 1 << 15 : 0)
}

/// The flags in MXCSR.
func flags(mxcsr: UInt32) -> FloatFlags {
    var flags: FloatFlags = []
    let order: [FloatFlags] = [.invalid, .denormalOperand, .divideByZero, .overflow, .underflow, .inexact]
    for (bit, flag) in order.enumerated() where mxcsr >> bit & 1 != 0 { flags.insert(flag) }
    return flags
}

/// Runs `operation` on the host.
func onHost(_ operation: HostOperation, _ format: TestFormat, _ env: FloatEnvironment,
            _ a: UInt64, _ b: UInt64, _ c: UInt64) -> Outcome {
    let result = format.width == 32
        ? guise_hostfloat_f32(operation.code, mxcsr(env), a, b, c)
        : guise_hostfloat_f64(operation.code, mxcsr(env), a, b, c)
    return Outcome(bits: result.bits & operation.resultMask(format), flags: flags(mxcsr: result.mxcsr))
}

/// The EFLAGS bits of UCOMISD.
private func eflags(_ relation: FloatRelation) -> UInt64 {
    switch relation {
    case .less: 0x01
    case .equal: 0x40
    case .greater: 0
    case .unordered: 0x45
    }
}

/// Runs `operation` in SoftFloat.
func inSoftware(_ operation: HostOperation, _ format: TestFormat, _ environment: FloatEnvironment,
                _ a: UInt64, _ b: UInt64, _ c: UInt64) -> Outcome {
    var env = environment
    let bits = format.width == 32
        ? run32(operation, UInt32(truncatingIfNeeded: a), UInt32(truncatingIfNeeded: b),
                UInt32(truncatingIfNeeded: c), a, &env)
        : run64(operation, a, b, c, &env)
    return Outcome(bits: bits, flags: env.flags)
}

private func run32(_ operation: HostOperation, _ a: UInt32, _ b: UInt32, _ c: UInt32, _ wide: UInt64,
                   _ env: inout FloatEnvironment) -> UInt64 {
    switch operation {
    case .add: UInt64(F32.add(a, b, &env))
    case .subtract: UInt64(F32.subtract(a, b, &env))
    case .multiply: UInt64(F32.multiply(a, b, &env))
    case .divide: UInt64(F32.divide(a, b, &env))
    case .min: UInt64(F32.min(a, b, .secondOperand, &env))
    case .max: UInt64(F32.max(a, b, .secondOperand, &env))
    case .squareRoot: UInt64(F32.squareRoot(a, &env))
    case .multiplyAdd: UInt64(F32.multiplyAdd(a, b, c, &env))
    case .multiplySubtract: UInt64(F32.multiplySubtract(a, b, c, &env))
    case .negatedMultiplyAdd: UInt64(F32.negatedMultiplyAdd(a, b, c, &env))
    case .negatedMultiplySubtract: UInt64(F32.negatedMultiplySubtract(a, b, c, &env))
    case .compareQuiet: eflags(F32.compare(a, b, signalling: false, &env))
    case .compareSignalling: eflags(F32.compare(a, b, signalling: true, &env))
    case .convert: F64.fromF32(a, &env)
    case .toInt32: UInt64(UInt32(bitPattern: F32.toInt32(a, &env)))
    case .toInt64: UInt64(bitPattern: F32.toInt64(a, &env))
    case .toUInt32: UInt64(F32.toUInt32(a, &env))
    case .toUInt64: F32.toUInt64(a, &env)
    case .fromInt32: UInt64(F32.fromInt32(Int32(bitPattern: a), &env))
    case .fromInt64: UInt64(F32.fromInt64(Int64(bitPattern: wide), &env))
    case .fromUInt32: UInt64(F32.fromUInt32(a, &env))
    case .fromUInt64: UInt64(F32.fromUInt64(wide, &env))
    case .roundToIntegralExact: UInt64(F32.roundToIntegral(a, isExact: true, &env))
    case .roundToIntegral: UInt64(F32.roundToIntegral(a, isExact: false, &env))
    }
}

private func run64(_ operation: HostOperation, _ a: UInt64, _ b: UInt64, _ c: UInt64,
                   _ env: inout FloatEnvironment) -> UInt64 {
    switch operation {
    case .add: F64.add(a, b, &env)
    case .subtract: F64.subtract(a, b, &env)
    case .multiply: F64.multiply(a, b, &env)
    case .divide: F64.divide(a, b, &env)
    case .min: F64.min(a, b, .secondOperand, &env)
    case .max: F64.max(a, b, .secondOperand, &env)
    case .squareRoot: F64.squareRoot(a, &env)
    case .multiplyAdd: F64.multiplyAdd(a, b, c, &env)
    case .multiplySubtract: F64.multiplySubtract(a, b, c, &env)
    case .negatedMultiplyAdd: F64.negatedMultiplyAdd(a, b, c, &env)
    case .negatedMultiplySubtract: F64.negatedMultiplySubtract(a, b, c, &env)
    case .compareQuiet: eflags(F64.compare(a, b, signalling: false, &env))
    case .compareSignalling: eflags(F64.compare(a, b, signalling: true, &env))
    case .convert: UInt64(F32.fromF64(a, &env))
    case .toInt32: UInt64(UInt32(bitPattern: F64.toInt32(a, &env)))
    case .toInt64: UInt64(bitPattern: F64.toInt64(a, &env))
    case .toUInt32: UInt64(F64.toUInt32(a, &env))
    case .toUInt64: F64.toUInt64(a, &env)
    case .fromInt32: F64.fromInt32(Int32(truncatingIfNeeded: a), &env)
    case .fromInt64: F64.fromInt64(Int64(bitPattern: a), &env)
    case .fromUInt32: F64.fromUInt32(UInt32(truncatingIfNeeded: a), &env)
    case .fromUInt64: F64.fromUInt64(a, &env)
    case .roundToIntegralExact: F64.roundToIntegral(a, isExact: true, &env)
    case .roundToIntegral: F64.roundToIntegral(a, isExact: false, &env)
    }
}
