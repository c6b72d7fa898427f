// x87: every instruction is a call of a C function that runs the host's x87 (CHost/x87.h); loads and stores of memory are
// IR around it, so that they fault before anything has changed.
//
// Source: AMD APM volume 5, chapter 2; volume 1, 6.

import IR
import Translator

enum X87 {
    static func join(_ row: LiftTable) {
        arithmetic(row)
        comparisons(row)
        for (name, opcode) in [
            ("fchs", 0xE0), ("fabs", 0xE1), ("ftst", 0xE4), ("fxam", 0xE5), ("fld1", 0xE8), ("fldl2t", 0xE9),
            ("fldl2e", 0xEA), ("fldpi", 0xEB), ("fldlg2", 0xEC), ("fldln2", 0xED), ("fldz", 0xEE), ("f2xm1", 0xF0),
            ("fyl2x", 0xF1), ("fptan", 0xF2), ("fpatan", 0xF3), ("fxtract", 0xF4), ("fprem1", 0xF5), ("fprem", 0xF8),
            ("fyl2xp1", 0xF9), ("fsqrt", 0xFA), ("fsincos", 0xFB), ("frndint", 0xFC), ("fscale", 0xFD), ("fsin", 0xFE),
            ("fcos", 0xFF),
        ] as [(StaticString, Int64)] {
            row(name) { l in l.x87(.x87Unary, X87Request(), l.k(opcode)) }
        }
        loadsAndStores(row)
        moves(row)
        control(row)
    }

    private static func arithmetic(_ row: LiftTable) {
        for (name, popping, integer, operation) in [
            ("fadd", "faddp", "fiadd", 0), ("fmul", "fmulp", "fimul", 1), ("fsub", "fsubp", "fisub", 4),
            ("fsubr", "fsubrp", "fisubr", 5), ("fdiv", "fdivp", "fidiv", 6), ("fdivr", "fdivrp", "fidivr", 7),
        ] as [(StaticString, StaticString, StaticString, Int)] {
            row(name) { $0.x87Arithmetic(operation) }
            row(popping) { $0.x87Arithmetic(operation, pops: 1) }
            row(integer) { $0.x87Arithmetic(operation, isInteger: true) }
        }
        row("fcom") { $0.x87Arithmetic(2) }
        row("fcomp") { $0.x87Arithmetic(3, pops: 1) }
        row("fcompp") { l in l.x87(.x87Arithmetic, X87Request(operation: 3, source: 1, pops: 2)) }
        row("ficom") { $0.x87Arithmetic(2, isInteger: true) }
        row("ficomp") { $0.x87Arithmetic(3, pops: 1, isInteger: true) }
    }

    private static func comparisons(_ row: LiftTable) {
        row("fucom") { l in l.x87(.x87Compare, X87Request(source: Int(l.i.rm & 7)), l.k(0)) }
        row("fucomp") { l in l.x87(.x87Compare, X87Request(source: Int(l.i.rm & 7), pops: 1), l.k(0)) }
        row("fucompp") { l in l.x87(.x87Compare, X87Request(source: 1, pops: 2), l.k(0)) }
        for (name, operation, pops) in [("fcomi", 1, 0), ("fcomip", 1, 1), ("fucomi", 2, 0), ("fucomip", 2, 1)]
            as [(StaticString, Int, Int)] {
            row(name) { l in
                let request = X87Request(operation: operation, source: Int(l.i.rm & 7), pops: pops)
                let bits = l.x87(.x87Compare, request, l.b.flagsToBits(l.flags))
                l.setFlags(l.b.bitsToFlags(bits))
            }
        }
        for (name, condition) in [
            ("fcmovb", .carry), ("fcmovnb", .notCarry), ("fcmove", .zero), ("fcmovne", .notZero), ("fcmovbe", .carryOrZero),
            ("fcmovnbe", .notCarryOrZero), ("fcmovu", .parity), ("fcmovnu", .notParity),
        ] as [(StaticString, FlagCondition)] {
            row(name) { l in
                let holds = l.integer(l.b.testFlags(condition, l.flags), 8)
                l.x87(.x87Move, X87Request(operation: 5, destination: Int(l.i.rm & 7)), holds)
            }
        }
    }

