// `features`: what this runtime can do (features.md, features-linux.md).

import CContainerInit
import CSeccomp
import Glibc
import JSON

struct FeaturesCommand: RuntimeCommand {
    static let verb = "features"
    static let usage = ""
    static let abstract = "prints what the runtime can do"
    var options: [Arguments.Option] { [] }

    func run(_ line: inout Arguments, _ runtime: OCIRuntime) throws -> Int32 {
        try line.end()
        print(Self.features.text(indent: 2))
        return 0
    }

    static var features: JSONValue {
        func strings(_ texts: [String]) -> JSONValue { .array(texts.map(JSONValue.string)) }
        func enabled(_ isEnabled: Bool) -> JSONValue { .members([("enabled", .boolean(isEnabled))]) }
        let kinds = NamespaceKind.allCases.filter { access("/proc/self/ns/\($0.file)", F_OK) == 0 }
        let architectures = ["X86", "X86_64", "X32", "ARM", "AARCH64", "MIPS", "MIPS64", "PPC64LE", "S390X", "RISCV64"]
            .filter { seccomp_arch_resolve_name($0.lowercased()) != 0 }
        return .members([
            ("ociVersionMin", .string("1.0.0")), ("ociVersionMax", .string(OCIRuntime.specification)),
            ("hooks", strings(["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"])),
            ("mountOptions", strings(MountOptions.known)),
            ("annotations", .members([("\(Landlock.annotation).version", .string("\(guise_landlock_version())"))])),
            ("linux", .members([
                ("namespaces", strings(kinds.map(\.rawValue).sorted())),
                ("capabilities", strings(CapabilitySet.names)),
                ("cgroup", .members([
                    ("v1", .boolean(true)), ("v2", .boolean(true)), ("systemd", .boolean(false)),
                    ("systemdUser", .boolean(false)), ("rdma", .boolean(true)),
                ])),
                ("seccomp", .members([
                    ("enabled", .boolean(true)), ("actions", strings(Seccomp.Action.allCases.map(\.rawValue).sorted())),
                    ("operators", strings([
                        "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE",
                    ])),
                    ("archs", strings(architectures.map { "SCMP_ARCH_" + $0 })),
                    ("knownFlags", strings([
                        "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
                    ])),
                    ("supportedFlags", strings([
                        "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
                    ])),
                ])),
                ("apparmor", enabled(SecurityModules.hasAppArmor)),
                ("selinux", enabled(SecurityModules.hasSELinux)),
                ("intelRdt", enabled(false)),
                ("memoryPolicy", .members([
                    ("modes", strings(MemoryPolicy.modeNames)), ("flags", strings(MemoryPolicy.flagNames)),
                ])),
                ("mountExtensions", .members([("idmap", enabled(true))])),
                ("netDevices", enabled(true)),
            ])),
        ])
    }
}
