// One hart of a machine: its thread, whether it runs, waits, is stopped or parked, and how others reach it.
//
// Three things decide what the thread does, all under one lock: the SBI state (started, stopped), the machine's wish
// (run, park, end), and whether a wake-up arrived. A hart in WFI sleeps on the condition; interrupt inputs wake it.

import Bus
import GuestMemory
import Host

/// How a RISC-V hart enters the guest the first time.
public struct HartEntry: Equatable, Sendable {
    public var pc: UInt64
    public var a0: UInt64
    public var a1: UInt64
    /// Only firmware looks at it.
    public var a2: UInt64
    public var privilege: Privilege

    public init(pc: UInt64, a0: UInt64, a1: UInt64, a2: UInt64 = 0, privilege: Privilege) {
        self.pc = pc
        self.a0 = a0
        self.a1 = a1
        self.a2 = a2
        self.privilege = privilege
    }
}

/// What a hart thread asks of its machine.
protocol HartSupervisor: AnyObject {
    /// Handles an exit other than `.halted` and `.kicked`, on the hart's thread.
    func handle(_ exit: VCPUExit, of hart: Hart) -> HartAction
}

/// How a hart goes on after an exit.
enum HartAction: Equatable {
    case resume
    /// Sleeps until woken, as after WFI.
    case wait
    /// Sleeps until woken, then enters at an entry.
    case waitThenEnter(VCPUStart)
    /// Sleeps until started.
    case stopped
}

/// A hart.
final class Hart: @unchecked Sendable {
    // SAFETY (Sendable): mutable state is guarded by `lock`; `cpu` is used as VCPU's contract allows.
    static let stackSizeBytes = 1 << 20

    enum Wish: Equatable { case run, park, end }

    let cpu: any VCPU
    private weak var supervisor: (any HartSupervisor)?
    private let lock = ConditionLock()
    private var wish = Wish.park
    private var parked = false
    private var status = SBIHartStatus.stopped
    private var entry: VCPUStart?
    private var restart: VCPUStart?
    private var waiting = false
    private var woken = false
    private var thread: HostThread?

    /// `cpu` where it is a RISC-V one: looked up once, since a cast costs.
    let riscv: (any RISCVCPU)?

    init(cpu: any VCPU) {
        self.cpu = cpu
        riscv = cpu as? any RISCVCPU
    }

    /// Starts the thread; the hart is parked at first.
    func launch(_ supervisor: any HartSupervisor) throws {
        self.supervisor = supervisor
        thread = try HostThread(name: "hart \(cpu.hartID)", stackSizeBytes: Self.stackSizeBytes) { [self] in serve() }
    }

    // MARK: Reached from any thread

    /// Drives a bit of `mip` and wakes the hart from WFI.
    func setInterrupt(_ bit: Int, _ level: Bool) {
        riscv?.setInterrupt(bit, level)
        if level { wake() }
    }

    /// Ends a wait, since what it waits for may have come.
    func wake() {
        lock.withLock {
            woken = true
            if waiting { lock.broadcast() }
        }
    }

    var state: SBIHartStatus { lock.withLock { status } }

    /// Starts a stopped hart; false when it is not stopped.
    func start(_ entry: VCPUStart) -> Bool {
        lock.withLock {
            guard status == .stopped else { return false }
            status = .startPending
            self.entry = entry
            lock.broadcast()
            return true
        }
    }

    /// Marks the hart as stopped (HSM). On its own thread, or parked.
    func markStopped() {
        lock.withLock {
            status = .stopped
            entry = nil
            restart = nil
        }
    }

    /// Asks the thread to leave guest code at an instruction boundary.
    func ask(_ wish: Wish) {
        lock.withLock {
            guard self.wish != .end else { return }
            self.wish = wish
            lock.broadcast()
        }
        if wish != .run { cpu.kick() }
    }

    /// Waits until the thread is parked. Not on the hart's thread.
    func waitUntilParked() { lock.withLock { while !parked { lock.wait() } } }

    /// Waits until the thread has ended, after `ask(.end)`.
    func join() {
        thread?.join()
        thread = nil
    }

    // MARK: Saved state, while parked

    /// The part of the hart outside the CPU.
    struct Saved: Equatable {
        var status: SBIHartStatus
        var entry: VCPUStart?
        var restart: VCPUStart?
    }

    var saved: Saved {
        get { lock.withLock { Saved(status: status, entry: entry, restart: restart) } }
        set {
            lock.withLock {
                status = newValue.status
                entry = newValue.entry
                restart = newValue.restart
                // A restored hart may have slept in WFI; one spurious wake-up is allowed.
                woken = true
            }
        }
    }

    // MARK: The thread

    private enum Step { case run(VCPUStart?), end }

    private func serve() {
        while case .run(let entry) = nextStep() {
            if let entry { cpu.enter(entry) }
            let exit = cpu.run()
            switch exit {
            case .kicked: continue
            case .halted: sleep()
            default: carryOut(supervisor?.handle(exit, of: self) ?? .stopped)
            }
        }
        cpu.finish()
    }

    private func carryOut(_ action: HartAction) {
        switch action {
        case .resume: break
        case .wait: sleep()
        case .waitThenEnter(let entry):
            lock.withLock {
                restart = entry
                status = .suspended
            }
        case .stopped: markStopped()
        }
    }

    /// Waits until there is guest code to run, parking meanwhile if asked.
    private func nextStep() -> Step {
        lock.withLock {
            while true {
                if wish == .end {
                    parked = true
                    lock.broadcast()
                    return .end
                }
                if wish == .park {
                    parked = true
                    lock.broadcast()
                    lock.wait()
                    continue
                }
                parked = false
                switch status {
                case .startPending:
                    status = .started
                    defer { entry = nil }
                    return .run(entry)
                case .suspended where woken:
                    status = .started
                    woken = false
                    defer { restart = nil }
                    return .run(restart)
                case .started: return .run(nil)
                default:
                    waiting = true
                    lock.wait()
                    waiting = false
                }
            }
        }
    }

    /// WFI: until a wake-up or a wish.
    private func sleep() {
        lock.withLock {
            waiting = true
            while !woken, wish == .run { lock.wait() }
            waiting = false
            // A wish leaves the wake-up for later, so that none is lost over a pause.
            if wish == .run { woken = false }
        }
    }
}
