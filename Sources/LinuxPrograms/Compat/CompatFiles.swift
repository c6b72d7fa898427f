// Files in 32 bits: status structures, offsets, locks, directories. Structures: the kernel's
// arch/x86/include/asm/compat.h, include/uapi/asm/stat.h, include/linux/compat.h.

import CHost
import Glibc

/// 32-bit forms of struct stat; nil where a value does not fit.
enum CompatStatus {
    /// struct stat64, 96 bytes: what C libraries use.
    static func stat64(_ s: FileStatus) -> [UInt8] {
        var b = ByteBuilder(capacity: 96)
        b.add(s.device)
        b.add(UInt32(0))
        b.add(UInt32(truncatingIfNeeded: s.inode))
        b.add(s.mode)
        b.add(UInt32(truncatingIfNeeded: s.links))
        b.add(s.owner)
        b.add(s.group)
        b.add(s.special)
        b.add(UInt32(0))
        b.add(s.size)
        b.add(UInt32(truncatingIfNeeded: s.blockSize))
        b.add(s.blocks)
        times(s, &b)
        b.add(s.inode)
        return b.bytes
    }

    /// struct stat, 64 bytes, of the calls without a suffix.
    static func stat(_ s: FileStatus) -> [UInt8]? {
        guard s.inode <= UInt64(UInt32.max), s.links <= UInt64(UInt16.max), s.size <= Int64(Int32.max),
            device(s.device) != nil, device(s.special) != nil
        else { return nil }
        var b = ByteBuilder(capacity: 64)
        b.add(UInt32(truncatingIfNeeded: s.device))
        b.add(UInt32(truncatingIfNeeded: s.inode))
        b.add(UInt16(truncatingIfNeeded: s.mode))
        b.add(UInt16(truncatingIfNeeded: s.links))
        b.add(CompatIdentity.narrow(s.owner))
        b.add(CompatIdentity.narrow(s.group))
        b.add(UInt32(truncatingIfNeeded: s.special))
        b.add(UInt32(truncatingIfNeeded: s.size))
        b.add(UInt32(truncatingIfNeeded: s.blockSize))
        b.add(UInt32(truncatingIfNeeded: s.blocks))
        times(s, &b)
        b.add(UInt64(0))
        return b.bytes
    }

    /// struct __old_kernel_stat, 32 bytes.
    static func old(_ s: FileStatus) -> [UInt8]? {
        guard s.inode <= UInt64(UInt16.max), s.links <= UInt64(UInt16.max), s.size <= Int64(Int32.max) else { return nil }
        var b = ByteBuilder(capacity: 32)
        for value in [s.device, s.inode, UInt64(s.mode), s.links] { b.add(UInt16(truncatingIfNeeded: value)) }
        b.add(CompatIdentity.narrow(s.owner))
        b.add(CompatIdentity.narrow(s.group))
        b.add(UInt16(truncatingIfNeeded: s.special))
        b.add(UInt16(0))
        for value in [s.size, s.accessSeconds, s.modifySeconds, s.changeSeconds] { b.add(UInt32(truncatingIfNeeded: value)) }
        return b.bytes
    }

    private static func times(_ s: FileStatus, _ b: inout ByteBuilder) {
        for value in [
            s.accessSeconds, s.accessNanoseconds, s.modifySeconds, s.modifyNanoseconds, s.changeSeconds,
            s.changeNanoseconds,
        ] { b.add(UInt32(truncatingIfNeeded: value)) }
    }

    /// A device number that fits 32 bits: those with majors above 4095 do not.
    private static func device(_ value: UInt64) -> UInt32? { value <= UInt64(UInt32.max) ? UInt32(value) : nil }
}

