// GNU objdump as an oracle of lengths and names.

import Foundation
import GuestX86

/// objdump for raw bytes.
enum Objdump {
    static let path = "/usr/bin/objdump"
    static let isInstalled = FileManager.default.isExecutableFile(atPath: path)

    /// Bytes between two instructions of a `listing`.
    static let slot = 32

    struct Line {
        /// Bytes on the line.
        var length = 0
        var text = ""
    }

    /// What objdump makes of each instruction; all start anew, whatever objdump thinks of the one before.
    /// - Parameter instructions: at most 16 bytes each.
    static func listing(_ instructions: [[UInt8]], _ codeSize: Mode.CodeSize) throws -> [Line] {
        // Sixteen NOPs behind each: wherever a misread instruction ends, the next one is found again.
        var image = [UInt8](repeating: 0x90, count: instructions.count * slot)
        for (index, bytes) in instructions.enumerated() {
            image.replaceSubrange(index * slot..<index * slot + bytes.count, with: bytes)
        }
        var result = [Line](repeating: Line(), count: instructions.count)
        try lines(of: image, codeSize, every: slot) { address, line in
            if address / slot < result.count { result[address / slot] = line }
        }
        return result
    }

    /// Calls `body` for each line of the listing of `image` whose address is a multiple of `step`.
    static func lines(of image: [UInt8], _ codeSize: Mode.CodeSize, every step: Int,
                      _ body: (_ address: Int, Line) -> Void) throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("guise-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let file = directory.appendingPathComponent("code"), output = directory.appendingPathComponent("listing")
        try Data(image).write(to: file)
        try Data().write(to: output)
        let machine = switch codeSize {
        case .bits64: "i386:x86-64"
        case .bits32: "i386"
        case .bits16: "i8086"
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = ["-D", "-w", "-z", "-b", "binary", "-m", machine, "-M", "intel", file.path]
        process.standardOutput = try FileHandle(forWritingTo: output)
        try process.run()
        process.waitUntilExit()
        try Data(contentsOf: output).withUnsafeBytes { text in
            var at = 0
            while at < text.count, let start = text.baseAddress {
                let newline = memchr(start + at, 10, text.count - at)
                let end = newline.map { UnsafeRawPointer($0) - start } ?? text.count
                parse(UnsafeRawBufferPointer(rebasing: text[at..<end]), step, body)
                at = end + 1
            }
        }
    }

    /// `   1f: 48 89 c3    mov    rbx,rax` with tabs between the columns.
    private static func parse(_ line: UnsafeRawBufferPointer, _ step: Int, _ body: (Int, Line) -> Void) {
        var address = 0, at = 0
        while at < line.count, line[at] == UInt8(ascii: " ") { at += 1 }
        while at < line.count, line[at] != UInt8(ascii: ":") {
            let byte = line[at]
            let digit = byte <= UInt8(ascii: "9") ? Int(byte) - 48 : Int(byte) - 87
            guard (0..<16).contains(digit) else { return }
            address = address << 4 | digit
            at += 1
        }
        guard at + 1 < line.count, line[at + 1] == 9, address % step == 0 else { return }
        at += 2
        var length = 0
        while at + 2 < line.count, line[at] != 9 {
            if line[at] == UInt8(ascii: " ") { break }
            length += 1
            at += 3
        }
        while at < line.count, line[at] != 9 { at += 1 }
        body(address, Line(length: length, text: String(decoding: line[min(at + 1, line.count)...], as: UTF8.self)))
    }

    /// Words that objdump prints for prefixes.
    private static let prefixes: Set<Substring> = [
        "lock", "rep", "repz", "repnz", "data16", "data32", "addr16", "addr32", "cs", "ds", "es", "ss", "fs", "gs",
        "bnd", "notrack", "xacquire", "xrelease",
    ]

    /// True for a word that objdump prints for a prefix.
    static func isPrefix(_ word: Substring) -> Bool { prefixes.contains(word) || word.hasPrefix("rex") }

    /// Name and operands without prefixes, comments, branch hints and index registers that are none.
    static func normalized(_ text: String) -> (name: String, operands: String) {
        var words = text.split { $0 == " " || $0 == "\t" }
        if let comment = words.firstIndex(of: "#") { words.removeSubrange(comment...) }
        while words.count > 1, isPrefix(words[0]) { words.removeFirst() }
        guard let first = words.first else { return ("", "") }
        var operands = words.dropFirst().joined(separator: " ")
        if operands.contains("iz*") {
            for scale in [1, 2, 4, 8] {
                for index in ["riz", "eiz"] {
                    operands = operands.replacingOccurrences(of: "+\(index)*\(scale)", with: "")
                    operands = operands.replacingOccurrences(of: "[\(index)*\(scale)+", with: "[")
                }
            }
        }
        if operands.hasSuffix(",pt") || operands.hasSuffix(",pn") { operands.removeLast(3) }
        return (String(first), operands)
    }
}
