import Foundation
import GuestMemory
import SavedState
import Testing
@testable import Devices

/// A disk in memory that remembers what it was asked, and may answer late or fail.
final class TestDisk: DiskBackend, @unchecked Sendable {
    var bytes: [UInt8]
    var isReadOnly = false
    let physicalBlockBytes = 4096
    var log: [String] = []
    var failing = false
    var holding = false
    var held: [() -> Void] = []
    init(sectors: Int) { bytes = (0..<(sectors * 512)).map { UInt8(truncatingIfNeeded: $0 / 512 &+ $0) } }
    var sizeBytes: UInt64 { UInt64(bytes.count) }

    func submit(_ operation: DiskOperation, completion: @escaping @Sendable (DiskResult) -> Void) {
        if holding {
            held.append { [self] in completion(perform(operation)) }
        } else {
            completion(perform(operation))
        }
    }

    private func perform(_ operation: DiskOperation) -> DiskResult {
        if failing { return .failed }
        switch operation {
        case .read(var offset, let buffers):
            log.append("read \(offset)")
            for buffer in buffers {
                buffer.bytes.copyBytes(from: bytes[Int(offset)..<(Int(offset) + buffer.bytes.count)])
                offset += UInt64(buffer.bytes.count)
            }
        case .write(var offset, let buffers, let durable):
            log.append(durable ? "write-through \(offset)" : "write \(offset)")
            for buffer in buffers {
                bytes.replaceSubrange(Int(offset)..<(Int(offset) + buffer.bytes.count), with: buffer.bytes)
                offset += UInt64(buffer.bytes.count)
            }
        case .flush: log.append("flush")
        case .discard(let offset, let length): log.append("discard \(offset) \(length)")
        case .writeZeroes(let offset, let length, let unmap):
            log.append("zero \(offset) \(length)\(unmap ? " unmap" : "")")
            for index in Int(offset)..<Int(offset + length) { bytes[index] = 0 }
        }
        return .done
    }
}

private func header(_ type: UInt32, _ sector: UInt64 = 0) -> [UInt8] { little(type) + little(UInt32(0)) + little(sector) }
private func range(_ sector: UInt64, _ count: UInt32, _ flags: UInt32 = 0) -> [UInt8] {
    little(sector) + little(count) + little(flags)
}

@Suite struct VirtioBlockTests {
    let disk = TestDisk(sectors: 128)
    let guest: GuestDriver

    init() throws { guest = try GuestDriver(VirtioBlock(backend: disk, serial: "serial-7")) }

    @Test func `configuration space tells the disk's shape`() {
        #expect(guest.config(0, size: 8) == 128)
        #expect(guest.config(12) == 254)
        #expect(guest.config(20) == 512)
        #expect(guest.config(24, size: 1) == 3, "a physical block is 2^3 sectors")
        #expect(guest.config(32, size: 1) == 1)
    }

    @Test func `reads return the disk's bytes and the status follows them`() {
        guest.start()
        let answer = guest.request(header(0, 3), room: 1025)
        #expect(answer?.count == 1025)
        #expect(answer.map { Array($0.prefix(1024)) } == Array(disk.bytes[(3 * 512)..<(5 * 512)]))
        #expect(answer?.last == 0)
    }

    @Test func `writes change the disk`() {
        guest.start()
        #expect(guest.request(header(1, 2) + [UInt8](repeating: 0xab, count: 512), room: 1) == [0])
        #expect(disk.bytes[(2 * 512)..<(3 * 512)].allSatisfy { $0 == 0xab })
        #expect(disk.log == ["write 1024"], "the cache is volatile until FLUSH")
    }

    @Test func `framing carries no meaning`() {
        guest.start(queueSize: 64)
        let out = guest.place(header(1, 1) + [UInt8](repeating: 5, count: 512))
        let back = guest.allocate(1)
        let cuts: [UInt64] = [0, 3, 7, 16, 17, 400, 528]
        let pieces = zip(cuts, cuts.dropFirst()).map {
            GuestDriver.Buffer(address: out + $0, length: UInt32($1 - $0), writable: false)
        }
        guest.add(0, pieces + [.init(address: back, length: 1, writable: true)])
        guest.notify(0)
        #expect(guest.bytes(back, 1) == [0])
        #expect(disk.bytes[512..<1024].allSatisfy { $0 == 5 })
    }

    @Test func `flush reaches the backend and write through makes each write durable`() {
        guest.start()
        #expect(guest.request(header(4), room: 1) == [0])
        guest.write(0x120, 0, size: 1)
        #expect(guest.config(32, size: 1) == 0)
        _ = guest.request(header(1, 0) + [UInt8](repeating: 0, count: 512), room: 1)
        #expect(disk.log == ["flush", "write-through 0"])
    }

