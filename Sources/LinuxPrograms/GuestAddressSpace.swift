// The map of a guest's address space: which addresses are taken, with which protection, and where new mappings go.
// Guest address = host address. The host's own mappings lie above `limit`, so nothing here can meet them.
// PROT_EXEC is recorded only: no guest page is ever executable on the host.
// File identities are not recorded; /proc/self/maps takes them from the host's table, which covers the same addresses.

import CHost
import Glibc

/// Protection of guest pages, in the bits of mmap(2).
struct PageProtection: OptionSet {
    let rawValue: UInt8
    static let read = PageProtection(rawValue: 1)
    static let write = PageProtection(rawValue: 2)
    static let execute = PageProtection(rawValue: 4)

    /// What the host is told: readable when it is anything, never executable.
    var hostValue: Int {
        var value = Int(rawValue & 3)
        if value != 0 || contains(.execute) { value |= 1 }
        return value
    }
}

/// A run of pages with one protection.
struct GuestRegion {
    var start: UInt64
    var end: UInt64
    var protection: PageProtection
    var kind: Kind

    /// What /proc/self/maps calls the region when the host does not know; `shared` mappings may change from elsewhere.
    enum Kind: UInt8 { case plain, heap, stack, trampoline, shared }
}

/// Regions of one guest process, sorted by address, behind a lock. Callers hold the lock across the host call that
/// changes the mapping, so that the table and the kernel never disagree for another thread.
final class GuestAddressSpace {
    let lock = ForkSafeLock()
    private(set) var regions: [GuestRegion] = []
    /// First address that is not the guest's.
    let limit: UInt64
    /// Lowest address the host lets programs map.
    let floor: UInt64
    /// Where the search for free addresses starts, going down.
    var searchTop: UInt64
    /// Addresses only brk(2) and MAP_FIXED may use.
    var heapWindow: Range<UInt64> = 0..<0
    /// The current break, not rounded.
    var programBreak: UInt64 = 0
    /// Lowest address the growing main stack may reach.
    var stackWindow: Range<UInt64> = 0..<0

    init(limit: UInt64) {
        self.limit = limit
        searchTop = limit
        var text = readFile("/proc/sys/vm/mmap_min_addr", limit: 64) ?? []
        text.removeAll { $0 < 0x30 || $0 > 0x39 }
        floor = max(pageUp(UInt64(String(decoding: text, as: UTF8.self)) ?? 65536), pageSize)
        regions.reserveCapacity(256)
    }

    // MARK: Questions

