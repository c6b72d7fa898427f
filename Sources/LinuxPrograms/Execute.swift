// execve. A guest program replaces this process by executing our own binary again; the kernel then does all that execve
// does to threads, descriptors, signals and timers. The new image learns what to load from one entry at the end of its
// environment, so that argv and the rest of the environment are the guest's own, in /proc too. binfmt_misc is not used.
// Host programs are executed directly unless a root confines the guest or the guest is an x86 one itself. Semantics: execve(2), fs/exec.c, binfmt_script.c.

import CHost
import Glibc

/// What one execution hands to the next, in the environment entry named `name`.
struct Continuation {
    static let name = "GUISE_CONTINUES"
    /// The program, open for reading.
    var file: Int32
    /// AT_EXECFN, and the name for /proc/self/exe.
    var path: [UInt8]
    var executable: [UInt8]
    /// Signals whose state the host cannot keep because the emulator needs them: `SignalSet.reserved`.
    var blocked: UInt64
    var ignored: UInt64
    var personality: UInt64
    var addressLimits: [UInt64]
    var options: ProgramOptions

    private static let separator: Character = "\u{1f}"

    var entry: [UInt8] {
        let numbers = [UInt64(file), blocked, ignored, personality] + addressLimits
        var text = Array("\(Continuation.name)=\(numbers.map(String.init).joined(separator: ","))".utf8)
        for field in [options.root, options.engine, options.log, options.cpu] {
            text.append(0x1f)
            text += field.utf8
        }
        text.append(0x1f)
        text += String(path.count).utf8
        text.append(0x1f)
        return text + path + executable
    }

    /// Reads an environment entry; nil when it is not one, or not whole.
    init?(entry: [UInt8]) {
        let prefix = Array((Continuation.name + "=").utf8)
        guard entry.starts(with: prefix) else { return nil }
        let fields = entry.dropFirst(prefix.count).split(separator: 0x1f, maxSplits: 6, omittingEmptySubsequences: false)
        guard fields.count == 7 else { return nil }
        let text = { (i: Int) in String(decoding: fields[i], as: UTF8.self) }
        let numbers = text(0).split(separator: ",").compactMap { UInt64($0) }
        guard numbers.count == 8, let split = Int(text(5)), split >= 0, split <= fields[6].count else { return nil }
        file = Int32(truncatingIfNeeded: numbers[0])
        blocked = numbers[1]
        ignored = numbers[2]
        personality = numbers[3]
        addressLimits = Array(numbers[4...])
        options = ProgramOptions()
        options.root = text(1)
        options.engine = text(2)
        options.log = text(3)
        options.cpu = text(4)
        path = Array(fields[6].prefix(split))
        executable = Array(fields[6].dropFirst(split))
    }

    init(file: Int32, path: [UInt8], executable: [UInt8], options: ProgramOptions) {
        self.file = file
        self.path = path
        self.executable = executable
        self.options = options
        blocked = 0
        ignored = 0
        personality = 0
        addressLimits = [.max, .max, .max, .max]
    }
}

/// A program found, and the arguments that scripts put before its own.
struct ResolvedProgram {
    var file: Int32
    var path: [UInt8]
    var arguments: [[UInt8]]
    var isHost: Bool
}

/// Follows `#!` lines down to a program.
struct ProgramResolver {
    let paths: GuestPaths
    /// What /proc/self/exe stands for: guest name, host path, and our own file's identity.
    var ownExecutable: (host: String, device: UInt64, inode: UInt64)?
    /// The architecture of the program that executes; nil: `guise run` itself, which translates whatever it is given.
    let guest: (any LinuxABI)?
    private static let scriptDepthMax = 5

    init(paths: GuestPaths, guest: (any LinuxABI)? = nil) {
        self.paths = paths
        self.guest = guest
    }

    /// Whether a program of the host's is executed by the host: not by x86 guests, whose own programs look the same.
    private func isForHost(_ header: ELFHeader) -> Bool {
        guard let guest, !paths.isTranslating else { return false }
        let hostMachines = [ELFHeader.hostMachine, ELFHeader.i386Machine]
        return hostMachines.contains(header.machine) && !hostMachines.contains(guest.elfMachine)
    }

