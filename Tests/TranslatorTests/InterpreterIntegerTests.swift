import IR
import Testing
@testable import Translator

@Suite struct InterpreterIntegerTests {
    static let edges: [Int64] = [0, 1, 2, -1, -2, 3, 7, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF,
                                 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000, .max, .min, .min + 1,
                                 0x0123_4567_89AB_CDEF, -0x0123_4567_89AB_CDEF, 0x5555_5555_5555_5555]
    static let widths: [ValueType] = [.i8, .i16, .i32, .i64]
    static let binaries: [Opcode] = [.add, .sub, .and, .or, .xor, .andNot, .shiftLeft, .shiftRightUnsigned,
                                     .shiftRightSigned, .rotateLeft, .rotateRight, .multiply, .multiplyHighSigned,
                                     .multiplyHighUnsigned, .multiplyHighSignedUnsigned, .divideSigned, .divideUnsigned,
                                     .remainderSigned, .remainderUnsigned]
    static let unaries: [Opcode] = [.not, .negate, .countLeadingZeros, .countTrailingZeros, .populationCount, .byteSwap]

    @Test(arguments: binaries)
    func `two-operand operations agree with constant folding`(opcode: Opcode) {
        let bench = Bench()
        for type in Self.widths {
            for a in Self.edges {
                for b in Self.edges {
                    bench.state[0] = UInt64(bitPattern: a)
                    bench.state[1] = UInt64(bitPattern: b)
                    let left = Interpreter.canonical(a, type), right = Interpreter.canonical(b, type)
                    guard let expected = Fold.binary(opcode, type, left, right) else { continue }
                    let result = bench.evaluate {
                        $0.signExtend($0.binary(opcode, $0.truncate($0.get(0), type), $0.truncate($0.get(1), type)), .i64)
                    }
                    #expect(result == expected, "\(opcode).\(type) \(a) \(b)")
                }
            }
        }
    }

    @Test(arguments: unaries)
    func `one-operand operations agree with constant folding`(opcode: Opcode) {
        let bench = Bench()
        for type in Self.widths {
            for a in Self.edges {
                bench.state[0] = UInt64(bitPattern: a)
                let expected = Fold.unary(opcode, type, Interpreter.canonical(a, type))
                let result = bench.evaluate { $0.signExtend($0.unary(opcode, $0.truncate($0.get(0), type)), .i64) }
                #expect(result == expected, "\(opcode).\(type) \(a)")
            }
        }
    }

    @Test(arguments: [
        (Opcode.multiplyHighSigned, ValueType.i32, Int64(-1), Int64(-1), Int64(0)),
        (.multiplyHighSigned, .i32, 0x7FFF_FFFF, 0x7FFF_FFFF, 0x3FFF_FFFF),
        (.multiplyHighSigned, .i32, 0x8000_0000, 2, -1),
        (.multiplyHighUnsigned, .i32, -1, -1, -2),
        (.multiplyHighSignedUnsigned, .i32, -1, -1, -1),
        (.multiplyHighUnsigned, .i8, -1, -1, -2),
        (.multiplyHighSigned, .i16, -0x8000, -0x8000, 0x4000),
        (.multiplyHighSigned, .i64, .min, .min, 0x4000_0000_0000_0000),
        (.multiplyHighUnsigned, .i64, -1, -1, -2),
        (.multiplyHighSignedUnsigned, .i64, -1, -1, -1),
        (.multiplyHighSignedUnsigned, .i64, .min, -1, .min),
        (.divideSigned, .i64, .min, -1, .min),
        (.divideSigned, .i32, 0x8000_0000, -1, -0x8000_0000),
        (.divideUnsigned, .i32, 5, 0, -1),
        (.remainderSigned, .i64, .min, -1, 0),
        (.remainderUnsigned, .i8, 200, 0, -56),
        (.rotateRight, .i16, 1, 1, -0x8000),
        (.shiftLeft, .i32, 1, 63, -0x8000_0000),
        (.shiftRightUnsigned, .i32, -1, 31, 1),
    ])
    func `edge results are those of the opcode's definition`(opcode: Opcode, type: ValueType, a: Int64, b: Int64,
                                                             expected: Int64) {
        let bench = Bench()
        bench.state[0] = UInt64(bitPattern: a)
        bench.state[1] = UInt64(bitPattern: b)
        let result = bench.evaluate {
            $0.signExtend($0.binary(opcode, $0.truncate($0.get(0), type), $0.truncate($0.get(1), type)), .i64)
        }
        #expect(result == expected)
    }

