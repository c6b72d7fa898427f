// The floating point part of x86 signal frames: the XSAVE image with the kernel's marks, and the FSAVE image that 32-bit
// frames put before it. Sources: Intel SDM vol. 1 10.5.1 (FXSAVE), 13.4 (XSAVE, standard form); the kernel's
// arch/x86/include/uapi/asm/sigcontext.h, kernel/fpu/signal.c.

import Glibc
import GuestX86
import Translator

/// Images of the x87, SSE and AVX state.
enum X86FloatFrame {
    static let legacySize = 512
    /// FXSAVE image, XSAVE header, upper halves of YMM.
    static let extendedSize = 512 + 64 + 256
    /// The same with the mark behind it; on a processor without XSAVE the FXSAVE image alone.
    static var size: Int { hasExtended ? extendedSize + 4 : legacySize }
    private static var hasExtended: Bool { X86Processor.model.features.contains(.xsave) }
    /// FSAVE image with the kernel's two words.
    static let environmentSize = 112

    private static let mark: UInt32 = 0x4650_5853, endMark: UInt32 = 0x4650_5845
    private static var features: UInt64 { X86Processor.extendedState }
    private static let header = 512, upper = 576, software = 464
    private static let mxcsrMask: UInt32 = 0x2_ffff

    /// One register of the stack: 10 bytes.
    private static func stackRegister(_ r: UnsafeMutableRawPointer, _ i: Int) -> UnsafeMutableRawPointer {
        let status = r.load(fromByteOffset: X86Layout.x87Status, as: UInt16.self)
        return r + X86Layout.x87Registers + ((Int(status >> 11) + i) & 7) * 16
    }

    // MARK: XSAVE

    /// Writes `size` bytes; `prefix` is the size of the FSAVE image before them, which the frame's total counts too.
    static func write(_ r: UnsafeMutableRawPointer, to p: UnsafeMutableRawPointer, prefix: Int = 0) {
        memset(p, 0, size)
        func half(_ offset: Int) -> UInt16 { r.load(fromByteOffset: offset, as: UInt16.self) }
        p.storeBytes(of: half(X86Layout.x87Control), toByteOffset: 0, as: UInt16.self)
        p.storeBytes(of: half(X86Layout.x87Status), toByteOffset: 2, as: UInt16.self)
        p.storeBytes(of: r.load(fromByteOffset: X86Layout.x87Tags, as: UInt8.self), toByteOffset: 4, as: UInt8.self)
        p.storeBytes(of: half(X86Layout.x87Opcode), toByteOffset: 6, as: UInt16.self)
        memcpy(p + 8, r + X86Layout.x87InstructionPointer, 8)
        memcpy(p + 16, r + X86Layout.x87DataPointer, 8)
        memcpy(p + 24, r + StateLayout.guestMXCSR, 4)
        p.storeBytes(of: mxcsrMask, toByteOffset: 28, as: UInt32.self)
        for i in 0..<8 { memcpy(p + 32 + 16 * i, stackRegister(r, i), 10) }
        memcpy(p + 160, r + X86Layout.xmm(0), 256)
        guard hasExtended else { return }
        p.storeBytes(of: mark, toByteOffset: software, as: UInt32.self)
        p.storeBytes(of: UInt32(size + prefix), toByteOffset: software + 4, as: UInt32.self)
        p.storeBytes(of: features, toByteOffset: software + 8, as: UInt64.self)
        p.storeBytes(of: UInt32(extendedSize), toByteOffset: software + 16, as: UInt32.self)
        memcpy(p + upper, r + X86Layout.ymmHigh(0), 256)
        let upperUsed = UnsafeRawBufferPointer(start: p + upper, count: 256).contains { $0 != 0 }
        let inUse = (XCR0.x87 | XCR0.sse | (upperUsed ? XCR0.avx : 0)) & features
        p.storeBytes(of: inUse, toByteOffset: header, as: UInt64.self)
        p.storeBytes(of: endMark, toByteOffset: extendedSize, as: UInt32.self)
    }

