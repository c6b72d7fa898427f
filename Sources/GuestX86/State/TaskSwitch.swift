// Hardware task switching between 16- and 32-bit tasks; long mode has none.
//
// Everything that can be checked while the old task still runs is checked before the first change. From the moment TR
// changes, faults belong to the new task: they are handed back as values, and the registers are the new task's.
//
// Spec: Intel SDM vol. 3 7.2, 7.3; AMD APM vol. 2 12.4. The order of loads and checks is that of SDM table 7-1.

import Translator

/// What brings a task switch about.
enum TaskSwitchCause {
    case jump, call, interruptReturn
    /// An interrupt or exception, with an error code to push on the new stack.
    case interrupt(errorCode: UInt32?, external: Bool)

    /// The old task stays busy and is linked from the new one.
    var isNested: Bool {
        switch self {
        case .call, .interrupt: true
        case .jump, .interruptReturn: false
        }
    }
}

/// Offsets in a task state segment.
private struct TaskLayout {
    let is32: Bool
    var minimumLimit: UInt32 { is32 ? 0x67 : 0x2B }
    var word: Int { is32 ? 4 : 2 }
    var instructionPointer: UInt64 { is32 ? 0x20 : 0x0E }
    var flags: UInt64 { is32 ? 0x24 : 0x10 }
    func register(_ number: Int) -> UInt64 { is32 ? 0x28 + UInt64(number) * 4 : 0x12 + UInt64(number) * 2 }
    /// ES CS SS DS FS GS; the 16-bit form ends with DS.
    func selector(_ number: Int) -> UInt64 { is32 ? 0x48 + UInt64(number) * 4 : 0x22 + UInt64(number) * 2 }
    var selectorCount: Int { is32 ? 6 : 4 }
    var ldt: UInt64 { is32 ? 0x60 : 0x2A }
    static let cr3: UInt64 = 0x1C, trap: UInt64 = 0x64
}

/// What is read from a task state segment.
private struct TaskImage {
    var cr3: UInt64 = 0
    var instructionPointer: UInt64 = 0
    var flags: UInt32 = 0
    var registers: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0, 0)
    var selectors: (UInt16, UInt16, UInt16, UInt16, UInt16, UInt16) = (0, 0, 0, 0, 0, 0)
    var ldt: UInt16 = 0
    var trap = false
}

extension X86State {
    /// The descriptor of a task to switch to by JMP, CALL or an interrupt.
    func taskDescriptor(_ selector: UInt16, external: Bool) throws(X86Fault) -> Descriptor {
        let fault = X86Fault.generalProtection(selector, external: external)
        guard !selector.usesLDT, !selector.isNullSelector else { throw fault }
        let found = try descriptor(selector, fault: ExceptionVector.generalProtection, external: external)
        guard !found.isSegment,
              found.type == SystemType.tss16Available || found.type == SystemType.tss32Available else {
            throw fault
        }
        guard found.isPresent else {
            throw X86Fault(vector: ExceptionVector.segmentNotPresent, selector: selector, external: external)
        }
        return found
    }

    /// A task switch by JMP or CALL; faults of the new task are delivered to it.
    func switchFromInstruction(_ task: Descriptor, _ cause: TaskSwitchCause, next: UInt64) throws(X86Fault) {
        if let fault = try switchTask(task, cause, returnOffset: offset(ofLinear: next)) {
            deliver(.fault(fault))
        } else {
            deliverTaskTrap()
        }
        stepEntered()
    }

    /// #DB in front of the first instruction of a task whose T bit is set.
    func deliverTaskTrap() {
        if self[word: SystemLayout.pendingDebug] & DebugBits.bt != 0 { deliver(.debug(DebugBits.bt)) }
    }

    /// IRET with NT set: back to the task that is linked.
    func returnToTask(_ next: UInt64) throws(X86Fault) {
        let tr = segment(SystemSegment.tr)
        let selector = UInt16(truncatingIfNeeded: try readLinear(tr.base, 2, .implicit))
        let fault = X86Fault(vector: ExceptionVector.invalidTSS, selector: selector)
        guard !selector.usesLDT, !selector.isNullSelector else { throw fault }
        let found = try descriptor(selector, fault: ExceptionVector.invalidTSS)
        guard !found.isSegment, found.type == SystemType.tss16Busy || found.type == SystemType.tss32Busy else {
            throw fault
        }
        guard found.isPresent else { throw X86Fault(vector: ExceptionVector.segmentNotPresent, selector: selector) }
        try switchFromInstruction(found, .interruptReturn, next: next)
    }

