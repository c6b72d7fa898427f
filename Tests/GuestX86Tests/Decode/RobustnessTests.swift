// Arbitrary bytes, and bytes before a page that cannot be read.

import Foundation
import Testing
@testable import GuestX86

@Suite struct RobustnessTests {
    /// A readable page with an unreadable one behind it.
    private func withGuardPage(_ body: (_ end: UnsafeMutablePointer<UInt8>) -> Void) throws {
        let page = 4096
        let memory = try #require(mmap(nil, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
        defer { munmap(memory, 2 * page) }
        #expect(memory != MAP_FAILED && mprotect(memory + page, page, PROT_NONE) == 0)
        body((memory + page).assumingMemoryBound(to: UInt8.self))
    }

    @Test func `the decoder reads nothing behind the bytes it is given and asks for no byte in vain`() throws {
        let decoder = X86Decoder()
        var encodings = Encodings(generator: ByteGenerator(state: 2))
        try withGuardPage { end in
            for round in 0..<30_000 {
                let row = InstructionTable.rows[round % InstructionTable.rows.count]
                let codeSize = RowTests.codeSizes[round % 3]
                let bytes = round % 2 == 0 ? encodings.random() : encodings.of(row, codeSize) ?? encodings.random()
                var whole = X86Instruction(), part = X86Instruction()
                let outcome = decoder.decode(bytes, available: bytes.count, codeSize: codeSize, into: &whole)
                for count in 0...15 {
                    for index in 0..<count { end[index - count] = bytes[index] }
                    let cut = decoder.decode(end - count, available: count, codeSize: codeSize, into: &part)
                    switch cut {
                    case .needsMoreBytes(let needed):
                        // Needed bytes are never more than the whole instruction turned out to have looked at.
                        if needed <= count || needed > 15 || (outcome == .decoded && needed > Int(whole.length)) {
                            Issue.record("\(bytes) cut at \(count) needs \(needed)")
                        }
                    default:
                        if cut != outcome || part.length != whole.length {
                            Issue.record("\(bytes) cut at \(count) is \(cut)")
                        }
                    }
                }
            }
        }
    }

    @Test func `any bytes can be decoded and printed`() {
        let decoder = X86Decoder()
        var encodings = Encodings(generator: ByteGenerator(state: 3))
        var longest = 0
        for round in 0..<20_000 {
            let bytes = encodings.random(), codeSize = RowTests.codeSizes[round % 3]
            let (text, length) = X86Disassembler.text(decoder, bytes, available: bytes.count, codeSize: codeSize,
                                                      address: .max)
            #expect(!text.isEmpty && (1...15).contains(length))
            longest = max(longest, length)
        }
        #expect(longest > 10)
    }
}
