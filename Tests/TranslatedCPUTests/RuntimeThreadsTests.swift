// Several threads that translate, run, link and look up at once, while the cache is emptied under them and pages are
// invalidated: what they compute must be right all the time. `make test-tsan` runs this under ThreadSanitizer.

import Foundation
import Glibc
import GuestRISCV
import Synchronization
import Testing
import Translator
@testable import TranslatedCPU

@Suite(.serialized) struct RuntimeThreadsTests {
    /// RISC-V blocks that add a number of their own to a0, count a2 down and jump to another block, until a2 is 0.
    private final class Program: @unchecked Sendable {
        // SAFETY (Sendable): the tables are changed only while no thread runs.
        static let blockBytes = 32
        let count: Int
        let memory: UnsafeMutableRawPointer
        private(set) var amounts: [Int]
        private let next: [Int]
        var start: UInt64 { UInt64(UInt(bitPattern: memory)) }
        var bytes: Int { count * Self.blockBytes }

        init(count: Int, seed: UInt64) throws {
            self.count = count
            // Within a jump's range.
            precondition(count * Self.blockBytes <= 1 << 19)
            let mapping = mmap(nil, count * Self.blockBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            memory = try #require(mapping != MAP_FAILED ? mapping : nil)
            var random = Sequence64(state: seed)
            amounts = (0..<count).map { _ in 0 }
            next = (0..<count).map { _ in Int(random.next() % UInt64(count)) }
            choose(seed: seed)
        }

        deinit { munmap(memory, bytes) }

        /// Gives every block another number. Nobody runs.
        func choose(seed: UInt64) {
            var random = Sequence64(state: seed)
            for index in 0..<count {
                amounts[index] = Int(random.next() % 2048) - 1024
                let at = index * Self.blockBytes
                let offset = UInt32(bitPattern: Int32((next[index] - index) * Self.blockBytes - 12))
                let jump = (offset & 0x10_0000) << 11 | (offset & 0x7fe) << 20 | (offset & 0x800) << 9 | offset & 0xff000 | 0x6f
                let words: [UInt32] = [
                    UInt32(bitPattern: Int32(amounts[index])) << 20 | 10 << 15 | 10 << 7 | 0x13,  // addi a0, a0, amount
                    0xfff6_0613,  // addi a2, a2, -1
                    0x0006_0463,  // beqz a2, +8
                    jump,  // j next
                    0x0000_0073,  // ecall
                ]
                for (word, value) in words.enumerated() { memory.storeBytes(of: value, toByteOffset: at + word * 4, as: UInt32.self) }
            }
        }

        func address(_ block: Int) -> UInt64 { start + UInt64(block * Self.blockBytes) }

        /// What a0 holds after `steps` blocks from `block` on.
        func sum(from block: Int, steps: Int) -> Int {
            var block = block, sum = 0
            for _ in 0..<steps {
                sum += amounts[block]
                block = next[block]
            }
            return sum
        }
    }

    /// splitmix64.
    private struct Sequence64 {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var z = state
            z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
            return z ^ z >> 31
        }
    }

    /// Runs guest threads; returns the first wrong result of each.
    private func run(_ engine: UserEngine, _ program: Program, threads: Int, rounds: Int, seed: UInt64,
                     meanwhile: @escaping @Sendable (UInt64) -> Void) throws -> [String] {
        let failures = Mutex<[String]>([])
        let left = Atomic<Int>(threads)
        for thread in 0..<threads {
            let cpu = try engine.makeCPU()
            nonisolated(unsafe) let taken = cpu
            Thread.detachNewThread {
                defer {
                    taken.retire()
                    left.subtract(1, ordering: .sequentiallyConsistent)
                }
                var random = Sequence64(state: seed &+ UInt64(thread) &* 977)
                for round in 0..<rounds {
                    let block = Int(random.next() % UInt64(program.count)), steps = 1 + Int(random.next() % 300)
                    let state = RISCVState(taken.registers)
                    state.resetForProgram(pc: program.address(block))
                    state.setX(10, 0)
                    state.setX(12, UInt64(steps))
                    var exit = taken.run()
                    while exit == .interrupted { exit = taken.run() }
                    let got = Int(bitPattern: UInt(state.x(10)))
                    if exit != .systemCall || got != program.sum(from: block, steps: steps) {
                        failures.withLock { $0.append("thread \(thread), round \(round): \(exit), \(got)") }
                        return
                    }
                }
            }
        }
        var turn: UInt64 = 0
        while left.load(ordering: .sequentiallyConsistent) > 0 {
            meanwhile(turn)
            turn += 1
        }
        return failures.withLock { $0 }
    }

    @Test(arguments: [EngineKind.translate, .interpret])
    func `threads share translations that come and go`(_ kind: EngineKind) throws {
        var options = EngineOptions()
        options.engine = kind
        options.cacheSize = 1 << 20
        let engine = try UserEngine(architecture: .riscv64(), options: options)
        // More code than the cache holds, so that it is emptied again and again.
        let program = try Program(count: 1 << 14, seed: 1)
        engine.executableBytes = { $0 >= program.start ? max(0, Int(program.start) + program.bytes - Int($0)) : 0 }
        let rounds = Fuzz.rounds(kind == .translate ? 120 : 15)
        let pages = UInt64(program.bytes / 4096)
        for generation in UInt64(1)...3 {
            let failures = try run(engine, program, threads: 4, rounds: rounds, seed: generation) { turn in
                if turn % 3 == 0 { engine.codeChanged(start: program.start + turn &* 7 % pages * 4096, length: 4096) }
                if turn % 64 == 1 { engine.codeChanged(start: program.start, length: UInt64(program.bytes)) }
                if turn % 16 == 2 { engine.instructionFence() }
                usleep(200)
            }
            #expect(failures == [])
            // Nothing of the code that was there before may be left.
            program.choose(seed: generation &+ 100)
            engine.codeChanged(start: program.start, length: UInt64(program.bytes))
        }
    }
}
