// Memory accesses that generated code does not make itself: TLB misses, page crossings, devices, pages with code, and
// atomic operations on all of those.

import Bus
import CHost
import GuestMemory
import Translator

/// An atomic access that the host cannot make: across pages, or to a device. Its instruction is executed alone, with every
/// other vCPU standing still, on a copy that is written back afterwards.
struct LockedAccess {
    /// The next step must be such an instruction.
    var isWanted = false
    /// It is being executed.
    var isActive = false
    var address: UInt64 = 0
    /// Bytes in the copy; 0 when the instruction has made no access yet.
    var size = 0
    /// The copy, 16 bytes, and what it was.
    let copy = UnsafeMutableRawPointer.allocate(byteCount: 32, alignment: 16)
}

extension MachineCPU {
    /// Leaves the instruction with an exit of the architecture's choosing, its fields set.
    func failAccess(_ kind: ExitKind, address: UInt64, access: UInt32) {
        state.storeBytes(of: address, toByteOffset: StateLayout.exitAddress, as: UInt64.self)
        state.storeBytes(of: access, toByteOffset: StateLayout.exitAccess, as: UInt32.self)
        state.storeBytes(of: kind.rawValue, toByteOffset: StateLayout.helperExit, as: UInt32.self)
    }

    private var hasFailed: Bool { state.load(fromByteOffset: StateLayout.helperExit, as: UInt32.self) != 0 }

    /// Leaves the instruction so that it is executed again, alone.
    private func leaveToStep() {
        state.storeBytes(of: 1, toByteOffset: StateLayout.stepRequest, as: UInt32.self)
        state.storeBytes(of: ExitKind.codeChanged.rawValue, toByteOffset: StateLayout.helperExit, as: UInt32.self)
    }

    private func remember(_ address: UInt64, _ page: DataMapping) {
        var writable = page.writable
        if let toHost = engine.toHost, toHost.value >> 12 == page.physical >> 12 { writable = false }
        tlb.fill(set: dataSet, address: address, physical: page.physical, readable: page.readable, writable: writable,
                 isGlobal: page.isGlobal)
    }

    @inline(__always) private static func crosses(_ address: UInt64, _ size: Int) -> Bool {
        address & 0xFFF > UInt64(4096 - size)
    }

    // MARK: loads

    /// Loads 1, 2, 4 or 8 bytes.
    func load(_ address: UInt64, _ size: Int) -> UInt64 {
        if Self.crosses(address, size) { return loadCrossing(address, size) }
        guard let page = translateData(address, isWrite: false) else { return 0 }
        if watchesAccesses { didAccess(address, size, isWrite: false) }
        if let host = engine.ram.pointer(GuestPhysical(page.physical), length: UInt64(size)) {
            remember(address, page)
            return Self.load(host, size)
        }
        return readDevice(page.physical, size, for: address) ?? 0
    }

    @inline(__always) static func load(_ host: UnsafeMutableRawPointer, _ size: Int) -> UInt64 {
        switch size {
        case 1: UInt64(host.load(as: UInt8.self))
        case 2: UInt64(host.loadUnaligned(as: UInt16.self))
        case 4: UInt64(host.loadUnaligned(as: UInt32.self))
        default: host.loadUnaligned(as: UInt64.self)
        }
    }

    /// A load across two pages.
    private func loadCrossing(_ address: UInt64, _ size: Int) -> UInt64 {
        let first = Int(4096 - address & 0xFFF), next = nextPage(address)
        guard let low = translateData(address, isWrite: false), let high = translateData(next, isWrite: false) else {
            return 0
        }
        if let lowHost = engine.ram.pointer(GuestPhysical(low.physical), length: UInt64(first)),
           let highHost = engine.ram.pointer(GuestPhysical(high.physical), length: UInt64(size - first)) {
            if watchesAccesses { didAccess(address, size, isWrite: false) }
            var value: UInt64 = 0
            withUnsafeMutableBytes(of: &value) { bytes in
                guard let base = bytes.baseAddress else { return }
                base.copyMemory(from: lowHost, byteCount: first)
                (base + first).copyMemory(from: highHost, byteCount: size - first)
            }
            remember(address, low)
            remember(next, high)
            return value
        }
        var value: UInt64 = 0
        for index in 0..<size {
            let byte = load(index < first ? address &+ UInt64(index) : next &+ UInt64(index - first), 1)
            if hasFailed { return 0 }
            value |= byte << UInt64(8 * index)
        }
        return value
    }

