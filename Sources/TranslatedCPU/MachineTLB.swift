// The soft TLB of a machine's vCPU: data and instruction translations, and the salts that keep its jump cache honest.
//
// A TLB entry is 32 bytes: read tag, write tag, distance from guest to host addresses, guest-physical page. A tag is the guest-virtual page address,
// or, when the access must take the slow path, the address of a page that can never be looked up in that slot. Bit 0 of
// the physical page marks a global translation, which survives `flushLocal`.

import CHost
import Glibc
import GuestMemory
import Translator

/// One vCPU's data and instruction TLB.
final class MachineTLB {
    private let state: UnsafeMutableRawPointer
    private let ram: GuestRAM
    /// Data entries filled with what is not global since the last flush; a short list makes flushing cheap.
    private let filled: UnsafeMutablePointer<UInt32>
    private var filledCount = 0
    private var hasGlobals = false
    private static let filledLimit = 1024
    /// Instruction entries likewise.
    private let fetched: UnsafeMutablePointer<UInt32>
    private var fetchedCount = 0
    private static let fetchedLimit = 256
    /// Pages that code was fetched from since the last complete flush, hashed to 4096 bits: others are in no jump cache.
    private let executed: UnsafeMutablePointer<UInt64>
    private static let executedWords = 64
    /// The modes in use and the salt of each; a mode that is not among them gets a fresh one.
    private var salts: [(mode: UInt32, salt: UInt64)] = []
    private var nextSalt: UInt64 = 0
    /// Salts lie above the bits that addresses differ in: from bit 48 on, or from 57 on with 5-level paging.
    private var saltShift: UInt64 = 48

    init(state: UnsafeMutableRawPointer, ram: GuestRAM) {
        self.state = state
        self.ram = ram
        filled = .allocate(capacity: Self.filledLimit)
        fetched = .allocate(capacity: Self.fetchedLimit)
        executed = .allocate(capacity: Self.executedWords)
        executed.initialize(repeating: 0, count: Self.executedWords)
        salts.reserveCapacity(64)
        for number in 0..<Self.entries { invalidate(number) }
        updateSalt()
    }

    deinit {
        filled.deallocate()
        fetched.deallocate()
        executed.deallocate()
    }

    private static let entries = StateLayout.tlbModes * StateLayout.tlbCount
    private static let globalBit: UInt64 = 1

    @inline(__always) private func entry(_ number: Int) -> UnsafeMutableRawPointer {
        state + StateLayout.tlb + number * StateLayout.tlbEntrySize
    }

    /// A tag no address looked up in slot `number` can match.
    @inline(__always) private static func invalidTag(_ number: Int) -> UInt64 {
        UInt64((number & (StateLayout.tlbCount - 1)) ^ 1) << 12
    }

    @inline(__always) private func number(_ set: Int, _ address: UInt64) -> Int {
        set * StateLayout.tlbCount + Int(address >> 12 & UInt64(StateLayout.tlbCount - 1))
    }

    /// Offset in the state block of the instruction TLB's word for an address.
    @inline(__always) static func fetchSlot(_ address: UInt64) -> Int {
        StateLayout.itlb + Int(address >> 12 & UInt64(StateLayout.itlbCount - 1)) * 4
    }

    /// Host address of an access that hits a set of the TLB, with the tag at entry offset `tag`; else nil.
    @inline(__always)
    static func hit(_ state: UnsafeMutableRawPointer, set: Int, _ address: UInt64, _ size: UInt64,
                    tag: Int) -> UnsafeMutableRawPointer? {
        let number = set * StateLayout.tlbCount + Int(address >> 12 & UInt64(StateLayout.tlbCount - 1))
        let slot = state + StateLayout.tlb + number * StateLayout.tlbEntrySize
        let offset = slot.load(fromByteOffset: tag, as: UInt64.self) ^ address
        guard offset <= 4096 - size else { return nil }
        return UnsafeMutableRawPointer(bitPattern: UInt(slot.load(fromByteOffset: 16, as: UInt64.self) &+ address))
    }

    // MARK: flushing

    private func invalidate(_ number: Int) {
        let tag = Self.invalidTag(number)
        entry(number).storeBytes(of: tag, as: UInt64.self)
        entry(number).storeBytes(of: tag, toByteOffset: 8, as: UInt64.self)
    }

    /// Forgets every translation, data and code.
    func flush() {
        if !hasGlobals { return flushLocal { _ in false } }
        hasGlobals = false
        for number in 0..<Self.entries { invalidate(number) }
        filledCount = 0
        memset(state + StateLayout.itlb, 0, StateLayout.itlbCount * 4)
        fetchedCount = 0
        executed.initialize(repeating: 0, count: Self.executedWords)
        forgetJumps { _ in false }
    }

    /// Forgets every translation that is not global.
    /// - Parameter keepsJumps: whether code of a mode is reached by global translations only, so that the jump cache
    ///   stays right for it.
    func flushLocal(keepsJumps: (_ mode: UInt32) -> Bool) {
        if filledCount >= Self.filledLimit {
            for number in 0..<Self.entries
            where entry(number).load(fromByteOffset: 24, as: UInt64.self) & Self.globalBit == 0 { invalidate(number) }
        } else {
            for index in 0..<filledCount { invalidate(Int(filled[index])) }
        }
        filledCount = 0
        if fetchedCount >= Self.fetchedLimit {
            memset(state + StateLayout.itlb, 0, StateLayout.itlbCount * 4)
        } else {
            for index in 0..<fetchedCount {
                state.storeBytes(of: 0, toByteOffset: StateLayout.itlb + Int(fetched[index]) * 4, as: UInt32.self)
            }
        }
        fetchedCount = 0
        forgetJumps(keeping: keepsJumps)
    }

