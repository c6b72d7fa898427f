// A guest's virtio driver in miniature: negotiates through virtio-mmio registers and builds rings in guest RAM.

import Bus
import Foundation
import GuestMemory
import SavedState
import Synchronization
@testable import Devices

/// A deterministic random number generator (splitmix64).
struct Random: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

/// An interrupt controller input that remembers its level.
final class TestLine: Sendable {
    private let level = Atomic<Bool>(false)
    private let edges = Atomic<Int>(0)
    var isHigh: Bool { level.load(ordering: .acquiring) }
    /// How often the line was driven high while low.
    var rises: Int { edges.load(ordering: .relaxed) }
    var line: InterruptLine {
        InterruptLine { [self] high in
            if high, !level.exchange(true, ordering: .acquiringAndReleasing) { edges.add(1, ordering: .relaxed) }
            if !high { level.store(false, ordering: .releasing) }
        }
    }
}

/// One queue as the driver sees it.
final class DriverQueue {
    let index: Int
    let size: UInt16
    let descriptors, available, used: UInt64
    var nextDescriptor: UInt16 = 0
    var availableIndex: UInt16 = 0
    var lastUsed: UInt16 = 0
    init(index: Int, size: UInt16, at base: UInt64) {
        self.index = index
        self.size = size
        descriptors = base
        available = base + 0x2000
        used = base + 0x3000
    }
}

final class GuestDriver {
    struct Buffer {
        var address: UInt64
        var length: UInt32
        var writable: Bool
    }

    static let ramStart: UInt64 = 0x8000_0000
    private static let zeroes = [UInt8](repeating: 0, count: 0x8000)
    let ram: GuestRAM
    /// The device's registers, unless it sits on PCI.
    let mmio: VirtioMMIO!
    private let readRegister: (UInt64, Int) -> UInt64
    private let writeRegister: (UInt64, Int, UInt64) -> Void
    let line = TestLine()
    var queues: [DriverQueue] = []
    private var heap = GuestDriver.ramStart + 0x40_0000

    init(_ device: any VirtioDevice, ramBytes: UInt64 = 16 << 20, ram shared: GuestRAM? = nil) throws {
        ram = try shared ?? GuestRAM(start: GuestPhysical(Self.ramStart), sizeBytes: ramBytes)
        let mmio = VirtioMMIO(device: device, ram: ram, interrupt: line.line)
        self.mmio = mmio
        readRegister = { mmio.read(offset: $0, size: $1) }
        writeRegister = { mmio.write(offset: $0, size: $1, value: $2) }
    }

    /// A driver of a device behind something that answers to virtio-mmio offsets.
    init(ram: GuestRAM, read: @escaping (UInt64, Int) -> UInt64, write: @escaping (UInt64, Int, UInt64) -> Void) {
        self.ram = ram
        mmio = nil
        readRegister = read
        writeRegister = write
    }

    func read(_ offset: UInt64, size: Int = 4) -> UInt64 { readRegister(offset, size) }
    func write(_ offset: UInt64, _ value: UInt64, size: Int = 4) { writeRegister(offset, size, value) }
    var status: UInt8 { UInt8(read(0x70)) }
    var needsReset: Bool { status & 64 != 0 }
    func config(_ offset: UInt64, size: Int = 4) -> UInt64 { read(0x100 + offset, size: size) }

    var deviceFeatures: UInt64 {
        write(0x14, 0)
        let low = read(0x10)
        write(0x14, 1)
        return low | read(0x10) << 32
    }

    /// Goes through section 3.1.1; accepts everything but `without`. Returns whether FEATURES_OK stuck.
    @discardableResult
    func start(without: UInt64 = 0, only: UInt64? = nil, queueSize: UInt16 = 16, skipQueues: Set<Int> = []) -> Bool {
        write(0x70, 0)
        write(0x70, 1)
        write(0x70, 3)
        let features = (only ?? deviceFeatures) & ~without
        write(0x24, 0)
        write(0x20, features & 0xffff_ffff)
        write(0x24, 1)
        write(0x20, features >> 32)
        write(0x70, 11)
        guard status & 8 != 0 else { return false }
        queues = []
        var index = 0
        while true {
            write(0x30, UInt64(index))
            let sizeMax = read(0x34)
            if sizeMax == 0 { break }
            let queue = DriverQueue(index: index, size: UInt16(min(sizeMax, UInt64(queueSize))),
                                    at: Self.ramStart + 0x10_0000 + UInt64(index) * 0x1_0000)
            queues.append(queue)
            if !skipQueues.contains(index) { enable(queue) }
            index += 1
        }
        write(0x70, 15)
        return true
    }

