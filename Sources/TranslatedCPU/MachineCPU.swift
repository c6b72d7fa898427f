// One vCPU of a machine on the translator: runs guest code, takes traps and interrupts, until the machine is needed.

import Bus
import CHost
import Glibc
import GuestMemory
import GuestRISCV
import SavedState
import Translator

/// What a vCPU needs from its machine.
public struct MachineCPUServices: @unchecked Sendable {
    /// Current value of the time CSR.
    public var time: () -> UInt64
    /// stimecmp was set: at that time `setInterrupt(supervisorTimer)` must follow; nil for never.
    public var armTimer: (UInt64?) -> Void
    public init(time: @escaping () -> UInt64, armTimer: @escaping (UInt64?) -> Void) {
        self.time = time
        self.armTimer = armTimer
    }
}

/// Why guest code stopped.
public enum MachineExit: Sendable, Equatable {
    /// WFI, nothing pending; pc is past it.
    case halted
    /// ECALL from supervisor mode with built-in SBI; pc is past it.
    case environmentCall
    case kicked
    /// A value was stored to the HTIF mailbox.
    case hostToTarget(UInt64)
    /// The guest can go no further, with the reason.
    case shutdown(String)
}

/// A vCPU. Used by its own thread, except where a method says otherwise.
public final class MachineCPU: Savable, @unchecked Sendable {
    public let hartID: Int
    let engine: MachineEngine
    let state: UnsafeMutableRawPointer
    let tlb: MachineTLB
    private let context: TranslationContext
    private let services: MachineCPUServices
    private let suppliesSBI: Bool
    /// Requests from other threads: kick and TLB flush. UInt32 words, atomic.
    private let requests: UnsafeMutablePointer<UInt32>
    private enum Request { static let kick = 0, flush = 1, running = 2, trim = 3, count = 16 }
    /// The value stored to the HTIF mailbox, until reported.
    var mailbox: UInt64 = 0
    private var trapsInARow = 0

    /// - Throws: `HostError` when memory cannot be had.
    public init(engine: MachineEngine, hartID: Int, services: MachineCPUServices, suppliesSBI: Bool) throws {
        self.engine = engine
        self.hartID = hartID
        self.services = services
        self.suppliesSBI = suppliesSBI
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
        riscv.readTime = { MachineCPU.of($0).services.time() }
        riscv.flushTranslations = { state, address, everything in
            let tlb = MachineCPU.of(state).tlb
            if everything != 0 { tlb.flush() } else { tlb.flush(page: address) }
        }
        riscv.timerChanged = { MachineCPU.of($0).timerChanged() }
        engine.join(self)
    }

    deinit {
        if engine.options.statistics { fputs("guise: hart \(hartID): \(context.statistics)\n", stderr) }
        context.retire()
        requests.deallocate()
        munmap(state, StateLayout.size)
    }

    /// The vCPU a state block belongs to.
    @inline(__always) static func of(_ state: UnsafeMutableRawPointer) -> MachineCPU {
        let raw = state.load(fromByteOffset: StateLayout.context, as: UnsafeRawPointer.self)
        return Unmanaged<MachineCPU>.fromOpaque(raw).takeUnretainedValue()
    }

    /// Registers and control registers.
    public var riscv: RISCVState { RISCVState(state) }

    // MARK: from any thread

    /// Makes `run` return `.kicked`.
    public func kick() {
        guise_store32(requests + Request.kick, 1)
        guise_store32(state + StateLayout.exitRequest, 1)
    }

    /// Sets interrupt lines (bits of mip) to a level.
    public func setInterrupt(_ bits: UInt64, _ level: Bool) {
        riscv.setInterruptLine(bits, level)
        if level { guise_store32(state + StateLayout.exitRequest, 1) }
    }

    /// Sets software-writable pending bits, as firmware does for a supervisor software interrupt.
    public func setPending(_ bits: UInt64, _ level: Bool) {
        riscv.setPending(bits, level)
        if level { guise_store32(state + StateLayout.exitRequest, 1) }
    }

    /// Forgets cached translations on behalf of another hart; returns when that has happened or the vCPU is not running.
    public func flushTranslations() {
        guise_store32(requests + Request.flush, 1)
        guise_store32(state + StateLayout.exitRequest, 1)
        while guise_load32(requests + Request.running) != 0 && guise_load32(requests + Request.flush) != 0 {
            sched_yield()
        }
    }

