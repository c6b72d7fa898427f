// The x86 ABIs without running anything: tables against the host's headers, frames against their documented layout,
// conversions against what C compilers say of the structures.

import Foundation
import GuestX86
import Testing
import Translator
@testable import LinuxPrograms

/// A state block with the registers of a program.
private func withProgram(is64: Bool, _ body: (UnsafeMutableRawPointer, X86State) throws -> Void) rethrows {
    let block = UnsafeMutableRawPointer.allocate(byteCount: StateLayout.size, alignment: 4096)
    defer { block.deallocate() }
    block.initializeMemory(as: UInt8.self, repeating: 0, count: StateLayout.size)
    X86Program.start(block, is64: is64, entry: 0x1234, stack: 0x5000)
    try body(block, X86State(block))
}

/// Memory a frame can be written to, at an address below 4 GiB where `low`.
private func withStack(low: Bool, _ body: (UInt64) throws -> Void) throws {
    let size = 1 << 16, bits32: Int32 = 0x40
    let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (low ? bits32 : 0), -1, 0)
    try #require(memory != MAP_FAILED)
    defer { munmap(memory, size) }
    try body(UInt64(UInt(bitPattern: memory)) + UInt64(size))
}

@Suite struct X86TableTests {
    /// Numbers of a header: __NR_name or __NR_name number.
    private func numbers(_ header: String) throws -> [String: Int] {
        var result: [String: Int] = [:]
        for line in try String(contentsOfFile: header, encoding: .utf8).split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 3, words[0] == "#define", words[1].hasPrefix("__NR_"), let n = Int(words[2]) {
                result[String(words[1].dropFirst(5))] = n
            }
        }
        return result
    }

    private static let header64 = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"
    private static let header32 = "/usr/include/x86_64-linux-gnu/asm/unistd_32.h"

    @Test(.enabled(if: FileManager.default.fileExists(atPath: header64), "needs linux-libc-dev"))
    func `x86_64 numbers are the kernel's`() throws {
        let other = ["newfstatat": "fstatat", "_sysctl": "sysctl"]
        let calls = LinuxX86_64().calls
        for (name, n) in try numbers(X86TableTests.header64) where n < calls.count {
            let ours = "\(calls[n])"
            #expect(ours == other[name] ?? name || ours == "unassigned", "\(n) \(name)")
        }
    }

    @Test(.enabled(if: FileManager.default.fileExists(atPath: header32), "needs linux-libc-dev"))
    func `i386 numbers are the kernel's`() throws {
        let calls = LinuxI386().calls
        let other = [
            "_llseek": "llseek", "_newselect": "select", "select": "oldselect", "mmap": "oldmmap", "umount": "oldumount",
            "getrlimit": "oldgetrlimit", "ugetrlimit": "getrlimit", "_sysctl": "sysctl",
        ]
        let gone: Set = ["break", "stty", "gtty", "ftime", "prof", "lock", "mpx", "ulimit", "profil", "idle", "bdflush"]
        for (name, n) in try numbers(X86TableTests.header32) where n < calls.count {
            let ours = "\(calls[n])"
            let plain = name.hasSuffix("32") && !name.contains("mmap") ? String(name.dropLast(2)) : name
            let wanted = gone.contains(name) ? "unassigned" : other[name] ?? plain
            #expect(ours == wanted || ours == name + "16", "\(n) \(name) is \(ours)")
        }
    }

    @Test func `processors describe themselves alike`() {
        let text = X86Processor.description(count: 2)
        #expect(text.contains("vendor_id\t: AuthenticAMD\n") && text.contains("processor\t: 1\n"))
        #expect(text.contains(" sse2 ") && text.contains(" pni ") && X86Processor.leaf1EDX >> 26 & 1 == 1)
    }
}

