// Dead code of a straight run that a `Builder` made. The builder has counted the uses, marked the writes of registers that
// are overwritten before anything could see them, and noted who sees the flags; what is left to find is which values die
// with their users. Whatever is used or must stay has a count other than 0, so the counts are looked at four at a time.

extension DeadCode {
    /// 1 for opcodes that may go when nobody uses their value, or sees their write. SAFETY: written once, never freed.
    nonisolated(unsafe) static let removable: UnsafePointer<UInt8> = {
        let table = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
        table.initialize(repeating: 0, count: 256)
        for opcode in Opcode.allCases {
            table[Int(opcode.rawValue)] = switch opcode {
            case .dead: 0
            case .set, .vector: 1
            default: opcode.hasEffect ? 0 : 1
            }
        }
        return UnsafePointer(table)
    }()

    /// As `eliminate`.
    static func sweep(_ unit: Unit, pinned: UnsafePointer<Bool>) {
        unit.isCounted = false
        let instructions = unit.instructions, uses = unit.uses, removable = unit.removable, count = unit.count
        let ones: UInt64 = 0x0001_0001_0001_0001
        // SAFETY: a unit has room for four counts behind its last.
        UnsafeMutableRawPointer(uses + count).storeBytes(of: ones, as: UInt64.self)
        var next = (count &+ 3) & ~3
        while next > 0 {
            if next & 3 == 0 {
                // Whether none of the four counts is 0; one may be taken for 0 that is not, which does no harm.
                let four = UnsafeRawPointer(uses + (next &- 4)).loadUnaligned(as: UInt64.self)
                if (four &- ones) & ~four & (ones << 15) == 0 {
                    next &-= 4
                    continue
                }
            }
            next &-= 1
            let operation = instructions + next
            if uses[next] != 0 || removable[Int(operation.pointee.opcode.rawValue)] == 0 { continue }
            let a = operation.pointee.a, b = operation.pointee.b, c = operation.pointee.c
            if operation.pointee.opcode == .set {
                if operation.pointee.type != .flags, pinned[Int(truncatingIfNeeded: operation.pointee.imm)],
                   keep(next, instructions, uses, count) { continue }
            } else if operation.pointee.opcode == .vector, operation.pointee.hasEffect {
                continue
            }
            operation.pointee.opcode = .dead
            if a != .none { uses[Int(a)] &-= 1 }
            if b != .none { uses[Int(b)] &-= 1 }
            if c != .none { uses[Int(c)] &-= 1 }
        }
    }

    /// Nobody sees this write, which costs nothing. But if the value is used later, the guest's own choice of register is the
    /// best place to keep it.
    /// - Returns: whether it is kept.
    private static func keep(_ index: Int, _ instructions: UnsafeMutablePointer<Instruction>,
                             _ uses: UnsafeMutablePointer<UInt16>, _ count: Int) -> Bool {
        let written = instructions[index].a
        var kept = written
        if uses[Int(kept)] == 1 || !isUsed(kept, instructions, index &+ 1, count) {
            let source = instructions[Int(kept)]
            if source.opcode == .signExtend, source.type == .i64 { kept = source.a }
            if kept == written || uses[Int(kept)] == 1 || !isUsed(kept, instructions, index &+ 1, count) { return false }
        }
        if instructions[Int(kept)].opcode == .constant { return false }
        uses[Int(written)] &-= 1
        uses[Int(kept)] &+= 1
        instructions[index].a = kept
        return true
    }

    /// Whether a living operation from `index` on uses a value.
    private static func isUsed(_ value: ValueID, _ instructions: UnsafeMutablePointer<Instruction>, _ index: Int,
                               _ count: Int) -> Bool {
        var next = index
        while next < count {
            let user = instructions + next
            if user.pointee.a == value || user.pointee.b == value || user.pointee.c == value,
               user.pointee.opcode != .dead { return true }
            next &+= 1
        }
        return false
    }

    /// In `uses` of a `set` of the flags: the access at `index` is the last that can show them.
    @inline(__always)
    static func observer(_ index: Int) -> UInt16 { UInt16(truncatingIfNeeded: min(index, Int(alwaysObserved) - 1)) }
}
