// Fields and decode order of the RISC-V rows, and how their operands are printed.
//
// Spec: The RISC-V Instruction Set Manual, Volume I, version 20240411; assembly as in the RISC-V Assembly Programmer's
// Manual, without pseudo-instructions.

import ISA

/// Custom operand formats of the RISC-V rows.
enum OperandFormat {
    static let roundingMode: UInt8 = 0
    static let csr: UInt8 = 1
    static let fenceSet: UInt8 = 2
    static let upperImmediate: UInt8 = 3
    static let ordering: UInt8 = 4
    static let hexadecimal: UInt8 = 5
    static let upperImmediate6: UInt8 = 6
}

/// The RISC-V instruction set as rows.
public enum RISCVRows {
    static let integerFile: UInt8 = 0
    static let floatFile: UInt8 = 1

    static let fields: [Field] = [
        Field("rd", 5, .register(file: integerFile, first: 0)),
        Field("rs1", 5, .register(file: integerFile, first: 0)),
        Field("rs2", 5, .register(file: integerFile, first: 0)),
        Field("fd", 5, .register(file: floatFile, first: 0)),
        Field("fs1", 5, .register(file: floatFile, first: 0)),
        Field("fs2", 5, .register(file: floatFile, first: 0)),
        Field("fs3", 5, .register(file: floatFile, first: 0)),
        Field("rm", 3, .custom(OperandFormat.roundingMode)),
        Field("order", 2, .suffix(OperandFormat.ordering)),
        Field("rd'", 3, .register(file: integerFile, first: 8)),
        Field("rs1'", 3, .register(file: integerFile, first: 8)),
        Field("rs2'", 3, .register(file: integerFile, first: 8)),
        Field("fd'", 3, .register(file: floatFile, first: 8)),
        Field("fs2'", 3, .register(file: floatFile, first: 8)),
        Field("imm", 12, .signed),
        Field("uimm", 5, .unsigned),
        Field("shamt", 6, .custom(OperandFormat.hexadecimal)),
        Field("upper", 20, .custom(OperandFormat.upperImmediate)),
        Field("upper6", 6, .custom(OperandFormat.upperImmediate6)),
        Field("target", 12, .relative),
        Field("csr", 12, .custom(OperandFormat.csr)),
        Field("pred", 4, .custom(OperandFormat.fenceSet)),
        Field("succ", 4, .custom(OperandFormat.fenceSet)),
        Field("any", 5, .ignored),
    ]

    /// Parses the rows. Costs some tens of microseconds; callers keep the result.
    public static func make() -> InstructionSet {
        InstructionSet(
            fields: fields,
            text16: [compressed],
            levels16: [DecodeLevel(1, 0, and: 15, 10), DecodeLevel(6, 5)],
            text32: [base, multiplyAndAtomic, floatingPoint, bitManipulation, system],
            levels32: [DecodeLevel(6, 2, and: 14, 12), DecodeLevel(31, 25), DecodeLevel(24, 20)],
            format: format
        )
    }

    /// ABI names of the integer registers.
    public static let integerNames = [
        "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5",
        "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
    ]
    /// ABI names of the floating point registers.
    public static let floatNames = [
        "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0", "fa1", "fa2", "fa3", "fa4", "fa5",
        "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10",
        "ft11",
    ]

    @Sendable
    static func format(_ style: OperandStyle, _ value: UInt64) -> String {
        switch style {
        case .register(let file, let first):
            let number = Int(value & 31) + Int(first) & 31
            return file == integerFile ? integerNames[number] : floatNames[number]
        case .custom(OperandFormat.roundingMode):
            return ["rne", "rtz", "rdn", "rup", "rmm", "unknown", "unknown", ""][Int(value & 7)]
        case .custom(OperandFormat.csr):
            return CSR(UInt16(truncatingIfNeeded: value)).name
        case .custom(OperandFormat.fenceSet):
            if value == 0 { return "unknown" }
            var text = ""
            for (bit, letter) in [(3, "i"), (2, "o"), (1, "r"), (0, "w")] where value >> UInt64(bit) & 1 != 0 {
                text += letter
            }
            return text
        case .custom(OperandFormat.upperImmediate):
            return "0x" + String(value >> 12, radix: 16)
        case .custom(OperandFormat.upperImmediate6):
            // Sign-extended to the 20 bits that lui would have.
            return "0x" + String(((value >> 12 ^ 0x20) &- 0x20) & 0xFFFFF, radix: 16)
        case .custom(OperandFormat.hexadecimal):
            return "0x" + String(value, radix: 16)
        case .suffix(OperandFormat.ordering):
            return ["", ".rl", ".aq", ".aqrl"][Int(value & 3)]
        default:
            return String(value)
        }
    }
}
