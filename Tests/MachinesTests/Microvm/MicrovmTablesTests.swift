import Devices
import Foundation
import Testing
@testable import Machines

/// Whether a program of acpica-tools is here.
private let hasIASL = FileManager.default.isExecutableFile(atPath: "/usr/bin/iasl")

@Suite struct MicrovmTablesTests {
    private func tables(_ processors: Int = 2, apic: Bool = true, slots: Int = 2) -> [FirmwareBlock] {
        MicrovmTables(processors: processors, hasAPIC: apic, occupiedSlots: slots).blocks()
    }
    private func signature(_ block: FirmwareBlock) -> String { String(decoding: block.bytes.prefix(4), as: UTF8.self) }

    @Test func `every table sums to zero and is pointed to`() {
        let blocks = tables()
        #expect(blocks.map(signature) == ["RSD ", "FACS", "DSDT", "FACP", "APIC", "MCFG", "XSDT", "RSDT", "_MP_"])
        for block in blocks where signature(block) != "FACS" && signature(block) != "_MP_" {
            #expect(block.bytes.reduce(UInt8(0), &+) == 0, "\(signature(block))")
        }
        #expect(blocks[0].bytes.prefix(20).reduce(UInt8(0), &+) == 0)
        let root = ByteView(blocks[0].bytes), xsdt = ByteView(blocks[6].bytes)
        #expect(root.load(24, as: UInt64.self) == blocks[6].address && root.load(16, as: UInt32.self) == UInt32(blocks[7].address))
        #expect((0..<3).map { xsdt.load(36 + UInt64($0) * 8, as: UInt64.self) } == [3, 4, 5].map { blocks[$0].address })
        #expect(blocks[3].bytes.count == 276 && blocks[1].address % 64 == 0)
        for (one, other) in zip(blocks, blocks.dropFirst()) { #expect(one.address + UInt64(one.bytes.count) <= other.address) }
        let mp = blocks[8].bytes
        #expect(mp.prefix(16).reduce(UInt8(0), &+) == 0 && mp.dropFirst(16).reduce(UInt8(0), &+) == 0)
        #expect(tables(1, apic: false).map(signature) == ["RSD ", "FACS", "DSDT", "FACP", "MCFG", "XSDT", "RSDT"])
    }

    @Test(.enabled(if: hasIASL, "iasl of acpica-tools is not installed"), arguments: [(1, 0), (16, 6)])
    func `iasl understands every table and compiles the DSDT it disassembled`(processors: Int, slots: Int) throws {
        let workshop = try Workshop()
        for block in tables(processors, slots: slots) where !["RSD ", "_MP_", "FACS"].contains(signature(block)) {
            let name = signature(block).lowercased()
            let path = try workshop.file("\(name).dat", block.bytes)
            let (status, output) = try run(["-d", path])
            #expect(status == 0, "\(output)")
            #expect(!output.lowercased().contains("invalid") && !output.contains("Error") && !output.contains("Warning"), "\(output)")
            let source = workshop.directory + "/\(name).dsl"
            let text = try String(contentsOfFile: source, encoding: .utf8)
            #expect(!text.contains("Invalid") && !text.contains("**** Unknown"), "\(text)")
            let (again, messages) = try run(["-ve", source])
            #expect(again == 0 && messages.contains(" 0 Errors"), "\(messages)")
            switch name {
            case "dsdt":
                for wanted in ["PNP0A03", "Method (_PRT, 0, NotSerialized)", "0x000003F8", "PNP0B00"] {
                    #expect(text.contains(wanted) || text.contains(wanted.replacingOccurrences(of: "0x0000", with: "0x")), "\(wanted)")
                }
                #expect(text.components(separatedBy: "LNRO0005").count - 1 == slots)
            case "apic": #expect(text.components(separatedBy: "[Processor Local APIC]").count - 1 == processors)
            default: break
            }
        }
    }

    private func run(_ arguments: [String]) throws -> (Int32, String) {
        let process = Process(), pipe = Pipe()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/iasl")
        process.arguments = arguments
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, output)
    }

    @Test func `AML lengths and names are encoded as the specification says`() {
        #expect(AML.name("_S5", .integer(0x1234)).bytes == [8, 0x5f, 0x53, 0x35, 0x5f, 0x0b, 0x34, 0x12])
        #expect(AML.eisaID("PNP0A03").bytes == [0x0c, 0x41, 0xd0, 0x0a, 0x03])
        let long = AML.buffer(Array(repeating: 0, count: 100)).bytes
        #expect(Array(long.prefix(5)) == [0x11, 0x48, 0x06, 0x0a, 100] && long.count == 105)
        #expect(AML.scope("\\_SB.PCI0", []).bytes == [0x10, 0x0b, 0x5c, 0x2e] + Array("_SB_PCI0".utf8))
    }
}
