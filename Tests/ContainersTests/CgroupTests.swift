// Where cgroups are, which files limits go to, and the device program of v2.

@testable import Containers
import Testing

@Suite struct CgroupTests {
    private func layout(_ mounts: [String], _ own: [String], _ controllers: String = "") -> CgroupLayout {
        let lines = mounts.enumerated().map { "\(30 + $0.offset) 23 0:28 \($0.element)" }.joined(separator: "\n")
        return CgroupLayout(mountInfo: Array(lines.utf8), ownCgroups: own.joined(separator: "\n")) { _ in controllers }
    }

    static let v1 = [
        "/ /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct", "/ /sys/fs/cgroup/pids rw shared:9 - cgroup cgroup rw,pids",
        "/ /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd", "/ /proc rw - proc proc rw",
    ]
    static let v1Own = ["4:cpu,cpuacct:/user", "3:pids:/", "1:name=systemd:/user.slice"]

    @Test func `layouts are told apart`() {
        #expect(layout(Self.v1, Self.v1Own).name == "v1")
        let hybrid = layout(Self.v1 + ["/ /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"], Self.v1Own + ["0::/"], "hugetlb")
        #expect(hybrid.name == "hybrid")
        #expect(hybrid.hierarchy(of: "hugetlb")?.isUnified == true)
        #expect(hybrid.hierarchy(of: "cpuacct")?.mountPoint == "/sys/fs/cgroup/cpu,cpuacct")
        let pure = layout(["/ /sys/fs/cgroup rw - cgroup2 cgroup2 rw"], ["0::/a/b"], "cpu memory pids")
        #expect(pure.name == "v2")
        #expect(pure.unified?.ownPath == "/a/b")
        #expect(layout([], []).name == "none")
    }

    @Test func `a mount point with spaces is unescaped`() {
        let found = layout(["/ /mnt/a\\040b rw - cgroup cgroup rw,pids"], ["3:pids:/"])
        #expect(found.hierarchies.first?.mountPoint == "/mnt/a b")
    }

    @Test(arguments: [
        (nil, "id", "/own", false, "/own/id"), ("/a/b", "id", "/own", false, "/a/b"), ("a", "id", "/own", false, "/own/a"),
        ("", "id", "/", false, "/id"), ("a//./b/", "id", "/", false, "/a/b"), ("a", "id", "/own/leaf", true, "/own/a"),
        ("a", "id", "/", true, "/a"), ("a", "id", "/../x", false, "/a"),
    ] as [(String?, String, String, Bool, String)])
    func `paths of containers`(configured: String?, id: String, own: String, isUnified: Bool, expected: String) {
        let hierarchy = CgroupHierarchy(mountPoint: "/c", mountRoot: "/", controllers: [], isUnified: isUnified, ownPath: own)
        #expect(CgroupLayout.path(configured: configured, id: id, in: hierarchy) == expected)
    }

    @Test func `a mount that shows a part of the hierarchy`() {
        let hierarchy = CgroupHierarchy(mountPoint: "/c", mountRoot: "/docker/x", controllers: [], isUnified: false, ownPath: "/docker/x")
        #expect(hierarchy.directory(of: "/docker/x/id") == "/c/id")
        #expect(hierarchy.directory(of: "/docker/x") == "/c")
        #expect(hierarchy.directory(of: "/") == "/c")
    }

    private func cgroup(_ controllers: [String], isUnified: Bool) -> ContainerCgroup {
        ContainerCgroup(layout: CgroupLayout(hierarchies: [
            CgroupHierarchy(mountPoint: "/none", mountRoot: "/", controllers: controllers, isUnified: isUnified, ownPath: "/"),
        ]), configuredPath: "/x", id: "x")
    }

