// Where the privileged architecture lies in the state block, from X86Layout.system on.
//
// Segment numbers are those of `Segment` with LDTR = 6 and TR = 7. Bases of ES…GS are globals (X86Layout.segmentBase).

import Translator

/// Byte offsets from the start of the state block.
public enum SystemLayout {
    private static let start = X86Layout.system

    // MARK: what the engine supplies (Hooks.swift)
    /// Function pointers or 0, 20 × UInt64.
    static let hooks = start
    /// 3 × UInt64: RAM that is reached without a hook: first physical address, size in bytes (0: none), host address.
    static let ramStart = start + 160
    static let ramSize = start + 168
    static let ramHost = start + 176
    /// UInt64: unretained reference to the `CPUModel`, or 0.
    static let model = start + 192
    /// 2 × UInt64: the model's features (`CPUFeatures`).
    public static let features = start + 200

    // MARK: segments
    /// 8 × UInt16.
    public static func selector(_ segment: Int) -> Int { start + 216 + segment * 2 }
    /// 8 × UInt32: the limit in bytes, granularity applied.
    public static func limit(_ segment: Int) -> Int { start + 232 + segment * 4 }
    /// 8 × UInt32, see `SegmentAttributes`.
    public static func attributes(_ segment: Int) -> Int { start + 264 + segment * 4 }
    /// UInt64.
    public static let ldtrBase = start + 296
    public static let trBase = start + 304
    public static let gdtrBase = start + 312
    public static let idtrBase = start + 320
    /// UInt32, 16 bits used.
    public static let gdtrLimit = start + 328
    public static let idtrLimit = start + 332

    // MARK: flags, privilege, mode
    /// UInt32: the bits of EFLAGS that are neither status flags nor DF (`EFlags.system`).
    public static let eflags = start + 336
    /// UInt32, 0…3.
    public static let cpl = start + 340
    /// UInt32: 1 when the privileged architecture is present, 0 in Linux programs.
    public static let isSystem = start + 344
    /// UInt32: number of the code segment for the mode word.
    public static let codeSegment = start + 348

    // MARK: control registers, UInt64
    public static let cr0 = start + 352
    public static let cr2 = start + 360
    public static let cr3 = start + 368
    public static let cr4 = start + 376
    /// CR8, where the engine installs no local APIC.
    public static let cr8 = start + 384
    public static let xcr0 = start + 392
    public static let efer = start + 400
    /// DR0…3, then DR6, DR7.
    public static func dr(_ number: Int) -> Int { start + 408 + number * 8 }
    public static let dr6 = start + 440
    public static let dr7 = start + 448
    /// The four page-directory-pointer entries of PAE paging.
    public static func pdpte(_ number: Int) -> Int { start + 456 + number * 8 }

    // MARK: model-specific registers, UInt64
    public static let star = start + 488
    public static let lstar = start + 496
    public static let cstar = start + 504
    public static let sfmask = start + 512
    public static let kernelGSBase = start + 520
    public static let sysenterCS = start + 528
    public static let sysenterESP = start + 536
    public static let sysenterEIP = start + 544
    public static let pat = start + 552
    public static let mtrrDefaultType = start + 560
    /// 11 fixed-range registers, in the order of their numbers.
    public static func mtrrFixed(_ number: Int) -> Int { start + 568 + number * 8 }
    /// 8 pairs of base and mask.
    public static func mtrrVariable(_ number: Int) -> Int { start + 656 + number * 8 }
    /// Added to the engine's TSC.
    public static let tscOffset = start + 784
    public static let tscAdjust = start + 792
    public static let tscAux = start + 800
    public static let apicBase = start + 808
    public static let miscEnable = start + 816
    public static let mcgStatus = start + 824
    public static let mcgControl = start + 832
    /// Banks of CTL, STATUS, ADDR, MISC.
    public static func machineCheck(_ number: Int) -> Int { start + 840 + number * 8 }
    static let machineCheckBanks = 4
    public static let kvmSystemTime = start + 968
    public static let kvmWallClock = start + 976
    public static let microcode = start + 984
    public static let hwcr = start + 992
    public static let syscfg = start + 1000

    // MARK: activity and events
    /// UInt32, `Activity`.
    public static let activity = start + 1008
    /// UInt32: the interrupt shadow in force, see `InterruptShadow`.
    public static let interruptShadow = start + 1012
    /// UInt32: 1 between the delivery of an NMI and the next IRET.
    public static let nmiBlocked = start + 1016
    /// UInt32, atomic: what other threads ask for, see `EventLine`.
    public static let events = start + 1020
    /// UInt32, atomic: vector of the last start-up IPI.
    public static let startupVector = start + 1024
    /// UInt32: bits of DR6 that the next debug trap reports.
    public static let pendingDebug = start + 1028
    /// UInt64: and-mask for physical addresses; bit 20 is clear while A20 is masked.
    public static let a20Mask = start + 1032
    /// UInt32: number of the processor: its initial APIC ID.
    static let processorID = start + 1040
    /// UInt32: 1 for the bootstrap processor.
    static let isBootstrap = start + 1044
    /// UInt64: physical address MONITOR was given; all ones when none is armed.
    public static let monitor = start + 1048
    /// UInt32: 1 when the engine keeps the data TLB of the state block.
    static let hasDataTLB = start + 1056
    /// UInt32: width of physical addresses in bits, of the model.
    static let physicalBits = start + 1060
    /// 3 × UInt64: thread-local storage descriptors of a Linux program (GDT entries 12, 13, 14).
    public static func threadDescriptor(_ number: Int) -> Int { start + 1064 + number * 8 }
    /// UInt32: what was in force when the instruction that is executed alone began.
    static let step = start + 1088
    /// UInt32: number of processors of the machine.
    static let processorCount = start + 1092
    /// UInt64: ticks of the time stamp counter per second.
    static let tscFrequency = start + 1096
    /// UInt64: linear address of the instruction behind an STI that set IF: no interrupt comes in front of it.
    static let shadowPlace = start + 1104
    static let end = start + 1112
}

/// Segment registers that only the system sees, numbered behind `Segment`.
public enum SystemSegment {
    public static let ldtr = 6
    public static let tr = 7
}
