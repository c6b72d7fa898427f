// The virtio 9P transport: a host directory shared with the guest. VIRTIO 1.2 section 5.9 names the device type; its
// layout (one queue, a mount tag in configuration space) is what Linux's net/9p/trans_virtio.c expects.

import GuestMemory
import SavedState

/// A host directory as a mountable file system (device type 9).
public final class VirtioNineP: VirtioDevice {
    private static let featureMountTag: UInt64 = 1 << 0
    /// Linux drivers cut off longer tags in sysfs.
    public static let tagBytesMax = 255

    public let deviceID = VirtioDeviceID.nineP
    public let queueSizes: [UInt16] = [128]
    public var offeredFeatures: UInt64 { Self.featureMountTag }
    public let configuration: [UInt8]
    private let server: NinePServer

    /// - Parameters:
    ///   - directory: what is shared.
    ///   - tag: the name under which the guest mounts it, 1 to 255 bytes of UTF-8.
    public init(directory: HostDirectory, tag: String) {
        let bytes = Array(tag.utf8)
        precondition((1...Self.tagBytesMax).contains(bytes.count), "a mount tag has 1 to 255 bytes")
        configuration = [UInt8(bytes.count), 0] + bytes
        server = NinePServer(tree: directory)
    }

    public func connect(_ link: any VirtioLink) {}
    public func activate(features: UInt64) {}
    public func reset() { server.reset() }

    public func notify(queue: Virtqueue) throws(VirtioFault) {
        while let chain = try queue.next() {
            // One byte more than any message may have, so that the server sees that it is too long.
            let request = chain.bytes(at: 0, count: NinePLimit.messageBytesMax + 1)
            let reply = server.answer(request, replyBytesMax: chain.writableBytes)
            queue.complete(chain, written: chain.write(at: 0, reply))
        }
    }

    public func save(to writer: inout StateWriter) {
        writer.section("virtio-9p", version: 1) { server.save(to: &$0) }
    }

    public func restore(from reader: inout StateReader) throws {
        try reader.section("virtio-9p", newest: 1) { reader, _ in try server.restore(from: &reader) }
    }
}
