import IR
import Testing

/// A builder golden: calls in, text out.
struct BuilderGolden: CustomTestStringConvertible {
    var claim: String
    var build: @Sendable (Builder) -> Void
    var output: String
    var testDescription: String { claim }

    init(_ claim: String, _ build: @escaping @Sendable (Builder) -> Void, _ output: String) {
        self.claim = claim
        self.build = build
        self.output = output
    }
}

@Suite struct BuilderTests {
    private static let a0 = Registers.a0, a1 = Registers.a1, a2 = Registers.a2

    /// What is left after dead code elimination, without the dead and without the final jump.
    @Test(arguments: goldens)
    func `the builder simplifies`(golden: BuilderGolden) {
        let unit = Unit(capacity: 4), builder = Builder(unit: unit, globals: Registers.all)
        builder.begin(start: 0x10000, mode: 0, rounding: .nearestEven)
        golden.build(builder)
        builder.jump(0x10008)
        #expect(Verifier.problems(in: unit, globals: Registers.all, helperCount: 4) == [])
        DeadCode.eliminate(unit, globalCount: Registers.all.count)
        let left = body(unit).split(separator: "\n").filter { $0 != "dead" && $0 != "jump 0x10008" }
        #expect(left.joined(separator: "\n") == PassGolden.lines(golden.output))
    }

