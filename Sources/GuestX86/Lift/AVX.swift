// AVX, F16C and FMA beyond the generic operations: immediates that differ by half, broadcasts, halves of YMM registers.
//
// Source: AMD APM volume 4, chapter 2; volume 6.

import IR
import Translator

enum AVX {
    static func join(_ row: LiftTable) {
        // Immediates of which each half uses its own bits.
        for (name, operation, bits) in [("vblendps", .blendps, 4), ("vblendpd", .blendpd, 2), ("vshufpd", .shufpd, 2),
                                        ("vpblendd", .blendps, 4), ("vmpsadbw", .mpsadbw, 3)]
            as [(StaticString, VectorOperation, Int)] {
            row(name) { $0.binaryByHalves(operation, bits) }
        }
        row("vpermilps") { l in
            if l.operand(2).kind == .immediate { l.unaryVector(.pshufd) } else { l.binaryVector(.vpermilps) }
        }
        row("vpermilpd") { l in
            guard l.operand(2).kind == .immediate else { return l.binaryVector(.vpermilpd) }
            let immediate = UInt8(truncatingIfNeeded: l.i.immediate)
            l.eachHalf { l, half in
                let source = l.readVector(1, half: half)
                return l.b.vector(.shufpd, source, source, immediate: immediate >> UInt8(2 * half) & 3)
            }
        }
        broadcasts(row)
        halves(row)
        row("vzeroupper") { l in
            for number in 0..<(l.is64 ? 16 : 8) { l.b.set(X86Global.ymmHigh(number), l.zeroVector()) }
        }
        row("vzeroall") { l in
            for number in 0..<(l.is64 ? 16 : 8) { l.setVector(number, l.zeroVector(), l.zeroVector()) }
        }
        row("vcvtph2ps") { $0.widenVector(.cvtph2ps, 8) }
        row("vcvtps2ph") { $0.toHalfPrecision() }
        for name in ["vmaskmovps", "vpmaskmovd"] as [StaticString] { row(name) { $0.maskedMove(4) } }
        for name in ["vmaskmovpd", "vpmaskmovq"] as [StaticString] { row(name) { $0.maskedMove(8) } }
        fused(row)
    }

    private static func broadcasts(_ row: LiftTable) {
        for (name, operation) in [("vbroadcastss", .vpbroadcastd), ("vbroadcastsd", .vpbroadcastq),
                                  ("vpbroadcastb", .vpbroadcastb), ("vpbroadcastw", .vpbroadcastw),
                                  ("vpbroadcastd", .vpbroadcastd), ("vpbroadcastq", .vpbroadcastq)]
            as [(StaticString, VectorOperation)] {
            row(name) { l in
                let value = l.b.vector(operation, l.readVector(1))
                if l.halves(0) == 2 { l.writeVector(0, value, value) } else { l.writeVector(0, value) }
            }
        }
        for name in ["vbroadcastf128", "vbroadcasti128"] as [StaticString] {
            row(name) { l in
                let value = l.readVector(1)
                l.writeVector(0, value, value)
            }
        }
    }

    private static func halves(_ row: LiftTable) {
        for name in ["vinsertf128", "vinserti128"] as [StaticString] {
            row(name) { l in
                let source = l.readVector(2), isHigh = l.i.immediate & 1 != 0
                l.writeVector(0, isHigh ? l.readVector(1) : source, isHigh ? source : l.readVector(1, half: 1))
            }
        }
        for name in ["vextractf128", "vextracti128"] as [StaticString] {
            row(name) { l in l.writeVector(0, l.readVector(1, half: Int(l.i.immediate & 1))) }
        }
        for name in ["vperm2f128", "vperm2i128"] as [StaticString] {
            row(name) { l in
                // Memory is read whole, whatever the immediate picks.
                let sources = [l.readVector(1), l.readVector(1, half: 1), l.readVector(2), l.readVector(2, half: 1)]
                let immediate = Int(l.i.immediate)
                let low = immediate & 8 != 0 ? l.zeroVector() : sources[immediate & 3]
                let high = immediate & 0x80 != 0 ? l.zeroVector() : sources[immediate >> 4 & 3]
                l.writeVector(0, low, high)
            }
        }
    }

