// How an x86 vCPU enters the guest: every register that a boot protocol or a reset defines. What is not named is zero.
//
// Spec: AMD64 APM volume 2, §14.1.2 (initial processor state), §14.1.3 (INIT), §16.5 (SIPI);
// Intel SDM volume 3, table 11-1.

import SavedState

/// The visible and hidden part of a segment register.
public struct X86StartSegment: Equatable, Sendable {
    public var selector: UInt16
    public var base: UInt64
    /// Last valid offset, in bytes, granularity applied.
    public var limit: UInt32
    /// Bits 47:40 of the descriptor in bits 7:0 (type, S, DPL, P), bits 55:52 in bits 15:12 (AVL, L, D/B, G).
    public var attributes: UInt16

    public init(selector: UInt16, base: UInt64 = 0, limit: UInt32, attributes: UInt16) {
        self.selector = selector
        self.base = base
        self.limit = limit
        self.attributes = attributes
    }

    /// Present, writable data, accessed, 16-bit.
    public static let realData: UInt16 = 0x0093
    /// Present, readable code, accessed, 16-bit.
    public static let realCode: UInt16 = 0x009b
    /// Present, writable data, accessed, 32-bit, 4 KiB granular.
    public static let flatData: UInt16 = 0xc093
    /// Present, readable code, accessed, 32-bit, 4 KiB granular.
    public static let flatCode: UInt16 = 0xc09b
    /// Present, readable code, accessed, 64-bit, 4 KiB granular.
    public static let longCode: UInt16 = 0xa09b
    /// Present local descriptor table.
    public static let localTable: UInt16 = 0x0082
    /// Present, busy 32-bit (or 64-bit) task state segment.
    public static let busyTask: UInt16 = 0x008b
}

/// Base and limit of GDTR or IDTR.
public struct X86StartTable: Equatable, Sendable {
    public var base: UInt64
    public var limit: UInt16
    public init(base: UInt64 = 0, limit: UInt16) {
        self.base = base
        self.limit = limit
    }
}

/// A vCPU's registers at its first instruction.
public struct X86StartState: Equatable, Sendable {
    /// RAX RCX RDX RBX RSP RBP RSI RDI R8…R15.
    public var registers = [UInt64](repeating: 0, count: 16)
    /// Offset in CS.
    public var rip: UInt64 = 0
    public var rflags: UInt64 = 2
    /// ES CS SS DS FS GS, by `Segment.rawValue`.
    public var segments: [X86StartSegment]
    public var ldtr = X86StartSegment(selector: 0, limit: 0xffff, attributes: X86StartSegment.localTable)
    public var tr = X86StartSegment(selector: 0, limit: 0xffff, attributes: X86StartSegment.busyTask)
    public var gdtr = X86StartTable(limit: 0xffff)
    public var idtr = X86StartTable(limit: 0xffff)
    public var cr0: UInt64 = 0x6000_0010
    public var cr3: UInt64 = 0
    public var cr4: UInt64 = 0
    public var efer: UInt64 = 0

    /// Real mode at `code` × 16 with offset `rip`: power-on with `code` as in the manual, SIPI with the vector's.
    private init(codeSelector: UInt16, codeBase: UInt64, rip: UInt64) {
        let data = X86StartSegment(selector: 0, limit: 0xffff, attributes: X86StartSegment.realData)
        segments = Array(repeating: data, count: 6)
        segments[Segment.cs.rawValue] = X86StartSegment(selector: codeSelector, base: codeBase, limit: 0xffff,
                                                        attributes: X86StartSegment.realCode)
        self.rip = rip
    }

    /// Power-on: CS base FFFF0000, IP FFF0. The CPU model's signature in EDX is the CPU's to add.
    public static let reset = X86StartState(codeSelector: 0xf000, codeBase: 0xffff_0000, rip: 0xfff0)

