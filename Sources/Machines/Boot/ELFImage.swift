// ELF64 executables to be placed in a machine's RAM: vmlinux, bare-metal programs, firmware.
//
// Spec: System V ABI, ELF-64 Object File Format 1.5; RISC-V ELF psABI 1.0.
// Absent: relocation (static executables only), compressed sections.

/// The loadable part of an executable.
public struct ELFImage: Equatable {
    /// One PT_LOAD.
    public struct Segment: Equatable {
        public let physical: UInt64
        public let virtual: UInt64
        public let fileOffset: UInt64
        public let fileSizeBytes: UInt64
        public let memorySizeBytes: UInt64
    }
    /// Address of the first instruction.
    public let entry: UInt64
    /// The parts to load, in the order of the program headers.
    public let segments: [Segment]
    /// The HTIF mailbox (symbol `tohost`), if the program has one.
    public let toHost: UInt64?

    static let magic: [UInt8] = [0x7f, 0x45, 0x4c, 0x46]
    static let class64: UInt8 = 2
    static let littleEndian: UInt8 = 1
    static let machineRISCV: UInt16 = 243
    static let typeExecutable: UInt16 = 2
    static let typeShared: UInt16 = 3
    static let programHeaderSizeBytes: UInt64 = 56
    static let sectionHeaderSizeBytes: UInt64 = 64
    static let symbolSizeBytes: UInt64 = 24
    static let loadSegment: UInt32 = 1
    static let symbolTable: UInt32 = 2
    static let segmentsMax = 128
    static let sectionsMax: UInt64 = 65536

    /// Whether a file begins like ELF.
    public static func matches(_ bytes: [UInt8]) -> Bool { bytes.starts(with: magic) }

    /// - Throws: `MachineError` naming `path` when the file is damaged or for another machine.
    public init(_ bytes: [UInt8], path: String) throws {
        let file = ByteView(bytes)
        guard Self.matches(bytes) else { throw MachineError(path, "not an ELF file") }
        guard bytes.count >= 64 else { throw MachineError(path, "the ELF header is cut short") }
        guard bytes[4] == Self.class64 else { throw MachineError(path, "a 32-bit ELF file, riscv64 needs 64 bits") }
        guard bytes[5] == Self.littleEndian else { throw MachineError(path, "a big-endian ELF file") }
        let machine = file.load(18, as: UInt16.self) ?? 0
        guard machine == Self.machineRISCV else {
            throw MachineError(path, "ELF machine \(machine) is not RISC-V (\(Self.machineRISCV))",
                               advice: "choose the --arch it was built for")
        }
        let type = file.load(16, as: UInt16.self) ?? 0
        guard type == Self.typeExecutable || type == Self.typeShared else {
            throw MachineError(path, "ELF type \(type) is not an executable", advice: "link it first")
        }
        let headerOffset = file.load(32, as: UInt64.self) ?? 0
        let headerSize = UInt64(file.load(54, as: UInt16.self) ?? 0), count = Int(file.load(56, as: UInt16.self) ?? 0)
        guard count > 0 else { throw MachineError(path, "the ELF file has no program headers") }
        guard count <= Self.segmentsMax, headerSize >= Self.programHeaderSizeBytes else {
            throw MachineError(path, "the ELF file has \(count) program headers of \(headerSize) bytes")
        }
        var segments: [Segment] = []
        for index in 0..<count {
            let (offset, overflow) = headerOffset.addingReportingOverflow(UInt64(index) * headerSize)
            guard !overflow, file.slice(offset, Self.programHeaderSizeBytes) != nil else {
                throw MachineError(path, "program header \(index) lies outside the file", advice: "the file is truncated")
            }
            guard file.load(offset, as: UInt32.self) == Self.loadSegment else { continue }
            let segment = Segment(physical: file.load(offset + 24, as: UInt64.self) ?? 0,
                                  virtual: file.load(offset + 16, as: UInt64.self) ?? 0,
                                  fileOffset: file.load(offset + 8, as: UInt64.self) ?? 0,
                                  fileSizeBytes: file.load(offset + 32, as: UInt64.self) ?? 0,
                                  memorySizeBytes: file.load(offset + 40, as: UInt64.self) ?? 0)
            guard file.slice(segment.fileOffset, segment.fileSizeBytes) != nil else {
                throw MachineError(path, "segment \(index) lies outside the file", advice: "the file is truncated")
            }
            guard segment.fileSizeBytes <= segment.memorySizeBytes, segment.memorySizeBytes < 1 << 48 else {
                throw MachineError(path, "segment \(index) claims \(segment.memorySizeBytes) bytes of memory")
            }
            if segment.memorySizeBytes > 0 { segments.append(segment) }
        }
        guard !segments.isEmpty else { throw MachineError(path, "the ELF file has nothing to load") }
        self.segments = segments
        entry = file.load(24, as: UInt64.self) ?? 0
        toHost = Self.symbol("tohost", in: file)
    }

    /// The entry point as a physical address: a virtual one is moved along with its segment.
    public var physicalEntry: UInt64 {
        for segment in segments where entry &- segment.virtual < segment.memorySizeBytes {
            return entry &- segment.virtual &+ segment.physical
        }
        return entry
    }

    /// The value of a symbol; damaged tables count as having none.
    private static func symbol(_ name: String, in file: ByteView) -> UInt64? {
        let table = file.load(40, as: UInt64.self) ?? 0
        let size = UInt64(file.load(58, as: UInt16.self) ?? 0), count = UInt64(file.load(60, as: UInt16.self) ?? 0)
        guard table > 0, size >= sectionHeaderSizeBytes, count <= sectionsMax else { return nil }
        for index in 0..<count {
            let header = table &+ index &* size
            guard file.load(header &+ 4, as: UInt32.self) == symbolTable,
                  let offset = file.load(header &+ 24, as: UInt64.self),
                  let length = file.load(header &+ 32, as: UInt64.self), file.slice(offset, length) != nil,
                  let link = file.load(header &+ 40, as: UInt32.self), UInt64(link) < count,
                  let names = file.load(table &+ UInt64(link) &* size &+ 24, as: UInt64.self) else { continue }
            for entry in 0..<(length / symbolSizeBytes) {
                let symbol = offset + entry * symbolSizeBytes
                guard let nameOffset = file.load(symbol, as: UInt32.self), nameOffset != 0 else { continue }
                let (at, overflow) = names.addingReportingOverflow(UInt64(nameOffset))
                guard !overflow, file.slice(at, UInt64(name.utf8.count + 1))?.elementsEqual(Array(name.utf8) + [0]) == true
                else { continue }
                return file.load(symbol + 8, as: UInt64.self)
            }
        }
        return nil
    }
}