    /// Asks for the memory of translations back: they are dropped when the vCPU next runs.
    public func releaseCaches() {
        guise_store32(requests + Request.trim, 1)
        guise_store32(state + StateLayout.exitRequest, 1)
    }

    // MARK: timer

    /// stimecmp was set or restored: arms the timer, or drives STIP when the time has come since the front looked (or
    /// came while the machine was being suspended).
    private func timerChanged() {
        let deadline = riscv.supervisorTimer
        let isDue = deadline <= services.time()
        if isDue { riscv.updateSupervisorTimer() }
        services.armTimer(deadline == .max || isDue ? nil : deadline)
        guise_store32(state + StateLayout.exitRequest, 1)
    }

    // MARK: state

    /// Power-on in machine mode at an address, as firmware finds it.
    public func resetMachine(pc: UInt64, a0: UInt64, a1: UInt64) {
        riscv.resetMachine(pc: pc, hartID: UInt64(hartID), a0: a0, a1: a1)
    }

    /// Supervisor mode at an address, as a kernel finds it behind SBI firmware.
    public func resetForSupervisor(pc: UInt64, a0: UInt64, a1: UInt64) {
        riscv.resetForSupervisor(pc: pc, hartID: UInt64(hartID), a0: a0, a1: a1)
    }

    public func save(to writer: inout StateWriter) { riscv.save(to: &writer) }

    public func restore(from reader: inout StateReader) throws {
        try riscv.restore(from: &reader)
        clearReservation()
        guise_store32(state + StateLayout.exitRequest, 1)
    }

    // MARK: running

    /// Runs guest code until the machine is needed.
    public func run() -> MachineExit {
        guise_store32(requests + Request.running, 1)
        defer { guise_store32(requests + Request.running, 0) }
        var link = PendingExit.none
        while true {
            if guise_load32(state + StateLayout.exitRequest) != 0 {
                guise_store32(state + StateLayout.exitRequest, 0)
                if guise_exchange32(requests + Request.flush, 0) != 0 { tlb.flush() }
                if guise_exchange32(requests + Request.trim, 0) != 0 { context.trim() }
                if guise_exchange32(requests + Request.kick, 0) != 0 { return .kicked }
                if riscv.takeInterrupt() {
                    link = .none
                    clearReservation()
                }
            }
            let start = riscv.pc
            let seen = context.epoch
            let mode = riscv.mode.rawValue
            tlb.updateSalt()
            guard context.arrive(seen: seen) else { continue }
            // Not by way of the jump cache: a unit may have sent us here to have its pages' identities renewed.
            let unit: UnitIndex
            do throws(TranslationFailure) {
                unit = try find(start, mode, link, seen)
            } catch {
                context.depart()
                continue
            }
            if unit == .noUnit { // the fetch trapped
                context.depart()
                link = .none
                if let exit = trapLoop(start) { return exit }
                continue
            }
            link = context.run(unit, seen: seen)
            if let exit = afterExit() { return exit }
        }
    }

    /// A trap whose handler cannot be fetched either would spin for ever.
    private func trapLoop(_ start: UInt64) -> MachineExit? {
        if riscv.pc == start {
            trapsInARow += 1
            if trapsInARow > 16 {
                return .shutdown("hart \(hartID) cannot fetch its trap handler at 0x\(String(start, radix: 16))")
            }
        } else {
            trapsInARow = 0
        }
        return nil
    }

    private func clearReservation() {
        state.storeBytes(of: UInt64.max, toByteOffset: StateLayout.reservationAddress, as: UInt64.self)
    }

    @inline(__always) private func itlbSlot(_ address: UInt64) -> Int {
        StateLayout.itlb + Int(address >> 12 & UInt64(StateLayout.itlbCount - 1)) * 4
    }