    /// After INIT and a start-up IPI with `vector`: real mode at physical address vector × 4096.
    public static func startup(vector: UInt8) -> X86StartState {
        X86StartState(codeSelector: UInt16(vector) << 8, codeBase: UInt64(vector) << 12, rip: 0)
    }

    /// Flat 32-bit protected mode without paging at `entry`, as kernels are entered by boot protocols.
    /// - Parameters:
    ///   - codeSelector: goes into CS.
    ///   - dataSelector: goes into the data segments and SS.
    public static func protected(entry: UInt32, codeSelector: UInt16, dataSelector: UInt16) -> X86StartState {
        var state = reset
        let data = X86StartSegment(selector: dataSelector, limit: .max, attributes: X86StartSegment.flatData)
        state.segments = Array(repeating: data, count: 6)
        state.segments[Segment.cs.rawValue] = X86StartSegment(selector: codeSelector, limit: .max,
                                                              attributes: X86StartSegment.flatCode)
        state.rip = UInt64(entry)
        state.cr0 = 0x0000_0011
        return state
    }

    // MARK: Saved form

    /// Appends the registers.
    public func save(to writer: inout StateWriter) {
        writer.section("x86-start", version: 1) { writer in
            for value in registers + [rip, rflags, cr0, cr3, cr4, efer, gdtr.base, idtr.base] { writer.put(value) }
            for limit in [gdtr.limit, idtr.limit] { writer.put(limit) }
            for segment in segments + [ldtr, tr] {
                writer.put(segment.selector)
                writer.put(segment.base)
                writer.put(segment.limit)
                writer.put(segment.attributes)
            }
        }
    }

    /// Reads what `save` wrote.
    public init(from reader: inout StateReader) throws {
        self = .reset
        try reader.section("x86-start", newest: 1) { reader, _ in
            for index in 0..<16 { registers[index] = try reader.get() }
            rip = try reader.get()
            rflags = try reader.get()
            cr0 = try reader.get()
            cr3 = try reader.get()
            cr4 = try reader.get()
            efer = try reader.get()
            gdtr.base = try reader.get()
            idtr.base = try reader.get()
            gdtr.limit = try reader.get()
            idtr.limit = try reader.get()
            func segment(_ reader: inout StateReader) throws -> X86StartSegment {
                X86StartSegment(selector: try reader.get(), base: try reader.get(), limit: try reader.get(),
                                attributes: try reader.get())
            }
            for index in 0..<6 { segments[index] = try segment(&reader) }
            ldtr = try segment(&reader)
            tr = try segment(&reader)
        }
    }
}

extension X86State {
    /// Power-on, then the registers of a start. For the bootstrap processor; floating point is as after reset.
    public func enter(_ start: X86StartState) {
        reset()
        for number in 0..<16 { setRegister(number, start.registers[number]) }
        eflags = UInt32(truncatingIfNeeded: start.rflags)
        for (number, segment) in start.segments.enumerated() { setSegment(number, SegmentCache(segment)) }
        setSegment(SystemSegment.ldtr, SegmentCache(start.ldtr))
        setSegment(SystemSegment.tr, SegmentCache(start.tr))
        self[SystemLayout.gdtrBase] = start.gdtr.base
        self[word: SystemLayout.gdtrLimit] = UInt32(start.gdtr.limit)
        self[SystemLayout.idtrBase] = start.idtr.base
        self[word: SystemLayout.idtrLimit] = UInt32(start.idtr.limit)
        (cr0, cr3, cr4, efer) = (start.cr0, start.cr3, start.cr4, start.efer)
        cpl = 0
        activity = .running
        flush(.all)
        updateCodeSegment()
        rip = start.rip
        updateMode()
    }
}

extension SegmentCache {
    fileprivate init(_ segment: X86StartSegment) {
        self.init(selector: segment.selector, attributes: UInt32(segment.attributes), limit: segment.limit,
                  base: segment.base)
    }
}