    static let goldens: [BuilderGolden] = [
        BuilderGolden("constants fold, through several operations", {
            let sum = $0.add($0.constant(40), $0.constant(2))
            $0.set(a0, $0.binary(.shiftLeft, sum, $0.constant(8)))
        }, """
        %4 = constant.i64 10752
        set a0, %4
        """),
        BuilderGolden("narrow constants wrap", {
            $0.set(Registers.w0, $0.add($0.constant(0x7FFF_FFFF, .i32), $0.constant(1, .i32)))
        }, """
        %2 = constant.i32 -0x80000000
        set w0, %2
        """),
        BuilderGolden("division by zero folds to all ones, remainder to the dividend", {
            $0.set(a0, $0.binary(.divideSigned, $0.constant(7), $0.constant(0)))
            $0.set(a1, $0.binary(.remainderUnsigned, $0.constant(7), $0.constant(0)))
        }, """
        %2 = constant.i64 -1
        set a0, %2
        %6 = constant.i64 7
        set a1, %6
        """),
        BuilderGolden("neutral elements vanish", {
            let x = $0.get(a1), zero = $0.constant(0)
            var value = $0.add(x, zero)
            for opcode in [Opcode.sub, .or, .xor, .shiftLeft, .shiftRightUnsigned, .shiftRightSigned, .andNot, .rotateLeft,
                           .rotateRight] { value = $0.binary(opcode, value, zero) }
            value = $0.and(value, $0.constant(-1))
            value = $0.add(zero, value)
            $0.set(a0, value)
        }, """
        %0 = get a1
        set a0, %0
        """),
        BuilderGolden("and with zero, and shifts of zero, are zero", {
            let x = $0.get(a1)
            $0.set(a0, $0.and(x, $0.constant(0)))
            $0.set(a2, $0.binary(.shiftRightSigned, $0.constant(0), x))
        }, """
        %1 = constant.i64 0
        set a0, %1
        %3 = constant.i64 0
        set a2, %3
        """),
        BuilderGolden("the constant of a commutative operation moves to the right", {
            $0.set(a0, $0.add($0.constant(8), $0.get(a1)))
            $0.set(a2, $0.sub($0.constant(8), $0.get(a1)))
        }, """
        %0 = constant.i64 8
        %1 = get a1
        %2 = add.i64 %1, %0
        set a0, %2
        %4 = constant.i64 8
        %5 = sub.i64 %4, %1
        set a2, %5
        """),
        BuilderGolden("shifting left and right by 32 is an extension", {
            let high = $0.binary(.shiftLeft, $0.get(a1), $0.constant(32))
            $0.set(a0, $0.binary(.shiftRightUnsigned, high, $0.constant(32)))
            $0.set(a2, $0.binary(.shiftRightSigned, high, $0.constant(32)))
        }, """
        %0 = get a1
        %4 = truncate.i32 %0
        %5 = zeroExtend.i64 %4
        set a0, %5
        %8 = truncate.i32 %0
        %9 = signExtend.i64 %8
        set a2, %9
        """),
        BuilderGolden("shifting left by 32 and further right is a narrow shift", {
            let high = $0.binary(.shiftLeft, $0.get(a1), $0.constant(32))
            $0.set(a0, $0.binary(.shiftRightUnsigned, high, $0.constant(35)))
        }, """
        %0 = get a1
        %4 = truncate.i32 %0
        %5 = constant.i32 3
        %6 = shiftRightUnsigned.i32 %4, %5
        %7 = zeroExtend.i64 %6
        set a0, %7
        """),
        BuilderGolden("an extension of a value that is extended already is the value", {
            let word = $0.load($0.get(a1), 0, MemoryFormat(sizeLog2: 2, signed: true), .i64)
            $0.set(a0, $0.signExtend($0.truncate(word, .i32), .i64))
        }, """
        %0 = get a1
        %1 = load.s32.i64 [%0]
        set a0, %1
        """),
        BuilderGolden("an unsigned load is not sign-extended already", {
            let word = $0.load($0.get(a1), 0, MemoryFormat(sizeLog2: 2), .i64)
            $0.set(a0, $0.signExtend($0.truncate(word, .i32), .i64))
        }, """
        %0 = get a1
        %1 = load.u32.i64 [%0]
        %2 = truncate.i32 %1
        %3 = signExtend.i64 %2
        set a0, %3
        """),
        BuilderGolden("truncating an extension gives the narrow value back", {
            let narrow = $0.get(Registers.w0)
            $0.set(Registers.w0, $0.add($0.truncate($0.signExtend(narrow, .i64), .i32),
                                        $0.truncate($0.zeroExtend(narrow, .i64), .i32)))
        }, """
        %0 = get w0
        %3 = add.i32 %0, %0
        set w0, %3
        """),
        BuilderGolden("a register is read once, and not at all after a write", {
            $0.set(a0, $0.add($0.get(a1), $0.get(a1)))
            $0.set(a2, $0.get(a0))
        }, """
        %0 = get a1
        %1 = add.i64 %0, %0
        set a0, %1
        set a2, %1
        """),
        BuilderGolden("writing a register's own value is no write", {
            $0.set(a0, $0.get(a0))
            $0.set(a1, $0.get(a1))
        }, ""),
        BuilderGolden("after a helper call registers are read again", {
            let before = $0.get(a0)
            _ = $0.call(0)
            $0.set(a1, $0.add(before, $0.get(a0)))
            $0.set(a0, before)
        }, """
        %0 = get a0
        %1 = call 0()
        %2 = get a0
        %3 = add.i64 %0, %2
        set a1, %3
        set a0, %0
        """),
        BuilderGolden("comparisons and selections of constants are decided", {
            let less = $0.compare(.lessUnsigned, $0.constant(1), $0.constant(-1))
            $0.set(a0, $0.select(less, $0.get(a1), $0.get(a2)))
            let same = $0.compare(.equal, $0.get(a1), $0.get(a2))
            $0.set(a2, $0.select(same, $0.get(a1), $0.get(a1)))
        }, """
        %3 = get a1
        set a0, %3
        set a2, %3
        """),
        BuilderGolden("unboxing what was boxed is free", {
            let single = $0.nanUnbox($0.get(Registers.fa0))
            let boxed = $0.unit.append(Instruction(.nanBox, .f64, a: single))
            $0.set(Registers.s0, $0.nanUnbox(boxed))
        }, """
        %0 = get fa0
        %1 = nanUnbox.f32 %0
        set s0, %1
        """),
        BuilderGolden("a left and a right shift that complete each other are a rotation", {
            let x = $0.get(a1)
            let high = $0.binary(.shiftLeft, x, $0.constant(13)), low = $0.binary(.shiftRightUnsigned, x, $0.constant(51))
            $0.set(a0, $0.binary(.or, low, high))
        }, """
        %0 = get a1
        %1 = constant.i64 13
        %5 = rotateLeft.i64 %0, %1
        set a0, %5
        """),
        BuilderGolden("shifts that do not complete each other are no rotation, nor are those of different values", {
            let x = $0.get(a1), y = $0.get(a2), by13 = $0.constant(13)
            let high = $0.binary(.shiftLeft, x, by13)
            $0.set(a0, $0.binary(.or, high, $0.binary(.shiftRightUnsigned, x, $0.constant(50))))
            $0.set(a1, $0.binary(.or, high, $0.binary(.shiftRightUnsigned, y, $0.constant(51))))
        }, """
        %0 = get a1
        %1 = get a2
        %2 = constant.i64 13
        %3 = shiftLeft.i64 %0, %2
        %4 = constant.i64 50
        %5 = shiftRightUnsigned.i64 %0, %4
        %6 = or.i64 %3, %5
        set a0, %6
        %8 = constant.i64 51
        %9 = shiftRightUnsigned.i64 %1, %8
        %10 = or.i64 %3, %9
        set a1, %10
        """),
        BuilderGolden("a bitwise operation on extended words is one on the words", {
            let x = $0.signExtend($0.truncate($0.get(a1), .i32), .i64), y = $0.signExtend($0.truncate($0.get(a2), .i32), .i64)
            $0.set(a0, $0.xor(x, y))
        }, """
        %0 = get a1
        %1 = truncate.i32 %0
        %3 = get a2
        %4 = truncate.i32 %3
        %6 = xor.i32 %1, %4
        %7 = signExtend.i64 %6
        set a0, %7
        """),
        BuilderGolden("unary operations of constants fold in their width", {
            $0.set(Registers.b0, $0.unary(.byteSwap, $0.unary(.not, $0.constant(0x0F, .i8))))
            $0.set(Registers.w0, $0.unary(.countLeadingZeros, $0.constant(1, .i32)))
        }, """
        %2 = constant.i8 -16
        set b0, %2
        %5 = constant.i32 31
        set w0, %5
        """),
    ]

    @Test func `folding agrees with multiplication and division tables`() {
        for a in Int64(-8)...7 {
            for b in Int64(-8)...7 where b != 0 {
                #expect(Fold.binary(.divideSigned, .i8, a, b) == a / b)
                #expect(Fold.binary(.remainderSigned, .i16, a, b) == a % b)
                #expect(Fold.binary(.multiply, .i32, a, b) == a * b)
            }
        }
        #expect(Fold.binary(.divideSigned, .i8, -128, -1) == -128)
        #expect(Fold.binary(.multiplyHighSignedUnsigned, .i64, -1, -1) == -1)
        #expect(Fold.binary(.add, .i128, 1, 1) == nil)
        #expect(Fold.binary(.add, .f64, 1, 1) == nil)
        #expect(Fold.unary(.countTrailingZeros, .i16, 0) == 16)
    }
}
