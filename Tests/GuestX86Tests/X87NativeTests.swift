// x87 instructions against the host's processor: every row with random stacks, control words and operands.

import CHost
import Foundation
import Testing
@testable import GuestX86
import Translator

@Suite struct X87NativeTests {
    private static let excluded: Set<String> = ["fnstenv", "fnsave", "fldenv", "frstor"]

    private static let rows: [Int] = InstructionTable.rows.indices.filter { number in
        InstructionTable.rows[number].flags.contains(.x87) && !excluded.contains(InstructionTable.rows[number].name)
    }

    private static let repetitions = ProcessInfo.processInfo.environment["GUISE_FUZZ_PROGRAMS"].flatMap(Int.init) ?? 12

    @Test func `offsets of x87.h are those of the state block`() {
        #expect(guise_x87_offset == X86Layout.x87Registers)
        #expect(guise_x87_pc == StateLayout.pc && guise_x87_helper_exit == StateLayout.helperExit)
        #expect(guise_x87_exit_lookup == ExitKind.lookup.rawValue)
        #expect(guise_x87_exit_exception == ExitKind.exception(Int(ExceptionVector.x87)).rawValue)
        #expect(MemoryLayout<guise_x87>.offset(of: \.control) == X86Layout.x87Control - X86Layout.x87Registers)
        #expect(MemoryLayout<guise_x87>.offset(of: \.next) == X86Layout.x87Next - X86Layout.x87Registers)
    }

    @Test(arguments: [true, false]) func `the interpreter does what the processor does with x87`(is64: Bool) throws {
        var cases = X87Cases(try X86Harness(), is64: is64)
        try cases.run(Self.rows, Self.repetitions)
    }

    @Test func `generated code does what the processor does with x87`() throws {
        var cases = X87Cases(try X86Harness(), is64: true, seed: 2)
        try cases.run(Self.rows, max(4, Self.repetitions / 3)) { harness, experiment, _ in try harness.generated(experiment) }
    }
}

/// Random experiments with x87 rows.
struct X87Cases {
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
                let expected = try harness.native(experiment)
                let actual = try executor(harness, experiment, turn)
                let differences = expected.differences(from: actual)
                if differences.isEmpty { continue }
                wrong += 1
                reports += 1
                if reports > 60 { continue }
                let text = bytes.map { String($0, radix: 16) }.joined(separator: " ")
                let before = experiment.before
                func hex(_ value: some BinaryInteger) -> String { String(value, radix: 16) }
                func register(_ index: Int) -> String {
                    before.stack[index * 16..<index * 16 + 10].reversed().map { ($0 < 16 ? "0" : "") + hex($0) }.joined()
                }
                Issue.record("""
                    \(form.row.name) \(text) \(is64 ? "64" : "32") control \(hex(before.control)) status \(hex(before.status)) \
                    tags \(hex(before.tags)) st0 \(register(0)) st1 \(register(1)), \
                    processor and we: \(differences.joined(separator: "; "))
                    """)
            }
        }
    }

    private mutating func number() -> [UInt8] {
        var bytes: [UInt8] = []
        let significand: UInt64, exponent: UInt16
        switch random.next() % 9 {
        case 0: (significand, exponent) = (0, 0)
        case 1: (significand, exponent) = (1 << 63, 0x7FFF)
        case 2: (significand, exponent) = (random.next() | 1 << 63, 0x7FFF)
        case 3: (significand, exponent) = (random.next() >> 1, random.once(in: 2) ? 0 : UInt16(random.next() & 0x7FFF))
        case 4: (significand, exponent) = (random.next() | 1 << 63, random.once(in: 2) ? 0 : UInt16(random.next() & 0x7FFF))
        case 5: (significand, exponent) = (1 << 63 | random.next() << 40, 0x3FFF + UInt16(random.next() % 20) - 4)
        case 6: (significand, exponent) = (random.next() | 1 << 63, 0x3FFF + UInt16(random.next() % 70) - 4)
        case 7: (significand, exponent) = (1 << 63, 0x3FFF + UInt16(random.next() % 4))
        default: (significand, exponent) = (random.next() | 1 << 63, random.pick([1, 0x3C00, 0x4010, 0x43FE, 0x3F80, 0x7FFE, 0x3FFE, 0x407E]))
        }
        withUnsafeBytes(of: significand) { bytes += $0 }
        withUnsafeBytes(of: exponent | (random.once(in: 2) ? 0x8000 : 0)) { bytes += $0 }
        return bytes
    }

    private mutating func experiment(_ form: RandomInstruction) -> ([UInt8], X86Case)? {
        guard let (bytes, decoded) = form.encode(decoder, &random) else { return nil }
        var experiment = X86Case(code: bytes, is64: is64)
        for register in 0..<(is64 ? 16 : 8) {
            experiment.before.general[register] = random.operand() & (is64 ? .max : 0xFFFF_FFFF)
        }
        experiment.before.flags = UInt32(truncatingIfNeeded: random.next()) & EFlags.status
        for register in 0..<8 { experiment.before.stack.replaceSubrange(register * 16..<register * 16 + 10, with: number()) }
        experiment.before.control = 0x37F
        if random.once(in: 2) { experiment.before.control = UInt16(truncatingIfNeeded: random.next()) & 0xF00 | 0x7F }
        if random.once(in: 4) { experiment.before.control &= ~UInt16(truncatingIfNeeded: random.next() & 0x3F) }
        var status = UInt16(truncatingIfNeeded: random.next()) & 0x7F7F
        if !random.once(in: 10) { status &= ~(~experiment.before.control & 0x3F) }
        if status & ~experiment.before.control & 0x3F != 0 { status |= 0x8080 }
        experiment.before.status = status
        experiment.before.tags = random.once(in: 4) ? random.byte() : random.pick([0x00, 0xFF, 0x7F, 0xFE, 0x3C, 0xC3])
        if !random.once(in: 6) {
            // ST(0) and the register named are there, ST(7) is not.
            let top = Int(status >> 11 & 7)
            var tags = random.byte() | 1 << UInt8(top) | 1 << UInt8((top + Int(decoded.rm & 7)) & 7) | 1 << UInt8((top + 1) & 7)
            if decoded.rm & 7 != 7 || decoded.isMemory { tags &= ~(1 << UInt8((top + 7) & 7)) }
            experiment.before.tags = tags
        }
        let place = Int(random.next() % 4000) + 2048
        experiment.data = [UInt8](repeating: 0, count: place - 64)
        for _ in 0..<8 { withUnsafeBytes(of: random.operand()) { experiment.data += $0 } }
        switch random.next() % 4 {
        case 0: experiment.data += number()
        case 1: withUnsafeBytes(of: Double(Int64(bitPattern: random.operand())) * 0.37) { experiment.data += $0 }
        case 2: withUnsafeBytes(of: random.pick([0, 1, 0x7F80_0000, 0x7FC0_0000, 0x7F80_0001, 0x3F80_0000, 0x8000_0000] as [UInt64]) << random.pick([0, 29, 32])) { experiment.data += $0 }
        default: break
        }
        for _ in 0..<4 { withUnsafeBytes(of: random.operand()) { experiment.data += $0 } }
        experiment.before.general[4] = harness.middle
        guard harness.aim(decoded, &experiment.before, at: harness.data + UInt64(place), is64: is64) else { return nil }
        return (bytes, experiment)
    }
}
