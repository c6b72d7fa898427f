// The device's side of a split virtqueue. VIRTIO 1.2 section 2.7.
//
// Everything in the rings is written by the guest and may change at any time: each value is read once, checked, and any
// breach becomes a VirtioFault. Every loop is bounded by the queue size or by `chainDescriptorsMax`.
// Absent: packed queues, in-order completion.

import GuestMemory
import SavedState
import Synchronization

/// One split virtqueue.
///
/// Its registers are set by the transport under the transport's lock; everything else is used only inside
/// `VirtioDevice.notify` and the calls that never overlap with it.
public final class Virtqueue {
    /// What the driver sets up through the transport's registers.
    struct Registers: Equatable {
        var size: UInt16
        var ready = false
        var descriptorTable = GuestPhysical(0)
        var driverArea = GuestPhysical(0)
        var deviceArea = GuestPhysical(0)
    }

    /// The longest chain accepted, whatever the queue size: indirect tables may exceed the queue size in practice.
    static let chainDescriptorsMax = 1024
    /// The most bytes one chain may describe (section 2.7.4, "descriptor chain … 2^32 bytes").
    static let chainBytesMax = 1 << 32

    /// Position of this queue in its device.
    public let index: Int
    let sizeMax: UInt16
    private let ram: GuestRAM
    var registers: Registers
    private var rings: Rings?
    private var eventIndex = false
    private var indirect = false
    /// The next available-ring position to take a chain from; free running.
    private var nextAvailable: UInt16 = 0
    /// The next used-ring position to fill; free running.
    private var nextUsed: UInt16 = 0
    /// `nextUsed` when the driver was last told, or nil when it has not been told anything yet.
    private var signalledUsed: UInt16?
    /// Whether anything was completed since the last `takeInterrupt`.
    private var completed = false
    private var budget = 0
    /// Set when `next()` stopped because the round's budget ran out, not because the ring was empty.
    private(set) var hasMore = false

    init(index: Int, sizeMax: UInt16, ram: GuestRAM) {
        precondition(sizeMax > 0 && sizeMax <= 32768 && sizeMax & (sizeMax - 1) == 0, "a queue size is a power of two")
        self.index = index
        self.sizeMax = sizeMax
        self.ram = ram
        registers = Registers(size: sizeMax)
    }

    /// Whether the driver has made the queue ready.
    public var isReady: Bool { rings != nil }

    /// Sets the size the driver chose. Sizes that are no power of two up to the maximum are dropped.
    func setSize(_ size: UInt16) {
        guard size > 0, size <= sizeMax, size & (size - 1) == 0 else { return }
        registers.size = size
    }

    func makeReady(features: UInt64) throws(VirtioFault) {
        registers.ready = true
        eventIndex = features & VirtioFeature.eventIndex != 0
        indirect = features & VirtioFeature.indirectDescriptors != 0
        rings = try Rings(registers, ram: ram, queue: index)
    }

    /// Forgets everything the driver set up.
    func reset() {
        registers = Registers(size: sizeMax)
        rings = nil
        nextAvailable = 0
        nextUsed = 0
        signalledUsed = nil
        completed = false
        hasMore = false
    }

    /// Starts a round that takes at most one queue's worth of chains.
    func beginRound() {
        budget = Int(registers.size)
        hasMore = false
    }

    /// Takes the next chain the driver made available, or nil when there is none or the round is over.
    public func next() throws(VirtioFault) -> DescriptorChain? {
        guard let rings else { return nil }
        guard budget > 0 else {
            hasMore = rings.availableIndex() != nextAvailable
            return nil
        }
        var pending = rings.availableIndex() &- nextAvailable
        if pending == 0 {
            guard eventIndex else { return nil }
            rings.setAvailableEvent(nextAvailable, ram: ram)
            // The driver publishes its index, then reads our event; we write the event, then read the index again.
            atomicMemoryFence(ordering: .sequentiallyConsistent)
            pending = rings.availableIndex() &- nextAvailable
            if pending == 0 { return nil }
        }
        guard pending <= registers.size else { throw .availableIndexRanAhead(queue: index) }
        let chain = try walk(from: rings.availableHead(nextAvailable), rings: rings)
        nextAvailable &+= 1
        budget -= 1
        return chain
    }

    /// Hands a chain back to the driver, `written` bytes of its writable part having been filled.
    public func complete(_ chain: DescriptorChain, written: Int) { complete(head: chain.head, written: written) }

    /// Hands back the chain that began at `head`.
    public func complete(head: UInt16, written: Int) {
        guard let rings else { return }
        rings.pushUsed(position: nextUsed, head: head, length: UInt32(clamping: written), ram: ram)
        nextUsed &+= 1
        completed = true
    }

    /// Whether completions since the last call call for an interrupt (section 2.7.7.2).
    func takeInterrupt() -> Bool {
        guard let rings, completed else { return false }
        completed = false
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        guard eventIndex else {
            signalledUsed = nextUsed
            return !rings.interruptsSuppressed
        }
        let old = signalledUsed
        signalledUsed = nextUsed
        guard let old else { return true }
        return nextUsed &- rings.usedEvent &- 1 < nextUsed &- old
    }

