// The memory generated code lives in: shared pages mapped twice, writable and executable, never both at one address.
// No descriptor is kept: in user mode the descriptor table is the guest's, and so is RLIMIT_FSIZE.
//
// Each translating thread takes a chunk and appends units to it, so threads translate without waiting for each other.
// Beside the code: fixed-size records of units and links, and a map from code address to unit for fault handlers. All of
// it is raw memory, readable from a signal handler.

import CHost
import Glibc
import Host

/// What the runtime knows about one translated unit.
struct UnitRecord {
    /// Guest address of the first instruction.
    var start: UInt64
    /// Identity of the guest page mapping (machines) or 0 (programs).
    var context: UInt32
    var mode: UInt32
    /// Offset of the entry point in the cache, and bytes of code up to the side table.
    var codeOffset: UInt32
    var codeLength: UInt32
    /// Number of side table entries; the table follows the code, 4-byte aligned.
    var sideTableCount: UInt32
    var guestByteLength: UInt32
    /// Links leaving this unit: consecutive indices.
    var firstLink: UInt32
    var linkCount: UInt32
    /// Head of the list of links that jump here.
    var incoming: UInt32
    /// Next unit in the same guest page.
    var pageNext: UInt32
    /// Non-zero once invalidated.
    var dead: UInt32
    /// Hash of the guest bytes, to find changed code at an instruction fence.
    var contentHash: UInt64
}

/// A direct jump out of a unit, which can be patched to its target's entry.
struct LinkRecord {
    var target: UInt64
    /// Cache offset of the rel32 to patch.
    var patchOffset: UInt32
    /// Cache offset of the stub it leads to while unlinked.
    var stubOffset: UInt32
    /// Cache offset of the imm32 of a cross-page stub's page check, or 0.
    var pageCheckOffset: UInt32
    var source: UInt32
    /// Unit linked to, or `UnitIndex.none`.
    var destination: UInt32
    /// Next link with the same destination.
    var nextIncoming: UInt32
}

/// Index of a unit record.
public typealias UnitIndex = UInt32
extension UnitIndex {
    /// The index of no unit.
    public static var noUnit: UInt32 { .max }
}

/// Executable memory and the tables that describe it.
final class CodeCache: @unchecked Sendable {
    static let chunkSize = 128 * 1024
    /// Units start on multiples of this.
    static let granule = 32

    let size: Int
    /// Writable view.
    let writable: UnsafeMutablePointer<UInt8>
    /// Executable view of the same bytes.
    let executable: UnsafeMutablePointer<UInt8>

    /// Unit index + 1 of each granule of code; 0 for none.
    let granuleOwner: UnsafeMutablePointer<UInt32>
    let units: UnsafeMutablePointer<UnitRecord>
    let unitCapacity: Int
    let links: UnsafeMutablePointer<LinkRecord>
    let linkCapacity: Int

    /// First free chunk offset, first free records. Guarded by the runtime's lock.
    var nextChunk = 0
    var unitCount = 0
    var linkCount = 0

    init(size: Int) throws {
        self.size = size
        writable = try Self.map(size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1)
        guard let alias = guise_alias(writable, UInt(size), nil), mprotect(alias, size, PROT_READ | PROT_EXEC) == 0 else {
            throw HostError("mremap", "code cache of \(size) bytes")
        }
        executable = alias.bindMemory(to: UInt8.self, capacity: size)
        unitCapacity = size / 128
        linkCapacity = unitCapacity * 3
        let anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        granuleOwner = try Self.map(size / Self.granule * 4, PROT_READ | PROT_WRITE, anonymous, -1)
            .withMemoryRebound(to: UInt32.self, capacity: size / Self.granule) { $0 }
        units = try UnsafeMutableRawPointer(Self.map(unitCapacity * MemoryLayout<UnitRecord>.stride,
                                                     PROT_READ | PROT_WRITE, anonymous, -1))
            .bindMemory(to: UnitRecord.self, capacity: unitCapacity)
        links = try UnsafeMutableRawPointer(Self.map(linkCapacity * MemoryLayout<LinkRecord>.stride,
                                                     PROT_READ | PROT_WRITE, anonymous, -1))
            .bindMemory(to: LinkRecord.self, capacity: linkCapacity)
    }

    deinit {
        munmap(writable, size)
        munmap(executable, size)
        munmap(granuleOwner, size / Self.granule * 4)
        munmap(units, unitCapacity * MemoryLayout<UnitRecord>.stride)
        munmap(links, linkCapacity * MemoryLayout<LinkRecord>.stride)
    }

    private static func map(_ size: Int, _ protection: Int32, _ flags: Int32,
                            _ descriptor: Int32) throws -> UnsafeMutablePointer<UInt8> {
        let address = mmap(nil, size, protection, flags, descriptor, 0)
        guard let address, address != MAP_FAILED else { throw HostError("mmap", "code cache of \(size) bytes") }
        return address.bindMemory(to: UInt8.self, capacity: size)
    }

    /// Gives the memory of chunks from `start` on and of all records back to the host; what is used again reads zero.
    /// Nobody runs or makes code, and no record is in use.
    func release(from start: Int) {
        guard nextChunk > start else { return }
        madvise(writable + start, nextChunk - start, MADV_REMOVE)
        madvise(granuleOwner, size / Self.granule * 4, MADV_DONTNEED)
        madvise(units, unitCapacity * MemoryLayout<UnitRecord>.stride, MADV_DONTNEED)
        madvise(links, linkCapacity * MemoryLayout<LinkRecord>.stride, MADV_DONTNEED)
    }

    /// Makes the copy that the child of a fork will use. It is made before, so that nothing the parent patches or appends
    /// afterwards can be in it: the child's tables would not know.
    func copyForFork() throws -> UnsafeMutablePointer<UInt8> {
        let copy = try Self.map(size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1)
        memcpy(copy, writable, nextChunk)
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
        guard offset < UInt64(size) else { return .noUnit }
        return granuleOwner[Int(offset) / Self.granule] &- 1
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
            if packed >> 12 > offset { break }
            found = packed & 0xFFF
        }
        return (record.pointee.start &+ UInt64(found & 0x7FF), found & 0x800 != 0)
    }

    /// The guest address alone.
    func guestPC(at address: UInt64) -> UInt64? { guestPosition(at: address)?.pc }
}
