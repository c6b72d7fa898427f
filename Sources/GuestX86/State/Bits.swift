// Bits of the flags, control, debug and model-specific registers.
//
// Spec: Intel SDM vol. 1 3.4.3, vol. 3 2.5, 17.2, vol. 4; AMD APM vol. 2 3.1, 3.2.

/// EFLAGS.
public enum EFlags {
    public static let cf: UInt32 = 1 << 0, pf: UInt32 = 1 << 2, af: UInt32 = 1 << 4, zf: UInt32 = 1 << 6,
        sf: UInt32 = 1 << 7
    public static let tf: UInt32 = 1 << 8, interrupt: UInt32 = 1 << 9, df: UInt32 = 1 << 10, of: UInt32 = 1 << 11
    public static let iopl: UInt32 = 3 << 12, ioplShift: UInt32 = 12
    public static let nt: UInt32 = 1 << 14, rf: UInt32 = 1 << 16, vm: UInt32 = 1 << 17, ac: UInt32 = 1 << 18
    public static let vif: UInt32 = 1 << 19, vip: UInt32 = 1 << 20, id: UInt32 = 1 << 21
    /// Bit 1, always set.
    public static let fixed: UInt32 = 1 << 1
    /// The status flags.
    public static let status = cf | pf | af | zf | sf | of
    /// What `SystemLayout.eflags` holds.
    public static let system = tf | interrupt | iopl | nt | rf | vm | ac | vif | vip | id
    static let all = status | df | system
}

/// CR0.
public enum CR0 {
    public static let pe: UInt64 = 1 << 0, mp: UInt64 = 1 << 1, em: UInt64 = 1 << 2, ts: UInt64 = 1 << 3
    public static let et: UInt64 = 1 << 4, ne: UInt64 = 1 << 5, wp: UInt64 = 1 << 16, am: UInt64 = 1 << 18
    public static let nw: UInt64 = 1 << 29, cd: UInt64 = 1 << 30, pg: UInt64 = 1 << 31
    static let writable = pe | mp | em | ts | ne | wp | am | nw | cd | pg
}

/// CR4.
public enum CR4 {
    public static let vme: UInt64 = 1 << 0, pvi: UInt64 = 1 << 1, tsd: UInt64 = 1 << 2, de: UInt64 = 1 << 3
    public static let pse: UInt64 = 1 << 4, pae: UInt64 = 1 << 5, mce: UInt64 = 1 << 6, pge: UInt64 = 1 << 7
    public static let pce: UInt64 = 1 << 8, osfxsr: UInt64 = 1 << 9, osxmmexcpt: UInt64 = 1 << 10
    public static let umip: UInt64 = 1 << 11, la57: UInt64 = 1 << 12, fsgsbase: UInt64 = 1 << 16
    public static let pcide: UInt64 = 1 << 17, osxsave: UInt64 = 1 << 18, smep: UInt64 = 1 << 20, smap: UInt64 = 1 << 21
}

/// EFER.
public enum EFER {
    public static let sce: UInt64 = 1 << 0, lme: UInt64 = 1 << 8, lma: UInt64 = 1 << 10, nxe: UInt64 = 1 << 11
    public static let ffxsr: UInt64 = 1 << 14
}

/// DR6 and DR7.
public enum DebugBits {
    public static let hits: UInt32 = 15, bd: UInt32 = 1 << 13, bs: UInt32 = 1 << 14, bt: UInt32 = 1 << 15
    /// Bits of DR6 that read as one.
    public static let dr6Fixed: UInt64 = 0xFFFF_0FF0
    static let dr6Writable: UInt64 = 0xE00F
    /// Bit 10 of DR7 reads as one; bits 11, 12, 14, 15 as zero.
    public static let dr7Fixed: UInt64 = 0x400
    static let dr7Writable: UInt64 = 0xFFFF_23FF
    public static let generalDetect: UInt64 = 1 << 13
    /// The local and global enable bits.
    static let enables: UInt64 = 0xFF
}

/// XCR0.
public enum XCR0 {
    public static let x87: UInt64 = 1, sse: UInt64 = 2, avx: UInt64 = 4
}

/// Attributes of a segment: bits 23:8 of the second doubleword of its descriptor moved down by 8, without the limit,
/// and one bit of our own.
public enum SegmentAttributes {
    /// Type, 4 bits. Of code and data: accessed, writable or readable, expand-down or conforming, code.
    public static let type: UInt32 = 15
    public static let accessed: UInt32 = 1, writable: UInt32 = 2, readable: UInt32 = 2
    public static let expandDown: UInt32 = 4, conforming: UInt32 = 4, code: UInt32 = 8
    /// Code or data, not a system descriptor.
    public static let nonSystem: UInt32 = 1 << 4
    public static let dplShift: UInt32 = 5, dpl: UInt32 = 3 << 5
    public static let present: UInt32 = 1 << 7
    public static let available: UInt32 = 1 << 12, long: UInt32 = 1 << 13, big: UInt32 = 1 << 14
    public static let granularity: UInt32 = 1 << 15
    /// Loaded with a null selector: accesses fault.
    public static let null: UInt32 = 1 << 16

    /// Read-write data, accessed, present, DPL 0, 16 bit: a segment of real mode.
    public static let realData: UInt32 = 0x93
    /// The same with DPL 3: a segment of virtual-8086 mode.
    public static let virtual8086: UInt32 = 0xF3
}

/// What a vCPU does when it does not execute instructions.
public enum Activity: UInt32, Sendable {
    case running
    /// HLT or MWAIT: waits for an interrupt.
    case halted
    /// A triple fault happened: only INIT and reset bring it back.
    case shutdown
    /// After INIT of an application processor: waits for a start-up IPI.
    case waitForStartup
}

/// Bits of `SystemLayout.interruptShadow`.
public enum InterruptShadow {
    /// Behind STI: holds off interrupts.
    public static let sti: UInt32 = 1
    /// Behind MOV SS and POP SS: holds off interrupts, NMI and debug traps.
    public static let movSS: UInt32 = 2
}

/// Bits of `SystemLayout.events`.
public enum EventLine {
    /// The local APIC or PIC has an interrupt for the processor; a level.
    public static let interrupt: UInt32 = 1
    public static let nmi: UInt32 = 2
    public static let initialize: UInt32 = 4
    public static let startup: UInt32 = 8
    /// Another NMI beside one that has not been taken yet.
    static let secondNMI: UInt32 = 16
}
