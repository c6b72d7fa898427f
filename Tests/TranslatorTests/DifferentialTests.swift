import CHost
import Glibc
import IR
import Testing
@testable import Translator

/// Random units leave the same state behind in the interpreter and as machine code.
@Suite(.serialized) struct DifferentialTests {
    /// Guest memory of the machine mode: the scratch buffer at its own address, entered into the soft TLB page by
    /// page.
    private static let bounds: UnsafeMutablePointer<(low: UInt64, high: UInt64)> = {
        let bounds = UnsafeMutablePointer<(low: UInt64, high: UInt64)>.allocate(capacity: 1)
        bounds.initialize(to: (0, 0))
        return bounds
    }()

    private static func translate(_ state: UnsafeMutableRawPointer, _ address: UInt64, _ size: UInt64,
                                  _ access: UInt32) -> Bool {
        let (low, high) = bounds.pointee
        for candidate in [address, address &+ (size - 1)] where candidate < low || candidate >= high {
            state.storeBytes(of: ExitKind.memoryFault.rawValue, toByteOffset: StateLayout.helperExit, as: UInt32.self)
            state.storeBytes(of: candidate, toByteOffset: StateLayout.exitAddress, as: UInt64.self)
            state.storeBytes(of: access, toByteOffset: StateLayout.exitAccess, as: UInt32.self)
            return false
        }
        let page = address & ~0xFFF
        let slot = Int(address >> 12 & UInt64(StateLayout.tlbCount - 1))
        let entry = state + StateLayout.tlb + slot * StateLayout.tlbEntrySize
        entry.storeBytes(of: page, toByteOffset: access == 0 ? 0 : 8, as: UInt64.self)
        entry.storeBytes(of: 0, toByteOffset: 16, as: UInt64.self)
        return true
    }

    private static let paged = InterpreterMemory.callbacks(
        load: { state, address, size, _ in
            guard translate(state, address, size, 0), let host = UnsafeRawPointer(bitPattern: UInt(address))
            else { return 0 }
            var value: UInt64 = 0
            memcpy(&value, host, Int(size))
            return value
        },
        store: { state, address, size, value in
            guard translate(state, address, size, 1), let host = UnsafeMutableRawPointer(bitPattern: UInt(address))
            else { return 0 }
            var value = value
            memcpy(host, &value, Int(size))
            return 0
        },
        pointer: { state, address, size, _ in
            _ = translate(state, address, size, 1)
            return address
        })

    /// Changes registers, sometimes leaves.
    private static let helpers: [HelperFunction] = [
        { state, a, _, _ in
            let field = state + StateLayout.integerGlobals + 8 * 5
            field.storeBytes(of: field.load(as: UInt64.self) &+ a, as: UInt64.self)
            let float = state + StateLayout.floatGlobals + 8
            float.storeBytes(of: float.load(as: UInt64.self) ^ 1 << 63, as: UInt64.self)
            return a &* 3
        },
        { state, a, _, _ in
            if a & 3 == 0 {
                let kind = a & 4 == 0 ? ExitKind.lookup : .frontException
                state.storeBytes(of: kind.rawValue, toByteOffset: StateLayout.helperExit, as: UInt32.self)
                if kind == .lookup { state.storeBytes(of: a, toByteOffset: StateLayout.pc, as: UInt64.self) }
            }
            return a &+ 1
        },
    ]

    /// What a run leaves behind.
    private struct Outcome: Equatable {
        var kind: ExitKind
        var pc: UInt64
        var registers: [UInt64]
        var mxcsr: UInt32
        var reservation: [UInt64]
        var fault: [UInt64]
        var memory: [UInt64]

        init(_ kind: ExitKind, _ state: TestState, _ scratch: ScratchMemory) {
            self.kind = kind
            pc = state.pc
            registers = (0..<TestGuest.globals.count).map { state[$0] }
            // The denormal-operand flag exists on the host only.
            mxcsr = state.mxcsr & ~2
            reservation = [state.reservation,
                           state.block.load(fromByteOffset: StateLayout.reservationValue, as: UInt64.self)]
            fault = kind == .memoryFault || kind == .misaligned ? [state.exitAddress, UInt64(state.exitAccess)] : []
            memory = (0..<ScratchMemory.size / 8).map { scratch.load($0 * 8, as: UInt64.self) }
        }

