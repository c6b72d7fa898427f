// Integer instructions against the host's processor: every row in random encodings with random and edge operands.

import Foundation
import Testing
@testable import GuestX86

@Suite struct IntegerNativeTests {
    /// Rows that cannot run in a process, depend on the machine, or are tested with others' state.
    private static let excluded: Set<String> = [
        "jmp", "jcc", "call", "ret", "loop", "loope", "loopne", "jcxz", "jmpf", "callf", "retf", "iret", "int", "int1",
        "syscall", "sysenter", "sysret", "sysexit", "popf", "pushf", "ins", "outs", "in", "out", "cli", "sti", "hlt",
        "movs", "stos", "lods", "scas", "cmps", "cpuid", "rdtsc", "rdtscp", "rdpid", "rdpmc", "rdrand", "rdseed", "xgetbv",
        "rdfsbase", "rdgsbase", "wrfsbase", "wrgsbase", "lar", "lsl", "verr", "verw", "sldt", "str", "smsw", "sgdt", "sidt",
        "lds", "les", "lfs", "lgs", "lss", "monitorx", "mwaitx", "clzero", "fxsave", "fxrstor", "xsave", "xrstor",
        "xsaveopt", "xsavec", "monitor", "mwait", "enter", "int3", "fwait", "prefetchw", "prefetch", "femms", "emms",
    ]

    private static let rows: [Int] = InstructionTable.rows.indices.filter { number in
        let row = InstructionTable.rows[number]
        let isInteger = row.flags.isDisjoint(with: [.x87, .mmx, .sse, .avx, .privileged])
        let usesSegments = [row.operands.0.kind, row.operands.1.kind].contains { $0 == .segment || $0 == .fixedSegment }
        return isInteger && !usesSegments && row.operands.0.kind != .offset && row.operands.1.kind != .offset
            && !excluded.contains(row.name)
    }

    /// How many random encodings of each row; more can be asked for in the environment.
    private static let repetitions = ProcessInfo.processInfo.environment["GUISE_FUZZ_PROGRAMS"].flatMap(Int.init) ?? 12

    @Test(arguments: [true, false]) func `the interpreter does what the processor does`(is64: Bool) throws {
        let harness = try X86Harness()
        var cases = IntegerCases(harness, is64: is64)
        try cases.run(Self.rows, Self.repetitions) { harness.interpreted($0, eliminatesDeadCode: $1 & 1 == 1) }
    }
}

/// Random experiments with integer rows.
struct IntegerCases {
    let harness: X86Harness
    let is64: Bool
    let decoder = X86Decoder()
    var random: SeededGenerator
    var turn = 0
    private var reports = 0

    init(_ harness: X86Harness, is64: Bool, seed: UInt64 = 1) {
        self.harness = harness
        self.is64 = is64
        random = SeededGenerator(state: seed)
    }

    mutating func run(_ rows: [Int], _ repetitions: Int, _ executor: (X86Case, Int) -> X86Outcome) throws {
        for number in rows {
            let form = RandomInstruction(number, is64: is64)
            guard form.isPossible else { continue }
            var wrong = 0
            for _ in 0..<repetitions where wrong < 2 {
                guard let (experiment, decoded) = experiment(form) else { continue }
                turn += 1
                let expected = try harness.native(experiment)
                let actual = executor(experiment, turn)
                let undefined = UndefinedFlags.mask(form.row.name, decoded, experiment.before)
                let differences = expected.differences(from: actual, undefined: undefined)
                if differences.isEmpty { continue }
                wrong += 1
                report(form, experiment, differences)
            }
        }
    }

    /// An experiment with one instruction of a row.
    private mutating func experiment(_ form: RandomInstruction) -> (X86Case, X86Instruction)? {
        guard let (bytes, decoded) = form.encode(decoder, &random) else { return nil }
        var experiment = X86Case(code: bytes, is64: is64)
        for register in 0..<(is64 ? 16 : 8) {
            experiment.before.general[register] = random.operand() & (is64 ? .max : 0xFFFF_FFFF)
        }
        experiment.before.flags = UInt32(truncatingIfNeeded: random.next()) & EFlags.status
        // Around the target lie random numbers.
        let place = Int(random.next() % 4000) + 2048
        experiment.data = [UInt8](repeating: 0, count: place - 64)
        for _ in 0..<16 { withUnsafeBytes(of: random.operand()) { experiment.data += $0 } }
        experiment.before.general[GPR.rsp] = harness.middle
        let name = form.row.name
        if name == "leave" { experiment.before.general[GPR.rbp] = harness.middle + 64 }
        if name == "xlat" { experiment.before.general[GPR.rbx] = harness.middle }
        if name.hasPrefix("bt"), form.row.operands.1.kind == .register, decoded.isMemory {
            experiment.before.general[Int(decoded.reg)] = UInt64(bitPattern: Int64(Int16(truncatingIfNeeded: random.next())) / 4)
            if !is64 { experiment.before.general[Int(decoded.reg)] &= 0xFFFF_FFFF }
            if decoded.reg == UInt8(bitPattern: decoded.base) || decoded.reg == UInt8(bitPattern: decoded.index) { return nil }
        }
        let aligned = name == "cmpxchg16b" ? UInt64(place) & ~15 : UInt64(place)
        guard harness.aim(decoded, &experiment.before, at: harness.data + aligned, is64: is64) else { return nil }
        if name == "xlat", decoded.addressSize == 2 { return nil }
        return (experiment, decoded)
    }

    private mutating func report(_ form: RandomInstruction, _ experiment: X86Case, _ differences: [String]) {
        reports += 1
        if reports > 25 { return }
        let bytes = experiment.code.map { String($0, radix: 16) }.joined(separator: " ")
        let registers = (0..<16).map { "\(X86Harness.names[$0])=\(String(experiment.before.general[$0], radix: 16))" }
        Issue.record("""
        \(form.row.name) \(bytes) \(is64 ? "64" : "32"), processor and we:
        \(differences.joined(separator: "\n"))
        before: \(registers.joined(separator: " ")) flags=\(String(experiment.before.flags, radix: 16))
        """)
    }
}
