// Far JMP and CALL: to segments, through call gates, and to tasks.
//
// Spec: Intel SDM vol. 2 JMP, CALL; vol. 3 5.8; AMD APM vol. 2 4.11.

import Translator

extension X86State {
    /// JMP far.
    /// - Parameters:
    ///   - offset: truncated to the operand size.
    ///   - next: linear address of the next instruction.
    func farJump(_ selector: UInt16, _ offset: UInt64, next: UInt64) throws(X86Fault) {
        guard usesDescriptors else { return try realJump(selector, offset) }
        guard !selector.isNullSelector else { throw .generalProtection }
        let found = try descriptor(selector, fault: ExceptionVector.generalProtection)
        if found.isSegment {
            try checkDirectCode(found)
            try enterCode(found, offset, cpl: cpl)
            return
        }
        switch try farSystem(found) {
        case .task(let descriptor): try switchFromInstruction(descriptor, .jump, next: next)
        case .gate(let gate):
            let target = try gateTarget(gate)
            guard target.code.isConformingCode ? target.code.dpl <= cpl : target.code.dpl == cpl else {
                throw .generalProtection(target.code.selector)
            }
            try checkPresent(target.code)
            try enterCode(target.code, target.offset, cpl: cpl)
        }
    }

    /// CALL far.
    /// - Parameters:
    ///   - size: operand size in bytes, 2, 4 or 8.
    ///   - next: linear address of the next instruction.
    func farCall(_ selector: UInt16, _ offset: UInt64, size: Int, next: UInt64) throws(X86Fault) {
        let returnOffset = self.offset(ofLinear: next)
        guard usesDescriptors else {
            var stack = Stack(current: self)
            try checkRealTarget(offset)
            try stack.push(UInt64(self.selector(Segment.cs.rawValue)), size)
            try stack.push(returnOffset, size)
            setRegister(Self.rsp, stack.final)
            return try realJump(selector, offset)
        }
        guard !selector.isNullSelector else { throw .generalProtection }
        let found = try descriptor(selector, fault: ExceptionVector.generalProtection)
        if found.isSegment {
            try checkDirectCode(found)
            try callSameLevel(found, offset, size, returnOffset)
            return
        }
        switch try farSystem(found) {
        case .task(let descriptor): try switchFromInstruction(descriptor, .call, next: next)
        case .gate(let gate):
            let target = try gateTarget(gate)
            guard target.code.dpl <= cpl else { throw .generalProtection(target.code.selector) }
            try checkPresent(target.code)
            let size = isLongMode ? 8 : gate.is32BitGate ? 4 : 2
            if target.code.isConformingCode || target.code.dpl == cpl {
                try callSameLevel(target.code, target.offset, size, returnOffset)
            } else if isLongMode {
                try callInnerLong(target.code, target.offset, returnOffset)
            } else {
                try callInner(gate, target.code, target.offset, size, returnOffset)
            }
        }
    }

    // MARK: destinations

    /// Puts a code segment into CS and goes there. Everything that can fault comes before the first change.
    func enterCode(_ code: Descriptor, _ offset: UInt64, cpl level: UInt32) throws(X86Fault) {
        try checkCodeOffset(code, offset)
        try markAccessed(code)
        setCode(code, offset, cpl: level)
    }

    /// The part of `enterCode` that cannot fault.
    func setCode(_ code: Descriptor, _ offset: UInt64, cpl level: UInt32) {
        var cache = code.cache
        cache.selector = cache.selector & ~3 | UInt16(level)
        setCode(cache, offset, cpl: level)
    }

    /// Replaces CS, CPL and RIP.
    func setCode(_ cache: SegmentCache, _ offset: UInt64, cpl level: UInt32) {
        setSegment(.cs, cache)
        cpl = level
        updateCodeSegment()
        rip = offset
        updateMode()
    }

    /// Checks that an offset is one of the code segment.
    func checkCodeOffset(_ code: Descriptor, _ offset: UInt64) throws(X86Fault) {
        if isLongMode && code.isLong {
            guard isCanonical(offset) else { throw .generalProtection }
        } else {
            guard offset & 0xFFFF_FFFF <= UInt64(code.limit) else { throw .generalProtection }
        }
    }

    func checkPresent(_ descriptor: Descriptor) throws(X86Fault) {
        guard descriptor.isPresent else {
            throw X86Fault(vector: ExceptionVector.segmentNotPresent, selector: descriptor.selector)
        }
    }

    /// Checks a code segment named by the instruction itself.
    private func checkDirectCode(_ code: Descriptor) throws(X86Fault) {
        guard code.isCode, !(isLongMode && code.isLong && code.isBig),
              code.isConformingCode ? code.dpl <= cpl : code.selector.rpl <= cpl && code.dpl == cpl else {
            throw .generalProtection(code.selector)
        }
        try checkPresent(code)
    }

