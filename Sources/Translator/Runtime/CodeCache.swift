// The memory generated code lives in: shared pages mapped twice, writable and executable, never both at one address.
// No descriptor is kept: in user mode the descriptor table is the guest's, and so is RLIMIT_FSIZE.
//
// Each translating thread takes a chunk and appends units to it, so threads translate without waiting for each other. A
// chunk comes with a stretch of the unit records and of the link records, so that those need no lock either: the index of
// a record names its chunk, and the units of a chunk are in the order of their code, which is how a fault handler finds
// the unit of an address. All of it is raw memory, readable from a signal handler.

import CHost
import Glibc
import Host
import IR

/// What the runtime knows about one translated unit.
struct UnitRecord {
    /// Guest address of the first instruction.
    var start: UInt64
    /// Hash of the guest bytes, to find changed code at an instruction fence.
    var contentHash: UInt64
    /// Identity of the guest page mapping (machines) or 0 (programs).
    var context: UInt32
    var mode: UInt32
    /// Offset of the entry point in the cache, and bytes of code up to the side table.
    var codeOffset: UInt32
    var codeLength: UInt32
    /// Head of the list of links that jump here.
    var incoming: UInt32 = .max
    /// Next unit in the same guest page.
    var pageNext: UInt32 = .noUnit
    /// Number of side table entries; the table follows the code, 4-byte aligned.
    var sideTableCount: UInt16
    private var lengthAndKind: UInt16
    private static let regionBit: UInt16 = 1 << 15
    /// Guest bytes covered, counted from `start`.
    var guestByteLength: UInt16 { lengthAndKind & ~Self.regionBit }
    /// The unit is a whole loop.
    var isRegion: Bool { lengthAndKind & Self.regionBit != 0 }
    /// Non-zero once invalidated.
    var dead: UInt32 = 0

    init(unit: Unit, contentHash: UInt64, context: UInt32, codeOffset: UInt32) {
        start = unit.start
        mode = unit.mode
        self.contentHash = contentHash
        self.context = context
        self.codeOffset = codeOffset
        codeLength = 0
        sideTableCount = 0
        lengthAndKind = UInt16(unit.byteLength) | (unit.blocks.isEmpty ? 0 : Self.regionBit)
    }
}

/// A direct jump out of a unit, which can be patched to its target's entry.
struct LinkRecord {
    var target: UInt64
    /// Cache offset of the rel32 to patch.
    var patchOffset: UInt32
    /// Cache offset of the stub it leads to while unlinked; `hasPageCheck` is set for a stub that verifies the target's page.
    private var stub: UInt32
    /// Unit linked to, or `UnitIndex.none`.
    var destination: UInt32 = .noUnit
    /// Next link with the same destination.
    var nextIncoming: UInt32 = .max

    private static let checkBit: UInt32 = 1 << 31
    /// How far before the rel32 the imm32 of a page check lies.
    static let pageCheckDistance: UInt32 = 7

    init(target: UInt64, patchOffset: UInt32, stubOffset: UInt32, hasPageCheck: Bool) {
        self.target = target
        self.patchOffset = patchOffset
        stub = stubOffset | (hasPageCheck ? Self.checkBit : 0)
    }

    var stubOffset: UInt32 { stub & ~Self.checkBit }
    /// Cache offset of the imm32 of a cross-page stub's page check, or 0.
    var pageCheckOffset: UInt32 { stub & Self.checkBit != 0 ? patchOffset - Self.pageCheckDistance : 0 }
}

/// Index of a unit record.
public typealias UnitIndex = UInt32
extension UnitIndex {
    /// The index of no unit.
    public static var noUnit: UInt32 { .max }
}

/// An entry of a unit's side table: from `hostOffset` on, code belongs to the guest instruction at `guestOffset`.
enum SideTable {
    /// - Parameters:
    ///   - hostOffset: from the unit's entry; below 512 KiB.
    ///   - guestOffset: from the unit's start; below 4096.
    @inline(__always) static func entry(_ hostOffset: UInt32, _ guestOffset: UInt32, flagsInHost: Bool) -> UInt32 {
        hostOffset << 13 | (flagsInHost ? 0x1000 : 0) | guestOffset & 0xFFF
    }
    @inline(__always) static func hostOffset(_ entry: UInt32) -> UInt32 { entry >> 13 }
    @inline(__always) static func guestOffset(_ entry: UInt32) -> UInt32 { entry & 0xFFF }
    /// The guest's condition codes are in the host's flags register.
    @inline(__always) static func flagsInHost(_ entry: UInt32) -> Bool { entry & 0x1000 != 0 }
}

