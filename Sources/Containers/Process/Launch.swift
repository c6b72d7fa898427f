// Starts the interpreter of a setup plan and follows it until its process waits for `start` or has become the container's program.

import CContainerInit
import Glibc
import Host

/// A process on its way into a container.
final class Launch {
    /// The runtime's end of the channel.
    private let channel: Descriptor
    /// The process that was spawned; it may end before the container's own process does.
    private let spawned: Int32
    private let cloneCount: Int
    private var clones: [Int32] = []
    /// The container's process, in the runtime's pid namespace.
    var pid: Int32 { clones.last ?? spawned }

    /// Where the process stands.
    enum Event {
        /// It exists, with all the namespaces.
        case exists
        /// It waits at a sync point; `proceed` lets it go on.
        case waits(SyncPoint)
        /// It waits for `start`.
        case isCreated
        /// The channel is closed: the program runs, or the process has died.
        case isExecuted
    }

    /// Spawns the interpreter.
    /// - Parameter keeping: descriptors that the plan names.
    init(_ plan: SetupPlan, keeping descriptors: [Int32]) throws {
        let file = Descriptor(guise_memfd("guise-oci plan"))
        guard file.number >= 0 else { throw HostError("memfd_create", "setup plan") }
        try HostFiles.writeAll(plan.encoded(), to: file, name: "setup plan")
        var pair: [Int32] = [-1, -1]
        guard guise_channel(&pair) == 0 else { throw HostError("socketpair", "setup channel") }
        channel = Descriptor(pair[0])
        let other = Descriptor(pair[1])
        let executable = Descriptor(guise_container_executable())
        guard executable.number >= 0 else { throw HostError("open", "/proc/self/exe") }
        spawned = guise_container_spawn(executable.number, file.number, other.number, descriptors, Int32(descriptors.count))
        guard spawned > 0 else { throw HostError("exec", "container set-up") }
        cloneCount = plan.cloneCount
    }

    /// What happens next.
    /// - Throws: `RuntimeError` with what the process could not do.
    func next() throws -> Event {
        while true {
            var message = guise_message()
            let size = MemoryLayout<guise_message>.size
            var got = 0
            repeat { got = recv(channel.number, &message, size, 0) } while got < 0 && errno == EINTR
            guard got > 0 else {
                reapEarlier()
                return .isExecuted
            }
            switch message.kind {
            case guise_message_pid.rawValue:
                clones.append(Int32(truncatingIfNeeded: message.value))
                if clones.count == 1 { var status: Int32 = 0; guise_wait(spawned, &status, 0) }
                if clones.count == cloneCount { return .exists }
            case guise_message_sync.rawValue:
                // The word of a process may come before its parent has told its number.
                if let point = SyncPoint(rawValue: message.value & 0xFF) { return .waits(point) }
            case guise_message_ready.rawValue: return .isCreated
            case guise_message_error.rawValue: throw Self.error(message)
            default: throw RuntimeError("The container's process sent an unknown message")
            }
        }
    }

    /// Waits until the number of the process that is at a sync point is known.
    func awaitProcess(clones count: Int) throws {
        while clones.count < count { _ = try next() }
    }

    /// Lets a waiting process go on.
    func proceed() throws {
        var word = UInt8(ascii: "g")
        guard send(channel.number, &word, 1, Int32(MSG_NOSIGNAL)) == 1 else {
            throw RuntimeError("The container's process ended during set-up")
        }
    }

    /// Processes that have handed over are done; they must not stay as zombies.
    private func reapEarlier() {
        var status: Int32 = 0
        for pid in clones.dropLast() { guise_wait(pid, &status, WNOHANG) }
    }

    /// Ends everything that was started.
    func kill() {
        var status: Int32 = 0
        for pid in Set(clones + [spawned]) where guise_wait(pid, &status, WNOHANG) == 0 {
            Glibc.kill(pid, SIGKILL)
            guise_wait(pid, &status, 0)
        }
    }

    /// The error that a message describes.
    static func error(_ message: guise_message) -> RuntimeError {
        var copy = message
        let bytes = withUnsafeBytes(of: &copy.text) { Array($0) }
        let parts = bytes.split(separator: 0, maxSplits: 3, omittingEmptySubsequences: false)
            .prefix(3).map { String(decoding: $0, as: UTF8.self) }
        let label = parts[0], call = parts.count > 1 ? parts[1] : "", detail = parts.count > 2 ? parts[2] : ""
        let reason = message.code == 0 ? "" : String(cString: strerror(message.code))
        switch call {
        case "find":
            return RuntimeError(message.code == ENOENT ? "\(label): executable file '\(detail)' not found in $PATH: \(reason)"
                : "\(label): exec '\(detail)': \(reason)")
        case "exec": return RuntimeError("\(label): exec '\(detail)': \(reason)")
        case "hook": return RuntimeError("\(label): the hook failed: \([detail, reason].filter { !$0.isEmpty }.joined(separator: ": "))")
        default:
            let kernel = detail.split(separator: "\n").first.map { ": " + $0.drop { $0 == "e" || $0 == " " } } ?? ""
            return RuntimeError("\(label)\(call.isEmpty ? "" : ": \(call)")\(kernel.isEmpty ? "" : detail.hasPrefix("e ") ? kernel : ": \(detail)"): \(reason)")
        }
    }
}
