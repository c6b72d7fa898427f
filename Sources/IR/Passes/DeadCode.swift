// Backward liveness in one pass: removes register writes that are overwritten before anything could see them, and values
// nobody uses; counts the uses of the rest for the code generator.

/// Removes dead register writes and dead values, and fills `unit.uses` and `unit.isLooping`.
public enum DeadCode {
    /// What the pass does with an opcode.
    private enum Class {
        static let plain: UInt8 = 0, effect: UInt8 = 1, barrier: UInt8 = 2, exit: UInt8 = 3, instruction: UInt8 = 4
        static let set: UInt8 = 5, get: UInt8 = 6, dead: UInt8 = 7, access: UInt8 = 8, vector: UInt8 = 9, block: UInt8 = 10
    }

    /// The class of every opcode, by raw value. SAFETY: written once, never freed.
    nonisolated(unsafe) private static let classes: UnsafePointer<UInt8> = {
        let table = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
        table.initialize(repeating: Class.plain, count: 256)
        for opcode in Opcode.allCases {
            table[Int(opcode.rawValue)] = switch opcode {
            case .dead: Class.dead
            case .set: Class.set
            case .get: Class.get
            case .instruction: Class.instruction
            case .block: Class.block
            case .jump, .exitIf, .exitIfFlags: Class.exit
            case .vector: Class.vector
            default: opcode.onlyFaults ? Class.access : opcode.isBarrier ? Class.barrier : opcode.hasEffect ? Class.effect : Class.plain
            }
        }
        return UnsafePointer(table)
    }()

    /// As below, with no global pinned.
    public static func eliminate(_ unit: Unit, globalCount: Int) {
        withUnsafeTemporaryAllocation(of: Bool.self, capacity: max(1, globalCount)) { none in
            none.initialize(repeating: false)
            if let base = none.baseAddress { eliminate(unit, globalCount: globalCount, pinned: base) }
        }
    }

    /// In `uses` of a `set` of the flags: it is seen by a read or by whatever ends the unit. Any other value is the last
    /// operation before it is overwritten that may leave the unit with it: a memory access by a fault, or a side exit. The
    /// same is said of the flags on entry to a block in `uses` of the `block`.
    public static let alwaysObserved = UInt16.max

