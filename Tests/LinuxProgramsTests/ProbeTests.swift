// Small C programs for the guest, compiled here with Debian's cross compiler and run by the `guise` that was built beside
// these tests (or the one GUISE_BINARY names). Each prints one line per claim; Tests/Probes/linux holds them.

import Foundation
import Testing

/// An architecture that probes are compiled for.
struct ProbeTarget: Sendable, CustomTestStringConvertible {
    let name: String
    let compiler: String
    var options: [String] = []

    static let riscv64 = ProbeTarget(name: "riscv64", compiler: "/usr/bin/riscv64-linux-gnu-gcc")
    static let x86_64 = ProbeTarget(name: "x86_64", compiler: "/usr/bin/x86_64-linux-gnu-gcc")
    static let i386 = ProbeTarget(
        name: "i386", compiler: "/usr/bin/i686-linux-gnu-gcc", options: ["-msse2", "-D_FILE_OFFSET_BITS=64"])
    static let all = [riscv64, x86_64, i386].filter { FileManager.default.isExecutableFile(atPath: $0.compiler) }
    static var x86: [ProbeTarget] { all.filter { $0.name != riscv64.name } }
    var testDescription: String { name }
}

/// The tools a probe needs.
enum ProbeTools {
    /// The compiler of the tests that are about one architecture.
    static let compiler = ProbeTarget.riscv64.compiler
    static let sources = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Probes/linux")
    static let guise: String = ProcessInfo.processInfo.environment["GUISE_BINARY"]
        ?? URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().appendingPathComponent("guise").path
    static let directory: URL = {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("linux-probes-\(getpid())")
        try? FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        return url
    }()
    static var areInstalled: Bool {
        FileManager.default.isExecutableFile(atPath: compiler) && FileManager.default.isExecutableFile(atPath: guise)
    }

    /// After so long a program is killed, with its process group, and its test fails.
    static let patienceSeconds = 60

    /// What a program printed, and how it ended: exit status, or 128 + signal.
    static func run(_ path: String, _ arguments: [String], environment: [String: String]? = nil) throws -> (output: String, status: Int32) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.currentDirectoryURL = directory
        if let environment { process.environment = environment }
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        process.standardInput = FileHandle.nullDevice
        // Test threads may block signals; a program inherits that, and rightly waits for ever for its alarms.
        var none = sigset_t(), before = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        try process.run()
        // Foundation makes each program the leader of a process group.
        let id = process.processIdentifier
        let killer = DispatchWorkItem { if kill(-id, SIGKILL) != 0 { kill(id, SIGKILL) } }
        DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(patienceSeconds), execute: killer)
        defer { killer.cancel() }
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        let signal: Int32 = process.terminationReason == .uncaughtSignal ? 128 : 0
        return (String(decoding: data, as: UTF8.self), signal + process.terminationStatus)
    }

    /// Compiles a probe; the path of the program.
    static func compile(_ name: String, _ options: [String], for target: ProbeTarget = .riscv64) throws -> String {
        // Programs look at their own names: a directory for each architecture.
        let place = directory.appendingPathComponent(target.name)
        try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
        let program = place.appendingPathComponent(name).path
        let built = try run(
            target.compiler,
            ["-O1", "-w", "-pthread", sources.appendingPathComponent(name + ".c").path, "-o", program, "-lutil", "-lrt"] + target.options + options)
        try #require(built.status == 0, "\(built.output)")
        return program
    }

    /// Compiles a text to a program.
    static func compile(text: String, name: String, _ options: [String], for target: ProbeTarget = .riscv64) throws -> String {
        let place = target.name == ProbeTarget.riscv64.name ? directory : directory.appendingPathComponent(target.name)
        try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
        let source = place.appendingPathComponent(name + ".c")
        try text.write(to: source, atomically: true, encoding: .utf8)
        let program = place.appendingPathComponent(name).path
        let built = try run(target.compiler, ["-O1", "-w", source.path, "-o", program] + target.options + options)
        try #require(built.status == 0, "\(built.output)")
        return program
    }
}

@Suite(.enabled(if: ProbeTools.areInstalled, "needs gcc-riscv64-linux-gnu and the guise binary"), .serialized)
struct ProbeTests {
    @Test(arguments: ["signals", "threads", "processes", "memory", "files"], ProbeTarget.all)
    func `a probe finds Linux as it should be`(_ name: String, _ target: ProbeTarget) throws {
        try check(name, target)
    }

    @Test(.enabled(if: !ProbeTarget.x86.isEmpty, "needs gcc or gcc-i686-linux-gnu"), arguments: ProbeTarget.x86)
    func `x86 programs find what only they have`(_ target: ProbeTarget) throws {
        try check("x86", target)
    }

