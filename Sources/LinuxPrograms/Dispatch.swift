// From a call's name to what is done for it. A call that means the same on guest and host is handed on as it is:
// identical numbers for flags, identical layouts, guest pointers that are host pointers. Everything else has a function
// in Calls/, and each call is named here exactly once.

import CHost
import Glibc

extension GuestThread {
    /// Executes one system call.
    func perform(_ call: SystemCall, _ a: CallArguments) -> CallResult {
        if watchesWrites { openBuffers(call, a) }
        switch call {
        case .rt_sigreturn: return signalReturn()
        default: return .value(result(call, a))
        }
    }

    /// Makes the buffers of reading calls writable where pages in them hold translated code: such a call may have consumed
    /// its data when it fails, or be short.
    private func openBuffers(_ call: SystemCall, _ a: CallArguments) {
        let engine = process.engine
        switch call {
        case .read, .pread64, .recvfrom: engine.makeWritable(start: a.a1, length: a.a2)
        case .readv, .preadv, .preadv2: openVector(a.a1, a.a2)
        case .recvmsg:
            if let header = Guest.load(a.a1, as: (UInt64, UInt64, UInt64, UInt64).self) { openVector(header.2, header.3) }
        default: break
        }
    }

    private func openVector(_ address: UInt64, _ count: UInt64) {
        for i in 0..<min(count, 1024) {
            guard let piece = Guest.load(address &+ i &* 16, as: (base: UInt64, length: UInt64).self) else { return }
            process.engine.makeWritable(start: piece.base, length: piece.length)
        }
    }

    /// The host's call with the guest's arguments, unless a signal has to be delivered first.
    @inline(__always)
    func pass(_ call: SystemCall, _ a: CallArguments) -> Int {
        safe(call, Int(bitPattern: a.a0), Int(bitPattern: a.a1), Int(bitPattern: a.a2), Int(bitPattern: a.a3),
             Int(bitPattern: a.a4), Int(bitPattern: a.a5))
    }

    /// A host call that a waiting signal prevents (then `restartCall`) and an arriving one interrupts as the kernel says.
    @inline(__always)
    func safe(
        _ call: SystemCall, _ a0: Int = 0, _ a1: Int = 0, _ a2: Int = 0, _ a3: Int = 0, _ a4: Int = 0, _ a5: Int = 0
    ) -> Int {
        // SAFETY: the record starts with `pending`, and lives as long as this thread.
        guise_safe_syscall(
            UnsafeMutableRawPointer(state).assumingMemoryBound(to: UInt64.self), Int(call.rawValue), a0, a1, a2, a3, a4, a5)
    }

