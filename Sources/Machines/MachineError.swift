// Errors of a machine that the user reads: object, cause, next step.

/// Something the user asked for that cannot be done.
public struct MachineError: Error, Equatable, CustomStringConvertible {
    /// What it is about, as the user named it: a file, an option, a machine.
    public let object: String
    public let cause: String
    /// What to do next, or nil where the cause already says it.
    public let advice: String?

    public init(_ object: String, _ cause: String, advice: String? = nil) {
        self.object = object
        self.cause = cause
        self.advice = advice
    }

    public var description: String { "\(object): \(cause)" + (advice.map { "; \($0)" } ?? "") }
}
