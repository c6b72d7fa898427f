// Reads JSON (RFC 8259) strictly: UTF-8 only, no duplicate names, nothing after the document, bounded depth. The text may
// be hostile: time and memory are linear in its size.

import Glibc

/// A reader of one document.
public struct JSONReader {
    /// Arrays and objects inside each other.
    public static let depthMax = 64

    private let bytes: UnsafeBufferPointer<UInt8>
    private var at = 0
    private var depth = 0

    /// Reads a whole document.
    /// - Throws: `JSONError` with the place of the first fault.
    public static func read(_ bytes: [UInt8]) throws(JSONError) -> JSONValue {
        var result: Result<JSONValue, JSONError> = .success(.null)
        bytes.withUnsafeBufferPointer { buffer in
            var reader = JSONReader(bytes: buffer)
            do throws(JSONError) {
                result = .success(try reader.document())
            } catch {
                result = .failure(error)
            }
        }
        return try result.get()
    }

    // SAFETY: `buffer` outlives the reader, which `read` keeps to itself; every index is compared with `count` first.
    private init(bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    private mutating func document() throws(JSONError) -> JSONValue {
        let value = try value()
        skipSpace()
        guard at == bytes.count else { throw fault("text after the document") }
        return value
    }

    private func fault(_ reason: String, at place: Int? = nil) -> JSONError {
        var line = 1, column = 1
        for byte in bytes[..<min(place ?? at, bytes.count)] {
            column += 1
            if byte == UInt8(ascii: "\n") { (line, column) = (line + 1, 1) }
        }
        return JSONError(line: line, column: column, reason: reason)
    }

    private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func skipSpace() {
        while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x0A || bytes[at] == 0x0D || bytes[at] == 0x09 { at += 1 }
    }

    private mutating func value() throws(JSONError) -> JSONValue {
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .boolean(true))
        case UInt8(ascii: "f"): return try word("false", .boolean(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case .some(UInt8(ascii: "-")), .some(UInt8(ascii: "0")...UInt8(ascii: "9")): return try number()
        case nil: throw fault("the text ends where a value is expected")
        default: throw fault("a value is expected")
        }
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
        let length = word.utf8CodeUnitCount
        guard at + length <= bytes.count, memcmp(bytes.baseAddress! + at, word.utf8Start, length) == 0 else {
            throw fault("a value is expected")
        }
        at += length
        return value
    }

    private mutating func enter() throws(JSONError) {
        depth += 1
        guard depth <= Self.depthMax else { throw fault("more than \(Self.depthMax) levels") }
        at += 1
    }

    private mutating func array() throws(JSONError) -> JSONValue {
        try enter()
        var elements: [JSONValue] = []
        skipSpace()
        if next == UInt8(ascii: "]") {
            at += 1
        } else {
            while true {
                elements.append(try value())
                skipSpace()
                if next == UInt8(ascii: "]") { at += 1; break }
                guard next == UInt8(ascii: ",") else { throw fault("',' or ']' is expected") }
                at += 1
            }
        }
        depth -= 1
        return .array(elements)
    }

    private mutating func object() throws(JSONError) -> JSONValue {
        try enter()
        var members: [JSONMember] = []
        // Small objects are searched; a set serves the others.
        var names: Set<String> = []
        skipSpace()
        if next == UInt8(ascii: "}") {
            at += 1
        } else {
            while true {
                skipSpace()
                let place = at
                guard next == UInt8(ascii: "\"") else { throw fault("a name in quotes is expected") }
                let key = try string()
                if members.count == 16 { names = Set(members.map(\.key)) }
                let isNew = members.count < 16 ? !members.contains { $0.key == key } : names.insert(key).inserted
                guard isNew else { throw fault("the name \"\(key)\" is there twice", at: place) }
                skipSpace()
                guard next == UInt8(ascii: ":") else { throw fault("':' is expected") }
                at += 1
                members.append(JSONMember(key: key, value: try value()))
                skipSpace()
                if next == UInt8(ascii: "}") { at += 1; break }
                guard next == UInt8(ascii: ",") else { throw fault("',' or '}' is expected") }
                at += 1
            }
        }
        depth -= 1
        return .object(members)
    }

    private mutating func string() throws(JSONError) -> String {
        at += 1
        let start = at
        while at < bytes.count, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\"), bytes[at] >= 0x20 { at += 1 }
        if next == UInt8(ascii: "\"") {
            let text = String(validating: bytes[start..<at], as: UTF8.self)
            guard let text else { throw fault("a string that is not UTF-8", at: start) }
            at += 1
            return text
        }
        var unescaped = Array(bytes[start..<at])
        while true {
            guard let byte = next else { throw fault("a string without an end", at: start) }
            at += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: unescaped, as: UTF8.self) else {
                    throw fault("a string that is not UTF-8", at: start)
                }
                return text
            case UInt8(ascii: "\\"): try escape(into: &unescaped)
            case 0..<0x20: throw fault("a control character in a string", at: at - 1)
            default: unescaped.append(byte)
            }
        }
    }

    private mutating func escape(into text: inout [UInt8]) throws(JSONError) {
        guard let byte = next else { throw fault("a string without an end") }
        at += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var code = try hexadecimal()
            if 0xD800..<0xDC00 ~= code {
                guard next == UInt8(ascii: "\\"), at + 1 < bytes.count, bytes[at + 1] == UInt8(ascii: "u") else {
                    throw fault("half of a surrogate pair")
                }
                at += 2
                let low = try hexadecimal()
                guard 0xDC00..<0xE000 ~= low else { throw fault("half of a surrogate pair") }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw fault("half of a surrogate pair") }
            text.append(contentsOf: UTF8.encode(scalar)!)
        default: throw fault("an unknown escape", at: at - 2)
        }
    }

    private mutating func hexadecimal() throws(JSONError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
                throw fault("four hexadecimal digits are expected")
            }
            code = code << 4 | UInt32(digit)
            at += 1
        }
        return code
    }

    private mutating func digits() -> Int {
        let start = at
        while let byte = next, UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte { at += 1 }
        return at - start
    }

    private mutating func number() throws(JSONError) -> JSONValue {
        let start = at
        let isNegative = next == UInt8(ascii: "-")
        if isNegative { at += 1 }
        let first = at
        let count = digits()
        guard count > 0 else { throw fault("a digit is expected") }
        guard count == 1 || bytes[first] != UInt8(ascii: "0") else { throw fault("a number with a leading zero", at: start) }
        var isInteger = true
        if next == UInt8(ascii: ".") {
            isInteger = false
            at += 1
            guard digits() > 0 else { throw fault("a digit is expected") }
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            isInteger = false
            at += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { at += 1 }
            guard digits() > 0 else { throw fault("a digit is expected") }
        }
        let text = String(decoding: bytes[start..<at], as: UTF8.self)
        if isInteger {
            if !isNegative, let value = UInt64(text) { return .unsigned(value) }
            if isNegative, let value = Int64(text) { return value == 0 ? .unsigned(0) : .negative(value) }
        }
        guard let value = Double(text), value.isFinite else { throw fault("a number out of range", at: start) }
        return .real(value)
    }
}
