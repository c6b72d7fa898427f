// SSE4.1 and SSE4.2 beyond the generic operations, and SHA256RNDS2. The AVX forms of the same names are here too.
//
// Source: AMD APM volume 4, chapter 2.

import IR
import Translator

enum SSE4 {
    static func join(_ row: LiftTable) {
        for (name, wide, operation, step) in [
            ("pmovsxbw", "vpmovsxbw", .pmovsxbw, 8), ("pmovsxbd", "vpmovsxbd", .pmovsxbd, 4),
            ("pmovsxbq", "vpmovsxbq", .pmovsxbq, 2), ("pmovsxwd", "vpmovsxwd", .pmovsxwd, 8),
            ("pmovsxwq", "vpmovsxwq", .pmovsxwq, 4), ("pmovsxdq", "vpmovsxdq", .pmovsxdq, 8),
            ("pmovzxbw", "vpmovzxbw", .pmovzxbw, 8), ("pmovzxbd", "vpmovzxbd", .pmovzxbd, 4),
            ("pmovzxbq", "vpmovzxbq", .pmovzxbq, 2), ("pmovzxwd", "vpmovzxwd", .pmovzxwd, 8),
            ("pmovzxwq", "vpmovzxwq", .pmovzxwq, 4), ("pmovzxdq", "vpmovzxdq", .pmovzxdq, 8),
        ] as [(StaticString, StaticString, VectorOperation, Int)] {
            row(name) { $0.widenVector(operation, step) }
            row(wide) { $0.widenVector(operation, step) }
        }
        for (name, wide, operation) in [("pblendvb", "vpblendvb", .pblendvb), ("blendvps", "vblendvps", .blendvps),
                                        ("blendvpd", "vblendvpd", .blendvpd)]
            as [(StaticString, StaticString, VectorOperation)] {
            row(name) { $0.ternaryVector(operation) }
            row(wide) { $0.ternaryVector(operation) }
        }
        row("sha256rnds2") { $0.ternaryVector(.sha256rnds2) }
        for name in ["insertps", "vinsertps"] as [StaticString] {
            row(name) { l in
                // A memory operand is the lane.
                if l.isMemory(l.i.isVEX ? 2 : 1) { l.i.immediate &= 0x3F }
                l.binaryVector(.insertps)
            }
        }
        for name in ["pinsrb", "vpinsrb"] as [StaticString] { row(name) { $0.insertInteger(.pinsrb) } }
        for name in ["pinsrd", "vpinsrd"] as [StaticString] {
            row(name) { l in
                // VEX.W outside 64-bit code is undefined.
                if l.i.isVEX && l.i.w && !l.is64 { return l.undefined() }
                l.insertInteger(l.size(l.i.isVEX ? 2 : 1) == 8 ? .pinsrq : .pinsrd)
            }
        }
        for name in ["pextrb", "vpextrb"] as [StaticString] { row(name) { $0.extractInteger(.pextrb) } }
        for name in ["pextrd", "vpextrd"] as [StaticString] {
            row(name) { l in
                if l.i.isVEX && l.i.w && !l.is64 { return l.undefined() }
                l.extractInteger(l.size(0) == 8 ? .pextrq : .pextrd)
            }
        }
        for name in ["extractps", "vextractps"] as [StaticString] { row(name) { $0.extractInteger(.pextrd) } }
        for name in ["pcmpistri", "vpcmpistri"] as [StaticString] {
            row(name) { $0.compareStrings(.pcmpistri, .pcmpistriFlags) }
        }
        for name in ["pcmpistrm", "vpcmpistrm"] as [StaticString] {
            row(name) { $0.compareStrings(.pcmpistrm, .pcmpistriFlags) }
        }
        for name in ["pcmpestri", "vpcmpestri"] as [StaticString] {
            row(name) { $0.compareStrings(.pcmpestri, .pcmpestriFlags) }
        }
        for name in ["pcmpestrm", "vpcmpestrm"] as [StaticString] {
            row(name) { $0.compareStrings(.pcmpestrm, .pcmpestriFlags) }
        }
    }
}

extension Lifter {
    /// destination = operation(destination, source, XMM0), or of three operands with VEX.
    mutating func ternaryVector(_ operation: VectorOperation) {
        let first = i.isVEX ? 1 : 0
        eachHalf { l, half in
            let right = l.readVector(first + 1, half: half)
            return l.b.vector(operation, l.readVector(first, half: half), right, l.readVector(first + 2, half: half))
        }
    }

    /// PCMPxSTRx: an index in ECX or a mask in XMM0, and flags.
    mutating func compareStrings(_ operation: VectorOperation, _ flagOperation: VectorOperation) {
        let immediate = UInt8(truncatingIfNeeded: i.immediate)
        let right = readVector(1), left = xmm(Int(i.reg))
        let lengths = operation.signature.c == .void ? ValueID.none : stringLengths(isWord: immediate & 1 != 0)
        let result = b.vector(operation, left, right, lengths, immediate: immediate)
        let flags = b.vector(flagOperation, left, right, lengths, immediate: immediate)
        if operation.signature.result == .v128 { setVector(0, result) } else { setRegister(GPR.rcx, 4, result) }
        setFlags(flags)
    }

    /// The absolute values of EAX and EDX (RAX and RDX with REX.W), saturated to the number of elements.
    private func stringLengths(isWord: Bool) -> ValueID {
        let size = i.w && is64 ? 8 : 4
        func length(_ number: Int) -> ValueID {
            let value = register(number, size), zero = k(0, size), limit = k(isWord ? 8 : 16, size)
            let magnitude = b.select(b.compare(.lessSigned, value, zero), b.sub(zero, value), value)
            let saturated = b.select(b.compare(.lessUnsigned, magnitude, limit), magnitude, limit)
            return b.truncate(saturated, .i32)
        }
        return b.or(length(GPR.rax), b.binary(.shiftLeft, length(GPR.rdx), k(8, 4)))
    }
}
