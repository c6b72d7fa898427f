// ELF kernels for x86, 32 and 64 bits wide, placed at their physical addresses; the PVH entry among their notes.
//
// Spec: System V ABI, Intel386 and AMD64 supplements; Xen public/elfnote.h (XEN_ELFNOTE_PHYS32_ENTRY).
// Absent: relocation, compressed sections, symbols.

/// The loadable part of a kernel.
struct X86ELFImage: Equatable {
    /// One PT_LOAD that occupies memory.
    struct Segment: Equatable {
        let physical: UInt64
        let virtual: UInt64
        let fileOffset: UInt64
        let fileSizeBytes: UInt64
        let memorySizeBytes: UInt64
    }

    let entry: UInt64
    let segments: [Segment]
    /// Physical address of the 32-bit PVH entry, if there is one.
    let pvhEntry: UInt32?

    private static let machines: Set<UInt16> = [3, 62]
    private static let loadType: UInt32 = 1, noteType: UInt32 = 4
    private static let segmentsMax = 128
    private static let physicalLimit: UInt64 = 1 << 32
    private static let physicalEntryNote: UInt32 = 18
    private static let noteName: [UInt8] = Array("Xen\0".utf8)
    private static let noteSizeMax: UInt64 = 1 << 20

    /// Where fields lie, by class.
    private struct Layout {
        let is64: Bool
        var headerSize: Int { is64 ? 64 : 52 }
        var programHeaderSize: UInt64 { is64 ? 56 : 32 }
        func word(_ file: ByteView, _ offset32: UInt64, _ offset64: UInt64, at base: UInt64 = 0) -> UInt64 {
            is64 ? file.load(base &+ offset64, as: UInt64.self) ?? 0
                : file.load(base &+ offset32, as: UInt32.self).map(UInt64.init) ?? 0
        }
        func half(_ file: ByteView, _ offset32: UInt64, _ offset64: UInt64) -> UInt16 {
            file.load(is64 ? offset64 : offset32, as: UInt16.self) ?? 0
        }
    }

    /// - Throws: `MachineError` naming `path` when the file is damaged or for another machine.
    init(_ bytes: [UInt8], path: String) throws {
        let file = ByteView(bytes)
        guard ELFImage.matches(bytes), bytes.count >= 52 else { throw MachineError(path, "the ELF header is cut short") }
        guard bytes[4] == 1 || bytes[4] == 2 else { throw MachineError(path, "ELF class \(bytes[4]) is unknown") }
        let layout = Layout(is64: bytes[4] == 2)
        guard bytes.count >= layout.headerSize else { throw MachineError(path, "the ELF header is cut short") }
        guard bytes[5] == ELFImage.littleEndian else { throw MachineError(path, "a big-endian ELF file") }
        let machine = file.load(18, as: UInt16.self) ?? 0
        guard Self.machines.contains(machine) else {
            throw MachineError(path, "ELF machine \(machine) is not x86", advice: "choose the --arch it was built for")
        }
        let type = file.load(16, as: UInt16.self) ?? 0
        guard type == ELFImage.typeExecutable || type == ELFImage.typeShared else {
            throw MachineError(path, "ELF type \(type) is not an executable", advice: "link it first")
        }
        let table = layout.word(file, 28, 32)
        let size = UInt64(layout.half(file, 42, 54)), count = Int(layout.half(file, 44, 56))
        guard count > 0 else { throw MachineError(path, "the ELF file has no program headers") }
        guard count <= Self.segmentsMax, size >= layout.programHeaderSize else {
            throw MachineError(path, "the ELF file has \(count) program headers of \(size) bytes")
        }
        var segments: [Segment] = []
        var pvhEntry: UInt32?
        for index in 0..<count {
            let (offset, overflow) = table.addingReportingOverflow(UInt64(index) * size)
            guard !overflow, file.slice(offset, layout.programHeaderSize) != nil else {
                throw MachineError(path, "program header \(index) lies outside the file", advice: "the file is truncated")
            }
            let kind = file.load(offset, as: UInt32.self)
            guard kind == Self.loadType || kind == Self.noteType else { continue }
            let segment = Segment(physical: layout.word(file, 12, 24, at: offset), virtual: layout.word(file, 8, 16, at: offset),
                                  fileOffset: layout.word(file, 4, 8, at: offset),
                                  fileSizeBytes: layout.word(file, 16, 32, at: offset),
                                  memorySizeBytes: layout.word(file, 20, 40, at: offset))
            guard file.slice(segment.fileOffset, segment.fileSizeBytes) != nil else {
                throw MachineError(path, "segment \(index) lies outside the file", advice: "the file is truncated")
            }
            if kind == Self.noteType {
                pvhEntry = pvhEntry ?? Self.physicalEntry(file, segment)
                continue
            }
            guard segment.fileSizeBytes <= segment.memorySizeBytes, segment.physical < Self.physicalLimit,
                  segment.memorySizeBytes <= Self.physicalLimit - segment.physical else {
                throw MachineError(path, "segment \(index) claims \(segment.memorySizeBytes) bytes of memory at "
                                   + "0x\(String(segment.physical, radix: 16))")
            }
            if segment.memorySizeBytes > 0 { segments.append(segment) }
        }
        guard !segments.isEmpty else { throw MachineError(path, "the ELF file has nothing to load") }
        self.segments = segments
        self.pvhEntry = pvhEntry
        entry = layout.word(file, 24, 24)
    }

    /// The entry point for a loader without paging: the ELF entry, moved along with its segment when it is virtual.
    /// - Throws: `MachineError` when it is not below 4 GiB.
    func physicalEntry32(path: String) throws -> UInt32 {
        var address = entry
        let isPhysical = segments.contains { entry &- $0.physical < $0.memorySizeBytes }
        if !isPhysical, let segment = segments.first(where: { entry &- $0.virtual < $0.memorySizeBytes }) {
            address = entry &- segment.virtual &+ segment.physical
        }
        guard let result = UInt32(exactly: address) else {
            throw MachineError(path, "the entry point 0x\(String(address, radix: 16)) is above 4 GiB")
        }
        return result
    }

    /// Looks through a note segment; damaged notes end the search.
    private static func physicalEntry(_ file: ByteView, _ segment: Segment) -> UInt32? {
        var offset = segment.fileOffset
        let end = offset + min(segment.fileSizeBytes, noteSizeMax)
        while offset + 12 <= end {
            guard let nameSize = file.load(offset, as: UInt32.self), let size = file.load(offset + 4, as: UInt32.self),
                  let type = file.load(offset + 8, as: UInt32.self) else { return nil }
            let name = offset + 12, contents = name + (UInt64(nameSize) + 3) & ~3
            let next = contents + (UInt64(size) + 3) & ~3
            guard next <= end else { return nil }
            if type == physicalEntryNote, size >= 4, file.slice(name, UInt64(nameSize))?.elementsEqual(noteName) == true {
                return file.load(contents, as: UInt32.self)
            }
            offset = next
        }
        return nil
    }
}
