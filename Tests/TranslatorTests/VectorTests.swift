// Vector operations: the interpreter against the host's own instruction, which is what generated code is, bit for bit with
// MXCSR; and values, globals and accesses of 128 bits in generated code.

import CHost
import IR
import Testing
@testable import Translator

/// A guest with vector registers: v0…v5, then x0…x3, then flags.
enum VectorGuest {
    static let vectorCount = 6
    static let flags = 10
    static let globals: [Global] =
        (0..<vectorCount).map { Global(name: "v\($0)", type: .v128, offset: StateLayout.front + $0 * 16) }
        + (0..<4).map { Global(name: "x\($0)", type: .i64, offset: StateLayout.integerGlobals + $0 * 8) }
        + [Global(name: "flags", type: .flags, offset: StateLayout.statusFlags)]
    static func x(_ number: Int) -> Int { vectorCount + number }
}

/// Deterministic operands: random bits mixed with the edges of every lane format.
struct VectorOperands {
    var seed: UInt64

    mutating func next() -> UInt64 {
        seed &+= 0x9E37_79B9_7F4A_7C15
        var z = seed
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }

    static let singles: [UInt32] = [
        0, 0x8000_0000, 1, 0x8000_0001, 0x007F_FFFF, 0x807F_FFFF, 0x0080_0000, 0x3F80_0000, 0xBF80_0000, 0x7F7F_FFFF,
        0xFF7F_FFFF, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0000, 0xFFC0_1234, 0x7F80_0001, 0xFFBF_FFFF, 0x4F00_0000, 0xCF00_0000,
        0x5F00_0000, 0x3F00_0000, 0x3FC0_0000, 0x4020_0000, 0x0000_7FFF, 0x3880_0000, 0x3300_0000, 0x477F_F000, 0x1F80_0000,
    ]
    static let doubles: [UInt64] = [
        0, 1 << 63, 1, 1 << 63 | 1, 0x000F_FFFF_FFFF_FFFF, 0x0010_0000_0000_0000, 0x3FF0_0000_0000_0000,
        0xBFF0_0000_0000_0000, 0x7FEF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0000, 0xFFF0_0000_0000_0000, 0x7FF8_0000_0000_0000,
        0xFFF8_0000_0000_4321, 0x7FF0_0000_0000_0001, 0xFFF7_FFFF_FFFF_FFFF, 0x41DF_FFFF_FFC0_0000, 0xC1E0_0000_0020_0000,
        0x43E0_0000_0000_0000, 0x3FE0_0000_0000_0000, 0x4004_0000_0000_0000, 0x3690_0000_0000_0000, 0x380F_FFFF_F000_0000,
        0x47EF_FFFF_F000_0000, 0x2000_0000_0000_0000,
    ]

    mutating func half() -> UInt64 {
        let choice = next()
        switch choice & 7 {
        case 0, 1: return next()
        case 2, 3:
            let a = Self.singles[Int(next() % UInt64(Self.singles.count))]
            let b = Self.singles[Int(next() % UInt64(Self.singles.count))]
            return UInt64(a) | UInt64(b) << 32
        case 4, 5: return Self.doubles[Int(next() % UInt64(Self.doubles.count))]
        case 6: return next() & 0x0F0F_0F0F_0F0F_0F0F
        default:
            // Numbers near one another, so that sums cancel and products underflow by a little.
            let exponent = UInt32(next() % 6) + (next() & 1 == 0 ? 0x3C : 0x7C)
            let single = exponent << 23 | UInt32(truncatingIfNeeded: next()) & 0x807F_FFFF
            return UInt64(single) | UInt64(single ^ UInt32(truncatingIfNeeded: next() & 0x8000_00FF)) << 32
        }
    }

    mutating func vector() -> Vector128 { Vector128(low: half(), high: half()) }

    /// MXCSR with all exceptions masked: each rounding, DAZ, FTZ.
    mutating func mxcsr() -> UInt32 {
        let bits = UInt32(truncatingIfNeeded: next())
        return bits & 1 == 0 ? 0x1F80 : 0x1F80 | bits & 0xE040
    }
}

@Suite struct VectorTests {
    /// A unit that computes v3 or x1 = operation(v0 or x0, v1 or x0, v2 or x0).
    private static func unit(_ operation: VectorOperation, _ immediate: UInt8, traps: Bool = false) -> Unit {
        let unit = Unit(capacity: 32)
        let b = Builder(unit: unit, globals: VectorGuest.globals)
        b.begin(start: 0x1000, mode: 0, rounding: .nearestEven)
        unit.trapsFloats = traps
        b.instruction(0x1000)
        let signature = operation.signature
        func operand(_ type: ValueType, _ number: Int) -> ValueID {
            switch type {
            case .v128: b.get(number)
            case .i32: b.truncate(b.get(VectorGuest.x(number & 1)), .i32)
            case .i64: b.get(VectorGuest.x(number & 1))
            default: .none
            }
        }
        let result = b.vector(operation, operand(signature.a, 0), operand(signature.b, 1), operand(signature.c, 2),
                              immediate: immediate)
        switch signature.result {
        case .v128: b.set(3, result)
        case .i32: b.set(VectorGuest.x(2), b.zeroExtend(result, .i64))
        case .flags: b.set(VectorGuest.x(2), b.flagsToBits(result))
        default: b.set(VectorGuest.x(2), result)
        }
        b.jump(0x2000)
        return unit
    }

