// Random units that every executor can run: eight integer and four float registers, memory operations around the
// address in x0 (always good) and x1 (just below a hole), every operation the code generator claims to do.

import IR
@testable import Translator

/// A small repeatable random source (splitmix64).
struct SplitMix {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(max(1, limit))) }
    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
    mutating func pick<T>(_ choices: [T]) -> T { choices[below(choices.count)] }
}

/// Makes random units.
struct UnitGenerator {
    private var random: SplitMix
    private let builder: Builder
    private var values: [ValueType: [ValueID]] = [:]
    private var pc: UInt64 = 0
    private let helperCount: Int

    static let baseRegister = 0
    static let holeRegister = 1
    /// Counts the rounds of a region down, so that all end.
    static let fuelRegister = TestGuest.integerCount - 1
    /// Addresses of a region's blocks, empty for a straight run; those behind which jumps backward may lead to.
    private var blocks: [UInt64] = []
    private var heads: [UInt64] = []

    /// Builds a unit of about `length` operations.
    static func build(_ builder: Builder, seed: UInt64, length: Int, helperCount: Int) {
        var generator = UnitGenerator(random: SplitMix(seed: seed), builder: builder, helperCount: helperCount)
        generator.build(length)
    }

    private init(random: SplitMix, builder: Builder, helperCount: Int) {
        self.random = random
        self.builder = builder
        self.helperCount = helperCount
    }

    /// Register contents worth having: edges, small numbers, noise.
    static func integer(_ random: inout SplitMix) -> UInt64 {
        switch random.below(4) {
        case 0: UInt64(bitPattern: random.pick(InterpreterIntegerTests.edges))
        case 1: random.next() & 0xFF
        case 2: random.next() >> UInt64(random.below(64))
        default: random.next()
        }
    }

    /// Doubles and boxed singles, with every special among them.
    static func float(_ random: inout SplitMix) -> UInt64 {
        switch random.below(5) {
        case 0: random.pick(InterpreterFloatTests.doubles).bitPattern
        case 1: 0xFFFF_FFFF_0000_0000 | UInt64(Float(random.pick(InterpreterFloatTests.doubles)).bitPattern)
        case 2: 0xFFFF_FFFF_0000_0000 | random.next()
        case 3: (Double(random.below(2000)) / 8 - 100).bitPattern
        default: random.next()
        }
    }

    /// Builds a region of two to five blocks with about `length` operations.
    static func buildRegion(_ builder: Builder, seed: UInt64, length: Int, helperCount: Int) {
        var generator = UnitGenerator(random: SplitMix(seed: seed), builder: builder, helperCount: helperCount)
        generator.buildRegion(length)
    }

    private mutating func buildRegion(_ length: Int) {
        builder.begin(start: Bench.start, mode: 0, rounding: random.pick(Rounding.allCases.filter { $0 != .dynamic }))
        let count = 2 + random.below(4)
        blocks = (0..<count).map { Bench.start + UInt64($0) * 0x80 }
        for (number, address) in blocks.enumerated() {
            pc = address
            values = [:]
            builder.block(address)
            builder.instruction(pc)
            let isHead = number == 0 || random.chance(60), isLate = random.chance(50)
            let isOwnHead = number > 0 && isHead && isLate
            if isHead && !isOwnHead {
                heads.append(address)
                burnFuel()
            }
            for _ in 0..<max(1, length / count) {
                if random.chance(25) { nextInstruction() }
                step()
            }
            nextInstruction()
            // A block that counts at its end only is led back to from behind that.
            if isOwnHead {
                burnFuel()
                heads.append(address)
            }
            finish()
            if isOwnHead { heads.removeLast() }
        }
    }

    private mutating func burnFuel() {
        let left = builder.sub(builder.get(Self.fuelRegister), builder.constant(1))
        builder.set(Self.fuelRegister, left)
        builder.exitIf(.lessSigned, left, builder.constant(0), target: 0x2000)
    }

    private mutating func build(_ length: Int) {
        pc = Bench.start
        builder.begin(start: pc, mode: 0, rounding: random.pick(Rounding.allCases.filter { $0 != .dynamic }))
        builder.instruction(pc)
        for _ in 0..<length {
            if random.chance(25) { nextInstruction() }
            step()
        }
        nextInstruction()
        finish()
    }

    private mutating func nextInstruction() {
        pc += random.chance(50) ? 2 : 4
        builder.instruction(pc)
    }

    // MARK: values

    @discardableResult
    private mutating func keep(_ value: ValueID) -> ValueID {
        values[builder.type(of: value), default: []].append(value)
        return value
    }

