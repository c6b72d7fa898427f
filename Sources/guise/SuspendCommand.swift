// guise suspend: stops a running machine and writes all of it into a file.

import ArgumentParser
import Machines

/// `guise suspend`.
struct SuspendCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "suspend",
        abstract: "Write a running machine into a file and end it.",
        discussion: "The machine must have been started with --name. Its disks and the file now belong together: "
            + "guise resume FILE continues it.")

    @Argument(help: "The machine's name.")
    var name: String

    @Argument(help: "The file to write; an existing one is replaced once the new one is complete.")
    var file: String

    func run() throws {
        try MachineControl.suspend(name: name, file: absolute(file))
    }
}
