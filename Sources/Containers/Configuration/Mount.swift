// One entry of `mounts`: config.md, "Mounts".

/// A mount as configured; `MountOptions` says what its options mean.
struct Mount {
    /// The target, a path in the container. Runtimes have always taken relative ones as relative to `/`.
    var destination: String
    /// The file system's type, `bind`, or nil for a bind that its options announce.
    var type: String?
    /// The device or the directory; a bind's source may be relative to the bundle.
    var source: String?
    /// Options as written.
    var options: [String]
    /// The maps of an idmapped mount.
    var uidMappings: [IDMapping], gidMappings: [IDMapping]

    init(_ node: Node) throws(ConfigurationError) {
        destination = try node.required("destination", Node.name)
        type = try node.optional("type", Node.string)
        source = try node.optional("source", Node.string)
        options = try node.optional("options", Node.strings) ?? []
        uidMappings = try node.optional("uidMappings", Node.array(IDMapping.init)) ?? []
        gidMappings = try node.optional("gidMappings", Node.array(IDMapping.init)) ?? []
        guard uidMappings.isEmpty == gidMappings.isEmpty else {
            throw ConfigurationError("must be given together with \(uidMappings.isEmpty ? "uidMappings" : "gidMappings")",
                path: uidMappings.isEmpty ? "gidMappings" : "uidMappings")
        }
    }

    init(destination: String, type: String?, source: String?, options: [String]) {
        self.destination = destination
        self.type = type
        self.source = source
        self.options = options
        uidMappings = []
        gidMappings = []
    }
}

/// A range of user or group ids: config-linux.md, "User namespace mappings".
struct IDMapping: Equatable, Sendable {
    /// The first id inside and outside, and how many there are.
    var containerID: UInt32, hostID: UInt32, size: UInt32

    init(_ node: Node) throws(ConfigurationError) {
        containerID = try node.required("containerID", Node.uint32)
        hostID = try node.required("hostID", Node.uint32)
        size = try node.required("size", Node.integer(1...UInt32.max))
        guard !containerID.addingReportingOverflow(size - 1).overflow, !hostID.addingReportingOverflow(size - 1).overflow
        else { throw ConfigurationError("runs over the largest id") }
    }

    /// A range by its numbers.
    init(containerID: UInt32, hostID: UInt32, size: UInt32) {
        self.containerID = containerID
        self.hostID = hostID
        self.size = size
    }

    /// The line of /proc/PID/uid_map.
    var line: String { "\(containerID) \(hostID) \(size)\n" }
}
