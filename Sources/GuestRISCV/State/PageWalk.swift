// Address translation: Bare, Sv39 and Sv48, with A and D bits kept by the hardware.
//
// Page tables must lie in RAM. A and D are set by compare-and-exchange, since other harts walk and change the same tables.
// A page that was only read so far is answered without write permission, so that the first write walks again and sets D.
//
// Spec: Volume II, Supervisor-Level ISA, Sv39 and Sv48. Absent: Sv57, Svnapot, Svpbmt (their bits are reserved and fault).

import GuestMemory
import Synchronization
import Translator

/// Why memory is accessed; raw values are those of `StateLayout.exitAccess`.
public enum MemoryAccess: UInt32, Sendable {
    case read, write, execute

    var permission: PagePermissions {
        switch self {
        case .read: .read
        case .write: .write
        case .execute: .execute
        }
    }

    /// The cause of a failed translation.
    public var pageFault: ExceptionCause {
        switch self {
        case .read: .loadPageFault
        case .write: .storePageFault
        case .execute: .instructionPageFault
        }
    }

    /// The cause of an access memory protection or the bus refuses.
    public var accessFault: ExceptionCause {
        switch self {
        case .read: .loadAccessFault
        case .write: .storeAccessFault
        case .execute: .instructionAccessFault
        }
    }

    /// The cause of a misaligned access.
    public var misaligned: ExceptionCause {
        switch self {
        case .read: .loadMisaligned
        case .write: .storeMisaligned
        case .execute: .instructionMisaligned
        }
    }
}

/// A page as seen by one kind of access.
public struct PageTranslation: Equatable, Sendable {
    /// Physical address of the byte asked for.
    public var physical: GuestPhysical
    /// What else may be done to the 4 KiB page around it without walking again.
    public var permissions: PagePermissions
    /// Size of the mapping the page belongs to; all of it translates alike, but protection was only checked for the
    /// 4 KiB page.
    public var sizeBytes: UInt64
}

/// Outcome of a walk.
public enum TranslationResult: Equatable, Sendable {
    case page(PageTranslation)
    case fault(ExceptionCause)
}

/// Bits of page table entries.
private enum PTE {
    static let valid: UInt64 = 1, read: UInt64 = 2, write: UInt64 = 4, execute: UInt64 = 8, user: UInt64 = 16
    static let accessed: UInt64 = 1 << 6, dirty: UInt64 = 1 << 7
    static let ppnShift: UInt64 = 10
    /// Bits 63:54: Svnapot, Svpbmt and reserved.
    static let reserved: UInt64 = 0x3FF << 54
    static let permissions = read | write | execute
}

extension RISCVState {
    /// Translates a data address as the current privilege, mstatus.MPRV and satp say.
    public func translateData(_ address: GuestVirtual, _ access: MemoryAccess, ram: GuestRAM) -> TranslationResult {
        translate(address, access, privilege: dataPrivilege, ram: ram)
    }

    /// Translates an instruction address.
    public func translateFetch(_ address: GuestVirtual, ram: GuestRAM) -> TranslationResult {
        translate(address, .execute, privilege: privilege, ram: ram)
    }

