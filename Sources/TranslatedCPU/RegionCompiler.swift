// Makes regions of hot loops beside the vCPUs of a machine: the vCPU that counted goes on in the loop's units meanwhile.
//
// The thread only makes code. The vCPU that asked publishes it, when it is told to look (`MachineCPU.takeRegions`): it knows
// whether the page still holds the bytes that the region was made from, and nobody can have entered it before. Programs have
// no such thread: their process is the guest's alone.

import CHost
import Glibc
import Translator

/// A loop that is to become a region.
struct RegionRequest {
    /// The vCPU that counted.
    let cpu: MachineCPU
    let start: UInt64
    let mode: UInt32
    /// Identity of the page the loop lies in, and its physical address.
    let identity: UInt32
    let physicalPage: UInt64
    /// The guest code from `start` on, as it was when the request was made.
    let code: [UInt8]
    /// The epoch in which the identity was found.
    let seen: UInt32
}

/// The thread of a machine that makes regions; it runs while there is something to do, and a while longer.
final class RegionCompiler: @unchecked Sendable {
    private let runtime: TranslationRuntime
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let wanted: UnsafeMutablePointer<pthread_cond_t>
    // Guarded by the lock.
    private var requests: [RegionRequest] = []
    private var isRunning = false
    private var made: [(request: RegionRequest, region: UnitIndex)] = []

    /// Requests that may wait; more are forgotten, and their loops counted again.
    private static let requestLimit = 64
    private static let idleSeconds = 2
    private static let stackSize = 512 << 10

    init(runtime: TranslationRuntime) {
        self.runtime = runtime
        lock = .allocate(capacity: 1)
        pthread_mutex_init(lock, nil)
        wanted = .allocate(capacity: 1)
        pthread_cond_init(wanted, nil)
    }

    deinit {
        pthread_cond_destroy(wanted)
        wanted.deallocate()
        pthread_mutex_destroy(lock)
        lock.deallocate()
    }

    /// Asks for a region. Where no thread can be had nothing happens: the loop's units go on as they are.
    func request(_ request: RegionRequest) {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        guard requests.count < Self.requestLimit else { return }
        requests.append(request)
        if isRunning {
            pthread_cond_signal(wanted)
        } else {
            isRunning = start()
            if !isRunning { requests.removeAll() }
        }
    }

    /// The regions that a vCPU has asked for and that are made.
    func take(for cpu: MachineCPU) -> [(request: RegionRequest, region: UnitIndex)] {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        let own = made.filter { $0.request.cpu === cpu }
        if !own.isEmpty { made.removeAll { $0.request.cpu === cpu } }
        return own
    }

    private func start() -> Bool {
        var attributes = pthread_attr_t(), thread = pthread_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, Self.stackSize)
        pthread_attr_setdetachstate(&attributes, CInt(PTHREAD_CREATE_DETACHED))
        defer { pthread_attr_destroy(&attributes) }
        // Signals of the process are for its other threads.
        var all = sigset_t(), before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        let reference = Unmanaged.passRetained(self)
        let result = pthread_create(&thread, &attributes, { argument in
            guard let argument else { return nil }
            Unmanaged<RegionCompiler>.fromOpaque(argument).takeRetainedValue().run()
            return nil
        }, reference.toOpaque())
        if result != 0 { reference.release() }
        return result == 0
    }

    private func run() {
        // A member of the runtime needs a state block, although it runs no guest code.
        let block = mmap(nil, StateLayout.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        let state = block == MAP_FAILED ? nil : block
        let context = state.map { TranslationContext(runtime: runtime, state: $0) }
        while let request = next() {
            let region = context.map { make(request, $0) } ?? .noUnit
            guard region != .noUnit else { continue }
            pthread_mutex_lock(lock)
            made.append((request, region))
            pthread_mutex_unlock(lock)
            request.cpu.askToTakeRegions()
        }
        if runtime.options.statistics, let context { fputs("guise: regions: \(context.statistics)\n", stderr) }
        context?.retire()
        if let state { munmap(state, StateLayout.size) }
    }

    private func make(_ request: RegionRequest, _ context: TranslationContext) -> UnitIndex {
        request.code.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return .noUnit }
            return context.prepareRegion(start: request.start, mode: request.mode, context: request.identity,
                                         code: GuestCode(bytes: base, available: bytes.count), seen: request.seen)
        }
    }

    /// The next request; nil when there has been none for a while, and the thread ends.
    private func next() -> RegionRequest? {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        var until = timespec()
        clock_gettime(CLOCK_REALTIME, &until)
        until.tv_sec += Self.idleSeconds
        while requests.isEmpty {
            if pthread_cond_timedwait(wanted, lock, &until) == ETIMEDOUT, requests.isEmpty {
                isRunning = false
                return nil
            }
        }
        return requests.removeFirst()
    }
}
