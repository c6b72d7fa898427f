// What a machine is given from above: engines, virtio backends, a place for messages.

import Bus
import Devices
import GuestMemory
import GuestX86

/// A hart to be made.
public struct CPURequest {
    /// What every board's vCPUs are given.
    struct Common {
        let hartID: Int
        let hartCount: Int
        let engine: EngineChoice
        let ram: GuestRAM
        let bus: Bus
        let clock: GuestClock
        let logTopics: [String]
    }

    /// Its number, from 0, and how many the machine has.
    public let hartID: Int
    public let hartCount: Int
    /// Which executor was asked for.
    public let engine: EngineChoice
    /// The same for all of a machine.
    public let ram: GuestRAM
    public let bus: Bus
    /// Time.
    public let services: HartServices
    /// Whether an ECALL from S-mode leaves `run` as `.environmentCall`, instead of trapping into M-mode.
    public let suppliesSBI: Bool
    /// A 64-bit mailbox: a non-zero store there leaves `run` as `.hostToTarget`.
    public let toHost: GuestPhysical?
    /// What only x86 processors are given; nil for harts.
    public let x86: X86CPURequest?
    /// Topics of `MachineEnvironment.knownLogTopics` to log to standard error.
    public let logTopics: [String]

    init(_ common: Common, supervisorTimer: DeadlineTimer = .never, suppliesSBI: Bool = false, toHost: GuestPhysical? = nil,
         x86: X86CPURequest? = nil) {
        hartID = common.hartID
        hartCount = common.hartCount
        engine = common.engine
        ram = common.ram
        bus = common.bus
        services = HartServices(clock: common.clock, supervisorTimer: supervisorTimer)
        self.suppliesSBI = suppliesSBI
        self.toHost = toHost
        self.x86 = x86
        logTopics = common.logTopics
    }
}

/// The x86 part of a `CPURequest`.
public struct X86CPURequest {
    /// `--cpu`.
    public let model: CPUModel
    /// The processor's local APIC.
    public let localAPIC: any LocalInterruptController
}

/// The outside of a machine.
public struct MachineEnvironment {
    /// Makes a hart. Called once per hart, in ascending order, all with the same RAM and bus.
    public var makeCPU: (CPURequest) throws -> any VCPU
    /// Makes the virtio devices of a configuration.
    public var makeVirtio: (MachineConfiguration) throws -> VirtioFactories
    /// Shows the user a line.
    public var message: @Sendable (String) -> Void
    /// Whether SIGTERM, SIGHUP, SIGINT and SIGQUIT end the machine in order.
    public var handlesSignals = true
    public var clockSource = ClockSource.real
    /// What the harts implement, for the device tree.
    public var harts = HartDescription.standard

    /// Takes what an x86 guest writes to the debug console's port.
    public var debugOutput: any SerialOutput = StandardErrorOutput()

    /// What the engines shall log.
    public var logTopics: [String] = []
    /// The topics an engine can log.
    public static let knownLogTopics: Set<String> = [LogTopic.blocks, LogTopic.faults]

    public init(makeCPU: @escaping (CPURequest) throws -> any VCPU,
                makeVirtio: @escaping (MachineConfiguration) throws -> VirtioFactories = { _ in VirtioFactories() },
                message: @escaping @Sendable (String) -> Void) {
        self.makeCPU = makeCPU
        self.makeVirtio = makeVirtio
        self.message = message
    }
}
