// The configuration space of one type 0 function: header, BARs, capability list.
//
// Spec: PCI Local Bus 3.0 §6.1 (header), §6.2.5 (BARs), §6.7 (capability list); PCI Express Base 4.0 §7.6 (extended list).
// Absent: expansion ROMs, CardBus CIS, extended capabilities (offsets 256…4095 read zero: an empty list).

import Bus
import SavedState

/// Offsets and bits of the type 0 header.
public enum PCIHeader {
    public static let vendorID = 0x00
    public static let deviceID = 0x02
    public static let command = 0x04
    public static let status = 0x06
    public static let revisionID = 0x08
    public static let classCode = 0x09
    public static let cacheLineSize = 0x0c
    public static let latencyTimer = 0x0d
    public static let headerType = 0x0e
    public static let bar0 = 0x10
    public static let subsystemVendorID = 0x2c
    public static let subsystemID = 0x2e
    public static let capabilitiesPointer = 0x34
    public static let interruptLine = 0x3c
    public static let interruptPin = 0x3d
    /// First byte past the header: where the first capability goes.
    public static let end = 0x40

    public static let commandIOSpace: UInt16 = 1 << 0
    public static let commandMemorySpace: UInt16 = 1 << 1
    public static let commandBusMaster: UInt16 = 1 << 2
    public static let commandParityError: UInt16 = 1 << 6
    public static let commandSERR: UInt16 = 1 << 8
    public static let commandInterruptDisable: UInt16 = 1 << 10
    static let commandWritable = commandIOSpace | commandMemorySpace | commandBusMaster | commandParityError
        | commandSERR | commandInterruptDisable

    public static let statusInterrupt: UInt16 = 1 << 3
    public static let statusCapabilities: UInt16 = 1 << 4

    static let barIOSpace: UInt32 = 1
    static let barMemory64: UInt32 = 0b100
    static let barPrefetchable: UInt32 = 0b1000
}

/// A base address register as the function declares it.
public struct PCIBAR: Equatable, Sendable {
    public enum Kind: Equatable, Sendable { case io, memory32, memory64 }
    /// 0…5; a 64-bit BAR also takes the next number.
    public let number: Int
    public let kind: Kind
    /// A power of two: at least 4 for I/O, 16 for memory.
    public let sizeBytes: UInt64
    /// Whether reads have no side effects, so that a bridge may read ahead.
    public let prefetchable: Bool

    public init(_ number: Int, _ kind: Kind, sizeBytes: UInt64, prefetchable: Bool = false) {
        let smallest: UInt64 = kind == .io ? 4 : 16
        precondition(sizeBytes.nonzeroBitCount == 1 && sizeBytes >= smallest, "BAR size must be a power of two")
        precondition(kind == .memory64 || sizeBytes <= 1 << 31, "a 32-bit BAR holds at most 2 GiB")
        precondition(number >= 0 && number <= (kind == .memory64 ? 4 : 5), "a function has BARs 0 to 5")
        self.number = number
        self.kind = kind
        self.sizeBytes = sizeBytes
        self.prefetchable = prefetchable
    }
}

/// Who a function says it is.
public struct PCIIdentity: Equatable, Sendable {
    public var vendorID: UInt16
    public var deviceID: UInt16
    public var revisionID: UInt8
    /// Base class, sub-class, programming interface: 0xBBSSPP.
    public var classCode: UInt32
    public var subsystemVendorID: UInt16
    public var subsystemID: UInt16

    public init(vendorID: UInt16, deviceID: UInt16, revisionID: UInt8 = 0, classCode: UInt32,
                subsystemVendorID: UInt16 = 0, subsystemID: UInt16 = 0) {
        self.vendorID = vendorID
        self.deviceID = deviceID
        self.revisionID = revisionID
        self.classCode = classCode
        self.subsystemVendorID = subsystemVendorID
        self.subsystemID = subsystemID
    }
}

