// An x86 processor on the translator: exceptions, interrupts, INIT and start-up, single steps, its local APIC.

import Bus
import CHost
import Glibc
import GuestMemory
import GuestX86
import SavedState
import Translator

/// What an x86 processor needs from its machine.
public struct X86MachineServices: @unchecked Sendable {
    /// The processor model.
    public var model: CPUModel
    /// Processors of the machine, this one included.
    public var processorCount: Int
    /// The processor's local APIC.
    public var apic: any LocalInterruptController
    /// The machine's clock: ticks of the time stamp counter since power-on.
    public var ticks: () -> UInt64
    /// Ticks per second of that clock.
    public var ticksPerSecond: UInt64

    public init(model: CPUModel, processorCount: Int, apic: any LocalInterruptController, ticksPerSecond: UInt64,
                ticks: @escaping () -> UInt64) {
        self.model = model
        self.processorCount = processorCount
        self.apic = apic
        self.ticksPerSecond = ticksPerSecond
        self.ticks = ticks
    }
}

/// An x86 processor. `InterruptTarget` and `setA20` are for any thread.
public final class X86MachineCPU: MachineCPU, InterruptTarget, @unchecked Sendable {
    let services: X86MachineServices
    /// Code ran at supervisor level from pages that are not global since translations were last forgotten.
    var hasLocalSupervisorCode = false
    /// What A20 is to become: 0 as it is, 1 open, 2 masked. Atomic.
    private let a20Request: UnsafeMutablePointer<UInt32>
    private var thread: pthread_t?
    /// The address an instruction was refused because it is not canonical.
    private var refusedAddress: UInt64?

    /// - Throws: `HostError` when memory cannot be had.
    public init(engine: MachineEngine, hartID: Int, services: X86MachineServices) throws {
        self.services = services
        a20Request = .allocate(capacity: 1)
        a20Request.initialize(to: 0)
        try super.init(engine: engine, hartID: hartID, dataSetShift: 8, singleMode: Mode.single)
        HostTraps.install(engine.runtime)
        x86.install(services.model, processor: hartID, count: services.processorCount,
                    tscFrequency: services.ticksPerSecond)
        installHooks()
        x86.hasDataTLB = true
        x86.reset()
    }

    deinit { a20Request.deallocate() }

    /// The processor a state block belongs to.
    @inline(__always) static func processor(_ state: UnsafeMutableRawPointer) -> X86MachineCPU {
        unsafeDowncast(MachineCPU.of(state), to: X86MachineCPU.self)
    }

    /// Registers and system registers.
    public var x86: X86State { X86State(state) }

    // MARK: from any thread

    public func interruptsChanged() {
        x86.setInterruptRequest(true)
        requestExit()
    }

    public func raiseNMI() {
        x86.send(EventLine.nmi)
        requestExit()
    }

    public func raiseINIT() {
        x86.send(EventLine.initialize)
        requestExit()
    }

    public func startUp(vector: UInt8) {
        x86.send(EventLine.startup, vector: vector)
        requestExit()
    }

    /// Lets address line 20 through or holds it at zero: at once on the processor's own thread, before its next look at
    /// exit requests on any other.
    public func setA20(_ isOpen: Bool) {
        if let thread, pthread_equal(thread, pthread_self()) != 0 {
            x86.setA20(isOpen)
        } else {
            guise_store32(a20Request, isOpen ? 1 : 2)
            requestExit()
        }
    }

    // MARK: state

    /// Power-on: the bootstrap processor at its reset vector, the others waiting for a start-up interrupt.
    public func reset() {
        x86.reset()
        tlb.flush()
    }

    public override func save(to writer: inout StateWriter) { x86.save(to: &writer) }

    public override func restore(from reader: inout StateReader) throws {
        try x86.restore(from: &reader)
        tlb.flush()
        tlb.setAddressBits(addressBits)
        requestExit()
    }

    var addressBits: UInt64 { x86.cr4 & CR4.la57 != 0 ? 57 : 48 }

    // MARK: running

    public override func run() -> MachineExit {
        thread = pthread_self()
        // What the processor waits for, or that it waits at all, is looked at before its first instruction.
        requestExit()
        return super.run()
    }

    override var stopsOnOwnCode: Bool { true }
    override var canLockAnywhere: Bool { true }

    override func wrapped(_ address: UInt64) -> UInt64 {
        GuestX86.Mode(rawValue: mode).is64 ? address : address & 0xFFFF_FFFF
    }

    /// Fetches depend on whether paging is on and whether the code is a user's.
    override func view(_ mode: UInt32) -> UInt32 {
        let mode = GuestX86.Mode(rawValue: mode)
        return (mode.privilege == 3 ? 1 : 0) | (mode.data == .physical ? 2 : 0)
    }

