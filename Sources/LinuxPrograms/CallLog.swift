// `--log syscalls,signals[,file=F]`: one line per system call in strace's manner, to stderr or a file.
// Lines are written whole, so that threads and processes that share the file do not mix inside a line.

import Glibc

/// What is logged, and where to.
final class CallLog {
    let systemCalls: Bool
    private let signals: Bool
    /// Whether executed blocks are wanted.
    let blocks: Bool
    private var descriptor: Int32
    private let ownsFile: Bool

    /// From the text given to `--log`; nil when nothing of it is ours.
    init?(specification: String) {
        var file: String?
        var names: Set<Substring> = []
        for part in specification.split(separator: ",") {
            if part.hasPrefix("file=") { file = String(part.dropFirst(5)) } else { names.insert(part) }
        }
        systemCalls = names.contains("syscalls")
        signals = names.contains("syscalls") || names.contains("signals") || names.contains("faults")
        blocks = names.contains("blocks")
        guard systemCalls || signals || blocks else { return nil }
        descriptor = 2
        var owns = false
        if let file {
            let fd = hostCall(.openat, at: currentDirectory, path: file, Int(O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC), 0o644)
            if fd >= 0 {
                descriptor = Int32(fd)
                owns = true
            }
        }
        ownsFile = owns
    }

    /// Registers the log file among the emulator's descriptors.
    func hide(in descriptors: OwnDescriptors) {
        guard ownsFile else { return }
        descriptor = descriptors.adopt(descriptor)
        descriptors.onMove = { [self] old, new in if old == descriptor { descriptor = new } }
    }

    /// Before a call: shown at once only when it may not return.
    func enter(_ call: SystemCall, _ number: UInt64, _ a: CallArguments) {
        switch call {
        case .exit, .exit_group, .execve, .execveat, .rt_sigreturn: write(describe(call, number, a) + "\n")
        default: break
        }
    }

    /// After a call.
    func leave(_ call: SystemCall, _ number: UInt64, _ a: CallArguments, _ result: CallResult) {
        guard case .value(let value) = result else { return }
        let text: String
        switch value {
        case restartCall: text = "? (to be repeated after a signal)"
        case -4095 ..< 0: text = "-1 \(CallLog.errnoName(Int32(-value)))"
        case 0..<65536: text = String(value)
        default: text = "0x" + String(UInt(bitPattern: value), radix: 16)
        }
        write(describe(call, number, a) + " = " + text + "\n")
    }

    /// A signal on its way into the guest.
    func signal(_ number: Int, info: UnsafeRawPointer) {
        guard signals else { return }
        let code = info.load(fromByteOffset: 8, as: Int32.self)
        let address = info.load(fromByteOffset: 16, as: UInt64.self)
        write("[\(hostCall(.gettid))] --- signal \(number) code \(code) address 0x\(hex(address)) ---\n")
    }

    /// A block entered from outside generated code.
    func block(_ address: UInt64) { write("[\(hostCall(.gettid))] block 0x\(hex(address))\n") }

    /// Lines are never held back; this marks where that matters.
    func flush() {}

    private func describe(_ call: SystemCall, _ number: UInt64, _ a: CallArguments) -> String {
        guard call != .unassigned else { return "[\(hostCall(.gettid))] syscall_\(number)(0x\(hex(a.a0)), 0x\(hex(a.a1)), …)" }
        let form = CallForm.of(call)
        var parts: [String] = []
        for (index, kind) in form.enumerated() { parts.append(CallForm.show(kind, a[index])) }
        return "[\(hostCall(.gettid))] \(call)(\(parts.joined(separator: ", ")))"
    }

    private func write(_ line: String) {
        var line = line
        line.withUTF8 { _ = hostCall(.write, Int(descriptor), Int(bitPattern: $0.baseAddress!), $0.count) }
    }

    private static let names: [Int32: String] = [
        EPERM: "EPERM", ENOENT: "ENOENT", ESRCH: "ESRCH", EINTR: "EINTR", EIO: "EIO", ENXIO: "ENXIO", E2BIG: "E2BIG",
        ENOEXEC: "ENOEXEC", EBADF: "EBADF", ECHILD: "ECHILD", EAGAIN: "EAGAIN", ENOMEM: "ENOMEM", EACCES: "EACCES",
        EFAULT: "EFAULT", EBUSY: "EBUSY", EEXIST: "EEXIST", EXDEV: "EXDEV", ENODEV: "ENODEV", ENOTDIR: "ENOTDIR",
        EISDIR: "EISDIR", EINVAL: "EINVAL", EMFILE: "EMFILE", ENOTTY: "ENOTTY", ENOSPC: "ENOSPC", ESPIPE: "ESPIPE",
        EROFS: "EROFS", EPIPE: "EPIPE", ERANGE: "ERANGE", ENAMETOOLONG: "ENAMETOOLONG", ENOSYS: "ENOSYS",
        ENOTEMPTY: "ENOTEMPTY", ELOOP: "ELOOP", ENODATA: "ENODATA", EOPNOTSUPP: "EOPNOTSUPP", ETIMEDOUT: "ETIMEDOUT",
        ECONNREFUSED: "ECONNREFUSED", EINPROGRESS: "EINPROGRESS", ENOTCONN: "ENOTCONN", ENOPROTOOPT: "ENOPROTOOPT",
    ]

