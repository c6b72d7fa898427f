// One vCPU of a machine on the translator, whatever its architecture: runs guest code until the machine is needed. What
// differs between architectures is overridden by RISCVMachineCPU and X86MachineCPU. Memory accesses that generated code
// does not make itself are in MachineAccess.swift.

import Bus
import CHost
import Glibc
import GuestMemory
import SavedState
import Translator

/// Why guest code stopped.
public enum MachineExit: Sendable, Equatable {
    /// The vCPU waits for an interrupt and none is pending. RISC-V: pc is past the WFI. x86: calling `run` again goes on
    /// waiting.
    case halted
    /// ECALL from supervisor mode with built-in SBI; pc is past it.
    case environmentCall
    case kicked
    /// A value was stored to the HTIF mailbox.
    case hostToTarget(UInt64)
    /// The guest can go no further, with the reason.
    case shutdown(String)
}

/// What an instruction fetch found.
struct FetchMapping {
    /// Address of the page.
    var physicalPage: UInt64
    var isGlobal: Bool
}

/// What a data access found.
struct DataMapping {
    /// Physical address of the byte asked for.
    var physical: UInt64
    /// What may be done in this mode without asking again.
    var readable: Bool
    var writable: Bool
    var isGlobal: Bool
}

/// A vCPU. Used by its own thread, except where a method says otherwise.
public class MachineCPU: Savable, @unchecked Sendable {
    /// Number of the vCPU, from 0.
    public let hartID: Int
    let engine: MachineEngine
    /// The state block.
    public let state: UnsafeMutableRawPointer
    let tlb: MachineTLB
    let context: TranslationContext
    /// Where the number of the data TLB set lies in a mode word.
    let dataSetShift: UInt32
    /// Mode bits that mean one instruction to the unit.
    private let singleMode: UInt32
    /// Requests from other threads. UInt32 words, atomic.
    private let requests: UnsafeMutablePointer<UInt32>
    private enum Request { static let kick = 0, flush = 1, running = 2, trim = 3, settle = 4, regions = 5, count = 16 }
    /// The value stored to the HTIF mailbox, until reported.
    var mailbox: UInt64 = 0
    private var fetchFaults = 0
    /// What executes alone with every other vCPU standing still, see MachineAccess.swift.
    var lockedAccess = LockedAccess()
    /// One instruction runs in a unit of its own: it may write to code anywhere.
    var isStepping = false
    /// Regions published by this vCPU.
    private(set) var regionsTaken = 0
    /// The unit that was entered last, for the interpreter, which leaves no host address behind.
    var enteredUnit: UnitIndex = .noUnit

