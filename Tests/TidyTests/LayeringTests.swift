// The layers of DESIGN.md section 1: imports follow Package.swift, and Package.swift points down only.

import Foundation
import Testing

@Suite struct LayeringTests {
    /// From the bottom up. A target may depend on targets of its own and of lower layers.
    static let layers: [(name: String, targets: Set<String>)] = [
        ("base", ["CHost", "CZlib", "CZstd", "CSeccomp", "CContainerInit", "CSinglePages", "Host", "JSON", "CX86Native"]),
        ("core", ["SavedState", "GuestMemory", "Bus", "SoftFloat", "ISA", "IR", "Translator"]),
        ("fronts", ["GuestRISCV", "GuestX86"]),
        ("devices and engines", ["Devices", "TranslatedCPU"]),
        ("techniques", ["Machines", "LinuxPrograms", "Containers"]),
        ("app", ["guise", "translating"]),
    ]

    static let rank = Dictionary(uniqueKeysWithValues: layers.enumerated().flatMap { rank, layer in
        layer.targets.map { ($0, rank) }
    })

    /// What each target of Package.swift declares, read from its text.
    static let declared: [String: Set<String>] = {
        let text = SourceTree.read("Package.swift")!.lines.joined(separator: "\n")
        var result: [String: Set<String>] = [:]
        func strings(_ list: Substring) -> Set<String> {
            Set(list.matches(of: #/"([A-Za-z0-9]+)"/#).map { String($0.1) })
        }
        for match in text.matches(of: #/module\("(\w+)"(?:, \[([^\]]*)\])?[,)]/#) {
            result[String(match.1)] = strings(match.2 ?? "")
        }
        for match in text.matches(of: #/executableTarget\(\s*name: "(\w+)",\s*dependencies: \[([^\]]*)\]/#) {
            result[String(match.1)] = strings(match.2)
        }
        for match in text.matches(of: #/\.(?:target|systemLibrary)\(name: "(\w+)"/#) { result[String(match.1)] = [] }
        return result
    }()

    @Test func `package targets are all in a layer`() {
        for target in Self.declared.keys.sorted() {
            #expect(Self.rank[target] != nil, "\(target) has no layer in LayeringTests.layers")
        }
        #expect(Self.declared.count >= 15, "Package.swift is written in a way that this test cannot read")
    }

    @Test func `dependencies point down or sideways, never up`() {
        for (target, dependencies) in Self.declared {
            for dependency in dependencies {
                guard let from = Self.rank[target], let to = Self.rank[dependency] else { continue }
                #expect(to <= from, "\(target) depends on \(dependency) in a higher layer")
            }
        }
    }

    @Test func `a file imports only what its target declares`() {
        for file in SourceTree.swift {
            guard let target = file.target, let allowed = Self.declared[target] else { continue }
            for (number, line) in file.lines.enumerated() {
                guard line.contains("import ") else { continue }
                guard let match = line.firstMatch(of: #/^(?:@\w+(?:\([\w]+\))? )*(?:public |package |internal |private )?import (?:\w+ )?(\w+)/#)
                else { continue }
                let name = String(match.1)
                guard Self.rank[name] != nil else { continue }
                #expect(allowed.contains(name), "\(file):\(number + 1) imports \(name), which \(target) does not declare")
            }
        }
    }
}
