// SSE to SSE3 beyond the generic operations: moves, conversions between register files, comparisons with immediates,
// shifts by immediates, non-temporal and masked stores. The AVX forms of the same names are here too.
//
// Source: AMD APM volume 4, chapter 2.

import IR
import Translator

enum SSE {
    static func join(_ row: LiftTable) {
        moves(row)
        conversions(row)
        comparisons(row)
        shifts(row)
        for name in ["ldmxcsr", "vldmxcsr"] as [StaticString] {
            row(name) { l in
                let value = l.b.zeroExtend(l.read(0), .i64)
                l.call(.writeMXCSR, value, l.k(address: l.next))
            }
        }
        for name in ["stmxcsr", "vstmxcsr"] as [StaticString] {
            row(name) { l in l.write(0, l.b.truncate(l.call(.readMXCSR), .i32)) }
        }
        for name in ["andpd", "vandpd", "vandps"] as [StaticString] { row(name) { $0.binaryVector(.andps) } }
        for name in ["andnpd", "vandnpd", "vandnps"] as [StaticString] { row(name) { $0.binaryVector(.andnps) } }
        for name in ["orpd", "vorpd", "vorps"] as [StaticString] { row(name) { $0.binaryVector(.orps) } }
        for name in ["xorpd", "vxorpd", "vxorps"] as [StaticString] { row(name) { $0.binaryVector(.xorps) } }
    }

    private static func moves(_ row: LiftTable) {
        for name in ["movaps", "movapd", "movups", "movupd", "movdqa", "movdqu", "lddqu", "movntdqa", "movntps", "movntpd",
                     "movntdq", "vmovaps", "vmovapd", "vmovups", "vmovupd", "vmovdqa", "vmovdqu", "vlddqu", "vmovntdqa",
                     "vmovntps", "vmovntpd", "vmovntdq"] as [StaticString] {
            row(name) { l in l.eachHalf { l, half in l.readVector(1, half: half) } }
        }
        row("movss") { $0.moveScalar(.movss, 4) }
        row("movsd") { $0.moveScalar(.movsd, 8) }
        row("vmovss") { $0.moveScalar(.movss, 4) }
        row("vmovsd") { $0.moveScalar(.movsd, 8) }
        for name in ["movlps", "movlpd", "vmovlps", "vmovlpd"] as [StaticString] { row(name) { $0.moveLow() } }
        for name in ["movhps", "movhpd", "vmovhps", "vmovhpd"] as [StaticString] { row(name) { $0.moveHigh() } }
        for name in ["movlhps", "vmovlhps"] as [StaticString] { row(name) { $0.binaryVector(.unpcklpd) } }
        for name in ["movd", "vmovd"] as [StaticString] { row(name) { $0.moveDoubleword() } }
        for name in ["movq", "vmovq"] as [StaticString] { row(name) { $0.moveQuadword() } }
        row("movq2dq") { l in
            l.enterMMX()
            l.finishMMX()
            l.setVector(Int(l.i.reg), l.b.vectorFromInteger(l.b.get(X86Global.mmx(Int(l.i.rm & 7)))))
        }
        row("movdq2q") { l in
            l.enterMMX()
            l.setMMX(Int(l.i.reg & 7), l.b.vectorToInteger(l.xmm(Int(l.i.rm)), .i64))
        }
        for name in ["pmovmskb", "vpmovmskb"] as [StaticString] { row(name) { $0.moveMask(.pmovmskb, 16) } }
        for name in ["movmskps", "vmovmskps"] as [StaticString] { row(name) { $0.moveMask(.movmskps, 4) } }
        for name in ["movmskpd", "vmovmskpd"] as [StaticString] { row(name) { $0.moveMask(.movmskpd, 2) } }
        for name in ["maskmovdqu", "vmaskmovdqu"] as [StaticString] { row(name) { $0.maskedBytes() } }
        for name in ["pinsrw", "vpinsrw"] as [StaticString] { row(name) { $0.insertInteger(.pinsrw) } }
        for name in ["pextrw", "vpextrw"] as [StaticString] { row(name) { $0.extractInteger(.pextrw) } }
    }

