// Operands of the row: reading and writing them as integers, wherever they are.

import IR
import Translator

extension Lifter {
    /// Operand 0…3 of the row.
    @inline(__always)
    func operand(_ number: Int) -> X86Operand {
        switch number {
        case 0: row.pointee.operands.0
        case 1: row.pointee.operands.1
        case 2: row.pointee.operands.2
        default: row.pointee.operands.3
        }
    }

    /// Width of an operand in bytes.
    @inline(__always)
    func size(_ number: Int) -> Int { operand(number).bytes(i, is64: is64) }

    /// True when the operand is in memory.
    @inline(__always)
    func isMemory(_ number: Int) -> Bool {
        let operand = operand(number)
        return operand.kind == .offset || operand.canBeMemory && i.mod != 3
    }

    /// Number of the general register that is the operand.
    func registerNumber(_ number: Int) -> Int {
        let operand = operand(number)
        return switch operand.kind {
        case .register: Int(i.reg)
        case .vexRegister: Int(i.vvvv)
        case .fixedRegister: Int(operand.number)
        default: Int(i.rm)
        }
    }

    /// An integer operand.
    /// - Parameters:
    ///   - size: bytes to read it as, where that is not its own width: immediates that are extended.
    ///   - write: it is going to be written too, which its address check must know.
    mutating func read(_ number: Int, _ size: Int? = nil, write: Bool = false) -> ValueID {
        let operand = operand(number)
        // No `??`: its closure would copy the lifter.
        let size = if let size { size } else { operand.bytes(i, is64: is64) }
        switch operand.kind {
        case .immediate: return k(i.immediate, size)
        case .immediate2: return k(i.immediate2, size)
        case .one: return k(1, size)
        case .offset: return load(offsetAddress(size: size, write: write), size)
        case .registerOrMemory where i.mod != 3, .memory:
            return load(address(size: size, write: write), size)
        case .fixedRegister: return register(Int(operand.number), size)
        default: return readRegister(registerNumber(number), size)
        }
    }

    /// Writes an integer operand; memory through the address that `read` has used, if it has.
    mutating func write(_ number: Int, _ value: ValueID, _ size: Int? = nil) {
        let operand = operand(number)
        let size = if let size { size } else { operand.bytes(i, is64: is64) }
        switch operand.kind {
        case .offset: store(offsetAddress(size: size, write: true), size, value)
        case .registerOrMemory where i.mod != 3, .memory:
            store(address(size: size, write: true), size, value)
        case .fixedRegister: setRegister(Int(operand.number), size, value)
        default: writeRegister(registerNumber(number), size, value)
        }
    }

    /// Address of an operand that is an offset without ModRM.
    mutating func offsetAddress(size: Int, write: Bool) -> X86Address {
        if let memoryOperand { return memoryOperand }
        let segment = i.segment >= 0 ? Segment(rawValue: Int(i.segment)) ?? .ds : .ds
        let result = linear(segment, k(i.displacement), size: size, write: write)
        memoryOperand = result
        return result
    }

    /// Address of the memory operand for atomic operations.
    mutating func atomicAddress(size: Int) -> ValueID { value(address(size: size, write: true)) }
}
