// A 9P2000.L client in miniature.

import Foundation
@testable import Devices

func string(_ text: String) -> [UInt8] { string(Array(text.utf8)) }
func string(_ bytes: [UInt8]) -> [UInt8] { little(UInt16(bytes.count)) + bytes }

final class NinePClient {
    let server: NinePServer
    var room = 1 << 20
    init(_ server: NinePServer) { self.server = server }

    /// Sends a request; returns the reply's type and body.
    func send(_ type: UInt8, _ body: [UInt8]) -> (type: UInt8, body: [UInt8]) {
        let request = little(UInt32(7 + body.count)) + [type] + little(UInt16(77)) + body
        let reply = server.answer(request, replyBytesMax: room)
        guard reply.count >= 7, reply[5] == 77, reply[6] == 0 else { return (0, reply) }
        precondition(reply.prefix(4).elementsEqual(little(UInt32(reply.count))), "a reply states its size")
        return (reply[4], Array(reply.dropFirst(7)))
    }

    /// Sends a request that must succeed; nil and an errno otherwise.
    func call(_ type: UInt8, _ body: [UInt8]...) -> Result<[UInt8], FileFailure> {
        let reply = send(type, body.flatMap { $0 })
        if reply.type == type + 1 { return .success(reply.body) }
        return .failure(FileFailure(reply.body.count >= 4 ? Int32(reply.body[0]) | Int32(reply.body[1]) << 8 : -1))
    }

    func errno(_ type: UInt8, _ body: [UInt8]...) -> Int32 {
        switch call(type, body.flatMap { $0 }) {
        case .success: 0
        case .failure(let failure): failure.code
        }
    }

    @discardableResult
    func begin(msize: UInt32 = 65536, fid: UInt32 = 0) -> Bool {
        guard case .success = call(100, little(msize), string("9P2000.L")) else { return false }
        return errno(104, little(fid), little(UInt32.max), string("root"), string(""), little(UInt32(0))) == 0
    }

    /// Walks; returns the errno, or -2 when the walk ended early.
    func walk(_ fid: UInt32, _ newFid: UInt32, _ names: [String]) -> Int32 {
        walk(fid, newFid, names.map { Array($0.utf8) })
    }

    func walk(_ fid: UInt32, _ newFid: UInt32, _ names: [[UInt8]]) -> Int32 {
        switch call(110, little(fid), little(newFid), little(UInt16(names.count)), names.flatMap { string($0) }) {
        case .success(let body): Int(body[0]) == names.count ? 0 : -2
        case .failure(let failure): failure.code
        }
    }

    func open(_ fid: UInt32, _ flags: UInt32 = 0) -> Int32 { errno(12, little(fid), little(flags)) }
    func create(_ fid: UInt32, _ name: String, _ flags: UInt32 = 0o102, mode: UInt32 = 0o644) -> Int32 {
        errno(14, little(fid), string(name), little(flags), little(mode), little(UInt32(0)))
    }
    func clunk(_ fid: UInt32) -> Int32 { errno(120, little(fid)) }

    func read(_ fid: UInt32, _ offset: UInt64 = 0, _ count: UInt32 = 4096) -> [UInt8]? {
        guard case .success(let body) = call(116, little(fid), little(offset), little(count)) else { return nil }
        return Array(body.dropFirst(4))
    }

    func write(_ fid: UInt32, _ bytes: [UInt8], at offset: UInt64 = 0) -> UInt32? {
        guard case .success(let body) = call(118, little(fid), little(offset), little(UInt32(bytes.count)), bytes) else { return nil }
        return body.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
    }

    /// Mode, size and file number.
    func attributes(_ fid: UInt32) -> (mode: UInt32, size: UInt64, number: UInt64)? {
        guard case .success(let body) = call(24, little(fid), little(UInt64(0x7ff))), body.count == 153 else { return nil }
        return body.withUnsafeBytes {
            ($0.loadUnaligned(fromByteOffset: 21, as: UInt32.self), $0.loadUnaligned(fromByteOffset: 49, as: UInt64.self),
             $0.loadUnaligned(fromByteOffset: 13, as: UInt64.self))
        }
    }

    func setattr(_ fid: UInt32, valid: UInt32, mode: UInt32 = 0, uid: UInt32 = 0, size: UInt64 = 0, mtime: UInt64 = 0) -> Int32 {
        errno(26, little(fid), little(valid), little(mode), little(uid), little(uid), little(size), little(UInt64(5)),
              little(UInt64(6)), little(mtime), little(UInt64(7)))
    }

    /// Every name in an opened directory.
    func list(_ fid: UInt32, count: UInt32 = 4096) -> [String: UInt64]? {
        var names: [String: UInt64] = [:]
        var offset: UInt64 = 0
        for _ in 0..<10_000 {
            guard case .success(let body) = call(40, little(fid), little(offset), little(count)) else { return nil }
            var at = 4
            if body.count == 4 { return names }
            while at < body.count {
                let length = Int(body[at + 22]) | Int(body[at + 23]) << 8
                body.withUnsafeBytes {
                    offset = $0.loadUnaligned(fromByteOffset: at + 13, as: UInt64.self)
                    names[String(decoding: body[(at + 24)..<(at + 24 + length)], as: UTF8.self)] =
                        $0.loadUnaligned(fromByteOffset: at + 5, as: UInt64.self)
                }
                at += 24 + length
            }
        }
        return nil
    }
}
