// The operations on 128-bit vectors: each is an x86 SIMD instruction's meaning on values, named by its mnemonic (Intel
// SDM vol. 2, AMD APM vol. 4 and 5). VectorTable.swift gives each its shape and encoding.
//
// Differences from the instructions: no operand is memory, and the result is a value of its own. Scalar operations take
// the upper lanes of their result from a and compute with b (sqrtss: a upper lanes, root of b). `fmadd…`: a·b + c, the
// upper lanes of scalar forms from a. `…Immediate` shifts by the immediate byte. `cvt…32/64` names the integer's width.
// `movss`, `movsd`: the lowest lane of b over a. Absent: accesses to memory (gather, maskmov), what 128-bit operations
// compose (lanes that cross 128 bits). Explicit string lengths are one i32: that of b (EDX) in bits 15…8, that of a (EAX)
// in bits 7…0, both saturated to 0…16 as absolute values.

/// A vector operation. Raw values number the rows of `VectorTable`.
public enum VectorOperation: UInt16, CaseIterable, Sendable {
    case zero, addps, addpd, addss, addsd, mulps, mulpd, mulss, mulsd, subps, subpd, subss, subsd, minps
    case minpd, minss, minsd, divps, divpd, divss, divsd, maxps, maxpd, maxss, maxsd, sqrtps, sqrtpd, sqrtss
    case sqrtsd, rcpps, rcpss, rsqrtps, rsqrtss, andps, andnps, orps, xorps, cmpps, cmppd, cmpss, cmpsd
    case ucomiss, ucomisd, comiss, comisd, shufps, shufpd, unpcklps, unpckhps, unpcklpd, unpckhpd, movss
    case movsd, movhlps, cvtps2pd, cvtpd2ps, cvtdq2ps, cvtps2dq, cvttps2dq, cvtpd2dq, cvttpd2dq, cvtdq2pd
    case cvtss2sd, cvtsd2ss, cvtsi2ss32, cvtsi2ss64, cvtsi2sd32, cvtsi2sd64, cvtss2si32, cvtss2si64
    case cvttss2si32, cvttss2si64, cvtsd2si32, cvtsd2si64, cvttsd2si32, cvttsd2si64, movmskps, movmskpd
    case haddpd, haddps, hsubpd, hsubps, addsubpd, addsubps, movsldup, movshdup, movddup, blendps, blendpd
    case blendvps, blendvpd, pblendvb, dpps, dppd, roundps, roundpd, roundss, roundsd, insertps, vpermilps
    case vpermilpd, vtestps, vtestpd, ptest, fmaddps, fmaddpd, fmaddss, fmaddsd, fmsubps, fmsubpd, fmsubss
    case fmsubsd, fnmaddps, fnmaddpd, fnmaddss, fnmaddsd, fnmsubps, fnmsubpd, fnmsubss, fnmsubsd, fmaddsubps
    case fmaddsubpd, fmsubaddps, fmsubaddpd, cvtph2ps, cvtps2ph, pand, pandn, por, pxor, paddb, paddw, paddd
    case paddq, psubb, psubw, psubd, psubq, paddsb, paddsw, paddusb, paddusw, psubsb, psubsw, psubusb, psubusw
    case pmulhw, pmulhuw, pmullw, pmuludq, pmaddwd, psadbw, pavgb, pavgw, pminub, pmaxub, pminsw, pmaxsw
    case pcmpeqb, pcmpeqw, pcmpeqd, pcmpgtb, pcmpgtw, pcmpgtd, psllw, pslld, psllq, psrlw, psrld, psrlq, psraw
    case psrad, packsswb, packssdw, packuswb, punpcklbw, punpcklwd, punpckldq, punpcklqdq, punpckhbw
    case punpckhwd, punpckhdq, punpckhqdq, psllwImmediate, pslldImmediate, psllqImmediate, psrlwImmediate
    case psrldImmediate, psrlqImmediate, psrawImmediate, psradImmediate, pslldq, psrldq, pshufd, pshufhw
    case pshuflw, pmovmskb, pinsrb, pinsrw, pinsrd, pinsrq, pextrb, pextrw, pextrd, pextrq, pshufb, phaddw
    case phaddd, phaddsw, pmaddubsw, phsubw, phsubd, phsubsw, psignb, psignw, psignd, pmulhrsw, pmuldq
    case pcmpeqq, packusdw, pcmpgtq, pminsb, pminsd, pminuw, pminud, pmaxsb, pmaxsd, pmaxuw, pmaxud, pmulld
    case pabsb, pabsw, pabsd, phminposuw, pmovsxbw, pmovsxbd, pmovsxbq, pmovsxwd, pmovsxwq, pmovsxdq, pmovzxbw
    case pmovzxbd, pmovzxbq, pmovzxwd, pmovzxwq, pmovzxdq, vpbroadcastb, vpbroadcastw, vpbroadcastd
    case vpbroadcastq, palignr, pblendw, mpsadbw, vpsllvd, vpsllvq, vpsrlvd, vpsrlvq, vpsravd, pcmpistri
    case pcmpistriFlags, pcmpistrm, pcmpestri, pcmpestriFlags, pcmpestrm, crc32b, crc32w, crc32d, crc32q
    case aesenc, aesenclast, aesdec, aesdeclast, aesimc, aeskeygenassist, pclmulqdq, sha1rnds4, sha1nexte
    case sha1msg1, sha1msg2, sha256msg1, sha256msg2, sha256rnds2
}

