// Finds units by guest address: an open-addressing hash table in raw memory.
//
// Looking up takes no lock: an entry is one word, written in one store, and says enough to find the unit's record, which
// never changes while it can be found. Everything else is guarded by the runtime's lock. Readers are inside generated
// code as far as flushes are concerned, so that nothing they may be looking at is freed.

import CHost

/// Units by (guest address, context and mode).
final class UnitTable {
    /// An entry: unit index + 1 in the low bits, above it the key's tag, which gives its place too, so that growing does
    /// not touch the records. 0 is empty, `removed` was taken out.
    private typealias Entry = UInt64
    private static let unitBits: UInt64 = 24
    private static let unitMask: UInt64 = (1 << unitBits) - 1
    private static let removed: Entry = unitMask

    /// Address of the entries, read by others while it changes; the word before the first is their number minus one.
    private let current: UnsafeMutablePointer<UInt64>
    /// Tables outgrown, in which somebody may still be looking.
    private var outgrown: [UnsafeMutablePointer<Entry>] = []
    /// Entries that are not empty, removed ones included.
    private var used = 0
    private let units: UnsafeMutablePointer<UnitRecord>
    private static let initialCount = 1 << 12

    init(units: UnsafeMutablePointer<UnitRecord>) {
        self.units = units
        current = .allocate(capacity: 1)
        current.initialize(to: 0)
        table = Self.make(Self.initialCount)
    }

    @inline(__always)
    private var table: UnsafeMutablePointer<Entry> {
        get { UnsafeMutablePointer(bitPattern: UInt(guise_load64(current))).unsafelyUnwrapped }
        set { guise_store64(current, UInt64(UInt(bitPattern: newValue))) }
    }

    deinit {
        for old in outgrown { Self.free(old) }
        Self.free(table)
        current.deallocate()
    }

    private static func make(_ count: Int) -> UnsafeMutablePointer<Entry> {
        let memory = UnsafeMutablePointer<Entry>.allocate(capacity: count + 1)
        memory.initialize(repeating: 0, count: count + 1)
        memory[0] = UInt64(count - 1)
        return memory + 1
    }

    private static func free(_ table: UnsafeMutablePointer<Entry>) { (table - 1).deallocate() }

    /// 40 bits of a key. The low three tell neighbours apart, the others choose the place: units that start within 64 bytes
    /// of each other share a cache line of entries.
    @inline(__always) private static func tag(_ start: UInt64, _ context: UInt32, _ mode: UInt32) -> UInt64 {
        let mixed = (start >> 7 ^ UInt64(context) << 40 ^ UInt64(mode) << 20) &* 0x9E37_79B9_7F4A_7C15
        return ((mixed >> 31) << 7 | start & 0x7F) & ((1 << 40) - 1)
    }

    @inline(__always) private static func place(_ tag: UInt64) -> UInt64 { tag >> 3 }

    /// The unit of a key, or `.noUnit`.
    @inline(__always)
    func find(_ start: UInt64, _ context: UInt32, _ mode: UInt32) -> UnitIndex {
        let table = self.table, mask = table[-1]
        let tag = Self.tag(start, context, mode)
        var position = Self.place(tag) & mask
        while true {
            let entry = guise_load64(table + Int(position))
            if entry == 0 { return .noUnit }
            if entry >> Self.unitBits == tag && entry != Self.removed {
                let unit = UnitIndex(truncatingIfNeeded: entry & Self.unitMask) &- 1
                let record = units + Int(unit)
                if record.pointee.start == start && record.pointee.context == context && record.pointee.mode == mode {
                    return unit
                }
            }
            position = (position + 1) & mask
        }
    }

    /// The unit that has the key of `unit`, whose record is complete: `unit` itself, added, if there is none.
    func findOrInsert(_ unit: UnitIndex) -> UnitIndex {
        if used > Int(table[-1]) / 4 * 3 { grow() }
        let table = self.table, mask = table[-1], record = units + Int(unit)
        let tag = Self.tag(record.pointee.start, record.pointee.context, record.pointee.mode)
        var position = Self.place(tag) & mask
        while true {
            let entry = table[Int(position)]
            if entry == 0 { break }
            if entry >> Self.unitBits == tag && entry != Self.removed {
                let found = UnitIndex(truncatingIfNeeded: entry & Self.unitMask) &- 1, other = units + Int(found)
                if other.pointee.start == record.pointee.start && other.pointee.context == record.pointee.context
                    && other.pointee.mode == record.pointee.mode { return found }
            }
            position = (position &+ 1) & mask
        }
        guise_store64(table + Int(position), tag << Self.unitBits | UInt64(unit + 1))
        used &+= 1
        return unit
    }

