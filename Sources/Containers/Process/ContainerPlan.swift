// The setup plan of a container's first process, from its configuration: which steps, in which order. Order matters; the comments
// say where it is the specification's or the kernel's demand.

import CContainerInit

/// What the plan needs besides the configuration: descriptors opened by the runtime, and facts about it.
struct PlanContext {
    /// The bundle's and the root file system's directory, absolute.
    var bundle: String, rootfs: String
    var id: String
    /// Namespaces to join.
    var joins: [(kind: NamespaceKind, descriptor: Int32)] = []
    /// Open files that move their writer into a cgroup, and the directory of the v2 cgroup that the process is cloned into.
    var cgroupTasks: [Int32] = [], unifiedCgroup: Int32?
    /// The cgroups, for mounts of type `cgroup`.
    var cgroup = ContainerCgroup(layout: CgroupLayout(hierarchies: []), directories: [])
    /// Where the terminal's master goes.
    var console: Int32?
    /// The listening socket and the lock of a container that waits for `start`; nil to start at once.
    var startSocket: Int32?
    /// Files with the state for createContainer hooks, for startContainer hooks and for the receiver of the seccomp listener.
    var creatingState: Int32?, createdState: Int32?, seccompState: Int32?
    /// The detached sources of idmapped mounts, by index of the mount.
    var idmaps: [Int: Int32] = [:]
    var seccomp: SeccompProgram?, seccompListener: Int32?
    /// Descriptors after standard error that the container's program inherits.
    var preservedDescriptors = 0
    var usesPivot = true, makesKeyring = true
    /// The capabilities of the runtime.
    var held = CapabilitySet(rawValue: .max)
    /// Whether the runtime is root in the first user namespace.
    var isPrivileged = true
    /// Whether setgroups(2) is denied in the container's user namespace.
    var deniesSetgroups = false
    /// The home directory, where the environment has none.
    var home: String?
}

/// Points at which the process waits for the runtime.
enum SyncPoint: Int64 {
    /// The namespaces are made: maps, limits and network devices can be set from outside.
    case namespaces = 1
    /// Everything is mounted: prestart and createRuntime hooks run.
    case createRuntime
    /// The container is made and its program may start.
    case start
}

struct ContainerPlan {
    let configuration: Configuration
    let context: PlanContext
    private(set) var plan = SetupPlan()
    /// What cannot be granted but is no error.
    private(set) var warnings: [String] = []

    private var linux: LinuxConfiguration { configuration.linux }
    private func isNew(_ kind: NamespaceKind) -> Bool { linux.namespaces.contains { $0.kind == kind && $0.path == nil } }
    private func has(_ kind: NamespaceKind) -> Bool { linux.namespaces.contains { $0.kind == kind } }

    /// - Throws: `ConfigurationError` for what no configuration may ask for.
    init(_ configuration: Configuration, _ context: PlanContext) throws {
        self.configuration = configuration
        self.context = context
        let process = configuration.process ?? ProcessConfiguration()
        enterNamespaces()
        try buildRoot(process)
        startProcess(process, try configuration.landlock(for: process))
    }

    // MARK: namespaces