    /// Switches to a task whose descriptor has been checked.
    /// - Returns: a fault that already belongs to the new task, or nil.
    /// - Throws: a fault of the old task, of which nothing has changed.
    func switchTask(_ task: Descriptor, _ cause: TaskSwitchCause, returnOffset: UInt64) throws(X86Fault) -> X86Fault? {
        let old = segment(SystemSegment.tr)
        let oldLayout = TaskLayout(is32: old.attributes & 8 != 0), layout = TaskLayout(is32: task.type & 8 != 0)
        guard task.limit >= layout.minimumLimit else {
            throw X86Fault(vector: ExceptionVector.invalidTSS, selector: task.selector)
        }
        guard old.has(SegmentAttributes.present), old.limit >= oldLayout.minimumLimit else {
            throw X86Fault(vector: ExceptionVector.invalidTSS, selector: old.selector)
        }
        try probe(old.base, UInt64(oldLayout.minimumLimit) + 1, .write, .implicit)
        try probe(task.base, UInt64(layout.minimumLimit) + 1, cause.isNested ? .write : .read, .implicit)
        var flags = eflags
        if case .interruptReturn = cause { flags &= ~EFlags.nt }
        // The old descriptor is written for JMP and IRET, the new one for all but IRET: both must be reachable.
        let oldDescriptor = self[SystemLayout.gdtrBase] &+ UInt64(old.selector & ~7) &+ 5
        switch cause {
        case .jump, .interruptReturn: try probe(oldDescriptor, 1, .write, .implicit)
        case .call, .interrupt: break
        }
        var image = try readTask(task.base, layout)
        if case .interruptReturn = cause {} else { try setBits(task.address &+ 5, UInt8(SystemType.busy)) }
        if !cause.isNested { try clearBits(oldDescriptor, UInt8(SystemType.busy)) }
        try saveTask(old.base, oldLayout, flags, returnOffset)
        if cause.isNested {
            try writeLinear(task.base, 2, UInt64(old.selector), .implicit)
            image.flags |= EFlags.nt
        }
        // From here on the new task runs.
        var tr = task.cache
        tr.attributes |= SystemType.busy
        setSegment(SystemSegment.tr, tr)
        cr0 |= CR0.ts
        do throws(X86Fault) {
            try loadTask(image, layout, cause)
            return nil
        } catch {
            updateMode()
            return error
        }
    }

    private func saveTask(_ base: UInt64, _ layout: TaskLayout, _ flags: UInt32, _ offset: UInt64) throws(X86Fault) {
        try writeLinear(base &+ layout.instructionPointer, layout.word, offset, .implicit)
        try writeLinear(base &+ layout.flags, layout.word, UInt64(flags), .implicit)
        for number in 0..<8 {
            try writeLinear(base &+ layout.register(number), layout.word, register(number), .implicit)
        }
        for number in 0..<layout.selectorCount {
            try writeLinear(base &+ layout.selector(number), 2, UInt64(selector(number)), .implicit)
        }
    }

    private func readTask(_ base: UInt64, _ layout: TaskLayout) throws(X86Fault) -> TaskImage {
        var image = TaskImage()
        if layout.is32 {
            image.cr3 = try readLinear(base &+ TaskLayout.cr3, 4, .implicit)
            image.trap = try readLinear(base &+ TaskLayout.trap, 2, .implicit) & 1 != 0
        }
        image.instructionPointer = try readLinear(base &+ layout.instructionPointer, layout.word, .implicit)
        image.flags = UInt32(truncatingIfNeeded: try readLinear(base &+ layout.flags, layout.word, .implicit))
        image.ldt = UInt16(truncatingIfNeeded: try readLinear(base &+ layout.ldt, 2, .implicit))
        func register(_ number: Int) throws(X86Fault) -> UInt64 {
            // The upper halves are ones after a switch to a 16-bit task.
            try readLinear(base &+ layout.register(number), layout.word, .implicit) | (layout.is32 ? 0 : 0xFFFF_0000)
        }
        image.registers = (try register(0), try register(1), try register(2), try register(3),
                           try register(4), try register(5), try register(6), try register(7))
        func selector(_ number: Int) throws(X86Fault) -> UInt16 {
            guard number < layout.selectorCount else { return 0 }
            return UInt16(truncatingIfNeeded: try readLinear(base &+ layout.selector(number), 2, .implicit))
        }
        image.selectors = (try selector(0), try selector(1), try selector(2), try selector(3), try selector(4),
                           try selector(5))
        return image
    }

