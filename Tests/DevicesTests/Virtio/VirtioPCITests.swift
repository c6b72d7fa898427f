import Bus
import GuestMemory
import SavedState
import Testing
@testable import Devices

/// A virtio function in a slot, driven through its capabilities.
final class PCIGuest {
    let function: VirtioPCI
    let ram: GuestRAM
    let line = TestLine()
    var messages: [PCIMessage] { sent.list }
    private let sent = Sent()

    /// Filled on the test's own thread only.
    private final class Sent: @unchecked Sendable { var list: [PCIMessage] = [] }

    init(_ device: any VirtioDevice, messages: Bool, ram: GuestRAM? = nil) throws {
        self.ram = try ram ?? GuestRAM(start: GuestPhysical(GuestDriver.ramStart), sizeBytes: 16 << 20)
        function = VirtioPCI(device: device, ram: self.ram)
        let sent = sent
        let send: @Sendable (PCIMessage) -> Void = { sent.list.append($0) }
        function.attach(to: PCISlot(intx: line.line, message: messages ? send : nil))
        // Memory space and bus master.
        function.writeConfig(offset: 4, size: 2, value: 6)
    }

    func byte(_ offset: Int) -> Int { Int(function.readConfig(offset: offset, size: 1)) }
    func word(_ offset: Int) -> UInt32 { function.readConfig(offset: offset, size: 4) }

    /// The offsets of the capabilities with an ID, in list order.
    func capabilities(_ id: Int) -> [Int] {
        var found: [Int] = []
        var at = byte(0x34)
        for _ in 0..<48 where at != 0 {
            if byte(at) == id { found.append(at) }
            at = byte(at + 1)
        }
        return found
    }

    /// The place of a virtio structure: BAR and offset.
    func structure(_ type: Int) -> (bar: Int, offset: UInt64)? {
        for at in capabilities(9) where byte(at + 3) == type { return (byte(at + 4), UInt64(word(at + 8))) }
        return nil
    }

    func read(_ type: Int, _ offset: UInt64, _ size: Int) -> UInt64 {
        guard let place = structure(type) else { return .max }
        return function.readBAR(place.bar, offset: place.offset + offset, size: size)
    }

    func write(_ type: Int, _ offset: UInt64, _ size: Int, _ value: UInt64) {
        guard let place = structure(type) else { return }
        function.writeBAR(place.bar, offset: place.offset + offset, size: size, value: value)
    }

    /// virtio-mmio offsets and the common configuration fields that stand for them.
    private static let fields: [UInt64: (offset: UInt64, size: Int)] = [
        0x10: (4, 4), 0x14: (0, 4), 0x20: (0xc, 4), 0x24: (8, 4), 0x30: (0x16, 2), 0x34: (0x18, 2), 0x38: (0x18, 2),
        0x44: (0x1c, 2), 0x70: (0x14, 1), 0x80: (0x20, 4), 0x84: (0x24, 4), 0x90: (0x28, 4), 0x94: (0x2c, 4),
        0xa0: (0x30, 4), 0xa4: (0x34, 4), 0xfc: (0x15, 1), 0xc0: (0x3a, 2),
    ]

    func driver() -> GuestDriver {
        GuestDriver(ram: ram, read: { [self] offset, size in
            if offset >= 0x100 { return read(4, offset - 0x100, size) }
            if offset == 0x60 { return read(3, 0, 1) }
            return Self.fields[offset].map { read(1, $0.offset, $0.size) } ?? 0
        }, write: { [self] offset, size, value in
            if offset >= 0x100 { return write(4, offset - 0x100, size, value) }
            if offset == 0x50 { return write(2, 4 * value, 2, value) }
            if let field = Self.fields[offset] { write(1, field.offset, field.size, value) }
        })
    }

    func setVector(_ vector: Int, address: UInt64, data: UInt32, masked: Bool) {
        let at = UInt64(16 * vector)
        function.writeBAR(1, offset: at, size: 4, value: address & 0xffff_ffff)
        function.writeBAR(1, offset: at + 4, size: 4, value: address >> 32)
        function.writeBAR(1, offset: at + 8, size: 4, value: UInt64(data))
        function.writeBAR(1, offset: at + 12, size: 4, value: masked ? 1 : 0)
    }