    @Test func `a driver without flush gets write through`() {
        guest.start(without: 1 << 9)
        _ = guest.request(header(1, 0) + [UInt8](repeating: 0, count: 512), room: 1)
        #expect(disk.log == ["write-through 0"])
    }

    @Test func `get id returns twenty bytes`() {
        guest.start()
        #expect(guest.request(header(8), room: 21) == Array("serial-7".utf8) + [UInt8](repeating: 0, count: 12) + [0])
    }

    @Test func `discard and write zeroes work on ranges`() {
        guest.start()
        #expect(guest.request(header(11) + range(8, 16) + range(32, 8), room: 1) == [0])
        #expect(guest.request(header(13) + range(1, 2, 1), room: 1) == [0])
        #expect(disk.log == ["discard 4096 8192", "discard 16384 4096", "zero 512 1024 unmap"])
        #expect(disk.bytes[512..<1536].allSatisfy { $0 == 0 })
        #expect(guest.request(header(11) + range(0, 1, 1), room: 1) == [2], "unmap means nothing to discard")
        #expect(guest.request(header(13) + range(0, 1, 2), room: 1) == [2], "reserved flag")
        #expect(guest.request(header(13) + range(127, 2), room: 1) == [1])
        #expect(guest.request(header(13) + range(.max, 2), room: 1) == [1])
        #expect(guest.request(header(13) + [1, 2, 3], room: 1) == [2])
    }

    @Test(arguments: [(0, 127, 1024), (0, 128, 512), (0, .max, 512), (0, 0, 100)] as [(UInt32, UInt64, Int)])
    func `transfers outside the disk or of part sectors fail`(type: UInt32, sector: UInt64, bytes: Int) {
        guest.start()
        let answer = guest.request(header(type, sector), room: bytes + 1)
        #expect(answer?.count == 1)
        #expect(!guest.needsReset && disk.log.isEmpty)
    }

    @Test func `backend failures are I O errors and unknown requests are unsupported`() {
        guest.start()
        disk.failing = true
        #expect(guest.request(header(1, 0) + [UInt8](repeating: 0, count: 512), room: 1) == [1])
        #expect(guest.request(header(99), room: 1) == [2])
    }

    @Test func `a request without header or status stops the device`() {
        guest.start()
        _ = guest.request([1, 2, 3], room: 1)
        #expect(guest.needsReset)
        guest.start()
        _ = guest.request(header(0), room: 0)
        #expect(guest.needsReset)
    }

    @Test func `a read only disk says so and refuses writes`() throws {
        let disk = TestDisk(sectors: 8)
        disk.isReadOnly = true
        let guest = try GuestDriver(VirtioBlock(backend: disk, serial: ""))
        #expect(guest.deviceFeatures & (1 << 5) != 0 && guest.deviceFeatures & (1 << 13) == 0)
        guest.start()
        #expect(guest.request(header(1, 0) + [UInt8](repeating: 0, count: 512), room: 1) == [1])
        #expect(guest.request(header(13) + range(0, 1), room: 1) == [1])
        #expect(disk.log.isEmpty)
    }

    @Test func `completions may come late and on another thread`() {
        guest.start()
        disk.holding = true
        #expect(guest.request(header(0, 0), room: 513) == nil)
        #expect(!guest.line.isHigh)
        let held = disk.held
        let thread = Thread { for finish in held { finish() } }
        thread.start()
        while guest.usedIndex(0) == 0 {}
        #expect(guest.takeUsed(0)?.length == 513)
    }

    @Test func `saving waits for outstanding requests`() {
        guest.start()
        disk.holding = true
        #expect(guest.request(header(1, 0) + [UInt8](repeating: 0, count: 512), room: 1) == nil)
        let held = disk.held
        let thread = Thread {
            usleep(20_000)
            for finish in held { finish() }
        }
        thread.start()
        let state = saved(guest.mmio)
        #expect(guest.usedIndex(0) == 1 && guest.line.isHigh)
        #expect(!state.isEmpty)
    }

    @Test func `a saved disk is restored only onto one of its size`() throws {
        guest.start()
        guest.write(0x120, 0, size: 1)
        let state = saved(guest.mmio)
        let copy = VirtioMMIO(device: VirtioBlock(backend: disk, serial: ""), ram: guest.ram, interrupt: .unconnected)
        var reader = StateReader(state)
        try copy.restore(from: &reader)
        #expect(saved(copy) == state)
        let smaller = VirtioBlock(backend: TestDisk(sectors: 8), serial: "")
        let other = VirtioMMIO(device: smaller, ram: guest.ram, interrupt: .unconnected)
        var again = StateReader(state)
        #expect(throws: StateError.self) { try other.restore(from: &again) }
    }

