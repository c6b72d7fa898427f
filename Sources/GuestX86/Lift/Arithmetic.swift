// ADD and its relatives, with LOCK forms. A memory destination is stored before the flags change.
//
// Source: AMD APM volume 3, chapter 3; section 1.2.5 for LOCK.

import IR
import Translator

enum Arithmetic {
    static func join(_ row: LiftTable) {
        row("add") { $0.arithmetic(.add, .add, .add) }
        row("sub") { $0.arithmetic(.sub, .sub, .add) }
        row("and") { $0.bitwise(.and, .and) }
        row("or") { $0.bitwise(.or, .or) }
        row("xor") { $0.bitwise(.xor, .xor) }
        row("adc") { $0.withCarry(.addWithCarry, .addCarry) }
        row("sbb") { $0.withCarry(.subtractWithBorrow, .subtractBorrow) }
        row("cmp", cmp)
        row("test", test)
        row("inc") { $0.step(.add, .increment) }
        row("dec") { $0.step(.sub, .decrement) }
        row("neg", neg)
        row("not", not)
        row("adcx", adcx)
        row("adox", adox)
    }

    static func cmp(_ l: inout Lifter) {
        let a = l.read(0)
        l.setFlags(l.b.flags(.sub, a, l.read(1, l.size(0))))
    }

    static func test(_ l: inout Lifter) {
        let a = l.read(0)
        l.setFlags(l.b.flags(.logic, l.hasOneRegister ? a : l.b.and(a, l.read(1, l.size(0)))))
    }

    static func neg(_ l: inout Lifter) {
        let size = l.size(0), zero = l.k(0, size)
        if l.isLocked {
            let address = l.atomicAddress(size: size)
            let expected = l.load(X86Address(base: address), size)
            l.exchangeOrRetry(address, size, expected: expected, desired: l.b.unary(.negate, expected))
            return l.setFlags(l.b.flags(.sub, zero, expected))
        }
        let old = l.read(0, write: true)
        let value = l.b.unary(.negate, old)
        l.finish(value) { $0.flags(.sub, zero, old) }
    }

    static func not(_ l: inout Lifter) {
        let size = l.size(0)
        if l.isLocked {
            _ = l.atomic(.xor, l.k(-1, size), size)
        } else {
            l.write(0, l.b.unary(.not, l.read(0, write: true)))
        }
    }

    /// ADCX: carry in and out is CF, no other flag changes.
    static func adcx(_ l: inout Lifter) {
        let a = l.read(0), c = l.read(1), before = l.flags
        l.write(0, l.b.withCarry(.addWithCarry, a, c, before))
        let out = l.b.testFlags(.carry, l.b.flags(.addCarry, a, c, before: before))
        l.setFlags(l.b.setCarry(out, before: before))
    }

    /// ADOX: the same with OF.
    static func adox(_ l: inout Lifter) {
        let a = l.read(0), c = l.read(1), before = l.flags
        let carryIn = l.b.setCarry(l.b.testFlags(.overflow, before), before: before)
        l.write(0, l.b.withCarry(.addWithCarry, a, c, carryIn))
        let out = l.b.testFlags(.carry, l.b.flags(.addCarry, a, c, before: carryIn))
        l.setFlagBits(before, clear: EFlags.of, l.bit(out, 11))
    }
}

extension Lifter {
    /// A LOCK prefix on a memory destination.
    @inline(__always) var isLocked: Bool { i.hasLock && i.isMemory }

    /// Whether operands 0 and 1 are the same register: XOR and SUB clear it, TEST and AND look at it.
    var hasOneRegister: Bool {
        let kinds = (operand(0).kind, operand(1).kind)
        let isPair = kinds == (.registerOrMemory, .register) || kinds == (.register, .registerOrMemory)
        return isPair && i.mod == 3 && i.reg == i.rm
    }