    /// First address of the next page.
    private func nextPage(_ address: UInt64) -> UInt64 { wrapped((address | 0xFFF) &+ 1) }

    // MARK: stores

    /// Stores 1, 2, 4 or 8 bytes.
    func store(_ address: UInt64, _ size: Int, _ value: UInt64) {
        if Self.crosses(address, size) { return storeCrossing(address, size, value) }
        guard let page = translateData(address, isWrite: true) else { return }
        if watchesAccesses { didAccess(address, size, isWrite: true) }
        if let host = engine.ram.pointer(GuestPhysical(page.physical), length: UInt64(size)) {
            if writesRunningUnit(page.physical, size) { return leaveToStep() }
            Self.store(host, size, value)
            engine.ram.noteWrite(GuestPhysical(page.physical), length: UInt64(size))
            remember(address, page)
            if let toHost = engine.toHost, page.physical == toHost.value, value != 0 {
                mailbox = value
                requestExit()
            }
            return
        }
        writeDevice(page.physical, size, value, for: address)
    }

    @inline(__always) static func store(_ host: UnsafeMutableRawPointer, _ size: Int, _ value: UInt64) {
        switch size {
        case 1: host.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
        case 2: host.storeBytes(of: UInt16(truncatingIfNeeded: value), as: UInt16.self)
        case 4: host.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
        default: host.storeBytes(of: value, as: UInt64.self)
        }
    }

    /// A store across two pages: both must be writable before either is written.
    private func storeCrossing(_ address: UInt64, _ size: Int, _ value: UInt64) {
        let first = Int(4096 - address & 0xFFF), next = nextPage(address)
        guard let low = translateData(address, isWrite: true), let high = translateData(next, isWrite: true) else { return }
        if let lowHost = engine.ram.pointer(GuestPhysical(low.physical), length: UInt64(first)),
           let highHost = engine.ram.pointer(GuestPhysical(high.physical), length: UInt64(size - first)) {
            if writesRunningUnit(low.physical, first) || writesRunningUnit(high.physical, size - first) {
                return leaveToStep()
            }
            if watchesAccesses { didAccess(address, size, isWrite: true) }
            var value = value
            withUnsafeBytes(of: &value) { bytes in
                guard let base = bytes.baseAddress else { return }
                lowHost.copyMemory(from: base, byteCount: first)
                highHost.copyMemory(from: base + first, byteCount: size - first)
            }
            engine.ram.noteWrite(GuestPhysical(low.physical), length: UInt64(first))
            engine.ram.noteWrite(GuestPhysical(high.physical), length: UInt64(size - first))
            remember(address, low)
            remember(next, high)
            return
        }
        for index in 0..<size {
            store(index < first ? address &+ UInt64(index) : next &+ UInt64(index - first), 1, value >> UInt64(8 * index))
            if hasFailed { return }
        }
    }

    /// Whether a store changes guest bytes of the unit it stands in: what follows the store would be stale then.
    private func writesRunningUnit(_ physical: UInt64, _ size: Int) -> Bool {
        guard stopsOnOwnCode, !isStepping, engine.code.holdsCode(physical & ~0xFFF) else { return false }
        let origin: (start: UInt64, length: UInt64, context: UInt32)
        if engine.runtime.options.interpret {
            guard enteredUnit != .noUnit else { return false }
            origin = engine.runtime.origin(of: enteredUnit)
        } else {
            let hostPC = state.load(fromByteOffset: StateLayout.exitHostPC, as: UInt64.self)
            guard let found = engine.runtime.origin(ofCodeAt: hostPC &- 1) else { return false }
            origin = found
        }
        let page = engine.codePages[Int(origin.context)]
        let from = physical & 0xFFF, to = from &+ UInt64(size), start = origin.start & 0xFFF
        if page.physicalPage == physical & ~0xFFF { return start < to && from < start &+ origin.length }
        return page.secondPhysicalPage == physical & ~0xFFF
    }

    // MARK: 16 bytes, through the state block

    /// Loads 16 bytes to `StateLayout.vectorScratch`; returns the low half.
    func loadVector(_ address: UInt64) -> UInt64 {
        let low = load(address, 8)
        if hasFailed { return 0 }
        let high = load(wrapped(address &+ 8), 8)
        state.storeBytes(of: low, toByteOffset: StateLayout.vectorScratch, as: UInt64.self)
        state.storeBytes(of: high, toByteOffset: StateLayout.vectorScratch + 8, as: UInt64.self)
        return low
    }

