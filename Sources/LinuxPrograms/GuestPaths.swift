// From the guest's paths to the host's: `--root`, or the cross root where Debian keeps foreign interpreters.
// With a root the guest's absolute paths, and relative ones from directories inside it, are resolved component by
// component: an absolute symbolic link starts again at the root, `..` stops there. /proc, /sys and /dev are the host's.
// It is a translation, not a prison: a component may be replaced between resolution and use.

import CHost
import Glibc

/// A guest path ready for a host call.
enum HostPath {
    /// The guest's own pointer and directory are right as they are.
    case unchanged
    /// An absolute host path.
    case host([UInt8])
    case failure(Int)
}

/// The rules of one guest process.
final class GuestPaths {
    /// Absolute host path of the guest's `/` without trailing slash; empty: the host's own.
    let root: [UInt8]
    /// Where absolute paths are tried first when there is no root; empty: nowhere.
    private let crossRoot: [UInt8]
    /// First components that exist under the cross root.
    private let crossNames: [[UInt8]]

    private static let slash: UInt8 = 0x2f
    private static let dot: UInt8 = 0x2e
    private static let symlinksMax = 40
    private static let pathMax = 4096

    init(root: String, crossRoot: String) {
        var path = Array(root.utf8)
        while path.count > 1, path.last == GuestPaths.slash { path.removeLast() }
        self.root = path == [GuestPaths.slash] ? [] : path
        var names: [[UInt8]] = []
        if !crossRoot.isEmpty {
            for name in ["lib", "lib64", "usr", "etc"] where hostPathExists(crossRoot + "/" + name) {
                names.append(Array(name.utf8))
            }
        }
        crossNames = names
        self.crossRoot = names.isEmpty ? [] : Array(crossRoot.utf8)
    }

    /// Whether paths need translation at all.
    var isTranslating: Bool { !root.isEmpty }

    // MARK: Guest to host

    /// Translates a path relative to a directory descriptor. `follow` says whether the call follows a final link.
    func translate(_ path: [UInt8], at directory: Int32, follow: Bool) -> HostPath {
        guard let first = path.first else { return .unchanged }
        if root.isEmpty {
            guard first == GuestPaths.slash, !crossNames.isEmpty else { return .unchanged }
            return crossPath(path)
        }
        var absolute = path
        if first != GuestPaths.slash {
            guard let base = guestDirectory(directory) else { return .unchanged }
            absolute = base + [GuestPaths.slash] + path
        }
        return resolve(absolute, follow: follow)
    }

    private func crossPath(_ path: [UInt8]) -> HostPath {
        let name = path.dropFirst().prefix { $0 != GuestPaths.slash }
        guard crossNames.contains(where: { $0.elementsEqual(name) }) else { return .unchanged }
        let candidate = crossRoot + path
        return exists(candidate) ? .host(candidate) : .unchanged
    }

    private func exists(_ path: [UInt8]) -> Bool {
        withCPath(path) { hostCall(.faccessat, Int(currentDirectory), $0, Int(F_OK)) } == 0
    }

    /// The guest's name for a directory descriptor; nil when it lies outside the root.
    private func guestDirectory(_ directory: Int32) -> [UInt8]? {
        let link = directory == currentDirectory ? "/proc/self/cwd" : "/proc/self/fd/\(directory)"
        guard let host = readLink(link) else { return nil }
        return inside(Array(host.utf8))
    }

    /// Strips the root from a host path; nil when the path is outside.
    func inside(_ host: [UInt8]) -> [UInt8]? {
        if root.isEmpty { return host }
        guard host.starts(with: root) else { return nil }
        if host.count == root.count { return [] }
        return host[root.count] == GuestPaths.slash ? Array(host[root.count...]) : nil
    }

    /// The guest's name for a host path; paths outside the root stay as they are.
    func guestName(_ host: [UInt8]) -> [UInt8] {
        guard let name = inside(host) else { return host }
        return name.isEmpty ? [GuestPaths.slash] : name
    }

    private static let passed: [[UInt8]] = ["proc", "sys", "dev"].map { Array($0.utf8) }

