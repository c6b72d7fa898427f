// Claims about the decoder that follow from the manuals, or from an AMD processor where the manuals leave it open.

import Foundation
import Testing
@testable import GuestX86

private let everything = X86Decoder()

/// Decodes hexadecimal text; blanks do not count.
private func decode(_ text: String, _ codeSize: Mode.CodeSize = .bits64, features: X86FeatureSet? = nil,
                    available: Int? = nil) -> (outcome: DecodeOutcome, i: X86Instruction) {
    let digits = Array(text.filter { $0 != " " })
    var bytes = stride(from: 0, to: digits.count, by: 2).map { UInt8(String(digits[$0...$0 + 1]), radix: 16)! }
    let count = bytes.count
    bytes += [0xCC]
    let decoder = features.map { X86Decoder(features: $0) } ?? everything
    var i = X86Instruction()
    let outcome = decoder.decode(bytes, available: available ?? count, codeSize: codeSize, into: &i)
    return (outcome, i)
}

/// Name of the decoded row; nil when there is none.
private func name(_ text: String, _ codeSize: Mode.CodeSize = .bits64, features: X86FeatureSet? = nil) -> String? {
    let (outcome, i) = decode(text, codeSize, features: features)
    return outcome == .decoded ? InstructionTable.rows[Int(i.row)].name : nil
}

private func disassembled(_ text: String, _ codeSize: Mode.CodeSize = .bits64) -> String {
    let (outcome, i) = decode(text, codeSize)
    return outcome == .decoded ? X86Disassembler.text(i, codeSize: codeSize, address: 0) : "\(outcome)"
}

@Suite struct DecoderTests {
    @Test(arguments: [
        // One-byte opcodes that exist in 64-bit code only, or outside it only.
        ("06", "push", nil), ("27", "daa", nil), ("37", "aaa", nil), ("60", "pusha", nil), ("61", "popa", nil),
        ("82c000", "add", nil), ("9a000000000000", "callf", nil), ("ce", "into", nil), ("d40a", "aam", nil),
        ("d50a", "aad", nil), ("d6", "salc", nil), ("ea000000000000", "jmpf", nil), ("6200", "bound", nil),
        ("62c0", nil, nil), ("63c0", "arpl", "movsxd"), ("c400", "les", nil), ("c500", "lds", nil),
        ("c4e270f2c0", "andn", "andn"), ("c5f877", "vzeroupper", "vzeroupper"),
        ("0f01f8", nil, "swapgs"), ("f30faec0", nil, "rdfsbase"), ("40", "inc", nil),
    ])
    func `opcodes that differ between modes`(_ bytes: String, _ in32: String?, _ in64: String?) {
        #expect(name(bytes, .bits32) == in32)
        #expect(name(bytes) == in64)
    }

    @Test(arguments: [
        "0fff00", "0fb900", "0f0b",
    ])
    func `UD0 UD1 and UD2 are rows of their own`(_ bytes: String) {
        #expect(name(bytes)?.hasPrefix("ud") == true)
    }

    @Test(arguments: [
        "0f04", "0f0a", "0f0c", "0f24c0", "0f25", "0f36", "0f37", "0f38ff", "0f3aff", "0fa6", "0fa7", "0faa", "0f78c0",
        "0f79c0", "8ec8", "8cf0", "fed0", "fff8", "0f00f0", "0fbac000", "0fc7c8", "0f01c1", "0f01d8", "0f20c8",
        "440f21c0", "440f20d0", "d9d1", "d9e2", "daec", "dbe5", "dfe1", "d908", "0f0fc000", "0f0fc0ff", "c4e17977",
        "8f0800", "c6c8", "f30ffcc1", "62f17c48",
    ])
    func `what no manual defines is undefined`(_ bytes: String) {
        #expect(decode(bytes).outcome == .undefined, "\(bytes) is \(disassembled(bytes))")
    }

    @Test func `a mandatory F3 or F2 wins over 66 and the last of them counts`() {
        #expect(name("0f58c1") == "addps" && name("660f58c1") == "addpd")
        #expect(name("66f30f58c1") == "addss" && name("f3660f58c1") == "addss")
        #expect(name("f3f20f58c1") == "addsd" && name("f2f30f58c1") == "addss")
        #expect(name("f20fe7c1") == nil && name("f30f28c1") == nil)
    }

    @Test func `REX counts only right before the opcode`() {
        #expect(disassembled("48 89 c3") == "mov    rbx,rax")
        #expect(disassembled("48 66 89 c3") == "mov    bx,ax")
        #expect(disassembled("66 48 89 c3") == "mov    rbx,rax")
        #expect(disassembled("48 41 89 c3") == "mov    r11d,eax")
        #expect(disassembled("40 88 e0") == "mov    al,spl" && disassembled("88 e0") == "mov    al,ah")
        #expect(decode("48 2e 89 c3").i.hasREX == false)
    }

