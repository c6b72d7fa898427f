import Foundation
import IR
import Testing
@testable import Translator

/// Pinned listings of generated code: a change of the generator shows in the diff of Tests/Listings.
///
/// To record them again after a deliberate change: `GUISE_RECORD=1 swift test --filter ListingTests`, then read the
/// diff.
@Suite struct ListingTests {
    /// A typical guest block as a front lifts it.
    struct Block: CustomTestStringConvertible {
        var name: String
        var text: String
        var machine = false
        var testDescription: String { name }
    }

    /// x0…x5 and f0, f1 have host registers; the rest live in the state block.
    private static let pinned = [0, 1, 2, 3, 4, 5, TestGuest.f0, TestGuest.f0 + 1]

    private static let directory = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Listings/x86-64")

    static let isDisassemblerInstalled = FileManager.default.isExecutableFile(atPath: "/usr/bin/objdump")

    @Test(.enabled(if: isDisassemblerInstalled, "objdump (binutils) is not installed"), arguments: blocks)
    func `generated code is as recorded`(block: Block) throws {
        let deny: HelperFunction = { _, _, _, _ in 0 }
        let code = try GeneratedCode(pinned: Self.pinned, helpers: [deny],
                                     memory: block.machine ? .callbacks(load: deny, store: deny, pointer: deny)
                                         : .identity)
        try #require(code.thunks.hasFMA, "listings are of hosts with the x86-64-v3 instructions")
        let unit = Unit()
        try Parser.parse("unit 0x10000\n" + block.text, globals: TestGuest.globals, into: unit)
        #expect(Verifier.problems(in: unit, globals: TestGuest.globals, helperCount: 1) == [])
        let generated = try #require(code.generate(unit))
        let listing = Printer.print(unit, globals: TestGuest.globals) + "\n"
            + (try Self.disassemble(code, generated.start, generated.count))
        let file = Self.directory.appendingPathComponent(block.name + ".txt")
        if ProcessInfo.processInfo.environment["GUISE_RECORD"] != nil {
            try FileManager.default.createDirectory(at: Self.directory, withIntermediateDirectories: true)
            try listing.write(to: file, atomically: true, encoding: .utf8)
        }
        let recorded = try? String(contentsOf: file, encoding: .utf8)
        #expect(listing == recorded, "\(block.name): record again with GUISE_RECORD=1")
    }

    // MARK: disassembly

    /// Instructions without addresses: targets inside the unit are labels, thunks, links and constants have names.
    private static func disassemble(_ code: GeneratedCode, _ start: UnsafeMutablePointer<UInt8>,
                                    _ count: Int) throws -> String {
        let base = start - code.cache.writable
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("guise-listing-\(UUID().uuidString)")
        try Data(bytes: start, count: count).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let process = Process(), pipe = Pipe()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/objdump")
        process.arguments = ["-D", "-b", "binary", "-m", "i386:x86-64", "-M", "intel", "--no-show-raw-insn",
                             "--adjust-vma=\(base)", file.path]
        process.standardOutput = pipe
        try process.run()
        let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return rename(output, names(code), base..<base + count)
    }

    /// What lies at an offset of the cache outside the unit.
    private static func names(_ code: GeneratedCode) -> [Int: String] {
        let thunks = code.thunks, origin = code.cache.writable
        var names: [Int: String] = [
            thunks.lookupExit - origin: "lookupExit", thunks.linkExit - origin: "linkExit",
            thunks.raiseExit - origin: "raiseExit", thunks.jumpCacheLookup - origin: "jumpCacheLookup",
            thunks.helperCall - origin: "helperCall", thunks.softFloat - origin: "softFloat",
        ]
        for size in 0..<4 {
            names[thunks.slowLoad(sizeLog2: size, set: 0) - origin] = "slowLoad\(8 << size)"
            names[thunks.slowStore(sizeLog2: size, set: 0) - origin] = "slowStore\(8 << size)"
            names[thunks.slowPointer(sizeLog2: size) - origin] = "slowPointer\(8 << size)"
        }
        for constant in FloatConstant.allCases { names[thunks.constant(constant) - origin] = "\(constant)" }
        for index in 0..<code.generator.pendingLinks.count {
            let link = code.generator.pendingLinks[index]
            let displacement = UnsafeRawPointer(link.patch).loadUnaligned(as: Int32.self)
            names[link.patch - origin + 4 + Int(displacement)] = "link(0x" + String(link.target, radix: 16) + ")"
        }
        return names
    }

