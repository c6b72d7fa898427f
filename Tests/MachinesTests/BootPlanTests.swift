import GuestMemory
import Testing
@testable import Machines

/// Builds small boot files.
enum Sample {
    static func put<Value: FixedWidthInteger>(_ value: Value, at offset: Int, in bytes: inout [UInt8]) {
        withUnsafeBytes(of: value.littleEndian) { source in
            for (index, byte) in source.enumerated() { bytes[offset + index] = byte }
        }
    }

    static func linuxImage(textOffset: UInt64 = 2 << 20, memorySize: UInt64 = 0x3000, flags: UInt64 = 0,
                           fileSize: Int = 0x1000) -> [UInt8] {
        var bytes = [UInt8](repeating: 0x13, count: fileSize)
        put(textOffset, at: 8, in: &bytes)
        put(memorySize, at: 16, in: &bytes)
        put(flags, at: 24, in: &bytes)
        for (index, byte) in LinuxImage.magic.enumerated() { bytes[48 + index] = byte }
        for (index, byte) in LinuxImage.magic2.enumerated() { bytes[56 + index] = byte }
        return bytes
    }

    /// A gzip member of stored blocks (RFC 1951 and 1952).
    static func gzip(_ bytes: [UInt8]) -> [UInt8] {
        var packed: [UInt8] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]
        var position = 0
        repeat {
            let length = min(bytes.count - position, 0xFFFF)
            let isLast = position + length == bytes.count
            packed += [isLast ? 1 : 0, UInt8(length & 0xFF), UInt8(length >> 8), UInt8(~length & 0xFF), UInt8(~length >> 8 & 0xFF)]
            packed += bytes[position..<position + length]
            position += length
        } while position < bytes.count
        var crc: UInt32 = .max
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc >> 1 ^ (crc & 1 != 0 ? 0xEDB8_8320 : 0) }
        }
        for word in [~crc, UInt32(bytes.count)] { packed += (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
        return packed
    }

    /// One segment of 16 bytes; with `toHost`, a symbol table that names it.
    static func elf(physical: UInt64, virtual: UInt64? = nil, entry: UInt64, memorySize: UInt64 = 64,
                    toHost: UInt64? = nil) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 0x400)
        for (index, byte) in ([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] as [UInt8]).enumerated() { bytes[index] = byte }
        put(UInt16(2), at: 16, in: &bytes)
        put(UInt16(243), at: 18, in: &bytes)
        put(entry, at: 24, in: &bytes)
        put(UInt64(64), at: 32, in: &bytes)
        put(UInt16(56), at: 54, in: &bytes)
        put(UInt16(1), at: 56, in: &bytes)
        put(UInt32(1), at: 64, in: &bytes)
        put(UInt64(0x100), at: 72, in: &bytes)
        put(virtual ?? physical, at: 80, in: &bytes)
        put(physical, at: 88, in: &bytes)
        put(UInt64(16), at: 96, in: &bytes)
        put(memorySize, at: 104, in: &bytes)
        for index in 0..<16 { bytes[0x100 + index] = UInt8(index + 1) }
        guard let toHost else { return bytes }
        put(UInt64(0x200), at: 40, in: &bytes)
        put(UInt16(64), at: 58, in: &bytes)
        put(UInt16(3), at: 60, in: &bytes)
        put(UInt32(2), at: 0x240 + 4, in: &bytes)
        put(UInt64(0x300), at: 0x240 + 24, in: &bytes)
        put(UInt64(48), at: 0x240 + 32, in: &bytes)
        put(UInt32(2), at: 0x240 + 40, in: &bytes)
        put(UInt64(0x380), at: 0x280 + 24, in: &bytes)
        put(UInt32(1), at: 0x318, in: &bytes)
        put(toHost, at: 0x320, in: &bytes)
        for (index, byte) in Array("\0tohost\0".utf8).enumerated() { bytes[0x380 + index] = byte }
        return bytes
    }
}

@Suite struct BootPlanTests {
    static let ram: UInt64 = 0x8000_0000
    private func plan(_ files: BootFiles, memory: UInt64 = 64 << 20) throws -> BootPlan {
        try BootPlan(files, ramStart: Self.ram, ramSizeBytes: memory)
    }
    private func file(_ bytes: [UInt8], _ path: String = "/kernel") -> BootFiles.File {
        BootFiles.File(path: path, bytes: bytes)
    }

