import Foundation
import GuestMemory
import GuestX86
import Synchronization
import Testing
import Translator
@testable import TranslatedCPU

/// Sources are given beside the bytes (NASM syntax); both executors must agree with them.
@Suite(.serialized) struct X86MachineTests {
    static let engines: [EngineKind] = [.interpret, .translate]

    // xor ax,ax; mov ds,ax; mov cx,100; l: add ax,cx; loop l; mov [500h],ax; mov dx,3f8h; mov al,'!'; out dx,al; hlt
    @Test(arguments: engines) func `real mode code counts, stores, writes to a port and halts`(engine: EngineKind) throws {
        let machine = try X86Machine(X86Machine.bytes("31c08ed8b9640001c8e2fca30005baf803b021eef4"), engine: engine)
        #expect(machine.cpu.run() == .halted)
        #expect(machine.word(0x500) == 5050)
        #expect(machine.debug.bytes == [0x21])
        #expect(machine.cpu.run() == .halted, "a halted processor stays halted")
        #expect(machine.cpu.pc == 0x1015)
    }

    // xor ax,ax; mov ds,ax; mov cx,3; xor bx,bx; again: mov al,cl; add al,10h; mov [cs:patch+1],al; patch: mov dl,0;
    // add bl,dl; loop again; mov [500h],bx; hlt
    @Test(arguments: engines) func `a store into the running unit shows in its next instruction`(engine: EngineKind) throws {
        let program = X86Machine.bytes("31c08ed8b9030031db88c804102ea21200b20000d3e2f2891e0005f4")
        let machine = try X86Machine(program, engine: engine)
        #expect(machine.cpu.run() == .halted)
        #expect(machine.word(0x500) == 0x13 + 0x12 + 0x11)
    }

    // xor eax,eax; mov ds,ax; mov bx,2; again: mov ecx,10000000; l: add eax,1; dec ecx; jnz l; mov byte [cs:11h],3; dec bx;
    // jnz again; mov [500h],eax; hlt
    @Test func `a hot loop becomes a region beside the processor, and a store into it shows`() throws {
        let program = X86Machine.bytes("6631c08ed8bb020066b9809698006683c001664975f82ec606110003" + "4b75e966a30005f4")
        let machine = try X86Machine(program, engine: .translate, loopCount: 1000)
        #expect(machine.cpu.run() == .halted)
        #expect(machine.long(0x500) == 40_000_000)
        #expect(machine.cpu.regionsTaken > 0, "no region was made in twenty million rounds")
    }

    // Single-steps 800 rounds of call, ret, dec, jnz; the handler counts at 500h.
    private static let stepped = X86Machine.bytes("31c08ed88ed0bc0040c70604003300c70606000001b92003" + "9c580d0001509de80d004975fa9c5825fffe509df49090"
        + "c3909090ff060005cf")

    @Test func `a request to leave does not count as a step`() throws {
        let expected = try X86Machine(Self.stepped, engine: .interpret)
        #expect(expected.cpu.run() == .halted)
        #expect(expected.word(0x500) > 3200)
        let machine = try X86Machine(Self.stepped, engine: .translate)
        let isOver = Atomic(false), hasEnded = Atomic(false)
        Thread.detachNewThread {
            while !isOver.load(ordering: .relaxed) { machine.cpu.requestExit() }
            hasEnded.store(true, ordering: .releasing)
        }
        #expect(machine.cpu.run() == .halted)
        isOver.store(true, ordering: .relaxed)
        while !hasEnded.load(ordering: .acquiring) { usleep(100) }
        #expect(machine.word(0x500) == expected.word(0x500))
    }

    // xor ax,ax; mov ds,ax; mov dword [2ffeh],11223344h; mov eax,01010101h; lock xadd [2ffeh],eax; mov [500h],eax;
    // mov eax,[2ffeh]; mov [504h],eax; hlt
    @Test(arguments: engines) func `a locked addition across pages happens once and whole`(engine: EngineKind) throws {
        let program = X86Machine.bytes("31c08ed866c706fe2f4433221166b801010101f0660fc106fe2f66a3000566a1fe2f66a30405f4")
        let machine = try X86Machine(program, engine: engine)
        #expect(machine.cpu.run() == .halted)
        #expect(machine.long(0x500) == 0x1122_3344)
        #expect(machine.long(0x504) == 0x1223_3445)
    }

