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
    /// A window of I/O ports passes port 65535.
    case outsidePorts(String)
    case overlap(String, String)
    case duplicateName(String)

    public var description: String {
        switch self {
        case .emptyWindow(let name): "device window '\(name)' is empty or passes the end of the address space"
        case .outsidePorts(let name): "I/O port window '\(name)' passes port 0xffff"
        case .overlap(let first, let second): "device windows '\(first)' and '\(second)' overlap"
        case .duplicateName(let name): "two device windows are called '\(name)'"
        }
    }
}

/// Windows in ascending order of address, none overlapping: one address space.
struct WindowTable: Sendable {
    let windows: [BusWindow]
    private let starts: [UInt64]

    /// - Throws: `BusError` when windows overlap or share a name.
    init(_ windows: [BusWindow]) throws {
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
    func window(at address: UInt64) -> BusWindow? {
        var low = 0
        var high = starts.count
        while low < high {
            let middle = (low &+ high) / 2
            if starts[middle] <= address { low = middle &+ 1 } else { high = middle }
        }
        guard low > 0 else { return nil }
        let window = windows[low &- 1]
        return address &- window.start.value < window.sizeBytes ? window : nil
    }

    /// The window that answers a naturally aligned access of that size, and the offset into it.
    func target(_ address: UInt64, _ size: Int) -> (BusWindow, UInt64)? {
        guard size == 1 || size == 2 || size == 4 || size == 8 else { return nil }
        guard address & UInt64(size &- 1) == 0, let window = window(at: address) else { return nil }
        let offset = address &- window.start.value
        guard window.sizes.contains(AccessSizes(rawValue: UInt8(size))),
              UInt64(size) <= window.sizeBytes &- offset else { return nil }
        return (window, offset)
    }

    func save(to writer: inout StateWriter) {
        writer.put(UInt32(windows.count))
        for window in windows {
            writer.section(window.name, version: 1) { writer in
                window.lock.withLock { window.device.save(to: &writer) }
            }
        }
    }

    func restore(from reader: inout StateReader, section: String) throws {
        let count: UInt32 = try reader.get()
        guard count == UInt32(windows.count) else {
            throw StateError.invalid(section: section, reason: "\(count) devices, the board has \(windows.count)")
        }
        for window in windows {
            try reader.section(window.name, newest: 1) { reader, _ in
                try window.lock.withLock { try window.device.restore(from: &reader) }
            }
        }
    }
}

/// The devices of a machine by guest-physical address, and by I/O port where it has ports.
public final class Bus: Savable, @unchecked Sendable {
    private let table: WindowTable
    /// The I/O ports; empty on machines without.
    public let ports: PortSpace

    /// The windows, in ascending order of address.
    public var windows: [BusWindow] { table.windows }

    /// - Parameters:
    ///   - windows: of the physical address space.
    ///   - ports: of the I/O port space; `start` is a port number.
    /// - Throws: `BusError` when windows of one space overlap or share a name.
    public init(_ windows: [BusWindow], ports: [BusWindow] = []) throws {
        table = try WindowTable(windows)
        self.ports = try PortSpace(ports)
    }

    /// The window that holds `address`, or nil.
    public func window(at address: GuestPhysical) -> BusWindow? { table.window(at: address.value) }

    /// Reads `size` bytes; nil when no device answers an access of that place, size and alignment.
    public func read(_ address: GuestPhysical, size: Int) -> UInt64? {
        guard let (window, offset) = table.target(address.value, size) else { return nil }
        return window.lock.withLock { window.device.read(offset: offset, size: size) }
    }

    /// Writes the low `size` bytes of `value`; false when no device answers an access of that place, size and alignment.
    public func write(_ address: GuestPhysical, size: Int, value: UInt64) -> Bool {
        guard let (window, offset) = table.target(address.value, size) else { return false }
        let mask = size == 8 ? UInt64.max : (1 << UInt64(size &* 8)) &- 1
        window.lock.withLock { window.device.write(offset: offset, size: size, value: value & mask) }
        return true
    }

    /// Runs `body` with the lock of `device` held, for callers that are not a vCPU's access.
    public func exclusive<Result>(_ device: any MMIODevice, _ body: () throws -> Result) rethrows -> Result {
        let window = windows.first { $0.device === device } ?? ports.windows.first { $0.device === device }
        guard let window else { return try body() }
        return try window.lock.withLock(body)
    }

    private var allWindows: [BusWindow] { windows + ports.windows }

    /// Brings every device to a standstill, so that RAM and state can be read consistently.
    public func pause() { for window in allWindows { (window.device as? any PausableDevice)?.pause() } }

    /// Ends a `pause`.
    public func resume() { for window in allWindows { (window.device as? any PausableDevice)?.resume() } }

    /// Returns every device to its power-on state.
    public func reset() {
        for window in allWindows { window.lock.withLock { window.device.reset() } }
    }

    /// Writes every device, in map order, each in a section named like its window; those on ports in a second section.
    public func save(to writer: inout StateWriter) {
        writer.section("bus", version: 1) { table.save(to: &$0) }
        guard !ports.windows.isEmpty else { return }
        writer.section("ports", version: 1) { ports.table.save(to: &$0) }
    }

    public func restore(from reader: inout StateReader) throws {
        try reader.section("bus", newest: 1) { reader, _ in try table.restore(from: &reader, section: "bus") }
        guard !ports.windows.isEmpty else { return }
        try reader.section("ports", newest: 1) { reader, _ in
            try ports.table.restore(from: &reader, section: "ports")
        }
    }
}
