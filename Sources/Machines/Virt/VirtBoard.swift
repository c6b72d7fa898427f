// The RISC-V `virt` board: builds the chips of VirtMap and connects them.
//
// Absent: flash, fw_cfg, AIA, IOMMU, several NUMA nodes.

import Bus
import Devices
import GuestMemory
import SavedState

/// The interrupt inputs of one hart, by bit of `mip`.
public struct HartInputs: Sendable {
    private let drive: @Sendable (_ bit: Int, _ level: Bool) -> Void
    public init(_ drive: @escaping @Sendable (_ bit: Int, _ level: Bool) -> Void) { self.drive = drive }

    /// The line to one bit.
    public func line(_ bit: Int) -> InterruptLine {
        let drive = drive
        return InterruptLine { level in drive(bit, level) }
    }
}

/// What the board needs from the machine around it.
public struct BoardServices {
    public var clock: GuestClock
    /// Makes a one-shot timer whose closure runs in the event loop.
    public var makeTimer: (_ name: String, _ fire: @escaping @Sendable () -> Void) -> DeadlineTimer
    public var harts: [HartInputs]
    public var serial: any SerialOutput
    /// The serial port has room again after it refused input.
    public var serialInputWanted: @Sendable () -> Void
    public var power: @Sendable (PowerEvent) -> Void
    public var wallNanoseconds: @Sendable () -> UInt64

    public init(clock: GuestClock,
                makeTimer: @escaping (_ name: String, _ fire: @escaping @Sendable () -> Void) -> DeadlineTimer,
                harts: [HartInputs], serial: any SerialOutput, serialInputWanted: @escaping @Sendable () -> Void,
                power: @escaping @Sendable (PowerEvent) -> Void, wallNanoseconds: @escaping @Sendable () -> UInt64) {
        self.clock = clock
        self.makeTimer = makeTimer
        self.harts = harts
        self.serial = serial
        self.serialInputWanted = serialInputWanted
        self.power = power
        self.wallNanoseconds = wallNanoseconds
    }
}

/// Makes the device of a virtio-mmio slot from RAM and the slot's interrupt line.
public typealias VirtioSlotFactory = (_ ram: GuestRAM, _ interrupt: InterruptLine) throws -> any MMIODevice

/// Makes a function of the PCI bus from RAM.
public typealias PCIFunctionFactory = (_ ram: GuestRAM) throws -> any PCIFunction

/// The virtio devices of a machine, by where they sit.
public struct VirtioFactories {
    /// For virtio-mmio slots from 0, at most `VirtMap.virtioSlots`.
    public var slots: [VirtioSlotFactory] = []
    /// For PCI device numbers from 1.
    public var functions: [PCIFunctionFactory] = []

    public init(slots: [VirtioSlotFactory] = [], functions: [PCIFunctionFactory] = []) {
        self.slots = slots
        self.functions = functions
    }
}

/// The board. Its state is that of its bus.
public final class VirtBoard {
    public let bus: Bus
    public let ram: GuestRAM
    public let uart: UART16550
    public let pci: PCIHostBridge
    let hartCount: Int
    /// Slots with a device, for the device tree.
    let occupiedSlots: Int

