// What the system-call layer needs of an engine that runs user code.

/// Why a guest CPU came back. The guest's program counter is at the instruction named, not after it.
public enum ProgramExit {
    /// The instruction that asks the kernel.
    case systemCall
    case breakpoint
    case illegalInstruction
    /// An access the host refused.
    case memoryFault(address: UInt64, write: Bool, execute: Bool)
    /// An atomic access that is not aligned.
    case misaligned(address: UInt64)
    /// Somebody called `requestExit`.
    case interrupted
}

/// One guest CPU, used by one host thread.
public protocol ProgramCPU: AnyObject {
    /// The architectural registers, in the layout of the guest's front.
    var registers: UnsafeMutableRawPointer { get }
    /// Runs guest code until it needs the system-call layer.
    func run() -> ProgramExit
    /// Makes `run` return soon; callable from a signal handler.
    func requestExit()
}

/// The engine of one guest process.
public protocol ProgramEngine: AnyObject {
    /// A CPU for one guest thread.
    func makeCPU() throws -> any ProgramCPU
    /// Code in the range changed, appeared or went away.
    func codeChanged(start: UInt64, length: UInt64)
    /// This process is a copy made by fork; only `current` lives on.
    func didForkInChild(current: any ProgramCPU)
}
