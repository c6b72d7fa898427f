// A POSIX thread with a name and a stack of known size.

import CHost
import Glibc

/// A running thread.
public final class HostThread: @unchecked Sendable {
    private var thread = pthread_t()
    private let name: String
    private let body: @Sendable () -> Void

    /// Starts a thread.
    /// - Parameters:
    ///   - name: shown by `ps -L`; cut to 15 bytes.
    ///   - stackSizeBytes: at least 64 KiB.
    /// - Throws: `HostError` when the host has no more threads.
    public init(name: String, stackSizeBytes: Int, _ body: @escaping @Sendable () -> Void) throws {
        self.name = name
        self.body = body
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, max(stackSizeBytes, 64 << 10))
        let argument = Unmanaged.passRetained(self)
        let code = pthread_create(&thread, &attributes, { argument in
            // SAFETY: the pointer is the reference retained for this thread, released exactly once, here.
            if let argument { Unmanaged<HostThread>.fromOpaque(argument).takeRetainedValue().serve() }
            return nil
        }, argument.toOpaque())
        guard code == 0 else {
            argument.release()
            throw HostError("pthread_create", "thread '\(name)'", errno: code)
        }
    }

    private func serve() {
        guise_thread_set_name(name)
        body()
    }

    /// Lets the thread end by itself, unwaited for. Call once, instead of `join`.
    public func detach() { pthread_detach(thread) }

    /// Waits for the thread to end. Call once, from another thread.
    public func join() { pthread_join(thread, nil) }
}
