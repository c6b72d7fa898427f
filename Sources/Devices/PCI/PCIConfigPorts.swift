// PCI configuration mechanism 1: an address register at port CF8h and a data window at CFCh.
//
// Spec: PCI Local Bus 3.0 §3.2.2.3.2. Only a 4-byte write at CF8h reaches the address register; the byte at CF9h is the
// reset control register of PC chip sets. Accesses to buses and functions that are not there read as ones.

import Bus
import SavedState

/// The eight ports from CF8h. Give the window the bridge's lock.
public final class PCIConfigPorts: MMIODevice {
    /// Bytes of the window.
    public static let sizeBytes: UInt64 = 8
    private static let dataOffset: UInt64 = 4
    private static let resetControlOffset: UInt64 = 1
    private static let enabled: UInt32 = 1 << 31
    private static let writable: UInt32 = 0x80ff_fffc

    private var address: UInt32 = 0
    private let bridge: PCIHostBridge
    private let resetControl: PCReset

    public init(bridge: PCIHostBridge, resetControl: PCReset) {
        self.bridge = bridge
        self.resetControl = resetControl
    }

    /// The place in ECAM that the address register and a data port name, or nil when it is not enabled.
    private func place(_ offset: UInt64) -> UInt64? {
        guard address & Self.enabled != 0 else { return nil }
        return UInt64(address >> 8 & 0xffff) << 12 | UInt64(address & 0xfc) | offset & 3
    }

    public func read(offset: UInt64, size: Int) -> UInt64 {
        if offset >= Self.dataOffset {
            guard let place = place(offset) else { return Self.ones(size) }
            return bridge.readConfig(place, size)
        }
        if size == 4 { return UInt64(address) }
        if offset == Self.resetControlOffset, size == 1 { return UInt64(resetControl.resetControl) }
        return Self.ones(size)
    }

    private static func ones(_ size: Int) -> UInt64 { size >= 8 ? .max : (1 << UInt64(8 * size)) - 1 }

    public func write(offset: UInt64, size: Int, value: UInt64) {
        if offset >= Self.dataOffset {
            if let place = place(offset) { bridge.writeConfig(place, size, value) }
        } else if size == 4 {
            address = UInt32(truncatingIfNeeded: value) & Self.writable
        } else if offset == Self.resetControlOffset, size == 1 {
            resetControl.resetControl = UInt8(truncatingIfNeeded: value)
        }
    }

    public func reset() { address = 0 }
    public func save(to writer: inout StateWriter) {
        writer.section("pci-ports", version: 1) { $0.put(address) }
    }
    public func restore(from reader: inout StateReader) throws {
        try reader.section("pci-ports", newest: 1) { reader, _ in address = try reader.get(UInt32.self) & Self.writable }
    }
}
