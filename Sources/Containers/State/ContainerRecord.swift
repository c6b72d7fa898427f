// What is known of a container between commands: state.json in its state directory.

import Glibc
import JSON

/// The life of a container: runtime.md, "State".
enum ContainerStatus: String, Sendable {
    case creating, created, running, paused, stopped
}

/// state.json. Written before anything is made that has to be removed again, so that whoever comes after a crash knows it.
struct ContainerRecord: Equatable {
    var id: String
    var ociVersion: String
    /// The bundle's and the root file system's directory, absolute.
    var bundle: String, rootfs: String
    var annotations: [String: String]
    /// The first process; 0 before there is one.
    var pid: Int32 = 0
    /// When it started, in clock ticks since boot: a number that is used again belongs to another process.
    var startTime: UInt64 = 0
    /// When the container was made: RFC 3339, UTC.
    var created: String
    /// The user who made it.
    var owner: UInt32
    /// The cgroups, one for each hierarchy.
    var cgroups: [String] = []
    /// Directories above those that were not there before.
    var cgroupParents: [String] = []
    /// Whether set-up has ended well.
    var isCreated = false
    /// How many mounts lay on the root file system before, for a container that mounts in the runtime's mount namespace.
    var hostMountDepth: Int?
    /// Whether its maker was not root.
    var isRootless = false

    /// As state.json has it.
    var json: JSONValue {
        .members([
            ("id", .string(id)), ("ociVersion", .string(ociVersion)), ("bundle", .string(bundle)),
            ("rootfs", .string(rootfs)), ("annotations", .strings(annotations)), ("pid", .integer(pid)),
            ("startTime", .integer(startTime)), ("created", .string(created)), ("owner", .integer(owner)),
            ("cgroups", .array(cgroups.map(JSONValue.string))),
            ("cgroupParents", .array(cgroupParents.map(JSONValue.string))), ("isCreated", .boolean(isCreated)),
            ("isRootless", .boolean(isRootless)), ("hostMountDepth", hostMountDepth.map { .integer($0) }),
        ])
    }

    init(
        id: String, ociVersion: String, bundle: String, rootfs: String, annotations: [String: String], created: String, owner: UInt32
    ) {
        (self.id, self.ociVersion, self.bundle, self.rootfs) = (id, ociVersion, bundle, rootfs)
        (self.annotations, self.created, self.owner) = (annotations, created, owner)
    }

    /// - Throws: `ConfigurationError` for a document of another shape.
    init(document: [UInt8]) throws {
        let node = Node(try JSONReader.read(document))
        id = try node.required("id", Node.string)
        ociVersion = try node.required("ociVersion", Node.string)
        bundle = try node.required("bundle", Node.string)
        rootfs = try node.required("rootfs", Node.string)
        annotations = Dictionary(try node.required("annotations", Node.dictionary(Node.string)).map { ($0.key, $0.value) }) { $1 }
        pid = try node.required("pid", Node.integer(0...Int32.max))
        startTime = try node.required("startTime", Node.uint64)
        created = try node.required("created", Node.string)
        owner = try node.required("owner", Node.uint32)
        cgroups = try node.required("cgroups", Node.strings)
        cgroupParents = try node.required("cgroupParents", Node.strings)
        isCreated = try node.required("isCreated", Node.boolean)
        isRootless = try node.required("isRootless", Node.boolean)
        hostMountDepth = try node.optional("hostMountDepth", Node.integer(0...Int.max))
    }

    /// The state as runtime.md has it, for `state` and for hooks.
    func ociState(_ status: ContainerStatus, pid: Int32? = nil) -> JSONValue {
        // The specification knows no pause; other runtimes report it all the same.
        let number = pid ?? self.pid
        return .members([
            ("ociVersion", .string(ociVersion)), ("id", .string(id)),
            ("status", .string(status.rawValue)),
            ("pid", status == .stopped ? .unsigned(0) : .integer(number)),
            ("bundle", .string(bundle)), ("rootfs", .string(rootfs)), ("created", .string(created)),
            ("annotations", annotations.isEmpty ? nil : .strings(annotations)),
        ])
    }
}

enum Processes {
    /// When a process started, in clock ticks since boot: field 22 of /proc/PID/stat. Nil for none, and for a zombie.
    static func startTime(of pid: Int32) -> UInt64? {
        guard pid > 0, let text = HostFiles.line("/proc/\(pid)/stat"), let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[end...].split(separator: " ")
        guard fields.count > 20, fields[1] != "Z", fields[1] != "X" else { return nil }
        return UInt64(fields[20])
    }

    /// The time now: RFC 3339 in UTC with nanoseconds.
    static func timestamp() -> String {
        var now = timespec(), parts = tm()
        clock_gettime(CLOCK_REALTIME, &now)
        gmtime_r(&now.tv_sec, &parts)
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let fraction = String(now.tv_nsec)
        let zeros = String(repeating: "0", count: max(0, 9 - fraction.utf8.count))
        return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))T\(two(parts.tm_hour)):\(two(parts.tm_min)):"
            + "\(two(parts.tm_sec)).\(zeros)\(fraction)Z"
    }
}
