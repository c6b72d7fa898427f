// Text to units: the inverse of the printer. Any text gives a unit or an error with a line number, never a trap.
//
// Beyond what the printer writes, `#` starts a comment, blank lines are skipped, and a value may have any name of
// letters, digits and underscores: tests write what is easiest to read. Whether the unit makes sense is the
// verifier's question.

/// Why a text is not a unit.
public struct ParseError: Error, Equatable, CustomStringConvertible {
    /// Counted from one.
    public let line: Int
    public let message: String
    public var description: String { "Line \(line): \(message)" }
}

/// Reads units from text.
public struct Parser {
    private let globals: [String: Int]
    private let globalTypes: [ValueType]
    private let unit: Unit
    private var values: [String: ValueID] = [:]
    private var scanner = Scanner("")
    private var lineNumber = 0

    /// Replaces the content of `unit` by what the text says.
    /// - Throws: `ParseError`; the unit then holds the lines before the error.
    public static func parse(_ text: String, globals: [Global], into unit: Unit) throws(ParseError) {
        var parser = Parser(globals: globals, unit: unit)
        try parser.parse(text)
    }

    private init(globals: [Global], unit: Unit) {
        self.globals = Dictionary(globals.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
        globalTypes = globals.map(\.type)
        self.unit = unit
    }

    private func error(_ message: String) -> ParseError { ParseError(line: lineNumber, message: message) }

    private mutating func parse(_ text: String) throws(ParseError) {
        var sawHeader = false
        unit.reset(start: 0, mode: 0, rounding: .nearestEven)
        for line in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            lineNumber += 1
            scanner = Scanner(Substring(line.prefix { $0 != UInt8(ascii: "#") }))
            if scanner.isAtEnd { continue }
            if sawHeader {
                let parsed = try operation()
                if parsed.opcode == .block {
                    unit.appendBlock(UInt64(bitPattern: parsed.imm))
                } else {
                    unit.append(parsed)
                }
            } else {
                try header()
                sawHeader = true
            }
            guard scanner.isAtEnd else { throw error("Unexpected text after the operation: \(scanner.rest)") }
        }
        guard sawHeader else { throw error("No unit header") }
    }

    // MARK: header

    private mutating func header() throws(ParseError) {
        guard scanner.word() == "unit" else { throw error("Expected a unit header") }
        let start = try address("Expected the unit's start address")
        var mode: UInt32 = 0, rounding = Rounding.nearestEven, bytes = 0, count = 0
        while let key = scanner.word() {
            switch key {
            case "rounding":
                guard let word = scanner.word(), let raw = Vocabulary.raw(Vocabulary.roundings, word),
                      let named = Rounding(rawValue: raw) else { throw error("Expected a rounding") }
                rounding = named
            case "mode":
                guard let value = UInt32(exactly: try address("Expected the mode word")) else {
                    throw error("The mode word has more than 32 bits")
                }
                mode = value
            case "bytes": bytes = try size()
            case "instructions": count = try size()
            default: throw error("Unknown header field \(key)")
            }
        }
        unit.reset(start: start, mode: mode, rounding: rounding)
        unit.byteLength = bytes
        unit.guestInstructionCount = count
    }

    private mutating func size() throws(ParseError) -> Int {
        guard let value = Int(exactly: try address("Expected a count")) else { throw error("The count is too large") }
        return value
    }

    // MARK: operations

    private mutating func operation() throws(ParseError) -> Instruction {
        var label: String?
        if scanner.peek == UInt8(ascii: "%") {
            label = try valueName()
            try expect("=")
        }
        guard let head = scanner.dottedWord() else { throw error("Expected an operation") }
        var words = head.split(separator: ".", omittingEmptySubsequences: false).map(String.init)[...]
        let name = words.removeFirst()
        guard let opcode = Vocabulary.opcodes[name] else { throw error("Unknown operation \(name)") }
        let syntax = OperationSyntax(opcode)
        guard syntax.hasResult == (label != nil) else {
            throw error(syntax.hasResult ? "\(name) has a result and needs a name for it" : "\(name) has no result")
        }
        var instruction = Instruction(opcode, .void)
        try suffixes(&words, syntax, &instruction)
        guard words.isEmpty else { throw error("Unknown suffix \(words.joined(separator: ".")) of \(name)") }
        try operands(syntax, &instruction)
        if let label {
            guard values.updateValue(ValueID(truncatingIfNeeded: unit.count), forKey: label) == nil else {
                throw error("%\(label) is defined twice")
            }
        }
        return instruction
    }

