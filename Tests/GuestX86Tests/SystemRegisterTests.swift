// Control registers, model-specific registers, flags, CPUID, saving.

import SavedState
import Testing
@testable import GuestX86

@Suite struct SystemRegisterTests {
    @Test func `EFLAGS come back from their packed form`() throws {
        let p = try Processor()
        for value: UInt32 in [0, 0xFFFF_FFFF, 0x8D5, 0x400, 0x801, 0x3F_7FD5] {
            p.state.eflags = value
            #expect(p.state.eflags == value & EFlags.all | 2)
        }
        #expect(X86State.packed(0x8D5) == 0xD701 && X86State.packed(0) == 0x200)
    }

    @Test func `paging and long mode are entered in order only`() throws {
        let p = try Processor()
        func write(_ number: Int, _ value: UInt64) -> Bool {
            p.fault { state throws(X86Fault) in try state.writeControl(number, value) } == nil
        }
        #expect(!write(0, CR0.pg) && !write(0, CR0.nw) && write(0, CR0.pe))
        #expect(p.state.mode.has(Mode.protected) && p.state.cr0 == CR0.pe | CR0.et)
        try p.state.writeMSR(MSR.efer, EFER.lme)
        #expect(!write(0, CR0.pe | CR0.pg) && write(4, CR4.pae) && write(0, CR0.pe | CR0.pg))
        #expect(p.state.efer == EFER.lme | EFER.lma && p.state.mode.codeSize == .bits16)
        #expect(!write(4, 0) && !write(4, CR4.pae | CR4.la57) && !write(4, 1 << 63))
        #expect(p.fault { state throws(X86Fault) in try state.writeMSR(MSR.efer, 0) } == .generalProtection)
        #expect(write(3, 0x1001) && !write(4, CR4.pae | CR4.pcide))
        #expect(write(3, 0x1000) && write(4, CR4.pae | CR4.pcide) && !write(0, CR0.pe))
        #expect(write(4, CR4.pae) && write(0, CR0.pe) && p.state.efer == EFER.lme)
        #expect(!write(5, 0) && !write(8, 16) && write(8, 15))
        let long = try Processor()
        try long.enterLong()
        #expect(long.fault { state throws(X86Fault) in try state.writeControl(3, 1 << 48) } == .generalProtection)
        #expect(long.fault { state throws(X86Fault) in try state.writeControl(0, 1 << 32 | state.cr0) }
                == .generalProtection)
        #expect(long.fault { state throws(X86Fault) in try state.writeControl(0, CR0.pe) } == .generalProtection)
    }

    @Test func `LMSW cannot clear PE`() throws {
        let p = try Processor()
        try p.state.loadMachineStatus(0xFFFF)
        #expect(p.state.cr0 & 15 == 15)
        try p.state.loadMachineStatus(0)
        #expect(p.state.cr0 & 15 == 1)
    }

    @Test func `model-specific registers check what is written`() throws {
        let p = try Processor()
        func write(_ number: UInt32, _ value: UInt64) -> Bool {
            p.fault { state throws(X86Fault) in try state.writeMSR(number, value) } == nil
        }
        #expect(write(MSR.pat, 0x0407_0506_0007_0106) && !write(MSR.pat, 2) && !write(MSR.pat, 8))
        #expect(write(0x200, 6) && !write(0x200, 2) && !write(0x200, 1 << 48) && write(0x201, 0xF_FFFF_F800)
                && !write(0x201, 1))
        #expect(write(MSR.mtrrDefaultType, 0xC06) && !write(MSR.mtrrDefaultType, 0x1006))
        #expect(write(MSR.lstar, 0xFFFF_8000_0000_0000) && !write(MSR.lstar, 0x8000_0000_0000)
                && !write(MSR.fsBase, 1 << 62))
        #expect(write(0x401, 0) && !write(0x401, 1) && write(0x400, .max) && !write(MSR.efer, 2))
        for absent: UInt32 in [0, 0x3A, 0x140, 0x1A0, 0xC001_0008, 0xC000_0105, 0x4B56_4D02] {
            let fault = p.fault { state throws(X86Fault) in _ = try state.readMSR(absent) }
            #expect(!write(absent, 0) && fault == .generalProtection)
        }
        // Every register that Linux reads without a net.
        for number: UInt32 in [0xC000_0080, 0x1B, 0xFE, 0x200, 0x20F, 0x250, 0x258, 0x259, 0x268, 0x26F, 0x2FF, 0x277,
                               0x179,
                               0x400, 0x40F, 0xC001_0010, 0xC001_0055, 0xC001_0114, 0x10, 0x3B] {
            _ = try p.state.readMSR(number)
        }
    }

    @Test func `the counter moves with TSC and TSC_ADJUST`() throws {
        let p = try Processor()
        p.state.readTSCHook = { _ in 1000 }
        try p.state.writeMSR(MSR.tsc, 5000)
        #expect(try p.state.readMSR(MSR.tsc) == 5000 && p.state.readMSR(MSR.tscAdjust) == 4000)
        try p.state.writeMSR(MSR.tscAdjust, 1)
        #expect(p.state.timeStampCounter == 1001)
        p.state.cr4 = CR4.tsd
        p.state.cr0 |= CR0.pe
        p.state.cpl = 3
        #expect(p.fault { state throws(X86Fault) in _ = try state.readTimeStampCounter() } == .generalProtection)
    }

    @Test func `the KVM clock page turns ticks into nanoseconds`() throws {
        let p = try Processor()
        p.state.install(p.model, tscFrequency: 2_500_000_000)
        try p.state.writeMSR(MSR.kvmSystemTime, 0x4001)
        #expect(p.load(0x4000, UInt32.self) == 2 && p.load(0x401D, UInt8.self) == 1)
        for frequency: UInt64 in [1_000_000, 999_999_999, 1_000_000_000, 2_000_000_001, 2_500_000_000, 5_000_000_000] {
            let (shift, multiplier) = X86State.clockScale(frequency: frequency)
            let ticks = frequency
            let shifted = shift < 0 ? ticks >> UInt64(-Int(shift)) : ticks << UInt64(shift)
            let product = shifted.multipliedFullWidth(by: UInt64(multiplier))
            let nanoseconds = product.high << 32 | product.low >> 32
            #expect(abs(Int64(nanoseconds) - 1_000_000_000) < 10, "\(frequency): \(nanoseconds)")
        }
        try p.state.writeMSR(MSR.kvmWallClock, 0x4100)
        #expect(p.load(0x4104, UInt32.self) > 1_600_000_000)
    }

    @Test func `I/O permission by IOPL and the map of the task state`() throws {
        let p = try Processor()
        try p.enterProtected(ring: 3)
        func check(_ port: UInt16, _ size: Int) -> Bool {
            p.fault { state throws(X86Fault) in try state.checkPort(port, size) } == nil
        }
        p.store(Processor.tss + 0x66, UInt16(0x68))
        #expect(check(0, 4))
        p.store(Processor.tss + 0x68, UInt8(0x10))
        #expect(!check(4, 1) && check(3, 1) && !check(3, 2) && !check(1, 4) && check(0, 4) && check(5, 2))
        // The byte behind the last one is read too.
        #expect(check(0xFFF0, 1) && !check(0xFFF8, 1))
        p.store(Processor.tss + 0x66, UInt16(0x2060))
        #expect(check(0x30, 1) && !check(0x38, 1))
        p.state.systemFlags |= EFlags.iopl
        #expect(check(4, 1))
    }

    @Test func `reset leaves what the manual's table says`() throws {
        let p = try Processor("486")
        #expect(p.state.pc == 0xFFFF_FFF0 && p.state.rip == 0xFFF0 && p.state.cr0 == 0x6000_0010 && p.state.eflags == 2)
        #expect(p.state.register(2) == 0x480 && p.state.segment(.cs).base == 0xFFFF_0000
                && p.state.mode.codeSize == .bits16)
        #expect(try Processor("386").state.cr0 == 0x10)
    }

    // MARK: saving

    @Test func `a saved vCPU comes back, a damaged one is refused or legal`() throws {
        let p = try Processor()
        try p.enterLong(ring: 3)
        p.state.setRegister(5, 0x1234)
        p.state.readTSCHook = { _ in 77 }
        var writer = StateWriter()
        p.state.save(to: &writer)
        let q = try Processor()
        q.state.readTSCHook = { _ in 77 }
        var reader = StateReader(writer.bytes)
        try q.state.restore(from: &reader)
        var again = StateWriter()
        q.state.save(to: &again)
        #expect(again.bytes == writer.bytes && q.state.mode == p.state.mode && q.state.pc == p.state.pc)
        let other = try Processor("x86-64-v1")
        var third = StateReader(writer.bytes)
        #expect(throws: StateError.self) { try other.state.restore(from: &third) }
        var generator = SystemRandom(seed: 7)
        var refused = 0
        for _ in 0..<500 {
            var bytes = writer.bytes
            bytes[Int(generator.next() % UInt64(bytes.count))] ^= UInt8(truncatingIfNeeded: generator.next() | 1)
            var damaged = StateReader(bytes)
            do {
                try q.state.restore(from: &damaged)
                _ = q.state.mode
            } catch {
                refused += 1
            }
        }
        #expect(refused > 25)
    }
}

/// A sequence that is the same in every run.
struct SystemRandom: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state &* 0x2545_F491_4F6C_DD1D
    }
}
