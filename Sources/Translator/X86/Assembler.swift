// An x86-64 assembler: appends encoded instructions at a pointer. Only the forms the code generator uses.
//
// Spec: AMD64 Architecture Programmer's Manual Vol. 3 (24594), encoding of legacy, REX and VEX instructions.
// Operand order is Intel's: destination first.

/// A general purpose register by its encoding number.
enum GPR {
    static let rax: UInt8 = 0, rcx: UInt8 = 1, rdx: UInt8 = 2, rbx: UInt8 = 3
    static let rsp: UInt8 = 4, rbp: UInt8 = 5, rsi: UInt8 = 6, rdi: UInt8 = 7
    static let r8: UInt8 = 8, r9: UInt8 = 9, r10: UInt8 = 10, r11: UInt8 = 11
    static let r12: UInt8 = 12, r13: UInt8 = 13, r14: UInt8 = 14, r15: UInt8 = 15
}

/// Condition codes as in Jcc, SETcc and CMOVcc.
enum CC {
    static let o: UInt8 = 0, b: UInt8 = 2, ae: UInt8 = 3, e: UInt8 = 4, ne: UInt8 = 5, be: UInt8 = 6, a: UInt8 = 7
    static let s: UInt8 = 8, p: UInt8 = 10, np: UInt8 = 11, l: UInt8 = 12, ge: UInt8 = 13
}

/// The r/m operand of an instruction.
struct RM {
    /// Register number when `isRegister`, else base register.
    var base: UInt8
    /// Index register, or 0xFF.
    var index: UInt8 = 0xFF
    /// log2 of the index scale.
    var scale: UInt8 = 0
    var isRegister: Bool
    var displacement: Int32 = 0

    @inline(__always) static func reg(_ register: UInt8) -> RM { RM(base: register, isRegister: true) }
    @inline(__always) static func mem(_ base: UInt8, _ displacement: Int32 = 0) -> RM {
        RM(base: base, isRegister: false, displacement: displacement)
    }
    @inline(__always) static func indexed(_ base: UInt8, _ index: UInt8, scale: UInt8, _ displacement: Int32) -> RM {
        RM(base: base, index: index, scale: scale, isRegister: false, displacement: displacement)
    }
    /// A field of the guest state block.
    @inline(__always) static func state(_ offset: Int) -> RM {
        .mem(GPR.rbp, Int32(truncatingIfNeeded: offset - StateLayout.bias))
    }
}

/// Group-1 arithmetic, by opcode extension.
enum ALU {
    static let add: UInt8 = 0, or: UInt8 = 1, adc: UInt8 = 2, sbb: UInt8 = 3, and: UInt8 = 4, sub: UInt8 = 5, xor: UInt8 = 6, cmp: UInt8 = 7
}

/// Emits machine code at `at`.
struct Assembler {
    /// Where the next byte goes, in the writable view of the code cache.
    var at: UnsafeMutablePointer<UInt8>

    @inline(__always) mutating func byte(_ value: UInt8) {
        at.pointee = value
        at += 1
    }

    @inline(__always) mutating func int32(_ value: Int32) {
        UnsafeMutableRawPointer(at).storeBytes(of: value, as: Int32.self)
        at += 4
    }

    @inline(__always) mutating func int64(_ value: Int64) {
        UnsafeMutableRawPointer(at).storeBytes(of: value, as: Int64.self)
        at += 8
    }

    // MARK: prefixes and ModRM

    /// Appends the low `count` bytes of a word. Up to eight bytes are written, whatever lies behind is still to come.
    @inline(__always) mutating func bytes(_ word: UInt64, _ count: UInt64) {
        UnsafeMutableRawPointer(at).storeBytes(of: word, as: UInt64.self)
        at += Int(truncatingIfNeeded: count)
    }

    /// ModRM, SIB and displacement for `reg` and an r/m operand.
    @inline(__always) mutating func modRM(_ reg: UInt8, _ rm: RM) { finish(0, 0, reg, rm) }

