import Bus
import Synchronization
@testable import Devices

/// A processor that notes what its local APIC tells it.
final class RecordingProcessor: InterruptTarget {
    struct Seen: Equatable { var changes = 0, nmis = 0, inits = 0, startUps: [UInt8] = [] }
    private let seen = Mutex(Seen())
    var events: Seen { seen.withLock { $0 } }
    func interruptsChanged() { seen.withLock { $0.changes += 1 } }
    func raiseNMI() { seen.withLock { $0.nmis += 1 } }
    func raiseINIT() { seen.withLock { $0.inits += 1 } }
    func startUp(vector: UInt8) { seen.withLock { $0.startUps.append(vector) } }
}

/// Some processors with their APICs, and an I/O APIC.
final class APICRig {
    let clock = GuestClock(frequencyHz: 1_000_000_000, source: .manual)
    let network = APICBus()
    let processors: [RecordingProcessor]
    let timers: [RecordingTimer]
    let apics: [LocalAPIC]
    let io: IOAPIC

    init(_ count: Int = 4, presence: LocalAPIC.Presence = .x2APIC, enabled: Bool = true) {
        let network = network, clock = clock
        processors = (0..<count).map { _ in RecordingProcessor() }
        timers = (0..<count).map { _ in RecordingTimer() }
        apics = zip(timers.indices, timers).map { id, timer in
            LocalAPIC(id: UInt32(id), presence: presence, network: network, clock: clock, timer: timer.timer,
                      external: { 0x77 })
        }
        for (apic, processor) in zip(apics, processors) { apic.connect(processor) }
        io = IOAPIC(network: network)
        if enabled { for apic in apics { apic.put(0xf0, 0x1ff) } }
    }

    func redirect(_ pin: UInt64, _ entry: UInt64) {
        for (half, value) in [(1, entry >> 32), (0, entry & 0xffff_ffff)] as [(UInt64, UInt64)] {
            io.write(offset: 0, size: 4, value: 0x10 + pin * 2 + half)
            io.write(offset: 0x10, size: 4, value: value)
        }
    }
    func redirection(_ pin: UInt64) -> UInt64 {
        io.write(offset: 0, size: 4, value: 0x10 + pin * 2)
        return io.read(offset: 0x10, size: 4)
    }
}

extension LocalAPIC {
    func put(_ offset: Int, _ value: UInt64) { write(offset: offset, size: 4, value: value) }
    func get(_ offset: Int) -> UInt64 { read(offset: offset, size: 4) }
    func enterX2() -> Bool { writeMSR(0x1b, base | 1 << 10) }
}