    /// The identity of the page an instruction address lies in; nil after a fetch trap was taken (or a flush).
    private func page(_ address: UInt64, _ mode: UInt32) throws(TranslationFailure) -> (UInt32, UInt64)? {
        let view = mode & ~7
        let slot = itlbSlot(address)
        let cached = state.load(fromByteOffset: slot, as: UInt32.self)
        if cached != 0 {
            let page = engine.codePages[Int(cached)]
            if page.virtualPage == address >> 12 && page.view == view & Self.viewMask { return (cached, page.physicalPage) }
        }
        switch riscv.translateFetch(GuestVirtual(address), ram: engine.ram) {
        case .fault(let cause):
            take(cause, address)
            return nil
        case .page(let translation):
            let physicalPage = translation.physical.value & ~0xFFF
            guard engine.ram.pointer(GuestPhysical(physicalPage), length: 4096) != nil else {
                take(.instructionAccessFault, address)
                return nil
            }
            let key = CodePage(virtualPage: address >> 12, physicalPage: physicalPage, view: view & Self.viewMask)
            guard let identity = engine.identity(key) else {
                context.flush(seen: context.epoch)
                throw .flushed
            }
            state.storeBytes(of: identity, toByteOffset: slot, as: UInt32.self)
            return (identity, physicalPage)
        }
    }

    /// Mode bits that change what an instruction fetch may reach: privilege and paging.
    private static let viewMask: UInt32 = 3 << 3 | 1 << 9

    /// Finds or makes the unit at an address and connects it to the link that led here; `.noUnit` when fetching trapped.
    private func find(_ start: UInt64, _ mode: UInt32, _ link: PendingExit,
                      _ seen: UInt32) throws(TranslationFailure) -> UnitIndex {
        guard let (first, physicalPage) = try page(start, mode) else { return .noUnit }
        let ram = engine.ram
        let offset = start & 0xFFF
        guard let bytes = ram.pointer(GuestPhysical(physicalPage + offset), length: 4096 - offset) else { return .noUnit }
        if offset == 0xFFE && bytes.load(as: UInt8.self) & 3 == 3 {
            let unit = try findStraddling(start, mode, first, physicalPage, bytes, seen)
            if unit != .noUnit { context.connect(link, to: unit, identity: first, seen: seen) }
            return unit
        }
        let known = context.existing(start: start, context: first, mode: mode)
        if known != .noUnit {
            context.connect(link, to: known, identity: first, seen: seen)
            return known
        }
        engine.protectCode(physicalPage: physicalPage)
        let code = GuestCode(bytes: bytes, available: Int(4096 - offset))
        let unit = try context.unit(start: start, mode: mode, context: first, page: physicalPage >> 12, code: code,
                                    limit: 64, seen: seen, second: nil)
        try verify(unit, physicalPage, bytes)
        context.connect(link, to: unit, identity: first, seen: seen)
        return unit
    }

    /// A unit whose bytes were written while it was translated is dropped again.
    private func verify(_ unit: UnitIndex, _ physicalPage: UInt64,
                        _ bytes: UnsafeRawPointer) throws(TranslationFailure) {
        let index = Int((physicalPage - engine.ram.start.value) >> 12)
        if engine.ram.codePages[index] != 0 && context.matches(unit, bytes) { return }
        engine.runtime.invalidate(start: physicalPage, length: 4096)
        throw .flushed
    }

    private func findStraddling(_ start: UInt64, _ mode: UInt32, _ first: UInt32, _ physicalPage: UInt64,
                                _ bytes: UnsafeRawPointer,
                                _ seen: UInt32) throws(TranslationFailure) -> UnitIndex {
        guard let (second, secondPhysical) = try page(start &+ 2, mode) else { return .noUnit }
        let key = CodePage(virtualPage: start >> 12, physicalPage: physicalPage,
                           view: mode & Self.viewMask, secondPhysicalPage: secondPhysical)
        guard let pair = engine.identity(key), let rest = engine.ram.pointer(GuestPhysical(secondPhysical), length: 2)
        else {
            context.flush(seen: context.epoch)
            throw .flushed
        }
        let known = context.existing(start: start, context: pair, mode: mode)
        if known != .noUnit { return known }
        engine.protectCode(physicalPage: physicalPage)
        engine.protectCode(physicalPage: secondPhysical)
        var word = UInt32(bytes.load(as: UInt16.self)) | UInt32(rest.load(as: UInt16.self)) << 16
        let unit = try withUnsafeBytes(of: &word) { buffer throws(TranslationFailure) in
            guard let base = buffer.baseAddress else { return UnitIndex.noUnit }
            return try context.unit(start: start, mode: mode, context: pair, page: physicalPage >> 12,
                                    code: GuestCode(bytes: base, available: 4), limit: 1, seen: seen,
                                    second: SecondPage(itlbOffset: itlbSlot(start &+ 2), identity: second,
                                                       page: secondPhysical >> 12))
        }
        let again = UInt32(bytes.load(as: UInt16.self)) | UInt32(rest.load(as: UInt16.self)) << 16
        let ram = engine.ram
        if again == word, ram.codePages[Int((physicalPage - ram.start.value) >> 12)] != 0,
           ram.codePages[Int((secondPhysical - ram.start.value) >> 12)] != 0 { return unit }
        engine.runtime.invalidate(start: physicalPage, length: 4096)
        throw .flushed
    }

