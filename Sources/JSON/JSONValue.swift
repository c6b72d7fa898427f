// A JSON document in memory (RFC 8259).
// Absent: Codable, Foundation. `JSONReader` and `JSONWriter` are the way in and out.

/// A JSON value. Integers keep all 64 bits; members keep their order.
public indirect enum JSONValue: Equatable, Sendable {
    case null
    case boolean(Bool)
    /// An integer from 0 to 2^64 - 1.
    case unsigned(UInt64)
    /// An integer below 0.
    case negative(Int64)
    /// A number with a fraction or an exponent, or an integer that no 64-bit type holds.
    case real(Double)
    case string(String)
    case array([JSONValue])
    case object([JSONMember])

    /// The value of a member, or nil where this is no object or has no such member.
    public subscript(key: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.key == key }?.value
    }

    /// What the value is, as messages name it: "a string", "an object"….
    public var kind: String {
        switch self {
        case .null: "null"
        case .boolean: "a boolean"
        case .unsigned, .negative: "an integer"
        case .real: "a number that is no 64-bit integer"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }

    /// An object of the members whose value is not nil.
    public static func members(_ members: [(String, JSONValue?)]) -> JSONValue {
        .object(members.compactMap { key, value in value.map { JSONMember(key: key, value: $0) } })
    }

    /// An integer of either sign.
    public static func integer(_ value: some BinaryInteger) -> JSONValue {
        value < 0 ? .negative(Int64(truncatingIfNeeded: value)) : .unsigned(UInt64(truncatingIfNeeded: value))
    }

    /// An object whose values are strings, ordered by key.
    public static func strings(_ strings: [String: String]) -> JSONValue {
        .object(strings.sorted { $0.key < $1.key }.map { JSONMember(key: $0.key, value: .string($0.value)) })
    }
}

/// A member of an object.
public struct JSONMember: Equatable, Sendable {
    /// The name and the value; names in one object differ.
    public var key: String, value: JSONValue

    public init(key: String, value: JSONValue) {
        self.key = key
        self.value = value
    }
}

/// Why a text is no JSON document.
public struct JSONError: Error, Equatable, CustomStringConvertible {
    /// Where, counted from 1; columns count bytes.
    public let line: Int, column: Int
    /// What is wrong there.
    public let reason: String

    public var description: String { "line \(line), column \(column): \(reason)" }
}
