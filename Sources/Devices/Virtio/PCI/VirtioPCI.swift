// The virtio PCI transport, modern interface only. VIRTIO 1.2 section 4.1.
//
// One 64-bit BAR holds the common, ISR, device and notification structures; a second one, present when the board has a
// controller for messages, the MSI-X table. While bus mastering is off the device leaves RAM alone; notifications are
// kept until it is on. Locking: interrupt state and every write to configuration space are guarded by the core's monitor,
// so that a worker may interrupt without the bridge's lock.
// Absent: the legacy interface, VIRTIO_F_NOTIFICATION_DATA, shared memory capabilities.

import Bus
import GuestMemory
import SavedState

/// A virtio device as a PCI function.
public final class VirtioPCI: PCIFunction, VirtioInterrupts {
    /// The transport-neutral half; boards attach workers to it.
    public let core: VirtioCore
    public private(set) var config: PCIConfigSpace
    private var slot = PCISlot(intx: .unconnected, message: nil)
    private var msix: MSIX?
    /// Offset of the capability through which configuration space reaches the BARs.
    private var windowCapability = 0
    private var isr: UInt32 = 0
    private var configVector = VirtioPCICommon.noVector
    private var queueVectors: [UInt16]
    /// Whether the core is paused because bus mastering is off.
    private var isHeld = false

    public init(device: any VirtioDevice, ram: GuestRAM) {
        core = VirtioCore(device: device, ram: ram)
        queueVectors = Array(repeating: VirtioPCICommon.noVector, count: core.queues.count)
        config = Self.configSpace(device.deviceID, message: false)
        core.interrupts = self
        install()
        holdUnlessMaster()
    }

    private static func configSpace(_ device: VirtioDeviceID, message: Bool) -> PCIConfigSpace {
        let number = VirtioPCIIdentity.deviceBase + UInt16(device.rawValue)
        let identity = PCIIdentity(vendorID: VirtioPCIIdentity.vendor, deviceID: number,
                                   revisionID: VirtioPCIIdentity.revision, classCode: VirtioPCIIdentity.classCode(device),
                                   subsystemVendorID: VirtioPCIIdentity.vendor, subsystemID: number)
        let structures = PCIBAR(VirtioPCIBAR.structures, .memory64, sizeBytes: VirtioPCIBAR.structuresBytes)
        let table = PCIBAR(VirtioPCIBAR.msix, .memory32, sizeBytes: VirtioPCIBAR.msixBytes)
        return PCIConfigSpace(identity, bars: message ? [table, structures] : [structures], interruptPin: 1)
    }

    private func install() {
        addStructure(VirtioPCICapability.commonConfig, VirtioPCIBAR.common, VirtioPCIBAR.commonBytes)
        addStructure(VirtioPCICapability.notifyConfig, VirtioPCIBAR.notify, VirtioPCIBAR.notifyBytes,
                     extra: UInt32(VirtioPCIBAR.notifyMultiplier))
        addStructure(VirtioPCICapability.isrConfig, VirtioPCIBAR.isr, VirtioPCIBAR.isrBytes)
        addStructure(VirtioPCICapability.deviceConfig, VirtioPCIBAR.device, VirtioPCIBAR.deviceBytes)
        windowCapability = addStructure(VirtioPCICapability.pciConfig, 0, 0, extra: 0, writable: true)
    }

    @discardableResult
    private func addStructure(_ type: UInt8, _ offset: UInt64, _ length: UInt64, extra: UInt32? = nil,
                              writable: Bool = false) -> Int {
        let capabilityBytes = extra == nil ? VirtioPCICapability.bytes : VirtioPCICapability.bytesExtended
        let bar: UInt8 = writable ? 0 : UInt8(VirtioPCIBAR.structures)
        var body: [UInt8] = [capabilityBytes, type, bar, 0, 0, 0]
        for word in [UInt32(offset), UInt32(length)] + (extra.map { [$0] } ?? []) {
            withUnsafeBytes(of: word.littleEndian) { body.append(contentsOf: $0) }
        }
        // BAR, offset and length of the configuration window are the driver's to set (section 4.1.4.9).
        let mask: [UInt8] = writable ? [0, 0, 0xff, 0, 0, 0] + Array(repeating: 0xff, count: 8) : []
        return config.addCapability(id: VirtioPCICapability.id, body, writable: mask)
    }

    public func attach(to slot: PCISlot) {
        self.slot = slot
        guard let send = slot.message else { return }
        config = Self.configSpace(core.device.deviceID, message: true)
        install()
        msix = MSIX(config: config, vectorCount: core.queues.count + 1, bar: VirtioPCIBAR.msix,
                    tableOffset: VirtioPCIBAR.msixTable, pendingOffset: VirtioPCIBAR.msixPending, send: send)
    }

