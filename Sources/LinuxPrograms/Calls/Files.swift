// Calls on files by path and on descriptors. Flags and most layouts are the host's; struct stat is the ABI's.
// /proc entries that would show the emulator show the guest instead: ProcFiles.swift.

import CHost
import Glibc

extension GuestThread {
    func openat(_ a: CallArguments) -> Int {
        let flags = Int32(truncatingIfNeeded: a.a2)
        let noFollow = flags & O_NOFOLLOW != 0 || flags & (O_CREAT | O_EXCL) == (O_CREAT | O_EXCL)
        let fd = withPath(at: Int32(truncatingIfNeeded: a.a0), a.a1, follow: !noFollow) { directory, path in
            self.safe(.openat, directory, path, Int(flags), Int(bitPattern: a.a3))
        }
        return fd >= 0 ? substitute(fd, directory: a.a0, path: a.a1, flags: flags) : fd
    }

    func openat2(_ a: CallArguments) -> Int {
        guard let how = Guest.load(a.a2, as: (flags: UInt64, mode: UInt64, resolve: UInt64).self) else { return failure(EFAULT) }
        // With resolution flags of its own the kernel does it; in a root they would start at the wrong directory.
        let inRoot: UInt64 = 0x10, beneath: UInt64 = 0x08
        if how.resolve & (inRoot | beneath) != 0 || !process.paths.isTranslating { return pass(.openat2, a) }
        let flags = Int32(truncatingIfNeeded: how.flags)
        let noFollow = flags & O_NOFOLLOW != 0 || flags & (O_CREAT | O_EXCL) == (O_CREAT | O_EXCL)
        let fd = withPath(at: Int32(truncatingIfNeeded: a.a0), a.a1, follow: !noFollow) { directory, path in
            self.safe(.openat2, directory, path, Int(bitPattern: a.a2), Int(bitPattern: a.a3))
        }
        return fd >= 0 ? substitute(fd, directory: a.a0, path: a.a1, flags: flags) : fd
    }

    // MARK: Status

    private func status(_ r: Int, _ value: FileStatus, at address: UInt64) -> Int {
        guard r == 0 else { return r }
        return Guest.write(abi.encode(value), at: address) ? 0 : failure(EFAULT)
    }

    func fstat(_ a: CallArguments) -> Int {
        var value = FileStatus()
        let r = withUnsafeMutablePointer(to: &value) { safe(.fstat, Int(bitPattern: a.a0), Int(bitPattern: $0)) }
        return status(r, value, at: a.a1)
    }

    func fstatat(_ a: CallArguments) -> Int {
        var value = FileStatus()
        let flags = Int(bitPattern: a.a3)
        let r = withUnsafeMutablePointer(to: &value) { pointer -> Int in
            let buffer = Int(bitPattern: pointer)
            let r = withPath(at: Int32(truncatingIfNeeded: a.a0), a.a1, follow: flags & AtFlag.symlinkNoFollow == 0) {
                self.safe(.fstatat, $0, $1, buffer, flags)
            }
            if r == 0, isOwnExecutable(device: pointer.pointee.device, inode: pointer.pointee.inode),
                pathEnds(a.a1, with: "exe") {
                return process.hostExecutablePath.withCString {
                    hostCall(.fstatat, Int(currentDirectory), Int(bitPattern: $0), buffer, 0)
                }
            }
            return r
        }
        return status(r, value, at: a.a2)
    }

    func statx(_ a: CallArguments) -> Int {
        let follow = a.a2 & UInt64(AtFlag.symlinkNoFollow) == 0
        if a.a1 == 0 { return pass(.statx, a) }
        let call: (Int, Int) -> Int = {
            self.safe(.statx, $0, $1, Int(bitPattern: a.a2), Int(bitPattern: a.a3), Int(bitPattern: a.a4))
        }
        let r = withPath(at: Int32(truncatingIfNeeded: a.a0), a.a1, follow: follow, call)
        if r == 0, pathEnds(a.a1, with: "exe"), follow {
            // stx_ino at 32, stx_dev_major/minor at 136/140.
            let inode = Guest.load(a.a4 &+ 32, as: UInt64.self)
            let device = Guest.load(a.a4 &+ 136, as: (major: UInt32, minor: UInt32).self)
            if let inode, let device, isOwnExecutable(device: makeDevice(device.major, device.minor), inode: inode) {
                return process.hostExecutablePath.withCString { call(Int(currentDirectory), Int(bitPattern: $0)) }
            }
        }
        return r
    }

    private func makeDevice(_ major: UInt32, _ minor: UInt32) -> UInt64 {
        UInt64(minor & 0xff) | UInt64(major & 0xfff) << 8 | UInt64(minor & ~0xff) << 12 | UInt64(major & ~0xfff) << 32
    }

