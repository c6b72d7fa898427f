// The rules a unit must obey before anything executes or compiles it. A broken rule is a bug of the front or of a
// pass, never the guest's doing.

/// A broken rule.
public struct VerifierProblem: Error, Equatable, CustomStringConvertible {
    /// Position of the operation, or the unit's count for a rule about its end.
    public let index: Int
    public let message: String
    public var description: String { "Operation \(index): \(message)" }
}

/// Checks units.
public struct Verifier {
    private let unit: Unit
    private let globals: [Global]
    private let helperCount: Int?
    private let optimised: Bool
    private var problems: [VerifierProblem] = []
    private var index = 0
    /// Where the current block of a region begins.
    private var blockStart = 0

    /// Everything wrong with a unit; empty for a good one.
    /// - Parameters:
    ///   - helperCount: size of the front's helper table, if known.
    ///   - execution: also report types that no executor implements.
    ///   - optimised: the unit has been through `DeadCode` with pinned registers, which may keep a value in a register
    ///     that is overwritten before anyone looks: there the value may be narrower than the register.
    public static func problems(in unit: Unit, globals: [Global], helperCount: Int? = nil, execution: Bool = true,
                                optimised: Bool = false) -> [VerifierProblem] {
        var verifier = Verifier(unit: unit, globals: globals, helperCount: helperCount, optimised: optimised)
        verifier.check(execution: execution)
        return verifier.problems
    }

    private init(unit: Unit, globals: [Global], helperCount: Int?, optimised: Bool) {
        self.unit = unit
        self.optimised = optimised
        self.globals = globals
        self.helperCount = helperCount
    }

    private mutating func report(_ message: String) { problems.append(VerifierProblem(index: index, message: message)) }
    private mutating func require(_ rule: Bool, _ message: @autoclosure () -> String) { if !rule { report(message()) } }

    private mutating func check(execution: Bool) {
        require(unit.rounding != .dynamic, "The unit's own rounding must not be dynamic")
        while index < unit.count {
            let operation = unit.instructions[index]
            if operation.opcode != .dead {
                let before = problems.count
                checkFields(operation, OperationSyntax(operation.opcode))
                if problems.count == before { checkTypes(operation) }
                if execution && !Self.isExecutable(operation.type) {
                    report("\(operation.type) values cannot be executed")
                }
                let last = index == unit.count - 1
                require(last || !operation.opcode.isTerminator || isBlock(after: index),
                        "\(operation.opcode) must be the last operation of the unit or a block")
                if operation.opcode == .block { checkBlock() }
            }
            index += 1
        }
        require(unit.count > 0 && unit.instructions[unit.count - 1].opcode.isTerminator,
                "The unit must end in jump, jumpIndirect or raise")
    }

    private func isBlock(after index: Int) -> Bool {
        var next = index + 1
        while next < unit.count, unit.instructions[next].opcode == .dead { next += 1 }
        return next < unit.count && unit.instructions[next].opcode == .block
    }

    /// A block starts the unit or follows a terminator, and is in the unit's list.
    private mutating func checkBlock() {
        let address = UInt64(bitPattern: unit.instructions[index].imm)
        require(unit.blocks.contains { $0.address == address && $0.index == index }, "The block is not in the unit's list")
        var before = index - 1
        while before >= 0, unit.instructions[before].opcode == .dead { before -= 1 }
        require(before < 0 || unit.instructions[before].opcode.isTerminator, "The operation before a block must end one")
        require(before >= 0 || address == unit.start, "The first block must be the unit's start")
        blockStart = index
    }

    private static func isExecutable(_ type: ValueType) -> Bool {
        switch type {
        case .i128, .v256: false
        default: true
        }
    }

    // MARK: fields

