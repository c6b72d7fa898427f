// Floating point vector operations of the interpreter, by the soft float library under x86's rules.
//
// Spec: AMD64 Architecture Programmer's Manual vol. 4 and 6; NaN selection and exceptions as in vol. 1, 4.7 and 4.8.
// RCPPS and RSQRTPS, whose tables differ by vendor, are the host's.

import CHost
import IR
import SoftFloat

/// Floating point operations on vectors.
enum VectorFloat {
    /// The environment an MXCSR asks for.
    static func environment(mxcsr: UInt32) -> FloatEnvironment {
        var env = FloatEnvironment.x86SSE
        env.rounding = rounding(mxcsr >> 13)
        env.denormalsAreZero = mxcsr & 0x40 != 0
        // Flushing needs a masked underflow exception; an unmasked one is raised by exact tiny results too.
        env.flushesToZero = mxcsr & 0x8800 == 0x8800
        env.trapsUnderflow = mxcsr & 0x800 == 0
        env.trapsOverflow = mxcsr & 0x400 == 0
        return env
    }

    /// RC of MXCSR and of the immediate of ROUNDPS.
    @inline(__always)
    static func rounding(_ control: UInt32) -> SoftFloat.Rounding {
        switch control & 3 {
        case 0: .nearestEven
        case 1: .down
        case 2: .up
        default: .towardZero
        }
    }

    @inline(__always)
    private static func ps(_ lane: (Int) -> UInt32) -> Vector128 { Vector128(lanes: UInt32.self, lane) }
    @inline(__always)
    private static func pd(_ lane: (Int) -> UInt64) -> Vector128 { Vector128(lanes: UInt64.self, lane) }

    /// Arithmetic on two vectors; nil for other operations.
    static func arithmetic(_ operation: VectorOperation, _ x: Vector128, _ y: Vector128, _ immediate: UInt8,
                           _ env: inout FloatEnvironment) -> Vector128? {
        switch operation {
        case .addps: ps { F32.add(x.u32($0), y.u32($0), &env) }
        case .subps: ps { F32.subtract(x.u32($0), y.u32($0), &env) }
        case .mulps: ps { F32.multiply(x.u32($0), y.u32($0), &env) }
        case .divps: ps { F32.divide(x.u32($0), y.u32($0), &env) }
        case .minps: ps { F32.min(x.u32($0), y.u32($0), .secondOperand, &env) }
        case .maxps: ps { F32.max(x.u32($0), y.u32($0), .secondOperand, &env) }
        case .sqrtps: ps { F32.squareRoot(x.u32($0), &env) }
        case .addpd: pd { F64.add(x.u64($0), y.u64($0), &env) }
        case .subpd: pd { F64.subtract(x.u64($0), y.u64($0), &env) }
        case .mulpd: pd { F64.multiply(x.u64($0), y.u64($0), &env) }
        case .divpd: pd { F64.divide(x.u64($0), y.u64($0), &env) }
        case .minpd: pd { F64.min(x.u64($0), y.u64($0), .secondOperand, &env) }
        case .maxpd: pd { F64.max(x.u64($0), y.u64($0), .secondOperand, &env) }
        case .sqrtpd: pd { F64.squareRoot(x.u64($0), &env) }
        case .addss: x.with(0, F32.add(x.u32(0), y.u32(0), &env))
        case .subss: x.with(0, F32.subtract(x.u32(0), y.u32(0), &env))
        case .mulss: x.with(0, F32.multiply(x.u32(0), y.u32(0), &env))
        case .divss: x.with(0, F32.divide(x.u32(0), y.u32(0), &env))
        case .minss: x.with(0, F32.min(x.u32(0), y.u32(0), .secondOperand, &env))
        case .maxss: x.with(0, F32.max(x.u32(0), y.u32(0), .secondOperand, &env))
        case .sqrtss: x.with(0, F32.squareRoot(y.u32(0), &env))
        case .addsd: x.with(0, F64.add(x.low, y.low, &env))
        case .subsd: x.with(0, F64.subtract(x.low, y.low, &env))
        case .mulsd: x.with(0, F64.multiply(x.low, y.low, &env))
        case .divsd: x.with(0, F64.divide(x.low, y.low, &env))
        case .minsd: x.with(0, F64.min(x.low, y.low, .secondOperand, &env))
        case .maxsd: x.with(0, F64.max(x.low, y.low, .secondOperand, &env))
        case .sqrtsd: x.with(0, F64.squareRoot(y.low, &env))
        default: horizontal(operation, x, y, immediate, &env) ?? compare(operation, x, y, immediate, &env)
        }
    }

