// One guest process: what its threads share. The host process is the guest's alone; no helper thread lives in it.

import CHost
import Glibc
import TranslatedCPU

/// Options that a program and everything it executes run under.
public struct ProgramOptions {
    /// Directory that is the guest's `/`; empty: the host's.
    public var root: String = ""
    /// Name of the engine, handed on across execve.
    public var engine: String = "auto"
    /// Log categories and file as given to `--log`.
    public var log: String = ""
    /// Processor model of x86 programs, as `--cpu` takes it; empty: `max`. Of no meaning for others.
    public var cpu: String = ""

    public init() {}
}

/// State of the guest process that its threads share.
final class GuestProcess {
    let abi: any LinuxABI
    let space: GuestAddressSpace
    let engine: UserEngine
    let options: ProgramOptions
    let paths: GuestPaths
    let log: CallLog?
    /// Guards `threadCount`.
    let lock = ForkSafeLock()
    /// Guest threads in this process.
    var threadCount = 1
    /// Path of the running program as the guest names it.
    var executablePath = ""
    /// Path of the running program on the host.
    var hostExecutablePath = ""
    var initialStack = InitialStack.Layout()
    var stackTop: UInt64 = 0
    var codeStart: UInt64 = 0, codeEnd: UInt64 = 0
    /// Address of the code that returns from signal handlers.
    var trampoline: UInt64 = 0
    /// The emulator's own open files.
    let descriptors = OwnDescriptors()
    let limits = AddressLimits()
    /// Attached System V segments: address to length. Guarded by the address space's lock.
    var sharedSegments: [UInt64: UInt64] = [:]
    /// The LDT of x86 programs.
    let localDescriptors = LocalDescriptors()
    /// Value of personality(2).
    var personality: UInt64 = 0

    init(abi: any LinuxABI, options: ProgramOptions) throws {
        self.abi = abi
        self.options = options
        let space = GuestAddressSpace(limit: abi.addressLimit)
        self.space = space
        paths = GuestPaths(root: options.root, crossRoot: options.root.isEmpty ? abi.crossRoot : "")
        log = CallLog(specification: options.log)
        log?.hide(in: descriptors)
        engine = try options.makeEngine(abi, space, log: log)
    }

    private enum Layout {
        static let stackSizeDefault: UInt64 = 8 << 20
        static let stackSizeMax: UInt64 = 1 << 30
        static let stackGap: UInt64 = 1 << 20
        /// Pages of the stack that exist at once; the host grows the rest on demand.
        static let stackInitial: UInt64 = 132 << 10
    }

    /// Loads a program and prepares its stack and first thread's registers.
    func load(_ fd: Int32, _ stack: InitialStack, registers: UnsafeMutableRawPointer) throws {
        var stackLimit = rlimit()
        _ = withUnsafeMutablePointer(to: &stackLimit) {
            hostCall(.prlimit64, 0, Int(RLIMIT_STACK.rawValue), 0, Int(bitPattern: $0))
        }
        let room = min(max(pageUp(min(UInt64(stackLimit.rlim_cur), Layout.stackSizeMax)), Layout.stackInitial), Layout.stackSizeMax)
        stackTop = abi.addressLimit - pageSize
        space.stackWindow = (stackTop - room - Layout.stackGap)..<stackTop
        // The kernel reserves at least 128 MB below the top, so that RLIMIT_STACK may grow later.
        space.searchTop = stackTop - max(room + Layout.stackGap, 128 << 20)

        // Large argument lists need more at once than the usual first pages.
        let strings = (stack.arguments + stack.environment).reduce(0) { $0 + $1.count + 9 }
        let initial = min(room, max(Layout.stackInitial, pageUp(UInt64(strings) + (64 << 10))))
        let bottom = stackTop - initial
        let mapped = hostCall(
            .mmap, Int(bottom), Int(initial), Int(PROT_READ | PROT_WRITE),
            Int(MAP_PRIVATE) | MapFlag.anonymous | MapFlag.growsDown | MapFlag.stack | MapFlag.fixedNoReplace, -1, 0)
        guard mapped == Int(bottom) else {
            throw LoadError(errno: ENOMEM, reason: "no memory for its stack; guise must be linked to run above 0x\(hex(abi.addressLimit))")
        }
        let program = try ProgramLoader(space: space, abi: abi) { [paths] in paths.open($0) }.load(fd)
        let stackProtection: PageProtection = program.executableStack ? [.read, .write, .execute] : [.read, .write]
        space.insert(stackTop - room, room, stackProtection, kind: .stack)
        space.programBreak = pageUp(program.end)
        space.heapWindow = space.programBreak..<min(space.programBreak + abi.heapWindow, abi.addressLimit)
        try mapTrampoline()
        guard let layout = stack.write(below: stackTop, program: program, abi: abi) else {
            throw LoadError(errno: E2BIG, reason: "its arguments do not fit its stack")
        }
        initialStack = layout
        codeStart = program.codeStart
        codeEnd = program.codeEnd
        abi.start(registers, entry: program.start, stack: layout.stackPointer)
        abi.adopt(registers, self)
    }

    private func mapTrampoline() throws {
        guard let at = space.findFree(pageSize) else { throw LoadError(errno: ENOMEM, reason: "no room for it") }
        let flags = Int(MAP_PRIVATE) | MapFlag.anonymous | MapFlag.fixedNoReplace
        let r = hostCall(.mmap, Int(at), Int(pageSize), Int(PROT_READ | PROT_WRITE), flags, -1, 0)
        guard r == Int(at), Guest.write(abi.trampolineCode, at: at) else {
            throw LoadError(errno: ENOMEM, reason: "no memory for it")
        }
        _ = hostCall(.mprotect, r, Int(pageSize), Int(PROT_READ))
        space.insert(at, pageSize, [.read, .execute], kind: .trampoline)
        trampoline = at
    }
}