/// The registers of one function.
public final class PCIConfigSpace: Savable {
    /// Size of the conventional space; ECAM offsets beyond it read zero.
    public static let sizeBytes = 256

    /// The base address registers that the function declares.
    public let bars: [PCIBAR]
    /// Called after a guest write changed registers in the byte range; set by a function with live capabilities.
    public var written: ((_ range: Range<Int>) -> Void)?

    private var registers: [UInt8]
    private var writable: [UInt8]
    private var powerOn: [UInt8]
    private var nextCapability = PCIHeader.end
    private var lastCapabilityLink = PCIHeader.capabilitiesPointer
    private var interruptAsserted = false
    private var intx = InterruptLine.unconnected

    /// - Parameter interruptPin: 0 for none, 1…4 for INTA…INTD.
    public init(_ identity: PCIIdentity, bars: [PCIBAR] = [], interruptPin: UInt8 = 0) {
        precondition(interruptPin <= 4, "a function has pins INTA to INTD")
        self.bars = bars
        registers = Array(repeating: 0, count: Self.sizeBytes)
        writable = Array(repeating: 0, count: Self.sizeBytes)
        powerOn = []
        set(PCIHeader.vendorID, UInt32(identity.vendorID), size: 2)
        set(PCIHeader.deviceID, UInt32(identity.deviceID), size: 2)
        set(PCIHeader.revisionID, UInt32(identity.revisionID), size: 1)
        set(PCIHeader.classCode, identity.classCode, size: 3)
        set(PCIHeader.subsystemVendorID, UInt32(identity.subsystemVendorID), size: 2)
        set(PCIHeader.subsystemID, UInt32(identity.subsystemID), size: 2)
        set(PCIHeader.interruptPin, UInt32(interruptPin), size: 1)
        allowWrites(PCIHeader.command, UInt32(PCIHeader.commandWritable), size: 2)
        allowWrites(PCIHeader.cacheLineSize, 0xff, size: 1)
        allowWrites(PCIHeader.latencyTimer, 0xff, size: 1)
        allowWrites(PCIHeader.interruptLine, 0xff, size: 1)
        for bar in bars { install(bar) }
        powerOn = registers
    }

    /// Adds a capability and returns the offset of its ID byte.
    /// - Parameters:
    ///   - body: what follows the ID and next-pointer bytes.
    ///   - writable: a mask of guest-writable bits, as long as `body` or empty for read-only.
    @discardableResult
    public func addCapability(id: UInt8, _ body: [UInt8], writable mask: [UInt8] = []) -> Int {
        let offset = nextCapability
        precondition(offset + 2 + body.count <= Self.sizeBytes, "the capabilities do not fit the configuration space")
        registers[lastCapabilityLink] = UInt8(offset)
        registers[offset] = id
        for (index, byte) in body.enumerated() { registers[offset + 2 + index] = byte }
        for (index, byte) in mask.prefix(body.count).enumerated() { writable[offset + 2 + index] = byte }
        registers[PCIHeader.status] |= UInt8(truncatingIfNeeded: PCIHeader.statusCapabilities)
        lastCapabilityLink = offset + 1
        nextCapability = (offset + 2 + body.count + 3) & ~3
        powerOn = registers
        return offset
    }

    /// Connects the INTx output; called by `attach`.
    public func connect(intx: InterruptLine) { self.intx = intx }

    /// Asserts or releases the function's INTx request; the pin follows unless Interrupt Disable is set.
    public func setInterrupt(_ asserted: Bool) {
        interruptAsserted = asserted
        updateInterrupt()
    }

    /// The command register as the guest last wrote it.
    public var command: UInt16 { UInt16(read(offset: PCIHeader.command, size: 2)) }
    /// Whether the function may read and write memory. A function that may not must leave RAM alone.
    public var busMasterEnabled: Bool { command & PCIHeader.commandBusMaster != 0 }

