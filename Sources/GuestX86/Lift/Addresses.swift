// Effective and linear addresses, and memory operands of any size.
//
// An offset is truncated to the address size. In 64-bit code segments have no base but FS and GS; elsewhere ES CS SS DS
// vanish when the mode word says that they are flat, FS and GS are added when it says that they span everything, and
// what is left is checked and added by a helper.
//
// Source: AMD APM volume 2, 4.5 to 4.12; volume 3, 1.4.

import IR
import Translator

/// A linear address: base + displacement, kept apart for the translator.
struct X86Address {
    var base: ValueID
    var displacement: Int64 = 0
}

extension Lifter {
    // MARK: effective addresses

    /// The offset in its segment that the ModRM byte names, truncated to the address size.
    func effectiveAddress() -> ValueID {
        let parts = addressParts()
        return truncated(b.add(parts.base, k(parts.displacement)), Int(i.addressSize))
    }

    /// Base, index and displacement before truncation.
    private func addressParts() -> X86Address {
        if i.isRIPRelative { return X86Address(base: k(address: next &+ UInt64(bitPattern: i.displacement))) }
        var sum = ValueID.none
        if i.base >= 0 { sum = register(Int(i.base)) }
        if i.index >= 0 {
            let scaled = b.binary(.shiftLeft, register(Int(i.index)), k(Int64(i.scale)))
            sum = sum == .none ? scaled : b.add(sum, scaled)
        }
        if sum == .none { return X86Address(base: k(i.displacement)) }
        return X86Address(base: sum, displacement: i.displacement)
    }

    /// An offset modulo 2^16, 2^32 or 2^64, as i64.
    func truncated(_ offset: ValueID, _ size: Int) -> ValueID {
        size == 8 ? offset : b.zeroExtend(b.truncate(offset, Self.type(size)), .i64)
    }

    // MARK: linear addresses

    /// The memory operand's linear address. Computed once per instruction; the first to ask says what for.
    /// - Parameters:
    ///   - size: bytes accessed from there on, for the limit check.
    ///   - write: whether it is written (too).
    mutating func address(size: Int, write: Bool) -> X86Address {
        if let memoryOperand { return memoryOperand }
        let segment = Segment(rawValue: i.defaultSegment) ?? .ds
        let result: X86Address
        if i.addressSize == 8 {
            // No truncation: the displacement stays apart.
            var parts = addressParts()
            if segment == .fs || segment == .gs { parts.base = b.add(b.get(X86Global.segmentBase(segment)), parts.base) }
            result = parts
        } else {
            result = linear(segment, effectiveAddress(), size: size, write: write)
        }
        memoryOperand = result
        return result
    }

    /// The linear address of `offset` (i64, already truncated to the address size) in a segment, checked against the
    /// segment's limit and type.
    func linear(_ segment: Segment, _ offset: ValueID, size: Int, write: Bool) -> X86Address {
        if is64 {
            guard segment == .fs || segment == .gs else { return X86Address(base: offset) }
            return X86Address(base: b.add(b.get(X86Global.segmentBase(segment)), offset))
        }
        switch segment {
        case .ds, .es, .ss:
            if mode.has(Mode.flatData) { return X86Address(base: offset) }
        case .fs:
            if mode.has(Mode.wideFS) { return based(segment, offset) }
        case .gs:
            if mode.has(Mode.wideGS) { return based(segment, offset) }
        case .cs: break
        }
        let access = SegmentRequest(segment: segment, size: size, write: write)
        return X86Address(base: call(.linear, k(Int64(access.rawValue)), offset))
    }

    private func based(_ segment: Segment, _ offset: ValueID) -> X86Address {
        X86Address(base: truncated(b.add(b.get(X86Global.segmentBase(segment)), offset), 4))
    }

    // MARK: accesses

    /// One value for an address, where an operation takes no displacement.
    func value(_ address: X86Address) -> ValueID { b.add(address.base, k(address.displacement)) }

