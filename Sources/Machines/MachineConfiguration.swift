// What a machine is made of, as the user asked for it. Part of a suspend file, so it is written and checked like state.

import GuestX86
import SavedState

/// Which engine runs the harts.
public enum EngineChoice: String, CaseIterable, Sendable {
    case auto
    case translate
    case interpret
}

/// How the guest finds a device.
public enum DeviceBus: String, CaseIterable, Sendable {
    /// A virtio-mmio slot.
    case mmio
    /// A device number on the PCIe bus.
    case pci
}

/// What happens when a vCPU can go no further (triple fault, trap loop).
public enum CrashAction: String, CaseIterable, Sendable {
    /// The machine ends with status 1.
    case stop
    /// The machine starts anew.
    case reset
    /// The machine is written to a suspend file, to be looked at, and ends with status 1.
    case suspend
}

/// Where a serial port leads.
public enum SerialChoice: Equatable, Sendable, CustomStringConvertible {
    case stdio
    /// A new pseudo-terminal.
    case pty
    /// A listening UNIX socket at a path.
    case socket(String)
    /// Nowhere: output is dropped, and nothing is ever typed.
    case none

    /// Parses `stdio`, `pty`, `none` or `socket=PATH`; nil for anything else.
    public init?(_ text: String) {
        switch text {
        case "stdio": self = .stdio
        case "pty": self = .pty
        case "none": self = .none
        default:
            guard text.hasPrefix("socket="), text.count > "socket=".count else { return nil }
            self = .socket(String(text.dropFirst("socket=".count)))
        }
    }

    public var description: String {
        switch self {
        case .stdio: "stdio"
        case .pty: "pty"
        case .none: "none"
        case .socket(let path): "socket=\(path)"
        }
    }
}

/// A disk behind virtio-blk.
public struct DiskChoice: Equatable, Sendable {
    public var path: String
    public var readOnly: Bool
    /// Nil: where the board usually has its devices.
    public var bus: DeviceBus?

    public init(path: String, readOnly: Bool = false, bus: DeviceBus? = nil) {
        self.path = path
        self.readOnly = readOnly
        self.bus = bus
    }

    /// Parses `FILE[,ro][,bus=mmio|pci]`.
    /// - Throws: `MachineError` naming the unknown option.
    public init(parsing text: String) throws {
        var parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        path = parts.removeFirst()
        readOnly = false
        guard !path.isEmpty else { throw MachineError("--disk \(text)", "names no file", advice: "write --disk FILE[,ro][,bus=pci]") }
        for option in parts {
            switch option {
            case "ro": readOnly = true
            case "rw": readOnly = false
            case "bus=mmio": bus = .mmio
            case "bus=pci": bus = .pci
            default:
                throw MachineError("--disk \(text)", "unknown option '\(option)'",
                                   advice: "known options are ro, rw, bus=mmio and bus=pci")
            }
        }
    }
}

/// A host directory shared over 9p.
public struct ShareChoice: Equatable, Sendable {
    public var directory: String
    /// The name the guest mounts.
    public var tag: String

    public init(directory: String, tag: String) {
        self.directory = directory
        self.tag = tag
    }

    /// Parses `DIR=TAG`; the tag follows the last equals sign.
    public init(parsing text: String) throws {
        guard let split = text.lastIndex(of: "="), split != text.startIndex, text.index(after: split) != text.endIndex else {
            throw MachineError("--share \(text)", "not of the form DIR=TAG", advice: "write for example --share src=host")
        }
        directory = String(text[..<split])
        tag = String(text[text.index(after: split)...])
        guard tag.utf8.count <= 255 else { throw MachineError("--share \(text)", "the tag is longer than 255 bytes") }
    }
}

/// Everything needed to build a machine, again and again.
public struct MachineConfiguration: Equatable, Sendable {
    public static let cpusMax = 16
    public static let memoryMin: UInt64 = 8 << 20
    static let devicesMax = 8

