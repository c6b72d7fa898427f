// UNIX stream sockets by path.

import Glibc
import Host

/// Makes listening and connected sockets.
enum UnixSocket {
    /// A listening, non-blocking socket at `path`, readable by its owner only. A dead socket there is replaced; a live one
    /// is refused with EADDRINUSE.
    static func listen(_ path: String) throws -> Int32 {
        let descriptor = try make(path)
        // Non-blocking: a live but busy listener answers EAGAIN instead of letting us wait in its queue.
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        let connected = try withAddress(path) { Glibc.connect(descriptor, $0, $1) }
        guard connected != 0, errno != EAGAIN, errno != EINPROGRESS else {
            close(descriptor)
            throw HostError("bind", path, errno: EADDRINUSE)
        }
        var information = stat()
        if lstat(path, &information) == 0, information.st_mode & S_IFMT == S_IFSOCK { unlink(path) }
        // Linux gives the name the socket's own mode. The umask would do as well, but it belongs to the whole process, and
        // files that other threads make meanwhile would suffer.
        fchmod(descriptor, 0o600)
        let bound = try withAddress(path) { bind(descriptor, $0, $1) }
        let failure = errno
        guard bound == 0, Glibc.listen(descriptor, 8) == 0 else {
            let error = HostError("bind", path, errno: bound == 0 ? errno : failure)
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// A connected, blocking socket.
    static func connect(_ path: String) throws -> Int32 {
        let descriptor = try make(path)
        guard try withAddress(path, { Glibc.connect(descriptor, $0, $1) }) == 0 else {
            let error = HostError("connect", path)
            close(descriptor)
            throw error
        }
        return descriptor
    }

    private static func make(_ path: String) throws -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw HostError("socket", path) }
        return descriptor
    }

    private static func withAddress<Result>(_ path: String,
                                            _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) throws -> Result {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path), !bytes.contains(0) else {
            throw HostError("socket address", path, errno: ENAMETOOLONG)
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        // SAFETY: a sockaddr_un is what AF_UNIX calls expect behind the sockaddr pointer, with its own length.
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
