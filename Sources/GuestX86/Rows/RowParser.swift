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
//     /0 … /7  ModRM.reg, one or several     =C1  the whole ModRM byte     /r  there is a ModRM byte although no operand says so
//     mem reg  mod ≠ 3, mod = 3         i64 o64  not in 64-bit code, only there
//     W0 W1 L0 L1  REX.W or VEX.W, VEX.L      B0  REX.B = 0
// OPERANDS are operand codes (X86Operand) with commas between. TRAITS are words:
//     lock end aligned d64 f64 cpl0 protected string x87 mmx sse avx as X86Row.Flags says
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
                precondition(encoding.trait(word.packed), "bad trait in row \(Self.text(name.start, word.start + word.length))")
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

/// Packs up to eight ASCII characters as the parser does.
@inline(__always)
private func packed(_ text: StaticString) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<text.utf8CodeUnitCount { value = value << 8 | UInt64(text.utf8Start[index]) }
    return value
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
            case packed("np") where constraint.prefixes == 15 && map == .oneByte: constraint.prefixes = 1
            case packed("nr") where constraint.prefixes == 15 && map == .oneByte: constraint.prefixes = 3
            case packed("66") where constraint.prefixes == 15 && map == .oneByte:
                constraint.prefixes = 2
                flags.insert(.mandatory66)
            case packed("F3") where constraint.prefixes == 15 && map == .oneByte:
                constraint.prefixes = 4
                flags.insert(.mandatoryRepeat)
            case packed("F2") where constraint.prefixes == 15 && map == .oneByte:
                constraint.prefixes = 8
                flags.insert(.mandatoryRepeat)
            case packed("0F") where map == .oneByte: map = .map0F
            case packed("0F38"): map = .map0F38
            case packed("0F3A"): map = .map0F3A
            case packed("0F0F"): map = .threeDNow
            case packed("VEX.0F"): map = .vex0F
            case packed("VEX.0F38"): map = .vex0F38
            case packed("VEX.0F3A"): map = .vex0F3A
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
        case packed("mem"): constraint.mods = 1
        case packed("reg"): constraint.mods = 2
        case packed("i64"): constraint.modes = 1
        case packed("o64"): constraint.modes = 2
        case packed("W0"): constraint.ws = 1
        case packed("W1"): constraint.ws = 2
        case packed("L0"): constraint.ls = 1
        case packed("L1"): constraint.ls = 2
        case packed("B0"): constraint.rms = 1
        case packed("/r"): flags.insert(.modRM)
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
            default: code == packed("Ibs") ? .signedByte : immediate == .register ? .register : .byte
            }
        case .immediate2: immediate = .wordByte
        case .relative: immediate = operand.size == .byte ? .signedByte : .z
        case .farPointer: immediate = .far
        case .offset: immediate = .offset
        case .none, .fixedRegister, .one, .fixedSegment, .stringSource, .stringDestination, .fixedVector, .stackTop: break
        }
    }

    /// One word of the traits column.
    mutating func trait(_ word: UInt64) -> Bool {
        switch word {
        case packed("lock"): flags.insert(.lock)
        case packed("end"): flags.insert(.end)
        case packed("aligned"): flags.insert(.aligned)
        case packed("unaligned"): unaligned = true
        case packed("d64"): flags.insert(.default64)
        case packed("f64"): flags.insert(.forced64)
        case packed("cpl0"): flags.insert(.privileged)
        case packed("protected"): flags.insert(.protected)
        case packed("string"): flags.insert(.string)
        case packed("x87"): flags.insert(.x87)
        case packed("mmx"): flags.insert(.mmx)
        case packed("sse"): flags.insert(.sse)
        case packed("avx"): flags.insert(.avx)
        case packed("anymod"):
            flags.insert(.ignoresMod)
            constraint.mods = 3
        default: return false
        }
        return true
    }

    /// What follows from the whole.
    mutating func finish(_ operands: X86Operand...) {
        if map.isVEX {
            flags.formUnion([.vex, .protected])
            if flags.contains(.sse) {
                flags.remove(.sse)
                flags.insert(.avx)
            }
        } else if flags.contains(.sse), !unaligned {
            for operand in operands where operand.size == .x || operand.size == .octaword {
                if operand.kind == .vectorOrMemory || operand.kind == .memory { flags.insert(.aligned) }
            }
        }
        if (0xD8...0xDF).contains(opcode), map == .oneByte { flags.formUnion([.x87, .modRM]) }
    }
}

extension X86Operand {
    /// The operand of a code, its characters packed into the low bytes.
    init?(code: UInt64) {
        switch code {
        case packed("AL"): self.init(.fixedRegister, .byte)
        case packed("CL"): self.init(.fixedRegister, .byte, number: 1)
        case packed("AX"): self.init(.fixedRegister, .word)
        case packed("DX"): self.init(.fixedRegister, .word, number: 2)
        case packed("rAX"): self.init(.fixedRegister, .v)
        case packed("eAX"): self.init(.fixedRegister, .z)
        case packed("1"): self.init(.one, .byte)
        case packed("ES"): self.init(.fixedSegment, .word)
        case packed("CS"): self.init(.fixedSegment, .word, number: 1)
        case packed("SS"): self.init(.fixedSegment, .word, number: 2)
        case packed("DS"): self.init(.fixedSegment, .word, number: 3)
        case packed("FS"): self.init(.fixedSegment, .word, number: 4)
        case packed("GS"): self.init(.fixedSegment, .word, number: 5)
        case packed("XMM0"): self.init(.fixedVector, .octaword)
        case packed("ST0"): self.init(.stackTop, .tbyte)
        case packed("STi"): self.init(.stack, .tbyte)
        case packed("Ibs"): self.init(.immediate, .byte)
        case packed("Ib2"): self.init(.immediate2, .byte)
        default:
            let length = 8 - code.leadingZeroBitCount / 8
            guard (1...3).contains(length) else { return nil }
            let letter = UInt8(truncatingIfNeeded: code >> UInt64((length - 1) * 8))
            let rest = code & (1 << UInt64((length - 1) * 8) - 1)
            guard let kind = Kind(letter: letter), let size = Size(letters: rest) else { return nil }
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
    fileprivate init?(letters: UInt64) {
        switch letters {
        case 0: self = .none
        case packed("b"): self = .byte
        case packed("w"): self = .word
        case packed("d"), packed("ss"): self = .dword
        case packed("q"), packed("sd"): self = .qword
        case packed("t"): self = .tbyte
        case packed("dq"): self = .octaword
        case packed("qq"): self = .wide
        case packed("v"): self = .v
        case packed("z"): self = .z
        case packed("y"): self = .y
        case packed("n"): self = .native
        case packed("x"), packed("ps"), packed("pd"): self = .x
        case packed("h"): self = .half
        case packed("f"): self = .quarter
        case packed("e"): self = .eighth
        case packed("p"): self = .far
        case packed("a"): self = .bounds
        case packed("s"): self = .pseudoDescriptor
        case packed("db"): self = .dwordOrByte
        case packed("dw"): self = .dwordOrWord
        case packed("vw"): self = .vOrWord
        default: return nil
        }
    }
}
