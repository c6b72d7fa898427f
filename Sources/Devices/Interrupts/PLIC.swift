// The platform-level interrupt controller.
//
// Spec: RISC-V PLIC 1.0.0: §3 memory map, §4 priorities, §7 claim, §8 completion; SiFive register layout.
// Every source has a level gateway: a request is latched once, and sampled again at completion.
// Interrupt lines arrive on any thread, so the state has its own lock besides the bus's.

import Bus
import SavedState
import Synchronization

/// The controller. 4-byte accesses.
public final class PLIC: MMIODevice, @unchecked Sendable {
    static let pendingBase: UInt64 = 0x1000
    static let enableBase: UInt64 = 0x2000
    static let enableStride: UInt64 = 0x80
    static let contextBase: UInt64 = 0x20_0000
    static let contextStride: UInt64 = 0x1000
    static let thresholdOffset: UInt64 = 0
    static let claimOffset: UInt64 = 4
    /// Highest priority (three bits, as SiFive's).
    static let priorityMax: UInt32 = 7
    static let sourcesMax = 1024

    /// Interrupt sources including the non-existent source 0.
    public let sourceCount: Int
    private let outputs: [InterruptLine]
    private let state: Mutex<State>

    private struct State {
        var priority: [UInt8]
        /// Bit sets over sources, 32 to a word.
        var level: [UInt32]
        var pending: [UInt32]
        /// Claimed and not yet completed.
        var inService: [UInt32]
        var enable: [[UInt32]]
        var threshold: [UInt8]
        var asserted: [Bool]
    }

    /// - Parameters:
    ///   - sourceCount: sources including 0; at most 1024.
    ///   - outputs: one per context, in the order of the device tree's interrupts-extended.
    public init(sourceCount: Int, outputs: [InterruptLine]) {
        precondition((2...Self.sourcesMax).contains(sourceCount), "PLIC source count")
        self.sourceCount = sourceCount
        self.outputs = outputs
        state = Mutex(Self.powerOn(sourceCount, outputs.count))
    }

    /// The input of a source, 1 and up.
    public func line(_ source: Int) -> InterruptLine {
        precondition((1..<sourceCount).contains(source), "PLIC source \(source)")
        return InterruptLine { [unowned self] level in self.setLevel(source, level) }
    }

    private func setLevel(_ source: Int, _ level: Bool) {
        state.withLock { state in
            let word = source / 32, bit: UInt32 = 1 << UInt32(source % 32)
            guard (state.level[word] & bit != 0) != level else { return }
            if level { state.level[word] |= bit } else { state.level[word] &= ~bit }
            guard level, state.inService[word] & bit == 0 else { return }
            state.pending[word] |= bit
            updateOutputs(&state)
        }
    }

    public func read(offset: UInt64, size: Int) -> UInt64 {
        guard size == 4 else { return 0 }
        return state.withLock { UInt64(readWord(&$0, offset)) }
    }

    public func write(offset: UInt64, size: Int, value: UInt64) {
        guard size == 4 else { return }
        state.withLock { writeWord(&$0, offset, UInt32(truncatingIfNeeded: value)) }
    }

    /// Lines keep the level their devices drive.
    public func reset() {
        state.withLock { state in
            let levels = state.level, asserted = state.asserted
            state = Self.powerOn(sourceCount, outputs.count)
            state.level = levels
            state.pending = levels
            state.asserted = asserted
            updateOutputs(&state)
        }
    }

    // MARK: Registers

    private func readWord(_ state: inout State, _ offset: UInt64) -> UInt32 {
        if offset < Self.pendingBase {
            let source = Int(offset / 4)
            return source < sourceCount ? UInt32(state.priority[source]) : 0
        }
        if offset < Self.enableBase {
            let word = Int((offset - Self.pendingBase) / 4)
            return word < state.pending.count ? state.pending[word] : 0
        }
        if offset < Self.contextBase {
            guard let (context, word) = enableWord(offset) else { return 0 }
            return state.enable[context][word]
        }
        guard let (context, register) = contextRegister(offset) else { return 0 }
        switch register {
        case Self.thresholdOffset: return UInt32(state.threshold[context])
        case Self.claimOffset: return claim(&state, context)
        default: return 0
        }
    }

    private func writeWord(_ state: inout State, _ offset: UInt64, _ value: UInt32) {
        if offset < Self.pendingBase {
            let source = Int(offset / 4)
            guard source > 0, source < sourceCount else { return }
            state.priority[source] = UInt8(value & Self.priorityMax)
        } else if offset < Self.enableBase {
            return
        } else if offset < Self.contextBase {
            guard let (context, word) = enableWord(offset) else { return }
            state.enable[context][word] = value & existing(word)
        } else if let (context, register) = contextRegister(offset) {
            switch register {
            case Self.thresholdOffset: state.threshold[context] = UInt8(value & Self.priorityMax)
            case Self.claimOffset: complete(&state, context, value)
            default: return
            }
        }
        updateOutputs(&state)
    }

