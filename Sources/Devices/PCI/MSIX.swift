// The MSI-X capability, table and pending-bit array of one function.
//
// Spec: PCI Local Bus 3.0 §6.8.2. The owner forwards BAR accesses that fall into the table or PBA to this model.
// Absent: MSI (the older, 32-vector form).

import Bus
import SavedState

/// MSI-X state of a function. Guarded by the function's device lock.
public final class MSIX: Savable {
    /// Capability ID.
    public static let capabilityID: UInt8 = 0x11
    /// Bytes per table entry.
    public static let entrySizeBytes = 16
    static let entryMasked: UInt32 = 1
    static let controlEnable: UInt16 = 1 << 15
    static let controlFunctionMask: UInt16 = 1 << 14

    /// The BAR that holds table and pending bits.
    public let bar: Int
    /// 1…2048.
    public let vectorCount: Int
    public let tableOffset: UInt64
    public let pendingOffset: UInt64

    private struct Entry {
        var address: UInt64 = 0
        var data: UInt32 = 0
        var control: UInt32 = MSIX.entryMasked
    }
    private var table: [Entry]
    private var pending: [Bool]
    private let send: @Sendable (PCIMessage) -> Void
    private let config: PCIConfigSpace
    private let capabilityOffset: Int

    /// Adds the capability to `config`.
    /// - Parameters:
    ///   - tableOffset: offset in the BAR, a multiple of 8; the table takes 16 bytes per vector.
    ///   - pendingOffset: offset in the BAR, a multiple of 8; the array takes one bit per vector.
    ///   - send: `PCISlot.message`.
    public init(config: PCIConfigSpace, vectorCount: Int, bar: Int, tableOffset: UInt64, pendingOffset: UInt64,
                send: @escaping @Sendable (PCIMessage) -> Void) {
        precondition((1...2048).contains(vectorCount) && tableOffset % 8 == 0 && pendingOffset % 8 == 0
            && tableOffset < 1 << 32 && pendingOffset < 1 << 32 && (0...5).contains(bar), "MSI-X layout")
        self.bar = bar
        self.vectorCount = vectorCount
        self.tableOffset = tableOffset
        self.pendingOffset = pendingOffset
        self.send = send
        self.config = config
        table = Array(repeating: Entry(), count: vectorCount)
        pending = Array(repeating: false, count: vectorCount)
        var body: [UInt8] = []
        func append(_ value: UInt32, _ size: Int) {
            for index in 0..<size { body.append(UInt8(truncatingIfNeeded: value >> UInt32(index * 8))) }
        }
        append(UInt32(vectorCount - 1), 2)
        append(UInt32(tableOffset) | UInt32(bar), 4)
        append(UInt32(pendingOffset) | UInt32(bar), 4)
        let controlMask = Self.controlEnable | Self.controlFunctionMask
        let mask: [UInt8] = [0, UInt8(controlMask >> 8)] + Array(repeating: 0, count: 8)
        capabilityOffset = config.addCapability(id: Self.capabilityID, body, writable: mask)
    }

    /// Whether the guest turned MSI-X on; while it has, INTx must stay silent.
    public var isEnabled: Bool { control & Self.controlEnable != 0 }

    /// Raises a vector: sends its message, or marks it pending while masked. Out-of-range vectors are ignored.
    public func notify(_ vector: Int) {
        guard isEnabled, table.indices.contains(vector) else { return }
        if isMasked(vector) { pending[vector] = true } else { deliver(vector) }
    }

    /// Must follow every guest write to the configuration space: unmasking sends what is pending.
    public func configWritten() { flush() }

    /// Whether a BAR access falls into table or pending bits.
    public func contains(bar: Int, offset: UInt64) -> Bool {
        guard bar == self.bar else { return false }
        return offset &- tableOffset < tableSizeBytes || offset &- pendingOffset < pendingSizeBytes
    }

