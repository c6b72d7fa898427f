import Foundation
import Testing
@testable import Machines

@Suite struct FlattenedDeviceTreeTests {
    private func sample() -> DeviceTree {
        let tree = DeviceTree()
        tree.reservations = [(0x8000_0000, 0x1000)]
        tree.root.set("#address-cells", 2)
        tree.root.set("#size-cells", 2)
        tree.root.set("compatible", "guise,test", "guise,generic")
        tree.root.set("model", "Test")
        let phandle = tree.makePhandle()
        tree.root.add("intc") { node in
            node.set("interrupt-controller")
            node.set("#interrupt-cells", 1)
            node.set("#address-cells", 0)
            node.set(phandle: phandle)
        }
        tree.root.add("soc") { node in
            node.set("#address-cells", 2)
            node.set("#size-cells", 2)
            node.set("compatible", "simple-bus")
            node.set("ranges")
            node.add("serial@10000000") { node in
                node.set("reg", wide: 0x1000_0000, 0x100)
                node.set("compatible", "ns16550a")
                node.set("interrupts", 10)
                node.set("interrupt-parent", phandle)
            }
        }
        return tree
    }

    @Test func `the header describes the blob`() {
        let blob = FlattenedDeviceTree.encode(sample())
        func word(_ index: Int) -> Int { blob[index * 4..<index * 4 + 4].reduce(0) { $0 << 8 | Int($1) } }
        #expect(word(0) == 0xd00d_feed && word(1) == blob.count && word(5) == 17 && word(6) == 16)
        #expect(word(2) + word(9) == word(3) && word(3) + word(8) == blob.count)
        #expect(word(2) % 4 == 0 && word(4) == 40)
    }

    @Test func `dtc reads the blob back without a warning`() throws {
        guard let (source, messages) = try decompile(FlattenedDeviceTree.encode(sample())) else { return }
        #expect(messages == "")
        #expect(source.contains("/memreserve/\t0x0000000080000000 0x0000000000001000;"))
        #expect(source.contains("compatible = \"guise,test\\0guise,generic\";"))
        #expect(source.contains("reg = <0x00 0x10000000 0x00 0x100>;"))
        #expect(source.contains("interrupt-controller;"))
    }

    @Test func `a property set twice keeps the last value`() {
        let node = DeviceTreeNode("a")
        node.set("x", 1)
        node.set("x", "text")
        #expect(node.properties.count == 1 && node.property("x") == Array("text\0".utf8))
    }
}

/// The blob as `dtc` prints it and what it complains about, or nil where dtc is not installed.
func decompile(_ blob: [UInt8]) throws -> (source: String, messages: String)? {
    guard FileManager.default.isExecutableFile(atPath: "/usr/bin/dtc") else { return nil }
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("guise-dtc-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let file = directory.appendingPathComponent("tree.dtb"), messages = directory.appendingPathComponent("messages")
    let source = directory.appendingPathComponent("tree.dts")
    try Data(blob).write(to: file)
    _ = FileManager.default.createFile(atPath: messages.path, contents: nil)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/dtc")
    process.arguments = ["-I", "dtb", "-O", "dts", "-o", source.path, file.path]
    process.standardError = try FileHandle(forWritingTo: messages)
    try process.run()
    process.waitUntilExit()
    return (try String(contentsOf: source, encoding: .utf8), try String(contentsOf: messages, encoding: .utf8))
}
