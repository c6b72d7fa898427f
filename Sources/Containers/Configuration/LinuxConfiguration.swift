// `linux` of config.json: config-linux.md.

/// What only Linux containers have.
struct LinuxConfiguration {
    /// Namespaces to make or to join; a kind that is not here is the runtime's own.
    var namespaces: [Namespace] = []
    /// The maps of a new user namespace.
    var uidMappings: [IDMapping] = [], gidMappings: [IDMapping] = []
    /// Offsets of a new time namespace.
    var timeOffsets: [TimeOffset] = []
    /// Devices to make besides the default ones.
    var devices: [Device] = []
    /// Network devices to move into the container, with the name each gets there.
    var netDevices: [(host: String, container: String)] = []
    /// Absolute below the mount point of each hierarchy, or relative to the runtime's own cgroup.
    var cgroupsPath: String?
    /// Limits and rules of control groups.
    var resources: Resources?
    /// Cache and memory bandwidth allocation.
    var hasIntelRdt = false
    /// Kernel parameters: names with dots.
    var sysctl: [(key: String, value: String)] = []
    /// The system call filter.
    var seccomp: Seccomp?
    /// How mounts travel between the container's root and others.
    var rootfsPropagation: RootPropagation?
    /// Paths that cannot be read, and that cannot be written.
    var maskedPaths: [String] = [], readonlyPaths: [String] = []
    /// The SELinux label of mounts.
    var mountLabel: String?
    /// The execution domain.
    var personality: Personality?
    /// How memory is spread over nodes.
    var memoryPolicy: MemoryPolicy?

    /// `linux.rootfsPropagation`.
    enum RootPropagation: String, CaseIterable {
        case `private`, shared, slave, unbindable, rprivate, rshared, rslave, runbindable
    }

    /// `linux.personality`: personality(2).
    struct Personality {
        /// The domain's number.
        var domain: UInt64

        init(_ node: Node) throws(ConfigurationError) {
            domain = try node.required("domain", Node.oneOf([("LINUX", 0), ("LINUX32", 8)]))
            if let flags = try node.optional("flags", Node.strings), !flags.isEmpty {
                throw ConfigurationError("'\(flags[0])' is unknown; the specification defines no flags yet", path: "flags[0]")
            }
        }
    }

    init() {}

    init(_ node: Node) throws(ConfigurationError) {
        namespaces = try node.optional("namespaces", Node.array(Namespace.init)) ?? []
        for (index, namespace) in namespaces.enumerated() where namespaces[..<index].contains(where: { $0.kind == namespace.kind }) {
            throw ConfigurationError("the \(namespace.kind.rawValue) namespace is there twice", path: "namespaces[\(index)]")
        }
        uidMappings = try node.optional("uidMappings", Node.array(IDMapping.init)) ?? []
        gidMappings = try node.optional("gidMappings", Node.array(IDMapping.init)) ?? []
        timeOffsets = try node.optional("timeOffsets", Node.dictionary(TimeOffset.Amount.init))?.map(TimeOffset.init) ?? []
        for offset in timeOffsets where offset.clock != "monotonic" && offset.clock != "boottime" {
            throw ConfigurationError("is no clock of a time namespace; there are monotonic, boottime", path: "timeOffsets.\(offset.clock)")
        }
        devices = try node.optional("devices", Node.array(Device.init)) ?? []
        netDevices = try node.optional("netDevices", Node.dictionary { node throws(ConfigurationError) in
            try node.optional("name", Self.interfaceName) ?? nil
        })?.map { ($0.key, $0.value ?? $0.key) } ?? []
        for device in netDevices where !Self.isInterfaceName(device.host) {
            throw ConfigurationError("is no name of a network device", path: "netDevices.\(device.host)")
        }
        cgroupsPath = try node.optional("cgroupsPath", Self.cgroupPath)
        resources = try node.optional("resources", Resources.init)
        if try node.optional("intelRdt", { $0 }) != nil {
            throw ConfigurationError("is not supported: this runtime does not manage resctrl groups", path: "intelRdt")
        }
        sysctl = try node.optional("sysctl", Node.dictionary(Node.string)) ?? []
        seccomp = try node.optional("seccomp", Seccomp.init)
        rootfsPropagation = try node.optional("rootfsPropagation", Self.propagation) ?? nil
        maskedPaths = try node.optional("maskedPaths", Node.array(Node.absolutePath)) ?? []
        readonlyPaths = try node.optional("readonlyPaths", Node.array(Node.absolutePath)) ?? []
        mountLabel = try node.optional("mountLabel", Node.string)
        personality = try node.optional("personality", Personality.init)
        memoryPolicy = try node.optional("memoryPolicy", MemoryPolicy.init)
    }

    private static func propagation(_ node: Node) throws(ConfigurationError) -> RootPropagation? {
        let text = try node.string()
        return text.isEmpty ? nil : try Node.word(RootPropagation.self)(node)
    }

