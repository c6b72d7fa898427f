// One file of an exported directory, held by descriptor. Names are looked up one at a time, never followed when they are
// symbolic links, and never contain a slash, so nothing here can leave the directory it starts from.

import CHost
import Glibc

/// A file, directory, symbolic link or special file of the host.
///
/// An unopened node is an O_PATH descriptor; `open` and `create` give nodes with which data can be moved. Special files
/// (devices, FIFOs, sockets) can be named, listed and removed, but not opened.
public final class HostNode {
    let descriptor: Int32

    private init(_ descriptor: Int32) { self.descriptor = descriptor }
    deinit { close(descriptor) }

    private static func checked(_ descriptor: Int32) throws(FileFailure) -> HostNode {
        guard descriptor >= 0 else { throw .last }
        return HostNode(descriptor)
    }

    static func check(_ result: some BinaryInteger) throws(FileFailure) { if result < 0 { throw .last } }

    /// The directory at a path of the host, symbolic links followed: the export's root.
    static func root(path: String) throws(FileFailure) -> HostNode {
        try checked(Glibc.open(path, guise_O_PATH | O_DIRECTORY | O_CLOEXEC))
    }

    /// A path by which the kernel finds this very file again. It is a magic link: it names the open file itself.
    var selfPath: String { "/proc/self/fd/\(descriptor)" }

    // MARK: Looking

    func attributes() throws(FileFailure) -> stat {
        var result = stat()
        try Self.check(fstatat(descriptor, "", &result, guise_AT_EMPTY_PATH))
        return result
    }

    func type() throws(FileFailure) -> mode_t { try attributes().st_mode & S_IFMT }

    func child(_ name: FileName) throws(FileFailure) -> HostNode {
        try Self.checked(name.withCString { openat(descriptor, $0, guise_O_PATH | O_NOFOLLOW | O_CLOEXEC) })
    }

    /// The directory above, wherever that is: for `HostDirectory`, which checks that it is still inside.
    func uncheckedParent() throws(FileFailure) -> HostNode {
        try Self.checked(openat(descriptor, "..", guise_O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC))
    }

    /// A symbolic link's target.
    func linkTarget() throws(FileFailure) -> [UInt8] {
        var target = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = target.withUnsafeMutableBytes {
            readlinkat(descriptor, "", $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
        }
        try Self.check(count)
        return Array(target.prefix(count))
    }

    func fileSystem() throws(FileFailure) -> guise_statfs {
        var result = guise_statfs()
        try Self.check(guise_fstatfs(descriptor, &result))
        return result
    }

    // MARK: Opening

    /// Opens a regular file or a directory.
    func open(flags: Int32) throws(FileFailure) -> HostNode {
        switch try type() {
        case S_IFREG: return try Self.checked(Glibc.open(selfPath, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK))
        case S_IFDIR:
            guard flags & O_ACCMODE == O_RDONLY, flags & O_TRUNC == 0 else { throw FileFailure(EISDIR) }
            return try Self.checked(openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC))
        case S_IFLNK: throw FileFailure(ELOOP)
        default: throw FileFailure(EOPNOTSUPP)
        }
    }

    /// Creates a regular file in this directory and opens it; without O_EXCL, opens the one that is there.
    func create(_ name: FileName, flags: Int32, mode: mode_t) throws(FileFailure) -> HostNode {
        let exclusive = flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        let descriptor = name.withCString { openat(self.descriptor, $0, exclusive, mode) }
        if descriptor >= 0 {
            let node = HostNode(descriptor)
            // The guest's umask has been applied already; the host's must not be.
            try Self.check(fchmod(descriptor, mode))
            return node
        }
        guard errno == EEXIST, flags & O_EXCL == 0 else { throw .last }
        // Whatever stands there is opened without following links and only if it is a plain file.
        let existing = try child(name)
        guard try existing.type() == S_IFREG else { throw FileFailure(EEXIST) }
        return try existing.open(flags: flags & ~O_CREAT)
    }

    // MARK: Data

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(FileFailure) -> Int {
        guard let position = off_t(exactly: offset) else { throw FileFailure(EINVAL) }
        while true {
            let count = pread(descriptor, buffer.baseAddress, buffer.count, position)
            if count >= 0 { return count }
            if errno != EINTR { throw .last }
        }
    }

    func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(FileFailure) -> Int {
        guard let position = off_t(exactly: offset) else { throw FileFailure(EINVAL) }
        while true {
            let count = pwrite(descriptor, buffer.baseAddress, buffer.count, position)
            if count >= 0 { return count }
            if errno != EINTR { throw .last }
        }
    }

    func sync(dataOnly: Bool) throws(FileFailure) {
        try Self.check(dataOnly ? fdatasync(descriptor) : fsync(descriptor))
    }

    // MARK: Directories

    /// One entry of a directory.
    struct Entry {
        let inode: UInt64
        /// Where the listing goes on after this entry.
        let next: UInt64
        /// A DT_ constant.
        let type: UInt8
        let name: [UInt8]
    }

    /// Entries from position `offset` on (0, or some entry's `next`), as many as one host call returns.
    func entries(from offset: UInt64, bufferBytes: Int) throws(FileFailure) -> [Entry] {
        guard let position = off_t(exactly: offset) else { throw FileFailure(EINVAL) }
        try Self.check(lseek(descriptor, position, SEEK_SET))
        // struct linux_dirent64: d_ino 8, d_off 8, d_reclen 2, d_type 1, d_name.
        let nameOffset = 19
        var buffer = [UInt8](repeating: 0, count: max(bufferBytes, 1024))
        let count = buffer.withUnsafeMutableBytes { guise_getdents64(descriptor, $0.baseAddress, UInt($0.count)) }
        try Self.check(count)
        var entries: [Entry] = []
        buffer.withUnsafeBytes { bytes in
            var at = 0
            while at + nameOffset <= count {
                let length = Int(bytes.loadUnaligned(fromByteOffset: at + 16, as: UInt16.self))
                guard length > nameOffset, at + length <= count else { break }
                let name = bytes[(at + nameOffset)..<(at + length)].prefix { $0 != 0 }
                entries.append(Entry(inode: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self),
                                     next: bytes.loadUnaligned(fromByteOffset: at + 8, as: UInt64.self),
                                     type: bytes[at + 18], name: Array(name)))
                at += length
            }
        }
        return entries
    }
}
