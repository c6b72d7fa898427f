import Testing
@testable import Machines

@Suite struct SBITests {
    final class FakeHart: SBIHart {
        var hartID = 0
        var hartCount = 3
        var registers = [UInt64](repeating: 0, count: 32)
        var statuses: [SBIHartStatus] = [.started, .stopped, .stopped]
        var events: [String] = []
        var memory = [UInt8](repeating: 0, count: 8192)
        var consoleRoom = Int.max
        var typed: [UInt8] = []
        let memoryStart: UInt64 = 0x8000_0000

        func register(_ number: Int) -> UInt64 { registers[number] }
        func setRegister(_ number: Int, _ value: UInt64) { registers[number] = value }
        func status(ofHart hart: Int) -> SBIHartStatus { statuses[hart] }
        func start(hart: Int, address: UInt64, opaque: UInt64) -> Bool {
            guard statuses[hart] == .stopped else { return false }
            statuses[hart] = .startPending
            events.append("start \(hart) \(address) \(opaque)")
            return true
        }
        func stop() { events.append("stop") }
        func setTimer(deadlineTicks: UInt64) { events.append("timer \(deadlineTicks)") }
        func sendIPI(toHart hart: Int) { events.append("ipi \(hart)") }
        func clearIPI() { events.append("clear ipi") }
        func remoteFence(_ fence: SBIFence, harts: [Int]) { events.append("\(fence) \(harts)") }
        func reset(_ reset: SBIReset) { events.append("\(reset)") }
        func isMemory(address: UInt64, sizeBytes: UInt64) -> Bool {
            let offset = address &- memoryStart
            return offset <= UInt64(memory.count) && sizeBytes <= UInt64(memory.count) - offset
        }
        func readMemory(address: UInt64, sizeBytes: Int) -> [UInt8] {
            let offset = Int(address - memoryStart)
            return Array(memory[offset..<offset + sizeBytes])
        }
        func writeMemory(address: UInt64, _ bytes: [UInt8]) {
            for (index, byte) in bytes.enumerated() { memory[Int(address - memoryStart) + index] = byte }
        }
        func writeConsole(_ bytes: [UInt8]) -> Int {
            let count = min(bytes.count, consoleRoom)
            events.append("print \(bytes.prefix(count).count)")
            return count
        }
        func readConsole(limit: Int) -> [UInt8] {
            defer { typed.removeFirst(min(limit, typed.count)) }
            return Array(typed.prefix(limit))
        }

        func call(_ number: UInt64, _ function: UInt64, _ arguments: UInt64...)
            -> (error: Int64, value: UInt64, outcome: SBIOutcome) {
            for (index, value) in arguments.enumerated() { registers[10 + index] = value }
            registers[16] = function
            registers[17] = number
            let outcome = SBI.call(self)
            return (Int64(bitPattern: registers[10]), registers[11], outcome)
        }
    }

    @Test func `base reports version 2 and probes what is there`() {
        let hart = FakeHart()
        #expect(hart.call(0x10, 0).value == 0x0200_0000)
        for present in [0x5449_4d45, 0x73_5049, 0x5246_4e43, 0x48_534d, 0x5352_5354, 0x4442_434e, 0x10] as [UInt64] {
            #expect(hart.call(0x10, 3, present).value == 1)
        }
        #expect(hart.call(0x10, 3, 0x50_4d55).value == 0)
        #expect(hart.call(0x10, 99).error == -2)
        #expect(hart.call(0x1234_5678, 0).error == -2)
    }

