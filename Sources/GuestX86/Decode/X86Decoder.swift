// The decoder: bytes to X86Instruction, by tables built from the rows.
//
// Spec: Intel SDM Volume 2, chapter 2; AMD APM Volume 3, chapter 1.

/// What the decoder says about bytes.
public enum DecodeOutcome: Equatable, Sendable {
    case decoded
    /// The instruction has at least this many bytes (1…15) and they are not all there.
    case needsMoreBytes(Int)
    /// #UD. The bytes looked at so far are all that the processor needs to know.
    case undefined
    /// #GP(0): longer than 15 bytes.
    case tooLong
}

/// Decodes instructions of one processor model. Safe to share between threads.
public final class X86Decoder: @unchecked Sendable {
    private let tables: DecodeTables
    // SAFETY: `rows` is the storage of InstructionTable, which is never freed. `prefixes` has 256 elements, freed by
    // deinit.
    private let rows: UnsafePointer<X86Row>
    private let prefixes: UnsafeMutablePointer<Prefix>

    private enum Prefix: UInt8 { case none, rex, operandSize, addressSize, lock, repeatNotEqual, repeatEqual, segment }

    private static let maximumLength = 15

    /// Builds the tables in some tens of microseconds.
    /// - Parameter features: rows of other features are undefined, or give way to the row that the opcode had before.
    public init(features: X86FeatureSet = .all) {
        rows = InstructionTable.rows.baseAddress!
        tables = DecodeTables(InstructionTable.rows) { row in
            features.contains(row.feature)
                // VEX forms of older instructions need AVX as well; those on general registers do not.
                && (!row.flags.contains(.avx) || features.contains(.avx))
                && (row.feature != .cmov || !row.flags.contains(.x87) || features.contains(.x87))
        }
        prefixes = .allocate(capacity: 256)
        prefixes.initialize(repeating: .none, count: 256)
        for byte in 0x40...0x4F { prefixes[byte] = .rex }
        for byte in [0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65] { prefixes[byte] = .segment }
        prefixes[0x66] = .operandSize
        prefixes[0x67] = .addressSize
        prefixes[0xF0] = .lock
        prefixes[0xF2] = .repeatNotEqual
        prefixes[0xF3] = .repeatEqual
    }

    deinit {
        tables.deallocate()
        prefixes.deallocate()
    }

