// Vector instructions whose row says all there is to say: operands in, operation of the same name, operand out.

import IR
import Translator

enum VectorGeneric {
    /// Joins each vector operation to the rows of its name, with and without a v in front. What needs more is joined again
    /// by the other files.
    static func join(_ row: LiftTable) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { name in
            VectorTable.forEachName { operation, text in
                let function: LiftFunction
                switch operation.signature.form {
                case .rm: function = { $0.unaryVector(operation) }
                case .rvm: function = { $0.binaryVector(operation) }
                case .rmf: function = { $0.vectorFlags(operation) }
                case .sha where operation.signature.c == .void: function = { $0.binaryVector(operation) }
                default: return
                }
                row.optional(text, function)
                name[0] = UInt8(ascii: "v")
                for index in text.indices { name[index + 1] = text[index] }
                row.optional(UnsafeBufferPointer(rebasing: name[0..<text.count + 1]), function)
            }
        }
    }
}

extension Lifter {
    /// The immediate byte of an operation, if it has one.
    func vectorImmediate(_ operation: VectorOperation) -> UInt8 {
        operation.signature.hasImmediate ? UInt8(truncatingIfNeeded: i.immediate) : 0
    }

    /// destination = operation(source).
    mutating func unaryVector(_ operation: VectorOperation) {
        if operand(0).kind == .mmx { return unaryMMX(operation) }
        let immediate = vectorImmediate(operation)
        eachHalf { l, half in l.b.vector(operation, l.readVector(1, half: half), immediate: immediate) }
    }

    /// destination = operation(destination, source), or of two sources with VEX. A count of 16 bytes serves both halves.
    mutating func binaryVector(_ operation: VectorOperation) {
        if operand(0).kind == .mmx { return binaryMMX(operation) }
        let immediate = vectorImmediate(operation)
        let first = i.isVEX ? 1 : 0
        let isCommon = size(first + 1) == 16
        if isZeroing(operation, first) { return clearVector() }
        eachHalf { l, half in
            let right = l.readVector(first + 1, half: isCommon ? 0 : half)
            return l.b.vector(operation, l.readVector(first, half: half), right, immediate: immediate)
        }
    }

    /// x ^ x, x - x: the idioms for zero.
    private func isZeroing(_ operation: VectorOperation, _ first: Int) -> Bool {
        switch operation {
        case .pxor, .xorps, .psubb, .psubw, .psubd, .psubq:
            return !isMemory(first + 1) && vectorNumber(first) == vectorNumber(first + 1)
        default: return false
        }
    }

    /// Operand 0, a register, becomes zero.
    private mutating func clearVector() {
        let zero = zeroVector()
        if halves(0) == 1 { setVector(vectorNumber(0), zero) } else { setVector(vectorNumber(0), zero, zero) }
    }

    /// Flags from two operands; of two halves each condition must hold for both.
    mutating func vectorFlags(_ operation: VectorOperation) {
        let low = b.vector(operation, readVector(0), readVector(1))
        guard halves(0) == 2 else { return setFlags(low) }
        // PTEST and VTESTPS: ZF and CF say that no bit was found.
        let high = b.vector(operation, readVector(0, half: 1), readVector(1, half: 1))
        setFlags(b.bitsToFlags(b.and(b.flagsToBits(low), b.flagsToBits(high))))
    }
}
