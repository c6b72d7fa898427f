// Joins rows and lift functions by name.

import ISA

/// A lift function as it lies in memory: code and context.
private struct Stored {
    var function: LiftFunction
}

/// A lift function that needs no context, as nothing but its code: calling it costs no reference count, which calling a
/// closure from memory does.
struct LiftCode {
    // SAFETY: a function value is two words, code and context, and only functions without a context get here.
    private let code: UInt

    init(_ function: @escaping LiftFunction) {
        let words = unsafeBitCast(Stored(function: function), to: (UInt, UInt).self)
        precondition(words.1 == 0, "lift functions capture nothing")
        code = words.0
    }

    @inline(__always)
    func callAsFunction(_ lifter: inout Lifter, _ word: Word) {
        unsafeBitCast((code, 0 as UInt), to: Stored.self).function(&lifter, word)
    }
}

/// Lift functions by row number; rows nothing was joined to are illegal instructions.
struct LiftTable {
    let functions: UnsafeMutablePointer<LiftCode>
    private let set: InstructionSet
    private let joined: UnsafeMutablePointer<Bool>

    init(_ set: InstructionSet) {
        self.set = set
        functions = .allocate(capacity: set.noRow + 1)
        functions.initialize(repeating: LiftCode(LiftTable.illegal), count: set.noRow + 1)
        joined = .allocate(capacity: set.noRow + 1)
        joined.initialize(repeating: false, count: set.noRow + 1)
        Integer.join(self)
        MultiplyDivide.join(self)
        Memory.join(self)
        Control.join(self)
        AtomicMemory.join(self)
        BitManipulation.join(self)
        SinglePrecision.join(self)
        DoublePrecision.join(self)
        Compressed.join(self)
        System.join(self)
    }

    func deallocate() {
        functions.deinitialize(count: set.noRow + 1)
        functions.deallocate()
        joined.deallocate()
    }

    /// Gives the row called `name` its meaning.
    func callAsFunction(_ name: StaticString, _ function: @escaping LiftFunction) {
        guard let row = set.row(named: name) else { preconditionFailure("no row is called \(name)") }
        functions[row] = LiftCode(function)
        joined[row] = true
    }

    /// True when the row has a meaning.
    func isJoined(_ row: Int) -> Bool { joined[row] }

    static func illegal(_ l: inout Lifter, _: Word) { l.illegal() }
}
