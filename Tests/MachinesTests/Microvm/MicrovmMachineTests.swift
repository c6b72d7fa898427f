import Bus
import Devices
import Foundation
import GuestMemory
import GuestX86
import SavedState
import Synchronization
import Testing
@testable import Machines

extension Workshop {
    func x86Configuration(cpus: Int = 1) throws -> MachineConfiguration {
        var configuration = try configuration(cpus: cpus)
        configuration.architecture = "x86_64"
        configuration.machine = "microvm"
        configuration.memorySizeBytes = 32 << 20
        configuration.kernel = try file("bzImage", Sample.bzImage())
        configuration.debugExitPort = 0xf4
        configuration.workingDirectory = directory
        return configuration
    }

    func x86Environment(_ programs: [[ScriptedX86CPU.Step]]) -> MachineEnvironment {
        var environment = MachineEnvironment(makeCPU: { request in
            ScriptedX86CPU(request, request.hartID < programs.count ? programs[request.hartID] : [])
        }, message: { line in self.messages.withLock { $0.append(line) } })
        environment.handlesSignals = false
        return environment
    }

    func runX86(_ configuration: MachineConfiguration, _ programs: [ScriptedX86CPU.Step]...) throws -> MachineEnd {
        try Machine(booting: configuration, in: x86Environment(programs)).run()
    }
}

@Suite(.serialized) struct MicrovmMachineTests {
    @Test func `soft off, debug exit, resets and crashes end or restart the machine`() throws {
        let cases: [(ScriptedX86CPU.Step, Int32)] = [
            ({ $0.finish(true) }, 0), ({ cpu in cpu.out(0xf4, 0x10, size: 4); return .halted }, 0x21),
            ({ $0.finish(false) }, 3), ({ _ in .shutdown("triple fault") }, 1),
        ]
        for (step, status) in cases {
            let workshop = try Workshop()
            #expect(try workshop.runX86(try workshop.x86Configuration(), [step]).exitStatus == status)
        }
        for step in [{ cpu in cpu.out(0xcf9, 2); cpu.out(0xcf9, 6); return .halted },
                     { cpu in cpu.out(0x92, 3); return .halted }] as [ScriptedX86CPU.Step] {
            let workshop = try Workshop()
            let end = try workshop.runX86(try workshop.x86Configuration(), [
                { cpu in
                    cpu.request.ram.store(GuestPhysical(0x10_0000), UInt64(5))
                    cpu.out(0x3ff, 9)
                    _ = cpu.apic.writeMSR(0x1b, 0xfee0_0d00)
                    return .kicked
                }, step,
                { cpu in
                    cpu.finish(cpu.request.ram.load(GuestPhysical(0x10_0000), as: UInt64.self) == 0
                               && cpu.input(0x3ff) == 0 && cpu.apic.base == 0xfee0_0900)
                },
            ])
            #expect(end == .poweredOff)
        }
    }

    @Test func `on-crash resets or keeps the machine`() throws {
        let workshop = try Workshop()
        var configuration = try workshop.x86Configuration()
        configuration.onCrash = .reset
        #expect(try workshop.runX86(configuration, [{ _ in .shutdown("triple fault") }, { $0.finish(true) }]) == .poweredOff)
        configuration.onCrash = .suspend
        let crash: ScriptedX86CPU.Step = { cpu in
            cpu.request.ram.store(GuestPhysical(0x20_0000), UInt64(0xdead))
            return .shutdown("triple fault")
        }
        #expect(try workshop.runX86(configuration, [crash]) == .failed(status: 1))
        let file = workshop.directory + "/machine.crash"
        let kept = try Machine(resuming: SnapshotReader(path: file), in: workshop.x86Environment([[crash]]))
        #expect(kept.ram.load(GuestPhysical(0x20_0000), as: UInt64.self) == 0xdead)
        kept.serial.close()
        #expect(workshop.messages.withLock { $0 }.contains("Processor 0 stopped: triple fault"))
    }

