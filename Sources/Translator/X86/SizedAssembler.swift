// Forms of the assembler with an operand size of 1, 2, 4 or 8 bytes.

extension Assembler {
    /// An instruction whose opcode has bit 0 clear for bytes; reg may be an opcode extension.
    @inline(__always)
    private mutating func sized(_ opcode: UInt8, _ reg: UInt8, _ rm: RM, _ size: Int, extensionField: Bool = false) {
        if size == 2 { byte(0x66) }
        let byteRegister = size == 1 && (!extensionField && reg >= 4 || rm.isRegister && rm.base >= 4)
        rex(wide: size == 8, extensionField ? 0 : reg, rm, byteRegister: byteRegister)
        byte(size == 1 ? opcode & ~1 : opcode)
        modRM(reg, rm)
    }

    @inline(__always)
    private mutating func immediate(_ value: Int32, size: Int) {
        switch size {
        case 1: byte(UInt8(truncatingIfNeeded: value))
        case 2:
            byte(UInt8(truncatingIfNeeded: value))
            byte(UInt8(truncatingIfNeeded: value >> 8))
        default: int32(value)
        }
    }

    mutating func alu(_ operation: UInt8, _ destination: UInt8, _ source: RM, size: Int) {
        sized(operation << 3 | 3, destination, source, size)
    }

    mutating func alu(_ operation: UInt8, _ destination: RM, immediate value: Int32, size: Int) {
        if size > 1 && value >= -128 && value <= 127 {
            if size == 2 { byte(0x66) }
            op(0x83, wide: size == 8, operation, destination)
            byte(UInt8(truncatingIfNeeded: value))
        } else {
            sized(0x81, operation, destination, size, extensionField: true)
            immediate(value, size: size)
        }
    }

    mutating func test(_ a: UInt8, _ b: UInt8, size: Int) { sized(0x85, b, .reg(a), size) }
    mutating func test(_ a: RM, _ b: UInt8, size: Int) { sized(0x85, b, a, size) }

    mutating func testImmediate(_ a: RM, _ value: Int32, size: Int) {
        sized(0xF7, 0, a, size, extensionField: true)
        immediate(value, size: size)
    }

    /// Group 2 by a constant: extension 0 rol, 1 ror, 2 rcl, 3 rcr, 4 shl, 5 shr, 7 sar.
    mutating func shift(_ operation: UInt8, _ destination: UInt8, by amount: UInt8, size: Int) {
        sized(0xC1, operation, .reg(destination), size, extensionField: true)
        byte(amount)
    }

    /// Group 2 by CL.
    mutating func shiftCL(_ operation: UInt8, _ destination: UInt8, size: Int) {
        sized(0xD3, operation, .reg(destination), size, extensionField: true)
    }

    /// Groups with one operand; opcode FE: 0 inc, 1 dec; F6: 2 not, 3 neg, 4 mul, 5 imul, 6 div, 7 idiv.
    mutating func group(_ opcode: UInt8, _ operation: UInt8, _ operand: RM, size: Int) {
        sized(opcode | 1, operation, operand, size, extensionField: true)
    }

    mutating func imul(_ destination: UInt8, _ source: RM, immediate value: Int32, size: Int) {
        if size == 2 { byte(0x66) }
        op(0x69, wide: size == 8, destination, source)
        immediate(value, size: size)
    }

    /// The low byte or half word of a register becomes the source's; the rest stays.
    mutating func movePart(_ destination: UInt8, _ source: RM, size: Int) { sized(0x8B, destination, source, size) }

    mutating func moveImmediatePart(_ destination: UInt8, _ value: Int32, size: Int) {
        sized(0xC7, 0, .reg(destination), size, extensionField: true)
        immediate(value, size: size)
    }

    /// lock cmpxchg: the accumulator is compared.
    mutating func lockedCompareExchange(_ memory: RM, _ desired: UInt8, size: Int) {
        byte(0xF0)
        if size == 2 { byte(0x66) }
        rex(wide: size == 8, desired, memory, byteRegister: size == 1 && desired >= 4)
        byte(0x0F)
        byte(size == 1 ? 0xB0 : 0xB1)
        modRM(desired, memory)
    }

    /// lock xadd.
    mutating func lockedExchangeAdd(_ memory: RM, _ register: UInt8, size: Int) {
        byte(0xF0)
        if size == 2 { byte(0x66) }
        rex(wide: size == 8, register, memory, byteRegister: size == 1 && register >= 4)
        byte(0x0F)
        byte(size == 1 ? 0xC0 : 0xC1)
        modRM(register, memory)
    }

    mutating func exchange(_ register: UInt8, _ memory: RM, size: Int) { sized(0x87, register, memory, size) }

    /// Zero- or sign-extends the low `size` bytes of a register to 64 bits (zero) or 32 or 64 (sign).
    mutating func extend(_ register: UInt8, size: Int, signed: Bool, wide: Bool = true) {
        switch size {
        case 1: extend(signed ? 0xBE : 0xB6, register, .reg(register), wide: wide && signed)
        case 2: extend(signed ? 0xBF : 0xB7, register, .reg(register), wide: wide && signed)
        case 4: if signed { movsxd(register, .reg(register)) } else { mov(register, register, wide: false) }
        default: break
        }
    }
}
