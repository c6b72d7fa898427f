// Segment, gate and task-state descriptors as they lie in GDT, LDT and IDT.
//
// Spec: Intel SDM vol. 3 3.4.5, 3.5, 5.8.3, 6.11, 6.14.1, 7.2.2; AMD APM vol. 2 4.7, 4.8.

import Translator

/// Types of system descriptors.
enum SystemType {
    static let tss16Available: UInt32 = 1, ldt: UInt32 = 2, tss16Busy: UInt32 = 3, callGate16: UInt32 = 4
    static let taskGate: UInt32 = 5, interruptGate16: UInt32 = 6, trapGate16: UInt32 = 7
    static let tss32Available: UInt32 = 9, tss32Busy: UInt32 = 11, callGate32: UInt32 = 12
    static let interruptGate32: UInt32 = 14, trapGate32: UInt32 = 15
    /// The bit that makes an available task state busy.
    static let busy: UInt32 = 2
}

/// A descriptor of 8 bytes; the upper half of a 16-byte one is fetched where it is needed.
struct Descriptor {
    let raw: UInt64
    /// Linear address it was read from; 0 for those of a program.
    let address: UInt64
    let selector: UInt16

    /// As `SegmentAttributes`.
    var attributes: UInt32 { UInt32(truncatingIfNeeded: raw >> 40) & 0xF0FF }
    var type: UInt32 { attributes & SegmentAttributes.type }
    var dpl: UInt32 { attributes >> SegmentAttributes.dplShift & 3 }
    var isPresent: Bool { attributes & SegmentAttributes.present != 0 }
    /// Code or data.
    var isSegment: Bool { attributes & SegmentAttributes.nonSystem != 0 }
    var isCode: Bool { isSegment && attributes & SegmentAttributes.code != 0 }
    var isConformingCode: Bool { isCode && attributes & SegmentAttributes.conforming != 0 }
    var isReadable: Bool { isSegment && (!isCode || attributes & SegmentAttributes.readable != 0) }
    var isWritable: Bool { isSegment && !isCode && attributes & SegmentAttributes.writable != 0 }
    var isLong: Bool { attributes & SegmentAttributes.long != 0 }
    var isBig: Bool { attributes & SegmentAttributes.big != 0 }

    var limit: UInt32 {
        let limit = UInt32(truncatingIfNeeded: raw & 0xFFFF | raw >> 32 & 0xF_0000)
        return attributes & SegmentAttributes.granularity != 0 ? limit << 12 | 0xFFF : limit
    }
    var base: UInt64 { raw >> 16 & 0xFF_FFFF | (raw >> 56) << 24 }

    // MARK: gates
    var gateSelector: UInt16 { UInt16(truncatingIfNeeded: raw >> 16) }
    var gateOffset: UInt64 { raw & 0xFFFF | raw >> 32 & 0xFFFF_0000 }
    var parameterCount: Int { Int(raw >> 32 & 31) }
    var interruptStack: Int { Int(raw >> 32 & 7) }
    var is32BitGate: Bool { type & 8 != 0 }

    /// The segment register it gives, marked accessed.
    var cache: SegmentCache {
        SegmentCache(selector: selector, attributes: attributes | (isSegment ? SegmentAttributes.accessed : 0),
                     limit: limit, base: base)
    }
}

/// Fields of selectors.
extension UInt16 {
    /// Requested privilege level.
    var rpl: UInt32 { UInt32(self & 3) }
    var isNullSelector: Bool { self & ~3 == 0 }
    var usesLDT: Bool { self & 4 != 0 }
}

extension X86State {
    /// Reads the descriptor a selector names.
    /// - Parameter fault: what to raise, with the selector, when it lies outside its table.
    func descriptor(_ selector: UInt16, fault: UInt8, external: Bool = false) throws(X86Fault) -> Descriptor {
        guard let found = try descriptor(selector) else {
            throw X86Fault(vector: fault, selector: selector, external: external)
        }
        return found
    }

    /// Reads the descriptor a selector names; nil when it lies outside its table.
    func descriptor(_ selector: UInt16) throws(X86Fault) -> Descriptor? {
        guard isSystem else { return programDescriptor(selector) }
        let table: UInt64, limit: UInt32
        if selector.usesLDT {
            guard self[word: SystemLayout.attributes(SystemSegment.ldtr)] & SegmentAttributes.present != 0 else {
                return nil
            }
            table = self[SystemLayout.ldtrBase]
            limit = self[word: SystemLayout.limit(SystemSegment.ldtr)]
        } else {
            table = self[SystemLayout.gdtrBase]
            limit = self[word: SystemLayout.gdtrLimit]
        }
        let offset = UInt64(selector & ~7)
        guard offset + 7 <= UInt64(limit) else { return nil }
        let address = table &+ offset
        return Descriptor(raw: try readLinear(address, 8, .implicit), address: address, selector: selector)
    }

    /// Upper 8 bytes of a 16-byte system descriptor.
    /// - Throws: the fault, with the selector, when they lie outside the table or their type bits are not zero.
    func upperHalf(_ descriptor: Descriptor, fault: UInt8) throws(X86Fault) -> UInt64 {
        let limit = descriptor.selector.usesLDT ? self[word: SystemLayout.limit(SystemSegment.ldtr)]
            : self[word: SystemLayout.gdtrLimit]
        guard UInt64(descriptor.selector & ~7) + 15 <= UInt64(limit) else {
            throw X86Fault(vector: fault, selector: descriptor.selector)
        }
        let high = try readLinear(descriptor.address &+ 8, 8, .implicit)
        guard high >> 40 & 0x1F == 0 else { throw X86Fault(vector: fault, selector: descriptor.selector) }
        return high
    }

    /// Sets the accessed bit in memory unless it is set.
    func markAccessed(_ descriptor: Descriptor) throws(X86Fault) {
        guard descriptor.isSegment, descriptor.attributes & SegmentAttributes.accessed == 0, isSystem else { return }
        try setBits(descriptor.address &+ 5, UInt8(SegmentAttributes.accessed))
    }

    // MARK: Linux programs

    /// The GDT of a Linux program: code 32, data, code 64 at 4, 5, 6, three thread-local segments at 12 … 14.
    private func programDescriptor(_ selector: UInt16) -> Descriptor? {
        let raw: UInt64
        if selector.usesLDT {
            let table = self[SystemLayout.ldtrBase], offset = Int(selector & ~7)
            guard let entries = UnsafeRawPointer(bitPattern: UInt(table)),
                UInt32(offset + 7) <= self[word: SystemLayout.limit(SystemSegment.ldtr)] else { return nil }
            // SAFETY: in a program LDTR holds the host address of the table LinuxPrograms owns, and its size.
            return Descriptor(raw: entries.load(fromByteOffset: offset, as: UInt64.self), address: 0, selector: selector)
        }
        switch selector >> 2 {
        case 4 << 1: raw = Self.flatDescriptor | 0xB << 40 | 1 << 54
        case 5 << 1: raw = Self.flatDescriptor | 0x3 << 40 | 1 << 54
        case 6 << 1: raw = Self.flatDescriptor | 0xB << 40 | 1 << 53
        case 12 << 1, 13 << 1, 14 << 1: raw = self[SystemLayout.threadDescriptor(Int(selector >> 3) - 12)]
        default: return nil
        }
        return Descriptor(raw: raw, address: 0, selector: selector)
    }

    /// Base 0, limit 4 GiB, present, DPL 3, not a system segment; type and size are to be added.
    static let flatDescriptor: UInt64 = 0x008F_F000_0000_FFFF
}
