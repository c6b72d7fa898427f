// Saving and restoring the x87 and vector state as a whole: FNSTENV, FNSAVE, FXSAVE, XSAVE and their kin.
//
// Source: AMD APM volume 2, 11.5 (images); volume 5, FNSAVE, FXSAVE; Intel SDM volume 1, 13 (XSAVE).

import IR
import Translator

enum StateImages {
    static func join(_ row: LiftTable) {
        row("fnstenv") { $0.saveImage(.environment, size: $0.i.operandSize == 2 ? 14 : 28) }
        row("fldenv") { $0.loadImage(.environment, size: $0.i.operandSize == 2 ? 14 : 28) }
        row("fnsave") { $0.saveImage(.all, size: $0.i.operandSize == 2 ? 94 : 108) }
        row("frstor") { $0.loadImage(.all, size: $0.i.operandSize == 2 ? 94 : 108) }
        row("fxsave") { $0.saveImage(.fxsave, size: 512, alignment: 16) }
        row("fxrstor") { $0.loadImage(.fxsave, size: 512, alignment: 16) }
        row("xsave") { $0.saveImage(.xsave, size: 576, alignment: 64) }
        row("xsaveopt") { $0.saveImage(.xsaveopt, size: 576, alignment: 64) }
        row("xsavec") { $0.saveImage(.xsavec, size: 576, alignment: 64) }
        row("xsaves") { $0.saveImage(.xsavec, size: 576, alignment: 64) }
        row("xrstor") { $0.loadImage(.xsave, size: 576, alignment: 64) }
        row("xrstors") { $0.loadImage(.xsaves, size: 576, alignment: 64) }
    }
}

/// Argument of the helpers `saveImage` and `loadImage`.
struct StateImage: RawRepresentable {
    enum Kind: UInt64 { case environment, all, fxsave, xsave, xsaveopt, xsavec, xsaves }

    /// Bits 3:0 kind, 4 operand size 2, 5 REX.W.
    let rawValue: UInt64
    init(rawValue: UInt64) { self.rawValue = rawValue }
    init(_ kind: Kind, isNarrow: Bool, isWide: Bool) {
        rawValue = kind.rawValue | (isNarrow ? 16 : 0) | (isWide ? 32 : 0)
    }

    var kind: Kind { Kind(rawValue: rawValue & 15) ?? .environment }
    var isNarrow: Bool { rawValue & 16 != 0 }
    var isWide: Bool { rawValue & 32 != 0 }
}

extension Lifter {
    private mutating func imageAddress(size: Int, alignment: Int64, write: Bool) -> ValueID {
        let address = value(address(size: size, write: write))
        if alignment > 1 {
            raiseIf(.notEqual, b.and(address, k(alignment - 1)), k(0), ExceptionVector.generalProtection)
        }
        return address
    }

    private func image(_ kind: StateImage.Kind) -> ValueID {
        k(Int64(StateImage(kind, isNarrow: i.operandSize == 2, isWide: i.w).rawValue))
    }

    mutating func saveImage(_ kind: StateImage.Kind, size: Int, alignment: Int64 = 1) {
        if mode.has(Mode.noFPU) { return raise(ExceptionVector.deviceNotAvailable) }
        let address = imageAddress(size: size, alignment: alignment, write: true)
        call(.saveImage, address, image(kind))
        isMMX = false
        endBehindWriting()
    }

    mutating func loadImage(_ kind: StateImage.Kind, size: Int, alignment: Int64 = 1) {
        if mode.has(Mode.noFPU) { return raise(ExceptionVector.deviceNotAvailable) }
        if kind == .environment || kind == .all { checkPendingX87() }
        let address = imageAddress(size: size, alignment: alignment, write: false)
        call(.loadImage, address, image(kind), k(address: next))
        isMMX = false
    }
}

