// Guest registers as the IR sees them: named globals at fixed offsets of the guest state block.

/// A guest register that IR code reads with `get` and writes with `set`.
public struct Global: Sendable {
    /// The manual's name, as printed.
    public let name: String
    public let type: ValueType
    /// Byte offset in the state block.
    public let offset: Int
    public init(name: String, type: ValueType, offset: Int) {
        self.name = name
        self.type = type
        self.offset = offset
    }
}
