// A 9P2000.L file server over an exported host directory.
//
// The guest's kernel checks permissions of the guest's users; the server acts with the rights of the host user who runs it,
// and new files belong to that user. When that user is root, set-user-ID and set-group-ID bits are not set on the host.
// Requests are answered one at a time, so Tflush always finds its target answered.
// Absent: authentication, 9P2000 and 9P2000.u, opening of special files on the host, creation of device files, extended
// attributes outside user.* and POSIX ACLs. Locks are not kept across save and restore; files that had lost their names by
// then answer ESTALE.

import Glibc

/// What a fid stands for.
final class NinePFid {
    enum Use {
        /// A place in the tree.
        case path
        case file(flags: UInt32)
        case directory
        /// A value or list being read.
        case attributeValue([UInt8])
        /// A value being written; set when the fid is clunked.
        case newAttribute(name: [UInt8], size: Int, flags: UInt32, value: [UInt8])
        /// A file that could not be found again after a restore.
        case stale
    }

    var node: HostNode
    var use: Use

    /// Whether an extended attribute's value is held in memory.
    var holdsAttribute: Bool {
        switch use {
        case .attributeValue, .newAttribute: true
        default: false
        }
    }

    init(_ node: HostNode, _ use: Use = .path) {
        self.node = node
        self.use = use
    }
}

/// One session of a 9P2000.L server.
final class NinePServer {
    /// Fids a restored session may hold.
    static let fidsMax = 1 << 15
    /// Fids whose extended attribute values are held in memory.
    private static let attributeFidsMax = 256

    /// Fids held at a time. Each may hold a host descriptor, and half of those are left to the rest of the process.
    let fidsMax: Int

    let tree: HostDirectory
    /// The largest message in either direction, as negotiated.
    var messageBytes = NinePLimit.messageBytesInitial
    /// Whether Tversion agreed on the dialect.
    var isOpen = false
    var fids: [UInt32: NinePFid] = [:]
    let dropsSetID: Bool

    init(tree: HostDirectory) {
        self.tree = tree
        dropsSetID = geteuid() == 0
        var limit = rlimit()
        let known = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0
        fidsMax = known ? Int(min(UInt64(limit.rlim_cur) / 2, UInt64(Self.fidsMax))) : 256
    }

    /// Forgets the session.
    func reset() {
        fids = [:]
        isOpen = false
        messageBytes = NinePLimit.messageBytesInitial
    }

    /// Answers one request.
    /// - Parameters:
    ///   - request: the message, its header included; it may be malformed in any way.
    ///   - replyBytesMax: room for the reply.
    /// - Returns: the reply, or nothing when not even an error fits or the request has no header.
    func answer(_ request: [UInt8], replyBytesMax: Int) -> [UInt8] {
        var header = NinePReader(request[...])
        guard replyBytesMax >= NinePLimit.errorBytes, let size = try? header.get(UInt32.self),
              let type = try? header.get(UInt8.self), let tag = try? header.get(UInt16.self) else { return [] }
        guard size >= NinePLimit.headerBytes, size <= request.count else {
            return NinePWriter.error(FileFailure(EINVAL), tag: tag)
        }
        guard request.count <= messageBytes || type == NinePType.version else {
            return NinePWriter.error(FileFailure(EMSGSIZE), tag: tag)
        }
        let limit = min(replyBytesMax, messageBytes)
        var body = NinePReader(request[NinePLimit.headerBytes..<Int(size)])
        var reply = NinePWriter(type: type &+ 1, tag: tag)
        do throws(FileFailure) {
            guard isOpen || type == NinePType.version else { throw FileFailure(EPROTO) }
            try dispatch(type, &body, &reply, limit)
            let bytes = reply.finished()
            guard bytes.count <= limit else { throw FileFailure(EMSGSIZE) }
            return bytes
        } catch {
            return NinePWriter.error(error, tag: tag)
        }
    }

    private func dispatch(_ type: UInt8, _ request: inout NinePReader, _ reply: inout NinePWriter,
                          _ limit: Int) throws(FileFailure) {
        switch type {
        case NinePType.version: try version(&request, &reply)
        case NinePType.auth: throw FileFailure(EOPNOTSUPP)
        case NinePType.attach: try attach(&request, &reply)
        case NinePType.flush: break
        case NinePType.walk: try walk(&request, &reply)
        case NinePType.clunk: try clunk(&request)
        case NinePType.lopen: try lopen(&request, &reply)
        case NinePType.lcreate: try lcreate(&request, &reply)
        case NinePType.read: try read(&request, &reply, limit)
        case NinePType.write: try write(&request, &reply)
        case NinePType.fsync: try fsync(&request)
        case NinePType.readdir: try readdir(&request, &reply, limit)
        case NinePType.statfs: try statfs(&request, &reply)
        case NinePType.getattr: try getattr(&request, &reply)
        case NinePType.setattr: try setattr(&request)
        case NinePType.xattrwalk: try xattrwalk(&request, &reply)
        case NinePType.xattrcreate: try xattrcreate(&request)
        case NinePType.lock: try lock(&request, &reply)
        case NinePType.getlock: try getlock(&request, &reply)
        case NinePType.symlink: try symlink(&request, &reply)
        case NinePType.mknod: try mknod(&request, &reply)
        case NinePType.mkdir: try mkdir(&request, &reply)
        case NinePType.link: try link(&request)
        case NinePType.readlink: try readlink(&request, &reply)
        case NinePType.rename: try rename(&request)
        case NinePType.renameat: try renameat(&request)
        case NinePType.unlinkat: try unlinkat(&request)
        case NinePType.remove: try remove(&request)
        default: throw FileFailure(EOPNOTSUPP)
        }
    }

