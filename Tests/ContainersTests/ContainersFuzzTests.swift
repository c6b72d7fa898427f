// Random documents for everything of the runtime that reads what others wrote: config.json, state.json, resources of `update`, the
// landlock annotation, mountinfo. Nothing may trap; what is accepted becomes a setup plan in which every offset holds; and the
// document that is written from what was read means the same. Documents are changed as trees, so that most are still JSON, and
// then some as bytes.

import CContainerInit
@testable import Containers
import JSON
import Testing

/// Numbers that are the same for the same seed.
struct Mutator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func number(_ bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % bound
    }

    mutating func pick<Value>(_ values: [Value]) -> Value { values[number(values.count)] }

    private static let scalars: [JSONValue] = [
        .null, .boolean(true), .boolean(false), .unsigned(0), .unsigned(1), .unsigned(4096), .unsigned(UInt64(UInt32.max)), .unsigned(.max),
        .unsigned(UInt64(Int64.max)), .negative(-1), .negative(.min), .real(0.5), .real(-1e308), .array([]), .object([]),
    ]
    private static let texts = [
        "", "/", "..", "/..", "/a/../b", "a", "a\0b", "é\u{1F600}", "-1", "0-", "0-8191", "8192", "max", "%n%s", "net.", ".x", "net/../x",
        "SCMP_ACT_NOTIFY", "SCMP_ACT_KILL_PROCESS", "bind", "remount", "ridmap", "rro", "tmpcopyup", "size=1", "mount", "user", "time",
        "PATH=", "=", "MPOL_DEFAULT", "SCHED_FIFO", "1.3.0", "2MB", "CAP_ALL", "RLIMIT_AS", "\u{FFFD}", "\u{202E}",
    ]

    /// A value that is likely to be wrong there.
    mutating func value(in whole: JSONValue) -> JSONValue {
        switch number(6) {
        case 0: pick(Self.scalars)
        case 1: .string(pick(Self.texts))
        case 2: .string(String(repeating: pick(Self.texts), count: number(2000)))
        case 3: whole.value(at: pick(whole.paths))
        case 4: .array(Array(repeating: whole.value(at: pick(whole.paths)), count: number(8)))
        default: .members([(pick(Self.texts), pick(Self.scalars))])
        }
    }

    /// The document with a change somewhere.
    mutating func changed(_ whole: JSONValue) -> JSONValue {
        let path = pick(whole.paths)
        guard !path.isEmpty else { return whole }
        let current = whole.value(at: path)
        switch (number(5), current) {
        case (0, _): return whole.replacing(path[...], with: nil)
        case (1, .array(let elements)) where !elements.isEmpty:
            return whole.replacing(path[...], with: .array(elements + elements.prefix(number(3) + 1)))
        case (2, .string(let text)):
            var bytes = Array(text.utf8)
            if !bytes.isEmpty { bytes[number(bytes.count)] = UInt8(number(128)) }
            return whole.replacing(path[...], with: .string(String(decoding: bytes, as: UTF8.self)))
        case (3, .object(let members)):
            return whole.replacing(path[...], with: .object(members.filter { _ in number(4) > 0 }))
        default: return whole.replacing(path[...], with: value(in: whole))
        }
    }

    /// The text with damaged bytes.
    mutating func damaged(_ text: [UInt8]) -> [UInt8] {
        var copy = text
        for _ in 0...number(4) where !copy.isEmpty {
            let place = number(copy.count)
            switch number(4) {
            case 0: copy[place] = UInt8(number(256))
            case 1: copy[place] = pick(Array("{}[]\",:-0123456789eE.\\u\u{0}tfn/ \n".utf8))
            case 2: copy.remove(at: place)
            default: copy.removeSubrange(place..<min(copy.count, place + number(200)))
            }
        }
        return copy
    }

    /// A document some changes away from another, as text.
    mutating func document(from whole: JSONValue) -> [UInt8] {
        var value = whole
        for _ in 0...number(4) { value = changed(value) }
        let text = Array(value.text().utf8)
        return number(4) == 0 ? damaged(text) : text
    }
}

extension JSONValue {
    func value(at path: [Step]) -> JSONValue {
        path.reduce(self) { value, step in
            switch (value, step) {
            case (_, .key(let key)): value[key] ?? .null
            case (.array(let elements), .index(let index)): elements[index]
            default: .null
            }
        }
    }
}

