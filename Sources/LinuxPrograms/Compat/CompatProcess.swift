// Processes in 32 bits: identities of 16 bits, limits, times in single words, system information, futexes.
// Source: the kernel's kernel/{uid16,compat,sys,time/time,futex/syscalls}.c.

import CHost
import Glibc

/// User and group numbers of 16 bits.
enum CompatIdentity {
    private static let overflow: UInt16 = 65534

    /// -1 stays -1.
    static func widen(_ value: UInt64) -> UInt64 { value & 0xffff == 0xffff ? 0xffff_ffff : value & 0xffff }
    /// Numbers that do not fit are nobody's.
    static func narrow(_ value: UInt32) -> UInt16 { value > UInt32(UInt16.max) ? overflow : UInt16(value) }
}

extension GuestThread {
    /// Calls on processes; nil: not one of them, or one that needs nothing.
    func compatProcess(_ call: SystemCall, _ a: CallArguments) -> Int? {
        switch call {
        case .lchown16, .chown16, .fchown16, .setuid16, .setgid16, .getuid16, .getgid16, .geteuid16, .getegid16,
            .setreuid16, .setregid16, .setresuid16, .setresgid16, .getresuid16, .getresgid16, .setfsuid16, .setfsgid16,
            .getgroups16, .setgroups16:
            return identity16(call, a)
        case .waitpid: return inner(.wait4, CallArguments(a0: a.a0, a1: a.a1, a2: a.a2))
        case .waitid: return waitIdentity(a)
        case .time:
            let now = inner(.time, CallArguments())
            if a.a0 != 0, !Guest.store(Int32(truncatingIfNeeded: now), at: a.a0) { return failure(EFAULT) }
            return now
        case .stime:
            guard let seconds = Guest.load(a.a0, as: Int32.self) else { return failure(EFAULT) }
            var time: (Int64, Int64) = (Int64(seconds), 0)
            return withUnsafeMutablePointer(to: &time) { inner(.clock_settime, CallArguments(a0: 0, a1: argument($0))) }
        case .nice:
            let step = Int(Int32(truncatingIfNeeded: a.a0))
            let old = 20 - hostCall(.getpriority, 0, 0)
            let new = min(max(old + min(max(step, -40), 40), -20), 19)
            let r = hostCall(.setpriority, 0, 0, new)
            return r == failure(EACCES) ? failure(EPERM) : r
        case .getrlimit, .oldgetrlimit: return getLimit(a, old: call == .oldgetrlimit)
        case .sysinfo: return systemInformation(a)
        case .olduname: return oldName(a, field: 65)
        case .oldolduname: return oldName(a, field: 9)
        case .adjtimex: return adjustTime(.adjtimex, CallArguments(), a.a0)
        case .clock_adjtime: return adjustTime(.clock_adjtime, CallArguments(a0: a.a0), a.a1)
        case .futex, .futex_time64: return futex(call, a)
        case .sched_getaffinity: return affinity(a)
        case .set_robust_list: return setRobustList32(a)
        case .get_robust_list: return getRobustList32(a)
        case .prctl:
            let getTID: UInt64 = 40
            guard a.a0 == getTID else { return nil }
            return Guest.store(UInt32(truncatingIfNeeded: clearChildTID), at: a.a1) ? 0 : failure(EFAULT)
        default: return nil
        }
    }

    private func identity16(_ call: SystemCall, _ a: CallArguments) -> Int {
        let (x, y, z) = (CompatIdentity.widen(a.a0), CompatIdentity.widen(a.a1), CompatIdentity.widen(a.a2))
        func narrowed(_ call: SystemCall) -> Int {
            Int(CompatIdentity.narrow(UInt32(truncatingIfNeeded: inner(call, CallArguments()))))
        }
        switch call {
        case .chown16: return inner(.chown, CallArguments(a0: a.a0, a1: y, a2: z))
        case .lchown16: return inner(.lchown, CallArguments(a0: a.a0, a1: y, a2: z))
        case .fchown16: return inner(.fchown, CallArguments(a0: a.a0, a1: y, a2: z))
        case .setuid16: return inner(.setuid, CallArguments(a0: x))
        case .setgid16: return inner(.setgid, CallArguments(a0: x))
        case .setreuid16: return inner(.setreuid, CallArguments(a0: x, a1: y))
        case .setregid16: return inner(.setregid, CallArguments(a0: x, a1: y))
        case .setresuid16: return inner(.setresuid, CallArguments(a0: x, a1: y, a2: z))
        case .setresgid16: return inner(.setresgid, CallArguments(a0: x, a1: y, a2: z))
        case .setfsuid16: return inner(.setfsuid, CallArguments(a0: x))
        case .setfsgid16: return inner(.setfsgid, CallArguments(a0: x))
        case .getuid16: return narrowed(.getuid)
        case .getgid16: return narrowed(.getgid)
        case .geteuid16: return narrowed(.geteuid)
        case .getegid16: return narrowed(.getegid)
        case .getresuid16: return identities(.getresuid, a)
        case .getresgid16: return identities(.getresgid, a)
        case .getgroups16: return getGroups(a)
        default: return setGroups(a)
        }
    }

