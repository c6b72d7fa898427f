import Testing
@testable import Machines

@Suite struct ConsoleTests {
    @Test func `ctrl-a takes commands out of the stream`() {
        var keys = ConsoleKeys()
        let first = keys.take(Array("ab\u{1}h\u{1}\u{1}c\u{1}q\u{1}".utf8))
        #expect(first.guest == Array("ab\u{1}c".utf8) && first.commands == [.help])
        let second = keys.take(Array("xy".utf8))
        #expect(second.guest == Array("y".utf8) && second.commands == [.end])
    }

    private func watch(_ text: String) -> PanicWatch {
        var watch = PanicWatch()
        for byte in text.utf8 { watch.take(byte) }
        return watch
    }

    @Test func `a kernel's last words are recognised`() {
        let panic = "[    1.25] Kernel panic - not syncing: VFS\r\n[    1.26] CPU: 0\r\n"
        #expect(watch(panic).hasPanicked && !watch(panic).hasEnded)
        let end = panic + "[    1.3][   T1] ---[ end Kernel panic - not syncing: VFS ]---\r\n"
        #expect(watch(end).hasEnded)
        #expect(!watch(end + "~ # ").hasEnded, "something lives")
        #expect(!watch("say Kernel panic - not syncing\n").hasPanicked)
        #expect(!watch("---[ end Kernel panic - not syncing ]---\n").hasEnded)
        #expect(!watch(panic + String(repeating: "x\n", count: 500)).hasPanicked)
    }

    @Test(arguments: [("512M", 512 << 20), ("1g", 1 << 30), ("4096", 4096), ("2T", 2 << 40), ("8k", 8192)] as [(String, UInt64)])
    func `sizes take suffixes of 1024`(text: String, bytes: UInt64) {
        #expect(MachineConfiguration.parseSize(text) == bytes)
    }

    @Test(arguments: ["", "M", "-1M", "1.5G", "12X", "99999999999999999999", "18446744073709551615K", "٣M"])
    func `what is not a size is refused`(text: String) {
        #expect(MachineConfiguration.parseSize(text) == nil)
    }

    @Test func `option values are parsed or refused with the option's name`() throws {
        #expect(try DiskChoice(parsing: "a,ro") == DiskChoice(path: "a", readOnly: true))
        #expect(try ShareChoice(parsing: "/a=b=tag") == ShareChoice(directory: "/a=b", tag: "tag"))
        for bad in ["", ",ro", "a,what"] { #expect(throws: MachineError.self) { try DiskChoice(parsing: bad) } }
        for bad in ["", "x", "=t", "d="] { #expect(throws: MachineError.self) { try ShareChoice(parsing: bad) } }
        #expect(SerialChoice("socket=/x") == .socket("/x") && SerialChoice("socket=") == nil && SerialChoice("tty") == nil)
        for bad in ["", "..", ".a", "a/b", "a b", String(repeating: "x", count: 65)] {
            #expect(throws: MachineError.self) { try MachineConfiguration.check(name: bad) }
        }
        var configuration = MachineConfiguration()
        configuration.cpus = 17
        #expect(throws: MachineError.self) { try configuration.validate() }
        configuration.cpus = 16
        configuration.memorySizeBytes = 1 << 41
        #expect(throws: MachineError.self) { try configuration.validate() }
    }
}