    private static func horizontal(_ operation: VectorOperation, _ x: Vector128, _ y: Vector128, _ immediate: UInt8,
                                   _ env: inout FloatEnvironment) -> Vector128? {
        switch operation {
        case .addsubps:
            return ps { $0 & 1 == 0 ? F32.subtract(x.u32($0), y.u32($0), &env) : F32.add(x.u32($0), y.u32($0), &env) }
        case .addsubpd: return Vector128(low: F64.subtract(x.low, y.low, &env), high: F64.add(x.high, y.high, &env))
        case .haddps:
            return ps { lane in
                let v = lane < 2 ? x : y, i = lane * 2 & 3
                return F32.add(v.u32(i), v.u32(i + 1), &env)
            }
        case .hsubps:
            return ps { lane in
                let v = lane < 2 ? x : y, i = lane * 2 & 3
                return F32.subtract(v.u32(i), v.u32(i + 1), &env)
            }
        case .haddpd: return Vector128(low: F64.add(x.low, x.high, &env), high: F64.add(y.low, y.high, &env))
        case .hsubpd: return Vector128(low: F64.subtract(x.low, x.high, &env), high: F64.subtract(y.low, y.high, &env))
        case .dpps:
            let product = ps { immediate >> (4 + $0) & 1 != 0 ? F32.multiply(x.u32($0), y.u32($0), &env) : 0 }
            let low = F32.add(product.u32(0), product.u32(1), &env)
            let high = F32.add(product.u32(2), product.u32(3), &env)
            let sum = F32.add(low, high, &env)
            return ps { immediate >> $0 & 1 != 0 ? sum : 0 }
        case .dppd:
            let product = pd { immediate >> (4 + $0) & 1 != 0 ? F64.multiply(x.u64($0), y.u64($0), &env) : 0 }
            let sum = F64.add(product.low, product.high, &env)
            return pd { immediate >> $0 & 1 != 0 ? sum : 0 }
        case .rcpps: return ps { guise_host_rcp(x.u32($0)) }
        case .rcpss: return x.with(0, guise_host_rcp(y.u32(0)))
        case .rsqrtps: return ps { guise_host_rsqrt(x.u32($0)) }
        case .rsqrtss: return x.with(0, guise_host_rsqrt(y.u32(0)))
        default: return nil
        }
    }

    // MARK: comparison

    /// For each predicate: bit 0 less, 1 equal, 2 greater, 3 unordered hold.
    private static let truth: [UInt8] = [2, 1, 3, 8, 13, 14, 12, 7, 10, 9, 11, 0, 5, 6, 4, 15]
    /// Predicates 0…15 that are invalid for quiet NaNs; the next sixteen are the others.
    private static let signalling: UInt16 = 0b0110_0110_0110_0110

    private static func holds(_ relation: FloatRelation, _ predicate: UInt8) -> Bool {
        truth[Int(predicate & 15)] >> relation.rawValue & 1 != 0
    }

    private static func compare(_ operation: VectorOperation, _ x: Vector128, _ y: Vector128, _ immediate: UInt8,
                                _ env: inout FloatEnvironment) -> Vector128? {
        let predicate = immediate & 31
        let signals = (signalling >> UInt16(predicate & 15) & 1 != 0) != (predicate & 16 != 0)
        func single(_ lane: Int, _ env: inout FloatEnvironment) -> UInt32 {
            holds(F32.compare(x.u32(lane), y.u32(lane), signalling: signals, &env), predicate) ? .max : 0
        }
        func double(_ lane: Int, _ env: inout FloatEnvironment) -> UInt64 {
            holds(F64.compare(x.u64(lane), y.u64(lane), signalling: signals, &env), predicate) ? .max : 0
        }
        switch operation {
        case .cmpps: return ps { single($0, &env) }
        case .cmppd: return pd { double($0, &env) }
        case .cmpss: return x.with(0, single(0, &env))
        case .cmpsd: return x.with(0, double(0, &env))
        default: return nil
        }
    }

