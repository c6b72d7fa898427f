// What the board `microvm` tells its guest about itself: ACPI tables, and an MP table for kernels from before ACPI.
//
// Spec: see ACPITables and AML; MP table: Intel MultiProcessor Specification 1.4, chapter 4.
// All of it is made from MicrovmMap.

import Devices
import GuestMemory

/// A piece of the tables and where it goes.
struct FirmwareBlock: Equatable {
    var address: UInt64
    var bytes: [UInt8]
}

/// The tables of a machine.
struct MicrovmTables {
    var processors: Int
    /// Processors without local APIC see neither MADT nor MP table.
    var hasAPIC: Bool
    /// virtio-mmio slots with a device.
    var occupiedSlots: Int

    /// Everything to be written, the root pointer first.
    func blocks() -> [FirmwareBlock] {
        var blocks: [FirmwareBlock] = []
        var next = MicrovmMap.acpi + 64
        func place(_ bytes: [UInt8]) -> UInt64 {
            let address = next
            blocks.append(FirmwareBlock(address: address, bytes: bytes))
            // FACS wants 64 bytes of alignment; the others do not mind.
            next = (next + UInt64(bytes.count) + 63) & ~63
            return address
        }
        let facs = place(ACPITable.firmwareControl), dsdt = place(self.dsdt)
        var tables = [place(ACPITable.fixedDescription(ACPITable.FixedHardware(
            facs: UInt32(facs), dsdt: UInt32(dsdt), sciInterrupt: UInt16(MicrovmMap.powerIRQ),
            event: port(MicrovmMap.power) + UInt16(ACPIPower.eventOffset),
            control: port(MicrovmMap.power) + UInt16(ACPIPower.controlOffset),
            timer: port(MicrovmMap.power) + UInt16(ACPIPower.timerOffset), resetPort: port(MicrovmMap.resetControl),
            resetValue: PCReset.resetValue, centuryByte: UInt8(MC146818.Register.century))))]
        if hasAPIC {
            tables.append(place(ACPITable.interruptControllers(
                localAPIC: UInt32(MicrovmMap.localAPIC.value), processors: processors,
                ioAPIC: UInt32(MicrovmMap.ioAPIC.value), overrides: overrides)))
        }
        tables.append(place(ACPITable.configurationSpace(ecam: MicrovmMap.pciECAM.value, lastBus: 0)))
        let xsdt = place(ACPITable.extendedRoot(tables)), rsdt = place(ACPITable.root(tables))
        precondition(next <= MicrovmMap.acpi + MicrovmMap.acpiSizeMax, "the ACPI tables do not fit into their place")
        blocks.insert(FirmwareBlock(address: MicrovmMap.acpi,
                                    bytes: ACPITable.rootPointer(rsdt: UInt32(rsdt), xsdt: xsdt)), at: 0)
        if hasAPIC { blocks.append(mpTable) }
        return blocks
    }

    private func port(_ address: GuestPhysical) -> UInt16 { UInt16(address.value) }

    private var overrides: [ACPITable.Override] {
        [ACPITable.Override(irq: UInt8(MicrovmMap.timerIRQ), input: UInt32(MicrovmMap.timerInput), isLevel: false)]
            + MicrovmMap.levelIRQs.filter { !MicrovmMap.pciIRQs.contains($0) }
            .map { ACPITable.Override(irq: UInt8($0), input: UInt32($0), isLevel: true) }
    }

    // MARK: DSDT

    private var dsdt: [UInt8] { ACPITable.table("DSDT", revision: 2, definitionBlock.flatMap(\.bytes)) }

    private var definitionBlock: [AML] {
        var devices = [bridge, uart, clock]
        for slot in 0..<occupiedSlots { devices.append(virtio(slot)) }
        let off = AML.integer(UInt64(ACPIPower.softOffType))
        return [
            // 0: interrupts go through the 8259s; 1: through the I/O APIC.
            .name("PICF", .integer(0)),
            .method("_PIC", arguments: 1, [.store(.argument(0), into: "PICF")]),
            .name("_S5", .package([off, off, .integer(0), .integer(0)])),
            .scope("\\_SB", devices),
        ]
    }

    private var bridge: AML {
        let io = MicrovmMap.pciIO.value, memory = MicrovmMap.pciMemory.value, high = MicrovmMap.pciHigh.value
        return .device("PCI0", [
            .name("_HID", .eisaID("PNP0A03")), .name("_UID", .integer(0)),
            .name("_CRS", .resources([
                .bridgedBuses(0, 0), .ports(port(MicrovmMap.pciConfig), count: 8),
                .bridgedPorts(UInt16(io), UInt16(io + MicrovmMap.pciIOSizeBytes - 1)),
                .bridgedMemory32(UInt32(memory), UInt32(memory + MicrovmMap.pciMemorySizeBytes - 1)),
                .bridgedMemory64(high, high + MicrovmMap.pciHighSizeBytes - 1),
            ])),
            .name("PRTP", routing { MicrovmMap.pciIRQs[$0] }),
            .name("PRTA", routing { MicrovmMap.firstPCIInput + $0 }),
            .method("_PRT", arguments: 0, [
                .if(.reference("PICF"), [.return(.reference("PRTA"))]),
                .return(.reference("PRTP")),
            ]),
        ])
    }

