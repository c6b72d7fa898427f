// Names inside an exported directory, checked before they reach the host.

import Glibc

/// Why a file operation failed, as a Linux errno.
public struct FileFailure: Error, Equatable {
    /// The errno the guest is shown.
    public let code: Int32
    public init(_ code: Int32) { self.code = code }
    /// The failure the last host call left behind.
    static var last: FileFailure { FileFailure(errno) }
}

/// One component of a path: never empty, "." or "..", free of slashes and NULs, at most 255 bytes. Any other byte may
/// occur, as in the host's own names; there is no character encoding.
public struct FileName: Hashable {
    public static let bytesMax = 255
    private static let slash = UInt8(ascii: "/")
    private static let dot = UInt8(ascii: ".")

    /// The name without a terminator.
    public let bytes: [UInt8]

    /// - Throws: `FileFailure` when the bytes are no name.
    public init(_ bytes: [UInt8]) throws(FileFailure) {
        guard bytes.count <= Self.bytesMax else { throw FileFailure(ENAMETOOLONG) }
        guard !bytes.isEmpty else { throw FileFailure(ENOENT) }
        guard !bytes.contains(Self.slash), !bytes.contains(0), bytes != [Self.dot], !Self.isParent(bytes) else {
            throw FileFailure(EINVAL)
        }
        self.bytes = bytes
    }

    /// Whether the bytes say "..".
    public static func isParent(_ bytes: [UInt8]) -> Bool { bytes == [dot, dot] }

    /// The components of a path relative to some directory; empty components do not count.
    static func components(_ path: some Sequence<UInt8>) throws(FileFailure) -> [FileName] {
        var names: [FileName] = []
        for piece in path.split(separator: slash) { names.append(try FileName(Array(piece))) }
        return names
    }

    func withCString<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
        withTerminated(bytes, body)
    }
}

/// Calls `body` with a NUL-terminated copy of bytes that contain no NUL.
func withTerminated<Result>(_ bytes: [UInt8], _ body: (UnsafePointer<CChar>) -> Result) -> Result {
    (bytes + [0]).withUnsafeBufferPointer { buffer in
        buffer.withMemoryRebound(to: CChar.self) { body($0.baseAddress!) }
    }
}
