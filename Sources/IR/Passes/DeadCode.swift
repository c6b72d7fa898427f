// Backward liveness in one pass: removes register writes that are overwritten before anything could see them, and values
// nobody uses; counts the uses of the rest for the code generator.

/// Removes dead register writes and dead values, and fills `unit.uses` and `unit.isLooping`.
public enum DeadCode {
    /// What the pass does with an opcode. Those up to `removable` go when nobody uses their value.
    private enum Class {
        static let plain: UInt8 = 0, get: UInt8 = 1, dead: UInt8 = 2, removable: UInt8 = 2
        static let instruction: UInt8 = 3, set: UInt8 = 4, access: UInt8 = 5, exit: UInt8 = 6, barrier: UInt8 = 7
        static let effect: UInt8 = 8, vector: UInt8 = 9
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

    /// In `uses` of a `set` of the flags: it is seen outside the unit, or by a read. Any other value is the last memory
    /// access whose fault would show it before it is overwritten.
    public static let alwaysObserved = UInt16.max

    /// - Parameters:
    ///   - globalCount: how many globals the front has; at most 256.
    ///   - pinned: for each global, whether writing it is free (it lives in a host register).
    public static func eliminate(_ unit: Unit, globalCount: Int, pinned: UnsafePointer<Bool>) {
        let instructions = unit.instructions, uses = unit.uses, classes = classes
        uses.update(repeating: 0, count: unit.count)
        // The least target of the exits of the instruction that the pass is in.
        var target = UInt64.max
        var isLooping = false
        // overwritten[g] = generation in which a later write with no barrier between was seen.
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: max(1, globalCount)) { overwritten in
            overwritten.initialize(repeating: 0)
            var generation: UInt32 = 1
            // Whether a later write of the flags is certain unless a memory access faults, and the last such access.
            var flagsOverwritten = false, flagsObserver = UInt16(0)
            var next = unit.count
            while next > 0 {
                next &-= 1
                let index = next
                let operation = instructions + index
                let kind = classes[Int(operation.pointee.opcode.rawValue)]
                if kind == Class.instruction {
                    if target != .max {
                        isLooping = isLooping || target <= UInt64(bitPattern: operation.pointee.imm)
                        target = .max
                    }
                    continue
                }
                if kind <= Class.removable {
                    if uses[index] == 0 {
                        operation.pointee.opcode = .dead
                        continue
                    }
                    if kind == Class.get {
                        overwritten[Int(truncatingIfNeeded: operation.pointee.imm)] = 0
                        if operation.pointee.type == .flags { flagsOverwritten = false }
                        continue
                    }
                } else if kind == Class.set {
                    if operation.pointee.type == .flags {
                        if flagsOverwritten && flagsObserver == 0 {
                            operation.pointee.opcode = .dead
                            continue
                        }
                        uses[index] = flagsOverwritten ? flagsObserver : Self.alwaysObserved
                        flagsOverwritten = true
                        flagsObserver = 0
                    } else {
                        let global = Int(truncatingIfNeeded: operation.pointee.imm)
                        if overwritten[global] == generation {
                            removeSet(operation, instructions, uses, isFree: pinned[global])
                            continue
                        }
                        overwritten[global] = generation
                    }
                } else if kind == Class.access {
                    generation &+= 1
                    if flagsObserver == 0 { flagsObserver = observer(index) }
                } else if kind == Class.exit {
                    generation &+= 1
                    flagsOverwritten = false
                    target = min(target, UInt64(bitPattern: operation.pointee.imm))
                } else if kind == Class.barrier {
                    generation &+= 1
                    flagsOverwritten = false
                    if operation.pointee.opcode == .jumpIndirect { isLooping = true }
                } else if kind == Class.vector {
                    if unit.trapsFloats, operation.pointee.hasEffect {
                        generation &+= 1
                        if flagsObserver == 0 { flagsObserver = observer(index) }
                    } else if uses[index] == 0, !operation.pointee.hasEffect {
                        operation.pointee.opcode = .dead
                        continue
                    }
                }
                // Absent operands are counted too, in places of their own: cheaper than a branch that nobody can predict.
                let a = operation.pointee.a, b = operation.pointee.b, c = operation.pointee.c
                uses[a == .none ? -1 : Int(a)] &+= 1
                uses[b == .none ? -2 : Int(b)] &+= 1
                if c != .none { uses[Int(c)] &+= 1 }
            }
        }
        unit.isLooping = isLooping || target <= unit.start
    }
    /// In `uses` of a `set` of the flags: the access at `index` is the last that can show them.
    @inline(__always)
    private static func observer(_ index: Int) -> UInt16 { UInt16(truncatingIfNeeded: min(index, Int(alwaysObserved) - 1)) }

    /// A write that nobody sees. But if the value is used later, the guest's own choice of register is the best place to keep
    /// it, as long as the register costs nothing to write.
    @inline(__always)
    private static func removeSet(_ operation: UnsafeMutablePointer<Instruction>,
                                  _ instructions: UnsafeMutablePointer<Instruction>,
                                  _ uses: UnsafeMutablePointer<UInt16>, isFree: Bool) {
        var kept = Int(operation.pointee.a)
        if uses[kept] == 0 {
            let source = instructions + kept
            if source.pointee.opcode == .signExtend, source.pointee.type == .i64 { kept = Int(source.pointee.a) }
        }
        if isFree, uses[kept] > 0, (instructions + kept).pointee.opcode != .constant {
            operation.pointee.a = ValueID(truncatingIfNeeded: kept)
            uses[kept] &+= 1
        } else {
            operation.pointee.opcode = .dead
        }
    }
}
