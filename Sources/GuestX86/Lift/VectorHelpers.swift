// Helpers of vector instructions: accesses of single lanes, MXCSR.
//
// Source: AMD APM volume 4, chapter 2; volume 1, 4.2.2 (MXCSR).

import Translator

extension X86State {
    /// The six exception masks of MXCSR.
    static let mxcsrMasks: UInt32 = 0x1F80
    /// MXCSR_MASK: bits that may be set.
    static let mxcsrMask: UInt32 = 0xFFFF

    /// Lane `index` of a YMM register, of 1, 4 or 8 bytes.
    func lane(_ register: Int, _ index: Int, _ size: Int) -> UInt64 {
        let place = lanePlace(register, index * size)
        return switch size {
        case 1: UInt64(base.load(fromByteOffset: place, as: UInt8.self))
        case 4: UInt64(base.load(fromByteOffset: place, as: UInt32.self))
        default: base.load(fromByteOffset: place, as: UInt64.self)
        }
    }

    /// Writes a lane of 4 or 8 bytes.
    func setLane(_ register: Int, _ index: Int, _ size: Int, _ value: UInt64) {
        let place = lanePlace(register, index * size)
        if size == 4 {
            base.storeBytes(of: UInt32(truncatingIfNeeded: value), toByteOffset: place, as: UInt32.self)
        } else {
            base.storeBytes(of: value, toByteOffset: place, as: UInt64.self)
        }
    }

    private func lanePlace(_ register: Int, _ byte: Int) -> Int {
        byte < 16 ? X86Layout.xmm(register) + byte : X86Layout.ymmHigh(register) + byte - 16
    }

    /// Clears bytes of a YMM register from `byte` on.
    func clearLanes(_ register: Int, from byte: Int) {
        for place in stride(from: byte, to: 32, by: 8) { self[lanePlace(register, place)] = 0 }
    }
}

let probeWriteHelper: HelperFunction = { base, address, size, _ in
    let state = X86State(base), last = address &+ size &- 1
    state.withMemory { memory throws(X86Fault) in
        guard !state.mode.is64 || state.isCanonical(address) == state.isCanonical(last) else { throw .generalProtection }
        // What is wrong with both ends the store itself finds.
        if state.mode.is64 && !state.isCanonical(address) { return }
        try memory.probeWrite(address, Int(size))
    }
    return 0
}

let maskedStoreHelper: HelperFunction = { base, address, registers, _ in
    let state = X86State(base)
    let source = Int(registers & 15), mask = Int(registers >> 4 & 15)
    state.withMemory { memory throws(X86Fault) in
        let isMMX = registers & 0x100 != 0
        let count = isMMX ? 8 : 16
        func byte(_ register: Int, _ index: Int) -> UInt64 {
            isMMX ? state[X86Layout.x87Registers + (register & 7) * 16] >> UInt64(index * 8) & 0xFF
                : state.lane(register, index, 1)
        }
        let chosen = (0..<count).filter { byte(mask, $0) & 0x80 != 0 }
        for index in chosen { try memory.probeWrite(address &+ UInt64(index), 1) }
        for index in chosen { try memory.write(address &+ UInt64(index), 1, byte(source, index)) }
    }
    return 0
}

let maskedMoveHelper: HelperFunction = { base, address, request, _ in
    let state = X86State(base), request = MaskedMove(rawValue: request)
    let size = request.laneBytes, count = request.bytes / size
    state.withMemory { memory throws(X86Fault) in
        let top = UInt64(1) << UInt64(size * 8 - 1)
        let chosen = (0..<count).filter { state.lane(request.mask, $0, size) & top != 0 }
        func place(_ index: Int) -> UInt64 { address &+ UInt64(index * size) }
        if request.isStore {
            for index in chosen { try memory.probeWrite(place(index), size) }
            for index in chosen { try memory.write(place(index), size, state.lane(request.register, index, size)) }
            return
        }
        var values: [UInt64] = []
        for index in chosen { values.append(try memory.read(place(index), size)) }
        state.clearLanes(request.register, from: 0)
        for (index, value) in zip(chosen, values) { state.setLane(request.register, index, size, value) }
    }
    return 0
}

let gatherHelper: HelperFunction = { base, start, request, _ in
    let state = X86State(base), request = Gather(rawValue: request)
    let size = request.dataBytes, index = request.indexBytes
    let bytes = request.isWide ? 32 : 16
    let count = min(bytes / size, bytes / index)
    let top = UInt64(1) << UInt64(size * 8 - 1)
    // A doubleword of the mask stands for its sign before anything can fault.
    state.withMemory { memory throws(X86Fault) in
        for number in 0..<count where state.lane(request.mask, number, size) & top != 0 {
            let raw = state.lane(request.index, number, index)
            let signed = index == 4 ? Int64(Int32(truncatingIfNeeded: raw)) : Int64(bitPattern: raw)
            var address = start &+ UInt64(bitPattern: signed) &<< request.scale
            if request.addressBytes == 4 { address &= 0xFFFF_FFFF }
            address = try state.linearForHelper(request.segment, address, size: size)
            state.setLane(request.destination, number, size, try memory.read(address, size))
            state.setLane(request.mask, number, size, 0)
        }
        state.clearLanes(request.mask, from: 0)
        state.clearLanes(request.destination, from: count * size)
    }
    return 0
}

extension X86State {
    /// The linear address of an offset for reading, with the segment's checks outside 64-bit code.
    /// - Throws: #GP, #SS.
    func linearForHelper(_ number: Segment, _ offset: UInt64, size: Int) throws(X86Fault) -> UInt64 {
        let base = self[X86Layout.segmentBase(number.rawValue)]
        if mode.is64 { return number == .fs || number == .gs ? base &+ offset : offset }
        if mode.has(Mode.flatData), number != .fs, number != .gs, number != .cs { return offset & 0xFFFF_FFFF }
        let limit = UInt64(segment(number).limit)
        guard offset &+ UInt64(size) &- 1 <= limit else { throw number == .ss ? .stack : .generalProtection }
        return (base &+ offset) & 0xFFFF_FFFF
    }
}

let readMXCSRHelper: HelperFunction = { base, _, _, _ in UInt64(X86State(base)[word: StateLayout.guestMXCSR]) }

let writeMXCSRHelper: HelperFunction = { base, value, next, _ in
    let state = X86State(base)
    guard value & ~UInt64(X86State.mxcsrMask) == 0 else {
        state.leave(vector: ExceptionVector.generalProtection)
        return 0
    }
    state.setMXCSR(UInt32(truncatingIfNeeded: value), next: next)
    return 0
}

extension X86State {
    /// Writes MXCSR, which has no reserved bits set; leaves for `next` when units are lifted differently from now on.
    func setMXCSR(_ value: UInt32, next: UInt64) {
        self[word: StateLayout.guestMXCSR] = value
        let before = mode
        let traps = value & Self.mxcsrMasks != Self.mxcsrMasks
        let after = before.rawValue & ~Mode.simdTraps | (traps ? Mode.simdTraps : 0)
        guard after != before.rawValue else { return }
        mode = Mode(rawValue: after)
        leave(to: next)
    }
}
