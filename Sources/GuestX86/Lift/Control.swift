// Transfers of control. Far ones, gates and everything that changes privilege are helpers of the system part.
//
// Source: AMD APM volume 3, chapters 3 and 4; AMD processors truncate the target of a near branch with a 16-bit operand
// size in 64-bit code too.

import IR
import Translator

enum Control {
    static func join(_ row: LiftTable) {
        row("jmp", jmp)
        row("jcc") { $0.branch(if: $0.condition) }
        row("call", call)
        row("ret", ret)
        row("loop") { $0.loop(nil) }
        row("loope") { $0.loop(.zero) }
        row("loopne") { $0.loop(.notZero) }
        row("jcxz", jcxz)
        row("jmpf") { $0.farTransfer(.farJump) }
        row("callf") { $0.farTransfer(.farCall) }
        row("retf", retf)
        row("int", int)
        row("int3", int3)
        row("int1", int1)
        row("into", into)
        row("iret", iret)
        row("bound", bound)
        row("syscall", syscall)
        row("sysenter", sysenter)
        row("sysret") { $0.systemTransfer(.systemReturn, $0.k(Int64($0.i.operandSize))) }
        row("sysexit") { $0.systemTransfer(.systemExit, $0.k(Int64($0.i.operandSize))) }
        row("ud0") { $0.undefined() }
        row("ud1") { $0.undefined() }
        row("ud2") { $0.undefined() }
    }

    // MARK: near

    static func jmp(_ l: inout Lifter) {
        if l.operand(0).kind == .relative { return l.jump(to: l.relativeTarget()) }
        l.jump(to: l.b.zeroExtend(l.read(0), .i64))
    }

    static func call(_ l: inout Lifter) {
        let size = Int(l.i.operandSize)
        let target = l.operand(0).kind == .relative ? l.relativeTarget() : l.b.zeroExtend(l.read(0), .i64)
        // The limit of CS is checked before the push.
        let address = l.codeAddress(target)
        l.push(l.b.truncate(l.nextPointer, Lifter.type(size)), size)
        l.jump(checked: address, kind: .call)
    }

    static func ret(_ l: inout Lifter) {
        let size = Int(l.i.operandSize)
        let address = l.codeAddress(l.b.zeroExtend(l.peek(size), .i64), isReturn: true)
        let dropped = l.operand(0).kind == .immediate ? l.i.immediate : 0
        l.moveStackPointer(Int64(size) + dropped)
        l.jump(checked: address, kind: .return)
    }

    /// The counter is that of the address size.
    static func jcxz(_ l: inout Lifter) {
        let size = Int(l.i.addressSize)
        l.branch(if: .equal, l.register(GPR.rcx, size), l.k(0, size))
    }

    // MARK: far

    static func retf(_ l: inout Lifter) {
        let dropped = l.operand(0).kind == .immediate ? l.i.immediate : 0
        l.call(.farReturn, l.k(Int64(l.i.operandSize)), l.k(dropped))
        l.lookup()
    }

    static func iret(_ l: inout Lifter) {
        l.call(.interruptReturn, l.k(Int64(l.i.operandSize)), l.k(address: l.next))
        l.lookup()
    }

    // MARK: software interrupts

    static func int(_ l: inout Lifter) {
        let vector = l.i.immediate & 0xFF
        if l.mode.has(Mode.system) { return l.interrupt(vector, .interrupt) }
        switch vector {
        case 0x80: l.leaveForSystemCall(.interrupt80)
        case 3: l.raise(.exception(Int(ExceptionVector.breakpoint)), l.next)
        case 4: l.raise(.exception(Int(ExceptionVector.overflow)), l.next)
        default:
            // The gate belongs to the kernel: #GP with the vector as a selector of the IDT.
            l.call(.softwareInterrupt, l.k(vector), l.k(address: l.next))
            l.lookup()
        }
    }

    static func int3(_ l: inout Lifter) { l.trap(ExceptionVector.breakpoint, .trap) }

    static func int1(_ l: inout Lifter) { l.trap(ExceptionVector.debug, .debug) }

