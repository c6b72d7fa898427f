// Ties away from zero, which the host cannot do, and tininess before rounding.
//
// Rounding to nearest with ties away differs from ties to even only at exact ties, and there it gives the
// neighbour further from zero. The host finds the exact error of a sum or product, which tells ties from the
// rest.

import SoftFloat
import Testing

#if DEBUG
private let randomOperandCount = 6_000
#else
private let randomOperandCount = 1_000_000
#endif

/// Runs `operation` in one rounding direction.
private func rounded<Value>(_ rounding: Rounding, _ operation: (inout FloatEnvironment) -> Value)
    -> (value: Value, flags: FloatFlags) {
    var env = FloatEnvironment.riscv
    env.rounding = rounding
    let value = operation(&env)
    return (value, env.flags)
}

/// Doubles of moderate size with few significant bits, so that sums and products often end in a tie.
private struct Doubles {
    var random = Generator(seed: 77)
    mutating func next() -> Double {
        let r = random.next()
        let precision = 20 + (r >> 32) % 33
        let fraction = random.next() & ((1 << 52) - 1) & ~((1 << (52 - precision)) - 1)
        let exponent = 1023 - 30 + (r >> 40) % 60
        return Double(bitPattern: r & 1 << 63 | exponent << 52 | fraction)
    }
}

/// Checks a ties-away result against its relatives, given the exact error `exact − nearestEven`.
private func isTiesAway(_ operation: (inout FloatEnvironment) -> UInt64, error: Double) -> Bool {
    let away = rounded(.nearestMaxMagnitude, operation)
    let even = rounded(.nearestEven, operation)
    let truncated = rounded(.towardZero, operation)
    if away.flags != even.flags { return false }
    if error == 0 { return away.value == even.value }
    // The two neighbours of an inexact result are consecutive bit patterns.
    let next = truncated.value &+ 1
    let gap = Double(bitPattern: next) - Double(bitPattern: truncated.value)
    let isTie = error.magnitude * 2 == gap.magnitude
    return away.value == (isTie ? next : even.value)
}

@Suite struct RoundingTests {
    @Test func `sums round ties away from zero`() {
        var doubles = Doubles()
        var failures: [(Double, Double)] = []
        for _ in 0..<randomOperandCount {
            let x = doubles.next(), y = doubles.next()
            let sum = x + y
            let part = sum - x
            let error = (x - (sum - part)) + (y - part)
            if !isTiesAway({ F64.add(x.bitPattern, y.bitPattern, &$0) }, error: error) {
                failures.append((x, y))
            }
        }
        #expect(failures.isEmpty, "\(failures.count): \(failures.prefix(5))")
    }

    @Test func `products and fused sums round ties away from zero`() {
        var doubles = Doubles()
        var failures: [(Double, Double)] = []
        for _ in 0..<randomOperandCount {
            let x = doubles.next(), y = doubles.next()
            let error = (-(x * y)).addingProduct(x, y)
            let (a, b) = (x.bitPattern, y.bitPattern)
            if !isTiesAway({ F64.multiply(a, b, &$0) }, error: error)
                || !isTiesAway({ F64.multiplyAdd(a, b, 0, &$0) }, error: error) { failures.append((x, y)) }
        }
        #expect(failures.isEmpty, "\(failures.count): \(failures.prefix(5))")
    }

    @Test func `single precision conversion rounds ties away from zero`() {
        var random = Generator(seed: 5)
        var failures: [UInt64] = []
        for _ in 0..<randomOperandCount {
            // 25 significant bits: a tie whenever the last is one.
            let r = random.next()
            let bits = r & 1 << 63 | (1000 + r % 50) << 52 | (random.next() & 0xF_FFFF_F000_0000)
            let x = Double(bitPattern: bits)
            let truncated = rounded(.towardZero) { F32.fromF64(bits, &$0) }
            let expected = truncated.value &+ (bits >> 28 & 1 != 0 ? 1 : 0)
            let away = rounded(.nearestMaxMagnitude) { F32.fromF64(bits, &$0) }
            let flags: FloatFlags = Double(Float(bitPattern: expected)) == x ? [] : .inexact
            if away != (expected, flags) {
                failures.append(bits)
            }
        }
        #expect(failures.isEmpty, "\(failures.count): \(failures.prefix(5))")
    }

    @Test func `integral values round ties away from zero`() {
        var random = Generator(seed: 6)
        var failures: [Double] = []
        for index in 0..<randomOperandCount {
            let r = random.next()
            let x = index & 1 == 0
                ? Double(Int64(bitPattern: r) >> 40) + 0.5 : Double(Int64(bitPattern: r) >> (r & 31)) / 1e9
            let expected = x.rounded(.toNearestOrAwayFromZero)
            let flags: FloatFlags = expected == x ? [] : .inexact
            let integral = rounded(.nearestMaxMagnitude) {
                F64.roundToIntegral(x.bitPattern, isExact: true, &$0)
            }
            let integer = rounded(.nearestMaxMagnitude) { F64.toInt64(x.bitPattern, &$0) }
            if integral != (expected.bitPattern, flags) || integer != (Int64(expected), flags) {
                failures.append(x)
            }
        }
        #expect(failures.isEmpty, "\(failures.count): \(failures.prefix(5))")
    }

