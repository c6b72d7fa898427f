// Segment loads, limits, LAR, LSL, VERR, VERW, LDTR and TR against the tables of the manual.

import Testing
@testable import GuestX86

@Suite struct SystemSegmentTests {
    private static let slot: UInt16 = 0x80

    /// Every type, DPL, RPL and presence at ring 0 and 3.
    @Test(arguments: [UInt32(0), 3])
    func `data segments load exactly when the manual says`(_ ring: UInt32) throws {
        let p = try Processor()
        try p.enterProtected(ring: ring)
        for type in 0..<UInt64(32) {
            for dpl in 0..<UInt64(4) {
                for rpl in 0..<UInt16(4) {
                    for present in [true, false] {
                        let selector = Self.slot | rpl
                        p.setDescriptor(Self.slot, Processor.descriptor(type: type, dpl: dpl, present: present))
                        let isSegment = type & 16 != 0, isCode = isSegment && type & 8 != 0
                        let isReadable = isSegment && (!isCode || type & 2 != 0), isConforming = isCode && type & 4 != 0
                        let level = max(UInt64(ring), UInt64(rpl))
                        var expected: X86Fault?
                        if !isReadable || !isConforming && dpl < level {
                            expected = selectorFault(13, selector)
                        } else if !present {
                            expected = selectorFault(11, selector)
                        }
                        let before = p.image
                        let fault = p.fault { state throws(X86Fault) in try state.loadSegment(3, selector) }
                        let isRight = fault == nil ? p.state.selector(3) == selector
                            && p.descriptor(Self.slot) >> 40 & 1 == 1
                            : p.image == before
                        if fault != expected || !isRight { Issue.record("DS type \(type) dpl \(dpl) rpl \(rpl)") }
                        // SS wants more.
                        p.setDescriptor(Self.slot, Processor.descriptor(type: type, dpl: dpl, present: present))
                        expected = nil
                        if !isSegment || isCode || type & 2 == 0 || rpl != UInt16(ring) || dpl != UInt64(ring) {
                            expected = selectorFault(13, selector)
                        } else if !present {
                            expected = selectorFault(12, selector)
                        }
                        let ss = p.fault { state throws(X86Fault) in try state.loadSegment(2, selector) }
                        if ss != expected { Issue.record("SS type \(type) dpl \(dpl) rpl \(rpl)") }
                    }
                }
            }
        }
    }

