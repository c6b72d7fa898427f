// A host thread that runs device rounds, so that a vCPU that notified a device goes on at once.

import Glibc
import Host

/// One thread that serves one virtio device.
public final class DeviceWorker: VirtioWorker, @unchecked Sendable {
    // SAFETY (Sendable): mutable state is guarded by `monitor`.
    private let monitor = Monitor()
    private weak var core: VirtioCore?
    private var woken = false
    private var stopping = false
    private var stopped = false
    private static let stackBytes = 512 << 10

    /// Starts a thread and attaches it to `core`.
    /// - Throws: `HostError` when no thread can be had.
    public init(core: VirtioCore) throws {
        self.core = core
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, Self.stackBytes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        defer { pthread_attr_destroy(&attributes) }
        var thread = pthread_t()
        let code = pthread_create(&thread, &attributes, { argument in
            // SAFETY: the pointer is the retained reference passed below, released exactly once, here.
            if let argument { Unmanaged<DeviceWorker>.fromOpaque(argument).takeRetainedValue().serve() }
            return nil
        }, Unmanaged.passRetained(self).toOpaque())
        guard code == 0 else {
            Unmanaged.passUnretained(self).release()
            throw HostError("pthread_create", "virtio \(core.device.deviceID) worker", errno: code)
        }
        core.attach(worker: self)
    }

    /// Lets the thread run what is pending.
    public func wake() {
        monitor.locked {
            woken = true
            monitor.broadcast()
        }
    }

    /// Ends the thread and waits until it is gone. Pause the device first; nothing runs afterwards.
    public func stop() {
        monitor.locked {
            stopping = true
            monitor.broadcast()
            while !stopped { monitor.wait() }
        }
    }

    private func serve() {
        while true {
            let go = monitor.locked {
                while !woken && !stopping { monitor.wait() }
                woken = false
                return !stopping
            }
            guard go else { break }
            core?.runPending()
        }
        monitor.locked {
            stopped = true
            monitor.broadcast()
        }
    }
}
