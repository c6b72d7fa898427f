import Bus
import Devices
import Foundation
import GuestMemory
import SavedState
import Synchronization
import Testing
@testable import Machines

/// A directory of its own for every test, and machines in it.
final class Workshop {
    let directory: String
    let messages = Mutex<[String]>([])
    let cpus = Mutex<[ScriptedCPU]>([])

    init() throws {
        directory = "/tmp/guise-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: directory) }

    func file(_ name: String, _ bytes: [UInt8]) throws -> String {
        let path = directory + "/" + name
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        return path
    }

    func configuration(cpus: Int = 1) throws -> MachineConfiguration {
        var configuration = MachineConfiguration()
        configuration.cpus = cpus
        configuration.memorySizeBytes = 16 << 20
        configuration.kernel = try file("kernel", Sample.linuxImage())
        configuration.serial = .socket(directory + "/serial")
        return configuration
    }

    func environment(_ programs: [[ScriptedCPU.Step]]) -> MachineEnvironment {
        var environment = MachineEnvironment(makeCPU: { request in
            let cpu = ScriptedCPU(request, request.hartID < programs.count ? programs[request.hartID] : [])
            self.cpus.withLock { $0.append(cpu) }
            return cpu
        }, message: { line in self.messages.withLock { $0.append(line) } })
        environment.handlesSignals = false
        return environment
    }

    func run(_ configuration: MachineConfiguration, _ programs: [ScriptedCPU.Step]...) throws -> MachineEnd {
        try Machine(booting: configuration, in: environment(programs)).run()
    }
}

@Suite struct MachineTests {
    @Test func `power off, failure and HTIF codes become exit statuses`() throws {
        let cases: [(ScriptedCPU.Step, Int32)] = [
            ({ $0.finish(0x5555) }, 0), ({ $0.finish(0x7_3333) }, 7), ({ $0.finish(0x3333) }, 1),
            ({ $0.call(0x5352_5354, 0, 0, 0) }, 0), ({ $0.call(0x5352_5354, 0, 0, 1) }, 1), ({ $0.call(8, 0) }, 0),
            ({ _ in .hostToTarget(1) }, 0), ({ _ in .hostToTarget(7) }, 3), ({ _ in .hostToTarget(0x201) }, 1),
            ({ _ in .shutdown("trap loop") }, 1),
        ]
        for (step, status) in cases {
            let workshop = try Workshop()
            #expect(try workshop.run(try workshop.configuration(), [step]).exitStatus == status)
        }
    }

    @Test func `the boot hart enters the kernel with its id and the device tree`() throws {
        let workshop = try Workshop()
        let end = try workshop.run(try workshop.configuration(cpus: 2), [
            { cpu in
                let tree: UInt32? = cpu.request.ram.load(GuestPhysical(cpu.register(11)))
                return cpu.finish(tree == UInt32(0xd00d_feed).byteSwapped ? 0x5555 : 0x3333)
            },
        ])
        #expect(end == .poweredOff)
        let cpus = workshop.cpus.withLock { $0 }
        #expect(cpus[0].entry == HartEntry(pc: 0x8020_0000, a0: 0, a1: cpus[0].entry!.a1, privilege: .supervisor))
        #expect(cpus[1].entry == nil, "the other harts wait for HSM")
    }

    @Test func `a reset loads everything afresh`() throws {
        let workshop = try Workshop()
        let dirty = GuestPhysical(0x8000_1000)
        let end = try workshop.run(try workshop.configuration(), [
            { cpu in
                cpu.request.ram.store(dirty, UInt64(5))
                cpu.request.ram.store(GuestPhysical(0x8020_0000), UInt64(0))
                _ = cpu.request.bus.write(VirtMap.uart + 7, size: 1, value: 9)
                return cpu.finish(0x7777)
            },
            { cpu in
                let clean = cpu.request.ram.load(dirty, as: UInt64.self) == 0
                    && cpu.request.ram.load(GuestPhysical(0x8020_0000), as: UInt8.self) == 0x13
                    && cpu.request.bus.read(VirtMap.uart + 7, size: 1) == 0
                return cpu.finish(clean ? 0x5555 : 0x3333)
            },
        ])
        #expect(end == .poweredOff)
    }

