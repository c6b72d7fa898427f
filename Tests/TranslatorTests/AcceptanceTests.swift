import IR
import Testing
@testable import Translator

/// The code generator may decline a long unit (it is lifted again, shorter), never a single guest instruction.
@Suite struct AcceptanceTests {
    static let operations = [
        "%r = add.i64 %x, %y", "%r = sub.i64 %x, %y", "%r = andNot.i64 %x, %y", "%r = xor.i64 %x, %y",
        "%r = shiftLeft.i64 %x, %y", "%r = shiftRightSigned.i64 %x, %y", "%r = rotateLeft.i64 %x, %y",
        "%r = rotateRight.i64 %x, %y", "%r = multiply.i64 %x, %y", "%r = multiplyHighSigned.i64 %x, %y",
        "%r = multiplyHighUnsigned.i64 %x, %y", "%r = multiplyHighSignedUnsigned.i64 %x, %y",
        "%r = divideSigned.i64 %x, %y", "%r = divideUnsigned.i64 %x, %y", "%r = remainderSigned.i64 %x, %y",
        "%r = remainderUnsigned.i64 %x, %y", "%r = countLeadingZeros.i64 %x", "%r = byteSwap.i64 %x",
        "%c = compare.ltu %x, %y\n%r = zeroExtend.i64 %c", "%c = compare.ltu %x, %y\n%r = select.i64 %c, %z, %w",
        "%c = compare.eq %x, %big\n%d = xor.i1 %c, %c\n%r = select.i64 %d, %z, %w",
        "%r = load.u8.i64 [%x]", "%r = load.s32.i64 [%x + 8]", "%r = load.u64.aligned.i64 [%x + 8]",
        "%r = load.u64.i64 [%x + 0x123456789a]", "%r = load.u64.aligned.i64 [%x + 0x123456789a]",
        "store.u8.i64 [%x], %y\n%r = add.i64 %x, %y", "store.u64.i64 [%x + 8], %y\n%r = add.i64 %x, %y",
        "store.u64.aligned.i64 [%x + 8], %y\n%r = add.i64 %x, %y", "store.u32.i64 [%x + 8], %big\n%r = add.i64 %x, %y",
        "store.u64.i64 [%x + 0x123456789a], %y\n%r = add.i64 %x, %y",
        "store.u64.aligned.i64 [%x + 0x123456789a], %y\n%r = add.i64 %x, %y",
        "%r = loadReserved.s32.i64 [%x]", "%r = loadReserved.u64.i64 [%x]", "%r = storeConditional.u32.i64 [%x], %y",
        "%r = storeConditional.u64.i64 [%x], %y", "%r = atomic.swap.u64.i64 [%x], %y", "%r = atomic.add.s32.i64 [%x], %y",
        "%r = atomic.and.u64.i64 [%x], %y", "%r = atomic.minimumSigned.s32.i64 [%x], %y",
        "%r = atomic.maximumUnsigned.u64.i64 [%x], %y", "%r = atomic.xor.u64.i64 [%x], %big",
        "%r = floatCompare.lt %f, %g\n%r2 = zeroExtend.i64 %r", "%t = floatToUnsigned.rtz.i64 %f\n%r = add.i64 %t, %x",
        "%r = floatToSigned.dyn.i64 %f", "%r = floatToUnsigned.rup.i64 %f", "%r = floatClassify.i64 %f",
        "%q = floatAdd.dyn.f64 %f, %g\n%r = bitcast.i64 %q",
        "%q = floatMultiplyAdd.dyn.f64 %f, %g, %h\n%r = bitcast.i64 %q",
        "%q = floatMultiplyAdd.rmm.f64 %f, %g, %h\n%r = bitcast.i64 %q",
        "%q = floatMinimum.f64 %f, %g\n%r = bitcast.i64 %q",
        "%q = copySign.f64 %f, %g\n%r = bitcast.i64 %q", "%q = unsignedToFloat.dyn.f64 %x\n%r = bitcast.i64 %q",
        "%n = nanUnbox.f32 %f\n%o = floatDivide.dyn.f32 %n, %n\n%b = nanBox.f64 %o\nset f2, %b\n%r = get x5",
        "%q = load.u64.f64 [%x + 8]\nset f1, %q\n%r = get x5", "store.u64.f64 [%x + 8], %f\n%r = get x5",
        "%r = call 0(%x, %y, %z)",
    ]

    /// Each operation between registers, with an address register that is also written (`ld a0, 8(a0)`), as a front
    /// lifts it.
    @Test(arguments: DifferentialTests.arrangements)
    func `a single operation is never declined`(arrangement: DifferentialTests.Arrangement) throws {
        let helpers: [HelperFunction] = [{ _, _, _, _ in 0 }]
        let deny: HelperFunction = { _, _, _, _ in 0 }
        let memory = arrangement.identity ? InterpreterMemory.identity
            : .callbacks(load: deny, store: deny, pointer: deny)
        let code = try GeneratedCode(pinned: arrangement.pinned, helpers: helpers, memory: memory)
        let unit = Unit()
        for operation in Self.operations {
            let result = operation.contains("%r2") ? "%r2" : "%r"
            for target in ["x0", "x1", "x6"] {
                let text = """
                    unit 0x10000
                    instruction 0x10000
                    %x = get x0
                    %y = get x1
                    %z = get x2
                    %w = get x3
                    %f = get f0
                    %g = get f1
                    %h = get f2
                    %big = constant.i64 0x123456789abcdef0
                    \(operation)
                    set \(target), \(result)
                    jump 0x10004
                    """
                try Parser.parse(text, globals: TestGuest.globals, into: unit)
                #expect(Verifier.problems(in: unit, globals: TestGuest.globals, helperCount: 1) == [], "\(operation)")
                #expect(code.generate(unit) != nil, "\(operation) to \(target)")
            }
        }
    }
}
