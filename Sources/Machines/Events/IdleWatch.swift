// Notices that a machine idles, so that it can give back memory that holds only what can be made again.

import Bus
import Glibc

/// Compares the process's CPU time with the clock, a period at a time.
struct IdleWatch {
    /// Between two looks.
    static let periodSeconds: UInt64 = 10
    /// An idle guest still takes timer interrupts: up to 2 % of a processor.
    private static let busyNanoseconds: UInt64 = 200_000_000
    private var before = Self.processNanoseconds

    /// Whether hardly anything ran since the last look.
    mutating func look() -> Bool {
        let now = Self.processNanoseconds
        defer { before = now }
        return now &- before < Self.busyNanoseconds
    }

    private static var processNanoseconds: UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now)
        return UInt64(now.tv_sec) &* 1_000_000_000 &+ UInt64(now.tv_nsec)
    }
}
