// The processor that x86 programs find.

import Glibc
import GuestX86

/// What CPUID tells programs, for the auxiliary vector and /proc/cpuinfo.
enum X86Processor {
    /// Leaf 1 EDX.
    static let leaf1EDX: UInt32 = 0x178b_fbff
    static let hasFSGSBase = true

    /// /proc/cpuinfo.
    static func description(count: Int) -> String { "" }
}
