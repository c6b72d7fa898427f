import IR

/// Registers of the IR tests.
enum Registers {
    static let all = [
        Global(name: "a0", type: .i64, offset: 8), Global(name: "a1", type: .i64, offset: 16),
        Global(name: "a2", type: .i64, offset: 24), Global(name: "w0", type: .i32, offset: 32),
        Global(name: "b0", type: .i8, offset: 36), Global(name: "z", type: .i1, offset: 37),
        Global(name: "fa0", type: .f64, offset: 40), Global(name: "fa1", type: .f64, offset: 48),
        Global(name: "s0", type: .f32, offset: 56), Global(name: "flags", type: .flags, offset: 64),
    ]
    static let a0 = 0, a1 = 1, a2 = 2, w0 = 3, b0 = 4, z = 5, fa0 = 6, fa1 = 7, s0 = 8
}

/// The unit a text describes.
func parsed(_ text: String) throws -> Unit {
    let unit = Unit(capacity: 4)
    try Parser.parse(text, globals: Registers.all, into: unit)
    return unit
}

/// The operations as printed, without header and indentation.
func body(_ unit: Unit) -> String {
    (0..<unit.count).map { Printer.line(unit, $0, globals: Registers.all) }.joined(separator: "\n")
}

/// The operations of a unit as an array.
func operations(_ unit: Unit) -> [Instruction] { (0..<unit.count).map { unit.instructions[$0] } }

