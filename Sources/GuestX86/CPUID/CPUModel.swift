// Models of processors: what `--cpu` names, and features added to or taken from them.
//
// The x86-64 levels are those of the psABI with the system features of a current AMD processor. Their family is 11h:
// Linux works around no fault of it, and for none of the processor vulnerabilities that cost time (facts of Linux
// 6.12's cpu_vuln_whitelist and blacklist). Vendors: GenuineIntel up to pentium3, AuthenticAMD from k6-3dnow on.

/// Why a word of `--cpu` was refused.
public enum CPUModelError: Error, Equatable, CustomStringConvertible {
    case unknownModel(String)
    case unknownFeature(String)
    case conflict(removed: String, added: String)

    public var description: String {
        switch self {
        case .unknownModel(let name):
            "No processor model '\(name)'; there are \(CPUModel.names.joined(separator: ", "))"
        case .unknownFeature(let word):
            "No processor feature '\(word)'; write +feature or -feature, with names as in /proc/cpuinfo"
        case .conflict(let removed, let added):
            "Feature '\(added)' was asked for and cannot be without '\(removed)', which was taken away"
        }
    }
}

/// A processor model.
public final class CPUModel: Sendable {
    /// As given on the command line.
    public let specification: String
    public let features: CPUFeatures
    /// Twelve characters.
    let vendor: String
    let family: UInt32, model: UInt32, stepping: UInt32
    /// Up to 47 characters.
    let brand: String
    /// Widths of physical and linear addresses in bits.
    public let physicalBits: UInt32
    let linearBits: UInt32

    /// Names of the models.
    public static let names = bases.map(\.name)

    /// The model with all features.
    public static let max: CPUModel = {
        // The name is one of the table's, so this cannot fail; the plainest model stands in all the same.
        (try? CPUModel("max")) ?? CPUModel(base: bases[0], features: bases[0].features, specification: bases[0].name)
    }()

    /// The model `specification` names: a model, then `,+feature` and `,-feature` in any number. What a feature needs
    /// comes with it, what needs it goes with it; the later word wins, but does not undo an earlier one silently.
    /// - Throws: `CPUModelError`.
    public convenience init(_ specification: String) throws {
        let words = specification.split(separator: ",", omittingEmptySubsequences: false).map {
            $0.trimmingSpaces()
        }
        let name = words.first.map { $0.lowercased() } ?? ""
        guard let base = Self.bases.first(where: { $0.name == name || $0.aliases.contains(name) }) else {
            throw CPUModelError.unknownModel(String(words.first ?? ""))
        }
        var features = base.features, added = CPUFeatures(), removed = CPUFeatures()
        for word in words.dropFirst() {
            guard let sign = word.first, sign == "+" || sign == "-",
                  let feature = CPUFeature(name: word.dropFirst()) else {
                throw CPUModelError.unknownFeature(String(word))
            }
            if sign == "+" {
                added.insert(feature)
                removed.remove(feature)
                let needed = Self.closure(of: feature)
                if let missing = needed.elements.first(where: removed.contains) {
                    throw CPUModelError.conflict(removed: missing.name, added: feature.name)
                }
                features = features.union(needed)
            } else {
                removed.insert(feature)
                added.remove(feature)
                let gone = Self.dependents(of: feature)
                if let kept = gone.elements.first(where: added.contains) {
                    throw CPUModelError.conflict(removed: feature.name, added: kept.name)
                }
                features = features.subtracting(gone)
            }
        }
        self.init(base: base, features: features, specification: specification)
    }

    private init(base: Base, features: CPUFeatures, specification: String) {
        self.specification = specification
        self.features = features
        vendor = base.vendor
        family = base.family
        model = base.model
        stepping = base.stepping
        brand = base.brand
        physicalBits = features.contains(.lm) ? 48 : features.contains(.pae) || features.contains(.pse36) ? 36 : 32
        linearBits = features.contains(.la57) ? 57 : features.contains(.lm) ? 48 : 32
    }

    // MARK: what features need

    /// Each feature with what it cannot be without.
    private static let needs: [(CPUFeature, [CPUFeature])] = [
        (.cpuid, [.i486]), (.cx8, [.i486]), (.tsc, [.cpuid]), (.msr, [.cpuid]), (.rdpmc, [.msr]), (.pae, [.pse]),
        (.apic, [.msr]), (.sep, [.msr]), (.mtrr, [.msr]), (.pat, [.msr]), (.mca, [.mce, .msr]), (.x2apic, [.apic]),
        (.tsc_deadline, [.apic, .tsc]), (.tsc_adjust, [.tsc, .msr]), (.rdtscp, [.tsc, .msr]), (.rdpid, [.rdtscp]),
        (.mmx, [.fpu]), (.threednow, [.mmx]), (.threednowext, [.threednow]), (.mmxext, [.mmx]), (.fxsr, [.fpu]),
        (.sse, [.fxsr, .mmx]), (.sse2, [.sse, .clflush]), (.sse3, [.sse2]), (.ssse3, [.sse3]), (.sse4_1, [.ssse3]),
        (.sse4_2, [.sse4_1]), (.aes, [.sse2]), (.pclmulqdq, [.sse2]),
        (.sha, [.ssse3]), (.xsave, [.fxsr]), (.xsaveopt, [.xsave]), (.xsavec, [.xsave]), (.xgetbv1, [.xsave]),
        (.avx, [.xsave, .sse4_2]), (.avx2, [.avx]), (.fma, [.avx]), (.f16c, [.avx]), (.bmi1, [.avx]), (.bmi2, [.avx]),
        (.syscall, [.msr]), (.nx, [.pae, .msr]),
        (.lm, [.pae, .nx, .syscall, .cmov, .cx8, .sse2, .nopl]), (.pdpe1gb, [.lm]), (.pcid, [.lm]), (.invpcid, [.pcid]),
        (.la57, [.lm]), (.fsgsbase, [.lm]), (.cx16, [.lm]), (.lahf_lm, [.lm]), (.fxsr_opt, [.fxsr, .lm]),
        (.cr8legacy, [.apic]), (.autoibrs, [.lm]), (.invtsc, [.tsc]), (.clflush, [.cpuid]), (.clflushopt, [.clflush]),
        (.clwb, [.clflush]), (.vme, [.cpuid]), (.de, [.cpuid]), (.pse, [.cpuid]), (.mce, [.cpuid]), (.pge, [.cpuid]),
        (.cmov, [.cpuid]), (.pse36, [.pse]), (.smep, [.pae]), (.smap, [.pae]), (.umip, [.cpuid]),
        (.hypervisor, [.msr, .tsc]),
        (.arat, [.apic]), (.ht, [.apic]), (.cmp_legacy, [.ht]), (.monitor, [.cpuid]), (.nopl, [.cpuid]),
    ]

