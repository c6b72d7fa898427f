// config.json: every field wrong in every way, and what fields mean together. runtime-spec 1.3.0, config.md and config-linux.md.

@testable import Containers
import JSON
import Testing

@Suite struct ConfigurationTests {
    @Test func `a document with every field is read`() throws {
        let configuration = try FullConfiguration.configuration()
        #expect(configuration.process?.user.additionalGids == [3, 4])
        #expect(configuration.linux.namespaces.count == 8)
        #expect(configuration.linux.resources?.hugepageLimits.first?.pageSize == "2MB")
        #expect(configuration.process?.capabilities?.ambient.members == ["CAP_CHOWN"])
        #expect(configuration.hooks.poststop.first?.arguments == ["/a"])
    }

    @Test func `a value of another kind is refused with its path`() {
        let kinds: [JSONValue] = [.boolean(true), .unsigned(3), .string("\u{7f}?"), .array([]), .object([]), .real(1.5)]
        for path in FullConfiguration.value.paths where !path.isEmpty {
            let current = Self.value(at: path)
            for kind in kinds where kind.kind != current.kind {
                let document = FullConfiguration.value.replacing(path[...], with: kind)
                let place = written(path)
                do {
                    _ = try FullConfiguration.configuration(document)
                    Issue.record("\(place) may be \(kind.kind)")
                } catch let error as ConfigurationError {
                    #expect(error.path == place, "\(place) as \(kind.kind): \(error)")
                } catch {
                    Issue.record("\(place): \(error)")
                }
            }
        }
    }

    private static func value(at path: [Step]) -> JSONValue {
        path.reduce(FullConfiguration.value) { value, step in
            switch (value, step) {
            case (_, .key(let key)): value[key]!
            case (.array(let elements), .index(let index)): elements[index]
            default: .null
            }
        }
    }

    @Test func `numbers out of range are refused with their path`() {
        for path in FullConfiguration.value.paths {
            let current = Self.value(at: path)
            guard current.kind == "an integer" else { continue }
            // Fields of 64 unsigned bits take the largest, signed ones the smallest.
            var refused = 0
            for value in [JSONValue.unsigned(.max), .negative(.min), .negative(-2)] {
                do {
                    _ = try FullConfiguration.configuration(FullConfiguration.value.replacing(path[...], with: value))
                } catch let error as ConfigurationError {
                    refused += 1
                    #expect(written(path).hasPrefix(error.path) || error.path.hasPrefix(written(path.dropLast())), "\(error)")
                } catch {
                    Issue.record("\(written(path)): \(error)")
                }
            }
            #expect(refused > 0, "\(written(path)) has no bounds")
        }
    }

