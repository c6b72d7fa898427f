// Prints decoded instructions in Intel syntax, close to what `objdump -M intel` prints.
//
// Left out on purpose: prefixes without effect, and names that depend on an immediate (CMPEQPS, VPCLMULLQLQDQ).

/// The disassembler.
public enum X86Disassembler {
    /// Text of a decoded instruction: prefixes, name, operands.
    /// - Parameter address: where the instruction lies, relative to CS; the targets of branches are computed from it.
    public static func text(_ i: X86Instruction, codeSize: Mode.CodeSize, address: UInt64) -> String {
        let printer = Printer(i: i, row: InstructionTable.rows[Int(i.row)], is64: codeSize == .bits64, address: address)
        let name = printer.prefixes + printer.name
        let operands = printer.operands
        if operands.isEmpty { return name }
        return name + String(repeating: " ", count: max(1, 7 - name.utf8.count)) + operands
    }

    /// Text of the instruction at `bytes`, and its length; `(bad)` and 1 when there is none.
    /// - Parameter available: bytes that may be read.
    public static func text(_ decoder: X86Decoder, _ bytes: UnsafePointer<UInt8>, available: Int,
                            codeSize: Mode.CodeSize, address: UInt64) -> (text: String, length: Int) {
        var i = X86Instruction()
        let outcome = decoder.decode(bytes, available: available, codeSize: codeSize, into: &i)
        guard outcome == .decoded else { return ("(bad)", 1) }
        return (text(i, codeSize: codeSize, address: address), Int(i.length))
    }

    static let conditions = ["o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g"]
    static let segments = ["es", "cs", "ss", "ds", "fs", "gs"]
    static let registers64 = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"]
    static let bytes = ["al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"]

    /// Name of a general register.
    /// - Parameter hasREX: byte registers 4…7 are SPL BPL SIL DIL.
    public static func registerName(_ number: Int, bytes size: Int, hasREX: Bool) -> String {
        if number > 7 { return "r\(number)" + (size == 1 ? "b" : size == 2 ? "w" : size == 4 ? "d" : "") }
        let name = registers64[number]
        return switch size {
        case 1: hasREX && number > 3 ? name.dropFirst() + "l" : Self.bytes[number]
        case 2: String(name.dropFirst())
        case 4: "e" + name.dropFirst()
        default: name
        }
    }

    static func hexadecimal(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
}

/// One instruction being printed.
private struct Printer {
    let i: X86Instruction
    let row: X86Row
    let is64: Bool
    let address: UInt64

    // MARK: name

    var prefixes: String {
        var text = i.hasLock ? "lock " : ""
        if row.flags.contains(.string), i.hasRep || i.hasRepne {
            let compares = row.name == "cmps" || row.name == "scas"
            text += i.hasRepne ? "repnz " : compares ? "repz " : "rep "
        }
        return text
    }

    /// The name as assemblers know it.
    var name: String {
        let name = row.name
        switch name {
        case "jcc", "setcc", "cmovcc": return name.dropLast(2) + X86Disassembler.conditions[Int(i.opcode & 15)]
        case "cbw": return i.operandSize == 2 ? "cbw" : i.operandSize == 4 ? "cwde" : "cdqe"
        case "cwd": return i.operandSize == 2 ? "cwd" : i.operandSize == 4 ? "cdq" : "cqo"
        case "jcxz": return i.addressSize == 2 ? "jcxz" : i.addressSize == 4 ? "jecxz" : "jrcxz"
        case "callf": return "call"
        case "jmpf": return "jmp"
        case "mov":
            if row.immediate == .v, i.operandSize == 8 { return "movabs" }
            return row.immediate == .offset && i.addressSize == 8 ? "movabs" : name
        case "movd", "vmovd", "pextrd", "vpextrd", "pinsrd", "vpinsrd":
            return i.operandSize == 8 ? name.dropLast() + "q" : name
        case "fxsave", "fxrstor", "xsave", "xrstor", "xsaveopt", "xsavec", "xsaves", "xrstors":
            return i.operandSize == 8 ? name + "64" : name
        case "iret", "retf": return i.operandSize == 8 ? name + "q" : name
        case "sysret", "sysexit": return is64 ? name + (i.operandSize == 8 ? "q" : "d") : name
        default: return name
        }
    }

    // MARK: operands

    var operands: String {
        let all = [row.operands.0, row.operands.1, row.operands.2, row.operands.3]
        var texts: [String] = []
        for operand in all where operand.kind != .none { texts.append(text(operand)) }
        if row.name == "xlat" { texts.append("BYTE PTR " + string(3, segment, index: 3)) }
        // One operand of these is ST(0) for every assembler.
        if ["fcom", "fcomp"].contains(row.name), texts.count == 2 { texts.removeFirst() }
        return texts.joined(separator: ",")
    }

    private var segment: Int { i.segment >= 0 ? Int(i.segment) : 3 }

    private func register(_ number: UInt8, _ size: Int) -> String {
        X86Disassembler.registerName(Int(number), bytes: size, hasREX: i.hasREX)
    }

    /// Width of the operand as a register.
    private func registerSize(_ operand: X86Operand) -> Int {
        switch operand.size {
        case .dwordOrByte, .dwordOrWord: 4
        case .vOrWord: Int(i.operandSize)
        default: operand.bytes(i, is64: is64)
        }
    }

    private func vector(_ number: UInt8, _ operand: X86Operand) -> String {
        let isWide = operand.size == .wide || operand.size == .x && i.l
        return (isWide ? "ymm" : "xmm") + String(number)
    }