    @Test func `harts start each other, interrupt each other and stop`() throws {
        let workshop = try Workshop()
        let end = try workshop.run(try workshop.configuration(cpus: 2), [
            { $0.call(0x48_534d, 0, 1, 0x8020_0000, 99) },
            { _ in .halted },  // until hart 1's IPI
            { $0.call(0x5246_4e43, 1, 2, 0, 0x1000, 0x2000) },
            { cpu in
                // Hart 1 reports through memory that it has stopped.
                while cpu.request.ram.load(GuestPhysical(0x8000_0000), as: UInt64.self) != 1 { usleep(100) }
                return cpu.call(0x48_534d, 2, 1)
            },
            { cpu in cpu.finish(cpu.interrupts & 2 != 0 ? 0x5555 : 0x3333) },
        ], [
            { cpu in cpu.register(10) == 1 && cpu.register(11) == 99 ? cpu.call(0x73_5049, 0, 1, 0) : .shutdown("entry") },
            { cpu in
                cpu.request.ram.store(GuestPhysical(0x8000_0000), UInt64(1))
                return cpu.call(0x48_534d, 1)
            },
        ])
        #expect(end == .poweredOff)
        #expect(workshop.cpus.withLock { $0[1].fences.withLock { $0 } } == ["4096+8192 all"])
    }

    @Test func `an SBI timer wakes a hart from WFI`() throws {
        let workshop = try Workshop()
        let end = try workshop.run(try workshop.configuration(), [
            { cpu in cpu.call(0x5449_4d45, 0, cpu.request.services.clock.ticks + 20_000) },
            { cpu in cpu.interrupts & 1 << 5 == 0 ? .halted : .shutdown("too early") },
            { cpu in
                let due = cpu.interrupts & 1 << 5 != 0
                cpu.setRegister(8, due ? 1 : 0)
                return cpu.call(0x5449_4d45, 0, .max)
            },
            { cpu in cpu.finish(cpu.register(8) == 1 && cpu.interrupts & 1 << 5 == 0 ? 0x5555 : 0x3333) },
        ])
        #expect(end == .poweredOff)
    }

    @Test func `output reaches the peer of a serial socket and input the guest`() throws {
        let workshop = try Workshop()
        let configuration = try workshop.configuration()
        let machine = try Machine(booting: configuration, in: workshop.environment([[
            { cpu in
                while cpu.request.bus.read(VirtMap.uart + 5, size: 1)! & 1 == 0 { usleep(100) }
                let byte = cpu.request.bus.read(VirtMap.uart, size: 1)!
                cpu.print("got \(byte)\n")
                return cpu.finish(0x5555)
            },
        ]]))
        let received = Mutex("")
        let peer = Thread {
            guard let descriptor = try? UnixSocket.connect(workshop.directory + "/serial") else { return }
            _ = send(descriptor, "!", 1, 0)
            var buffer = [UInt8](repeating: 0, count: 100)
            while case let count = read(descriptor, &buffer, 100), count > 0 {
                received.withLock { $0 += String(decoding: buffer.prefix(count), as: UTF8.self) }
            }
            close(descriptor)
            workshop.messages.withLock { $0.append("peer done") }
        }
        peer.start()
        #expect(try machine.run() == .poweredOff)
        while !workshop.messages.withLock({ $0.contains("peer done") }) { usleep(1000) }
        #expect(received.withLock { $0 } == "got 33\n")
    }

    @Test func `a panic followed by a reset ends with failure`() throws {
        let workshop = try Workshop()
        let end = try workshop.run(try workshop.configuration(), [
            { cpu in
                cpu.print("[    0.5] Kernel panic - not syncing: no init\n[    0.6] Rebooting in 1 seconds..\n")
                return cpu.finish(0x7777)
            },
        ])
        #expect(end == .failed(status: 1))
    }

