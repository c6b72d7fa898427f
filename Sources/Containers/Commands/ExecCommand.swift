// `exec`: a further process in a running container.

import CContainerInit
import Glibc
import Host
import JSON

struct ExecCommand: RuntimeCommand {
    static let verb = "exec"
    static let usage = "[OPTIONS] ID PROGRAM [ARGUMENTS]"
    static let abstract = "runs a program in a running container"

    private final class Values {
        var processFile: String?, isTerminal = false, environment: [String] = [], workingDirectory: String?, user: String?
        var capabilities: [String] = [], noNewPrivileges = false, detaches = false, pidFile: String?, consoleSocket: String?
        var preservedDescriptors = 0, apparmor: String?, label: String?, cgroup: String?, ignoresPause = false
        var groups: [UInt32] = []
    }
    private let values = Values()

    var options: [Arguments.Option] {
        [
            .init("--process", "-p", value: "FILE", "the process as config.json has it") { values.processFile = $0 },
            .init(flag: "--tty", "-t", help: "give it a terminal") { values.isTerminal = true },
            .init("--env", "-e", value: "NAME=VALUE", "a variable of its environment") { values.environment.append($0) },
            .init("--cwd", value: "DIR", "its working directory") { values.workingDirectory = $0 },
            .init("--user", "-u", value: "UID[:GID]", "whose process it is") { values.user = $0 },
            .init("--additional-gids", "-g", value: "GID", "a supplementary group") {
                values.groups.append(try number($0, "--additional-gids"))
            },
            .init("--cap", "-c", value: "NAME", "a capability more") { values.capabilities.append($0) },
            .init(flag: "--no-new-privs", help: "execve grants no privileges") { values.noNewPrivileges = true },
            .init(flag: "--detach", "-d", help: "do not wait") { values.detaches = true },
            .init("--pid-file", value: "FILE", "where the process number is written") { values.pidFile = $0 },
            .init("--console-socket", value: "SOCKET", "the socket that receives the terminal") { values.consoleSocket = $0 },
            .init("--preserve-fds", value: "N", "descriptors after standard error that stay open") {
                let count: Int = try number($0, "--preserve-fds")
                guard (0...4096).contains(count) else { throw RuntimeError("--preserve-fds must lie between 0 and 4096") }
                values.preservedDescriptors = count
            },
            .init("--apparmor", value: "PROFILE", "its AppArmor profile") { values.apparmor = $0 },
            .init("--process-label", value: "LABEL", "its SELinux label") { values.label = $0 },
            .init("--cgroup", value: "PATH", "a cgroup below the container's") { values.cgroup = $0 },
            .init(flag: "--ignore-paused", help: "also in a paused container, where it waits") { values.ignoresPause = true },
            .init(flag: "--no-subreaper", help: "accepted for compatibility") {},
        ]
    }

    func run(_ line: inout Arguments, _ runtime: OCIRuntime) throws -> Int32 {
        let id = try line.next("The container's id")
        let program = line.all()
        for number in 0..<values.preservedDescriptors where fcntl(Int32(3 + number), F_GETFD) < 0 {
            throw RuntimeError("--preserve-fds \(values.preservedDescriptors): descriptor \(3 + number) is not open")
        }
        let directory = try runtime.store.open(id)
        guard let record = try directory.record(), record.isCreated else { throw RuntimeError("Container '\(id)' is not running") }
        let status = directory.status(of: record)
        guard status == .running || status == .created || (status == .paused && values.ignoresPause) else {
            throw RuntimeError("Container '\(id)' cannot run a program: it is \(status.rawValue)")
        }
        let configuration = try directory.configuration()
        let process = try makeProcess(program, configuration)
        guard !process.isTerminal || !values.detaches || values.consoleSocket != nil else {
            throw RuntimeError("A detached program with a terminal needs --console-socket")
        }
        let execution = try Execution(process, configuration: configuration, record: record, cgroup: values.cgroup, log: runtime.log)
        execution.preservedDescriptors = values.preservedDescriptors
        // Others may use the container meanwhile.
        directory.unlock()
        if !values.detaches { guise_become_subreaper() }
        let terminal = try execution.start(consoleSocket: values.consoleSocket, pidFile: values.pidFile)
        return values.detaches ? 0 : try Foreground.wait(for: execution.pid, terminal: terminal)
    }

    /// The process: from --process, or the container's own with what the options change.
    private func makeProcess(_ program: [String], _ configuration: Configuration) throws -> ProcessConfiguration {
        var process: ProcessConfiguration
        if let file = values.processFile {
            let document = try JSONReader.read(HostFiles.read(file, sizeMax: Configuration.sizeMax))
            process = try ProcessConfiguration(Node(document))
            guard program.isEmpty else { throw RuntimeError("--process and a program exclude each other") }
        } else {
            guard let own = configuration.process else { throw ConfigurationError("is missing", path: "process") }
            guard !program.isEmpty else { throw RuntimeError("The program is missing; see --help") }
            process = own
            process.arguments = program
            process.isTerminal = values.isTerminal
        }
        guard let first = process.arguments.first, !first.isEmpty else { throw ConfigurationError("must hold a program", path: "process.args") }
        if values.isTerminal { process.isTerminal = true }
        for variable in values.environment {
            guard let equals = variable.firstIndex(of: "="), equals != variable.startIndex else {
                throw RuntimeError("--env '\(variable)' is not of the form NAME=value")
            }
            process.environment.removeAll { $0.hasPrefix(variable[...equals]) }
            process.environment.append(variable)
        }
        if let path = values.workingDirectory {
            guard path.hasPrefix("/") else { throw RuntimeError("--cwd '\(path)' must be an absolute path") }
            process.workingDirectory = path
        }
        if let user = values.user {
            let parts = user.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count <= 2, let uid = UInt32(parts[0]), let gid = parts.count == 2 ? UInt32(parts[1]) : uid == 0 ? 0 : process.user.gid
            else { throw RuntimeError("--user '\(user)' must be UID or UID:GID in numbers") }
            process.user.uid = uid
            process.user.gid = gid
        }
        process.user.additionalGids += values.groups
        for name in values.capabilities {
            guard let index = CapabilitySet.names.firstIndex(of: name.uppercased()) else {
                throw RuntimeError("--cap '\(name)' is no capability")
            }
            var sets = process.capabilities ?? CapabilitySets()
            let bit = CapabilitySet(rawValue: 1 << UInt64(index))
            sets.bounding.formUnion(bit)
            sets.permitted.formUnion(bit)
            sets.effective.formUnion(bit)
            process.capabilities = sets
        }
        if values.noNewPrivileges { process.noNewPrivileges = true }
        if let profile = values.apparmor { process.apparmorProfile = profile }
        if let label = values.label { process.selinuxLabel = label }
        return process
    }
}
