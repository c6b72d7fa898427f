// A processor whose program is a list of closures; between them it keeps the rules of INIT, start-up and HLT.

import Bus
import GuestX86
import SavedState
import Synchronization
@testable import Machines

final class ScriptedX86CPU: X86CPU, @unchecked Sendable {
    typealias Step = @Sendable (ScriptedX86CPU) -> VCPUExit

    let hartID: Int
    let request: CPURequest
    private let program: [Step]
    private(set) var position = 0
    private(set) var start: VCPUStart?
    private struct Events { var kicked = false, nmis = 0, inits = 0, vector: UInt8?, waits = false, a20: [Bool] = [] }
    private let events = Mutex(Events())

    init(_ request: CPURequest, _ program: [Step]) {
        hartID = request.hartID
        self.request = request
        self.program = program
    }

    var apic: any LocalInterruptController { request.x86!.localAPIC }
    var nmis: Int { events.withLock { $0.nmis } }
    var a20: [Bool] { events.withLock { $0.a20 } }
    /// The vector that started it, if it was a start-up IPI.
    private(set) var startVector: UInt8?

    func run() -> VCPUExit {
        if events.withLock({ events in defer { events.kicked = false }; return events.kicked }) { return .kicked }
        let mayRun = events.withLock { events -> Bool in
            if events.inits > 0 {
                events.inits = 0
                events.waits = hartID != 0
            }
            guard events.waits else { return true }
            guard let vector = events.vector else { return false }
            events.waits = false
            events.vector = nil
            startVector = vector
            return true
        }
        guard mayRun, position < program.count else { return .halted }
        let step = program[position]
        position += 1
        return step(self)
    }
    func kick() { events.withLock { $0.kicked = true } }
    func enter(_ start: VCPUStart) {
        self.start = start
        events.withLock { $0.waits = start == .x86WaitForStartUp }
    }
    func interruptsChanged() {}
    func raiseNMI() { events.withLock { $0.nmis += 1 } }
    func raiseINIT() { events.withLock { $0.inits += 1 } }
    func startUp(vector: UInt8) { events.withLock { if $0.waits || $0.inits > 0 { $0.vector = vector } } }
    func setA20(_ isOpen: Bool) { events.withLock { $0.a20.append(isOpen) } }

    func save(to writer: inout StateWriter) {
        let waits = events.withLock { $0.waits }
        writer.section("scripted", version: 1) { writer in
            writer.put(UInt32(position))
            writer.put(waits)
        }
    }
    func restore(from reader: inout StateReader) throws {
        try reader.section("scripted", newest: 1) { reader, _ in
            position = Int(try reader.get(UInt32.self))
            let waits = try reader.getBool()
            events.withLock { $0.waits = waits }
            guard position <= program.count else { throw StateError.invalid(section: "scripted", reason: "size") }
        }
    }

    // MARK: What guests do

    func out(_ port: UInt16, _ value: UInt32, size: Int = 1) { request.bus.ports.write(port, size: size, value: value) }
    func input(_ port: UInt16, size: Int = 1) -> UInt32 { request.bus.ports.read(port, size: size) }
    /// Soft off when all is well, else status 3 by debug exit at F4h.
    func finish(_ isGood: Bool) -> VCPUExit {
        if isGood { out(0x604, 5 << 10 | 1 << 13, size: 2) } else { out(0xf4, 1) }
        return .halted
    }
}