    private func result(_ call: SystemCall, _ a: CallArguments) -> Int {
        switch call {
        // Memory
        case .mmap: mmap(a)
        case .munmap: munmap(a)
        case .mprotect: mprotect(a)
        case .pkey_mprotect: a.a3 == .max || UInt32(truncatingIfNeeded: a.a3) == .max ? mprotect(a) : failure(EINVAL)
        case .mremap: mremap(a)
        case .brk: brk(a)
        case .madvise: madvise(a)
        case .shmat: shmat(a)
        case .shmdt: shmdt(a)
        // Files by path
        case .openat: openat(a)
        case .openat2: openat2(a)
        case .open, .creat, .stat, .lstat, .access, .readlink, .mkdir, .mknod, .unlink, .rmdir, .chmod, .chown, .lchown,
            .rename, .link, .symlink, .futimesat: older(call, a)
        case .utime, .utimes: times(call, a)
        case .fstat: fstat(a)
        case .fstatat: fstatat(a)
        case .statx: statx(a)
        case .faccessat: faccessat(a)
        case .faccessat2: faccessat2(a)
        case .readlinkat: readlinkat(a)
        case .mkdirat, .mknodat, .unlinkat: pathAt(call, a, follow: false)
        case .fchmodat: pathAt(call, a, follow: true)
        case .fchmodat2, .utimensat: pathAt(call, a, follow: a.a3 & UInt64(AtFlag.symlinkNoFollow) == 0)
        case .fchownat: pathAt(call, a, follow: a.a4 & UInt64(AtFlag.symlinkNoFollow) == 0)
        case .name_to_handle_at: pathAt(call, a, follow: a.a4 & UInt64(AtFlag.symlinkFollow) != 0)
        case .renameat, .renameat2: rename(call, a)
        case .linkat: linkat(a)
        case .symlinkat: symlinkat(a)
        case .truncate, .statfs, .acct, .swapon, .swapoff, .setxattr, .getxattr, .listxattr, .removexattr:
            path(call, a, follow: true)
        case .lsetxattr, .lgetxattr, .llistxattr, .lremovexattr: path(call, a, follow: false)
        case .chdir: path(call, a, follow: true)
        case .chroot: chroot(a)
        case .umount2: path(call, a, follow: a.a1 & 8 == 0)
        case .mount: mount(a)
        case .pivot_root: failure(EPERM)
        case .inotify_add_watch: inotifyAddWatch(a)
        case .getcwd: getcwd(a)
        // Descriptors
        case .close: process.descriptors.isOwn(a.a0) ? failure(EBADF) : pass(call, a)
        case .close_range: closeRange(a)
        case .dup2, .dup3: dup(call, a)
        case .getdents64: pass(call, a)
        // Processes
        case .clone: clone(a)
        case .clone3: clone3(a)
        case .fork: clone(CallArguments(a0: UInt64(SIGCHLD)))
        case .vfork: clone(CallArguments(a0: CloneFlag.vm | CloneFlag.vfork | UInt64(SIGCHLD)))
        case .execve: execute(at: currentDirectory, a.a0, a.a1, a.a2, flags: 0)
        case .execveat: execute(at: Int32(truncatingIfNeeded: a.a0), a.a1, a.a2, a.a3, flags: a.a4)
        case .exit: exitThread(a)
        case .exit_group: exitProcess(a)
        case .set_tid_address: setTIDAddress(a)
        case .set_robust_list: setRobustList(a)
        case .get_robust_list: getRobustList(a)
        case .prctl: prctl(a)
        case .personality: personality(a)
        case .prlimit64: processLimit(a)
        case .getrlimit: processLimit(CallArguments(a0: 0, a1: a.a0, a2: 0, a3: a.a1))
        case .setrlimit: processLimit(CallArguments(a0: 0, a1: a.a0, a2: a.a1, a3: 0))
        case .uname: uname(a)
        // Signals
        case .rt_sigaction: signalAction(a)
        case .rt_sigprocmask: signalMask(a)
        case .rt_sigpending: signalPending(a)
        case .rt_sigsuspend: signalSuspend(a)
        case .rt_sigtimedwait: signalTimedWait(a)
        case .sigaltstack: signalStack(a)
        case .pause: signalPause()
        // Waiting
        case .ppoll: withMask(a.a3, a.a4) { self.safe(.ppoll, Int(bitPattern: a.a0), Int(bitPattern: a.a1), Int(bitPattern: a.a2), $0, 8) }
        case .pselect6: pselect(a)
        case .epoll_ctl: epollControl(a)
        case .epoll_pwait: epollWait(call, a)
        case .epoll_pwait2: epollWait(call, a)
        case .epoll_wait: epollWait(.epoll_pwait, CallArguments(a0: a.a0, a1: a.a1, a2: a.a2, a3: a.a3))
        // Sockets
        case .bind, .connect: socketAddress(call, a)
        case .sendto: sendTo(a)
        case .sendmsg: sendMessage(a)
        case .accept, .accept4, .getsockname, .getpeername: socketName(call, a)
        // System V IPC
        case .semctl: semaphoreControl(a)
        // Machine
        case .riscv_hwprobe, .riscv_flush_icache, .arch_prctl, .modify_ldt, .set_thread_area, .get_thread_area: abi.architectureCall(call, a, self) ?? failure(ENOSYS)
        // Refused with the errno of a kernel built without them: what they set up would act on the emulator's own host
        // instructions (seccomp, ptrace, rseq), on memory shared in host layout (io_uring), or hide its own files.
        case .rseq, .ptrace, .seccomp, .io_uring_setup, .io_uring_enter, .io_uring_register, .landlock_create_ruleset,
            .landlock_add_rule, .landlock_restrict_self, .pkey_alloc, .pkey_free, .mseal, .map_shadow_stack,
            .iopl, .ioperm, .uselib, .unassigned, .restart_syscall, .remap_file_pages,
            .kexec_load, .kexec_file_load, .memfd_secret, .setxattrat, .getxattrat, .listxattrat, .removexattrat,
            .open_tree_attr, .file_getattr, .file_setattr:
            failure(ENOSYS)
        default:
            pass(call, a)
        }
    }

    /// A call whose first argument is a path.
    func path(_ call: SystemCall, _ a: CallArguments, follow: Bool) -> Int {
        withPath(at: currentDirectory, a.a0, follow: follow) { directory, path in
            _ = directory
            return self.safe(call, path, Int(bitPattern: a.a1), Int(bitPattern: a.a2), Int(bitPattern: a.a3), Int(bitPattern: a.a4))
        }
    }

    /// A call whose first arguments are a directory descriptor and a path.
    func pathAt(_ call: SystemCall, _ a: CallArguments, follow: Bool) -> Int {
        // utimensat and friends take a null path for the descriptor itself.
        if a.a1 == 0 { return pass(call, a) }
        return withPath(at: Int32(truncatingIfNeeded: a.a0), a.a1, follow: follow) { directory, path in
            self.safe(call, directory, path, Int(bitPattern: a.a2), Int(bitPattern: a.a3), Int(bitPattern: a.a4))
        }
    }
}
