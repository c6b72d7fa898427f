// MMX and 3DNow!. MMX registers are the significands of the x87 registers R0…R7: every instruction makes all of them
// valid with TOP = 0, and a write sets sign and exponent to all ones. Operations are those on vectors, in the low half.
//
// Source: AMD APM volume 5, chapter 1; volume 2, 11.

import IR
import Translator

enum MMX {
    static func join(_ row: LiftTable) {
        for name in ["emms", "femms"] as [StaticString] {
            row(name) { l in
                l.checkPendingX87()
                // AMD processors clear TOP too.
                let state = l.b.get(X86Global.x87)
                l.b.set(X86Global.x87, l.b.and(state, l.k(~(0xFF << 32 | 7 << 27))))
                l.isMMX = false
            }
        }
        row("pshufw") { l in
            l.enterMMX()
            let source = l.b.vectorFromInteger(l.readMMX(1))
            let result = l.b.vector(.pshuflw, source, immediate: UInt8(truncatingIfNeeded: l.i.immediate))
            l.setMMX(Int(l.i.reg & 7), l.b.vectorToInteger(result, .i64))
        }
        row("movntq") { l in
            l.enterMMX()
            l.writeMMX(0, l.b.get(X86Global.mmx(Int(l.i.reg & 7))))
            l.finishMMX()
        }
        row("maskmovq") { $0.maskedBytes() }
        for name in ["pi2fd", "pf2id", "pfcmpge", "pfmin", "pfrcp", "pfrsqrt", "pfsub", "pfadd", "pfcmpgt", "pfmax",
                     "pfrcpit1", "pfrsqit1", "pfsubr", "pfacc", "pfcmpeq", "pfmul", "pfrcpit2", "pmulhrw", "pi2fw", "pf2iw",
                     "pfnacc", "pfpnacc"] as [StaticString] {
            row(name) { l in
                l.enterMMX()
                let source = l.readMMX(1), old = l.b.get(X86Global.mmx(Int(l.i.reg & 7)))
                l.setMMX(Int(l.i.reg & 7), l.call(.threeDNow, old, source, l.k(Int64(l.row.pointee.opcode))))
            }
        }
        row("pavgusb") { $0.binaryMMX(.pavgb) }
        row("pswapd") { l in
            l.enterMMX()
            let source = l.readMMX(1)
            l.setMMX(Int(l.i.reg & 7), l.b.binary(.rotateLeft, source, l.k(32)))
        }
    }
}

extension Lifter {
    /// Raises #MF when an unmasked x87 exception is pending.
    mutating func checkPendingX87() {
        let summary = b.and(b.get(X86Global.x87), k(0x80 << 16))
        raiseIf(.notEqual, summary, k(0), ExceptionVector.x87)
    }

    /// What every MMX instruction begins with.
    mutating func enterMMX() {
        if !isMMX { checkPendingX87() }
    }

    /// What every MMX instruction but EMMS does to the x87 registers, once it cannot fault any more: all valid, TOP = 0.
    mutating func finishMMX() {
        if isMMX { return }
        let state = b.and(b.get(X86Global.x87), k(~(7 << 27)))
        b.set(X86Global.x87, b.or(state, k(0xFF << 32)))
        isMMX = true
    }

    mutating func setMMX(_ number: Int, _ value: ValueID) {
        finishMMX()
        b.set(X86Global.mmx(number), value)
        b.set(X86Global.mmxExponent(number), k(0xFFFF))
    }

    /// An MMX register or memory operand, of 4 or 8 bytes, as i64.
    mutating func readMMX(_ number: Int) -> ValueID {
        guard isMemory(number) else { return b.get(X86Global.mmx(vectorNumber(number) & 7)) }
        let size = size(number)
        return loadExtended(address(size: size, write: false), size, signed: false)
    }

    mutating func writeMMX(_ number: Int, _ value: ValueID) {
        if isMemory(number) { store(address(size: 8, write: true), 8, value) } else { setMMX(vectorNumber(number) & 7, value) }
    }

    mutating func unaryMMX(_ operation: VectorOperation) {
        enterMMX()
        let result = b.vector(operation, b.vectorFromInteger(readMMX(1)), immediate: vectorImmediate(operation))
        setMMX(Int(i.reg & 7), b.vectorToInteger(result, .i64))
    }

    mutating func shiftMMX(_ operation: VectorOperation) {
        enterMMX()
        let source = b.vectorFromInteger(b.get(X86Global.mmx(Int(i.rm & 7))))
        let result = b.vector(operation, source, immediate: UInt8(truncatingIfNeeded: i.immediate))
        setMMX(Int(i.rm & 7), b.vectorToInteger(result, .i64))
    }

    mutating func binaryMMX(_ operation: VectorOperation) {
        enterMMX()
        let destination = Int(i.reg & 7)
        let left = b.get(X86Global.mmx(destination)), right = readMMX(1)
        setMMX(destination, mmxResult(operation, left, right))
    }

    private func mmxResult(_ operation: VectorOperation, _ left: ValueID, _ right: ValueID) -> ValueID {
        switch operation {
        case .pand: return b.and(left, right)
        case .pandn: return b.binary(.andNot, right, left)
        case .por: return b.or(left, right)
        case .pxor: return b.xor(left, right)
        case .paddq: return b.add(left, right)
        case .psubq: return b.sub(left, right)
        default: break
        }
        let x = b.vectorFromInteger(left)
        var y = b.vectorFromInteger(right)
        let result: ValueID
        switch operation {
        case .packsswb, .packssdw, .packuswb, .phaddw, .phaddd, .phaddsw, .phsubw, .phsubd, .phsubsw:
            let both = b.vector(.punpcklqdq, x, y)
            result = b.vector(operation, both, both)
        case .punpckhbw: result = upper(b.vector(.punpcklbw, x, y))
        case .punpckhwd: result = upper(b.vector(.punpcklwd, x, y))
        case .punpckhdq: result = upper(b.vector(.punpckldq, x, y))
        case .palignr:
            result = b.vector(.psrldq, b.vector(.punpcklqdq, y, x), immediate: UInt8(truncatingIfNeeded: i.immediate))
        case .pshufb:
            // Indices are of three bits.
            y = b.vectorFromInteger(b.and(right, k(Int64(bitPattern: 0x8787_8787_8787_8787))))
            result = b.vector(operation, x, y)
        default: result = b.vector(operation, x, y, immediate: vectorImmediate(operation))
        }
        return b.vectorToInteger(result, .i64)
    }

    private func upper(_ vector: ValueID) -> ValueID { b.vector(.psrldq, vector, immediate: 8) }
}
