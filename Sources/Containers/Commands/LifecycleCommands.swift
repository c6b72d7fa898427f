// `start`, `state`, `kill`, `delete`: runtime.md, "Operations".

import CContainerInit
import Glibc
import Host
import JSON

struct StartCommand: RuntimeCommand {
    static let verb = "start"
    static let usage = "ID"
    static let abstract = "starts the program of a created container"
    var options: [Arguments.Option] { [] }

    func run(_ line: inout Arguments, _ runtime: OCIRuntime) throws -> Int32 {
        let id = try line.next("The container's id")
        try line.end()
        let directory = try runtime.store.open(id)
        guard let record = try directory.record(), record.isCreated else {
            throw RuntimeError("Container '\(id)' was never created to the end; delete it")
        }
        let status = directory.status(of: record)
        guard status == .created else { throw RuntimeError("Container '\(id)' cannot be started: it is \(status.rawValue)") }
        // An error leaves things as they were: the container stays created (runtime.md, "Errors" and "Start").
        let configuration = try directory.configuration()
        guard configuration.process != nil else {
            endWithoutProcess(record, runtime.log)
            return 0
        }
        let socket = guise_unix_connect(directory.directory.number, "start", Int32(SOCK_SEQPACKET.rawValue))
        guard socket >= 0 else { throw HostError("connect", "\(directory.path)/start") }
        let channel = Descriptor(socket)
        var word = UInt8(ascii: "g")
        guard send(socket, &word, 1, Int32(MSG_NOSIGNAL)) == 1 else { throw HostError("send", "\(directory.path)/start") }
        var message = guise_message()
        var got = 0
        repeat { got = recv(channel.number, &message, MemoryLayout<guise_message>.size, 0) } while got < 0 && errno == EINTR
        // The end of the connection is execve's success.
        if got > 0, message.kind == guise_message_error.rawValue {
            // It ends on its own; whoever asks next finds it stopped.
            Deletion.awaitEnd(Descriptor(guise_pidfd_open(record.pid)))
            throw Launch.error(message)
        }
        unlinkat(directory.directory.number, "start", 0)
        do {
            try HookRunner.run(configuration.hooks.poststart, "poststart", state: record.ociState(.running))
        } catch {
            // 1.3.0: the container is stopped, and start fails.
            ContainerCgroup(layout: CgroupLayout.ofHost(), directories: record.cgroups).killAll()
            if Processes.startTime(of: record.pid) == record.startTime { kill(record.pid, SIGKILL) }
            throw error
        }
        return 0
    }

    /// A container that has nothing to run is stopped when it is started. runtime.md wants an error; its validation suite, and
    /// engines that know crun, want this.
    private func endWithoutProcess(_ record: ContainerRecord, _ log: Log) {
        log.warn("Container '\(record.id)' has no process and is stopped by its start")
        let process = Descriptor(guise_pidfd_open(record.pid))
        guard process.number >= 0, Processes.startTime(of: record.pid) == record.startTime else { return }
        guise_pidfd_send_signal(process.number, SIGKILL)
        Deletion.awaitEnd(process)
    }
}

struct StateCommand: RuntimeCommand {
    static let verb = "state"
    static let usage = "ID"
    static let abstract = "prints the state of a container"
    var options: [Arguments.Option] { [] }

    func run(_ line: inout Arguments, _ runtime: OCIRuntime) throws -> Int32 {
        let id = try line.next("The container's id")
        try line.end()
        let directory = try runtime.store.open(id, isLocked: false)
        guard let record = try directory.record() else {
            throw RuntimeError("Container '\(id)' was never created to the end; delete it")
        }
        print(record.ociState(directory.status(of: record)).text(indent: 2))
        return 0
    }
}

struct KillCommand: RuntimeCommand {
    static let verb = "kill"
    static let usage = "[--all] ID [SIGNAL]"
    static let abstract = "sends a signal to a container's process"
    private final class Values { var isForAll = false }
    private let values = Values()
    var options: [Arguments.Option] {
        [.init(flag: "--all", "-a", help: "to every process of the container") { values.isForAll = true }]
    }

