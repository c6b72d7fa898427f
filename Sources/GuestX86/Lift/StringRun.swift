// A bounded run of a repeated string instruction. In a program it is the host's own instruction on the guest's memory; in a
// machine the same on the part of the run that lies in one page on either side, which is translated once. Elements that
// span pages, devices and ports are done one by one.

import CHost
import Translator

/// Runs string instructions on a state block.
struct StringRun {
    private let state: X86State
    private let operation: StringOperation
    private let mode: Mode
    private let isSystem: Bool
    private let size: UInt64
    private let isBackward: Bool
    /// Elements left, and the offsets of the next one.
    private var count: UInt64
    private var source: UInt64
    private var destination: UInt64
    /// Status flags and DF, for comparisons.
    private var flags: UInt64

    /// Bytes after which interrupts get their chance.
    private static let limitBytes: UInt64 = 1 << 16
    private static let portLimit: UInt64 = 512

    /// How a part of the run ended.
    private enum Outcome {
        case more, stopped, faulted
    }

    init(_ base: UnsafeMutableRawPointer, _ operation: StringOperation) {
        state = X86State(base)
        self.operation = operation
        mode = state.mode
        isSystem = state.isSystem
        size = operation.size
        isBackward = Int64(bitPattern: state[X86Layout.direction]) < 0
        let mask = Self.mask(operation.addressSize)
        count = operation.isRepeated ? state.register(GPR.rcx) & mask : 1
        source = state.register(GPR.rsi) & mask
        destination = state.register(GPR.rdi) & mask
        flags = UInt64(state.eflags & (EFlags.status | EFlags.df)) | UInt64(EFlags.fixed)
    }

    private static func mask(_ size: Int) -> UInt64 { size == 8 ? .max : 1 << UInt64(size * 8) - 1 }

    /// Runs. Registers are exact whenever it returns; a fault has been asked for then.
    /// - Returns: whether the instruction must be executed again.
    mutating func run() -> Bool {
        let isPort = operation.kind == .input || operation.kind == .output
        // A single step traps after each iteration.
        let limit = mode.has(Mode.single) ? 1 : isPort ? Self.portLimit : Self.limitBytes / size
        var budget = min(count, limit)
        var outcome = Outcome.more
        do throws(X86Fault) {
            if isPort, count > 0 { try state.checkPort(port, Int(size)) }
            while budget > 0, outcome == .more {
                let before = count
                outcome = try part(budget)
                budget -= before - count
            }
        } catch {
            writeBack()
            state.leave(error)
            return false
        }
        writeBack()
        return outcome == .more && count > 0
    }

    private var port: UInt16 { UInt16(truncatingIfNeeded: state.register(GPR.rdx)) }

    /// Registers are written at the address size; those the instruction does not use, and all with a count of zero, stay.
    private func writeBack() {
        let width = operation.addressSize, mask = Self.mask(width)
        func write(_ number: Int, _ value: UInt64) {
            if state.register(number) & mask != value { state.setRegister(number, value, size: width) }
        }
        if operation.isRepeated { write(GPR.rcx, count) }
        if operation.kind.readsSource { write(GPR.rsi, source) }
        if operation.kind.usesDestination { write(GPR.rdi, destination) }
        if operation.kind == .scan || operation.kind == .compare {
            state[X86Layout.flags] = X86State.packed(UInt32(truncatingIfNeeded: flags))
        }
    }

    private mutating func advance(_ elements: UInt64) {
        let distance = isBackward ? 0 &- elements &* size : elements &* size, mask = Self.mask(operation.addressSize)
        count -= elements
        if operation.kind.readsSource { source = (source &+ distance) & mask }
        if operation.kind.usesDestination { destination = (destination &+ distance) & mask }
    }

    /// Elements from an offset on before it wraps around.
    private func beforeWrap(_ offset: UInt64) -> UInt64 {
        if operation.addressSize == 8 { return .max }
        let room = isBackward ? offset : Self.mask(operation.addressSize) - offset
        return room >> operation.sizeLog2 + 1
    }

