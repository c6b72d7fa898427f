// Guest memory as the interpreter sees it: host addresses (programs), or the slow paths that generated code calls on
// a soft TLB miss (machines). Faults come back as exit kinds; nothing traps.
//
// Plain accesses of up to 8 bytes are single host accesses, so aligned ones are atomic and ordered as on the host
// (TSO on x86-64). Atomics are the host's. Reservations always demand natural alignment, as in generated code; other accesses only
// if the format says so.

import CHost
import IR
import Synchronization

/// How an interpreter reaches guest memory.
public enum InterpreterMemory: Sendable {
    /// Guest addresses are host addresses; accesses survive faults if the process's fault handler calls
    /// `guise_fixup_fault`.
    case identity
    /// Functions with the shape and duties of the slow paths of generated code: (state, address, size in bytes,
    /// value). `load` returns the zero-extended value, `store` stores the low bytes, `pointer` returns a host pointer
    /// for an atomic access. The value of a 16-byte access is at `StateLayout.vectorScratch` instead. On a fault they set `StateLayout.helperExit`, `exitAddress` and `exitAccess`.
    case callbacks(load: HelperFunction, store: HelperFunction, pointer: HelperFunction)
}

/// The interpreter's memory operations.
struct MemoryAccess {
    /// The outcome of an access that yields a value: `exit` is an `ExitKind` raw value, 0 when it succeeded.
    struct Result {
        var value: Int64
        var exit: UInt32
    }

    /// The values of `StateLayout.exitAccess`.
    private enum Access {
        static let read: UInt32 = 0
        static let write: UInt32 = 1
        /// With the others: of 16 bytes.
        static let vector: UInt32 = 4
    }

    private let identity: Bool
    private let slowLoad: HelperFunction
    private let slowStore: HelperFunction
    private let slowPointer: HelperFunction

    init(_ memory: InterpreterMemory) {
        switch memory {
        case .identity:
            identity = true
            slowLoad = { _, _, _, _ in 0 }
            slowStore = { _, _, _, _ in 0 }
            slowPointer = { _, _, _, _ in 0 }
        case let .callbacks(load, store, pointer):
            identity = false
            slowLoad = load
            slowStore = store
            slowPointer = pointer
        }
    }

    // MARK: plain accesses

    @inline(__always)
    func load(_ address: UInt64, _ format: MemoryFormat, _ state: UnsafeMutableRawPointer) -> Result {
        let size = format.sizeBytes
        if format.requiresAlignment && address & UInt64(size &- 1) != 0 {
            return Result(value: 0, exit: misaligned(address, Access.read, state))
        }
        var raw: UInt64 = 0
        if identity {
            if guise_load(address, Int32(truncatingIfNeeded: size), &raw) != 0 {
                return Result(value: 0, exit: fault(Access.read, state))
            }
        } else {
            clearExit(state)
            raw = slowLoad(state, address, UInt64(size), 0)
            let exit = requestedExit(state)
            if exit != 0 { return Result(value: 0, exit: exit) }
        }
        return Result(value: Self.extended(raw, format), exit: 0)
    }

    @inline(__always)
    func store(_ address: UInt64, _ format: MemoryFormat, _ value: Int64, _ state: UnsafeMutableRawPointer) -> UInt32 {
        let size = format.sizeBytes
        if format.requiresAlignment && address & UInt64(size &- 1) != 0 {
            return misaligned(address, Access.write, state)
        }
        let raw = Self.ordered(UInt64(bitPattern: value), format)
        if identity {
            return guise_store(address, Int32(truncatingIfNeeded: size), raw) == 0 ? 0 : fault(Access.write, state)
        }
        clearExit(state)
        _ = slowStore(state, address, UInt64(size), raw)
        return requestedExit(state)
    }

    // MARK: vectors

    /// 4 or 8 bytes with zeros above, or 16.
    @inline(never)
    func loadVector(_ address: UInt64, _ format: MemoryFormat,
                    _ state: UnsafeMutableRawPointer) -> (value: Vector128, exit: UInt32) {
        guard format.sizeLog2 == 4 else {
            let access = load(address, format, state)
            return (Vector128(low: UInt64(bitPattern: access.value), high: 0), access.exit)
        }
        if format.requiresAlignment && address & 15 != 0 { return (Vector128(), misaligned(address, Access.read | Access.vector, state)) }
        var value = Vector128()
        if identity {
            let missing = withUnsafeMutableBytes(of: &value) {
                guise_copy_in($0.baseAddress, UnsafeRawPointer(bitPattern: UInt(address)), 16)
            }
            return (value, missing == 0 ? 0 : fault(Access.read, state))
        }
        clearExit(state)
        _ = slowLoad(state, address, 16, 0)
        value.low = state.load(fromByteOffset: StateLayout.vectorScratch, as: UInt64.self)
        value.high = state.load(fromByteOffset: StateLayout.vectorScratch + 8, as: UInt64.self)
        return (value, requestedExit(state))
    }

