// A container's cgroups: one directory in every hierarchy.

import CContainerInit
import Glibc
import Host

/// The directories of one container, made, used and removed together.
struct ContainerCgroup {
    /// One hierarchy's part.
    struct Part {
        var hierarchy: CgroupHierarchy
        /// The cgroup's directory.
        var directory: String
        func has(_ controller: String) -> Bool { hierarchy.controllers.contains(controller) }
    }

    var parts: [Part]

    /// The cgroups that a container of this configuration has; nothing is made yet.
    init(layout: CgroupLayout, configuredPath: String?, id: String) {
        parts = layout.hierarchies.map { hierarchy in
            let path = CgroupLayout.path(configured: configuredPath, id: id, in: hierarchy)
            return Part(hierarchy: hierarchy, directory: hierarchy.directory(of: path))
        }
    }

    /// Directories above the container's own that are not there yet, outermost first: `create` will make them, and `remove` takes
    /// them away again unless others use them by then.
    func missingParents() -> [String] {
        var missing: [String] = []
        for part in parts {
            let top = part.hierarchy.mountPoint
            var path = top
            for name in part.directory.dropFirst(top.utf8.count).split(separator: "/").dropLast() {
                path += "/" + name
                if access(path, F_OK) != 0 { missing.append(path) }
            }
        }
        return missing
    }

    /// Cgroups that exist, by the directories noted in a container's state.
    init(layout: CgroupLayout, directories: [String]) {
        parts = directories.compactMap { directory in
            let owner = layout.hierarchies.filter { directory.hasPrefix($0.mountPoint + "/") }
                .max { $0.mountPoint.utf8.count < $1.mountPoint.utf8.count }
            return owner.map { Part(hierarchy: $0, directory: directory) }
        }
    }

    /// The part that carries a controller's files.
    func part(of controller: String) -> Part? { parts.first { $0.has(controller) } }

    var unified: Part? { parts.first { $0.hierarchy.isUnified } }

    var directories: [String] { parts.map(\.directory) }

    /// Makes the directories.
    /// - Parameter mayFail: without privilege over cgroups a hierarchy is left out instead of failing.
    /// - Throws: `HostError`; what was made then stays noted in `parts` for `remove`.
    mutating func create(mayFail: Bool, limitedBy controllers: Set<String> = []) throws {
        // Beside v1, v2's controllers stay with the root until a limit needs one: others may want them in v1.
        let isPure = parts.allSatisfy(\.hierarchy.isUnified)
        var index = 0
        while index < parts.count {
            do {
                let delegated = parts[index].hierarchy.controllers.filter { isPure || controllers.contains($0) }
                try create(parts[index], delegating: delegated)
                index += 1
            } catch let error as HostError {
                guard mayFail, error.errno == EACCES || error.errno == EPERM || error.errno == EROFS else { throw error }
                parts.remove(at: index)
            }
        }
    }

    private func create(_ part: Part, delegating controllers: [String]) throws {
        let top = part.hierarchy.mountPoint
        guard part.directory != top else { return }
        var path = top
        for name in part.directory.dropFirst(top.utf8.count).split(separator: "/") {
            let parent = path
            path += "/" + name
            if part.hierarchy.isUnified { Self.delegate(controllers, from: parent) }
            guard mkdir(path, 0o755) == 0 || errno == EEXIST else { throw HostError("mkdir", path) }
            if part.has("cpuset"), !part.hierarchy.isUnified { try Self.inheritCPUSet(path, from: parent) }
        }
    }

    /// v2: a directory's children have a controller only if the directory hands it out. Those that cannot be had are
    /// noticed when a limit is written.
    private static func delegate(_ controllers: [String], from directory: String) {
        guard !controllers.isEmpty else { return }
        let active = Set((HostFiles.line(directory + "/cgroup.subtree_control") ?? "").split(separator: " ").map(String.init))
        for controller in controllers where !active.contains(controller) {
            try? HostFiles.write("+" + controller, to: directory + "/cgroup.subtree_control")
        }
    }

    /// v1: a new cpuset is empty, and no process may enter before it has processors and memory nodes.
    private static func inheritCPUSet(_ directory: String, from parent: String) throws {
        for file in ["cpuset.cpus", "cpuset.mems"] where HostFiles.line("\(directory)/\(file)")?.isEmpty == true {
            guard let value = HostFiles.line("\(parent)/\(file)") else { continue }
            try HostFiles.write(value, to: "\(directory)/\(file)")
        }
    }

