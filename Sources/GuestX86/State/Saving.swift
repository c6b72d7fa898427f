// Writes a vCPU out and reads it back. What is read is checked, so that a damaged file gives an error or a state the
// architecture knows, never an impossible one.

import SavedState
import Translator

extension X86State {
    private static let registersSection = "x86-registers", systemSection = "x86-system"

    /// System registers of 8 bytes in the order they are stored.
    private static let longFields: [Int] = {
        var fields = [
            SystemLayout.ldtrBase, SystemLayout.trBase, SystemLayout.gdtrBase, SystemLayout.idtrBase, SystemLayout.cr0,
            SystemLayout.cr2, SystemLayout.cr3, SystemLayout.cr4, SystemLayout.cr8, SystemLayout.xcr0,
            SystemLayout.efer,
            SystemLayout.dr6, SystemLayout.dr7, SystemLayout.star, SystemLayout.lstar, SystemLayout.cstar,
            SystemLayout.sfmask, SystemLayout.kernelGSBase, SystemLayout.sysenterCS, SystemLayout.sysenterESP,
            SystemLayout.sysenterEIP, SystemLayout.pat, SystemLayout.mtrrDefaultType, SystemLayout.tscAdjust,
            SystemLayout.tscAux, SystemLayout.apicBase, SystemLayout.miscEnable, SystemLayout.mcgStatus,
            SystemLayout.mcgControl, SystemLayout.kvmSystemTime, SystemLayout.kvmWallClock, SystemLayout.microcode,
            SystemLayout.hwcr, SystemLayout.syscfg, SystemLayout.a20Mask, SystemLayout.monitor,
            SystemLayout.shadowPlace,
        ]
        fields += (0..<4).map(SystemLayout.dr) + (0..<4).map(SystemLayout.pdpte)
        fields += (0..<11).map(SystemLayout.mtrrFixed) + (0..<16).map(SystemLayout.mtrrVariable)
        fields += (0..<(4 * SystemLayout.machineCheckBanks)).map(SystemLayout.machineCheck)
        return fields + (0..<3).map(SystemLayout.threadDescriptor)
    }()

    /// Likewise of 4 bytes.
    private static let shortFields = [
        SystemLayout.gdtrLimit, SystemLayout.idtrLimit, SystemLayout.cpl, SystemLayout.activity,
        SystemLayout.interruptShadow, SystemLayout.nmiBlocked, SystemLayout.events, SystemLayout.startupVector,
        SystemLayout.pendingDebug, SystemLayout.processorID, SystemLayout.isBootstrap,
    ]

    /// Bytes of x87 state and of the vector registers, stored as they lie.
    private static let x87Size = 160, vectorSize = 512

    /// Writes the architectural state. The vCPU must be outside guest code. The model and what the engine installs
    /// are not part of it; the time stamp counter goes on from the value it has.
    public func save(to writer: inout StateWriter) {
        writer.section(Self.registersSection, version: 1) { writer in
            writer.put(isSystem)
            writer.put(pc)
            for number in 0..<16 { writer.put(register(number)) }
            writer.put(eflags)
            for number in 0..<8 {
                let cache = segment(number)
                writer.put(cache.selector)
                writer.put(cache.attributes)
                writer.put(cache.limit)
                writer.put(cache.base)
            }
            writer.put(self[word: StateLayout.guestMXCSR])
            writer.put(bytes: UnsafeRawBufferPointer(start: base + X86Layout.x87Registers, count: Self.x87Size))
            writer.put(bytes: UnsafeRawBufferPointer(start: base + X86Layout.xmm(0), count: Self.vectorSize))
        }
        writer.section(Self.systemSection, version: 1) { writer in
            writer.put(features.low)
            writer.put(features.high)
            for offset in Self.longFields { writer.put(self[offset]) }
            for offset in Self.shortFields { writer.put(self[word: offset]) }
            writer.put(timeStampCounter)
        }
    }

    /// Replaces the architectural state with what `save` wrote, for the model installed, and forgets cached
    /// translations.
    /// - Throws: `StateError` for another model or for values no vCPU can have; the state is then undefined.
    public func restore(from reader: inout StateReader) throws {
        try reader.section(Self.registersSection, newest: 1) { reader, _ in try restoreRegisters(&reader) }
        try reader.section(Self.systemSection, newest: 1) { reader, _ in
            let low: UInt64 = try reader.get(), high: UInt64 = try reader.get()
            guard CPUFeatures(low: low, high: high) == features else {
                throw Self.invalid("the processor had other features; resume with the same --cpu")
            }
            for offset in Self.longFields { self[offset] = try reader.get() }
            for offset in Self.shortFields { self[word: offset] = try reader.get() }
            self[SystemLayout.tscOffset] = try reader.get(UInt64.self) &- rawTimeStampCounter
        }
        try checkRestored()
        self[word: SystemLayout.step] = 0
        updateCodeSegment()
        updateMode()
        flush(.all)
        if isSystem { updateSystemTime() }
    }

