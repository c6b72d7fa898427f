// Reads boot files and carries a boot plan out.

import Glibc
import GuestMemory
import Host

/// Reads files and fills RAM.
public enum BootLoader {
    /// Reads a whole file.
    /// - Throws: `HostError` when it cannot be read, `MachineError` when it is larger than `limitBytes`.
    public static func read(_ path: String, limitBytes: UInt64) throws -> BootFiles.File {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw HostError("open", path) }
        defer { close(descriptor) }
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { throw HostError("fstat", path) }
        guard information.st_mode & S_IFMT != S_IFDIR else { throw HostError("read", path, errno: EISDIR) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Int(min(UInt64(max(0, information.st_size)), limitBytes)) + 1)
        while true {
            let wanted = max(1 << 16, min(1 << 24, Int(information.st_size) - bytes.count + 1))
            let before = bytes.count
            bytes.append(contentsOf: repeatElement(0, count: wanted))
            let count = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress! + before, wanted) }
            let failure = errno
            bytes.removeLast(wanted - max(0, count))
            if count < 0 {
                if failure == EINTR { continue }
                throw HostError("read", path, errno: failure)
            }
            if count == 0 { break }
            guard UInt64(bytes.count) <= limitBytes else {
                throw MachineError(path, "larger than the machine's memory of \(limitBytes) bytes",
                                   advice: "give the machine more with --memory")
            }
        }
        return BootFiles.File(path: path, bytes: bytes)
    }

    /// Reads the files a configuration names.
    public static func files(_ configuration: MachineConfiguration) throws -> BootFiles {
        func file(_ path: String?) throws -> BootFiles.File? {
            try path.map { try read($0, limitBytes: configuration.memorySizeBytes) }
        }
        return BootFiles(kernel: try file(configuration.kernel), initrd: try file(configuration.initrd),
                         firmware: try file(configuration.firmware))
    }

    /// Writes every load and the device tree.
    public static func place(_ plan: BootPlan, deviceTree: [UInt8], into ram: GuestRAM) throws {
        guard UInt64(deviceTree.count) <= BootPlan.deviceTreeSizeMax else {
            throw MachineError("--append", "the device tree grew to \(deviceTree.count) bytes",
                               advice: "shorten the kernel's arguments")
        }
        for load in plan.loads { try place(load, into: ram) }
        try write(deviceTree[...], at: plan.deviceTree, ram)
    }

    /// Writes one load and zeroes the rest of its memory.
    static func place(_ load: BootPlan.Load, into ram: GuestRAM) throws {
        try write(load.bytes, at: load.address, ram)
        let rest = load.memorySizeBytes - UInt64(load.bytes.count)
        guard let tail = ram.pointer(GuestPhysical(load.address + UInt64(load.bytes.count)), length: rest) else {
            throw outside(load.address)
        }
        // SAFETY: `pointer` checked that `rest` bytes at `tail` are guest RAM.
        memset(tail, 0, Int(rest))
        ram.noteWrite(GuestPhysical(load.address), length: load.memorySizeBytes)
    }

    private static func write(_ bytes: ArraySlice<UInt8>, at address: UInt64, _ ram: GuestRAM) throws {
        guard bytes.withUnsafeBytes({ ram.write(GuestPhysical(address), from: $0) }) else { throw outside(address) }
    }

    private static func outside(_ address: UInt64) -> MachineError {
        MachineError("boot", "address 0x\(String(address, radix: 16)) lies outside the machine's memory")
    }
}
