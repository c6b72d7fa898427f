// What kernels started by PVH and by Multiboot find through EBX.
//
// Spec: Xen public/arch-x86/hvm/start_info.h (version 1); Multiboot Specification 0.6.96, §3.3.

/// hvm_start_info with its module list and memory map behind it.
struct PVHStartInformation {
    private static let magic: UInt32 = 0x336e_c578
    private static let version: UInt32 = 1
    private static let headerSizeBytes: UInt64 = 56
    private static let moduleSizeBytes: UInt64 = 32

    let commandLine: UInt64
    let module: Range<UInt64>?
    let acpiRoot: UInt64
    let memory: [MicrovmMap.Range]

    func bytes(at address: UInt64) -> [UInt8] {
        let modules = address + Self.headerSizeBytes
        let map = modules + (module == nil ? 0 : Self.moduleSizeBytes)
        var bytes = littleEndian(Self.magic) + littleEndian(Self.version) + littleEndian(UInt32(0))
        bytes += littleEndian(UInt32(module == nil ? 0 : 1)) + littleEndian(module == nil ? 0 : modules)
        bytes += littleEndian(commandLine) + littleEndian(acpiRoot) + littleEndian(map)
        bytes += littleEndian(UInt32(memory.count)) + littleEndian(UInt32(0))
        if let module {
            bytes += littleEndian(module.lowerBound) + littleEndian(UInt64(module.count))
            bytes += littleEndian(UInt64(0)) + littleEndian(UInt64(0))
        }
        for range in memory {
            bytes += littleEndian(range.start) + littleEndian(range.sizeBytes) + littleEndian(range.type) + littleEndian(UInt32(0))
        }
        return bytes
    }
}

/// The Multiboot information structure with what it points to behind it.
struct MultibootInformation {
    private enum Flag {
        static let memory: UInt32 = 1 << 0, commandLine: UInt32 = 1 << 2, modules: UInt32 = 1 << 3
        static let memoryMap: UInt32 = 1 << 6, loaderName: UInt32 = 1 << 9
    }
    private static let sizeBytes = 88
    private static let moduleSizeBytes = 16
    private static let mapEntrySizeBytes: UInt32 = 20
    private static let loaderName = "Guise"

    let commandLine: UInt32
    let module: (range: Range<UInt64>, name: String)?
    let memory: [MicrovmMap.Range]

    func bytes(at address: UInt32) -> [UInt8] {
        var behind: [UInt8] = []
        func place(_ bytes: [UInt8]) -> UInt32 {
            defer { behind += bytes + Array(repeating: 0, count: (4 - bytes.count % 4) % 4) }
            return address + UInt32(Self.sizeBytes + behind.count)
        }
        var modules: UInt32 = 0
        if let module {
            let name = place(Array(module.name.utf8) + [0])
            modules = place([UInt32(truncatingIfNeeded: module.range.lowerBound),
                             UInt32(truncatingIfNeeded: module.range.upperBound), name, 0].flatMap { littleEndian($0) })
        }
        let map = memory.flatMap { range in
            littleEndian(Self.mapEntrySizeBytes) + littleEndian(range.start) + littleEndian(range.sizeBytes)
                + littleEndian(range.type)
        }
        let mapPlace = place(map), name = place(Array(Self.loaderName.utf8) + [0])
        let flags = Flag.memory | Flag.commandLine | (module == nil ? 0 : Flag.modules) | Flag.memoryMap | Flag.loaderName
        let upper = memory.first { $0.start == MicrovmMap.extendedMemory }.map { $0.sizeBytes / 1024 } ?? 0
        var words: [UInt32] = [flags, UInt32(MicrovmMap.baseMemoryEnd / 1024), UInt32(truncatingIfNeeded: upper), 0, commandLine]
        words += [module == nil ? 0 : 1, modules, 0, 0, 0, 0, UInt32(map.count), mapPlace, 0, 0, 0, name]
        let header = words.flatMap { littleEndian($0) }
        return header + Array(repeating: 0, count: Self.sizeBytes - header.count) + behind
    }
}