    private func suffixes(_ words: inout ArraySlice<String>, _ syntax: OperationSyntax,
                          _ instruction: inout Instruction) throws(ParseError) {
        func take(_ word: String) -> Bool {
            guard words.first == word else { return false }
            words.removeFirst()
            return true
        }
        switch syntax.immediate {
        case .atomicOperation:
            guard let word = words.popFirst(), let operation = Vocabulary.atomics[word] else {
                throw error("Expected a read-modify-write operation")
            }
            instruction.imm = Int64(operation.rawValue)
        case .signs:
            if take(Vocabulary.negateProduct) { instruction.imm |= 1 }
            if take(Vocabulary.negateAddend) { instruction.imm |= 2 }
        case .bit:
            if let word = words.first, word.hasPrefix("at"), let bit = Int64(word.dropFirst(2)) {
                instruction.imm = bit
                words.removeFirst()
            }
        case .vectorOperation:
            guard let word = words.popFirst(), let operation = Vocabulary.vectorOperations[word] else {
                throw error("Expected a vector operation")
            }
            instruction.imm = Int64(operation.rawValue)
        default: break
        }
        func choose<T: RawRepresentable>(_ table: [(T, String)], _ what: String) throws(ParseError) -> UInt8
        where T.RawValue == UInt8 {
            guard let word = words.popFirst(), let raw = Vocabulary.raw(table, word) else {
                throw error("Expected \(what)")
            }
            return raw
        }
        switch syntax.auxiliary {
        case .none, .exitCode: break
        case .condition: instruction.aux = try choose(Vocabulary.conditions, "a condition")
        case .flagCondition: instruction.aux = try choose(Vocabulary.flagConditions, "a condition")
        case .flagOperation:
            guard let word = words.popFirst(), let operation = Vocabulary.flagOperations[word] else {
                throw error("Expected an operation that leaves flags")
            }
            instruction.aux = operation.rawValue
        case .immediateByte:
            if let word = words.first, word.hasPrefix("imm"), let byte = UInt8(word.dropFirst(3)) {
                instruction.aux = byte
                words.removeFirst()
            }
        case .floatCondition: instruction.aux = try choose(Vocabulary.floatConditions, "a condition")
        case .rounding: instruction.aux = try choose(Vocabulary.roundings, "a rounding")
        case .idleRounding:
            if let word = words.first, let raw = Vocabulary.raw(Vocabulary.roundings, word) {
                instruction.aux = raw
                words.removeFirst()
            }
        case .memory:
            guard let shape = words.popFirst(), let sign = shape.first, sign == "s" || sign == "u",
                  let sizeLog2 = [8, 16, 32, 64, 128].firstIndex(where: { String($0) == shape.dropFirst() }) else {
                throw error("Expected a memory format such as u32 or s16")
            }
            instruction.aux = MemoryFormat(sizeLog2: sizeLog2, signed: sign == "s",
                                           bigEndian: take(Vocabulary.bigEndian),
                                           aligned: take(Vocabulary.aligned)).rawValue
        case .fence: for (kind, word) in Vocabulary.fences where take(word) { instruction.aux |= kind.rawValue }
        case .jumpKind:
            if let word = words.first, let kind = Vocabulary.jumpKinds[word] {
                instruction.aux = kind.rawValue
                words.removeFirst()
            }
        }
        switch syntax.type {
        case .written:
            guard let word = words.popFirst(), let type = Vocabulary.types[word] else { throw error("Expected a type") }
            instruction.type = type
        case let .fixed(type): instruction.type = type
        case .global: break
        }
    }

    private mutating func operands(_ syntax: OperationSyntax, _ instruction: inout Instruction) throws(ParseError) {
        switch instruction.opcode {
        case .constant: instruction.imm = try number()
        case .get: try global(&instruction)
        case .set:
            try global(&instruction)
            try expect(",")
            instruction.a = try value()
        case .instruction: instruction.imm = Int64(bitPattern: try address("Expected a guest address"))
        case .exitIf:
            instruction.a = try value()
            try expect(",")
            instruction.b = try value()
            try expect("->")
            instruction.imm = Int64(bitPattern: try address("Expected a guest address"))
        case .exitIfFlags:
            instruction.a = try value()
            try expect("->")
            instruction.imm = Int64(bitPattern: try address("Expected a guest address"))
        case .raiseIf:
            instruction.a = try value()
            try expect(",")
            instruction.b = try value()
            try expect("->")
            instruction.imm = Int64(bitPattern: try address("Expected an exit code"))
        case .flagsOf, .vector:
            guard scanner.peek == UInt8(ascii: "%") else { break }
            instruction.a = try value()
            if scanner.accept(",") { instruction.b = try optionalValue() }
            if scanner.accept(",") { instruction.c = try optionalValue() }
        case .jump, .jumpIndirect:
            if instruction.opcode == .jump {
                instruction.imm = Int64(bitPattern: try address("Expected a guest address"))
            } else {
                instruction.a = try value()
            }
            if scanner.accept(",") { instruction.c = try value() }
        case .raise:
            guard let code = UInt8(exactly: try address("Expected an exit code")) else {
                throw error("The exit code has more than 8 bits")
            }
            instruction.aux = code
            try expect(",")
            instruction.imm = Int64(bitPattern: try address("Expected a guest address"))
        case .call:
            instruction.imm = try number()
            try expect("(")
            if scanner.accept(")") { break }
            instruction.a = try optionalValue()
            if scanner.accept(",") { instruction.b = try optionalValue() }
            if scanner.accept(",") { instruction.c = try optionalValue() }
            try expect(")")
        default: try plainOperands(syntax, &instruction)
        }
    }

