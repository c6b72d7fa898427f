// How an x86 machine without BIOS starts: which boot protocol a file wants, what goes where in RAM, and with which
// registers the bootstrap processor begins.
//
// The plan is made from file contents and carried out by `BootLoader`; nothing here touches RAM. Protocols: Linux (32-bit
// and 64-bit entry), PVH, Multiboot 1. Absent: the 16-bit entry of Linux, zImages, Multiboot 2, compressed ELF files.

import GuestMemory
import GuestX86

/// What a start depends on besides the files.
struct X86BootOptions {
    var ramSizeBytes: UInt64
    var commandLine = ""
    /// The machine's processors have long mode.
    var allowsLongMode = true
}

/// A machine's start.
struct X86BootPlan: StartPlan {
    typealias Load = BootPlan.Load

    /// What is copied into RAM.
    private(set) var loads: [Load] = []
    /// Registers of the bootstrap processor.
    private(set) var start = X86StartState.reset

    var facts: BootFacts { BootFacts() }

    private static let pageSize: UInt64 = 4096
    private static let gzipMagic: [UInt8] = [0x1f, 0x8b]
    /// Selectors of the descriptor table that the Linux protocol asks for.
    enum Selector {
        static let code: UInt16 = 0x10, data: UInt16 = 0x18
    }

    private let options: X86BootOptions

    /// - Throws: `MachineError` when a file cannot be used or does not fit.
    init(_ files: BootFiles, _ options: X86BootOptions) throws {
        self.options = options
        guard files.firmware == nil else {
            throw MachineError("--firmware", "the board microvm starts a kernel directly", advice: "give --kernel FILE")
        }
        guard let kernel = files.kernel else {
            throw MachineError("boot", "nothing to start", advice: "give --kernel FILE")
        }
        guard !kernel.bytes.isEmpty else { throw MachineError(kernel.path, "the file is empty") }
        if let initrd = files.initrd, initrd.bytes.isEmpty {
            throw MachineError(initrd.path, "the initial RAM disk is empty")
        }
        guard !options.commandLine.utf8.contains(0) else { throw MachineError("--append", "contains a NUL byte") }
        if LinuxX86Image.matches(kernel.bytes) {
            try startLinux(kernel, files.initrd)
        } else if let header = try MultibootHeader(kernel.bytes, path: kernel.path) {
            try startMultiboot(kernel, header, files.initrd)
        } else if ELFImage.matches(kernel.bytes) {
            try startPVH(kernel, files.initrd)
        } else if kernel.bytes.starts(with: Self.gzipMagic) {
            throw MachineError(kernel.path, "a gzip-compressed file", advice: "unpack it first: gzip -dc FILE > KERNEL")
        } else {
            throw MachineError(kernel.path, "neither a Linux bzImage, nor a Multiboot kernel, nor an ELF file with a PVH entry",
                               advice: "give a kernel for x86")
        }
        try refuseOverlaps()
    }

    // MARK: Linux

    private mutating func startLinux(_ file: BootFiles.File, _ initrd: BootFiles.File?) throws {
        let image = try LinuxX86Image(file.bytes, path: file.path)
        let line = Array(options.commandLine.utf8)
        guard UInt64(line.count) <= image.commandLineSizeMax else {
            throw MachineError("--append", "longer than the \(image.commandLineSizeMax) bytes that the kernel takes")
        }
        let address = image.loadAddress(ramSizeBytes: options.ramSizeBytes)
        let needed = max(image.memorySizeBytes, UInt64(image.payload.count))
        // What the decompressor works in counts from where the kernel will run.
        let end = max(address + UInt64(image.payload.count), image.runAddress(loadedAt: address) + needed)
        guard end <= options.ramSizeBytes else { throw tooLarge(file.path, "kernel", end) }
        try add("kernel", at: address, image.payload, memorySizeBytes: UInt64(image.payload.count), path: file.path)
        try place(commandLine: line)
        var disk: Range<UInt64>?
        if let initrd {
            disk = try place(initrd: initrd, below: min(options.ramSizeBytes, image.initrdAddressMax + 1), above: end)
        }
        let uses64 = options.allowsLongMode && image.has64BitEntry
        var parameters = LinuxBootParameters(image: image, loadAddress: address)
        parameters.commandLine = MicrovmMap.commandLine
        parameters.initrd = disk
        parameters.memory = MicrovmMap.memoryRanges(ramSizeBytes: options.ramSizeBytes)
        parameters.acpiRoot = MicrovmMap.acpi
        if image.version >= LinuxX86Image.versionWithSetupData {
            parameters.setupData = MicrovmMap.setupData
            let seed = LinuxBootParameters.randomSeed()
            try add("setup data", at: MicrovmMap.setupData, seed[...], memorySizeBytes: UInt64(seed.count), path: file.path)
        }
        let bytes = parameters.bytes
        try add("boot parameters", at: MicrovmMap.bootParameters, bytes[...], memorySizeBytes: UInt64(bytes.count), path: file.path)
        if uses64 {
            try enterLong(at: address + LinuxX86Image.entry64Offset)
        } else {
            try enterProtected(at: address)
        }
        start.registers[6] = MicrovmMap.bootParameters
    }