    /// Decodes the instruction at `bytes`.
    /// - Parameters:
    ///   - available: bytes that may be read, from 0 on; more than 15 are never looked at.
    ///   - into: filled when the outcome is `decoded`; otherwise its `length` is the number of bytes looked at.
    public func decode(_ bytes: UnsafePointer<UInt8>, available: Int, codeSize: Mode.CodeSize,
                       into i: inout X86Instruction) -> DecodeOutcome {
        i = X86Instruction()
        let limit = min(available, Self.maximumLength)
        let is64 = codeSize == .bits64
        var at = 0
        var rex: UInt8 = 0
        var byte: UInt8 = 0

        // Prefixes. A REX prefix counts only right before the opcode.
        prefixes: while true {
            guard at < limit else { return Self.short(at + 1, &i) }
            byte = bytes[at]
            at &+= 1
            switch prefixes[Int(byte)] {
            case .none: break prefixes
            case .rex:
                if !is64 { break prefixes }
                rex = byte
                continue prefixes
            case .operandSize: i.hasOperandSizePrefix = true
            case .addressSize: i.addressSize = 4
            case .lock: i.hasLock = true
            case .repeatEqual:
                i.hasRep = true
                i.hasRepne = false
            case .repeatNotEqual:
                i.hasRepne = true
                i.hasRep = false
            case .segment:
                // ES CS SS DS mean nothing in 64-bit code.
                if byte >= 0x60 { i.segment = Int8(truncatingIfNeeded: byte &- 0x60) }
                else if !is64 { i.segment = Int8(truncatingIfNeeded: byte >> 3 & 3) }
            }
            rex = 0
        }

        // Opcode and map. `extend` has the REX bits W R X B in their places, whatever prefix brought them.
        var map = X86Row.OpcodeMap.oneByte
        var extend = rex & 0xF
        var prefix = i.hasRepne ? 3 : i.hasRep ? 2 : i.hasOperandSizePrefix ? 1 : 0
        var l = 0
        i.hasREX = rex != 0
        if byte == 0x0F {
            guard at < limit else { return Self.short(at + 1, &i) }
            byte = bytes[at]
            at &+= 1
            map = .map0F
            if byte == 0x38 || byte == 0x3A {
                map = byte == 0x38 ? .map0F38 : .map0F3A
                guard at < limit else { return Self.short(at + 1, &i) }
                byte = bytes[at]
                at &+= 1
            } else if byte == 0x0F {
                map = .threeDNow
            }
        } else if byte == 0xC4 || byte == 0xC5 {
            guard at < limit || is64 else { return Self.short(at + 1, &i) }
            if is64 || bytes[at] >= 0xC0 {
                if i.hasREX || i.hasLock || i.hasRep || i.hasRepne || i.hasOperandSizePrefix {
                    return Self.undefined(at, &i)
                }
                let isLong = byte == 0xC4
                guard at &+ (isLong ? 2 : 1) < limit else { return Self.short(at &+ (isLong ? 3 : 2), &i) }
                var last = bytes[at]
                extend = ~last >> 5 & 4
                map = .vex0F
                at &+= 1
                if isLong {
                    switch last & 0x1F {
                    case 1: break
                    case 2: map = .vex0F38
                    case 3: map = .vex0F3A
                    default: return Self.undefined(at, &i)
                    }
                    extend = ~last >> 5 & 7
                    last = bytes[at]
                    at &+= 1
                    extend |= last >> 4 & 8
                }
                prefix = Int(last & 3)
                l = Int(last >> 2 & 1)
                i.vvvv = ~last >> 3 & 0xF
                if !is64 {
                    // Eight registers; R and X are 1 for being VEX at all, B and vvvv[3] are ignored.
                    extend &= 8
                    i.vvvv &= 7
                }
                i.isVEX = true
                i.l = l != 0
                byte = bytes[at]
                at &+= 1
            }
        }
        i.w = extend & 8 != 0
        i.opcode = byte

        let entry = tables.entry(is64: is64, map: Int(map.rawValue), opcode: byte)
        var key = prefix | Int(extend & 8) << (DecodeKey.w - 3) | l << DecodeKey.l
        // Address size before ModRM, which is read by it; 4 stands for a prefix so far.
        let has67 = i.addressSize == 4
        switch codeSize {
        case .bits64: i.addressSize = has67 ? 4 : 8
        case .bits32: i.addressSize = has67 ? 2 : 4
        case .bits16: i.addressSize = has67 ? 4 : 2
        }
        if map == .threeDNow { return decode3DNow(bytes, at, limit, is64, extend, codeSize, &i) }
        if entry == DecodeTables.undefined { return Self.undefined(at, &i) }

        var displacementSize = 0
        if entry & DecodeTables.hasModRM != 0 {
            guard at < limit else { return Self.short(at + 1, &i) }
            let modRM = bytes[at]
            at &+= 1
            key |= Int(modRM >> 3 & 7) << DecodeKey.reg | Int(modRM & 7) << DecodeKey.rm
                | (modRM >= 0xC0 ? 1 << DecodeKey.mod : 0)
            let found = tables.resolve(entry, key: key) & DecodeTables.valueMask
            if found == DecodeTables.undefined { return Self.undefined(at, &i) }
            i.row = found
            i.hasModRM = true
            i.reg = modRM >> 3 & 7 | extend << 1 & 8
            i.rm = modRM & 7 | extend << 3 & 8
            i.mod = modRM >> 6
            if modRM < 0xC0, !rows[Int(i.row)].flags.contains(.ignoresMod) {
                switch Self.address(modRM, bytes, at, limit, is64, extend, &i) {
                case -1: return Self.short(at + 1, &i)
                case let size:
                    displacementSize = size & 7
                    at &+= size >> 3
                }
            }
        } else {
            key |= Int(extend & 1) << DecodeKey.rm
            let found = tables.resolve(entry, key: key) & DecodeTables.valueMask
            if found == DecodeTables.undefined { return Self.undefined(at, &i) }
            i.row = found
            i.rm = byte & 7 | extend << 3 & 8
        }

        let row = rows + Int(i.row)
        let flags = row.pointee.flags
        setOperandSize(flags, codeSize, extend & 8 != 0, &i)
        let immediateSize = Self.immediateSize(row.pointee.immediate, i)
        let length = at &+ displacementSize &+ immediateSize
        guard length <= limit else { return Self.short(length, &i) }
        if displacementSize != 0 { i.displacement = Self.signed(bytes + at, displacementSize) }
        if immediateSize != 0 { readImmediate(bytes + (at &+ displacementSize), row.pointee.immediate, &i) }
        i.length = UInt8(truncatingIfNeeded: length)
        return isLegal(flags, is64, row, &i) ? .decoded : .undefined
    }

