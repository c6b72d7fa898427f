import Testing
@testable import SavedState

@Suite struct StateStreamTests {
    @Test func `a section reads back what was written`() throws {
        var writer = StateWriter()
        writer.section("outer", version: 3) { w in
            w.put(UInt32(7)); w.put(true); w.put("héllo")
            w.section("inner", version: 1) { $0.put(Int64(-2)) }
            w.put(each: [UInt8(1), 2]) { $0.put($1) }
        }
        var reader = StateReader(writer.bytes)
        try reader.section("outer", newest: 3) { r, version in
            #expect(version == 3)
            let number: UInt32 = try r.get()
            #expect(number == 7)
            let flag = try r.getBool()
            #expect(flag)
            let text = try r.getString()
            #expect(text == "héllo")
            try r.section("inner", newest: 1) { r, _ in let inner: Int64 = try r.get()
                #expect(inner == -2) }
            let list = try r.getEach(limit: 2) { try $0.get(UInt8.self) }
            #expect(list == [1, 2])
        }
    }

    @Test func `every truncation of a stream is refused`() {
        var writer = StateWriter()
        writer.section("a", version: 1) { $0.put(UInt64(5)); $0.put(bytes: [1, 2, 3]) }
        for length in 0..<writer.bytes.count {
            var reader = StateReader(Array(writer.bytes.prefix(length)))
            #expect(throws: StateError.self) {
                try reader.section("a", newest: 1) { r, _ in _ = try r.get(UInt64.self); _ = try r.getBytes() }
            }
        }
    }

    @Test func `a newer version and a wrong name are refused by name`() {
        var writer = StateWriter()
        writer.section("a", version: 2) { _ in }
        var reader = StateReader(writer.bytes)
        #expect(throws: StateError.unsupportedVersion(section: "a", found: 2, newest: 1)) {
            try reader.section("a", newest: 1) { _, _ in }
        }
        var second = StateReader(writer.bytes)
        #expect(throws: StateError.unexpectedSection(expected: "b", found: "a")) {
            try second.section("b", newest: 2) { _, _ in }
        }
    }
}
