// Which engine runs a hart: the one place that knows them all.

/// The engines built into this program.
public enum Engines {
    /// Makes a hart on the engine a request names.
    /// - Throws: `MachineError` for an engine that is not built in.
    public static func makeCPU(_ request: CPURequest) throws -> any VCPU {
        throw MachineError("--engine \(request.engine.rawValue)", "no engine for riscv64 machines is built into this program")
    }
}
