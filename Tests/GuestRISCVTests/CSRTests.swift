// Access rules and fields of the control and status registers.

import Testing
import Translator
@testable import GuestRISCV

/// A register, what is written, what is read back.
private struct Field: Sendable {
    let csr: CSR, written: UInt64, kept: UInt64
    init(_ csr: CSR, _ written: UInt64, _ kept: UInt64) {
        self.csr = csr
        self.written = written
        self.kept = kept
    }
}

private let ones = UInt64.max

private let fields: [Field] = [
    Field(.mtvec, ones, 0xFFFF_FFFF_FFFF_FFFD), Field(.stvec, ones, 0xFFFF_FFFF_FFFF_FFFD),
    Field(.mepc, ones, 0xFFFF_FFFF_FFFF_FFFE), Field(.sepc, ones, 0xFFFF_FFFF_FFFF_FFFE),
    Field(.medeleg, ones, 0xB3FF), Field(.mideleg, ones, 0x222), Field(.mie, ones, 0xAAA),
    Field(.mcounteren, ones, 7), Field(.scounteren, ones, 7), Field(.senvcfg, ones, 1),
    Field(.menvcfg, ones, 0x8000_0000_0000_0001), Field(.mcountinhibit, ones, 0),
    Field(CSR(0x323), ones, 0), Field(CSR(0xB1F), ones, 0),
    Field(.mstatus, ones, 0x8000_000A_007E_79AA),
    Field(.satp, 0x8000_0000_0000_0005, 0x8000_0000_0000_0005), Field(.satp, 0xA000_0000_0000_0005, 0),
    Field(.satp, 0x1000_0000_0000_0000, 0), Field(.sscratch, ones, ones), Field(.stval, ones, ones),
    Field(.mcause, ones, 0x8000_0000_0000_003F), Field(.misa, 0, 0x8000_0000_0014_112F),
]

@Suite(.serialized) struct CSRTests {
    @Test func `read-only registers refuse every write`() throws {
        let hart = try Hart()
        for csr in [CSR.mhartid, .mvendorid, .cycle, .time, .instret] {
            #expect(hart.csr(csr) != nil)
            #expect(hart.csr(csr, .write, 0) == nil)
            #expect(hart.csr(csr, .set, 0) == nil)
            #expect(hart.csr(csr, .clear, 0) == nil)
        }
        #expect(hart.csr(.mhartid) == 3)
    }

    @Test func `registers of a higher privilege are illegal`() throws {
        let hart = try Hart()
        hart.enter(.supervisor)
        #expect(hart.csr(.mstatus) == nil)
        #expect(hart.csr(.sstatus) != nil)
        hart.enter(.user)
        #expect(hart.csr(.sstatus) == nil)
    }

    @Test func `absent registers are illegal`() throws {
        let hart = try Hart()
        for number: UInt16 in [0x7A0, 0x7A1, 0x7B0, 0x015, 0x747, 0x3A1, 0x3A4, 0x3C0, 0x008, 0xC20, 0x5A8, 0x600] {
            #expect(hart.csr(CSR(number)) == nil, "\(CSR(number).name)")
        }
    }