    @Test func `the bootstrap processor starts the others by INIT and SIPI`() throws {
        let workshop = try Workshop()
        let started = Mutex<Set<Int>>([])
        let other: ScriptedX86CPU.Step = { cpu in
            _ = started.withLock { $0.insert(Int(cpu.startVector ?? 0) << 8 | cpu.hartID) }
            return .halted
        }
        let boot: [ScriptedX86CPU.Step] = [
            { cpu in
                guard case .x86(let start) = cpu.start, start.rip == 16 << 20 + 0x200, cpu.apic.base & 1 << 8 != 0 else {
                    return cpu.finish(false)
                }
                cpu.apic.write(offset: 0x300, size: 4, value: 0xc_4500)
                cpu.apic.write(offset: 0x300, size: 4, value: 0xc_469a)
                return .kicked
            },
            { cpu in
                for _ in 0..<5000 where started.withLock({ $0.count < 15 }) { usleep(1000) }
                return cpu.finish(started.withLock { $0 } == Set((1..<16).map { 0x9a00 | $0 }))
            },
        ]
        let programs = [boot] + Array(repeating: [other], count: 15)
        let machine = try Machine(booting: try workshop.x86Configuration(cpus: 16), in: workshop.x86Environment(programs))
        #expect(try machine.run() == .poweredOff)
    }

    @Test func `a timer interrupt wakes a processor from HLT, by 8259s and by I/O APIC`() throws {
        let workshop = try Workshop()
        let end = try workshop.runX86(try workshop.x86Configuration(), [
            { cpu in
                // IRQ 0 through the 8259s in virtual wire mode: PIT mode 0, 5 ms.
                cpu.out(0x21, 0xfe)
                cpu.out(0x43, 0x30)
                cpu.out(0x40, 5966 & 0xff)
                cpu.out(0x40, 5966 >> 8)
                return cpu.apic.hasInterrupt ? cpu.finish(false) : .halted
            },
            { cpu in
                guard cpu.apic.acknowledge() == 0x08 else { return cpu.finish(false) }
                cpu.out(0x20, 0x20)
                cpu.out(0x21, 0xff)
                let io = GuestPhysical(0xfec0_0000)
                for (register, value) in [(0x15, 0), (0x14, 0x51)] as [(UInt64, UInt64)] {
                    _ = cpu.request.bus.write(io, size: 4, value: register)
                    _ = cpu.request.bus.write(io + 0x10, size: 4, value: value)
                }
                cpu.out(0x43, 0x30)
                cpu.out(0x40, 0)
                cpu.out(0x40, 10)
                return cpu.apic.hasInterrupt ? cpu.finish(false) : .halted
            },
            { cpu in cpu.finish(cpu.apic.acknowledge() == 0x51) },
        ])
        #expect(end == .poweredOff)
    }

    @Test func `PCI functions have addresses, the debug console prints, A20 reaches processors`() throws {
        let workshop = try Workshop()
        var configuration = try workshop.x86Configuration()
        configuration.disks = [DiskChoice(path: try workshop.file("disk", Array(repeating: 1, count: 1 << 20)))]
        final class Collector: SerialOutput, @unchecked Sendable {
            let text = Mutex("")
            func send(_ byte: UInt8) -> Bool {
                text.withLock { $0.unicodeScalars.append(Unicode.Scalar(byte)) }
                return true
            }
        }
        let collector = Collector()
        var environment = workshop.x86Environment([[
            { cpu in
                for byte in "ok\n".utf8 { cpu.out(0xe9, UInt32(byte)) }
                cpu.out(0x92, 0)
                cpu.out(0x92, 2)
                cpu.out(0xcf8, 0x8000_0800, size: 4)
                guard cpu.input(0xcfc, size: 4) == 0x1042_1af4 else { return cpu.finish(false) }
                // Some memory BAR lies in the window, decoding is on.
                let bars = (0..<6).map { index -> UInt32 in
                    cpu.out(0xcf8, 0x8000_0810 + UInt32(index) * 4, size: 4)
                    return cpu.input(0xcfc, size: 4)
                }
                cpu.out(0xcf8, 0x8000_0804, size: 4)
                guard bars.contains(where: { $0 & ~15 >= 0xc000_0000 }), cpu.input(0xcfc, size: 2) & 7 == 7 else {
                    return cpu.finish(false)
                }
                return cpu.finish(cpu.a20 == [false, true] && cpu.input(0x60) == 0xff)
            },
        ]])
        environment.makeVirtio = VirtioBackends.make
        environment.debugOutput = collector
        #expect(try Machine(booting: configuration, in: environment).run() == .poweredOff)
        #expect(collector.text.withLock { $0 } == "ok\n")
    }

