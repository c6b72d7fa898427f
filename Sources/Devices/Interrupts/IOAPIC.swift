// The I/O APIC: 24 interrupt inputs, each with a redirection entry that says where and how it is delivered.
//
// Spec: Intel 82093AA data sheet (290566-001), §3.2; version 20h as in Intel's ICH chips, without an EOI register.
// Inputs are driven on any thread, so the chip has its own lock besides the bus's; messages leave with it held (APICBus
// gives the lock order), ends of interrupts arrive with no lock held.

import Bus
import SavedState
import Synchronization

/// The chip.
public final class IOAPIC: MMIODevice, @unchecked Sendable {
    /// Size of the register window.
    public static let sizeBytes: UInt64 = 0x1000
    /// Inputs.
    public static let pins = 24
    static let version: UInt32 = UInt32(pins - 1) << 16 | 0x20
    private static let selectOffset: UInt64 = 0
    private static let dataOffset: UInt64 = 0x10

    private enum Register {
        static let id: UInt8 = 0, version: UInt8 = 1, arbitration: UInt8 = 2, firstEntry: UInt8 = 0x10
    }

    /// Bits of a redirection entry.
    private enum Entry {
        static let deliveryShift: UInt64 = 8
        static let logical: UInt64 = 1 << 11
        static let deliveryStatus: UInt64 = 1 << 12
        static let activeLow: UInt64 = 1 << 13
        static let remoteIRR: UInt64 = 1 << 14
        static let level: UInt64 = 1 << 15
        static let masked: UInt64 = 1 << 16
        static let destinationShift: UInt64 = 56
        static let readOnly = deliveryStatus | remoteIRR
        static let writable: UInt64 = 0xff00_0000_0001_ffff & ~readOnly
    }

    private struct State {
        var select: UInt8 = 0
        var id: UInt32 = 0
        var entries = [UInt64](repeating: Entry.masked, count: pins)
        /// Levels of the inputs, and requests that have not been delivered.
        var levels: UInt32 = 0
        var requests: UInt32 = 0
    }

    private let state = Mutex(State())
    private let network: APICBus

    public init(network: APICBus) {
        self.network = network
        network.onEndOfInterrupt { [unowned self] vector in endOfInterrupt(vector) }
    }

    /// An input. Its line is active high whatever the entry's polarity says: boards invert where they must.
    public func line(_ pin: Int) -> InterruptLine {
        precondition((0..<Self.pins).contains(pin), "I/O APIC input \(pin)")
        return InterruptLine { [unowned self] level in setLevel(pin, level) }
    }

    private func setLevel(_ pin: Int, _ level: Bool) {
        state.withLock { state in
            let bit: UInt32 = 1 << UInt32(pin), rose = level && state.levels & bit == 0
            if level { state.levels |= bit } else { state.levels &= ~bit }
            let entry = state.entries[pin]
            if entry & Entry.level != 0 {
                if level { state.requests |= bit } else { state.requests &= ~bit }
            } else if rose, entry & Entry.masked == 0 {
                // An edge on a masked input is lost (§3.2.4, interrupt mask).
                state.requests |= bit
            }
            serve(pin, &state)
        }
    }

    private func serve(_ pin: Int, _ state: inout State) {
        let bit: UInt32 = 1 << UInt32(pin), entry = state.entries[pin]
        guard state.requests & bit != 0, entry & Entry.masked == 0, entry & Entry.remoteIRR == 0 else { return }
        guard let delivery = APICMessage.Delivery(rawValue: UInt8(entry >> Entry.deliveryShift & 7)) else { return }
        // Only fixed and lowest-priority interrupts can be level-triggered.
        let isLevel = entry & Entry.level != 0 && (delivery == .fixed || delivery == .lowestPriority)
        let taken = network.send(APICMessage(
            destination: UInt32(entry >> Entry.destinationShift), isLogical: entry & Entry.logical != 0,
            delivery: delivery, vector: UInt8(truncatingIfNeeded: entry), isLevel: isLevel))
        if isLevel {
            if taken { state.entries[pin] |= Entry.remoteIRR }
        } else {
            state.requests &= ~bit
        }
    }

