// Linear to physical addresses: no paging, 2-level, PAE, 4-level and 5-level paging with large pages.
//
// A and D are set by compare-and-exchange, since other vCPUs walk and change the same tables, and only when the
// access is allowed. A page that was only read so far is answered without write permission, so that the first write
// walks again and sets D. A refused access was always decided by a walk, never by something remembered.
//
// Spec: Intel SDM vol. 3 4.1 to 4.8; AMD APM vol. 2 5.1 to 5.7. Absent: protection keys, shadow stacks.

import GuestMemory
import Synchronization
import Translator

/// Why memory is accessed; raw values are those of `StateLayout.exitAccess`.
public enum X86Access: UInt32, Sendable {
    case read, write, execute
}

/// On whose behalf.
public enum AccessPrivilege: Sendable {
    /// CPL 3.
    case user
    /// CPL 0…2, by an instruction: EFLAGS.AC lifts SMAP.
    case supervisor
    /// By the processor itself, to descriptor tables and task state.
    case implicit
}

/// A page as one kind of privilege sees it.
public struct X86Page: Equatable, Sendable {
    /// Physical address of the byte asked for.
    public var physical: GuestPhysical
    /// Size of the mapping; all of it translates alike.
    public var sizeBytes: UInt64
    /// What may be done at that privilege without walking again. Writable only when the page is marked dirty.
    public var readable: Bool
    public var writable: Bool
    public var executable: Bool
    /// It survives flushes of non-global pages.
    public var isGlobal: Bool
    /// The page is a user page.
    public var isUser: Bool
}

/// Bits of entries of all levels.
private enum PTE {
    static let present: UInt64 = 1, write: UInt64 = 2, user: UInt64 = 4
    static let accessed: UInt64 = 1 << 5, dirty: UInt64 = 1 << 6, large: UInt64 = 1 << 7, global: UInt64 = 1 << 8
    static let noExecute: UInt64 = 1 << 63
}

extension X86State {
    /// The privilege of data accesses that instructions make now.
    public var dataPrivilege: AccessPrivilege { cpl == 3 ? .user : .supervisor }

    /// Translates a linear address, canonical in long mode, and marks the tables.
    /// - Throws: #PF; also in a program, where the hook `physicalPointer` does not know the address.
    public func translate(_ linear: UInt64, _ access: X86Access,
                          _ privilege: AccessPrivilege) throws(X86Fault) -> X86Page {
        guard isPaging else {
            let physical = GuestPhysical((isLongMode ? linear : linear & 0xFFFF_FFFF) & a20Mask)
            if !isSystem, physicalPointer?(base, physical.value, 1, access == .write ? 1 : 0) == nil {
                // A program: addresses are the host's, and the hook knows which are mapped.
                throw X86Fault(vector: ExceptionVector.pageFault, errorCode: PageFaultError.user
                               | (access == .write ? PageFaultError.write : 0), address: linear)
            }
            return X86Page(physical: physical, sizeBytes: GuestRAM.pageSize, readable: true, writable: true,
                           executable: true, isGlobal: false, isUser: true)
        }
        var walk = PageWalk(self, linear, access, privilege)
        // A turn is lost when another vCPU changes an entry meanwhile. Losing again and again, which only a guest that
        // fights over its own tables can bring about, ends in a fault the guest must expect anyway.
        for _ in 0..<64 {
            let page = try walk.run(marking: false)
            if !walk.needsMarks { return page }
            if let marked = try? walk.run(marking: true), !walk.lostRace { return marked }
        }
        throw walk.fault(PageFaultError.present)
    }

    /// And-mask of physical addresses.
    @inline(__always) var a20Mask: UInt64 { self[SystemLayout.a20Mask] }

    /// Masks or unmasks address line 20.
    public func setA20(_ enabled: Bool) {
        let mask: UInt64 = enabled ? .max : ~(1 << 20)
        guard self[SystemLayout.a20Mask] != mask else { return }
        self[SystemLayout.a20Mask] = mask
        flush(.all)
    }
}

/// One translation through tables.
private struct PageWalk {
    let state: X86State
    let linear: UInt64
    let access: X86Access
    let privilege: AccessPrivilege
    private let cr0: UInt64, cr4: UInt64, a20: UInt64
    private let isLong: Bool, isPAE: Bool, noExecuteEnabled: Bool
    /// Bits of a 64-bit entry at and above the physical address width, up to 51 (62 in PAE).
    private let beyond: UInt64
    /// What the last `run` found.
    var needsMarks = false
    var lostRace = false

