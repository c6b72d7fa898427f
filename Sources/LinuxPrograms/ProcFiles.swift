// The guest's view of /proc where the host's would show the emulator. Files are recognised after opening, by the name
// the kernel gives them, so that every way of naming them works (self, thread-self, task/T, a directory descriptor).
// Other guests' processes still show the emulator's maps and exe. Layouts: proc(5).

import CHost
import Glibc

/// Identity of the emulator's own executable.
var ownExecutableIdentity: (device: UInt64, inode: UInt64) = {
    var status = FileStatus()
    let r = withUnsafeMutablePointer(to: &status) { pointer in
        "/proc/self/exe".withCString {
            hostCall(.fstatat, Int(currentDirectory), Int(bitPattern: $0), Int(bitPattern: pointer), 0)
        }
    }
    return r == 0 ? (status.device, status.inode) : (0, 0)
}()

/// Path of the emulator's own executable.
let ownExecutablePath: String = readLink("/proc/self/exe") ?? ""

extension GuestThread {
    /// Whether a status is that of the emulator's executable.
    func isOwnExecutable(device: UInt64, inode: UInt64) -> Bool {
        (device, inode) == ownExecutableIdentity && inode != 0
    }

    /// Whether the guest's path argument ends with a name.
    func pathEnds(_ address: UInt64, with name: String) -> Bool {
        guard case .text(let bytes) = Guest.string(address) else { return false }
        return bytes.suffix(name.utf8.count).elementsEqual(name.utf8)
    }

    /// Replaces a freshly opened descriptor when it is a /proc file that has to show the guest.
    func substitute(_ fd: Int, directory: UInt64, path address: UInt64, flags: Int32) -> Int {
        guard case .text(let path) = Guest.string(address) else { return fd }
        // Only these can reach /proc: its own names, relative names, and links named "exe".
        guard path.first != 0x2f || path.starts(with: "/proc/".utf8) || path.starts(with: "/dev/fd/".utf8) else { return fd }
        if path.first != 0x2f, Int32(truncatingIfNeeded: directory) == currentDirectory, !path.contains(0x2f) || path.count < 3 {
            // Usual files in the current directory: one cheap question decides.
            guard isProcFile(fd) || path.suffix(3).elementsEqual("exe".utf8) else { return fd }
        }
        guard let name = readLink("/proc/self/fd/\(fd)") else { return fd }
        if name == ownExecutablePath, path.suffix(3).elementsEqual("exe".utf8) {
            let new = process.hostExecutablePath.withCString {
                hostCall(.openat, Int(currentDirectory), Int(bitPattern: $0), Int(flags & ~O_NOFOLLOW))
            }
            return replace(fd, by: new, flags: flags)
        }
        guard name.hasPrefix("/proc/"), isProcFile(fd) else { return fd }
        guard let content = procContent(name) else { return fd }
        let memory = "guise-proc".withCString { hostCall(.memfd_create, Int(bitPattern: $0), 1) }
        guard memory >= 0 else { return fd }
        content.withUnsafeBytes { _ = hostCall(.write, memory, Int(bitPattern: $0.baseAddress ?? UnsafeRawPointer(bitPattern: 8)!), $0.count) }
        _ = hostCall(.lseek, memory, 0, 0)
        return replace(fd, by: memory, flags: flags)
    }

    private func replace(_ fd: Int, by new: Int, flags: Int32) -> Int {
        guard new >= 0 else {
            _ = hostCall(.close, fd)
            return new
        }
        guard new != fd else { return fd }
        let r = hostCall(.dup3, new, fd, Int(flags & O_CLOEXEC))
        _ = hostCall(.close, new)
        return r
    }

    private func isProcFile(_ fd: Int) -> Bool {
        var status = [UInt64](repeating: 0, count: 16)
        let procMagic: UInt64 = 0x9fa0
        let r = status.withUnsafeMutableBytes { hostCall(.fstatfs, fd, Int(bitPattern: $0.baseAddress!)) }
        return r == 0 && status[0] == procMagic
    }

    /// The text of a link as the guest should see it.
    func guestLink(_ text: [UInt8], pathAddress: UInt64, directory: UInt64) -> [UInt8] {
        if text.elementsEqual(ownExecutablePath.utf8), pathEnds(pathAddress, with: "exe") { return Array(process.executablePath.utf8) }
        guard process.paths.isTranslating else { return text }
        guard case .text(let path) = Guest.string(pathAddress) else { return text }
        // Magic links show host paths; ordinary links inside the root hold guest paths already.
        if path.starts(with: "/proc/".utf8) || path.starts(with: "/dev/fd/".utf8) { return process.paths.guestName(text) }
        return text
    }