    private func claim(_ state: inout State, _ context: Int) -> UInt32 {
        guard let source = best(state, context, above: 0) else { return 0 }
        let word = source / 32, bit: UInt32 = 1 << UInt32(source % 32)
        state.pending[word] &= ~bit
        state.inService[word] |= bit
        updateOutputs(&state)
        return UInt32(source)
    }

    /// Ignored unless the source is enabled for the context (§8).
    private func complete(_ state: inout State, _ context: Int, _ value: UInt32) {
        guard value > 0, value < UInt32(sourceCount) else { return }
        let word = Int(value / 32), bit: UInt32 = 1 << (value % 32)
        guard state.enable[context][word] & bit != 0, state.inService[word] & bit != 0 else { return }
        state.inService[word] &= ~bit
        state.pending[word] |= state.level[word] & bit
    }

    /// The pending, enabled source of highest priority above a threshold; the lowest number wins a tie.
    private func best(_ state: State, _ context: Int, above threshold: UInt8) -> Int? {
        var found: Int?
        var highest = threshold
        for word in state.pending.indices {
            var candidates = state.pending[word] & state.enable[context][word]
            while candidates != 0 {
                let source = word * 32 + candidates.trailingZeroBitCount
                candidates &= candidates &- 1
                if state.priority[source] > highest {
                    highest = state.priority[source]
                    found = source
                }
            }
        }
        return found
    }

    private func updateOutputs(_ state: inout State) {
        for context in outputs.indices {
            let level = best(state, context, above: state.threshold[context]) != nil
            guard level != state.asserted[context] else { continue }
            state.asserted[context] = level
            outputs[context].set(level)
        }
    }

    private func enableWord(_ offset: UInt64) -> (Int, Int)? {
        let context = Int((offset - Self.enableBase) / Self.enableStride)
        let word = Int((offset - Self.enableBase) % Self.enableStride / 4)
        guard context < outputs.count, word < (sourceCount + 31) / 32 else { return nil }
        return (context, word)
    }

    private func contextRegister(_ offset: UInt64) -> (Int, UInt64)? {
        let context = Int((offset - Self.contextBase) / Self.contextStride)
        guard context < outputs.count else { return nil }
        return (context, (offset - Self.contextBase) % Self.contextStride)
    }

    /// The bits of a bit-set word that stand for sources.
    private func existing(_ word: Int) -> UInt32 {
        let first = word * 32
        let count = min(32, sourceCount - first)
        let mask = count == 32 ? UInt32.max : (1 << UInt32(max(0, count))) &- 1
        return word == 0 ? mask & ~1 : mask
    }

    private static func powerOn(_ sources: Int, _ contexts: Int) -> State {
        let words = Array(repeating: UInt32(0), count: (sources + 31) / 32)
        return State(priority: Array(repeating: 0, count: sources), level: words, pending: words, inService: words,
                     enable: Array(repeating: words, count: contexts),
                     threshold: Array(repeating: 0, count: contexts),
                     asserted: Array(repeating: false, count: contexts))
    }

    // MARK: Saved state

    public func save(to writer: inout StateWriter) {
        let state = state.withLock { $0 }
        writer.section("plic", version: 1) { writer in
            writer.put(bytes: state.priority)
            for words in [state.level, state.pending, state.inService] { writer.put(each: words) { $0.put($1) } }
            writer.put(each: state.enable) { writer, words in writer.put(each: words) { $0.put($1) } }
            writer.put(bytes: state.threshold)
        }
    }

    /// Drives every output anew, so that harts restored before or after agree.
    public func restore(from reader: inout StateReader) throws {
        try reader.section("plic", newest: 1) { reader, _ in
            var restored = Self.powerOn(sourceCount, outputs.count)
            restored.priority = try reader.getBytes().map { $0 & UInt8(Self.priorityMax) }
            let wordCount = restored.level.count
            func words(_ reader: inout StateReader) throws -> [UInt32] {
                let words = try reader.getEach(limit: wordCount) { try $0.get(UInt32.self) }
                guard words.count == wordCount else {
                    throw StateError.invalid(section: "plic", reason: "\(words.count) words of sources, not \(wordCount)")
                }
                return words.enumerated().map { $1 & existing($0) }
            }
            restored.level = try words(&reader)
            restored.pending = try words(&reader)
            restored.inService = try words(&reader)
            restored.enable = try reader.getEach(limit: outputs.count) { try words(&$0) }
            restored.threshold = try reader.getBytes().map { $0 & UInt8(Self.priorityMax) }
            guard restored.priority.count == sourceCount, restored.enable.count == outputs.count,
                  restored.threshold.count == outputs.count else {
                throw StateError.invalid(section: "plic", reason: "another number of sources or contexts")
            }
            restored.priority[0] = 0
            state.withLock { state in
                state = restored
                for output in outputs { output.set(false) }
                updateOutputs(&state)
            }
        }
    }
}
