// Executes CSR instructions: who may access what, and the user-level registers.
//
// Spec: Volume I, "Zicsr", "Zicntr", "F"; Volume II, Control and Status Registers, CSR access rules.

import Translator

/// What a CSR instruction came to.
enum CSROutcome {
    case done
    case illegal
    /// Done, and the unit must be left: the mode word, the mapping of instructions or what is pending changed.
    case leaves
}

/// What a write to a CSR has changed beyond the register.
enum CSREffect {
    case none
    /// Interrupts may have become deliverable.
    case interrupts
    /// Fetches may translate differently.
    case mapping
}

extension RISCVState {
    /// Executes a CSR instruction, including the write of rd.
    func execute(_ operation: CSROperation, operand: UInt64) -> CSROutcome {
        let csr = operation.csr
        let writes = operation.kind != .read
        guard mayAccess(csr, writes: writes), let old = read(csr) else { return .illegal }
        var effect = CSREffect.none
        let modeBefore = mode
        if writes {
            switch csr {
            case .mip, .sip:
                effect = writePending(csr, operation.kind, operand)
            default:
                let value: UInt64 = switch operation.kind {
                case .set: old | operand
                case .clear: old & ~operand
                default: operand
                }
                effect = write(csr, value)
            }
        }
        setX(operation.rd, old)
        switch effect {
        case .mapping: return .leaves
        case .interrupts where selectedInterrupt != nil:
            requestExit()
            return .leaves
        default: return mode == modeBefore ? .done : .leaves
        }
    }

    /// The rules that hold before the register is looked at.
    private func mayAccess(_ csr: CSR, writes: Bool) -> Bool {
        if writes, csr.isReadOnly { return false }
        guard isSystem else { return csr.privilegeBits == 0 }
        let current = privilege
        guard csr.privilegeBits <= UInt16(current.rawValue) else { return false }
        switch csr {
        case .fflags, .frm, .fcsr:
            return mstatus & Status.fs != 0
        case .cycle, .time, .instret:
            return mayCount(1 << UInt64(csr.number - CSR.cycle.number))
        case .satp:
            return current == .machine || mstatus & Status.tvm == 0
        case .stimecmp:
            return current == .machine
                || hasSupervisorTimer && self[FrontLayout.mcounteren] & CounterEnable.time != 0
        default:
            return true
        }
    }

    /// Whether a counter (a bit of `CounterEnable`) may be read at the current privilege.
    private func mayCount(_ bit: UInt64) -> Bool {
        switch privilege {
        case .machine: true
        case .supervisor: self[FrontLayout.mcounteren] & bit != 0
        case .user: self[FrontLayout.mcounteren] & self[FrontLayout.scounteren] & bit != 0
        }
    }

    /// The value of a register, or nil when there is no such register.
    func read(_ csr: CSR) -> UInt64? {
        switch csr {
        case .fflags: return UInt64(fflags)
        case .frm: return UInt64(frm)
        case .fcsr: return UInt64(fcsr)
        case .time: return time
        case .cycle: return Self.hostNanoseconds &+ self[FrontLayout.cycleOffset]
        case .instret: return Self.hostNanoseconds &+ self[FrontLayout.instretOffset]
        default: break
        }
        if !isSystem { return nil }
        switch csr.privilegeBits {
        case 1: return readSupervisor(csr)
        case 3: return readMachine(csr)
        default:
            // Event counters, readable in machine mode only since none can be enabled.
            return privilege == .machine && (0xC03...0xC1F).contains(csr.number) ? 0 : nil
        }
    }

    /// Writes a register that `read` knows.
    func write(_ csr: CSR, _ value: UInt64) -> CSREffect {
        let low = UInt32(truncatingIfNeeded: value)
        switch csr {
        case .fflags: fflags = low
        case .frm: frm = low
        case .fcsr: fcsr = low
        default:
            return csr.privilegeBits == 1 ? writeSupervisor(csr, value) : writeMachine(csr, value)
        }
        if isSystem { markFloatDirty() }
        return .none
    }

    /// Sets, clears or replaces the software-writable bits of mip or sip; the lines of devices are not affected.
    private func writePending(_ csr: CSR, _ kind: CSROperation.Kind, _ operand: UInt64) -> CSREffect {
        var writable: UInt64
        if csr == .mip {
            writable = InterruptBit.supervisor
            if hasSupervisorTimer { writable &= ~InterruptBit.supervisorTimer }
        } else {
            writable = InterruptBit.supervisorSoftware & self[FrontLayout.mideleg]
        }
        let bits = operand & writable
        switch kind {
        case .set: setPending(bits, true)
        case .clear: setPending(bits, false)
        default:
            setPending(writable & ~bits, false)
            setPending(bits, true)
        }
        return .interrupts
    }

    /// Stores the bits of a register that `mask` covers; the others read as zero.
    func store(_ offset: Int, _ value: UInt64, mask: UInt64 = .max) { self[offset] = value & mask }
}