    private static func conversions(_ row: LiftTable) {
        for name in ["cvtsi2ss", "vcvtsi2ss"] as [StaticString] {
            row(name) { $0.fromInteger(.cvtsi2ss32, .cvtsi2ss64) }
        }
        for name in ["cvtsi2sd", "vcvtsi2sd"] as [StaticString] {
            row(name) { $0.fromInteger(.cvtsi2sd32, .cvtsi2sd64) }
        }
        for name in ["cvtss2si", "vcvtss2si"] as [StaticString] { row(name) { $0.toInteger(.cvtss2si32, .cvtss2si64) } }
        for name in ["cvttss2si", "vcvttss2si"] as [StaticString] { row(name) { $0.toInteger(.cvttss2si32, .cvttss2si64) } }
        for name in ["cvtsd2si", "vcvtsd2si"] as [StaticString] { row(name) { $0.toInteger(.cvtsd2si32, .cvtsd2si64) } }
        for name in ["cvttsd2si", "vcvttsd2si"] as [StaticString] { row(name) { $0.toInteger(.cvttsd2si32, .cvttsd2si64) } }
        for (name, wide, operation) in [("cvtps2pd", "vcvtps2pd", .cvtps2pd), ("cvtdq2pd", "vcvtdq2pd", .cvtdq2pd)]
            as [(StaticString, StaticString, VectorOperation)] {
            row(name) { $0.widenVector(operation, 8) }
            row(wide) { $0.widenVector(operation, 8) }
        }
        for (name, operation) in [("vcvtpd2ps", .cvtpd2ps), ("vcvtpd2dq", .cvtpd2dq), ("vcvttpd2dq", .cvttpd2dq)]
            as [(StaticString, VectorOperation)] {
            row(name) { $0.narrowVector(operation) }
        }
        row("cvtpi2ps") { $0.fromMMX(.cvtdq2ps, .movsd) }
        row("cvtpi2pd") { $0.fromMMX(.cvtdq2pd, nil) }
        row("cvtps2pi") { $0.toMMX(.cvtps2dq, 8) }
        row("cvttps2pi") { $0.toMMX(.cvttps2dq, 8) }
        row("cvtpd2pi") { $0.toMMX(.cvtpd2dq, 16) }
        row("cvttpd2pi") { $0.toMMX(.cvttpd2dq, 16) }
    }

    private static func comparisons(_ row: LiftTable) {
        for (name, wide, operation) in [("cmpps", "vcmpps", .cmpps), ("cmppd", "vcmppd", .cmppd), ("cmpss", "vcmpss", .cmpss),
                                        ("cmpsd", "vcmpsd", .cmpsd)] as [(StaticString, StaticString, VectorOperation)] {
            row(name) { l in
                l.i.immediate &= 7
                l.binaryVector(operation)
            }
            row(wide) { l in
                l.i.immediate &= 31
                l.binaryVector(operation)
            }
        }
    }

    private static func shifts(_ row: LiftTable) {
        for (name, wide, variable, immediate) in [
            ("psllw", "vpsllw", .psllw, .psllwImmediate), ("pslld", "vpslld", .pslld, .pslldImmediate),
            ("psllq", "vpsllq", .psllq, .psllqImmediate), ("psrlw", "vpsrlw", .psrlw, .psrlwImmediate),
            ("psrld", "vpsrld", .psrld, .psrldImmediate), ("psrlq", "vpsrlq", .psrlq, .psrlqImmediate),
            ("psraw", "vpsraw", .psraw, .psrawImmediate), ("psrad", "vpsrad", .psrad, .psradImmediate),
        ] as [(StaticString, StaticString, VectorOperation, VectorOperation)] {
            for name in [name, wide] {
                row(name) { l in
                    let isImmediate = l.operand(l.i.isVEX ? 2 : 1).kind == .immediate
                    if isImmediate { l.shiftVector(immediate) } else { l.binaryVector(variable) }
                }
            }
        }
        row("pslldq") { $0.shiftVector(.pslldq) }
        row("vpslldq") { $0.shiftVector(.pslldq) }
        row("psrldq") { $0.shiftVector(.psrldq) }
        row("vpsrldq") { $0.shiftVector(.psrldq) }
    }
}

extension Lifter {
    // MARK: moves

    /// MOVSS and MOVSD: from memory with zeros above, to memory, or into the lowest lane of a register.
    mutating func moveScalar(_ operation: VectorOperation, _ size: Int) {
        if isMemory(0) { return writeVector(0, xmm(Int(i.reg))) }
        if isMemory(1) { return setVector(vectorNumber(0), readVector(1)) }
        let first = i.isVEX ? 1 : 0
        setVector(vectorNumber(0), b.vector(operation, xmm(vectorNumber(first)), xmm(vectorNumber(first + 1))))
    }

