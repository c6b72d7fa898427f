// The host side of a serial port: buffers between the guest's UART and a host endpoint.
//
// Output is collected on vCPU threads and written by the event loop. An endpoint with a reader behind it makes the guest
// wait when its buffer is full; one that may have none (pty, socket) drops instead. Input is read only while the guest
// has room, so nothing piles up.

import Devices
import Glibc
import Host
import Synchronization

/// Where a serial port's bytes go on the host.
protocol SerialEndpoint: AnyObject {
    /// Takes the host's side into use, just before the machine runs.
    func activate() throws
    /// Readable when the peer sent something; nil when there is no peer.
    var inputDescriptor: Int32? { get }
    /// Writable; nil drops output.
    var outputDescriptor: Int32? { get }
    /// Whether output is dropped rather than held back when the peer does not read.
    var dropsWhenFull: Bool { get }
    /// A descriptor that becomes readable when a peer arrives.
    var listeningDescriptor: Int32? { get }
    func accept()
    /// The peer closed its side, or it failed.
    func inputEnded()
    func outputFailed()
    /// Takes the endpoint's own commands out of what was typed.
    func filter(_ bytes: [UInt8]) -> [UInt8]
    /// Releases host resources.
    func close()
}

/// A serial port's buffers.
final class SerialPort: SerialOutput, EventLoop.Source, @unchecked Sendable {
    // SAFETY (Sendable): output is guarded by its mutex; everything else belongs to the event loop's thread.
    static let outputMax = 64 << 10
    static let inputMax = 4096
    /// One write; not above PIPE_BUF, so that a writable pipe never blocks us.
    static let writeChunk = 4096

    private struct Output {
        var bytes: [UInt8] = []
        var refused = false
        var watch = PanicWatch()
    }
    private let output = Mutex(Output())
    private var input: [UInt8] = []
    private let endpoint: any SerialEndpoint
    private weak var loop: EventLoop?
    /// Gives bytes to the guest's port; returns how many it took. Set before the machine runs.
    var deliver: (_ bytes: [UInt8]) -> Int = { $0.count }
    /// Tells the guest's port that there is room for output again.
    var outputReady: () -> Void = {}
    /// The guest printed its last words.
    var panicEnded: @Sendable () -> Void = {}

    init(_ endpoint: any SerialEndpoint, loop: EventLoop) {
        self.endpoint = endpoint
        self.loop = loop
        loop.add(self)
    }

    // MARK: The guest's side, any thread

    func send(_ byte: UInt8) -> Bool { write([byte]) == 1 }

    /// Takes bytes without waiting; returns how many.
    func write(_ bytes: [UInt8]) -> Int {
        let (taken, wasEmpty, ended) = output.withLock { output in
            let wasEmpty = output.bytes.isEmpty
            var taken = min(bytes.count, Self.outputMax - output.bytes.count)
            output.bytes.append(contentsOf: bytes.prefix(taken))
            if taken < bytes.count {
                if endpoint.dropsWhenFull { taken = bytes.count } else { output.refused = true }
            }
            let before = output.watch.hasEnded
            for byte in bytes.prefix(taken) { output.watch.take(byte) }
            return (taken, wasEmpty, output.watch.hasEnded && !before)
        }
        if wasEmpty, taken > 0 { loop?.wake() }
        if ended { panicEnded() }
        return taken
    }

    /// Takes bytes whether or not there is room; for a port that asks `hasRoom` first.
    func append(_ bytes: UnsafeRawBufferPointer) {
        let (wasEmpty, ended) = output.withLock { output in
            let wasEmpty = output.bytes.isEmpty, before = output.watch.hasEnded
            if !endpoint.dropsWhenFull || output.bytes.count < Self.outputMax { output.bytes.append(contentsOf: bytes) }
            for byte in bytes { output.watch.take(byte) }
            return (wasEmpty, output.watch.hasEnded && !before)
        }
        if wasEmpty, !bytes.isEmpty { loop?.wake() }
        if ended { panicEnded() }
    }