    // MARK: Configuration space

    public func readConfig(offset: Int, size: Int) -> UInt32 {
        if isWindowData(offset) { return readWindow(at: offset, size: size) }
        return core.monitor.locked {
            var value = config.read(offset: offset, size: size)
            // The pending interrupt shows in the status register whether it is disabled or not (PCI 3.0 section 6.2.3).
            let shift = (PCIHeader.status - offset) * 8
            if isr != 0, (0..<(size * 8)).contains(shift) { value |= UInt32(PCIHeader.statusInterrupt) << UInt32(shift) }
            return value
        }
    }

    public func writeConfig(offset: Int, size: Int, value: UInt32) {
        if isWindowData(offset) { return writeWindow(at: offset, size: size, value) }
        core.monitor.locked {
            config.write(offset: offset, size: size, value: value)
            msix?.configWritten()
            driveLine()
        }
        holdUnlessMaster()
    }

    private func isWindowData(_ offset: Int) -> Bool {
        let data = windowCapability + VirtioPCICapability.data
        return offset >= data && offset < data + 4
    }

    /// What the window in configuration space points at, or nil when that is no place for an access.
    private func windowTarget() -> (bar: Int, offset: UInt64, size: Int)? {
        let bar = Int(config.read(offset: windowCapability + VirtioPCICapability.bar, size: 1))
        let offset = UInt64(config.read(offset: windowCapability + VirtioPCICapability.offset, size: 4))
        let length = config.read(offset: windowCapability + VirtioPCICapability.length, size: 4)
        guard length == 1 || length == 2 || length == 4, offset % UInt64(length) == 0,
              let target = config.bars.first(where: { $0.number == bar }), offset < target.sizeBytes else { return nil }
        return (bar, offset, Int(length))
    }

    private func readWindow(at offset: Int, size: Int) -> UInt32 {
        guard let target = windowTarget() else { return 0 }
        let value = UInt32(truncatingIfNeeded: readBAR(target.bar, offset: target.offset, size: target.size))
        let shift = UInt32(8 * (offset - windowCapability - VirtioPCICapability.data))
        return size == 4 ? value >> shift : (value >> shift) & ((1 << UInt32(8 * size)) - 1)
    }

    private func writeWindow(at offset: Int, size: Int, _ value: UInt32) {
        guard offset == windowCapability + VirtioPCICapability.data, let target = windowTarget(),
              size >= target.size else { return }
        let mask: UInt64 = (1 << UInt64(8 * target.size)) - 1
        writeBAR(target.bar, offset: target.offset, size: target.size, value: UInt64(value) & mask)
    }

    /// Keeps the device from touching RAM while it must not be bus master.
    private func holdUnlessMaster() {
        let mustHold = !config.busMasterEnabled
        guard mustHold != isHeld else { return }
        isHeld = mustHold
        if mustHold { core.pause() } else { core.resume() }
    }

    // MARK: BARs

    public func readBAR(_ bar: Int, offset: UInt64, size: Int) -> UInt64 {
        if bar == VirtioPCIBAR.msix {
            return core.monitor.locked {
                guard let msix, msix.contains(bar: bar, offset: offset) else { return 0 }
                return msix.read(offset: offset, size: size)
            }
        }
        guard bar == VirtioPCIBAR.structures else { return 0 }
        switch offset {
        case VirtioPCIBAR.common..<(VirtioPCIBAR.common + VirtioPCIBAR.commonBytes):
            return core.monitor.locked { readCommon(offset - VirtioPCIBAR.common, size) }
        case VirtioPCIBAR.isr: return UInt64(takeISR())
        case VirtioPCIBAR.device..<(VirtioPCIBAR.device + VirtioPCIBAR.deviceBytes):
            return core.readConfiguration(offset: offset - VirtioPCIBAR.device, size: size)
        default: return 0
        }
    }

    public func writeBAR(_ bar: Int, offset: UInt64, size: Int, value: UInt64) {
        if bar == VirtioPCIBAR.msix {
            core.monitor.locked {
                if let msix, msix.contains(bar: bar, offset: offset) { msix.write(offset: offset, size: size, value: value) }
            }
            return
        }
        guard bar == VirtioPCIBAR.structures else { return }
        switch offset {
        case VirtioPCIBAR.common..<(VirtioPCIBAR.common + VirtioPCIBAR.commonBytes):
            writeCommon(offset - VirtioPCIBAR.common, size, value)
        case VirtioPCIBAR.device..<(VirtioPCIBAR.device + VirtioPCIBAR.deviceBytes):
            core.writeConfiguration(offset: offset - VirtioPCIBAR.device, size: size, value: value)
        case VirtioPCIBAR.notify..<(VirtioPCIBAR.notify + VirtioPCIBAR.notifyBytes):
            core.kick(queue: Int((offset - VirtioPCIBAR.notify) / VirtioPCIBAR.notifyMultiplier))
        default: break  // The ISR status is read-only.
        }
    }

