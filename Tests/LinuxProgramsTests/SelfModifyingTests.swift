import Foundation
import Testing

/// What the suite needs. Apart from it, because the suite's own trait cannot name the suite.
private enum X86Compiler {
    static let path = "/usr/bin/x86_64-linux-gnu-gcc"
    static var canRun: Bool {
        FileManager.default.isExecutableFile(atPath: path) && FileManager.default.isExecutableFile(atPath: ProbeTools.guise)
    }
}

/// x86 programs that write to their own code; compiled by the host's compiler.
@Suite(.enabled(if: X86Compiler.canRun, "needs gcc for x86-64 and the guise binary"), .serialized)
struct SelfModifyingTests {
    @Test(arguments: ["translate", "interpret"])
    func `changed code is what runs`(_ engine: String) throws {
        let program = ProbeTools.directory.appendingPathComponent("selfmodify").path
        let source = ProbeTools.sources.appendingPathComponent("selfmodify.c").path
        let built = try ProbeTools.run(X86Compiler.path, ["-O1", "-w", "-static", source, "-o", program])
        try #require(built.status == 0, "\(built.output)")
        let result = try ProbeTools.run("/usr/bin/timeout", ["60", ProbeTools.guise, "run", "--engine", engine, program])
        let wrong = result.output.split(separator: "\n").filter { !$0.hasPrefix("ok ") && $0 != "done" }
        #expect(wrong.isEmpty, "\(wrong.joined(separator: "\n"))")
        #expect(result.output.hasSuffix("done\n") && result.status == 0, "status \(result.status)")
    }
}