/// A unit with every operation and every suffix, as the printer writes it.
let everything = """
unit 0x10000 mode 0x3 rounding rup bytes 8 instructions 2
  instruction 0x10000
  dead
  %2 = get a0
  %3 = constant.i64 -8
  %4 = add.i64 %2, %3
  %5 = sub.i64 %2, %3
  %6 = and.i64 %2, %3
  %7 = or.i64 %2, %3
  %8 = xor.i64 %2, %3
  %9 = andNot.i64 %2, %3
  %10 = shiftLeft.i64 %2, %3
  %11 = shiftRightUnsigned.i64 %2, %3
  %12 = shiftRightSigned.i64 %2, %3
  %13 = rotateLeft.i64 %2, %3
  %14 = rotateRight.i64 %2, %3
  %15 = multiply.i64 %2, %3
  %16 = multiplyHighSigned.i64 %2, %3
  %17 = multiplyHighUnsigned.i64 %2, %3
  %18 = multiplyHighSignedUnsigned.i64 %2, %3
  %19 = divideSigned.i64 %2, %3
  %20 = divideUnsigned.i64 %2, %3
  %21 = remainderSigned.i64 %2, %3
  %22 = remainderUnsigned.i64 %2, %3
  %23 = not.i64 %2
  %24 = negate.i64 %2
  %25 = countLeadingZeros.i64 %2
  %26 = countTrailingZeros.i64 %2
  %27 = populationCount.i64 %2
  %28 = byteSwap.i64 %2
  %29 = truncate.i16 %2
  %30 = signExtend.i32 %29
  %31 = zeroExtend.i64 %30
  set w0, %30
  %33 = compare.ltu %2, %3
  %34 = compare.geu %2, %3
  %35 = compare.lt %2, %3
  %36 = compare.ge %2, %3
  %37 = compare.eq %2, %3
  %38 = compare.ne %2, %3
  %39 = xor.i1 %37, %38
  %40 = select.i64 %39, %2, %3
  set z, %39
  instruction 0x10004
  %43 = load.s8.i64 [%2]
  %44 = load.u16.be.i32 [%2 + 8]
  %45 = load.s32.be.aligned.i64 [%2 - 65535]
  %46 = load.u64.aligned.f64 [%2 - 0x8000000000000000]
  %47 = load.u32.f32 [%2 + 0x12345678]
  store.u8.i64 [%2 + 1], %43
  store.u32.f64 [%2], %46
  %50 = loadReserved.s32.i64 [%2]
  %51 = storeConditional.u64.i64 [%2], %43
  %52 = atomic.swap.u32.i64 [%2], %43
  %53 = atomic.add.s32.i64 [%2], %43
  %54 = atomic.and.u64.i64 [%2], %43
  %55 = atomic.or.u64.i64 [%2], %43
  %56 = atomic.xor.u64.i64 [%2], %43
  %57 = atomic.minimumSigned.u64.i64 [%2], %43
  %58 = atomic.maximumSigned.u64.i64 [%2], %43
  %59 = atomic.minimumUnsigned.u64.i64 [%2], %43
  %60 = atomic.maximumUnsigned.u64.i64 [%2], %43
  %61 = compareExchange.u32.i64 [%2], %43, %52
  fence
  fence.storeLoad
  fence.storeLoad.compiler
  %65 = get fa0
  %66 = floatAdd.dyn.f64 %65, %46
  %67 = floatSubtract.rne.f64 %65, %46
  %68 = floatMultiply.rtz.f64 %65, %46
  %69 = floatDivide.rdn.f64 %65, %46
  %70 = floatSquareRoot.rup.f64 %65
  %71 = floatMultiplyAdd.rmm.f64 %65, %66, %67
  %72 = floatMultiplyAdd.negateProduct.negateAddend.dyn.f64 %65, %66, %67
  %73 = floatMultiplyAdd.negateAddend.dyn.f64 %65, %66, %67
  %74 = floatMinimum.dyn.f64 %65, %66
  %75 = floatMaximum.f64 %65, %66
  %76 = floatCompare.eq %65, %66
  %77 = floatCompare.lt %65, %66
  %78 = floatCompare.le %65, %66
  %79 = floatClassify.dyn.i64 %65
  %80 = floatNegate.f64 %65
  %81 = floatAbsolute.f64 %65
  %82 = copySign.f64 %65, %66
  %83 = copySignNegated.f64 %65, %66
  %84 = xorSign.f64 %65, %66
  %85 = floatToSigned.rtz.i32 %65
  %86 = floatToUnsigned.dyn.i64 %65
  %87 = signedToFloat.dyn.f32 %85
  %88 = unsignedToFloat.dyn.f64 %86
  %89 = floatToFloat.dyn.f64 %87
  %90 = bitcast.i64 %65
  %91 = nanBox.f64 %87
  %92 = nanUnbox.f32 %91
  %93 = readFloatFlags
  writeFloatFlags %93
  set s0, %92
  set fa0, %91
  exitIf.ltu.i64 %2, %3 -> 0x10040
  %98 = call 3()
  %99 = call 0(%2, _, %3)
  %100 = call 1(%2)
  %101 = get flags
  %102 = flagsOf.sub %2, %3
  %103 = flagsOf.logic %2
  %104 = flagsOf.increment %2, _, %101
  %105 = flagsOf.rotateCarryLeft %2, %3, %104
  %106 = testFlags.be %105
  %107 = flagsToBits %105
  %108 = bitsToFlags %107
  %109 = setCarry %106, %108
  %110 = addWithCarry.i64 %2, %3, %109
  %111 = subtractWithBorrow.i64 %2, %3, %109
  %112 = rotateCarryLeft.i64 %2, %3, %109
  %113 = rotateCarryRight.i64 %2, %3, %109
  %114 = deposit.i64 %2, %29
  %115 = truncate.i8 %2
  %116 = deposit.at8.i64 %2, %115
  set flags, %109
  exitIfFlags.nle %109 -> 0x10080
  raiseIf.ltu.i64 %2, %3 -> 64
  %120 = load.u128.v128 [%2]
  %121 = load.u32.v128 [%2 + 4]
  %122 = vector.pand.v128 %120, %121
  %123 = vector.shufps.imm7.v128 %120, %121
  %124 = vectorToInteger.i32 %122
  %125 = vectorFromInteger %124
  store.u128.v128 [%2], %125
  jump 0xffffffff80000000

"""