    /// A value of a type: a recent one, or a fresh one.
    private mutating func value(_ type: ValueType) -> ValueID {
        if let pool = values[type], random.chance(75) { return pool[pool.count - 1 - random.below(min(pool.count, 6))] }
        switch type {
        case .i64:
            if random.chance(30) { return builder.constant(Int64(bitPattern: Self.integer(&random))) }
            return keep(builder.get(random.below(TestGuest.integerCount)))
        case .f64: return keep(builder.get(TestGuest.f0 + random.below(TestGuest.floatCount)))
        case .f32: return keep(builder.nanUnbox(value(.f64)))
        case .i1: return keep(builder.compare(random.pick(Condition.allCases), value(.i64), value(.i64)))
        default:
            if random.chance(20) { return builder.constant(Int64(bitPattern: Self.integer(&random)), type) }
            return keep(builder.truncate(value(.i64), type))
        }
    }

    private mutating func word() -> ValueType { random.chance(60) ? .i64 : .i32 }
    private mutating func floatType() -> ValueType { random.chance(60) ? .f64 : .f32 }

    // MARK: operations

    private mutating func step() {
        if random.chance(25) { return conditionCodes() }
        switch random.below(100) {
        case 0..<18: setRegister()
        case 18..<42: keep(integer())
        case 42..<50: resize()
        case 50..<58: choose()
        case 58..<72: memory()
        case 72..<76: atomic()
        case 76..<95: keep(float())
        case 95..<97:
            let type = word()
            builder.exitIf(random.pick(Condition.allCases), value(type), value(type), target: target())
        case 97: builder.fence(random.chance(50) ? .storeLoad : .compiler)
        default:
            if helperCount > 0 {
                keep(builder.call(random.below(helperCount), value(.i64), random.chance(50) ? value(.i64) : .none))
            }
        }
    }

    /// A register that is not the base of memory accesses.
    private mutating func setRegister() {
        if random.chance(70) {
            builder.set(2 + random.below(TestGuest.integerCount - (blocks.isEmpty ? 2 : 3)), value(.i64))
        } else {
            builder.set(TestGuest.f0 + random.below(TestGuest.floatCount), value(.f64))
        }
    }

    private mutating func integer() -> ValueID {
        let type = random.chance(85) ? word() : random.pick([ValueType.i8, .i16])
        if random.chance(20) { return builder.unary(random.pick(InterpreterIntegerTests.unaries), value(type)) }
        let left = value(type)
        // Immediate forms have their own code.
        let right = random.chance(35) ? builder.constant(Int64(bitPattern: Self.integer(&random)), type) : value(type)
        return builder.binary(random.pick(InterpreterIntegerTests.binaries), left, right)
    }

    // MARK: condition codes

    private mutating func anyWidth() -> ValueType { random.pick([.i8, .i16, .i32, .i64]) }

    /// A value with its flags, flags alone, or something that looks at flags.
    private mutating func conditionCodes() {
        let before = builder.get(TestGuest.flags)
        let condition = random.pick(FlagCondition.allCases)
        switch random.below(14) {
        case 0..<6: keep(operationWithFlags(before, anyWidth()))
        case 6: keep(builder.testFlags(condition, before))
        case 7: builder.exitIf(condition, before, target: target())
        case 8:
            let type = word()
            keep(builder.select(builder.testFlags(condition, before), value(type), value(type)))
        case 9: keep(builder.flagsToBits(before))
        case 10: builder.set(TestGuest.flags, builder.bitsToFlags(value(.i64)))
        case 11: builder.set(TestGuest.flags, builder.setCarry(value(.i1), before: before))
        case 12:
            let narrow = random.pick([ValueType.i8, .i8, .i16])
            let bit = narrow == .i8 && random.chance(50) ? 8 : 0
            let register = 2 + random.below(TestGuest.integerCount - (blocks.isEmpty ? 2 : 3))
            builder.set(register, builder.deposit(builder.get(register), value(narrow), bit: bit))
        default:
            let type = anyWidth()
            builder.raiseIf(random.pick(Condition.allCases), value(type), value(type),
                            code: UInt8(ExitKind.exception(random.below(32)).rawValue))
        }
    }