    /// Resolves a path; the result's file is open. Failure is -errno.
    func resolve(_ path: [UInt8], at directory: Int32, flags: Int, arguments: [[UInt8]]) -> Result<ResolvedProgram, ResolveFailure> {
        var path = path
        var directory = directory
        var flags = flags
        var arguments = arguments
        for _ in 0...ProgramResolver.scriptDepthMax {
            let opened = open(path, at: directory, flags: flags)
            guard opened >= 0 else { return .failure(ResolveFailure(errno: Int32(-opened))) }
            let file = Int32(opened)
            guard let head = readAt(file, 0, ProgramKind.headSize, partial: true) else { return close(file, EIO) }
            switch ProgramKind(head: head) {
            case .elf(let header):
                if !isForHost(header), linuxABIs.contains(where: { header.isProgram(of: $0) }) {
                    return .success(ResolvedProgram(file: file, path: path, arguments: arguments, isHost: false))
                }
                if isForHost(header) {
                    return .success(ResolvedProgram(file: file, path: path, arguments: arguments, isHost: true))
                }
                return close(file, ENOEXEC)
            case .script(let interpreter, let argument):
                _ = hostCall(.close, Int(file))
                var name = path
                if flags & AtFlag.emptyPath != 0, path.isEmpty {
                    name = Array("/dev/fd/\(directory)".utf8)
                } else if directory != currentDirectory, path.first != 0x2f {
                    name = Array("/dev/fd/\(directory)/".utf8) + path
                }
                arguments = [interpreter] + (argument.map { [$0] } ?? []) + [name] + arguments.dropFirst()
                path = interpreter
                directory = currentDirectory
                flags = 0
            case .other:
                return close(file, ENOEXEC)
            }
        }
        return .failure(ResolveFailure(errno: ELOOP))
    }

    private func close(_ file: Int32, _ errno: Int32) -> Result<ResolvedProgram, ResolveFailure> {
        _ = hostCall(.close, Int(file))
        return .failure(ResolveFailure(errno: errno))
    }

    private func open(_ path: [UInt8], at directory: Int32, flags: Int) -> Int {
        if path.isEmpty, flags & AtFlag.emptyPath != 0 {
            return check(Array("/proc/self/fd/\(directory)".utf8), at: currentDirectory, flags: 0)
        }
        guard !path.isEmpty else { return failure(ENOENT) }
        switch paths.translate(path, at: directory, follow: flags & AtFlag.symlinkNoFollow == 0) {
        case .failure(let code): return code
        case .unchanged: return check(path, at: directory, flags: flags)
        case .host(let host): return check(host, at: currentDirectory, flags: flags)
        }
    }

    /// Opens an executable regular file, or says why not as the kernel does.
    private func check(_ path: [UInt8], at directory: Int32, flags: Int) -> Int {
        withCPath(path) { pointer in
            let noFollow = flags & AtFlag.symlinkNoFollow
            var status = FileStatus()
            let s = withUnsafeMutablePointer(to: &status) {
                hostCall(.fstatat, Int(directory), pointer, Int(bitPattern: $0), noFollow)
            }
            guard s == 0 else { return s }
            let type = status.mode & 0o170000
            if type == 0o120000 { return failure(ELOOP) }
            guard type == 0o100000 else { return failure(EACCES) }
            let allowed = hostCall(.faccessat2, Int(directory), pointer, Int(X_OK), AtFlag.effectiveAccess)
            if allowed < 0, allowed != failure(ENOSYS) { return allowed }
            if let own = ownExecutable, own.device == status.device, own.inode == status.inode, path.suffix(3) == Array("exe".utf8)[...] {
                return own.host.withCString { hostCall(.openat, Int(currentDirectory), Int(bitPattern: $0), Int(O_RDONLY | O_CLOEXEC)) }
            }
            return hostCall(.openat, Int(directory), pointer, Int(O_RDONLY | O_CLOEXEC))
        }
    }
}

/// Why a path is not a program.
struct ResolveFailure: Error { var errno: Int32 }

extension GuestThread {
    private enum Limit {
        static let stringBytes = 131_072
        static let count = 1 << 20
    }

    /// A pointer or long of the guest's; nil on a fault.
    func loadPointer(_ address: UInt64) -> UInt64? {
        abi.pointerSize == 8 ? Guest.load(address, as: UInt64.self) : Guest.load(address, as: UInt32.self).map(UInt64.init)
    }

    /// A null-terminated array of strings; a null pointer is an empty one.
    private func strings(_ address: UInt64) -> Result<[[UInt8]], ResolveFailure> {
        var result: [[UInt8]] = []
        var total = 0
        guard address != 0 else { return .success([]) }
        while true {
            guard let pointer = loadPointer(address &+ UInt64(result.count * abi.pointerSize)) else {
                return .failure(ResolveFailure(errno: EFAULT))
            }
            if pointer == 0 { return .success(result) }
            switch Guest.string(pointer, limit: Limit.stringBytes, tooLong: E2BIG) {
            case .failure(let code): return .failure(ResolveFailure(errno: Int32(-code)))
            case .text(let text):
                total += text.count + 1 + abi.pointerSize
                result.append(text)
            }
            if result.count > Limit.count || total > 6 << 20 { return .failure(ResolveFailure(errno: E2BIG)) }
        }
    }

