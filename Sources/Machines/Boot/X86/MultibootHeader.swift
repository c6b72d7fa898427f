// The header by which a kernel asks for Multiboot.
//
// Spec: Multiboot Specification 0.6.96, §3.1. Video modes asked for are not set: there is no video.

/// The header.
struct MultibootHeader: Equatable {
    /// In EAX when the kernel starts.
    static let loaderMagic: UInt32 = 0x2bad_b002
    private static let magic: UInt32 = 0x1bad_b002
    /// The header lies within this many bytes of the file.
    private static let searchSizeBytes: UInt64 = 8192
    private enum Flag {
        /// Bits that a loader must understand: page alignment, memory information, video.
        static let known: UInt32 = 0x7
        static let required: UInt32 = 0xffff
        static let addresses: UInt32 = 1 << 16
    }

    /// Addresses in the header itself, for files that are not ELF ("a.out kludge").
    struct Addresses: Equatable {
        let header: UInt32
        let load: UInt32
        let loadEnd: UInt32
        let bssEnd: UInt32
        let entry: UInt32

        /// The bytes of the file that belong into memory.
        func contents(of file: BootFiles.File, headerOffset: UInt64) throws -> ArraySlice<UInt8> {
            guard header >= load, UInt64(header - load) <= headerOffset else {
                throw MachineError(file.path, "the Multiboot header loads from before the file's start")
            }
            let start = headerOffset - UInt64(header - load)
            let length = loadEnd == 0 ? UInt64(file.bytes.count) - start : UInt64(loadEnd) &- UInt64(load)
            guard loadEnd == 0 || loadEnd > load, let bytes = ByteView(file.bytes).slice(start, length), !bytes.isEmpty else {
                throw MachineError(file.path, "the Multiboot header loads more than the file holds", advice: "the file is truncated")
            }
            return bytes
        }

        func memorySizeBytes(fileSizeBytes: UInt64, path: String) throws -> UInt64 {
            guard bssEnd != 0 else { return fileSizeBytes }
            guard UInt64(bssEnd) >= UInt64(load) + fileSizeBytes else {
                throw MachineError(path, "the Multiboot header ends the memory before the program")
            }
            return UInt64(bssEnd) - UInt64(load)
        }
    }

    let offset: UInt64
    let addresses: Addresses?

    /// Finds the header; nil when there is none.
    /// - Throws: `MachineError` when it asks for what is not known here, or is cut short.
    init?(_ bytes: [UInt8], path: String) throws {
        let file = ByteView(bytes)
        var found: (offset: UInt64, flags: UInt32)?
        for offset in stride(from: UInt64(0), to: min(Self.searchSizeBytes, UInt64(bytes.count)), by: 4) {
            guard file.load(offset, as: UInt32.self) == Self.magic, let flags = file.load(offset + 4, as: UInt32.self),
                  let checksum = file.load(offset + 8, as: UInt32.self), Self.magic &+ flags &+ checksum == 0 else { continue }
            found = (offset, flags)
            break
        }
        guard let found else { return nil }
        offset = found.offset
        let unknown = found.flags & Flag.required & ~Flag.known
        guard unknown == 0 else {
            throw MachineError(path, "the Multiboot header asks for unknown features (0x\(String(unknown, radix: 16)))")
        }
        guard found.flags & Flag.addresses != 0 else {
            addresses = nil
            return
        }
        let words = (0..<5).compactMap { file.load(found.offset + 12 + UInt64($0) * 4, as: UInt32.self) }
        guard words.count == 5 else { throw MachineError(path, "the Multiboot header is cut short") }
        addresses = Addresses(header: words[0], load: words[1], loadEnd: words[2], bssEnd: words[3], entry: words[4])
    }
}