    private func check(_ name: String, _ target: ProbeTarget) throws {
        let program = try ProbeTools.compile(name, ["-static"], for: target)
        let result = try ProbeTools.run("/usr/bin/timeout", ["-s", "KILL", "60", ProbeTools.guise, "run", program])
        let wrong = result.output.split(separator: "\n").filter { !$0.hasPrefix("ok ") && $0 != "done" }
        #expect(wrong.isEmpty, "\(wrong.joined(separator: "\n"))")
        #expect(result.output.hasSuffix("done\n") && result.status == 0, "status \(result.status)")
    }

    static let hello = """
        #include <stdio.h>
        #include <stdlib.h>
        int main(int c, char **v) {
            printf("%d %s %s\\n", c, c > 1 ? v[1] : "", getenv("PROBE") ? getenv("PROBE") : "");
            return c;
        }
        """

    @Test(arguments: [["-static"], ["-no-pie"], ["-pie"]])
    func `static, dynamic and position-independent programs run`(_ options: [String]) throws {
        let program = try ProbeTools.compile(text: Self.hello, name: "hello\(options.joined())", options)
        let result = try ProbeTools.run(ProbeTools.guise, ["run", "--env", "PROBE=set", program, "--root", "x"])
        #expect(result.output == "3 --root set\n")
        #expect(result.status == 3)
    }

    @Test func `a guest's death by a signal is ours`() throws {
        let program = try ProbeTools.compile(text: "int main(void) { *(volatile int *)0 = 1; }", name: "dies", ["-static"])
        #expect(try ProbeTools.run(ProbeTools.guise, ["run", program]).status == 128 + 11)
    }

    @Test func `system calls are logged`() throws {
        let program = try ProbeTools.compile(
            text: "#include <unistd.h>\nint main(void) { chdir(\"/\"); return syscall(4999) == -1 ? 0 : 1; }", name: "logged", ["-static"])
        let log = ProbeTools.directory.appendingPathComponent("log")
        let result = try ProbeTools.run(ProbeTools.guise, ["run", "--log", "syscalls,file=log", program])
        let text = try String(contentsOf: log, encoding: .utf8)
        #expect(result.status == 0 && result.output.isEmpty)
        #expect(text.contains("chdir(\"/\") = 0\n"))
        #expect(text.contains("syscall_4999") && text.contains("ENOSYS"))
    }

    static let failingStarts: [(arguments: [String], status: Int32)] = [
        (["run", "/nonexistent/program"], 127), (["run", "/etc"], 126), (["run", "/etc/passwd"], 126),
        (["run", "--root", "/nonexistent", "x"], 125), (["run", "--engine", "none", "x"], 125), (["run"], 125),
    ]

    @Test(arguments: failingStarts)
    func `a start that fails says why by its status`(_ start: (arguments: [String], status: Int32)) throws {
        let result = try ProbeTools.run(ProbeTools.guise, start.arguments)
        #expect(result.status == start.status)
        #expect(result.output.hasPrefix("guise: "))
    }

    /// Debian's cross C library for riscv64 cannot link the second kind.
    private static let damagedKinds = ProbeTarget.all.map { ($0, "-static") } + ProbeTarget.x86.map { ($0, "-static-pie") }

