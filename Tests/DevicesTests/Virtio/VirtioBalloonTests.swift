import Foundation
import GuestMemory
import SavedState
import Testing
@testable import Devices

@Suite struct VirtioBalloonTests {
    final class TestReclaimer: PageReclaimer {
        var log: [Range<UInt64>] = []
        func reclaim(_ ram: GuestRAM, offset: UInt64, length: UInt64) -> Bool {
            precondition(offset % 4096 == 0 && length % 4096 == 0 && length > 0)
            precondition(offset <= ram.sizeBytes && length <= ram.sizeBytes - offset)
            log.append(offset..<(offset + length))
            return true
        }
    }

    let reclaimer = TestReclaimer()
    let balloon: VirtioBalloon
    let guest: GuestDriver
    private let firstPage = UInt32(GuestDriver.ramStart / 4096)

    init() throws {
        balloon = VirtioBalloon(reclaimer: reclaimer)
        guest = try GuestDriver(balloon)
    }

    private func pages(_ numbers: [UInt32]) -> [UInt8] { numbers.flatMap { little($0) } }

    @Test func `reporting and deflate on oom are offered`() {
        #expect(guest.deviceFeatures & (1 << 5) != 0 && guest.deviceFeatures & (1 << 2) != 0)
    }

    @Test func `inflated neighbours are reclaimed in one piece whatever their order`() {
        guest.start()
        let numbers: [UInt32] = [firstPage + 9, firstPage + 7, firstPage + 8, firstPage + 20]
        #expect(guest.request(pages(numbers), room: 0) != nil)
        #expect(reclaimer.log == [0x7000..<0xa000, 0x14000..<0x15000])
    }

    @Test func `pages outside RAM are left alone`() {
        guest.start()
        #expect(guest.request(pages([0, firstPage - 1, firstPage + 4096, .max]), room: 0) != nil)
        #expect(reclaimer.log.isEmpty && !guest.needsReset)
    }

    @Test func `a malformed page list stops the device`() {
        guest.start()
        _ = guest.request([1, 2, 3], room: 0)
        #expect(guest.needsReset)
    }

    @Test func `reported pages are reclaimed inward to whole pages`() {
        guest.start()
        guest.add(4, [.init(address: GuestDriver.ramStart + 100, length: 12288, writable: true),
                      .init(address: GuestDriver.ramStart + 0x10_0000, length: 100, writable: true)])
        guest.notify(4)
        #expect(guest.usedIndex(4) == 1)
        #expect(reclaimer.log == [4096..<12288])
    }

    @Test func `the reporting queue may have moved up when hinting was declined`() {
        guest.start(without: 1 << 3)
        guest.add(3, [.init(address: GuestDriver.ramStart, length: 8192, writable: true)])
        guest.notify(3)
        #expect(reclaimer.log == [0..<8192])
    }

    @Test func `reclaimed pages of a memfd read zero and translated code is dropped`() throws {
        let guest = try GuestDriver(VirtioBalloon())
        guest.start()
        let page = GuestDriver.ramStart + 0x80_0000
        guest.ram.store(GuestPhysical(page), UInt64(42))
        nonisolated(unsafe) var dropped = 0
        guest.ram.codeWritten = { _, _ in dropped += 1 }
        guest.ram.codePages[0x800] = 1
        var before = stat(), after = stat()
        fstat(guest.ram.descriptor, &before)
        guest.add(4, [.init(address: page, length: 4096, writable: true)])
        guest.notify(4)
        fstat(guest.ram.descriptor, &after)
        #expect(guest.ram.load(GuestPhysical(page), as: UInt64.self) == 0 && dropped == 1)
        #expect(after.st_blocks < before.st_blocks, "the memory went back to the host")
    }

    @Test func `the target shows in configuration space and the guest's answer comes back`() {
        guest.start()
        balloon.setTarget(pages: 512)
        #expect(guest.acknowledge() == 2 && guest.config(0) == 512)
        guest.write(0x104, 300)
        #expect(balloon.actualPages == 300 && guest.config(4) == 300)
    }

    @Test func `statistics are asked for by returning the buffer`() {
        guest.start()
        let report: [UInt8] = [4, 0, 0xe8, 3, 0, 0, 0, 0, 0, 0, 99, 0, 1, 0, 0, 0, 0, 0, 0, 0]
        #expect(guest.request(report, room: 0, queue: 2) == nil, "the device keeps the first buffer")
        #expect(balloon.latestStatistics == [.freeBytes: 1000])
        balloon.requestStatistics()
        #expect(guest.takeUsed(2)?.length == 0)
    }

    @Test func `a saved balloon is restored with the buffer it keeps`() throws {
        guest.start()
        balloon.setTarget(pages: 7)
        _ = guest.request(little(UInt16(4)) + little(UInt64(1000)), room: 0, queue: 2)
        let state = saved(guest.mmio)
        let other = VirtioBalloon(reclaimer: reclaimer)
        let copy = VirtioMMIO(device: other, ram: guest.ram, interrupt: .unconnected)
        var reader = StateReader(state)
        try copy.restore(from: &reader)
        #expect(saved(copy) == state)
        other.requestStatistics()
        #expect(guest.takeUsed(2) != nil)
    }

    @Test func `random requests never reclaim outside RAM`() {
        var random = Random(seed: Fuzz.seed(6))
        for round in 0..<Fuzz.rounds(10_000) {
            if round % 200 == 0 || guest.needsReset { guest.start(without: random.next() & 0xa) }
            let queue = Int.random(in: 0..<5, using: &random)
            if Bool.random(using: &random) {
                let numbers = (0..<Int.random(in: 0..<32, using: &random)).map { _ in
                    Bool.random(using: &random) ? UInt32.random(in: 0...UInt32.max, using: &random)
                        : firstPage - 4 + UInt32.random(in: 0..<5000, using: &random)
                }
                _ = guest.request(pages(numbers), room: 0, queue: queue)
            } else {
                let address = GuestDriver.ramStart + UInt64.random(in: 0x80_0000..<0x100_1000, using: &random)
                guest.add(queue, [.init(address: address, length: UInt32.random(in: 0..<0x10_0000, using: &random), writable: true)])
                guest.notify(queue)
            }
        }
    }
}