    /// - Parameters:
    ///   - dataSetShift: where in a mode word the number of the data TLB set lies.
    ///   - singleMode: mode bits that make a unit of one instruction.
    /// - Throws: `HostError` when memory cannot be had.
    init(engine: MachineEngine, hartID: Int, dataSetShift: UInt32, singleMode: UInt32) throws {
        self.engine = engine
        self.hartID = hartID
        self.dataSetShift = dataSetShift
        self.singleMode = singleMode
        let block = mmap(nil, StateLayout.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let block, block != MAP_FAILED else { throw HostMemoryError.state }
        state = block
        requests = .allocate(capacity: Request.count)
        requests.initialize(repeating: 0, count: Request.count)
        tlb = MachineTLB(state: block, ram: engine.ram)
        context = TranslationContext(runtime: engine.runtime, state: block)
        if let log = engine.options.logBlock { context.blockLog = { log($0, $1) } }
        let reference = UInt64(UInt(bitPattern: Unmanaged.passUnretained(self).toOpaque()))
        block.storeBytes(of: reference, toByteOffset: StateLayout.context, as: UInt64.self)
        engine.join(self)
    }

    deinit {
        context.retire()
        lockedAccess.copy.deallocate()
        requests.deallocate()
        munmap(state, StateLayout.size)
    }

    /// Says what GUISE_DEBUG asks for.
    public func finish() {
        if engine.options.statistics { fputs("guise: hart \(hartID): \(context.statistics), \(regionsTaken) of another thread\n", stderr) }
        if let path = engine.options.codeDump { engine.runtime.dumpCode(to: path) }
    }

    /// The vCPU a state block belongs to.
    @inline(__always) static func of(_ state: UnsafeMutableRawPointer) -> MachineCPU {
        let raw = state.load(fromByteOffset: StateLayout.context, as: UnsafeRawPointer.self)
        return Unmanaged<MachineCPU>.fromOpaque(raw).takeUnretainedValue()
    }

    /// Calls `body` with the vCPU a state block belongs to, without counting a reference.
    @inline(__always)
    static func with<Result>(_ state: UnsafeMutableRawPointer, _ body: (MachineCPU) -> Result) -> Result {
        let raw = state.load(fromByteOffset: StateLayout.context, as: UnsafeRawPointer.self)
        return Unmanaged<MachineCPU>.fromOpaque(raw)._withUnsafeGuaranteedRef(body)
    }

    @inline(__always) var mode: UInt32 { state.load(fromByteOffset: StateLayout.mode, as: UInt32.self) }
    @inline(__always) var pc: UInt64 {
        get { state.load(fromByteOffset: StateLayout.pc, as: UInt64.self) }
        set { state.storeBytes(of: newValue, toByteOffset: StateLayout.pc, as: UInt64.self) }
    }
    @inline(__always) var exitAddress: UInt64 { state.load(fromByteOffset: StateLayout.exitAddress, as: UInt64.self) }
    @inline(__always) var exitAccess: UInt32 { state.load(fromByteOffset: StateLayout.exitAccess, as: UInt32.self) }
    /// Number of the data TLB set that the current mode uses.
    @inline(__always) var dataSet: Int { Int(mode >> dataSetShift & 3) }

    // MARK: what architectures override

    /// What of a mode decides which fetches are allowed.
    func view(_ mode: UInt32) -> UInt32 { 0 }

    /// Translates an instruction address; nil after the vCPU took the exception for it.
    func translateFetch(_ address: UInt64) -> FetchMapping? { nil }

    /// Host memory of a page of code; nil when the vCPU took an exception instead.
    func codeBytes(_ physicalPage: UInt64, for address: UInt64) -> UnsafeRawPointer? {
        engine.ram.pointer(GuestPhysical(physicalPage), length: 4096).map { UnsafeRawPointer($0) }
    }

    /// Translates a data address; nil after `failAccess`.
    func translateData(_ address: UInt64, isWrite: Bool) -> DataMapping? { nil }

    /// Reads 1, 2, 4 or 8 bytes where there is no RAM; nil after `failAccess`.
    func readDevice(_ physical: UInt64, _ size: Int, for address: UInt64) -> UInt64? { nil }

    /// Writes 1, 2, 4 or 8 bytes where there is no RAM, or `failAccess`.
    func writeDevice(_ physical: UInt64, _ size: Int, _ value: UInt64, for address: UInt64) {}

    /// Takes interrupts and whatever else waits for an instruction boundary. Called when an exit was requested.
    func takeEvents() -> MachineExit? { nil }

    /// Sorts out why generated code was left; nil to go on.
    func handle(_ kind: ExitKind) -> MachineExit? { nil }

    /// Whether a store to the running unit shows in its next instruction: there is no instruction fence.
    var stopsOnOwnCode: Bool { false }

    /// Whether atomic operations are allowed across pages and on devices.
    var canLockAnywhere: Bool { false }

    /// Refuses an atomic operation where there is no RAM, with `failAccess`.
    func failAtomic(_ address: UInt64) {}

    /// An address after arithmetic, in the width of the current mode.
    func wrapped(_ address: UInt64) -> UInt64 { address }

    /// Whether data accesses are to be reported by `didAccess`.
    var watchesAccesses: Bool { false }
    /// A data access has been made that was not a TLB hit.
    func didAccess(_ address: UInt64, _ size: Int, isWrite: Bool) {}

    /// Before and after an instruction that the mode wants alone: traps for debuggers, the end of an interrupt shadow.
    func willStep() -> Bool { true }
    func didStep() {}

    /// Architectural state. The vCPU is not running.
    public func save(to writer: inout StateWriter) {}
    public func restore(from reader: inout StateReader) throws {}

    // MARK: from any thread

    /// Makes `run` return `.kicked`.
    public func kick() {
        guise_store32(requests + Request.kick, 1)
        requestExit()
    }

    /// Makes generated code be left at the next instruction boundary where it looks.
    func requestExit() { guise_store32(state + StateLayout.exitRequest, 1) }

    /// Forgets cached translations on behalf of another hart; returns when that has happened or the vCPU is not running.
    public func flushTranslations() {
        guise_store32(requests + Request.flush, 1)
        requestExit()
        while guise_load32(requests + Request.running) != 0 && guise_load32(requests + Request.flush) != 0 {
            sched_yield()
        }
    }

    /// Asks for the memory of translations back: they are dropped when the vCPU next runs.
    public func releaseCaches() {
        guise_store32(requests + Request.trim, 1)
        requestExit()
    }

    /// Whether the vCPU is in `run`.
    var isRunning: Bool { guise_load32(requests + Request.running) != 0 }

    /// Asks the vCPU to come out of generated code and tell the engine.
    func askToSettle() {
        guise_store32(requests + Request.settle, 1)
        requestExit()
    }

    /// Tells the vCPU that regions it has asked for are made.
    func askToTakeRegions() {
        guise_store32(requests + Request.regions, 1)
        requestExit()
    }

    // MARK: running

    /// Runs guest code until the machine is needed.
    public func run() -> MachineExit {
        guise_store32(requests + Request.running, 1)
        defer {
            guise_store32(requests + Request.running, 0)
            if guise_exchange32(requests + Request.settle, 0) != 0 { engine.settle(self) }
        }
        var link = PendingExit.none
        // The guest has left its path by a system call, a return from one, an exception: the jump cache is as good a guide
        // there as for its own indirect jumps. Not when a unit sent us here to have its pages' identities renewed.
        var isTransfer = false
        let usesJumpCache = !engine.runtime.options.interpret && engine.options.logBlock == nil
        while true {
            if guise_load32(state + StateLayout.exitRequest) != 0 {
                guise_store32(state + StateLayout.exitRequest, 0)
                if guise_exchange32(requests + Request.flush, 0) != 0 { tlb.flush() }
                if guise_exchange32(requests + Request.trim, 0) != 0 { context.trim() }
                if guise_exchange32(requests + Request.settle, 0) != 0 { engine.settle(self) }
                if guise_exchange32(requests + Request.regions, 0) != 0 { takeRegions() }
                if guise_exchange32(requests + Request.kick, 0) != 0 { return .kicked }
                let before = (pc, self.mode)
                if let exit = takeEvents() { return exit }
                if before != (pc, self.mode) { link = .none }
            }
            let mode = self.mode
            if mode & singleMode != 0 || state.load(fromByteOffset: StateLayout.stepRequest, as: UInt32.self) != 0 {
                link = .none
                if let exit = step(mode) { return exit }
                continue
            }
            let start = pc
            let seen = context.epoch
            tlb.updateSalt()
            guard context.arrive(seen: seen) else { continue }
            if isTransfer, usesJumpCache, let code = context.remembered(start) {
                link = context.run(code, seen: seen)
            } else {
                let unit: UnitIndex
                do throws(TranslationFailure) {
                    unit = try find(start, mode, link, seen, limit: Self.unitLimit)
                } catch {
                    context.depart()
                    continue
                }
                if unit == .noUnit { // the fetch trapped
                    context.depart()
                    link = .none
                    if let exit = fetchFaulted(start) { return exit }
                    continue
                }
                enteredUnit = unit
                link = context.run(unit, seen: seen)
            }
            let kind = ExitKind(rawValue: state.load(fromByteOffset: StateLayout.exitKind, as: UInt32.self)) ?? .lookup
            if kind == .hot {
                isTransfer = false
                requestRegion(mode)
                continue
            }
            isTransfer = context.wasLeftByHelper || kind.exceptionVector != nil || kind == .memoryFault || kind == .systemCall
                || kind == .frontException
            if let exit = handle(kind) { return exit }
        }
    }

    /// Instructions per unit.
    private static let unitLimit = 64

    /// Executes one instruction in a unit of its own, which nothing leads to directly.
    private func step(_ mode: UInt32) -> MachineExit? {
        let isTraced = mode & singleMode != 0
        if isTraced && !willStep() { return nil }
        let start = pc
        let seen = context.epoch
        guard context.arrive(seen: seen) else { return nil }
        let unit: UnitIndex
        do throws(TranslationFailure) {
            unit = try find(start, mode | singleMode | Self.aloneBit, .none, seen, limit: 1)
        } catch {
            context.depart()
            return nil
        }
        if unit == .noUnit {
            context.depart()
            state.storeBytes(of: 0, toByteOffset: StateLayout.stepRequest, as: UInt32.self)
            return fetchFaulted(start)
        }
        enteredUnit = unit
        isStepping = true
        defer { isStepping = false }
        if lockedAccess.isWanted {
            context.depart()
            lockedAccess.isActive = true
            let done: Void? = engine.runtime.exclusively(by: context, seen: seen) {
                context.arriveAlone()
                _ = context.run(unit, seen: seen)
                finishLockedAccess()
            }
            lockedAccess.isActive = false
            if done == nil { return nil }
            lockedAccess.isWanted = false
        } else {
            _ = context.run(unit, seen: seen)
            // A return looks for requests before it is executed; it has not been, and is still to be.
            if context.wasLeftAtStart { return nil }
        }
        let kind = ExitKind(rawValue: state.load(fromByteOffset: StateLayout.exitKind, as: UInt32.self)) ?? .lookup
        // Asked for again while it ran: the access must be made atomic.
        if kind == .codeChanged && lockedAccess.isWanted { return nil }
        state.storeBytes(of: 0, toByteOffset: StateLayout.stepRequest, as: UInt32.self)
        // Before the exit is handled: a shadow must not outlive the instruction that waits for an interrupt.
        if isTraced && kind.exceptionVector == nil && kind != .codeChanged { didStep() }
        return handle(kind)
    }

    /// A mode bit that no front uses keeps the units of `step` apart from others.
    private static let aloneBit: UInt32 = 1 << 19

    /// A trap whose handler cannot be fetched either would spin for ever.
    private func fetchFaulted(_ start: UInt64) -> MachineExit? {
        if pc == start {
            fetchFaults += 1
            if fetchFaults > 16 {
                return .shutdown("hart \(hartID) cannot fetch its trap handler at 0x\(String(start, radix: 16))")
            }
        } else {
            fetchFaults = 0
        }
        return nil
    }

    func clearReservation() {
        state.storeBytes(of: UInt64.max, toByteOffset: StateLayout.reservationAddress, as: UInt64.self)
    }

    // MARK: finding units

    /// The identity of the page an instruction address lies in; nil after a fetch trap was taken (or a flush).
    private func page(_ address: UInt64, _ mode: UInt32) throws(TranslationFailure) -> (UInt32, UInt64)? {
        let view = view(mode)
        let cached = state.load(fromByteOffset: MachineTLB.fetchSlot(address), as: UInt32.self)
        if cached != 0 {
            let page = engine.codePages[Int(cached)]
            if page.virtualPage == address >> 12 && page.view == view { return (cached, page.physicalPage) }
        }
        guard let mapping = translateFetch(address), codeBytes(mapping.physicalPage, for: address) != nil else { return nil }
        let key = CodePage(virtualPage: address >> 12, physicalPage: mapping.physicalPage, view: view)
        guard let identity = engine.identity(key) else {
            context.flush(seen: context.epoch)
            throw .flushed
        }
        tlb.fillFetch(address, identity: identity, isGlobal: mapping.isGlobal)
        return (identity, mapping.physicalPage)
    }

    private func protect(_ physicalPage: UInt64) {
        if isRAM(physicalPage) { engine.protectCode(physicalPage: physicalPage, by: self) }
    }

    private func isRAM(_ physicalPage: UInt64) -> Bool {
        engine.ram.pointer(GuestPhysical(physicalPage), length: 4096) != nil
    }

    /// Finds or makes the unit at an address and connects it to the link that led here; `.noUnit` when fetching trapped.
    private func find(_ start: UInt64, _ mode: UInt32, _ link: PendingExit, _ seen: UInt32,
                      limit: Int) throws(TranslationFailure) -> UnitIndex {
        guard let (first, physicalPage) = try page(start, mode) else { return .noUnit }
        guard let base = codeBytes(physicalPage, for: start) else { return .noUnit }
        let offset = Int(start & 0xFFF)
        let bytes = base + offset
        let known = context.existing(start: start, context: first, mode: mode)
        if known != .noUnit {
            if limit > 1 { context.connect(link, to: known, identity: first, seen: seen) }
            return known
        }
        protect(physicalPage)
        var unit: UnitIndex
        do throws(TranslationFailure) {
            unit = try context.unit(start: start, mode: mode, context: first, page: physicalPage >> 12,
                                    code: GuestCode(bytes: bytes, available: 4096 - offset), limit: limit, seen: seen,
                                    second: nil)
            try verify(unit, physicalPage, bytes)
        } catch .needsMoreBytes {
            unit = try findStraddling(start, mode, physicalPage, bytes, seen)
            // Not for the jump cache: such a unit is left at once when its second page has moved, and must come here then.
            if link.isNone { return unit }
        }
        if unit != .noUnit && limit > 1 { context.connect(link, to: unit, identity: first, seen: seen) }
        return unit
    }

    /// A loop has been entered often: asks for a region. Its page is the one of the unit that counted.
    private func requestRegion(_ mode: UInt32) {
        let start = exitAddress, seen = context.epoch
        // Exceptions that units raise themselves leave the word alone, and mean error code 0.
        state.storeBytes(of: 0, toByteOffset: StateLayout.exitAddress, as: UInt64.self)
        let identity = state.load(fromByteOffset: MachineTLB.fetchSlot(start), as: UInt32.self)
        guard context.wantsRegion(start: start, context: identity, countedAt: pc), mode == self.mode, identity != 0 else {
            return
        }
        let page = engine.codePages[Int(identity)]
        guard page.virtualPage == start >> 12, page.view == view(mode), isRAM(page.physicalPage),
              let base = codeBytes(page.physicalPage, for: start) else { return }
        let offset = Int(start & 0xFFF)
        let bytes = UnsafeRawBufferPointer(start: base + offset, count: min(4096 - offset, TranslationContext.regionReach))
        engine.regions.request(RegionRequest(cpu: self, start: start, mode: mode, identity: identity,
                                             physicalPage: page.physicalPage, code: Array(bytes), seen: seen))
    }

    /// Publishes regions that have been made meanwhile, unless their guest code has changed.
    private func takeRegions() {
        for (request, region) in engine.regions.take(for: self) {
            guard isRAM(request.physicalPage), let base = codeBytes(request.physicalPage, for: request.start) else { continue }
            let bytes = base + Int(request.start & 0xFFF)
            // From here on writes to the page are noticed, as when a unit is made.
            protect(request.physicalPage)
            guard context.arrive(seen: request.seen) else { continue }
            if context.matches(region, bytes), context.publish(region: region, page: request.physicalPage >> 12) {
                regionsTaken += 1
                do throws(TranslationFailure) { try verify(region, request.physicalPage, bytes) } catch {}
            }
            context.depart()
        }
    }

    /// A unit whose bytes were written while it was translated is dropped again.
    private func verify(_ unit: UnitIndex, _ physicalPage: UInt64, _ bytes: UnsafeRawPointer) throws(TranslationFailure) {
        guard isRAM(physicalPage) else { return }
        let origin = engine.runtime.origin(of: unit)
        engine.code.addUnit(physicalPage, offset: origin.start & 0xFFF, length: origin.length)
        if engine.code.holdsCode(physicalPage) && context.matches(unit, bytes) { return }
        engine.runtime.invalidate(start: physicalPage, length: 4096)
        throw .flushed
    }

    /// Bytes of the second page that an instruction can reach.
    private static let straddle = 16

    private func findStraddling(_ start: UInt64, _ mode: UInt32, _ physicalPage: UInt64, _ bytes: UnsafeRawPointer,
                                _ seen: UInt32) throws(TranslationFailure) -> UnitIndex {
        let next = (start | 0xFFF) &+ 1
        guard let (second, secondPhysical) = try page(next, mode), let rest = codeBytes(secondPhysical, for: next) else {
            return .noUnit
        }
        let key = CodePage(virtualPage: start >> 12, physicalPage: physicalPage, view: view(mode),
                           secondPhysicalPage: secondPhysical)
        guard let pair = engine.identity(key) else {
            context.flush(seen: context.epoch)
            throw .flushed
        }
        guard context.arrive(seen: seen) else { throw .flushed }
        let known = context.existing(start: start, context: pair, mode: mode)
        if known != .noUnit { return known }
        context.depart()
        protect(physicalPage)
        protect(secondPhysical)
        let first = 4096 - Int(start & 0xFFF), count = first + Self.straddle
        let page = SecondPage(itlbOffset: MachineTLB.fetchSlot(next), identity: second, page: secondPhysical >> 12)
        return try withTemporaryCopy(count) { buffer throws(TranslationFailure) in
            buffer.copyMemory(from: bytes, byteCount: first)
            (buffer + first).copyMemory(from: rest, byteCount: Self.straddle)
            let unit = try context.unit(start: start, mode: mode, context: pair, page: physicalPage >> 12,
                                        code: GuestCode(bytes: buffer, available: count), limit: 1, seen: seen,
                                        second: page)
            for (place, offset, length) in [(physicalPage, start & 0xFFF, first), (secondPhysical, 0, Self.straddle)]
            where isRAM(place) {
                engine.code.addUnit(place, offset: offset, length: UInt64(length))
                if !engine.code.holdsCode(place) { try dropped(physicalPage) }
            }
            if memcmp(buffer, bytes, first) != 0 || memcmp(buffer + first, rest, Self.straddle) != 0 {
                try dropped(physicalPage)
            }
            return unit
        }
    }

    private func dropped(_ physicalPage: UInt64) throws(TranslationFailure) {
        engine.runtime.invalidate(start: physicalPage, length: 4096)
        throw .flushed
    }

    private func withTemporaryCopy(
        _ count: Int, _ body: (UnsafeMutableRawPointer) throws(TranslationFailure) -> UnitIndex
    ) throws(TranslationFailure) -> UnitIndex {
        var storage: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0, 0)
        return try withUnsafeMutableBytes(of: &storage) { buffer throws(TranslationFailure) in
            // SAFETY: a straddling instruction has at most 15 bytes before the boundary, `straddle` behind it.
            guard count <= buffer.count, let base = buffer.baseAddress else { return .noUnit }
            return try body(base)
        }
    }
}
