// A directory of the host that a guest may use: the tree below it, and nothing else.
//
// Every step of a walk is one openat with O_NOFOLLOW from the directory before; ".." is checked to lead to a directory
// below the root. File systems mounted below the root belong to the tree. A directory that someone on the host moves out
// of the tree while a guest holds it stays reachable for that guest, downward only.

import CHost
import Glibc
import Host

/// An exported directory.
public final class HostDirectory {
    /// Whether the guest may only read.
    public let isReadOnly: Bool
    let root: HostNode
    private let rootIdentity: Identity
    /// The device numbers seen, in order of appearance; their places make inode numbers of several file systems distinct.
    private var devices: [UInt64]
    private static let depthMax = 4096
    private static let devicesMax = 1 << 12

    private struct Identity: Equatable {
        let device: UInt64
        let inode: UInt64
        init(_ attributes: stat) {
            device = UInt64(attributes.st_dev)
            inode = UInt64(attributes.st_ino)
        }
    }

    /// - Throws: `HostError` when `path` is no directory that can be used.
    public init(path: String, readOnly: Bool = false) throws {
        do {
            root = try HostNode.root(path: path)
            rootIdentity = Identity(try root.attributes())
        } catch {
            throw HostError("open", path, errno: error.code)
        }
        guard access("/proc/self/fd", X_OK) == 0 else { throw HostError("access", "/proc/self/fd") }
        devices = [rootIdentity.device]
        isReadOnly = readOnly
    }

    /// A number that tells this tree's files apart.
    func fileNumber(_ attributes: stat) -> UInt64 {
        fileNumber(device: UInt64(attributes.st_dev), inode: UInt64(attributes.st_ino))
    }

    func fileNumber(device: UInt64, inode: UInt64) -> UInt64 {
        if device == rootIdentity.device { return inode }
        var place = devices.firstIndex(of: device)
        if place == nil, devices.count < Self.devicesMax {
            devices.append(device)
            place = devices.count - 1
        }
        return inode ^ UInt64(place ?? Self.devicesMax) << 48
    }

    func isRoot(_ node: HostNode) throws(FileFailure) -> Bool { Identity(try node.attributes()) == rootIdentity }

    /// The directory above `node`; the root is above itself.
    func parent(of node: HostNode) throws(FileFailure) -> HostNode {
        if try isRoot(node) { return root }
        let parent = try node.uncheckedParent()
        try checkInside(parent)
        return parent
    }

    /// Goes up from a directory until the root is met.
    private func checkInside(_ directory: HostNode) throws(FileFailure) {
        var current = directory
        var identity = Identity(try current.attributes())
        for _ in 0..<Self.depthMax {
            if identity == rootIdentity { return }
            current = try current.uncheckedParent()
            let above = Identity(try current.attributes())
            // Only the host's own root is its own parent.
            if above == identity { break }
            identity = above
        }
        throw FileFailure(ESTALE)
    }

    /// Follows names downward, no links.
    func node(at path: [FileName]) throws(FileFailure) -> HostNode {
        var node = root
        for name in path { node = try node.child(name) }
        return node
    }

    /// Where a node is now, or ESTALE when it has no place in the tree any more.
    func path(of node: HostNode) throws(FileFailure) -> [FileName] {
        let place = try Self.hostPath(of: node)
        let rootPlace = try Self.hostPath(of: root)
        let prefix = rootPlace == [UInt8(ascii: "/")] ? [] : rootPlace
        guard place.starts(with: prefix) else { throw FileFailure(ESTALE) }
        let rest = place.dropFirst(prefix.count)
        guard rest.isEmpty || rest.first == UInt8(ascii: "/") else { throw FileFailure(ESTALE) }
        let path = try FileName.components(rest)
        guard Identity(try self.node(at: path).attributes()) == Identity(try node.attributes()) else {
            throw FileFailure(ESTALE)
        }
        return path
    }

    /// The directory a node is in, and its name there.
    func place(of node: HostNode) throws(FileFailure) -> (directory: HostNode, name: FileName) {
        let path = try path(of: node)
        guard let name = path.last else { throw FileFailure(EBUSY) }
        return (try self.node(at: path.dropLast()), name)
    }

    private static func hostPath(of node: HostNode) throws(FileFailure) -> [UInt8] {
        var path = [UInt8](repeating: 0, count: 1 << 16)
        let count = path.withUnsafeMutableBytes {
            readlink(node.selfPath, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
        }
        try HostNode.check(count)
        return Array(path.prefix(count))
    }
}
