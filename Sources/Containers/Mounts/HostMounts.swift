// Mounts of a container without a mount namespace: they are the host's, below the container's root, and go with the container.

import Glibc
import Host

enum HostMounts {
    /// How many mounts lie on a directory, one above the other.
    static func depth(at path: String) throws -> Int {
        let table = try HostFiles.read("/proc/self/mountinfo", sizeMax: 64 << 20)
        return table.split(separator: UInt8(ascii: "\n")).count { line in
            let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 5)
            return fields.count > 4 && CgroupLayout.unescaped(String(decoding: fields[4], as: UTF8.self)[...]) == path
        }
    }

    /// Takes away what was mounted since, with everything below it.
    static func remove(_ path: String, downTo depth: Int) {
        // Each turn takes one away; the bound is for a kernel that does not.
        for _ in 0..<16 {
            guard let now = try? self.depth(at: path), now > depth else { return }
            guard umount2(path, Int32(MNT_DETACH) | 8 /* UMOUNT_NOFOLLOW */) == 0 else { return }
        }
    }
}
