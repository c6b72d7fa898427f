// Sockets in 32 bits: the socketcall multiplexer, messages with their ancillary data, options that hold times or
// addresses. Source: the kernel's net/compat.c, net/core/{sock,scm}.c.

import Glibc

/// struct msghdr of 28 bytes: name, namelen, iov, iovlen, control, controllen, flags.
private struct Message {
    var words: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32)
    static let size: UInt64 = 28
    static let lengthOffset: UInt64 = 4, controlLengthOffset: UInt64 = 20, flagsOffset: UInt64 = 24
}

/// Ancillary data: headers of 12 bytes aligned to 4 here, of 16 aligned to 8 on the host.
enum CompatControl {
    private static let socketLevel: Int32 = 1
    private static let timeval: Int32 = 29, timespec: Int32 = 35, timestamping: Int32 = 37
    private static let header = 12, hostHeader = 16

    /// The guest's bytes as the host takes them; nil when a header is malformed.
    static func decode(_ bytes: [UInt8]) -> [UInt8]? {
        var result = ByteBuilder(capacity: bytes.count * 2)
        var at = 0
        while at + header <= bytes.count {
            let (length, level, type) = bytes.withUnsafeBytes { p in
                (Int(p.loadUnaligned(fromByteOffset: at, as: UInt32.self)), p.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self),
                 p.loadUnaligned(fromByteOffset: at + 8, as: UInt32.self))
            }
            guard length >= header, length <= bytes.count - at else { return nil }
            result.align(8)
            result.add(UInt64(length - header + hostHeader))
            result.add(level)
            result.add(type)
            for byte in bytes[(at + header)..<(at + length)] { result.add(byte) }
            at += (length + 3) & ~3
        }
        result.align(8)
        return result.bytes
    }

    /// The host's bytes as the guest takes them, whole records only up to `room`, the last one cut; whether all fit.
    static func encode(_ bytes: [UInt8], room: Int) -> (bytes: [UInt8], isWhole: Bool) {
        var result = ByteBuilder(capacity: room)
        var at = 0
        while at + hostHeader <= bytes.count {
            let (length, level, type) = bytes.withUnsafeBytes { p in
                (Int(truncatingIfNeeded: p.loadUnaligned(fromByteOffset: at, as: UInt64.self)),
                 p.loadUnaligned(fromByteOffset: at + 8, as: Int32.self), p.loadUnaligned(fromByteOffset: at + 12, as: Int32.self))
            }
            guard length >= hostHeader, length <= bytes.count - at else { break }
            let data = convert(Array(bytes[(at + hostHeader)..<(at + length)]), level, type)
            result.align(4)
            let left = room - result.bytes.count
            guard left >= header else { return (result.bytes, false) }
            let used = min(data.count, left - header)
            result.add(UInt32(header + used))
            result.add(level)
            result.add(type)
            for byte in data[..<used] { result.add(byte) }
            if used < data.count { return (result.bytes, false) }
            at += (length + 7) & ~7
        }
        let aligned = (result.bytes.count + 3) & ~3
        if aligned <= room { result.align(4) }
        return (result.bytes, true)
    }

    /// Times in ancillary data are pairs of longs.
    private static func convert(_ data: [UInt8], _ level: Int32, _ type: Int32) -> [UInt8] {
        guard level == socketLevel, [timeval, timespec, timestamping].contains(type), data.count % 8 == 0 else { return data }
        return data.withUnsafeBytes { p in
            (0..<(data.count / 8)).flatMap { i in
                withUnsafeBytes(of: p.loadUnaligned(fromByteOffset: 8 * i, as: UInt32.self)) { Array($0) }
            }
        }
    }
}

extension GuestThread {
    private static let controlMax = 1 << 16
    /// MSG_CMSG_COMPAT, which is the kernel's own.
    private static let compatFlag: UInt64 = 0x8000_0000

    /// Calls on sockets; nil: not one of them, or one that needs nothing.
    func compatSocket(_ call: SystemCall, _ a: CallArguments) -> Int? {
        switch call {
        case .sendmsg:
            guard a.a2 & GuestThread.compatFlag == 0 else { return failure(EINVAL) }
            return sendMessage32(a.a0, a.a1, a.a2)
        case .recvmsg:
            guard a.a2 & GuestThread.compatFlag == 0 else { return failure(EINVAL) }
            return receiveMessage32(a.a0, a.a1, a.a2)
        case .sendmmsg: return sendMessages(a)
        case .recvmmsg, .recvmmsg_time64: return receiveMessages(a, wide: call == .recvmmsg_time64)
        case .setsockopt: return setOption(a)
        case .getsockopt: return getOption(a)
        default: return nil
        }
    }

