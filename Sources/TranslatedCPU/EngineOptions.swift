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
    /// One guest instruction per unit.
    public var singleStep = false
    /// Report the cost of translating on standard error.
    public var statistics = false
    /// Size of the code cache in bytes.
    public var cacheSize: Int = 64 << 20
    /// Called for blocks entered from outside generated code, with guest address and mode.
    public var logBlock: (@Sendable (UInt64, UInt32) -> Void)?

    public init() {}
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