    /// Writes operand 0, then the flags. The flags operation stands right behind the value's where the destination is a
    /// register, so that they are made by one instruction, and behind the store otherwise, which would cost the flags.
    mutating func finish(_ value: ValueID, _ flags: (Builder) -> ValueID) {
        if isMemory(0) {
            write(0, value)
            setFlags(flags(b))
        } else {
            let flags = flags(b)
            write(0, value)
            setFlags(flags)
        }
    }

    /// Reads, modifies and writes the memory operand in one step; the old value as the integer of `size` bytes.
    mutating func atomic(_ operation: AtomicOperation, _ operand: ValueID, _ size: Int) -> ValueID {
        let address = atomicAddress(size: size)
        return b.truncate(b.atomic(operation, address, b.zeroExtend(operand, .i64), memoryFormat(size)), Self.type(size))
    }

    /// Replaces `expected` in memory; should another processor have been faster, the instruction starts over.
    func exchangeOrRetry(_ address: ValueID, _ size: Int, expected: ValueID, desired: ValueID) {
        let found = b.compareExchange(address, expected: expected, desired: desired, memoryFormat(size), Self.type(size))
        b.exitIf(.notEqual, found, expected, target: pc)
    }

    /// ADD and SUB.
    mutating func arithmetic(_ opcode: Opcode, _ operation: FlagOperation, _ atomic: AtomicOperation) {
        let size = size(0)
        if isLocked {
            let operand = read(1, size)
            let old = self.atomic(atomic, opcode == .sub ? b.unary(.negate, operand) : operand, size)
            return setFlags(b.flags(operation, old, operand))
        }
        let left = read(0, write: true), right = read(1, size)
        let value = opcode == .sub && hasOneRegister ? k(0, size) : b.binary(opcode, left, right)
        finish(value) { $0.flags(operation, left, right) }
    }

    /// AND, OR and XOR.
    mutating func bitwise(_ opcode: Opcode, _ atomic: AtomicOperation) {
        let size = size(0)
        if isLocked {
            let operand = read(1, size)
            let old = self.atomic(atomic, operand, size)
            return setFlags(b.flags(.logic, b.binary(opcode, old, operand)))
        }
        let left = read(0, write: true), right = read(1, size)
        let value = hasOneRegister ? (opcode == .xor ? k(0, size) : left) : b.binary(opcode, left, right)
        finish(value) { $0.flags(.logic, value) }
    }

    /// ADC and SBB.
    mutating func withCarry(_ opcode: Opcode, _ operation: FlagOperation) {
        let size = size(0), before = flags
        if isLocked {
            let operand = read(1, size)
            let carry = integer(b.testFlags(.carry, before), size)
            let sum = b.add(operand, carry)
            let old = atomic(.add, opcode == .addWithCarry ? sum : b.unary(.negate, sum), size)
            return setFlags(b.flags(operation, old, operand, before: before))
        }
        let left = read(0, write: true), right = read(1, size)
        let value = b.withCarry(opcode, left, right, before)
        finish(value) { $0.flags(operation, left, right, before: before) }
    }

    /// INC and DEC.
    mutating func step(_ opcode: Opcode, _ operation: FlagOperation) {
        let size = size(0), before = flags
        if isLocked {
            let old = atomic(.add, k(opcode == .add ? 1 : -1, size), size)
            return setFlags(b.flags(operation, old, before: before))
        }
        let old = read(0, write: true)
        let value = b.binary(opcode, old, k(1, size))
        finish(value) { $0.flags(operation, old, before: before) }
    }

    // MARK: single flags

    /// An i1 as an i64 with the bit at `position`.
    func bit(_ value: ValueID, _ position: Int) -> ValueID {
        b.binary(.shiftLeft, b.zeroExtend(value, .i64), k(Int64(position)))
    }

    /// Sets the flags to `before` with the bits of `clear` replaced by those of `bits` (i64, EFLAGS positions).
    func setFlagBits(_ before: ValueID, clear: UInt32, _ bits: ValueID) {
        let kept = b.and(b.flagsToBits(before), k(Int64(EFlags.status & ~clear)))
        setFlags(b.bitsToFlags(b.or(kept, bits)))
    }
}
