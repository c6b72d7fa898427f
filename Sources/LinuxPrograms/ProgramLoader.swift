// Maps a program and its interpreter into the guest's address space, as the kernel's fs/binfmt_elf.c does.
// Absent: executables with PT_GNU_PROPERTY requirements (no architecture here has any).

import CHost
import Glibc

/// A program in memory.
struct LoadedProgram {
    var entry: UInt64
    /// Where execution starts: the interpreter's entry when there is one.
    var start: UInt64
    /// Address of the program headers in memory, 0 when they are not mapped.
    var headers: UInt64
    var headerCount: UInt64
    /// AT_BASE.
    var interpreterBase: UInt64
    /// First address after the highest segment.
    var end: UInt64
    /// Bounds for /proc/self/stat.
    var codeStart: UInt64, codeEnd: UInt64
    var executableStack: Bool
}

/// Why a program was not loaded.
struct LoadError: Error {
    /// The errno execve(2) would give.
    var errno: Int32
    var reason: String
}

/// Loads programs into one address space.
struct ProgramLoader {
    let space: GuestAddressSpace
    let abi: any LinuxABI
    /// Opens a path of the guest's: a file descriptor or -errno.
    let open: ([UInt8]) -> Int

    private struct Image {
        var bias: UInt64 = 0
        var entry: UInt64 = 0
        var headers: UInt64 = 0
        var end: UInt64 = 0
        var codeStart: UInt64 = .max, codeEnd: UInt64 = 0
    }

    /// Loads the program open at `fd`, and the interpreter it names.
    func load(_ fd: Int32) throws -> LoadedProgram {
        let (header, segments) = try headers(fd, what: "the program")
        let pieBase = abi.pieBase
        var interpreter: Image?
        if let wanted = segments.first(where: { $0.type == ProgramHeader.interpreter }) {
            guard wanted.fileSize > 1, wanted.fileSize <= 4096,
                var path = readAt(fd, wanted.offset, Int(wanted.fileSize)), path.last == 0
            else { throw LoadError(errno: ENOEXEC, reason: "its interpreter's name is damaged") }
            path.removeAll { $0 == 0 }
            let name = String(decoding: path, as: UTF8.self)
            let file = open(path)
            guard file >= 0 else {
                throw LoadError(
                    errno: Int32(-file),
                    reason: "its interpreter \(name) cannot be opened; name the guest's root directory with --root DIR")
            }
            defer { _ = hostCall(.close, file) }
            let (inner, innerSegments) = try headers(Int32(file), what: "the interpreter \(name)", errno: ELIBBAD)
            let main = try map(fd, header, segments, pieBase: pieBase)
            interpreter = try map(Int32(file), inner, innerSegments, pieBase: nil)
            return result(main, header, segments, interpreter)
        }
        let main = try map(fd, header, segments, pieBase: pieBase)
        return result(main, header, segments, nil)
    }

    private func result(_ main: Image, _ header: ELFHeader, _ segments: [ProgramHeader], _ interpreter: Image?) -> LoadedProgram {
        let stack = segments.first { $0.type == ProgramHeader.stack }
        return LoadedProgram(
            entry: main.entry, start: interpreter?.entry ?? main.entry, headers: main.headers,
            headerCount: UInt64(header.headerCount), interpreterBase: interpreter?.bias ?? 0, end: main.end,
            codeStart: main.codeStart, codeEnd: main.codeEnd,
            executableStack: stack.map { $0.flags & 1 != 0 } ?? false)
    }

    private func headers(_ fd: Int32, what: String, errno: Int32 = ENOEXEC) throws -> (ELFHeader, [ProgramHeader]) {
        guard let head = readAt(fd, 0, 64), let header = ELFHeader(head), header.isProgram(of: abi) else {
            throw LoadError(errno: errno, reason: "\(what) is not a \(abi.machine) program")
        }
        guard let segments = header.programHeaders(fd) else {
            throw LoadError(errno: errno, reason: "\(what) is truncated")
        }
        guard segments.contains(where: { $0.type == ProgramHeader.load }) else {
            throw LoadError(errno: errno, reason: "\(what) has nothing to load")
        }
        return (header, segments)
    }

