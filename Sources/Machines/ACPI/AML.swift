// A builder of ACPI Machine Language: just the terms that a board's DSDT needs, each a value that knows its bytes.
//
// Spec: ACPI 6.5 chapter 20 (AML), chapter 6.4 (resource data types), §19.3.4 (EISA IDs).
// Names are at most four characters, padded with underscores, or paths from the root ("\_SB_.PCI0").

/// A piece of AML.
indirect enum AML {
    case integer(UInt64)
    case string(String)
    /// A packed EISA ID such as "PNP0A03".
    case eisaID(String)
    case buffer([UInt8])
    case package([AML])
    case name(String, AML)
    case scope(String, [AML])
    case device(String, [AML])
    /// Not serialized.
    case method(String, arguments: Int, [AML])
    case resources([AMLResource])
    case `if`(AML, [AML])
    case `return`(AML)
    /// The value of a name.
    case reference(String)
    case argument(Int)
    case store(AML, into: String)

    private enum Opcode {
        static let zero: UInt8 = 0x00, one: UInt8 = 0x01, name: UInt8 = 0x08, byte: UInt8 = 0x0a, word: UInt8 = 0x0b
        static let dword: UInt8 = 0x0c, string: UInt8 = 0x0d, qword: UInt8 = 0x0e, scope: UInt8 = 0x10
        static let buffer: UInt8 = 0x11, package: UInt8 = 0x12, method: UInt8 = 0x14, extended: UInt8 = 0x5b
        static let rootPrefix: UInt8 = 0x5c, firstArgument: UInt8 = 0x68, store: UInt8 = 0x70, device: UInt8 = 0x82
        static let `if`: UInt8 = 0xa0, `return`: UInt8 = 0xa4, dualName: UInt8 = 0x2e, multiName: UInt8 = 0x2f
    }

    /// The encoding.
    var bytes: [UInt8] {
        switch self {
        case .integer(let value): return Self.encode(value)
        case .string(let text): return [Opcode.string] + Array(text.utf8) + [0]
        case .eisaID(let id): return [Opcode.dword] + littleEndian(Self.packEISA(id))
        case .buffer(let data):
            return [Opcode.buffer] + Self.withLength(Self.encode(UInt64(data.count)) + data)
        case .package(let elements):
            return [Opcode.package] + Self.withLength([UInt8(elements.count)] + elements.flatMap(\.bytes))
        case .name(let name, let value): return [Opcode.name] + Self.encode(name: name) + value.bytes
        case .scope(let name, let terms):
            return [Opcode.scope] + Self.withLength(Self.encode(name: name) + terms.flatMap(\.bytes))
        case .device(let name, let terms):
            return [Opcode.extended, Opcode.device] + Self.withLength(Self.encode(name: name) + terms.flatMap(\.bytes))
        case .method(let name, let arguments, let terms):
            return [Opcode.method] + Self.withLength(Self.encode(name: name) + [UInt8(arguments & 7)] + terms.flatMap(\.bytes))
        case .resources(let list):
            // The end tag's checksum of zero says that there is none.
            return AML.buffer(list.flatMap(\.bytes) + [0x79, 0]).bytes
        case .if(let condition, let terms):
            return [Opcode.if] + Self.withLength(condition.bytes + terms.flatMap(\.bytes))
        case .return(let value): return [Opcode.return] + value.bytes
        case .reference(let name): return Self.encode(name: name)
        case .argument(let number): return [Opcode.firstArgument + UInt8(number)]
        case .store(let value, let name): return [Opcode.store] + value.bytes + Self.encode(name: name)
        }
    }

    private static func encode(_ value: UInt64) -> [UInt8] {
        switch value {
        case 0: [Opcode.zero]
        case 1: [Opcode.one]
        case ...0xff: [Opcode.byte, UInt8(value)]
        case ...0xffff: [Opcode.word] + littleEndian(UInt16(value))
        case ...0xffff_ffff: [Opcode.dword] + littleEndian(UInt32(value))
        default: [Opcode.qword] + littleEndian(value)
        }
    }

    private static func encode(name: String) -> [UInt8] {
        var rest = Array(name.utf8), result: [UInt8] = []
        if rest.first == Opcode.rootPrefix { result.append(rest.removeFirst()) }
        let segments = rest.split(separator: UInt8(ascii: "."))
        precondition(segments.allSatisfy { $0.count <= 4 }, "an ACPI name has four characters")
        if segments.count == 2 { result.append(Opcode.dualName) }
        if segments.count > 2 { result += [Opcode.multiName, UInt8(segments.count)] }
        // The root alone is a null name.
        if segments.isEmpty { result.append(0) }
        for segment in segments { result += segment + Array(repeating: UInt8(ascii: "_"), count: 4 - segment.count) }
        return result
    }

    /// PkgLength, which counts itself, before its contents.
    private static func withLength(_ contents: [UInt8]) -> [UInt8] {
        let count = contents.count
        if count + 1 < 1 << 6 { return [UInt8(count + 1)] + contents }
        for extra in 1...3 where count + 1 + extra < 1 << (4 + 8 * extra) {
            let length = count + 1 + extra
            var bytes = [UInt8(extra << 6 | length & 15)]
            for index in 0..<extra { bytes.append(UInt8(truncatingIfNeeded: length >> (4 + 8 * index))) }
            return bytes + contents
        }
        preconditionFailure("an AML package of \(count) bytes")
    }

    /// Three letters of five bits and four hex digits, as big-endian words.
    private static func packEISA(_ id: String) -> UInt32 {
        let text = Array(id.utf8)
        precondition(text.count == 7, "an EISA ID has seven characters")
        let letters = text[0..<3].reduce(UInt32(0)) { $0 << 5 | UInt32($1 &- 0x40) & 31 }
        let digits = UInt32(id.suffix(4), radix: 16) ?? 0
        return (letters << 16 | digits).byteSwapped
    }
}