        func difference(_ other: Outcome) -> String {
            var text: [String] = []
            if kind != other.kind { text.append("kind \(kind) \(other.kind)") }
            if pc != other.pc { text.append("pc \(String(pc, radix: 16)) \(String(other.pc, radix: 16))") }
            for (index, pair) in zip(registers, other.registers).enumerated() where pair.0 != pair.1 {
                let (a, b) = (String(pair.0, radix: 16), String(pair.1, radix: 16))
                text.append("\(TestGuest.globals[index].name) \(a) \(b)")
            }
            if mxcsr != other.mxcsr { text.append("mxcsr \(String(mxcsr, radix: 16)) \(String(other.mxcsr, radix: 16))") }
            if reservation != other.reservation { text.append("reservation \(reservation) \(other.reservation)") }
            if fault != other.fault { text.append("fault \(fault) \(other.fault)") }
            for (index, pair) in zip(memory, other.memory).enumerated() where pair.0 != pair.1 {
                text.append("memory+\(index * 8) \(String(pair.0, radix: 16)) \(String(pair.1, radix: 16))")
            }
            return text.joined(separator: ", ")
        }
    }

    /// Where x0 and x1 point in the scratch buffer.
    private static let base = 2048, nearHole = ScratchMemory.size - 80

    private static func prepare(_ state: TestState, _ scratch: ScratchMemory, seed: UInt64, rounding: Rounding) {
        var random = SplitMix(seed: ~seed)
        for global in 0..<TestGuest.globals.count {
            state[global] = global < TestGuest.f0 ? UnitGenerator.integer(&random) : UnitGenerator.float(&random)
        }
        state[TestGuest.flags] = UInt64(bitPattern: FlagEvaluation.flags(bits: Int64(random.next() & 0x8D5)))
        state[UnitGenerator.baseRegister] = scratch.address + UInt64(base)
        state[UnitGenerator.holeRegister] = scratch.address + UInt64(nearHole)
        for index in 0..<ScratchMemory.size / 8 {
            scratch.store(index % 2 == 0 ? random.next() : UnitGenerator.float(&random), index * 8)
        }
        // MXCSR.RC of each rounding; the fifth has none and goes through soft float.
        let control: UInt32 = switch rounding {
        case .towardZero: 3
        case .down: 1
        case .up: 2
        default: 0
        }
        state.mxcsr = 0x1F80 | control << 13
        state.block.storeBytes(of: UInt64.max, toByteOffset: StateLayout.reservationAddress, as: UInt64.self)
        state.block.storeBytes(of: 0, toByteOffset: StateLayout.reservationValue, as: UInt64.self)
        state.block.storeBytes(of: 0, toByteOffset: StateLayout.pc, as: UInt64.self)
    }

    private static let everything = Array(0..<TestGuest.globals.count)

    /// The name, the globals in host registers and whether memory goes through the soft TLB.
    struct Arrangement: CustomTestStringConvertible {
        var testDescription: String
        var pinned: [Int]
        var identity: Bool
    }

    static let arrangements = [
        Arrangement(testDescription: "registers pinned", pinned: everything, identity: true),
        Arrangement(testDescription: "registers in memory", pinned: [], identity: true),
        Arrangement(testDescription: "half of the registers pinned", pinned: [0, 3, 4, 6, 9, 11], identity: true),
        Arrangement(testDescription: "registers pinned, soft TLB", pinned: everything, identity: false),
        Arrangement(testDescription: "registers in memory, soft TLB", pinned: [], identity: false),
    ]

