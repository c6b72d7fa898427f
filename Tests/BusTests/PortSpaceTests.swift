import GuestMemory
import SavedState
import Testing
@testable import Bus

@Suite struct PortSpaceTests {
    private func bus(_ sizes: AccessSizes = [.byte, .half, .word]) throws -> (PortSpace, ScratchDevice) {
        let device = ScratchDevice()
        let bus = try Bus([], ports: [
            BusWindow("chip", at: GuestPhysical(0x70), sizeBytes: 4, sizes: sizes, device: device),
        ])
        return (bus.ports, device)
    }

    @Test func `an access reaches the chip of its port`() throws {
        let (ports, chip) = try bus()
        ports.write(0x72, size: 2, value: 0x1234_5678)
        #expect(chip.last! == (2, 2))
        #expect(chip.value == 0x5678)
        #expect(ports.read(0x70, size: 4) == 0x5678)
    }

    @Test func `absent ports read as ones`() throws {
        let (ports, _) = try bus()
        #expect(ports.read(0x80, size: 1) == 0xFF)
        #expect(ports.read(0x80, size: 2) == 0xFFFF)
        #expect(ports.read(0xFFFF, size: 4) == 0xFFFF_FFFF)
        ports.write(0xFFFF, size: 4, value: 0)
    }

    @Test func `what the chip does not take whole is split into bytes`() throws {
        let (ports, chip) = try bus([.byte])
        ports.write(0x70, size: 4, value: 0x4433_2211)
        #expect(chip.last! == (3, 1))
        #expect(chip.value == 0x44)
        #expect(ports.read(0x72, size: 4) == 0xFFFF_4444, "two bytes of the chip, two absent ones")
    }

    @Test func `a misaligned access is split`() throws {
        let (ports, chip) = try bus()
        chip.value = 0xAB
        #expect(ports.read(0x71, size: 2) == 0xABAB)
        #expect(chip.last! == (2, 1))
    }

    @Test func `a window past the last port is refused`() {
        #expect(throws: BusError.outsidePorts("far")) {
            try Bus([], ports: [BusWindow("far", at: GuestPhysical(0xFFFF), sizeBytes: 2, device: ScratchDevice())])
        }
    }

    @Test func `chips on ports are saved, restored and reset with the bus`() throws {
        func make() throws -> (Bus, ScratchDevice) {
            let chip = ScratchDevice()
            return (try Bus([], ports: [BusWindow("chip", at: GuestPhysical(0x70), sizeBytes: 1, device: chip)]), chip)
        }
        let (bus, chip) = try make()
        chip.value = 7
        var writer = StateWriter()
        bus.save(to: &writer)
        let (other, restored) = try make()
        var reader = StateReader(writer.bytes)
        try other.restore(from: &reader)
        #expect(restored.value == 7)
        other.reset()
        #expect(restored.value == 0)
    }
}
