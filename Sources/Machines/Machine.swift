// A running machine: owns RAM, board, clock, harts and event loop, and carries out what ends, restarts or suspends it.
//
// Threads: `run` is the event loop on its caller's thread; every hart has its own. Power events arise on hart threads and
// are carried out on the loop, with all harts parked at an instruction boundary.

import Bus
import CHost
import Devices
import Glibc
import GuestMemory
import Host
import SavedState
import Synchronization

/// A machine.
public final class Machine: @unchecked Sendable {
    // SAFETY (Sendable): hart threads reach only immutable fields, devices through the bus, and `pendingPower` (behind
    // its mutex); everything else belongs to the thread of `run`.
    static let panicGraceSeconds: UInt64 = 3
    static let flushTimeoutMilliseconds: Int32 = 2000

    /// What the machine was built from.
    public let configuration: MachineConfiguration
    /// The guest's memory.
    public let ram: GuestRAM
    /// The devices and their wiring.
    let board: any Board
    let kind: BoardKind
    /// The time that the guest sees.
    public let clock: GuestClock
    let environment: MachineEnvironment
    let boot: BootFacts
    let harts: [Hart]
    let serial: SerialPort
    let console: ConsolePort?
    let timers: TimerQueue
    private let loop: EventLoop
    private let signals: SignalSource?
    private let directory: StateDirectory?
    private var control: ControlSocket?
    private let pendingPower = Mutex<PowerEvent?>(nil)
    private var panicTimer = DeadlineTimer.never
    private var idleTimer = DeadlineTimer.never
    private var idleWatch = IdleWatch()
    private var end: MachineEnd?
    /// Devices stand still from a restore until the machine runs.
    private var isBusPaused = false

    // MARK: Making

    /// A machine about to execute its first instruction.
    /// - Throws: `MachineError`, `HostError`.
    public convenience init(booting configuration: MachineConfiguration, in environment: MachineEnvironment) throws {
        try configuration.validate()
        let plan = try configuration.board.plan(configuration)
        try self.init(configuration, plan.facts, environment)
        do { try board.load(plan) } catch {
            releaseHost()
            throw error
        }
    }

    /// A machine as it was suspended.
    /// - Parameter engine: replaces the engine it ran on.
    /// - Throws: `SnapshotError`, `MachineError`, `HostError`.
    public convenience init(resuming reader: SnapshotReader, engine: EngineChoice? = nil,
                            in environment: MachineEnvironment) throws {
        var configuration = reader.configuration
        if let engine { configuration.engine = engine }
        try self.init(configuration, reader.boot, environment)
        // Until the file has proved good as a whole nothing of it may reach a disk; `run` ends this.
        board.bus.pause()
        isBusPaused = true
        do {
            var state = StateReader(try reader.readRest(into: ram))
            try restore(from: &state)
            guard state.remaining == 0 else {
                throw StateError.trailingBytes(section: "machine state", count: state.remaining)
            }
        } catch {
            releaseHost()
            if let error = error as? StateError { throw reader.refused(error) }
            throw error
        }
    }

    private init(_ configuration: MachineConfiguration, _ boot: BootFacts, _ environment: MachineEnvironment) throws {
        self.configuration = configuration
        self.boot = boot
        self.environment = environment
        // First of all: threads made later must inherit the blocked signals.
        signals = environment.handlesSignals ? try SignalSource() : nil
        directory = try configuration.name.map { try StateDirectory(name: $0) }
        loop = try EventLoop()
        kind = configuration.board
        clock = GuestClock(frequencyHz: kind.clockHz, source: environment.clockSource)
        timers = try TimerQueue(clock: clock)
        ram = try GuestRAM(start: kind.ramStart, sizeBytes: configuration.memorySizeBytes)
        let late = LateBound()
        serial = SerialPort(try Self.endpoint(configuration.serial, "Serial port", environment, late), loop: loop)
        let loop = loop
        console = try configuration.virtioConsole.map { choice in
            ConsolePort(SerialPort(try Self.endpoint(choice, "Virtio console", environment, late), loop: loop))
        }
        var virtio = try environment.makeVirtio(configuration)
        if let console {
            switch kind.usualBus {
            case .mmio: virtio.slots.append(console.slot)
            case .pci: virtio.functions.append(console.function)
            }
        }
        let timers = timers, serial = serial, clock = clock
        let services = BoardServices(
            clock: clock, makeTimer: { _, fire in timers.makeTimer(fire) },
            harts: (0..<configuration.cpus).map { hart in
                HartInputs { bit, level in late.machine?.harts[hart].setInterrupt(bit, level) }
            },
            serial: serial, serialInputWanted: { [weak serial] in serial?.inputWanted() },
            power: { event in late.machine?.power(event) }, wallNanoseconds: Self.wallNanoseconds)
        switch kind {
        case .virt:
            board = VirtSystem(chips: try VirtBoard(ram: ram, services: services, virtio: virtio), facts: boot,
                               harts: environment.harts) { hart in
                timers.makeTimer { late.machine?.harts[hart].setInterrupt(InterruptBit.supervisorTimer, true) }
            }
        case .microvm:
            board = try MicrovmSystem(configuration: configuration, ram: ram, services: services, virtio: virtio,
                                      debugOutput: environment.debugOutput)
        }
        let board = board, ram = ram
        harts = try (0..<configuration.cpus).map { hart in
            Hart(cpu: try environment.makeCPU(board.completes(CPURequest.Common(
                hartID: hart, hartCount: configuration.cpus, engine: configuration.engine, ram: ram, bus: board.bus,
                clock: clock, logTopics: environment.logTopics))))
        }
        late.machine = self
        board.attach(to: self)
        panicTimer = timers.makeTimer { late.machine?.panicGraceOver() }
        idleTimer = timers.makeTimer { late.machine?.lookWhetherIdle() }
        connectSerial()
        loop.add(TimerSource(timers))
        if let signals {
            signals.received = { [unowned self] number in self.finish(.signal(number)) }
            loop.add(signals)
        }
        if let directory {
            let control = try ControlSocket(path: directory.path + "/control") { [unowned self] in self.answer($0) }
            loop.add(control)
            self.control = control
        }
    }

