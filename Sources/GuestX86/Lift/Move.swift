// Data movement: MOV and its relatives, conversions of width, conditional moves.
//
// Source: AMD APM volume 3, chapter 3.

import IR
import Translator

enum Move {
    static func join(_ row: LiftTable) {
        row("mov", mov)
        row("movzx", movzx)
        row("movsx", movsx)
        row("movsxd", movsx)
        row("movbe", movbe)
        row("lea", lea)
        row("bswap", bswap)
        row("xlat", xlat)
        row("cmovcc", cmovcc)
        row("setcc", setcc)
        row("cbw", cbw)
        row("cwd", cwd)
        for (name, segment) in [("lds", Segment.ds), ("les", .es), ("lfs", .fs), ("lgs", .gs), ("lss", .ss)] as [(StaticString, Segment)] {
            row(name) { $0.loadFarPointer(segment) }
        }
    }

    static func mov(_ l: inout Lifter) {
        switch (l.operand(0).kind, l.operand(1).kind) {
        case (.segment, _): l.moveToSegment()
        case (_, .segment): l.moveFromSegment()
        case (.control, _): System.moveToControl(&l)
        case (_, .control): System.moveFromControl(&l)
        case (.debug, _): System.moveToDebug(&l)
        case (_, .debug): System.moveFromDebug(&l)
        default: l.write(0, l.read(1, l.size(0)))
        }
    }

    static func movzx(_ l: inout Lifter) { l.extend(signed: false) }
    static func movsx(_ l: inout Lifter) { l.extend(signed: true) }

    static func movbe(_ l: inout Lifter) { l.write(0, l.b.unary(.byteSwap, l.read(1))) }

    static func lea(_ l: inout Lifter) {
        let size = l.size(0)
        l.write(0, l.b.truncate(l.effectiveAddress(), Lifter.type(size)))
    }

    /// The 16-bit form is undefined; processors write zero.
    static func bswap(_ l: inout Lifter) {
        l.write(0, l.size(0) == 2 ? l.k(0, 2) : l.b.unary(.byteSwap, l.read(0)))
    }

    static func xlat(_ l: inout Lifter) {
        let index = l.b.zeroExtend(l.register(GPR.rax, 1), .i64)
        let offset = l.truncated(l.b.add(l.register(GPR.rbx), index), Int(l.i.addressSize))
        l.setRegister(GPR.rax, 1, l.load(l.linear(l.dataSegment, offset, size: 1, write: false), 1))
    }

    static func cmovcc(_ l: inout Lifter) {
        let source = l.read(1), old = l.read(0)
        l.write(0, l.b.select(l.b.testFlags(l.condition, l.flags), source, old))
    }

    static func setcc(_ l: inout Lifter) { l.write(0, l.integer(l.b.testFlags(l.condition, l.flags), 1)) }

    /// CBW, CWDE, CDQE.
    static func cbw(_ l: inout Lifter) {
        let size = Int(l.i.operandSize)
        l.setRegister(GPR.rax, size, l.b.signExtend(l.register(GPR.rax, size / 2), Lifter.type(size)))
    }

    /// CWD, CDQ, CQO.
    static func cwd(_ l: inout Lifter) {
        let size = Int(l.i.operandSize)
        let sign = l.b.binary(.shiftRightSigned, l.register(GPR.rax, size), l.k(Int64(size * 8 - 1), size))
        l.setRegister(GPR.rdx, size, sign)
    }
}

extension Lifter {
    /// The condition in the low four bits of the opcode.
    @inline(__always)
    var condition: FlagCondition { FlagCondition(rawValue: i.opcode & 15) ?? .overflow }

    /// DS, or the segment of a prefix.
    var dataSegment: Segment { i.segment >= 0 ? Segment(rawValue: Int(i.segment)) ?? .ds : .ds }

    mutating func extend(signed: Bool) {
        let size = size(0), narrow = self.size(1)
        if narrow == size { return write(0, read(1)) }
        if isMemory(1) {
            return write(0, loadExtended(address(size: narrow, write: false), narrow, signed: signed, Self.type(size)))
        }
        let value = read(1)
        write(0, signed ? b.signExtend(value, Self.type(size)) : b.zeroExtend(value, Self.type(size)))
    }

    // MARK: segment registers

    /// MOV r/m, Sreg: 16 bits to memory, the operand size to a register.
    mutating func moveFromSegment() {
        let address = isMemory(0) ? self.address(size: 2, write: true) : nil
        guard i.reg < 6 else { return undefined() }
        let selector = b.truncate(call(.readSelector, k(Int64(i.reg))), .i16)
        if let address { return store(address, 2, selector) }
        let size = Int(i.operandSize)
        setRegister(Int(i.rm), size, b.zeroExtend(selector, Self.type(size)))
    }

    /// MOV Sreg, r/m.
    mutating func moveToSegment() {
        guard let segment = Segment(rawValue: Int(i.reg)), segment != .cs else { return undefined() }
        let selector = isMemory(1) ? load(address(size: 2, write: false), 2) : register(Int(i.rm), 2)
        loadSegment(segment, selector)
        lookup()
    }

    /// Loads a segment register from an i16; faults leave with nothing changed.
    func loadSegment(_ segment: Segment, _ selector: ValueID) {
        call(.loadSegment, k(Int64(segment.rawValue)), b.zeroExtend(selector, .i64), k(address: next))
    }

    /// LDS and its like: an offset, then a selector.
    mutating func loadFarPointer(_ segment: Segment) {
        let size = Int(i.operandSize)
        let address = self.address(size: size + 2, write: false)
        let offset = load(address, size), selector = load(address, 2, plus: Int64(size))
        loadSegment(segment, selector)
        setRegister(Int(i.reg), size, offset)
        lookup()
    }
}
