// The control socket of a named machine: one request per connection, one line each way.
//
// Requests: `status`, `suspend PATH` (absolute). Replies: `ok …` or `error MESSAGE`. Lines end with a newline and hold at
// most 8 KiB. Connections are served on the event loop and never make it wait. The machine's end closes the connection of a
// successful `suspend`: whoever waits for that finds name and disks free.

import CHost
import Glibc
import Host

/// A request from another process of the same user.
enum ControlRequest: Equatable {
    case status
    case suspend(path: String)

    init?(_ line: String) {
        if line == "status" { self = .status; return }
        guard line.hasPrefix("suspend "), line.dropFirst(8).hasPrefix("/") else { return nil }
        self = .suspend(path: String(line.dropFirst(8)))
    }
}

/// An answer to a request.
struct ControlReply: Equatable {
    /// Without its newline.
    let text: String
    /// Whether the machine ends now: the connection stays open until it is gone.
    var isLast = false
}

/// The supervisor's end.
final class ControlSocket: EventLoop.Source {
    static let lineMax = 8192
    static let connectionsMax = 16

    private let listener: Int32
    private var isOpen = true
    private var connections: [Int32: [UInt8]] = [:]
    /// Peers that wait for the machine's end.
    private var lasting: [Int32] = []
    private let handle: (ControlRequest) -> ControlReply

    /// - Parameter handle: carries a request out.
    init(path: String, handle: @escaping (ControlRequest) -> ControlReply) throws {
        listener = try UnixSocket.listen(path)
        self.handle = handle
    }

    var interests: [(descriptor: Int32, events: Int16)] {
        let open = connections.keys.map { (descriptor: $0, events: Int16(POLLIN)) }
        return open.count < Self.connectionsMax ? [(listener, Int16(POLLIN))] + open : open
    }

    func ready(_ descriptor: Int32, _ events: Int16) {
        if descriptor == listener {
            let peer = guise_accept(listener)
            if peer >= 0 { connections[peer] = [] }
            return
        }
        guard var line = connections[descriptor] else { return }
        var buffer = [UInt8](repeating: 0, count: 1024)
        let count = read(descriptor, &buffer, buffer.count)
        if count < 0, errno == EINTR || errno == EAGAIN { return }
        guard count > 0 else { return drop(descriptor) }
        line.append(contentsOf: buffer.prefix(count))
        guard let end = line.firstIndex(of: UInt8(ascii: "\n")) else {
            if line.count > Self.lineMax { drop(descriptor) } else { connections[descriptor] = line }
            return
        }
        let text = String(decoding: line[..<end], as: UTF8.self)
        let reply = ControlRequest(text).map(handle) ?? ControlReply(text: "error unknown request")
        let bytes = Array((reply.text + "\n").utf8)
        _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        guard reply.isLast else { return drop(descriptor) }
        connections[descriptor] = nil
        lasting.append(descriptor)
    }

    deinit {
        shutDown()
        for descriptor in lasting { close(descriptor) }
    }

    func shutDown() {
        guard isOpen else { return }
        isOpen = false
        for descriptor in connections.keys { close(descriptor) }
        connections = [:]
        close(listener)
    }

    private func drop(_ descriptor: Int32) {
        close(descriptor)
        connections[descriptor] = nil
    }
}

/// Another process's end.
public enum MachineControl {
    /// Suspends a running machine into a file; returns once the machine is gone, its name and disks free.
    /// - Parameter file: an absolute path.
    /// - Throws: `MachineError` when there is no such machine or it could not be saved.
    public static func suspend(name: String, file: String) throws {
        guard file.hasPrefix("/"), !file.contains("\n") else { throw MachineError(file, "not an absolute path of one line") }
        _ = try request("suspend \(file)", of: name)
    }

    /// What a running machine says about itself.
    public static func status(name: String) throws -> String { try request("status", of: name) }

    private static func request(_ line: String, of name: String) throws -> String {
        try MachineConfiguration.check(name: name)
        let descriptor: Int32
        do {
            descriptor = try UnixSocket.connect(StateDirectory.controlSocket(of: name))
        } catch let error as HostError where error.errno == ENOENT || error.errno == ECONNREFUSED {
            throw MachineError(name, "no machine of that name is running", advice: "start it with guise boot --name \(name)")
        }
        defer { close(descriptor) }
        let bytes = Array((line + "\n").utf8)
        guard send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            throw HostError("send", name)
        }
        var reply: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1024)
        while reply.count <= ControlSocket.lineMax {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            reply.append(contentsOf: buffer.prefix(count))
        }
        let text = String(decoding: reply.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        if text == "ok" || text.hasPrefix("ok ") { return String(text.dropFirst(3)) }
        if text.hasPrefix("error ") { throw MachineError(name, String(text.dropFirst(6))) }
        throw MachineError(name, "the machine ended without an answer")
    }
}