    private static func put(_ state: TestState, _ vectors: [Vector128], _ x: [UInt64], _ mxcsr: UInt32) {
        for (index, vector) in vectors.enumerated() {
            state.block.storeBytes(of: vector.low, toByteOffset: StateLayout.front + index * 16, as: UInt64.self)
            state.block.storeBytes(of: vector.high, toByteOffset: StateLayout.front + index * 16 + 8, as: UInt64.self)
        }
        for (index, value) in x.enumerated() {
            state.block.storeBytes(of: value, toByteOffset: StateLayout.integerGlobals + index * 8, as: UInt64.self)
        }
        state.mxcsr = mxcsr
    }

    private static func result(_ state: TestState) -> [UInt64] {
        [48, 56].map { state.block.load(fromByteOffset: StateLayout.front + $0, as: UInt64.self) }
            + [state.block.load(fromByteOffset: StateLayout.integerGlobals + 16, as: UInt64.self), UInt64(state.mxcsr)]
    }

    /// What of the inputs an operation can see, so that lengths are in range.
    private static func lengths(_ operation: VectorOperation, _ value: UInt64) -> UInt64 {
        operation.signature.form == .string ? value & 0xF | value >> 8 & 0x10 | (value >> 16 & 0xF) << 8 : value
    }

    @Test func `rows and cases have the same names in the same order`() {
        #expect(VectorTable.names == VectorOperation.allCases.map { "\($0)" })
    }

    @Test(.enabled(if: guise_cpu_has_v3() != 0))
    func `an unmasked exception leaves generated code as it leaves the interpreter`() throws {
        let code = try GeneratedCode(pinned: [0, 1, 2, 3, 4] + [0, 1, 2].map(VectorGuest.x), globals: VectorGuest.globals)
        let interpreter = Interpreter(globals: VectorGuest.globals, helpers: [], floatRules: .x86, memory: .identity)
        var operands = VectorOperands(seed: 7)
        var taken = 0
        for operation in VectorOperation.allCases where operation.signature.usesMXCSR {
            let unit = Self.unit(operation, 0, traps: true)
            guard code.generate(unit) != nil else {
                Issue.record("\(operation) is declined")
                continue
            }
            for _ in 0..<10 {
                let vectors = (0..<4).map { _ in operands.vector() }
                let mxcsr = operands.mxcsr() & ~UInt32(truncatingIfNeeded: operands.next() & 0x1F80)
                let host = TestState(), ours = TestState()
                Self.put(host, vectors, [operands.half(), operands.half(), 0], mxcsr)
                let block = UnsafeMutableRawBufferPointer(start: ours.block, count: StateLayout.size)
                block.copyMemory(from: UnsafeRawBufferPointer(start: host.block, count: StateLayout.size))
                let hostKind = code.enter(host), kind = interpreter.run(unit, state: ours.block)
                if kind.exceptionVector == 19 { taken += 1 }
                #expect(hostKind == kind && host.pc == ours.pc && Self.result(host) == Self.result(ours), "\(operation)")
            }
        }
        #expect(taken > 100)
    }

    /// Whether a lane of 32 bits is a NaN.
    private static func hasNaN(_ words: [UInt64]) -> Bool {
        words.contains { [UInt32(truncatingIfNeeded: $0), UInt32(truncatingIfNeeded: $0 >> 32)].contains { Float(bitPattern: $0).isNaN } }
    }

    @Test(.enabled(if: guise_cpu_has_v3() != 0), arguments: [true, false])
    func `every operation does in the interpreter what the host's instruction does`(pinned: Bool) throws {
        let pins = pinned ? [0, 1, 2, 3, 4] + [0, 1, 2].map(VectorGuest.x) : []
        let code = try GeneratedCode(pinned: pins, globals: VectorGuest.globals)
        let interpreter = Interpreter(globals: VectorGuest.globals, helpers: [], floatRules: .x86, memory: .identity)
        var operands = VectorOperands(seed: 42)
        var wrong: [VectorOperation: Int] = [:]
        for operation in VectorOperation.allCases {
            let isFMA = operation.signature.form == .fma
            let count = isFMA ? 3 : operation.signature.hasImmediate ? 24 : 1
            for turn in 0..<count {
                var immediate = isFMA ? UInt8(turn) : operation.signature.hasImmediate ? UInt8(truncatingIfNeeded: operands.next()) : 0
                if operation == .cmpps || operation == .cmppd || operation == .cmpss || operation == .cmpsd { immediate &= 31 }
                let unit = Self.unit(operation, immediate)
                #expect(Verifier.problems(in: unit, globals: VectorGuest.globals) == [])
                guard code.generate(unit) != nil else {
                    Issue.record("\(operation) is declined")
                    break
                }
                for _ in 0..<(count > 1 ? 20 : 60) {
                    let vectors = (0..<4).map { _ in operands.vector() }
                    let x = [Self.lengths(operation, operands.half()), Self.lengths(operation, operands.half()), 0]
                    let mxcsr = operands.mxcsr()
                    let host = TestState(), ours = TestState()
                    Self.put(host, vectors, x, mxcsr)
                    Self.put(ours, vectors, x, mxcsr)
                    _ = code.enter(host)
                    _ = interpreter.run(unit, state: ours.block)
                    // Which of several NaNs a dot product hands on differs between makers of processors.
                    if operation == .dpps, guise_cpu_is_amd() == 0, Self.hasNaN(Self.result(ours)) { continue }
                    if Self.result(host) != Self.result(ours) {
                        wrong[operation, default: 0] += 1
                        if wrong[operation] == 1 {
                            let show = { (values: [UInt64]) in values.map { String($0, radix: 16) }.joined(separator: " ") }
                            Issue.record("""
                                \(operation) \(immediate) mxcsr \(String(mxcsr, radix: 16)) of \
                                \(vectors.map { show([$0.high, $0.low]) }) x \(show(x)): \
                                host \(show(Self.result(host))) interpreter \(show(Self.result(ours)))
                                """)
                        }
                    }
                }
            }
        }
    }
}
