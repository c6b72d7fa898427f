// Attributes of a process: limits, names, personality, prctl.

import CHost
import Glibc

/// Limits on address space, which the emulator keeps for the guest: on the host they would count its own memory.
final class AddressLimits {
    /// Soft and hard RLIMIT_AS.
    var addressSpace: (soft: UInt64, hard: UInt64) = (.max, .max)
    /// Soft and hard RLIMIT_DATA; kept, and applied to nothing but what AS covers.
    var data: (soft: UInt64, hard: UInt64) = (.max, .max)

    /// Whether the guest may map so much more.
    func allows(_ space: GuestAddressSpace, growth: UInt64) -> Bool {
        guard addressSpace.soft != .max, growth > 0 else { return true }
        let used = space.regions.reduce(UInt64(0)) { $0 &+ ($1.end - $1.start) }
        return growth <= addressSpace.soft && used <= addressSpace.soft - growth
    }
}

private enum Prctl {
    static let getSeccomp: UInt64 = 21, setSeccomp: UInt64 = 22, setMM: UInt64 = 35
    static let getTSC: UInt64 = 25, setTSC: UInt64 = 26, setSyscallUserDispatch: UInt64 = 59
    static let setTaggedAddress: UInt64 = 55, getTaggedAddress: UInt64 = 56
    static let getAuxv: UInt64 = 0x4155_5856, setMDWE: UInt64 = 65, getMDWE: UInt64 = 66
}

extension GuestThread {
    func prctl(_ a: CallArguments) -> Int {
        switch a.a0 {
        case Prctl.getSeccomp: return 0
        case Prctl.setSeccomp, Prctl.getTSC, Prctl.setTSC, Prctl.setSyscallUserDispatch, Prctl.setTaggedAddress,
            Prctl.getTaggedAddress, Prctl.setMDWE, Prctl.getMDWE:
            return failure(EINVAL)
        case Prctl.setMM: return failure(EPERM)
        case Prctl.getAuxv:
            let auxiliary = process.initialStack.auxiliary
            let shown = auxiliary.prefix(Int(min(a.a2, UInt64(auxiliary.count))))
            return Guest.write(Array(shown), at: a.a1) ? auxiliary.count : failure(EFAULT)
        default: return pass(.prctl, a)
        }
    }

    func personality(_ a: CallArguments) -> Int {
        let old = process.personality
        if a.a0 & 0xffff_ffff != 0xffff_ffff { process.personality = a.a0 & 0xffff_ffff }
        return Int(old)
    }

    func processLimit(_ a: CallArguments) -> Int {
        let resource = Int32(truncatingIfNeeded: a.a1)
        let isSelf = Int32(truncatingIfNeeded: a.a0) == 0 || Int(Int32(truncatingIfNeeded: a.a0)) == hostCall(.getpid)
        let addressSpace: Int32 = 9, data: Int32 = 2
        guard isSelf, resource == addressSpace || resource == data else { return pass(.prlimit64, a) }
        let old = resource == addressSpace ? process.limits.addressSpace : process.limits.data
        if a.a2 != 0 {
            guard let new = Guest.load(a.a2, as: (soft: UInt64, hard: UInt64).self) else { return failure(EFAULT) }
            guard new.soft <= new.hard else { return failure(EINVAL) }
            if new.hard > old.hard, hostCall(.geteuid) != 0 { return failure(EPERM) }
            if resource == addressSpace { process.limits.addressSpace = new } else { process.limits.data = new }
        }
        if a.a3 != 0, !Guest.store(old, at: a.a3) { return failure(EFAULT) }
        return 0
    }

    func uname(_ a: CallArguments) -> Int {
        // Six fields of 65 bytes: system, node, release, version, machine, domain.
        let field = 65, machineIndex = 4
        var name = [UInt8](repeating: 0, count: field * 6)
        let r = name.withUnsafeMutableBytes { hostCall(.uname, Int(bitPattern: $0.baseAddress!)) }
        guard r == 0 else { return r }
        let machine = Array(abi.machine.utf8)
        for i in 0..<field { name[machineIndex * field + i] = i < machine.count ? machine[i] : 0 }
        return Guest.write(name, at: a.a0) ? 0 : failure(EFAULT)
    }
}
