// The supervisor binary interface that a machine without M-mode firmware supplies itself.
//
// Spec: RISC-V SBI 2.0: BASE (§4), legacy (§5), TIME (§6), IPI (§7), RFENCE (§8), HSM (§9), SRST (§10), DBCN (§12).
// A pure function of the calling hart's registers and the small `SBIHart` contract, so that it is tested without a machine.
// Absent: PMU, SUSP, CPPC, NACL, STA; the hypervisor fences; legacy IPIs and fences (their masks lie at guest-virtual
// addresses). All of these answer SBI_ERR_NOT_SUPPORTED.

/// Names from the SBI specification.
public enum SBIExtension {
    static let legacySetTimer: UInt64 = 0
    static let legacyConsolePutchar: UInt64 = 1
    static let legacyConsoleGetchar: UInt64 = 2
    static let legacyClearIPI: UInt64 = 3
    static let legacyLast: UInt64 = 8
    static let legacyShutdown: UInt64 = 8
    static let base: UInt64 = 0x10
    static let timer: UInt64 = 0x5449_4d45
    static let ipi: UInt64 = 0x0073_5049
    static let remoteFence: UInt64 = 0x5246_4e43
    static let hartState: UInt64 = 0x0048_534d
    static let systemReset: UInt64 = 0x5352_5354
    static let debugConsole: UInt64 = 0x4442_434e
    static let supported: Set<UInt64> = [base, timer, ipi, remoteFence, hartState, systemReset, debugConsole,
                                         legacySetTimer, legacyConsolePutchar, legacyConsoleGetchar, legacyClearIPI,
                                         legacyShutdown]
}

/// SBI error codes (§3).
public enum SBIError: Int64, Sendable {
    case success = 0
    case failed = -1
    case notSupported = -2
    case invalidParameter = -3
    case denied = -4
    case invalidAddress = -5
    case alreadyAvailable = -6
    case alreadyStarted = -7
    case alreadyStopped = -8
}

/// HSM hart states (§9, table 1).
public enum SBIHartStatus: UInt64, Sendable {
    case started = 0
    case stopped = 1
    case startPending = 2
    case stopPending = 3
    case suspended = 4
    case suspendPending = 5
    case resumePending = 6
}

/// What a remote fence covers.
public enum SBIFence: Equatable, Sendable {
    case instructions
    /// A range of virtual addresses in one address space, or in all.
    case addresses(start: UInt64, sizeBytes: UInt64, asid: UInt64?)
}

/// How an SRST or legacy shutdown call ends the machine.
public enum SBIReset: Equatable, Sendable {
    case shutdown(failure: Bool)
    case reboot
}

/// What the calling hart does after the call.
public enum SBIOutcome: Equatable, Sendable {
    /// Goes on behind the ECALL.
    case resume
    /// Stops until another hart starts it; `SBIHart.stop` has been called.
    case stop
    /// Waits for an interrupt, then goes on behind the ECALL (retentive suspend).
    case suspend
    /// Waits for an interrupt, then starts afresh (non-retentive suspend).
    case suspendAndRestart(address: UInt64, opaque: UInt64)
    /// The machine is ending or restarting.
    case park
}

/// The calling hart and what it may reach.
public protocol SBIHart {
    var hartID: Int { get }
    /// Harts 0…hartCount-1 exist.
    var hartCount: Int { get }
    func register(_ number: Int) -> UInt64
    func setRegister(_ number: Int, _ value: UInt64)
    func status(ofHart hart: Int) -> SBIHartStatus
    /// Starts a stopped hart in S-mode with a0 = its id, a1 = opaque; false when it is not stopped.
    func start(hart: Int, address: UInt64, opaque: UInt64) -> Bool
    /// Marks the calling hart as stopped.
    func stop()
    /// Clears the pending supervisor timer interrupt and raises it again at the deadline; all ones means never.
    func setTimer(deadlineTicks: UInt64)
    func sendIPI(toHart hart: Int)
    func clearIPI()
    /// Returns once every listed hart has done the fence.
    func remoteFence(_ fence: SBIFence, harts: [Int])
    func reset(_ reset: SBIReset)
    /// Whether [address, address+sizeBytes) is RAM.
    func isMemory(address: UInt64, sizeBytes: UInt64) -> Bool
    /// Bytes of RAM at an address that `isMemory` accepted.
    func readMemory(address: UInt64, sizeBytes: Int) -> [UInt8]
    func writeMemory(address: UInt64, _ bytes: [UInt8])
    /// Writes to the debug console without waiting; returns how many bytes it took.
    func writeConsole(_ bytes: [UInt8]) -> Int
    /// Up to `limit` bytes typed at the debug console.
    func readConsole(limit: Int) -> [UInt8]
}

