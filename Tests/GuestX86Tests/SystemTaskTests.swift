// Task switches: 16 and 32 bit, by JMP, CALL, IRET and task gates; what they save, load, mark and refuse.

import Testing
@testable import GuestX86

@Suite struct SystemTaskTests {
    private static let task: UInt16 = 0x80, gate: UInt16 = 0x88, base: UInt64 = 0x6_0000, stack: UInt64 = 0x7_0000

    /// A processor in ring 0 with a second task of 32 or 16 bit.
    private func processor(is32: Bool = true) throws -> Processor {
        let p = try Processor()
        try p.enterProtected()
        p.setDescriptor(Self.task,
                        Processor.descriptor(base: Self.base, limit: is32 ? 0x67 : 0x2B, type: is32 ? 9 : 1, flags: 0))
        if is32 {
            for (offset, value) in [(UInt64(0x20), UInt32(0xA000)), (0x24, 0x202), (0x28, 1), (0x2C, 2), (0x30, 3),
                                    (0x34, 4),
                                    (0x38, UInt32(Self.stack)), (0x3C, 6), (0x40, 7), (0x44, 8),
                                        (0x48, UInt32(Processor.data0)),
                                    (0x4C, UInt32(Processor.code0)), (0x50, UInt32(Processor.data0)),
                                        (0x54, UInt32(Processor.data0)),
                                    (0x60, UInt32(Processor.ldtSelector))] {
                p.store(Self.base + offset, value)
            }
        } else {
            for (offset, value) in [(UInt64(0x0E), UInt16(0xA000)), (0x10, 0x202), (0x12, 1), (0x14, 2), (0x16, 3),
                                    (0x18, 4),
                                    (0x1A, 0x7000), (0x1C, 6), (0x1E, 7), (0x20, 8), (0x22, Processor.data16),
                                    (0x24, Processor.code16), (0x26, Processor.data16), (0x28, Processor.data16),
                                        (0x2A, 0)] {
                p.store(Self.base + offset, value)
            }
        }
        return p
    }

    private func type(_ p: Processor, _ selector: UInt16) -> UInt64 { p.descriptor(selector) >> 40 & 15 }

