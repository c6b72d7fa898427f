// Joins rows and lift functions by name.

import IR

/// A lift function as it lies in memory: code and context.
private struct Stored {
    var function: LiftFunction
}

/// Lift functions by row number; rows nothing was joined to are undefined opcodes.
struct LiftTable {
    let rows: UnsafePointer<X86Row>
    private let count: Int
    private let functions: UnsafeMutablePointer<LiftFunction>
    /// The code of the functions that need no context, else 0: calling them costs no reference count, which calling a closure
    /// from memory does. SAFETY: a function value is two words, code and context.
    private let codes: UnsafeMutablePointer<UInt>
    private let checks: UnsafeMutablePointer<LiftCheck>
    private let joined: UnsafeMutablePointer<Bool>

    init() {
        let all = InstructionTable.rows
        guard let first = all.baseAddress else { preconditionFailure("the instruction set has no rows") }
        rows = first
        count = all.count + 1
        functions = .allocate(capacity: count)
        functions.initialize(repeating: { $0.undefined() }, count: count)
        codes = .allocate(capacity: count)
        codes.initialize(repeating: 0, count: count)
        checks = .allocate(capacity: count)
        checks.initialize(repeating: [], count: count)
        joined = .allocate(capacity: count)
        joined.initialize(repeating: false, count: count)
        for row in all.indices { checks[row] = LiftCheck(all[row].flags) }
        Move.join(self)
        Arithmetic.join(self)
        Shift.join(self)
        MultiplyDivide.join(self)
        BitOperations.join(self)
        Decimal.join(self)
        StackOperations.join(self)
        FlagOperations.join(self)
        Exchange.join(self)
        Control.join(self)
        StringInstructions.join(self)
        System.join(self)
        VectorGeneric.join(self)
        SSE.join(self)
        SSE4.join(self)
        AVX.join(self)
        AVX2.join(self)
        MMX.join(self)
        X87.join(self)
        StateImages.join(self)
    }

    func deallocate() {
        functions.deinitialize(count: count)
        functions.deallocate()
        checks.deallocate()
        codes.deallocate()
        joined.deallocate()
    }

    private func join(_ row: Int, _ function: @escaping LiftFunction) {
        functions[row] = function
        let words = unsafeBitCast(Stored(function: function), to: (UInt, UInt).self)
        codes[row] = words.1 == 0 ? words.0 : 0
    }

    /// Gives the rows called `name` their meaning.
    func callAsFunction(_ name: StaticString, _ function: @escaping LiftFunction) {
        let found = InstructionTable.forEachRow(named: name) { row in
            joined[row] = true
            join(row, function)
        }
        precondition(found, "no row is called \(name)")
    }

    /// Gives the rows called `name`, if there are any, their meaning.
    func optional(_ name: UnsafeBufferPointer<UInt8>, _ function: @escaping LiftFunction) {
        InstructionTable.forEachRow(named: name) { row in
            joined[row] = true
            join(row, function)
        }
    }

    /// True when the row has a meaning on some processor.
    func isJoined(_ row: Int) -> Bool { joined[row] }

    /// Emits the IR of the instruction decoded into `l.i`.
    @inline(__always)
    func lift(_ l: inout Lifter) {
        let row = Int(l.i.row)
        let check = checks[row]
        guard check.isEmpty || l.passes(check) else { return }
        let code = codes[row]
        if code != 0 { unsafeBitCast((code, 0 as UInt), to: Stored.self).function(&l) } else { functions[row](&l) }
    }
}

/// What must hold of the mode before an instruction is executed at all.
struct LiftCheck: OptionSet {
    let rawValue: UInt8
    static let privileged = LiftCheck(rawValue: 1)
    static let protected = LiftCheck(rawValue: 2)
    static let x87 = LiftCheck(rawValue: 4)
    static let mmx = LiftCheck(rawValue: 8)
    static let sse = LiftCheck(rawValue: 16)
    static let avx = LiftCheck(rawValue: 32)
    static let undefinedOutsideRing0 = LiftCheck(rawValue: 64)

    init(rawValue: UInt8) { self.rawValue = rawValue }

    init(_ flags: X86Row.Flags) {
        var checks: LiftCheck = []
        if flags.contains(.privileged) { checks.insert(.privileged) }
        if flags.contains(.protected) { checks.insert(.protected) }
        if flags.contains(.x87) { checks.insert(.x87) }
        if flags.contains(.mmx) { checks.insert(.mmx) }
        if flags.contains(.sse) { checks.insert(.sse) }
        if flags.contains(.avx) { checks.insert(.avx) }
        if flags.contains(.undefinedOutsideRing0) { checks.insert(.undefinedOutsideRing0) }
        self = checks
    }
}

extension Lifter {
    /// True when the mode allows the instruction; otherwise its exception has been raised and the unit is over.
    mutating func passes(_ check: LiftCheck) -> Bool {
        if check.contains(.protected), !mode.has(Mode.protected) || mode.has(Mode.virtual8086) {
            undefined()
        } else if check.contains(.undefinedOutsideRing0), !mode.has(Mode.system) || mode.privilege != 0 {
            undefined()
        } else if check.contains(.privileged), !mode.has(Mode.system) || mode.privilege != 0 {
            raise(ExceptionVector.generalProtection)
        } else if check.contains(.sse), !mode.has(Mode.sse) {
            undefined()
        } else if check.contains(.avx), !mode.has(Mode.avx) {
            undefined()
        } else if !check.isDisjoint(with: [.sse, .avx]), mode.has(Mode.noSSE) {
            raise(ExceptionVector.deviceNotAvailable)
        } else if check.contains(.mmx), mode.has(Mode.noFPU), !mode.has(Mode.noSSE) {
            // CR0.EM without CR0.TS.
            undefined()
        } else if !check.isDisjoint(with: [.x87, .mmx]), mode.has(Mode.noFPU) {
            raise(ExceptionVector.deviceNotAvailable)
        } else {
            return true
        }
        return false
    }
}
