// Instructions on system state, time, identity, ports and caches. Nearly all work is done by helpers; rows marked cpl0 have
// been checked before (LiftTable).
//
// Source: AMD APM volume 3, chapters 3 and 4.

import IR
import Translator

enum System {
    static func join(_ row: LiftTable) {
        joinDescriptors(row)
        joinProcessor(row)
        row("hlt") { $0.helperThenLookup(.halt, $0.k(address: $0.next)) }
        row("monitor", monitor)
        row("monitorx", monitor)
        row("mwait", mwait)
        row("mwaitx", mwait)
        row("invlpg", invlpg)
        row("invpcid", invpcid)
        row("invd") { $0.call(.invalidateCaches) }
        row("wbinvd") { $0.call(.invalidateCaches) }
        row("wbnoinvd") { $0.call(.invalidateCaches) }
        row("clac") { $0.helperThenLookup(.setAccessCheck, $0.k(0), $0.k(address: $0.next)) }
        row("stac") { $0.helperThenLookup(.setAccessCheck, $0.k(1), $0.k(address: $0.next)) }
        row("swapgs") { $0.call(.swapGS) }
        row("in", portIn)
        row("out", portOut)
        joinHints(row)
    }

    private static func joinDescriptors(_ row: LiftTable) {
        row("sldt") { $0.storeWord($0.call(.storeLDT)) }
        row("str") { $0.storeWord($0.call(.storeTask)) }
        row("lldt") { $0.call(.loadLDT, $0.b.zeroExtend($0.readWord(0), .i64)) }
        row("ltr") { $0.call(.loadTask, $0.b.zeroExtend($0.readWord(0), .i64)) }
        row("verr") { $0.call(.verify, $0.b.zeroExtend($0.readWord(0), .i64), $0.k(0)) }
        row("verw") { $0.call(.verify, $0.b.zeroExtend($0.readWord(0), .i64), $0.k(1)) }
        row("lar") { $0.loadAccess(limit: false) }
        row("lsl") { $0.loadAccess(limit: true) }
        row("sgdt") { $0.storeTable(0) }
        row("sidt") { $0.storeTable(1) }
        row("lgdt") { $0.loadTable(.loadGDT) }
        row("lidt") { $0.loadTable(.loadIDT) }
        row("arpl", arpl)
    }

    private static func joinProcessor(_ row: LiftTable) {
        row("smsw") { $0.storeWord($0.call(.storeMachineStatus)) }
        row("lmsw") { $0.helperThenLookup(.loadMachineStatus, $0.b.zeroExtend($0.readWord(0), .i64), $0.k(address: $0.next)) }
        row("clts") { $0.helperThenLookup(.clearTaskSwitched, $0.k(address: $0.next)) }
        row("rdmsr") { $0.call(.readMSR) }
        row("wrmsr") { $0.helperThenLookup(.writeMSR, $0.k(address: $0.next)) }
        row("rdpmc") { $0.call(.readPerformanceCounter) }
        row("rdtsc") { $0.call(.readTSC) }
        row("rdtscp") { $0.call(.readTSCP) }
        row("rdpid") { $0.writeWhole($0.call(.readTSCAuxiliary)) }
        row("cpuid") { $0.call(.cpuid) }
        row("xgetbv") { $0.call(.readExtendedControl) }
        row("xsetbv") { $0.helperThenLookup(.writeExtendedControl, $0.k(address: $0.next)) }
        row("rdrand", random)
        row("rdseed", random)
        row("rdfsbase") { $0.readBase(0) }
        row("rdgsbase") { $0.readBase(1) }
        row("wrfsbase") { $0.call(.writeSegmentBase, $0.k(0), $0.b.zeroExtend($0.read(0), .i64)) }
        row("wrgsbase") { $0.call(.writeSegmentBase, $0.k(1), $0.b.zeroExtend($0.read(0), .i64)) }
    }

