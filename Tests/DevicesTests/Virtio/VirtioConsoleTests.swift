import GuestMemory
import SavedState
import Testing
@testable import Devices

final class TestSink: ConsoleSink {
    var bytes: [UInt8] = []
    func write(_ source: UnsafeRawBufferPointer) { bytes += source }
}

@Suite struct VirtioConsoleTests {
    let sink = TestSink()
    let console: VirtioConsole
    let guest: GuestDriver

    init() throws {
        console = VirtioConsole(sink: sink)
        guest = try GuestDriver(console)
    }

    private func offerReceiveBuffer(_ count: Int) -> UInt64 {
        let address = guest.allocate(count)
        guest.add(0, [.init(address: address, length: UInt32(count), writable: true)])
        guest.notify(0)
        return address
    }

    @Test func `the guest's output reaches the sink in order`() {
        guest.start()
        _ = guest.request(Array("hello ".utf8), room: 0, queue: 1)
        _ = guest.request(Array("world".utf8), room: 0, queue: 1, indirect: true)
        #expect(String(decoding: sink.bytes, as: UTF8.self) == "hello world")
        #expect(guest.usedIndex(1) == 2)
    }

    @Test func `input waits for a buffer and fills it`() {
        guest.start(without: VirtioFeature.eventIndex)
        #expect(console.receive(Array("abc".utf8)) == 3)
        #expect(guest.usedIndex(0) == 0)
        let first = offerReceiveBuffer(2)
        #expect(guest.takeUsed(0)?.length == 2)
        #expect(guest.bytes(first, 2) == Array("ab".utf8))
        let second = offerReceiveBuffer(16)
        #expect(guest.takeUsed(0)?.length == 1)
        #expect(guest.bytes(second, 1) == Array("c".utf8))
        let third = offerReceiveBuffer(16)
        guest.acknowledge()
        console.receive(Array("de".utf8))
        #expect(guest.bytes(third, 2) == Array("de".utf8) && guest.line.isHigh)
    }

    @Test func `input that does not fit is left to the caller`() {
        #expect(console.receive([UInt8](repeating: 1, count: 100_000)) == 1 << 16)
        #expect(console.receive([1]) == 0)
    }

    @Test func `a resize shows in configuration space and interrupts`() {
        guest.start()
        let generation = guest.read(0xfc)
        console.resize(columns: 132, rows: 43)
        #expect(guest.config(0, size: 2) == 132 && guest.config(2, size: 2) == 43)
        #expect(guest.read(0xfc) != generation && guest.acknowledge() == 2)
        console.resize(columns: 132, rows: 43)
        #expect(guest.acknowledge() == 0)
    }

    @Test func `an emergency write needs no queue`() {
        guest.write(0x108, UInt64(UInt8(ascii: "!")))
        #expect(sink.bytes == [UInt8(ascii: "!")])
    }

    @Test func `pending input survives saving`() throws {
        guest.start()
        console.receive(Array("abc".utf8))
        console.resize(columns: 10, rows: 20)
        let state = saved(guest.mmio)
        let other = VirtioConsole(sink: TestSink())
        let copy = VirtioMMIO(device: other, ram: guest.ram, interrupt: .unconnected)
        var reader = StateReader(state)
        try copy.restore(from: &reader)
        #expect(saved(copy) == state)
        let address = guest.allocate(8)
        guest.add(0, [.init(address: address, length: 8, writable: true)])
        copy.write(offset: 0x50, size: 4, value: 0)
        #expect(guest.bytes(address, 3) == Array("abc".utf8))
    }

    @Test func `random traffic never traps`() {
        var random = Random(seed: Fuzz.seed(5))
        for round in 0..<Fuzz.rounds(10_000) {
            if round % 300 == 0 || guest.needsReset { guest.start() }
            let count = Int.random(in: 0..<64, using: &random)
            switch UInt8.random(in: 0..<4, using: &random) {
            case 0: console.receive([UInt8](repeating: 1, count: count))
            case 1: _ = guest.request([UInt8](repeating: 2, count: count), room: Int.random(in: 0..<4, using: &random), queue: 1)
            default: _ = guest.request(Bool.random(using: &random) ? [1] : [], room: count, queue: 0)
            }
        }
        #expect(sink.bytes.allSatisfy { $0 == 2 })
    }
}

@Suite struct VirtioEntropyTests {
    final class Counter: EntropySource {
        var next: UInt8 = 0
        func fill(_ buffer: UnsafeMutableRawBufferPointer) {
            for index in buffer.indices {
                buffer[index] = next
                next &+= 1
            }
        }
    }

    @Test func `each request is filled from the source`() throws {
        let guest = try GuestDriver(VirtioEntropy(source: Counter()))
        guest.start()
        #expect(guest.request([], room: 5) == [0, 1, 2, 3, 4])
        #expect(guest.request([1], room: 2) == [5, 6])
    }

    @Test func `a huge request gets a short answer`() throws {
        let guest = try GuestDriver(VirtioEntropy(source: Counter()))
        guest.start()
        guest.add(0, [.init(address: GuestDriver.ramStart + 0x40_0000, length: 4 << 20, writable: true)])
        guest.notify(0)
        #expect(guest.takeUsed(0)?.length == 1 << 16)
    }

    @Test func `the host's generator gives different bytes each time`() {
        var first = [UInt8](repeating: 0, count: 64), second = first
        first.withUnsafeMutableBytes { HostEntropy().fill($0) }
        second.withUnsafeMutableBytes { HostEntropy().fill($0) }
        #expect(first != second)
    }

    @Test func `a saved device is restored`() throws {
        let guest = try GuestDriver(VirtioEntropy(source: Counter()))
        guest.start()
        let state = saved(guest.mmio)
        let copy = VirtioMMIO(device: VirtioEntropy(source: Counter()), ram: guest.ram, interrupt: .unconnected)
        var reader = StateReader(state)
        try copy.restore(from: &reader)
        #expect(saved(copy) == state)
    }
}
