// Random bytes as code, in every mode and at rings 0 and 3: both executors must come to the same end with the same
// registers and memory. What ends a run is a fault (there is no IDT, so it shuts the processor down) or a halt.
// GUISE_TEST_LONG=N multiplies the number of programs.

import Glibc
import GuestMemory
@testable import GuestX86
import Testing
import Translator
@testable import TranslatedCPU

@Suite(.serialized) struct X86RandomCodeTests {
    enum Context: String, CaseIterable, Sendable {
        case real, virtual8086, protected16, protected16user, protected32, protected32user, compatibility, long, longUser

        var is64: Bool { self == .long || self == .longUser }
        var isUser: Bool { self == .virtual8086 || self == .longUser || self == .compatibility || rawValue.hasSuffix("user") }
        var isPaged: Bool { is64 || self == .compatibility }
        var codeSize: Mode.CodeSize {
            switch self {
            case .long, .longUser: .bits64
            case .protected32, .protected32user, .compatibility: .bits32
            default: .bits16
            }
        }
    }

    /// Code, data, stack, tables: all in the first 64 KiB, so that 16-bit code reaches what 64-bit code does.
    private enum Place {
        static let tables: UInt64 = 0x1000, code: UInt64 = 0x6000, data: UInt64 = 0x8000
        static let dataEnd: UInt64 = 0xC000, stack: UInt64 = 0xB000, end: UInt64 = 0x10000
    }

    private static let turns = getenv("GUISE_TEST_LONG").flatMap { Int(String(cString: $0)) } ?? 1

