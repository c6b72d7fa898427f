// What every virtio transport has in common: status, feature negotiation, queues, and when the device runs.
// VIRTIO 1.2 sections 2.1–2.4, 3.1. Register layouts and interrupt delivery belong to the transports.
//
// Locking. `monitor` guards status, negotiation and queue registers; it is held for the length of a register access and
// never while a device works. The device itself runs in rounds that never overlap: on the thread that notified it, or on a
// worker if one is attached. Reset, queue reset and saving first wait until no round is under way.

import Bus
import GuestMemory
import SavedState

/// Where a transport turns device events into interrupts. Called without the core's lock.
protocol VirtioInterrupts: AnyObject {
    func queueInterrupt(_ queue: Int)
    func configurationInterrupt()
}

/// A thread that runs device rounds in place of the notifying vCPU.
public protocol VirtioWorker: AnyObject {
    /// Arranges for `VirtioCore.runPending()` to be called soon on the worker's thread.
    func wake()
    /// The device is gone; the worker has nothing left to do. Does not wait.
    func stop()
}

/// The transport-neutral half of a virtio device.
public final class VirtioCore: VirtioLink, @unchecked Sendable {
    // SAFETY (Sendable): every stored property below is guarded by `monitor` or by the rule that rounds never overlap.
    /// The device type behind the registers.
    public let device: any VirtioDevice
    public let ram: GuestRAM
    let monitor = Monitor()
    let queues: [Virtqueue]
    weak var interrupts: (any VirtioInterrupts)?

    private(set) var status: UInt8 = 0
    private(set) var driverFeatures: UInt64 = 0
    private(set) var configurationGeneration: UInt8 = 0
    /// The selected queue; may name a queue that does not exist.
    var queueSelect: UInt32 = 0
    /// The selected 32-bit halves of the feature words.
    var deviceFeaturesSelect: UInt32 = 0
    var driverFeaturesSelect: UInt32 = 0
    /// Why the device last stopped itself, for logs; nil after reset.
    public private(set) var fault: VirtioFault?

    private var worker: (any VirtioWorker)?
    private var pending: UInt64 = 0
    private var running = false
    private var pauses = 0

    init(device: any VirtioDevice, ram: GuestRAM) {
        let sizes = device.queueSizes
        precondition(!sizes.isEmpty && sizes.count <= 64, "a device has 1 to 64 queues")
        self.device = device
        self.ram = ram
        queues = sizes.enumerated().map { Virtqueue(index: $0.offset, sizeMax: $0.element, ram: ram) }
        device.connect(self)
    }

    deinit { worker?.stop() }

    /// Moves device rounds to `worker`. Call before the machine runs.
    public func attach(worker: any VirtioWorker) { monitor.locked { self.worker = worker } }

    var offeredFeatures: UInt64 { device.offeredFeatures | VirtioFeature.common }

    /// The queue that `queueSelect` names, if there is one.
    var selectedQueue: Virtqueue? { queueSelect < UInt32(queues.count) ? queues[Int(queueSelect)] : nil }

    // MARK: Registers, called by transports with `monitor` held

    var deviceFeaturesWord: UInt32 { Self.word(offeredFeatures, deviceFeaturesSelect) }
    var driverFeaturesWord: UInt32 { Self.word(driverFeatures, driverFeaturesSelect) }

    private static func word(_ features: UInt64, _ select: UInt32) -> UInt32 {
        select < 2 ? UInt32(truncatingIfNeeded: features >> (32 * UInt64(select))) : 0
    }

    /// Accepts one half of the driver's features. Once FEATURES_OK is set they are fixed (section 3.1.1).
    func setDriverFeaturesWord(_ value: UInt32) {
        guard status & VirtioStatus.featuresOK == 0, driverFeaturesSelect < 2 else { return }
        let shift = 32 * UInt64(driverFeaturesSelect)
        driverFeatures = driverFeatures & ~(0xffff_ffff << shift) | UInt64(value) << shift
    }

    /// What follows a status write once the lock is dropped.
    enum StatusEffect { case none, reset, activate }

