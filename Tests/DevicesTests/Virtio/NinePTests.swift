import Foundation
import GuestMemory
import SavedState
import Synchronization
import Testing
@testable import Devices

/// A directory `export` in a directory that the guest must never see into: beside it lies `secret`.
@Suite struct NinePTests {
    let outside: TemporaryDirectory
    let root: String
    let client: NinePClient

    init() throws {
        outside = try TemporaryDirectory()
        root = outside.file("export")
        try FileManager.default.createDirectory(atPath: root + "/a/b/c", withIntermediateDirectories: true)
        try outside.create("secret", Array("secret".utf8))
        try outside.create("export/file", Array("hello, world".utf8))
        client = NinePClient(NinePServer(tree: try HostDirectory(path: root)))
        client.begin()
    }

    private func link(_ name: String, to target: String) { symlink(target, root + "/" + name) }
    private var rootNumber: UInt64? { client.attributes(0)?.number }

    // MARK: Session

    @Test func `the version is negotiated and a new one ends the session`() {
        #expect(client.walk(0, 1, ["file"]) == 0)
        guard case .success(let body) = client.call(100, little(UInt32(1 << 30)), string("9P2000.L")) else {
            Issue.record("Tversion failed")
            return
        }
        #expect(body == little(UInt32(512 << 10)) + string("9P2000.L"))
        #expect(client.attributes(1) == nil && client.attributes(0) == nil)
    }

    @Test(arguments: ["9P2000", "9P2000.u", "", "9P2000.L "]) func `another dialect is unknown and gives no session`(dialect: String) {
        guard case .success(let body) = client.call(100, little(UInt32(8192)), string(dialect)) else {
            Issue.record("Tversion failed")
            return
        }
        #expect(body == little(UInt32(8192)) + string("unknown"))
        #expect(client.errno(104, little(UInt32(0)), little(UInt32.max), string(""), string(""), little(UInt32(0))) == EPROTO)
    }

    @Test func `messages of less than a page are refused`() {
        #expect(client.errno(100, little(UInt32(4095)), string("9P2000.L")) == EMSGSIZE)
    }

    @Test func `attach may name a directory below the root`() {
        let attach = { (fid: UInt32, name: String) in
            client.errno(104, little(fid), little(UInt32.max), string("u"), string(name), little(UInt32(0)))
        }
        #expect(attach(5, "/a/b") == 0 && client.walk(5, 6, ["c"]) == 0)
        #expect(attach(7, "/../") == EINVAL && attach(7, "nowhere") == ENOENT && attach(5, "") == EBADF)
        #expect(client.errno(102, little(UInt32(9)), string("u"), string(""), little(UInt32(0))) == EOPNOTSUPP)
    }

    @Test func `fids are bounded`() {
        for number in 1..<UInt32(client.server.fidsMax) { _ = client.walk(0, number, [String]()) }
        #expect(client.walk(0, 1 << 20, [String]()) == EMFILE)
        #expect(client.walk(0, .max, [String]()) == EBADF)
        #expect(client.clunk(5) == 0 && client.clunk(5) == EBADF && client.walk(0, 1 << 20, [String]()) == 0)
    }

    // MARK: Walks

    @Test func `a walk reports how far it got`() {
        #expect(client.walk(0, 1, ["a", "b", "c"]) == 0)
        #expect(client.walk(0, 2, ["a", "nowhere", "c"]) == -2)
        #expect(client.attributes(2) == nil, "a short walk makes no fid")
        #expect(client.walk(0, 2, ["nowhere"]) == ENOENT)
        #expect(client.walk(0, 1, ["a"]) == EBADF, "the fid is in use")
        #expect(client.walk(0, 2, [String](repeating: "a", count: 17)) == EINVAL)
        #expect(client.walk(1, 1, [".."]) == 0, "a fid may be walked in place")
    }

