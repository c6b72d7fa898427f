// Page walks of every kind of paging against the rules of the manual written down a second time.

import Testing
@testable import GuestX86

private enum Paging: CaseIterable { case twoLevels, pae, fourLevels, fiveLevels }

@Suite struct SystemPagingTests {
    private static let linear: UInt64 = 0x0040_3123, tables: UInt64 = 0x10_0000, page: UInt64 = 0x20_0000

    /// Tables that lead to `page` with `bits` in every entry of the given levels from the leaf up (1 first).
    private func processor(_ paging: Paging, leaf: UInt64, above: UInt64 = 7) throws -> Processor {
        let p = try Processor()
        var place = Self.tables
        func entry(_ shift: UInt64, _ size: UInt64, _ mask: UInt64, _ value: UInt64) {
            let location = place + (Self.linear >> shift & mask) * size
            if size == 8 { p.store(location, value) } else { p.store(location, UInt32(truncatingIfNeeded: value)) }
        }
        switch paging {
        case .twoLevels:
            entry(22, 4, 1023, Self.tables + 0x1000 | above)
            place += 0x1000
            entry(12, 4, 1023, Self.page | leaf)
            p.state.cr4 = CR4.pse
        case .pae:
            p.store(Self.tables, Self.tables + 0x1000 | 1)
            place += 0x1000
            entry(21, 8, 511, Self.tables + 0x2000 | above)
            place += 0x1000
            entry(12, 8, 511, Self.page | leaf)
            p.state.cr4 = CR4.pae
        case .fourLevels, .fiveLevels:
            let levels: [UInt64] = paging == .fiveLevels ? [48, 39, 30, 21] : [39, 30, 21]
            for shift in levels {
                entry(shift, 8, 511, place + 0x1000 | above)
                place += 0x1000
            }
            entry(12, 8, 511, Self.page | leaf)
            p.state.cr4 = CR4.pae | (paging == .fiveLevels ? CR4.la57 : 0)
            p.state.efer = EFER.lme | EFER.lma
        }
        p.state.cr0 = CR0.pe | CR0.pg
        p.state.cr3 = Self.tables
        if paging == .pae { try p.state.loadDirectoryPointers(Self.tables) }
        return p
    }

    private func leafLocation(_ paging: Paging) -> UInt64 {
        switch paging {
        case .twoLevels: Self.tables + 0x1000 + (Self.linear >> 12 & 1023) * 4
        case .pae: Self.tables + 0x2000 + (Self.linear >> 12 & 511) * 8
        case .fourLevels: Self.tables + 0x3000 + (Self.linear >> 12 & 511) * 8
        case .fiveLevels: Self.tables + 0x4000 + (Self.linear >> 12 & 511) * 8
        }
    }

    @Test(arguments: [Paging.twoLevels, .pae, .fourLevels, .fiveLevels])
    private func `rights are those of the manual for every combination`(_ paging: Paging) throws {
        let p = try processor(paging, leaf: 7)
        let above = leafLocation(paging)
        let hasNX = paging != .twoLevels
        for bits in 0..<UInt64(16) {
            let user = bits & 1 != 0, write = bits & 2 != 0, noExecute = bits & 4 != 0 && hasNX, present = bits & 8 != 0
            for control in 0..<32 {
                let wp = control & 1 != 0, smep = control & 2 != 0, smap = control & 4 != 0, ac = control & 8 != 0
                let nxe = control & 16 != 0
                p.state.cr0 = CR0.pe | CR0.pg | (wp ? CR0.wp : 0)
                p.state.cr4 = p.state.cr4 & ~(CR4.smep | CR4.smap) | (smep ? CR4.smep : 0) | (smap ? CR4.smap : 0)
                p.state.efer = p.state.efer & ~EFER.nxe | (nxe ? EFER.nxe : 0)
                p.state.systemFlags = ac ? EFlags.ac : 0
                for privilege in [AccessPrivilege.user, .supervisor, .implicit] {
                    for access in [X86Access.read, .write, .execute] {
                        p.state.cpl = privilege == .user ? 3 : 0
                        let leaf = (present ? 1 : 0) | (write ? 2 : 0) | (user ? 4 : 0) | Self.page
                        if paging == .twoLevels {
                            p.store(above, UInt32(leaf))
                        } else {
                            p.store(above, leaf | (noExecute ? 1 << 63 : 0))
                        }
                        var expected: UInt32?
                        let isUser = privilege == .user
                        let base: UInt32 = (isUser ? 4 : 0) | (access == .write ? 2 : 0)
                            | (access == .execute && (smep || nxe && hasNX) ? 16 : 0)
                        if !present {
                            expected = base
                        } else if noExecute && !nxe {
                            expected = base | 9
                        } else {
                            let allowed: Bool
                            if isUser {
                                allowed = user && (access != .write || write) && (access != .execute || !noExecute)
                            } else {
                                let data = !(user && smap && !(ac && privilege == .supervisor))
                                allowed = switch access {
                                case .read: data
                                case .write: data && (write || !wp)
                                case .execute: !noExecute && !(user && smep)
                                }
                            }
                            if !allowed { expected = base | 1 }
                        }
                        let fault = p.fault { state throws(X86Fault) in
                            _ = try state.translate(Self.linear, access, privilege)
                        }
                        let whole = expected.map { X86Fault(vector: 14, errorCode: $0, address: Self.linear) }
                        let after: UInt64 = paging == .twoLevels ? UInt64(p.load(above, UInt32.self)) : p.load(above)
                        let marks: UInt64 = expected != nil ? 0 : access == .write ? 0x60 : 0x20
                        guard fault != whole || after & 0x60 != marks else { continue }
                        Issue.record("\(paging) \(bits) \(control) \(privilege) \(access): \(fault as Any)")
                    }
                }
            }
        }
    }