    /// MOVLPS, MOVLPD.
    mutating func moveLow() {
        if isMemory(0) { return writeVector(0, xmm(Int(i.reg))) }
        let low = readVector(i.isVEX ? 2 : 1)
        setVector(vectorNumber(0), b.vector(.movsd, xmm(i.isVEX ? Int(i.vvvv) : Int(i.reg)), low))
    }

    /// MOVHPS, MOVHPD.
    mutating func moveHigh() {
        if isMemory(0) {
            let vector = xmm(Int(i.reg))
            return writeVector(0, b.vector(.unpckhpd, vector, vector))
        }
        let high = readVector(i.isVEX ? 2 : 1)
        setVector(vectorNumber(0), b.vector(.unpcklpd, xmm(i.isVEX ? Int(i.vvvv) : Int(i.reg)), high))
    }

    /// MOVD, and MOVQ with a general register: size y.
    mutating func moveDoubleword() {
        switch (operand(0).kind, operand(1).kind) {
        case (.mmx, _):
            enterMMX()
            setMMX(Int(i.reg & 7), b.zeroExtend(read(1), .i64))
        case (_, .mmx):
            enterMMX()
            write(0, b.truncate(b.get(X86Global.mmx(Int(i.reg & 7))), Self.type(size(0))))
            finishMMX()
        case (.vector, _): setVector(Int(i.reg), b.vectorFromInteger(read(1)))
        default: write(0, b.vectorToInteger(xmm(Int(i.reg)), Self.type(size(0))))
        }
    }

    /// MOVQ between vectors (or MMX registers) and memory.
    mutating func moveQuadword() {
        if operand(0).kind == .mmx || operand(1).kind == .mmx {
            enterMMX()
            if operand(0).kind == .mmx {
                setMMX(Int(i.reg & 7), readMMX(1))
            } else {
                writeMMX(0, b.get(X86Global.mmx(Int(i.reg & 7))))
                finishMMX()
            }
            return
        }
        if isMemory(0) { return writeVector(0, xmm(Int(i.reg))) }
        if isMemory(1) { return setVector(vectorNumber(0), readVector(1)) }
        let source = xmm(vectorNumber(1))
        setVector(vectorNumber(0), b.vector(.movsd, zeroVector(), source))
    }

    /// PMOVMSKB, MOVMSKPS, MOVMSKPD; `lanes` in 128 bits.
    mutating func moveMask(_ operation: VectorOperation, _ lanes: Int) {
        if operand(1).kind == .rmMMX {
            enterMMX()
            finishMMX()
            let mask = b.vector(operation, b.vectorFromInteger(b.get(X86Global.mmx(Int(i.rm & 7)))))
            return setRegister(Int(i.reg), 4, mask)
        }
        var mask = b.vector(operation, xmm(Int(i.rm)))
        if halves(1) == 2 {
            let high = b.vector(operation, ymmHigh(Int(i.rm)))
            mask = b.or(mask, b.binary(.shiftLeft, high, k(Int64(lanes), 4)))
        }
        setRegister(Int(i.reg), 4, mask)
    }

    /// PINSRB and its kin.
    mutating func insertInteger(_ operation: VectorOperation) {
        let last = i.isVEX ? 2 : 1
        let type = operation.signature.b
        let value: ValueID
        if isMemory(last) {
            let size = size(last)
            value = loadExtended(address(size: size, write: false), size, signed: false, type)
        } else {
            value = register(Int(i.rm), type == .i64 ? 8 : 4)
        }
        if operand(0).kind == .mmx {
            enterMMX()
            let old = b.vectorFromInteger(b.get(X86Global.mmx(Int(i.reg & 7))))
            let result = b.vector(operation, old, value, immediate: UInt8(i.immediate & 3))
            return setMMX(Int(i.reg & 7), b.vectorToInteger(result, .i64))
        }
        let old = xmm(i.isVEX ? Int(i.vvvv) : Int(i.reg))
        setVector(Int(i.reg), b.vector(operation, old, value, immediate: UInt8(truncatingIfNeeded: i.immediate)))
    }

