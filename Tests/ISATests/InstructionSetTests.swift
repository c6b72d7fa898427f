// The row grammar on a small made-up instruction set.

import ISA
import Testing

private let toy = InstructionSet(
    fields: [
        Field("rd", 5, .register(file: 0, first: 0)),
        Field("rs1", 5, .register(file: 0, first: 0)),
        Field("rd'", 3, .register(file: 0, first: 8)),
        Field("imm", 12, .signed),
        Field("target", 12, .relative),
        Field("mode", 2, .custom(0)),
        Field("wide", 1, .suffix(0)),
        Field("any", 5, .ignored),
    ],
    text16: ["""
    @ T Short words
    # a comment
    - 000 00000000 rd' 00
    small 000 imm[5,3:0,4,7:6] rd' 00 ; rd',imm ; alu

    """],
    levels16: [DecodeLevel(1, 0), DecodeLevel(15, 13)],
    text32: ["""
    @ L Long words
    add imm[11:0] rs1 000 rd 0010011 ; rd,rs1,imm ; alu
    jump target[12,10:5] any rs1 001 target[4:1,11] 0010011 ; rs1,target ; branch slow
    swap wide mode 000000000 rs1 010 rd 0010011 ; rd,(rs1),mode
    """],
    levels32: [DecodeLevel(6, 2), DecodeLevel(14, 12)],
    format: { style, value in
        switch style {
        case .register: "r\(value)"
        case .suffix: value == 0 ? "" : ".wide"
        default: value == 0 ? "" : "m\(value)"
        }
    }
)

@Suite struct InstructionSetTests {
    @Test func `names find their rows and rows their names`() throws {
        for name in ["small", "add", "jump", "swap"] {
            let row = try #require(toy.row(named: name))
            #expect(toy.name(row) == name)
        }
        #expect(toy.row(named: "sub") == nil)
        #expect(toy.row(named: "-") == nil)
    }

    @Test func `columns of a row are extension, section, operands and traits`() throws {
        let row = try #require(toy.row(named: "jump"))
        #expect(toy.extensionName(row) == "L")
        #expect(toy.section(row) == "Long words")
        #expect(toy.operands(row) == "rs1,target")
        #expect(toy.traits(row) == ["branch", "slow"])
        #expect(toy.traits(try #require(toy.row(named: "swap"))) == [])
    }

    @Test func `an earlier row wins over a later one`() {
        #expect(toy.decode16(0b000_00000000_101_00) == toy.noRow)
        #expect(toy.decode16(0b000_00000001_101_00) == toy.row(named: "small"))
    }

    @Test func `words of no row are told apart`() {
        #expect(toy.decode32(0xFFFF_FFFF) == toy.noRow)
        #expect(toy.decode16(0x0003) == toy.noRow)
        #expect(toy.name(toy.noRow) == "illegal")
        #expect(toy.disassemble(toy.noRow, word: 0xABC, address: 0) == ".word\t0xabc")
    }

    @Test func `scattered fields are gathered and scattered`() throws {
        let row = try #require(toy.row(named: "jump"))
        for distance: Int64 in [-4096, -2, 0, 2, 0x554, 4094] {
            let word = toy.encode(row, ["target": UInt64(bitPattern: distance), "rs1": 7])
            #expect(toy.decode32(word) == row)
            let layout = try #require(toy.layout(row).first { $0.field.name.description == "target" })
            #expect(layout.extractSigned(word) == distance)
        }
    }

    @Test func `operands are printed by their styles`() throws {
        let add = try #require(toy.row(named: "add"))
        let addWord = toy.encode(add, ["rd": 1, "rs1": 31, "imm": UInt64(bitPattern: -5)])
        #expect(toy.disassemble(add, word: addWord, address: 0) == "add\tr1,r31,-5")
        let jump = try #require(toy.row(named: "jump"))
        let jumpWord = toy.encode(jump, ["rs1": 2, "target": UInt64(bitPattern: -16)])
        #expect(toy.disassemble(jump, word: jumpWord, address: 0x1000) == "jump\tr2,0xff0")
        let swap = try #require(toy.row(named: "swap"))
        #expect(toy.disassemble(swap, word: toy.encode(swap, ["wide": 1]), address: 0) == "swap.wide\tr0,(r0)")
        #expect(toy.disassemble(swap, word: toy.encode(swap, ["mode": 2]), address: 0) == "swap\tr0,(r0),m2")
    }

    @Test func `random words keep the fixed bits of their row`() throws {
        var generator = SystemRandomNumberGenerator()
        for row in toy.rows.indices where toy.rows[row].widthBytes == 4 {
            for _ in 0..<100 { #expect(toy.decode32(toy.randomWord(row, using: &generator)) == row) }
        }
    }
}
