// Vector operands: XMM and YMM registers and vectors in memory.
//
// A YMM register is two globals of 128 bits. A legacy instruction writes the lower one only, a VEX instruction of 128 bits
// clears the upper one, one of 256 bits is two operations of 128 bits except where lanes cross.
//
// Source: AMD APM volume 4, 1.3 and 1.5; volume 1, 4.2.

import IR
import Translator

extension Lifter {
    @inline(__always) func xmm(_ number: Int) -> ValueID { b.get(X86Global.xmm(number)) }
    @inline(__always) func ymmHigh(_ number: Int) -> ValueID { b.get(X86Global.ymmHigh(number)) }

    /// All bits zero; one value for the whole unit, so that registers known to hold it are not written again.
    mutating func zeroVector() -> ValueID {
        if zero == .none { zero = b.vector(.zero) }
        return zero
    }

    /// A constant vector.
    func vectorConstant(low: UInt64, high: UInt64) -> ValueID {
        let lower = b.vectorFromInteger(k(Int64(bitPattern: low)))
        return high == 0 ? lower : b.vector(.pinsrq, lower, k(Int64(bitPattern: high)), immediate: 1)
    }

    // MARK: operands

    /// Number of the vector (or MMX) register that is operand `number`.
    func vectorNumber(_ number: Int) -> Int {
        let operand = operand(number)
        return switch operand.kind {
        case .vector, .mmx: Int(i.reg)
        case .vexVector: Int(i.vvvv)
        case .immediateVector: Int(i.immediate2)
        case .fixedVector: Int(operand.number)
        default: Int(i.rm)
        }
    }

    /// 2 when the operand is a whole YMM register or 32 bytes of memory, otherwise 1.
    func halves(_ number: Int) -> Int { size(number) == 32 ? 2 : 1 }

    /// A vector operand: 16 bytes of it from byte 16 · `half` on, or less from memory with zeros above.
    mutating func readVector(_ number: Int, half: Int = 0) -> ValueID {
        guard isMemory(number) else {
            let register = vectorNumber(number)
            return half == 0 ? xmm(register) : ymmHigh(register)
        }
        let size = size(number)
        let address = vectorAddress(size: size, write: false)
        switch size {
        case 1, 2: return b.vectorFromInteger(loadExtended(address, size, signed: false, .i32))
        case 4, 8: return b.load(address.base, address.displacement, Self.format(size), .v128)
        default:
            return loadVector(address, aligned: size == 16 && isAligned, plus: Int64(16 * half))
        }
    }

    /// Whether the row demands an aligned memory operand.
    var isAligned: Bool { row.pointee.flags.contains(.aligned) }

    /// Address of a vector in memory; 32 bytes that must be aligned are checked here.
    mutating func vectorAddress(size: Int, write: Bool) -> X86Address {
        let isNew = memoryOperand == nil
        let address = address(size: size, write: write)
        if isNew && size == 32 && isAligned {
            raiseIf(.notEqual, b.and(value(address), k(31)), k(0), ExceptionVector.generalProtection)
        }
        return address
    }

    /// Writes an XMM register as a result: a VEX instruction clears the upper half.
    mutating func setVector(_ register: Int, _ value: ValueID) {
        b.set(X86Global.xmm(register), value)
        if i.isVEX { b.set(X86Global.ymmHigh(register), zeroVector()) }
    }

    /// Writes both halves of a YMM register.
    func setVector(_ register: Int, _ low: ValueID, _ high: ValueID) {
        b.set(X86Global.xmm(register), low)
        b.set(X86Global.ymmHigh(register), high)
    }

    /// Writes a vector operand of 16 bytes (or the low 4 or 8 of them to memory), or of 32.
    mutating func writeVector(_ number: Int, _ low: ValueID, _ high: ValueID = .none) {
        guard isMemory(number) else {
            if high == .none { return setVector(vectorNumber(number), low) }
            return setVector(vectorNumber(number), low, high)
        }
        let size = size(number)
        let address = vectorAddress(size: size, write: true)
        if high == .none {
            b.store(address.base, address.displacement, low, Self.format(size, aligned: size == 16 && isAligned))
        } else {
            storeWide(address, low, high)
        }
    }

    /// 32 bytes.
    func storeWide(_ address: X86Address, _ low: ValueID, _ high: ValueID) {
        keepWhole(address, 32)
        storeVector(address, low, aligned: false)
        storeVector(address, high, aligned: false, plus: 16)
    }

    /// Result in a vector operand from one operation for each half.
    mutating func eachHalf(_ operation: (inout Lifter, Int) -> ValueID) {
        if halves(0) == 1 { return writeVector(0, operation(&self, 0)) }
        let low = operation(&self, 0), high = operation(&self, 1)
        writeVector(0, low, high)
    }
}
