// System V IPC in 32 bits: the ipc multiplexer, messages whose type is one word, and the three status structures.
// Source: the kernel's ipc/{compat,syscall,msg,sem,shm}.c, include/uapi/asm-generic/{ipcbuf,msgbuf,sembuf,shmbuf}.h.

import Glibc

private enum Command {
    static let remove: UInt64 = 0, set: UInt64 = 1, stat: UInt64 = 2, info: UInt64 = 3
    static let messageStat: UInt64 = 11, messageInfo: UInt64 = 12, messageStatAny: UInt64 = 13
    static let sharedStat: UInt64 = 13, sharedInfo: UInt64 = 14, sharedStatAny: UInt64 = 15
    static let semaphoreSetValue: UInt64 = 16
    static let semaphoreStat: UInt64 = 18, semaphoreInfo: UInt64 = 19, semaphoreStatAny: UInt64 = 20
    /// IPC_64: structures of today. The 16-bit ones of old are not known here.
    static let modern: UInt64 = 0x100
}

/// The status structures: permissions, then what is listed. `t` a time (two words here), `l` a long, `i`
/// an int, `_` a long that only the host has.
private enum Status {
    static let message = "tttlllii", semaphore = "t_t_l", shared = "ltttiil"
}

extension GuestThread {
    /// IPC calls; nil: not one of them, or one that needs nothing.
    func compatInterprocess(_ call: SystemCall, _ a: CallArguments) -> Int? {
        switch call {
        case .msgsnd: return sendQueue(a.a0, a.a1, a.a2, a.a3)
        case .msgrcv: return receiveQueue(a.a0, a.a1, a.a2, signed(a.a3), a.a4)
        case .msgctl: return control(.msgctl, a.a0, nil, a.a1, a.a2)
        case .shmctl: return control(.shmctl, a.a0, nil, a.a1, a.a2)
        case .semctl: return control(.semctl, a.a0, a.a1, a.a2, a.a3)
        default: return nil
        }
    }

    /// ipc(call, first, second, third, pointer, fifth).
    func interprocess(_ a: CallArguments) -> Int {
        let version = a.a0 >> 16, third = a.a3, pointer = a.a4
        switch a.a0 & 0xffff {
        case 1: return inner(.semop, CallArguments(a0: a.a1, a1: pointer, a2: a.a2))
        case 2: return inner(.semget, CallArguments(a0: a.a1, a1: a.a2, a2: third))
        case 3:
            guard pointer != 0 else { return failure(EINVAL) }
            guard let value = Guest.load(pointer, as: UInt32.self) else { return failure(EFAULT) }
            return control(.semctl, a.a1, a.a2, third, UInt64(value))
        case 4:
            let inside = CallArguments(a0: a.a1, a1: pointer, a2: a.a2, a3: a.a5)
            guard case .value(let r) = performCompat(.semtimedop, inside) else { return failure(ENOSYS) }
            return r
        case 11: return sendQueue(a.a1, pointer, a.a2, third)
        case 12:
            if version == 0 {
                guard let w = Guest.load(pointer, as: (UInt32, UInt32).self) else { return failure(EFAULT) }
                return receiveQueue(a.a1, UInt64(w.0), a.a2, signed(UInt64(w.1)), third)
            }
            return receiveQueue(a.a1, pointer, a.a2, signed(a.a5), third)
        case 13: return inner(.msgget, CallArguments(a0: a.a1, a1: a.a2))
        case 14: return control(.msgctl, a.a1, nil, a.a2, pointer)
        case 21:
            guard version != 1 else { return failure(EINVAL) }
            let r = inner(.shmat, CallArguments(a0: a.a1, a1: pointer, a2: a.a2))
            guard r >= 0 else { return r }
            return Guest.store(UInt32(truncatingIfNeeded: r), at: third) ? 0 : failure(EFAULT)
        case 22: return inner(.shmdt, CallArguments(a0: pointer))
        case 23: return inner(.shmget, CallArguments(a0: a.a1, a1: a.a2, a2: third))
        case 24: return control(.shmctl, a.a1, nil, a.a2, pointer)
        default: return failure(ENOSYS)
        }
    }

    // MARK: queues

    private static let messageMax: UInt64 = 1 << 24

    private func sendQueue(_ queue: UInt64, _ address: UInt64, _ size: UInt64, _ flags: UInt64) -> Int {
        guard size <= GuestThread.messageMax else { return failure(EINVAL) }
        guard let type = Guest.load(address, as: Int32.self), let text = Guest.bytes(address &+ 4, Int(size)) else {
            return failure(EFAULT)
        }
        var b = ByteBuilder(capacity: text.count + 8)
        b.add(Int64(type))
        var host = b.bytes + text
        return host.withUnsafeMutableBytes {
            inner(.msgsnd, CallArguments(a0: queue, a1: argument($0.baseAddress), a2: size, a3: flags))
        }
    }

