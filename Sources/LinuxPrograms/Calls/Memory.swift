// Memory calls: where things go is decided here, what the pages hold is the host kernel's business.
// Semantics: mmap(2), mremap(2), brk(2), shmat(2); mm/mmap.c for the order of errors.

import CHost
import Glibc

private enum Remap {
    static let mayMove = 1, fixed = 2, dontUnmap = 4
}

extension GuestThread {
    private var space: GuestAddressSpace { process.space }

    private func protection(_ value: UInt64) -> PageProtection {
        PageProtection(rawValue: UInt8(value & 7))
    }

    /// Tells the engine about pages that held or may hold code.
    private func codeChanged(_ start: UInt64, _ length: UInt64) {
        process.engine.codeChanged(start: start, length: length)
    }

    func mmap(_ a: CallArguments) -> Int {
        let flags = Int(truncatingIfNeeded: a.a3)
        guard a.a1 != 0 else { return failure(EINVAL) }
        let length = pageUp(a.a1)
        guard length != 0, length <= space.limit else { return failure(ENOMEM) }
        let wanted = protection(a.a2)
        let alignment: UInt64 = flags & MapFlag.hugeTLB != 0 ? 2 << 20 : pageSize
        // Where the host may know better than our table (it never should), the guest's mapping must not replace it.
        let hostFlags = flags & ~(MapFlag.fixed | MapFlag.fixedNoReplace | MapFlag.bits32 | MapFlag.growsDown)
        return space.lock.withLock {
            var at = a.a0
            var placement = MapFlag.fixedNoReplace
            if flags & (MapFlag.fixed | MapFlag.fixedNoReplace) != 0 {
                guard at & (pageSize - 1) == 0 else { return failure(EINVAL) }
                guard at &+ length > at, at &+ length <= space.limit else { return failure(ENOMEM) }
                guard at >= space.floor else { return failure(EPERM) }
                if flags & MapFlag.fixedNoReplace != 0 {
                    guard space.isFree(at, length) else { return failure(EEXIST) }
                } else {
                    placement = MapFlag.fixed
                }
            } else {
                at = pageDown(at)
                if at == 0 || !space.isHintUsable(at, length) || at & (alignment - 1) != 0 {
                    let top = flags & MapFlag.bits32 != 0 ? MapFlag.bits32End : space.limit
                    guard let free = space.findFree(length, alignment: alignment, below: top) else { return failure(ENOMEM) }
                    at = free
                }
            }
            guard process.limits.allows(space, growth: length) else { return failure(ENOMEM) }
            let replaced = placement == MapFlag.fixed && !space.isFree(at, length)
            let r = hostCall(
                .mmap, Int(at), Int(length), wanted.hostValue, hostFlags | placement, Int(Int32(truncatingIfNeeded: a.a4)),
                Int(bitPattern: a.a5))
            guard r == Int(at) else { return r < 0 ? r : failure(ENOMEM) }
            let type = 15, privately = 2
            space.insert(at, length, wanted, kind: flags & type == privately ? .plain : .shared)
            if replaced { codeChanged(at, length) }
            return r
        }
    }

    func munmap(_ a: CallArguments) -> Int {
        let length = pageUp(a.a1)
        guard a.a0 & (pageSize - 1) == 0, length != 0, a.a0 &+ length >= a.a0, a.a0 &+ length <= space.limit else {
            return failure(EINVAL)
        }
        return space.lock.withLock {
            let r = hostCall(.munmap, Int(bitPattern: a.a0), Int(length))
            if r == 0 {
                space.remove(a.a0, length)
                codeChanged(a.a0, length)
            }
            return r
        }
    }

