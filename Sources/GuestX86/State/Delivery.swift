// Exceptions and interrupts: through the interrupt vector table of real mode, and the gates of protected and long mode.
//
// Spec: Intel SDM vol. 2 INT n; vol. 3 6.10 to 6.15, 20.1.4, 20.3; AMD APM vol. 2 8.5 to 8.9.

import Translator

/// What is to be delivered to a vCPU.
public enum X86Event: Equatable, Sendable {
    /// An exception of the instruction at pc.
    case fault(X86Fault)
    /// #DB behind an instruction, or in front of it for a code breakpoint; bits to be set in DR6.
    case debug(UInt32)
    /// An interrupt from outside, with its vector.
    case interrupt(UInt8)
    case nmi
}

/// Where an interrupt through the IDT comes from.
enum InterruptSource {
    /// INT n, INT3, INTO: the gate's DPL is checked.
    case instruction
    /// ICEBP.
    case debugInstruction
    case exception
    case outside

    /// The EXT bit of error codes that arise.
    var isExternal: Bool { self != .instruction }
}

extension X86State {
    /// Delivers an event at pc. Faults on the way become further exceptions, a double fault, and shutdown (`activity`).
    public func deliver(_ event: X86Event) {
        let returnOffset = rip
        switch event {
        case .fault(let fault): deliver(fault, returnOffset)
        case .debug(let bits): deliverDebug(bits, returnOffset)
        case .interrupt(let vector):
            attempt(X86Fault(vector: vector), returnOffset, source: .outside)
        case .nmi:
            attempt(X86Fault(vector: ExceptionVector.nmi), returnOffset, source: .outside)
            self[word: SystemLayout.nmiBlocked] = 1
        }
    }

    private func deliverDebug(_ bits: UInt32, _ returnOffset: UInt64) {
        noteDebug(bits)
        attempt(X86Fault(vector: ExceptionVector.debug), returnOffset, source: .exception)
    }

    /// Sets bits of DR6 and turns general detection off, as the delivery of #DB does. B3 to B0 tell of this #DB alone.
    func noteDebug(_ bits: UInt32) {
        self[SystemLayout.dr6] = self[SystemLayout.dr6] & ~UInt64(DebugBits.hits) | UInt64(bits)
        self[SystemLayout.dr7] &= ~DebugBits.generalDetect
        self[word: SystemLayout.pendingDebug] = 0
    }

    private func deliver(_ fault: X86Fault, _ returnOffset: UInt64) {
        self[word: SystemLayout.pendingDebug] = 0
        attempt(fault, returnOffset, source: .exception)
    }

    /// Delivers, and what comes of it, until something succeeds or the processor shuts down.
    private func attempt(_ first: X86Fault, _ offset: UInt64, source first_: InterruptSource) {
        var current = first, source = first_, returnOffset = offset
        // Two benign or mixed faults, the double fault and its failure: no chain is longer.
        for _ in 0..<6 {
            do throws(X86Fault) {
                if current.vector == ExceptionVector.pageFault, source == .exception { cr2 = current.address }
                try enter(current, source, returnOffset)
                return
            } catch {
                // After a task switch faults belong to the new task.
                returnOffset = rip
                if source == .exception, current.vector == ExceptionVector.doubleFault { break }
                let isFirstPageFault = source == .exception && current.vector == ExceptionVector.pageFault
                let isFirstContributory = source == .exception && ExceptionVector.isContributory(current.vector)
                let isSecondContributory = ExceptionVector.isContributory(error.vector)
                let isSecondPageFault = error.vector == ExceptionVector.pageFault
                if isSecondPageFault { cr2 = error.address }
                if isFirstContributory && isSecondContributory
                    || isFirstPageFault && (isSecondContributory || isSecondPageFault) {
                    current = X86Fault(vector: ExceptionVector.doubleFault)
                } else {
                    current = error
                }
                source = .exception
            }
        }
        activity = .shutdown
    }

    /// INT n, INT3, INTO, ICEBP. The caller leaves the unit for pc when this returns.
    /// - Parameter next: linear address of the next instruction.
    func softwareInterrupt(_ vector: UInt8, _ source: InterruptSource, next: UInt64) throws(X86Fault) {
        // What MOV SS held back is reported with it.
        if source == .debugInstruction { noteDebug(self[word: SystemLayout.pendingDebug]) }
        try enter(X86Fault(vector: vector), source, offset(ofLinear: next))
        stepEntered()
    }

    private func enter(_ fault: X86Fault, _ source: InterruptSource, _ returnOffset: UInt64) throws(X86Fault) {
        if !isProtected {
            try enterReal(fault.vector, returnOffset)
        } else if isLongMode {
            try enterLong(fault, source, returnOffset)
        } else {
            try enterProtected(fault, source, returnOffset)
        }
        self[word: SystemLayout.interruptShadow] = 0
        activity = .running
        updateMode()
    }

