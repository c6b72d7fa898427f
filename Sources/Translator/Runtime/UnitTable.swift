// Finds units by guest address: an open-addressing hash table in raw memory, one cache line per look-up.
//
// Guarded by the runtime's lock.

/// Units by (guest address, context and mode).
final class UnitTable {
    private struct Entry {
        var start: UInt64
        var context: UInt32
        /// Unit index + 1; 0 is empty, all ones a removed entry.
        var unit: UInt32
    }

    private var entries: UnsafeMutablePointer<Entry>
    private var mask: Int
    /// Entries that are not empty, removed ones included.
    private var used = 0

    init() {
        mask = (1 << 12) - 1
        entries = .allocate(capacity: mask + 1)
        entries.initialize(repeating: Entry(start: 0, context: 0, unit: 0), count: mask + 1)
    }

    deinit { entries.deallocate() }

    /// Page identity and mode in one word. Identities are below 2^18, modes of a program have identity 0.
    @inline(__always) static func context(_ context: UInt32, _ mode: UInt32) -> UInt32 { context << 14 ^ mode }

    @inline(__always) private func slot(_ start: UInt64, _ context: UInt32) -> Int {
        let mixed = (start ^ UInt64(context) << 40) &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: mixed >> 40) & mask
    }

    @inline(__always)
    func find(_ start: UInt64, _ context: UInt32) -> UnitIndex {
        var position = slot(start, context)
        while true {
            let entry = entries[position]
            if entry.unit == 0 { return .noUnit }
            if entry.start == start && entry.context == context && entry.unit != .max { return entry.unit - 1 }
            position = (position + 1) & mask
        }
    }

    func insert(_ start: UInt64, _ context: UInt32, _ unit: UnitIndex) {
        if used > (mask + 1) / 4 * 3 { grow() }
        var position = slot(start, context)
        while entries[position].unit != 0 { position = (position + 1) & mask }
        entries[position] = Entry(start: start, context: context, unit: unit + 1)
        used += 1
    }

    func remove(_ start: UInt64, _ context: UInt32) {
        var position = slot(start, context)
        while entries[position].unit != 0 {
            if entries[position].start == start && entries[position].context == context {
                entries[position].unit = .max
            }
            position = (position + 1) & mask
        }
    }

    func removeAll() {
        entries.update(repeating: Entry(start: 0, context: 0, unit: 0), count: mask + 1)
        used = 0
    }

    /// Makes a table twice the size, without the removed entries.
    private func grow() {
        let old = entries, oldMask = mask
        mask = oldMask * 2 + 1
        entries = .allocate(capacity: mask + 1)
        entries.initialize(repeating: Entry(start: 0, context: 0, unit: 0), count: mask + 1)
        used = 0
        for index in 0...oldMask where old[index].unit != 0 && old[index].unit != .max {
            insert(old[index].start, old[index].context, old[index].unit - 1)
        }
        old.deallocate()
    }
}