    /// Applies a write of the status register. The caller drops the lock and then calls `finish` with the result.
    func setStatus(_ value: UInt8) -> StatusEffect {
        if value == 0 { return .reset }
        var wanted = status | (value & ~VirtioStatus.deviceNeedsReset)
        if wanted & VirtioStatus.featuresOK != 0, status & VirtioStatus.featuresOK == 0 {
            let acceptable = driverFeatures & ~offeredFeatures == 0 && driverFeatures & VirtioFeature.version1 != 0
            if !acceptable { wanted &= ~VirtioStatus.featuresOK }
        }
        let goesLive = wanted & VirtioStatus.driverOK != 0 && status & VirtioStatus.driverOK == 0
        if goesLive, wanted & VirtioStatus.featuresOK == 0 {
            status = wanted & ~VirtioStatus.driverOK | VirtioStatus.deviceNeedsReset
            fault = .driverOKWithoutFeatures
            return .none
        }
        status = wanted
        // No round may run before `finish` has activated the device; there it is resumed.
        if goesLive { pauses += 1 }
        return goesLive ? .activate : .none
    }

    /// Sets the selected queue's size, unless the queue is in use (section 4.2.3.2).
    func setSelectedQueueSize(_ size: UInt16) {
        guard let queue = selectedQueue, !queue.registers.ready else { return }
        queue.setSize(size)
    }

    /// Sets half of one of the selected queue's area addresses, unless the queue is in use.
    func setSelectedQueueAddress(_ area: WritableKeyPath<Virtqueue.Registers, GuestPhysical>,
                                 low: UInt32? = nil, high: UInt32? = nil) {
        guard let queue = selectedQueue, !queue.registers.ready else { return }
        var address = queue.registers[keyPath: area].value
        if let low { address = address & ~0xffff_ffff | UInt64(low) }
        if let high { address = address & 0xffff_ffff | UInt64(high) << 32 }
        queue.registers[keyPath: area] = GuestPhysical(address)
    }

    private var isLive: Bool {
        status & (VirtioStatus.driverOK | VirtioStatus.deviceNeedsReset | VirtioStatus.failed) == VirtioStatus.driverOK
    }

    /// Records a fault and asks for a reset. Returns whether the driver must be interrupted.
    @discardableResult
    private func stop(_ reason: VirtioFault) -> Bool {
        if fault == nil { fault = reason }
        status |= VirtioStatus.deviceNeedsReset
        return status & VirtioStatus.driverOK != 0
    }

    // MARK: Effects, called by transports without the lock

    /// Carries out what `setStatus` found due.
    func finish(_ effect: StatusEffect) {
        switch effect {
        case .none: break
        case .reset: reset()
        case .activate:
            device.activate(features: driverFeatures)
            resume()
        }
    }

    /// Returns the device to power-on state once no round is under way.
    func reset() {
        pause()
        monitor.locked {
            status = 0
            driverFeatures = 0
            queueSelect = 0
            deviceFeaturesSelect = 0
            driverFeaturesSelect = 0
            fault = nil
            pending = 0
            queues.forEach { $0.reset() }
        }
        device.reset()
        resume()
    }

    /// Makes the selected queue ready for use.
    func readySelectedQueue() {
        pause()
        monitor.lock()
        var mustInterrupt = false
        if let queue = selectedQueue, !queue.registers.ready {
            do { try queue.makeReady(features: driverFeatures) } catch { mustInterrupt = stop(error) }
        }
        monitor.unlock()
        if mustInterrupt { interrupts?.configurationInterrupt() }
        resume()
    }

    /// Takes one queue out of use (VIRTIO_F_RING_RESET, or the driver clears its ready register).
    func resetQueue(_ index: UInt32) {
        guard index < UInt32(queues.count) else { return }
        pause()
        monitor.locked {
            queues[Int(index)].reset()
            pending &= ~(1 << UInt64(index))
        }
        device.queueWasReset(Int(index))
        resume()
    }

    /// Reads `size` bytes (1, 2, 4 or 8) of configuration space; bytes past its end read zero.
    func readConfiguration(offset: UInt64, size: Int) -> UInt64 {
        let bytes = device.configuration
        var value: UInt64 = 0
        for index in 0..<min(size, 8) {
            let position = offset &+ UInt64(index)
            if position < UInt64(bytes.count) { value |= UInt64(bytes[Int(position)]) << UInt64(8 * index) }
        }
        return value
    }

    /// Writes the low `size` bytes of `value` to configuration space.
    func writeConfiguration(offset: UInt64, size: Int, value: UInt64) {
        guard offset < 0x1000 else { return }
        device.writeConfiguration(offset: Int(offset), size: size, value: value)
    }

    public func kick(queue: Int) {
        monitor.lock()
        guard isLive, queues.indices.contains(queue), queues[queue].isReady else { return monitor.unlock() }
        pending |= 1 << UInt64(queue)
        runOrWake()
    }