    init(_ state: X86State, _ linear: UInt64, _ access: X86Access, _ privilege: AccessPrivilege) {
        self.state = state
        self.access = access
        self.privilege = privilege
        cr0 = state.cr0
        cr4 = state.cr4
        a20 = state.a20Mask
        isLong = state.isLongMode
        isPAE = cr4 & CR4.pae != 0 || isLong
        self.linear = isLong ? linear : linear & 0xFFFF_FFFF
        noExecuteEnabled = state.efer & EFER.nxe != 0 && isPAE
        let top: UInt64 = isLong ? 52 : 63
        beyond = (1 << top) - (1 << UInt64(state.physicalBits))
    }

    func fault(_ bits: UInt32) -> X86Fault {
        var code = bits
        switch access {
        case .read: break
        case .write: code |= PageFaultError.write
        case .execute:
            if noExecuteEnabled || cr4 & CR4.smep != 0 { code |= PageFaultError.fetch }
        }
        if privilege == .user { code |= PageFaultError.user }
        return X86Fault(vector: ExceptionVector.pageFault, errorCode: code, address: linear)
    }

    /// Walks from the root. With `marking`, A and D are set on the way.
    mutating func run(marking: Bool) throws(X86Fault) -> X86Page {
        needsMarks = false
        lostRace = false
        if !isPAE { return try runTwoLevels(marking) }
        var rights = PTE.user | PTE.write
        var noExecute: UInt64 = 0
        var table: UInt64
        var level: UInt64
        if isLong {
            table = state.cr3 & Self.addressMask
            level = cr4 & CR4.la57 != 0 ? 5 : 4
        } else {
            let entry = state[SystemLayout.pdpte(Int(linear >> 30 & 3))]
            guard entry & PTE.present != 0 else { throw fault(0) }
            table = entry & Self.addressMask
            level = 2
        }
        while true {
            let shift = 12 + 9 * (level - 1)
            let location = table &+ (linear >> shift & 511) &* 8
            let entry = load64(location)
            guard entry & PTE.present != 0 else { throw fault(0) }
            let isLeaf = level == 1 || entry & PTE.large != 0 && level <= 3
            guard entry & reserved(entry, level, isLeaf) == 0 else {
                throw fault(PageFaultError.present | PageFaultError.reserved)
            }
            rights &= entry
            noExecute |= entry & PTE.noExecute
            if !isLeaf {
                mark64(location, entry, PTE.accessed, marking)
                table = entry & Self.addressMask
                level -= 1
                continue
            }
            try check(rights, noExecute)
            mark64(location, entry, PTE.accessed | (access == .write ? PTE.dirty : 0), marking)
            let inside = (UInt64(1) << shift) - 1
            let physical = entry & Self.addressMask & ~inside | linear & inside
            return page(physical, 1 << shift, rights, noExecute, entry)
        }
    }

    private static let addressMask: UInt64 = 0x000F_FFFF_FFFF_F000

    /// Bits that must be zero in a 64-bit entry of a level.
    private func reserved(_ entry: UInt64, _ level: UInt64, _ isLeaf: Bool) -> UInt64 {
        var bits = beyond | (noExecuteEnabled ? 0 : PTE.noExecute)
        switch level {
        case 5, 4: bits |= PTE.large | PTE.global
        case 3:
            if !isLeaf { bits |= PTE.global } else {
                bits |= state.has(.pdpe1gb) ? 0x3FFF_E000 : PTE.large
            }
        case 2: if isLeaf { bits |= 0x1F_E000 }
        default: break
        }
        return bits
    }

    private mutating func runTwoLevels(_ marking: Bool) throws(X86Fault) -> X86Page {
        let location = state.cr3 & 0xFFFF_F000 | (linear >> 22) &* 4
        let directory = load32(location)
        guard directory & PTE.present != 0 else { throw fault(0) }
        if directory & PTE.large != 0 && cr4 & CR4.pse != 0 {
            // Bits 20:13 are address bits 39:32 as far as there are so many.
            let high: UInt64 = state.has(.pse36) ? UInt64(min(40, state.physicalBits)) - 32 : 0
            let known: UInt64 = ((1 << high) - 1) << 13
            let reserved = 0x3F_E000 & ~known
            guard directory & reserved == 0 else { throw fault(PageFaultError.present | PageFaultError.reserved) }
            try check(directory, 0)
            mark32(location, directory, PTE.accessed | (access == .write ? PTE.dirty : 0), marking)
            let upper = directory >> 13 & ((1 << high) - 1)
            let physical: UInt64 = directory & 0xFFC0_0000 | upper << 32 | linear & 0x3F_FFFF
            return page(physical, 1 << 22, directory, 0, directory)
        }
        let second = directory & 0xFFFF_F000 | (linear >> 12 & 1023) &* 4
        let entry = load32(second)
        guard entry & PTE.present != 0 else { throw fault(0) }
        let rights = directory & entry
        try check(rights, 0)
        mark32(location, directory, PTE.accessed, marking)
        mark32(second, entry, PTE.accessed | (access == .write ? PTE.dirty : 0), marking)
        return page(entry & 0xFFFF_F000 | linear & 0xFFF, 4096, rights, 0, entry)
    }