    /// Operands exist, aux and imm are in range, fields without meaning are empty.
    private mutating func checkFields(_ operation: Instruction, _ syntax: OperationSyntax) {
        let isLink = operation.opcode == .jump || operation.opcode == .jumpIndirect
        for (position, id) in [operation.a, operation.b, operation.c].enumerated() {
            let required = position < syntax.operands
                || isLink && position == 2 && operation.aux == JumpKind.call.rawValue
            let name = ["a", "b", "c"][position]
            if id == .none {
                require(!required, "Operand \(name) of \(operation.opcode) is missing")
                continue
            }
            guard required || position < syntax.operands + syntax.optionalOperands else {
                report("\(operation.opcode) has no operand \(name)")
                continue
            }
            guard id < index else {
                report("%\(id) is used before it is defined")
                continue
            }
            require(Int(id) >= blockStart, "%\(id) belongs to another block")
            let definition = unit.instructions[Int(id)].opcode
            require(OperationSyntax(definition).hasResult, "%\(id) is \(definition), which has no value")
        }
        checkAuxiliary(operation, syntax)
        checkImmediate(operation, syntax)
    }

    private mutating func checkAuxiliary(_ operation: Instruction, _ syntax: OperationSyntax) {
        let aux = operation.aux
        let valid: Bool = switch syntax.auxiliary {
        case .none: aux == 0
        case .condition: Condition(rawValue: aux) != nil
        case .floatCondition: FloatCondition(rawValue: aux) != nil
        case .rounding, .idleRounding: Rounding(rawValue: aux) != nil
        case .memory: aux & 0xC0 == 0 && MemoryFormat(rawValue: aux).sizeLog2 <= 4
        case .fence: aux & ~(FenceKind.storeLoad.rawValue | FenceKind.compiler.rawValue) == 0
        case .jumpKind: JumpKind(rawValue: aux) != nil
        case .exitCode, .immediateByte: true
        case .flagCondition: FlagCondition(rawValue: aux) != nil
        case .flagOperation: FlagOperation(rawValue: aux) != nil
        }
        require(valid, "aux of \(operation.opcode) is \(aux)")
    }

    private mutating func checkImmediate(_ operation: Instruction, _ syntax: OperationSyntax) {
        let imm = operation.imm
        let valid: Bool = switch syntax.immediate {
        case .none: imm == 0
        case .constant: Builder.canonical(imm, operation.type) == imm
        case .global: imm >= 0 && imm < globals.count
        case .displacement, .address: true
        case .atomicOperation: imm >= 0 && imm < AtomicOperation.allCases.count
        case .signs: imm & ~3 == 0
        case .exitCode: imm >= 0 && imm < 256
        case .bit: imm >= 0 && imm < 64
        case .vectorOperation: VectorOperation(rawValue: UInt16(truncatingIfNeeded: imm)) != nil && imm >= 0 && imm < 65536
        case .helper: imm >= 0 && imm < Int64(helperCount ?? .max)
        }
        require(valid, "imm of \(operation.opcode).\(operation.type) is \(imm)")
    }

    // MARK: types

    private func type(_ id: ValueID) -> ValueType { unit.instructions[Int(id)].type }

    private static func isInteger(_ type: ValueType) -> Bool {
        switch type {
        case .i8, .i16, .i32, .i64, .i128: true
        default: false
        }
    }

