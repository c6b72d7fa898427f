import Bus
import Testing
@testable import Devices

@Suite struct UART16550Tests {
    final class Rig {
        let line = RecordingLine(), timer = RecordingTimer(), output = RecordingOutput()
        let clock = GuestClock(source: .manual)
        lazy var uart = UART16550(interrupt: line.line, output: output, clock: clock, timer: timer.timer)
        func read(_ register: UInt64) -> UInt8 { UInt8(uart.read(offset: register, size: 1)) }
        func write(_ register: UInt64, _ value: UInt8) { uart.write(offset: register, size: 1, value: UInt64(value)) }
        var identification: UInt8 { read(2) & 0x0f }
    }

    @Test func `power-on status is empty and ready`() {
        let rig = Rig()
        #expect(rig.read(5) == 0x60)
        #expect(rig.read(2) == 0x01)
        #expect(rig.read(6) == 0xb0)
        #expect(!rig.line.level)
    }

    @Test func `a written byte leaves at once and raises THRE`() {
        let rig = Rig()
        rig.write(1, 0x02)
        #expect(rig.line.level && rig.identification == 0x2)
        #expect(!rig.line.level, "reading IIR clears THRE")
        rig.write(0, 65)
        #expect(rig.output.bytes == [65])
        #expect(rig.line.level)
    }

    @Test func `the divisor latch hides data and interrupt enable`() {
        let rig = Rig()
        rig.write(3, 0x83)
        rig.write(0, 2)
        rig.write(1, 1)
        #expect(rig.read(0) == 2 && rig.read(1) == 1)
        rig.write(3, 0x03)
        #expect(rig.read(1) == 0 && rig.output.bytes.isEmpty)
    }

    @Test func `without FIFOs one byte fills the receiver`() {
        let rig = Rig()
        rig.write(1, 0x01)
        #expect(rig.uart.receive(1))
        #expect(!rig.uart.receive(2))
        #expect(rig.line.level && rig.identification == 0x4)
        #expect(rig.read(0) == 1 && !rig.line.level)
        #expect(rig.uart.receive(2))
    }

    @Test func `with FIFOs the interrupt waits for the trigger level, then for the timeout`() {
        let rig = Rig()
        rig.write(3, 0x83)
        rig.write(0, 2)
        rig.write(3, 0x03)
        rig.write(2, 0x81)
        rig.write(1, 0x01)
        for byte in 0..<7 { #expect(rig.uart.receive(UInt8(byte))) }
        #expect(!rig.line.level)
        #expect(rig.timer.deadline != nil)
        rig.clock.advance(ticks: rig.timer.deadline!)
        rig.uart.timerFired()
        #expect(rig.line.level && rig.read(2) == 0xcc)
        #expect(rig.read(0) == 0 && !rig.line.level, "a read restarts the timeout")
        #expect(rig.uart.receive(7) && !rig.line.level)
        #expect(rig.uart.receive(8) && rig.line.level && rig.read(2) == 0xc4)
    }

    @Test func `the FIFO holds sixteen bytes and asks for more once read`() {
        let wanted = RecordingLine()
        let uart = UART16550(interrupt: .unconnected, output: RecordingOutput(), clock: GuestClock(source: .manual),
                             timer: .never, inputWanted: { wanted.line.set(true) })
        uart.write(offset: 2, size: 1, value: 0x01)
        for byte in 0..<16 { #expect(uart.receive(UInt8(byte))) }
        #expect(uart.receiveSpace == 0 && !uart.receive(0) && !wanted.level)
        #expect(uart.read(offset: 0, size: 1) == 0)
        #expect(wanted.level)
    }

    @Test func `a full sink keeps bytes in the transmitter and THRE clear`() {
        let rig = Rig()
        rig.output.room = 1
        rig.write(2, 0x01)
        for byte in UInt8(0)..<20 { rig.write(0, byte) }
        #expect(rig.output.bytes == [0] && rig.read(5) & 0x60 == 0)
        rig.output.room = 100
        rig.uart.outputReady()
        #expect(rig.output.bytes == Array(0...16), "sixteen waited, the rest were lost")
        #expect(rig.read(5) & 0x60 == 0x60)
    }

    @Test func `line status errors come before data and are cleared by reading`() {
        let rig = Rig()
        rig.write(2, 0x01)
        rig.write(1, 0x0f)
        _ = rig.read(6)
        #expect(rig.uart.receiveBreak())
        #expect(rig.identification == 0x6)
        #expect(rig.read(5) == 0xf1)
        #expect(rig.identification == 0x4)
        #expect(rig.read(0) == 0)
        #expect(rig.identification == 0x2)
        #expect(rig.identification == 0x1)
    }

    @Test func `loopback returns data and modem lines`() {
        let rig = Rig()
        rig.write(4, 0x10)
        #expect(rig.read(6) == 0x0b, "the inputs fell: CTS, DSR and DCD changed")
        rig.write(4, 0x1f)
        #expect(rig.read(6) == 0xfb)
        rig.write(4, 0x1b)
        #expect(rig.read(6) == 0xb4, "only RI's trailing edge")
        rig.write(0, 99)
        #expect(rig.output.bytes.isEmpty && rig.read(5) & 1 == 1 && rig.read(0) == 99)
        rig.write(0, 1)
        rig.write(0, 2)
        #expect(rig.read(5) & 0x02 == 0x02, "overrun")
        #expect(!rig.uart.receive(5))
    }

    @Test func `clearing FIFOs drops their contents`() {
        let rig = Rig()
        rig.write(2, 0x01)
        #expect(rig.uart.receive(3))
        rig.write(2, 0x03)
        #expect(rig.read(5) == 0x60)
    }

    @Test func `state survives a round trip`() throws {
        let rig = Rig(), other = Rig()
        rig.write(2, 0xc1)
        rig.write(1, 0x05)
        rig.output.room = 0
        rig.write(0, 9)
        #expect(rig.uart.receive(1) && rig.uart.receive(2))
        try expectRoundTrip(rig.uart, other.uart)
    }

    @Test func `random accesses do no harm`() {
        let rig = Rig()
        fuzz(rig.uart, windowSizeBytes: 0x100, seed: 1, interesting: Array(0..<8)) { random in
            switch random.next() % 8 {
            case 0: _ = rig.uart.receive(UInt8(truncatingIfNeeded: random.next()))
            case 1: _ = rig.uart.receiveBreak()
            case 2: rig.output.room = Int(random.next() % 3); rig.uart.outputReady()
            case 3: rig.clock.advance(ticks: random.next() % 10_000); rig.uart.timerFired()
            default: break
            }
        }
    }
}
