// `create` and `run`: runtime.md, "create".

import CContainerInit
import Glibc
import Host

/// The options of both.
final class CreationArguments {
    var creation = CreationOptions()
    var detaches = false
    var keeps = false

    var shared: [Arguments.Option] {
        [
            .init("--bundle", "-b", value: "DIR", "the bundle; the working directory if not given") { self.creation.bundle = $0 },
            .init("--config", "-f", value: "FILE", "another name than config.json") { self.creation.config = $0 },
            .init("--pid-file", value: "FILE", "where the process number is written") { self.creation.pidFile = $0 },
            .init("--console-socket", value: "SOCKET", "the socket that receives the terminal") { self.creation.consoleSocket = $0 },
            .init("--preserve-fds", value: "N", "descriptors after standard error that stay open") {
                let count: Int = try number($0, "--preserve-fds")
                guard (0...4096).contains(count) else { throw RuntimeError("--preserve-fds must lie between 0 and 4096") }
                self.creation.preservedDescriptors = count
            },
            .init(flag: "--no-pivot", help: "move the root instead of pivot_root, for an initramfs") { self.creation.usesPivot = false },
            .init(flag: "--no-new-keyring", help: "keep the session keyring") { self.creation.makesKeyring = false },
            .init(flag: "--no-subreaper", help: "accepted for compatibility") {},
        ]
    }
}

struct CreateCommand: RuntimeCommand {
    static let verb = "create"
    static let usage = "[OPTIONS] ID"
    static let abstract = "makes a container from a bundle"
    private let arguments = CreationArguments()
    var options: [Arguments.Option] { arguments.shared }

    func run(_ line: inout Arguments, _ runtime: OCIRuntime) throws -> Int32 {
        arguments.creation.id = try line.next("The container's id")
        try line.end()
        let terminal = arguments.creation.consoleSocket
        let creation = try Creation(arguments.creation, store: runtime.store, log: runtime.log)
        if creation.configuration.process?.isTerminal ?? false, terminal == nil {
            creation.abandon()
            throw RuntimeError("process.terminal is true: create needs --console-socket")
        }
        _ = try creation.start(waits: true)
        return 0
    }
}

struct RunCommand: RuntimeCommand {
    static let verb = "run"
    static let usage = "[OPTIONS] ID"
    static let abstract = "makes a container, starts it and waits for it"
    private let arguments = CreationArguments()
    var options: [Arguments.Option] {
        arguments.shared + [
            .init(flag: "--detach", "-d", help: "do not wait") { arguments.detaches = true },
            .init(flag: "--keep", help: "do not delete the container when it ends") { arguments.keeps = true },
        ]
    }

    func run(_ line: inout Arguments, _ runtime: OCIRuntime) throws -> Int32 {
        arguments.creation.id = try line.next("The container's id")
        try line.end()
        // Orphans of a container without a pid namespace come here rather than to the host's init.
        if !arguments.detaches { guise_become_subreaper() }
        let creation = try Creation(arguments.creation, store: runtime.store, log: runtime.log)
        if creation.configuration.process?.isTerminal ?? false, arguments.detaches, arguments.creation.consoleSocket == nil {
            creation.abandon()
            throw RuntimeError("process.terminal is true: run --detach needs --console-socket")
        }
        let terminal = try creation.start(waits: false)
        do {
            try HookRunner.run(creation.configuration.hooks.poststart, "poststart", state: creation.record.ociState(.running))
        } catch {
            creation.abandon()
            throw error
        }
        if arguments.detaches { return 0 }
        creation.directory.unlock()
        let status = try Foreground.wait(for: creation.record.pid, terminal: terminal)
        if !arguments.keeps {
            let directory = try runtime.store.open(creation.record.id)
            try Deletion.delete(directory, force: true, log: runtime.log)
        }
        return status
    }
}