    /// Translates an address for an access of the given privilege.
    public func translate(_ address: GuestVirtual, _ access: MemoryAccess, privilege: Privilege,
                          ram: GuestRAM) -> TranslationResult {
        let satp = self[FrontLayout.satp]
        let levels: Int
        switch satp >> AddressTranslation.modeShift {
        case AddressTranslation.sv39 where privilege != .machine: levels = 3
        case AddressTranslation.sv48 where privilege != .machine: levels = 4
        default:
            return checked(GuestPhysical(address.value), .all, access, privilege, sizeBytes: GuestRAM.pageSize)
        }
        let virtualBits = Int64(12 + 9 * levels)
        let signed = Int64(bitPattern: address.value)
        guard (signed << (64 - virtualBits)) >> (64 - virtualBits) == signed else { return .fault(access.pageFault) }

        var table = (satp & AddressTranslation.ppnMask) << 12
        var level = levels - 1
        // Each turn goes down a level or lost a race for an entry. Losing again and again, which only a guest that fights
        // over its own tables can bring about, ends in a fault the guest must expect anyway.
        for _ in 0..<Self.walkTurns {
            let index = address.value >> UInt64(12 + 9 * level) & 511
            let location = GuestPhysical(table &+ index &* 8)
            guard pmpPermissions(physical: location.value, privilege: .supervisor).contains(.read),
                  let slot = Self.entry(location, ram) else { return .fault(access.accessFault) }
            let entry = slot.pointee.load(ordering: .acquiring)
            guard entry & PTE.valid != 0, entry & PTE.reserved == 0,
                  entry & (PTE.read | PTE.write) != PTE.write else { return .fault(access.pageFault) }
            let page = entry >> PTE.ppnShift & AddressTranslation.ppnMask
            if entry & PTE.permissions == 0 {
                // A pointer to the next table: A, D and U are reserved there.
                guard level > 0, entry & (PTE.accessed | PTE.dirty | PTE.user) == 0 else {
                    return .fault(access.pageFault)
                }
                table = page << 12
                level -= 1
                continue
            }
            let allowed = pagePermissions(entry, privilege)
            let low = UInt64(1) << UInt64(9 * level) - 1
            guard allowed.contains(access.permission), page & low == 0 else { return .fault(access.pageFault) }
            let wanted = entry | PTE.accessed | (access == .write ? PTE.dirty : 0)
            if wanted != entry {
                guard pmpPermissions(physical: location.value, privilege: .supervisor).contains(.write) else {
                    return .fault(access.accessFault)
                }
                let (exchanged, _) = slot.pointee.compareExchange(expected: entry, desired: wanted,
                                                                  ordering: .sequentiallyConsistent)
                // Another hart changed the entry: look at it again.
                if !exchanged { continue }
                ram.noteWrite(location, length: 8)
            }
            let offset = address.value & (low << 12 | 0xFFF)
            let cacheable = wanted & PTE.dirty != 0 ? allowed : allowed.subtracting(.write)
            return checked(GuestPhysical(page << 12 | offset), cacheable, access, privilege,
                           sizeBytes: 1 << UInt64(12 + 9 * level))
        }
        return .fault(access.pageFault)
    }

    private static let walkTurns = 64

    /// Host address of a page table entry, or nil outside RAM.
    private static func entry(_ location: GuestPhysical, _ ram: GuestRAM) -> UnsafeMutablePointer<Atomic<UInt64>>? {
        // SAFETY: the pointer covers 8 bytes of RAM and is 8-byte aligned (tables are page aligned, RAM starts on a
        // page); guest memory is only reached by atomic or byte-wise accesses.
        ram.pointer(location, length: 8)?.assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// What a leaf entry allows at a privilege, with SUM and MXR.
    private func pagePermissions(_ entry: UInt64, _ privilege: Privilege) -> PagePermissions {
        var allowed: PagePermissions = []
        if entry & PTE.read != 0 || entry & PTE.execute != 0 && mstatus & Status.mxr != 0 { allowed.insert(.read) }
        if entry & PTE.write != 0 { allowed.insert(.write) }
        if entry & PTE.execute != 0 { allowed.insert(.execute) }
        if entry & PTE.user != 0 {
            if privilege != .user {
                // User pages: never executed by the supervisor, data only with SUM.
                return mstatus & Status.sum != 0 ? allowed.subtracting(.execute) : []
            }
        } else if privilege == .user {
            return []
        }
        return allowed
    }

    /// Adds physical memory protection to a translation.
    private func checked(_ physical: GuestPhysical, _ allowed: PagePermissions, _ access: MemoryAccess,
                         _ privilege: Privilege, sizeBytes: UInt64) -> TranslationResult {
        let permissions = allowed.intersection(pmpPermissions(physical: physical.value, privilege: privilege))
        guard permissions.contains(access.permission) else { return .fault(access.accessFault) }
        return .page(PageTranslation(physical: physical, permissions: permissions, sizeBytes: sizeBytes))
    }
}
