// Files and descriptors of the host, as the runtime uses them: whole small files, atomic replacement, one-line kernel files.

import CContainerInit
import Glibc
import Host

/// fcntl.h has it, but Swift's Glibc module does not show it.
let O_PATH: Int32 = 0o10000000

/// A descriptor that closes itself.
final class Descriptor {
    /// The number; -1 once closed.
    private(set) var number: Int32

    init(_ number: Int32) { self.number = number }

    deinit { close() }

    func close() {
        if number >= 0 { Glibc.close(number) }
        number = -1
    }
}

enum HostFiles {
    /// Opens a file, always close-on-exec.
    static func open(_ path: String, _ flags: Int32, mode: mode_t = 0o600, at directory: Int32 = AT_FDCWD) throws -> Descriptor {
        let number = Glibc.openat(directory, path, flags | O_CLOEXEC, mode)
        guard number >= 0 else { throw HostError("open", path) }
        return Descriptor(number)
    }

    /// What a file holds.
    /// - Throws: `HostError`; EFBIG for more than `sizeMax` bytes.
    static func read(_ path: String, at directory: Int32 = AT_FDCWD, sizeMax: Int = 1 << 20) throws -> [UInt8] {
        try read(try open(path, O_RDONLY, at: directory), name: path, sizeMax: sizeMax)
    }

    static func read(_ file: Descriptor, name: String, sizeMax: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = 4096
        var status = stat()
        if fstat(file.number, &status) == 0, status.st_size > 0 { chunk = min(Int(status.st_size) + 1, sizeMax + 1) }
        while true {
            let start = bytes.count
            var failure: Int32 = 0
            var got = 0
            bytes.append(contentsOf: [UInt8](unsafeUninitializedCapacity: chunk) { buffer, count in
                repeat { got = Glibc.read(file.number, buffer.baseAddress!, chunk) } while got < 0 && errno == EINTR
                if got < 0 { failure = errno }
                count = max(got, 0)
            })
            guard failure == 0 else { throw HostError("read", name, errno: failure) }
            guard bytes.count <= sizeMax else { throw HostError("read", name, errno: EFBIG) }
            if bytes.count == start { return bytes }
        }
    }

    /// What a file of one line holds, without white space at its end; nil when it cannot be read.
    static func line(_ path: String, at directory: Int32 = AT_FDCWD) -> String? {
        guard let bytes = try? read(path, at: directory) else { return nil }
        var text = String(decoding: bytes, as: UTF8.self)[...]
        while let last = text.last, last.isWhitespace { text = text.dropLast() }
        return String(text)
    }

    /// Writes to a file that exists, in one write, as the kernel's files want it.
    static func write(_ text: String, to path: String, at directory: Int32 = AT_FDCWD) throws {
        let file = try open(path, O_WRONLY, at: directory)
        try writeAll(Array(text.utf8), to: file, name: path)
    }

    static func writeAll(_ bytes: [UInt8], to file: Descriptor, name: String) throws {
        var done = 0
        while done < bytes.count {
            let wrote = bytes.withUnsafeBytes { Glibc.write(file.number, $0.baseAddress! + done, bytes.count - done) }
            if wrote < 0, errno == EINTR { continue }
            guard wrote > 0 else { throw HostError("write", name, errno: wrote < 0 ? errno : EIO) }
            done += wrote
        }
    }

    /// Replaces a file so that a reader, or whoever comes after a crash, sees the old one or the new one.
    static func replace(_ name: String, with bytes: [UInt8], at directory: Int32, mode: mode_t = 0o600) throws {
        let temporary = ".\(name).new"
        let file = try open(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode: mode, at: directory)
        do {
            try writeAll(bytes, to: file, name: name)
            guard renameat(directory, temporary, directory, name) == 0 else { throw HostError("rename", name) }
        } catch {
            unlinkat(directory, temporary, 0)
            throw error
        }
    }

    /// The names in a directory, in no order.
    static func names(in path: String) throws -> [String] {
        guard let directory = opendir(path) else { throw HostError("opendir", path) }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    /// Makes a directory and those above it.
    static func makeDirectories(_ path: String, mode: mode_t) throws {
        if mkdir(path, mode) == 0 || errno == EEXIST { return }
        guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else { throw HostError("mkdir", path) }
        try makeDirectories(String(path[..<slash]), mode: mode)
        guard mkdir(path, mode) == 0 || errno == EEXIST else { throw HostError("mkdir", path) }
    }

    /// The path with `.`, `..` and double slashes taken out, as text; never above `/`.
    static func cleaned(_ path: String) -> String {
        var parts: [Substring] = []
        for part in path.split(separator: "/") {
            switch part {
            case ".": break
            case "..": _ = parts.popLast()
            default: parts.append(part)
            }
        }
        return "/" + parts.joined(separator: "/")
    }

    /// The path as an absolute one.
    static func absolute(_ path: String) throws -> String {
        if path.hasPrefix("/") { return path }
        guard let current = getcwd(nil, 0) else { throw HostError("getcwd", ".") }
        defer { free(current) }
        return String(cString: current) + "/" + path
    }
}
