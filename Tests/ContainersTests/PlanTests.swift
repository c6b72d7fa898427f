// Setup plans: the steps and their order, their encoding, and mount options.

import CContainerInit
@testable import Containers
import JSON
import Testing

@Suite struct PlanTests {
    private func plan(_ change: (inout JSONValue) -> Void = { _ in }, _ context: (inout PlanContext) -> Void = { _ in }) throws -> ContainerPlan {
        var document = JSONValue.members([
            ("ociVersion", .string("1.0.2")), ("root", .members([("path", .string("r"))])),
            ("process", .members([("cwd", .string("/")), ("args", .array([.string("sh")]))])),
            ("linux", .members([("namespaces", .array(["pid", "mount", "uts", "ipc"].map { .members([("type", .string($0))]) }))])),
        ])
        change(&document)
        var facts = PlanContext(bundle: "/b", rootfs: "/b/r", id: "id")
        context(&facts)
        return try ContainerPlan(try Configuration(document: Array(document.text().utf8)), facts)
    }

    private func operations(_ plan: ContainerPlan) -> [UInt32] { plan.plan.steps.map(\.operation) }

    private func expectOrder(_ plan: ContainerPlan, _ wanted: [guise_operation], _ comment: Comment) {
        let places = wanted.map { operation in operations(plan).firstIndex(of: operation.rawValue) }
        #expect(!places.contains(nil), comment)
        #expect(places.compactMap { $0 } == places.compactMap { $0 }.sorted(), comment)
    }

    @Test func `the steps of a plain container`() throws {
        let plan = try plan()
        expectOrder(plan, [
            guise_op_clone, guise_op_open_proc, guise_op_propagation, guise_op_root, guise_op_node, guise_op_pivot, guise_op_session,
            guise_op_find, guise_op_sync, guise_op_directory_change, guise_op_bounding, guise_op_user, guise_op_capabilities,
            guise_op_execute,
        ], "order")
        #expect(plan.plan.cloneCount == 1)
        #expect(operations(plan).last == guise_op_execute.rawValue)
        let flags = plan.plan.steps.first { $0.operation == guise_op_clone.rawValue }!.a
        #expect(flags == 0x2000_0000 | 0x0002_0000 | 0x0400_0000 | 0x0800_0000)
    }

    @Test func `cgroups come before the process and its namespace after`() throws {
        let plan = try plan({
            $0 = $0.replacing([.key("linux"), .key("namespaces")], with: .array(["mount", "cgroup"].map { .members([("type", .string($0))]) }))
        }, { $0.cgroupTasks = [7, 8]; $0.unifiedCgroup = 9 })
        expectOrder(plan, [guise_op_cgroup, guise_op_clone, guise_op_unshare, guise_op_root], "cgroups")
        #expect(plan.plan.steps.first { $0.operation == guise_op_clone.rawValue }?.b == 10)
    }

    @Test func `a time namespace is entered by a second process`() throws {
        let plan = try plan {
            $0 = $0.replacing([.key("linux")], with: .members([
                ("namespaces", .array(["mount", "user", "time"].map { .members([("type", .string($0))]) })),
                ("uidMappings", .array([.members([("containerID", .unsigned(0)), ("hostID", .unsigned(1)), ("size", .unsigned(1))])])),
                ("gidMappings", .array([.members([("containerID", .unsigned(0)), ("hostID", .unsigned(1)), ("size", .unsigned(1))])])),
                ("timeOffsets", .members([("boottime", .members([("secs", .unsigned(5))]))])),
            ]))
        }
        #expect(plan.plan.cloneCount == 2)
        expectOrder(plan, [guise_op_clone, guise_op_sync, guise_op_become_root, guise_op_unshare, guise_op_write_self], "user first")
    }

    @Test func `the filter goes last with no_new_privs and before the user without`() throws {
        for noNew in [true, false] {
            let plan = try plan({
                $0 = $0.replacing([.key("process"), .key("noNewPrivileges")], with: .boolean(noNew))
            }, { $0.seccomp = SeccompProgram(bytes: [UInt8](repeating: 0, count: 8), flags: 0) })
            expectOrder(plan, noNew ? [guise_op_user, guise_op_capabilities, guise_op_no_new_privileges, guise_op_seccomp, guise_op_execute]
                : [guise_op_seccomp, guise_op_user, guise_op_execute], "no_new_privs \(noNew)")
        }
    }

    @Test func `descriptors are closed before the working directory is entered`() throws {
        let step = try plan({ _ in }, { $0.preservedDescriptors = 2 }).plan.steps.last { $0.operation == guise_op_directory_change.rawValue }
        #expect(step?.a == 2)
    }

    @Test(arguments: [
        ("net.core.somaxconn", "network", "net/core/somaxconn"), ("kernel.shmmax", "ipc", "kernel/shmmax"),
        ("fs.mqueue.msg_max", "ipc", "fs/mqueue/msg_max"), ("net/ipv4/conf/eth0.1/forwarding", "network", "net/ipv4/conf/eth0.1/forwarding"),
        ("net.ipv4.conf.eth0/1.forwarding", "network", "net/ipv4/conf/eth0.1/forwarding"), ("kernel.hostname", "uts", "kernel/hostname"),
    ]) func `kernel parameters of namespaces`(key: String, kind: String, file: String) throws {
        #expect(try ContainerPlan.sysctlFile(key) { $0.rawValue == kind } == file)
        #expect(throws: ConfigurationError.self) { try ContainerPlan.sysctlFile(key) { _ in false } }
    }

    @Test(arguments: ["kernel.core_pattern", "vm.swappiness", "fs.file-max", "net/../kernel/core_pattern", "/net/x", "", "kernel.sysrq"])
    func `kernel parameters of the host are refused`(key: String) {
        #expect(throws: ConfigurationError.self) { try ContainerPlan.sysctlFile(key) { _ in true } }
    }

