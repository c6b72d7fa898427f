// Starts a further process in a running container.

import CContainerInit
import Glibc
import Host

/// A process on its way into a running container.
final class Execution {
    var preservedDescriptors = 0
    private let process: ProcessConfiguration
    private let configuration: Configuration
    private let record: ContainerRecord
    private let log: Log
    private let cgroup: ContainerCgroup
    private var descriptors: [Descriptor] = []
    private var launch: Launch?

    /// The process's number once it is started.
    var pid: Int32 { launch?.pid ?? 0 }

    /// - Parameter path: a cgroup below the container's.
    init(
        _ process: ProcessConfiguration, configuration: Configuration, record: ContainerRecord, cgroup path: String?, log: Log
    ) throws {
        (self.process, self.configuration, self.record, self.log) = (process, configuration, record, log)
        var cgroup = ContainerCgroup(layout: CgroupLayout.ofHost(), directories: record.cgroups)
        for index in cgroup.parts.indices {
            if let path {
                cgroup.parts[index].directory += HostFiles.cleaned(path)
                guard access(cgroup.parts[index].directory, F_OK) == 0 else {
                    throw RuntimeError("--cgroup: \(HostError("access", cgroup.parts[index].directory, errno: ENOENT))")
                }
            } else if cgroup.parts[index].hierarchy.isUnified, let now = Self.unifiedPath(of: record.pid) {
                // A container that runs systemd has moved its processes further down, and inner v2 cgroups hold none.
                cgroup.parts[index].directory = cgroup.parts[index].hierarchy.directory(of: now)
            }
        }
        self.cgroup = cgroup
    }

    private static func unifiedPath(of pid: Int32) -> String? {
        HostFiles.line("/proc/\(pid)/cgroup")?.split(separator: "\n").first { $0.hasPrefix("0::") }.map { String($0.dropFirst(3)) }
    }

    private func keep(_ descriptor: Descriptor) -> Int32 {
        descriptors.append(descriptor)
        return descriptor.number
    }

    /// Starts it and waits until its program runs.
    /// - Returns: the master of its terminal, when it has one and no console socket takes it.
    func start(consoleSocket: String?, pidFile: String?) throws -> Descriptor? {
        var context = PlanContext(bundle: record.bundle, rootfs: record.rootfs, id: record.id)
        try openNamespaces(&context)
        for part in cgroup.parts {
            if part.hierarchy.isUnified {
                guard part.directory != part.hierarchy.mountPoint else { continue }
                context.unifiedCgroup = keep(try HostFiles.open(part.directory, O_PATH | O_DIRECTORY))
            } else {
                context.cgroupTasks.append(keep(try HostFiles.open(part.directory + "/tasks", O_WRONLY)))
            }
        }
        context.preservedDescriptors = preservedDescriptors
        var permitted: UInt64 = 0, bounding: UInt64 = 0
        guise_capabilities(&permitted, &bounding)
        context.held = CapabilitySet(rawValue: permitted & bounding)
        context.isPrivileged = geteuid() == 0
        context.deniesSetgroups = geteuid() != 0
        context.home = PasswordFile.home(of: process.user.uid, root: "/proc/\(record.pid)/root")
        var terminalSocket: Descriptor?
        if process.isTerminal {
            let (inside, outside) = try Terminal.socket(console: consoleSocket)
            context.console = keep(inside)
            terminalSocket = outside
        }
        if let seccomp = configuration.linux.seccomp {
            context.seccomp = try SeccompFilter.compile(seccomp, log: log)
            if let path = seccomp.listenerPath {
                let socket = guise_unix_connect(-1, path, Int32(SOCK_STREAM.rawValue))
                guard socket >= 0 else { throw RuntimeError("linux.seccomp.listenerPath: \(HostError("connect", path))") }
                context.seccompListener = keep(Descriptor(socket))
                context.seccompState = keep(try SeccompState.file())
            }
        }
        let hasMountNamespace = context.joins.contains { $0.kind == .mount }
        let built = try ExecPlan.build(
            process, configuration: configuration, context: context, joinsUserFirst: !context.isPrivileged,
            rootPath: hasMountNamespace ? nil : "/proc/\(record.pid)/root"
        )
        for warning in built.warnings { log.warn(warning) }
        let launch = try Launch(built.plan, keeping: descriptors.map(\.number))
        self.launch = launch
        do {
            try follow(launch, built.plan.cloneCount, pidFile, context)
        } catch {
            launch.kill()
            throw error
        }
        let terminal = try terminalSocket.map(Terminal.receive)
        descriptors.removeAll()
        return terminal
    }