/// Executable memory and the tables that describe it.
final class CodeCache: @unchecked Sendable {
    static let chunkSize = 128 * 1024
    /// Units start on multiples of this.
    static let granule = 16
    /// Records that come with a chunk.
    static let unitsPerChunk = 1 << 11, linksPerChunk = 1 << 13
    /// Fresh pages of code are asked for this many bytes at a time: a page fault for each costs three times as much.
    private static let fillStep = 64 * 1024
    private static let recordStep = 40 * 1024

    let size: Int
    /// Writable view.
    let writable: UnsafeMutablePointer<UInt8>
    /// Executable view of the same bytes.
    let executable: UnsafeMutablePointer<UInt8>

    let units: UnsafeMutablePointer<UnitRecord>
    let links: UnsafeMutablePointer<LinkRecord>
    /// Unit records in use, by chunk. Written by the thread that owns the chunk, read by all.
    private let unitCounts: UnsafeMutablePointer<UInt32>
    let chunkLimit: Int

    /// Where the first chunk starts: behind the fixed code.
    private(set) var firstChunk = 0
    /// Chunks given out. Guarded by the runtime's lock.
    private(set) var chunkCount = 0
    private var unitBytes: Int { chunkLimit * Self.unitsPerChunk * MemoryLayout<UnitRecord>.stride }
    private var linkBytes: Int { chunkLimit * Self.linksPerChunk * MemoryLayout<LinkRecord>.stride }

    init(size: Int) throws {
        self.size = size
        writable = try Self.map(size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE)
        guard let alias = guise_alias(writable, UInt(size), nil), mprotect(alias, size, PROT_READ | PROT_EXEC) == 0 else {
            throw HostError("mremap", "code cache of \(size) bytes")
        }
        executable = alias.bindMemory(to: UInt8.self, capacity: size)
        chunkLimit = size / Self.chunkSize
        let anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        units = try UnsafeMutableRawPointer(Self.map(
            chunkLimit * Self.unitsPerChunk * MemoryLayout<UnitRecord>.stride, PROT_READ | PROT_WRITE, anonymous))
            .bindMemory(to: UnitRecord.self, capacity: chunkLimit * Self.unitsPerChunk)
        links = try UnsafeMutableRawPointer(Self.map(
            chunkLimit * Self.linksPerChunk * MemoryLayout<LinkRecord>.stride, PROT_READ | PROT_WRITE, anonymous))
            .bindMemory(to: LinkRecord.self, capacity: chunkLimit * Self.linksPerChunk)
        unitCounts = .allocate(capacity: chunkLimit)
        unitCounts.initialize(repeating: 0, count: chunkLimit)
    }

    deinit {
        munmap(writable, size)
        munmap(executable, size)
        munmap(units, unitBytes)
        munmap(links, linkBytes)
        unitCounts.deallocate()
    }

    private static func map(_ size: Int, _ protection: Int32, _ flags: Int32) throws -> UnsafeMutablePointer<UInt8> {
        let address = mmap(nil, size, protection, flags, -1, 0)
        guard let address, address != MAP_FAILED else { throw HostError("mmap", "code cache of \(size) bytes") }
        return address.bindMemory(to: UInt8.self, capacity: size)
    }

    /// Says where the fixed code at the start ends.
    func reserveStart(_ bytes: Int) { firstChunk = (bytes + 4095) & ~4095 }

    // MARK: chunks

    /// Says up to which record, counted from the first of all, a chunk's are complete. Called by the chunk's thread.
    @inline(__always) func setUnitCount(_ end: Int, ofChunk chunk: Int) {
        guise_release32(unitCounts + chunk, UInt32(truncatingIfNeeded: end - chunk * Self.unitsPerChunk))
    }

    @inline(__always) private func unitCount(ofChunk chunk: Int) -> Int { Int(guise_load32(unitCounts + chunk)) }

    /// Gives out the next chunk; -1 when there is none. The runtime's lock is held.
    func takeChunk(limit: Int = .max) -> Int {
        let chunk = chunkCount
        guard chunk < limit, offset(ofChunk: chunk) + Self.chunkSize <= size else { return -1 }
        chunkCount += 1
        return chunk
    }

    /// Makes pages of a chunk's code present from `position` on, before they are written to.
    /// - Returns: the end of what is present.
    func fill(from position: Int, atLeast room: Int, chunkEnd: Int) -> Int {
        let start = position & ~4095
        let end = min((position + max(room, Self.fillStep)) & ~4095, chunkEnd)
        Self.populate(writable + start, end - start)
        return end
    }

    /// Makes the first pages of a chunk's records present: what a chunk of typical code needs.
    func fillRecords(ofChunk chunk: Int) {
        Self.populate(units + chunk * Self.unitsPerChunk, Self.recordStep)
        Self.populate(links + chunk * Self.linksPerChunk, Self.recordStep)
    }