    private mutating func checkTypes(_ operation: Instruction) {
        let result = operation.type
        switch operation.opcode {
        case .dead: break
        case .constant:
            require(Self.isInteger(result) || result == .i1 || result.isFloat, "\(result) has no constants")
        case .get: require(result == globals[Int(operation.imm)].type, "get of a register of another type")
        case .set:
            let type = globals[Int(operation.imm)].type
            let value = self.type(operation.a)
            let narrower = optimised && Self.isInteger(value) && Self.isInteger(type) && value.bits < type.bits
            require(result == type && (value == type || narrower), "set of a register of type \(type)")
        case .and, .or, .xor, .andNot:
            require(Self.isInteger(result) || result == .i1, "\(operation.opcode).\(result)")
            same(operation.a, result)
            same(operation.b, result)
        case .add, .sub, .shiftLeft, .shiftRightUnsigned, .shiftRightSigned, .rotateLeft, .rotateRight, .multiply,
             .multiplyHighSigned, .multiplyHighUnsigned, .multiplyHighSignedUnsigned, .divideSigned, .divideUnsigned,
             .remainderSigned, .remainderUnsigned:
            require(Self.isInteger(result), "\(operation.opcode).\(result)")
            same(operation.a, result)
            same(operation.b, result)
        case .not, .negate, .countLeadingZeros, .countTrailingZeros, .populationCount, .byteSwap:
            require(Self.isInteger(result), "\(operation.opcode).\(result)")
            same(operation.a, result)
        case .signExtend, .zeroExtend, .truncate: checkResize(operation)
        case .deposit:
            let narrow = type(operation.b)
            require(Self.isInteger(result) && Self.isInteger(narrow) && Int(operation.imm) + narrow.bits <= result.bits,
                    "deposit of \(narrow) into \(result)")
            same(operation.a, result)
        case .flagsOf:
            let operand = type(operation.a)
            require(Self.isInteger(operand) && result == .flags, "flagsOf \(operand)")
            if operation.b != .none { same(operation.b, operand) }
            if operation.c != .none { same(operation.c, .flags) }
        case .testFlags, .flagsToBits, .exitIfFlags: same(operation.a, .flags)
        case .bitsToFlags: same(operation.a, .i64)
        case .setCarry:
            same(operation.a, .i1)
            same(operation.b, .flags)
        case .addWithCarry, .subtractWithBorrow, .rotateCarryLeft, .rotateCarryRight:
            require(Self.isInteger(result), "\(operation.opcode).\(result)")
            same(operation.a, result)
            same(operation.b, result)
            same(operation.c, .flags)
        case .vector: checkVector(operation)
        case .vectorFromInteger:
            let source = type(operation.a)
            require(source == .i32 || source == .i64, "vectorFromInteger of \(source)")
        case .vectorToInteger:
            same(operation.a, .v128)
            require(result == .i32 || result == .i64, "vectorToInteger.\(result)")
        case .raiseIf:
            let left = type(operation.a)
            require(Self.isInteger(left) || left == .i1, "raiseIf of \(left)")
            same(operation.b, left)
            require(result == left, "raiseIf.\(result)")
        case .compare, .exitIf:
            let left = type(operation.a)
            require(Self.isInteger(left) || left == .i1, "\(operation.opcode) of \(left)")
            same(operation.b, left)
            require(result == (operation.opcode == .compare ? .i1 : left), "\(operation.opcode).\(result)")
        case .select:
            require(result != .void && result != .flags, "select.\(result)")
            same(operation.a, .i1)
            same(operation.b, result)
            same(operation.c, result)
        case .load, .store, .loadReserved, .storeConditional, .atomic, .compareExchange: checkMemory(operation)
        case .fence, .instruction, .block, .raise: require(result == .void, "\(operation.opcode).\(result)")
        case .jump, .jumpIndirect:
            require(result == .void, "\(operation.opcode).\(result)")
            if operation.opcode == .jumpIndirect { same(operation.a, .i64) }
            guard operation.c != .none else { break }
            same(operation.c, .i64)
            let link = unit.instructions[Int(operation.c)].opcode
            require(link == .constant, "The return address must be a constant")
        case .call:
            require(result == .i64, "call.\(result)")
            for argument in [operation.a, operation.b, operation.c] where argument != .none { same(argument, .i64) }
        case .readFloatFlags: require(result == .i64, "readFloatFlags.\(result)")
        case .writeFloatFlags:
            require(result == .void, "writeFloatFlags.\(result)")
            same(operation.a, .i64)
        default: checkFloat(operation)
        }
    }

