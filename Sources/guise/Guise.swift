// The root command: `guise --help`, `--version`, and the exit status of everything.
// Absent: verbs. Each has a file of its own beside this one and a place in `subcommands`.

import ArgumentParser
import Glibc

/// The command `guise`.
@main
struct Guise: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "guise",
        abstract: "Runs programs and machines of other architectures.",
        discussion: """
            Messages and progress go to standard error only: standard input, output and error are the guest's.
            The exit status is the guest's own; 125 when Guise itself fails or is called wrongly, 126 when the target \
            cannot be executed, 127 when it is not found, and 128 plus the number of a signal that ended the guest.
            """,
        version: "guise \(Version.text)",
        subcommands: [
            RunCommand.self,
            BootCommand.self,
            SuspendCommand.self,
            ResumeCommand.self,
            OCICommand.self,
            CompletionCommand.self,
        ]
    )

    /// Parses, runs and exits. Replaces ArgumentParser's own entry point, whose statuses for failures are others.
    static func main() {
        RunCommand.continueIfExecuted()
        do {
            try checkVerb(CommandLine.arguments.dropFirst().first)
            var command = try parseAsRoot()
            try command.run()
        } catch {
            leave(error)
        }
        Glibc.exit(ExitStatus.success)
    }

    /// Names an unknown verb; ArgumentParser would complain about the first option after it.
    private static func checkVerb(_ word: String?) throws {
        guard let word, !word.hasPrefix("-"), word != "help" else { return }
        let verbs = configuration.subcommands.compactMap { $0.configuration.commandName }
        guard !verbs.contains(word) else { return }
        throw CommandFailure("No verb '\(word)'; there are \(verbs.joined(separator: ", ")). See guise --help")
    }

    private static func leave(_ error: Error) -> Never {
        switch error {
        case let code as ExitCode:
            Glibc.exit(code.rawValue)
        case let failure as CommandFailure:
            complain(failure.message)
            Glibc.exit(failure.status)
        default:
            // Help and the version are requests, and go to standard output.
            if exitCode(for: error) == .success { exit(withError: error) }
            let text = fullMessage(for: error)
            complain(text.hasPrefix("Error: ") ? String(text.dropFirst("Error: ".count)) : text)
            Glibc.exit(ExitStatus.ownFailure)
        }
    }

    private static func complain(_ message: String) {
        fputs("guise: \(message)\n", stderr)
    }
}
