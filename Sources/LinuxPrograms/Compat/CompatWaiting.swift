// select in its four spellings. Sets of descriptors are bit maps of 32-bit words here: the host, which works with words of
// twice that size, must not touch what lies behind them. Source: the kernel's fs/select.c, compat_core_sys_select.

import Glibc

extension GuestThread {
    /// Host forms of the three sets, of which each may be absent.
    struct DescriptorSets {
        var count: UInt64
        var addresses: (UInt64, UInt64, UInt64)
    }

    /// Copies the sets in, waits, and copies them out when the wait succeeded.
    func select(_ count: UInt64, _ sets: (UInt64, UInt64, UInt64), _ wait: (DescriptorSets) -> Int) -> Int {
        let n = Int(Int32(truncatingIfNeeded: count))
        guard n >= 0 else { return failure(EINVAL) }
        // The host looks at no more descriptors than its table has; a bit map for all that can exist bounds ours.
        let countMax = 1 << 20
        let bits = min(n, countMax)
        let guestBytes = (bits + 31) / 32 * 4, hostBytes = (bits + 63) / 64 * 8
        var maps: [[UInt8]?] = []
        for address in [sets.0, sets.1, sets.2] {
            guard address != 0 else {
                maps.append(nil)
                continue
            }
            guard let map = Guest.bytes(address, guestBytes) else { return failure(EFAULT) }
            maps.append(map + [UInt8](repeating: 0, count: hostBytes - guestBytes + 8))
        }
        // One buffer for the three, each at its own place; absent sets stay absent.
        var buffer = maps.flatMap { $0 ?? [] }
        let stride = hostBytes + 8
        var places: [Int] = []
        var next = 0
        for map in maps {
            places.append(next)
            if map != nil { next += stride }
        }
        buffer.append(0)
        let r = buffer.withUnsafeMutableBytes { p in
            let pointers = (0..<3).map { maps[$0] == nil ? 0 : argument(p.baseAddress! + places[$0]) }
            return wait(DescriptorSets(count: UInt64(bits), addresses: (pointers[0], pointers[1], pointers[2])))
        }
        guard r >= 0 else { return r }
        for (i, address) in [sets.0, sets.1, sets.2].enumerated() where address != 0 {
            guard Guest.write(Array(buffer[places[i]..<(places[i] + guestBytes)]), at: address) else { return failure(EFAULT) }
        }
        return r
    }

    /// With a struct timeval, into which the remaining time goes.
    func timevalWait(_ sets: DescriptorSets, _ timeout: UInt64) -> Int {
        var time: (Int64, Int64) = (0, 0)
        if timeout != 0 {
            guard let t = Guest.load(timeout, as: (Int32, Int32).self) else { return failure(EFAULT) }
            time = (Int64(t.0), Int64(t.1))
        }
        let r = withUnsafeMutablePointer(to: &time) {
            inner(.select, CallArguments(
                a0: sets.count, a1: sets.addresses.0, a2: sets.addresses.1, a3: sets.addresses.2,
                a4: timeout == 0 ? 0 : argument($0)))
        }
        if timeout != 0, r != restartCall {
            _ = Guest.store((Int32(truncatingIfNeeded: time.0), Int32(truncatingIfNeeded: time.1)), at: timeout)
        }
        return r
    }

    /// pselect6: a struct timespec of either width, and a pair of 32-bit words for the mask.
    func maskedWait(_ sets: DescriptorSets, _ a: CallArguments, wide: Bool) -> Int {
        var time: (Int64, Int64) = (0, 0)
        if a.a4 != 0 {
            if wide {
                guard let t = Guest.load(a.a4, as: (Int64, UInt64).self) else { return failure(EFAULT) }
                time = (t.0, Int64(t.1 & 0xffff_ffff))
            } else {
                guard let t = Guest.load(a.a4, as: (Int32, Int32).self) else { return failure(EFAULT) }
                time = (Int64(t.0), Int64(t.1))
            }
        }
        var mask: (UInt64, UInt64) = (0, 0)
        if a.a5 != 0 {
            guard let pair = Guest.load(a.a5, as: (UInt32, UInt32).self) else { return failure(EFAULT) }
            mask = (UInt64(pair.0), UInt64(pair.1))
        }
        let r = withUnsafeMutablePointer(to: &time) { time in
            withUnsafeMutablePointer(to: &mask) { mask in
                inner(.pselect6, CallArguments(
                    a0: sets.count, a1: sets.addresses.0, a2: sets.addresses.1, a3: sets.addresses.2,
                    a4: a.a4 == 0 ? 0 : argument(time), a5: a.a5 == 0 ? 0 : argument(mask)))
            }
        }
        if a.a4 != 0, r != restartCall {
            if wide {
                _ = Guest.store(time, at: a.a4)
            } else {
                _ = Guest.store((Int32(truncatingIfNeeded: time.0), Int32(truncatingIfNeeded: time.1)), at: a.a4)
            }
        }
        return r
    }
}