    private static func closure(of feature: CPUFeature) -> CPUFeatures {
        var result: CPUFeatures = [feature]
        while true {
            var next = result
            for (one, needed) in needs where result.contains(one) { next = next.union(CPUFeatures(needed)) }
            if next == result { return result }
            result = next
        }
    }

    private static func dependents(of feature: CPUFeature) -> CPUFeatures {
        CPUFeatures(CPUFeature.allCases.filter { closure(of: $0).contains(feature) })
    }

    // MARK: the models

    private struct Base: Sendable {
        let name: String
        var aliases: [String] = []
        let vendor: String
        let family: UInt32, model: UInt32, stepping: UInt32
        let brand: String
        let features: CPUFeatures
    }

    private static let intel = "GenuineIntel", amd = "AuthenticAMD"
    private static let i386: CPUFeatures = [.fpu]
    private static let i486 = i386.union([.i486])
    private static let pentium = i486.union([.cpuid, .vme, .de, .pse, .tsc, .msr, .mce, .cx8, .apic])
    private static let pentiumPro = pentium.union([.pae, .pge, .mca, .cmov, .mtrr, .rdpmc, .nopl])
    private static let pentium3 = pentiumPro.union([.sep, .pat, .pse36, .mmx, .fxsr, .sse])
    private static let k6 = pentium.subtracting([.apic]).union([.pge, .mmx, .syscall, .threednow])
    private static let athlon64 = pentium3.union([
        .clflush, .sse2, .syscall, .nx, .mmxext, .lm, .threednow, .threednowext, .ht,
    ])
    /// What the kernel sees of the x86-64 levels: nothing of it costs a guest time.
    private static let system64: CPUFeatures = [
        .x2apic, .tsc_deadline, .arat, .hypervisor, .rdtscp, .invtsc, .tsc_adjust, .pdpe1gb, .smep, .umip, .erms, .fsrm,
        .cmp_legacy, .autoibrs, .fsgsbase,
    ]
    private static let v1 = athlon64.subtracting([.threednow, .threednowext, .mmxext]).union(system64)
    private static let v2 = v1.union([.cx16, .lahf_lm, .popcnt, .sse3, .ssse3, .sse4_1, .sse4_2])
    private static let v3 = v2.union([.xsave, .avx, .avx2, .bmi1, .bmi2, .f16c, .fma, .abm, .movbe])
    /// All but LA57, which would cost every guest a level of page tables.
    private static let everything = CPUFeatures(CPUFeature.allCases).subtracting([.la57])

    private static let bases: [Base] = [
        Base(name: "386", aliases: ["i386", "80386"], vendor: intel, family: 3, model: 0, stepping: 8, brand: "386",
             features: i386),
        Base(name: "486", aliases: ["i486", "80486"], vendor: intel, family: 4, model: 8, stepping: 0, brand: "486",
             features: i486),
        Base(name: "pentium", vendor: intel, family: 5, model: 2, stepping: 12, brand: "Pentium", features: pentium),
        Base(name: "pentiumpro", vendor: intel, family: 6, model: 1, stepping: 9, brand: "Pentium Pro",
             features: pentiumPro),
        Base(name: "pentium3", vendor: intel, family: 6, model: 8, stepping: 6, brand: "Pentium III",
             features: pentium3),
        Base(name: "k6-3dnow", vendor: amd, family: 5, model: 9, stepping: 1, brand: "AMD-K6(tm) 3D+ Processor",
             features: k6),
        Base(name: "athlon64", vendor: amd, family: 15, model: 12, stepping: 0, brand: "AMD Athlon(tm) 64 Processor",
             features: athlon64),
        Base(name: "x86-64-v1", aliases: ["x86-64"], vendor: amd, family: 17, model: 3, stepping: 1,
             brand: "Guise x86-64-v1 Processor", features: v1),
        Base(name: "x86-64-v2", vendor: amd, family: 17, model: 3, stepping: 1, brand: "Guise x86-64-v2 Processor",
             features: v2),
        Base(name: "x86-64-v3", vendor: amd, family: 17, model: 3, stepping: 1, brand: "Guise x86-64-v3 Processor",
             features: v3),
        Base(name: "max", vendor: amd, family: 17, model: 3, stepping: 1, brand: "Guise x86-64 Processor",
             features: everything),
    ]
}

extension Substring {
    fileprivate func trimmingSpaces() -> Substring {
        var text = drop { $0 == " " }
        while text.last == " " { text.removeLast() }
        return text
    }
}