    @Test func `strings with a NUL are refused`() {
        for path in FullConfiguration.value.paths where Self.value(at: path).kind == "a string" {
            #expect(throws: ConfigurationError.self, "\(written(path))") {
                try FullConfiguration.configuration(FullConfiguration.value.replacing(path[...], with: .string("a\0b")))
            }
        }
    }

    static let required = [
        "ociVersion", "root", "root.path", "mounts[0].destination", "process.cwd", "process.rlimits[0].type",
        "process.rlimits[0].soft", "process.rlimits[0].hard", "process.scheduler.policy", "process.ioPriority.class",
        "hooks.prestart[0].path", "linux.namespaces[0].type", "linux.uidMappings[0].size", "linux.uidMappings[0].hostID",
        "linux.devices[0].path", "linux.devices[0].type", "linux.devices[0].major", "linux.seccomp.defaultAction",
        "linux.seccomp.syscalls[0].names", "linux.seccomp.syscalls[0].action", "linux.seccomp.syscalls[0].args[0].op",
        "linux.personality.domain", "linux.memoryPolicy.mode", "linux.resources.devices[0].allow",
        "linux.resources.hugepageLimits[0].limit", "linux.resources.network.priorities[0].name",
        "linux.resources.blockIO.throttleReadBpsDevice[0].rate",
    ]

    @Test(arguments: required) func `a required field is missed by name`(name: String) {
        let path = FullConfiguration.value.paths.first { written($0) == name }!
        for value in [nil, JSONValue.null] {
            #expect(throws: ConfigurationError("is missing", path: name)) {
                try FullConfiguration.configuration(FullConfiguration.value.replacing(path[...], with: value))
            }
        }
    }

    @Test(arguments: [
        ("ociVersion", "2.0.0"), ("ociVersion", "1.4.0"), ("ociVersion", "1.0"), ("ociVersion", ""), ("process.cwd", "tmp"),
        ("process.env[0]", "PATH"), ("process.env[0]", "=x"), ("process.args[0]", ""), ("process.rlimits[0].type", "RLIMIT_X"),
        ("process.scheduler.policy", "SCHED_X"), ("process.execCPUAffinity.final", "1-"), ("process.execCPUAffinity.final", "3-1"),
        ("process.execCPUAffinity.final", "99999"), ("hooks.poststop[0].path", "a"), ("linux.namespaces[0].type", "net"),
        ("linux.namespaces[1].path", "n"), ("linux.namespaces[0].type", "ipc"), ("linux.rootfsPropagation", "none"),
        ("linux.maskedPaths[0]", "proc"), ("linux.readonlyPaths[0]", ""), ("linux.cgroupsPath", "/a/../b"),
        ("linux.devices[0].type", "x"), ("linux.devices[0].path", "dev"), ("linux.personality.domain", "BSD"),
        ("linux.memoryPolicy.mode", "MPOL_X"), ("linux.seccomp.defaultAction", "SCMP_ACT_NOTIFY"),
        ("linux.seccomp.architectures[0]", "X86"), ("linux.seccomp.flags[0]", "X"), ("linux.seccomp.syscalls[0].action", "ALLOW"),
        ("linux.resources.cpu.cpus", "a"), ("linux.resources.hugepageLimits[0].pageSize", "2M"),
        ("linux.resources.devices[0].access", "rx"), ("linux.netDevices.eth0.name", "a/b"), ("root.path", ""),
        ("hostname", String(repeating: "a", count: 65)),
    ]) func `a word that is none is refused with its path`(name: String, word: String) {
        let path = FullConfiguration.value.paths.first { written($0) == name }!
        do {
            _ = try FullConfiguration.configuration(FullConfiguration.value.replacing(path[...], with: .string(word)))
            Issue.record("\(name) may be '\(word)'")
        } catch let error as ConfigurationError {
            #expect(name.hasPrefix(error.path) || error.path.hasPrefix("linux"), "\(error)")
        } catch {
            Issue.record("\(error)")
        }
    }

    @Test(arguments: ["1.0.0", "1.0.2", "1.0.0-rc5", "1.0.2-dev", "1.1.0", "1.2.1", "1.3.0", "1.0.0+x"])
    func `older versions are taken`(version: String) throws {
        _ = try FullConfiguration.configuration(FullConfiguration.value.replacing([.key("ociVersion")], with: .string(version)))
    }

    @Test func `an unknown field is ignored and one of another platform is not`() throws {
        _ = try FullConfiguration.configuration(FullConfiguration.value.replacing([.key("unknown")], with: .array([])))
        for name in ["windows", "solaris", "vm", "zos", "freebsd"] {
            do {
                _ = try FullConfiguration.configuration(FullConfiguration.value.replacing([.key(name)], with: .object([])))
                Issue.record("\(name) is ignored")
            } catch let error as ConfigurationError {
                #expect(error.path == name)
            }
        }
    }

    @Test func `what needs a namespace says so`() throws {
        let needs = [("uts", "hostname"), ("network", "linux.netDevices"), ("time", "linux.timeOffsets"),
                     ("user", "linux.uidMappings"), ("mount", "linux.rootfsPropagation")]
        guard case .array(let all)? = FullConfiguration.value["linux"]?["namespaces"] else { return }
        for (kind, path) in needs {
            let others = all.filter { $0["type"] != .string(kind) }
            let document = FullConfiguration.value.replacing([.key("linux"), .key("namespaces")], with: .array(others))
            do {
                _ = try FullConfiguration.configuration(document)
                Issue.record("\(path) does without a \(kind) namespace")
            } catch let error as ConfigurationError {
                #expect(error.path == path)
            }
        }
    }

    @Test func `damaged documents end in errors`() {
        // Any byte may change, go or come; what is read must be read or refused, never trap.
        var seed: UInt64 = 7
        func random(_ bound: Int) -> Int {
            seed = seed &* 6364136223846793005 &+ 1442695040888963407
            return Int(seed >> 33) % bound
        }
        let text = Array(FullConfiguration.value.text().utf8)
        let interesting = Array("{}[]\",:-0123456789eE.\\u\u{0}tfn/".utf8)
        for _ in 0..<2000 {
            var copy = text
            for _ in 0...random(4) {
                let place = random(copy.count)
                switch random(4) {
                case 0: copy[place] = UInt8(random(256))
                case 1: copy[place] = interesting[random(interesting.count)]
                case 2: copy.remove(at: place)
                default: copy.removeSubrange(place..<min(copy.count, place + random(200)))
                }
                if copy.isEmpty { copy = [0x7B] }
            }
            if let configuration = try? Configuration(document: copy) {
                _ = try? ContainerPlan(configuration, PlanContext(bundle: "/b", rootfs: "/b/r", id: "id")).plan.encoded()
            }
        }
    }

    @Test func `a huge or deep document is refused`() {
        #expect(throws: ConfigurationError.self) { try Configuration(document: [UInt8](repeating: 0x20, count: Configuration.sizeMax + 1)) }
        #expect(throws: ConfigurationError.self) { try Configuration(document: [UInt8](repeating: UInt8(ascii: "["), count: 1 << 20)) }
        #expect(throws: ConfigurationError.self) { try Configuration(document: []) }
    }
}