    func mprotect(_ a: CallArguments) -> Int {
        let growsDown: UInt64 = 0x0100_0000, growsUp: UInt64 = 0x0200_0000
        let length = pageUp(a.a1)
        guard a.a0 & (pageSize - 1) == 0, a.a2 & ~(15 | growsDown | growsUp) == 0 else { return failure(EINVAL) }
        if length == 0 { return a.a1 == 0 ? 0 : failure(ENOMEM) }
        guard a.a0 &+ length > a.a0, a.a0 &+ length <= space.limit else { return failure(ENOMEM) }
        let wanted = protection(a.a2)
        return space.lock.withLock {
            let r = hostCall(.mprotect, Int(bitPattern: a.a0), Int(length), wanted.hostValue | Int(bitPattern: a.a2 & growsDown))
            // On ENOMEM the kernel has changed the pages before the hole.
            if r == 0 || r == failure(ENOMEM), 
                space.protect(a.a0, length, wanted) || !process.engine.architecture.hasInstructionFence {
                codeChanged(a.a0, length)
            }
            return r
        }
    }

    func mremap(_ a: CallArguments) -> Int {
        let flags = Int(truncatingIfNeeded: a.a3)
        let old = a.a0, oldLength = pageUp(a.a1), newLength = pageUp(a.a2)
        guard flags & ~(Remap.mayMove | Remap.fixed | Remap.dontUnmap) == 0, old & (pageSize - 1) == 0, newLength != 0,
            old &+ oldLength >= old, old &+ oldLength <= space.limit, newLength <= space.limit
        else { return failure(EINVAL) }
        return space.lock.withLock {
            guard let region = space.regionLocked(at: old) else { return failure(EFAULT) }
            let growth = newLength > oldLength ? newLength - oldLength : 0
            guard process.limits.allows(space, growth: growth) else { return failure(ENOMEM) }
            if flags & Remap.fixed != 0 {
                let target = a.a4
                guard target & (pageSize - 1) == 0, space.isPossible(target, newLength) else { return failure(EINVAL) }
                let r = hostCall(.mremap, Int(old), Int(oldLength), Int(newLength), flags, Int(target))
                if r == Int(target) { moved(region, old, oldLength, target, newLength, flags) }
                return r
            }
            if flags & Remap.dontUnmap == 0, oldLength != 0 {
                // In place: shrinking always works, growing when the guest's own table has room.
                if newLength <= oldLength || space.isFree(old + oldLength, growth) && old + newLength <= space.limit
                    && (region.kind == .heap || !overlapsHeap(old + oldLength, growth)) {
                    let r = hostCall(.mremap, Int(old), Int(oldLength), Int(newLength), 0)
                    if r == Int(old) {
                        if newLength < oldLength {
                            space.remove(old + newLength, oldLength - newLength)
                            codeChanged(old + newLength, oldLength - newLength)
                        } else if growth > 0 {
                            space.insert(old + oldLength, growth, region.protection, kind: region.kind)
                        }
                        return r
                    }
                    if flags & Remap.mayMove == 0 { return r }
                } else if flags & Remap.mayMove == 0 {
                    return failure(ENOMEM)
                }
            }
            guard flags & Remap.mayMove != 0 else { return failure(EINVAL) }
            guard let target = space.findFree(newLength) else { return failure(ENOMEM) }
            let r = hostCall(.mremap, Int(old), Int(oldLength), Int(newLength), flags | Remap.fixed, Int(target))
            if r == Int(target) { moved(region, old, oldLength, target, newLength, flags) }
            return r
        }
    }

    private func overlapsHeap(_ start: UInt64, _ length: UInt64) -> Bool {
        start < space.heapWindow.upperBound && start &+ length > space.heapWindow.lowerBound
    }

    private func moved(_ region: GuestRegion, _ old: UInt64, _ oldLength: UInt64, _ new: UInt64, _ newLength: UInt64, _ flags: Int) {
        let protection = region.protection
        if flags & Remap.dontUnmap == 0, oldLength != 0 { space.remove(old, oldLength) }
        space.insert(new, newLength, protection, kind: region.kind == .shared ? .shared : .plain)
        if oldLength != 0 { codeChanged(old, oldLength) }
        codeChanged(new, newLength)
    }