    private func identities(_ call: SystemCall, _ a: CallArguments) -> Int {
        var values: (UInt32, UInt32, UInt32) = (0, 0, 0)
        let r = withUnsafeMutableBytes(of: &values) { p in
            inner(call, CallArguments(
                a0: argument(p.baseAddress), a1: argument(p.baseAddress! + 4), a2: argument(p.baseAddress! + 8)))
        }
        guard r == 0 else { return r }
        return Guest.store(CompatIdentity.narrow(values.0), at: a.a0) && Guest.store(CompatIdentity.narrow(values.1), at: a.a1)
            && Guest.store(CompatIdentity.narrow(values.2), at: a.a2) ? 0 : failure(EFAULT)
    }

    private func getGroups(_ a: CallArguments) -> Int {
        let groupsMax = 65536
        var groups = [UInt32](repeating: 0, count: groupsMax)
        let n = groups.withUnsafeMutableBytes { hostCall(.getgroups, groupsMax, Int(bitPattern: $0.baseAddress!)) }
        let room = Int(Int32(truncatingIfNeeded: a.a0))
        guard n >= 0, room != 0 else { return n }
        guard room >= n else { return failure(EINVAL) }
        let narrow = groups[..<n].map { CompatIdentity.narrow($0) }
        return narrow.withUnsafeBytes { Guest.write($0, at: a.a1) } ? n : failure(EFAULT)
    }

