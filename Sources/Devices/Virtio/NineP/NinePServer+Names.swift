// Making, renaming and removing names. 9P: remove(5); 9P2000.L: Tsymlink, Tmknod, Tmkdir, Tlink, Treadlink, Trename,
// Trenameat, Tunlinkat.

import Glibc

extension NinePServer {
    func symlink(_ request: inout NinePReader, _ reply: inout NinePWriter) throws(FileFailure) {
        let directory = try node(&request)
        let name = try request.getName()
        let target = try request.getString()
        try requireWritable()
        try directory.makeSymbolicLink(name, target: target)
        reply.put(try qid(try directory.child(name)))
    }

    func mknod(_ request: inout NinePReader, _ reply: inout NinePWriter) throws(FileFailure) {
        let directory = try node(&request)
        let name = try request.getName()
        let mode = try request.get(UInt32.self)
        try requireWritable()
        try directory.makeNode(name, mode: mode_t(mode) & S_IFMT | permissions(mode))
        reply.put(try qid(try directory.child(name)))
    }

    func mkdir(_ request: inout NinePReader, _ reply: inout NinePWriter) throws(FileFailure) {
        let directory = try node(&request)
        let name = try request.getName()
        let mode = permissions(try request.get())
        try requireWritable()
        try directory.makeDirectory(name, mode: mode)
        reply.put(try qid(try directory.child(name)))
    }

    func link(_ request: inout NinePReader) throws(FileFailure) {
        let directory = try node(&request)
        let target = try node(&request)
        let name = try request.getName()
        try requireWritable()
        try directory.makeLink(to: target, name)
    }

    func readlink(_ request: inout NinePReader, _ reply: inout NinePWriter) throws(FileFailure) {
        let node = try node(&request)
        guard try node.type() == S_IFLNK else { throw FileFailure(EINVAL) }
        reply.put(string: try node.linkTarget())
    }

    func rename(_ request: inout NinePReader) throws(FileFailure) {
        let node = try node(&request)
        let directory = try self.node(&request)
        let name = try request.getName()
        try requireWritable()
        let place = try tree.place(of: node)
        try place.directory.rename(place.name, to: directory, name)
    }

    func renameat(_ request: inout NinePReader) throws(FileFailure) {
        let directory = try node(&request)
        let name = try request.getName()
        let newDirectory = try node(&request)
        let newName = try request.getName()
        try requireWritable()
        try directory.rename(name, to: newDirectory, newName)
    }

    func unlinkat(_ request: inout NinePReader) throws(FileFailure) {
        let directory = try node(&request)
        let name = try request.getName()
        let flags = try request.get(UInt32.self)
        guard flags & ~NinePUnlink.removeDirectory == 0 else { throw FileFailure(EINVAL) }
        try requireWritable()
        try directory.remove(name, directory: flags & NinePUnlink.removeDirectory != 0)
    }

    /// Removes a file by fid; the fid is gone whether that worked or not (remove(5)).
    func remove(_ request: inout NinePReader) throws(FileFailure) {
        guard let fid = fids.removeValue(forKey: try request.get()) else { throw FileFailure(EBADF) }
        if case .stale = fid.use { throw FileFailure(ESTALE) }
        try requireWritable()
        let place = try tree.place(of: fid.node)
        try place.directory.remove(place.name, directory: try fid.node.type() == S_IFDIR)
    }
}
