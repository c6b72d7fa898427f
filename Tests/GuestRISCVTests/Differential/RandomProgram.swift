// Random RISC-V programs: many short cases, each of which loads all registers from a block, executes random instructions
// drawn from the rows, and stores all registers into the block. The program then writes its data to standard output.
//
// x31 holds the block and x2 and x8 point into scratch memory; random instructions do not write them. Memory instructions
// use x2 and x8 as bases.

import Foundation
import ISA
@testable import GuestRISCV

/// A program of random cases.
struct RandomProgram {
    static let codeAddress: UInt64 = 0x2_0000_0000
    static let dataAddress: UInt64 = 0x2_1000_0000
    static let scratchBytes = 16384
    /// Initial x1 … x30, f0 … f31, fcsr, then the same as results.
    static let fcsrOffset = 512, resultOffset = 520, blockBytes = 1040

    private(set) var code: [UInt8] = []
    private(set) var data: [UInt8] = []
    /// Words of each case, for messages.
    private(set) var cases: [[UInt32]] = []
    private var generator: SeededGenerator

    private static let base = 31, pointers = [2, 8]

    init(seed: UInt64, cases count: Int, length: Int) {
        generator = SeededGenerator(state: seed)
        let scratch = Self.dataAddress + UInt64(count * Self.blockBytes)
        for index in 0..<count {
            appendBlock(scratch: scratch)
            let block = Self.dataAddress + UInt64(index * Self.blockBytes)
            let distance = Int64(block) - Int64(Self.codeAddress) - Int64(code.count)
            let upper = (distance + 0x800) >> 12
            emit("auipc", ["rd": Self.base, "upper": Int(upper << 12)])
            emit("addi", ["rd": Self.base, "rs1": Self.base, "imm": Int(distance - upper << 12)])
            transfer(store: false, at: 0)
            var words: [UInt32] = []
            while words.count < length { words += randomInstructions() }
            for word in words { append(word) }
            self.cases.append(words)
            transfer(store: true, at: Self.resultOffset)
        }
        for _ in 0..<(Self.scratchBytes / 8) { appendData(generator.next()) }
        emit("addi", ["rd": 10, "imm": 1])
        let distance = Int64(Self.dataAddress) - Int64(Self.codeAddress) - Int64(code.count)
        let upper = (distance + 0x800) >> 12
        emit("auipc", ["rd": 11, "upper": Int(upper << 12)])
        emit("addi", ["rd": 11, "rs1": 11, "imm": Int(distance - upper << 12)])
        let pages = (data.count + 4095) >> 12
        emit("lui", ["rd": 12, "upper": pages << 12])
        emit("addi", ["rd": 17, "imm": 64])
        emit("ecall", [:])
        emit("addi", ["rd": 10])
        emit("addi", ["rd": 17, "imm": 94])
        emit("ecall", [:])
        data += [UInt8](repeating: 0, count: pages * 4096 - data.count)
    }

    // MARK: fixed parts

    private mutating func append(_ word: UInt32) {
        for byte in 0..<(word & 3 == 3 ? 4 : 2) { code.append(UInt8(truncatingIfNeeded: word >> UInt32(8 * byte))) }
    }

    private mutating func emit(_ name: String, _ fields: [String: Int]) { append(encode(name, fields)) }