    @Test func `nothing may stand before VEX but a segment and 67`() {
        for prefix in ["66", "f2", "f3", "f0", "40", "48"] {
            #expect(decode(prefix + "c5f858c1").outcome == .undefined)
        }
        #expect(name("64 67 c5f85800") == "vaddps")
        // A REX that another prefix has cancelled is gone.
        #expect(name("48 2e c5f858c1") == "vaddps")
    }

    @Test func `VEX fields that mean nothing must be 1111`() {
        #expect(name("c5f877") == "vzeroupper" && name("c5f077") == nil)
        #expect(name("c5f828c1") == "vmovaps" && name("c5f028c1") == nil)
        #expect(name("c4e07828c1") == nil, "map 0")
        #expect(name("c4e47828c1") == nil, "map 4")
        #expect(name("c4e2f80cc1") == nil, "VPERMILPS with W = 1")
        #expect(name("c4e27d0cc1") == "vpermilps")
    }

    @Test func `gathers need SIB and three different registers`() {
        #expect(name("c4e269900c08") == nil, "mask and index are 2, 1")
        #expect(name("c4e26190 0c50") == "vpgatherdd")
        #expect(name("c4e26190 0c48") == nil, "index is the destination")
        #expect(name("c4e26190 0c58") == nil, "index is the mask")
        #expect(name("c4e26190 08") == nil, "no SIB")
        let (_, i) = decode("c4e26190 0c20")
        #expect(i.index == 4 && i.base == 0, "index 4 is a register here")
    }

    @Test func `90 is NOP, PAUSE or XCHG by prefix`() {
        #expect(name("90") == "nop" && name("f390") == "pause" && name("6690") == "nop" && name("4890") == "nop")
        #expect(disassembled("4190") == "xchg   r8d,eax" && name("f34190") == "xchg" && name("f290") == "nop")
    }

    @Test func `LOCK needs a memory destination of an instruction that knows it`() {
        for legal in ["f00000", "f0ff00", "f00fb10a", "f00fc10a", "f00fc70e", "f00fab0a", "f00fba2800", "f0f610",
                      "f08700", "f0480fc708"] {
            #expect(decode(legal).outcome == .decoded, "\(legal)")
        }
        for illegal in ["f001c0", "f0890b", "f03900", "f00fa30a", "f00fba2000", "f090", "f00200", "f0e800000000",
                        "f00f0b", "f091", "f00f0f009e", "f0d800"] {
            #expect(decode(illegal).outcome == .undefined, "\(illegal)")
        }
    }

    @Test func `fifteen bytes are an instruction and sixteen are not`() {
        let thirteen = String(repeating: "66", count: 13)
        #expect(decode(thirteen + "89c3").outcome == .decoded && decode(thirteen + "89c3").i.length == 15)
        #expect(decode(thirteen + "6689c3").outcome == .tooLong)
        #expect(decode(String(repeating: "66", count: 20)).outcome == .tooLong)
        #expect(decode(String(repeating: "66", count: 15), available: 15).outcome == .tooLong)
        #expect(decode(String(repeating: "2e", count: 9) + "c78000000000 11111111").outcome == .tooLong)
        #expect(decode(String(repeating: "2e", count: 5) + "c78000000000 11111111").outcome == .decoded)
        #expect(decode(String(repeating: "66", count: 14) + "0f04").outcome == .tooLong, "the opcode ends beyond 15")
        #expect(decode(String(repeating: "66", count: 13) + "0f04").outcome == .undefined)
    }

    @Test func `every cut of an instruction asks for no more than it needs`() {
        for text in ["48b88877665544332211", "c784c844332211 88776655", "64670fb60425 44332211", "c4e37d060c0831",
                     "c8112233", "0f0f4405009e", "0f3a0f0c0801", "66f30fb8c1", "e8 11223344", "0fc70c24",
                     "c4e26190 0c50"] {
            let (outcome, i) = decode(text)
            #expect(outcome == .decoded)
            for available in 0..<Int(i.length) {
                guard case .needsMoreBytes(let count) = decode(text, available: available).outcome else {
                    Issue.record("\(text) decodes from \(available) bytes")
                    continue
                }
                #expect(count > available && count <= Int(i.length), "\(text) of \(available)")
            }
        }
        #expect(decode("0f0b", available: 1).outcome == .needsMoreBytes(2))
        #expect(decode("0f04", available: 2).outcome == .undefined, "no ModRM is waited for")
    }

