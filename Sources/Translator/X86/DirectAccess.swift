// Loads and stores of integers where guest addresses are host addresses: one host instruction, whose operands are in host
// registers most of the time. What needs more than that is left to Memory.swift.

import IR

extension CodeGenerator {
    /// The opcode of a load, 0F in front of it included, and whether it needs REX.W.
    @inline(__always)
    private static func loadOpcode(_ format: MemoryFormat, wide: Bool) -> (opcode: UInt64, count: UInt64, wide: Bool) {
        switch format.rawValue {
        case 0: (0xB60F, 2, false)
        case 1: (0xB70F, 2, false)
        case 2: (0x8B, 1, false)
        case 8: (0xBE0F, 2, wide)
        case 9: (0xBF0F, 2, wide)
        case 10: (wide ? 0x63 : 0x8B, 1, wide)
        default: (0x8B, 1, true)
        }
    }

    /// Whether an access is a single host instruction: in the host's byte order, at any alignment, near its base.
    @inline(__always)
    private func isDirect(_ operation: UnsafeMutablePointer<Instruction>) -> Bool {
        options.identityMemory && operation.pointee.aux & 0x37 <= 3 && !operation.pointee.type.inVectorRegister
            && operation.pointee.imm == Int64(Int32(truncatingIfNeeded: operation.pointee.imm))
    }

    /// - Returns: false, with nothing done, for a load that is not direct.
    func loadToRegister(_ index: Int, _ operation: UnsafeMutablePointer<Instruction>) -> Bool {
        guard isDirect(operation) else { return false }
        let direct = directTarget(index)
        let a = operation.pointee.a
        let base = integerRegister(a)
        let target = destination(direct, a)
        let (opcode, count, wide) = Self.loadOpcode(MemoryFormat(rawValue: operation.pointee.aux),
                                                    wide: operation.pointee.type == .i64)
        asm.access(opcode, count, wide: wide, target, base, Int32(truncatingIfNeeded: operation.pointee.imm))
        consume(a)
        define(index, target, direct: direct)
        return true
    }

    /// - Returns: false, with nothing done, for a store that is not direct.
    func storeRegister(_ index: Int, _ operation: UnsafeMutablePointer<Instruction>) -> Bool {
        guard isDirect(operation) else { return false }
        let a = operation.pointee.a, value = operation.pointee.b
        let displacement = Int32(truncatingIfNeeded: operation.pointee.imm)
        let size = operation.pointee.aux & 3
        if let immediate = immediate32(value) {
            let base = integerRegister(a)
            if size == 1 { asm.byte(0x66) }
            asm.access(size == 0 ? 0xC6 : 0xC7, 1, wide: size == 3, 0, base, displacement)
            asm.int32(immediate)
            asm.at -= size == 0 ? 3 : size == 1 ? 2 : 0
        } else {
            let source = integerRegister(value)
            let base = integerRegister(a)
            if size == 1 { asm.byte(0x66) }
            // Without a REX prefix 4…7 would be AH…BH.
            asm.access(size == 0 ? 0x88 : 0x89, 1, wide: size == 3, source, base, displacement, anyREX: size == 0)
        }
        consume(a)
        consume(value)
        return true
    }
}

extension Assembler {
    /// An instruction with a register and memory at base + displacement.
    /// - Parameters:
    ///   - opcode: in the order of memory, `count` bytes.
    ///   - anyREX: it has a REX prefix even if that says nothing.
    @inline(__always)
    mutating func access(_ opcode: UInt64, _ count: UInt64, wide: Bool, _ reg: UInt8, _ base: UInt8,
                         _ displacement: Int32, anyREX: Bool = false) {
        let prefix = 0x40 | (wide ? 8 : 0) | UInt64(reg >> 3) << 2 | UInt64(base >> 3)
        let low = UInt64(base & 7)
        let isShort = displacement == Int32(Int8(truncatingIfNeeded: displacement))
        let isNone = displacement == 0 && low != 5
        let mod: UInt64 = isNone ? 0 : isShort ? 0x40 : 0x80
        var tail = mod | UInt64(reg & 7) << 3 | low, length = count &+ 1
        if low == 4 {
            tail |= 0x2400
            length &+= 1
        }
        var word = opcode | tail &<< (count &<< 3)
        if prefix != 0x40 || anyREX {
            word = word << 8 | prefix
            length &+= 1
        }
        bytes(word, length)
        UnsafeMutableRawPointer(at).storeBytes(of: displacement, as: Int32.self)
        at += isNone ? 0 : isShort ? 1 : 4
    }
}
