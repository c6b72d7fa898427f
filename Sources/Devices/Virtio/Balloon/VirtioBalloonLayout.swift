// Feature bits, queues and formats of the balloon. VIRTIO 1.2 sections 5.5.2–5.5.6.

/// Feature bits, as masks.
enum VirtioBalloonFeature {
    static let mustTellHost: UInt64 = 1 << 0
    static let statsVQ: UInt64 = 1 << 1
    static let deflateOnOOM: UInt64 = 1 << 2
    static let freePageHint: UInt64 = 1 << 3
    static let pageReporting: UInt64 = 1 << 5
}

/// Offsets in configuration space.
enum VirtioBalloonConfig {
    static let numPages = 0
    static let actual = 4
    static let freePageHintCommand = 8
    static let poisonValue = 12
    static let length = 16
}

/// Queue positions when every optional queue exists.
enum VirtioBalloonQueue {
    static let inflate = 0
    static let deflate = 1
    static let stats = 2
    static let freePageHint = 3
    static let reporting = 4
}

/// The size of a balloon page, whatever the guest's page size is (section 5.5.6).
enum VirtioBalloonPage {
    static let sizeBytes: UInt64 = 4096
}

/// Memory statistics the guest reports (section 5.5.6.4).
public enum BalloonStatistic: UInt16, Sendable {
    case swapIn = 0
    case swapOut = 1
    case majorFaults = 2
    case minorFaults = 3
    case freeBytes = 4
    case totalBytes = 5
    case availableBytes = 6
    case diskCacheBytes = 7
    case hugePageAllocations = 8
    case hugePageFailures = 9
}
