// The engine for programs: guest code of one process, its address space being the host's own.
//
// LinuxPrograms owns the address space, signals and system calls; this file runs guest code until it needs them.

import CHost
import Glibc
import GuestRISCV
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
    /// `requestExit` was called; pc is the next instruction.
    case interrupted
}

/// The engine of one process.
public final class UserEngine: @unchecked Sendable {
    /// Guest code bytes readable and executable from an address on; 0 when the address is not executable.
    public var executableBytes: (UInt64) -> Int = { _ in 0 }
    let runtime: TranslationRuntime
    let front: RISCVFront
    let options: EngineOptions

    /// The engine fault handlers consult: there is one guest process per host process.
    nonisolated(unsafe) static var current: UserEngine?

    /// - Throws: `EngineError` or `HostError`.
    public init(options: EngineOptions) throws {
        if options.engine == .translate && guise_cpu_has_v3() == 0 { throw EngineError.hostTooOld }
        let options = try options.withDebugEnvironment()
        self.options = options
        front = RISCVFront()
        let translation = options.translation(
            identityMemory: true, interpret: options.engine == .interpret || guise_cpu_has_v3() == 0)
        runtime = try TranslationRuntime(front: front, options: translation, slowLoad: { _, _, _, _ in 0 },
                                         slowStore: { _, _, _, _ in 0 }, slowPointer: { _, _, _, _ in 0 })
        UserEngine.current = self
    }

    /// A CPU for one guest thread.
    public func makeCPU() throws -> UserCPU { try UserCPU(engine: self) }

    /// Guest memory in this range was mapped over, unmapped, re-protected, or its code was declared changed.
    public func codeChanged(start: UInt64, length: UInt64) { runtime.invalidate(start: start, length: length) }

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

    /// Redirects a fault in generated code so that `run` returns it. Async-signal-safe.
    /// - Returns: false when the fault was not in generated code.
    public static func handleHostFault(ripPointer: UnsafeMutablePointer<UInt64>, rbp: UInt64, eflags: UInt64, address: UInt64,
                                       isWrite: Bool) -> Bool {
        guard let runtime = current?.runtime, runtime.containsCode(ripPointer.pointee),
              let position = runtime.guestPosition(hostAddress: ripPointer.pointee),
              let state = UnsafeMutableRawPointer(bitPattern: UInt(rbp) &- UInt(StateLayout.bias)) else { return false }
        if position.flagsInHost { StateLayout.storeStatusFlags(state, eflags: eflags) }
        state.storeBytes(of: position.pc, toByteOffset: StateLayout.pc, as: UInt64.self)
        state.storeBytes(of: ExitKind.memoryFault.rawValue, toByteOffset: StateLayout.exitKind, as: UInt32.self)
        state.storeBytes(of: address, toByteOffset: StateLayout.exitAddress, as: UInt64.self)
        state.storeBytes(of: isWrite ? 1 : 0, toByteOffset: StateLayout.exitAccess, as: UInt32.self)
        ripPointer.pointee = runtime.faultExitAddress
        return true
    }
}

/// The CPU of one guest thread. Used by the host thread that runs it; `requestExit` alone may come from anywhere.
public final class UserCPU {
    /// Register file: x[n] at 8·n (n ≥ 1), f[n] at 256 + 8·n, pc at 512.
    public let registers: UnsafeMutableRawPointer
    let engine: UserEngine
    private let context: TranslationContext
    /// Guest code on its way into the translator; a unit of 64 instructions has at most 256 bytes.
    private static let fetchSize = 512
    private let fetched = UnsafeMutableRawPointer.allocate(byteCount: UserCPU.fetchSize, alignment: 16)

