// Virtual time of a machine: one counter that every timer, `time` CSR and real-time clock is derived from.
//
// It stops while the machine is paused or suspended, so a guest never sees the gap in its timebase. Three kinds: real
// (follows the host's monotonic clock), scaled (the same at another speed) and manual (moved by the caller, for tests and
// for deterministic execution).

import Glibc
import SavedState
import Synchronization

/// What moves a clock.
public enum ClockSource: Equatable, Sendable {
    /// The host's monotonic clock.
    case real
    /// The host's monotonic clock times `numerator`/`denominator` (each 1…1_000_000).
    case scaled(numerator: UInt32, denominator: UInt32)
    /// Only `advance`.
    case manual
}

/// A machine's timebase. Readable on any thread; pausing and restoring are the supervisor's, with no vCPU running.
public final class GuestClock: Savable, @unchecked Sendable {
    /// Ticks per second of `ticks`.
    public let frequencyHz: UInt64
    public let source: ClockSource
    /// Guest nanoseconds when paused, or what to add to the scaled host time when running.
    private let base: Atomic<UInt64>
    private let running: Atomic<Bool>

    /// A paused clock at zero; a manual clock never needs `resume`.
    /// - Parameter frequencyHz: divides 10^9.
    public init(frequencyHz: UInt64 = 10_000_000, source: ClockSource = .real) {
        precondition(frequencyHz > 0 && 1_000_000_000 % frequencyHz == 0, "the timebase must divide a gigahertz")
        if case .scaled(let numerator, let denominator) = source {
            precondition((1...1_000_000).contains(numerator) && (1...1_000_000).contains(denominator), "clock scale")
        }
        self.frequencyHz = frequencyHz
        self.source = source
        base = Atomic(0)
        running = Atomic(false)
    }

    /// Nanoseconds of guest time since power-on.
    public var nanoseconds: UInt64 {
        let base = base.load(ordering: .acquiring)
        return running.load(ordering: .acquiring) ? base &+ scaledHostNanoseconds : base
    }

    /// The timebase counter (`mtime`).
    public var ticks: UInt64 { nanoseconds / (1_000_000_000 / frequencyHz) }

    /// Whether time passes by itself.
    public var isRunning: Bool { running.load(ordering: .acquiring) }

    /// Lets time pass. No effect on a manual or running clock.
    public func resume() {
        guard source != .manual, !isRunning else { return }
        base.store(base.load(ordering: .relaxed) &- scaledHostNanoseconds, ordering: .releasing)
        running.store(true, ordering: .releasing)
    }

    /// Stops time.
    public func pause() {
        guard isRunning else { return }
        let now = nanoseconds
        running.store(false, ordering: .releasing)
        base.store(now, ordering: .releasing)
    }

    /// Moves a manual clock forward.
    public func advance(nanoseconds: UInt64) {
        precondition(source == .manual, "only a manual clock is moved by hand")
        base.wrappingAdd(nanoseconds, ordering: .releasing)
    }

    /// Moves the counter to a value the guest wrote. Afterwards `jumped` is called.
    public func set(ticks: UInt64) {
        base.wrappingAdd(ticks &* (1_000_000_000 / frequencyHz) &- nanoseconds, ordering: .releasing)
        jumped?()
    }

    /// Called after `set`, so that deadlines can be counted again. Set once, before the machine runs.
    public var jumped: (@Sendable () -> Void)?

    /// Moves a manual clock forward by timebase ticks.
    public func advance(ticks: UInt64) { advance(nanoseconds: ticks &* (1_000_000_000 / frequencyHz)) }

    /// Host nanoseconds from now until `ticks` is reached: zero when passed, nil when the clock does not move by itself.
    public func hostNanoseconds(until ticks: UInt64) -> UInt64? {
        guard isRunning else { return nil }
        let (deadline, overflow) = ticks.multipliedReportingOverflow(by: 1_000_000_000 / frequencyHz)
        let now = nanoseconds
        if overflow { return UInt64.max }
        guard deadline > now else { return 0 }
        guard case .scaled(let numerator, let denominator) = source else { return deadline - now }
        let wide = (deadline - now).multipliedFullWidth(by: UInt64(denominator))
        guard wide.high < UInt64(numerator) else { return UInt64.max }
        return UInt64(numerator).dividingFullWidth(wide).quotient
    }

    public func save(to writer: inout StateWriter) {
        writer.section("clock", version: 1) { writer in
            writer.put(frequencyHz)
            writer.put(nanoseconds)
        }
    }

    /// Sets the guest time; the clock is left paused.
    public func restore(from reader: inout StateReader) throws {
        try reader.section("clock", newest: 1) { reader, _ in
            let frequency: UInt64 = try reader.get()
            guard frequency == frequencyHz else {
                throw StateError.invalid(section: "clock", reason: "timebase of \(frequency) Hz, not \(frequencyHz) Hz")
            }
            running.store(false, ordering: .releasing)
            base.store(try reader.get(), ordering: .releasing)
        }
    }

    private var scaledHostNanoseconds: UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        let host = UInt64(now.tv_sec) &* 1_000_000_000 &+ UInt64(now.tv_nsec)
        guard case .scaled(let numerator, let denominator) = source else { return host }
        let wide = host.multipliedFullWidth(by: UInt64(numerator))
        // SAFETY of the division: host time is below 2^63 and the scale below 2^20, so the high word is below 2^20;
        // it may pass the divisor for centuries of uptime at a large scale, which the guard saturates.
        guard wide.high < UInt64(denominator) else { return UInt64.max }
        return UInt64(denominator).dividingFullWidth(wide).quotient
    }
}

/// A one-shot alarm that a device or CPU asks for, in ticks of its machine's `GuestClock`.
///
/// Like `InterruptLine`, a value that hides the other end: the machine's event loop calls the device back (with the
/// device's lock held) at or after the deadline, unless another deadline replaced it meanwhile. Early or repeated calls are
/// allowed, so a device compares the clock itself.
public struct DeadlineTimer: Sendable {
    private let arm: @Sendable (UInt64?) -> Void
    public init(_ arm: @escaping @Sendable (_ deadlineTicks: UInt64?) -> Void) { self.arm = arm }
    /// Replaces the deadline; nil disarms. Callable on any thread.
    public func set(deadlineTicks: UInt64?) { arm(deadlineTicks) }
    /// A timer that never fires.
    public static let never = DeadlineTimer { _ in }
}