    @Test func `machines that cannot be are refused with object and advice`() throws {
        let workshop = try Workshop()
        var configuration = try workshop.configuration()
        configuration.kernel = workshop.directory + "/absent"
        do {
            _ = try Machine(booting: configuration, in: workshop.environment([]))
            Issue.record("accepted")
        } catch { #expect("\(error)" == "\(workshop.directory)/absent: open: No such file or directory") }
        configuration.kernel = workshop.directory
        #expect(throws: (any Error).self) { try Machine(booting: configuration, in: workshop.environment([])) }
        configuration.architecture = "m88k"
        #expect(throws: MachineError.self) { try Machine(booting: configuration, in: workshop.environment([])) }
    }
}

@Suite(.serialized) struct SuspendTests {
    /// Counts in RAM and prints each number, until it is told to stop by a byte in RAM.
    private func counter(to limit: Int) -> [ScriptedCPU.Step] {
        let step: ScriptedCPU.Step = { cpu in
            let place = GuestPhysical(0x8010_0000)
            let count = (cpu.request.ram.load(place, as: UInt64.self) ?? 0) + 1
            cpu.request.ram.store(place, count)
            cpu.setRegister(9, cpu.register(9) + 1)
            _ = cpu.request.bus.write(VirtMap.uart + 7, size: 1, value: count & 0xff)
            usleep(200)
            return cpu.register(9) == count ? .kicked : .shutdown("register and memory disagree")
        }
        return Array(repeating: step, count: limit) + [{ cpu in
            let right = cpu.register(9) == UInt64(limit)
                && cpu.request.bus.read(VirtMap.uart + 7, size: 1) == UInt64(limit & 0xff)
            return cpu.finish(right ? 0x5555 : 0x3333)
        }]
    }

    @Test func `a machine suspended again and again ends as if it never was`() throws {
        setenv("XDG_RUNTIME_DIR", "/tmp", 1)
        let workshop = try Workshop()
        var configuration = try workshop.configuration(cpus: 2)
        configuration.name = "test-\(getpid())"
        let programs = [counter(to: 800), []]
        var machine = try Machine(booting: configuration, in: workshop.environment(programs))
        var suspensions = 0
        while true {
            let file = workshop.directory + "/state\(suspensions)"
            let failure = Mutex<String?>(nil)
            let name = configuration.name!
            let other = Thread {
                usleep(15_000)
                do { try MachineControl.suspend(name: name, file: file) } catch { failure.withLock { $0 = "\(error)" } }
            }
            other.start()
            let end = try machine.run()
            guard end == .suspended else {
                #expect(end == .poweredOff)
                break
            }
            #expect(failure.withLock { $0 } == nil)
            suspensions += 1
            machine = try Machine(resuming: SnapshotReader(path: file), engine: suspensions % 2 == 0 ? .translate : .interpret,
                                  in: workshop.environment(programs))
            #expect(machine.ram.load(GuestPhysical(0x8010_0000), as: UInt64.self)! > 0)
        }
        #expect(suspensions >= 3)
        #expect(workshop.messages.withLock { $0 } == [])
    }

