// The command line: options of the runtime before the command, options of the command, then its arguments. Both `--name value` and
// `--name=value`; short names may stand alone. Options end at the first argument, for a program's own options follow it.

/// A line of arguments being read.
struct Arguments {
    private var rest: ArraySlice<String>

    init(_ arguments: some Sequence<String>) { rest = Array(arguments)[...] }

    /// One option a command knows.
    struct Option {
        var names: [String]
        /// What the help calls the value; nil for a flag.
        var value: String?
        var help: String
        var apply: (String) throws -> Void

        init(_ names: String..., value: String, _ help: String, _ apply: @escaping (String) throws -> Void) {
            (self.names, self.value, self.help, self.apply) = (names, value, help, apply)
        }

        init(flag names: String..., help: String, _ apply: @escaping () throws -> Void) {
            (self.names, self.value, self.help) = (names, nil, help)
            self.apply = { _ in try apply() }
        }
    }

    /// Reads options up to the first argument.
    /// - Throws: `RuntimeError` for an unknown option or a missing value; `HelpRequest`.
    mutating func read(_ options: [Option]) throws {
        while let word = rest.first, word.hasPrefix("-"), word != "-" {
            rest = rest.dropFirst()
            if word == "--" { return }
            if word == "--help" || word == "-h" { throw HelpRequest() }
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            guard let option = options.first(where: { $0.names.contains(name) }) else {
                throw RuntimeError("No option '\(name)'; see --help")
            }
            if option.value == nil {
                let value = parts.count > 1 ? String(parts[1]) : "true"
                guard value == "true" || value == "false" else { throw RuntimeError("\(name) takes no value") }
                if value == "true" { try option.apply("") }
            } else if parts.count > 1 {
                try option.apply(String(parts[1]))
            } else {
                guard let value = rest.popFirst() else { throw RuntimeError("\(name) needs a value") }
                try option.apply(value)
            }
        }
    }

    /// The next argument.
    mutating func next(_ name: String) throws -> String {
        guard let word = rest.popFirst() else { throw RuntimeError("\(name) is missing; see --help") }
        return word
    }

    /// The next argument, if there is one.
    mutating func nextIfAny() -> String? { rest.popFirst() }

    /// All that is left.
    mutating func all() -> [String] {
        defer { rest = [] }
        return Array(rest)
    }

    /// - Throws: `RuntimeError` if something is left.
    func end() throws {
        guard let word = rest.first else { return }
        throw RuntimeError("'\(word)' is one argument too many")
    }
}

/// The user asked for help.
struct HelpRequest: Error {}

extension Arguments.Option {
    /// The line of the help.
    var line: String {
        let left = "  " + names.joined(separator: ", ") + (value.map { " " + $0 } ?? "")
        let gap = String(repeating: " ", count: max(1, 30 - left.count))
        return left + gap + help
    }
}

/// A number of a fitting size.
func number<Value: FixedWidthInteger>(_ text: String, _ name: String) throws -> Value {
    guard let value = Value(text) else { throw RuntimeError("\(name) needs a number, not '\(text)'") }
    return value
}
