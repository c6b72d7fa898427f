// The virtio block device. VIRTIO 1.2 section 5.2.
//
// Durability: with a volatile cache (writeback = 1) only FLUSH makes writes durable; in write-through mode, and for drivers
// that did not negotiate FLUSH, every write is durable before it completes.
// Absent: multiple queues, LIFETIME, SECURE_ERASE, zoned devices, SCSI commands (legacy).

import GuestMemory
import SavedState
import Synchronization

/// A virtio disk (device type 2).
public final class VirtioBlock: VirtioDevice, @unchecked Sendable {
    // SAFETY (Sendable): mutable state is atomic, guarded by `monitor`, or touched only in device rounds.
    public let deviceID = VirtioDeviceID.block
    public let queueSizes: [UInt16] = [VirtioBlock.queueSize]
    static let queueSize: UInt16 = 256
    static let sectorBytes: UInt64 = 512
    /// Data buffers per request: the queue less header and status.
    static let segMax = UInt32(queueSize) - 2
    /// Ranges per discard or write-zeroes request.
    static let rangesMax = 256
    /// Sectors per discard or write-zeroes range: 1 GiB.
    static let rangeSectorsMax: UInt32 = 1 << 21

    private let backend: any DiskBackend
    private let identity: [UInt8]
    private weak var link: (any VirtioLink)?
    private let capacitySectors: UInt64
    private let writeback = Atomic<Bool>(true)

    private let monitor = Monitor()
    private var outstanding = 0
    private var finished: [Finished] = []
    /// Set while `notify` runs, which collects completions itself.
    private var collecting = false
    /// The queue, once it has been seen; completions that arrive while paused go there.
    private var queue: Virtqueue?

    /// A request on its way through the backend.
    private struct Request {
        let chain: DescriptorChain
        /// Bytes of the writable part that precede the status byte.
        let dataBytes: Int
        /// Whether the backend fills those bytes.
        let fills: Bool
    }

    private struct Finished {
        let request: Request
        let status: UInt8
    }

    /// - Parameters:
    ///   - backend: the disk's contents.
    ///   - serial: what GET_ID returns, cut to 20 bytes of UTF-8.
    public init(backend: any DiskBackend, serial: String) {
        self.backend = backend
        capacitySectors = backend.sizeBytes / Self.sectorBytes
        let bytes = Array(serial.utf8.prefix(VirtioBlockRequest.idBytes))
        identity = bytes + [UInt8](repeating: 0, count: VirtioBlockRequest.idBytes - bytes.count)
    }

    public var offeredFeatures: UInt64 {
        let always = VirtioBlockFeature.segMax | VirtioBlockFeature.blkSize | VirtioBlockFeature.flush
            | VirtioBlockFeature.topology | VirtioBlockFeature.configWCE
        return backend.isReadOnly ? always | VirtioBlockFeature.readOnly
            : always | VirtioBlockFeature.discard | VirtioBlockFeature.writeZeroes
    }

    public var configuration: [UInt8] {
        var bytes = ConfigurationBytes(count: VirtioBlockConfig.length)
        bytes.put(capacitySectors, at: VirtioBlockConfig.capacity)
        bytes.put(Self.segMax, at: VirtioBlockConfig.segMax)
        bytes.put(UInt32(Self.sectorBytes), at: VirtioBlockConfig.blkSize)
        let blocks = max(1, backend.physicalBlockBytes / Int(Self.sectorBytes))
        bytes.put(UInt8(blocks.trailingZeroBitCount), at: VirtioBlockConfig.physicalBlockExp)
        bytes.put(UInt16(clamping: blocks), at: VirtioBlockConfig.minIOSize)
        bytes.put(UInt32(0), at: VirtioBlockConfig.optIOSize)
        bytes.put(UInt8(writeback.load(ordering: .relaxed) ? 1 : 0), at: VirtioBlockConfig.writeback)
        bytes.put(Self.rangeSectorsMax, at: VirtioBlockConfig.maxDiscardSectors)
        bytes.put(UInt32(Self.rangesMax), at: VirtioBlockConfig.maxDiscardSeg)
        bytes.put(UInt32(blocks), at: VirtioBlockConfig.discardSectorAlignment)
        bytes.put(Self.rangeSectorsMax, at: VirtioBlockConfig.maxWriteZeroesSectors)
        bytes.put(UInt32(Self.rangesMax), at: VirtioBlockConfig.maxWriteZeroesSeg)
        bytes.put(UInt8(1), at: VirtioBlockConfig.writeZeroesMayUnmap)
        return bytes.bytes
    }

