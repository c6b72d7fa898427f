// Privilege: what the mode word is made of, resets, and the privileged instructions.
//
// Spec: Volume II, Machine-Level ISA, Trap-return instructions, Wait for interrupt; Supervisor-Level ISA, Supervisor
// memory-management fence. Absent: big-endian modes, 32-bit modes, the hypervisor extension.

import Translator

extension RISCVState {
    /// The privilege code runs at. Setting it does not update the mode word.
    public internal(set) var privilege: Privilege {
        get { Privilege(rawValue: UInt8(truncatingIfNeeded: self[word: FrontLayout.privilege])) ?? .user }
        nonmutating set { self[word: FrontLayout.privilege] = UInt32(newValue.rawValue) }
    }

    /// mstatus without the read-only fields.
    var mstatus: UInt64 {
        get { self[FrontLayout.mstatus] }
        nonmutating set { self[FrontLayout.mstatus] = newValue }
    }

    /// mstatus as read.
    var mstatusRead: UInt64 {
        let dirty = mstatus & Status.fs == Status.fs ? Status.sd : 0
        return mstatus | Status.uxl | Status.sxl | dirty
    }

    private var previousMachinePrivilege: Privilege {
        Privilege(rawValue: UInt8(truncatingIfNeeded: mstatus >> Status.mppShift & 3)) ?? .user
    }

    /// The privilege loads and stores are checked at: mstatus.MPRV replaces the machine's by the previous one.
    var dataPrivilege: Privilege {
        privilege == .machine && mstatus & Status.mprv != 0 ? previousMachinePrivilege : privilege
    }

    /// True when satp names a page table.
    var isPaging: Bool { self[FrontLayout.satp] >> AddressTranslation.modeShift != AddressTranslation.bare }

    /// The mode word of the privileged architecture.
    var systemMode: Mode {
        let float: Mode.FloatUnit = switch mstatus >> Status.fsShift & 3 {
        case Status.fsOff: .off
        case Status.fsDirty: .usable
        default: .clean
        }
        let data: Mode.DataAccess = switch dataPrivilege {
        case .user: .user
        case .supervisor: mstatus & Status.sum != 0 ? .supervisorUserMemory : .supervisor
        case .machine: .physical
        }
        let current = privilege
        return Mode(frm: frm, privilege: current, float: float, data: data,
                    fetchPaging: isPaging && current != .machine)
    }

    // MARK: reset

    /// Power-on: machine mode at `pc`, all else zero; a1 conventionally points to the device tree. Interrupt lines keep
    /// their level.
    public func resetMachine(pc: UInt64, hartID: UInt64, a0: UInt64 = 0, a1: UInt64 = 0) {
        clear()
        self[word: FrontLayout.system] = 1
        self[FrontLayout.mhartid] = hartID
        privilege = .machine
        start(pc, a0, a1)
    }

    /// What SBI firmware hands over to a kernel: supervisor mode, user traps and supervisor interrupts delegated, all
    /// counters and stimecmp enabled, all memory accessible. Traps the firmware would take still go to machine mode,
    /// where `takeTrap` reports them (see there).
    public func resetForSupervisor(pc: UInt64, hartID: UInt64, a0: UInt64, a1: UInt64) {
        clear()
        self[word: FrontLayout.system] = 1
        self[FrontLayout.mhartid] = hartID
        self[FrontLayout.medeleg] = ExceptionCause.delegable & ~(1 << ExceptionCause.supervisorCall.rawValue)
        self[FrontLayout.mideleg] = InterruptBit.supervisor
        self[FrontLayout.mcounteren] = CounterEnable.all
        // OpenSBI leaves the counters open to user mode as well, and Linux's vDSO reads the time without asking.
        self[FrontLayout.scounteren] = CounterEnable.all
        self[FrontLayout.menvcfg] = EnvironmentConfiguration.stce
        self[FrontLayout.stimecmp] = .max
        self[FrontLayout.pmpaddr] = PMP.addressMask
        setPMPConfiguration(0, PMP.read | PMP.write | PMP.execute | PMP.napot)
        privilege = .supervisor
        start(pc, a0, a1)
    }

    private func start(_ pc: UInt64, _ a0: UInt64, _ a1: UInt64) {
        // Its source is stimecmp, which was reset as well; the other lines belong to devices.
        setInterruptLine(InterruptBit.supervisorTimer, false)
        setX(10, a0)
        setX(11, a1)
        self.pc = pc
        updateMode()
        flushTranslations?(base, 0, 1)
    }

    // MARK: instructions

    /// Marks the floating point state dirty, when it is on.
    func markFloatDirty() {
        if mstatus & Status.fs != 0 { mstatus |= Status.fs }
        updateMode()
    }

    /// Returns from a machine trap. False, with nothing done, where the instruction is illegal.
    func mret() -> Bool {
        guard privilege == .machine else { return false }
        var status = mstatus
        let target = previousMachinePrivilege
        status = status & ~Status.mie | (status & Status.mpie != 0 ? Status.mie : 0)
        status |= Status.mpie
        status &= ~Status.mpp
        if target != .machine { status &= ~Status.mprv }
        mstatus = status
        privilege = target
        pc = self[FrontLayout.mepc]
        updateMode()
        noticeInterrupts()
        return true
    }

    /// Returns from a supervisor trap. False, with nothing done, where the instruction is illegal.
    func sret() -> Bool {
        let current = privilege
        guard current == .machine || current == .supervisor && mstatus & Status.tsr == 0 else { return false }
        var status = mstatus
        let target: Privilege = status & Status.spp != 0 ? .supervisor : .user
        status = status & ~Status.sie | (status & Status.spie != 0 ? Status.sie : 0)
        status |= Status.spie
        status &= ~(Status.spp | Status.mprv)
        mstatus = status
        privilege = target
        pc = self[FrontLayout.sepc]
        updateMode()
        noticeInterrupts()
        return true
    }

    /// Whether WFI is legal here.
    var mayWait: Bool {
        switch privilege {
        case .machine: true
        case .supervisor: mstatus & Status.tw == 0
        case .user: false
        }
    }

    /// SFENCE.VMA of one page or, without an address, of everything. Address space numbers do not narrow it: nothing is
    /// cached by them. False where the instruction is illegal.
    func fenceVMA(address: UInt64?) -> Bool {
        let current = privilege
        guard current == .machine || current == .supervisor && mstatus & Status.tvm == 0 else { return false }
        flushTranslations?(base, address ?? 0, address == nil ? 1 : 0)
        return true
    }
}