    /// Reads table or pending bits; 4 or 8 bytes, other sizes read zero.
    public func read(offset: UInt64, size: Int) -> UInt64 {
        guard size == 4 || size == 8 else { return 0 }
        let low = UInt64(word(at: offset))
        return size == 4 ? low : low | UInt64(word(at: offset &+ 4)) << 32
    }

    /// Writes the table; pending bits are read-only.
    public func write(offset: UInt64, size: Int, value: UInt64) {
        guard size == 4 || size == 8 else { return }
        setWord(at: offset, UInt32(truncatingIfNeeded: value))
        if size == 8 { setWord(at: offset &+ 4, UInt32(truncatingIfNeeded: value >> 32)) }
        flush()
    }

    public func reset() {
        table = Array(repeating: Entry(), count: vectorCount)
        pending = Array(repeating: false, count: vectorCount)
    }

    public func save(to writer: inout StateWriter) {
        writer.section("msix", version: 1) { writer in
            writer.put(each: table) { writer, entry in
                writer.put(entry.address)
                writer.put(entry.data)
                writer.put(entry.control)
            }
            writer.put(each: pending) { $0.put($1) }
        }
    }

    public func restore(from reader: inout StateReader) throws {
        try reader.section("msix", newest: 1) { reader, _ in
            let entries = try reader.getEach(limit: vectorCount) { reader in
                Entry(address: try reader.get(), data: try reader.get(), control: try reader.get())
            }
            let bits = try reader.getEach(limit: vectorCount) { try $0.getBool() }
            guard entries.count == vectorCount, bits.count == vectorCount else {
                throw StateError.invalid(section: "msix", reason: "\(entries.count) vectors, not \(vectorCount)")
            }
            table = entries
            pending = bits
        }
    }

    private var control: UInt16 { UInt16(config.read(offset: capabilityOffset + 2, size: 2)) }
    private var tableSizeBytes: UInt64 { UInt64(vectorCount * Self.entrySizeBytes) }
    private var pendingSizeBytes: UInt64 { UInt64((vectorCount + 63) / 64 * 8) }

    private func isMasked(_ vector: Int) -> Bool {
        control & Self.controlFunctionMask != 0 || table[vector].control & Self.entryMasked != 0
    }

    private func deliver(_ vector: Int) {
        pending[vector] = false
        send(PCIMessage(address: table[vector].address, data: table[vector].data))
    }

    private func flush() {
        guard isEnabled else { return }
        for vector in 0..<vectorCount where pending[vector] && !isMasked(vector) { deliver(vector) }
    }

    private func word(at offset: UInt64) -> UInt32 {
        let inTable = offset &- tableOffset
        if inTable < tableSizeBytes {
            let entry = table[Int(inTable) / Self.entrySizeBytes]
            switch inTable % 16 / 4 {
            case 0: return UInt32(truncatingIfNeeded: entry.address)
            case 1: return UInt32(truncatingIfNeeded: entry.address >> 32)
            case 2: return entry.data
            default: return entry.control
            }
        }
        let inPending = offset &- pendingOffset
        guard inPending < pendingSizeBytes else { return 0 }
        var bits: UInt32 = 0
        for bit in 0..<32 {
            let vector = Int(inPending / 4) * 32 + bit
            if vector < vectorCount, pending[vector] { bits |= 1 << UInt32(bit) }
        }
        return bits
    }

    private func setWord(at offset: UInt64, _ value: UInt32) {
        let inTable = offset &- tableOffset
        guard inTable < tableSizeBytes else { return }
        let vector = Int(inTable) / Self.entrySizeBytes
        switch inTable % 16 / 4 {
        case 0: table[vector].address = table[vector].address & ~0xffff_ffff | UInt64(value & ~3)
        case 1: table[vector].address = table[vector].address & 0xffff_ffff | UInt64(value) << 32
        case 2: table[vector].data = value
        default: table[vector].control = value & Self.entryMasked
        }
    }
}
