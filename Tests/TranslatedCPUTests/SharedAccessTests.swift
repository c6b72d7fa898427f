import Foundation
import Glibc
import GuestMemory
import GuestX86
import Testing
import Translator
@testable import TranslatedCPU

/// Accesses off one base share a look into the TLB; what a guest sees must not show it. 64-bit code at 1000h, sources beside
/// the bytes (NASM syntax); linear is physical but where a test says otherwise. A page fault stores CR2 at 500h, the
/// instruction's address at 508h and the error code at 510h.
@Suite(.serialized) struct SharedAccessTests {
    private static let tables: UInt64 = 0x13000

    private func machine(_ code: String, _ engine: EngineKind, pages: [UInt64: UInt64] = [:],
                         processors: Int = 1) throws -> X86Machine {
        let machine = try X86Machine(X86Machine.bytes(code), engine: engine, processors: processors)
        let ram = machine.ram
        for (level, table) in [UInt64(0x10000), 0x11000, 0x12000].enumerated() {
            ram.store(GuestPhysical(table), UInt64(0x11003 + level * 0x1000))
        }
        for page in UInt64(0)..<256 {
            ram.store(GuestPhysical(Self.tables + page * 8), pages[page] ?? page << 12 | 3)
        }
        ram.store(GuestPhysical(0x8008), UInt64(0x00AF_9B00_0000_FFFF))
        ram.store(GuestPhysical(0x9000 + 14 * 16), UInt64(0x0000_8E00_0008_2000))
        // mov rax,cr2; mov [500h],rax; mov rax,[rsp+8]; mov [508h],rax; mov rax,[rsp]; mov [510h],rax; hlt
        let handler = X86Machine.bytes("0f20d04889042500050000488b4424084889042508050000488b04244889042510050000f4")
        _ = handler.withUnsafeBytes { ram.write(GuestPhysical(0x2000), from: $0) }
        var start = X86StartState.protected(entry: 0x1000, codeSelector: 8, dataSelector: 0)
        start.segments[Segment.cs.rawValue].attributes = X86StartSegment.longCode
        start.registers[4] = 0x7000
        (start.cr0, start.cr3, start.cr4, start.efer) = (0x8001_0011, 0x10000, 0x20, 0x500)
        start.gdtr = X86StartTable(base: 0x8000, limit: 15)
        start.idtr = X86StartTable(base: 0x9000, limit: 0xFFF)
        for cpu in machine.cpus { cpu.x86.enter(start) }
        return machine
    }

    private func quad(_ machine: X86Machine, _ address: UInt64) -> UInt64 { machine.ram.load(GuestPhysical(address)) ?? 0 }

    // mov ebx,3fff0h; mov ecx,7; mov [rbx+16],rcx; mov [rbx+24],rcx; mov [rbx+8],rcx; mov [rbx+32],rcx; hlt
    @Test(arguments: X86MachineTests.engines) func `a fault amid accesses off one base is exact`(engine: EngineKind) throws {
        let machine = try machine("bbf0ff0300b90700000048894b1048894b1848894b0848894b20f4", engine, pages: [0x3F: 0])
        #expect(machine.cpu.run() == .halted)
        #expect(quad(machine, 0x500) == 0x3FFF8)
        #expect(quad(machine, 0x508) == 0x1012)
        #expect(quad(machine, 0x510) == 2)
        #expect((0x40000...0x40010).by(8).map { quad(machine, $0) } == [7, 7, 0])
    }

    // mov ebx,3fff0h; mov rax,1122334455667788h; mov [rbx+16],rax; mov [rbx+12],eax; mov [rbx+4],rax; mov rcx,[rbx+11];
    // mov rdx,[rbx+16]; mov [500h],rcx; mov [508h],rdx; hlt
    @Test(arguments: X86MachineTests.engines) func `a base at the end of a page reaches into both`(engine: EngineKind) throws {
        let code = "bbf0ff030048b888776655443322114889431089430c48894304488b4b0b488b531048890c25000500004889142508050000f4"
        let machine = try machine(code, engine, pages: [0x3F: 0x52003, 0x40: 0x50003])
        #expect(machine.cpu.run() == .halted)
        #expect(quad(machine, 0x500) == 0x6677_8855_6677_8811)
        #expect(quad(machine, 0x508) == 0x1122_3344_5566_7788)
        #expect(quad(machine, 0x50000) == 0x1122_3344_5566_7788)
        #expect(quad(machine, 0x52FF4) == 0x1122_3344_5566_7788)
    }