    private func loadTask(_ image: TaskImage, _ layout: TaskLayout, _ cause: TaskSwitchCause) throws(X86Fault) {
        // The new registers first: a fault reports them.
        let r = image.registers
        for (number, value) in [r.0, r.1, r.2, r.3, r.4, r.5, r.6, r.7].enumerated() { setRegister(number, value) }
        setFlags(image.flags, EFlags.all & ~EFlags.vm & ~EFlags.rf)
        setFlags(image.flags, (layout.is32 ? EFlags.vm : 0) | returnedRF)
        self[SystemLayout.dr7] &= ~0x155
        self[word: SystemLayout.interruptShadow] = 0
        let s = image.selectors
        if isVirtual8086 {
            enterVirtual8086(selectors: s)
        } else {
            for (number, selector) in [s.0, s.1, s.2, s.3, s.4, s.5].enumerated() {
                // Nothing can be used until its descriptor is loaded.
                setSegment(number, SegmentCache(selector: selector, attributes: SegmentAttributes.null
                                                | (number == Segment.cs.rawValue ? SegmentAttributes.big : 0)))
            }
            cpl = s.1.rpl
        }
        setSegment(SystemSegment.ldtr, SegmentCache(selector: image.ldt, attributes: SegmentAttributes.null))
        updateCodeSegment()
        rip = image.instructionPointer
        if layout.is32 && isPaging {
            // A directory pointer with reserved bits is reported in the new task.
            if cr4 & CR4.pae != 0 { try loadDirectoryPointers(image.cr3) }
            cr3 = image.cr3
            flush(.nonGlobal)
        }
        if !image.ldt.isNullSelector {
            setSegment(SystemSegment.ldtr, try ldtSegment(image.ldt, fault: ExceptionVector.invalidTSS))
        }
        if !isVirtual8086 { try loadTaskSegments(s, image.instructionPointer) }
        updateMode()
        if case .interrupt(let errorCode?, _) = cause {
            var stack = Stack(current: self)
            try stack.push(UInt64(errorCode), layout.word)
            setRegister(Self.rsp, stack.final)
        }
        guard image.instructionPointer <= UInt64(self[word: SystemLayout.limit(Segment.cs.rawValue)]) else {
            throw .generalProtection
        }
        if image.trap { self[word: SystemLayout.pendingDebug] |= DebugBits.bt }
        updateMode()
    }

    private func loadTaskSegments(_ s: (UInt16, UInt16, UInt16, UInt16, UInt16, UInt16),
                                  _ offset: UInt64) throws(X86Fault) {
        let fault = ExceptionVector.invalidTSS
        let selector = s.1
        guard !selector.isNullSelector else { throw X86Fault(vector: fault, selector: selector) }
        let code = try descriptor(selector, fault: fault)
        guard code.isCode, code.isConformingCode ? code.dpl <= selector.rpl : code.dpl == selector.rpl else {
            throw X86Fault(vector: fault, selector: selector)
        }
        try checkPresent(code)
        let ss = try stackSegment(s.2, cpl: selector.rpl, fault: fault)
        try markAccessed(code)
        setCode(code.cache, offset, cpl: selector.rpl)
        setSegment(.ss, ss)
        setSegment(.ds, try dataSegment(s.3, cpl: cpl, fault: fault))
        setSegment(.es, try dataSegment(s.0, cpl: cpl, fault: fault))
        setSegment(.fs, try dataSegment(s.4, cpl: cpl, fault: fault))
        setSegment(.gs, try dataSegment(s.5, cpl: cpl, fault: fault))
    }
}
