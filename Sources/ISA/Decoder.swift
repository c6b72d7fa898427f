// A decision tree from the bits of a word to the few rows that can match it.
//
// Each level looks at one run of bits, chosen by the front for the shape of its instruction set. A node with few rows
// becomes a leaf: a list of (mask, match, row) tried in the order of the rows.

/// The bits that one level of the tree looks at: a run, or two.
public struct DecodeLevel: Sendable {
    @usableFromInline let shift: UInt32, mask: UInt32
    /// The second run's; its bits lie above those of the first in the index.
    @usableFromInline let shift2: UInt32, mask2: UInt32
    /// Bits `high` down to `low` of the word.
    public init(_ high: Int, _ low: Int) { self.init(high, low, and: 0, 0, width: 0) }

    /// Bits `high` down to `low`, and above them in the index bits `high2` down to `low2`.
    public init(_ high: Int, _ low: Int, and high2: Int, _ low2: Int) {
        self.init(high, low, and: high2, low2, width: high2 - low2 + 1)
    }

    private init(_ high: Int, _ low: Int, and high2: Int, _ low2: Int, width: Int) {
        let first = UInt32(high - low + 1)
        shift = UInt32(low)
        mask = (1 << first) - 1
        // Shifted as a 64-bit word, so that the second run may lie anywhere.
        shift2 = UInt32(low2) + 32 - first
        mask2 = ((1 << UInt32(width)) - 1) << first
    }

    /// The bits of a word this level looks at, together.
    @inlinable @inline(__always)
    func index(_ word: UInt32) -> UInt32 {
        word &>> shift & mask | UInt32(truncatingIfNeeded: (UInt64(word) << 32) &>> UInt64(shift2)) & mask2
    }

    /// The bits of a word that it looks at.
    var wordMask: UInt32 { (0..<32).reduce(0) { $0 | (index(1 << UInt32($1)) != 0 ? 1 << UInt32($1) : 0) } }

    /// How many values the index has.
    var width: Int { Int(mask | mask2) + 1 }
}

/// An array that only grows, in raw memory: filled at start, read without checks afterwards.
@usableFromInline
struct GrowingBuffer<Element> {
    // SAFETY: elements [0, count) are initialized; the owner frees the memory once. Elements are trivial types.
    @usableFromInline private(set) var elements: UnsafeMutablePointer<Element>
    private(set) var count = 0
    private var capacity: Int

    init(capacity: Int) {
        self.capacity = max(1, capacity)
        elements = .allocate(capacity: self.capacity)
    }

    mutating func append(_ element: Element) {
        if count == capacity { grow(1) }
        (elements + count).initialize(to: element)
        count += 1
    }

    /// Appends `number` copies.
    mutating func append(repeating element: Element, count number: Int) {
        if count + number > capacity { grow(number) }
        (elements + count).initialize(repeating: element, count: number)
        count += number
    }

    private mutating func grow(_ number: Int) {
        capacity = max(capacity * 2, count + number)
        let larger = UnsafeMutablePointer<Element>.allocate(capacity: capacity)
        larger.update(from: elements, count: count)
        elements.deallocate()
        elements = larger
    }

    func deallocate() { elements.deallocate() }
}

/// Finds the row of a word.
@usableFromInline
struct DecodeTree: @unchecked Sendable {
    /// One candidate of a leaf. The last of each leaf matches everything and gives "no row".
    @usableFromInline
    struct Candidate {
        @usableFromInline let mask: UInt32, match: UInt32
        @usableFromInline let row: Int32
    }

    /// Rows in a leaf before another level is worth its table.
    static let leafRows = 3
    /// A node is a table's index in `nodes` and, in the low bits, its level; or the complement of an index in
    /// `candidates`; or a row, above `directBase`, of which the way to the node has seen all that it fixes.
    @usableFromInline static let levelBits: Int32 = 3
    @usableFromInline static let directBase = Int32.min

    @usableFromInline private(set) var levels: GrowingBuffer<DecodeLevel>
    @usableFromInline private(set) var nodes: GrowingBuffer<Int32>
    @usableFromInline private(set) var candidates: GrowingBuffer<Candidate>
    @usableFromInline private(set) var root: Int32 = 0
    private let noRow: Int32

