// A host thread that runs device rounds, so that a vCPU that notified a device goes on at once.

import Host

/// One thread that serves one virtio device, for as long as the device lives.
public final class DeviceWorker: VirtioWorker, @unchecked Sendable {
    // SAFETY (Sendable): mutable state is guarded by `monitor`.
    private let monitor = Monitor()
    private weak var core: VirtioCore?
    private var woken = false
    private var stopping = false
    private static let stackBytes = 512 << 10

    /// Starts a thread and attaches it to `core`.
    /// - Throws: `HostError` when no thread can be had.
    public init(core: VirtioCore) throws {
        self.core = core
        let name = "virtio \(core.device.deviceID)"
        try HostThread(name: name, stackSizeBytes: Self.stackBytes) { [self] in serve() }.detach()
        core.attach(worker: self)
    }

    /// Lets the thread run what is pending.
    public func wake() {
        monitor.locked {
            woken = true
            monitor.broadcast()
        }
    }

    /// Ends the thread once the round it may be in is over.
    public func stop() {
        monitor.locked {
            stopping = true
            monitor.broadcast()
        }
    }

    private func serve() {
        while true {
            let go = monitor.locked {
                while !woken && !stopping { monitor.wait() }
                woken = false
                return !stopping
            }
            guard go else { return }
            core?.runPending()
        }
    }
}
