// Making processes. They come from glibc's fork, or from the kernel's clone3 with the guest's own flags when there are
// any; vfork children really share memory while their parent sleeps, on their parent's host thread storage.
// Semantics: fork(2), vfork(2), clone(2).

import CHost
import Glibc
import TranslatedCPU

extension GuestThread {
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
        let args = cloneArguments(request)
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

    func vfork(_ request: CloneRequest) -> Int {
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

        var args = cloneArguments(request)
        args.stack = UInt64(hostStack)
        args.stackSize = UInt64(stackSize)
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

    // MARK: Sharing memory with a parent that runs on

    /// A process on our memory, with host thread storage that a short-lived pthread leaves behind for it: the storage
    /// cannot be made in another way that glibc and the language runtime would accept. Its 1 MB of address space is not
    /// given back, since nobody learns when such a child has ended.
    func startSharing(_ request: CloneRequest) -> Int {
        let start: ThreadStart
        do {
            start = ThreadStart(
                process: process, cpu: try process.engine.makeCPU(), actions: copiedActions(request), request: request,
                blocked: state.pointee.blocked)
        } catch { return failure(EAGAIN) }
        let child = start.thread
        abi.restoreRegisters(child.registers, abi.saveRegisters(registers))
        child.alternateStack = alternateStack
        let mask = blockHostSignals()
        if state.pointee.pending != 0 { return restartCall }
        defer { setHostMask(mask) }
        var storage = guise_storage()
        guard guise_make_storage(&storage) == 0 else { return failure(EAGAIN) }
        var args = cloneArguments(request)
        let ownFrames: UInt64 = 16 << 10 // what the leaving pthread may still use
        args.stack = (storage.stack_top - ownFrames) & ~15
        args.stackSize = args.stack - storage.stack_bottom
        args.stack = storage.stack_bottom
        let retained = Unmanaged.passRetained(start)
        let pid = withUnsafePointer(to: args) {
            guise_clone3_sharing($0, UInt(MemoryLayout<CloneArguments>.size), storage.thread_pointer, sharingEntry, retained.toOpaque())
        }
        if pid < 0 { retained.release() }
        if pid > 0, request.flags & CloneFlag.parentSetTID != 0 {
            _ = Guest.store(Int32(truncatingIfNeeded: pid), at: request.parentTID)
        }
        return pid
    }

    private func copiedActions(_ request: CloneRequest) -> SignalActions {
        if request.flags & CloneFlag.sighand != 0 { return actions }
        let copy = SignalActions.allocate(capacity: GuestThread.signalCount + 1)
        copy.initialize(from: actions, count: GuestThread.signalCount + 1)
        return copy
    }

    /// The sharing child's side.
    fileprivate func runSharing(_ start: ThreadStart) {
        isVforkChild = true
        bind()
        becomeChild(start.request)
        abi.finishCall(registers, result: 0)
        applyMask(start.blocked)
        run()
        _ = hostCall(.exit_group, 0)
    }

    /// The host's arguments for a request, stack and thread storage left to the caller.
    private func cloneArguments(_ request: CloneRequest) -> CloneArguments {
        var args = CloneArguments()
        args.flags = request.flags & ~(CloneFlag.childSetTID | CloneFlag.childClearTID | CloneFlag.parentSetTID | CloneFlag.setTLS)
        args.pidfd = request.flags & CloneFlag.pidfd != 0 ? request.pidfd : 0
        args.exitSignal = request.exitSignal
        args.setTID = request.setTID
        args.setTIDSize = request.setTIDCount
        args.cgroup = request.cgroup
        return args
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

private let sharingEntry: @convention(c) (UnsafeMutableRawPointer?) -> Int32 = { pointer in
    let start = Unmanaged<ThreadStart>.fromOpaque(pointer!).takeRetainedValue()
    start.thread.runSharing(start)
    return 0
}
