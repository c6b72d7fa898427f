// Sv39, Sv48 and physical memory protection.

import GuestMemory
import Testing
@testable import GuestRISCV

private let V: UInt64 = 1, R: UInt64 = 2, W: UInt64 = 4, X: UInt64 = 8, U: UInt64 = 16, A: UInt64 = 64, D: UInt64 = 128
private let invalidLeaves: [UInt64] = [0, R, W | V, W | X | V, V | R | 1 << 54, V | R | 1 << 61, V | R | 1 << 63, V]

@Suite(.serialized) struct PageWalkTests {
    /// A supervisor hart whose Sv39 tables map virtual page 0x40_0000 + n to page `to` with the given bits.
    private func hart(_ bits: UInt64, to page: UInt64 = 7) throws -> Hart {
        let hart = try Hart(machine: false)
        hart.table(1, 0, Hart.entry(2, V))
        hart.table(2, 2, Hart.entry(3, V))
        hart.table(3, 0, Hart.entry(page, bits))
        hart.csr(.satp, .write, 8 << 60 | (Hart.ramStart / 4096 + 1))
        return hart
    }

    private let address = GuestVirtual(0x40_0123)

    private func walk(_ hart: Hart, _ access: MemoryAccess, _ privilege: Privilege = .supervisor) -> PageTranslation? {
        guard case .page(let page) = hart.state.translate(address, access, privilege: privilege, ram: hart.ram) else { return nil }
        return page
    }

    private func fault(_ hart: Hart, _ access: MemoryAccess, _ privilege: Privilege = .supervisor,
                       at address: UInt64 = 0x40_0123) -> ExceptionCause? {
        guard case .fault(let cause) = hart.state.translate(GuestVirtual(address), access, privilege: privilege, ram: hart.ram)
        else { return nil }
        return cause
    }

    @Test func `a read sets A, withholds write, and a write sets D`() throws {
        let hart = try hart(V | R | W)
        let read = try #require(walk(hart, .read))
        #expect(read.physical.value == Hart.ramStart + 0x7123)
        #expect(read.permissions == [.read])
        #expect(hart.tableEntry(3, 0) == Hart.entry(7, V | R | W | A))
        let write = try #require(walk(hart, .write))
        #expect(write.permissions == [.read, .write])
        #expect(hart.tableEntry(3, 0) == Hart.entry(7, V | R | W | A | D))
    }

    @Test func `a denied access changes nothing`() throws {
        let hart = try hart(V | R)
        #expect(fault(hart, .write) == .storePageFault)
        #expect(fault(hart, .execute) == .instructionPageFault)
        #expect(hart.tableEntry(3, 0) == Hart.entry(7, V | R))
    }

    @Test(arguments: invalidLeaves)
    func `invalid and reserved leaf entries fault`(_ bits: UInt64) throws {
        let hart = try hart(bits)
        #expect(fault(hart, .read) == .loadPageFault)
    }

    @Test func `A, D and U are reserved in pointers`() throws {
        for bit in [A, D, U] {
            let hart = try hart(V | R)
            hart.table(2, 2, Hart.entry(3, V | bit))
            #expect(fault(hart, .read) == .loadPageFault)
        }
    }

    @Test func `user pages need SUM for data and are never executed by the supervisor`() throws {
        let hart = try hart(V | R | W | X | U)
        #expect(walk(hart, .read, .user) != nil)
        #expect(walk(hart, .execute, .user) != nil)
        #expect(fault(hart, .read) == .loadPageFault)
        hart.csr(.sstatus, .set, Status.sum)
        #expect(walk(hart, .read) != nil)
        #expect(fault(hart, .execute) == .instructionPageFault)
    }