    /// 32-bit entry: flat segments from a descriptor table, no paging (boot.rst, "32-bit boot protocol").
    private mutating func enterProtected(at entry: UInt64) throws {
        try placeDescriptorTable(code: 0x00cf_9b00_0000_ffff)
        start = .protected(entry: UInt32(truncatingIfNeeded: entry), codeSelector: Selector.code, dataSelector: Selector.data)
        start.gdtr = X86StartTable(base: MicrovmMap.gdt, limit: 0x1f)
        start.idtr = X86StartTable(limit: 0)
    }

    /// 64-bit entry: long mode, the first 4 GiB mapped as they are (boot.rst, "64-bit boot protocol").
    private mutating func enterLong(at entry: UInt64) throws {
        try placeDescriptorTable(code: 0x00af_9b00_0000_ffff)
        try placePageTables()
        start = .protected(entry: 0, codeSelector: Selector.code, dataSelector: Selector.data)
        start.segments[Segment.cs.rawValue].attributes = X86StartSegment.longCode
        start.rip = entry
        start.gdtr = X86StartTable(base: MicrovmMap.gdt, limit: 0x1f)
        start.idtr = X86StartTable(limit: 0)
        start.cr3 = MicrovmMap.pageTables
        start.cr0 = ControlBits.paging | ControlBits.extensionType | ControlBits.protection
        start.cr4 = ControlBits.physicalAddressExtension
        start.efer = ControlBits.longModeEnable | ControlBits.longModeActive
    }

    private enum ControlBits {
        static let protection: UInt64 = 1 << 0, extensionType: UInt64 = 1 << 4, paging: UInt64 = 1 << 31
        static let physicalAddressExtension: UInt64 = 1 << 5
        static let longModeEnable: UInt64 = 1 << 8, longModeActive: UInt64 = 1 << 10
    }

    /// Two null descriptors, code, data.
    private mutating func placeDescriptorTable(code: UInt64) throws {
        let table = [0, 0, code, 0x00cf_9300_0000_ffff].flatMap { littleEndian(UInt64($0)) }
        try add("descriptor table", at: MicrovmMap.gdt, table[...], memorySizeBytes: UInt64(table.count), path: "boot")
    }

    /// One level-4 entry, four level-3 entries, 2048 pages of 2 MiB.
    private mutating func placePageTables() throws {
        let present: UInt64 = 3, large: UInt64 = 1 << 7, page = Self.pageSize
        let level3 = MicrovmMap.pageTables + page, level2 = level3 + page
        var bytes = littleEndian(level3 | present) + Array(repeating: 0, count: Int(page) - 8)
        for index in 0..<4 { bytes += littleEndian(level2 + UInt64(index) * page | present) }
        bytes += Array(repeating: 0, count: Int(page) - 32)
        for index in 0..<2048 { bytes += littleEndian(UInt64(index) << 21 | large | present) }
        try add("page tables", at: MicrovmMap.pageTables, bytes[...], memorySizeBytes: UInt64(bytes.count), path: "boot")
    }

    // MARK: PVH

    private mutating func startPVH(_ file: BootFiles.File, _ initrd: BootFiles.File?) throws {
        let image = try X86ELFImage(file.bytes, path: file.path)
        guard let entry = image.pvhEntry else {
            throw MachineError(file.path, "an ELF file without PVH entry (note XEN_ELFNOTE_PHYS32_ENTRY)",
                               advice: "give the bzImage, or build the kernel with CONFIG_PVH")
        }
        let end = try place(elf: image, file)
        guard loads.contains(where: { UInt64(entry) >= $0.address && UInt64(entry) < $0.end }) else {
            throw MachineError(file.path, "the PVH entry 0x\(String(entry, radix: 16)) lies outside the kernel")
        }
        try place(commandLine: Array(options.commandLine.utf8))
        let disk = try initrd.map { try place(initrd: $0, below: options.ramSizeBytes, above: end) }
        let information = PVHStartInformation(
            commandLine: MicrovmMap.commandLine, module: disk, acpiRoot: MicrovmMap.acpi,
            memory: MicrovmMap.memoryRanges(ramSizeBytes: options.ramSizeBytes)).bytes(at: MicrovmMap.startInformation)
        try add("start information", at: MicrovmMap.startInformation, information[...],
                memorySizeBytes: UInt64(information.count), path: file.path)
        try enterProtected(at: UInt64(entry))
        start.registers[3] = MicrovmMap.startInformation
    }

    private mutating func place(elf image: X86ELFImage, _ file: BootFiles.File) throws -> UInt64 {
        var end: UInt64 = 0
        for segment in image.segments {
            let bytes = file.bytes[Int(segment.fileOffset)..<Int(segment.fileOffset + segment.fileSizeBytes)]
            try add("kernel", at: segment.physical, bytes, memorySizeBytes: segment.memorySizeBytes, path: file.path)
            end = max(end, segment.physical + segment.memorySizeBytes)
        }
        return end
    }