    /// The low 4 or 8, or all 16 bytes; nothing is stored when any of them cannot be.
    @inline(never)
    func storeVector(_ address: UInt64, _ format: MemoryFormat, _ value: Vector128,
                     _ state: UnsafeMutableRawPointer) -> UInt32 {
        guard format.sizeLog2 == 4 else { return store(address, format, Int64(bitPattern: value.low), state) }
        if format.requiresAlignment && address & 15 != 0 { return misaligned(address, Access.write | Access.vector, state) }
        if identity {
            return guise_store16(address, value.low, value.high) == 0 ? 0 : fault(Access.write, state)
        }
        clearExit(state)
        state.storeBytes(of: value.low, toByteOffset: StateLayout.vectorScratch, as: UInt64.self)
        state.storeBytes(of: value.high, toByteOffset: StateLayout.vectorScratch + 8, as: UInt64.self)
        _ = slowStore(state, address, 16, value.low)
        return requestedExit(state)
    }

    func fence(_ kind: FenceKind) {
        if kind.contains(.storeLoad) { atomicMemoryFence(ordering: .sequentiallyConsistent) }
    }

    // MARK: atomics

    /// loadReserved, storeConditional, atomic and compareExchange.
    @inline(never)
    func atomic(_ op: Instruction, _ address: UInt64, _ b: Int64, _ c: Int64,
                _ state: UnsafeMutableRawPointer) -> Result {
        let format = MemoryFormat(rawValue: op.aux)
        let access = op.opcode == .loadReserved ? Access.read : Access.write
        let isReservation = op.opcode == .loadReserved || op.opcode == .storeConditional
        if isReservation || format.requiresAlignment, address & UInt64(format.sizeBytes &- 1) != 0 {
            return Result(value: 0, exit: misaligned(address, access, state))
        }
        var host = address
        if !identity {
            clearExit(state)
            host = slowPointer(state, address, UInt64(format.sizeBytes), 0)
            let exit = requestedExit(state)
            if exit != 0 { return Result(value: 0, exit: exit) }
        }
        var old: UInt64 = 0
        var done: Bool
        switch op.opcode {
        case .loadReserved:
            done = guise_load(host, Int32(format.sizeBytes), &old) == 0
            if done {
                state.storeBytes(of: address, toByteOffset: StateLayout.reservationAddress, as: UInt64.self)
                state.storeBytes(of: Self.extended(old, format), toByteOffset: StateLayout.reservationValue,
                                 as: Int64.self)
            }
        case .storeConditional:
            return storeConditional(host, address, b, format, state)
        case .compareExchange:
            done = guise_cmpxchg(host, Int32(format.sizeBytes), Self.ordered(UInt64(bitPattern: b), format),
                                 Self.ordered(UInt64(bitPattern: c), format), &old) == 0
        default:
            guard let operation = AtomicOperation(rawValue: UInt8(truncatingIfNeeded: op.imm)) else {
                preconditionFailure("unknown atomic operation \(op.imm)")
            }
            done = Self.modify(operation, host, UInt64(bitPattern: b), format, &old)
        }
        return done ? Result(value: Self.extended(old, format), exit: 0)
            : Result(value: 0, exit: fault(access, state, address &- host))
    }

    /// Stores if the reservation is for this address and memory still holds the value read; gives the reservation up.
    private func storeConditional(_ host: UInt64, _ address: UInt64, _ value: Int64, _ format: MemoryFormat,
                                  _ state: UnsafeMutableRawPointer) -> Result {
        var lost = true
        if state.load(fromByteOffset: StateLayout.reservationAddress, as: UInt64.self) == address {
            let seen = state.load(fromByteOffset: StateLayout.reservationValue, as: UInt64.self)
            let expected = Self.ordered(seen, format)
            var old: UInt64 = 0
            guard guise_cmpxchg(host, Int32(format.sizeBytes), expected,
                                Self.ordered(UInt64(bitPattern: value), format), &old) == 0
            else { return Result(value: 0, exit: fault(Access.write, state, address &- host)) }
            lost = old != Self.truncated(expected, format)
        }
        state.storeBytes(of: UInt64.max, toByteOffset: StateLayout.reservationAddress, as: UInt64.self)
        return Result(value: lost ? 1 : 0, exit: 0)
    }