    /// The guest-chosen bus address of a BAR, or nil while its address space is disabled.
    public func address(of bar: PCIBAR) -> UInt64? {
        let enable = bar.kind == .io ? PCIHeader.commandIOSpace : PCIHeader.commandMemorySpace
        guard command & enable != 0 else { return nil }
        let low = UInt64(read(offset: PCIHeader.bar0 + bar.number * 4, size: 4))
        let high = bar.kind == .memory64 ? UInt64(read(offset: PCIHeader.bar0 + bar.number * 4 + 4, size: 4)) : 0
        return (high << 32 | low) & ~(bar.sizeBytes &- 1)
    }

    /// Reads registers without side effects; zero outside the space.
    public func read(offset: Int, size: Int) -> UInt32 {
        guard offset >= 0, size >= 0, size <= 4, offset <= Self.sizeBytes - size else { return 0 }
        var value: UInt32 = 0
        for index in 0..<size { value |= UInt32(registers[offset + index]) << UInt32(index * 8) }
        return value
    }

    /// A guest write: only writable bits change.
    public func write(offset: Int, size: Int, value: UInt32) {
        guard offset >= 0, size >= 0, size <= 4, offset <= Self.sizeBytes - size else { return }
        for index in 0..<size {
            let mask = writable[offset + index]
            let byte = UInt8(truncatingIfNeeded: value >> UInt32(index * 8))
            registers[offset + index] = registers[offset + index] & ~mask | byte & mask
        }
        if offset < PCIHeader.status, offset + size > PCIHeader.command { updateInterrupt() }
        written?(offset..<(offset + size))
    }

    /// Sets register bits from the function's side, read-only ones included.
    public func set(_ offset: Int, _ value: UInt32, size: Int) {
        for index in 0..<size { registers[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(index * 8)) }
    }

    public func reset() {
        registers = powerOn
        interruptAsserted = false
        updateInterrupt()
    }

    public func save(to writer: inout StateWriter) {
        writer.section("pci-config", version: 1) { writer in
            writer.put(bytes: registers)
            writer.put(interruptAsserted)
        }
    }

    /// Takes the writable bits only, so a hostile stream cannot change what the function is.
    public func restore(from reader: inout StateReader) throws {
        try reader.section("pci-config", newest: 1) { reader, _ in
            let saved = try reader.getBytes()
            guard saved.count == Self.sizeBytes else {
                throw StateError.invalid(section: "pci-config", reason: "\(saved.count) register bytes")
            }
            for index in 0..<Self.sizeBytes {
                registers[index] = powerOn[index] & ~writable[index] | saved[index] & writable[index]
            }
            interruptAsserted = try reader.getBool()
            updateInterrupt()
        }
    }

    private func allowWrites(_ offset: Int, _ mask: UInt32, size: Int) {
        for index in 0..<size { writable[offset + index] = UInt8(truncatingIfNeeded: mask >> UInt32(index * 8)) }
    }

    private func install(_ bar: PCIBAR) {
        let offset = PCIHeader.bar0 + bar.number * 4
        let mask = ~(bar.sizeBytes &- 1)
        var flags: UInt32 = bar.prefetchable ? PCIHeader.barPrefetchable : 0
        switch bar.kind {
        case .io: flags = PCIHeader.barIOSpace
        case .memory32: break
        case .memory64:
            flags |= PCIHeader.barMemory64
            allowWrites(offset + 4, UInt32(truncatingIfNeeded: mask >> 32), size: 4)
        }
        set(offset, flags, size: 4)
        allowWrites(offset, UInt32(truncatingIfNeeded: mask), size: 4)
    }

    private func updateInterrupt() {
        let status = UInt8(truncatingIfNeeded: PCIHeader.statusInterrupt)
        if interruptAsserted { registers[PCIHeader.status] |= status } else { registers[PCIHeader.status] &= ~status }
        intx.set(interruptAsserted && command & PCIHeader.commandInterruptDisable == 0)
    }
}
