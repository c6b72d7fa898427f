// A machine's state but for RAM and configuration: what a suspend file holds of its harts, clock and devices.

import Bus
import GuestX86
import SavedState

extension Machine {
    /// Everything but RAM and configuration. Harts are parked.
    func save(to writer: inout StateWriter) {
        writer.section("machine", version: 3) { writer in
            for hart in harts {
                let saved = hart.saved
                writer.put(saved.status.rawValue)
                for entry in [saved.entry, saved.restart] { entry.save(to: &writer) }
            }
            writer.put(bytes: serial.pendingInput)
            writer.put(bytes: console?.port.pendingInput ?? [])
        }
        clock.save(to: &writer)
        for hart in harts {
            writer.section("hart \(hart.cpu.hartID)", version: 1) { hart.cpu.save(to: &$0) }
        }
        board.save(to: &writer)
        board.bus.save(to: &writer)
    }

    /// CPUs come before the bus: restored devices drive their lines, and those levels are the right ones.
    func restore(from reader: inout StateReader) throws {
        try reader.section("machine", newest: 3) { reader, version in
            guard version == 3 else {
                throw StateError.unsupportedVersion(section: "machine", found: version, newest: 3)
            }
            for hart in harts {
                let raw: UInt64 = try reader.get()
                guard let status = SBIHartStatus(rawValue: raw) else {
                    throw StateError.invalid(section: "machine", reason: "hart state \(raw)")
                }
                let entry = try VCPUStart?(from: &reader, board: kind), restart = try VCPUStart?(from: &reader, board: kind)
                guard (status == .startPending) == (entry != nil), (status == .suspended) == (restart != nil) else {
                    throw StateError.invalid(section: "machine", reason: "hart state \(raw) does not fit its entry")
                }
                hart.saved = Hart.Saved(status: status, entry: entry, restart: restart)
            }
            serial.pendingInput = try reader.getBytes()
            let pending = try reader.getBytes()
            console?.port.pendingInput = pending
        }
        try clock.restore(from: &reader)
        for hart in harts {
            try reader.section("hart \(hart.cpu.hartID)", newest: 1) { reader, _ in try hart.cpu.restore(from: &reader) }
        }
        try board.restore(from: &reader)
        try board.bus.restore(from: &reader)
    }
}

extension VCPUStart? {
    private enum Kind { static let none: UInt8 = 0, riscv: UInt8 = 1, x86: UInt8 = 2, x86Waits: UInt8 = 3 }

    fileprivate func save(to writer: inout StateWriter) {
        switch self {
        case nil: writer.put(Kind.none)
        case .riscv(let entry):
            writer.put(Kind.riscv)
            for word in [entry.pc, entry.a0, entry.a1, entry.a2] { writer.put(word) }
            writer.put(entry.privilege.rawValue)
        case .x86(let state):
            writer.put(Kind.x86)
            state.save(to: &writer)
        case .x86WaitForStartUp: writer.put(Kind.x86Waits)
        }
    }

    fileprivate init(from reader: inout StateReader, board: BoardKind) throws {
        let kind: UInt8 = try reader.get()
        switch (kind, board) {
        case (Kind.none, _): self = nil
        case (Kind.riscv, .virt):
            let words = try (0..<4).map { _ in try reader.get(UInt64.self) }
            let raw: UInt8 = try reader.get()
            guard let privilege = Privilege(rawValue: raw) else {
                throw StateError.invalid(section: "machine", reason: "privilege \(raw)")
            }
            self = .riscv(HartEntry(pc: words[0], a0: words[1], a1: words[2], a2: words[3], privilege: privilege))
        case (Kind.x86, .microvm): self = .x86(try X86StartState(from: &reader))
        case (Kind.x86Waits, .microvm): self = .x86WaitForStartUp
        default: throw StateError.invalid(section: "machine", reason: "a start of kind \(kind) on board \(board)")
        }
    }
}
