// The byte form of guest state: a flat little-endian stream of named, versioned sections.
//
// Every device, CPU and board writes its fields in a written order and reads them back in the same order. A section
// carries its own length, so a reader can tell a damaged stream from a newer one. Compression, checksums and RAM pages
// belong to Snapshots, not here.

/// Something whose complete guest-visible state can be written out and read back.
public protocol Savable: AnyObject {
    /// Appends the state as one or more sections.
    func save(to writer: inout StateWriter)
    /// Replaces the state with what a matching `save` wrote. On error the object may be half-restored and must be dropped.
    func restore(from reader: inout StateReader) throws
}

/// Appends guest state to a growing byte buffer.
public struct StateWriter {
    /// Everything written so far.
    public private(set) var bytes: [UInt8] = []
    private var openSections: [Int] = []

    public init() {}

    /// Writes one section; `body` appends its contents. Sections nest.
    /// - Parameters:
    ///   - name: at most 255 bytes of UTF-8, unique among its siblings.
    ///   - version: raised whenever the order or meaning of the contents changes.
    public mutating func section(_ name: String, version: UInt16, _ body: (inout StateWriter) -> Void) {
        let encoded = Array(name.utf8.prefix(255))
        bytes.append(UInt8(encoded.count))
        bytes.append(contentsOf: encoded)
        put(version)
        let lengthOffset = bytes.count
        put(UInt64(0))
        body(&self)
        let length = UInt64(bytes.count - lengthOffset - 8)
        withUnsafeBytes(of: length.littleEndian) { source in
            for index in 0..<8 { bytes[lengthOffset + index] = source[index] }
        }
    }

    /// An integer, little-endian, as wide as its type.
    public mutating func put<Value: FixedWidthInteger>(_ value: Value) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// A byte, 0 or 1.
    public mutating func put(_ value: Bool) { bytes.append(value ? 1 : 0) }

    /// Length-prefixed bytes.
    public mutating func put(bytes source: some Collection<UInt8>) {
        put(UInt64(source.count))
        bytes.append(contentsOf: source)
    }

    /// Length-prefixed UTF-8.
    public mutating func put(_ value: String) { put(bytes: Array(value.utf8)) }

    /// A counted sequence, each element written by `body`.
    public mutating func put<Elements: Collection>(each elements: Elements,
                                                   _ body: (inout StateWriter, Elements.Element) -> Void) {
        put(UInt64(elements.count))
        for element in elements { body(&self, element) }
    }
}
