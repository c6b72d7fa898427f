import Bus
import Testing
@testable import Devices

@Suite struct I8254Tests {
    final class Rig {
        let clock = GuestClock(frequencyHz: 1_000_000_000, source: .manual)
        let line = RecordingLine(), timer = RecordingTimer()
        lazy var pit = I8254(interrupt: line.line, clock: clock, timer: timer.timer)
        /// Lets `clocks` input clocks pass since power-on in all.
        func run(to clocks: UInt64) {
            let target = (clocks * 1_000_000_000 + I8254.clockHz - 1) / I8254.clockHz
            clock.advance(nanoseconds: target - clock.nanoseconds)
        }
        func program(_ counter: UInt64, mode: UInt64, count: UInt64) {
            pit.write(offset: 3, size: 1, value: counter << 6 | 0x30 | mode << 1)
            pit.write(offset: counter, size: 1, value: count & 0xff)
            pit.write(offset: counter, size: 1, value: count >> 8)
        }
        func count(_ counter: UInt64) -> UInt64 {
            pit.write(offset: 3, size: 1, value: counter << 6)
            return pit.read(offset: counter, size: 1) | pit.read(offset: counter, size: 1) << 8
        }
        func status(_ counter: UInt64) -> UInt64 {
            pit.write(offset: 3, size: 1, value: 0xe0 | 2 << counter)
            return pit.read(offset: counter, size: 1)
        }
    }

    @Test func `mode 0 goes high at terminal count and counts on below zero`() {
        let rig = Rig()
        rig.program(0, mode: 0, count: 100)
        #expect(!rig.line.level && rig.status(0) & 0x80 == 0)
        rig.run(to: 100)
        #expect(rig.count(0) == 1 && rig.status(0) & 0x80 == 0)
        rig.run(to: 101)
        rig.pit.timerFired()
        #expect(rig.line.level && rig.status(0) == 0xb0)
        rig.run(to: 103)
        #expect(rig.count(0) == 0xfffe && rig.timer.deadline == nil)
    }

    @Test func `mode 2 reloads at one and makes one edge a period`() {
        let rig = Rig()
        rig.program(0, mode: 2, count: 1000)
        #expect(rig.timer.deadline != nil)
        rig.run(to: 1000)
        #expect(rig.count(0) == 1)
        rig.pit.timerFired()
        #expect(rig.line.risingEdges == 0)
        rig.run(to: 1001)
        rig.pit.timerFired()
        #expect(rig.count(0) == 1000 && rig.line.risingEdges == 1)
        for period in 2...5 {
            rig.clock.advance(nanoseconds: rig.timer.deadline! - rig.clock.nanoseconds)
            rig.pit.timerFired()
            #expect(rig.line.risingEdges == period)
        }
    }

    @Test func `edges that pass while the host is late become one`() {
        let rig = Rig()
        rig.program(0, mode: 2, count: 1000)
        rig.run(to: 5500)
        rig.pit.timerFired()
        #expect(rig.line.risingEdges == 1)
        rig.run(to: 6001)
        rig.pit.timerFired()
        #expect(rig.line.risingEdges == 2)
    }

    @Test func `mode 3 is high for half a period and counts by two`() {
        let rig = Rig()
        rig.program(2, mode: 3, count: 10)
        let control = rig.pit.control
        control.write(offset: 0, size: 1, value: 1)
        let start = I8254.clocks(nanoseconds: rig.clock.nanoseconds) + 1
        var seen: [UInt64] = [], outputs: [Bool] = []
        for step in 0..<10 {
            rig.run(to: start + UInt64(step))
            seen.append(rig.count(2))
            outputs.append(control.read(offset: 0, size: 1) & 0x20 != 0)
        }
        #expect(seen == [10, 8, 6, 4, 2, 10, 8, 6, 4, 2])
        #expect(outputs == Array(repeating: true, count: 5) + Array(repeating: false, count: 5))
    }

