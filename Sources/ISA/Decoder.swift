// A decision tree from the bits of a word to the few rows that can match it.
//
// Each level looks at one run of bits, chosen by the front for the shape of its instruction set. A node with few rows
// becomes a leaf: a list of (mask, match, row) tried in the order of the rows.

/// A run of bits that one level of the tree looks at.
public struct DecodeLevel: Sendable {
    @usableFromInline let shift: UInt32
    @usableFromInline let mask: UInt32
    /// Bits `high` down to `low` of the word.
    public init(_ high: Int, _ low: Int) {
        shift = UInt32(low)
        mask = (1 << UInt32(high - low + 1)) - 1
    }
}

/// Finds the row of a word.
@usableFromInline
struct DecodeTree {
    /// One candidate of a leaf. The last of each leaf matches everything and gives "no row".
    @usableFromInline
    struct Candidate {
        @usableFromInline let mask: UInt32, match: UInt32
        @usableFromInline let row: Int32
    }

    /// Rows in a leaf before the next level is worth its table.
    static let leafRows = 3

    let levels: [DecodeLevel]
    /// Children: index of a child's table in `nodes`, or the complement of an index in `candidates`.
    private(set) var nodes: [Int32] = []
    private(set) var candidates: [Candidate] = []
    private(set) var root: Int32 = 0
    private let noRow: Int32

    init(rows: UnsafeBufferPointer<Row>, indices: [UInt16], levels: [DecodeLevel]) {
        self.levels = levels
        noRow = Int32(rows.count)
        nodes.reserveCapacity(2048)
        candidates.reserveCapacity(1024)
        candidates.append(Candidate(mask: 0, match: 0, row: noRow))
        root = indices.withUnsafeBufferPointer { build(rows, $0, level: 0) }
    }

    private mutating func build(_ rows: UnsafeBufferPointer<Row>, _ indices: UnsafeBufferPointer<UInt16>,
                                level: Int) -> Int32 {
        if indices.isEmpty { return ~0 }
        if indices.count <= Self.leafRows || level == levels.count {
            let first = candidates.count
            for index in indices {
                let row = rows[Int(index)]
                candidates.append(Candidate(mask: row.mask, match: row.match,
                                            row: row.isReserved ? noRow : Int32(index)))
            }
            candidates.append(Candidate(mask: 0, match: 0, row: noRow))
            return ~Int32(first)
        }
        let shift = levels[level].shift, mask = levels[level].mask
        let width = Int(mask) + 1
        let table = nodes.count
        for _ in 0..<width { nodes.append(~0) }
        // Counting sort of the rows into the children; a row with free bits at this level goes to several of them.
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: width + 1) { starts in
            starts.initialize(repeating: 0)
            for index in indices {
                Self.eachChild(rows[Int(index)], shift, mask) { starts[$0 + 1] &+= 1 }
            }
            for child in 0..<width { starts[child + 1] &+= starts[child] }
            let total = Int(starts[width])
            withUnsafeTemporaryAllocation(of: UInt16.self, capacity: total) { sorted in
                for index in indices {
                    Self.eachChild(rows[Int(index)], shift, mask) {
                        sorted[Int(starts[$0])] = index
                        starts[$0] &+= 1
                    }
                }
                var from = 0
                for child in 0..<width {
                    let to = Int(starts[child])
                    if to > from {
                        nodes[table + child] = build(rows, UnsafeBufferPointer(rebasing: sorted[from..<to]),
                                                     level: level + 1)
                    }
                    from = to
                }
            }
        }
        return Int32(table)
    }

    /// Calls `body` with every value of the bits (word >> shift) & mask that the row's words can have.
    @inline(__always)
    private static func eachChild(_ row: Row, _ shift: UInt32, _ mask: UInt32, _ body: (Int) -> Void) {
        let free = ~(row.mask >> shift) & mask
        let fixed = row.match >> shift & mask
        var subset: UInt32 = 0
        repeat {
            body(Int(fixed | subset))
            subset = (subset &- free) & free
        } while subset != 0
    }
}
