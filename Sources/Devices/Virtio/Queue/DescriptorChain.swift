// One request as the driver queued it: the buffers of a descriptor chain, already checked against guest RAM.
// VIRTIO 1.2 section 2.7.4. Framing carries no meaning (section 2.7.4.1): readers and writers address bytes, not buffers.

import GuestMemory

/// The buffers of one descriptor chain: first those the device reads, then those it writes.
public struct DescriptorChain {
    /// A piece of guest RAM, known to lie inside it.
    public struct Buffer {
        public let address: GuestPhysical
        public let count: Int
    }

    /// Index of the first descriptor, by which the driver knows the request.
    public let head: UInt16
    /// The device-readable buffers, none of them empty.
    public let readable: [Buffer]
    /// The device-writable buffers, none of them empty.
    public let writable: [Buffer]
    /// Total length of `readable`; at most 2^32.
    public let readableBytes: Int
    /// Total length of `writable`; at most 2^32.
    public let writableBytes: Int
    private let ram: GuestRAM

    init(head: UInt16, readable: [Buffer], writable: [Buffer], ram: GuestRAM) {
        self.head = head
        self.readable = readable
        self.writable = writable
        readableBytes = readable.reduce(0) { $0 + $1.count }
        writableBytes = writable.reduce(0) { $0 + $1.count }
        self.ram = ram
    }

    /// Copies readable bytes from `offset` on. Returns how many there were, at most `destination.count`.
    public func read(at offset: Int, into destination: UnsafeMutableRawBufferPointer) -> Int {
        var done = 0
        for piece in Self.cut(readable, offset: offset, count: destination.count) {
            let target = UnsafeMutableRawBufferPointer(rebasing: destination[done..<(done + piece.count)])
            guard ram.read(piece.address, into: target) else { break }
            done += piece.count
        }
        return done
    }

    /// The readable bytes from `offset` on, at most `count`.
    public func bytes(at offset: Int, count: Int) -> [UInt8] {
        let available = max(0, min(count, readableBytes - max(0, offset)))
        return [UInt8](unsafeUninitializedCapacity: available) { buffer, initialized in
            initialized = read(at: offset, into: UnsafeMutableRawBufferPointer(buffer))
        }
    }

    /// A little-endian integer among the readable bytes, or nil when they end before it does.
    public func load<Value: FixedWidthInteger>(_ type: Value.Type, at offset: Int) -> Value? {
        var value = Value.zero
        let count = withUnsafeMutableBytes(of: &value) { read(at: offset, into: $0) }
        return count == MemoryLayout<Value>.size ? Value(littleEndian: value) : nil
    }

    /// Copies bytes into the writable part from `offset` on. Returns how many fitted.
    @discardableResult
    public func write(at offset: Int, from source: UnsafeRawBufferPointer) -> Int {
        var done = 0
        for piece in Self.cut(writable, offset: offset, count: source.count) {
            guard ram.write(piece.address, from: UnsafeRawBufferPointer(rebasing: source[done..<(done + piece.count)]))
            else { break }
            done += piece.count
        }
        return done
    }

    /// Copies bytes into the writable part from `offset` on. Returns how many fitted.
    @discardableResult
    public func write(at offset: Int, _ bytes: [UInt8]) -> Int { bytes.withUnsafeBytes { write(at: offset, from: $0) } }

    /// The pieces of guest RAM behind `count` readable bytes from `offset` on; fewer when the buffers end.
    public func readablePieces(offset: Int, count: Int) -> [Buffer] { Self.cut(readable, offset: offset, count: count) }

    /// The pieces of guest RAM behind `count` writable bytes from `offset` on; fewer when the buffers end.
    public func writablePieces(offset: Int, count: Int) -> [Buffer] { Self.cut(writable, offset: offset, count: count) }

    private static func cut(_ buffers: [Buffer], offset: Int, count: Int) -> [Buffer] {
        guard offset >= 0, count > 0 else { return [] }
        if let only = buffers.first, offset == 0, only.count >= count {
            return [Buffer(address: only.address, count: count)]
        }
        var pieces: [Buffer] = []
        var skip = offset
        var left = count
        for buffer in buffers {
            if skip >= buffer.count {
                skip -= buffer.count
                continue
            }
            let length = min(left, buffer.count - skip)
            pieces.append(Buffer(address: buffer.address + UInt64(skip), count: length))
            skip = 0
            left -= length
            if left == 0 { break }
        }
        return pieces
    }
}
