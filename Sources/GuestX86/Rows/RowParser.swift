// The row grammar for x86: opcode maps in the manual's dialect.
//
// The instruction set is a text. Each line is one of
//     @ FEATURE TITLE                    the rows below need FEATURE (X86Feature); TITLE is for the reader
//     NAME ENCODING ; OPERANDS ; TRAITS
//     # comment, or an empty line
// ENCODING is [PREFIX] [MAP] OPCODE and restrictions, in this order:
//     PREFIX   np 66 F3 F2: the mandatory prefix; nr: none or 66, which then is the operand size; absent: any
//     MAP      0F 0F38 0F3A 0F0F (3DNow!, opcode is the suffix) VEX.0F VEX.0F38 VEX.0F3A; absent: one byte
//     OPCODE   two hexadecimal digits, or a range 40..4F
//     /0 … /7  ModRM.reg, one or several     =C1  the whole ModRM byte
//     /r  there is a ModRM byte although no operand says so
//     mem reg  mod ≠ 3, mod = 3         i64 o64  not in 64-bit code, only there
//     W0 W1 L0 L1  REX.W or VEX.W, VEX.L      B0  REX.B = 0
// OPERANDS are operand codes (X86Operand) with commas between. TRAITS are words:
//     lock end aligned d64 f64 cpl0 ring0 protected string x87 mmx sse avx as X86Row.Flags says
//     unaligned   against the rule that legacy SSE memory operands of 16 bytes are aligned
//     anymod      MOV CR and DR: mod does not matter
// The first row that matches wins. A bad row is a bug of ours: precondition.

/// A cursor over the text of rows.
struct RowParser {
    // SAFETY: `position` stays within [start, end) of a StaticString; every read is behind a comparison with `end`.
    private var position: UnsafePointer<UInt8>
    private let end: UnsafePointer<UInt8>
    private var feature = X86Feature.i386

    init(_ text: StaticString) {
        position = text.utf8Start
        end = position + text.utf8CodeUnitCount
    }

    private static let space = UInt8(ascii: " "), newline = UInt8(ascii: "\n"), semicolon = UInt8(ascii: ";")

    /// The next row, or nil at the end of the text.
    mutating func next() -> X86Row? {
        while position < end {
            switch position.pointee {
            case Self.newline: position += 1
            case UInt8(ascii: "#"): skipLine()
            case UInt8(ascii: "@"):
                position += 1
                let word = self.word()
                guard let word, let feature = X86Feature(word.start, word.length) else {
                    preconditionFailure("no feature is called so")
                }
                self.feature = feature
                skipLine()
            default: return row()
            }
        }
        return nil
    }

    private mutating func skipLine() {
        while position < end, position.pointee != Self.newline { position += 1 }
    }

    /// The next word of the column, or nil at its end.
    @inline(__always)
    private mutating func word() -> (start: UnsafePointer<UInt8>, length: Int, packed: UInt64)? {
        while position < end, position.pointee == Self.space { position += 1 }
        let start = position
        var packed: UInt64 = 0
        while position < end, case let byte = position.pointee, byte > Self.space, byte != Self.semicolon {
            packed = packed << 8 | UInt64(byte)
            position += 1
        }
        return position == start ? nil : (start, position - start, packed)
    }

    /// Moves past the `;` before the next column; false at the end of the line.
    private mutating func nextColumn() -> Bool {
        while position < end, position.pointee == Self.space { position += 1 }
        guard position < end, position.pointee == Self.semicolon else { return false }
        position += 1
        return true
    }

    private mutating func row() -> X86Row {
        guard let name = word() else { preconditionFailure("a row begins with a blank") }
        var encoding = Encoding()
        while let word = word() {
            precondition(encoding.take(word.start, word.length, word.packed),
                         "bad encoding in row \(Self.text(name.start, word.start + word.length))")
        }
        var operands = [4 of X86Operand](repeating: .none)
        var count = 0
        if nextColumn(), let codes = word() {
            var code: UInt64 = 0
            for index in 0...codes.length {
                let byte = index < codes.length ? codes.start[index] : UInt8(ascii: ",")
                if byte != UInt8(ascii: ",") {
                    code = code << 8 | UInt64(byte)
                    continue
                }
                guard let operand = X86Operand(code: code), count < 4 else {
                    preconditionFailure("bad operands in row \(Self.text(name.start, codes.start + codes.length))")
                }
                operands[count] = operand
                encoding.use(operand, code: code)
                count += 1
                code = 0
            }
        }
        if nextColumn() {
            while let word = word() {
                precondition(encoding.trait(word.packed),
                             "bad trait in row \(Self.text(name.start, word.start + word.length))")
            }
        }
        encoding.finish(operands[0], operands[1], operands[2])
        return X86Row(operands: (operands[0], operands[1], operands[2], operands[3]), feature: feature,
                      immediate: encoding.immediate, flags: encoding.flags, map: encoding.map,
                      opcode: encoding.opcode, lastOpcode: encoding.lastOpcode, constraint: encoding.constraint,
                      nameLength: UInt8(truncatingIfNeeded: name.length), text: name.start)
    }

