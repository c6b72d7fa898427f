// Makes a container: state, cgroups, process. Shared by `create` and `run`. Whatever fails, or whoever is killed, nothing stays that
// the next `delete` does not remove: the record names what is about to be made before it is made.

import CContainerInit
import Glibc
import Host

/// What the command line says about a new container.
struct CreationOptions {
    var id = ""
    var bundle = "."
    var config: String?
    var pidFile: String?
    var consoleSocket: String?
    var preservedDescriptors = 0
    var usesPivot = true
    var makesKeyring = true
}

/// A container being made, and what the runtime holds of it.
final class Creation {
    let options: CreationOptions
    let configuration: Configuration
    let directory: StateDirectory
    private(set) var record: ContainerRecord
    private(set) var launch: Launch?
    private var cgroup: ContainerCgroup
    /// Open until the process has them.
    private var descriptors: [Descriptor] = []
    /// What hooks in the container and the receiver of a seccomp listener are told.
    private var creatingState: Descriptor?, createdState: Descriptor?, seccompState: Descriptor?
    /// The terminal's master end, when no console socket takes it.
    private var terminalSocket: Descriptor?
    private var hasArrived = false
    private let log: Log

    /// Reads the configuration, notes what will be made and makes the cgroups.
    init(_ options: CreationOptions, store: StateStore, log: Log) throws {
        self.options = options
        self.log = log
        try StateStore.check(id: options.id)
        for number in 0..<options.preservedDescriptors where fcntl(Int32(3 + number), F_GETFD) < 0 {
            throw RuntimeError("--preserve-fds \(options.preservedDescriptors): descriptor \(3 + number) is not open")
        }
        guard let real = realpath(options.bundle, nil) else { throw HostError("realpath", options.bundle) }
        let bundle = String(cString: real)
        free(real)
        let name = options.config.map { $0.hasPrefix("/") ? $0 : bundle + "/" + $0 } ?? bundle + "/config.json"
        let document = try HostFiles.read(name, sizeMax: Configuration.sizeMax)
        configuration = try Configuration(document: document)
        let path = configuration.root.path
        try Self.check(options, configuration)
        let rootfs = try Self.rootDirectory(path.hasPrefix("/") ? path : bundle + "/" + path)

        directory = try store.create(options.id)
        record = ContainerRecord(
            id: options.id, ociVersion: configuration.ociVersion, bundle: bundle, rootfs: rootfs,
            annotations: Dictionary(configuration.annotations.map { ($0.key, $0.value) }) { $1 },
            created: Processes.timestamp(), owner: geteuid()
        )
        record.isRootless = geteuid() != 0
        if !configuration.linux.namespaces.contains(where: { $0.kind == .mount }) {
            record.hostMountDepth = try HostMounts.depth(at: rootfs)
        }
        cgroup = ContainerCgroup(layout: CgroupLayout.ofHost(), configuredPath: configuration.linux.cgroupsPath, id: options.id)
        record.cgroups = cgroup.directories
        record.cgroupParents = cgroup.missingParents()
        do {
            try directory.write(record)
            try directory.writeConfiguration(document)
            try makeCgroups()
        } catch {
            abandon()
            throw error
        }
    }

    private static func check(_ options: CreationOptions, _ configuration: Configuration) throws {
        guard options.consoleSocket == nil || configuration.process?.isTerminal ?? false else {
            throw RuntimeError("--console-socket is given, but process.terminal is not true")
        }
    }

    /// The root file system's real path: links in it are the host's business, and are followed once.
    private static func rootDirectory(_ path: String) throws -> String {
        guard let real = realpath(path, nil) else { throw RuntimeError("root.path: \(HostError("realpath", path))") }
        defer { free(real) }
        var status = stat()
        guard stat(real, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw RuntimeError("root.path: \(path): \(String(cString: strerror(ENOTDIR)))")
        }
        return String(cString: real)
    }

    private func makeCgroups() throws {
        let isPrivileged = geteuid() == 0
        let resources = configuration.linux.resources ?? Resources()
        try cgroup.create(
            mayFail: record.isRootless && configuration.linux.cgroupsPath == nil && !resources.hasLimits,
            limitedBy: ContainerCgroup.controllers(for: resources)
        )
        if record.cgroups != cgroup.directories {
            record.cgroups = cgroup.directories
            try directory.write(record)
        }
        try cgroup.applyDevices(resources.devices, isPrivileged: isPrivileged)
        try cgroup.apply(resources)
    }

    /// Starts the process.
    /// - Parameter waits: whether it stays before its program until `start`.
    /// - Returns: the terminal's master, when there is a terminal and no console socket.
    func start(waits: Bool) throws -> Descriptor? {
        do {
            // `create` may be called before it is known what will run.
            if !waits, configuration.process?.arguments.isEmpty ?? true {
                throw ConfigurationError("must hold a program", path: "process.args")
            }
            let terminal = try startProcess(waits: waits)
            return terminal
        } catch {
            abandon()
            throw error
        }
    }

