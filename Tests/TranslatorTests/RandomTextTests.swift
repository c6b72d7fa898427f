import IR
import Testing
@testable import Translator

@Suite struct RandomTextTests {
    @Test func `random units are valid and read back from their text as they were`() throws {
        let unit = Unit(), again = Unit(), builder = Builder(unit: unit, globals: TestGuest.globals)
        for seed in UInt64(1)...200 {
            UnitGenerator.build(builder, seed: seed, length: 40, helperCount: 2)
            #expect(Verifier.problems(in: unit, globals: TestGuest.globals, helperCount: 2) == [])
            try Parser.parse(Printer.print(unit, globals: TestGuest.globals), globals: TestGuest.globals, into: again)
            #expect((0..<unit.count).map { unit.instructions[$0] } == (0..<again.count).map { again.instructions[$0] })
            #expect(again.start == unit.start && again.mode == unit.mode && again.rounding == unit.rounding)
        }
    }
}
