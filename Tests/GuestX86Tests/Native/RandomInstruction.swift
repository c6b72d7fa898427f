// Random encodings of a row, and registers that make their memory operands fall into a harness's data.

import IR
@testable import GuestX86

/// Makes encodings of rows.
struct RandomInstruction {
    let row: X86Row
    let number: Int
    let is64: Bool

    init(_ number: Int, is64: Bool) {
        self.number = number
        row = InstructionTable.rows[number]
        self.is64 = is64
    }

    /// Whether the row exists in this code.
    var isPossible: Bool { row.constraint.modes & (is64 ? 2 : 1) != 0 }

    /// A random encoding that the decoder takes for this row, or nil when none was found quickly.
    func encode(_ decoder: X86Decoder, _ random: inout SeededGenerator) -> (bytes: [UInt8], decoded: X86Instruction)? {
        for _ in 0..<40 {
            let bytes = attempt(&random)
            var decoded = X86Instruction()
            let outcome = (bytes + [UInt8](repeating: 0xCC, count: 16)).withUnsafeBufferPointer {
                decoder.decode($0.baseAddress!, available: $0.count, codeSize: is64 ? .bits64 : .bits32, into: &decoded)
            }
            guard outcome == .decoded, Int(decoded.row) == number else { continue }
            return (Array((bytes + [UInt8](repeating: 0, count: 16)).prefix(Int(decoded.length))), decoded)
        }
        return nil
    }

    private func pickBit(_ mask: UInt8, _ random: inout SeededGenerator) -> UInt8 {
        let choices = (0..<8).filter { mask >> $0 & 1 != 0 }
        return choices.isEmpty ? 0 : UInt8(random.pick(choices))
    }

    func attempt(_ random: inout SeededGenerator) -> [UInt8] {
        var bytes: [UInt8] = []
        let flags = row.flags, constraint = row.constraint
        let prefix = pickBit(constraint.prefixes & (constraint.prefixes == 15 ? 3 : 15), &random)
        let needsW = constraint.ws == 2, mayW = constraint.ws & 2 != 0
        let w = needsW || mayW && random.once(in: 2)
        let opcode = UInt8(UInt64(row.opcode) + random.next() % UInt64(row.lastOpcode - row.opcode + 1))
        if row.map.isVEX {
            let l = constraint.ls == 2 || constraint.ls == 3 && random.once(in: 2)
            let r = !is64 || random.once(in: 2), x = !is64 || random.once(in: 2), b = !is64 || random.once(in: 2)
            let map: UInt8 = row.map == .vex0F ? 1 : row.map == .vex0F38 ? 2 : 3
            let vvvv: UInt8 = flags.contains(.vvvv) ? random.byte() & 15 | (is64 ? 0 : 8) : 15
            bytes = [0xC4, (r ? 0x80 : 0) | (x ? 0x40 : 0) | (b ? 0x20 : 0) | map,
                     (w ? 0x80 : 0) | vvvv << 3 | (l ? 4 : 0) | pickBit(constraint.prefixes, &random), opcode]
        } else {
            if prefix == 1 { bytes.append(0x66) }
            if prefix == 2 { bytes.append(0xF3) }
            if prefix == 3 { bytes.append(0xF2) }
            if prefix >= 2, random.once(in: 4) { bytes.append(0x66) }
            if random.once(in: 12) { bytes.append(0x67) }
            if flags.contains(.lock), random.once(in: 3) { bytes.append(0xF0) }
            if is64, w || random.once(in: 2) { bytes.append(0x40 | (w ? 8 : 0) | random.byte() & 7) }
            switch row.map {
            case .map0F: bytes += [0x0F]
            case .map0F38: bytes += [0x0F, 0x38]
            case .map0F3A: bytes += [0x0F, 0x3A]
            case .threeDNow: bytes += [0x0F, 0x0F]
            default: break
            }
            if row.map != .threeDNow { bytes.append(opcode) }
        }
        if flags.contains(.modRM) || row.map == .threeDNow { appendModRM(&bytes, constraint, &random) }
        if row.map == .threeDNow {
            bytes.append(opcode)
        } else {
            for _ in 0..<8 { bytes.append(random.once(in: 3) ? random.pick([0, 1, 0xFF, 0x80, 0x7F, 8, 31, 32]) : random.byte()) }
        }
        return bytes
    }

    private func appendModRM(_ bytes: inout [UInt8], _ constraint: X86Row.Constraint, _ random: inout SeededGenerator) {
        let isRegister = constraint.mods == 2 || constraint.mods == 3 && random.once(in: 2)
        let reg = pickBit(constraint.regs, &random), rm = pickBit(constraint.rms, &random)
        if isRegister { return bytes.append(0xC0 | reg << 3 | rm) }
        let mod = UInt8(random.next() % 3)
        bytes.append(mod << 6 | reg << 3 | rm)
        if rm == 4 { bytes.append(random.byte()) }
        let size = mod == 1 ? 1 : mod == 2 ? 4 : 0
        for index in 0..<size { bytes.append(size == 4 && index >= 2 ? (random.once(in: 2) ? 0 : 0xFF) : random.byte()) }
    }
}

extension X86Harness {
    /// Points the memory operand of an instruction into the data, by changing its base register; false where that cannot
    /// be done.
    func aim(_ decoded: X86Instruction, _ registers: inout X86Registers, at target: UInt64, is64: Bool) -> Bool {
        guard decoded.isMemory else { return true }
        guard !decoded.isRIPRelative, decoded.base >= 0, decoded.addressSize >= 4, decoded.segment < 0 else { return false }
        let base = Int(decoded.base), index = Int(decoded.index)
        if base == index { return false }
        var scaled: UInt64 = 0
        if index >= 0 {
            registers.general[index] &= 0xFFFF
            scaled = registers.general[index] << UInt64(decoded.scale)
        }
        let value = target &- UInt64(bitPattern: decoded.displacement) &- scaled
        registers.general[base] = decoded.addressSize == 4 ? value & 0xFFFF_FFFF : value
        return is64 || registers.general[base] >> 32 == 0
    }
}