    /// socketcall(call, arguments): the arguments are 32-bit words in memory.
    func socketCall(_ a: CallArguments) -> CallResult {
        let calls: [(SystemCall, Int)] = [
            (.socket, 3), (.bind, 3), (.connect, 3), (.listen, 2), (.accept, 3), (.getsockname, 3), (.getpeername, 3),
            (.socketpair, 4), (.sendto, 4), (.recvfrom, 4), (.sendto, 6), (.recvfrom, 6), (.shutdown, 2), (.setsockopt, 5),
            (.getsockopt, 5), (.sendmsg, 3), (.recvmsg, 3), (.accept4, 4), (.recvmmsg, 5), (.sendmmsg, 4),
        ]
        guard a.a0 >= 1, a.a0 <= UInt64(calls.count) else { return .value(failure(EINVAL)) }
        let (call, count) = calls[Int(a.a0) - 1]
        guard let bytes = Guest.bytes(a.a1, count * 4) else { return .value(failure(EFAULT)) }
        var inside = CallArguments()
        bytes.withUnsafeBytes { p in
            for i in 0..<count { inside[i] = UInt64(p.loadUnaligned(fromByteOffset: 4 * i, as: UInt32.self)) }
        }
        return performCompat(call, inside)
    }

    // MARK: messages

    /// Runs `body` with the host form of a message; its ancillary data come from `control`.
    private func withMessage(
        _ m: Message, control: inout [UInt8], controlLength: Int, _ body: (UnsafeMutablePointer<HostMessage>) -> Int
    ) -> Int {
        withUnsafeTemporaryAllocation(byteCount: CompatArena.size, alignment: 16) { memory in
            var arena = CompatArena(memory)
            var vector: UnsafeMutableRawPointer?
            let error = readVector(UInt64(m.words.2), UInt64(m.words.3), &arena, &vector)
            // A count that is too great has an errno of its own here.
            guard error == 0 else { return m.words.3 > 1024 ? failure(EMSGSIZE) : error }
            return control.withUnsafeMutableBytes { control in
                var host = HostMessage(
                    name: UInt64(m.words.0), nameLength: UInt64(m.words.1), vector: argument(vector), count: UInt64(m.words.3),
                    control: controlLength == 0 ? 0 : argument(control.baseAddress), controlLength: UInt64(controlLength),
                    flags: UInt64(m.words.6))
                return withUnsafeMutablePointer(to: &host, body)
            }
        }
    }

    /// The host's struct msghdr.
    struct HostMessage {
        var name: UInt64, nameLength: UInt64, vector: UInt64, count: UInt64, control: UInt64, controlLength: UInt64
        var flags: UInt64
    }

