// The program `guise-oci`: options of the runtime, then a command. The same options as runc and crun, so that engines can use it.

import Glibc
import Host
import JSON

/// A command of the runtime.
protocol RuntimeCommand {
    /// The word on the command line, what follows it, and what it does.
    static var verb: String { get }
    static var usage: String { get }
    static var abstract: String { get }
    init()
    /// The options; each stores what it reads in the command.
    var options: [Arguments.Option] { get }
    /// Does it.
    /// - Returns: the exit status.
    func run(_ arguments: inout Arguments, _ runtime: OCIRuntime) throws -> Int32
}

/// The runtime with the options that stand before the command.
public final class OCIRuntime {
    private(set) var store = StateStore(path: "")
    private(set) var log: Log

    static let commands: [any RuntimeCommand.Type] = [
        CreateCommand.self, StartCommand.self, RunCommand.self, StateCommand.self, KillCommand.self, DeleteCommand.self,
        ExecCommand.self, ListCommand.self, ProcessesCommand.self, PauseCommand.self, ResumeCommand.self, UpdateCommand.self,
        EventsCommand.self, SpecCommand.self, FeaturesCommand.self,
    ]

    private init() throws { log = try Log(path: nil, isJSON: false, isDebug: false) }

    /// Reads a command line and does what it says.
    /// - Parameter arguments: without the program's name.
    /// - Returns: the exit status: 0, 1 for a failure of the runtime, or that of the container's program for `run` and `exec`.
    public static func main(_ arguments: [String]) -> Int32 {
        // Writes to a closed pipe or socket are errors, not signals.
        signal(SIGPIPE, SIG_IGN)
        var log: Log?
        do {
            let runtime = try OCIRuntime()
            log = runtime.log
            return try runtime.run(Arguments(arguments)) { log = $0 }
        } catch let error as RuntimeError {
            log?.error(error.description)
            return error.status
        } catch {
            log?.error("\(error)")
            return 1
        }
    }

    private func run(_ line: Arguments, _ use: (Log) -> Void) throws -> Int32 {
        var line = line
        var root: String?, logPath: String?, isJSON = false, isDebug = false, showsVersion = false, wantsSystemd = false
        let options: [Arguments.Option] = [
            .init("--root", value: "DIR", "where the state of containers lives") { root = $0 },
            .init("--log", value: "FILE", "where messages go instead of standard error") { logPath = $0 },
            .init("--log-format", value: "FORMAT", "text or json") {
                guard $0 == "text" || $0 == "json" else { throw RuntimeError("--log-format is text or json, not '\($0)'") }
                isJSON = $0 == "json"
            },
            .init(flag: "--debug", help: "more messages") { isDebug = true },
            .init("--log-level", value: "LEVEL", "error, warning or debug") {
                guard ["error", "warning", "debug"].contains($0) else { throw RuntimeError("--log-level '\($0)' is unknown") }
                isDebug = $0 == "debug"
            },
            .init("--cgroup-manager", value: "NAME", "cgroupfs; systemd and disabled are refused") {
                guard $0 == "cgroupfs" else { wantsSystemd = true; return }
            },
            .init(flag: "--systemd-cgroup", help: "refused: cgroups are made by the runtime itself") { wantsSystemd = true },
            .init("--rootless", value: "WORD", "ignored; the runtime looks for itself") { _ in },
            .init(flag: "--version", "-v", help: "the version") { showsVersion = true },
        ]
        do {
            try line.read(options)
        } catch is HelpRequest {
            print(Self.help(options))
            return 0
        }
        log = try Log(path: logPath, isJSON: isJSON, isDebug: isDebug)
        use(log)
        if showsVersion {
            print("guise-oci version \(Self.version)\nspec: \(Self.specification)")
            return 0
        }
        if wantsSystemd {
            let hasSystemd = access("/run/systemd/system", F_OK) == 0
            throw RuntimeError(hasSystemd
                ? "--systemd-cgroup: cgroups through systemd are not supported; use the engine's cgroupfs manager"
                : "--systemd-cgroup: systemd does not run on this host; use the engine's cgroupfs manager")
        }
        store = StateStore(path: try HostFiles.absolute(root ?? StateStore.defaultPath()))
        guard let word = line.nextIfAny(), word != "help" else {
            print(Self.help(options))
            return 0
        }
        guard let type = Self.commands.first(where: { $0.verb == word }) else {
            throw RuntimeError("No command '\(word)'; there are \(Self.commands.map { $0.verb }.joined(separator: ", "))")
        }
        let command = type.init()
        do {
            try line.read(command.options)
            return try command.run(&line, self)
        } catch is HelpRequest {
            print("guise-oci \(type.verb) \(type.usage)\n\n\(type.abstract)\n")
            for option in command.options { print(option.line) }
            return 0
        }
    }

    private static func help(_ options: [Arguments.Option]) -> String {
        var text = "guise-oci [OPTIONS] COMMAND [OPTIONS] ARGUMENTS\n\nRuns containers by the OCI runtime specification.\n\n"
        for command in commands {
            let name = command.verb + String(repeating: " ", count: max(1, 10 - command.verb.utf8.count))
            text += "  \(name)\(command.abstract)\n"
        }
        return text + "\n" + options.map(\.line).joined(separator: "\n")
    }

    /// The runtime's own version and the newest specification it knows.
    public static let version = "0.1.0"
    public static let specification = "1.3.0"
}
