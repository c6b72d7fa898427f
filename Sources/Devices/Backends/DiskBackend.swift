// What a disk controller asks of the storage behind it. Guest-visible rules belong to the frontends, files to the backends.

import GuestMemory

/// A piece of host memory taking part in a transfer.
public struct DiskBuffer {
    /// SAFETY: valid until the request completes; it points into guest RAM, whose mapping outlives the devices.
    public let bytes: UnsafeMutableRawBufferPointer

    public init(_ bytes: UnsafeMutableRawBufferPointer) { self.bytes = bytes }
}

/// One operation on a disk. Offsets and lengths are in bytes, inside the disk, multiples of 512.
public enum DiskOperation {
    /// Fills the buffers from the disk.
    case read(offset: UInt64, [DiskBuffer])
    /// Stores the buffers. With `durable`, they are on stable storage at completion.
    case write(offset: UInt64, [DiskBuffer], durable: Bool)
    /// Everything completed before this was submitted is on stable storage at completion.
    case flush
    /// The range's contents no longer matter.
    case discard(offset: UInt64, length: UInt64)
    /// The range reads zero from now on; with `mayUnmap` its storage may be given back.
    case writeZeroes(offset: UInt64, length: UInt64, mayUnmap: Bool)
}

/// How an operation ended.
public enum DiskResult: Sendable, Equatable {
    case done
    case failed
    case unsupported
}

/// Storage behind a disk controller.
public protocol DiskBackend: AnyObject {
    /// Length in bytes, a multiple of 512.
    var sizeBytes: UInt64 { get }
    /// Writes, discards and zeroing fail when set.
    var isReadOnly: Bool { get }
    /// The block size below which a write costs a read, a power of two from 512 up.
    var physicalBlockBytes: Int { get }
    /// Carries out an operation. `completion` is called exactly once: before this returns, or later on any thread.
    func submit(_ operation: DiskOperation, completion: @escaping @Sendable (DiskResult) -> Void)
}
