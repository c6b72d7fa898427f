// Calls that asm-generic ABIs do without: each is a newer call with some arguments fixed.
// Semantics: the *at(2) forms with AT_FDCWD, utime(2), utimes(2).

import Glibc

extension GuestThread {
    /// A call by path that is its *at form for the current directory.
    func older(_ call: SystemCall, _ a: CallArguments) -> Int {
        let here = UInt64(bitPattern: Int64(currentDirectory))
        let one = CallArguments(a0: here, a1: a.a0, a2: a.a1, a3: a.a2)
        let noFollow = UInt64(AtFlag.symlinkNoFollow)
        switch call {
        case .open: return openat(one)
        case .creat:
            let flags = UInt64(O_CREAT | O_WRONLY | O_TRUNC)
            return openat(CallArguments(a0: here, a1: a.a0, a2: flags, a3: a.a1))
        case .stat: return fstatat(CallArguments(a0: here, a1: a.a0, a2: a.a1))
        case .lstat: return fstatat(CallArguments(a0: here, a1: a.a0, a2: a.a1, a3: noFollow))
        case .access: return faccessat(one)
        case .readlink: return readlinkat(one)
        case .mkdir: return pathAt(.mkdirat, one, follow: false)
        case .mknod: return pathAt(.mknodat, one, follow: false)
        case .unlink: return pathAt(.unlinkat, CallArguments(a0: here, a1: a.a0), follow: false)
        case .rmdir:
            return pathAt(.unlinkat, CallArguments(a0: here, a1: a.a0, a2: UInt64(AtFlag.removeDirectory)), follow: false)
        case .chmod: return pathAt(.fchmodat, one, follow: true)
        case .chown: return pathAt(.fchownat, one, follow: true)
        case .lchown:
            return pathAt(.fchownat, CallArguments(a0: here, a1: a.a0, a2: a.a1, a3: a.a2, a4: noFollow), follow: false)
        case .rename: return rename(.renameat, CallArguments(a0: here, a1: a.a0, a2: here, a3: a.a1))
        case .link: return linkat(CallArguments(a0: here, a1: a.a0, a2: here, a3: a.a1))
        case .symlink: return symlinkat(CallArguments(a0: a.a0, a1: here, a2: a.a1))
        case .futimesat: return a.a1 == 0 ? pass(call, a) : pathAt(call, a, follow: true)
        default: return failure(ENOSYS)
        }
    }

    /// utime and utimes, whose times need no change.
    func times(_ call: SystemCall, _ a: CallArguments) -> Int { path(call, a, follow: true) }
}
