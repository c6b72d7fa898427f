// Every virtio device behind both transports, driven by a driver that means harm: rings that lie over each other, over
// buffers and over indirect tables, loops, lengths up to 4 GiB, indices that run ahead, resets and restores in between.
// Nothing may trap or hang, and a driver that behaves finds a working device afterwards.

import Foundation
import GuestMemory
import SavedState
import Testing
@testable import Devices

/// What a device must be to be tortured.
enum VirtioKind: String, CaseIterable {
    case block, readOnlyBlock, console, entropy, nineP, balloon

    /// A fresh device; `directory` is what 9p shares.
    func make(_ directory: TemporaryDirectory) throws -> any VirtioDevice {
        switch self {
        case .block: return VirtioBlock(backend: TestDisk(sectors: 128), serial: "fuzz")
        case .readOnlyBlock:
            let disk = TestDisk(sectors: 128)
            disk.isReadOnly = true
            return VirtioBlock(backend: disk, serial: "fuzz")
        case .console: return VirtioConsole(sink: TestSink())
        case .entropy: return VirtioEntropy(source: VirtioEntropyTests.Counter())
        case .nineP: return VirtioNineP(directory: try HostDirectory(path: directory.path), tag: "fuzz")
        case .balloon: return VirtioBalloon(reclaimer: VirtioBalloonTests.TestReclaimer())
        }
    }
}

@Suite struct VirtioFuzzTests {
    /// A device, how a driver reaches it, and how its state is moved into a new one.
    private final class Subject {
        let kind: VirtioKind
        let isPCI: Bool
        let directory: TemporaryDirectory
        let ram: GuestRAM
        var driver: GuestDriver
        var target: any Savable
        var pci: PCIGuest?

        init(_ kind: VirtioKind, isPCI: Bool) throws {
            self.kind = kind
            self.isPCI = isPCI
            directory = try TemporaryDirectory()
            ram = try GuestRAM(start: GuestPhysical(GuestDriver.ramStart), sizeBytes: 16 << 20)
            (driver, target, pci) = try Self.build(kind, isPCI, directory, ram)
        }

        private static func build(_ kind: VirtioKind, _ isPCI: Bool, _ directory: TemporaryDirectory, _ ram: GuestRAM)
            throws -> (GuestDriver, any Savable, PCIGuest?) {
            let device = try kind.make(directory)
            guard isPCI else {
                let driver = try GuestDriver(device, ram: ram)
                return (driver, driver.mmio, nil)
            }
            let guest = try PCIGuest(device, messages: true, ram: ram)
            return (guest.driver(), guest.function, guest)
        }

        /// Suspends and resumes: a new device takes over what the old one had.
        func replace() throws {
            let bytes = saved(target)
            let queues = driver.queues
            let (newDriver, newTarget, newPCI) = try Self.build(kind, isPCI, directory, ram)
            var reader = StateReader(bytes)
            try newTarget.restore(from: &reader)
            (driver, target, pci) = (newDriver, newTarget, newPCI)
            driver.queues = queues
        }
    }

    @Test(arguments: VirtioKind.allCases, [false, true])
    func `a hostile driver breaks nothing`(_ kind: VirtioKind, _ isPCI: Bool) throws {
        var random = Random(seed: Fuzz.seed(20))
        let subject = try Subject(kind, isPCI: isPCI)
        for round in 0..<Fuzz.rounds(1500) {
            if round % 32 == 0 || subject.driver.queues.isEmpty {
                subject.driver.start(without: random.next() & random.next() & 0xffff_ffff,
                                     queueSize: [1, 2, 8, 64, 256].randomElement(using: &random)!)
                if subject.driver.queues.isEmpty { continue }
                if UInt8.random(in: 0..<3, using: &random) == 0 { overlap(subject.driver, &random) }
            }
            scribble(subject, &random)
            let queue = Int.random(in: 0..<(subject.driver.queues.count + 1), using: &random)
            subject.driver.notify(queue)
            switch UInt8.random(in: 0..<40, using: &random) {
            case 0: try subject.replace()
            case 1: subject.driver.write(UInt64.random(in: 0..<0x48, using: &random) * 4, random.next() & 0xffff_ffff)
            case 2: pciAccess(subject, &random)
            default: break
            }
        }
        if let pci = subject.pci { pci.function.writeConfig(offset: 4, size: 2, value: 6) }
        #expect(subject.driver.start(), "a driver that behaves is served again")
    }

