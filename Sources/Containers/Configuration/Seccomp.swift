// `linux.seccomp` of config.json: config-linux.md, "Seccomp". `SeccompFilter` makes the program.

/// The filter as configured.
struct Seccomp {
    /// What happens to a call that no rule names.
    var defaultAction: Action, defaultErrno: UInt32?
    /// Names as libseccomp has them, with SCMP_ARCH_ before.
    var architectures: [String]
    /// SECCOMP_FILTER_FLAG_… bits.
    var flags: UInt64
    /// The socket that receives the listener, and what is sent along.
    var listenerPath: String?, listenerMetadata: String
    /// The rules.
    var rules: [Rule]

    /// What the kernel does: seccomp(2).
    enum Action: String, CaseIterable {
        case kill = "SCMP_ACT_KILL", killProcess = "SCMP_ACT_KILL_PROCESS", killThread = "SCMP_ACT_KILL_THREAD"
        case trap = "SCMP_ACT_TRAP", errno = "SCMP_ACT_ERRNO", trace = "SCMP_ACT_TRACE", allow = "SCMP_ACT_ALLOW"
        case log = "SCMP_ACT_LOG", notify = "SCMP_ACT_NOTIFY"

        /// SECCOMP_RET_… with its 16 bits of data.
        func value(errno: UInt32?) -> UInt32 {
            switch self {
            case .kill, .killThread: 0x0000_0000
            case .killProcess: 0x8000_0000
            case .trap: 0x0003_0000
            case .errno: 0x0005_0000 | (errno ?? 1) & 0xFFFF
            case .trace: 0x7FF0_0000 | (errno ?? 1) & 0xFFFF
            case .notify: 0x7FC0_0000
            case .log: 0x7FFC_0000
            case .allow: 0x7FFF_0000
            }
        }
    }

    /// One entry of `syscalls`.
    struct Rule {
        /// The calls, what happens, and under which conditions, all of which must hold.
        var names: [String], action: Action, errno: UInt32?, conditions: [Condition]

        init(_ node: Node) throws(ConfigurationError) {
            names = try node.required("names", Node.array(Node.name))
            guard !names.isEmpty else { throw ConfigurationError("must not be empty", path: "names") }
            action = try node.required("action", Node.word(Action.self))
            errno = try node.optional("errnoRet", Node.uint32)
            conditions = try node.optional("args", Node.array(Condition.init)) ?? []
        }
    }

    /// A comparison of one argument.
    struct Condition {
        /// Argument 0 to 5, the values and the operator's number in libseccomp.
        var index: UInt32, value: UInt64, valueTwo: UInt64, comparison: UInt32

        init(_ node: Node) throws(ConfigurationError) {
            index = try node.required("index", Node.integer(0...5))
            value = try node.required("value", Node.uint64)
            valueTwo = try node.optional("valueTwo", Node.uint64) ?? 0
            comparison = try node.required("op", Node.oneOf([
                ("SCMP_CMP_NE", 1), ("SCMP_CMP_LT", 2), ("SCMP_CMP_LE", 3), ("SCMP_CMP_EQ", 4), ("SCMP_CMP_GE", 5),
                ("SCMP_CMP_GT", 6), ("SCMP_CMP_MASKED_EQ", 7),
            ]))
        }
    }

    init(_ node: Node) throws(ConfigurationError) {
        defaultAction = try node.required("defaultAction", Node.word(Action.self))
        defaultErrno = try node.optional("defaultErrnoRet", Node.uint32)
        architectures = try node.optional("architectures", Node.strings) ?? []
        for (index, name) in architectures.enumerated() where !name.hasPrefix("SCMP_ARCH_") {
            throw ConfigurationError("'\(name)' is no architecture", path: "architectures[\(index)]")
        }
        flags = try node.optional("flags", Node.array(Node.oneOf([
            ("SECCOMP_FILTER_FLAG_TSYNC", 0), ("SECCOMP_FILTER_FLAG_LOG", 2), ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", 4),
            ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 32),
        ])))?.reduce(0, |) ?? 0
        listenerPath = try node.optional("listenerPath", Node.string).flatMap { $0.isEmpty ? nil : $0 }
        listenerMetadata = try node.optional("listenerMetadata", Node.string) ?? ""
        rules = try node.optional("syscalls", Node.array(Rule.init)) ?? []
        let notifies = defaultAction == .notify || rules.contains { $0.action == .notify }
        guard defaultAction != .notify else {
            throw ConfigurationError("cannot be SCMP_ACT_NOTIFY: nothing could start the listener", path: "defaultAction")
        }
        guard !notifies || listenerPath != nil else {
            throw ConfigurationError("is missing: a rule has SCMP_ACT_NOTIFY", path: "listenerPath")
        }
        // A TSYNC of the only thread there is does nothing.
        guard listenerPath != nil || listenerMetadata.isEmpty else {
            throw ConfigurationError("needs listenerPath", path: "listenerMetadata")
        }
        for (index, rule) in rules.enumerated() where rule.action == .notify && rule.names.contains("write") {
            throw ConfigurationError("'write' cannot be SCMP_ACT_NOTIFY", path: "syscalls[\(index)].names")
        }
    }
}
