// The engine for programs: guest code of one process, its address space being the host's own.
//
// LinuxPrograms owns the address space, signals and system calls; this file runs guest code until it needs them.

import CHost
import Glibc
import Translator

/// What a faulting access wanted.
public enum MemoryAccess: UInt32, Sendable {
    case read, write, execute
}

/// Why guest code stopped. `pc` in the registers is the address of the instruction concerned.
public enum UserExit: Sendable, Equatable {
    case systemCall
    case breakpoint
    case illegalInstruction
    case memoryFault(address: UInt64, access: MemoryAccess)
    case misaligned(address: UInt64)
    /// The architecture's exception of that number (x86: the vector, 0…31), with the error code it would push.
    case exception(vector: Int, errorCode: UInt64)
    /// `requestExit` was called; pc is the next instruction.
    case interrupted
}

/// The engine of one process.
public final class UserEngine: @unchecked Sendable {
    /// Guest code bytes readable and executable from an address on; 0 when the address is not executable.
    public var executableBytes: (UInt64) -> Int = { _ in 0 }
    let runtime: TranslationRuntime
    /// The architecture of the guest.
    public let architecture: ProgramArchitecture
    let options: EngineOptions
    let written = WrittenCode()
    /// The mode word of a fresh CPU; it has jump cache salt 0, which inline look-ups expect.
    let firstMode: UInt32

    /// The engine fault handlers consult: there is one guest process per host process.
    nonisolated(unsafe) static var current: UserEngine?

    /// How pages of code may change; set before the first CPU runs. Only architectures without instruction fence ask.
    public var codeProtection: CodePageProtection {
        get { written.protection }
        set { written.protection = newValue }
    }

    /// - Throws: `EngineError` or `HostError`.
    public init(architecture: ProgramArchitecture, options: EngineOptions) throws {
        if options.engine == .translate && guise_cpu_has_v3() == 0 { throw EngineError.hostTooOld }
        let options = try options.withDebugEnvironment()
        self.options = options
        self.architecture = architecture
        firstMode = try UserCPU.firstMode(architecture)
        let translation = options.translation(
            identityMemory: true, interpret: options.engine == .interpret || guise_cpu_has_v3() == 0)
        runtime = try TranslationRuntime(front: architecture.front, options: translation, slowLoad: { _, _, _, _ in 0 },
                                         slowStore: { _, _, _, _ in 0 }, slowPointer: { _, _, _, _ in 0 })
        UserEngine.current = self
    }

    /// A CPU for one guest thread.
    public func makeCPU() throws -> UserCPU { try UserCPU(engine: self) }

    /// Guest memory in this range was mapped over, unmapped, re-protected, or its code was declared changed. Without
    /// instruction fence this must follow every change of protection, under the lock of the address space.
    public func codeChanged(start: UInt64, length: UInt64) {
        if !architecture.hasInstructionFence { written.forget(start: start, length: length) }
        runtime.invalidate(start: start, length: length)
    }

    /// Before the kernel writes to guest memory: makes pages of the range writable that hold translated code. Nothing to do
    /// for most programs, and then fast.
    /// - Returns: whether there were such pages; a call that failed with EFAULT can be repeated then.
    @discardableResult
    public func makeWritable(start: UInt64, length: UInt64) -> Bool {
        guard written.isAnyProtected else { return false }
        return written.open(start: start, length: length) { runtime.invalidate(start: $0, length: $1) }
    }

    /// A write by the host to a guest address faulted. Async-signal-safe.
    /// - Returns: true when the page held translated code and the write is to be repeated.
    public static func handleWriteFault(address: UInt64) -> Bool {
        guard let engine = current, !engine.architecture.hasInstructionFence else { return false }
        return engine.written.wasWritten(address) { engine.runtime.invalidate(start: $0, length: $1) }
    }

    /// Writes the generated code and an index of its units to FILE and FILE.units: for profiling and debugging.
    public func dumpCode(to path: String) { runtime.dumpCode(to: path) }

    /// Before fork(2).
    public func prepareFork() { runtime.prepareFork() }
    /// In the parent after fork(2).
    public func didForkInParent() { runtime.finishForkInParent() }
    /// In the child after fork(2); `current` is the CPU of the only thread there.
    public func didForkInChild(current: UserCPU) throws {
        try runtime.finishForkInChild(state: current.registers)
    }

    /// An instruction fence: translations whose guest bytes changed are dropped.
    func instructionFence() {
        runtime.verifyAll { start, length in
            withUnsafeTemporaryAllocation(byteCount: max(1, length), alignment: 1) { buffer -> UInt64? in
                guard let base = buffer.baseAddress,
                      guise_copy_in(base, UnsafeRawPointer(bitPattern: UInt(start)), UInt(length)) == 0 else { return nil }
                return TranslationContext.hash(base, length)
            }
        }
    }

    /// Redirects a fault in generated code so that `run` returns it, or repeats a write to a page with translated code.
    /// Async-signal-safe.
    /// - Returns: false when the fault was not in generated code.
    public static func handleHostFault(ripPointer: UnsafeMutablePointer<UInt64>, rbp: UInt64, eflags: UInt64, address: UInt64,
                                       isWrite: Bool) -> Bool {
        guard let engine = current, engine.runtime.containsCode(ripPointer.pointee),
              let position = engine.runtime.guestPosition(hostAddress: ripPointer.pointee),
              let state = UnsafeMutableRawPointer(bitPattern: UInt(rbp) &- UInt(StateLayout.bias)) else { return false }
        if position.flagsInHost { StateLayout.storeStatusFlags(state, eflags: eflags) }
        var kind = ExitKind.memoryFault
        if isWrite, handleWriteFault(address: address) {
            // The running unit ends with this instruction when the page is its own: it is executed again, alone.
            guard engine.runtime.isUnit(at: ripPointer.pointee, onPage: address >> 12) else { return true }
            kind = .lookup
            state.storeBytes(of: 1, toByteOffset: StateLayout.stepRequest, as: UInt32.self)
        }
        leave(state, ripPointer, position.pc, kind)
        state.storeBytes(of: address, toByteOffset: StateLayout.exitAddress, as: UInt64.self)
        state.storeBytes(of: isWrite ? 1 : 0, toByteOffset: StateLayout.exitAccess, as: UInt32.self)
        return true
    }

    /// Redirects an arithmetic trap in generated code so that `run` returns the guest's exception. Async-signal-safe.
    /// - Parameter vector: the number of the exception.
    /// - Returns: false when the trap was not in generated code.
    public static func handleHostTrap(ripPointer: UnsafeMutablePointer<UInt64>, rbp: UInt64, vector: Int) -> Bool {
        guard let engine = current, engine.runtime.containsCode(ripPointer.pointee),
              let pc = engine.runtime.guestPC(hostAddress: ripPointer.pointee),
              let state = UnsafeMutableRawPointer(bitPattern: UInt(rbp) &- UInt(StateLayout.bias)) else { return false }
        leave(state, ripPointer, pc, .exception(vector))
        state.storeBytes(of: 0, toByteOffset: StateLayout.exitAddress, as: UInt64.self)
        return true
    }

    private static func leave(_ state: UnsafeMutableRawPointer, _ ripPointer: UnsafeMutablePointer<UInt64>, _ pc: UInt64,
                              _ kind: ExitKind) {
        state.storeBytes(of: pc, toByteOffset: StateLayout.pc, as: UInt64.self)
        state.storeBytes(of: kind.rawValue, toByteOffset: StateLayout.exitKind, as: UInt32.self)
        if let runtime = current?.runtime { ripPointer.pointee = runtime.faultExitAddress }
    }
}