    private func connectSerial() {
        let uart = board.uart
        // Weak: the UART holds the port as its output.
        serial.deliver = { [weak uart, weak bus = board.bus] bytes in
            guard let uart, let bus else { return 0 }
            return bus.exclusive(uart) { bytes.prefix { uart.receive($0) }.count }
        }
        serial.outputReady = { [weak uart, weak bus = board.bus] in
            guard let uart, let bus else { return }
            bus.exclusive(uart) { uart.outputReady() }
        }
        let panicEnded: @Sendable () -> Void = { [weak self] in
            guard let self else { return }
            self.panicTimer.set(deadlineTicks: self.clock.ticks &+ Self.panicGraceSeconds * self.clock.frequencyHz)
        }
        serial.panicEnded = panicEnded
        console?.port.panicEnded = panicEnded
    }

    private static func endpoint(_ choice: SerialChoice, _ what: String, _ environment: MachineEnvironment,
                                 _ late: LateBound) throws -> any SerialEndpoint {
        switch choice {
        case .stdio:
            return StdioEndpoint { command in
                switch command {
                case .end: late.machine?.finish(.ended)
                case .help: environment.message(ConsoleKeys.help)
                }
            }
        case .pty:
            let endpoint = try PtyEndpoint()
            environment.message("\(what) on \(endpoint.path)")
            return endpoint
        case .socket(let path): return try SocketEndpoint(path: path)
        case .none: return NullEndpoint()
        }
    }

    // MARK: Running

    /// Runs the machine to its end, on this thread. Call once.
    /// - Throws: `HostError` when a hart's thread or the terminal cannot be had.
    public func run() throws -> MachineEnd {
        signal(SIGPIPE, SIG_IGN)
        defer { tearDown() }
        try serial.activate()
        try console?.port.activate()
        for hart in harts { try hart.launch(self) }
        if isBusPaused {
            isBusPaused = false
            board.bus.resume()
        }
        lookWhetherIdle()
        resumeAll()
        loop.run()
        return end ?? .ended
    }

    private func tearDown() {
        for hart in harts { hart.ask(.end) }
        for hart in harts { hart.join() }
        board.bus.pause()
        serial.flush(timeoutMilliseconds: Self.flushTimeoutMilliseconds)
        console?.port.flush(timeoutMilliseconds: Self.flushTimeoutMilliseconds)
        releaseHost()
    }

    /// Gives back what others on the host can see: terminal, sockets, name.
    private func releaseHost() {
        serial.close()
        console?.port.close()
        control?.shutDown()
        directory?.remove()
    }

    /// Shows the user a line behind what the guest has printed so far.
    private func tell(_ line: String) {
        serial.flush(timeoutMilliseconds: Self.flushTimeoutMilliseconds)
        environment.message(line)
    }

    private func finish(_ end: MachineEnd) {
        if self.end == nil { self.end = end }
        loop.stop()
    }

    /// All harts at instruction boundaries, devices idle, time standing still.
    private func pauseAll() {
        for hart in harts { hart.ask(.park) }
        for hart in harts { hart.waitUntilParked() }
        board.bus.pause()
        clock.pause()
        timers.rearm()
    }

    private func resumeAll() {
        clock.resume()
        timers.rearm()
        for hart in harts { hart.ask(.run) }
    }

    // MARK: Power

    /// Takes a power event, on any thread; the first one counts. Harts leave the guest soon.
    func power(_ event: PowerEvent) {
        let isFirst = pendingPower.withLock { pending in
            guard pending == nil else { return false }
            pending = event
            return true
        }
        guard isFirst else { return }
        for hart in harts { hart.ask(.park) }
        loop.post { [weak self] in self?.carryOut(event) }
    }

