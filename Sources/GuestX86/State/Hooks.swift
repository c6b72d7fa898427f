// What the engine provides to a vCPU: functions stored in the state block, so that helpers reach them without objects.
// Each gets the state block. A hook that is not installed has the stated default.

import Glibc
import Translator

/// Functions an engine may install.
public enum X86Hooks {
    /// Host pointer to `length` bytes of RAM (or of ROM, for reads) at a physical address, which lie in one page; nil
    /// when they are not memory. Without it there is no memory.
    public typealias PhysicalPointer = @convention(c) (UnsafeMutableRawPointer, _ address: UInt64, _ length: UInt64,
                                                       _ isWrite: UInt64) -> UnsafeMutableRawPointer?
    /// Follows every write through such a pointer.
    public typealias NoteWrite = @convention(c) (UnsafeMutableRawPointer, _ address: UInt64, _ length: UInt64) -> Void
    /// Reads 1, 2, 4 or 8 bytes where there is no memory. Default: all ones.
    public typealias ReadPhysical =
        @convention(c) (UnsafeMutableRawPointer, _ address: UInt64, _ size: UInt64) -> UInt64
    /// Writes there. Default: lost.
    public typealias WritePhysical = @convention(c) (UnsafeMutableRawPointer, _ address: UInt64, _ size: UInt64,
                                                     _ value: UInt64) -> Void
    /// Forgets cached translations, see `TranslationFlush`; `address` is a linear address, of `page` only.
    public typealias Flush = @convention(c) (UnsafeMutableRawPointer, _ kind: UInt64, _ address: UInt64) -> Void
    /// The time stamp counter before the guest's offset. Default: the host's clock in nanoseconds.
    public typealias ReadTSC = @convention(c) (UnsafeMutableRawPointer) -> UInt64
    /// IN of 1, 2 or 4 bytes. Default: all ones.
    public typealias PortIn = @convention(c) (UnsafeMutableRawPointer, _ port: UInt64, _ size: UInt64) -> UInt64
    /// OUT of 1, 2 or 4 bytes. Default: lost.
    public typealias PortOut = @convention(c) (UnsafeMutableRawPointer, _ port: UInt64, _ size: UInt64,
                                               _ value: UInt64) -> Void
    /// RDMSR of a register of the platform: x2APIC (800…8FF), IA32_TSC_DEADLINE (6E0). False: there is none, #GP.
    public typealias ReadMSR = @convention(c) (UnsafeMutableRawPointer, _ number: UInt64,
                                               UnsafeMutablePointer<UInt64>) -> Bool
    /// WRMSR of such a register, and notice of a write to IA32_APIC_BASE (1B), already checked but not stored. False:
    /// #GP.
    public typealias WriteMSR = @convention(c) (UnsafeMutableRawPointer, _ number: UInt64, _ value: UInt64) -> Bool
    /// CR8, the task priority of the local APIC, 0…15. Default: a plain register.
    public typealias ReadTaskPriority = @convention(c) (UnsafeMutableRawPointer) -> UInt64
    /// See `ReadTaskPriority`.
    public typealias WriteTaskPriority = @convention(c) (UnsafeMutableRawPointer, UInt64) -> Void
    /// A helper has translated a data address to memory, as set `rights & 3` of the data TLB sees it: bit 2 readable, 3
    /// writable, 4 global. The engine may remember it. Default: nothing.
    public typealias NoteTranslation = @convention(c) (UnsafeMutableRawPointer, _ linear: UInt64, _ physical: UInt64,
                                                       _ rights: UInt64) -> Void
}

/// What a flush forgets.
public enum TranslationFlush: UInt64, Sendable {
    /// The page that holds the address, global or not and of whatever size: all of a large page must go.
    case page
    /// All but global pages.
    case nonGlobal
    /// All.
    case all
}

extension X86State {
    private func hook<Function>(_ slot: Int, as: Function.Type) -> Function? {
        base.load(fromByteOffset: SystemLayout.hooks + slot * 8, as: Function?.self)
    }

    private func setHook<Function>(_ slot: Int, _ function: Function?) {
        base.storeBytes(of: function, toByteOffset: SystemLayout.hooks + slot * 8, as: Function?.self)
    }

