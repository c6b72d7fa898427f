// Attributes. 9P2000.L: Tgetattr, Tsetattr, Tstatfs, Txattrwalk, Txattrcreate.

import Glibc

extension NinePServer {
    func getattr(_ request: inout NinePReader, _ reply: inout NinePWriter) throws(FileFailure) {
        let attributes = try node(&request).attributes()
        _ = try request.get(UInt64.self)  // the attributes asked for: all basic ones cost the same
        reply.put(NinePGetattr.basic)
        reply.put(qid(attributes))
        reply.put(UInt32(attributes.st_mode))
        reply.put(UInt32(attributes.st_uid))
        reply.put(UInt32(attributes.st_gid))
        reply.put(UInt64(attributes.st_nlink))
        reply.put(UInt64(attributes.st_rdev))
        reply.put(UInt64(bitPattern: Int64(attributes.st_size)))
        reply.put(UInt64(bitPattern: Int64(attributes.st_blksize)))
        reply.put(UInt64(bitPattern: Int64(attributes.st_blocks)))
        for time in [attributes.st_atim, attributes.st_mtim, attributes.st_ctim] {
            reply.put(UInt64(bitPattern: Int64(time.tv_sec)))
            reply.put(UInt64(bitPattern: Int64(time.tv_nsec)))
        }
        // Birth time, generation and data version are not among the valid bits.
        for _ in 0..<4 { reply.put(UInt64(0)) }
    }

    func setattr(_ request: inout NinePReader) throws(FileFailure) {
        let node = try node(&request)
        let valid = try request.get(UInt32.self)
        let mode = try request.get(UInt32.self)
        let uid = try request.get(UInt32.self)
        let gid = try request.get(UInt32.self)
        let size = try request.get(UInt64.self)
        let access = (seconds: try request.get(UInt64.self), nanoseconds: try request.get(UInt64.self))
        let modification = (seconds: try request.get(UInt64.self), nanoseconds: try request.get(UInt64.self))
        try requireWritable()
        if valid & NinePSetattr.size != 0 { try node.setSize(size) }
        let user = valid & NinePSetattr.uid != 0 && uid != NinePLimit.noID ? uid : nil
        let group = valid & NinePSetattr.gid != 0 && gid != NinePLimit.noID ? gid : nil
        if user != nil || group != nil { try node.setOwner(user, group) }
        // After the owner: changing that clears set-ID bits.
        if valid & NinePSetattr.mode != 0 { try node.setMode(permissions(mode)) }
        if valid & (NinePSetattr.atime | NinePSetattr.mtime) != 0 {
            try node.setTimes(
                access: Self.time(valid, NinePSetattr.atime, NinePSetattr.atimeSet, access.seconds, access.nanoseconds),
                modification: Self.time(valid, NinePSetattr.mtime, NinePSetattr.mtimeSet, modification.seconds,
                                        modification.nanoseconds))
        }
    }

    private static func time(_ valid: UInt32, _ wanted: UInt32, _ given: UInt32, _ seconds: UInt64,
                             _ nanoseconds: UInt64) -> HostNode.Time {
        if valid & wanted == 0 { return .keep }
        return valid & given != 0 ? .at(seconds: seconds, nanoseconds: nanoseconds) : .now
    }

    func statfs(_ request: inout NinePReader, _ reply: inout NinePWriter) throws(FileFailure) {
        let info = try node(&request).fileSystem()
        reply.put(info.type)
        reply.put(info.bsize)
        for count in [info.blocks, info.bfree, info.bavail, info.files, info.ffree, info.fsid] { reply.put(UInt64(count)) }
        reply.put(info.namelen)
    }

    func xattrwalk(_ request: inout NinePReader, _ reply: inout NinePWriter) throws(FileFailure) {
        let node = try node(&request)
        let newNumber = try request.get(UInt32.self)
        let name = try request.getString()
        let value = name.isEmpty ? try node.extendedAttributeNames() : try node.extendedAttribute(name)
        try add(newNumber, NinePFid(node, .attributeValue(value)))
        reply.put(UInt64(value.count))
    }

    func xattrcreate(_ request: inout NinePReader) throws(FileFailure) {
        let fid = try fid(&request)
        let name = try request.getString()
        let size = try request.get(UInt64.self)
        let flags = try request.get(UInt32.self)
        guard case .path = fid.use else { throw FileFailure(EBUSY) }
        guard size <= HostNode.extendedAttributeBytesMax else { throw FileFailure(E2BIG) }
        try requireWritable()
        try requireRoomForAttribute()
        fid.use = .newAttribute(name: name, size: Int(size), flags: flags, value: [])
    }
}
