// The decoder against the host's processor: which encodings are undefined, and how long the others are. Needs an AMD
// processor with everything that the rows describe but 3DNow!.

import CX86Native
import Foundation
import Testing
@testable import GuestX86

private let hostHasRows: Bool = {
    guard let text = try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8), text.contains("AuthenticAMD"),
          let line = text.split(separator: "\n").first(where: { $0.hasPrefix("flags") }) else { return false }
    let flags = Set(line.split { $0 == " " || $0 == "\t" })
    return ["avx2", "fma", "f16c", "bmi1", "bmi2", "adx", "movbe", "popcnt", "abm", "sha_ni", "aes", "pclmulqdq",
            "rdrand", "rdseed", "fsgsbase", "xsaveopt", "xsavec", "cx16", "rdtscp", "clflushopt", "clwb",
            "3dnowprefetch", "lahf_lm", "rdpid"].allSatisfy { flags.contains($0) }
}()

@Suite(.serialized, .enabled(if: hostHasRows)) struct NativeDecodeTests {
    private let decoder = X86Decoder()
    /// A page of code and 64 KiB of data with all general registers in their middle; nothing is mapped around them.
    private static let code: UInt64 = 0x1000_0000, data: UInt64 = 0x1010_0000, dataSize = 0x10000

    /// What hosts may lack, or hypervisors take away.
    private static let uncertain: Set<X86Feature> = [
        .threeDNow, .threeDNowExtensions, .monitor, .monitorx, .clzero, .wbnoinvd, .invpcid, .xsaves, .smap,
    ]

    /// Rows that must not run here: control transfer, segments of the host; and UD0…UD2, which are rows and raise #UD.
    private static func isLeftOut(_ row: X86Row) -> Bool {
        row.flags.contains(.end) || uncertain.contains(row.feature) || ["wrfsbase", "wrgsbase"].contains(row.name)
    }

    /// Opcodes where newer processors have more than the rows: by map, without prefixes.
    private static func isNewer(_ bytes: [UInt8]) -> Bool {
        var at = 0
        while at < bytes.count, [0x66, 0xF0, 0xF2, 0xF3, 0x48].contains(bytes[at]) { at += 1 }
        switch (bytes[at], bytes[at + 1], bytes[at + 2]) {
        // System instructions, SSE4A, Galois fields, and whatever has come to group 15 and 9.
        case (0x0F, 0x01, _), (0x0F, 0x78, _), (0x0F, 0x79, _), (0x0F, 0x2B, _), (0x0F, 0xAE, _), (0x0F, 0xC7, _):
            return true
        case (0x0F, 0x38, 0xCF), (0x0F, 0x3A, 0xCE), (0x0F, 0x3A, 0xCF): return true
        // MOV CR with LOCK is CR8; VERW may be emulated by a hypervisor.
        case (0x0F, 0x20, _), (0x0F, 0x22, _), (0x0F, 0x00, _): return bytes.contains(0xF0)
        case (0xC4, let map, _):
            switch (map & 31, bytes[at + 3]) {
            // Mask registers.
            case (1, 0x41...0x4B), (1, 0x90...0x93), (1, 0x98...0x99), (3, 0x30...0x33): return true
            // AES, products and Galois fields of 256 bits, neural networks.
            case (2, 0xDC...0xDF), (2, 0xCF), (3, 0x44), (3, 0xCE...0xCF), (2, 0x50...0x53), (2, 0xB4...0xB5):
                return true
            default: return false
            }
        default: return false
        }
    }

    private func check(_ instructions: [[UInt8]], is64: Bool) throws {
        try #require(x86_native_install() == 0)
        for (address, size) in [(Self.code, 4096), (Self.data, Self.dataSize)] {
            let wanted = UnsafeMutableRawPointer(bitPattern: UInt(address))
            let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
            try #require(mmap(wanted, size, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0) == wanted)
        }
        let code = UnsafeMutableRawPointer(bitPattern: UInt(Self.code))!
        let data = UnsafeMutableRawPointer(bitPattern: UInt(Self.data))!
        defer {
            munmap(code, 4096)
            munmap(data, Self.dataSize)
        }
        var differences: [String] = []
        var i = X86Instruction()
        for bytes in instructions {
            let outcome = decoder.decode(bytes, available: bytes.count, codeSize: is64 ? .bits64 : .bits32, into: &i)
            let row = InstructionTable.rows[Int(i.row)]
            if outcome == .decoded ? Self.isLeftOut(row) : Self.isNewer(bytes) { continue }
            memset(code, 0xCC, 64)
            bytes.withUnsafeBytes { code.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
            // Behind the instruction stands int3 also where the bytes went on.
            if outcome == .decoded { memset(code + Int(i.length), 0xCC, 32) }
            // Nothing writes farther from the registers than XSAVE.
            memset(data + Self.dataSize / 2 - 1024, 0, 5120)
            var native = x86_native_case()
            withUnsafeMutableBytes(of: &native.gpr) { registers in
                for number in 0..<16 {
                    let middle = Self.data + UInt64(Self.dataSize / 2)
                    registers.storeBytes(of: middle, toByteOffset: number * 8, as: UInt64.self)
                }
            }
            native.rip = Self.code
            native.rflags = 0x202
            native.cs = is64 ? 0x33 : 0x23
            withUnsafeMutableBytes(of: &native.fxsave) { image in
                image.storeBytes(of: 0x37F, as: UInt16.self)
                image.storeBytes(of: 0x1F80, toByteOffset: 24, as: UInt32.self)
            }
            try #require(x86_native_run(&native) == 0)
            let hasRun = native.vector == 3 && outcome == .decoded
            let isOtherLength = hasRun && native.rip != Self.code + UInt64(i.length) + 1
            if (native.vector == 6) != (outcome == .undefined) || isOtherLength {
                let text = bytes.map { String($0, radix: 16) }.joined(separator: " ")
                let ours = outcome == .decoded ? "\(row.name) of \(i.length)" : "\(outcome)"
                differences.append("\(text): ours \(ours), vector \(native.vector) at \(native.rip &- Self.code)")
            }
        }
        let sample = differences.prefix(40).joined(separator: "\n")
        #expect(differences.isEmpty, "\(differences.count) differences\n\(sample)")
    }

    /// ModRM bytes of each reg, with a register and with memory that a register points at.
    private static let modRMs: [UInt8] = (0..<8).flatMap { reg -> [UInt8] in
        let plain: [UInt8] = [0, 1, 2, 3, 6, 7]
        let field = UInt8(reg << 3)
        return [0xC0 | field | plain[reg % 6], field | plain[(reg + 3) % 6]]
    }

    @Test(arguments: [true, false])
    func `legacy encodings are undefined where the processor says so`(_ is64: Bool) throws {
        var instructions: [[UInt8]] = []
        var prefixes: [[UInt8]] = [[], [0x66], [0xF3], [0xF2], [0xF0], [0x66, 0xF3], [0xF2, 0x66]]
        if is64 { prefixes.append([0x48]) }
        for prefix in prefixes {
            for map: [UInt8] in [[], [0x0F], [0x0F, 0x38], [0x0F, 0x3A]] {
                for opcode in UInt8.min...UInt8.max {
                    // Prefixes, escapes, EVEX and XOP.
                    let isSkipped = map.isEmpty
                        ? [0x0F, 0x26, 0x2E, 0x36, 0x3E, 0x62, 0x64, 0x65, 0x66, 0x67, 0x8F, 0xC4, 0xC5, 0xF0, 0xF2,
                           0xF3].contains(opcode) || is64 && opcode & 0xF0 == 0x40
                        : map.count == 1 && [0x0F, 0x38, 0x3A].contains(opcode)
                    if isSkipped { continue }
                    for modRM in Self.modRMs {
                        instructions.append(prefix + map + [opcode, modRM] + [UInt8](repeating: 0, count: 9))
                    }
                }
            }
        }
        try check(instructions, is64: is64)
    }

    @Test(arguments: [true, false])
    func `VEX encodings are undefined where the processor says so`(_ is64: Bool) throws {
        var instructions: [[UInt8]] = []
        var generator = ByteGenerator(state: 31)
        for map in UInt8(1)...3 {
            for fields in UInt8(0)..<16 {
                for opcode in UInt8.min...UInt8.max {
                    for round in 0..<4 {
                        let modRM = Self.modRMs[Int(generator.next() >> 8) & 15] & 0x3F | (round & 1 == 0 ? 0 : 0xC0)
                        let vvvv: UInt8 = round < 3 ? 15 : UInt8(generator.next() & 7) | 8
                        let bytes = [0xC4, 0xE0 | map, (fields & 8) << 4 | vvvv << 3 | fields & 7, opcode, modRM]
                        instructions.append(bytes + [UInt8](repeating: 0, count: 8))
                    }
                }
            }
        }
        try check(instructions, is64: is64)
    }
}
