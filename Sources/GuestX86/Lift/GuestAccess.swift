// Guest memory as helpers of the lifter reach it: host addresses in a program, through the data TLB or the page tables in a
// machine.

import CHost
import Translator

/// Access to guest memory from a helper.
struct GuestAccess {
    private let base: UnsafeMutableRawPointer
    private var state: X86State { X86State(base) }

    init(_ base: UnsafeMutableRawPointer) { self.base = base }

    /// Leaves with a fault of the current instruction in a program.
    func leaveFault(_ address: UInt64, isWrite: Bool) {
        state[StateLayout.exitAddress] = address
        state[word: StateLayout.exitAccess] = isWrite ? 1 : 0
        state.leave(.memoryFault)
    }

    /// Host address of a byte whose page is in the data TLB of the current mode. Nothing must be reported after a write.
    func cached(_ address: UInt64, isWrite: Bool) -> UInt64? {
        guard state.hasDataTLB else { return nil }
        let index = address >> 12 & UInt64(StateLayout.tlbCount - 1)
        let number = Int(state.mode.data.rawValue) * StateLayout.tlbCount + Int(index)
        let slot = base + StateLayout.tlb + number * StateLayout.tlbEntrySize
        let offset = slot.load(fromByteOffset: isWrite ? 8 : 0, as: UInt64.self) ^ address
        guard offset < 4096 else { return nil }
        return slot.load(fromByteOffset: 16, as: UInt64.self) &+ address
    }

    /// Host address for a write of `size` bytes that do not cross a page; nil when a fault has been asked for. Where
    /// `noteWrite` is not nil it must be called afterwards.
    func writable(_ address: UInt64, size: UInt64) -> (host: UInt64, noteWrite: (() -> Void)?)? {
        guard state.isSystem else { return (address, nil) }
        let address = state.isLongMode ? address : address & 0xFFFF_FFFF
        if let host = cached(address, isWrite: true) { return (host, nil) }
        do throws(X86Fault) {
            guard state.isCanonical(address) || !state.isLongMode else { throw .generalProtection }
            let physical = try state.translate(address, .write, state.dataPrivilege).physical.value
            guard let host = state.physicalPointer?(base, physical, size, 1) else {
                // A locked access to a device: there is no such thing; the processor reports a bus error, we a fault.
                throw .generalProtection
            }
            let state = state
            return (UInt64(UInt(bitPattern: host)), { state.noteWrite?(state.base, physical, size) })
        } catch {
            state.leave(error)
            return nil
        }
    }
}
