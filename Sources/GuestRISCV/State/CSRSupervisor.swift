// The supervisor's control and status registers.
//
// Spec: Volume II, Supervisor-Level ISA; "Sstc" for stimecmp. sstatus, sie and sip are views of the machine's registers.

import Translator

/// What trap vectors keep: the base, and mode Direct or Vectored.
let trapVectorMask: UInt64 = ~2
/// What the cause registers hold: the interrupt flag and a code.
let causeMask: UInt64 = ExceptionCause.interruptFlag | 0x3F

extension RISCVState {
    func readSupervisor(_ csr: CSR) -> UInt64? {
        switch csr {
        case .sstatus: mstatusRead & Status.supervisorReadable
        case .sie: self[FrontLayout.mie] & self[FrontLayout.mideleg]
        case .sip: mip & self[FrontLayout.mideleg]
        case .stvec: self[FrontLayout.stvec]
        case .scounteren: self[FrontLayout.scounteren]
        case .senvcfg: self[FrontLayout.senvcfg]
        case .sscratch: self[FrontLayout.sscratch]
        case .sepc: self[FrontLayout.sepc]
        case .scause: self[FrontLayout.scause]
        case .stval: self[FrontLayout.stval]
        case .stimecmp: self[FrontLayout.stimecmp]
        case .satp: self[FrontLayout.satp]
        default: nil
        }
    }

    func writeSupervisor(_ csr: CSR, _ value: UInt64) -> CSREffect {
        switch csr {
        case .sstatus:
            writeStatus(value, mask: Status.supervisorWritable)
            return .interrupts
        case .sie:
            let visible = self[FrontLayout.mideleg]
            self[FrontLayout.mie] = self[FrontLayout.mie] & ~visible | value & visible
            return .interrupts
        case .stvec: store(FrontLayout.stvec, value, mask: trapVectorMask)
        case .scounteren: store(FrontLayout.scounteren, value, mask: CounterEnable.all)
        case .senvcfg: store(FrontLayout.senvcfg, value, mask: EnvironmentConfiguration.fiom)
        case .sscratch: store(FrontLayout.sscratch, value)
        case .sepc: store(FrontLayout.sepc, value, mask: ~1)
        case .scause: store(FrontLayout.scause, value, mask: causeMask)
        case .stval: store(FrontLayout.stval, value)
        case .stimecmp:
            setSupervisorTimer(value)
            return .interrupts
        case .satp:
            switch value >> AddressTranslation.modeShift {
            case AddressTranslation.bare, AddressTranslation.sv39, AddressTranslation.sv48:
                self[FrontLayout.satp] = value
                updateMode()
                flushTranslations?(base, 0, 1)
                return .mapping
            default: break
            }
        default: break
        }
        return .none
    }

    /// Writes mstatus or the part of it that sstatus shows.
    func writeStatus(_ value: UInt64, mask: UInt64) {
        let old = mstatus
        var new = old & ~mask | value & mask
        // MPP holds supported privileges only.
        if new & Status.mpp == 2 << Status.mppShift { new = new & ~Status.mpp | old & Status.mpp }
        mstatus = new
        updateMode()
        if (old ^ new) & Status.mxr != 0 { flushTranslations?(base, 0, 1) }
    }

    /// Sets stimecmp, as a CSR write or an SBI call does, and drives STIP from it.
    public func setSupervisorTimer(_ value: UInt64) {
        self[FrontLayout.stimecmp] = value
        updateSupervisorTimer()
        timerChanged?(base)
    }

    /// The time at which STIP must be raised; all ones for never.
    public var supervisorTimer: UInt64 { hasSupervisorTimer ? self[FrontLayout.stimecmp] : .max }

    /// Drives STIP from stimecmp and the time. The engine calls this when the time may have come.
    public func updateSupervisorTimer() {
        if hasSupervisorTimer {
            setInterruptLine(InterruptBit.supervisorTimer, time >= self[FrontLayout.stimecmp])
        }
    }
}
