// Instructions on EFLAGS: single bits, LAHF, PUSHF, CLI and the like.
//
// Source: AMD APM volume 3, chapters 3 and 4.

import IR
import Translator

enum FlagOperations {
    static func join(_ row: LiftTable) {
        row("clc") { $0.setFlags($0.b.setCarry($0.b.constant(0, .i1), before: $0.flags)) }
        row("stc") { $0.setFlags($0.b.setCarry($0.b.constant(1, .i1), before: $0.flags)) }
        row("cmc", cmc)
        row("cld") { $0.b.set(X86Global.direction, $0.k(1)) }
        row("std") { $0.b.set(X86Global.direction, $0.k(-1)) }
        row("lahf", lahf)
        row("sahf", sahf)
        row("salc", salc)
        row("pushf", pushf)
        row("popf", popf)
        row("cli", cli)
        row("sti", sti)
    }

    static func cmc(_ l: inout Lifter) {
        let before = l.flags
        l.setFlags(l.b.setCarry(l.b.testFlags(.notCarry, before), before: before))
    }

    static func lahf(_ l: inout Lifter) {
        let bits = l.b.or(l.b.flagsToBits(l.flags), l.k(Int64(EFlags.fixed)))
        l.b.set(GPR.rax, l.b.deposit(l.register(GPR.rax), l.b.truncate(bits, .i8), bit: 8))
    }

    /// Everything but OF.
    static func sahf(_ l: inout Lifter) {
        let loaded = EFlags.status & ~EFlags.of
        let bits = l.b.and(l.b.binary(.shiftRightUnsigned, l.register(GPR.rax), l.k(8)), l.k(Int64(loaded)))
        l.setFlagBits(l.flags, clear: loaded, bits)
    }

    /// AL = CF ? FF : 0.
    static func salc(_ l: inout Lifter) {
        l.setRegister(GPR.rax, 1, l.b.unary(.negate, l.integer(l.b.testFlags(.carry, l.flags), 1)))
    }

    static func pushf(_ l: inout Lifter) {
        let size = Int(l.i.operandSize)
        if l.mode.has(Mode.virtual8086) {
            l.call(.pushFlags, l.k(Int64(size)), l.k(address: l.next))
            return l.endBehindWriting()
        }
        l.push(l.b.truncate(l.eflags(without: EFlags.rf | EFlags.vm), Lifter.type(size)), size)
    }

    static func popf(_ l: inout Lifter) {
        let size = Int(l.i.operandSize)
        l.call(.popFlags, l.b.zeroExtend(l.peek(size), .i64), l.k(Int64(size)), l.k(address: l.next))
    }

    /// CPL 0 may always; virtual-8086 mode runs at CPL 3.
    static func cli(_ l: inout Lifter) {
        guard l.mode.has(Mode.system) else { return l.raise(ExceptionVector.generalProtection) }
        guard l.mode.privilege == 0 else {
            l.call(.clearInterruptFlag, l.k(address: l.next))
            return
        }
        l.b.set(X86Global.eflags, l.b.and(l.b.get(X86Global.eflags), l.b.constant(Int64(~EFlags.interrupt), .i32)))
    }

    static func sti(_ l: inout Lifter) {
        guard l.mode.has(Mode.system) else { return l.raise(ExceptionVector.generalProtection) }
        l.call(.setInterruptFlag, l.k(address: l.next))
    }
}

extension Lifter {
    /// EFLAGS as an i64, some bits left out.
    func eflags(without hidden: UInt32) -> ValueID {
        let system = b.and(b.zeroExtend(b.get(X86Global.eflags), .i64), k(Int64(EFlags.system & ~hidden)))
        let direction = b.and(b.get(X86Global.direction), k(Int64(EFlags.df)))
        return b.or(b.or(b.or(b.flagsToBits(flags), system), direction), k(Int64(EFlags.fixed)))
    }
}
