// Trap entry, returns, delegation and interrupt selection.

import SavedState
import Testing
import Translator
@testable import GuestRISCV

@Suite(.serialized) struct TrapTests {
    @Test func `an undelegated exception goes to machine mode`() throws {
        let hart = try Hart()
        hart.csr(.mtvec, .write, 0x8000_1001)
        hart.csr(.mstatus, .set, Status.mie)
        hart.enter(.user)
        hart.state.pc = 0x4000
        #expect(hart.state.takeTrap(.userCall, value: 7) == .machine)
        #expect(hart.state.privilege == .machine)
        #expect(hart.state.pc == 0x8000_1000)
        #expect(hart.csr(.mepc) == 0x4000)
        #expect(hart.csr(.mcause) == 8)
        #expect(hart.csr(.mtval) == 7)
        #expect(hart.csr(.mstatus)! & (Status.mpp | Status.mie | Status.mpie) == Status.mpie)
    }

    @Test func `a delegated exception goes to the supervisor except from machine mode`() throws {
        let hart = try Hart()
        hart.csr(.medeleg, .write, 1 << 13)
        hart.csr(.stvec, .write, 0x9000)
        hart.csr(.mtvec, .write, 0xA000)
        #expect(hart.state.takeTrap(.loadPageFault) == .machine)
        hart.enter(.supervisor)
        hart.csr(.sstatus, .set, Status.sie)
        hart.state.pc = 0x1234
        #expect(hart.state.takeTrap(.loadPageFault, value: 99) == .supervisor)
        #expect(hart.state.pc == 0x9000)
        #expect(hart.csr(.scause) == 13)
        #expect(hart.csr(.stval) == 99)
        #expect(hart.csr(.sepc) == 0x1234)
        #expect(hart.csr(.sstatus)! & (Status.spp | Status.spie | Status.sie) == Status.spp | Status.spie)
    }

    @Test func `sret returns to what the trap left and clears MPRV`() throws {
        let hart = try Hart()
        hart.csr(.mstatus, .set, Status.mprv | Status.spie)
        hart.enter(.supervisor)
        hart.csr(.sepc, .write, 0x5001)
        #expect(hart.state.sret())
        #expect(hart.state.privilege == .user)
        #expect(hart.state.pc == 0x5000)
        #expect(hart.state.mstatus & (Status.sie | Status.spie | Status.mprv) == Status.sie | Status.spie)
        #expect(!hart.state.sret())
        #expect(!hart.state.mret())
    }

    @Test func `mret keeps MPRV only when it stays in machine mode`() throws {
        let hart = try Hart()
        hart.csr(.mstatus, .write, Status.mprv | Status.mpp)
        #expect(hart.state.mret())
        #expect(hart.state.privilege == .machine && hart.state.mstatus & Status.mprv != 0)
        #expect(hart.state.mstatus & Status.mpp == 0)
        #expect(hart.state.mret())
        #expect(hart.state.privilege == .user && hart.state.mstatus & Status.mprv == 0)
    }

    @Test func `TSR and TW take sret and wfi from the supervisor`() throws {
        let hart = try Hart()
        hart.enter(.supervisor)
        #expect(hart.state.mayWait)
        hart.state.mstatus |= Status.tsr | Status.tw
        #expect(!hart.state.mayWait)
        #expect(!hart.state.sret())
        hart.enter(.machine)
        #expect(hart.state.mayWait)
        hart.enter(.user)
        #expect(!hart.state.mayWait)
    }

    @Test(arguments: [false, true])
    func `a hart that starts anew keeps its interrupt lines but for its own timer's`(machine: Bool) throws {
        let hart = try Hart()
        let driven = InterruptBit.supervisorExternal | InterruptBit.machineTimer
        hart.state.setInterruptLine(driven | InterruptBit.supervisorTimer, true)
        hart.state.setPending(InterruptBit.supervisorSoftware, true)
        if machine {
            hart.state.resetMachine(pc: Hart.ramStart, hartID: 3)
        } else {
            hart.state.resetForSupervisor(pc: Hart.ramStart, hartID: 3, a0: 3, a1: 0)
        }
        #expect(hart.state.mip == driven)
    }

    @Test func `interrupts are taken by priority and vectored`() throws {
        let hart = try Hart()
        hart.csr(.mie, .write, .max)
        hart.csr(.mtvec, .write, 0x8000_0001)
        hart.state.setInterruptLine(InterruptBit.all, true)
        #expect(hart.state.isInterruptPending)
        #expect(!hart.state.takeInterrupt())
        hart.csr(.mstatus, .set, Status.mie)
        for cause: UInt64 in [11, 3, 7, 9, 1, 5] {
            hart.state.mstatus |= Status.mie
            hart.state.pc = 0x10
            #expect(hart.state.takeInterrupt())
            #expect(hart.csr(.mcause) == 1 << 63 | cause)
            #expect(hart.state.pc == 0x8000_0000 + cause * 4)
            hart.state.setInterruptLine(1 << cause, false)
        }
        #expect(hart.state.selectedInterrupt == nil)
    }

