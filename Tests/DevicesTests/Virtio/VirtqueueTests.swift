import Bus
import GuestMemory
import SavedState
import Testing
@testable import Devices

/// A device that copies what it reads to what it may write.
final class EchoDevice: VirtioDevice {
    let deviceID = VirtioDeviceID.entropy
    let queueSizes: [UInt16] = [64, 64]
    let offeredFeatures: UInt64 = 1
    let configuration: [UInt8] = [1, 2, 3, 4, 5]
    var activations: [UInt64] = []
    var resets = 0
    var chains = 0
    func connect(_ link: any VirtioLink) {}
    func activate(features: UInt64) { activations.append(features) }
    func reset() { resets += 1 }
    func notify(queue: Virtqueue) throws(VirtioFault) {
        while let chain = try queue.next() {
            chains += 1
            let bytes = chain.bytes(at: 0, count: min(chain.readableBytes, 1 << 16))
            queue.complete(chain, written: chain.write(at: 0, bytes))
        }
    }
    func save(to writer: inout StateWriter) { writer.section("echo", version: 1) { $0.put(UInt32(chains)) } }
    func restore(from reader: inout StateReader) throws {
        try reader.section("echo", newest: 1) { r, _ in chains = Int(try r.get(UInt32.self)) }
    }
}

@Suite struct VirtqueueTests {
    let device = EchoDevice()
    let guest: GuestDriver

    init() throws { guest = try GuestDriver(device) }

    private typealias Buffer = GuestDriver.Buffer
    private static let start = GuestDriver.ramStart

    @Test(arguments: [false, true]) func `a request travels through direct and indirect descriptors`(indirect: Bool) {
        guest.start()
        let out = guest.place(Array(0..<100))
        let back = guest.allocate(100)
        guest.add(0, [Buffer(address: out, length: 30, writable: false), Buffer(address: out + 30, length: 70, writable: false),
                      Buffer(address: back, length: 1, writable: true), Buffer(address: back + 1, length: 99, writable: true)],
                  indirect: indirect)
        guest.notify(0)
        let used = guest.takeUsed(0)
        #expect(used?.length == 100)
        #expect(guest.bytes(back, 100) == Array(0..<100))
        #expect(guest.line.isHigh && guest.acknowledge() == 1 && !guest.line.isHigh)
    }

    @Test func `the ring indices wrap`() {
        guest.start(queueSize: 4)
        for round in 0..<70_000 {
            guard let answer = guest.request([UInt8(truncatingIfNeeded: round)], room: 1),
                  answer == [UInt8(truncatingIfNeeded: round)] else {
                Issue.record("request \(round) went wrong: \(guest.mmio.core.fault as Any)")
                return
            }
        }
    }

    @Test func `without event index the driver suppresses interrupts by flag`() {
        guest.start(without: VirtioFeature.eventIndex)
        guest.ram.store(GuestPhysical(guest.queues[0].available), UInt16(1))
        _ = guest.request([1], room: 1)
        #expect(!guest.line.isHigh)
        guest.ram.store(GuestPhysical(guest.queues[0].available), UInt16(0))
        _ = guest.request([1], room: 1)
        #expect(guest.line.isHigh)
    }

    @Test func `with event index the interrupt comes when the used index passes the event`() {
        guest.start()
        let queue = guest.queues[0]
        func setEvent(_ value: UInt16) { guest.ram.store(GuestPhysical(queue.available + 4 + 2 * UInt64(queue.size)), value) }
        setEvent(0)
        _ = guest.request([1], room: 1)
        #expect(guest.acknowledge() == 1)
        setEvent(3)
        _ = guest.request([1], room: 1)
        _ = guest.request([1], room: 1)
        #expect(guest.acknowledge() == 0)
        _ = guest.request([1], room: 1)
        #expect(guest.acknowledge() == 1)
    }

    @Test func `with event index the device asks to be told of the next buffer`() {
        guest.start()
        let queue = guest.queues[0]
        _ = guest.request([1], room: 1)
        #expect(guest.ram.load(GuestPhysical(queue.used + 4 + 8 * UInt64(queue.size)), as: UInt16.self) == 1)
    }