    /// Units per arrangement; raise it with GUISE_DIFFERENTIAL_UNITS for a longer hunt.
    private static let unitCount = getenv("GUISE_DIFFERENTIAL_UNITS").flatMap { Int(String(cString: $0)) } ?? 400
    private static let firstSeed = getenv("GUISE_DIFFERENTIAL_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1

    /// Both executors of one arrangement, on one state and one scratch buffer.
    private final class Comparison {
        let scratch = ScratchMemory(), state = TestState(), unit = Unit()
        let builder: Builder
        let interpreter: Interpreter
        let code: GeneratedCode
        var declined = 0

        init(_ arrangement: Arrangement) throws {
            let memory = arrangement.identity ? InterpreterMemory.identity : paged
            bounds.pointee = (scratch.address, scratch.hole)
            builder = Builder(unit: unit, globals: TestGuest.globals)
            interpreter = Interpreter(globals: TestGuest.globals, helpers: helpers, floatRules: .riscv, memory: memory)
            // The interpreter's condition codes are AMD's where processors differ.
            code = try GeneratedCode(pinned: arrangement.pinned, helpers: helpers, memory: memory,
                                     exactFlags: guise_cpu_is_amd() == 0)
        }

        func build(_ seed: UInt64, _ length: Int) {
            UnitGenerator.build(builder, seed: seed, length: length, helperCount: helpers.count)
        }

        /// What differs between the executors for the unit; nil when nothing does, or when the generator declines.
        func difference(_ seed: UInt64) -> String? {
            let problems = Verifier.problems(in: unit, globals: TestGuest.globals, helperCount: helpers.count)
            if !problems.isEmpty { return "not a valid unit: \(problems)" }
            func run(_ body: () -> ExitKind) -> Outcome {
                prepare(state, scratch, seed: seed, rounding: unit.rounding)
                if !unit.blocks.isEmpty { state[UnitGenerator.fuelRegister] = seed & 15 }
                return Outcome(body(), state, scratch)
            }
            let expected = run { interpreter.run(unit, state: state.block) }
            guard code.generate(unit) != nil else {
                declined += 1
                return nil
            }
            let optimised = run { interpreter.run(unit, state: state.block) }
            if optimised != expected { return "after dead code elimination: " + expected.difference(optimised) }
            let got = run { code.enter(state) }
            return got == expected ? nil : expected.difference(got)
        }
    }

    @Test(arguments: arrangements)
    func `random units end alike in the interpreter and as machine code`(arrangement: Arrangement) throws {
        let comparison = try Comparison(arrangement)
        var failures = 0
        for seed in Self.firstSeed..<Self.firstSeed + UInt64(Self.unitCount) where failures < 5 {
            var length = 4 + Int(seed % 50)
            comparison.build(seed, length)
            guard var difference = comparison.difference(seed) else { continue }
            // The same seed with fewer operations is a prefix of the unit: the shortest one that still differs.
            for shorter in 1..<length {
                comparison.build(seed, shorter)
                if let found = comparison.difference(seed) {
                    (length, difference) = (shorter, found)
                    break
                }
            }
            comparison.build(seed, length)
            let text = Printer.print(comparison.unit, globals: TestGuest.globals)
            Issue.record("seed \(seed), \(length) operations: \(difference)\n\(text)")
            failures += 1
        }
        #expect(comparison.declined * 20 < Self.unitCount, "\(comparison.declined) of \(Self.unitCount) units declined")
    }

    @Test(arguments: arrangements)
    func `random regions end alike in the interpreter and as machine code`(arrangement: Arrangement) throws {
        let comparison = try Comparison(arrangement)
        var failures = 0
        for seed in Self.firstSeed..<Self.firstSeed + UInt64(Self.unitCount) where failures < 3 {
            let length = 6 + Int(seed % 60)
            UnitGenerator.buildRegion(comparison.builder, seed: seed, length: length, helperCount: Self.helpers.count)
            let text = Printer.print(comparison.unit, globals: TestGuest.globals)
            guard let difference = comparison.difference(seed) else { continue }
            Issue.record("seed \(seed): \(difference)\n\(text)")
            failures += 1
        }
        #expect(comparison.declined * 20 < Self.unitCount, "\(comparison.declined) of \(Self.unitCount) regions declined")
    }

    /// Units that once ended differently, or that are likely to.
    static let suspects = [
        // A selection whose target is the home of an operand that its comparison needs too.
        """
        %z = constant.i64 0
        %a = get x6
        %b = get x0
        %c = compare.ne %a, %z
        %s = select.i64 %c, %a, %b
        set x6, %s
        jump 0x20000
        """,
        // A store of its own base register while another temporary is in use.
        """
        %a = get x1
        %v = load.u32.i32 [%a + 33]
        %x = get x0
        store.u8.i64 [%x + 104], %x
        set x2, %x
        %w = zeroExtend.i64 %v
        set x5, %w
        jump 0x20000
        """,
        // A float load that misses the TLB when every float temporary is in use.
        """
        %f = get f0
        %g = get f1
        %x = get x0
        %a = floatAdd.dyn.f64 %f, %g
        %b = floatSubtract.dyn.f64 %f, %g
        %c = floatMultiply.dyn.f64 %f, %g
        %d = floatDivide.dyn.f64 %f, %g
        %e = load.u64.f64 [%x + 8]
        store.u64.f64 [%x + 16], %a
        store.u64.f64 [%x + 24], %b
        store.u64.f64 [%x + 32], %c
        store.u64.f64 [%x + 40], %d
        set f2, %e
        jump 0x20000
        """,
        // A helper changes registers that values were read from.
        """
        %a = get x5
        %f = get f1
        %r = call 0(%a)
        %b = get x5
        %d = sub.i64 %b, %a
        set x2, %d
        set x3, %r
        set f2, %f
        jump 0x20000
        """,
        // Overwritten registers whose values live on.
        """
        %a = get x2
        %b = get x3
        set x2, %b
        set x3, %a
        %w = truncate.i32 %a
        %e = signExtend.i64 %w
        set x4, %e
        %s = add.i64 %a, %b
        set x4, %s
        set x5, %e
        jump 0x20000
        """,
    ]

    @Test(arguments: arrangements)
    func `suspicious units end alike in the interpreter and as machine code`(arrangement: Arrangement) throws {
        let comparison = try Comparison(arrangement)
        for text in Self.suspects {
            for seed in UInt64(0)..<50 {
                try Parser.parse("unit 0x10000\n" + text, globals: TestGuest.globals, into: comparison.unit)
                #expect(comparison.difference(seed) == nil, "seed \(seed)\n\(text)")
            }
        }
        #expect(comparison.declined == 0)
    }
}