@Suite struct X86DescriptorTests {
    @Test func `a program starts on the selectors of a 64-bit kernel`() {
        withProgram(is64: true) { _, state in
            #expect(state.segment(.cs).selector == 0x33 && state.segment(.ss).selector == 0x2b && state.segment(.ds).selector == 0)
            #expect(state.mode == .program64 && state.pc == 0x1234 && state.register(4) == 0x5000 && state.eflags == 0x202)
        }
        withProgram(is64: false) { _, state in
            #expect(state.segment(.cs).selector == 0x23 && state.segment(.ds).selector == 0x2b && state.segment(.gs).selector == 0)
            #expect(state.mode == .program32)
        }
    }

    @Test func `user_desc and descriptors convert both ways`() {
        var d = UserDescriptor()
        (d.entry, d.base, d.limit, d.flags) = (12, 0xdead_b000, 0xfffff, 0x51)
        #expect(d.descriptor == 0xdedf_f3ad_b000_ffff)
        #expect(UserDescriptor(entry: 12, descriptor: d.descriptor) == d)
        d.flags = 0x28
        (d.base, d.limit) = (0, 0)
        #expect(d.isEmpty && d.isUsableForTLS)
        d.flags = 0x06
        #expect(!d.isUsableForTLS)
    }

    @Test func `thread areas take the first free entry and reload the register that holds it`() throws {
        try withStack(low: true) { top in
            try withProgram(is64: false) { r, state in
                let at = top - 64
                var d = UserDescriptor()
                (d.entry, d.base, d.limit, d.flags) = (.max, 0x8_0000, 0xfffff, 0x51)
                #expect(d.store(at: at))
                let abi = LinuxI386()
                #expect(abi.setThreadArea(CallArguments(a0: at), r) == 0)
                #expect(UserDescriptor(at: at)?.entry == 12)
                #expect(X86Program.loadSegment(r, .gs, 0x63) && state.segment(.gs).base == 0x8_0000)
                d.entry = 12
                d.base = 0x9_0000
                #expect(d.store(at: at) && abi.setThreadArea(CallArguments(a0: at), r) == 0)
                #expect(state.segment(.gs).base == 0x9_0000)
                d.entry = 6
                #expect(d.store(at: at) && abi.setThreadArea(CallArguments(a0: at), r) == -22)
            }
        }
    }
}

@Suite struct X86FrameTests {
    private func fill(_ r: UnsafeMutableRawPointer, is64: Bool) {
        let state = X86State(r)
        for n in 0..<(is64 ? 16 : 8) where n != 4 { state.setRegister(n, is64 ? 0x1111_1111_1111_1111 * UInt64(n) : 0x1111_1111 * UInt64(n)) }
        state.eflags = 0x247
        for i in 0..<512 { r.storeBytes(of: UInt8(truncatingIfNeeded: i * 7), toByteOffset: X86Layout.xmm(0) + i, as: UInt8.self) }
        r.storeBytes(of: 0x3b80, toByteOffset: X86Layout.x87Status, as: UInt16.self)
        r.storeBytes(of: 0x80, toByteOffset: X86Layout.x87Tags, as: UInt8.self)
        r.storeBytes(of: 0x8000_0000_0000_0000, toByteOffset: X86Layout.x87Registers + 7 * 16, as: UInt64.self)
        r.storeBytes(of: 0x3fff, toByteOffset: X86Layout.x87Registers + 7 * 16 + 8, as: UInt16.self)
        r.storeBytes(of: 0x1f81, toByteOffset: StateLayout.guestMXCSR, as: UInt32.self)
    }

    private func frame(_ info: UnsafeRawPointer, top: UInt64, flags: UInt64) -> SignalFrame {
        SignalFrame(
            signal: 11, info: info, action: GuestSignalAction(handler: 0x4444, flags: flags, restorer: 0x7777),
            mask: 0x1_0000_0002, stack: AlternateStack(), top: top, trampoline: 0x8888,
            trap: TrapRecord(number: 14, error: 6, address: 0xabc0))
    }

