// The virtio memory balloon with free page reporting. VIRTIO 1.2 section 5.5.
//
// Pages the guest inflates or reports free go back to the host and read zero when touched again.
// Queue numbers: drivers disagree whether a queue whose feature was not offered keeps its number (the specification) or the
// following ones move up (Linux before 6.11). All five queues are therefore offered, which both sides number alike; if a
// driver declines some of the features, every further queue it sets up is taken to be the reporting queue.
// Free page hinting is offered for that reason only: no hint is ever asked for, and hints are returned unused.
// Absent: PAGE_POISON, so a guest that poisons free pages does not report them.

import GuestMemory
import SavedState

/// A virtio memory balloon (device type 5).
public final class VirtioBalloon: VirtioDevice, @unchecked Sendable {
    // SAFETY (Sendable): mutable state is guarded by `monitor` or touched only in device rounds.
    /// Page numbers accepted in one inflate or deflate request.
    static let pagesPerRequestMax = 1 << 16
    /// Statistics accepted in one buffer.
    private static let statisticsMax = 64
    private static let statisticBytes = 10

    public let deviceID = VirtioDeviceID.balloon
    public let queueSizes: [UInt16] = [128, 128, 16, 128, 128]
    public var offeredFeatures: UInt64 {
        let always = VirtioBalloonFeature.mustTellHost | VirtioBalloonFeature.statsVQ
            | VirtioBalloonFeature.deflateOnOOM | VirtioBalloonFeature.freePageHint
        return reporting ? always | VirtioBalloonFeature.pageReporting : always
    }

    private let reclaimer: any PageReclaimer
    private let reporting: Bool
    private weak var link: (any VirtioLink)?
    private var features: UInt64 = 0
    private let monitor = Monitor()
    private var target: UInt32 = 0
    private var actual: UInt32 = 0
    private var statistics: [BalloonStatistic: UInt64] = [:]
    /// The buffer the guest left for the next request for statistics.
    private var statisticsHead: UInt16?
    private var statisticsWanted = false

    /// - Parameters:
    ///   - reclaimer: where the guest's pages go.
    ///   - reporting: whether the guest is asked to report free pages.
    public init(reclaimer: any PageReclaimer = MemfdReclaimer(), reporting: Bool = true) {
        self.reclaimer = reclaimer
        self.reporting = reporting
    }

    // MARK: The host's side

    /// Asks the guest to give up `pages` pages of 4 KiB in all. Callable on any thread.
    public func setTarget(pages: UInt32) {
        monitor.locked { target = pages }
        link?.configurationChanged()
    }

    /// Pages of 4 KiB the guest says it has given up.
    public var actualPages: UInt32 { monitor.locked { actual } }

    /// The statistics the guest reported last.
    public var latestStatistics: [BalloonStatistic: UInt64] { monitor.locked { statistics } }

    /// Asks the guest for fresh statistics; they appear in `latestStatistics` when it answers. Callable on any thread.
    public func requestStatistics() {
        monitor.locked { statisticsWanted = true }
        link?.kick(queue: VirtioBalloonQueue.stats)
    }

    // MARK: The guest's side

    public var configuration: [UInt8] {
        let (target, actual) = monitor.locked { (self.target, self.actual) }
        var bytes = ConfigurationBytes(count: VirtioBalloonConfig.length)
        bytes.put(target, at: VirtioBalloonConfig.numPages)
        bytes.put(actual, at: VirtioBalloonConfig.actual)
        return bytes.bytes
    }

    public func writeConfiguration(offset: Int, size: Int, value: UInt64) {
        guard offset == VirtioBalloonConfig.actual, size == 4 else { return }
        monitor.locked { actual = UInt32(truncatingIfNeeded: value) }
    }

    public func connect(_ link: any VirtioLink) { self.link = link }
    public func activate(features: UInt64) { self.features = features }

    public func reset() {
        features = 0
        monitor.locked {
            actual = 0
            statistics = [:]
            statisticsHead = nil
            statisticsWanted = false
        }
    }

    public func queueWasReset(_ index: Int) {
        if index == VirtioBalloonQueue.stats { monitor.locked { statisticsHead = nil } }
    }

    public func notify(queue: Virtqueue) throws(VirtioFault) {
        switch queue.index {
        case VirtioBalloonQueue.inflate: try inflate(queue)
        case VirtioBalloonQueue.deflate: try deflate(queue)
        case VirtioBalloonQueue.stats where features & VirtioBalloonFeature.statsVQ != 0: try takeStatistics(queue)
        case VirtioBalloonQueue.freePageHint where features & VirtioBalloonFeature.freePageHint != 0:
            while let chain = try queue.next() { queue.complete(chain, written: 0) }
        default: try takeReports(queue)
        }
    }

    private func inflate(_ queue: Virtqueue) throws(VirtioFault) {
        while let chain = try queue.next() {
            for run in Self.runs(try pages(chain, queue)) { reclaim(run) }
            queue.complete(chain, written: 0)
        }
    }

