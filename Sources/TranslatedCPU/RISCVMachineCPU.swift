// A RISC-V hart on the translator: traps, interrupts, timer, resets.

import Bus
import CHost
import GuestMemory
import GuestRISCV
import SavedState
import Translator

/// What a hart needs from its machine.
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

/// A RISC-V hart.
public final class RISCVMachineCPU: MachineCPU, @unchecked Sendable {
    private let services: MachineCPUServices
    private let suppliesSBI: Bool

    /// - Throws: `HostError` when memory cannot be had.
    public init(engine: MachineEngine, hartID: Int, services: MachineCPUServices, suppliesSBI: Bool) throws {
        self.services = services
        self.suppliesSBI = suppliesSBI
        try super.init(engine: engine, hartID: hartID, dataSetShift: 7, singleMode: 0)
        riscv.readTime = { RISCVMachineCPU.hart($0).services.time() }
        riscv.flushTranslations = { state, address, everything in
            let tlb = MachineCPU.of(state).tlb
            if everything != 0 { tlb.flush() } else { tlb.flush(page: address) }
        }
        riscv.timerChanged = { RISCVMachineCPU.hart($0).timerChanged() }
    }

    private static func hart(_ state: UnsafeMutableRawPointer) -> RISCVMachineCPU {
        unsafeDowncast(MachineCPU.of(state), to: RISCVMachineCPU.self)
    }

    /// Registers and control registers.
    public var riscv: RISCVState { RISCVState(state) }

    // MARK: from any thread

    /// Sets interrupt lines (bits of mip) to a level.
    public func setInterrupt(_ bits: UInt64, _ level: Bool) {
        riscv.setInterruptLine(bits, level)
        if level { requestExit() }
    }

    /// Sets software-writable pending bits, as firmware does for a supervisor software interrupt.
    public func setPending(_ bits: UInt64, _ level: Bool) {
        riscv.setPending(bits, level)
        if level { requestExit() }
    }

    // MARK: timer

    /// stimecmp was set or restored: arms the timer, or drives STIP when the time has come since the front looked (or
    /// came while the machine was being suspended).
    private func timerChanged() {
        let deadline = riscv.supervisorTimer
        let isDue = deadline <= services.time()
        if isDue { riscv.updateSupervisorTimer() }
        services.armTimer(deadline == .max || isDue ? nil : deadline)
        requestExit()
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

    public override func save(to writer: inout StateWriter) { riscv.save(to: &writer) }

    public override func restore(from reader: inout StateReader) throws {
        try riscv.restore(from: &reader)
        clearReservation()
        requestExit()
    }

    // MARK: running

    override func view(_ mode: UInt32) -> UInt32 { mode & Self.viewMask }
    /// Privilege and paging.
    private static let viewMask: UInt32 = 3 << 3 | 1 << 9

    override func translateFetch(_ address: UInt64) -> FetchMapping? {
        switch riscv.translateFetch(GuestVirtual(address), ram: engine.ram) {
        case .fault(let cause):
            take(cause, address)
            return nil
        case .page(let translation):
            return FetchMapping(physicalPage: translation.physical.value & ~0xFFF, isGlobal: false)
        }
    }

    override func codeBytes(_ physicalPage: UInt64, for address: UInt64) -> UnsafeRawPointer? {
        if let bytes = super.codeBytes(physicalPage, for: address) { return bytes }
        take(.instructionAccessFault, address)
        return nil
    }

    override func takeEvents() -> MachineExit? {
        if riscv.takeInterrupt() { clearReservation() }
        return nil
    }

    override func handle(_ kind: ExitKind) -> MachineExit? {
        switch kind {
        case .systemCall:
            if suppliesSBI && riscv.callCause == .supervisorCall {
                riscv.pc &+= 4
                return .environmentCall
            }
            trap(riscv.callCause, 0)
        case .breakpoint: trap(.breakpoint, riscv.pc)
        case .illegalInstruction: trap(.illegalInstruction, 0)
        case .misaligned: trap(exitAccess == 0 ? .loadMisaligned : .storeMisaligned, exitAddress)
        case .frontException:
            trap(ExceptionCause(rawValue: UInt64(exitAccess)) ?? .loadAccessFault, exitAddress)
        case .wait:
            if !riscv.isInterruptPending { return .halted }
        default: break
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

    // MARK: memory

    private func fail(_ cause: ExceptionCause, _ address: UInt64) {
        failAccess(.frontException, address: address, access: UInt32(truncatingIfNeeded: cause.rawValue))
    }

    override func translateData(_ address: UInt64, isWrite: Bool) -> DataMapping? {
        switch riscv.translateData(GuestVirtual(address), isWrite ? .write : .read, ram: engine.ram) {
        case .page(let page):
            return DataMapping(physical: page.physical.value, readable: page.permissions.contains(.read),
                               writable: page.permissions.contains(.write), isGlobal: false)
        case .fault(let cause):
            fail(cause, address)
            return nil
        }
    }

    override func readDevice(_ physical: UInt64, _ size: Int, for address: UInt64) -> UInt64? {
        if let value = engine.bus.read(GuestPhysical(physical), size: size) { return value }
        fail(.loadAccessFault, address)
        return nil
    }

    override func writeDevice(_ physical: UInt64, _ size: Int, _ value: UInt64, for address: UInt64) {
        if !engine.bus.write(GuestPhysical(physical), size: size, value: value) { fail(.storeAccessFault, address) }
    }

    override func failAtomic(_ address: UInt64) { fail(.storeAccessFault, address) }
}