    override func takeEvents() -> MachineExit? {
        switch guise_exchange32(a20Request, 0) {
        case 1: x86.setA20(true)
        case 2: x86.setA20(false)
        default: break
        }
        // Cleared first: whoever raises it meanwhile must not be lost.
        x86.setInterruptRequest(false)
        if services.apic.hasInterrupt { x86.setInterruptRequest(true) }
        // Each turn delivers one thing; an interrupt gate ends the chain, whatever the guest has put in its tables.
        for _ in 0..<8 {
            guard let event = x86.takeEvent() else { break }
            switch event {
            case .initialize:
                x86.initialize()
                services.apic.initialize()
            case .startUp(let vector): x86.startUp(vector)
            case .nmi:
                x86.activity = .running
                x86.deliver(.nmi)
            case .interrupt:
                if let vector = services.apic.acknowledge() {
                    x86.activity = .running
                    x86.deliver(.interrupt(vector))
                }
                x86.setInterruptRequest(false)
                if services.apic.hasInterrupt { x86.setInterruptRequest(true) }
            }
        }
        switch x86.activity {
        case .running: return nil
        case .halted, .waitForStartup: return .halted
        case .shutdown: return .shutdown("processor \(hartID) shut down: triple fault at \(place)")
        }
    }

    private var place: String {
        "\(String(x86.selector(Segment.cs.rawValue), radix: 16)):\(String(x86.rip, radix: 16))"
    }

    override func handle(_ kind: ExitKind) -> MachineExit? {
        switch kind {
        case .lookup, .link, .codeChanged: break
        case .alone: state.storeBytes(of: 1, toByteOffset: StateLayout.stepRequest, as: UInt32.self)
        case .misaligned:
            // AMD's misaligned vector accesses raise #GP; what CR0.AM forbids is another exception.
            let isChecked = exitAccess & 4 == 0
            state.storeBytes(of: 0, toByteOffset: StateLayout.exitAddress, as: UInt64.self)
            fault(X86Fault(vector: isChecked ? ExceptionVector.alignment : ExceptionVector.generalProtection))
        case .illegalInstruction: fault(.invalidOpcode)
        case .breakpoint: fault(X86Fault(vector: ExceptionVector.breakpoint))
        default:
            guard let vector = kind.exceptionVector else { break }
            let errorCode = UInt32(truncatingIfNeeded: exitAddress)
            // Exceptions that units raise themselves leave the word alone and mean 0.
            state.storeBytes(of: 0, toByteOffset: StateLayout.exitAddress, as: UInt64.self)
            fault(refined(X86Fault(vector: UInt8(vector), errorCode: errorCode, address: x86.cr2)))
        }
        refusedAddress = nil
        return x86.activity == .running ? nil : takeEvents()
    }

    /// A fault of a data access with what only the instruction tells about it.
    private func refined(_ fault: X86Fault) -> X86Fault {
        var fault = fault
        let isRead = fault.vector == ExceptionVector.pageFault
            && fault.errorCode & (PageFaultError.write | PageFaultError.fetch) == 0
        guard isRead || fault.vector == ExceptionVector.generalProtection && refusedAddress != nil,
              let front = engine.runtime.front as? X86Front else { return fault }
        let access = withInstructionBytes { bytes, count in
            front.faultingAccess(bytes, available: count, address: refusedAddress ?? fault.address, x86)
        }
        if isRead {
            if access.isReadModifyWrite { fault.errorCode |= PageFaultError.write }
        } else if access.isStack {
            fault.vector = ExceptionVector.stack
        }
        return fault
    }

