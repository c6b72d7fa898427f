// Fields: the named parts of an instruction word, and how the disassembler prints them.

/// How an operand is printed.
public enum OperandStyle: Equatable, Sendable {
    /// Number of a register of file `file`, counted from `first` (formatted by the front).
    case register(file: UInt8, first: UInt8)
    /// Two's complement decimal; the highest bit of the field is the sign.
    case signed
    case unsigned
    /// Signed distance from the address of the instruction, printed as the target.
    case relative
    /// Formatted by the front.
    case custom(UInt8)
    /// Formatted by the front and appended to the name of the instruction.
    case suffix(UInt8)
    /// Not an operand: the bits are ignored by the instruction.
    case ignored
}

/// A field that rows may name in their bit patterns.
public struct Field: Sendable {
    public let name: StaticString
    /// Width in bits where the row gives no bit slices.
    public let width: Int
    /// How it is printed.
    public let style: OperandStyle
    public init(_ name: StaticString, _ width: Int, _ style: OperandStyle) {
        self.name = name
        self.width = width
        self.style = style
    }
}

/// A field as it lies in one row: pieces of the word that together form a value.
public struct FieldLayout: Sendable {
    /// `length` bits of the word from bit `wordBit` up are the bits of the value from `valueBit` up.
    public struct Piece: Sendable {
        public let wordBit: Int, valueBit: Int, length: Int
    }
    /// The field itself.
    public let field: Field
    /// Where its bits are.
    public internal(set) var pieces: [Piece]

    /// Number of bits of the value, low bits without a piece included.
    public var valueBits: Int { pieces.reduce(0) { max($0, $1.valueBit + $1.length) } }

    /// Bits of the word that belong to the field.
    public var wordMask: UInt32 {
        pieces.reduce(0) { $0 | (UInt32(truncatingIfNeeded: (UInt64(1) << $1.length) - 1) << $1.wordBit) }
    }

    /// The field's value in `word`, zero-extended.
    public func extract(_ word: UInt32) -> UInt64 {
        pieces.reduce(0) {
            $0 | (UInt64(word) >> $1.wordBit & ((1 << $1.length) - 1)) << $1.valueBit
        }
    }

    /// As `extract`, sign-extended from the highest bit of the field.
    public func extractSigned(_ word: UInt32) -> Int64 {
        let shift = UInt64(64 - valueBits)
        return Int64(bitPattern: extract(word) << shift) >> Int64(shift)
    }

    /// `word` with the field replaced by the low bits of `value`.
    public func insert(_ value: UInt64, into word: UInt32) -> UInt32 {
        var result = word & ~wordMask
        for piece in pieces {
            let bits = value >> piece.valueBit & ((1 << piece.length) - 1)
            result |= UInt32(truncatingIfNeeded: bits << piece.wordBit)
        }
        return result
    }
}
