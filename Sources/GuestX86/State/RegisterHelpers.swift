// Bodies of the helpers for system registers, counters, caches, waiting and ports.

import Glibc
import Translator

extension SystemHelpers {
    static func register(_ index: HelperIndex) -> HelperFunction? {
        switch index {
        case .readControl: { base, number, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in try state.readControl(Int(number & 15)) }
        }
        case .writeControl: { base, number, value, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                try state.writeControl(Int(number & 15), value)
                return 0
            }
        }
        case .readDebug: { base, number, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                guard number < 8 else { throw .invalidOpcode }
                return try state.readDebug(Int(number))
            }
        }
        case .writeDebug: { base, number, value, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                guard number < 8 else { throw .invalidOpcode }
                try state.writeDebug(Int(number), value)
                return 0
            }
        }
        case .clearTaskSwitched: { base, _, _, _ in
            X86State(base).clearTaskSwitched()
            return 0
        }
        case .loadMachineStatus: { base, value, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                try state.loadMachineStatus(value)
                return 0
            }
        }
        case .storeMachineStatus: { base, _, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                try state.checkUMIP()
                return state.isSystem ? state.cr0 : state.cr0 | CR0.pg
            }
        }
        case .loadGDT: { base, address, limit, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                guard !state.is64BitCode || state.isCanonical(address) else { throw .generalProtection }
                state[SystemLayout.gdtrBase] = address
                state[word: SystemLayout.gdtrLimit] = UInt32(limit & 0xFFFF)
                return 0
            }
        }
        case .loadIDT: { base, address, limit, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                guard !state.is64BitCode || state.isCanonical(address) else { throw .generalProtection }
                state[SystemLayout.idtrBase] = address
                state[word: SystemLayout.idtrLimit] = UInt32(limit & 0xFFFF)
                return 0
            }
        }
        case .readTableRegister: { base, part, table, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                try state.checkUMIP()
                if part == 0 { return state[table == 0 ? SystemLayout.gdtrBase : SystemLayout.idtrBase] }
                return UInt64(state[word: table == 0 ? SystemLayout.gdtrLimit : SystemLayout.idtrLimit])
            }
        }
        case .loadLDT: { base, selector, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                guard state.usesDescriptors else { throw .invalidOpcode }
                guard state.cpl == 0 else { throw .generalProtection }
                try state.loadLDT(UInt16(truncatingIfNeeded: selector))
                return 0
            }
        }
        case .loadTask: { base, selector, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                guard state.usesDescriptors else { throw .invalidOpcode }
                guard state.cpl == 0 else { throw .generalProtection }
                try state.loadTaskRegister(UInt16(truncatingIfNeeded: selector))
                return 0
            }
        }
        case .storeLDT: { base, _, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                try state.checkUMIP()
                return UInt64(state.selector(SystemSegment.ldtr))
            }
        }
        case .storeTask: { base, _, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                try state.checkUMIP()
                return UInt64(state.selector(SystemSegment.tr))
            }
        }
        case .loadAccess: { base, selector, request, old in
            X86State(base).orLeave { state throws(X86Fault) in
                guard state.usesDescriptors else { throw .invalidOpcode }
                let selector = UInt16(truncatingIfNeeded: selector)
                let found = request & 1 << 8 != 0 ? try state.segmentLimit(selector) : try state.accessRights(selector)
                state.setZF(found != nil)
                guard let found else { return old }
                return request & 0xFF == 2 ? old & ~0xFFFF | UInt64(found & 0xFFFF) : UInt64(found)
            }
        }
        case .verify: { base, selector, use, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                guard state.usesDescriptors else { throw .invalidOpcode }
                state.setZF(try state.verifies(UInt16(truncatingIfNeeded: selector), use == 0 ? .read : .write))
                return 0
            }
        }
        default: nil
        }
    }

    static func privileged(_ index: HelperIndex) -> HelperFunction? {
        switch index {
        case .readMSR: { base, _, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                try state.requirePrivilege()
                state.setPair(try state.readMSR(UInt32(truncatingIfNeeded: state.register(X86State.rcx))))
                return 0
            }
        }
        case .writeMSR: { base, _, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                try state.requirePrivilege()
                try state.writeMSR(UInt32(truncatingIfNeeded: state.register(X86State.rcx)), state.pair)
                return 0
            }
        }
        case .readPerformanceCounter: { base, _, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                let number = UInt32(truncatingIfNeeded: state.register(X86State.rcx))
                state.setPair(try state.readPerformanceCounter(number))
                return 0
            }
        }
        case .readTSC: { base, _, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                state.setPair(try state.readTimeStampCounter())
                return 0
            }
        }
        case .readTSCP: { base, _, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                state.setPair(try state.readTimeStampCounter())
                state.setRegister(X86State.rcx, state[SystemLayout.tscAux])
                return 0
            }
        }
        case .readTSCAuxiliary: { base, _, _, _ in X86State(base)[SystemLayout.tscAux] }
        case .cpuid: { base, _, _, _ in
            X86State(base).cpuid()
            return 0
        }
        case .readExtendedControl: { base, _, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                guard !state.isSystem || state.cr4 & CR4.osxsave != 0 else { throw .invalidOpcode }
                state.setPair(try state.readExtendedControl(UInt32(truncatingIfNeeded: state.register(X86State.rcx))))
                return 0
            }
        }
        case .writeExtendedControl: { base, _, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                guard !state.isSystem || state.cr4 & CR4.osxsave != 0 else { throw .invalidOpcode }
                try state.requirePrivilege()
                try state.writeExtendedControl(UInt32(truncatingIfNeeded: state.register(X86State.rcx)), state.pair)
                return 0
            }
        }
        case .random: { _, _, _, _ in UInt64.random(in: 0 ... .max) }
        case .invalidatePage: { base, address, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                try state.requirePrivilege()
                state.invalidatePage(address)
                return 0
            }
        }
        case .invalidateContext: { base, type, address, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                try state.requirePrivilege()
                let pcid = try state.readLinear(address, 8, state.dataPrivilege)
                let page = try state.readLinear(address &+ 8, 8, state.dataPrivilege)
                try state.invalidateContext(type: type, pcid: pcid, address: page)
                return 0
            }
        }
        case .halt: { base, next, _, _ in
            X86State(base).orLeave(transfer: true) { state throws(X86Fault) in
                try state.requirePrivilege()
                state.pc = next
                state.activity = .halted
                state.requestExit()
            }
        }
        case .monitor: { base, address, extensions, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                guard !state.isSystem || state.cpl == 0 else { throw .invalidOpcode }
                guard extensions == 0 else { throw .generalProtection }
                state[SystemLayout.monitor] = try state.translate(address, .read, state.dataPrivilege).physical.value
                return 0
            }
        }
        case .monitorWait: { base, _, _, extensions in
            X86State(base).orLeave { state throws(X86Fault) in
                guard !state.isSystem || state.cpl == 0 else { throw .invalidOpcode }
                guard extensions & ~1 == 0 else { throw .generalProtection }
                // Stores are not watched, so the wait ends at once, as it may; others get the host's processor
                // meanwhile.
                state[SystemLayout.monitor] = .max
                sched_yield()
                return 0
            }
        }
        case .swapGS: { base, _, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                try state.swapGS()
                return 0
            }
        }
        case .readSegmentBase: { base, which, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in try state.readBase(which == 0 ? .fs : .gs) }
        }
        case .writeSegmentBase: { base, which, value, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                try state.writeBase(which == 0 ? .fs : .gs, value)
                return 0
            }
        }
        case .invalidateCaches: { base, _, _, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                try state.requirePrivilege()
                return 0
            }
        }
        case .portIn: { base, port, size, _ in
            X86State(base).orLeave { state throws(X86Fault) in
                let port = UInt16(truncatingIfNeeded: port), size = size == 1 || size == 2 ? Int(size) : 4
                try state.checkPort(port, size)
                return state.readPort(port, size)
            }
        }
        case .portOut: { base, port, size, value in
            X86State(base).orLeave { state throws(X86Fault) in
                let port = UInt16(truncatingIfNeeded: port), size = size == 1 || size == 2 ? Int(size) : 4
                try state.checkPort(port, size)
                state.writePort(port, size, value)
                return 0
            }
        }
        default: nil
        }
    }
}

extension X86State {
    /// #GP(0) unless the CPL is 0.
    fileprivate func requirePrivilege() throws(X86Fault) {
        guard isSystem, cpl == 0 else { throw .generalProtection }
    }

    /// #GP(0) where UMIP keeps programs from reading system registers.
    fileprivate func checkUMIP() throws(X86Fault) {
        if cr4 & CR4.umip != 0, cpl > 0, isProtected { throw .generalProtection }
    }

    /// EDX:EAX.
    fileprivate var pair: UInt64 { register(Self.rdx) << 32 | register(Self.rax) & 0xFFFF_FFFF }

    fileprivate func setPair(_ value: UInt64) {
        setRegister(Self.rax, value & 0xFFFF_FFFF)
        setRegister(Self.rdx, value >> 32)
    }
}
