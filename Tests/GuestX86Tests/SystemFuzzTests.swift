// Random tables, registers and operations: nothing may trap or hang, and a fault must have changed nothing.

import Testing
@testable import GuestX86

@Suite struct SystemFuzzTests {
    /// Every operation a guest can start, on garbage.
    private func act(_ state: X86State, _ random: inout SystemRandom) throws(X86Fault) {
        let selector = UInt16(truncatingIfNeeded: random.next() % 0x200), value = random.next() >> (random.next() & 63)
        let size = [2, 4, 8][Int(random.next() % 3)]
        switch random.next() % 30 {
        case 0, 1: try state.loadSegment([0, 2, 3, 4, 5][Int(value % 5)], selector)
        case 2, 3: try state.farJump(selector, value, next: state.pc)
        case 4, 5: try state.farCall(selector, value, size: size, next: state.pc)
        case 6, 7: try state.farReturn(size: size, release: value & 0xFFFF)
        case 8, 9, 10: try state.interruptReturn(size: size, next: state.pc)
        case 11, 12: state.deliver(.fault(X86Fault(vector: UInt8(value & 31), errorCode: UInt32(value >> 40),
                                                   address: value)))
        case 13: state.deliver(.interrupt(UInt8(truncatingIfNeeded: value)))
        case 14: try state.interruptInstruction(UInt8(truncatingIfNeeded: value), next: state.pc)
        case 15: try state.loadLDT(selector)
        case 16: try state.loadTaskRegister(selector)
        case 17: try state.writeControl(Int(value % 9), random.next() & random.next())
        case 18: try state.writeControl(Int(value & 4),
                                        (value & 1 != 0 ? state.cr4 : state.cr0) ^ 1 << (random.next() % 32))
        case 19:
            let numbers: [UInt32] =
                [0x10, 0x1B, 0x200, 0x250, 0x277, 0x2FF, 0x400, 0xC000_0080, 0xC000_0081, 0xC000_0082, 0xC000_0100,
                                     0x174, 0x175, 0x4B56_4D00, 0x4B56_4D01, UInt32(truncatingIfNeeded: value)]
            try state.writeMSR(numbers[Int(random.next() % 16)], random.next() & random.next())
        case 20: _ = try state.readMSR(UInt32(truncatingIfNeeded: value))
        case 21: try state.systemCall(next: state.pc)
        case 22: try state.systemReturn(size: size)
        case 23: _ = try state.accessRights(selector)
        case 24: _ = try state.popFlags(UInt32(truncatingIfNeeded: value), size: size)
        case 25: try state.writeDebug(Int(value & 7), value >> 3)
        case 26: _ = try state.readLinear(value, size, .user)
        case 27: try state.writeLinear(value & 0xFFFFF, size, random.next(), .supervisor)
        case 28:
            if state.beforeInstruction() {
                state.noteDataAccess(value, UInt64(size), .write)
                state.afterInstruction()
            }
        default:
            if value & 1 != 0 { try state.systemEnter() } else { try state.systemExit() }
        }
    }

    @Test(arguments: 0..<12)
    func `garbage in tables and registers ends in faults or shutdown`(_ seed: Int) throws {
        var random = SystemRandom(seed: Fuzz.seed(UInt64(seed) + 1))
        let p = try Processor(["max,+la57", "max", "pentium3", "486"][seed % 4])
        let descriptors: [UInt64] = [1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 14, 15, 0x10, 0x12, 0x16, 0x18, 0x1A, 0x1E]
        for round in 0..<Fuzz.rounds(40) {
            if round % 8 == 0 {
                p.state.reset()
                switch (seed + round / 8) % 4 {
                case 0: break
                case 1: try p.enterProtected(ring: round % 16 == 0 ? 3 : 0)
                case 2 where p.state.has(.lm): try p.enterLong(ring: round % 16 == 0 ? 3 : 0)
                default: try p.enterProtected()
                }
            }
            for index in 0..<UInt64(64) where random.next() & 3 == 0 {
                let type = descriptors[Int(random.next() % UInt64(descriptors.count))]
                let base = random.next() & 0x1F_FFFF, limit = random.next() & (random.next() & 1 != 0 ? 0xFF : 0xF_FFFF)
                let raw = random.next() & 7 == 0 ? random.next()
                    : Processor.descriptor(base: base, limit: limit, type: type, dpl: random.next() & 3,
                                           present: random.next() & 7 != 0,
                                           flags: random.next() & 15)
                p.store([Processor.gdt, Processor.idt, Processor.ldt][Int(random.next() % 3)] + index * 8, raw)
            }
            for _ in 0..<64 { p.store(random.next() % 0x40000, random.next()) }
            for _ in 0..<60 {
                if p.state.activity == .shutdown { p.state.initialize() }
                do throws(X86Fault) {
                    try act(p.state, &random)
                } catch {
                    p.state.deliver(.fault(error))
                }
                if p.state.cpl > 3 || !p.state.isProtected && p.state.cpl != 0 || !p.state.is64BitCode
                    && p.state.pc >> 32 != 0 {
                    Issue.record("CPL \(p.state.cpl), CR0 \(p.state.cr0), pc \(p.state.pc)")
                }
            }
        }
    }
}
