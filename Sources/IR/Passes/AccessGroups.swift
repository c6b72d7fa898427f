// Loads and stores off one base with constant displacements, which an executor with a soft TLB may check together.
//
// A group ends with its block and at what may change translations or is seen by others in order: helper calls, fences,
// atomic operations. A store joins loads only when nothing can leave the unit between them: what a unit writes on one
// path only must not decide how its loads are checked.

/// The groups of one unit. Works in memory of its own that is used again.
public final class AccessGroups {
    /// Accesses to one small range of bytes.
    public struct Group: Equatable, BitwiseCopyable, Sendable {
        /// Number of the first access, and how many there are.
        public var leader: Int
        public var count: Int
        /// The first byte of the range counted from the leader's first byte, 0 or less, and the bytes of the range.
        public var low: Int
        public var span: Int
        /// A member is a store, so the range must be writable.
        public var isWrite: Bool
        /// An operation without a value in front of the leader: its number may name what the members share.
        public var holder: Int
    }

    /// Where a group's range lies, as long as accesses may still join.
    private struct Open: BitwiseCopyable {
        var root: ValueID
        var group: Int
        /// The leader's distance from the root.
        var origin: Int64
        /// Exits of the unit in front of the leader.
        var exits: Int
    }

    /// Ranges are no longer than this, in bytes: long ones often cross a page.
    public static let longest = 256
    private static let openLimit = 6, groupLimit = 64
    private let open: UnsafeMutablePointer<Open>
    private let found: UnsafeMutablePointer<Group>
    private var foundCount = 0
    /// Per operation, the number of its group plus one.
    private var member: UnsafeMutablePointer<UInt8>
    private var capacity = 0

    public init() {
        open = .allocate(capacity: Self.openLimit)
        found = .allocate(capacity: Self.groupLimit)
        member = .allocate(capacity: 1)
    }

    deinit {
        open.deallocate()
        found.deallocate()
        member.deallocate()
    }

    /// The group of an access, if it shares with others; `find` has been called.
    @inline(__always)
    public func group(of access: Int) -> Group? {
        let number = Int(member[access])
        guard number != 0 else { return nil }
        let group = found[number - 1]
        return group.count > 1 ? group : nil
    }

    /// Finds the groups of a unit, behind `DeadCode`.
    public func find(_ unit: Unit) {
        if capacity < unit.count {
            member.deallocate()
            capacity = unit.capacity
            member = .allocate(capacity: capacity)
        }
        member.update(repeating: 0, count: unit.count)
        foundCount = 0
        let instructions = unit.instructions
        var openCount = 0, exits = 0
        for index in 0..<unit.count {
            switch instructions[index].opcode {
            case .load, .store: openCount = join(instructions, index, openCount, exits)
            case .exitIf, .exitIfFlags, .raiseIf: exits += 1
            case .call, .fence, .loadReserved, .storeConditional, .atomic, .compareExchange, .block: openCount = 0
            default: break
            }
        }
    }

    /// Lets an access join a group or start one; returns how many are open then.
    @inline(__always)
    private func join(_ instructions: UnsafeMutablePointer<Instruction>, _ index: Int, _ openCount: Int,
                      _ exits: Int) -> Int {
        let access = instructions[index], isStore = access.opcode == .store
        let size = MemoryFormat(rawValue: access.aux).sizeBytes
        let (root, distance) = Self.place(instructions, access)
        for number in 0..<openCount where open[number].root == root {
            let group = found + open[number].group
            let offset = distance &- open[number].origin
            if offset > -Int64(Self.longest), offset < Int64(Self.longest),
               !isStore || group.pointee.isWrite || open[number].exits == exits {
                let low = min(group.pointee.low, Int(offset))
                let high = max(group.pointee.low + group.pointee.span, Int(offset) + size)
                if high - low <= Self.longest, group.pointee.count > 1 || hold(instructions, group) {
                    group.pointee.low = low
                    group.pointee.span = high - low
                    group.pointee.count += 1
                    if isStore { group.pointee.isWrite = true }
                    member[index] = UInt8(open[number].group + 1)
                    return openCount
                }
            }
            start(index, number, root, distance, size, isStore, exits)
            return openCount
        }
        // The oldest one makes room.
        if openCount == Self.openLimit {
            for number in 1..<openCount { open[number - 1] = open[number] }
        }
        let number = min(openCount, Self.openLimit - 1)
        return start(index, number, root, distance, size, isStore, exits) ? number + 1 : openCount
    }

    /// Starts a group in a place of `open`.
    @discardableResult
    private func start(_ index: Int, _ number: Int, _ root: ValueID, _ distance: Int64, _ size: Int, _ isStore: Bool,
                       _ exits: Int) -> Bool {
        guard foundCount < Self.groupLimit else { return false }
        (found + foundCount).initialize(to: Group(leader: index, count: 1, low: 0, span: size, isWrite: isStore, holder: -1))
        (open + number).initialize(to: Open(root: root, group: foundCount, origin: distance, exits: exits))
        foundCount += 1
        member[index] = UInt8(foundCount)
        return true
    }

    /// Finds the operation whose number a group may use; false when there is none.
    private func hold(_ instructions: UnsafeMutablePointer<Instruction>, _ group: UnsafeMutablePointer<Group>) -> Bool {
        var index = group.pointee.leader - 1
        let last = max(0, index - 24)
        while index >= last {
            let instruction = instructions[index]
            if instruction.opcode == .instruction || instruction.opcode == .dead && !instruction.type.inVectorRegister,
               !(0..<foundCount).contains(where: { found[$0].holder == index }) {
                group.pointee.holder = index
                return true
            }
            index -= 1
        }
        return false
    }

    /// An address as a value and a distance from it. Below a zero extension sums wrap around at 32 bits, which is the end of
    /// a page, so within one page they are as good as sums of 64 bits; the value is marked then, for as 64 bits it may be
    /// another.
    @inline(__always)
    private static func place(_ instructions: UnsafeMutablePointer<Instruction>, _ access: Instruction) -> (ValueID, Int64) {
        var root = access.a, distance = access.imm, mark: ValueID = 0
        for _ in 0..<16 {
            let instruction = instructions[Int(root)]
            switch instruction.opcode {
            case .add where instruction.type.bits >= 32 && instructions[Int(instruction.b)].opcode == .constant:
                distance &+= instructions[Int(instruction.b)].imm
            case .zeroExtend where instruction.type == .i64 && instructions[Int(instruction.a)].type == .i32 && distance == 0:
                mark = 1 << 31
            case .truncate where instruction.type == .i32 && mark != 0: break
            default: return (root | mark, distance)
            }
            root = instruction.a
        }
        return (root | mark, distance)
    }
}
