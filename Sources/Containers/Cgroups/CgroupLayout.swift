// Which cgroup hierarchies the host has and where: v1, v2, or the hybrid layout, in which v2 stands beside v1 hierarchies and
// owns only some controllers. cgroups(7).

import Glibc

/// A mounted hierarchy.
struct CgroupHierarchy: Equatable, Sendable {
    /// Where it is mounted, and which of its directories that shows.
    var mountPoint: String, mountRoot: String
    /// Controllers of a v1 hierarchy, `name=…` included; of v2 those that it can hand out.
    var controllers: [String]
    var isUnified: Bool
    /// The runtime's own cgroup in it, as /proc/self/cgroup tells.
    var ownPath: String

    /// The directory that shows the cgroup `path`, which starts with `/`.
    func directory(of path: String) -> String {
        var below = path
        if mountRoot != "/", path == mountRoot || path.hasPrefix(mountRoot + "/") { below = String(path.dropFirst(mountRoot.count)) }
        return below.isEmpty || below == "/" ? mountPoint : mountPoint + below
    }
}

/// All hierarchies of the host.
struct CgroupLayout: Equatable, Sendable {
    /// v1 hierarchies and at most one v2, as mounted.
    var hierarchies: [CgroupHierarchy]

    /// The v2 hierarchy, if it is mounted.
    var unified: CgroupHierarchy? { hierarchies.first { $0.isUnified } }
    /// Whether there is nothing but v2.
    var isPureUnified: Bool { !hierarchies.isEmpty && hierarchies.allSatisfy(\.isUnified) }

    /// "v1", "v2", "hybrid" or "none".
    var name: String {
        if hierarchies.isEmpty { return "none" }
        if isPureUnified { return "v2" }
        return unified == nil ? "v1" : "hybrid"
    }

    /// The hierarchy whose controller that is.
    func hierarchy(of controller: String) -> CgroupHierarchy? {
        hierarchies.first { $0.controllers.contains(controller) }
    }

    /// Reads the host's layout; hierarchies that cannot be seen are left out.
    static func ofHost() -> CgroupLayout {
        guard let mounts = try? HostFiles.read("/proc/self/mountinfo", sizeMax: 64 << 20),
              let own = try? HostFiles.read("/proc/self/cgroup") else { return CgroupLayout(hierarchies: []) }
        return CgroupLayout(mountInfo: mounts, ownCgroups: String(decoding: own, as: UTF8.self)) { mountPoint in
            HostFiles.line(mountPoint + "/cgroup.controllers") ?? ""
        }
    }

    init(hierarchies: [CgroupHierarchy]) { self.hierarchies = hierarchies }

    /// Parses /proc/self/mountinfo and /proc/self/cgroup (proc(5)); `controllers` tells those of a v2 mount point.
    init(mountInfo: [UInt8], ownCgroups: String, controllers: (String) -> String) {
        // Lists as the kernel writes them: "9:name=systemd:/path".
        var own: [(controllers: Set<Substring>, path: String)] = []
        for line in ownCgroups.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            own.append((Set(parts[1].split(separator: ",")), String(parts[2])))
        }
        hierarchies = []
        for line in mountInfo.split(separator: UInt8(ascii: "\n")) {
            // Most lines are other file systems'.
            guard line.contains(UInt8(ascii: "g")) else { continue }
            let fields = String(decoding: line, as: UTF8.self).split(separator: " ")
            guard let dash = fields.firstIndex(of: "-"), fields.count >= dash + 4, dash >= 6 else { continue }
            let mountPoint = Self.unescaped(fields[4]), root = Self.unescaped(fields[3])
            switch fields[dash + 1] {
            case "cgroup2":
                guard !hierarchies.contains(where: \.isUnified) else { continue }
                hierarchies.append(CgroupHierarchy(
                    mountPoint: mountPoint, mountRoot: root,
                    controllers: controllers(mountPoint).split(separator: " ").map(String.init), isUnified: true,
                    ownPath: own.first { $0.controllers.isEmpty }?.path ?? "/"
                ))
            case "cgroup":
                let options = fields[dash + 3].split(separator: ",")
                guard let entry = own.first(where: { !$0.controllers.isEmpty && $0.controllers.isSubset(of: options) }) else { continue }
                let names = entry.controllers.map(String.init).sorted()
                guard !hierarchies.contains(where: { $0.controllers == names }) else { continue }
                hierarchies.append(CgroupHierarchy(
                    mountPoint: mountPoint, mountRoot: root, controllers: names, isUnified: false, ownPath: entry.path
                ))
            default: continue
            }
        }
    }

    /// mountinfo writes space, tab, newline and backslash as \ooo.
    static func unescaped(_ field: Substring) -> String {
        guard field.contains("\\") else { return String(field) }
        var bytes: [UInt8] = [], rest = Array(field.utf8)[...]
        while let byte = rest.popFirst() {
            let digits = rest.prefix(3)
            if byte == UInt8(ascii: "\\"), digits.count == 3, let code = UInt8(String(decoding: digits, as: UTF8.self), radix: 8) {
                bytes.append(code)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The path of a container's cgroup in a hierarchy: `linux.cgroupsPath` as config-linux.md has it. Absolute ones count from
    /// the hierarchy's root; relative ones, and the container's id where none is given, from the runtime's own cgroup. In v2
    /// that cgroup holds processes and therefore cannot hold limited children, so there it is the one above.
    static func path(configured: String?, id: String, in hierarchy: CgroupHierarchy) -> String {
        let path = configured.flatMap { $0.isEmpty ? nil : $0 } ?? id
        if path.hasPrefix("/") { return HostFiles.cleaned(path) }
        var base = hierarchy.ownPath
        if base.hasPrefix("/..") { base = "/" }
        if hierarchy.isUnified, base != "/" { base = String(base[..<base.lastIndex(of: "/")!]) }
        return HostFiles.cleaned(base + "/" + path)
    }
}
