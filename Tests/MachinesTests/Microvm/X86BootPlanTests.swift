import GuestX86
import SavedState
import Testing
@testable import Machines

@Suite struct X86BootPlanTests {
    private func plan(_ kernel: [UInt8], initrd: [UInt8]? = nil, memory: UInt64 = 64 << 20, line: String = "console=ttyS0",
                      long: Bool = true) throws -> X86BootPlan {
        try X86BootPlan(BootFiles(kernel: .init(path: "kernel", bytes: kernel),
                                  initrd: initrd.map { .init(path: "initrd", bytes: $0) }),
                        X86BootOptions(ramSizeBytes: memory, commandLine: line, allowsLongMode: long))
    }
    private func load(_ plan: X86BootPlan, _ what: String) -> BootPlan.Load {
        plan.loads.first { $0.what == what }!
    }
    private func word<Value: FixedWidthInteger>(_ load: BootPlan.Load, _ offset: UInt64, _ type: Value.Type) -> Value {
        ByteView(Array(load.bytes)).load(offset, as: type)!
    }
    private func refusal(_ kernel: [UInt8], memory: UInt64 = 64 << 20, line: String = "") -> String {
        do {
            _ = try plan(kernel, memory: memory, line: line)
            return "accepted"
        } catch { return "\(error)" }
    }

    @Test func `a 64-bit bzImage starts in long mode with identity pages, at its preferred address`() throws {
        let plan = try plan(Sample.bzImage(), initrd: Array(repeating: 7, count: 5000))
        let kernel = load(plan, "kernel"), parameters = load(plan, "boot parameters")
        #expect(kernel.address == 16 << 20 && kernel.bytes.count == 0x3000)
        #expect(plan.start.rip == 16 << 20 + 0x200 && plan.start.registers[6] == parameters.address)
        #expect(plan.start.cr0 & 0x8000_0001 == 0x8000_0001 && plan.start.cr4 & 0x20 != 0 && plan.start.efer & 0x500 == 0x500)
        #expect(plan.start.segments[1].selector == 0x10 && plan.start.segments[3].selector == 0x18)
        #expect(plan.start.segments[1].attributes & 0x2000 != 0, "CS.L")
        let initrd = load(plan, "initrd")
        #expect(initrd.end <= 64 << 20 && initrd.address % 4096 == 0 && initrd.address > 48 << 20)
        #expect(word(parameters, 0x218, UInt32.self) == UInt32(initrd.address) && word(parameters, 0x21c, UInt32.self) == 5000)
        #expect(word(parameters, 0x202, UInt32.self) == 0x5372_6448 && word(parameters, 0x210, UInt8.self) == 0xff)
        #expect(word(parameters, 0x228, UInt32.self) == UInt32(load(plan, "command line").address))
        #expect(word(parameters, 0x070, UInt64.self) == MicrovmMap.acpi)
        #expect(word(parameters, 0x1e8, UInt8.self) == 4 && word(parameters, 0x1ef, UInt8.self) == 0)
        #expect(word(parameters, 0x2d0 + 40, UInt64.self) == 1 << 20 && word(parameters, 0x2d0 + 48, UInt64.self) == 63 << 20)
        #expect(word(parameters, 0x250, UInt64.self) == load(plan, "setup data").address)
        #expect(Array(load(plan, "command line").bytes) == Array("console=ttyS0\0".utf8))
        let tables = load(plan, "page tables")
        #expect(word(tables, 0, UInt64.self) == tables.address + 0x1003)
        #expect(word(tables, 0x1000 + 8, UInt64.self) == tables.address + 0x3003)
        #expect(word(tables, 0x2000 + 2047 * 8, UInt64.self) == 2047 << 21 | 0x83)
    }

    @Test func `without long mode, or without a 64-bit entry, it starts flat at the first byte`() throws {
        for plan in [try plan(Sample.bzImage(), long: false), try plan(Sample.bzImage(has64: false))] {
            #expect(plan.start.rip == 16 << 20 && plan.start.cr0 == 0x11 && plan.start.efer == 0)
            #expect(plan.start.segments[1].attributes == 0xc09b && plan.start.segments[1].limit == .max)
            #expect(plan.start.rflags == 2 && plan.start.registers[6] == MicrovmMap.bootParameters)
        }
        let old = try plan(Sample.bzImage(version: 0x0202, has64: false), line: "")
        #expect(old.start.rip == 1 << 20, "kernels that cannot move go to 1 MiB")
        #expect(word(load(old, "boot parameters"), 0x250, UInt64.self) == 0)
        let small = try plan(Sample.bzImage(initSize: 0x10_0000, loadFlags: 1), memory: 32 << 20)
        #expect(load(small, "kernel").address == 16 << 20)
    }

    @Test func `a PVH kernel finds its start information in EBX`() throws {
        let plan = try plan(Sample.elf32(pvh: 0x10_0020), initrd: [1, 2, 3])
        #expect(plan.start.rip == 0x10_0020 && plan.start.cr0 == 0x11)
        let information = load(plan, "start information")
        #expect(plan.start.registers[3] == information.address)
        #expect(word(information, 0, UInt32.self) == 0x336e_c578 && word(information, 12, UInt32.self) == 1)
        let module = word(information, 16, UInt64.self) - information.address
        #expect(word(information, module, UInt64.self) == load(plan, "initrd").address)
        #expect(word(information, module + 8, UInt64.self) == 3)
        #expect(word(information, 32, UInt64.self) == MicrovmMap.acpi && word(information, 48, UInt32.self) == 4)
        let map = word(information, 40, UInt64.self) - information.address
        #expect(word(information, map + 48, UInt64.self) == 1 << 20 && word(information, map + 64, UInt32.self) == 1)
    }

