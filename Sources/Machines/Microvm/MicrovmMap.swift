// The map of the x86 board `microvm`.
//
//   0x0000_0000                  RAM, at most 3 GiB; firmware's tables lie in 0xe0000…0xfffff
//   0xc000_0000         512 MiB  PCI memory, 32-bit
//   0xe000_0000           1 MiB  PCIe configuration space (ECAM), bus 0
//   0xfeb0_0000…0xfeb0_5fff      virtio-mmio slots 0…5, 4 KiB each       IRQ 5, 6, 7, 12, 14, 15
//   0xfec0_0000           4 KiB  I/O APIC, inputs 0…15 are the ISA IRQs (IRQ 0 at input 2), 16…19 PCI INTA…INTD
//   0xfee0_0000           4 KiB  local APIC, each processor its own
//   0x4_0000_0000        16 GiB  PCI memory, 64-bit
//
//   port 0x020, 0x0a0, 0x4d0     8259 interrupt controllers and their edge/level registers
//        0x040, 0x061            8254 timer, port 61h                    IRQ 0
//        0x070                   MC146818 clock and CMOS                 IRQ 8
//        0x092                   A20 gate and fast reset
//        0x0e9                   debug console
//        0x3f8                   16550 UART                              IRQ 4
//        0x600                   ACPI fixed hardware                     IRQ 9
//        0xcf8                   PCI configuration, reset control at 0xcf9
//        0xc000…0xffff           PCI I/O
//        chosen by the user      debug exit
//
// Without an I/O APIC, PCI interrupts arrive at IRQ 10 (INTA, INTC) and 11 (INTB, INTD).
// There is no video memory and no BIOS: 0xa0000…0xfffff is RAM, of which the memory map offers nothing to the guest.

import GuestMemory

/// Addresses, ports and interrupts of the board.
public enum MicrovmMap {
    public static let ram = GuestPhysical(0)
    public static let pciMemory = GuestPhysical(0xc000_0000)
    public static let pciECAM = GuestPhysical(0xe000_0000)
    public static let virtio = GuestPhysical(0xfeb0_0000)
    public static let ioAPIC = GuestPhysical(0xfec0_0000)
    public static let localAPIC = GuestPhysical(0xfee0_0000)
    public static let pciHigh = GuestPhysical(0x4_0000_0000)

    public static let ramSizeMax: UInt64 = 0xc000_0000
    public static let pciMemorySizeBytes: UInt64 = 0x2000_0000
    public static let pciECAMSizeBytes: UInt64 = 0x10_0000
    public static let pciHighSizeBytes: UInt64 = 16 << 30
    public static let virtioSlotSizeBytes: UInt64 = 0x1000

    public static let masterPIC = GuestPhysical(0x20)
    public static let timer = GuestPhysical(0x40)
    public static let timerControl = GuestPhysical(0x61)
    public static let rtc = GuestPhysical(0x70)
    public static let systemControl = GuestPhysical(0x92)
    public static let slavePIC = GuestPhysical(0xa0)
    public static let debugConsole = GuestPhysical(0xe9)
    public static let uart = GuestPhysical(0x3f8)
    public static let edgeLevel = GuestPhysical(0x4d0)
    public static let power = GuestPhysical(0x600)
    public static let pciConfig = GuestPhysical(0xcf8)
    public static let resetControl = GuestPhysical(0xcf9)
    public static let pciIO = GuestPhysical(0xc000)
    public static let pciIOSizeBytes: UInt64 = 0x4000

    public static let timerIRQ = 0
    public static let uartIRQ = 4
    public static let rtcIRQ = 8
    public static let powerIRQ = 9
    public static let virtioIRQs = [5, 6, 7, 12, 14, 15]
    /// IRQs of INTA…INTD at the 8259s, and their first input of the I/O APIC.
    public static let pciIRQs = [10, 11, 10, 11]
    public static let firstPCIInput = 16
    /// Input of the I/O APIC to which IRQ 0 leads.
    public static let timerInput = 2

    /// Level-triggered ISA IRQs.
    static let levelIRQs = [powerIRQ] + virtioIRQs + [10, 11]

    // What stands in for firmware puts into low memory.
    /// Global descriptor table, boot parameters, PVH start information, page tables, Multiboot information.
    static let gdt: UInt64 = 0x6000
    static let startInformation: UInt64 = 0x6800
    static let bootParameters: UInt64 = 0x7000
    static let pageTables: UInt64 = 0x9000
    static let setupData: UInt64 = 0x10000
    static let commandLine: UInt64 = 0x20000
    static let commandLineSizeMax: UInt64 = 0x10000
    /// End of the RAM below 1 MiB.
    static let baseMemoryEnd: UInt64 = 0x9fc00
    static let acpi: UInt64 = 0xe0000
    static let acpiSizeMax: UInt64 = 0x10000
    static let mpTable: UInt64 = 0xf0000
    static let mpTableSizeMax: UInt64 = 0x8000
    /// RAM for programs begins here.
    static let extendedMemory: UInt64 = 0x10_0000

    /// A range of the memory map that firmware reports. Spec: ACPI 6.5 §15.1.
    struct Range: Equatable {
        static let usable: UInt32 = 1
        static let reserved: UInt32 = 2
        var start: UInt64
        var sizeBytes: UInt64
        var type: UInt32
    }

    /// The memory map for a RAM size.
    static func memoryRanges(ramSizeBytes: UInt64) -> [Range] {
        [Range(start: 0, sizeBytes: baseMemoryEnd, type: Range.usable),
         Range(start: baseMemoryEnd, sizeBytes: extendedMemory - baseMemoryEnd, type: Range.reserved),
         Range(start: extendedMemory, sizeBytes: ramSizeBytes - extendedMemory, type: Range.usable),
         Range(start: pciECAM.value, sizeBytes: pciECAMSizeBytes, type: Range.reserved)]
    }
}
