// What the system-call layer needs of an engine that runs user code.

/// What a faulting access wanted.
public enum GuestAccess { case read, write, execute }

/// Why a guest CPU came back. The guest's program counter is at the instruction named, not after it.
public enum ProgramExit {
    /// The instruction that asks the kernel.
    case systemCall
    case breakpoint
    case illegalInstruction
    /// An access the host refused.
    case memoryFault(address: UInt64, access: GuestAccess)
    /// An atomic access that is not aligned.
    case misaligned(address: UInt64)
    /// Somebody asked for it.
    case interrupted
}

/// One guest CPU, used by one host thread.
public protocol ProgramCPU: AnyObject {
    /// The architectural registers, in the layout of the guest's front.
    var registers: UnsafeMutableRawPointer { get }
    /// Runs guest code until it needs the system-call layer.
    func runProgram() -> ProgramExit
    /// Forgets a load reservation: on signal delivery.
    func clearReservation()
    /// The guest thread has ended.
    func retire()
}

/// The engine of one guest process.
public protocol ProgramEngine: AnyObject {
    /// A CPU for one guest thread.
    func makeProgramCPU() throws -> any ProgramCPU
    /// Code in the range changed, appeared or went away.
    func codeChanged(start: UInt64, length: UInt64)
    /// Around fork(2), in this order: before, then in the parent or in the child, where only `current` lives on.
    func prepareFork()
    func didForkInParent()
    func didForkInChild(current: any ProgramCPU) throws

    /// Makes a CPU's `runProgram` return soon; async-signal-safe. Gets the CPU object unretained.
    var interruptHook: @convention(c) (UnsafeMutableRawPointer?) -> Void { get }
    /// Redirects a host fault in generated code; async-signal-safe. Returns 0 when the fault was elsewhere.
    var faultHook: @convention(c) (Int32, UnsafeMutableRawPointer?, UnsafeMutableRawPointer?) -> Int32 { get }
}