/// The implementation.
public enum SBI {
    static let specificationVersion: UInt64 = 2 << 24
    /// "GUI" in ASCII; no registered implementation has it.
    static let implementationID: UInt64 = 0x47_5549
    static let implementationVersion: UInt64 = 1
    /// Bytes moved by one debug console call; the caller repeats for the rest.
    static let consoleChunkBytes = 4096

    private static let a0 = 10, a1 = 11, a2 = 12, a3 = 13, a4 = 14, a6 = 16, a7 = 17

    private struct Reply {
        var error = SBIError.success
        var value: UInt64 = 0
        var outcome = SBIOutcome.resume
        static func failure(_ error: SBIError) -> Reply { Reply(error: error) }
    }

    /// Handles one ECALL: reads a0…a7, writes a0 and a1, says how the hart goes on.
    public static func call(_ hart: some SBIHart) -> SBIOutcome {
        let number = hart.register(a7)
        if number <= SBIExtension.legacyLast { return legacy(hart, number) }
        let function = hart.register(a6)
        let reply = switch number {
        case SBIExtension.base: base(hart, function)
        case SBIExtension.timer: timer(hart, function)
        case SBIExtension.ipi: ipi(hart, function)
        case SBIExtension.remoteFence: remoteFence(hart, function)
        case SBIExtension.hartState: hartState(hart, function)
        case SBIExtension.systemReset: systemReset(hart, function)
        case SBIExtension.debugConsole: debugConsole(hart, function)
        default: Reply.failure(.notSupported)
        }
        switch reply.outcome {
        case .stop, .park, .suspendAndRestart: break
        case .resume, .suspend:
            hart.setRegister(a0, UInt64(bitPattern: reply.error.rawValue))
            hart.setRegister(a1, reply.value)
        }
        return reply.outcome
    }

    /// Legacy calls return one value in a0.
    private static func legacy(_ hart: some SBIHart, _ number: UInt64) -> SBIOutcome {
        var result: Int64 = 0
        switch number {
        case SBIExtension.legacySetTimer: hart.setTimer(deadlineTicks: hart.register(a0))
        case SBIExtension.legacyConsolePutchar:
            if hart.writeConsole([UInt8(truncatingIfNeeded: hart.register(a0))]) == 0 { result = SBIError.failed.rawValue }
        case SBIExtension.legacyConsoleGetchar: result = hart.readConsole(limit: 1).first.map { Int64($0) } ?? -1
        case SBIExtension.legacyClearIPI: hart.clearIPI()
        case SBIExtension.legacyShutdown:
            hart.reset(.shutdown(failure: false))
            return .park
        default: result = SBIError.notSupported.rawValue
        }
        hart.setRegister(a0, UInt64(bitPattern: result))
        return .resume
    }

    private static func base(_ hart: some SBIHart, _ function: UInt64) -> Reply {
        switch function {
        case 0: Reply(value: specificationVersion)
        case 1: Reply(value: implementationID)
        case 2: Reply(value: implementationVersion)
        case 3: Reply(value: SBIExtension.supported.contains(hart.register(a0)) ? 1 : 0)
        case 4, 5, 6: Reply(value: 0)  // mvendorid, marchid, mimpid: not a commercial implementation
        default: .failure(.notSupported)
        }
    }

    private static func timer(_ hart: some SBIHart, _ function: UInt64) -> Reply {
        guard function == 0 else { return .failure(.notSupported) }
        hart.setTimer(deadlineTicks: hart.register(a0))
        return Reply()
    }

    private static func ipi(_ hart: some SBIHart, _ function: UInt64) -> Reply {
        guard function == 0 else { return .failure(.notSupported) }
        guard let harts = selection(hart) else { return .failure(.invalidParameter) }
        for target in harts { hart.sendIPI(toHart: target) }
        return Reply()
    }