    /// Whether the output buffer takes more; a no is followed by `outputReady`.
    var hasRoom: Bool {
        output.withLock { output in
            if output.bytes.count < Self.outputMax || endpoint.dropsWhenFull { return true }
            output.refused = true
            return false
        }
    }

    /// Whether the guest's last output says that it panicked, and whether it still stands there.
    var panic: (announced: Bool, ended: Bool) {
        output.withLock { ($0.watch.hasPanicked, $0.watch.hasEnded) }
    }

    /// Typed bytes that the guest had no room for yet; part of a suspended machine.
    var pendingInput: [UInt8] {
        get { input }
        set { input = Array(newValue.prefix(Self.inputMax)) }
    }

    func activate() throws {
        try endpoint.activate()
        pump()
    }

    /// The guest has room again.
    func inputWanted() { loop?.post { [weak self] in self?.pump() } }

    // MARK: The host's side, event loop

    var interests: [(descriptor: Int32, events: Int16)] {
        var interests: [(descriptor: Int32, events: Int16)] = []
        if let descriptor = endpoint.listeningDescriptor { interests.append((descriptor, Int16(POLLIN))) }
        if let descriptor = endpoint.inputDescriptor, input.count < Self.inputMax {
            interests.append((descriptor, Int16(POLLIN)))
        }
        if output.withLock({ !$0.bytes.isEmpty }) {
            if let descriptor = endpoint.outputDescriptor {
                interests.append((descriptor, Int16(POLLOUT)))
            } else {
                discardOutput()
            }
        }
        return interests
    }

    func ready(_ descriptor: Int32, _ events: Int16) {
        if descriptor == endpoint.listeningDescriptor { return endpoint.accept() }
        if descriptor == endpoint.outputDescriptor, events & Int16(POLLOUT | POLLERR | POLLHUP | POLLNVAL) != 0,
           output.withLock({ !$0.bytes.isEmpty }) {
            writeSome(descriptor)
        }
        if descriptor == endpoint.inputDescriptor, events & Int16(POLLIN | POLLERR | POLLHUP | POLLNVAL) != 0,
           input.count < Self.inputMax {
            readSome(descriptor)
        }
    }

    /// Writes what is left, waiting for a slow reader at most this long.
    func flush(timeoutMilliseconds: Int32) {
        while let descriptor = endpoint.outputDescriptor, output.withLock({ !$0.bytes.isEmpty }) {
            var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            guard poll(&entry, 1, timeoutMilliseconds) > 0 else { return }
            writeSome(descriptor)
        }
    }

    func close() { endpoint.close() }

    private func pump() {
        guard !input.isEmpty else { return }
        input.removeFirst(min(input.count, deliver(input)))
    }

    private func readSome(_ descriptor: Int32) {
        var buffer = [UInt8](repeating: 0, count: Self.inputMax - input.count)
        let count = read(descriptor, &buffer, buffer.count)
        if count < 0, errno == EINTR || errno == EAGAIN { return }
        guard count > 0 else { return endpoint.inputEnded() }
        input.append(contentsOf: endpoint.filter(Array(buffer.prefix(count))))
        pump()
    }

    private func writeSome(_ descriptor: Int32) {
        let chunk = output.withLock { Array($0.bytes.prefix(Self.writeChunk)) }
        let count = Glibc.write(descriptor, chunk, chunk.count)
        if count < 0, errno == EINTR || errno == EAGAIN { return }
        guard count >= 0 else {
            endpoint.outputFailed()
            return discardOutput()
        }
        remove(count)
    }

    private func discardOutput() { remove(.max) }

    private func remove(_ count: Int) {
        let wasRefused = output.withLock { output in
            output.bytes.removeFirst(min(count, output.bytes.count))
            defer { output.refused = false }
            return output.refused
        }
        if wasRefused { outputReady() }
    }
}
