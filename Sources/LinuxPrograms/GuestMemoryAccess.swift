// Reading and writing the guest's memory from system calls. Guest address = host address; every access survives a
// fault and then yields nil or false, which callers turn into EFAULT.

import CHost
import Glibc

/// Guest memory of the calling process.
enum GuestMemoryAccess {
    /// Reads a trivial value; nil on a fault.
    @inline(__always)
    static func load<T: BitwiseCopyable>(_ address: UInt64, as type: T.Type = T.self) -> T? {
        withUnsafeTemporaryAllocation(of: T.self, capacity: 1) { slot in
            let missing = guise_copy_in(slot.baseAddress!, UnsafeRawPointer(bitPattern: UInt(address)), UInt(MemoryLayout<T>.size))
            return missing == 0 ? slot[0] : nil
        }
    }

    /// Writes a trivial value; false on a fault.
    @inline(__always)
    static func store<T: BitwiseCopyable>(_ value: T, at address: UInt64) -> Bool {
        withUnsafePointer(to: value) {
            guise_copy_out(UnsafeMutableRawPointer(bitPattern: UInt(address)), $0, UInt(MemoryLayout<T>.size)) == 0
        }
    }

    /// Reads `count` bytes; nil on a fault.
    static func bytes(_ address: UInt64, _ count: Int) -> [UInt8]? {
        guard count > 0 else { return [] }
        var ok = false
        let result = [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
            ok = guise_copy_in(buffer.baseAddress!, UnsafeRawPointer(bitPattern: UInt(address)), UInt(count)) == 0
            used = ok ? count : 0
        }
        return ok ? result : nil
    }

    /// Writes bytes; false on a fault.
    static func write(_ bytes: [UInt8], at address: UInt64) -> Bool {
        bytes.withUnsafeBytes { write($0, at: address) }
    }

    /// Writes raw bytes; false on a fault.
    static func write(_ bytes: UnsafeRawBufferPointer, at address: UInt64) -> Bool {
        guard bytes.count > 0 else { return true }
        return guise_copy_out(UnsafeMutableRawPointer(bitPattern: UInt(address)), bytes.baseAddress!, UInt(bytes.count)) == 0
    }

    /// A zero-terminated string without its terminator: bytes, or the errno (EFAULT, or `tooLong` past `limit`).
    static func string(_ address: UInt64, limit: Int = 4096, tooLong: Int32 = ENAMETOOLONG) -> GuestString {
        let length = guise_string_length(UnsafeRawPointer(bitPattern: UInt(address)), UInt(limit))
        if length < 0 { return .failure(failure(EFAULT)) }
        if length >= limit { return .failure(failure(tooLong)) }
        guard let bytes = bytes(address, length) else { return .failure(failure(EFAULT)) }
        return .text(bytes)
    }
}

/// The outcome of reading a guest's string.
enum GuestString {
    case text([UInt8])
    case failure(Int)
}

/// Shorter name where a file uses it on every line.
typealias Guest = GuestMemoryAccess
