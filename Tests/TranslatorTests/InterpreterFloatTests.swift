import IR
import SoftFloat
import Testing
@testable import Translator

@Suite struct InterpreterFloatTests {
    typealias Rounding = IR.Rounding
    static let f0 = TestGuest.f0, f1 = TestGuest.f0 + 1, f2 = TestGuest.f0 + 2, f3 = TestGuest.f0 + 3
    static let doubles: [Double] = [0, -0.0, 1, -1, 1.5, 0.1, -0.1, 3, 1e300, -1e300, 1e-300, .infinity, -.infinity, .nan,
                                    Double(bitPattern: 0x7FF0_0000_0000_0001), Double(bitPattern: 1), 2147483648,
                                    4294967295.5, 9.3e18, 1.9e19, -2147483649]
    /// Sticky flags, without the host-only denormal bit.
    static func flags(_ bench: Bench) -> UInt32 { bench.state.mxcsr & 0x3D }

    /// f3 = an f64 or (boxed) f32 expression; the result's bits.
    static func evaluate(_ bench: Bench, _ rounding: Rounding = .nearestEven, _ build: (Builder) -> ValueID) -> UInt64 {
        bench.state.mxcsr = 0x1F80
        bench.run(rounding: rounding) {
            let value = build($0)
            switch $0.type(of: value) {
            case .f32: $0.set(f3, $0.unit.append(Instruction(.nanBox, .f64, a: value)))
            case .f64: $0.set(f3, value)
            case .i64: $0.set(f3, $0.unit.append(Instruction(.bitcast, .f64, a: value)))
            case .i1: $0.set(f3, $0.unit.append(Instruction(.bitcast, .f64, a: $0.zeroExtend(value, .i64))))
            default: $0.set(f3, $0.unit.append(Instruction(.bitcast, .f64, a: $0.signExtend(value, .i64))))
            }
        }
        return bench.state[f3]
    }

