// The one-shot timers of a machine, multiplexed onto one host timer.
//
// Arming is called on vCPU threads for every guest timer write, so the host timer is touched only when the earliest
// deadline moves forward; a deadline that moved away leaves an early, harmless expiry behind.

import Bus
import CHost
import Glibc
import Host
import Synchronization

/// All timers of a machine.
public final class TimerQueue: @unchecked Sendable {
    /// Readable when `fire` should be called.
    public let descriptor: Int32
    private let clock: GuestClock
    private let state = Mutex(State())
    private let fires = Mutex<[@Sendable () -> Void]>([])

    private struct State {
        var deadlines: [UInt64?] = []
        /// What the host timer is set for, in ticks.
        var armed: UInt64?
    }

    /// - Throws: `HostError` when the host has no timer to give.
    public init(clock: GuestClock) throws {
        descriptor = guise_timerfd()
        guard descriptor >= 0 else { throw HostError("timerfd_create", "machine timers") }
        self.clock = clock
        clock.jumped = { [unowned self] in self.rearm() }
    }

    deinit { close(descriptor) }

    /// A new timer; `fire` runs on the thread that calls `fire()`, at or after the deadline.
    public func makeTimer(_ fire: @escaping @Sendable () -> Void) -> DeadlineTimer {
        let index = fires.withLock { fires in
            fires.append(fire)
            return fires.count - 1
        }
        state.withLock { $0.deadlines.append(nil) }
        return DeadlineTimer { [unowned self] deadline in self.set(index, deadline) }
    }

    /// Runs every timer whose deadline has come.
    public func fire() {
        var expirations: UInt64 = 0
        _ = read(descriptor, &expirations, MemoryLayout<UInt64>.size)
        let now = clock.ticks
        let due = state.withLock { state in
            state.armed = nil
            var due: [Int] = []
            for index in state.deadlines.indices {
                guard let deadline = state.deadlines[index], deadline <= now else { continue }
                state.deadlines[index] = nil
                due.append(index)
            }
            return due
        }
        for index in due { fires.withLock { $0[index] }() }
        rearm()
    }

    /// Sets the host timer anew, after the clock was paused, resumed or set.
    public func rearm() {
        state.withLock { state in
            state.armed = nil
            arm(&state)
        }
    }

    private func set(_ index: Int, _ deadline: UInt64?) {
        state.withLock { state in
            state.deadlines[index] = deadline
            guard let deadline, deadline < state.armed ?? .max else { return }
            arm(&state)
        }
    }

    private func arm(_ state: inout State) {
        let earliest = state.deadlines.compactMap { $0 }.min()
        guard let earliest, let wait = clock.hostNanoseconds(until: earliest) else {
            _ = guise_timerfd_arm(descriptor, .max)
            return
        }
        state.armed = earliest
        _ = guise_timerfd_arm(descriptor, min(wait, UInt64(Int64.max)))
    }
}