    @Test func `one notification serves every chain even past a round`() {
        guest.start(queueSize: 8)
        let back = guest.allocate(8)
        for index in 0..<8 { guest.add(0, [Buffer(address: back + UInt64(index), length: 1, writable: true)]) }
        guest.notify(0)
        #expect(guest.usedIndex(0) == 8)
    }

    private func expectFault(_ fault: VirtioFault, sourceLocation: SourceLocation = #_sourceLocation) {
        guest.notify(0)
        #expect(guest.needsReset && guest.mmio.core.fault == fault, sourceLocation: sourceLocation)
        #expect(guest.read(0x60) & 2 == 2, "configuration change interrupt", sourceLocation: sourceLocation)
        let used = guest.usedIndex(0)
        guest.notify(0)
        #expect(guest.usedIndex(0) == used, "a device that needs reset stands still", sourceLocation: sourceLocation)
        guest.start()
        #expect(!guest.needsReset && guest.request([7], room: 1) == [7], "reset cures", sourceLocation: sourceLocation)
    }

    @Test func `a chain that loops stops the device`() {
        guest.start()
        let buffer = Buffer(address: Self.start, length: 16, writable: false)
        guest.writeDescriptor(table: guest.queues[0].descriptors, 0, buffer, flags: 1, next: 1)
        guest.writeDescriptor(table: guest.queues[0].descriptors, 1, buffer, flags: 1, next: 0)
        guest.offer(guest.queues[0], 0)
        expectFault(.descriptorLoop(queue: 0))
    }

    @Test func `an indirect table that loops stops the device`() {
        guest.start()
        let table = guest.allocate(32)
        let buffer = Buffer(address: Self.start, length: 16, writable: false)
        guest.writeDescriptor(table: table, 0, buffer, flags: 1, next: 1)
        guest.writeDescriptor(table: table, 1, buffer, flags: 1, next: 0)
        guest.writeDescriptor(table: guest.queues[0].descriptors, 0, Buffer(address: table, length: 32, writable: false),
                              flags: 4, next: 0)
        guest.offer(guest.queues[0], 0)
        expectFault(.descriptorLoop(queue: 0))
    }

    @Test func `a nested indirect table stops the device`() {
        guest.start()
        let table = guest.allocate(32)
        guest.writeDescriptor(table: table, 0, Buffer(address: table, length: 32, writable: false), flags: 4, next: 0)
        guest.writeDescriptor(table: guest.queues[0].descriptors, 0, Buffer(address: table, length: 32, writable: false),
                              flags: 4, next: 0)
        guest.offer(guest.queues[0], 0)
        expectFault(.badIndirectTable(queue: 0))
    }

    @Test(arguments: [0, 8, 17, 0x20_0000] as [UInt32])
    func `an indirect table of an impossible length stops the device`(length: UInt32) {
        guest.start()
        guest.writeDescriptor(table: guest.queues[0].descriptors, 0,
                              Buffer(address: Self.start, length: length, writable: false), flags: 4, next: 0)
        guest.offer(guest.queues[0], 0)
        expectFault(.badIndirectTable(queue: 0))
    }

    @Test func `an indirect descriptor that was not negotiated stops the device`() {
        guest.start(without: VirtioFeature.indirectDescriptors)
        guest.add(0, [Buffer(address: Self.start, length: 1, writable: false)], indirect: true)
        expectFault(.badIndirectTable(queue: 0))
    }

    @Test(arguments: [(0, 16), (start - 1, 16), (start + 16 << 20, 1), (start, UInt32.max), (UInt64.max, 2)] as [(UInt64, UInt32)])
    func `a buffer outside guest RAM stops the device`(address: UInt64, length: UInt32) {
        guest.start()
        guest.add(0, [Buffer(address: address, length: length, writable: true)])
        expectFault(.descriptorOutsideMemory(queue: 0))
    }

