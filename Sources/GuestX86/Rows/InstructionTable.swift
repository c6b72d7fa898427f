// The instruction set: all rows, parsed once at the first use.

/// The x86 instruction set. Rows keep their numbers whatever processor is modelled.
public enum InstructionTable {
    private static let storage = parse()

    /// All rows.
    public static var rows: UnsafeBufferPointer<X86Row> { storage.rows }

    /// The texts in the order in which their rows match.
    static let texts: [StaticString] = [
        X86Rows.integer, X86Rows.group, X86Rows.twoByte, X86Rows.x87, X86Rows.mmx, X86Rows.sseInteger, X86Rows.sseFloat,
        X86Rows.avxInteger, X86Rows.avx2Integer, X86Rows.avxFloat,
    ]

    /// The first row called `name`, or nil; the others follow by `nextOfSameName`.
    public static func firstRow(named name: StaticString) -> Int? {
        storage.find(name.utf8Start, name.utf8CodeUnitCount)
    }

    /// Calls `body` with the number of every row called `name`, in ascending order; false when there is none.
    @discardableResult
    public static func forEachRow(named name: StaticString, _ body: (Int) -> Void) -> Bool {
        forEachRow(named: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount), body)
    }

    /// As above, for a name in UTF-8.
    @discardableResult
    static func forEachRow(named name: UnsafeBufferPointer<UInt8>, _ body: (Int) -> Void) -> Bool {
        guard let text = name.baseAddress, var row = storage.find(text, name.count) else { return false }
        while true {
            body(row)
            let next = rows[row].nextOfSameName
            if next < 0 { return true }
            row = Int(next)
        }
    }

    // SAFETY: filled by `parse` before anybody sees it, never changed or freed afterwards. `index` has `slots`
    // elements: 0, or the number of a name's first row + 1.
    private struct Storage: @unchecked Sendable {
        let rows: UnsafeBufferPointer<X86Row>
        let index: UnsafeMutablePointer<UInt16>

        static let slots = 4096

        func find(_ name: UnsafePointer<UInt8>, _ length: Int) -> Int? {
            let slot = Self.slot(rows, index, name, length)
            return index[slot] == 0 ? nil : Int(index[slot]) - 1
        }

        /// The slot that holds the name, or the empty one where it belongs.
        static func slot(_ rows: UnsafeBufferPointer<X86Row>, _ index: UnsafeMutablePointer<UInt16>,
                         _ name: UnsafePointer<UInt8>, _ length: Int) -> Int {
            var hash: UInt32 = 2_166_136_261
            for offset in 0..<length { hash = (hash ^ UInt32(name[offset])) &* 16_777_619 }
            var slot = Int(hash ^ hash >> 15) & (slots - 1)
            while index[slot] != 0 {
                let row = rows[Int(index[slot]) - 1]
                if Int(row.nameLength) == length, equalBytes(row.text, name, length) { break }
                slot = (slot + 1) & (slots - 1)
            }
            return slot
        }
    }

    private static func parse() -> Storage {
        let capacity = 2048
        let rows = UnsafeMutablePointer<X86Row>.allocate(capacity: capacity)
        let index = UnsafeMutablePointer<UInt16>.allocate(capacity: Storage.slots)
        index.initialize(repeating: 0, count: Storage.slots)
        // The last row of each name so far, by the row that the index knows.
        let last = UnsafeMutablePointer<UInt16>.allocate(capacity: capacity)
        defer { last.deallocate() }
        var count = 0
        for text in texts {
            var parser = RowParser(text)
            while let row = parser.next() {
                precondition(count < capacity, "more rows than InstructionTable.parse has room for")
                (rows + count).initialize(to: row)
                let slot = Storage.slot(UnsafeBufferPointer(start: rows, count: count), index, row.text,
                                        Int(row.nameLength))
                if index[slot] == 0 {
                    index[slot] = UInt16(count + 1)
                    last[count] = UInt16(count)
                } else {
                    let first = Int(index[slot]) - 1
                    rows[Int(last[first])].nextOfSameName = Int16(count)
                    last[first] = UInt16(count)
                }
                count += 1
            }
        }
        return Storage(rows: UnsafeBufferPointer(start: rows, count: count), index: index)
    }
}
