// Joins rows and lift functions by name.

import ISA

/// One entry. It cannot be copied, so that calling the function needs no reference count.
struct LiftRow: ~Copyable {
    var function: LiftFunction
}

/// Lift functions by row number; rows nothing was joined to are illegal instructions.
struct LiftTable {
    let functions: UnsafeMutablePointer<LiftRow>
    private let set: InstructionSet
    private let joined: UnsafeMutablePointer<Bool>

    init(_ set: InstructionSet) {
        self.set = set
        functions = .allocate(capacity: set.noRow + 1)
        for row in 0...set.noRow { (functions + row).initialize(to: LiftRow(function: LiftTable.illegal)) }
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
        functions[row].function = function
        joined[row] = true
    }

    /// True when the row has a meaning.
    func isJoined(_ row: Int) -> Bool { joined[row] }

    static func illegal(_ l: inout Lifter, _: Word) { l.illegal() }
}
