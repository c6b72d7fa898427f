// From opcode map and opcode to the row, by what a processor has.
//
// Each opcode has an entry for 64-bit code and one for the rest. An entry is a row, or a node that looks at one
// property of the encoding; the children of a node are entries again.

/// The properties of an encoding that nodes look at, in one word.
struct DecodeKey {
    /// Where a property begins.
    static let prefix = 0, mod = 2, reg = 3, rm = 6, w = 9, l = 10

    /// The properties in the order in which nodes look at them: place, and number of bits.
    @inline(__always)
    static func property(_ number: Int) -> (shift: Int, bits: Int) {
        switch number {
        case 0: (prefix, 2)
        case 1: (mod, 1)
        case 2: (reg, 3)
        case 3: (rm, 3)
        case 4: (w, 1)
        default: (l, 1)
        }
    }
    static let count = 6
}

/// What the decoder looks up.
struct DecodeTables {
    /// An entry: bit 15: bits 13…0 are the index of a node, otherwise the number of a row or `undefined`; bit 14: the
    /// opcode has a ModRM byte. Entries of children have bit 14 clear.
    static let isNode: UInt16 = 1 << 15
    static let hasModRM: UInt16 = 1 << 14
    static let valueMask: UInt16 = 1 << 14 - 1
    /// There is no row.
    static let undefined = valueMask

    // SAFETY: `entries` has 2 * OpcodeMap.count * 256 elements, the second half for 64-bit code. `nodes` has
    // `nodeCapacity`; a node is a word with the shift in bits 7…0 and the mask in bits 15…8, then mask + 1 entries.
    // Freed by the owner.
    let entries: UnsafeMutablePointer<UInt16>
    private(set) var nodes: UnsafeMutablePointer<UInt16>
    private(set) var nodeCount = 0
    private var nodeCapacity = 4096
    private static let slots = X86Row.OpcodeMap.count * 256

    /// - Parameter isPresent: whether the processor has a row.
    init(_ rows: UnsafeBufferPointer<X86Row>, isPresent: (borrowing X86Row) -> Bool) {
        entries = .allocate(capacity: 2 * Self.slots)
        entries.initialize(repeating: Self.undefined, count: 2 * Self.slots)
        nodes = .allocate(capacity: nodeCapacity)
        // Rows by slot, as lists in the order of the rows: built from behind.
        let none = UInt16.max
        let heads = UnsafeMutablePointer<UInt16>.allocate(capacity: Self.slots)
        heads.initialize(repeating: none, count: Self.slots)
        defer { heads.deallocate() }
        var cells = rows.count
        for row in rows { cells += Int(row.lastOpcode - row.opcode) }
        let list = UnsafeMutablePointer<(row: UInt16, next: UInt16)>.allocate(capacity: cells)
        defer { list.deallocate() }
        var used = 0
        for number in rows.indices.reversed() where isPresent(rows[number]) {
            let first = Int(rows[number].map.rawValue) << 8
            for opcode in rows[number].opcode...rows[number].lastOpcode {
                list[used] = (UInt16(number), heads[first + Int(opcode)])
                heads[first + Int(opcode)] = UInt16(used)
                used += 1
            }
        }
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: 64 * 8) { stack in
            for slot in 0..<Self.slots where heads[slot] != none {
                var shared = true
                for mode in 0..<2 {
                    if mode == 1, shared {
                        entries[Self.slots + slot] = entries[slot]
                        break
                    }
                    var count = 0, hasModRM = false, cell = heads[slot]
                    while cell != none {
                        let number = list[Int(cell)].row
                        if rows[Int(number)].constraint.modes != 3 { shared = false }
                        if rows[Int(number)].constraint.modes >> mode & 1 != 0 {
                            precondition(count < 64, "more rows of one opcode than DecodeTables has room for")
                            stack[count] = number
                            count += 1
                            hasModRM = hasModRM || rows[Int(number)].flags.contains(.modRM)
                        }
                        cell = list[Int(cell)].next
                    }
                    if count == 0 { continue }
                    let entry = build(rows, UnsafeMutableBufferPointer(rebasing: stack[...]), count, dimension: 0)
                    entries[mode * Self.slots + slot] = entry | (hasModRM ? Self.hasModRM : 0)
                }
            }
        }
    }

    func deallocate() {
        entries.deallocate()
        nodes.deallocate()
    }

    /// The entry of an opcode.
    @inline(__always)
    func entry(is64: Bool, map: Int, opcode: UInt8) -> UInt16 {
        entries[(is64 ? Self.slots : 0) + map << 8 + Int(opcode)]
    }

    /// The entry that a node leads to, a row or undefined.
    @inline(__always)
    func resolve(_ entry: UInt16, key: Int) -> UInt16 {
        var entry = entry
        while entry & Self.isNode != 0 {
            let node = nodes + Int(entry & Self.valueMask)
            let selector = Int(node[0])
            entry = node[1 + key >> (selector & 0xFF) & selector >> 8]
        }
        return entry
    }

    /// Values of a property that a row matches.
    @inline(__always)
    private static func values(_ row: borrowing X86Row, _ dimension: Int) -> UInt8 {
        switch dimension {
        case 0: row.constraint.prefixes
        case 1: row.constraint.mods
        case 2: row.constraint.regs
        case 3: row.constraint.rms
        case 4: row.constraint.ws
        default: row.constraint.ls
        }
    }

    /// The entry for the first `count` of `candidates`, all of which match what was looked at before `dimension`.
    private mutating func build(_ rows: UnsafeBufferPointer<X86Row>, _ candidates: UnsafeMutableBufferPointer<UInt16>,
                                _ count: Int, dimension: Int) -> UInt16 {
        if count == 0 { return Self.undefined }
        for dimension in dimension..<DecodeKey.count {
            let (shift, bits) = DecodeKey.property(dimension)
            let every = UInt8(truncatingIfNeeded: 1 << (1 << bits) - 1)
            var isFree = true
            for index in 0..<count where Self.values(rows[Int(candidates[index])], dimension) & every != every {
                isFree = false
            }
            if isFree { continue }
            let node = nodeCount
            nodeCount += 1 + 1 << bits
            grow()
            nodes[node] = UInt16(shift | (1 << bits - 1) << 8)
            let next = UnsafeMutableBufferPointer(rebasing: candidates[count...])
            for value in 0..<1 << bits {
                var matching = 0
                for index in 0..<count where Self.values(rows[Int(candidates[index])], dimension) >> value & 1 != 0 {
                    next[matching] = candidates[index]
                    matching += 1
                }
                let child = build(rows, next, matching, dimension: dimension + 1)
                nodes[node + 1 + value] = child
            }
            return UInt16(node) | Self.isNode
        }
        return candidates[0]
    }

    private mutating func grow() {
        precondition(nodeCount <= Int(Self.valueMask), "more nodes than an entry can name")
        if nodeCount <= nodeCapacity { return }
        let larger = UnsafeMutablePointer<UInt16>.allocate(capacity: nodeCapacity * 2)
        larger.update(from: nodes, count: nodeCapacity)
        nodes.deallocate()
        nodes = larger
        nodeCapacity *= 2
    }
}
