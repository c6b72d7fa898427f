// `guise completion SHELL`: prints the completion script, for a package or for `source <(guise completion bash)`.

import ArgumentParser

/// `guise completion`.
struct CompletionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "completion",
        abstract: "Print a completion script for a shell."
    )

    @Argument(help: "bash, zsh or fish.", completion: .list(["bash", "zsh", "fish"]))
    var shell: String

    func validate() throws {
        guard CompletionShell(rawValue: shell) != nil else {
            throw ValidationError("No completion for shell '\(shell)'; there is one for bash, zsh and fish")
        }
    }

    func run() throws {
        guard let shell = CompletionShell(rawValue: shell) else { return }
        print(Guise.completionScript(for: shell))
    }
}