    private mutating func operationWithFlags(_ before: ValueID, _ type: ValueType) -> ValueID {
        let a = value(type)
        var b = random.chance(35) ? builder.constant(Int64(bitPattern: Self.integer(&random)), type) : value(type)
        let operation = random.pick(FlagOperation.allCases)
        let mask: Int64 = type == .i64 ? 63 : 31
        let result: ValueID, flags: ValueID
        func unfolded(_ opcode: Opcode, _ a: ValueID, _ b: ValueID) -> ValueID {
            builder.unit.append(Instruction(opcode, type, a: a, b: b))
        }
        switch operation {
        case .add, .sub:
            result = unfolded(operation == .add ? .add : .sub, a, b)
            flags = builder.flags(operation, a, b)
        case .addCarry, .subtractBorrow:
            result = builder.withCarry(operation == .addCarry ? .addWithCarry : .subtractWithBorrow, a, b, before)
            flags = builder.flags(operation, a, b, before: before)
        case .logic:
            result = unfolded(random.pick([.and, .or, .xor]), a, b)
            flags = builder.flags(.logic, result)
        case .increment, .decrement:
            result = unfolded(operation == .increment ? .add : .sub, a, builder.constant(1, type))
            flags = builder.flags(operation, a, before: before)
        case .multiplySigned, .multiplyUnsigned:
            result = unfolded(.multiply, a, b)
            flags = builder.flags(operation, a, b, before: before)
        default:
            b = random.chance(40) ? builder.constant(Int64(random.below(Int(mask) + 1)), type)
                : builder.and(b, builder.constant(mask, type))
            let opcode: Opcode = switch operation {
            case .shiftLeft: .shiftLeft
            case .shiftRightUnsigned: .shiftRightUnsigned
            case .shiftRightSigned: .shiftRightSigned
            case .rotateLeft: .rotateLeft
            case .rotateRight: .rotateRight
            case .rotateCarryLeft: .rotateCarryLeft
            default: .rotateCarryRight
            }
            let throughCarry = operation == .rotateCarryLeft || operation == .rotateCarryRight
            result = throughCarry ? builder.withCarry(opcode, a, b, before) : unfolded(opcode, a, b)
            flags = builder.flags(operation, a, b, before: before)
        }
        if random.chance(80) { builder.set(TestGuest.flags, flags) }
        return result
    }

    private mutating func resize() {
        let narrow = random.pick([ValueType.i8, .i16, .i32]), wide: ValueType = narrow == .i32 ? .i64 : word()
        let source = value(narrow)
        keep(random.chance(50) ? builder.signExtend(source, wide) : builder.zeroExtend(source, wide))
    }

    private mutating func choose() {
        let type = word()
        switch random.below(4) {
        case 0: keep(builder.zeroExtend(value(.i1), type))
        case 1: keep(builder.binary(random.pick([.and, .or, .xor]), value(.i1), value(.i1)))
        default:
            let then = value(type), otherwise = value(type)
            let compared = random.chance(80) ? type : random.pick([ValueType.i8, .i16])
            let condition = random.chance(70)
                ? builder.compare(random.pick(Condition.allCases), value(compared), value(compared)) : value(.i1)
            keep(builder.select(condition, then, otherwise))
        }
    }

    // MARK: memory

    /// An address inside the scratch buffer; rarely one that may run into the hole.
    private mutating func address() -> ValueID {
        if random.chance(4) { return builder.get(Self.holeRegister) }
        let base = builder.get(Self.baseRegister)
        switch random.below(3) {
        case 0: return base
        case 1: return builder.add(base, builder.constant(Int64(random.below(16)) * 8))
        default: return builder.add(base, builder.and(value(.i64), builder.constant(0x3F8)))
        }
    }

    private mutating func displacement() -> Int64 {
        random.chance(60) ? Int64(random.below(32)) * 8 - 64 : Int64(random.below(200)) - 100
    }

    private mutating func memory() {
        let aligned = random.chance(10)
        switch random.below(6) {
        case 0:
            let type = floatType()
            let format = MemoryFormat(sizeLog2: type == .f64 ? 3 : 2, aligned: aligned)
            keep(builder.load(address(), displacement(), format, type))
        case 1:
            let type = floatType()
            let format = MemoryFormat(sizeLog2: type == .f64 && random.chance(70) ? 3 : 2, aligned: aligned)
            builder.store(address(), displacement(), value(type), format)
        case 2, 3:
            let type = word()
            let size = random.below(type == .i64 ? 4 : 3)
            let format = MemoryFormat(sizeLog2: size, signed: random.chance(50), aligned: aligned)
            keep(builder.load(address(), displacement(), format, type))
        default:
            let type = random.pick([ValueType.i64, .i64, .i32, .i16, .i8])
            let size = random.below(type.bits.trailingZeroBitCount - 2)
            builder.store(address(), displacement(), value(type), MemoryFormat(sizeLog2: size, aligned: aligned))
        }
    }