    private static func loadsAndStores(_ row: LiftTable) {
        row("fld") { $0.x87Load() }
        row("fild") { l in
            l.checkPendingX87()
            let size = l.size(0)
            let value = l.loadExtended(l.address(size: size, write: false), size, signed: true)
            l.noteX87Data()
            l.x87(.x87Load, X87Request(operation: 3), value)
        }
        row("fbld") { l in
            let value = l.x87Wide()
            l.x87(.x87LoadBCD, X87Request(), value.low, extra: value.high)
        }
        row("fst") { $0.x87Store(pops: false) }
        row("fstp") { $0.x87Store(pops: true) }
        row("fist") { $0.x87StoreInteger(pops: false) }
        row("fistp") { $0.x87StoreInteger(pops: true) }
        row("fisttp") { $0.x87StoreInteger(pops: true, truncates: true) }
        row("fbstp") { $0.x87Store(operation: 6, size: 10, pops: true) }
    }

    private static func moves(_ row: LiftTable) {
        row("fxch") { l in l.x87(.x87Move, X87Request(operation: 1, destination: Int(l.i.rm & 7))) }
        row("ffree") { l in l.x87(.x87Move, X87Request(operation: 2, destination: Int(l.i.rm & 7))) }
        row("ffreep") { l in l.x87(.x87Move, X87Request(operation: 2, destination: Int(l.i.rm & 7), pops: 1)) }
        row("fincstp") { l in l.x87(.x87Move, X87Request(operation: 3)) }
        row("fdecstp") { l in l.x87(.x87Move, X87Request(operation: 4)) }
        row("fnop") { l in l.x87(.x87Move, X87Request(operation: 6)) }
    }

    private static func control(_ row: LiftTable) {
        row("fldcw") { l in
            l.checkPendingX87()
            let value = l.b.zeroExtend(l.read(0), .i64)
            l.callX87(.x87Control, l.k(0), value)
        }
        row("fnclex") { l in l.callX87(.x87Control, l.k(1)) }
        row("fninit") { l in
            l.callX87(.x87Control, l.k(2))
            l.isMMX = false
        }
        row("fwait") { l in l.checkPendingX87() }
        row("fnstcw") { l in l.write(0, l.b.truncate(l.b.get(X86Global.x87), .i16)) }
        row("fnstsw") { l in
            let status = l.b.binary(.shiftRightUnsigned, l.b.get(X86Global.x87), l.k(16))
            l.write(0, l.b.truncate(status, .i16))
        }
        for name in ["fneni", "fndisi", "fnsetpm"] as [StaticString] { row(name) { _ in } }
    }
}

/// Argument a of the functions of x87.h, without the opcode.
struct X87Request {
    var operation = 0
    var destination = 0
    var source = 0
    var pops = 0
    /// Bits 12:11.
    var format = 0

    var bits: Int64 {
        Int64(operation | destination << 3 | source << 6 | (pops > 0 ? 1 << 9 : 0) | (pops > 1 ? 1 << 10 : 0) | format << 11)
    }
}

extension Lifter {
    /// Calls a function of x87.h. What it may change is read anew afterwards.
    @discardableResult
    func callX87(_ helper: HelperIndex, _ a: ValueID, _ second: ValueID = .none, _ c: ValueID = .none) -> ValueID {
        call(helper, a, second, c)
    }

    /// An instruction without memory operand, or with its value in `operand`; `extra` goes to bits 47:32.
    @discardableResult
    mutating func x87(_ helper: HelperIndex, _ request: X87Request, _ operand: ValueID = .none,
                      extra: ValueID = .none) -> ValueID {
        isMMX = false
        var a = k(request.bits | x87Opcode << 16)
        if extra != .none { a = b.or(a, b.binary(.shiftLeft, extra, k(32))) }
        return callX87(helper, a, operand == .none ? k(0) : operand, nextInstructionPointer)
    }

