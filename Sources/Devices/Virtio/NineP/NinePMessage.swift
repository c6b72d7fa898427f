// Reading and writing 9P messages: little-endian integers, counted strings. 9P: intro(5).

import Glibc

/// A cursor over a request. Reading past the end is EINVAL: the peer miscounted.
struct NinePReader {
    private let bytes: ArraySlice<UInt8>
    private var position: Int

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        position = bytes.startIndex
    }

    var remaining: Int { bytes.endIndex - position }

    mutating func get<Value: FixedWidthInteger & UnsignedInteger>(_: Value.Type = Value.self) throws(FileFailure) -> Value {
        let size = MemoryLayout<Value>.size
        guard remaining >= size else { throw FileFailure(EINVAL) }
        var value = Value.zero
        for index in 0..<size { value |= Value(bytes[position + index]) << Value(8 * index) }
        position += size
        return value
    }

    /// A string: bytes in no particular encoding.
    mutating func getString() throws(FileFailure) -> [UInt8] { try take(Int(try get(UInt16.self))) }

    mutating func getName() throws(FileFailure) -> FileName { try FileName(try getString()) }

    mutating func take(_ count: Int) throws(FileFailure) -> [UInt8] { Array(try slice(count)) }

    mutating func slice(_ count: Int) throws(FileFailure) -> ArraySlice<UInt8> {
        guard count >= 0, count <= remaining else { throw FileFailure(EINVAL) }
        defer { position += count }
        return bytes[position..<(position + count)]
    }
}

/// A reply under construction.
struct NinePWriter {
    private(set) var bytes: [UInt8]

    /// Starts a reply; the size is filled in by `finished`.
    init(type: UInt8, tag: UInt16, capacity: Int = 64) {
        bytes = []
        bytes.reserveCapacity(capacity)
        put(UInt32(0))
        put(type)
        put(tag)
    }

    /// Starts a part of a message, without header.
    init() { bytes = [] }

    var count: Int { bytes.count }

    mutating func put<Value: FixedWidthInteger>(_ value: Value) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// A string of at most 65535 bytes.
    mutating func put(string: some Collection<UInt8>) {
        put(UInt16(clamping: string.count))
        bytes.append(contentsOf: string.prefix(Int(UInt16.max)))
    }

    mutating func put(_ qid: NinePQID) {
        put(qid.type)
        put(qid.version)
        put(qid.path)
    }

    /// Appends a 32-bit count and at most `limit` bytes that `fill` writes; `fill` returns how many.
    mutating func putCounted(limit: Int,
                             _ fill: (UnsafeMutableRawBufferPointer) throws(FileFailure) -> Int) throws(FileFailure) {
        let start = bytes.count + 4
        put(UInt32(0))
        bytes.append(contentsOf: repeatElement(0, count: limit))
        var failure: FileFailure?
        let count = bytes.withUnsafeMutableBytes { buffer in
            do throws(FileFailure) {
                return try fill(UnsafeMutableRawBufferPointer(rebasing: buffer[start...]))
            } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        bytes.removeLast(limit - count)
        set(UInt32(count), at: start - 4)
    }

    mutating func putCounted(_ body: some Collection<UInt8>) {
        put(UInt32(clamping: body.count))
        bytes.append(contentsOf: body)
    }

    /// The message with its size in place.
    mutating func finished() -> [UInt8] {
        set(UInt32(bytes.count), at: 0)
        return bytes
    }

    private mutating func set(_ value: UInt32, at offset: Int) {
        for index in 0..<4 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index)) }
    }

    static func error(_ failure: FileFailure, tag: UInt16) -> [UInt8] {
        var writer = NinePWriter(type: NinePType.lerrorReply, tag: tag)
        writer.put(UInt32(bitPattern: failure.code))
        return writer.finished()
    }
}
