// Vector instructions against the host's processor: every row in random encodings, with operands at the edges of all lane
// formats, all roundings, DAZ, FTZ, masked and unmasked exceptions.

import CHost
import Foundation
import Testing
@testable import GuestX86

@Suite(.enabled(if: guise_cpu_has_v3() != 0)) struct VectorNativeTests {
    /// Rows with tests of their own, or that the host does not have.
    private static let excluded: Set<String> = [
        "ldmxcsr", "stmxcsr", "vldmxcsr", "vstmxcsr", "vzeroall", "maskmovdqu", "vmaskmovdqu", "maskmovq", "extrq", "insertq",
        "movntss", "movntsd",
    ]

    static func rows(_ flags: X86Row.Flags) -> [Int] {
        InstructionTable.rows.indices.filter { number in
            let row = InstructionTable.rows[number]
            return !row.flags.isDisjoint(with: flags) && row.map != .threeDNow && row.feature != .threeDNow
                && !excluded.contains(row.name)
        }
    }

    private static let repetitions = ProcessInfo.processInfo.environment["GUISE_FUZZ_PROGRAMS"].flatMap(Int.init) ?? 8

    @Test(arguments: [true, false]) func `generated code does what the processor does with vectors`(registersInMemory: Bool) throws {
        var cases = VectorCases(try X86Harness(), is64: true, seed: 4)
        try cases.run(Self.rows([.sse, .avx, .mmx]), max(2, Self.repetitions / 4)) { harness, experiment, _ in
            try harness.generated(experiment, registersInMemory: registersInMemory)
        }
    }

    @Test(arguments: [true, false]) func `the interpreter does what the processor does with SSE`(is64: Bool) throws {
        var cases = VectorCases(try X86Harness(), is64: is64)
        try cases.run(Self.rows(.sse), Self.repetitions)
    }

    @Test(arguments: [true, false]) func `the interpreter does what the processor does with AVX`(is64: Bool) throws {
        var cases = VectorCases(try X86Harness(), is64: is64, seed: 2)
        try cases.run(Self.rows(.avx), Self.repetitions)
    }

    @Test(arguments: [true, false]) func `the interpreter does what the processor does with MMX`(is64: Bool) throws {
        var cases = VectorCases(try X86Harness(), is64: is64, seed: 3)
        try cases.run(Self.rows(.mmx), Self.repetitions)
    }
}

/// Random experiments with vector rows.
struct VectorCases {
    let harness: X86Harness
    let is64: Bool
    let decoder = X86Decoder()
    var random: SeededGenerator
    private var reports = 0

    init(_ harness: X86Harness, is64: Bool, seed: UInt64 = 1) {
        self.harness = harness
        self.is64 = is64
        random = SeededGenerator(state: seed)
    }

    mutating func run(_ rows: [Int], _ repetitions: Int, _ executor: (X86Harness, X86Case, Int) throws -> X86Outcome = {
        $0.interpreted($1, eliminatesDeadCode: $2 & 1 == 1)
    }) throws {
        for number in rows {
            let form = RandomInstruction(number, is64: is64)
            guard form.isPossible else { continue }
            var wrong = 0
            for turn in 0..<repetitions where wrong < 1 {
                guard let (bytes, experiment) = experiment(form) else { continue }
                var expected = try harness.native(experiment)
                var actual = try executor(harness, experiment, turn)
                if UndefinedFlags.leavesNaNOpen(form.row.name) {
                    Self.forgetNaNs(&expected.registers)
                    Self.forgetNaNs(&actual.registers)
                }
                let differences = expected.differences(from: actual)
                if differences.isEmpty { continue }
                wrong += 1
                reports += 1
                if reports > 40 { continue }
                let text = bytes.map { String($0, radix: 16) }.joined(separator: " ")
                Issue.record("""
                    \(form.row.name) \(text) \(is64 ? "64" : "32") mxcsr \(String(experiment.before.mxcsr, radix: 16)), \
                    processor and we: \(differences.joined(separator: "; "))
                    """)
            }
        }
    }