    func faccessat(_ a: CallArguments) -> Int {
        withPath(at: Int32(truncatingIfNeeded: a.a0), a.a1, follow: true) {
            self.safe(.faccessat, $0, $1, Int(bitPattern: a.a2))
        }
    }

    func faccessat2(_ a: CallArguments) -> Int {
        withPath(at: Int32(truncatingIfNeeded: a.a0), a.a1, follow: a.a3 & UInt64(AtFlag.symlinkNoFollow) == 0) {
            self.safe(.faccessat2, $0, $1, Int(bitPattern: a.a2), Int(bitPattern: a.a3))
        }
    }

    // MARK: Links and names

    func readlinkat(_ a: CallArguments) -> Int {
        let size = Int(Int32(truncatingIfNeeded: a.a3))
        guard size > 0 else { return failure(EINVAL) }
        var text = [UInt8](repeating: 0, count: 4096)
        let n = text.withUnsafeMutableBytes { buffer in
            withPath(at: Int32(truncatingIfNeeded: a.a0), a.a1, follow: false) {
                self.safe(.readlinkat, $0, $1, Int(bitPattern: buffer.baseAddress!), buffer.count)
            }
        }
        guard n >= 0 else { return n }
        text.removeLast(text.count - n)
        text = guestLink(text, pathAddress: a.a1, directory: a.a0)
        let shown = min(text.count, size)
        return Guest.write(Array(text[..<shown]), at: a.a2) ? shown : failure(EFAULT)
    }

    func rename(_ call: SystemCall, _ a: CallArguments) -> Int {
        withPath(at: Int32(truncatingIfNeeded: a.a0), a.a1, follow: false) { fromDirectory, from in
            self.withPath(at: Int32(truncatingIfNeeded: a.a2), a.a3, follow: false) { toDirectory, to in
                self.safe(call, fromDirectory, from, toDirectory, to, Int(bitPattern: a.a4))
            }
        }
    }

    func linkat(_ a: CallArguments) -> Int {
        let follow = a.a4 & UInt64(AtFlag.symlinkFollow) != 0
        return withPath(at: Int32(truncatingIfNeeded: a.a0), a.a1, follow: follow) { fromDirectory, from in
            self.withPath(at: Int32(truncatingIfNeeded: a.a2), a.a3, follow: false) { toDirectory, to in
                self.safe(.linkat, fromDirectory, from, toDirectory, to, Int(bitPattern: a.a4))
            }
        }
    }

    func symlinkat(_ a: CallArguments) -> Int {
        withPath(at: Int32(truncatingIfNeeded: a.a1), a.a2, follow: false) {
            self.safe(.symlinkat, Int(bitPattern: a.a0), $0, $1)
        }
    }

    func inotifyAddWatch(_ a: CallArguments) -> Int {
        let dontFollow: UInt64 = 0x0200_0000
        return withPath(at: currentDirectory, a.a1, follow: a.a2 & dontFollow == 0) { _, path in
            self.safe(.inotify_add_watch, Int(bitPattern: a.a0), path, Int(bitPattern: a.a2))
        }
    }

    func mount(_ a: CallArguments) -> Int {
        withPath(at: currentDirectory, a.a1, follow: true) { _, target in
            self.safe(.mount, Int(bitPattern: a.a0), target, Int(bitPattern: a.a2), Int(bitPattern: a.a3), Int(bitPattern: a.a4))
        }
    }

    /// chroot inside a translated root would need a second root to translate by; the kernel's own works without one.
    func chroot(_ a: CallArguments) -> Int {
        if process.paths.isTranslating { return failure(EPERM) }
        process.descriptors.keepExecutable()
        return path(.chroot, a, follow: true)
    }

    func getcwd(_ a: CallArguments) -> Int {
        guard process.paths.isTranslating else { return pass(.getcwd, a) }
        guard let host = readLink("/proc/self/cwd") else { return failure(ENOENT) }
        let name = process.paths.guestName(Array(host.utf8)) + [0]
        guard name.count <= a.a1 else { return failure(ERANGE) }
        return Guest.write(name, at: a.a0) ? name.count : failure(EFAULT)
    }

    // MARK: Descriptors

    func closeRange(_ a: CallArguments) -> Int {
        process.descriptors.closeRange(a, self)
    }

    func dup(_ call: SystemCall, _ a: CallArguments) -> Int {
        if process.descriptors.isOwn(a.a0) { return failure(EBADF) }
        process.descriptors.makeRoom(a.a1)
        return pass(call, a)
    }
}
