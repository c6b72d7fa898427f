// `linux.resources` of config.json, which `update --resources` reads as well: config-linux.md, "Control groups".

/// Limits and rules; nil leaves what is.
struct Resources {
    /// Device rules in order.
    var devices: [DeviceRule] = []
    var memory = Memory(), cpu = CPU(), blockIO = BlockIO()
    /// Tasks; -1 or 0 and below is no limit.
    var pidsLimit: Int64?
    /// Bytes of huge pages by size, such as 2MB.
    var hugepageLimits: [(pageSize: String, limit: UInt64)] = []
    /// net_cls and net_prio.
    var networkClassID: UInt32?, networkPriorities: [(name: String, priority: UInt32)] = []
    /// Handles and objects by device.
    var rdma: [(device: String, handles: UInt32?, objects: UInt32?)] = []
    /// Files of cgroup v2, written as they are.
    var unified: [(key: String, value: String)] = []

    /// Nothing.
    init() {}

    /// Whether any limit is asked for; device rules do not count.
    var hasLimits: Bool {
        memory.isGiven || cpu.isGiven || blockIO.isGiven || pidsLimit != nil || !hugepageLimits.isEmpty
            || networkClassID != nil || !networkPriorities.isEmpty || !rdma.isEmpty || !unified.isEmpty
    }

    /// `memory`: bytes; -1 is no limit.
    struct Memory {
        var limit: Int64?, reservation: Int64?, swap: Int64?, kernel: Int64?, kernelTCP: Int64?
        /// 0 to 100.
        var swappiness: UInt64?
        var disableOOMKiller: Bool?, useHierarchy: Bool?, checkBeforeUpdate: Bool?

        init() {}

        init(_ node: Node) throws(ConfigurationError) {
            let bytes: Node.Decoder<Int64> = Node.integer(-1...Int64.max)
            limit = try node.optional("limit", bytes)
            reservation = try node.optional("reservation", bytes)
            swap = try node.optional("swap", bytes)
            kernel = try node.optional("kernel", bytes)
            kernelTCP = try node.optional("kernelTCP", bytes)
            swappiness = try node.optional("swappiness", Node.integer(0...200))
            disableOOMKiller = try node.optional("disableOOMKiller", Node.boolean)
            useHierarchy = try node.optional("useHierarchy", Node.boolean)
            checkBeforeUpdate = try node.optional("checkBeforeUpdate", Node.boolean)
        }

        var isGiven: Bool {
            limit != nil || reservation != nil || swap != nil || kernel != nil || kernelTCP != nil || swappiness != nil
                || disableOOMKiller == true || useHierarchy == true
        }
    }

    /// `cpu`.
    struct CPU {
        var shares: UInt64?, quota: Int64?, burst: UInt64?, period: UInt64?
        var realtimeRuntime: Int64?, realtimePeriod: UInt64?
        var cpus: String?, mems: String?
        var idle: Int64?

        init() {}

        init(_ node: Node) throws(ConfigurationError) {
            shares = try node.optional("shares", Node.uint64)
            quota = try node.optional("quota", Node.int64)
            burst = try node.optional("burst", Node.uint64)
            period = try node.optional("period", Node.uint64)
            realtimeRuntime = try node.optional("realtimeRuntime", Node.int64)
            realtimePeriod = try node.optional("realtimePeriod", Node.uint64)
            cpus = try node.optional("cpus", Self.list) ?? nil
            mems = try node.optional("mems", Self.list) ?? nil
            idle = try node.optional("idle", Node.integer(0...1))
        }

        private static func list(_ node: Node) throws(ConfigurationError) -> String? {
            let text = try node.string()
            guard text.isEmpty || CPUSet(text) != nil else { throw ConfigurationError("'\(text)' is no list such as 0-3,7") }
            return text.isEmpty ? nil : text
        }

        var isGiven: Bool {
            shares != nil || quota != nil || burst != nil || period != nil || realtimeRuntime != nil
                || realtimePeriod != nil || cpus != nil || mems != nil || idle != nil
        }
    }

    /// `blockIO`.
    struct BlockIO {
        var weight: UInt16?, leafWeight: UInt16?
        var weightDevices: [WeightDevice] = []
        /// Bytes or operations a second.
        var readBps: [Throttle] = [], writeBps: [Throttle] = [], readIops: [Throttle] = [], writeIops: [Throttle] = []

        /// A device's own weight.
        struct WeightDevice {
            var major: Int64, minor: Int64, weight: UInt16?, leafWeight: UInt16?

            init(_ node: Node) throws(ConfigurationError) {
                major = try node.required("major", Node.integer(0...Int64(UInt32.max)))
                minor = try node.required("minor", Node.integer(0...Int64(UInt32.max)))
                weight = try node.optional("weight", Node.uint16)
                leafWeight = try node.optional("leafWeight", Node.uint16)
            }
        }

        /// A device's limit.
        struct Throttle {
            var major: Int64, minor: Int64, rate: UInt64

