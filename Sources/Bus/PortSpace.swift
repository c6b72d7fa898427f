// The 65,536 I/O ports of a PC: which device answers IN and OUT.
//
// A chip on ports is an `MMIODevice` whose offsets count from the first port of its window. What no window takes as a
// whole is split as the bus of a PC does: into halves, down to bytes. Ports where nothing answers read as ones and
// swallow writes.

import GuestMemory

/// The I/O ports of a machine. Looked up without a lock, accessed under the device's lock, like the rest of the bus.
public final class PortSpace: @unchecked Sendable {
    let table: WindowTable
    /// Number of ports.
    public static let count: UInt64 = 1 << 16

    /// The windows, in ascending order of port number.
    public var windows: [BusWindow] { table.windows }

    init(_ windows: [BusWindow]) throws {
        table = try WindowTable(windows)
        for window in table.windows {
            guard window.start.value < Self.count, window.sizeBytes <= Self.count - window.start.value else {
                throw BusError.outsidePorts(window.name)
            }
        }
    }

    /// IN: reads `size` bytes (1, 2 or 4) from `port` on, zero-extended.
    public func read(_ port: UInt16, size: Int) -> UInt32 { read(UInt64(port), size) }

    /// OUT: writes the low `size` bytes (1, 2 or 4) of `value` from `port` on.
    public func write(_ port: UInt16, size: Int, value: UInt32) { write(UInt64(port), size, value) }

    private static func mask(_ size: Int) -> UInt32 { size >= 4 ? .max : (1 << UInt32(size &* 8)) &- 1 }

    private func read(_ port: UInt64, _ size: Int) -> UInt32 {
        if let (window, offset) = table.target(port, size) {
            let value = window.lock.withLock { window.device.read(offset: offset, size: size) }
            return UInt32(truncatingIfNeeded: value) & Self.mask(size)
        }
        if size <= 1 { return 0xFF }
        let half = size / 2
        return read(port, half) | read(port &+ UInt64(half), half) << UInt32(half &* 8)
    }

    private func write(_ port: UInt64, _ size: Int, _ value: UInt32) {
        if let (window, offset) = table.target(port, size) {
            window.lock.withLock {
                window.device.write(offset: offset, size: size, value: UInt64(value & Self.mask(size)))
            }
            return
        }
        if size <= 1 { return }
        let half = size / 2
        write(port, half, value)
        write(port &+ UInt64(half), half, value >> UInt32(half &* 8))
    }
}