/// Whether a plan is one that the interpreter can follow: offsets inside, strings and lists that end, operations that exist.
private func isSound(_ plan: [UInt8]) -> Bool {
    plan.withUnsafeBytes { raw in
        let header = raw.loadUnaligned(as: guise_plan_header.self)
        let stride = MemoryLayout<guise_step>.stride
        guard header.magic == UInt32(guise_plan_magic), Int(header.size) == plan.count, plan.last == 0, header.steps % 8 == 0,
              Int(header.steps) + Int(header.step_count) * stride <= plan.count else { return false }
        func ends(_ offset: UInt32, after count: UInt64) -> Bool {
            var at = Int(offset)
            for _ in 0..<count {
                guard at < Int(header.steps) else { return false }
                while plan[at] != 0 { at += 1 }
                at += 1
            }
            return true
        }
        guard ends(header.environment, after: UInt64(header.environment_count)) else { return false }
        for index in 0..<Int(header.step_count) {
            let step = raw.loadUnaligned(fromByteOffset: Int(header.steps) + index * stride, as: guise_step.self)
            guard step.operation >= 1, step.operation <= guise_op_landlock_restrict.rawValue,
                  [step.text, step.text2, step.text3, step.label].allSatisfy({ $0 <= header.steps }) else { return false }
            switch guise_operation(step.operation) {
            case guise_op_hook, guise_op_execute:
                guard ends(step.text2, after: step.a), ends(step.text3, after: step.b) else { return false }
            case guise_op_mount: guard ends(step.text2, after: step.a) else { return false }
            case guise_op_user: guard Int(step.text2) + 4 * Int(step.flags) <= plan.count else { return false }
            case guise_op_seccomp: guard Int(step.text2) + 8 * Int(step.a) <= plan.count else { return false }
            case guise_op_affinity: guard Int(step.text2) + Int(step.a) <= plan.count else { return false }
            case guise_op_memory_policy: guard Int(step.text2) + Int(step.b) <= plan.count else { return false }
            case guise_op_scheduler: guard Int(step.text2) + 48 <= plan.count else { return false }
            case guise_op_capabilities: guard Int(step.text2) + 8 <= plan.count else { return false }
            default: break
            }
        }
        return true
    }
}

@Suite struct ContainersFuzzTests {
    private func plan(_ configuration: Configuration) throws -> [UInt8] {
        var context = PlanContext(bundle: "/b", rootfs: "/b/r", id: "id")
        for index in configuration.mounts.indices { context.idmaps[index] = 9 }
        return try ContainerPlan(configuration, context).plan.encoded()
    }

    @Test func `an unsound plan is told from a sound one`() throws {
        let sound = try plan(try FullConfiguration.configuration())
        let verdicts = [isSound(sound), isSound(Array(sound.dropLast()))]
        #expect(verdicts == [true, false])
        let steps = sound.withUnsafeBytes { Int($0.loadUnaligned(as: guise_plan_header.self).steps) }
        for offset in [0, MemoryLayout<guise_step>.offset(of: \.text)!, MemoryLayout<guise_step>.offset(of: \.label)!] {
            var damaged = sound
            damaged[steps + offset + 3] = 0x7F
            let isDamagedSound = isSound(damaged)
            #expect(!isDamagedSound, "offset \(offset)")
        }
    }

    /// Rounds with an own seed each, so that a failure can be repeated alone.
    private func rounds(_ usual: Int, _ first: UInt64, _ body: (inout Mutator) throws -> Void) rethrows {
        for round in 0..<UInt64(Fuzz.rounds(usual)) {
            var mutator = Mutator(seed: Fuzz.seed(first) &+ round &* 0x2545_F491_4F6C_DD1D)
            try body(&mutator)
        }
    }

