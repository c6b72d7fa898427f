// swift-tools-version: 6.2
import PackageDescription

// Layers from the bottom up; arrows point down only (docs/architecture.md, enforced by TidyTests).
let swiftSettings: [SwiftSetting] = [
    .swiftLanguageMode(.v5),
    // Classes of the translator are confined to one thread or guarded by a lock; dynamic exclusivity checks on their
    // properties cost a third of the translation time.
    .unsafeFlags(["-enforce-exclusivity=unchecked"]),
]

// What `guise-oci` is made of: without the libraries of regular expressions and of concurrency, and with a section for each
// function, so that the linker leaves out what nobody calls.
let runtimeSettings = swiftSettings + [
    .unsafeFlags([
        "-Xfrontend", "-disable-implicit-string-processing-module-import",
        "-Xfrontend", "-disable-implicit-concurrency-module-import", "-Xfrontend", "-function-sections",
    ]),
]

func module(_ name: String, _ dependencies: [Target.Dependency] = [], settings: [SwiftSetting] = swiftSettings) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: swiftSettings)
}

let package = Package(
    name: "guise",
    products: [
        .executable(name: "guise", targets: ["guise"]),
        .executable(name: "guise-oci", targets: ["guise-oci"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    ],
    targets: [
        // base
        .target(name: "CHost"),
        module("Host", ["CHost"], settings: runtimeSettings),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CSeccomp", pkgConfig: "libseccomp", providers: [.apt(["libseccomp-dev"])]),
        .target(name: "CContainerInit", cSettings: [.unsafeFlags(["-ffunction-sections"])]),
        .target(name: "CSinglePages"),
        module("JSON", settings: runtimeSettings),
        // core
        module("SavedState", ["Host"]),
        module("GuestMemory", ["Host", "CHost", "SavedState"]),
        module("Bus", ["GuestMemory", "SavedState"]),
        module("SoftFloat"),
        module("ISA"),
        module("IR", ["ISA"]),
        module("Translator", ["IR", "SoftFloat", "GuestMemory", "Host", "CHost"]),
        // fronts
        module("GuestRISCV", ["ISA", "IR", "GuestMemory", "Translator", "SavedState"]),
        module("GuestX86", ["ISA", "IR", "GuestMemory", "Translator", "SavedState", "SoftFloat", "Host", "CHost"]),
        // engines
        module("TranslatedCPU", ["Translator", "GuestRISCV", "GuestX86", "GuestMemory", "Bus", "SavedState", "Host", "CHost"]),
        // devices
        module("Devices", ["Bus", "GuestMemory", "SavedState", "Host", "CHost"]),
        // techniques
        module("Machines", ["Devices", "Bus", "GuestMemory", "SavedState", "Translator", "TranslatedCPU", "GuestRISCV", "GuestX86", "Host", "CHost", "CZstd", "CZlib"]),
        module("LinuxPrograms", ["TranslatedCPU", "Translator", "GuestRISCV", "GuestX86", "Host", "CHost"]),
        module("Containers", ["JSON", "Host", "CContainerInit", "CSeccomp"], settings: runtimeSettings),
        // app
        .executableTarget(name: "guise-oci", dependencies: ["Containers", "CSinglePages"], swiftSettings: runtimeSettings),
        .executableTarget(
            name: "guise",
            dependencies: [
                "Machines", "LinuxPrograms", "TranslatedCPU", "Containers", "Host",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: swiftSettings
        ),
        // What translating costs, measured alone.
        .executableTarget(name: "translating", dependencies: ["TranslatedCPU", "Translator", "CHost"],
                          path: "Benchmarks/translating", swiftSettings: swiftSettings),
        // tests
        tests("JSONTests", ["JSON"]),
        tests("ContainersTests", ["Containers", "JSON", "CContainerInit", "Host"]),
        tests("SavedStateTests", ["SavedState"]),
        tests("GuestMemoryTests", ["GuestMemory"]),
        tests("BusTests", ["Bus"]),
        tests("SoftFloatTests", ["SoftFloat", "CHost"]),
        tests("ISATests", ["ISA"]),
        tests("IRTests", ["IR"]),
        tests("TranslatorTests", ["Translator", "IR"]),
        tests("GuestRISCVTests", ["GuestRISCV", "ISA", "IR", "GuestMemory", "SavedState", "Translator", "TranslatedCPU"]),
        // Runs guest instructions on the host's own processor, for comparison.
        .target(name: "CX86Native", dependencies: ["CHost"], path: "Tests/CX86Native"),
        tests("GuestX86Tests", ["GuestX86", "ISA", "IR", "GuestMemory", "SavedState", "Translator", "TranslatedCPU", "CHost", "CX86Native"]),
        tests("TranslatedCPUTests", ["TranslatedCPU", "Translator", "GuestX86", "GuestRISCV", "GuestMemory", "Bus", "SavedState"]),
        tests("DevicesTests", ["Devices"]),
        tests("MachinesTests", ["Machines"]),
        tests("LinuxProgramsTests", ["LinuxPrograms", "GuestX86", "Translator"]),
        tests("TidyTests", []),
    ]
)