    private func map(_ fd: Int32, _ header: ELFHeader, _ segments: [ProgramHeader], pieBase: UInt64?) throws -> Image {
        let loads = segments.filter { $0.type == ProgramHeader.load && $0.memorySize > 0 }
        guard let first = loads.first else { throw LoadError(errno: ENOEXEC, reason: "it has nothing to load") }
        var low = UInt64.max
        var high: UInt64 = 0
        var alignment = pageSize
        for s in loads {
            let (end, overflow) = s.address.addingReportingOverflow(s.memorySize)
            guard !overflow, end <= abi.addressLimit, s.fileSize <= s.memorySize,
                s.offset <= UInt64(Int64.max) - s.fileSize, (s.address &- s.offset) & (pageSize - 1) == 0
            else { throw LoadError(errno: ENOEXEC, reason: "a segment at 0x\(hex(s.address)) is malformed") }
            low = min(low, pageDown(s.address))
            high = max(high, pageUp(end))
            if s.alignment > alignment, s.alignment & (s.alignment - 1) == 0, s.alignment <= 1 << 30 { alignment = s.alignment }
        }
        let span = high - low
        var image = Image()
        var fixed = true
        if header.type == ELFHeader.shared {
            fixed = false
            var base: UInt64?
            if let pieBase {
                let wanted = (pieBase + alignment - 1) & ~(alignment - 1)
                if space.isHintUsable(wanted, span) { base = wanted }
            }
            guard let place = base ?? space.findFree(span, alignment: alignment) else {
                throw LoadError(errno: ENOMEM, reason: "no room for it")
            }
            image.bias = place &- low
        }
        guard space.isPossible(low &+ image.bias, span) else {
            throw LoadError(errno: ENOMEM, reason: "it wants addresses from 0x\(hex(low)), which the host does not allow")
        }
        if fixed && !space.isFree(low, span) { throw LoadError(errno: ENOMEM, reason: "its addresses are taken") }
        // Reserve the whole span, so that nothing of the host's can be under a fixed program.
        let reserved = hostCall(
            .mmap, Int(low &+ image.bias), Int(span), 0,
            Int(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE) | MapFlag.fixedNoReplace, -1, 0)
        guard reserved == Int(low &+ image.bias) else {
            if reserved > 0 { _ = hostCall(.munmap, reserved, Int(span)) }
            throw LoadError(
                errno: ENOMEM,
                reason: "its addresses 0x\(hex(low)) to 0x\(hex(high)) are taken by the host; this is how guise was linked")
        }
        _ = hostCall(.munmap, reserved, Int(span))
        for s in loads { try map(segment: s, fd, bias: image.bias, image: &image) }
        image.entry = header.entry &+ image.bias
        image.end = loads.map { $0.address &+ $0.memorySize }.max()! &+ image.bias
        if let own = segments.first(where: { $0.type == ProgramHeader.headers }) {
            image.headers = own.address &+ image.bias
        } else if let s = loads.first(where: {
            $0.offset <= header.headerOffset && header.headerOffset < $0.offset &+ $0.fileSize
        }) {
            image.headers = s.address &+ (header.headerOffset - s.offset) &+ image.bias
        }
        _ = first
        return image
    }

    private func map(segment s: ProgramHeader, _ fd: Int32, bias: UInt64, image: inout Image) throws {
        let start = pageDown(s.address) &+ bias
        let fileEnd = s.address &+ s.fileSize &+ bias
        let end = pageUp(s.address &+ s.memorySize &+ bias)
        let filePages = s.fileSize > 0 ? pageUp(fileEnd) : start
        let flags = Int(MAP_PRIVATE | MAP_FIXED)
        if s.fileSize > 0 {
            let r = hostCall(.mmap, Int(start), Int(filePages - start), s.protection.hostValue, flags, Int(fd), Int(pageDown(s.offset)))
            guard r == Int(start) else { throw LoadError(errno: Int32(-r), reason: "a segment cannot be mapped") }
        }
        if end > filePages {
            let r = hostCall(
                .mmap, Int(filePages), Int(end - filePages), s.protection.hostValue, flags | Int(MAP_ANONYMOUS), -1, 0)
            guard r == Int(filePages) else { throw LoadError(errno: Int32(-r), reason: "memory cannot be mapped") }
        }
        if s.memorySize > s.fileSize, fileEnd < filePages, s.protection.contains(.write) {
            // A file that ends before its segment does leaves pages that fault: the write survives that.
            _ = Guest.write([UInt8](repeating: 0, count: Int(filePages - fileEnd)), at: fileEnd)
        }
        space.insert(start, end - start, s.protection)
        if s.protection.contains(.execute) {
            image.codeStart = min(image.codeStart, s.address &+ bias)
            image.codeEnd = max(image.codeEnd, fileEnd)
        }
    }
}

/// mmap(2) flags the Glibc module does not show or types differently.
enum MapFlag {
    static let shared = 1, sharedValidate = 3, typeMask = 0xf
    static let fixed = 0x10, anonymous = 0x20, growsDown = 0x100, noReserve = 0x4000, populate = 0x8000
    static let stack = 0x20000, hugeTLB = 0x40000, fixedNoReplace = 0x100000
    static let bits32 = 0x40
    /// Mappings with `bits32` end here.
    static let bits32End: UInt64 = 0x8000_0000
}

/// A number in hexadecimal without prefix.
func hex(_ value: UInt64) -> String { String(value, radix: 16) }
