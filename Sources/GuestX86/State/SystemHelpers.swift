// Bodies of the helpers that need system state: arguments in, faults out.

import Translator

/// Helpers of the system part.
enum SystemHelpers {
    /// The body of a helper.
    static func body(_ index: HelperIndex) -> HelperFunction {
        transfer(index) ?? flags(index) ?? register(index) ?? privileged(index) ?? undefined
    }

    private static let undefined: HelperFunction = { base, _, _, _ in
        X86State(base).leave(vector: ExceptionVector.invalidOpcode)
        return 0
    }

    // MARK: segments and far transfers

    private static func transfer(_ index: HelperIndex) -> HelperFunction? {
        switch index {
        case .linear: { base, request, offset, _ in
            let request = SegmentRequest(rawValue: request)
            return X86State(base).orLeave { state throws(X86Fault) in
                try state.checkSegment(request.segment.rawValue, offset: offset, size: request.size,
                                       request.isWrite ? .write : .read)
            }
        }
        case .checkCode: { base, offset, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                let limit = state[word: SystemLayout.limit(Segment.cs.rawValue)]
                guard state.is64BitCode || offset <= UInt64(limit) else { throw .generalProtection }
                return 0
            }
        }
        case .readSelector: { base, segment, _, _ in UInt64(X86State(base).selector(Int(segment & 7))) }
        case .loadSegment: { base, segment, selector, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                try state.loadSegment(Int(segment & 7), UInt16(truncatingIfNeeded: selector))
                if segment == UInt64(Segment.ss.rawValue) { state.startShadow(InterruptShadow.movSS) }
                return 0
            }
        }
        case .farJump: { base, request, offset, next in
            X86State(base).orLeave(transfer: true) { state throws(X86Fault) in
                try state.farJump(UInt16(truncatingIfNeeded: request), offset, next: next)
            }
        }
        case .farCall: { base, request, offset, next in
            X86State(base).orLeave(transfer: true) { state throws(X86Fault) in
                try state.farCall(UInt16(truncatingIfNeeded: request), offset, size: operandSize(request >> 16),
                                  next: next)
            }
        }
        case .farReturn: { base, size, release, _ in
            X86State(base).orLeave(transfer: true) { state throws(X86Fault) in
                try state.farReturn(size: operandSize(size), release: release & 0xFFFF)
            }
        }
        case .interruptReturn: { base, size, next, _ in
            X86State(base).orLeave(transfer: true) { state throws(X86Fault) in
                try state.interruptReturn(size: operandSize(size), next: next)
                state.noticeInterrupts()
            }
        }
        case .softwareInterrupt: { base, request, next, _ in
            X86State(base).orLeave(transfer: true) { state throws(X86Fault) in
                let vector = UInt8(truncatingIfNeeded: request)
                switch InterruptKind(rawValue: request >> 8) ?? .interrupt {
                case .interrupt: try state.interruptInstruction(vector, next: next)
                case .trap: try state.softwareInterrupt(vector, .instruction, next: next)
                case .debug: try state.softwareInterrupt(vector, .debugInstruction, next: next)
                }
            }
        }
        case .systemCall: { base, next, _, _ in
            X86State(base).orLeave(transfer: true) { state throws(X86Fault) in try state.systemCall(next: next) }
        }
        case .systemReturn: { base, size, _, _ in
            X86State(base).orLeave(transfer: true) { state throws(X86Fault) in
                try state.systemReturn(size: operandSize(size))
            }
        }
        case .systemEnter: { base, _, _, _ in
            X86State(base).orLeave(transfer: true) { state throws(X86Fault) in try state.systemEnter() }
        }
        case .systemExit: { base, _, _, _ in
            X86State(base).orLeave(transfer: true) { state throws(X86Fault) in try state.systemExit() }
        }
        default: nil
        }
    }

    // MARK: flags

    private static func flags(_ index: HelperIndex) -> HelperFunction? {
        switch index {
        case .pushFlags: { base, size, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                try state.pushFlags(size: operandSize(size))
                return 0
            }
        }
        case .popFlags: { base, image, size, next in
            X86State(base).orLeave { state throws(X86Fault) in
                if try state.popFlags(UInt32(truncatingIfNeeded: image), size: operandSize(size)) {
                    state.leave(to: next)
                }
                return 0
            }
        }
        case .setInterruptFlag: { base, next, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                if try state.setInterruptFlag(next: next) { state.leave(to: next) }
                return 0
            }
        }
        case .clearInterruptFlag: { base, _, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                try state.clearInterruptFlag()
                return 0
            }
        }
        case .setAccessCheck: { base, set, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                guard state.cpl == 0, state.has(.smap) else { throw .invalidOpcode }
                state.systemFlags = state.systemFlags & ~EFlags.ac | (set != 0 ? EFlags.ac : 0)
                state.updateMode()
                return 0
            }
        }
        default: nil
        }
    }
}

/// An operand size in bytes out of an argument; what is none counts as 4.
private func operandSize(_ argument: UInt64) -> Int {
    argument & 0xFF == 2 || argument & 0xFF == 8 ? Int(argument & 0xFF) : 4
}

extension X86State {
    /// Runs the body of a helper; a fault leaves the unit as one of the current instruction, with result 0.
    @inline(__always)
    func orLeave(_ body: (X86State) throws(X86Fault) -> UInt64) -> UInt64 {
        do throws(X86Fault) {
            return try body(self)
        } catch {
            leave(error)
            return 0
        }
    }

    /// The same for an instruction that goes elsewhere: pc has been set, and the unit is left for it.
    @inline(__always)
    func orLeave(transfer: Bool, _ body: (X86State) throws(X86Fault) -> Void) -> UInt64 {
        do throws(X86Fault) {
            try body(self)
            leave(.lookup)
        } catch {
            leave(error)
        }
        return 0
    }
}