    func enableMSIX(_ enabled: Bool = true) {
        function.writeConfig(offset: capabilities(0x11)[0] + 2, size: 2, value: enabled ? 0x8000 : 0)
    }
}

@Suite struct VirtioPCITests {
    private let device = EchoDevice()
    private let guest: PCIGuest

    init() throws { guest = try PCIGuest(device, messages: false) }

    @Test func `the identity is that of a modern device`() {
        #expect(guest.word(0) == 0x1044_1af4)
        #expect(guest.byte(8) == 1 && guest.byte(0x3d) == 1)
        #expect(guest.capabilities(9).map { guest.byte($0 + 3) } == [1, 2, 3, 4, 5])
        #expect(guest.capabilities(0x11).isEmpty, "no controller, no MSI-X")
    }

    @Test func `a driver gets requests through with INTx`() {
        let driver = guest.driver()
        #expect(driver.start())
        #expect(driver.queues.count == 2 && guest.read(1, 0x12, 2) == 2)
        #expect(driver.request([1, 2, 3], room: 3) == [1, 2, 3])
        #expect(guest.line.isHigh && guest.word(4) & (1 << 19) != 0)
        guest.function.writeConfig(offset: 4, size: 2, value: 0x406)
        #expect(!guest.line.isHigh && guest.word(4) & (1 << 19) != 0, "disabled, but still pending")
        guest.function.writeConfig(offset: 4, size: 2, value: 6)
        #expect(guest.line.isHigh)
        #expect(driver.read(0x60) == 1 && !guest.line.isHigh && driver.read(0x60) == 0, "reading acknowledges")
        #expect(driver.config(0, size: 8) == 0x05_0403_0201)
    }

    @Test func `without bus mastering nothing happens until it is on`() {
        let driver = guest.driver()
        driver.start()
        guest.function.writeConfig(offset: 4, size: 2, value: 2)
        #expect(driver.request([1], room: 1) == nil)
        guest.function.writeConfig(offset: 4, size: 2, value: 6)
        #expect(driver.takeUsed(0)?.length == 1)
    }

    @Test func `vectors carry queue and configuration interrupts`() throws {
        let guest = try PCIGuest(device, messages: true)
        let driver = guest.driver()
        for vector in 0..<3 { guest.setVector(vector, address: 0xfee0_0000, data: UInt32(vector), masked: false) }
        guest.enableMSIX()
        driver.start(without: VirtioFeature.eventIndex, skipQueues: [0, 1])
        guest.write(1, 0x10, 2, 2)
        for (index, queue) in driver.queues.enumerated() {
            driver.write(0x30, UInt64(index))
            guest.write(1, 0x1a, 2, UInt64(index))
            #expect(guest.read(1, 0x1a, 2) == UInt64(index))
            driver.enable(queue)
        }
        guest.write(1, 0x1a, 2, 3)
        #expect(guest.read(1, 0x1a, 2) == 0xffff, "a vector that does not exist reads back as none")
        guest.write(1, 0x1a, 2, 1)
        _ = driver.request([1], room: 1, queue: 1)
        _ = driver.request([1], room: 1, queue: 0)
        guest.function.core.configurationChanged()
        #expect(guest.messages.map(\.data) == [1, 0, 2] && !guest.line.isHigh && driver.read(0x60) == 0)
    }

    @Test func `a masked vector is sent when unmasked`() throws {
        let guest = try PCIGuest(device, messages: true)
        let driver = guest.driver()
        guest.setVector(0, address: 0x1_0000_0000, data: 9, masked: true)
        guest.enableMSIX()
        driver.start(skipQueues: [0])
        driver.write(0x30, 0)
        guest.write(1, 0x1a, 2, 0)
        driver.enable(driver.queues[0])
        _ = driver.request([1], room: 1)
        #expect(guest.messages.isEmpty && guest.function.readBAR(1, offset: 0x800, size: 4) == 1)
        guest.setVector(0, address: 0x1_0000_0000, data: 9, masked: false)
        #expect(guest.messages == [PCIMessage(address: 0x1_0000_0000, data: 9)])
    }

