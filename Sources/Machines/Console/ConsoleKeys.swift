// The keys that a machine's console takes for itself: ctrl-a and what follows it.

/// Separates console commands from bytes for the guest.
public struct ConsoleKeys {
    /// What the user asked for.
    public enum Command: Equatable, Sendable {
        case end
        case help
    }

    static let prefix: UInt8 = 1  // ctrl-a
    private var prefixSeen = false

    public init() {}

    /// Takes typed bytes; returns those for the guest and the commands among them, in order.
    /// An unknown key after ctrl-a is dropped together with it.
    public mutating func take(_ bytes: some Sequence<UInt8>) -> (guest: [UInt8], commands: [Command]) {
        var guest: [UInt8] = []
        var commands: [Command] = []
        for byte in bytes {
            guard prefixSeen else {
                if byte == Self.prefix { prefixSeen = true } else { guest.append(byte) }
                continue
            }
            prefixSeen = false
            switch byte {
            case Self.prefix: guest.append(byte)
            case UInt8(ascii: "x"), UInt8(ascii: "X"): commands.append(.end)
            case UInt8(ascii: "h"), UInt8(ascii: "H"), UInt8(ascii: "?"): commands.append(.help)
            default: break
            }
        }
        return (guest, commands)
    }

    /// What ctrl-a h prints.
    public static let help = """
        ctrl-a x       end the machine
        ctrl-a h       show these keys
        ctrl-a ctrl-a  send ctrl-a to the guest
        """
}