    @Test func `a Linux Image starts at its offset in S-mode, with the RAM disk below the device tree`() throws {
        let plan = try plan(BootFiles(kernel: file(Sample.linuxImage()), initrd: file([1, 2, 3])))
        #expect(plan.entry == Self.ram + 2 << 20 && plan.privilege == .supervisor && plan.suppliesSBI)
        #expect(plan.loads.map(\.what) == ["kernel", "initrd"])
        #expect(plan.loads[0].memorySizeBytes == 0x3000)
        #expect(plan.deviceTree == Self.ram + 62 << 20)
        #expect(plan.initrd == (plan.deviceTree - 4096)..<(plan.deviceTree - 4093))
    }

    @Test func `start-up data stays below two gigabytes of a larger memory`() throws {
        let plan = try plan(BootFiles(kernel: file(Sample.linuxImage())), memory: 8 << 30)
        #expect(plan.deviceTree < Self.ram + 2 << 30)
    }

    @Test func `an ELF program at the start of RAM runs bare in M-mode and may have a mailbox`() throws {
        let elf = Sample.elf(physical: Self.ram, entry: Self.ram + 4, toHost: Self.ram + 0x1000)
        let plan = try plan(BootFiles(kernel: file(elf)))
        #expect(plan.entry == Self.ram + 4 && plan.privilege == .machine && plan.toHost == Self.ram + 0x1000)
    }

    @Test func `vmlinux is moved from its virtual addresses to two megabytes`() throws {
        let high: UInt64 = 0xffff_ffff_8000_0000
        let plan = try plan(BootFiles(kernel: file(Sample.elf(physical: 0x1000, virtual: high, entry: high + 8))))
        #expect(plan.loads[0].address == Self.ram + 2 << 20 && plan.entry == Self.ram + 2 << 20 + 8)
        #expect(plan.privilege == .supervisor)
    }

    @Test func `firmware runs first and learns where the kernel is`() throws {
        let plan = try plan(BootFiles(kernel: file([1, 2, 3, 4]), firmware: file([9, 9], "/fw")))
        #expect(plan.entry == Self.ram && plan.privilege == .machine && !plan.suppliesSBI)
        let information = plan.loads.first { $0.what == "firmware information" }!
        #expect(plan.firmwareInformation == information.address)
        let view = ByteView(Array(information.bytes))
        #expect(view.load(0, as: UInt64.self) == 0x4942_534f && view.load(8, as: UInt64.self) == 2)
        #expect(view.load(16, as: UInt64.self) == Self.ram + 2 << 20 && view.load(24, as: UInt64.self) == 1)
    }

    @Test func `a kernel compressed with gzip boots as the kernel in it`() throws {
        let image = Sample.linuxImage(fileSize: 200_000)
        let plain = try plan(BootFiles(kernel: file(image)))
        #expect(try plan(BootFiles(kernel: file(Sample.gzip(image)))) == plain)
        let members = Sample.gzip(Array(image[..<70_000])) + Sample.gzip(Array(image[70_000...]))
        #expect(try plan(BootFiles(kernel: file(members + [0, 0, 0]))) == plain, "two members and padding")
        let program = Sample.elf(physical: Self.ram, entry: Self.ram)
        #expect(try plan(BootFiles(kernel: file(Sample.gzip(program)))).entry == Self.ram)
    }

    @Test func `damaged or endless compressed kernels are refused`() {
        func refusal(_ bytes: [UInt8], memory: UInt64 = 64 << 20) -> String {
            do { _ = try plan(BootFiles(kernel: file(bytes)), memory: memory); return "accepted" } catch { return "\(error)" }
        }
        let packed = Sample.gzip(Sample.linuxImage(fileSize: 100_000))
        #expect(refusal([0x1f, 0x8b, 8, 0]).contains("ends too early"))
        #expect(refusal(Array(packed.dropLast(1))).contains("ends too early"))
        #expect(refusal(packed + [1]).contains("something else"))
        #expect(refusal(Sample.gzip(packed)).contains("twice"))
        #expect(refusal(Sample.gzip([UInt8](repeating: 0, count: 9 << 20)), memory: 8 << 20).contains("larger than 8 MiB"))
        // Every byte counts: no damage is accepted, except in fields of the header that mean nothing.
        for position in stride(from: 0, to: packed.count, by: 97) where !(4...9).contains(position) {
            var damaged = packed
            damaged[position] ^= 0x10
            #expect(refusal(damaged) != "accepted", "byte \(position)")
        }
        for length in stride(from: 2, to: packed.count, by: 1009) {
            #expect(refusal(Array(packed[..<length])).contains("ends too early"), "\(length) bytes")
        }
    }

