// How pages that a guest gives up return to the host.

import CHost
import GuestMemory

/// Takes pages of guest RAM back.
public protocol PageReclaimer: AnyObject {
    /// Frees the host memory behind part of guest RAM, which reads zero from then on.
    /// - Parameters: `offset` and `length` are page aligned and inside `ram`.
    /// - Returns: whether the memory was freed; if not, its contents are unchanged.
    func reclaim(_ ram: GuestRAM, offset: UInt64, length: UInt64) -> Bool
}

/// Punches holes into the memfd behind guest RAM.
public final class MemfdReclaimer: PageReclaimer {
    public init() {}

    public func reclaim(_ ram: GuestRAM, offset: UInt64, length: UInt64) -> Bool {
        guise_punch_hole(ram.descriptor, Int(offset), Int(length)) == 0
    }
}
