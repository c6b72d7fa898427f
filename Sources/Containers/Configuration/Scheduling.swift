// How a process shares processors and disks: config.md, "scheduler", "ioPriority" and CPU lists.

/// `process.scheduler`: sched_setattr(2).
struct Scheduler {
    /// The kernel's number of the policy, and its flags.
    var policy: UInt32, flags: UInt64
    /// For SCHED_OTHER and SCHED_BATCH: -20 to 19.
    var nice: Int32
    /// For SCHED_FIFO and SCHED_RR: 1 to 99.
    var priority: UInt32
    /// For SCHED_DEADLINE, in nanoseconds.
    var runtime: UInt64, deadline: UInt64, period: UInt64

    private static let policies: [(String, UInt32)] = [
        ("SCHED_OTHER", 0), ("SCHED_FIFO", 1), ("SCHED_RR", 2), ("SCHED_BATCH", 3), ("SCHED_ISO", 4), ("SCHED_IDLE", 5),
        ("SCHED_DEADLINE", 6),
    ]
    private static let flagNames: [(String, UInt64)] = [
        ("SCHED_FLAG_RESET_ON_FORK", 1), ("SCHED_FLAG_RECLAIM", 2), ("SCHED_FLAG_DL_OVERRUN", 4),
        ("SCHED_FLAG_KEEP_POLICY", 8), ("SCHED_FLAG_KEEP_PARAMS", 16), ("SCHED_FLAG_UTIL_CLAMP_MIN", 32),
        ("SCHED_FLAG_UTIL_CLAMP_MAX", 64),
    ]

    init(_ node: Node) throws(ConfigurationError) {
        policy = try node.required("policy", Node.oneOf(Self.policies))
        flags = try node.optional("flags", Node.array(Node.oneOf(Self.flagNames)))?.reduce(0, |) ?? 0
        nice = try node.optional("nice", Node.integer(-20...19)) ?? 0
        priority = try node.optional("priority", Node.integer(0...99)) ?? 0
        runtime = try node.optional("runtime", Node.uint64) ?? 0
        deadline = try node.optional("deadline", Node.uint64) ?? 0
        period = try node.optional("period", Node.uint64) ?? 0
    }

    /// struct sched_attr of the kernel, 48 bytes.
    var attributes: [UInt8] {
        var bytes: [UInt8] = []
        func put<Value: FixedWidthInteger>(_ value: Value) {
            withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
        }
        put(UInt32(48)); put(policy); put(flags); put(nice); put(priority)
        put(runtime); put(deadline); put(period)
        return bytes
    }
}

/// `process.ioPriority`: ioprio_set(2).
struct IOPriority {
    /// Class 1 to 3 and a level 0 to 7, as the kernel packs them.
    var value: UInt64

    init(_ node: Node) throws(ConfigurationError) {
        let classes: [(String, UInt64)] = [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)]
        let kind = try node.required("class", Node.oneOf(classes))
        let level = try node.optional("priority", Node.integer(0...UInt64(7))) ?? 0
        value = kind << 13 | level
    }
}

/// A set of processors or memory nodes, written as `0-3,7`.
struct CPUSet: Equatable {
    /// No kernel is built for more.
    static let numberMax = 8191
    /// One bit each, little-endian, as sched_setaffinity takes them.
    private(set) var bytes: [UInt8]

    init(_ node: Node) throws(ConfigurationError) {
        let text = try node.string()
        guard let set = CPUSet(text) else { throw ConfigurationError("'\(text)' is no list such as 0-3,7") }
        self = set
    }

    /// Nil for what is no list, an empty one included.
    init?(_ text: String) {
        bytes = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false)
                .map { Int($0.drop { $0 == " " }.prefix { $0 != " " }) }
            guard ends.count <= 2, let first = ends[0], let last = ends[ends.count - 1],
                  0 <= first, first <= last, last <= Self.numberMax else { return nil }
            for number in first...last {
                while bytes.count <= number / 8 { bytes.append(0) }
                bytes[number / 8] |= 1 << (number % 8)
            }
        }
        while bytes.count % 8 != 0 { bytes.append(0) }
    }
}

extension Node {
    /// One of the words of a table.
    static func oneOf<Value>(_ table: [(String, Value)]) -> Decoder<Value> {
        { node throws(ConfigurationError) in
            let text = try node.string()
            guard let entry = table.first(where: { $0.0 == text }) else {
                throw ConfigurationError("'\(text)' is unknown; there are \(table.map(\.0).joined(separator: ", "))")
            }
            return entry.1
        }
    }
}
