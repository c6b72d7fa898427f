// The Linux bzImage: real-mode setup code with a header, then the protected-mode kernel.
//
// Spec: Linux Documentation/arch/x86/boot.rst, protocols 2.00 to 2.15. The setup code itself is not run.
// Absent: zImages (loaded low), which no kernel of this century is.

/// What a bzImage's header asks for.
struct LinuxX86Image {
    /// Offsets of the setup header's fields in the file and in boot_params.
    enum Field {
        static let setupSectors: UInt64 = 0x1f1, bootFlag: UInt64 = 0x1fe, jumpLength: UInt64 = 0x201, magic: UInt64 = 0x202
        static let version: UInt64 = 0x206, loaderType: UInt64 = 0x210, loadFlags: UInt64 = 0x211
        static let code32Start: UInt64 = 0x214, ramdiskImage: UInt64 = 0x218, ramdiskSize: UInt64 = 0x21c
        static let commandLine: UInt64 = 0x228, initrdAddressMax: UInt64 = 0x22c, alignment: UInt64 = 0x230
        static let relocatable: UInt64 = 0x234, xloadFlags: UInt64 = 0x236, commandLineSize: UInt64 = 0x238
        static let payloadOffset: UInt64 = 0x248, setupData: UInt64 = 0x250
        static let preferredAddress: UInt64 = 0x258, initialSize: UInt64 = 0x260
    }
    static let headerStart: UInt64 = 0x1f1
    static let bootFlag: UInt16 = 0xaa55
    static let magic: [UInt8] = Array("HdrS".utf8)
    static let loadedHigh: UInt8 = 1
    static let xload64: UInt16 = 1
    static let entry64Offset: UInt64 = 0x200
    /// Where protected-mode kernels go by default.
    static let highAddress: UInt64 = 0x10_0000
    static let versionWithSetupData: UInt16 = 0x0209
    private static let sectorSizeBytes: UInt64 = 512
    private static let setupSectorsDefault: UInt64 = 4
    /// Before protocol 2.06 and 2.03.
    private static let commandLineDefault: UInt64 = 255
    private static let initrdAddressDefault: UInt64 = 0x37ff_ffff
    private static let initialSizeMax: UInt64 = 1 << 32

    /// Protocol version: major in the high byte.
    let version: UInt16
    /// The protected-mode kernel.
    let payload: ArraySlice<UInt8>
    /// The setup header as the file has it, from `headerStart` on.
    let header: ArraySlice<UInt8>
    let has64BitEntry: Bool
    let isRelocatable: Bool
    let alignment: UInt64
    let preferredAddress: UInt64
    /// Bytes that the kernel needs from where it runs, before it reads the memory map; 0 when not told.
    let memorySizeBytes: UInt64
    let commandLineSizeMax: UInt64
    let initrdAddressMax: UInt64

    /// Whether a file begins like a bzImage.
    static func matches(_ bytes: [UInt8]) -> Bool {
        let file = ByteView(bytes)
        return file.load(Field.bootFlag, as: UInt16.self) == bootFlag
            && file.slice(Field.magic, 4)?.elementsEqual(magic) == true
    }

    /// - Throws: `MachineError` when the header cannot be honoured.
    init(_ bytes: [UInt8], path: String) throws {
        let file = ByteView(bytes)
        guard Self.matches(bytes), let version = file.load(Field.version, as: UInt16.self),
              let jump = file.load(Field.jumpLength, as: UInt8.self) else {
            throw MachineError(path, "the bzImage header is cut short")
        }
        self.version = version
        guard version >= 0x0200 else {
            throw MachineError(path, "boot protocol \(version >> 8).\(version & 0xff) is too old", advice: "2.00 or later is needed")
        }
        // Fields behind the header's end belong to code.
        let headerEnd = Field.magic + UInt64(jump)
        guard let header = file.slice(Self.headerStart, headerEnd - Self.headerStart) else {
            throw MachineError(path, "the bzImage header is cut short")
        }
        self.header = header
        func field<Value: FixedWidthInteger>(_ offset: UInt64, since: UInt16, _ type: Value.Type) -> Value? {
            guard version >= since, offset + UInt64(MemoryLayout<Value>.size) <= headerEnd else { return nil }
            return file.load(offset, as: type)
        }
        guard field(Field.loadFlags, since: 0x0200, UInt8.self).map({ $0 & Self.loadedHigh != 0 }) == true else {
            throw MachineError(path, "a zImage, which is loaded below 1 MiB", advice: "give a bzImage")
        }
        let sectors = file.load(Field.setupSectors, as: UInt8.self).map(UInt64.init) ?? 0
        let setupSize = ((sectors == 0 ? Self.setupSectorsDefault : sectors) + 1) * Self.sectorSizeBytes
        guard setupSize < UInt64(bytes.count), headerEnd <= setupSize else {
            throw MachineError(path, "the bzImage is truncated: the kernel begins at \(setupSize) of \(bytes.count) bytes",
                               advice: "fetch or build it again")
        }
        payload = bytes[Int(setupSize)...]
        // The header knows how much follows it, in paragraphs (since 2.04 reliably).
        if let size = field(0x1f4, since: 0x0204, UInt32.self), UInt64(size) * 16 > UInt64(payload.count) + 15 {
            throw MachineError(path, "the bzImage is truncated: it has \(payload.count) bytes of kernel, its header says \(UInt64(size) * 16)",
                               advice: "fetch or build it again")
        }
        has64BitEntry = (field(Field.xloadFlags, since: 0x020c, UInt16.self) ?? 0) & Self.xload64 != 0
        isRelocatable = field(Field.relocatable, since: 0x0205, UInt8.self).map { $0 != 0 } ?? false
        let alignment = field(Field.alignment, since: 0x0205, UInt32.self).map(UInt64.init) ?? 0
        guard !isRelocatable || alignment > 0 && alignment & (alignment - 1) == 0 else {
            throw MachineError(path, "the bzImage header asks for an alignment of \(alignment)")
        }
        self.alignment = max(alignment, 1)
        preferredAddress = field(Field.preferredAddress, since: 0x020a, UInt64.self) ?? Self.highAddress
        memorySizeBytes = field(Field.initialSize, since: 0x020a, UInt32.self).map(UInt64.init) ?? 0
        guard preferredAddress < Self.initialSizeMax else {
            throw MachineError(path, "the bzImage header prefers the address 0x\(String(preferredAddress, radix: 16))")
        }
        commandLineSizeMax = field(Field.commandLineSize, since: 0x0206, UInt32.self).map(UInt64.init) ?? Self.commandLineDefault
        initrdAddressMax = field(Field.initrdAddressMax, since: 0x0203, UInt32.self).map(UInt64.init) ?? Self.initrdAddressDefault
    }

    /// Where the protected-mode kernel goes: where it prefers to run if that is possible, which saves it a move.
    func loadAddress(ramSizeBytes: UInt64) -> UInt64 {
        guard isRelocatable, preferredAddress >= Self.highAddress, preferredAddress % alignment == 0,
              preferredAddress + max(memorySizeBytes, UInt64(payload.count)) <= ramSizeBytes else { return Self.highAddress }
        return preferredAddress
    }

    /// Where it will run (boot.rst, "init_size").
    func runAddress(loadedAt address: UInt64) -> UInt64 {
        isRelocatable ? max(preferredAddress, (address + alignment - 1) / alignment * alignment) : preferredAddress
    }
}