    /// What `--arch` names.
    public var architecture = "riscv64"
    /// Board, as `--machine` names it.
    public var machine = "virt"
    /// Number of harts or processors, 1 to `cpusMax`.
    public var cpus = 1
    /// Processor model and features, as `--cpu` names them; nil for the board's usual one. x86 only.
    public var cpu: String?
    /// First of the four ports at which a guest ends the machine with a status. x86 only.
    public var debugExitPort: UInt16?
    /// What a crash of the guest does.
    public var onCrash = CrashAction.stop
    /// Size of RAM, a multiple of 4096.
    public var memorySizeBytes: UInt64 = 512 << 20
    /// File of the kernel or bare-metal program.
    public var kernel: String?
    /// File of the initial RAM disk.
    public var initrd: String?
    /// File of the M-mode firmware; nil means the built-in SBI.
    public var firmware: String?
    /// Kernel command line.
    public var append = ""
    /// Disks in the order of their slots.
    public var disks: [DiskChoice] = []
    /// Shared host directories, behind the disks.
    public var shares: [ShareChoice] = []
    /// Where the UART leads.
    public var serial = SerialChoice.stdio
    /// Where the virtio console leads (hvc0 in Linux), or nil for none.
    public var virtioConsole: SerialChoice?
    /// Directory for files that the machine itself makes; nil for the process's own.
    public var workingDirectory: String?
    /// Executor of guest code.
    public var engine = EngineChoice.auto
    /// Name under which other processes find the machine; nil hides it.
    public var name: String?

    public init() {}

    /// - Throws: `MachineError` for a machine that cannot be built.
    public func validate() throws {
        guard let board = BoardKind.forArchitecture(architecture) else {
            throw MachineError("--arch \(architecture)", "no such architecture here",
                               advice: "use \(Self.architectures.joined(separator: ", "))")
        }
        guard machine == board.rawValue else {
            throw MachineError("--machine \(machine)", "no such board for \(architecture)",
                               advice: "use --machine \(board.rawValue)")
        }
        guard (1...Self.cpusMax).contains(cpus) else {
            throw MachineError("--cpus \(cpus)", "the board has 1 to \(Self.cpusMax) processors")
        }
        guard (Self.memoryMin...board.memoryMax).contains(memorySizeBytes) else {
            throw MachineError("--memory \(memorySizeBytes)", "the board takes 8M to \(board.memoryMax >> 30)G")
        }
        switch board {
        case .virt:
            if let cpu { throw MachineError("--cpu \(cpu)", "harts of \(architecture) come in one model") }
            if debugExitPort != nil { throw MachineError("--debug-exit", "the board virt has no I/O ports") }
        case .microvm: try checkProcessors()
        }
        guard memorySizeBytes % 4096 == 0 else {
            throw MachineError("--memory \(memorySizeBytes)", "not a whole number of 4K pages")
        }
        guard disks.count + shares.count <= Self.devicesMax else {
            throw MachineError("--disk, --share", "\(disks.count + shares.count) devices, the board has slots for "
                               + "\(Self.devicesMax)")
        }
        guard append.utf8.count <= 4096 else { throw MachineError("--append", "longer than 4096 bytes") }
        if let virtioConsole, virtioConsole == serial, serial != .pty, serial != .none {
            throw MachineError("--virtio-console \(virtioConsole)", "the serial port leads there as well",
                               advice: "send one of them elsewhere, for example --serial none")
        }
        if let name { try Self.check(name: name) }
    }

    private func checkProcessors() throws {
        let model = try processorModel()
        if cpus > 1, model.localAPIC == .absent {
            throw MachineError("--cpus \(cpus)", "\(model.specification) has no local APIC to start others with",
                               advice: "use --cpus 1 or another --cpu")
        }
        if architecture == "x86_64", !model.features.contains(.lm) {
            throw MachineError("--cpu \(model.specification)", "no 64-bit processor", advice: "use --arch i386")
        }
        if firmware != nil { throw MachineError("--firmware", "the board microvm starts a kernel directly") }
    }

    /// The processor model of an x86 machine.
    /// - Throws: `MachineError`.
    func processorModel() throws -> CPUModel {
        do { return try CPUModel(cpu ?? Self.usualModel) } catch {
            throw MachineError("--cpu \(cpu ?? Self.usualModel)", "\(error)")
        }
    }

    /// What `--cpu` may name before the first comma.
    public static let processorModels = CPUModel.names
    /// What `--arch` may name.
    public static let architectures = ["riscv64", "x86_64", "i386"]
    static let usualModel = "max"
    /// Where a crashed machine goes with `onCrash` suspend.
    var crashFile: String { (workingDirectory ?? ".") + "/" + (name ?? "machine") + ".crash" }
    /// The board that an architecture has, for a default of `--machine`; nil for an unknown one.
    public static func board(ofArchitecture name: String) -> String? { BoardKind.forArchitecture(name)?.rawValue }
    /// The board; the configuration has been validated.
    var board: BoardKind { BoardKind.forArchitecture(architecture) ?? .virt }

