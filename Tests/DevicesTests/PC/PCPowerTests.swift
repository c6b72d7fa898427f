import Bus
import Synchronization
import Testing
@testable import Devices

@Suite struct PCPowerTests {
    final class Rig: Sendable {
        let clock = GuestClock(frequencyHz: 1_000_000_000, source: .manual)
        let line = RecordingLine(), timer = RecordingTimer()
        let events = Mutex<[PowerEvent]>([])
        let gate = Mutex<[Bool]>([])
        var power: @Sendable (PowerEvent) -> Void { { event in self.events.withLock { $0.append(event) } } }
        var seen: [PowerEvent] { events.withLock { $0 } }
        func acpi() -> ACPIPower { ACPIPower(interrupt: line.line, clock: clock, timer: timer.timer, power: power) }
        func resets() -> PCReset { PCReset(a20: { level in self.gate.withLock { $0.append(level) } }, power: power) }
    }

    @Test func `the power management timer runs at 3.579545 MHz with 32 bits`() {
        let rig = Rig(), acpi = rig.acpi()
        rig.clock.advance(nanoseconds: 1_000_000_000)
        #expect(acpi.read(offset: 8, size: 4) == 3_579_545)
        rig.clock.advance(nanoseconds: 1_200_000_000_000)
        #expect(acpi.read(offset: 8, size: 4) == (3_579_545 * 1201) % (1 << 32))
    }

    @Test func `soft off is SLP_TYP 5 with SLP_EN, other types do nothing`() {
        let rig = Rig(), acpi = rig.acpi()
        #expect(acpi.read(offset: 4, size: 2) == 1, "SCI_EN from the start")
        acpi.write(offset: 4, size: 2, value: 5 << 10)
        acpi.write(offset: 4, size: 2, value: 1 << 13)
        #expect(rig.seen == [])
        acpi.write(offset: 4, size: 2, value: 5 << 10 | 1 << 13)
        #expect(rig.seen == [.powerOff])
    }

    @Test func `the power button raises SCI until its status is cleared`() {
        let rig = Rig(), acpi = rig.acpi()
        acpi.pressPowerButton()
        #expect(!rig.line.level && acpi.read(offset: 0, size: 2) == 0x100)
        acpi.write(offset: 2, size: 2, value: 0x100)
        #expect(rig.line.level)
        acpi.write(offset: 0, size: 2, value: 0x100)
        #expect(!rig.line.level && acpi.read(offset: 0, size: 4) == 0x100_0000)
    }

    @Test func `the timer's carry interrupts when bit 23 changes`() {
        let rig = Rig(), acpi = rig.acpi()
        acpi.write(offset: 2, size: 2, value: 1)
        let deadline = rig.timer.deadline!
        #expect(deadline / 1_000_000 == (1 << 23) * 1000 / 3_579_545)
        rig.clock.advance(nanoseconds: deadline)
        acpi.timerFired()
        #expect(rig.line.level)
        acpi.write(offset: 0, size: 2, value: 1)
        #expect(!rig.line.level && rig.timer.deadline != nil)
    }

    @Test func `ports 92 and CF9 reset, port 92 gates A20`() {
        let rig = Rig(), ports = rig.resets()
        #expect(ports.read(offset: 0, size: 1) == 2)
        ports.write(offset: 0, size: 1, value: 0)
        ports.write(offset: 0, size: 1, value: 2)
        ports.write(offset: 0, size: 1, value: 2)
        #expect(rig.gate.withLock { $0 } == [false, true] && rig.seen == [])
        ports.write(offset: 0, size: 1, value: 3)
        #expect(rig.seen == [.reset])
        let bridge = PCIHostBridge(windows: PCIWindows(ecamSizeBytes: 1 << 20, ioSizeBytes: 0, memory32Start: 0,
                                                       memory32SizeBytes: 0, memory64Start: 0, memory64SizeBytes: 0),
                                   intx: Array(repeating: .unconnected, count: 4))
        let config = PCIConfigPorts(bridge: bridge, resetControl: ports)
        config.write(offset: 1, size: 1, value: 2)
        #expect(rig.seen == [.reset] && config.read(offset: 1, size: 1) == 2)
        config.write(offset: 1, size: 1, value: 6)
        #expect(rig.seen == [.reset, .reset])
    }

    @Test func `configuration mechanism 1 echoes its address and reads the bridge`() throws {
        let ports = Rig().resets()
        let bridge = PCIHostBridge(windows: PCIWindows(ecamSizeBytes: 1 << 20, ioSizeBytes: 0, memory32Start: 0,
                                                       memory32SizeBytes: 0, memory64Start: 0, memory64SizeBytes: 0),
                                   intx: Array(repeating: .unconnected, count: 4))
        let config = PCIConfigPorts(bridge: bridge, resetControl: ports)
        config.write(offset: 0, size: 4, value: 0x8000_0000)
        #expect(config.read(offset: 0, size: 4) == 0x8000_0000)
        #expect(config.read(offset: 4, size: 4) == 0x0008_1b36 && config.read(offset: 6, size: 2) == 0x0008)
        config.write(offset: 0, size: 4, value: 0x8001_0000)
        #expect(config.read(offset: 4, size: 2) & 0xffff == 0xffff, "bus 1 is not there")
        config.write(offset: 0, size: 4, value: 0)
        #expect(config.read(offset: 4, size: 4) & 0xffff_ffff == 0xffff_ffff)
        let other = PCIConfigPorts(bridge: bridge, resetControl: ports)
        config.write(offset: 0, size: 4, value: 0x8000_1234)
        try expectRoundTrip(config, other)
        fuzz(config, windowSizeBytes: 8, seed: 9)
    }

    @Test func `debug exit makes odd statuses, the debug port passes characters`() {
        let rig = Rig(), exit = DebugExit(power: rig.power)
        exit.write(offset: 0, size: 4, value: 0x10)
        exit.write(offset: 0, size: 1, value: 0)
        #expect(rig.seen == [.fail(code: 0x21), .fail(code: 1)])
        let output = RecordingOutput(), port = DebugPort(output: output)
        port.write(offset: 0, size: 1, value: 0x41)
        #expect(output.bytes == [0x41] && port.read(offset: 0, size: 1) == 0xe9)
    }

    @Test func `state survives a round trip, random accesses do no harm`() throws {
        let rig = Rig(), acpi = rig.acpi()
        acpi.write(offset: 2, size: 2, value: 0x101)
        acpi.pressPowerButton()
        try expectRoundTrip(acpi, rig.acpi())
        fuzz(acpi, windowSizeBytes: ACPIPower.sizeBytes, seed: 5) { random in
            rig.clock.advance(nanoseconds: random.next() % 3_000_000_000)
            if random.next() % 16 == 0 { acpi.timerFired() }
        }
        let ports = rig.resets()
        ports.write(offset: 0, size: 1, value: 0)
        try expectRoundTrip(ports, rig.resets())
        fuzz(ports, windowSizeBytes: 1, seed: 6)
    }
}