    @Test(arguments: [Paging.twoLevels, .pae, .fourLevels, .fiveLevels])
    private func `rights of upper levels count too`(_ paging: Paging) throws {
        for above in [UInt64(1), 3, 5, 7] {
            let p = try processor(paging, leaf: 7, above: above)
            p.state.cpl = 3
            let fault = p.fault { state throws(X86Fault) in _ = try state.translate(Self.linear, .write, .user) }
            #expect((fault == nil) == (above == 7))
        }
    }

    @Test func `pages come out with size, rights and address`() throws {
        let p = try processor(.fourLevels, leaf: 7 | 0x100)
        p.state.cr4 |= CR4.pge
        let read = try p.state.translate(Self.linear, .read, .supervisor)
        #expect(read.physical.value == Self.page + 0x123 && read.sizeBytes == 4096)
        #expect(read.readable && !read.writable && read.executable && read.isGlobal && read.isUser)
        #expect(try p.state.translate(Self.linear, .write, .supervisor).writable)
        #expect(try p.state.translate(Self.linear, .read, .supervisor).writable)
    }

    @Test func `large pages of every size`() throws {
        let p = try processor(.fourLevels, leaf: 7)
        p.store(Self.tables + 0x1000, UInt64(0x8000_0000 | 0x87))
        #expect(try p.state.translate(Self.linear, .read, .user).physical.value == 0x8000_0000 + Self.linear)
        p.store(Self.tables + 0x1000, Self.tables + 0x2000 | 7)
        p.store(Self.tables + 0x2000 + 2 * 8, UInt64(0xA00_0000 | 0x87))
        let medium = try p.state.translate(Self.linear, .read, .user)
        #expect(medium.physical.value == 0xA00_3123 && medium.sizeBytes == 1 << 21)
        let old = try processor(.twoLevels, leaf: 7)
        // PSE-36: bits 20:13 are address bits 39:32.
        old.store(Self.tables + 4, UInt32(0x0C00_0087 | 0x5 << 13))
        let big = try old.state.translate(Self.linear, .read, .user)
        #expect(big.physical.value == 0x5_0C00_3123 && big.sizeBytes == 1 << 22)
        // Without CR4.PSE the bit means nothing.
        old.store(Self.tables + 4, UInt32(Self.tables + 0x1000 | 0x87))
        old.state.cr4 = 0
        #expect(try old.state.translate(Self.linear, .read, .user).physical.value == Self.page + 0x123)
    }