    @Test func `immediates are as wide and as signed as their codes say`() {
        #expect(decode("83c0ff").i.immediate == -1 && decode("04ff").i.immediate == 255)
        #expect(decode("4881c0 ffffffff").i.immediate == -1 && decode("6605ffff").i.immediate == -1)
        #expect(decode("48b8 ffffffffffffff7f").i.immediate == .max && decode("b8 ffffffff").i.immediate == -1)
        #expect(decode("c2 ffff").i.immediate == 0xFFFF && decode("eb80").i.immediate == -128)
        let enter = decode("c8 fffe 1f").i
        #expect(enter.immediate == 0xFEFF && enter.immediate2 == 0x1F)
        let far = decode("9a 44332211 5566", .bits32).i
        #expect(far.immediate == 0x1122_3344 && far.immediate2 == 0x6655)
        #expect(decode("a1 8877665544332211").i.displacement == 0x1122_3344_5566_7788)
        #expect(decode("67a1 ffffffff").i.displacement == 0xFFFF_FFFF)
        #expect(decode("a1 ffff", .bits16).i.displacement == 0xFFFF)
        let blend = decode("c4e3714ac2 f0").i
        #expect(blend.immediate2 == 15 && decode("c4e3714ac2 f0", .bits32).i.immediate2 == 7)
    }

    @Test func `operand sizes follow mode, 66, REX W and the row`() {
        func size(_ text: String, _ codeSize: Mode.CodeSize = .bits64) -> UInt8 { decode(text, codeSize).i.operandSize }
        #expect(size("89c0") == 4 && size("6689c0") == 2 && size("4889c0") == 8 && size("664889c0") == 8)
        #expect(size("89c0", .bits16) == 2 && size("6689c0", .bits16) == 4 && size("6689c0", .bits32) == 2)
        #expect(size("50") == 8 && size("6650") == 2 && size("e8000000 00") == 8 && size("66e80000") == 2)
        #expect(size("0f20c0") == 8 && size("660f20c0") == 8 && size("0f20c0", .bits16) == 4)
        #expect(size("660f6ec0") == 4 && size("66480f6ec0") == 8 && size("660f38f6c0") == 4)
        #expect(size("66f20f38f1c0") == 2, "CRC32 of a word")
        #expect(size("c4e1f96ec0") == 8 && size("c4e1f96ec0", .bits32) == 4 && size("c4e1f96ec0", .bits16) == 4)
    }

    @Test func `addresses of 16 bits use their pairs of registers`() {
        let expected: [(Int8, Int8)] = [(3, 6), (3, 7), (5, 6), (5, 7), (6, -1), (7, -1), (-1, -1), (3, -1)]
        for (rm, pair) in expected.enumerated() {
            let i = decode("8b" + String(format: "%02x", rm) + "0180", .bits16).i
            #expect(i.base == pair.0 && i.index == pair.1)
        }
        #expect(decode("8b4601", .bits16).i.base == 5 && decode("8b060180", .bits16).i.displacement == -32767)
        #expect(decode("678b0424", .bits16).i.base == 4 && decode("678b07", .bits32).i.base == 3)
        #expect(decode("8b4601", .bits16).i.defaultSegment == 2 && decode("8b07", .bits16).i.defaultSegment == 3)
    }

    @Test func `64-bit addresses: RIP, no base, no index, and registers that only look like RSP and RBP`() {
        #expect(decode("8b05 00000000").i.isRIPRelative && !decode("8b05 00000000", .bits32).i.isRIPRelative)
        #expect(decode("678b05 00000000").i.isRIPRelative && decode("678b05 00000000").i.addressSize == 4)
        #expect(decode("418b05 00000000").i.isRIPRelative, "REX.B does not make it R13")
        #expect(decode("418b4500").i.base == 13 && decode("418b0424").i.base == 12 && decode("418b0424").i.index == -1)
        #expect(decode("428b0424").i.index == -1 + 13, "REX.X makes index 4 R12")
        #expect(decode("8b0425 00000000").i.base == -1 && decode("418b0425 00000000").i.base == -1)
        #expect(decode("8b4500").i.defaultSegment == 2 && decode("418b4500").i.defaultSegment == 3)
    }

    @Test func `only FS and GS are prefixes in 64-bit code`() {
        #expect(decode("648b00").i.segment == 4 && decode("658b00").i.segment == 5 && decode("2e8b00").i.segment == -1)
        #expect(decode("643e8b00").i.segment == 4, "an ignored prefix takes nothing back")
        #expect(decode("2e8b00", .bits32).i.segment == 1 && decode("2e368b00", .bits32).i.segment == 2)
    }

    @Test func `register files of eight ignore REX`() {
        let mmx = decode("450ffcc1").i
        #expect(mmx.reg == 0 && mmx.rm == 1)
        #expect(decode("418bc0").i.rm == 8 && decode("45 0f 2a c1").i.reg == 8 && decode("450f2ac1").i.rm == 1)
        #expect(decode("448ed8").i.reg == 3 && decode("41d8c1").i.rm == 1)
        #expect(decode("440f20c0").i.reg == 8, "CR8")
    }

    @Test func `MOV CR and DR take registers whatever mod says`() {
        let i = decode("0f2004", .bits32)
        #expect(i.outcome == .decoded && i.i.length == 3 && i.i.mod == 3 && i.i.rm == 4)
    }
}
