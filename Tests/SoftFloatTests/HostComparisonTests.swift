// SoftFloat against the host's SSE, FMA and AVX-512 scalar instructions: result and flags, bit for bit.
//
// Operations the host lacks are skipped. What the host cannot say (RISC-V and Arm rules, ties away) is in
// other files.

import CHost
import SoftFloat
import Testing

/// Random operands per operation and format, and the steps through special values of three-operand
/// operations. The suite stays within a few seconds in a debug build; a release build tries everything.
#if DEBUG
private let randomOperandCount = 12_000
private let triplesStrides = (b: 3, c: 7)
#else
private let randomOperandCount = 1_000_000
private let triplesStrides = (b: 1, c: 1)
#endif

/// The four rounding directions of the host, and those with subnormal operands and results flushed.
private let environments: [FloatEnvironment] = [false, true].flatMap { flushes in
    [Rounding.nearestEven, .towardZero, .down, .up].map { rounding in
        var env = FloatEnvironment.x86SSE
        env.rounding = rounding
        env.denormalsAreZero = flushes && rounding != .up
        env.flushesToZero = flushes && rounding != .down
        return env
    }
}

/// Compares one computation; a description of the difference, if any.
private func difference(_ operation: HostOperation, _ format: TestFormat, _ env: FloatEnvironment,
                        _ a: UInt64, _ b: UInt64, _ c: UInt64) -> String? {
    let host = onHost(operation, format, env, a, b, c)
    let soft = inSoftware(operation, format, env, a, b, c)
    if host == soft { return nil }
    let operands = [a, b, c].prefix(operation.operands).map { String($0, radix: 16) }.joined(separator: " ")
    let flushing = (env.denormalsAreZero ? " DAZ" : "") + (env.flushesToZero ? " FTZ" : "")
    return "\(operation) \(format) \(env.rounding)\(flushing) \(operands): host \(host), soft \(soft)"
}

@Suite struct HostComparisonTests {
    @Test func `the list of operations is that of the C side`() {
        #expect(HostOperation.allCases.count == Int(GUISE_HOSTFLOAT_COUNT.rawValue))
    }

    @Test(arguments: HostOperation.allCases.filter(\.isOnHost), [TestFormat.f32, .f64])
    func `special values give the host's results and flags`(operation: HostOperation, format: TestFormat) {
        var differences: [String] = []
        var specials = format.specials
        if operation.takesInteger {
            for shift in 0..<UInt64(64) {
                let power: UInt64 = 1 << shift
                specials += [power, power &- 1, power &+ 1, 0 &- power]
            }
        }
        func every(_ step: Int) -> [UInt64] {
            stride(from: 0, to: specials.count, by: step).map { specials[$0] }
        }
        let b = operation.operands > 2 ? every(triplesStrides.b) : operation.operands > 1 ? specials : [0]
        let c = operation.operands > 2 ? every(triplesStrides.c) : [0]
        for env in environments where operation.operands < 3 || !env.flushesToZero && !env.denormalsAreZero {
            for x in specials {
                for y in b {
                    for z in c {
                        if let text = difference(operation, format, env, x, y, z) { differences.append(text) }
                    }
                }
            }
        }
        #expect(differences.isEmpty, "\(differences.count), first \(differences.first ?? "")")
    }

    @Test(arguments: HostOperation.allCases.filter(\.isOnHost), [TestFormat.f32, .f64])
    func `random operands give the host's results and flags`(operation: HostOperation, format: TestFormat) {
        var operands = OperandGenerator(format, seed: UInt64(operation.rawValue) << 8 | format.width)
        var differences: [String] = []
        for index in 0..<randomOperandCount {
            let env = environments[index % environments.count]
            let a = operation.takesInteger
                ? operands.random.next() >> (operands.random.next() & 63) : operands.next()
            let b = operation.operands > 1 ? operands.next(near: a) : 0
            var c: UInt64 = 0
            if operation.operands > 2 {
                let product = onHost(.multiply, format, .x86SSE, a, b, 0).bits
                c = operands.next(near: product)
            }
            if let text = difference(operation, format, env, a, b, c) { differences.append(text) }
            if differences.count > 20 { break }
        }
        #expect(differences.isEmpty, "\(differences.count), first \(differences.first ?? "")")
    }
}
