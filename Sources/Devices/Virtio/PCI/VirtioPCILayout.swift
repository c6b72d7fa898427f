// Where the structures of a virtio PCI function lie, and the fields of its common configuration.
// VIRTIO 1.2 sections 4.1.2 (discovery), 4.1.4 (structures), 4.1.4.3 (common configuration).

/// Identity (section 4.1.2).
enum VirtioPCIIdentity {
    static let vendor: UInt16 = 0x1af4
    /// Added to the virtio device type. Transitional identities (0x1000…) are for devices with a legacy interface.
    static let deviceBase: UInt16 = 0x1040
    static let revision: UInt8 = 1

    /// Base class, sub-class and interface, by device type.
    static func classCode(_ device: VirtioDeviceID) -> UInt32 {
        switch device {
        case .block: 0x01_8000  // mass storage, other
        case .console: 0x07_8000  // communication, other
        case .entropy, .balloon, .nineP: 0xff_0000  // no class fits
        }
    }
}

/// The virtio vendor-specific capability (section 4.1.4).
enum VirtioPCICapability {
    static let id: UInt8 = 0x09
    static let commonConfig: UInt8 = 1
    static let notifyConfig: UInt8 = 2
    static let isrConfig: UInt8 = 3
    static let deviceConfig: UInt8 = 4
    static let pciConfig: UInt8 = 5
    static let bytes: UInt8 = 16
    /// With notify_off_multiplier, or with pci_cfg_data.
    static let bytesExtended: UInt8 = 20
    /// Offsets in the capability.
    static let bar = 4
    static let offset = 8
    static let length = 12
    static let data = 16
}

/// The structures' places in their BAR.
enum VirtioPCIBAR {
    static let structures = 4
    static let structuresBytes: UInt64 = 0x4000
    static let common: UInt64 = 0x0000
    static let commonBytes: UInt64 = 0x1000
    static let isr: UInt64 = 0x1000
    static let isrBytes: UInt64 = 0x1000
    static let device: UInt64 = 0x2000
    static let deviceBytes: UInt64 = 0x1000
    static let notify: UInt64 = 0x3000
    static let notifyBytes: UInt64 = 0x1000
    static let notifyMultiplier: UInt64 = 4

    static let msix = 1
    static let msixBytes: UInt64 = 0x1000
    static let msixTable: UInt64 = 0
    static let msixPending: UInt64 = 0x800
}

/// Offsets in the common configuration structure.
enum VirtioPCICommon {
    static let deviceFeatureSelect: UInt64 = 0x00
    static let deviceFeature: UInt64 = 0x04
    static let driverFeatureSelect: UInt64 = 0x08
    static let driverFeature: UInt64 = 0x0c
    static let configMSIXVector: UInt64 = 0x10
    static let numQueues: UInt64 = 0x12
    static let deviceStatus: UInt64 = 0x14
    static let configGeneration: UInt64 = 0x15
    static let queueSelect: UInt64 = 0x16
    static let queueSize: UInt64 = 0x18
    static let queueMSIXVector: UInt64 = 0x1a
    static let queueEnable: UInt64 = 0x1c
    static let queueNotifyOff: UInt64 = 0x1e
    static let queueDesc: UInt64 = 0x20
    static let queueDriver: UInt64 = 0x28
    static let queueDevice: UInt64 = 0x30
    static let queueReset: UInt64 = 0x3a

    static let noVector: UInt16 = 0xffff
}
