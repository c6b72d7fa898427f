// What documentation names must exist: files, verbs, options, recipes.

import Foundation
import Testing

@Suite struct DocumentationTests {
    /// Recipes that the project promises.
    static let recipes = ["instruction", "system-call", "device", "board"]

    @Test func `every recipe exists and the README leads to it`() {
        let readme = SourceTree.read("README.md")!.lines.joined(separator: "\n")
        for recipe in Self.recipes {
            let path = "docs/adding-a\(recipe.first == "i" ? "n" : "")-\(recipe).md"
            #expect(SourceTree.read(path) != nil, "\(path) is missing")
            #expect(readme.contains(path), "README.md does not name \(path)")
        }
    }

    @Test func `links and file names in documents lead somewhere`() {
        let documents = SourceTree.files(under: "docs", extensions: ["md"]) + [SourceTree.read("README.md")!]
        for file in documents {
            let directory = URL(filePath: file.path).deletingLastPathComponent().relativePath
            for (number, line) in file.lines.enumerated() {
                for match in line.matches(of: #/\]\(([^)#:]+)(?:#[^)]*)?\)/#) {
                    expect("\(directory)/\(match.1)", at: "\(file):\(number + 1)")
                }
                // Paths from the repository's root; patterns such as `Linux<Guest>.swift` are not names.
                for match in line.matches(of: #/`((?:Sources|Tests|Scripts|Benchmarks|docs|\.ci)/[A-Za-z0-9_.\/-]+)`/#) {
                    expect(String(match.1), at: "\(file):\(number + 1)")
                }
            }
        }
    }

    private func expect(_ path: String, at place: String) {
        let exists = FileManager.default.fileExists(atPath: SourceTree.root.appending(path: path).path)
        #expect(exists, "\(place) names \(path), which does not exist")
    }

    @Test func `the manual page knows every verb and its options`() {
        // From `.SS guise VERB` to the next section; dashes are written `\-`.
        var sections: [Substring: String] = [:], verb: Substring = ""
        for line in SourceTree.read("docs/guise.1")!.lines {
            if line.hasPrefix(".SS guise ") { verb = line.dropFirst(".SS guise ".count) }
            if line.hasPrefix(".SH ") { verb = "" }
            sections[verb, default: ""] += line.replacingOccurrences(of: "\\-", with: "-") + "\n"
        }
        var verbs = 0
        for file in SourceTree.swift where file.target == "guise" && file.path.hasSuffix("Command.swift") {
            let text = file.lines.joined(separator: "\n")
            guard let name = text.firstMatch(of: #/commandName: "([a-z]+)"/#)?.1 else { continue }
            verbs += 1
            guard let section = sections[name] else {
                Issue.record("docs/guise.1 has no section for \(name) of \(file)")
                continue
            }
            for option in text.matches(of: #/@(?:Option|Flag)\b.*\n\s*var (\w+)/#) {
                let long = option.1.replacing(#/[A-Z]/#) { "-" + $0.output.lowercased() }
                #expect(section.contains("--\(long)"), "docs/guise.1 does not tell of guise \(name) --\(long)")
            }
        }
        #expect(verbs >= 5, "the verbs are written in a way that this test cannot read")
    }
}
