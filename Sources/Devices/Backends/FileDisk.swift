// A disk whose contents are a raw file or a host block device.
//
// Requests run to completion on the submitting thread. A file whose length is no multiple of 512 is padded: the missing
// tail of its last sector reads zero. Absent: image formats with structure, asynchronous I/O.

import CHost
import Glibc
import Host

/// A raw file used as a disk.
public final class FileDisk: DiskBackend {
    public let sizeBytes: UInt64
    public let isReadOnly: Bool
    public let physicalBlockBytes = 4096
    private let descriptor: Int32
    private let path: String
    private static let zeroes = [UInt8](repeating: 0, count: 1 << 16)
    /// The most pieces one preadv or pwritev takes (IOV_MAX).
    private static let vectorMax = 1024
    private static let sectorBytes: UInt64 = 512

    /// Opens a raw disk image. The image is locked against other writers for as long as it is open.
    /// - Throws: `HostError` when the file cannot be opened or is in use elsewhere (EWOULDBLOCK, after half a second).
    public init(path: String, readOnly: Bool = false) throws {
        let descriptor = open(path, (readOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC)
        guard descriptor >= 0 else { throw HostError("open", path) }
        guard Self.lock(descriptor, (readOnly ? LOCK_SH : LOCK_EX) | LOCK_NB) else {
            let error = HostError("flock", path)
            close(descriptor)
            throw error
        }
        // Unlike stat, this also tells the length of a block device.
        let end = lseek(descriptor, 0, SEEK_END)
        guard end >= 0 else {
            let error = HostError("lseek", path)
            close(descriptor)
            throw error
        }
        self.path = path
        self.descriptor = descriptor
        isReadOnly = readOnly
        sizeBytes = (UInt64(end) + Self.sectorBytes - 1) / Self.sectorBytes * Self.sectorBytes
    }

    deinit { close(descriptor) }

    /// A process that has just ended (a suspended machine, say) may hold its locks for a moment longer, since the kernel
    /// releases them behind its back: worth a short wait.
    private static func lock(_ descriptor: Int32, _ operation: Int32) -> Bool {
        for _ in 0..<lockAttempts {
            if flock(descriptor, operation) == 0 { return true }
            guard errno == EWOULDBLOCK else { return false }
            usleep(lockPauseMicroseconds)
        }
        return flock(descriptor, operation) == 0
    }
    private static let lockAttempts = 50
    private static let lockPauseMicroseconds: UInt32 = 10_000

    public func submit(_ operation: DiskOperation, completion: @escaping @Sendable (DiskResult) -> Void) {
        completion(perform(operation))
    }

    private func perform(_ operation: DiskOperation) -> DiskResult {
        switch operation {
        case .read(let offset, let buffers): return transfer(buffers, at: offset, writing: false)
        case .write(let offset, let buffers, let durable):
            if isReadOnly { return .failed }
            let result = transfer(buffers, at: offset, writing: true)
            return result == .done && durable ? flush() : result
        case .flush: return flush()
        case .discard(let offset, let length):
            if isReadOnly { return .failed }
            // A discard is a hint: a file system that cannot punch holes has still honoured it.
            return punch(offset, length) || errno == EOPNOTSUPP || errno == ENODEV ? .done : .failed
        case .writeZeroes(let offset, let length, let mayUnmap):
            if isReadOnly { return .failed }
            return zero(offset, length, mayUnmap: mayUnmap)
        }
    }

    private func flush() -> DiskResult {
        while true {
            if fdatasync(descriptor) == 0 { return .done }
            if errno != EINTR { return .failed }
        }
    }

    private func punch(_ offset: UInt64, _ length: UInt64) -> Bool {
        length == 0 || guise_punch_hole(descriptor, Int(offset), Int(length)) == 0
    }

    private func zero(_ offset: UInt64, _ length: UInt64, mayUnmap: Bool) -> DiskResult {
        if length == 0 || mayUnmap && punch(offset, length) { return .done }
        if guise_zero_range(descriptor, Int(offset), Int(length)) == 0 { return .done }
        var position = offset
        let end = offset + length
        while position < end {
            let count = Int(min(end - position, UInt64(Self.zeroes.count)))
            let written = Self.zeroes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, count, off_t(position)) }
            if written <= 0 {
                if written < 0 && errno == EINTR { continue }
                return .failed
            }
            position += UInt64(written)
        }
        return .done
    }

    private func transfer(_ buffers: [DiskBuffer], at offset: UInt64, writing: Bool) -> DiskResult {
        var position = offset
        var vector: [iovec] = []
        vector.reserveCapacity(min(buffers.count, Self.vectorMax))
        var next = 0
        while next < buffers.count {
            vector.removeAll(keepingCapacity: true)
            var wanted = 0
            while next < buffers.count, vector.count < Self.vectorMax {
                vector.append(iovec(iov_base: buffers[next].bytes.baseAddress, iov_len: buffers[next].bytes.count))
                wanted += buffers[next].bytes.count
                next += 1
            }
            guard transfer(&vector, wanted, at: position, writing: writing) else { return .failed }
            position += UInt64(wanted)
        }
        return .done
    }

    /// Transfers one vector, however many calls that takes.
    private func transfer(_ vector: inout [iovec], _ wanted: Int, at offset: UInt64, writing: Bool) -> Bool {
        var position = offset
        let end = offset + UInt64(wanted)
        while position < end {
            let count = Int32(vector.count)
            let done = writing ? pwritev(descriptor, vector, count, off_t(position))
                : preadv(descriptor, vector, count, off_t(position))
            if done < 0 {
                if errno == EINTR { continue }
                return false
            }
            if done == 0 {
                // Only the padding of a file's last sector may lie past its end.
                guard !writing, sizeBytes - position < Self.sectorBytes, end == sizeBytes else { return false }
                for piece in vector { memset(piece.iov_base, 0, piece.iov_len) }
                return true
            }
            position += UInt64(done)
            Self.advance(&vector, by: done)
        }
        return true
    }

    private static func advance(_ vector: inout [iovec], by count: Int) {
        var left = count
        var whole = 0
        while whole < vector.count, left >= vector[whole].iov_len {
            left -= vector[whole].iov_len
            whole += 1
        }
        vector.removeFirst(whole)
        if left > 0, !vector.isEmpty {
            vector[0].iov_base += left
            vector[0].iov_len -= left
        }
    }
}
