// The mode word: everything the lifter assumes about a vCPU beyond the bytes of the code. Units are keyed by it.
//
//     bits 1:0   code size: 0 = 16 bit, 1 = 32 bit, 2 = 64 bit (CS.D, CS.L)
//     bit  2     the stack pointer is ESP (SS.B); 0 is SP; without meaning in 64-bit code
//     bits 4:3   CPL
//     bit  5     protected mode (CR0.PE)
//     bit  6     virtual-8086 mode
//     bit  7     system: privileged architecture present; 0 for Linux programs
//     bits 9:8   data TLB set (DataAccess)
//     bit  10    DS, ES and SS are flat (base 0, limit 4 GiB) and writable; always set in 64-bit code
//     bit  11    one instruction to the unit: TF, an interrupt shadow, or armed breakpoints
//     bit  12    x87 and MMX raise #NM (CR0.TS or CR0.EM)
//     bit  13    SSE is usable (CR4.OSFXSR, not CR0.EM)
//     bit  14    AVX is usable (CR4.OSXSAVE, XCR0)
//     bit  15    alignment is checked (CPL 3, CR0.AM, EFLAGS.AC)
//     bit  16    CR0.TS for SSE and AVX: they raise #NM
//     bit  17    FS is a writable data segment of 4 GiB; bit 18 likewise GS; without meaning in 64-bit code
//     bit  19    a SIMD floating point exception is unmasked in MXCSR
//     bit  20    in 64-bit code: linear addresses have 57 bits (CR4.LA57)
//     bits 31:20 elsewhere the number of the code segment (base and limit) in the engine's table; 0 is base 0, limit 4 GiB or 64-bit
// A 64-bit Linux program has mode word 64-bit | CPL 3 | protected | flat | SSE | AVX.

/// What a unit was lifted for.
public struct Mode: Equatable, Sendable {
    public var rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Default operand and address size of code.
    public enum CodeSize: UInt32, Sendable { case bits16, bits32, bits64 }

    /// Which data TLB loads and stores use.
    public enum DataAccess: UInt32, Sendable {
        case user
        case supervisor
        /// As supervisor with EFLAGS.AC set while SMAP is on: user pages are accessible.
        case supervisorUserMemory
        /// Without paging.
        case physical
    }

    public static let stack32: UInt32 = 1 << 2
    public static let protected: UInt32 = 1 << 5
    public static let virtual8086: UInt32 = 1 << 6
    public static let system: UInt32 = 1 << 7
    public static let flatData: UInt32 = 1 << 10
    public static let single: UInt32 = 1 << 11
    public static let noFPU: UInt32 = 1 << 12
    public static let sse: UInt32 = 1 << 13
    public static let avx: UInt32 = 1 << 14
    public static let alignment: UInt32 = 1 << 15
    public static let noSSE: UInt32 = 1 << 16
    public static let wideFS: UInt32 = 1 << 17
    public static let wideGS: UInt32 = 1 << 18
    public static let simdTraps: UInt32 = 1 << 19
    public static let wideAddresses: UInt32 = 1 << 20
    public static let codeSegmentShift: UInt32 = 20

    /// Size of the code.
    @inline(__always) public var codeSize: CodeSize { CodeSize(rawValue: rawValue & 3) ?? .bits64 }
    /// 64-bit code.
    @inline(__always) public var is64: Bool { rawValue & 3 == 2 }
    /// CPL, 0…3.
    @inline(__always) public var privilege: Int { Int(rawValue >> 3 & 3) }
    /// The data TLB set.
    @inline(__always) public var data: DataAccess { DataAccess(rawValue: rawValue >> 8 & 3) ?? .user }
    /// Whether a bit of the word is set.
    @inline(__always) public func has(_ bit: UInt32) -> Bool { rawValue & bit != 0 }
    /// Number of the code segment in the engine's table.
    @inline(__always) public var codeSegment: Int { Int(rawValue >> Self.codeSegmentShift) }

    /// Mode of a 64-bit Linux program.
    public static let program64 = Mode(rawValue: 2 | 3 << 3 | protected | flatData | sse | avx)
    /// Mode of a 32-bit Linux program.
    public static let program32 = Mode(rawValue: 1 | stack32 | 3 << 3 | protected | flatData | sse | avx)
}