    private mutating func plainOperands(_ syntax: OperationSyntax,
                                        _ instruction: inout Instruction) throws(ParseError) {
        guard syntax.operands > 0 else { return }
        if syntax.isMemory {
            try expect("[")
            instruction.a = try value()
            if syntax.immediate == .displacement, !scanner.accept("]") {
                let negative = scanner.accept("-")
                if !negative { try expect("+") }
                let displacement = try address("Expected a displacement")
                instruction.imm = Int64(bitPattern: negative ? 0 &- displacement : displacement)
                try expect("]")
            } else if syntax.immediate != .displacement {
                try expect("]")
            }
        } else {
            instruction.a = try value()
        }
        if syntax.operands > 1 {
            try expect(",")
            instruction.b = try value()
        }
        if syntax.operands > 2 {
            try expect(",")
            instruction.c = try value()
        }
    }

    // MARK: pieces

    private mutating func expect(_ token: StaticString) throws(ParseError) {
        guard scanner.accept(token) else { throw error("Expected \(token)") }
    }

    private mutating func valueName() throws(ParseError) -> String {
        guard scanner.accept("%"), let name = scanner.word() else { throw error("Expected a value such as %1") }
        return name
    }

    private mutating func value() throws(ParseError) -> ValueID {
        let name = try valueName()
        guard let id = values[name] else { throw error("%\(name) is not defined before this line") }
        return id
    }

    private mutating func optionalValue() throws(ParseError) -> ValueID {
        scanner.accept("_") ? .none : try value()
    }

    private mutating func global(_ instruction: inout Instruction) throws(ParseError) {
        guard let name = scanner.word(), let index = globals[name] else {
            throw error("Expected the name of a register")
        }
        instruction.imm = Int64(index)
        instruction.type = globalTypes[index]
    }

    private mutating func address(_ expectation: String) throws(ParseError) -> UInt64 {
        guard let word = scanner.word() else { throw error(expectation) }
        let value = word.hasPrefix("0x") ? UInt64(word.dropFirst(2), radix: 16) : UInt64(word)
        guard let value else { throw error("\(word) is not a number of at most 64 bits") }
        return value
    }

    private mutating func number() throws(ParseError) -> Int64 {
        let negative = scanner.accept("-")
        let magnitude = try address("Expected a number")
        if negative {
            guard magnitude <= Int64.min.magnitude else { throw error("-\(magnitude) does not fit 64 bits") }
            return 0 &- Int64(bitPattern: magnitude)
        }
        return Int64(bitPattern: magnitude)
    }
}

/// Walks over the bytes of a line, skipping blanks before every token.
private struct Scanner {
    private var bytes: Substring.UTF8View

    init(_ text: Substring) { bytes = text.utf8 }

    /// The next byte that is not blank.
    var peek: UInt8? {
        mutating get {
            while let first = bytes.first, first == UInt8(ascii: " ") || first == UInt8(ascii: "\t")
                || first == UInt8(ascii: "\r") { bytes.removeFirst() }
            return bytes.first
        }
    }

    var isAtEnd: Bool { mutating get { peek == nil } }
    var rest: String { String(Substring(bytes)) }

    mutating func accept(_ token: StaticString) -> Bool {
        guard peek != nil else { return false }
        var remaining = bytes
        for index in 0..<token.utf8CodeUnitCount {
            guard remaining.first == token.utf8Start[index] else { return false }
            remaining.removeFirst()
        }
        bytes = remaining
        return true
    }

    /// Letters, digits and underscores.
    mutating func word() -> String? { run { Self.isWord($0) } }
    /// As `word`, and dots.
    mutating func dottedWord() -> String? { run { Self.isWord($0) || $0 == UInt8(ascii: ".") } }

    private mutating func run(_ belongs: (UInt8) -> Bool) -> String? {
        guard let first = peek, belongs(first) else { return nil }
        let text = Substring(bytes.prefix(while: belongs))
        bytes = bytes.dropFirst(text.utf8.count)
        return String(text)
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
             UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"): true
        default: false
        }
    }
}
