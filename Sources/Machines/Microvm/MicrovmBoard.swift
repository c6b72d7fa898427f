// The x86 board `microvm`: builds the chips of MicrovmMap and connects them.
//
// Absent: video, 8042 keyboard controller (its ports read as ones), DMA controllers, HPET, floppy and IDE, firmware.

import Bus
import Devices
import GuestMemory
import SavedState
import Synchronization

/// What distinguishes one microvm from another, beyond its virtio devices.
public struct MicrovmOptions {
    /// Whether processors have a local APIC, and of which kind. Without one there is one processor and no I/O APIC.
    public var presence = LocalAPIC.Presence.x2APIC
    /// The processors, to be told of interrupts.
    public var processors: [any InterruptTarget]
    /// First port of the debug exit device, or nil for none.
    public var debugExitPort: UInt16?
    /// Takes what is written to the debug console's port.
    public var debugOutput: any SerialOutput
    /// Opens and closes address line 20.
    public var a20: @Sendable (Bool) -> Void

    public init(processors: [any InterruptTarget], debugOutput: any SerialOutput,
                a20: @escaping @Sendable (Bool) -> Void) {
        self.processors = processors
        self.debugOutput = debugOutput
        self.a20 = a20
    }
}

/// The board. Its state is that of its bus and of the local APICs.
public final class MicrovmBoard {
    public let bus: Bus
    public let ram: GuestRAM
    public let uart: UART16550
    public let pci: PCIHostBridge
    /// One local APIC for every processor.
    public let localAPICs: [LocalAPIC]
    /// The power button and soft off.
    public let power: ACPIPower
    let options: MicrovmOptions
    /// virtio-mmio slots with a device.
    let occupiedSlots: Int
    /// PCI device numbers with a function.
    let occupiedDevices: Int

