// The row grammar for instruction sets of fixed words.
//
// An instruction set is a text. Each line is one of
//     @ EXTENSION TITLE               the rows below belong to EXTENSION; TITLE is the section of the manual
//     NAME PATTERN ; OPERANDS ; TRAITS
//     # comment, or an empty line
// PATTERN is the word from its highest bit to its lowest, as the manual draws it: groups of 0 and 1, and field names,
// separated by spaces. A field whose bits are scattered is written with the slices of its value, `imm[12,10:5]`.
// OPERANDS is the assembly form: field names are replaced by their values, everything else is copied. TRAITS are words.
// NAME `-` marks words that look like a later row but are reserved. The first row that matches a word wins.
//
// Parsing at start touches name and pattern only; operands and traits are looked at when somebody asks.

/// One row: which words it matches and where its text lies.
public struct Row: @unchecked Sendable {
    /// Bits of the word that are fixed.
    public let mask: UInt32
    /// Their values.
    public let match: UInt32
    /// Width of the word.
    public let widthBytes: UInt8
    /// True for words that are reserved by the manual.
    public let isReserved: Bool
    let nameLength: UInt8
    let lineLength: UInt16
    /// Index into `InstructionSet.groups`.
    let group: UInt16
    // SAFETY: points into a StaticString, which lives as long as the process.
    let line: UnsafePointer<UInt8>
}

/// A byte cursor over one text of rows.
struct RowScanner {
    // SAFETY: `position` stays within [start, end) of a StaticString; every read is behind a comparison with `end`.
    var position: UnsafePointer<UInt8>
    let end: UnsafePointer<UInt8>

    /// Parses a pattern, which ends at `;` or at the end of the line. Returns nil when it does not add up to `bits`.
    mutating func pattern(bits: Int, fields: FieldIndex) -> (mask: UInt32, match: UInt32)? {
        var mask: UInt64 = 0, match: UInt64 = 0
        var width = 0
        while position < end, position.pointee != UInt8(ascii: ";"), position.pointee != UInt8(ascii: "\n") {
            let byte = position.pointee
            if byte == UInt8(ascii: " ") {
                position += 1
            } else if byte == UInt8(ascii: "0") || byte == UInt8(ascii: "1") {
                mask = mask << 1 | 1
                match = match << 1 | UInt64(byte & 1)
                width += 1
                position += 1
            } else {
                guard let length = fieldWidth(fields) else { return nil }
                mask <<= UInt64(length)
                match <<= UInt64(length)
                width += length
            }
            if width > bits { return nil }
        }
        guard width == bits else { return nil }
        return (UInt32(truncatingIfNeeded: mask), UInt32(truncatingIfNeeded: match))
    }

    /// Consumes a field name with its slices and returns its width in bits.
    private mutating func fieldWidth(_ fields: FieldIndex) -> Int? {
        let name = position
        skipName()
        let length = position - name
        if position < end, position.pointee == UInt8(ascii: "[") {
            var width = 0
            slices { width += $1 }
            return width
        }
        return length > 0 ? fields.width(name, length) : nil
    }

    /// Moves past a field name.
    mutating func skipName() {
        while position < end, isNameByte(position.pointee) { position += 1 }
    }

    /// Consumes `[12,10:5]`, reporting (lowest value bit, length) of each slice from the left.
    @inline(__always)
    mutating func slices(_ body: (_ valueBit: Int, _ length: Int) -> Void) {
        position += 1
        while position < end, position.pointee != UInt8(ascii: "]") {
            let high = number()
            var low = high
            if position < end, position.pointee == UInt8(ascii: ":") {
                position += 1
                low = number()
            }
            if high >= low { body(low, high - low + 1) }
            if position < end, position.pointee == UInt8(ascii: ",") { position += 1 }
        }
        if position < end { position += 1 }
    }

    private mutating func number() -> Int {
        var value = 0
        while position < end, case let digit = position.pointee &- UInt8(ascii: "0"), digit < 10 {
            value = (value &* 10 &+ Int(digit)) & 63
            position += 1
        }
        return value
    }
}

/// True for the bytes field names are made of.
func isNameByte(_ byte: UInt8) -> Bool {
    byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z") || byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
        || byte == UInt8(ascii: "'")
}

@inline(__always)
func equal(_ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>, _ length: Int) -> Bool {
    var index = 0
    while index < length {
        if a[index] != b[index] { return false }
        index += 1
    }
    return true
}

/// Finds the width of a field by its name: chains of the fields that share first letter and length.
struct FieldIndex {
    private struct Entry {
        let name: UnsafePointer<UInt8>
        let length: Int
        let width: Int
        let next: Int
    }
    private static let slots = 128
    // SAFETY: `entries` has one element per field and `heads` has `slots`; both live until `deallocate`.
    private let entries: UnsafeMutablePointer<Entry>
    private let heads: UnsafeMutablePointer<Int>

    init(_ fields: [Field]) {
        entries = .allocate(capacity: max(1, fields.count))
        heads = .allocate(capacity: Self.slots)
        heads.initialize(repeating: -1, count: Self.slots)
        for (index, field) in fields.enumerated() {
            let name = field.name.utf8Start, length = field.name.utf8CodeUnitCount
            let slot = Self.slot(name, length)
            (entries + index).initialize(to: Entry(name: name, length: length, width: field.width, next: heads[slot]))
            heads[slot] = index
        }
    }

    func deallocate() {
        entries.deallocate()
        heads.deallocate()
    }

    @inline(__always)
    private static func slot(_ name: UnsafePointer<UInt8>, _ length: Int) -> Int {
        Int(name.pointee & 31) << 2 | length & 3
    }

    func width(_ name: UnsafePointer<UInt8>, _ length: Int) -> Int? {
        var index = heads[Self.slot(name, length)]
        while index >= 0 {
            let entry = entries[index]
            if entry.length == length, equal(entry.name, name, length) { return entry.width }
            index = entry.next
        }
        return nil
    }
}