    /// Interrupts of every device and pin; `input` says where one of the four lines leads.
    private func routing(_ input: (Int) -> Int) -> AML {
        .package((1..<PCIHostBridge.deviceCount).flatMap { device in
            (0..<4).map { pin in
                .package([.integer(UInt64(device) << 16 | 0xffff), .integer(UInt64(pin)), .integer(0),
                          .integer(UInt64(input(PCIHostBridge.swizzle(device: device, pin: pin + 1))))])
            }
        })
    }

    private var uart: AML {
        .device("COM1", [.name("_HID", .eisaID("PNP0501")), .name("_UID", .integer(1)),
                         .name("_CRS", .resources([.ports(port(MicrovmMap.uart), count: 8),
                                                   .edgeInterrupt(MicrovmMap.uartIRQ)]))])
    }

    private var clock: AML {
        .device("RTC", [.name("_HID", .eisaID("PNP0B00")),
                        .name("_CRS", .resources([.ports(port(MicrovmMap.rtc), count: 2),
                                                  .edgeInterrupt(MicrovmMap.rtcIRQ)]))])
    }

    private func virtio(_ slot: Int) -> AML {
        let start = MicrovmMap.virtio.value + UInt64(slot) * MicrovmMap.virtioSlotSizeBytes
        return .device("VR0\(slot)", [
            .name("_HID", .string("LNRO0005")), .name("_UID", .integer(UInt64(slot))),
            .name("_CCA", .integer(1)),
            .name("_CRS", .resources([.memory(UInt32(start), sizeBytes: UInt32(MicrovmMap.virtioSlotSizeBytes)),
                                      .levelInterrupt(UInt32(MicrovmMap.virtioIRQs[slot]))])),
        ])
    }

    // MARK: MP table

    private enum MP {
        static let processor: UInt8 = 0, bus: UInt8 = 1, ioAPIC: UInt8 = 2, interrupt: UInt8 = 3, localInterrupt: UInt8 = 4
        static let vectored: UInt8 = 0, nonMaskable: UInt8 = 1, external: UInt8 = 3
        static let enabled: UInt8 = 1, bootstrap: UInt8 = 2
        static let pciBus: UInt8 = 0, isaBus: UInt8 = 1
        static let byBus: UInt16 = 0, highLevel: UInt16 = 0xd
        static let everyAPIC: UInt8 = 0xff
        static let localVersion: UInt8 = 0x14, ioVersion: UInt8 = 0x20
        static let headerSizeBytes = 44, pointerSizeBytes = 16
    }

    /// The floating pointer and the configuration table behind it.
    private var mpTable: FirmwareBlock {
        let ioID = UInt8(processors)
        var entries: [[UInt8]] = (0..<processors).map { processor in
            let flags = MP.enabled | (processor == 0 ? MP.bootstrap : 0)
            // Signature and features are the CPUID instruction's business.
            return [MP.processor, UInt8(processor), MP.localVersion, flags] + Array(repeating: 0, count: 16)
        }
        entries.append([MP.bus, MP.pciBus] + Array("PCI   ".utf8))
        entries.append([MP.bus, MP.isaBus] + Array("ISA   ".utf8))
        entries.append([MP.ioAPIC, ioID, MP.ioVersion, 1] + littleEndian(UInt32(MicrovmMap.ioAPIC.value)))
        for irq in 0..<16 where irq != 2 && !MicrovmMap.pciIRQs.contains(irq) {
            let flags = MicrovmMap.levelIRQs.contains(irq) ? MP.highLevel : MP.byBus
            let input = irq == MicrovmMap.timerIRQ ? MicrovmMap.timerInput : irq
            entries.append([MP.interrupt, MP.vectored] + littleEndian(flags) + [MP.isaBus, UInt8(irq), ioID, UInt8(input)])
        }
        for device in 1..<PCIHostBridge.deviceCount {
            for pin in 0..<4 {
                let input = MicrovmMap.firstPCIInput + PCIHostBridge.swizzle(device: device, pin: pin + 1)
                entries.append([MP.interrupt, MP.vectored] + littleEndian(MP.highLevel)
                    + [MP.pciBus, UInt8(device << 2 | pin), ioID, UInt8(input)])
            }
        }
        entries.append([MP.localInterrupt, MP.external] + littleEndian(MP.byBus) + [MP.isaBus, 0, MP.everyAPIC, 0])
        entries.append([MP.localInterrupt, MP.nonMaskable] + littleEndian(MP.byBus) + [MP.isaBus, 0, MP.everyAPIC, 1])

        let body = entries.flatMap { $0 }
        var header = Array("PCMP".utf8) + littleEndian(UInt16(MP.headerSizeBytes + body.count)) + [4, 0]
        header += Array("GUISE   MICROVM     ".utf8) + [0, 0, 0, 0, 0, 0] + littleEndian(UInt16(entries.count))
        header += littleEndian(UInt32(MicrovmMap.localAPIC.value)) + [0, 0, 0, 0]
        header[7] = ACPITable.checksum((header + body)[...])
        var pointer = Array("_MP_".utf8) + littleEndian(UInt32(MicrovmMap.mpTable) + UInt32(MP.pointerSizeBytes))
        // No IMCR: the 8259s reach the bootstrap processor through its local APIC (virtual wire).
        pointer += [1, 4, 0, 0, 0, 0, 0, 0]
        pointer[10] = ACPITable.checksum(pointer[...])
        return FirmwareBlock(address: MicrovmMap.mpTable, bytes: pointer + header + body)
    }
}
