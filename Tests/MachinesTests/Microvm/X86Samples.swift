// Small kernels for the boot protocols of x86.

@testable import Machines

extension Sample {
    /// A bzImage with `payload` bytes of kernel.
    static func bzImage(version: UInt16 = 0x020f, setupSectors: UInt8 = 4, payload: Int = 0x3000, has64: Bool = true,
                        relocatable: Bool = true, preferred: UInt64 = 16 << 20, initSize: UInt32 = 0x8000,
                        loadFlags: UInt8 = 1) -> [UInt8] {
        let setup = (Int(setupSectors) + 1) * 512
        var bytes = [UInt8](repeating: 0x90, count: setup + payload)
        for index in 0x1f1..<0x270 { bytes[index] = 0 }
        put(setupSectors, at: 0x1f1, in: &bytes)
        put(UInt32(payload / 16), at: 0x1f4, in: &bytes)
        put(UInt16(0xaa55), at: 0x1fe, in: &bytes)
        put(UInt16(0x6aeb), at: 0x200, in: &bytes)
        for (index, byte) in Array("HdrS".utf8).enumerated() { bytes[0x202 + index] = byte }
        put(version, at: 0x206, in: &bytes)
        put(loadFlags, at: 0x211, in: &bytes)
        put(UInt32(0x10_0000), at: 0x214, in: &bytes)
        put(UInt32(0x7fff_ffff), at: 0x22c, in: &bytes)
        put(UInt32(2 << 20), at: 0x230, in: &bytes)
        put(UInt8(relocatable ? 1 : 0), at: 0x234, in: &bytes)
        put(UInt16(has64 ? 3 : 0), at: 0x236, in: &bytes)
        put(UInt32(2047), at: 0x238, in: &bytes)
        put(preferred, at: 0x258, in: &bytes)
        put(initSize, at: 0x260, in: &bytes)
        return bytes
    }

    /// A 32-bit ELF of one segment of 64 bytes at 1 MiB, which may begin with a Multiboot header or be followed by a note.
    static func elf32(physical: UInt32 = 0x10_0000, entry: UInt32 = 0x10_0010, pvh: UInt32? = nil, multiboot: UInt32? = nil,
                      machine: UInt16 = 3) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 0x400)
        for (index, byte) in ([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1] as [UInt8]).enumerated() { bytes[index] = byte }
        put(UInt16(2), at: 16, in: &bytes)
        put(machine, at: 18, in: &bytes)
        put(entry, at: 24, in: &bytes)
        put(UInt32(52), at: 28, in: &bytes)
        put(UInt16(32), at: 42, in: &bytes)
        put(UInt16(2), at: 44, in: &bytes)
        for (index, word) in ([1, 0x100, 0xc010_0000, physical, 64, 0x2000, 7, 4096] as [UInt32]).enumerated() {
            put(word, at: 52 + index * 4, in: &bytes)
        }
        for (index, word) in ([4, 0x200, 0, 0, 20, 20, 4, 4] as [UInt32]).enumerated() { put(word, at: 84 + index * 4, in: &bytes) }
        for index in 0..<64 { bytes[0x100 + index] = UInt8(index + 1) }
        if let flags = multiboot {
            for (index, word) in [0x1bad_b002, flags, 0 &- 0x1bad_b002 &- flags].enumerated() {
                put(word, at: 0x100 + index * 4, in: &bytes)
            }
        }
        for (index, word) in ([4, 4, pvh == nil ? 1 : 18] as [UInt32]).enumerated() { put(word, at: 0x200 + index * 4, in: &bytes) }
        for (index, byte) in Array("Xen\0".utf8).enumerated() { bytes[0x20c + index] = byte }
        put(pvh ?? 0, at: 0x210, in: &bytes)
        return bytes
    }

    /// A flat file with the addresses in its Multiboot header.
    static func flatMultiboot(load: UInt32 = 0x10_0000, loadEnd: UInt32 = 0, bssEnd: UInt32 = 0, entry: UInt32 = 0x10_0040) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xf4, count: 0x200)
        let flags: UInt32 = 1 << 16 | 3
        for (index, word) in [0x1bad_b002, flags, 0 &- 0x1bad_b002 &- flags, load + 0x20, load, loadEnd, bssEnd, entry].enumerated() {
            put(word, at: 0x20 + index * 4, in: &bytes)
        }
        return bytes
    }
}
