// `update`: changes the limits of a container. Values on the command line are those of linux.resources.

import Glibc
import Host
import JSON

struct UpdateCommand: RuntimeCommand {
    static let verb = "update"
    static let usage = "[OPTIONS] ID"
    static let abstract = "changes the resource limits of a container"

    private final class Values {
        var file: String?
        var resources = Resources()
    }
    private let values = Values()

    var options: [Arguments.Option] {
        func integer<Value: FixedWidthInteger>(
            _ name: String, _ help: String, _ path: WritableKeyPath<Resources, Value?>
        ) -> Arguments.Option {
            .init(name, value: "N", help) { values.resources[keyPath: path] = try number($0, name) }
        }
        func bytes(_ name: String, _ help: String, _ path: WritableKeyPath<Resources, Int64?>) -> Arguments.Option {
            .init(name, value: "BYTES", help) { values.resources[keyPath: path] = try Self.size($0, name) }
        }
        func list(_ name: String, _ help: String, _ path: WritableKeyPath<Resources, String?>) -> Arguments.Option {
            .init(name, value: "LIST", help) {
                guard CPUSet($0) != nil else { throw RuntimeError("\(name) '\($0)' is no list such as 0-3,7") }
                values.resources[keyPath: path] = $0
            }
        }
        return [
            .init("--resources", "-r", value: "FILE", "linux.resources as JSON; - is standard input") { values.file = $0 },
            bytes("--memory", "memory limit", \.memory.limit),
            bytes("--memory-reservation", "memory reservation", \.memory.reservation),
            bytes("--memory-swap", "limit of memory and swap together", \.memory.swap),
            bytes("--kernel-memory", "kernel memory limit", \.memory.kernel),
            bytes("--kernel-memory-tcp", "kernel memory limit of TCP buffers", \.memory.kernelTCP),
            integer("--cpu-period", "microseconds", \.cpu.period), integer("--cpu-quota", "microseconds", \.cpu.quota),
            integer("--cpu-burst", "microseconds", \.cpu.burst), integer("--cpu-share", "weight", \.cpu.shares),
            integer("--cpu-rt-period", "microseconds", \.cpu.realtimePeriod),
            integer("--cpu-rt-runtime", "microseconds", \.cpu.realtimeRuntime),
            integer("--cpu-idle", "0 or 1", \.cpu.idle),
            list("--cpuset-cpus", "processors", \.cpu.cpus), list("--cpuset-mems", "memory nodes", \.cpu.mems),
            integer("--blkio-weight", "10 to 1000", \.blockIO.weight),
            integer("--pids-limit", "tasks; -1 is no limit", \.pidsLimit),
        ]
    }

    func run(_ line: inout Arguments, _ runtime: OCIRuntime) throws -> Int32 {
        let id = try line.next("The container's id")
        try line.end()
        let directory = try runtime.store.open(id)
        guard let record = try directory.record() else { throw RuntimeError("Container '\(id)' was never created to the end; delete it") }
        guard directory.status(of: record) != .stopped else { throw RuntimeError("Container '\(id)' cannot be updated: it is stopped") }
        var resources = values.resources
        if let file = values.file {
            guard !resources.hasLimits else { throw RuntimeError("--resources and single limits exclude each other") }
            let bytes = file == "-" ? try HostFiles.read(Descriptor(dup(0)), name: "standard input", sizeMax: Configuration.sizeMax)
                : try HostFiles.read(file, sizeMax: Configuration.sizeMax)
            resources = try Resources(Node(try JSONReader.read(bytes)))
        }
        let cgroup = ContainerCgroup(layout: CgroupLayout.ofHost(), directories: record.cgroups)
        try cgroup.applyDevices(resources.devices, isPrivileged: geteuid() == 0)
        try cgroup.apply(resources)
        return 0
    }

    /// A number of bytes with K, M, G or T; -1 is no limit.
    static func size(_ text: String, _ name: String) throws -> Int64 {
        var digits = text[...]
        var shift = 0
        if let last = text.uppercased().last, let index = "KMGT".firstIndex(of: last) {
            shift = 10 * ("KMGT".distance(from: "KMGT".startIndex, to: index) + 1)
            digits = digits.dropLast()
        }
        guard let value = Int64(digits), value >= -1, value <= Int64.max >> shift else {
            throw RuntimeError("\(name) needs a number of bytes, not '\(text)'")
        }
        return value < 0 ? value : value << shift
    }
}