    /// Sorts out why generated code was left; nil to go on.
    private func afterExit() -> MachineExit? {
        let kind = ExitKind(rawValue: state.load(fromByteOffset: StateLayout.exitKind, as: UInt32.self)) ?? .lookup
        switch kind {
        case .systemCall:
            if suppliesSBI && riscv.callCause == .supervisorCall {
                riscv.pc &+= 4
                return .environmentCall
            }
            trap(riscv.callCause, 0)
        case .breakpoint: trap(.breakpoint, riscv.pc)
        case .illegalInstruction: trap(.illegalInstruction, 0)
        case .misaligned:
            let address = state.load(fromByteOffset: StateLayout.exitAddress, as: UInt64.self)
            let access = state.load(fromByteOffset: StateLayout.exitAccess, as: UInt32.self)
            trap(access == 0 ? .loadMisaligned : .storeMisaligned, address)
        case .frontException:
            let address = state.load(fromByteOffset: StateLayout.exitAddress, as: UInt64.self)
            let cause = state.load(fromByteOffset: StateLayout.exitAccess, as: UInt32.self)
            trap(ExceptionCause(rawValue: UInt64(cause)) ?? .loadAccessFault, address)
        case .wait:
            if !riscv.isInterruptPending { return .halted }
        case .memoryFault, .lookup, .link, .instructionFence, .none, .interrupted: break
        }
        if mailbox != 0 {
            let value = mailbox
            mailbox = 0
            return .hostToTarget(value)
        }
        return nil
    }

    private func trap(_ cause: ExceptionCause, _ value: UInt64) {
        clearReservation()
        take(cause, value)
    }

    private func take(_ cause: ExceptionCause, _ value: UInt64) {
        if let log = engine.options.logFault { report(cause, value, to: log) }
        riscv.takeTrap(cause, value: value)
    }

    @inline(never)
    private func report(_ cause: ExceptionCause, _ value: UInt64, to log: (GuestFault) -> Void) {
        switch cause {
        case .userCall, .supervisorCall, .machineCall: return
        default:
            log(GuestFault(hartID: hartID, name: "\(cause)", cause: cause.rawValue, pc: riscv.pc, value: value,
                           privilege: "\(riscv.privilege)"))
        }
    }

    // MARK: slow memory paths, called from generated code

    /// Leaves the unit with a front exception.
    private func fail(_ cause: ExceptionCause, _ address: UInt64) {
        state.storeBytes(of: UInt32(truncatingIfNeeded: cause.rawValue), toByteOffset: StateLayout.exitAccess,
                         as: UInt32.self)
        state.storeBytes(of: address, toByteOffset: StateLayout.exitAddress, as: UInt64.self)
        state.storeBytes(of: ExitKind.frontException.rawValue, toByteOffset: StateLayout.helperExit, as: UInt32.self)
    }

    private var dataMode: Int { Int(riscv.mode.data.rawValue) }

    /// Translates a data address; nil after `fail`.
    private func translate(_ address: UInt64, _ access: GuestRISCV.MemoryAccess) -> PageTranslation? {
        switch riscv.translateData(GuestVirtual(address), access, ram: engine.ram) {
        case .page(let page): return page
        case .fault(let cause):
            fail(cause, address)
            return nil
        }
    }

    private func remember(_ address: UInt64, _ page: PageTranslation) {
        var writable = page.permissions.contains(.write)
        if let toHost = engine.toHost, toHost.value >> 12 == page.physical.value >> 12 { writable = false }
        tlb.fill(mode: dataMode, address: address, physical: page.physical.value,
                 readable: page.permissions.contains(.read), writable: writable)
    }