    private func startProcess(waits: Bool) throws -> Descriptor? {
        var waitingLock: Descriptor?
        var context = try makeContext()
        if waits {
            waitingLock = try directory.makeWaitingLock()
            let socket = guise_unix_listen(directory.directory.number, "start", Int32(SOCK_SEQPACKET.rawValue))
            guard socket >= 0 else { throw HostError("bind", "\(directory.path)/start") }
            descriptors.append(Descriptor(socket))
            context.startSocket = socket
        }
        let built = try ContainerPlan(configuration, context)
        for warning in built.warnings { log.warn(warning) }
        let launch = try Launch(built.plan, keeping: descriptors.map(\.number) + [waitingLock?.number].compactMap { $0 })
        self.launch = launch
        waitingLock?.close()
        let cloneCount = built.plan.cloneCount
        loop: while true {
            switch try launch.next() {
            case .exists: try arrive(launch)
            case .waits(.namespaces):
                try launch.awaitProcess(clones: configuration.linux.timeOffsets.isEmpty ? cloneCount : 1)
                try setFromOutside(launch.pid)
                try launch.proceed()
            case .waits(.createRuntime):
                try launch.awaitProcess(clones: cloneCount)
                try arrive(launch)
                let state = record.ociState(.creating, pid: launch.pid)
                // The deprecated point counts as after `create`.
                let before = record.ociState(.created, pid: launch.pid)
                try HookRunner.run(configuration.hooks.prestart, "prestart", state: before)
                try HookRunner.run(configuration.hooks.createRuntime, "createRuntime", state: state)
                try launch.proceed()
            case .waits(.start):
                try launch.awaitProcess(clones: cloneCount)
                try arrive(launch)
                try note(launch.pid, isCreated: true)
                try writePIDFile()
                try launch.proceed()
            case .isCreated:
                try launch.awaitProcess(clones: cloneCount)
                try arrive(launch)
                try note(launch.pid, isCreated: true)
                try writePIDFile()
                break loop
            case .isExecuted:
                // For `create` this is too early: the process never waited.
                guard !waits, record.isCreated else { throw setupDeath() }
                break loop
            }
        }
        let terminal = try terminalSocket.map(Terminal.receive)
        descriptors.removeAll()
        return terminal
    }

    /// The process's number is known.
    private func arrive(_ launch: Launch) throws {
        guard !hasArrived else { return }
        hasArrived = true
        try writeStates(pid: launch.pid)
        // Without cgroups the number is the only way to find the process after a crash.
        if record.cgroups.isEmpty { try note(launch.pid, isCreated: false) }
    }

    private func setupDeath() -> RuntimeError {
        var status: Int32 = 0
        var why = ""
        if let pid = launch?.pid, guise_wait(pid, &status, WNOHANG) == pid, status & 0x7F != 0 {
            why = ", killed by signal \(status & 0x7F)"
        }
        return RuntimeError("The container's process ended during set-up\(why)")
    }

    private func note(_ pid: Int32, isCreated: Bool) throws {
        record.pid = pid
        record.startTime = Processes.startTime(of: pid) ?? 0
        record.isCreated = isCreated
        try directory.write(record)
    }

    private func writePIDFile() throws {
        guard let path = options.pidFile else { return }
        try PIDFile.write(record.pid, to: path)
    }

    // MARK: what the plan needs

    private func keep(_ descriptor: Descriptor) -> Int32 {
        descriptors.append(descriptor)
        return descriptor.number
    }