    @Test func `a name is held while its machine lives, and freed after`() throws {
        setenv("XDG_RUNTIME_DIR", "/tmp", 1)
        let workshop = try Workshop()
        var configuration = try workshop.configuration()
        configuration.name = "held-\(getpid())"
        let name = configuration.name!
        let answers = Mutex<[String]>([])
        let spin: ScriptedCPU.Step = { cpu in
            while !cpu.wasKicked, answers.withLock({ $0.count < 2 }) { usleep(100) }
            return .kicked
        }
        let machine = try Machine(booting: configuration, in: workshop.environment([
            Array(repeating: spin, count: 1000) + [{ $0.finish(0x5555) }],
        ]))
        do {
            var second = configuration
            second.serial = .socket(workshop.directory + "/serial2")
            _ = try Machine(booting: second, in: workshop.environment([]))
            Issue.record("accepted twice")
        } catch { #expect("\(error)".contains("a machine of that name is running")) }
        let other = Thread {
            let status = try? MachineControl.status(name: name)
            answers.withLock { $0.append(status ?? "none") }
            do { try MachineControl.suspend(name: name, file: "/nonexistent/x") } catch {
                answers.withLock { $0.append("\(error)") }
            }
        }
        other.start()
        #expect(try machine.run() == .poweredOff, "a failed suspend lets the machine go on")
        #expect(answers.withLock { $0[0] }.hasPrefix("running cpus=1"))
        #expect(answers.withLock { $0[1] }.contains("No such file"))
        #expect(throws: MachineError.self) { try MachineControl.status(name: name) }
    }

    private func suspended(_ workshop: Workshop) throws -> [UInt8] {
        let machine = try Machine(booting: try workshop.configuration(), in: workshop.environment([]))
        machine.ram.store(GuestPhysical(0x80f0_0000), UInt64(0x1234))
        let path = workshop.directory + "/state"
        for hart in machine.harts { try hart.launch(machine) }
        try machine.suspend(to: path)
        for hart in machine.harts { hart.ask(.end); hart.join() }
        machine.serial.close()
        return Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    }

    /// Why a file was refused, or nil.
    private func refusal(_ workshop: Workshop, _ bytes: [UInt8]) throws -> String? {
        let path = try workshop.file("hostile", bytes)
        do {
            let machine = try Machine(resuming: SnapshotReader(path: path), in: workshop.environment([]))
            machine.serial.close()
            return nil
        } catch { return "\(error)" }
    }

    @Test func `RAM is stored sparsely and restored exactly`() throws {
        let workshop = try Workshop()
        let bytes = try suspended(workshop)
        #expect(bytes.count < 64 << 10)
        let machine = try Machine(resuming: SnapshotReader(path: workshop.directory + "/state"),
                                  in: workshop.environment([]))
        #expect(machine.ram.load(GuestPhysical(0x80f0_0000), as: UInt64.self) == 0x1234)
        #expect(machine.ram.load(GuestPhysical(0x8020_0000), as: UInt8.self) == 0x13)
        machine.serial.close()
        #expect(try FileManager.default.contentsOfDirectory(atPath: workshop.directory).filter { $0.contains("part") } == [])
    }

    @Test func `truncated and damaged files are refused with a reason`() throws {
        let workshop = try Workshop()
        let bytes = try suspended(workshop)
        #expect(try refusal(workshop, bytes) == nil)
        for length in [0, 7, 8, 15, 16, 18, 20, 60, bytes.count / 2, bytes.count - 1] {
            let reason = try refusal(workshop, Array(bytes.prefix(length)))
            #expect(reason?.contains("truncated") == true, "\(length) of \(bytes.count) bytes: \(reason ?? "accepted")")
        }
        let longer = try refusal(workshop, bytes + [0])
        #expect(longer?.contains("follow the end") == true, "\(longer ?? "accepted")")
        #expect(try refusal(workshop, Array("something else entirely".utf8))!.contains("not a Guise suspend file"))
        var newer = bytes
        newer[8] = 9
        #expect(try refusal(workshop, newer)!.contains("format 9"))
        var random = FuzzRandom(seed: 5)
        for _ in 0..<Fuzz.rounds(150) {
            var damaged = bytes
            let index = Int.random(in: 0..<damaged.count, using: &random)
            damaged[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            #expect(try refusal(workshop, damaged) != nil, "bit flipped at \(index)")
        }
        for _ in 0..<Fuzz.rounds(100) {
            var damaged = bytes
            let start = Int.random(in: 16..<damaged.count, using: &random)
            for index in start..<min(damaged.count, start + 64) { damaged[index] = UInt8.random(in: 0...255, using: &random) }
            #expect(try refusal(workshop, damaged) != nil)
        }
    }

    @Test func `state with valid checksums but hostile contents is refused, not trusted`() throws {
        let workshop = try Workshop()
        let machine = try Machine(booting: try workshop.configuration(), in: workshop.environment([]))
        var facts = StateWriter(), state = StateWriter()
        machine.configuration.save(to: &facts)
        machine.boot.save(to: &facts)
        machine.save(to: &state)
        machine.serial.close()
        var random = FuzzRandom(seed: 6)
        func write(_ facts: [UInt8], _ state: [UInt8]) throws -> [UInt8] {
            let path = workshop.directory + "/crafted"
            try SnapshotWriter(path: path).write(configuration: facts, state: state, ram: machine.ram)
            return Array(try Data(contentsOf: URL(fileURLWithPath: path)))
        }
        #expect(try refusal(workshop, try write(facts.bytes, state.bytes)) == nil)
        #expect(try refusal(workshop, try write(facts.bytes, state.bytes + [1]))!.contains("too many"))
        for _ in 0..<Fuzz.rounds(60) {
            var hostile = state.bytes, hostileFacts = facts.bytes
            let edges: [UInt8] = [0, 0xff, 0x7f, 1, UInt8.random(in: 0...255, using: &random)]
            hostile[Int.random(in: 0..<hostile.count, using: &random)] = edges.randomElement(using: &random)!
            _ = try refusal(workshop, try write(facts.bytes, hostile))
            hostileFacts[Int.random(in: 0..<hostileFacts.count, using: &random)] = edges.randomElement(using: &random)!
            // A memory size from a hostile file may be large; it must still be within the board's range.
            _ = try refusal(workshop, try write(hostileFacts, state.bytes))
        }
    }
}
