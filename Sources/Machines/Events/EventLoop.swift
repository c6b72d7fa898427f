// The machine's one thread for everything that is not guest code: timers, consoles, control, signals.

import CHost
import Glibc
import Host
import Synchronization

/// Polls descriptors and runs posted work. All handlers run on the thread that calls `run`.
public final class EventLoop: @unchecked Sendable {
    /// A descriptor of interest. Sources are asked anew before every wait, so they need no registration dance.
    public protocol Source: AnyObject {
        /// The descriptors to poll and the `POLL…` events wanted.
        var interests: [(descriptor: Int32, events: Int16)] { get }
        /// Something happened on one of them.
        func ready(_ descriptor: Int32, _ events: Int16)
    }

    private let wakeDescriptor: Int32
    private let posted = Mutex<[@Sendable () -> Void]>([])
    private let woken = Atomic<Bool>(false)
    private var sources: [any Source] = []
    private var stopping = false

    /// - Throws: `HostError` when the host has no descriptor to give.
    public init() throws {
        wakeDescriptor = guise_eventfd()
        guard wakeDescriptor >= 0 else { throw HostError("eventfd", "event loop") }
    }

    deinit { close(wakeDescriptor) }

    /// Adds a source. On the loop's thread, or before it runs.
    public func add(_ source: any Source) { sources.append(source) }

    /// Removes a source. On the loop's thread.
    public func remove(_ source: any Source) { sources.removeAll { $0 === source } }

    /// Runs `work` on the loop's thread soon. Callable on any thread.
    public func post(_ work: @escaping @Sendable () -> Void) {
        posted.withLock { $0.append(work) }
        wake()
    }

    /// Makes the loop ask its sources again. Callable on any thread.
    public func wake() {
        guard !woken.exchange(true, ordering: .acquiringAndReleasing) else { return }
        var one: UInt64 = 1
        _ = write(wakeDescriptor, &one, MemoryLayout<UInt64>.size)
    }

    /// Ends `run` after the current round. On the loop's thread.
    public func stop() { stopping = true }

    /// Serves until `stop`.
    public func run() {
        stopping = false
        while !stopping { turn(timeoutMilliseconds: -1) }
    }

    /// One wait and what follows from it.
    public func turn(timeoutMilliseconds: Int32) {
        var descriptors = [pollfd(fd: wakeDescriptor, events: Int16(POLLIN), revents: 0)]
        var owners: [(any Source)?] = [nil]
        for source in sources {
            for interest in source.interests {
                descriptors.append(pollfd(fd: interest.descriptor, events: interest.events, revents: 0))
                owners.append(source)
            }
        }
        guard poll(&descriptors, nfds_t(descriptors.count), timeoutMilliseconds) >= 0 || errno == EINTR else { return }
        if descriptors[0].revents != 0 {
            var count: UInt64 = 0
            _ = read(wakeDescriptor, &count, MemoryLayout<UInt64>.size)
        }
        woken.store(false, ordering: .sequentiallyConsistent)
        let work = posted.withLock { posted in
            defer { posted = [] }
            return posted
        }
        for item in work { item() }
        for (index, entry) in descriptors.enumerated() where entry.revents != 0 {
            guard let owner = owners[index], sources.contains(where: { $0 === owner }) else { continue }
            owner.ready(entry.fd, entry.revents)
        }
    }
}
