// Writes a suspend file: a temporary file beside the target, synced, then renamed over it.

import CZstd
import Glibc
import GuestMemory
import Host

/// Writes one suspend file.
final class SnapshotWriter {
    private let path: String
    private let temporary: String
    private let descriptor: Int32
    private let compressor: OpaquePointer
    private var sequence: UInt32 = 0
    private var packed: [UInt8]
    private var committed = false

    /// - Throws: `HostError` when the file cannot be made.
    init(path: String) throws {
        self.path = path
        temporary = path + ".part-\(getpid())"
        descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw HostError("open", temporary) }
        guard let compressor = ZSTD_createCCtx() else {
            let error = HostError("ZSTD_createCCtx", path, errno: ENOMEM)
            close(descriptor)
            unlink(temporary)
            throw error
        }
        self.compressor = compressor
        ZSTD_CCtx_setParameter(compressor, ZSTD_c_compressionLevel, SnapshotFormat.compressionLevel)
        ZSTD_CCtx_setParameter(compressor, ZSTD_c_checksumFlag, 0)
        packed = Array(repeating: 0, count: ZSTD_compressBound(SnapshotFormat.frameSizeMax)
            + SnapshotFormat.storedHeaderSizeBytes)
        var header = SnapshotFormat.magic
        for word in [SnapshotFormat.version, 0] { withUnsafeBytes(of: word.littleEndian) { header.append(contentsOf: $0) } }
        try write(header[...])
    }

    deinit {
        ZSTD_freeCCtx(compressor)
        close(descriptor)
        if !committed { unlink(temporary) }
    }

    /// Writes a whole machine.
    func write(configuration: [UInt8], state: [UInt8], ram: GuestRAM) throws {
        try frame(.configuration, configuration[...])
        let pages = try write(ram)
        for start in stride(from: 0, to: state.count, by: SnapshotFormat.chunkSizeBytes) {
            try frame(.state, state[start..<min(start + SnapshotFormat.chunkSizeBytes, state.count)])
        }
        try frame(.end, withUnsafeBytes(of: UInt64(pages).littleEndian) { Array($0)[...] })
        try commit()
    }

    /// Runs of pages that are not all zero; holes of the memfd are not even looked at.
    private func write(_ ram: GuestRAM) throws -> Int {
        let page = SnapshotFormat.pageSize
        let end = Int(ram.sizeBytes)
        var pages = 0
        var position = 0
        while position < end {
            let data = Int(lseek(ram.descriptor, off_t(position), Int32(3 /* SEEK_DATA */)))
            if data < 0 { break }  // ENXIO: only holes follow
            let hole = Int(lseek(ram.descriptor, off_t(data), Int32(4 /* SEEK_HOLE */)))
            let stop = hole < 0 ? end : min(end, (hole + page - 1) / page * page)
            var start = data / page * page
            while start < stop {
                guard !isZero(ram.base + start) else { start += page; continue }
                var runEnd = start + page
                while runEnd < stop, runEnd - start < SnapshotFormat.chunkSizeBytes, !isZero(ram.base + runEnd) {
                    runEnd += page
                }
                // SAFETY: start..<runEnd is inside the bank, which outlives this call.
                let run = UnsafeRawBufferPointer(start: ram.base + start, count: runEnd - start)
                let offset = withUnsafeBytes(of: UInt64(start).littleEndian) { Array($0) }
                try frame(.ram, (offset + Array(run))[...])
                pages += (runEnd - start) / page
                start = runEnd
            }
            position = max(stop, position + page)
        }
        return pages
    }

    private func isZero(_ start: UnsafeMutableRawPointer) -> Bool {
        // SAFETY: a whole page of guest RAM, eight-byte aligned; no vCPU runs, so nothing writes it meanwhile.
        let words = start.assumingMemoryBound(to: UInt64.self)
        var bits: UInt64 = 0
        for block in stride(from: 0, to: SnapshotFormat.pageSize / 8, by: 64) {
            for index in block..<(block + 64) { bits |= words[index] }
            if bits != 0 { return false }
        }
        return true
    }

    private func frame(_ kind: SnapshotFormat.Kind, _ contents: ArraySlice<UInt8>) throws {
        var plain: [UInt8] = []
        plain.reserveCapacity(contents.count + SnapshotFormat.frameHeaderSizeBytes)
        withUnsafeBytes(of: sequence.littleEndian) { plain.append(contentsOf: $0) }
        plain.append(kind.rawValue)
        plain.append(contentsOf: contents)
        precondition(plain.count <= SnapshotFormat.frameSizeMax, "snapshot frame too large")
        sequence += 1
        let header = SnapshotFormat.storedHeaderSizeBytes
        let size = packed.withUnsafeMutableBytes { target in
            plain.withUnsafeBytes { source in
                ZSTD_compress2(compressor, target.baseAddress! + header, target.count - header, source.baseAddress,
                               source.count)
            }
        }
        guard ZSTD_isError(size) == 0 else { throw SnapshotError(path, String(cString: ZSTD_getErrorName(size))) }
        packed.withUnsafeMutableBytes { packed in
            let sum = SnapshotFormat.checksum(UnsafeRawBufferPointer(rebasing: packed[header..<(header + size)]))
            packed.storeBytes(of: UInt32(size).littleEndian, as: UInt32.self)
            packed.storeBytes(of: sum.littleEndian, toByteOffset: 4, as: UInt64.self)
        }
        try write(packed[0..<(header + size)])
    }

    private func write(_ bytes: ArraySlice<UInt8>) throws {
        var rest = bytes
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR { continue }
                throw HostError("write", temporary)
            }
            rest = rest.dropFirst(count)
        }
    }

    private func commit() throws {
        guard fsync(descriptor) == 0 else { throw HostError("fsync", temporary) }
        guard rename(temporary, path) == 0 else { throw HostError("rename", path) }
        committed = true
        let parent = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let directory = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { return }
        // The name itself: best effort, some file systems refuse to sync directories.
        fsync(directory)
        close(directory)
    }
}
