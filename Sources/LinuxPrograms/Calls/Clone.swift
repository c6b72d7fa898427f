// clone and clone3: reading the request in its two spellings, and choosing how the host makes it so.
// Semantics: clone(2), kernel/fork.c.

import CHost
import Glibc

enum CloneFlag {
    static let vm: UInt64 = 0x100, fs: UInt64 = 0x200, files: UInt64 = 0x400, sighand: UInt64 = 0x800
    static let pidfd: UInt64 = 0x1000, vfork: UInt64 = 0x4000, parent: UInt64 = 0x8000, thread: UInt64 = 0x10000
    static let newNamespaces: UInt64 = 0x7e02_0080, sysvsem: UInt64 = 0x40000, setTLS: UInt64 = 0x80000
    static let parentSetTID: UInt64 = 0x100000, childClearTID: UInt64 = 0x200000, childSetTID: UInt64 = 0x1000000
    static let untraced: UInt64 = 0x800000, detached: UInt64 = 0x400000, clearSighand: UInt64 = 0x1_0000_0000
    static let intoCgroup: UInt64 = 0x2_0000_0000, newUser: UInt64 = 0x1000_0000, newPID: UInt64 = 0x2000_0000
}

/// A clone in any of its spellings.
struct CloneRequest {
    /// Flags without the exit signal in the low byte.
    var flags: UInt64
    var exitSignal: UInt64
    /// New stack pointer, 0: the caller's.
    var stack: UInt64 = 0
    var parentTID: UInt64 = 0
    var childTID: UInt64 = 0
    var tls: UInt64 = 0
    var pidfd: UInt64 = 0
    var setTID: UInt64 = 0
    var setTIDCount: UInt64 = 0
    var cgroup: UInt64 = 0

    init(flags: UInt64) {
        self.flags = flags & ~0xff
        exitSignal = flags & 0xff
    }
}

/// The host's struct clone_args.
struct CloneArguments {
    var flags: UInt64 = 0, pidfd: UInt64 = 0, childTID: UInt64 = 0, parentTID: UInt64 = 0, exitSignal: UInt64 = 0
    var stack: UInt64 = 0, stackSize: UInt64 = 0, tls: UInt64 = 0, setTID: UInt64 = 0, setTIDSize: UInt64 = 0
    var cgroup: UInt64 = 0
}

extension GuestThread {
    func clone(_ a: CallArguments) -> Int {
        let c = abi.cloneArguments(a)
        var request = CloneRequest(flags: c.flags & 0xffff_ffff)
        request.stack = c.stack
        request.parentTID = c.parent
        request.childTID = c.child
        request.tls = c.tls
        request.pidfd = c.parent
        if request.flags & CloneFlag.pidfd != 0, request.flags & CloneFlag.parentSetTID != 0 { return failure(EINVAL) }
        return start(request)
    }

    func clone3(_ a: CallArguments) -> Int {
        let sizeMin: UInt64 = 64, sizeMax: UInt64 = 88
        guard a.a1 >= sizeMin else { return failure(EINVAL) }
        guard a.a1 <= pageSize else { return failure(E2BIG) }
        guard var bytes = Guest.bytes(a.a0, Int(bitPattern: a.a1)) else { return failure(EFAULT) }
        if bytes.count > Int(sizeMax), bytes[Int(sizeMax)...].contains(where: { $0 != 0 }) { return failure(E2BIG) }
        while bytes.count < Int(sizeMax) { bytes.append(0) }
        let args = bytes.withUnsafeBytes { $0.loadUnaligned(as: CloneArguments.self) }
        guard args.flags & 0xff == 0, args.exitSignal <= 64, (args.stack == 0) == (args.stackSize == 0),
            args.flags & CloneFlag.detached == 0
        else { return failure(EINVAL) }
        var request = CloneRequest(flags: args.flags)
        request.exitSignal = args.exitSignal
        request.stack = args.stack == 0 ? 0 : args.stack &+ args.stackSize
        request.parentTID = args.parentTID
        request.childTID = args.childTID
        request.tls = args.tls
        request.pidfd = args.pidfd
        request.setTID = args.setTID
        request.setTIDCount = args.setTIDSize
        request.cgroup = args.cgroup
        return start(request)
    }

    private func start(_ request: CloneRequest) -> Int {
        let f = request.flags
        if f & CloneFlag.thread != 0, f & CloneFlag.sighand == 0 { return failure(EINVAL) }
        if f & CloneFlag.sighand != 0, f & CloneFlag.vm == 0 { return failure(EINVAL) }
        if f & CloneFlag.sighand != 0, f & CloneFlag.clearSighand != 0 { return failure(EINVAL) }
        // Undo a half-made clone is not possible: a waiting signal goes first.
        if state.pointee.pending != 0 { return restartCall }
        if f & CloneFlag.thread != 0 { return startThread(request) }
        if f & CloneFlag.vm == 0 { return fork(request) }
        if f & CloneFlag.vfork != 0 { return vfork(request) }
        return startSharing(request)
    }
}