    /// PEXTRB and its kin.
    mutating func extractInteger(_ operation: VectorOperation) {
        let value: ValueID
        switch operand(1).kind {
        case .rmMMX:
            enterMMX()
            finishMMX()
            let source = b.vectorFromInteger(b.get(X86Global.mmx(Int(i.rm & 7))))
            value = b.vector(operation, source, immediate: UInt8(i.immediate & 3))
        case .rmVector: value = b.vector(operation, xmm(Int(i.rm)), immediate: UInt8(truncatingIfNeeded: i.immediate))
        default: value = b.vector(operation, xmm(Int(i.reg)), immediate: UInt8(truncatingIfNeeded: i.immediate))
        }
        if isMemory(0) {
            let size = size(0)
            store(address(size: size, write: true), size, value)
        } else {
            let number = operand(1).kind == .vector ? Int(i.rm) : Int(i.reg)
            setRegister(number, operation.signature.result == .i64 ? 8 : 4, value)
        }
    }

    // MARK: conversions

    /// CVTSI2SS, CVTSI2SD.
    mutating func fromInteger(_ narrow: VectorOperation, _ wide: VectorOperation) {
        let last = i.isVEX ? 2 : 1
        let operation = size(last) == 8 ? wide : narrow
        let value = read(last)
        setVector(Int(i.reg), b.vector(operation, xmm(i.isVEX ? Int(i.vvvv) : Int(i.reg)), value))
    }

    /// CVTSS2SI and its kin.
    mutating func toInteger(_ narrow: VectorOperation, _ wide: VectorOperation) {
        let size = size(0)
        setRegister(Int(i.reg), size, b.vector(size == 8 ? wide : narrow, readVector(1)))
    }

    /// The upper half of the result comes from the bytes from `step` on of a source of half the width.
    mutating func widenVector(_ operation: VectorOperation, _ step: Int) {
        let source = isMemory(1) ? readVector(1) : xmm(vectorNumber(1))
        let low = b.vector(operation, source)
        guard halves(0) == 2 else { return writeVector(0, low) }
        let rest = b.vector(.psrldq, source, immediate: UInt8(step))
        writeVector(0, low, b.vector(operation, rest))
    }

    /// A result of half the width of the source.
    mutating func narrowVector(_ operation: VectorOperation) {
        let low = b.vector(operation, readVector(1))
        guard halves(1) == 2 else { return setVector(Int(i.reg), low) }
        setVector(Int(i.reg), b.vector(.unpcklpd, low, b.vector(operation, readVector(1, half: 1))))
    }

    /// CVTPI2PS, CVTPI2PD: two integers of an MMX register or memory; memory leaves the x87 registers alone.
    mutating func fromMMX(_ operation: VectorOperation, _ merge: VectorOperation?) {
        if !isMemory(1) { enterMMX() }
        let source = readMMX(1)
        if !isMemory(1) { finishMMX() }
        let result = b.vector(operation, b.vectorFromInteger(source))
        setVector(Int(i.reg), merge.map { b.vector($0, xmm(Int(i.reg)), result) } ?? result)
    }

    /// CVTPS2PI and its kin: only the lanes that are there may raise exceptions.
    mutating func toMMX(_ operation: VectorOperation, _ size: Int) {
        enterMMX()
        var source = readVector(1)
        finishMMX()
        if size == 8 && !isMemory(1) { source = b.vector(.movsd, zeroVector(), source) }
        setMMX(Int(i.reg & 7), b.vectorToInteger(b.vector(operation, source), .i64))
    }

    /// Shifts by an immediate.
    mutating func shiftVector(_ operation: VectorOperation) {
        if operand(0).kind == .rmMMX { return shiftMMX(operation) }
        let source = i.isVEX ? 1 : 0
        let amount = UInt8(truncatingIfNeeded: i.immediate)
        eachHalf { l, half in l.b.vector(operation, l.readVector(source, half: half), immediate: amount) }
    }

    // MARK: masked stores

    /// MASKMOVDQU and MASKMOVQ are done byte by byte in a helper.
    mutating func maskedBytes() {
        let hasMMX = operand(0).kind == .mmx
        if hasMMX { enterMMX() }
        let offset = truncated(register(GPR.rdi), Int(i.addressSize))
        let segment = i.segment >= 0 ? Segment(rawValue: Int(i.segment)) ?? .ds : .ds
        let address = linear(segment, offset, size: hasMMX ? 8 : 16, write: true)
        let kind = (hasMMX ? 0x100 : 0) | Int64(i.reg) | Int64(i.rm) << 4
        call(.maskedStore, value(address), k(kind))
        if hasMMX { finishMMX() }
        endBehindWriting()
    }
}