    func run(_ line: inout Arguments, _ runtime: OCIRuntime) throws -> Int32 {
        let id = try line.next("The container's id")
        let signal = try Signals.number(line.nextIfAny() ?? "SIGTERM")
        try line.end()
        let directory = try runtime.store.open(id)
        guard let record = try directory.record() else {
            throw RuntimeError("Container '\(id)' was never created to the end; delete it")
        }
        if values.isForAll {
            let cgroup = ContainerCgroup(layout: CgroupLayout.ofHost(), directories: record.cgroups)
            for pid in cgroup.processes() { kill(pid, signal) }
            return 0
        }
        let status = directory.status(of: record)
        guard status != .stopped, record.pid > 0 else { throw RuntimeError("Container '\(id)' cannot be signalled: it is stopped") }
        // A descriptor names the process even if its number is used again.
        let process = Descriptor(guise_pidfd_open(record.pid))
        guard process.number >= 0, Processes.startTime(of: record.pid) == record.startTime else {
            throw RuntimeError("Container '\(id)' cannot be signalled: it is stopped")
        }
        guard guise_pidfd_send_signal(process.number, signal) == 0 else { throw HostError("pidfd_send_signal", "container '\(id)'") }
        return 0
    }
}

struct DeleteCommand: RuntimeCommand {
    static let verb = "delete"
    static let usage = "[--force] ID"
    static let abstract = "removes a stopped container"
    private final class Values { var force = false }
    private let values = Values()
    var options: [Arguments.Option] {
        [.init(flag: "--force", "-f", help: "kill it first; no error if there is none") { values.force = true }]
    }

    func run(_ line: inout Arguments, _ runtime: OCIRuntime) throws -> Int32 {
        let id = try line.next("The container's id")
        try line.end()
        let directory: StateDirectory
        do {
            directory = try runtime.store.open(id)
        } catch let error as RuntimeError {
            guard values.force, access("\(runtime.store.path)/\(id)", F_OK) != 0 else { throw error }
            return 0
        }
        try Deletion.delete(directory, force: values.force, log: runtime.log)
        return 0
    }
}

enum Deletion {
    /// Removes all that a container has, whatever state a crash left it in. The directory must be locked.
    static func delete(_ directory: StateDirectory, force: Bool, log: Log) throws {
        guard let record = try? directory.record() else {
            // Its maker was killed before it made anything else.
            try directory.remove()
            return
        }
        let status = directory.status(of: record)
        guard force || status == .stopped else {
            throw RuntimeError("Container '\(record.id)' cannot be deleted: it is \(status.rawValue); stop it or use --force")
        }
        let process = Descriptor(guise_pidfd_open(record.pid))
        if record.pid > 0, process.number >= 0, Processes.startTime(of: record.pid) == record.startTime {
            guise_pidfd_send_signal(process.number, SIGKILL)
        }
        let cgroup = ContainerCgroup(layout: CgroupLayout.ofHost(), directories: record.cgroups)
        cgroup.killAll()
        awaitEnd(process)
        try cgroup.remove(parents: record.cgroupParents)
        if let depth = record.hostMountDepth { HostMounts.remove(record.rootfs, downTo: depth) }
        let configuration = try? directory.configuration()
        try directory.remove()
        // A failing poststop hook is told, but everything else still happens (runtime.md, lifecycle step 13).
        for (index, hook) in (configuration?.hooks.poststop ?? []).enumerated() {
            do {
                try HookRunner.run([hook], "poststop", state: record.ociState(.stopped))
            } catch {
                log.warn("poststop hook \(index): \(error)")
            }
        }
    }

    /// Waits until a process, given by a descriptor, has ended: at most ten seconds.
    static func awaitEnd(_ process: Descriptor) {
        guard process.number >= 0 else { return }
        var wait = pollfd(fd: process.number, events: Int16(POLLIN), revents: 0)
        poll(&wait, 1, 10000)
    }
}

enum Signals {
    private static let names = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
        "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
        "PWR", "SYS",
    ]

    /// A signal by number or name, with or without SIG.
    static func number(_ text: String) throws -> Int32 {
        if let number = Int32(text), (0...64).contains(number) { return number }
        let upper = text.uppercased()
        let name = upper.hasPrefix("SIG") ? String(upper.dropFirst(3)) : upper
        if let index = names.firstIndex(of: name) { return Int32(index + 1) }
        if name == "POLL" { return SIGIO }
        if name.hasPrefix("RTMIN"), let offset = Int32(name.dropFirst(5).isEmpty ? "0" : name.dropFirst(6)), (0...30).contains(offset) {
            return 34 + offset
        }
        if name.hasPrefix("RTMAX"), let offset = Int32(name.dropFirst(5).isEmpty ? "0" : name.dropFirst(6)), (0...30).contains(offset) {
            return 64 - offset
        }
        throw RuntimeError("'\(text)' is no signal")
    }
}
