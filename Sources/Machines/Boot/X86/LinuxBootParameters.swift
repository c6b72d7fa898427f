// boot_params, the page that Linux finds its start-up information in.
//
// Spec: Linux Documentation/arch/x86/zero-page.rst and boot.rst; layout of arch/x86/include/uapi/asm/bootparam.h.

/// The page.
struct LinuxBootParameters {
    private typealias Header = LinuxX86Image.Field
    static let sizeBytes = 4096

    private enum Field {
        static let extendedMemoryKiB: UInt64 = 0x002, acpiRoot: UInt64 = 0x070, alternativeMemoryKiB: UInt64 = 0x1e0
        static let memoryRanges: UInt64 = 0x1e8, memoryTable: UInt64 = 0x2d0
    }
    private static let memoryEntrySizeBytes = 20
    /// No registered boot loader; protocol field type_of_loader.
    private static let loaderUnknown: UInt8 = 0xff
    private static let seedType: UInt32 = 9
    private static let seedSizeBytes = 32
    private static let kib: UInt64 = 1024

    let image: LinuxX86Image
    let loadAddress: UInt64
    var commandLine: UInt64 = 0
    var initrd: Range<UInt64>?
    var memory: [MicrovmMap.Range] = []
    var acpiRoot: UInt64 = 0
    var setupData: UInt64 = 0

    init(image: LinuxX86Image, loadAddress: UInt64) {
        self.image = image
        self.loadAddress = loadAddress
    }

    /// A setup_data node of 32 random bytes, which spares the kernel a wait for entropy.
    static func randomSeed() -> [UInt8] {
        var random = SystemRandomNumberGenerator()
        return littleEndian(UInt64(0)) + littleEndian(seedType) + littleEndian(UInt32(seedSizeBytes))
            + (0..<seedSizeBytes).map { _ in UInt8.random(in: 0...255, using: &random) }
    }

    /// The page's contents.
    var bytes: [UInt8] {
        var page = [UInt8](repeating: 0, count: Self.sizeBytes)
        func put<Value: FixedWidthInteger>(_ offset: UInt64, _ value: Value) {
            page.replaceSubrange(Int(offset)..<(Int(offset) + MemoryLayout<Value>.size), with: littleEndian(value))
        }
        page.replaceSubrange(Int(LinuxX86Image.headerStart)..<(Int(LinuxX86Image.headerStart) + image.header.count),
                             with: image.header)
        put(Header.loaderType, Self.loaderUnknown)
        put(Header.code32Start, UInt32(truncatingIfNeeded: loadAddress))
        put(Header.commandLine, UInt32(truncatingIfNeeded: commandLine))
        if let initrd {
            put(Header.ramdiskImage, UInt32(truncatingIfNeeded: initrd.lowerBound))
            put(Header.ramdiskSize, UInt32(truncatingIfNeeded: initrd.count))
        }
        if setupData != 0 { put(Header.setupData, setupData) }
        put(Field.acpiRoot, acpiRoot)
        // For kernels that do not read the table: memory above 1 MiB.
        let above = memory.first { $0.start == MicrovmMap.extendedMemory }.map { $0.sizeBytes / Self.kib } ?? 0
        put(Field.extendedMemoryKiB, UInt16(min(above, 0xfc00)))
        put(Field.alternativeMemoryKiB, UInt32(truncatingIfNeeded: above))
        put(Field.memoryRanges, UInt8(memory.count))
        for (index, range) in memory.enumerated() {
            let place = Field.memoryTable + UInt64(index * Self.memoryEntrySizeBytes)
            put(place, range.start)
            put(place + 8, range.sizeBytes)
            put(place + 16, range.type)
        }
        return page
    }
}
