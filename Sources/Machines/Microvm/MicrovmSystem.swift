// The board `microvm` as its machine sees it: how processors are made and started, and what stands in for firmware.

import Bus
import Devices
import Glibc
import GuestMemory
import GuestX86
import SavedState

/// The board with what makes it run.
final class MicrovmSystem: Board {
    let chips: MicrovmBoard
    var bus: Bus { chips.bus }
    var uart: UART16550 { chips.uart }
    private let model: CPUModel
    private let targets: [ProcessorTarget]
    private weak var machine: Machine?

    init(configuration: MachineConfiguration, ram: GuestRAM, services: BoardServices, virtio: VirtioFactories,
         debugOutput: any SerialOutput) throws {
        model = try configuration.processorModel()
        targets = (0..<configuration.cpus).map { _ in ProcessorTarget() }
        let targets = targets
        var options = MicrovmOptions(processors: targets, debugOutput: debugOutput) { isOpen in
            for target in targets { target.setA20(isOpen) }
        }
        options.presence = model.localAPIC
        options.debugExitPort = configuration.debugExitPort
        chips = try MicrovmBoard(ram: ram, services: services, options: options, virtio: virtio)
    }

    func completes(_ request: CPURequest.Common) -> CPURequest {
        CPURequest(request, x86: X86CPURequest(model: model, localAPIC: chips.localAPICs[request.hartID]))
    }

    func attach(to machine: Machine) {
        self.machine = machine
        for (target, hart) in zip(targets, machine.harts) { target.connect(hart) }
    }

    func load(_ plan: any StartPlan) throws {
        guard let plan = plan as? X86BootPlan, let machine else { preconditionFailure("the plan of another board") }
        for load in plan.loads { try BootLoader.place(load, into: machine.ram) }
        let tables = MicrovmTables(processors: machine.harts.count, hasAPIC: model.localAPIC != .absent,
                                   occupiedSlots: chips.occupiedSlots)
        for block in tables.blocks() {
            try BootLoader.place(BootPlan.Load(what: "firmware tables", address: block.address, bytes: block.bytes[...],
                                               memorySizeBytes: UInt64(block.bytes.count)), into: machine.ram)
        }
        initializeChips()
        for hart in machine.harts {
            _ = hart.start(hart.cpu.hartID == 0 ? .x86(plan.start) : .x86WaitForStartUp)
        }
    }

    /// As firmware leaves the chips: PCI addresses assigned, level-triggered inputs marked, 8259s at the vectors of a BIOS
    /// and masked, interrupts through LINT0.
    private func initializeChips() {
        chips.localAPICs.first?.enterVirtualWireMode()
        let ports = chips.bus.ports
        func out(_ port: GuestPhysical, _ offset: UInt64, _ byte: UInt32) {
            ports.write(UInt16(port.value + offset), size: 1, value: byte)
        }
        for (chip, vector, cascade) in [(MicrovmMap.masterPIC, 0x08, 0x04), (MicrovmMap.slavePIC, 0x70, 0x02)] as [(GuestPhysical, UInt32, UInt32)] {
            for (offset, byte) in [(0, 0x11), (1, vector), (1, cascade), (1, 0x01), (1, 0xff)] as [(UInt64, UInt32)] {
                out(chip, offset, byte)
            }
        }
        let levels = MicrovmMap.levelIRQs.reduce(UInt32(0)) { $0 | 1 << UInt32($1) }
        out(MicrovmMap.edgeLevel, 0, levels & 0xff)
        out(MicrovmMap.edgeLevel, 1, levels >> 8)
        chips.pci.lock.withLock { chips.pci.assignAddresses { pin in UInt8(MicrovmMap.pciIRQs[pin]) } }
    }

    /// x86 processors have no exits of their own.
    func handle(_ exit: VCPUExit, of hart: Hart) -> HartAction { .resume }

    func reset() { for apic in chips.localAPICs { apic.reset() } }

    func save(to writer: inout StateWriter) {
        for apic in chips.localAPICs { writer.section("local APIC \(apic.initialID)", version: 1) { apic.save(to: &$0) } }
    }

    func restore(from reader: inout StateReader) throws {
        for apic in chips.localAPICs {
            try reader.section("local APIC \(apic.initialID)", newest: 1) { reader, _ in try apic.restore(from: &reader) }
        }
    }
}

/// Passes what a local APIC does to its processor on, and wakes the processor's thread.
private final class ProcessorTarget: InterruptTarget, @unchecked Sendable {
    // SAFETY (Sendable): connected once, before the machine runs.
    private weak var hart: Hart?
    private weak var cpu: (any X86CPU)?

    func connect(_ hart: Hart) {
        self.hart = hart
        cpu = hart.cpu as? any X86CPU
    }
    func setA20(_ isOpen: Bool) { cpu?.setA20(isOpen) }

    func interruptsChanged() {
        cpu?.interruptsChanged()
        hart?.wake()
    }
    func raiseNMI() {
        cpu?.raiseNMI()
        hart?.wake()
    }
    func raiseINIT() {
        cpu?.raiseINIT()
        hart?.wake()
    }
    func startUp(vector: UInt8) {
        cpu?.startUp(vector: vector)
        hart?.wake()
    }
}

extension CPUModel {
    /// The kind of local APIC that the model's features tell of.
    var localAPIC: LocalAPIC.Presence {
        guard features.contains(.apic) else { return .absent }
        return features.contains(.x2apic) ? .x2APIC : .xAPIC
    }
}

/// Standard error, for the debug console.
final class StandardErrorOutput: SerialOutput {
    init() {}
    func send(_ byte: UInt8) -> Bool {
        var byte = byte
        _ = write(STDERR_FILENO, &byte, 1)
        return true
    }
}
