// What changes the file tree: names, attributes, extended attributes and locks of a HostNode.

import CHost
import Glibc

extension HostNode {
    // MARK: Names

    func makeDirectory(_ name: FileName, mode: mode_t) throws(FileFailure) {
        try Self.check(name.withCString { mkdirat(descriptor, $0, mode) })
        // As in `create`: the host's umask must not apply.
        try child(name).setMode(mode)
    }

    func makeSymbolicLink(_ name: FileName, target: [UInt8]) throws(FileFailure) {
        guard !target.contains(0) else { throw FileFailure(EINVAL) }
        try Self.check(withTerminated(target) { target in
            name.withCString { symlinkat(target, descriptor, $0) }
        })
    }

    /// Creates an empty regular file, a FIFO or a socket. Device files would be doors into the host: EPERM.
    func makeNode(_ name: FileName, mode: mode_t) throws(FileFailure) {
        switch mode & S_IFMT {
        case S_IFREG, S_IFIFO, S_IFSOCK, 0: try Self.check(name.withCString { mknodat(descriptor, $0, mode, 0) })
        default: throw FileFailure(EPERM)
        }
        try child(name).setMode(mode & ~S_IFMT)
    }

    func makeLink(to node: HostNode, _ name: FileName) throws(FileFailure) {
        // The flag follows the magic link to the node itself, not a symbolic link that the node may be.
        try Self.check(name.withCString { linkat(AT_FDCWD, node.selfPath, descriptor, $0, AT_SYMLINK_FOLLOW) })
    }

    func remove(_ name: FileName, directory: Bool) throws(FileFailure) {
        try Self.check(name.withCString { unlinkat(descriptor, $0, directory ? AT_REMOVEDIR : 0) })
    }

    func rename(_ name: FileName, to directory: HostNode, _ newName: FileName) throws(FileFailure) {
        try Self.check(name.withCString { old in
            newName.withCString { renameat(descriptor, old, directory.descriptor, $0) }
        })
    }

    // MARK: Attributes

    func setMode(_ mode: mode_t) throws(FileFailure) {
        guard try type() != S_IFLNK else { throw FileFailure(EOPNOTSUPP) }
        try Self.check(chmod(selfPath, mode))
    }

    /// Changes owner and group; nil leaves one as it is.
    func setOwner(_ user: uid_t?, _ group: gid_t?) throws(FileFailure) {
        try Self.check(fchownat(descriptor, "", user ?? uid_t.max, group ?? gid_t.max, guise_AT_EMPTY_PATH))
    }

    func setSize(_ size: UInt64) throws(FileFailure) {
        guard let length = off_t(exactly: size) else { throw FileFailure(EFBIG) }
        guard try type() == S_IFREG else { throw FileFailure(EINVAL) }
        try Self.check(truncate(selfPath, length))
    }

    /// A timestamp to set.
    enum Time {
        case keep, now
        case at(seconds: UInt64, nanoseconds: UInt64)

        func value() throws(FileFailure) -> timespec {
            switch self {
            case .keep: return timespec(tv_sec: 0, tv_nsec: guise_UTIME_OMIT)
            case .now: return timespec(tv_sec: 0, tv_nsec: guise_UTIME_NOW)
            case .at(let seconds, let nanoseconds):
                guard nanoseconds < 1_000_000_000 else { throw FileFailure(EINVAL) }
                return timespec(tv_sec: time_t(truncatingIfNeeded: seconds), tv_nsec: Int(nanoseconds))
            }
        }
    }

    func setTimes(access: Time, modification: Time) throws(FileFailure) {
        let times = [try access.value(), try modification.value()]
        if try type() == S_IFLNK { throw FileFailure(EOPNOTSUPP) }
        try Self.check(utimensat(AT_FDCWD, selfPath, times, 0))
    }

    // MARK: Extended attributes

    static let extendedAttributeBytesMax = 1 << 16
    private static let visibleNamespaces = ["user.", "system.posix_acl_access", "system.posix_acl_default"]

    /// Whether guests may see and change an attribute. Others belong to the host: labels, capabilities, trust.
    private static func isVisible(_ name: [UInt8]) -> Bool {
        visibleNamespaces.contains { name.starts(with: $0.utf8) }
    }

    private static func checkVisible(_ name: [UInt8]) throws(FileFailure) {
        guard !name.contains(0), name.count <= FileName.bytesMax else { throw FileFailure(EINVAL) }
        guard isVisible(name) else { throw FileFailure(EOPNOTSUPP) }
    }

    func extendedAttribute(_ name: [UInt8]) throws(FileFailure) -> [UInt8] {
        try Self.checkVisible(name)
        var value = [UInt8](repeating: 0, count: Self.extendedAttributeBytesMax)
        let count = withTerminated(name) { name in
            value.withUnsafeMutableBytes { guise_getxattr(selfPath, name, $0.baseAddress, UInt($0.count)) }
        }
        try Self.check(count)
        return Array(value.prefix(count))
    }

    /// The visible attributes' names, each followed by a NUL.
    func extendedAttributeNames() throws(FileFailure) -> [UInt8] {
        var list = [UInt8](repeating: 0, count: Self.extendedAttributeBytesMax)
        let count = list.withUnsafeMutableBytes {
            guise_listxattr(selfPath, $0.baseAddress!.assumingMemoryBound(to: CChar.self), UInt($0.count))
        }
        try Self.check(count)
        return list.prefix(count).split(separator: 0).map(Array.init).filter(Self.isVisible).flatMap { $0 + [0] }
    }

    /// - Parameter flags: XATTR_CREATE (1), XATTR_REPLACE (2) or 0.
    func setExtendedAttribute(_ name: [UInt8], _ value: [UInt8], flags: Int32) throws(FileFailure) {
        try Self.checkVisible(name)
        try Self.check(withTerminated(name) { name in
            value.withUnsafeBytes { guise_setxattr(selfPath, name, $0.baseAddress, UInt($0.count), flags) }
        })
    }

    func removeExtendedAttribute(_ name: [UInt8]) throws(FileFailure) {
        try Self.checkVisible(name)
        try Self.check(withTerminated(name) { guise_removexattr(selfPath, $0) })
    }

    // MARK: Locks

    /// A byte range lock: type 0 shared, 1 exclusive, 2 none; length 0 reaches to the end of the file.
    struct RangeLock: Equatable {
        var type: UInt8
        var start: UInt64
        var length: UInt64
    }

    private func range(_ lock: RangeLock) throws(FileFailure) -> (start: Int, length: Int) {
        guard let start = Int(exactly: lock.start), let length = Int(exactly: lock.length) else {
            throw FileFailure(EINVAL)
        }
        return (start, length)
    }

    /// Takes or releases a lock without waiting; EAGAIN or EACCES when someone else holds it.
    func setLock(_ lock: RangeLock) throws(FileFailure) {
        let (start, length) = try range(lock)
        try Self.check(guise_ofd_lock(descriptor, Int32(lock.type), start, length))
    }

    /// The lock that stands in the way of `lock`, or one of type 2.
    func conflictingLock(_ lock: RangeLock) throws(FileFailure) -> RangeLock {
        var (start, length) = try range(lock)
        var type = Int32(lock.type)
        try Self.check(guise_ofd_getlock(descriptor, &type, &start, &length))
        return RangeLock(type: UInt8(truncatingIfNeeded: type), start: UInt64(max(0, start)), length: UInt64(max(0, length)))
    }
}
