// What a machine is given from above: engines, virtio backends, a place for messages.

import Bus
import Devices
import GuestMemory

/// A hart to be made.
public struct CPURequest {
    public let hartID: Int
    public let hartCount: Int
    public let engine: EngineChoice
    public let ram: GuestRAM
    public let bus: Bus
    public let services: HartServices
    /// Whether an ECALL from S-mode leaves `run` as `.environmentCall`, instead of trapping into M-mode.
    public let suppliesSBI: Bool
    /// A 64-bit mailbox: a non-zero store there leaves `run` as `.hostToTarget`.
    public let toHost: GuestPhysical?
    /// Topics of `MachineEnvironment.knownLogTopics` to log to standard error.
    public let logTopics: [String]
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
