// Socket calls. Addresses, messages and options have the host's layout on the guests here, so only the file names of
// Unix sockets need work, and only under a translated root. Names longer than sun_path after translation are reached
// through /proc/self/fd of their directory.

import CHost
import Glibc

private enum UnixAddress {
    static let family: UInt16 = 1
    static let pathOffset = 2
    static let pathMax = 108
}

extension GuestThread {
    /// Runs `body` with the host form of a socket address.
    private func withSocketAddress(_ address: UInt64, _ length: UInt64, _ body: (_ address: Int, _ length: Int) -> Int) -> Int {
        let size = Int(UInt32(truncatingIfNeeded: length))
        guard process.paths.isTranslating, address != 0, size > UnixAddress.pathOffset,
            size <= UnixAddress.pathOffset + UnixAddress.pathMax,
            let bytes = Guest.bytes(address, size), bytes[0] == UInt8(UnixAddress.family), bytes[1] == 0,
            bytes[UnixAddress.pathOffset] != 0
        else { return body(Int(bitPattern: address), Int(bitPattern: length)) }
        let path = Array(bytes[UnixAddress.pathOffset...].prefix { $0 != 0 })
        guard case .host(var host) = process.paths.translate(path, at: currentDirectory, follow: true) else { return body(Int(bitPattern: address), Int(bitPattern: length)) }
        var directory = -1
        if host.count >= UnixAddress.pathMax, let slash = host.lastIndex(of: 0x2f) {
            let parent = Array(host[..<slash])
            directory = withCPath(parent) { hostCall(.openat, Int(currentDirectory), $0, 0o10000000 | Int(O_CLOEXEC)) }
            guard directory >= 0 else { return directory }
            host = Array("/proc/self/fd/\(directory)".utf8) + host[slash...]
        }
        defer { if directory >= 0 { _ = hostCall(.close, directory) } }
        guard host.count < UnixAddress.pathMax else { return failure(ENAMETOOLONG) }
        let translated: [UInt8] = [UInt8(UnixAddress.family), 0] + host + [0]
        return translated.withUnsafeBytes { body(Int(bitPattern: $0.baseAddress!), $0.count) }
    }

    func socketAddress(_ call: SystemCall, _ a: CallArguments) -> Int {
        withSocketAddress(a.a1, a.a2) { self.safe(call, Int(bitPattern: a.a0), $0, $1) }
    }

    func sendTo(_ a: CallArguments) -> Int {
        withSocketAddress(a.a4, a.a5) {
            self.safe(.sendto, Int(bitPattern: a.a0), Int(bitPattern: a.a1), Int(bitPattern: a.a2), Int(bitPattern: a.a3), $0, $1)
        }
    }

    func sendMessage(_ a: CallArguments) -> Int {
        // struct msghdr: name, namelen, iov, iovlen, control, controllen, flags.
        guard process.paths.isTranslating, let header = Guest.load(a.a1, as: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64).self)
        else { return pass(.sendmsg, a) }
        return withSocketAddress(header.0, header.1) { name, length in
            var copy = header
            copy.0 = UInt64(UInt(bitPattern: name))
            copy.1 = UInt64(UInt32(truncatingIfNeeded: length))
            return withUnsafePointer(to: copy) {
                self.safe(.sendmsg, Int(bitPattern: a.a0), Int(bitPattern: $0), Int(bitPattern: a.a2))
            }
        }
    }

    /// Calls that return an address: host names of Unix sockets become the guest's.
    func socketName(_ call: SystemCall, _ a: CallArguments) -> Int {
        let capacity = a.a2 == 0 ? nil : Guest.load(a.a2, as: UInt32.self)
        let r = pass(call, a)
        guard r >= 0, process.paths.isTranslating, a.a1 != 0, let capacity,
            let length = Guest.load(a.a2, as: UInt32.self), length > 2, length <= capacity, length <= 110,
            let bytes = Guest.bytes(a.a1, Int(length)), bytes[0] == UInt8(UnixAddress.family), bytes[1] == 0, bytes[2] == 0x2f
        else { return r }
        let name = process.paths.guestName(Array(bytes[2...].prefix { $0 != 0 }))
        let new: [UInt8] = [1, 0] + name + [0]
        guard Guest.write(Array(new.prefix(Int(capacity))), at: a.a1), Guest.store(UInt32(new.count), at: a.a2) else {
            return failure(EFAULT)
        }
        return r
    }
}
