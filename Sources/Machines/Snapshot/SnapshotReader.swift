// Reads a suspend file. The file is hostile until proved otherwise: every length is bounded before it is used.

import CZstd
import Glibc
import GuestMemory
import Host
import SavedState

/// Reads one suspend file from front to back.
public final class SnapshotReader {
    /// The machine the file holds.
    public private(set) var configuration = MachineConfiguration()
    /// How it was started.
    private(set) var boot = BootFacts()
    private let path: String
    private let descriptor: Int32
    private let decompressor: OpaquePointer
    private var sequence: UInt32 = 0

    /// Opens a file and reads its configuration.
    /// - Throws: `HostError`, `SnapshotError`.
    public init(path: String) throws {
        self.path = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw HostError("open", path) }
        guard let decompressor = ZSTD_createDCtx() else {
            let error = HostError("ZSTD_createDCtx", path, errno: ENOMEM)
            close(descriptor)
            throw error
        }
        self.decompressor = decompressor
        let header = try read(SnapshotFormat.headerSizeBytes, "the header")
        guard Array(header.prefix(8)) == SnapshotFormat.magic else {
            throw SnapshotError(path, "not a Guise suspend file")
        }
        let fields = ByteView(header)
        let version = fields.load(8, as: UInt32.self) ?? 0
        guard version == SnapshotFormat.version else {
            throw SnapshotError(path, "suspend file format \(version), this build reads \(SnapshotFormat.version)")
        }
        guard fields.load(12, as: UInt32.self) == 0 else { throw damaged("the reserved header field is not zero") }
        let (kind, contents) = try frame()
        guard kind == .configuration else { throw damaged("the configuration does not come first") }
        var reader = StateReader(Array(contents))
        do {
            configuration = try MachineConfiguration(from: &reader)
            boot = try BootFacts(from: &reader)
            guard reader.remaining == 0 else { throw damaged("bytes follow the configuration") }
        } catch let error as StateError {
            throw damaged("\(error)")
        } catch let error as MachineError {
            throw SnapshotError(path, "a machine this build cannot make: \(error)")
        }
    }

    deinit {
        ZSTD_freeDCtx(decompressor)
        close(descriptor)
    }

    /// Fills RAM, which must be all zero, and returns the state stream.
    public func readRest(into ram: GuestRAM) throws -> [UInt8] {
        var state: [UInt8] = []
        var pages: UInt64 = 0
        var nextOffset: UInt64 = 0
        while true {
            let (kind, contents) = try frame()
            switch kind {
            case .configuration: throw damaged("a second configuration")
            case .ram:
                guard state.isEmpty else { throw damaged("memory follows the state") }
                let bytes = Array(contents)
                guard let offset = ByteView(bytes).load(0, as: UInt64.self) else { throw damaged("a short memory frame") }
                let length = UInt64(bytes.count - 8)
                guard length > 0, length % UInt64(SnapshotFormat.pageSize) == 0,
                      offset % UInt64(SnapshotFormat.pageSize) == 0, offset >= nextOffset,
                      offset <= ram.sizeBytes, length <= ram.sizeBytes - offset else {
                    throw damaged("a memory frame of \(length) bytes at offset \(offset)")
                }
                guard bytes[8...].withUnsafeBytes({ ram.write(ram.start + offset, from: $0) }) else {
                    throw damaged("a memory frame outside the machine's memory")
                }
                nextOffset = offset + length
                pages += length / UInt64(SnapshotFormat.pageSize)
            case .state:
                guard contents.count <= SnapshotFormat.stateSizeMax - state.count else {
                    throw damaged("more than \(SnapshotFormat.stateSizeMax) bytes of state")
                }
                state.append(contentsOf: contents)
            case .end:
                guard ByteView(Array(contents)).load(0, as: UInt64.self) == pages, contents.count == 8 else {
                    throw damaged("the number of memory pages is wrong")
                }
                var extra: UInt8 = 0
                guard Glibc.read(descriptor, &extra, 1) == 0 else { throw damaged("bytes follow the end") }
                return state
            }
        }
    }

    /// Turns what a device found wrong with its state into this file's error.
    func refused(_ error: StateError) -> SnapshotError { damaged("\(error)") }

    private func damaged(_ reason: String) -> SnapshotError { SnapshotError(path, "damaged: \(reason)") }

    private func frame() throws -> (SnapshotFormat.Kind, ArraySlice<UInt8>) {
        let header = ByteView(try read(SnapshotFormat.storedHeaderSizeBytes, "a frame's header"))
        let length = header.load(0, as: UInt32.self) ?? 0
        guard length > 0, Int(length) <= SnapshotFormat.storedSizeMax else { throw damaged("a frame of \(length) bytes") }
        let stored = try read(Int(length), "a frame")
        guard stored.withUnsafeBytes(SnapshotFormat.checksum) == header.load(4, as: UInt64.self) else {
            throw damaged("the checksum of frame \(sequence) is wrong")
        }
        var plain = [UInt8](repeating: 0, count: SnapshotFormat.frameSizeMax)
        let size = plain.withUnsafeMutableBytes { target in
            stored.withUnsafeBytes { source in
                ZSTD_decompressDCtx(decompressor, target.baseAddress, target.count, source.baseAddress, source.count)
            }
        }
        guard ZSTD_isError(size) == 0 else {
            throw damaged("frame \(sequence): \(String(cString: ZSTD_getErrorName(size)))")
        }
        let fields = ByteView(plain)
        guard size >= SnapshotFormat.frameHeaderSizeBytes, fields.load(0, as: UInt32.self) == sequence,
              let kind = SnapshotFormat.Kind(rawValue: plain[4]) else {
            throw damaged("frame \(sequence) is not in its place")
        }
        sequence += 1
        return (kind, plain[SnapshotFormat.frameHeaderSizeBytes..<size])
    }

    private func read(_ count: Int, _ what: String) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var have = 0
        while have < count {
            let got = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress! + have, count - have) }
            if got < 0 {
                if errno == EINTR { continue }
                throw HostError("read", path)
            }
            guard got > 0 else { throw SnapshotError(path, "truncated: the file ends inside \(what)") }
            have += got
        }
        return bytes
    }
}