    private func text(_ operand: X86Operand) -> String {
        switch operand.kind {
        case .none: ""
        case .registerOrMemory, .rmRegister:
            i.isMemory ? memory(operand) : register(i.rm, registerSize(operand))
        case .memory, .vectorIndexed: memory(operand)
        case .register: register(i.reg, registerSize(operand))
        case .opcodeRegister: register(i.rm, registerSize(operand))
        case .vexRegister: register(i.vvvv, registerSize(operand))
        case .fixedRegister:
            X86Disassembler.registerName(Int(operand.number), bytes: registerSize(operand), hasREX: false)
        case .immediate: immediate
        case .immediate2: X86Disassembler.hexadecimal(UInt64(bitPattern: i.immediate2))
        case .one: "1"
        case .relative: X86Disassembler.hexadecimal(target)
        case .farPointer:
            X86Disassembler.hexadecimal(UInt64(bitPattern: i.immediate2)) + ":"
                + X86Disassembler.hexadecimal(UInt64(bitPattern: i.immediate))
        case .offset:
            X86Disassembler.segments[segment] + ":" + X86Disassembler.hexadecimal(UInt64(bitPattern: i.displacement))
        case .segment: X86Disassembler.segments[Int(i.reg) % 6]
        case .fixedSegment: X86Disassembler.segments[Int(operand.number)]
        case .control: "cr\(i.reg)"
        case .debug: "dr\(i.reg)"
        case .stringSource: sized(operand) + string(6, segment, index: 6)
        case .stringDestination: sized(operand) + string(7, 0, index: 7)
        case .vector: vector(i.reg, operand)
        case .vectorOrMemory: i.isMemory ? memory(operand) : vector(i.rm, operand)
        case .rmVector: vector(i.rm, operand)
        case .vexVector: vector(i.vvvv, operand)
        case .immediateVector: vector(UInt8(truncatingIfNeeded: i.immediate2), operand)
        case .fixedVector: "xmm\(operand.number)"
        case .mmx: "mm\(i.reg)"
        case .mmxOrMemory: i.isMemory ? memory(operand) : "mm\(i.rm)"
        case .rmMMX: "mm\(i.rm)"
        case .stackTop: "st"
        case .stack: "st(\(i.rm & 7))"
        }
    }

    /// The immediate at the width of what it is combined with.
    private var immediate: String {
        let value = UInt64(bitPattern: i.immediate)
        let bits: UInt64 = switch row.immediate {
        case .signedByte, .z, .v: UInt64(max(1, row.operands.0.bytes(i, is64: is64))) * 8
        default: 64
        }
        // A pushed immediate is as wide as the stack slot.
        let width = row.operands.0.kind == .immediate ? UInt64(i.operandSize) * 8 : bits
        return X86Disassembler.hexadecimal(width >= 64 ? value : value & (1 << width - 1))
    }

    private var target: UInt64 {
        let target = address &+ UInt64(i.length) &+ UInt64(bitPattern: i.immediate)
        return i.operandSize == 2 ? target & 0xFFFF : is64 ? target : target & 0xFFFF_FFFF
    }

    // MARK: memory

    private func sized(_ operand: X86Operand) -> String {
        if row.name == "lea" || row.name == "nop" && operand.size == .none { return "" }
        return switch operand.bytes(i, is64: is64) {
        case 1: "BYTE PTR "
        case 2: "WORD PTR "
        case 4: "DWORD PTR "
        case 6: operand.size == .far ? "FWORD PTR " : ""
        case 8: "QWORD PTR "
        case 10: operand.size == .pseudoDescriptor ? "" : "TBYTE PTR "
        case 16: row.flags.isDisjoint(with: [.sse, .avx]) ? "OWORD PTR " : "XMMWORD PTR "
        case 32: "YMMWORD PTR "
        default: ""
        }
    }

    private func string(_ number: UInt8, _ segment: Int, index: Int) -> String {
        X86Disassembler.segments[segment] + ":[" + register(number, Int(i.addressSize)) + "]"
    }

    private func memory(_ operand: X86Operand) -> String {
        var inside = ""
        let size = Int(i.addressSize)
        if i.isRIPRelative {
            inside = size == 4 ? "eip" : "rip"
        } else if i.base >= 0 {
            inside = X86Disassembler.registerName(Int(i.base), bytes: size, hasREX: true)
        }
        if i.index >= 0 {
            if !inside.isEmpty { inside += "+" }
            if operand.kind == .vectorIndexed {
                inside += (i.l && operand.size == .x ? "ymm" : "xmm") + String(i.index)
            } else {
                inside += X86Disassembler.registerName(Int(i.index), bytes: size, hasREX: true)
            }
            if size > 2 { inside += "*\(1 << i.scale)" }
        }
        let prefix = i.segment >= 0 ? X86Disassembler.segments[Int(i.segment)] + ":" : ""
        if inside.isEmpty {
            let mask: UInt64 = size == 8 ? .max : 1 << (UInt64(size) * 8) - 1
            let place = X86Disassembler.hexadecimal(UInt64(bitPattern: i.displacement) & mask)
            return sized(operand) + (prefix.isEmpty ? "ds:" : prefix) + place
        }
        let hasDisplacement = i.mod != 0 || i.isRIPRelative || i.base < 0
        if hasDisplacement {
            if i.displacement < 0, !i.isRIPRelative {
                inside += "-" + X86Disassembler.hexadecimal(i.displacement.magnitude)
            } else {
                inside += "+" + X86Disassembler.hexadecimal(UInt64(bitPattern: i.displacement))
            }
        }
        return (operand.kind == .vectorIndexed ? vectorIndexedSize : sized(operand)) + prefix + "[" + inside + "]"
    }

    /// Elements of gathers are 8 bytes with VEX.W and 4 without.
    private var vectorIndexedSize: String { i.w ? "QWORD PTR " : "DWORD PTR " }
}