    private mutating func enterNamespaces() {
        for tasks in context.cgroupTasks { plan.add(guise_op_cgroup, "linux.cgroupsPath", a: UInt64(tasks)) }
        // Namespaces of the host's user namespace are joined while the process has its privileges; those that belong to the
        // user namespace that is joined, after that.
        for join in context.joins where join.kind != .user {
            plan.add(guise_op_join, label(join.kind), flags: guise_flag_optional.rawValue, a: UInt64(join.descriptor), b: join.kind.flag)
        }
        if let user = context.joins.first(where: { $0.kind == .user }) {
            plan.add(guise_op_join, label(.user), a: UInt64(user.descriptor), b: NamespaceKind.user.flag)
        }
        for join in context.joins where join.kind != .user {
            plan.add(guise_op_join, label(join.kind), a: UInt64(join.descriptor), b: join.kind.flag)
        }
        // The v2 cgroup is entered by the first clone, as long as the process has its privileges.
        var cgroup = context.unifiedCgroup.map { UInt64($0) + 1 } ?? 0
        var flags: UInt64 = 0
        for kind in NamespaceKind.allCases where isNew(kind) && kind != .cgroup && kind != .time { flags |= kind.flag }
        if isNew(.time) {
            // A time namespace takes offsets until a process is in it, and a process enters the one it made only by its next
            // clone. It belongs to the user namespace of its maker, so that comes first.
            if isNew(.user) {
                plan.add(guise_op_clone, "linux.namespaces", a: NamespaceKind.user.flag, b: cgroup)
                cgroup = 0
                plan.add(guise_op_sync, "linux.uidMappings", a: sync(.namespaces))
                plan.add(guise_op_become_root, "linux.uidMappings")
                flags &= ~NamespaceKind.user.flag
            }
            plan.add(guise_op_unshare, label(.time), a: NamespaceKind.time.flag)
            if !linux.timeOffsets.isEmpty {
                // A process that has changed its ids owns no file of its /proc directory, unless it is dumpable.
                if isNew(.user) { plan.add(guise_op_dumpable, "linux.timeOffsets", a: 1) }
                let lines = linux.timeOffsets.map { "\($0.clock) \($0.amount.seconds) \($0.amount.nanoseconds)\n" }
                plan.add(guise_op_write_self, "linux.timeOffsets", text: "timens_offsets", second: lines.joined())
                if isNew(.user) { plan.add(guise_op_dumpable, "linux.timeOffsets", a: 0) }
            }
        }
        plan.add(guise_op_clone, "linux.namespaces", a: flags, b: cgroup)
        if (isNew(.user) && !isNew(.time)) || needsRuntime {
            plan.add(guise_op_sync, "linux.uidMappings", a: sync(.namespaces))
            if isNew(.user) { plan.add(guise_op_become_root, "linux.uidMappings") }
        }
        // A cgroup namespace's root is where its maker is: after it has entered its cgroups.
        if isNew(.cgroup) { plan.add(guise_op_unshare, label(.cgroup), a: NamespaceKind.cgroup.flag) }
    }

    /// Whether something has to be done from outside once the process exists.
    private var needsRuntime: Bool {
        !linux.netDevices.isEmpty || configuration.process?.oomScoreAdjustment != nil
            || (isNew(.user) && !(configuration.process?.limits.isEmpty ?? true))
    }

    private func sync(_ point: SyncPoint) -> UInt64 { UInt64(point.rawValue) | UInt64(plan.cloneCount) << 8 }

    private func label(_ kind: NamespaceKind) -> String {
        let index = linux.namespaces.firstIndex { $0.kind == kind } ?? 0
        return "linux.namespaces[\(index)]"
    }

    // MARK: the root file system