    private func makeContext() throws -> PlanContext {
        var context = PlanContext(bundle: record.bundle, rootfs: record.rootfs, id: record.id)
        let linux = configuration.linux
        for (index, namespace) in linux.namespaces.enumerated() {
            guard let path = namespace.path else { continue }
            do {
                context.joins.append((namespace.kind, keep(try HostFiles.open(path, O_RDONLY))))
            } catch {
                throw RuntimeError("linux.namespaces[\(index)]: \(error)")
            }
        }
        for part in cgroup.parts {
            if part.hierarchy.isUnified {
                guard part.directory != part.hierarchy.mountPoint else { continue }
                // In a user namespace that is joined the process has no privilege over the cgroup any more.
                if linux.namespaces.contains(where: { $0.kind == .user && $0.path != nil }) {
                    context.cgroupTasks.append(keep(try HostFiles.open(part.directory + "/cgroup.procs", O_WRONLY)))
                    continue
                }
                context.unifiedCgroup = keep(try HostFiles.open(part.directory, O_PATH | O_DIRECTORY))
            } else {
                context.cgroupTasks.append(keep(try HostFiles.open(part.directory + "/tasks", O_WRONLY)))
            }
        }
        context.cgroup = cgroup
        if configuration.process?.isTerminal ?? false {
            let (inside, outside) = try Terminal.socket(console: options.consoleSocket)
            context.console = keep(inside)
            terminalSocket = outside
        }
        context.usesPivot = options.usesPivot
        context.makesKeyring = options.makesKeyring
        context.preservedDescriptors = options.preservedDescriptors
        var permitted: UInt64 = 0, bounding: UInt64 = 0
        guise_capabilities(&permitted, &bounding)
        context.held = CapabilitySet(rawValue: permitted & bounding)
        context.isPrivileged = geteuid() == 0
        context.deniesSetgroups = geteuid() != 0
        context.home = PasswordFile.home(of: configuration.process?.user.uid ?? 0, root: record.rootfs)
        if !configuration.hooks.createContainer.isEmpty {
            creatingState = try SeccompState.file()
            context.creatingState = keep(creatingState!)
        }
        if !configuration.hooks.startContainer.isEmpty {
            createdState = try SeccompState.file()
            context.createdState = keep(createdState!)
        }
        if let seccomp = linux.seccomp {
            context.seccomp = try SeccompFilter.compile(seccomp, log: log)
            if let path = seccomp.listenerPath {
                let socket = guise_unix_connect(-1, path, Int32(SOCK_STREAM.rawValue))
                guard socket >= 0 else { throw RuntimeError("linux.seccomp.listenerPath: \(HostError("connect", path))") }
                context.seccompListener = keep(Descriptor(socket))
                seccompState = try SeccompState.file()
                context.seccompState = keep(seccompState!)
            }
        }
        for (index, mount) in configuration.mounts.enumerated() {
            guard let tree = try IDMappedMount.tree(mount, index, linux: linux, bundle: record.bundle) else { continue }
            context.idmaps[index] = keep(tree)
        }
        return context
    }

    /// Fills what hooks in the container and the seccomp listener's receiver are told.
    private func writeStates(pid: Int32) throws {
        for (file, status) in [(creatingState, ContainerStatus.creating), (createdState, .created)] {
            guard let file else { continue }
            ftruncate(file.number, 0)
            try HostFiles.writeAll(Array(record.ociState(status, pid: pid).text().utf8), to: file, name: "state")
        }
        if let seccompState, let seccomp = configuration.linux.seccomp {
            try SeccompState.write(record, seccomp, pid: pid, status: .creating, to: seccompState)
        }
    }

    /// What only the runtime has the privilege for.
    private func setFromOutside(_ pid: Int32) throws {
        let linux = configuration.linux
        if linux.namespaces.contains(where: { $0.kind == .user && $0.path == nil }) {
            try UserNamespace.writeMaps(of: pid, uids: linux.uidMappings, gids: linux.gidMappings)
        }
        try OutsideSettings.setOOMScore(configuration.process?.oomScoreAdjustment, of: pid)
        try NetworkDevices.move(linux.netDevices, to: pid)
        if linux.namespaces.contains(where: { $0.kind == .user && $0.path == nil }) {
            try OutsideSettings.setLimits(configuration.process?.limits ?? [], of: pid)
        }
    }

    // MARK: failure

    /// Undoes everything. The original error is what the user hears, not what fails here.
    func abandon() {
        launch?.kill()
        cgroup.killAll()
        try? cgroup.remove(parents: record.cgroupParents)
        if let depth = record.hostMountDepth { HostMounts.remove(record.rootfs, downTo: depth) }
        try? directory.remove()
    }

    /// The error of a start hook or of exec that arrives after the container counts as created.
    func follow() throws {
        while true {
            if case .isExecuted = try launch!.next() { return }
        }
    }
}

enum PIDFile {
    /// Writes the number so that a reader never sees a part of it.
    static func write(_ pid: Int32, to path: String) throws {
        let slash = path.lastIndex(of: "/")
        let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
        let parent = slash.map { String(path[...$0]) } ?? "."
        let directory = try HostFiles.open(parent, O_RDONLY | O_DIRECTORY)
        try HostFiles.replace(name, with: Array(String(pid).utf8), at: directory.number, mode: 0o644)
    }
}

enum PasswordFile {
    /// The home directory of a user by the container's own /etc/passwd; `/` where that does not know it.
    static func home(of uid: UInt32, root: String) -> String {
        let fallback = uid == 0 ? "/root" : "/"
        guard let directory = try? HostFiles.open(root, O_PATH | O_DIRECTORY) else { return fallback }
        let file = Descriptor(guise_open_in_root(directory.number, "etc/passwd", O_RDONLY | O_NONBLOCK))
        guard file.number >= 0, let bytes = try? HostFiles.read(file, name: "etc/passwd", sizeMax: 1 << 20) else { return fallback }
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let fields = line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
            guard fields.count >= 6, UInt32(String(decoding: fields[2], as: UTF8.self)) == uid else { continue }
            let home = String(decoding: fields[5], as: UTF8.self)
            return home.hasPrefix("/") ? home : fallback
        }
        return fallback
    }
}
