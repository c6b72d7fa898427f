// Memory as helpers reach it: by linear address, through paging, with the right privilege.
//
// An access that spans two pages translates both before it touches either, so a fault leaves nothing half written.
//
// Spec: Intel SDM vol. 3 4.6 (supervisor and implicit accesses), 8.1 (locked accesses to descriptors).

import GuestMemory
import Synchronization
import Translator

extension X86State {
    /// Whether the engine keeps the data TLB of the state block, so that it may be looked into.
    public var hasDataTLB: Bool {
        get { self[word: SystemLayout.hasDataTLB] != 0 }
        nonmutating set { self[word: SystemLayout.hasDataTLB] = newValue ? 1 : 0 }
    }

    /// Reads 1, 2, 4 or 8 bytes.
    /// - Throws: #PF.
    func readLinear(_ address: UInt64, _ size: Int, _ privilege: AccessPrivilege) throws(X86Fault) -> UInt64 {
        let address = isLongMode ? address : address & 0xFFFF_FFFF
        if let host = cached(address, size, privilege, tag: 0) { return Self.load(host, size) }
        if address & 0xFFF > UInt64(4096 - size) {
            let first = Int(4096 - address & 0xFFF)
            let low = try translate(address, .read, privilege).physical.value
            let high = try translate(nextPage(address), .read, privilege).physical.value
            var value: UInt64 = 0
            for index in 0..<size {
                let place = index < first ? low &+ UInt64(index) : high &+ UInt64(index - first)
                value |= readPhysical(place, 1) << UInt64(index * 8)
            }
            return value
        }
        let page = try translate(address, .read, privilege)
        remember(address, page, privilege)
        return readPhysical(page.physical.value, size)
    }

    /// Writes 1, 2, 4 or 8 bytes.
    /// - Throws: #PF, with nothing written.
    func writeLinear(_ address: UInt64, _ size: Int, _ value: UInt64, _ privilege: AccessPrivilege) throws(X86Fault) {
        let address = isLongMode ? address : address & 0xFFFF_FFFF
        if let host = cached(address, size, privilege, tag: 8) { return Self.store(host, size, value) }
        if address & 0xFFF > UInt64(4096 - size) {
            let first = Int(4096 - address & 0xFFF)
            let low = try translate(address, .write, privilege).physical.value
            let high = try translate(nextPage(address), .write, privilege).physical.value
            for index in 0..<size {
                let place = index < first ? low &+ UInt64(index) : high &+ UInt64(index - first)
                writePhysical(place, 1, value >> UInt64(index * 8) & 0xFF)
            }
            return
        }
        let page = try translate(address, .write, privilege)
        writePhysical(page.physical.value, size, value)
        remember(address, page, privilege)
    }

    /// Makes sure that `length` bytes (at most two pages) can be accessed, without touching them.
    func probe(_ address: UInt64, _ length: UInt64, _ access: X86Access,
               _ privilege: AccessPrivilege) throws(X86Fault) {
        let address = isLongMode ? address : address & 0xFFFF_FFFF
        _ = try translate(address, access, privilege)
        if address & 0xFFF &+ length > 4096 { _ = try translate(nextPage(address), access, privilege) }
    }

    private func nextPage(_ address: UInt64) -> UInt64 {
        let next = (address | 0xFFF) &+ 1
        return isLongMode ? next : next & 0xFFFF_FFFF
    }

    /// Sets bits of a byte in memory with a locked cycle, as the processor marks descriptors.
    func setBits(_ address: UInt64, _ bits: UInt8) throws(X86Fault) {
        let physical = try translate(address, .write, .implicit).physical.value
        guard let host = memory(physical, 1, isWrite: true) else {
            writePhysical(physical, 1, readPhysical(physical, 1) | UInt64(bits))
            return
        }
        // SAFETY: one byte of memory.
        host.assumingMemoryBound(to: Atomic<UInt8>.self).pointee.bitwiseOr(bits, ordering: .sequentiallyConsistent)
        noteWrite?(base, physical, 1)
    }

