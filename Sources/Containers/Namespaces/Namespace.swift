// Kinds of namespaces: namespaces(7) and config-linux.md, "Namespaces".

/// A kind of namespace by its name in config.json.
enum NamespaceKind: String, CaseIterable, Sendable {
    case pid, network, ipc, uts, mount, user, cgroup, time

    /// CLONE_NEW… of clone(2).
    var flag: UInt64 {
        switch self {
        case .time: 0x0000_0080
        case .mount: 0x0002_0000
        case .cgroup: 0x0200_0000
        case .uts: 0x0400_0000
        case .ipc: 0x0800_0000
        case .user: 0x1000_0000
        case .pid: 0x2000_0000
        case .network: 0x4000_0000
        }
    }

    /// The file below /proc/PID/ns.
    var file: String {
        switch self {
        case .mount: "mnt"
        case .network: "net"
        default: rawValue
        }
    }
}

/// One entry of `linux.namespaces`.
struct Namespace {
    /// What kind.
    var kind: NamespaceKind
    /// The namespace to join; nil makes a new one.
    var path: String?

    init(_ node: Node) throws(ConfigurationError) {
        kind = try node.required("type", Node.word(NamespaceKind.self))
        let text = try node.optional("path", Node.string) ?? ""
        if text.isEmpty { return }
        guard text.hasPrefix("/") else { throw ConfigurationError("'\(text)' must be an absolute path", path: "path") }
        path = text
    }
}
