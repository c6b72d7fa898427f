// The functions generated code calls. Each sees all registers in the state block; one that must leave the unit stores an
// exit kind, and for `lookup` the pc to continue at.

import Translator

/// Index of a helper in `RISCVFront.helpers`.
enum HelperIndex: Int, CaseIterable {
    /// (CSROperation, operand, address of the next instruction)
    case csr
    /// (address of the instruction)
    case markFloatDirty
    case mret
    case sret
    /// Illegal instruction unless waiting is allowed here.
    case checkWait
    /// (address, address space, bit 0: address given, bit 1: address space given)
    case fenceVMA
}

extension RISCVFront {
    static func makeHelpers() -> [HelperFunction] {
        HelperIndex.allCases.map { index in
            switch index {
            case .csr: csrHelper
            case .markFloatDirty: markFloatDirtyHelper
            case .mret: mretHelper
            case .sret: sretHelper
            case .checkWait: checkWaitHelper
            case .fenceVMA: fenceVMAHelper
            }
        }
    }
}

extension RISCVState {
    /// Asks the running unit to be left after the helper.
    func leave(_ kind: ExitKind) { self[word: StateLayout.helperExit] = kind.rawValue }

    /// Leaves for `pc`, under the current mode.
    func leave(to pc: UInt64) {
        self.pc = pc
        leave(.lookup)
    }
}

private let csrHelper: HelperFunction = { base, operation, operand, next in
    let state = RISCVState(base)
    switch state.execute(CSROperation(rawValue: operation), operand: operand) {
    case .done: break
    case .illegal: state.leave(.illegalInstruction)
    case .leaves: state.leave(to: next)
    }
    return 0
}

private let markFloatDirtyHelper: HelperFunction = { base, pc, _, _ in
    let state = RISCVState(base)
    state.markFloatDirty()
    state.leave(to: pc)
    return 0
}

private let mretHelper: HelperFunction = { base, _, _, _ in
    let state = RISCVState(base)
    if state.mret() { state.leave(.lookup) } else { state.leave(.illegalInstruction) }
    return 0
}

private let sretHelper: HelperFunction = { base, _, _, _ in
    let state = RISCVState(base)
    if state.sret() { state.leave(.lookup) } else { state.leave(.illegalInstruction) }
    return 0
}

private let checkWaitHelper: HelperFunction = { base, _, _, _ in
    let state = RISCVState(base)
    if !state.mayWait { state.leave(.illegalInstruction) }
    return 0
}

private let fenceVMAHelper: HelperFunction = { base, address, _, given in
    let state = RISCVState(base)
    if !state.fenceVMA(address: given & 1 != 0 ? address : nil) { state.leave(.illegalInstruction) }
    return 0
}
