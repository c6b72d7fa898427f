// The host ends a serial port can have: the terminal, a pseudo-terminal, a UNIX socket.

import CHost
import Glibc
import Host

/// Standard input and output, with the console keys.
final class StdioEndpoint: SerialEndpoint {
    private(set) var inputDescriptor: Int32? = STDIN_FILENO
    private(set) var outputDescriptor: Int32? = STDOUT_FILENO
    let dropsWhenFull = false
    let listeningDescriptor: Int32? = nil
    private var keys = ConsoleKeys()
    private let command: (ConsoleKeys.Command) -> Void

    init(command: @escaping (ConsoleKeys.Command) -> Void) { self.command = command }

    func activate() throws {
        // A background job must not touch the terminal: SIGTTOU would stop it.
        guard isatty(STDIN_FILENO) == 1, tcgetpgrp(STDIN_FILENO) == getpgrp() else { return }
        guard guise_terminal_raw(STDIN_FILENO) == 0 else { throw HostError("tcsetattr", "standard input") }
    }

    func accept() {}
    func inputEnded() { inputDescriptor = nil }
    func outputFailed() { outputDescriptor = nil }
    func filter(_ bytes: [UInt8]) -> [UInt8] {
        let (guest, commands) = keys.take(bytes)
        for item in commands { command(item) }
        return guest
    }
    func close() { guise_terminal_restore() }
}

/// Nothing: what is sent is dropped.
final class NullEndpoint: SerialEndpoint {
    let inputDescriptor: Int32? = nil
    let outputDescriptor: Int32? = nil
    let dropsWhenFull = true
    let listeningDescriptor: Int32? = nil
    func activate() {}
    func accept() {}
    func inputEnded() {}
    func outputFailed() {}
    func filter(_ bytes: [UInt8]) -> [UInt8] { bytes }
    func close() {}
}

/// A new pseudo-terminal; its path is for the user to open.
final class PtyEndpoint: SerialEndpoint {
    private let master: Int32
    /// Kept open, so that the master does not report a hang-up between users.
    private let slave: Int32
    private var isOpen = true
    let path: String
    var inputDescriptor: Int32? { master }
    var outputDescriptor: Int32? { master }
    let dropsWhenFull = true
    let listeningDescriptor: Int32? = nil

    /// - Throws: `HostError` when the host gives no pseudo-terminal.
    init() throws {
        var name = [CChar](repeating: 0, count: 128)
        let master = guise_open_pty(&name, UInt(name.count))
        guard master >= 0 else { throw HostError("posix_openpt", "--serial pty") }
        path = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC)
        guard slave >= 0 else {
            let error = HostError("open", path)
            Glibc.close(master)
            throw error
        }
        self.master = master
        self.slave = slave
        var settings = termios()
        if tcgetattr(slave, &settings) == 0 {
            cfmakeraw(&settings)
            tcsetattr(slave, TCSANOW, &settings)
        }
    }

    func activate() {}
    func accept() {}
    func inputEnded() {}
    func outputFailed() {}
    func filter(_ bytes: [UInt8]) -> [UInt8] { bytes }
    deinit { close() }
    func close() {
        guard isOpen else { return }
        isOpen = false
        Glibc.close(slave)
        Glibc.close(master)
    }
}

/// A listening UNIX socket that serves one peer at a time.
final class SocketEndpoint: SerialEndpoint {
    private let listener: Int32
    private let path: String
    private var isOpen = true
    private var peer: Int32?
    var inputDescriptor: Int32? { peer }
    var outputDescriptor: Int32? { peer }
    let dropsWhenFull = true
    /// The next peer waits in the queue until this one leaves.
    var listeningDescriptor: Int32? { peer == nil ? listener : nil }

    /// - Throws: `HostError` when the socket cannot be made.
    init(path: String) throws {
        self.path = path
        listener = try UnixSocket.listen(path)
    }

    func activate() {}
    func accept() {
        let descriptor = guise_accept(listener)
        if descriptor >= 0 { peer = descriptor }
    }
    func inputEnded() {
        if let peer { Glibc.close(peer) }
        peer = nil
    }
    func outputFailed() { inputEnded() }
    func filter(_ bytes: [UInt8]) -> [UInt8] { bytes }
    deinit { close() }
    func close() {
        guard isOpen else { return }
        isOpen = false
        inputEnded()
        Glibc.close(listener)
        unlink(path)
    }
}