    private static func joinHints(_ row: LiftTable) {
        for name: StaticString in ["nop", "pause", "prefetchnta", "prefetcht0", "prefetcht1", "prefetcht2", "prefetchw", "prefetch",
                                   "lfence"] {
            row(name) { _ in }
        }
        row("mfence") { $0.b.fence(.storeLoad) }
        row("sfence") { $0.b.fence(.compiler) }
        row("movnti") { $0.write(0, $0.read(1)) }
        // They fault as a load does.
        row("clflush") { _ = $0.load($0.address(size: 1, write: false), 1) }
        row("clflushopt") { _ = $0.load($0.address(size: 1, write: false), 1) }
        row("clwb") { _ = $0.load($0.address(size: 1, write: false), 1) }
        row("clzero", clzero)
    }

    // MARK: control and debug registers

    static func moveToControl(_ l: inout Lifter) {
        l.helperThenLookup(.writeControl, l.k(Int64(l.i.reg)), l.register(Int(l.i.rm)), l.k(address: l.next))
    }

    static func moveFromControl(_ l: inout Lifter) { l.writeSystemRegister(l.call(.readControl, l.k(Int64(l.i.reg)))) }

    static func moveToDebug(_ l: inout Lifter) {
        l.helperThenLookup(.writeDebug, l.k(Int64(l.i.reg)), l.register(Int(l.i.rm)), l.k(address: l.next))
    }

    static func moveFromDebug(_ l: inout Lifter) { l.writeSystemRegister(l.call(.readDebug, l.k(Int64(l.i.reg)))) }

    // MARK: waiting, caches

    /// The address has the address size, whatever the operand size.
    static func monitor(_ l: inout Lifter) {
        let offset = l.truncated(l.register(GPR.rax), Int(l.i.addressSize))
        let address = l.linear(l.dataSegment, offset, size: 1, write: false)
        l.call(.monitor, l.value(address), l.truncated(l.register(GPR.rcx), 4), l.truncated(l.register(GPR.rdx), 4))
    }

    static func mwait(_ l: inout Lifter) {
        l.helperThenLookup(.monitorWait, l.k(address: l.next), l.truncated(l.register(GPR.rax), 4),
                           l.truncated(l.register(GPR.rcx), 4))
    }

    static func invlpg(_ l: inout Lifter) {
        // No limit is checked: only the base counts.
        let segment = Segment(rawValue: l.i.defaultSegment) ?? .ds
        var address = l.effectiveAddress()
        if !l.is64 || segment == .fs || segment == .gs {
            address = l.b.add(address, l.b.get(X86Global.segmentBase(segment)))
        }
        l.helperThenLookup(.invalidatePage, l.is64 ? address : l.truncated(address, 4), l.k(address: l.next))
    }

    static func invpcid(_ l: inout Lifter) {
        let kind = l.b.zeroExtend(l.read(0), .i64)
        let address = l.value(l.address(size: 16, write: false))
        l.helperThenLookup(.invalidateContext, kind, address, l.k(address: l.next))
    }

    /// Clears the 64-byte line that holds the byte at rAX.
    static func clzero(_ l: inout Lifter) {
        let offset = l.b.and(l.truncated(l.register(GPR.rax), Int(l.i.addressSize)), l.k(-64))
        let line = l.linear(l.dataSegment, offset, size: 64, write: true)
        for place in 0..<8 { l.store(line, 8, l.k(0), plus: Int64(place * 8)) }
    }

    // MARK: ports

    static func portIn(_ l: inout Lifter) {
        guard l.mode.has(Mode.system) else { return l.raise(ExceptionVector.generalProtection) }
        let size = l.size(0)
        let value = l.call(.portIn, l.port(1), l.k(Int64(size)))
        l.setRegister(GPR.rax, size, l.b.truncate(value, Lifter.type(size)))
    }

    static func portOut(_ l: inout Lifter) {
        guard l.mode.has(Mode.system) else { return l.raise(ExceptionVector.generalProtection) }
        let size = l.size(1)
        l.call(.portOut, l.port(0), l.k(Int64(size)), l.b.zeroExtend(l.register(GPR.rax, size), .i64))
    }

    // MARK: others

