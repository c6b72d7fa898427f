// Making and ending threads and processes. Threads are pthreads, so that the language runtime works on them; processes
// come from glibc's fork, or from the kernel's clone3 with the guest's own flags when there are any; vfork children
// really share memory while their parent sleeps. Semantics: clone(2), vfork(2), set_tid_address(2), kernel/fork.c.

import CHost
import Glibc
import TranslatedCPU

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
private struct CloneArguments {
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
        guard var bytes = Guest.bytes(a.a0, Int(a.a1)) else { return failure(EFAULT) }
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
        // Sharing memory with a parent that runs on: the child needs host thread storage of its own, so it is a copy
        // instead when nothing else was asked for than what posix_spawn-like code does.
        return failure(ENOSYS)
    }

    // MARK: fork

    func fork(_ request: CloneRequest) -> Int {
        let mask = blockHostSignals()
        if state.pointee.pending != 0 { return restartCall }
        let special = CloneFlag.newNamespaces | CloneFlag.pidfd | CloneFlag.parent | CloneFlag.fs | CloneFlag.files
            | CloneFlag.sysvsem | CloneFlag.clearSighand | CloneFlag.intoCgroup | CloneFlag.vfork
        let plain = request.flags & special == 0 && request.exitSignal == UInt64(SIGCHLD) && request.setTIDCount == 0
        process.space.lock.lock()
        process.lock.lock()
        process.engine.prepareFork()
        let pid: Int
        if plain {
            pid = guise_fork()
        } else {
            pid = rawFork(request)
        }
        if pid == 0 {
            do { try process.engine.didForkInChild(current: cpu) } catch {
                // A child without an engine cannot run anything; its parent sees it killed, as when memory runs out.
                _ = hostCall(.exit_group, 128 + Int(SIGKILL))
            }
        } else {
            process.engine.didForkInParent()
        }
        process.lock.unlock()
        process.space.lock.unlock()
        if pid == 0 {
            becomeChild(request)
            process.threadCount = 1
        } else if pid > 0, request.flags & CloneFlag.parentSetTID != 0 {
            _ = Guest.store(Int32(truncatingIfNeeded: pid), at: request.parentTID)
        }
        setHostMask(mask)
        return pid
    }

    private func rawFork(_ request: CloneRequest) -> Int {
        var args = CloneArguments()
        args.flags = request.flags & ~(CloneFlag.childSetTID | CloneFlag.childClearTID | CloneFlag.parentSetTID | CloneFlag.setTLS)
        args.pidfd = request.flags & CloneFlag.pidfd != 0 ? request.pidfd : 0
        args.exitSignal = request.exitSignal
        args.setTID = request.setTID
        args.setTIDSize = request.setTIDCount
        args.cgroup = request.cgroup
        return withUnsafePointer(to: args) { guise_clone3($0, UInt(MemoryLayout<CloneArguments>.size), nil, nil) }
    }

    /// What is different in a child that has its own memory or its parent's.
    private func becomeChild(_ request: CloneRequest) {
        isSpawned = false
        clearChildTID = 0
        robustList = 0
        state.pointee.held = 0
        if request.stack != 0 { abi.setStackPointer(registers, request.stack) }
        if request.flags & CloneFlag.setTLS != 0 { abi.setThreadPointer(registers, request.tls) }
        let tid = Int32(truncatingIfNeeded: hostCall(.gettid))
        if request.flags & CloneFlag.childSetTID != 0 { _ = Guest.store(tid, at: request.childTID) }
        if request.flags & CloneFlag.parentSetTID != 0 { _ = Guest.store(tid, at: request.parentTID) }
        if request.flags & CloneFlag.childClearTID != 0 {
            clearChildTID = request.childTID
            _ = hostCall(.set_tid_address, Int(bitPattern: UInt(request.childTID)))
        }
        if request.flags & CloneFlag.clearSighand != 0 {
            for signal in 1...GuestThread.signalCount where actions[signal].handler > 1 { actions[signal] = GuestSignalAction() }
        }
    }

    // MARK: vfork

    private func vfork(_ request: CloneRequest) -> Int {
        let mask = blockHostSignals()
        if state.pointee.pending != 0 { return restartCall }
        let stackSize = 1 << 20
        let hostStack = hostCall(
            .mmap, 0, stackSize, Int(PROT_READ | PROT_WRITE), Int(MAP_PRIVATE) | MapFlag.anonymous | MapFlag.stack | MapFlag.noReserve, -1, 0)
        guard hostStack > 0 else {
            setHostMask(mask)
            return failure(ENOMEM)
        }
        // The child uses this object, its CPU and this host thread's storage while we sleep: keep what it changes.
        let savedRegisters = abi.saveRegisters(registers)
        let saved = (actions, alternateStack, clearChildTID, robustList, isSpawned, isVforkChild, state.pointee.held, state.pointee.blocked)
        let shared = request.flags & CloneFlag.sighand != 0
        if !shared {
            actions = .allocate(capacity: GuestThread.signalCount + 1)
            actions.update(from: saved.0, count: GuestThread.signalCount + 1)
        }
        isVforkChild = true

        var args = CloneArguments()
        args.flags = request.flags & ~(CloneFlag.childSetTID | CloneFlag.childClearTID | CloneFlag.parentSetTID | CloneFlag.setTLS)
        args.pidfd = request.flags & CloneFlag.pidfd != 0 ? request.pidfd : 0
        args.exitSignal = request.exitSignal
        args.stack = UInt64(hostStack)
        args.stackSize = UInt64(stackSize)
        args.setTID = request.setTID
        args.setTIDSize = request.setTIDCount
        args.cgroup = request.cgroup
        let context = VforkContext(thread: self, request: request, mask: mask)
        let pid = withExtendedLifetime(context) {
            withUnsafePointer(to: args) {
                guise_clone3($0, UInt(MemoryLayout<CloneArguments>.size), vforkEntry, Unmanaged.passUnretained(context).toOpaque())
            }
        }
        if !shared { actions.deallocate() }
        (actions, alternateStack, clearChildTID, robustList, isSpawned, isVforkChild, state.pointee.held, state.pointee.blocked) = saved
        state.pointee.pending = 0
        temporaryMask = nil
        abi.restoreRegisters(registers, savedRegisters)
        _ = hostCall(.munmap, hostStack, stackSize)
        if pid > 0, request.flags & CloneFlag.parentSetTID != 0 {
            _ = Guest.store(Int32(truncatingIfNeeded: pid), at: request.parentTID)
        }
        setHostMask(mask)
        return pid
    }

    /// The child's side of vfork: never returns to its caller.
    fileprivate func runVforkChild(_ request: CloneRequest, mask: UInt64) {
        becomeChild(request)
        abi.finishCall(registers, result: 0)
        setHostMask(mask)
        run()
        _ = hostCall(.exit_group, 0)
    }

    // MARK: Threads

    private func startThread(_ request: CloneRequest) -> Int {
        let start: ThreadStart
        do {
            start = ThreadStart(
                process: process, cpu: try process.engine.makeCPU(), actions: actions, request: request,
                blocked: state.pointee.blocked)
        } catch { return failure(EAGAIN) }
        abi.restoreRegisters(start.thread.registers, abi.saveRegisters(registers))
        let mask = blockHostSignals()
        if state.pointee.pending != 0 { return restartCall }
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, 1 << 20)
        var handle = pthread_t()
        process.lock.withLock { process.threadCount += 1 }
        let retained = Unmanaged.passRetained(start)
        let error = pthread_create(&handle, &attributes, threadEntry, retained.toOpaque())
        pthread_attr_destroy(&attributes)
        guard error == 0 else {
            retained.release()
            process.lock.withLock { process.threadCount -= 1 }
            setHostMask(mask)
            return failure(EAGAIN)
        }
        let tid = start.waitForTID()
        setHostMask(mask)
        return Int(tid)
    }

    /// The new thread's side.
    fileprivate func runSpawned(_ start: ThreadStart) {
        isSpawned = true
        let request = start.request
        let tid = Int32(truncatingIfNeeded: hostCall(.gettid))
        abi.finishCall(registers, result: 0)
        if request.stack != 0 { abi.setStackPointer(registers, request.stack) }
        if request.flags & CloneFlag.setTLS != 0 { abi.setThreadPointer(registers, request.tls) }
        if request.flags & CloneFlag.parentSetTID != 0 { _ = Guest.store(tid, at: request.parentTID) }
        if request.flags & CloneFlag.childSetTID != 0 { _ = Guest.store(tid, at: request.childTID) }
        if request.flags & CloneFlag.childClearTID != 0 { clearChildTID = request.childTID }
        // glibc registered a robust list of its own; the guest's thread has none yet.
        _ = hostCall(.set_robust_list, 0, 24)
        bind()
        start.publish(tid)
        applyMask(start.blocked)
        run()
        guise_thread_bind(nil)
        cpu.retire()
    }

    // MARK: Ends

    func exitThread(_ a: CallArguments) -> Int {
        let last = process.lock.withLock { process.threadCount == 1 }
        if last || !isSpawned || isVforkChild {
            if !isVforkChild { process.lock.withLock { process.threadCount -= 1 } }
            _ = hostCall(.exit, Int(bitPattern: a.a0))
        }
        _ = blockHostSignals()
        process.lock.withLock { process.threadCount -= 1 }
        releaseRobustList()
        if clearChildTID != 0, Guest.store(Int32(0), at: clearChildTID) {
            let wake = 1
            _ = hostCall(.futex, Int(bitPattern: UInt(clearChildTID)), wake, 1)
        }
        finish()
        return 0
    }

    func exitProcess(_ a: CallArguments) -> Int {
        hostCall(.exit_group, Int(bitPattern: a.a0))
    }

    func setTIDAddress(_ a: CallArguments) -> Int {
        clearChildTID = a.a0
        // A pthread's own word is glibc's; ours is handled in exitThread.
        if isSpawned { return hostCall(.gettid) }
        return hostCall(.set_tid_address, Int(bitPattern: UInt(a.a0)))
    }

    func setRobustList(_ a: CallArguments) -> Int {
        let r = pass(.set_robust_list, a)
        if r == 0 { robustList = a.a0 }
        return r
    }

    func getRobustList(_ a: CallArguments) -> Int {
        guard a.a0 == 0 || Int(a.a0) == hostCall(.gettid) else { return pass(.get_robust_list, a) }
        guard Guest.store(UInt64(24), at: a.a2), Guest.store(robustList, at: a.a1) else { return failure(EFAULT) }
        return 0
    }

    /// What the kernel does with the robust list of a dying thread, done before its memory may be reused: our join
    /// word is cleared before the host thread is really gone. Source: kernel/futex/core.c, Documentation/locking/robust-futex-ABI.
    private func releaseRobustList() {
        defer { _ = hostCall(.set_robust_list, 0, 24) }
        let listMax = 2048
        guard robustList != 0, let first = Guest.load(robustList, as: UInt64.self),
            let offset = Guest.load(robustList &+ 8, as: Int64.self),
            let operation = Guest.load(robustList &+ 16, as: UInt64.self)
        else { return }
        let tid = UInt64(hostCall(.gettid))
        var entry = first
        var count = 0
        while entry & ~1 != robustList, entry & ~1 != 0, count < listMax {
            let next = Guest.load(entry & ~1, as: UInt64.self)
            if entry & ~1 != operation & ~1 { releaseRobustFutex((entry & ~1) &+ UInt64(bitPattern: offset), tid, isPI: entry & 1 != 0) }
            guard let next else { break }
            entry = next
            count += 1
        }
        if operation & ~1 != 0 { releaseRobustFutex((operation & ~1) &+ UInt64(bitPattern: offset), tid, isPI: operation & 1 != 0) }
    }

    private func releaseRobustFutex(_ word: UInt64, _ tid: UInt64, isPI: Bool) {
        let waiters: UInt64 = 0x8000_0000, ownerDied: UInt64 = 0x4000_0000, owner: UInt64 = 0x3fff_ffff
        guard word & 3 == 0 else { return }
        var old: UInt64 = 0
        guard guise_load(word, 4, &old) == 0 else { return }
        // Another thread may only set the waiters bit meanwhile: a few rounds are enough.
        for _ in 0..<16 {
            guard old & owner == tid else { return }
            var seen: UInt64 = 0
            guard guise_cmpxchg(word, 4, old, (old & waiters) | ownerDied, &seen) == 0 else { return }
            if seen == old {
                if !isPI, old & waiters != 0 { _ = hostCall(.futex, Int(bitPattern: UInt(word)), 1, 1) }
                return
            }
            old = seen
        }
    }
}

