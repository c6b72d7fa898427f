// The setup plan of a further process in a running container (`exec`). It enters namespaces that hostile programs already live in: until it
// has executed, nobody there may look at it, and the file it runs cannot be written through it.

import CContainerInit

enum ExecPlan {
    /// - Parameters:
    ///   - context: `joins` are the container's namespaces that are not the runtime's own.
    ///   - joinsUserFirst: a runtime without privilege has some only inside the container's user namespace.
    ///   - rootPath: the container's root where it has no mount namespace of its own.
    static func build(
        _ process: ProcessConfiguration, configuration: Configuration, context: PlanContext, joinsUserFirst: Bool, rootPath: String?
    ) throws(ConfigurationError) -> (plan: SetupPlan, warnings: [String]) {
        let landlock = try configuration.landlock(for: process)
        var plan = SetupPlan()
        func join(_ kind: NamespaceKind, isOptional: Bool) {
            guard let entry = context.joins.first(where: { $0.kind == kind }) else { return }
            plan.add(
                guise_op_join, "the container's \(kind.rawValue) namespace", flags: isOptional ? guise_flag_optional.rawValue : 0,
                a: UInt64(entry.descriptor), b: kind.flag
            )
        }
        plan.add(guise_op_dumpable, "process", a: 0)
        if let set = process.execCPUAffinity?.initial {
            plan.add(guise_op_affinity, "process.execCPUAffinity.initial", a: UInt64(set.bytes.count), bytes: set.bytes)
        }
        for tasks in context.cgroupTasks { plan.add(guise_op_cgroup, "the container's cgroup", a: UInt64(tasks)) }
        if joinsUserFirst { join(.user, isOptional: false) }
        // Only a child is in a pid or time namespace that is joined. It opens its own directory of the host's procfs before
        // that is out of sight.
        join(.pid, isOptional: false)
        join(.time, isOptional: false)
        plan.add(guise_op_clone, "process", b: context.unifiedCgroup.map { UInt64($0) + 1 } ?? 0)
        plan.add(guise_op_open_proc, "process")
        let others: [NamespaceKind] = [.cgroup, .ipc, .network, .uts]
        if let rootPath { plan.add(guise_op_root, "root", flags: guise_flag_no_create.rawValue, text: rootPath) }
        for kind in others + [.mount] { join(kind, isOptional: true) }
        join(.user, isOptional: false)
        for kind in others + [.mount] { join(kind, isOptional: false) }
        if rootPath != nil {
            plan.add(guise_op_chroot, "root")
        } else {
            // The interpreter's view of the root is now the container's.
            plan.add(guise_op_reroot, "root")
        }
        if process.isTerminal {
            let size = process.consoleSize.map { UInt64($0.height) << 16 | UInt64($0.width) } ?? 0
            plan.add(guise_op_console, "process.terminal", a: UInt64(UInt32(bitPattern: context.console ?? -1)), b: size)
        }
        plan.add(guise_op_session, "process.terminal", flags: process.isTerminal ? guise_flag_terminal.rawValue : 0)
        // Without `final`, the processors of the container's cgroup: every one, of which the kernel takes those allowed.
        let every = CPUSet("0-\(CPUSet.numberMax)")
        if let affinity = process.execCPUAffinity, let set = affinity.final ?? every {
            plan.add(guise_op_affinity, "process.execCPUAffinity.final", a: UInt64(set.bytes.count), bytes: set.bytes)
        }
        let hasUser = context.joins.contains { $0.kind == .user }
        let steps = ProcessSteps(process, linux: configuration.linux, landlock: landlock, context: context, hasNewUser: hasUser)
        if hasUser, !process.limits.isEmpty || process.oomScoreAdjustment != nil {
            plan.add(guise_op_sync, "process.rlimits", a: UInt64(SyncPoint.namespaces.rawValue) | UInt64(plan.cloneCount) << 8)
        } else if process.oomScoreAdjustment != nil {
            plan.add(guise_op_sync, "process.oomScoreAdj", a: UInt64(SyncPoint.namespaces.rawValue) | UInt64(plan.cloneCount) << 8)
        }
        steps.addBeforeStart(to: &plan)
        plan.add(guise_op_sync, "exec", a: UInt64(SyncPoint.start.rawValue) | UInt64(plan.cloneCount) << 8)
        steps.addAfterStart(to: &plan)
        return (plan, steps.warnings)
    }
}