    // MARK: one part

    /// Does at least one element of `wanted`, unless it faults.
    private mutating func part(_ wanted: UInt64) throws(X86Fault) -> Outcome {
        let kind = operation.kind
        var elements = wanted
        if kind.readsSource { elements = min(elements, beforeWrap(source)) }
        if kind.usesDestination { elements = min(elements, beforeWrap(destination)) }
        let writes = kind == .move || kind == .store || kind == .input
        var from: UInt64 = 0, to: UInt64 = 0
        if kind.readsSource { from = try linear(operation.segment, source, &elements, .read) }
        if kind.usesDestination { to = try linear(.es, destination, &elements, writes ? .write : .read) }
        if kind == .input || kind == .output {
            try transferPort(from: from, to: to)
            advance(1)
            return .more
        }
        guard isSystem else { return perform(from, to, elements, inProgram: true) }
        if kind.readsSource { elements = min(elements, withinPage(from)) }
        if kind.usesDestination { elements = min(elements, withinPage(to)) }
        guard elements > 0 else { return try single(from, to) }
        var read: HostRange?, written: HostRange?
        let bytes = elements &* size
        if kind.readsSource { read = try pointer(from, bytes, isWrite: false) }
        if kind.usesDestination { written = try pointer(to, bytes, isWrite: writes) }
        if kind.readsSource && read == nil || kind.usesDestination && written == nil { return try single(from, to) }
        let outcome = perform(read?.host ?? 0, written?.host ?? 0, elements, inProgram: false)
        if writes, let written, let physical = written.physical {
            state.noteWrite?(state.base, physical, bytes)
        }
        return outcome
    }

    /// Elements from a linear address on that lie within its page, in the direction of DF.
    private func withinPage(_ address: UInt64) -> UInt64 {
        let offset = address & 0xFFF
        if offset + size > 4096 { return 0 }
        return isBackward ? offset >> operation.sizeLog2 + 1 : (4096 - offset) >> operation.sizeLog2
    }

    /// The linear address of the element at an offset. Where a whole run is not allowed, it becomes one element.
    private func linear(_ segment: Segment, _ offset: UInt64, _ elements: inout UInt64, _ use: DataUse) throws(X86Fault)
        -> UInt64 {
        if mode.is64 {
            let address = segment == .fs || segment == .gs
                ? offset &+ state[X86Layout.segmentBase(segment.rawValue)] : offset
            if isSystem ? !state.isCanonical(address) : UInt64(bitPattern: Int64(bitPattern: address << 16) >> 16) != address {
                throw .generalProtection
            }
            return address
        }
        if mode.has(Mode.flatData), segment == .ds || segment == .es || segment == .ss { return offset }
        if elements > 1 {
            let bytes = elements &* size
            let lowest = isBackward ? offset &- (bytes &- size) : offset
            if let address = try? state.checkSegment(segment.rawValue, offset: lowest, size: bytes, use) {
                return (address &+ (offset &- lowest)) & 0xFFFF_FFFF
            }
            elements = 1
        }
        return try state.checkSegment(segment.rawValue, offset: offset, size: size, use)
    }

    // MARK: the host's instruction

    /// Executes the host's instruction on host addresses. In a program they may fault.
    private mutating func perform(_ from: UInt64, _ to: UInt64, _ elements: UInt64, inProgram: Bool) -> Outcome {
        let log2 = Int32(operation.sizeLog2), backward: Int32 = isBackward ? 1 : 0
        let faults = guise_fault_count()
        let number = UInt(elements)
        let left: UInt
        switch operation.kind {
        case .move: left = guise_string_move(to, from, number, log2, backward)
        case .store: left = guise_string_fill(to, state.register(GPR.rax), number, log2, backward)
        case .load: left = loadLast(from, elements)
        case .scan:
            left = guise_string_scan(to, state.register(GPR.rax), number, log2, operation.whileNotEqual ? 0 : 1, &flags)
        default: left = guise_string_compare(to, from, number, log2, operation.whileNotEqual ? 0 : 1, &flags)
        }
        let done = elements - UInt64(left)
        advance(done)
        if inProgram, guise_fault_count() != faults {
            GuestAccess(state.base).leaveFault(guise_last_fault_address(), isWrite: guise_last_fault_was_write() != 0)
            return .faulted
        }
        guard done > 0, operation.kind == .scan || operation.kind == .compare else { return .more }
        return (flags & UInt64(EFlags.zf) != 0) == operation.whileNotEqual ? .stopped : .more
    }

