// Writes JSON (RFC 8259).

extension JSONValue {
    /// The document as text.
    /// - Parameter indent: spaces per level; 0 writes one line.
    public func text(indent: Int = 0) -> String {
        var text = ""
        write(to: &text, indent: indent, level: 0)
        return text
    }

    private func write(to text: inout String, indent: Int, level: Int) {
        func lineBreak(_ level: Int) {
            guard indent > 0 else { return }
            text += "\n"
            text += String(repeating: " ", count: indent * level)
        }
        switch self {
        case .null: text += "null"
        case .boolean(let value): text += value ? "true" : "false"
        case .unsigned(let value): text += String(value)
        case .negative(let value): text += String(value)
        // A finite double's description is a JSON number; the others have no form in JSON.
        case .real(let value): text += value.isFinite ? "\(value)" : "null"
        case .string(let value): Self.write(value, to: &text)
        case .array(let elements):
            text += "["
            for (index, element) in elements.enumerated() {
                if index > 0 { text += "," }
                lineBreak(level + 1)
                element.write(to: &text, indent: indent, level: level + 1)
            }
            if !elements.isEmpty { lineBreak(level) }
            text += "]"
        case .object(let members):
            text += "{"
            for (index, member) in members.enumerated() {
                if index > 0 { text += "," }
                lineBreak(level + 1)
                Self.write(member.key, to: &text)
                text += indent > 0 ? ": " : ":"
                member.value.write(to: &text, indent: indent, level: level + 1)
            }
            if !members.isEmpty { lineBreak(level) }
            text += "}"
        }
    }

    private static func write(_ string: String, to text: inout String) {
        let digits = Array("0123456789abcdef".unicodeScalars)
        text += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\t": text += "\\t"
            case "\r": text += "\\r"
            case Unicode.Scalar(0)..<" ":
                text += "\\u00"
                text.unicodeScalars.append(digits[Int(scalar.value >> 4)])
                text.unicodeScalars.append(digits[Int(scalar.value & 15)])
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}
