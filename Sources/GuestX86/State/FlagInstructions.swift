// STI, CLI, PUSHF, POPF and INT n where IOPL, virtual-8086 mode and its extensions (VME, PVI) have a say; I/O
// permission.
//
// Spec: Intel SDM vol. 1 18.5; vol. 2 STI, CLI, PUSHF, POPF, INT n; vol. 3 20.3, 20.4; AMD APM vol. 2 8.10, 12.2.4.

import Translator

extension X86State {
    // MARK: IF

    /// Whether IF itself is at the disposal of the current privilege.
    private var mayChangeInterruptFlag: Bool { isVirtual8086 ? iopl == 3 : !isProtected || cpl <= iopl }

    /// Whether VIF stands in for IF.
    private var hasVirtualInterruptFlag: Bool {
        isVirtual8086 ? cr4 & CR4.vme != 0 : cpl == 3 && cr4 & CR4.pvi != 0 && isProtected
    }

    /// STI.
    /// - Parameter next: linear address of the next instruction, which no interrupt comes in front of.
    /// - Returns: true when the unit must be left, because an interrupt waits behind the next instruction.
    func setInterruptFlag(next: UInt64) throws(X86Fault) -> Bool {
        guard mayChangeInterruptFlag else {
            guard hasVirtualInterruptFlag, systemFlags & EFlags.vip == 0 else { throw .generalProtection }
            systemFlags |= EFlags.vif
            return false
        }
        guard systemFlags & EFlags.interrupt == 0 else { return false }
        systemFlags |= EFlags.interrupt
        // Most of the time nothing waits; then only the place is remembered, in case that something comes right now.
        self[SystemLayout.shadowPlace] = next
        guard hasPendingInterrupt || mode.has(Mode.single) else { return false }
        startShadow(InterruptShadow.sti)
        requestExit()
        return true
    }

    /// CLI.
    func clearInterruptFlag() throws(X86Fault) {
        if mayChangeInterruptFlag {
            systemFlags &= ~EFlags.interrupt
        } else {
            guard hasVirtualInterruptFlag else { throw .generalProtection }
            systemFlags &= ~EFlags.vif
        }
    }

    /// Holds interrupts off for one instruction. A shadow does not follow another at once.
    func startShadow(_ kind: UInt32) {
        guard isSystem, self[word: SystemLayout.interruptShadow] == 0 else { return }
        self[word: SystemLayout.interruptShadow] = kind
        updateMode()
    }

    // MARK: PUSHF, POPF

    /// PUSHF in virtual-8086 mode.
    func pushFlags(size: Int) throws(X86Fault) {
        var image = eflags & ~(EFlags.rf | EFlags.vm)
        if isVirtual8086, iopl < 3 {
            guard cr4 & CR4.vme != 0, size == 2 else { throw .generalProtection }
            image = virtualImage(image)
        }
        var stack = Stack(current: self)
        try stack.push(UInt64(image), size)
        setRegister(Self.rsp, stack.final)
    }

    /// A flag image with VIF in the place of IF and IOPL 3.
    private func virtualImage(_ flags: UInt32) -> UInt32 {
        flags & ~EFlags.interrupt | EFlags.iopl | (flags & EFlags.vif != 0 ? EFlags.interrupt : 0)
    }

    /// POPF of an image of `size` bytes that has been read from the stack, which it is dropped from.
    /// - Returns: true when the unit must be left: the mode word changed or an interrupt became possible.
    func popFlags(_ image: UInt32, size: Int) throws(X86Fault) -> Bool {
        var mask = EFlags.status | EFlags.df | EFlags.tf | EFlags.nt | EFlags.ac | EFlags.id
        var image = image
        if isVirtual8086, iopl < 3 {
            guard cr4 & CR4.vme != 0, size == 2, image & EFlags.tf == 0,
                  !(image & EFlags.interrupt != 0 && systemFlags & EFlags.vip != 0) else { throw .generalProtection }
            image = image & ~EFlags.vif | (image & EFlags.interrupt != 0 ? EFlags.vif : 0)
            mask = mask & 0xFFFF | EFlags.vif
        } else {
            if mayChangeInterruptFlag { mask |= EFlags.interrupt }
            if cpl == 0 { mask |= EFlags.iopl }
            if size == 2 { mask &= 0xFFFF }
        }
        var stack = Stack(current: self)
        stack.skip(UInt64(size))
        setRegister(Self.rsp, stack.final)
        let before = systemFlags
        setFlags(image, mask)
        systemFlags &= ~EFlags.rf
        let changesMode = (before ^ systemFlags) & (EFlags.tf | EFlags.ac) != 0
        if changesMode { updateMode() }
        if systemFlags & EFlags.interrupt != 0, hasPendingInterrupt {
            requestExit()
            return true
        }
        return changesMode
    }

