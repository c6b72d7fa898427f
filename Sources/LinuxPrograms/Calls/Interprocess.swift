// System V IPC. Message queues and shared memory have the host's layout on all 64-bit guests; semid64_ds has not.

import Glibc

extension GuestThread {
    func semaphoreControl(_ a: CallArguments) -> Int {
        let ipcSet: UInt64 = 1, ipcStat: UInt64 = 2, semStat: UInt64 = 18, semStatAny: UInt64 = 20
        let command = a.a2 & ~0x100 // IPC_64
        guard [ipcSet, ipcStat, semStat, semStatAny].contains(command), !abi.semaphoreTimesArePadded else {
            return pass(.semctl, a)
        }
        // Host: perm (48), otime, unused, ctime, unused, nsems, 2 unused. Guest: perm, otime, ctime, nsems, 2 unused.
        var host = [UInt64](repeating: 0, count: 13)
        if command == ipcSet {
            guard let guest = Guest.bytes(a.a3, 48) else { return failure(EFAULT) }
            host.withUnsafeMutableBytes { $0.copyBytes(from: guest) }
        }
        let r = host.withUnsafeMutableBytes {
            safe(.semctl, Int(bitPattern: a.a0), Int(bitPattern: a.a1), Int(command), Int(bitPattern: $0.baseAddress!))
        }
        guard r >= 0, command != ipcSet else { return r }
        let guest: [UInt64] = Array(host[0..<6]) + [host[6], host[8], host[10], 0, 0]
        return guest.withUnsafeBytes { Guest.write($0, at: a.a3) } ? r : failure(EFAULT)
    }
}