    private func checkRealTarget(_ offset: UInt64) throws(X86Fault) {
        let limit = isVirtual8086 ? 0xFFFF : self[word: SystemLayout.limit(Segment.cs.rawValue)]
        guard offset <= UInt64(limit) else { throw .generalProtection }
    }

    private func realJump(_ selector: UInt16, _ offset: UInt64) throws(X86Fault) {
        try checkRealTarget(offset)
        loadRealSegment(Segment.cs.rawValue, selector)
        updateCodeSegment()
        rip = offset
        updateMode()
    }

    // MARK: gates

    private enum FarSystem {
        case gate(Descriptor)
        case task(Descriptor)
    }

    /// Sorts a system descriptor that JMP or CALL names; task gates are followed.
    private func farSystem(_ found: Descriptor) throws(X86Fault) -> FarSystem {
        let isAllowed = found.dpl >= max(cpl, found.selector.rpl)
        switch found.type {
        case SystemType.callGate16 where !isLongMode, SystemType.callGate32:
            guard isAllowed else { throw .generalProtection(found.selector) }
            try checkPresent(found)
            return .gate(found)
        case SystemType.taskGate where !isLongMode:
            guard isAllowed else { throw .generalProtection(found.selector) }
            try checkPresent(found)
            return .task(try taskDescriptor(found.gateSelector, external: false))
        case SystemType.tss16Available where !isLongMode, SystemType.tss32Available where !isLongMode:
            guard isAllowed else { throw .generalProtection(found.selector) }
            return .task(try taskDescriptor(found.selector, external: false))
        default:
            throw .generalProtection(found.selector)
        }
    }

    /// The code segment and offset of a call gate; privilege and presence are still to be checked.
    private func gateTarget(_ gate: Descriptor) throws(X86Fault) -> (code: Descriptor, offset: UInt64) {
        let selector = gate.gateSelector
        var offset = gate.is32BitGate ? gate.gateOffset : gate.gateOffset & 0xFFFF
        if isLongMode { offset |= try upperHalf(gate, fault: ExceptionVector.generalProtection) << 32 }
        guard !selector.isNullSelector else { throw .generalProtection }
        let code = try descriptor(selector, fault: ExceptionVector.generalProtection)
        guard code.isCode, !isLongMode || code.isLong && !code.isBig else { throw .generalProtection(selector) }
        return (code, offset)
    }

    private func callSameLevel(_ code: Descriptor, _ offset: UInt64, _ size: Int,
                               _ returnOffset: UInt64) throws(X86Fault) {
        try checkCodeOffset(code, offset)
        var stack = Stack(current: self)
        try stack.push(UInt64(selector(Segment.cs.rawValue)), size)
        try stack.push(returnOffset, size)
        try markAccessed(code)
        setRegister(Self.rsp, stack.final)
        setCode(code, offset, cpl: cpl)
    }

    /// A call to a more privileged level outside long mode: the stack comes from the task state, parameters are copied.
    private func callInner(_ gate: Descriptor, _ code: Descriptor, _ offset: UInt64, _ size: Int,
                           _ returnOffset: UInt64) throws(X86Fault) {
        let level = code.dpl
        let (selector, pointer) = try taskStack(level, external: false)
        let ss = try stackSegment(selector, cpl: level, fault: ExceptionVector.invalidTSS)
        try checkCodeOffset(code, offset)
        let old = Stack(current: self)
        var stack = Stack(self, segment: ss, pointer: pointer, privilege: Self.privilege(cpl: level),
                          fault: X86Fault(vector: ExceptionVector.stack, selector: selector))
        try stack.push(UInt64(self.selector(Segment.ss.rawValue)), size)
        try stack.push(register(Self.rsp), size)
        var index = gate.parameterCount
        while index > 0 {
            index -= 1
            try stack.push(try old.peek(UInt64(index * size), size), size)
        }
        try stack.push(UInt64(self.selector(Segment.cs.rawValue)), size)
        try stack.push(returnOffset, size)
        try markAccessed(code)
        setSegment(.ss, ss)
        setRegister(Self.rsp, stack.final)
        setCode(code, offset, cpl: level)
    }

    private func callInnerLong(_ code: Descriptor, _ offset: UInt64, _ returnOffset: UInt64) throws(X86Fault) {
        let level = code.dpl
        let pointer = try longTaskStack(UInt64(level), external: false)
        try checkCodeOffset(code, offset)
        var stack = Stack(self, long: pointer, privilege: Self.privilege(cpl: level))
        try stack.push(UInt64(selector(Segment.ss.rawValue)), 8)
        try stack.push(register(Self.rsp), 8)
        try stack.push(UInt64(selector(Segment.cs.rawValue)), 8)
        try stack.push(returnOffset, 8)
        try markAccessed(code)
        setSegment(.ss, nullStack(UInt16(level)))
        setRegister(Self.rsp, stack.final)
        setCode(code, offset, cpl: level)
    }
}
