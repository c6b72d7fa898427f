// guise resume: continues a machine that guise suspend wrote.

import ArgumentParser
import Machines

/// `guise resume`.
struct ResumeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume",
        abstract: "Continue a suspended machine.",
        discussion: "The machine continues where it was suspended, in this process and on this terminal. "
            + "The file stays and can be resumed again only with the disks as they were.")

    @Argument(help: "A file written by guise suspend.")
    var file: String

    @Option(help: "Engine: auto, translate or interpret (default: the one it ran on).")
    var engine: EngineChoice?

    @Option(help: ArgumentHelp("What to log to standard error: blocks,faults.", valueName: "topics"))
    var log: String?

    func run() throws {
        let reader = try SnapshotReader(path: file)
        let machine = try Machine(resuming: reader, engine: engine, in: try machineEnvironment(log: log))
        throw ExitCode(try machine.run().exitStatus)
    }
}
