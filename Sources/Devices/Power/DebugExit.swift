// isa-debug-exit: a guest ends its machine with a status of its choice by writing a port.
//
// Spec: QEMU's device of that name: the status is value × 2 + 1, so that a guest cannot claim success.

import Bus
import SavedState

/// The device, four ports.
public final class DebugExit: MMIODevice {
    /// Bytes of the window.
    public static let sizeBytes: UInt64 = 4
    private let power: @Sendable (PowerEvent) -> Void

    /// - Parameter power: called with the device lock held; must not wait for vCPUs.
    public init(power: @escaping @Sendable (PowerEvent) -> Void) { self.power = power }

    public func read(offset: UInt64, size: Int) -> UInt64 { 0 }
    public func write(offset: UInt64, size: Int, value: UInt64) {
        power(.fail(code: UInt16(truncatingIfNeeded: (value << 1 | 1) & 0xff)))
    }
    public func reset() {}
    public func save(to writer: inout StateWriter) { writer.section("debug-exit", version: 1) { _ in } }
    public func restore(from reader: inout StateReader) throws {
        try reader.section("debug-exit", newest: 1) { _, _ in }
    }
}