    private func sendMessage32(_ fd: UInt64, _ address: UInt64, _ flags: UInt64) -> Int {
        guard let words = Guest.load(address, as: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32).self) else {
            return failure(EFAULT)
        }
        let m = Message(words: words)
        var control: [UInt8] = []
        if words.4 != 0, words.5 != 0 {
            guard Int(words.5) <= GuestThread.controlMax else { return failure(ENOBUFS) }
            guard let bytes = Guest.bytes(UInt64(words.4), Int(words.5)) else { return failure(EFAULT) }
            guard let host = CompatControl.decode(bytes) else { return failure(EINVAL) }
            control = host
        }
        let length = control.count
        return withMessage(m, control: &control, controlLength: length) {
            self.inner(.sendmsg, CallArguments(a0: fd, a1: argument($0), a2: flags))
        }
    }

    private func receiveMessage32(_ fd: UInt64, _ address: UInt64, _ flags: UInt64) -> Int {
        guard let words = Guest.load(address, as: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32).self) else {
            return failure(EFAULT)
        }
        let m = Message(words: words)
        let room = words.4 == 0 ? 0 : min(Int(words.5), GuestThread.controlMax)
        // Descriptors that come in must not be more than the guest's own room takes: the host's header is 4 bytes longer.
        var control = [UInt8](repeating: 0, count: room == 0 ? 0 : room + 4)
        let capacity = control.count
        var result = HostMessage(name: 0, nameLength: 0, vector: 0, count: 0, control: 0, controlLength: 0, flags: 0)
        let r = withMessage(m, control: &control, controlLength: capacity) {
            let r = self.inner(.recvmsg, CallArguments(a0: fd, a1: argument($0), a2: flags))
            result = $0.pointee
            return r
        }
        guard r >= 0 else { return r }
        let messageTruncated: UInt32 = 8
        var shown = UInt32(truncatingIfNeeded: result.flags) & ~UInt32(GuestThread.compatFlag)
        let used = min(Int(result.controlLength), capacity)
        let (bytes, isWhole) = CompatControl.encode(Array(control.prefix(used)), room: room)
        if !isWhole { shown |= messageTruncated }
        let nameOK = words.0 == 0 || Guest.store(UInt32(truncatingIfNeeded: result.nameLength), at: address + Message.lengthOffset)
        guard nameOK, Guest.write(bytes, at: UInt64(words.4)),
            Guest.store(UInt32(bytes.count), at: address + Message.controlLengthOffset),
            Guest.store(shown, at: address + Message.flagsOffset)
        else { return failure(EFAULT) }
        return r
    }

    /// Bytes from one struct mmsghdr to the next: a message and its length.
    private static let messageStride: UInt64 = 32
    private static let messagesMax: UInt64 = 1024

    private func sendMessages(_ a: CallArguments) -> Int {
        let count = min(a.a2, GuestThread.messagesMax)
        for i in 0..<count {
            let at = a.a1 &+ i &* GuestThread.messageStride
            let r = sendMessage32(a.a0, at, a.a3)
            if r < 0 { return i == 0 || r == restartCall && i == 0 ? r : Int(i) }
            guard Guest.store(UInt32(truncatingIfNeeded: r), at: at + Message.size) else { return i == 0 ? failure(EFAULT) : Int(i) }
        }
        return Int(count)
    }

    private func receiveMessages(_ a: CallArguments, wide: Bool) -> Int {
        let waitForOne: UInt64 = 0x10000, dontWait: UInt64 = 0x40
        var deadline: Int64?
        if a.a4 != 0 {
            let time: (Int64, Int64)
            if wide {
                guard let t = Guest.load(a.a4, as: (Int64, UInt64).self) else { return failure(EFAULT) }
                time = (t.0, Int64(t.1 & 0xffff_ffff))
            } else {
                guard let t = Guest.load(a.a4, as: (Int32, Int32).self) else { return failure(EFAULT) }
                time = (Int64(t.0), Int64(t.1))
            }
            guard time.0 >= 0, (0..<1_000_000_000).contains(time.1) else { return failure(EINVAL) }
            deadline = GuestThread.nanoseconds() &+ min(time.0, 1 << 32) &* 1_000_000_000 &+ time.1
        }
        let count = min(a.a2, GuestThread.messagesMax)
        for i in 0..<count {
            let at = a.a1 &+ i &* GuestThread.messageStride
            let wait = a.a3 & waitForOne != 0 && i > 0 ? dontWait : 0
            let r = receiveMessage32(a.a0, at, a.a3 & ~waitForOne | wait)
            if r < 0 { return i == 0 ? r : Int(i) }
            guard Guest.store(UInt32(truncatingIfNeeded: r), at: at + Message.size) else { return i == 0 ? failure(EFAULT) : Int(i) }
            // As in the kernel the time is looked at between messages only.
            if let deadline, GuestThread.nanoseconds() >= deadline { return Int(i) + 1 }
        }
        return Int(count)
    }

    private static func nanoseconds() -> Int64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return Int64(now.tv_sec) &* 1_000_000_000 &+ Int64(now.tv_nsec)
    }

    // MARK: options

    private enum Option {
        static let socket: UInt64 = 1
        static let receiveTime: UInt64 = 20, sendTime: UInt64 = 21
        static let filter: UInt64 = 26, reusePortFilter: UInt64 = 51
    }

    private func setOption(_ a: CallArguments) -> Int {
        guard a.a1 == Option.socket else { return inner(.setsockopt, a) }
        var inside = a
        switch a.a2 {
        case Option.receiveTime, Option.sendTime:
            guard Int32(truncatingIfNeeded: a.a4) >= 8 else { return failure(EINVAL) }
            guard let t = Guest.load(a.a3, as: (Int32, Int32).self) else { return failure(EFAULT) }
            var time = (Int64(t.0), Int64(t.1))
            return withUnsafeMutablePointer(to: &time) {
                inside.a3 = argument($0)
                inside.a4 = 16
                return inner(.setsockopt, inside)
            }
        case Option.filter, Option.reusePortFilter:
            // struct sock_fprog: a count of 16 bits, and an address.
            guard a.a4 >= 8 else { return failure(EINVAL) }
            guard let w = Guest.load(a.a3, as: (UInt32, UInt32).self) else { return failure(EFAULT) }
            var program = (UInt64(w.0 & 0xffff), UInt64(w.1))
            return withUnsafeMutablePointer(to: &program) {
                inside.a3 = argument($0)
                inside.a4 = 16
                return inner(.setsockopt, inside)
            }
        default: return inner(.setsockopt, a)
        }
    }

    private func getOption(_ a: CallArguments) -> Int {
        guard a.a1 == Option.socket, a.a2 == Option.receiveTime || a.a2 == Option.sendTime else { return inner(.getsockopt, a) }
        guard let room = Guest.load(a.a4, as: Int32.self) else { return failure(EFAULT) }
        guard room >= 0 else { return failure(EINVAL) }
        var time: (Int64, Int64) = (0, 0)
        var length: UInt32 = 16
        let r = withUnsafeMutablePointer(to: &time) { time in
            withUnsafeMutablePointer(to: &length) { length in
                inner(.getsockopt, CallArguments(a0: a.a0, a1: a.a1, a2: a.a2, a3: argument(time), a4: argument(length)))
            }
        }
        guard r == 0 else { return r }
        var b = ByteBuilder(capacity: 8)
        b.add(Int32(truncatingIfNeeded: time.0))
        b.add(Int32(truncatingIfNeeded: time.1))
        let shown = Array(b.bytes.prefix(Int(room)))
        return Guest.write(shown, at: a.a3) && Guest.store(UInt32(shown.count), at: a.a4) ? 0 : failure(EFAULT)
    }
}
