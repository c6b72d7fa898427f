// The disassembler against objdump from GNU binutils, where it is installed. Differences of opinion are listed.

import Foundation
import ISA
import Testing
@testable import GuestRISCV

private let assembler = "/usr/bin/riscv64-linux-gnu-as", objdump = "/usr/bin/riscv64-linux-gnu-objdump"
private let isInstalled = [assembler, objdump].allSatisfy { FileManager.default.isExecutableFile(atPath: $0) }

private func run(_ tool: String, _ arguments: [String]) throws -> String {
    let process = Process(), output = Pipe()
    process.executableURL = URL(fileURLWithPath: tool)
    process.arguments = arguments
    process.standardOutput = output
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return String(decoding: data, as: UTF8.self)
}

/// objdump's text of each word, by address.
private func listing(_ words: [UInt32]) throws -> [UInt64: String] {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("guise-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let source = directory.appendingPathComponent("words.s"), object = directory.appendingPathComponent("words.o")
    let lines = words.map { $0 & 3 == 3 ? ".insn 4, 0x\(String($0, radix: 16))\n" : ".insn 2, 0x\(String($0, radix: 16))\n" }
    try (".option norelax\n.text\n" + lines.joined()).write(to: source, atomically: true, encoding: .utf8)
    _ = try run(assembler, ["-march=rv64gc_zba_zbb_zbs_zihintpause", source.path, "-o", object.path])
    var result: [UInt64: String] = [:]
    for line in try run(objdump, ["-d", "-z", "-M", "no-aliases", object.path]).split(separator: "\n") {
        let columns = line.split(separator: "\t", omittingEmptySubsequences: false)
        guard columns.count >= 3, let address = UInt64(columns[0].dropLast().drop { $0 == " " }, radix: 16) else { continue }
        result[address] = columns[2...].joined(separator: "\t")
    }
    return result
}

/// Brings both texts to one form: no symbols, no `0x`, no trailing blanks.
private func normalized(_ text: String) -> String {
    var text = text
    if let symbol = text.firstIndex(of: "<") { text = String(text[..<symbol]) }
    if let comment = text.firstIndex(of: "#") { text = String(text[..<comment]) }
    text = text.replacingOccurrences(of: "0x", with: "")
    while let last = text.last, last == " " || last == "\t" { text.removeLast() }
    return text
}

@Suite(.enabled(if: isInstalled)) struct BinutilsTests {
    /// Rows that binutils 2.40 does not know, or only with the ignored fields zero or the default rounding mode.
    static let unknown: Set<String> = [
        "czero.eqz", "czero.nez", "fence.tso", "pause", "fence", "fence.i", "fcvt.d.s", "fcvt.d.w", "fcvt.d.wu",
    ]
    /// Instructions of old or absent extensions that objdump takes.
    static let absent = ["hret", "uret", "sfence.vm"]
    /// Registers of extensions that are absent here have no name here.
    private func hasUnnamedCSR(_ row: Int, _ text: String) -> Bool {
        rows.traits(row).contains("csr") && text.contains(",0x")
    }
    /// Other names for hints.
    static let hints = ["c.addi\tzero,0": "c.nop"]

    @Test func `disassembly of random words of each row is objdump's`() throws {
        var generator = SeededGenerator(state: 11)
        var words: [UInt32] = []
        for row in rows.rows.indices where !rows.rows[row].isReserved {
            for _ in 0..<40 {
                let word = rows.randomWord(row, using: &generator)
                if decode(word) == row { words.append(word) }
            }
        }
        let theirs = try listing(words)
        var address: UInt64 = 0
        var differences = 0
        for word in words {
            let row = decode(word)
            let text = rows.disassemble(row, word: word, address: address)
            let ours = normalized(text)
            var other = normalized(theirs[address] ?? "nothing")
            other = Self.hints[other] ?? other
            let excused = Self.unknown.contains(rows.name(row)) || hasUnnamedCSR(row, text) || other.hasPrefix("c.slli64")
            if ours != other, !excused {
                differences += 1
                if differences < 60 { Issue.record("\(String(word, radix: 16)): ours '\(ours)', theirs '\(other)'") }
            }
            address += word & 3 == 3 ? 4 : 2
        }
        #expect(differences == 0)
    }

    @Test func `words with one flipped bit are valid when objdump takes them`() throws {
        var generator = SeededGenerator(state: 12)
        var words: [UInt32] = []
        for row in rows.rows.indices where !rows.rows[row].isReserved {
            for _ in 0..<60 {
                let bits: UInt32 = rows.rows[row].widthBytes == 2 ? 16 : 32
                let word = rows.randomWord(row, using: &generator) ^ 1 << UInt32.random(in: 2..<bits, using: &generator)
                // Five low ones would be a longer instruction to objdump.
                if word & 0x1F != 0x1F { words.append(word) }
            }
        }
        let theirs = try listing(words)
        var address: UInt64 = 0
        var differences = 0
        for word in words {
            let row = decode(word), other = normalized(theirs[address] ?? "nothing")
            let takes = !other.hasPrefix(".") && !other.hasPrefix("c.unimp") && !Self.absent.contains(other)
            if takes != (row != rows.noRow), row == rows.noRow || !Self.unknown.contains(rows.name(row)) {
                differences += 1
                if differences < 60 { Issue.record("\(String(word, radix: 16)): ours '\(rows.name(row))', theirs '\(other)'") }
            }
            address += word & 3 == 3 ? 4 : 2
        }
        #expect(differences == 0)
    }
}
