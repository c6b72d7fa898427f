// What each operation is made of: which fields of an `Instruction` mean something and how they are written. One table
// for the printer, the parser and the verifier.
//
// A line of text is  [%value =] opcode[.suffix…][.type] operands  where a suffix spells `aux` or the part of `imm`
// that is not an operand:
//
//     %4 = add.i64 %2, %3                      set a0, %4
//     %5 = load.s32.i64 [%2 + 8]               store.u64.aligned.i64 [%2 - 16], %5
//     %6 = atomic.add.u32.i64 [%2], %5         %7 = floatAdd.dyn.f64 %1, %3
//     exitIf.ltu.i64 %1, %2 -> 0x10040         jump.call 0x10080, %8
//     %9 = call 3(%1, %2)                      raise 3, 0x10044
//
// A value's number is the position of its operation in the unit.

/// The fields of an operation and the way they are written.
struct OperationSyntax {
    /// What `aux` holds.
    enum Auxiliary {
        case none, condition, floatCondition, rounding, flagCondition, flagOperation, immediateByte
        /// The field is not looked at, but builders leave a rounding in it; written when not zero.
        case idleRounding
        case memory, fence, jumpKind, exitCode
    }

    /// What `imm` holds.
    enum Immediate {
        case none, constant, global, displacement, atomicOperation, signs, address, helper, bit, exitCode, vectorOperation
    }

    /// Where the operation's type comes from.
    enum TypeSource {
        case written, global
        case fixed(ValueType)
    }

    var operands: Int
    var optionalOperands = 0
    var auxiliary = Auxiliary.none
    var immediate = Immediate.none
    var type = TypeSource.written
    var hasResult = true
    /// The first operand is an address, written in brackets.
    var isMemory = false

    /// The syntax of an opcode.
    init(_ opcode: Opcode) {
        operands = 0
        switch opcode {
        case .dead: self.effect(0)
        case .constant: immediate = .constant
        case .get:
            immediate = .global
            type = .global
        case .set:
            effect(1)
            immediate = .global
            type = .global
        case .add, .sub, .and, .or, .xor, .andNot, .shiftLeft, .shiftRightUnsigned, .shiftRightSigned, .rotateLeft,
             .rotateRight, .multiply, .multiplyHighSigned, .multiplyHighUnsigned, .multiplyHighSignedUnsigned,
             .divideSigned, .divideUnsigned, .remainderSigned, .remainderUnsigned: operands = 2
        case .not, .negate, .countLeadingZeros, .countTrailingZeros, .populationCount, .byteSwap, .signExtend,
             .zeroExtend, .truncate: operands = 1
        case .compare:
            operands = 2
            auxiliary = .condition
            type = .fixed(.i1)
        case .select: operands = 3
        case .load:
            memory(1)
            immediate = .displacement
        case .store:
            memory(2)
            immediate = .displacement
            hasResult = false
        case .loadReserved: memory(1)
        case .storeConditional: memory(2)
        case .atomic:
            memory(2)
            immediate = .atomicOperation
        case .compareExchange: memory(3)
        case .fence:
            effect(0)
            auxiliary = .fence
        case .floatAdd, .floatSubtract, .floatMultiply, .floatDivide: rounded(2)
        case .floatSquareRoot, .floatToSigned, .floatToUnsigned, .signedToFloat, .unsignedToFloat, .floatToFloat:
            rounded(1)
        case .floatMultiplyAdd:
            rounded(3)
            immediate = .signs
        case .floatMinimum, .floatMaximum, .copySign, .copySignNegated, .xorSign: idle(2)
        case .floatClassify, .floatNegate, .floatAbsolute, .bitcast, .nanBox, .nanUnbox: idle(1)
        case .readFloatFlags: type = .fixed(.i64)
        case .writeFloatFlags: effect(1)
        case .floatCompare:
            operands = 2
            auxiliary = .floatCondition
            type = .fixed(.i1)
        case .instruction, .block:
            effect(0)
            immediate = .address
        case .exitIf:
            effect(2)
            auxiliary = .condition
            immediate = .address
            type = .written
        case .jump:
            effect(0)
            auxiliary = .jumpKind
            immediate = .address
        case .jumpIndirect:
            effect(1)
            auxiliary = .jumpKind
        case .raise:
            effect(0)
            auxiliary = .exitCode
            immediate = .address
        case .deposit:
            operands = 2
            immediate = .bit
        case .flagsOf:
            operands = 1
            optionalOperands = 2
            auxiliary = .flagOperation
            type = .fixed(.flags)
        case .testFlags:
            operands = 1
            auxiliary = .flagCondition
            type = .fixed(.i1)
        case .flagsToBits:
            operands = 1
            type = .fixed(.i64)
        case .bitsToFlags:
            operands = 1
            type = .fixed(.flags)
        case .setCarry:
            operands = 2
            type = .fixed(.flags)
        case .addWithCarry, .subtractWithBorrow, .rotateCarryLeft, .rotateCarryRight: operands = 3
        case .exitIfFlags:
            effect(1)
            auxiliary = .flagCondition
            immediate = .address
            type = .fixed(.flags)
        case .raiseIf:
            effect(2)
            auxiliary = .condition
            immediate = .exitCode
            type = .written
        case .vector:
            optionalOperands = 3
            auxiliary = .immediateByte
            immediate = .vectorOperation
        case .vectorFromInteger:
            operands = 1
            type = .fixed(.v128)
        case .vectorToInteger: operands = 1
        case .call:
            optionalOperands = 3
            immediate = .helper
            type = .fixed(.i64)
        }
    }

