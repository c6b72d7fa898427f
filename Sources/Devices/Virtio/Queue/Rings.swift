// The three areas of a split virtqueue as they lie in guest RAM, with the atomics their sharing needs.
// VIRTIO 1.2 sections 2.7.5 (descriptor table), 2.7.6 (available ring), 2.7.8 (used ring), 2.7.13/14 (ordering).

import GuestMemory
import Synchronization

/// Host pointers to a queue's rings, checked once when the queue is made ready.
struct Rings {
    /// One 16-byte entry of a descriptor table, copied out of guest RAM once so that it cannot change under us.
    struct Descriptor {
        static let sizeBytes = 16
        static let flagNext: UInt16 = 1
        static let flagWrite: UInt16 = 2
        static let flagIndirect: UInt16 = 4
        let address: GuestPhysical
        let length: UInt32
        let flags: UInt16
        let next: UInt16

        // SAFETY: the caller guarantees 16 readable bytes at `pointer`.
        init(at pointer: UnsafeRawPointer) {
            address = GuestPhysical(UInt64(littleEndian: pointer.loadUnaligned(as: UInt64.self)))
            length = UInt32(littleEndian: pointer.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
            flags = UInt16(littleEndian: pointer.loadUnaligned(fromByteOffset: 12, as: UInt16.self))
            next = UInt16(littleEndian: pointer.loadUnaligned(fromByteOffset: 14, as: UInt16.self))
        }
    }

    private enum Available {
        static let flags = 0, index = 2, ring = 4
        static let flagNoInterrupt: UInt16 = 1
    }
    private enum Used {
        static let index = 2, ring = 4, elementBytes = 8
    }

    // SAFETY: `init` checked that each area lies inside guest RAM at the alignment the atomics need; GuestRAM keeps its
    // mapping for as long as it lives, and the owning Virtqueue holds a reference to it.
    private let descriptors: UnsafeMutableRawPointer
    private let available: UnsafeMutableRawPointer
    private let used: UnsafeMutableRawPointer
    private let usedAddress: GuestPhysical
    private let size: Int

    init(_ registers: Virtqueue.Registers, ram: GuestRAM, queue: Int) throws(VirtioFault) {
        guard registers.descriptorTable.value % 16 == 0, registers.driverArea.value % 2 == 0,
              registers.deviceArea.value % 4 == 0 else { throw .ringMisaligned(queue: queue) }
        let size = UInt64(registers.size)
        guard let descriptors = ram.pointer(registers.descriptorTable, length: 16 * size),
              let available = ram.pointer(registers.driverArea, length: 6 + 2 * size),
              let used = ram.pointer(registers.deviceArea, length: 6 + 8 * size)
        else { throw .ringOutsideMemory(queue: queue) }
        self.descriptors = descriptors
        self.available = available
        self.used = used
        usedAddress = registers.deviceArea
        self.size = Int(registers.size)
    }

    // Atomic<UInt16> has the layout of UInt16, and every offset used here is even, so naming ring fields this way is sound.
    private static func atomic(_ base: UnsafeMutableRawPointer, _ offset: Int) -> UnsafeMutablePointer<Atomic<UInt16>> {
        (base + offset).assumingMemoryBound(to: Atomic<UInt16>.self)
    }

    func descriptor(_ index: UInt16) -> Descriptor { Descriptor(at: descriptors + Int(index) * Descriptor.sizeBytes) }

    /// The driver's index, ordered before reads of what it published.
    func availableIndex() -> UInt16 {
        UInt16(littleEndian: Self.atomic(available, Available.index).pointee.load(ordering: .acquiring))
    }

    func availableHead(_ position: UInt16) -> UInt16 {
        let offset = Available.ring + 2 * (Int(position) & (size - 1))
        return UInt16(littleEndian: Self.atomic(available, offset).pointee.load(ordering: .relaxed))
    }

    var interruptsSuppressed: Bool {
        let flags = UInt16(littleEndian: Self.atomic(available, Available.flags).pointee.load(ordering: .relaxed))
        return flags & Available.flagNoInterrupt != 0
    }

    /// The used index at which the driver wants an interrupt (VIRTIO_F_EVENT_IDX).
    var usedEvent: UInt16 {
        UInt16(littleEndian: Self.atomic(available, Available.ring + 2 * size).pointee.load(ordering: .relaxed))
    }

    /// Asks the driver to notify when it makes the buffer at this available index available (VIRTIO_F_EVENT_IDX).
    func setAvailableEvent(_ index: UInt16, ram: GuestRAM) {
        let offset = Used.ring + Used.elementBytes * size
        Self.atomic(used, offset).pointee.store(index.littleEndian, ordering: .relaxed)
        ram.noteWrite(usedAddress + UInt64(offset), length: 2)
    }

    /// Publishes one used element, then the index that covers it.
    func pushUsed(position: UInt16, head: UInt16, length: UInt32, ram: GuestRAM) {
        let offset = Used.ring + Used.elementBytes * (Int(position) & (size - 1))
        used.storeBytes(of: UInt32(head).littleEndian, toByteOffset: offset, as: UInt32.self)
        used.storeBytes(of: length.littleEndian, toByteOffset: offset + 4, as: UInt32.self)
        Self.atomic(used, Used.index).pointee.store((position &+ 1).littleEndian, ordering: .releasing)
        ram.noteWrite(usedAddress + UInt64(offset), length: 8)
        ram.noteWrite(usedAddress, length: 4)
    }
}
