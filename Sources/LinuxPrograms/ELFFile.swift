// ELF headers as far as loading a program needs them. Source: System V gABI, chapter "Program Loading".
// Little-endian, 32 and 64 bits. Everything read is hostile input.

import Glibc

/// One program header.
struct ProgramHeader {
    var type: UInt32
    var flags: UInt32
    var offset: UInt64
    var address: UInt64
    var fileSize: UInt64
    var memorySize: UInt64
    var alignment: UInt64

    static let load: UInt32 = 1
    static let interpreter: UInt32 = 3
    static let headers: UInt32 = 6
    static let stack: UInt32 = 0x6474_e551

    var protection: PageProtection {
        var p: PageProtection = []
        if flags & 4 != 0 { p.insert(.read) }
        if flags & 2 != 0 { p.insert(.write) }
        if flags & 1 != 0 { p.insert(.execute) }
        return p
    }
}

/// What the first bytes of a file say about running it.
enum ProgramKind {
    case elf(ELFHeader)
    /// `#!`: interpreter and its one optional argument.
    case script(interpreter: [UInt8], argument: [UInt8]?)
    case other

    /// Bytes the kernel looks at.
    static let headSize = 256

    init(head: [UInt8]) {
        if let header = ELFHeader(head) {
            self = .elf(header)
        } else if head.starts(with: [0x23, 0x21]) {
            self = ProgramKind.script(head)
        } else {
            self = .other
        }
    }

    private static func script(_ head: [UInt8]) -> ProgramKind {
        let blank: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 }
        let ends: (UInt8) -> Bool = { $0 == 0x0a || $0 == 0 }
        var line = head[2...].prefix { !ends($0) }
        let complete = 2 + line.count < head.count
        line = line.drop(while: blank)
        let interpreter = line.prefix { !blank($0) }
        guard !interpreter.isEmpty else { return .other }
        var rest = line.dropFirst(interpreter.count)
        // A name cut off by the end of the buffer must not run something else.
        if rest.isEmpty && !complete && head.count >= headSize { return .other }
        rest = rest.drop(while: blank)
        while let last = rest.last, blank(last) { rest = rest.dropLast() }
        return .script(interpreter: Array(interpreter), argument: rest.isEmpty ? nil : Array(rest))
    }
}

/// The ELF header of an executable or shared object.
struct ELFHeader {
    var type: UInt16
    var machine: UInt16
    var entry: UInt64
    var headerOffset: UInt64
    var headerSize: UInt16
    var headerCount: UInt16
    var is64: Bool
    var isLittleEndian: Bool

    static let executable: UInt16 = 2
    static let shared: UInt16 = 3
    static let hostMachine: UInt16 = 62
    static let i386Machine: UInt16 = 3
    /// Size of a program header of the file's class, 32 or 56 bytes.
    var programHeaderSize: UInt16 { is64 ? 56 : 32 }

    /// Reads the header; nil when the bytes are not an ELF file.
    init?(_ b: [UInt8]) {
        guard b.count >= 20, b[0] == 0x7f, b[1] == 0x45, b[2] == 0x4c, b[3] == 0x46 else { return nil }
        is64 = b[4] == 2
        isLittleEndian = b[5] == 1
        let little = isLittleEndian
        func half(_ at: Int) -> UInt16 {
            guard at + 2 <= b.count else { return 0 }
            return little ? UInt16(b[at]) | UInt16(b[at + 1]) << 8 : UInt16(b[at + 1]) | UInt16(b[at]) << 8
        }
        func word(_ at: Int) -> UInt64 {
            guard at + 8 <= b.count else { return 0 }
            return (0..<8).reduce(0) { $0 | UInt64(b[at + $1]) << UInt64(8 * $1) }
        }
        type = half(16)
        machine = half(18)
        if is64 {
            entry = word(24)
            headerOffset = word(32)
            headerSize = half(54)
            headerCount = half(56)
        } else {
            entry = word(24) & 0xffff_ffff
            headerOffset = word(24) >> 32
            headerSize = half(42)
            headerCount = half(44)
        }
    }

    /// Whether it is a program or interpreter of this architecture in the one supported form.
    func isProgram(of abi: any LinuxABI) -> Bool {
        is64 == (abi.pointerSize == 8) && isLittleEndian && machine == abi.elfMachine
            && (type == ELFHeader.executable || type == ELFHeader.shared) && headerSize == programHeaderSize && headerCount > 0
    }

    /// Reads the program headers from the file; nil when they cannot all be read. The kernel's bound is 64 KB.
    func programHeaders(_ fd: Int32) -> [ProgramHeader]? {
        let size = Int(headerCount) * Int(headerSize)
        guard size > 0, size <= 65536, let b = readAt(fd, headerOffset, size) else { return nil }
        return b.withUnsafeBytes { raw in
            (0..<Int(headerCount)).map { i in
                let p = i * Int(headerSize)
                func at<T: FixedWidthInteger>(_ offset: Int, _: T.Type) -> T { raw.loadUnaligned(fromByteOffset: p + offset, as: T.self) }
                func wide(_ offset: Int) -> UInt64 { UInt64(at(offset, UInt32.self)) }
                guard is64 else {
                    return ProgramHeader(
                        type: at(0, UInt32.self), flags: at(24, UInt32.self), offset: wide(4), address: wide(8),
                        fileSize: wide(16), memorySize: wide(20), alignment: wide(28))
                }
                return ProgramHeader(
                    type: at(0, UInt32.self), flags: at(4, UInt32.self), offset: at(8, UInt64.self),
                    address: at(16, UInt64.self), fileSize: at(32, UInt64.self), memorySize: at(40, UInt64.self),
                    alignment: at(48, UInt64.self))
            }
        }
    }
}

/// Exactly `count` bytes at `offset` of a file, or nil.
func readAt(_ fd: Int32, _ offset: UInt64, _ count: Int, partial: Bool = false) -> [UInt8]? {
    guard offset < UInt64(Int64.max), count >= 0 else { return nil }
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
        let n = bytes.withUnsafeMutableBytes {
            hostCall(.pread64, Int(fd), Int(bitPattern: $0.baseAddress!) + done, count - done, Int(offset) &+ done)
        }
        if n == failure(EINTR) { continue }
        if n <= 0 { break }
        done += n
    }
    if done < count {
        guard partial else { return nil }
        bytes.removeLast(count - done)
    }
    return bytes
}
