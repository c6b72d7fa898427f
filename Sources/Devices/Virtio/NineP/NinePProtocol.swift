// Numbers of the 9P2000.L protocol. 9P2000: Plan 9 manual section 5; the .L dialect as Linux's v9fs client speaks it
// (Documentation/filesystems/9p, the diod project's protocol.md).

/// Message types of requests; a reply has the request's type plus one.
enum NinePType {
    static let lerrorReply: UInt8 = 7
    static let statfs: UInt8 = 8
    static let lopen: UInt8 = 12
    static let lcreate: UInt8 = 14
    static let symlink: UInt8 = 16
    static let mknod: UInt8 = 18
    static let rename: UInt8 = 20
    static let readlink: UInt8 = 22
    static let getattr: UInt8 = 24
    static let setattr: UInt8 = 26
    static let xattrwalk: UInt8 = 30
    static let xattrcreate: UInt8 = 32
    static let readdir: UInt8 = 40
    static let fsync: UInt8 = 50
    static let lock: UInt8 = 52
    static let getlock: UInt8 = 54
    static let link: UInt8 = 70
    static let mkdir: UInt8 = 72
    static let renameat: UInt8 = 74
    static let unlinkat: UInt8 = 76
    static let version: UInt8 = 100
    static let auth: UInt8 = 102
    static let attach: UInt8 = 104
    static let flush: UInt8 = 108
    static let walk: UInt8 = 110
    static let read: UInt8 = 116
    static let write: UInt8 = 118
    static let clunk: UInt8 = 120
    static let remove: UInt8 = 122
}

/// Sizes and special values.
enum NinePLimit {
    /// size[4] type[1] tag[2].
    static let headerBytes = 7
    /// Header and error code.
    static let errorBytes = 11
    /// Header and count of Rread and Rreaddir.
    static let dataHeaderBytes = 11
    static let messageBytesMin = 4096
    static let messageBytesMax = 512 << 10
    /// Before a version is agreed on.
    static let messageBytesInitial = 8192
    static let walkNamesMax = 16
    static let qidBytes = 13
    static let dialect = "9P2000.L"
    static let unknownDialect = "unknown"
    static let noFid: UInt32 = .max
    /// Leaves an id as it is.
    static let noID: UInt32 = .max
}

/// Open flags on the wire: the generic Linux values, which are also this host's.
enum NinePOpen {
    static let accessMask: UInt32 = 0o3
    static let readOnly: UInt32 = 0
    static let exclusive: UInt32 = 0o200
    static let truncate: UInt32 = 0o1000
    static let append: UInt32 = 0o2000
    static let dataSync: UInt32 = 0o10000
    static let sync: UInt32 = 0o4000000
    /// What reaches the host. The rest is the guest kernel's business (O_NONBLOCK, O_NOCTTY, …) or would demand
    /// alignment of our buffers (O_DIRECT).
    static let honoured = accessMask | exclusive | truncate | append | dataSync | sync
}

/// Bits of Tsetattr's `valid`.
enum NinePSetattr {
    static let mode: UInt32 = 1 << 0
    static let uid: UInt32 = 1 << 1
    static let gid: UInt32 = 1 << 2
    static let size: UInt32 = 1 << 3
    static let atime: UInt32 = 1 << 4
    static let mtime: UInt32 = 1 << 5
    static let atimeSet: UInt32 = 1 << 7
    static let mtimeSet: UInt32 = 1 << 8
}

/// Tgetattr's `valid` for everything that stat tells.
enum NinePGetattr {
    static let basic: UInt64 = 0x7ff
}

/// Flags of Tunlinkat.
enum NinePUnlink {
    static let removeDirectory: UInt32 = 0x200
}

/// Rlock's status.
enum NinePLockStatus {
    static let success: UInt8 = 0
    static let blocked: UInt8 = 1
    static let error: UInt8 = 2
    static let typeMax: UInt8 = 2
}

/// What names a file on the wire.
struct NinePQID: Equatable {
    static let directory: UInt8 = 0x80
    static let symbolicLink: UInt8 = 0x02
    static let file: UInt8 = 0
    var type: UInt8
    var version: UInt32
    var path: UInt64
}