    private func receiveQueue(_ queue: UInt64, _ address: UInt64, _ size: UInt64, _ type: UInt64, _ flags: UInt64) -> Int {
        guard Int32(truncatingIfNeeded: size) >= 0 else { return failure(EINVAL) }
        let room = min(size, GuestThread.messageMax)
        var host = [UInt8](repeating: 0, count: Int(room) + 8)
        let r = host.withUnsafeMutableBytes {
            inner(.msgrcv, CallArguments(a0: queue, a1: argument($0.baseAddress), a2: room, a3: type, a4: flags))
        }
        guard r >= 0 else { return r }
        let received = host.withUnsafeBytes { $0.loadUnaligned(as: Int64.self) }
        guard Guest.store(Int32(truncatingIfNeeded: received), at: address),
            Guest.write(Array(host[8..<(8 + r)]), at: address &+ 4)
        else { return failure(EFAULT) }
        return r
    }

    // MARK: control

    private func control(_ call: SystemCall, _ id: UInt64, _ number: UInt64?, _ command: UInt64, _ value: UInt64) -> Int {
        let plain = command & ~Command.modern
        func host(_ value: UInt64) -> Int {
            var inside = CallArguments(a0: id)
            var i = 1
            if let number {
                inside[i] = number
                i += 1
            }
            inside[i] = plain
            inside[i + 1] = value
            return inner(call, inside)
        }
        let form: String, stats: Set<UInt64>
        switch call {
        case .msgctl: (form, stats) = (Status.message, [Command.stat, Command.messageStat, Command.messageStatAny])
        case .shmctl: (form, stats) = (Status.shared, [Command.stat, Command.sharedStat, Command.sharedStatAny])
        default: (form, stats) = (Status.semaphore, [Command.stat, Command.semaphoreStat, Command.semaphoreStatAny])
        }
        if plain == Command.set || stats.contains(plain) {
            guard command & Command.modern != 0 else { return failure(EINVAL) }
        }
        if plain == Command.set { return setStatus(form, value, host) }
        if stats.contains(plain) { return getStatus(form, value, host) }
        if call == .semctl, plain == Command.semaphoreSetValue { return host(signed(value)) }
        if call == .shmctl, plain == Command.info || plain == Command.sharedInfo { return sharedInformation(plain, value, host) }
        return host(value)
    }

    /// Permissions: key, uid, gid, cuid, cgid (words), mode (word here, half and padding there), sequence, two longs.
    private static let permissionSize = 36, hostPermissionSize = 48

    private func setStatus(_ form: String, _ address: UInt64, _ host: (UInt64) -> Int) -> Int {
        guard let bytes = Guest.bytes(address, GuestThread.permissionSize + 28) else { return failure(EFAULT) }
        var status = [UInt8](repeating: 0, count: 128)
        status.replaceSubrange(0..<24, with: bytes[..<24])
        if form == Status.message {
            // msg_qbytes, the sixth long of the structure.
            let limit = bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: GuestThread.permissionSize + 32, as: UInt32.self) }
            withUnsafeBytes(of: UInt64(limit)) { status.replaceSubrange(88..<96, with: $0) }
        }
        return status.withUnsafeMutableBytes { host(argument($0.baseAddress)) }
    }

    private func getStatus(_ form: String, _ address: UInt64, _ host: (UInt64) -> Int) -> Int {
        var status = [UInt8](repeating: 0, count: 256)
        let r = status.withUnsafeMutableBytes { host(argument($0.baseAddress)) }
        guard r >= 0 else { return r }
        var b = ByteBuilder(capacity: 88)
        status.withUnsafeBytes { p in
            for offset in [0, 4, 8, 12, 16] { b.add(p.loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }
            b.add(p.loadUnaligned(fromByteOffset: 20, as: UInt16.self))
            b.add(UInt16(0))
            b.add(p.loadUnaligned(fromByteOffset: 24, as: UInt16.self))
            b.add(UInt16(0))
            b.add(UInt64(0))
            var at = GuestThread.hostPermissionSize
            for field in form {
                switch field {
                case "t":
                    b.add(p.loadUnaligned(fromByteOffset: at, as: UInt64.self))
                    at += 8
                case "_": at += 8
                case "l":
                    b.add(UInt32(truncatingIfNeeded: p.loadUnaligned(fromByteOffset: at, as: UInt64.self)))
                    at += 8
                default:
                    b.add(p.loadUnaligned(fromByteOffset: at, as: UInt32.self))
                    at += 4
                }
            }
            b.add(UInt64(0))
        }
        return Guest.write(b.bytes, at: address) ? r : failure(EFAULT)
    }

    /// struct shminfo (9 longs) and shm_info (an int, five longs).
    private func sharedInformation(_ command: UInt64, _ address: UInt64, _ host: (UInt64) -> Int) -> Int {
        var values = [UInt64](repeating: 0, count: 9)
        let r = values.withUnsafeMutableBytes { host(argument($0.baseAddress)) }
        guard r >= 0 else { return r }
        let count = command == Command.info ? 9 : 6
        let words = values[..<count].map { UInt32(min($0, UInt64(UInt32.max))) }
        return words.withUnsafeBytes { Guest.write($0, at: address) } ? r : failure(EFAULT)
    }
}
