// How a machine ended, and the exit status that tells it.

/// The end of a machine.
public enum MachineEnd: Equatable, Sendable {
    /// The guest powered off.
    case poweredOff
    /// The user ended it at the console.
    case ended
    /// Suspended into a file.
    case suspended
    /// The guest failed or asked for a status of its own: 1…255.
    case failed(status: Int32)
    /// A signal ended it.
    case signal(Int32)

    /// The status of the whole command.
    public var exitStatus: Int32 {
        switch self {
        case .poweredOff, .ended, .suspended: 0
        case .failed(let status): status
        case .signal(let number): 128 + number
        }
    }

    /// A failure with a guest-chosen code; zero in its low byte would look like success, so it becomes 1.
    static func failure(code: UInt64) -> MachineEnd {
        let status = Int32(code & 0xff)
        return .failed(status: status == 0 ? 1 : status)
    }
}