    public init(ram: GuestRAM, services: BoardServices, virtio: VirtioFactories = VirtioFactories()) throws {
        precondition(ram.start == VirtMap.ram && virtio.slots.count <= VirtMap.virtioSlots && !services.harts.isEmpty)
        self.ram = ram
        hartCount = services.harts.count
        occupiedSlots = virtio.slots.count
        let clock = services.clock

        let contexts = services.harts.flatMap { hart in
            [hart.line(InterruptBit.machineExternal), hart.line(InterruptBit.supervisorExternal)]
        }
        let plic = PLIC(sourceCount: VirtMap.plicSources, outputs: contexts)
        let fired = FiredDevices()
        let aclint = ACLINT(harts: services.harts.enumerated().map { index, hart in
            ACLINTHart(software: hart.line(InterruptBit.machineSoftware), timer: hart.line(InterruptBit.machineTimer),
                       deadline: services.makeTimer("mtimecmp \(index)") { fired.aclint(hart: index) })
        }, clock: clock)
        let uart = UART16550(interrupt: plic.line(VirtMap.uartSource), output: services.serial, clock: clock,
                             timer: services.makeTimer("uart") { fired.uart() }, inputWanted: services.serialInputWanted)
        let rtc = GoldfishRTC(interrupt: plic.line(VirtMap.rtcSource), wallNanoseconds: services.wallNanoseconds,
                              clock: clock, timer: services.makeTimer("rtc") { fired.rtc() })
        let high = VirtMap.pciHigh(ramSizeBytes: ram.sizeBytes)
        let pci = PCIHostBridge(
            windows: PCIWindows(ecamSizeBytes: VirtMap.pciECAMSizeBytes, ioSizeBytes: VirtMap.pciIOSizeBytes,
                                memory32Start: VirtMap.pciMemory.value, memory32SizeBytes: VirtMap.pciMemorySizeBytes,
                                memory64Start: high.value, memory64SizeBytes: VirtMap.pciHighSizeBytes),
            intx: (0..<4).map { plic.line(VirtMap.firstPCISource + $0) })
        for (index, function) in virtio.functions.enumerated() {
            pci.insert(try function(ram), device: index + 1)
        }

        var windows = [
            BusWindow("test", at: VirtMap.test, sizeBytes: SiFiveTest.sizeBytes, device: SiFiveTest(power: services.power)),
            BusWindow("rtc", at: VirtMap.rtc, sizeBytes: GoldfishRTC.sizeBytes, sizes: .word, device: rtc),
            BusWindow("aclint", at: VirtMap.aclint, sizeBytes: ACLINT.sizeBytes, sizes: [.word, .double], device: aclint),
            BusWindow("pci-io", at: VirtMap.pciIO, sizeBytes: VirtMap.pciIOSizeBytes, lock: pci.lock, device: pci.io),
            BusWindow("plic", at: VirtMap.plic, sizeBytes: VirtMap.plicSizeBytes, sizes: .word, device: plic),
            BusWindow("uart", at: VirtMap.uart, sizeBytes: VirtMap.uartSizeBytes, sizes: .byte, device: uart),
            BusWindow("pci-ecam", at: VirtMap.pciECAM, sizeBytes: VirtMap.pciECAMSizeBytes, lock: pci.lock,
                      device: pci.ecam),
            BusWindow("pci-memory", at: VirtMap.pciMemory, sizeBytes: VirtMap.pciMemorySizeBytes, lock: pci.lock,
                      device: pci.memory32),
            BusWindow("pci-high", at: high, sizeBytes: VirtMap.pciHighSizeBytes, lock: pci.lock, device: pci.memory64),
        ]
        for (slot, make) in virtio.slots.enumerated() {
            let device = try make(ram, plic.line(VirtMap.firstVirtioSource + slot))
            windows.append(BusWindow("virtio\(slot)", at: VirtMap.virtio + UInt64(slot) * VirtMap.virtioSlotSizeBytes,
                                     sizeBytes: VirtMap.virtioSlotSizeBytes, device: device))
        }
        let bus = try Bus(windows)
        fired.connect(bus: bus, aclint: aclint, uart: uart, rtc: rtc)
        self.bus = bus
        self.uart = uart
        self.pci = pci
    }
}

/// Brings timer calls to devices that are made after their timers, under the device's lock.
private final class FiredDevices: @unchecked Sendable {
    private weak var bus: Bus?
    private weak var aclintDevice: ACLINT?
    private weak var uartDevice: UART16550?
    private weak var rtcDevice: GoldfishRTC?

    func connect(bus: Bus, aclint: ACLINT, uart: UART16550, rtc: GoldfishRTC) {
        self.bus = bus
        aclintDevice = aclint
        uartDevice = uart
        rtcDevice = rtc
    }
    func aclint(hart: Int) {
        guard let device = aclintDevice else { return }
        bus?.exclusive(device) { device.timerFired(hart: hart) }
    }
    func uart() {
        guard let device = uartDevice else { return }
        bus?.exclusive(device) { device.timerFired() }
    }
    func rtc() {
        guard let device = rtcDevice else { return }
        bus?.exclusive(device) { device.timerFired() }
    }
}