    @Test func `dot dot at the root stays at the root`() {
        #expect(client.walk(0, 1, [String](repeating: "..", count: 16)) == 0)
        #expect(client.attributes(1)?.number == rootNumber)
        #expect(client.walk(0, 2, ["..", "secret"]) == -2)
        #expect(client.walk(0, 3, ["a", "..", "..", "..", "a", "b"]) == 0)
        #expect(client.walk(1, 4, ["secret"]) == ENOENT)
    }

    @Test(arguments: ["", ".", "a/b", "/", "../secret", "a\0b", "x/../../secret", "/etc/passwd"])
    func `names that are no single component are refused`(name: String) {
        #expect([EINVAL, ENOENT].contains(client.walk(0, 1, [name])))
        #expect([EINVAL, ENOENT].contains(client.create(0, name)))
        #expect([EINVAL, ENOENT].contains(client.errno(72, little(UInt32(0)), string(name), little(UInt32(0o755)), little(UInt32(0)))))
        #expect([EINVAL, ENOENT].contains(client.errno(76, little(UInt32(0)), string(name), little(UInt32(0)))))
        #expect([EINVAL, ENOENT].contains(client.errno(74, little(UInt32(0)), string("file"), little(UInt32(0)), string(name))))
        #expect(outside.contents("secret") == Array("secret".utf8))
    }

    @Test func `dot dot is no name for changes`() {
        #expect(client.errno(72, little(UInt32(0)), string(".."), little(UInt32(0o755)), little(UInt32(0))) == EINVAL)
        #expect(client.errno(74, little(UInt32(0)), string("file"), little(UInt32(0)), string("..")) == EINVAL)
        #expect(client.errno(76, little(UInt32(0)), string(".."), little(UInt32(0x200))) == EINVAL)
    }

    @Test func `names longer than a host name are refused and other bytes are kept`() throws {
        #expect(client.walk(0, 1, [String(repeating: "x", count: 256)]) == ENAMETOOLONG)
        let name: [UInt8] = [0xff, 0xfe, 0x20, 0x0a, 0x80]
        #expect(client.walk(0, 1, [String]()) == 0)
        #expect(client.errno(14, little(UInt32(1)), string(name), little(UInt32(0o102)), little(UInt32(0o600)), little(UInt32(0))) == 0)
        #expect(client.walk(0, 2, [name]) == 0)
    }

    // MARK: Symbolic links

    @Test func `symbolic links are never followed`() throws {
        link("up", to: "..")
        link("absolute", to: outside.path)
        link("secret", to: "../secret")
        link("self", to: "self")
        link("proc", to: "/proc/self/root")
        for name in ["up", "absolute", "secret", "self", "proc"] {
            #expect(client.walk(0, 1, [name]) == 0, "the link itself can be named")
            #expect(client.attributes(1).map { $0.mode & 0o170000 } == 0o120000)
            #expect(client.open(1) == ELOOP)
            #expect(client.open(1, 0o2) == ELOOP)
            #expect(client.walk(1, 2, ["secret"]) == ENOTDIR && client.walk(0, 2, [name, "secret"]) == -2)
            #expect(client.walk(1, 2, [".."]) == ENOTDIR)
            #expect(client.create(1, "new") == ENOTDIR)
            #expect(client.setattr(1, valid: 8, size: 0) == EINVAL)
            #expect(client.setattr(1, valid: 1, mode: 0o777) == EOPNOTSUPP)
            #expect(client.clunk(1) == 0)
        }
        #expect(client.create(0, "secret", 0o102) == EEXIST, "creation does not write through a link")
        #expect(outside.contents("secret") == Array("secret".utf8))
        #expect(!FileManager.default.fileExists(atPath: outside.file("new")))
    }

    @Test func `a link can be read and made with any target`() {
        #expect(client.errno(16, little(UInt32(0)), string("l"), string("../../secret"), little(UInt32(0))) == 0)
        #expect(client.walk(0, 1, ["l"]) == 0)
        #expect((try? client.call(22, little(UInt32(1))).get()) == string("../../secret"))
        #expect(client.errno(22, little(UInt32(0))) == EINVAL, "a directory is no link")
    }

