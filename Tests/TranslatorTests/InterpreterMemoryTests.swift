import Glibc
import IR
import Testing
@testable import Translator

@Suite(.serialized) struct InterpreterMemoryTests {
    static func format(_ sizeLog2: Int, signed: Bool = false, bigEndian: Bool = false,
                       aligned: Bool = false) -> MemoryFormat {
        MemoryFormat(sizeLog2: sizeLog2, signed: signed, bigEndian: bigEndian, aligned: aligned)
    }

    // MARK: loads and stores

    @Test(arguments: [
        (0, false, false, Int64(0xEF)), (0, true, false, -0x11), (1, false, false, 0xCDEF), (1, true, false, -0x3211),
        (2, false, false, 0x89AB_CDEF), (2, true, false, -0x7654_3211), (3, false, false, -0x7EDC_BA98_7654_3211),
        (1, false, true, 0xEFCD), (1, true, true, -0x1033), (2, false, true, 0xEFCD_AB89),
        (2, true, true, -0x1032_5477), (3, true, true, Int64(bitPattern: 0xEFCD_AB89_6745_2381)),
    ])
    func `loads extend as the format says`(size: Int, signed: Bool, bigEndian: Bool, expected: Int64) {
        let bench = Bench(), memory = ScratchMemory()
        memory.store(UInt64(0x8123_4567_89AB_CDEF), 101)
        bench.state[0] = memory.address + 200
        #expect(bench.evaluate {
            $0.load($0.get(0), -99, Self.format(size, signed: signed, bigEndian: bigEndian), .i64)
        } == expected)
        if size < 3 {
            #expect(bench.evaluate {
                $0.signExtend($0.load($0.get(0), -99, Self.format(size, signed: signed, bigEndian: bigEndian), .i32), .i64)
            } == Int64(Int32(truncatingIfNeeded: expected)))
        }
    }

    @Test func `stores write the low bytes only`() {
        let bench = Bench(), memory = ScratchMemory()
        for size in 0...3 {
            for bigEndian in [false, true] {
                memory.store(UInt64.max, 16)
                memory.store(UInt64.max, 24)
                bench.state[0] = memory.address
                bench.state[1] = 0x1122_3344_5566_7788
                bench.run { $0.store($0.get(0), 17, $0.get(1), Self.format(size, bigEndian: bigEndian)) }
                for byte in 0..<8 {
                    let last = (1 << size) - 1
                    let low = UInt8(0x88 - 0x11 * (bigEndian ? last - min(byte, last) : byte))
                    #expect(memory.load(17 + byte, as: UInt8.self) == (byte < 1 << size ? low : 0xFF))
                }
                #expect(memory.load(16, as: UInt8.self) == 0xFF)
            }
        }
    }

    @Test func `floats are loaded and stored in their own width`() {
        let bench = Bench(), memory = ScratchMemory()
        memory.store(Float(-1.5), 8)
        memory.store(Double(2.25), 16)
        bench.state[0] = memory.address
        bench.run {
            $0.set(TestGuest.f0, $0.unit.append(Instruction(.nanBox, .f64, a: $0.load($0.get(0), 8, Self.format(2), .f32))))
            $0.set(TestGuest.f0 + 1, $0.load($0.get(0), 16, Self.format(3), .f64))
            $0.store($0.get(0), 24, $0.get(TestGuest.f0), Self.format(2))
            $0.store($0.get(0), 32, $0.get(TestGuest.f0 + 1), Self.format(3))
        }
        #expect(bench.state[TestGuest.f0] == 0xFFFF_FFFF_0000_0000 | UInt64(Float(-1.5).bitPattern))
        #expect(bench.state[TestGuest.f0 + 1] == Double(2.25).bitPattern)
        #expect(memory.load(24, as: Float.self) == -1.5)
        #expect(memory.load(28, as: UInt32.self) == 0)
        #expect(memory.load(32, as: Double.self) == 2.25)
    }

    // MARK: faults

    @Test func `a fault reports address, access and instruction and stops before later effects`() {
        let bench = Bench(), memory = ScratchMemory()
        for (write, eliminate) in [(false, false), (true, false), (false, true), (true, true)] {
            bench.state[0] = memory.hole
            bench.state[1] = 1
            bench.state[2] = 2
            let kind = bench.run(eliminate: eliminate) {
                $0.set(1, $0.constant(100))
                $0.instruction(0x10004)
                $0.set(2, $0.constant(200))
                $0.instruction(0x10008)
                if write { $0.store($0.get(0), 8, $0.get(1), Self.format(3)) }
                $0.set(2, $0.load($0.get(0), 8, Self.format(2), .i64))
                $0.set(1, $0.constant(300))
            }
            #expect(kind == .memoryFault)
            #expect(bench.state.exitKind == ExitKind.memoryFault.rawValue)
            #expect(bench.state.pc == 0x10008)
            #expect(bench.state.exitAddress == memory.hole + 8)
            #expect(bench.state.exitAccess == (write ? 1 : 0))
            #expect(bench.state[1] == 100)
            #expect(bench.state[2] == 200)
        }
    }

    @Test func `an access that runs into a hole reports the first bad byte and writes nothing`() {
        let bench = Bench(), memory = ScratchMemory()
        memory.store(UInt32(0x0102_0304), ScratchMemory.size - 4)
        bench.state[0] = memory.hole
        bench.state[1] = .max
        #expect(bench.run { $0.store($0.get(0), -4, $0.get(1), Self.format(3)) } == .memoryFault)
        #expect(bench.state.exitAddress == memory.hole)
        #expect(memory.load(ScratchMemory.size - 4, as: UInt32.self) == 0x0102_0304)
        #expect(bench.run { $0.set(1, $0.load($0.get(0), -4, Self.format(3), .i64)) } == .memoryFault)
        #expect(bench.state[1] == .max)
    }

    @Test func `aligned formats and all atomics fault when misaligned`() {
        let bench = Bench(), memory = ScratchMemory()
        bench.state[0] = memory.address + 2
        func expect(_ write: Bool, _ build: (Builder) -> Void) {
            #expect(bench.run { $0.instruction(0x10002); build($0) } == .misaligned)
            #expect(bench.state.pc == 0x10002)
            #expect(bench.state.exitAddress == memory.address + 2)
            #expect(bench.state.exitAccess == (write ? 1 : 0))
        }
        expect(false) { _ = $0.load($0.get(0), 0, Self.format(2, aligned: true), .i64) }
        expect(true) { $0.store($0.get(0), 0, $0.get(1), Self.format(3, aligned: true)) }
        expect(false) { _ = $0.loadReserved($0.get(0), Self.format(2, aligned: true)) }
        expect(true) { _ = $0.storeConditional($0.get(0), $0.get(1), Self.format(2, aligned: true)) }
        expect(true) { _ = $0.atomic(.add, $0.get(0), $0.get(1), Self.format(3, aligned: true)) }
        expect(true) {
            $0.unit.append(Instruction(.compareExchange, .i64, aux: Self.format(2, aligned: true).rawValue, a: $0.get(0), b: $0.get(1),
                                       c: $0.get(1)))
        }
        #expect(bench.run { _ = $0.load($0.get(0), 0, Self.format(1, aligned: true), .i64) } == .lookup)
    }

    // MARK: atomics

    @Test(arguments: AtomicOperation.allCases)
    func `atomics return the old value and store the new one`(operation: AtomicOperation) {
        let bench = Bench(), memory = ScratchMemory()
        bench.state[0] = memory.address + 8
        let pairs: [(UInt64, UInt64)] = [(0x8000_0000, 5), (5, 0x8000_0000), (.max, 1), (1, .max), (0x7F, 0x80)]
        for size in 0...3 {
            for bigEndian in [false, true] {
                for (old, operand) in pairs {
                    let bits = 8 << size, mask = UInt64.max >> UInt64(64 - bits)
                    let a = old & mask, b = operand & mask
                    func signed(_ x: UInt64) -> Int64 { Int64(bitPattern: x << UInt64(64 - bits)) >> Int64(64 - bits) }
                    let expected: UInt64 = switch operation {
                    case .swap: b
                    case .add: (a &+ b) & mask
                    case .and: a & b
                    case .or: a | b
                    case .xor: a ^ b
                    case .minimumSigned: signed(a) <= signed(b) ? a : b
                    case .maximumSigned: signed(a) >= signed(b) ? a : b
                    case .minimumUnsigned: min(a, b)
                    case .maximumUnsigned: max(a, b)
                    }
                    func image(_ x: UInt64) -> UInt64 { bigEndian ? x.byteSwapped >> UInt64(64 - bits) : x }
                    memory.store(~mask | image(a), 8)
                    bench.state[1] = operand
                    let result = bench.evaluate {
                        $0.atomic(operation, $0.get(0), $0.get(1), Self.format(size, signed: true, bigEndian: bigEndian))
                    }
                    #expect(result == signed(a), "\(operation) size \(size)")
                    #expect(memory.load(8, as: UInt64.self) == ~mask | image(expected), "\(operation) size \(size)")
                }
            }
        }
    }

    @Test func `compare and exchange stores only when memory is as expected`() {
        let bench = Bench(), memory = ScratchMemory()
        bench.state[0] = memory.address
        bench.state[2] = 0xAAAA_BBBB_CCCC_DDDD
        for size in 0...3 {
            let mask = UInt64.max >> UInt64(64 - (8 << size))
            memory.store(UInt64.max, 0)
            let swap = Instruction(.compareExchange, .i64, aux: Self.format(size).rawValue)
            func run(_ builder: Builder) -> ValueID {
                var op = swap
                (op.a, op.b, op.c) = (builder.get(0), builder.get(1), builder.get(2))
                return builder.unit.append(op)
            }
            bench.state[1] = 7
            #expect(UInt64(bitPattern: bench.evaluate(run)) == mask)
            #expect(memory.load(0, as: UInt64.self) == .max)
            bench.state[1] = .max
            #expect(UInt64(bitPattern: bench.evaluate(run)) == mask)
            #expect(memory.load(0, as: UInt64.self) == ~mask | bench.state[2] & mask)
        }
    }

    @Test func `a store conditional needs its reservation and the value read`() {
        let bench = Bench(), memory = ScratchMemory()
        for size in [2, 3] {
            let format = Self.format(size, signed: true)
            bench.state[0] = memory.address
            bench.state[1] = 77
            memory.store(Int64(-5), 0)
            #expect(bench.evaluate { $0.loadReserved($0.get(0), format) } == -5)
            #expect(bench.state.reservation == memory.address)
            #expect(bench.evaluate { $0.storeConditional($0.get(0), $0.get(1), format) } == 0)
            #expect(memory.load(0, as: Int32.self) == 77)
            #expect(bench.state.reservation == .max)
            // Given up by the first.
            #expect(bench.evaluate { $0.storeConditional($0.get(0), $0.get(1), format) } == 1)
            // Another address.
            #expect(bench.evaluate { $0.loadReserved($0.get(0), format) } != 0)
            bench.state[0] += 8
            #expect(bench.evaluate { $0.storeConditional($0.get(0), $0.get(1), format) } == 1)
            #expect(bench.state.reservation == .max)
            bench.state[0] -= 8
            // Changed in between.
            _ = bench.evaluate { $0.loadReserved($0.get(0), format) }
            memory.store(Int32(78), 0)
            #expect(bench.evaluate { $0.storeConditional($0.get(0), $0.get(1), format) } == 1)
            #expect(memory.load(0, as: Int32.self) == 78)
        }
    }

    @Test func `atomic faults name the address and leave the reservation alone`() {
        let bench = Bench(), memory = ScratchMemory()
        bench.state[0] = memory.hole + 16
        #expect(bench.run { _ = $0.loadReserved($0.get(0), Self.format(2)) } == .memoryFault)
        #expect(bench.state.exitAddress == memory.hole + 16)
        #expect(bench.state.exitAccess == 0)
        #expect(bench.state.reservation == .max)
        for operation in AtomicOperation.allCases {
            #expect(bench.run { _ = $0.atomic(operation, $0.get(0), $0.get(1), Self.format(3)) } == .memoryFault)
            #expect(bench.state.exitAccess == 1)
        }
    }

    final class Job {
        let memory: ScratchMemory
        let rounds: Int
        let operations: [(AtomicOperation, Int)]
        init(memory: ScratchMemory, rounds: Int, operations: [(AtomicOperation, Int)]) {
            self.memory = memory
            self.rounds = rounds
            self.operations = operations
        }
    }

    @Test func `read-modify-writes of several threads lose no update`() {
        let memory = ScratchMemory()
        let rounds = 20_000
        let operations: [(AtomicOperation, Int)] = [(.add, 0), (.xor, 8)]
        var threads: [pthread_t] = []
        let job = Job(memory: memory, rounds: rounds, operations: operations)
        for _ in 0..<2 {
            var thread = pthread_t()
            pthread_create(&thread, nil, { argument in
                guard let argument else { return nil }
                let job = Unmanaged<Job>.fromOpaque(argument).takeRetainedValue()
                let bench = Bench()
                bench.state[0] = job.memory.address
                bench.state[1] = 1
                bench.run {
                    for (operation, offset) in job.operations {
                        let address = $0.add($0.get(0), $0.constant(Int64(offset)))
                        _ = $0.atomic(operation, address, $0.get(1), InterpreterMemoryTests.format(3))
                    }
                }
                for _ in 1..<job.rounds { _ = bench.interpreter.run(bench.unit, state: bench.state.block) }
                return nil
            }, Unmanaged.passRetained(job).toOpaque())
            threads.append(thread)
        }
        for thread in threads { pthread_join(thread, nil) }
        #expect(memory.load(0, as: Int.self) == 2 * rounds)
        #expect(memory.load(8, as: Int.self) == 0)
    }

    @Test func `fences change nothing that one thread can see`() {
        let bench = Bench()
        bench.state[0] = 3
        bench.run {
            $0.fence(.storeLoad)
            $0.fence(.compiler)
        }
        #expect(bench.state[0] == 3)
    }

    // MARK: callbacks

    /// A guest memory of 256 bytes in the front area of the state block; addresses from 0x1000 on fault.
    static let callbacks = InterpreterMemory.callbacks(
        load: { state, address, size, value in
            guard address + size <= 256, value == 0 else { return deny(state, address, 0) }
            var result: UInt64 = 0
            memcpy(&result, state + StateLayout.front + Int(address), Int(size))
            return result
        },
        store: { state, address, size, value in
            guard address + size <= 256 else { return deny(state, address, 1) }
            var image = value
            memcpy(state + StateLayout.front + Int(address), &image, Int(size))
            return 0
        },
        pointer: { state, address, size, _ in
            guard address + size <= 256 else { return deny(state, address, 1) }
            return UInt64(UInt(bitPattern: state + StateLayout.front + Int(address)))
        })

    static func deny(_ state: UnsafeMutableRawPointer, _ address: UInt64, _ access: UInt32) -> UInt64 {
        state.storeBytes(of: ExitKind.memoryFault.rawValue, toByteOffset: StateLayout.helperExit, as: UInt32.self)
        state.storeBytes(of: address, toByteOffset: StateLayout.exitAddress, as: UInt64.self)
        state.storeBytes(of: access, toByteOffset: StateLayout.exitAccess, as: UInt32.self)
        return 0xDEAD
    }

    @Test func `machines reach memory through the slow paths`() {
        let bench = Bench(memory: Self.callbacks)
        bench.state[0] = 8
        bench.state[1] = 0x8877_6655_4433_2211
        #expect(bench.evaluate {
            $0.store($0.get(0), 0, $0.get(1), Self.format(3))
            $0.store($0.get(0), 2, $0.get(1), Self.format(1, bigEndian: true))
            return $0.load($0.get(0), 0, Self.format(2, signed: true), .i64)
        } == 0x1122_2211)
        #expect(bench.evaluate { $0.atomic(.add, $0.get(0), $0.get(1), Self.format(2)) } == 0x1122_2211)
        #expect(bench.evaluate { $0.load($0.get(0), 0, Self.format(2), .i64) } == 0x5555_4422)
        #expect(bench.evaluate { $0.loadReserved($0.get(0), Self.format(2)) } == 0x5555_4422)
        #expect(bench.state.reservation == 8)
        #expect(bench.evaluate { $0.storeConditional($0.get(0), $0.get(1), Self.format(2)) } == 0)
    }

    @Test func `a slow path's fault leaves the unit at the current instruction`() {
        let bench = Bench(memory: Self.callbacks)
        bench.state[0] = 0x2000
        bench.state[2] = 5
        // An exit left over from before must not be taken for a fresh one.
        bench.state.block.storeBytes(of: 3, toByteOffset: StateLayout.helperExit, as: UInt32.self)
        for (access, build) in [
            (UInt32(0), { (b: Builder) in b.set(2, b.load(b.get(0), 4, Self.format(2), .i64)) }),
            (1, { b in b.store(b.get(0), 4, b.get(1), Self.format(0)) }),
            (1, { b in b.set(2, b.atomic(.swap, b.add(b.get(0), b.constant(4)), b.get(1), Self.format(2))) }),
        ] {
            #expect(bench.run {
                _ = $0.load($0.constant(0), 0, Self.format(3), .i64)
                $0.instruction(0x10004)
                build($0)
            } == .memoryFault)
            #expect(bench.state.pc == 0x10004)
            #expect(bench.state.exitAddress == 0x2004)
            #expect(bench.state.exitAccess == access)
            #expect(bench.state[2] == 5)
        }
    }
}