    /// `size` bytes (1, 2, 4 or 8) as the integer of that size.
    func load(_ address: X86Address, _ size: Int, plus: Int64 = 0) -> ValueID {
        b.load(address.base, address.displacement &+ plus, memoryFormat(size), Self.type(size))
    }

    /// `size` bytes extended to an i64.
    func loadExtended(_ address: X86Address, _ size: Int, signed: Bool, _ type: ValueType = .i64) -> ValueID {
        b.load(address.base, address.displacement, memoryFormat(size, signed: signed), type)
    }

    /// Stores the low `size` bytes of a value.
    func store(_ address: X86Address, _ size: Int, _ value: ValueID, plus: Int64 = 0) {
        b.store(address.base, address.displacement &+ plus, value, memoryFormat(size))
    }

    /// A 16-byte vector; a misaligned address faults when `aligned`.
    func loadVector(_ address: X86Address, aligned: Bool, plus: Int64 = 0) -> ValueID {
        b.load(address.base, address.displacement &+ plus, Self.format(16, aligned: aligned), .v128)
    }

    func storeVector(_ address: X86Address, _ value: ValueID, aligned: Bool, plus: Int64 = 0) {
        b.store(address.base, address.displacement &+ plus, value, Self.format(16, aligned: aligned))
    }

    /// Goes before stores that make up one of `size` bytes: when they span two pages, none is made unless all can be. The
    /// instruction is then executed again alone, behind a helper that looks.
    func keepWhole(_ address: X86Address, _ size: Int) {
        let start = value(address)
        if mode.has(Mode.single) {
            call(.probeWrite, start, k(Int64(size)))
        } else {
            b.raiseIf(.lessUnsigned, k(Int64(4096 - size)), b.and(start, k(0xFFF)),
                      code: UInt8(truncatingIfNeeded: ExitKind.alone.rawValue))
        }
    }

    /// Format of an integer access: #AC is checked only where the mode says so.
    func memoryFormat(_ size: Int, signed: Bool = false) -> MemoryFormat {
        Self.format(size, signed: signed, aligned: mode.has(Mode.alignment) && size > 1)
    }

    // MARK: the stack

    /// Bytes of the stack pointer: 8, 4 (SS.B) or 2.
    var stackSize: Int { is64 ? 8 : mode.has(Mode.stack32) ? 4 : 2 }

    /// Address of the stack at `offset` from the stack pointer.
    func stackAddress(_ offset: Int64, size: Int, write: Bool) -> X86Address {
        if is64 { return X86Address(base: register(GPR.rsp), displacement: offset) }
        let place = truncated(b.add(register(GPR.rsp), k(offset)), stackSize)
        return linear(.ss, place, size: size, write: write)
    }

    /// Adds to the stack pointer, at its width.
    func moveStackPointer(_ amount: Int64) {
        setRegister(GPR.rsp, stackSize, b.add(register(GPR.rsp, stackSize), k(amount, stackSize)))
    }

    /// Pushes a value of `size` bytes: the stack pointer changes only when the store has succeeded.
    func push(_ value: ValueID, _ size: Int) {
        store(stackAddress(-Int64(size), size: size, write: true), size, value)
        moveStackPointer(-Int64(size))
    }

    /// The value of `size` bytes at `offset` above the stack pointer, which stays.
    func peek(_ size: Int, offset: Int64 = 0) -> ValueID {
        load(stackAddress(offset, size: size, write: false), size)
    }
}

/// Argument of the helper `linear`: what an access through a segment wants.
struct SegmentRequest: RawRepresentable {
    /// Bits 2:0 segment, bit 3 write, bits 31:8 size in bytes.
    let rawValue: UInt64
    init(rawValue: UInt64) { self.rawValue = rawValue }
    init(segment: Segment, size: Int, write: Bool) {
        rawValue = UInt64(segment.rawValue) | (write ? 8 : 0) | UInt64(size) << 8
    }

    /// The segment; numbers that name none count as DS.
    var segment: Segment { Segment(rawValue: Int(rawValue & 7)) ?? .ds }
    var isWrite: Bool { rawValue & 8 != 0 }
    var size: UInt64 { rawValue >> 8 & 0xFF_FFFF }
}
