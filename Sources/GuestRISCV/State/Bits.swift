// Bits of the control and status registers, and the numbers of exceptions and interrupts.
//
// Spec: Volume II, Machine-Level ISA and Supervisor-Level ISA.

/// mstatus and its view sstatus.
enum Status {
    static let sie: UInt64 = 1 << 1, mie: UInt64 = 1 << 3, spie: UInt64 = 1 << 5, mpie: UInt64 = 1 << 7
    static let spp: UInt64 = 1 << 8
    static let mppShift: UInt64 = 11, mpp: UInt64 = 3 << 11
    static let fsShift: UInt64 = 13, fs: UInt64 = 3 << 13
    static let mprv: UInt64 = 1 << 17, sum: UInt64 = 1 << 18, mxr: UInt64 = 1 << 19
    static let tvm: UInt64 = 1 << 20, tw: UInt64 = 1 << 21, tsr: UInt64 = 1 << 22
    /// UXL and SXL, read-only: 64 bits.
    static let uxl: UInt64 = 2 << 32, sxl: UInt64 = 2 << 34
    /// Some extension state is dirty; read-only, follows FS.
    static let sd: UInt64 = 1 << 63

    static let machineWritable = sie | mie | spie | mpie | spp | mpp | fs | mprv | sum | mxr | tvm | tw | tsr
    static let supervisorWritable = sie | spie | spp | fs | sum | mxr
    static let supervisorReadable = supervisorWritable | uxl | sd

    /// Values of FS.
    static let fsOff: UInt64 = 0, fsInitial: UInt64 = 1, fsClean: UInt64 = 2, fsDirty: UInt64 = 3
}

/// Bits of mip, mie, mideleg and the interrupt lines; the number of the bit is the cause.
public enum InterruptBit {
    public static let supervisorSoftware: UInt64 = 1 << 1, machineSoftware: UInt64 = 1 << 3
    public static let supervisorTimer: UInt64 = 1 << 5, machineTimer: UInt64 = 1 << 7
    public static let supervisorExternal: UInt64 = 1 << 9, machineExternal: UInt64 = 1 << 11
    static let supervisor = supervisorSoftware | supervisorTimer | supervisorExternal
    static let all = supervisor | machineSoftware | machineTimer | machineExternal
}

/// Exception codes of mcause and scause.
public enum ExceptionCause: UInt64, Sendable {
    case instructionMisaligned = 0, instructionAccessFault = 1, illegalInstruction = 2, breakpoint = 3
    case loadMisaligned = 4, loadAccessFault = 5, storeMisaligned = 6, storeAccessFault = 7
    case userCall = 8, supervisorCall = 9, machineCall = 11
    case instructionPageFault = 12, loadPageFault = 13, storePageFault = 15

    /// All that can be delegated: calls from machine mode cannot.
    static let delegable: UInt64 = 0xB3FF
    static let interruptFlag: UInt64 = 1 << 63
}

/// menvcfg and senvcfg.
enum EnvironmentConfiguration {
    static let fiom: UInt64 = 1
    /// stimecmp is present for supervisors.
    static let stce: UInt64 = 1 << 63
}

/// mcounteren and scounteren: cycle, time, instret. The event counters do not exist.
enum CounterEnable {
    static let cycle: UInt64 = 1, time: UInt64 = 2, instret: UInt64 = 4
    static let all: UInt64 = 7
}

/// satp.
enum AddressTranslation {
    static let modeShift: UInt64 = 60
    static let bare: UInt64 = 0, sv39: UInt64 = 8, sv48: UInt64 = 9
    static let asidShift: UInt64 = 44, asidMask: UInt64 = 0xFFFF
    static let ppnMask: UInt64 = (1 << 44) - 1
}

/// misa: RV64 with A, B, C, D, F, I, M, S and U; read-only.
enum ISARegister {
    static let value: UInt64 = {
        var bits: UInt64 = 2 << 62
        for letter in "ABCDFIMSU".utf8 { bits |= 1 << UInt64(letter - UInt8(ascii: "A")) }
        return bits
    }()
}
