// The state of all containers: a directory for each below --root. A lock on that directory serialises commands on one id; the kernel
// drops it when its holder dies. Files are replaced whole, so a crash leaves the old state or the new.

import CContainerInit
import Glibc
import Host

/// The directory --root.
struct StateStore {
    let path: String

    /// The default: /run/guise-oci, or below $XDG_RUNTIME_DIR for other users than root.
    static func defaultPath() -> String {
        if geteuid() == 0 { return "/run/guise-oci" }
        guard let directory = getenv("XDG_RUNTIME_DIR") else { return "/tmp/guise-oci-\(geteuid())" }
        return String(cString: directory) + "/guise-oci"
    }

    /// - Throws: `RuntimeError` for what is no id of a container: runtimes agree on letters, digits and `_+-.`.
    static func check(id: String) throws {
        let isPlain = id.utf8.allSatisfy {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || "_+-.".utf8.contains($0)
        }
        guard isPlain, !id.isEmpty, id != ".", id != "..", id.utf8.count <= 255 else {
            throw RuntimeError("'\(id)' is no id of a container; it may hold letters, digits and _+-.")
        }
    }

    /// The ids of all containers, sorted.
    func ids() throws -> [String] {
        do {
            return try HostFiles.names(in: path).filter { !$0.hasPrefix(".") }.sorted()
        } catch let error as HostError where error.errno == ENOENT {
            return []
        }
    }

    /// Makes the directory of a new container, locked.
    func create(_ id: String) throws -> StateDirectory {
        try HostFiles.makeDirectories(path, mode: 0o700)
        // A default place below /tmp may have been prepared by somebody else, whose state would be believed.
        var status = stat()
        guard lstat(path, &status) == 0 else { throw HostError("stat", path) }
        guard geteuid() == 0 || status.st_uid == geteuid() else {
            throw RuntimeError("\(path) belongs to another user; choose another directory with --root")
        }
        guard mkdir("\(path)/\(id)", 0o700) == 0 else {
            if errno == EEXIST { throw RuntimeError("Container '\(id)' exists already; delete it or choose another id") }
            throw HostError("mkdir", "\(path)/\(id)")
        }
        return try open(id)
    }

    /// Opens a container's directory and locks it.
    /// - Throws: `RuntimeError` when there is none.
    func open(_ id: String, isLocked: Bool = true) throws -> StateDirectory {
        try Self.check(id: id)
        // Between opening and locking the container may have been deleted and made anew.
        for _ in 0..<100 {
            let directory: Descriptor
            do {
                directory = try HostFiles.open("\(path)/\(id)", O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
            } catch let error as HostError where error.errno == ENOENT {
                throw RuntimeError("Container '\(id)' does not exist below \(path)")
            }
            guard isLocked else { return StateDirectory(id: id, path: "\(path)/\(id)", directory: directory) }
            while flock(directory.number, LOCK_EX) != 0 {
                guard errno == EINTR else { throw HostError("flock", "\(path)/\(id)") }
            }
            var mine = stat(), there = stat()
            if fstat(directory.number, &mine) == 0, stat("\(path)/\(id)", &there) == 0, mine.st_ino == there.st_ino {
                return StateDirectory(id: id, path: "\(path)/\(id)", directory: directory)
            }
        }
        throw RuntimeError("Container '\(id)' is made and deleted all the time")
    }
}

/// One container's directory, locked while the object lives unless opened otherwise.
final class StateDirectory {
    let id: String
    let path: String
    let directory: Descriptor

    init(id: String, path: String, directory: Descriptor) {
        (self.id, self.path, self.directory) = (id, path, directory)
    }

    /// Releases the lock.
    func unlock() { flock(directory.number, LOCK_UN) }

    /// Whether another command holds the lock now.
    var isBusy: Bool {
        guard let other = try? HostFiles.open(path, O_RDONLY | O_DIRECTORY) else { return false }
        return flock(other.number, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK
    }

    /// The record; nil if whoever made the directory did not come so far.
    func record() throws -> ContainerRecord? {
        do {
            return try ContainerRecord(document: HostFiles.read("state.json", at: directory.number, sizeMax: Configuration.sizeMax))
        } catch let error as HostError where error.errno == ENOENT {
            return nil
        }
    }

    func write(_ record: ContainerRecord) throws {
        try HostFiles.replace("state.json", with: Array(record.json.text().utf8), at: directory.number)
    }

    /// The configuration as it was at `create`.
    func configuration() throws -> Configuration {
        try Configuration(document: HostFiles.read("config.json", at: directory.number, sizeMax: Configuration.sizeMax))
    }

    func writeConfiguration(_ document: [UInt8]) throws {
        try HostFiles.replace("config.json", with: document, at: directory.number)
    }

    /// A lock that the container's process holds as long as it waits for `start`.
    func makeWaitingLock() throws -> Descriptor {
        let file = try HostFiles.open("waiting", O_RDWR | O_CREAT, at: directory.number)
        guard flock(file.number, LOCK_EX | LOCK_NB) == 0 else { throw HostError("flock", "\(path)/waiting") }
        return file
    }

    var isWaiting: Bool {
        guard let file = try? HostFiles.open("waiting", O_RDONLY, at: directory.number) else { return false }
        return flock(file.number, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK
    }

    /// What the container does now.
    func status(of record: ContainerRecord) -> ContainerStatus {
        guard record.pid > 0, Processes.startTime(of: record.pid) == record.startTime else {
            return !record.isCreated && isBusy ? .creating : .stopped
        }
        guard record.isCreated else { return isBusy ? .creating : .stopped }
        if ContainerCgroup(layout: CgroupLayout.ofHost(), directories: record.cgroups).isFrozen { return .paused }
        return isWaiting ? .created : .running
    }

    /// Removes the directory and what is in it.
    func remove() throws {
        for name in try HostFiles.names(in: path) {
            guard unlinkat(directory.number, name, 0) == 0 || errno == ENOENT else { throw HostError("unlink", "\(path)/\(name)") }
        }
        guard rmdir(path) == 0 || errno == ENOENT else { throw HostError("rmdir", path) }
    }
}
