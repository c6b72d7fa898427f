// The rules of RISC-V: canonical NaNs, minima, integer conversions, classes, and the encodings of fcsr.
//
// Spec: RISC-V unprivileged ISA, chapters "F", "D" and "Zfa". Where the host's instructions agree up to the
// NaN returned, they are the reference; the rest is by table.

import SoftFloat
import Testing

private let nan32: UInt32 = 0x7FC0_0000
private let nan64: UInt64 = 0x7FF8_0000_0000_0000
private let signalling64: UInt64 = 0x7FF0_0000_0000_0001
private let infinity64: UInt64 = 0x7FF0_0000_0000_0000
private let one64: UInt64 = 0x3FF0_0000_0000_0000
private let negative64: UInt64 = 0x8000_0000_0000_0000

/// The last operation before those that give or take integers.
private let lastFloatResult = HostOperation.convert

@Suite struct RISCVTests {
    @Test func `raw values are those of frm and fflags`() {
        #expect(Rounding.allCases.map(\.rawValue) == [0, 1, 2, 3, 4])
        #expect(Rounding.nearestMaxMagnitude.rawValue == 4 && Rounding.down.rawValue == 2)
        let flags: [FloatFlags] = [.inexact, .underflow, .overflow, .divideByZero, .invalid]
        #expect(flags.map(\.rawValue) == [1, 2, 4, 8, 16])
    }

    @Test(arguments: HostOperation.allCases.filter { $0.isOnHost && $0.rawValue <= lastFloatResult.rawValue },
          [TestFormat.f32, .f64])
    func `every NaN result is canonical and all else is as on the host`(
        operation: HostOperation, format: TestFormat
    ) {
        if operation == .min || operation == .max { return }
        var env = FloatEnvironment.riscv
        let specials = format.specials
        let c = operation.operands > 2 ? [0, format.bits(0), format.infinity, format.infinity | format.quiet]
            : [0]
        let result = operation == .convert ? (format.width == 32 ? TestFormat.f64 : .f32) : format
        var differences: [String] = []
        for rounding in [Rounding.nearestEven, .towardZero, .down, .up] {
            env.rounding = rounding
            for x in specials {
                for y in operation.operands > 1 ? specials : [0] {
                    for z in c {
                        var host = onHost(operation, format, env, x, y, z)
                        host.flags.remove(.denormalOperand)
                        let isComparison = operation == .compareQuiet || operation == .compareSignalling
                        if !isComparison && host.bits & (result.sign - 1) > result.infinity {
                            host.bits = result.infinity | result.quiet
                            // x86 does not raise invalid for infinity × 0 + quiet NaN.
                            let magnitudes = [x & (format.sign - 1), y & (format.sign - 1)]
                            if operation.operands == 3, magnitudes.contains(0),
                               magnitudes.contains(format.infinity) {
                                host.flags.insert(.invalid)
                            }
                        }
                        let soft = inSoftware(operation, format, env, x, y, z)
                        if soft != host {
                            let operands = [x, y, z].map { String($0, radix: 16) }
                            differences.append("\(rounding) \(operands): host \(host), soft \(soft)")
                        }
                    }
                }
            }
        }
        #expect(differences.isEmpty, "\(differences.count), first \(differences.first ?? "")")
    }

    @Test func `infinity times zero plus a quiet NaN is invalid`() {
        var env = FloatEnvironment.riscv
        #expect(F64.multiplyAdd(infinity64, 0, nan64, &env) == nan64)
        #expect(env.flags == .invalid)
        env.flags = []
        #expect(F32.negatedMultiplySubtract(0, 0x7F80_0000, 0xFFC1_2345, &env) == nan32)
        #expect(env.flags == .invalid)
    }

    @Test(arguments: [
        // a, b, min, max, invalid
        (one64, 0, 0, one64, false),
        (0, negative64, negative64, 0, false),
        (negative64, 0, negative64, 0, false),
        (nan64, one64, one64, one64, false),
        (one64, nan64 | negative64, one64, one64, false),
        (signalling64, one64, one64, one64, true),
        (infinity64, signalling64, infinity64, infinity64, true),
        (nan64 | 5, nan64 | negative64, nan64, nan64, false),
        (nan64, signalling64, nan64, nan64, true),
        (infinity64 | negative64, 1, infinity64 | negative64, 1, false),
    ] as [(UInt64, UInt64, UInt64, UInt64, Bool)])
    func `fmin and fmax are minimumNumber and maximumNumber`(
        a: UInt64, b: UInt64, min: UInt64, max: UInt64, isInvalid: Bool
    ) {
        var env = FloatEnvironment.riscv
        #expect(F64.min(a, b, .number, &env) == min)
        #expect(env.flags == (isInvalid ? .invalid : []))
        env.flags = []
        #expect(F64.max(a, b, .number, &env) == max)
        #expect(env.flags == (isInvalid ? .invalid : []))
    }