    /// The bytes at pc, as many of 15 as there are in pages that can be fetched from.
    private func withInstructionBytes<Result>(_ body: (UnsafePointer<UInt8>, Int) -> Result) -> Result {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 16) { buffer in
            var count = 0
            while count < 15 {
                let address = wrapped(pc &+ UInt64(count))
                guard !x86.is64BitCode || x86.isCanonical(address),
                      let page = try? x86.translate(address, .execute, x86.cpl == 3 ? .user : .supervisor),
                      let bytes = codeBytes(page.physical.value & ~0xFFF, for: address) else { break }
                let offset = Int(address & 0xFFF), length = min(15 - count, 4096 - offset)
                for index in 0..<length { buffer[count + index] = bytes.load(fromByteOffset: offset + index, as: UInt8.self) }
                count += length
            }
            // SAFETY: the allocation is never empty.
            return body(UnsafePointer(buffer.baseAddress!), count)
        }
    }

    private func fault(_ fault: X86Fault) {
        if let log = engine.options.logFault {
            log(GuestFault(hartID: hartID, name: "#\(fault.vector)", cause: UInt64(fault.vector), pc: pc,
                           value: fault.vector == ExceptionVector.pageFault ? fault.address : UInt64(fault.errorCode),
                           privilege: "level \(x86.cpl)"))
        }
        x86.deliver(.fault(fault))
        noticeActivity()
    }

    /// Sees to it that a processor that has come to rest executes nothing.
    private func noticeActivity() {
        if x86.activity != .running { requestExit() }
    }

    override func willStep() -> Bool {
        if x86.beforeInstruction() { return true }
        noticeActivity()
        return false
    }

    override func didStep() { x86.afterInstruction() }

    // MARK: memory

    private func fail(_ fault: X86Fault) {
        if fault.vector == ExceptionVector.pageFault { x86.cr2 = fault.address }
        failAccess(.exception(Int(fault.vector)), address: UInt64(fault.errorCode), access: 0)
    }

    override func translateFetch(_ address: UInt64) -> FetchMapping? {
        let isUser = x86.cpl == 3
        do throws(X86Fault) {
            guard !x86.is64BitCode || x86.isCanonical(address) else { throw .generalProtection }
            let page = try x86.translate(address, .execute, isUser ? .user : .supervisor)
            if !isUser && !page.isGlobal { hasLocalSupervisorCode = true }
            return FetchMapping(physicalPage: page.physical.value & ~0xFFF, isGlobal: page.isGlobal)
        } catch {
            fault(error)
            return nil
        }
    }

    override func codeBytes(_ physicalPage: UInt64, for address: UInt64) -> UnsafeRawPointer? {
        super.codeBytes(physicalPage, for: address) ?? OpenBus.page
    }

    override func translateData(_ address: UInt64, isWrite: Bool) -> DataMapping? {
        do throws(X86Fault) {
            guard !x86.is64BitCode || x86.isCanonical(address) else {
                refusedAddress = address
                throw .generalProtection
            }
            let page = try x86.translate(address, isWrite ? .write : .read, x86.dataPrivilege)
            let isWatched = x86.hasDataBreakpoint(inPageOf: address)
            return DataMapping(physical: page.physical.value, readable: page.readable && !isWatched,
                               writable: page.writable && !isWatched, isGlobal: page.isGlobal)
        } catch {
            fail(error)
            return nil
        }
    }

    override func didAccess(_ address: UInt64, _ size: Int, isWrite: Bool) {
        x86.noteDataAccess(address, UInt64(size), isWrite ? .write : .read)
    }

    override var watchesAccesses: Bool { x86.hasEnabledBreakpoints }

    override func readDevice(_ physical: UInt64, _ size: Int, for address: UInt64) -> UInt64? {
        readPhysical(physical, size)
    }

    override func writeDevice(_ physical: UInt64, _ size: Int, _ value: UInt64, for address: UInt64) {
        writePhysical(physical, size, value)
    }

    /// Offset into the registers of the local APIC, if the processor finds them at a physical address.
    private func apicOffset(_ physical: UInt64) -> Int? {
        let base = services.apic.base
        let isMapped = base & (APICBase.enable | APICBase.extended) == APICBase.enable
        guard isMapped, (physical ^ base) & ~0xFFF == 0 else { return nil }
        return Int(physical & 0xFFF)
    }

    /// A read where there is no RAM; nobody there answers with ones.
    func readPhysical(_ physical: UInt64, _ size: Int) -> UInt64 {
        if let offset = apicOffset(physical) { return services.apic.read(offset: offset, size: size) }
        if let value = engine.bus.read(GuestPhysical(physical), size: size) { return value }
        guard size > 1 else { return 0xFF }
        let half = size / 2
        return readPhysical(physical, half) | readPhysical(physical &+ UInt64(half), half) << UInt64(8 * half)
    }

    func writePhysical(_ physical: UInt64, _ size: Int, _ value: UInt64) {
        if let offset = apicOffset(physical) { return services.apic.write(offset: offset, size: size, value: value) }
        if engine.bus.write(GuestPhysical(physical), size: size, value: value) || size <= 1 { return }
        let half = size / 2
        writePhysical(physical, half, value & ((1 << UInt64(8 * half)) - 1))
        writePhysical(physical &+ UInt64(half), half, value >> UInt64(8 * half))
    }
}

/// What is read where nothing answers, as far as code is fetched from there: ones.
private enum OpenBus {
    // SAFETY: written once, read-only afterwards, never freed.
    nonisolated(unsafe) static let page: UnsafeRawPointer = {
        let page = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
        memset(page, 0xFF, 4096)
        return UnsafeRawPointer(page)
    }()
}