    static func into(_ l: inout Lifter) {
        l.b.exitIf(.notOverflow, l.flags, target: l.next)
        l.trap(ExceptionVector.overflow, .trap)
    }

    static func bound(_ l: inout Lifter) {
        let size = Int(l.i.operandSize)
        let index = l.read(0)
        let pair = l.address(size: size * 2, write: false)
        let low = l.load(pair, size), high = l.load(pair, size, plus: Int64(size))
        l.raiseIf(.lessSigned, index, low, ExceptionVector.bound)
        l.raiseIf(.lessSigned, high, index, ExceptionVector.bound)
    }

    // MARK: system calls

    static func syscall(_ l: inout Lifter) {
        guard l.mode.has(Mode.system) else { return l.leaveForSystemCall(.syscall) }
        l.systemTransfer(.systemCall, l.k(address: l.next))
    }

    static func sysenter(_ l: inout Lifter) {
        guard l.mode.has(Mode.system) else { return l.leaveForSystemCall(.sysenter) }
        l.systemTransfer(.systemEnter, l.k(address: l.next))
    }
}

/// Which instruction a program's system call was made with: `StateLayout.exitAddress` at `ExitKind.systemCall`.
public enum SystemCallGate: UInt64, Sendable {
    case syscall, interrupt80, sysenter
}

extension Lifter {
    /// Ends the unit in a jump to a linear address that has been checked.
    mutating func jump(checked target: ValueID, kind: JumpKind) {
        if let known = b.constantValue(target) {
            b.jump(UInt64(bitPattern: known), kind: kind, returnAddress: next)
        } else {
            b.jumpIndirect(target, kind: kind, returnAddress: next)
        }
        ended = true
    }

    /// LOOP, LOOPE, LOOPNE: counts down at the address size, no flags; the branch needs ZF as `condition` says.
    mutating func loop(_ condition: FlagCondition?) {
        let size = Int(i.addressSize)
        let count = b.sub(register(GPR.rcx, size), k(1, size)), zero = b.constant(0, .i1)
        guard let condition else {
            if isBeyondLimit { raiseIf(.notEqual, count, k(0, size), ExceptionVector.generalProtection) }
            setRegister(GPR.rcx, size, count)
            return branch(if: .notEqual, count, k(0, size))
        }
        let taken = b.select(nonzero(count), b.testFlags(condition, flags), zero)
        if isBeyondLimit { raiseIf(.notEqual, taken, zero, ExceptionVector.generalProtection) }
        setRegister(GPR.rcx, size, count)
        branch(if: .notEqual, taken, zero)
    }

    /// JMP and CALL with a selector, given in the instruction or in memory.
    mutating func farTransfer(_ helper: HelperIndex) {
        let size = Int(i.operandSize)
        let selector: ValueID, offset: ValueID
        if operand(0).kind == .farPointer {
            selector = k(i.immediate2)
            offset = k(i.immediate)
        } else {
            let pair = address(size: size + 2, write: false)
            offset = b.zeroExtend(load(pair, size), .i64)
            selector = b.zeroExtend(load(pair, 2, plus: Int64(size)), .i64)
        }
        call(helper, b.or(selector, k(Int64(size) << 16)), offset, k(address: next))
        lookup()
    }

    /// SYSCALL and its relatives in a machine.
    mutating func systemTransfer(_ helper: HelperIndex, _ argument: ValueID) {
        call(helper, argument)
        lookup()
    }

    mutating func interrupt(_ vector: Int64, _ kind: InterruptKind) {
        call(.softwareInterrupt, k(vector | Int64(kind.rawValue) << 8), k(address: next))
        lookup()
    }

    /// An exception that reports the next instruction.
    mutating func trap(_ vector: UInt8, _ kind: InterruptKind) {
        if mode.has(Mode.system) { return interrupt(Int64(vector), kind) }
        raise(.exception(Int(vector)), next)
    }

    /// A program's system call; the address reported is that of the instruction.
    mutating func leaveForSystemCall(_ gate: SystemCallGate) {
        call(.programSystemCall, k(Int64(gate.rawValue)))
        raise(.systemCall, pc)
    }
}