    /// One atomic read-modify-write; false on a fault.
    private static func modify(_ operation: AtomicOperation, _ host: UInt64, _ operand: UInt64, _ format: MemoryFormat,
                               _ old: inout UInt64) -> Bool {
        let size = Int32(format.sizeBytes)
        switch operation {
        case .swap: return guise_exchange(host, size, ordered(operand, format), &old) == 0
        case .add where !format.isBigEndian: return guise_fetch_add(host, size, operand, &old) == 0
        default: break
        }
        // The whole comparison is at the access's width, whatever extension the result gets.
        let shift = unusedBits(format)
        guard guise_load(host, size, &old) == 0 else { return false }
        while true {
            let current = ordered(old, format)
            let a = current &<< shift, b = operand &<< shift
            let signedLess = Int64(bitPattern: b) < Int64(bitPattern: a)
            let desired = switch operation {
            case .swap: operand
            case .add: current &+ operand
            case .and: current & operand
            case .or: current | operand
            case .xor: current ^ operand
            case .minimumSigned: signedLess ? operand : current
            case .maximumSigned: signedLess ? current : operand
            case .minimumUnsigned: b < a ? operand : current
            case .maximumUnsigned: b < a ? current : operand
            }
            let expected = old
            guard guise_cmpxchg(host, size, expected, ordered(desired, format), &old) == 0 else { return false }
            if old == expected { return true }
        }
    }

    // MARK: values

    /// Bits of a 64-bit value above those in memory.
    @inline(__always)
    private static func unusedBits(_ format: MemoryFormat) -> UInt64 {
        UInt64(truncatingIfNeeded: 64 &- 8 &* format.sizeBytes)
    }

    /// The low bytes of a format, zeros above.
    @inline(__always)
    private static func truncated(_ value: UInt64, _ format: MemoryFormat) -> UInt64 {
        let shift = unusedBits(format)
        return (value &<< shift) &>> shift
    }

    /// Between a value and its image in memory, zero-extended (its own inverse on the low bytes).
    @inline(__always)
    private static func ordered(_ value: UInt64, _ format: MemoryFormat) -> UInt64 {
        format.isBigEndian ? value.byteSwapped &>> unusedBits(format) : truncated(value, format)
    }

    /// What a load of this memory image yields.
    @inline(__always)
    private static func extended(_ raw: UInt64, _ format: MemoryFormat) -> Int64 {
        let value = Int64(bitPattern: ordered(raw, format))
        guard format.isSigned else { return value }
        let shift = Int64(truncatingIfNeeded: unusedBits(format))
        return (value &<< shift) &>> shift
    }

    // MARK: faults

    private func misaligned(_ address: UInt64, _ access: UInt32, _ state: UnsafeMutableRawPointer) -> UInt32 {
        report(address, access, state)
        return ExitKind.misaligned.rawValue
    }

    /// After a failed fault-tolerant access. `offset` leads from host to guest addresses.
    private func fault(_ access: UInt32, _ state: UnsafeMutableRawPointer, _ offset: UInt64 = 0) -> UInt32 {
        report(guise_last_fault_address() &+ offset, access, state)
        return ExitKind.memoryFault.rawValue
    }

    private func report(_ address: UInt64, _ access: UInt32, _ state: UnsafeMutableRawPointer) {
        state.storeBytes(of: address, toByteOffset: StateLayout.exitAddress, as: UInt64.self)
        state.storeBytes(of: access, toByteOffset: StateLayout.exitAccess, as: UInt32.self)
    }

    @inline(__always)
    private func clearExit(_ state: UnsafeMutableRawPointer) {
        state.storeBytes(of: 0, toByteOffset: StateLayout.helperExit, as: UInt32.self)
    }

    @inline(__always)
    private func requestedExit(_ state: UnsafeMutableRawPointer) -> UInt32 {
        state.load(fromByteOffset: StateLayout.helperExit, as: UInt32.self)
    }
}
