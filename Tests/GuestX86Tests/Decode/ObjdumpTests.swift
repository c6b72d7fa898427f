// Decoder and disassembler against objdump, where it is installed. Differences of opinion are listed with their
// reasons; where a processor could be asked (an AMD Zen 4, each encoding single-stepped), its answer is ours.

import Foundation
import Testing
@testable import GuestX86

@Suite(.enabled(if: Objdump.isInstalled)) struct ObjdumpTests {
    private let decoder = X86Decoder()

    private struct Difference: CustomStringConvertible {
        let bytes: ArraySlice<UInt8>, ours: String, theirs: String
        var description: String {
            let hexadecimal = bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
            return "\(hexadecimal): ours '\(ours)', theirs '\(theirs)'"
        }
    }

    /// Rows that objdump does not take, with the reason.
    static let unknownToObjdump: [String: String] = [
        "fcom": "old alias", "fcomp": "old alias", "fxch": "old alias", "fstp": "old alias",
        "wbinvd": "66 before it is ignored", "salc": "segment prefixes before it are ignored",
        "bsf": "F2 before it is ignored", "bsr": "F2 before it is ignored",
        "vpermq": "AMD processors ignore W", "vpermpd": "AMD processors ignore W",
        "sfence": "ModRM.rm is ignored", "lfence": "ModRM.rm is ignored", "mfence": "ModRM.rm is ignored",
        "nop": "MPX instructions were NOPs before and are again",
    ]

    /// True when both texts mean the same.
    private func agree(_ row: X86Row, _ i: X86Instruction, _ codeSize: Mode.CodeSize, ours: String, theirs: String,
                       withOperands: Bool) -> Bool {
        let (name, operands) = Objdump.normalized(ours)
        let other = Objdump.normalized(theirs)
        if other.name.isEmpty || theirs.contains("(bad)") { return Self.unknownToObjdump[row.name] != nil }
        if name != other.name {
            switch row.name {
            // MPX, CET and other uses of the hint space; 66 90.
            case "nop": return true
            // Comparisons and products by name instead of number.
            case "cmpps", "cmppd", "cmpss", "cmpsd", "vcmpps", "vcmppd", "vcmpss", "vcmpsd", "pclmulqdq", "vpclmulqdq":
                return true
            case "prefetch": return true
            // objdump takes it for a prefix of the x87 instruction behind it.
            case "fwait": return true
            case "fneni", "fndisi", "fnsetpm": return other.name.hasPrefix(name)
            default: break
            }
            // Suffixes for an operand size that is not the usual one.
            guard ["w", "d", "q"].contains(where: { other.name == name + $0 }) else { return false }
        }
        if !withOperands || operands == other.operands { return true }
        // No base, and an index that is none.
        if other.operands.contains("iz*") || other.operands.contains("[0x") { return operands.contains(":0x") }
        // 66 means nothing to 3DNow!.
        if row.map == .threeDNow { return i.hasOperandSizePrefix }
        switch row.name {
        // 66 makes the target 16 bits wide on AMD processors; objdump knows it for some of the branches only.
        case "jcc", "jmp", "call", "loop", "loope", "loopne", "jcxz": return i.operandSize == 2 || codeSize == .bits16
        // Widths of registers and memory that do not matter.
        case "mov": return row.operands.0.kind == .segment
        // With 66 an AMD processor reads four bytes and writes two; these rows follow Intel, who reads two.
        case "movsxd": return i.operandSize == 2
        // With 66 and REX.W the pointer has an offset of four bytes on AMD processors.
        case "callf", "jmpf", "lfs", "lgs", "lss": return i.w && i.hasOperandSizePrefix
        case "lar", "lsl", "invpcid", "lddqu", "vlddqu", "nop": return true
        // REX.W with a result that is never wider than 32 bits; VEX.L with scalars.
        default:
            if row.operands.0 == X86Operand(.register, .dword), i.w { return true }
            return row.flags.contains(.avx) && i.l
                && other.operands.replacingOccurrences(of: "ymm", with: "xmm") == operands
        }
    }

    private func check(_ differences: [Difference]) {
        let sample = differences.prefix(40).map(\.description).joined(separator: "\n")
        #expect(differences.isEmpty, "\(differences.count) differences\n\(sample)")
    }

    @Test(arguments: RowTests.codeSizes)
    func `text and length of each row's encodings are objdump's`(_ codeSize: Mode.CodeSize) throws {
        var encodings = Encodings(generator: ByteGenerator(state: 21))
        var instructions: [[UInt8]] = [], decoded: [X86Instruction] = []
        var i = X86Instruction()
        for row in InstructionTable.rows {
            for _ in 0..<6 {
                guard let bytes = encodings.of(row, codeSize) else { continue }
                let outcome = decoder.decode(bytes, available: bytes.count, codeSize: codeSize, into: &i)
                guard outcome == .decoded else { continue }
                instructions.append(bytes)
                decoded.append(i)
            }
        }
        #expect(instructions.count > 4 * InstructionTable.rows.count)
        let theirs = try Objdump.listing(instructions, codeSize)
        var differences: [Difference] = []
        for (index, i) in decoded.enumerated() {
            let row = InstructionTable.rows[Int(i.row)]
            let ours = X86Disassembler.text(i, codeSize: codeSize, address: UInt64(index * Objdump.slot))
            let isBad = theirs[index].text.contains("(bad)")
            if theirs[index].length != Int(i.length) && !isBad && row.name != "fwait"
                || !agree(row, i, codeSize, ours: ours, theirs: theirs[index].text, withOperands: true) {
                differences.append(Difference(bytes: instructions[index].prefix(Int(i.length)), ours: ours,
                                              theirs: theirs[index].text))
            }
        }
        check(differences)
    }

    /// Beginnings of names that objdump knows and these rows leave out on purpose.
    private static let absent = [
        // Virtualization, SMM, SGX, TSX, keys, MPX, CET, user interrupts, waiting, VIA's and AMD's own.
        "vmread", "vmwrite", "vmcall", "vmlaunch", "vmresume", "vmxoff", "vmxon", "vmptr", "vmclear", "vmrun",
        "vmmcall", "vmload", "vmsave", "vmgexit", "vmfunc", "invept", "invvpid", "skinit", "stgi", "clgi", "invlpga",
        "getsec", "rsm", "enclv", "enclu", "encls", "pconfig", "xbegin", "xabort", "xend", "xtest", "rdpkru",
        "wrpkru", "encodekey", "loadiwkey", "aesenc128", "aesenc256", "aesdec128", "aesdec256", "aesencwide",
        "aesdecwide", "incssp", "rdssp", "saveprevssp", "rstorssp", "wrss", "wruss", "setssbsy", "clrssbsy", "clui",
        "stui", "testui", "uiret", "senduipi", "ptwrite", "tpause", "umonitor", "umwait", "xstore", "xcrypt",
        "montmul", "xsha", "rmp", "pvalidate", "psmash", "rdpru", "mcommit", "tlbsync", "llwpcb", "slwpcb", "lwpins",
        "lwpval",
        // SSE4A, Galois fields, direct stores, remote atomics, mask registers.
        "extrq", "insertq", "movntss", "movntsd", "gf2p8", "vgf2p8", "movdir", "enqcmd", "aadd", "aand", "aor", "axor",
        "kadd", "kand", "kmov", "knot", "kor", "kshift", "ktest", "kunpck", "kxnor", "kxor", "serialize", "hreset",
        // objdump takes F3 before MMX instructions that have no such form, and FXSAVE with 66.
        "pmovmskb", "fxsave", "fxrstor", "ldmxcsr", "stmxcsr", "frstpm",
    ]

    private static func isAbsent(_ name: String) -> Bool {
        if absent.contains(where: { name.hasPrefix($0) }) { return true }
        // FMA4 has no digits in its names; XOP's permutations.
        let isFMA4 = (name.hasPrefix("vfm") || name.hasPrefix("vfnm")) && !name.contains(where: \.isNumber)
        return isFMA4 || name.hasPrefix("vpermil2") || name.hasPrefix("cmp") && name.hasSuffix("xadd")
    }

    @Test(arguments: RowTests.codeSizes)
    func `lengths and names of random bytes are objdump's`(_ codeSize: Mode.CodeSize) throws {
        var encodings = Encodings(generator: ByteGenerator(state: 22))
        let instructions = (0..<5000).map { _ in encodings.random() }
        let theirs = try Objdump.listing(instructions, codeSize)
        var differences: [Difference] = [], decodedCount = 0
        for (index, bytes) in instructions.enumerated() {
            var i = X86Instruction()
            let outcome = decoder.decode(bytes, available: bytes.count, codeSize: codeSize, into: &i)
            let line = theirs[index], other = Objdump.normalized(line.text).name
            // A REX prefix that does not count, or FWAIT in front of an x87 instruction: lines of their own, or not.
            if other.hasPrefix("rex") || bytes.prefix(5).contains(0x9B) { continue }
            if line.text.split(separator: " ").allSatisfy({ Objdump.isPrefix($0) }) { continue }
            guard outcome == .decoded else {
                // objdump takes LOCK anywhere, loads of CS and reserved segment registers. EVEX begins with 62, XOP
                // with 8F.
                if ["(bad)", "lock ", "?", " cs,"].contains(where: { line.text.contains($0) }) || Self.isAbsent(other)
                    || bytes.prefix(4).contains(where: { $0 == 0x62 || $0 == 0x8F }) { continue }
                differences.append(Difference(bytes: bytes[...], ours: "\(outcome)", theirs: line.text))
                continue
            }
            decodedCount += 1
            let row = InstructionTable.rows[Int(i.row)]
            let ours = X86Disassembler.text(i, codeSize: codeSize, address: UInt64(index * Objdump.slot))
            if line.length != Int(i.length) && !line.text.contains("(bad)")
                || !agree(row, i, codeSize, ours: ours, theirs: line.text, withOperands: false) {
                differences.append(Difference(bytes: bytes.prefix(Int(i.length)), ours: ours, theirs: line.text))
            }
        }
        #expect(decodedCount > 3000)
        check(differences)
    }

    @Test(arguments: ["/bin/bash", "/lib/x86_64-linux-gnu/libc.so.6"])
    func `lengths in compiled code are objdump's`(_ path: String) throws {
        guard let file = FileManager.default.contents(atPath: path),
              let text = Self.text(of: [UInt8](file)) else { return }
        var differences: [Difference] = [], count = 0
        try Objdump.lines(of: text, .bits64, every: 1) { address, line in
            var i = X86Instruction()
            let outcome = text.withUnsafeBufferPointer {
                decoder.decode($0.baseAddress! + address, available: $0.count - address, codeSize: .bits64, into: &i)
            }
            count += 1
            if outcome == .decoded, Int(i.length) == line.length { return }
            let other = Objdump.normalized(line.text).name
            // EVEX begins with 62.
            if text[address] == 0x62 || line.text.contains("(bad)") || Self.isAbsent(other) { return }
            let bytes = text[address..<min(address + 15, text.count)]
            differences.append(Difference(bytes: bytes, ours: "\(outcome) \(i.length)", theirs: line.text))
        }
        #expect(count > 10_000)
        check(differences)
    }

    /// The bytes of section .text of a 64-bit ELF file.
    private static func text(of file: [UInt8]) -> [UInt8]? {
        func word(_ at: Int, _ bytes: Int) -> Int {
            guard at >= 0, at + bytes <= file.count else { return 0 }
            return (0..<bytes).reversed().reduce(0) { $0 << 8 | Int(file[at + $1]) }
        }
        guard file.count > 64, file[0] == 0x7F, file[4] == 2 else { return nil }
        let sections = word(40, 8), size = word(58, 2), count = word(60, 2)
        let names = word(sections + word(62, 2) * size + 24, 8)
        for index in 0..<count {
            let section = sections + index * size, name = names + word(section, 4)
            guard name + 6 <= file.count, file[name..<name + 6].elementsEqual(".text\0".utf8) else { continue }
            let offset = word(section + 24, 8), length = word(section + 32, 8)
            return offset + length <= file.count ? Array(file[offset..<offset + length]) : nil
        }
        return nil
    }
}
