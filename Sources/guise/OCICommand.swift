// `guise oci …`: the OCI runtime, which is also a program of its own, `guise-oci`.

import ArgumentParser
import Containers
import Glibc

/// `guise oci`.
struct OCICommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "oci",
        abstract: "Run containers by the OCI runtime specification; guise oci --help lists the commands."
    )

    // The runtime's own command line, which other runtimes have shaped.
    @Argument(parsing: .captureForPassthrough, help: "What guise-oci is given.")
    var arguments: [String] = []

    func run() throws {
        Glibc.exit(OCIRuntime.main(arguments))
    }
}