    private static func text(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> String {
        String(decoding: UnsafeBufferPointer(start: start, count: end - start), as: UTF8.self)
    }
}

/// The last eight characters of a word, packed as the parser does it. Takes scalars because the compiler folds them
/// to a constant, and strings not.
@inline(__always)
private func letters(_ a: Unicode.Scalar, _ b: Unicode.Scalar = "\0", _ c: Unicode.Scalar = "\0",
                     _ d: Unicode.Scalar = "\0", _ e: Unicode.Scalar = "\0",
                     _ f: Unicode.Scalar = "\0", _ g: Unicode.Scalar = "\0",
                     _ h: Unicode.Scalar = "\0", _ i: Unicode.Scalar = "\0") -> UInt64 {
    @inline(__always) func append(_ value: UInt64, _ scalar: Unicode.Scalar) -> UInt64 {
        scalar.value == 0 ? value : value << 8 | UInt64(scalar.value)
    }
    return append(append(append(append(append(append(append(append(UInt64(a.value), b), c), d), e), f), g), h), i)
}

/// What the columns of a row add up to.
private struct Encoding {
    var map = X86Row.OpcodeMap.oneByte
    var opcode: UInt8 = 0, lastOpcode: UInt8 = 0
    var constraint = X86Row.Constraint()
    var immediate = X86Row.ImmediateForm.none
    var flags: X86Row.Flags = []
    private var hasOpcode = false, unaligned = false

    /// One word of the encoding column.
    mutating func take(_ start: UnsafePointer<UInt8>, _ length: Int, _ word: UInt64) -> Bool {
        if !hasOpcode {
            switch word {
            case letters("n", "p") where constraint.prefixes == 15 && map == .oneByte: constraint.prefixes = 1
            case letters("n", "r") where constraint.prefixes == 15 && map == .oneByte: constraint.prefixes = 3
            case letters("6", "6") where constraint.prefixes == 15 && map == .oneByte:
                constraint.prefixes = 2
                flags.insert(.mandatory66)
            case letters("F", "3") where constraint.prefixes == 15 && map == .oneByte:
                constraint.prefixes = 4
                flags.insert(.mandatoryRepeat)
            case letters("F", "2") where constraint.prefixes == 15 && map == .oneByte:
                constraint.prefixes = 8
                flags.insert(.mandatoryRepeat)
            case letters("0", "F") where map == .oneByte: map = .map0F
            case letters("0", "F", "3", "8"): map = .map0F38
            case letters("0", "F", "3", "A"): map = .map0F3A
            case letters("0", "F", "0", "F"): map = .threeDNow
            case letters("V", "E", "X", ".", "0", "F"): map = .vex0F
            case letters("V", "E", "X", ".", "0", "F", "3", "8"): map = .vex0F38
            case letters("V", "E", "X", ".", "0", "F", "3", "A"): map = .vex0F3A
            default:
                guard length == 2 || length == 6, let first = Self.byte(start) else { return false }
                opcode = first
                lastOpcode = first
                if length == 6 {
                    guard let last = Self.byte(start + 4) else { return false }
                    lastOpcode = last
                }
                hasOpcode = true
            }
            return true
        }
        switch word {
        case letters("m", "e", "m"): constraint.mods = 1
        case letters("r", "e", "g"): constraint.mods = 2
        case letters("i", "6", "4"): constraint.modes = 1
        case letters("o", "6", "4"): constraint.modes = 2
        case letters("W", "0"): constraint.ws = 1
        case letters("W", "1"): constraint.ws = 2
        case letters("L", "0"): constraint.ls = 1
        case letters("L", "1"): constraint.ls = 2
        case letters("B", "0"): constraint.rms = 1
        case letters("/", "r"): flags.insert(.modRM)
        default:
            if length == 2, start[0] == UInt8(ascii: "/"), case let digit = start[1] &- UInt8(ascii: "0"), digit < 8 {
                constraint.regs = constraint.regs == 0xFF ? 1 << digit : constraint.regs | 1 << digit
            } else if length == 3, start[0] == UInt8(ascii: "="), let byte = Self.byte(start + 1), byte >= 0xC0 {
                constraint.mods = 2
                constraint.regs = 1 << (byte >> 3 & 7)
                constraint.rms = 1 << (byte & 7)
            } else {
                return false
            }
            flags.insert(.modRM)
        }
        return true
    }

