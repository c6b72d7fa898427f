// A typed view of a vCPU's state block.
//
// What the engine must know:
// - The program counter in the block is linear: CS base + RIP, truncated to 32 bits outside 64-bit code.
// - A helper that raises an exception leaves the unit with `ExitKind.exception(vector)`, the error code in
//   `StateLayout.exitAddress` (UInt64; 0 where the vector has none) and CR2 written for a page fault; nothing else has
//   changed, and pc is the instruction's own (the engine finds it). In a machine the engine calls
//   `deliver(.fault(…))`, in a program it becomes a signal.
// - A helper that changed pc, mode or activity leaves with `ExitKind.lookup`. After every exit and before every unit
//   the engine looks at `activity`: anything but `running` means that no instruction is executed.
//
// Spec: Intel SDM vol. 3, AMD APM vol. 2. The processor is an AMD one where they differ.

import Translator

/// The architectural state of one vCPU. A value of this type is only a pointer; copies see the same state.
public struct X86State {
    // SAFETY: `base` points to a state block of StateLayout.size bytes that outlives the value; its owner guarantees
    // that no other thread uses the block, but for the words documented as atomic.
    /// The state block.
    public let base: UnsafeMutableRawPointer

    public init(_ base: UnsafeMutableRawPointer) { self.base = base }

    @inline(__always)
    subscript(offset: Int) -> UInt64 {
        get { base.load(fromByteOffset: offset, as: UInt64.self) }
        nonmutating set { base.storeBytes(of: newValue, toByteOffset: offset, as: UInt64.self) }
    }

    @inline(__always)
    subscript(word offset: Int) -> UInt32 {
        get { base.load(fromByteOffset: offset, as: UInt32.self) }
        nonmutating set { base.storeBytes(of: newValue, toByteOffset: offset, as: UInt32.self) }
    }

    @inline(__always)
    subscript(half offset: Int) -> UInt16 {
        get { base.load(fromByteOffset: offset, as: UInt16.self) }
        nonmutating set { base.storeBytes(of: newValue, toByteOffset: offset, as: UInt16.self) }
    }

    // MARK: registers

    /// All 64 bits of integer register 0…15 (RAX RCX RDX RBX RSP RBP RSI RDI R8…R15).
    public func register(_ number: Int) -> UInt64 { self[X86Layout.register(number & 15)] }

    /// Writes all 64 bits of an integer register.
    public func setRegister(_ number: Int, _ value: UInt64) { self[X86Layout.register(number & 15)] = value }

    /// Writes an integer register as an instruction with that operand size (bytes) does.
    public func setRegister(_ number: Int, _ value: UInt64, size: Int) {
        switch size {
        case 1: self[X86Layout.register(number)] = self[X86Layout.register(number)] & ~0xFF | value & 0xFF
        case 2: self[X86Layout.register(number)] = self[X86Layout.register(number)] & ~0xFFFF | value & 0xFFFF
        case 4: self[X86Layout.register(number)] = value & 0xFFFF_FFFF
        default: self[X86Layout.register(number)] = value
        }
    }

    static let rax = 0, rcx = 1, rdx = 2, rbx = 3, rsp = 4, rbp = 5, rsi = 6, rdi = 7, r11 = 11

    /// The linear program counter; valid outside generated code.
    public var pc: UInt64 {
        get { self[StateLayout.pc] }
        nonmutating set { self[StateLayout.pc] = newValue }
    }

    /// What is subtracted from the linear program counter to get RIP.
    public var codeBase: UInt64 { is64BitCode ? 0 : self[X86Layout.segmentBase(Segment.cs.rawValue)] }

    /// RIP, EIP or IP: relative to CS; valid outside generated code.
    public var rip: UInt64 {
        get { offset(ofLinear: pc) }
        nonmutating set { pc = linear(ofOffset: newValue) }
    }

    /// RIP of a linear code address under the current CS.
    func offset(ofLinear address: UInt64) -> UInt64 {
        is64BitCode ? address : (address &- codeBase) & 0xFFFF_FFFF
    }

    /// Linear address of an RIP under the current CS.
    func linear(ofOffset offset: UInt64) -> UInt64 {
        is64BitCode ? offset : (offset &+ codeBase) & 0xFFFF_FFFF
    }

    // MARK: flags