    /// Restores from the image at a guest address; false where the kernel's restore would fail. `environment` is the FSAVE
    /// image of a 32-bit frame, whose x87 part wins.
    static func read(_ r: UnsafeMutableRawPointer, at address: UInt64, environment: [UInt8]? = nil) -> Bool {
        guard address & 63 == 0, let legacy = Guest.bytes(address, legacySize) else { return false }
        return legacy.withUnsafeBytes { p in
            func word(_ at: Int) -> UInt32 { p.loadUnaligned(fromByteOffset: at, as: UInt32.self) }
            var inUse = XCR0.x87 | XCR0.sse
            var high: [UInt8]?
            let extended = word(software + 16), total = word(software + 4)
            if hasExtended, word(software) == mark, extended >= UInt32(extendedSize), extended <= 8192, total > extended,
                Guest.load(address &+ UInt64(extended), as: UInt32.self) == endMark {
                let wanted = p.loadUnaligned(fromByteOffset: software + 8, as: UInt64.self) & features
                guard let present = Guest.load(address &+ UInt64(header), as: UInt64.self),
                    let rest = Guest.bytes(address &+ UInt64(header) + 8, 56), present & ~features == 0,
                    rest.allSatisfy({ $0 == 0 }), let bytes = Guest.bytes(address &+ UInt64(upper), 256)
                else { return false }
                inUse = present & wanted
                high = bytes
            }
            let mxcsr = word(24)
            guard mxcsr & ~mxcsrMask == 0 else { return false }
            X86Program.resetFloat(r)
            if inUse & XCR0.sse != 0 {
                memcpy(r + X86Layout.xmm(0), p.baseAddress! + 160, 256)
                r.storeBytes(of: mxcsr, toByteOffset: StateLayout.guestMXCSR, as: UInt32.self)
            }
            if let high, inUse & XCR0.avx != 0 {
                high.withUnsafeBytes { _ = memcpy(r + X86Layout.ymmHigh(0), $0.baseAddress!, 256) }
            }
            if let environment {
                readEnvironment(r, environment)
            } else if inUse & XCR0.x87 != 0 {
                memcpy(r + X86Layout.x87Control, p.baseAddress!, 4)
                memcpy(r + X86Layout.x87Tags, p.baseAddress! + 4, 1)
                memcpy(r + X86Layout.x87Opcode, p.baseAddress! + 6, 2)
                memcpy(r + X86Layout.x87InstructionPointer, p.baseAddress! + 8, 16)
                for i in 0..<8 { memcpy(stackRegister(r, i), p.baseAddress! + 32 + 16 * i, 10) }
            }
            X86State(r).updateMode()
            return true
        }
    }

    // MARK: FSAVE

    /// Writes `environmentSize` bytes.
    static func writeEnvironment(_ r: UnsafeMutableRawPointer, to p: UnsafeMutableRawPointer) {
        let ones: UInt32 = 0xffff_0000
        let control = r.load(fromByteOffset: X86Layout.x87Control, as: UInt16.self)
        let status = r.load(fromByteOffset: X86Layout.x87Status, as: UInt16.self)
        let state = X86State(r)
        let words: [UInt32] = [
            UInt32(control) | ones, UInt32(status) | ones, UInt32(fullTags(r)) | ones,
            r.load(fromByteOffset: X86Layout.x87InstructionPointer, as: UInt32.self), UInt32(state.segment(.cs).selector),
            r.load(fromByteOffset: X86Layout.x87DataPointer, as: UInt32.self), UInt32(state.segment(.ds).selector) | ones,
        ]
        words.withUnsafeBytes { _ = memcpy(p, $0.baseAddress!, 28) }
        for i in 0..<8 { memcpy(p + 28 + 10 * i, stackRegister(r, i), 10) }
        p.storeBytes(of: status, toByteOffset: 108, as: UInt16.self)
        // FXSAVE data follow, or nothing does.
        let follows = X86Processor.model.features.contains(.fxsr)
        p.storeBytes(of: follows ? 0 : 0xffff, toByteOffset: 110, as: UInt16.self)
    }

    private static func readEnvironment(_ r: UnsafeMutableRawPointer, _ image: [UInt8]) {
        image.withUnsafeBytes { p in
            memcpy(r + X86Layout.x87Control, p.baseAddress!, 2)
            memcpy(r + X86Layout.x87Status, p.baseAddress! + 4, 2)
            let full = p.loadUnaligned(fromByteOffset: 8, as: UInt16.self)
            var tags: UInt8 = 0
            for i in 0..<8 where full >> UInt16(2 * i) & 3 != 3 { tags |= 1 << UInt8(i) }
            r.storeBytes(of: tags, toByteOffset: X86Layout.x87Tags, as: UInt8.self)
            let ip = p.loadUnaligned(fromByteOffset: 12, as: UInt32.self), dp = p.loadUnaligned(fromByteOffset: 20, as: UInt32.self)
            r.storeBytes(of: UInt64(ip), toByteOffset: X86Layout.x87InstructionPointer, as: UInt64.self)
            r.storeBytes(of: UInt64(dp), toByteOffset: X86Layout.x87DataPointer, as: UInt64.self)
            for i in 0..<8 { memcpy(stackRegister(r, i), p.baseAddress! + 28 + 10 * i, 10) }
        }
    }

    /// The tag word of FSAVE: two bits per register, 0 valid, 1 zero, 2 special, 3 empty.
    private static func fullTags(_ r: UnsafeMutableRawPointer) -> UInt16 {
        let tags = r.load(fromByteOffset: X86Layout.x87Tags, as: UInt8.self)
        return (0..<8).reduce(0) { result, i in
            let at = X86Layout.x87Registers + 16 * i
            let significand = r.load(fromByteOffset: at, as: UInt64.self)
            let exponent = r.load(fromByteOffset: at + 8, as: UInt16.self) & 0x7fff
            let tag: UInt16
            if tags >> UInt8(i) & 1 == 0 {
                tag = 3
            } else if exponent == 0x7fff {
                tag = 2
            } else if exponent == 0 {
                tag = significand == 0 ? 1 : 2
            } else {
                tag = significand >> 63 != 0 ? 0 : 2
            }
            return result | tag << UInt16(2 * i)
        }
    }
}