    /// LODS: every element is touched, the last one stays.
    private func loadLast(_ from: UInt64, _ elements: UInt64) -> UInt {
        var address = from, value: UInt64 = 0
        for index in 0..<elements {
            guard guise_load(address, Int32(size), &value) == 0 else { return UInt(elements - index) }
            state.setRegister(GPR.rax, value, size: Int(size))
            address = isBackward ? address &- size : address &+ size
        }
        return 0
    }

    // MARK: machines

    private struct HostRange {
        /// Address of the first element.
        var host: UInt64
        /// Physical address of the lowest byte, where a write must be reported.
        var physical: UInt64?
    }

    /// Where `bytes` bytes around a linear address, in one page, are in the host's memory; nil when it is a device's.
    private func pointer(_ address: UInt64, _ bytes: UInt64, isWrite: Bool) throws(X86Fault) -> HostRange? {
        let access = GuestAccess(state.base)
        if let host = access.cached(address, isWrite: isWrite) { return HostRange(host: host) }
        let page = try state.translate(address, isWrite ? .write : .read, state.dataPrivilege)
        state.remember(address, page, state.dataPrivilege)
        let physical = page.physical.value
        let distance = isBackward ? bytes &- size : 0
        guard let host = state.memory(physical &- distance, bytes, isWrite: isWrite) else { return nil }
        return HostRange(host: UInt64(UInt(bitPattern: host)) &+ distance, physical: isWrite ? physical &- distance : nil)
    }

    /// One element, whatever it is made of.
    private mutating func single(_ from: UInt64, _ to: UInt64) throws(X86Fault) -> Outcome {
        let bytes = Int(size), privilege = state.dataPrivilege
        switch operation.kind {
        case .move: try state.writeLinear(to, bytes, try state.readLinear(from, bytes, privilege), privilege)
        case .store: try state.writeLinear(to, bytes, state.register(GPR.rax), privilege)
        case .load: state.setRegister(GPR.rax, try state.readLinear(from, bytes, privilege), size: bytes)
        default:
            var left = state.register(GPR.rax), right = try state.readLinear(to, bytes, privilege)
            if operation.kind == .compare { left = try state.readLinear(from, bytes, privilege) }
            withUnsafePointer(to: &left) { left in
                withUnsafePointer(to: &right) { right in
                    _ = guise_string_compare(UInt64(UInt(bitPattern: right)), UInt64(UInt(bitPattern: left)), 1,
                                             Int32(operation.sizeLog2), 1, &flags)
                }
            }
            advance(1)
            return (flags & UInt64(EFlags.zf) != 0) == operation.whileNotEqual ? .stopped : .more
        }
        advance(1)
        return .more
    }

    /// INS checks that its destination can be written before it reads the port.
    private func transferPort(from: UInt64, to: UInt64) throws(X86Fault) {
        let bytes = Int(size), privilege = state.dataPrivilege
        if operation.kind == .input {
            try state.probe(to, size, .write, privilege)
            try state.writeLinear(to, bytes, state.readPort(port, bytes), privilege)
        } else {
            state.writePort(port, bytes, try state.readLinear(from, bytes, privilege))
        }
    }
}

let stringHelper: HelperFunction = { base, operation, _, _ in
    var run = StringRun(base, StringOperation(rawValue: operation))
    return run.run() ? 1 : 0
}
