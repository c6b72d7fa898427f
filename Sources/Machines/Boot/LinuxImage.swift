// The RISC-V Linux `Image`: a 64-byte header before a position-independent kernel.
//
// Spec: Linux Documentation/arch/riscv/boot-image-header.rst.
// Absent: compressed images (refused with the command that unpacks them), big-endian kernels.

/// What an image's header asks for.
public struct LinuxImage: Equatable {
    /// Where the image goes, from the start of RAM.
    public let textOffset: UInt64
    /// Bytes it occupies once running, .bss included; at least the file's size.
    public let memorySizeBytes: UInt64

    static let headerSizeBytes = 64
    static let magic: [UInt8] = Array("RISCV\0\0\0".utf8)
    static let magic2: [UInt8] = Array("RSC\u{5}".utf8)
    static let flagBigEndian: UInt64 = 1
    /// Kernels map their text with 2 MiB pages.
    static let alignment: UInt64 = 2 << 20

    /// Whether a file begins like an Image.
    public static func matches(_ bytes: [UInt8]) -> Bool {
        guard bytes.count >= headerSizeBytes else { return false }
        return Array(bytes[56..<60]) == magic2 || Array(bytes[48..<56]) == magic
    }

    /// PE/COFF, as an EFI stub describes the file to firmware. Spec: Microsoft PE Format, "COFF File Header" and
    /// "Section Table".
    private enum PE {
        static let offsetField: UInt64 = 60
        static let signature: UInt32 = 0x4550
        static let sectionCount: UInt64 = 6, optionalHeaderSize: UInt64 = 20, headerSize: UInt64 = 24
        static let sectionSize: UInt64 = 40, rawSize: UInt64 = 16, rawOffset: UInt64 = 20
    }

    /// Where the last section of a kernel with an EFI stub ends in the file; nil for one without.
    private static func sectionsEnd(_ image: ByteView) -> UInt64? {
        guard let start = image.load(PE.offsetField, as: UInt32.self).map(UInt64.init),
              image.load(start, as: UInt32.self) == PE.signature,
              let count = image.load(start + PE.sectionCount, as: UInt16.self),
              let optional = image.load(start + PE.optionalHeaderSize, as: UInt16.self) else { return nil }
        var end: UInt64 = 0
        for index in 0..<UInt64(count) {
            let section = start + PE.headerSize + UInt64(optional) + index * PE.sectionSize
            // A table that is cut off itself says the same.
            guard let size = image.load(section + PE.rawSize, as: UInt32.self),
                  let offset = image.load(section + PE.rawOffset, as: UInt32.self) else { return section + PE.sectionSize }
            if size > 0 { end = max(end, UInt64(offset) + UInt64(size)) }
        }
        return end
    }

    /// - Throws: `MachineError` when the header cannot be honoured.
    public init(_ bytes: [UInt8], path: String) throws {
        guard Self.matches(bytes) else { throw MachineError(path, "not a RISC-V Linux Image") }
        let image = ByteView(bytes)
        guard let offset = image.load(8, as: UInt64.self), let size = image.load(16, as: UInt64.self),
              let flags = image.load(24, as: UInt64.self) else { throw MachineError(path, "the Image header is cut short") }
        guard flags & Self.flagBigEndian == 0 else { throw MachineError(path, "a big-endian kernel cannot run here") }
        guard offset % Self.alignment == 0, offset < 1 << 40 else {
            throw MachineError(path, "the Image header asks for load offset \(offset), not a multiple of 2 MiB")
        }
        guard size < 1 << 40 else { throw MachineError(path, "the Image header claims a size of \(size) bytes") }
        guard size == 0 || UInt64(bytes.count) <= size + Self.alignment else {
            throw MachineError(path, "the file has \(bytes.count) bytes, its header says \(size)")
        }
        if let end = Self.sectionsEnd(image), end > UInt64(bytes.count) {
            throw MachineError(path, "the Image is truncated: it has \(bytes.count) bytes of \(end)",
                               advice: "fetch or build it again")
        }
        // Kernels before 4.x left text_offset zero in flat images; the SBI boot protocol wants 2 MiB.
        textOffset = offset == 0 ? Self.alignment : offset
        memorySizeBytes = max(size, UInt64(bytes.count))
    }
}

/// Checked little-endian loads from a file's bytes.
struct ByteView {
    let bytes: [UInt8]
    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func load<Value: FixedWidthInteger>(_ offset: UInt64, as type: Value.Type) -> Value? {
        let size = UInt64(MemoryLayout<Value>.size)
        guard offset <= UInt64(bytes.count), size <= UInt64(bytes.count) - offset else { return nil }
        var value = Value.zero
        withUnsafeMutableBytes(of: &value) { $0.copyBytes(from: bytes[Int(offset)..<Int(offset + size)]) }
        return Value(littleEndian: value)
    }

    func slice(_ offset: UInt64, _ length: UInt64) -> ArraySlice<UInt8>? {
        guard offset <= UInt64(bytes.count), length <= UInt64(bytes.count) - offset else { return nil }
        return bytes[Int(offset)..<Int(offset + length)]
    }

    /// The NUL-terminated string at `offset`, of at most 256 bytes.
    func string(_ offset: UInt64) -> String? {
        guard offset < UInt64(bytes.count) else { return nil }
        let rest = bytes[Int(offset)...].prefix(257)
        guard let end = rest.firstIndex(of: 0) else { return nil }
        return String(decoding: rest[..<end], as: UTF8.self)
    }
}