    /// Reading the ISR status acknowledges it (section 4.1.4.5).
    private func takeISR() -> UInt32 {
        core.monitor.locked {
            defer {
                isr = 0
                driveLine()
            }
            return isr
        }
    }

    // MARK: Common configuration

    /// Fields answer accesses of their own width; 64-bit ones also halves (section 4.1.3.1).
    private func readCommon(_ offset: UInt64, _ size: Int) -> UInt64 {
        if let (area, isHigh) = Self.area(offset, size) {
            let address = core.selectedQueue?.registers[keyPath: area].value ?? 0
            return size == 8 ? address : (isHigh ? address >> 32 : address & 0xffff_ffff)
        }
        switch (offset, size) {
        case (VirtioPCICommon.deviceFeatureSelect, 4): return UInt64(core.deviceFeaturesSelect)
        case (VirtioPCICommon.deviceFeature, 4): return UInt64(core.deviceFeaturesWord)
        case (VirtioPCICommon.driverFeatureSelect, 4): return UInt64(core.driverFeaturesSelect)
        case (VirtioPCICommon.driverFeature, 4): return UInt64(core.driverFeaturesWord)
        case (VirtioPCICommon.configMSIXVector, 2): return UInt64(configVector)
        case (VirtioPCICommon.numQueues, 2): return UInt64(core.queues.count)
        case (VirtioPCICommon.deviceStatus, 1): return UInt64(core.status)
        case (VirtioPCICommon.configGeneration, 1): return UInt64(core.configurationGeneration)
        case (VirtioPCICommon.queueSelect, 2): return UInt64(core.queueSelect)
        case (VirtioPCICommon.queueSize, 2): return UInt64(core.selectedQueue?.registers.size ?? 0)
        case (VirtioPCICommon.queueMSIXVector, 2):
            return UInt64(core.selectedQueue.map { queueVectors[$0.index] } ?? VirtioPCICommon.noVector)
        case (VirtioPCICommon.queueEnable, 2): return core.selectedQueue?.registers.ready == true ? 1 : 0
        case (VirtioPCICommon.queueNotifyOff, 2): return UInt64(core.selectedQueue?.index ?? 0)
        // A queue reset is complete when the write that asked for it returns.
        case (VirtioPCICommon.queueReset, 2): return 0
        default: return 0
        }
    }

    private func writeCommon(_ offset: UInt64, _ size: Int, _ value: UInt64) {
        switch (offset, size) {
        case (VirtioPCICommon.deviceStatus, 1):
            let effect = core.monitor.locked { core.setStatus(UInt8(truncatingIfNeeded: value)) }
            core.finish(effect)
            if effect == .reset { clearInterrupts() }
        case (VirtioPCICommon.queueEnable, 2): if value == 1 { core.readySelectedQueue() }
        case (VirtioPCICommon.queueReset, 2):
            if value == 1 { core.resetQueue(core.monitor.locked { core.queueSelect }) }
        default: core.monitor.locked { setCommon(offset, size, value) }
        }
    }

    private func setCommon(_ offset: UInt64, _ size: Int, _ value: UInt64) {
        let word = UInt32(truncatingIfNeeded: value)
        if let (area, isHigh) = Self.area(offset, size) {
            if size == 8 {
                core.setSelectedQueueAddress(area, low: word, high: UInt32(truncatingIfNeeded: value >> 32))
            } else if isHigh {
                core.setSelectedQueueAddress(area, high: word)
            } else {
                core.setSelectedQueueAddress(area, low: word)
            }
            return
        }
        switch (offset, size) {
        case (VirtioPCICommon.deviceFeatureSelect, 4): core.deviceFeaturesSelect = word
        case (VirtioPCICommon.driverFeatureSelect, 4): core.driverFeaturesSelect = word
        case (VirtioPCICommon.driverFeature, 4): core.setDriverFeaturesWord(word)
        case (VirtioPCICommon.configMSIXVector, 2): configVector = vector(value)
        case (VirtioPCICommon.queueSelect, 2): core.queueSelect = word & 0xffff
        case (VirtioPCICommon.queueSize, 2): core.setSelectedQueueSize(UInt16(truncatingIfNeeded: value))
        case (VirtioPCICommon.queueMSIXVector, 2):
            if let queue = core.selectedQueue { queueVectors[queue.index] = vector(value) }
        default: break  // Read-only, reserved, or an access of another width than the field's.
        }
    }

