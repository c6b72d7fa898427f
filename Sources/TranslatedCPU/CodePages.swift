// Which guest-physical pages translated code was made from, and what happens when they are written.
//
// `GuestRAM.codePages` says per page whether there is code; the TLB then lets no store through. The first writes to such a
// page drop all of its units, because it is probably being filled with something else. A page that is executed and
// written again and again holds code beside data: then a write drops only the units it overlaps, and one to lines of 64
// bytes without code drops nothing.

import CHost
import Glibc
import GuestMemory
import Host
import Translator

/// The code pages of a machine.
final class CodePages {
    private let ram: GuestRAM
    private let runtime: TranslationRuntime
    private let pageCount: Int
    /// Per page, a bit for each line with code.
    private let lines: UnsafeMutablePointer<UInt64>
    /// Per page, how often a write has dropped it.
    private let heat: UnsafeMutablePointer<UInt8>
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private static let heatMax: UInt8 = 4
    private static let lineShift: UInt64 = 6

    /// - Throws: `HostError` when memory cannot be had.
    init(ram: GuestRAM, runtime: TranslationRuntime) throws {
        self.ram = ram
        self.runtime = runtime
        pageCount = Int(ram.sizeBytes >> 12)
        let map = mmap(nil, pageCount * 9, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let map, map != MAP_FAILED else { throw HostError("mmap", "code line map") }
        lines = map.bindMemory(to: UInt64.self, capacity: pageCount)
        heat = (map + pageCount * 8).bindMemory(to: UInt8.self, capacity: pageCount)
        lock = .allocate(capacity: 1)
        pthread_mutex_init(lock, nil)
    }

    deinit {
        munmap(lines, pageCount * 9)
        pthread_mutex_destroy(lock)
        lock.deallocate()
    }

    @inline(__always) private func index(_ physicalPage: UInt64) -> Int { Int((physicalPage &- ram.start.value) >> 12) }

    /// Whether a page (of RAM) holds code.
    func holdsCode(_ physicalPage: UInt64) -> Bool { ram.codePages[index(physicalPage)] != 0 }

    /// Marks a page; false when it was marked already.
    func mark(_ physicalPage: UInt64) -> Bool {
        let index = index(physicalPage)
        guard ram.codePages[index] == 0 else { return false }
        pthread_mutex_lock(lock)
        let isFresh = ram.codePages[index] == 0
        if isFresh {
            ram.codePages[index] = 1
            lines[index] = 0
        }
        pthread_mutex_unlock(lock)
        return isFresh
    }

    /// Lines of a byte range within a page.
    private static func mask(_ first: UInt64, _ last: UInt64) -> UInt64 {
        let low = first >> lineShift, high = last >> lineShift
        return (high == 63 ? .max : (1 << (high + 1)) &- 1) & ~((1 << low) &- 1)
    }

    /// A unit was made from `length` bytes at an offset into a page.
    func addUnit(_ physicalPage: UInt64, offset: UInt64, length: UInt64) {
        let last = min(offset &+ max(1, length) &- 1, 4095)
        pthread_mutex_lock(lock)
        lines[index(physicalPage)] |= Self.mask(offset, last)
        pthread_mutex_unlock(lock)
    }

    /// Somebody wrote to a range of RAM (an offset from its start) with a page that holds code.
    func wasWritten(offset: UInt64, length: UInt64) {
        guard length > 0 else { return }
        let end = offset &+ length
        var at = offset
        while at < end, at < ram.sizeBytes {
            let page = at >> 12
            let next = min((page + 1) << 12, end)
            if ram.codePages[Int(page)] != 0 { written(Int(page), at & 0xFFF, (next - 1) & 0xFFF) }
            at = next
        }
    }

    private func written(_ page: Int, _ first: UInt64, _ last: UInt64) {
        let address = ram.start.value &+ UInt64(page) << 12
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        guard ram.codePages[page] != 0 else { return }
        if heat[page] < Self.heatMax || last - first > 256 {
            if heat[page] < Self.heatMax { heat[page] += 1 }
            runtime.invalidate(start: address, length: 4096)
            lines[page] = 0
            ram.codePages[page] = 0
            return
        }
        guard lines[page] & Self.mask(first, last) != 0 else { return }
        var left: UInt64 = 0
        runtime.invalidate(page: address >> 12, first: first, last: last) { offset, length in
            left |= Self.mask(offset, min(offset + max(1, length) - 1, 4095))
        }
        // Units on their way into the tables are compared with memory once their lines are set.
        lines[page] = left
    }

    /// Drops a page's units that no longer are what memory holds.
    func verify(_ physicalPage: UInt64) {
        guard let bytes = ram.pointer(GuestPhysical(physicalPage), length: 4096) else { return }
        runtime.verify(page: physicalPage >> 12) { start, length in
            let offset = Int(start & 0xFFF)
            guard offset + length <= 4096 else { return nil }
            return TranslationContext.hash(bytes + offset, length)
        }
    }
}