    func enable(_ queue: DriverQueue) {
        queue.availableIndex = 0
        queue.lastUsed = 0
        _ = Self.zeroes.withUnsafeBytes { ram.write(GuestPhysical(queue.descriptors), from: $0) }
        write(0x30, UInt64(queue.index))
        write(0x38, UInt64(queue.size))
        for (register, address) in [(0x80, queue.descriptors), (0x90, queue.available), (0xa0, queue.used)] {
            write(UInt64(register), address & 0xffff_ffff)
            write(UInt64(register) + 4, address >> 32)
        }
        write(0x44, 1)
    }

    func allocate(_ count: Int) -> UInt64 {
        defer { heap += UInt64((count + 15) & ~15) }
        if heap + UInt64(count) > ram.start.value + ram.sizeBytes - 0x1000 { heap = Self.ramStart + 0x40_0000 }
        return heap
    }

    func place(_ bytes: [UInt8]) -> UInt64 {
        let address = allocate(bytes.count)
        _ = bytes.withUnsafeBytes { ram.write(GuestPhysical(address), from: $0) }
        return address
    }

    func bytes(_ address: UInt64, _ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xee, count: count)
        _ = bytes.withUnsafeMutableBytes { ram.read(GuestPhysical(address), into: $0) }
        return bytes
    }

    func writeDescriptor(table: UInt64, _ index: UInt16, _ buffer: Buffer, flags: UInt16, next: UInt16) {
        let at = table + 16 * UInt64(index)
        ram.store(GuestPhysical(at), buffer.address)
        ram.store(GuestPhysical(at + 8), buffer.length)
        ram.store(GuestPhysical(at + 12), flags | (buffer.writable ? 2 : 0))
        ram.store(GuestPhysical(at + 14), next)
    }

    /// Makes a chain available without notifying. Returns its head.
    @discardableResult
    func add(_ queueIndex: Int, _ buffers: [Buffer], indirect: Bool = false) -> UInt16 {
        let queue = queues[queueIndex]
        let head = queue.nextDescriptor
        if indirect {
            let table = allocate(16 * buffers.count)
            for (index, buffer) in buffers.enumerated() {
                let last = index == buffers.count - 1
                writeDescriptor(table: table, UInt16(index), buffer, flags: last ? 0 : 1, next: UInt16(index + 1))
            }
            writeDescriptor(table: queue.descriptors, head,
                            Buffer(address: table, length: UInt32(16 * buffers.count), writable: false), flags: 4, next: 0)
            queue.nextDescriptor = (head + 1) % queue.size
        } else {
            for (index, buffer) in buffers.enumerated() {
                let here = (head + UInt16(index)) % queue.size
                let last = index == buffers.count - 1
                writeDescriptor(table: queue.descriptors, here, buffer, flags: last ? 0 : 1, next: (here + 1) % queue.size)
            }
            queue.nextDescriptor = (head + UInt16(buffers.count)) % queue.size
        }
        offer(queue, head)
        return head
    }

    func offer(_ queue: DriverQueue, _ head: UInt16) {
        ram.store(GuestPhysical(queue.available + 4 + 2 * UInt64(queue.availableIndex % queue.size)), head)
        queue.availableIndex &+= 1
        ram.store(GuestPhysical(queue.available + 2), queue.availableIndex)
    }

    func notify(_ queueIndex: Int) { write(0x50, UInt64(queueIndex)) }

    func usedIndex(_ queueIndex: Int) -> UInt16 { ram.load(GuestPhysical(queues[queueIndex].used + 2)) ?? 0 }

    /// Takes the next used element, if any.
    func takeUsed(_ queueIndex: Int) -> (head: UInt32, length: UInt32)? {
        let queue = queues[queueIndex]
        guard usedIndex(queueIndex) != queue.lastUsed else { return nil }
        let at = queue.used + 4 + 8 * UInt64(queue.lastUsed % queue.size)
        queue.lastUsed &+= 1
        return (ram.load(GuestPhysical(at)) ?? 0, ram.load(GuestPhysical(at + 4)) ?? 0)
    }

    /// Sends one request and returns what the device wrote, or nil when it did not answer.
    func request(_ out: [UInt8], room: Int, queue queueIndex: Int = 0, indirect: Bool = false) -> [UInt8]? {
        var buffers: [Buffer] = []
        if !out.isEmpty { buffers.append(Buffer(address: place(out), length: UInt32(out.count), writable: false)) }
        let answer = allocate(room)
        if room > 0 { buffers.append(Buffer(address: answer, length: UInt32(room), writable: true)) }
        add(queueIndex, buffers, indirect: indirect)
        notify(queueIndex)
        guard let used = takeUsed(queueIndex) else { return nil }
        return bytes(answer, Int(used.length))
    }

    /// Acknowledges every pending interrupt cause and returns them.
    @discardableResult
    func acknowledge() -> UInt64 {
        let causes = read(0x60)
        write(0x64, causes)
        return causes
    }
}

func little<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }

func saved(_ body: any Savable) -> [UInt8] {
    var writer = StateWriter()
    body.save(to: &writer)
    return writer.bytes
}
