// A hart whose program is a list of closures: each step plays the guest until its next exit.

import Bus
import GuestMemory
import SavedState
import Synchronization
@testable import Machines

final class ScriptedCPU: RISCVCPU, @unchecked Sendable {
    typealias Step = @Sendable (ScriptedCPU) -> VCPUExit

    let hartID: Int
    let request: CPURequest
    private let program: [Step]
    private(set) var position = 0
    private(set) var entry: HartEntry?
    private var registers = [UInt64](repeating: 0, count: 32)
    private let kicks = Atomic<Bool>(false)
    private let pending = Atomic<UInt64>(0)
    let fences = Mutex<[String]>([])

    init(_ request: CPURequest, _ program: [Step]) {
        hartID = request.hartID
        self.request = request
        self.program = program
    }

    /// `mip` as driven from outside.
    var interrupts: UInt64 { pending.load(ordering: .acquiring) }
    var wasKicked: Bool { kicks.load(ordering: .acquiring) }

    /// Sleeps in WFI when the program is over.
    func run() -> VCPUExit {
        if kicks.exchange(false, ordering: .acquiringAndReleasing) { return .kicked }
        guard position < program.count else { return .halted }
        let step = program[position]
        position += 1
        return step(self)
    }
    func kick() { kicks.store(true, ordering: .releasing) }
    func setInterrupt(_ bit: Int, _ level: Bool) {
        if level { pending.bitwiseOr(1 << UInt64(bit), ordering: .acquiringAndReleasing) } else {
            pending.bitwiseAnd(~(1 << UInt64(bit)), ordering: .acquiringAndReleasing)
        }
    }
    func reset(pc: GuestPhysical, a0: UInt64, a1: UInt64, privilege: Privilege) {
        registers = Array(repeating: 0, count: 32)
        registers[10] = a0
        registers[11] = a1
        entry = HartEntry(pc: pc.value, a0: a0, a1: a1, privilege: privilege)
    }
    func register(_ number: Int) -> UInt64 { registers[number] }
    func setRegister(_ number: Int, _ value: UInt64) { registers[number] = value }
    func flushTLB(start: GuestVirtual, sizeBytes: UInt64, asid: UInt64?) {
        fences.withLock { $0.append("\(start.value)+\(sizeBytes) \(asid.map(String.init) ?? "all")") }
    }
    func flushInstructionCache() { fences.withLock { $0.append("instructions") } }

    func save(to writer: inout StateWriter) {
        writer.section("scripted", version: 1) { writer in
            writer.put(UInt32(position))
            writer.put(each: registers) { $0.put($1) }
        }
    }
    func restore(from reader: inout StateReader) throws {
        try reader.section("scripted", newest: 1) { reader, _ in
            position = Int(try reader.get(UInt32.self))
            registers = try reader.getEach(limit: 32) { try $0.get() }
            guard registers.count == 32, position <= program.count else {
                throw StateError.invalid(section: "scripted", reason: "size")
            }
        }
    }

    // MARK: What guests do

    /// An ECALL with these arguments.
    func call(_ extensionID: UInt64, _ function: UInt64, _ arguments: UInt64...) -> VCPUExit {
        for (index, value) in arguments.enumerated() { registers[10 + index] = value }
        registers[16] = function
        registers[17] = extensionID
        return .environmentCall
    }

    /// Prints through the UART, waiting for room as a polling driver does.
    func print(_ text: String) {
        for byte in text.utf8 {
            while request.bus.read(VirtMap.uart + 5, size: 1)! & 0x20 == 0 {}
            _ = request.bus.write(VirtMap.uart, size: 1, value: UInt64(byte))
        }
    }

    /// Writes a command to the test finisher.
    func finish(_ value: UInt64) -> VCPUExit {
        _ = request.bus.write(VirtMap.test, size: 4, value: value)
        return .halted
    }
}