    /// What the guest's last words on either console say.
    private var panic: (announced: Bool, ended: Bool) {
        let first = serial.panic, second = console?.port.panic ?? (announced: false, ended: false)
        return (first.announced || second.announced, first.ended || second.ended)
    }

    private func carryOut(_ event: PowerEvent) {
        switch event {
        case .powerOff: finish(panic.announced ? .failed(status: 1) : .poweredOff)
        case .fail(let code): finish(.failure(code: UInt64(code)))
        case .reset where panic.announced:
            tell("The guest panicked; the machine ends instead of restarting")
            finish(.failed(status: 1))
        case .reset:
            do { try restart() } catch {
                tell("The machine cannot restart: \(error)")
                finish(.failed(status: 125))
            }
        }
    }

    /// Power-on state with empty RAM, then the boot files anew.
    private func restart() throws {
        let plan = try kind.plan(configuration)
        guard plan.facts == boot else {
            throw MachineError(configuration.kernel ?? "kernel", "another kind of program than the machine was started with",
                               advice: "start the machine again")
        }
        pauseAll()
        board.bus.reset()
        madvise(ram.base, Int(ram.sizeBytes), MADV_REMOVE)
        ram.noteWrite(ram.start, length: ram.sizeBytes)
        for hart in harts { hart.markStopped() }
        board.reset()
        try board.load(plan)
        pendingPower.withLock { $0 = nil }
        board.bus.resume()
        resumeAll()
    }

    private func lookWhetherIdle() {
        if idleWatch.look() { harts.first?.cpu.releaseCaches() }
        idleTimer.set(deadlineTicks: clock.ticks &+ IdleWatch.periodSeconds * clock.frequencyHz)
    }

    private func panicGraceOver() {
        guard panic.ended else { return }
        tell("The guest panicked and stands still; the machine ends")
        finish(.failed(status: 1))
    }

    // MARK: Suspending

    private func answer(_ request: ControlRequest) -> ControlReply {
        switch request {
        case .status:
            return ControlReply(text: "ok running cpus=\(harts.count) memory=\(ram.sizeBytes) "
                                + "engine=\(configuration.engine.rawValue)")
        case .suspend(let path):
            do {
                try suspend(to: path)
                return ControlReply(text: "ok", isLast: true)
            } catch {
                return ControlReply(text: "error " + "\(error)".map { $0 == "\n" ? " " : String($0) }.joined())
            }
        }
    }

    /// Writes the machine into a file and ends it; on failure it goes on as if nothing had happened.
    /// On the loop's thread.
    func suspend(to path: String, end: MachineEnd = .suspended) throws {
        pauseAll()
        do {
            // A power event that has not been carried out yet is state no file can hold.
            guard pendingPower.withLock({ $0 == nil }), self.end == nil else {
                throw MachineError(path, "the machine is just ending or restarting")
            }
            var facts = StateWriter()
            configuration.save(to: &facts)
            boot.save(to: &facts)
            var state = StateWriter()
            save(to: &state)
            let writer = try SnapshotWriter(path: path)
            try writer.write(configuration: facts.bytes, state: state.bytes, ram: ram)
        } catch {
            board.bus.resume()
            if pendingPower.withLock({ $0 == nil }) { resumeAll() }
            throw error
        }
        // Nothing may touch the disks again: the file and they now belong together.
        finish(end)
    }

    /// Keeps the machine in a file for somebody to look at. On any thread.
    func suspendAfterCrash() {
        let path = configuration.crashFile
        loop.post { [weak self] in
            guard let self, self.end == nil else { return }
            do {
                try self.suspend(to: path, end: .failed(status: 1))
                self.tell("The machine is in \(path)")
            } catch {
                self.tell("The machine cannot be kept: \(error)")
                self.finish(.failed(status: 1))
            }
        }
    }

    private static let wallNanoseconds: @Sendable () -> UInt64 = {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return UInt64(now.tv_sec) &* 1_000_000_000 &+ UInt64(now.tv_nsec)
    }
}

/// Lets closures made before the machine reach it.
private final class LateBound: @unchecked Sendable {
    weak var machine: Machine?
}

/// The timer queue as an event source.
private final class TimerSource: EventLoop.Source {
    private let timers: TimerQueue
    init(_ timers: TimerQueue) { self.timers = timers }
    var interests: [(descriptor: Int32, events: Int16)] { [(timers.descriptor, Int16(POLLIN))] }
    func ready(_ descriptor: Int32, _ events: Int16) { timers.fire() }
}

/// Signals that ask the process to end, as an event source.
private final class SignalSource: EventLoop.Source {
    private let descriptor: Int32
    var received: (Int32) -> Void = { _ in }

    init() throws {
        descriptor = guise_termination_signalfd()
        guard descriptor >= 0 else { throw HostError("signalfd", "termination signals") }
    }
    deinit { close(descriptor) }
    var interests: [(descriptor: Int32, events: Int16)] { [(descriptor, Int16(POLLIN))] }
    func ready(_ descriptor: Int32, _ events: Int16) {
        let number = guise_signalfd_take(descriptor)
        if number != 0 { received(number) }
    }
}