    @Test func `configuration space opens a window to the BARs`() {
        let window = guest.capabilities(9)[4]
        func point(_ offset: UInt32, _ length: UInt32) {
            guest.function.writeConfig(offset: window + 4, size: 1, value: 4)
            guest.function.writeConfig(offset: window + 8, size: 4, value: offset)
            guest.function.writeConfig(offset: window + 12, size: 4, value: length)
        }
        point(0x12, 2)
        #expect(guest.word(window + 16) == 2, "the number of queues")
        point(0x14, 1)
        guest.function.writeConfig(offset: window + 16, size: 1, value: 3)
        #expect(guest.read(1, 0x14, 1) == 3)
        for (offset, length) in [(0x4000, 4), (0x13, 2), (0, 3), (0, 8), (.max, 4)] as [(UInt32, UInt32)] {
            point(offset, length)
            #expect(guest.word(window + 16) == 0)
            guest.function.writeConfig(offset: window + 16, size: 4, value: 0xffff_ffff)
        }
    }

    @Test func `reset returns the function to power on`() {
        let driver = guest.driver()
        driver.start()
        _ = driver.request([1], room: 1)
        guest.function.reset()
        #expect(guest.word(4) & 0xffff == 0 && !guest.line.isHigh && guest.read(1, 0x14, 1) == 0)
        guest.function.writeConfig(offset: 4, size: 2, value: 6)
        #expect(driver.start() && driver.request([4], room: 1) == [4])
    }

    @Test(arguments: [false, true]) func `a saved function carries on`(messages: Bool) throws {
        let guest = try PCIGuest(device, messages: messages)
        let driver = guest.driver()
        if messages {
            guest.setVector(0, address: 0x1000, data: 5, masked: false)
            guest.enableMSIX()
        }
        driver.start(without: VirtioFeature.eventIndex, skipQueues: [0])
        driver.write(0x30, 0)
        guest.write(1, 0x1a, 2, 0)
        driver.enable(driver.queues[0])
        _ = driver.request([1], room: 1)
        let state = saved(guest.function)
        let copy = try PCIGuest(EchoDevice(), messages: messages, ram: guest.ram)
        var reader = StateReader(state)
        try copy.function.restore(from: &reader)
        #expect(saved(copy.function) == state)
        #expect(copy.line.isHigh == !messages)
        let back = driver.allocate(1)
        driver.add(0, [.init(address: driver.place([7]), length: 1, writable: false), .init(address: back, length: 1, writable: true)])
        copy.write(2, 0, 2, 0)
        #expect(driver.bytes(back, 1) == [7])
        #expect(copy.messages == (messages ? [PCIMessage(address: 0x1000, data: 5)] : []))
    }

    @Test func `random accesses never trap`() throws {
        let guest = try PCIGuest(device, messages: true)
        var random = Random(seed: Fuzz.seed(10))
        for _ in 0..<Fuzz.rounds(30_000) {
            let size = [1, 2, 4].randomElement(using: &random)!
            let value = Bool.random(using: &random) ? random.next() : UInt64.random(in: 0..<16, using: &random)
            switch UInt8.random(in: 0..<4, using: &random) {
            case 0:
                let offset = Int.random(in: 0..<256, using: &random) / size * size
                guest.function.writeConfig(offset: offset, size: size, value: UInt32(truncatingIfNeeded: value))
                _ = guest.function.readConfig(offset: offset, size: size)
            case 1:
                let offset = UInt64.random(in: 0..<0x1000, using: &random) / UInt64(size) * UInt64(size)
                guest.function.writeBAR(1, offset: offset, size: size, value: value)
                _ = guest.function.readBAR(1, offset: offset, size: size)
            default:
                let place = [0, 0, 0, 0x1000, 0x2000, 0x3000].randomElement(using: &random)! as UInt64
                let offset = place + UInt64.random(in: 0..<0x44, using: &random) / UInt64(size) * UInt64(size)
                guest.function.writeBAR(4, offset: offset, size: size, value: value)
                _ = guest.function.readBAR(4, offset: offset, size: size)
            }
        }
        guest.function.writeConfig(offset: 4, size: 2, value: 6)
        let driver = guest.driver()
        #expect(driver.start() && driver.request([4], room: 1) == [4])
    }

    @Test func `a damaged state is refused without a trap`() throws {
        let state = saved(guest.function)
        for length in 0..<state.count {
            let copy = try PCIGuest(EchoDevice(), messages: false, ram: guest.ram)
            var reader = StateReader(Array(state.prefix(length)))
            #expect(throws: (any Error).self) { try copy.function.restore(from: &reader) }
        }
    }
}
