// Feature bits, configuration layout and request format of the block device. VIRTIO 1.2 sections 5.2.3–5.2.6.

/// Feature bits, as masks.
enum VirtioBlockFeature {
    static let segMax: UInt64 = 1 << 2
    static let readOnly: UInt64 = 1 << 5
    static let blkSize: UInt64 = 1 << 6
    static let flush: UInt64 = 1 << 9
    static let topology: UInt64 = 1 << 10
    static let configWCE: UInt64 = 1 << 11
    static let discard: UInt64 = 1 << 13
    static let writeZeroes: UInt64 = 1 << 14
}

/// Offsets in configuration space.
enum VirtioBlockConfig {
    static let capacity = 0
    static let segMax = 12
    static let blkSize = 20
    static let physicalBlockExp = 24
    static let minIOSize = 26
    static let optIOSize = 28
    static let writeback = 32
    static let maxDiscardSectors = 36
    static let maxDiscardSeg = 40
    static let discardSectorAlignment = 44
    static let maxWriteZeroesSectors = 48
    static let maxWriteZeroesSeg = 52
    static let writeZeroesMayUnmap = 56
    static let length = 60
}

/// The fixed parts of a request.
enum VirtioBlockRequest {
    static let headerBytes = 16
    static let sectorOffset = 8
    static let statusBytes = 1
    static let idBytes = 20
    /// A discard or write-zeroes range: sector, number of sectors, flags.
    static let rangeBytes = 16
    static let rangeUnmap: UInt32 = 1

    static let typeIn: UInt32 = 0
    static let typeOut: UInt32 = 1
    static let typeFlush: UInt32 = 4
    static let typeGetID: UInt32 = 8
    static let typeDiscard: UInt32 = 11
    static let typeWriteZeroes: UInt32 = 13

    static let statusOK: UInt8 = 0
    static let statusIOError: UInt8 = 1
    static let statusUnsupported: UInt8 = 2
}