    @Test func `a random configuration is refused with a place or becomes a sound plan`() {
        var accepted = 0
        rounds(400, 11) { mutator in
            let document = mutator.document(from: FullConfiguration.value)
            do {
                let configuration = try Configuration(document: document)
                let first = try plan(configuration)
                accepted += 1
                let isFirstSound = isSound(first)
                #expect(isFirstSound, "\(String(decoding: document, as: UTF8.self))")
                // Written by our own writer, it means the same.
                let again = try Configuration(document: Array(try JSONReader.read(document).text(indent: 2).utf8))
                let isSame = try plan(again) == first
                #expect(isSame, "\(String(decoding: document, as: UTF8.self))")
                if let process = configuration.process {
                    let context = PlanContext(bundle: "/b", rootfs: "/b/r", id: "id")
                    let exec = try ExecPlan.build(process, configuration: configuration, context: context, joinsUserFirst: false, rootPath: nil)
                    let isExecSound = isSound(exec.plan.encoded())
                    #expect(isExecSound, "exec: \(String(decoding: document, as: UTF8.self))")
                }
            } catch let error as ConfigurationError {
                #expect(!error.reason.isEmpty)
            } catch {
                Issue.record("\(error): \(String(decoding: document, as: UTF8.self))")
            }
        }
        // The changes are small enough that the plan is reached.
        #expect(accepted > Fuzz.rounds(400) / 50)
    }

    @Test func `random JSON is refused or written and read again as the same`() {
        rounds(400, 12) { mutator in
            let document = mutator.document(from: FullConfiguration.value)
            guard let value = try? JSONReader.read(document) else { return }
            for indent in [0, 2] { #expect((try? JSONReader.read(Array(value.text(indent: indent).utf8))) == value) }
        }
    }

    @Test func `a random state is refused or keeps its meaning`() {
        var record = ContainerRecord(
            id: "a", ociVersion: "1.0.0", bundle: "/b", rootfs: "/b/r", annotations: ["k": "v"], created: "2026-01-01T00:00:00Z", owner: 0)
        record.cgroups = ["/sys/fs/cgroup/pids/a"]
        record.hostMountDepth = 3
        rounds(400, 13) { mutator in
            guard let read = try? ContainerRecord(document: mutator.document(from: record.json)) else { return }
            let again = try? ContainerRecord(document: Array(read.json.text().utf8))
            #expect(again == read)
            _ = read.ociState(.running).text()
        }
    }

    @Test func `random resources are refused or become writes below the container's cgroups`() throws {
        let resources = try #require(FullConfiguration.value["linux"]?["resources"])
        let controllers = ["memory", "cpu", "cpuset", "pids", "hugetlb", "rdma", "io", "blkio", "net_cls", "net_prio"]
        let layouts = [true, false].map { isUnified in
            ContainerCgroup(layout: CgroupLayout(hierarchies: [
                CgroupHierarchy(mountPoint: "/none", mountRoot: "/", controllers: controllers, isUnified: isUnified, ownPath: "/"),
            ]), configuredPath: "/x", id: "x")
        }
        rounds(400, 14) { mutator in
            guard let value = try? JSONReader.read(mutator.document(from: resources)), let read = try? Resources(Node(value)) else { return }
            for layout in layouts {
                for write in (try? layout.writes(for: read)) ?? [] {
                    #expect(!write.file.contains("/") && !write.file.hasPrefix(".") && !write.value.contains("\0"), "\(write)")
                }
            }
            _ = DeviceProgram(rules: read.devices).instructions
        }
    }

    @Test func `a random landlock annotation is refused or a ruleset`() throws {
        let document = try JSONReader.read(Array(LandlockTests.full.utf8))
        rounds(400, 15) { mutator in
            let text = String(decoding: mutator.document(from: document), as: UTF8.self)
            guard let landlock = try? Landlock(annotation: text, version: 7) else { return }
            var plan = SetupPlan()
            landlock.addRuleset(to: &plan)
            landlock.addRestriction(to: &plan)
            #expect(isSound(plan.encoded()) && landlock.pathRules.allSatisfy { $0.path.hasPrefix("/") && $0.allowed & ~landlock.files == 0 })
        }
    }

    @Test func `random lines of mountinfo are taken or left`() {
        let lines = CgroupTests.v1.enumerated().map { "\(30 + $0.offset) 23 0:28 \($0.element)" }.joined(separator: "\n")
        rounds(1000, 16) { mutator in
            let mounts = mutator.damaged(Array(lines.utf8))
            let own = String(decoding: mutator.damaged(Array(CgroupTests.v1Own.joined(separator: "\n").utf8)), as: UTF8.self)
            for hierarchy in CgroupLayout(mountInfo: mounts, ownCgroups: own, controllers: { _ in "cpu" }).hierarchies {
                let path = CgroupLayout.path(configured: nil, id: "id", in: hierarchy)
                #expect(path.hasPrefix("/") && !path.split(separator: "/").contains(".."), "\(path)")
            }
        }
    }
}