    private static func fused(_ row: LiftTable) {
        let names: [(StaticString, StaticString, StaticString, VectorOperation)] = [
            ("vfmadd132ps", "vfmadd213ps", "vfmadd231ps", .fmaddps), ("vfmadd132pd", "vfmadd213pd", "vfmadd231pd", .fmaddpd),
            ("vfmadd132ss", "vfmadd213ss", "vfmadd231ss", .fmaddss), ("vfmadd132sd", "vfmadd213sd", "vfmadd231sd", .fmaddsd),
            ("vfmsub132ps", "vfmsub213ps", "vfmsub231ps", .fmsubps), ("vfmsub132pd", "vfmsub213pd", "vfmsub231pd", .fmsubpd),
            ("vfmsub132ss", "vfmsub213ss", "vfmsub231ss", .fmsubss), ("vfmsub132sd", "vfmsub213sd", "vfmsub231sd", .fmsubsd),
            ("vfnmadd132ps", "vfnmadd213ps", "vfnmadd231ps", .fnmaddps),
            ("vfnmadd132pd", "vfnmadd213pd", "vfnmadd231pd", .fnmaddpd),
            ("vfnmadd132ss", "vfnmadd213ss", "vfnmadd231ss", .fnmaddss),
            ("vfnmadd132sd", "vfnmadd213sd", "vfnmadd231sd", .fnmaddsd),
            ("vfnmsub132ps", "vfnmsub213ps", "vfnmsub231ps", .fnmsubps),
            ("vfnmsub132pd", "vfnmsub213pd", "vfnmsub231pd", .fnmsubpd),
            ("vfnmsub132ss", "vfnmsub213ss", "vfnmsub231ss", .fnmsubss),
            ("vfnmsub132sd", "vfnmsub213sd", "vfnmsub231sd", .fnmsubsd),
            ("vfmaddsub132ps", "vfmaddsub213ps", "vfmaddsub231ps", .fmaddsubps),
            ("vfmaddsub132pd", "vfmaddsub213pd", "vfmaddsub231pd", .fmaddsubpd),
            ("vfmsubadd132ps", "vfmsubadd213ps", "vfmsubadd231ps", .fmsubaddps),
            ("vfmsubadd132pd", "vfmsubadd213pd", "vfmsubadd231pd", .fmsubaddpd),
        ]
        for (first, second, third, operation) in names {
            row(first) { $0.fusedVector(operation, form: 0) }
            row(second) { $0.fusedVector(operation, form: 1) }
            row(third) { $0.fusedVector(operation, form: 2) }
        }
    }
}

extension Lifter {
    /// As `binaryVector`, with `bits` of the immediate for each half.
    mutating func binaryByHalves(_ operation: VectorOperation, _ bits: Int) {
        let immediate = Int(i.immediate) & 0xFF
        let mask = halves(0) == 2 ? 1 << bits - 1 : 0xFF
        eachHalf { l, half in
            let right = l.readVector(2, half: half)
            return l.b.vector(operation, l.readVector(1, half: half), right,
                              immediate: UInt8(truncatingIfNeeded: immediate >> (half * bits) & mask))
        }
    }

    /// A fused multiply-add in the form 132 (0), 213 (1) or 231 (2).
    mutating func fusedVector(_ operation: VectorOperation, form: UInt8) {
        eachHalf { l, half in
            let third = l.readVector(2, half: half)
            return l.b.vector(operation, l.readVector(0, half: half), l.readVector(1, half: half), third, immediate: form)
        }
    }

    /// VCVTPS2PH: to half the width, register or memory.
    mutating func toHalfPrecision() {
        let immediate = UInt8(truncatingIfNeeded: i.immediate)
        let low = b.vector(.cvtps2ph, xmm(Int(i.reg)), immediate: immediate)
        guard halves(1) == 2 else {
            if isMemory(0) { return writeVector(0, low) }
            return setVector(Int(i.rm), low)
        }
        let high = b.vector(.cvtps2ph, ymmHigh(Int(i.reg)), immediate: immediate)
        let both = b.vector(.unpcklpd, low, high)
        if isMemory(0) { writeVector(0, both) } else { setVector(Int(i.rm), both) }
    }

    /// VMASKMOVPS and its kin: lanes whose mask is clear are not accessed; in a helper.
    mutating func maskedMove(_ lane: Int) {
        let isStore = isMemory(0)
        let size = i.l ? 32 : 16
        let address = value(address(size: size, write: isStore))
        let request = MaskedMove(destination: Int(i.reg), mask: Int(i.vvvv), lane: lane, isWide: i.l, isStore: isStore)
        call(.maskedMove, address, k(Int64(request.rawValue)))
        if isStore { endBehindWriting() }
    }
}

/// Argument of the helper `maskedMove`.
struct MaskedMove: RawRepresentable {
    /// Bits 3:0 register moved, 7:4 register of the mask, 8 lanes of 8 bytes, 9 256 bits, 10 store.
    let rawValue: UInt64
    init(rawValue: UInt64) { self.rawValue = rawValue }
    init(destination: Int, mask: Int, lane: Int, isWide: Bool, isStore: Bool) {
        rawValue = UInt64(destination) | UInt64(mask) << 4 | (lane == 8 ? 1 << 8 : 0) | (isWide ? 1 << 9 : 0)
            | (isStore ? 1 << 10 : 0)
    }

    var register: Int { Int(rawValue & 15) }
    var mask: Int { Int(rawValue >> 4 & 15) }
    var laneBytes: Int { rawValue & 1 << 8 != 0 ? 8 : 4 }
    var bytes: Int { rawValue & 1 << 9 != 0 ? 32 : 16 }
    var isStore: Bool { rawValue & 1 << 10 != 0 }
}
