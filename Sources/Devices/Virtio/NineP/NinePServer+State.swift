// Saving and restoring a session: fids are saved by their place in the tree and looked up again.

import SavedState

extension NinePServer {
    private enum Kind: UInt8 {
        case path = 0, file = 1, directory = 2, attributeValue = 3, newAttribute = 4, stale = 5
    }

    private static let depthMax = 4096

    func save(to writer: inout StateWriter) {
        writer.section("9p-session", version: 1) { writer in
            writer.put(isOpen)
            writer.put(UInt32(messageBytes))
            writer.put(each: fids.sorted { $0.key < $1.key }) { writer, entry in
                writer.put(entry.key)
                save(entry.value, to: &writer)
            }
        }
    }

    private func save(_ fid: NinePFid, to writer: inout StateWriter) {
        let path = try? tree.path(of: fid.node)
        var kind = Kind.stale
        if path != nil {
            switch fid.use {
            case .path: kind = .path
            case .file: kind = .file
            case .directory: kind = .directory
            case .attributeValue: kind = .attributeValue
            case .newAttribute: kind = .newAttribute
            case .stale: kind = .stale
            }
        }
        writer.put(kind.rawValue)
        writer.put(each: path ?? []) { $0.put(bytes: $1.bytes) }
        if kind == .stale { return }
        switch fid.use {
        case .path, .directory, .stale: break
        case .file(let flags): writer.put(flags)
        case .attributeValue(let value): writer.put(bytes: value)
        case .newAttribute(let name, let size, let flags, let value):
            writer.put(bytes: name)
            writer.put(UInt32(size))
            writer.put(flags)
            writer.put(bytes: value)
        }
    }

    func restore(from reader: inout StateReader) throws {
        try reader.section("9p-session", newest: 1) { reader, _ in
            reset()
            isOpen = try reader.getBool()
            messageBytes = Int(try reader.get(UInt32.self))
            guard (NinePLimit.messageBytesMin...NinePLimit.messageBytesMax).contains(messageBytes) else {
                throw StateError.invalid(section: reader.sectionName, reason: "messages of \(messageBytes) bytes")
            }
            _ = try reader.getEach(limit: Self.fidsMax) { reader in
                let number = try reader.get(UInt32.self)
                fids[number] = try restoreFid(from: &reader)
            }
        }
    }

    private func restoreFid(from reader: inout StateReader) throws -> NinePFid {
        guard let kind = Kind(rawValue: try reader.get()) else {
            throw StateError.invalid(section: reader.sectionName, reason: "a fid of an unknown kind")
        }
        let names = try reader.getEach(limit: Self.depthMax) { try $0.getBytes() }
        var use = NinePFid.Use.stale
        switch kind {
        case .path: use = .path
        case .file: use = .file(flags: try reader.get())
        case .directory: use = .directory
        case .attributeValue: use = .attributeValue(try reader.getBytes())
        case .newAttribute:
            let name = try reader.getBytes()
            let size = try reader.get(UInt32.self)
            let flags = try reader.get(UInt32.self)
            let value = try reader.getBytes()
            guard size <= HostNode.extendedAttributeBytesMax, value.count <= size else {
                throw StateError.invalid(section: reader.sectionName, reason: "an attribute of \(size) bytes")
            }
            use = .newAttribute(name: name, size: Int(size), flags: flags, value: value)
        case .stale: break
        }
        // A file that is gone, or cannot be opened as it was, is the guest's to notice: ESTALE.
        guard let node = try? reopen(names, use) else { return NinePFid(tree.root, .stale) }
        return NinePFid(node, use)
    }

    private func reopen(_ names: [[UInt8]], _ use: NinePFid.Use) throws(FileFailure) -> HostNode {
        var path: [FileName] = []
        for name in names { path.append(try FileName(name)) }
        let node = try tree.node(at: path)
        switch use {
        case .file(let flags):
            let reopened = flags & NinePOpen.honoured & ~(NinePOpen.truncate | NinePOpen.exclusive)
            if reopened & NinePOpen.accessMask != NinePOpen.readOnly { try requireWritable() }
            return try node.open(flags: Int32(reopened))
        case .directory: return try node.open(flags: Int32(NinePOpen.readOnly))
        default: return node
        }
    }
}
