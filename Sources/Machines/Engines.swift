// Which engine runs a hart: the one place that knows them all.

import Glibc
import GuestMemory
import GuestRISCV
import GuestX86
import SavedState
import TranslatedCPU
import Translator

/// The engines built into this program.
public enum Engines {
    /// Makes harts of one machine. The harts share what `makeCPU` makes for the first of them.
    public static func translated() -> (CPURequest) throws -> any VCPU {
        var shared: MachineEngine?
        return { request in
            if let engine = shared, engine.ram === request.ram { return try vcpu(request, engine) }
            var options = EngineOptions()
            options.engine = EngineKind(rawValue: request.engine.rawValue) ?? .auto
            options.cacheSize = 256 << 20
            if request.logTopics.contains(LogTopic.blocks) {
                options.logBlock = { address, mode in logLine("block 0x\(hex(address)) mode 0x\(hex(UInt64(mode)))") }
            }
            if request.logTopics.contains(LogTopic.faults) {
                options.logFault = { fault in
                    logLine("hart \(fault.hartID) \(fault.name) (\(fault.cause)) pc 0x\(hex(fault.pc)) "
                            + "value 0x\(hex(fault.value)) in \(fault.privilege) mode")
                }
            }
            let front: any GuestFront = request.x86.map { X86Front(features: $0.model.instructions) } ?? RISCVFront()
            let engine = try MachineEngine(front: front, options: options, ram: request.ram, bus: request.bus,
                                           toHost: request.toHost)
            shared = engine
            return try vcpu(request, engine)
        }
    }

    private static func vcpu(_ request: CPURequest, _ engine: MachineEngine) throws -> any VCPU {
        if let x86 = request.x86 { return try TranslatedX86CPU(request, x86, engine) }
        return try TranslatedHart(request, engine)
    }
}

/// What `--log` of a machine can name.
enum LogTopic {
    static let blocks = "blocks"
    static let faults = "faults"
}

private func hex(_ value: UInt64) -> String { String(value, radix: 16) }

/// A whole line at once, so that harts do not mix inside one.
private func logLine(_ text: String) {
    let bytes = Array((text + "\n").utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
}

extension MachineExit {
    /// The same exit as the machine names it.
    fileprivate var vcpuExit: VCPUExit {
        switch self {
        case .halted: .halted
        case .environmentCall: .environmentCall
        case .kicked: .kicked
        case .hostToTarget(let value): .hostToTarget(value)
        case .shutdown(let reason): .shutdown(reason)
        }
    }
}

/// An x86 processor on the translator.
final class TranslatedX86CPU: X86CPU, @unchecked Sendable {
    // SAFETY (Sendable): what VCPU allows on any thread, the processor does.
    private let cpu: X86MachineCPU

    init(_ request: CPURequest, _ x86: X86CPURequest, _ engine: MachineEngine) throws {
        let clock = request.services.clock
        cpu = try X86MachineCPU(engine: engine, hartID: request.hartID, services: X86MachineServices(
            model: x86.model, processorCount: request.hartCount, apic: x86.localAPIC, ticksPerSecond: clock.frequencyHz,
            ticks: { clock.ticks }))
    }

    var hartID: Int { cpu.hartID }
    func run() -> VCPUExit { cpu.run().vcpuExit }
    func finish() { cpu.finish() }
    func kick() { cpu.kick() }
    func enter(_ start: VCPUStart) {
        switch start {
        case .x86(let state):
            cpu.reset()
            cpu.x86.enter(state)
        case .x86WaitForStartUp: cpu.reset()
        case .riscv: preconditionFailure("an x86 processor was given the start of a hart")
        }
    }
    func interruptsChanged() { cpu.interruptsChanged() }
    func raiseNMI() { cpu.raiseNMI() }
    func raiseINIT() { cpu.raiseINIT() }
    func startUp(vector: UInt8) { cpu.startUp(vector: vector) }
    func setA20(_ isOpen: Bool) { cpu.setA20(isOpen) }
    func releaseCaches() { cpu.releaseCaches() }
    func save(to writer: inout StateWriter) { cpu.save(to: &writer) }
    func restore(from reader: inout StateReader) throws { try cpu.restore(from: &reader) }
}

/// A hart on the translator.
final class TranslatedHart: RISCVCPU {
    private let cpu: RISCVMachineCPU

    init(_ request: CPURequest, _ engine: MachineEngine) throws {
        let clock = request.services.clock, timer = request.services.supervisorTimer
        cpu = try RISCVMachineCPU(engine: engine, hartID: request.hartID,
                                  services: MachineCPUServices(time: { clock.ticks },
                                                               armTimer: { timer.set(deadlineTicks: $0) }),
                                  suppliesSBI: request.suppliesSBI)
    }

    var hartID: Int { cpu.hartID }

    func run() -> VCPUExit { cpu.run().vcpuExit }
    func finish() { cpu.finish() }

    func kick() { cpu.kick() }

    func setInterrupt(_ bit: Int, _ level: Bool) {
        // A supervisor software interrupt is a bit the guest itself clears; the others are lines.
        if bit == InterruptBit.supervisorSoftware {
            cpu.setPending(1 << UInt64(bit), level)
        } else {
            cpu.setInterrupt(1 << UInt64(bit), level)
        }
    }

    func reset(pc: GuestPhysical, a0: UInt64, a1: UInt64, privilege: Privilege) {
        if privilege == .machine {
            cpu.resetMachine(pc: pc.value, a0: a0, a1: a1)
        } else {
            cpu.resetForSupervisor(pc: pc.value, a0: a0, a1: a1)
        }
    }

    func register(_ number: Int) -> UInt64 { cpu.riscv.x(number) }
    func setRegister(_ number: Int, _ value: UInt64) { cpu.riscv.setX(number, value) }
    func flushTLB(start: GuestVirtual, sizeBytes: UInt64, asid: UInt64?) { cpu.flushTranslations() }
    /// Writes to code are noticed when they happen: nothing is left to do.
    func flushInstructionCache() {}
    func releaseCaches() { cpu.releaseCaches() }
    func save(to writer: inout StateWriter) { cpu.save(to: &writer) }
    func restore(from reader: inout StateReader) throws { try cpu.restore(from: &reader) }
}