extension GuestThread {
    /// Calls on files; nil: not one of them, or one that needs nothing.
    func compatFile(_ call: SystemCall, _ a: CallArguments) -> Int? {
        let here = UInt64(bitPattern: Int64(currentDirectory)), noFollow = UInt64(AtFlag.symlinkNoFollow)
        func status(_ call: SystemCall, _ a: CallArguments, _ at: Int, _ encode: (FileStatus) -> [UInt8]?) -> Int {
            compatStatus(call, a, at, encode)
        }
        switch call {
        case .stat64: return status(.fstatat, CallArguments(a0: here, a1: a.a0, a2: a.a1), 2, CompatStatus.stat64)
        case .lstat64: return status(.fstatat, CallArguments(a0: here, a1: a.a0, a2: a.a1, a3: noFollow), 2, CompatStatus.stat64)
        case .fstat64: return status(.fstat, a, 1, CompatStatus.stat64)
        case .fstatat64: return status(.fstatat, a, 2, CompatStatus.stat64)
        case .stat: return status(.fstatat, CallArguments(a0: here, a1: a.a0, a2: a.a1), 2, CompatStatus.stat)
        case .lstat: return status(.fstatat, CallArguments(a0: here, a1: a.a0, a2: a.a1, a3: noFollow), 2, CompatStatus.stat)
        case .fstat: return status(.fstat, a, 1, CompatStatus.stat)
        case .oldstat: return status(.fstatat, CallArguments(a0: here, a1: a.a0, a2: a.a1), 2, CompatStatus.old)
        case .oldlstat: return status(.fstatat, CallArguments(a0: here, a1: a.a0, a2: a.a1, a3: noFollow), 2, CompatStatus.old)
        case .oldfstat: return status(.fstat, a, 1, CompatStatus.old)
        case .statfs, .fstatfs: return fileSystem(call, a, a.a1, wide: false)
        case .statfs64, .fstatfs64:
            let size: UInt64 = 84, paddedSize: UInt64 = 88
            guard a.a1 == size || a.a1 == paddedSize else { return failure(EINVAL) }
            return fileSystem(call == .statfs64 ? .statfs : .fstatfs, a, a.a2, wide: true)
        case .open, .openat, .creat: return openSmall(call, a)
        case .lseek:
            // Directories on some file systems give cookies of the caller's width, and take them back.
            if hasHostCompat { return hostCompat(19, a) }
            return inner(.lseek, CallArguments(a0: a.a0, a1: signed(a.a1), a2: a.a2))
        case .llseek:
            if hasHostCompat { return hostCompat(140, a) }
            let r = inner(.lseek, CallArguments(a0: a.a0, a1: a.a1 << 32 | a.a2, a2: a.a4))
            guard r >= 0 else { return r }
            return Guest.store(Int64(r), at: a.a3) ? 0 : failure(EFAULT)
        case .fcntl, .fcntl64: return fileControl(call, a)
        case .ioctl: return compatIoctl(a)
        case .getdents: return directoryEntries(a)
        case .getdents64: return hasHostCompat ? hostCompat(220, a) : nil
        case .readdir: return directoryEntry(a)
        case .oldumount: return inner(.umount2, CallArguments(a0: a.a0))
        case .oldselect:
            guard let w = Guest.load(a.a0, as: (UInt32, UInt32, UInt32, UInt32, UInt32).self) else { return failure(EFAULT) }
            return select(UInt64(w.0), (UInt64(w.1), UInt64(w.2), UInt64(w.3))) { self.timevalWait($0, UInt64(w.4)) }
        case .select: return select(a.a0, (a.a1, a.a2, a.a3)) { self.timevalWait($0, a.a4) }
        case .pselect6: return select(a.a0, (a.a1, a.a2, a.a3)) { self.maskedWait($0, a, wide: false) }
        case .pselect6_time64: return select(a.a0, (a.a1, a.a2, a.a3)) { self.maskedWait($0, a, wide: true) }
        case .mmap2: return inner(.mmap, CallArguments(a0: a.a0, a1: a.a1, a2: a.a2, a3: a.a3, a4: a.a4, a5: a.a5 << 12))
        case .oldmmap:
            guard let w = Guest.load(a.a0, as: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32).self) else {
                return failure(EFAULT)
            }
            guard UInt64(w.5) & (pageSize - 1) == 0 else { return failure(EINVAL) }
            return inner(.mmap, CallArguments(
                a0: UInt64(w.0), a1: UInt64(w.1), a2: UInt64(w.2), a3: UInt64(w.3), a4: UInt64(w.4), a5: UInt64(w.5)))
        default: return nil
        }
    }

    private func compatStatus(
        _ call: SystemCall, _ a: CallArguments, _ position: Int, _ encode: (FileStatus) -> [UInt8]?
    ) -> Int {
        var value = FileStatus()
        var inside = a
        let r = withUnsafeMutablePointer(to: &value) { pointer in
            inside[position] = argument(pointer)
            return inner(call, inside)
        }
        guard r == 0 else { return r }
        guard let bytes = encode(value) else { return failure(EOVERFLOW) }
        return Guest.write(bytes, at: a[position]) ? 0 : failure(EFAULT)
    }

    /// struct statfs: 64 bytes, or the 84 of statfs64.
    private func fileSystem(_ call: SystemCall, _ a: CallArguments, _ address: UInt64, wide: Bool) -> Int {
        // type, bsize, blocks, bfree, bavail, files, ffree, fsid, namelen, frsize, flags, 4 spare.
        var host = [UInt64](repeating: 0, count: 15)
        let r = host.withUnsafeMutableBytes { inner(call, CallArguments(a0: a.a0, a1: argument($0.baseAddress))) }
        guard r == 0 else { return r }
        var b = ByteBuilder(capacity: 84)
        b.add(UInt32(truncatingIfNeeded: host[0]))
        b.add(UInt32(truncatingIfNeeded: host[1]))
        for i in 2...6 {
            if wide { b.add(host[i]) } else {
                // The kernel lets -1 pass for numbers of files that are not known.
                let unknown = i >= 5 && host[i] == .max
                guard host[i] <= UInt64(UInt32.max) || unknown else { return failure(EOVERFLOW) }
                b.add(UInt32(truncatingIfNeeded: host[i]))
            }
        }
        b.add(host[7])
        for i in 8...10 { b.add(UInt32(truncatingIfNeeded: host[i])) }
        for _ in 0..<4 { b.add(UInt32(0)) }
        return Guest.write(b.bytes, at: address) ? 0 : failure(EFAULT)
    }

    /// Without O_LARGEFILE a file whose size does not fit 31 bits is refused.
    private func openSmall(_ call: SystemCall, _ a: CallArguments) -> Int {
        let largeFile: UInt64 = 0o100000, path: UInt64 = 0o10000000, regular: UInt32 = 0o100000
        let flags = call == .open ? a.a1 : call == .openat ? a.a2 : 0
        let fd = inner(call, a)
        guard fd >= 0, flags & (largeFile | path) == 0 else { return fd }
        var value = FileStatus()
        let s = withUnsafeMutablePointer(to: &value) { hostCall(.fstat, fd, Int(bitPattern: $0)) }
        guard s == 0, value.mode & 0o170000 == regular, value.size > Int64(Int32.max) else { return fd }
        _ = hostCall(.close, fd)
        return failure(EOVERFLOW)
    }

    // MARK: fcntl

    private enum Lock {
        static let get: UInt64 = 5, set: UInt64 = 6, wait: UInt64 = 7
        static let get64: UInt64 = 12, set64: UInt64 = 13, wait64: UInt64 = 14
        static let descriptionGet: UInt64 = 36, descriptionWait: UInt64 = 38
    }

    private func fileControl(_ call: SystemCall, _ a: CallArguments) -> Int {
        let command = a.a1 & 0xffff_ffff
        switch command {
        case Lock.get, Lock.set, Lock.wait: return lock(a, command, wide: false)
        case Lock.get64, Lock.set64, Lock.wait64:
            guard call == .fcntl64 else { return failure(EINVAL) }
            return lock(a, command - Lock.get64 + Lock.get, wide: true)
        case Lock.descriptionGet...Lock.descriptionWait:
            guard call == .fcntl64 else { return failure(EINVAL) }
            return lock(a, command, wide: true)
        default: return inner(.fcntl, a)
        }
    }

    /// struct flock: type, whence, start, length, pid; 16 bytes, or 24 packed ones with offsets of 64 bits.
    private func lock(_ a: CallArguments, _ command: UInt64, wide: Bool) -> Int {
        guard let bytes = Guest.bytes(a.a2, wide ? 24 : 16) else { return failure(EFAULT) }
        var host = [UInt64](repeating: 0, count: 4)
        let kind: UInt32 = bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
        bytes.withUnsafeBytes { p in
            func long(_ i: Int) -> Int64 {
                wide ? p.loadUnaligned(fromByteOffset: 4 + 8 * i, as: Int64.self)
                    : Int64(p.loadUnaligned(fromByteOffset: 4 + 4 * i, as: Int32.self))
            }
            host[0] = UInt64(kind)
            host[1] = UInt64(bitPattern: long(0))
            host[2] = UInt64(bitPattern: long(1))
            host[3] = UInt64(p.loadUnaligned(fromByteOffset: wide ? 20 : 12, as: UInt32.self))
        }
        let r = host.withUnsafeMutableBytes {
            inner(.fcntl, CallArguments(a0: a.a0, a1: command, a2: argument($0.baseAddress)))
        }
        guard r == 0, command == Lock.get || command == Lock.descriptionGet else { return r }
        var b = ByteBuilder(capacity: 24)
        b.add(UInt32(truncatingIfNeeded: host[0]))
        let start = Int64(bitPattern: host[1]), length = Int64(bitPattern: host[2]), limit = Int64(Int32.max)
        if wide {
            b.add(start)
            b.add(length)
        } else {
            guard start <= limit else { return failure(EOVERFLOW) }
            b.add(Int32(truncatingIfNeeded: start))
            b.add(Int32(truncatingIfNeeded: min(length, limit)))
        }
        b.add(UInt32(truncatingIfNeeded: host[3]))
        return Guest.write(b.bytes, at: a.a2) ? 0 : failure(EFAULT)
    }

    // MARK: directories

    /// Cookies of the host's 32-bit entry fit the guest's structures on every file system.
    private func readDirectory(_ fd: UInt64, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
        inner(.getdents64, CallArguments(a0: fd, a1: argument(buffer.baseAddress), a2: UInt64(buffer.count)))
    }

    /// getdents with struct linux_dirent of 32-bit fields: inode, offset, length, name, type in the last byte.
    private func directoryEntries(_ a: CallArguments) -> Int {
        if hasHostCompat { return hostCompat(141, a) }
        let size = Int(min(a.a2, 32768))
        // Every entry shrinks by at least as much as its name needs: as many bytes fit as the guest offers.
        var host = [UInt8](repeating: 0, count: size)
        let n = host.withUnsafeMutableBytes { readDirectory(a.a0, $0) }
        guard n > 0 else { return n }
        var result = ByteBuilder(capacity: n)
        var at = 0
        while at + 19 < n {
            let entry = host.withUnsafeBytes { p in
                (inode: p.loadUnaligned(fromByteOffset: at, as: UInt64.self), offset: p.loadUnaligned(fromByteOffset: at + 8, as: UInt64.self),
                 length: Int(p.loadUnaligned(fromByteOffset: at + 16, as: UInt16.self)), type: p[at + 18])
            }
            guard entry.length >= 24, at + entry.length <= n else { break }
            guard entry.inode <= UInt64(UInt32.max), entry.offset <= UInt64(UInt32.max) else {
                return result.bytes.isEmpty ? failure(EOVERFLOW) : flushEntries(result, a)
            }
            let name = host[(at + 19)..<(at + entry.length)].prefix { $0 != 0 }
            let length = (10 + name.count + 2 + 3) & ~3
            result.add(UInt32(entry.inode))
            result.add(UInt32(entry.offset))
            result.add(UInt16(length))
            for byte in name { result.add(byte) }
            for _ in (10 + name.count)..<(length - 1) { result.add(UInt8(0)) }
            result.add(entry.type)
            at += entry.length
        }
        return flushEntries(result, a)
    }

    private func flushEntries(_ entries: ByteBuilder, _ a: CallArguments) -> Int {
        Guest.write(entries.bytes, at: a.a1) ? entries.bytes.count : failure(EFAULT)
    }

    /// readdir: one entry, of an age without lengths.
    private func directoryEntry(_ a: CallArguments) -> Int {
        if hasHostCompat { return hostCompat(89, a) }
        let fd = Int(Int32(truncatingIfNeeded: a.a0))
        var host = [UInt8](repeating: 0, count: 1024)
        let n = host.withUnsafeMutableBytes { readDirectory(a.a0, $0) }
        guard n > 0 else { return n }
        let (inode, offset) = host.withUnsafeBytes {
            ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
        guard inode <= UInt64(UInt32.max) else { return failure(EOVERFLOW) }
        _ = hostCall(.lseek, fd, Int(bitPattern: offset), 0)
        let name = host[19...].prefix { $0 != 0 }
        var b = ByteBuilder(capacity: 300)
        b.add(UInt32(inode))
        b.add(UInt32(truncatingIfNeeded: offset))
        b.add(UInt16(name.count))
        for byte in name { b.add(byte) }
        b.add(UInt8(0))
        return Guest.write(b.bytes, at: a.a1) ? 1 : failure(EFAULT)
    }
}
