// The rules of style that a machine can check: file heads, doc comments, words that must not stay, paths of machines.

import Foundation
import Testing

@Suite struct StyleTests {
    @Test func `every source file opens with what it is about`() {
        let paths = Set(SourceTree.sources.map(\.path))
        for file in SourceTree.sources {
            // A C file may leave the word to its header.
            let name = file.path.split(separator: "/").last?.dropLast(2) ?? ""
            if file.path.hasSuffix(".c"), paths.contains("Sources/CHost/include/\(name).h") { continue }
            var first = file.lines.first ?? ""
            // The tools version must be the first line of a manifest, and a C header may begin with its guard.
            if first.hasPrefix("#pragma once") || first.hasPrefix("#ifndef") {
                first = file.lines.first { $0.hasPrefix("//") || $0.hasPrefix("/*") } ?? ""
            }
            #expect(first.hasPrefix("// ") || first.hasPrefix("/*"), "\(file) has no head")
            let isTemplate = first == "//" || first.hasPrefix("// \(file.path.split(separator: "/").last ?? "")")
            #expect(!isTemplate, "the head of \(file) only repeats its name")
        }
    }

    /// Members that protocols of this project demand: their comment stands at the requirement.
    static let requirements: Set<String> = {
        var names: Set<String> = []
        for file in SourceTree.swift {
            var inProtocol = false
            for line in file.lines {
                if line.hasPrefix("}") { inProtocol = false }
                if line.hasPrefix("public protocol ") || line.hasPrefix("protocol ") { inProtocol = true }
                guard inProtocol, let match = line.firstMatch(of: #/^    (?:static |mutating )*(?:func|var) (\w+)/#) else { continue }
                names.insert(String(match.1))
            }
        }
        return names
    }()

    /// The name of a public declaration that must say what it is. Named constants, initialisers, operators and
    /// members that a protocol demands speak for themselves.
    static func publicName(_ line: Substring) -> String? {
        let text = line.drop { $0 == " " }
        guard let match = text.prefixMatch(of: #/(?:@[\w.]+(?:\([^)]*\))? +)*(?:public|open) (?:(?:final|static|mutating|nonisolated|unsafe|override|lazy|weak|indirect|private\(set\)|internal\(set\)|borrowing|consuming|nonmutating|class(?= func)) )*(func|struct|class|enum|protocol|actor|var|let|typealias|subscript|associatedtype|macro) *(`[^`]+`|[\w]+|[^\s\w(]+)?/#)
        else { return nil }
        let name = match.2.map(String.init) ?? String(match.1)
        let demanded: Set<String> = ["description", "debugDescription", "==", "<", "hash", "encode", "errorDescription", "rawValue"]
        let isOperator = !name.hasPrefix("`") && name.allSatisfy { !$0.isLetter && $0 != "_" }
        let isConstant = text.contains(#/^public static let \w+(:[^=]*)? = /#)
        return demanded.contains(name) || requirements.contains(name) || isOperator || isConstant ? nil : name
    }

    @Test func `every public declaration has a doc comment`() {
        for file in SourceTree.swift {
            // One comment may serve declarations of a line each that follow without a blank line.
            var lastDocumented = -2
            for (number, line) in file.lines.enumerated() {
                guard line.utf8.count > 8, line.contains("public ") || line.contains("open ") else { continue }
                guard let name = Self.publicName(line) else {
                    if lastDocumented == number - 1 { lastDocumented = number }
                    continue
                }
                if lastDocumented == number - 1 { lastDocumented = number; continue }
                var above = number - 1
                // Attributes and conditions may stand between the comment and the declaration.
                while above >= 0 {
                    let text = file.lines[above].drop { $0 == " " }
                    guard text.hasPrefix("@") || text.hasPrefix("#if") || text.hasPrefix("// SAFETY") else { break }
                    above -= 1
                }
                let comment = above >= 0 ? file.lines[above].drop { $0 == " " } : ""
                let documented = comment.hasPrefix("///") || comment.hasSuffix("*/")
                if documented { lastDocumented = number }
                #expect(documented, "\(file):\(number + 1): \(name) has no doc comment")
            }
        }
    }

    @Test func `no notes to self and no deliberate crash stay in the sources`() {
        expectNone(#"\b(TODO|FIXME|XXX)\b|\bfatalError\("#, in: SourceTree.sources)
    }

    @Test func `no path of somebody's machine is committed`() {
        // Put together, so that this file does not find itself.
        let places = ["/wo" + "rk/", "/ho" + "me/", "/Us" + "ers/"]
        let pattern = "(^|[\\s\"'=(`])(" + places.joined(separator: "|") + "|/ro" + "ot/[.a-z])"
        expectNone(pattern, in: SourceTree.everything)
    }

    /// One search over a whole file is far faster than one per line, and finds nothing in nearly all.
    private func expectNone(_ pattern: String, in files: [SourceFile]) {
        let expression = try! NSRegularExpression(pattern: pattern, options: .anchorsMatchLines)
        for file in files {
            let text = file.lines.joined(separator: "\n")
            for match in expression.matches(in: text, range: NSRange(location: 0, length: text.utf16.count)) {
                let before = text.utf16.prefix(match.range.location)
                let number = before.count { $0 == 10 } + 1
                Issue.record("\(file):\(number): \(file.lines[number - 1].trimmingCharacters(in: .whitespaces))")
            }
        }
    }

}
