// Doubles shared by the device tests: a line that remembers, a sink, a timer, and the two checks every device gets.

import Bus
import SavedState
import Synchronization
import Testing
@testable import Devices

final class RecordingLine: Sendable {
    private let state = Mutex<(level: Bool, edges: Int)>((false, 0))
    var level: Bool { state.withLock { $0.level } }
    var risingEdges: Int { state.withLock { $0.edges } }
    var line: InterruptLine {
        InterruptLine { level in
            self.state.withLock { state in
                if level, !state.level { state.edges += 1 }
                state.level = level
            }
        }
    }
}

final class RecordingTimer: Sendable {
    private let state = Mutex<UInt64?>(nil)
    var deadline: UInt64? { state.withLock { $0 } }
    var timer: DeadlineTimer { DeadlineTimer { deadline in self.state.withLock { $0 = deadline } } }
}

final class RecordingOutput: SerialOutput {
    var bytes: [UInt8] = []
    var room = Int.max
    func send(_ byte: UInt8) -> Bool {
        guard room > 0 else { return false }
        room -= 1
        bytes.append(byte)
        return true
    }
}

/// Feeds a device random accesses; it must neither trap nor hang.
func fuzz(_ device: any MMIODevice, windowSizeBytes: UInt64, seed: UInt64, steps: Int = 20_000,
          interesting: [UInt64] = [], also: (inout SplitMix) -> Void = { _ in }) {
    var random = SplitMix(seed: seed)
    for _ in 0..<steps {
        let size = [1, 2, 4, 8][Int(random.next() % 4)]
        var offset = random.next() % windowSizeBytes
        if !interesting.isEmpty, random.next() % 4 != 0 {
            offset = min(interesting[Int(random.next() % UInt64(interesting.count))], windowSizeBytes - 1)
        }
        offset &= ~UInt64(size - 1)
        guard offset + UInt64(size) <= windowSizeBytes else { continue }
        if random.next() % 2 == 0 { _ = device.read(offset: offset, size: size) } else {
            let value = random.next() % 3 == 0 ? random.next() % 256 : random.next()
            device.write(offset: offset, size: size, value: value)
        }
        if random.next() % 512 == 0 { device.reset() }
        also(&random)
    }
}

/// Saves `device`, restores into `other`, and requires both to save the same bytes; every truncation is refused.
func expectRoundTrip(_ device: any MMIODevice, _ other: any MMIODevice) throws {
    var writer = StateWriter()
    device.save(to: &writer)
    var reader = StateReader(writer.bytes)
    try other.restore(from: &reader)
    #expect(reader.remaining == 0)
    var second = StateWriter()
    other.save(to: &second)
    #expect(second.bytes == writer.bytes)
    for length in stride(from: 0, to: writer.bytes.count, by: max(1, writer.bytes.count / 97)) {
        var short = StateReader(Array(writer.bytes.prefix(length)))
        #expect(throws: StateError.self) { try other.restore(from: &short) }
    }
    var random = SplitMix(seed: 7)
    for _ in 0..<200 {
        var damaged = writer.bytes
        guard !damaged.isEmpty else { break }
        damaged[Int(random.next() % UInt64(damaged.count))] = UInt8(truncatingIfNeeded: random.next())
        var hostile = StateReader(damaged)
        try? other.restore(from: &hostile)
        _ = other.read(offset: 0, size: 4)
    }
    device.reset()
}

/// A small repeatable random generator (Steele, Lea, Flood 2014).
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}

/// Moves the state of one device into another.
enum StateProbe {
    static func copy(_ source: any MMIODevice, _ target: any MMIODevice) throws {
        var writer = StateWriter()
        source.save(to: &writer)
        var reader = StateReader(writer.bytes)
        try target.restore(from: &reader)
    }
}