    /// Clears bits of a byte in memory with a locked cycle.
    func clearBits(_ address: UInt64, _ bits: UInt8) throws(X86Fault) {
        let physical = try translate(address, .write, .implicit).physical.value
        guard let host = memory(physical, 1, isWrite: true) else {
            writePhysical(physical, 1, readPhysical(physical, 1) & ~UInt64(bits))
            return
        }
        // SAFETY: one byte of memory.
        host.assumingMemoryBound(to: Atomic<UInt8>.self).pointee.bitwiseAnd(~bits, ordering: .sequentiallyConsistent)
        noteWrite?(base, physical, 1)
    }

    // MARK: the engine's data TLB

    /// Host address of an access that hits the TLB set of that privilege, within a page. Nothing need be reported after
    /// a write.
    @inline(__always)
    func cached(_ address: UInt64, _ size: Int, _ privilege: AccessPrivilege, tag: Int) -> UnsafeMutableRawPointer? {
        guard hasDataTLB else { return nil }
        let index = Int(address >> 12 & UInt64(StateLayout.tlbCount - 1))
        let number = Int(dataSet(privilege).rawValue) * StateLayout.tlbCount + index
        let slot = base + StateLayout.tlb + number * StateLayout.tlbEntrySize
        let offset = slot.load(fromByteOffset: tag, as: UInt64.self) ^ address
        guard offset <= UInt64(4096 - size) else { return nil }
        return UnsafeMutableRawPointer(bitPattern: UInt(slot.load(fromByteOffset: 16, as: UInt64.self) &+ address))
    }

    /// The TLB set with what a privilege may do now: the rules are those of the page walk.
    @inline(__always)
    private func dataSet(_ privilege: AccessPrivilege) -> Mode.DataAccess {
        if !isPaging { return .physical }
        switch privilege {
        case .user: return .user
        case .implicit: return .supervisor
        case .supervisor:
            let seesUsers = cr4 & CR4.smap != 0 && systemFlags & EFlags.ac != 0 && cpl < 3
            return seesUsers ? .supervisorUserMemory : .supervisor
        }
    }

    /// Lets the next access to a page be a hit.
    func remember(_ address: UInt64, _ page: X86Page, _ privilege: AccessPrivilege) {
        guard hasDataTLB, let noteTranslation else { return }
        let rights = UInt64(dataSet(privilege).rawValue) | (page.readable ? 4 : 0) | (page.writable ? 8 : 0)
            | (page.isGlobal ? 16 : 0)
        noteTranslation(base, address, page.physical.value, rights)
    }

    // MARK: physical memory

    /// Reads 1, 2, 4 or 8 bytes within a page.
    func readPhysical(_ address: UInt64, _ size: Int) -> UInt64 {
        guard let host = memory(address, UInt64(size), isWrite: false) else { return readDevice(address, size) }
        return Self.load(host, size)
    }

    func readDevice(_ address: UInt64, _ size: Int) -> UInt64 {
        let mask = UInt64.max >> UInt64(64 - 8 * size)
        return (readPhysicalHook?(base, address, UInt64(size)) ?? .max) & mask
    }

    /// Writes 1, 2, 4 or 8 bytes within a page.
    func writePhysical(_ address: UInt64, _ size: Int, _ value: UInt64) {
        guard let host = memory(address, UInt64(size), isWrite: true) else {
            writePhysicalHook?(base, address, UInt64(size), value)
            return
        }
        Self.store(host, size, value)
        noteWrite?(base, address, UInt64(size))
    }

    @inline(__always)
    private static func load(_ host: UnsafeMutableRawPointer, _ size: Int) -> UInt64 {
        switch size {
        case 1: UInt64(host.load(as: UInt8.self))
        case 2: UInt64(host.loadUnaligned(as: UInt16.self))
        case 4: UInt64(host.loadUnaligned(as: UInt32.self))
        default: host.loadUnaligned(as: UInt64.self)
        }
    }

    @inline(__always)
    private static func store(_ host: UnsafeMutableRawPointer, _ size: Int, _ value: UInt64) {
        switch size {
        case 1: host.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
        case 2: host.storeBytes(of: UInt16(truncatingIfNeeded: value), as: UInt16.self)
        case 4: host.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
        default: host.storeBytes(of: value, as: UInt64.self)
        }
    }
}