    private static func remoteFence(_ hart: some SBIHart, _ function: UInt64) -> Reply {
        guard function <= 2 else { return .failure(.notSupported) }
        guard let harts = selection(hart) else { return .failure(.invalidParameter) }
        let start = hart.register(a2), size = hart.register(a3)
        switch function {
        case 0: hart.remoteFence(.instructions, harts: harts)
        case 1: hart.remoteFence(.addresses(start: start, sizeBytes: size, asid: nil), harts: harts)
        default: hart.remoteFence(.addresses(start: start, sizeBytes: size, asid: hart.register(a4)), harts: harts)
        }
        return Reply()
    }

    private static func hartState(_ hart: some SBIHart, _ function: UInt64) -> Reply {
        switch function {
        case 0:
            guard hart.register(a0) < UInt64(hart.hartCount) else { return .failure(.invalidParameter) }
            let address = hart.register(a1)
            guard address & 1 == 0, hart.isMemory(address: address, sizeBytes: 2) else { return .failure(.invalidAddress) }
            let started = hart.start(hart: Int(hart.register(a0)), address: address, opaque: hart.register(a2))
            return started ? Reply() : .failure(.alreadyAvailable)
        case 1:
            hart.stop()
            return Reply(outcome: .stop)
        case 2:
            guard hart.register(a0) < UInt64(hart.hartCount) else { return .failure(.invalidParameter) }
            return Reply(value: hart.status(ofHart: Int(hart.register(a0))).rawValue)
        case 3: return suspend(hart)
        default: return .failure(.notSupported)
        }
    }

    private static let suspendRetentive: UInt64 = 0
    private static let suspendNonRetentive: UInt64 = 0x8000_0000

    private static func suspend(_ hart: some SBIHart) -> Reply {
        switch hart.register(a0) & 0xffff_ffff {
        case suspendRetentive: return Reply(outcome: .suspend)
        case suspendNonRetentive:
            let address = hart.register(a1)
            guard address & 1 == 0, hart.isMemory(address: address, sizeBytes: 2) else { return .failure(.invalidAddress) }
            return Reply(outcome: .suspendAndRestart(address: address, opaque: hart.register(a2)))
        case 1...0x0fff_ffff, 0x8000_0001...0x8fff_ffff: return .failure(.invalidParameter)
        default: return .failure(.notSupported)
        }
    }

    private static func systemReset(_ hart: some SBIHart, _ function: UInt64) -> Reply {
        guard function == 0 else { return .failure(.notSupported) }
        let type = hart.register(a0) & 0xffff_ffff, reason = hart.register(a1) & 0xffff_ffff
        guard reason <= 1 || reason >= 0xe000_0000 else { return .failure(.invalidParameter) }
        switch type {
        case 0: hart.reset(.shutdown(failure: reason != 0))
        case 1, 2: hart.reset(.reboot)
        case 3...0xefff_ffff: return .failure(.invalidParameter)
        default: return .failure(.notSupported)
        }
        return Reply(outcome: .park)
    }

    private static func debugConsole(_ hart: some SBIHart, _ function: UInt64) -> Reply {
        if function == 2 {
            return hart.writeConsole([UInt8(truncatingIfNeeded: hart.register(a0))]) == 1 ? Reply() : .failure(.failed)
        }
        guard function <= 1 else { return .failure(.notSupported) }
        let length = hart.register(a0), address = hart.register(a1)
        guard hart.register(a2) == 0, hart.isMemory(address: address, sizeBytes: length) else {
            return .failure(.invalidParameter)
        }
        let chunk = Int(min(length, UInt64(consoleChunkBytes)))
        if function == 0 {
            return Reply(value: UInt64(hart.writeConsole(hart.readMemory(address: address, sizeBytes: chunk))))
        }
        let bytes = hart.readConsole(limit: chunk)
        hart.writeMemory(address: address, bytes)
        return Reply(value: UInt64(bytes.count))
    }

    /// The harts named by hart_mask (a0) and hart_mask_base (a1), or nil when one does not exist (§3.1).
    private static func selection(_ hart: some SBIHart) -> [Int]? {
        let mask = hart.register(a0), base = hart.register(a1)
        if base == .max { return Array(0..<hart.hartCount) }
        var harts: [Int] = []
        var rest = mask
        while rest != 0 {
            let (number, overflow) = base.addingReportingOverflow(UInt64(rest.trailingZeroBitCount))
            guard !overflow, number < UInt64(hart.hartCount) else { return nil }
            harts.append(Int(number))
            rest &= rest &- 1
        }
        return harts
    }
}
