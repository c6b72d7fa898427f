// Executes CSR instructions: access rules, WARL fields, side effects.
//
// Spec: Volume I, "Zicsr", "Zicntr", "F"; Volume II, Machine-Level ISA, Supervisor-Level ISA, "Sstc".

import Translator

/// What a CSR instruction came to.
enum CSROutcome {
    case done
    case illegal
    /// Done; the mode word changed or an interrupt became pending, so the unit must be left.
    case modeChanged
}

extension RISCVState {
    /// Executes a CSR instruction, including the write of rd.
    func execute(_ operation: CSROperation, operand: UInt64) -> CSROutcome {
        let csr = operation.csr
        let writes = operation.kind != .read
        if writes, csr.isReadOnly { return .illegal }
        guard let old = read(csr) else { return .illegal }
        let modeBefore = mode
        if writes {
            let value: UInt64 = switch operation.kind {
            case .set: old | operand
            case .clear: old & ~operand
            default: operand
            }
            write(csr, value)
        }
        setX(operation.rd, old)
        return mode == modeBefore ? .done : .modeChanged
    }

    func read(_ csr: CSR) -> UInt64? {
        switch csr {
        case .fflags: UInt64(fflags)
        case .frm: UInt64(frm)
        case .fcsr: UInt64(fcsr)
        case .time: time
        case .cycle, .instret: Self.hostNanoseconds
        default: nil
        }
    }

    func write(_ csr: CSR, _ value: UInt64) {
        switch csr {
        case .fflags: fflags = UInt32(truncatingIfNeeded: value)
        case .frm: frm = UInt32(truncatingIfNeeded: value)
        case .fcsr: fcsr = UInt32(truncatingIfNeeded: value)
        default: break
        }
    }
}
