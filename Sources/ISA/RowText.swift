// What the rest of a row says: name, extension, operands, traits, fields. Looked at by the disassembler, by tests and by
// generators of random instructions, never while translating.

extension InstructionSet {
    /// The name of a row.
    public func name(_ row: Int) -> String {
        guard row < rows.count else { return "illegal" }
        return String(decoding: UnsafeBufferPointer(start: rows[row].line, count: Int(rows[row].nameLength)),
                      as: UTF8.self)
    }

    /// The extension a row belongs to, as its `@` line says.
    public func extensionName(_ row: Int) -> String {
        groupWords(row).first.map(String.init) ?? ""
    }

    /// The section of the manual a row comes from.
    public func section(_ row: Int) -> String {
        groupWords(row).dropFirst().joined(separator: " ")
    }

    private func groupWords(_ row: Int) -> [Substring] {
        guard row < rows.count, Int(rows[row].group) < groups.count else { return [] }
        let group = groups[Int(rows[row].group)]
        let text = String(decoding: UnsafeBufferPointer(start: group.line, count: group.length), as: UTF8.self)
        return text.dropFirst().split(separator: " ")
    }

    /// The columns of a row after its name: pattern, operands, traits.
    private func columns(_ row: Int) -> [Substring] {
        guard row < rows.count else { return [] }
        let skipped = Int(rows[row].nameLength)
        let text = String(decoding: UnsafeBufferPointer(start: rows[row].line + skipped,
                                                        count: Int(rows[row].lineLength) - skipped), as: UTF8.self)
        return text.split(separator: ";", omittingEmptySubsequences: false)
    }

    /// The operand template of a row.
    public func operands(_ row: Int) -> String {
        let columns = columns(row)
        return columns.count > 1 ? columns[1].filter { $0 != " " } : ""
    }

    /// The traits of a row.
    public func traits(_ row: Int) -> [String] {
        let columns = columns(row)
        return columns.count > 2 ? columns[2].split(separator: " ").map(String.init) : []
    }

    /// The fields of a row with their places in the word.
    public func layout(_ row: Int) -> [FieldLayout] {
        guard row < rows.count else { return [] }
        let entry = rows[row]
        var scanner = RowScanner(position: entry.line + Int(entry.nameLength), end: entry.line + Int(entry.lineLength))
        var layouts: [FieldLayout] = []
        var bit = Int(entry.widthBytes) * 8
        while scanner.position < scanner.end, scanner.position.pointee != UInt8(ascii: ";") {
            let byte = scanner.position.pointee
            if byte == UInt8(ascii: " ") || byte == UInt8(ascii: "0") || byte == UInt8(ascii: "1") {
                if byte != UInt8(ascii: " ") { bit -= 1 }
                scanner.position += 1
                continue
            }
            let start = scanner.position
            scanner.skipName()
            let length = scanner.position - start
            guard length > 0, let field = fields.first(where: {
                $0.name.utf8CodeUnitCount == length && equal($0.name.utf8Start, start, length)
            }) else { return layouts }
            var pieces: [FieldLayout.Piece] = []
            if scanner.position < scanner.end, scanner.position.pointee == UInt8(ascii: "[") {
                scanner.slices { valueBit, length in
                    bit -= length
                    pieces.append(.init(wordBit: bit, valueBit: valueBit, length: length))
                }
            } else {
                bit -= field.width
                pieces.append(.init(wordBit: bit, valueBit: 0, length: field.width))
            }
            if let known = layouts.firstIndex(where: { $0.field.name.description == field.name.description }) {
                layouts[known].pieces += pieces
            } else {
                layouts.append(FieldLayout(field: field, pieces: pieces))
            }
        }
        return layouts
    }

    /// The word of a row with the given field values; fields not given are zero.
    public func encode(_ row: Int, _ values: [String: UInt64]) -> UInt32 {
        guard row < rows.count else { return 0 }
        var word = rows[row].match
        for layout in layout(row) {
            if let value = values[layout.field.name.description] { word = layout.insert(value, into: word) }
        }
        return word
    }

    /// A word of a row whose free bits are random. An earlier row may still claim it.
    public func randomWord(_ row: Int, using generator: inout some RandomNumberGenerator) -> UInt32 {
        let width: UInt32 = rows[row].widthBytes == 2 ? 0xFFFF : .max
        return rows[row].match | UInt32.random(in: 0 ... .max, using: &generator) & ~rows[row].mask & width
    }
}
