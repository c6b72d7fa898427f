// Programs whose architecture has no instruction fence: noticing that a guest page with translated code is written.
//
// A page the guest may write and execute loses its write permission on the host before its bytes are read for
// translation. The first write then faults: the units made from the page are dropped, the page becomes writable again and
// the write is repeated. A page that goes on being written and executed is left writable: its units look at their own
// guest bytes whenever they are entered (`isChecked`).
//
// Everything here may run in a signal handler, on a fault that the thread itself made; no function allocates while it
// holds the lock.
//
// Memory mapped twice: a shared mapping can change without a fault on the page that is executed, so units made from one
// are always checked. Not noticed: a store through another mapping into the unit that is running.

import CHost
import Glibc
import Translator

/// How a program's pages of code may change.
public struct CodePageProtection {
    /// Takes write permission away from a page on the host, if the guest has it; returns whether it had. Called with a page
    /// address.
    public var withhold: (UInt64) -> Bool
    /// Gives a page the host protection that the guest asked for; returns whether the guest may write it.
    public var grant: (UInt64) -> Bool
    /// Whether a page can change without a write to it: a shared mapping.
    public var isAliased: (UInt64) -> Bool

    public init(withhold: @escaping (UInt64) -> Bool, grant: @escaping (UInt64) -> Bool,
                isAliased: @escaping (UInt64) -> Bool) {
        self.withhold = withhold
        self.grant = grant
        self.isAliased = isAliased
    }

    /// For guests without memory of their own: nothing is protected.
    public static var none: CodePageProtection {
        CodePageProtection(withhold: { _ in false }, grant: { _ in false }, isAliased: { _ in false })
    }
}

/// The pages of a process that are or were protected because of their code.
final class WrittenCode {
    private struct Entry {
        /// Page number + 1; 0 is empty.
        var key: UInt64
        /// Non-zero while the host withholds write permission.
        var isProtected: UInt32
        /// How often the page was written while it held code.
        var writes: UInt32
    }

    /// What `prepare` found.
    enum Preparation {
        /// The guest cannot write the page.
        case constant
        /// A write will be noticed.
        case protected
        /// Units made from the page must check their bytes themselves.
        case checked
    }

    /// Writes after which a page is no longer protected.
    private static let writesMax: UInt32 = 16

    var protection = CodePageProtection.none
    private var entries: UnsafeMutablePointer<Entry>
    private var mask: Int
    private var used = 0
    private let lock: UnsafeMutablePointer<UInt32>
    /// Raised whenever code may have changed: what was translated meanwhile is looked at again.
    private let changes: UnsafeMutablePointer<UInt64>
    private let protectedCount: UnsafeMutablePointer<UInt32>
    private static let initialCount = 256

    init() {
        mask = Self.initialCount - 1
        entries = Self.make(Self.initialCount)
        lock = .allocate(capacity: 1)
        lock.initialize(to: 0)
        changes = .allocate(capacity: 1)
        changes.initialize(to: 0)
        protectedCount = .allocate(capacity: 1)
        protectedCount.initialize(to: 0)
    }

    deinit {
        entries.deallocate()
        lock.deallocate()
        changes.deallocate()
        protectedCount.deallocate()
    }

    private static func make(_ count: Int) -> UnsafeMutablePointer<Entry> {
        let entries = UnsafeMutablePointer<Entry>.allocate(capacity: count)
        entries.initialize(repeating: Entry(key: 0, isProtected: 0, writes: 0), count: count)
        return entries
    }

    /// Slot of a page, or the empty one it would take. The lock is held.
    private func slot(_ page: UInt64) -> UnsafeMutablePointer<Entry> {
        var position = Int(truncatingIfNeeded: ((page + 1) &* 0x9E37_79B9_7F4A_7C15) >> 40) & mask
        while entries[position].key != 0 && entries[position].key != page + 1 { position = (position + 1) & mask }
        return entries + position
    }

    /// A number that changes when code may have changed.
    var generation: UInt64 { guise_load64(changes) }

    /// Says that code may have changed.
    func raiseGeneration() {
        guise_lock(lock)
        guise_store64(changes, changes.pointee &+ 1)
        guise_unlock(lock)
    }