    /// COMISS and its kin; nil for other operations.
    static func compareFlags(_ operation: VectorOperation, _ x: Vector128, _ y: Vector128,
                             _ env: inout FloatEnvironment) -> Int64? {
        let relation: FloatRelation
        switch operation {
        case .ucomiss, .comiss:
            relation = F32.compare(x.u32(0), y.u32(0), signalling: operation == .comiss, &env)
        case .ucomisd, .comisd:
            relation = F64.compare(x.low, y.low, signalling: operation == .comisd, &env)
        default: return nil
        }
        let isUnordered = relation == .unordered
        return VectorEvaluation.packedFlags(carry: relation == .less || isUnordered,
                                            zero: relation == .equal || isUnordered, sign: false, parity: isUnordered,
                                            overflow: false)
    }

    // MARK: conversions

    /// Conversions between vectors, and from an integer y; nil for other operations.
    static func convert(_ operation: VectorOperation, _ x: Vector128, _ y: Vector128, _ immediate: UInt8,
                        _ env: inout FloatEnvironment) -> Vector128? {
        switch operation {
        case .cvtps2pd: return pd { F64.fromF32(x.u32($0), &env) }
        case .cvtpd2ps: return ps { $0 < 2 ? F32.fromF64(x.u64($0), &env) : 0 }
        case .cvtss2sd: return x.with(0, F64.fromF32(y.u32(0), &env))
        case .cvtsd2ss: return x.with(0, F32.fromF64(y.low, &env))
        case .cvtdq2ps: return ps { F32.fromInt32(Int32(bitPattern: x.u32($0)), &env) }
        case .cvtdq2pd: return pd { F64.fromInt32(Int32(bitPattern: x.u32($0)), &env) }
        case .cvtps2dq: return ps { UInt32(bitPattern: F32.toInt32(x.u32($0), &env)) }
        case .cvtpd2dq: return ps { $0 < 2 ? UInt32(bitPattern: F64.toInt32(x.u64($0), &env)) : 0 }
        case .cvttps2dq:
            env.rounding = .towardZero
            return ps { UInt32(bitPattern: F32.toInt32(x.u32($0), &env)) }
        case .cvttpd2dq:
            env.rounding = .towardZero
            return ps { $0 < 2 ? UInt32(bitPattern: F64.toInt32(x.u64($0), &env)) : 0 }
        case .cvtsi2ss32: return x.with(0, F32.fromInt32(Int32(truncatingIfNeeded: y.low), &env))
        case .cvtsi2ss64: return x.with(0, F32.fromInt64(Int64(bitPattern: y.low), &env))
        case .cvtsi2sd32: return x.with(0, F64.fromInt32(Int32(truncatingIfNeeded: y.low), &env))
        case .cvtsi2sd64: return x.with(0, F64.fromInt64(Int64(bitPattern: y.low), &env))
        case .cvtph2ps:
            env.denormalsAreZero = false
            env.reportsDenormalOperands = false
            return ps { F16.toF32(x.u16($0), &env) }
        case .cvtps2ph:
            if immediate & 4 == 0 { env.rounding = rounding(UInt32(immediate)) }
            env.flushesToZero = false
            return Vector128(lanes: UInt16.self) { $0 < 4 ? F16.fromF32(x.u32($0), &env) : 0 }
        default: return round(operation, x, y, immediate, &env)
        }
    }

    private static func round(_ operation: VectorOperation, _ x: Vector128, _ y: Vector128, _ immediate: UInt8,
                              _ env: inout FloatEnvironment) -> Vector128? {
        switch operation {
        case .roundps, .roundpd, .roundss, .roundsd: break
        default: return nil
        }
        if immediate & 4 == 0 { env.rounding = rounding(UInt32(immediate)) }
        let exact = immediate & 8 == 0
        switch operation {
        case .roundps: return ps { F32.roundToIntegral(x.u32($0), isExact: exact, &env) }
        case .roundpd: return pd { F64.roundToIntegral(x.u64($0), isExact: exact, &env) }
        case .roundss: return x.with(0, F32.roundToIntegral(y.u32(0), isExact: exact, &env))
        case .roundsd: return x.with(0, F64.roundToIntegral(y.low, isExact: exact, &env))
        default: return nil
        }
    }

