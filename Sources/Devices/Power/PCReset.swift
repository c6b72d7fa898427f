// The two ports by which a PC resets itself and gates address line 20: system control port A (92h) and reset control (CF9h).
//
// Spec: Intel 82371AB (PIIX4) §4.2.6 (port 92h), §7.3 (CF9h).
// A20 is open at power-on, since nothing here starts with a BIOS. Every reset is one of the whole machine.

import Bus
import SavedState

/// The ports. Windows: the device itself is port 92h, `resetControl` is one byte for CF9h.
public final class PCReset: MMIODevice {
    /// Bytes of the window at port 92h.
    public static let sizeBytes: UInt64 = 1

    private enum Port92 {
        static let fastReset: UInt8 = 0x01
        static let a20: UInt8 = 0x02
    }
    private enum ResetControl {
        static let hardReset: UInt8 = 0x02
        static let resetProcessor: UInt8 = 0x04
        static let kept: UInt8 = 0x0a
    }
    /// What to write to CF9h for a reset, for the FADT.
    public static let resetValue: UInt8 = 0x06

    private var port92 = Port92.a20
    private var control: UInt8 = 0
    private let a20: @Sendable (Bool) -> Void
    private let power: @Sendable (PowerEvent) -> Void

    /// - Parameters:
    ///   - a20: whether address line 20 passes; told when it changes, on the vCPU's thread with the device lock held.
    ///   - power: called with the device lock held; must not wait for vCPUs.
    public init(a20: @escaping @Sendable (Bool) -> Void, power: @escaping @Sendable (PowerEvent) -> Void) {
        self.a20 = a20
        self.power = power
    }

    public func read(offset: UInt64, size: Int) -> UInt64 { UInt64(port92) }

    public func write(offset: UInt64, size: Int, value: UInt64) {
        let byte = UInt8(truncatingIfNeeded: value), before = port92
        port92 = byte & Port92.a20
        if (before ^ port92) & Port92.a20 != 0 { a20(port92 & Port92.a20 != 0) }
        if byte & Port92.fastReset != 0 { power(.reset) }
    }

    /// CF9h, which lies inside the window of the PCI configuration ports.
    var resetControl: UInt8 {
        get { control }
        set {
            let rises = newValue & ~control & ResetControl.resetProcessor != 0
            control = newValue & ResetControl.kept
            if rises { power(.reset) }
        }
    }

    public func reset() {
        if port92 & Port92.a20 == 0 { a20(true) }
        port92 = Port92.a20
        control = 0
    }

    public func save(to writer: inout StateWriter) {
        writer.section("pc-reset", version: 1) { writer in
            writer.put(port92)
            writer.put(control)
        }
    }

    public func restore(from reader: inout StateReader) throws {
        try reader.section("pc-reset", newest: 1) { reader, _ in
            port92 = try reader.get(UInt8.self) & Port92.a20
            control = try reader.get(UInt8.self) & ResetControl.kept
            a20(port92 & Port92.a20 != 0)
        }
    }
}