    /// Puts a queue's three areas where other things are.
    private func overlap(_ driver: GuestDriver, _ random: inout Random) {
        let queue = driver.queues.randomElement(using: &random)!
        driver.write(0x30, UInt64(queue.index))
        driver.write(0x44, 0)
        let places: [UInt64] = [queue.descriptors, queue.descriptors + 16, queue.available & ~15, queue.used, GuestDriver.ramStart,
                      GuestDriver.ramStart + 16 << 20 - 64, 0, .max - 15, random.next() & ~15]
        for register: UInt64 in [0x80, 0x90, 0xa0] {
            let place = places.randomElement(using: &random)!
            driver.write(register, place & 0xffff_ffff)
            driver.write(register + 4, place >> 32)
        }
        driver.write(0x44, 1)
    }

    /// Writes nonsense, mostly near what would be sense, into descriptors, indirect tables and the available ring.
    private func scribble(_ subject: Subject, _ random: inout Random) {
        let driver = subject.driver, ram = subject.ram
        let queue = driver.queues.randomElement(using: &random)!
        let start = GuestDriver.ramStart, end = start + 16 << 20
        func address() -> UInt64 {
            switch UInt8.random(in: 0..<10, using: &random) {
            case 0: return random.next()
            case 1: return end - UInt64.random(in: 0..<64, using: &random)
            case 2: return queue.descriptors + UInt64.random(in: 0..<0x4000, using: &random)
            case 3: return start &- UInt64.random(in: 0..<64, using: &random)
            default: return start + 0x40_0000 + UInt64.random(in: 0..<0x1000, using: &random)
            }
        }
        func length() -> UInt32 {
            switch UInt8.random(in: 0..<10, using: &random) {
            case 0: return UInt32.random(in: 0...UInt32.max, using: &random)
            case 1: return 0x40_0000
            case 2: return 0
            case 3: return UInt32.random(in: 1..<64, using: &random) * 16
            default: return UInt32.random(in: 0..<600, using: &random)
            }
        }
        func descriptor(_ table: UInt64, _ index: UInt64, _ count: UInt16) {
            let at = GuestPhysical(table + 16 * index)
            ram.store(at, address())
            ram.store(at + 8, length())
            ram.store(at + 12, UInt16([0, 1, 1, 2, 3, 3, 4, 5, 6, 0xffff].randomElement(using: &random)!))
            ram.store(at + 14, UInt16.random(in: 0...count, using: &random))
        }
        for _ in 0..<UInt8.random(in: 1..<12, using: &random) {
            descriptor(queue.descriptors, UInt64.random(in: 0..<UInt64(queue.size), using: &random), queue.size)
        }
        // Tables and requests that descriptors point to: headers of every device begin with small numbers.
        for _ in 0..<4 { descriptor(start + 0x40_0000 + UInt64.random(in: 0..<64, using: &random) * 16, 0, 64) }
        for offset in 0..<UInt64(4) {
            ram.store(GuestPhysical(start + 0x40_0800 + offset * 8), Bool.random(using: &random) ? random.next() : random.next() % 128)
        }
        driver.offer(queue, UInt16.random(in: 0...queue.size, using: &random))
        if UInt8.random(in: 0..<24, using: &random) == 0 {
            queue.availableIndex = UInt16.random(in: 0...UInt16.max, using: &random)
        }
    }

    private func pciAccess(_ subject: Subject, _ random: inout Random) {
        guard let pci = subject.pci else { return }
        let value = random.next()
        pci.function.writeConfig(offset: Int.random(in: 1..<64, using: &random) * 4, size: 4, value: UInt32(truncatingIfNeeded: value))
        pci.function.writeBAR(4, offset: UInt64.random(in: 0..<0x1000, using: &random) * 4, size: 4, value: value)
        pci.function.writeConfig(offset: 4, size: 2, value: 6)
    }

    /// The shape most requests have, with lengths that are their device's.
    @Test(arguments: VirtioKind.allCases, [false, true])
    func `huge requests are served in bounded time`(_ kind: VirtioKind, _ isPCI: Bool) throws {
        let subject = try Subject(kind, isPCI: isPCI)
        let began = ContinuousClock.now
        subject.driver.start(queueSize: 64)
        for index in subject.driver.queues.indices {
            for writable in [false, true] {
                // A thousand buffers of 4 MiB each over the same memory, the most that a chain may describe.
                let table = subject.driver.allocate(16 * 1023)
                for entry in 0..<1023 {
                    subject.driver.writeDescriptor(
                        table: table, UInt16(entry),
                        .init(address: GuestDriver.ramStart + 8 << 20, length: 4 << 20, writable: writable || entry > 0),
                        flags: entry == 1022 ? 0 : 1, next: UInt16(entry + 1))
                }
                let queue = subject.driver.queues[index]
                subject.driver.writeDescriptor(table: queue.descriptors, 0,
                                               .init(address: table, length: 16 * 1023, writable: false), flags: 4, next: 0)
                subject.driver.offer(queue, 0)
                subject.driver.notify(index)
            }
        }
        #expect(ContinuousClock.now - began < .seconds(60))
    }
}
