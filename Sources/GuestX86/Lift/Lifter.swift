// What the functions that lift one instruction work with: the builder, the instruction, the place in the code. Operands
// are in Operands.swift, addresses in Addresses.swift, leaving the unit in Leaving.swift.

import IR
import Translator

/// Meaning of one instruction: emits the IR of `Lifter.i`.
typealias LiftFunction = (inout Lifter) -> Void

/// The state of one lift.
struct Lifter {
    let b: Builder
    let mode: Mode
    /// The code segment of the mode word; nil when its base is known at run time only.
    let code: CodeSegment?
    /// The instruction being lifted, and its row.
    var i = X86Instruction()
    // SAFETY: points into the instruction set's rows, which live as long as the front.
    var row: UnsafePointer<X86Row>
    /// Linear address of the current instruction, and of the one after it (not wrapped at the end of the segment).
    var pc: UInt64
    var next: UInt64
    /// Set when the unit has its terminator.
    var ended = false
    /// Conditional branches lifted so far; a unit goes on behind the first few that lead forward.
    var sideExits = 0
    static let sideExitLimit = 3
    /// Address of the memory operand, once something has asked for it.
    var memoryOperand: X86Address?
    /// The vector of zeros, once something has asked for it.
    var zero = ValueID.none
    /// The x87 registers are known to be in the state that MMX instructions leave.
    var isMMX = false

    init(_ builder: Builder, mode: Mode, code: CodeSegment?, start: UInt64, row: UnsafePointer<X86Row>) {
        b = builder
        self.mode = mode
        self.row = row
        self.code = code
        pc = start
        next = start
    }

    /// Starts the instruction that has been decoded into `i`.
    @inline(__always)
    mutating func begin(_ address: UInt64, row: UnsafePointer<X86Row>) {
        pc = address
        next = is64 ? address &+ UInt64(i.length) : (address &+ UInt64(i.length)) & 0xFFFF_FFFF
        self.row = row
        memoryOperand = nil
    }

    @inline(__always) var is64: Bool { mode.is64 }

    /// The integer type of an operand of 1, 2, 4 or 8 bytes.
    @inline(__always)
    static func type(_ size: Int) -> ValueType {
        switch size {
        case 1: .i8
        case 2: .i16
        case 4: .i32
        default: .i64
        }
    }

    /// Memory format of an operand of 1, 2, 4, 8 or 16 bytes.
    @inline(__always)
    static func format(_ size: Int, signed: Bool = false, aligned: Bool = false) -> MemoryFormat {
        MemoryFormat(sizeLog2: size.trailingZeroBitCount, signed: signed, aligned: aligned)
    }

    @inline(__always) func k(_ value: Int64) -> ValueID { b.constant(value) }
    @inline(__always) func k(_ value: Int64, _ size: Int) -> ValueID { b.constant(value, Self.type(size)) }
    @inline(__always) func k(address: UInt64) -> ValueID { b.constant(Int64(bitPattern: address)) }

    // MARK: general registers

    /// All 64 bits of a general register, 0…15.
    @inline(__always) func register(_ number: Int) -> ValueID { b.get(number) }

    /// Low bytes of a general register. With size 1 the number means what it does under a REX prefix: never AH…BH.
    func register(_ number: Int, _ size: Int) -> ValueID { b.truncate(b.get(number), Self.type(size)) }

    /// Writes the low bytes of a general register: 4 bytes clear the upper half, 1 and 2 keep what is above.
    func setRegister(_ number: Int, _ size: Int, _ value: ValueID) {
        switch size {
        case 8: b.set(number, value)
        case 4: b.set(number, b.zeroExtend(value, .i64))
        default: b.set(number, b.deposit(b.get(number), value))
        }
    }

    /// A byte register as encoded in this instruction: 4…7 are AH CH DH BH without a REX (or VEX) prefix.
    func byteRegister(_ number: Int) -> ValueID {
        guard isHighByte(number) else { return register(number, 1) }
        return b.truncate(b.binary(.shiftRightUnsigned, b.get(number & 3), k(8)), .i8)
    }

    func setByteRegister(_ number: Int, _ value: ValueID) {
        guard isHighByte(number) else { return setRegister(number, 1, value) }
        b.set(number & 3, b.deposit(b.get(number & 3), value, bit: 8))
    }

    @inline(__always)
    func isHighByte(_ number: Int) -> Bool { number & ~3 == 4 && !i.hasREX && !i.isVEX }

    /// Reads a general register operand of 1, 2, 4 or 8 bytes as encoded in this instruction.
    @inline(__always)
    func readRegister(_ number: Int, _ size: Int) -> ValueID {
        size == 1 ? byteRegister(number) : register(number, size)
    }

    /// Writes a general register operand as encoded in this instruction.
    @inline(__always)
    func writeRegister(_ number: Int, _ size: Int, _ value: ValueID) {
        size == 1 ? setByteRegister(number, value) : setRegister(number, size, value)
    }

    // MARK: flags

    /// The status flags.
    @inline(__always) var flags: ValueID { b.get(X86Global.flags) }
    @inline(__always) func setFlags(_ value: ValueID) { b.set(X86Global.flags, value) }

    /// An integer from an i1.
    @inline(__always) func integer(_ bit: ValueID, _ size: Int) -> ValueID { b.zeroExtend(bit, Self.type(size)) }
}

/// Numbers of the general registers that instructions name.
enum GPR {
    static let rax = 0, rcx = 1, rdx = 2, rbx = 3, rsp = 4, rbp = 5, rsi = 6, rdi = 7
}
