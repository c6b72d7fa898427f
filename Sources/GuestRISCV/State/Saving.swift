// Writes a hart out and reads it back. Everything read is checked as a CSR write would be, so that a damaged file gives an
// error or a legal state, never an impossible one.

import SavedState
import Translator

extension RISCVState {
    private static let registersSection = "riscv-registers", controlSection = "riscv-control"

    /// Control registers in the order they are stored, with the bits each may have.
    private static let controlFields: [(offset: Int, mask: UInt64)] = [
        (FrontLayout.interruptLines, InterruptBit.all), (FrontLayout.mip, InterruptBit.all),
        (FrontLayout.mstatus, Status.machineWritable), (FrontLayout.mie, InterruptBit.all),
        (FrontLayout.medeleg, ExceptionCause.delegable), (FrontLayout.mideleg, InterruptBit.supervisor),
        (FrontLayout.mtvec, trapVectorMask), (FrontLayout.mscratch, .max), (FrontLayout.mepc, ~1),
        (FrontLayout.mcause, causeMask), (FrontLayout.mtval, .max), (FrontLayout.mcounteren, CounterEnable.all),
        (FrontLayout.menvcfg, EnvironmentConfiguration.fiom | EnvironmentConfiguration.stce),
        (FrontLayout.mhartid, .max), (FrontLayout.stvec, trapVectorMask), (FrontLayout.sscratch, .max),
        (FrontLayout.sepc, ~1), (FrontLayout.scause, causeMask), (FrontLayout.stval, .max),
        (FrontLayout.scounteren, CounterEnable.all), (FrontLayout.senvcfg, EnvironmentConfiguration.fiom),
        (FrontLayout.satp, .max), (FrontLayout.stimecmp, .max),
    ]

    /// Writes the architectural state. The vCPU must be outside guest code. Load reservations are not kept; the counters
    /// go on from the values they have.
    public func save(to writer: inout StateWriter) {
        writer.section(Self.registersSection, version: 1) { writer in
            writer.put(pc)
            for register in 1..<32 { writer.put(x(register)) }
            for register in 0..<32 { writer.put(f(register)) }
            writer.put(fcsr)
            writer.put(isSystem)
        }
        guard isSystem else { return }
        writer.section(Self.controlSection, version: 1) { writer in
            writer.put(privilege.rawValue)
            for field in Self.controlFields { writer.put(self[field.offset]) }
            let now = Self.hostNanoseconds
            writer.put(now &+ self[FrontLayout.cycleOffset])
            writer.put(now &+ self[FrontLayout.instretOffset])
            for entry in 0..<PMP.count {
                writer.put(pmpConfiguration(entry))
                writer.put(self[FrontLayout.pmpaddr + entry * 8])
            }
        }
    }

    /// Replaces the architectural state with what `save` wrote and forgets cached translations.
    /// - Throws: `StateError` for values no hart can have; the state is then undefined.
    public func restore(from reader: inout StateReader) throws {
        clear()
        var system = false
        try reader.section(Self.registersSection, newest: 1) { reader, _ in
            pc = try reader.get()
            for register in 1..<32 { setX(register, try reader.get()) }
            for register in 0..<32 { setF(register, try reader.get()) }
            let control: UInt32 = try reader.get()
            guard control & ~FCSR.mask == 0 else { throw Self.invalid(Self.registersSection, "fcsr \(control)") }
            fcsr = control
            system = try reader.getBool()
        }
        guard pc & 1 == 0 else { throw Self.invalid(Self.registersSection, "pc is odd") }
        self[word: FrontLayout.system] = system ? 1 : 0
        if system { try reader.section(Self.controlSection, newest: 1) { reader, _ in try restoreControl(&reader) } }
        updateMode()
        flushTranslations?(base, 0, 1)
        if system { timerChanged?(base) }
    }

    private func restoreControl(_ reader: inout StateReader) throws {
        let level: UInt8 = try reader.get()
        guard let level = Privilege(rawValue: level) else {
            throw Self.invalid(Self.controlSection, "privilege \(level)")
        }
        privilege = level
        for field in Self.controlFields {
            let value: UInt64 = try reader.get()
            guard value & ~field.mask == 0 else {
                throw Self.invalid(Self.controlSection, "control register at \(field.offset) holds \(value)")
            }
            self[field.offset] = value
        }
        guard mstatus & Status.mpp != 2 << Status.mppShift else {
            throw Self.invalid(Self.controlSection, "mstatus.MPP is 2")
        }
        switch self[FrontLayout.satp] >> AddressTranslation.modeShift {
        case AddressTranslation.bare, AddressTranslation.sv39, AddressTranslation.sv48: break
        case let mode: throw Self.invalid(Self.controlSection, "satp.MODE is \(mode)")
        }
        let now = Self.hostNanoseconds
        self[FrontLayout.cycleOffset] = try reader.get(UInt64.self) &- now
        self[FrontLayout.instretOffset] = try reader.get(UInt64.self) &- now
        for entry in 0..<PMP.count {
            let configuration: UInt8 = try reader.get()
            guard configuration & ~PMP.writable == 0, configuration & PMP.match != PMP.na4 else {
                throw Self.invalid(Self.controlSection, "pmpcfg \(entry) is \(configuration)")
            }
            setPMPConfiguration(entry, configuration)
            self[FrontLayout.pmpaddr + entry * 8] = try reader.get(UInt64.self) & PMP.addressMask
        }
    }

    private static func invalid(_ section: String, _ reason: String) -> StateError {
        .invalid(section: section, reason: reason)
    }
}
