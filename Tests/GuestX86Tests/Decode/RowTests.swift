// The rows as such: they parse, every one can be reached, and names lead to them.

import Foundation
import Testing
@testable import GuestX86

@Suite struct RowTests {
    static let codeSizes: [Mode.CodeSize] = [.bits64, .bits32, .bits16]

    @Test func `every row is what the decoder finds for its encodings`() {
        let decoder = X86Decoder()
        var encodings = Encodings(generator: ByteGenerator(state: 1))
        var i = X86Instruction()
        for (number, row) in InstructionTable.rows.enumerated() {
            for codeSize in Self.codeSizes {
                var found = 0, made = 0
                for _ in 0..<40 {
                    guard let bytes = encodings.of(row, codeSize) else { continue }
                    made += 1
                    if decoder.decode(bytes, available: bytes.count, codeSize: codeSize, into: &i) == .decoded,
                       Int(i.row) == number { found += 1 }
                }
                #expect(made == 0 || found > 0,
                        "\(row.name) \(String(row.opcode, radix: 16)) is never found as \(codeSize)")
            }
        }
    }

    @Test func `rows of a name are a list in ascending order`() {
        var numbers: [Int] = []
        #expect(InstructionTable.forEachRow(named: "add") { numbers.append($0) })
        #expect(numbers == InstructionTable.rows.indices.filter { InstructionTable.rows[$0].name == "add" })
        #expect(numbers.count == 10)
        #expect(!InstructionTable.forEachRow(named: "frobnicate") { _ in })
        var lists: [String: [Int]] = [:]
        for (number, row) in InstructionTable.rows.enumerated() { lists[row.name, default: []].append(number) }
        for list in lists.values {
            for (number, next) in zip(list, list.dropFirst() + [-1]) {
                #expect(Int(InstructionTable.rows[number].nextOfSameName) == next)
            }
        }
    }

    @Test func `traits and operands are what the text says`() throws {
        let rows = InstructionTable.rows
        let add = try #require(InstructionTable.firstRow(named: "add"))
        #expect(rows[add].operands.0 == X86Operand(.registerOrMemory, .byte))
        #expect(rows[add].operands.1 == X86Operand(.register, .byte))
        #expect(rows[add].operands.2 == .none && rows[add].flags.contains([.lock, .modRM]))
        let push = try #require(InstructionTable.firstRow(named: "push"))
        #expect(rows[push].operands.0 == X86Operand(.fixedSegment, .word))
        let addps = try #require(InstructionTable.firstRow(named: "addps"))
        #expect(rows[addps].flags.contains([.aligned, .sse]) && rows[addps].feature == .sse)
        let movups = try #require(InstructionTable.firstRow(named: "movups"))
        #expect(!rows[movups].flags.contains(.aligned))
        let addss = try #require(InstructionTable.firstRow(named: "addss"))
        #expect(!rows[addss].flags.contains(.aligned) && rows[addss].operands.1.size == .dword)
        let vaddps = try #require(InstructionTable.firstRow(named: "vaddps"))
        #expect(rows[vaddps].flags.contains([.avx, .vex, .vvvv, .protected]) && !rows[vaddps].flags.contains(.aligned))
        let fadd = try #require(InstructionTable.firstRow(named: "fadd"))
        #expect(rows[fadd].flags.contains(.x87))
        let blend = try #require(InstructionTable.firstRow(named: "vpblendvb"))
        #expect(rows[blend].operands.3.kind == .immediateVector && rows[blend].immediate == .register)
    }
}