/// How the host encodes an operation.
public enum VectorForm: UInt8, Sendable {
    /// No operand; all bits zero.
    case zero
    /// VEX: reg = result, rm = a; reg = result, vvvv = a, rm = b; the same with c in the immediate.
    case rm, rvm, rvmr
    /// VEX: reg = a, rm = b, result in the status flags.
    case rmf
    /// VEX: reg = result, vvvv = a, rm = integer register b.
    case rvg
    /// VEX: reg = integer register result, rm = a; and the other way round.
    case gm, mg
    /// VEX: reg = a, rm = result.
    case mr
    /// VEX: vvvv = result, rm = a, reg = extension of the opcode (2, 3, 4, 6, 7).
    case vm2, vm3, vm4, vm6, vm7
    /// The 132 form of a fused multiply-add; 213 and 231 are 10 and 20 hex above.
    case fma
    /// Legacy encoding, a replaced by the result; a third operand is XMM0.
    case sha
    /// Legacy encoding on integer registers.
    case crc
    /// VEX pcmpestr and pcmpistr: flags, index in ECX or mask in XMM0; c holds both lengths, see `VectorOperation`.
    case string

    static let names: [StaticString] = [
        "zero", "rm", "rvm", "rvmr", "rmf", "rvg", "gm", "mg", "mr", "vm2", "vm3", "vm4", "vm6", "vm7", "fma", "sha",
        "crc", "string",
    ]
    /// Extension of the opcode of the vm forms.
    @inlinable public var opcodeExtension: UInt8 {
        switch self {
        case .vm2: 2
        case .vm3: 3
        case .vm4: 4
        case .vm6: 6
        default: 7
        }
    }
}

/// Shape and encoding of one operation.
public struct VectorSignature: Sendable {
    /// Type of the result: v128, i32, i64 or flags.
    public var result: ValueType
    /// Types of a, b, c; `void` for absent ones.
    public var a: ValueType, b: ValueType, c: ValueType
    public var form: VectorForm
    /// VEX pp (0 none, 1 = 66, 2 = F3, 3 = F2), mmmmm (1 = 0F, 2 = 0F38, 3 = 0F3A), opcode and W.
    public var prefix: UInt8, map: UInt8, opcode: UInt8, w: Bool
    /// Rounds by, reports in, or may fault by MXCSR.
    public var usesMXCSR: Bool
    public var hasImmediate: Bool
    /// With a memory operand the instruction does something else.
    public var onlyRegisters: Bool
    /// What the host must have beyond x86-64-v3.
    public var needs: Need

    /// A feature of the host.
    public enum Need: UInt8, Sendable { case nothing, aes, pclmul, sha }
}

extension VectorOperation {
    /// Shape and encoding.
    @inlinable public var signature: VectorSignature { VectorTable.signatures[Int(rawValue)] }
}
