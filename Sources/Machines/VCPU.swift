// The contract between a machine and the engine that runs its harts, the same for a translated CPU, KVM and the
// scripted CPU of the tests.

import Bus
import GuestMemory
import GuestX86
import SavedState

/// Why `VCPU.run` returned.
public enum VCPUExit: Equatable, Sendable {
    /// WFI or HLT with no interrupt pending that would wake; the pc is past the instruction.
    case halted
    /// ECALL from S-mode while the machine supplies SBI; the pc is past the instruction. Arguments are in a0…a7.
    case environmentCall
    /// The guest can make no more progress on this hart (for example a trap loop in M-mode, or a triple fault), with a reason to print.
    case shutdown(String)
    /// `kick` was called.
    case kicked
    /// A non-zero 64-bit value was stored to the HTIF `tohost` address.
    case hostToTarget(UInt64)
}

/// The privilege modes a hart can be started in.
public enum Privilege: UInt8, Sendable {
    case user = 0
    case supervisor = 1
    case machine = 3
}

/// Bit numbers in `mip` and `mie` (RISC-V privileged specification, §3.1.9).
public enum InterruptBit {
    public static let supervisorSoftware = 1
    public static let machineSoftware = 3
    public static let supervisorTimer = 5
    public static let machineTimer = 7
    public static let supervisorExternal = 9
    public static let machineExternal = 11
}

/// How a vCPU enters the guest the first time.
public enum VCPUStart: Equatable, Sendable {
    case riscv(HartEntry)
    case x86(X86StartState)
    /// An x86 processor that waits for a start-up IPI.
    case x86WaitForStartUp
}

/// One hart or processor.
///
/// `run`, `enter` and save/restore are called by the hart's own thread, or by another while it is stopped.
/// `kick` and `releaseCaches` are callable on any thread at any time.
public protocol VCPU: Savable {
    var hartID: Int { get }
    /// Executes until something needs the machine. Interrupts that are pending, enabled and unmasked are taken first.
    func run() -> VCPUExit
    /// Makes `run` return `.kicked` soon, at an instruction boundary; when no `run` is going on, the next one returns
    /// at once. Several kicks may merge.
    func kick()
    /// Power-on state, then what a start says. A start of another architecture is a mistake of the caller.
    func enter(_ start: VCPUStart)
    /// Gives back memory that holds only what can be made again, soon. The default has none.
    func releaseCaches()
    /// `run` will not be called again. On the thread that ran it. The default does nothing.
    func finish()
}

extension VCPU {
    public func releaseCaches() {}
    public func finish() {}
}

/// A RISC-V hart. `reset` and registers belong to its own thread, the rest is callable on any thread at any time.
public protocol RISCVCPU: VCPU {
    /// Sets a bit of `mip` (see `InterruptBit`) to a level.
    func setInterrupt(_ bit: Int, _ level: Bool)
    /// Power-on state, then these values. Bits of `mip` set through `setInterrupt` stay: their lines keep their level.
    /// With `privilege` supervisor, the built-in SBI is in use: `medeleg` and `mideleg` delegate all that an SBI
    /// implementation delegates, PMP is open, `mcounteren` allows the counters.
    func reset(pc: GuestPhysical, a0: UInt64, a1: UInt64, privilege: Privilege)
    /// General-purpose register x0…x31.
    func register(_ number: Int) -> UInt64
    func setRegister(_ number: Int, _ value: UInt64)
    /// Drops cached translations of [start, start+size) of one address space, or of all when `asid` is nil, before the
    /// next guest instruction. Returns when the target hart has done so or is not running guest code.
    func flushTLB(start: GuestVirtual, sizeBytes: UInt64, asid: UInt64?)
    /// Makes earlier stores to instructions visible to this hart's fetches (FENCE.I on another hart's behalf).
    func flushInstructionCache()
}

extension RISCVCPU {
    public func enter(_ start: VCPUStart) {
        guard case .riscv(let entry) = start else { preconditionFailure("a RISC-V hart was given another start") }
        reset(pc: GuestPhysical(entry.pc), a0: entry.a0, a1: entry.a1, privilege: entry.privilege)
        if entry.a2 != 0 { setRegister(12, entry.a2) }
    }
}

/// An x86 processor. It waits for INIT and start-up interrupts by itself, as `.halted`.
public protocol X86CPU: VCPU, InterruptTarget {
    /// Lets address line 20 through or holds it at zero. On any thread; before the calling vCPU's next instruction.
    func setA20(_ isOpen: Bool)
}

/// What a machine lends to each of its harts.
public struct HartServices: Sendable {
    /// `time` CSR.
    public let clock: GuestClock
    /// Sstc: set to `stimecmp` when it is written; at the deadline the machine calls `setInterrupt(supervisorTimer, true)`.
    /// The CPU itself clears the bit when the new `stimecmp` lies ahead, and re-arms after restore.
    public let supervisorTimer: DeadlineTimer

    public init(clock: GuestClock, supervisorTimer: DeadlineTimer) {
        self.clock = clock
        self.supervisorTimer = supervisorTimer
    }
}