    func execute(at directory: Int32, _ pathAddress: UInt64, _ argv: UInt64, _ envp: UInt64, flags: UInt64) -> Int {
        let allowed = UInt64(AtFlag.emptyPath | AtFlag.symlinkNoFollow)
        guard flags & ~allowed == 0 else { return failure(EINVAL) }
        let path: [UInt8]
        switch Guest.string(pathAddress) {
        case .failure(let code): return code
        case .text(let text): path = text
        }
        var arguments: [[UInt8]], environment: [[UInt8]]
        switch (strings(argv), strings(envp)) {
        case (.success(let a), .success(let e)): (arguments, environment) = (a, e)
        case (.failure(let why), _), (_, .failure(let why)): return failure(why.errno)
        }
        if arguments.isEmpty { arguments = [[]] }
        var resolver = ProgramResolver(paths: process.paths, guest: abi)
        let own = ownExecutableIdentity
        resolver.ownExecutable = (process.hostExecutablePath, own.device, own.inode)
        switch resolver.resolve(path, at: directory, flags: Int(flags), arguments: arguments) {
        case .failure(let why): return failure(why.errno)
        case .success(let program):
            defer { _ = hostCall(.close, Int(program.file)) }
            if !program.isHost { environment.append(continuation(program)) }
            return replace(program, program.arguments, environment)
        }
    }

    private func continuation(_ program: ResolvedProgram) -> [UInt8] {
        let host = readLink("/proc/self/fd/\(program.file)") ?? ""
        let guest = process.paths.guestName(Array(host.utf8))
        var c = Continuation(file: program.file, path: program.path, executable: guest, options: process.options)
        c.blocked = state.pointee.blocked & SignalSet.reserved
        for signal in SignalSet.reservedSignals.map(Int.init) where actions[signal].handler == 1 { c.ignored |= SignalSet.bit(signal) }
        c.personality = process.personality
        let l = process.limits
        c.addressLimits = [l.addressSpace.soft, l.addressSpace.hard, l.data.soft, l.data.hard]
        return c.entry
    }

    /// The point of no return is the kernel's: on success nothing below comes back.
    private func replace(_ program: ResolvedProgram, _ arguments: [[UInt8]], _ environment: [[UInt8]]) -> Int {
        withCStrings(arguments) { argv in
            withCStrings(environment) { envp in
                if program.isHost {
                    restoreReserved()
                    let r = withCPath(Array("/proc/self/fd/\(program.file)".utf8)) { path in
                        // Scripts' interpreters and programs started by descriptor have no better name.
                        self.executeHost(program, path, argv, envp)
                    }
                    catchReserved()
                    return r
                }
                guard hostCall(.fcntl, Int(program.file), Int(F_SETFD), 0) == 0 else { return failure(EBADF) }
                let fd = process.descriptors.executable
                let atEmptyPath = AtFlag.emptyPath
                let r = fd >= 0
                    ? "".withCString { safe(.execveat, Int(fd), Int(bitPattern: $0), argv, envp, atEmptyPath) }
                    : "/proc/self/exe".withCString { safe(.execve, Int(bitPattern: $0), argv, envp) }
                return r
            }
        }
    }

    private func executeHost(_ program: ResolvedProgram, _ byDescriptor: Int, _ argv: Int, _ envp: Int) -> Int {
        switch process.paths.translate(program.path, at: currentDirectory, follow: true) {
        case .unchanged where program.path.first == 0x2f:
            return withCPath(program.path) { self.safe(.execve, $0, argv, envp) }
        case .host(let host):
            return withCPath(host) { self.safe(.execve, $0, argv, envp) }
        default:
            return safe(.execve, byDescriptor, argv, envp)
        }
    }

    /// A host program gets the reserved signals as the guest had them.
    private func restoreReserved() {
        for signal in SignalSet.reservedSignals.map(Int.init) where actions[signal].handler == 1 {
            guise_set_disposition(Int32(signal), Int32(guise_ignore.rawValue), 0)
        }
    }

    private func catchReserved() {
        for signal in SignalSet.reservedSignals { guise_set_disposition(signal, Int32(guise_catch.rawValue), 0) }
    }
}

/// Calls `body` with the address of a null-terminated array of zero-terminated strings.
func withCStrings(_ strings: [[UInt8]], _ body: (Int) -> Int) -> Int {
    let bytes = strings.reduce(0) { $0 + $1.count + 1 }
    return withUnsafeTemporaryAllocation(byteCount: bytes + 1, alignment: 1) { text in
        withUnsafeTemporaryAllocation(of: UInt.self, capacity: strings.count + 1) { pointers in
            var at = text.baseAddress!
            for (i, string) in strings.enumerated() {
                pointers[i] = UInt(bitPattern: at)
                string.withUnsafeBytes { if let base = $0.baseAddress { at.copyMemory(from: base, byteCount: $0.count) } }
                at.storeBytes(of: 0, toByteOffset: string.count, as: UInt8.self)
                at += string.count + 1
            }
            pointers[strings.count] = 0
            return body(Int(bitPattern: pointers.baseAddress!))
        }
    }
}