    public func configurationChanged() {
        let live = monitor.locked {
            configurationGeneration &+= 1
            return status & VirtioStatus.driverOK != 0
        }
        if live { interrupts?.configurationInterrupt() }
    }

    // MARK: Rounds

    /// Runs every queue that was kicked. Called by the worker; harmless at any time.
    public func runPending() {
        monitor.lock()
        guard !running else { return monitor.unlock() }
        run()
    }

    /// Entered with the lock held, leaves with it released.
    private func runOrWake() {
        guard !running, pauses == 0, pending != 0 else { return monitor.unlock() }
        if let worker {
            monitor.unlock()
            worker.wake()
        } else {
            run()
        }
    }

    /// Entered with the lock held and no round under way, leaves with it released.
    private func run() {
        running = true
        while pending != 0, pauses == 0, isLive {
            let index = pending.trailingZeroBitCount
            pending &= pending &- 1
            let queue = queues[index]
            guard queue.isReady else { continue }
            monitor.unlock()
            runRound(queue)
            monitor.lock()
            if queue.hasMore { pending |= 1 << UInt64(index) }
        }
        running = false
        monitor.broadcast()
        monitor.unlock()
    }

    private func runRound(_ queue: Virtqueue) {
        queue.beginRound()
        do {
            try device.notify(queue: queue)
        } catch {
            if monitor.locked({ stop(error) }) { interrupts?.configurationInterrupt() }
        }
        deliverInterrupts()
    }

    /// Interrupts for every queue with completions the driver wants to hear of; a round may complete on any queue.
    private func deliverInterrupts() {
        for queue in queues where queue.takeInterrupt() { interrupts?.queueInterrupt(queue.index) }
    }

    /// Keeps the device from starting rounds, waits until none runs and the backend is idle. Nests; pair with `resume`.
    public func pause() {
        monitor.lock()
        pauses += 1
        while running { monitor.wait() }
        monitor.unlock()
        device.quiesce()
        deliverInterrupts()
    }

    /// Ends a `pause`; queues of a live device are looked at again.
    public func resume() {
        monitor.lock()
        pauses -= 1
        if pauses == 0, isLive {
            for queue in queues where queue.isReady { pending |= 1 << UInt64(queue.index) }
        }
        runOrWake()
    }
}

extension VirtioCore: Savable {
    /// Writes the common state and the device's. The device is paused meanwhile; to keep RAM and state consistent across
    /// a whole machine, the caller pauses every device before saving any.
    public func save(to writer: inout StateWriter) {
        pause()
        writer.section("virtio", version: 1) { writer in
            writer.put(device.deviceID.rawValue)
            writer.put(status)
            writer.put(driverFeatures)
            writer.put(configurationGeneration)
            writer.put(queueSelect)
            writer.put(deviceFeaturesSelect)
            writer.put(driverFeaturesSelect)
            writer.put(each: queues) { $1.save(to: &$0) }
            device.save(to: &writer)
        }
        resume()
    }

    /// Restores what `save` wrote. Queues run again at the next notification, or when the last `pause` ends.
    public func restore(from reader: inout StateReader) throws {
        pause()
        defer { resume() }
        try reader.section("virtio", newest: 1) { reader, _ in
            let identity = try reader.get(UInt32.self)
            guard identity == device.deviceID.rawValue else {
                throw StateError.invalid(section: reader.sectionName,
                                         reason: "device type \(identity), but type \(device.deviceID.rawValue) is here")
            }
            status = try reader.get()
            driverFeatures = try reader.get()
            guard driverFeatures & ~offeredFeatures == 0 || status & VirtioStatus.featuresOK == 0 else {
                throw StateError.invalid(section: reader.sectionName, reason: "features that this device does not offer")
            }
            configurationGeneration = try reader.get()
            queueSelect = try reader.get()
            deviceFeaturesSelect = try reader.get()
            driverFeaturesSelect = try reader.get()
            fault = nil
            pending = 0
            let count = try reader.get(UInt64.self)
            guard count == UInt64(queues.count) else {
                throw StateError.invalid(section: reader.sectionName, reason: "\(count) queues, \(queues.count) expected")
            }
            for queue in queues {
                if let reason = try queue.restore(from: &reader, features: driverFeatures) { stop(reason) }
            }
            try device.restore(from: &reader)
            if status & VirtioStatus.driverOK != 0 { device.activate(features: driverFeatures) }
        }
    }
}