    @Test func `a maze of links leads nowhere`() throws {
        var random = Random(seed: 7)
        var names = ["a", "file", ".."]
        for index in 0..<60 {
            let target = (0..<Int.random(in: 1...4, using: &random)).map { _ in
                ["..", "a", "b", "secret", "/", names.randomElement(using: &random)!].randomElement(using: &random)!
            }.joined(separator: "/")
            link("l\(index)", to: target)
            names.append("l\(index)")
        }
        names += ["secret", "b", "c", "export"]
        let secret = Array("secret".utf8)
        for _ in 0..<5000 {
            let path = (0..<Int.random(in: 1...8, using: &random)).map { _ in names.randomElement(using: &random)! }
            if client.walk(0, 1, path) == 0 {
                if client.open(1) == 0 { #expect(client.read(1) != secret) }
                _ = client.clunk(1)
            }
        }
    }

    @Test func `a directory moved out of the tree has no way up`() throws {
        #expect(client.walk(0, 1, ["a", "b", "c"]) == 0)
        try FileManager.default.moveItem(atPath: root + "/a", toPath: outside.file("moved"))
        #expect(client.walk(1, 2, [".."]) == ESTALE)
        #expect(client.walk(1, 2, ["..", "..", "..", "secret"]) == ESTALE)
    }

    // MARK: Files

    @Test func `a file is created, written, read and removed`() throws {
        #expect(client.walk(0, 1, [String]()) == 0)
        #expect(client.create(1, "new", mode: 0o666) == 0)
        #expect(client.write(1, Array("abcdef".utf8)) == 6 && client.write(1, Array("XY".utf8), at: 2) == 2)
        #expect(client.read(1) == Array("abXYef".utf8) && client.read(1, 4, 1) == Array("e".utf8) && client.read(1, 100) == [])
        #expect(client.errno(50, little(UInt32(1)), little(UInt32(0))) == 0)
        #expect(outside.contents("export/new") == Array("abXYef".utf8))
        #expect(client.attributes(1).map { $0.mode } == 0o100666, "the host's umask does not apply")
        #expect(client.open(1) == EBUSY, "open already")
        #expect(client.errno(122, little(UInt32(1))) == 0 && outside.contents("export/new") == nil)
        #expect(client.clunk(1) == EBADF)
    }

    @Test func `lcreate opens what exists unless told not to`() {
        _ = client.walk(0, 1, [String]())
        _ = client.walk(0, 2, [String]())
        #expect(client.create(1, "file", 0o302) == EEXIST)
        #expect(client.create(1, "a") == EEXIST, "a directory is in the way")
        #expect(client.create(1, "file", 0o1102) == 0 && client.read(1) == [])
        #expect(client.create(2, "file", 0o102) == 0)
    }

    @Test func `access modes hold`() {
        #expect(client.walk(0, 1, ["file"]) == 0 && client.open(1, 0) == 0)
        #expect(client.read(1, 0, 5) == Array("hello".utf8))
        #expect(client.errno(118, little(UInt32(1)), little(UInt64(0)), little(UInt32(1)), [1]) == EBADF)
        #expect(client.walk(0, 2, ["file"]) == 0 && client.errno(116, little(UInt32(2)), little(UInt64(0)), little(UInt32(1))) == EBADF)
        #expect(client.open(2, 1) == 0 && client.read(2) == nil)
        #expect(client.walk(0, 3, ["a"]) == 0 && client.open(3, 1) == EISDIR && client.open(3, 0) == 0)
        #expect(client.errno(116, little(UInt32(3)), little(UInt64(0)), little(UInt32(1))) == EISDIR)
        #expect(client.errno(116, little(UInt32(1)), little(UInt64.max), little(UInt32(1))) == EINVAL)
    }

    @Test func `special files are named but not opened and devices are not made`() {
        let mknod = { (name: String, mode: UInt32) in
            client.errno(18, little(UInt32(0)), string(name), little(mode), little(UInt32(1)), little(UInt32(3)), little(UInt32(0)))
        }
        #expect(mknod("fifo", 0o010644) == 0 && mknod("socket", 0o140644) == 0 && mknod("plain", 0o100640) == 0)
        #expect(mknod("null", 0o020666) == EPERM && mknod("disk", 0o060666) == EPERM)
        #expect(client.walk(0, 1, ["fifo"]) == 0 && client.open(1) == EOPNOTSUPP)
        #expect(client.create(0, "fifo") == EEXIST)
        #expect(client.attributes(1).map { $0.mode } == 0o010644)
    }

    @Test(arguments: [24, 100, 4096] as [UInt32]) func `a directory lists every name once`(count: UInt32) throws {
        for index in 0..<300 { try outside.create("export/a/n\(index)") }
        #expect(client.walk(0, 1, ["a"]) == 0 && client.open(1) == 0)
        if count < 30 {
            #expect(client.errno(40, little(UInt32(1)), little(UInt64(0)), little(count)) == EINVAL)
            return
        }
        let names = client.list(1, count: count)
        #expect(names?.count == 303)
        #expect(names?["b"] != nil && names?["n299"] != nil && names?[".."] != nil)
        #expect(client.errno(40, little(UInt32(1)), little(UInt64.max), little(count)) == EINVAL)
        _ = client.errno(40, little(UInt32(1)), little(UInt64(1) << 40), little(count))
    }

    @Test func `the root's listing does not tell what is above`() {
        #expect(client.walk(0, 1, [String]()) == 0 && client.open(1) == 0)
        #expect(client.list(1)?[".."] == rootNumber)
    }

    // MARK: Names

    @Test func `directories, links and renames work inside the tree`() throws {
        #expect(client.errno(72, little(UInt32(0)), string("d"), little(UInt32(0o777)), little(UInt32(0))) == 0)
        #expect(client.walk(0, 1, ["d"]) == 0 && client.walk(0, 2, ["file"]) == 0)
        #expect(client.attributes(1).map { $0.mode } == 0o040777)
        #expect(client.errno(70, little(UInt32(1)), little(UInt32(2)), string("hard")) == 0)
        #expect(outside.contents("export/d/hard") == Array("hello, world".utf8))
        #expect(client.errno(74, little(UInt32(1)), string("hard"), little(UInt32(0)), string("harder")) == 0)
        #expect(client.errno(20, little(UInt32(2)), little(UInt32(1)), string("moved")) == 0)
        #expect(outside.contents("export/d/moved") != nil && outside.contents("export/file") == nil)
        #expect(client.errno(76, little(UInt32(0)), string("d"), little(UInt32(0x200))) == ENOTEMPTY)
        #expect(client.errno(76, little(UInt32(1)), string("moved"), little(UInt32(0))) == 0)
        #expect(client.errno(122, little(UInt32(1))) == 0, "the directory is empty again")
        #expect(client.errno(20, little(UInt32(0)), little(UInt32(0)), string("x")) == EBUSY, "the root stays where it is")
        #expect(client.walk(0, 4, [String]()) == 0 && client.errno(122, little(UInt32(4))) == EBUSY)
    }

    @Test func `a hard link to a symbolic link is one to the link`() {
        link("l", to: "../secret")
        #expect(client.walk(0, 1, ["l"]) == 0)
        #expect(client.errno(70, little(UInt32(0)), little(UInt32(1)), string("l2")) == 0)
        #expect(client.walk(0, 2, ["l2"]) == 0 && client.attributes(2).map { $0.mode & 0o170000 } == 0o120000)
    }

    @Test func `an unlinked file stays readable and cannot be removed again`() {
        #expect(client.walk(0, 1, ["file"]) == 0 && client.open(1, 2) == 0)
        #expect(client.errno(76, little(UInt32(0)), string("file"), little(UInt32(0))) == 0)
        #expect(client.read(1, 0, 5) == Array("hello".utf8))
        #expect(client.setattr(1, valid: 8, size: 2) == 0 && client.attributes(1)?.size == 2)
        #expect([ESTALE, ENOENT].contains(client.errno(122, little(UInt32(1)))))
    }

    // MARK: Attributes

    @Test func `attributes are set and read`() {
        #expect(client.walk(0, 1, ["file"]) == 0)
        #expect(client.setattr(1, valid: 1 | 8 | 0x10 | 0x20 | 0x80 | 0x100, mode: 0o600, size: 3, mtime: 1_000_000) == 0)
        #expect(client.attributes(1).map { $0.mode } == 0o100600 && client.attributes(1)?.size == 3)
        var info = stat()
        #expect(stat(root + "/file", &info) == 0 && info.st_mtim.tv_sec == 1_000_000 && info.st_mtim.tv_nsec == 7 && info.st_atim.tv_sec == 5)
        #expect(client.setattr(1, valid: 0x20) == 0, "now")
        #expect(stat(root + "/file", &info) == 0 && info.st_mtim.tv_sec > 1_000_000)
        #expect(client.setattr(1, valid: 8, size: .max) == EFBIG)
        #expect(client.setattr(1, valid: 2 | 4, uid: getuid()) == 0, "giving a file to its owner")
        #expect(client.setattr(1, valid: 0) == 0)
    }

    @Test func `the file system's size is told`() {
        #expect((try? client.call(8, little(UInt32(0))).get())?.count == 60)
    }

    @Test func `extended attributes go through, others stay hidden`() throws {
        #expect(client.walk(0, 1, ["file"]) == 0)
        let put = { (name: String, value: [UInt8]) -> Int32 in
            _ = client.walk(0, 9, ["file"])
            let made = client.errno(32, little(UInt32(9)), string(name), little(UInt64(value.count)), little(UInt32(0)))
            if made != 0 { _ = client.clunk(9); return made }
            _ = client.write(9, value)
            return client.clunk(9)
        }
        let outcome = put("user.color", [1, 2, 3])
        if outcome == EOPNOTSUPP { return }  // the temporary directory's file system has none
        #expect(outcome == 0)
        #expect(put("security.capability", [1]) == EOPNOTSUPP && put("trusted.x", [1]) == EOPNOTSUPP)
        #expect((try? client.call(30, little(UInt32(1)), little(UInt32(5)), string("user.color")).get()) == little(UInt64(3)))
        #expect(client.read(5) == [1, 2, 3] && client.read(5, 2) == [3] && client.read(5, .max) == [])
        #expect((try? client.call(30, little(UInt32(1)), little(UInt32(6)), string("")).get()) == little(UInt64(11)))
        #expect(client.read(6) == Array("user.color".utf8) + [0])
        #expect(client.errno(30, little(UInt32(1)), little(UInt32(7)), string("user.none")) == ENODATA)
        #expect(client.errno(32, little(UInt32(1)), string("user.big"), little(UInt64(1) << 40), little(UInt32(0))) == E2BIG)
    }

    @Test func `values of extended attributes held in memory are bounded`() {
        var last: Int32 = 0
        for number in 1...300 as ClosedRange<UInt32> {
            last = client.errno(30, little(UInt32(0)), little(number), string(""))
            if last != 0 { break }
        }
        #expect(last == ENOSPC || last == EOPNOTSUPP)
    }

    @Test func `locks conflict between fids`() {
        for fid in [1, 2] as [UInt32] { #expect(client.walk(0, fid, ["file"]) == 0 && client.open(fid, 2) == 0) }
        let lock = { (fid: UInt32, type: UInt8, start: UInt64) in
            try? client.call(52, little(fid), [type], little(UInt32(0)), little(start), little(UInt64(10)), little(UInt32(1)), string("c")).get()
        }
        #expect(lock(1, 1, 0) == [0] && lock(2, 1, 5) == [1] && lock(2, 1, 10) == [0])
        let query = try? client.call(54, little(UInt32(2)), [1], little(UInt64(0)), little(UInt64(5)), little(UInt32(9)), string("c")).get()
        #expect(query == [1] + little(UInt64(0)) + little(UInt64(10)) + little(UInt32(9)) + string("c"))
        #expect(lock(1, 2, 0) == [0] && lock(2, 1, 0) == [0])
        #expect(lock(1, 0, .max) == [2] || lock(1, 0, .max) == nil)
    }

    @Test func `a read only share refuses every change`() throws {
        let client = NinePClient(NinePServer(tree: try HostDirectory(path: root, readOnly: true)))
        client.begin()
        #expect(client.walk(0, 1, ["file"]) == 0 && client.open(1, 2) == EROFS && client.open(1, 0o1000) == EROFS)
        #expect(client.create(0, "new") == EROFS && client.setattr(1, valid: 8) == EROFS)
        #expect(client.errno(76, little(UInt32(0)), string("file"), little(UInt32(0))) == EROFS)
        #expect(client.errno(122, little(UInt32(1))) == EROFS)
        #expect(outside.contents("export/file") == Array("hello, world".utf8))
    }

    // MARK: State

    @Test func `a restored session carries on with its fids`() throws {
        #expect(client.walk(0, 1, ["file"]) == 0 && client.open(1, 2) == 0)
        #expect(client.walk(0, 2, ["a", "b"]) == 0)
        #expect(client.walk(0, 3, ["a"]) == 0 && client.open(3) == 0)
        _ = client.walk(0, 4, [String]())
        #expect(client.create(4, "gone") == 0)
        #expect(client.errno(76, little(UInt32(0)), string("gone"), little(UInt32(0))) == 0)
        var writer = StateWriter()
        client.server.save(to: &writer)
        let copy = NinePClient(NinePServer(tree: try HostDirectory(path: root)))
        var reader = StateReader(writer.bytes)
        try copy.server.restore(from: &reader)
        #expect(copy.write(1, Array("J".utf8)) == 1 && copy.read(1, 0, 5) == Array("Jello".utf8))
        #expect(copy.walk(2, 5, ["c"]) == 0 && copy.list(3)?["b"] != nil)
        #expect(copy.errno(24, little(UInt32(4)), little(UInt64(0x7ff))) == ESTALE && copy.clunk(4) == 0)
        for length in 0..<writer.bytes.count {
            var cut = StateReader(Array(writer.bytes.prefix(length)))
            #expect(throws: (any Error).self) { try copy.server.restore(from: &cut) }
        }
    }

    @Test func `a saved path that leads out is not restored`() throws {
        link("up", to: "..")
        for path in [["..", "secret"], ["up", "secret"], ["a/../../secret"]] {
            var writer = StateWriter()
            writer.section("9p-session", version: 1) { writer in
                writer.put(true)
                writer.put(UInt32(8192))
                writer.put(each: [UInt32(1)]) { writer, number in
                    writer.put(number)
                    writer.put(UInt8(1))
                    writer.put(each: path) { $0.put(bytes: Array($1.utf8)) }
                    writer.put(UInt32(0))
                }
            }
            var reader = StateReader(writer.bytes)
            try client.server.restore(from: &reader)
            #expect(client.errno(116, little(UInt32(1)), little(UInt64(0)), little(UInt32(10))) == ESTALE)
        }
    }

    // MARK: The device

    @Test func `the device shows its tag and answers in the ring`() throws {
        let guest = try GuestDriver(VirtioNineP(directory: try HostDirectory(path: root), tag: "share"))
        #expect(guest.deviceFeatures & 1 == 1)
        guest.start()
        #expect(guest.config(0, size: 2) == 5 && guest.config(2, size: 1) == UInt64(UInt8(ascii: "s")))
        let version = little(UInt32(21)) + [100, 0xff, 0xff] + little(UInt32(8192)) + string("9P2000.L")
        #expect(guest.request(version, room: 100) == little(UInt32(21)) + [101, 0xff, 0xff] + little(UInt32(8192)) + string("9P2000.L"))
        #expect(guest.request(version, room: 10) == [], "no room even for an error")
        #expect(guest.request([1, 2], room: 100) == [])
        #expect(guest.request(little(UInt32(0)) + [100, 1, 0], room: 100)?.count == 11)
        let state = saved(guest.mmio)
        let copy = VirtioMMIO(device: VirtioNineP(directory: try HostDirectory(path: root), tag: "share"), ram: guest.ram,
                              interrupt: .unconnected)
        var reader = StateReader(state)
        try copy.restore(from: &reader)
        #expect(saved(copy) == state)
    }

    @Test func `random messages never trap and never touch what lies outside`() throws {
        var random = Random(seed: Fuzz.seed(8))
        let types: [UInt8] = [6, 8, 12, 14, 16, 18, 20, 22, 24, 26, 30, 32, 40, 50, 52, 54, 70, 72, 74, 76, 102, 104, 108, 110,
                              110, 110, 116, 118, 120, 122]
        let names = ["..", ".", "a", "b", "c", "file", "secret", "export", "up", "x", "y", "", "/", "../secret", "a/b"]
        link("up", to: "..")
        for round in 0..<Fuzz.rounds(20_000) {
            if round % 400 == 0 { client.begin() }
            var body: [UInt8] = []
            // Mostly a fid first, then a mixture of small integers and names: the shape most messages have.
            for _ in 0..<Int.random(in: 0..<7, using: &random) {
                switch UInt8.random(in: 0..<8, using: &random) {
                case 0: body += [UInt8.random(in: 0...255, using: &random)]
                case 1: body += little(random.next())
                case 2: body += little(UInt16.random(in: 0..<4, using: &random))
                case 3, 4: body += string(names.randomElement(using: &random)!)
                default: body += little(UInt32.random(in: 0..<12, using: &random))
                }
            }
            client.room = Int.random(in: 0..<4, using: &random) == 0 ? Int.random(in: 0..<64, using: &random) : 1 << 16
            _ = client.send(types.randomElement(using: &random)!, body)
        }
        #expect(outside.contents("secret") == Array("secret".utf8))
        let left = try FileManager.default.contentsOfDirectory(atPath: outside.path)
        #expect(Set(left) == ["secret", "export"])
    }

    @Test func `well formed random sessions stay inside the tree`() throws {
        var random = Random(seed: Fuzz.seed(9))
        let names = ["..", "a", "b", "c", "d", "file", "secret", "l"]
        for round in 0..<Fuzz.rounds(10_000) {
            if round % 500 == 0 { client.begin() }
            let fid = UInt32.random(in: 0..<8, using: &random)
            let other = UInt32.random(in: 0..<8, using: &random)
            let name = names.randomElement(using: &random)!
            switch UInt8.random(in: 0..<14, using: &random) {
            case 0...3: _ = client.walk(fid, other, (0..<3).map { _ in names.randomElement(using: &random)! })
            case 4: _ = client.create(fid, name)
            case 5: _ = client.errno(72, little(fid), string(name), little(UInt32(0o755)), little(UInt32(0)))
            case 6: _ = client.errno(74, little(fid), string(name), little(other), string(names.randomElement(using: &random)!))
            case 7: _ = client.errno(16, little(fid), string(name), string("../../.."), little(UInt32(0)))
            case 8: _ = client.errno(76, little(fid), string(name), little(UInt32(Bool.random(using: &random) ? 0x200 : 0)))
            case 9: _ = client.open(fid, [0, 1, 2, 0o1002].randomElement(using: &random)!)
            case 10: _ = client.write(fid, [1, 2, 3])
            case 11: if fid != 0 { _ = client.errno(122, little(fid)) }
            case 12: _ = client.errno(20, little(fid), little(other), string(name))
            default: if fid != 0 { _ = client.clunk(fid) }
            }
        }
        #expect(outside.contents("secret") == Array("secret".utf8))
        #expect(Set(try FileManager.default.contentsOfDirectory(atPath: outside.path)) == ["secret", "export"])
    }

    /// While somebody on the host, or another guest, turns a directory into a link and back, a walk through it must never
    /// come out elsewhere.
    @Test func `a directory that becomes a link under the walk leads nowhere`() throws {
        try FileManager.default.createDirectory(atPath: root + "/turning/inner", withIntermediateDirectories: true)
        try outside.create("export/turning/inner/secret", Array("harmless".utf8))
        try FileManager.default.createDirectory(atPath: outside.file("inner"), withIntermediateDirectories: true)
        try outside.create("inner/secret", Array("secret".utf8))
        let stop = Atomic<Bool>(false)
        let done = DispatchSemaphore(value: 0)
        let (root, away) = (root, outside.file("away"))
        Thread.detachNewThread {
            while !stop.load(ordering: .relaxed) {
                rename(root + "/turning", away)
                symlink("..", root + "/turning")
                unlink(root + "/turning")
                rename(away, root + "/turning")
            }
            done.signal()
        }
        var reached = 0
        for _ in 0..<Fuzz.rounds(3000) {
            _ = client.clunk(5)
            if client.walk(0, 5, ["turning", "inner", "secret"]) == 0, client.open(5, 2) == 0 {
                reached += 1
                let text = client.read(5)
                #expect(text == nil || text == Array("harmless".utf8))
                _ = client.write(5, Array("harmless".utf8))
            }
            _ = client.clunk(6)
            if client.walk(0, 6, ["turning", "inner"]) == 0 { _ = client.create(6, "made") }
            _ = client.clunk(7)
            if client.walk(0, 7, ["turning"]) == 0 {
                _ = client.errno(76, little(UInt32(7)), string("secret"), little(UInt32(0)))
                _ = client.errno(72, little(UInt32(7)), string("new"), little(UInt32(0o755)), little(UInt32(0)))
            }
        }
        stop.store(true, ordering: .relaxed)
        done.wait()
        #expect(reached > 0, "the walk was never in time")
        #expect(outside.contents("secret") == Array("secret".utf8) && outside.contents("inner/secret") == Array("secret".utf8))
        #expect(Set(try FileManager.default.contentsOfDirectory(atPath: outside.path)) == ["secret", "inner", "export"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: outside.file("inner")) == ["secret"])
    }

    @Test(arguments: [0, 1, 4095, 0x7fff_ffff, 0x8000_0000, .max] as [UInt32])
    func `counts are bounded by what both sides agreed on`(count: UInt32) throws {
        client.begin(msize: 8192)
        #expect(client.walk(0, 1, ["file"]) == 0 && client.open(1) == 0)
        for offset: UInt64 in [0, 5, 1 << 63, .max, .max - 5] {
            let text = client.read(1, offset, count)
            #expect((text?.count ?? 0) <= 8192)
            // A count that the message does not hold, and names and lists that say they are longer than it is.
            _ = client.send(118, little(UInt32(1)) + little(offset) + little(count) + [1, 2, 3])
        }
        #expect(client.walk(0, 2, [String]()) == 0 && client.open(2) == 0)
        for type: UInt8 in [40, 22, 116] { #expect(client.send(type, little(UInt32(2)) + little(UInt64(0)) + little(count)).body.count <= 8192) }
        _ = client.send(110, little(UInt32(0)) + little(UInt32(3)) + little(UInt16(truncatingIfNeeded: count)))
        _ = client.send(32, little(UInt32(1)) + string("user.x") + little(UInt64(count) << 32) + little(UInt32(0)))
        _ = client.send(100, little(count) + string("9P2000.L"))
        client.room = 1 << 20
        #expect(client.begin(), "the session can be had again")
    }
}
