// The container's configuration, config.json of a bundle: OCI runtime specification 1.0.0 to 1.3.0, config.md and
// config-linux.md. Sections of other platforms are refused by name.

import JSON

/// config.json as the runtime uses it.
struct Configuration {
    /// The largest document that is read: far above what any engine writes.
    static let sizeMax = 16 << 20

    /// The specification's version that the document claims.
    var ociVersion: String
    /// The container's root file system.
    var root: Root
    /// What is mounted, in this order.
    var mounts: [Mount]
    /// The container's process; `create` does not need it, `start` does.
    var process: ProcessConfiguration?
    /// The names of the UTS namespace.
    var hostname: String?, domainname: String?
    /// Programs to run at points of the life cycle.
    var hooks: Hooks
    /// Arbitrary metadata, ordered as written.
    var annotations: [(key: String, value: String)]
    /// What only Linux has.
    var linux: LinuxConfiguration

    /// `root` of config.json.
    struct Root {
        /// The directory, absolute or relative to the bundle.
        var path: String
        /// Whether the container sees its root file system read-only.
        var isReadOnly: Bool
    }

    /// Reads a document.
    /// - Throws: `ConfigurationError`, with the JSON path of what is wrong or not supported.
    init(document: [UInt8]) throws(ConfigurationError) {
        guard document.count <= Self.sizeMax else {
            throw ConfigurationError("is larger than \(Self.sizeMax >> 20) MiB")
        }
        let value: JSONValue
        do {
            value = try JSONReader.read(document)
        } catch {
            throw ConfigurationError(error.description)
        }
        try self.init(Node(value))
    }

    init(_ node: Node) throws(ConfigurationError) {
        ociVersion = try node.required("ociVersion", Self.version)
        for platform in ["solaris", "windows", "vm", "zos", "freebsd"] {
            guard try node.optional(platform, { $0 }) == nil else {
                throw ConfigurationError("is of another platform; this runtime starts Linux containers", path: platform)
            }
        }
        root = try node.required("root") { node throws(ConfigurationError) in
            Root(
                path: try node.required("path", Node.name),
                isReadOnly: try node.optional("readonly", Node.boolean) ?? false
            )
        }
        mounts = try node.optional("mounts", Node.array(Mount.init)) ?? []
        process = try node.optional("process", ProcessConfiguration.init)
        hostname = try node.optional("hostname", Self.nodeName)
        domainname = try node.optional("domainname", Self.nodeName)
        hooks = try node.optional("hooks", Hooks.init) ?? Hooks()
        annotations = try node.optional("annotations", Node.dictionary(Node.string)) ?? []
        guard !annotations.contains(where: { $0.key.isEmpty }) else {
            throw ConfigurationError("must not have an empty name", path: "annotations")
        }
        linux = try node.optional("linux", LinuxConfiguration.init) ?? LinuxConfiguration()
        try checkTogether()
    }

    /// A name of the UTS namespace: at most 64 bytes (utsname).
    private static func nodeName(_ node: Node) throws(ConfigurationError) -> String {
        let text = try node.string()
        guard text.utf8.count <= 64 else { throw ConfigurationError("must have no more than 64 bytes") }
        return text
    }

    /// Versions 1.0 to 1.3 with any patch level and pre-release.
    private static func version(_ node: Node) throws(ConfigurationError) -> String {
        let text = try node.string()
        let core = text.split(separator: "-", maxSplits: 1)[...].first?.split(separator: "+")[...].first ?? ""
        let numbers = core.split(separator: ".", omittingEmptySubsequences: false).map { UInt32($0) }
        guard numbers.count == 3, numbers[0] == 1, let minor = numbers[1], numbers[2] != nil else {
            throw ConfigurationError("'\(text)' is no version that is supported; there are 1.0.0 to 1.3.0")
        }
        guard minor <= 3 else {
            throw ConfigurationError("'\(text)' is newer than 1.3.0, the latest version that is supported")
        }
        return text
    }

    /// What no member can tell alone.
    private func checkTogether() throws(ConfigurationError) {
        func hasNew(_ kind: NamespaceKind) -> Bool { linux.namespaces.contains { $0.kind == kind && $0.path == nil } }
        func has(_ kind: NamespaceKind) -> Bool { linux.namespaces.contains { $0.kind == kind } }
        func demand(_ kind: NamespaceKind, _ isGiven: Bool, _ path: String) throws(ConfigurationError) {
            guard !isGiven || has(kind) else {
                throw ConfigurationError("needs a \(kind.rawValue) namespace in linux.namespaces", path: path)
            }
        }
        try demand(.uts, !(hostname ?? "").isEmpty, "hostname")
        try demand(.uts, !(domainname ?? "").isEmpty, "domainname")
        // Without a mount namespace mounts are the host's until `delete`; these two would stay visible outside.
        try demand(.mount, linux.rootfsPropagation != nil, "linux.rootfsPropagation")
        try demand(.network, !linux.netDevices.isEmpty, "linux.netDevices")
        try demand(.time, !linux.timeOffsets.isEmpty, "linux.timeOffsets")
        if hasNew(.user) {
            guard !linux.uidMappings.isEmpty else { throw ConfigurationError("are missing for the new user namespace", path: "linux.uidMappings") }
            guard !linux.gidMappings.isEmpty else { throw ConfigurationError("are missing for the new user namespace", path: "linux.gidMappings") }
        } else {
            guard linux.uidMappings.isEmpty || has(.user) else {
                throw ConfigurationError("need a user namespace in linux.namespaces", path: "linux.uidMappings")
            }
        }
        if !linux.timeOffsets.isEmpty, !hasNew(.time) {
            throw ConfigurationError("cannot change in a time namespace that is joined", path: "linux.timeOffsets")
        }
    }
}
