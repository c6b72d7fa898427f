// The steps that turn the process into `process` of config.json, shared by a container's first process and `exec`.

import CContainerInit

struct ProcessSteps {
    let process: ProcessConfiguration
    let linux: LinuxConfiguration
    let context: PlanContext
    let hasNewUser: Bool
    let landlock: Landlock?
    /// The environment with HOME.
    let environment: [String]
    private let granted: CapabilitySets
    let warnings: [String]

    init(
        _ process: ProcessConfiguration, linux: LinuxConfiguration, landlock: Landlock?, context: PlanContext, hasNewUser: Bool
    ) {
        self.process = process
        self.linux = linux
        self.landlock = landlock
        self.context = context
        self.hasNewUser = hasNewUser
        var environment = process.environment
        if !environment.contains(where: { $0.hasPrefix("HOME=") }), let home = context.home { environment.append("HOME=\(home)") }
        self.environment = environment
        let asked = process.capabilities ?? CapabilitySets()
        // The maker of a user namespace has every capability in it.
        let (sets, refused) = asked.granted(by: hasNewUser ? CapabilitySet(rawValue: .max) : context.held)
        granted = sets
        var warnings = asked.unknown.map { "process.capabilities: '\($0)' is no capability" }
        if !refused.isEmpty {
            warnings.append("process.capabilities: \(refused.joined(separator: ", ")) cannot be granted: the runtime lacks them itself")
        }
        if let label = process.selinuxLabel, !label.isEmpty, !SecurityModules.hasSELinux {
            warnings.append("process.selinuxLabel: SELinux is not active on this host")
        }
        if let profile = process.apparmorProfile, !profile.isEmpty, !SecurityModules.hasAppArmor {
            warnings.append("process.apparmorProfile: AppArmor is not active on this host")
        }
        self.warnings = warnings
    }

    /// What is set before the container counts as created; a missing program is an error of `create`.
    func addBeforeStart(to plan: inout SetupPlan) {
        if !hasNewUser { addLimits(to: &plan) }
        if let scheduler = process.scheduler {
            plan.add(guise_op_scheduler, "process.scheduler", bytes: scheduler.attributes)
        }
        if let priority = process.ioPriority { plan.add(guise_op_ioprio, "process.ioPriority", a: priority.value) }
        if let personality = linux.personality { plan.add(guise_op_personality, "linux.personality", a: personality.domain) }
        if let policy = linux.memoryPolicy {
            plan.add(guise_op_memory_policy, "linux.memoryPolicy", a: policy.mode, b: UInt64(policy.nodes?.bytes.count ?? 0),
                bytes: policy.nodes?.bytes ?? [])
        }
        plan.setEnvironment(environment)
        if let program = process.arguments.first { plan.add(guise_op_find, "process.args[0]", text: program) }
    }

    private func addLimits(to plan: inout SetupPlan) {
        for (index, limit) in process.limits.enumerated() {
            plan.add(guise_op_rlimit, "process.rlimits[\(index)]", flags: limit.resource, a: limit.soft, b: limit.hard)
        }
    }

    /// The rest, up to the program.
    func addAfterStart(to plan: inout SetupPlan) {
        if let label = process.selinuxLabel, !label.isEmpty, SecurityModules.hasSELinux {
            plan.add(guise_op_write_self, "process.selinuxLabel", text: "attr/exec", second: label)
        }
        if let profile = process.apparmorProfile, !profile.isEmpty, SecurityModules.hasAppArmor {
            plan.add(guise_op_write_self, "process.apparmorProfile", text: "attr/apparmor/exec", second: "exec \(profile)")
        }
        plan.add(guise_op_umask, "process.user.umask", a: UInt64(process.user.umask ?? 0o022))
        plan.add(
            guise_op_directory_change, "process.cwd", a: UInt64(context.preservedDescriptors),
            b: context.seccompListener.map { UInt64($0) + 1 } ?? 0, c: context.seccompState.map { UInt64($0) + 1 } ?? 0,
            text: process.workingDirectory
        )
        landlock?.addRuleset(to: &plan)
        plan.add(guise_op_bounding, "process.capabilities.bounding", a: granted.bounding.rawValue)
        // A filter needs no_new_privs or CAP_SYS_ADMIN, which the next steps may take away.
        if !process.noNewPrivileges { addFilter(to: &plan) }
        let groups = process.user.additionalGids
        plan.add(
            guise_op_user, "process.user", flags: UInt32(groups.count), a: UInt64(process.user.uid), b: UInt64(process.user.gid),
            c: context.deniesSetgroups && groups.isEmpty ? 1 : 0,
            bytes: groups.flatMap { group in (0..<4).map { UInt8(truncatingIfNeeded: group >> (8 * $0)) } }
        )
        plan.add(
            guise_op_capabilities, "process.capabilities", a: granted.effective.rawValue, b: granted.permitted.rawValue,
            c: granted.inheritable.rawValue, bytes: (0..<8).map { UInt8(truncatingIfNeeded: granted.ambient.rawValue >> (8 * $0)) }
        )
        if process.noNewPrivileges {
            plan.add(guise_op_no_new_privileges, "process.noNewPrivileges")
            landlock?.addRestriction(to: &plan)
            addFilter(to: &plan)
        }
        plan.add(
            guise_op_execute, "process.args[0]", a: UInt64(process.arguments.count), b: UInt64(environment.count),
            list: process.arguments, list3: environment
        )
    }

    private func addFilter(to plan: inout SetupPlan) {
        guard let program = context.seccomp else { return }
        plan.add(
            guise_op_seccomp, "linux.seccomp", a: UInt64(program.instructionCount), b: program.flags,
            c: context.seccompListener.map { UInt64($0) + 1 } ?? 0, bytes: program.bytes
        )
        plan.setLast(number: context.seccompState.map { UInt32($0) + 1 } ?? 0)
    }
}

/// A filter ready for seccomp(2).
struct SeccompProgram: Equatable {
    /// struct sock_filter, 8 bytes each.
    var bytes: [UInt8]
    /// SECCOMP_FILTER_FLAG_… bits.
    var flags: UInt64
    var instructionCount: Int { bytes.count / 8 }
}