    @Test func `the 64-bit frame is Linux's and comes back whole`() throws {
        try withStack(low: false) { top in
            try withProgram(is64: true) { r, state in
                fill(r, is64: true)
                state.setRegister(4, top - 1024)
                let before = X86Program.save(r)
                var info = [UInt8](repeating: 0, count: 128)
                info[0] = 11
                let abi = LinuxX86_64()
                #expect(abi.enterHandler(r, frame(info, top: top - 1024 - abi.redZone, flags: 0x0400_0004)))
                let at = state.register(4)
                func word(_ offset: UInt64) -> UInt64 { Guest.load(at + offset, as: UInt64.self) ?? 0 }
                #expect(at & 15 == 8 && word(0) == 0x7777 && word(8) == 7)
                #expect(state.register(7) == 11 && state.register(6) == at + 312 && state.register(2) == at + 8 && state.pc == 0x4444)
                #expect(word(48) == 0x8888_8888_8888_8888 && word(176) == 0x1234 && word(184) == 0x247)
                #expect(word(192) == 0x002b_0000_0000_0033 && word(200) == 6 && word(208) == 14 && word(224) == 0xabc0)
                let float = word(232)
                #expect(float & 63 == 0 && word(304) == 0x1_0000_0002)
                #expect(Guest.load(float + 464, as: UInt32.self) == 0x4650_5853 && Guest.load(float + 832, as: UInt32.self) == 0x4650_5845)
                #expect(Guest.load(float + 512, as: UInt64.self) == 7 && Guest.load(float + 24, as: UInt32.self) == 0x1f81)
                #expect(Guest.load(float + 40, as: UInt16.self) == 0x3fff, "ST0 is the register at TOP")
                #expect(r.load(fromByteOffset: StateLayout.guestMXCSR, as: UInt32.self) == 0x1f80, "handlers start with a fresh unit")
                state.setRegister(4, at + 8)
                let back = try #require(abi.leaveHandler(r))
                #expect(back.mask == 0x1_0000_0002 && X86Program.save(r) == before)
            }
        }
    }

    @Test(arguments: [true, false])
    func `the 32-bit frames are Linux's and come back whole`(_ hasInfo: Bool) throws {
        try withStack(low: true) { top in
            try withProgram(is64: false) { r, state in
                fill(r, is64: false)
                // Only 8 of the 16 vector registers exist in 32-bit code, but the image holds all.
                state.setRegister(4, top - 1024)
                let before = X86Program.save(r)
                let info = [UInt8](repeating: 0, count: 128)
                let abi = LinuxI386()
                #expect(abi.enterHandler(r, frame(info, top: top - 1024, flags: hasInfo ? 4 : 0)))
                let at = state.register(4)
                func word(_ offset: UInt64) -> UInt32 { Guest.load(at + offset, as: UInt32.self) ?? 0 }
                #expect((at + 4) & 15 == 0 && word(0) == (hasInfo ? 0x8898 : 0x8888) && word(4) == 11 && state.register(0) == 11)
                let context: UInt64 = hasInfo ? 164 : 8
                if hasInfo { #expect(word(8) == UInt32(at) + 16 && word(12) == UInt32(at) + 144 && word(144) == 1) }
                #expect(word(context + 16) == 0x7777_7777 && word(context + 56) == 0x1234 && word(context + 60) == 0x23)
                #expect(word(context + 64) == 0x247 && word(context + 72) == 0x2b && word(context + 84) == 0xabc0)
                let float = UInt64(word(context + 76))
                #expect((float + 112) & 63 == 0)
                #expect(Guest.load(float, as: (UInt32, UInt32, UInt32).self)! == (0xffff_037f, 0xffff_3b80, 0xffff_3fff))
                #expect(Guest.load(float + 112 + 464, as: UInt32.self) == 0x4650_5853)
                state.setRegister(4, at + (hasInfo ? 4 : 8))
                let mask = hasInfo ? abi.leaveHandler(r)?.mask : abi.leaveOldHandler(r)
                #expect(mask == 0x1_0000_0002 && X86Program.save(r) == before)
            }
        }
    }

    @Test func `frames that are not valid are refused`() throws {
        try withStack(low: false) { top in
            try withProgram(is64: true) { r, state in
                let abi = LinuxX86_64()
                state.setRegister(4, top - 2048)
                #expect(abi.leaveHandler(r) == nil, "a zero code selector")
                #expect(!abi.enterHandler(r, frame([UInt8](repeating: 0, count: 128), top: top, flags: 0)), "no restorer")
            }
        }
    }

    @Test func `exceptions become the signals of Linux`() {
        withProgram(is64: true) { r, _ in
            let table: [(Int, Int32, Int32, UInt64)] = [
                (0, SIGFPE, 1, 0x1234), (3, SIGTRAP, 0x80, 0), (4, SIGSEGV, 0x80, 0), (5, SIGSEGV, 0x80, 0), (6, SIGILL, 2, 0x1234),
                (11, SIGBUS, 0x80, 0), (12, SIGBUS, 0x80, 0), (13, SIGSEGV, 0x80, 0), (17, SIGBUS, 1, 0),
            ]
            for (vector, signal, code, address) in table {
                let f = X86Program.fault(vector: vector, error: 0, previous: TrapRecord(number: 14, error: 4, address: 77), r)
                #expect(f.signal == signal && f.code == code && f.address == address, "vector \(vector)")
                #expect(f.trap == TrapRecord(number: UInt64(vector), error: 0, address: 77))
            }
        }
    }
}

@Suite struct CompatStructureTests {
    @Test func `siginfo of each kind converts both ways`() {
        func words(_ values: [UInt32]) -> [UInt8] { values.flatMap { v in (0..<4).map { UInt8(truncatingIfNeeded: v >> UInt32(8 * $0)) } } }
        let cases: [[UInt32]] = [
            [10, 0, 0, 77, 88], [10, 0, UInt32(bitPattern: -1), 77, 88, 99], [14, 0, UInt32(bitPattern: -2), 1, 2, 3],
            [17, 0, 1, 77, 88, 3, 4, 5], [11, 0, 1, 0xdead_beef], [29, 0, 1, 5, 6], [31, 0, 1, 0x1000, 5, 6],
        ]
        for c in cases {
            var bytes = words(c)
            bytes += [UInt8](repeating: 0, count: 128 - bytes.count)
            let host = CompatSignalInfo.decode(bytes)
            #expect(host.count == 128 && host.withUnsafeBytes { CompatSignalInfo.encode($0.baseAddress!) } == bytes, "\(c)")
        }
    }

