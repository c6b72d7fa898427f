// Fields of instruction words, by the names of the manual's formats.

/// An instruction word of 32 or, zero-extended, 16 bits.
struct Word {
    let bits: UInt32

    @inline(__always) init(_ bits: UInt32) { self.bits = bits }

    @inline(__always) private func field(_ low: UInt32, _ length: UInt32) -> Int {
        Int(bits >> low & ((1 << length) - 1))
    }

    // MARK: 32-bit formats
    @inline(__always) var rd: Int { field(7, 5) }
    @inline(__always) var rs1: Int { field(15, 5) }
    @inline(__always) var rs2: Int { field(20, 5) }
    @inline(__always) var rs3: Int { field(27, 5) }
    @inline(__always) var rm: UInt32 { bits >> 12 & 7 }
    @inline(__always) var csr: Int { field(20, 12) }
    @inline(__always) var shamt6: Int64 { Int64(field(20, 6)) }
    @inline(__always) var shamt5: Int64 { Int64(field(20, 5)) }
    @inline(__always) private var signedBits: Int32 { Int32(bitPattern: bits) }
    @inline(__always) var immI: Int64 { Int64(signedBits >> 20) }
    @inline(__always) var immS: Int64 { Int64((signedBits >> 25) << 5) | Int64(field(7, 5)) }
    @inline(__always) var immB: Int64 {
        Int64((signedBits >> 31) << 12) | Int64(field(7, 1) << 11 | field(25, 6) << 5 | field(8, 4) << 1)
    }
    @inline(__always) var immU: Int64 { Int64((signedBits >> 12) << 12) }
    @inline(__always) var immJ: Int64 {
        Int64((signedBits >> 31) << 20) | Int64(field(12, 8) << 12 | field(20, 1) << 11 | field(21, 10) << 1)
    }
    /// Predecessor and successor sets of fence: bits I, O, R, W from the top.
    @inline(__always) var fencePredecessors: Int { field(24, 4) }
    @inline(__always) var fenceSuccessors: Int { field(20, 4) }

    // MARK: compressed formats
    /// rd' or rs2', bits 4:2.
    @inline(__always) var low: Int { field(2, 3) + 8 }
    /// rs1' or rd', bits 9:7.
    @inline(__always) var high: Int { field(7, 3) + 8 }
    /// Full rs2, bits 6:2.
    @inline(__always) var crs2: Int { field(2, 5) }
    @inline(__always) var cShift: Int64 { Int64(field(12, 1) << 5 | field(2, 5)) }
    /// Sign-extended six bits.
    @inline(__always) var immCI: Int64 {
        let value = Int64(field(12, 1) << 5 | field(2, 5))
        return (value << 58) >> 58
    }
    @inline(__always) var immCADDI16SP: Int64 {
        let value = field(12, 1) << 9 | field(3, 2) << 7 | field(5, 1) << 6 | field(2, 1) << 5 | field(6, 1) << 4
        return (Int64(value) << 54) >> 54
    }
    @inline(__always) var immCIW: Int64 {
        Int64(field(7, 4) << 6 | field(11, 2) << 4 | field(5, 1) << 3 | field(6, 1) << 2)
    }
    /// Offset of c.lw, c.sw.
    @inline(__always) var immCLW: Int64 { Int64(field(5, 1) << 6 | field(10, 3) << 3 | field(6, 1) << 2) }
    /// Offset of c.ld, c.sd, c.fld, c.fsd.
    @inline(__always) var immCLD: Int64 { Int64(field(5, 2) << 6 | field(10, 3) << 3) }
    @inline(__always) var immCLWSP: Int64 { Int64(field(2, 2) << 6 | field(12, 1) << 5 | field(4, 3) << 2) }
    @inline(__always) var immCLDSP: Int64 { Int64(field(2, 3) << 6 | field(12, 1) << 5 | field(5, 2) << 3) }
    @inline(__always) var immCSWSP: Int64 { Int64(field(7, 2) << 6 | field(9, 4) << 2) }
    @inline(__always) var immCSDSP: Int64 { Int64(field(7, 3) << 6 | field(10, 3) << 3) }
    @inline(__always) var immCJ: Int64 {
        let upper = field(12, 1) << 11 | field(8, 1) << 10 | field(9, 2) << 8 | field(6, 1) << 7
        let lower = field(7, 1) << 6 | field(2, 1) << 5 | field(11, 1) << 4 | field(3, 3) << 1
        return (Int64(upper | lower) << 52) >> 52
    }
    @inline(__always) var immCB: Int64 {
        let upper = field(12, 1) << 8 | field(5, 2) << 6 | field(2, 1) << 5
        return (Int64(upper | field(10, 2) << 3 | field(3, 2) << 1) << 55) >> 55
    }
}
