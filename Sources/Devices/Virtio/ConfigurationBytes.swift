// Little-endian fields of a device's configuration space. VIRTIO 1.2 section 2.5.

/// Configuration space under construction.
struct ConfigurationBytes {
    private(set) var bytes: [UInt8]

    init(count: Int) { bytes = [UInt8](repeating: 0, count: count) }

    /// Places an integer at a fixed offset inside the space.
    mutating func put<Value: FixedWidthInteger>(_ value: Value, at offset: Int) {
        withUnsafeBytes(of: value.littleEndian) { source in
            for (index, byte) in source.enumerated() { bytes[offset + index] = byte }
        }
    }
}
