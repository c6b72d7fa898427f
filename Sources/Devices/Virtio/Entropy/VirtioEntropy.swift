// The virtio entropy device. VIRTIO 1.2 section 5.4.

import GuestMemory
import SavedState

/// A virtio random number generator (device type 4).
public final class VirtioEntropy: VirtioDevice {
    /// Bytes given per request; a driver that offers more room gets a short answer (section 5.4.6).
    static let requestBytesMax = 1 << 16

    public let deviceID = VirtioDeviceID.entropy
    public let queueSizes: [UInt16] = [64]
    public var offeredFeatures: UInt64 { 0 }
    public var configuration: [UInt8] { [] }
    private let source: any EntropySource

    public init(source: any EntropySource = HostEntropy()) { self.source = source }

    public func connect(_ link: any VirtioLink) {}
    public func activate(features: UInt64) {}
    public func reset() {}

    public func notify(queue: Virtqueue) throws(VirtioFault) {
        while let chain = try queue.next() {
            var bytes = [UInt8](repeating: 0, count: min(chain.writableBytes, Self.requestBytesMax))
            bytes.withUnsafeMutableBytes { source.fill($0) }
            queue.complete(chain, written: chain.write(at: 0, bytes))
        }
    }

    /// The device keeps nothing between requests.
    public func save(to writer: inout StateWriter) { writer.section("virtio-entropy", version: 1) { _ in } }
    public func restore(from reader: inout StateReader) throws {
        try reader.section("virtio-entropy", newest: 1) { _, _ in }
    }
}
