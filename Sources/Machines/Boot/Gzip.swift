// Unpacks boot files compressed with gzip, in memory.
//
// Spec: RFC 1952. Several members in a row are one file, as gzip -d has it; zero bytes may follow the last.

import CZlib

/// A file in gzip's format.
enum Gzip {
    static let magic: [UInt8] = [0x1f, 0x8b]
    private static let step = 1 << 20
    /// zlib's window of 2^15 bytes, and 16 to ask for gzip's header and checksum.
    private static let windowBits: Int32 = 15 + 16

    /// The contents of a compressed file.
    /// - Parameter sizeMax: how many bytes they may have.
    /// - Throws: `MachineError` when the file is damaged or its contents are larger.
    static func unpack(_ file: BootFiles.File, sizeMax: Int) throws -> [UInt8] {
        func damaged(_ what: String) -> MachineError {
            MachineError(file.path, "the compressed file is damaged: \(what)", advice: "check it with gzip -t")
        }
        var stream = z_stream()
        guard inflateInit2_(&stream, windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw MachineError(file.path, "no memory to unpack it")
        }
        defer { inflateEnd(&stream) }
        var source = file.bytes
        guard source.count <= Int(UInt32.max) else { throw MachineError(file.path, "the file is too large") }
        var unpacked: [UInt8] = []
        var position = 0
        while true {
            let room = min(step, sizeMax + 1 - unpacked.count)
            var status = Z_OK
            // SAFETY: zlib reads source[position...] and writes `room` bytes at most, and keeps no pointer.
            let chunk = [UInt8](unsafeUninitializedCapacity: room) { target, count in
                source.withUnsafeMutableBufferPointer { bytes in
                    stream.next_in = bytes.baseAddress.map { $0 + position }
                    stream.avail_in = UInt32(bytes.count - position)
                    stream.next_out = target.baseAddress
                    stream.avail_out = UInt32(room)
                    status = inflate(&stream, Z_NO_FLUSH)
                    position = bytes.count - Int(stream.avail_in)
                }
                count = room - Int(stream.avail_out)
            }
            unpacked += chunk
            guard unpacked.count <= sizeMax else {
                throw MachineError(file.path, "unpacked, it is larger than \(sizeMax >> 20) MiB, which is all of RAM",
                                   advice: "give the machine more --memory")
            }
            switch status {
            case Z_OK: break
            case Z_STREAM_END:
                guard source[position...].contains(where: { $0 != 0 }) else { return unpacked }
                guard source[position...].starts(with: magic), inflateReset(&stream) == Z_OK else {
                    throw damaged("something else follows the compressed data")
                }
            case Z_BUF_ERROR: throw damaged("it ends too early")
            case Z_MEM_ERROR: throw MachineError(file.path, "no memory to unpack it")
            default: throw damaged(stream.msg.map { String(cString: $0) } ?? "zlib error \(status)")
            }
        }
    }
}