    @Test func `unusable files are refused with their reason`() {
        func refusal(_ files: BootFiles, memory: UInt64 = 64 << 20) -> String {
            do { _ = try plan(files, memory: memory); return "accepted" } catch { return "\(error)" }
        }
        #expect(refusal(BootFiles()).contains("nothing to start"))
        #expect(refusal(BootFiles(kernel: file([]))).contains("empty"))
        #expect(refusal(BootFiles(kernel: file([1, 2, 3]))).contains("neither"))
        #expect(refusal(BootFiles(kernel: file(Sample.linuxImage(flags: 1)))).contains("big-endian"))
        #expect(refusal(BootFiles(kernel: file(Sample.linuxImage(textOffset: 5)))).contains("2 MiB"))
        #expect(refusal(BootFiles(kernel: file(Sample.linuxImage(memorySize: 1 << 30)))).contains("does not fit"))
        #expect(refusal(BootFiles(kernel: file(Sample.linuxImage(memorySize: 59 << 20)), initrd: file(Array(repeating: 0, count: 8 << 20))))
            .contains("side by side"))
        #expect(refusal(BootFiles(kernel: file(Sample.linuxImage())), memory: 1 << 20).contains("too few"))
        var foreign = Sample.elf(physical: Self.ram, entry: Self.ram)
        foreign[18] = 62
        #expect(refusal(BootFiles(kernel: file(foreign))).contains("62 is not RISC-V"))
        let outside = Sample.elf(physical: Self.ram, entry: 0x10)
        #expect(refusal(BootFiles(kernel: file(outside))).contains("entry point"))
        let huge = Sample.elf(physical: Self.ram, entry: Self.ram, memorySize: 1 << 47)
        #expect(refusal(BootFiles(kernel: file(huge))).contains("does not fit"))
    }

    @Test func `truncated and damaged files never crash the loader`() {
        var random = FuzzRandom(seed: 4)
        let seeds = [Sample.linuxImage(), Sample.elf(physical: Self.ram, entry: Self.ram, toHost: Self.ram + 8)]
        for seed in seeds {
            for length in 0..<seed.count { _ = try? plan(BootFiles(kernel: file(Array(seed.prefix(length))))) }
            for _ in 0..<Fuzz.rounds(3000) {
                var bytes = seed
                for _ in 0..<Int.random(in: 1...6, using: &random) {
                    let edge: [UInt8] = [0, 0xff, 0x7f, 0x80, UInt8.random(in: 0...255, using: &random)]
                    bytes[Int.random(in: 0..<min(bytes.count, 0x3a0), using: &random)] = edge.randomElement(using: &random)!
                }
                _ = try? plan(BootFiles(kernel: file(bytes)))
                _ = try? plan(BootFiles(kernel: file(seed), firmware: file(bytes)))
            }
        }
    }

    @Test func `a plan is carried out byte for byte with the rest zeroed`() throws {
        let ram = try GuestRAM(start: GuestPhysical(Self.ram), sizeBytes: 16 << 20)
        ram.store(GuestPhysical(Self.ram + 20), UInt32(0xdead_beef))
        let plan = try plan(BootFiles(kernel: file(Sample.elf(physical: Self.ram, entry: Self.ram))), memory: 16 << 20)
        try BootLoader.place(plan, deviceTree: [0xd0, 0x0d], into: ram)
        #expect(ram.load(GuestPhysical(Self.ram), as: UInt32.self) == 0x0403_0201)
        #expect(ram.load(GuestPhysical(Self.ram + 20), as: UInt32.self) == 0)
        #expect(ram.load(GuestPhysical(plan.deviceTree), as: UInt16.self) == 0x0dd0)
    }
}
