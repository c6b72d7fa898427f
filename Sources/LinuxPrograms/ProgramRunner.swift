// `guise run`: starting a program in this process, and carrying on after a guest's execve.

import CHost
import Glibc
import TranslatedCPU

/// Exit statuses of a command that runs another (as env(1), nohup(1) and shells use them).
public enum ProgramStatus {
    public static let guiseFailed: Int32 = 125
    public static let cannotExecute: Int32 = 126
    public static let notFound: Int32 = 127
}

/// A start that failed: what to say and how to end.
public struct ProgramStartError: Error, CustomStringConvertible {
    public let status: Int32
    public let description: String
}

/// Runs Linux programs of foreign architectures in this process.
public enum ProgramRunner {
    /// Runs a program; returns only when it could not be started.
    public static func run(
        _ program: String, arguments: [String], environment: [String], options: ProgramOptions
    ) throws -> Never {
        var options = options
        if !options.root.isEmpty { options.root = try enter(root: options.root) }
        let paths = GuestPaths(root: options.root, crossRoot: options.root.isEmpty ? linuxABIs[0].crossRoot : "")
        let path = Array(find(program, paths).utf8)
        let argv = ([program] + arguments).map { Array($0.utf8) }
        let resolved: ResolvedProgram
        switch ProgramResolver(paths: paths).resolve(path, at: currentDirectory, flags: 0, arguments: argv) {
        case .failure(let why):
            let status = why.errno == ENOENT || why.errno == ENOTDIR ? ProgramStatus.notFound : ProgramStatus.cannotExecute
            throw ProgramStartError(status: status, description: "\(program): \(explain(why.errno))")
        case .success(let found): resolved = found
        }
        let host = readLink("/proc/self/fd/\(resolved.file)") ?? ""
        let continuation = Continuation(
            file: resolved.file, path: resolved.path, executable: paths.guestName(Array(host.utf8)), options: options)
        try start(continuation, host: host, arguments: resolved.arguments, environment: environment.map { Array($0.utf8) })
    }

    /// Carries on when this process is the image of a guest's execve; returns when it is not.
    public static func continueIfExecuted() {
        guard getenv(Continuation.name) != nil else { return }
        var environment: [[UInt8]] = []
        var found: Continuation?
        var entry = environ
        while let text = entry.pointee {
            let bytes = Array(UnsafeBufferPointer(start: text, count: strlen(text)).map { UInt8(bitPattern: $0) })
            if let c = Continuation(entry: bytes) { found = c } else { environment.append(bytes) }
            entry += 1
        }
        guard let continuation = found else { return }
        let arguments = CommandLine.arguments.isEmpty ? [[]] : rawArguments()
        let host = readLink("/proc/self/fd/\(continuation.file)") ?? ""
        do {
            try start(continuation, host: host, arguments: arguments, environment: environment)
        } catch {
            // The kernel ends a process whose new image cannot be set up in the same way.
            write("guise: \(String(decoding: continuation.path, as: UTF8.self)): \(error)")
            _ = hostCall(.exit_group, Int(ProgramStatus.cannotExecute))
        }
    }

    private static func rawArguments() -> [[UInt8]] {
        (0..<Int(CommandLine.argc)).map { i in
            guard let text = CommandLine.unsafeArgv[i] else { return [] }
            return UnsafeBufferPointer(start: text, count: strlen(text)).map { UInt8(bitPattern: $0) }
        }
    }

    /// Makes a root usable: absolute, and the current directory inside it.
    private static func enter(root: String) throws -> String {
        guard let resolved = realpath(root, nil) else {
            throw ProgramStartError(status: ProgramStatus.guiseFailed, description: "\(root): \(explain(errno)); name an existing directory with --root")
        }
        defer { free(resolved) }
        let path = String(cString: resolved)
        if path.contains("\u{1f}") {
            throw ProgramStartError(status: ProgramStatus.guiseFailed, description: "\(root): control characters in the root's path are not supported")
        }
        let rules = GuestPaths(root: path, crossRoot: "")
        let here = readLink("/proc/self/cwd") ?? "/"
        if rules.isTranslating, rules.inside(Array(here.utf8)) == nil {
            let r = path.withCString { hostCall(.chdir, Int(bitPattern: $0)) }
            guard r == 0 else {
                throw ProgramStartError(status: ProgramStatus.guiseFailed, description: "\(root): \(explain(Int32(-r)))")
            }
        }
        return path
    }