    /// Appends the `count` bytes of an instruction so far, and ModRM, SIB and displacement.
    @inline(__always) private mutating func finish(_ start: UInt64, _ count: UInt64, _ reg: UInt8, _ rm: RM) {
        let field = UInt64(reg & 7) << 3, low = UInt64(rm.base & 7)
        let shift = count &<< 3
        if rm.isRegister { return bytes(start | (0xC0 | field | low) &<< shift, count &+ 1) }
        let displacement = UInt64(UInt32(bitPattern: rm.displacement))
        var word: UInt64, length: UInt64
        if rm.index != 0xFF {
            word = field | 4 | (UInt64(rm.scale) &<< 6 | UInt64(rm.index & 7) << 3 | low) << 8
            length = 2
        } else if low == 4 {
            word = field | 4 | 0x24 << 8
            length = 2
        } else {
            word = field | low
            length = 1
        }
        if rm.displacement == 0 && low != 5 {
            // no displacement
        } else if rm.displacement == Int32(Int8(truncatingIfNeeded: rm.displacement)) {
            word |= 0x40 | (displacement & 0xFF) &<< (length &<< 3)
            length &+= 1
        } else {
            word |= 0x80 | displacement &<< (length &<< 3)
            length &+= 4
        }
        if count &+ length <= 8 { return bytes(start | word &<< shift, count &+ length) }
        bytes(start, count)
        bytes(word, length)
    }

    /// REX prefix when needed. `byteRegister`: the reg or register r/m is used as an 8-bit register, where sil/dil
    /// and their kin exist only with a REX prefix.
    @inline(__always) mutating func rex(wide: Bool, _ reg: UInt8, _ rm: RM, byteRegister: Bool = false) {
        var prefix: UInt8 = wide ? 0x48 : 0x40
        if reg >= 8 { prefix |= 4 }
        if rm.base >= 8 { prefix |= 1 }
        if rm.index != 0xFF && rm.index >= 8 { prefix |= 2 }
        if prefix != 0x40 || byteRegister { byte(prefix) }
    }

    /// The REX prefix of an instruction, 0x40 when it needs none.
    @inline(__always) private func prefix(wide: Bool, _ reg: UInt8, _ rm: RM) -> UInt64 {
        let index = rm.index == 0xFF ? 0 : rm.index >> 3
        return 0x40 | (wide ? 8 : 0) | UInt64(reg >> 3) << 2 | UInt64(index) << 1 | UInt64(rm.base >> 3)
    }

    /// One-byte opcode with reg and r/m.
    @inline(__always) mutating func op(_ opcode: UInt8, wide: Bool, _ reg: UInt8, _ rm: RM) {
        let prefix = prefix(wide: wide, reg, rm)
        if prefix != 0x40 { finish(prefix | UInt64(opcode) << 8, 2, reg, rm) } else { finish(UInt64(opcode), 1, reg, rm) }
    }

    /// 0F-prefixed opcode.
    @inline(__always) mutating func op0F(_ opcode: UInt8, wide: Bool, _ reg: UInt8, _ rm: RM) {
        let prefix = prefix(wide: wide, reg, rm)
        if prefix != 0x40 {
            finish(prefix | 0x0F00 | UInt64(opcode) << 16, 3, reg, rm)
        } else {
            finish(0x0F | UInt64(opcode) << 8, 2, reg, rm)
        }
    }

    /// Mandatory prefix, then 0F opcode.
    @inline(__always) mutating func opPrefixed0F(_ prefix: UInt8, _ opcode: UInt8, wide: Bool, _ reg: UInt8, _ rm: RM) {
        byte(prefix)
        op0F(opcode, wide: wide, reg, rm)
    }

    // MARK: moves

    @inline(__always) mutating func mov(_ destination: UInt8, _ source: UInt8, wide: Bool = true) {
        if destination == source && wide { return }
        op(0x8B, wide: wide, destination, .reg(source))
    }

    @inline(__always) mutating func load(_ destination: UInt8, _ source: RM, wide: Bool = true) {
        op(0x8B, wide: wide, destination, source)
    }