/// Passes a vfork child its own beginning.
private final class VforkContext {
    let thread: GuestThread
    let request: CloneRequest
    let mask: UInt64
    init(thread: GuestThread, request: CloneRequest, mask: UInt64) {
        self.thread = thread
        self.request = request
        self.mask = mask
    }
}

private let vforkEntry: @convention(c) (UnsafeMutableRawPointer?) -> Int32 = { pointer in
    // SAFETY: the parent keeps the context alive and sleeps until the child is gone.
    let context = Unmanaged<VforkContext>.fromOpaque(pointer!).takeUnretainedValue()
    context.thread.runVforkChild(context.request, mask: context.mask)
    return 0
}

/// What a new thread needs, and how its creator learns its id.
private final class ThreadStart {
    let thread: GuestThread
    let request: CloneRequest
    let blocked: UInt64
    private let tid: UnsafeMutablePointer<Int32>

    init(process: GuestProcess, cpu: UserCPU, actions: SignalActions, request: CloneRequest, blocked: UInt64) {
        thread = GuestThread(process: process, cpu: cpu, actions: actions)
        self.request = request
        self.blocked = blocked
        tid = .allocate(capacity: 1)
        tid.initialize(to: 0)
    }

    deinit { tid.deallocate() }

    func publish(_ value: Int32) {
        var old: UInt64 = 0
        _ = guise_exchange(UInt64(UInt(bitPattern: tid)), 4, UInt64(UInt32(bitPattern: value)), &old)
        _ = hostCall(.futex, Int(bitPattern: tid), 0x81, 1)
    }

    func waitForTID() -> Int32 {
        while true {
            var value: UInt64 = 0
            _ = guise_fetch_add(UInt64(UInt(bitPattern: tid)), 4, 0, &value)
            if value != 0 { return Int32(truncatingIfNeeded: value) }
            _ = hostCall(.futex, Int(bitPattern: tid), 0x80, 0)
        }
    }
}

private let threadEntry: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { pointer in
    let start = Unmanaged<ThreadStart>.fromOpaque(pointer!).takeRetainedValue()
    start.thread.runSpawned(start)
    return nil
}
