// VEX-encoded instructions: scalar and packed floating point, FMA3, and BMI general purpose forms.

/// Mandatory prefix as the VEX pp field.
enum VexPrefix {
    static let none: UInt8 = 0, p66: UInt8 = 1, pF3: UInt8 = 2, pF2: UInt8 = 3
}

/// Opcode map as the VEX mmmmm field.
enum VexMap {
    static let m0F: UInt8 = 1, m0F38: UInt8 = 2, m0F3A: UInt8 = 3
}

/// VEX scalar opcodes in map 0F.
enum SSE {
    static let add: UInt8 = 0x58, multiply: UInt8 = 0x59, subtract: UInt8 = 0x5C, minimum: UInt8 = 0x5D
    static let divide: UInt8 = 0x5E, maximum: UInt8 = 0x5F, squareRoot: UInt8 = 0x51
    static let and: UInt8 = 0x54, andNot: UInt8 = 0x55, or: UInt8 = 0x56, xor: UInt8 = 0x57
}

extension Assembler {
    /// A VEX instruction with 128-bit (or scalar) length.
    @inline(__always)
    mutating func vex(_ prefix: UInt8, _ map: UInt8, _ opcode: UInt8, wide: Bool = false,
                      _ reg: UInt8, _ source1: UInt8, _ rm: RM) {
        let notR: UInt8 = reg >= 8 ? 0 : 0x80
        let notX: UInt8 = rm.index != 0xFF && rm.index >= 8 ? 0 : 0x40
        let notB: UInt8 = rm.base >= 8 ? 0 : 0x20
        let vvvv = (~source1 & 15) << 3
        if map == VexMap.m0F && !wide && notX != 0 && notB != 0 {
            byte(0xC5)
            byte(notR | vvvv | prefix)
        } else {
            byte(0xC4)
            byte(notR | notX | notB | map)
            byte((wide ? 0x80 : 0) | vvvv | prefix)
        }
        byte(opcode)
        modRM(reg, rm)
    }

    /// Scalar arithmetic destination = a op b.
    @inline(__always)
    mutating func scalar(_ opcode: UInt8, double: Bool, _ destination: UInt8, _ a: UInt8, _ b: RM) {
        vex(double ? VexPrefix.pF2 : VexPrefix.pF3, VexMap.m0F, opcode, destination, a, b)
    }

    /// Packed bitwise operation.
    @inline(__always)
    mutating func bitwise(_ opcode: UInt8, _ destination: UInt8, _ a: UInt8, _ b: RM) {
        vex(VexPrefix.none, VexMap.m0F, opcode, destination, a, b)
    }

    mutating func vmovaps(_ destination: UInt8, _ source: UInt8) {
        if destination == source { return }
        if source >= 8 && destination < 8 { // the store form keeps the two-byte VEX prefix
            vex(VexPrefix.none, VexMap.m0F, 0x29, source, 0, .reg(destination))
        } else {
            vex(VexPrefix.none, VexMap.m0F, 0x28, destination, 0, .reg(source))
        }
    }

    @inline(__always) mutating func floatLoad(_ destination: UInt8, _ source: RM, double: Bool) {
        vex(double ? VexPrefix.pF2 : VexPrefix.pF3, VexMap.m0F, 0x10, destination, 0, source)
    }

    @inline(__always) mutating func floatStore(_ destination: RM, _ source: UInt8, double: Bool) {
        vex(double ? VexPrefix.pF2 : VexPrefix.pF3, VexMap.m0F, 0x11, source, 0, destination)
    }

    /// General register to vector register (zero-extended).
    mutating func vmovFromGPR(_ destination: UInt8, _ source: UInt8, wide: Bool) {
        vex(VexPrefix.p66, VexMap.m0F, 0x6E, wide: wide, destination, 0, .reg(source))
    }

    /// Vector register to general register.
    mutating func vmovToGPR(_ destination: UInt8, _ source: UInt8, wide: Bool) {
        vex(VexPrefix.p66, VexMap.m0F, 0x7E, wide: wide, source, 0, .reg(destination))
    }

    /// Unordered (quiet) compare setting ZF, PF, CF.
    mutating func ucomis(_ a: UInt8, _ b: RM, double: Bool) {
        vex(double ? VexPrefix.p66 : VexPrefix.none, VexMap.m0F, 0x2E, a, 0, b)
    }

    /// Ordered (signaling) compare setting ZF, PF, CF.
    mutating func comis(_ a: UInt8, _ b: RM, double: Bool) {
        vex(double ? VexPrefix.p66 : VexPrefix.none, VexMap.m0F, 0x2F, a, 0, b)
    }

    /// Compare to mask: predicate 0 EQ_OQ, 1 LT_OS, 2 LE_OS.
    mutating func cmps(_ destination: UInt8, _ a: UInt8, _ b: UInt8, predicate: UInt8, double: Bool) {
        scalar(0xC2, double: double, destination, a, .reg(b))
        byte(predicate)
    }

    /// Float to signed integer; truncating or by MXCSR.
    mutating func cvtToInteger(_ destination: UInt8, _ source: UInt8, truncating: Bool, double: Bool, wide: Bool) {
        vex(double ? VexPrefix.pF2 : VexPrefix.pF3, VexMap.m0F, truncating ? 0x2C : 0x2D, wide: wide, destination, 0,
            .reg(source))
    }

    /// Signed integer to float by MXCSR; upper bits of the result come from `destination` itself.
    mutating func cvtFromInteger(_ destination: UInt8, _ source: UInt8, double: Bool, wide: Bool) {
        vex(double ? VexPrefix.pF2 : VexPrefix.pF3, VexMap.m0F, 0x2A, wide: wide, destination, destination, .reg(source))
    }

    /// f32 → f64 (from single) or f64 → f32.
    mutating func cvtFormat(_ destination: UInt8, _ source: UInt8, fromDouble: Bool) {
        vex(fromDouble ? VexPrefix.pF2 : VexPrefix.pF3, VexMap.m0F, 0x5A, destination, destination, .reg(source))
    }

    /// FMA3 132/213/231 forms; opcode 0xA9 vfmadd213, 0xAB vfmsub213, 0xAD vfnmadd213, 0xAF vfnmsub213.
    mutating func fma(_ opcode: UInt8, _ destination: UInt8, _ b: UInt8, _ c: RM, double: Bool) {
        vex(VexPrefix.p66, VexMap.m0F38, opcode, wide: double, destination, b, c)
    }

    // MARK: BMI

    /// shlx (p66), shrx (pF2), sarx (pF3): destination = source shifted by `amount`.
    mutating func shiftX(_ prefix: UInt8, _ destination: UInt8, _ source: RM, _ amount: UInt8, wide: Bool) {
        vex(prefix, VexMap.m0F38, 0xF7, wide: wide, destination, amount, source)
    }

    /// destination = ~a & b
    mutating func andn(_ destination: UInt8, _ a: UInt8, _ b: RM, wide: Bool) {
        vex(VexPrefix.none, VexMap.m0F38, 0xF2, wide: wide, destination, a, b)
    }

    /// Rotate right by a constant without touching flags.
    mutating func rorx(_ destination: UInt8, _ source: RM, by amount: UInt8, wide: Bool) {
        vex(VexPrefix.pF2, VexMap.m0F3A, 0xF0, wide: wide, destination, 0, source)
        byte(amount)
    }
}
