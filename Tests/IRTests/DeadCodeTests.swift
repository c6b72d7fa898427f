import IR
import Testing

/// A pass golden: text in, text out.
struct PassGolden: CustomTestStringConvertible {
    var claim: String
    var input: String
    var output: String
    var testDescription: String { claim }

    /// Operations without the indentation they have in this file.
    static func lines(_ text: String) -> String {
        text.split(separator: "\n").map { $0.drop { $0 == " " } }.joined(separator: "\n")
    }
}

@Suite struct DeadCodeTests {
    @Test(arguments: goldens)
    func `dead code elimination`(golden: PassGolden) throws {
        let unit = try parsed("unit 0x10000\n" + golden.input)
        #expect(Verifier.problems(in: unit, globals: Registers.all, helperCount: 4) == [])
        DeadCode.eliminate(unit, globalCount: Registers.all.count)
        #expect(body(unit) == PassGolden.lines(golden.output))
        #expect(Verifier.problems(in: unit, globals: Registers.all, helperCount: 4) == [])
        // What is left is used exactly as often as the pass says.
        var uses = [UInt16](repeating: 0, count: unit.count)
        for operation in operations(unit) where operation.opcode != .dead {
            for id in [operation.a, operation.b, operation.c] where id != .none { uses[Int(id)] += 1 }
        }
        for index in 0..<unit.count where unit.instructions[index].opcode != .dead {
            #expect(unit.uses[index] == uses[index], "%\(index)")
        }
        // A second time changes nothing.
        let once = operations(unit)
        DeadCode.eliminate(unit, globalCount: Registers.all.count)
        #expect(operations(unit) == once)
    }

    @Test(arguments: pinnedGoldens)
    func `dead code elimination with pinned registers`(golden: PassGolden) throws {
        let unit = try parsed("unit 0x10000\n" + golden.input)
        #expect(Verifier.problems(in: unit, globals: Registers.all, helperCount: 4) == [])
        let pinned = [true, true, false] + [Bool](repeating: false, count: Registers.all.count - 3)
        DeadCode.eliminate(unit, globalCount: Registers.all.count, pinned: pinned)
        #expect(body(unit) == PassGolden.lines(golden.output))
        #expect(Verifier.problems(in: unit, globals: Registers.all, helperCount: 4, optimised: true) == [])
    }

    /// a0 and a1 are pinned, a2 is not.
    static let pinnedGoldens: [PassGolden] = [
        PassGolden(claim: "an overwritten pinned register keeps a value that is still used", input: """
            %0 = get a1
            %1 = add.i64 %0, %0
            set a0, %1
            %3 = xor.i64 %1, %0
            set a0, %3
            jump 0x10008
            """, output: """
            %0 = get a1
            %1 = add.i64 %0, %0
            set a0, %1
            %3 = xor.i64 %1, %0
            set a0, %3
            jump 0x10008
            """),
        PassGolden(claim: "an overwritten register in memory does not", input: """
            %0 = get a1
            %1 = add.i64 %0, %0
            set a2, %1
            %3 = xor.i64 %1, %0
            set a2, %3
            jump 0x10008
            """, output: """
            %0 = get a1
            %1 = add.i64 %0, %0
            dead
            %3 = xor.i64 %1, %0
            set a2, %3
            jump 0x10008
            """),
        PassGolden(claim: "of an extension that nobody uses the narrow value is kept", input: """
            %0 = get a1
            %1 = truncate.i32 %0
            %2 = add.i32 %1, %1
            %3 = signExtend.i64 %2
            set a0, %3
            %5 = add.i32 %2, %1
            %6 = signExtend.i64 %5
            set a0, %6
            jump 0x10008
            """, output: """
            %0 = get a1
            %1 = truncate.i32 %0
            %2 = add.i32 %1, %1
            dead
            set a0, %2
            %5 = add.i32 %2, %1
            %6 = signExtend.i64 %5
            set a0, %6
            jump 0x10008
            """),
        PassGolden(claim: "a constant, or a value nobody uses, needs no register", input: """
            %0 = constant.i64 5
            set a0, %0
            %2 = get a1
            %3 = add.i64 %2, %0
            set a0, %3
            set a0, %2
            jump 0x10008
            """, output: """
            dead
            dead
            %2 = get a1
            dead
            dead
            set a0, %2
            jump 0x10008
            """),
    ]