    @Test func `a readable buffer after a writable one stops the device`() {
        guest.start()
        guest.add(0, [Buffer(address: Self.start, length: 1, writable: true),
                      Buffer(address: Self.start, length: 1, writable: false)])
        expectFault(.readableAfterWritable(queue: 0))
    }

    @Test func `an available index that ran ahead stops the device`() {
        guest.start()
        guest.ram.store(GuestPhysical(guest.queues[0].available + 2), UInt16(17))
        expectFault(.availableIndexRanAhead(queue: 0))
    }

    @Test func `a head or next index past the table stops the device`() {
        guest.start()
        guest.offer(guest.queues[0], 16)
        expectFault(.descriptorIndexOutOfRange(queue: 0))
        guest.writeDescriptor(table: guest.queues[0].descriptors, 2,
                              Buffer(address: Self.start, length: 1, writable: false), flags: 1, next: 999)
        guest.offer(guest.queues[0], 2)
        expectFault(.descriptorIndexOutOfRange(queue: 0))
    }

    @Test func `overlapping buffers past four gibibytes in sum stop the device`() throws {
        let large = try GuestDriver(EchoDevice(), ramBytes: 1 << 30)
        large.start()
        large.add(0, (0..<5).map { _ in Buffer(address: Self.start, length: 1 << 30, writable: false) })
        large.notify(0)
        #expect(large.mmio.core.fault == .chainTooLong(queue: 0))
    }

    @Test func `zero length buffers count for nothing`() {
        guest.start()
        let back = guest.allocate(1)
        guest.add(0, [Buffer(address: guest.place([9]), length: 1, writable: false),
                      Buffer(address: 0, length: 0, writable: false), Buffer(address: back, length: 1, writable: true)])
        guest.notify(0)
        #expect(guest.takeUsed(0)?.length == 1 && guest.bytes(back, 1) == [9])
    }

    @Test func `writes to guest RAM drop translated code`() {
        guest.start()
        let back = guest.allocate(8)
        let page = Int((back - Self.start) / GuestRAM.pageSize)
        nonisolated(unsafe) var dropped: [UInt64] = []
        guest.ram.codeWritten = { offset, _ in dropped.append(offset) }
        guest.ram.codePages[page] = 1
        guest.add(0, [Buffer(address: guest.place([9]), length: 1, writable: false),
                      Buffer(address: back, length: 1, writable: true)])
        guest.notify(0)
        #expect(dropped.contains(back - Self.start))
    }

    @Test func `random rings never trap or hang`() throws {
        var random = Random(seed: Fuzz.seed(1))
        guest.start()
        for round in 0..<Fuzz.rounds(20_000) {
            if guest.needsReset || round % 64 == 0 { guest.start(queueSize: [1, 2, 16, 64].randomElement(using: &random)!) }
            let queue = guest.queues[Int.random(in: 0..<2, using: &random)]
            for _ in 0..<4 {
                let at = queue.descriptors + 16 * UInt64(UInt16.random(in: 0..<queue.size, using: &random))
                let near = Self.start + UInt64.random(in: 0..<(17 << 20), using: &random)
                guest.ram.store(GuestPhysical(at), UInt8.random(in: 0..<16, using: &random) == 0 ? random.next() : near)
                let length = UInt32.random(in: 0..<4, using: &random) == 0 ? UInt32.random(in: 0...UInt32.max, using: &random)
                    : UInt32.random(in: 0..<4096, using: &random)
                guest.ram.store(GuestPhysical(at + 8), length)
                guest.ram.store(GuestPhysical(at + 12), UInt16.random(in: 0..<8, using: &random))
                guest.ram.store(GuestPhysical(at + 14), UInt16.random(in: 0...queue.size, using: &random))
            }
            guest.offer(queue, UInt16.random(in: 0...queue.size, using: &random))
            if UInt8.random(in: 0..<32, using: &random) == 0 { queue.availableIndex = UInt16.random(in: 0...UInt16.max, using: &random) }
            guest.notify(queue.index)
        }
        guest.start()
        #expect(guest.request([1, 2], room: 2) == [1, 2])
    }
}