    private mutating func effect(_ count: Int) {
        operands = count
        hasResult = false
        type = .fixed(.void)
    }

    private mutating func memory(_ count: Int) {
        operands = count
        isMemory = true
        auxiliary = .memory
    }

    private mutating func rounded(_ count: Int) {
        operands = count
        auxiliary = .rounding
    }

    private mutating func idle(_ count: Int) {
        operands = count
        auxiliary = .idleRounding
    }
}

/// The words of the text form.
enum Vocabulary {
    static let opcodes: [String: Opcode] = byName(Opcode.allCases)
    static let types: [String: ValueType] = byName(ValueType.allCases)
    static let atomics: [String: AtomicOperation] = byName(AtomicOperation.allCases)
    static let jumpKinds: [String: JumpKind] = byName(JumpKind.allCases)
    static let conditions: [(Condition, String)] = [
        (.equal, "eq"), (.notEqual, "ne"), (.lessSigned, "lt"), (.greaterOrEqualSigned, "ge"), (.lessUnsigned, "ltu"),
        (.greaterOrEqualUnsigned, "geu"),
    ]
    static let flagConditions: [(FlagCondition, String)] = [
        (.overflow, "o"), (.notOverflow, "no"), (.carry, "c"), (.notCarry, "nc"), (.zero, "z"), (.notZero, "nz"),
        (.carryOrZero, "be"), (.notCarryOrZero, "a"), (.sign, "s"), (.notSign, "ns"), (.parity, "p"), (.notParity, "np"),
        (.less, "l"), (.notLess, "nl"), (.lessOrEqual, "le"), (.notLessOrEqual, "nle"),
    ]
    static let flagOperations: [String: FlagOperation] = byName(FlagOperation.allCases)
    static let vectorOperations: [String: VectorOperation] = byName(VectorOperation.allCases)
    static let floatConditions: [(FloatCondition, String)] = [(.equal, "eq"), (.less, "lt"), (.lessOrEqual, "le")]
    static let roundings: [(Rounding, String)] = [
        (.nearestEven, "rne"), (.towardZero, "rtz"), (.down, "rdn"), (.up, "rup"), (.nearestMaxMagnitude, "rmm"),
        (.dynamic, "dyn"),
    ]
    static let bigEndian = "be"
    static let aligned = "aligned"
    static let negateProduct = "negateProduct"
    static let negateAddend = "negateAddend"
    static let fences: [(FenceKind, String)] = [(.storeLoad, "storeLoad"), (.compiler, "compiler")]

    /// The word of a raw value, or nil when no case has it.
    static func word<T: RawRepresentable>(_ table: [(T, String)], _ raw: UInt8) -> String? where T.RawValue == UInt8 {
        table.first { $0.0.rawValue == raw }?.1
    }

    /// The raw value of a word.
    static func raw<T: RawRepresentable>(_ table: [(T, String)], _ word: String) -> UInt8? where T.RawValue == UInt8 {
        table.first { $0.1 == word }?.0.rawValue
    }

    private static func byName<T>(_ cases: [T]) -> [String: T] {
        Dictionary(cases.map { ("\($0)", $0) }, uniquingKeysWith: { first, _ in first })
    }
}
