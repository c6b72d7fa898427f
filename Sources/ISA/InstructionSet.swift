// An instruction set made from text rows: the rows, their names, and the decoder for one or two word widths.

/// The rows of one instruction set.
public final class InstructionSet: @unchecked Sendable {
    /// The rows in text order.
    public let rows: UnsafeBufferPointer<Row>
    public let fields: [Field]
    /// Extension and section title of each `@` line.
    let groups: [(line: UnsafePointer<UInt8>, length: Int)]
    /// Formats register numbers and custom operands.
    let format: @Sendable (OperandStyle, UInt64) -> String

    @usableFromInline let tree16: DecodeTree
    @usableFromInline let tree32: DecodeTree
    /// Open-addressed name index: row + 1, or 0.
    private let nameIndex: UnsafeMutablePointer<UInt16>
    private let nameIndexMask: Int

    /// What `decode` answers for a word that no row matches; one past the last row.
    public var noRow: Int { rows.count }

    /// - Parameters:
    ///   - text16: rows of 16-bit words, - text32: rows of 32-bit words.
    ///   - levels16: bits to decide on, in order; likewise `levels32`.
    ///   - format: prints registers, custom operands and suffixes.
    public init(fields: [Field], text16: [StaticString], levels16: [DecodeLevel], text32: [StaticString],
                levels32: [DecodeLevel], format: @escaping @Sendable (OperandStyle, UInt64) -> String) {
        self.fields = fields
        self.format = format
        var parsed = GrowingBuffer<Row>(capacity: 256)
        var groups: [(line: UnsafePointer<UInt8>, length: Int)] = []
        let index = FieldIndex(fields)
        for text in text16 { Self.parse(text, bits: 16, index, &parsed, &groups) }
        let first32 = parsed.count
        for text in text32 { Self.parse(text, bits: 32, index, &parsed, &groups) }
        index.deallocate()
        self.groups = groups

        let rowCount = parsed.count
        rows = UnsafeBufferPointer(start: parsed.elements, count: rowCount)
        tree16 = DecodeTree(rows: rows, range: 0..<first32, levels: levels16)
        tree32 = DecodeTree(rows: rows, range: first32..<rowCount, levels: levels32)

        var slots = 64
        while slots < rowCount * 2 { slots *= 2 }
        nameIndexMask = slots - 1
        nameIndex = .allocate(capacity: slots)
        nameIndex.initialize(repeating: 0, count: slots)
        for index in 0..<rowCount where !rows[index].isReserved {
            var slot = Self.hash(rows[index].line, Int(rows[index].nameLength)) & nameIndexMask
            while nameIndex[slot] != 0 { slot = (slot + 1) & nameIndexMask }
            nameIndex[slot] = UInt16(index + 1)
        }
    }

    deinit {
        rows.deallocate()
        nameIndex.deallocate()
        tree16.deallocate()
        tree32.deallocate()
    }

    /// The row of a 32-bit word, or `noRow`.
    @inlinable @inline(__always)
    public func decode32(_ word: UInt32) -> Int { tree32.decode(word) }

    /// The row of a 16-bit word, or `noRow`.
    @inlinable @inline(__always)
    public func decode16(_ word: UInt32) -> Int { tree16.decode(word) }

    /// The row called `name`, or nil.
    public func row(named name: StaticString) -> Int? {
        find(name.utf8Start, name.utf8CodeUnitCount)
    }

    /// The row called `name`, or nil.
    public func row(named name: String) -> Int? {
        var name = name
        return name.withUTF8 { bytes in bytes.baseAddress.flatMap { find($0, bytes.count) } }
    }

    private func find(_ name: UnsafePointer<UInt8>, _ length: Int) -> Int? {
        var slot = Self.hash(name, length) & nameIndexMask
        while nameIndex[slot] != 0 {
            let index = Int(nameIndex[slot]) - 1
            if Int(rows[index].nameLength) == length, equal(rows[index].line, name, length) { return index }
            slot = (slot + 1) & nameIndexMask
        }
        return nil
    }

    @inline(__always)
    private static func hash(_ bytes: UnsafePointer<UInt8>, _ length: Int) -> Int {
        var value: UInt32 = 2_166_136_261
        for index in 0..<length { value = (value ^ UInt32(bytes[index])) &* 16_777_619 }
        return Int(value ^ value >> 13)
    }

    private static func parse(_ text: StaticString, bits: Int, _ fields: FieldIndex, _ rows: inout GrowingBuffer<Row>,
                              _ groups: inout [(line: UnsafePointer<UInt8>, length: Int)]) {
        var scanner = RowScanner(position: text.utf8Start, end: text.utf8Start + text.utf8CodeUnitCount)
        let end = scanner.end
        while scanner.position < end {
            let line = scanner.position
            switch line.pointee {
            case UInt8(ascii: "\n"):
                scanner.position += 1
                continue
            case UInt8(ascii: "#"), UInt8(ascii: "@"):
                while scanner.position < end, scanner.position.pointee != UInt8(ascii: "\n") { scanner.position += 1 }
                if line.pointee == UInt8(ascii: "@") { groups.append((line, scanner.position - line)) }
                continue
            default: break
            }
            while scanner.position < end, scanner.position.pointee > UInt8(ascii: " ") { scanner.position += 1 }
            let nameLength = scanner.position - line
            guard let (mask, match) = scanner.pattern(bits: bits, fields: fields) else {
                preconditionFailure("bad bit pattern in row: "
                    + String(decoding: UnsafeBufferPointer(start: line, count: min(60, end - line)), as: UTF8.self))
            }
            while scanner.position < end, scanner.position.pointee != UInt8(ascii: "\n") { scanner.position += 1 }
            rows.append(Row(mask: mask, match: match, widthBytes: UInt8(bits / 8),
                            isReserved: nameLength == 1 && line.pointee == UInt8(ascii: "-"),
                            nameLength: UInt8(truncatingIfNeeded: nameLength),
                            lineLength: UInt16(truncatingIfNeeded: scanner.position - line),
                            group: UInt16(truncatingIfNeeded: max(0, groups.count - 1)), line: line))
        }
    }
}
