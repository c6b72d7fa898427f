// Machines whose floating point runs on the host's: an SSE exception that the guest has unmasked arrives as SIGFPE in
// generated code, and becomes exception 19 of the guest.

import CHost
import Glibc
import Synchronization
import Translator

/// The process's handler for SIGFPE in the generated code of machines.
enum HostTraps {
    // SAFETY: entries are written under `lock` and read by the handler; a runtime is entered before its code runs and
    // stays alive while it does. The handler reads whole words.
    nonisolated(unsafe) private static let runtimes: UnsafeMutablePointer<Unmanaged<TranslationRuntime>?> = {
        let entries = UnsafeMutablePointer<Unmanaged<TranslationRuntime>?>.allocate(capacity: capacity)
        entries.initialize(repeating: nil, count: capacity)
        return entries
    }()
    private static let capacity = 256
    private static let lock = Mutex(false)
    private static let simdException = 19

    /// Offsets in the x86-64 ucontext, which is kernel ABI (asm/sigcontext.h).
    private enum HostContext {
        static let registers = 40
        static let rbp = registers + 10 * 8, rip = registers + 16 * 8, trap = registers + 20 * 8
    }

    /// Handles traps in the code of a runtime from now on, until `remove`.
    static func install(_ runtime: TranslationRuntime) {
        lock.withLock { isInstalled in
            let isKnown = (0..<capacity).contains { runtimes[$0]?.toOpaque() == Unmanaged.passUnretained(runtime).toOpaque() }
            if !isKnown, let free = (0..<capacity).first(where: { runtimes[$0] == nil }) {
                runtimes[free] = .passUnretained(runtime)
            }
            guard !isInstalled else { return }
            isInstalled = true
            var action = sigaction()
            action.__sigaction_handler.sa_sigaction = { _, _, context in HostTraps.handle(context) }
            action.sa_flags = SA_SIGINFO
            sigaction(SIGFPE, &action, nil)
        }
    }

    /// The runtime is going away.
    static func remove(_ runtime: TranslationRuntime) {
        lock.withLock { _ in
            for index in 0..<capacity
            where runtimes[index]?.toOpaque() == Unmanaged.passUnretained(runtime).toOpaque() { runtimes[index] = nil }
        }
    }

    private static func handle(_ context: UnsafeMutableRawPointer?) {
        guard let context else { return }
        // SAFETY: the kernel passes a whole ucontext; the offsets above are inside it.
        let rip = (context + HostContext.rip).assumingMemoryBound(to: UInt64.self)
        let rbp = context.load(fromByteOffset: HostContext.rbp, as: UInt64.self)
        if context.load(fromByteOffset: HostContext.trap, as: UInt64.self) == UInt64(simdException) {
            for index in 0..<capacity {
                guard let runtime = runtimes[index]?.takeUnretainedValue(), runtime.containsCode(rip.pointee),
                      let pc = runtime.guestPC(hostAddress: rip.pointee),
                      let state = UnsafeMutableRawPointer(bitPattern: UInt(rbp) &- UInt(StateLayout.bias)) else { continue }
                state.storeBytes(of: pc, toByteOffset: StateLayout.pc, as: UInt64.self)
                state.storeBytes(of: ExitKind.exception(simdException).rawValue, toByteOffset: StateLayout.exitKind,
                                 as: UInt32.self)
                state.storeBytes(of: 0, toByteOffset: StateLayout.exitAddress, as: UInt64.self)
                rip.pointee = runtime.faultExitAddress
                return
            }
        }
        // Not ours: the instruction traps again and ends the process.
        signal(SIGFPE, SIG_DFL)
    }
}
