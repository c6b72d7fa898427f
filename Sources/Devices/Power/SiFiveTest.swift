// The SiFive test finisher: the guest ends or restarts the machine with one store.
//
// Spec: SiFive FU540 test status device; Linux syscon-poweroff and syscon-reboot use its values.
// The low half of the word is the command, the high half an exit code for FAIL.

import Bus
import SavedState

/// How a guest asks for the end of its machine.
public enum PowerEvent: Equatable, Sendable {
    case powerOff
    case reset
    /// Ended with a failure code of 16 bits.
    case fail(code: UInt16)
}

/// The device. Other values than its three commands are ignored, as on the chip.
public final class SiFiveTest: MMIODevice {
    /// Size of the register window.
    public static let sizeBytes: UInt64 = 0x1000
    public static let pass: UInt32 = 0x5555
    public static let reset: UInt32 = 0x7777
    public static let fail: UInt32 = 0x3333

    private let power: @Sendable (PowerEvent) -> Void

    /// - Parameter power: called with the device lock held; must not wait for vCPUs.
    public init(power: @escaping @Sendable (PowerEvent) -> Void) { self.power = power }

    public func read(offset: UInt64, size: Int) -> UInt64 { 0 }

    public func write(offset: UInt64, size: Int, value: UInt64) {
        guard offset == 0, size >= 2 else { return }
        switch UInt32(truncatingIfNeeded: value) & 0xffff {
        case Self.pass: power(.powerOff)
        case Self.reset: power(.reset)
        case Self.fail: power(.fail(code: UInt16(truncatingIfNeeded: value >> 16)))
        default: return
        }
    }

    public func reset() {}
    public func save(to writer: inout StateWriter) { writer.section("sifive-test", version: 1) { _ in } }
    public func restore(from reader: inout StateReader) throws {
        try reader.section("sifive-test", newest: 1) { _, _ in }
    }
}
