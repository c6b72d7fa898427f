// Maps of user namespaces: user_namespaces(7).

import CContainerInit
import Glibc
import Host

enum UserNamespace {
    /// Writes the maps of a process's new user namespace, by newuidmap and newgidmap where the runtime may not do it itself.
    static func writeMaps(of pid: Int32, uids: [IDMapping], gids: [IDMapping]) throws {
        if geteuid() != 0 {
            // Without privilege a group map can be written only after setgroups is given up.
            let isOwn = gids.count == 1 && gids[0].size == 1 && gids[0].hostID == getegid()
            if isOwn { try HostFiles.write("deny", to: "/proc/\(pid)/setgroups") }
        }
        try write(uids, "uid_map", "newuidmap", pid, own: geteuid(), field: "linux.uidMappings")
        try write(gids, "gid_map", "newgidmap", pid, own: getegid(), field: "linux.gidMappings")
    }

    private static func write(
        _ maps: [IDMapping], _ file: String, _ program: String, _ pid: Int32, own: UInt32, field: String
    ) throws {
        let isOwn = maps.count == 1 && maps[0].size == 1 && maps[0].hostID == own
        if geteuid() == 0 || isOwn {
            do {
                try HostFiles.write(maps.map(\.line).joined(), to: "/proc/\(pid)/\(file)")
                return
            } catch let error as HostError {
                throw RuntimeError("\(field): \(error)")
            }
        }
        let numbers = maps.flatMap { ["\($0.containerID)", "\($0.hostID)", "\($0.size)"] }
        for directory in ["/usr/bin", "/bin", "/usr/local/bin"] where access("\(directory)/\(program)", X_OK) == 0 {
            let child = withCStrings([program, "\(pid)"] + numbers) { arguments in
                withCStrings([]) { guise_spawn_hook("\(directory)/\(program)", arguments, $0, -1) }
            }
            var status: Int32 = 0
            guard child > 0, guise_wait(child, &status, 0) == child, status == 0 else {
                throw RuntimeError("\(field): \(program) refused the ranges; see /etc/sub\(file.prefix(3))")
            }
            return
        }
        throw RuntimeError("\(field): \(program) is not installed, and without it another user than root maps only the own id")
    }

    /// A user namespace without processes, for an idmapped mount.
    static func make(uids: [IDMapping], gids: [IDMapping]) throws -> Descriptor {
        let pid = guise_spawn_in_user_namespace()
        guard pid > 0 else { throw HostError("clone3", "user namespace of an idmapped mount") }
        defer {
            var status: Int32 = 0
            kill(pid, SIGKILL)
            guise_wait(pid, &status, 0)
        }
        try writeMaps(of: pid, uids: uids, gids: gids)
        return try HostFiles.open("/proc/\(pid)/ns/user", O_RDONLY)
    }
}