    // mov ebx,41000h; mov rax,[rbx]; mov rcx,[rbx+8]; mov [rbx+16],rax; hlt
    @Test(arguments: X86MachineTests.engines) func `loads that share with a store are allowed where it is not`(
        engine: EngineKind) throws {
        let machine = try machine("bb00100400488b03488b4b0848894310f4", engine, pages: [0x41: 0x41001])
        machine.ram.store(GuestPhysical(0x41008), UInt64(99))
        #expect(machine.cpu.run() == .halted)
        #expect(quad(machine, 0x500) == 0x41010)
        #expect(quad(machine, 0x508) == 0x100C)
        #expect(quad(machine, 0x510) == 3)
        #expect(machine.cpu.x86.register(1) == 99)
        #expect(quad(machine, Self.tables + 0x41 * 8) & 0x60 == 0x20, "accessed, not dirty")
    }

    // mov ebx,42000h; mov ecx,1; mov [rbx],rcx; mov qword [rbx+8],2; mov qword [13000h+42h*8],44003h; mov [rbx+16],rcx;
    // invlpg [rbx]; mov qword [rbx+24],3; mov rdx,[rbx]; mov [500h],rdx; hlt
    @Test(arguments: X86MachineTests.engines) func `what was shared ends with an invalidation`(engine: EngineKind) throws {
        let code = "bb00200400b90100000048890b48c743080200000048c70425103201000340040048894b100f013b48c7431803000000488b13"
            + "4889142500050000f4"
        let machine = try machine(code, engine)
        machine.ram.store(GuestPhysical(0x44000), UInt64(4))
        #expect(machine.cpu.run() == .halted)
        #expect(quad(machine, 0x42008) == 2)
        #expect(quad(machine, 0x44018) == 3)
        #expect(quad(machine, 0x42018) == 0)
        #expect(quad(machine, 0x500) == 4)
    }

    // mov esp,40010h; mov ecx,5; mov [500h],rsp; push rcx; push qword 6; push rcx; pop rdx; pop rsi; pop rdi;
    // mov [508h],rdx; mov [510h],rsi; mov [518h],rdi; mov [520h],rsp; hlt
    @Test(arguments: X86MachineTests.engines) func `pushes and pops across pages`(engine: EngineKind) throws {
        let code = "bc10000400b9050000004889242500050000516a06515a5e5f4889142508050000488934251005000048893c25180500004889242520"
            + "050000f4"
        let machine = try machine(code, engine, pages: [0x3F: 0x52003, 0x40: 0x50003])
        #expect(machine.cpu.run() == .halted)
        #expect((0x500...0x520).by(8).map { quad(machine, $0) } == [0x40010, 5, 6, 5, 0x40010])
        #expect([quad(machine, 0x50008), quad(machine, 0x50000), quad(machine, 0x52FF8)] == [5, 6, 5])
    }

    // mov ebx,42000h; l: inc rax; mov [rbx],rax; mov [rbx+8],rax; mov rcx,[rbx+16]; cmp dword [500h],0; je l; hlt
    @Test(arguments: X86MachineTests.engines) func `another processor's flush ends what is shared`(engine: EngineKind) throws {
        let code = "bb0020040048ffc048890348894308488b4b10833c25000500000074e8f4"
        let machine = try machine(code, engine, processors: 2)
        let ended = DispatchSemaphore(value: 0)
        let thread = Thread { [cpu = machine.cpus[1]] in
            #expect(cpu.run() == .halted)
            ended.signal()
        }
        thread.start()
        for place in [UInt64(0x44000), 0x42000, 0x44000] {
            let other = place ^ 0x6000
            machine.ram.store(GuestPhysical(Self.tables + 0x42 * 8), place | 0x63)
            machine.cpus[1].flushTranslations()
            machine.ram.store(GuestPhysical(other), UInt64(0))
            machine.ram.store(GuestPhysical(other + 8), UInt64(0))
            let seen = quad(machine, place)
            while quad(machine, place) == seen { usleep(100) }
            #expect(quad(machine, other) == 0 && quad(machine, other + 8) == 0, "a store after the flush")
        }
        machine.ram.store(GuestPhysical(0x500), UInt32(1))
        ended.wait()
    }
}

extension ClosedRange<UInt64> {
    fileprivate func by(_ step: Int) -> StrideThrough<UInt64> { stride(from: lowerBound, through: upperBound, by: step) }
}
