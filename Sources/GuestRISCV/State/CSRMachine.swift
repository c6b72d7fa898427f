// The machine's control and status registers.
//
// Spec: Volume II, Machine-Level ISA. Event counters read as zero; mcountinhibit is read-only zero.

import Translator

extension RISCVState {
    func readMachine(_ csr: CSR) -> UInt64? {
        switch csr {
        case .mstatus: return mstatusRead
        case .misa: return ISARegister.value
        case .medeleg: return self[FrontLayout.medeleg]
        case .mideleg: return self[FrontLayout.mideleg]
        case .mie: return self[FrontLayout.mie]
        case .mip: return mip
        case .mtvec: return self[FrontLayout.mtvec]
        case .mcounteren: return self[FrontLayout.mcounteren]
        case .menvcfg: return self[FrontLayout.menvcfg]
        case .mscratch: return self[FrontLayout.mscratch]
        case .mepc: return self[FrontLayout.mepc]
        case .mcause: return self[FrontLayout.mcause]
        case .mtval: return self[FrontLayout.mtval]
        case .mhartid: return self[FrontLayout.mhartid]
        case .mcycle: return Self.hostNanoseconds &+ self[FrontLayout.cycleOffset]
        case .minstret: return Self.hostNanoseconds &+ self[FrontLayout.instretOffset]
        case .mvendorid, .marchid, .mimpid, .mconfigptr, .mcountinhibit: return 0
        default: break
        }
        switch csr.number {
        case 0x3A0: return readPMPConfiguration(from: 0)
        case 0x3A2: return readPMPConfiguration(from: 8)
        case 0x3B0...0x3BF: return readPMPAddress(Int(csr.number - 0x3B0))
        // mhpmevent and mhpmcounter 3 … 31
        case 0x323...0x33F, 0xB03...0xB1F: return 0
        default: return nil
        }
    }

    func writeMachine(_ csr: CSR, _ value: UInt64) -> CSREffect {
        switch csr {
        case .mstatus:
            writeStatus(value, mask: Status.machineWritable)
            return .interrupts
        case .medeleg: store(FrontLayout.medeleg, value, mask: ExceptionCause.delegable)
        case .mideleg:
            store(FrontLayout.mideleg, value, mask: InterruptBit.supervisor)
            return .interrupts
        case .mie:
            store(FrontLayout.mie, value, mask: InterruptBit.all)
            return .interrupts
        case .mtvec: store(FrontLayout.mtvec, value, mask: trapVectorMask)
        case .mcounteren: store(FrontLayout.mcounteren, value, mask: CounterEnable.all)
        case .menvcfg:
            store(FrontLayout.menvcfg, value, mask: EnvironmentConfiguration.fiom | EnvironmentConfiguration.stce)
            if !hasSupervisorTimer { setInterruptLine(InterruptBit.supervisorTimer, false) }
            updateSupervisorTimer()
            timerChanged?(base)
            return .interrupts
        case .mscratch: store(FrontLayout.mscratch, value)
        case .mepc: store(FrontLayout.mepc, value, mask: ~1)
        case .mcause: store(FrontLayout.mcause, value, mask: causeMask)
        case .mtval: store(FrontLayout.mtval, value)
        case .mcycle: self[FrontLayout.cycleOffset] = value &- Self.hostNanoseconds
        case .minstret: self[FrontLayout.instretOffset] = value &- Self.hostNanoseconds
        default:
            switch csr.number {
            case 0x3A0, 0x3A2:
                writePMPConfiguration(from: csr.number == 0x3A0 ? 0 : 8, value)
                return .mapping
            case 0x3B0...0x3BF:
                writePMPAddress(Int(csr.number - 0x3B0), value)
                return .mapping
            // misa, mcountinhibit, the event counters and their selectors keep their only value.
            default: break
            }
        }
        return .none
    }
}