    // MARK: outcomes

    private static func short(_ length: Int, _ i: inout X86Instruction) -> DecodeOutcome {
        i.length = UInt8(min(length - 1, maximumLength))
        return length > maximumLength ? .tooLong : .needsMoreBytes(length)
    }

    private static func undefined(_ length: Int, _ i: inout X86Instruction) -> DecodeOutcome {
        i.length = UInt8(length)
        return .undefined
    }

    // MARK: ModRM

    /// Base and index of the 16-bit forms by ModRM.rm.
    private static let bases16: UInt32 = 0x3_5_7_6_5_5_3_3

    /// Reads what follows ModRM up to the displacement.
    /// - Returns: the size of the displacement, plus 8 when there is a SIB byte; -1 when that byte is missing.
    @inline(__always)
    private static func address(_ modRM: UInt8, _ bytes: UnsafePointer<UInt8>, _ at: Int, _ limit: Int, _ is64: Bool,
                                _ extend: UInt8, _ i: inout X86Instruction) -> Int {
        let rm = modRM & 7, mod = modRM >> 6
        if i.addressSize == 2 {
            if mod == 0, rm == 6 { return 2 }
            // BX+SI BX+DI BP+SI BP+DI SI DI BP BX
            i.base = Int8(truncatingIfNeeded: bases16 >> (UInt32(rm) * 4) & 0xF)
            if rm < 4 { i.index = rm & 1 == 0 ? 6 : 7 }
            return Int(mod)
        }
        if rm != 4 {
            if mod == 0, rm == 5 {
                i.isRIPRelative = is64
                return 4
            }
            i.base = Int8(truncatingIfNeeded: rm | extend << 3 & 8)
            return mod == 2 ? 4 : Int(mod)
        }
        guard at < limit else { return -1 }
        let sib = bytes[at]
        let index = sib >> 3 & 7 | extend << 2 & 8
        i.scale = sib >> 6
        if index != 4 || rowIsVectorIndexed(i) { i.index = Int8(truncatingIfNeeded: index) }
        if sib & 7 == 5, mod == 0 { return 8 | 4 }
        i.base = Int8(truncatingIfNeeded: sib & 7 | extend << 3 & 8)
        return 8 | (mod == 2 ? 4 : Int(mod))
    }

    @inline(__always)
    private static func rowIsVectorIndexed(_ i: X86Instruction) -> Bool {
        i.isVEX && InstructionTable.rows[Int(i.row)].flags.contains(.vectorIndexed)
    }

    // MARK: sizes and immediates

    @inline(__always)
    private func setOperandSize(_ flags: X86Row.Flags, _ codeSize: Mode.CodeSize, _ w: Bool,
                                _ i: inout X86Instruction) {
        let has66 = i.hasOperandSizePrefix && !flags.contains(.mandatory66)
        switch codeSize {
        case .bits64:
            let wide = w || flags.contains(.forced64) || flags.contains(.default64) && !has66
            i.operandSize = wide ? 8 : has66 ? 2 : 4
        case .bits32: i.operandSize = has66 && !flags.contains(.forced64) ? 2 : 4
        case .bits16: i.operandSize = has66 || flags.contains(.forced64) || flags.contains(.vex) ? 4 : 2
        }
    }

    @inline(__always)
    private static func immediateSize(_ form: X86Row.ImmediateForm, _ i: X86Instruction) -> Int {
        switch form {
        case .none: 0
        case .byte, .signedByte, .register: 1
        case .word: 2
        case .z: i.operandSize == 2 ? 2 : 4
        case .v: Int(i.operandSize)
        case .far: i.operandSize == 2 ? 4 : 6
        case .wordByte: 3
        case .offset: Int(i.addressSize)
        }
    }