    /// EFLAGS, put together from the packed status flags, the direction and the system flags.
    public var eflags: UInt32 {
        get {
            let packed = self[word: X86Layout.flags]
            return packed >> 8 & (EFlags.cf | EFlags.pf | EFlags.af | EFlags.zf | EFlags.sf) | (packed & 1) << 11
                | (self[X86Layout.direction] >> 63 != 0 ? EFlags.df : 0)
                | self[word: SystemLayout.eflags] | EFlags.fixed
        }
        nonmutating set {
            self[X86Layout.flags] = Self.packed(newValue)
            self[X86Layout.direction] = newValue & EFlags.df != 0 ? .max : 1
            self[word: SystemLayout.eflags] = newValue & EFlags.system
        }
    }

    /// Status flags of an EFLAGS value in the form of the global: as LAHF and SETO give them.
    public static func packed(_ eflags: UInt32) -> UInt64 {
        UInt64(eflags & 0xD5 | EFlags.fixed) << 8 | UInt64(eflags >> 11 & 1)
    }

    /// Sets or clears ZF alone.
    func setZF(_ value: Bool) {
        self[X86Layout.flags] = self[X86Layout.flags] & ~(1 << 14) | (value ? 1 << 14 : 0)
    }

    @inline(__always) var systemFlags: UInt32 {
        get { self[word: SystemLayout.eflags] }
        nonmutating set { self[word: SystemLayout.eflags] = newValue }
    }

    // MARK: control

    /// Control registers as they are; writing them so has no side effects (ControlRegisters.swift has the
    /// instructions).
    @inline(__always) public var cr0: UInt64 {
        get { self[SystemLayout.cr0] }
        nonmutating set { self[SystemLayout.cr0] = newValue }
    }
    /// See `cr0`.
    @inline(__always) public var cr2: UInt64 {
        get { self[SystemLayout.cr2] }
        nonmutating set { self[SystemLayout.cr2] = newValue }
    }
    /// See `cr0`.
    @inline(__always) public var cr3: UInt64 {
        get { self[SystemLayout.cr3] }
        nonmutating set { self[SystemLayout.cr3] = newValue }
    }
    /// See `cr0`.
    @inline(__always) public var cr4: UInt64 {
        get { self[SystemLayout.cr4] }
        nonmutating set { self[SystemLayout.cr4] = newValue }
    }
    /// See `cr0`.
    @inline(__always) public var efer: UInt64 {
        get { self[SystemLayout.efer] }
        nonmutating set { self[SystemLayout.efer] = newValue }
    }
    /// See `cr0`.
    @inline(__always) public var xcr0: UInt64 {
        get { self[SystemLayout.xcr0] }
        nonmutating set { self[SystemLayout.xcr0] = newValue }
    }

    /// Privilege level, 0…3.
    @inline(__always) public var cpl: UInt32 {
        get { self[word: SystemLayout.cpl] }
        nonmutating set { self[word: SystemLayout.cpl] = newValue }
    }

    /// True when the privileged architecture is present: a machine, not a Linux program.
    public var isSystem: Bool { self[word: SystemLayout.isSystem] != 0 }
    @inline(__always) var isProtected: Bool { cr0 & CR0.pe != 0 }
    @inline(__always) var isPaging: Bool { cr0 & CR0.pg != 0 }
    @inline(__always) var isVirtual8086: Bool { systemFlags & EFlags.vm != 0 }
    /// Neither real nor virtual-8086 mode: selectors name descriptors.
    @inline(__always) var usesDescriptors: Bool { isProtected && !isVirtual8086 }
    @inline(__always) var isLongMode: Bool { efer & EFER.lma != 0 }
    /// Long mode and CS.L.
    @inline(__always) public var is64BitCode: Bool {
        isLongMode && self[word: SystemLayout.attributes(Segment.cs.rawValue)] & SegmentAttributes.long != 0
    }
    @inline(__always) var iopl: UInt32 { systemFlags >> EFlags.ioplShift & 3 }

    /// What the vCPU does.
    public var activity: Activity {
        get { Activity(rawValue: self[word: SystemLayout.activity]) ?? .shutdown }
        nonmutating set { self[word: SystemLayout.activity] = newValue.rawValue }
    }

    /// The features of the model.
    public var features: CPUFeatures {
        CPUFeatures(low: self[SystemLayout.features], high: self[SystemLayout.features + 8])
    }

    /// Whether the model has a feature.
    @inline(__always) public func has(_ feature: CPUFeature) -> Bool {
        let bit = Int(feature.rawValue)
        return self[SystemLayout.features + (bit >> 6) * 8] >> UInt64(bit & 63) & 1 != 0
    }
}
