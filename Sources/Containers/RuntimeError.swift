// What the runtime itself cannot do, told to the user.

/// A failure with its message: what failed, on which object, why.
struct RuntimeError: Error, CustomStringConvertible {
    /// One sentence without a full stop.
    let description: String
    /// The exit status of the command.
    var status: Int32 = 1

    init(_ description: String, status: Int32 = 1) {
        self.description = description
        self.status = status
    }
}