    private static func rename(_ output: String, _ names: [Int: String], _ range: Range<Int>) -> String {
        var lines: [(address: Int, text: String)] = []
        var targets: Set<Int> = []
        for line in output.split(separator: "\n") {
            guard let colon = line.firstIndex(of: ":"),
                  let address = Int(line[..<colon].drop { $0 == " " }, radix: 16), range.contains(address)
            else { continue }
            var words = line[line.index(after: colon)...].split(whereSeparator: \.isWhitespace).map(String.init)
            // `call 0x1234` and `jne 0x1234`; `[rip+0x10] # 0x1234`.
            if let last = words.last, last.hasPrefix("0x"), let target = Int(last.dropFirst(2), radix: 16),
               words[0].hasPrefix("j") || words[0] == "call" || words.contains("#") {
                if range.contains(target) { targets.insert(target) }
                words[words.count - 1] = names[target] ?? "\u{1}\(target)"
                if let comment = words.firstIndex(of: "#"), let open = words[comment - 1].range(of: "[rip") {
                    words[comment - 1] = words[comment - 1][..<open.lowerBound] + "[" + words[comment + 1] + "]"
                    words.removeSubrange(comment...)
                }
            }
            lines.append((address, words.joined(separator: " ")))
        }
        let labels = Dictionary(uniqueKeysWithValues: targets.sorted().enumerated().map { ($1, "L\($0 + 1)") })
        var text = ""
        for (address, line) in lines {
            if let label = labels[address] { text += "\(label):\n" }
            var line = line
            if let mark = line.firstIndex(of: "\u{1}"), let target = Int(line[line.index(after: mark)...]) {
                line = line[..<mark] + (labels[target] ?? "outside")
            }
            text += "  \(line)\n"
        }
        return text
    }

    // MARK: blocks