    // Loads GDT and IDT, enters protected mode, calls INT 20h (stores 1234h at 500h), stores at 504h, executes UD2 at
    // 1038h whose handler stores the saved EIP at 508h, loads an empty IDT and executes INT3.
    @Test(arguments: engines) func `protected mode, gates, an exception and a triple fault`(engine: EngineKind) throws {
        let machine = try X86Machine(Self.protectedMode, engine: engine)
        guard case .shutdown = machine.cpu.run() else {
            Issue.record("the processor did not shut down")
            return
        }
        #expect(machine.long(0x500) == 0x1234)
        #expect(machine.long(0x504) == 0xCAFE)
        #expect(machine.long(0x508) == 0x1038)
    }

    private static let protectedMode: [UInt8] = X86Machine.bytes(
        "fa8cc88ed80f011676000f011e7c000f20c00c010f22c066ea1f100000080066b810008ed88ed0bc00800000cd20c70504050000feca0000"
        + "0f0bc7050005000034120000cf8b0424a30805000031c00f011d58100000cc900000000000000000000000000000ffff0000009acf00ffff"
        + "00000092cf0017005e100000070188100000909090909090") + gates

    /// 33 gates from 1088h on: 6 leads to 1045h, 20h to 103Ah.
    private static var gates: [UInt8] {
        var gates = [UInt8](repeating: 0, count: 0x21 * 8)
        gates.replaceSubrange(6 * 8..<7 * 8, with: [0x45, 0x10, 8, 0, 0, 0x8E, 0, 0])
        gates.replaceSubrange(0x20 * 8..<0x21 * 8, with: [0x3A, 0x10, 8, 0, 0, 0x8E, 0, 0])
        return gates
    }


    @Test(arguments: engines) func `an interrupt wakes a halted processor and enters its handler`(engine: EngineKind) throws {
        // xor ax,ax; mov ds,ax; sti; hlt; mov word [502h],1; cli; hlt
        let machine = try X86Machine(X86Machine.bytes("31c08ed8fbf4c70602050100faf4"), engine: engine)
        // At 3000h: mov word [500h],77h; iret
        let handler = X86Machine.bytes("c70600057700cf")
        _ = handler.withUnsafeBytes { machine.ram.write(GuestPhysical(0x3000), from: $0) }
        machine.ram.store(GuestPhysical(0x20 * 4), UInt32(0x0300_0000))
        #expect(machine.cpu.run() == .halted)
        #expect(machine.word(0x500) == 0)
        machine.apics[0].vectors.withLock { $0.append(0x20) }
        machine.cpu.interruptsChanged()
        #expect(machine.cpu.run() == .halted)
        #expect(machine.word(0x500) == 0x77)
        #expect(machine.word(0x502) == 1)
    }

    @Test(arguments: engines) func `an application processor waits for its start-up interrupt`(engine: EngineKind) throws {
        let machine = try X86Machine(X86Machine.bytes("31c08ed8b9640001c8e2fca30005f4"), engine: engine, processors: 2)
        #expect(machine.cpus[1].run() == .halted)
        machine.cpus[1].startUp(vector: 1)
        #expect(machine.cpus[1].run() == .halted)
        #expect(machine.word(0x500) == 5050)
        machine.cpus[1].raiseINIT()
        machine.ram.store(GuestPhysical(0x500), UInt16(0))
        #expect(machine.cpus[1].run() == .halted)
        #expect(machine.word(0x500) == 0, "INIT makes it wait again")
    }

    @Test(arguments: engines) func `code beyond RAM reads as ones and traps`(engine: EngineKind) throws {
        // jmp 0f000h:0fff0h, where nothing answers: FFh FFh is no instruction; vector 6 leads to 2000h: hlt
        let machine = try X86Machine(X86Machine.bytes("eaf0ff00f0"), engine: engine)
        machine.ram.store(GuestPhysical(6 * 4), UInt32(0x0200_0000))
        machine.ram.store(GuestPhysical(0x2000), UInt8(0xF4))
        machine.ram.store(GuestPhysical(0xFFFF0), UInt16(0xFFFF))
        #expect(machine.cpu.run() == .halted)
        #expect(machine.cpu.pc == 0x2001)
    }
}
