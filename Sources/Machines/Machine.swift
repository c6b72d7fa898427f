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
    // SAFETY (Sendable): hart threads reach only immutable fields, devices through the bus, `pendingPower` and
    // `timerDeadlines` (each behind its mutex); everything else belongs to the thread of `run`.
    static let panicGraceTicks: UInt64 = 30_000_000
    static let flushTimeoutMilliseconds: Int32 = 2000

    /// What the machine was built from.
    public let configuration: MachineConfiguration
    /// The guest's memory.
    public let ram: GuestRAM
    /// The devices and their wiring.
    public let board: VirtBoard
    /// The time that the guest sees.
    public let clock: GuestClock
    let environment: MachineEnvironment
    let boot: BootFacts
    let harts: [Hart]
    let serial: SerialPort
    let console: ConsolePort?
    let timerDeadlines: Mutex<[UInt64?]>
    let timers: TimerQueue
    private(set) var supervisorTimers: [DeadlineTimer] = []
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
        let plan = try Self.plan(configuration)
        try self.init(configuration, BootFacts(plan), environment)
        do { try load(plan) } catch {
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
        clock = GuestClock(source: environment.clockSource)
        timers = try TimerQueue(clock: clock)
        ram = try GuestRAM(start: VirtMap.ram, sizeBytes: configuration.memorySizeBytes)
        timerDeadlines = Mutex(Array(repeating: nil, count: configuration.cpus))
        let late = LateBound()
        serial = SerialPort(try Self.endpoint(configuration.serial, "Serial port", environment, late), loop: loop)
        let loop = loop
        console = try configuration.virtioConsole.map { choice in
            ConsolePort(SerialPort(try Self.endpoint(choice, "Virtio console", environment, late), loop: loop))
        }
        var virtio = try environment.makeVirtio(configuration)
        if let console { virtio.slots.append(console.slot) }
        let timers = timers, serial = serial, clock = clock
        board = try VirtBoard(ram: ram, services: BoardServices(
            clock: clock, makeTimer: { _, fire in timers.makeTimer(fire) },
            harts: (0..<configuration.cpus).map { hart in
                HartInputs { bit, level in late.machine?.harts[hart].setInterrupt(bit, level) }
            },
            serial: serial, serialInputWanted: { [weak serial] in serial?.inputWanted() },
            power: { event in late.machine?.power(event) }, wallNanoseconds: Self.wallNanoseconds
        ), virtio: virtio)
        let board = board, ram = ram
        harts = try (0..<configuration.cpus).map { hart in
            let timer = timers.makeTimer { late.machine?.harts[hart].setInterrupt(InterruptBit.supervisorTimer, true) }
            return Hart(cpu: try environment.makeCPU(CPURequest(
                hartID: hart, hartCount: configuration.cpus, engine: configuration.engine, ram: ram, bus: board.bus,
                services: HartServices(clock: clock, supervisorTimer: timer), suppliesSBI: boot.suppliesSBI,
                toHost: boot.toHost.map { GuestPhysical($0) }, logTopics: environment.logTopics)))
        }
        late.machine = self
        supervisorTimers = harts.indices.map { hart in timers.makeTimer { late.machine?.supervisorTimerFired(hart) } }
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
            self.panicTimer.set(deadlineTicks: self.clock.ticks &+ Self.panicGraceTicks)
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

    private static func plan(_ configuration: MachineConfiguration) throws -> BootPlan {
        try BootPlan(try BootLoader.files(configuration), ramStart: VirtMap.ram.value,
                     ramSizeBytes: configuration.memorySizeBytes)
    }

    /// Fills RAM and lines the harts up at the entry.
    private func load(_ plan: BootPlan) throws {
        var random = SystemRandomNumberGenerator()
        let chosen = ChosenNode(bootArguments: configuration.append, initrd: plan.initrd,
                                randomSeed: (0..<32).map { _ in UInt8.random(in: 0...255, using: &random) })
        let tree = board.deviceTree(harts: environment.harts, chosen: chosen, timebaseHz: clock.frequencyHz)
        try BootLoader.place(plan, deviceTree: FlattenedDeviceTree.encode(tree), into: ram)
        for hart in harts where plan.privilege == .machine || hart.cpu.hartID == 0 {
            _ = hart.start(HartEntry(pc: plan.entry, a0: UInt64(hart.cpu.hartID), a1: plan.deviceTree,
                                     a2: plan.firmwareInformation, privilege: plan.privilege))
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
        let plan = try Self.plan(configuration)
        guard BootFacts(plan) == boot else {
            throw MachineError(configuration.kernel ?? "kernel", "another kind of program than the machine was started with",
                               advice: "start the machine again")
        }
        pauseAll()
        board.bus.reset()
        madvise(ram.base, Int(ram.sizeBytes), MADV_REMOVE)
        ram.noteWrite(ram.start, length: ram.sizeBytes)
        for index in harts.indices {
            harts[index].markStopped()
            supervisorTimers[index].set(deadlineTicks: nil)
            harts[index].cpu.setInterrupt(InterruptBit.supervisorTimer, false)
            harts[index].cpu.setInterrupt(InterruptBit.supervisorSoftware, false)
        }
        timerDeadlines.withLock { for index in $0.indices { $0[index] = nil } }
        try load(plan)
        pendingPower.withLock { $0 = nil }
        board.bus.resume()
        resumeAll()
    }

    private func lookWhetherIdle() {
        if idleWatch.look() { harts.first?.cpu.releaseCaches() }
        idleTimer.set(deadlineTicks: clock.ticks &+ IdleWatch.periodTicks)
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
    func suspend(to path: String) throws {
        pauseAll()
        do {
            // A power event that has not been carried out yet is state no file can hold.
            guard pendingPower.withLock({ $0 == nil }), end == nil else {
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
        finish(.suspended)
    }

    private static let wallNanoseconds: @Sendable () -> UInt64 = {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return UInt64(now.tv_sec) &* 1_000_000_000 &+ UInt64(now.tv_nsec)
    }
}

// MARK: Saved state

extension Machine {
    /// Everything but RAM and configuration. Harts are parked.
    func save(to writer: inout StateWriter) {
        writer.section("machine", version: 2) { writer in
            let deadlines = timerDeadlines.withLock { $0 }
            for (index, hart) in harts.enumerated() {
                let saved = hart.saved
                writer.put(saved.status.rawValue)
                for entry in [saved.entry, saved.restart] { entry.save(to: &writer) }
                writer.put(deadlines[index] != nil)
                writer.put(deadlines[index] ?? 0)
            }
            writer.put(bytes: serial.pendingInput)
            writer.put(bytes: console?.port.pendingInput ?? [])
        }
        clock.save(to: &writer)
        for hart in harts {
            writer.section("hart \(hart.cpu.hartID)", version: 1) { hart.cpu.save(to: &$0) }
        }
        board.bus.save(to: &writer)
    }

    /// CPUs come before the bus: restored devices drive their lines, and those levels are the right ones.
    func restore(from reader: inout StateReader) throws {
        var deadlines: [UInt64?] = []
        try reader.section("machine", newest: 2) { reader, version in
            guard version == 2 else {
                throw StateError.unsupportedVersion(section: "machine", found: version, newest: 2)
            }
            for hart in harts {
                let raw: UInt64 = try reader.get()
                guard let status = SBIHartStatus(rawValue: raw) else {
                    throw StateError.invalid(section: "machine", reason: "hart state \(raw)")
                }
                let entry = try HartEntry?(from: &reader), restart = try HartEntry?(from: &reader)
                guard (status == .startPending) == (entry != nil), (status == .suspended) == (restart != nil) else {
                    throw StateError.invalid(section: "machine", reason: "hart state \(raw) does not fit its entry")
                }
                hart.saved = Hart.Saved(status: status, entry: entry, restart: restart)
                let armed = try reader.getBool()
                let deadline: UInt64 = try reader.get()
                deadlines.append(armed ? deadline : nil)
            }
            serial.pendingInput = try reader.getBytes()
            let pending = try reader.getBytes()
            console?.port.pendingInput = pending
        }
        try clock.restore(from: &reader)
        for hart in harts {
            try reader.section("hart \(hart.cpu.hartID)", newest: 1) { reader, _ in try hart.cpu.restore(from: &reader) }
        }
        try board.bus.restore(from: &reader)
        timerDeadlines.withLock { $0 = deadlines }
        for index in harts.indices { supervisorTimers[index].set(deadlineTicks: deadlines[index]) }
    }
}

extension HartEntry? {
    fileprivate func save(to writer: inout StateWriter) {
        writer.put(self != nil)
        let entry = self ?? HartEntry(pc: 0, a0: 0, a1: 0, privilege: .machine)
        for word in [entry.pc, entry.a0, entry.a1, entry.a2] { writer.put(word) }
        writer.put(entry.privilege.rawValue)
    }

    fileprivate init(from reader: inout StateReader) throws {
        let present = try reader.getBool()
        let words = try (0..<4).map { _ in try reader.get(UInt64.self) }
        let raw: UInt8 = try reader.get()
        guard let privilege = Privilege(rawValue: raw) else {
            throw StateError.invalid(section: "machine", reason: "privilege \(raw)")
        }
        self = present ? HartEntry(pc: words[0], a0: words[1], a1: words[2], a2: words[3], privilege: privilege) : nil
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