    public func writeConfiguration(offset: Int, size: Int, value: UInt64) {
        guard offset == VirtioBlockConfig.writeback, size == 1 else { return }
        writeback.store(value & 1 != 0, ordering: .relaxed)
    }

    public func connect(_ link: any VirtioLink) { self.link = link }

    public func activate(features: UInt64) {
        // A driver that cannot flush gets write-through (section 5.2.5.2).
        if features & VirtioBlockFeature.flush == 0 { writeback.store(false, ordering: .relaxed) }
    }

    public func reset() {
        writeback.store(true, ordering: .relaxed)
    }

    // MARK: Requests

    public func notify(queue: Virtqueue) throws(VirtioFault) {
        monitor.locked {
            self.queue = queue
            collecting = true
        }
        defer { monitor.locked { collecting = false } }
        collect(into: queue)
        while let chain = try queue.next() {
            guard chain.readableBytes >= VirtioBlockRequest.headerBytes,
                  chain.writableBytes >= VirtioBlockRequest.statusBytes else {
                throw .malformedRequest(queue: queue.index, "a block request lacks its header or its status byte")
            }
            start(chain)
            collect(into: queue)
        }
    }

    private func start(_ chain: DescriptorChain) {
        let type = chain.load(UInt32.self, at: 0) ?? 0
        let sector = chain.load(UInt64.self, at: VirtioBlockRequest.sectorOffset) ?? 0
        let room = chain.writableBytes - VirtioBlockRequest.statusBytes
        let payload = chain.readableBytes - VirtioBlockRequest.headerBytes
        switch type {
        case VirtioBlockRequest.typeIn:
            let request = Request(chain: chain, dataBytes: room, fills: true)
            guard let offset = byteRange(sector: sector, bytes: room) else {
                return finish(request, VirtioBlockRequest.statusIOError)
            }
            let pieces = chain.writablePieces(offset: 0, count: room)
            submit(request, .read(offset: offset, buffers(pieces)))
        case VirtioBlockRequest.typeOut:
            let request = Request(chain: chain, dataBytes: 0, fills: false)
            guard !backend.isReadOnly, let offset = byteRange(sector: sector, bytes: payload) else {
                return finish(request, VirtioBlockRequest.statusIOError)
            }
            let pieces = chain.readablePieces(offset: VirtioBlockRequest.headerBytes, count: payload)
            let durable = !writeback.load(ordering: .relaxed)
            submit(request, .write(offset: offset, buffers(pieces), durable: durable))
        case VirtioBlockRequest.typeFlush:
            submit(Request(chain: chain, dataBytes: 0, fills: false), .flush)
        case VirtioBlockRequest.typeGetID:
            let count = min(room, identity.count)
            chain.write(at: 0, Array(identity.prefix(count)))
            finish(Request(chain: chain, dataBytes: count, fills: true), VirtioBlockRequest.statusOK)
        case VirtioBlockRequest.typeDiscard, VirtioBlockRequest.typeWriteZeroes:
            startRanges(chain, payload: payload, discards: type == VirtioBlockRequest.typeDiscard)
        default:
            finish(Request(chain: chain, dataBytes: 0, fills: false), VirtioBlockRequest.statusUnsupported)
        }
    }

    /// A request that names ranges instead of carrying data; they are carried out one after the other.
    private func startRanges(_ chain: DescriptorChain, payload: Int, discards: Bool) {
        let request = Request(chain: chain, dataBytes: 0, fills: false)
        let count = payload / VirtioBlockRequest.rangeBytes
        guard !backend.isReadOnly else { return finish(request, VirtioBlockRequest.statusIOError) }
        guard count > 0, payload % VirtioBlockRequest.rangeBytes == 0, count <= Self.rangesMax else {
            return finish(request, VirtioBlockRequest.statusUnsupported)
        }
        var operations: [DiskOperation] = []
        for index in 0..<count {
            let base = VirtioBlockRequest.headerBytes + index * VirtioBlockRequest.rangeBytes
            let sector = chain.load(UInt64.self, at: base) ?? 0
            let sectors = chain.load(UInt32.self, at: base + 8) ?? 0
            let flags = chain.load(UInt32.self, at: base + 12) ?? 0
            let unmap = flags & VirtioBlockRequest.rangeUnmap != 0
            guard flags & ~VirtioBlockRequest.rangeUnmap == 0, !(discards && unmap) else {
                return finish(request, VirtioBlockRequest.statusUnsupported)
            }
            let length = Int(sectors) * Int(Self.sectorBytes)
            guard sectors <= Self.rangeSectorsMax, let offset = byteRange(sector: sector, bytes: length) else {
                return finish(request, VirtioBlockRequest.statusIOError)
            }
            operations.append(discards ? .discard(offset: offset, length: UInt64(length))
                : .writeZeroes(offset: offset, length: UInt64(length), mayUnmap: unmap))
        }
        if !discards && !writeback.load(ordering: .relaxed) { operations.append(.flush) }
        submit(request, operations[...])
    }

