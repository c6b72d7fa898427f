// Numbers every virtio transport and device shares.
// Virtual I/O Device (VIRTIO) Version 1.2, sections 2.1 (status), 2.2 and 6 (features), 5 (device types).
// Only the modern interface exists here: a driver that does not accept VIRTIO_F_VERSION_1 is refused at FEATURES_OK.

/// Bits of the device status field (section 2.1).
public enum VirtioStatus {
    public static let acknowledge: UInt8 = 1
    public static let driver: UInt8 = 2
    public static let driverOK: UInt8 = 4
    public static let featuresOK: UInt8 = 8
    public static let deviceNeedsReset: UInt8 = 64
    public static let failed: UInt8 = 128
}

/// Feature bits that do not depend on the device type (section 6), as masks.
public enum VirtioFeature {
    public static let indirectDescriptors: UInt64 = 1 << 28
    public static let eventIndex: UInt64 = 1 << 29
    public static let version1: UInt64 = 1 << 32
    public static let ringReset: UInt64 = 1 << 40
    /// Offered by every device of this implementation.
    public static let common: UInt64 = indirectDescriptors | eventIndex | version1 | ringReset
}

/// Device types (section 5).
public enum VirtioDeviceID: UInt32, Sendable {
    case block = 2
    case console = 3
    case entropy = 4
    case balloon = 5
    case nineP = 9
}

/// Why a driver's behaviour made the device stop and ask for a reset (DEVICE_NEEDS_RESET, section 2.1.2).
public enum VirtioFault: Error, Equatable, CustomStringConvertible {
    case ringOutsideMemory(queue: Int)
    case ringMisaligned(queue: Int)
    case availableIndexRanAhead(queue: Int)
    case descriptorIndexOutOfRange(queue: Int)
    case descriptorLoop(queue: Int)
    case descriptorOutsideMemory(queue: Int)
    case chainTooLong(queue: Int)
    case readableAfterWritable(queue: Int)
    case badIndirectTable(queue: Int)
    case malformedRequest(queue: Int, String)
    case driverOKWithoutFeatures

    public var description: String {
        switch self {
        case .ringOutsideMemory(let queue): "queue \(queue): a ring lies outside guest RAM"
        case .ringMisaligned(let queue): "queue \(queue): a ring is misaligned"
        case .availableIndexRanAhead(let queue): "queue \(queue): the available index is ahead by more than the queue size"
        case .descriptorIndexOutOfRange(let queue): "queue \(queue): a descriptor index exceeds its table"
        case .descriptorLoop(let queue): "queue \(queue): a descriptor chain loops"
        case .descriptorOutsideMemory(let queue): "queue \(queue): a buffer lies outside guest RAM"
        case .chainTooLong(let queue): "queue \(queue): a descriptor chain is too long"
        case .readableAfterWritable(let queue): "queue \(queue): a readable buffer follows a writable one"
        case .badIndirectTable(let queue): "queue \(queue): an indirect descriptor table is malformed"
        case .malformedRequest(let queue, let reason): "queue \(queue): \(reason)"
        case .driverOKWithoutFeatures: "DRIVER_OK was set before FEATURES_OK; legacy drivers are not supported"
        }
    }
}