    /// - Parameters:
    ///   - globalCount: how many globals the front has; at most 256.
    ///   - pinned: for each global, whether writing it is free (it lives in a host register).
    public static func eliminate(_ unit: Unit, globalCount: Int, pinned: UnsafePointer<Bool>) {
        if unit.isCounted { return sweep(unit, pinned: pinned) }
        let instructions = unit.instructions, uses = unit.uses, classes = classes
        uses.update(repeating: 0, count: unit.count)
        // The least target of the exits of the instruction that the pass is in.
        var target = UInt64.max, isCall = false
        var isLooping = false
        var loopTarget = UInt64.max
        // overwritten[g] = generation in which a later write with no barrier between was seen.
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: max(1, globalCount)) { overwritten in
            overwritten.initialize(repeating: 0)
            var generation: UInt32 = 1
            // Whether a later write of the flags is certain unless a memory access faults, and the last such access.
            var flagsOverwritten = false, flagsObserver = UInt16(0)
            var index = unit.count - 1
            while index >= 0 {
                let instruction = instructions + index
                defer { index -= 1 }
                switch classes[Int(instruction.pointee.opcode.rawValue)] {
                case Class.dead: continue
                case Class.instruction:
                    if target <= UInt64(bitPattern: instruction.pointee.imm) {
                        isLooping = true
                        if !isCall { loopTarget = target }
                    }
                    target = .max
                    isCall = false
                    continue
                case Class.block:
                    uses[index] = flagsOverwritten ? flagsObserver : Self.alwaysObserved
                    generation &+= 1
                    flagsOverwritten = false
                    flagsObserver = 0
                    continue
                case Class.set where instruction.pointee.type == .flags:
                    if flagsOverwritten && flagsObserver == 0 {
                        instruction.pointee.opcode = .dead
                        continue
                    }
                    uses[index] = flagsOverwritten ? flagsObserver : Self.alwaysObserved
                    flagsOverwritten = true
                    flagsObserver = 0
                case Class.set:
                    let global = Int(instruction.pointee.imm)
                    if overwritten[global] == generation {
                        // Nobody sees this write. But if the value is used later, the guest's own choice of register
                        // is the best place to keep it, as long as the register costs nothing to write.
                        var kept = instruction.pointee.a
                        if uses[Int(kept)] == 0 {
                            let source = instructions[Int(kept)]
                            if source.opcode == .signExtend, source.type == .i64 { kept = source.a }
                        }
                        if pinned[global], uses[Int(kept)] > 0, instructions[Int(kept)].opcode != .constant {
                            instruction.pointee.a = kept
                            uses[Int(kept)] &+= 1
                        } else {
                            instruction.pointee.opcode = .dead
                        }
                        continue
                    }
                    overwritten[global] = generation
                case Class.get:
                    if uses[index] == 0 {
                        instruction.pointee.opcode = .dead
                    } else {
                        overwritten[Int(instruction.pointee.imm)] = 0
                        if instruction.pointee.type == .flags { flagsOverwritten = false }
                    }
                    continue
                case Class.plain:
                    if uses[index] == 0 {
                        instruction.pointee.opcode = .dead
                        continue
                    }
                case Class.vector:
                    if unit.trapsFloats, instruction.pointee.hasEffect {
                        generation &+= 1
                        if flagsObserver == 0 {
                            flagsObserver = UInt16(truncatingIfNeeded: min(index, Int(Self.alwaysObserved) - 1))
                        }
                    } else if uses[index] == 0, !instruction.pointee.hasEffect {
                        instruction.pointee.opcode = .dead
                        continue
                    }
                case Class.access:
                    generation &+= 1
                    if flagsObserver == 0 {
                        flagsObserver = UInt16(truncatingIfNeeded: min(index, Int(Self.alwaysObserved) - 1))
                    }
                case Class.exit:
                    generation &+= 1
                    let address = UInt64(bitPattern: instruction.pointee.imm)
                    target = min(target, address)
                    let endsFlags = unit.block(at: address) >= 0 && replacesFlags(unit, unit.block(at: address))
                    if instruction.pointee.opcode == .jump {
                        isCall = instruction.pointee.aux == JumpKind.call.rawValue
                        flagsOverwritten = endsFlags && !isCall
                        flagsObserver = 0
                    } else if !endsFlags, flagsObserver == 0 {
                        flagsObserver = UInt16(truncatingIfNeeded: min(index, Int(Self.alwaysObserved) - 1))
                    }
                case Class.barrier:
                    generation &+= 1
                    flagsOverwritten = false
                    if instruction.pointee.opcode == .jumpIndirect { isLooping = true }
                default: break
                }
                if instruction.pointee.a != .none { uses[Int(instruction.pointee.a)] &+= 1 }
                if instruction.pointee.b != .none { uses[Int(instruction.pointee.b)] &+= 1 }
                if instruction.pointee.c != .none { uses[Int(instruction.pointee.c)] &+= 1 }
            }
        }
        unit.isLooping = isLooping || target <= unit.start
        unit.loopTarget = loopTarget
    }

    /// Whether a block writes the flags before anything can see those it was entered with.
    private static func replacesFlags(_ unit: Unit, _ block: Int) -> Bool {
        var index = unit.blocks[block].index + 1
        while index < unit.count {
            let instruction = unit.instructions[index]
            switch instruction.opcode {
            case .set where instruction.type == .flags: return true
            case .get where instruction.type == .flags: return false
            case .block: return false
            default:
                if instruction.opcode.isBarrier || unit.onlyFaults(instruction) { return false }
            }
            index += 1
        }
        return false
    }
}
