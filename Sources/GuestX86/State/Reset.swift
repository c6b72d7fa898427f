// The states a vCPU starts in: power-on, INIT, start-up IPI, a Linux program, and those boot protocols ask for.
//
// Spec: Intel SDM vol. 3 9.1.1 (table 9-1), 8.4; AMD APM vol. 2 14.1.

import Translator

extension X86State {
    private static let x87InitialControl: UInt16 = 0x037F, mxcsrInitial: UInt32 = 0x1F80

    /// Power-on: real mode at FFFF:FFF0 of the bootstrap processor; the others wait for a start-up IPI. Needs
    /// `install`.
    public func reset() {
        clear()
        self[word: SystemLayout.isSystem] = 1
        resetCore()
        self[SystemLayout.pat] = 0x0007_0406_0007_0406
        self[SystemLayout.apicBase] = APICBase.address | APICBase.enable
            | (self[word: SystemLayout.isBootstrap] != 0 ? APICBase.bootstrap : 0)
        self[SystemLayout.miscEnable] = 1
        self[SystemLayout.mcgControl] = .max
        self[SystemLayout.a20Mask] = .max
        xcr0 = XCR0.x87
        resetFloat()
        enterResetState()
    }

    /// INIT: as reset, but caches, floating point, the counter and most model-specific registers keep what they hold.
    public func initialize() {
        let caches = cr0 & (CR0.cd | CR0.nw)
        resetCore()
        cr0 = cr0 & ~(CR0.cd | CR0.nw) | caches
        enterResetState()
    }

    /// A start-up IPI: real mode at page `vector`.
    public func startUp(_ vector: UInt8) {
        var cs = segment(.cs)
        cs.selector = UInt16(vector) << 8
        cs.base = UInt64(vector) << 12
        setSegment(.cs, cs)
        activity = .running
        updateCodeSegment()
        rip = 0
        updateMode()
    }

    private func enterResetState() {
        activity = self[word: SystemLayout.isBootstrap] != 0 ? .running : .waitForStartup
        updateCodeSegment()
        rip = 0xFFF0
        flush(.all)
        updateMode()
    }

    private func resetCore() {
        for number in 0..<16 { setRegister(number, 0) }
        setRegister(Self.rdx, UInt64(model.signature))
        eflags = EFlags.fixed
        for number in 0..<6 {
            setSegment(number, SegmentCache(attributes: SegmentAttributes.realData, limit: 0xFFFF))
        }
        setSegment(.cs, SegmentCache(selector: 0xF000, attributes: SegmentAttributes.realData | SegmentAttributes.code,
                                     limit: 0xFFFF, base: 0xFFFF_0000))
        setSegment(SystemSegment.ldtr,
                   SegmentCache(attributes: SegmentAttributes.present | SystemType.ldt, limit: 0xFFFF))
        setSegment(SystemSegment.tr,
                   SegmentCache(attributes: SegmentAttributes.present | SystemType.tss32Busy, limit: 0xFFFF))
        self[SystemLayout.gdtrBase] = 0
        self[word: SystemLayout.gdtrLimit] = 0xFFFF
        self[SystemLayout.idtrBase] = 0
        self[word: SystemLayout.idtrLimit] = 0xFFFF
        cr0 = has(.i486) ? CR0.cd | CR0.nw | CR0.et : CR0.et
        (cr2, cr3, cr4, efer) = (0, 0, 0, 0)
        self[SystemLayout.cr8] = 0
        cpl = 0
        for number in 0..<4 {
            self[SystemLayout.dr(number)] = 0
            self[SystemLayout.pdpte(number)] = 0
        }
        self[SystemLayout.dr6] = DebugBits.dr6Fixed
        self[SystemLayout.dr7] = DebugBits.dr7Fixed
        self[word: SystemLayout.interruptShadow] = 0
        self[word: SystemLayout.nmiBlocked] = 0
        self[word: SystemLayout.pendingDebug] = 0
        self[word: SystemLayout.step] = 0
        self[SystemLayout.monitor] = .max
        self[SystemLayout.shadowPlace] = .max
    }

    private func resetFloat() {
        self[half: X86Layout.x87Control] = Self.x87InitialControl
        self[word: StateLayout.guestMXCSR] = Self.mxcsrInitial
    }