    public init(ram: GuestRAM, services: BoardServices, options: MicrovmOptions,
                virtio: VirtioFactories = VirtioFactories()) throws {
        precondition(ram.start == MicrovmMap.ram && virtio.slots.count <= MicrovmMap.virtioIRQs.count
                     && !options.processors.isEmpty)
        self.ram = ram
        self.options = options
        occupiedSlots = virtio.slots.count
        occupiedDevices = virtio.functions.count
        let clock = services.clock, fired = FiredChips()

        // Interrupt controllers, from the processors outwards.
        let network = APICBus()
        let interrupts = InterruptOutput()
        let pics = I8259Pair(output: InterruptLine { level in interrupts.set(level) })
        localAPICs = options.processors.indices.map { id in
            LocalAPIC(id: UInt32(id), presence: options.presence, network: network, clock: clock,
                      timer: services.makeTimer("local APIC \(id)") { fired.localAPIC(id) },
                      external: { [unowned pics] in pics.acknowledge() })
        }
        for (apic, processor) in zip(localAPICs, options.processors) { apic.connect(processor) }
        interrupts.connect(localAPICs.map(\.lint0))
        let io = IOAPIC(network: network)
        /// An ISA interrupt reaches both kinds of controllers.
        func isa(_ irq: Int) -> InterruptLine {
            let pic = pics.line(irq), input = io.line(irq == MicrovmMap.timerIRQ ? MicrovmMap.timerInput : irq)
            return InterruptLine { level in
                pic.set(level)
                input.set(level)
            }
        }

        // Chips on ports.
        let timer = I8254(interrupt: isa(MicrovmMap.timerIRQ), clock: clock,
                          timer: services.makeTimer("8254") { fired.timer() })
        let uart = UART16550(interrupt: isa(MicrovmMap.uartIRQ), output: services.serial, clock: clock,
                             timer: services.makeTimer("uart") { fired.uart() }, inputWanted: services.serialInputWanted)
        let rtc = MC146818(interrupt: isa(MicrovmMap.rtcIRQ), memory: Self.cmos(ramSizeBytes: ram.sizeBytes),
                           wallNanoseconds: services.wallNanoseconds, clock: clock,
                           timer: services.makeTimer("rtc") { fired.rtc() })
        let power = ACPIPower(interrupt: isa(MicrovmMap.powerIRQ), clock: clock,
                              timer: services.makeTimer("acpi") { fired.power() }, power: services.power)
        let resets = PCReset(a20: options.a20, power: services.power)

        // PCI: lines of the same IRQ at the 8259s are joined.
        let shared = Dictionary(uniqueKeysWithValues: Set(MicrovmMap.pciIRQs).map { ($0, SharedLine(pics.line($0))) })
        let lines = (0..<4).map { pin -> InterruptLine in
            let input = io.line(MicrovmMap.firstPCIInput + pin), line = shared[MicrovmMap.pciIRQs[pin]]
            return InterruptLine { level in
                input.set(level)
                line?.set(source: pin, level)
            }
        }
        let message: @Sendable (PCIMessage) -> Void = { message in
            guard let interrupt = APICMessage(messageAddress: message.address, data: message.data) else { return }
            network.send(interrupt)
        }
        let pci = PCIHostBridge(
            windows: PCIWindows(ecamSizeBytes: MicrovmMap.pciECAMSizeBytes, ioSizeBytes: MicrovmMap.pciIOSizeBytes,
                                ioStart: MicrovmMap.pciIO.value,
                                memory32Start: MicrovmMap.pciMemory.value,
                                memory32SizeBytes: MicrovmMap.pciMemorySizeBytes,
                                memory64Start: MicrovmMap.pciHigh.value, memory64SizeBytes: MicrovmMap.pciHighSizeBytes),
            intx: lines, message: options.presence == .absent ? nil : message)
        for (index, function) in virtio.functions.enumerated() { pci.insert(try function(ram), device: index + 1) }

        var windows = [
            BusWindow("pci-memory", at: MicrovmMap.pciMemory, sizeBytes: MicrovmMap.pciMemorySizeBytes, lock: pci.lock,
                      device: pci.memory32),
            BusWindow("pci-ecam", at: MicrovmMap.pciECAM, sizeBytes: MicrovmMap.pciECAMSizeBytes, lock: pci.lock,
                      device: pci.ecam),
            BusWindow("pci-high", at: MicrovmMap.pciHigh, sizeBytes: MicrovmMap.pciHighSizeBytes, lock: pci.lock,
                      device: pci.memory64),
        ]
        if options.presence != .absent {
            windows.append(BusWindow("io-apic", at: MicrovmMap.ioAPIC, sizeBytes: IOAPIC.sizeBytes, sizes: .word, device: io))
        }
        for (slot, make) in virtio.slots.enumerated() {
            let device = try make(ram, isa(MicrovmMap.virtioIRQs[slot]))
            windows.append(BusWindow("virtio\(slot)", at: MicrovmMap.virtio + UInt64(slot) * MicrovmMap.virtioSlotSizeBytes,
                                     sizeBytes: MicrovmMap.virtioSlotSizeBytes, device: device))
        }
        let timerLock = DeviceLock()
        var ports = [
            BusWindow("pic-master", at: MicrovmMap.masterPIC, sizeBytes: I8259Pair.sizeBytes, sizes: .byte, device: pics.master),
            BusWindow("pic-slave", at: MicrovmMap.slavePIC, sizeBytes: I8259Pair.sizeBytes, sizes: .byte, device: pics.slave),
            BusWindow("pic-levels", at: MicrovmMap.edgeLevel, sizeBytes: I8259Pair.sizeBytes, sizes: .byte,
                      device: pics.edgeLevel),
            BusWindow("timer", at: MicrovmMap.timer, sizeBytes: I8254.sizeBytes, sizes: .byte, lock: timerLock, device: timer),
            BusWindow("timer-control", at: MicrovmMap.timerControl, sizeBytes: 1, sizes: .byte, lock: timerLock,
                      device: timer.control),
            BusWindow("rtc", at: MicrovmMap.rtc, sizeBytes: MC146818.sizeBytes, sizes: .byte, device: rtc),
            BusWindow("system-control", at: MicrovmMap.systemControl, sizeBytes: PCReset.sizeBytes, sizes: .byte, device: resets),
            BusWindow("debug-console", at: MicrovmMap.debugConsole, sizeBytes: DebugPort.sizeBytes, sizes: .byte,
                      device: DebugPort(output: options.debugOutput)),
            BusWindow("uart", at: MicrovmMap.uart, sizeBytes: 8, sizes: .byte, device: uart),
            BusWindow("acpi", at: MicrovmMap.power, sizeBytes: ACPIPower.sizeBytes, device: power),
            BusWindow("pci-config", at: MicrovmMap.pciConfig, sizeBytes: PCIConfigPorts.sizeBytes, lock: pci.lock,
                      device: PCIConfigPorts(bridge: pci, resetControl: resets)),
            BusWindow("pci-io", at: MicrovmMap.pciIO, sizeBytes: MicrovmMap.pciIOSizeBytes, lock: pci.lock,
                      device: pci.io),
        ]
        if let port = options.debugExitPort {
            ports.append(BusWindow("debug-exit", at: GuestPhysical(UInt64(port)), sizeBytes: DebugExit.sizeBytes,
                                   device: DebugExit(power: services.power)))
        }
        let bus = try Bus(windows, ports: ports)
        fired.connect(bus: bus, localAPICs: localAPICs, timer: timer, uart: uart, rtc: rtc, power: power)
        self.bus = bus
        self.uart = uart
        self.pci = pci
        self.power = power
        controllers = (pics, io)
    }