    @Test func `status structures have i386 sizes and refuse what does not fit`() {
        var s = FileStatus()
        (s.device, s.inode, s.links, s.mode, s.size, s.blocks, s.owner) = (0x801, 0x1_0000_0002, 1, 0o100644, 5 << 32, 9, 70000)
        let wide = CompatStatus.stat64(s)
        #expect(wide.count == 96 && wide[88] == 2 && wide[92] == 1 && wide[48] == 5 && wide[12] == 2)
        #expect(CompatStatus.stat(s) == nil)
        (s.inode, s.size) = (2, 5)
        let narrow = CompatStatus.stat(s)
        #expect(narrow?.count == 64 && narrow?[12] == 0xfe && narrow?[13] == 0xff)
        #expect(CompatStatus.old(s)?.count == 32)
    }

    @Test func `ancillary data converts both ways and is cut as the kernel cuts it`() {
        // Two descriptors (SOL_SOCKET, SCM_RIGHTS), then one byte of another kind.
        let guest: [UInt8] = [20, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 7, 0, 0, 0]
        let host = CompatControl.decode(guest)
        #expect(host?.count == 48 && host?[0] == 24 && host?[24] == 17)
        #expect(CompatControl.encode(host ?? [], room: 64).bytes == guest)
        let cut = CompatControl.encode(host ?? [], room: 16)
        #expect(!cut.isWhole && cut.bytes.count == 16 && cut.bytes[0] == 16)
        #expect(CompatControl.decode([200, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]) == nil)
    }

    @Test func `every row names arguments the host call has`() {
        for n in LinuxI386().calls where n != .unassigned {
            guard let row = CompatRow.of(n) else { continue }
            let form = row.form.description
            #expect(form.count <= 12 && row.call.rawValue < SystemCall.firstForeign, "\(n)")
        }
    }
}
