// A machine with nothing but RAM, one or more processors and a debug port: programs are placed at 1000h and started
// there in real mode.

import Bus
import CHost
import GuestMemory
import GuestX86
import SavedState
import Synchronization
import Translator
@testable import TranslatedCPU

/// A local APIC whose interrupts are made by hand.
final class ManualAPIC: LocalInterruptController, @unchecked Sendable {
    let vectors = Mutex<[UInt8]>([])
    var base: UInt64 { 0xFEE0_0800 }
    var taskPriority: UInt8 = 0
    var hasInterrupt: Bool { vectors.withLock { !$0.isEmpty } }
    func acknowledge() -> UInt8? { vectors.withLock { $0.isEmpty ? nil : $0.removeFirst() } }
    func read(offset: Int, size: Int) -> UInt64 { UInt64(offset) }
    func write(offset: Int, size: Int, value: UInt64) {}
    func readMSR(_ number: UInt32) -> UInt64? { nil }
    func writeMSR(_ number: UInt32, _ value: UInt64) -> Bool { number == 0x1B }
    func initialize() {}
}

/// Bytes written to a port.
final class DebugPort: MMIODevice {
    var bytes: [UInt8] = []
    func read(offset: UInt64, size: Int) -> UInt64 { 0xE9 }
    func write(offset: UInt64, size: Int, value: UInt64) { bytes.append(UInt8(truncatingIfNeeded: value)) }
    func reset() { bytes = [] }
    func save(to writer: inout StateWriter) {}
    func restore(from reader: inout StateReader) throws {}
}

final class X86Machine {
    let ram: GuestRAM
    let debug = DebugPort()
    let apics: [ManualAPIC]
    let engine: MachineEngine
    let cpus: [X86MachineCPU]
    static let origin: UInt64 = 0x1000

    init(_ program: [UInt8], engine kind: EngineKind, processors: Int = 1, loopCount: UInt32? = nil) throws {
        ram = try GuestRAM(start: GuestPhysical(0), sizeBytes: 1 << 20)
        let bus = try Bus([], ports: [BusWindow("debug", at: GuestPhysical(0x3F8), sizeBytes: 1, device: debug)])
        var options = EngineOptions()
        options.engine = kind
        options.cacheSize = 8 << 20
        options.loopCount = loopCount
        // Executors are compared: the interpreter's undefined flags are AMD's.
        options.exactFlags = guise_cpu_is_amd() == 0
        let engine = try MachineEngine(front: X86Front(features: CPUModel.max.instructions), options: options, ram: ram,
                                       bus: bus, toHost: nil)
        self.engine = engine
        let apics = (0..<processors).map { _ in ManualAPIC() }
        self.apics = apics
        cpus = try (0..<processors).map { number in
            try X86MachineCPU(engine: engine, hartID: number, services: X86MachineServices(
                model: .max, processorCount: processors, apic: apics[number], ticksPerSecond: 1_000_000_000) { 0 })
        }
        _ = program.withUnsafeBytes { ram.write(GuestPhysical(Self.origin), from: $0) }
        cpus[0].x86.startUp(UInt8(Self.origin >> 12))
    }

    var cpu: X86MachineCPU { cpus[0] }
    func word(_ address: UInt64) -> UInt16 { ram.load(GuestPhysical(address)) ?? 0 }
    func long(_ address: UInt64) -> UInt32 { ram.load(GuestPhysical(address)) ?? 0 }

    static func bytes(_ hex: String) -> [UInt8] {
        let digits = Array(hex.utf8).map { $0 < 0x3A ? $0 - 0x30 : $0 - 0x57 }
        return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}
