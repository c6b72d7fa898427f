// The virtio console: one byte stream each way. VIRTIO 1.2 section 5.3.
// Absent: multiple ports (VIRTIO_CONSOLE_F_MULTIPORT).

import GuestMemory
import SavedState

/// A virtio console (device type 3).
public final class VirtioConsole: VirtioDevice, @unchecked Sendable {
    // SAFETY (Sendable): mutable state is guarded by `monitor`.
    private enum Feature {
        static let size: UInt64 = 1 << 0
        static let emergencyWrite: UInt64 = 1 << 2
    }
    private enum Config {
        static let cols = 0, rows = 2, maxPorts = 4, emergencyWrite = 8, length = 12
    }
    private static let receiveQueue = 0
    private static let transmitQueue = 1
    /// Input kept for a guest that does not read it.
    static let inputBytesMax = 1 << 16
    /// Output is handed over in pieces of at most this size.
    private static let outputPieceBytes = 1 << 16
    /// Output taken in one request; drivers send pages. It bounds what a sink without room still has to keep.
    private static let outputChainBytesMax = 1 << 20

    public let deviceID = VirtioDeviceID.console
    public let queueSizes: [UInt16] = [64, 64]
    public var offeredFeatures: UInt64 { Feature.size | Feature.emergencyWrite }

    private let sink: any ConsoleSink
    private weak var link: (any VirtioLink)?
    private let monitor = Monitor()
    private var input: [UInt8] = []
    private var refusedInput = false
    private var columns: UInt16 = 80
    private var rows: UInt16 = 25

    /// There is room for input again after `receive` took less than it was given. Set before the machine runs; called on
    /// vCPU and worker threads.
    public var inputWanted: (@Sendable () -> Void)?

    /// - Parameter sink: where the guest's output goes. Called on vCPU and worker threads.
    public init(sink: any ConsoleSink) { self.sink = sink }

    /// Offers input to the guest. Callable on any thread.
    /// - Returns: how many bytes were taken; the rest did not fit and is the caller's to offer again.
    @discardableResult
    public func receive(_ bytes: some Collection<UInt8>) -> Int {
        let taken = monitor.locked {
            let room = Self.inputBytesMax - input.count
            input.append(contentsOf: bytes.prefix(room))
            if bytes.count > room { refusedInput = true }
            return min(room, bytes.count)
        }
        link?.kick(queue: Self.receiveQueue)
        return taken
    }

    /// Tells the guest the size of the terminal behind the console. Callable on any thread.
    public func resize(columns: UInt16, rows: UInt16) {
        let changed = monitor.locked {
            defer { (self.columns, self.rows) = (columns, rows) }
            return self.columns != columns || self.rows != rows
        }
        if changed { link?.configurationChanged() }
    }

    /// The sink has room for output again. Callable on any thread.
    public func outputReady() { link?.kick(queue: Self.transmitQueue) }

    public var configuration: [UInt8] {
        let (columns, rows) = monitor.locked { (self.columns, self.rows) }
        var bytes = ConfigurationBytes(count: Config.length)
        bytes.put(columns, at: Config.cols)
        bytes.put(rows, at: Config.rows)
        bytes.put(UInt32(1), at: Config.maxPorts)
        return bytes.bytes
    }

    public func writeConfiguration(offset: Int, size: Int, value: UInt64) {
        guard offset == Config.emergencyWrite else { return }
        withUnsafeBytes(of: UInt8(truncatingIfNeeded: value)) { sink.write($0) }
    }

    public func connect(_ link: any VirtioLink) { self.link = link }
    public func activate(features: UInt64) {}
    public func reset() {}

    public func notify(queue: Virtqueue) throws(VirtioFault) {
        if queue.index == Self.receiveQueue { try deliver(queue) } else { try transmit(queue) }
    }

    private func transmit(_ queue: Virtqueue) throws(VirtioFault) {
        while sink.hasRoom, let chain = try queue.next() {
            guard chain.readableBytes <= Self.outputChainBytesMax else {
                throw .malformedRequest(queue: queue.index, "\(chain.readableBytes) bytes of output in one request")
            }
            var offset = 0
            while offset < chain.readableBytes {
                let piece = chain.bytes(at: offset, count: Self.outputPieceBytes)
                guard !piece.isEmpty else { break }
                piece.withUnsafeBytes { sink.write($0) }
                offset += piece.count
            }
            queue.complete(chain, written: 0)
        }
    }

    private func deliver(_ queue: Virtqueue) throws(VirtioFault) {
        while monitor.locked({ !input.isEmpty }), let chain = try queue.next() {
            let piece = monitor.locked {
                let piece = Array(input.prefix(chain.writableBytes))
                input.removeFirst(piece.count)
                return piece
            }
            chain.write(at: 0, piece)
            queue.complete(chain, written: piece.count)
        }
        let wanted = monitor.locked {
            defer { refusedInput = refusedInput && input.count == Self.inputBytesMax }
            return refusedInput && input.count < Self.inputBytesMax
        }
        if wanted { inputWanted?() }
    }

    public func save(to writer: inout StateWriter) {
        monitor.locked {
            writer.section("virtio-console", version: 1) { writer in
                writer.put(columns)
                writer.put(rows)
                writer.put(bytes: input)
            }
        }
    }

    public func restore(from reader: inout StateReader) throws {
        try reader.section("virtio-console", newest: 1) { reader, _ in
            let columns = try reader.get(UInt16.self)
            let rows = try reader.get(UInt16.self)
            let bytes = try reader.getBytes()
            guard bytes.count <= Self.inputBytesMax else {
                throw StateError.invalid(section: reader.sectionName, reason: "\(bytes.count) bytes of pending input")
            }
            monitor.locked { (self.columns, self.rows, input) = (columns, rows, bytes) }
        }
    }
}
