// What the `virt` board does for its harts beyond chips: SBI calls, their timers, and HTIF, on the hart's thread.

import Bus
import Devices
import GuestMemory
import SavedState
import Synchronization

/// The machine's own firmware.
final class VirtFirmware: @unchecked Sendable {
    // SAFETY (Sendable): `supervisorTimers` and `machine` are set before the harts run, deadlines have a lock.
    private(set) unowned var machine: Machine
    private let deadlines: Mutex<[UInt64?]>
    private var supervisorTimers: [DeadlineTimer] = []

    init(_ machine: Machine) {
        self.machine = machine
        deadlines = Mutex(Array(repeating: nil, count: machine.harts.count))
        supervisorTimers = machine.harts.indices.map { hart in
            machine.timers.makeTimer { [weak self] in self?.supervisorTimerFired(hart) }
        }
    }

    func handle(_ exit: VCPUExit, of hart: Hart) -> HartAction {
        switch exit {
        case .environmentCall:
            guard let cpu = hart.riscv else { return .stopped }
            switch SBI.call(CallingHart(firmware: self, hart: hart, cpu: cpu)) {
            // After .stop the hart is marked already, and another may have started it again since.
            case .resume, .stop: return .resume
            case .park: return .stopped
            case .suspend: return .wait
            case .suspendAndRestart(let address, let opaque):
                return .waitThenEnter(.riscv(HartEntry(pc: address, a0: UInt64(hart.cpu.hartID), a1: opaque,
                                                       privilege: .supervisor)))
            }
        case .hostToTarget(let value): return hostToTarget(value)
        case .halted, .kicked, .shutdown: return .resume
        }
    }

    /// No deadlines, no software interrupts.
    func reset() {
        for (index, hart) in machine.harts.enumerated() {
            setTimer(hart: index, deadlineTicks: nil)
            hart.setInterrupt(InterruptBit.supervisorTimer, false)
            hart.setInterrupt(InterruptBit.supervisorSoftware, false)
        }
    }

    /// HTIF as the RISC-V tests use it: an exit code, or a character for the console.
    private func hostToTarget(_ value: UInt64) -> HartAction {
        if let mailbox = machine.boot.toHost { machine.ram.store(GuestPhysical(mailbox), UInt64(0)) }
        if value & HTIF.exitFlag != 0 {
            let code = value >> 1
            // Low bytes of zero would read as a pass.
            machine.power(code == 0 ? .powerOff : .fail(code: code & 0xff == 0 ? 1 : UInt16(truncatingIfNeeded: code & 0xff)))
            return .stopped
        }
        if value >> HTIF.commandShift == HTIF.consoleWrite {
            _ = machine.serial.write([UInt8(truncatingIfNeeded: value)])
            return .resume
        }
        machine.environment.message("HTIF request 0x\(String(value, radix: 16)) is not supported; the machine ends")
        machine.power(.fail(code: 1))
        return .stopped
    }

    /// A deadline given through SBI's TIME extension.
    private func supervisorTimerFired(_ hart: Int) {
        let now = machine.clock.ticks
        let due = deadlines.withLock { deadlines in
            guard let deadline = deadlines[hart], now >= deadline else { return false }
            deadlines[hart] = nil
            return true
        }
        if due { machine.harts[hart].setInterrupt(InterruptBit.supervisorTimer, true) }
    }

    fileprivate func setTimer(hart: Int, deadlineTicks: UInt64?) {
        deadlines.withLock { $0[hart] = deadlineTicks }
        supervisorTimers[hart].set(deadlineTicks: deadlineTicks)
    }

    func save(to writer: inout StateWriter) {
        let deadlines = deadlines.withLock { $0 }
        writer.section("sbi", version: 1) { writer in
            for deadline in deadlines {
                writer.put(deadline != nil)
                writer.put(deadline ?? 0)
            }
        }
    }

    func restore(from reader: inout StateReader) throws {
        try reader.section("sbi", newest: 1) { reader, _ in
            for hart in machine.harts.indices {
                let armed = try reader.getBool(), deadline: UInt64 = try reader.get()
                setTimer(hart: hart, deadlineTicks: armed ? deadline : nil)
            }
        }
    }
}

/// The host-target interface's encodings. Source: riscv-isa-sim, device 0 (syscall proxy) and device 1 (console).
private enum HTIF {
    static let exitFlag: UInt64 = 1
    /// Device in bits 56 and up, command in 48…55.
    static let commandShift: UInt64 = 48
    static let consoleWrite: UInt64 = 0x0101
}

/// One hart as SBI sees it.
private struct CallingHart: SBIHart {
    let firmware: VirtFirmware
    let hart: Hart
    let cpu: any RISCVCPU
    var machine: Machine { firmware.machine }

    var hartID: Int { hart.cpu.hartID }
    var hartCount: Int { machine.harts.count }
    func register(_ number: Int) -> UInt64 { cpu.register(number) }
    func setRegister(_ number: Int, _ value: UInt64) { cpu.setRegister(number, value) }
    func status(ofHart hart: Int) -> SBIHartStatus { machine.harts[hart].state }

    func start(hart: Int, address: UInt64, opaque: UInt64) -> Bool {
        machine.harts[hart].start(
            .riscv(HartEntry(pc: address, a0: UInt64(hart), a1: opaque, privilege: .supervisor)))
    }

    func stop() { hart.markStopped() }

    func setTimer(deadlineTicks: UInt64) {
        cpu.setInterrupt(InterruptBit.supervisorTimer, false)
        firmware.setTimer(hart: hartID, deadlineTicks: deadlineTicks == .max ? nil : deadlineTicks)
    }

    func sendIPI(toHart hart: Int) { machine.harts[hart].setInterrupt(InterruptBit.supervisorSoftware, true) }
    func clearIPI() { cpu.setInterrupt(InterruptBit.supervisorSoftware, false) }

    func remoteFence(_ fence: SBIFence, harts: [Int]) {
        for number in harts {
            guard let target = machine.harts[number].riscv else { continue }
            switch fence {
            case .instructions: target.flushInstructionCache()
            case .addresses(let start, let size, let asid):
                target.flushTLB(start: GuestVirtual(start), sizeBytes: size, asid: asid)
            }
        }
    }

    func reset(_ reset: SBIReset) {
        switch reset {
        case .shutdown(failure: false): machine.power(.powerOff)
        case .shutdown(failure: true): machine.power(.fail(code: 1))
        case .reboot: machine.power(.reset)
        }
    }

    func isMemory(address: UInt64, sizeBytes: UInt64) -> Bool {
        machine.ram.pointer(GuestPhysical(address), length: sizeBytes) != nil
    }

    func readMemory(address: UInt64, sizeBytes: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: sizeBytes)
        let complete = bytes.withUnsafeMutableBytes { machine.ram.read(GuestPhysical(address), into: $0) }
        return complete ? bytes : []
    }

    func writeMemory(address: UInt64, _ bytes: [UInt8]) {
        _ = bytes.withUnsafeBytes { machine.ram.write(GuestPhysical(address), from: $0) }
    }

    func writeConsole(_ bytes: [UInt8]) -> Int { machine.serial.write(bytes) }

    func readConsole(limit: Int) -> [UInt8] {
        machine.board.bus.exclusive(machine.board.uart) { machine.board.uart.takeReceived(limit: limit) }
    }
}
