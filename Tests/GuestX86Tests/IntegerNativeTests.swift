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

    @Test(arguments: [(true, false), (false, false), (true, true)])
    func `generated code does what the processor does`(is64: Bool, registersInMemory: Bool) throws {
        let harness = try X86Harness()
        var cases = IntegerCases(harness, is64: is64, seed: 4)
        let run = { (experiment: X86Case, _: Int) in try harness.generated(experiment, registersInMemory: registersInMemory) }
        try cases.run(Self.rows, Self.repetitions, run)
        for _ in 0..<Self.repetitions * 25 {
            try cases.compare(cases.stringExperiment(), "string", run)
            try cases.compare(cases.controlExperiment(), "control", run)
        }
    }

    @Test(arguments: [true, false]) func `strings go as on the processor`(is64: Bool) throws {
        let harness = try X86Harness()
        var cases = IntegerCases(harness, is64: is64, seed: 2)
        for _ in 0..<Self.repetitions * 25 {
            try cases.compare(cases.stringExperiment(), "string") { harness.interpreted($0, eliminatesDeadCode: $1 & 1 == 1) }
        }
    }

    @Test(arguments: [true, false]) func `control goes where it does on the processor`(is64: Bool) throws {
        let harness = try X86Harness()
        var cases = IntegerCases(harness, is64: is64, seed: 3)
        for _ in 0..<Self.repetitions * 25 {
            try cases.compare(cases.controlExperiment(), "control") { harness.interpreted($0, eliminatesDeadCode: $1 & 1 == 1) }
        }
    }
}