    // MARK: Session and fids

    private func version(_ request: inout NinePReader, _ reply: inout NinePWriter) throws(FileFailure) {
        let wanted = try request.get(UInt32.self)
        let dialect = try request.getString()
        // A new version begins a new session (version(5)).
        reset()
        guard wanted >= NinePLimit.messageBytesMin else { throw FileFailure(EMSGSIZE) }
        messageBytes = min(Int(wanted), NinePLimit.messageBytesMax)
        isOpen = dialect.elementsEqual(NinePLimit.dialect.utf8)
        reply.put(UInt32(messageBytes))
        reply.put(string: (isOpen ? NinePLimit.dialect : NinePLimit.unknownDialect).utf8)
    }

    private func attach(_ request: inout NinePReader, _ reply: inout NinePWriter) throws(FileFailure) {
        let fid = try request.get(UInt32.self)
        guard try request.get(UInt32.self) == NinePLimit.noFid else { throw FileFailure(EOPNOTSUPP) }
        _ = try request.getString()
        let path = try FileName.components(try request.getString())
        let node = try tree.node(at: path)
        try add(fid, NinePFid(node))
        reply.put(try qid(node))
    }

    /// The fid a request names.
    func fid(_ request: inout NinePReader) throws(FileFailure) -> NinePFid {
        guard let fid = fids[try request.get(UInt32.self)] else { throw FileFailure(EBADF) }
        if case .stale = fid.use { throw FileFailure(ESTALE) }
        return fid
    }

    /// The node of a fid that a request names.
    func node(_ request: inout NinePReader) throws(FileFailure) -> HostNode { try fid(&request).node }

    func add(_ number: UInt32, _ fid: NinePFid) throws(FileFailure) {
        guard number != NinePLimit.noFid, fids[number] == nil else { throw FileFailure(EBADF) }
        guard fids.count < fidsMax else { throw FileFailure(EMFILE) }
        if fid.holdsAttribute { try requireRoomForAttribute() }
        fids[number] = fid
    }

    /// Refuses to hold more extended attributes.
    func requireRoomForAttribute() throws(FileFailure) {
        guard fids.count >= Self.attributeFidsMax else { return }
        let held = fids.values.reduce(0) { $0 + ($1.holdsAttribute ? 1 : 0) }
        guard held < Self.attributeFidsMax else { throw FileFailure(ENOSPC) }
    }

    private func walk(_ request: inout NinePReader, _ reply: inout NinePWriter) throws(FileFailure) {
        let number = try request.get(UInt32.self)
        let newNumber = try request.get(UInt32.self)
        let count = Int(try request.get(UInt16.self))
        guard let origin = fids[number] else { throw FileFailure(EBADF) }
        if case .stale = origin.use { throw FileFailure(ESTALE) }
        guard count <= NinePLimit.walkNamesMax else { throw FileFailure(EINVAL) }
        guard newNumber == number || fids[newNumber] == nil else { throw FileFailure(EBADF) }
        var node = origin.node
        var qids: [NinePQID] = []
        for index in 0..<count {
            let name = try request.getString()
            do throws(FileFailure) {
                node = FileName.isParent(name) ? try tree.parent(of: node) : try node.child(try FileName(name))
                qids.append(try qid(node))
            } catch {
                // A walk that gets somewhere reports how far, and makes no fid.
                if index == 0 { throw error }
                break
            }
        }
        if qids.count == count {
            if newNumber == number { fids[number] = nil }
            try add(newNumber, NinePFid(node))
        }
        reply.put(UInt16(qids.count))
        for qid in qids { reply.put(qid) }
    }

    private func clunk(_ request: inout NinePReader) throws(FileFailure) {
        guard let fid = fids.removeValue(forKey: try request.get()) else { throw FileFailure(EBADF) }
        if case .newAttribute(let name, let size, let flags, let value) = fid.use {
            guard value.count == size else { throw FileFailure(EINVAL) }
            if size == 0 && flags & 2 != 0 {
                // Linux removes an attribute by replacing it with nothing.
                return try fid.node.removeExtendedAttribute(name)
            }
            try fid.node.setExtendedAttribute(name, value, flags: Int32(truncatingIfNeeded: flags & 3))
        }
    }

    func qid(_ node: HostNode) throws(FileFailure) -> NinePQID { qid(try node.attributes()) }

    func qid(_ attributes: stat) -> NinePQID {
        let type = switch attributes.st_mode & S_IFMT {
        case S_IFDIR: NinePQID.directory
        case S_IFLNK: NinePQID.symbolicLink
        default: NinePQID.file
        }
        let version = UInt32(truncatingIfNeeded: attributes.st_mtim.tv_sec) ^ UInt32(truncatingIfNeeded: attributes.st_size << 8)
            ^ UInt32(truncatingIfNeeded: attributes.st_mtim.tv_nsec)
        return NinePQID(type: type, version: version, path: tree.fileNumber(attributes))
    }

    /// Refuses changes to a read-only export.
    func requireWritable() throws(FileFailure) { if tree.isReadOnly { throw FileFailure(EROFS) } }

    /// The permission bits of a mode on the wire.
    func permissions(_ mode: UInt32) -> mode_t { mode_t(mode) & (dropsSetID ? 0o1777 : 0o7777) }
}
