import GuestMemory
import SavedState
import Testing
@testable import Bus

final class ScratchDevice: MMIODevice {
    var value: UInt64 = 0
    var last: (offset: UInt64, size: Int)?
    func read(offset: UInt64, size: Int) -> UInt64 { last = (offset, size); return value }
    func write(offset: UInt64, size: Int, value: UInt64) { last = (offset, size); self.value = value }
    func reset() { value = 0 }
    func save(to writer: inout StateWriter) { writer.section("scratch", version: 1) { $0.put(value) } }
    func restore(from reader: inout StateReader) throws {
        try reader.section("scratch", newest: 1) { reader, _ in value = try reader.get() }
    }
}

@Suite struct AddressMapTests {
    private func bus(_ sizes: AccessSizes = .any) throws -> (Bus, ScratchDevice, ScratchDevice) {
        let low = ScratchDevice(), high = ScratchDevice()
        let bus = try Bus([
            BusWindow("high", at: GuestPhysical(0x2000), sizeBytes: 0x1000, device: high),
            BusWindow("low", at: GuestPhysical(0x1000), sizeBytes: 0x10, sizes: sizes, device: low),
        ])
        return (bus, low, high)
    }

    @Test func `an access reaches the device of its window at the offset into it`() throws {
        let (bus, low, high) = try bus()
        #expect(bus.write(GuestPhysical(0x1008), size: 8, value: 5))
        #expect(low.last! == (8, 8))
        #expect(bus.write(GuestPhysical(0x2ffc), size: 4, value: 0x1_0000_0007))
        #expect(high.last! == (0xffc, 4))
        #expect(high.value == 7, "the value is cut to the access size")
        #expect(bus.read(GuestPhysical(0x1000), size: 1) == 5)
    }

    @Test(arguments: [0xfff, 0x1010, 0x1fff, 0x3000, 0, UInt64.max] as [UInt64])
    func `an address outside every window is nobody's`(address: UInt64) throws {
        let (bus, _, _) = try bus()
        #expect(bus.read(GuestPhysical(address), size: 1) == nil)
        #expect(!bus.write(GuestPhysical(address), size: 1, value: 0))
    }

    @Test func `odd sizes, misaligned and unsupported accesses are refused`() throws {
        let (bus, _, _) = try bus([.word, .double])
        for size in [0, 3, 5, 16, -1] { #expect(bus.read(GuestPhysical(0x1000), size: size) == nil) }
        #expect(bus.read(GuestPhysical(0x1002), size: 4) == nil)
        #expect(bus.read(GuestPhysical(0x1000), size: 2) == nil)
        #expect(bus.read(GuestPhysical(0x1000), size: 4) != nil)
    }

    @Test func `an access past the end of an odd-sized window is refused`() throws {
        let bus = try Bus([BusWindow("odd", at: GuestPhysical(0x1000), sizeBytes: 6, device: ScratchDevice())])
        #expect(bus.read(GuestPhysical(0x1004), size: 4) == nil)
        #expect(bus.read(GuestPhysical(0x1004), size: 2) != nil)
    }

    @Test func `overlapping, empty and duplicate windows are refused`() {
        func window(_ name: String, _ start: UInt64, _ size: UInt64) -> BusWindow {
            BusWindow(name, at: GuestPhysical(start), sizeBytes: size, device: ScratchDevice())
        }
        #expect(throws: BusError.overlap("a", "b")) { try Bus([window("a", 0, 0x11), window("b", 0x10, 1)]) }
        #expect(throws: BusError.emptyWindow("a")) { try Bus([window("a", 0, 0)]) }
        #expect(throws: BusError.duplicateName("a")) { try Bus([window("a", 0, 1), window("a", 1, 1)]) }
        #expect(throws: Never.self) { try Bus([window("a", 0, .max)]) }
    }

    @Test func `state is restored device by device and another board's state is refused`() throws {
        let (bus, low, high) = try bus()
        low.value = 1
        high.value = 2
        var writer = StateWriter()
        bus.save(to: &writer)
        let (other, otherLow, otherHigh) = try self.bus()
        var reader = StateReader(writer.bytes)
        try other.restore(from: &reader)
        #expect(otherLow.value == 1 && otherHigh.value == 2)
        let single = try Bus([BusWindow("low", at: GuestPhysical(0), sizeBytes: 1, device: ScratchDevice())])
        var again = StateReader(writer.bytes)
        #expect(throws: StateError.self) { try single.restore(from: &again) }
    }
}

@Suite struct GuestClockTests {
    @Test func `a manual clock moves only by hand`() {
        let clock = GuestClock(source: .manual)
        clock.resume()
        #expect(clock.ticks == 0 && !clock.isRunning)
        clock.advance(nanoseconds: 250)
        #expect(clock.ticks == 2)
        clock.advance(ticks: 3)
        #expect(clock.ticks == 5)
        clock.set(ticks: 1000)
        #expect(clock.ticks == 1000)
        #expect(clock.hostNanoseconds(until: 2000) == nil)
    }

    @Test func `a real clock stands still while paused and never runs backwards`() {
        let clock = GuestClock()
        #expect(clock.nanoseconds == 0)
        clock.resume()
        let first = clock.nanoseconds
        let second = clock.nanoseconds
        #expect(second >= first && second < 60_000_000_000)
        clock.pause()
        let paused = clock.nanoseconds
        #expect(clock.nanoseconds == paused)
        clock.resume()
        #expect(clock.nanoseconds >= paused)
    }

    @Test func `a scaled clock converts deadlines back to host time`() {
        let clock = GuestClock(source: .scaled(numerator: 1, denominator: 1000))
        clock.resume()
        let wait = clock.hostNanoseconds(until: clock.ticks + 10)!
        #expect(wait > 100_000 && wait <= 1_100_000)
        #expect(clock.hostNanoseconds(until: 0) == 0)
        #expect(clock.hostNanoseconds(until: .max) == .max)
    }

    @Test func `a restored clock is paused at the saved time`() throws {
        let clock = GuestClock(source: .manual)
        clock.advance(ticks: 77)
        var writer = StateWriter()
        clock.save(to: &writer)
        let other = GuestClock()
        other.resume()
        var reader = StateReader(writer.bytes)
        try other.restore(from: &reader)
        #expect(!other.isRunning && other.ticks == 77)
        let slow = GuestClock(frequencyHz: 1_000_000)
        var again = StateReader(writer.bytes)
        #expect(throws: StateError.self) { try slow.restore(from: &again) }
    }
}
