// The `virt` board as its machine sees it: how harts are made and started, and the firmware behind their calls.

import Bus
import Devices
import GuestMemory
import SavedState

extension BootPlan: StartPlan {
    var facts: BootFacts { BootFacts(self) }
}

/// The board with what makes it run: harts' timers, device tree, firmware.
final class VirtSystem: Board {
    let chips: VirtBoard
    var bus: Bus { chips.bus }
    var uart: UART16550 { chips.uart }
    private let facts: BootFacts
    private let harts: HartDescription
    private let makeSupervisorTimer: (Int) -> DeadlineTimer
    private var firmware: VirtFirmware?
    private weak var machine: Machine?

    /// - Parameter makeSupervisorTimer: a timer that raises the supervisor timer interrupt of a hart.
    init(chips: VirtBoard, facts: BootFacts, harts: HartDescription, makeSupervisorTimer: @escaping (Int) -> DeadlineTimer) {
        self.chips = chips
        self.facts = facts
        self.harts = harts
        self.makeSupervisorTimer = makeSupervisorTimer
    }

    func completes(_ request: CPURequest.Common) -> CPURequest {
        CPURequest(request, supervisorTimer: makeSupervisorTimer(request.hartID), suppliesSBI: facts.suppliesSBI,
                   toHost: facts.toHost.map { GuestPhysical($0) })
    }

    func attach(to machine: Machine) {
        self.machine = machine
        firmware = VirtFirmware(machine)
    }

    func load(_ plan: any StartPlan) throws {
        guard let plan = plan as? BootPlan, let machine else { preconditionFailure("the plan of another board") }
        var random = SystemRandomNumberGenerator()
        let chosen = ChosenNode(bootArguments: machine.configuration.append, initrd: plan.initrd,
                                randomSeed: (0..<32).map { _ in UInt8.random(in: 0...255, using: &random) })
        let tree = chips.deviceTree(harts: harts, chosen: chosen, timebaseHz: machine.clock.frequencyHz)
        try BootLoader.place(plan, deviceTree: FlattenedDeviceTree.encode(tree), into: machine.ram)
        for hart in machine.harts where plan.privilege == .machine || hart.cpu.hartID == 0 {
            _ = hart.start(.riscv(HartEntry(pc: plan.entry, a0: UInt64(hart.cpu.hartID), a1: plan.deviceTree,
                                            a2: plan.firmwareInformation, privilege: plan.privilege)))
        }
    }

    func handle(_ exit: VCPUExit, of hart: Hart) -> HartAction { firmware?.handle(exit, of: hart) ?? .stopped }
    func reset() { firmware?.reset() }
    func save(to writer: inout StateWriter) { firmware?.save(to: &writer) }
    func restore(from reader: inout StateReader) throws { try firmware?.restore(from: &reader) }
}
