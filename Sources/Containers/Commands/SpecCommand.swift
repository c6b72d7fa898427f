// `spec`: a configuration to begin with.

import Glibc
import Host
import JSON

struct SpecCommand: RuntimeCommand {
    static let verb = "spec"
    static let usage = "[OPTIONS]"
    static let abstract = "writes a config.json to begin with"
    private final class Values { var bundle = ".", isRootless = false }
    private let values = Values()
    var options: [Arguments.Option] {
        [
            .init("--bundle", "-b", value: "DIR", "where it is written") { values.bundle = $0 },
            .init(flag: "--rootless", help: "for a user without privilege") { values.isRootless = true },
        ]
    }

    func run(_ line: inout Arguments, _ runtime: OCIRuntime) throws -> Int32 {
        try line.end()
        let path = values.bundle + "/config.json"
        let file: Descriptor
        do {
            file = try HostFiles.open(path, O_WRONLY | O_CREAT | O_EXCL, mode: 0o644)
        } catch let error as HostError where error.errno == EEXIST {
            throw RuntimeError("\(path) exists already")
        }
        let text = Self.configuration(isRootless: values.isRootless).text(indent: 2) + "\n"
        try HostFiles.writeAll(Array(text.utf8), to: file, name: path)
        return 0
    }

    /// A shell in a read-only root file system with its own namespaces.
    static func configuration(isRootless: Bool) -> JSONValue {
        func strings(_ texts: String...) -> JSONValue { .array(texts.map(JSONValue.string)) }
        let capabilities = strings("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")
        func mount(_ destination: String, _ type: String, _ source: String, _ options: [String]) -> JSONValue {
            .members([
                ("destination", .string(destination)), ("type", .string(type)), ("source", .string(source)),
                ("options", options.isEmpty ? nil : .array(options.map(JSONValue.string))),
            ])
        }
        var mounts = [
            mount("/proc", "proc", "proc", []),
            mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", "devpts",
                ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] + (isRootless ? [] : ["gid=5"])),
            mount("/dev/shm", "tmpfs", "shm", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
        ]
        mounts.append(isRootless ? mount("/sys", "none", "/sys", ["rbind", "nosuid", "noexec", "nodev", "ro"])
            : mount("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", "ro"]))
        if !isRootless {
            mounts.append(mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", "ro"]))
        }
        let kinds = ["pid", "ipc", "uts", "mount", "cgroup"] + (isRootless ? ["user"] : ["network"])
        func map(_ own: UInt32) -> JSONValue? {
            guard isRootless else { return nil }
            return .array([.members([("containerID", .unsigned(0)), ("hostID", .integer(own)), ("size", .unsigned(1))])])
        }
        let deny = JSONValue.members([("allow", .boolean(false)), ("access", .string("rwm"))])
        return .members([
            ("ociVersion", .string(OCIRuntime.specification)),
            ("process", .members([
                ("terminal", .boolean(true)), ("user", .members([("uid", .unsigned(0)), ("gid", .unsigned(0))])),
                ("args", strings("sh")),
                ("env", strings("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm")),
                ("cwd", .string("/")),
                ("capabilities", .members([("bounding", capabilities), ("effective", capabilities), ("permitted", capabilities)])),
                ("rlimits", .array([.members([
                    ("type", .string("RLIMIT_NOFILE")), ("hard", .unsigned(1024)), ("soft", .unsigned(1024)),
                ])])),
                ("noNewPrivileges", .boolean(true)),
            ])),
            ("root", .members([("path", .string("rootfs")), ("readonly", .boolean(true))])),
            ("hostname", .string("guise")),
            ("mounts", .array(mounts)),
            ("linux", .members([
                ("uidMappings", map(geteuid())), ("gidMappings", map(getegid())),
                ("resources", isRootless ? nil : .members([("devices", .array([deny]))])),
                ("namespaces", .array(kinds.map { .members([("type", .string($0))]) })),
                ("maskedPaths", strings(
                    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"
                )),
                ("readonlyPaths", strings("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")),
            ])),
        ])
    }
}
