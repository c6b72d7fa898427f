// The rules of Arm and of 754-2008 minima, by table; x86's minima on quiet operands are compared with the
// host.
//
// Spec: Arm ARM, pseudocode FPProcessNaNs, FPProcessNaNs3, FPMulAdd, FPMinNum, FPToFixed.

import SoftFloat
import Testing

private let quietA: UInt64 = 0x7FF8_0000_0000_000A
private let quietB: UInt64 = 0xFFF8_0000_0000_000B
private let quietC: UInt64 = 0x7FF8_0000_0000_000C
private let signalB: UInt64 = 0x7FF0_0000_0000_000B
private let signalC: UInt64 = 0xFFF0_0000_0000_000C
private let made: UInt64 = 0x0008_0000_0000_0000
private let one: UInt64 = 0x3FF0_0000_0000_0000
private let infinity: UInt64 = 0x7FF0_0000_0000_0000
private let defaultNaN: UInt64 = 0x7FF8_0000_0000_0000

@Suite struct ArmTests {
    private func run(_ operation: (inout FloatEnvironment) -> UInt64) -> Outcome {
        var env = FloatEnvironment.arm
        let bits = operation(&env)
        return Outcome(bits: bits, flags: env.flags)
    }

    @Test func `a signalling NaN comes before a quiet one`() {
        #expect(run { F64.add(quietA, signalB, &$0) } == Outcome(bits: signalB | made, flags: .invalid))
        #expect(run { F64.add(quietA, quietB, &$0) } == Outcome(bits: quietA, flags: []))
        #expect(run { F64.multiply(one, quietB, &$0) } == Outcome(bits: quietB, flags: []))
        #expect(run { F64.multiply(signalC, signalB, &$0) } == Outcome(bits: signalC | made, flags: .invalid))
        #expect(run { F64.divide(0, 0, &$0) } == Outcome(bits: defaultNaN, flags: .invalid))
    }

    @Test func `the addend of a fused operation counts as first`() {
        #expect(run { F64.multiplyAdd(quietA, quietB, quietC, &$0) } == Outcome(bits: quietC, flags: []))
        #expect(run { F64.multiplyAdd(quietA, signalB, quietC, &$0) }
            == Outcome(bits: signalB | made, flags: .invalid))
        #expect(run { F64.multiplyAdd(quietA, signalB, signalC, &$0) }
            == Outcome(bits: signalC | made, flags: .invalid))
        #expect(run { F64.multiplyAdd(quietA, quietB, one, &$0) } == Outcome(bits: quietA, flags: []))
        #expect(run { F64.multiplyAdd(infinity, 0, quietC, &$0) }
            == Outcome(bits: defaultNaN, flags: .invalid))
        #expect(run { F64.multiplyAdd(infinity, 0, signalC, &$0) }
            == Outcome(bits: signalC | made, flags: .invalid))
    }

    @Test func `minNum prefers a number to a quiet NaN but not to a signalling one`() {
        #expect(run { F64.min(one, quietB, .number2008, &$0) } == Outcome(bits: one, flags: []))
        #expect(run { F64.max(quietA, one, .number2008, &$0) } == Outcome(bits: one, flags: []))
        #expect(run { F64.min(one, signalB, .number2008, &$0) }
            == Outcome(bits: signalB | made, flags: .invalid))
        #expect(run { F64.min(quietA, quietB, .number2008, &$0) } == Outcome(bits: quietA, flags: []))
        #expect(run { F64.min(0, 1 << 63, .number2008, &$0) } == Outcome(bits: 1 << 63, flags: []))
        #expect(run { F64.min(one, quietB, .propagating, &$0) } == Outcome(bits: quietB, flags: []))
    }

    @Test func `NaN becomes the integer zero and numbers saturate`() {
        var env = FloatEnvironment.arm
        #expect(F64.toInt32(quietA, &env) == 0 && F64.toUInt64(quietB, &env) == 0)
        #expect(env.flags == .invalid)
        #expect(F64.toInt64(infinity, &env) == .max && F64.toInt64(infinity | 1 << 63, &env) == .min)
        #expect(F64.toUInt32(0xBFF0_0000_0000_0000, &env) == 0)
        #expect(env.flags == .invalid)
    }

    @Test func `conversions keep the top of the payload`() {
        #expect(run { F64.fromF32(0xFF80_0001, &$0) }
            == Outcome(bits: 0xFFF8_0000_2000_0000, flags: .invalid))
        var env = FloatEnvironment.arm
        #expect(F32.fromF64(0x7FF8_0000_2000_0001, &env) == 0x7FC0_0001)
        #expect(env.flags == [])
    }
}
