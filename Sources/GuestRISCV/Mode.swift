// The mode word: everything the lifter assumes about a vCPU beyond the bytes of the code. Units are keyed by it.
//
//     bits 2:0   frm, the dynamic rounding mode of fcsr
//     bits 4:3   privilege: 0 user, 1 supervisor, 3 machine
//     bits 6:5   FloatUnit: usable, off (mstatus.FS = Off), or clean (the first use must mark it dirty)
//     bits 8:7   data TLB: how loads and stores translate (DataAccess)
//     bit  9     instruction fetch translates addresses (satp.MODE is not Bare and privilege is below machine)
//     bit  10    system: privileged architecture present; 0 for Linux programs
// A Linux program with the default rounding mode has mode word 0.

import IR

/// What a unit was lifted for.
public struct Mode: Equatable, Sendable {
    public var rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Bits above this count are zero.
    public static let bitCount = 11

    /// Mode of a Linux user program.
    /// - Parameter frm: the rounding mode field of its fcsr.
    public static func program(frm: UInt32) -> Mode { Mode(rawValue: frm & frmMask) }

    static let frmMask: UInt32 = 7
    static let privilegeShift: UInt32 = 3
    static let floatShift: UInt32 = 5
    static let dataShift: UInt32 = 7
    static let fetchPaging: UInt32 = 1 << 9
    static let system: UInt32 = 1 << 10

    /// Values of the float unit field.
    public enum FloatUnit: UInt32, Sendable {
        /// On, and already marked dirty: nothing to do.
        case usable
        /// Off: floating point instructions are illegal.
        case off
        /// On but clean: an instruction that writes floating point state marks it dirty first.
        case clean
    }

    /// Which data TLB loads and stores use.
    public enum DataAccess: UInt32, Sendable {
        /// As user mode; Linux programs use this one too.
        case user
        /// As supervisor without access to user pages.
        case supervisor
        /// As supervisor with mstatus.SUM.
        case supervisorUserMemory
        /// Without translation.
        case physical
    }

    /// A mode of the privileged architecture.
    init(frm: UInt32, privilege: Privilege, float: FloatUnit, data: DataAccess, fetchPaging: Bool) {
        rawValue = frm & Self.frmMask
            | UInt32(privilege.rawValue) << Self.privilegeShift
            | float.rawValue << Self.floatShift
            | data.rawValue << Self.dataShift
            | (fetchPaging ? Self.fetchPaging : 0)
            | Self.system
    }

    /// The frm field.
    @inline(__always) public var frm: UInt32 { rawValue & Self.frmMask }
    /// The privilege code runs at.
    public var privilege: Privilege { Privilege(rawValue: UInt8(rawValue >> Self.privilegeShift & 3)) ?? .user }
    @inline(__always) var floatBits: UInt32 { rawValue >> Self.floatShift & 3 }
    /// State of the floating point unit.
    public var float: FloatUnit { FloatUnit(rawValue: floatBits) ?? .off }
    /// Which data TLB is used.
    public var data: DataAccess { DataAccess(rawValue: rawValue >> Self.dataShift & 3) ?? .user }
    /// True when instruction addresses are translated.
    public var fetchesThroughPaging: Bool { rawValue & Self.fetchPaging != 0 }
    /// False for Linux programs.
    public var isSystem: Bool { rawValue & Self.system != 0 }

    /// The rounding mode the host register holds in this mode. Where the host has no such mode (RMM) or the field is
    /// reserved, it holds round-to-nearest, and nothing is lifted with dynamic rounding.
    public var rounding: Rounding {
        switch frm {
        case 1: .towardZero
        case 2: .down
        case 3: .up
        default: .nearestEven
        }
    }
}

/// Privilege levels, with their encodings.
public enum Privilege: UInt8, Sendable {
    case user = 0
    case supervisor = 1
    case machine = 3
}
