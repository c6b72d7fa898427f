// The contract between a virtio device model (what the queues mean) and whatever carries it (registers, rings,
// interrupts). Virtual I/O Device Version 1.2, section 2.

import GuestMemory
import SavedState

/// What a device may ask of the transport it sits on. All calls are allowed on any thread.
public protocol VirtioLink: AnyObject {
    /// Guest RAM that the device's queues live in.
    var ram: GuestRAM { get }
    /// Arranges for `notify(queue:)` to run for a queue, as if the driver had notified it. Ignored unless DRIVER_OK.
    func kick(queue: Int)
    /// Tells the driver that configuration space changed.
    func configurationChanged()
}

/// A virtio device type: a state machine over its queues and its configuration space.
///
/// Calls to `notify`, `activate`, `queueWasReset` and `reset` never overlap. `configuration` and `writeConfiguration` may be
/// called at any time from a vCPU thread; state shared between the two groups is atomic or locked.
public protocol VirtioDevice: Savable {
    /// The device type.
    var deviceID: VirtioDeviceID { get }
    /// Device-specific feature bits offered (bits 0–23 and 50–127; section 2.2). Fixed for the device's life.
    var offeredFeatures: UInt64 { get }
    /// The largest size of each queue, a power of two at most 32768. Fixed for the device's life.
    var queueSizes: [UInt16] { get }
    /// The device-specific configuration space as it reads now.
    var configuration: [UInt8] { get }
    /// A driver's write of the low `size` bytes of `value` (1, 2, 4 or 8) at `offset` of configuration space.
    func writeConfiguration(offset: Int, size: Int, value: UInt64)
    /// Connects the device to its transport; called once, before anything else. The link outlives every later call.
    func connect(_ link: any VirtioLink)
    /// The driver set DRIVER_OK with these negotiated features.
    func activate(features: UInt64)
    /// Handles what the driver made available on a queue.
    /// - Throws: `VirtioFault` when the driver broke a rule from which the device cannot recover; the device then stops
    ///   until reset.
    func notify(queue: Virtqueue) throws(VirtioFault)
    /// Waits until the backend has finished every outstanding request. No `notify` runs meanwhile.
    func quiesce()
    /// One queue was reset on its own (VIRTIO_F_RING_RESET) or made not ready.
    func queueWasReset(_ index: Int)
    /// Returns to the state after power-on. Backend contents are kept.
    func reset()
}

extension VirtioDevice {
    /// Default for devices without writable configuration: the write is dropped, as section 2.5.1 allows.
    public func writeConfiguration(offset: Int, size: Int, value: UInt64) {}
    /// Default for devices whose backends finish every request before `notify` returns.
    public func quiesce() {}
    /// Default for devices that keep no buffer between notifications.
    public func queueWasReset(_ index: Int) {}
}