    private mutating func buildRoot(_ process: ProcessConfiguration) throws {
        plan.add(guise_op_open_proc, "process")
        let hasMounts = has(.mount)
        if hasMounts {
            let propagation = Self.rootPropagation(linux.rootfsPropagation)
            plan.add(guise_op_propagation, "linux.rootfsPropagation", a: propagation.before)
            // pivot_root wants a private root, too; what is configured is set after it.
            plan.add(guise_op_root, "root.path", b: propagation.needsPrivateParent ? 1 << 18 : 0,
                c: propagation.needsPrivateParent ? 1 : 0, text: context.rootfs)
        } else {
            plan.add(guise_op_root, "root.path", b: 1 << 18, text: context.rootfs)
        }
        for index in configuration.mounts.indices { try addMount(index) }
        addDevices()
        if process.isTerminal {
            let size = process.consoleSize.map { UInt64($0.height) << 16 | UInt64($0.width) } ?? 0
            plan.add(guise_op_console, "process.terminal", a: UInt64(UInt32(bitPattern: context.console ?? -1)), b: size, text4: "/dev/console")
        }
        plan.add(guise_op_directory, "process.cwd", text4: process.workingDirectory)

        // Hooks in the container read their state from files that the runtime has filled by then.
        if !configuration.hooks.prestart.isEmpty || !configuration.hooks.createRuntime.isEmpty
            || !configuration.hooks.createContainer.isEmpty {
            plan.add(guise_op_sync, "hooks", a: sync(.createRuntime))
        }
        for (index, hook) in configuration.hooks.createContainer.enumerated() {
            add(hook, "hooks.createContainer[\(index)]", state: context.creatingState)
        }

        // Through the host's procfs, where the image has no say; the kernel takes the container's namespaces into account.
        for entry in linux.sysctl {
            let name = try Self.sysctlFile(entry.key, has)
            plan.add(guise_op_sysctl, "linux.sysctl.\(entry.key)", text: name, second: entry.value)
        }
        if let name = configuration.hostname, !name.isEmpty { plan.add(guise_op_hostname, "hostname", text: name) }
        if let name = configuration.domainname, !name.isEmpty { plan.add(guise_op_domainname, "domainname", text: name) }

        for (index, path) in linux.readonlyPaths.enumerated() {
            plan.add(guise_op_readonly, "linux.readonlyPaths[\(index)]", text4: path)
        }
        for (index, path) in linux.maskedPaths.enumerated() {
            plan.add(guise_op_mask, "linux.maskedPaths[\(index)]", text4: path)
        }
        if configuration.root.isReadOnly {
            plan.add(guise_op_attributes, "root.readonly", b: MountOptions.readOnly, text4: "/")
        }
        if hasMounts {
            plan.add(guise_op_pivot, "root.path", flags: context.usesPivot ? 0 : guise_flag_no_pivot.rawValue)
            if let propagation = linux.rootfsPropagation {
                plan.add(guise_op_propagate, "linux.rootfsPropagation",
                    flags: propagation.rawValue.hasPrefix("r") ? guise_flag_recursive.rawValue : 0,
                    b: Self.propagationFlag(propagation), text4: "/")
            }
        } else {
            plan.add(guise_op_chroot, "root.path")
        }
    }

    private static func propagationFlag(_ propagation: LinuxConfiguration.RootPropagation) -> UInt64 {
        switch propagation {
        case .unbindable, .runbindable: 1 << 17
        case .private, .rprivate: 1 << 18
        case .slave, .rslave: 1 << 19
        case .shared, .rshared: 1 << 20
        }
    }

    /// What becomes of the host's mounts in the new mount namespace before anything is mounted. Nothing the container does may
    /// reach the host unless that is configured.
    static func rootPropagation(
        _ propagation: LinuxConfiguration.RootPropagation?
    ) -> (before: UInt64, needsPrivateParent: Bool) {
        switch propagation {
        case nil, .slave, .rslave: (1 << 19 | MountOptions.recursive, false)
        case .private, .rprivate, .unbindable, .runbindable: (1 << 18 | MountOptions.recursive, false)
        case .shared, .rshared: (1 << 20 | MountOptions.recursive, true)
        }
    }

    private mutating func addDevices() {
        let defaults = [
            Device("/dev/null", 1, 3), Device("/dev/zero", 1, 5), Device("/dev/full", 1, 7), Device("/dev/random", 1, 8),
            Device("/dev/urandom", 1, 9), Device("/dev/tty", 5, 0),
        ]
        let own = linux.devices.map { HostFiles.cleaned($0.path) }
        for device in defaults where !own.contains(device.path) { add(device, "default device \(device.path)") }
        for (index, device) in linux.devices.enumerated() { add(device, "linux.devices[\(index)]") }
        for (path, target) in [("/dev/fd", "/proc/self/fd"), ("/dev/stdin", "/proc/self/fd/0"), ("/dev/stdout", "/proc/self/fd/1"),
                               ("/dev/stderr", "/proc/self/fd/2"), ("/dev/core", "/proc/kcore"), ("/dev/ptmx", "pts/ptmx")] {
            plan.add(guise_op_symlink, "default link \(path)", text: target, text4: path)
        }
    }

