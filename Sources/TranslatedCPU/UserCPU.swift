// The CPU of one guest thread: runs guest code of a program until a system call, a fault or a signal.

import CHost
import Glibc
import Translator

/// The CPU of one guest thread. Used by the host thread that runs it; `requestExit` alone may come from anywhere.
public final class UserCPU {
    /// The state block, see `StateLayout` and the layout of the architecture's front.
    public let registers: UnsafeMutableRawPointer
    let engine: UserEngine
    private let context: TranslationContext
    /// Guest code on its way into the translator.
    private let fetchSize: Int
    private let fetched: UnsafeMutableRawPointer
    private let singleMode: UInt32
    private let watchesWrites: Bool
    /// Numbers of the modes this CPU has run in, for the salt of its jump cache; the first has 0.
    private var saltedModes: [UInt32]

    init(engine: UserEngine) throws {
        self.engine = engine
        let block = try Self.allocateState()
        registers = block
        let architecture = engine.architecture
        fetchSize = architecture.unitBytesMax
        fetched = .allocate(byteCount: fetchSize, alignment: 16)
        singleMode = architecture.singleMode
        watchesWrites = !architecture.hasInstructionFence
        saltedModes = [engine.firstMode]
        context = TranslationContext(runtime: engine.runtime, state: block)
        architecture.reset(block)
        if let log = engine.options.logBlock { context.blockLog = { log($0, $1) } }
    }