    @Test func `a machine suspended and resumed keeps chips and processors as they were`() throws {
        let workshop = try Workshop()
        var configuration = try workshop.x86Configuration(cpus: 2)
        setenv("XDG_RUNTIME_DIR", "/tmp", 1)
        configuration.name = "x86-\(getpid())"
        let name = configuration.name!
        let ready = Atomic<Bool>(false)
        let programs: [[ScriptedX86CPU.Step]] = [[
            { cpu in
                cpu.apic.write(offset: 0xf0, size: 4, value: 0x1ff)
                cpu.apic.write(offset: 0x320, size: 4, value: 0x4_0061)
                _ = cpu.apic.writeMSR(0x6e0, cpu.request.services.clock.ticks + 300_000_000)
                cpu.apic.write(offset: 0x300, size: 4, value: 0x4_0033)
                cpu.out(0x3ff, 0x5a)
                ready.store(true, ordering: .releasing)
                return .halted
            },
        ] + Array(repeating: { cpu in
            // Vector 33 first, 61 when the deadline comes; a wake-up may come without either.
            guard cpu.apic.acknowledge() == 0x61 else { return .halted }
            let high = cpu.apic.read(offset: 0x130, size: 4)
            return cpu.finish(cpu.input(0x3ff) == 0x5a && high == 2 && cpu.apic.acknowledge() == nil)
        }, count: 8), []]
        let machine = try Machine(booting: configuration, in: workshop.x86Environment(programs))
        let file = workshop.directory + "/state"
        let other = Thread {
            while !ready.load(ordering: .acquiring) { usleep(1000) }
            try? MachineControl.suspend(name: name, file: file)
        }
        other.start()
        #expect(try machine.run() == .suspended)
        let resumed = try Machine(resuming: SnapshotReader(path: file), in: workshop.x86Environment(programs))
        #expect(try resumed.run() == .poweredOff)
    }

    @Test func `configurations that cannot be are refused by name`() throws {
        let workshop = try Workshop()
        func refusal(_ change: (inout MachineConfiguration) -> Void) throws -> String {
            var configuration = try workshop.x86Configuration()
            change(&configuration)
            do {
                try configuration.validate()
                return "accepted"
            } catch { return "\(error)" }
        }
        #expect(try refusal { _ in } == "accepted")
        #expect(try refusal { $0.cpu = "z80" }.contains("--cpu z80"))
        #expect(try refusal { $0.cpu = "max,+warp" }.contains("+warp"))
        #expect(try refusal { $0.cpu = "486" }.contains("--arch i386"))
        #expect(try refusal { $0.cpu = "486"; $0.architecture = "i386" } == "accepted")
        #expect(try refusal { $0.cpu = "486"; $0.architecture = "i386"; $0.cpus = 2 }.contains("no local APIC"))
        #expect(try refusal { $0.machine = "virt" }.contains("use --machine microvm"))
        #expect(try refusal { $0.memorySizeBytes = 4 << 30 }.contains("8M to 3G"))
        #expect(try refusal { $0.firmware = "x" }.contains("--firmware"))
        #expect(try refusal { $0.architecture = "riscv64"; $0.machine = "virt" }.contains("--debug-exit"))
        #expect(try refusal { $0.architecture = "vax" }.contains("riscv64, x86_64, i386"))
    }

    @Test func `a debug exit on a taken port is refused, and hostile state with it`() throws {
        let workshop = try Workshop()
        var configuration = try workshop.x86Configuration()
        configuration.debugExitPort = 0x3f8
        #expect(throws: (any Error).self) { try Machine(booting: configuration, in: workshop.x86Environment([])) }
        configuration.debugExitPort = 0xf4
        let machine = try Machine(booting: configuration, in: workshop.x86Environment([]))
        var state = StateWriter()
        machine.save(to: &state)
        machine.serial.close()
        var random = FuzzRandom(seed: 1)
        for _ in 0..<Fuzz.rounds(100) {
            var hostile = state.bytes
            let edges: [UInt8] = [0, 0xff, 0x7f, 1, UInt8.random(in: 0...255, using: &random)]
            hostile[Int.random(in: 0..<hostile.count, using: &random)] = edges.randomElement(using: &random)!
            let other = try Machine(booting: configuration, in: workshop.x86Environment([]))
            var reader = StateReader(hostile)
            try? other.restore(from: &reader)
            other.serial.close()
        }
    }
}