    @Test func `a new count of modes 2 and 3 waits for the end of the cycle`() {
        let rig = Rig()
        rig.program(0, mode: 2, count: 1000)
        rig.run(to: 400)
        rig.pit.write(offset: 0, size: 1, value: 100)
        rig.pit.write(offset: 0, size: 1, value: 0)
        #expect(rig.count(0) > 500)
        rig.run(to: 1002)
        #expect(rig.count(0) == 99)
        rig.pit.timerFired()
        rig.run(to: 1101)
        rig.pit.timerFired()
        #expect(rig.line.risingEdges == 2)
    }

    @Test func `counter 2 is gated by port 61 and its output read there, as kernels calibrate with it`() {
        let rig = Rig()
        let control = rig.pit.control
        control.write(offset: 0, size: 1, value: 0)
        rig.program(2, mode: 0, count: 500)
        rig.run(to: 1000)
        #expect(control.read(offset: 0, size: 1) & 0x20 == 0 && rig.count(2) == 500)
        control.write(offset: 0, size: 1, value: 1)
        rig.run(to: 1499)
        #expect(control.read(offset: 0, size: 1) & 0x21 == 1)
        rig.run(to: 1502)
        #expect(control.read(offset: 0, size: 1) & 0x21 == 0x21)
    }

    @Test func `modes 1 and 5 start at a rising gate`() {
        let rig = Rig()
        rig.program(2, mode: 1, count: 50)
        let control = rig.pit.control
        #expect(control.read(offset: 0, size: 1) & 0x20 != 0)
        control.write(offset: 0, size: 1, value: 1)
        rig.run(to: 10)
        #expect(control.read(offset: 0, size: 1) & 0x20 == 0)
        rig.run(to: 52)
        #expect(control.read(offset: 0, size: 1) & 0x20 != 0)
        rig.program(2, mode: 5, count: 20)
        control.write(offset: 0, size: 1, value: 0)
        control.write(offset: 0, size: 1, value: 1)
        let start = I8254.clocks(nanoseconds: rig.clock.nanoseconds) + 1
        rig.run(to: start + 20)
        #expect(control.read(offset: 0, size: 1) & 0x20 == 0)
        rig.run(to: start + 21)
        #expect(control.read(offset: 0, size: 1) & 0x20 != 0)
    }

    @Test func `BCD counts in tens, a count of zero is the largest`() {
        let rig = Rig()
        rig.pit.write(offset: 3, size: 1, value: 0x31)
        rig.pit.write(offset: 0, size: 1, value: 0x00)
        rig.pit.write(offset: 0, size: 1, value: 0x10)
        rig.run(to: 2)
        #expect(rig.count(0) == 0x0999)
        rig.program(0, mode: 2, count: 0)
        #expect(rig.count(0) == 0)
        rig.run(to: 5)
        #expect(rig.count(0) > 0xfff0)
    }

    @Test func `a latched count stays until it is read, status before count`() {
        let rig = Rig()
        rig.program(0, mode: 0, count: 1000)
        rig.run(to: 10)
        rig.pit.write(offset: 3, size: 1, value: 0xc2)
        rig.run(to: 500)
        #expect(rig.pit.read(offset: 0, size: 1) == 0x30)
        #expect(rig.pit.read(offset: 0, size: 1) | rig.pit.read(offset: 0, size: 1) << 8 == 991)
        #expect(rig.count(0) == 501)
    }

    @Test func `state survives a round trip`() throws {
        let rig = Rig(), other = Rig()
        rig.program(0, mode: 2, count: 1000)
        rig.program(2, mode: 1, count: 3)
        rig.pit.write(offset: 1, size: 1, value: 7)
        try expectRoundTrip(rig.pit, other.pit)
    }

    @Test func `random accesses do no harm`() {
        let rig = Rig()
        let control = rig.pit.control
        fuzz(rig.pit, windowSizeBytes: 4, seed: 54) { random in
            if random.next() % 4 == 0 { rig.clock.advance(nanoseconds: random.next() % 10_000_000) }
            if random.next() % 8 == 0 { rig.pit.timerFired() }
            if random.next() % 8 == 0 { control.write(offset: 0, size: 1, value: random.next()) }
            if random.next() % 1024 == 0 { rig.clock.advance(nanoseconds: random.next() >> 8) }
            _ = control.read(offset: 0, size: 1)
        }
    }
}
