// 32-bit system calls whose arguments differ from the host's only in the width of structures' fields: a row names the
// shared call and gives one letter per argument. Everything else has a function in this folder.
// Source: the kernel's compat layer (kernel/compat.c, fs/compat.c, include/linux/compat.h).

import Glibc

/// Letters of a row, one for each argument:
///
///     d  as it is (unsigned; what is an int is cut by the callee)    s  a long, sign-extended
///     o  64 bits in two arguments, low first                         0  zero, for an argument the guest does not have
///     v  an iovec with its count                                     l  a struct rlimit, read
///     q  a 64-bit timespec, read; its nanoseconds have 32 bits       Q  the same, written back
///     y  two of them, read
///
/// Structures of longs are their number (1…9, A = 10, B = 11, …) and what happens: `2<` is read, `2=` read and written
/// back, `2>` written on success, `2+` when the result is positive, `2!` when the call was interrupted.
struct CompatRow {
    let call: SystemCall
    let form: StaticString

    init(_ call: SystemCall, _ form: StaticString) {
        self.call = call
        self.form = form
    }
}

/// Host forms of one call's structures, in memory that lives until the call is over.
struct CompatArena {
    private let base: UnsafeMutableRawPointer
    private let capacity: Int
    private var used = 0
    /// What has to be written back: guest address, host form, number of longs, condition.
    private var results: [(address: UInt64, host: UnsafeMutableRawPointer, longs: Int, when: When)] = []
    /// The same for structures that have one form: bytes.
    private var plainResults: [(address: UInt64, host: UnsafeMutableRawPointer, bytes: Int)] = []

    /// When a structure is written.
    enum When { case success, positive, interrupted, always }

    /// Bytes that hold the structures of any call, two iovecs of the greatest length among them.
    static let size = 2 * 1024 * 16 + 1024

    init(_ memory: UnsafeMutableRawBufferPointer) {
        base = memory.baseAddress!
        capacity = memory.count
    }

    /// Memory for one structure; zero-filled.
    mutating func allocate(_ bytes: Int) -> UnsafeMutableRawPointer {
        precondition(used + bytes <= capacity, "a system call has more structures than a row can name")
        let at = base + used
        used += (bytes + 15) & ~15
        memset(at, 0, bytes)
        return at
    }

    /// A structure of so many longs read from the guest, sign-extended; nil on a fault.
    mutating func read(_ address: UInt64, longs: Int) -> UnsafeMutableRawPointer? {
        guard let bytes = Guest.bytes(address, longs * 4) else { return nil }
        let host = allocate(longs * 8)
        bytes.withUnsafeBytes { p in
            for i in 0..<longs {
                host.storeBytes(of: Int64(p.loadUnaligned(fromByteOffset: 4 * i, as: Int32.self)), toByteOffset: 8 * i, as: Int64.self)
            }
        }
        return host
    }

    /// Notes that a host form has to be written to the guest when the call is over.
    mutating func write(_ host: UnsafeMutableRawPointer, to address: UInt64, longs: Int, when: When) {
        results.append((address, host, longs, when))
    }

    /// The same for bytes that are written always.
    mutating func write(_ host: UnsafeMutableRawPointer, to address: UInt64, bytes: Int) {
        plainResults.append((address, host, bytes))
    }

    /// Writes results back; the call's result, or EFAULT.
    func finish(_ result: Int) -> Int {
        guard result != restartCall else { return result }
        for r in plainResults { _ = Guest.write(UnsafeRawBufferPointer(start: r.host, count: r.bytes), at: r.address) }
        for r in results {
            switch r.when {
            case .success where result < 0: continue
            case .positive where result <= 0: continue
            case .interrupted where result != failure(EINTR): continue
            default: break
            }
            var bytes = ByteBuilder(capacity: r.longs * 4)
            for i in 0..<r.longs { bytes.add(UInt32(truncatingIfNeeded: r.host.load(fromByteOffset: 8 * i, as: UInt64.self))) }
            // A remaining time that cannot be written is the kernel's loss too; other results are EFAULT.
            if !Guest.write(bytes.bytes, at: r.address), r.when == .success || r.when == .positive { return failure(EFAULT) }
        }
        return result
    }
}

