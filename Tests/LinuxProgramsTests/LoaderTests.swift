// Program recognition, the address-space table and the hand-over between images, without running anything.

import Testing
@testable import LinuxPrograms

@Suite struct ProgramKindTests {
    private func script(_ text: String) -> (String, String?)? {
        guard case .script(let interpreter, let argument) = ProgramKind(head: Array(text.utf8)) else { return nil }
        return (String(decoding: interpreter, as: UTF8.self), argument.map { String(decoding: $0, as: UTF8.self) })
    }

    @Test func `a script names its interpreter and one argument`() {
        #expect(script("#!/bin/sh\nexit")! == ("/bin/sh", nil))
        #expect(script("#! \t/usr/bin/env  python3 -u \t\nx")! == ("/usr/bin/env", "python3 -u"))
        #expect(script("#!/bin/sh")! == ("/bin/sh", nil))
    }

    @Test func `a script without an interpreter is none`() {
        #expect(script("#!\n/bin/sh") == nil)
        #expect(script("#!   ") == nil)
        #expect(script("echo") == nil)
    }

    @Test func `an interpreter cut off by the end of the head is refused`() {
        #expect(script("#!/" + String(repeating: "a", count: 300)) == nil)
        let head = Array(("#!/" + String(repeating: "a", count: 300)).utf8.prefix(ProgramKind.headSize))
        if case .other = ProgramKind(head: head) {} else { Issue.record("a truncated name was taken") }
    }

    @Test func `short and foreign headers are not programs of ours`() {
        #expect(ELFHeader([]) == nil)
        #expect(ELFHeader([0x7f, 0x45, 0x4c, 0x46]) == nil)
        var head = [UInt8](repeating: 0, count: 64)
        head.replaceSubrange(0..<6, with: [0x7f, 0x45, 0x4c, 0x46, 2, 1])
        head[16] = 2
        head[18] = 62
        #expect(ELFHeader(head)?.machine == ELFHeader.hostMachine)
        #expect(ELFHeader(head)?.isProgram(of: LinuxRISCV64()) == false)
        head[18] = 243
        head[54] = 56
        head[56] = 1
        #expect(ELFHeader(head)?.isProgram(of: LinuxRISCV64()) == true)
    }
}

@Suite struct AddressSpaceTests {
    private let page = pageSize

    @Test func `neighbours with one protection become one region`() {
        let space = GuestAddressSpace(limit: 1 << 38)
        space.insert(0x10000, page, [.read])
        space.insert(0x12000, page, [.read])
        space.insert(0x11000, page, [.read])
        #expect(space.regions.count == 1 && space.regions[0].end == 0x13000)
    }

    @Test func `removing the middle leaves two ends`() {
        let space = GuestAddressSpace(limit: 1 << 38)
        space.insert(0x10000, 3 * page, [.read, .write])
        space.remove(0x11000, page)
        #expect(space.regions.map(\.start) == [0x10000, 0x12000])
        #expect(space.isFree(0x11000, page) && !space.isFree(0x10000, 2 * page))
    }

    @Test func `protection changes tell whether execution changed`() {
        let space = GuestAddressSpace(limit: 1 << 38)
        space.insert(0x10000, 4 * page, [.read, .execute])
        #expect(space.protect(0x11000, page, [.read]) == true)
        #expect(space.protect(0x11000, page, [.read, .write]) == false)
        #expect(space.regions.count == 3)
        #expect(space.executableBytes(0x10010) == 0xff0 && space.executableBytes(0x11000) == 0)
    }

    @Test func `free places are found from the top down, past reserved windows`() {
        let space = GuestAddressSpace(limit: 1 << 38)
        space.searchTop = 0x100000
        space.stackWindow = 0xf0000..<0x100000
        #expect(space.findFree(page) == 0xef000)
        space.insert(0xe0000, 0x10000, [])
        #expect(space.findFree(2 * page) == 0xde000)
        #expect(space.findFree(page, alignment: 0x10000) == 0xd0000)
        #expect(space.findFree(1 << 38) == nil)
    }

