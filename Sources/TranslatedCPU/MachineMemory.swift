// The soft TLB of a machine's vCPU: slow paths of loads, stores and atomics, filling and flushing.
//
// A TLB entry is 32 bytes: read tag, write tag, host page, guest-physical page. A tag is the guest-virtual page address,
// or, when the access must take the slow path, the address of a page that can never be looked up in that slot.

import Bus
import CHost
import Glibc
import GuestMemory
import GuestRISCV
import Translator

/// One vCPU's data and instruction TLB.
final class MachineTLB {
    private let state: UnsafeMutableRawPointer
    private let ram: GuestRAM
    /// Entries filled since the last flush; a short list makes flushing cheap.
    private let filled: UnsafeMutablePointer<UInt32>
    private var filledCount = 0
    private static let filledLimit = 256
    private var generation: UInt64 = 0

    init(state: UnsafeMutableRawPointer, ram: GuestRAM) {
        self.state = state
        self.ram = ram
        filled = .allocate(capacity: Self.filledLimit)
        filledCount = Self.filledLimit
        flush()
    }

    deinit { filled.deallocate() }

    private static let entries = StateLayout.tlbModes * StateLayout.tlbCount

    @inline(__always) private func entry(_ number: Int) -> UnsafeMutableRawPointer {
        state + StateLayout.tlb + number * StateLayout.tlbEntrySize
    }

    /// A tag no address looked up in slot `number` can match.
    @inline(__always) private static func invalidTag(_ number: Int) -> UInt64 {
        UInt64((number & (StateLayout.tlbCount - 1)) ^ 1) << 12
    }

    @inline(__always) private func number(_ mode: Int, _ address: UInt64) -> Int {
        mode * StateLayout.tlbCount + Int(address >> 12 & UInt64(StateLayout.tlbCount - 1))
    }

    /// Host address of an access that hits the TLB of the current mode, with the tag at entry offset `tag`; else nil.
    @inline(__always)
    static func hit(_ state: UnsafeMutableRawPointer, _ address: UInt64, _ size: UInt64,
                    tag: Int) -> UnsafeMutableRawPointer? {
        let mode = state.load(fromByteOffset: StateLayout.mode, as: UInt32.self)
        let set = Int(Mode(rawValue: mode).data.rawValue) * StateLayout.tlbCount
        let number = set + Int(address >> 12 & UInt64(StateLayout.tlbCount - 1))
        let slot = state + StateLayout.tlb + number * StateLayout.tlbEntrySize
        let offset = slot.load(fromByteOffset: tag, as: UInt64.self) ^ address
        guard offset <= 4096 - size else { return nil }
        return UnsafeMutableRawPointer(bitPattern: UInt(slot.load(fromByteOffset: 16, as: UInt64.self) &+ offset))
    }

    private func invalidate(_ number: Int) {
        let tag = Self.invalidTag(number)
        entry(number).storeBytes(of: tag, as: UInt64.self)
        entry(number).storeBytes(of: tag, toByteOffset: 8, as: UInt64.self)
    }

    /// Forgets every translation, data and code.
    func flush() {
        if filledCount >= Self.filledLimit {
            for number in 0..<Self.entries { invalidate(number) }
        } else {
            for index in 0..<filledCount { invalidate(Int(filled[index])) }
        }
        filledCount = 0
        memset(state + StateLayout.itlb, 0, StateLayout.itlbCount * 4)
        forgetJumps()
    }

    /// Forgets the translations of one guest page.
    func flush(page address: UInt64) {
        for mode in 0..<StateLayout.tlbModes { invalidate(number(mode, address)) }
        let slot = StateLayout.itlb + Int(address >> 12 & UInt64(StateLayout.itlbCount - 1)) * 4
        state.storeBytes(of: 0, toByteOffset: slot, as: UInt32.self)
        forgetJumps()
    }

    /// Makes the jump cache's contents unreachable by changing the salt; clears it for real when salts run out.
    private func forgetJumps() {
        generation = (generation + 1) & 15
        if generation == 0 { TranslationRuntime.clearJumpCache(state) }
        updateSalt()
    }

    /// Puts the salt for the current mode into force.
    @inline(__always) func updateSalt() {
        let mode = state.load(fromByteOffset: StateLayout.mode, as: UInt32.self)
        state.storeBytes(of: salt(mode: mode), toByteOffset: StateLayout.jumpSalt, as: UInt64.self)
    }

    /// Salt of the jump cache for a mode: distinct for each (mode, generation), in address bits 48 to 62.
    @inline(__always) func salt(mode: UInt32) -> UInt64 { UInt64(mode) << 48 | generation << 59 }

    /// Remembers a translation to RAM.
    func fill(mode: Int, address: UInt64, physical: UInt64, readable: Bool, writable: Bool) {
        let number = number(mode, address)
        let page = address & ~0xFFF
        let physicalPage = physical & ~0xFFF
        guard let host = ram.pointer(GuestPhysical(physicalPage), length: 4096) else { return }
        let invalid = Self.invalidTag(number)
        let slot = entry(number)
        let codeFlag = ram.codePages + Int((physicalPage - ram.start.value) >> 12)
        slot.storeBytes(of: readable ? page : invalid, as: UInt64.self)
        slot.storeBytes(of: UInt64(UInt(bitPattern: host)), toByteOffset: 16, as: UInt64.self)
        slot.storeBytes(of: physicalPage, toByteOffset: 24, as: UInt64.self)
        guise_store64(slot + 8, writable && codeFlag.pointee == 0 ? page : invalid)
        // Another vCPU may have marked the page between the look at its flag and the store: look again.
        if codeFlag.pointee != 0 { guise_store64(slot + 8, invalid) }
        if filledCount < Self.filledLimit {
            filled[filledCount] = UInt32(number)
            filledCount += 1
        }
    }

    /// Takes away fast writes to a guest-physical page, because code was made from it. Callable on any thread.
    func protect(physicalPage: UInt64) {
        for number in 0..<Self.entries {
            let slot = entry(number)
            guard slot.load(fromByteOffset: 24, as: UInt64.self) == physicalPage else { continue }
            guise_store64(slot + 8, Self.invalidTag(number))
        }
    }
}