    /// Conversions to an integer register; nil for other operations.
    static func toInteger(_ operation: VectorOperation, _ x: Vector128, _ env: inout FloatEnvironment) -> Int64? {
        switch operation {
        case .cvttss2si32, .cvttss2si64, .cvttsd2si32, .cvttsd2si64: env.rounding = .towardZero
        default: break
        }
        switch operation {
        case .cvtss2si32, .cvttss2si32: return Int64(F32.toInt32(x.u32(0), &env))
        case .cvtss2si64, .cvttss2si64: return F32.toInt64(x.u32(0), &env)
        case .cvtsd2si32, .cvttsd2si32: return Int64(F64.toInt32(x.low, &env))
        case .cvtsd2si64, .cvttsd2si64: return F64.toInt64(x.low, &env)
        default: return nil
        }
    }

    // MARK: fused multiply-add

    /// What is added: ±(a·b) ± c by lane; nil for other operations.
    private static func signs(_ operation: VectorOperation, _ lane: Int) -> (product: Bool, addend: Bool)? {
        switch operation {
        case .fmaddps, .fmaddpd, .fmaddss, .fmaddsd: (false, false)
        case .fmsubps, .fmsubpd, .fmsubss, .fmsubsd: (false, true)
        case .fnmaddps, .fnmaddpd, .fnmaddss, .fnmaddsd: (true, false)
        case .fnmsubps, .fnmsubpd, .fnmsubss, .fnmsubsd: (true, true)
        case .fmaddsubps, .fmaddsubpd: (false, lane & 1 == 0)
        case .fmsubaddps, .fmsubaddpd: (false, lane & 1 != 0)
        default: nil
        }
    }

    /// Fused operations in the guest's form: 0 is 132, 1 is 213, 2 is 231.
    static func fused(_ operation: VectorOperation, _ x: Vector128, _ y: Vector128, _ z: Vector128, form: UInt8,
                      _ env: inout FloatEnvironment) -> Vector128? {
        guard signs(operation, 0) != nil else { return nil }
        let (a, b, c) = switch form {
        case 0: (x, z, y)
        case 1: (y, x, z)
        default: (y, z, x)
        }
        func single(_ lane: Int, _ env: inout FloatEnvironment) -> UInt32 {
            let (p, q, r) = (a.u32(lane), b.u32(lane), c.u32(lane))
            switch signs(operation, lane) ?? (false, false) {
            case (false, false): return F32.multiplyAdd(p, q, r, &env)
            case (false, true): return F32.multiplySubtract(p, q, r, &env)
            case (true, false): return F32.negatedMultiplySubtract(p, q, r, &env)
            case (true, true): return F32.negatedMultiplyAdd(p, q, r, &env)
            }
        }
        func double(_ lane: Int, _ env: inout FloatEnvironment) -> UInt64 {
            let (p, q, r) = (a.u64(lane), b.u64(lane), c.u64(lane))
            switch signs(operation, lane) ?? (false, false) {
            case (false, false): return F64.multiplyAdd(p, q, r, &env)
            case (false, true): return F64.multiplySubtract(p, q, r, &env)
            case (true, false): return F64.negatedMultiplySubtract(p, q, r, &env)
            case (true, true): return F64.negatedMultiplyAdd(p, q, r, &env)
            }
        }
        switch operation {
        case .fmaddss, .fmsubss, .fnmaddss, .fnmsubss: return x.with(0, single(0, &env))
        case .fmaddsd, .fmsubsd, .fnmaddsd, .fnmsubsd: return x.with(0, double(0, &env))
        case .fmaddpd, .fmsubpd, .fnmaddpd, .fnmsubpd, .fmaddsubpd, .fmsubaddpd: return pd { double($0, &env) }
        default: return ps { single($0, &env) }
        }
    }
}
