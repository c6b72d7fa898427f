import IR
import Testing

@Suite struct TextTests {
    @Test func `every operation is printed as it was read, and passes the verifier`() throws {
        let unit = try parsed(everything)
        #expect(Printer.print(unit, globals: Registers.all) == everything)
        #expect(Verifier.problems(in: unit, globals: Registers.all, helperCount: 4) == [])
        let terminators: Set<Opcode> = [.jumpIndirect, .raise, .block]
        let seen = Set(operations(unit).map(\.opcode)).union(terminators)
        #expect(seen == Set(Opcode.allCases))
    }

    @Test(arguments: ["jump.call 0x20, %0", "jump.return 0x20", "jumpIndirect %0", "jumpIndirect.call %0, %0",
                      "jumpIndirect.return %0", "raise 3, 0x10004"])
    func `terminators are printed as they were read`(line: String) throws {
        let text = "unit 0x0 mode 0x0 rounding rne\n  %0 = constant.i64 64\n  \(line)\n"
        let unit = try parsed(text)
        #expect(Printer.print(unit, globals: Registers.all) == text)
        #expect(Verifier.problems(in: unit, globals: Registers.all) == [])
    }

    @Test func `what was printed reads back as the same operations`() throws {
        let unit = try parsed(everything)
        let again = try parsed(Printer.print(unit, globals: Registers.all))
        #expect(operations(again) == operations(unit))
        #expect(again.start == 0x10000 && again.mode == 3 && again.rounding == .up)
        #expect(again.byteLength == 8 && again.guestInstructionCount == 2)
    }

    @Test func `a builder's unit survives printing and reading`() throws {
        let unit = Unit(), builder = Builder(unit: unit, globals: Registers.all)
        builder.begin(start: 0x8000_0000_0000_0000, mode: .max, rounding: .nearestMaxMagnitude)
        builder.instruction(unit.start)
        let address = builder.add(builder.get(Registers.a0), builder.constant(.min))
        builder.store(address, -1, builder.load(address, .max, MemoryFormat(sizeLog2: 2), .i32), MemoryFormat(sizeLog2: 0))
        builder.set(Registers.fa1, builder.float(.floatAbsolute, builder.get(Registers.fa0)))
        builder.jumpIndirect(builder.call(7, address), kind: .call, returnAddress: .max)
        let again = try parsed(Printer.print(unit, globals: Registers.all))
        #expect(operations(again) == operations(unit))
        #expect(again.mode == .max && again.rounding == .nearestMaxMagnitude && again.start == unit.start)
    }

    @Test func `names, comments and blank lines are free`() throws {
        let unit = try parsed("""

        # a comment
        unit 65536 # defaults: mode 0, rne
          %old=get a0
          %sum_1 =add.i64   %old , %old   # spaces are free as well
        \tset a0,%sum_1

          jump 0x20
        """)
        #expect(body(unit) == "%0 = get a0\n%1 = add.i64 %0, %0\nset a0, %1\njump 0x20")
    }

