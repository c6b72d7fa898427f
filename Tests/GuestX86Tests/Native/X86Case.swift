// One experiment: instructions, registers and memory before; and what they look like after.

import Glibc
import GuestX86
import Translator

/// Registers and memory of an experiment, in the form all executors share.
struct X86Registers: Equatable {
    /// RAX RCX RDX RBX RSP RBP RSI RDI R8…R15.
    var general = [UInt64](repeating: 0, count: 16)
    /// EFLAGS: the status flags and DF.
    var flags: UInt32 = 0
    /// Lower and upper halves of YMM0…15, 16 bytes each.
    var xmm = [UInt8](repeating: 0, count: 256)
    var ymmHigh = [UInt8](repeating: 0, count: 256)
    var mxcsr: UInt32 = 0x1F80
    /// x87: control and status word, tags (bit n: Rn is not empty), ST(0)…ST(7) at 16 bytes each.
    var control: UInt16 = 0x37F
    var status: UInt16 = 0
    var tags: UInt8 = 0
    var stack = [UInt8](repeating: 0, count: 128)
}

/// What is executed: the code stands in a page of `int3`, so that it stops behind its last instruction.
struct X86Case {
    var code: [UInt8]
    /// Where in its page the code starts.
    var offset = 0
    var is64 = true
    var before = X86Registers()
    /// Contents of the data region from its start on; the rest is zero.
    var data: [UInt8] = []
}

/// How it ended.
struct X86Outcome {
    var registers = X86Registers()
    /// The exception: vector 3 with the address behind an `int3` when all went well.
    var vector: Int = -1
    var pc: UInt64 = 0
    /// CR2 of a page fault, and whether it was a write; zero otherwise.
    var address: UInt64 = 0
    var isWrite = false
    var data: [UInt8] = []
}

extension X86Outcome {
    /// What differs between the processor's outcome and one of ours, one line each; empty when nothing does.
    /// - Parameter undefined: status flags not looked at.
    func differences(from other: X86Outcome, undefined: UInt32 = 0) -> [String] {
        func hex(_ value: some BinaryInteger) -> String { String(value, radix: 16) }
        var lines: [String] = []
        if vector != other.vector { lines.append("vector \(vector) and \(other.vector)") }
        if pc != other.pc { lines.append("pc \(hex(pc)) and \(hex(other.pc))") }
        // Of a read-modify-write we report the read that comes first, the processor a write.
        if address != other.address || !isWrite && other.isWrite {
            lines.append("fault \(hex(address)) \(isWrite) and \(hex(other.address)) \(other.isWrite)")
        }
        let a = registers, c = other.registers
        for number in 0..<16 where a.general[number] != c.general[number] {
            lines.append("\(X86Harness.names[number]) \(hex(a.general[number])) and \(hex(c.general[number]))")
        }
        if (a.flags ^ c.flags) & ~undefined != 0 { lines.append("flags \(hex(a.flags)) and \(hex(c.flags))") }
        if a.mxcsr != c.mxcsr { lines.append("mxcsr \(hex(a.mxcsr)) and \(hex(c.mxcsr))") }
        for number in 0..<16 where !a.xmm.isSameMemory(c.xmm) || !a.ymmHigh.isSameMemory(c.ymmHigh) {
            func lanes(_ r: X86Registers) -> [UInt8] {
                Array((r.xmm[number * 16..<number * 16 + 16] + r.ymmHigh[number * 16..<number * 16 + 16]).reversed())
            }
            if lanes(a) != lanes(c) {
                func text(_ bytes: [UInt8]) -> String { bytes.map { ($0 < 16 ? "0" : "") + hex($0) }.joined() }
                lines.append("ymm\(number) \(text(lanes(a))) and \(text(lanes(c)))")
            }
        }
        if a.control != c.control { lines.append("x87 control \(hex(a.control)) and \(hex(c.control))") }
        if a.status != c.status { lines.append("x87 status \(hex(a.status)) and \(hex(c.status))") }
        if a.tags != c.tags { lines.append("x87 tags \(hex(a.tags)) and \(hex(c.tags))") }
        for number in 0..<8 where !a.stack.isSameMemory(c.stack) {
            let range = number * 16..<number * 16 + 10
            if a.stack[range] != c.stack[range] {
                lines.append("st\(number) \(a.stack[range].reversed().map(hex)) and \(c.stack[range].reversed().map(hex))")
            }
        }
        if !data.isSameMemory(other.data), let place = zip(data, other.data).enumerated().first(where: { $1.0 != $1.1 })?.offset {
            let end = min(place + 16, data.count, other.data.count)
            lines.append("data+\(hex(place)) \(data[place..<end].map(hex)) and \(other.data[place..<end].map(hex))")
        }
        return lines
    }
}

extension [UInt8] {
    /// Equality at the speed of memcmp, in debug builds too.
    func isSameMemory(_ other: [UInt8]) -> Bool {
        count == other.count && withUnsafeBytes { a in
            other.withUnsafeBytes { c in count == 0 || memcmp(a.baseAddress!, c.baseAddress!, count) == 0 }
        }
    }
}