    private static func errnoName(_ code: Int32) -> String { names[code] ?? "errno \(code)" }
}

/// How the log shows a call's arguments: one letter per argument.
/// d signed, u unsigned, x hexadecimal, p pointer, s string, f descriptor, o octal.
enum CallForm {
    private static let table = """
        read fpu|write fpu|close f|openat fsxo|openat2 fspu|fstat fp|fstatat fspx|statx fsxxp|lseek fdd|mmap pxxxfx
        mprotect pxx|munmap px|mremap pxxxp|brk p|madvise pxd|rt_sigaction dppu|rt_sigprocmask dppu|ioctl fxp|pread64 fpud
        pwrite64 fpud|readv fpu|writev fpu|pipe2 px|dup f|dup3 ffx|fcntl fdx|clone xpppp|clone3 pu|execve spp|execveat fsppx
        exit d|exit_group d|wait4 dpxp|waitid ddpxp|kill dd|tkill dd|tgkill ddd|uname p|getcwd pu|chdir s|fchdir f
        faccessat fso|faccessat2 fsox|readlinkat fspu|unlinkat fsx|mkdirat fso|renameat2 fsfsx|linkat fsfsx|symlinkat sfs
        fchmodat fso|fchownat fsddx|utimensat fspx|statfs sp|fstatfs fp|futex pxuppx|set_tid_address p|set_robust_list pu
        getdents64 fpu|ppoll pupp|pselect6 dppppp|nanosleep pp|clock_nanosleep ddpp|clock_gettime dp|getrandom pux
        prlimit64 ddpp|getpid|gettid|getppid|getuid|geteuid|getgid|getegid|setsid|sched_yield|prctl dxxxx|socket dxd
        bind fpu|connect fpu|accept4 fppx|accept fpp|listen fd|sendto fpuxpu|recvfrom fpuxpp|sendmsg fpx|recvmsg fpx
        setsockopt fddpu|getsockopt fddpp|epoll_create1 x|epoll_ctl fdfp|epoll_pwait fpddp|eventfd2 ux|rt_sigreturn
        getxattr sspu|ftruncate fd|fsync f|flock fx|memfd_create sx|sysinfo p|sigaltstack pp|personality x|umask o
        fallocate fxdd|rt_sigsuspend pu|rt_sigtimedwait pppu|getrusage dp|times p|timerfd_create dx|inotify_init1 x
        """

    static func of(_ call: SystemCall) -> [Character] {
        let name = "\(call)"
        for row in table.split(whereSeparator: { $0 == "|" || $0 == "\n" }) {
            let parts = row.split(separator: " ")
            if let first = parts.first, first == name { return parts.count > 1 ? Array(parts[1]) : [] }
        }
        return Array("xxxxxx")
    }

    static func show(_ kind: Character, _ value: UInt64) -> String {
        switch kind {
        case "d": return String(Int64(bitPattern: value))
        case "u": return String(value)
        case "o": return "0" + String(value, radix: 8)
        case "f":
            let fd = Int32(truncatingIfNeeded: value)
            return fd == currentDirectory ? "AT_FDCWD" : String(fd)
        case "s":
            switch Guest.string(value, limit: 256) {
            case .text(let bytes): return "\"" + String(decoding: bytes, as: UTF8.self) + "\""
            case .failure: return "0x" + hex(value)
            }
        default: return value == 0 ? "0" : "0x" + hex(value)
        }
    }
}

/// What `--log` can show for programs.
public enum LogCategory {
    public static let names = ["syscalls", "signals", "faults", "blocks"]

    /// The same text with an absolute file name, so that a guest's chdir and execve do not change the file.
    public static func absolute(_ specification: String) -> String {
        specification.split(separator: ",").map { part in
            guard part.hasPrefix("file="), !part.hasPrefix("file=/"), let here = readLink("/proc/self/cwd") else { return String(part) }
            return "file=\(here)/\(part.dropFirst(5))"
        }.joined(separator: ",")
    }

    /// The first part of a `--log` text that means nothing; nil when all do.
    public static func unknown(in specification: String) -> String? {
        specification.split(separator: ",", omittingEmptySubsequences: false)
            .first { !names.contains(String($0)) && !($0.hasPrefix("file=") && $0.count > 5) }.map(String.init)
    }
}
