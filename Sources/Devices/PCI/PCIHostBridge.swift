// A generic ECAM PCI Express host bridge with one bus: configuration space, I/O and memory windows, INTx routing.
//
// Spec: PCI Express Base 4.0 §7.2.2 (ECAM); PCI Local Bus 3.0 §3.2; Linux binding pci-host-ecam-generic.
// The guest assigns the BARs; nothing is assigned at power-on. Accesses nobody claims read all ones.
// Absent: bridges and further buses, several functions in one device, hot plug, message controllers on this side.

import Bus
import SavedState
import Synchronization

/// Where the guest's processors see the bridge's windows.
public struct PCIWindows: Equatable, Sendable {
    /// Size of the configuration window: 1 MiB per bus number it can address.
    public var ecamSizeBytes: UInt64
    public var ioSizeBytes: UInt64
    /// Bus address of the first I/O port of the window.
    public var ioStart: UInt64
    /// Bus address of the first byte of the 32-bit memory window (equal to its processor address on most boards).
    public var memory32Start: UInt64
    public var memory32SizeBytes: UInt64
    public var memory64Start: UInt64
    public var memory64SizeBytes: UInt64

    public init(ecamSizeBytes: UInt64, ioSizeBytes: UInt64, ioStart: UInt64 = 0, memory32Start: UInt64, memory32SizeBytes: UInt64,
                memory64Start: UInt64, memory64SizeBytes: UInt64) {
        self.ecamSizeBytes = ecamSizeBytes
        self.ioSizeBytes = ioSizeBytes
        self.ioStart = ioStart
        self.memory32Start = memory32Start
        self.memory32SizeBytes = memory32SizeBytes
        self.memory64Start = memory64Start
        self.memory64SizeBytes = memory64SizeBytes
    }
}

/// The bridge and the functions behind it.
public final class PCIHostBridge: @unchecked Sendable {
    /// Devices on the bus; number 0 is the bridge's own function.
    public static let deviceCount = 32

    /// Guards the bridge and every function; give it to all windows of the bridge.
    public let lock = DeviceLock()
    public let windows: PCIWindows
    private var functions: [(any PCIFunction)?] = Array(repeating: nil, count: deviceCount)
    private let pins: INTxPins
    private let message: (@Sendable (PCIMessage) -> Void)?
    private var decoded: [DecodedBAR] = []

    private struct DecodedBAR {
        let kind: PCIBAR.Kind
        let start: UInt64
        let sizeBytes: UInt64
        let device: Int
        let bar: Int
    }

    /// - Parameters:
    ///   - intx: the interrupt controller's inputs for INTA…INTD of device 0.
    ///   - message: the board's message controller, or nil.
    public init(windows: PCIWindows, intx: [InterruptLine], message: (@Sendable (PCIMessage) -> Void)? = nil) {
        precondition(intx.count == 4, "a bus has four INTx lines")
        self.windows = windows
        pins = INTxPins(intx)
        self.message = message
        functions[0] = HostBridgeFunction()
    }

    /// Puts a function into a free device number (1…31). Before the machine runs.
    public func insert(_ function: any PCIFunction, device: Int) {
        precondition((1..<Self.deviceCount).contains(device) && functions[device] == nil, "PCI device \(device) is taken")
        functions[device] = function
        let pins = pins
        let pin = { Int(function.config.read(offset: PCIHeader.interruptPin, size: 1)) }
        function.attach(to: PCISlot(intx: InterruptLine { level in
            let number = pin()
            guard number > 0 else { return }
            pins.set(device: device, line: Self.swizzle(device: device, pin: number), level)
        }, message: message))
    }

    /// The INTx line (0…3) of a device's pin (1…4): PCI-to-PCI Bridge Architecture 1.2, §9.1.
    public static func swizzle(device: Int, pin: Int) -> Int { (device + pin - 1) % 4 }

    /// The configuration window; it also carries the saved state of the whole bridge.
    public var ecam: any MMIODevice { ECAMWindow(self) }
    /// The I/O port window.
    public var io: any MMIODevice { BARWindow(self, .io, start: windows.ioStart) }
    /// The memory window below 4 GiB.
    public var memory32: any MMIODevice { BARWindow(self, .memory32, start: windows.memory32Start) }
    /// The memory window above 4 GiB.
    public var memory64: any MMIODevice { BARWindow(self, .memory64, start: windows.memory64Start) }

