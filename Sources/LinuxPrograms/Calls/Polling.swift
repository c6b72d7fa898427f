// Calls that wait on descriptors. struct epoll_event is packed on x86 only, so events are converted;
// pollfd, fd_set and timespec are the same everywhere here.

import CHost
import Glibc

extension GuestThread {
    func pselect(_ a: CallArguments) -> Int {
        // The sixth argument points at {mask pointer, mask size}.
        var mask: (address: UInt64, size: UInt64) = (0, 8)
        if a.a5 != 0 {
            guard let pair = Guest.load(a.a5, as: (address: UInt64, size: UInt64).self) else { return failure(EFAULT) }
            mask = pair
        }
        return withMask(mask.address, mask.size) { pointer in
            withUnsafePointer(to: (pointer, 8)) {
                self.safe(.pselect6, Int(bitPattern: a.a0), Int(bitPattern: a.a1), Int(bitPattern: a.a2), Int(bitPattern: a.a3),
                          Int(bitPattern: a.a4), Int(bitPattern: $0))
            }
        }
    }

    /// Size of the host's packed epoll_event.
    private static let hostEventSize = 12

    func epollControl(_ a: CallArguments) -> Int {
        let layout = abi.epollEventLayout
        let delete: UInt64 = 2
        if layout.size == GuestThread.hostEventSize || a.a1 & 0xffff_ffff == delete || a.a3 == 0 { return pass(.epoll_ctl, a) }
        guard let events = Guest.load(a.a3, as: UInt32.self),
            let data = Guest.load(a.a3 &+ UInt64(layout.dataOffset), as: UInt64.self)
        else { return failure(EFAULT) }
        var host = ByteBuilder(capacity: GuestThread.hostEventSize)
        host.add(events)
        host.add(data)
        return host.bytes.withUnsafeBytes {
            safe(.epoll_ctl, Int(bitPattern: a.a0), Int(bitPattern: a.a1), Int(bitPattern: a.a2), Int(bitPattern: $0.baseAddress!))
        }
    }

    func epollWait(_ call: SystemCall, _ a: CallArguments) -> Int {
        let layout = abi.epollEventLayout
        if layout.size == GuestThread.hostEventSize {
            return withMask(a.a4, a.a5) {
                self.safe(call, Int(bitPattern: a.a0), Int(bitPattern: a.a1), Int(bitPattern: a.a2), Int(bitPattern: a.a3), $0, 8)
            }
        }
        let wanted = Int(Int32(truncatingIfNeeded: a.a2))
        guard wanted > 0 else { return failure(EINVAL) }
        // More events than this at once are left for the next call, which epoll allows.
        let count = min(wanted, 1024)
        return withUnsafeTemporaryAllocation(byteCount: count * GuestThread.hostEventSize, alignment: 8) { buffer in
            let host = buffer.baseAddress!
            let n = withMask(a.a4, a.a5) {
                self.safe(call, Int(bitPattern: a.a0), Int(bitPattern: host), count, Int(bitPattern: a.a3), $0, 8)
            }
            guard n > 0 else { return n }
            var out = [UInt8](repeating: 0, count: n * layout.size)
            out.withUnsafeMutableBytes { bytes in
                for i in 0..<n {
                    let from = host + i * GuestThread.hostEventSize
                    bytes.storeBytes(of: from.loadUnaligned(as: UInt32.self), toByteOffset: i * layout.size, as: UInt32.self)
                    bytes.storeBytes(
                        of: from.loadUnaligned(fromByteOffset: 4, as: UInt64.self),
                        toByteOffset: i * layout.size + layout.dataOffset, as: UInt64.self)
                }
            }
            return Guest.write(out, at: a.a1) ? n : failure(EFAULT)
        }
    }
}