    private mutating func checkVector(_ operation: Instruction) {
        guard let vector = VectorOperation(rawValue: UInt16(truncatingIfNeeded: operation.imm)) else { return }
        let signature = vector.signature
        require(operation.type == signature.result, "\(vector) yields \(signature.result)")
        require(signature.hasImmediate || operation.aux == 0, "\(vector) has no immediate byte")
        for (operand, type) in [(operation.a, signature.a), (operation.b, signature.b), (operation.c, signature.c)] {
            if type == .void {
                require(operand == .none, "\(vector) has an operand too many")
            } else if operand == .none {
                report("\(vector) lacks an operand")
            } else {
                same(operand, type)
            }
        }
    }

    private mutating func same(_ operand: ValueID, _ expected: ValueType) {
        let found = type(operand)
        require(found == expected, "%\(operand) is \(found), expected \(expected)")
    }

    private mutating func checkResize(_ operation: Instruction) {
        let from = type(operation.a), to = operation.type
        let valid = switch operation.opcode {
        case .signExtend: Self.isInteger(from) && Self.isInteger(to) && from.bits < to.bits
        case .zeroExtend: (Self.isInteger(from) || from == .i1) && Self.isInteger(to) && from.bits < to.bits
        default: Self.isInteger(from) && Self.isInteger(to) && from.bits > to.bits
        }
        require(valid, "\(operation.opcode) from \(from) to \(to)")
    }

    private mutating func checkMemory(_ operation: Instruction) {
        let format = MemoryFormat(rawValue: operation.aux), bits = 8 << format.sizeLog2
        same(operation.a, .i64)
        let result = operation.type
        switch operation.opcode {
        case .load:
            let valid = result.isFloat ? bits == result.bits : result == .v128 ? bits >= 32
                : Self.isInteger(result) && bits <= result.bits
            require(valid, "load of \(bits) bits as \(result)")
        case .store:
            same(operation.b, result)
            let valid = Self.isInteger(result) || result.isFloat || result == .v128
            require(valid && bits <= result.bits, "store of \(bits) bits from \(result)")
        default:
            require(Self.isInteger(result) && (bits <= result.bits || operation.opcode == .storeConditional),
                    "\(operation.opcode) of \(bits) bits as \(result)")
            for operand in [operation.b, operation.c] where operand != .none {
                let found = type(operand)
                require(Self.isInteger(found) && bits <= found.bits,
                        "\(operation.opcode) of \(bits) bits with an operand of \(found)")
            }
        }
    }

    private mutating func checkFloat(_ operation: Instruction) {
        let result = operation.type, source = type(operation.a)
        switch operation.opcode {
        case .floatCompare:
            require(source.isFloat, "floatCompare of \(source)")
            same(operation.b, source)
            require(result == .i1, "floatCompare.\(result)")
        case .floatClassify: require(source.isFloat && result == .i64, "floatClassify from \(source) to \(result)")
        case .floatToSigned, .floatToUnsigned:
            require(source.isFloat && (result == .i32 || result == .i64),
                    "\(operation.opcode) from \(source) to \(result)")
        case .signedToFloat, .unsignedToFloat:
            require((source == .i32 || source == .i64) && result.isFloat,
                    "\(operation.opcode) from \(source) to \(result)")
        case .floatToFloat, .nanBox, .nanUnbox:
            let valid = switch operation.opcode {
            case .nanBox: source == .f32 && result == .f64
            case .nanUnbox: source == .f64 && result == .f32
            default: source.isFloat && result.isFloat && source != result
            }
            require(valid, "\(operation.opcode) from \(source) to \(result)")
        case .bitcast:
            require(source.isFloat != result.isFloat && source.bits == result.bits
                && (Self.isInteger(source) || Self.isInteger(result)), "bitcast from \(source) to \(result)")
        default:
            require(result.isFloat, "\(operation.opcode).\(result)")
            for operand in [operation.a, operation.b, operation.c] where operand != .none { same(operand, result) }
        }
    }
}
