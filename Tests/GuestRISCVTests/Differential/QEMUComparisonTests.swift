// Random programs under QEMU, the IR interpreter and the code generator: all registers, flags and memory must agree.

import Foundation
import Testing
import TranslatedCPU
@testable import GuestRISCV

@Suite(.serialized, .enabled(if: Executors.hasQEMU)) struct QEMUComparisonTests {
    /// First seed and number of programs; more can be asked for in the environment.
    static let seeds: Range<UInt64> = {
        let environment = ProcessInfo.processInfo.environment
        let first = environment["GUISE_FUZZ_SEED"].flatMap(UInt64.init) ?? 1
        return first..<first + (environment["GUISE_FUZZ_PROGRAMS"].flatMap(UInt64.init) ?? 2)
    }()

    @Test func `interpreter agrees with QEMU`() throws {
        try compare { try Executors.runInterpreter($0, eliminatesDeadCode: false) }
    }

    @Test func `interpreter after dead code elimination agrees with QEMU`() throws {
        try compare { try Executors.runInterpreter($0, eliminatesDeadCode: true) }
    }

    @Test func `generated code agrees with QEMU`() throws {
        try compare { try Executors.runEngine($0, EngineOptions()) }
    }

    @Test func `generated code with all registers in memory agrees with QEMU`() throws {
        var options = EngineOptions()
        options.registersInMemory = true
        try compare { try Executors.runEngine($0, options) }
    }

    @Test func `generated code in units of one instruction agrees with QEMU`() throws {
        var options = EngineOptions()
        options.singleStep = true
        try compare { try Executors.runEngine($0, options) }
    }

    /// The programs with QEMU's answers.
    private static let programs = Result {
        try seeds.map { seed in
            let program = RandomProgram(seed: seed, cases: 200, length: 12)
            return (seed, program, try Executors.runQEMU(program))
        }
    }

    private func compare(_ run: (RandomProgram) throws -> [UInt8]) throws {
        for (seed, program, expected) in try Self.programs.get() {
            try #require(expected.count == program.data.count, "QEMU did not run the program of seed \(seed) to its end")
            let actual = try run(program)
            if !actual.elementsEqualFast(expected) { report(program, seed, expected, actual) }
        }
    }

    /// Records the first cases that differ.
    private func report(_ program: RandomProgram, _ seed: UInt64, _ expected: [UInt8], _ actual: [UInt8]) {
        func value(_ bytes: [UInt8], _ offset: Int) -> UInt64 {
            (0..<8).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64(8 * $1) }
        }
        var reported = 0
        for index in program.cases.indices {
            let block = index * RandomProgram.blockBytes, result = block + RandomProgram.resultOffset
            var differences: [String] = []
            for slot in 1..<65 where value(expected, result + slot * 8) != value(actual, result + slot * 8) {
                let name = slot < 32 ? RISCVRows.integerNames[slot] : slot < 64 ? RISCVRows.floatNames[slot - 32] : "fcsr"
                differences.append("\(name): start \(hex(value(expected, block + slot * 8))) "
                    + "wanted \(hex(value(expected, result + slot * 8))) got \(hex(value(actual, result + slot * 8)))")
            }
            if differences.isEmpty { continue }
            let listing = program.cases[index].map { rows.disassemble(decode($0), word: $0, address: 0) }
            let used = (1..<65).filter { slot in
                let name = slot < 32 ? RISCVRows.integerNames[slot] : slot < 64 ? RISCVRows.floatNames[slot - 32] : "fcsr"
                return listing.contains { $0.contains(name) } || slot == 64
            }.map { slot in
                let name = slot < 32 ? RISCVRows.integerNames[slot] : slot < 64 ? RISCVRows.floatNames[slot - 32] : "fcsr"
                return "\(name)=\(hex(value(expected, block + slot * 8)))"
            }
            Issue.record("""
            seed \(seed) case \(index)
            \(differences.joined(separator: "\n"))
            \(listing.joined(separator: "\n"))
            start: \(used.joined(separator: " "))
            """)
            reported += 1
            if reported == 3 { return }
        }
        if reported == 0 { Issue.record("seed \(seed): only scratch memory differs") }
    }

    private func hex(_ value: UInt64) -> String { String(value, radix: 16) }
}

extension [UInt8] {
    /// Comparison at the speed of memcmp, in debug builds too.
    fileprivate func elementsEqualFast(_ other: [UInt8]) -> Bool {
        count == other.count && withUnsafeBytes { a in
            other.withUnsafeBytes { b in count == 0 || memcmp(a.baseAddress!, b.baseAddress!, count) == 0 }
        }
    }
}
