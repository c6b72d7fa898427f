// guise boot: starts a machine and stays with it until it ends.

import ArgumentParser
import Glibc
import Machines

/// A memory size on the command line.
struct SizeArgument: ExpressibleByArgument {
    let bytes: UInt64
    init?(argument: String) {
        guard let bytes = MachineConfiguration.parseSize(argument) else { return nil }
        self.bytes = bytes
    }
}

/// An I/O port on the command line, decimal or with 0x.
struct PortArgument: ExpressibleByArgument {
    let number: UInt16
    init?(argument: String) {
        let text = argument.lowercased()
        guard let number = text.hasPrefix("0x") ? UInt16(text.dropFirst(2), radix: 16) : UInt16(text) else { return nil }
        self.number = number
    }
}

extension EngineChoice: ExpressibleByArgument {}
extension CrashAction: ExpressibleByArgument {}

/// `guise boot`.
struct BootCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "boot",
        abstract: "Start a machine.",
        discussion: """
            Starts a kernel or firmware on a whole emulated computer. The guest's first serial port is this terminal:
            ctrl-a x ends the machine, ctrl-a h lists the keys. The exit status is 0 when the guest powers off and
            non-zero when it fails or panics; 125 is Guise's own failure.
            """)

    @Option(help: ArgumentHelp("Guest architecture: riscv64, x86_64 or i386.", valueName: "arch"),
            completion: .list(MachineConfiguration.architectures))
    var arch = "riscv64"

    @Option(help: ArgumentHelp("Board: virt (riscv64) or microvm (x86_64, i386).", valueName: "board"),
            completion: .list(["virt", "microvm"]))
    var machine: String?

    @Option(help: ArgumentHelp("Processor model of an x86 machine, with ',+feature' and ',-feature' (default: max).",
                               valueName: "model"), completion: .list(MachineConfiguration.processorModels))
    var cpu: String?

    @Option(help: ArgumentHelp("Number of harts or processors, 1 to 16.", valueName: "n"))
    var cpus = 1

    @Option(help: ArgumentHelp("Memory, with suffix K, M or G (default: 512M).", valueName: "size"))
    var memory: SizeArgument?

    @Option(help: ArgumentHelp("Linux Image or bzImage, ELF or Multiboot executable, or anything behind --firmware.", valueName: "file"))
    var kernel: String?

    @Option(help: ArgumentHelp("Initial RAM disk.", valueName: "file"))
    var initrd: String?

    @Option(help: ArgumentHelp("Kernel arguments.", valueName: "text"))
    var append = ""

    @Option(help: ArgumentHelp("M-mode firmware, raw or ELF (default: built-in SBI).", valueName: "file"))
    var firmware: String?

    @Option(help: ArgumentHelp("A raw disk image; with ',ro' read-only, with ',bus=pci' on PCIe. Repeatable.",
                         valueName: "file[,ro][,bus=pci]"))
    var disk: [String] = []

    @Option(help: ArgumentHelp("A host directory to share over 9p under a tag. Repeatable.", valueName: "dir=tag"))
    var share: [String] = []

    @Option(help: ArgumentHelp("Where the serial port leads: stdio, pty, socket=PATH or none (default: stdio).",
                               valueName: "where"))
    var serial: String?

    @Option(help: ArgumentHelp("Adds a virtio console (hvc0) that leads to stdio, pty or socket=PATH; with stdio the "
                               + "serial port leads nowhere unless told.", valueName: "where"))
    var virtioConsole: String?

    @Option(help: "Engine: auto, translate or interpret.")
    var engine = EngineChoice.auto

    @Option(help: ArgumentHelp("A name by which guise suspend finds the machine.", valueName: "name"))
    var name: String?

    @Option(help: ArgumentHelp("First of four I/O ports where an x86 guest ends the machine: status = value * 2 + 1.",
                               valueName: "port"))
    var debugExit: PortArgument?

    @Option(help: "What to do when the guest crashes, as by a triple fault: stop, reset or suspend.")
    var onCrash = CrashAction.stop

    @Option(help: ArgumentHelp("What to log to standard error: blocks,faults.", valueName: "topics"))
    var log: String?

    func run() throws {
        let machine = try Machine(booting: try machineConfiguration(), in: try machineEnvironment(log: log))
        throw ExitCode(try machine.run().exitStatus)
    }

    private func machineConfiguration() throws -> MachineConfiguration {
        var configuration = MachineConfiguration()
        configuration.architecture = arch
        configuration.machine = machine ?? MachineConfiguration.board(ofArchitecture: arch) ?? "none"
        configuration.cpu = cpu
        configuration.debugExitPort = debugExit?.number
        configuration.onCrash = onCrash
        configuration.workingDirectory = absolute(".")
        configuration.cpus = cpus
        if let memory { configuration.memorySizeBytes = memory.bytes }
        configuration.kernel = kernel.map(absolute)
        configuration.initrd = initrd.map(absolute)
        configuration.firmware = firmware.map(absolute)
        configuration.append = append
        configuration.disks = try disk.map {
            var choice = try DiskChoice(parsing: $0)
            choice.path = absolute(choice.path)
            return choice
        }
        configuration.shares = try share.map {
            var choice = try ShareChoice(parsing: $0)
            choice.directory = absolute(choice.directory)
            return choice
        }
        configuration.virtioConsole = try virtioConsole.map { try place("--virtio-console", $0) }
        let usual = configuration.virtioConsole == .stdio ? SerialChoice.none : .stdio
        configuration.serial = try serial.map { try place("--serial", $0) } ?? usual
        configuration.engine = engine
        configuration.name = name
        return configuration
    }

    private func place(_ option: String, _ text: String) throws -> SerialChoice {
        guard let choice = SerialChoice(text) else {
            throw MachineError("\(option) \(text)", "no such place", advice: "use stdio, pty, socket=PATH or none")
        }
        if case .socket(let path) = choice { return .socket(absolute(path)) }
        return choice
    }
}

/// Paths are kept absolute: a suspended machine may be resumed from another directory.
func absolute(_ path: String) -> String {
    guard !path.hasPrefix("/"), let directory = getcwd(nil, 0) else { return path }
    defer { free(directory) }
    return String(cString: directory) + "/" + path
}

/// What `boot` and `resume` give a machine.
func machineEnvironment(log: String?) throws -> MachineEnvironment {
    var environment = MachineEnvironment(makeCPU: Engines.translated(), makeVirtio: VirtioBackends.make) { line in
        fputs(line + "\n", stderr)
    }
    environment.logTopics = try (log ?? "").split(separator: ",").map { topic in
        guard MachineEnvironment.knownLogTopics.contains(String(topic)) else {
            throw MachineError("--log \(topic)", "no such topic",
                               advice: "known topics are " + MachineEnvironment.knownLogTopics.sorted().joined(separator: ", "))
        }
        return String(topic)
    }
    return environment
}