    private static let singles: [UInt32] = [
        0, 0x8000_0000, 1, 0x807F_FFFF, 0x0080_0000, 0x3F80_0000, 0xBF80_0000, 0x7F7F_FFFF, 0x7F80_0000, 0xFF80_0000,
        0x7FC0_0000, 0xFFC0_1234, 0x7F80_0001, 0x4F00_0000, 0xCF00_0000, 0x3FC0_0000, 0x4020_0000,
    ]
    private static let doubles: [UInt64] = [
        0, 1 << 63, 1, 0x000F_FFFF_FFFF_FFFF, 0x0010_0000_0000_0000, 0x3FF0_0000_0000_0000, 0xBFF0_0000_0000_0000,
        0x7FEF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0000, 0xFFF0_0000_0000_0000, 0x7FF8_0000_0000_0000, 0xFFF8_0000_0000_4321,
        0x7FF0_0000_0000_0001, 0x41DF_FFFF_FFC0_0000, 0xC1E0_0000_0020_0000, 0x43E0_0000_0000_0000, 0x3FE0_0000_0000_0000,
        0x3690_0000_0000_0000, 0x47EF_FFFF_F000_0000,
    ]

    /// Makes all single-precision NaNs of the vector registers the same.
    private static func forgetNaNs(_ registers: inout X86Registers) {
        func forget(_ bytes: inout [UInt8]) {
            for at in stride(from: 0, to: bytes.count, by: 4) where bytes[at + 3] & 0x7F == 0x7F && bytes[at + 2] & 0x80 != 0
                && (bytes[at + 2] & 0x7F | bytes[at + 1] | bytes[at]) != 0 {
                bytes.replaceSubrange(at..<at + 4, with: [0, 0, 0xC0, 0x7F])
            }
        }
        forget(&registers.xmm)
        forget(&registers.ymmHigh)
    }

    private mutating func half() -> UInt64 {
        switch random.next() % 6 {
        case 0, 1: return UInt64(random.pick(Self.singles)) | UInt64(random.pick(Self.singles)) << 32
        case 2, 3: return random.pick(Self.doubles)
        case 4: return random.operand()
        default: return random.next()
        }
    }

    private mutating func halves(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<count { withUnsafeBytes(of: half()) { bytes += $0 } }
        return bytes
    }

    private mutating func experiment(_ form: RandomInstruction) -> ([UInt8], X86Case)? {
        guard let (bytes, decoded) = form.encode(decoder, &random) else { return nil }
        var experiment = X86Case(code: bytes, is64: is64)
        for register in 0..<(is64 ? 16 : 8) {
            experiment.before.general[register] = random.operand() & (is64 ? .max : 0xFFFF_FFFF)
        }
        experiment.before.flags = UInt32(truncatingIfNeeded: random.next()) & EFlags.status
        experiment.before.xmm = halves(32)
        experiment.before.ymmHigh = halves(32)
        let control = UInt32(truncatingIfNeeded: random.next())
        experiment.before.mxcsr = random.once(in: 2) ? 0x1F80 : 0x1F80 | control & 0xE040
        // An unmasked exception of one half of a YMM register is raised before the other half is looked at.
        if random.once(in: 6), !decoded.l { experiment.before.mxcsr &= ~(control & 0x1F80) }
        for register in 0..<8 {
            let bytes = halves(1) + [random.byte(), random.byte()]
            experiment.before.stack.replaceSubrange(register * 16..<register * 16 + 10, with: bytes)
        }
        experiment.before.status = UInt16(truncatingIfNeeded: random.next()) & 0x7F7F & ~0x3F
        experiment.before.tags = random.byte()
        let place = (Int(random.next() % 4000) + 2048) & (random.once(in: 8) ? ~0 : ~31)
        experiment.data = [UInt8](repeating: 0, count: place - 64)
        experiment.data += halves(32)
        experiment.before.general[4] = harness.middle
        if UndefinedFlags.isIncomparable(form.row.name, decoded, experiment.before, isMisaligned: place & 15 != 0) { return nil }
        guard decoded.index < 0 || form.row.operands.1.kind != .vectorIndexed else { return nil }
        guard harness.aim(decoded, &experiment.before, at: harness.data + UInt64(place), is64: is64) else { return nil }
        return (bytes, experiment)
    }
}
