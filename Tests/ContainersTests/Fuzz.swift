// How long the random tests run: `make fuzz`, or GUISE_FUZZ in the environment, asks for more than the usual rounds.

import Foundation

/// The same in every test target that has random tests.
enum Fuzz {
    /// GUISE_FUZZ=N runs N times the rounds, from other seeds.
    static let factor = max(1, ProcessInfo.processInfo.environment["GUISE_FUZZ"].flatMap(Int.init) ?? 1)
    /// GUISE_FUZZ_SEED=N is mixed into every seed; 0 gives the usual ones.
    private static let offset = ProcessInfo.processInfo.environment["GUISE_FUZZ_SEED"].flatMap(UInt64.init) ?? 0

    static func rounds(_ usual: Int) -> Int { usual * factor }
    static func seed(_ usual: UInt64) -> UInt64 { usual &+ offset &* 0x9e37_79b9_7f4a_7c15 }
}