    @inline(__always)
    private func readImmediate(_ bytes: UnsafePointer<UInt8>, _ form: X86Row.ImmediateForm, _ i: inout X86Instruction) {
        switch form {
        case .none: break
        case .byte: i.immediate = Int64(bytes[0])
        case .signedByte: i.immediate = Int64(Int8(bitPattern: bytes[0]))
        case .register:
            i.immediate = Int64(bytes[0] & 0xF)
            i.immediate2 = Int64(bytes[0] >> 4)
        case .word: i.immediate = Self.signed(bytes, 2) & 0xFFFF
        case .z: i.immediate = Self.signed(bytes, i.operandSize == 2 ? 2 : 4)
        case .v: i.immediate = Self.signed(bytes, Int(i.operandSize))
        case .far:
            let size = i.operandSize == 2 ? 2 : 4
            i.immediate = Self.signed(bytes, size) & (size == 2 ? 0xFFFF : 0xFFFF_FFFF)
            i.immediate2 = Self.signed(bytes + size, 2) & 0xFFFF
        case .wordByte:
            i.immediate = Self.signed(bytes, 2) & 0xFFFF
            i.immediate2 = Int64(bytes[2])
        case .offset:
            let value = Self.signed(bytes, Int(i.addressSize))
            i.displacement = i.addressSize == 8 ? value : value & (1 << (Int64(i.addressSize) * 8) - 1)
        }
    }

    /// Little-endian bytes, sign-extended.
    @inline(__always)
    private static func signed(_ bytes: UnsafePointer<UInt8>, _ size: Int) -> Int64 {
        let raw = UnsafeRawPointer(bytes)
        return switch size {
        case 1: Int64(Int8(bitPattern: bytes[0]))
        case 2: Int64(raw.loadUnaligned(as: Int16.self))
        case 4: Int64(raw.loadUnaligned(as: Int32.self))
        default: raw.loadUnaligned(as: Int64.self)
        }
    }

    // MARK: what no table says

    /// Checks that need the whole instruction, and register numbers of files of eight.
    @inline(__always)
    private func isLegal(_ flags: X86Row.Flags, _ is64: Bool, _ row: UnsafePointer<X86Row>,
                         _ i: inout X86Instruction) -> Bool {
        if i.hasLock, !flags.contains(.lock) || !i.isMemory { return false }
        if flags.contains(.narrowReg) { i.reg &= 7 }
        if flags.contains(.narrowRM), i.mod == 3 { i.rm &= 7 }
        if flags.contains(.ignoresMod) {
            // CR8 is the only control register above 7; there are eight debug registers.
            let isControl = row.pointee.operands.0.kind == .control || row.pointee.operands.1.kind == .control
            if i.reg > (isControl ? 8 : 7) { return false }
            i.mod = 3
        }
        if i.isVEX {
            if !flags.contains(.vvvv), i.vvvv != 0 { return false }
            if row.pointee.immediate == .register, !is64 { i.immediate2 &= 7 }
            if flags.contains(.vectorIndexed) {
                // A SIB byte is needed, and destination, mask and indices must differ.
                guard i.index >= 0 else { return false }
                let index = UInt8(i.index)
                if index == i.reg || index == i.vvvv || i.reg == i.vvvv { return false }
            }
        }
        return true
    }

    /// The opcode of 3DNow! is a suffix behind the displacement.
    private func decode3DNow(_ bytes: UnsafePointer<UInt8>, _ opcodeEnd: Int, _ limit: Int, _ is64: Bool,
                             _ extend: UInt8, _ codeSize: Mode.CodeSize, _ i: inout X86Instruction) -> DecodeOutcome {
        var at = opcodeEnd
        guard at < limit else { return Self.short(at + 1, &i) }
        let modRM = bytes[at]
        at &+= 1
        i.hasModRM = true
        i.mod = modRM >> 6
        i.reg = modRM >> 3 & 7
        i.rm = i.mod == 3 ? modRM & 7 : modRM & 7 | extend << 3 & 8
        var displacementSize = 0
        if i.mod != 3 {
            switch Self.address(modRM, bytes, at, limit, is64, extend, &i) {
            case -1: return Self.short(at + 1, &i)
            case let size:
                displacementSize = size & 7
                at &+= size >> 3
            }
        }
        guard at &+ displacementSize < limit else { return Self.short(at &+ displacementSize &+ 1, &i) }
        if displacementSize != 0 { i.displacement = Self.signed(bytes + at, displacementSize) }
        at &+= displacementSize
        i.opcode = bytes[at]
        at &+= 1
        i.length = UInt8(truncatingIfNeeded: at)
        let found = tables.entry(is64: is64, map: Int(X86Row.OpcodeMap.threeDNow.rawValue), opcode: i.opcode)
            & DecodeTables.valueMask
        if found == DecodeTables.undefined { return .undefined }
        i.row = found
        setOperandSize([], codeSize, extend & 8 != 0, &i)
        return i.hasLock ? .undefined : .decoded
    }
}
