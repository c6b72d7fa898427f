// How a CPU engine is to run guest code, as chosen on the command line.

/// Which executor runs the guest.
public enum EngineKind: String, Sendable, CaseIterable {
    /// The best this host can do.
    case auto
    /// Generated x86-64 code.
    case translate
    /// The IR interpreter: slow, portable, the oracle.
    case interpret
}

/// Options shared by programs and machines.
public struct EngineOptions: Sendable {
    public var engine: EngineKind = .auto
    /// Keep all guest registers in memory (oracle mode of the code generator).
    public var registersInMemory = false
    /// Leave undefined condition codes as docs/x86.md says on every host, not as its processor does.
    public var exactFlags = false
    /// One guest instruction per unit.
    public var singleStep = false
    /// Report the cost of translating on standard error.
    public var statistics = false
    /// How often a loop is entered before it becomes a region; 0 for never, nil for the translator's own choice.
    public var loopCount: UInt32?
    /// Where the generated code is written when a vCPU or guest thread ends.
    public var codeDump: String?
    /// Size of the code cache in bytes.
    public var cacheSize: Int = 64 << 20
    /// Called for blocks entered from outside generated code, with guest address and mode.
    public var logBlock: (@Sendable (UInt64, UInt32) -> Void)?
    /// Called for every exception a machine's hart takes, environment calls excepted.
    public var logFault: (@Sendable (GuestFault) -> Void)?

    public init() {}
}

/// An exception of a machine's hart, as its registers show it.
public struct GuestFault: Sendable {
    public var hartID: Int
    /// The cause's name, as in `loadPageFault`.
    public var name: String
    /// What mcause or scause holds.
    public var cause: UInt64
    /// Address of the instruction.
    public var pc: UInt64
    /// What mtval or stval holds.
    public var value: UInt64
    /// Privilege before the trap: user, supervisor or machine.
    public var privilege: String
}

/// Why an engine cannot be had.
public enum EngineError: Error, CustomStringConvertible {
    case hostTooOld

    public var description: String {
        switch self {
        case .hostTooOld:
            "engine 'translate': the host CPU lacks AVX, FMA or BMI2; use --engine interpret"
        }
    }
}
