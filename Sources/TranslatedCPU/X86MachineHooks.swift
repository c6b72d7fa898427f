// What an x86 processor's helpers ask of the engine: physical memory, ports, registers of the platform, flushes.

import Bus
import GuestMemory
import GuestX86
import Translator

/// Model-specific registers that are not the processor's own.
private enum PlatformMSR {
    static let apicBase: UInt32 = 0x1B
    static let tscDeadline: UInt32 = 0x6E0
}

extension X86MachineCPU {
    func installHooks() {
        let x86 = self.x86
        x86.physicalPointer = { state, address, length, _ in
            MachineCPU.of(state).engine.ram.pointer(GuestPhysical(address), length: length)
        }
        let ram = engine.ram
        x86.setRAM(start: ram.start.value, sizeBytes: ram.sizeBytes, host: ram.base)
        x86.noteTranslation = { state, linear, physical, rights in
            MachineCPU.with(state) { cpu in
                guard !X86State(state).hasDataBreakpoint(inPageOf: linear) else { return }
                cpu.tlb.fill(set: Int(rights & 3), address: linear, physical: physical, readable: rights & 4 != 0,
                             writable: rights & 8 != 0, isGlobal: rights & 16 != 0)
            }
        }
        x86.noteWrite = { state, address, length in
            MachineCPU.with(state) { $0.engine.ram.noteWrite(GuestPhysical(address), length: length) }
        }
        x86.readPhysicalHook = { X86MachineCPU.processor($0).readPhysical($1, Int($2)) }
        x86.writePhysicalHook = { X86MachineCPU.processor($0).writePhysical($1, Int($2), $3) }
        x86.flushHook = { X86MachineCPU.processor($0).forget(TranslationFlush(rawValue: $1) ?? .all, $2) }
        x86.readTSCHook = { X86MachineCPU.processor($0).services.ticks() }
        x86.portIn = { state, port, size in
            UInt64(MachineCPU.of(state).engine.bus.ports.read(UInt16(truncatingIfNeeded: port), size: Int(size)))
        }
        x86.portOut = { state, port, size, value in
            MachineCPU.of(state).engine.bus.ports.write(UInt16(truncatingIfNeeded: port), size: Int(size),
                                                        value: UInt32(truncatingIfNeeded: value))
        }
        x86.readMSRHook = { state, number, value in
            guard let found = X86MachineCPU.processor(state).readPlatformMSR(UInt32(truncatingIfNeeded: number)) else {
                return false
            }
            value.pointee = found
            return true
        }
        x86.writeMSRHook = { state, number, value in
            X86MachineCPU.processor(state).writePlatformMSR(UInt32(truncatingIfNeeded: number), value)
        }
        x86.readTaskPriority = { UInt64(X86MachineCPU.processor($0).services.apic.taskPriority) }
        x86.writeTaskPriority = { state, value in
            X86MachineCPU.processor(state).services.apic.taskPriority = UInt8(truncatingIfNeeded: value & 15)
        }
    }

    private func forget(_ kind: TranslationFlush, _ address: UInt64) {
        switch kind {
        case .page: tlb.flush(page: address)
        case .nonGlobal:
            let keepsSupervisor = !hasLocalSupervisorCode
            tlb.flushLocal { mode in
                let mode = GuestX86.Mode(rawValue: mode)
                return mode.data == .physical || mode.privilege != 3 && keepsSupervisor
            }
            hasLocalSupervisorCode = false
        case .all:
            tlb.flush()
            tlb.setAddressBits(addressBits)
            hasLocalSupervisorCode = false
        }
    }

    /// The deadline counts in the guest's time stamp, the local APIC in the machine's ticks.
    private func readPlatformMSR(_ number: UInt32) -> UInt64? {
        guard let value = services.apic.readMSR(number) else { return nil }
        return number == PlatformMSR.tscDeadline && value != 0 ? value &+ timeOffset : value
    }

    private func writePlatformMSR(_ number: UInt32, _ value: UInt64) -> Bool {
        guard number == PlatformMSR.tscDeadline, value != 0 else { return services.apic.writeMSR(number, value) }
        // A deadline before power-on has passed; 0 would disarm.
        let ticks = value &- timeOffset
        return services.apic.writeMSR(number, ticks == 0 || Int64(bitPattern: ticks) < 0 ? 1 : ticks)
    }

    private var timeOffset: UInt64 { state.load(fromByteOffset: SystemLayout.tscOffset, as: UInt64.self) }
}