    func brk(_ a: CallArguments) -> Int {
        space.lock.withLock {
            let wanted = a.a0, current = space.programBreak
            guard wanted >= space.heapWindow.lowerBound, wanted <= space.heapWindow.upperBound else { return Int(current) }
            let oldEnd = pageUp(current), newEnd = pageUp(wanted)
            if newEnd > oldEnd {
                let length = newEnd - oldEnd
                guard space.isFree(oldEnd, length), process.limits.allows(space, growth: length) else { return Int(current) }
                let r = hostCall(
                    .mmap, Int(oldEnd), Int(length), Int(PROT_READ | PROT_WRITE),
                    Int(MAP_PRIVATE) | MapFlag.anonymous | MapFlag.fixedNoReplace, -1, 0)
                guard r == Int(oldEnd) else { return Int(current) }
                space.insert(oldEnd, length, [.read, .write], kind: .heap)
            } else if newEnd < oldEnd {
                guard hostCall(.munmap, Int(newEnd), Int(oldEnd - newEnd)) == 0 else { return Int(current) }
                space.remove(newEnd, oldEnd - newEnd)
                codeChanged(newEnd, oldEnd - newEnd)
            }
            space.programBreak = wanted
            return Int(wanted)
        }
    }

    func madvise(_ a: CallArguments) -> Int {
        let r = pass(.madvise, a)
        // Advice that drops contents: translations of those pages are of what is no longer there.
        let dropping: Set<Int32> = [4, 8, 9, 14, 24]
        if r == 0, dropping.contains(Int32(truncatingIfNeeded: a.a2)),
            space.region(at: a.a0)?.protection.contains(.execute) == true {
            codeChanged(a.a0, pageUp(a.a1))
        }
        return r
    }

    func shmat(_ a: CallArguments) -> Int {
        let readOnly: UInt64 = 0o10000, round: UInt64 = 0o20000, remap: UInt64 = 0o40000, execute: UInt64 = 0o100000
        // struct shmid64_ds starts with ipc64_perm (48 bytes), then shm_segsz.
        var status = [UInt64](repeating: 0, count: 16)
        let ipcStat = 2
        let s = status.withUnsafeMutableBytes { hostCall(.shmctl, Int(bitPattern: a.a0), ipcStat, Int(bitPattern: $0.baseAddress!)) }
        guard s >= 0 else { return s }
        let length = pageUp(max(status[6], 1))
        return space.lock.withLock {
            var at = a.a1
            if at == 0 {
                guard let free = space.findFree(length) else { return failure(ENOMEM) }
                at = free
            } else {
                if at & (pageSize - 1) != 0 {
                    guard a.a2 & round != 0 else { return failure(EINVAL) }
                    at = pageDown(at)
                }
                guard space.isPossible(at, length), a.a2 & remap != 0 || space.isFree(at, length) else { return failure(EINVAL) }
            }
            let r = hostCall(.shmat, Int(bitPattern: a.a0), Int(at), Int(bitPattern: a.a2 & ~execute))
            guard r == Int(at) else { return r }
            var p: PageProtection = a.a2 & readOnly != 0 ? [.read] : [.read, .write]
            if a.a2 & execute != 0 { p.insert(.execute) }
            space.insert(at, length, p, kind: .shared)
            process.sharedSegments[at] = length
            if a.a2 & remap != 0 { codeChanged(at, length) }
            return r
        }
    }

    func shmdt(_ a: CallArguments) -> Int {
        space.lock.withLock {
            let r = hostCall(.shmdt, Int(bitPattern: a.a0))
            if r == 0, let length = process.sharedSegments.removeValue(forKey: a.a0) {
                space.remove(a.a0, length)
                codeChanged(a.a0, length)
            }
            return r
        }
    }
}