    @Test(arguments: [
        ("", 1, "No unit header"),
        ("\n\nadd", 3, "Expected a unit header"),
        ("unit", 1, "Expected the unit's start address"),
        ("unit 0x", 1, "0x is not a number of at most 64 bits"),
        ("unit 0 mode 0x100000000", 1, "The mode word has more than 32 bits"),
        ("unit 0 colour 3", 1, "Unknown header field colour"),
        ("unit 0 rounding up", 1, "Expected a rounding"),
        ("unit 0 bytes 0xffffffffffffffff", 1, "The count is too large"),
        ("unit 0\n%1 = frobnicate.i64 %0", 2, "Unknown operation frobnicate"),
        ("unit 0\nget a0", 2, "get has a result and needs a name for it"),
        ("unit 0\n%1 = set a0, %0", 2, "set has no result"),
        ("unit 0\n%1 = get q9", 2, "Expected the name of a register"),
        ("unit 0\n%1 = get a0\n%1 = get a1", 3, "%1 is defined twice"),
        ("unit 0\n%1 = not.i64 %2", 2, "%2 is not defined before this line"),
        ("unit 0\n%1 = not.i64 %1", 2, "%1 is not defined before this line"),
        ("unit 0\n%1 = constant.i65 0", 2, "Expected a type"),
        ("unit 0\n%1 = constant.i64", 2, "Expected a number"),
        ("unit 0\n%1 = constant.i64 0x10000000000000000", 2, "0x10000000000000000 is not a number of at most 64 bits"),
        ("unit 0\n%1 = constant.i64 -0x8000000000000001", 2, "-9223372036854775809 does not fit 64 bits"),
        ("unit 0\n%1 = get a0 a1", 2, "Unexpected text after the operation: a1"),
        ("unit 0\n%1 = get a0\n%2 = load.x8.i64 [%1]", 3, "Expected a memory format such as u32 or s16"),
        ("unit 0\n%1 = get a0\n%2 = load.u8.i64 [%1 * 2]", 3, "Expected +"),
        ("unit 0\n%1 = get a0\n%2 = atomic.u8.i64 [%1], %1", 3, "Expected a read-modify-write operation"),
        ("unit 0\n%1 = get a0\n%2 = add.i64 %1", 3, "Expected ,"),
        ("unit 0\n%1 = get a0\n%2 = compare.less %1, %1", 3, "Expected a condition"),
        ("unit 0\nraise 256, 0", 2, "The exit code has more than 8 bits"),
        ("unit 0\nfence.storeLoad.sync", 2, "Unknown suffix sync of fence"),
        ("unit 0\n%1 = call 2(%2)", 2, "%2 is not defined before this line"),
        ("unit 0\n= 3", 2, "Expected an operation"),
        ("unit 0\n%é = get a0", 2, "Expected a value such as %1"),
    ])
    func `errors name the line and the fault`(text: String, line: Int, message: String) {
        #expect {
            _ = try parsed(text)
        } throws: { error in
            (error as? ParseError)?.description == "Line \(line): \(message)"
        }
    }

    @Test func `no text traps the parser, the verifier or the printer`() {
        var random = SplitMix(seed: 1)
        let unit = Unit(capacity: 4)
        let source = Array(everything.utf8)
        let alphabet = Array(" \n%.,[]()+-=>_#0x9afus".utf8)
        for _ in 0..<3000 {
            var bytes = source
            for _ in 0...random.below(4) {
                let at = random.below(bytes.count)
                switch random.below(4) {
                case 0: bytes[at] = alphabet[random.below(alphabet.count)]
                case 1: bytes.insert(alphabet[random.below(alphabet.count)], at: at)
                case 2: bytes.removeSubrange(at..<min(bytes.count, at + random.below(9)))
                default:
                    let from = random.below(bytes.count)
                    bytes.insert(contentsOf: bytes[from..<min(bytes.count, from + random.below(30))], at: at)
                }
                if bytes.isEmpty { bytes = source }
            }
            do {
                try Parser.parse(String(decoding: bytes, as: UTF8.self), globals: Registers.all, into: unit)
                let text = Printer.print(unit, globals: Registers.all)
                _ = Verifier.problems(in: unit, globals: Registers.all, helperCount: 4)
                let again = try parsed(text)
                #expect(operations(again) == operations(unit))
            } catch {}
        }
        for _ in 0..<2000 {
            let bytes = (0..<random.below(80)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            let text = "unit 0\n" + String(decoding: bytes, as: UTF8.self)
            #expect((try? parsed(text)) == nil || !text.isEmpty)
        }
    }

    @Test func `arbitrary operations print and verify without a trap`() {
        var random = SplitMix(seed: 2)
        let unit = Unit(capacity: 4)
        for _ in 0..<2000 {
            unit.reset(start: random.next(), mode: 0, rounding: .dynamic)
            for _ in 0...random.below(12) {
                func id() -> ValueID { random.below(3) == 0 ? .none : ValueID(random.below(14)) }
                unit.append(Instruction(Opcode.allCases[random.below(Opcode.allCases.count)],
                                        ValueType.allCases[random.below(ValueType.allCases.count)],
                                        aux: UInt8(truncatingIfNeeded: random.next()), a: id(), b: id(), c: id(),
                                        imm: random.below(2) == 0 ? Int64(random.below(20)) - 5
                                            : Int64(bitPattern: random.next())))
            }
            #expect(!Printer.print(unit, globals: Registers.all).isEmpty)
            #expect(!Verifier.problems(in: unit, globals: Registers.all, helperCount: 4).isEmpty)
        }
    }
}

/// A small repeatable random source.
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
}