    /// Level of the entry (1 the leaf), its bits, whether they are reserved.
    private static let reserved: [(level: Int, bits: UInt64, isReserved: Bool)] = [
        (1, 1 << 48, true), (1, 1 << 51, true), (1, 1 << 52, false), (1, 1 << 62, false), (1, 1 << 63, true),
        (1, 1 << 7, false), (1, 1 << 8, false), (2, 1 << 48, true), (2, 1 << 13 | 1 << 7, true),
        (2, 1 << 20 | 1 << 7, true), (2, 1 << 12 | 1 << 7, false), (2, 1 << 8, false), (3, 1 << 13 | 1 << 7, true),
        (3, 1 << 29 | 1 << 7, true), (3, 1 << 12 | 1 << 7, false), (3, 1 << 8, true), (4, 1 << 7, true),
        (4, 1 << 8, true), (4, 1 << 48, true), (4, 1 << 52, false),
    ]

    @Test(arguments: 0..<20)
    func `reserved bits of long mode`(_ row: Int) throws {
        let (level, bits, isReserved) = Self.reserved[row]
        let p = try processor(.fourLevels, leaf: 7)
        let indices = [Self.linear >> 12 & 511, Self.linear >> 21 & 511, Self.linear >> 30 & 511,
                       Self.linear >> 39 & 511]
        let location = Self.tables + UInt64(4 - level) * 0x1000 + indices[level - 1] * 8
        let isLarge = bits & 0x80 != 0 && level > 1
        p.store(location, (isLarge ? 0 : p.load(location, UInt64.self)) | 7 | bits)
        let fault = p.fault { state throws(X86Fault) in _ = try state.translate(Self.linear, .read, .user) }
        #expect(fault?.errorCode == (isReserved ? 13 : nil), "level \(level) bits \(String(bits, radix: 16))")
    }

    @Test func `directory pointers are checked when they are loaded`() throws {
        let p = try Processor()
        for (value, isGood) in [(UInt64(1), true), (0x1E6, true), (3, false), (0x21, false), (0x101, false),
                                (0x11, true),
                                (1 << 48 | 1, false), (1 << 63 | 1, false)] {
            p.store(0x1000, value)
            let fault = p.fault { state throws(X86Fault) in try state.loadDirectoryPointers(0x1000) }
            #expect((fault == nil) == isGood, "\(String(value, radix: 16))")
        }
    }

    @Test func `an access over two pages faults before anything is written`() throws {
        let p = try processor(.fourLevels, leaf: 7)
        p.store(leafLocation(.fourLevels) + 8, UInt64(0))
        let fault = p.fault { state throws(X86Fault) in try state.writeLinear(0x40_3FFD, 8, .max, .user) }
        #expect(fault == X86Fault(vector: 14, errorCode: 6, address: 0x40_4000))
        #expect(p.load(Self.page + 0xFFD, UInt16.self) == 0)
        p.store(leafLocation(.fourLevels) + 8, Self.page + 0x3000 | 7)
        try p.state.writeLinear(0x40_3FFD, 8, 0x8877_6655_4433_2211, .user)
        #expect(p.load(Self.page + 0xFFD, UInt16.self) == 0x2211
                && p.load(Self.page + 0x3000, UInt32.self) == 0x7766_5544)
        #expect(try p.state.readLinear(0x40_3FFD, 8, .user) == 0x8877_6655_4433_2211)
    }

    @Test func `a masked A20 line folds odd megabytes, tables included`() throws {
        let p = try processor(.twoLevels, leaf: 7)
        p.state.setA20(false)
        // The tables lie in an odd megabyte: with A20 masked they are looked for one below.
        #expect(p.fault { state throws(X86Fault) in _ = try state.translate(Self.linear, .read, .user) } != nil)
        p.state.cr0 = 0
        #expect(try p.state.translate(0x10_0040, .read, .user).physical.value == 0x40)
        p.state.setA20(true)
        #expect(try p.state.translate(0x10_0040, .read, .user).physical.value == 0x10_0040)
    }

    @Test func `recursive and wild tables end`() throws {
        let p = try Processor()
        p.state.cr0 = CR0.pe | CR0.pg
        p.state.cr4 = CR4.pae | CR4.la57
        p.state.efer = EFER.lme | EFER.lma
        p.state.cr3 = 0x1000
        for index in 0..<UInt64(512) { p.store(0x1000 + index * 8, UInt64(0x1007)) }
        #expect(try p.state.translate(0x1234, .write, .user).physical.value == 0x1234)
        p.state.cr3 = 0xFFFF_FFFF_F000
        let fault = p.fault { state throws(X86Fault) in _ = try state.translate(0x1234, .write, .user) }
        #expect(fault != nil)
    }
}
