// Far jumps, calls and returns, call gates, IRET, virtual-8086 mode, fast system calls.

import Testing
@testable import GuestX86

@Suite struct SystemTransferTests {
    private static let slot: UInt16 = 0x80
    private func jump(_ p: Processor, _ selector: UInt16, _ offset: UInt64 = 0x4000) -> X86Fault? {
        p.fault { state throws(X86Fault) in try state.farJump(selector, offset, next: state.pc &+ 7) }
    }

    @Test(arguments: [UInt32(0), 3])
    func `far jumps go to code of the same privilege only`(_ ring: UInt32) throws {
        for type in 0..<UInt64(32) where type >= 16 {
            for dpl in 0..<UInt64(4) {
                for rpl in 0..<UInt16(4) {
                    let p = try Processor()
                    try p.enterProtected(ring: ring)
                    let selector = Self.slot | rpl, isCode = type & 8 != 0, isConforming = type & 4 != 0
                    p.setDescriptor(Self.slot, Processor.descriptor(limit: 0x4000, type: type, dpl: dpl, flags: 4))
                    let isAllowed = isCode && (isConforming ? dpl <= ring : dpl == ring && rpl <= ring)
                    #expect(jump(p, selector) == (isAllowed ? nil : selectorFault(13, selector)))
                    if isAllowed {
                        #expect(p.state.selector(1) == Self.slot | UInt16(ring) && p.state.rip == 0x4000
                                && p.state.cpl == ring)
                        #expect(jump(p, selector, 0x4001) == .generalProtection)
                    }
                }
            }
        }
    }

    @Test func `a jump to nothing faults`() throws {
        let p = try Processor()
        try p.enterProtected()
        let before = p.image
        #expect(jump(p, 0) == .generalProtection && jump(p, 0xFFF8) == selectorFault(13, 0xFFF8))
        p.setDescriptor(Self.slot, Processor.descriptor(type: 0x1A, present: false))
        #expect(jump(p, Self.slot) == selectorFault(11, Self.slot))
        p.setDescriptor(Self.slot, Processor.descriptor(type: 0xB, flags: 0))
        #expect(jump(p, Self.slot) == selectorFault(13, Self.slot))
        #expect(p.image == before)
    }

    @Test func `a far call and return in the same ring`() throws {
        let p = try Processor()
        try p.enterProtected()
        let top = p.state.register(X86State.rsp)
        try p.state.farCall(Processor.code16, 0x1234, size: 4, next: Processor.code + 7)
        #expect(p.state.mode.codeSize == .bits16 && p.state.rip == 0x1234)
        #expect(p.load(top - 4, UInt32.self) == UInt32(Processor.code0)
                && p.load(top - 8, UInt32.self) == UInt32(Processor.code) + 7)
        try p.state.farReturn(size: 4, release: 12)
        #expect(p.state.rip == Processor.code + 7 && p.state.register(X86State.rsp) == top + 12)
        #expect(p.state.mode.codeSize == .bits32)
    }

    @Test func `a call gate changes stacks and copies parameters, the return comes back`() throws {
        let p = try Processor()
        try p.enterProtected(ring: 3)
        p.setDescriptor(Self.slot, Processor.gate(Processor.code0, 0x7777, type: 12, dpl: 3, count: 2))
        p.push32(0x1111)
        p.push32(0x2222)
        let outer = p.state.register(X86State.rsp)
        try p.state.farCall(Self.slot | 3, 0xDEAD, size: 4, next: Processor.code + 7)
        #expect(p.state.cpl == 0 && p.state.rip == 0x7777 && p.state.selector(2) == Processor.data0)
        let inner = p.state.register(X86State.rsp)
        #expect(inner == Processor.stack0 - 24)
        let expected: [UInt32] = [UInt32(Processor.code) + 7, UInt32(Processor.code3), 0x2222, 0x1111, UInt32(outer),
                                  UInt32(Processor.data3)]
        for (index, value) in expected.enumerated() { #expect(p.load(inner + UInt64(index) * 4) == value) }
        try p.state.loadSegment(3, Processor.data0)
        try p.state.farReturn(size: 4, release: 8)
        #expect(p.state.cpl == 3 && p.state.rip == Processor.code + 7 && p.state.register(X86State.rsp) == outer + 8)
        // A segment of ring 0 is not left to ring 3.
        #expect(p.state.segment(.ds).has(SegmentAttributes.null) && p.state.selector(3) == 0)
    }

    @Test func `call gates check privilege, presence and the inner stack`() throws {
        let p = try Processor()
        try p.enterProtected(ring: 3)
        func call() -> X86Fault? {
            p.fault { state throws(X86Fault) in try state.farCall(Self.slot | 3, 0, size: 4, next: 0) }
        }
        let before = p.image
        p.setDescriptor(Self.slot, Processor.gate(Processor.code0, 0x7777, type: 12, dpl: 2))
        #expect(call() == selectorFault(13, Self.slot))
        p.setDescriptor(Self.slot, Processor.gate(Processor.code0, 0x7777, type: 12, dpl: 3, present: false))
        #expect(call() == selectorFault(11, Self.slot))
        p.setDescriptor(Self.slot, Processor.gate(0, 0x7777, type: 12, dpl: 3))
        #expect(call() == .generalProtection)
        p.setDescriptor(Self.slot, Processor.gate(Processor.data0, 0x7777, type: 12, dpl: 3))
        #expect(call() == selectorFault(13, Processor.data0))
        p.setDescriptor(Self.slot, Processor.gate(Processor.code0, 0x7777, type: 12, dpl: 3))
        #expect(jump(p, Self.slot | 3) == selectorFault(13, Processor.code0))
        p.store(Processor.tss + 8, UInt32(Processor.data3))
        #expect(call() == selectorFault(10, Processor.data3))
        p.store(Processor.tss + 8, UInt32(0))
        #expect(call() == X86Fault(vector: 10))
        #expect(p.image == before)
        p.store(Processor.tss + 8, UInt32(Self.slot + 8))
        p.setDescriptor(Self.slot + 8, Processor.descriptor(type: 0x12, present: false))
        #expect(call() == selectorFault(12, Self.slot + 8))
        p.setDescriptor(Self.slot + 8, Processor.descriptor(limit: 8, type: 0x12, flags: 4))
        #expect(call() == selectorFault(12, Self.slot + 8))
    }

    @Test func `a 64-bit call gate`() throws {
        let p = try Processor()
        try p.enterLong(ring: 3)
        p.store(Processor.gdt + UInt64(Self.slot), Processor.gate(Processor.code64, 0x5555_7777, type: 12, dpl: 3))
        p.store(Processor.gdt + UInt64(Self.slot) + 8, UInt64(0xFFFF_8000))
        let outer = p.state.register(X86State.rsp)
        try p.state.farCall(Self.slot | 3, 0, size: 4, next: Processor.code + 7)
        #expect(p.state.pc == 0xFFFF_8000_5555_7777 && p.state.cpl == 0 && p.state.selector(2) == 0)
        #expect(p.state.register(X86State.rsp) == Processor.stack0 - 32 && p.load(Processor.stack0 - 16) == outer)
        try p.state.farReturn(size: 8, release: 0)
        #expect(p.state.cpl == 3 && p.state.pc == Processor.code + 7 && p.state.register(X86State.rsp) == outer)
        // Type bits in the upper half are refused.
        p.store(Processor.gdt + UInt64(Self.slot) + 8, UInt64(0x0100_FFFF_8000))
        #expect(p.fault { state throws(X86Fault) in try state.farCall(Self.slot | 3, 0, size: 4, next: 0) }
                == selectorFault(13, Self.slot))
    }

    @Test func `IRET checks what it pops and touches flags by privilege`() throws {
        let p = try Processor()
        try p.enterProtected(ring: 3)
        let frame: [(UInt32, UInt32, X86Fault?)] = [
            (0, 0x100, .generalProtection), (UInt32(Processor.code0), 0x100, selectorFault(13, Processor.code0)),
            (UInt32(Processor.data3), 0x100, selectorFault(13, Processor.data3)), (UInt32(Processor.code3), 0x100, nil),
        ]
        for (selector, offset, expected) in frame {
            let pointer = p.state.register(X86State.rsp)
            for value in [0x3_7ED7, selector, offset] { p.push32(value) }
            #expect(p.fault { state throws(X86Fault) in try state.interruptReturn(size: 4, next: 0) } == expected)
            p.state.setRegister(X86State.rsp, pointer)
        }
        // IF, IOPL and VM stay at ring 3; the others are loaded.
        #expect(p.state.eflags == 0x4ED7)
    }

    @Test func `a 64-bit IRET pops the stack always and may return to compatibility mode`() throws {
        let p = try Processor()
        try p.enterLong()
        for value in [UInt64(Processor.data3), 0x1_0000_5000, 0x202, UInt64(Processor.code3), 0x1234] {
            p.push64(value)
        }
        try p.state.interruptReturn(size: 8, next: 0)
        #expect(p.state.mode.codeSize == .bits32 && p.state.cpl == 3 && p.state.rip == 0x1234)
        #expect(p.state.register(X86State.rsp) == 0x5000)
        let other = try Processor()
        try other.enterLong()
        for value in [UInt64(0), 0x5000, 0x202, UInt64(Processor.code64), 0x8000_0000_0000] { other.push64(value) }
        #expect(other.fault { state throws(X86Fault) in try state.interruptReturn(size: 8, next: 0) }
                == .generalProtection)
        other.state.systemFlags |= EFlags.nt
        #expect(other.fault { state throws(X86Fault) in try state.interruptReturn(size: 8, next: 0) }
                == .generalProtection)
    }

    @Test func `into virtual-8086 mode and back by an interrupt`() throws {
        let p = try Processor()
        try p.enterProtected()
        p.setGate(13, Processor.gate(Processor.code0, 0x9000, type: 14))
        for value: UInt32 in [0x60, 0x50, 0x40, 0x30, 0x2000, 0xFFF0, EFlags.vm | EFlags.interrupt, 0x1000, 0x123] {
            p.push32(value)
        }
        try p.state.interruptReturn(size: 4, next: 0)
        #expect(p.state.mode.has(Mode.virtual8086) && p.state.cpl == 3 && p.state.pc == 0x10123 && p.state.rip == 0x123)
        #expect(p.state.segment(.ds) == SegmentCache(selector: 0x40, attributes: 0xF3, limit: 0xFFFF, base: 0x400))
        p.state.deliver(.fault(.generalProtection))
        #expect(p.state.cpl == 0 && p.state.rip == 0x9000 && !p.state.isVirtual8086)
        let expected: [UInt32] =
            [0, 0x123, 0x1000, EFlags.vm | EFlags.interrupt | EFlags.rf | 2, 0xFFF0, 0x2000, 0x30, 0x40, 0x50, 0x60]
        let pointer = p.state.register(X86State.rsp)
        #expect(pointer == Processor.stack0 - 40)
        for (index, value) in expected.enumerated() {
            #expect(p.load(pointer + UInt64(index) * 4) == value, "\(index)")
        }
        #expect(p.state.segment(.ds).has(SegmentAttributes.null) && p.state.segment(.gs).has(SegmentAttributes.null))
    }

    @Test func `INT n of virtual-8086 mode obeys IOPL and the redirection map`() throws {
        let p = try Processor()
        try p.enterProtected()
        p.setGate(0x21, Processor.gate(Processor.code0, 0x9000, type: 14, dpl: 3))
        p.store(0x21 * 4, UInt32(0x5000_0123))
        p.store(Processor.tss + 0x66, UInt16(0x88))
        for value: UInt32 in [0, 0, 0, 0, 0x2000, 0xFFF0, EFlags.vm | EFlags.vif, 0x1000, 0x123] { p.push32(value) }
        try p.state.interruptReturn(size: 4, next: 0)
        func interrupt() -> X86Fault? {
            p.fault { state throws(X86Fault) in try state.interruptInstruction(0x21, next: state.pc + 2) }
        }
        #expect(interrupt() == .generalProtection)
        p.state.cr4 |= CR4.vme
        #expect(interrupt() == nil && p.state.isVirtual8086 && p.state.pc == 0x50123)
        // VIF is seen as IF, with IOPL 3, and cleared.
        #expect(p.load(0x2FFEE, UInt16.self) == 0x3202 && p.load(0x2FFEC, UInt16.self) == 0x1000
                && p.load(0x2FFEA, UInt16.self) == 0x125)
        #expect(p.state.systemFlags & EFlags.vif == 0)
        p.store(Processor.tss + 0x68 + 4, UInt8(1 << 1))
        #expect(interrupt() == .generalProtection)
        p.state.systemFlags |= EFlags.iopl
        #expect(interrupt() == nil && p.state.cpl == 0 && p.state.rip == 0x9000)
    }

    // MARK: fast system calls

    @Test func `SYSCALL and SYSRET in long mode`() throws {
        let p = try Processor()
        try p.enterLong(ring: 3)
        p.state.efer |= EFER.sce
        p.state[SystemLayout.star] = UInt64(0x0058) << 48 | UInt64(0x0028) << 32
        p.state[SystemLayout.lstar] = 0xFFFF_8000_0000_1000
        p.state[SystemLayout.sfmask] = UInt64(EFlags.interrupt | EFlags.tf)
        p.state.eflags = EFlags.interrupt | EFlags.cf | 2
        try p.state.systemCall(next: 0x1_2345)
        #expect(p.state.pc == 0xFFFF_8000_0000_1000 && p.state.cpl == 0 && p.state.selector(1) == 0x28
                && p.state.selector(2) == 0x30)
        #expect(p.state.register(1) == 0x1_2345 && p.state.register(11) == 0x203 && p.state.eflags == 3)
        try p.state.systemReturn(size: 8)
        #expect(p.state.pc == 0x1_2345 && p.state.cpl == 3 && p.state.selector(1) == 0x6B
                && p.state.selector(2) == 0x63)
        #expect(p.state.is64BitCode && p.state.eflags == 0x203)
        #expect(p.fault { state throws(X86Fault) in try state.systemReturn(size: 8) } == .generalProtection)
        p.state.efer &= ~EFER.sce
        #expect(p.fault { state throws(X86Fault) in try state.systemCall(next: 0) } == .invalidOpcode)
    }

    @Test func `SYSENTER and SYSEXIT outside long mode only`() throws {
        let p = try Processor()
        try p.enterProtected(ring: 3)
        #expect(p.fault { state throws(X86Fault) in try state.systemEnter() } == .generalProtection)
        p.state[SystemLayout.sysenterCS] = 0x100
        p.state[SystemLayout.sysenterESP] = 0x9000
        p.state[SystemLayout.sysenterEIP] = 0x7000
        try p.state.systemEnter()
        #expect(p.state.cpl == 0 && p.state.selector(1) == 0x100 && p.state.selector(2) == 0x108
                && p.state.rip == 0x7000)
        #expect(p.state.register(X86State.rsp) == 0x9000 && p.state.eflags & EFlags.interrupt == 0)
        p.state.setRegister(1, 0x5000)
        p.state.setRegister(2, 0x6000)
        try p.state.systemExit()
        #expect(p.state.cpl == 3 && p.state.selector(1) == 0x113 && p.state.selector(2) == 0x11B
                && p.state.rip == 0x6000)
        let long = try Processor()
        try long.enterLong(ring: 3)
        #expect(long.fault { state throws(X86Fault) in try state.systemEnter() } == .invalidOpcode)
    }
}