    private mutating func atomic() {
        if random.chance(40) { return anyAtomic() }
        let format = MemoryFormat(sizeLog2: 2 + random.below(2), signed: random.chance(50), aligned: true)
        let address = random.chance(90) ? self.address() : builder.add(self.address(), builder.constant(2))
        switch random.below(4) {
        case 0: keep(builder.loadReserved(address, format))
        case 1: keep(builder.storeConditional(address, value(.i64), format))
        case 2:
            keep(builder.loadReserved(address, format))
            keep(builder.storeConditional(address, value(.i64), format))
        default: keep(builder.atomic(random.pick(AtomicOperation.allCases), address, value(.i64), format))
        }
    }

    /// Of any width, anywhere.
    private mutating func anyAtomic() {
        let format = MemoryFormat(sizeLog2: random.below(4), signed: random.chance(50))
        let address = random.chance(70) ? self.address() : builder.add(self.address(), builder.constant(3))
        if random.chance(60) {
            keep(builder.atomic(random.pick(AtomicOperation.allCases), address, value(.i64), format))
        } else {
            let expected = random.chance(50) ? value(.i64)
                : builder.load(address, 0, MemoryFormat(sizeLog2: format.sizeLog2), .i64)
            keep(builder.compareExchange(address, expected: expected, desired: value(.i64), format, .i64))
        }
    }

    // MARK: floating point

    private mutating func rounding() -> Rounding { random.chance(70) ? .dynamic : random.pick(Rounding.allCases) }

    private mutating func float() -> ValueID {
        let type = floatType()
        switch random.below(12) {
        case 0...3:
            let opcode = random.pick([Opcode.floatAdd, .floatSubtract, .floatMultiply, .floatDivide, .floatSquareRoot])
            let left = value(type), right = opcode == .floatSquareRoot ? .none : value(type)
            return builder.float(opcode, left, right, rounding: rounding())
        case 4:
            return builder.multiplyAdd(value(type), value(type), value(type), negateProduct: random.chance(50),
                                       negateAddend: random.chance(50), rounding: rounding())
        case 5: return builder.float(random.pick([.floatMinimum, .floatMaximum]), value(type), value(type))
        case 6: return builder.floatCompare(random.pick(FloatCondition.allCases), value(type), value(type))
        case 7:
            let opcode = random.pick([Opcode.floatNegate, .floatAbsolute, .copySign, .copySignNegated, .xorSign])
            let unary = opcode == .floatNegate || opcode == .floatAbsolute
            return builder.float(opcode, value(type), unary ? .none : value(type))
        case 8:
            return builder.convert(random.pick([.floatToSigned, .floatToUnsigned]), value(type), to: word(),
                                   rounding: random.chance(50) ? .towardZero : rounding())
        case 9:
            return builder.convert(random.pick([.signedToFloat, .unsignedToFloat]), value(word()), to: type,
                                   rounding: rounding())
        case 10:
            return builder.convert(.floatToFloat, value(type), to: type == .f64 ? .f32 : .f64, rounding: rounding())
        default:
            switch random.below(4) {
            case 0: return builder.convert(.floatClassify, value(type), to: .i64)
            case 1: return builder.unit.append(Instruction(.nanBox, .f64, a: value(.f32)))
            case 2: return builder.unit.append(Instruction(.bitcast, type == .f64 ? .i64 : .i32, a: value(type)))
            default: return builder.unit.append(Instruction(.bitcast, type, a: value(type == .f64 ? .i64 : .i32)))
            }
        }
    }

    // MARK: the end

    /// Guest code lies where no jump cache entry or scratch memory does.
    private mutating func target() -> UInt64 {
        let inside = heads + blocks.filter { $0 > pc }
        return !inside.isEmpty && random.chance(70) ? random.pick(inside) : 0x1000 + random.next() & 0xFFFE
    }

    private mutating func finish() {
        switch random.below(5) {
        case 0: builder.jump(target(), kind: .call, returnAddress: pc + 4)
        case 1:
            // Even, as every RISC-V jump makes it: an empty jump cache entry would match an address of all ones.
            let address = builder.and(value(.i64), builder.constant(~1))
            builder.jumpIndirect(address, kind: random.pick(JumpKind.allCases), returnAddress: pc + 4)
        case 2:
            let kind = random.pick([ExitKind.systemCall, .breakpoint, .wait, .frontException])
            builder.raise(UInt8(kind.rawValue), pc: pc)
        default: builder.jump(target())
        }
    }
}