    /// Does what firmware does: gives every BAR an address in the windows, switches decoding on, and notes where each
    /// function's interrupt pin leads. All memory BARs go below 4 GiB. Call with the lock held, before the machine runs.
    /// - Parameter interruptLine: the number to note for INTA…INTD (0…3) of device 0.
    public func assignAddresses(interruptLine: (Int) -> UInt8) {
        var nextMemory = windows.memory32Start, nextPort = windows.ioSizeBytes == 0 ? 0 : windows.ioStart
        func take(_ next: inout UInt64, _ size: UInt64, end: UInt64) -> UInt64? {
            let start = (next &+ size &- 1) & ~(size &- 1)
            guard start <= end, size <= end - start else { return nil }
            next = start + size
            return start
        }
        for device in 1..<Self.deviceCount {
            guard let config = functions[device]?.config else { continue }
            let place = UInt64(device) << 15
            // Address 0 counts as unassigned, so the first port of a window at 0 is left out.
            if nextPort == 0 { nextPort = 0x100 }
            for bar in config.bars {
                let start = bar.kind == .io
                    ? take(&nextPort, bar.sizeBytes, end: windows.ioStart + windows.ioSizeBytes)
                    : take(&nextMemory, bar.sizeBytes, end: windows.memory32Start + windows.memory32SizeBytes)
                guard let start else { continue }
                let register = place | UInt64(PCIHeader.bar0 + 4 * bar.number)
                writeConfig(register, 4, start & 0xffff_ffff)
                if bar.kind == .memory64 { writeConfig(register + 4, 4, start >> 32) }
            }
            let command = PCIHeader.commandIOSpace | PCIHeader.commandMemorySpace | PCIHeader.commandBusMaster
            writeConfig(place | UInt64(PCIHeader.command), 2, UInt64(command))
            let pin = Int(config.read(offset: PCIHeader.interruptPin, size: 1))
            guard pin > 0 else { continue }
            writeConfig(place | UInt64(PCIHeader.interruptLine), 1,
                        UInt64(interruptLine(Self.swizzle(device: device, pin: pin))))
        }
    }

    // MARK: Accesses, lock held

    func readConfig(_ offset: UInt64, _ size: Int) -> UInt64 {
        guard let (function, register) = configTarget(offset) else { return allOnes(size) }
        if size == 8 {
            let low = function.readConfig(offset: register, size: 4)
            return UInt64(low) | UInt64(function.readConfig(offset: register + 4, size: 4)) << 32
        }
        return UInt64(function.readConfig(offset: register, size: size))
    }

    func writeConfig(_ offset: UInt64, _ size: Int, _ value: UInt64) {
        guard let (function, register) = configTarget(offset) else { return }
        if size == 8 {
            function.writeConfig(offset: register, size: 4, value: UInt32(truncatingIfNeeded: value))
            function.writeConfig(offset: register + 4, size: 4, value: UInt32(truncatingIfNeeded: value >> 32))
        } else {
            function.writeConfig(offset: register, size: size, value: UInt32(truncatingIfNeeded: value))
        }
        decode()
    }

    fileprivate func readBAR(_ kind: PCIBAR.Kind, _ address: UInt64, _ size: Int) -> UInt64 {
        guard let (function, bar, offset) = barTarget(kind, address, size) else { return allOnes(size) }
        return function.readBAR(bar, offset: offset, size: size)
    }

    fileprivate func writeBAR(_ kind: PCIBAR.Kind, _ address: UInt64, _ size: Int, _ value: UInt64) {
        guard let (function, bar, offset) = barTarget(kind, address, size) else { return }
        function.writeBAR(bar, offset: offset, size: size, value: value)
    }

    fileprivate func forEachFunction(_ body: (any PCIFunction) -> Void) {
        for case let function? in functions { body(function) }
    }

    fileprivate func resetAll() {
        for function in functions { function?.reset() }
        decode()
    }

    fileprivate func saveAll(to writer: inout StateWriter) {
        writer.section("pci-bridge", version: 1) { writer in
            for device in 0..<Self.deviceCount {
                writer.put(functions[device] != nil)
                functions[device]?.save(to: &writer)
            }
        }
    }

    fileprivate func restoreAll(from reader: inout StateReader) throws {
        try reader.section("pci-bridge", newest: 1) { reader, _ in
            for device in 0..<Self.deviceCount {
                let present = try reader.getBool()
                guard present == (functions[device] != nil) else {
                    throw StateError.invalid(section: "pci-bridge",
                                             reason: "device \(device) is \(present ? "only" : "not") in the state")
                }
                try functions[device]?.restore(from: &reader)
            }
            decode()
        }
    }