    private mutating func add(_ device: Device, _ label: String) {
        // Below a user namespace no node can be made, except that FIFOs can.
        let binds = has(.user) && device.type != 0o010000
        plan.add(
            guise_op_node, label, flags: binds ? guise_flag_bind_fallback.rawValue : 0,
            a: UInt64(device.type | device.mode), b: guise_device_number(device.major, device.minor),
            c: UInt64(device.gid) << 32 | UInt64(device.uid), text: device.path, text4: device.path
        )
    }

    private mutating func add(_ hook: Hook, _ label: String, state: Int32?) {
        plan.add(
            guise_op_hook, label, flags: hook.timeoutSeconds, a: UInt64(hook.arguments.count), b: UInt64(hook.environment.count),
            c: UInt64(state ?? 0), text: hook.path, list: hook.arguments, list3: hook.environment
        )
    }

    /// The file below /proc/sys of a name with dots, if a namespace of the container's own holds it.
    static func sysctlFile(_ key: String, _ has: (NamespaceKind) -> Bool) throws -> String {
        // Names may be written with slashes too; then dots are part of names, as in sysctl(8).
        let slash = key.firstIndex(of: "/"), dot = key.firstIndex(of: ".")
        var path = key
        if let dot, slash == nil || dot < slash! {
            path = String(key.map { $0 == "." ? "/" : $0 == "/" ? "." : $0 })
        }
        let path_ = ConfigurationError("is no name of a kernel parameter", path: "linux.sysctl.\(key)")
        guard !path.isEmpty, !path.split(separator: "/").contains(".."), !path.hasPrefix("/") else { throw path_ }
        let ipc = ["kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax",
                   "kernel/shmmni", "kernel/shm_rmid_forced"]
        let kind: NamespaceKind? = ipc.contains(path) || path.hasPrefix("fs/mqueue/") ? .ipc
            : path.hasPrefix("net/") ? .network
            : path == "kernel/domainname" || path == "kernel/hostname" ? .uts
            : path.hasPrefix("user/") ? .user : nil
        guard let kind else {
            throw ConfigurationError("belongs to the host: no namespace holds it", path: "linux.sysctl.\(key)")
        }
        guard has(kind) else {
            throw ConfigurationError("needs a \(kind.rawValue) namespace in linux.namespaces", path: "linux.sysctl.\(key)")
        }
        return path
    }

    // MARK: the process

    private mutating func startProcess(_ process: ProcessConfiguration, _ landlock: Landlock?) {
        if let label = linux.mountLabel, !label.isEmpty, !SecurityModules.hasSELinux {
            warnings.append("linux.mountLabel: SELinux is not active on this host")
        }
        if context.makesKeyring { plan.add(guise_op_keyring, "process", text: "_ses.\(context.id)") }
        plan.add(guise_op_session, "process.terminal", flags: process.isTerminal ? guise_flag_terminal.rawValue : 0)
        let steps = ProcessSteps(process, linux: linux, landlock: landlock, context: context, hasNewUser: isNew(.user))
        warnings += steps.warnings
        steps.addBeforeStart(to: &plan)
        if let socket = context.startSocket {
            plan.add(guise_op_wait_start, "start", a: UInt64(socket))
        } else {
            // The number is noted before the program runs, so that a crash of the runtime loses no container.
            plan.add(guise_op_sync, "start", a: sync(.start))
        }
        for (index, hook) in configuration.hooks.startContainer.enumerated() {
            add(hook, "hooks.startContainer[\(index)]", state: context.createdState)
        }
        steps.addAfterStart(to: &plan)
    }
}

extension ContainerPlan {
    mutating func warn(_ warning: String) { warnings.append(warning) }
    mutating func withPlan(_ body: (inout SetupPlan) throws -> Void) rethrows { try body(&plan) }
}