    private func resolve(_ path: [UInt8], follow: Bool) -> HostPath {
        var todo = components(path)
        todo.reverse()
        let trailing = path.last == GuestPaths.slash || path.suffix(2) == [GuestPaths.slash, GuestPaths.dot]
        var done: [ArraySlice<UInt8>] = []
        var links = 0
        var missing = false
        while let next = todo.popLast() {
            if next.elementsEqual([GuestPaths.dot]) { continue }
            if next.elementsEqual([GuestPaths.dot, GuestPaths.dot]) {
                _ = done.popLast()
                continue
            }
            if done.isEmpty, GuestPaths.passed.contains(where: { $0.elementsEqual(next) }) {
                var host: [UInt8] = [GuestPaths.slash] + next
                for rest in todo.reversed() { host += [GuestPaths.slash] + rest }
                if trailing { host.append(GuestPaths.slash) }
                return .host(host)
            }
            done.append(next)
            let last = todo.isEmpty
            if missing || (last && !follow && !trailing) { continue }
            let host = join(done)
            if host.count >= GuestPaths.pathMax { return .failure(failure(ENAMETOOLONG)) }
            guard let target = linkTarget(host, missing: &missing) else { continue }
            links += 1
            if links > GuestPaths.symlinksMax { return .failure(failure(ELOOP)) }
            if target.first == GuestPaths.slash { done.removeAll() } else { done.removeLast() }
            todo += components(target).reversed()
        }
        var host = join(done)
        if trailing && !done.isEmpty { host.append(GuestPaths.slash) }
        return .host(host)
    }

    private func components(_ path: [UInt8]) -> [ArraySlice<UInt8>] { path.split(separator: GuestPaths.slash) }

    private func join(_ names: [ArraySlice<UInt8>]) -> [UInt8] {
        var path = root
        for name in names {
            path.append(GuestPaths.slash)
            path += name
        }
        return path
    }

    private func linkTarget(_ path: [UInt8], missing: inout Bool) -> [UInt8]? {
        var result: Int = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: GuestPaths.pathMax) { buffer, used in
            result = withCPath(path) {
                hostCall(.readlinkat, Int(currentDirectory), $0, Int(bitPattern: buffer.baseAddress!), buffer.count)
            }
            used = max(result, 0)
        }
        if result == failure(ENOENT) { missing = true }
        return result > 0 ? bytes : nil
    }

    /// Opens a guest path for reading: a descriptor or -errno.
    func open(_ path: [UInt8], flags: Int32 = O_RDONLY) -> Int {
        let host: [UInt8]
        switch translate(path, at: currentDirectory, follow: true) {
        case .unchanged: host = path
        case .host(let translated): host = translated
        case .failure(let code): return code
        }
        return withCPath(host) { hostCall(.openat, Int(currentDirectory), $0, Int(flags | O_CLOEXEC)) }
    }
}

private func hostPathExists(_ path: String) -> Bool {
    path.withCString { hostCall(.access, Int(bitPattern: $0), Int(F_OK)) } == 0
}

/// Calls `body` with the address of the zero-terminated path.
func withCPath(_ path: [UInt8], _ body: (Int) -> Int) -> Int {
    withUnsafeTemporaryAllocation(byteCount: path.count + 1, alignment: 1) { buffer in
        buffer.copyBytes(from: path)
        buffer[path.count] = 0
        return body(Int(bitPattern: buffer.baseAddress!))
    }
}

extension GuestThread {
    /// Runs a call on a path argument: `body` gets the directory descriptor and the pointer to hand to the host.
    func withPath(
        at directory: Int32, _ address: UInt64, follow: Bool, _ body: (_ directory: Int, _ path: Int) -> Int
    ) -> Int {
        let paths = process.paths
        let path: [UInt8]
        switch Guest.string(address) {
        case .failure(let code): return code
        case .text(let bytes): path = bytes
        }
        switch paths.translate(path, at: directory, follow: follow) {
        case .unchanged:
            return body(Int(directory), Int(bitPattern: UInt(address)))
        case .host(let host):
            return withCPath(host) { body(Int(currentDirectory), $0) }
        case .failure(let code):
            return code
        }
    }
}