    // MARK: rights

    private func check(_ rights: UInt64, _ noExecute: UInt64) throws(X86Fault) {
        let allowed = switch access {
        case .read: mayRead(rights)
        case .write: mayWrite(rights)
        case .execute: mayExecute(rights, noExecute)
        }
        if !allowed { throw fault(PageFaultError.present) }
    }

    private func mayRead(_ rights: UInt64) -> Bool {
        if rights & PTE.user == 0 { return privilege != .user }
        if privilege == .user || cr4 & CR4.smap == 0 { return true }
        // Instructions of CPL 0…2 with AC set; what the processor does on its own while CPL is 3 does not count AC.
        return privilege == .supervisor && state.cpl < 3 && state.systemFlags & EFlags.ac != 0
    }

    private func mayWrite(_ rights: UInt64) -> Bool {
        guard mayRead(rights) else { return false }
        return rights & PTE.write != 0 || privilege != .user && cr0 & CR0.wp == 0
    }

    private func mayExecute(_ rights: UInt64, _ noExecute: UInt64) -> Bool {
        guard noExecute == 0 else { return false }
        return rights & PTE.user != 0 ? privilege == .user || cr4 & CR4.smep == 0 : privilege != .user
    }

    private func page(_ physical: UInt64, _ size: UInt64, _ rights: UInt64, _ noExecute: UInt64,
                      _ leaf: UInt64) -> X86Page {
        let isDirty = leaf & PTE.dirty != 0 || access == .write
        return X86Page(physical: GuestPhysical(physical & a20), sizeBytes: size, readable: mayRead(rights),
                       writable: isDirty && mayWrite(rights), executable: mayExecute(rights, noExecute),
                       isGlobal: leaf & PTE.global != 0 && cr4 & CR4.pge != 0, isUser: rights & PTE.user != 0)
    }

    // MARK: entries

    private func load64(_ location: UInt64) -> UInt64 {
        let address = location & a20
        guard let host = state.memory(address, 8, isWrite: false) else { return state.readDevice(address, 8) }
        // SAFETY: 8 bytes of memory, aligned since tables are; guest memory is only reached atomically or byte-wise.
        return host.assumingMemoryBound(to: Atomic<UInt64>.self).pointee.load(ordering: .acquiring)
    }

    private func load32(_ location: UInt64) -> UInt64 {
        let address = location & a20
        guard let host = state.memory(address, 4, isWrite: false) else { return state.readDevice(address, 4) }
        // SAFETY: as above, 4 bytes.
        return UInt64(host.assumingMemoryBound(to: Atomic<UInt32>.self).pointee.load(ordering: .acquiring))
    }

    /// Sets bits of an entry that still has the value seen. Tables outside RAM are left as they are.
    private mutating func mark64(_ location: UInt64, _ entry: UInt64, _ bits: UInt64, _ marking: Bool) {
        if entry & bits == bits { return }
        needsMarks = true
        let address = location & a20
        guard marking else { return }
        guard let host = state.memory(address, 8, isWrite: true) else { return }
        // SAFETY: as `load64`.
        let exchange = host.assumingMemoryBound(to: Atomic<UInt64>.self).pointee
            .compareExchange(expected: entry, desired: entry | bits, ordering: .sequentiallyConsistent)
        if exchange.exchanged { state.noteWrite?(state.base, address, 8) } else { lostRace = true }
    }

    private mutating func mark32(_ location: UInt64, _ entry: UInt64, _ bits: UInt64, _ marking: Bool) {
        if entry & bits == bits { return }
        needsMarks = true
        let address = location & a20
        guard marking else { return }
        guard let host = state.memory(address, 4, isWrite: true) else { return }
        let old = UInt32(truncatingIfNeeded: entry), new = UInt32(truncatingIfNeeded: entry | bits)
        // SAFETY: as `load32`.
        let exchange = host.assumingMemoryBound(to: Atomic<UInt32>.self).pointee
            .compareExchange(expected: old, desired: new, ordering: .sequentiallyConsistent)
        if exchange.exchanged { state.noteWrite?(state.base, address, 4) } else { lostRace = true }
    }
}
