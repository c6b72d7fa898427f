// The per-vCPU state block: one page-aligned raw allocation that generated code reaches through one host register.
//
// The first 256 bytes are reachable with 8-bit displacements (the register points at `bias`), so the integer registers of
// the guest lie there. Offsets below are from the start of the block.

/// Offsets in the state block.
public enum StateLayout {
    /// Generated code's state register points this many bytes into the block.
    public static let bias = 128

    // MARK: shared with other threads
    /// UInt32, 0 or 1 and nothing else (loop heads of regions count on it); 1 asks the vCPU to leave generated code at
    /// the next check. Written by any thread and by signal handlers.
    public static let exitRequest = 0
    /// UInt32; the mode word of the running code.
    public static let mode = 4

    // MARK: guest registers (the front's globals)
    /// First byte for integer globals; 31 × 8 bytes.
    public static let integerGlobals = 8
    /// UInt64: where a front with condition codes keeps its global of type `flags`.
    public static let statusFlags = integerGlobals + 16 * 8
    /// First byte for floating point globals; 32 × 8 bytes.
    public static let floatGlobals = 256

    // MARK: translator
    /// UInt64 guest pc, valid whenever the vCPU is outside generated code.
    public static let pc = 512
    /// UInt32 host MXCSR image in force for guest code; sticky exception bits accumulate here.
    public static let guestMXCSR = 520
    /// UInt32 host MXCSR of the runtime.
    public static let hostMXCSR = 524
    /// UInt32 `ExitKind` set by whoever leaves generated code.
    public static let exitKind = 528
    /// UInt32 index of the link that was taken, for `ExitKind.link`.
    public static let exitLink = 532
    /// UInt64 faulting guest address, for memory exits.
    public static let exitAddress = 536
    /// UInt32 access of the faulting instruction: 0 read, 1 write, 2 execute.
    public static let exitAccess = 544
    /// UInt32; set by a helper that wants the unit to be left after it returns (an `ExitKind`).
    public static let helperExit = 548
    /// UInt64 host return address of the helper call that left, to look up the guest pc.
    public static let exitHostPC = 552
    /// UInt64 host stack pointer on entry to generated code.
    public static let entryStack = 560
    /// UInt64 lowest host stack pointer allowed before the return stack is reset.
    public static let stackLimit = 568
    /// UInt64 guest address and value of the current load reservation; address all ones when there is none.
    public static let reservationAddress = 576
    public static let reservationValue = 584
    /// UInt64 mixed into jump cache tags: distinguishes modes.
    public static let jumpSalt = 592
    /// UInt64 address of an unmanaged reference to the engine's per-vCPU object, for helpers.
    public static let context = 600
    /// 16 × UInt64 spill slots.
    public static let spill = 608
    public static let spillCount = 16
    /// 4 × UInt64: operands, result and operation word of an out-of-line float operation.
    public static let scratch = 736

    /// UInt32: exception flags the guest has written itself (order of `readFloatFlags`); the flags it reads are these and
    /// the sticky bits of `guestMXCSR`. The bits above belong to the front.
    public static let floatStatus = 768

    /// UInt32; non-zero asks the engine to execute the next instruction in a unit of its own.
    public static let stepRequest = 772
    /// 8 × 16 bytes: spill slots of vectors.
    public static let vectorSpill = 784
    public static let vectorSpillCount = 8
    /// 16 bytes: the value of a 16-byte access that takes the slow path, from it or to it. Also three 16-byte operands and
    /// the operation word of an out-of-line vector operation, the result in place of the first.
    public static let vectorScratch = 912

    // MARK: front
    /// Space the front lays out itself (control registers, …).
    public static let front = 1024
    public static let frontSize = 3072