    @Test func `mount options`() throws {
        let options = try MountOptions(["ro", "nosuid", "noatime", "size=5", "rro", "rslave", "tmpcopyup", "sync", "defaults"])
        #expect(options.set == 1 | 2 | 0x10)
        #expect(options.clear == 0x70)
        #expect(options.setRecursive == 1)
        #expect(options.data == ["size=5"])
        #expect(options.fileSystemWords == ["size=5", "sync"])
        #expect(options.propagations == [1 << 19 | 1 << 14])
        #expect(options.copiesUp)
        #expect(try MountOptions(["ro", "rw"]).set == 0)
        #expect(try MountOptions(["rbind"]).isRecursiveBind)
        #expect(try MountOptions(["strictatime", "relatime"]).set == 0)
        #expect(try MountOptions(["remount", "ro", "noexec"]).remountFlags == 9)
        #expect(try MountOptions(["bind", "remount", "ro", "sync"]).remountFlags == 4097)
        #expect(Set(MountOptions.known).count == MountOptions.known.count)
    }

    @Test func `the root cannot be mounted over and a bind needs a source`() {
        for mount in [["destination": "/", "type": "tmpfs"], ["destination": "/a/..", "type": "tmpfs"], ["destination": "/a", "type": "bind"]] {
            #expect(throws: ConfigurationError.self) {
                try plan { $0 = $0.replacing([.key("mounts")], with: .array([.strings(mount)])) }
            }
        }
    }

    @Test func `a remount hands on the options of the file system`() throws {
        let step = try plan {
            $0 = $0.replacing([.key("mounts")], with: .array([.members([
                ("destination", .string("/a")), ("options", .array(["remount", "size=5m", "mode=700"].map(JSONValue.string))),
            ])]))
        }.plan
        let remount = try #require(step.steps.first { $0.operation == guise_op_remount.rawValue })
        let bytes = step.encoded()
        #expect(String(decoding: bytes[Int(remount.text2)...].prefix { $0 != 0 }, as: UTF8.self) == "size=5m,mode=700")
    }

    @Test(arguments: [("bind", ["tmpcopyup"]), ("proc", ["tmpcopyup"]), ("tmpfs", ["tmpcopyup", "bind"]), ("bind", ["dest-nofollow"])])
    func `options that cannot be obeyed are refused`(type: String, options: [String]) {
        #expect(throws: ConfigurationError.self) {
            try plan {
                $0 = $0.replacing([.key("mounts")], with: .array([.members([
                    ("destination", .string("/a")), ("type", .string(type)), ("source", .string("/b")),
                    ("options", .array(options.map(JSONValue.string))),
                ])]))
            }
        }
    }

    @Test func `an encoded plan holds its steps and strings`() throws {
        var plan = SetupPlan()
        plan.add(guise_op_hostname, "hostname", text: "box")
        plan.add(guise_op_hook, "hooks", a: 2, b: 1, text: "/h", list: ["a", "b"], list3: ["E=1"])
        let bytes = plan.encoded()
        bytes.withUnsafeBytes { raw in
            let header = raw.loadUnaligned(as: guise_plan_header.self)
            #expect(header.magic == UInt32(guise_plan_magic))
            #expect(Int(header.size) == bytes.count)
            #expect(header.step_count == 2)
            #expect(header.steps % 8 == 0)
            func text(_ offset: UInt32) -> String { String(decoding: bytes[Int(offset)...].prefix { $0 != 0 }, as: UTF8.self) }
            let hook = raw.loadUnaligned(fromByteOffset: Int(header.steps) + MemoryLayout<guise_step>.stride, as: guise_step.self)
            #expect(text(hook.text) == "/h")
            #expect(text(hook.text2) == "a")
            #expect(text(hook.text2 + 2) == "b")
            #expect(text(hook.text3) == "E=1")
            #expect(text(hook.label) == "hooks")
        }
        #expect(bytes.last == 0)
    }

    @Test func `capabilities that the runtime lacks are left out and named`() throws {
        var sets = CapabilitySets()
        let both = CapabilitySet(rawValue: 1 | 1 << 24)
        (sets.bounding, sets.effective, sets.permitted, sets.inheritable, sets.ambient) = (both, both, both, both, both)
        let (granted, refused) = sets.granted(by: CapabilitySet(rawValue: 1))
        #expect(refused == ["CAP_SYS_RESOURCE"])
        #expect(granted.effective.rawValue == 1)
        #expect(granted.ambient.rawValue == 1)
        sets.inheritable = []
        #expect(sets.granted(by: both).sets.ambient.isEmpty)
    }

    @Test(arguments: [("0", [1]), ("0-1,3", [0b1011]), ("7-8", [0x80, 1])]) func `processor lists`(text: String, bytes: [UInt8]) {
        #expect(Array(CPUSet(text)!.bytes.prefix(bytes.count)) == bytes)
        #expect(CPUSet(text)!.bytes.count % 8 == 0)
    }

    @Test(arguments: ["SIGKILL", "kill", "9"]) func `signals by name and number`(text: String) throws {
        #expect(try Signals.number(text) == 9)
        #expect(throws: RuntimeError.self) { try Signals.number("SIGNONE") }
        #expect(throws: RuntimeError.self) { try Signals.number("65") }
        #expect(try Signals.number("RTMIN+1") == 35)
    }

    @Test(arguments: ["", ".", "..", "a/b", "a b", "é", String(repeating: "a", count: 256)])
    func `ids that are paths or worse are refused`(id: String) {
        #expect(throws: RuntimeError.self) { try StateStore.check(id: id) }
    }
}
