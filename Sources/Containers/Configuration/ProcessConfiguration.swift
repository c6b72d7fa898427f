// `process` of config.json, which `exec --process` reads as well: config.md, "Process".

/// The program and everything that its process is given.
struct ProcessConfiguration {
    /// Whether it gets a terminal, and that terminal's size.
    var isTerminal: Bool, consoleSize: ConsoleSize?
    /// Whose process it is.
    var user: User
    /// Program and arguments; `create` allows none.
    var arguments: [String]
    /// `NAME=value` strings.
    var environment: [String]
    /// The working directory, absolute in the container.
    var workingDirectory: String
    /// The capability sets; nil gives none.
    var capabilities: CapabilitySets?
    /// Limits in the order given.
    var limits: [ResourceLimit]
    /// Whether execve may grant privileges.
    var noNewPrivileges: Bool
    /// Labels of security modules.
    var apparmorProfile: String?, selinuxLabel: String?
    /// -1000 to 1000.
    var oomScoreAdjustment: Int32?
    /// How the processor and the disks are shared.
    var scheduler: Scheduler?, ioPriority: IOPriority?
    /// CPU lists for processes that `exec` starts.
    var execCPUAffinity: ExecCPUAffinity?

    /// Rows and columns.
    struct ConsoleSize {
        /// Characters.
        var height: UInt16, width: UInt16

        init(_ node: Node) throws(ConfigurationError) {
            height = try node.required("height", Node.uint16)
            width = try node.required("width", Node.uint16)
        }
    }

    /// Ids in the container.
    struct User {
        /// User and group.
        var uid: UInt32 = 0, gid: UInt32 = 0
        /// The file mode creation mask; nil leaves 022.
        var umask: UInt32?
        /// Supplementary groups.
        var additionalGids: [UInt32] = []

        /// Root.
        init() {}

        init(_ node: Node) throws(ConfigurationError) {
            uid = try node.optional("uid", Node.integer(0...UInt32.max - 1)) ?? 0
            gid = try node.optional("gid", Node.integer(0...UInt32.max - 1)) ?? 0
            umask = try node.optional("umask", Node.integer(0...0o777))
            additionalGids = try node.optional("additionalGids", Node.array(Node.integer(0...UInt32.max - 1))) ?? []
            guard additionalGids.count <= 65536 else {
                throw ConfigurationError("must not be more than 65536", path: "additionalGids")
            }
        }
    }

    /// One entry of `rlimits`.
    struct ResourceLimit {
        /// The name as in getrlimit(2) and its number.
        var name: String, resource: UInt32
        /// The limits; UInt64.max is no limit.
        var soft: UInt64, hard: UInt64

        static let names = [
            "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC",
            "RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE",
            "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
        ]

        init(_ node: Node) throws(ConfigurationError) {
            name = try node.required("type", Node.string)
            guard let number = Self.names.firstIndex(of: name) else {
                throw ConfigurationError("'\(name)' is no resource limit", path: "type")
            }
            resource = UInt32(number)
            soft = try node.required("soft", Node.uint64)
            hard = try node.required("hard", Node.uint64)
            guard soft <= hard else { throw ConfigurationError("lies above the hard limit", path: "soft") }
        }
    }

    /// CPU lists such as `0-3,7`.
    struct ExecCPUAffinity {
        /// For the time before the process is in its cgroup, and from then on.
        var initial: CPUSet?, final: CPUSet?

        init(_ node: Node) throws(ConfigurationError) {
            initial = try node.optional("initial", CPUSet.init)
            final = try node.optional("final", CPUSet.init)
        }
    }

    /// No process: what `create` makes without one.
    init() {
        (isTerminal, user, arguments, environment, workingDirectory) = (false, User(), [], [], "/")
        (limits, noNewPrivileges) = ([], false)
    }

    init(_ node: Node) throws(ConfigurationError) {
        isTerminal = try node.optional("terminal", Node.boolean) ?? false
        consoleSize = try node.optional("consoleSize", ConsoleSize.init)
        user = try node.optional("user", User.init) ?? User()
        arguments = try node.optional("args", Node.strings) ?? []
        environment = try node.optional("env", Node.strings) ?? []
        workingDirectory = try node.required("cwd", Node.absolutePath)
        capabilities = try node.optional("capabilities", CapabilitySets.init)
        limits = try node.optional("rlimits", Node.array(ResourceLimit.init)) ?? []
        noNewPrivileges = try node.optional("noNewPrivileges", Node.boolean) ?? false
        apparmorProfile = try node.optional("apparmorProfile", Node.string)
        selinuxLabel = try node.optional("selinuxLabel", Node.string)
        oomScoreAdjustment = try node.optional("oomScoreAdj", Node.integer(-1000...1000))
        scheduler = try node.optional("scheduler", Scheduler.init)
        ioPriority = try node.optional("ioPriority", IOPriority.init)
        execCPUAffinity = try node.optional("execCPUAffinity", ExecCPUAffinity.init)
        for (index, limit) in limits.enumerated() where limits[..<index].contains(where: { $0.name == limit.name }) {
            throw ConfigurationError("'\(limit.name)' is there twice", path: "rlimits[\(index)]")
        }
        for (index, text) in environment.enumerated() where !text.contains("=") || text.hasPrefix("=") {
            throw ConfigurationError("'\(text)' is not of the form NAME=value", path: "env[\(index)]")
        }
        if let first = arguments.first, first.isEmpty { throw ConfigurationError("must not be empty", path: "args[0]") }
    }
}
