// The contract between a PCI function (virtio-pci, …) and the host bridge that carries it.
//
// A function owns a `PCIConfigSpace` built with its identity, BARs and capabilities, and answers accesses to its BARs.
// The bridge decodes addresses, so a function sees only (BAR, offset, size). All calls are made with the bridge's device
// lock held, except `PCISlot` outputs, which a function may use on any thread that holds that lock.
// Spec: PCI Local Bus 3.0 §6; PCI Express Base 4.0 §7.5.
// Absent: bus mastering through an IOMMU, power management states, hot plug, function-level reset.

import Bus
import SavedState

/// A message-signalled interrupt: a 32-bit memory write that the board's interrupt controller receives.
public struct PCIMessage: Equatable, Sendable {
    public var address: UInt64
    public var data: UInt32
    public init(address: UInt64, data: UInt32) {
        self.address = address
        self.data = data
    }
}

/// What a function can drive once it sits in a slot.
public struct PCISlot: Sendable {
    /// The function's INTx pin, already swizzled to an input of the interrupt controller. Drive it through
    /// `PCIConfigSpace.setInterrupt`, which honours Interrupt Disable.
    public let intx: InterruptLine
    /// Where messages go, or nil when the board has no controller for them: then show no MSI or MSI-X capability.
    public let message: (@Sendable (PCIMessage) -> Void)?

    public init(intx: InterruptLine, message: (@Sendable (PCIMessage) -> Void)?) {
        self.intx = intx
        self.message = message
    }
}

/// One PCI function.
public protocol PCIFunction: Savable {
    /// The registers of the function's configuration space. Built no later than the end of `attach`.
    var config: PCIConfigSpace { get }
    /// Called once, before the machine runs.
    func attach(to slot: PCISlot)
    /// Reads 1, 2, 4 or 8 bytes inside a BAR; the access never crosses its end and is naturally aligned.
    func readBAR(_ bar: Int, offset: UInt64, size: Int) -> UInt64
    /// Writes 1, 2, 4 or 8 bytes inside a BAR.
    func writeBAR(_ bar: Int, offset: UInt64, size: Int, value: UInt64)
    /// Reads 1, 2 or 4 naturally aligned bytes of configuration space. The default asks `config`.
    func readConfig(offset: Int, size: Int) -> UInt32
    /// Writes 1, 2 or 4 naturally aligned bytes of configuration space. The default tells `config`.
    /// A function with live capabilities (VIRTIO_PCI_CAP_PCI_CFG) overrides both and calls `config` for the rest.
    func writeConfig(offset: Int, size: Int, value: UInt32)
    /// Returns to power-on state, `config.reset()` included.
    func reset()
    /// As `PausableDevice.pause`. The default has nothing to wait for.
    func pause()
    /// As `PausableDevice.resume`.
    func resume()
}

extension PCIFunction {
    public func readConfig(offset: Int, size: Int) -> UInt32 { config.read(offset: offset, size: size) }
    public func writeConfig(offset: Int, size: Int, value: UInt32) {
        config.write(offset: offset, size: size, value: value)
    }
    public func pause() {}
    public func resume() {}
}
