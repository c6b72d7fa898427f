// Writes `linux.resources` to the files of v1 and v2 controllers. A limit whose controller the host does not have is an error
// that names the field. v1: Documentation/admin-guide/cgroup-v1; v2: cgroup-v2.rst.

import Glibc
import Host

/// One write to a controller's file.
struct CgroupWrite: Equatable {
    /// The controller; "" is v2's own.
    var controller: String, file: String, value: String
    /// The field of `linux.resources` that asks for it.
    var field: String
}

extension ContainerCgroup {
    /// Writes the limits. Device rules are `applyDevices`.
    /// - Throws: `RuntimeError` naming the field.
    func apply(_ resources: Resources) throws {
        if resources.memory.checkBeforeUpdate == true { try checkUsage(resources.memory) }
        for write in try writes(for: resources) {
            let part = write.controller.isEmpty ? unified! : part(of: write.controller)!
            do {
                try HostFiles.write(write.value, to: "\(part.directory)/\(write.file)")
            } catch let error as HostError {
                throw RuntimeError("linux.resources.\(write.field): \(error)")
            }
            // Kernels since 6.1 take any value here and obey none.
            if write.file == "memory.kmem.limit_in_bytes", let wanted = Int64(write.value), wanted >= 0,
               let limit = HostFiles.line("\(part.directory)/\(write.file)").flatMap({ Int64($0) }), limit > wanted {
                throw RuntimeError("linux.resources.\(write.field): this kernel has no limit of kernel memory")
            }
        }
    }

    /// `memory.checkBeforeUpdate`: a limit below what is used now is refused before anything is written.
    private func checkUsage(_ memory: Resources.Memory) throws {
        guard let part = part(of: "memory") else { return }
        func check(_ limit: Int64?, _ file: String, _ field: String) throws {
            guard let limit, limit >= 0, let used = HostFiles.line("\(part.directory)/\(file)").flatMap({ Int64($0) }), used > limit else { return }
            throw RuntimeError("linux.resources.memory.\(field): \(limit) lies below the \(used) bytes in use")
        }
        try check(memory.limit, part.hierarchy.isUnified ? "memory.current" : "memory.usage_in_bytes", "limit")
        // v2 counts swap alone, and has no limit for the sum.
        if !part.hierarchy.isUnified, memory.swap != 0 { try check(memory.swap, "memory.memsw.usage_in_bytes", "swap") }
    }

    /// The controllers of v2 that these limits use; the others may stay where they are.
    static func controllers(for resources: Resources) -> Set<String> {
        var names = Set(resources.unified.map { String($0.key.prefix { $0 != "." }) })
        if resources.memory.isGiven { names.insert("memory") }
        if resources.cpu.isGiven { names.formUnion(["cpu", "cpuset"]) }
        if resources.pidsLimit != nil { names.insert("pids") }
        if resources.blockIO.isGiven { names.insert("io") }
        if !resources.hugepageLimits.isEmpty { names.insert("hugetlb") }
        if !resources.rdma.isEmpty { names.insert("rdma") }
        return names
    }