extension GuestThread {
    /// Performs a call by its row.
    func performRow(_ row: CompatRow, _ a: CallArguments) -> CallResult {
        withUnsafeTemporaryAllocation(byteCount: CompatArena.size, alignment: 16) { memory in
            var arena = CompatArena(memory)
            var host: (Int, CallArguments) = (0, CallArguments())
            func push(_ value: UInt64) {
                host.1[host.0] = value
                host.0 += 1
            }
            func push(_ pointer: UnsafeMutableRawPointer) { push(UInt64(UInt(bitPattern: pointer))) }
            var next = 0
            let text = UnsafeBufferPointer(start: row.form.utf8Start, count: row.form.utf8CodeUnitCount)
            var i = 0
            while i < text.count, host.0 < 6 {
                let letter = text[i]
                i += 1
                if letter == UInt8(ascii: "0") {
                    push(0)
                    continue
                }
                let value = a[next]
                next += 1
                switch letter {
                case UInt8(ascii: "s"): push(UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: value))))
                case UInt8(ascii: "o"):
                    push(value | a[next] << 32)
                    next += 1
                case UInt8(ascii: "v"):
                    let count = a[next]
                    next += 1
                    var iovec: UnsafeMutableRawPointer?
                    let error = readVector(value, count, &arena, &iovec)
                    guard error == 0 else { return .value(error) }
                    if let iovec { push(iovec) } else { push(0) }
                    push(UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: count))))
                case UInt8(ascii: "q"), UInt8(ascii: "Q"), UInt8(ascii: "y"):
                    guard value != 0 else {
                        push(0)
                        continue
                    }
                    let pairs = letter == UInt8(ascii: "y") ? 2 : 1
                    guard let p = readTimes64(value, pairs, &arena) else { return .value(failure(EFAULT)) }
                    if letter == UInt8(ascii: "Q") { arena.write(p, to: value, bytes: 16) }
                    push(p)
                case UInt8(ascii: "l"):
                    guard value != 0 else {
                        push(0)
                        continue
                    }
                    guard let p = arena.read(value, longs: 2) else { return .value(failure(EFAULT)) }
                    for j in 0..<2 {
                        let limit = p.load(fromByteOffset: 8 * j, as: UInt64.self)
                        p.storeBytes(of: limit == .max ? limit : limit & 0xffff_ffff, toByteOffset: 8 * j, as: UInt64.self)
                    }
                    push(p)
                case UInt8(ascii: "1")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "P"):
                    let longs = Int(letter < UInt8(ascii: "A") ? letter - UInt8(ascii: "0") : letter - UInt8(ascii: "A") + 10)
                    let direction = i < text.count ? text[i] : 0
                    i += 1
                    guard value != 0 else {
                        push(0)
                        continue
                    }
                    let reads = direction == UInt8(ascii: "<") || direction == UInt8(ascii: "=")
                    let p: UnsafeMutableRawPointer
                    if reads {
                        guard let read = arena.read(value, longs: longs) else { return .value(failure(EFAULT)) }
                        p = read
                    } else {
                        p = arena.allocate(longs * 8)
                    }
                    switch direction {
                    case UInt8(ascii: ">"): arena.write(p, to: value, longs: longs, when: .success)
                    case UInt8(ascii: "="): arena.write(p, to: value, longs: longs, when: .always)
                    case UInt8(ascii: "+"): arena.write(p, to: value, longs: longs, when: .positive)
                    case UInt8(ascii: "!"): arena.write(p, to: value, longs: longs, when: .interrupted)
                    default: break
                    }
                    push(p)
                default: push(value)
                }
            }
            guard case .value(let result) = perform(row.call, host.1) else { return .registersReplaced }
            return .value(arena.finish(result))
        }
    }

    /// struct iovec of 32-bit programs: 0, or an errno. A count of 0 gives nil.
    func readVector(
        _ address: UInt64, _ count: UInt64, _ arena: inout CompatArena, _ result: inout UnsafeMutableRawPointer?
    ) -> Int {
        let countMax: UInt64 = 1024
        result = nil
        guard count <= countMax else { return failure(EINVAL) }
        guard count > 0 else { return 0 }
        guard let bytes = Guest.bytes(address, Int(count) * 8) else { return failure(EFAULT) }
        let host = arena.allocate(Int(count) * 16)
        for i in 0..<Int(count) {
            let (base, length) = bytes.withUnsafeBytes { p in
                (p.loadUnaligned(fromByteOffset: 8 * i, as: UInt32.self), p.loadUnaligned(fromByteOffset: 8 * i + 4, as: UInt32.self))
            }
            guard length <= UInt32(Int32.max) else { return failure(EINVAL) }
            host.storeBytes(of: UInt64(base), toByteOffset: 16 * i, as: UInt64.self)
            host.storeBytes(of: UInt64(length), toByteOffset: 16 * i + 8, as: UInt64.self)
        }
        result = host
        return 0
    }

    /// 64-bit timespecs, whose nanoseconds 32-bit programs may follow with garbage.
    private func readTimes64(_ address: UInt64, _ count: Int, _ arena: inout CompatArena) -> UnsafeMutableRawPointer? {
        guard let bytes = Guest.bytes(address, count * 16) else { return nil }
        let host = arena.allocate(count * 16)
        bytes.withUnsafeBytes { _ = memcpy(host, $0.baseAddress!, $0.count) }
        for i in 0..<count { host.storeBytes(of: 0, toByteOffset: 16 * i + 12, as: UInt32.self) }
        return host
    }
}

extension CallArguments {
    /// An argument by position, for building them one by one; positions above 5 are lost.
    subscript(index: Int) -> UInt64 {
        get {
            switch index {
            case 0: a0
            case 1: a1
            case 2: a2
            case 3: a3
            case 4: a4
            case 5: a5
            default: 0
            }
        }
        set {
            switch index {
            case 0: a0 = newValue
            case 1: a1 = newValue
            case 2: a2 = newValue
            case 3: a3 = newValue
            case 4: a4 = newValue
            case 5: a5 = newValue
            default: break
            }
        }
    }
}