    @Test(arguments: damagedKinds)
    func `damaged programs are refused or die, and never crash guise`(_ kind: (target: ProbeTarget, option: String)) throws {
        let (target, option) = kind
        let program = try ProbeTools.compile(text: Self.hello, name: "whole", [option], for: target)
        let whole = [UInt8](try Data(contentsOf: URL(fileURLWithPath: program)))
        let path = ProbeTools.directory.appendingPathComponent("damaged-\(target.name)\(option)")
        // ELF header and program headers.
        let (header, entry) = whole[4] == 2 ? (64, 56) : (52, 32)
        let fields = header + entry * Int(whole[whole[4] == 2 ? 56 : 44])
        let cuts = [0, 3, 16, header - 1, header, header + entry / 2, 400, 5000]
        var random = FuzzRandom(seed: 7)
        for round in 0..<Fuzz.rounds(16) {
            var bytes = whole
            if round < cuts.count {
                bytes.removeLast(bytes.count - cuts[round])
            } else if round % 2 == 0 {
                for _ in 0..<3 { bytes[Int.random(in: 4..<fields, using: &random)] = UInt8.random(in: 0...255, using: &random) }
            } else {
                // A whole field at an edge of its range.
                let at = header + Int.random(in: 0..<(fields - header) / 8, using: &random) * 8
                let edges: [UInt64] = [0, 1, .max, .max - 4095, 1 << 63, 0x7fff_ffff_f000, 1 << 32, 0xffff_f000, 0x1000]
                let value = edges.randomElement(using: &random)!
                for index in 0..<8 { bytes[at + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index)) }
            }
            try Data(bytes).write(to: path)
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path.path)
            let result = try ProbeTools.run("/usr/bin/timeout", ["-s", "KILL", "10", ProbeTools.guise, "run", path.path])
            #expect(!result.output.contains("internal error") && !result.output.contains("Fatal error"),
                    "round \(round): \(result.output)")
        }
    }

    @Test func `a root is the guest's whole world`() throws {
        let program = try ProbeTools.compile(text: Self.rooted, name: "rooted", ["-static"])
        let root = ProbeTools.directory.appendingPathComponent("root")
        let files = FileManager.default
        try? files.removeItem(at: root)
        for name in ["bin", "etc", "deep/er", "tmp"] {
            try files.createDirectory(at: root.appendingPathComponent(name), withIntermediateDirectories: true)
        }
        try files.copyItem(atPath: program, toPath: root.appendingPathComponent("bin/rooted").path)
        try "guest".write(to: root.appendingPathComponent("etc/name"), atomically: true, encoding: .utf8)
        let result = try ProbeTools.run(ProbeTools.guise, ["run", "--root", root.path, "/bin/rooted"])
        let wrong = result.output.split(separator: "\n").filter { !$0.hasPrefix("ok ") && $0 != "done" }
        #expect(wrong.isEmpty && result.output.hasSuffix("done\n"), "\(result.output)")
    }

    static let rooted = """
        #include "\(ProbeTools.sources.path)/probe.h"
        #include <sys/socket.h>
        #include <sys/un.h>
        static int is_name(const char *p) { char b[8] = {0}; int fd = open(p, O_RDONLY); read(fd, b, 7); close(fd); return !strcmp(b, "guest"); }
        int main(int argc, char **argv) {
            if (argc > 1) return 44;
            char b[4096];
            CHECK("the current directory is inside", getcwd(b, sizeof b) && !strcmp(b, "/"));
            CHECK("absolute paths", is_name("/etc/name") && is_name("//etc/./name"));
            CHECK("dotdot stops at the root", is_name("/../../../etc/name") && is_name("../../etc/name"));
            symlink("/etc/name", "/deep/absolute"); symlink("../etc/name", "/deep/relative"); symlink("/deep", "/deep/er/up");
            CHECK("absolute links start at the root", is_name("/deep/absolute") && is_name("/deep/relative") && is_name("/deep/er/up/er/up/absolute"));
            symlink("loop", "/tmp/loop");
            CHECK("loops are ELOOP", open("/tmp/loop", O_RDONLY) < 0 && errno == ELOOP);
            CHECK("links out of the root lead nowhere", (symlink("../../../../../../../etc/hostname-not-here", "/tmp/out"), open("/tmp/out", O_RDONLY)) < 0 && errno == ENOENT);
            CHECK("chdir and relative paths", chdir("/deep/er") == 0 && is_name("../absolute") && getcwd(b, sizeof b) && !strcmp(b, "/deep/er"));
            int d = open("/deep", O_RDONLY | O_DIRECTORY);
            int fd = openat(d, "absolute", O_RDONLY);
            CHECK("openat", fd >= 0);
            snprintf(b, sizeof b, "/proc/self/fd/%d", fd); char l[64] = {0};
            CHECK("links of descriptors show guest names", readlink(b, l, 63) > 0 && !strcmp(l, "/etc/name"));
            memset(l, 0, sizeof l);
            CHECK("so does exe", readlink("/proc/self/exe", l, 63) > 0 && !strcmp(l, "/bin/rooted"));
            CHECK("host files are out of reach", access("\(ProbeTools.compiler)", F_OK) < 0 && errno == ENOENT);
            CHECK("/dev and /proc are there", access("/dev/null", W_OK) == 0 && access("/proc/self/status", R_OK) == 0);
            CHECK("rename and link by absolute path", rename("/tmp/loop", "/deep/moved") == 0 && lstat("/deep/moved", &(struct stat){0}) == 0);
            struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/tmp/sock"}; socklen_t n = sizeof un; int s = socket(AF_UNIX, SOCK_DGRAM, 0);
            CHECK("sockets", bind(s, (void *)&un, sizeof un) == 0 && (memset(&un, 0, sizeof un), getsockname(s, (void *)&un, &n)) == 0 && !strcmp(un.sun_path, "/tmp/sock") && access("/tmp/sock", F_OK) == 0);
            pid_t k = fork(); if (!k) { char *a[] = {"x", "y", 0}; execv("/bin/rooted", a); _exit(1); }
            int st; waitpid(k, &st, 0); CHECK("execve inside", WEXITSTATUS(st) == 44);
            k = fork(); if (!k) { char *a[] = {"x", 0}; execv("/usr/bin/env", a); _exit(errno == ENOENT ? 45 : 1); }
            waitpid(k, &st, 0); CHECK("host programs are out of reach", WEXITSTATUS(st) == 45);
            return finish();
        }
        """
}