    @Test(arguments: Condition.allCases)
    func `compare and exitIf agree with constant folding`(condition: Condition) {
        let bench = Bench()
        for type in Self.widths {
            for a in Self.edges {
                for b in Self.edges {
                    bench.state[0] = UInt64(bitPattern: a)
                    bench.state[1] = UInt64(bitPattern: b)
                    let expected = Fold.holds(condition, type, Interpreter.canonical(a, type),
                                              Interpreter.canonical(b, type))
                    let kind = bench.run {
                        let left = $0.truncate($0.get(0), type), right = $0.truncate($0.get(1), type)
                        $0.set(7, $0.zeroExtend($0.compare(condition, left, right), .i64))
                        $0.exitIf(condition, left, right, target: 0x4444)
                        $0.set(6, $0.constant(9))
                    }
                    #expect(kind == .lookup)
                    #expect(bench.state[7] == (expected ? 1 : 0), "\(condition).\(type) \(a) \(b)")
                    #expect(bench.state.pc == (expected ? 0x4444 : Bench.end))
                }
            }
        }
    }

    @Test func `extensions and truncations keep or drop the upper bits`() {
        let bench = Bench()
        bench.state[0] = 0xFEDC_BA98_F654_9210
        for type in Self.widths.dropLast() {
            let low = Interpreter.canonical(Int64(bitPattern: bench.state[0]), type)
            #expect(bench.evaluate { $0.signExtend($0.truncate($0.get(0), type), .i64) } == low)
            #expect(bench.evaluate { $0.zeroExtend($0.truncate($0.get(0), type), .i64) }
                == Int64(bitPattern: Interpreter.zeroExtended(low, type)))
        }
        bench.state[0] = 0x80
        #expect(bench.evaluate { $0.zeroExtend($0.signExtend($0.truncate($0.get(0), .i8), .i16), .i64) } == 0xFF80)
    }

    @Test func `select takes its second operand exactly when the condition is true`() {
        let bench = Bench()
        bench.state[1] = 11
        bench.state[2] = 22
        for flag in [UInt64(0), 1] {
            bench.state[0] = flag
            #expect(bench.evaluate {
                $0.select($0.compare(.notEqual, $0.get(0), $0.constant(0)), $0.get(1), $0.get(2))
            } == (flag == 1 ? 11 : 22))
        }
    }

    @Test func `a dead operation is skipped and constants come in every width`() {
        let bench = Bench()
        bench.run {
            $0.unit.append(Instruction(.dead, .i64))
            let byte = $0.unit.append(Instruction(.constant, .i8, imm: 0x1FF))
            $0.set(0, $0.unit.append(Instruction(.signExtend, .i64, a: byte)))
            $0.set(1, $0.zeroExtend($0.constant(1, .i1), .i64))
        }
        #expect(bench.state[0] == .max)
        #expect(bench.state[1] == 1)
    }

    @Test func `registers narrower than 64 bits keep their neighbours intact`() {
        let globals = [Global(name: "w", type: .i32, offset: 8), Global(name: "h", type: .i16, offset: 12),
                       Global(name: "b", type: .i8, offset: 14), Global(name: "z", type: .i1, offset: 15)]
        let state = TestState(), unit = Unit(), builder = Builder(unit: unit, globals: globals)
        let interpreter = Interpreter(globals: globals, helpers: [], floatRules: .riscv, memory: .identity)
        state[0] = 0x01AA_BBBB_CCCC_CCCC
        builder.begin(start: 0, mode: 0, rounding: .nearestEven)
        for global in 0..<3 { builder.set(global, builder.unary(.not, builder.get(global))) }
        builder.set(3, builder.compare(.equal, builder.get(3), builder.constant(0, .i1)))
        builder.jump(4)
        #expect(interpreter.run(unit, state: state.block) == .lookup)
        #expect(state[0] == 0x0055_4444_3333_3333)
    }
}
