// Threads are pthreads, so that glibc and the language runtime work on them; the guest's own thread words are kept here
// and by the kernel. Semantics: clone(2) CLONE_THREAD, set_tid_address(2), get_robust_list(2), exit(2).

import CHost
import Glibc
import TranslatedCPU

extension GuestThread {
    func startThread(_ request: CloneRequest) -> Int {
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
        cpu.reportStatistics()
        return hostCall(.exit_group, Int(bitPattern: a.a0))
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
        guard a.a0 == 0 || Int(bitPattern: a.a0) == hostCall(.gettid) else { return pass(.get_robust_list, a) }
        guard Guest.store(UInt64(24), at: a.a2), Guest.store(robustList, at: a.a1) else { return failure(EFAULT) }
        return 0
    }

    /// What the kernel does with the robust list of a dying thread, done before its memory may be reused: our join
    /// word is cleared before the host thread is really gone. Source: kernel/futex/core.c, Documentation/locking/robust-futex-ABI.
    private func releaseRobustList() {
        defer {
            _ = hostCall(.set_robust_list, 0, 24)
            if abi.pointerSize == 4, hasHostCompat { _ = hostCompat(311, CallArguments(a0: 0, a1: 12)) }
        }
        let listMax = 2048, width = UInt64(abi.pointerSize)
        guard robustList != 0, let first = loadPointer(robustList), var offset = loadPointer(robustList &+ width),
            let operation = loadPointer(robustList &+ 2 * width)
        else { return }
        if width == 4 { offset = signed(offset) }
        let tid = UInt64(hostCall(.gettid))
        var entry = first
        var count = 0
        while entry & ~1 != robustList, entry & ~1 != 0, count < listMax {
            let next = loadPointer(entry & ~1)
            if entry & ~1 != operation & ~1 { releaseRobustFutex((entry & ~1) &+ offset, tid, isPI: entry & 1 != 0) }
            guard let next else { break }
            entry = next
            count += 1
        }
        if operation & ~1 != 0 { releaseRobustFutex((operation & ~1) &+ offset, tid, isPI: operation & 1 != 0) }
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

/// What a new thread needs, and how its creator learns its id.
final class ThreadStart {
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