    @inline(__always) mutating func store(_ destination: RM, _ source: UInt8, wide: Bool = true) {
        op(0x89, wide: wide, source, destination)
    }

    /// Any 64-bit constant, in the shortest form. Leaves flags alone.
    mutating func movImmediate(_ destination: UInt8, _ value: Int64) {
        if value >= 0 && value <= 0xFFFF_FFFF {
            if destination >= 8 { byte(0x41) }
            byte(0xB8 | destination & 7)
            int32(Int32(truncatingIfNeeded: value))
        } else if value == Int64(Int32(truncatingIfNeeded: value)) {
            rex(wide: true, 0, .reg(destination))
            byte(0xC7)
            modRM(0, .reg(destination))
            int32(Int32(truncatingIfNeeded: value))
        } else {
            byte(destination >= 8 ? 0x49 : 0x48)
            byte(0xB8 | destination & 7)
            int64(value)
        }
    }

    /// Stores a 32-bit immediate, sign-extended when wide.
    mutating func storeImmediate(_ destination: RM, _ value: Int32, wide: Bool) {
        op(0xC7, wide: wide, 0, destination)
        int32(value)
    }

    @inline(__always) mutating func lea(_ destination: UInt8, _ source: RM, wide: Bool = true) {
        op(0x8D, wide: wide, destination, source)
    }

    @inline(__always) mutating func movsxd(_ destination: UInt8, _ source: RM) { op(0x63, wide: true, destination, source) }

    @inline(__always) mutating func xchg(_ register: UInt8, _ memory: RM, wide: Bool) {
        op(0x87, wide: wide, register, memory)
    }

    // MARK: arithmetic

    @inline(__always) mutating func alu(_ operation: UInt8, _ destination: UInt8, _ source: RM, wide: Bool = true) {
        op(operation << 3 | 3, wide: wide, destination, source)
    }

    @inline(__always)
    mutating func alu(_ operation: UInt8, _ destination: RM, immediate: Int32, wide: Bool = true) {
        if destination.isRegister {
            alu(operation, register: destination.base, immediate, wide: wide)
        } else {
            alu(operation, memory: destination, immediate, wide: wide)
        }
    }

    private mutating func alu(_ operation: UInt8, register: UInt8, _ immediate: Int32, wide: Bool) {
        let prefix: UInt64 = 0x40 | (wide ? 8 : 0) | UInt64(register >> 3)
        let isShort = immediate == Int32(Int8(truncatingIfNeeded: immediate))
        let modRM = 0xC0 | UInt64(operation) << 3 | UInt64(register & 7)
        let word = (isShort ? 0x83 : 0x81) | modRM << 8 | UInt64(UInt32(bitPattern: immediate)) << 16
        if prefix != 0x40 {
            bytes(word << 8 | prefix, isShort ? 4 : 7)
        } else {
            bytes(word, isShort ? 3 : 6)
        }
    }

    private mutating func alu(_ operation: UInt8, memory destination: RM, _ immediate: Int32, wide: Bool) {
        if immediate >= -128 && immediate <= 127 {
            op(0x83, wide: wide, operation, destination)
            byte(UInt8(truncatingIfNeeded: immediate))
        } else {
            op(0x81, wide: wide, operation, destination)
            int32(immediate)
        }
    }

    @inline(__always) mutating func test(_ a: UInt8, _ b: UInt8, wide: Bool = true) { op(0x85, wide: wide, b, .reg(a)) }

    mutating func testImmediate(_ a: UInt8, _ value: Int32, wide: Bool = false) {
        op(0xF7, wide: wide, 0, .reg(a))
        int32(value)
    }

    /// Shift by constant: extension 4 shl, 5 shr, 7 sar, 0 rol, 1 ror.
    mutating func shift(_ operation: UInt8, _ destination: UInt8, by amount: UInt8, wide: Bool = true) {
        op(0xC1, wide: wide, operation, .reg(destination))
        byte(amount)
    }

    /// Shift by CL.
    mutating func shiftCL(_ operation: UInt8, _ destination: UInt8, wide: Bool = true) {
        op(0xD3, wide: wide, operation, .reg(destination))
    }

