// Units as text, for people, goldens and logs. Stable: tests and pinned files depend on it. Syntax in
// OperationSyntax.swift.
//
// Deliberately lossy in one respect: a dead operation is the word `dead`, whatever it was before.

/// Writes units as text.
public enum Printer {
    /// The header line and one line per operation, each ended by a newline.
    public static func print(_ unit: Unit, globals: [Global]) -> String {
        var text = header(unit) + "\n"
        for index in 0..<unit.count { text += "  " + line(unit, index, globals: globals) + "\n" }
        return text
    }

    /// `unit 0x10000 mode 0x3 rounding rne bytes 8 instructions 2`; zero counts are left out.
    public static func header(_ unit: Unit) -> String {
        let rounding = Vocabulary.word(Vocabulary.roundings, unit.rounding.rawValue) ?? "rne"
        var text = "unit \(hex(unit.start)) mode \(hex(UInt64(unit.mode))) rounding \(rounding)"
        if unit.byteLength != 0 { text += " bytes \(unit.byteLength)" }
        if unit.guestInstructionCount != 0 { text += " instructions \(unit.guestInstructionCount)" }
        return text
    }

    /// One operation, without indentation. Fields out of range are written as `?` and their number.
    public static func line(_ unit: Unit, _ index: Int, globals: [Global]) -> String {
        let operation = unit.instructions[index]
        let syntax = OperationSyntax(operation.opcode)
        let result = syntax.hasResult ? "%\(index) = " : ""
        let head = ([name(operation.opcode)] + suffixes(operation, syntax)).joined(separator: ".")
        let operands = operandText(operation, syntax, globals)
        return result + head + (operands.isEmpty ? "" : " " + operands)
    }

    private static func name(_ opcode: Opcode) -> String { "\(opcode)" }

    private static func suffixes(_ operation: Instruction, _ syntax: OperationSyntax) -> [String] {
        var words: [String] = []
        switch syntax.immediate {
        case .atomicOperation:
            words.append(AtomicOperation(rawValue: UInt8(truncatingIfNeeded: operation.imm)).map { "\($0)" }
                ?? "?\(operation.imm)")
        case .signs:
            if operation.imm & 1 != 0 { words.append(Vocabulary.negateProduct) }
            if operation.imm & 2 != 0 { words.append(Vocabulary.negateAddend) }
        case .bit: if operation.imm != 0 { words.append("at\(operation.imm)") }
        case .vectorOperation:
            words.append(VectorOperation(rawValue: UInt16(truncatingIfNeeded: operation.imm)).map { "\($0)" }
                ?? "?\(operation.imm)")
        default: break
        }
        let aux = operation.aux, unknown = "?\(aux)"
        switch syntax.auxiliary {
        case .none, .exitCode: break
        case .condition: words.append(Vocabulary.word(Vocabulary.conditions, aux) ?? unknown)
        case .flagCondition: words.append(Vocabulary.word(Vocabulary.flagConditions, aux) ?? unknown)
        case .flagOperation: words.append(FlagOperation(rawValue: aux).map { "\($0)" } ?? unknown)
        case .immediateByte: if aux != 0 { words.append("imm\(aux)") }
        case .floatCondition: words.append(Vocabulary.word(Vocabulary.floatConditions, aux) ?? unknown)
        case .rounding: words.append(Vocabulary.word(Vocabulary.roundings, aux) ?? unknown)
        case .idleRounding: if aux != 0 { words.append(Vocabulary.word(Vocabulary.roundings, aux) ?? unknown) }
        case .memory:
            let format = MemoryFormat(rawValue: aux)
            guard format.sizeLog2 <= 4, aux & 0xC0 == 0 else {
                words.append(unknown)
                break
            }
            words.append("\(format.isSigned ? "s" : "u")\(8 << format.sizeLog2)")
            if format.isBigEndian { words.append(Vocabulary.bigEndian) }
            if format.requiresAlignment { words.append(Vocabulary.aligned) }
        case .fence: words += Vocabulary.fences.filter { aux & $0.0.rawValue != 0 }.map(\.1)
        case .jumpKind:
            if aux != JumpKind.jump.rawValue { words.append(JumpKind(rawValue: aux).map { "\($0)" } ?? unknown) }
        }
        if case .written = syntax.type { words.append("\(operation.type)") }
        return words
    }

    private static func operandText(_ operation: Instruction, _ syntax: OperationSyntax,
                                    _ globals: [Global]) -> String {
        let imm = operation.imm, address = hex(UInt64(bitPattern: operation.imm))
        switch operation.opcode {
        case .constant: return number(imm)
        case .get: return global(imm, globals)
        case .set: return "\(global(imm, globals)), \(value(operation.a))"
        case .instruction: return address
        case .exitIf: return "\(value(operation.a)), \(value(operation.b)) -> \(address)"
        case .exitIfFlags: return "\(value(operation.a)) -> \(address)"
        case .raiseIf: return "\(value(operation.a)), \(value(operation.b)) -> \(imm)"
        case .flagsOf, .vector:
            var operands = [operation.a, operation.b, operation.c]
            while operands.last == ValueID.none { operands.removeLast() }
            return operands.map(value).joined(separator: ", ")
        case .jump: return operation.c == .none ? address : "\(address), \(value(operation.c))"
        case .jumpIndirect:
            return operation.c == .none ? value(operation.a) : "\(value(operation.a)), \(value(operation.c))"
        case .raise: return "\(operation.aux), \(address)"
        case .call:
            var arguments = [operation.a, operation.b, operation.c]
            while arguments.last == ValueID.none { arguments.removeLast() }
            return "\(imm)(\(arguments.map(value).joined(separator: ", ")))"
        default: break
        }
        var operands = [operation.a, operation.b, operation.c].prefix(syntax.operands).map(value)
        if syntax.isMemory {
            let displacement = syntax.immediate == .displacement ? imm : 0
            operands[0] = if displacement == 0 { "[\(operands[0])]" } else {
                "[\(operands[0]) \(displacement < 0 ? "-" : "+") \(magnitude(displacement.magnitude))]"
            }
        }
        return operands.joined(separator: ", ")
    }

    private static func value(_ id: ValueID) -> String { id == .none ? "_" : "%\(id)" }

    private static func global(_ index: Int64, _ globals: [Global]) -> String {
        index >= 0 && index < globals.count ? globals[Int(index)].name : "?\(index)"
    }

    private static func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
    private static func magnitude(_ value: UInt64) -> String { value < 0x1_0000 ? String(value) : hex(value) }
    private static func number(_ value: Int64) -> String { (value < 0 ? "-" : "") + magnitude(value.magnitude) }
}