    /// Forgets the translations of one guest page.
    func flush(page address: UInt64) {
        for set in 0..<StateLayout.tlbModes { invalidate(number(set, address)) }
        state.storeBytes(of: 0, toByteOffset: Self.fetchSlot(address), as: UInt32.self)
        let bit = Self.executedBit(address)
        guard executed[bit >> 6] >> UInt64(bit & 63) & 1 != 0 else { return }
        // Units of the page start in one of its slots of the jump cache: those alone must go.
        let first = StateLayout.jumpCacheSlot(address & ~0xFFF)
        let count = min(StateLayout.jumpCacheCount, 4096 / 2)
        memset(state + first, 0, count * 16)
        state.storeBytes(of: StateLayout.emptyJumpTag(first), toByteOffset: first, as: UInt64.self)
    }

    private static func executedBit(_ address: UInt64) -> Int {
        Int((address >> 12 ^ address >> 24) & UInt64(executedWords * 64 - 1))
    }

    // MARK: salts

    /// Makes the jump cache's contents unreachable for the modes that are not kept, by giving them new salts.
    private func forgetJumps(keeping: (UInt32) -> Bool) {
        salts.removeAll { !keeping($0.mode) }
        updateSalt()
    }

    /// Where the addresses of the guest end, in bits: 48 or 57. Forgets the jump cache.
    func setAddressBits(_ bits: UInt64) {
        guard saltShift != bits else { return }
        saltShift = bits
        startOver()
        updateSalt()
    }

    private func startOver() {
        salts.removeAll(keepingCapacity: true)
        nextSalt = 0
        TranslationRuntime.clearJumpCache(state)
    }

    /// Puts the salt for the current mode into force.
    @inline(__always) func updateSalt() {
        let mode = state.load(fromByteOffset: StateLayout.mode, as: UInt32.self)
        state.storeBytes(of: salt(mode: mode), toByteOffset: StateLayout.jumpSalt, as: UInt64.self)
    }

    /// Salt of the jump cache for a mode: distinct for each mode and for each time it was forgotten, in bits up to 62.
    @inline(__always) private func salt(mode: UInt32) -> UInt64 {
        for known in salts where known.mode == mode { return known.salt }
        return freshSalt(mode: mode)
    }

    @inline(never) private func freshSalt(mode: UInt32) -> UInt64 {
        if nextSalt >> (63 - saltShift) != 0 { startOver() }
        // Modes nobody comes back to must not make look-ups slow.
        if salts.count == 64 { salts.removeFirst(32) }
        let salt = nextSalt << saltShift
        nextSalt += 1
        salts.append((mode, salt))
        return salt
    }

    // MARK: filling

    /// Remembers a data translation to RAM.
    func fill(set: Int, address: UInt64, physical: UInt64, readable: Bool, writable: Bool, isGlobal: Bool) {
        let number = number(set, address)
        let page = address & ~0xFFF
        let physicalPage = physical & ~0xFFF
        guard let host = ram.pointer(GuestPhysical(physicalPage), length: 4096) else { return }
        let invalid = Self.invalidTag(number)
        let slot = entry(number)
        let codeFlag = ram.codePages + Int((physicalPage - ram.start.value) >> 12)
        slot.storeBytes(of: readable ? page : invalid, as: UInt64.self)
        slot.storeBytes(of: UInt64(UInt(bitPattern: host)) &- page, toByteOffset: 16, as: UInt64.self)
        slot.storeBytes(of: physicalPage | (isGlobal ? Self.globalBit : 0), toByteOffset: 24, as: UInt64.self)
        // Generated code takes what may be written for readable.
        guise_store64(slot + 8, writable && readable && codeFlag.pointee == 0 ? page : invalid)
        // Another vCPU may have marked the page between the look at its flag and the store: look again.
        if codeFlag.pointee != 0 { guise_store64(slot + 8, invalid) }
        if isGlobal {
            hasGlobals = true
        } else if filledCount < Self.filledLimit {
            filled[filledCount] = UInt32(number)
            filledCount += 1
        }
    }

    /// Remembers the identity of a page of code.
    func fillFetch(_ address: UInt64, identity: UInt32, isGlobal: Bool) {
        state.storeBytes(of: identity, toByteOffset: Self.fetchSlot(address), as: UInt32.self)
        let bit = Self.executedBit(address)
        executed[bit >> 6] |= 1 << UInt64(bit & 63)
        if isGlobal {
            hasGlobals = true
        } else if fetchedCount < Self.fetchedLimit {
            fetched[fetchedCount] = UInt32(address >> 12 & UInt64(StateLayout.itlbCount - 1))
            fetchedCount += 1
        }
    }

    /// Takes away fast writes to a guest-physical page, because code was made from it. Callable on any thread.
    func protect(physicalPage: UInt64) {
        for number in 0..<Self.entries {
            let slot = entry(number)
            guard slot.load(fromByteOffset: 24, as: UInt64.self) & ~Self.globalBit == physicalPage else { continue }
            guise_store64(slot + 8, Self.invalidTag(number))
        }
    }
}
