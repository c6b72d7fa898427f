// What generated code does not say of an access that has faulted, found out from the instruction's bytes: whether it was the
// read of a read-modify-write, which the processor reports as a write, and whether it went to the stack segment.
//
// Spec: Intel SDM vol. 3 4.7 (W/R of the error code), 6.15 (#SS for non-canonical stack addresses); AMD APM vol. 2 8.2.13,
// 8.2.15; vol. 3, the instructions.

import Translator

/// A data access as the instruction that made it means it.
public struct FaultingAccess: Equatable, Sendable {
    /// The memory operand is read and written.
    public var isReadModifyWrite = false
    /// The address belongs to SS.
    public var isStack = false

    public init() {}
}

extension X86Front {
    /// Instructions whose destination in memory is read before it is written.
    static let readModifyWriteNames: [StaticString] = [
        "add", "or", "adc", "sbb", "and", "sub", "xor", "not", "neg", "inc", "dec", "rol", "ror", "rcl", "rcr", "shl", "shr",
        "sar", "shld", "shrd", "xchg", "xadd", "cmpxchg", "cmpxchg8b", "cmpxchg16b", "bts", "btr", "btc",
    ]
    /// Instructions that reach the stack besides their operand, or only that.
    static let stackNames: [StaticString] = [
        "push", "pop", "pusha", "popa", "pushf", "popf", "enter", "leave", "call", "ret", "callf", "retf", "iret",
    ]

    /// Tells what the instruction at `bytes` had in mind with the access that faulted.
    /// - Parameters:
    ///   - available: bytes of the instruction that can be read, at most 15 are looked at.
    ///   - address: linear address of the access.
    ///   - state: registers as the instruction found them.
    public func faultingAccess(_ bytes: UnsafePointer<UInt8>, available: Int, address: UInt64,
                               _ state: X86State) -> FaultingAccess {
        var i = X86Instruction(), result = FaultingAccess()
        guard decoder.decode(bytes, available: available, codeSize: state.mode.codeSize, into: &i) == .decoded else {
            return result
        }
        let row = Int(i.row), isSegmentSS = i.isMemory && i.defaultSegment == Segment.ss.rawValue
        result.isReadModifyWrite = isIn(row, Self.readModifyWriteNames)
            && (i.isMemory && (InstructionTable.rows[row].operands.0.canBeMemory || isIn(row, ["xchg"])))
        result.isStack = isSegmentSS
        if isIn(row, Self.stackNames) {
            // With an operand in memory there are two accesses; the stack's is near the pointer.
            let distance = Int64(bitPattern: address &- state.register(X86State.rsp)).magnitude
            result.isStack = isSegmentSS || !i.isMemory || distance <= 16
        }
        return result
    }

    private func isIn(_ row: Int, _ names: [StaticString]) -> Bool {
        let name = InstructionTable.rows[row].name
        return names.contains { $0.description == name }
    }
}
