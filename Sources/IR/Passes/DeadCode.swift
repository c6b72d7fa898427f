// Backward liveness in one pass: removes register writes that are overwritten before anything could see them, and values
// nobody uses; counts the uses of the rest for the code generator.

/// Removes dead register writes and dead values, and fills `unit.uses`.
public enum DeadCode {
    /// As below, with no global pinned.
    public static func eliminate(_ unit: Unit, globalCount: Int) {
        withUnsafeTemporaryAllocation(of: Bool.self, capacity: max(1, globalCount)) { none in
            none.initialize(repeating: false)
            if let base = none.baseAddress { eliminate(unit, globalCount: globalCount, pinned: base) }
        }
    }

    /// In `uses` of a `set` of the flags: it is seen outside the unit, or by a read. Any other value is the last memory
    /// access whose fault would show it before it is overwritten.
    public static let alwaysObserved = UInt16.max

    /// - Parameters:
    ///   - globalCount: how many globals the front has; at most 256.
    ///   - pinned: for each global, whether writing it is free (it lives in a host register).
    public static func eliminate(_ unit: Unit, globalCount: Int, pinned: UnsafePointer<Bool>) {
        let instructions = unit.instructions, uses = unit.uses
        uses.update(repeating: 0, count: unit.count)
        // overwritten[g] = generation in which a later write with no barrier between was seen.
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: max(1, globalCount)) { overwritten in
            overwritten.initialize(repeating: 0)
            var generation: UInt32 = 1
            // Whether a later write of the flags is certain unless a memory access faults, and the last such access.
            var flagsOverwritten = false, flagsObserver = UInt16(0)
            var index = unit.count - 1
            while index >= 0 {
                let instruction = instructions[index]
                let opcode = instruction.opcode
                switch opcode {
                case .dead:
                    index -= 1
                    continue
                case .set where instruction.type == .flags:
                    if flagsOverwritten && flagsObserver == 0 {
                        instructions[index].opcode = .dead
                        index -= 1
                        continue
                    }
                    uses[index] = flagsOverwritten ? flagsObserver : Self.alwaysObserved
                    flagsOverwritten = true
                    flagsObserver = 0
                case .set:
                    let global = Int(instruction.imm)
                    if overwritten[global] == generation {
                        // Nobody sees this write. But if the value is used later, the guest's own choice of register
                        // is the best place to keep it, as long as the register costs nothing to write.
                        var kept = instruction.a
                        if uses[Int(kept)] == 0 {
                            let source = instructions[Int(kept)]
                            if source.opcode == .signExtend, source.type == .i64 { kept = source.a }
                        }
                        if pinned[global], uses[Int(kept)] > 0, instructions[Int(kept)].opcode != .constant {
                            instructions[index].a = kept
                            uses[Int(kept)] &+= 1
                        } else {
                            instructions[index].opcode = .dead
                        }
                        index -= 1
                        continue
                    }
                    overwritten[global] = generation
                case .get:
                    if uses[index] == 0 {
                        instructions[index].opcode = .dead
                    } else {
                        overwritten[Int(instruction.imm)] = 0
                        if instruction.type == .flags { flagsOverwritten = false }
                    }
                    index -= 1
                    continue
                default:
                    let onlyFaults = unit.onlyFaults(instruction)
                    if opcode.isBarrier || onlyFaults {
                        generation &+= 1
                        if !onlyFaults {
                            flagsOverwritten = false
                        } else if flagsObserver == 0 {
                            flagsObserver = UInt16(truncatingIfNeeded: min(index, Int(Self.alwaysObserved) - 1))
                        }
                    } else if uses[index] == 0, !instruction.hasEffect {
                        instructions[index].opcode = .dead
                        index -= 1
                        continue
                    }
                }
                if instruction.a != .none { uses[Int(instruction.a)] &+= 1 }
                if instruction.b != .none { uses[Int(instruction.b)] &+= 1 }
                if instruction.c != .none { uses[Int(instruction.c)] &+= 1 }
                index -= 1
            }
        }
    }
}