    @Test func `a delegated interrupt waits for SIE in the supervisor and never interrupts machine mode`() throws {
        let hart = try Hart()
        hart.csr(.mideleg, .write, .max)
        hart.csr(.mie, .write, .max)
        hart.csr(.mstatus, .set, Status.mie)
        hart.state.setPending(InterruptBit.supervisorSoftware, true)
        #expect(hart.state.selectedInterrupt == nil)
        hart.enter(.supervisor)
        #expect(hart.state.selectedInterrupt == nil)
        hart.csr(.sstatus, .set, Status.sie)
        #expect(hart.state.selectedInterrupt == 1)
        hart.csr(.sstatus, .clear, Status.sie)
        hart.enter(.user)
        #expect(hart.state.selectedInterrupt == 1)
    }

    @Test func `enabling a pending interrupt asks to leave guest code`() throws {
        let hart = try Hart(machine: false)
        let request = { hart.block.load(fromByteOffset: StateLayout.exitRequest, as: UInt32.self) }
        hart.csr(.sie, .write, InterruptBit.supervisorExternal)
        hart.state.setInterruptLine(InterruptBit.supervisorExternal, true)
        #expect(request() == 0)
        #expect(hart.execute(.sstatus, .set, Status.sie) == .leaves)
        #expect(request() == 1)
        hart.state.takeInterrupt()
        #expect(hart.state.selectedInterrupt == nil)
        hart.block.storeBytes(of: 0, toByteOffset: StateLayout.exitRequest, as: UInt32.self)
        #expect(hart.state.sret())
        #expect(request() == 1)
    }

    @Test func `a supervisor start can take its own traps and leaves its calls to the machine`() throws {
        let hart = try Hart(machine: false)
        #expect(hart.state.x(10) == 3 && hart.state.x(11) == 0x8200_0000)
        #expect(hart.state.callCause == .supervisorCall)
        #expect(hart.state.destination(of: .supervisorCall) == .machine)
        for cause: ExceptionCause in [.userCall, .breakpoint, .illegalInstruction, .loadPageFault, .storeAccessFault] {
            #expect(hart.state.destination(of: cause) == .supervisor)
        }
        #expect(hart.csr(.time) != nil)
        #expect(hart.csr(.stimecmp) == .max)
        #expect(hart.state.mode.privilege == .supervisor && hart.state.mode.isSystem)
    }

    @Test func `the mode word follows MPRV, SUM, paging and privilege`() throws {
        let hart = try Hart()
        #expect(hart.state.mode.data == .physical)
        hart.csr(.satp, .write, 8 << 60)
        #expect(!hart.state.mode.fetchesThroughPaging)
        hart.csr(.mstatus, .set, Status.mprv)
        #expect(hart.state.mode.data == .user)
        hart.csr(.mstatus, .set, 1 << Status.mppShift)
        #expect(hart.state.mode.data == .supervisor)
        hart.csr(.mstatus, .set, Status.sum)
        #expect(hart.state.mode.data == .supervisorUserMemory)
        hart.enter(.user)
        #expect(hart.state.mode.data == .user && hart.state.mode.fetchesThroughPaging)
    }

    @Test func `state survives a round trip and damaged state is refused`() throws {
        let hart = try Hart(machine: false)
        var generator = SeededGenerator(state: 5)
        for register in 1..<32 { hart.state.setX(register, .random(in: 0 ... .max, using: &generator)) }
        for register in 0..<32 { hart.state.setF(register, .random(in: 0 ... .max, using: &generator)) }
        hart.csr(.sstatus, .write, .max)
        hart.csr(.fcsr, .write, 0x7F)
        hart.csr(.satp, .write, 9 << 60 | 0x80123)
        hart.csr(.stvec, .write, 0xFFFF_FFC0_0000_1001)
        hart.state.setInterruptLine(InterruptBit.supervisorExternal, true)
        var writer = StateWriter()
        hart.state.save(to: &writer)
        let copy = try Hart()
        var reader = StateReader(writer.bytes)
        try copy.state.restore(from: &reader)
        for register in 1..<32 where register != 5 { #expect(copy.state.x(register) == hart.state.x(register)) }
        for register in 0..<32 { #expect(copy.state.f(register) == hart.state.f(register)) }
        #expect(copy.state.mode == hart.state.mode)
        #expect(copy.state.pc == hart.state.pc)
        for csr in [CSR.sstatus, .fcsr, .satp, .stvec, .sip, .sie, .stimecmp] { #expect(copy.csr(csr) == hart.csr(csr)) }
        #expect(copy.state.mip == hart.state.mip)

        for position in writer.bytes.indices {
            var damaged = writer.bytes
            damaged[position] ^= UInt8.random(in: 1...255, using: &generator)
            var reader = StateReader(damaged)
            let other = try Hart()
            do {
                try other.state.restore(from: &reader)
                #expect(other.state.mode.rawValue < 1 << Mode.bitCount)
            } catch is StateError {}
        }
        for length in stride(from: 0, to: writer.bytes.count, by: 7) {
            var reader = StateReader(Array(writer.bytes.prefix(length)))
            #expect(throws: StateError.self) { try copy.state.restore(from: &reader) }
        }
    }
}
