// The annotation org.guise.landlock: what it may say, and the steps it becomes. landlock(7).

import CContainerInit
@testable import Containers
import JSON
import Testing

@Suite struct LandlockTests {
    static let full = """
        {"files": {"handled": ["execute", "read_file", "read_dir", "write_file"], "rules": [
            {"paths": ["/bin", "/lib"], "allowed": ["execute", "read_file"]}, {"paths": ["/tmp"], "allowed": ["write_file"]}]},
         "ports": {"handled": ["bind_tcp", "connect_tcp"], "rules": [{"ports": [80, 443], "allowed": ["connect_tcp"]}]},
         "scoped": ["signal"]}
        """

    @Test func `a full document is read`() throws {
        let landlock = try Landlock(annotation: Self.full, version: 7)
        #expect(landlock.files == 0b1111)
        #expect(landlock.ports == 0b11)
        #expect(landlock.scoped == 0b10)
        #expect(landlock.pathRules.map(\.path) == ["/bin", "/lib", "/tmp"])
        #expect(landlock.pathRules.map(\.allowed) == [5, 5, 2])
        #expect(landlock.pathRules[1].place == "files.rules[0].paths[1]")
        #expect(landlock.portRules.map(\.port) == [80, 443])
    }

    @Test(arguments: [
        ("", ""), ("[]", ""), ("{}", ""), ("{\"files\": {}}", "files.handled"), ("{\"file\": {}}", "file"),
        ("{\"files\": {\"handled\": [\"read\"]}}", "files.handled[0]"),
        ("{\"files\": {\"handled\": [\"execute\"], \"rules\": [{\"paths\": [\"/\"], \"allowed\": [\"read_dir\"]}]}}", "files.rules[0].allowed"),
        ("{\"files\": {\"handled\": [\"execute\"], \"rules\": [{\"paths\": [\"/\"], \"allowed\": []}]}}", "files.rules[0].allowed"),
        ("{\"files\": {\"handled\": [\"execute\"], \"rules\": [{\"paths\": [\"a\"], \"allowed\": [\"execute\"]}]}}", "files.rules[0].paths[0]"),
        ("{\"files\": {\"handled\": [\"execute\"], \"rules\": [{\"path\": [], \"allowed\": [\"execute\"]}]}}", "files.rules[0].path"),
        ("{\"ports\": {\"handled\": [\"bind_tcp\"], \"rules\": [{\"ports\": [65536], \"allowed\": [\"bind_tcp\"]}]}}", "ports.rules[0].ports[0]"),
        ("{\"scoped\": [\"files\"]}", "scoped[0]"), ("{\"scoped\": []}", ""),
    ]) func `what is wrong is named`(text: String, path: String) {
        let error = #expect(throws: ConfigurationError.self) { try Landlock(annotation: text, version: 7) }
        #expect(error?.path == path)
    }

    @Test(arguments: [("files", "refer", 1), ("files", "truncate", 2), ("files", "ioctl_dev", 4), ("ports", "bind_tcp", 3)] as [(String, String, Int32)])
    func `a right that the kernel does not know is refused`(section: String, right: String, version: Int32) throws {
        let text = "{\"\(section)\": {\"handled\": [\"\(right)\"]}}"
        let error = #expect(throws: ConfigurationError.self) { try Landlock(annotation: text, version: version) }
        #expect(error?.reason.contains("this kernel has \(version)") == true)
        _ = try Landlock(annotation: text, version: version + 1)
    }

    @Test func `a kernel without landlock refuses it`() {
        let error = #expect(throws: ConfigurationError.self) { try Landlock(annotation: Self.full, version: 0) }
        #expect(error?.reason.contains("has no landlock") == true)
    }

    @Test func `every process of the container obeys it, after it cannot gain privileges`() throws {
        guard guise_landlock_version() > 0 else { return }
        var document = FullConfiguration.value.replacing([.key("annotations"), .key(Landlock.annotation)], with: .string(
            "{\"files\": {\"handled\": [\"execute\"], \"rules\": [{\"paths\": [\"/bin\"], \"allowed\": [\"execute\"]}]}}"))
        document = document.replacing([.key("process"), .key("noNewPrivileges")], with: .boolean(true))
        let configuration = try FullConfiguration.configuration(document)
        let order = [guise_op_landlock_ruleset, guise_op_landlock_path, guise_op_user, guise_op_no_new_privileges,
                     guise_op_landlock_restrict, guise_op_execute].map(\.rawValue)
        var context = PlanContext(bundle: "/b", rootfs: "/b/r", id: "id")
        for index in configuration.mounts.indices { context.idmaps[index] = 9 }
        let plans = [
            try ContainerPlan(configuration, context).plan,
            try ExecPlan.build(configuration.process!, configuration: configuration, context: context, joinsUserFirst: false, rootPath: nil).plan,
        ]
        for plan in plans { #expect(plan.steps.map(\.operation).filter(order.contains) == order) }
        let without = try FullConfiguration.configuration(document.replacing([.key("process"), .key("noNewPrivileges")], with: .boolean(false)))
        let error = #expect(throws: ConfigurationError.self) { try ContainerPlan(without, context) }
        #expect(error?.reason == "needs process.noNewPrivileges")
    }
}