    /// A name is a file name: letters, digits, `-`, `_` and `.`, at most 64, not starting with a dot.
    public static func check(name: String) throws {
        let allowed = name.utf8.allSatisfy { byte in
            UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte
                || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || "-_.".utf8.contains(byte)
        }
        guard allowed, !name.isEmpty, name.utf8.count <= 64, !name.hasPrefix(".") else {
            throw MachineError("--name \(name)", "not a machine name",
                               advice: "use up to 64 letters, digits, '-', '_' and '.', not starting with '.'")
        }
    }

    /// Parses a size with an optional suffix K, M, G or T of 1024; nil when it is not one.
    public static func parseSize(_ text: String) -> UInt64? {
        let suffixes: [Character: UInt64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40]
        let scale = text.last.flatMap { suffixes[Character($0.uppercased())] }
        let digits = scale == nil ? text[...] : text.dropLast()
        guard !digits.isEmpty, digits.allSatisfy({ $0.isASCII && $0.isNumber }), let number = UInt64(digits) else { return nil }
        let (size, overflow) = number.multipliedReportingOverflow(by: scale ?? 1)
        return overflow ? nil : size
    }

    // MARK: Saved form

    public func save(to writer: inout StateWriter) {
        writer.section("configuration", version: 3) { writer in
            writer.put(architecture)
            writer.put(machine)
            writer.put(UInt32(cpus))
            writer.put(memorySizeBytes)
            for text in [kernel, initrd, firmware, name, workingDirectory] {
                writer.put(text != nil)
                writer.put(text ?? "")
            }
            writer.put(append)
            writer.put(each: disks) { writer, disk in
                writer.put(disk.path)
                writer.put(disk.readOnly)
                writer.put(disk.bus?.rawValue ?? "")
            }
            writer.put(each: shares) { writer, share in
                writer.put(share.directory)
                writer.put(share.tag)
            }
            writer.put(serial.description)
            writer.put(virtioConsole?.description ?? "")
            writer.put(engine.rawValue)
            writer.put(cpu != nil)
            writer.put(cpu ?? "")
            writer.put(debugExitPort != nil)
            writer.put(debugExitPort ?? 0)
            writer.put(onCrash.rawValue)
        }
    }

    /// - Throws: `StateError` for a damaged stream, `MachineError` for a machine this build cannot make.
    public init(from reader: inout StateReader) throws {
        try reader.section("configuration", newest: 3) { reader, version in
            guard version == 3 else {
                throw StateError.unsupportedVersion(section: "configuration", found: version, newest: 3)
            }
            architecture = try reader.getString()
            machine = try reader.getString()
            cpus = Int(try reader.get(UInt32.self))
            memorySizeBytes = try reader.get()
            func optional(_ reader: inout StateReader) throws -> String? {
                let present = try reader.getBool()
                let text = try reader.getString()
                return present ? text : nil
            }
            kernel = try optional(&reader)
            initrd = try optional(&reader)
            firmware = try optional(&reader)
            name = try optional(&reader)
            workingDirectory = try optional(&reader)
            append = try reader.getString()
            disks = try reader.getEach(limit: Self.devicesMax) {
                let path = try $0.getString(), readOnly = try $0.getBool(), bus = try $0.getString()
                guard bus.isEmpty || DeviceBus(rawValue: bus) != nil else {
                    throw StateError.invalid(section: "configuration", reason: "a disk on bus '\(bus)'")
                }
                return DiskChoice(path: path, readOnly: readOnly, bus: DeviceBus(rawValue: bus))
            }
            shares = try reader.getEach(limit: Self.devicesMax) {
                ShareChoice(directory: try $0.getString(), tag: try $0.getString())
            }
            let serialText = try reader.getString(), consoleText = try reader.getString()
            let engineText = try reader.getString()
            guard let serial = SerialChoice(serialText), let engine = EngineChoice(rawValue: engineText) else {
                throw StateError.invalid(section: "configuration", reason: "serial '\(serialText)', engine '\(engineText)'")
            }
            self.serial = serial
            if !consoleText.isEmpty {
                virtioConsole = SerialChoice(consoleText)
                guard virtioConsole != nil else {
                    throw StateError.invalid(section: "configuration", reason: "virtio console '\(consoleText)'")
                }
            }
            self.engine = engine
            cpu = try optional(&reader)
            let hasDebugExit = try reader.getBool(), port: UInt16 = try reader.get()
            debugExitPort = hasDebugExit ? port : nil
            let action = try reader.getString()
            guard let onCrash = CrashAction(rawValue: action) else {
                throw StateError.invalid(section: "configuration", reason: "crash action '\(action)'")
            }
            self.onCrash = onCrash
        }
        try validate()
    }
}
