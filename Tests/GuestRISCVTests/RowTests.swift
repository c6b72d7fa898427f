// The RISC-V rows: every row decodes, re-encodes and has a meaning; the lifter's accessors agree with them.

import IR
import ISA
import Testing
@testable import GuestRISCV

let rows = RISCVRows.make()

func decode(_ word: UInt32) -> Int { word & 3 == 3 ? rows.decode32(word) : rows.decode16(word & 0xFFFF) }

/// The row a word belongs to, by trying all of them.
private func decodeSlowly(_ word: UInt32) -> Int {
    let width: UInt8 = word & 3 == 3 ? 4 : 2
    let word = width == 2 ? word & 0xFFFF : word
    let row = rows.rows.firstIndex { $0.widthBytes == width && word & $0.mask == $0.match } ?? rows.noRow
    return row < rows.noRow && rows.rows[row].isReserved ? rows.noRow : row
}

@Suite struct RowTests {
    @Test func `every row has a lift function and every name is unique`() {
        // The table refuses functions without rows; here the other direction.
        let table = LiftTable(rows)
        defer { table.deallocate() }
        var names: Set<String> = []
        for row in rows.rows.indices where !rows.rows[row].isReserved {
            #expect(names.insert(rows.name(row)).inserted)
            #expect(table.isJoined(row), "\(rows.name(row)) has no lift function")
        }
    }

    @Test func `random words of each row decode to it and survive extract and insert`() {
        var generator = SeededGenerator(state: 1)
        for row in rows.rows.indices where !rows.rows[row].isReserved {
            let layouts = rows.layout(row), name = rows.name(row)
            var own = 0
            for _ in 0..<200 {
                let word = rows.randomWord(row, using: &generator)
                guard decode(word) == row else { continue }
                own += 1
                var copy = rows.rows[row].match
                for layout in layouts {
                    if layout.field.style == .ignored {
                        copy |= word & layout.wordMask
                    } else {
                        copy = layout.insert(layout.extract(word), into: copy)
                    }
                }
                if copy != word { Issue.record("\(name): \(String(word, radix: 16)) became \(String(copy, radix: 16))") }
            }
            #expect(own > 0, "\(name) is hidden by earlier rows")
        }
    }

    @Test func `decoder agrees with a linear search on all halfwords and on random words`() {
        for half: UInt32 in 0...0xFFFF where half & 3 != 3 && decode(half) != decodeSlowly(half) {
            Issue.record("halfword \(String(half, radix: 16))")
        }
        var generator = SeededGenerator(state: 2)
        for row in rows.rows.indices where rows.rows[row].widthBytes == 4 {
            for _ in 0..<50 {
                // One flipped bit leads into neighbours and holes.
                let bit = UInt32.random(in: 2..<32, using: &generator)
                let word = rows.randomWord(row, using: &generator) ^ 1 << bit
                if decode(word) != decodeSlowly(word) { Issue.record("word \(String(word, radix: 16))") }
            }
        }
        for _ in 0..<10000 {
            let word = UInt32.random(in: 0 ... .max, using: &generator) | 3
            if decode(word) != decodeSlowly(word) { Issue.record("word \(String(word, radix: 16))") }
        }
    }

    @Test func `accessors agree with the fields of the rows`() {
        let expected: [(row: String, field: String, value: (Word) -> Int64)] = [
            ("addi", "imm", { $0.immI }), ("sd", "imm", { $0.immS }), ("beq", "target", { $0.immB }),
            ("lui", "upper", { Int64(UInt32(truncatingIfNeeded: $0.immU)) }), ("jal", "target", { $0.immJ }),
            ("slli", "shamt", { $0.shamt6 }), ("slliw", "shamt", { $0.shamt5 }),
            ("addi", "rd", { Int64($0.rd) }), ("addi", "rs1", { Int64($0.rs1) }), ("add", "rs2", { Int64($0.rs2) }),
            ("fmadd.d", "fs3", { Int64($0.rs3) }), ("fadd.d", "rm", { Int64($0.rm) }),
            ("csrrw", "csr", { Int64($0.csr) }), ("fence", "pred", { Int64($0.fencePredecessors) }),
            ("fence", "succ", { Int64($0.fenceSuccessors) }),
            ("c.addi4spn", "uimm", { $0.immCIW }), ("c.lw", "uimm", { $0.immCLW }), ("c.sw", "uimm", { $0.immCLW }),
            ("c.ld", "uimm", { $0.immCLD }), ("c.fld", "uimm", { $0.immCLD }), ("c.sd", "uimm", { $0.immCLD }),
            ("c.fsd", "uimm", { $0.immCLD }), ("c.addi", "imm", { $0.immCI }), ("c.addiw", "imm", { $0.immCI }),
            ("c.li", "imm", { $0.immCI }), ("c.andi", "imm", { $0.immCI }),
            ("c.lui", "upper6", { $0.immCI << 12 & 0x3FFFF }),
            ("c.addi16sp", "imm", { $0.immCADDI16SP }), ("c.srli", "shamt", { $0.cShift }),
            ("c.slli", "shamt", { $0.cShift }), ("c.j", "target", { $0.immCJ }), ("c.beqz", "target", { $0.immCB }),
            ("c.lwsp", "uimm", { $0.immCLWSP }), ("c.ldsp", "uimm", { $0.immCLDSP }),
            ("c.fldsp", "uimm", { $0.immCLDSP }), ("c.swsp", "uimm", { $0.immCSWSP }),
            ("c.sdsp", "uimm", { $0.immCSDSP }), ("c.fsdsp", "uimm", { $0.immCSDSP }),
            ("c.sub", "rd'", { Int64($0.high - 8) }), ("c.sub", "rs2'", { Int64($0.low - 8) }),
            ("c.lw", "rs1'", { Int64($0.high - 8) }), ("c.lw", "rd'", { Int64($0.low - 8) }),
            ("c.mv", "rd", { Int64($0.rd) }), ("c.mv", "rs2", { Int64($0.crs2) }), ("c.jr", "rs1", { Int64($0.rd) }),
        ]
        var generator = SeededGenerator(state: 3)
        for (name, field, value) in expected {
            guard let row = rows.row(named: name),
                  let layout = rows.layout(row).first(where: { $0.field.name.description == field }) else {
                Issue.record("\(name) has no \(field)")
                continue
            }
            let isSigned = layout.field.style == .signed || layout.field.style == .relative
            for _ in 0..<100 {
                let word = rows.randomWord(row, using: &generator)
                let wanted = isSigned ? layout.extractSigned(word) : Int64(layout.extract(word))
                #expect(value(Word(word)) == wanted, "\(name) \(field) of \(String(word, radix: 16))")
            }
        }
    }
}