    // MARK: INT n

    /// INT n, which virtual-8086 mode and programs treat apart.
    func interruptInstruction(_ vector: UInt8, next: UInt64) throws(X86Fault) {
        guard isSystem else {
            throw X86Fault(vector: ExceptionVector.generalProtection, errorCode: UInt32(vector) << 3 | X86Fault.idt)
        }
        if isVirtual8086 {
            if cr4 & CR4.vme != 0, try isRedirected(vector) {
                try enterVirtual(vector, offset(ofLinear: next))
                stepEntered()
                return
            }
            guard iopl == 3 else { throw .generalProtection }
        }
        try softwareInterrupt(vector, .instruction, next: next)
    }

    /// Whether the redirection map of the task state leaves an interrupt to the virtual-8086 program.
    private func isRedirected(_ vector: UInt8) throws(X86Fault) -> Bool {
        let tr = segment(SystemSegment.tr)
        guard tr.attributes & 8 != 0, tr.limit >= 0x67 else { return false }
        let map = try readLinear(tr.base &+ Self.portMapOffset, 2, .implicit)
        let place = map &- 32 &+ UInt64(vector >> 3)
        guard map >= 32, place <= UInt64(tr.limit) else { return false }
        return try readLinear(tr.base &+ place, 1, .implicit) >> UInt64(vector & 7) & 1 == 0
    }

    /// Through the interrupt vector table of the virtual-8086 program.
    private func enterVirtual(_ vector: UInt8, _ returnOffset: UInt64) throws(X86Fault) {
        let target = try readLinear(UInt64(vector) * 4, 4, .user)
        let image = iopl < 3 ? virtualImage(eflags) : eflags
        var stack = Stack(current: self)
        try stack.push(UInt64(image & 0xFFFF), 2)
        try stack.push(UInt64(selector(Segment.cs.rawValue)), 2)
        try stack.push(returnOffset, 2)
        setRegister(Self.rsp, stack.final)
        systemFlags &= ~(EFlags.tf | EFlags.nt | (iopl < 3 ? EFlags.vif : EFlags.interrupt))
        loadRealSegment(Segment.cs.rawValue, UInt16(truncatingIfNeeded: target >> 16))
        updateCodeSegment()
        rip = target & 0xFFFF
        updateMode()
    }

    // MARK: input and output

    private static let portMapOffset: UInt64 = 0x66

    /// Whether the program may access `size` ports from `port` on.
    /// - Throws: #GP(0), #PF of the permission map.
    public func checkPort(_ port: UInt16, _ size: Int) throws(X86Fault) {
        guard isProtected, isVirtual8086 || cpl > iopl else { return }
        let tr = segment(SystemSegment.tr)
        guard isSystem, tr.has(SegmentAttributes.present), tr.attributes & 8 != 0, tr.limit >= 0x67 else {
            throw .generalProtection
        }
        let place = (try readLinear(tr.base &+ Self.portMapOffset, 2, .implicit)) &+ UInt64(port >> 3)
        // Two bytes are read always.
        guard place + 1 <= UInt64(tr.limit) else { throw .generalProtection }
        let bits = try readLinear(tr.base &+ place, 2, .implicit) >> UInt64(port & 7)
        guard bits & ((1 << UInt64(size)) - 1) == 0 else { throw .generalProtection }
    }

    /// IN of 1, 2 or 4 bytes; permission has been checked.
    public func readPort(_ port: UInt16, _ size: Int) -> UInt64 {
        notePortAccess(port, UInt64(size))
        let mask = UInt64.max >> UInt64(64 - 8 * size)
        return (portIn?(base, UInt64(port), UInt64(size)) ?? .max) & mask
    }

    /// OUT of 1, 2 or 4 bytes; permission has been checked.
    public func writePort(_ port: UInt16, _ size: Int, _ value: UInt64) {
        notePortAccess(port, UInt64(size))
        let mask = UInt64.max >> UInt64(64 - 8 * size)
        portOut?(base, UInt64(port), UInt64(size), value & mask)
    }
}
