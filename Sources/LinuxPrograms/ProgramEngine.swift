// The CPU engine of a guest process: made from the command line's options, wired to the address space, and reached from
// the host's signal handlers.

import CHost
import Glibc
import GuestX86
import TranslatedCPU

/// Engines by the name given to `--engine`.
public enum EngineChoice {
    /// Names that `--engine` takes for programs.
    public static let names = EngineKind.allCases.map(\.rawValue)
}

/// Processor models by the name given to `--cpu`.
public enum ProcessorChoice {
    /// Names of the models, which `,+feature` and `,-feature` may follow.
    public static let names = CPUModel.names

    /// What is wrong with a choice; nil for those that exist.
    public static func mistake(in specification: String) -> String? {
        do { _ = try CPUModel(specification) } catch { return "\(error)" }
        return nil
    }
}

extension ProgramOptions {
    /// An engine for these options, asking `space` where guest code is.
    func makeEngine(_ abi: any LinuxABI, _ space: GuestAddressSpace, log: CallLog?) throws -> UserEngine {
        var choice = EngineOptions()
        choice.engine = EngineKind(rawValue: engine) ?? .auto
        if let log, log.blocks { choice.logBlock = { address, _ in log.block(address) } }
        let engine = try UserEngine(architecture: abi.makeArchitecture(), options: choice)
        engine.executableBytes = { space.executableBytes($0) }
        engine.codeProtection = CodePageProtection(
            withhold: { space.withholdWriting($0) }, grant: { space.grantWriting($0) }, isAliased: { space.isShared($0) })
        return engine
    }
}

/// Offsets in the x86-64 ucontext, which is kernel ABI (asm/sigcontext.h).
private enum HostContext {
    static let registers = 40
    static let rbp = registers + 10 * 8, rip = registers + 16 * 8, eflags = registers + 17 * 8, error = registers + 19 * 8
    static let trap = registers + 20 * 8, cr2 = registers + 22 * 8
    static let pageFault: UInt64 = 14
    /// An SSE exception that MXCSR does not mask.
    static let simdException: UInt64 = 19
    static let writeBit: UInt64 = 2
}

/// What is reported for a non-canonical address: the CPU does not say which. No guest can map this one.
let unknownFaultAddress: UInt64 = 1 << 63

/// Tells the C signal handler how to interrupt a CPU and where generated code's faults go.
func installEngineHooks() {
    guise_set_interrupt_hook { registers in
        // The register block starts with the exit request (StateLayout), which `UserCPU.requestExit` sets alike.
        guise_store32(registers, 1)
    }
    guise_set_fault_hook { _, _, context in
        guard let context else { return 0 }
        // SAFETY: the kernel passes a whole ucontext; the offsets above are inside it.
        let word = { (offset: Int) in context.load(fromByteOffset: offset, as: UInt64.self) }
        let rip = (context + HostContext.rip).assumingMemoryBound(to: UInt64.self)
        if word(HostContext.trap) == HostContext.simdException {
            return UserEngine.handleHostTrap(ripPointer: rip, rbp: word(HostContext.rbp),
                                             vector: Int(HostContext.simdException)) ? 1 : 0
        }
        let address = word(HostContext.trap) == HostContext.pageFault ? word(HostContext.cr2) : unknownFaultAddress
        let isWrite = word(HostContext.error) & HostContext.writeBit != 0
        let done = UserEngine.handleHostFault(
            ripPointer: rip, rbp: word(HostContext.rbp), eflags: word(HostContext.eflags), address: address,
            isWrite: isWrite)
        if done { return 1 }
        // The emulator itself wrote to a page with translated code.
        return isWrite && UserEngine.handleWriteFault(address: address) ? 1 : 0
    }
}
