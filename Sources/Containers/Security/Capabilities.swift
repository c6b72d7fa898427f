// Capabilities: capabilities(7) and config.md, "capabilities".

/// A set of capabilities, one bit each.
struct CapabilitySet: OptionSet, Sendable {
    let rawValue: UInt64

    init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The names, by number.
    static let names: [String] = [
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
        "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
        "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
        "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
        "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
        "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
        "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
    ]

    /// The names of the members.
    var members: [String] { Self.names.indices.filter { rawValue >> $0 & 1 != 0 }.map { Self.names[$0] } }
}

/// The five sets of `process.capabilities`.
struct CapabilitySets: Sendable {
    /// As in config.json.
    var bounding: CapabilitySet = [], effective: CapabilitySet = [], inheritable: CapabilitySet = []
    var permitted: CapabilitySet = [], ambient: CapabilitySet = []
    /// Names that are no capability: a warning, not an error (config.md).
    var unknown: [String] = []

    /// No capability at all.
    init() {}

    init(_ node: Node) throws(ConfigurationError) {
        var strangers: [String] = []
        func set(_ key: String) throws(ConfigurationError) -> CapabilitySet {
            var bits: UInt64 = 0
            for name in try node.optional(key, Node.strings) ?? [] {
                if let number = CapabilitySet.names.firstIndex(of: name) {
                    bits |= 1 << UInt64(number)
                } else if !strangers.contains(name) {
                    strangers.append(name)
                }
            }
            return CapabilitySet(rawValue: bits)
        }
        bounding = try set("bounding")
        effective = try set("effective")
        inheritable = try set("inheritable")
        permitted = try set("permitted")
        ambient = try set("ambient")
        unknown = strangers
    }

    /// The sets that a process with `held` capabilities can have, and the names that it cannot.
    /// Of the bounding set, what lies outside is only not dropped; the others would make capset(2) fail.
    func granted(by held: CapabilitySet) -> (sets: CapabilitySets, refused: [String]) {
        var sets = self
        let wanted = bounding.union(effective).union(inheritable).union(permitted).union(ambient)
        sets.bounding.formIntersection(held)
        sets.permitted.formIntersection(held)
        sets.effective.formIntersection(sets.permitted)
        sets.inheritable.formIntersection(held)
        // The kernel demands that an ambient capability be permitted and inheritable.
        sets.ambient.formIntersection(sets.permitted.intersection(sets.inheritable))
        return (sets, wanted.subtracting(held).members)
    }
}
