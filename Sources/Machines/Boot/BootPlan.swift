// What goes where in RAM before the first instruction, and how the harts start.
//
// Layout, from the start of RAM: firmware, if any; kernel at +2 MiB (where OpenSBI's generic images expect it); and from
// the top of the first 2 GiB downwards: device tree, fw_dynamic information, initial RAM disk.
// The plan is made from file contents and carried out by `BootLoader`; nothing here touches RAM.

import GuestMemory

/// The files a machine starts from, already read.
public struct BootFiles {
    /// A file's name for messages, and its contents.
    public struct File {
        public let path: String
        public let bytes: [UInt8]
        public init(path: String, bytes: [UInt8]) {
            self.path = path
            self.bytes = bytes
        }
    }
    /// Kernel image or bare-metal ELF program.
    public var kernel: File?
    /// Initial RAM disk for the kernel.
    public var initrd: File?
    /// Firmware that starts in M-mode before the kernel.
    public var firmware: File?

    public init(kernel: File? = nil, initrd: File? = nil, firmware: File? = nil) {
        self.kernel = kernel
        self.initrd = initrd
        self.firmware = firmware
    }
}

/// A machine's start.
public struct BootPlan: Equatable {
    /// Bytes for one place in RAM; the rest up to `memorySizeBytes` is zeroed.
    public struct Load: Equatable {
        public let what: String
        public let address: UInt64
        public let bytes: ArraySlice<UInt8>
        public let memorySizeBytes: UInt64
        var end: UInt64 { address + memorySizeBytes }
    }
    /// What is copied into RAM.
    public private(set) var loads: [Load] = []
    /// Address of the first instruction.
    public private(set) var entry: UInt64 = 0
    /// Mode in which the harts start.
    public private(set) var privilege = Privilege.supervisor
    /// Where the device tree goes; its bytes are not part of the plan.
    public private(set) var deviceTree: UInt64 = 0
    /// Where the initial RAM disk lies.
    public private(set) var initrd: Range<UInt64>?
    /// Third argument for firmware: the address of fw_dynamic information.
    public private(set) var firmwareInformation: UInt64 = 0
    /// HTIF mailbox of a bare-metal program.
    public private(set) var toHost: UInt64?

    /// Whether the machine itself answers SBI calls.
    public var suppliesSBI: Bool { privilege == .supervisor }

    /// Where kernels go behind firmware.
    static let kernelOffset: UInt64 = 2 << 20
    /// Room for the device tree and what lies around it.
    public static let deviceTreeSizeMax: UInt64 = 1 << 20
    static let topAlignment: UInt64 = 2 << 20
    /// Start-up data stays below this distance, where 32-bit pointers of early code reach.
    static let reach: UInt64 = 2 << 30
    static let pageSize: UInt64 = 4096

    private let ramStart: UInt64
    private let ramSize: UInt64

    /// - Throws: `MachineError` when a file cannot be used or does not fit.
    public init(_ files: BootFiles, ramStart: UInt64, ramSizeBytes: UInt64) throws {
        self.ramStart = ramStart
        ramSize = ramSizeBytes
        guard ramSizeBytes >= 4 * Self.topAlignment else {
            throw MachineError("--memory", "\(ramSizeBytes) bytes are too few", advice: "give at least 8M")
        }
        guard files.kernel != nil || files.firmware != nil else {
            throw MachineError("boot", "nothing to start", advice: "give --kernel FILE or --firmware FILE")
        }
        let top = (ramStart + min(ramSize, Self.reach) - Self.deviceTreeSizeMax) / Self.topAlignment * Self.topAlignment
        deviceTree = top
        var kernelEntry: UInt64 = 0
        if let kernel = files.kernel {
            kernelEntry = try placeKernel(kernel, behindFirmware: files.firmware != nil)
            entry = kernelEntry
        }
        var ceiling = top
        if let firmware = files.firmware {
            entry = try placeFirmware(firmware)
            privilege = .machine
            ceiling -= Self.pageSize
            firmwareInformation = ceiling
            let information = FirmwareDynamicInformation(nextAddress: kernelEntry).bytes
            try add("firmware information", at: ceiling, information[...], memorySizeBytes: Self.pageSize, path: firmware.path)
        }
        if let initrd = files.initrd { try place(initrd: initrd, below: ceiling) }
        try refuseOverlaps()
    }

    // MARK: Placing

    private mutating func placeKernel(_ file: BootFiles.File, behindFirmware: Bool) throws -> UInt64 {
        guard !file.bytes.isEmpty else { throw MachineError(file.path, "the file is empty") }
        if file.bytes.starts(with: Gzip.magic) {
            let unpacked = try Gzip.unpack(file, sizeMax: Int(ramSize))
            guard !unpacked.starts(with: Gzip.magic) else { throw MachineError(file.path, "compressed twice") }
            return try placeKernel(BootFiles.File(path: file.path, bytes: unpacked), behindFirmware: behindFirmware)
        }
        if ELFImage.matches(file.bytes) { return try place(elf: file, behindFirmware: behindFirmware) }
        if LinuxImage.matches(file.bytes) {
            let image = try LinuxImage(file.bytes, path: file.path)
            let address = ramStart + image.textOffset
            try add("kernel", at: address, file.bytes[...], memorySizeBytes: image.memorySizeBytes, path: file.path)
            return address
        }
        guard behindFirmware else {
            throw MachineError(file.path, "neither a RISC-V Linux Image nor an ELF file",
                               advice: "raw binaries start behind --firmware only")
        }
        let address = ramStart + Self.kernelOffset
        try add("kernel", at: address, file.bytes[...], memorySizeBytes: UInt64(file.bytes.count), path: file.path)
        return address
    }