    @Test func `random requests never trap and never leave the disk`() {
        var random = Random(seed: Fuzz.seed(4))
        for round in 0..<Fuzz.rounds(20_000) {
            if round % 500 == 0 || guest.needsReset { guest.start(queueSize: 64) }
            let type = [0, 1, 4, 8, 11, 13, random.next() % 64].randomElement(using: &random)!
            let sector = Bool.random(using: &random) ? random.next() % 140 : random.next()
            var out = header(UInt32(type), sector)
            let extra = [0, 16, 32, 512, 1024, 100].randomElement(using: &random)!
            out += (0..<extra).map { _ in UInt8.random(in: 0..<4, using: &random) }
            if UInt8.random(in: 0..<16, using: &random) == 0 { out.removeLast(Int.random(in: 0...out.count, using: &random)) }
            _ = guest.request(out, room: [0, 1, 1, 21, 513, 1025, 700].randomElement(using: &random)!,
                              indirect: Bool.random(using: &random))
        }
        #expect(disk.bytes.count == 128 * 512)
    }
}

@Suite struct FileDiskTests {
    let directory: TemporaryDirectory
    init() throws { directory = try TemporaryDirectory() }

    private func result(_ disk: FileDisk, _ operation: DiskOperation) -> DiskResult? {
        nonisolated(unsafe) var result: DiskResult?
        disk.submit(operation) { result = $0 }
        return result
    }

    private func read(_ disk: FileDisk, _ offset: UInt64, _ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0xee, count: count)
        let outcome = bytes.withUnsafeMutableBytes { buffer in
            let half = count / 2
            return result(disk, .read(offset: offset, [
                DiskBuffer(UnsafeMutableRawBufferPointer(rebasing: buffer[..<half])),
                DiskBuffer(UnsafeMutableRawBufferPointer(rebasing: buffer[half...])),
            ]))
        }
        return outcome == .done ? bytes : nil
    }

    @Test func `a file's bytes are the disk's, padded to whole sectors`() throws {
        let path = try directory.create("disk", [UInt8](repeating: 7, count: 1000))
        let disk = try FileDisk(path: path, readOnly: true)
        #expect(disk.sizeBytes == 1024)
        #expect(read(disk, 0, 1024) == [UInt8](repeating: 7, count: 1000) + [UInt8](repeating: 0, count: 24))
        #expect(read(disk, 512, 512)?.count == 512)
    }

    @Test func `a file cut short while in use gives errors, not zeroes`() throws {
        let path = try directory.create("disk", [UInt8](repeating: 7, count: 4096))
        let disk = try FileDisk(path: path)
        truncate(path, 1024)
        #expect(read(disk, 2048, 512) == nil)
        #expect(read(disk, 0, 1024) != nil)
    }

    @Test func `writes, zeroing and discards reach the file`() throws {
        let path = try directory.create("disk", [UInt8](repeating: 7, count: 16384))
        let disk = try FileDisk(path: path)
        var data = [UInt8](repeating: 9, count: 512)
        let outcome = data.withUnsafeMutableBytes {
            result(disk, .write(offset: 512, [DiskBuffer($0)], durable: true))
        }
        #expect(outcome == .done)
        #expect(result(disk, .writeZeroes(offset: 4096, length: 4096, mayUnmap: true)) == .done)
        #expect(result(disk, .writeZeroes(offset: 1024, length: 512, mayUnmap: false)) == .done)
        #expect(result(disk, .discard(offset: 8192, length: 4096)) == .done)
        #expect(result(disk, .flush) == .done)
        let bytes = directory.contents("disk") ?? []
        #expect(bytes.count == 16384)
        #expect(bytes[512..<1024].allSatisfy { $0 == 9 } && bytes[1024..<1536].allSatisfy { $0 == 0 })
        #expect(bytes[4096..<8192].allSatisfy { $0 == 0 } && bytes[12288...].allSatisfy { $0 == 7 })
    }

    @Test func `a disk in use cannot be opened for writing again`() throws {
        let path = try directory.create("disk", [UInt8](repeating: 7, count: 512))
        let first = try FileDisk(path: path)
        #expect(throws: (any Error).self) { try FileDisk(path: path) }
        _ = first.sizeBytes
        #expect(throws: (any Error).self) { try FileDisk(path: directory.file("absent")) }
    }
}
