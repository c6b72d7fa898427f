// The memory map of the RISC-V `virt` board.
//
//   0x0010_0000            4 KiB  test finisher: power off, reset, exit code
//   0x0010_1000            4 KiB  goldfish real-time clock               source 11
//   0x0200_0000           64 KiB  ACLINT/CLINT: mtime, mtimecmp, msip    straight to the harts
//   0x0300_0000           64 KiB  PCI I/O ports
//   0x0c00_0000            6 MiB  PLIC, 95 sources, contexts M and S of every hart
//   0x1000_0000          256 B    16550 UART                             source 10
//   0x1000_1000…0x1000_8fff       virtio-mmio slots 0…7, 4 KiB each      sources 1…8
//   0x3000_0000          256 MiB  PCIe configuration space (ECAM)        INTA…INTD: sources 32…35
//   0x4000_0000            1 GiB  PCI memory, 32-bit
//   0x8000_0000                   RAM
//   16 GiB, or the next multiple of 16 GiB behind RAM: 16 GiB of PCI memory, 64-bit
//
// The addresses and sources are those of QEMU's board of the same name, so that firmware built for one runs on the other.

import GuestMemory

/// Addresses and interrupt sources of the board.
public enum VirtMap {
    public static let test = GuestPhysical(0x0010_0000)
    public static let rtc = GuestPhysical(0x0010_1000)
    public static let aclint = GuestPhysical(0x0200_0000)
    public static let pciIO = GuestPhysical(0x0300_0000)
    public static let plic = GuestPhysical(0x0c00_0000)
    public static let uart = GuestPhysical(0x1000_0000)
    public static let virtio = GuestPhysical(0x1000_1000)
    public static let pciECAM = GuestPhysical(0x3000_0000)
    public static let pciMemory = GuestPhysical(0x4000_0000)
    public static let ram = GuestPhysical(0x8000_0000)

    public static let plicSizeBytes: UInt64 = 0x60_0000
    public static let uartSizeBytes: UInt64 = 0x100
    public static let virtioSlotSizeBytes: UInt64 = 0x1000
    public static let pciIOSizeBytes: UInt64 = 0x1_0000
    public static let pciECAMSizeBytes: UInt64 = 0x1000_0000
    public static let pciMemorySizeBytes: UInt64 = 0x4000_0000
    public static let pciHighSizeBytes: UInt64 = 16 << 30

    public static let virtioSlots = 8
    /// PLIC sources, the non-existent source 0 included.
    public static let plicSources = 96
    public static let uartSource = 10
    public static let rtcSource = 11
    public static let firstVirtioSource = 1
    public static let firstPCISource = 32

    /// Start of the 64-bit PCI window for a RAM size.
    public static func pciHigh(ramSizeBytes: UInt64) -> GuestPhysical {
        let end = ram.value + ramSizeBytes
        return GuestPhysical(max(1, (end + pciHighSizeBytes - 1) / pciHighSizeBytes) * pciHighSizeBytes)
    }
}