    @Test func `fminm and fmaxm return the canonical NaN if either operand is one`() {
        var env = FloatEnvironment.riscv
        #expect(F64.min(one64, nan64 | 7, .propagating, &env) == nan64)
        #expect(env.flags == [])
        #expect(F64.max(signalling64, one64, .propagating, &env) == nan64)
        #expect(env.flags == .invalid)
        env.flags = []
        #expect(F64.max(negative64, 0, .propagating, &env) == 0)
        #expect(F64.min(0, negative64, .propagating, &env) == negative64)
        #expect(env.flags == [])
    }

    @Test func `feq is quiet, flt and fle signal, fltq and fleq are quiet`() {
        var env = FloatEnvironment.riscv
        #expect(!F64.equal(nan64, nan64, &env) && !F64.lessQuiet(nan64, one64, &env))
        #expect(!F64.lessOrEqualQuiet(one64, nan64, &env))
        #expect(env.flags == [])
        for compare in [F64.less, F64.lessOrEqual, F64.equalSignalling] {
            env.flags = []
            #expect(!compare(one64, nan64, &env))
            #expect(env.flags == .invalid)
        }
        for compare in [F64.equal, F64.less, F64.lessOrEqual, F64.lessQuiet, F64.lessOrEqualQuiet] {
            env.flags = []
            #expect(!compare(signalling64, one64, &env))
            #expect(env.flags == .invalid)
        }
        env.flags = []
        #expect(F64.equal(0, negative64, &env) && F64.lessOrEqual(0, negative64, &env))
        #expect(!F64.less(negative64, 0, &env) && F64.less(one64 | negative64, one64, &env))
        #expect(F32.less(0x8000_0001, 0, &env) && !F32.equal(1, 2, &env) && F32.lessOrEqual(1, 1, &env))
        #expect(env.flags == [])
    }

    @Test(arguments: [
        // f64 bits, then RTZ results: w, wu, l, lu; and which of the four are invalid (others: inexact if
        // true)
        (0x7FF8_0000_0000_0000, Int32.max, UInt32.max, Int64.max, UInt64.max, 0b1111, false),   // NaN
        (0xFFF8_0000_0000_0000, Int32.max, UInt32.max, Int64.max, UInt64.max, 0b1111, false),   // −NaN
        (0x7FF0_0000_0000_0001, Int32.max, UInt32.max, Int64.max, UInt64.max, 0b1111, false),   // sNaN
        (0x7FF0_0000_0000_0000, Int32.max, UInt32.max, Int64.max, UInt64.max, 0b1111, false),   // ∞
        (0xFFF0_0000_0000_0000, Int32.min, 0, Int64.min, 0, 0b1111, false),                     // −∞
        (0xBFEC_CCCC_CCCC_CCCD, 0, 0, 0, 0, 0b0000, true),                                      // −0.9
        (0xBFF0_0000_0000_0000, -1, 0, -1, 0, 0b1010, false),                                   // −1
        (0xBFF8_0000_0000_0000, -1, 0, -1, 0, 0b1010, true),                                    // −1.5
        (0x41E0_0000_0000_0000, Int32.max, 1 << 31, 1 << 31, 1 << 31, 0b0001, false),           // 2^31
        (0x41DF_FFFF_FFFF_FFFF, Int32.max, 1 << 31 - 1, 1 << 31 - 1, 1 << 31 - 1, 0b0000, true),
        (0xC1E0_0000_0000_0000, Int32.min, 0, -(1 << 31), 0, 0b1010, false),                    // −2^31
        (0xC1E0_0000_0010_0000, Int32.min, 0, -(1 << 31), 0, 0b1010, true),                     // −2^31 − 0.5
        (0x41F0_0000_0000_0000, Int32.max, UInt32.max, 1 << 32, 1 << 32, 0b0011, false),        // 2^32
        (0x43E0_0000_0000_0000, Int32.max, UInt32.max, Int64.max, 1 << 63, 0b0111, false),      // 2^63
        (0xC3E0_0000_0000_0000, Int32.min, 0, Int64.min, 0, 0b1011, false),                     // −2^63
        (0x43F0_0000_0000_0000, Int32.max, UInt32.max, Int64.max, UInt64.max, 0b1111, false),   // 2^64
        (0x0000_0000_0000_0001, 0, 0, 0, 0, 0b0000, true),
        (0x8000_0000_0000_0000, 0, 0, 0, 0, 0b0000, false),
    ] as [(UInt64, Int32, UInt32, Int64, UInt64, UInt8, Bool)])
    func `fcvt to integers saturates`(
        bits: UInt64, w: Int32, wu: UInt32, l: Int64, lu: UInt64, invalid: UInt8, isInexact: Bool
    ) {
        var env = FloatEnvironment.riscv
        env.rounding = .towardZero
        // Bits of `invalid` from the lowest: w, wu, l, lu.
        func expected(_ index: UInt8) -> FloatFlags {
            invalid >> index & 1 != 0 ? .invalid : isInexact ? .inexact : []
        }
        #expect(F64.toInt32(bits, &env) == w)
        #expect(env.flags == expected(0))
        env.flags = []
        #expect(F64.toUInt32(bits, &env) == wu)
        #expect(env.flags == expected(1))
        env.flags = []
        #expect(F64.toInt64(bits, &env) == l)
        #expect(env.flags == expected(2))
        env.flags = []
        #expect(F64.toUInt64(bits, &env) == lu)
        #expect(env.flags == expected(3))
    }