    /// Moves a process that runs already. The set-up of a container's first process goes the faster way of
    /// `guise_op_cgroup`.
    func add(_ pid: Int32) throws {
        for part in parts { try HostFiles.write("\(pid)", to: part.directory + "/cgroup.procs") }
    }

    /// Every process in the cgroups, each once.
    func processes() -> [Int32] {
        // All hierarchies hold the same processes; the one that cannot be refused tells, and those below it too.
        guard let part = parts.first(where: { $0.has("pids") }) ?? unified ?? parts.first else { return [] }
        var pids: Set<Int32> = []
        func collect(_ directory: String, _ depth: Int) {
            for line in (HostFiles.line(directory + "/cgroup.procs") ?? "").split(separator: "\n") {
                if let pid = Int32(line), pid > 0 { pids.insert(pid) }
            }
            guard depth < 64 else { return }
            for name in Self.children(of: directory) { collect(directory + "/" + name, depth + 1) }
        }
        collect(part.directory, 0)
        return pids.sorted()
    }

    private static func children(of directory: String) -> [String] {
        guard let names = try? HostFiles.names(in: directory) else { return [] }
        return names.filter { name in
            var status = stat()
            return lstat(directory + "/" + name, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
        }
    }

    /// Sends SIGKILL to all until none is left; gives up after five seconds of processes that do not end.
    func killAll() {
        if let unified, access(unified.directory + "/cgroup.kill", W_OK) == 0, unified.hierarchy.mountPoint != unified.directory {
            try? HostFiles.write("1", to: unified.directory + "/cgroup.kill")
        }
        var frozen = false
        for turn in 0..<500 {
            let pids = processes().filter { $0 != getpid() }
            if pids.isEmpty { break }
            // A fork bomb outruns a list of its processes, unless it stands still.
            if turn == 2 { frozen = (try? setFrozen(true)) != nil }
            for pid in pids { kill(pid, SIGKILL) }
            if frozen || turn == 0 { try? setFrozen(false) }
            usleep(turn < 5 ? 1000 : 10000)
        }
    }

    /// Stops or continues all processes, and waits until they stand.
    /// - Throws: `RuntimeError` where no hierarchy can freeze.
    func setFrozen(_ isFrozen: Bool) throws {
        if let part = parts.first(where: { $0.has("freezer") && !$0.hierarchy.isUnified }) {
            let file = part.directory + "/freezer.state"
            for _ in 0..<1000 {
                try HostFiles.write(isFrozen ? "FROZEN" : "THAWED", to: file)
                if HostFiles.line(file) == (isFrozen ? "FROZEN" : "THAWED") { return }
                usleep(1000)
            }
            try? HostFiles.write("THAWED", to: file)
            throw RuntimeError("\(part.directory): the processes could not be frozen within a second")
        }
        guard let unified else { throw RuntimeError("No cgroup hierarchy of this host can pause a container") }
        try HostFiles.write(isFrozen ? "1" : "0", to: unified.directory + "/cgroup.freeze")
        for _ in 0..<1000 {
            if Self.standsStill(unified) == isFrozen { return }
            usleep(1000)
        }
        throw RuntimeError("\(unified.directory): the processes could not be frozen within a second")
    }

    var isFrozen: Bool {
        if let part = parts.first(where: { $0.has("freezer") && !$0.hierarchy.isUnified }) {
            let state = HostFiles.line(part.directory + "/freezer.state")
            return state == "FROZEN" || state == "FREEZING"
        }
        return unified.map(Self.standsStill) ?? false
    }

    /// What cgroup.events of v2 tells.
    private static func standsStill(_ part: Part) -> Bool {
        (HostFiles.line(part.directory + "/cgroup.events") ?? "").split(separator: "\n").contains("frozen 1")
    }

    /// Removes the directories with all below them. Processes must have ended; their last traces may take a moment.
    /// - Parameter parents: those that `missingParents` told before.
    func remove(parents: [String]) throws {
        for part in parts where part.directory != part.hierarchy.mountPoint { try Self.remove(part.directory, depth: 0) }
        for directory in parents.reversed() { rmdir(directory) }
    }

    private static func remove(_ directory: String, depth: Int) throws {
        for turn in 0..<200 {
            if rmdir(directory) == 0 || errno == ENOENT { return }
            guard errno == EBUSY || errno == ENOTEMPTY else { throw HostError("rmdir", directory) }
            if depth < 64 { for name in children(of: directory) { try remove(directory + "/" + name, depth: depth + 1) } }
            if rmdir(directory) == 0 || errno == ENOENT { return }
            usleep(turn < 20 ? 1000 : 10000)
        }
        throw HostError("rmdir", directory, errno: EBUSY)
    }
}