    /// Whether any page is protected now.
    var isAnyProtected: Bool { guise_load32(protectedCount) != 0 }

    /// Prepares the page at an address for being translated from.
    func prepare(_ address: UInt64) -> Preparation {
        let page = address >> 12
        guise_lock(lock)
        let entry = slot(page)
        let isKnown = entry.pointee.key != 0
        let writes = isKnown ? entry.pointee.writes : 0
        let isProtected = isKnown && entry.pointee.isProtected != 0
        guise_unlock(lock)
        if isProtected { return .protected }
        if writes > Self.writesMax || protection.isAliased(page << 12) { return .checked }
        // Outside the lock: the address space has its own, and code there may fault into `wasWritten`.
        guard protection.withhold(page << 12) else { return .constant }
        guise_lock(lock)
        growIfNeeded()
        let fresh = slot(page)
        if fresh.pointee.key == 0 {
            fresh.pointee = Entry(key: page + 1, isProtected: 0, writes: 0)
            used += 1
        }
        if fresh.pointee.isProtected == 0 {
            fresh.pointee.isProtected = 1
            guise_store32(protectedCount, protectedCount.pointee &+ 1)
        }
        guise_unlock(lock)
        return .protected
    }

    /// The lock is held. Allocates, which is safe: no fault handler can wait for this thread here.
    private func growIfNeeded() {
        guard used > (mask + 1) / 4 * 3 else { return }
        let old = entries, count = mask + 1
        entries = Self.make(count * 2)
        mask = count * 2 - 1
        for position in 0..<count where old[position].key != 0 { slot(old[position].key - 1).pointee = old[position] }
        old.deallocate()
    }

    /// A write to an address failed. Async-signal-safe.
    /// - Parameter drop: drops the units of a page (address and length).
    /// - Returns: true when the write is to be repeated.
    func wasWritten(_ address: UInt64, drop: (UInt64, UInt64) -> Void) -> Bool {
        let page = address >> 12
        guise_lock(lock)
        let entry = slot(page)
        guard entry.pointee.key != 0 else {
            guise_unlock(lock)
            return false
        }
        if entry.pointee.isProtected != 0 {
            entry.pointee.isProtected = 0
            entry.pointee.writes &+= 1
            guise_store32(protectedCount, protectedCount.pointee &- 1)
            guise_store64(changes, changes.pointee &+ 1)
        }
        guise_unlock(lock)
        // Also when another thread was faster: it may not have come to granting yet.
        drop(page << 12, 4096)
        return protection.grant(page << 12)
    }

    /// The guest changed the mapping of a range: nothing there is protected any more.
    func forget(start: UInt64, length: UInt64) {
        guard length > 0 else { return }
        guise_lock(lock)
        guise_store64(changes, changes.pointee &+ 1)
        if protectedCount.pointee != 0 {
            let first = start >> 12, last = (start &+ (length - 1)) >> 12
            for position in 0...mask where entries[position].isProtected != 0 {
                guard entries[position].key - 1 >= first, entries[position].key - 1 <= last else { continue }
                entries[position].isProtected = 0
                guise_store32(protectedCount, protectedCount.pointee &- 1)
            }
        }
        guise_unlock(lock)
    }

    /// Makes every protected page of a range writable, because something that does not fault here is about to write.
    /// - Parameter drop: drops the units of a page (address and length).
    /// - Returns: whether there was any.
    func open(start: UInt64, length: UInt64, drop: (UInt64, UInt64) -> Void) -> Bool {
        guard length > 0, isAnyProtected else { return false }
        let first = start >> 12, last = start &+ (length - 1) < start ? .max : (start &+ (length - 1)) >> 12
        var isAny = false
        var position = 0
        while true {
            guise_lock(lock)
            while position <= mask {
                let entry = entries[position]
                if entry.isProtected != 0, entry.key - 1 >= first, entry.key - 1 <= last { break }
                position += 1
            }
            let page = position <= mask ? entries[position].key - 1 : 0
            guise_unlock(lock)
            guard page != 0 else { return isAny }
            if wasWritten(page << 12, drop: drop) { isAny = true }
            position += 1
        }
    }
}
