// Guest memory as helpers of instructions reach it: host memory in a Linux program, linear memory in a machine.
//
// Every access can fault; a helper checks what it writes before it changes anything else.

import CHost
import Translator

/// Memory of the running guest, at its current privilege.
struct HelperMemory {
    private let state: X86State
    private let isSystem: Bool
    private let privilege: AccessPrivilege

    init(_ state: X86State) {
        self.state = state
        isSystem = state.isSystem
        privilege = isSystem ? state.dataPrivilege : .user
    }

    /// Reads 1, 2, 4 or 8 bytes.
    func read(_ address: UInt64, _ size: Int) throws(X86Fault) -> UInt64 {
        if isSystem { return try state.readLinear(address, size, privilege) }
        var value: UInt64 = 0
        guard guise_load(wrapped(address), Int32(size), &value) == 0 else { throw fault(isWrite: false) }
        return value
    }

    /// Writes 1, 2, 4 or 8 bytes.
    func write(_ address: UInt64, _ size: Int, _ value: UInt64) throws(X86Fault) {
        if isSystem { return try state.writeLinear(address, size, value, privilege) }
        guard guise_store(wrapped(address), Int32(size), value) == 0 else { throw fault(isWrite: true) }
    }

    /// Host address of `length` bytes that lie in one page and need no look at the page tables; nil otherwise.
    func host(_ address: UInt64, _ length: Int, isWrite: Bool) -> UnsafeMutableRawPointer? {
        guard isSystem else { return nil }
        let address = state.isLongMode ? address : address & 0xFFFF_FFFF
        return state.cached(address, length, privilege, tag: isWrite ? 8 : 0)
    }

    /// Makes sure that `length` bytes (at most a page) can be written.
    func probeWrite(_ address: UInt64, _ length: Int) throws(X86Fault) {
        if host(address, length, isWrite: true) != nil { return }
        if isSystem { return try state.probe(address, UInt64(length), .write, privilege) }
        // A compare-and-exchange of a byte with itself writes without changing anything.
        for place in [address, address &+ UInt64(length - 1)] {
            var old: UInt64 = 0
            guard guise_cmpxchg(wrapped(place), 1, 0, 0, &old) == 0 else { throw fault(isWrite: true) }
        }
    }

    /// Reads consecutive bytes.
    func read(_ address: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws(X86Fault) {
        var offset = 0
        while offset < bytes.count {
            let size = min(8, bytes.count - offset) >= 8 ? 8 : 1
            var value = try read(address &+ UInt64(offset), size)
            withUnsafeBytes(of: &value) { source in
                for index in 0..<size { bytes[offset + index] = source[index] }
            }
            offset += size
        }
    }

    /// Writes consecutive bytes, all or none of at most a page.
    func write(_ address: UInt64, from bytes: UnsafeRawBufferPointer) throws(X86Fault) {
        if bytes.isEmpty { return }
        try probeWrite(address, bytes.count)
        var offset = 0
        while offset < bytes.count {
            let size = bytes.count - offset >= 8 ? 8 : 1
            let value = size == 8 ? bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self) : UInt64(bytes[offset])
            try write(address &+ UInt64(offset), size, value)
            offset += size
        }
    }

    /// Addresses of 32-bit programs wrap around.
    @inline(__always)
    private func wrapped(_ address: UInt64) -> UInt64 { state.mode.is64 ? address : address & 0xFFFF_FFFF }

    /// A fault of a program: a page fault at the address the host reports.
    private func fault(isWrite: Bool) -> X86Fault {
        X86Fault(vector: ExceptionVector.pageFault, errorCode: isWrite ? 6 : 4, address: guise_last_fault_address())
    }
}

extension X86State {
    /// Runs a helper's body; a fault leaves the unit.
    @inline(__always)
    func withMemory(_ body: (HelperMemory) throws(X86Fault) -> Void) {
        do throws(X86Fault) { try body(HelperMemory(self)) } catch { leave(error) }
    }

    /// Leaves with a fault of the current instruction. A page fault of a machine writes CR2.
    func leave(_ fault: X86Fault) {
        if fault.vector == ExceptionVector.pageFault {
            guard isSystem else {
                self[StateLayout.exitAddress] = fault.address
                self[word: StateLayout.exitAccess] = fault.errorCode >> 1 & 1
                return leave(.memoryFault)
            }
            cr2 = fault.address
        }
        leave(vector: fault.vector, errorCode: fault.errorCode)
    }
}