    /// The byte offset of a transfer, or nil when it is not whole sectors inside the disk.
    private func byteRange(sector: UInt64, bytes: Int) -> UInt64? {
        let sectors = UInt64(bytes) / Self.sectorBytes
        guard UInt64(bytes) % Self.sectorBytes == 0, sector <= capacitySectors, sectors <= capacitySectors - sector else {
            return nil
        }
        return sector * Self.sectorBytes
    }

    private func buffers(_ pieces: [DescriptorChain.Buffer]) -> [DiskBuffer] {
        guard let ram = link?.ram else { return [] }
        return pieces.compactMap { piece in
            ram.pointer(piece.address, length: UInt64(piece.count)).map {
                DiskBuffer(UnsafeMutableRawBufferPointer(start: $0, count: piece.count))
            }
        }
    }

    private func submit(_ request: Request, _ operation: DiskOperation) { submit(request, [operation][...]) }

    private func submit(_ request: Request, _ operations: ArraySlice<DiskOperation>) {
        monitor.locked { outstanding += 1 }
        run(request, operations)
    }

    private func run(_ request: Request, _ operations: ArraySlice<DiskOperation>) {
        guard let operation = operations.first else { return completed(request, .done) }
        nonisolated(unsafe) let rest = operations.dropFirst()
        nonisolated(unsafe) let request = request
        backend.submit(operation) { [self] result in
            result == .done ? run(request, rest) : completed(request, result)
        }
    }

    /// Called on the backend's thread.
    private func completed(_ request: Request, _ result: DiskResult) {
        let status = switch result {
        case .done: VirtioBlockRequest.statusOK
        case .failed: VirtioBlockRequest.statusIOError
        case .unsupported: VirtioBlockRequest.statusUnsupported
        }
        let mustKick = monitor.locked {
            outstanding -= 1
            finished.append(Finished(request: request, status: status))
            monitor.broadcast()
            return !collecting
        }
        if mustKick { link?.kick(queue: 0) }
    }

    private func finish(_ request: Request, _ status: UInt8) {
        monitor.locked { finished.append(Finished(request: request, status: status)) }
    }

    /// Hands finished requests back to the driver.
    private func collect(into queue: Virtqueue) {
        let batch = monitor.locked {
            defer { finished.removeAll(keepingCapacity: true) }
            return finished
        }
        guard let ram = link?.ram else { return }
        for entry in batch {
            let chain = entry.request.chain
            // The backend wrote into guest RAM behind GuestRAM's back.
            if entry.request.fills {
                for piece in chain.writablePieces(offset: 0, count: entry.request.dataBytes) {
                    ram.noteWrite(piece.address, length: UInt64(piece.count))
                }
            }
            // The status is the last writable byte; the driver relies on it alone, whatever length is reported.
            chain.write(at: chain.writableBytes - VirtioBlockRequest.statusBytes, [entry.status])
            let written = entry.status == VirtioBlockRequest.statusOK ? entry.request.dataBytes : 0
            queue.complete(chain, written: written + VirtioBlockRequest.statusBytes)
        }
    }

    public func quiesce() {
        let queue = monitor.locked {
            while outstanding > 0 { monitor.wait() }
            return self.queue
        }
        if let queue { collect(into: queue) }
    }

    // MARK: State

    public func save(to writer: inout StateWriter) {
        writer.section("virtio-block", version: 1) { writer in
            writer.put(capacitySectors)
            writer.put(writeback.load(ordering: .relaxed))
        }
    }

    public func restore(from reader: inout StateReader) throws {
        try reader.section("virtio-block", newest: 1) { reader, _ in
            let capacity = try reader.get(UInt64.self)
            guard capacity == capacitySectors else {
                throw StateError.invalid(section: reader.sectionName,
                                         reason: "the disk had \(capacity) sectors, this one has \(capacitySectors)")
            }
            writeback.store(try reader.getBool(), ordering: .relaxed)
        }
    }
}
