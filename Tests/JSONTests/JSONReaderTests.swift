// The JSON reader against RFC 8259: what it takes, what it refuses and where, and that hostile texts end in errors.

@testable import JSON
import Testing

@Suite struct JSONReaderTests {
    private func read(_ text: String) throws -> JSONValue { try JSONReader.read(Array(text.utf8)) }

    @Test(arguments: [
        ("null", JSONValue.null), ("true", .boolean(true)), ("false", .boolean(false)), (" 0 ", .unsigned(0)), ("-0", .unsigned(0)),
        ("18446744073709551615", .unsigned(.max)), ("-9223372036854775808", .negative(.min)),
        ("18446744073709551616", .real(18446744073709551616)), ("1.5e3", .real(1500)), ("\"\"", .string("")),
        ("\"a\\u00e9\\ud83d\\ude00\\n\\/\\\"\"", .string("aé😀\n/\"")), ("[]", .array([])), ("{}", .object([])),
        ("[1,[2]]", .array([.unsigned(1), .array([.unsigned(2)])])),
        ("{\"b\":1,\"a\":{}}", .object([JSONMember(key: "b", value: .unsigned(1)), JSONMember(key: "a", value: .object([]))])),
    ]) func `documents are read`(text: String, value: JSONValue) throws {
        #expect(try read(text) == value)
    }

    @Test(arguments: [
        "", " ", "nul", "tru", "01", "-", "1.", ".5", "1e", "+1", "1e999", "\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\udc00\"",
        "\"\\ud800\\u0041\"", "\"\u{1}\"", "[", "[1", "[1,", "[1,]", "[,1]", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,}",
        "{a:1}", "{\"a\" 1}", "{\"a\":1,\"a\":2}", "1 2", "[1]]", "NaN", "Infinity", "'a'", "/* */ 1", "\u{FEFF}1",
    ]) func `what is no document is refused`(text: String) {
        #expect(throws: JSONError.self) { try read(text) }
    }

    @Test func `an error names line and column`() {
        #expect(throws: JSONError(line: 2, column: 7, reason: "a value is expected")) { try read("{\n \"a\": ?}") }
    }

    @Test func `bytes that are no UTF-8 are refused`() {
        for bytes in [[0x22, 0xFF, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0x5C, 0x6E, 0x80, 0x22]] {
            #expect(throws: JSONError.self) { try JSONReader.read(bytes.map { UInt8($0) }) }
        }
    }

    @Test func `depth is bounded`() throws {
        func nested(_ depth: Int) -> String { String(repeating: "[", count: depth) + String(repeating: "]", count: depth) }
        _ = try read(nested(JSONReader.depthMax))
        #expect(throws: JSONError.self) { try read(nested(JSONReader.depthMax + 1)) }
        #expect(throws: JSONError.self) { try read(String(repeating: "[", count: 1_000_000)) }
    }

    @Test func `duplicates are found in large objects too`() {
        let members = (0..<40).map { "\"k\($0)\":0" } + ["\"k20\":1"]
        #expect(throws: JSONError.self) { try read("{" + members.joined(separator: ",") + "}") }
    }

    @Test func `what is written is read again`() throws {
        let value = JSONValue.members([
            ("text", .string("a\"\\\u{1}\u{7f}é😀\n")), ("numbers", .array([.unsigned(.max), .negative(-1), .real(0.25)])),
            ("nothing", nil), ("empty", .object([])), ("flag", .boolean(true)),
        ])
        for indent in [0, 2] { #expect(try read(value.text(indent: indent)) == value) }
        #expect(value.text().split(separator: "\n").count == 1)
    }

    @Test func `damaged documents never trap`() {
        // Every prefix, and every single byte replaced, of a document with all kinds of values.
        let text = Array("{\"a\":[1,-2.5e-3,true,null,\"x\\u0041\\ud83d\\ude00\"],\"b\":{\"c\":\"é\"}}".utf8)
        for length in 0..<text.count { _ = try? JSONReader.read(Array(text[..<length])) }
        for index in text.indices {
            for byte in [UInt8](0...255) {
                var copy = text
                copy[index] = byte
                _ = try? JSONReader.read(copy)
            }
        }
    }
}
