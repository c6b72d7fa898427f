// A container's process in the foreground: its signals, its terminal and its exit status are the command's.

import CContainerInit
import Glibc
import Host

enum Foreground {
    /// Waits for a process, which must be a child.
    /// - Parameter terminal: the master of its terminal, which is joined with standard input and output.
    /// - Returns: its exit status, or 128 and the number of the signal that killed it.
    static func wait(for pid: Int32, terminal: Descriptor?) throws -> Int32 {
        let signals = Descriptor(guise_all_signals())
        guard signals.number >= 0 else { throw HostError("signalfd", "signals") }
        var relay = terminal.map { TerminalRelay(master: $0) }
        relay?.resize()
        defer { relay?.restore() }
        while true {
            if let status = reap(pid) {
                relay?.drain()
                return status
            }
            var polls = [pollfd(fd: signals.number, events: Int16(POLLIN), revents: 0)]
            polls += relay?.polls ?? []
            let ready = poll(&polls, nfds_t(polls.count), -1)
            if ready < 0, errno != EINTR { throw HostError("poll", "container \(pid)") }
            while case let signal = guise_take_signal(signals.number), signal > 0 {
                switch signal {
                case SIGCHLD, SIGPIPE: break
                case SIGWINCH where relay != nil: relay?.resize()
                // The container's process decides what each of them means.
                default: kill(pid, signal)
                }
            }
            relay?.move(Array(polls.dropFirst()))
        }
    }

    /// Takes every ended child; the status of `pid` if it is among them.
    private static func reap(_ pid: Int32) -> Int32? {
        var result: Int32?
        var status: Int32 = 0
        while case let ended = waitpid(-1, &status, WNOHANG), ended > 0 {
            if ended == pid { result = status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F }
        }
        return result
    }
}

/// Moves bytes between the user's terminal and the container's.
struct TerminalRelay {
    private let master: Descriptor
    private var saved: termios?
    private var inputIsOpen = true, outputIsOpen = true
    private var toMaster: [UInt8] = [], toOutput: [UInt8] = []

    init(master: Descriptor) {
        self.master = master
        _ = fcntl(master.number, F_SETFL, fcntl(master.number, F_GETFL) | O_NONBLOCK)
        var settings = termios()
        if isatty(0) == 1, tcgetattr(0, &settings) == 0 {
            saved = settings
            cfmakeraw(&settings)
            tcsetattr(0, TCSADRAIN, &settings)
        }
    }

    func restore() {
        if var saved { tcsetattr(0, TCSADRAIN, &saved) }
    }

    /// Gives the container's terminal the size of the user's.
    func resize() {
        var size = winsize()
        if ioctl(0, UInt(TIOCGWINSZ), &size) == 0 { _ = ioctl(master.number, UInt(TIOCSWINSZ), &size) }
    }

    var polls: [pollfd] {
        let wantsInput = inputIsOpen && toMaster.count < 65536
        let wantsOutput = outputIsOpen && toOutput.count < 65536
        let masterEvents = (wantsOutput ? Int16(POLLIN) : 0) | (toMaster.isEmpty ? 0 : Int16(POLLOUT))
        return [
            pollfd(fd: wantsInput ? 0 : -1, events: Int16(POLLIN), revents: 0),
            pollfd(fd: outputIsOpen ? master.number : -1, events: masterEvents, revents: 0),
            pollfd(fd: toOutput.isEmpty ? -1 : 1, events: Int16(POLLOUT), revents: 0),
        ]
    }

    mutating func move(_ polls: [pollfd]) {
        guard polls.count == 3 else { return }
        if polls[0].revents != 0 {
            // End of input: the terminal's own end-of-file character tells the program.
            if Self.read(0, into: &toMaster) == 0 { inputIsOpen = false; toMaster.append(4) }
        }
        if polls[1].revents & Int16(POLLIN | POLLHUP | POLLERR) != 0, Self.read(master.number, into: &toOutput) == 0 {
            outputIsOpen = false
        }
        Self.write(&toMaster, to: master.number)
        if polls[2].revents != 0 || !toOutput.isEmpty { Self.write(&toOutput, to: 1) }
    }

    /// What the program wrote before it ended.
    mutating func drain() {
        while outputIsOpen, Self.read(master.number, into: &toOutput) > 0 { Self.write(&toOutput, to: 1) }
        Self.write(&toOutput, to: 1)
    }

    /// Bytes read; 0 at the end, -1 when there are none now.
    private static func read(_ descriptor: Int32, into bytes: inout [UInt8]) -> Int {
        var buffer = [UInt8](repeating: 0, count: 16384)
        let got = Glibc.read(descriptor, &buffer, buffer.count)
        if got > 0 { bytes += buffer[..<got] }
        // EIO: the last holder of the other side has closed it.
        if got < 0 { return errno == EAGAIN || errno == EINTR ? -1 : 0 }
        return got
    }

    private static func write(_ bytes: inout [UInt8], to descriptor: Int32) {
        guard !bytes.isEmpty else { return }
        let wrote = Glibc.write(descriptor, bytes, bytes.count)
        if wrote > 0 { bytes.removeFirst(wrote) }
        if wrote < 0, errno != EAGAIN, errno != EINTR { bytes.removeAll() }
    }
}