    /// Stores the 16 bytes at `StateLayout.vectorScratch`.
    func storeVector(_ address: UInt64) {
        let second = wrapped(address &+ 8)
        // Nothing may be written when any of it cannot be.
        guard translateData(address, isWrite: true) != nil, let page = translateData(wrapped(address &+ 15), isWrite: true)
        else { return }
        if writesRunningUnit(page.physical &- 7, 8) { return leaveToStep() }
        store(address, 8, state.load(fromByteOffset: StateLayout.vectorScratch, as: UInt64.self))
        if hasFailed { return }
        store(second, 8, state.load(fromByteOffset: StateLayout.vectorScratch + 8, as: UInt64.self))
    }

    // MARK: atomics

    /// Host address for an atomic access of 1 to 16 bytes. RAM within a page gives its own; anything else, and a write to
    /// the running unit, is done by executing the instruction again.
    func pointer(_ address: UInt64, _ size: Int) -> UInt64 {
        let isCrossing = Self.crosses(address, size)
        guard let page = translateData(address, isWrite: true) else { return 0 }
        if !isCrossing, let host = engine.ram.pointer(GuestPhysical(page.physical), length: UInt64(size)) {
            if writesRunningUnit(page.physical, size) {
                leaveToStep()
                return 0
            }
            if watchesAccesses { didAccess(address, size, isWrite: true) }
            engine.ram.noteWrite(GuestPhysical(page.physical), length: UInt64(size))
            remember(address, page)
            return UInt64(UInt(bitPattern: host))
        }
        guard canLockAnywhere else {
            failAtomic(address)
            return 0
        }
        if isCrossing, translateData(nextPage(address), isWrite: true) == nil { return 0 }
        guard lockedAccess.isActive else {
            lockedAccess.isWanted = true
            leaveToStep()
            return 0
        }
        // All other vCPUs stand still: the operation works on a copy.
        let copy = lockedAccess.copy
        for index in 0..<size {
            let byte = load(wrapped(address &+ UInt64(index)), 1)
            if hasFailed { return 0 }
            copy.storeBytes(of: UInt8(truncatingIfNeeded: byte), toByteOffset: index, as: UInt8.self)
        }
        (copy + 16).copyMemory(from: copy, byteCount: 16)
        lockedAccess.address = address
        lockedAccess.size = size
        return UInt64(UInt(bitPattern: copy))
    }

    /// Writes the copy of a locked access back. The addresses have been translated for writing.
    func finishLockedAccess() {
        let size = lockedAccess.size
        guard size > 0 else { return }
        lockedAccess.size = 0
        let saved = (state.load(fromByteOffset: StateLayout.helperExit, as: UInt32.self), exitAddress, exitAccess)
        let isWhole = size <= 8 && !Self.crosses(lockedAccess.address, size)
        if isWhole {
            store(lockedAccess.address, size, Self.load(lockedAccess.copy, size))
        } else {
            for index in 0..<size {
                store(wrapped(lockedAccess.address &+ UInt64(index)), 1,
                      UInt64(lockedAccess.copy.load(fromByteOffset: index, as: UInt8.self)))
            }
        }
        // Another thread cannot have changed the tables meanwhile; should a device refuse, the write is lost.
        state.storeBytes(of: saved.0, toByteOffset: StateLayout.helperExit, as: UInt32.self)
        state.storeBytes(of: saved.1, toByteOffset: StateLayout.exitAddress, as: UInt64.self)
        state.storeBytes(of: saved.2, toByteOffset: StateLayout.exitAccess, as: UInt32.self)
    }
}

// The interpreter makes every access through these, so a TLB hit is answered here at once.

let machineSlowLoad: HelperFunction = { state, address, size, _ in
    MachineCPU.with(state) { cpu in
        if size == 16 { return cpu.loadVector(address) }
        if let host = MachineTLB.hit(state, set: cpu.dataSet, address, size, tag: 0) {
            return MachineCPU.load(host, Int(size))
        }
        return cpu.load(address, Int(size))
    }
}

let machineSlowStore: HelperFunction = { state, address, size, value in
    MachineCPU.with(state) { cpu in
        if size == 16 {
            cpu.storeVector(address)
        } else if let host = MachineTLB.hit(state, set: cpu.dataSet, address, size, tag: 8) {
            MachineCPU.store(host, Int(size), value)
        } else {
            cpu.store(address, Int(size), value)
        }
        return 0
    }
}

let machineSlowPointer: HelperFunction = { state, address, size, _ in
    MachineCPU.with(state) { $0.pointer(address, Int(size)) }
}
