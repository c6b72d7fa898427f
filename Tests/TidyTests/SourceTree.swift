// Finds and reads the repository's files for the tidy tests.

import Foundation

/// A text file of the repository.
struct SourceFile: CustomStringConvertible {
    /// The path from the repository's root.
    let path: String
    let lines: [Substring]

    var description: String { path }

    /// The target that a file under `Sources` belongs to.
    var target: String? {
        let parts = path.split(separator: "/")
        return parts.count > 2 && parts[0] == "Sources" ? String(parts[1]) : nil
    }
}

enum SourceTree {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Every file below the directory whose name ends in one of the extensions.
    static func files(under directory: String, extensions: Set<String>) -> [SourceFile] {
        let base = root.appending(path: directory)
        guard let walk = FileManager.default.enumerator(atPath: base.path) else { return [] }
        var found: [SourceFile] = []
        for case let name as String in walk {
            guard extensions.contains(URL(filePath: name).pathExtension) else { continue }
            guard let file = read(directory + "/" + name) else { continue }
            found.append(file)
        }
        return found.sorted { $0.path < $1.path }
    }

    static func read(_ path: String) -> SourceFile? {
        guard let text = try? String(contentsOf: root.appending(path: path), encoding: .utf8) else { return nil }
        return SourceFile(path: path, lines: text.split(separator: "\n", omittingEmptySubsequences: false))
    }

    static let swift = files(under: "Sources", extensions: ["swift"])
    static let sources = files(under: "Sources", extensions: ["swift", "c", "h"])
    static let everything = ["Sources", "Tests", "Scripts", "Benchmarks", "docs", ".ci"]
        .flatMap { files(under: $0, extensions: ["swift", "c", "h", "sh", "py", "md", "1", "lua", "sql", ""]) }
        + ["Makefile", "README.md", "Package.swift"].compactMap(read)
}