    @Test(arguments: [Opcode.floatAdd, .floatSubtract, .floatMultiply, .floatDivide])
    func `arithmetic is IEEE's in both formats and ORs its flags into MXCSR`(opcode: Opcode) {
        let bench = Bench()
        for x in Self.doubles {
            for y in Self.doubles {
                bench.state[Self.f0] = x.bitPattern
                bench.state[Self.f1] = y.bitPattern
                let got = Self.evaluate(bench) { $0.float(opcode, $0.get(Self.f0), $0.get(Self.f1)) }
                let expected = switch opcode {
                case .floatAdd: x + y
                case .floatSubtract: x - y
                case .floatMultiply: x * y
                default: x / y
                }
                #expect(got == (expected.isNaN ? 0x7FF8_0000_0000_0000 : expected.bitPattern), "\(opcode) \(x) \(y)")
                let s = Float(x), t = Float(y)
                bench.state[Self.f0] = 0xFFFF_FFFF_0000_0000 | UInt64(s.bitPattern)
                bench.state[Self.f1] = 0xFFFF_FFFF_0000_0000 | UInt64(t.bitPattern)
                let single = Self.evaluate(bench) {
                    $0.float(opcode, $0.nanUnbox($0.get(Self.f0)), $0.nanUnbox($0.get(Self.f1)))
                }
                let expectedSingle = switch opcode {
                case .floatAdd: s + t
                case .floatSubtract: s - t
                case .floatMultiply: s * t
                default: s / t
                }
                #expect(UInt32(truncatingIfNeeded: single)
                    == (expectedSingle.isNaN ? 0x7FC0_0000 : expectedSingle.bitPattern), "\(opcode) \(s) \(t)")
                #expect(single >> 32 == 0xFFFF_FFFF)
            }
        }
    }

    @Test func `flags accumulate and stay`() {
        let bench = Bench()
        bench.state[Self.f0] = Double(1).bitPattern
        bench.state[Self.f1] = Double(0).bitPattern
        bench.state[Self.f2] = Double(3).bitPattern
        bench.run { _ = $0.float(.floatDivide, $0.get(Self.f0), $0.get(Self.f1)) }
        #expect(Self.flags(bench) == 4)
        bench.run { _ = $0.float(.floatDivide, $0.get(Self.f0), $0.get(Self.f2)) }
        #expect(Self.flags(bench) == 0x24)
        bench.run { _ = $0.float(.floatDivide, $0.get(Self.f1), $0.get(Self.f1)) }
        #expect(Self.flags(bench) == 0x25)
        #expect(bench.state.mxcsr & 0x1F80 == 0x1F80)
    }

    @Test func `an operation rounds as it says and a dynamic one as the unit says`() {
        let bench = Bench()
        bench.state[Self.f0] = Double(1).bitPattern
        bench.state[Self.f1] = Double(-3).bitPattern
        let down = (-1.0 / 3.0).nextDown, nearest = -1.0 / 3.0
        let table: [(Rounding, Double)] = [(.nearestEven, nearest), (.towardZero, nearest), (.down, down), (.up, nearest),
                                           (.nearestMaxMagnitude, nearest)]
        for (rounding, expected) in table {
            #expect(Self.evaluate(bench, rounding) { $0.float(.floatDivide, $0.get(Self.f0), $0.get(Self.f1)) }
                == expected.bitPattern)
            #expect(Self.evaluate(bench, .up) {
                $0.float(.floatDivide, $0.get(Self.f0), $0.get(Self.f1), rounding: rounding)
            } == expected.bitPattern)
        }
        bench.state[Self.f0] = Double(2.5).bitPattern
        for (rounding, expected) in [(Rounding.nearestEven, 2), (.towardZero, 2), (.down, 2), (.up, 3),
                                     (.nearestMaxMagnitude, 3)] {
            #expect(Self.evaluate(bench, .down) {
                $0.convert(.floatToSigned, $0.get(Self.f0), to: .i64, rounding: rounding)
            } == UInt64(expected))
        }
    }

    @Test func `fused multiply-add rounds once, with its signs`() {
        let bench = Bench()
        let (a, b, c) = (1 + 0x1p-30, 1 - 0x1p-30, -1.0)
        bench.state[Self.f0] = a.bitPattern
        bench.state[Self.f1] = b.bitPattern
        bench.state[Self.f2] = c.bitPattern
        for product in [false, true] {
            for addend in [false, true] {
                let expected = (addend ? -c : c).addingProduct(product ? -a : a, b)
                #expect(Self.evaluate(bench) {
                    $0.multiplyAdd($0.get(Self.f0), $0.get(Self.f1), $0.get(Self.f2), negateProduct: product,
                                   negateAddend: addend, rounding: .dynamic)
                } == expected.bitPattern)
            }
        }
    }

    @Test func `square root, minimum and maximum`() {
        let bench = Bench()
        bench.state[Self.f0] = Double(2).bitPattern
        #expect(Self.evaluate(bench) { $0.float(.floatSquareRoot, $0.get(Self.f0)) } == 2.0.squareRoot().bitPattern)
        bench.state[Self.f0] = Double(-0.0).bitPattern
        bench.state[Self.f1] = Double(0).bitPattern
        #expect(Self.evaluate(bench) { $0.float(.floatMinimum, $0.get(Self.f1), $0.get(Self.f0)) } == (-0.0).bitPattern)
        #expect(Self.evaluate(bench) { $0.float(.floatMaximum, $0.get(Self.f0), $0.get(Self.f1)) } == 0)
        bench.state[Self.f1] = Double.signalingNaN.bitPattern
        #expect(Self.evaluate(bench) { $0.float(.floatMinimum, $0.get(Self.f1), $0.get(Self.f0)) } == (-0.0).bitPattern)
        #expect(Self.flags(bench) == 1)
    }

    @Test func `comparisons are ordered, equal quiet and the others signalling`() {
        let bench = Bench()
        for x in Self.doubles {
            for y in Self.doubles {
                bench.state[Self.f0] = x.bitPattern
                bench.state[Self.f1] = y.bitPattern
                for (condition, expected) in [(FloatCondition.equal, x == y), (.less, x < y), (.lessOrEqual, x <= y)] {
                    #expect(Self.evaluate(bench) { $0.floatCompare(condition, $0.get(Self.f0), $0.get(Self.f1)) }
                        == (expected ? 1 : 0))
                    let invalid = x.isSignalingNaN || y.isSignalingNaN || condition != .equal && (x.isNaN || y.isNaN)
                    #expect(Self.flags(bench) == (invalid ? 1 : 0))
                }
            }
        }
    }

    @Test func `sign operations touch only the sign bit and raise nothing`() {
        let bench = Bench()
        let sign: UInt64 = 1 << 63, magnitude = sign - 1
        for x in Self.doubles {
            for y in Self.doubles {
                let a = x.bitPattern, b = y.bitPattern
                bench.state[Self.f0] = a
                bench.state[Self.f1] = b
                for (opcode, expected) in [(Opcode.floatNegate, a ^ sign), (.floatAbsolute, a & magnitude),
                                           (.copySign, a & magnitude | b & sign),
                                           (.copySignNegated, a & magnitude | ~b & sign), (.xorSign, a ^ b & sign)] {
                    let unary = opcode == .floatNegate || opcode == .floatAbsolute
                    #expect(Self.evaluate(bench) {
                        $0.float(opcode, $0.get(Self.f0), unary ? .none : $0.get(Self.f1))
                    } == expected)
                    #expect(Self.flags(bench) == 0)
                    // Singles: the low half of the same registers.
                    let low = Self.evaluate(bench) {
                        let left = $0.unit.append(Instruction(.bitcast, .f32, a: $0.truncate($0.get(0), .i32)))
                        let right = $0.unit.append(Instruction(.bitcast, .f32, a: $0.truncate($0.get(1), .i32)))
                        return $0.float(opcode, left, unary ? .none : right)
                    }
                    #expect(low >> 32 == 0xFFFF_FFFF)
                }
            }
        }
    }

    @Test func `classification tells every class`() {
        let bench = Bench()
        let table: [(Double, UInt64)] = [(-.infinity, 1), (-1, 2), (-.leastNonzeroMagnitude, 4), (-0.0, 8), (0, 16),
                                         (.leastNonzeroMagnitude, 32), (1, 64), (.infinity, 128), (.signalingNaN, 256),
                                         (.nan, 512)]
        for (value, mask) in table {
            bench.state[Self.f0] = value.bitPattern
            #expect(Self.evaluate(bench) { $0.convert(.floatClassify, $0.get(Self.f0), to: .i64) } == mask)
        }
        bench.state[Self.f0] = 0xFFFF_FFFF_0000_0000 | UInt64(Float.leastNonzeroMagnitude.bitPattern)
        #expect(Self.evaluate(bench) { $0.convert(.floatClassify, $0.nanUnbox($0.get(Self.f0)), to: .i64) } == 32)
    }

    @Test func `conversions to integers saturate, NaN to the maximum`() {
        let bench = Bench()
        func saturating<T: FixedWidthInteger>(_ x: Double, _: T.Type) -> Int64 {
            let value: T = x.isNaN ? .max : T(exactly: x.rounded(.towardZero)) ?? (x < 0 ? .min : .max)
            return T.bitWidth == 32 ? Int64(Int32(truncatingIfNeeded: value)) : Int64(truncatingIfNeeded: value)
        }
        for x in Self.doubles {
            bench.state[Self.f0] = x.bitPattern
            func convert(_ opcode: Opcode, _ type: ValueType) -> Int64 {
                Int64(bitPattern: Self.evaluate(bench) {
                    $0.convert(opcode, $0.get(Self.f0), to: type, rounding: .towardZero)
                })
            }
            #expect(convert(.floatToSigned, .i32) == saturating(x, Int32.self), "\(x)")
            #expect(convert(.floatToUnsigned, .i32) == saturating(x, UInt32.self), "\(x)")
            #expect(convert(.floatToSigned, .i64) == saturating(x, Int64.self), "\(x)")
            #expect(convert(.floatToUnsigned, .i64) == saturating(x, UInt64.self), "\(x)")
        }
    }

    @Test func `conversions from integers and between formats`() {
        let bench = Bench()
        for x in InterpreterIntegerTests.edges {
            bench.state[0] = UInt64(bitPattern: x)
            let low = Int32(truncatingIfNeeded: x)
            func convert(_ opcode: Opcode, _ from: ValueType, _ to: ValueType) -> UInt64 {
                Self.evaluate(bench) { $0.convert(opcode, $0.truncate($0.get(0), from), to: to) }
            }
            let box: UInt64 = 0xFFFF_FFFF_0000_0000
            #expect(convert(.signedToFloat, .i64, .f64) == Double(x).bitPattern)
            #expect(convert(.unsignedToFloat, .i64, .f64) == Double(UInt64(bitPattern: x)).bitPattern)
            #expect(convert(.signedToFloat, .i32, .f64) == Double(low).bitPattern)
            #expect(convert(.unsignedToFloat, .i32, .f64) == Double(UInt32(bitPattern: low)).bitPattern)
            #expect(convert(.signedToFloat, .i64, .f32) == box | UInt64(Float(x).bitPattern))
            #expect(convert(.unsignedToFloat, .i64, .f32) == box | UInt64(Float(UInt64(bitPattern: x)).bitPattern))
            #expect(convert(.signedToFloat, .i32, .f32) == box | UInt64(Float(low).bitPattern))
            #expect(convert(.unsignedToFloat, .i32, .f32) == box | UInt64(Float(UInt32(bitPattern: low)).bitPattern))
        }
        for x in Self.doubles where !x.isNaN {
            bench.state[Self.f0] = x.bitPattern
            #expect(UInt32(truncatingIfNeeded: Self.evaluate(bench) { $0.convert(.floatToFloat, $0.get(Self.f0), to: .f32) })
                == Float(x).bitPattern)
            bench.state[Self.f0] = 0xFFFF_FFFF_0000_0000 | UInt64(Float(x).bitPattern)
            #expect(Self.evaluate(bench) { $0.convert(.floatToFloat, $0.nanUnbox($0.get(Self.f0)), to: .f64) }
                == Double(Float(x)).bitPattern)
        }
    }

    @Test func `boxing fills with ones and unboxing demands them`() {
        let bench = Bench()
        bench.state[Self.f0] = 0xFFFF_FFFF_8000_0001
        #expect(Self.evaluate(bench) { $0.nanUnbox($0.get(Self.f0)) } == 0xFFFF_FFFF_8000_0001)
        bench.state[Self.f0] = 0xFFFF_FFFE_8000_0001
        #expect(Self.evaluate(bench) { $0.nanUnbox($0.get(Self.f0)) } == 0xFFFF_FFFF_7FC0_0000)
        bench.state[0] = 0x1_8000_0001
        #expect(Self.evaluate(bench) {
            $0.unit.append(Instruction(.bitcast, .f32, a: $0.truncate($0.get(0), .i32)))
        } == 0xFFFF_FFFF_8000_0001)
        bench.state[Self.f0] = 0x8000_0001
        #expect(Self.evaluate(bench) {
            let single = $0.convert(.floatToFloat, $0.get(Self.f0), to: .f32)
            return $0.unit.append(Instruction(.bitcast, .i32, a: $0.float(.floatNegate, single)))
        } == 0xFFFF_FFFF_8000_0000)
    }
}