    static func isInterfaceName(_ text: String) -> Bool {
        (1...15).contains(text.utf8.count) && text != "." && text != ".."
            && !text.utf8.contains { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: ":") || $0 <= 0x20 || $0 == 0x7F }
    }

    private static func interfaceName(_ node: Node) throws(ConfigurationError) -> String? {
        let text = try node.string()
        guard text.isEmpty || isInterfaceName(text) else { throw ConfigurationError("'\(text)' is no name of a network device") }
        return text.isEmpty ? nil : text
    }

    private static func cgroupPath(_ node: Node) throws(ConfigurationError) -> String {
        let text = try node.string()
        guard !text.split(separator: "/").contains("..") else { throw ConfigurationError("'\(text)' must not hold '..'") }
        return text
    }
}

/// `linux.devices[]`: mknod(2).
struct Device {
    /// Where it is made.
    var path: String
    /// S_IFCHR, S_IFBLK or S_IFIFO.
    var type: UInt32
    /// The device's number; 0 for a FIFO.
    var major: UInt32, minor: UInt32
    /// Permissions and owner.
    var mode: UInt32, uid: UInt32, gid: UInt32

    init(_ node: Node) throws(ConfigurationError) {
        path = try node.required("path", Node.absolutePath)
        type = try node.required("type", Node.oneOf([("c", 0o020000), ("u", 0o020000), ("b", 0o060000), ("p", 0o010000)]))
        let isNode = type != 0o010000
        let number = Node.integer(0...Int64(UInt32.max))
        let numbers = (try node.optional("major", number), try node.optional("minor", number))
        guard !isNode || numbers.0 != nil else { throw ConfigurationError("is missing", path: "major") }
        guard !isNode || numbers.1 != nil else { throw ConfigurationError("is missing", path: "minor") }
        major = isNode ? UInt32(numbers.0!) : 0
        minor = isNode ? UInt32(numbers.1!) : 0
        mode = try node.optional("fileMode", Node.integer(0...0o177777)).map { $0 & 0o7777 } ?? 0o666
        uid = try node.optional("uid", Node.uint32) ?? 0
        gid = try node.optional("gid", Node.uint32) ?? 0
    }

    init(_ path: String, _ major: UInt32, _ minor: UInt32) {
        (self.path, self.major, self.minor) = (path, major, minor)
        (type, mode, uid, gid) = (0o020000, 0o666, 0, 0)
    }
}

/// `linux.timeOffsets`.
struct TimeOffset {
    /// "monotonic" or "boottime".
    var clock: String
    /// How far it is ahead.
    var amount: Amount

    /// Seconds and nanoseconds.
    struct Amount {
        /// The parts of the offset.
        var seconds: Int64, nanoseconds: UInt32

        init(_ node: Node) throws(ConfigurationError) {
            seconds = try node.optional("secs", Node.int64) ?? 0
            nanoseconds = try node.optional("nanosecs", Node.integer(0...999_999_999)) ?? 0
        }
    }

    init(_ entry: (key: String, value: Amount)) { (clock, amount) = (entry.key, entry.value) }
}

/// `linux.memoryPolicy`: set_mempolicy(2).
struct MemoryPolicy {
    /// Mode and flags, as the kernel takes them.
    var mode: UInt64
    /// The memory nodes.
    var nodes: CPUSet?

    private static let modes: [(String, UInt64)] = [
        ("MPOL_DEFAULT", 0), ("MPOL_PREFERRED", 1), ("MPOL_BIND", 2), ("MPOL_INTERLEAVE", 3), ("MPOL_LOCAL", 4),
        ("MPOL_PREFERRED_MANY", 5), ("MPOL_WEIGHTED_INTERLEAVE", 6),
    ]
    private static let flags: [(String, UInt64)] = [
        ("MPOL_F_NUMA_BALANCING", 1 << 13), ("MPOL_F_RELATIVE_NODES", 1 << 14), ("MPOL_F_STATIC_NODES", 1 << 15),
    ]

    /// The words of both, for `features`.
    static var modeNames: [String] { modes.map(\.0) }
    static var flagNames: [String] { flags.map(\.0) }

    init(_ node: Node) throws(ConfigurationError) {
        mode = try node.required("mode", Node.oneOf(Self.modes))
        mode = try node.optional("flags", Node.array(Node.oneOf(Self.flags)))?.reduce(mode, |) ?? mode
        nodes = try node.optional("nodes") { node throws(ConfigurationError) in
            try node.string().isEmpty ? nil : try CPUSet(node)
        } ?? nil
        let needsNodes = [1, 2, 3, 5, 6].contains(mode & 0xFF)
        guard !needsNodes || nodes != nil || mode & 0xFF == 1 else { throw ConfigurationError("is missing", path: "nodes") }
    }
}