    /// Where the host does not know the request, pages come by page faults.
    private static func populate(_ start: UnsafeMutableRawPointer, _ bytes: Int) {
        madvise(start, bytes, guise_MADV_POPULATE_WRITE)
    }

    /// Cache offset of a chunk's first byte.
    @inline(__always) func offset(ofChunk chunk: Int) -> Int { firstChunk + chunk * Self.chunkSize }

    /// End of what has been given out.
    var end: Int { offset(ofChunk: chunkCount) }

    /// Takes all chunks back. Nobody runs or makes code, and no record is in use.
    /// - Parameter releasing: gives their memory back to the host; what is used again reads zero.
    func takeBack(releasing: Bool) {
        if releasing && chunkCount > 0 {
            madvise(writable + firstChunk, end - firstChunk, MADV_REMOVE)
            madvise(units, unitBytes, MADV_DONTNEED)
            madvise(links, linkBytes, MADV_DONTNEED)
        }
        unitCounts.update(repeating: 0, count: chunkLimit)
        chunkCount = 0
    }

    /// Calls `body` with every unit record in use. The runtime's lock is held.
    func forEachUnit(_ body: (UnitIndex) -> Void) {
        for chunk in 0..<chunkCount {
            for position in 0..<unitCount(ofChunk: chunk) { body(UnitIndex(chunk * Self.unitsPerChunk + position)) }
        }
    }

    /// Makes the copy that the child of a fork will use. It is made before, so that nothing the parent patches or appends
    /// afterwards can be in it: the child's tables would not know.
    func copyForFork() throws -> UnsafeMutablePointer<UInt8> {
        let copy = try Self.map(size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE)
        madvise(copy, end, guise_MADV_POPULATE_WRITE)
        memcpy(copy, writable, end)
        return copy
    }

    /// In the parent: the copy belongs to the child alone.
    func dropCopy(_ copy: UnsafeMutablePointer<UInt8>) { munmap(copy, size) }

    /// In the child: puts the copy in the place of the parent's cache.
    func adopt(_ copy: UnsafeMutablePointer<UInt8>) throws {
        guard guise_alias(copy, UInt(size), executable) != nil, mprotect(executable, size, PROT_READ | PROT_EXEC) == 0,
              guise_move(copy, UInt(size), writable) != nil
        else { throw HostError("mremap", "code cache copy") }
    }

    /// Executable address of a cache offset.
    @inline(__always) func code(_ offset: UInt32) -> UnsafeMutablePointer<UInt8> { executable + Int(offset) }

    /// Whether a host address lies in the executable view.
    @inline(__always) func contains(_ address: UInt64) -> Bool {
        address &- UInt64(UInt(bitPattern: executable)) < UInt64(size)
    }

    /// The unit whose code contains a host address. Safe in a signal handler.
    func unit(at address: UInt64) -> UnitIndex {
        let offset = address &- UInt64(UInt(bitPattern: executable))
        guard offset < UInt64(size), offset >= UInt64(firstChunk) else { return .noUnit }
        let chunk = (Int(offset) - firstChunk) / Self.chunkSize
        guard chunk < chunkLimit else { return .noUnit }
        let first = chunk * Self.unitsPerChunk
        // The last unit that starts at or before the address.
        var low = first, high = first + unitCount(ofChunk: chunk)
        while low < high {
            let middle = (low + high) / 2
            if UInt64(units[middle].codeOffset) <= offset { low = middle + 1 } else { high = middle }
        }
        guard low > first, offset - UInt64(units[low - 1].codeOffset) < UInt64(units[low - 1].codeLength) else {
            return .noUnit
        }
        return UnitIndex(low - 1)
    }

    /// Guest address of the instruction whose code contains host address `address`, and whether the guest's condition
    /// codes are in the host's flags register there. Safe in a signal handler.
    func guestPosition(at address: UInt64) -> (pc: UInt64, flagsInHost: Bool)? {
        let index = unit(at: address)
        guard index != .noUnit else { return nil }
        let record = units + Int(index)
        let base = UInt64(UInt(bitPattern: executable)) + UInt64(record.pointee.codeOffset)
        let offset = UInt32(truncatingIfNeeded: address &- base)
        let tableStart = (Int(record.pointee.codeOffset) + Int(record.pointee.codeLength) + 3) & ~3
        let table = UnsafeRawPointer(executable + tableStart).assumingMemoryBound(to: UInt32.self)
        var found: UInt32 = 0
        for entry in 0..<Int(record.pointee.sideTableCount) {
            let packed = table[entry]
            if SideTable.hostOffset(packed) > offset { break }
            found = packed
        }
        return (record.pointee.start &+ UInt64(SideTable.guestOffset(found)), SideTable.flagsInHost(found))
    }

    /// The guest address alone.
    func guestPC(at address: UInt64) -> UInt64? { guestPosition(at: address)?.pc }
}