    /// A program linked into RAM starts where it is linked: in M-mode when it lies where firmware would, in S-mode from
    /// +2 MiB up. A kernel linked at virtual addresses (vmlinux) is moved to +2 MiB as a whole.
    private mutating func place(elf file: BootFiles.File, behindFirmware: Bool) throws -> UInt64 {
        let image = try ELFImage(file.bytes, path: file.path)
        let lowest = image.segments.map(\.physical).min() ?? 0
        let linkedIntoRAM = lowest >= ramStart && lowest - ramStart < ramSize
        let shift = linkedIntoRAM ? 0 : ramStart &+ Self.kernelOffset &- lowest
        for segment in image.segments {
            let bytes = file.bytes[Int(segment.fileOffset)..<Int(segment.fileOffset + segment.fileSizeBytes)]
            try add("kernel", at: segment.physical &+ shift, bytes, memorySizeBytes: segment.memorySizeBytes, path: file.path)
        }
        let entry = image.physicalEntry &+ shift
        guard loads.contains(where: { entry >= $0.address && entry < $0.end }) else {
            throw MachineError(file.path, "the entry point lies outside the program")
        }
        if linkedIntoRAM {
            toHost = image.toHost
            let bare = entry - ramStart < Self.kernelOffset || toHost != nil
            if bare, !behindFirmware { privilege = .machine }
        }
        return entry
    }

    private mutating func placeFirmware(_ file: BootFiles.File) throws -> UInt64 {
        guard !file.bytes.isEmpty else { throw MachineError(file.path, "the file is empty") }
        guard ELFImage.matches(file.bytes) else {
            try add("firmware", at: ramStart, file.bytes[...], memorySizeBytes: UInt64(file.bytes.count), path: file.path)
            return ramStart
        }
        let image = try ELFImage(file.bytes, path: file.path)
        let lowest = image.segments.map(\.physical).min() ?? 0
        let linkedIntoRAM = lowest >= ramStart && lowest - ramStart < ramSize
        let shift = linkedIntoRAM ? 0 : ramStart &- lowest
        for segment in image.segments {
            let bytes = file.bytes[Int(segment.fileOffset)..<Int(segment.fileOffset + segment.fileSizeBytes)]
            try add("firmware", at: segment.physical &+ shift, bytes, memorySizeBytes: segment.memorySizeBytes,
                    path: file.path)
        }
        return image.physicalEntry &+ shift
    }

    private mutating func place(initrd file: BootFiles.File, below ceiling: UInt64) throws {
        guard !file.bytes.isEmpty else { throw MachineError(file.path, "the initial RAM disk is empty") }
        let size = UInt64(file.bytes.count)
        guard size < ceiling - ramStart else { throw tooLarge(file.path, "the initial RAM disk", size) }
        let address = (ceiling - size) / Self.pageSize * Self.pageSize
        try add("initrd", at: address, file.bytes[...], memorySizeBytes: size, path: file.path)
        initrd = address..<(address + size)
    }

    private mutating func add(_ what: String, at address: UInt64, _ bytes: ArraySlice<UInt8>, memorySizeBytes: UInt64,
                              path: String) throws {
        let offset = address &- ramStart
        guard offset < ramSize, memorySizeBytes <= ramSize - offset else { throw tooLarge(path, what, memorySizeBytes) }
        loads.append(Load(what: what, address: address, bytes: bytes, memorySizeBytes: memorySizeBytes))
    }

    private func refuseOverlaps() throws {
        let tree = Load(what: "device tree", address: deviceTree, bytes: [], memorySizeBytes: Self.deviceTreeSizeMax)
        let sorted = (loads + [tree]).sorted { $0.address < $1.address }
        for (first, second) in zip(sorted, sorted.dropFirst()) where first.end > second.address {
            // Segments of one file may touch the same page twice; across files it means there is no room.
            if first.what == second.what { continue }
            throw MachineError("--memory", "the \(first.what) and the \(second.what) do not fit side by side",
                               advice: "give the machine more memory")
        }
    }

    private func tooLarge(_ path: String, _ what: String, _ size: UInt64) -> MachineError {
        MachineError(path, "the \(what) of \(size) bytes does not fit into \(ramSize) bytes of memory",
                     advice: "give the machine more with --memory")
    }
}

/// What OpenSBI's fw_dynamic finds through a2. Spec: OpenSBI docs/firmware/fw_dynamic.md.
struct FirmwareDynamicInformation {
    static let magic: UInt64 = 0x4942_534f
    static let version: UInt64 = 2
    static let supervisorMode: UInt64 = 1
    /// Any hart may be the boot hart.
    static let anyHart = UInt64.max

    /// Where the next stage starts; zero when there is none.
    let nextAddress: UInt64

    var bytes: [UInt8] {
        [Self.magic, Self.version, nextAddress, Self.supervisorMode, 0, Self.anyHart]
            .flatMap { value in withUnsafeBytes(of: value.littleEndian) { Array($0) } }
    }
}