    private static func allocateState() throws -> UnsafeMutableRawPointer {
        let block = mmap(nil, StateLayout.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let block, block != MAP_FAILED else { throw HostMemoryError.state }
        return block
    }

    /// The mode word an architecture starts programs with.
    static func firstMode(_ architecture: ProgramArchitecture) throws -> UInt32 {
        let block = try allocateState()
        defer { munmap(block, StateLayout.size) }
        architecture.reset(block)
        return block.load(fromByteOffset: StateLayout.mode, as: UInt32.self)
    }

    deinit {
        munmap(registers, StateLayout.size)
        fetched.deallocate()
    }

    /// What translating cost so far, one line; meaningful with GUISE_DEBUG=statistics.
    public var statistics: String { context.statistics }

    /// Must be called when the guest thread has ended.
    public func retire() {
        reportStatistics()
        context.retire()
    }

    /// Says what translating cost, when GUISE_DEBUG asks for it: when the guest thread or process is about to end.
    public func reportStatistics() {
        if engine.options.statistics { fputs("guise: \(context.statistics)\n", stderr) }
        if let path = engine.options.codeDump { engine.runtime.dumpCode(to: path) }
    }

    /// Guest program counter.
    public var pc: UInt64 {
        get { registers.load(fromByteOffset: StateLayout.pc, as: UInt64.self) }
        set { registers.storeBytes(of: newValue, toByteOffset: StateLayout.pc, as: UInt64.self) }
    }

    /// Takes over all registers of another CPU: for a new guest thread or process.
    public func copyState(from other: UserCPU) {
        let source = other.registers
        registers.advanced(by: StateLayout.integerGlobals).copyMemory(
            from: source + StateLayout.integerGlobals, byteCount: StateLayout.pc + 8 - StateLayout.integerGlobals)
        registers.advanced(by: StateLayout.front).copyMemory(from: source + StateLayout.front,
                                                             byteCount: StateLayout.frontSize)
        for offset in [StateLayout.mode, StateLayout.guestMXCSR, StateLayout.floatStatus] {
            registers.storeBytes(of: source.load(fromByteOffset: offset, as: UInt32.self), toByteOffset: offset,
                                 as: UInt32.self)
        }
        clearReservation()
    }

    /// Makes `run` return `.interrupted` soon. Async-signal-safe, callable from any thread.
    public func requestExit() { guise_store32(registers + StateLayout.exitRequest, 1) }

    /// Forgets a load reservation: on signal delivery.
    public func clearReservation() {
        registers.storeBytes(of: UInt64.max, toByteOffset: StateLayout.reservationAddress, as: UInt64.self)
    }

    /// Runs guest code from `pc` until something outside is needed.
    public func run() -> UserExit {
        let state = registers
        let firstMode = engine.firstMode
        var link = PendingExit.none
        while true {
            if guise_load32(state + StateLayout.exitRequest) != 0 {
                guise_store32(state + StateLayout.exitRequest, 0)
                return .interrupted
            }
            let start = pc
            let seen = context.epoch
            let mode = state.load(fromByteOffset: StateLayout.mode, as: UInt32.self)
            state.storeBytes(of: mode == firstMode ? 0 : salt(mode), toByteOffset: StateLayout.jumpSalt, as: UInt64.self)
            if watchesWrites, isStep(mode) {
                link = .none
                if let exit = step(start, mode | singleMode, seen) { return exit }
                continue
            }
            guard context.arrive(seen: seen) else { continue }
            if link.isNone, let code = context.remembered(start) {
                link = context.run(code, seen: seen)
            } else {
                var unit = context.existing(start: start, context: 0, mode: mode)
                if unit != .noUnit {
                    context.connect(link, to: unit, identity: 0, seen: seen)
                } else {
                    context.depart()
                    do throws(TranslationFailure) {
                        unit = try translate(start, mode, link, seen)
                    } catch .flushed {
                        continue
                    } catch {
                        return .memoryFault(address: start, access: .execute)
                    }
                    if unit == .noUnit { return .memoryFault(address: start, access: .execute) }
                }
                link = context.run(unit, seen: seen)
            }
            if let exit = afterExit() { return exit }
        }
    }

    /// Jump cache salt of a mode other than the first.
    @inline(never)
    private func salt(_ mode: UInt32) -> UInt64 {
        if let known = saltedModes.firstIndex(of: mode) { return UInt64(known) << 48 }
        if saltedModes.count == 1 << 14 {
            saltedModes.removeLast(saltedModes.count - 1)
            TranslationRuntime.clearJumpCache(registers)
        }
        saltedModes.append(mode)
        return UInt64(saltedModes.count - 1) << 48
    }

    /// Whether the next instruction must be executed alone: the mode says so, or it writes to the unit it stood in.
    @inline(__always)
    private func isStep(_ mode: UInt32) -> Bool {
        if registers.load(fromByteOffset: StateLayout.stepRequest, as: UInt32.self) != 0 {
            registers.storeBytes(of: 0, toByteOffset: StateLayout.stepRequest, as: UInt32.self)
            return true
        }
        return mode & singleMode != 0
    }

    /// Executes one instruction; nothing is linked to it or remembered.
    private func step(_ start: UInt64, _ mode: UInt32, _ seen: UInt32) -> UserExit? {
        guard context.arrive(seen: seen) else { return again() }
        var unit = context.existing(start: start, context: 0, mode: mode)
        if unit == .noUnit {
            context.depart()
            do throws(TranslationFailure) {
                unit = try translate(start, mode, .none, seen, remembers: false)
            } catch .flushed {
                return again()
            } catch {
                return .memoryFault(address: start, access: .execute)
            }
            if unit == .noUnit { return .memoryFault(address: start, access: .execute) }
        }
        let isTrap = registers.load(fromByteOffset: StateLayout.mode, as: UInt32.self) & singleMode != 0
        _ = context.run(unit, seen: seen)
        // Left for a request before it was executed.
        if context.wasLeftAtStart { return again() }
        if let exit = afterExit() { return exit }
        let kind = registers.load(fromByteOffset: StateLayout.exitKind, as: UInt32.self)
        return isTrap && kind != ExitKind.codeChanged.rawValue ? .exception(vector: Self.debug, errorCode: 0) : nil
    }

    /// x86's trap behind a single step.
    private static let debug = 1

    private func again() -> UserExit? {
        registers.storeBytes(of: 1, toByteOffset: StateLayout.stepRequest, as: UInt32.self)
        return nil
    }

    /// Makes a unit. Inside when it returns one.
    private func translate(_ start: UInt64, _ mode: UInt32, _ link: PendingExit, _ seen: UInt32,
                           remembers: Bool = true) throws(TranslationFailure) -> UnitIndex {
        let generation = engine.written.generation
        let available = engine.executableBytes(start)
        guard available > 0 else { return .noUnit }
        var isChecked = false
        if watchesWrites {
            isChecked = mustCheck(engine.written.prepare(start))
            let last = start &+ UInt64(min(available, Self.instructionBytesMax) - 1)
            if last >> 12 != start >> 12, mustCheck(engine.written.prepare(last)) { isChecked = true }
        }
        // Mapped is not readable: a file may end before its mapping, and another thread may unmap at any time.
        let wanted = min(available, fetchSize)
        let missing = guise_copy_in(fetched, UnsafeRawPointer(bitPattern: UInt(start)), UInt(wanted))
        guard missing < UInt(wanted) else { return .noUnit }
        let unit = try context.unit(start: start, mode: mode, context: 0, page: start >> 12,
                                    code: GuestCode(bytes: fetched, available: wanted - Int(missing)),
                                    limit: remembers ? 64 : 1, seen: seen, second: nil, link: link, isChecked: isChecked)
        if watchesWrites, engine.written.generation != generation {
            // The bytes may have been written between reading and publishing.
            context.depart()
            engine.runtime.invalidate(start: start, length: UInt64(wanted))
            throw .flushed
        }
        if link.isNone && remembers { context.connect(link, to: unit, identity: 0, seen: seen) }
        return unit
    }

    /// A loop has been entered often: makes it a region.
    private func makeRegion() {
        let state = registers, start = state.load(fromByteOffset: StateLayout.exitAddress, as: UInt64.self)
        // Exceptions that units raise themselves leave the word alone, and mean error code 0.
        state.storeBytes(of: 0, toByteOffset: StateLayout.exitAddress, as: UInt64.self)
        guard context.wantsRegion(start: start, context: 0, countedAt: pc) else { return }
        let generation = engine.written.generation, seen = context.epoch
        let mode = state.load(fromByteOffset: StateLayout.mode, as: UInt32.self)
        let available = min(engine.executableBytes(start), 0x1000 - Int(start & 0xFFF))
        guard available > 0, !watchesWrites || !mustCheck(engine.written.prepare(start)) else { return }
        withUnsafeTemporaryAllocation(byteCount: available, alignment: 16) { buffer in
            guard let bytes = buffer.baseAddress else { return }
            let missing = guise_copy_in(bytes, UnsafeRawPointer(bitPattern: UInt(start)), UInt(available))
            guard missing == 0 else { return }
            let made = context.region(start: start, mode: mode, context: 0, page: start >> 12,
                                      code: GuestCode(bytes: bytes, available: available), seen: seen)
            if made != .noUnit, watchesWrites, engine.written.generation != generation {
                engine.runtime.invalidate(start: start, length: UInt64(available))
            }
        }
    }

    /// The interpreter's stores do not show which unit they are in, so its units always end with the first one.
    private func mustCheck(_ page: WrittenCode.Preparation) -> Bool {
        page == .checked || page == .protected && engine.options.engine == .interpret
    }

    /// Longest instruction of any architecture.
    private static let instructionBytesMax = 16

    /// Sorts out why generated code was left; nil to go on.
    private func afterExit() -> UserExit? {
        let state = registers
        let kind = ExitKind(rawValue: state.load(fromByteOffset: StateLayout.exitKind, as: UInt32.self)) ?? .lookup
        switch kind {
        case .lookup, .link: return nil
        case .instructionFence:
            engine.instructionFence()
            return nil
        case .hot:
            makeRegion()
            return nil
        case .codeChanged:
            engine.runtime.invalidate(start: pc, length: 1)
            return nil
        case .alone: return again()
        case .systemCall: return .systemCall
        case .breakpoint: return .breakpoint
        case .memoryFault:
            let access = MemoryAccess(rawValue: state.load(fromByteOffset: StateLayout.exitAccess, as: UInt32.self))
            return .memoryFault(address: state.load(fromByteOffset: StateLayout.exitAddress, as: UInt64.self),
                                access: access ?? .read)
        case .misaligned:
            return .misaligned(address: state.load(fromByteOffset: StateLayout.exitAddress, as: UInt64.self))
        default:
            guard let vector = kind.exceptionVector else { return .illegalInstruction }
            return .exception(vector: vector,
                              errorCode: state.load(fromByteOffset: StateLayout.exitAddress, as: UInt64.self))
        }
    }
}

/// Host memory for a CPU could not be had.
enum HostMemoryError: Error { case state }
