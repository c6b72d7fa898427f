// Turns `linux.seccomp` into a filter program with libseccomp.

import CContainerInit
import CSeccomp
import Glibc
import Host

enum SeccompFilter {
    /// Names of architectures with libseccomp's numbers. A number is 0 where libseccomp is too old for it.
    private static func token(_ name: String) -> UInt32 {
        // libseccomp spells its own names without the prefix and in small letters.
        var text = name.dropFirst("SCMP_ARCH_".count).lowercased()
        if text == "x86" || text == "native" { return text == "x86" ? seccomp_arch_resolve_name("x86") : seccomp_arch_native() }
        if text == "parisc64" || text == "loongarch64" || text == "riscv64" { text = String(text) }
        return seccomp_arch_resolve_name(text)
    }

    /// Compiles the filter.
    /// - Throws: `ConfigurationError` naming the rule that cannot be expressed.
    static func compile(_ seccomp: Seccomp, log: Log) throws -> SeccompProgram {
        let defaultValue = seccomp.defaultAction.value(errno: seccomp.defaultErrno)
        guard let context = seccomp_init(defaultValue) else {
            throw ConfigurationError("the action is not supported by this host's libseccomp", path: "linux.seccomp.defaultAction")
        }
        defer { seccomp_release(context) }
        // A call number of an architecture that is not listed is not the filter's to judge leniently.
        seccomp_attr_set(context, SCMP_FLTATR_CTL_NNP, 0)
        // A tree of comparisons instead of a chain.
        seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2)
        for (index, name) in seccomp.architectures.enumerated() {
            let number = token(name)
            guard number != 0 else {
                throw ConfigurationError("'\(name)' is unknown to libseccomp", path: "linux.seccomp.architectures[\(index)]")
            }
            let result = seccomp_arch_add(context, number)
            guard result == 0 || result == -EEXIST else {
                throw ConfigurationError("'\(name)': \(String(cString: strerror(-result)))", path: "linux.seccomp.architectures[\(index)]")
            }
        }
        for (index, rule) in seccomp.rules.enumerated() {
            do throws(ConfigurationError) {
                try add(rule, defaultValue: defaultValue, to: context)
            } catch {
                throw error.inside("linux.seccomp.syscalls[\(index)]")
            }
        }
        let file = Descriptor(guise_memfd("filter"))
        guard file.number >= 0 else { throw HostError("memfd_create", "seccomp filter") }
        let result = seccomp_export_bpf(context, file.number)
        guard result == 0 else { throw HostError("seccomp_export_bpf", "linux.seccomp", errno: -result) }
        lseek(file.number, 0, SEEK_SET)
        let bytes = try HostFiles.read(file, name: "seccomp filter", sizeMax: 8 << 20)
        // BPF_MAXINSNS of the kernel.
        guard bytes.count / 8 <= 4096 else {
            throw ConfigurationError("gives a filter of \(bytes.count / 8) instructions; the kernel takes 4096", path: "linux.seccomp")
        }
        return SeccompProgram(bytes: bytes, flags: seccomp.flags)
    }

    private static func add(
        _ rule: Seccomp.Rule, defaultValue: UInt32, to context: scmp_filter_ctx
    ) throws(ConfigurationError) {
        let value = rule.action.value(errno: rule.errno)
        // libseccomp refuses a rule that says what is said already.
        if value == defaultValue { return }
        var conditions = rule.conditions.map { condition in
            scmp_arg_cmp(
                arg: condition.index, op: scmp_compare(rawValue: condition.comparison), datum_a: condition.value,
                datum_b: condition.valueTwo
            )
        }
        // Conditions on one argument cannot be joined in one rule; other runtimes make a rule of each then, and profiles count
        // on that.
        let isRepeated = Set(conditions.map(\.arg)).count < conditions.count
        for (index, name) in rule.names.enumerated() {
            let number = seccomp_syscall_resolve_name(name)
            // Profiles name calls of kernels and architectures to come.
            if number == __NR_SCMP_ERROR { continue }
            var result: Int32 = 0
            if isRepeated {
                for condition in conditions {
                    result = withUnsafePointer(to: condition) { seccomp_rule_add_array(context, value, number, 1, $0) }
                    guard result == 0 || result == -EEXIST else { break }
                }
            } else {
                result = seccomp_rule_add_array(context, value, number, UInt32(conditions.count), &conditions)
            }
            guard result == 0 || result == -EEXIST else {
                throw ConfigurationError("'\(name)': \(String(cString: strerror(-result)))", path: "names[\(index)]")
            }
        }
    }
}