    private mutating func appendData(_ value: UInt64) {
        for byte in 0..<8 { data.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * byte))) }
    }

    private mutating func transfer(store: Bool, at offset: Int) {
        if !store {
            emit("ld", ["rd": 1, "rs1": Self.base, "imm": offset + Self.fcsrOffset])
            emit("csrrw", ["rs1": 1, "csr": 3])
        }
        for register in 0..<32 {
            let place = offset + 256 + 8 * register
            emit(store ? "fsd" : "fld", [store ? "fs2" : "fd": register, "rs1": Self.base, "imm": place])
        }
        for register in 1..<31 {
            emit(store ? "sd" : "ld", [store ? "rs2" : "rd": register, "rs1": Self.base, "imm": offset + 8 * register])
        }
        if store {
            emit("csrrs", ["rd": 1, "csr": 3])
            emit("sd", ["rs2": 1, "rs1": Self.base, "imm": offset + Self.fcsrOffset])
        }
    }

    private mutating func appendBlock(scratch: UInt64) {
        appendData(0)
        for register in 1..<32 {
            switch register {
            case 2: appendData(scratch + 4096)
            case 8: appendData(scratch + 12288)
            default: appendData(randomInteger())
            }
        }
        for _ in 0..<32 { appendData(randomFloat()) }
        let flags = Bool.random(using: &generator) ? 0 : generator.next() & 31
        appendData(UInt64.random(in: 0...4, using: &generator) << 5 | flags)
        for _ in 0..<((Self.blockBytes - Self.resultOffset) / 8) { appendData(0) }
    }

    // MARK: values

    private mutating func randomInteger() -> UInt64 {
        switch Int.random(in: 0..<6, using: &generator) {
        case 0: return [0, 1, .max, 1 << 63, .max >> 1, 1 << 31, 0x7FFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFF_8000_0000,
                        2, 63, 64].randomElement(using: &generator)!
        case 1: return UInt64(bitPattern: Int64.random(in: -20...20, using: &generator))
        case 2: return 1 << UInt64.random(in: 0..<64, using: &generator)
        case 3: return UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: generator.next())))
        case 4: return generator.next() & generator.next() & generator.next()
        default: return generator.next()
        }
    }

    private mutating func randomFloat() -> UInt64 {
        let sign = UInt64.random(in: 0...1, using: &generator)
        let exponents: [UInt64] = [0, 1, 0x7FF, 0x7FE, 0x3FF, 0x400, 0x3FE, 0x433, 0x43E, 0x41E, 0x381, 0x47E]
        let fractions: [UInt64] = [0, 1, 1 << 51, 1 << 50, (1 << 52) - 1, 1 << 29, 1 << 28]
        let narrowExponents: [UInt64] = [0, 1, 0xFF, 0xFE, 127, 128, 126, 150, 158, 190, 104]
        let narrowFractions: [UInt64] = [0, 1, 1 << 22, 1 << 21, (1 << 23) - 1]
        let boxes: UInt64 = 0xFFFF_FFFF_0000_0000
        switch Int.random(in: 0..<8, using: &generator) {
        case 0, 1:
            return sign << 63 | exponents.randomElement(using: &generator)! << 52
                | fractions.randomElement(using: &generator)!
        case 2:
            return sign << 63 | (1023 + UInt64.random(in: 0...70, using: &generator) - 5) << 52 | generator.next() >> 12
        case 3, 4:
            return boxes | sign << 31 | narrowExponents.randomElement(using: &generator)! << 23
                | narrowFractions.randomElement(using: &generator)!
        case 5:
            let exponent = 122 + UInt64.random(in: 0...70, using: &generator)
            return boxes | sign << 31 | exponent << 23 | generator.next() >> 41
        case 6: return boxes | generator.next() >> 32
        default: return generator.next()
        }
    }

    // MARK: random instructions

    /// Rows to draw from, with their fields.
    private typealias Drawn = (row: Int, name: String, traits: Set<String>, layout: [(name: String, field: FieldLayout)])
    private static let drawn: [Drawn] = {
        rows.rows.indices.compactMap { row in
            let name = rows.name(row), traits = rows.traits(row)
            // QEMU 7.2 has no Zicond and looks at all 64 bits in ctzw; stack adjustment would move a pointer.
            let excluded: Set<String> = ["czero.eqz", "czero.nez", "ctzw", "c.addi16sp"]
            if rows.rows[row].isReserved || excluded.contains(name) || traits.contains("system") {
                return nil
            }
            return (row, name, Set(traits), rows.layout(row).map { ($0.field.name.description, $0) })
        }
    }()

    /// Names of the rows that random programs can contain.
    static var coveredNames: Set<String> { Set(drawn.map(\.name)) }

    private mutating func randomInstructions() -> [UInt32] {
        let choice = Self.drawn.randomElement(using: &generator)!
        if choice.traits.contains("csr") { return [randomCSR(choice.name)] }
        if choice.name.hasPrefix("lr.") || choice.name.hasPrefix("sc.") { return reservation(choice.name.hasSuffix("d")) }
        if choice.traits.contains("branch") { return branch(choice.name) }
        if choice.traits.contains("jump") { return jump(choice.name) }
        return [plain(choice.row, choice.traits, choice.layout)]
    }

    private mutating func plain(_ row: Int, _ traits: Set<String>,
                                _ layout: [(name: String, field: FieldLayout)]) -> UInt32 {
        let usesMemory = traits.contains("load") || traits.contains("store") || traits.contains("atomic")
        while true {
            var word = rows.randomWord(row, using: &generator)
            var isGood = true
            for (name, field) in layout {
                let value = Int(field.extract(word))
                switch name {
                case "rd": isGood = isGood && value != Self.base && !Self.pointers.contains(value)
                case "rd'": isGood = isGood && !Self.pointers.contains(value + 8)
                case "rm": isGood = isGood && value != 5 && value != 6
                case "rs1" where usesMemory:
                    word = field.insert(UInt64(Self.pointers.randomElement(using: &generator)!), into: word)
                case "rs1'" where usesMemory: word = field.insert(0, into: word)
                default: break
                }
            }
            if isGood, decode(word) == row { return word }
        }
    }

    private mutating func word(_ name: String) -> UInt32 {
        guard let choice = Self.drawn.first(where: { $0.name == name }) else { preconditionFailure("no row \(name)") }
        return plain(choice.row, choice.traits, choice.layout)
    }

    /// Fields of every row, since looking them up in the text takes its time.
    private static let layouts: [String: (row: Int, fields: [(name: String, layout: FieldLayout)])] = {
        var layouts: [String: (row: Int, fields: [(name: String, layout: FieldLayout)])] = [:]
        for row in rows.rows.indices where !rows.rows[row].isReserved {
            layouts[rows.name(row)] = (row, rows.layout(row).map { ($0.field.name.description, $0) })
        }
        return layouts
    }()

    private func encode(_ name: String, _ values: [String: Int]) -> UInt32 {
        guard let (row, fields) = Self.layouts[name] else { preconditionFailure("no row \(name)") }
        var word = rows.rows[row].match
        for field in fields {
            if let value = values[field.name] {
                word = field.layout.insert(UInt64(bitPattern: Int64(value)), into: word)
            }
        }
        return word
    }

    private mutating func register() -> Int {
        while true {
            let register = Int.random(in: 1..<31, using: &generator)
            if !Self.pointers.contains(register) { return register }
        }
    }

    private mutating func randomCSR(_ name: String) -> UInt32 {
        let source = name.hasSuffix("i") ? "uimm" : "rs1"
        switch Int.random(in: 0..<3, using: &generator) {
        case 0:
            return encode("csrrwi", ["rd": register(), "csr": 2, "uimm": Int.random(in: 0...4, using: &generator)])
        case 1: return encode("csrrs", ["rd": register(), "csr": 3])
        default:
            let operand = Int.random(in: 0...30, using: &generator)
            return encode(name, ["rd": register(), "csr": 1, source: operand])
        }
    }

    private mutating func reservation(_ isDouble: Bool) -> [UInt32] {
        let suffix = isDouble ? "d" : "w"
        let base = Self.pointers.randomElement(using: &generator)!
        let order = Int.random(in: 0..<4, using: &generator)
        let first = encode("lr.\(suffix)", ["rd": register(), "rs1": base, "order": order])
        let second = encode("sc.\(suffix)", ["rd": register(), "rs2": register(), "rs1": base])
        return Bool.random(using: &generator) ? [first, second, second] : [first, second]
    }

    /// A branch that skips or does not skip one instruction.
    private mutating func branch(_ name: String) -> [UInt32] {
        let skipped = word("addi")
        if name.hasPrefix("c.") {
            return [encode(name, ["rs1'": Int(generator.next() & 7), "target": 6]), skipped]
        }
        let second = Bool.random(using: &generator) ? register() : 0
        return [encode(name, ["rs1": register(), "rs2": second, "target": 8]), skipped]
    }

    /// A jump to the next instruction but one, or by a computed address to the next.
    private mutating func jump(_ name: String) -> [UInt32] {
        let address = register()
        switch name {
        case "c.j": return [encode("c.j", ["target": 6]), word("addi")]
        case "jal": return [encode("jal", ["rd": register(), "target": 8]), word("addi")]
        case "jalr":
            return [encode("auipc", ["rd": address]), encode("jalr", ["rd": register(), "rs1": address, "imm": 9])]
        default:
            return [encode("auipc", ["rd": address]), encode("addi", ["rd": address, "rs1": address, "imm": 10]),
                    encode(name, ["rs1": address])]
        }
    }

    // MARK: ELF

    /// The program as a static executable.
    var elf: [UInt8] {
        var bytes: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        func put<Value: FixedWidthInteger>(_ value: Value) {
            withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
        }
        put(UInt16(2)); put(UInt16(243)); put(UInt32(1)); put(Self.codeAddress); put(UInt64(64)); put(UInt64(0))
        put(UInt32(5)); put(UInt16(64)); put(UInt16(56)); put(UInt16(2)); put(UInt16(64)); put(UInt16(0)); put(UInt16(0))
        let dataOffset = (4096 + code.count + 4095) / 4096 * 4096
        for (flags, offset, address, size) in [(UInt32(5), 4096, Self.codeAddress, code.count),
                                               (UInt32(6), dataOffset, Self.dataAddress, data.count)] {
            put(UInt32(1)); put(flags); put(UInt64(offset)); put(address); put(address)
            put(UInt64(size)); put(UInt64(size)); put(UInt64(4096))
        }
        bytes += [UInt8](repeating: 0, count: 4096 - bytes.count) + code
        bytes += [UInt8](repeating: 0, count: dataOffset - bytes.count) + data
        return bytes
    }
}