    @Test func `supervisor pages are closed to user mode`() throws {
        let hart = try hart(V | R | W | X)
        for access: MemoryAccess in [.read, .write, .execute] { #expect(fault(hart, access, .user) == access.pageFault) }
    }

    @Test func `MXR makes executable pages readable`() throws {
        let hart = try hart(V | X)
        #expect(fault(hart, .read) == .loadPageFault)
        hart.csr(.sstatus, .set, Status.mxr)
        #expect(walk(hart, .read) != nil)
    }

    @Test func `a superpage translates its whole range and must be aligned`() throws {
        let hart = try hart(V | R)
        hart.table(2, 2, (0x8000_0000 >> 12) << 10 | V | R)
        let page = try #require(walk(hart, .read))
        #expect(page.physical.value == 0x8000_0123)
        #expect(page.sizeBytes == 2 << 20)
        hart.table(2, 2, (0x8000_1000 >> 12) << 10 | V | R)
        #expect(fault(hart, .read) == .loadPageFault)
    }

    @Test func `addresses that are not sign-extended fault`() throws {
        let hart = try hart(V | R)
        #expect(fault(hart, .read, at: 1 << 39 | 0x40_0123) == .loadPageFault)
        #expect(fault(hart, .read, at: 0xFFFF_FFBF_FFFF_FFFF) == .loadPageFault)
    }

    @Test func `tables outside RAM are access faults`() throws {
        let hart = try hart(V | R)
        hart.table(2, 2, (0x1000 >> 12) << 10 | V)
        #expect(fault(hart, .read) == .loadAccessFault)
        #expect(fault(hart, .write) == .storeAccessFault)
        hart.csr(.satp, .write, 8 << 60 | AddressTranslation.ppnMask)
        #expect(fault(hart, .execute) == .instructionAccessFault)
    }

    @Test func `Sv48 has one more level`() throws {
        let hart = try hart(V | R)
        hart.table(4, 511, Hart.entry(1, V))
        hart.csr(.satp, .write, 9 << 60 | (Hart.ramStart / 4096 + 4))
        let high: UInt64 = 0xFFFF_FF80_0000_0000 | 0x40_0123
        guard case .page(let page) = hart.state.translate(GuestVirtual(high), .read, privilege: .supervisor, ram: hart.ram)
        else { return #expect(Bool(false)) }
        #expect(page.physical.value == Hart.ramStart + 0x7123)
        #expect(fault(hart, .read) == .loadPageFault)
    }

    @Test func `machine mode and bare mode translate nothing`() throws {
        let hart = try hart(0)
        #expect(walk(hart, .read, .machine)?.physical.value == 0x40_0123)
        hart.csr(.satp, .write, 0)
        #expect(walk(hart, .write)?.permissions == .all)
    }

    @Test func `random tables never trap`() throws {
        var generator = SeededGenerator(state: 31)
        let hart = try hart(V)
        for _ in 0..<20000 {
            let level = UInt64.random(in: 1...3, using: &generator)
            let bits = UInt64.random(in: 0...0x3FF, using: &generator)
            let entry = Bool.random(using: &generator) ? Hart.entry(.random(in: 0..<256, using: &generator), bits)
                : UInt64.random(in: 0 ... .max, using: &generator)
            hart.table(level, level == 2 ? 2 : 0, entry)
            let access = [MemoryAccess.read, .write, .execute].randomElement(using: &generator)!
            _ = hart.state.translate(address, access, privilege: .supervisor, ram: hart.ram)
        }
    }

    // MARK: physical memory protection

    @Test func `without a matching entry only machine mode has access`() throws {
        let hart = try Hart()
        #expect(hart.state.pmpPermissions(physical: 0x8000_0000, privilege: .machine) == .all)
        #expect(hart.state.pmpPermissions(physical: 0x8000_0000, privilege: .supervisor) == [])
    }

    @Test func `the first matching entry decides`() throws {
        let hart = try Hart()
        // Entry 0: NAPOT 8 KiB at 0x80000000, read. Entry 1: everything, all.
        hart.csr(CSR(0x3B0), .write, 0x8000_0000 >> 2 | 0x3FF)
        hart.csr(CSR(0x3B1), .write, .max)
        hart.csr(CSR(0x3A0), .write, 0x1F19)
        for (address, wanted): (UInt64, PagePermissions) in [
            (0x8000_0000, .read), (0x8000_1FFF, .read), (0x8000_2000, .all), (0x7FFF_F000, .all),
        ] { #expect(hart.state.pmpPermissions(physical: address, privilege: .user) == wanted) }
        #expect(hart.state.pmpPermissions(physical: 0x8000_0000, privilege: .machine) == .all)
        hart.csr(CSR(0x3A0), .set, 0x80)
        #expect(hart.state.pmpPermissions(physical: 0x8000_0000, privilege: .machine) == .read)
        hart.csr(CSR(0x3A0), .write, 0)
        #expect(hart.csr(CSR(0x3A0)) == 0x99)
        #expect(hart.csr(CSR(0x3B0), .write, 0) == hart.csr(CSR(0x3B0)))
    }

    @Test func `a range runs from the entry below and its lock covers that address`() throws {
        let hart = try Hart()
        hart.csr(CSR(0x3B2), .write, 0x8000_0000 >> 2)
        hart.csr(CSR(0x3B3), .write, 0x8001_0000 >> 2)
        hart.csr(CSR(0x3A0), .write, 0x8B << 24)
        #expect(hart.state.pmpPermissions(physical: 0x8000_0000, privilege: .user) == [.read, .write])
        #expect(hart.state.pmpPermissions(physical: 0x8000_FFFF, privilege: .user) == [.read, .write])
        #expect(hart.state.pmpPermissions(physical: 0x8001_0000, privilege: .user) == [])
        hart.csr(CSR(0x3B2), .write, 0)
        #expect(hart.csr(CSR(0x3B2)) == 0x8000_0000 >> 2)
    }

    @Test func `the granularity is a page and shows in pmpaddr`() throws {
        let hart = try Hart()
        hart.csr(CSR(0x3B0), .write, .max)
        #expect(hart.csr(CSR(0x3B0)) == (1 << 54) - 1024)
        hart.csr(CSR(0x3A0), .write, 0x1F)
        #expect(hart.csr(CSR(0x3B0)) == (1 << 54) - 1)
        hart.csr(CSR(0x3A0), .write, 0x17)
        #expect(hart.csr(CSR(0x3A0)) == 0x1F)
        hart.csr(CSR(0x3A0), .write, 0x1A)
        #expect(hart.csr(CSR(0x3A0)) == 0x18)
    }

    @Test func `protection narrows what a page allows and covers page tables`() throws {
        let hart = try hart(V | R | W | A | D)
        hart.enter(.machine)
        // Entry 0: page 7 read only; entry 1: page 3 (a table) nothing; entry 2: all.
        hart.csr(CSR(0x3B0), .write, (Hart.ramStart + 0x7000) >> 2 | 0x1FF)
        hart.csr(CSR(0x3B1), .write, (Hart.ramStart + 0x3000) >> 2 | 0x1FF)
        hart.csr(CSR(0x3B2), .write, .max)
        hart.csr(CSR(0x3A0), .write, 0x1F1F19)
        hart.enter(.supervisor)
        #expect(walk(hart, .read)?.permissions == .read)
        #expect(fault(hart, .write) == .storeAccessFault)
        hart.enter(.machine)
        hart.csr(CSR(0x3A0), .write, 0x1F1819)
        hart.enter(.supervisor)
        #expect(fault(hart, .read) == .loadAccessFault)
    }
}
