// PUSH, POP, ENTER, LEAVE and their relatives. The stack pointer changes only behind the last access that can fault.
//
// Source: AMD APM volume 3, chapter 3.

import IR
import Translator

enum StackOperations {
    static func join(_ row: LiftTable) {
        row("push", push)
        row("pop", pop)
        row("pusha", pusha)
        row("popa", popa)
        row("enter", enter)
        row("leave", leave)
    }

    static func push(_ l: inout Lifter) {
        let size = Int(l.i.operandSize)
        if l.operand(0).kind == .fixedSegment {
            let selector = l.b.truncate(l.call(.readSelector, l.k(Int64(l.operand(0).number))), .i16)
            return l.push(l.b.zeroExtend(selector, Lifter.type(size)), size)
        }
        l.push(l.read(0, size), size)
    }

    static func pop(_ l: inout Lifter) {
        let size = Int(l.i.operandSize)
        if l.operand(0).kind == .fixedSegment {
            let selector = l.b.truncate(l.peek(size), .i16)
            let segment = Segment(rawValue: Int(l.operand(0).number)) ?? .ds
            l.loadSegment(segment, selector)
            l.moveStackPointer(Int64(size))
            return l.lookup()
        }
        let value = l.peek(size)
        guard l.isMemory(0) else {
            l.moveStackPointer(Int64(size))
            return l.setRegister(Int(l.i.rm), size, value)
        }
        // The address is computed with the stack pointer as it is afterwards, which a fault of the store takes back.
        if l.i.base == GPR.rsp { l.i.displacement &+= Int64(size) }
        l.write(0, value, size)
        l.moveStackPointer(Int64(size))
    }

    /// The stack pointer pushed is the one before the first push.
    static func pusha(_ l: inout Lifter) {
        let size = Int(l.i.operandSize)
        for number in 0..<8 {
            let place = l.stackAddress(-Int64(size * (number + 1)), size: size, write: true)
            l.store(place, size, l.register(number, size))
        }
        l.moveStackPointer(-Int64(size * 8))
    }

    /// The stack pointer's image is skipped.
    static func popa(_ l: inout Lifter) {
        let size = Int(l.i.operandSize)
        var values = [8 of ValueID](repeating: .none)
        for number in 0..<8 where number != GPR.rsp { values[number] = l.peek(size, offset: Int64(size * (7 - number))) }
        for number in 0..<8 where number != GPR.rsp { l.setRegister(number, size, values[number]) }
        l.moveStackPointer(Int64(size * 8))
    }

    /// Level 0 makes a frame; deeper levels copy the frame pointers of the enclosing procedures first.
    static func enter(_ l: inout Lifter) {
        let size = Int(l.i.operandSize), step = Int64(size)
        let level = l.i.immediate2 & 31, allocation = l.i.immediate
        // With a 16-bit stack only SP moves, whatever is pushed.
        let moved = l.b.add(l.register(GPR.rsp), l.k(-step))
        let frame = l.stackSize == 2 ? l.b.deposit(l.register(GPR.rsp), l.b.truncate(moved, .i16)) : moved
        l.store(l.stackAddress(-step, size: size, write: true), size, l.register(GPR.rbp, size))
        var pushed: Int64 = 1
        if level > 0 {
            for depth in 1..<max(level, 1) where depth < level {
                let place = l.truncated(l.b.add(l.register(GPR.rbp), l.k(-step * depth)), l.stackSize)
                let value = l.load(l.linear(.ss, place, size: size, write: false), size)
                pushed += 1
                l.store(l.stackAddress(-step * pushed, size: size, write: true), size, value)
            }
            pushed += 1
            l.store(l.stackAddress(-step * pushed, size: size, write: true), size, l.b.truncate(frame, Lifter.type(size)))
        }
        l.moveStackPointer(-step * pushed - allocation)
        // rBP gets the frame at the operand's size.
        l.setRegister(GPR.rbp, size, l.b.truncate(frame, Lifter.type(size)))
    }

    static func leave(_ l: inout Lifter) {
        let size = Int(l.i.operandSize), width = l.stackSize
        let frame = l.truncated(l.register(GPR.rbp), width)
        let value = l.load(l.linear(.ss, frame, size: size, write: false), size)
        let top = l.b.truncate(l.b.add(frame, l.k(Int64(size))), Lifter.type(width))
        l.setRegister(GPR.rsp, width, top)
        l.setRegister(GPR.rbp, size, value)
    }
}