    /// What a /proc file of this process holds for the guest; nil: the host's own.
    private func procContent(_ name: String) -> [UInt8]? {
        if name == "/proc/cpuinfo" {
            var set = [UInt64](repeating: 0, count: 16)
            let n = set.withUnsafeMutableBytes { hostCall(.sched_getaffinity, 0, $0.count, Int(bitPattern: $0.baseAddress!)) }
            let count = n > 0 ? set.reduce(0) { $0 + $1.nonzeroBitCount } : 1
            return Array(abi.processorDescription(count: max(count, 1)).utf8)
        }
        var parts = name.split(separator: "/").dropFirst()
        guard let first = parts.popFirst(), Int(first) == hostCall(.getpid) else { return nil }
        if parts.first == "task" { parts = parts.dropFirst(2) }
        guard parts.count == 1, let file = parts.first else { return nil }
        switch file {
        case "maps": return Array(mapsText().utf8)
        case "smaps": return Array(smapsText().utf8)
        case "auxv": return process.initialStack.auxiliary
        case "cmdline": return stackBytes(process.initialStack.arguments)
        case "environ": return stackBytes(process.initialStack.environment)
        case "stat": return statText(name).map { Array($0.utf8) }
        default: return nil
        }
    }

    private func stackBytes(_ range: Range<UInt64>) -> [UInt8] {
        Guest.bytes(range.lowerBound, range.count) ?? []
    }

    /// /proc/self/stat with the guest's code and stack addresses.
    private func statText(_ name: String) -> String? {
        guard let host = readFile(name), let text = String(validating: host, as: UTF8.self), let end = text.lastIndex(of: ")") else { return nil }
        var fields = text[text.index(after: end)...].split(separator: " ").map { $0.trimmingNewline() }
        // Field numbers of proc(5); the first after the name is 3.
        func set(_ number: Int, _ value: UInt64) {
            if fields.indices.contains(number - 3) { fields[number - 3] = String(value) }
        }
        let s = process.initialStack
        set(26, process.codeStart)
        set(27, process.codeEnd)
        set(28, s.stackPointer)
        set(29, abi.stackPointer(registers))
        set(30, abi.programCounter(registers))
        set(47, process.space.heapWindow.lowerBound)
        set(48, s.arguments.lowerBound)
        set(49, s.arguments.upperBound)
        set(50, s.environment.lowerBound)
        set(51, s.environment.upperBound)
        return text[...end] + " " + fields.joined(separator: " ") + "\n"
    }

    // MARK: maps

    /// The host's lines for guest addresses, cut where the guest's protection or name differs.
    private func mapsText() -> String {
        rewriteMaps(readFile("/proc/self/maps") ?? [], detailed: false)
    }

    private func smapsText() -> String {
        rewriteMaps(readFile("/proc/self/smaps") ?? [], detailed: true)
    }

    private func rewriteMaps(_ host: [UInt8], detailed: Bool) -> String {
        let space = process.space
        var result = ""
        var show = false
        for line in String(decoding: host, as: UTF8.self).split(separator: "\n") {
            guard let entry = MapLine(line) else {
                if show { result += line + "\n" }
                continue
            }
            show = entry.start < space.limit
            guard show else {
                if !detailed { break }
                continue
            }
            let pieces = space.lock.withLock { space.slice(entry.start, entry.end - entry.start) }
            // Details cannot be divided between pieces: such entries keep the first piece's protection.
            for piece in detailed ? Array(pieces.prefix(1)) : pieces {
                result += entry.text(
                    piece: piece, whole: detailed, root: process.paths) + "\n"
            }
        }
        return result
    }
}

private extension Substring {
    func trimmingNewline() -> String { String(self.last == "\n" ? self.dropLast() : self) }
}

/// One line of /proc/PID/maps.
private struct MapLine {
    var start: UInt64, end: UInt64
    var flags: String
    var offset: UInt64
    var device: Substring, inode: Substring
    var name: String

    init?(_ line: Substring) {
        let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
        guard fields.count >= 5 else { return nil }
        let range = fields[0].split(separator: "-")
        guard range.count == 2, let start = UInt64(range[0], radix: 16), let end = UInt64(range[1], radix: 16),
            let offset = UInt64(fields[2], radix: 16)
        else { return nil }
        (self.start, self.end, self.offset) = (start, end, offset)
        flags = String(fields[1])
        (device, inode) = (fields[3], fields[4])
        name = fields.count > 5 ? String(fields[5].drop { $0 == " " }) : ""
    }

    func text(piece: GuestRegion, whole: Bool, root: GuestPaths) -> String {
        let from = whole ? start : max(start, piece.start), to = whole ? end : min(end, piece.end)
        let p = piece.protection
        let bits = (p.contains(.read) ? "r" : "-") + (p.contains(.write) ? "w" : "-") + (p.contains(.execute) ? "x" : "-")
            + String(flags.last ?? "p")
        var label = name
        switch piece.kind {
        case .heap: label = "[heap]"
        case .stack: label = "[stack]"
        case .trampoline: label = "[vdso]"
        case .plain, .shared: if label.hasPrefix("/") { label = String(decoding: root.guestName(Array(label.utf8)), as: UTF8.self) }
        }
        let at = inode == "0" ? offset : offset + (from - start)
        let head = "\(pad(from, 8))-\(pad(to, 8)) \(bits) \(pad(at, 8)) \(device) \(inode) "
        guard !label.isEmpty else { return head }
        return head + String(repeating: " ", count: max(73 - head.utf8.count, 1)) + label
    }

    private func pad(_ value: UInt64, _ width: Int) -> String {
        let digits = hex(value)
        return String(repeating: "0", count: max(width - digits.count, 0)) + digits
    }
}
