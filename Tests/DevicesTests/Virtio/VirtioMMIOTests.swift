import Bus
import GuestMemory
import SavedState
import Testing
@testable import Devices

@Suite struct VirtioMMIOTests {
    let device = EchoDevice()
    let guest: GuestDriver

    init() throws { guest = try GuestDriver(device) }

    @Test func `the identification registers say a modern device`() {
        #expect(guest.read(0x00) == 0x7472_6976)
        #expect(guest.read(0x04) == 2)
        #expect(guest.read(0x08) == 4)
        #expect(guest.read(0xb0) == 0xffff_ffff && guest.read(0xb4) == 0xffff_ffff)
    }

    @Test func `features read in two halves and beyond them zero`() {
        #expect(guest.deviceFeatures == 1 | VirtioFeature.common)
        guest.write(0x14, 2)
        #expect(guest.read(0x10) == 0)
    }

    @Test func `a legacy driver is refused at FEATURES_OK`() {
        #expect(!guest.start(without: VirtioFeature.version1))
        guest.write(0x70, 15)
        #expect(guest.needsReset && guest.mmio.core.fault == .driverOKWithoutFeatures)
        #expect(device.activations.isEmpty)
    }

    @Test func `a feature that was not offered is refused`() {
        #expect(!guest.start(only: VirtioFeature.version1 | 2))
    }

    @Test func `features are fixed once accepted`() {
        guest.start(without: 1)
        guest.write(0x24, 0)
        guest.write(0x20, 1)
        #expect(guest.mmio.core.driverFeatures & 1 == 0)
    }

    @Test func `driver ok activates once with the negotiated features`() {
        guest.start(without: VirtioFeature.eventIndex)
        guest.write(0x70, 15)
        #expect(device.activations == [1 | VirtioFeature.common & ~VirtioFeature.eventIndex])
    }

    @Test func `a queue that does not exist has size zero and cannot be made ready`() {
        guest.start()
        guest.write(0x30, 2)
        #expect(guest.read(0x34) == 0)
        guest.write(0x44, 1)
        #expect(guest.read(0x44) == 0)
        guest.write(0x50, 2)
        guest.write(0x50, 0xffff_ffff)
        #expect(!guest.needsReset)
    }

    @Test(arguments: [0, 3, 128, 0x10010] as [UInt64]) func `an impossible queue size is dropped`(size: UInt64) {
        guest.write(0x30, 0)
        guest.write(0x38, size)
        #expect(guest.mmio.core.queues[0].registers.size == 64)
    }

    @Test func `a ready queue keeps its registers`() {
        guest.start()
        let before = guest.mmio.core.queues[0].registers
        guest.write(0x30, 0)
        guest.write(0x38, 4)
        guest.write(0x80, 0x1234)
        #expect(guest.mmio.core.queues[0].registers == before)
    }

    @Test func `rings outside RAM or misaligned stop the device`() {
        guest.start(skipQueues: [0])
        guest.write(0x30, 0)
        guest.write(0x44, 1)
        #expect(guest.needsReset && guest.mmio.core.fault == .ringOutsideMemory(queue: 0))
        guest.start(skipQueues: [0])
        guest.write(0x30, 0)
        for register in [0x80, 0x90, 0xa0] { guest.write(UInt64(register), GuestDriver.ramStart + 1) }
        guest.write(0x44, 1)
        #expect(guest.mmio.core.fault == .ringMisaligned(queue: 0))
    }

    @Test func `writing zero to status resets everything`() {
        guest.start()
        _ = guest.request([1], room: 1)
        guest.write(0x70, 0)
        #expect(guest.status == 0 && guest.read(0x60) == 0 && !guest.line.isHigh && device.resets >= 1)
        guest.write(0x30, 0)
        #expect(guest.read(0x44) == 0)
        guest.notify(0)
    }

    @Test func `one queue can be reset and made ready again`() {
        guest.start()
        _ = guest.request([1], room: 1)
        guest.write(0x30, 0)
        guest.write(0xc0, 1)
        #expect(guest.read(0xc0) == 0 && guest.read(0x44) == 0)
        guest.enable(guest.queues[0])
        guest.queues[0].nextDescriptor = 0
        #expect(guest.request([5], room: 1) == [5])
    }

    @Test func `registers answer word accesses only`() {
        #expect(guest.read(0x00, size: 1) == 0 && guest.read(0x00, size: 8) == 0)
        guest.write(0x70, 1, size: 1)
        #expect(guest.status == 0)
    }

    @Test func `configuration space reads in any width and zero past its end`() {
        #expect(guest.config(0, size: 1) == 1)
        #expect(guest.config(1, size: 2) == 0x0302)
        #expect(guest.config(0, size: 8) == 0x05_0403_0201)
        #expect(guest.config(0xe00) == 0)
    }

    @Test func `a saved device carries on where it was`() throws {
        guest.start()
        _ = guest.request([1, 2, 3], room: 3)
        // Queued but not notified: the next notification must find it.
        let back = guest.allocate(1)
        guest.add(0, [.init(address: guest.place([42]), length: 1, writable: false), .init(address: back, length: 1, writable: true)])
        let state = saved(guest.mmio)
        let other = EchoDevice()
        let line = TestLine()
        let copy = VirtioMMIO(device: other, ram: guest.ram, interrupt: line.line)
        var reader = StateReader(state)
        copy.core.pause()
        try copy.restore(from: &reader)
        #expect(saved(copy) == state)
        #expect(line.isHigh, "the interrupt was pending")
        copy.core.resume()
        #expect(guest.bytes(back, 1) == [42])
        #expect(other.chains == 2)
    }

    @Test func `a damaged state is refused without a trap`() throws {
        guest.start()
        _ = guest.request([1, 2, 3], room: 3)
        let state = saved(guest.mmio)
        var random = Random(seed: Fuzz.seed(2))
        for round in 0..<3000 {
            var bytes = state
            if round < state.count { bytes.removeLast(round + 1) } else {
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                }
            }
            let copy = VirtioMMIO(device: EchoDevice(), ram: guest.ram, interrupt: .unconnected)
            var reader = StateReader(bytes)
            try? copy.restore(from: &reader)
            if round < state.count { #expect(reader.remaining == 0 || copy.core.status != 15) }
            copy.write(offset: 0x50, size: 4, value: 0)
        }
    }

    @Test func `random register writes never trap`() {
        var random = Random(seed: Fuzz.seed(3))
        for _ in 0..<Fuzz.rounds(50_000) {
            let offset = UInt64.random(in: 0..<0x120, using: &random) & ~(Bool.random(using: &random) ? 3 : 0)
            let size = [1, 2, 4, 4, 4, 8].randomElement(using: &random)!
            let value = Bool.random(using: &random) ? random.next() : UInt64.random(in: 0..<16, using: &random)
            guest.write(offset, value, size: size)
            _ = guest.read(offset, size: size)
        }
        guest.start()
        #expect(guest.request([1], room: 1) == [1])
    }

    @Test func `a worker thread serves what the notifying thread leaves`() throws {
        _ = try DeviceWorker(core: guest.mmio.core)
        guest.start()
        for round in 0..<2000 {
            let back = guest.allocate(1)
            guest.add(0, [.init(address: guest.place([UInt8(truncatingIfNeeded: round)]), length: 1, writable: false),
                          .init(address: back, length: 1, writable: true)])
            guest.notify(0)
            while guest.takeUsed(0) == nil {}
            #expect(guest.bytes(back, 1) == [UInt8(truncatingIfNeeded: round)])
        }
        guest.mmio.core.pause()
        guest.mmio.core.resume()
    }
}
