// What a machine does for its harts: SBI calls and HTIF, on the hart's thread.

import Bus
import Devices
import GuestMemory

extension Machine: HartSupervisor {
    func handle(_ exit: VCPUExit, of hart: Hart) -> HartAction {
        switch exit {
        case .halted, .kicked: return .resume
        case .environmentCall:
            switch SBI.call(CallingHart(machine: self, hart: hart)) {
            // After .stop the hart is marked already, and another may have started it again since.
            case .resume, .stop: return .resume
            case .park: return .stopped
            case .suspend: return .wait
            case .suspendAndRestart(let address, let opaque):
                return .waitThenEnter(HartEntry(pc: address, a0: UInt64(hart.cpu.hartID), a1: opaque,
                                                privilege: .supervisor))
            }
        case .shutdown(let reason):
            environment.message("Hart \(hart.cpu.hartID) stopped: \(reason)")
            power(.fail(code: 1))
            return .stopped
        case .hostToTarget(let value): return hostToTarget(value)
        }
    }

    /// HTIF as the RISC-V tests use it: an exit code, or a character for the console.
    private func hostToTarget(_ value: UInt64) -> HartAction {
        if let mailbox = boot.toHost { ram.store(GuestPhysical(mailbox), UInt64(0)) }
        if value & HTIF.exitFlag != 0 {
            let code = value >> 1
            // Low bytes of zero would read as a pass.
            power(code == 0 ? .powerOff : .fail(code: code & 0xff == 0 ? 1 : UInt16(truncatingIfNeeded: code & 0xff)))
            return .stopped
        }
        if value >> HTIF.commandShift == HTIF.consoleWrite {
            _ = serial.write([UInt8(truncatingIfNeeded: value)])
            return .resume
        }
        environment.message("HTIF request 0x\(String(value, radix: 16)) is not supported; the machine ends")
        power(.fail(code: 1))
        return .stopped
    }

    /// A deadline given through SBI's TIME extension.
    func supervisorTimerFired(_ hart: Int) {
        let due = timerDeadlines.withLock { deadlines in
            guard let deadline = deadlines[hart], clock.ticks >= deadline else { return false }
            deadlines[hart] = nil
            return true
        }
        if due { harts[hart].setInterrupt(InterruptBit.supervisorTimer, true) }
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
    let machine: Machine
    let hart: Hart

    var hartID: Int { hart.cpu.hartID }
    var hartCount: Int { machine.harts.count }
    func register(_ number: Int) -> UInt64 { hart.cpu.register(number) }
    func setRegister(_ number: Int, _ value: UInt64) { hart.cpu.setRegister(number, value) }
    func status(ofHart hart: Int) -> SBIHartStatus { machine.harts[hart].state }

    func start(hart: Int, address: UInt64, opaque: UInt64) -> Bool {
        machine.harts[hart].start(HartEntry(pc: address, a0: UInt64(hart), a1: opaque, privilege: .supervisor))
    }

    func stop() { hart.markStopped() }

    func setTimer(deadlineTicks: UInt64) {
        hart.cpu.setInterrupt(InterruptBit.supervisorTimer, false)
        let deadline = deadlineTicks == .max ? nil : deadlineTicks
        machine.timerDeadlines.withLock { $0[hartID] = deadline }
        machine.supervisorTimers[hartID].set(deadlineTicks: deadline)
    }

    func sendIPI(toHart hart: Int) { machine.harts[hart].setInterrupt(InterruptBit.supervisorSoftware, true) }
    func clearIPI() { hart.cpu.setInterrupt(InterruptBit.supervisorSoftware, false) }

    func remoteFence(_ fence: SBIFence, harts: [Int]) {
        for number in harts {
            let target = machine.harts[number].cpu
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
