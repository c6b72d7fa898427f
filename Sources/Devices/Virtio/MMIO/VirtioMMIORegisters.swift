// Register offsets and fields of the virtio-mmio transport. VIRTIO 1.2 section 4.2.2, table 4.1.

/// Offsets in a virtio-mmio device's register window; every register is 32 bits wide.
enum VirtioMMIORegister {
    static let magicValue: UInt64 = 0x000
    static let version: UInt64 = 0x004
    static let deviceID: UInt64 = 0x008
    static let vendorID: UInt64 = 0x00c
    static let deviceFeatures: UInt64 = 0x010
    static let deviceFeaturesSel: UInt64 = 0x014
    static let driverFeatures: UInt64 = 0x020
    static let driverFeaturesSel: UInt64 = 0x024
    static let queueSel: UInt64 = 0x030
    static let queueSizeMax: UInt64 = 0x034
    static let queueSize: UInt64 = 0x038
    static let queueReady: UInt64 = 0x044
    static let queueNotify: UInt64 = 0x050
    static let interruptStatus: UInt64 = 0x060
    static let interruptACK: UInt64 = 0x064
    static let status: UInt64 = 0x070
    static let queueDescLow: UInt64 = 0x080
    static let queueDescHigh: UInt64 = 0x084
    static let queueDriverLow: UInt64 = 0x090
    static let queueDriverHigh: UInt64 = 0x094
    static let queueDeviceLow: UInt64 = 0x0a0
    static let queueDeviceHigh: UInt64 = 0x0a4
    static let shmSel: UInt64 = 0x0ac
    static let shmLenLow: UInt64 = 0x0b0
    static let shmLenHigh: UInt64 = 0x0b4
    static let shmBaseLow: UInt64 = 0x0b8
    static let shmBaseHigh: UInt64 = 0x0bc
    static let queueReset: UInt64 = 0x0c0
    static let configGeneration: UInt64 = 0x0fc
    static let config: UInt64 = 0x100
}

/// Constant register values.
enum VirtioMMIOValue {
    /// "virt", little-endian.
    static let magic: UInt32 = 0x7472_6976
    /// The modern register layout; 1 would be the legacy one.
    static let version: UInt32 = 2
    /// "GUIS", little-endian.
    static let vendor: UInt32 = 0x5349_5547
    /// Length and base of a shared memory region that does not exist.
    static let noSharedMemory: UInt32 = 0xffff_ffff
}

/// Bits of InterruptStatus and InterruptACK, and of the PCI ISR status.
enum VirtioInterruptBit {
    static let usedBuffer: UInt32 = 1
    static let configurationChange: UInt32 = 2
    static let all: UInt32 = 3
}