            init(_ node: Node) throws(ConfigurationError) {
                major = try node.required("major", Node.integer(0...Int64(UInt32.max)))
                minor = try node.required("minor", Node.integer(0...Int64(UInt32.max)))
                rate = try node.required("rate", Node.uint64)
            }
        }

        init() {}

        init(_ node: Node) throws(ConfigurationError) {
            weight = try node.optional("weight", Node.uint16)
            leafWeight = try node.optional("leafWeight", Node.uint16)
            weightDevices = try node.optional("weightDevice", Node.array(WeightDevice.init)) ?? []
            readBps = try node.optional("throttleReadBpsDevice", Node.array(Throttle.init)) ?? []
            writeBps = try node.optional("throttleWriteBpsDevice", Node.array(Throttle.init)) ?? []
            readIops = try node.optional("throttleReadIOPSDevice", Node.array(Throttle.init)) ?? []
            writeIops = try node.optional("throttleWriteIOPSDevice", Node.array(Throttle.init)) ?? []
        }

        var isGiven: Bool {
            weight != nil || leafWeight != nil || !weightDevices.isEmpty || !readBps.isEmpty || !writeBps.isEmpty
                || !readIops.isEmpty || !writeIops.isEmpty
        }
    }

    init(_ node: Node) throws(ConfigurationError) {
        devices = try node.optional("devices", Node.array(DeviceRule.init)) ?? []
        memory = try node.optional("memory", Memory.init) ?? Memory()
        cpu = try node.optional("cpu", CPU.init) ?? CPU()
        blockIO = try node.optional("blockIO", BlockIO.init) ?? BlockIO()
        pidsLimit = try node.optional("pids") { node throws(ConfigurationError) in
            try node.optional("limit", Node.int64)
        } ?? nil
        hugepageLimits = try node.optional("hugepageLimits", Node.array { node throws(ConfigurationError) in
            (try node.required("pageSize", Self.pageSize), try node.required("limit", Node.uint64))
        }) ?? []
        if let network = try node.optional("network", { $0 }) {
            do {
                networkClassID = try network.optional("classID", Node.uint32)
                networkPriorities = try network.optional("priorities", Node.array { node throws(ConfigurationError) in
                    (try node.required("name", Self.fileName), try node.required("priority", Node.uint32))
                }) ?? []
            } catch {
                throw error.inside("network")
            }
        }
        rdma = try node.optional("rdma", Node.dictionary { node throws(ConfigurationError) in
            (try node.optional("hcaHandles", Node.uint32), try node.optional("hcaObjects", Node.uint32))
        })?.map { ($0.key, $0.value.0, $0.value.1) } ?? []
        unified = try node.optional("unified", Node.dictionary(Node.string)) ?? []
        for entry in unified where !Self.isFileName(entry.key) || !entry.key.contains(".") {
            throw ConfigurationError("is no file of a cgroup", path: "unified.\(entry.key)")
        }
    }

    private static func isFileName(_ text: String) -> Bool {
        !text.isEmpty && !text.hasPrefix(".") && !text.utf8.contains { $0 == UInt8(ascii: "/") || $0 <= 0x20 }
    }

    private static func fileName(_ node: Node) throws(ConfigurationError) -> String {
        let text = try node.string()
        guard isFileName(text) else { throw ConfigurationError("'\(text)' is no name") }
        return text
    }

    /// A size as the files of the hugetlb controller spell it.
    private static func pageSize(_ node: Node) throws(ConfigurationError) -> String {
        let text = try node.string()
        let digits = text.prefix { "0"..."9" ~= $0 }
        guard !digits.isEmpty, digits.first != "0", ["KB", "MB", "GB"].contains(text.dropFirst(digits.count)) else {
            throw ConfigurationError("'\(text)' is no size such as 2MB")
        }
        return text
    }
}

/// One entry of `linux.resources.devices`.
struct DeviceRule: Equatable {
    /// Whether access is given or taken.
    var isAllowed: Bool
    /// "a" for all, "c" or "b".
    var type: String
    /// nil is any.
    var major: Int64?, minor: Int64?
    /// Some of "rwm".
    var access: String

    init(_ node: Node) throws(ConfigurationError) {
        isAllowed = try node.required("allow", Node.boolean)
        type = try node.optional("type", Node.oneOf([("a", "a"), ("b", "b"), ("c", "c"), ("", "a")])) ?? "a"
        // -1 stands for any in documents of docker's making.
        let number = Node.integer(-1...Int64(UInt32.max))
        major = try node.optional("major", number).flatMap { $0 < 0 ? nil : $0 }
        minor = try node.optional("minor", number).flatMap { $0 < 0 ? nil : $0 }
        access = try node.optional("access", Node.string) ?? "rwm"
        if access.isEmpty { access = "rwm" }
        guard access.allSatisfy({ "rwm".contains($0) }) else {
            throw ConfigurationError("'\(access)' must be made of r, w and m", path: "access")
        }
    }

    init(_ isAllowed: Bool, _ type: String, _ major: Int64?, _ minor: Int64?, _ access: String = "rwm") {
        (self.isAllowed, self.type, self.major, self.minor, self.access) = (isAllowed, type, major, minor, access)
    }
}
