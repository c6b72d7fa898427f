// `hooks` of config.json: config.md, "POSIX-platform Hooks".

/// Programs to run at the six points.
struct Hooks {
    /// In the runtime's namespaces, before the root changes. `prestart` is deprecated and comes first.
    var prestart: [Hook] = [], createRuntime: [Hook] = []
    /// In the container's namespaces: before the root changes, and before its program starts.
    var createContainer: [Hook] = [], startContainer: [Hook] = []
    /// In the runtime's namespaces: after the program has started, and after the container is deleted.
    var poststart: [Hook] = [], poststop: [Hook] = []

    init() {}

    init(_ node: Node) throws(ConfigurationError) {
        prestart = try node.optional("prestart", Node.array(Hook.init)) ?? []
        createRuntime = try node.optional("createRuntime", Node.array(Hook.init)) ?? []
        createContainer = try node.optional("createContainer", Node.array(Hook.init)) ?? []
        startContainer = try node.optional("startContainer", Node.array(Hook.init)) ?? []
        poststart = try node.optional("poststart", Node.array(Hook.init)) ?? []
        poststop = try node.optional("poststop", Node.array(Hook.init)) ?? []
    }
}

/// One program.
struct Hook {
    /// The program.
    var path: String
    /// argv with argv[0], and the environment.
    var arguments: [String], environment: [String]
    /// Seconds until it is killed; 0 is no limit.
    var timeoutSeconds: UInt32

    init(_ node: Node) throws(ConfigurationError) {
        path = try node.required("path", Node.absolutePath)
        arguments = try node.optional("args", Node.strings) ?? []
        if arguments.isEmpty { arguments = [path] }
        environment = try node.optional("env", Node.strings) ?? []
        timeoutSeconds = try node.optional("timeout", Node.integer(1...UInt32(Int32.max))) ?? 0
    }
}