    private func restoreRegisters(_ reader: inout StateReader) throws {
        self[word: SystemLayout.isSystem] = try reader.getBool() ? 1 : 0
        pc = try reader.get()
        for number in 0..<16 { setRegister(number, try reader.get()) }
        let flags: UInt32 = try reader.get()
        guard flags & ~(EFlags.all | EFlags.fixed) == 0 else { throw Self.invalid("EFLAGS \(flags)") }
        eflags = flags
        for number in 0..<8 {
            let selector: UInt16 = try reader.get(), attributes: UInt32 = try reader.get()
            let limit: UInt32 = try reader.get(), base: UInt64 = try reader.get()
            setSegment(number, SegmentCache(selector: selector, attributes: attributes & 0x1_F0FF, limit: limit,
                                            base: base))
        }
        let mxcsr: UInt32 = try reader.get()
        guard mxcsr >> 16 == 0 else { throw Self.invalid("MXCSR \(mxcsr)") }
        self[word: StateLayout.guestMXCSR] = mxcsr
        try restoreBytes(&reader, X86Layout.x87Registers, Self.x87Size)
        try restoreBytes(&reader, X86Layout.xmm(0), Self.vectorSize)
    }

    private func restoreBytes(_ reader: inout StateReader, _ offset: Int, _ size: Int) throws {
        let bytes = try reader.getBytes()
        guard bytes.count == size else { throw Self.invalid("\(bytes.count) bytes in the place of \(size)") }
        bytes.withUnsafeBytes {
            (base + offset).copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(base), byteCount: size)
        }
    }

    /// Refuses combinations that no sequence of instructions leads to.
    private func checkRestored() throws {
        let isLong = efer & EFER.lma != 0
        guard cpl <= 3, Activity(rawValue: self[word: SystemLayout.activity]) != nil else {
            throw Self.invalid("CPL \(cpl), activity \(self[word: SystemLayout.activity])")
        }
        guard cr0 & ~(CR0.writable | CR0.et) == 0, cr0 & CR0.pg == 0 || cr0 & CR0.pe != 0,
              isProtected || cpl == 0 else { throw Self.invalid("CR0 \(cr0) at CPL \(cpl)") }
        guard cr4 & ~writableCR4 == 0, efer & ~(writableEFER | EFER.lma) == 0 else {
            throw Self.invalid("CR4 \(cr4), EFER \(efer)")
        }
        if isSystem {
            guard isLong == (efer & EFER.lme != 0 && isPaging), !isLong || cr4 & CR4.pae != 0,
                  cr3 >> UInt64(physicalBits) == 0 else { throw Self.invalid("EFER \(efer), CR3 \(cr3), CR4 \(cr4)") }
        }
        guard !isVirtual8086 || isProtected && !isLong && cpl == 3 else { throw Self.invalid("EFLAGS.VM") }
        guard xcr0 & ~writableXCR0 == 0, xcr0 & XCR0.x87 != 0, xcr0 & XCR0.avx == 0 || xcr0 & XCR0.sse != 0 else {
            throw Self.invalid("XCR0 \(xcr0)")
        }
        guard self[SystemLayout.a20Mask] | 1 << 20 == .max, self[SystemLayout.cr8] < 16,
              self[word: SystemLayout.gdtrLimit] <= 0xFFFF, self[word: SystemLayout.idtrLimit] <= 0xFFFF,
              self[word: SystemLayout.interruptShadow] <= 3, self[word: SystemLayout.nmiBlocked] <= 1,
              self[word: SystemLayout.events] <= 15, self[word: SystemLayout.isBootstrap] <= 1 else {
            throw Self.invalid("a system register")
        }
        self[SystemLayout.dr6] = self[SystemLayout.dr6] & DebugBits.dr6Writable | DebugBits.dr6Fixed
        self[SystemLayout.dr7] = self[SystemLayout.dr7] & DebugBits.dr7Writable | DebugBits.dr7Fixed
        self[word: SystemLayout.pendingDebug] &= UInt32(DebugBits.dr6Writable)
        if !is64BitCode { pc &= 0xFFFF_FFFF }
    }

    private static func invalid(_ reason: String) -> StateError { .invalid(section: systemSection, reason: reason) }
}
