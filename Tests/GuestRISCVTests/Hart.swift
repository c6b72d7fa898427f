// A hart's state block with some RAM, for tests of the privileged architecture.

import GuestMemory
import Translator
@testable import GuestRISCV

final class Hart {
    let block: UnsafeMutableRawPointer
    let state: RISCVState
    let ram: GuestRAM
    static let ramStart: UInt64 = 0x8000_0000

    init(machine: Bool = true) throws {
        block = .allocate(byteCount: StateLayout.size, alignment: 4096)
        block.initializeMemory(as: UInt8.self, repeating: 0, count: StateLayout.size)
        state = RISCVState(block)
        ram = try GuestRAM(start: GuestPhysical(Self.ramStart), sizeBytes: 1 << 20)
        if machine {
            state.resetMachine(pc: Self.ramStart, hartID: 3)
        } else {
            state.resetForSupervisor(pc: Self.ramStart, hartID: 3, a0: 3, a1: 0x8200_0000)
        }
        state.readTime = { _ in Hart.now }
    }

    deinit { block.deallocate() }

    /// The time CSR of all harts in tests.
    nonisolated(unsafe) static var now: UInt64 = 1000

    /// The old value, or nil when the instruction is illegal.
    @discardableResult
    func csr(_ csr: CSR, _ kind: CSROperation.Kind = .read, _ operand: UInt64 = 0) -> UInt64? {
        execute(csr, kind, operand) == .illegal ? nil : state.x(5)
    }

    @discardableResult
    func execute(_ csr: CSR, _ kind: CSROperation.Kind, _ operand: UInt64) -> CSROutcome {
        state.execute(CSROperation(csr: Int(csr.number), rd: 5, kind: kind), operand: operand)
    }

    /// Changes privilege the way software does.
    func enter(_ privilege: Privilege) {
        state.privilege = privilege
        state.updateMode()
    }

    func table(_ page: UInt64, _ index: UInt64, _ entry: UInt64) {
        ram.store(GuestPhysical(Self.ramStart + page * 4096 + index * 8), entry)
    }

    func tableEntry(_ page: UInt64, _ index: UInt64) -> UInt64 {
        ram.load(GuestPhysical(Self.ramStart + page * 4096 + index * 8)) ?? 0
    }

    /// A page table entry for page `page` of RAM.
    static func entry(_ page: UInt64, _ bits: UInt64) -> UInt64 { (ramStart / 4096 + page) << 10 | bits }
}
