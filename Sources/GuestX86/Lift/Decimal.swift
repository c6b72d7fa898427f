// The instructions on packed and unpacked decimal numbers: all done by a helper.
//
// Source: AMD APM volume 3, AAA AAD AAM AAS DAA DAS; undefined flags as on AMD processors.

import IR
import Translator

enum Decimal {
    static func join(_ row: LiftTable) {
        row("daa") { $0.decimal(.daa) }
        row("das") { $0.decimal(.das) }
        row("aaa") { $0.decimal(.aaa) }
        row("aas") { $0.decimal(.aas) }
        row("aam") { $0.decimal(.aam) }
        row("aad") { $0.decimal(.aad) }
    }
}

/// First argument of the helper `decimal`.
enum DecimalOperation: UInt64 {
    case daa, das, aaa, aas, aam, aad
}

extension Lifter {
    func decimal(_ operation: DecimalOperation) { call(.decimal, k(Int64(operation.rawValue)), k(i.immediate & 0xFF)) }
}

extension X86State {
    /// False for #DE.
    fileprivate func execute(_ operation: DecimalOperation, _ immediate: UInt8) -> Bool {
        let ax = UInt16(truncatingIfNeeded: register(Self.rax))
        let al = UInt8(truncatingIfNeeded: ax), ah = UInt8(truncatingIfNeeded: ax >> 8)
        let before = eflags
        switch operation {
        case .daa, .das: return adjustPacked(al, ah, before, subtract: operation == .das)
        case .aaa, .aas: return adjustUnpacked(ax, before, subtract: operation == .aas)
        case .aam:
            guard immediate != 0 else { return false }
            finishDecimal(al % immediate, al / immediate, carry: false, adjust: false)
        case .aad:
            // CF AF OF are those of the addition.
            let product = ah &* immediate, sum = al &+ product
            finishDecimal(sum, 0, carry: sum < al, adjust: (al ^ product ^ sum) & 16 != 0,
                          overflow: (al ^ sum) & (product ^ sum) & 0x80 != 0)
        }
        return true
    }

    private func adjustPacked(_ al: UInt8, _ ah: UInt8, _ before: UInt32, subtract: Bool) -> Bool {
        let low = al & 0xF > 9 || before & EFlags.af != 0
        let high = al > 0x99 || before & EFlags.cf != 0
        var value = al, carry = high
        if low {
            // Borrowing out of the byte by the low digit's correction is a carry too.
            if subtract { carry = carry || al < 6 } else { carry = carry || al > 0xF9 }
            value = subtract ? value &- 6 : value &+ 6
        }
        if high { value = subtract ? value &- 0x60 : value &+ 0x60 }
        // OF tells that the sign has changed: to 1 by DAA, to 0 by DAS.
        let overflow = subtract ? al & ~value & 0x80 != 0 : ~al & value & 0x80 != 0
        finishDecimal(value, ah, carry: carry, adjust: low, overflow: overflow)
        return true
    }

    private func adjustUnpacked(_ ax: UInt16, _ before: UInt32, subtract: Bool) -> Bool {
        let adjust = ax & 0xF > 9 || before & EFlags.af != 0
        var value = ax
        if adjust { value = subtract ? ax &- 0x106 : ax &+ 0x106 }
        // The flags are those of the whole of AX, before the upper digit is cleared.
        let al = UInt8(truncatingIfNeeded: value)
        setRegister(Self.rax, UInt64(value & 0xFF0F), size: 2)
        var bits: UInt32 = adjust ? EFlags.cf | EFlags.af : 0
        if al.nonzeroBitCount & 1 == 0 { bits |= EFlags.pf }
        if value == 0 { bits |= EFlags.zf }
        if value & 0x8000 != 0 { bits |= EFlags.sf }
        if (subtract ? ax & ~value : ~ax & value) & 0x8000 != 0 { bits |= EFlags.of }
        self[X86Layout.flags] = Self.packed(bits)
        return true
    }

    /// Writes AX, and the flags: SF ZF PF of AL.
    private func finishDecimal(_ al: UInt8, _ ah: UInt8, carry: Bool, adjust: Bool, overflow: Bool = false) {
        setRegister(Self.rax, UInt64(ah) << 8 | UInt64(al), size: 2)
        var bits: UInt32 = 0
        if carry { bits |= EFlags.cf }
        if overflow { bits |= EFlags.of }
        if al.nonzeroBitCount & 1 == 0 { bits |= EFlags.pf }
        if adjust { bits |= EFlags.af }
        if al == 0 { bits |= EFlags.zf }
        if al & 0x80 != 0 { bits |= EFlags.sf }
        self[X86Layout.flags] = Self.packed(bits)
    }
}

let decimalHelper: HelperFunction = { base, operation, immediate, _ in
    let state = X86State(base)
    guard let operation = DecimalOperation(rawValue: operation) else { return 0 }
    if !state.execute(operation, UInt8(truncatingIfNeeded: immediate)) { state.leave(vector: ExceptionVector.divide) }
    return 0
}
