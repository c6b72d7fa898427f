// The virtio-mmio transport, register layout version 2. VIRTIO 1.2 section 4.2.
//
// Registers answer 32-bit accesses only; others read zero and are not written, as section 4.2.2.2 allows. Configuration
// space takes any width. Absent: the legacy layout (version 1), shared memory regions.

import Bus
import GuestMemory
import SavedState

/// A virtio device behind a virtio-mmio register window.
public final class VirtioMMIO: PausableDevice, VirtioInterrupts {
    /// Length of the register window, configuration space included.
    public static let windowBytes: UInt64 = 0x1000

    /// The transport-neutral half; boards pause it around saving and attach workers to it.
    public let core: VirtioCore
    private let interrupt: InterruptLine
    /// Guarded by the core's monitor, as is the level of the line.
    private var interruptStatus: UInt32 = 0

    public init(device: any VirtioDevice, ram: GuestRAM, interrupt: InterruptLine) {
        core = VirtioCore(device: device, ram: ram)
        self.interrupt = interrupt
        core.interrupts = self
    }

    public func read(offset: UInt64, size: Int) -> UInt64 {
        if offset >= VirtioMMIORegister.config {
            return core.readConfiguration(offset: offset - VirtioMMIORegister.config, size: size)
        }
        guard size == 4, offset % 4 == 0 else { return 0 }
        return UInt64(core.monitor.locked { register(offset) })
    }

    private func register(_ offset: UInt64) -> UInt32 {
        switch offset {
        case VirtioMMIORegister.magicValue: VirtioMMIOValue.magic
        case VirtioMMIORegister.version: VirtioMMIOValue.version
        case VirtioMMIORegister.deviceID: core.device.deviceID.rawValue
        case VirtioMMIORegister.vendorID: VirtioMMIOValue.vendor
        case VirtioMMIORegister.deviceFeatures: core.deviceFeaturesWord
        case VirtioMMIORegister.queueSizeMax: UInt32(core.selectedQueue?.sizeMax ?? 0)
        case VirtioMMIORegister.queueReady: core.selectedQueue?.registers.ready == true ? 1 : 0
        case VirtioMMIORegister.interruptStatus: interruptStatus
        case VirtioMMIORegister.status: UInt32(core.status)
        case VirtioMMIORegister.shmLenLow...VirtioMMIORegister.shmBaseHigh: VirtioMMIOValue.noSharedMemory
        // A queue reset is complete when the write that asked for it returns, so this never reads as one.
        case VirtioMMIORegister.queueReset: 0
        case VirtioMMIORegister.configGeneration: UInt32(core.configurationGeneration)
        default: 0
        }
    }

    public func write(offset: UInt64, size: Int, value: UInt64) {
        if offset >= VirtioMMIORegister.config {
            return core.writeConfiguration(offset: offset - VirtioMMIORegister.config, size: size, value: value)
        }
        guard size == 4, offset % 4 == 0 else { return }
        let value = UInt32(truncatingIfNeeded: value)
        switch offset {
        case VirtioMMIORegister.queueNotify: core.kick(queue: Int(value))
        case VirtioMMIORegister.status: writeStatus(UInt8(truncatingIfNeeded: value))
        case VirtioMMIORegister.queueReady: writeReady(value)
        case VirtioMMIORegister.queueReset:
            if value == 1 { core.resetQueue(core.monitor.locked { core.queueSelect }) }
        default: core.monitor.locked { setRegister(offset, value) }
        }
    }

    private func setRegister(_ offset: UInt64, _ value: UInt32) {
        switch offset {
        case VirtioMMIORegister.deviceFeaturesSel: core.deviceFeaturesSelect = value
        case VirtioMMIORegister.driverFeaturesSel: core.driverFeaturesSelect = value
        case VirtioMMIORegister.driverFeatures: core.setDriverFeaturesWord(value)
        case VirtioMMIORegister.queueSel: core.queueSelect = value
        case VirtioMMIORegister.queueSize: core.setSelectedQueueSize(UInt16(clamping: value))
        case VirtioMMIORegister.interruptACK:
            interruptStatus &= ~value
            interrupt.set(interruptStatus != 0)
        case VirtioMMIORegister.queueDescLow: core.setSelectedQueueAddress(\.descriptorTable, low: value)
        case VirtioMMIORegister.queueDescHigh: core.setSelectedQueueAddress(\.descriptorTable, high: value)
        case VirtioMMIORegister.queueDriverLow: core.setSelectedQueueAddress(\.driverArea, low: value)
        case VirtioMMIORegister.queueDriverHigh: core.setSelectedQueueAddress(\.driverArea, high: value)
        case VirtioMMIORegister.queueDeviceLow: core.setSelectedQueueAddress(\.deviceArea, low: value)
        case VirtioMMIORegister.queueDeviceHigh: core.setSelectedQueueAddress(\.deviceArea, high: value)
        default: break  // Read-only, shmSel (no region exists) or reserved.
        }
    }

    private func writeStatus(_ value: UInt8) {
        let effect = core.monitor.locked { core.setStatus(value) }
        core.finish(effect)
        if effect == .reset { clearInterrupts() }
    }

    private func writeReady(_ value: UInt32) {
        if value & 1 != 0 {
            core.readySelectedQueue()
        } else {
            core.resetQueue(core.monitor.locked { core.queueSelect })
        }
    }

    /// Power-on reset.
    public func reset() {
        core.reset()
        clearInterrupts()
    }

    /// Returns once no request is under way; none starts until `resume`. Boards pause every device before they save any.
    public func pause() { core.pause() }
    /// Ends a `pause`.
    public func resume() { core.resume() }

    private func clearInterrupts() {
        core.monitor.locked {
            interruptStatus = 0
            interrupt.set(false)
        }
    }

    func queueInterrupt(_ queue: Int) { raise(VirtioInterruptBit.usedBuffer) }
    func configurationInterrupt() { raise(VirtioInterruptBit.configurationChange) }

    private func raise(_ bit: UInt32) {
        core.monitor.locked {
            interruptStatus |= bit
            interrupt.set(true)
        }
    }
}

extension VirtioMMIO: Savable {
    public func save(to writer: inout StateWriter) {
        core.pause()
        writer.section("virtio-mmio", version: 1) { writer in
            writer.put(core.monitor.locked { interruptStatus })
            core.save(to: &writer)
        }
        core.resume()
    }

    public func restore(from reader: inout StateReader) throws {
        core.pause()
        defer { core.resume() }
        try reader.section("virtio-mmio", newest: 1) { reader, _ in
            let bits = try reader.get(UInt32.self)
            try core.restore(from: &reader)
            core.monitor.locked {
                interruptStatus = bits & VirtioInterruptBit.all
                interrupt.set(interruptStatus != 0)
            }
        }
    }
}
