// ACPI tables: header, checksum, and the ones a small machine has.
//
// Spec: ACPI 6.5 §5.2.5 (RSDP), §5.2.6 (header), §5.2.8 (XSDT), §5.2.9 (FADT), §5.2.10 (FACS), §5.2.12 (MADT);
// PCI Firmware Specification 3.3 §4.1.2 (MCFG).

/// Makes tables.
enum ACPITable {
    static let oemID = Array("GUISE ".utf8)
    static let oemTable = Array("GUISEVM ".utf8)
    static let creator = Array("GUIS".utf8)
    static let headerSizeBytes = 36
    static let rootPointerSizeBytes = 36

    /// A table with its header.
    static func table(_ signature: String, revision: UInt8, _ body: [UInt8]) -> [UInt8] {
        var bytes = Array(signature.utf8) + littleEndian(UInt32(headerSizeBytes + body.count)) + [revision, 0]
        bytes += oemID + oemTable + littleEndian(UInt32(1)) + creator + littleEndian(UInt32(1))
        bytes += body
        bytes[9] = checksum(bytes[...])
        return bytes
    }

    /// What makes the sum of all bytes zero.
    static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt8 { 0 &- bytes.reduce(UInt8(0), &+) }

    /// The root pointer, for the first megabyte.
    static func rootPointer(rsdt: UInt32, xsdt: UInt64) -> [UInt8] {
        var bytes = Array("RSD PTR ".utf8) + [0] + oemID + [2] + littleEndian(rsdt)
        bytes += littleEndian(UInt32(rootPointerSizeBytes)) + littleEndian(xsdt) + [0, 0, 0, 0]
        bytes[8] = checksum(bytes[..<20])
        bytes[32] = checksum(bytes[...])
        return bytes
    }

    /// The list of tables with 64-bit pointers, and the one that old kernels read.
    static func extendedRoot(_ tables: [UInt64]) -> [UInt8] { table("XSDT", revision: 1, tables.flatMap { littleEndian($0) }) }
    static func root(_ tables: [UInt64]) -> [UInt8] {
        table("RSDT", revision: 1, tables.flatMap { littleEndian(UInt32(truncatingIfNeeded: $0)) })
    }

    /// The block that the firmware and the system share; it has no checksum.
    static var firmwareControl: [UInt8] {
        var bytes = Array("FACS".utf8) + littleEndian(UInt32(64))
        bytes += Array(repeating: 0, count: 24) + [2]
        return bytes + Array(repeating: 0, count: 64 - bytes.count)
    }

    /// A register as FADT describes it.
    static func ioRegister(_ port: UInt16, sizeBytes: Int) -> [UInt8] {
        let access: UInt8 = sizeBytes == 1 ? 1 : sizeBytes == 2 ? 2 : 3
        return [1, UInt8(sizeBytes * 8), 0, access] + littleEndian(UInt64(port))
    }

    /// What FADT tells about fixed hardware.
    struct FixedHardware {
        var facs: UInt32
        var dsdt: UInt32
        var sciInterrupt: UInt16
        /// The event block: status and enable, 2 bytes each.
        var event: UInt16
        var control: UInt16
        var timer: UInt16
        var resetPort: UInt16
        var resetValue: UInt8
        var centuryByte: UInt8
    }

    private enum Flags {
        static let wbinvd: UInt32 = 1 << 0, c1: UInt32 = 1 << 2, noFixedSleepButton: UInt32 = 1 << 5
        static let noFixedRTCWake: UInt32 = 1 << 6, timer32: UInt32 = 1 << 8, resetRegister: UInt32 = 1 << 10
        static let all = wbinvd | c1 | noFixedSleepButton | noFixedRTCWake | timer32 | resetRegister
    }
    /// Legacy devices on the bus; no VGA. No 8042: its bit stays clear.
    private static let bootArchitecture: UInt16 = 1 << 0 | 1 << 2
    /// C2 and C3 are not there.
    private static let noDeepSleep: UInt16 = 0xfff

    static func fixedDescription(_ hardware: FixedHardware) -> [UInt8] {
        var body = littleEndian(hardware.facs) + littleEndian(hardware.dsdt) + [0, 0]
        body += littleEndian(hardware.sciInterrupt)
        // No SMI command: ACPI is on from the start.
        body += Array(repeating: 0, count: 8)
        for port in [hardware.event, 0, hardware.control, 0, 0, hardware.timer, 0, 0] { body += littleEndian(UInt32(port)) }
        body += [4, 2, 0, 4, 0, 0, 0, 0]
        body += littleEndian(noDeepSleep) + littleEndian(noDeepSleep)
        // Flush size and stride, duty, alarms; then century.
        body += Array(repeating: 0, count: 8) + [hardware.centuryByte]
        body += littleEndian(bootArchitecture) + [0] + littleEndian(Flags.all)
        body += ioRegister(hardware.resetPort, sizeBytes: 1) + [hardware.resetValue, 0, 0, 5]
        // The 64-bit pointers to FACS and DSDT; FACS is given by the 32-bit one only (§5.2.9).
        body += littleEndian(UInt64(0)) + littleEndian(UInt64(hardware.dsdt))
        let absent = [UInt8](repeating: 0, count: 12)
        body += ioRegister(hardware.event, sizeBytes: 4) + absent + ioRegister(hardware.control, sizeBytes: 2) + absent + absent
        body += ioRegister(hardware.timer, sizeBytes: 4) + absent + absent + absent + absent
        body += Array("GUISE\0\0\0".utf8)
        return table("FACP", revision: 6, body)
    }

    /// An ISA interrupt that reaches another input, or in another way, than ISA's edge-triggered identity.
    struct Override {
        var irq: UInt8
        var input: UInt32
        var isLevel: Bool
    }

    static func interruptControllers(localAPIC: UInt32, processors: Int, ioAPIC: UInt32, overrides: [Override]) -> [UInt8] {
        var body = littleEndian(localAPIC) + littleEndian(UInt32(1))
        for processor in 0..<processors { body += [0, 8, UInt8(processor), UInt8(processor)] + littleEndian(UInt32(1)) }
        body += [1, 12, 0, 0] + littleEndian(ioAPIC) + littleEndian(UInt32(0))
        for entry in overrides {
            // Active high; level or, as the bus has it, edge.
            body += [2, 10, 0, entry.irq] + littleEndian(entry.input) + littleEndian(UInt16(entry.isLevel ? 0xd : 0))
        }
        // NMI at LINT1 of all processors.
        body += [4, 6, 0xff, 0, 0, 1]
        return table("APIC", revision: 4, body)
    }

    static func configurationSpace(ecam: UInt64, lastBus: UInt8) -> [UInt8] {
        table("MCFG", revision: 1, Array(repeating: 0, count: 8) + littleEndian(ecam) + [0, 0, 0, lastBus, 0, 0, 0, 0])
    }
}
