import Foundation
import Testing

/// What the suite needs of the host.
private enum SelfModifyingTools {
    static let compiler = "/usr/bin/x86_64-linux-gnu-gcc"
    static var canRun: Bool {
        FileManager.default.isExecutableFile(atPath: compiler) && FileManager.default.isExecutableFile(atPath: ProbeTools.guise)
    }
}

/// x86 programs that write to their own code; compiled by the host's compiler.
@Suite(.enabled(if: SelfModifyingTools.canRun, "needs gcc for x86-64 and the guise binary"), .serialized)
struct SelfModifyingTests {
    static let compiler = SelfModifyingTools.compiler

    @Test(arguments: ["translate", "interpret"])
    func `changed code is what runs`(_ engine: String) throws {
        let program = ProbeTools.directory.appendingPathComponent("selfmodify").path
        let source = ProbeTools.sources.appendingPathComponent("selfmodify.c").path
        let built = try ProbeTools.run(Self.compiler, ["-O1", "-w", "-static", source, "-o", program])
        try #require(built.status == 0, "\(built.output)")
        let result = try ProbeTools.run("/usr/bin/timeout", ["60", ProbeTools.guise, "run", "--engine", engine, program])
        let wrong = result.output.split(separator: "\n").filter { !$0.hasPrefix("ok ") && $0 != "done" }
        #expect(wrong.isEmpty, "\(wrong.joined(separator: "\n"))")
        #expect(result.output.hasSuffix("done\n") && result.status == 0, "status \(result.status)")
    }
}