    /// See the types in `X86Hooks`, here and below.
    public var physicalPointer: X86Hooks.PhysicalPointer? {
        get { hook(0, as: X86Hooks.PhysicalPointer.self) }
        nonmutating set { setHook(0, newValue) }
    }
    /// See `X86Hooks`.
    public var noteWrite: X86Hooks.NoteWrite? {
        get { hook(1, as: X86Hooks.NoteWrite.self) }
        nonmutating set { setHook(1, newValue) }
    }
    /// See `X86Hooks`.
    public var readPhysicalHook: X86Hooks.ReadPhysical? {
        get { hook(2, as: X86Hooks.ReadPhysical.self) }
        nonmutating set { setHook(2, newValue) }
    }
    /// See `X86Hooks`.
    public var writePhysicalHook: X86Hooks.WritePhysical? {
        get { hook(3, as: X86Hooks.WritePhysical.self) }
        nonmutating set { setHook(3, newValue) }
    }
    /// See `X86Hooks`.
    public var flushHook: X86Hooks.Flush? {
        get { hook(4, as: X86Hooks.Flush.self) }
        nonmutating set { setHook(4, newValue) }
    }
    /// See `X86Hooks`.
    public var readTSCHook: X86Hooks.ReadTSC? {
        get { hook(5, as: X86Hooks.ReadTSC.self) }
        nonmutating set { setHook(5, newValue) }
    }
    /// See `X86Hooks`.
    public var portIn: X86Hooks.PortIn? {
        get { hook(6, as: X86Hooks.PortIn.self) }
        nonmutating set { setHook(6, newValue) }
    }
    /// See `X86Hooks`.
    public var portOut: X86Hooks.PortOut? {
        get { hook(7, as: X86Hooks.PortOut.self) }
        nonmutating set { setHook(7, newValue) }
    }
    /// See `X86Hooks`.
    public var readMSRHook: X86Hooks.ReadMSR? {
        get { hook(8, as: X86Hooks.ReadMSR.self) }
        nonmutating set { setHook(8, newValue) }
    }
    /// See `X86Hooks`.
    public var writeMSRHook: X86Hooks.WriteMSR? {
        get { hook(9, as: X86Hooks.WriteMSR.self) }
        nonmutating set { setHook(9, newValue) }
    }
    /// See `X86Hooks`.
    public var readTaskPriority: X86Hooks.ReadTaskPriority? {
        get { hook(10, as: X86Hooks.ReadTaskPriority.self) }
        nonmutating set { setHook(10, newValue) }
    }
    /// See `X86Hooks`.
    public var writeTaskPriority: X86Hooks.WriteTaskPriority? {
        get { hook(11, as: X86Hooks.WriteTaskPriority.self) }
        nonmutating set { setHook(11, newValue) }
    }

    /// See `X86Hooks`.
    public var noteTranslation: X86Hooks.NoteTranslation? {
        get { hook(12, as: X86Hooks.NoteTranslation.self) }
        nonmutating set { setHook(12, newValue) }
    }

    /// Names a bank of RAM that is reached without `physicalPointer`; writes are reported to `noteWrite` all the same.
    public func setRAM(start: UInt64, sizeBytes: UInt64, host: UnsafeMutableRawPointer) {
        self[SystemLayout.ramStart] = start
        self[SystemLayout.ramSize] = sizeBytes
        self[SystemLayout.ramHost] = UInt64(UInt(bitPattern: host))
    }

    /// Host address of memory, see `X86Hooks.PhysicalPointer`.
    @inline(__always)
    func memory(_ address: UInt64, _ length: UInt64, isWrite: Bool) -> UnsafeMutableRawPointer? {
        let offset = address &- self[SystemLayout.ramStart], size = self[SystemLayout.ramSize]
        if offset < size && length <= size &- offset {
            return UnsafeMutableRawPointer(bitPattern: UInt(self[SystemLayout.ramHost] &+ offset))
        }
        return physicalPointer?(base, address, length, isWrite ? 1 : 0)
    }

    func flush(_ kind: TranslationFlush, _ address: UInt64 = 0) { flushHook?(base, kind.rawValue, address) }

    /// The time stamp counter as the guest reads it.
    public var timeStampCounter: UInt64 { rawTimeStampCounter &+ self[SystemLayout.tscOffset] }

    var rawTimeStampCounter: UInt64 { readTSCHook?(base) ?? Self.hostNanoseconds }

    /// The host's monotonic clock.
    static var hostNanoseconds: UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(bitPattern: Int64(now.tv_sec)) &* 1_000_000_000 &+ UInt64(bitPattern: Int64(now.tv_nsec))
    }
}
