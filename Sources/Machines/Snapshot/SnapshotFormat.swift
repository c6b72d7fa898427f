// The suspend file.
//
//   magic "GUISESNP", format version (u32), reserved (u32, zero)
//   frames: stored length (u32), checksum (u64), then one zstd frame. Unpacked, a frame is
//     sequence number (u32, from 0), kind (u8), contents:
//       1 configuration   MachineConfiguration's saved form; frame 0, once
//       2 RAM             offset from the start of RAM (u64), then whole pages; ascending; absent pages are zero
//       3 state           a piece of the state stream; pieces are joined in order
//       4 end             number of RAM pages (u64); nothing follows
//
// The checksum covers the stored length and the stored bytes (zstd's own does not see every bit of its headers), and the
// frame carries its sequence number and kind, so a file with frames damaged, lost, repeated or swapped is refused; a reader
// never believes a length before it is compared with what is there.

/// Constants of the format.
enum SnapshotFormat {
    static let magic = Array("GUISESNP".utf8)
    static let version: UInt32 = 2
    static let headerSizeBytes = 16
    /// Stored length and checksum.
    static let storedHeaderSizeBytes = 12
    static let frameHeaderSizeBytes = 5
    static let pageSize = 4096
    /// Bytes of RAM or state in one frame.
    static let chunkSizeBytes = 1 << 20
    /// An unpacked frame at most: chunk, offset, frame header.
    static let frameSizeMax = chunkSizeBytes + 8 + frameHeaderSizeBytes
    /// A stored frame at most; zstd expands by far less.
    static let storedSizeMax = frameSizeMax + (frameSizeMax >> 6) + 1024
    /// The joined state stream at most.
    static let stateSizeMax = 64 << 20
    /// Fast, and close to the default's ratio on memory images.
    static let compressionLevel: Int32 = 1

    /// Checksum of a stored frame: FNV-1a over little-endian 64-bit words, the last padded with zeroes, each step followed
    /// by a shift that lets high bits reach low ones. Every step is a bijection, so damage within one word never escapes.
    static func checksum(_ stored: UnsafeRawBufferPointer) -> UInt64 {
        var hash = checksumBasis
        func mix(_ word: UInt64) {
            hash = (hash ^ word) &* checksumPrime
            hash ^= hash >> 32
        }
        mix(UInt64(stored.count))
        let whole = stored.count & ~7
        for offset in stride(from: 0, to: whole, by: 8) {
            mix(UInt64(littleEndian: stored.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
        }
        var last: UInt64 = 0
        for offset in whole..<stored.count { last |= UInt64(stored[offset]) << UInt64(8 * (offset - whole)) }
        mix(last)
        return hash
    }

    private static let checksumBasis: UInt64 = 0xcbf2_9ce4_8422_2325
    private static let checksumPrime: UInt64 = 0x100_0000_01b3

    enum Kind: UInt8 {
        case configuration = 1
        case ram = 2
        case state = 3
        case end = 4
    }
}

/// Why a suspend file was refused.
public struct SnapshotError: Error, Equatable, CustomStringConvertible {
    public let path: String
    public let reason: String

    init(_ path: String, _ reason: String) {
        self.path = path
        self.reason = reason
    }

    public var description: String { "\(path): \(reason)" }
}