    /// Index of the first region that ends above `address`.
    private func index(above address: UInt64) -> Int {
        var low = 0
        var high = regions.count
        while low < high {
            let middle = (low + high) / 2
            if regions[middle].end > address { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// The region that holds an address, the caller holding the lock.
    func regionLocked(at address: UInt64) -> GuestRegion? {
        let i = index(above: address)
        guard i < regions.count, regions[i].start <= address else { return nil }
        return regions[i]
    }

    /// The region that holds an address.
    func region(at address: UInt64) -> GuestRegion? { lock.withLock { regionLocked(at: address) } }

    /// How many bytes of guest code follow an address, at least up to the end of its region; 0 when none.
    func executableBytes(_ address: UInt64) -> Int {
        lock.withLock {
            var i = index(above: address)
            var end = address
            while i < regions.count, regions[i].start <= end, regions[i].protection.contains(.execute) {
                end = regions[i].end
                i += 1
            }
            return Int(end - address)
        }
    }

    /// Whether no region touches the range.
    func isFree(_ start: UInt64, _ length: UInt64) -> Bool {
        let i = index(above: start)
        return i >= regions.count || regions[i].start >= start &+ length
    }

    /// Whether every page of the range is mapped.
    func isMapped(_ start: UInt64, _ length: UInt64) -> Bool {
        var at = start
        var i = index(above: start)
        while at < start &+ length {
            guard i < regions.count, regions[i].start <= at else { return false }
            at = regions[i].end
            i += 1
        }
        return true
    }

    /// Whether a range lies in what the guest may map at all.
    func isPossible(_ start: UInt64, _ length: UInt64) -> Bool {
        start >= floor && length <= limit && start <= limit &- length
    }

    private func overlapsReserved(_ start: UInt64, _ length: UInt64) -> Bool {
        (start < heapWindow.upperBound && start &+ length > heapWindow.lowerBound)
            || (start < stackWindow.upperBound && start &+ length > stackWindow.lowerBound)
    }

    /// Whether a hint can be honoured.
    func isHintUsable(_ start: UInt64, _ length: UInt64) -> Bool {
        isPossible(start, length) && isFree(start, length) && !overlapsReserved(start, length)
    }

    /// The highest free place of `length` bytes below `searchTop` and `end`; nil when the space is full. What brk and the
    /// stack may still need is given away last.
    func findFree(_ length: UInt64, alignment: UInt64 = pageSize, below end: UInt64 = .max) -> UInt64? {
        let top = min(searchTop, end)
        if let place = search(length, alignment, top, sparing: heapWindow) { return place }
        // A 32-bit program's space is small: the unused end of the heap's window is better than ENOMEM.
        guard limit <= 1 << 32 else { return nil }
        return search(length, alignment, top, sparing: heapWindow.lowerBound..<max(pageUp(programBreak), heapWindow.lowerBound))
    }

    private func search(_ length: UInt64, _ alignment: UInt64, _ end: UInt64, sparing heap: Range<UInt64>) -> UInt64? {
        var top = end
        var i = index(above: top)
        if i < regions.count, regions[i].start < top { top = regions[i].start }
        while true {
            let bottom = i > 0 ? regions[i - 1].end : floor
            while top > bottom, top - bottom >= length {
                let candidate = (top - length) & ~(alignment - 1)
                guard candidate >= bottom else { break }
                if candidate < heap.upperBound && candidate &+ length > heap.lowerBound {
                    top = heap.lowerBound
                    continue
                }
                if candidate < stackWindow.upperBound && candidate &+ length > stackWindow.lowerBound {
                    top = stackWindow.lowerBound
                    continue
                }
                return candidate
            }
            guard i > 0 else { return nil }
            i -= 1
            top = min(top, regions[i].start)
        }
    }

    // MARK: Pages with translated code

    /// Takes write permission for a page away on the host, because code is made from it; false when the guest has none.
    func withholdWriting(_ page: UInt64) -> Bool {
        lock.withLock {
            guard let region = regionLocked(at: page), region.protection.contains(.write) else { return false }
            return hostCall(.mprotect, Int(bitPattern: UInt(page)), Int(pageSize), Int(PROT_READ)) == 0
        }
    }

    /// Gives a page the protection that the guest set; whether that allows writing. Also called by fault handlers, for
    /// faults of the guest or of a copy into its memory: nobody copies with the lock held.
    func grantWriting(_ page: UInt64) -> Bool {
        lock.withLock {
            guard let region = regionLocked(at: page), region.protection.contains(.write) else { return false }
            return hostCall(.mprotect, Int(bitPattern: UInt(page)), Int(pageSize), region.protection.hostValue) == 0
        }
    }

    /// Whether a page belongs to a shared mapping.
    func isShared(_ page: UInt64) -> Bool { region(at: page)?.kind == .shared }

    // MARK: Changes (the caller holds the lock)

    /// Records that a range is no longer mapped.
    func remove(_ start: UInt64, _ length: UInt64) {
        let end = start &+ length
        var i = index(above: start)
        guard i < regions.count, regions[i].start < end else { return }
        if regions[i].start < start {
            var left = regions[i]
            left.end = start
            regions[i].start = start
            regions.insert(left, at: i)
            i += 1
        }
        var j = i
        while j < regions.count, regions[j].end <= end { j += 1 }
        if j < regions.count, regions[j].start < end { regions[j].start = end }
        if j > i { regions.removeSubrange(i..<j) }
    }

    /// Records a mapping, replacing what was there.
    func insert(_ start: UInt64, _ length: UInt64, _ protection: PageProtection, kind: GuestRegion.Kind = .plain) {
        guard length > 0 else { return }
        remove(start, length)
        var new = GuestRegion(start: start, end: start &+ length, protection: protection, kind: kind)
        let i = index(above: start)
        if i < regions.count, regions[i].start == new.end, regions[i].protection == protection, regions[i].kind == kind {
            new.end = regions[i].end
            if i > 0, regions[i - 1].end == start, regions[i - 1].protection == protection, regions[i - 1].kind == kind {
                new.start = regions[i - 1].start
                regions.remove(at: i)
                regions[i - 1] = new
            } else {
                regions[i] = new
            }
        } else if i > 0, regions[i - 1].end == start, regions[i - 1].protection == protection,
            regions[i - 1].kind == kind {
            regions[i - 1].end = new.end
        } else {
            regions.insert(new, at: i)
        }
    }

    /// Records a new protection for the mapped pages of a range; returns whether it took execution away from or
    /// gave it to any of them.
    func protect(_ start: UInt64, _ length: UInt64, _ protection: PageProtection) -> Bool {
        let end = start &+ length
        var pieces: [GuestRegion] = []
        var i = index(above: start)
        var changed = false
        while i < regions.count, regions[i].start < end {
            var piece = regions[i]
            piece.start = max(piece.start, start)
            piece.end = min(piece.end, end)
            if piece.protection.contains(.execute) != protection.contains(.execute) { changed = true }
            pieces.append(piece)
            i += 1
        }
        for piece in pieces { insert(piece.start, piece.end - piece.start, protection, kind: piece.kind) }
        return changed
    }

    /// Regions of a range, cut to it, for mremap.
    func slice(_ start: UInt64, _ length: UInt64) -> [GuestRegion] {
        let end = start &+ length
        var result: [GuestRegion] = []
        var i = index(above: start)
        while i < regions.count, regions[i].start < end {
            var piece = regions[i]
            piece.start = max(piece.start, start)
            piece.end = min(piece.end, end)
            result.append(piece)
            i += 1
        }
        return result
    }
}