    /// F7 group: 2 not, 3 neg, 4 mul, 5 imul, 6 div, 7 idiv.
    @inline(__always) mutating func group3(_ operation: UInt8, _ operand: RM, wide: Bool = true) {
        op(0xF7, wide: wide, operation, operand)
    }

    mutating func imul(_ destination: UInt8, _ source: RM, wide: Bool = true) {
        op0F(0xAF, wide: wide, destination, source)
    }

    mutating func imul(_ destination: UInt8, _ source: RM, immediate: Int32, wide: Bool = true) {
        op(0x69, wide: wide, destination, source)
        int32(immediate)
    }

    /// SETcc on the low byte.
    mutating func set(_ condition: UInt8, _ destination: UInt8) {
        rex(wide: false, 0, .reg(destination), byteRegister: true)
        byte(0x0F)
        byte(0x90 | condition)
        modRM(0, .reg(destination))
    }

    mutating func cmov(_ condition: UInt8, _ destination: UInt8, _ source: RM, wide: Bool = true) {
        op0F(0x40 | condition, wide: wide, destination, source)
    }

    /// movzx/movsx from an 8 or 16 bit register or memory. opcode B6 zx8, B7 zx16, BE sx8, BF sx16.
    mutating func extend(_ opcode: UInt8, _ destination: UInt8, _ source: RM, wide: Bool) {
        rex(wide: wide, destination, source, byteRegister: source.isRegister && (opcode & 1) == 0)
        byte(0x0F)
        byte(opcode)
        modRM(destination, source)
    }

    // MARK: control flow

    /// jmp rel32 with a displacement to be filled in; returns where the displacement is.
    @inline(__always) mutating func jmp() -> UnsafeMutablePointer<UInt8> {
        bytes(0xE9, 5)
        return at - 4
    }

    @inline(__always) mutating func jcc(_ condition: UInt8) -> UnsafeMutablePointer<UInt8> {
        bytes(0x800F | UInt64(condition) << 8, 6)
        return at - 4
    }

    @inline(__always) mutating func call() -> UnsafeMutablePointer<UInt8> {
        bytes(0xE8, 5)
        return at - 4
    }

    /// Fills a rel32 so that it reaches `target`.
    @inline(__always) static func patch(_ displacement: UnsafeMutablePointer<UInt8>, to target: UnsafeMutablePointer<UInt8>) {
        let distance = target - (displacement + 4)
        UnsafeMutableRawPointer(displacement).storeBytes(of: Int32(truncatingIfNeeded: distance), as: Int32.self)
    }

    @inline(__always) mutating func jmp(to target: UnsafeMutablePointer<UInt8>) { Self.patch(jmp(), to: target) }
    @inline(__always) mutating func jcc(_ condition: UInt8, to target: UnsafeMutablePointer<UInt8>) {
        Self.patch(jcc(condition), to: target)
    }
    @inline(__always) mutating func call(to target: UnsafeMutablePointer<UInt8>) { Self.patch(call(), to: target) }

    mutating func jmpIndirect(_ target: RM) { op(0xFF, wide: false, 4, target) }
    mutating func callIndirect(_ target: RM) { op(0xFF, wide: false, 2, target) }
    @inline(__always) mutating func ret() { byte(0xC3) }

    mutating func push(_ register: UInt8) {
        if register >= 8 { byte(0x41) }
        byte(0x50 | register & 7)
    }

    mutating func pop(_ register: UInt8) {
        if register >= 8 { byte(0x41) }
        byte(0x58 | register & 7)
    }

    mutating func push(immediate: Int32) {
        byte(0x68)
        int32(immediate)
    }

    mutating func push(_ memory: RM) { op(0xFF, wide: false, 6, memory) }
    mutating func pop(_ memory: RM) { op(0x8F, wide: false, 0, memory) }

    /// Pads with the fewest no-operation instructions until `alignment` divides the address plus `phase`.
    mutating func align(_ alignment: Int, phase: Int = 0) {
        while (Int(bitPattern: at) + phase) % alignment != 0 { byte(0x90) }
    }
}