    @Test func `the table agrees with a page by page model`() {
        var random = SplitMix(state: 42)
        let space = GuestAddressSpace(limit: 1 << 38)
        var model = [UInt8?](repeating: nil, count: 64)
        for _ in 0..<5000 {
            let first = Int(random.next() % 64), count = 1 + Int(random.next() % UInt64(64 - first))
            let start = 0x100000 + UInt64(first) * page, length = UInt64(count) * page
            switch random.next() % 3 {
            case 0:
                let p = UInt8(random.next() % 8)
                space.insert(start, length, PageProtection(rawValue: p))
                for i in first..<first + count { model[i] = p }
            case 1:
                space.remove(start, length)
                for i in first..<first + count { model[i] = nil }
            default:
                let p = UInt8(random.next() % 8)
                _ = space.protect(start, length, PageProtection(rawValue: p))
                for i in first..<first + count where model[i] != nil { model[i] = p }
            }
            for i in 0..<64 {
                let region = space.regionLocked(at: 0x100000 + UInt64(i) * page + 5)
                if region?.protection.rawValue != model[i] { Issue.record("page \(i)"); return }
            }
            for (a, b) in zip(space.regions, space.regions.dropFirst()) where a.end > b.start || (a.end == b.start && a.protection == b.protection) {
                Issue.record("regions are not merged or overlap")
                return
            }
        }
    }
}

/// A small generator with a seed.
struct SplitMix {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}

@Suite struct ContinuationTests {
    @Test func `an image hands everything to the next`() {
        var options = ProgramOptions()
        options.root = "/some root/with,comma"
        options.engine = "interpret"
        options.log = "syscalls,file=/x"
        var c = Continuation(file: 77, path: Array("./a\u{1f}b".utf8), executable: Array("/bin/a\u{1f}b".utf8), options: options)
        c.blocked = 1 << 10
        c.ignored = 1 << 6
        c.personality = 0x40000
        c.addressLimits = [5, 6, .max, 8]
        let back = Continuation(entry: c.entry)
        #expect(back?.file == 77 && back?.path == c.path && back?.executable == c.executable)
        #expect(back?.blocked == c.blocked && back?.ignored == c.ignored && back?.personality == c.personality)
        #expect(back?.addressLimits == c.addressLimits)
        #expect(back?.options.root == options.root && back?.options.engine == "interpret" && back?.options.log == options.log)
    }

    @Test func `damaged entries are no continuation`() {
        let c = Continuation(file: 3, path: [65], executable: [66], options: ProgramOptions())
        for length in 0..<c.entry.count - 2 {
            #expect(Continuation(entry: Array(c.entry.prefix(length))) == nil || length > c.entry.count - 3)
        }
        #expect(Continuation(entry: Array("HOME=/".utf8)) == nil)
    }
}

@Suite struct SystemCallTableTests {
    @Test func `generic numbers name the calls of asm-generic unistd`() {
        let calls = LinuxRISCV64().calls
        let known: [(Int, SystemCall)] = [
            (17, .getcwd), (56, .openat), (63, .read), (64, .write), (93, .exit), (98, .futex), (134, .rt_sigaction),
            (139, .rt_sigreturn), (214, .brk), (220, .clone), (221, .execve), (222, .mmap), (258, .riscv_hwprobe),
            (259, .riscv_flush_icache), (260, .wait4), (291, .statx), (435, .clone3), (439, .faccessat2), (441, .epoll_pwait2),
        ]
        for (number, call) in known { #expect(calls[number] == call) }
    }

    @Test func `struct stat has the generic layout`() {
        var s = FileStatus()
        s.inode = 0x1111
        s.mode = 0o100644
        s.links = 3
        s.size = 0x2222
        s.modifySeconds = 0x3333
        let b = LinuxRISCV64().encode(s)
        #expect(b.count == 128)
        #expect(b[8] == 0x11 && b[16] == 0xa4 && b[20] == 3 && b[48] == 0x22 && b[88] == 0x33)
    }
}