    /// A name without slash is looked for here, then along PATH.
    private static func find(_ program: String, _ paths: GuestPaths) -> String {
        guard !program.isEmpty, !program.contains("/") else { return program }
        func isFile(_ candidate: String) -> Bool {
            let fd = paths.open(Array(candidate.utf8), flags: 0o10000000)
            guard fd >= 0 else { return false }
            _ = hostCall(.close, fd)
            return true
        }
        if isFile(program) { return program }
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
        for directory in path.split(separator: ":") where isFile("\(directory)/\(program)") { return "\(directory)/\(program)" }
        return program
    }

    private static func explain(_ code: Int32) -> String {
        switch code {
        case ENOEXEC: "not a program of an architecture that guise can run, nor a script"
        default: String(cString: strerror(code))
        }
    }

    private static func write(_ message: String) {
        var line = message + "\n"
        line.withUTF8 { _ = hostCall(.write, 2, Int(bitPattern: $0.baseAddress!), $0.count) }
    }

    private static func start(
        _ c: Continuation, host: String, arguments: [[UInt8]], environment: [[UInt8]]
    ) throws -> Never {
        let name = String(decoding: c.path, as: UTF8.self)
        func fail(_ error: Error, _ status: Int32) -> ProgramStartError {
            if let load = error as? LoadError {
                return ProgramStartError(status: ProgramStatus.cannotExecute, description: "\(name): \(load.reason)")
            }
            return ProgramStartError(status: status, description: "\(name): \(error)")
        }
        guard let head = readAt(c.file, 0, 64), let header = ELFHeader(head),
            let abi = linuxABIs.first(where: { header.isProgram(of: $0) })
        else { throw ProgramStartError(status: ProgramStatus.cannotExecute, description: "\(name): \(explain(ENOEXEC))") }
        let process: GuestProcess, cpu: UserCPU
        do {
            try X86Processor.choose(c.options.cpu)
        } catch { throw fail(error, ProgramStatus.guiseFailed) }
        guard !abi.needsLongMode || X86Processor.hasLongMode else {
            throw ProgramStartError(status: ProgramStatus.cannotExecute,
                                    description: "\(name): a 64-bit program, and --cpu \(c.options.cpu) is a 32-bit processor")
        }
        do {
            process = try GuestProcess(abi: abi, options: c.options)
            cpu = try process.engine.makeCPU()
        } catch { throw fail(error, ProgramStatus.guiseFailed) }
        process.executablePath = String(decoding: c.executable, as: UTF8.self)
        process.hostExecutablePath = host
        process.personality = c.personality
        process.limits.addressSpace = (c.addressLimits[0], c.addressLimits[1])
        process.limits.data = (c.addressLimits[2], c.addressLimits[3])
        // Loading touches pages of files that may be shorter than they say.
        installHandlers()
        do {
            try process.load(
                c.file, InitialStack(arguments: arguments, environment: environment, executablePath: c.path),
                registers: cpu.registers)
        } catch { throw fail(error, ProgramStatus.guiseFailed) }
        _ = hostCall(.close, Int(c.file))
        let comm = c.path.split(separator: 0x2f).last.map(Array.init) ?? []
        let setName = 15
        _ = withCPath(comm) { hostCall(.prctl, setName, $0) }
        let thread = GuestThread(process: process, cpu: cpu, actions: initialActions(ignored: c.ignored))
        var mask: UInt64 = 0
        withUnsafeMutablePointer(to: &mask) { _ = hostCall(.rt_sigprocmask, 0, 0, Int(bitPattern: $0), 8) }
        thread.bind()
        thread.applyMask((mask & ~SignalSet.reserved) | c.blocked)
        thread.run()
        // The first thread's loop ends only with its process.
        while true { _ = hostCall(.exit_group, 0) }
    }

    /// Dispositions as the host has them: handlers became default by execve, ignored ones stay.
    private static func initialActions(ignored: UInt64) -> SignalActions {
        let actions = SignalActions.allocate(capacity: GuestThread.signalCount + 1)
        actions.initialize(repeating: GuestSignalAction(), count: GuestThread.signalCount + 1)
        for signal in 1...GuestThread.signalCount {
            let isIgnored = SignalSet.isReserved(signal)
                ? ignored & SignalSet.bit(signal) != 0
                : guise_get_disposition(Int32(signal)) == Int32(guise_ignore.rawValue)
            if isIgnored { actions[signal].handler = 1 }
        }
        return actions
    }

    private static func installHandlers() {
        installEngineHooks()
        for signal in SignalSet.reservedSignals { guise_set_disposition(signal, Int32(guise_catch.rawValue), 0) }
    }
}