    private func follow(_ launch: Launch, _ cloneCount: Int, _ pidFile: String?, _ context: PlanContext) throws {
        var isStarted = false
        while true {
            switch try launch.next() {
            case .waits(.namespaces):
                try launch.awaitProcess(clones: cloneCount)
                try OutsideSettings.setOOMScore(process.oomScoreAdjustment, of: launch.pid)
                if context.joins.contains(where: { $0.kind == .user }) {
                    try OutsideSettings.setLimits(process.limits, of: launch.pid)
                }
                try launch.proceed()
            case .waits(.start):
                try launch.awaitProcess(clones: cloneCount)
                if let listener = configuration.linux.seccomp, listener.listenerPath != nil,
                   let file = descriptors.first(where: { $0.number == context.seccompState }) {
                    try SeccompState.write(record, listener, pid: launch.pid, status: .running, to: file)
                }
                if let pidFile { try PIDFile.write(launch.pid, to: pidFile) }
                isStarted = true
                try launch.proceed()
            case .isExecuted:
                guard isStarted else { throw RuntimeError("The process ended before its program started") }
                return
            default: break
            }
        }
    }

    /// The namespaces of the container's process that differ from the runtime's.
    private func openNamespaces(_ context: inout PlanContext) throws {
        // The descriptor of /proc/PID stays that process's even if the number is used again.
        let process = try HostFiles.open("/proc/\(record.pid)", O_RDONLY | O_DIRECTORY)
        guard Processes.startTime(of: record.pid) == record.startTime else {
            throw RuntimeError("Container '\(record.id)' cannot run a program: it is stopped")
        }
        for kind in NamespaceKind.allCases {
            let file: Descriptor
            do {
                file = try HostFiles.open("ns/\(kind.file)", O_RDONLY, at: process.number)
            } catch let error as HostError where error.errno == ENOENT {
                continue
            }
            var theirs = stat(), own = stat()
            if fstat(file.number, &theirs) == 0, stat("/proc/self/ns/\(kind.file)", &own) == 0,
               theirs.st_ino == own.st_ino, theirs.st_dev == own.st_dev { continue }
            context.joins.append((kind, keep(file)))
        }
    }
}

enum Terminal {
    /// Where a terminal's master goes: the engine's console socket, or one of the runtime's own.
    /// - Returns: the end that the container's process gets, and the runtime's own if there is no console socket.
    static func socket(console path: String?) throws -> (inside: Descriptor, outside: Descriptor?) {
        if let path {
            let socket = guise_unix_connect(-1, path, Int32(SOCK_STREAM.rawValue))
            guard socket >= 0 else { throw HostError("connect", path) }
            return (Descriptor(socket), nil)
        }
        var pair: [Int32] = [-1, -1]
        guard guise_channel(&pair) == 0 else { throw HostError("socketpair", "terminal") }
        return (Descriptor(pair[1]), Descriptor(pair[0]))
    }

    static func receive(_ socket: Descriptor) throws -> Descriptor {
        var master: Int32 = -1
        var name = [UInt8](repeating: 0, count: 64)
        guard guise_receive_descriptor(socket.number, &name, 64, &master) >= 0, master >= 0 else {
            throw RuntimeError("process.terminal: the container's process sent no terminal")
        }
        return Descriptor(master)
    }
}
