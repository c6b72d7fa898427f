// ioctl of 32-bit programs. Where the host's kernel has a 32-bit entry it converts, driver by driver; elsewhere this
// table knows the requests whose structures hold longs or pointers, and others pass as they are.
// Sources: the kernel's fs/ioctl.c, net/socket.c, block/ioctl.c (compat parts), include/uapi/linux/{sockios,fs,if}.h.

import CHost
import Glibc

/// Whether the host's kernel takes i386 system calls.
private let hostTakesCompat = guise_has_compat_calls() != 0

extension GuestThread {
    /// Whether `hostCompat` can be used.
    var hasHostCompat: Bool { hostTakesCompat }

    /// A call with i386's number and structures, done by the host's kernel.
    func hostCompat(_ number: Int, _ a: CallArguments) -> Int {
        // SAFETY: as in `safe`.
        guise_safe_compat_syscall(
            UnsafeMutableRawPointer(state).assumingMemoryBound(to: UInt64.self), number, Int(bitPattern: a.a0), Int(bitPattern: a.a1),
            Int(bitPattern: a.a2), Int(bitPattern: a.a3), Int(bitPattern: a.a4), Int(bitPattern: a.a5))
    }

    private enum Request {
        /// Requests whose numbers contain the size of a long, though an int is what moves: 32-bit to 64-bit.
        static let renumbered: [UInt64: UInt64] = [
            0x8004_6601: 0x8008_6601, 0x4004_6602: 0x4008_6602, // FS_IOC_GETFLAGS, SETFLAGS
            0x8004_7601: 0x8008_7601, 0x4004_7602: 0x4008_7602, // FS_IOC_GETVERSION, SETVERSION
            0x8004_1270: 0x8008_1270, 0x4004_1271: 0x4008_1271, // BLKBSZGET, BLKBSZSET
            0x8004_1272: 0x8008_1272, // BLKGETSIZE64, which is 8 bytes wide in spite of its number
        ]
        /// Requests that write one long.
        static let longs: Set<UInt64> = [0x1260, 0x1263, 0x1265] // BLKGETSIZE, BLKRAGET, BLKFRAGET
        static let interfaceList: UInt64 = 0x8912 // SIOCGIFCONF
        static let interfaceMaps: Set<UInt64> = [0x8970, 0x8971] // SIOCGIFMAP, SIOCSIFMAP
        /// Requests on a struct ifreq whose union holds an address of the guest's.
        static let interfaceData: Set<UInt64> = [0x8946, 0x8948, 0x8949, 0x89b0, 0x89b1] // ethtool, MII, time stamps
        /// Requests on any other struct ifreq.
        static let interfaces: ClosedRange<UInt64> = 0x8910...0x894f
    }
    private static let requestSize = 32, hostRequestSize = 40, nameSize = 16

    /// ioctl(descriptor, request, argument).
    func compatIoctl(_ a: CallArguments) -> Int {
        if hasHostCompat { return hostCompat(54, a) }
        let request = a.a1
        if let renumbered = Request.renumbered[request] {
            return inner(.ioctl, CallArguments(a0: a.a0, a1: renumbered, a2: a.a2))
        }
        if Request.longs.contains(request) {
            var value: UInt64 = 0
            let r = withUnsafeMutablePointer(to: &value) {
                inner(.ioctl, CallArguments(a0: a.a0, a1: request, a2: argument($0)))
            }
            guard r >= 0 else { return r }
            guard value <= UInt64(UInt32.max) else { return failure(EFBIG) }
            return Guest.store(UInt32(value), at: a.a2) ? r : failure(EFAULT)
        }
        if request == Request.interfaceList { return interfaceList(a) }
        if Request.interfaceMaps.contains(request) { return failure(EINVAL) }
        if Request.interfaceData.contains(request) { return interface(a, pointer: true) }
        if Request.interfaces.contains(request) { return interface(a, pointer: false) }
        return inner(.ioctl, a)
    }

    /// struct ifreq: a name, and a union whose host form is 8 bytes longer.
    private func interface(_ a: CallArguments, pointer: Bool) -> Int {
        guard var bytes = Guest.bytes(a.a2, GuestThread.requestSize) else { return failure(EFAULT) }
        bytes += [UInt8](repeating: 0, count: GuestThread.hostRequestSize - GuestThread.requestSize)
        if pointer { for i in 4..<8 { bytes[GuestThread.nameSize + i] = 0 } }
        let r = bytes.withUnsafeMutableBytes { inner(.ioctl, CallArguments(a0: a.a0, a1: a.a1, a2: argument($0.baseAddress))) }
        guard r >= 0, !pointer else { return r }
        return Guest.write(Array(bytes.prefix(GuestThread.requestSize)), at: a.a2) ? r : failure(EFAULT)
    }

    /// struct ifconf {length, address of an array of struct ifreq}.
    private func interfaceList(_ a: CallArguments) -> Int {
        guard let list = Guest.load(a.a2, as: (length: Int32, address: UInt32).self) else { return failure(EFAULT) }
        let countMax = 4096
        let count = list.address == 0 ? 0 : min(max(Int(list.length), 0) / GuestThread.requestSize, countMax)
        var entries = [UInt8](repeating: 0, count: max(count, 1) * GuestThread.hostRequestSize)
        let (r, length): (Int, Int32) = entries.withUnsafeMutableBytes { buffer in
            var host: (length: UInt64, address: UInt64) = (UInt64(count * GuestThread.hostRequestSize), 0)
            if list.address != 0 { host.address = argument(buffer.baseAddress) }
            let r = withUnsafeMutablePointer(to: &host) {
                inner(.ioctl, CallArguments(a0: a.a0, a1: a.a1, a2: argument($0)))
            }
            return (r, Int32(truncatingIfNeeded: host.length))
        }
        guard r >= 0 else { return r }
        let used = max(Int(length), 0) / GuestThread.hostRequestSize
        for i in 0..<min(used, count) {
            let from = i * GuestThread.hostRequestSize
            let entry = Array(entries[from..<(from + GuestThread.requestSize)])
            guard Guest.write(entry, at: UInt64(list.address) &+ UInt64(i * GuestThread.requestSize)) else { return failure(EFAULT) }
        }
        return Guest.store(Int32(used * GuestThread.requestSize), at: a.a2) ? r : failure(EFAULT)
    }
}
