// The fixed map from guest-physical address to device, and the only door through which anyone touches a device.
//
// vCPU threads look windows up without a lock, by binary search over sorted starts; each access then holds the lock of
// the window's device. The same lock guards a device against its other callers (event loop, disk threads):
// `exclusive(_:_:)`. A window whose devices share state (the windows of a PCI host bridge) share one `DeviceLock`.

import GuestMemory
import SavedState
import Synchronization

/// The lock that makes accesses to one device exclusive. Not recursive.
public final class DeviceLock: Sendable {
    private let mutex = Mutex(())
    public init() {}
    /// Runs `body` with the device held.
    public func withLock<Result>(_ body: () throws -> Result) rethrows -> Result {
        try mutex.withLock { _ in try body() }
    }
}

/// The access widths a window answers to.
public struct AccessSizes: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let byte = AccessSizes(rawValue: 1)
    public static let half = AccessSizes(rawValue: 2)
    public static let word = AccessSizes(rawValue: 4)
    public static let double = AccessSizes(rawValue: 8)
    public static let any: AccessSizes = [.byte, .half, .word, .double]
}

/// One device's place in the physical address space.
public final class BusWindow: @unchecked Sendable {
    /// The name in device trees, messages and saved state, unique on its bus.
    public let name: String
    public let start: GuestPhysical
    public let sizeBytes: UInt64
    public let device: any MMIODevice
    public let sizes: AccessSizes
    public let lock: DeviceLock

    public init(_ name: String, at start: GuestPhysical, sizeBytes: UInt64, sizes: AccessSizes = .any,
                lock: DeviceLock = DeviceLock(), device: any MMIODevice) {
        self.name = name
        self.start = start
        self.sizeBytes = sizeBytes
        self.device = device
        self.sizes = sizes
        self.lock = lock
    }
}

/// Why a set of windows does not make an address map.
public enum BusError: Error, Equatable, CustomStringConvertible {
    case emptyWindow(String)
    case overlap(String, String)
    case duplicateName(String)

    public var description: String {
        switch self {
        case .emptyWindow(let name): "device window '\(name)' is empty or passes the end of the address space"
        case .overlap(let first, let second): "device windows '\(first)' and '\(second)' overlap"
        case .duplicateName(let name): "two device windows are called '\(name)'"
        }
    }
}

/// The devices of a machine by guest-physical address.
public final class Bus: Savable, @unchecked Sendable {
    /// The windows, in ascending order of address.
    public let windows: [BusWindow]
    private let starts: [UInt64]

    /// - Throws: `BusError` when windows overlap or share a name.
    public init(_ windows: [BusWindow]) throws {
        let sorted = windows.sorted { $0.start < $1.start }
        var names = Set<String>()
        for (index, window) in sorted.enumerated() {
            let (end, passesEnd) = window.start.value.addingReportingOverflow(window.sizeBytes)
            guard window.sizeBytes > 0, !passesEnd || end == 0 else { throw BusError.emptyWindow(window.name) }
            guard names.insert(window.name).inserted else { throw BusError.duplicateName(window.name) }
            if index > 0 {
                let previous = sorted[index - 1]
                guard window.start.value - previous.start.value >= previous.sizeBytes else {
                    throw BusError.overlap(previous.name, window.name)
                }
            }
        }
        self.windows = sorted
        starts = sorted.map(\.start.value)
    }

    /// The window that holds `address`, or nil.
    public func window(at address: GuestPhysical) -> BusWindow? {
        var low = 0
        var high = starts.count
        while low < high {
            let middle = (low &+ high) / 2
            if starts[middle] <= address.value { low = middle &+ 1 } else { high = middle }
        }
        guard low > 0 else { return nil }
        let window = windows[low &- 1]
        return address.value &- window.start.value < window.sizeBytes ? window : nil
    }

    /// Reads `size` bytes; nil when no device answers an access of that place, size and alignment.
    public func read(_ address: GuestPhysical, size: Int) -> UInt64? {
        guard let (window, offset) = target(address, size) else { return nil }
        return window.lock.withLock { window.device.read(offset: offset, size: size) }
    }

    /// Writes the low `size` bytes of `value`; false when no device answers an access of that place, size and alignment.
    public func write(_ address: GuestPhysical, size: Int, value: UInt64) -> Bool {
        guard let (window, offset) = target(address, size) else { return false }
        let mask = size == 8 ? UInt64.max : (1 << UInt64(size &* 8)) &- 1
        window.lock.withLock { window.device.write(offset: offset, size: size, value: value & mask) }
        return true
    }

    /// Runs `body` with the lock of `device` held, for callers that are not a vCPU's access.
    public func exclusive<Result>(_ device: any MMIODevice, _ body: () throws -> Result) rethrows -> Result {
        guard let window = windows.first(where: { $0.device === device }) else { return try body() }
        return try window.lock.withLock(body)
    }

    /// Brings every device to a standstill, so that RAM and state can be read consistently.
    public func pause() { for window in windows { (window.device as? any PausableDevice)?.pause() } }

    /// Ends a `pause`.
    public func resume() { for window in windows { (window.device as? any PausableDevice)?.resume() } }

    /// Returns every device to its power-on state.
    public func reset() {
        for window in windows { window.lock.withLock { window.device.reset() } }
    }

    /// Writes every device, in map order, each in a section named like its window.
    public func save(to writer: inout StateWriter) {
        writer.section("bus", version: 1) { writer in
            writer.put(UInt32(windows.count))
            for window in windows {
                writer.section(window.name, version: 1) { writer in
                    window.lock.withLock { window.device.save(to: &writer) }
                }
            }
        }
    }

    public func restore(from reader: inout StateReader) throws {
        try reader.section("bus", newest: 1) { reader, _ in
            let count: UInt32 = try reader.get()
            guard count == UInt32(windows.count) else {
                throw StateError.invalid(section: "bus", reason: "\(count) devices, the board has \(windows.count)")
            }
            for window in windows {
                try reader.section(window.name, newest: 1) { reader, _ in
                    try window.lock.withLock { try window.device.restore(from: &reader) }
                }
            }
        }
    }

    private func target(_ address: GuestPhysical, _ size: Int) -> (BusWindow, UInt64)? {
        guard size == 1 || size == 2 || size == 4 || size == 8 else { return nil }
        guard address.value & UInt64(size &- 1) == 0, let window = window(at: address) else { return nil }
        let offset = address.value &- window.start.value
        guard window.sizes.contains(AccessSizes(rawValue: UInt8(size))),
              UInt64(size) <= window.sizeBytes &- offset else { return nil }
        return (window, offset)
    }
}