    /// Zeroes registers and system state, keeping what the engine has installed.
    private func clear() {
        base.advanced(by: StateLayout.integerGlobals).initializeMemory(as: UInt8.self, repeating: 0, count: 31 * 8)
        base.advanced(by: StateLayout.floatGlobals).initializeMemory(as: UInt8.self, repeating: 0, count: 32 * 8)
        let kept = (self[word: SystemLayout.events], self[word: SystemLayout.processorID],
                    self[word: SystemLayout.isBootstrap], self[word: SystemLayout.processorCount],
                    self[SystemLayout.tscFrequency], self[word: SystemLayout.physicalBits],
                    self[word: SystemLayout.hasDataTLB])
        base.advanced(by: StateLayout.front).initializeMemory(as: UInt8.self, repeating: 0, count: 512)
        let first = SystemLayout.selector(0)
        base.advanced(by: first).initializeMemory(as: UInt8.self, repeating: 0, count: SystemLayout.end - first)
        (self[word: SystemLayout.events], self[word: SystemLayout.processorID], self[word: SystemLayout.isBootstrap],
         self[word: SystemLayout.processorCount], self[SystemLayout.tscFrequency],
         self[word: SystemLayout.physicalBits], self[word: SystemLayout.hasDataTLB]) = kept
        self[StateLayout.reservationAddress] = .max
        eflags = EFlags.fixed
    }

    // MARK: programs and boot protocols

    /// Where a Linux program starts: CPL 3, flat segments, floating point initialised, all registers zero.
    /// - Parameters:
    ///   - is64: 64-bit code, or 32-bit code.
    ///   - pc: its first instruction.
    public func resetForProgram(is64: Bool, pc: UInt64) {
        clear()
        resetFloat()
        self[SystemLayout.a20Mask] = .max
        self[SystemLayout.monitor] = .max
        self[SystemLayout.shadowPlace] = .max
        cpl = 3
        cr0 = CR0.pe | CR0.pg | CR0.mp | CR0.ne | CR0.wp | CR0.am | CR0.et
        // Paging is the host's: translation never looks at tables.
        cr0 &= ~CR0.pg
        cr4 = writableCR4 & (CR4.osfxsr | CR4.osxmmexcpt | CR4.osxsave | CR4.fsgsbase | CR4.pae)
        xcr0 = writableXCR0
        efer = is64 || has(.lm) ? EFER.lma | EFER.lme | EFER.sce | EFER.nxe : 0
        systemFlags = EFlags.interrupt
        let code = Descriptor(raw: programDescriptorRaw(is64: is64), address: 0, selector: is64 ? 0x33 : 0x23)
        setSegment(.cs, code.cache)
        let data = Descriptor(raw: Self.flatDescriptor | 0x3 << 40 | 1 << 54, address: 0, selector: 0x2B).cache
        setSegment(.ss, data)
        for segment in [Segment.ds, .es] { setSegment(segment, is64 ? Self.nullSegment(0) : data) }
        for segment in [Segment.fs, .gs] { setSegment(segment, Self.nullSegment(0)) }
        self.pc = pc
        updateMode()
    }

    private func programDescriptorRaw(is64: Bool) -> UInt64 {
        Self.flatDescriptor | 0xB << 40 | (is64 ? 1 << 53 : 1 << 54)
    }

    /// 32-bit protected mode without paging and with flat segments, as PVH, Multiboot and the 32-bit Linux protocol
    /// start.
    /// - Parameters:
    ///   - rip: the first instruction.
    ///   - code: selector of CS.
    ///   - data: selector of the others.
    public func startProtected(rip: UInt32, code: UInt16 = 0x10, data: UInt16 = 0x18) {
        cr0 = CR0.pe | CR0.et
        setFlatSegments(code, data, SegmentAttributes.big)
        cpl = 0
        activity = .running
        flush(.all)
        updateCodeSegment()
        self.rip = UInt64(rip)
        updateMode()
    }

    /// Long mode with the page tables at `cr3`, as the 64-bit Linux protocol starts.
    public func startLong(rip: UInt64, cr3 root: UInt64, code: UInt16 = 0x10, data: UInt16 = 0x18) {
        cr0 = CR0.pe | CR0.pg | CR0.et | CR0.ne | CR0.wp
        cr3 = root
        cr4 = CR4.pae
        efer = EFER.lme | EFER.lma | (has(.nx) ? EFER.nxe : 0)
        setFlatSegments(code, data, SegmentAttributes.long)
        cpl = 0
        activity = .running
        flush(.all)
        updateCodeSegment()
        self.rip = rip
        updateMode()
    }

    private func setFlatSegments(_ code: UInt16, _ data: UInt16, _ size: UInt32) {
        let common = SegmentAttributes.accessed | SegmentAttributes.writable | SegmentAttributes.nonSystem
            | SegmentAttributes.present | SegmentAttributes.granularity
        for segment in Segment.allCases {
            let isCode = segment == .cs
            setSegment(segment, SegmentCache(
                selector: isCode ? code : data,
                attributes: common | (isCode ? SegmentAttributes.code | size : SegmentAttributes.big), limit: .max))
        }
    }
}
