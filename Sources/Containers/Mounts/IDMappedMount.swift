// The source of an idmapped mount: config.md, "uidMappings" of mounts. The runtime makes it, because a process in a user namespace may not
// idmap what belongs to the host.

import CContainerInit
import Host

enum IDMappedMount {
    /// A detached mount with the mapped ids, for the process to attach; nil for mounts that are not idmapped.
    /// - Throws: `RuntimeError` naming the mount.
    static func tree(_ mount: Mount, _ index: Int, linux: LinuxConfiguration, bundle: String) throws -> Descriptor? {
        let options = try MountOptions(mount.options)
        guard options.isIDMapped || !mount.uidMappings.isEmpty, options.isBind || mount.type == "bind", let source = mount.source else {
            return nil
        }
        let uids = mount.uidMappings.isEmpty ? linux.uidMappings : mount.uidMappings
        let gids = mount.gidMappings.isEmpty ? linux.gidMappings : mount.gidMappings
        guard !uids.isEmpty else { return nil }
        var flags: UInt32 = options.isRecursiveBind ? guise_flag_recursive.rawValue : 0
        if options.keepsSourceLink { flags |= guise_flag_no_follow.rawValue }
        if options.isIDMappedRecursively { flags |= guise_flag_idmap_recursive.rawValue }
        let namespace = try UserNamespace.make(uids: uids, gids: gids)
        var call: UnsafePointer<CChar>?
        let path = source.hasPrefix("/") ? source : bundle + "/" + source
        let tree = guise_idmapped_tree(path, namespace.number, flags, &call)
        guard tree >= 0 else { throw RuntimeError("mounts[\(index)]: idmap: \(HostError(String(cString: call!), path))") }
        return Descriptor(tree)
    }
}