    /// FOP: the low bits of the opcode, and ModRM.
    private var x87Opcode: Int64 {
        Int64(i.opcode & 7) << 8 | Int64(i.mod) << 6 | Int64(i.reg & 7) << 3 | Int64(i.rm & 7)
    }

    /// FIP: the instruction pointer of this instruction.
    private var nextInstructionPointer: ValueID { instructionPointer(pc) }

    /// FDP: the offset of the memory operand.
    mutating func noteX87Data() { b.set(X86Global.x87Data, effectiveAddress()) }

    // MARK: arithmetic

    mutating func x87Arithmetic(_ operation: Int, pops: Int = 0, isInteger: Bool = false) {
        guard isMemory(0) else {
            // D8: ST(0) is the destination; DC and DE: ST(i), but of comparisons always ST(0).
            let toStack = operand(0).kind == .stack
            let register = Int(i.rm & 7)
            let request = X87Request(operation: operation, destination: toStack ? register : 0,
                                     source: toStack ? 0 : register, pops: pops)
            return _ = x87(.x87Arithmetic, request)
        }
        checkPendingX87()
        let size = size(0)
        let value = loadExtended(address(size: size, write: false), size, signed: false)
        noteX87Data()
        let format = isInteger ? (size == 4 ? 2 : 3) : size == 4 ? 0 : 1
        x87(.x87ArithmeticMemory, X87Request(operation: operation, pops: pops, format: format), value)
    }

    // MARK: loads

    /// FLD of memory or ST(i).
    mutating func x87Load() {
        guard isMemory(0) else {
            return _ = x87(.x87Load, X87Request(operation: 4, source: Int(i.rm & 7)))
        }
        let size = size(0)
        if size == 10 {
            let value = x87Wide()
            return _ = x87(.x87Load, X87Request(operation: 2), value.low, extra: value.high)
        }
        checkPendingX87()
        let value = loadExtended(address(size: size, write: false), size, signed: false)
        noteX87Data()
        x87(.x87Load, X87Request(operation: size == 4 ? 0 : 1), value)
    }

    /// The ten bytes of the memory operand, each part as i64. As everywhere, an unmasked exception that waits comes before
    /// anything that memory may raise.
    mutating func x87Wide() -> (low: ValueID, high: ValueID) {
        checkPendingX87()
        let place = address(size: 10, write: false)
        let low = load(place, 8)
        let high = b.load(place.base, place.displacement &+ 8, memoryFormat(2), .i64)
        noteX87Data()
        return (low, high)
    }

    // MARK: stores

    /// FST and FSTP to memory or ST(i).
    mutating func x87Store(pops: Bool) {
        guard isMemory(0) else {
            let request = X87Request(operation: 0, destination: Int(i.rm & 7), pops: pops ? 1 : 0,
                                     format: i.opcode == 0xD9 ? 1 : 0)
            return _ = x87(.x87Move, request)
        }
        let size = size(0)
        x87Store(operation: size == 4 ? 0 : size == 8 ? 1 : 2, size: size, pops: pops)
    }

    mutating func x87StoreInteger(pops: Bool, truncates: Bool = false) {
        let size = size(0)
        x87Store(operation: size == 2 ? 3 : size == 4 ? 4 : 5, size: size, pops: pops, truncates: truncates)
    }

    /// Computes the value, stores it, and only then lets the state change.
    mutating func x87Store(operation: Int, size: Int, pops: Bool, truncates: Bool = false) {
        isMMX = false
        let request = X87Request(operation: operation, pops: pops ? 1 : 0, format: truncates ? 1 : 0)
        let value = callX87(.x87Store, k(request.bits | x87Opcode << 16), k(address: next), nextInstructionPointer)
        let place = address(size: size, write: true)
        if size == 10 {
            keepWhole(place, 10)
            store(place, 8, value)
            store(place, 2, b.truncate(b.get(X86Global.x87Wide), .i16), plus: 8)
        } else {
            store(place, size, b.truncate(value, Self.type(size)))
        }
        b.set(X86Global.x87, b.get(X86Global.x87Next))
        noteX87Data()
    }
}
