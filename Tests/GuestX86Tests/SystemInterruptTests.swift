// Delivery of exceptions and interrupts in every mode, double and triple faults, shadows, single step, breakpoints.

import Testing
@testable import GuestX86

@Suite struct SystemInterruptTests {
    private static let slot: UInt16 = 0x80

    @Test func `real mode goes through the vector table and pushes no error code`() throws {
        let p = try Processor()
        p.state.setSegment(.cs, SegmentCache(selector: 0x100, attributes: 0x9B, limit: 0xFFFF, base: 0x1000))
        p.state.rip = 0x20
        p.state.setRegister(X86State.rsp, 0x1_0000_1000)
        p.state.eflags = EFlags.interrupt | EFlags.tf | EFlags.cf
        p.store(13 * 4, UInt32(0x2000_0456))
        p.state.deliver(.fault(X86Fault(vector: 13, errorCode: 8)))
        #expect(p.state.pc == 0x20456 && p.state.register(X86State.rsp) == 0x1_0000_0FFA)
        #expect(p.load(0xFFA, UInt16.self) == 0x20 && p.load(0xFFC, UInt16.self) == 0x100
                && p.load(0xFFE, UInt16.self) == 0x303)
        #expect(p.state.eflags == EFlags.cf | 2)
        try p.state.interruptReturn(size: 2, next: 0)
        #expect(p.state.pc == 0x1020 && p.state.eflags == 0x303)
    }

    @Test func `protected mode pushes by size of the gate, with an error code where there is one`() throws {
        for is32 in [true, false] {
            let p = try Processor()
            try p.enterProtected()
            p.state.systemFlags = EFlags.interrupt | EFlags.nt | EFlags.tf
            for (type, keeps) in is32 ? [(UInt64(14), false), (15, true)] : [(6, false), (7, true)] {
                p.state.systemFlags = EFlags.interrupt | EFlags.nt | EFlags.tf
                p.setGate(13, Processor.gate(Processor.code0, 0x12_3456, type: type))
                let top = p.state.register(X86State.rsp), offset = p.state.rip
                p.state.deliver(.fault(X86Fault(vector: 13, errorCode: 0x58)))
                let size: UInt64 = is32 ? 4 : 2, mask: UInt32 = is32 ? .max : 0xFFFF
                #expect(p.state.rip == (is32 ? 0x12_3456 : 0x3456) && p.state.register(X86State.rsp) == top - 4 * size)
                let expected: [UInt32] = [0x58, UInt32(offset), UInt32(Processor.code0), EFlags.rf | 0x4302]
                for (index, value) in expected.enumerated() {
                    #expect(p.load(top - UInt64(4 - index) * size, UInt32.self) & mask == value & mask)
                }
                #expect(p.state.systemFlags == (keeps ? EFlags.interrupt : 0))
            }
        }
    }

    @Test func `an interrupt of ring 3 takes the stack of the task state`() throws {
        let p = try Processor()
        try p.enterProtected(ring: 3)
        p.setGate(0x40, Processor.gate(Processor.code0, 0x9000, type: 14))
        p.state.deliver(.interrupt(0x40))
        #expect(p.state.cpl == 0 && p.state.register(X86State.rsp) == Processor.stack0 - 20)
        let expected: [UInt32] =
            [UInt32(Processor.code), UInt32(Processor.code3), 0x202, UInt32(Processor.stack3), UInt32(Processor.data3)]
        for (index, value) in expected.enumerated() {
            #expect(p.load(Processor.stack0 - 20 + UInt64(index) * 4) == value)
        }
        try p.state.interruptReturn(size: 4, next: 0)
        #expect(p.state.cpl == 3 && p.state.rip == Processor.code && p.state.register(X86State.rsp) == Processor.stack3)
    }

    @Test func `INT n faults with the vector in the error code`() throws {
        let p = try Processor()
        try p.enterProtected(ring: 3)
        func int(_ vector: UInt8) -> X86Fault? {
            p.fault { state throws(X86Fault) in try state.softwareInterrupt(vector, .instruction, next: state.pc + 2) }
        }
        let before = p.image
        #expect(int(0x20) == X86Fault(vector: 13, errorCode: 0x102))
        p.setGate(0x20, Processor.gate(Processor.code0, 0x9000, type: 14, dpl: 3, present: false))
        #expect(int(0x20) == X86Fault(vector: 11, errorCode: 0x102))
        p.setGate(0x20, Processor.gate(Processor.code0, 0x9000, type: 12, dpl: 3))
        #expect(int(0x20) == X86Fault(vector: 13, errorCode: 0x102))
        p.setGate(0x20, Processor.gate(0, 0x9000, type: 14, dpl: 3))
        #expect(int(0x20) == X86Fault(vector: 13, errorCode: 0))
        p.setGate(0x20, Processor.gate(Processor.data0, 0x9000, type: 14, dpl: 3))
        #expect(int(0x20) == X86Fault(vector: 13, errorCode: 0x10))
        p.state[word: SystemLayout.idtrLimit] = 0x106
        #expect(int(0x20) == X86Fault(vector: 13, errorCode: 0x102))
        p.state[word: SystemLayout.idtrLimit] = 0xFFF
        #expect(p.image == before)
        p.setGate(0x20, Processor.gate(Processor.code0, 0x9000, type: 14, dpl: 3))
        #expect(int(0x20) == nil && p.load(Processor.stack0 - 20, UInt32.self) == UInt32(Processor.code) + 2)
        // RF is not in the image of an INT.
        #expect(p.load(Processor.stack0 - 12, UInt32.self) == 0x202)
    }

    @Test func `long mode aligns the stack and switches to IST`() throws {
        let p = try Processor()
        try p.enterLong()
        p.setLongGate(14, Processor.code64, 0xFFFF_8000_0000_2000, ist: 3)
        p.store(Processor.tss + 36 + 16, UInt64(0x2_2228))
        p.state.setRegister(X86State.rsp, 0x1_FFF3)
        p.state.deliver(.fault(X86Fault(vector: 14, errorCode: 2, address: 0xFFFF_8000_1234_5678)))
        #expect(p.state.cr2 == 0xFFFF_8000_1234_5678 && p.state.pc == 0xFFFF_8000_0000_2000)
        let pointer = p.state.register(X86State.rsp)
        #expect(pointer == 0x2_2220 - 48)
        let expected: [UInt64] =
            [2, Processor.code, UInt64(Processor.code64), UInt64(EFlags.rf | 2), 0x1_FFF3, UInt64(Processor.data0)]
        for (index, value) in expected.enumerated() {
            #expect(p.load(pointer + UInt64(index) * 8) == value, "\(index)")
        }
        // The same ring keeps SS; from ring 3 it becomes null.
        #expect(p.state.selector(2) == Processor.data0)
        let user = try Processor()
        try user.enterLong(ring: 3)
        user.setLongGate(0x40, Processor.code64, 0x9000)
        user.state.deliver(.interrupt(0x40))
        #expect(user.state.selector(2) == 0 && user.state.register(X86State.rsp) == Processor.stack0 - 40
                && user.state.cpl == 0)
        try user.state.interruptReturn(size: 8, next: 0)
        #expect(user.state.cpl == 3 && user.state.pc == Processor.code)
    }

    // MARK: double and triple faults

    /// First vector, what delivering it runs into, what is delivered in the end.
    private static let combinations: [(UInt8, UInt8, UInt8)] = [
        (0, 11, 8), (10, 11, 8), (11, 11, 8), (12, 11, 8), (13, 11, 8), (14, 11, 8),
        (1, 11, 11), (3, 11, 11), (6, 11, 11), (16, 11, 11), (17, 11, 11), (0x40, 11, 11),
    ]

    @Test(arguments: 0..<12)
    func `two faults make a double fault only when the table says so`(_ row: Int) throws {
        let (first, second, delivered) = Self.combinations[row]
        let p = try Processor()
        try p.enterProtected()
        for vector in 0..<32 {
            // A gate of its own for each vector; the first one's is not present.
            p.setGate(vector, Processor.gate(Processor.code0, 0x9000 + UInt64(vector), type: 14,
                                             present: vector != Int(first)))
        }
        p.setGate(0x40, Processor.gate(Processor.code0, 0, type: 14, present: false))
        if first == second { p.setGate(8, Processor.gate(Processor.code0, 0x9008, type: 14)) }
        p.state.deliver(first < 32 ? .fault(X86Fault(vector: first)) : .interrupt(first))
        #expect(p.state.rip == 0x9000 + UInt64(delivered) && p.state.activity == .running)
        let code: UInt32 = p.load(p.state.register(X86State.rsp))
        #expect(code == (delivered == 8 ? 0 : UInt32(first) << 3 | 3))
    }

    @Test func `a fault of the double fault shuts down`() throws {
        let p = try Processor()
        try p.enterProtected()
        p.state[word: SystemLayout.idtrLimit] = 0
        p.state.deliver(.fault(.invalidOpcode))
        #expect(p.state.activity == .shutdown)
        p.state.send(EventLine.nmi)
        #expect(p.state.takeEvent() == nil && !p.state.mayWake)
        p.state.send(EventLine.initialize)
        #expect(p.state.takeEvent() == .initialize)
        p.state.initialize()
        #expect(p.state.activity == .running && p.state.pc == 0xFFFF_FFF0)
    }

    @Test func `a page fault while pushing becomes a double fault with the later CR2`() throws {
        let p = try Processor()
        try p.enterLong()
        p.setLongGate(14, Processor.code64, 0x9000)
        p.setLongGate(8, Processor.code64, 0xA000, ist: 1)
        p.store(Processor.tss + 36, UInt64(0x2_0000))
        p.state.setRegister(X86State.rsp, 0x8000_0000)
        p.state.deliver(.fault(X86Fault(vector: 14, errorCode: 0, address: 0x1234)))
        #expect(p.state.pc == 0xA000 && p.state.cr2 == 0x7FFF_FFF8)
    }

    // MARK: NMI, INIT, start-up

    @Test func `NMI is blocked until IRET`() throws {
        let p = try Processor()
        try p.enterProtected()
        p.setGate(2, Processor.gate(Processor.code0, 0x9000, type: 14))
        p.state.send(EventLine.nmi)
        #expect(p.state.takeEvent() == .nmi)
        p.state.deliver(.nmi)
        p.state.send(EventLine.nmi)
        #expect(p.state.takeEvent() == nil)
        try p.state.interruptReturn(size: 4, next: 0)
        #expect(p.state.takeEvent() == .nmi && p.state.takeEvent() == nil)
    }

    @Test func `an application processor waits for its start-up IPI`() throws {
        let p = try Processor()
        p.state.install(p.model, processor: 1, count: 2)
        p.state.reset()
        #expect(p.state.activity == .waitForStartup && !p.state.mayWake)
        p.state.send(EventLine.startup, vector: 0x99)
        #expect(p.state.mayWake && p.state.takeEvent() == .startUp(0x99))
        p.state.startUp(0x99)
        #expect(p.state.pc == 0x99000 && p.state.rip == 0 && p.state.selector(1) == 0x9900
                && p.state.activity == .running)
        // A second one is ignored.
        p.state.send(EventLine.startup, vector: 0x10)
        #expect(p.state.takeEvent() == nil && p.state.takeEvent() == nil)
    }

    // MARK: shadows and single step

    @Test func `STI holds interrupts off for one instruction, waiting or not`() throws {
        for waits in [true, false] {
            let p = try Processor()
            try p.enterProtected()
            p.state.setInterruptRequest(waits)
            let leaves = try p.state.setInterruptFlag(next: Processor.code + 1)
            #expect(leaves == waits)
            p.state.pc = Processor.code + 1
            p.state.setInterruptRequest(true)
            #expect(p.state.takeEvent() == nil && p.state.mode.has(Mode.single))
            #expect(p.state.beforeInstruction())
            p.state.pc += 1
            p.state.afterInstruction()
            #expect(!p.state.mode.has(Mode.single) && p.state.takeEvent() == .interrupt)
            // IF was set already: no shadow.
            #expect(try !p.state.setInterruptFlag(next: p.state.pc) && p.state.takeEvent() == .interrupt)
        }
    }

    @Test func `single step traps behind the instruction that follows`() throws {
        let p = try Processor()
        try p.enterProtected()
        p.setGate(1, Processor.gate(Processor.code0, 0x9000, type: 14))
        // POPF sets TF: its own step is not trapped.
        #expect(p.state.beforeInstruction())
        #expect(try p.state.popFlags(EFlags.tf, size: 4))
        p.state.afterInstruction()
        #expect(p.state.rip == Processor.code && p.state.mode.has(Mode.single))
        #expect(p.state.beforeInstruction())
        p.state.pc += 3
        p.state.afterInstruction()
        #expect(p.state.rip == 0x9000 && p.state[SystemLayout.dr6] == DebugBits.dr6Fixed | UInt64(DebugBits.bs))
        #expect(p.load(p.state.register(X86State.rsp), UInt32.self) == UInt32(Processor.code) + 3)
        #expect(p.state.systemFlags & EFlags.tf == 0)
    }

    @Test func `MOV SS holds a data breakpoint back, INT n lets it through`() throws {
        let p = try Processor()
        try p.enterProtected()
        p.setGate(1, Processor.gate(Processor.code0, 0x9000, type: 14))
        p.setGate(0x21, Processor.gate(Processor.code0, 0xA000, type: 14))
        try p.state.writeDebug(0, 0x5000)
        try p.state.writeDebug(7, 0x000F_0001)
        #expect(p.state.hasDataBreakpoint(inPageOf: 0x5FFF) && !p.state.hasDataBreakpoint(inPageOf: 0x6000))
        #expect(p.state.beforeInstruction())
        p.state.noteDataAccess(0x4FFE, 4, .read)
        p.state.startShadow(InterruptShadow.movSS)
        p.state.afterInstruction()
        #expect(p.state.rip == Processor.code)
        #expect(p.state.beforeInstruction())
        try p.state.softwareInterrupt(0x21, .instruction, next: p.state.pc + 2)
        p.state.afterInstruction()
        #expect(p.state.rip == 0x9000 && p.state[SystemLayout.dr6] & 15 == 1)
        #expect(p.load(p.state.register(X86State.rsp), UInt32.self) == 0xA000)
    }

    @Test func `a code breakpoint stops once, RF lets the instruction run`() throws {
        let p = try Processor()
        try p.enterProtected()
        p.setGate(1, Processor.gate(Processor.code0, 0x9000, type: 14))
        try p.state.writeDebug(1, Processor.code)
        try p.state.writeDebug(7, 0b1000)
        #expect(p.state.mode.has(Mode.single) && !p.state.beforeInstruction())
        #expect(p.state.rip == 0x9000 && p.state[SystemLayout.dr6] & 15 == 2)
        let flags = p.state.register(X86State.rsp) + 8
        #expect(p.load(flags, UInt32.self) & EFlags.rf == 0)
        p.store(flags, p.load(flags, UInt32.self) | EFlags.rf)
        try p.state.interruptReturn(size: 4, next: 0)
        #expect(p.state.rip == Processor.code && p.state.systemFlags & EFlags.rf != 0)
        #expect(p.state.beforeInstruction())
        p.state.afterInstruction()
        #expect(p.state.systemFlags & EFlags.rf == 0 && !p.state.beforeInstruction())
    }

    @Test func `debug registers: aliases, general detection, reserved bits`() throws {
        let p = try Processor()
        try p.enterProtected()
        try p.state.writeDebug(7, 0xFFFF_FFFF & ~DebugBits.generalDetect)
        #expect(try p.state.readDebug(5) == 0xFFFF_07FF)
        try p.state.writeDebug(6, 0)
        #expect(try p.state.readDebug(4) == DebugBits.dr6Fixed)
        p.state.cr4 = CR4.de
        #expect(p.fault { state throws(X86Fault) in _ = try state.readDebug(4) } == .invalidOpcode)
        try p.state.writeDebug(7, DebugBits.generalDetect)
        #expect(p.fault { state throws(X86Fault) in _ = try state.readDebug(0) }?.vector == 1)
        #expect(p.state[SystemLayout.dr6] & UInt64(DebugBits.bd) != 0
                && p.state[SystemLayout.dr7] & DebugBits.generalDetect == 0)
    }
}