    private struct Random {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 33 ^ state >> 12
        }
    }

    private static let decoder = X86Decoder(features: CPUModel.max.instructions)
    /// What goes elsewhere (a loop would never end), depends on the host's time or chance, or waits.
    private static let excluded: Set<String> = [
        "jmp", "jcc", "call", "ret", "loop", "loope", "loopne", "jcxz", "jmpf", "callf", "retf", "iret", "int", "int1", "int3",
        "into", "rdtsc", "rdtscp", "rdrand", "rdseed", "mwait", "hlt", "syscall", "sysret", "sysenter", "sysexit", "rdmsr",
        "wrmsr", "cpuid", "rdpmc",
    ]
    /// Host instructions whose approximations the interpreter leaves to tables of its own within the documented error.
    private static let inexact: Set<String> = ["pfrcp", "pfrsqrt", "pfrcpit1", "pfrsqit1", "pfrcpit2"]

    /// A straight run of instructions of random bytes, ended by UD2.
    private static func program(_ random: inout Random, _ size: Mode.CodeSize) -> [UInt8] {
        var code: [UInt8] = [], i = X86Instruction()
        let prefixes: [UInt8] = [0x66, 0x67, 0xF3, 0xF2, 0x0F, 0x48, 0x41, 0xC5, 0xC4, 0x64, 0x2E]
        while code.count < 100 {
            var bytes = (0..<16).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            if random.next() & 1 == 0 {
                bytes.insert(prefixes[Int(random.next() % UInt64(prefixes.count))], at: 0)
                bytes.removeLast()
            }
            let outcome = bytes.withUnsafeBufferPointer { buffer in
                // SAFETY: sixteen bytes.
                decoder.decode(buffer.baseAddress!, available: 15, codeSize: size, into: &i)
            }
            if outcome != .decoded {
                // One in sixteen stays: both must refuse it alike.
                if random.next() & 15 == 0 { return code + bytes }
                continue
            }
            let name = InstructionTable.rows[Int(i.row)].name
            if excluded.contains(name) || inexact.contains(name) { continue }
            code += bytes.prefix(Int(i.length))
        }
        return code + [0x0F, 0x0B]
    }

    private static func segment(_ base: UInt64, _ limit: UInt32, _ attributes: UInt32) -> SegmentCache {
        SegmentCache(selector: 0, attributes: attributes, limit: limit, base: base)
    }

    /// Puts a processor into a context, with random registers that mostly point into the data.
    private static func prepare(_ machine: X86Machine, _ context: Context, _ code: [UInt8], _ seed: UInt64) {
        var random = Random(state: seed)
        let x = machine.cpu.x86, ram = machine.ram
        machine.cpu.reset()
        memory(machine).initializeMemory(as: UInt8.self, repeating: 0)
        for address in stride(from: Place.data, to: Place.dataEnd, by: 8) { ram.store(GuestPhysical(address), random.next()) }
        _ = code.withUnsafeBytes { ram.write(GuestPhysical(Place.code), from: $0) }
        machine.engine.runtime.invalidate(start: 0, length: Place.end)
        // Sixteen pages of a user, of which one can only be read, and one where there is no RAM.
        for level in 0..<UInt64(3) { ram.store(GuestPhysical(Place.tables + level << 12), Place.tables + (level + 1) << 12 | 7) }
        for page in 0..<UInt64(16) {
            ram.store(GuestPhysical(Place.tables + 0x3000 + page * 8), page << 12 | (page == 9 ? 5 : 7))
        }
        ram.store(GuestPhysical(Place.tables + 0x3000 + 16 * 8), UInt64(0x20_0007))
        x.startProtected(rip: 0)
        let big: UInt32 = context.codeSize == .bits32 ? 0xC000 : 0, dpl: UInt32 = context.isUser ? 0x60 : 0
        let limit: UInt32 = context.isPaged ? .max : 0xFFFF
        x.cr4 = CR4.pae | CR4.osfxsr | CR4.osxmmexcpt | CR4.osxsave | CR4.fsgsbase
        x.xcr0 = 7
        if context.isPaged {
            x.efer = EFER.lme | EFER.lma | EFER.sce | EFER.nxe
            x.cr3 = Place.tables
            x.cr0 = CR0.pe | CR0.pg | CR0.ne | CR0.mp | CR0.et
        } else {
            x.cr0 = (context == .real ? 0 : CR0.pe) | CR0.ne | CR0.mp | CR0.et
        }
        x.cpl = context.isUser ? 3 : 0
        x.eflags = 2 | (context == .virtual8086 ? EFlags.vm | EFlags.iopl : 0) | UInt32(truncatingIfNeeded: random.next() & 0x8D5)
        x.setSegment(.cs, segment(0, limit, 0x9B | dpl | big | (context.is64 ? 0x2000 : 0)))
        for other in [Segment.es, .ss, .ds, .fs, .gs] { x.setSegment(other, segment(0, limit, 0x93 | dpl | big)) }
        if !context.isPaged && random.next() & 1 == 0 { x.setSegment(.es, segment(0x100, limit, 0x93 | dpl | big)) }
        for number in 0..<16 {
            let value = Place.data + random.next() % (Place.dataEnd - Place.data)
            x.setRegister(number, random.next() & 3 == 0 ? random.next() & 0xFFFF_FFFF : value)
        }
        x.setRegister(4, Place.stack)
        if random.next() & 3 != 0 { x.setRegister(1, random.next() & 15) }
        for offset in stride(from: X86Layout.xmm(0), to: X86Layout.xmm(0) + 512, by: 8) {
            machine.cpu.state.storeBytes(of: random.next() &* 0x1_0000_0001, toByteOffset: offset, as: UInt64.self)
        }
        x.updateCodeSegment()
        x.rip = Place.code
        x.updateMode()
        x.base.storeBytes(of: 0, toByteOffset: SystemLayout.idtrLimit, as: UInt32.self)
        x.base.storeBytes(of: 0, toByteOffset: SystemLayout.gdtrLimit, as: UInt32.self)
        machine.cpu.tlb.flush()
    }

    /// Registers, flags, x87 and vectors as text; what differs is easily seen.
    private static func registers(_ machine: X86Machine) -> [String] {
        let x = machine.cpu.x86, state = machine.cpu.state
        var result = (0..<16).map { "r\($0)=" + String(x.register($0), radix: 16) }
        result.append("pc=" + String(x.pc, radix: 16) + " cr2=" + String(x.cr2, radix: 16))
        // AF and what divisions and multiplications leave open is fixed by docs/x86.md, so all flags are compared.
        result.append("flags=" + String(x.eflags, radix: 16))
        result.append("cr0=" + String(x.cr0, radix: 16) + " cr4=" + String(x.cr4, radix: 16))
        result.append("mxcsr=" + String(state.load(fromByteOffset: StateLayout.guestMXCSR, as: UInt32.self), radix: 16))
        for offset in stride(from: X86Layout.x87Registers, to: X86Layout.x87Control + 8, by: 8) {
            result.append("x87+\(offset - X86Layout.x87Registers)="
                          + String(state.load(fromByteOffset: offset, as: UInt64.self), radix: 16))
        }
        for offset in stride(from: X86Layout.xmm(0), to: X86Layout.xmm(0) + 512, by: 8) {
            result.append("v+\(offset - X86Layout.xmm(0))="
                          + String(state.load(fromByteOffset: offset, as: UInt64.self), radix: 16))
        }
        for segment in 0..<6 { result.append("s\(segment)=\(x.segment(segment))") }
        return result
    }

    private static func memory(_ machine: X86Machine) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: machine.ram.pointer(GuestPhysical(0), length: Place.end), count: Int(Place.end))
    }

    @Test(arguments: Context.allCases) func `random bytes mean the same to both executors`(_ context: Context) throws {
        let machines = try [EngineKind.interpret, .translate].map { try X86Machine([], engine: $0) }
        var random = Random(state: UInt64(context.rawValue.utf8.reduce(17) { $0 &* 31 &+ UInt64($1) }))
        for _ in 0..<(25 * Self.turns) {
            let code = Self.program(&random, context.codeSize), seed = random.next()
            var ends: [[String]] = []
            for machine in machines {
                Self.prepare(machine, context, code, seed)
                let exit = machine.cpu.run()
                ends.append(Self.registers(machine) + [exit == .halted ? "halted" : "shut down"])
            }
            let text = code.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
            for (one, other) in zip(ends[0], ends[1]) where one != other {
                Issue.record("\(context) \(text): interpreted \(one), translated \(other)")
            }
            if memcmp(Self.memory(machines[0]).baseAddress!, Self.memory(machines[1]).baseAddress!, Int(Place.end)) != 0 {
                Issue.record("\(context) \(text): memory differs")
            }
            if ends[0] != ends[1] { return }
        }
    }
}