    private static func byte(_ start: UnsafePointer<UInt8>) -> UInt8? {
        func digit(_ character: UInt8) -> UInt8? {
            switch character {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
            case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
            default: nil
            }
        }
        guard let high = digit(start[0]), let low = digit(start[1]) else { return nil }
        return high << 4 | low
    }

    /// What an operand says about the encoding.
    mutating func use(_ operand: X86Operand, code: UInt64) {
        switch operand.kind {
        case .registerOrMemory, .register, .control, .debug: flags.insert(.modRM)
        case .segment: flags.formUnion([.modRM, .narrowReg])
        case .stack: flags.formUnion([.modRM, .narrowRM])
        case .memory:
            flags.insert(.modRM)
            constraint.mods = 1
        case .vectorIndexed:
            flags.formUnion([.modRM, .vectorIndexed])
            constraint.mods = 1
        case .rmRegister:
            flags.insert(.modRM)
            constraint.mods = 2
        case .rmMMX:
            flags.formUnion([.modRM, .mmx, .narrowRM])
            constraint.mods = 2
        case .rmVector:
            flags.formUnion([.modRM, .sse])
            constraint.mods = 2
        case .vector, .vectorOrMemory: flags.formUnion([.modRM, .sse])
        case .mmx: flags.formUnion([.modRM, .mmx, .narrowReg])
        case .mmxOrMemory: flags.formUnion([.modRM, .mmx, .narrowRM])
        case .vexRegister, .vexVector: flags.insert(.vvvv)
        case .immediateVector: immediate = .register
        case .opcodeRegister: flags.insert(.opcodeRegister)
        case .immediate:
            immediate = switch operand.size {
            case .word: .word
            case .z: .z
            case .v: .v
            default: code == letters("I", "b", "s") ? .signedByte : immediate == .register ? .register : .byte
            }
        case .immediate2: immediate = .wordByte
        case .relative: immediate = operand.size == .byte ? .signedByte : .z
        case .farPointer: immediate = .far
        case .offset: immediate = .offset
        case .none, .fixedRegister, .one, .fixedSegment, .stringSource, .stringDestination, .fixedVector, .stackTop:
            break
        }
    }

    /// One word of the traits column.
    mutating func trait(_ word: UInt64) -> Bool {
        switch word {
        case letters("l", "o", "c", "k"): flags.insert(.lock)
        case letters("e", "n", "d"): flags.insert(.end)
        case letters("a", "l", "i", "g", "n", "e", "d"): flags.insert(.aligned)
        case letters("u", "n", "a", "l", "i", "g", "n", "e", "d"): unaligned = true
        case letters("d", "6", "4"): flags.insert(.default64)
        case letters("f", "6", "4"): flags.insert(.forced64)
        case letters("c", "p", "l", "0"): flags.insert(.privileged)
        case letters("r", "i", "n", "g", "0"): flags.insert(.undefinedOutsideRing0)
        case letters("p", "r", "o", "t", "e", "c", "t", "e", "d"): flags.insert(.protected)
        case letters("s", "t", "r", "i", "n", "g"): flags.insert(.string)
        case letters("x", "8", "7"): flags.insert(.x87)
        case letters("m", "m", "x"): flags.insert(.mmx)
        case letters("s", "s", "e"): flags.insert(.sse)
        case letters("a", "v", "x"): flags.insert(.avx)
        case letters("a", "n", "y", "m", "o", "d"):
            flags.insert(.ignoresMod)
            constraint.mods = 3
        default: return false
        }
        return true
    }

    /// What follows from the whole.
    mutating func finish(_ a: X86Operand, _ b: X86Operand, _ c: X86Operand) {
        if map.isVEX {
            flags.formUnion([.vex, .protected])
            if flags.contains(.sse) {
                flags.remove(.sse)
                flags.insert(.avx)
            }
        } else if flags.contains(.sse), !unaligned,
                  Self.isWholeVector(a) || Self.isWholeVector(b) || Self.isWholeVector(c) {
            flags.insert(.aligned)
        }
        if (0xD8...0xDF).contains(opcode), map == .oneByte { flags.formUnion([.x87, .modRM]) }
    }