    @Test func `time, IPI and fences reach the harts of the mask`() {
        let hart = FakeHart()
        #expect(hart.call(0x5449_4d45, 0, 77).error == 0)
        #expect(hart.call(0x73_5049, 0, 0b11, 1).error == 0)
        #expect(hart.call(0x73_5049, 0, 0, .max).error == 0)
        #expect(hart.call(0x5246_4e43, 0, 0b1, 2).error == 0)
        #expect(hart.call(0x5246_4e43, 1, 0b1, 0, 0x1000, 0x2000).error == 0)
        #expect(hart.call(0x5246_4e43, 2, 0b1, 0, 0x1000, .max, 5).error == 0)
        #expect(hart.call(0x5246_4e43, 3, 0b1, 0).error == -2)
        #expect(hart.events == ["timer 77", "ipi 1", "ipi 2", "ipi 0", "ipi 1", "ipi 2", "instructions [2]",
                                "addresses(start: 4096, sizeBytes: 8192, asid: nil) [0]",
                                "addresses(start: 4096, sizeBytes: 18446744073709551615, asid: Optional(5)) [0]"])
    }

    @Test(arguments: [(0b1000, 0), (1, 3), (1 << 63, .max - 1), (2, .max - 1)] as [(UInt64, UInt64)])
    func `a mask that names an absent hart is refused as a whole`(mask: UInt64, base: UInt64) {
        let hart = FakeHart()
        #expect(hart.call(0x73_5049, 0, mask, base).error == -3)
        #expect(hart.events.isEmpty)
    }

    @Test func `harts start once, stop, and tell their state`() {
        let hart = FakeHart()
        #expect(hart.call(0x48_534d, 0, 1, 0x8000_0000, 9).error == 0)
        #expect(hart.call(0x48_534d, 0, 1, 0x8000_0000, 9).error == -6)
        #expect(hart.call(0x48_534d, 0, 0, 0x8000_0000, 9).error == -6)
        #expect(hart.call(0x48_534d, 0, 3, 0x8000_0000, 9).error == -3)
        #expect(hart.call(0x48_534d, 0, 2, 0x1000, 9).error == -5)
        #expect(hart.call(0x48_534d, 2, 1).value == 2)
        #expect(hart.call(0x48_534d, 2, .max).error == -3)
        #expect(hart.call(0x48_534d, 1).outcome == .stop)
        #expect(hart.events == ["start 1 2147483648 9", "stop"])
    }

    @Test func `suspend returns or restarts by its type`() {
        let hart = FakeHart()
        let retentive = hart.call(0x48_534d, 3, 0)
        #expect(retentive.outcome == .suspend && retentive.error == 0)
        #expect(hart.call(0x48_534d, 3, 0x8000_0000, 0x8000_0010, 4).outcome
                == .suspendAndRestart(address: 0x8000_0010, opaque: 4))
        #expect(hart.call(0x48_534d, 3, 0x8000_0000, 0x10, 4).error == -5)
        #expect(hart.call(0x48_534d, 3, 5).error == -3)
        #expect(hart.call(0x48_534d, 3, 0x1000_0000).error == -2)
    }

    @Test func `system reset tells failure from shutdown`() {
        let hart = FakeHart()
        #expect(hart.call(0x5352_5354, 0, 0, 0).outcome == .park)
        #expect(hart.call(0x5352_5354, 0, 0, 1).outcome == .park)
        #expect(hart.call(0x5352_5354, 0, 1, 0).outcome == .park)
        #expect(hart.call(0x5352_5354, 0, 3, 0).error == -3)
        #expect(hart.call(0x5352_5354, 0, 0, 2).error == -3)
        #expect(hart.call(8, 0).outcome == .park)
        #expect(hart.events == ["shutdown(failure: false)", "shutdown(failure: true)", "reboot", "shutdown(failure: false)"])
    }

    @Test func `the debug console moves memory in bounded pieces`() {
        let hart = FakeHart()
        #expect(hart.call(0x4442_434e, 0, 8192, 0x8000_0000, 0).value == 4096)
        #expect(hart.call(0x4442_434e, 0, 8193, 0x8000_0000, 0).error == -3)
        #expect(hart.call(0x4442_434e, 0, .max, 0x8000_0000, 0).error == -3)
        #expect(hart.call(0x4442_434e, 0, 1, 0x8000_0000, 1).error == -3)
        hart.typed = [1, 2, 3]
        #expect(hart.call(0x4442_434e, 1, 2, 0x8000_0100, 0).value == 2)
        #expect(Array(hart.memory[0x100..<0x103]) == [1, 2, 0])
        hart.consoleRoom = 0
        #expect(hart.call(0x4442_434e, 2, 65).error == -1)
    }

    @Test func `legacy calls print, read, and leave a1 alone`() {
        let hart = FakeHart()
        hart.registers[11] = 42
        #expect(hart.call(1, 0, 65).error == 0)
        #expect(hart.call(2, 0).error == -1)
        hart.typed = [7]
        #expect(hart.call(2, 0).error == 7)
        #expect(hart.call(5, 0).error == -2)
        #expect(hart.registers[11] == 42)
    }

    @Test func `random calls do no harm`() {
        let hart = FakeHart()
        var random = FuzzRandom(seed: 3)
        let numbers: [UInt64] = Array(SBIExtension.supported) + [3, 4, 5, 6, 7, 0x50_4d55]
        for _ in 0..<20_000 {
            for index in 10...16 {
                let edges: [UInt64] = [0, 1, 2, 3, .max, .max - 1, 0x8000_0000, 0x8000_1fff, 1 << 63, random.next()]
                hart.registers[index] = edges[Int(random.next() % 10)]
            }
            hart.registers[17] = numbers[Int(random.next() % UInt64(numbers.count))]
            _ = SBI.call(hart)
            hart.events = []
            hart.statuses = [.started, .stopped, .stopped]
        }
    }
}