    /// Kept alive for the lines that lead into them.
    private let controllers: (I8259Pair, IOAPIC)

    /// The configuration bytes by which software of the AT finds memory and equipment.
    private static func cmos(ramSizeBytes: UInt64) -> [Int: UInt8] {
        let extended = min((ramSizeBytes - MicrovmMap.extendedMemory) / 1024, 0xffff)
        let above16 = ramSizeBytes > 16 << 20 ? min((ramSizeBytes - 16 << 20) >> 16, 0xffff) : 0
        func byte(_ value: UInt64, _ shift: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: value >> shift) }
        // 14h: a coprocessor; 15h: 640 KiB of base memory.
        return [0x14: 0x02, 0x15: 0x80, 0x16: 0x02, 0x17: byte(extended, 0), 0x18: byte(extended, 8),
                0x30: byte(extended, 0), 0x31: byte(extended, 8), 0x34: byte(above16, 0), 0x35: byte(above16, 8)]
    }
}

/// INT of the 8259s, which leads to LINT0 of every processor.
private final class InterruptOutput: @unchecked Sendable {
    // SAFETY (Sendable): connected once, before the machine runs.
    private var lines: [InterruptLine] = []
    func connect(_ lines: [InterruptLine]) { self.lines = lines }
    func set(_ level: Bool) { for line in lines { line.set(level) } }
}

/// An input that several level-triggered sources pull.
private final class SharedLine: Sendable {
    private let line: InterruptLine
    private let sources = Mutex<UInt32>(0)
    init(_ line: InterruptLine) { self.line = line }
    func set(source: Int, _ level: Bool) {
        sources.withLock { sources in
            let bit: UInt32 = 1 << UInt32(source)
            if level { sources |= bit } else { sources &= ~bit }
            line.set(sources != 0)
        }
    }
}

/// Brings timer calls to chips that are made after their timers, under the chip's lock.
private final class FiredChips: @unchecked Sendable {
    // SAFETY (Sendable): connected once, before the machine runs.
    private weak var bus: Bus?
    private var localAPICs: [Weak] = []
    private weak var timerChip: I8254?
    private weak var uartChip: UART16550?
    private weak var rtcChip: MC146818?
    private weak var powerChip: ACPIPower?
    private struct Weak { weak var apic: LocalAPIC? }

    func connect(bus: Bus, localAPICs: [LocalAPIC], timer: I8254, uart: UART16550, rtc: MC146818, power: ACPIPower) {
        self.bus = bus
        self.localAPICs = localAPICs.map { Weak(apic: $0) }
        timerChip = timer
        uartChip = uart
        rtcChip = rtc
        powerChip = power
    }

    func localAPIC(_ id: Int) { localAPICs[id].apic?.timerFired() }
    func timer() { if let timerChip { bus?.exclusive(timerChip) { timerChip.timerFired() } } }
    func uart() { if let uartChip { bus?.exclusive(uartChip) { uartChip.timerFired() } } }
    func rtc() { if let rtcChip { bus?.exclusive(rtcChip) { rtcChip.timerFired() } } }
    func power() { if let powerChip { bus?.exclusive(powerChip) { powerChip.timerFired() } } }
}
