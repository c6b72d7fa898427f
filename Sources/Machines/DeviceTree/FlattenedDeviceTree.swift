// The device tree blob: version 17 encoder.
//
// Spec: Devicetree Specification 0.4, §5. Layout written: header, reservation map, structure block, strings block.

/// Encodes device trees.
public enum FlattenedDeviceTree {
    static let magic: UInt32 = 0xd00d_feed
    static let version: UInt32 = 17
    static let lastCompatibleVersion: UInt32 = 16
    static let headerSizeBytes = 40
    enum Token {
        static let beginNode: UInt32 = 1
        static let endNode: UInt32 = 2
        static let property: UInt32 = 3
        static let end: UInt32 = 9
    }

    /// The blob for a tree.
    public static func encode(_ tree: DeviceTree) -> [UInt8] {
        var structure = BigEndianBytes()
        var strings = StringsBlock()
        encode(tree.root, &structure, &strings)
        structure.put(Token.end)

        var reservations = BigEndianBytes()
        for entry in tree.reservations {
            reservations.put(entry.start)
            reservations.put(entry.sizeBytes)
        }
        reservations.put(UInt64(0))
        reservations.put(UInt64(0))

        let structureOffset = headerSizeBytes + reservations.bytes.count
        let stringsOffset = structureOffset + structure.bytes.count
        var blob = BigEndianBytes()
        blob.put(magic)
        blob.put(UInt32(stringsOffset + strings.bytes.count))
        blob.put(UInt32(structureOffset))
        blob.put(UInt32(stringsOffset))
        blob.put(UInt32(headerSizeBytes))
        blob.put(version)
        blob.put(lastCompatibleVersion)
        blob.put(tree.bootCPU)
        blob.put(UInt32(strings.bytes.count))
        blob.put(UInt32(structure.bytes.count))
        return blob.bytes + reservations.bytes + structure.bytes + strings.bytes
    }

    private static func encode(_ node: DeviceTreeNode, _ out: inout BigEndianBytes, _ strings: inout StringsBlock) {
        out.put(Token.beginNode)
        out.put(string: node.name)
        for property in node.properties {
            out.put(Token.property)
            out.put(UInt32(property.value.count))
            out.put(strings.offset(of: property.name))
            out.put(padded: property.value)
        }
        for child in node.children { encode(child, &out, &strings) }
        out.put(Token.endNode)
    }
}

/// Big-endian output with the four-byte alignment of the structure block.
private struct BigEndianBytes {
    var bytes: [UInt8] = []

    mutating func put<Value: FixedWidthInteger>(_ value: Value) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }
    mutating func put(string: String) { put(padded: Array(string.utf8) + [0]) }
    mutating func put(padded: [UInt8]) {
        bytes.append(contentsOf: padded)
        while bytes.count % 4 != 0 { bytes.append(0) }
    }
}

/// Property names, each stored once.
private struct StringsBlock {
    var bytes: [UInt8] = []
    private var offsets: [String: UInt32] = [:]

    mutating func offset(of name: String) -> UInt32 {
        if let offset = offsets[name] { return offset }
        let offset = UInt32(bytes.count)
        bytes.append(contentsOf: Array(name.utf8) + [0])
        offsets[name] = offset
        return offset
    }
}