    /// The flags say that the number is valid, and are cleared otherwise.
    static func random(_ l: inout Lifter) {
        let size = Int(l.i.operandSize)
        let value = l.call(.random)
        l.setRegister(Int(l.i.rm), size, l.b.truncate(value, Lifter.type(size)))
        l.setFlags(l.b.bitsToFlags(l.k(Int64(EFlags.cf))))
    }

    /// RPL of the destination is raised to that of the source.
    static func arpl(_ l: inout Lifter) {
        let old = l.read(0, write: true), source = l.read(1)
        let mine = l.b.and(old, l.k(3, 2)), wanted = l.b.and(source, l.k(3, 2))
        let lower = l.b.compare(.lessUnsigned, mine, wanted)
        l.write(0, l.b.select(lower, l.b.or(l.b.and(old, l.k(-4, 2)), wanted), old))
        l.setFlagBits(l.flags, clear: EFlags.zf, l.bit(lower, 6))
    }
}

extension Lifter {
    /// A helper behind which the unit ends, because the mode may have changed.
    mutating func helperThenLookup(_ helper: HelperIndex, _ a: ValueID = .none, _ second: ValueID = .none,
                                   _ c: ValueID = .none) {
        call(helper, a, second, c)
        lookup()
    }

    /// A port number: DX, or the immediate.
    fileprivate mutating func port(_ number: Int) -> ValueID {
        operand(number).kind == .immediate ? k(i.immediate & 0xFF) : truncated(register(GPR.rdx), 2)
    }

    /// A 16-bit operand of r/m.
    fileprivate mutating func readWord(_ number: Int) -> ValueID {
        isMemory(number) ? load(address(size: 2, write: false), 2) : register(Int(i.rm), 2)
    }

    /// SLDT and its like: 16 bits to memory, the operand size to a register.
    fileprivate mutating func storeWord(_ value: ValueID) {
        if isMemory(0) { return store(address(size: 2, write: true), 2, b.truncate(value, .i16)) }
        let size = Int(i.operandSize)
        setRegister(Int(i.rm), size, b.truncate(value, Self.type(size)))
    }

    /// All of a register's native width in this code.
    fileprivate func writeSystemRegister(_ value: ValueID) {
        setRegister(Int(i.rm), is64 ? 8 : 4, is64 ? value : b.truncate(value, .i32))
    }

    fileprivate func writeWhole(_ value: ValueID) { writeSystemRegister(value) }

    fileprivate func readBase(_ which: Int64) {
        let value = call(.readSegmentBase, k(which))
        let size = Int(i.operandSize) == 8 ? 8 : 4
        setRegister(Int(i.rm), size, b.truncate(value, Self.type(size)))
    }

    /// LAR and LSL keep the destination, its upper half too, when the selector does not do.
    fileprivate mutating func loadAccess(limit: Bool) {
        let selector = b.zeroExtend(readWord(1), .i64)
        let what = Int64(i.operandSize) | (limit ? 1 << 8 : 0)
        let value = call(.loadAccess, selector, k(what), register(Int(i.reg)))
        b.set(Int(i.reg), value)
    }

    /// SGDT and SIDT: limit, then base, of which a 16-bit operand size stores all 32 bits too.
    fileprivate mutating func storeTable(_ which: Int64) {
        let width = is64 ? 8 : 4
        let place = address(size: 2 + width, write: true)
        let limit = call(.readTableRegister, k(1), k(which))
        store(place, 2, b.truncate(limit, .i16))
        let base = call(.readTableRegister, k(0), k(which))
        store(place, width, b.truncate(base, Self.type(width)), plus: 2)
    }

    /// LGDT and LIDT: a 16-bit operand size loads 24 bits of base.
    fileprivate mutating func loadTable(_ helper: HelperIndex) {
        let width = is64 ? 8 : 4
        let place = address(size: 2 + width, write: false)
        let limit = loadExtended(place, 2, signed: false)
        var base = b.zeroExtend(load(place, width, plus: 2), .i64)
        if !is64, mode.codeSize == .bits16 ? !i.hasOperandSizePrefix : i.hasOperandSizePrefix {
            base = b.and(base, k(0xFF_FFFF))
        }
        call(helper, base, limit)
    }
}