    /// The writes in the order in which the kernel accepts them.
    func writes(for resources: Resources) throws -> [CgroupWrite] {
        var writes: [CgroupWrite] = []
        func isV2(_ controller: String, _ field: String) throws -> Bool {
            guard let part = part(of: controller) else {
                throw RuntimeError("linux.resources.\(field): the host has no cgroup controller '\(controller)'")
            }
            return part.hierarchy.isUnified
        }
        func put(_ controller: String, _ file: String, _ value: some CustomStringConvertible, _ field: String) {
            writes.append(CgroupWrite(controller: controller, file: file, value: value.description, field: field))
        }
        func maximum(_ value: Int64) -> String { value < 0 ? "max" : String(value) }

        let memory = resources.memory
        if memory.isGiven {
            if try isV2("memory", "memory") {
                guard memory.kernel == nil || memory.kernel == -1 else { throw unavailable("memory.kernel") }
                guard memory.kernelTCP == nil || memory.kernelTCP == -1 else { throw unavailable("memory.kernelTCP") }
                guard memory.swappiness == nil else { throw unavailable("memory.swappiness") }
                guard memory.disableOOMKiller != true else { throw unavailable("memory.disableOOMKiller") }
                if let limit = memory.limit { put("memory", "memory.max", maximum(limit), "memory.limit") }
                if let reservation = memory.reservation { put("memory", "memory.low", maximum(reservation), "memory.reservation") }
                if let swap = memory.swap {
                    // config.json counts memory and swap together, v2 swap alone.
                    if swap > 0 {
                        guard let limit = memory.limit, limit >= 0, swap >= limit else {
                            throw RuntimeError("linux.resources.memory.swap: must be at least memory.limit")
                        }
                        put("memory", "memory.swap.max", swap - limit, "memory.swap")
                    } else if swap < 0 {
                        put("memory", "memory.swap.max", "max", "memory.swap")
                    }
                }
            } else {
                let limits = [
                    ("memory.limit_in_bytes", memory.limit, "memory.limit"),
                    ("memory.memsw.limit_in_bytes", memory.swap == 0 ? nil : memory.swap, "memory.swap"),
                ]
                // Memory may never exceed memory and swap: when both rise, the sum goes first.
                for (file, value, field) in raises(memory) ? limits.reversed() : limits where value != nil {
                    put("memory", file, value!, field)
                }
                if let reservation = memory.reservation { put("memory", "memory.soft_limit_in_bytes", reservation, "memory.reservation") }
                if let kernel = memory.kernel { put("memory", "memory.kmem.limit_in_bytes", kernel, "memory.kernel") }
                if let tcp = memory.kernelTCP { put("memory", "memory.kmem.tcp.limit_in_bytes", tcp, "memory.kernelTCP") }
                if let swappiness = memory.swappiness { put("memory", "memory.swappiness", swappiness, "memory.swappiness") }
                if memory.disableOOMKiller == true { put("memory", "memory.oom_control", "1", "memory.disableOOMKiller") }
                if memory.useHierarchy == true { put("memory", "memory.use_hierarchy", "1", "memory.useHierarchy") }
            }
        }
        let cpu = resources.cpu
        if cpu.shares != nil || cpu.quota != nil || cpu.period != nil || cpu.burst != nil || cpu.idle != nil
            || cpu.realtimeRuntime != nil || cpu.realtimePeriod != nil {
            if try isV2("cpu", "cpu") {
                guard cpu.realtimeRuntime == nil else { throw unavailable("cpu.realtimeRuntime") }
                guard cpu.realtimePeriod == nil else { throw unavailable("cpu.realtimePeriod") }
                if let idle = cpu.idle { put("cpu", "cpu.idle", idle, "cpu.idle") }
                if let shares = cpu.shares, shares > 0 { put("cpu", "cpu.weight", Self.weight(shares: shares), "cpu.shares") }
                if cpu.quota != nil || cpu.period != nil {
                    let quota = cpu.quota.map { $0 > 0 ? String($0) : "max" } ?? "max"
                    put("cpu", "cpu.max", cpu.period.map { "\(quota) \($0)" } ?? quota, cpu.quota != nil ? "cpu.quota" : "cpu.period")
                }
                if let burst = cpu.burst { put("cpu", "cpu.max.burst", burst, "cpu.burst") }
            } else {
                if let idle = cpu.idle { put("cpu", "cpu.idle", idle, "cpu.idle") }
                if let shares = cpu.shares, shares > 0 { put("cpu", "cpu.shares", shares, "cpu.shares") }
                if let period = cpu.period, period > 0 { put("cpu", "cpu.cfs_period_us", period, "cpu.period") }
                if let quota = cpu.quota, quota != 0 { put("cpu", "cpu.cfs_quota_us", quota, "cpu.quota") }
                if let burst = cpu.burst { put("cpu", "cpu.cfs_burst_us", burst, "cpu.burst") }
                if let period = cpu.realtimePeriod, period > 0 { put("cpu", "cpu.rt_period_us", period, "cpu.realtimePeriod") }
                if let runtime = cpu.realtimeRuntime, runtime != 0 { put("cpu", "cpu.rt_runtime_us", runtime, "cpu.realtimeRuntime") }
            }
        }
        if cpu.cpus != nil || cpu.mems != nil {
            _ = try isV2("cpuset", cpu.cpus != nil ? "cpu.cpus" : "cpu.mems")
            if let cpus = cpu.cpus { put("cpuset", "cpuset.cpus", cpus, "cpu.cpus") }
            if let mems = cpu.mems { put("cpuset", "cpuset.mems", mems, "cpu.mems") }
        }
        if let limit = resources.pidsLimit, limit != 0 {
            _ = try isV2("pids", "pids.limit")
            put("pids", "pids.max", maximum(limit), "pids.limit")
        }
        writes += try blockWrites(resources.blockIO)
        for entry in resources.hugepageLimits {
            let isUnified = try isV2("hugetlb", "hugepageLimits")
            put("hugetlb", isUnified ? "hugetlb.\(entry.pageSize).max" : "hugetlb.\(entry.pageSize).limit_in_bytes",
                entry.limit, "hugepageLimits")
        }
        if let id = resources.networkClassID, id != 0 {
            _ = try isV2("net_cls", "network.classID")
            put("net_cls", "net_cls.classid", id, "network.classID")
        }
        for entry in resources.networkPriorities {
            _ = try isV2("net_prio", "network.priorities")
            put("net_prio", "net_prio.ifpriomap", "\(entry.name) \(entry.priority)", "network.priorities")
        }
        for entry in resources.rdma {
            _ = try isV2("rdma", "rdma")
            let handles = entry.handles.map { " hca_handle=\($0)" } ?? "", objects = entry.objects.map { " hca_object=\($0)" } ?? ""
            put("rdma", "rdma.max", entry.device + handles + objects, "rdma")
        }
        for entry in resources.unified {
            // The part before the dot is the controller; "cgroup" is the hierarchy itself.
            let controller = String(entry.key.prefix { $0 != "." })
            let field = "unified.\(entry.key)"
            guard let unified, controller == "cgroup" || unified.has(controller) else {
                throw RuntimeError("linux.resources.\(field): no v2 hierarchy of this host has controller '\(controller)'")
            }
            for line in entry.value.split(separator: "\n") { put("", entry.key, line, field) }
        }
        return writes
    }

