// Zicsr and the privileged instructions. All work is done by helpers (Helpers.swift); what is known from the mode word is
// decided here.
//
// Spec: Volume I, "Zicsr"; Volume II, Machine-Level ISA, Supervisor-Level ISA.

import IR
import Translator

enum System {
    static func join(_ row: LiftTable) {
        row("csrrw", csrrw)
        row("csrrs", csrrs)
        row("csrrc", csrrc)
        row("csrrwi", csrrwi)
        row("csrrsi", csrrsi)
        row("csrrci", csrrci)
        row("mret", mret)
        row("sret", sret)
        row("wfi", wfi)
        row("sfence.vma", sfence_vma)
    }

    static func csrrw(_ l: inout Lifter, _ i: Word) { l.csr(i, .write, l.x(i.rs1)) }
    static func csrrs(_ l: inout Lifter, _ i: Word) { l.csr(i, i.rs1 == 0 ? .read : .set, l.x(i.rs1)) }
    static func csrrc(_ l: inout Lifter, _ i: Word) { l.csr(i, i.rs1 == 0 ? .read : .clear, l.x(i.rs1)) }
    static func csrrwi(_ l: inout Lifter, _ i: Word) { l.csr(i, .write, l.k(Int64(i.rs1))) }
    static func csrrsi(_ l: inout Lifter, _ i: Word) { l.csr(i, i.rs1 == 0 ? .read : .set, l.k(Int64(i.rs1))) }
    static func csrrci(_ l: inout Lifter, _ i: Word) { l.csr(i, i.rs1 == 0 ? .read : .clear, l.k(Int64(i.rs1))) }

    static func mret(_ l: inout Lifter, _: Word) {
        guard l.mode.isSystem, l.mode.privilege == .machine else { return l.illegal() }
        l.call(.mret)
        l.raise(.lookup, l.next)
    }

    static func sret(_ l: inout Lifter, _: Word) {
        guard l.mode.isSystem, l.mode.privilege != .user else { return l.illegal() }
        l.call(.sret)
        l.raise(.lookup, l.next)
    }

    static func wfi(_ l: inout Lifter, _: Word) {
        guard l.mode.isSystem, l.mode.privilege != .user else { return l.illegal() }
        if l.mode.privilege != .machine { l.call(.checkWait) }
        l.raise(.wait, l.next)
    }

    static func sfence_vma(_ l: inout Lifter, _ i: Word) {
        guard l.mode.isSystem, l.mode.privilege != .user else { return l.illegal() }
        let address = l.x(i.rs1), space = l.x(i.rs2)
        l.call(.fenceVMA, address, space, l.k((i.rs1 != 0 ? 1 : 0) | (i.rs2 != 0 ? 2 : 0)))
        l.raise(.lookup, l.next)
    }
}

/// What a CSR instruction does, packed into a helper argument.
struct CSROperation {
    enum Kind: UInt64 {
        case write, set, clear, read
    }
    let rawValue: UInt64

    @inline(__always) init(rawValue: UInt64) { self.rawValue = rawValue }
    init(csr: Int, rd: Int, kind: Kind) { rawValue = UInt64(csr) | UInt64(rd) << 12 | kind.rawValue << 17 }

    var csr: CSR { CSR(UInt16(rawValue & 0xFFF)) }
    var rd: Int { Int(rawValue >> 12 & 31) }
    var kind: Kind { Kind(rawValue: rawValue >> 17 & 3) ?? .read }
}

extension Lifter {
    /// frflags and fsflags stand in compiled code around every quiet comparison, so they are not left to a helper.
    private func liftsFlags(_ i: Word, _ kind: CSROperation.Kind, _ operand: ValueID) -> Bool {
        guard i.csr == 0x001, kind == .read || kind == .write,
              !mode.isSystem || mode.float == .usable else { return false }
        if kind == .read {
            setX(i.rd, b.readFloatFlags())
        } else {
            let old = i.rd == 0 ? ValueID.none : b.readFloatFlags()
            b.writeFloatFlags(operand)
            if i.rd != 0 { setX(i.rd, old) }
        }
        return true
    }

    /// The helper writes rd itself, because it may leave the unit when the mode changes.
    func csr(_ i: Word, _ kind: CSROperation.Kind, _ operand: ValueID) {
        if liftsFlags(i, kind, operand) { return }
        let operation = CSROperation(csr: i.csr, rd: i.rd, kind: kind)
        call(.csr, k(Int64(bitPattern: operation.rawValue)), operand, k(Int64(bitPattern: next)))
    }
}
