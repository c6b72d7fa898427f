// Vector operations of the IR on values: the interpreter's meaning of each, and the out-of-line path of generated code on
// hosts that lack an instruction.

import IR
import SoftFloat

/// Evaluates vector operations exactly.
enum VectorEvaluation {
    /// Number of the exception an unmasked SIMD floating point exception raises (x86 #XM).
    static let simdException = 19

    /// Condition codes in their stored form: as LAHF gives them in bits 15…8, OF in bit 0; AF clear.
    static func packedFlags(carry: Bool, zero: Bool, sign: Bool, parity: Bool, overflow: Bool) -> Int64 {
        (carry ? 0x100 : 0) | 0x200 | (parity ? 0x400 : 0) | (zero ? 0x4000 : 0) | (sign ? 0x8000 : 0) | (overflow ? 1 : 0)
    }

    /// - Parameters:
    ///   - x, y, z: operands a, b, c; integers in the low quadword.
    ///   - mxcsr: the guest's; the exceptions met are added to its flags.
    ///   - faults: set when an exception is unmasked; then there is no result.
    /// - Returns: the result; integers (sign-extended) and packed flags in the low quadword.
    static func evaluate(_ operation: VectorOperation, _ immediate: UInt8, _ x: Vector128, _ y: Vector128, _ z: Vector128,
                         mxcsr: inout UInt32, faults: inout Bool) -> Vector128 {
        if let result = integer(operation, immediate, x, y, z) { return result }
        var env = VectorFloat.environment(mxcsr: mxcsr)
        let result: Vector128
        if let vector = VectorFloat.arithmetic(operation, x, y, immediate, &env)
            ?? VectorFloat.convert(operation, x, y, immediate, &env)
            ?? VectorFloat.fused(operation, x, y, z, form: immediate, &env) {
            result = vector
        } else if let value = VectorFloat.compareFlags(operation, x, y, &env)
                    ?? VectorFloat.toInteger(operation, x, &env) {
            result = Vector128(low: UInt64(bitPattern: value), high: 0)
        } else {
            preconditionFailure("\(operation) is not evaluated")
        }
        if !env.flags.isEmpty { report(env.flags, &mxcsr, &faults) }
        return result
    }

    /// Adds exceptions to MXCSR. Those of the operands, unmasked, keep those of the result from being seen.
    private static func report(_ flags: FloatFlags, _ mxcsr: inout UInt32, _ faults: inout Bool) {
        var bits = FloatEvaluation.mxcsrBits(flags) | (flags.contains(.denormalOperand) ? 2 : 0)
        let unmasked = ~(mxcsr >> 7) & 0x3F
        if bits & unmasked & 7 != 0 { bits &= 7 }
        mxcsr |= bits
        if bits & unmasked != 0 { faults = true }
    }

    /// Everything that MXCSR has no part in.
    private static func integer(_ operation: VectorOperation, _ immediate: UInt8, _ x: Vector128, _ y: Vector128,
                                _ z: Vector128) -> Vector128? {
        func value(_ low: Int64) -> Vector128 { Vector128(low: UInt64(bitPattern: low), high: 0) }
        let signature = operation.signature
        if signature.usesMXCSR { return nil }
        switch signature.form {
        case .crc:
            return VectorCrypto.crc(operation, Int64(bitPattern: x.low), Int64(bitPattern: y.low)).map(value)
        case .string:
            let comparison = StringComparison(x, y, immediate,
                                              lengths: signature.c == .void ? nil : Int64(bitPattern: z.low))
            return switch signature.result {
            case .flags: value(comparison.flags)
            case .v128: comparison.vector
            default: value(comparison.index)
            }
        case .vm2, .vm3, .vm4, .vm6, .vm7:
            return VectorInteger.shift(operation, x, Vector128(low: UInt64(immediate), high: 0))
        case .rvg:
            if let result = VectorInteger.insert(operation, x, Int64(bitPattern: y.low), immediate) { return result }
        case .rmf: return value(test(operation, x, y))
        default: break
        }
        return VectorInteger.arithmetic(operation, x, y) ?? VectorInteger.shift(operation, x, y)
            ?? VectorInteger.shuffle(operation, x, y, z, immediate)
            ?? VectorInteger.toInteger(operation, x, immediate).map(value)
            ?? VectorCrypto.evaluate(operation, x, y, z, immediate) ?? exactFloat(operation, x, y)
    }

    /// Floating point operations that raise nothing.
    private static func exactFloat(_ operation: VectorOperation, _ x: Vector128, _ y: Vector128) -> Vector128? {
        var env = FloatEnvironment.x86SSE
        return VectorFloat.arithmetic(operation, x, y, 0, &env) ?? VectorFloat.convert(operation, x, y, 0, &env)
    }

    /// PTEST and VTESTPS: ZF of a & b, CF of ~a & b.
    private static func test(_ operation: VectorOperation, _ x: Vector128, _ y: Vector128) -> Int64 {
        let mask: UInt64 = switch operation {
        case .vtestps: 0x8000_0000_8000_0000
        case .vtestpd: 0x8000_0000_0000_0000
        default: .max
        }
        let both = x & y, second = ~x & y
        return packedFlags(carry: (second.low | second.high) & mask == 0, zero: (both.low | both.high) & mask == 0,
                           sign: false, parity: false, overflow: false)
    }
}

/// The out-of-line call of generated code: operands and operation word in the scratch area, result in place of the first
/// operand. An unmasked exception leaves the unit.
let vectorCallTarget: HelperFunction = { state, _, _, _ in
    let scratch = state + StateLayout.vectorScratch
    func operand(_ index: Int) -> Vector128 {
        Vector128(low: scratch.load(fromByteOffset: index * 16, as: UInt64.self),
                  high: scratch.load(fromByteOffset: index * 16 + 8, as: UInt64.self))
    }
    let word = scratch.load(fromByteOffset: 48, as: UInt32.self)
    guard let operation = VectorOperation(rawValue: UInt16(truncatingIfNeeded: word)) else { return 0 }
    var mxcsr = state.load(fromByteOffset: StateLayout.guestMXCSR, as: UInt32.self), faults = false
    let result = VectorEvaluation.evaluate(operation, UInt8(truncatingIfNeeded: word >> 16), operand(0), operand(1),
                                           operand(2), mxcsr: &mxcsr, faults: &faults)
    state.storeBytes(of: mxcsr, toByteOffset: StateLayout.guestMXCSR, as: UInt32.self)
    if faults {
        state.storeBytes(of: ExitKind.exception(VectorEvaluation.simdException).rawValue,
                         toByteOffset: StateLayout.helperExit, as: UInt32.self)
    }
    scratch.storeBytes(of: result.low, as: UInt64.self)
    scratch.storeBytes(of: result.high, toByteOffset: 8, as: UInt64.self)
    return 0
}