    private func setGroups(_ a: CallArguments) -> Int {
        let groupsMax: UInt64 = 65536
        guard a.a0 <= groupsMax else { return failure(EINVAL) }
        guard let bytes = Guest.bytes(a.a1, Int(a.a0) * 2) else { return failure(EFAULT) }
        let groups: [UInt32] = bytes.withUnsafeBytes { p in
            (0..<Int(a.a0)).map {
                UInt32(truncatingIfNeeded: CompatIdentity.widen(UInt64(p.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self))))
            }
        }
        return groups.withUnsafeBytes { inner(.setgroups, CallArguments(a0: a.a0, a1: UInt64(UInt(bitPattern: $0.baseAddress)))) }
    }

    // MARK: waiting for children

    private func waitIdentity(_ a: CallArguments) -> Int {
        var info = [UInt64](repeating: 0, count: 16)
        var usage = [UInt64](repeating: 0, count: 18)
        let r = info.withUnsafeMutableBytes { info in
            usage.withUnsafeMutableBytes { usage in
                inner(.waitid, CallArguments(
                    a0: a.a0, a1: a.a1, a2: argument(info.baseAddress), a3: a.a3, a4: a.a4 == 0 ? 0 : argument(usage.baseAddress)))
            }
        }
        guard r >= 0 else { return r }
        let signal = info.withUnsafeBytes { $0.load(as: Int32.self) }
        if a.a4 != 0, signal != 0 {
            let words = usage.map { UInt32(truncatingIfNeeded: $0) }
            guard words.withUnsafeBytes({ Guest.write($0, at: a.a4) }) else { return failure(EFAULT) }
        }
        guard a.a2 != 0 else { return r }
        // Only the fields a child's change of state has are written.
        let bytes = info.withUnsafeBytes { CompatSignalInfo.encode($0.baseAddress!) }
        return Guest.write(Array(bytes.prefix(24)), at: a.a2) ? r : failure(EFAULT)
    }

    // MARK: limits and information

    private func getLimit(_ a: CallArguments, old: Bool) -> Int {
        var limit: (UInt64, UInt64) = (0, 0)
        let r = withUnsafeMutablePointer(to: &limit) { inner(.getrlimit, CallArguments(a0: a.a0, a1: argument($0))) }
        guard r == 0 else { return r }
        let infinity: UInt64 = old ? 0x7fff_ffff : 0xffff_ffff
        let words = (UInt32(min(limit.0, infinity)), UInt32(min(limit.1, infinity)))
        return Guest.store(words, at: a.a1) ? 0 : failure(EFAULT)
    }

    private func systemInformation(_ a: CallArguments) -> Int {
        // uptime, 3 loads, 6 amounts of memory, processes (16 bits), 2 amounts, unit (32 bits).
        var host = [UInt64](repeating: 0, count: 16)
        let r = host.withUnsafeMutableBytes { inner(.sysinfo, CallArguments(a0: argument($0.baseAddress))) }
        guard r == 0 else { return r }
        var unit = host[13] & 0xffff_ffff
        var memory = Array(host[4...9]) + [host[11], host[12]]
        if memory[0] >> 32 != 0 || memory[4] >> 32 != 0 {
            var shift: UInt64 = 0
            while unit < pageSize {
                unit <<= 1
                shift += 1
            }
            memory = memory.map { $0 >> shift }
        }
        var b = ByteBuilder(capacity: 64)
        for value in host[0...3] { b.add(UInt32(truncatingIfNeeded: value)) }
        for value in memory[0...5] { b.add(UInt32(truncatingIfNeeded: value)) }
        b.add(UInt16(truncatingIfNeeded: host[10]))
        b.add(UInt16(0))
        for value in memory[6...7] { b.add(UInt32(truncatingIfNeeded: value)) }
        b.add(UInt32(truncatingIfNeeded: unit))
        b.add(UInt64(0))
        return Guest.write(b.bytes, at: a.a0) ? 0 : failure(EFAULT)
    }

    /// uname of old: five fields.
    private func oldName(_ a: CallArguments, field: Int) -> Int {
        let hostField = 65
        var name = [UInt8](repeating: 0, count: hostField * 6)
        let r = name.withUnsafeMutableBytes { inner(.uname, CallArguments(a0: argument($0.baseAddress))) }
        guard r == 0 else { return r }
        var result: [UInt8] = []
        for i in 0..<5 { result += name[(i * hostField)..<(i * hostField + field - 1)] + [0] }
        return Guest.write(result, at: a.a0) ? 0 : failure(EFAULT)
    }

    /// struct timex: the host's has its longs 8 bytes wide and apart.
    private func adjustTime(_ call: SystemCall, _ a: CallArguments, _ address: UInt64) -> Int {
        // Widths of the guest's 20 words, of which those marked true are longs on the host.
        let longs = [
            false, true, true, true, true, false, true, true, true, true, true, true, true, true, false, true, true, true,
            true, true,
        ]
        guard let bytes = Guest.bytes(address, 128) else { return failure(EFAULT) }
        var host = [UInt8](repeating: 0, count: 208)
        var offsets: [Int] = []
        var at = 0
        for isLong in longs {
            if isLong { at = (at + 7) & ~7 }
            offsets.append(at)
            at += isLong ? 8 : 4
        }
        let taiOffset = at
        bytes.withUnsafeBytes { p in
            host.withUnsafeMutableBytes { h in
                for (i, isLong) in longs.enumerated() {
                    let value = p.loadUnaligned(fromByteOffset: 4 * i, as: Int32.self)
                    if isLong {
                        h.storeBytes(of: Int64(value), toByteOffset: offsets[i], as: Int64.self)
                    } else {
                        h.storeBytes(of: value, toByteOffset: offsets[i], as: Int32.self)
                    }
                }
            }
        }
        let r = host.withUnsafeMutableBytes { p in
            var inside = a
            inside[call == .adjtimex ? 0 : 1] = argument(p.baseAddress)
            return inner(call, inside)
        }
        guard r >= 0 else { return r }
        var b = ByteBuilder(capacity: 128)
        host.withUnsafeBytes { h in
            for offset in offsets { b.add(h.loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }
            b.add(h.loadUnaligned(fromByteOffset: taiOffset, as: UInt32.self))
        }
        b.align(128)
        return Guest.write(b.bytes, at: address) ? r : failure(EFAULT)
    }

    // MARK: threads

    private func futex(_ call: SystemCall, _ a: CallArguments) -> Int {
        let private_: UInt64 = 128, realTime: UInt64 = 256
        // WAIT, LOCK_PI, WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2: the fourth argument is a time.
        let timed: Set<UInt64> = [0, 6, 9, 11, 13]
        guard timed.contains(a.a1 & ~(private_ | realTime) & 0xffff_ffff), a.a3 != 0 else { return inner(.futex, a) }
        let form: StaticString = call == .futex ? "ddd2<dd" : "dddqdd"
        guard case .value(let r) = performRow(CompatRow(.futex, form), a) else { return failure(ENOSYS) }
        return r
    }

    private func affinity(_ a: CallArguments) -> Int {
        let word = 4
        let size = Int(Int32(truncatingIfNeeded: a.a1))
        guard size >= 0, size % word == 0 else { return failure(EINVAL) }
        var set = [UInt8](repeating: 0, count: 8192)
        let r = set.withUnsafeMutableBytes {
            inner(.sched_getaffinity, CallArguments(a0: a.a0, a1: UInt64($0.count), a2: argument($0.baseAddress)))
        }
        guard r >= 0 else { return r }
        // Too small for all processors is EINVAL; the last bytes of the host's words may be none.
        let used = min(r, size)
        guard set[used..<r].allSatisfy({ $0 == 0 }) else { return failure(EINVAL) }
        return Guest.write(Array(set.prefix(used)), at: a.a2) ? used : failure(EFAULT)
    }

    /// The list's structures have 32-bit fields: the host's kernel walks it where it has a 32-bit entry, and we do when a
    /// thread ends by itself.
    private func setRobustList32(_ a: CallArguments) -> Int {
        let headSize: UInt64 = 12
        guard a.a1 == headSize else { return failure(EINVAL) }
        if hasHostCompat {
            let r = hostCompat(311, a)
            guard r == 0 else { return r }
        }
        robustList = a.a0
        return 0
    }

    private func getRobustList32(_ a: CallArguments) -> Int {
        let headSize: UInt32 = 12
        guard a.a0 == 0 || Int(bitPattern: a.a0) == hostCall(.gettid) else {
            return hasHostCompat ? hostCompat(312, a) : failure(ESRCH)
        }
        return Guest.store(headSize, at: a.a2) && Guest.store(UInt32(truncatingIfNeeded: robustList), at: a.a1)
            ? 0 : failure(EFAULT)
    }
}
