// The engine that `guise run` gives to a program.

/// Makes engines by the name given to `--engine`.
public enum EngineChoice {
    /// Names that `--engine` takes for programs.
    public static let names = ["auto", "translate", "interpret"]

    /// An `EngineFactory`. The options' engine is one of `names`.
    public static func make(_ options: ProgramOptions, _ executableBytes: @escaping (UInt64) -> Int) throws -> any ProgramEngine {
        throw ProgramStartError(status: ProgramStatus.guiseFailed, description: "engine '\(options.engine)' is not part of this build")
    }
}