let saveImageHelper: HelperFunction = { base, address, image, _ in
    let state = X86State(base), image = StateImage(rawValue: image)
    state.withMemory { memory throws(X86Fault) in
        switch image.kind {
        case .environment, .all: try state.saveEnvironment(image, address, memory)
        case .fxsave:
            var bytes = StateBuffer(count: 512)
            try bytes.read(memory, address, 512) // what is not written stays
            state.writeFXSave(&bytes, isWide: image.isWide, parts: 3)
            try bytes.write(memory, address, 512)
        default: try state.saveExtended(image, address, memory)
        }
    }
    return 0
}

let loadImageHelper: HelperFunction = { base, address, image, next in
    let state = X86State(base), image = StateImage(rawValue: image)
    state.withMemory { memory throws(X86Fault) in
        switch image.kind {
        case .environment, .all: try state.loadEnvironment(image, address, memory)
        case .fxsave:
            var bytes = StateBuffer(count: 512)
            try bytes.read(memory, address, 512)
            let mxcsr = bytes.u32(24)
            guard mxcsr & ~X86State.mxcsrMask == 0 else { throw .generalProtection }
            state.readX87(bytes, isWide: image.isWide)
            state.readVectors(bytes)
            state.setMXCSR(mxcsr, next: next)
        default: try state.loadExtended(image, address, memory, next: next)
        }
    }
    return 0
}

/// An image on its way to or from memory.
struct StateBuffer {
    private var bytes: [UInt8]
    init(count: Int) { bytes = [UInt8](repeating: 0, count: count) }

    private func get<T: FixedWidthInteger>(_ at: Int, as: T.Type) -> T {
        bytes.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: T.self)) }
    }
    func u16(_ at: Int) -> UInt16 { get(at, as: UInt16.self) }
    func u32(_ at: Int) -> UInt32 { get(at, as: UInt32.self) }
    func u64(_ at: Int) -> UInt64 { get(at, as: UInt64.self) }

    mutating func put<T: FixedWidthInteger & UnsignedInteger>(_ value: T, _ at: Int) {
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: value.littleEndian, toByteOffset: at, as: T.self) }
    }

    /// How many of `left` bytes at an address lie in its page.
    private static func inPage(_ address: UInt64, _ left: Int) -> Int { min(left, 4096 - Int(address & 0xFFF)) }

    mutating func read(_ memory: HelperMemory, _ address: UInt64, _ count: Int) throws(X86Fault) {
        var offset = 0
        while offset < count {
            let place = address &+ UInt64(offset), chunk = Self.inPage(place, count - offset)
            if let host = memory.host(place, chunk, isWrite: false) {
                bytes.withUnsafeMutableBytes { $0.baseAddress.map { ($0 + offset).copyMemory(from: host, byteCount: chunk) } }
                offset += chunk
                continue
            }
            let size = count - offset >= 8 ? 8 : count - offset >= 4 ? 4 : 2
            let value = try memory.read(place, size)
            for index in 0..<size { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(index * 8)) }
            offset += size
        }
    }

    /// Writes `count` bytes from `start` on, which must be probed before when they may span more than two pages.
    func write(_ memory: HelperMemory, _ address: UInt64, _ count: Int, from start: Int = 0) throws(X86Fault) {
        if count == 0 { return }
        try memory.probeWrite(address, count)
        var offset = 0
        while offset < count {
            let place = address &+ UInt64(offset), chunk = Self.inPage(place, count - offset)
            if let host = memory.host(place, chunk, isWrite: true) {
                bytes.withUnsafeBytes { $0.baseAddress.map { host.copyMemory(from: $0 + start + offset, byteCount: chunk) } }
                offset += chunk
                continue
            }
            let size = count - offset >= 8 ? 8 : count - offset >= 4 ? 4 : 2
            let at = start + offset
            let value = size == 8 ? u64(at) : size == 4 ? UInt64(u32(at)) : UInt64(u16(at))
            try memory.write(place, size, value)
            offset += size
        }
    }
}