    private func endOfInterrupt(_ vector: UInt8) {
        state.withLock { state in
            for pin in 0..<Self.pins {
                let entry = state.entries[pin]
                guard entry & Entry.remoteIRR != 0, UInt8(truncatingIfNeeded: entry) == vector else { continue }
                state.entries[pin] &= ~Entry.remoteIRR
                serve(pin, &state)
            }
        }
    }

    public func read(offset: UInt64, size: Int) -> UInt64 {
        guard size == 4 else { return 0 }
        return state.withLock { state in
            switch offset {
            case Self.selectOffset: UInt64(state.select)
            case Self.dataOffset: UInt64(read(&state))
            default: 0
            }
        }
    }

    public func write(offset: UInt64, size: Int, value: UInt64) {
        guard size == 4 else { return }
        state.withLock { state in
            switch offset {
            case Self.selectOffset: state.select = UInt8(truncatingIfNeeded: value)
            case Self.dataOffset: write(UInt32(truncatingIfNeeded: value), &state)
            default: return
            }
        }
    }

    private func read(_ state: inout State) -> UInt32 {
        switch state.select {
        case Register.id, Register.arbitration: return state.id << 24
        case Register.version: return Self.version
        default:
            guard let (pin, shift) = Self.entry(state.select) else { return 0 }
            return UInt32(truncatingIfNeeded: state.entries[pin] >> shift)
        }
    }

    private func write(_ value: UInt32, _ state: inout State) {
        if state.select == Register.id { state.id = value >> 24 & 0xf }
        guard let (pin, shift) = Self.entry(state.select) else { return }
        let mask = UInt64(0xffff_ffff) << shift & Entry.writable
        let bit: UInt32 = 1 << UInt32(pin), wasLevel = state.entries[pin] & Entry.level != 0
        state.entries[pin] = state.entries[pin] & ~mask | UInt64(value) << shift & mask
        let isLevel = state.entries[pin] & Entry.level != 0
        if !isLevel {
            // Back to edge, the way old kernels end an interrupt whose broadcast got lost.
            state.entries[pin] &= ~Entry.remoteIRR
            if wasLevel { state.requests &= ~bit }
        } else if state.levels & bit != 0 {
            state.requests |= bit
        }
        serve(pin, &state)
    }

    /// The pin of an entry's register, and where its half begins.
    private static func entry(_ select: UInt8) -> (Int, UInt64)? {
        guard select >= Register.firstEntry else { return nil }
        let pin = Int(select - Register.firstEntry) / 2
        return pin < pins ? (pin, select & 1 == 0 ? 0 : 32) : nil
    }

    /// Inputs keep the level their devices drive.
    public func reset() {
        state.withLock { state in
            let levels = state.levels
            state = State()
            state.levels = levels
        }
    }

    public func save(to writer: inout StateWriter) {
        let state = state.withLock { $0 }
        writer.section("io-apic", version: 1) { writer in
            writer.put(state.select)
            writer.put(state.id)
            writer.put(state.levels)
            writer.put(state.requests)
            for entry in state.entries { writer.put(entry) }
        }
    }

    public func restore(from reader: inout StateReader) throws {
        try reader.section("io-apic", newest: 1) { reader, _ in
            var restored = State()
            restored.select = try reader.get()
            restored.id = try reader.get(UInt32.self) & 0xf
            restored.levels = try reader.get(UInt32.self) & ((1 << UInt32(Self.pins)) - 1)
            restored.requests = try reader.get(UInt32.self) & ((1 << UInt32(Self.pins)) - 1)
            for pin in restored.entries.indices {
                restored.entries[pin] = try reader.get(UInt64.self) & (Entry.writable | Entry.remoteIRR)
            }
            let complete = restored
            state.withLock { $0 = complete }
        }
    }
}