    @Test(arguments: [false, true])
    func `JMP to a task saves the old one and loads the new one`(_ is32: Bool) throws {
        let p = try processor(is32: is32)
        p.state.setRegister(0, 0x1234_5678)
        p.state.eflags = 0x3
        let pointer = p.state.register(X86State.rsp)
        try p.state.farJump(Self.task, 0, next: Processor.code + 7)
        #expect(p.load(Processor.tss + 0x20, UInt32.self) == UInt32(Processor.code) + 7)
        #expect(p.load(Processor.tss + 0x24, UInt32.self) == 3
                && p.load(Processor.tss + 0x28, UInt32.self) == 0x1234_5678)
        #expect(p.load(Processor.tss + 0x38, UInt32.self) == UInt32(pointer))
        #expect(p.load(Processor.tss + 0x4C, UInt16.self) == Processor.code0)
        #expect(type(p, Processor.tssSelector) == 9 && type(p, Self.task) == (is32 ? 11 : 3))
        #expect(p.state.rip == 0xA000 && p.state.selector(SystemSegment.tr) == Self.task && p.state.cr0 & CR0.ts != 0)
        #expect(p.state.register(0) == (is32 ? 1 : 0xFFFF_0001) && p.state.register(7) & 0xFFFF == 8)
        #expect(p.state.eflags == 0x202 && p.state.mode.codeSize == (is32 ? .bits32 : .bits16))
        #expect(p.state.selector(SystemSegment.ldtr) == (is32 ? Processor.ldtSelector : 0))
    }

    @Test func `CALL nests and IRET comes back`() throws {
        let p = try processor()
        try p.state.farCall(Self.task, 0, size: 4, next: Processor.code + 7)
        #expect(p.load(Self.base, UInt16.self) == Processor.tssSelector && p.state.systemFlags & EFlags.nt != 0)
        #expect(type(p, Processor.tssSelector) == 11 && type(p, Self.task) == 11)
        p.state.pc = 0xA123
        try p.state.interruptReturn(size: 4, next: 0xA124)
        #expect(p.state.selector(SystemSegment.tr) == Processor.tssSelector && p.state.rip == Processor.code + 7)
        #expect(type(p, Processor.tssSelector) == 11 && type(p, Self.task) == 9)
        // The task that returned goes on behind its IRET, with NT clear.
        #expect(p.load(Self.base + 0x20, UInt32.self) == 0xA124
                && p.load(Self.base + 0x24, UInt32.self) & EFlags.nt == 0)
    }

    @Test func `a task gate serves jumps, interrupts and exceptions with their error code`() throws {
        let p = try processor()
        p.setDescriptor(Self.gate, Processor.gate(Self.task, 0, type: 5))
        try p.state.farJump(Self.gate, 0, next: 0)
        #expect(p.state.rip == 0xA000 && p.state.systemFlags & EFlags.nt == 0)
        let q = try processor()
        q.setGate(13, Processor.gate(Self.task, 0, type: 5))
        q.state.deliver(.fault(X86Fault(vector: 13, errorCode: 0x58)))
        #expect(q.state.rip == 0xA000 && q.state.register(X86State.rsp) == Self.stack - 4
                && q.load(Self.stack - 4, UInt32.self) == 0x58)
        #expect(q.load(Processor.tss + 0x20, UInt32.self) == UInt32(Processor.code)
                && q.state.systemFlags & EFlags.nt != 0)
    }

    @Test func `what can be checked before is, and changes nothing`() throws {
        let p = try processor()
        func jump(_ selector: UInt16) -> X86Fault? {
            p.fault { state throws(X86Fault) in try state.farJump(selector, 0, next: 0) }
        }
        let before = p.image
        p.setDescriptor(Self.task, Processor.descriptor(base: Self.base, limit: 0x66, type: 9, flags: 0))
        #expect(jump(Self.task) == selectorFault(10, Self.task))
        p.setDescriptor(Self.task,
                        Processor.descriptor(base: Self.base, limit: 0x67, type: 9, present: false, flags: 0))
        #expect(jump(Self.task) == selectorFault(11, Self.task))
        p.setDescriptor(Self.task, Processor.descriptor(base: Self.base, limit: 0x67, type: 11, flags: 0))
        #expect(jump(Self.task) == selectorFault(13, Self.task))
        #expect(jump(Self.task | 1) == selectorFault(13, Self.task | 1))
        p.setDescriptor(Self.gate, Processor.gate(Self.task | 4, 0, type: 5))
        #expect(jump(Self.gate) == selectorFault(13, Self.task | 4))
        #expect(p.image == before)
        let long = try Processor()
        try long.enterLong()
        long.setDescriptor(Self.task, Processor.descriptor(base: Self.base, limit: 0x67, type: 9, flags: 0))
        #expect(long.fault { state throws(X86Fault) in try state.farJump(Self.task, 0, next: 0) }
                == selectorFault(13, Self.task))
    }

    /// Offset of a field, what is put there, the fault and its selector.
    private static let bad: [(UInt64, UInt16, X86Fault)] = [
        (0x60, 0x08, selectorFault(10, 0x08)), (0x4C, 0, selectorFault(10, 0)),
            (0x4C, Processor.data0, selectorFault(10, Processor.data0)),
        (0x4C, Processor.code3, selectorFault(12, Processor.data0)),
            (0x50, Processor.data3, selectorFault(10, Processor.data3)),
        (0x50, 0, X86Fault(vector: 10)), (0x54, Processor.tssSelector, selectorFault(10, Processor.tssSelector)),
        (0x48, 0xFFF8, selectorFault(10, 0xFFF8)),
    ]

    @Test(arguments: 0..<8)
    func `a bad selector faults in the new task`(_ row: Int) throws {
        var (offset, value, expected) = Self.bad[row]
        // Ring 3 code with a ring 0 stack: the stack is the fault.
        if value == Processor.code3 { expected = selectorFault(10, Processor.data0) }
        let p = try processor()
        // Handlers in a task of their own, since the new one may have no stack.
        let handler: UInt16 = 0x90, base: UInt64 = 0x6_8000
        p.setDescriptor(handler, Processor.descriptor(base: base, limit: 0x67, type: 9, flags: 0))
        for place in 0..<UInt64(0x68) { p.store(base + place, p.load(Self.base + place, UInt8.self)) }
        p.store(base + 0x20, UInt32(0xB000))
        for vector in 10...13 { p.setGate(vector, Processor.gate(handler, 0, type: 5)) }
        p.store(Self.base + offset, value)
        try p.state.farJump(Self.task, 0, next: Processor.code)
        #expect(p.state.rip == 0xB000 && p.load(base, UInt16.self) == Self.task)
        #expect(p.load(Self.stack - 4, UInt32.self) == expected.errorCode)
        #expect(p.load(Self.base + 0x20, UInt32.self) == 0xA000)
    }

    @Test func `a switch into virtual-8086 mode, and the trap bit`() throws {
        let p = try processor()
        p.store(Self.base + 0x24, EFlags.vm | 0x202)
        p.store(Self.base + 0x4C, UInt16(0x1234))
        try p.state.farJump(Self.task, 0, next: 0)
        #expect(p.state.isVirtual8086 && p.state.cpl == 3 && p.state.pc == 0x1_C340)
        let q = try processor()
        q.setGate(1, Processor.gate(Processor.code0, 0x9000, type: 14))
        q.store(Self.base + 0x64, UInt16(1))
        try q.state.farJump(Self.task, 0, next: 0)
        #expect(q.state.rip == 0x9000 && q.state[SystemLayout.dr6] & UInt64(DebugBits.bt) != 0)
        #expect(q.load(q.state.register(X86State.rsp), UInt32.self) == 0xA000)
    }
}