    /// EFLAGS as pushed: faults set RF, so that a code breakpoint does not stop the instruction again.
    private func pushedFlags(_ vector: UInt8, _ source: InterruptSource) -> UInt64 {
        let isFault = source == .exception && vector != ExceptionVector.debug && vector != ExceptionVector.breakpoint
            && vector != ExceptionVector.overflow && vector != ExceptionVector.machineCheck
        switch source {
        case .instruction, .debugInstruction: return UInt64(eflags & ~EFlags.rf)
        case .exception, .outside: return UInt64(eflags | (isFault ? EFlags.rf : 0))
        }
    }

    // MARK: real mode

    /// Goes through the interrupt vector table.
    func enterReal(_ vector: UInt8, _ returnOffset: UInt64) throws(X86Fault) {
        let entry = UInt64(vector) * 4
        guard entry + 3 <= UInt64(self[word: SystemLayout.idtrLimit]) else { throw .generalProtection }
        let target = try readLinear(self[SystemLayout.idtrBase] &+ entry, 4, .implicit)
        var stack = Stack(current: self)
        try stack.push(UInt64(eflags & 0xFFFF), 2)
        try stack.push(UInt64(selector(Segment.cs.rawValue)), 2)
        try stack.push(returnOffset, 2)
        setRegister(Self.rsp, stack.final)
        systemFlags &= ~(EFlags.interrupt | EFlags.tf | EFlags.ac | EFlags.rf)
        loadRealSegment(Segment.cs.rawValue, UInt16(truncatingIfNeeded: target >> 16))
        updateCodeSegment()
        rip = target & 0xFFFF
    }

    // MARK: protected mode

    private func gateFault(_ vector: UInt8, _ number: UInt8, _ source: InterruptSource) -> X86Fault {
        X86Fault(vector: vector,
                 errorCode: UInt32(number) << 3 | X86Fault.idt | (source.isExternal ? X86Fault.external : 0))
    }

    private func enterProtected(_ fault: X86Fault, _ source: InterruptSource, _ returnOffset: UInt64) throws(X86Fault) {
        let number = fault.vector, entry = UInt64(number) * 8
        let refused = gateFault(ExceptionVector.generalProtection, number, source)
        guard entry + 7 <= UInt64(self[word: SystemLayout.idtrLimit]) else { throw refused }
        let gate = Descriptor(raw: try readLinear(self[SystemLayout.idtrBase] &+ entry, 8, .implicit), address: 0,
                              selector: 0)
        guard !gate.isSegment else { throw refused }
        switch gate.type {
        case SystemType.taskGate, SystemType.interruptGate16, SystemType.trapGate16, SystemType.interruptGate32,
             SystemType.trapGate32: break
        default: throw refused
        }
        if source == .instruction, gate.dpl < cpl { throw refused }
        guard gate.isPresent else { throw gateFault(ExceptionVector.segmentNotPresent, number, source) }
        let errorCode = source == .exception && ExceptionVector.hasErrorCode(number) ? fault.errorCode : nil
        if gate.type == SystemType.taskGate {
            return try enterTask(gate, errorCode, source, returnOffset)
        }
        let code = try interruptCode(gate.gateSelector, source)
        let isInner = !code.isConformingCode && code.dpl < cpl
        if isVirtual8086, !isInner || code.dpl != 0 {
            throw .generalProtection(code.selector, external: source.isExternal)
        }
        let size = gate.is32BitGate ? 4 : 2
        let offset = gate.is32BitGate ? gate.gateOffset : gate.gateOffset & 0xFFFF
        let flags = pushedFlags(number, source)
        let level = isInner ? code.dpl : cpl
        var stack = Stack(current: self)
        var ss = stack.segment
        if isInner {
            let (selector, pointer) = try taskStack(level, external: source.isExternal)
            ss = try stackSegment(selector, cpl: level, fault: ExceptionVector.invalidTSS, external: source.isExternal)
            stack = Stack(self, segment: ss, pointer: pointer, privilege: Self.privilege(cpl: level),
                          fault: X86Fault(vector: ExceptionVector.stack, selector: selector,
                                          external: source.isExternal))
            if isVirtual8086 {
                for segment in [Segment.gs, .fs, .ds, .es] { try stack.push(UInt64(selectorOf(segment)), size) }
            }
            try stack.push(UInt64(selectorOf(.ss)), size)
            try stack.push(register(Self.rsp), size)
        }
        try stack.push(flags, size)
        try stack.push(UInt64(selectorOf(.cs)), size)
        try stack.push(returnOffset, size)
        if let errorCode { try stack.push(UInt64(errorCode), size) }
        guard offset <= UInt64(code.limit) else {
            throw X86Fault(vector: ExceptionVector.generalProtection,
                           errorCode: source.isExternal ? X86Fault.external : 0)
        }
        try markAccessed(code)
        let wasVirtual8086 = isVirtual8086
        clearFlags(keepsInterrupts: gate.type & 1 != 0)
        if isInner { setSegment(.ss, ss) }
        if wasVirtual8086 {
            for segment in [Segment.es, .ds, .fs, .gs] { setSegment(segment, Self.nullSegment(0)) }
        }
        setRegister(Self.rsp, stack.final)
        setCode(code, offset, cpl: level)
    }

