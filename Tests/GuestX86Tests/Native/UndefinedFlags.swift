// What the manuals leave undefined, or makers of processors do differently: the one table of what is not compared.
//
// On an AMD host we claim to do what the processor does (docs/x86.md), so only what no model promises is left out there.
//
// Source: AMD APM volume 3, "rFLAGS Affected" of each instruction.

import Glibc
@testable import GuestX86

enum UndefinedFlags {
    /// Flags of an instruction that are not compared.
    static func mask(_ name: String, _ decoded: X86Instruction, _ before: X86Registers) -> UInt32 {
        if name == "div" || name == "idiv" { return EFlags.status }
        if hostIsAMD { return 0 }
        switch name {
        case "mul", "imul": return EFlags.sf | EFlags.zf | EFlags.af | EFlags.pf
        case "and", "or", "xor", "test": return EFlags.af
        case "shl", "shr", "sar", "shld", "shrd": return EFlags.af | EFlags.of | EFlags.cf
        case "rol", "ror", "rcl", "rcr": return EFlags.of
        case "bt", "bts", "btr", "btc": return EFlags.status & ~EFlags.cf
        case "bsf", "bsr": return EFlags.status & ~EFlags.zf
        case "lzcnt", "tzcnt": return EFlags.of | EFlags.sf | EFlags.pf | EFlags.af
        case "andn", "blsi", "blsr", "blsmsk", "bzhi": return EFlags.af | EFlags.pf
        case "bextr": return EFlags.af | EFlags.sf | EFlags.pf
        case "daa", "das": return EFlags.of
        case "aaa", "aas": return EFlags.of | EFlags.sf | EFlags.zf | EFlags.pf
        case "aam", "aad": return EFlags.of | EFlags.af | EFlags.cf
        default: return 0
        }
    }

    /// Whether an instruction is not compared at all: the host's processor is not AMD's and does it in its own way.
    /// - Parameter isMisaligned: its memory operand is, for accesses of 16 bytes.
    static func isIncomparable(_ name: String, _ decoded: X86Instruction, _ before: X86Registers, isMisaligned: Bool = false) -> Bool {
        if hostIsAMD { return false }
        switch name {
        // The result is undefined for counts above the width (SDM vol. 2 SHLD, SHRD).
        case "shld", "shrd":
            let count = decoded.opcode & 1 == 0 ? UInt64(truncatingIfNeeded: decoded.immediate) : before.general[GPR.rcx]
            return decoded.operandSize == 2 && count & 31 > 16
        // VEX.W0 is undefined there, AMD's ignore W.
        case "vpermq", "vpermpd": return !decoded.w
        // Intel's demand alignment, AMD's do not.
        case "sha1msg1", "sha1msg2", "sha1nexte", "sha1rnds4", "sha256msg1", "sha256msg2", "sha256rnds2":
            return decoded.isMemory && isMisaligned
        default: return false
        }
    }

    /// Which of several NaNs a dot product hands on differs between makers.
    static func leavesNaNOpen(_ name: String) -> Bool { !hostIsAMD && (name == "dpps" || name == "vdpps") }

    static let hostIsAMD: Bool = {
        let file = fopen("/proc/cpuinfo", "r")
        defer { if let file { fclose(file) } }
        var line = [CChar](repeating: 0, count: 256)
        while let file, fgets(&line, 256, file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if text.contains("vendor_id") { return text.contains("AuthenticAMD") }
        }
        return false
    }()
}