    @Test func `a Multiboot kernel finds its magic, command line and module`() throws {
        let plan = try plan(Sample.elf32(multiboot: 3), initrd: Array("module".utf8), line: "root=x")
        #expect(plan.start.rip == 0x10_0010 && plan.start.registers[0] == 0x2bad_b002)
        let information = load(plan, "start information")
        #expect(word(information, 0, UInt32.self) & 0x24d == 0x24d - 0x200 + 0x200)
        #expect(word(information, 4, UInt32.self) == 639 && word(information, 8, UInt32.self) == 63 << 10)
        #expect(Array(load(plan, "command line").bytes) == Array("kernel root=x\0".utf8))
        let modules = UInt64(word(information, 24, UInt32.self)) - information.address
        #expect(UInt64(word(information, modules, UInt32.self)) == load(plan, "initrd").address)
        #expect(load(plan, "initrd").address == 0x10_2000, "right behind the kernel's memory")
        let map = UInt64(word(information, 48, UInt32.self)) - information.address
        #expect(word(information, map, UInt32.self) == 20 && word(information, map + 4 + 24, UInt64.self) == 0x9fc00)
    }

    @Test func `a flat Multiboot file loads where its header says`() throws {
        let plan = try plan(Sample.flatMultiboot(loadEnd: 0x10_0100, bssEnd: 0x10_4000))
        let kernel = load(plan, "kernel")
        #expect(kernel.address == 0x10_0000 && kernel.bytes.count == 0x100 && kernel.memorySizeBytes == 0x4000)
        #expect(plan.start.rip == 0x10_0040)
        #expect(refusal(Sample.flatMultiboot(loadEnd: 0x20_0000)).contains("truncated"))
        #expect(refusal(Sample.flatMultiboot(entry: 0x50_0000)).contains("outside the kernel"))
        #expect(refusal(Sample.elf32(multiboot: 0x40)).contains("unknown features (0x40)"))
    }

    @Test func `what cannot start is refused with its reason`() throws {
        #expect(refusal([]).contains("empty"))
        #expect(refusal(Array("#!/bin/sh".utf8)).contains("neither a Linux bzImage"))
        #expect(refusal([0x1f, 0x8b, 8, 0]).contains("gzip -dc"))
        #expect(refusal(Sample.elf32()).contains("without PVH entry"))
        #expect(refusal(Sample.elf32(machine: 243)).contains("not x86"))
        #expect(refusal(Sample.elf32(pvh: 0x40_0000)).contains("outside the kernel"))
        #expect(refusal(Sample.elf32(physical: 0x9000_0000, pvh: 0x9000_0000)).contains("--memory"))
        #expect(refusal(Sample.elf32(physical: 0xe0000, entry: 0xe0000, pvh: 0xe0000)).contains("same memory"))
        #expect(refusal(Array(Sample.bzImage().prefix(0x800))).contains("truncated"))
        #expect(refusal(Array(Sample.bzImage().prefix(0x3000))).contains("truncated"))
        #expect(refusal(Sample.bzImage(loadFlags: 0)).contains("zImage"))
        #expect(refusal(Sample.bzImage(version: 0x0105)).contains("too old"))
        #expect(refusal(Sample.bzImage(), memory: 8 << 20).contains("--memory"))
        #expect(refusal(Sample.bzImage(), line: String(repeating: "x", count: 3000)).contains("2047"))
        #expect(refusal(Sample.bzImage(preferred: 1 << 40)).contains("prefers"))
    }

    @Test func `damaged files do no harm`() throws {
        var random = FuzzRandom(seed: 2)
        let samples = [Sample.bzImage(), Sample.elf32(pvh: 0x10_0020), Sample.elf32(multiboot: 3), Sample.flatMultiboot()]
        for sample in samples {
            for _ in 0..<Fuzz.rounds(1500) {
                var damaged = sample
                for _ in 0..<Int.random(in: 1...8, using: &random) {
                    // Mostly headers.
                    let limit = Bool.random(using: &random) ? min(0x280, damaged.count) : damaged.count
                    let edges: [UInt8] = [0, 1, 0x7f, 0x80, 0xff, UInt8.random(in: 0...255, using: &random)]
                    damaged[Int.random(in: 0..<limit, using: &random)] = edges.randomElement(using: &random)!
                }
                if Int.random(in: 0..<4, using: &random) == 0 { damaged.removeLast(Int.random(in: 1..<damaged.count, using: &random)) }
                guard let plan = try? plan(damaged, initrd: [1, 2, 3]) else { continue }
                for load in plan.loads {
                    #expect(load.end <= 64 << 20 && UInt64(load.bytes.count) <= load.memorySizeBytes)
                }
            }
        }
    }

    @Test func `a start survives its saved form`() throws {
        var state = try plan(Sample.bzImage()).start
        state.registers[9] = 77
        var writer = StateWriter()
        state.save(to: &writer)
        var reader = StateReader(writer.bytes)
        #expect(try X86StartState(from: &reader) == state && reader.remaining == 0)
    }
}
