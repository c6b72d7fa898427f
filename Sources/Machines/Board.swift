// What a machine needs of its board, and which boards there are.
//
// A machine owns RAM, clock, vCPU threads, event loop, console and suspend file, and is the same for every board. A board
// owns chips and their map, knows how its vCPUs start, and answers what only its architecture asks for.

import Bus
import Devices
import GuestMemory
import SavedState

/// How the files of a configuration are placed in a board's RAM. Made before the machine, so that bad files cost nothing.
protocol StartPlan {
    /// What stays true of the start for as long as the machine runs.
    var facts: BootFacts { get }
}

/// A board as its machine sees it. Called on the machine's thread with all vCPUs parked, except where said.
protocol Board: AnyObject {
    /// Every chip but those of the vCPUs.
    var bus: Bus { get }
    /// The first serial port.
    var uart: UART16550 { get }
    /// What a vCPU of this board is given beyond RAM, bus and clock.
    func completes(_ request: CPURequest.Common) -> CPURequest
    /// The vCPUs exist now. Called once.
    func attach(to machine: Machine)
    /// Fills RAM, which is zero, and starts vCPUs.
    func load(_ plan: any StartPlan) throws
    /// Handles an exit other than `.halted`, `.kicked` and `.shutdown`, on the vCPU's thread.
    func handle(_ exit: VCPUExit, of hart: Hart) -> HartAction
    /// Power-on state of all that is not on the bus; the bus has been reset.
    func reset()
    /// Writes and reads what is not on the bus: before the bus, so that restored devices find their controllers.
    func save(to writer: inout StateWriter)
    func restore(from reader: inout StateReader) throws
}

/// The boards.
enum BoardKind: String, CaseIterable {
    case virt
    case microvm

    /// The board of an architecture; nil for one that is not known.
    static func forArchitecture(_ name: String) -> BoardKind? {
        switch name {
        case "riscv64": .virt
        case "x86_64", "i386": .microvm
        default: nil
        }
    }

    /// Guest-physical address of the first byte of RAM.
    var ramStart: GuestPhysical {
        switch self {
        case .virt: VirtMap.ram
        case .microvm: MicrovmMap.ram
        }
    }

    /// The largest RAM, in bytes.
    var memoryMax: UInt64 {
        switch self {
        case .virt: 1 << 40
        case .microvm: MicrovmMap.ramSizeMax
        }
    }

    /// Ticks of the guest's clock per second.
    var clockHz: UInt64 {
        switch self {
        case .virt: 10_000_000
        // The rate of the time stamp counter.
        case .microvm: 1_000_000_000
        }
    }

    /// Where devices sit that say nothing about it.
    var usualBus: DeviceBus {
        switch self {
        case .virt: .mmio
        // Distribution kernels have virtio-pci built in, virtio-mmio hardly ever.
        case .microvm: .pci
        }
    }

    /// Reads the files of a configuration and plans the start.
    func plan(_ configuration: MachineConfiguration) throws -> any StartPlan {
        let files = try BootLoader.files(configuration)
        switch self {
        case .virt:
            return try BootPlan(files, ramStart: VirtMap.ram.value, ramSizeBytes: configuration.memorySizeBytes)
        case .microvm:
            return try X86BootPlan(files, X86BootOptions(
                ramSizeBytes: configuration.memorySizeBytes, commandLine: configuration.append,
                allowsLongMode: configuration.architecture == "x86_64"))
        }
    }
}