    // MARK: tables
    /// Instruction TLB: `itlbCount` × UInt32 page identities, indexed by guest page number.
    public static let itlb = 4096
    public static let itlbCount = 1024
    /// Jump cache: `jumpCacheCount` × (tag: UInt64, host code: UInt64), indexed by guest address bits 1….
    public static let jumpCache = 8192
    public static let jumpCacheCount = 4096
    /// What the tag of an empty slot holds: nothing that an address of that slot can be, whatever the salt (which leaves the
    /// low bits alone).
    @inline(__always) public static func emptyJumpTag(_ slot: Int) -> UInt64 { slot == jumpCache ? .max : 0 }
    /// Offset of the jump cache entry of a guest address.
    @inline(__always) public static func jumpCacheSlot(_ address: UInt64) -> Int {
        jumpCache + Int(address & UInt64((jumpCacheCount - 1) * 2)) * 8
    }
    /// Data TLB: `tlbModes` × `tlbCount` × 32-byte entries (read tag, write tag, distance from
    /// guest to host addresses, physical page).
    public static let tlb = jumpCache + jumpCacheCount * 16
    public static let tlbCount = 1024
    public static let tlbModes = 4
    public static let tlbEntrySize = 32
    /// `loopCountCount` × UInt32: how often a loop may still be entered before it becomes a region; by guest address.
    public static let loopCounts = tlb + tlbModes * tlbCount * tlbEntrySize
    public static let loopCountCount = 1024
    /// Offset of the loop count of the unit at a guest address.
    @inline(__always) public static func loopCount(_ address: UInt64) -> Int {
        loopCounts + Int((address >> 1 ^ address >> 11) & UInt64(loopCountCount - 1)) * 4
    }
    public static let size = loopCounts + loopCountCount * 4
}

extension StateLayout {
    /// Stores condition codes found in the host's flags register. Async-signal-safe.
    @inline(__always)
    public static func storeStatusFlags(_ state: UnsafeMutableRawPointer, eflags: UInt64) {
        let packed = (eflags & 0xD5 | 2) << 8 | eflags >> 11 & 1
        state.storeBytes(of: packed, toByteOffset: statusFlags, as: UInt64.self)
    }
}

/// Why generated code (or a helper) handed control back to the engine.
public struct ExitKind: RawRepresentable, Equatable, Sendable {
    /// The number stored at `StateLayout.exitKind`.
    public let rawValue: UInt32
    /// Nil for numbers that mean nothing.
    @inlinable public init?(rawValue: UInt32) {
        guard rawValue <= ExitKind.hot.rawValue || rawValue >= 64 && rawValue < 96 else { return nil }
        self.rawValue = rawValue
    }
    @usableFromInline init(_ rawValue: UInt32) { self.rawValue = rawValue }

    /// Nothing has asked to leave.
    public static let none = ExitKind(0)
    /// The unit for `pc` must be found (or made) and entered; also used after a helper changed `pc` or the mode.
    public static let lookup = ExitKind(1)
    /// As lookup, and the link `exitLink` can be patched to it.
    public static let link = ExitKind(2)
    /// `pc` is the address of the system call instruction.
    public static let systemCall = ExitKind(3)
    /// `pc` is the address of the breakpoint instruction.
    public static let breakpoint = ExitKind(4)
    /// `pc` is the address of an instruction that does not exist in this mode.
    public static let illegalInstruction = ExitKind(5)
    /// `exitAddress`, `exitAccess`.
    public static let memoryFault = ExitKind(6)
    /// A misaligned access that must fault; `exitAddress`, `exitAccess`, whose bit 2 is set for accesses of 16 bytes (x86:
    /// #GP rather than #AC).
    public static let misaligned = ExitKind(7)
    /// An instruction cache flush was executed; `pc` is the next instruction.
    public static let instructionFence = ExitKind(8)
    /// Wait for interrupt; `pc` is the next instruction.
    public static let wait = ExitKind(9)
    /// The front raises its own exception; meaning in `exitAddress`.
    public static let frontException = ExitKind(10)
    /// Never stored by generated code: the engine reports that `exitRequest` was seen.
    public static let interrupted = ExitKind(11)
    /// A unit that checks its guest bytes found others; `pc` is its start.
    public static let codeChanged = ExitKind(12)
    /// The instruction at `pc` must be executed in a unit of its own (x86); nothing of it has been done.
    public static let alone = ExitKind(13)
    /// A loop has been entered so often that it is worth a region; `exitAddress` is where it starts, `pc` is at the unit that
    /// counted.
    public static let hot = ExitKind(14)
    /// Within the translator only: as `lookup`, for the start of the unit whose code `exitHostPC` is in.
    static let unitStart = ExitKind(15)
    /// The current instruction raises the guest architecture's exception of that number (0…31), with error code 0 where
    /// it has one (x86: the vector).
    @inlinable public static func exception(_ vector: Int) -> ExitKind { ExitKind(64 + UInt32(vector & 31)) }
    /// The number of an `exception`.
    @inlinable public var exceptionVector: Int? { rawValue >= 64 ? Int(rawValue) - 64 : nil }
}
