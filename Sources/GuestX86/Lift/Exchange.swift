// XCHG, XADD and the compare-and-exchange family.
//
// Source: AMD APM volume 3, chapter 3.

import CHost
import IR
import Translator

enum Exchange {
    static func join(_ row: LiftTable) {
        row("xchg", xchg)
        row("xadd", xadd)
        row("cmpxchg", cmpxchg)
        row("cmpxchg8b", cmpxchg8b)
        row("cmpxchg16b", cmpxchg16b)
    }

    /// With memory always locked.
    static func xchg(_ l: inout Lifter) {
        let size = l.size(0)
        let memory = l.isMemory(0) ? 0 : l.isMemory(1) ? 1 : -1
        if memory >= 0 {
            let other = 1 - memory
            let old = l.atomic(.swap, l.read(other), size)
            return l.write(other, old)
        }
        let a = l.read(0), c = l.read(1)
        l.write(0, c)
        l.write(1, a)
    }

    static func xadd(_ l: inout Lifter) {
        let size = l.size(0), source = l.read(1)
        if l.isLocked {
            let old = l.atomic(.add, source, size)
            l.write(1, old)
            return l.setFlags(l.b.flags(.add, old, source))
        }
        let old = l.read(0, write: true)
        let sum = l.b.add(old, source)
        if l.isMemory(0) {
            l.write(0, sum)
            l.write(1, old)
        } else {
            // The sum wins where both are one register.
            l.write(1, old)
            l.write(0, sum)
        }
        l.setFlags(l.b.flags(.add, old, source))
    }

    /// Memory is written even when it keeps its value, registers only when they change: a 32-bit form that finds a difference
    /// keeps the destination's upper half.
    static func cmpxchg(_ l: inout Lifter) {
        let size = l.size(0)
        let desired = l.read(1), accumulator = l.register(GPR.rax, size), whole = l.register(GPR.rax)
        let old: ValueID
        if l.isLocked {
            old = l.b.compareExchange(l.atomicAddress(size: size), expected: accumulator, desired: desired,
                                      l.memoryFormat(size), Lifter.type(size))
            l.keepOrLoad(l.b.compare(.equal, old, accumulator), whole, size, old)
        } else {
            old = l.read(0, write: true)
            let equal = l.b.compare(.equal, old, accumulator)
            if l.isMemory(0) {
                l.write(0, l.b.select(equal, desired, old))
                l.keepOrLoad(equal, whole, size, old)
            } else {
                let number = size == 1 && l.isHighByte(Int(l.i.rm)) ? Int(l.i.rm) & 3 : Int(l.i.rm)
                let before = l.register(number)
                l.write(0, desired)
                l.b.set(number, l.b.select(equal, l.register(number), before))
                // The accumulator equals itself.
                if Int(l.i.rm) != GPR.rax || size == 1 && l.isHighByte(Int(l.i.rm)) {
                    l.keepOrLoad(equal, l.register(GPR.rax), size, old)
                }
            }
        }
        l.setFlags(l.b.flags(.sub, accumulator, old))
    }

    static func cmpxchg8b(_ l: inout Lifter) {
        let low = l.register(GPR.rax), high = l.register(GPR.rdx)
        let expected = l.pair(high: high, low: low)
        let desired = l.pair(high: l.register(GPR.rcx), low: l.register(GPR.rbx))
        let old = l.b.compareExchange(l.atomicAddress(size: 8), expected: expected, desired: desired, l.memoryFormat(8), .i64)
        let equal = l.b.compare(.equal, old, expected)
        l.b.set(GPR.rax, l.b.select(equal, low, l.truncated(old, 4)))
        l.b.set(GPR.rdx, l.b.select(equal, high, l.b.binary(.shiftRightUnsigned, old, l.k(32))))
        l.setFlagBits(l.flags, clear: EFlags.zf, l.bit(equal, 6))
    }

    /// Misaligned operands raise #GP in the helper.
    static func cmpxchg16b(_ l: inout Lifter) {
        l.call(.compareExchange16, l.atomicAddress(size: 16))
        l.endBehindWriting()
    }
}

extension Lifter {
    /// rAX = equal ? itself : value. Nothing is written when equal, so a 32-bit form keeps the upper half.
    fileprivate func keepOrLoad(_ equal: ValueID, _ whole: ValueID, _ size: Int, _ value: ValueID) {
        let loaded: ValueID = switch size {
        case 8: value
        case 4: b.zeroExtend(value, .i64)
        default: b.deposit(whole, value)
        }
        b.set(GPR.rax, b.select(equal, whole, loaded))
    }

    /// Two 32-bit halves of 64-bit registers as one i64.
    func pair(high: ValueID, low: ValueID) -> ValueID {
        b.or(b.binary(.shiftLeft, high, k(32)), truncated(low, 4))
    }
}

/// CMPXCHG16B on a linear address.
let compareExchange16Helper: HelperFunction = { base, address, _, _ in
    let state = X86State(base)
    guard address & 15 == 0 else {
        state.leave(vector: ExceptionVector.generalProtection)
        return 0
    }
    guard let place = GuestAccess(base).writable(address, size: 16) else { return 0 }
    let expected = (state.register(GPR.rax), state.register(GPR.rdx))
    let desired = (state.register(GPR.rbx), state.register(GPR.rcx))
    var old: (UInt64, UInt64) = (0, 0)
    let failed = withUnsafeBytes(of: expected) { expected in
        withUnsafeBytes(of: desired) { desired in
            withUnsafeMutableBytes(of: &old) { old in
                // SAFETY: three pairs of UInt64 on the stack; the routine survives a fault in a program.
                guise_cmpxchg16(place.host, expected.assumingMemoryBound(to: UInt64.self).baseAddress,
                                desired.assumingMemoryBound(to: UInt64.self).baseAddress,
                                old.assumingMemoryBound(to: UInt64.self).baseAddress)
            }
        }
    }
    if failed != 0 {
        GuestAccess(base).leaveFault(guise_last_fault_address(), isWrite: true)
        return 0
    }
    place.noteWrite?()
    let equal = old == expected
    if !equal {
        state.setRegister(GPR.rax, old.0)
        state.setRegister(GPR.rdx, old.1)
    }
    state.setZF(equal)
    return 0
}