    /// ECAM: bus in bits 20 and up, device in 15…19, function in 12…14, register in 0…11.
    private func configTarget(_ offset: UInt64) -> (any PCIFunction, Int)? {
        guard offset >> 20 == 0, offset >> 12 & 7 == 0 else { return nil }
        guard let function = functions[Int(offset >> 15 & 31)] else { return nil }
        return (function, Int(offset & 0xfff))
    }

    private func barTarget(_ kind: PCIBAR.Kind, _ address: UInt64, _ size: Int) -> (any PCIFunction, Int, UInt64)? {
        for candidate in decoded where (candidate.kind == .io) == (kind == .io) {
            let offset = address &- candidate.start
            guard offset < candidate.sizeBytes, UInt64(size) <= candidate.sizeBytes &- offset else { continue }
            guard let function = functions[candidate.device] else { continue }
            return (function, candidate.bar, offset)
        }
        return nil
    }

    private func decode() {
        decoded.removeAll(keepingCapacity: true)
        for (device, function) in functions.enumerated() {
            guard let config = function?.config else { continue }
            for bar in config.bars {
                guard let start = config.address(of: bar), start != 0 else { continue }
                decoded.append(DecodedBAR(kind: bar.kind, start: start, sizeBytes: bar.sizeBytes,
                                          device: device, bar: bar.number))
            }
        }
    }

    private func allOnes(_ size: Int) -> UInt64 { size == 8 ? .max : (1 << UInt64(size * 8)) &- 1 }
}

/// Four wired-OR interrupt lines.
private final class INTxPins: Sendable {
    private let lines: [InterruptLine]
    /// Per line, the set of devices that pull it.
    private let asserted = Mutex<[UInt32]>([0, 0, 0, 0])

    init(_ lines: [InterruptLine]) { self.lines = lines }

    func set(device: Int, line: Int, _ level: Bool) {
        asserted.withLock { asserted in
            let before = asserted[line]
            if level { asserted[line] |= 1 << UInt32(device) } else { asserted[line] &= ~(1 << UInt32(device)) }
            if (before != 0) != (asserted[line] != 0) { lines[line].set(asserted[line] != 0) }
        }
    }
}

/// Device 0: what a bridge without registers of its own shows.
private final class HostBridgeFunction: PCIFunction {
    static let vendorRedHat: UInt16 = 0x1b36
    static let deviceGenericPCIe: UInt16 = 0x0008
    static let classHostBridge: UInt32 = 0x06_00_00

    let config = PCIConfigSpace(PCIIdentity(vendorID: vendorRedHat, deviceID: deviceGenericPCIe,
                                            classCode: classHostBridge, subsystemVendorID: 0x1af4, subsystemID: 0x1100))
    func attach(to slot: PCISlot) {}
    func readBAR(_ bar: Int, offset: UInt64, size: Int) -> UInt64 { 0 }
    func writeBAR(_ bar: Int, offset: UInt64, size: Int, value: UInt64) {}
    func reset() { config.reset() }
    func save(to writer: inout StateWriter) { config.save(to: &writer) }
    func restore(from reader: inout StateReader) throws { try config.restore(from: &reader) }
}

private final class ECAMWindow: PausableDevice {
    let bridge: PCIHostBridge
    init(_ bridge: PCIHostBridge) { self.bridge = bridge }
    func read(offset: UInt64, size: Int) -> UInt64 { bridge.readConfig(offset, size) }
    func write(offset: UInt64, size: Int, value: UInt64) { bridge.writeConfig(offset, size, value) }
    func reset() { bridge.resetAll() }
    func pause() { bridge.forEachFunction { $0.pause() } }
    func resume() { bridge.forEachFunction { $0.resume() } }
    func save(to writer: inout StateWriter) { bridge.saveAll(to: &writer) }
    func restore(from reader: inout StateReader) throws { try bridge.restoreAll(from: &reader) }
}

/// A window of BAR addresses. It has no state of its own: the configuration window saves the bridge.
private final class BARWindow: MMIODevice {
    let bridge: PCIHostBridge
    let kind: PCIBAR.Kind
    let start: UInt64

    init(_ bridge: PCIHostBridge, _ kind: PCIBAR.Kind, start: UInt64) {
        self.bridge = bridge
        self.kind = kind
        self.start = start
    }
    func read(offset: UInt64, size: Int) -> UInt64 { bridge.readBAR(kind, start &+ offset, size) }
    func write(offset: UInt64, size: Int, value: UInt64) { bridge.writeBAR(kind, start &+ offset, size, value) }
    func reset() {}
    func save(to writer: inout StateWriter) {}
    func restore(from reader: inout StateReader) throws {}
}
