// The debug console at port E9h: every byte written is a character; reading gives E9h, by which software knows it.
//
// Spec: Bochs user manual, "port_e9_hack".

import Bus
import SavedState

/// The port.
public final class DebugPort: MMIODevice {
    /// Bytes of the window.
    public static let sizeBytes: UInt64 = 1
    /// The usual port, and what reading it gives.
    public static let port: UInt64 = 0xe9
    private let output: any SerialOutput

    /// - Parameter output: what it refuses is lost.
    public init(output: any SerialOutput) { self.output = output }

    public func read(offset: UInt64, size: Int) -> UInt64 { Self.port }
    public func write(offset: UInt64, size: Int, value: UInt64) { _ = output.send(UInt8(truncatingIfNeeded: value)) }
    public func reset() {}
    public func save(to writer: inout StateWriter) { writer.section("debug-port", version: 1) { _ in } }
    public func restore(from reader: inout StateReader) throws {
        try reader.section("debug-port", newest: 1) { _, _ in }
    }
}