    private func unavailable(_ field: String) -> RuntimeError {
        RuntimeError("linux.resources.\(field): cgroup v2 has no such limit")
    }

    /// Whether the limits of memory and swap rise above what is there.
    private func raises(_ memory: Resources.Memory) -> Bool {
        guard let swap = memory.swap, swap != 0, let part = part(of: "memory") else { return false }
        let now = HostFiles.line(part.directory + "/memory.memsw.limit_in_bytes").flatMap { Int64($0) } ?? Int64.max
        return swap < 0 || swap > now
    }

    private func blockWrites(_ block: Resources.BlockIO) throws -> [CgroupWrite] {
        guard block.isGiven else { return [] }
        let name = part(of: "io") != nil ? "io" : "blkio"
        guard let part = part(of: name) else {
            throw RuntimeError("linux.resources.blockIO: the host has no cgroup controller 'io' or 'blkio'")
        }
        var writes: [CgroupWrite] = []
        func put(_ file: String, _ value: some CustomStringConvertible, _ field: String) {
            writes.append(CgroupWrite(controller: name, file: file, value: value.description, field: "blockIO.\(field)"))
        }
        // bfq has files of its own where the block layer's are gone.
        func weightFile(_ file: String, _ bfq: String) -> String {
            access("\(part.directory)/\(file)", F_OK) == 0 || access("\(part.directory)/\(bfq)", F_OK) != 0 ? file : bfq
        }
        if part.hierarchy.isUnified {
            if block.leafWeight ?? 0 != 0 || block.weightDevices.contains(where: { $0.leafWeight ?? 0 != 0 }) {
                throw unavailable("blockIO.leafWeight")
            }
            if let weight = block.weight, weight != 0 {
                let file = weightFile("io.weight", "io.bfq.weight")
                // 10…1000 of v1 onto 1…10000.
                let value = file == "io.weight" ? 1 + (UInt64(weight) - min(10, UInt64(weight))) * 9999 / 990 : UInt64(weight)
                put(file, file == "io.weight" ? "default \(value)" : "\(value)", "weight")
            }
            for device in block.weightDevices where device.weight != nil {
                put(weightFile("io.weight", "io.bfq.weight"), "\(device.major):\(device.minor) \(device.weight!)", "weightDevice")
            }
            for (key, field, list) in [("rbps", "throttleReadBpsDevice", block.readBps), ("wbps", "throttleWriteBpsDevice", block.writeBps),
                                       ("riops", "throttleReadIOPSDevice", block.readIops), ("wiops", "throttleWriteIOPSDevice", block.writeIops)] {
                for entry in list {
                    put("io.max", "\(entry.major):\(entry.minor) \(key)=\(entry.rate == 0 ? "max" : String(entry.rate))", field)
                }
            }
            return writes
        }
        if let weight = block.weight, weight != 0 { put(weightFile("blkio.weight", "blkio.bfq.weight"), weight, "weight") }
        if let weight = block.leafWeight, weight != 0 { put("blkio.leaf_weight", weight, "leafWeight") }
        for device in block.weightDevices {
            if let weight = device.weight, weight != 0 {
                put(weightFile("blkio.weight_device", "blkio.bfq.weight_device"), "\(device.major):\(device.minor) \(weight)", "weightDevice")
            }
            if let weight = device.leafWeight, weight != 0 {
                put("blkio.leaf_weight_device", "\(device.major):\(device.minor) \(weight)", "weightDevice")
            }
        }
        for (key, field, list) in [("read_bps", "throttleReadBpsDevice", block.readBps), ("write_bps", "throttleWriteBpsDevice", block.writeBps),
                                   ("read_iops", "throttleReadIOPSDevice", block.readIops), ("write_iops", "throttleWriteIOPSDevice", block.writeIops)] {
            for entry in list { put("blkio.throttle.\(key)_device", "\(entry.major):\(entry.minor) \(entry.rate)", field) }
        }
        return writes
    }

    /// Shares 2…262144 of v1 onto weights 1…10000 of v2: linear, as the kernel's and other runtimes' conversion is.
    static func weight(shares: UInt64) -> UInt64 {
        let bounded = min(max(shares, 2), 262144)
        return 1 + (bounded - 2) * 9999 / 262142
    }
}
