// Exit statuses of the command line, after DESIGN.md section 5 and the habit of env(1) and container tools.

/// The statuses that are not the guest's own.
enum ExitStatus {
    static let success: Int32 = 0
    /// Guise itself failed or was called wrongly.
    static let ownFailure: Int32 = 125
    /// The target is there but cannot be executed.
    static let cannotExecute: Int32 = 126
    /// The target was not found.
    static let notFound: Int32 = 127
    /// Added to the number of the signal that ended the guest.
    static let signalBase: Int32 = 128
}

/// A failure with the message that the user reads and the status that the shell gets.
///
/// A verb throws it where the status is not `ExitStatus.ownFailure`; any other error ends with that one, and its
/// description is the message.
struct CommandFailure: Error {
    /// Names the object, the cause and the next step; sentence case, no full stop.
    let message: String
    let status: Int32

    init(_ message: String, status: Int32 = ExitStatus.ownFailure) {
        self.message = message
        self.status = status
    }
}