    @Test func `a value that rounds into range is not invalid`() {
        var env = FloatEnvironment.riscv
        let limit: UInt64 = 0x41DF_FFFF_FFE0_0000  // 2^31 − 0.5
        env.rounding = .down
        #expect(F64.toInt32(limit, &env) == Int32.max && env.flags == .inexact)
        env.flags = []
        env.rounding = .nearestEven
        #expect(F64.toInt32(limit, &env) == Int32.max && env.flags == .invalid)
        env.flags = []
        env.rounding = .down
        #expect(F64.toUInt32(0xBFE0_0000_0000_0000, &env) == 0 && env.flags == .invalid)
        env.flags = []
        env.rounding = .nearestEven
        #expect(F64.toUInt32(0xBFE0_0000_0000_0000, &env) == 0 && env.flags == .inexact)
    }

    @Test(arguments: [
        (0xFFF0_0000_0000_0000, 0), (0xBFF0_0000_0000_0000, 1),
        (0x8010_0000_0000_0000, 1), (0x800F_FFFF_FFFF_FFFF, 2),
        (0x8000_0000_0000_0000, 3), (0, 4), (1, 5), (0x0010_0000_0000_0000, 6), (0x7FEF_FFFF_FFFF_FFFF, 6),
        (0x7FF0_0000_0000_0000, 7), (0x7FF0_0000_0000_0001, 8), (0xFFF7_FFFF_FFFF_FFFF, 8),
        (0x7FF8_0000_0000_0000, 9), (0xFFFF_FFFF_FFFF_FFFF, 9),
    ] as [(UInt64, UInt16)])
    func `fclass sets one bit of ten`(bits: UInt64, bit: UInt16) {
        #expect(F64.classify(bits).rawValue == 1 << bit)
    }

    @Test func `fclass of single precision`() {
        let values: [UInt32] = [0xFF80_0000, 0xBF80_0000, 0x807F_FFFF, 0x8000_0000, 0, 1, 0x0080_0000,
                                0x7F80_0000, 0x7F80_0001, 0xFFC0_0000]
        #expect(values.map { F32.classify($0).rawValue } == (0..<10).map { 1 << $0 })
    }

    @Test func `fround keeps the sign of zero and froundnx raises inexact`() {
        var env = FloatEnvironment.riscv
        #expect(F64.roundToIntegral(0xBFE0_0000_0000_0000, isExact: false, &env) == negative64)
        #expect(env.flags == [])
        #expect(F64.roundToIntegral(0xBFE0_0000_0000_0000, isExact: true, &env) == negative64)
        #expect(env.flags == .inexact)
        env.flags = []
        #expect(F64.roundToIntegral(signalling64, isExact: false, &env) == nan64)
        #expect(env.flags == .invalid)
    }
}