    @Test func `null selectors load into data segments, into SS only below ring 3 of 64-bit code`() throws {
        let p = try Processor()
        try p.enterProtected()
        try p.state.loadSegment(3, 3)
        #expect(p.fault { state throws(X86Fault) in _ = try state.checkSegment(3, offset: 0, size: 1, .read) }
                == .generalProtection)
        #expect(p.fault { state throws(X86Fault) in try state.loadSegment(2, 0) } == .generalProtection)
        let long = try Processor()
        try long.enterLong()
        try long.state.loadSegment(2, 0)
        #expect(long.fault { state throws(X86Fault) in try state.loadSegment(2, 3) } == .generalProtection)
    }

    @Test func `selectors beyond their table fault`() throws {
        let p = try Processor()
        try p.enterProtected()
        #expect(p.fault { state throws(X86Fault) in try state.loadSegment(3, 0x1000) } == selectorFault(13, 0x1000))
        p.state[word: SystemLayout.gdtrLimit] = 0x16
        #expect(p.fault { state throws(X86Fault) in try state.loadSegment(3, 0x10) } == selectorFault(13, 0x10))
        p.state[word: SystemLayout.gdtrLimit] = 0x17
        try p.state.loadSegment(3, 0x10)
        try p.state.loadLDT(0)
        #expect(p.fault { state throws(X86Fault) in try state.loadSegment(3, 0x0C) } == selectorFault(13, 0x0C))
    }

    /// Limit, type with S, D/B, offset, size, write; whether it is allowed.
    private static let accesses: [(UInt32, UInt32, Bool, UInt64, UInt64, Bool, Bool)] = [
        (0xFFFF, 0x12, false, 0xFFFF, 1, true, true), (0xFFFF, 0x12, false, 0xFFFF, 2, true, false),
        (0xFFFF, 0x12, false, 0x1_0000, 1, false, false), (0xFFFF, 0x10, false, 0, 1, true, false),
        (0xFFFF, 0x10, false, 0, 1, false, true), (0, 0x12, true, 0, 1, true, true), (0, 0x12, true, 0, 2, true, false),
        (.max, 0x12, true, 0xFFFF_FFFF, 1, true, true), (.max, 0x12, true, 0xFFFF_FFFD, 4, true, false),
        // Expand-down: above the limit, up to 64 KiB or 4 GiB.
        (0xFFF, 0x16, false, 0xFFF, 1, false, false), (0xFFF, 0x16, false, 0x1000, 1, true, true),
        (0xFFF, 0x16, false, 0xFFFE, 2, true, true), (0xFFF, 0x16, false, 0xFFFF, 2, true, false),
        (0xFFF, 0x16, true, 0xFFFF, 2, true, true), (0xFFF, 0x16, true, 0xFFFF_FFFE, 4, true, false),
        (0xFFF, 0x14, true, 0x2000, 4, true, false), (.max, 0x16, true, 0xFFFF_FFFF, 1, false, false),
        // Code: never written, read when readable.
        (.max, 0x1A, true, 0, 4, false, true), (.max, 0x1A, true, 0, 4, true, false),
            (.max, 0x18, true, 0, 4, false, false),
        (0xFFF, 0x1E, true, 0xFFF, 1, false, true), (0xFFF, 0x1E, true, 0x1000, 1, false, false),
    ]

    @Test(arguments: 0..<22)
    func `limits and types of accesses`(_ row: Int) throws {
        let (limit, type, isBig, offset, size, isWrite, isAllowed) = Self.accesses[row]
        let p = try Processor()
        try p.enterProtected()
        let attributes = type | SegmentAttributes.present | (isBig ? SegmentAttributes.big : 0)
        for segment in [3, 2] {
            p.state.setSegment(segment,
                SegmentCache(selector: 8, attributes: attributes, limit: limit, base: 0x1_0000_0000 - 0x100))
            var address: UInt64 = 0
            let fault = p.fault { state throws(X86Fault) in
                address = try state.checkSegment(segment, offset: offset, size: size, isWrite ? .write : .read)
            }
            #expect(fault == (isAllowed ? nil : segment == 2 ? .stack : .generalProtection))
            if isAllowed { #expect(address == (offset &+ 0x1_0000_0000 - 0x100) & 0xFFFF_FFFF) }
        }
    }

    @Test func `64-bit code checks for canonical addresses only`() throws {
        let p = try Processor()
        try p.enterLong()
        p.state[X86Layout.segmentBase(4)] = 0x7FFF_FFFF_0000
        func check(_ segment: Int, _ offset: UInt64, _ size: UInt64 = 8) -> X86Fault? {
            p.fault { state throws(X86Fault) in
                _ = try state.checkSegment(segment, offset: offset, size: size, .write)
            }
        }
        #expect(check(3, 0x7FFF_FFFF_FFF8) == nil && check(3, 0x7FFF_FFFF_FFF9) == .generalProtection)
        #expect(check(2, 0x8000_0000_0000) == .stack && check(3, 0xFFFF_8000_0000_0000) == nil)
        #expect(check(4, 0x1_0000) == .generalProtection && check(4, 0xFFF8) == nil)
    }

    @Test func `real mode loads bases only and checks limits only`() throws {
        let p = try Processor()
        try p.state.loadSegment(3, 0x1234)
        #expect(p.state.segment(.ds).base == 0x12340 && p.state.segment(.ds).limit == 0xFFFF)
        #expect(p.fault { state throws(X86Fault) in _ = try state.checkSegment(3, offset: 0xFFFF, size: 2, .read) }
                == .generalProtection)
        // Limits of protected mode stay: unreal mode.
        p.state.setSegment(.ds, SegmentCache(attributes: 0x93, limit: .max, base: 0))
        try p.state.loadSegment(3, 0x10)
        #expect(try p.state.checkSegment(3, offset: 0x20_0000, size: 4, .write) == 0x20_0100)
    }

    // MARK: LAR, LSL, VERR, VERW

    @Test(arguments: [false, true])
    func `LAR, LSL, VERR and VERW answer for every type`(_ isLong: Bool) throws {
        let p = try Processor()
        if isLong { try p.enterLong() } else { try p.enterProtected() }
        let lar: Set<UInt64> = isLong ? [2, 9, 11, 12] : [1, 2, 3, 4, 5, 9, 11, 12]
        let lsl: Set<UInt64> = isLong ? [2, 9, 11] : [1, 2, 3, 9, 11]
        for type in 0..<UInt64(32) {
            let raw = Processor.descriptor(base: 0x12_3456, limit: 0x1_2345, type: type, flags: 0x8)
            p.setDescriptor(Self.slot, raw)
            let rights = try p.state.accessRights(Self.slot), limit = try p.state.segmentLimit(Self.slot)
            #expect((rights != nil) == (type >= 16 || lar.contains(type)), "LAR \(type)")
            #expect((limit != nil) == (type >= 16 || lsl.contains(type)), "LSL \(type)")
            if let rights { #expect(rights == UInt32(raw >> 32) & 0xFFFF00) }
            if let limit { #expect(limit == 0x1234_5FFF) }
            #expect(try p.state.verifies(Self.slot, .read) == (type >= 16 && (type & 8 == 0 || type & 2 != 0)))
            #expect(try p.state.verifies(Self.slot, .write) == (type >= 16 && type & 10 == 2))
        }
        p.setDescriptor(Self.slot, Processor.descriptor(type: 0x12, dpl: 1))
        #expect(try p.state.segmentLimit(Self.slot | 2) == nil && p.state.segmentLimit(Self.slot | 1) == .max)
        #expect(try p.state.segmentLimit(0) == nil && p.state.segmentLimit(0xFFF8) == nil)
    }

    @Test func `LLDT and LTR check what they load`() throws {
        let p = try Processor()
        try p.enterProtected()
        for (selector, expected) in [(UInt16(0x08), selectorFault(13, 0x08)), (0x44, selectorFault(13, 0x44)),
                                     (0xFFF8, selectorFault(13, 0xFFF8))] {
            #expect(p.fault { state throws(X86Fault) in try state.loadLDT(selector) } == expected)
            #expect(p.fault { state throws(X86Fault) in try state.loadTaskRegister(selector) } == expected)
        }
        #expect(p.fault { state throws(X86Fault) in try state.loadTaskRegister(0) } == .generalProtection)
        // The first LTR has made it busy.
        #expect(p.fault { state throws(X86Fault) in try state.loadTaskRegister(Processor.tssSelector) }
                == selectorFault(13, 0x30))
        p.setDescriptor(Self.slot, Processor.descriptor(type: 9, present: false))
        #expect(p.fault { state throws(X86Fault) in try state.loadTaskRegister(Self.slot) }
                == selectorFault(11, Self.slot))
        let long = try Processor()
        try long.enterLong()
        long.store(Processor.gdt + 0x40, Processor.descriptor(base: 0x1234, limit: 0xFFF, type: 2, flags: 0))
        long.store(Processor.gdt + 0x48, UInt64(0xFFFF_8000))
        try long.state.loadLDT(0x40)
        #expect(long.state.segment(SystemSegment.ldtr).base == 0xFFFF_8000_0000_1234)
        long.store(Processor.gdt + 0x48, UInt64(0x8000))
        #expect(long.fault { state throws(X86Fault) in try state.loadLDT(0x40) } == .generalProtection)
    }
}
