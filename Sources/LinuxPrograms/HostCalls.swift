// Raw host system calls with errno values as results, the form in which a guest sees them too.

import CHost
import Glibc

/// A system call as the kernel does it: the result, or the negative errno.
@inline(__always)
func hostCall(
    _ call: SystemCall, _ a0: Int = 0, _ a1: Int = 0, _ a2: Int = 0, _ a3: Int = 0, _ a4: Int = 0, _ a5: Int = 0
) -> Int {
    guise_syscall(Int(call.rawValue), a0, a1, a2, a3, a4, a5)
}

/// The same with a path that is a Swift string.
func hostCall(_ call: SystemCall, at directory: Int32, path: String, _ a2: Int = 0, _ a3: Int = 0) -> Int {
    path.withCString { hostCall(call, Int(directory), Int(bitPattern: $0), a2, a3) }
}

/// An errno as the result of a system call.
@inline(__always)
func failure(_ code: Int32) -> Int { -Int(code) }

/// The call has to be executed again after a signal (kernel-internal ERESTARTSYS).
let restartCall = -512

/// fd number that means the current directory.
let currentDirectory: Int32 = -100

/// Flags of the *at family that the Glibc module lacks or names differently.
enum AtFlag {
    static let symlinkNoFollow = 0x100
    static let removeDirectory = 0x200
    static let effectiveAccess = 0x200
    static let symlinkFollow = 0x400
    static let emptyPath = 0x1000
}

/// Rounds up to the page size all guests share.
@inline(__always)
func pageUp(_ value: UInt64) -> UInt64 { (value &+ (pageSize - 1)) & ~(pageSize - 1) }
/// Rounds down to the page size all guests share.
@inline(__always)
func pageDown(_ value: UInt64) -> UInt64 { value & ~(pageSize - 1) }
/// The page size of the host and of every guest: 4 KB.
let pageSize: UInt64 = 4096

/// A lock that survives fork and vfork; never taken in a signal handler.
struct ForkSafeLock {
    private let word: UnsafeMutablePointer<UInt32>

    init() {
        word = .allocate(capacity: 1)
        word.initialize(to: 0)
    }

    @inline(__always)
    func withLock<T>(_ body: () -> T) -> T {
        guise_lock(word)
        defer { guise_unlock(word) }
        return body()
    }

    func lock() { guise_lock(word) }
    func unlock() { guise_unlock(word) }
}

/// The text a symbolic link holds, or nil.
func readLink(_ path: String, at directory: Int32 = currentDirectory) -> String? {
    withUnsafeTemporaryAllocation(byteCount: 4097, alignment: 1) { buffer in
        let n = path.withCString {
            hostCall(.readlinkat, Int(directory), Int(bitPattern: $0), Int(bitPattern: buffer.baseAddress!), 4096)
        }
        guard n >= 0 else { return nil }
        return String(decoding: UnsafeRawBufferPointer(buffer)[..<n], as: UTF8.self)
    }
}

/// The whole of a file, bounded; nil when it cannot be opened.
func readFile(_ path: String, limit: Int = 64 << 20) -> [UInt8]? {
    let fd = hostCall(.openat, at: currentDirectory, path: path, Int(O_RDONLY | O_CLOEXEC))
    guard fd >= 0 else { return nil }
    defer { _ = hostCall(.close, fd) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while bytes.count < limit {
        let n = chunk.withUnsafeMutableBytes { hostCall(.read, fd, Int(bitPattern: $0.baseAddress!), $0.count) }
        if n == failure(EINTR) { continue }
        if n <= 0 { break }
        bytes += chunk[..<n]
    }
    return bytes
}

extension Int {
    /// A guest's register as a host call takes it.
    @inline(__always)
    init(bitPattern value: UInt64) { self = Int(truncatingIfNeeded: value) }
}
