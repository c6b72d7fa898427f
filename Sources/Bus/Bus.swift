// The physical address space of a machine: which device answers at which guest-physical address.
//
// The map is fixed once the machine runs, so vCPU threads look it up without a lock; each device access is made under
// that device's own lock, so a device never sees two accesses at once. RAM is not on the bus: the soft TLB and the page
// walker go to GuestRAM directly and come here only for everything else.

import GuestMemory
import SavedState

/// A chip with registers in the physical address space.
///
/// A device models registers only: no threads, files or clocks. What it needs from the host is injected at init.
/// Called with the bus's per-device lock held.
public protocol MMIODevice: Savable {
    /// Reads `size` bytes (1, 2, 4 or 8) at `offset` from the start of the device's window.
    func read(offset: UInt64, size: Int) -> UInt64
    /// Writes the low `size` bytes (1, 2, 4 or 8) of `value` at `offset`.
    func write(offset: UInt64, size: Int, value: UInt64)
    /// Returns every register to its power-on value.
    func reset()
}

/// A device whose work goes on outside register accesses (disk requests under way, worker threads).
public protocol PausableDevice: MMIODevice {
    /// Returns once nothing of the device's work is under way; none starts until `resume`. Called without the device's
    /// lock while every vCPU stands still.
    func pause()
    /// Ends a `pause`.
    func resume()
}

/// An interrupt input of some controller, as seen by the device that drives it.
public struct InterruptLine: Sendable {
    private let drive: @Sendable (Bool) -> Void
    public init(_ drive: @escaping @Sendable (Bool) -> Void) { self.drive = drive }
    /// Sets the level of the line. Callable on any thread.
    public func set(_ level: Bool) { drive(level) }
    /// A line that leads nowhere.
    public static let unconnected = InterruptLine { _ in }
}
