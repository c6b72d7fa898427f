// Notices in a console's output that a Linux guest has panicked, since nothing else tells: the default after a panic is
// to spin for ever.
//
// Two marks, both only at a line's start and in printk's form: "Kernel panic - not syncing", after which a reset counts as
// a failure; and "---[ end Kernel panic", after which Linux does nothing more. Any later line takes the second back, so
// that an old log shown on the console does no harm.

/// Follows a byte stream line by line.
struct PanicWatch {
    private static let panic = Array("Kernel panic - not syncing".utf8)
    private static let end = Array("---[ end Kernel panic - not syncing".utf8)
    private static let lineMax = 160
    /// Lines after which a panic is history.
    private static let memoryLines = 400

    private var line: [UInt8] = []
    private var linesSincePanic: Int?

    /// The last complete line was the kernel's farewell and nothing has followed.
    private(set) var hasEnded = false
    /// The guest announced a panic a screen or two ago.
    var hasPanicked: Bool { linesSincePanic != nil }

    mutating func take(_ byte: UInt8) {
        if byte == UInt8(ascii: "\r") { return }
        guard byte == UInt8(ascii: "\n") else {
            hasEnded = false
            if line.count < Self.lineMax { line.append(byte) }
            return
        }
        defer { line.removeAll(keepingCapacity: true) }
        if let count = linesSincePanic { linesSincePanic = count < Self.memoryLines ? count + 1 : nil }
        guard !line.isEmpty else { return }
        let text = afterTimestamp
        if text.starts(with: Self.panic) { linesSincePanic = 0 }
        hasEnded = linesSincePanic != nil && text.starts(with: Self.end)
    }

    /// The line without `[   12.345678]` (and a caller id) before it.
    private var afterTimestamp: ArraySlice<UInt8> {
        var rest = line[...]
        while rest.first == UInt8(ascii: "["), let close = rest.firstIndex(of: UInt8(ascii: "]")) {
            rest = rest[(close + 1)...].drop { $0 == UInt8(ascii: " ") }
        }
        return rest
    }
}