    /// The address field at an offset and whether the access is to its upper half.
    private static func area(_ offset: UInt64, _ size: Int)
        -> (WritableKeyPath<Virtqueue.Registers, GuestPhysical>, isHigh: Bool)? {
        guard size == 4 || size == 8 && offset % 8 == 0 else { return nil }
        switch offset {
        case VirtioPCICommon.queueDesc: return (\.descriptorTable, false)
        case VirtioPCICommon.queueDesc + 4: return (\.descriptorTable, true)
        case VirtioPCICommon.queueDriver: return (\.driverArea, false)
        case VirtioPCICommon.queueDriver + 4: return (\.driverArea, true)
        case VirtioPCICommon.queueDevice: return (\.deviceArea, false)
        case VirtioPCICommon.queueDevice + 4: return (\.deviceArea, true)
        default: return nil
        }
    }

    /// A vector that exists, or none: the driver reads back whether its choice was taken (section 4.1.5.1.2).
    private func vector(_ value: UInt64) -> UInt16 {
        guard let msix, value < UInt64(msix.vectorCount) else { return VirtioPCICommon.noVector }
        return UInt16(value)
    }

    // MARK: Interrupts

    func queueInterrupt(_ queue: Int) { raise(VirtioInterruptBit.usedBuffer, vector: queueVectors[queue]) }
    func configurationInterrupt() { raise(VirtioInterruptBit.configurationChange, vector: configVector) }

    private func raise(_ bit: UInt32, vector: @autoclosure () -> UInt16) {
        core.monitor.locked {
            if let msix, msix.isEnabled {
                let vector = vector()
                if vector != VirtioPCICommon.noVector { msix.notify(Int(vector)) }
            } else {
                isr |= bit
                driveLine()
            }
        }
    }

    /// The INTx line as ISR status, MSI-X and Interrupt Disable have it. Monitor held.
    private func driveLine() {
        let disabled = config.command & PCIHeader.commandInterruptDisable != 0 || msix?.isEnabled == true
        slot.intx.set(isr != 0 && !disabled)
    }

    private func clearInterrupts() {
        core.monitor.locked {
            isr = 0
            configVector = VirtioPCICommon.noVector
            queueVectors = queueVectors.map { _ in VirtioPCICommon.noVector }
            driveLine()
        }
    }

    /// Power-on reset.
    public func reset() {
        core.reset()
        core.monitor.locked {
            config.reset()
            msix?.reset()
        }
        clearInterrupts()
        holdUnlessMaster()
    }

    /// Returns once no request is under way; none starts until `resume`.
    public func pause() { core.pause() }
    /// Ends a `pause`.
    public func resume() { core.resume() }
}

extension VirtioPCI: Savable {
    public func save(to writer: inout StateWriter) {
        core.pause()
        writer.section("virtio-pci", version: 1) { writer in
            core.monitor.locked {
                config.save(to: &writer)
                writer.put(isr)
                writer.put(configVector)
                writer.put(each: queueVectors) { $0.put($1) }
                writer.put(msix != nil)
                msix?.save(to: &writer)
            }
            core.save(to: &writer)
        }
        core.resume()
    }

    public func restore(from reader: inout StateReader) throws {
        core.pause()
        defer { core.resume() }
        try reader.section("virtio-pci", newest: 1) { reader, _ in
            try core.monitor.locked { try restoreRegisters(from: &reader) }
            try core.restore(from: &reader)
            core.monitor.locked { driveLine() }
            holdUnlessMaster()
        }
    }

    private func restoreRegisters(from reader: inout StateReader) throws {
        try config.restore(from: &reader)
        isr = try reader.get(UInt32.self) & VirtioInterruptBit.all
        configVector = vector(UInt64(try reader.get(UInt16.self)))
        let vectors = try reader.getEach(limit: queueVectors.count) { try $0.get(UInt16.self) }
        guard vectors.count == queueVectors.count else {
            throw StateError.invalid(section: reader.sectionName, reason: "\(vectors.count) queue vectors")
        }
        queueVectors = vectors.map { vector(UInt64($0)) }
        guard try reader.getBool() == (msix != nil) else {
            throw StateError.invalid(section: reader.sectionName, reason: "MSI-X is set up differently")
        }
        try msix?.restore(from: &reader)
    }
}