    func load(_ address: UInt64, _ size: Int) -> UInt64 {
        if address & 0xFFF > UInt64(4096 - size) { return loadBytes(address, size) }
        guard let page = translate(address, .read) else { return 0 }
        if let host = engine.ram.pointer(page.physical, length: UInt64(size)) {
            remember(address, page)
            return switch size {
            case 1: UInt64(host.load(as: UInt8.self))
            case 2: UInt64(host.loadUnaligned(as: UInt16.self))
            case 4: UInt64(host.loadUnaligned(as: UInt32.self))
            default: host.loadUnaligned(as: UInt64.self)
            }
        }
        if let value = engine.bus.read(page.physical, size: size) { return value }
        fail(.loadAccessFault, address)
        return 0
    }

    /// A load across two pages.
    private func loadBytes(_ address: UInt64, _ size: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<size {
            let byte = load(address &+ UInt64(index), 1)
            if state.load(fromByteOffset: StateLayout.helperExit, as: UInt32.self) != 0 { return 0 }
            value |= byte << UInt64(8 * index)
        }
        return value
    }

    func store(_ address: UInt64, _ size: Int, _ value: UInt64) {
        if address & 0xFFF > UInt64(4096 - size) { return storeBytes(address, size, value) }
        guard let page = translate(address, .write) else { return }
        if let host = engine.ram.pointer(page.physical, length: UInt64(size)) {
            switch size {
            case 1: host.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
            case 2: host.storeBytes(of: UInt16(truncatingIfNeeded: value), as: UInt16.self)
            case 4: host.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
            default: host.storeBytes(of: value, as: UInt64.self)
            }
            engine.ram.noteWrite(page.physical, length: UInt64(size))
            remember(address, page)
            if let toHost = engine.toHost, page.physical.value == toHost.value, value != 0 {
                mailbox = value
                guise_store32(state + StateLayout.exitRequest, 1)
            }
            return
        }
        if !engine.bus.write(page.physical, size: size, value: value) { fail(.storeAccessFault, address) }
    }

    /// A store across two pages: both must be writable before either is written.
    private func storeBytes(_ address: UInt64, _ size: Int, _ value: UInt64) {
        guard translate(address, .write) != nil, translate(address &+ UInt64(size - 1), .write) != nil else {
            if state.load(fromByteOffset: StateLayout.exitAddress, as: UInt64.self) != address {
                // The fault is reported at the first byte of the second page.
                state.storeBytes(of: (address | 0xFFF) &+ 1, toByteOffset: StateLayout.exitAddress, as: UInt64.self)
            }
            return
        }
        for index in 0..<size { store(address &+ UInt64(index), 1, value >> UInt64(8 * index)) }
    }

    /// Host address for an atomic access; devices do not take part in atomics.
    func pointer(_ address: UInt64, _ size: Int) -> UInt64 {
        guard let page = translate(address, .write) else { return 0 }
        guard let host = engine.ram.pointer(page.physical, length: UInt64(size)) else {
            fail(.storeAccessFault, address)
            return 0
        }
        engine.ram.noteWrite(page.physical, length: UInt64(size))
        remember(address, page)
        return UInt64(UInt(bitPattern: host))
    }
}

// The interpreter makes every access through these, so a TLB hit is answered here at once.

let machineSlowLoad: HelperFunction = { state, address, size, _ in
    if let host = MachineTLB.hit(state, address, size, tag: 0) {
        return switch size {
        case 1: UInt64(host.load(as: UInt8.self))
        case 2: UInt64(host.loadUnaligned(as: UInt16.self))
        case 4: UInt64(host.loadUnaligned(as: UInt32.self))
        default: host.loadUnaligned(as: UInt64.self)
        }
    }
    return MachineCPU.of(state).load(address, Int(size))
}

let machineSlowStore: HelperFunction = { state, address, size, value in
    if let host = MachineTLB.hit(state, address, size, tag: 8) {
        switch size {
        case 1: host.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
        case 2: host.storeBytes(of: UInt16(truncatingIfNeeded: value), as: UInt16.self)
        case 4: host.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
        default: host.storeBytes(of: value, as: UInt64.self)
        }
        return 0
    }
    MachineCPU.of(state).store(address, Int(size), value)
    return 0
}

let machineSlowPointer: HelperFunction = { state, address, size, _ in
    MachineCPU.of(state).pointer(address, Int(size))
}