    /// Adds a unit whose record is complete.
    func insert(_ unit: UnitIndex) {
        if used > Int(table[-1]) / 4 * 3 { grow() }
        let record = units + Int(unit)
        place(table, Self.tag(record.pointee.start, record.pointee.context, record.pointee.mode) << Self.unitBits
            | UInt64(unit + 1))
    }

    private func place(_ table: UnsafeMutablePointer<Entry>, _ entry: Entry) {
        let mask = table[-1]
        var position = Self.place(entry >> Self.unitBits) & mask
        while table[Int(position)] != 0 { position = (position + 1) & mask }
        guise_store64(table + Int(position), entry)
        used += 1
    }

    func remove(_ unit: UnitIndex) {
        let record = units + Int(unit)
        let mask = table[-1]
        var position = Self.place(Self.tag(record.pointee.start, record.pointee.context, record.pointee.mode)) & mask
        while table[Int(position)] != 0 {
            if table[Int(position)] & Self.unitMask == UInt64(unit + 1) {
                guise_store64(table + Int(position), Self.removed)
                return
            }
            position = (position + 1) & mask
        }
    }

    /// Forgets everything. Nobody is looking.
    func removeAll() {
        for old in outgrown { Self.free(old) }
        outgrown.removeAll()
        Self.free(table)
        table = Self.make(Self.initialCount)
        used = 0
    }

    /// Makes a table four times the size, without the removed entries: moving them costs a third of a move for each then.
    private func grow() {
        let old = table, count = Int(old[-1]) + 1
        let larger = Self.make(count * 4)
        used = 0
        for position in 0..<count where old[position] != 0 && old[position] != Self.removed { place(larger, old[position]) }
        outgrown.append(old)
        table = larger
    }
}

/// Guest pages and the head of the list of units in each: an open-addressing hash table in raw memory, guarded by the
/// runtime's lock.
struct PageTable {
    struct Entry {
        /// Page number + 1; 0 is empty.
        var key: UInt64
        var head: UnitIndex
    }

    private var entries: UnsafeMutablePointer<Entry>
    private var mask: Int
    private var used = 0
    /// The page whose list was changed last, + 1, and its entry: units are made page by page.
    private var last: (key: UInt64, position: Int) = (0, 0)
    private static let initialCount = 1 << 8

    init() {
        mask = Self.initialCount - 1
        entries = Self.make(Self.initialCount)
    }

    func deallocate() { entries.deallocate() }

    private static func make(_ count: Int) -> UnsafeMutablePointer<Entry> {
        let entries = UnsafeMutablePointer<Entry>.allocate(capacity: count)
        entries.initialize(repeating: Entry(key: 0, head: .noUnit), count: count)
        return entries
    }

    /// Pages ever added since the table was empty.
    var count: Int { used }

    @inline(__always) private func position(_ page: UInt64) -> Int {
        var position = Int(truncatingIfNeeded: ((page + 1) &* 0x9E37_79B9_7F4A_7C15) >> 32) & mask
        while entries[position].key != 0 && entries[position].key != page + 1 { position = (position + 1) & mask }
        return position
    }

    /// Head of a page's list; `.noUnit` when it is empty.
    @inline(__always)
    subscript(page: UInt64) -> UnitIndex { entries[position(page)].head }

    /// Replaces the head of a page's list and returns the one before.
    @inline(__always)
    mutating func exchange(_ page: UInt64, _ head: UnitIndex) -> UnitIndex {
        if last.key != page &+ 1 {
            if used > (mask + 1) / 4 * 3 { grow() }
            last = (page &+ 1, position(page))
        }
        let entry = entries + last.position
        if entry.pointee.key == 0 {
            entry.pointee.key = page + 1
            used += 1
        }
        let old = entry.pointee.head
        entry.pointee.head = head
        return old
    }

    /// Calls `body` with every page that has a list; it may change the list's head.
    func forEach(_ body: (UInt64, inout UnitIndex) -> Void) {
        for position in 0...mask where entries[position].key != 0 && entries[position].head != .noUnit {
            body(entries[position].key - 1, &entries[position].head)
        }
    }

    mutating func removeAll() {
        entries.deallocate()
        self = PageTable()
    }

    private mutating func grow() {
        let old = entries, count = mask + 1
        mask = count * 2 - 1
        entries = Self.make(count * 2)
        used = 0
        last = (0, 0)
        for position in 0..<count where old[position].key != 0 && old[position].head != .noUnit {
            _ = exchange(old[position].key - 1, old[position].head)
        }
        old.deallocate()
    }
}