    /// - Parameter levels: at most 8.
    init(rows: UnsafeBufferPointer<Row>, range: Range<Int>, levels source: [DecodeLevel]) {
        precondition(source.count <= 1 << Self.levelBits)
        levels = GrowingBuffer(capacity: source.count)
        for level in source { levels.append(level) }
        noRow = Int32(rows.count)
        nodes = GrowingBuffer(capacity: 512)
        candidates = GrowingBuffer(capacity: 512)
        candidates.append(Candidate(mask: 0, match: 0, row: noRow))
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: range.count) { indices in
            for (position, row) in range.enumerated() { indices[position] = UInt16(row) }
            root = build(rows, UnsafeBufferPointer(indices), unused: (1 << source.count) - 1, seen: 0)
        }
    }

    func deallocate() {
        levels.deallocate()
        nodes.deallocate()
        candidates.deallocate()
    }

    /// The row of a word, or "no row".
    @inlinable @inline(__always)
    func decode(_ word: UInt32) -> Int {
        var node = root
        while node >= 0 {
            let level = levels.elements[Int(node & (1 << DecodeTree.levelBits - 1))]
            node = nodes.elements[Int(node >> DecodeTree.levelBits) + Int(level.index(word))]
        }
        if node < DecodeTree.directBase / 2 { return Int(node &- DecodeTree.directBase) }
        var candidate = candidates.elements + Int(~node)
        while word & candidate.pointee.mask != candidate.pointee.match { candidate += 1 }
        return Int(candidate.pointee.row)
    }

    /// - Parameters:
    ///   - unused: a bit per level not looked at yet.
    ///   - seen: the bits of the word that have been looked at.
    private mutating func build(_ rows: UnsafeBufferPointer<Row>, _ indices: UnsafeBufferPointer<UInt16>,
                                unused: Int, seen: UInt32) -> Int32 {
        if indices.isEmpty { return ~0 }
        let first = rows[Int(indices[0])]
        if first.mask & ~seen == 0, !first.isReserved { return Self.directBase + Int32(indices[0]) }
        guard indices.count > Self.leafRows, unused != 0 else { return leaf(rows, indices) }
        // The first level whose bits all these rows fix; failing that, the first one left.
        var fixed: UInt32 = .max
        for index in indices { fixed &= rows[Int(index)].mask }
        var choice = unused.trailingZeroBitCount
        for level in 0..<levels.count where unused >> level & 1 != 0 {
            // All ones where the rows fix what the level looks at.
            if Int(levels.elements[level].index(fixed)) == levels.elements[level].width - 1 {
                choice = level
                break
            }
        }
        let level = levels.elements[choice], width = level.width
        let table = nodes.count
        nodes.append(repeating: ~0, count: width)
        // Counting sort of the rows into the children; a row with free bits at this level goes to several of them.
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: width + 1) { starts in
            starts.initialize(repeating: 0)
            for index in indices {
                Self.eachChild(rows[Int(index)], level) { starts[$0 + 1] &+= 1 }
            }
            for child in 0..<width { starts[child + 1] &+= starts[child] }
            let total = Int(starts[width])
            withUnsafeTemporaryAllocation(of: UInt16.self, capacity: total) { sorted in
                for index in indices {
                    Self.eachChild(rows[Int(index)], level) {
                        sorted[Int(starts[$0])] = index
                        starts[$0] &+= 1
                    }
                }
                var from = 0
                for child in 0..<width {
                    let to = Int(starts[child])
                    if to > from {
                        let node = build(rows, UnsafeBufferPointer(rebasing: sorted[from..<to]),
                                         unused: unused & ~(1 << choice), seen: seen | level.wordMask)
                        nodes.elements[table + child] = node
                    }
                    from = to
                }
            }
        }
        return Int32(table) << Self.levelBits | Int32(choice)
    }

    private mutating func leaf(_ rows: UnsafeBufferPointer<Row>, _ indices: UnsafeBufferPointer<UInt16>) -> Int32 {
        let first = candidates.count
        for index in indices {
            let row = rows[Int(index)]
            candidates.append(Candidate(mask: row.mask, match: row.match, row: row.isReserved ? noRow : Int32(index)))
        }
        candidates.append(Candidate(mask: 0, match: 0, row: noRow))
        return ~Int32(first)
    }

    /// Calls `body` with every index that the row's words can have at a level.
    @inline(__always)
    private static func eachChild(_ row: Row, _ level: DecodeLevel, _ body: (Int) -> Void) {
        let free = ~level.index(row.mask) & UInt32(level.width - 1)
        let fixed = level.index(row.match) & ~free
        var subset: UInt32 = 0
        repeat {
            body(Int(fixed | subset))
            subset = (subset &- free) & free
        } while subset != 0
    }
}