    /// Deflated pages need no work: the host gives them memory when the guest touches them.
    private func deflate(_ queue: Virtqueue) throws(VirtioFault) {
        while let chain = try queue.next() {
            _ = try pages(chain, queue)
            queue.complete(chain, written: 0)
        }
    }

    /// The page numbers of a request, ascending.
    private func pages(_ chain: DescriptorChain, _ queue: Virtqueue) throws(VirtioFault) -> [UInt32] {
        let count = chain.readableBytes / 4
        guard chain.readableBytes % 4 == 0, count <= Self.pagesPerRequestMax else {
            throw .malformedRequest(queue: queue.index, "\(chain.readableBytes) bytes of balloon page numbers")
        }
        let bytes = chain.bytes(at: 0, count: chain.readableBytes)
        return bytes.withUnsafeBytes { source in
            (0..<count).map { UInt32(littleEndian: source.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)) }
        }.sorted()
    }

    /// Joins neighbours: page numbers become byte ranges of guest-physical memory.
    private static func runs(_ pages: [UInt32]) -> [Range<UInt64>] {
        var runs: [Range<UInt64>] = []
        for page in pages {
            let start = UInt64(page) * VirtioBalloonPage.sizeBytes
            if let last = runs.last, last.upperBound >= start {
                runs[runs.count - 1] = last.lowerBound..<max(last.upperBound, start + VirtioBalloonPage.sizeBytes)
            } else {
                runs.append(start..<(start + VirtioBalloonPage.sizeBytes))
            }
        }
        return runs
    }

    private func takeReports(_ queue: Virtqueue) throws(VirtioFault) {
        while let chain = try queue.next() {
            for buffer in chain.writable {
                // Whole pages only; the chain walk has checked that the range is RAM.
                let mask = GuestRAM.pageSize - 1
                let first = (buffer.address.value + mask) & ~mask
                let end = (buffer.address.value + UInt64(buffer.count)) & ~mask
                if features & VirtioBalloonFeature.pageReporting != 0, first < end { reclaim(first..<end) }
            }
            queue.complete(chain, written: 0)
        }
    }

    /// Gives back the part of a guest-physical range that is RAM. Addresses outside it name nothing of the guest's.
    private func reclaim(_ range: Range<UInt64>) {
        guard let ram = link?.ram else { return }
        let bank = ram.start.value..<(ram.start.value + ram.sizeBytes)
        let inside = range.clamped(to: bank)
        guard !inside.isEmpty else { return }
        let offset = inside.lowerBound - bank.lowerBound
        let length = inside.upperBound - inside.lowerBound
        if reclaimer.reclaim(ram, offset: offset, length: length) {
            ram.noteWrite(GuestPhysical(inside.lowerBound), length: length)
        }
    }

    private func takeStatistics(_ queue: Virtqueue) throws(VirtioFault) {
        while let chain = try queue.next() {
            let count = min(chain.readableBytes / Self.statisticBytes, Self.statisticsMax)
            var fresh: [BalloonStatistic: UInt64] = [:]
            for index in 0..<count {
                let base = index * Self.statisticBytes
                // Unknown tags are allowed and mean nothing to us (section 5.5.6.4).
                if let tag = chain.load(UInt16.self, at: base).flatMap(BalloonStatistic.init(rawValue:)) {
                    fresh[tag] = chain.load(UInt64.self, at: base + 2)
                }
            }
            let surplus = monitor.locked {
                defer { (statistics, statisticsHead) = (fresh, chain.head) }
                return statisticsHead
            }
            // The driver owns one buffer here; a second one replaces the first.
            if let surplus { queue.complete(head: surplus, written: 0) }
        }
        let head = monitor.locked {
            guard statisticsWanted, let head = statisticsHead else { return UInt16?.none }
            (statisticsWanted, statisticsHead) = (false, nil)
            return head
        }
        if let head { queue.complete(head: head, written: 0) }
    }

    // MARK: State

    public func save(to writer: inout StateWriter) {
        monitor.locked {
            writer.section("virtio-balloon", version: 1) { writer in
                writer.put(reporting)
                writer.put(target)
                writer.put(actual)
                writer.put(statisticsHead != nil)
                writer.put(statisticsHead ?? 0)
                writer.put(statisticsWanted)
            }
        }
    }

    public func restore(from reader: inout StateReader) throws {
        try reader.section("virtio-balloon", newest: 1) { reader, _ in
            guard try reader.getBool() == reporting else {
                throw StateError.invalid(section: reader.sectionName, reason: "free page reporting is set up differently")
            }
            let target = try reader.get(UInt32.self)
            let actual = try reader.get(UInt32.self)
            let headValid = try reader.getBool()
            let head = try reader.get(UInt16.self)
            let wanted = try reader.getBool()
            monitor.locked {
                (self.target, self.actual, statisticsWanted) = (target, actual, wanted)
                statisticsHead = headValid ? head : nil
                statistics = [:]
            }
        }
    }
}
