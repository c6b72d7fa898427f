// Opening, reading, writing and listing. 9P: open(5), read(5); 9P2000.L: Tlopen, Tlcreate, Treaddir, Tfsync, Tlock, Tgetlock.

import Glibc

extension NinePServer {
    private static func isWriting(_ flags: UInt32) -> Bool {
        flags & NinePOpen.accessMask != NinePOpen.readOnly || flags & NinePOpen.truncate != 0
    }

    func lopen(_ request: inout NinePReader, _ reply: inout NinePWriter) throws(FileFailure) {
        let fid = try fid(&request)
        let flags = try request.get(UInt32.self) & NinePOpen.honoured
        guard case .path = fid.use else { throw FileFailure(EBUSY) }
        if Self.isWriting(flags) { try requireWritable() }
        let node = try fid.node.open(flags: Int32(flags & ~NinePOpen.exclusive))
        let attributes = try node.attributes()
        fid.node = node
        fid.use = attributes.st_mode & S_IFMT == S_IFDIR ? .directory : .file(flags: flags)
        reply.put(qid(attributes))
        reply.put(UInt32(0))
    }

    func lcreate(_ request: inout NinePReader, _ reply: inout NinePWriter) throws(FileFailure) {
        let fid = try fid(&request)
        let name = try request.getName()
        let flags = try request.get(UInt32.self) & NinePOpen.honoured
        let mode = permissions(try request.get())
        _ = try request.get(UInt32.self)  // gid: new files belong to the host's user
        guard case .path = fid.use else { throw FileFailure(EBUSY) }
        try requireWritable()
        let node = try fid.node.create(name, flags: Int32(flags), mode: mode)
        fid.node = node
        fid.use = .file(flags: flags)
        reply.put(try qid(node))
        reply.put(UInt32(0))
    }

    func read(_ request: inout NinePReader, _ reply: inout NinePWriter, _ limit: Int) throws(FileFailure) {
        let fid = try fid(&request)
        let offset = try request.get(UInt64.self)
        let wanted = min(Int(try request.get(UInt32.self)), limit - NinePLimit.dataHeaderBytes)
        switch fid.use {
        case .file:
            let node = fid.node
            try reply.putCounted(limit: wanted) { (buffer) throws(FileFailure) in
                try node.read(at: offset, into: buffer)
            }
        case .attributeValue(let value):
            let start = Int(min(offset, UInt64(value.count)))
            reply.putCounted(value[start...].prefix(wanted))
        case .directory: throw FileFailure(EISDIR)
        default: throw FileFailure(EBADF)
        }
    }

    func write(_ request: inout NinePReader, _ reply: inout NinePWriter) throws(FileFailure) {
        let fid = try fid(&request)
        let offset = try request.get(UInt64.self)
        let data = try request.slice(Int(try request.get(UInt32.self)))
        switch fid.use {
        case .file:
            let node = fid.node
            let result = data.withUnsafeBytes { bytes in
                Result { () throws(FileFailure) in try node.write(at: offset, from: bytes) }
            }
            reply.put(UInt32(try result.get()))
        case .newAttribute(let name, let size, let flags, var value):
            guard offset == UInt64(value.count), data.count <= size - value.count else { throw FileFailure(EINVAL) }
            value += data
            fid.use = .newAttribute(name: name, size: size, flags: flags, value: value)
            reply.put(UInt32(data.count))
        default: throw FileFailure(EBADF)
        }
    }

    func fsync(_ request: inout NinePReader) throws(FileFailure) {
        let fid = try fid(&request)
        // Older clients leave the field out.
        let dataOnly = request.remaining >= 4 ? try request.get(UInt32.self) != 0 : false
        switch fid.use {
        case .file, .directory: try fid.node.sync(dataOnly: dataOnly)
        default: throw FileFailure(EBADF)
        }
    }

    func readdir(_ request: inout NinePReader, _ reply: inout NinePWriter, _ limit: Int) throws(FileFailure) {
        let fid = try fid(&request)
        let offset = try request.get(UInt64.self)
        let room = min(Int(try request.get(UInt32.self)), limit - NinePLimit.dataHeaderBytes)
        guard case .directory = fid.use else { throw FileFailure(EBADF) }
        // A host entry is about as long as one on the wire; what does not fit is read again next time.
        let entries = try fid.node.entries(from: offset, bufferBytes: room)
        let directory = try fid.node.attributes()
        let isRoot = try tree.isRoot(fid.node)
        var body = NinePWriter()
        for entry in entries {
            guard body.count + NinePLimit.qidBytes + 8 + 1 + 2 + entry.name.count <= room else { break }
            // The directory above the root is the root itself.
            let inode = isRoot && FileName.isParent(entry.name) ? UInt64(directory.st_ino) : entry.inode
            let type = switch Int(entry.type) {
            case Int(DT_DIR): NinePQID.directory
            case Int(DT_LNK): NinePQID.symbolicLink
            default: NinePQID.file
            }
            body.put(NinePQID(type: type, version: 0,
                              path: tree.fileNumber(device: UInt64(directory.st_dev), inode: inode)))
            body.put(entry.next)
            body.put(entry.type)
            body.put(string: entry.name)
        }
        // Nothing must not look like the end of the directory.
        guard body.count > 0 || entries.isEmpty else { throw FileFailure(EINVAL) }
        reply.putCounted(body.bytes)
    }

    func lock(_ request: inout NinePReader, _ reply: inout NinePWriter) throws(FileFailure) {
        let fid = try fid(&request)
        let type = try request.get(UInt8.self)
        _ = try request.get(UInt32.self)  // flags: whether the client will ask again
        let lock = HostNode.RangeLock(type: type, start: try request.get(), length: try request.get())
        guard case .file = fid.use, type <= NinePLockStatus.typeMax else { throw FileFailure(EINVAL) }
        do throws(FileFailure) {
            try fid.node.setLock(lock)
            reply.put(NinePLockStatus.success)
        } catch {
            reply.put(error.code == EAGAIN || error.code == EACCES ? NinePLockStatus.blocked : NinePLockStatus.error)
        }
    }

    func getlock(_ request: inout NinePReader, _ reply: inout NinePWriter) throws(FileFailure) {
        let fid = try fid(&request)
        let type = try request.get(UInt8.self)
        let lock = HostNode.RangeLock(type: type, start: try request.get(), length: try request.get())
        let process = try request.get(UInt32.self)
        let client = try request.getString()
        guard case .file = fid.use, type < NinePLockStatus.typeMax else { throw FileFailure(EINVAL) }
        let found = try fid.node.conflictingLock(lock)
        reply.put(found.type)
        reply.put(found.start)
        reply.put(found.length)
        reply.put(process)
        reply.put(string: client)
    }
}
