// Pushes and pops of far transfers and interrupts: on the current stack or on one that is about to become it.
//
// Nothing in the registers changes until the transfer is complete; what was pushed before a fault stays in memory.

import Translator

/// A stack being pushed to or popped from.
struct Stack {
    let state: X86State
    let segment: SegmentCache
    /// All of RSP; only the bits of `mask` move.
    var pointer: UInt64
    /// FFFF, FFFF_FFFF, or all ones for a 64-bit stack.
    let mask: UInt64
    let privilege: AccessPrivilege
    /// What an access outside the segment raises.
    let fault: X86Fault

    /// A stack with a segment, outside 64-bit code.
    init(_ state: X86State, segment: SegmentCache, pointer: UInt64, privilege: AccessPrivilege,
         fault: X86Fault = .stack) {
        self.state = state
        self.segment = segment
        self.pointer = pointer
        mask = segment.has(SegmentAttributes.big) ? 0xFFFF_FFFF : 0xFFFF
        self.privilege = privilege
        self.fault = fault
    }

    /// A stack of 64-bit code, or of an interrupt in long mode.
    init(_ state: X86State, long pointer: UInt64, privilege: AccessPrivilege, fault: X86Fault = .stack) {
        self.state = state
        segment = SegmentCache()
        self.pointer = pointer
        mask = .max
        self.privilege = privilege
        self.fault = fault
    }

    /// The current stack.
    init(current state: X86State) {
        let pointer = state.register(X86State.rsp), privilege = state.dataPrivilege
        if state.is64BitCode {
            self.init(state, long: pointer, privilege: privilege)
        } else {
            self.init(state, segment: state.segment(.ss), pointer: pointer, privilege: privilege)
        }
    }

    private func linear(_ offset: UInt64, _ size: UInt64, _ use: DataUse) throws(X86Fault) -> UInt64 {
        if mask == .max {
            guard state.isCanonical(offset), state.isCanonical(offset &+ size &- 1) else { throw fault }
            return offset
        }
        return try state.checkCached(segment, offset: offset & mask, size: size, use, fault: fault)
    }

    mutating func push(_ value: UInt64, _ size: Int) throws(X86Fault) {
        let moved = pointer & ~mask | (pointer &- UInt64(size)) & mask
        try state.writeLinear(try linear(moved & mask, UInt64(size), .write), size, value, privilege)
        pointer = moved
    }

    mutating func pop(_ size: Int) throws(X86Fault) -> UInt64 {
        let value = try state.readLinear(try linear(pointer & mask, UInt64(size), .read), size, privilege)
        skip(UInt64(size))
        return value
    }

    /// A selector, which takes the room of a value of `size` bytes.
    mutating func popSelector(_ size: Int) throws(X86Fault) -> UInt16 {
        let value = try state.readLinear(try linear(pointer & mask, 2, .read), 2, privilege)
        skip(UInt64(size))
        return UInt16(truncatingIfNeeded: value)
    }

    /// The value `distance` bytes above the stack pointer.
    func peek(_ distance: UInt64, _ size: Int) throws(X86Fault) -> UInt64 {
        try state.readLinear(try linear((pointer &+ distance) & mask, UInt64(size), .read), size, privilege)
    }

    mutating func skip(_ bytes: UInt64) { pointer = pointer & ~mask | (pointer &+ bytes) & mask }

    /// What the stack pointer register becomes: a 32-bit stack pointer is zero-extended.
    var final: UInt64 { mask == 0xFFFF_FFFF ? pointer & mask : pointer }
}

extension X86State {
    /// Privilege of accesses at a privilege level that is about to be entered.
    static func privilege(cpl: UInt32) -> AccessPrivilege { cpl == 3 ? .user : .supervisor }

    /// Selector and pointer of the stack for a privilege level 0…2 out of the current 16- or 32-bit task state.
    func taskStack(_ level: UInt32, external: Bool) throws(X86Fault) -> (selector: UInt16, pointer: UInt64) {
        let tr = segment(SystemSegment.tr)
        let fault = X86Fault(vector: ExceptionVector.invalidTSS, selector: tr.selector, external: external)
        guard tr.has(SegmentAttributes.present) else { throw fault }
        let level = UInt64(level)
        if tr.attributes & 8 != 0 {
            let offset = 4 + level * 8
            guard offset + 5 <= UInt64(tr.limit) else { throw fault }
            let pointer = try readLinear(tr.base &+ offset, 4, .implicit)
            return (UInt16(truncatingIfNeeded: try readLinear(tr.base &+ offset &+ 4, 2, .implicit)), pointer)
        }
        let offset = 2 + level * 4
        guard offset + 3 <= UInt64(tr.limit) else { throw fault }
        let pointer = try readLinear(tr.base &+ offset, 2, .implicit)
        return (UInt16(truncatingIfNeeded: try readLinear(tr.base &+ offset &+ 2, 2, .implicit)), pointer)
    }

    /// A stack pointer out of a 64-bit task state: RSP0…2 as slots 0…2, IST1…7 as slots 4…10.
    func longTaskStack(_ slot: UInt64, external: Bool) throws(X86Fault) -> UInt64 {
        let tr = segment(SystemSegment.tr)
        let fault = X86Fault(vector: ExceptionVector.invalidTSS, selector: tr.selector, external: external)
        let offset = 4 + slot * 8
        guard tr.has(SegmentAttributes.present), offset + 7 <= UInt64(tr.limit) else { throw fault }
        let pointer = try readLinear(tr.base &+ offset, 8, .implicit)
        guard isCanonical(pointer) else {
            throw X86Fault(vector: ExceptionVector.stack, errorCode: external ? X86Fault.external : 0)
        }
        return pointer
    }

    /// Slot of an IST entry 1…7 in `longTaskStack`.
    static func interruptStackSlot(_ entry: Int) -> UInt64 { UInt64(3 + entry) }
}
