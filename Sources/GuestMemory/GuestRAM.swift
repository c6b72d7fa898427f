// One contiguous bank of guest RAM, backed by a memfd so that fork is MAP_PRIVATE and restore is a lazy map.
//
// Devices and the page walker reach RAM only through the checked accessors here. Generated code uses `base` directly,
// behind the soft TLB. Every write that does not come from a vCPU's TLB fast path must report itself through
// `noteWrite`, so that translated code made from those bytes is dropped.

import CHost
import Glibc
import Host

/// A bank of guest RAM.
public final class GuestRAM: @unchecked Sendable {
    /// Guest-physical address of the first byte; page aligned.
    public let start: GuestPhysical
    /// Length in bytes; a multiple of 4096.
    public let sizeBytes: UInt64
    /// Host address of the first byte.
    public let base: UnsafeMutableRawPointer
    /// The memfd behind `base`.
    public let descriptor: Int32
    /// One byte per 4 KiB page: non-zero while translated code made from that page may exist.
    public let codePages: UnsafeMutablePointer<UInt8>
    /// Called with a byte range (relative to `start`) that was just written and overlaps a page marked in `codePages`.
    /// Set once by the engine before the first vCPU runs; called on any thread.
    public var codeWritten: (@Sendable (_ offset: UInt64, _ length: UInt64) -> Void)?

    public static let pageSize: UInt64 = 4096

    /// - Throws: `HostError` when the memory cannot be had.
    public init(start: GuestPhysical, sizeBytes: UInt64) throws {
        precondition(start.value % Self.pageSize == 0 && sizeBytes % Self.pageSize == 0 && sizeBytes > 0)
        let descriptor = guise_memfd_create("guest-ram", 1 /* MFD_CLOEXEC */)
        guard descriptor >= 0 else { throw HostError("memfd_create", "guest RAM") }
        guard ftruncate(descriptor, off_t(sizeBytes)) == 0 else {
            let error = HostError("ftruncate", "guest RAM of \(sizeBytes) bytes")
            close(descriptor)
            throw error
        }
        let mapped = mmap(nil, Int(sizeBytes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, descriptor, 0)
        guard let mapped, mapped != MAP_FAILED else {
            let error = HostError("mmap", "guest RAM of \(sizeBytes) bytes")
            close(descriptor)
            throw error
        }
        self.start = start
        self.sizeBytes = sizeBytes
        self.base = mapped
        self.descriptor = descriptor
        let pages = Int(sizeBytes / Self.pageSize)
        let flags = mmap(nil, pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let flags, flags != MAP_FAILED else { throw HostError("mmap", "code page map") }
        codePages = flags.bindMemory(to: UInt8.self, capacity: pages)
    }

    deinit {
        munmap(codePages, Int(sizeBytes / Self.pageSize))
        munmap(base, Int(sizeBytes))
        close(descriptor)
    }

    /// Host pointer to `length` bytes at `address`, or nil when any of them lies outside this bank.
    @inlinable
    public func pointer(_ address: GuestPhysical, length: UInt64) -> UnsafeMutableRawPointer? {
        let offset = address.value &- start.value
        guard offset <= sizeBytes, length <= sizeBytes &- offset else { return nil }
        return base + Int(offset)
    }

    /// Must follow every write made through `pointer`, so that stale translations are dropped.
    @inlinable
    public func noteWrite(_ address: GuestPhysical, length: UInt64) {
        let offset = address.value &- start.value
        guard length > 0, offset < sizeBytes else { return }
        let first = Int(offset / Self.pageSize)
        let last = Int(min(offset &+ length &- 1, sizeBytes &- 1) / Self.pageSize)
        for page in first...last where codePages[page] != 0 {
            codeWritten?(offset, length)
            return
        }
    }

    /// Copies bytes out. Returns false, copying nothing, when the range is not all RAM.
    public func read(_ address: GuestPhysical, into destination: UnsafeMutableRawBufferPointer) -> Bool {
        guard let source = pointer(address, length: UInt64(destination.count)) else { return false }
        if let target = destination.baseAddress { target.copyMemory(from: source, byteCount: destination.count) }
        return true
    }

    /// Copies bytes in and reports the write. Returns false, copying nothing, when the range is not all RAM.
    public func write(_ address: GuestPhysical, from source: UnsafeRawBufferPointer) -> Bool {
        guard let target = pointer(address, length: UInt64(source.count)) else { return false }
        if let bytes = source.baseAddress { target.copyMemory(from: bytes, byteCount: source.count) }
        noteWrite(address, length: UInt64(source.count))
        return true
    }

    /// Reads a little-endian integer, or nil outside RAM.
    @inlinable
    public func load<Value: FixedWidthInteger>(_ address: GuestPhysical, as type: Value.Type = Value.self) -> Value? {
        guard let source = pointer(address, length: UInt64(MemoryLayout<Value>.size)) else { return nil }
        return Value(littleEndian: source.loadUnaligned(as: Value.self))
    }

    /// Writes a little-endian integer and reports the write. Returns false outside RAM.
    @inlinable @discardableResult
    public func store<Value: FixedWidthInteger>(_ address: GuestPhysical, _ value: Value) -> Bool {
        guard let target = pointer(address, length: UInt64(MemoryLayout<Value>.size)) else { return false }
        target.storeBytes(of: value.littleEndian, as: Value.self)
        noteWrite(address, length: UInt64(MemoryLayout<Value>.size))
        return true
    }
}
