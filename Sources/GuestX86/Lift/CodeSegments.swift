// The code segments in use, by the number in the mode word.
//
// Base and limit are constants of a unit, so they are part of its key. Numbers are given out once and kept: a segment
// means the same in every guest of the process. Should a guest use more than there are numbers, the rest share the last
// one, for which code is lifted that looks at the base when it runs.

import Synchronization

/// Base and limit of a code segment outside 64-bit code.
public struct CodeSegment: Equatable, Sendable {
    /// 32 bits.
    public var base: UInt64
    /// Highest offset.
    public var limit: UInt32

    public init(base: UInt64, limit: UInt32) {
        self.base = base
        self.limit = limit
    }
}

/// The numbers of code segments.
public enum CodeSegmentTable {
    /// Number 0: the segment that spans everything.
    public static let flat = CodeSegment(base: 0, limit: .max)
    /// The number of segments that have none of their own.
    public static let unnumbered = 4095

    private struct Storage {
        var numbers: [UInt64: UInt32] = [:]
        var segments: [CodeSegment] = [flat]
    }
    private static let storage = Mutex(Storage())

    /// The number (0…4095) of a segment.
    public static func number(_ segment: CodeSegment) -> UInt32 {
        if segment == flat { return 0 }
        let key = segment.base << 32 | UInt64(segment.limit)
        return storage.withLock { storage in
            if let known = storage.numbers[key] { return known }
            guard storage.segments.count < unnumbered else { return UInt32(unnumbered) }
            let number = UInt32(storage.segments.count)
            storage.segments.append(segment)
            storage.numbers[key] = number
            return number
        }
    }

    /// The segment of a number; nil when base and limit are known at run time only.
    static func segment(_ number: Int) -> CodeSegment? {
        if number == 0 { return flat }
        return storage.withLock { number < $0.segments.count && number != unnumbered ? $0.segments[number] : nil }
    }
}
