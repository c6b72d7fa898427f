// What the engine provides to a hart: functions stored in the state block, so that helpers reach them without objects.

import Glibc
import Translator

/// Functions an engine may install. Each gets the state block.
public enum RISCVHooks {
    /// Current value of the time CSR.
    public typealias ReadTime = @convention(c) (UnsafeMutableRawPointer) -> UInt64
    /// Forgets cached translations of this hart: of one page (`address`) or, when `everything` is 1, of all.
    public typealias FlushTranslations = @convention(c) (UnsafeMutableRawPointer, _ address: UInt64,
                                                         _ everything: UInt64) -> Void
    /// stimecmp changed: the engine must raise or lower STIP (`setInterruptLine`) when time reaches it.
    public typealias TimerChanged = @convention(c) (UnsafeMutableRawPointer) -> Void

    /// Ticks per second of the time CSR where the engine installs no clock of its own.
    public static let defaultTimeFrequency: UInt64 = 10_000_000
}

extension RISCVState {
    /// The source of the time CSR; nil means the host's monotonic clock.
    public var readTime: RISCVHooks.ReadTime? {
        get { base.load(fromByteOffset: FrontLayout.readTime, as: RISCVHooks.ReadTime?.self) }
        nonmutating set { base.storeBytes(of: newValue, toByteOffset: FrontLayout.readTime, as: RISCVHooks.ReadTime?.self) }
    }

    /// What forgets cached translations; nil when nothing is cached.
    public var flushTranslations: RISCVHooks.FlushTranslations? {
        get { base.load(fromByteOffset: FrontLayout.flushTranslations, as: RISCVHooks.FlushTranslations?.self) }
        nonmutating set {
            base.storeBytes(of: newValue, toByteOffset: FrontLayout.flushTranslations,
                            as: RISCVHooks.FlushTranslations?.self)
        }
    }

    /// Who is told about stimecmp; nil for nobody.
    public var timerChanged: RISCVHooks.TimerChanged? {
        get { base.load(fromByteOffset: FrontLayout.timerChanged, as: RISCVHooks.TimerChanged?.self) }
        nonmutating set {
            base.storeBytes(of: newValue, toByteOffset: FrontLayout.timerChanged, as: RISCVHooks.TimerChanged?.self)
        }
    }

    /// The time CSR.
    public var time: UInt64 {
        if let readTime { return readTime(base) }
        return Self.hostNanoseconds / (1_000_000_000 / RISCVHooks.defaultTimeFrequency)
    }

    /// The host's monotonic clock; also stands in for the cycle and instruction counters (1 GHz, one per cycle).
    static var hostNanoseconds: UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(bitPattern: Int64(now.tv_sec)) &* 1_000_000_000 &+ UInt64(bitPattern: Int64(now.tv_nsec))
    }
}
