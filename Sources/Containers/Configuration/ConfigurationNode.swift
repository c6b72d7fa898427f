// Reads members of config.json: a typed value, or an error with the JSON path. An unknown member is ignored, as the
// specification demands (config.md, Extensibility); null counts as absent, as it does in Go.

import JSON

/// What is wrong in a configuration, and where.
struct ConfigurationError: Error, Equatable, CustomStringConvertible {
    /// The JSON path, such as `process.args[0]`; empty for the document itself.
    private(set) var path: String
    /// What is wrong there.
    let reason: String

    init(_ reason: String, path: String = "") {
        self.path = path
        self.reason = reason
    }

    /// The same error seen from the value that holds `step`, a member or `[index]`.
    func inside(_ step: String) -> ConfigurationError {
        var outer = self
        outer.path = path.isEmpty ? step : path.hasPrefix("[") ? step + path : "\(step).\(path)"
        return outer
    }

    var description: String { path.isEmpty ? "config.json: \(reason)" : "config.json: \(path): \(reason)" }
}

/// A value of the document with the decoders that config.json needs.
struct Node {
    let value: JSONValue

    init(_ value: JSONValue) { self.value = value }

    typealias Decoder<Value> = (Node) throws(ConfigurationError) -> Value

    private func members() throws(ConfigurationError) -> [JSONMember] {
        guard case .object(let members) = value else { throw mismatch("an object") }
        return members
    }

    func mismatch(_ expected: String) -> ConfigurationError {
        ConfigurationError("must be \(expected), not \(value.kind)")
    }

    /// A member that may be missing.
    func optional<Value>(_ key: String, _ decode: Decoder<Value>) throws(ConfigurationError) -> Value? {
        for member in try members() where member.key == key {
            if case .null = member.value { return nil }
            do throws(ConfigurationError) {
                return try decode(Node(member.value))
            } catch {
                throw error.inside(key)
            }
        }
        return nil
    }

    /// A member that must be there.
    func required<Value>(_ key: String, _ decode: Decoder<Value>) throws(ConfigurationError) -> Value {
        guard let value = try optional(key, decode) else { throw ConfigurationError("is missing", path: key) }
        return value
    }

    /// For documents of our own, where an unknown member is a mistake.
    func refuseOthers(than known: [String]) throws(ConfigurationError) {
        for member in try members() where !known.contains(member.key) {
            throw ConfigurationError("is unknown; there are \(known.joined(separator: ", "))", path: member.key)
        }
    }

    /// Members, of any name, whose values are all decoded the same way.
    static func dictionary<Value>(_ decode: @escaping Decoder<Value>) -> Decoder<[(key: String, value: Value)]> {
        { node throws(ConfigurationError) in
            var result: [(key: String, value: Value)] = []
            for member in try node.members() {
                do throws(ConfigurationError) {
                    let key = try Node(.string(member.key)).string()
                    result.append((key, try decode(Node(member.value))))
                } catch {
                    throw error.inside(member.key)
                }
            }
            return result
        }
    }

    static func array<Value>(_ decode: @escaping Decoder<Value>) -> Decoder<[Value]> {
        { node throws(ConfigurationError) in
            guard case .array(let elements) = node.value else { throw node.mismatch("an array") }
            var result: [Value] = []
            result.reserveCapacity(elements.count)
            for (index, element) in elements.enumerated() {
                do throws(ConfigurationError) {
                    result.append(try decode(Node(element)))
                } catch {
                    throw error.inside("[\(index)]")
                }
            }
            return result
        }
    }

    func string() throws(ConfigurationError) -> String {
        guard case .string(let text) = value else { throw mismatch("a string") }
        // No string of the configuration reaches the kernel otherwise than with a NUL at its end.
        guard !text.utf8.contains(0) else { throw ConfigurationError("must not hold a NUL character") }
        return text
    }

    static func string(_ node: Node) throws(ConfigurationError) -> String { try node.string() }

    /// A string that is not empty.
    static func name(_ node: Node) throws(ConfigurationError) -> String {
        let text = try node.string()
        guard !text.isEmpty else { throw ConfigurationError("must not be empty") }
        return text
    }

    /// An absolute path.
    static func absolutePath(_ node: Node) throws(ConfigurationError) -> String {
        let text = try node.string()
        guard text.utf8.first == UInt8(ascii: "/") else { throw ConfigurationError("'\(text)' must be an absolute path") }
        return text
    }

    static let strings: Decoder<[String]> = array(Node.string)

    static func boolean(_ node: Node) throws(ConfigurationError) -> Bool {
        guard case .boolean(let flag) = node.value else { throw node.mismatch("a boolean") }
        return flag
    }

    static func integer<Value: FixedWidthInteger>(_ range: ClosedRange<Value>) -> Decoder<Value> {
        { node throws(ConfigurationError) in
            let result: Value?
            switch node.value {
            case .unsigned(let value): result = Value(exactly: value)
            case .negative(let value): result = Value(exactly: value)
            default: throw node.mismatch("an integer")
            }
            guard let result, range.contains(result) else {
                throw ConfigurationError("must lie between \(range.lowerBound) and \(range.upperBound)")
            }
            return result
        }
    }

    static func uint16(_ node: Node) throws(ConfigurationError) -> UInt16 { try integer(UInt16.min...UInt16.max)(node) }
    static func uint32(_ node: Node) throws(ConfigurationError) -> UInt32 { try integer(UInt32.min...UInt32.max)(node) }
    static func uint64(_ node: Node) throws(ConfigurationError) -> UInt64 { try integer(UInt64.min...UInt64.max)(node) }
    static func int64(_ node: Node) throws(ConfigurationError) -> Int64 { try integer(Int64.min...Int64.max)(node) }
    static func int32(_ node: Node) throws(ConfigurationError) -> Int32 { try integer(Int32.min...Int32.max)(node) }

    /// One of the words that an enumeration's cases spell.
    static func word<Value: RawRepresentable & CaseIterable>(_ type: Value.Type) -> Decoder<Value> where Value.RawValue == String {
        { node throws(ConfigurationError) in
            let text = try node.string()
            guard let value = Value(rawValue: text) else {
                let known = Value.allCases.map(\.rawValue).joined(separator: ", ")
                throw ConfigurationError("'\(text)' is unknown; there are \(known)")
            }
            return value
        }
    }
}
