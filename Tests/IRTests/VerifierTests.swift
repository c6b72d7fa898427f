import IR
import Testing

@Suite struct VerifierTests {
    /// Problems of a unit that begins with `%a = get a0`, `%w = get w0`, `%f = get fa0`, `%z = get z`.
    private func problems(_ lines: String, ending: String = "jump 0x20") throws -> [String] {
        let text = "unit 0\n%a = get a0\n%w = get w0\n%f = get fa0\n%z = get z\n\(lines)\n\(ending)"
        return Verifier.problems(in: try parsed(text), globals: Registers.all, helperCount: 2).map(\.description)
    }

    @Test(arguments: [
        ("%x = add.i64 %a, %w", "%1 is i32, expected i64"),
        ("%x = add.i1 %z, %z", "add.i1"),
        ("%x = not.f64 %f", "not.f64"),
        ("%x = signExtend.i64 %z", "signExtend from i1 to i64"),
        ("%x = signExtend.i64 %a", "signExtend from i64 to i64"),
        ("%x = truncate.i1 %a", "truncate from i64 to i1"),
        ("%x = zeroExtend.i16 %w", "zeroExtend from i32 to i16"),
        ("%x = compare.eq %a, %w", "%1 is i32, expected i64"),
        ("%x = compare.eq %f, %f", "compare of f64"),
        ("%x = select.i64 %a, %a, %a", "%0 is i64, expected i1"),
        ("%x = select.i64 %z, %a, %w", "%1 is i32, expected i64"),
        ("set a0, %w", "set of a register of type i64"),
        ("%x = load.u64.i32 [%a]", "load of 64 bits as i32"),
        ("%x = load.u32.f64 [%a]", "load of 32 bits as f64"),
        ("%x = load.u8.i64 [%w]", "%1 is i32, expected i64"),
        ("store.u64.i32 [%a], %w", "store of 64 bits from i32"),
        ("store.u32.i64 [%a], %w", "%1 is i32, expected i64"),
        ("%x = atomic.add.u64.i64 [%a], %w", "atomic of 64 bits with an operand of i32"),
        ("%x = loadReserved.u128.i64 [%a]", "loadReserved of 128 bits as i64"),
        ("%x = floatAdd.dyn.f64 %f, %a", "%0 is i64, expected f64"),
        ("%x = floatAdd.dyn.i64 %a, %a", "floatAdd.i64"),
        ("%x = floatToSigned.rtz.i16 %f", "floatToSigned from f64 to i16"),
        ("%x = signedToFloat.dyn.f64 %z", "signedToFloat from i1 to f64"),
        ("%x = floatToFloat.dyn.f64 %f", "floatToFloat from f64 to f64"),
        ("%x = floatClassify.i32 %f", "floatClassify from f64 to i32"),
        ("%x = bitcast.f32 %a", "bitcast from i64 to f32"),
        ("%x = bitcast.f64 %f", "bitcast from f64 to f64"),
        ("%x = nanBox.f64 %f", "nanBox from f64 to f64"),
        ("%x = floatCompare.eq %a, %a", "floatCompare of i64"),
        ("exitIf.eq.i32 %a, %a -> 0", "exitIf.i32"),
        ("%x = call 2()", "imm of call.i64 is 2"),
        ("%x = call 0(%w)", "%1 is i32, expected i64"),
        ("%x = constant.i8 200", "imm of constant.i8 is 200"),
        ("%x = constant.v128 0", "v128 has no constants"),
        ("jump 0x30", "jump must be the last operation of the unit or a block"),
    ])
    func `a broken rule is reported once, with its place`(line: String, message: String) throws {
        let found = try problems(line).filter { !$0.hasSuffix("cannot be executed") }
        #expect(found == ["Operation 4: \(message)"])
    }

    @Test(arguments: [
        ("jumpIndirect %w", "%1 is i32, expected i64"),
        ("jump.call 0x20", "Operand c of jump is missing"),
        ("jump.call 0x20, %a", "The return address must be a constant"),
        ("jump 0x20, %a", "jump has no operand c"),
    ])
    func `terminators obey their own rules`(line: String, message: String) throws {
        #expect(try problems("", ending: line) == ["Operation 4: \(message)"])
    }

    @Test func `a unit must end, and end once`() throws {
        #expect(try problems("", ending: "set a0, %a")
            == ["Operation 5: The unit must end in jump, jumpIndirect or raise"])
        let empty = Unit()
        #expect(Verifier.problems(in: empty, globals: []).count == 1)
    }

    @Test func `operands must be earlier values`() throws {
        func check(_ operation: Instruction) -> [String] {
            let unit = Unit()
            unit.append(Instruction(.instruction, .void))
            unit.append(operation)
            unit.append(Instruction(.jump, .void))
            return Verifier.problems(in: unit, globals: Registers.all).map(\.message)
        }
        #expect(check(Instruction(.not, .i64, a: 1)) == ["%1 is used before it is defined"])
        #expect(check(Instruction(.not, .i64, a: 0)) == ["%0 is instruction, which has no value"])
        #expect(check(Instruction(.not, .i64)) == ["Operand a of not is missing"])
        #expect(check(Instruction(.fence, .void, aux: 4)) == ["aux of fence is 4"])
        #expect(check(Instruction(.get, .i64, imm: 99)) == ["imm of get.i64 is 99"])
        #expect(check(Instruction(.get, .i32, imm: 0)) == ["get of a register of another type"])
        #expect(check(Instruction(.constant, .i64, aux: 1, imm: 0)) == ["aux of constant is 1"])
    }

    @Test func `types that no executor implements are rejected for execution only`() throws {
        let unit = try parsed("unit 0\n%a = get a0\n%x = load.u64.i128 [%a]\nstore.u64.i128 [%a], %x\njump 0")
        #expect(Verifier.problems(in: unit, globals: Registers.all, execution: false) == [])
        #expect(Verifier.problems(in: unit, globals: Registers.all).map(\.message)
            == ["i128 values cannot be executed", "i128 values cannot be executed"])
    }
}