    // MARK: Multiboot

    private mutating func startMultiboot(_ file: BootFiles.File, _ header: MultibootHeader, _ initrd: BootFiles.File?) throws {
        var end: UInt64 = 0
        let entry: UInt32
        if let addresses = header.addresses {
            let bytes = try addresses.contents(of: file, headerOffset: header.offset)
            let size = try addresses.memorySizeBytes(fileSizeBytes: UInt64(bytes.count), path: file.path)
            try add("kernel", at: UInt64(addresses.load), bytes, memorySizeBytes: size, path: file.path)
            end = UInt64(addresses.load) + size
            entry = addresses.entry
        } else {
            let image = try X86ELFImage(file.bytes, path: file.path)
            end = try place(elf: image, file)
            entry = try image.physicalEntry32(path: file.path)
        }
        guard loads.contains(where: { UInt64(entry) >= $0.address && UInt64(entry) < $0.end }) else {
            throw MachineError(file.path, "the entry point 0x\(String(entry, radix: 16)) lies outside the kernel")
        }
        // The specification's command line begins with the kernel's own name.
        let name = Self.fileName(file.path)
        try place(commandLine: Array((options.commandLine.isEmpty ? name : name + " " + options.commandLine).utf8))
        // Modules go right behind the kernel, page-aligned: kernels manage low memory themselves.
        var module: (range: Range<UInt64>, name: String)?
        if let initrd {
            let address = (end + Self.pageSize - 1) / Self.pageSize * Self.pageSize
            let size = UInt64(initrd.bytes.count)
            try add("initrd", at: address, initrd.bytes[...], memorySizeBytes: size, path: initrd.path)
            module = (address..<(address + size), Self.fileName(initrd.path))
        }
        let information = MultibootInformation(
            commandLine: UInt32(MicrovmMap.commandLine), module: module,
            memory: MicrovmMap.memoryRanges(ramSizeBytes: options.ramSizeBytes)).bytes(at: UInt32(MicrovmMap.startInformation))
        try add("start information", at: MicrovmMap.startInformation, information[...],
                memorySizeBytes: UInt64(information.count), path: file.path)
        try enterProtected(at: UInt64(entry))
        start.registers[0] = UInt64(MultibootHeader.loaderMagic)
        start.registers[3] = MicrovmMap.startInformation
    }

    private static func fileName(_ path: String) -> String {
        String(path.split(separator: "/").last ?? "kernel").filter { $0 != " " }
    }

    // MARK: Placing

    private mutating func place(commandLine bytes: [UInt8]) throws {
        guard UInt64(bytes.count) < MicrovmMap.commandLineSizeMax else { throw MachineError("--append", "too long") }
        let line = bytes + [0]
        try add("command line", at: MicrovmMap.commandLine, line[...], memorySizeBytes: UInt64(line.count), path: "--append")
    }

    /// As high as possible, where the kernel's own start-up does not reach.
    private mutating func place(initrd file: BootFiles.File, below ceiling: UInt64, above floor: UInt64) throws -> Range<UInt64> {
        let size = UInt64(file.bytes.count)
        guard ceiling > floor, size <= ceiling - floor, (ceiling - size) / Self.pageSize * Self.pageSize >= floor else {
            throw tooLarge(file.path, "initial RAM disk", size)
        }
        let address = (ceiling - size) / Self.pageSize * Self.pageSize
        try add("initrd", at: address, file.bytes[...], memorySizeBytes: size, path: file.path)
        return address..<(address + size)
    }

    private mutating func add(_ what: String, at address: UInt64, _ bytes: ArraySlice<UInt8>, memorySizeBytes: UInt64,
                              path: String) throws {
        guard address < options.ramSizeBytes, memorySizeBytes <= options.ramSizeBytes - address else {
            throw tooLarge(path, what, memorySizeBytes)
        }
        loads.append(Load(what: what, address: address, bytes: bytes, memorySizeBytes: memorySizeBytes))
    }

    /// The tables of the firmware take part, though others make them.
    private func refuseOverlaps() throws {
        let tables = Load(what: "firmware tables", address: MicrovmMap.baseMemoryEnd, bytes: [],
                          memorySizeBytes: MicrovmMap.extendedMemory - MicrovmMap.baseMemoryEnd)
        let sorted = (loads + [tables]).sorted { $0.address < $1.address }
        for (first, second) in zip(sorted, sorted.dropFirst()) where first.end > second.address && second.memorySizeBytes > 0 {
            // Segments of one file may touch the same page twice.
            if first.what == second.what { continue }
            throw MachineError("--kernel", "the \(first.what) and the \(second.what) want the same memory at "
                               + "0x\(String(second.address, radix: 16))", advice: "give the machine more with --memory")
        }
    }

    private func tooLarge(_ path: String, _ what: String, _ size: UInt64) -> MachineError {
        MachineError(path, "the \(what) of \(size) bytes does not fit into \(options.ramSizeBytes) bytes of memory",
                     advice: "give the machine more with --memory")
    }
}