    @Test(arguments: [
        // a, RNE, RTZ, RDN, RUP, RMM as in table "rounding modes" of the RISC-V manual
        (2.5, [2, 2, 2, 3, 3]), (-2.5, [-2, -2, -3, -2, -3]), (3.5, [4, 3, 3, 4, 4]), (0.5, [0, 0, 0, 1, 1]),
        (-0.5, [0, 0, -1, 0, -1]), (0.49999999999999994, [0, 0, 0, 1, 0]), (2.25, [2, 2, 2, 3, 2]),
        (-2.75, [-3, -2, -3, -2, -3]),
    ] as [(Double, [Int32])])
    func `the five directions round to integers`(value: Double, expected: [Int32]) {
        let results = Rounding.allCases.map { rounded($0) { F64.toInt32(value.bitPattern, &$0) }.value }
        #expect(results == expected)
    }

    @Test(arguments: [
        // An integer, then its bits in RNE, RTZ, RDN, RUP, RMM
        ((1 << 24) + 1, [0x4B80_0000, 0x4B80_0000, 0x4B80_0000, 0x4B80_0001, 0x4B80_0001]),
        (-(1 << 24) - 1, [0xCB80_0000, 0xCB80_0000, 0xCB80_0001, 0xCB80_0000, 0xCB80_0001]),
        ((1 << 24) + 3, [0x4B80_0002, 0x4B80_0001, 0x4B80_0001, 0x4B80_0002, 0x4B80_0002]),
        (.max, [0x5F00_0000, 0x5EFF_FFFF, 0x5EFF_FFFF, 0x5F00_0000, 0x5F00_0000]),
    ] as [(Int64, [UInt32])])
    func `the five directions round from integers`(value: Int64, expected: [UInt32]) {
        #expect(Rounding.allCases.map { rounded($0) { F32.fromInt64(value, &$0) }.value } == expected)
    }

    @Test(arguments: [TestFormat.f32, .f64])
    func `overflow goes to infinity or the largest number by direction`(format: TestFormat) {
        let largest = format.infinity - 1
        let expected: [Rounding: (UInt64, UInt64)] = [
            .nearestEven: (format.infinity, format.infinity),
            .nearestMaxMagnitude: (format.infinity, format.infinity),
            .towardZero: (largest, largest), .down: (largest, format.infinity),
            .up: (format.infinity, largest),
        ]
        for rounding in Rounding.allCases {
            var env = FloatEnvironment.riscv
            env.rounding = rounding
            let positive = inSoftware(.add, format, env, largest, largest, 0)
            let negative = inSoftware(.add, format, env, largest | format.sign, largest | format.sign, 0)
            #expect(positive == Outcome(bits: expected[rounding]!.0, flags: [.overflow, .inexact]))
            #expect(negative
                == Outcome(bits: expected[rounding]!.1 | format.sign, flags: [.overflow, .inexact]))
        }
    }

    @Test(arguments: [TestFormat.f32, .f64])
    func `half the smallest subnormal is a tie`(format: TestFormat) {
        for (rounding, magnitude) in zip(Rounding.allCases, [0, 0, 0, 1, 1] as [UInt64]) {
            var env = FloatEnvironment.riscv
            env.rounding = rounding
            #expect(inSoftware(.multiply, format, env, 1, format.bits(-1), 0)
                == Outcome(bits: magnitude, flags: [.underflow, .inexact]))
        }
    }

    @Test(arguments: [TestFormat.f32, .f64])
    func `only tininess before rounding counts a value that rounds up to the smallest normal`(
        format: TestFormat
    ) {
        // (1 + ε) × (1 − ε) times the smallest normal: just below it, by less than half a unit of its own
        // precision.
        let x = format.hidden + 1
        let y = format.bits(-1, format.hidden - 2)
        var env = FloatEnvironment.riscv
        #expect(inSoftware(.multiply, format, env, x, y, 0) == Outcome(bits: format.hidden, flags: .inexact))
        env.tininess = .beforeRounding
        #expect(inSoftware(.multiply, format, env, x, y, 0)
            == Outcome(bits: format.hidden, flags: [.inexact, .underflow]))
        // One that is tiny by either rule: it would round to a 53-bit number below the smallest normal.
        let z = format.bits(-1, format.hidden - 1)
        for tininess in [Tininess.afterRounding, .beforeRounding] {
            env.tininess = tininess
            #expect(inSoftware(.multiply, format, env, format.hidden, z, 0)
                == Outcome(bits: format.hidden, flags: [.inexact, .underflow]))
        }
        // Exact subnormal results raise nothing.
        #expect(inSoftware(.multiply, format, env, format.hidden, format.bits(-1), 0)
            == Outcome(bits: format.hidden >> 1, flags: []))
    }

    @Test func `exact zero sums are negative only when rounding down`() {
        for rounding in Rounding.allCases {
            let zero: UInt64 = rounding == .down ? 1 << 63 : 0
            let one = Double(1).bitPattern
            #expect(rounded(rounding) { F64.subtract(one, one, &$0) } == (zero, []))
            #expect(rounded(rounding) { F64.multiplySubtract(one, one, one, &$0) } == (zero, []))
            #expect(rounded(rounding) { F64.add(0, 1 << 63, &$0) } == (zero, []))
        }
    }
}