    private static func isWholeVector(_ operand: X86Operand) -> Bool {
        (operand.size == .x || operand.size == .octaword)
            && (operand.kind == .vectorOrMemory || operand.kind == .memory)
    }
}

extension X86Operand {
    /// The operand of a code, its characters packed into the low bytes.
    init?(code: UInt64) {
        switch code {
        case letters("A", "L"): self.init(.fixedRegister, .byte)
        case letters("C", "L"): self.init(.fixedRegister, .byte, number: 1)
        case letters("A", "X"): self.init(.fixedRegister, .word)
        case letters("D", "X"): self.init(.fixedRegister, .word, number: 2)
        case letters("r", "A", "X"): self.init(.fixedRegister, .v)
        case letters("e", "A", "X"): self.init(.fixedRegister, .z)
        case letters("1"): self.init(.one, .byte)
        case letters("E", "S"): self.init(.fixedSegment, .word)
        case letters("C", "S"): self.init(.fixedSegment, .word, number: 1)
        case letters("S", "S"): self.init(.fixedSegment, .word, number: 2)
        case letters("D", "S"): self.init(.fixedSegment, .word, number: 3)
        case letters("F", "S"): self.init(.fixedSegment, .word, number: 4)
        case letters("G", "S"): self.init(.fixedSegment, .word, number: 5)
        case letters("X", "M", "M", "0"): self.init(.fixedVector, .octaword)
        case letters("S", "T", "0"): self.init(.stackTop, .tbyte)
        case letters("S", "T", "i"): self.init(.stack, .tbyte)
        case letters("I", "b", "s"): self.init(.immediate, .byte)
        case letters("I", "b", "2"): self.init(.immediate2, .byte)
        default:
            let length = 8 - code.leadingZeroBitCount / 8
            guard (1...3).contains(length) else { return nil }
            let letter = UInt8(truncatingIfNeeded: code >> UInt64((length - 1) * 8))
            let rest = code & (1 << UInt64((length - 1) * 8) - 1)
            guard let kind = Kind(letter: letter), let size = Size(suffix: rest) else { return nil }
            self.init(kind, size)
        }
    }
}

extension X86Operand.Kind {
    fileprivate init?(letter: UInt8) {
        switch letter {
        case UInt8(ascii: "A"): self = .farPointer
        case UInt8(ascii: "B"): self = .vexRegister
        case UInt8(ascii: "C"): self = .control
        case UInt8(ascii: "D"): self = .debug
        case UInt8(ascii: "E"): self = .registerOrMemory
        case UInt8(ascii: "G"): self = .register
        case UInt8(ascii: "H"): self = .vexVector
        case UInt8(ascii: "I"): self = .immediate
        case UInt8(ascii: "J"): self = .relative
        case UInt8(ascii: "K"): self = .vectorIndexed
        case UInt8(ascii: "L"): self = .immediateVector
        case UInt8(ascii: "M"): self = .memory
        case UInt8(ascii: "N"): self = .rmMMX
        case UInt8(ascii: "O"): self = .offset
        case UInt8(ascii: "P"): self = .mmx
        case UInt8(ascii: "Q"): self = .mmxOrMemory
        case UInt8(ascii: "R"): self = .rmRegister
        case UInt8(ascii: "S"): self = .segment
        case UInt8(ascii: "U"): self = .rmVector
        case UInt8(ascii: "V"): self = .vector
        case UInt8(ascii: "W"): self = .vectorOrMemory
        case UInt8(ascii: "X"): self = .stringSource
        case UInt8(ascii: "Y"): self = .stringDestination
        case UInt8(ascii: "Z"): self = .opcodeRegister
        default: return nil
        }
    }
}

extension X86Operand.Size {
    fileprivate init?(suffix: UInt64) {
        switch suffix {
        case 0: self = .none
        case letters("b"): self = .byte
        case letters("w"): self = .word
        case letters("d"), letters("s", "s"): self = .dword
        case letters("q"), letters("s", "d"): self = .qword
        case letters("t"): self = .tbyte
        case letters("d", "q"): self = .octaword
        case letters("q", "q"): self = .wide
        case letters("v"): self = .v
        case letters("z"): self = .z
        case letters("y"): self = .y
        case letters("n"): self = .native
        case letters("x"), letters("p", "s"), letters("p", "d"): self = .x
        case letters("h"): self = .half
        case letters("f"): self = .quarter
        case letters("e"): self = .eighth
        case letters("p"): self = .far
        case letters("a"): self = .bounds
        case letters("s"): self = .pseudoDescriptor
        case letters("d", "b"): self = .dwordOrByte
        case letters("d", "w"): self = .dwordOrWord
        case letters("v", "w"): self = .vOrWord
        default: return nil
        }
    }
}
