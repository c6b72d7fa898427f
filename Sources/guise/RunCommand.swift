// `guise run`: a Linux program of another architecture, as if it were one of the host's.

import ArgumentParser
import Glibc
import LinuxPrograms

/// `guise run [--root DIR] [--env K=V] [--engine E] [--cpu MODEL] [--log LIST[,file=F]] PROGRAM [ARGS…]`.
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a Linux program for riscv64, x86_64 or i386.",
        discussion: """
            Standard input, output and error, the arguments, the environment and the exit status are the program's own. \
            Without --root its interpreter and libraries are looked for in the usual cross root, \
            such as /usr/riscv64-linux-gnu or /usr/i686-linux-gnu. Everything after PROGRAM belongs to it.
            """
    )

    @Option(name: .long, help: ArgumentHelp("Directory that is the guest's root; needs no privilege.", valueName: "dir"), completion: .directory)
    var root: String?

    @Option(name: .long, parsing: .singleValue, help: ArgumentHelp("Set (K=V) or unset (K) an environment variable.", valueName: "k=v"))
    var env: [String] = []

    @Option(name: .long, help: ArgumentHelp("Engine: \(EngineChoice.names.joined(separator: ", ")).", valueName: "engine"), completion: .list(EngineChoice.names))
    var engine = "auto"

    @Option(name: .long, help: ArgumentHelp("Processor model of x86 programs, with ',+feature' and ',-feature' (default: max).",
                                            valueName: "model"), completion: .list(ProcessorChoice.names))
    var cpu: String?

    @Option(name: .long, help: ArgumentHelp("Log \(LogCategory.names.joined(separator: ", ")), to standard error or ,file=F.", valueName: "list"))
    var log: String?

    @Argument(parsing: .captureForPassthrough, help: ArgumentHelp("The program and its arguments.", valueName: "program"), completion: .file())
    var command: [String] = []

    func validate() throws {
        guard EngineChoice.names.contains(engine) else {
            throw ValidationError("No engine '\(engine)' for programs; there is \(EngineChoice.names.joined(separator: ", "))")
        }
        if let cpu, let mistake = ProcessorChoice.mistake(in: cpu) { throw ValidationError(mistake) }
        if let log, let wrong = LogCategory.unknown(in: log) {
            throw ValidationError("Nothing called '\(wrong)' to log; there is \(LogCategory.names.joined(separator: ", ")), and file=F")
        }
        guard let program = command.first, program != "--help", program != "-h" else { return }
        if program.hasPrefix("--") && program != "--" { throw ValidationError("Unknown option '\(program)'") }
    }

    func run() throws {
        var command = command
        if command.first == "--" { command.removeFirst() }
        guard let program = command.first else { throw ValidationError("No program given; see guise run --help") }
        if program == "--help" || program == "-h" { throw CleanExit.helpRequest(self) }
        var options = ProgramOptions()
        options.root = root ?? ""
        options.engine = engine
        options.cpu = cpu ?? ""
        options.log = LogCategory.absolute(log ?? "")
        do {
            try ProgramRunner.run(
                program, arguments: Array(command.dropFirst()), environment: environment(), options: options)
        } catch let failure as ProgramStartError {
            throw CommandFailure(failure.description, status: failure.status)
        }
    }

    /// Ours, changed as `--env` says, the last word winning.
    private func environment() -> [String] {
        var result: [String] = []
        var entry = environ
        while let text = entry.pointee {
            result.append(String(cString: text))
            entry += 1
        }
        for change in env {
            let name = change.prefix { $0 != "=" }
            result.removeAll { $0.prefix { $0 != "=" } == name }
            if change.contains("=") { result.append(change) }
        }
        return result
    }

    /// Called before anything is parsed: this process may be what a guest's execve made.
    static func continueIfExecuted() {
        ProgramRunner.continueIfExecuted()
    }
}
