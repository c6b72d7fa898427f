import IR
import Testing
@testable import Translator

@Suite struct InterpreterControlTests {
    @Test func `registers are read at their place in the program`() {
        let bench = Bench()
        bench.state[0] = 1
        bench.run {
            let old = $0.get(0)
            $0.set(0, $0.constant(2))
            $0.set(1, $0.add(old, old))
            $0.set(2, $0.get(0))
        }
        #expect(bench.state[1] == 2)
        #expect(bench.state[2] == 2)
    }

    @Test func `jumps of every kind leave for their target`() {
        let bench = Bench()
        for kind in JumpKind.allCases {
            #expect(bench.run { $0.jump(0x5000, kind: kind, returnAddress: 0x10004) } == .lookup)
            #expect(bench.state.pc == 0x5000)
            bench.state[3] = 0xFFFF_FFFF_8000_0000
            #expect(bench.run { $0.jumpIndirect($0.get(3), kind: kind, returnAddress: 0x10004) } == .lookup)
            #expect(bench.state.pc == 0xFFFF_FFFF_8000_0000)
            #expect(bench.state.exitKind == ExitKind.lookup.rawValue)
        }
    }

    @Test func `a taken exit keeps what was written before it and nothing after`() {
        let bench = Bench()
        #expect(bench.run {
            $0.set(0, $0.constant(1))
            $0.exitIf(.equal, $0.get(5), $0.get(6), target: 0x7000)
            $0.set(0, $0.constant(2))
        } == .lookup)
        #expect(bench.state.pc == 0x7000)
        #expect(bench.state[0] == 1)
    }

    @Test(arguments: [ExitKind.systemCall, .breakpoint, .illegalInstruction, .instructionFence, .wait, .frontException])
    func `raise hands over its code and address`(kind: ExitKind) {
        let bench = Bench()
        #expect(bench.run {
            $0.instruction(0x10004)
            $0.raise(UInt8(kind.rawValue), pc: 0x10008)
        } == kind)
        #expect(bench.state.pc == 0x10008)
        #expect(bench.state.exitKind == kind.rawValue)
    }

    // MARK: helpers

    /// Returns a + 10 b + 100 c and adds one to x6.
    static let sum: HelperFunction = { state, a, b, c in
        let field = state + StateLayout.integerGlobals + 6 * 8
        field.storeBytes(of: field.load(as: UInt64.self) + 1, as: UInt64.self)
        return a + 10 * b + 100 * c
    }
    /// Leaves with exit kind a; for pc b if that is not zero.
    static let leave: HelperFunction = { state, a, b, _ in
        state.storeBytes(of: UInt32(a), toByteOffset: StateLayout.helperExit, as: UInt32.self)
        if b != 0 { state.storeBytes(of: b, toByteOffset: StateLayout.pc, as: UInt64.self) }
        return 0
    }

    @Test func `a helper sees registers in memory and its changes are seen`() {
        let bench = Bench(helpers: [Self.leave, Self.sum])
        bench.state[6] = 40
        bench.run {
            $0.set(6, $0.add($0.get(6), $0.constant(1)))
            $0.set(0, $0.call(1, $0.constant(1), $0.constant(2), $0.constant(3)))
            $0.set(1, $0.get(6))
            $0.set(2, $0.call(1))
        }
        #expect(bench.state[0] == 321)
        #expect(bench.state[1] == 42)
        #expect(bench.state[2] == 0)
        #expect(bench.state[6] == 43)
    }

    @Test func `a helper that leaves stops the unit at its instruction or where it says`() {
        let bench = Bench(helpers: [Self.leave])
        for kind in [ExitKind.lookup, .instructionFence, .wait, .illegalInstruction, .frontException, .memoryFault] {
            let setsPC = kind == .lookup
            bench.state[1] = 0
            #expect(bench.run {
                $0.instruction(0x10004)
                _ = $0.call(0, $0.constant(Int64(kind.rawValue)), $0.constant(setsPC ? 0x9000 : 0))
                $0.set(1, $0.constant(1))
            } == kind)
            #expect(bench.state.pc == (setsPC ? 0x9000 : 0x10004))
            #expect(bench.state.exitKind == kind.rawValue)
            #expect(bench.state[1] == 0)
        }
    }

    @Test func `an exit requested earlier does not stop a later helper call`() {
        let bench = Bench(helpers: [Self.sum])
        bench.state.block.storeBytes(of: 7, toByteOffset: StateLayout.helperExit, as: UInt32.self)
        #expect(bench.run { _ = $0.call(0) } == .lookup)
        #expect(bench.state.pc == Bench.end)
    }

    @Test func `dead code elimination changes no result`() {
        let bench = Bench()
        for eliminate in [false, true] {
            bench.state[0] = 5
            bench.state[1] = 0
            bench.run(eliminate: eliminate) {
                $0.set(1, $0.constant(1))
                $0.set(1, $0.add($0.get(0), $0.constant(2)))
                _ = $0.binary(.multiply, $0.get(0), $0.get(1))
                $0.set(0, $0.constant(8))
            }
            #expect(bench.state[1] == 7)
            #expect(bench.state[0] == 8)
        }
    }

    @Test func `a unit longer than any before it runs`() {
        let bench = Bench()
        bench.run { builder in
            for number in 0..<5000 {
                builder.instruction(0x10000 + UInt64(number) * 2)
                builder.set(0, builder.binary(.add, builder.get(0), builder.get(1)))
            }
            builder.set(1, builder.constant(0))
        }
        bench.state[0] = 0
        bench.state[1] = 2
        bench.run { builder in
            for number in 0..<5000 {
                builder.instruction(0x10000 + UInt64(number) * 2)
                builder.set(0, builder.binary(.add, builder.get(0), builder.get(1)))
            }
        }
        #expect(bench.state[0] == 10000)
    }
}