    @Test func `programs have float and counter registers only`() throws {
        let hart = try Hart()
        hart.state.resetForProgram(pc: 0)
        #expect(hart.csr(.fcsr) == 0)
        #expect(hart.csr(.time) == Hart.now)
        #expect(hart.csr(.cycle) != nil)
        for number: UInt16 in 0...0xFFF where CSR(number).privilegeBits != 0 { #expect(hart.csr(CSR(number)) == nil) }
        #expect(hart.csr(CSR(0xC03)) == nil)
    }

    @Test func `set and clear act on the old value and return it`() throws {
        let hart = try Hart()
        #expect(hart.csr(.mscratch, .write, 0xF0) == 0)
        #expect(hart.csr(.mscratch, .set, 0x0F) == 0xF0)
        #expect(hart.csr(.mscratch, .clear, 0x3C) == 0xFF)
        #expect(hart.csr(.mscratch) == 0xC3)
    }

    @Test(arguments: fields)
    private func `fields keep legal values`(_ field: Field) throws {
        let hart = try Hart()
        hart.csr(field.csr, .write, field.written)
        #expect(hart.csr(field.csr) == field.kept, "\(field.csr.name) \(String(hart.csr(field.csr) ?? 0, radix: 16))")
    }

    @Test func `MPP keeps supported privileges`() throws {
        let hart = try Hart()
        hart.csr(.mstatus, .write, 1 << 11)
        hart.csr(.mstatus, .write, 2 << 11)
        #expect(hart.csr(.mstatus)! & Status.mpp == 1 << 11)
    }

    @Test func `sstatus shows and changes only the supervisor's part`() throws {
        let hart = try Hart()
        hart.csr(.mstatus, .write, .max)
        #expect(hart.csr(.sstatus) == 0x8000_0002_000C_6122)
        hart.csr(.sstatus, .write, 0)
        #expect(hart.csr(.mstatus)! & Status.mie != 0)
        #expect(hart.csr(.sstatus)! == Status.uxl)
    }

    @Test func `sie and sip show delegated interrupts only`() throws {
        let hart = try Hart()
        hart.csr(.mideleg, .write, InterruptBit.supervisorSoftware)
        hart.csr(.sie, .write, .max)
        #expect(hart.csr(.mie) == InterruptBit.supervisorSoftware)
        hart.csr(.mip, .write, .max)
        #expect(hart.csr(.mip) == InterruptBit.supervisor)
        #expect(hart.csr(.sip) == InterruptBit.supervisorSoftware)
        hart.csr(.sip, .clear, .max)
        #expect(hart.csr(.mip) == InterruptBit.supervisorTimer | InterruptBit.supervisorExternal)
    }

    @Test func `clearing mip does not lower a device's line and reading it does not latch one`() throws {
        let hart = try Hart()
        hart.state.setInterruptLine(InterruptBit.supervisorExternal, true)
        hart.csr(.mip, .clear, .max)
        #expect(hart.csr(.mip) == InterruptBit.supervisorExternal)
        hart.csr(.mip, .set, InterruptBit.supervisorSoftware)
        hart.state.setInterruptLine(InterruptBit.supervisorExternal, false)
        #expect(hart.csr(.mip) == InterruptBit.supervisorSoftware)
    }

    @Test func `counters need the enable bits of all higher privileges`() throws {
        let hart = try Hart()
        hart.enter(.supervisor)
        #expect(hart.csr(.time) == nil)
        hart.enter(.machine)
        hart.csr(.mcounteren, .write, CounterEnable.time)
        hart.enter(.supervisor)
        #expect(hart.csr(.time) == Hart.now)
        #expect(hart.csr(.cycle) == nil)
        hart.enter(.user)
        #expect(hart.csr(.time) == nil)
        hart.enter(.supervisor)
        hart.csr(.scounteren, .write, CounterEnable.time)
        hart.enter(.user)
        #expect(hart.csr(.time) == Hart.now)
    }

    @Test func `float registers are illegal while FS is off and writes make it dirty`() throws {
        let hart = try Hart()
        #expect(hart.csr(.fcsr) == nil)
        #expect(hart.state.mode.float == .off)
        hart.csr(.mstatus, .set, Status.fsInitial << Status.fsShift)
        #expect(hart.state.mode.float == .clean)
        #expect(hart.csr(.fcsr) == 0)
        #expect(hart.csr(.mstatus)! & Status.sd == 0)
        #expect(hart.execute(.fcsr, .write, 0xFF) == .leaves)
        #expect(hart.state.mode.float == .usable)
        #expect(hart.csr(.mstatus)! & Status.sd != 0)
        #expect(hart.csr(.fcsr) == 0xFF)
        #expect(hart.csr(.frm) == 7)
        #expect(hart.csr(.fflags) == 0x1F)
    }

    @Test func `TVM makes satp and sfence illegal for the supervisor`() throws {
        let hart = try Hart()
        hart.csr(.mstatus, .set, Status.tvm)
        hart.enter(.supervisor)
        #expect(hart.csr(.satp) == nil)
        #expect(!hart.state.fenceVMA(address: nil))
        hart.enter(.machine)
        #expect(hart.csr(.satp) == 0)
        #expect(hart.state.fenceVMA(address: nil))
    }

    @Test func `stimecmp is the machine's to grant and drives STIP`() throws {
        let hart = try Hart()
        hart.csr(.mcounteren, .write, CounterEnable.time)
        hart.enter(.supervisor)
        #expect(hart.csr(.stimecmp) == nil)
        hart.enter(.machine)
        hart.csr(.stimecmp, .write, .max)
        hart.csr(.menvcfg, .write, EnvironmentConfiguration.stce)
        hart.enter(.supervisor)
        hart.csr(.stimecmp, .write, Hart.now + 1)
        #expect(hart.state.mip == 0)
        hart.csr(.stimecmp, .write, Hart.now)
        #expect(hart.state.mip == InterruptBit.supervisorTimer)
        hart.csr(.stimecmp, .write, .max)
        #expect(hart.state.mip == 0)
    }

    @Test func `writable counters go on from what was written`() throws {
        let hart = try Hart()
        hart.csr(.mcycle, .write, 5)
        let value = try #require(hart.csr(.cycle))
        #expect(value >= 5 && value < 10_000_000_000)
    }

    @Test func `flags of the host register and of fcsr read as one`() throws {
        let hart = try Hart()
        hart.state.resetForProgram(pc: 0)
        for (host, guest): (UInt32, UInt32) in [(1, 16), (2, 0), (4, 8), (8, 4), (16, 2), (32, 1)] {
            hart.state.fflags = 0
            hart.state.mxcsr |= host
            #expect(hart.state.fflags == guest)
        }
        hart.state.fflags = 4
        hart.state.mxcsr |= 1
        #expect(hart.state.fflags == 20)
        hart.csr(.fflags, .write, 0)
        #expect(hart.state.mxcsr & 0x3F == 0)
    }

    @Test func `rounding modes reach the host register and the mode word`() throws {
        let hart = try Hart()
        hart.state.resetForProgram(pc: 0)
        #expect(hart.state.mode.rawValue == 0)
        for (frm, control): (UInt64, UInt32) in [(1, 3), (2, 1), (3, 2), (4, 0), (7, 0), (0, 0)] {
            #expect(hart.execute(.frm, .write, frm) == .leaves)
            #expect(hart.state.mxcsr >> 13 & 3 == control)
            #expect(hart.state.mode.frm == UInt32(frm))
            #expect(hart.execute(.frm, .write, frm) == .done)
        }
    }

    @Test func `every register survives every write`() throws {
        var generator = SeededGenerator(state: 21)
        let hart = try Hart()
        for _ in 0..<20000 {
            let number = UInt16.random(in: 0...0xFFF, using: &generator)
            let operand = UInt64.random(in: 0 ... .max, using: &generator)
            hart.enter([.user, .supervisor, .machine].randomElement(using: &generator)!)
            hart.csr(CSR(number), [.write, .set, .clear, .read].randomElement(using: &generator)!, operand)
            #expect(hart.state.mode.rawValue < 1 << Mode.bitCount)
        }
    }
}
