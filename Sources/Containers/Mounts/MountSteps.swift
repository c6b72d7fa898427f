// The steps of `mounts`: config.md, "Mounts".

import CContainerInit

extension ContainerPlan {
    mutating func addMount(_ index: Int) throws {
        let mount = configuration.mounts[index]
        let label = "mounts[\(index)]"
        var options: MountOptions
        do throws(ConfigurationError) {
            options = try MountOptions(mount.options)
        } catch {
            throw error.inside("options").inside(label)
        }
        if mount.type == "bind" { options.isBind = true }
        if options.isIDMapped || !mount.uidMappings.isEmpty {
            guard options.isBind else { throw ConfigurationError("only a bind can be idmapped", path: label) }
            options.isIDMapped = true
        }
        guard !options.keepsTargetLink else {
            throw ConfigurationError("'dest-nofollow' is not supported: a link cannot be mounted on", path: "\(label).options")
        }
        let target = HostFiles.cleaned(mount.destination)
        guard target != "/" || options.isRemount else {
            throw ConfigurationError("must not be the root; root.path is mounted there", path: "\(label).destination")
        }
        guard !options.copiesUp || mount.type == "tmpfs" && !options.isBind else {
            throw ConfigurationError("'tmpcopyup' is for mounts of type tmpfs", path: "\(label).options")
        }
        if options.isRemount {
            if options.isBind { for option in options.data { warn("\(label).options: '\(option)' has no effect on a bind") } }
            withPlan {
                $0.add(guise_op_remount, label, b: options.remountFlags, text4: target)
                $0.setLast(second: options.isBind ? "" : options.data.joined(separator: ","))
            }
            addPropagation(options, label, target)
            return
        }
        if options.isBind {
            try addBind(mount, options, label, target, index)
        } else {
            switch mount.type {
            case "cgroup" where !context.cgroup.parts.isEmpty: addCgroups(options, label, target)
            case nil, "": throw ConfigurationError("is missing", path: "\(label).type")
            default: addFileSystem(mount, options, label, target)
            }
        }
        addPropagation(options, label, target)
    }

    private mutating func addPropagation(_ options: MountOptions, _ label: String, _ target: String) {
        for flag in options.propagations {
            withPlan {
                $0.add(
                    guise_op_propagate, label, flags: flag & MountOptions.recursive != 0 ? guise_flag_recursive.rawValue : 0,
                    b: flag & ~MountOptions.recursive, text4: target
                )
            }
        }
    }

    private mutating func addFileSystem(_ mount: Mount, _ options: MountOptions, _ label: String, _ target: String) {
        var words = options.fileSystemWords
        if let mountLabel = configuration.linux.mountLabel, !mountLabel.isEmpty, SecurityModules.hasSELinux,
           mount.type != "proc", mount.type != "sysfs" {
            words.append("context=\(mountLabel)")
        }
        // A user namespace that does not own the network namespace may not mount sysfs, only bind the host's.
        withPlan {
            $0.add(
                guise_op_mount, label, flags: options.copiesUp ? guise_flag_copy_up.rawValue : 0, a: UInt64(words.count),
                b: options.set, text: mount.type ?? "", text3: mount.source ?? mount.type ?? "", text4: target, list: words
            )
            if options.setRecursive | options.clearRecursive != 0 {
                $0.add(guise_op_attributes, label, flags: guise_flag_recursive.rawValue, b: options.setRecursive,
                    c: options.clearRecursive, text4: target)
            }
        }
    }

    private mutating func addBind(_ mount: Mount, _ options: MountOptions, _ label: String, _ target: String, _ index: Int) throws {
        guard let source = mount.source, !source.isEmpty else { throw ConfigurationError("is missing", path: "\(label).source") }
        // Options of a file system cannot be set by a bind; the kernel ignores them, and so do all runtimes.
        for option in options.fileSystemWords { warn("\(label).options: '\(option)' has no effect on a bind") }
        var flags: UInt32 = options.isRecursiveBind ? guise_flag_recursive.rawValue : 0
        if options.keepsSourceLink { flags |= guise_flag_no_follow.rawValue }
        if options.isIDMapped {
            guard context.idmaps[index] != nil else { throw ConfigurationError("has no maps to take for 'idmap'", path: label) }
            flags |= guise_flag_idmap.rawValue
        }
        let path = source.hasPrefix("/") ? source : context.bundle + "/" + source
        let idmap = UInt64(context.idmaps[index] ?? 0)
        withPlan {
            $0.add(
                guise_op_bind, label, flags: flags, a: idmap, b: options.set, c: options.clear,
                text3: path, text4: target
            )
            if options.setRecursive | options.clearRecursive != 0 {
                $0.add(guise_op_attributes, label, flags: guise_flag_recursive.rawValue, b: options.setRecursive,
                    c: options.clearRecursive, text4: target)
            }
        }
    }

    /// Type `cgroup` shows the container its own cgroups, whichever layout the host has.
    private mutating func addCgroups(_ options: MountOptions, _ label: String, _ target: String) {
        let hasNamespace = configuration.linux.namespaces.contains { $0.kind == .cgroup && $0.path == nil }
        func show(_ part: ContainerCgroup.Part, at path: String, _ plan: inout SetupPlan) {
            if hasNamespace {
                let words = part.hierarchy.isUnified ? [] : part.hierarchy.controllers
                let hasName = words.contains { $0.hasPrefix("name=") }
                plan.add(
                    guise_op_mount, label, a: UInt64(words.count + (hasName ? 1 : 0)), b: options.set,
                    text: part.hierarchy.isUnified ? "cgroup2" : "cgroup", text3: "cgroup", text4: path,
                    list: hasName ? ["none"] + words : words
                )
            } else {
                plan.add(guise_op_bind, label, b: options.set, text3: part.directory, text4: path)
            }
        }
        let parts = context.cgroup.parts
        withPlan { plan in
            if parts.allSatisfy(\.hierarchy.isUnified) {
                show(parts[0], at: target, &plan)
                return
            }
            plan.add(
                guise_op_mount, label, a: 1, b: options.set & ~MountOptions.readOnly, text: "tmpfs", text3: "tmpfs", text4: target,
                list: ["mode=755"]
            )
            for part in parts {
                // The name the host uses, such as cpu,cpuacct.
                let name = String(part.hierarchy.mountPoint.split(separator: "/").last ?? "cgroup")
                show(part, at: "\(target)/\(name)", &plan)
                for controller in part.hierarchy.controllers
                where !part.hierarchy.isUnified && controller != name && !controller.contains("=") {
                    plan.add(guise_op_symlink, label, text: name, text4: "\(target)/\(controller)")
                }
            }
            if options.set & MountOptions.readOnly != 0 {
                plan.add(guise_op_attributes, label, b: MountOptions.readOnly, text4: target)
            }
        }
    }
}