    private func walk(from head: UInt16, rings: Rings) throws(VirtioFault) -> DescriptorChain {
        guard head < registers.size else { throw .descriptorIndexOutOfRange(queue: index) }
        var gathered = Gathered()
        var current = head
        // A direct chain without a loop visits each descriptor of the table at most once.
        for _ in 0..<Int(registers.size) {
            let descriptor = rings.descriptor(current)
            if descriptor.flags & Rings.Descriptor.flagIndirect != 0 {
                guard indirect, descriptor.flags & Rings.Descriptor.flagNext == 0 else {
                    throw .badIndirectTable(queue: index)
                }
                try walkIndirect(descriptor, into: &gathered)
                return DescriptorChain(head: head, readable: gathered.readable, writable: gathered.writable, ram: ram)
            }
            try add(descriptor, to: &gathered)
            if descriptor.flags & Rings.Descriptor.flagNext == 0 {
                return DescriptorChain(head: head, readable: gathered.readable, writable: gathered.writable, ram: ram)
            }
            guard descriptor.next < registers.size else { throw .descriptorIndexOutOfRange(queue: index) }
            current = descriptor.next
        }
        throw .descriptorLoop(queue: index)
    }

    private func walkIndirect(_ table: Rings.Descriptor, into gathered: inout Gathered) throws(VirtioFault) {
        let entrySize = UInt32(Rings.Descriptor.sizeBytes)
        guard table.length >= entrySize, table.length % entrySize == 0, table.length / entrySize <= 65536 else {
            throw .badIndirectTable(queue: index)
        }
        guard let base = ram.pointer(table.address, length: UInt64(table.length)) else {
            throw .descriptorOutsideMemory(queue: index)
        }
        let count = Int(table.length / entrySize)
        var current = 0
        for _ in 0..<min(count, Self.chainDescriptorsMax) {
            // SAFETY: current < count, and `count` entries were found to lie inside guest RAM.
            let descriptor = Rings.Descriptor(at: base + current * Rings.Descriptor.sizeBytes)
            guard descriptor.flags & Rings.Descriptor.flagIndirect == 0 else { throw .badIndirectTable(queue: index) }
            try add(descriptor, to: &gathered)
            if descriptor.flags & Rings.Descriptor.flagNext == 0 { return }
            guard Int(descriptor.next) < count else { throw .descriptorIndexOutOfRange(queue: index) }
            current = Int(descriptor.next)
        }
        throw count > Self.chainDescriptorsMax ? .chainTooLong(queue: index) : .descriptorLoop(queue: index)
    }

    private struct Gathered {
        var readable: [DescriptorChain.Buffer] = []
        var writable: [DescriptorChain.Buffer] = []
        var descriptors = 0
        var bytes = 0
    }

    private func add(_ descriptor: Rings.Descriptor, to gathered: inout Gathered) throws(VirtioFault) {
        gathered.descriptors += 1
        gathered.bytes += Int(descriptor.length)
        guard gathered.descriptors <= Self.chainDescriptorsMax, gathered.bytes <= Self.chainBytesMax else {
            throw .chainTooLong(queue: index)
        }
        let writable = descriptor.flags & Rings.Descriptor.flagWrite != 0
        guard writable || gathered.writable.isEmpty else { throw .readableAfterWritable(queue: index) }
        guard descriptor.length > 0 else { return }
        guard ram.pointer(descriptor.address, length: UInt64(descriptor.length)) != nil else {
            throw .descriptorOutsideMemory(queue: index)
        }
        let buffer = DescriptorChain.Buffer(address: descriptor.address, count: Int(descriptor.length))
        if writable { gathered.writable.append(buffer) } else { gathered.readable.append(buffer) }
    }
}

extension Virtqueue {
    func save(to writer: inout StateWriter) {
        writer.put(registers.size)
        writer.put(registers.ready)
        writer.put(registers.descriptorTable.value)
        writer.put(registers.driverArea.value)
        writer.put(registers.deviceArea.value)
        writer.put(nextAvailable)
        writer.put(nextUsed)
        writer.put(signalledUsed != nil)
        writer.put(signalledUsed ?? 0)
    }

    /// - Parameter features: the negotiated features, restored before the queues.
    /// - Returns: the fault of a ready queue whose rings are not usable; it was there when the state was saved.
    func restore(from reader: inout StateReader, features: UInt64) throws -> VirtioFault? {
        reset()
        let size = try reader.get(UInt16.self)
        guard size > 0, size <= sizeMax, size & (size - 1) == 0 else {
            throw StateError.invalid(section: reader.sectionName, reason: "queue size \(size), at most \(sizeMax) allowed")
        }
        registers.size = size
        let ready = try reader.getBool()
        registers.descriptorTable = GuestPhysical(try reader.get())
        registers.driverArea = GuestPhysical(try reader.get())
        registers.deviceArea = GuestPhysical(try reader.get())
        nextAvailable = try reader.get()
        nextUsed = try reader.get()
        let signalledValid = try reader.getBool()
        let signalled = try reader.get(UInt16.self)
        signalledUsed = signalledValid ? signalled : nil
        guard ready else { return nil }
        do { try makeReady(features: features) } catch { return error }
        return nil
    }
}
