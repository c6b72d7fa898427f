// The annotation `org.guise.landlock`: what the container's processes may do by landlock(7), for which the specification has no
// place. Its value is a JSON document of its own; docs/containers.md shows one. Rights that are handled are denied unless a rule
// allows them, as in the kernel. Rights have the names of linux/landlock.h in lower case.

import CContainerInit
import JSON

/// A landlock ruleset.
struct Landlock {
    /// The annotation's name.
    static let annotation = "org.guise.landlock"

    /// A right: its bit, and the first version of landlock that knows it.
    struct Right {
        var name: String, bit: UInt64, version: Int32

        init(_ name: String, _ bit: UInt64, _ version: Int32) { (self.name, self.bit, self.version) = (name, bit, version) }
    }

    static let fileRights = [
        Right("execute", 0, 1), Right("write_file", 1, 1), Right("read_file", 2, 1), Right("read_dir", 3, 1), Right("remove_dir", 4, 1),
        Right("remove_file", 5, 1), Right("make_char", 6, 1), Right("make_dir", 7, 1), Right("make_reg", 8, 1), Right("make_sock", 9, 1),
        Right("make_fifo", 10, 1), Right("make_block", 11, 1), Right("make_sym", 12, 1), Right("refer", 13, 2), Right("truncate", 14, 3),
        Right("ioctl_dev", 15, 5),
    ]
    static let portRights = [Right("bind_tcp", 0, 4), Right("connect_tcp", 1, 4)]
    static let scopes = [Right("abstract_unix_socket", 0, 6), Right("signal", 1, 6)]

    /// What is denied unless a rule allows it, and what ends at the container.
    var files: UInt64 = 0, ports: UInt64 = 0, scoped: UInt64 = 0
    /// Files and directories with what is allowed there and below, and each one's place in the document.
    var pathRules: [(path: String, allowed: UInt64, place: String)] = []
    var portRules: [(port: UInt16, allowed: UInt64, place: String)] = []

    /// - Throws: `ConfigurationError` with the place in the annotation's document, also for a right that the kernel does not know.
    init(annotation text: String, version: Int32) throws(ConfigurationError) {
        let value: JSONValue
        do {
            value = try JSONReader.read(Array(text.utf8))
        } catch {
            throw ConfigurationError(error.description)
        }
        guard version > 0 else { throw ConfigurationError("this kernel has no landlock, or it is not active") }
        let node = Node(value)
        try node.refuseOthers(than: ["files", "ports", "scoped"])
        if let found = try node.optional("files", { node throws(ConfigurationError) in
            try Self.section(node, Self.fileRights, version, "paths", Node.absolutePath)
        }) {
            files = found.handled
            pathRules = found.rules.map { ($0.object, $0.allowed, "files.\($0.place)") }
        }
        if let found = try node.optional("ports", { node throws(ConfigurationError) in
            try Self.section(node, Self.portRights, version, "ports", Node.uint16)
        }) {
            ports = found.handled
            portRules = found.rules.map { ($0.object, $0.allowed, "ports.\($0.place)") }
        }
        scoped = try node.optional("scoped", Self.rights(Self.scopes, version)) ?? 0
        guard files | ports | scoped != 0 else { throw ConfigurationError("handles no right and so denies nothing") }
    }

    private typealias Section<Object> = (handled: UInt64, rules: [(object: Object, allowed: UInt64, place: String)])

    private static func section<Object>(
        _ node: Node, _ known: [Right], _ version: Int32, _ objects: String, _ decode: @escaping Node.Decoder<Object>
    ) throws(ConfigurationError) -> Section<Object> {
        try node.refuseOthers(than: ["handled", "rules"])
        let handled = try node.required("handled", rights(known, version))
        typealias Rule = (allowed: UInt64, objects: [Object])
        let rule: Node.Decoder<Rule> = { node throws(ConfigurationError) in
            try node.refuseOthers(than: [objects, "allowed"])
            let allowed = try node.required("allowed", rights(known, version))
            guard allowed & ~handled == 0 else { throw ConfigurationError("must be rights that are handled", path: "allowed") }
            guard allowed != 0 else { throw ConfigurationError("must not be empty", path: "allowed") }
            return (allowed, try node.required(objects, Node.array(decode)))
        }
        var list: [(object: Object, allowed: UInt64, place: String)] = []
        let rules: [Rule] = try node.optional("rules", Node.array(rule)) ?? []
        for (index, rule) in rules.enumerated() {
            for (inner, object) in rule.objects.enumerated() {
                list.append((object, rule.allowed, "rules[\(index)].\(objects)[\(inner)]"))
            }
        }
        return (handled, list)
    }

    private static func rights(_ known: [Right], _ version: Int32) -> Node.Decoder<UInt64> {
        let one: Node.Decoder<UInt64> = { node throws(ConfigurationError) in
            let right = try Node.oneOf(known.map { ($0.name, $0) })(node)
            guard right.version <= version else {
                throw ConfigurationError("'\(right.name)' needs version \(right.version) of landlock; this kernel has \(version)")
            }
            return 1 << right.bit
        }
        return { node throws(ConfigurationError) in try Node.array(one)(node).reduce(0, |) }
    }

    /// The steps that make the ruleset. Paths are the container's, opened while the process still has its privileges.
    func addRuleset(to plan: inout SetupPlan) {
        plan.add(guise_op_landlock_ruleset, Self.label, a: files, b: ports, c: scoped)
        for rule in pathRules { plan.add(guise_op_landlock_path, "\(Self.label): \(rule.place)", a: rule.allowed, text: rule.path) }
        for rule in portRules { plan.add(guise_op_landlock_port, "\(Self.label): \(rule.place)", a: rule.allowed, b: UInt64(rule.port)) }
    }

    /// The step that obeys it.
    func addRestriction(to plan: inout SetupPlan) { plan.add(guise_op_landlock_restrict, Self.label) }

    fileprivate static var label: String { "annotations.\(annotation)" }
}

extension Configuration {
    /// The ruleset for a process of the container; every process gets it.
    func landlock(for process: ProcessConfiguration) throws(ConfigurationError) -> Landlock? {
        guard let text = annotations.first(where: { $0.key == Landlock.annotation })?.value else { return nil }
        guard process.noNewPrivileges else {
            throw ConfigurationError("needs process.noNewPrivileges", path: Landlock.label)
        }
        do throws(ConfigurationError) {
            return try Landlock(annotation: text, version: guise_landlock_version())
        } catch {
            throw ConfigurationError("\(error.path.isEmpty ? "" : error.path + ": ")\(error.reason)", path: Landlock.label)
        }
    }
}
