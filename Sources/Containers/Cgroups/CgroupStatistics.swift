// What a container has used, from the files of v1 and v2 controllers, in the shape of runc's `events`.

import Host
import JSON

struct CgroupStatistics {
    private let cgroup: ContainerCgroup

    init(_ cgroup: ContainerCgroup) { self.cgroup = cgroup }

    private func number(_ controller: String, _ file: String) -> UInt64? {
        guard let part = cgroup.part(of: controller), let text = HostFiles.line("\(part.directory)/\(file)") else { return nil }
        return text == "max" ? UInt64.max : UInt64(text)
    }

    /// A file of lines "key value".
    private func table(_ controller: String, _ file: String) -> [String: UInt64] {
        guard let part = cgroup.part(of: controller), let text = HostFiles.line("\(part.directory)/\(file)") else { return [:] }
        var result: [String: UInt64] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 2, let value = UInt64(words[1]) { result[String(words[0])] = value }
        }
        return result
    }

    private func isV2(_ controller: String) -> Bool { cgroup.part(of: controller)?.hierarchy.isUnified ?? false }

    /// Processes that the kernel has killed for want of memory.
    var oomKills: UInt64 {
        table("memory", isV2("memory") ? "memory.events" : "memory.oom_control")["oom_kill"] ?? 0
    }

    var json: JSONValue {
        .members([("cpu", cpu), ("memory", memory), ("pids", pids), ("blkio", blocks)])
    }

    private var cpu: JSONValue {
        func value(_ number: UInt64?) -> JSONValue? { number.map(JSONValue.unsigned) }
        // cpu.stat is there in v2 without any controller; v1 counts in cpuacct.
        var total: UInt64?, kernel: UInt64?, user: UInt64?, perCPU: JSONValue?
        if cgroup.part(of: "cpuacct") != nil {
            total = number("cpuacct", "cpuacct.usage")
            kernel = number("cpuacct", "cpuacct.usage_sys")
            user = number("cpuacct", "cpuacct.usage_user")
            if let part = cgroup.part(of: "cpuacct"), let text = HostFiles.line(part.directory + "/cpuacct.usage_percpu") {
                perCPU = .array(text.split(separator: " ").compactMap { UInt64($0) }.map(JSONValue.unsigned))
            }
        } else if let unified = cgroup.unified, let text = HostFiles.line(unified.directory + "/cpu.stat") {
            for line in text.split(separator: "\n") {
                let words = line.split(separator: " ")
                guard words.count == 2, let number = UInt64(words[1]) else { continue }
                switch words[0] {
                case "usage_usec": total = number &* 1000
                case "user_usec": user = number &* 1000
                case "system_usec": kernel = number &* 1000
                default: break
                }
            }
        }
        let throttled = table("cpu", "cpu.stat")
        return .members([
            ("usage", .members([("total", value(total)), ("percpu", perCPU), ("kernel", value(kernel)), ("user", value(user))])),
            ("throttling", .members([
                ("periods", value(throttled["nr_periods"])), ("throttledPeriods", value(throttled["nr_throttled"])),
                ("throttledTime", value(throttled["throttled_time"] ?? throttled["throttled_usec"].map { $0 &* 1000 })),
            ])),
        ])
    }

    private var memory: JSONValue? {
        guard cgroup.part(of: "memory") != nil else { return nil }
        let statistics = table("memory", "memory.stat")
        let raw = JSONValue.object(statistics.sorted { $0.key < $1.key }.map { JSONMember(key: $0.key, value: .unsigned($0.value)) })
        func usage(_ current: UInt64?, _ peak: UInt64?, _ failures: UInt64?, _ limit: UInt64?) -> JSONValue? {
            guard let current else { return nil }
            return .members([
                ("usage", .unsigned(current)), ("max", peak.map(JSONValue.unsigned)), ("failcnt", failures.map(JSONValue.unsigned)),
                ("limit", limit.map(JSONValue.unsigned)),
            ])
        }
        if isV2("memory") {
            return .members([
                ("cache", statistics["file"].map(JSONValue.unsigned)),
                ("usage", usage(number("memory", "memory.current"), number("memory", "memory.peak"),
                    table("memory", "memory.events")["max"], number("memory", "memory.max"))),
                ("swap", usage(number("memory", "memory.swap.current"), nil, nil, number("memory", "memory.swap.max"))),
                ("raw", raw),
            ])
        }
        func v1(_ prefix: String) -> JSONValue? {
            usage(number("memory", "memory.\(prefix)usage_in_bytes"), number("memory", "memory.\(prefix)max_usage_in_bytes"),
                number("memory", "memory.\(prefix)failcnt"), number("memory", "memory.\(prefix)limit_in_bytes"))
        }
        return .members([
            ("cache", statistics["cache"].map(JSONValue.unsigned)), ("usage", v1("")), ("swap", v1("memsw.")),
            ("kernel", v1("kmem.")), ("kernelTCP", v1("kmem.tcp.")), ("raw", raw),
        ])
    }

    private var pids: JSONValue? {
        guard let current = number("pids", "pids.current") else { return nil }
        // 0 stands for no limit, as in runc.
        let limit = number("pids", "pids.max") ?? 0
        return .members([("current", .unsigned(current)), ("limit", .unsigned(limit == .max ? 0 : limit))])
    }

    /// Lines "major:minor operation value" of v1, "major:minor key=value…" of v2.
    private var blocks: JSONValue? {
        var bytes: [JSONValue] = [], operations: [JSONValue] = []
        func entry(_ device: Substring, _ operation: String, _ value: UInt64) -> JSONValue? {
            let numbers = device.split(separator: ":").compactMap { UInt64($0) }
            guard numbers.count == 2 else { return nil }
            return .members([
                ("major", .unsigned(numbers[0])), ("minor", .unsigned(numbers[1])), ("op", .string(operation)), ("value", .unsigned(value)),
            ])
        }
        if let part = cgroup.part(of: "blkio") {
            func read(_ file: String) -> [JSONValue] {
                (HostFiles.line("\(part.directory)/\(file)") ?? "").split(separator: "\n").compactMap { line in
                    let words = line.split(separator: " ")
                    guard words.count == 3, let value = UInt64(words[2]) else { return nil }
                    return entry(words[0], String(words[1]), value)
                }
            }
            bytes = read("blkio.throttle.io_service_bytes_recursive")
            operations = read("blkio.throttle.io_serviced_recursive")
        } else if let part = cgroup.part(of: "io") {
            for line in (HostFiles.line(part.directory + "/io.stat") ?? "").split(separator: "\n") {
                let words = line.split(separator: " ")
                for word in words.dropFirst() {
                    let pair = word.split(separator: "=")
                    guard pair.count == 2, let value = UInt64(pair[1]) else { continue }
                    switch pair[0] {
                    case "rbytes": bytes += [entry(words[0], "Read", value)].compactMap { $0 }
                    case "wbytes": bytes += [entry(words[0], "Write", value)].compactMap { $0 }
                    case "rios": operations += [entry(words[0], "Read", value)].compactMap { $0 }
                    case "wios": operations += [entry(words[0], "Write", value)].compactMap { $0 }
                    default: break
                    }
                }
            }
        } else {
            return nil
        }
        return .members([("ioServiceBytesRecursive", .array(bytes)), ("ioServicedRecursive", .array(operations))])
    }
}
