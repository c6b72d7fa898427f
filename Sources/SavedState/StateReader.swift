// Reads what StateWriter wrote. Every length is checked against what is left: the stream may come from a hostile file.

/// Why a state stream was refused.
public enum StateError: Error, Equatable, CustomStringConvertible {
    case truncated(section: String)
    case unexpectedSection(expected: String, found: String)
    case unsupportedVersion(section: String, found: UInt16, newest: UInt16)
    case trailingBytes(section: String, count: Int)
    case invalid(section: String, reason: String)

    public var description: String {
        switch self {
        case .truncated(let section): "state section '\(section)' ends early"
        case .unexpectedSection(let expected, let found): "state section '\(expected)' expected, '\(found)' found"
        case .unsupportedVersion(let section, let found, let newest):
            "state section '\(section)' has version \(found), this build reads up to \(newest)"
        case .trailingBytes(let section, let count): "state section '\(section)' has \(count) bytes too many"
        case .invalid(let section, let reason): "state section '\(section)': \(reason)"
        }
    }
}

/// A cursor over written state.
public struct StateReader {
    private let bytes: ArraySlice<UInt8>
    private var position: Int
    private var end: Int
    private var path: [String] = []

    public init(_ bytes: [UInt8]) {
        self.bytes = bytes[...]
        position = 0
        end = bytes.count
    }

    /// The innermost open section, for messages.
    public var sectionName: String { path.last ?? "state" }

    /// Bytes left in the open section.
    public var remaining: Int { end - position }

    /// Opens the next section, which must be `name`, and requires `body` to consume all of it.
    /// - Parameter newest: the newest version this reader understands; `body` receives the stored one.
    public mutating func section(_ name: String, newest: UInt16,
                                 _ body: (inout StateReader, UInt16) throws -> Void) throws {
        let nameLength = Int(try get(UInt8.self))
        let found = String(decoding: try take(nameLength), as: UTF8.self)
        guard found == name else { throw StateError.unexpectedSection(expected: name, found: found) }
        let version = try get(UInt16.self)
        guard version <= newest else {
            throw StateError.unsupportedVersion(section: name, found: version, newest: newest)
        }
        let length = try get(UInt64.self)
        guard length <= UInt64(remaining) else { throw StateError.truncated(section: name) }
        let outerEnd = end
        end = position + Int(length)
        path.append(name)
        try body(&self, version)
        guard position == end else { throw StateError.trailingBytes(section: name, count: end - position) }
        path.removeLast()
        end = outerEnd
    }

    /// What `put` wrote of an integer of that type.
    public mutating func get<Value: FixedWidthInteger>(_: Value.Type = Value.self) throws -> Value {
        let size = MemoryLayout<Value>.size
        let slice = try take(size)
        var value = Value.zero
        withUnsafeMutableBytes(of: &value) { $0.copyBytes(from: slice) }
        return Value(littleEndian: value)
    }

    /// A truth value; a byte other than 0 and 1 is an error.
    public mutating func getBool() throws -> Bool {
        switch try get(UInt8.self) {
        case 0: return false
        case 1: return true
        case let other: throw StateError.invalid(section: sectionName, reason: "\(other) is not a truth value")
        }
    }

    /// Length-prefixed bytes.
    public mutating func getBytes() throws -> [UInt8] {
        let count = try get(UInt64.self)
        guard count <= UInt64(remaining) else { throw StateError.truncated(section: sectionName) }
        return Array(try take(Int(count)))
    }

    /// Length-prefixed UTF-8; what is not UTF-8 is replaced.
    public mutating func getString() throws -> String { String(decoding: try getBytes(), as: UTF8.self) }

    /// A counted sequence of at most `limit` elements.
    public mutating func getEach<Element>(limit: Int, _ body: (inout StateReader) throws -> Element) throws -> [Element] {
        let count = try get(UInt64.self)
        guard count <= UInt64(limit) else {
            throw StateError.invalid(section: sectionName, reason: "\(count) elements, at most \(limit) allowed")
        }
        var elements: [Element] = []
        for _ in 0..<Int(count) { elements.append(try body(&self)) }
        return elements
    }

    private mutating func take(_ count: Int) throws -> ArraySlice<UInt8> {
        guard count <= remaining else { throw StateError.truncated(section: sectionName) }
        defer { position += count }
        return bytes[position..<(position + count)]
    }
}