/// A resource descriptor.
enum AMLResource {
    /// A fixed range of I/O ports, 16-bit decode.
    case ports(UInt16, count: UInt8)
    /// An ISA interrupt, edge-triggered, active high.
    case edgeInterrupt(Int)
    /// A global system interrupt, level-triggered, active high.
    case levelInterrupt(UInt32)
    case memory(UInt32, sizeBytes: UInt32)
    /// Ranges that a bridge passes on.
    case bridgedBuses(UInt16, UInt16)
    case bridgedPorts(UInt16, UInt16)
    case bridgedMemory32(UInt32, UInt32)
    case bridgedMemory64(UInt64, UInt64)

    /// Minimum and maximum are fixed; the range is decoded positively.
    private static let fixedBounds: UInt8 = 0x0c
    private static let entireRange: UInt8 = 0x03
    private static let readWrite: UInt8 = 0x01

    var bytes: [UInt8] {
        switch self {
        case .ports(let first, let count):
            [0x47, 0x01] + littleEndian(first) + littleEndian(first) + [1, count]
        case .edgeInterrupt(let number): [0x22] + littleEndian(UInt16(1) << UInt16(number))
        case .levelInterrupt(let number):
            // Consumer, level, active high, exclusive.
            [0x89] + littleEndian(UInt16(6)) + [0x01, 1] + littleEndian(number)
        case .memory(let start, let size): [0x86] + littleEndian(UInt16(9)) + [Self.readWrite] + littleEndian(start) + littleEndian(size)
        case .bridgedBuses(let first, let last):
            [0x88] + littleEndian(UInt16(13)) + [2, Self.fixedBounds, 0]
                + [0, first, last, 0, last - first + 1].flatMap { littleEndian($0) }
        case .bridgedPorts(let first, let last):
            [0x88] + littleEndian(UInt16(13)) + [1, Self.fixedBounds, Self.entireRange]
                + [0, first, last, 0, last - first + 1].flatMap { littleEndian($0) }
        case .bridgedMemory32(let first, let last):
            [0x87] + littleEndian(UInt16(23)) + [0, Self.fixedBounds, Self.readWrite]
                + [0, first, last, 0, last - first + 1].flatMap { littleEndian($0) }
        case .bridgedMemory64(let first, let last):
            [0x8a] + littleEndian(UInt16(43)) + [0, Self.fixedBounds, Self.readWrite]
                + [0, first, last, 0, last - first + 1].flatMap { littleEndian($0) }
        }
    }
}

/// The bytes of an integer, low byte first.
func littleEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}