    init(engine: UserEngine) throws {
        self.engine = engine
        let block = mmap(nil, StateLayout.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let block, block != MAP_FAILED else { throw HostMemoryError.state }
        registers = block
        context = TranslationContext(runtime: engine.runtime, state: block)
        RISCVState(block).resetForProgram(pc: 0)
        if let log = engine.options.logBlock { context.blockLog = { log($0, $1) } }
    }

    deinit {
        munmap(registers, StateLayout.size)
        fetched.deallocate()
    }

    /// What translating cost so far, one line; meaningful with GUISE_DEBUG=statistics.
    public var statistics: String { context.statistics }

    /// Must be called when the guest thread has ended.
    public func retire() {
        reportStatistics()
        context.retire()
    }

    /// Says what translating cost, when GUISE_DEBUG asks for it: when the guest thread or process is about to end.
    public func reportStatistics() {
        if engine.options.statistics { fputs("guise: \(context.statistics)\n", stderr) }
    }

    /// Guest program counter.
    public var pc: UInt64 {
        get { registers.load(fromByteOffset: StateLayout.pc, as: UInt64.self) }
        set { registers.storeBytes(of: newValue, toByteOffset: StateLayout.pc, as: UInt64.self) }
    }

    /// The registers as the front sees them, fcsr included.
    public var architecturalState: RISCVState { RISCVState(registers) }

    /// Takes over all registers of another CPU: for a new guest thread or process.
    public func copyState(from other: UserCPU) {
        let source = other.registers
        registers.advanced(by: StateLayout.integerGlobals).copyMemory(
            from: source + StateLayout.integerGlobals, byteCount: StateLayout.pc + 8 - StateLayout.integerGlobals)
        registers.advanced(by: StateLayout.front).copyMemory(from: source + StateLayout.front,
                                                             byteCount: StateLayout.frontSize)
        for offset in [StateLayout.mode, StateLayout.guestMXCSR, StateLayout.floatStatus] {
            registers.storeBytes(of: source.load(fromByteOffset: offset, as: UInt32.self), toByteOffset: offset,
                                 as: UInt32.self)
        }
        clearReservation()
    }

    /// Makes `run` return `.interrupted` soon. Async-signal-safe, callable from any thread.
    public func requestExit() { guise_store32(registers + StateLayout.exitRequest, 1) }

    /// Forgets a load reservation: on signal delivery.
    public func clearReservation() {
        registers.storeBytes(of: UInt64.max, toByteOffset: StateLayout.reservationAddress, as: UInt64.self)
    }

    /// Runs guest code from `pc` until something outside is needed.
    public func run() -> UserExit {
        let state = registers
        var pendingLink: UInt32 = .max
        while true {
            if guise_load32(state + StateLayout.exitRequest) != 0 {
                guise_store32(state + StateLayout.exitRequest, 0)
                return .interrupted
            }
            let start = pc
            let seen = context.epoch
            let mode = state.load(fromByteOffset: StateLayout.mode, as: UInt32.self)
            state.storeBytes(of: UInt64(mode) << 48, toByteOffset: StateLayout.jumpSalt, as: UInt64.self)
            let unit: UnitIndex
            do throws(TranslationFailure) {
                unit = try find(start, mode, seen)
            } catch .flushed {
                pendingLink = .max
                continue
            } catch {
                return .memoryFault(address: start, access: .execute)
            }
            if unit == .noUnit { return .memoryFault(address: start, access: .execute) }
            if pendingLink != .max {
                context.link(pendingLink, to: unit, identity: 0, seen: seen)
                pendingLink = .max
            } else {
                context.remember(unit, seen: seen)
            }
            guard context.enter(unit, seen: seen) else { continue }
            if let exit = afterExit(&pendingLink) { return exit }
        }
    }

    private func find(_ start: UInt64, _ mode: UInt32, _ seen: UInt32) throws(TranslationFailure) -> UnitIndex {
        let known = context.existing(start: start, context: 0, mode: mode)
        if known != .noUnit { return known }
        let available = engine.executableBytes(start)
        guard available > 0 else { return .noUnit }
        // Mapped is not readable: a file may end before its mapping, and another thread may unmap at any time.
        let wanted = min(available, Self.fetchSize)
        let missing = guise_copy_in(fetched, UnsafeRawPointer(bitPattern: UInt(start)), UInt(wanted))
        guard missing < UInt(wanted) else { return .noUnit }
        return try context.unit(start: start, mode: mode, context: 0, page: start >> 12,
                                code: GuestCode(bytes: fetched, available: wanted - Int(missing)), limit: 64, seen: seen,
                                second: nil)
    }

    /// Sorts out why generated code was left; nil to go on.
    private func afterExit(_ pendingLink: inout UInt32) -> UserExit? {
        let state = registers
        let kind = ExitKind(rawValue: state.load(fromByteOffset: StateLayout.exitKind, as: UInt32.self)) ?? .lookup
        if state.load(fromByteOffset: StateLayout.helperExit, as: UInt32.self) != 0 {
            state.storeBytes(of: 0, toByteOffset: StateLayout.helperExit, as: UInt32.self)
            if kind != .lookup {
                let hostPC = state.load(fromByteOffset: StateLayout.exitHostPC, as: UInt64.self)
                pc = engine.runtime.guestPC(hostAddress: hostPC &- 1) ?? pc
            }
        }
        switch kind {
        case .lookup: return nil
        case .link:
            pendingLink = state.load(fromByteOffset: StateLayout.exitLink, as: UInt32.self)
            pc = context.linkTarget(pendingLink)
            return nil
        case .instructionFence:
            engine.instructionFence()
            return nil
        case .systemCall: return .systemCall
        case .breakpoint: return .breakpoint
        case .memoryFault:
            let access = MemoryAccess(rawValue: state.load(fromByteOffset: StateLayout.exitAccess, as: UInt32.self))
            return .memoryFault(address: state.load(fromByteOffset: StateLayout.exitAddress, as: UInt64.self),
                                access: access ?? .read)
        case .misaligned:
            return .misaligned(address: state.load(fromByteOffset: StateLayout.exitAddress, as: UInt64.self))
        default: return .illegalInstruction
        }
    }
}

/// Host memory for a CPU could not be had.
enum HostMemoryError: Error { case state }