    static let goldens: [PassGolden] = [
        PassGolden(claim: "a register overwritten at once is not written", input: """
            %0 = constant.i64 1
            set a0, %0
            %2 = constant.i64 2
            set a0, %2
            jump 0x10008
            """, output: """
            dead
            dead
            %2 = constant.i64 2
            set a0, %2
            jump 0x10008
            """),
        PassGolden(claim: "a write before a load that may fault stays", input: """
            instruction 0x10000
            %1 = constant.i64 1
            set a0, %1
            instruction 0x10004
            %4 = get a1
            %5 = load.u64.i64 [%4]
            set a0, %5
            jump 0x10008
            """, output: """
            instruction 0x10000
            %1 = constant.i64 1
            set a0, %1
            instruction 0x10004
            %4 = get a1
            %5 = load.u64.i64 [%4]
            set a0, %5
            jump 0x10008
            """),
        PassGolden(claim: "a write before a store that may fault stays, one behind it may go", input: """
            %0 = get a1
            %1 = constant.i64 1
            set a0, %1
            store.u8.i64 [%0], %1
            set a0, %0
            set a0, %1
            jump 0x10008
            """, output: """
            %0 = get a1
            %1 = constant.i64 1
            set a0, %1
            store.u8.i64 [%0], %1
            dead
            set a0, %1
            jump 0x10008
            """),
        PassGolden(claim: "writes before every kind of memory operation stay", input: """
            %0 = get a1
            %1 = get a2
            set a0, %0
            %3 = atomic.add.u64.i64 [%1], %0
            set a0, %1
            %5 = loadReserved.u64.i64 [%1]
            set a0, %0
            %7 = storeConditional.u64.i64 [%1], %0
            set a0, %1
            %9 = compareExchange.u64.i64 [%1], %0, %0
            set a0, %0
            jump 0x10008
            """, output: """
            %0 = get a1
            %1 = get a2
            set a0, %0
            %3 = atomic.add.u64.i64 [%1], %0
            set a0, %1
            %5 = loadReserved.u64.i64 [%1]
            set a0, %0
            %7 = storeConditional.u64.i64 [%1], %0
            set a0, %1
            %9 = compareExchange.u64.i64 [%1], %0, %0
            set a0, %0
            jump 0x10008
            """),
        PassGolden(claim: "a write before a side exit stays although the fall-through overwrites it", input: """
            %0 = get a1
            set a0, %0
            %2 = get a2
            exitIf.eq.i64 %0, %2 -> 0x10040
            set a0, %2
            jump 0x10008
            """, output: """
            %0 = get a1
            set a0, %0
            %2 = get a2
            exitIf.eq.i64 %0, %2 -> 0x10040
            set a0, %2
            jump 0x10008
            """),
        PassGolden(claim: "a write before a helper call stays, for the helper sees registers", input: """
            %0 = constant.i64 1
            set a0, %0
            %2 = call 1()
            set a0, %2
            jump 0x10008
            """, output: """
            %0 = constant.i64 1
            set a0, %0
            %2 = call 1()
            set a0, %2
            jump 0x10008
            """),
        PassGolden(claim: "a write that is read before it is overwritten stays", input: """
            %0 = constant.i64 1
            set a0, %0
            %2 = get a0
            set a1, %2
            set a0, %2
            jump 0x10008
            """, output: """
            %0 = constant.i64 1
            set a0, %0
            %2 = get a0
            set a1, %2
            set a0, %2
            jump 0x10008
            """),
        PassGolden(claim: "a read nobody uses does not keep the write before it", input: """
            %0 = constant.i64 1
            set a0, %0
            %2 = get a0
            %3 = constant.i64 2
            set a0, %3
            jump 0x10008
            """, output: """
            dead
            dead
            dead
            %3 = constant.i64 2
            set a0, %3
            jump 0x10008
            """),
        PassGolden(claim: "a chain of unused values goes as a whole", input: """
            %0 = get a0
            %1 = constant.i64 3
            %2 = add.i64 %0, %1
            %3 = divideSigned.i64 %2, %1
            %4 = truncate.i32 %3
            jump 0x10008
            """, output: """
            dead
            dead
            dead
            dead
            dead
            jump 0x10008
            """),
        PassGolden(claim: "an unused load stays, for it may fault", input: """
            %0 = get a0
            %1 = load.u8.i64 [%0]
            %2 = add.i64 %1, %0
            jump 0x10008
            """, output: """
            %0 = get a0
            %1 = load.u8.i64 [%0]
            dead
            jump 0x10008
            """),
        PassGolden(claim: "an unused float operation stays, for it leaves flags; a sign operation does not", input: """
            %0 = get fa0
            %1 = floatDivide.dyn.f64 %0, %0
            %2 = floatCompare.lt %0, %0
            %3 = floatNegate.f64 %0
            %4 = floatClassify.i64 %0
            jump 0x10008
            """, output: """
            %0 = get fa0
            %1 = floatDivide.dyn.f64 %0, %0
            %2 = floatCompare.lt %0, %0
            dead
            dead
            jump 0x10008
            """),
        PassGolden(claim: "instruction marks and fences stay and hide no overwriting", input: """
            instruction 0x10000
            %1 = get a1
            set a0, %1
            fence.storeLoad
            instruction 0x10004
            %5 = get a2
            set a0, %5
            jump 0x10008
            """, output: """
            instruction 0x10000
            dead
            dead
            fence.storeLoad
            instruction 0x10004
            %5 = get a2
            set a0, %5
            jump 0x10008
            """),
        PassGolden(claim: "different registers do not overwrite each other", input: """
            %0 = constant.i64 1
            set a0, %0
            set a1, %0
            set a0, %0
            jump 0x10008
            """, output: """
            %0 = constant.i64 1
            dead
            set a1, %0
            set a0, %0
            jump 0x10008
            """),
        PassGolden(claim: "a return address is used by the call that ends the unit", input: """
            %0 = constant.i64 65544
            %1 = constant.i64 7
            jump.call 0x20000, %0
            """, output: """
            %0 = constant.i64 0x10008
            dead
            jump.call 0x20000, %0
            """),
        PassGolden(claim: "a call whose result is unused stays and keeps its arguments", input: """
            %0 = get a0
            %1 = constant.i64 7
            %2 = call 2(%0, _, %1)
            jumpIndirect.return %0
            """, output: """
            %0 = get a0
            %1 = constant.i64 7
            %2 = call 2(%0, _, %1)
            jumpIndirect.return %0
            """),
    ]
}