    @Test func `limits go to the files of v1 or v2`() throws {
        var resources = Resources()
        resources.memory.limit = 100
        resources.memory.swap = 150
        resources.cpu.shares = 1024
        resources.cpu.quota = 5000
        resources.cpu.period = 10000
        resources.pidsLimit = -1
        let all = ["cpu", "memory", "pids"]
        let v1 = try cgroup(all, isUnified: false).writes(for: resources).map { "\($0.file)=\($0.value)" }
        #expect(v1 == ["memory.limit_in_bytes=100", "memory.memsw.limit_in_bytes=150", "cpu.shares=1024", "cpu.cfs_period_us=10000",
                       "cpu.cfs_quota_us=5000", "pids.max=max"])
        let v2 = try cgroup(all, isUnified: true).writes(for: resources).map { "\($0.file)=\($0.value)" }
        #expect(v2 == ["memory.max=100", "memory.swap.max=50", "cpu.weight=39", "cpu.max=5000 10000", "pids.max=max"])
    }

    @Test func `a limit without a controller is refused by name`() {
        var resources = Resources()
        resources.networkClassID = 7
        do {
            _ = try cgroup(["pids"], isUnified: false).writes(for: resources)
            Issue.record("no error")
        } catch {
            #expect("\(error)".contains("linux.resources.network.classID"))
        }
        resources = Resources()
        resources.memory.swappiness = 5
        #expect(throws: RuntimeError.self) { try cgroup(["memory"], isUnified: true).writes(for: resources) }
        resources = Resources()
        resources.unified = [("memory.high", "5")]
        #expect(throws: RuntimeError.self) { try cgroup(["memory"], isUnified: false).writes(for: resources) }
    }

    /// Runs the program as the kernel would: 32-bit registers are enough for what it uses.
    private func decide(_ program: DeviceProgram, type: UInt32, access: UInt32, major: UInt32, minor: UInt32) -> Bool? {
        let context: [Int16: UInt32] = [0: access << 16 | type, 4: major, 8: minor]
        var registers = [UInt32](repeating: 0, count: 11)
        var at = 0
        while program.instructions.indices.contains(at) {
            let word = program.instructions[at]
            let destination = Int(word >> 8 & 15), source = Int(word >> 12 & 15)
            let offset = Int16(truncatingIfNeeded: word >> 16), value = UInt32(truncatingIfNeeded: word >> 32)
            at += 1
            switch UInt8(truncatingIfNeeded: word) {
            case 0x61:
                // r1 is the context until the program has read it.
                registers[destination] = context[offset]!
            case 0x54: registers[destination] &= value
            case 0x74: registers[destination] >>= value
            case 0xBC: registers[destination] = registers[source]
            case 0xB7: registers[destination] = value
            case 0x55: if registers[destination] != value { at += Int(offset) }
            case 0x5D: if registers[destination] != registers[source] { at += Int(offset) }
            case 0x15: if registers[destination] == value { at += Int(offset) }
            case 0x95: return registers[0] == 1
            default: return nil
            }
        }
        return nil
    }

    @Test func `the device program obeys the last rule that matches`() {
        let deny = DeviceRule(false, "a", nil, nil)
        let program = DeviceProgram(rules: [deny, DeviceRule(true, "c", 1, 3, "rw"), DeviceRule(true, "b", 8, nil, "r")])
        #expect(decide(program, type: 2, access: 2, major: 1, minor: 3) == true)
        #expect(decide(program, type: 2, access: 6, major: 1, minor: 3) == true)
        #expect(decide(program, type: 2, access: 7, major: 1, minor: 3) == false)
        #expect(decide(program, type: 1, access: 2, major: 1, minor: 3) == false)
        #expect(decide(program, type: 1, access: 2, major: 8, minor: 77) == true)
        #expect(decide(program, type: 1, access: 4, major: 8, minor: 77) == false)
        let others = DeviceProgram(rules: [DeviceRule(false, "c", 1, 3, "w")])
        #expect(decide(others, type: 2, access: 4, major: 1, minor: 3) == false)
        #expect(decide(others, type: 2, access: 2, major: 1, minor: 3) == true)
        #expect(decide(others, type: 2, access: 6, major: 1, minor: 3) == false)
        #expect(decide(others, type: 2, access: 4, major: 1, minor: 5) == true)
    }
}