    private func selectorOf(_ segment: Segment) -> UInt16 { selector(segment.rawValue) }

    private func clearFlags(keepsInterrupts: Bool) {
        systemFlags &= ~(EFlags.tf | EFlags.nt | EFlags.vm | EFlags.rf | (keepsInterrupts ? 0 : EFlags.interrupt))
    }

    /// The code segment of an interrupt or trap gate.
    private func interruptCode(_ selector: UInt16, _ source: InterruptSource) throws(X86Fault) -> Descriptor {
        let fault = X86Fault.generalProtection(selector, external: source.isExternal)
        guard !selector.isNullSelector else { throw fault }
        let code = try descriptor(selector, fault: ExceptionVector.generalProtection, external: source.isExternal)
        guard code.isCode, code.dpl <= cpl, !isLongMode || code.isLong && !code.isBig else { throw fault }
        guard code.isPresent else {
            throw X86Fault(vector: ExceptionVector.segmentNotPresent, selector: selector, external: source.isExternal)
        }
        return code
    }

    private func enterTask(_ gate: Descriptor, _ errorCode: UInt32?, _ source: InterruptSource,
                           _ returnOffset: UInt64) throws(X86Fault) {
        let task = try taskDescriptor(gate.gateSelector, external: source.isExternal)
        let cause = TaskSwitchCause.interrupt(errorCode: errorCode, external: source.isExternal)
        if let fault = try switchTask(task, cause, returnOffset: returnOffset) {
            // An instruction's caller would take a thrown fault for one of the old task.
            guard source == .instruction || source == .debugInstruction else { throw fault }
            deliver(.fault(fault))
        } else {
            deliverTaskTrap()
        }
    }

    // MARK: long mode

    private func enterLong(_ fault: X86Fault, _ source: InterruptSource, _ returnOffset: UInt64) throws(X86Fault) {
        let number = fault.vector, entry = UInt64(number) * 16
        let refused = gateFault(ExceptionVector.generalProtection, number, source)
        guard entry + 15 <= UInt64(self[word: SystemLayout.idtrLimit]) else { throw refused }
        let address = self[SystemLayout.idtrBase] &+ entry
        let gate = Descriptor(raw: try readLinear(address, 8, .implicit), address: address, selector: 0)
        guard !gate.isSegment, gate.type == SystemType.interruptGate32 || gate.type == SystemType.trapGate32 else {
            throw refused
        }
        if source == .instruction, gate.dpl < cpl { throw refused }
        guard gate.isPresent else { throw gateFault(ExceptionVector.segmentNotPresent, number, source) }
        let offset = gate.gateOffset | (try readLinear(address &+ 8, 4, .implicit)) << 32
        let code = try interruptCode(gate.gateSelector, source)
        let isInner = !code.isConformingCode && code.dpl < cpl
        let level = isInner ? code.dpl : cpl
        var pointer = register(Self.rsp)
        if gate.interruptStack != 0 {
            pointer = try longTaskStack(Self.interruptStackSlot(gate.interruptStack), external: source.isExternal)
        } else if isInner {
            pointer = try longTaskStack(UInt64(level), external: source.isExternal)
        } else if !is64BitCode {
            pointer &= 0xFFFF_FFFF
        }
        let external = source.isExternal ? X86Fault.external : 0
        var stack = Stack(self, long: pointer & ~15, privilege: Self.privilege(cpl: level),
                          fault: X86Fault(vector: ExceptionVector.stack, errorCode: external))
        try stack.push(UInt64(selectorOf(.ss)), 8)
        try stack.push(register(Self.rsp), 8)
        try stack.push(pushedFlags(number, source), 8)
        try stack.push(UInt64(selectorOf(.cs)), 8)
        try stack.push(returnOffset, 8)
        if source == .exception, ExceptionVector.hasErrorCode(number) { try stack.push(UInt64(fault.errorCode), 8) }
        guard isCanonical(offset) else {
            throw X86Fault(vector: ExceptionVector.generalProtection, errorCode: external)
        }
        try markAccessed(code)
        clearFlags(keepsInterrupts: gate.type & 1 != 0)
        if isInner { setSegment(.ss, nullStack(UInt16(level))) }
        setRegister(Self.rsp, stack.final)
        setCode(code, offset, cpl: level)
    }
}