    static let blocks = [
        Block(name: "add-immediate", text: """
            instruction 0x10000
            %a = get x1
            %k = constant.i64 16
            %b = add.i64 %a, %k
            set x1, %b
            instruction 0x10004
            %c = get x6
            %d = sub.i64 %c, %b
            set x7, %d
            jump 0x10008
            """),
        Block(name: "word-arithmetic", text: """
            instruction 0x10000
            %a = get x1
            %b = get x2
            %c = truncate.i32 %a
            %d = truncate.i32 %b
            %e = add.i32 %c, %d
            %f = signExtend.i64 %e
            set x1, %f
            jump 0x10004
            """),
        Block(name: "load-modify-store", text: """
            instruction 0x10000
            %a = get x2
            %v = load.s32.i64 [%a + 8]
            set x1, %v
            instruction 0x10004
            %k = constant.i64 1
            %w = add.i64 %v, %k
            set x1, %w
            instruction 0x10008
            store.u32.i64 [%a + 8], %w
            jump 0x1000c
            """),
        Block(name: "load-modify-store-tlb", text: """
            instruction 0x10000
            %a = get x2
            %v = load.s32.i64 [%a + 8]
            set x1, %v
            instruction 0x10004
            %k = constant.i64 1
            %w = add.i64 %v, %k
            set x1, %w
            instruction 0x10008
            store.u32.i64 [%a + 8], %w
            jump 0x1000c
            """, machine: true),
        Block(name: "shared-tlb", text: """
            instruction 0x10000
            %a = get x2
            %b = get x3
            store.u64.i64 [%a - 8], %b
            %k = constant.i64 -8
            %c = add.i64 %a, %k
            set x2, %c
            instruction 0x10002
            %z = constant.i64 7
            store.u64.i64 [%c - 8], %z
            %d = add.i64 %c, %k
            set x2, %d
            instruction 0x10004
            %v = load.s32.i64 [%d]
            set x6, %v
            jump 0x10006
            """, machine: true),
        Block(name: "unpinned-store-tlb", text: """
            instruction 0x10000
            %a = get x6
            %b = get x7
            store.u64.i64 [%a + 16], %b
            jump 0x10004
            """, machine: true),
        Block(name: "loop", text: """
            instruction 0x10000
            %a = get x1
            %k = constant.i64 -1
            %b = add.i64 %a, %k
            set x1, %b
            instruction 0x10002
            %z = constant.i64 0
            exitIf.ne.i64 %b, %z -> 0x10000
            jump 0x10006
            """),
        Block(name: "call", text: """
            instruction 0x10000
            %r = constant.i64 0x10004
            set x1, %r
            jump.call 0x20000, %r
            """),
        Block(name: "return", text: """
            instruction 0x10000
            %r = get x1
            %k = constant.i64 -2
            %t = and.i64 %r, %k
            jumpIndirect.return %t
            """),
        Block(name: "indirect-call", text: """
            instruction 0x10000
            %a = get x3
            %k = constant.i64 -2
            %t = and.i64 %a, %k
            %r = constant.i64 0x10002
            set x1, %r
            jumpIndirect.call %t, %r
            """),
        Block(name: "divide", text: """
            instruction 0x10000
            %a = get x1
            %b = get x2
            %q = divideSigned.i64 %a, %b
            set x3, %q
            jump 0x10004
            """),
        Block(name: "maximum", text: """
            instruction 0x10000
            %a = get x1
            %b = get x2
            %c = compare.lt %a, %b
            %m = select.i64 %c, %b, %a
            set x3, %m
            jump 0x10004
            """),
        Block(name: "multiply-add-double", text: """
            instruction 0x10000
            %a = get f0
            %b = get f1
            %c = get f2
            %r = floatMultiplyAdd.dyn.f64 %a, %b, %c
            set f0, %r
            jump 0x10004
            """),
        Block(name: "add-single", text: """
            instruction 0x10000
            %a = get f0
            %b = get f1
            %x = nanUnbox.f32 %a
            %y = nanUnbox.f32 %b
            %s = floatAdd.dyn.f32 %x, %y
            %r = nanBox.f64 %s
            set f0, %r
            jump 0x10004
            """),
        Block(name: "convert-to-integer", text: """
            instruction 0x10000
            %a = get f0
            %i = floatToSigned.rtz.i32 %a
            %w = signExtend.i64 %i
            set x1, %w
            jump 0x10004
            """),
        Block(name: "atomic-add", text: """
            instruction 0x10000
            %a = get x1
            %b = get x2
            %o = atomic.add.s32.i64 [%a], %b
            set x3, %o
            jump 0x10004
            """),
        Block(name: "reservation", text: """
            instruction 0x10000
            %a = get x1
            %v = loadReserved.s32.i64 [%a]
            set x3, %v
            instruction 0x10004
            %b = get x2
            %s = storeConditional.u32.i64 [%a], %b
            set x4, %s
            jump 0x10008
            """),
        Block(name: "helper-call", text: """
            instruction 0x10000
            %a = get x1
            %k = constant.i64 768
            %r = call 0(%k, %a)
            set x2, %r
            jump 0x10004
            """),
        Block(name: "system-call", text: """
            instruction 0x10000
            %k = constant.i64 93
            set x5, %k
            instruction 0x10004
            raise 3, 0x10004
            """),
    ]
}
